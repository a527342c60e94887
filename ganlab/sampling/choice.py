"""Ways to choose latents, by the names that commands know them by."""

from collections.abc import Mapping
from typing import Any

from ganlab.errors import ConfigurationError
from ganlab.sampling.langevin import LatentLangevin
from ganlab.sampling.method import LatentMethod
from ganlab.sampling.rejection import RejectionSampling

_DRS = {"percentile": "drs_percentile", "gamma": "drs_gamma", "burn_in": "drs_burn_in"}
_DDLS = {"num_steps": "ddls_steps", "step_size": "ddls_step_size", "noise": "ddls_noise"}

METHODS: dict[str, tuple[type[LatentMethod] | None, Mapping[str, str]]] = {
    "plain": (None, {}),
    "drs": (RejectionSampling, _DRS),
    "ddls": (LatentLangevin, _DDLS),
}
"""The class of each method, and the option that each argument of its constructor is typed as."""


def choose_method(name: str, typed: Mapping[str, Any]) -> LatentMethod | None:
    """Makes a method from what was typed; `None` for `plain`, which leaves latents as the prior drew them.

    Args:
        name: `plain`, `drs` or `ddls`.
        typed: options by name, of which `drs_...` and `ddls_...` count; `None` takes the constructor's default.

    Raises:
        ConfigurationError: there is no such method, or an option belongs to another.
    """
    if name not in METHODS:
        raise ConfigurationError(f"method={name}: choose {', '.join(METHODS)}")
    for owner, (_, keys) in METHODS.items():
        for key in keys.values():
            if owner != name and typed.get(key) is not None:
                raise ConfigurationError(f"{key}={typed[key]}: belongs to method={owner}")
    kind, keys = METHODS[name]
    if kind is None:
        return None
    if len([key for key in ("drs_percentile", "drs_gamma") if typed.get(key) is not None]) == 2:
        raise ConfigurationError("drs_gamma= takes the place of drs_percentile=: give one of them")
    given = {argument: typed[key] for argument, key in keys.items() if typed.get(key) is not None}
    return kind(**given)
