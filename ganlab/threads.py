"""How OpenMP's threads wait for each other; read by OpenMP when torch is imported, so it is set before."""

from collections.abc import MutableMapping

SPIN_COUNT = "10000"
"""Rounds that a waiting thread turns before it sleeps, of 300,000 by default: enough for the next operation to find it
awake, too few to hold a core that another process needs."""

_CHOICES = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")


def let_waiting_threads_sleep(environment: MutableMapping[str, str]) -> None:
    """Limits how long GNU's OpenMP, which torch brings on Linux, waits in a loop; what the user has set stays.

    Args:
        environment: of this process; its children inherit it. Without effect where torch was imported before ganlab.
    """
    if not any(name in environment for name in _CHOICES):
        environment["GOMP_SPINCOUNT"] = SPIN_COUNT
