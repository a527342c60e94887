"""Waiting threads leave the cores to others, unless the user wants them not to."""

import os
import subprocess
import sys

import joblib
import pytest
from joblib.externals.loky import get_reusable_executor

from ganlab.sweeping import job
from ganlab.threads import let_waiting_threads_sleep


@pytest.mark.parametrize("chosen", [{}, {"GOMP_SPINCOUNT": "7"}, {"OMP_WAIT_POLICY": "ACTIVE"}])
def test_what_the_user_has_set_stays(chosen: dict[str, str]) -> None:
    """Catches: a choice of the user's that is overwritten, and none where there is no choice."""
    environment = dict(chosen)
    let_waiting_threads_sleep(environment)
    assert environment == (chosen or {"GOMP_SPINCOUNT": "10000"})


def test_it_is_set_by_the_first_import() -> None:
    """Catches: a setting that comes after torch, or never."""
    program = "import os, sys, ganlab; assert 'torch' not in sys.modules; print(os.environ['GOMP_SPINCOUNT'])"
    own = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    found = subprocess.run(
        [sys.executable, "-c", program], env=own, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "10000"


LOCAL = "hydra_plugins.hydra_submitit_launcher.submitit_launcher.LocalLauncher"


@pytest.mark.parametrize(
    ("launcher", "expected"),
    [
        ({"_target_": LOCAL, "cpus_per_task": None}, {"OMP_NUM_THREADS": "1"}),
        ({"_target_": LOCAL, "cpus_per_task": 3}, {"OMP_NUM_THREADS": "3"}),
        ({"_target_": LOCAL.replace("Local", "Slurm"), "cpus_per_task": None}, {}),
        ({"_target_": "hydra._internal.core_plugins.basic_launcher.BasicLauncher"}, {}),
    ],
)
def test_jobs_that_start_at_once_share_the_cores(
    launcher: dict[str, object], expected: dict[str, str]
) -> None:
    """Catches: all cores for each of them, one core for a job in order, the number that was asked for ignored."""
    assert job._threads(launcher) == expected


@pytest.mark.parametrize("chosen", [None, "5"])
def test_jobs_of_joblib_share_the_cores(chosen: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """joblib sees to it, as docs/sweeps.md says. Catches: a version of it that does not."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if chosen:
        monkeypatch.setenv("OMP_NUM_THREADS", chosen)
    with joblib.parallel_config("loky", n_jobs=2):
        (threads,) = set(joblib.Parallel()(joblib.delayed(os.getenv)("OMP_NUM_THREADS") for _ in range(2)))
    get_reusable_executor().shutdown(wait=True)
    assert threads == (chosen or str(max(1, joblib.cpu_count() // 2)))
