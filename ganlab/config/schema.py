"""The vocabulary of a run: which keys exist, and what values they take (`ganlab.config.identity` says what for).

Hydra composes the YAML files; `validate` then holds the result against the classes below. All of this happens before
torch is imported, so that a misspelt key costs a second. Arguments of constructors (below a `_target_`) are checked
against their signatures in `ganlab.build.run`.
"""

import re
from typing import Annotated, Any, Literal, cast

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from ganlab.config.data_names import check_data_name
from ganlab.config.identity import default_run_name
from ganlab.errors import ConfigurationError
from ganlab.moved import with_current_targets
from ganlab.paths import conf_dir, data_root

Config = dict[str, Any]
"""A resolved configuration: plain dicts, lists and scalars, nested as in `config.yaml`."""

PositiveFloat = Annotated[float, Field(gt=0)]
NonNegativeInt = Annotated[int, Field(ge=0)]
ImageSize = PositiveInt | Annotated[list[PositiveInt], Field(min_length=2, max_length=2)]


class Section(BaseModel):
    """A group of keys in which nothing else may stand."""

    model_config = ConfigDict(extra="forbid", strict=True)


class OpenSection(Section):
    """A group of keys that may hold more than those named, for a constructor to check."""

    model_config = ConfigDict(extra="allow", strict=True)


class Budget(Section):
    """When a run ends: at the first of these to be reached; null means without limit."""

    g_steps: PositiveInt | None
    images: PositiveInt | None
    minutes: PositiveFloat | None


class Model(OpenSection):
    name: str
    latent_dim: PositiveInt
    generator: dict[str, Any]
    discriminator: dict[str, Any] = Field(default_factory=dict)
    """Empty for a variational autoencoder, which has an `encoder` instead."""


class Data(OpenSection):
    name: str
    root: str | None = None
    batch_size: PositiveInt
    image_size: ImageSize | None = None
    """Of images and videos only, as are flips."""
    channels: PositiveInt | None = None
    num_classes: NonNegativeInt
    horizontal_flip: bool = False
    labels: bool
    num_workers: NonNegativeInt
    source: dict[str, Any]


class MaxGradNorm(Section):
    """Gradient clipping by the norm over a network; null means none."""

    generator: PositiveFloat | None
    discriminator: PositiveFloat | None


class Trainer(Section):
    """Lightning's words for where and how precisely to compute."""

    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps"]
    devices: PositiveInt | Literal["auto", -1] | list[NonNegativeInt] | str
    num_nodes: PositiveInt
    strategy: Literal["auto", "ddp"]
    precision: Literal["32-true", "bf16-mixed", "16-mixed"]
    matmul_precision: Literal["highest", "high", "medium"]
    deterministic: bool
    timeout_minutes: PositiveFloat
    check_ranks_every_g_steps: PositiveInt | None
    sync_batchnorm: bool


class Evaluate(Section):
    every_g_steps: PositiveInt | None
    before_training: bool
    num_samples: PositiveInt
    batch_size: PositiveInt
    extractor: str
    reference: Literal["train", "test", "both"]
    batch_norm: Literal["running", "batch", "standing"]


class Samples(Section):
    every_g_steps: PositiveInt | None
    num: PositiveInt


class Checkpoint(Section):
    every_g_steps: PositiveInt | None
    keep_every_g_steps: PositiveInt | None
    keep_last: PositiveInt
    monitor: str | None


class AdaptiveWeight(Section):
    """How the adversarial loss is weighed against the reconstruction."""

    layer: str | None
    maximum: PositiveFloat


class Initialize(Section):
    """Another run whose weights this one begins with."""

    run: str | None
    checkpoint: str
    into: str | None


class Log(Section):
    every_g_steps: PositiveInt


class Watchdog(Section):
    """What happens when samples, scores or D look unwell."""

    action: Literal["none", "warn", "stop"]


class Speed(Section):
    """How the same mathematics is computed; results are equal up to rounding."""

    channels_last: bool
    data_on_device: Literal["auto"] | bool
    fused_resampling: bool
    winograd: Literal["auto"] | bool
    fused_optimizer: bool
    cudnn_benchmark: bool
    compile: Literal["default", "reduce-overhead", "max-autotune"] | None
    recompute: bool


class TrainConfig(Section):
    """Every key at the top of a training configuration."""

    model: Model
    task: dict[str, Any]
    loss: dict[str, Any]
    penalty: dict[str, Any]
    constraint: dict[str, Any]
    auxiliary: dict[str, dict[str, Any]]
    balance: dict[str, Any]
    data: Data
    optimizer: dict[str, Any]
    schedule: dict[str, Any]
    max_grad_norm: MaxGradNorm
    ema: dict[str, Any]
    augment: dict[str, dict[str, Any]]
    replay: dict[str, dict[str, Any]]
    condition: dict[str, Any]
    adaptive_weight: AdaptiveWeight
    initialize: Initialize
    freeze: dict[Literal["generator", "discriminator"], list[str]]
    schedules: dict[str, Any]
    top_k: Annotated[float, Field(gt=0, le=1)]
    n_critic: PositiveInt
    micro_batches: PositiveInt
    joint_pass: bool
    power_iteration: Literal["per_call", "per_update"]
    speed: Speed
    budget: Budget
    seed: NonNegativeInt
    trainer: Trainer
    evaluate: Evaluate
    metrics: dict[str, Any]
    samples: Samples
    checkpoint: Checkpoint
    log: Log
    watchdog: Watchdog
    logger: dict[str, Any]
    callbacks: dict[str, Any]
    run_dir: str | None
    run_name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")] | None
    tags: list[str]
    resume: Literal["auto", "never", "must", "force"]


def register_resolvers() -> None:
    """Makes `${data_root:}` and `${classes:labels,num_classes}` available in YAML files."""
    OmegaConf.register_new_resolver("data_root", lambda: str(data_root()), replace=True)
    OmegaConf.register_new_resolver(
        "classes", lambda labels, num_classes: num_classes if labels else 0, replace=True
    )


def validate(composed: DictConfig) -> Config:
    """Resolves a composed configuration and checks every key of it.

    Args:
        composed: what Hydra composed from the YAML files and the command line.

    Returns:
        The configuration as plain data, with `run_name` and `run_dir` filled in.

    Raises:
        ConfigurationError: if a value is missing, has the wrong type, or lies outside its range.
    """
    try:
        config = cast(Config, OmegaConf.to_container(composed, resolve=True, throw_on_missing=True))
        config = with_current_targets(config)
        TrainConfig.model_validate(config)
    except ValidationError as error:
        raise ConfigurationError(_describe(error)) from error
    except OmegaConfBaseException as error:
        key = error.full_key or "configuration"
        fault = (
            "is missing" if isinstance(error, MissingMandatoryValue) else str(error).strip().splitlines()[0]
        )
        if key.startswith("model.") and (lacked := re.search(r"'(data\.\w+)' not found", fault)):
            raise ConfigurationError(
                f"{key}: takes {lacked[1]}, which these data have not: choose a model of such samples, model=NAME, or"
                " other data, data=NAME"
            ) from error
        raise ConfigurationError(f"{key}: {fault}; give it as {key}=VALUE") from error
    _check_limits(config)
    check_data_name(config["data"], conf_dir())
    _check_speed(config)
    config["run_name"] = config["run_name"] or default_run_name(config)
    config["run_dir"] = config["run_dir"] or f"runs/{config['run_name']}"
    return config


def _check_limits(config: Config) -> None:
    """Checks what several keys must satisfy together."""
    if all(limit is None for limit in config["budget"].values()):
        raise ConfigurationError(
            "budget: no limit is set; give budget.g_steps, budget.images or budget.minutes a value"
        )
    trainer = config["trainer"]
    if trainer["precision"] == "16-mixed" and trainer["accelerator"] == "cpu":
        raise ConfigurationError(
            "trainer.precision=16-mixed needs a GPU, but trainer.accelerator=cpu; use bf16-mixed or 32-true"
        )
    if trainer["sync_batchnorm"] and trainer["accelerator"] == "cpu":
        raise ConfigurationError(
            "trainer.sync_batchnorm=true needs GPUs, but trainer.accelerator=cpu; use trainer.sync_batchnorm=false"
        )


def _check_speed(config: Config) -> None:
    """Refuses ways of computing that would not give the same results together."""
    num_parts, batch_size = config["micro_batches"], config["data"]["batch_size"]
    if batch_size % num_parts:
        raise ConfigurationError(
            f"micro_batches={num_parts}: must divide data.batch_size={batch_size}; take a divisor of it"
        )
    if num_parts > 1 and config["balance"]:
        raise ConfigurationError(
            f"micro_batches={num_parts}: a balance decides on a whole batch; take balance=none or micro_batches=1"
        )
    if config["speed"]["compile"] and config["speed"]["recompute"]:
        raise ConfigurationError(
            "speed.recompute: compiled networks choose what they keep; take speed.compile=null or speed.recompute=false"
        )
    if config["speed"]["recompute"] and config["power_iteration"] == "per_call":
        raise ConfigurationError(
            "speed.recompute: needs the weights that a block had in its first pass; take power_iteration=per_update"
        )


def _describe(error: ValidationError) -> str:
    """Says in one line what was given, and what is allowed, for the first fault that pydantic found."""
    faults = error.errors(include_url=False)
    first = faults[0]
    # Unions report one fault per alternative, with the alternative's name at the end of the place.
    place = [str(part) for part in first["loc"] if re.fullmatch(r"[a-z_0-9]+", str(part))]
    key = ".".join(part for part in place if part not in ("int", "float", "str", "bool", "none"))
    alternatives = dict.fromkeys(
        fault["msg"].removeprefix("Input should be ").removeprefix("a valid ")
        for fault in faults
        if fault["loc"][: len(place)] == first["loc"][: len(place)]
        or ".".join(map(str, fault["loc"])).startswith(key)
    )
    if first["type"] == "extra_forbidden":
        return f"{key}: no such key; remove it"
    if first["type"] == "missing":
        return f"{key}: is missing; give it as {key}=VALUE"
    return f"{key}: got {first['input']!r}, but it must be {' or '.join(alternatives)}"
