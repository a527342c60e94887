"""V7: a file that wants to run code is refused by every command that reads it, and runs none."""

import os
import pickle
import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from fault_commands import TINY

import ganlab
from ganlab import evaluate, sample, train
from ganlab.cli import compose_config
from ganlab.runs.checkpoint_file import load_checkpoint


class Payload:
    """Makes a folder when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self._marker = str(marker)

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (self._marker,)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trained") / "run"
    train.train(compose_config(*TINY, "budget.g_steps=2", f"run_dir={path}"))
    return path


@pytest.fixture
def run_dir(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "run"))


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "ran"


def ends(monkeypatch: pytest.MonkeyPatch, verb: ModuleType, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["ganlab", *arguments])
    with pytest.raises(SystemExit) as ended:
        verb.main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


WRITERS: dict[str, Callable[[Any, Path], None]] = {
    "archive": lambda payload, path: torch.save({"format": 2, "generator": payload}, path),
    "pickle": lambda payload, path: path.write_bytes(pickle.dumps(payload)) and None,
}


@pytest.mark.parametrize("form", WRITERS)
def test_payload_in_a_checkpoint(
    run_dir: Path,
    marker: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    form: str,
) -> None:
    """Catches: `weights_only=False` anywhere; here no manifest protects the file, as in a folder from a stranger."""
    for path in run_dir.joinpath("checkpoints").iterdir():
        path.unlink()
    evil = run_dir / "checkpoints" / "last.ckpt"
    WRITERS[form](Payload(marker), evil)
    out = f"out={run_dir.parent / 'out'}"
    for verb, arguments in (
        (sample, (f"run={run_dir}", "num=2", out)),
        (evaluate, (f"run={run_dir}", "num_samples=8")),
        (train, (*TINY, "budget.g_steps=4", f"run_dir={run_dir}")),
        (train, (*TINY, f"initialize.run={run_dir}", f"run_dir={run_dir.parent / 'other'}")),
    ):
        assert ends(monkeypatch, verb, *arguments) == 3, verb.__name__
        assert "Traceback" not in capsys.readouterr().err
    assert not marker.exists()


def test_payload_in_arrays(
    run_dir: Path, marker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: `allow_pickle=True` for images, statistics or tables."""
    array = np.array([Payload(marker)], dtype=object)
    evil = tmp_path / "evil.npz"
    np.savez(evil, images=array, mu=array, sigma=array, allow_pickle=True)
    good = tmp_path / "good.npz"
    np.savez(good, images=np.zeros((4, 8, 8, 3), np.uint8))
    for images, reference in ((evil, good), (good, evil)):
        assert ends(monkeypatch, evaluate, f"images={images}", f"reference={reference}") == 3
    table = tmp_path / "evil.npy"
    np.save(table, array, allow_pickle=True)
    labels = ("model=stackgan_stage1", "data=digits", "data.image_size=32", "logger=none", "trainer=cpu")
    tables = (f"model.generator.embeddings={table}", f"model.discriminator.embeddings={table}")
    assert ends(monkeypatch, train, *labels, *tables, f"run_dir={tmp_path / 'table'}") == 3
    assert not marker.exists()


def test_payload_in_an_export(marker: Path, tmp_path: Path) -> None:
    """Catches: weights read by anything but safetensors."""
    folder = tmp_path / "export"
    folder.mkdir()
    (folder / "generator.safetensors").write_bytes(pickle.dumps(Payload(marker)))
    (folder / "config.json").write_text("{}")
    with pytest.raises(ganlab.errors.GanlabError):
        ganlab.load(folder)
    assert not marker.exists()


def test_payload_in_a_configuration(
    run_dir: Path, marker: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches: a class of a run's folder that is called before it is known to be trusted, and YAML that calls one."""
    last = run_dir / "checkpoints" / "last.ckpt"
    state = load_checkpoint(last)
    config = yaml.safe_load(state["config"])
    config["model"]["generator"] = {"_target_": "os.mkdir", "_args_": [str(marker)]}
    for path in last.parent.iterdir():
        path.unlink()  # the manifest too, which would not know the file
    commands = {sample: ("num=2", f"out={run_dir.parent / 'out'}"), evaluate: ("num_samples=8",)}
    for text, status in (
        (yaml.safe_dump(config), 2),
        (f"model: !!python/object/apply:os.mkdir ['{marker}']\n", 3),
    ):
        torch.save({**state, "config": text}, last)
        (run_dir / "config.yaml").write_text(text)
        for verb, arguments in commands.items():
            assert ends(monkeypatch, verb, f"run={run_dir}", *arguments) == status, verb.__name__
            assert "os.mkdir" in capsys.readouterr().err
    assert not marker.exists()


def test_payload_in_an_archive_of_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: members of an archive that are unpacked to where their names say."""
    evil = tmp_path / "in" / "evil.zip"
    evil.parent.mkdir()
    with zipfile.ZipFile(evil, "w") as archive:
        archive.writestr("../../escaped.png", b"no image")
    assert ends(monkeypatch, evaluate, f"images={evil}", "reference=digits") == 3
    assert [path.name for path in tmp_path.rglob("escaped*")] == []
