"""`ganlab evaluate pairs=MADE,TARGET`: files against files."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ganlab.drawing.pictures import origin
from ganlab.errors import ConfigurationError, DataError, GanlabError
from ganlab.evaluate import evaluate
from ganlab.evaluate.options import parse
from tests.test_evaluate_images import images, write_folder, write_zip


def score(*arguments: object, out: Path) -> dict[str, dict[str, Any]]:
    """Runs the command in this process, and returns scores by metric."""
    evaluate(*parse([*map(str, arguments), f"json={out}"]))
    return {line["metric"]: line for line in json.loads(out.read_text())}


def refusal(*arguments: object) -> str:
    """Returns the line that the command ends with."""
    with pytest.raises((ConfigurationError, DataError)) as caught:
        evaluate(*parse([str(argument) for argument in arguments]))
    assert isinstance(caught.value, GanlabError)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Four pictures, and the same five grey levels off."""
    target = images(4, 16) // 2
    return write_folder(tmp_path / "made, of mine", target + 5), write_folder(tmp_path / "target", target)


def test_pictures_match_by_name(
    tmp_path: Path, folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """In folders, archives and arrays; one of the endings differs, and so does the order in which folders list them.

    Catches: files matched by place, made and target exchanged, a comma in a path, a grid taken for a sample, the
    checksum of what was made.
    """
    made, target = folders
    Image.open(made / "001.png").save(made / "a.b.bmp")
    (made / "001.png").unlink()
    (made / "000.png").rename(made / "a.PNG")  # in the other order than its partner
    (target / "000.png").rename(target / "a.png")
    (target / "001.png").rename(target / "a.b.png")
    chunks = PngInfo()
    for key, text in origin().items():
        chunks.add_text(key, text)
    Image.new("L", (90, 90)).save(made / "grid.png", pnginfo=chunks)
    out = tmp_path / "scores.json"
    found = score(f"pairs={made},{target}", out=out)
    assert [*found] == ["psnr_4_all", "psnr_pooled_4_all", "ssim_4_all"]
    assert found["psnr_4_all"]["value"] == pytest.approx(20 * math.log10(255 / 5))
    assert [line["better"] for line in found.values()] == ["higher"] * 3
    protocol = found["psnr_4_all"]["protocol"]
    assert {key: protocol["reference"][key] for key in ("name", "split", "num")} == {
        "name": "target", "split": "all", "num": 4
    }  # fmt: skip
    assert "4 samples (files) against 4 images of target" in capsys.readouterr().out
    archives = [write_zip(tmp_path / f"{folder.name}.zip", folder) for folder in folders]
    again = score(f"pairs={archives[0]},{archives[1]}", "metrics=psnr", "batch_size=3", out=out)
    assert again["psnr_4_all"]["value"] == found["psnr_4_all"]["value"]
    assert again["psnr_4_all"]["protocol"]["reference"] == protocol["reference"]
    other = score(f"pairs={target},{made}", "metrics=psnr", out=out)["psnr_4_all"]["protocol"]["reference"]
    assert other["sha256"] != protocol["reference"]["sha256"]
    (made / "grid.png").unlink()
    for name, side in (("m", made), ("t", target)):
        pixels = [np.asarray(Image.open(file)) for file in sorted(side.iterdir(), key=lambda file: file.stem)]
        np.savez(tmp_path / f"{name}.npz", images=np.stack(pixels)[..., None])
    arrays = score(f"pairs={tmp_path / 'm.npz'},{tmp_path / 't.npz'}", out=out)
    assert arrays["ssim_4_all"]["value"] == pytest.approx(found["ssim_4_all"]["value"])


def test_pairs_may_have_sizes_of_their_own(tmp_path: Path) -> None:
    """As test sets of super-resolution do. Catches: pictures resized, grey beside colour cut to one channel."""
    made, target = tmp_path / "made", tmp_path / "target"
    for place, size in enumerate((12, 16, 20)):
        write_folder(made / str(place), images(1, size) // 2 + 5)
        colour = np.repeat(images(1, size) // 2, 3, axis=3)
        colour[..., 2] += 5
        write_folder(target / str(place), colour)
    found = score(f"pairs={made},{target}", "metrics=psnr", out=tmp_path / "scores.json")
    assert found["psnr_3_all"]["value"] == pytest.approx(10 * math.log10(255**2 / (50 / 3)))


def test_sounds_are_compared_at_their_rate(tmp_path: Path) -> None:
    """Twice as loud, of lengths of their own. Catches: another sample rate, 16 bits taken for floats."""
    for name, factor in (("made", 0.8), ("target", 0.4)):
        (tmp_path / name).mkdir()
        for place, length in enumerate((4000, 5000)):
            waves = factor * np.random.default_rng(place).uniform(-1, 1, length)
            soundfile.write(tmp_path / name / f"{place}.{'wav' if factor < 0.5 else 'flac'}", waves, 8000)
    found = score(f"pairs={tmp_path / 'made'},{tmp_path / 'target'}", out=tmp_path / "scores.json")
    assert found["mel_l1_2_all"]["value"] == pytest.approx(math.log(2), abs=1e-2)
    assert found["mel_l1_2_all"]["better"] == "lower"
    assert found["mel_l1_2_all"]["protocol"]["mel"]["sample_rate"] == 8000


def test_all_is_what_pairs_have(
    tmp_path: Path, folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches: an option that leaves out what does not apply, refused for what does not apply."""
    found = score(f"pairs={folders[0]},{folders[1]}", "metrics=all", out=tmp_path / "scores.json")
    assert [*found] == ["psnr_4_all", "psnr_pooled_4_all", "ssim_4_all"]
    said = capsys.readouterr().err
    assert "metrics.frechet is left out: metrics.frechet: holds sets" in said
    assert "metrics.mel_l1 is left out" in said
    assert "metrics.psnr_hole is left out" in said


def test_what_does_not_fit_together_is_one_line(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    made, target = folders
    both = f"pairs={made},{target}"
    assert "give two paths with a comma between" in refusal(f"pairs={made.parent}")
    assert "run and pairs were given" in refusal(both, "run=x")
    assert "reference=x: pairs= holds files against files" in refusal(both, "reference=x")
    assert "extractor.weights: pairs= holds files" in refusal(both, "extractor.weights=x")
    assert "plugins=['x']: pairs= holds" in refusal(both, "plugins=[x]")
    assert "metrics.frechet: holds sets of samples against each other, not pairs" in refusal(
        both, "metrics=frechet"
    )
    assert "mel_l1 hears sound" in refusal(both, "metrics=mel_l1")
    assert "it needs condition=mask" in refusal(both, "metrics=psnr_hole")
    (target / "extra.png").write_bytes((target / "000.png").read_bytes())
    assert "1 of 5 files in" in refusal(both)
    assert "no partner" in refusal(both)
    (made / "extra.png").write_bytes(b"no picture")
    assert "extra.png in" in refusal(both)
    assert "cannot be read" in refusal(both)
    Image.new("L", (8, 9)).save(made / "extra.png")
    assert "extra.png in" in refusal(both)
    assert "has 9x8 pixels, and its partner" in refusal(both)
    (made / "extra.bmp").write_bytes((made / "extra.png").read_bytes())
    assert "extra.bmp and extra.png" in refusal(both)
    for folder in folders:
        for file in folder.glob("extra.*"):
            file.unlink()
        soundfile.write(folder / "tone.wav", np.zeros(100), 8000)
    assert "tone.wav is sound and 000.png is not" in refusal(both)
    np.savez(tmp_path / "a.npz", images=images(3, 16))
    np.savez(tmp_path / "b.npz", images=images(4, 16))
    assert "3 grey images of 16x16" in refusal(f"pairs={tmp_path / 'a.npz'},{tmp_path / 'b.npz'}")
    assert "one is an .npz" in refusal(f"pairs={tmp_path / 'a.npz'},{target}")


def test_sounds_that_do_not_fit_together(tmp_path: Path) -> None:
    made, target = tmp_path / "made", tmp_path / "target"
    for folder in (made, target):
        folder.mkdir()
        for name in "ab":
            soundfile.write(folder / f"{name}.wav", np.zeros(4000), 8000)
    both = f"pairs={made},{target}"
    soundfile.write(target / "b.wav", np.zeros(4000), 16000)
    assert "b.wav in" in refusal(both)
    assert "16,000 samples a second" in refusal(both)
    soundfile.write(target / "b.wav", np.zeros(3999), 8000)
    assert "cut a pair to one length" in refusal(both)
    (target / "b.wav").unlink()
    (made / "b.wav").unlink()
    assert "holds one pair" in refusal(both)
