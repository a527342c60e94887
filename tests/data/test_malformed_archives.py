"""Archives that are damaged in many ways end in 0 or in one line: to check, to load and to prepare alike."""

import os
import resource
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from malformed_archives import KINDS, malformed

from ganlab.data.__main__ import command
from ganlab.data.image_zip import ImageZip
from ganlab.errors import DataError

SECONDS = 20
"""Processor time that one archive may take, of which the slowest takes half a second."""
BYTES = 600 << 20
"""Memory that all of them may take beyond that of the imports, of which they take 300 MB."""


def outcome(path: Path, folder: Path) -> int:
    """Returns the exit status that `data check`, training and `data prepare` agree on."""
    statuses = set()
    for use in (
        lambda: command(["check", str(path)]),
        lambda: ImageZip(str(path)).load("train", (8, 8), 3, folder / "cache"),
        lambda: command(["prepare", str(path), f"out={folder / 'out.zip'}", "image_size=8"]),
    ):
        message = ""
        try:
            use()
            statuses.add(0)
        except DataError as error:
            statuses.add(error.exit_status)
            message = str(error)
        assert message.isprintable()
        assert len(message) < 2500
    (status,) = statuses
    return status


@pytest.mark.parametrize("first", range(len(KINDS) - 1), ids=[kind.__name__ for kind in KINDS[:-1]])
def test_malformed_archives_end_in_one_line(
    tmp_path: Path, first: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches: a reader's exception that no one expects, a fault that one of the three uses does not see."""
    for number in range(first, 6 * len(KINDS), len(KINDS)):
        kind, content = malformed(number)
        (tmp_path / f"{number}.zip").write_bytes(content)
        assert outcome(tmp_path / f"{number}.zip", tmp_path) in (0, 3), (kind, number)
    assert all(line.isprintable() for line in capsys.readouterr().out.splitlines())


@pytest.mark.slow
def test_hundreds_of_malformed_archives_end_in_bounded_time_and_memory(tmp_path: Path) -> None:
    """Catches: what 72 archives do not show; an archive that fills the memory or does not end."""
    paths = [str(Path(__file__).parents[1] / "shared"), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, __file__, str(tmp_path), "1200"],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
    )
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-2000:]
    print(done.stdout)


def main(folder: Path, num: int) -> None:
    """Tries the first `num` archives under a limit of time each, and of memory for all."""
    outcomes: Counter[tuple[str, int]] = Counter()
    before, slowest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 0.0
    for number in range(num):
        kind, content = malformed(number)
        path = folder / f"{number}.zip"
        path.write_bytes(content)
        started = resource.getrusage(resource.RUSAGE_SELF).ru_utime
        signal.setitimer(signal.ITIMER_PROF, SECONDS)  # ends the process
        outcomes[kind, outcome(path, folder)] += 1
        signal.setitimer(signal.ITIMER_PROF, 0)
        slowest = max(slowest, resource.getrusage(resource.RUSAGE_SELF).ru_utime - started)
        path.unlink()
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10
    print(f"{dict(outcomes)}; slowest {slowest:.2f} s, memory +{grown >> 20} MiB")
    assert grown < BYTES
    assert {status for _, status in outcomes} == {0, 3}


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
