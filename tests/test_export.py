"""A generator that leaves its run draws the same images elsewhere, and reading it executes nothing."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file, save_file

import ganlab
from ganlab import export, sample
from ganlab.build.restored import from_run
from ganlab.cli import compose_config
from ganlab.errors import ConfigurationError, DataError, GanlabError
from ganlab.models.dcgan import DCGANGenerator
from ganlab.runs.checkpoint_file import load_checkpoint, save_checkpoint
from ganlab.runs.folder import RunFolder
from ganlab.sampling import Sampler
from ganlab.sampling.exported import load_generator, save_generator, weights_sha256
from ganlab.train import train

SCORE = {
    "metric": "fd_efflite0_1k_train",
    "ci95": [11.0, 13.0],
    "seconds": 1.0,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run with classes, an average that differs from the trained weights, and scores at two iterations."""
    run = train(
        compose_config(
            *("model=cgan", "data=digits", "data.batch_size=8", "trainer=cpu", "ema=default", "metrics=none"),
            *("model.latent_dim=4", "model.generator.channels=4", "model.discriminator.channels=4"),
            *("logger=none", "budget.g_steps=2", "ema.half_life_images=100", "ema.warmup=null"),
            f"run_dir={tmp_path_factory.mktemp('runs') / 'tiny'}",
        )
    )
    for g_step, which in ((2, "ema"), (1, "ema"), (2, "raw")):
        protocol = {"num_samples": 1000, "generator": which}
        value = 12.345 + g_step if which == "ema" else 99.0
        run.append_results([{**SCORE, "g_step": g_step, "value": value, "protocol": protocol}])
    return run


@pytest.fixture(scope="module")
def folder(run: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("exports") / "mine"
    export.export(export.ExportOptions(run=str(run.path), out=str(out)))
    return out


def test_a_run_of_an_earlier_ganlab_can_be_exported(run: RunFolder, tmp_path: Path) -> None:
    """Catches: a `KeyError` for a key that came after the checkpoint was written."""
    state = load_checkpoint(run.checkpoints / "last.ckpt")
    config = yaml.safe_load(state["config"])
    del config["speed"], config["micro_batches"]
    (tmp_path / "checkpoints").mkdir()
    save_checkpoint(tmp_path / "checkpoints" / "last.ckpt", {**state, "config": yaml.safe_dump(config)})
    older, generator, _ = from_run(RunFolder(tmp_path))
    assert (older["micro_batches"], older["speed"]["channels_last"]) == (1, True)
    torch.testing.assert_close(generator.state_dict(), from_run(run)[1].state_dict())


def test_export_draws_the_images_of_its_run(run: RunFolder, folder: Path) -> None:
    """Catches: raw weights for the average, training mode, another list of latents, labels that are not used."""
    _, averaged, _ = from_run(run)
    _, raw, _ = from_run(run, which="raw")
    assert weights_sha256(averaged) != weights_sha256(raw)
    loaded = ganlab.load(folder)
    assert not loaded.training
    before = torch.get_rng_state()
    images = loaded.sample(10, seed=3, batch_size=4)
    assert torch.equal(torch.get_rng_state(), before)
    torch.testing.assert_close(images, Sampler(averaged, "sample", 3, 10)(0, 10), rtol=0, atol=1e-6)
    sevens = loaded.sample(3, seed=3, labels=7, truncation=0.5)
    torch.testing.assert_close(sevens, loaded.sample(3, seed=3, labels=[7, 7, 7], truncation=0.5))
    expected = Sampler(averaged, "sample", 3, 3, label=7, truncation=0.5)(0, 3)
    torch.testing.assert_close(sevens, expected, rtol=0, atol=1e-6)
    assert (sevens - loaded.sample(3, seed=3, labels=2, truncation=0.5)).abs().max() > 1e-4
    drawn = loaded(torch.zeros(1, 4), torch.tensor([1]))
    assert not drawn.requires_grad


def test_others_may_read_what_is_exported(folder: Path) -> None:
    """Catches: weights that only their owner can open, beside a card that everybody can."""
    modes = {path.name: path.stat().st_mode for path in folder.iterdir()}
    assert modes["generator.safetensors"] == modes["README.md"]


@pytest.mark.parametrize("labels", [10, -1, [1, 2], [0, 1, 10]])
def test_labels_that_cannot_be_are_refused(folder: Path, labels: Any) -> None:
    """Catches: an index error in an embedding, labels that are repeated in silence."""
    with pytest.raises(ConfigurationError, match="label"):
        load_generator(folder).sample(3, labels=labels)


def test_loading_keeps_the_readers_random_numbers(folder: Path) -> None:
    """Catches: fresh weights drawn from the reader's own generator."""
    before = torch.get_rng_state()
    load_generator(folder)
    assert torch.equal(torch.get_rng_state(), before)


def test_reading_needs_neither_hydra_nor_lightning_nor_pickle(folder: Path) -> None:
    """Catches: an import that slips in; weights read with torch.load; an import of ganlab that waits for torch."""
    program = """
import sys
import ganlab
assert "torch" not in sys.modules
import torch, pickle, _pickle
def refuse(*arguments, **keywords):
    raise AssertionError("pickle was asked")
pickle.Unpickler = pickle.load = pickle.loads = pickle._Unpickler = _pickle.Unpickler = torch.load = refuse
images = ganlab.load(sys.argv[1]).sample(2)
assert images.shape[0] == 2
found = {name.partition(".")[0] for name in sys.modules}
print(sorted(found & {"hydra", "omegaconf", "pytorch_lightning", "lightning", "wandb", "torchmetrics", "pydantic"}))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder)], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.stdout.strip() == "[]", done.stderr


def edited(folder: Path, tmp_path: Path, **changes: Any) -> Path:
    """Returns a copy of an export whose config.json says something else."""
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "generator.safetensors").write_bytes((folder / "generator.safetensors").read_bytes())
    told = json.loads((folder / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**told, **changes}))
    return copy


@pytest.mark.parametrize(
    ("node", "words"),
    [
        ({"_target_": "os.system", "command": "touch CANARY"}, "is outside ganlab.models."),
        (
            {"_target_": "ganlab.files.write_atomically", "path": "CANARY", "content": "x"},
            "is outside ganlab.models.",
        ),
        ({"_target_": "ganlab.layers.blocks.normal_"}, "is no network"),
        ({"_target_": "ganlab.models.dcgan.NoSuch"}, "cannot be imported"),
        (
            {"_target_": "ganlab.models.dcgan.DCGANDiscriminator", "channels": 4, "image_size": 8},
            "no gen|not take",
        ),
        ({"_target_": "ganlab.models.dcgan.DCGANGenerator", "sides": 3}, "does not take these arguments"),
        ({"latent_dim": {"_target_": "builtins.print"}}, "is outside ganlab.models."),
        ([1], "is no generator"),
    ],
)
def test_strangers_configuration_runs_nothing(folder: Path, tmp_path: Path, node: Any, words: str) -> None:
    """Catches: a target outside the networks that is imported or called, also within another; no line at all."""
    with pytest.raises(ConfigurationError, match=words):
        load_generator(edited(folder, tmp_path, generator=node))
    assert not list(tmp_path.rglob("CANARY"))


def test_plugins_are_trusted_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: plugins that are ignored, or a name that only begins like one."""
    source = "from ganlab.models.dcgan import DCGANGenerator\\nclass Mine(DCGANGenerator):\\n    pass\\n"
    (tmp_path / "mynets.py").write_text(source.encode().decode("unicode_escape"))
    monkeypatch.syspath_prepend(str(tmp_path))
    generator = DCGANGenerator(latent_dim=2, channels=4, image_size=8, image_channels=1)
    node = {"_target_": "mynets.Mine", "latent_dim": 2, "channels": 4, "image_size": 8, "image_channels": 1}
    save_generator(tmp_path / "out", generator, {"generator": node})
    with pytest.raises(ConfigurationError, match=r"give plugins=\[mynets\]"):
        load_generator(tmp_path / "out")
    with pytest.raises(ConfigurationError):
        load_generator(tmp_path / "out", plugins=["myn"])
    assert type(load_generator(tmp_path / "out", plugins=["mynets"]).generator).__name__ == "Mine"


def test_damage_is_found(folder: Path, tmp_path: Path) -> None:
    """Catches: weights that are read without their checksum, an error of the library's own, a missing folder's."""
    copy = edited(folder, tmp_path)
    tensors = load_file(copy / "generator.safetensors")
    name = next(name for name, tensor in tensors.items() if tensor.is_floating_point())
    save_file({**tensors, name: tensors[name] + 1}, copy / "generator.safetensors")
    with pytest.raises(DataError, match="is damaged"):
        load_generator(copy)
    del tensors[name]
    save_file(tensors, copy / "generator.safetensors")
    with pytest.raises(DataError, match=r"cannot be read .*export it again"):
        load_generator(copy)
    (copy / "generator.safetensors").write_bytes(b"torn")
    with pytest.raises(DataError, match="cannot be read"):
        load_generator(copy)
    (copy / "config.json").write_text('{"format": 99}')
    with pytest.raises(DataError, match="format 1"):
        load_generator(copy)
    with pytest.raises(DataError, match="holds no exported generator"):
        load_generator(tmp_path / "nowhere")


def test_card_says_what_a_reader_has_to_know(run: RunFolder, folder: Path) -> None:
    """Catches: scores of another iteration, a score without its protocol, fields left open."""
    card = (folder / "README.md").read_text()
    assert " | lower | 14.35 | 11 to 13" in card
    assert "13.35" not in card
    assert "99" not in card.split("## Scores")[1].split("```")[0]
    assert '"num_samples": 1000' in card
    for words in ("digits", "Intended use", "synthetic", "Licence", "running average", " x 32, 1 channels"):
        assert words in card
    assert run.status()["data_sha256"] in card
    assert "{" not in card.split("```json")[0]
    told = json.loads((folder / "config.json").read_text())
    assert (told["run"], told["g_step"], told["num_classes"], told["weights"]) == ("tiny", 2, 10, "ema")
    with Image.open(folder / "samples.png") as picture:
        assert picture.text["ganlab:weights"] == told["weights_sha256"]  # type: ignore[attr-defined]


def test_sample_reads_an_export(
    run: RunFolder, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: other pictures, or pictures that say something else, than from the run itself."""
    for name, source in (("a", run.path), ("b", folder)):
        monkeypatch.setattr(sys, "argv", ["ganlab", f"run={source}", f"out={tmp_path / name}", "num=4"])
        sample.main()
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert len(names) == 6
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("method=drs", "asks the discriminator"),
        ("mode=neighbours", "compares with the training images"),
        ("generator=raw", "is an export of checkpoint=last generator=ema"),
    ],
)
def test_what_an_export_has_not_is_named(
    folder: Path,
    option: str,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Catches: a traceback, or averaged weights under the name of raw ones."""
    monkeypatch.setattr(sys, "argv", ["ganlab", f"run={folder}", f"out={tmp_path}", "num=2", option])
    with pytest.raises(SystemExit, match="2"):
        sample.main()
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(("generator", "out"), [("best", "x"), ("ema", None)])
def test_refused_exports(run: RunFolder, generator: str, out: str | None) -> None:
    """Catches: a word taken for `raw`; a run folder overwritten by its own export."""
    with pytest.raises(GanlabError, match=r"choose ema or raw|is the run folder itself"):
        export.export(export.ExportOptions(run=str(run.path), out=out or str(run.path), generator=generator))
