"""C1 to C5 and R7: damaged files, full, read-only and vanished disks, locks, and states that do not fit."""

import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections import namedtuple
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from ganlab.build.restored import from_run
from ganlab.callbacks.checkpoint import Checkpointing
from ganlab.cli import compose_config
from ganlab.errors import ConfigurationError, DataError, StorageError
from ganlab.files import read_json_lines
from ganlab.runs import folder as run_folder
from ganlab.runs.checkpoint_file import DiskFullError, load_checkpoint, save_checkpoint
from ganlab.runs.checkpoint_folder import CheckpointFolder
from ganlab.runs.folder import RunFolder
from ganlab.runs.resumption import make_plan
from ganlab.train import train
from ganlab.training.adversarial import GANModule
from tests.test_resume import assert_equal_state
from tests.test_shipped_configs import GROUPS, OWN_IMAGES, options

RING = (
    *("model=gan", "data=ring2d", "data.batch_size=16", "trainer=cpu", "metrics=none", "logger=none"),
    *("model.latent_dim=2", "model.generator.channels=8", "model.discriminator.channels=8", "ema=default"),
    *("samples.num=16", "samples.every_g_steps=null", "watchdog.action=none", "log.every_g_steps=1"),
    "checkpoint.every_g_steps=2",
)
MIB = 2**20


def run(run_dir: Path, g_steps: int, *overrides: str) -> Path:
    train(compose_config(*RING, *overrides, f"run_dir={run_dir}", f"budget.g_steps={g_steps}"))
    return run_dir / "checkpoints"


@pytest.fixture(scope="module")
def six_steps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with `last.ckpt` of g_step 6 and `previous-1.ckpt` of g_step 4; not to be changed."""
    path = tmp_path_factory.mktemp("six") / "run"
    run(path, 6)
    return path


@pytest.fixture
def copied(six_steps: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(six_steps, tmp_path / "run"))


def listing(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def g_steps(folder: Path) -> dict[str, int]:
    return {path.stem: load_checkpoint(path)["counters"]["g_step"] for path in folder.glob("*.ckpt")}


# --- C1: damage


def truncate(share: float) -> Callable[[Path], None]:
    return lambda path: os.truncate(path, int(path.stat().st_size * share))


def flip_bit(inside: str) -> Callable[[Path], None]:
    """Flips one bit in the middle of the first member of the archive with this name."""

    def flip(path: Path) -> None:
        with zipfile.ZipFile(path) as archive:
            member = next(info for info in archive.infolist() if f"/{inside}" in info.filename)
            with archive.open(member) as content:
                start = content._orig_compress_start  # type: ignore[attr-defined]  # where its bytes begin
        data = bytearray(path.read_bytes())
        data[start + member.file_size // 2] ^= 1
        path.write_bytes(data)

    return flip


DAMAGE = {
    "empty": truncate(0),
    "1 %": truncate(0.01),
    "50 %": truncate(0.5),
    "99.9 %": truncate(0.999),
    "bit in a tensor": flip_bit("data/0"),
    "bit in the pickle": flip_bit("data.pkl"),
}


@pytest.mark.parametrize("with_manifest", [True, False])
@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_newest_gives_way_to_an_older_one(copied: Path, damage: str, with_manifest: bool) -> None:
    """Catches `torch.load` alone, which reads a flipped bit of a tensor; and a look at one file only."""
    folder = copied / "checkpoints"
    if not with_manifest:
        (folder / "manifest.jsonl").unlink()
    DAMAGE[damage](folder / "last.ckpt")
    found = CheckpointFolder(folder).newest()
    assert found is not None
    assert (found.path.name, found.state["counters"]["g_step"]) == ("previous-1.ckpt", 4)
    assert [path.name for path in found.damaged] == ["last.ckpt"]
    assert all("\n" not in reason and reason for reason in found.damaged.values())


def test_training_continues_from_the_older_one(
    six_steps: Path, copied: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Catches a silent start from scratch, and a rotation that puts the damaged file in place of the whole one."""
    DAMAGE["bit in a tensor"](copied / "checkpoints" / "last.ckpt")
    folder = run(copied, 6)
    warnings = [line for line in capfd.readouterr().err.splitlines() if "warning" in line]
    assert len(warnings) == 1
    assert "last.ckpt: its sha256 is not in manifest.jsonl" in warnings[0]
    assert "continues from previous-1.ckpt of g_step 4" in warnings[0]
    assert_equal_state(*(load_checkpoint(path / "checkpoints" / "last.ckpt") for path in (six_steps, copied)))
    assert g_steps(folder) == {"last": 6, "previous-1": 4}
    assert (folder / "last.ckpt.damaged").exists()


def test_latest_state_is_written_again_without_training(copied: Path) -> None:
    """Catches a run that is done, by an earlier state, and leaves no `last.ckpt`."""
    truncate(0.5)(copied / "checkpoints" / "last.ckpt")
    assert g_steps(run(copied, 4)) == {"last": 4, "previous-1": 4}


def test_nothing_whole_is_no_start_from_scratch(copied: Path) -> None:
    """Catches a run that begins anew over the ruins of the old one."""
    folder = copied / "checkpoints"
    for path in folder.glob("*.ckpt"):
        truncate(0.5)(path)
    before = listing(folder)
    with pytest.raises(
        DataError, match=r"no checkpoint can be read \(.*last\.ckpt: .*previous-1\.ckpt: "
    ) as error:
        run(copied, 8)
    assert error.value.exit_status == 3
    assert listing(folder) == before


def test_newest_is_the_one_that_came_furthest(tmp_path: Path) -> None:
    """Catches an order by name, or by age of the file; of two states of one `g_step`, another than the last."""
    folder = CheckpointFolder(tmp_path, keep_last=3)
    for g_step in (2, 4, 6):
        folder.save({"counters": {"g_step": g_step}})
    folder.save({"counters": {"g_step": 5}}, "step-00000005.ckpt")
    folder.save({"counters": {"g_step": 3}}, "step-00000003.ckpt")
    folder.keep_last_as("best.ckpt")
    order = []
    while found := folder.newest():
        order.append(found.path.name)
        found.path.unlink()
    steps = ["step-00000005.ckpt", "previous-1.ckpt", "step-00000003.ckpt", "previous-2.ckpt"]
    assert order == ["last.ckpt", "best.ckpt", *steps]


def test_sampling_from_a_damaged_file_is_refused(copied: Path) -> None:
    """Catches a command that reads a checkpoint past its checksum."""
    DAMAGE["bit in a tensor"](copied / "checkpoints" / "last.ckpt")
    with pytest.raises(
        DataError, match=r"last\.ckpt: cannot be read \(.*sha256.*\); .*beside it: previous-1\)"
    ):
        from_run(RunFolder(copied), "last")
    assert from_run(RunFolder(copied), "previous-1")[2]["g_step"] == 4


@pytest.mark.parametrize("payload", [{"format": 1, "counters": {}}, {"counters": {}}, [1]])
def test_file_of_another_kind_is_refused(tmp_path: Path, payload: Any) -> None:
    """Catches a file of an older version, or of another program, taken for a checkpoint."""
    torch.save(payload, tmp_path / "last.ckpt")
    with pytest.raises(
        DataError, match=r"last\.ckpt: cannot be read \(not a ganlab checkpoint of format 3\)"
    ):
        load_checkpoint(tmp_path / "last.ckpt")


def test_fault_without_words_is_named(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a traceback, where what cannot be read says nothing of itself."""

    def fail(*_: object, **__: object) -> None:
        raise EOFError

    monkeypatch.setattr(torch, "load", fail)
    with pytest.raises(DataError, match=r"last\.ckpt: cannot be read \(EOFError\)"):
        load_checkpoint(copied / "checkpoints" / "last.ckpt")


# --- the manifest and rotation


def test_line_is_written_before_the_name_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a line that comes after the file: a kill in between would condemn a whole file."""
    replace, named = os.replace, []

    def checked(source: Path, target: Path) -> None:
        if Path(target).suffix == ".ckpt":
            sums = [line["sha256"] for line in read_json_lines(tmp_path / "manifest.jsonl")]
            assert hashlib.sha256(Path(source).read_bytes()).hexdigest() in sums
            named.append(Path(target).name)
        replace(source, target)

    monkeypatch.setattr(os, "replace", checked)
    folder = CheckpointFolder(tmp_path, keep_last=3)
    for g_step in range(3):
        folder.save({"counters": {"g_step": g_step}})
    assert named == ["last.ckpt", "last.ckpt", "previous-2.ckpt", "last.ckpt"]


@pytest.mark.parametrize("has_links", [True, False])
def test_latest_states_are_kept_and_never_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_links: bool
) -> None:
    """Catches a rotation in the wrong order, one too many or too few, and an instant without any state."""
    folder = CheckpointFolder(tmp_path, keep_last=3)
    folder.save({"counters": {"g_step": 0}})

    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    if not has_links:
        monkeypatch.setattr(os, "link", refuse)
    saved = 0
    for place, name in ((os, "replace"), (os, "link"), (Path, "unlink")):
        original = getattr(place, name)

        def checked(*arguments: Any, original: Callable[..., None] = original, **options: Any) -> None:
            original(*arguments, **options)
            found = CheckpointFolder(tmp_path).newest()
            assert found is not None
            assert not found.damaged
            assert found.state["counters"]["g_step"] >= saved

        monkeypatch.setattr(place, name, checked)
    for g_step in range(1, 5):
        folder.save({"counters": {"g_step": g_step}})
        saved = g_step
        assert g_steps(tmp_path) == {
            name: g_step - age
            for age, name in enumerate(("last", "previous-1", "previous-2"))
            if age <= g_step
        }
    CheckpointFolder(tmp_path, keep_last=1).save({"counters": {"g_step": 5}})
    assert g_steps(tmp_path) == {"last": 5}
    folder.keep_last_as("best.ckpt")
    assert (tmp_path / "best.ckpt").samefile(tmp_path / "last.ckpt") == has_links
    folder.save({"counters": {"g_step": 6}})
    assert g_steps(tmp_path) == {"last": 6, "previous-1": 5, "best": 5}


def test_run_of_an_older_version_gets_a_manifest(copied: Path) -> None:
    """Catches a manifest begun anew that condemns older files, and one that takes a damaged file for whole."""
    folder = copied / "checkpoints"
    (folder / "manifest.jsonl").unlink()
    shutil.copy(folder / "last.ckpt", folder / "step-00000006.ckpt")
    DAMAGE["bit in a tensor"](folder / "step-00000006.ckpt")
    (folder / f".best.ckpt.part-{os.getpid()}").touch()
    run(copied, 8, "checkpoint.keep_last=3")
    assert not list(folder.glob(".*")), "torn files are swept at the start"
    with pytest.raises(DataError, match="step-00000006"):
        load_checkpoint(folder / "step-00000006.ckpt")
    (folder / "step-00000006.ckpt").unlink()
    assert g_steps(folder) == {"last": 8, "previous-1": 6, "previous-2": 4}


def test_nothing_is_done_when_no_save_is_due(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a state collected in every iteration, and a state written twice for two names."""
    collected: list[int] = []
    state = GANModule.state
    monkeypatch.setattr(
        GANModule, "state", lambda self: collected.append(self.counters.g_step) or state(self)
    )
    folder = run(tmp_path / "run", 7, "checkpoint.every_g_steps=4", "checkpoint.keep_every_g_steps=2")
    assert collected == [2, 4, 6, 7]
    assert g_steps(folder) == {
        "last": 7,
        "previous-1": 4,
        "step-00000002": 2,
        "step-00000004": 4,
        "step-00000006": 6,
    }


# --- C2: a full disk


Usage = namedtuple("Usage", "total used free")


class SmallDisk:
    """A disk of 8 MiB: a tmpfs where one may be mounted; else what `shutil` and `torch` say is made up."""

    size = 8 * MIB

    def __init__(self, path: Path) -> None:
        self.path = path

    def used(self) -> int:
        inodes = {file.stat().st_ino: file.stat().st_size for file in self.path.rglob("*") if file.is_file()}
        return sum(inodes.values())

    def fill(self, free: int) -> None:
        """Leaves so many bytes."""
        filler = self.path / "filler"
        filler.unlink(missing_ok=True)
        filler.write_bytes(bytes(max(0, shutil.disk_usage(self.path).free - free)))


@pytest.fixture(params=["tmpfs", "made up"])
def small_disk(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SmallDisk]:
    disk = SmallDisk(tmp_path / "disk")
    disk.path.mkdir()
    if request.param == "tmpfs":
        options = f"size={disk.size}"
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "ganlab", disk.path], capture_output=True
        )
        if mounted.returncode:
            pytest.skip("no right to mount: the made up disk must do")
        yield disk
        subprocess.run(["umount", "--lazy", disk.path], check=True)
        return
    save = torch.save

    def full(payload: Any, file: Any) -> None:
        file.flush()
        free = disk.size - disk.used()
        save(payload, file)
        file.flush()
        if disk.used() > disk.size:
            file.truncate(free)
            try:
                raise OSError(errno.ENOSPC, "No space left on device")
            except OSError:
                raise RuntimeError("unexpected pos 64 vs 0")  # noqa: B904  as torch does

    monkeypatch.setattr(torch, "save", full)
    usage = lambda path: Usage(disk.size, disk.used(), max(0, disk.size - disk.used()))  # noqa: E731
    monkeypatch.setattr(shutil, "disk_usage", usage)
    yield disk


def state_of(g_step: int, size: int = MIB) -> dict[str, Any]:
    return {"counters": {"g_step": g_step}, "weights": torch.full((size // 4,), float(g_step))}


def test_full_disk_costs_an_earlier_state_but_not_the_last(small_disk: SmallDisk) -> None:
    """Catches a save that gives up too much, too little, or leaves half a file."""
    folder = CheckpointFolder(small_disk.path, keep_last=3)
    for g_step in (1, 2, 3):
        folder.save(state_of(g_step))
    small_disk.fill(free=3 * MIB // 2)
    folder.save(state_of(4))  # in the space of previous-2
    assert g_steps(small_disk.path) == {"last": 4, "previous-1": 3, "previous-2": 2}
    small_disk.fill(free=MIB // 2)
    folder.save(state_of(5))  # in the space of both
    assert g_steps(small_disk.path) == {"last": 5, "previous-1": 4}
    small_disk.fill(free=0)
    (small_disk.path / "previous-1.ckpt").unlink()
    small_disk.fill(free=MIB // 2)
    before = listing(small_disk.path)
    with pytest.raises(DiskFullError, match=r"last\.ckpt: .*the previous checkpoint is kept") as error:
        folder.save(state_of(6))
    assert error.value.exit_status == 5
    assert listing(small_disk.path) == before
    small_disk.fill(free=3 * MIB)
    folder.save(state_of(7))
    assert g_steps(small_disk.path) == {"last": 7, "previous-1": 5}


def test_earlier_state_is_not_given_up_in_vain(small_disk: SmallDisk) -> None:
    """Catches: a state deleted for a disk that others fill, and that has no room for the new one even so."""
    folder = CheckpointFolder(small_disk.path)
    for g_step in (1, 2):
        folder.save(state_of(g_step))
    small_disk.fill(free=0)
    with pytest.raises(DiskFullError):
        folder.save(state_of(3))
    assert g_steps(small_disk.path) == {"last": 2, "previous-1": 1}


def test_state_with_another_name_is_not_given_up(small_disk: SmallDisk) -> None:
    """Catches: an earlier state deleted that is also the best one, which frees nothing."""
    folder = CheckpointFolder(small_disk.path)
    folder.save(state_of(1))
    folder.keep_last_as("best.ckpt")
    folder.save(state_of(2))
    small_disk.fill(free=3 * MIB // 2)  # with the size of one state it would do
    with pytest.raises(DiskFullError):
        folder.save(state_of(3))
    assert g_steps(small_disk.path) == {"last": 2, "previous-1": 1, "best": 1}


def test_state_that_does_not_fit_leaves_no_litter(small_disk: SmallDisk) -> None:
    """Catches trust in the size of the last state: this one is larger, and the disk says so half way."""
    folder = CheckpointFolder(small_disk.path)
    folder.save(state_of(1))
    before = listing(small_disk.path)
    with pytest.raises(DiskFullError, match="No space left"):
        folder.save(state_of(2, size=9 * MIB))
    assert listing(small_disk.path) == before


def test_hopeless_attempt_is_spared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a disk filled to its last byte, for all who use it, by a file that cannot fit."""
    folder = CheckpointFolder(tmp_path)
    folder.save(state_of(1))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(8 * MIB, 7 * MIB, 3 * MIB // 2))
    monkeypatch.setattr(torch, "save", None)
    with pytest.raises(DiskFullError, match=r"needs 2\.0 MiB, and 1\.5 MiB are free"):
        folder.save(state_of(2))


def test_only_state_is_not_given_up(small_disk: SmallDisk) -> None:
    """Catches an earlier state given up after `last.ckpt` was found damaged and set aside."""
    folder = CheckpointFolder(small_disk.path)
    for g_step in (1, 2):
        folder.save(state_of(g_step))
    folder.set_aside({small_disk.path / "last.ckpt": "damaged"})
    small_disk.fill(free=MIB // 2)
    with pytest.raises(DiskFullError):
        folder.save(state_of(3))
    assert g_steps(small_disk.path) == {"previous-1": 1}


def at_g_step(monkeypatch: pytest.MonkeyPatch, actions: dict[int, Callable[[], object]]) -> None:
    """Lets something happen between D's and G's update of certain iterations."""
    step: Callable[..., Any] = GANModule._generator_step

    def acting_step(self: GANModule, *arguments: Any) -> Any:
        if self.counters.g_step in actions:
            actions[self.counters.g_step]()
        return step(self, *arguments)

    monkeypatch.setattr(GANModule, "_generator_step", acting_step)


def test_training_goes_on_while_the_disk_is_full(
    small_disk: SmallDisk, six_steps: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Catches a save or a line of metrics that ends the run, and lines that are lost or written twice."""
    append, is_full = run_folder.append_lines, False

    def append_where_there_is_space(*arguments: Any) -> None:
        if is_full:  # a tmpfs counts in pages, into which some lines still fit
            raise OSError(errno.ENOSPC, "No space left on device")
        append(*arguments)

    def fill(free: int) -> None:
        nonlocal is_full
        is_full = free == 0
        small_disk.fill(free)

    monkeypatch.setattr(run_folder, "append_lines", append_where_there_is_space)
    at_g_step(monkeypatch, {3: lambda: fill(0), 5: lambda: fill(small_disk.size)})
    folder = run(small_disk.path / "run", 6, "checkpoint.keep_last=1")
    warnings = [line for line in capfd.readouterr().err.splitlines() if "warning" in line]
    assert len(warnings) == 2
    assert any("last.ckpt" in line and "the next save tries again" in line for line in warnings)
    assert any("metrics.jsonl: the disk is full; its lines wait" in line for line in warnings)
    assert_equal_state(*(load_checkpoint(path / "last.ckpt") for path in (six_steps / "checkpoints", folder)))
    lines = (small_disk.path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["g_step"] for line in lines] == [1, 2, 3, 4, 5, 6]


def test_last_save_must_succeed(small_disk: SmallDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a run that reports success without its end on the disk."""
    at_g_step(monkeypatch, {4: lambda: small_disk.fill(free=0)})
    with pytest.raises(StorageError, match=r"cannot be written|free some space") as error:
        run(small_disk.path / "run", 5, "checkpoint.keep_last=1")
    assert error.value.exit_status == 5
    assert g_steps(small_disk.path / "run" / "checkpoints") == {"last": 4}


# --- C3: the folder cannot be written any more


def test_vanished_folder_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a run that trains on for nobody: it ends in the iteration in which it next writes."""
    at_g_step(monkeypatch, {3: lambda: shutil.rmtree(tmp_path / "run")})
    with pytest.raises(StorageError, match="No such file or directory") as error:
        run(tmp_path / "run", 1000)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_read_only_folder_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a disk that became read-only taken for a full one, which may get better."""
    folder = CheckpointFolder(tmp_path)
    folder.save(state_of(1))

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refuse)
        with pytest.raises(StorageError, match="Read-only file system") as error:
            folder.save(state_of(2))
        assert not isinstance(error.value, DiskFullError)
        with pytest.raises(StorageError, match="Read-only file system"):
            RunFolder(tmp_path / "run").open({"seed": 0}, {})
    assert g_steps(tmp_path) == {"last": 1}


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a tmpfs")
def test_read_only_mount_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same with a real mount, in a run and at its start."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "ganlab", disk], capture_output=True).returncode:
        pytest.skip("no right to mount: the test above must do")
    try:
        read_only = ["mount", "-t", "tmpfs", "-o", "ro", "ganlab", disk / "run"]  # over the folder
        at_g_step(monkeypatch, {3: lambda: subprocess.run(read_only, check=True)})
        for _ in range(2):
            with pytest.raises(StorageError, match="Read-only file system"):
                run(disk / "run", 1000, "resume=auto")
    finally:
        subprocess.run(["umount", "--recursive", "--lazy", disk], check=True)


# --- C4: two processes, one folder

HOLDER = """
import os, sys, time
from pathlib import Path
from ganlab.runs.folder import RunFolder
folder = RunFolder(Path(sys.argv[1]))
folder._take_lock()
owner = os.getpid()
if os.fork() == 0:
    print(owner, os.getpid(), flush=True)
time.sleep(60)
"""


def test_lock_of_a_dead_process_is_free(tmp_path: Path) -> None:
    """Catches a lock that outlives its process, in a file or in a loader process that was forked from it."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, tmp_path], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        owner, loader = map(int, holder.stdout.readline().split())
        try:
            with pytest.raises(ConfigurationError, match=f"process {owner} on .* is writing to this run"):
                RunFolder(tmp_path)._take_lock()
            holder.kill()
            holder.wait()
            heir = RunFolder(tmp_path)
            heir._take_lock()
            assert heir.is_open
            heir.close()
        finally:
            holder.kill()
            os.kill(loader, 9)


# --- R7: a whole file with a state that does not fit


def swap_optimizers(state: dict[str, Any]) -> None:
    optimizers = state["optimizers"]
    optimizers["generator"], optimizers["discriminator"] = (
        optimizers["discriminator"],
        optimizers["generator"],
    )


def first(tensors: dict[str, Any]) -> str:
    return next(iter(tensors))


def set_nan(state: dict[str, Any]) -> None:
    state["discriminator"][first(state["discriminator"])].view(-1)[-1] = float("nan")


def transpose(state: dict[str, Any]) -> None:
    name = first(state["ema"])
    state["ema"][name] = state["ema"][name].T.contiguous()


FAULTS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "swapped": (swap_optimizers, r"optimizers\.discriminator\.state\.\d+\.exp_avg has shape"),
    "optimiser": (lambda state: state["optimizers"].pop("generator"), r"optimizers\.generator is missing"),
    "parameter": (
        lambda state: state["optimizers"]["discriminator"]["param_groups"][0]["params"].pop(),
        r"optimizers\.discriminator is of \d parameters, not \d",
    ),
    "key": (lambda state: state["generator"].pop(first(state["generator"])), r"generator\.\S+ is missing"),
    "unknown": (
        lambda state: state["generator"].update(other=torch.zeros(1)),
        r"generator\.other is unknown",
    ),
    "network": (lambda state: state.pop("discriminator"), "discriminator is missing"),
    "average": (transpose, r"ema\.\S+ has shape \(2, 8\), not \(8, 2\)"),
    "counters": (lambda state: state.pop("counters"), "counters is missing"),
    "nan": (set_nan, r"discriminator\.\S+ is not finite"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_unfit_state_is_refused_by_name(copied: Path, fault: str) -> None:
    """Catches moments of one network used for the other, and what torch loads without complaint."""
    folder = copied / "checkpoints"
    state = load_checkpoint(folder / "last.ckpt")
    spoil, message = FAULTS[fault]
    spoil(state)
    save_checkpoint(folder / "last.ckpt", state)
    before = listing(folder)
    with pytest.raises(DataError, match=rf"last\.ckpt: does not fit this run: {message}") as error:
        run(copied, 8)
    assert "\n" not in str(error.value)
    assert listing(folder) == before


def test_state_is_looked_at_before_it_is_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a NaN in the average written over a good checkpoint, with nothing else looking."""
    from ganlab.errors import DivergedError
    from ganlab.training.generative import GenerativeModule

    path = run(tmp_path / "run", 2)
    state = GenerativeModule.state

    def spoilt(self: GenerativeModule) -> dict[str, Any]:
        collected = state(self)
        if self.counters.g_step > 2:
            collected["ema"] = {name: tensor * float("nan") for name, tensor in collected["ema"].items()}
        return collected

    monkeypatch.setattr(GANModule, "state", spoilt)
    with pytest.raises(DivergedError, match=r"ema\.\S+ is not finite at g_step 4"):
        run(tmp_path / "run", 4)
    assert g_steps(path) == {"last": 2}


def test_callback_keeps_to_its_section(six_steps: Path) -> None:
    """Catches keys of the configuration mixed up."""
    config = compose_config(*RING, f"run_dir={six_steps}", "checkpoint.keep_last=7")
    plan = make_plan(config)
    assert plan.state is not None
    assert plan.state["counters"]["g_step"] == 6
    assert Checkpointing(plan, config, "0")._folder._keep_last == 7


# --- C5: what a configuration brings into a checkpoint


@pytest.mark.parametrize(
    "group",
    [
        pytest.param(group, marks=[] if group in ("loss", "optimizer") else pytest.mark.slow)
        for group in GROUPS
        if group != "extractor"
    ],
)
def test_every_option_is_loaded_without_pickle(tmp_path: Path, group: str) -> None:
    """Catches an interpolation, a path or a number of numpy in what a run saves of its configuration."""
    own = OWN_IMAGES if group == "data" else ()
    saved = {}
    for option in options(group):
        config = compose_config(f"{group}={option}", *own)
        saved[option] = {"config": yaml.safe_dump(config, sort_keys=False)}
        assert yaml.safe_load(saved[option]["config"]) == config
    save_checkpoint(tmp_path / "last.ckpt", saved)
    loaded = load_checkpoint(tmp_path / "last.ckpt")
    assert {option: loaded[option] for option in saved} == saved


# --- C2, C3: what else is written


def refuse(number: int) -> Callable[..., None]:
    def write(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    return write


def test_picture_that_finds_no_space_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Catches: a run of days that ends for one picture."""
    monkeypatch.setattr("ganlab.callbacks.samples.save_picture", refuse(errno.ENOSPC))
    assert g_steps(run(tmp_path / "run", 2)) == {"last": 2}
    assert capfd.readouterr().err.count("the disk is full; this picture is left out") == 2  # first and last


def test_picture_that_may_not_be_written_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: taking every fault for a full disk."""
    monkeypatch.setattr("ganlab.callbacks.samples.save_picture", refuse(errno.EACCES))
    with pytest.raises(StorageError, match=r"00000000\.png: cannot be written"):
        run(tmp_path / "run", 2)


def test_what_ended_a_run_is_told_even_if_it_cannot_be_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: exit status 5 for a run that diverged, because its folder could not be written either."""

    def fail(*_: object) -> None:
        monkeypatch.setattr(run_folder, "write_atomically", refuse(errno.EROFS))
        raise DataError("what ended it")

    monkeypatch.setattr("ganlab.callbacks.samples.save_picture", fail)
    with pytest.raises(DataError, match="what ended it"):
        run(tmp_path / "run", 2)
