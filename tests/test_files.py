"""A reader, or a crash, sees the old content or the new, never a part."""

import errno
import os
import resource
import signal
from pathlib import Path

import pytest

from ganlab.errors import DataError, StorageError
from ganlab.files import append_lines, atomic_path, read_json_lines, sweep_parts, write_atomically
from ganlab.runs.checkpoint_file import load_checkpoint, save_checkpoint


def test_old_content_stays_whole_for_who_has_it_open(tmp_path: Path) -> None:
    """Catches: writing into the old file, of which a crash leaves a part."""
    path = tmp_path / "file"
    write_atomically(path, b"old")
    with path.open("rb") as reader:
        write_atomically(path, b"new content")
        assert reader.read() == b"old"
    assert path.read_bytes() == b"new content"


def test_failure_leaves_the_old_content_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def fail_half_way() -> None:
        with atomic_path(path) as part:
            part.write_bytes(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_parts_of_dead_processes_are_swept(tmp_path: Path) -> None:
    """Catches a sweep that takes a living process's file, or whole files; and one that spares its own old number."""
    finished = os.spawnlp(os.P_NOWAIT, "true", "true")
    os.waitpid(finished, 0)
    swept = [f".last.ckpt.part-{finished}", f".run.json.part-{os.getpid()}"]
    kept = [f".last.ckpt.part-{os.getppid()}", ".last.ckpt.part-", "last.ckpt", f"notes.part-{finished}"]
    for name in (*swept, *kept):
        (tmp_path / name).touch()
    sweep_parts(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)


def test_lines_follow_a_torn_one(tmp_path: Path) -> None:
    """Catches a line appended to half a line, and readers that stop at what is no object."""
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b'{"a": 1}\n\xff\n3\n{"a": ')
    append_lines(path, '{"a": 2}\n', sync=True)
    append_lines(path, '{"a": 3}\n{"a": 4}\n')
    assert [line["a"] for line in read_json_lines(path)] == [1, 2, 3, 4]
    assert list(read_json_lines(tmp_path / "missing.jsonl")) == []


def test_lines_are_appended_whole_or_not_at_all(tmp_path: Path) -> None:
    """Catches part of a line left on a full disk: here a limit on the size of files, which cuts a write short too."""
    path = tmp_path / "lines.jsonl"
    append_lines(path, "first\n")
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
        with pytest.raises(OSError, match="No space left on device"):
            append_lines(path, "second\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_text() == "first\n"
    append_lines(path, "second\n")
    assert path.read_text() == "first\nsecond\n"


def test_checkpoint_that_cannot_be_written_keeps_the_previous_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failing disk, as torch reports it; and a fault of another kind, which is not the disk's."""
    import torch

    path = tmp_path / "last.ckpt"
    save_checkpoint(path, {"value": 1})

    def failing(*_: object) -> None:
        try:
            raise OSError(errno.EIO, "Input/output error")
        except OSError:
            raise RuntimeError("unexpected pos 64 vs 0")  # noqa: B904  as torch does

    def faulty(*_: object) -> None:
        raise RuntimeError("not the disk")

    monkeypatch.setattr(torch, "save", failing)
    with pytest.raises(StorageError, match=r"Input/output error.*previous checkpoint is kept"):
        save_checkpoint(path, {"value": 2})
    monkeypatch.setattr(torch, "save", faulty)
    with pytest.raises(RuntimeError, match="not the disk"):
        save_checkpoint(path, {"value": 2})
    assert load_checkpoint(path)["value"] == 1
    assert sorted(each.name for each in tmp_path.iterdir()) == ["last.ckpt", "manifest.jsonl"]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 half a zip", b"\x80\x04cos\nsystem\n(S'true'\ntR."])
def test_what_is_no_checkpoint_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    """Catches: a pickle's code run on loading, a traceback of torch's."""
    (tmp_path / "bad.ckpt").write_bytes(content)
    with pytest.raises(DataError, match=r"bad\.ckpt: cannot be read") as caught:
        load_checkpoint(tmp_path / "bad.ckpt")
    assert "\n" not in str(caught.value)
