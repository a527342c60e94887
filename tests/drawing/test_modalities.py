"""Sound, video, text, tables and series as people see and hear them."""

import math
import wave
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ganlab.drawing.audio import Audio, Spectrograms, decibels, save_wave
from ganlab.drawing.contract import Shown
from ganlab.drawing.lettering import round_step, time_axis
from ganlab.drawing.numbers import Numbers
from ganlab.drawing.of_modality import drawing_of
from ganlab.drawing.points import Points
from ganlab.drawing.still_images import Images
from ganlab.drawing.table_rows import TableRows, shares
from ganlab.drawing.text import Text
from ganlab.drawing.video import Video, save_video
from ganlab.interfaces import Modality
from ganlab.modalities import audio, images, table, text, video

RATE = 8000


def _sine(hertz: float, loudness: float = 1.0, seconds: float = 0.5) -> torch.Tensor:
    """A waveform (1, 1, T)."""
    times = torch.arange(int(RATE * seconds)) / RATE
    return loudness * torch.sin(2 * math.pi * hertz * times).view(1, 1, -1)


@pytest.mark.parametrize("hertz", [300.0, 1000.0, 3000.0])
def test_a_sine_is_a_line_at_its_pitch(hertz: float) -> None:
    """Catches: pitches upside down, a linear axis, a scale that depends on the window."""
    height = 96
    loudness = decibels(_sine(hertz)[0], RATE, height, 40)[0, :, 20]
    mel = [2595 * math.log10(1 + each / 700) for each in (hertz, RATE / 2)]
    assert abs(int(loudness.argmax()) - (1 - mel[0] / mel[1]) * (height - 1)) <= 1
    assert -4 < float(loudness.max()) <= 0.1
    quieter = decibels(_sine(hertz, 0.1)[0], RATE, height, 40)[0, :, 20]
    assert float(quieter.max() - loudness.max()) == pytest.approx(-20, abs=0.1)


def test_all_spectrograms_have_one_scale() -> None:
    """Catches: each sample drawn from its own least to its own greatest number."""
    tiles = Audio(RATE).tiles(torch.cat([_sine(500), _sine(500, 0.01), _sine(500, 0.0)])).float()
    brightest = tiles[:, :, :96].amax((1, 2, 3))
    assert brightest[0] > brightest[1] + 50 > brightest[2]
    assert torch.equal(tiles[1], Audio(RATE).tiles(_sine(500, 0.01))[0].float())


def test_time_goes_to_the_right() -> None:
    """Catches: moments from the end, or the whole sound at its beginning."""
    late = torch.cat([torch.zeros(1, 1, RATE), _sine(500, seconds=1.0)], 2)
    levels = decibels(late[0], RATE, 32, 100)[0].amax(0)
    assert (levels[:45] < -80).all()
    assert (levels[55:] > -10).all()


def test_short_and_odd_sounds_are_drawn() -> None:
    """Catches: a window that does not fit into the sound."""
    for length in (1, 7, 100, 12345):
        assert Audio(RATE).still(Shown(torch.zeros(2, 1, length))).size[0] == 2 * 160 + 2


def test_an_axis_has_round_numbers() -> None:
    assert [round_step(length, 4) for length in (4, 1.0, 0.05, 7)] == pytest.approx([1, 0.5, 0.02, 2])
    axis = time_axis(2.0, 101)
    ticks = [column for column in range(101) if (axis[:3, column] == 0).all()]
    assert ticks == [0, 50, 100]


def test_wav_files_hold_the_sound(tmp_path: Path) -> None:
    """Catches: channels after one another, wrap-around of what is too loud, another rate, bytes with a time in them."""
    samples = torch.tensor([[0.0, 0.5, -2.0], [1.0, -1.0, 2.0]])
    save_wave(samples, tmp_path / "a.wav", RATE)
    save_wave(samples, tmp_path / "b.wav", RATE)
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()
    with wave.open(str(tmp_path / "a.wav")) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (2, 2, RATE)
        found = np.frombuffer(file.readframes(9), "<i2").reshape(-1, 2).T.tolist()
    assert found == [[0, 16384, -32768], [32767, -32768, 32767]]


def test_sound_is_recorded_beside_its_target(tmp_path: Path) -> None:
    shown = Shown(_sine(500), [(Spectrograms(), torch.zeros(1, 80, 20))], _sine(900))
    recordings = Audio(RATE).recordings(shown)
    assert [each.name for each in recordings] == ["000.wav", "000-target.wav"]
    for each in recordings:
        each.write(tmp_path / each.name)
    assert (tmp_path / "000.wav").read_bytes() != (tmp_path / "000-target.wav").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000-target.wav", "000.wav"]


def test_a_mel_question_has_low_bands_at_the_bottom() -> None:
    bands = torch.full((1, 8, 4), -20.0)
    bands[:, 0] = 2.0
    tile = Spectrograms().tiles(bands)[0].float().mean(0)
    assert (tile[-1] > 240).all()
    assert (tile[0] < 10).all()


def _moving(num: int = 10) -> torch.Tensor:
    """A white column that goes one pixel to the right in each frame: (1, 1, T, 8, 16)."""
    video = torch.full((1, 1, num, 8, 16), -1.0)
    for moment in range(num):
        video[:, :, moment, :, moment] = 1.0
    return video


def test_strips_go_through_time() -> None:
    """Catches: frames one below the other, the first ones alone, height and width swapped."""
    strip = Video(num_frames=4).tiles(_moving())[0, 0]
    assert strip.shape == (8, 4 * 17 - 1)
    assert strip[0].eq(255).nonzero().flatten().tolist() == [0, 17 + 3, 34 + 6, 51 + 9]
    assert Video(num_frames=99).tiles(_moving(3)).shape == (1, 1, 8, 3 * 17 - 1)


def test_films_move(tmp_path: Path) -> None:
    """Catches: a film of one frame, blurred when enlarged, or of another speed."""
    save_video(_moving(3)[0], tmp_path / "a.gif", 10)
    with Image.open(tmp_path / "a.gif") as film:
        assert (film.n_frames, film.size, film.info["duration"]) == (3, (256, 128), 100)
        for moment in range(3):
            film.seek(moment)
            row = np.asarray(film.convert("L"))[64]
            assert np.flatnonzero(row > 200).tolist() == list(range(16 * moment, 16 * moment + 16))


def test_films_are_gifs_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: a run that ends at its first picture because a program is not installed."""
    monkeypatch.setattr("ganlab.drawing.video.find_spec", lambda name: None)
    assert [each.name for each in Video().recordings(Shown(_moving()))] == ["000.gif"]
    monkeypatch.setattr("ganlab.drawing.video.find_spec", lambda name: object())
    assert [each.name for each in Video().recordings(Shown(_moving()))] == ["000.mp4"]


WORDS = ["one", "a longer line", "three\nlines\\", "日本 " * 40]
WRITTEN = Text(lambda samples: [WORDS[int(each)] for each in samples])


def test_texts_are_written_as_lines(tmp_path: Path) -> None:
    """Catches: a text that becomes two lines, letters that are lost, asked and made exchanged."""
    places = torch.arange(4)
    recordings = WRITTEN.recordings(Shown(places, [(WRITTEN, places.flip(0))], places))
    assert [each.name for each in recordings] == ["000.txt", "000-asked.txt", "000-target.txt"]
    for each in recordings:
        each.write(tmp_path / each.name)
    lines = (tmp_path / "000.txt").read_text().splitlines()
    assert lines == ["one", "a longer line", "three\\nlines\\\\", "日本 " * 40]
    assert (tmp_path / "000-asked.txt").read_text().splitlines() == lines[::-1]


def test_texts_are_set_one_below_the_other() -> None:
    """Catches: a line that is missing, and a picture as wide as its longest text."""
    two, three = (WRITTEN.still(Shown(torch.arange(num))) for num in (2, 3))
    assert two.width == three.width < 1000
    assert three.height - two.height == 30
    assert WRITTEN.still(Shown(torch.arange(2), target=torch.arange(2))).height == two.height + 60
    assert len(np.unique(np.asarray(two))) > 1
    assert not np.array_equal(*(np.asarray(WRITTEN.still(Shown(torch.tensor([each])))) for each in (0, 1)))
    assert WRITTEN.tiles(torch.arange(4)).shape[:2] == (4, 1)


def test_histograms_share_their_bins() -> None:
    """Catches: bins of made values, counts instead of shares, values out of range that are lost."""
    real, made = np.linspace(0, 24, 240, endpoint=False), np.array([-5.0, 0.5, 23.5, 99.0])
    real_shares, made_shares = shares(real, made)
    assert real_shares.tolist() == pytest.approx([1 / 24] * 24)
    assert made_shares.tolist() == pytest.approx([0.5, *[0.0] * 22, 0.5])
    constant = shares(np.ones(5), np.zeros(3))
    assert constant[0].sum() == constant[1].sum() == 1


def test_categories_are_ordered_by_real_frequency() -> None:
    """Catches: bars in alphabetical order; an unknown category that is counted as a known one, or ends in an error."""
    real = np.array(["b", "b", "b", "a", "c", "c"])
    real_shares, made_shares = shares(real, np.array(["a", "a", "new", "b"]))
    assert real_shares.tolist() == pytest.approx([1 / 2, 1 / 3, 1 / 6, 0])
    assert made_shares.tolist() == pytest.approx([1 / 4, 0, 1 / 2, 1 / 4])


def test_a_table_has_a_panel_for_each_column() -> None:
    decode = lambda rows: {f"column {place}": each.numpy() for place, each in enumerate(rows.unbind(1))}  # noqa: E731
    reals = torch.rand(50, 5, generator=torch.Generator().manual_seed(0))
    drawing = TableRows(decode, reals)
    picture = drawing.still(Shown(reals[:9]))
    assert picture.size == (3 * 180 + 12, 2 * 123 + 12)
    assert (np.asarray(picture) == (200, 30, 60)).all(2).any()
    assert drawing.tiles(reals[:2]).shape == (2, 3, picture.height, picture.width)


COLUMNS = [{"name": "age", "mean": 40.0, "std": 10.0}, {"name": "city", "categories": ["Oslo", "Rome"]}]
DICE = torch.Generator().manual_seed(0)
KINDS: list[tuple[Modality, torch.Tensor, list[str]]] = [
    (images.Image(8, 8, 3), torch.randint(256, (5, 3, 8, 8), dtype=torch.uint8, generator=DICE), []),
    (images.Points(), torch.rand(5, 2, 1, 1, generator=DICE), []),
    (
        audio.Audio(400, 8000),
        torch.randint(-9999, 9999, (5, 1, 400), dtype=torch.int16, generator=DICE),
        [".wav"],
    ),
    (
        video.Video(4, 8, 8, 1, 12.5),
        torch.randint(256, (5, 1, 4, 8, 8), dtype=torch.uint8, generator=DICE),
        [".mp4", ".gif"],
    ),
    (text.Text(4, ("<pad>", "a", "b")), torch.randint(3, (5, 4), generator=DICE), [".txt"]),
    (table.Table(COLUMNS), torch.tensor([[30.0, 0], [50, 1], [45, 1]], dtype=torch.float64), []),
]


@pytest.mark.parametrize(
    ("modality", "stored", "suffixes"), KINDS, ids=lambda each: getattr(each, "name", "")
)
def test_every_modality_is_drawn(
    modality: Modality, stored: torch.Tensor, suffixes: list[str], tmp_path: Path
) -> None:
    """Catches: a modality that the drawing of another is taken for, samples in another form than networks make."""
    drawing = drawing_of(modality, stored)
    kinds = {
        "image": Images,
        "points": Points,
        "audio": Audio,
        "video": Video,
        "text": Text,
        "table": TableRows,
    }
    assert type(drawing) is kinds[modality.name]
    shown = Shown(modality.normalize(stored), target=modality.normalize(stored.flip(0)))
    assert drawing.still(shown).tobytes() == drawing.still(shown).tobytes()
    assert drawing.tiles(shown.made).shape[0] == len(stored)
    recordings = drawing.recordings(shown)
    assert bool(recordings) == bool(suffixes)
    for each in recordings:
        each.write(tmp_path / each.name)
        assert (tmp_path / each.name).suffix in suffixes
        assert (tmp_path / each.name).stat().st_size > 0


def test_what_was_recorded_is_played_as_it_was(tmp_path: Path) -> None:
    """Catches: a scale that differs from that of reading: a target would not be what the file held."""
    stored = KINDS[2][1]
    drawing = drawing_of(KINDS[2][0], stored)
    drawing.recordings(Shown(KINDS[2][0].normalize(stored)))[1].write(tmp_path / "a.wav")
    with wave.open(str(tmp_path / "a.wav")) as file:
        assert np.frombuffer(file.readframes(999), "<i2").tolist() == stored[1, 0].tolist()


def test_texts_and_tables_are_read_by_their_modality() -> None:
    """Catches: padding that is set, numbers that stay standardised, categories by number."""
    drawing = drawing_of(text.Text(3, ("<pad>", "a", "b")), torch.zeros(1, 3))
    assert isinstance(drawing, Text)
    assert drawing.lines(text.Text(3, ("<pad>", "a", "b")).normalize(torch.tensor([[1, 2, 0]]))) == ["ab"]
    rows = drawing_of(*KINDS[5][:2])
    assert isinstance(rows, TableRows)
    assert {name: values.tolist() for name, values in rows._reals.items()} == {
        "age": [30.0, 50.0, 45.0],
        "city": ["Oslo", "Rome", "Rome"],
    }


def test_sound_is_asked_as_sound_or_as_a_spectrogram(tmp_path: Path) -> None:
    """Catches: a mel spectrogram played as 80 channels; a sound at a lower rate that is played too fast."""
    made, slower, mel = torch.zeros(1, 1, 8000), torch.zeros(1, 1, 2000), torch.zeros(1, 80, 20)
    drawing = Audio(RATE)
    [(part, _)] = drawing.question(mel, made)
    assert isinstance(part, Spectrograms)
    asked = drawing.question((slower, torch.tensor([3])), made)
    recordings = drawing.recordings(Shown(made, asked))
    recordings[0].write(tmp_path / recordings[0].name)
    with wave.open(str(tmp_path / "000-asked.wav")) as file:
        assert file.getframerate() == RATE / 4


def test_what_nobody_knows_is_drawn_as_numbers() -> None:
    """Catches: a modality of one's own that ends a run at its first picture."""

    class Mine(images.Points):
        pass

    assert type(drawing_of(Mine(), torch.zeros(3, 2, 1, 1))).__name__ == "Points"
    picture = np.asarray(Numbers().still(Shown(torch.tensor([[[-1.0, 1.0]]]))))
    assert picture.shape == (32, 32, 3)
    assert picture[0, 15].tolist() == [0, 0, 4]
    assert picture[0, 16].tolist() == [255, 255, 240]
    assert isinstance(drawing_of(object(), torch.zeros(1)), Numbers)  # type: ignore[arg-type]
