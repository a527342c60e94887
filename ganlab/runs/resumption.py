"""Whether a command starts a run, continues one, or finds it finished. Reads only, so that all ranks decide alike."""

import inspect
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import yaml
from torch import Tensor, nn
from torch.optim import Optimizer

from ganlab.config.identity import TOTAL_BATCH_SIZE, differences, identity, with_later_keys
from ganlab.config.schema import Config
from ganlab.errors import ConfigurationError, DataError
from ganlab.files import first_free
from ganlab.layers.winograd import gains_here
from ganlab.runs.checkpoint_folder import LAST, CheckpointFolder, Found
from ganlab.runs.folder import RunFolder
from ganlab.runs.reading.ended import has_ended
from ganlab.training.generative import GenerativeModule

_SHAPED_AS_PARAMETER = (
    "exp_avg",
    "exp_avg_sq",
    "max_exp_avg_sq",
    "square_avg",
    "grad_avg",
    "momentum_buffer",
)
"""What torch's optimisers remember of each weight of a parameter."""

_WAYS_OF_COMPUTING = {"fused", "foreach", "capturable", "differentiable"}
"""Options of torch's optimisers that do not change what they compute."""


@dataclass(frozen=True)
class Plan:
    """What a training command is to do."""

    run: RunFolder
    found: Found | None
    """The checkpoint to continue from; `None` to start."""
    finished: bool
    """Whether nothing is left to do."""
    changed: tuple[str, ...] = ()
    """The differences in mathematics that `resume=force` goes on with."""
    written: tuple[int, int] | None = None
    """When the run's checkpoints were last written to, see `CheckpointFolder.written`."""

    @property
    def state(self) -> dict[str, Any] | None:
        """What that checkpoint holds."""
        return self.found.state if self.found else None

    def winograd(self, config: Config) -> bool:
        """Returns what `speed.winograd` comes to: where the machine decides, it has decided for a run that goes on."""
        typed = config["speed"]["winograd"]
        if typed == "auto" and self.state is not None:
            typed = with_later_keys(yaml.safe_load(self.state["config"]))["speed"]["winograd"]
        return gains_here() if typed == "auto" else bool(typed)


def make_plan(config: Config) -> Plan:
    """Looks at the run folder that the configuration names.

    Raises:
        ConfigurationError: if there is nothing to continue (`resume=must`), or if the run there was made with other
            mathematics (unless `resume=force`).
        DataError: if no checkpoint there can be read.
    """
    mode = config["resume"]
    run = RunFolder(config["run_dir"])
    if mode == "never":
        return Plan(RunFolder(first_free(run.path)), None, finished=False)
    checkpoints = CheckpointFolder(run.checkpoints)
    written = checkpoints.written()  # before they are read
    found = checkpoints.newest()
    if found is None:
        if mode == "must":
            raise ConfigurationError(
                f"resume=must, but {run.checkpoints / LAST} does not exist; give the run_dir of a run, or resume=auto"
            )
        return Plan(run, None, finished=False, written=written)
    state = found.state
    for key in ("counters", "config", "data_sha256"):
        if key not in state:
            raise _unfit(found, [f"{key} is missing"])
    changed = differences(_identity_of(found), identity(config))
    if changed:
        _check_change(run, changed, config)
    is_finished = has_ended(run.status().get("status"), state["counters"], config["budget"])
    is_finished = is_finished and not found.damaged  # else it is made whole again
    return Plan(run, found, is_finished, tuple(changed), written)


def _identity_of(found: Found) -> dict[str, Any]:
    """Returns the identity of what a checkpoint was trained with, in the words of this ganlab.

    Where `trainer.devices` left their number to the machine, it follows from the images that were seen.
    """
    counters = found.state["counters"]
    try:
        trained: Config = with_later_keys(yaml.safe_load(found.state["config"]))
        images = counters["g_step"] * trained["n_critic"] * trained["data"]["batch_size"]
    except (yaml.YAMLError, AttributeError, KeyError, TypeError) as error:
        raise _unfit(found, ["config is no configuration"]) from error
    return identity(trained, counters["images_seen"] // images if images else None)


def _check_change(run: RunFolder, changed: list[str], config: Config) -> None:
    """Refuses to continue with other mathematics, unless `resume=force` asks for it and it can be done.

    Raises:
        ConfigurationError: otherwise; names the keys.
    """
    beginning = [each for each in changed if each.startswith("initialize.")]
    if config["resume"] == "force" and beginning:
        raise ConfigurationError(
            f"{run.path} has begun with another {', '.join(beginning)}, and weights are given to a run only where it "
            "begins; set it back, or choose resume=never (a new folder)"
        )
    if config["resume"] != "force":
        has_other_batch = any(each.startswith(TOTAL_BATCH_SIZE) for each in changed)
        words = f" ({TOTAL_BATCH_SIZE} is trainer.devices x trainer.num_nodes x data.batch_size)"
        raise ConfigurationError(
            f"{run.path} was made with another {', '.join(changed)}{words if has_other_batch else ''}; "
            "set it back, or choose resume=never (a new folder) or resume=force (continue all the same)"
        )


def check_unchanged(plan: Plan) -> None:
    """Refuses to write to a run that another process has trained since the plan was made; call it with the lock held.

    Raises:
        ConfigurationError: if it has.
    """
    if CheckpointFolder(plan.run.checkpoints).written() != plan.written:
        raise ConfigurationError(
            f"{plan.run.path}: another process has written to this run while process {os.getpid()} was starting; run "
            "the same command again to continue it"
        )


def check_same_data(plan: Plan, sha256: str) -> None:
    """Refuses to continue a run on other images than it was trained on: the same path may hold new files.

    Raises:
        ConfigurationError: if the checkpoint names another checksum.
    """
    trained_on = plan.state["data_sha256"] if plan.state else sha256
    if trained_on != sha256:
        raise ConfigurationError(
            f"{plan.run.path} was trained on other images (sha256 {trained_on[:8]}, now {sha256[:8]}); "
            "restore them, or choose resume=never"
        )


def check_fits(found: Found, module: GenerativeModule) -> None:
    """Refuses a checkpoint that is not the whole and finite state of a module, before anything is restored from it.

    Args:
        found: what is about to be restored.
        module: of which Lightning has made the optimisers.

    Raises:
        DataError: names the first key that is missing, unknown, of another shape, or not finite.
    """
    state, wanted = found.state, module.state()
    faults = [f"{key} is missing" for key in wanted if key not in state]
    if not faults:
        parts = [*module.networks, *(["ema"] if wanted["ema"] and state["ema"] else [])]
        for part in parts:
            faults += _differing(part, state[part], wanted[part])
        for name, memory in wanted["memories"].items():
            faults += _differing(f"memories.{name}", state["memories"].get(name, {}), memory)
        for name, optimizer in zip(module.optimized, module.trainer.optimizers, strict=True):
            faults += _differing_optimizer(f"optimizers.{name}", state["optimizers"].get(name), optimizer)
        faults += (f"{name} is not finite" for name in not_finite({part: state[part] for part in parts}))
    if faults:
        raise _unfit(found, faults)


def state_to_continue(plan: Plan, module: GenerativeModule) -> dict[str, Any]:
    """Returns the state of the plan's checkpoint, with the options of optimisers that the configuration decides now.

    How they compute (`fused`) is typed anew at each resumption. Their mathematics (rates, betas, decay) is the run's
    own, unless `resume=force` goes on with another: then what is typed counts. Whatever else an optimiser keeps among
    its options is memory, and stays.

    Args:
        plan: with a checkpoint that fits, see `check_fits`.
        module: of which Lightning has made the optimisers.

    Raises:
        ConfigurationError: if an optimiser needs to remember what the one before it did not.
    """
    assert plan.state is not None
    saved = plan.state["optimizers"]
    optimizers = {}
    for name, optimizer in zip(module.optimized, module.trainer.optimizers, strict=True):
        if plan.changed:
            _check_memory(name, saved[name]["state"], module)
        typed = _options(optimizer) if plan.changed else _WAYS_OF_COMPUTING
        groups = [
            {**group, **{option: own[option] for option in typed & own.keys()}}
            for group, own in zip(saved[name]["param_groups"], optimizer.param_groups, strict=True)
        ]
        optimizers[name] = {**saved[name], "param_groups": groups}
    return {**plan.state, "optimizers": optimizers}


def _options(optimizer: Optimizer) -> set[str]:
    """Returns what the constructor of an optimiser, or of a class that it is built on, takes."""
    classes = [each for each in type(optimizer).__mro__ if issubclass(each, Optimizer)]
    options = {"initial_lr"}.union(*(inspect.signature(each).parameters for each in classes))
    return options - {"params"}


def _check_memory(name: str, memories: Mapping[int, Mapping[str, Any]], module: GenerativeModule) -> None:
    """Refuses an optimiser whose first step would look for what another has not remembered."""
    probe = nn.Parameter(torch.zeros(1, device=module.device))
    probe.grad = torch.zeros_like(probe)
    optimizer = module.optimization.optimizer(name)([probe])
    optimizer.step()
    wanted = optimizer.state[probe].keys()
    for memory in memories.values():
        if memory and (missing := wanted - memory.keys()):
            raise ConfigurationError(
                f"optimizer.{name}: {type(optimizer).__name__} needs {', '.join(sorted(missing))} of each weight, "
                "which the run's own optimiser has not kept; set it back, or choose resume=never (a new folder)"
            )


def not_finite(parts: Mapping[str, Mapping[str, Any] | None]) -> Iterator[str]:
    """Yields the names of tensors that hold a NaN or infinity, as `generator.blocks.0.weight`."""
    for part, tensors in parts.items():
        for name, tensor in (tensors or {}).items():
            if isinstance(tensor, Tensor) and tensor.is_floating_point() and not torch.isfinite(tensor).all():
                yield f"{part}.{name}"


def _unfit(found: Found, faults: list[str]) -> DataError:
    more = f" (and {len(faults) - 1} more faults)" if len(faults) > 1 else ""
    return DataError(
        f"{found.path}: does not fit this run: {faults[0]}{more}; restore it from a copy, move it away to continue "
        "from an older one, or choose resume=never (a new folder)"
    )


def _differing(part: str, given: Mapping[str, Any] | None, wanted: Mapping[str, Any]) -> Iterator[str]:
    """Says where the tensors of a part are not those that it needs."""
    if given is None:
        yield f"{part} is missing"
        return
    yield from (f"{part}.{key} is missing" for key in wanted if key not in given)
    yield from (f"{part}.{key} is unknown" for key in given if key not in wanted)
    for key in given.keys() & wanted.keys():
        shapes = [tuple(value.shape) for value in (given[key], wanted[key]) if isinstance(value, Tensor)]
        if len(set(shapes)) > 1 and wanted[key].numel():  # what begins empty may have grown
            yield f"{part}.{key} has shape {shapes[0]}, not {shapes[1]}"


def _differing_optimizer(part: str, given: Mapping[str, Any] | None, optimizer: Optimizer) -> Iterator[str]:
    """Says where an optimiser's memory is not of the parameters that it updates."""
    if given is None:
        yield f"{part} is missing"
        return
    shapes = [tuple(weight.shape) for group in optimizer.param_groups for weight in group["params"]]
    num_given = sum(len(group["params"]) for group in given["param_groups"])
    if num_given != len(shapes):
        yield f"{part} is of {num_given} parameters, not {len(shapes)}"
        return
    for place, memory in given["state"].items():
        for key in _SHAPED_AS_PARAMETER:
            value = memory.get(key)
            if value is not None and tuple(value.shape) != shapes[place]:
                yield f"{part}.state.{place}.{key} has shape {tuple(value.shape)}, not {shapes[place]}"
