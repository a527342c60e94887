"""A reader, or a crash, sees the old content or the new, never a part."""

from pathlib import Path

import pytest

from ganlab.checkpoint import load_checkpoint, save_checkpoint
from ganlab.errors import DataError, StorageError
from ganlab.files import atomic_path, write_atomically


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


def test_checkpoint_that_cannot_be_written_keeps_the_previous_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk, as torch reports it."""
    import torch

    path = tmp_path / "last.ckpt"
    save_checkpoint(path, {"value": 1})

    def full(*_: object) -> None:
        raise RuntimeError("PytorchStreamWriter failed writing file: No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(StorageError, match="previous checkpoint is kept"):
        save_checkpoint(path, {"value": 2})
    assert load_checkpoint(path)["value"] == 1


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 half a zip", b"\x80\x04cos\nsystem\n(S'true'\ntR."])
def test_what_is_no_checkpoint_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    """Catches: a pickle's code run on loading, a traceback of torch's."""
    (tmp_path / "bad.ckpt").write_bytes(content)
    with pytest.raises(DataError, match=r"bad\.ckpt: cannot be read") as caught:
        load_checkpoint(tmp_path / "bad.ckpt")
    assert "\n" not in str(caught.value)
