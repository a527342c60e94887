"""`ganlab sample` on a tiny run: modes, files, what pictures say of themselves, and what is refused."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from ganlab import sample
from ganlab.cli import compose_config
from ganlab.drawing.pictures import save_movie, save_picture
from ganlab.errors import ConfigurationError
from ganlab.interfaces import Generator
from ganlab.runs.checkpoint_file import load_checkpoint
from ganlab.sample import modes, options
from ganlab.sampling import (
    METHODS,
    LatentLangevin,
    LatentMethod,
    RejectionSampling,
    Sampler,
    choose_method,
    class_weights,
)
from ganlab.sampling.sheets import paths_between_classes
from ganlab.train import train

NUM_CLASSES, SIDE = 3, 4


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = train(
        compose_config(
            *("model=dcgan", "data=digits", "data.image_size=8", "data.batch_size=8", "trainer=cpu"),
            *("model.latent_dim=2", "model.generator.channels=4", "model.discriminator.channels=4"),
            *("metrics=none", "logger=none", "budget.g_steps=1"),
            f"run_dir={tmp_path_factory.mktemp('runs') / 'tiny'}",
        )
    )
    return run.path


def command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["ganlab", *arguments])
    sample.main()


def arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


class Conditional(Generator):
    """Flat grey images: the first latent moves them a little, the class's level decides."""

    latent_dim = 2
    num_classes = NUM_CLASSES

    def __init__(self) -> None:
        super().__init__()
        self.levels = nn.Parameter(torch.tensor([-0.8, 0.0, 0.8]))

    def level(self, labels: Tensor) -> Tensor:
        return self.levels[labels] if labels.ndim == 1 else labels @ self.levels

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        assert labels is not None
        grey = self.level(labels) + 0.02 * latents[:, 0].clamp(-3, 3)
        return grey.view(-1, 1, 1, 1).expand(-1, 1, SIDE, SIDE)


class LabelsOnly(Conditional):
    def level(self, labels: Tensor) -> Tensor:
        return self.levels[labels]


class Misled(Conditional):
    """Reads class weights as something else."""

    def level(self, labels: Tensor) -> Tensor:
        return self.levels[labels.reshape(len(labels), -1)[:, 0].long()]


@pytest.fixture
def conditional(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Arguments of a command that finds a conditional generator in its run."""
    found = ({"ema": None, "model": {"name": "flat"}}, Conditional(), {"g_step": 7})
    monkeypatch.setattr("ganlab.sample.source.from_run", lambda *arguments: found)
    return [f"run={tmp_path / 'run'}", f"out={tmp_path / 'out'}"]


def test_npz_holds_images_latents_and_labels(
    conditional: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: latents of other images, channels before height, float images, labels left out."""
    command(monkeypatch, *conditional, f"out={tmp_path / 'a.npz'}", "num=5", "batch_size=2", "seed=3")
    found = arrays(tmp_path / "a.npz")
    assert found.keys() == {"images", "latents", "labels", "origin"}
    assert json.loads(str(found["origin"]))["ganlab:seed"] == "3"
    assert (found["images"].shape, found["images"].dtype) == ((5, SIDE, SIDE, 1), np.uint8)
    assert found["labels"].tolist() == [0, 1, 2, 0, 1]
    drawn = Conditional()(torch.tensor(found["latents"]), torch.tensor(found["labels"]))
    expected = (drawn.detach()[:, 0, 0, 0] * 127.5 + 128).floor()
    assert found["images"][:, 0, 0, 0].tolist() == expected.tolist()


def test_interpolation_strip_begins_and_ends_with_its_latents(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: paths in columns, ends left out, linear for slerp, another list of latents for each path."""
    for path in ("slerp", "linear"):
        out = f"out={tmp_path / path}.npz"
        command(monkeypatch, f"run={run_dir}", "mode=interpolate", f"path={path}", "steps=5", "num=3", out)
    slerp, linear = (
        arrays(tmp_path / f"{path}.npz")["latents"].reshape(3, 5, 2) for path in ("slerp", "linear")
    )
    np.testing.assert_allclose(slerp[:, [0, -1]], linear[:, [0, -1]], atol=1e-5)
    np.testing.assert_allclose(linear[:, 2], (linear[:, 0] + linear[:, 4]) / 2, atol=1e-6)
    assert np.abs(slerp[:, 2] - linear[:, 2]).max() > 0.05
    command(monkeypatch, f"run={run_dir}", "mode=interpolate", "steps=5", "num=3", f"out={tmp_path / 'out'}")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["interpolation.png"]
    with Image.open(tmp_path / "out" / "interpolation.png") as picture:
        assert picture.size == (5 * 10 - 2, 3 * 10 - 2)


def test_movie_walks_there_and_back(
    conditional: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: frames that are paths instead of places, ends shown twice, a movie that stops, another speed."""
    movie = ("mode=interpolate", "path=classes", "num=2", "steps=4", "fps=20", f"out={tmp_path / 'm.gif'}")
    command(monkeypatch, *conditional, *movie)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.gif", "m.png"]
    with Image.open(tmp_path / "m.gif") as gif, Image.open(tmp_path / "m.png") as strip:
        assert (gif.n_frames, gif.info["loop"], gif.info["duration"]) == (6, 0, 50)  # type: ignore[attr-defined]
        assert b"ganlab:g_step: 7" in gif.info["comment"]
        assert strip.size == (4 * 6 - 2, 2 * 6 - 2)
        places = np.asarray(strip)[0, ::6]  # the first path: class 0 to class 1
        assert (np.diff(places.astype(int)) > 20).all()
        shown = []
        for frame in range(6):
            gif.seek(frame)
            assert gif.size == (10, 4)
            shown.append(np.asarray(gif.convert("L"))[0, 0])
    assert np.abs(np.array(shown).astype(int) - places[[0, 1, 2, 3, 2, 1]]).max() <= 1


def test_mp4_is_written_and_read_back(run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: a size that the codec refuses or scales, frames lost, red for blue, another speed."""
    from imageio_ffmpeg import get_ffmpeg_exe

    out = tmp_path / "new" / "m.mp4"
    command(monkeypatch, f"run={run_dir}", "mode=interpolate", "num=1", "steps=3", "fps=5", f"out={out}")
    assert sorted(path.name for path in out.parent.iterdir()) == ["m.mp4", "m.png"]
    red = Image.new("RGB", (31, 17), (250, 0, 0))
    save_movie([red] * 4, tmp_path / "red.mp4", 5, {"ganlab:run": "tiny"})
    words = [get_ffmpeg_exe(), "-i", str(tmp_path / "red.mp4"), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    read = subprocess.run(words, capture_output=True, check=True)
    told = read.stderr.decode()
    assert "32x18" in told
    assert ", 5 fps" in told
    assert "ganlab:run: tiny" in told
    frames = np.frombuffer(read.stdout, np.uint8).reshape(4, 18, 32, 3).astype(int)
    assert np.abs(frames[:, :14, :28] - (250, 0, 0)).max() < 16


def test_mp4_without_its_package_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'ganlab\[video\]'; or give a name in .gif"):
        save_movie([Image.new("L", (2, 2))], tmp_path / "m.mp4", 5)
    with pytest.raises(ConfigurationError, match=r"a movie ends with \.gif or \.mp4"):
        save_movie([Image.new("L", (2, 2))], tmp_path / "m.avi", 5)
    with pytest.raises(ConfigurationError, match="fps=60: must be between 1 and 50"):
        save_movie([Image.new("L", (2, 2))], tmp_path / "m.gif", 60)


def test_classes_are_rows_of_the_same_latents(
    conditional: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: classes in columns, new latents for each class."""
    command(monkeypatch, *conditional, "mode=classes", "num=2")
    picture = np.asarray(Image.open(tmp_path / "out" / "classes.png")).astype(int)
    assert picture.shape == (NUM_CLASSES * 6 - 2, 2 * 6 - 2)
    levels = picture[::6, ::6]
    assert (np.diff(levels, axis=0) == 102).all()  # 0.8 of 127.5
    assert len(set(levels[0])) > 1
    command(monkeypatch, *conditional, "mode=classes", "num=4", f"out={tmp_path / 'c.npz'}")
    found = arrays(tmp_path / "c.npz")
    assert found["labels"].tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert np.array_equal(found["latents"][:4], found["latents"][8:])


def test_class_weights_lead_from_class_to_class() -> None:
    """Catches: swapped ends, weights that do not sum to 1, the last class followed by none."""
    sampler = Sampler(Conditional(), "sample", 0, 2)
    sheet = paths_between_classes(sampler, 3, 3)
    assert sheet.labels is not None
    assert sheet.labels.view(3, 3, 3)[2].tolist() == [[0, 0, 1], [0.5, 0, 0.5], [1, 0, 0]]
    assert torch.equal(sheet.labels.sum(1), torch.ones(9))
    assert torch.equal(sheet.latents, sampler.latents[:1].expand(9, 2))
    middle = sampler.generate(
        sampler.latents[:1], class_weights(torch.tensor([0]), torch.tensor([1]), 3, 3)[1:2]
    )
    grey = -0.4 + 0.02 * float(sampler.latents[0, 0])
    assert float(middle.mean()) == pytest.approx(grey, abs=1e-6)


@pytest.mark.parametrize("generator", [LabelsOnly, Misled])
def test_generators_that_take_labels_only_are_refused(generator: type[Conditional]) -> None:
    """Catches: nonsense drawn from weights that were read as labels, and an IndexError for the user."""
    with pytest.raises(ConfigurationError, match="this generator has no class interpolation"):
        paths_between_classes(Sampler(generator(), "sample", 0, 1), 2, 3)


def test_paths_keep_one_class(
    conditional: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: classes that change along a path, or every other class left out."""
    command(monkeypatch, *conditional, "mode=interpolate", "num=4", "steps=2", f"out={tmp_path / 'p.npz'}")
    assert arrays(tmp_path / "p.npz")["labels"].tolist() == [0, 0, 1, 1, 2, 2, 0, 0]


def test_pictures_say_where_they_come_from(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: chunks lost on the way, the place of another image, the raw generator called an average."""
    command(monkeypatch, f"run={run_dir}", "num=3", "seed=5", "generator=raw", f"out={tmp_path / 'out'}")
    with Image.open(tmp_path / "out" / "00002.png") as picture:
        told = dict(picture.text)  # type: ignore[attr-defined]
    assert told.pop("Software").startswith("ganlab ")
    assert told.pop("Disclaimer").startswith("Synthetic image")
    assert json.loads(told.pop("ganlab:method")) == {"method": "plain"}
    assert len(told.pop("ganlab:weights")) == 64
    assert told == {
        "ganlab:run": "tiny",
        "ganlab:model": "dcgan",
        "ganlab:checkpoint": "last",
        "ganlab:generator": "raw",
        "ganlab:g_step": "1",
        "ganlab:seed": "5",
        "ganlab:truncation": "1.0",
        "ganlab:place": "2",
    }
    with Image.open(tmp_path / "out" / "grid.png") as picture:
        assert "ganlab:place" not in picture.text  # type: ignore[attr-defined]
    save_picture(Image.new("L", (2, 2)), tmp_path / "plain.png")
    with Image.open(tmp_path / "plain.png") as picture:
        assert picture.text == {}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("given", "method"),
    [
        (
            ("method=drs", "drs_percentile=50", "drs_burn_in=50"),
            RejectionSampling(percentile=50.0, burn_in=50),
        ),
        (("method=drs", "drs_gamma=0.5", "drs_burn_in=9"), RejectionSampling(gamma=0.5, burn_in=9)),
        (
            ("method=ddls", "ddls_steps=3", "ddls_step_size=0.1", "ddls_noise=0.5"),
            LatentLangevin(num_steps=3, step_size=0.1, noise=0.5),
        ),
    ],
    ids=["drs", "drs_gamma", "ddls"],
)
def test_discriminator_of_the_run_chooses_the_images(
    given: tuple[str, ...],
    method: LatentMethod,
    run_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Catches: options that are dropped or swapped, an untrained D, latents that stay as they were."""
    from ganlab.build.restored import discriminator_from_run, from_run
    from ganlab.runs.folder import RunFolder

    discriminator = discriminator_from_run(RunFolder(run_dir))
    saved = load_checkpoint(run_dir / "checkpoints" / "last.ckpt")["discriminator"]
    assert not discriminator.training
    assert all(torch.equal(value, saved[name]) for name, value in discriminator.state_dict().items())
    sampler = Sampler(from_run(RunFolder(run_dir))[1], "sample", 0, 20)
    plain = sampler.latents
    sampler.improve(method, discriminator)
    assert not torch.allclose(sampler.latents, plain)
    command(monkeypatch, f"run={run_dir}", "num=20", "batch_size=7", f"out={tmp_path / 'a.npz'}", *given)
    chosen = torch.tensor(arrays(tmp_path / "a.npz")["latents"])
    torch.testing.assert_close(chosen, sampler.latents, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"mode": "scatter"}, "mode=scatter: choose grid, interpolate, classes or neighbours"),
        ({"method": "mcmc"}, "method=mcmc: choose plain, drs or ddls"),
        ({"mode": "interpolate", "path": "cubic"}, "path=cubic: choose slerp, linear or classes"),
        ({"path": "linear"}, "path=linear: belongs to mode=interpolate"),
        ({"steps": 5}, "steps=5: belongs to mode=interpolate"),
        ({"mode": "interpolate", "steps": 1}, "steps=1: must be at least 2"),
        ({"num": 0}, "num=0: must be at least 1"),
        ({"k": 3}, "k=3: belongs to mode=neighbours"),
        ({"mode": "neighbours", "k": 0}, "k=0: must be at least 1"),
        ({"out": "a.gif"}, "out=a.gif: a movie belongs to mode=interpolate"),
        ({"mode": "neighbours", "out": "a.npz"}, "out=a.npz: mode=neighbours draws a picture"),
        ({"mode": "interpolate", "fps": 9}, "fps=9: belongs to a movie"),
        ({"mode": "classes", "label": 1}, "label=1: mode=classes draws all classes"),
        ({"mode": "interpolate", "path": "classes", "method": "drs"}, "method=drs: path=classes shows the same"),
    ],
)  # fmt: skip
def test_options_that_cannot_be_used_are_named(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        options.check(options.SampleOptions(**{"run": "r", "out": "o", **given}))


@pytest.mark.parametrize(
    ("name", "typed", "words"),
    [
        ("mcmc", {}, "method=mcmc: choose plain, drs, ddls"),
        ("plain", {"drs_burn_in": 9}, "drs_burn_in=9: belongs to method=drs"),
        ("drs", {"ddls_noise": 0.0}, r"ddls_noise=0\.0: belongs to method=ddls"),
        ("drs", {"drs_gamma": 0.0, "drs_percentile": 9.0}, "give one of them"),
        ("drs", {"drs_percentile": -1.0}, "must be between 0 and 100"),
    ],
)
def test_options_of_methods_are_checked(name: str, typed: dict[str, float], words: str) -> None:
    """Catches: an option dropped in silence, also where its value is 0."""
    with pytest.raises(ConfigurationError, match=words):
        choose_method(name, typed)
    assert choose_method("plain", {"drs_gamma": None}) is None
    still = choose_method("ddls", {"ddls_noise": 0.0})
    assert still is not None
    assert still.description["noise"] == 0.0


def test_all_that_may_be_typed_is_there() -> None:
    """Catches: a mode, path or method that is allowed but not written, or the reverse; an option without help."""
    assert tuple(modes.MODES) == options.MODES
    assert tuple(modes.PATHS) == options.PATHS
    assert tuple(METHODS) == options.METHODS
    for name in options.SampleOptions.__dataclass_fields__:
        assert f"  {name}=" in options.USAGE, name


def test_unconditional_generators_have_no_classes(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for given, words in (
        (("mode=classes",), "mode=classes: this generator is unconditional"),
        (("mode=interpolate", "path=classes"), "this generator is unconditional"),
        (("truncation=0",), "truncation=0.0: must be above 0"),
    ):
        with pytest.raises(SystemExit) as ended:
            command(monkeypatch, f"run={run_dir}", f"out={tmp_path / 'out'}", *given)
        assert ended.value.code == 2
        assert words in capsys.readouterr().err


def test_folder_that_cannot_be_written_ends_with_5(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit) as ended:
        command(monkeypatch, f"run={run_dir}", "num=1", f"out={tmp_path / 'file' / 'out'}")
    assert ended.value.code == 5
    assert "cannot be written" in capsys.readouterr().err
