"""Numbers that training changes and no checkpoint carries: a run that goes on would begin with the old ones."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from ganlab.errors import ConfigurationError
from ganlab.interfaces import Balance, Constraint, Part
from ganlab.training.generative import GenerativeModule

_KINDS = (Part, Balance, Constraint)


class UnsavedNumbers:
    """Remembers the plain numbers of all parts, networks among them, to refuse one that training has changed.

    Only whole numbers and floats count: what else a part keeps, such as a tensor made once, may be there for speed.

    Args:
        module: as a run begins or goes on.
    """

    def __init__(self, module: GenerativeModule) -> None:
        self._owners = _owners(module)
        self._scheduled = {(id(number.part), number.attribute) for number in module.scheduled_numbers}
        self._numbers = self._read()

    def check(self) -> None:
        """Looks whether they are what they were; one that has come since then counts from now on.

        Raises:
            ConfigurationError: one is not; it is named.
        """
        present = self._read()
        for (name, attribute), value in present.items():
            before = self._numbers.get((name, attribute), value)
            if before != value:
                label = f"{type(self._owners[name]).__name__}.{attribute}"
                raise ConfigurationError(
                    f"{name}: training has changed {label} from {before} to {value}, but checkpoints carry buffers "
                    "only: it would begin anew when the run goes on; keep it in a buffer (register_buffer) of an "
                    "nn.Module, or make it a function of g_step (schedules)"
                )
        self._numbers = present

    def _read(self) -> dict[tuple[str, str], float]:
        return {
            (name, attribute): value
            for name, owner in self._owners.items()
            for attribute, value in vars(owner).items()
            if type(value) in (int, float)
            and value == value  # nan is no other than nan
            and (id(owner), attribute) not in self._scheduled
        }


def _owners(module: GenerativeModule) -> dict[str, Any]:
    """Returns networks, parts and all modules in them by name, each once."""
    holders = (vars(module.optimization), vars(module), dict(module.named_children()))
    named = {name: value for holder in holders for name, value in holder.items() if name != "_modules"}
    parts: dict[str, Any] = {}
    for name, value in named.items():
        inner = dict(value.items()) if isinstance(value, Mapping | nn.ModuleDict) else {}
        parts |= {name: value, **{f"{name}.{key}": each for key, each in inner.items()}}
    parts = {name: part for name, part in parts.items() if isinstance(part, _KINDS)}
    owners: dict[int, tuple[str, Any]] = {}
    for name, part in (*module.networks.items(), *parts.items()):
        for below, owner in part.named_modules() if isinstance(part, nn.Module) else [("", part)]:
            owners.setdefault(id(owner), (f"{name}.{below}".rstrip("."), owner))
    return dict(owners.values())
