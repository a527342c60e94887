"""Fine-tuning: a run that begins with the weights of another one, and leaves some of its weights as they are."""

import difflib
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ganlab.cli.options import check_run
from ganlab.errors import ConfigurationError
from ganlab.runs.checkpoint_file import generator_weights, load_checkpoint
from ganlab.training.generative import GenerativeModule

_SHOWN = 12
"""Names in a line of the terminal; the run folder has all."""


@dataclass(frozen=True)
class Fit:
    """What a network takes from the same network of another run, by the names of its tensors."""

    taken: tuple[str, ...]
    drawn_anew: Mapping[str, str]
    """Tensors that keep the values they were drawn with, each with the reason."""
    left_over: tuple[str, ...]
    """Tensors of the other run that have no place here."""


@dataclass(frozen=True)
class Inheritance:
    """What a run began with."""

    run: str
    checkpoint: str
    sha256: str
    """Of the checkpoint."""
    g_step: int | None
    """Of the other run."""
    networks: Mapping[str, Fit]
    """By name; the part that `initialize.into` names stands as `generator.PART`."""

    def document(self) -> dict[str, Any]:
        """Returns all of it as plain data."""
        return asdict(self)

    def lines(self) -> Iterator[str]:
        """Says it for people."""
        for name, fit in self.networks.items():
            num = len(fit.taken) + len(fit.drawn_anew)
            share = "all" if not fit.drawn_anew else f"{len(fit.taken)} of"
            yield f"initialize: {name} takes {share} {num} tensors of {self.run} ({self.checkpoint})"
            anew = [f"{key} ({reason})" for key, reason in fit.drawn_anew.items()]
            for title, names in (("drawn anew", anew), ("left over there", list(fit.left_over))):
                if names:
                    more = f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
                    yield f"  {title}: {', '.join(names[:_SHOWN])}{more}"


def initialize(module: GenerativeModule, options: Mapping[str, Any]) -> Inheritance | None:
    """Gives networks the weights of another run that fit, where the configuration asks for it.

    A tensor fits that has the same name and shape there. Buffers (running statistics, singular vectors) are taken only
    together with all of their layer. What does not fit stays as it was drawn. The average begins as the generator.

    Args:
        module: as built.
        options: the `initialize` section of the configuration.

    Returns:
        What was taken and what was not; `None` where no run is named.

    Raises:
        ConfigurationError: no weight fits, one that is frozen does not, G has no such part, or a part that needs a run
            is given none.
        DataError: there is no such checkpoint.
    """
    run, into = options["run"], options["into"]
    if run is None:
        if into is not None:
            raise ConfigurationError(
                f"initialize.run: {into} of the generator takes the weights of a trained run; give "
                "initialize.run=RUN_DIR, or initialize.into=null for random ones"
            )
        return None
    check_run(f"initialize.run={run}", run, "initialize.checkpoint")
    path = Path(run) / "checkpoints" / f"{options['checkpoint'].removesuffix('.ckpt')}.ckpt"
    state = load_checkpoint(path)
    networks = module.networks if into is None else {f"generator.{into}": _part(module, into, run)}
    fits = {}
    for name, network in networks.items():
        given = state.get(name, {}) if into is None else generator_weights(state)
        fits[name] = _fit(network, given)
    _check(fits, networks, run)
    for name, network in networks.items():
        given = state.get(name, {}) if into is None else generator_weights(state)
        network.load_state_dict({**network.state_dict(), **{key: given[key] for key in fits[name].taken}})
    if module.ema is not None:
        module.ema.generator.load_state_dict(module.generator.state_dict())
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    g_step = state.get("counters", {}).get("g_step")
    return Inheritance(str(run), options["checkpoint"], sha256, g_step, fits)


def freeze(network: nn.Module, patterns: Sequence[str], key: str) -> None:
    """Takes parameters out of training: no gradient, no optimiser, no weight decay, no clipping moves them.

    Buffers go on: batch norm follows what flows through it, spectral norm refines its estimate. They are no parameters.

    Source: Mo et al., 2020 (FreezeD: the lower layers of D), arXiv 2002.10964.

    Args:
        network: before any constraint is applied to it.
        patterns: names of parameters or of modules, all of whose parameters are meant; `*` and `?` stand for any
            characters, dots included.
        key: where they stand, for error messages.

    Raises:
        ConfigurationError: a pattern matches nothing, or nothing is left to train.
    """
    parameters = dict(network.named_parameters())
    for pattern in patterns:
        found = [name for name in parameters if any(fnmatchcase(each, pattern) for each in _places(name))]
        if not found:
            raise ConfigurationError(
                f"{key}: {pattern} is the name of no parameter{_near(pattern, parameters)}"
            )
        for name in found:
            parameters[name].requires_grad_(False)
    if patterns and not any(parameter.requires_grad for parameter in parameters.values()):
        raise ConfigurationError(f"{key}: {list(patterns)} leaves nothing to train; name fewer parameters")


def _fit(network: nn.Module, given: Mapping[str, Tensor]) -> Fit:
    own = network.state_dict()
    faults = {key: fault for key in own if (fault := _fault(own[key], given.get(key))) is not None}
    layers = {_layer(key) for key in faults}
    for key in own.keys() - dict(network.named_parameters()).keys() - faults.keys():
        if _layer(key) in layers:
            faults[key] = "belongs to what does not fit"
    anew = {key: faults[key] for key in own if key in faults}
    return Fit(
        tuple(key for key in own if key not in faults),
        anew,
        tuple(key for key in given if key not in own),
    )


def _fault(own: Tensor, given: Tensor | None) -> str | None:
    if given is None:
        return "not there"
    if given.shape != own.shape:
        return f"{_size(given)} there, {_size(own)} here"
    return None


def _size(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a number"


def _layer(key: str) -> str:
    """Returns the layer of a tensor; the singular vectors of a normalised weight belong to that weight."""
    owner = key.rpartition(".")[0]
    return re.sub(r"(\.?parametrizations\.[^.]+)\.\d+$", r"\1", owner)


def _check(fits: Mapping[str, Fit], networks: Mapping[str, nn.Module], run: str) -> None:
    """Refuses a run of which no weight fits, and a frozen weight that would stay random."""
    weights = {
        name: {key for key, parameter in network.named_parameters() if parameter.dim() > 1}
        for name, network in networks.items()
    }
    if not any(weights[name] & set(fit.taken) for name, fit in fits.items()):
        reasons = [
            f"{name}.{key}: {why}" for name, fit in fits.items() for key, why in fit.drawn_anew.items()
        ]
        raise ConfigurationError(
            f"initialize.run={run}: its weights do not fit, not one of them ({reasons[0]}); take a run of like "
            "networks, or name in initialize.into the part of the generator that they are for"
        )
    for name, network in networks.items():
        for key, parameter in network.named_parameters():
            if not parameter.requires_grad and key in fits[name].drawn_anew:
                raise ConfigurationError(
                    f"initialize.run={run}: its weights do not fit {name}.{key} "
                    f"({fits[name].drawn_anew[key]}), which is not trained and would stay random; take another run, or "
                    "freeze less"
                )


def _part(module: GenerativeModule, into: str, run: str) -> nn.Module:
    try:
        return module.generator.get_submodule(into)
    except AttributeError as error:
        parts = [name for name, _ in module.generator.named_children()]
        raise ConfigurationError(
            f"initialize.run={run}: its weights do not fit, for the generator has no part {into} (initialize.into); it "
            f"has {', '.join(parts)}"
        ) from error


def _places(name: str) -> list[str]:
    """Returns a parameter's name and those of the modules that it lies in."""
    parts = name.split(".")
    return [".".join(parts[:num]) for num in range(1, len(parts) + 1)]


def _near(pattern: str, names: Mapping[str, object]) -> str:
    """Proposes names that are like a pattern, else those of the outermost modules."""
    places = list(dict.fromkeys(place for name in names for place in _places(name)))
    near = difflib.get_close_matches(pattern, places, n=3, cutoff=0.6)
    if near:
        return f"; did you mean {' or '.join(near)}?"
    outermost = list(dict.fromkeys(name.split(".")[0] for name in names))
    return f"; its parts are {', '.join(outermost)}"
