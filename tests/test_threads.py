"""Waiting threads leave the cores to others, unless the user wants them not to."""

import os
import subprocess
import sys

import pytest

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
