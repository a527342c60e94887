"""Ways to choose latents, by the names that commands know them by."""

from collections.abc import Callable, Mapping
from typing import Any

from ganlab.sampling.langevin import LatentLangevin
from ganlab.sampling.method import LatentMethod
from ganlab.sampling.rejection import RejectionSampling

Typed = Mapping[str, Any]
"""Options by name, of which `drs_...` and `ddls_...` count here; `None` takes the constructor's default."""


def _plain(typed: Typed) -> LatentMethod | None:
    return None


def _drs(typed: Typed) -> LatentMethod | None:
    keys = {"percentile": "drs_percentile", "gamma": "drs_gamma", "burn_in": "drs_burn_in"}
    return RejectionSampling(**_given(typed, keys))


def _ddls(typed: Typed) -> LatentMethod | None:
    keys = {"num_steps": "ddls_steps", "step_size": "ddls_step_size", "noise": "ddls_noise"}
    return LatentLangevin(**_given(typed, keys))


def _given(typed: Typed, keys: Mapping[str, str]) -> dict[str, Any]:
    """Returns the arguments that were typed; the rest is for the constructor to know."""
    return {name: typed[key] for name, key in keys.items() if typed[key] is not None}


METHODS: dict[str, Callable[[Typed], LatentMethod | None]] = {"plain": _plain, "drs": _drs, "ddls": _ddls}
"""Makes the method of a name from what was typed; `None` leaves latents as the prior drew them."""
