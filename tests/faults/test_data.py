"""What data can do to a running process (faults I3 and I4)."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in listed.read_text().split()] if listed.exists() else []


@pytest.mark.slow
def test_a_loader_process_that_is_killed_ends_the_run_with_one_line(tmp_path: Path) -> None:
    """I4. Catches: waiting for a dead process for ever, or a page of the library's own words."""
    command = [
        *(sys.executable, "-m", "ganlab.train", "experiment=ring2d", f"run_dir={tmp_path / 'run'}"),
        *("logger=none", "metrics=none", "data.num_workers=2", "budget.g_steps=1000000"),
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    metrics = tmp_path / "run" / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while not metrics.exists() and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.1)
    workers = [pid for pid in children(process.pid) if b"python" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    subprocess.run(["kill", f"-{signal.SIGKILL.value}", str(workers[-1])], check=True)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 3
    assert "a process that loads images died" in said.splitlines()[-1]
    assert "Traceback" not in said
