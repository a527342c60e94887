"""What holds for every test: no tracker's server, no data or caches of one's own, one thread."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

HOUSEKEEPING = (".", "__", "pytest-cache-files-")
"""Beginnings of names; the last becomes `.pytest_cache`, while another process tests."""


@pytest.fixture(autouse=True, scope="session")
def surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Points ganlab and its child processes at empty folders and keeps W&B off the network."""
    torch.set_num_threads(1)  # networks this small only wait for a second thread
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")  # in child processes too
        patch.setenv("WANDB_MODE", "offline")
        patch.setenv("GANLAB_DATA", str(tmp_path_factory.mktemp("data")))
        patch.setenv("GANLAB_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def leaves_nothing_behind() -> Iterator[None]:
    """Fails a test that leaves something in the working directory (`lightning_logs`, `wandb`, `runs`)."""
    folder = Path.cwd()
    before = set(folder.iterdir())
    yield
    left = sorted(
        path.name for path in set(folder.iterdir()) - before if not path.name.startswith(HOUSEKEEPING)
    )
    assert not left, f"left in {folder}: {', '.join(left)}"
