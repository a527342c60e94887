"""Scores of images of any origin, and of a run by an extractor of one's own."""

import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ganlab import evaluate
from ganlab.cli import compose_config
from ganlab.metrics import extractors
from ganlab.metrics.frechet import frechet_distance
from ganlab.train import train

PIXELS = """
_target_: ganlab.metrics.extractors.module.ModuleExtractor
name: pixels
size: 8
channels: 1
mean: [0.5]
std: [0.5]
module: {_target_: torch.nn.Flatten}
"""


@pytest.fixture
def pixels(tmp_path: Path) -> Path:
    path = tmp_path / "pixels.yaml"
    path.write_text(PIXELS)
    return path


def images(num: int = 80, size: int = 8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (num, size, size, 1), dtype=np.uint8)


def write_folder(folder: Path, pixels: np.ndarray) -> Path:
    folder.mkdir(parents=True)
    for place, image in enumerate(pixels):
        Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image).save(
            folder / f"{place:03d}.png"
        )
    return folder


def write_zip(path: Path, folder: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in folder.iterdir():
            archive.write(file, file.name)
    return path


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """Fréchet distance of pixels in [-1, 1], by numpy's own moments."""
    moments = []
    for x in (one, other):
        features = x.reshape(len(x), -1) / 127.5 - 1
        moments += [torch.from_numpy(features.mean(axis=0)), torch.from_numpy(np.cov(features, rowvar=False))]
    return frechet_distance(*moments)


def command(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["ganlab", *map(str, arguments)])
    evaluate.main()


def scores(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text())


def test_folder_zip_and_array_of_the_same_images_score_alike(
    tmp_path: Path, pixels: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Against a data set. Catches: BGR, images resampled, the wrong split, one image dropped."""
    from sklearn.datasets import load_digits

    fakes = images()
    folder = write_folder(tmp_path / "fakes", fakes)
    archive = write_zip(tmp_path / "fakes.zip", folder)
    np.savez(tmp_path / "named.npz", images=fakes)
    np.savez(tmp_path / "unnamed.npz", arr_0=fakes)
    values = []
    out = tmp_path / "scores.json"
    for path in (folder, archive, tmp_path / "named.npz", tmp_path / "unnamed.npz"):
        command(
            monkeypatch, f"images={path}", "reference=digits", "data.image_size=8", f"extractor={pixels}",
            "metrics=[frechet]", f"json={out}",
        )  # fmt: skip
        (score,) = scores(out)
        values.append(score["value"])
    assert values == pytest.approx([values[0]] * 4, rel=1e-12)
    assert score["metric"] == "fd_pixels_80_train"
    assert score["protocol"]["generator"] == "images"
    assert score["protocol"]["reference"]["name"] == "digits"
    num = score["protocol"]["reference"]["num"]
    assert "fd_pixels_80_train" in capsys.readouterr().out

    from ganlab.build import run as build

    data = build.build_data(compose_config("data=digits", "data.image_size=8")).data("train")
    assert num == len(data.images) < len(load_digits().images)
    expected = distance(fakes, data.images.permute(0, 2, 3, 1).numpy())
    assert values[0] == pytest.approx(expected, rel=1e-6)


def test_exported_statistics_stand_for_the_images(
    tmp_path: Path, pixels: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches: statistics of the fakes exported, other keys, a count or a split that the file cannot know."""
    fakes = write_folder(tmp_path / "fakes", images())
    reals = write_folder(tmp_path / "reals", images(seed=1))
    out, stats = tmp_path / "scores.json", tmp_path / "stats.npz"
    common = (f"images={fakes}", f"extractor={pixels}", "metrics=frechet", f"json={out}")
    command(monkeypatch, *common, f"reference={reals}", f"export_reference={stats}")
    (by_images,) = scores(out)
    command(monkeypatch, *common, f"reference={stats}")
    (by_file,) = scores(out)
    assert by_file["value"] == pytest.approx(by_images["value"], rel=1e-12)
    assert by_images["value"] == pytest.approx(distance(images(), images(seed=1)), rel=1e-6)
    assert (by_images["metric"], by_file["metric"]) == ("fd_pixels_80_all", "fd_pixels_80_file")
    described = by_file["protocol"]["reference"]
    assert (described["name"], described["split"], described["num"]) == ("stats", "file", None)
    assert by_images["protocol"]["reference"]["num"] == 80
    with np.load(stats, allow_pickle=False) as file:
        np.testing.assert_allclose(
            file["mu"], (images(seed=1).reshape(80, -1) / 127.5 - 1).mean(axis=0), atol=1e-6
        )
    assert "against the statistics of stats" in capsys.readouterr().out


def test_a_part_of_the_images_is_spread_over_all(
    tmp_path: Path, pixels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: the first N of files that are sorted by class."""
    fakes = images()
    np.savez(tmp_path / "fakes.npz", images=fakes)
    np.savez(tmp_path / "reals.npz", images=images(seed=1))
    out = tmp_path / "scores.json"
    command(
        monkeypatch, f"images={tmp_path / 'fakes.npz'}", f"reference={tmp_path / 'reals.npz'}", "num_samples=40",
        f"extractor={pixels}", "metrics=frechet", f"json={out}",
    )  # fmt: skip
    assert scores(out)[0]["metric"] == "fd_pixels_40_all"
    assert scores(out)[0]["value"] == pytest.approx(distance(fakes[::2], images(seed=1)), rel=1e-6)


def test_reference_is_brought_to_the_size_and_channels_of_the_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: each at its own size, grey compared with colour."""
    extractor = tmp_path / "pixels3.yaml"
    extractor.write_text(PIXELS.replace("channels: 1", "channels: 3").replace("[0.5]", "[0.5, 0.5, 0.5]"))
    colour = np.repeat(images(20), 3, axis=-1)
    large = images(20).repeat(2, axis=1).repeat(2, axis=2)
    small = [Image.fromarray(image.squeeze(-1)).resize((8, 8), Image.Resampling.BICUBIC) for image in large]
    expected = 3 * distance(images(20), np.stack([np.asarray(image) for image in small]))  # 3 equal channels
    out = tmp_path / "scores.json"
    for place, reference in enumerate((large, np.repeat(large, 3, axis=-1))):
        fakes = write_folder(tmp_path / f"fakes{place}", colour)
        reals = write_folder(tmp_path / f"reals{place}", reference)
        command(
            monkeypatch, f"images={fakes}", f"reference={reals}", f"extractor={extractor}", "metrics=frechet",
            f"json={out}",
        )  # fmt: skip
        assert scores(out)[0]["value"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ((), 2, "give one of run=RUN_DIR, images=PATH and pairs=MADE,TARGET; none"),
        (("images=fakes.npz", "run=somewhere"), 2, "run and images were given"),
        (("images=absent",), 3, "no folder, .zip or .npz"),
        (("images=mixed", "reference=digits"), 3, "images of 2 sizes, such as 0.png (8x8) and 1.png (9x9): resize"),
        (("images=float.npz", "reference=digits"), 3, "samples have to be uint8 (N, H, W, C)"),
        (("images=other.npz", "reference=digits"), 3, "holds x: samples have to be called images or arr_0"),
        (("images=fakes.npz", "reference=cifar"), 2, "data sets: audio, celeba, cifar10"),
        (("images=fakes.npz", "reference=fakes.npz", "reference_split=test"), 2, "reference_split: belongs to"),
        (("images=fakes.npz", "reference=digits", "reference_split=val"), 2, "choose train or test"),
        (("images=fakes.npz", "reference=digits", "data.imagesize=8"), 2, "data.imagesize"),
        (("images=fakes.npz", "checkpoint=best"), 2, "checkpoint=best: belongs to run="),
        (("images=fakes.npz", "method=drs"), 2, "method=drs: belongs to run="),
        (("images=fakes.npz", "reference=digits", "num_samples=99"), 2, "80 images; give at most"),
        (("images=fakes.npz", "metrics=modes"), 2, "give run= instead of images="),
        (("images=fakes.npz", "metrics=none"), 2, "computes nothing"),
        (("images=fakes.npz", "metrics=frechet"), 2, "compare with real images and none were given"),
        (("images=fakes.npz", "metrics=[frechet,kids]"), 2, "metrics=kids: no such option"),
        (("images=fakes.npz", "reference=fakes.npz", "extractor.weight=x"), 2, "extractor.yaml.weight"),
        (("images=fakes.npz", "extractor=inception", "extractor.weights=absent.pth"), 3, "absent.pth"),
        (("images=fakes.npz", "extractor=absent.yaml"), 2, "extractor=absent.yaml: cannot be read"),
        (("images=fakes.npz", "export_reference=x.npz"), 2, "nothing to export"),
        (("images=fakes.npz", "extractor.weights"), 2, "no such option"),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, tuple) else "",
)  # fmt: skip
def test_faults_are_one_line(
    arguments: tuple[str, ...],
    status: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("extractor.yaml").write_text(PIXELS)
    np.savez("fakes.npz", images=images())
    np.savez("float.npz", images=images() / 255.0)
    np.savez("other.npz", x=images())
    Path("mixed").mkdir()
    for place in (0, 1):
        Image.new("L", (8 + place, 8 + place)).save(f"mixed/{place}.png")
    extra = (
        []
        if any(argument.startswith("extractor=") for argument in arguments)
        else ["extractor=extractor.yaml"]
    )
    with pytest.raises(SystemExit) as ended:
        command(monkeypatch, *arguments, *extra)
    error = capsys.readouterr().err.strip().splitlines()
    assert ended.value.code == status, error
    assert message in error[-1]
    assert error[-1].startswith("ganlab: error:")


def test_a_run_is_scored_by_an_extractor_of_ones_own(
    tmp_path: Path, pixels: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """During training and after it; a file that only the run's configuration names is not obeyed blindly.

    Catches: the trusted packages not asked, and asked of what the user typed."""
    recipe = (
        *(
            "model=dcgan",
            "data=digits",
            "data.image_size=8",
            "data.batch_size=8",
            "trainer=cpu",
            "logger=none",
        ),
        *("model.latent_dim=2", "model.generator.channels=4", "model.discriminator.channels=4"),
        *("evaluate.num_samples=20", "budget.g_steps=1", "~metrics.classifier_score"),
    )
    run = train(compose_config(*recipe, f"evaluate.extractor={pixels}", f"run_dir={tmp_path / 'run'}"))
    (during,) = run.results()
    assert during["metric"] == "fd_pixels_20_train"
    command(monkeypatch, f"run={run.path}")
    assert run.results()[-1]["value"] == pytest.approx(during["value"], rel=1e-9)

    (tmp_path / "mine.py").write_text("from torch import nn\n\n\nclass Mine(nn.Flatten):\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    pixels.write_text(PIXELS.replace("torch.nn.Flatten", "mine.Mine"))
    with pytest.raises(SystemExit) as ended:
        command(monkeypatch, f"run={run.path}")
    assert ended.value.code == 2
    assert "_target_ mine.Mine: is outside" in capsys.readouterr().err
    assert "mine" not in sys.modules
    for allowed in ("plugins=[mine]", f"extractor={pixels}"):
        command(monkeypatch, f"run={run.path}", allowed)
        assert run.results()[-1]["value"] == pytest.approx(during["value"], rel=1e-9)
    stats = tmp_path / "stats.npz"
    command(monkeypatch, f"run={run.path}", f"extractor={pixels}", f"export_reference={stats}")
    command(monkeypatch, f"run={run.path}", f"extractor={pixels}", f"reference={stats}")
    last = run.results()[-1]
    assert last["metric"] == "fd_pixels_20_file"
    assert last["value"] == pytest.approx(during["value"], rel=1e-9)


def test_auto_says_once_how_to_get_fid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches: silence, a line at every evaluation."""
    from ganlab.build import run as build

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    extractors.say_how_to_get_fid.cache_clear()
    for _ in range(2):
        assert build.build_extractor("auto").name == "efflite0"
    (line,) = capsys.readouterr().err.splitlines()
    assert "not FID" in line
    assert extractors.PUBLISHED.url in line
    build.build_extractor("efflite0")
    assert capsys.readouterr().err == ""
