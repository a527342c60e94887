"""What `ganlab sample` leaves in a folder: samples of one call, fit to be scored, beside whatever else lies there."""

import sys
import zipfile
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from ganlab import sample
from ganlab.cli import compose_config
from ganlab.data.image_set import load_images
from ganlab.data.inspection import inspect
from ganlab.errors import DataError, DivergedError
from ganlab.interfaces import Generator
from ganlab.sampling import Sampler
from ganlab.sampling.exported import ExportedGenerator
from ganlab.train import train


class Grey(Generator):
    """Images of one level: the first latent's."""

    latent_dim = 2

    def __init__(self, factor: float = 0.3) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        return (self.factor * latents[:, :1]).tanh().view(-1, 1, 1, 1).expand(-1, 1, 8, 8)


@pytest.fixture
def out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    found = ({"ema": None, "model": {"name": "grey"}}, Grey(), {"g_step": 7})
    monkeypatch.setattr("ganlab.sample.source.from_run", lambda *arguments: found)
    return tmp_path / "out"


def call(monkeypatch: pytest.MonkeyPatch, out: Path, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["ganlab", f"run={out.parent / 'run'}", f"out={out}", *arguments])
    sample.main()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def levels(images: Tensor) -> list[int]:
    return images[:, 0, 0, 0].tolist()


def test_folder_and_zip_hold_the_samples_alone(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: grids taken for samples (of another size: refused; in training: another image), and left uncounted."""
    call(monkeypatch, out, "num=6")
    call(monkeypatch, out, "mode=interpolate")
    call(monkeypatch, tmp_path / "a.npz", "num=6")
    assert names(out) == [*(f"{place:05d}.png" for place in range(6)), "grid.png", "interpolation.png"]
    with zipfile.ZipFile(tmp_path / "out.zip", "w") as archive:
        for path in out.iterdir():
            archive.write(path, path.name)
    drawn = levels(load_images(tmp_path / "a.npz", tmp_path).images)
    for path in (out, tmp_path / "out.zip"):
        assert levels(load_images(path, tmp_path).images) == drawn
        found = inspect(path)
        assert len(found.images) == 6
        assert found.ignored == ["grid.png", "interpolation.png"]


def test_other_pictures_by_the_names_of_grids_are_images(tmp_path: Path) -> None:
    """Catches: leaving out by the name alone, or samples themselves; a pipe or a link waited for."""
    for name in ("grid.png", "interpolation.png", "classes.png"):
        Image.new("L", (8, 8), 9).save(tmp_path / name)
    assert len(load_images(tmp_path, tmp_path / "cache").images) == 3
    (tmp_path / "grid.png").unlink()
    (tmp_path / "grid.png").symlink_to("nowhere.png")
    with pytest.raises(DataError, match=r"grid\.png"):
        load_images(tmp_path, tmp_path / "cache")
    (tmp_path / "grid.png").unlink()
    for content in (b"", b"\x89PNG\r\n\x1a\n", b"\x89PNG\r\n\x1a\n\xff\xff\xff\xfftEXtSoftware\0ganlab"):
        (tmp_path / "grid.png").write_bytes(content)
        with pytest.raises(DataError, match=r"grid\.png"):
            load_images(tmp_path, tmp_path / "cache")


@pytest.mark.parametrize("arguments", [("num=2", "seed=1"), ("num=1",), ("num=9", "seed=3")])
def test_a_call_takes_the_place_of_the_one_before(
    arguments: tuple[str, ...], out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: samples or an interpolation of an earlier call left; other files, or other modes' sheets, removed."""
    call(monkeypatch, out, "num=6")
    Image.new("L", (8, 8)).save(out / "mine.png")
    Image.new("L", (8, 8)).save(out / "00100.png")
    (out / "notes.txt").write_text("mine")
    call(monkeypatch, out, *arguments)
    call(monkeypatch, tmp_path / "alone", *arguments)
    assert names(out) == sorted([*names(tmp_path / "alone"), "mine.png", "00100.png", "notes.txt"])
    for name in names(tmp_path / "alone"):
        assert (out / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        *(("00001.png", "grid"), ("grid.png", "grid"), ("interpolation.png", "grid")),
        *(("interpolation.png", "interpolate"), ("classes.png", "classes"), ("neighbours.png", "neighbours")),
    ],
)
def test_pictures_of_others_are_not_overwritten(
    name: str, mode: str, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches: a photograph lost because it has one of our names; one removed with an earlier call's."""
    out.mkdir()
    Image.new("RGB", (5, 5), "red").save(out / name)
    content = (out / name).read_bytes()
    with pytest.raises(SystemExit) as ended:
        call(monkeypatch, out, f"mode={mode}", "num=2")
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert f"{name} there was not drawn by ganlab and would be overwritten" in line
    assert (out / name).read_bytes() == content
    assert names(out) == [name]


def test_the_strip_beside_a_movie_overwrites_nothing_either(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches: `out=holiday.gif`, which writes holiday.png too."""
    Image.new("RGB", (5, 5), "red").save(tmp_path / "holiday.png")
    with pytest.raises(SystemExit):
        call(monkeypatch, tmp_path / "holiday.gif", "mode=interpolate", "num=2")
    assert "holiday.png there was not drawn by ganlab" in capsys.readouterr().err
    assert not (tmp_path / "holiday.gif").exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_samples_that_are_not_finite_are_written_nowhere(
    value: float,
    out: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The verb, in each mode and as arrays, and an export. Catches: NaN made black pixels."""

    def forward(self: Grey, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        return torch.full((len(latents), 1, 8, 8), value)

    monkeypatch.setattr(Grey, "forward", forward)
    ways = [
        (out,),
        (tmp_path / "a.npz",),
        (out, "mode=interpolate"),
        (tmp_path / "m.gif", "mode=interpolate"),
    ]
    for place, *arguments in ways:
        with pytest.raises(SystemExit) as ended:
            call(monkeypatch, place, "num=3", *arguments)
        assert ended.value.code == 4
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert "generated images contain NaN or infinity" in line
    assert not list(tmp_path.iterdir())
    with pytest.raises(DivergedError):
        ExportedGenerator(Grey(), {}).sample(3)


def test_sheets_in_training_are_finite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: a sheet of black squares by finite weights whose images are not."""
    original, calls = Sampler._images, []

    def images(self: Sampler, latents: Tensor, labels: Tensor | None) -> Tensor:
        calls.append(len(latents))
        return original(self, latents, labels) / (1 if len(calls) == 1 else 0)

    monkeypatch.setattr(Sampler, "_images", images)
    recipe = (
        *("model=dcgan", "data=digits", "data.image_size=8", "data.batch_size=8", "trainer=cpu"),
        *("model.latent_dim=2", "model.generator.channels=4", "model.discriminator.channels=4"),
        *("metrics=none", "logger=none", "budget.g_steps=1", "watchdog.action=none"),
    )
    with pytest.raises(DivergedError, match="generated images contain NaN or infinity"):
        train(compose_config(*recipe, f"run_dir={tmp_path / 'run'}"))
    assert names(tmp_path / "run" / "samples") == ["00000000.png"]
