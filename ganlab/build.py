"""The only place that turns configuration into objects."""

import inspect
import logging
import warnings
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast, get_type_hints

import pytorch_lightning as pl
import torch
import yaml
from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError
from pytorch_lightning.plugins.environments import SLURMEnvironment
from pytorch_lightning.strategies import DDPStrategy

from ganlab.callbacks.budget import BudgetStop
from ganlab.callbacks.checkpoint import BestCheckpoint, Checkpointing
from ganlab.callbacks.evaluate import Evaluate
from ganlab.callbacks.interrupt import Interrupt
from ganlab.callbacks.progress import Progress
from ganlab.callbacks.recorder import Recorder
from ganlab.callbacks.samples import Samples
from ganlab.checkpoint import load_checkpoint
from ganlab.cli import compose_group
from ganlab.config import Config
from ganlab.data.datamodule import GANDataModule
from ganlab.ema import GeneratorEMA
from ganlab.errors import ConfigurationError, GanlabError
from ganlab.interfaces import Discriminator, FeatureExtractor, Generator
from ganlab.metrics.evaluation import Evaluation
from ganlab.metrics.extractors import choose_extractor_name
from ganlab.module import GANModule, Optimization
from ganlab.noise import mix
from ganlab.paths import cache_dir
from ganlab.resume import Plan
from ganlab.tracking.run_folder import RunFolder
from ganlab.tracking.tracker import Trackers

TRUSTED = ("ganlab.", "torch.optim.", "torch.nn.")
"""What the configuration of a run folder, which may come from a stranger, may name as a `_target_`."""


def build(key: str, node: Mapping[str, Any], **arguments: Any) -> Any:
    """Makes the object that a configuration node describes; an empty node is absent, and gives `None`.

    Args:
        key: where the node stands, for error messages.
        node: with `_target_` and the constructor's arguments.
        arguments: further arguments, objects rather than configuration.

    Raises:
        ConfigurationError: if the target cannot be found, or does not take these arguments or values.
    """
    if not node:
        return None
    check_arguments(key, node, arguments)
    try:
        return instantiate(dict(node), _convert_="all", **arguments)
    except InstantiationException as error:
        cause = error.__cause__ or error
        if isinstance(cause, GanlabError):
            raise cause from None
        if isinstance(cause, ValueError):
            raise ConfigurationError(f"{key}: {cause}") from error
        raise cause from None


def build_generator(config: Config) -> Generator:
    """Makes G as configured, with fresh weights from the global random state."""
    return cast(Generator, build("model.generator", config["model"]["generator"]))


def build_module(config: Config) -> GANModule:
    """Makes networks, loss and all that trains them; the same seed gives the same weights."""
    torch.manual_seed(mix(config["seed"], "weights"))
    generator = build_generator(config)
    discriminator = cast(Discriminator, build("model.discriminator", config["model"]["discriminator"]))
    optimizer = config["optimizer"]
    optimization = Optimization(
        generator=_optimizer_factory("optimizer.generator", optimizer["generator"]),
        discriminator=_optimizer_factory("optimizer.discriminator", optimizer["discriminator"]),
        schedule=build("schedule", config["schedule"]),
        n_critic=config["n_critic"],
        max_grad_norm_generator=config["max_grad_norm"]["generator"],
        max_grad_norm_discriminator=config["max_grad_norm"]["discriminator"],
    )
    return GANModule(
        generator,
        discriminator,
        build("loss", config["loss"]),
        optimization,
        penalty=build("penalty", config["penalty"]),
        constraint=build("constraint", config["constraint"]),
        ema=cast(GeneratorEMA | None, build("ema", config["ema"], generator=generator)),
        augment=build("augment", config["augment"]),
        flip_real=config["data"]["horizontal_flip"],
        channels_last=config["channels_last"],
        seed=config["seed"],
    )


def build_data(config: Config) -> GANDataModule:
    """Makes the data module; data are read when first asked for."""
    data = config["data"]
    return GANDataModule(
        source=build("data.source", data["source"]),
        name=data["name"],
        image_size=data["image_size"],
        channels=data["channels"],
        batch_size=data["batch_size"],
        horizontal_flip=data["horizontal_flip"],
        labels=data["labels"],
        num_workers=data["num_workers"],
        n_critic=config["n_critic"],
        seed=config["seed"],
        cache_dir=cache_dir(),
    )


def build_extractor(name: str, **options: Any) -> FeatureExtractor:
    """Makes the feature extractor of `conf/extractor/<name>.yaml`; `auto` takes Inception where its weights are.

    Raises:
        ConfigurationError: if there is no such extractor.
    """
    name = choose_extractor_name() if name == "auto" else name
    return cast(FeatureExtractor, build(f"extractor={name}", {**compose_group("extractor", name), **options}))


def parse_device(name: str) -> torch.device:
    """Reads `cpu`, `cuda` or `cuda:1`.

    Raises:
        ConfigurationError: if there is no such device here.
    """
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigurationError(
            f"device={name}: not at hand ({str(error).splitlines()[0]}); use cpu"
        ) from error
    return device


def build_evaluation(config: Config, data: GANDataModule, device: torch.device) -> Evaluation:
    """Makes what scores a generator: metrics, extractor, and the reference images."""
    evaluate = config["evaluate"]
    return Evaluation(
        metrics={name: build(f"metrics.{name}", node) for name, node in config["metrics"].items()},
        extractor=build_extractor(evaluate["extractor"]).to(device),
        reference=data.data(evaluate["reference"]),
        num_samples=evaluate["num_samples"],
        batch_size=evaluate["batch_size"],
        cache_dir=cache_dir(),
        device=device,
    )


def build_callbacks(config: Config, plan: Plan, data: GANDataModule) -> list[pl.Callback]:
    """Makes the callbacks, in the order in which they act at the end of an iteration."""
    run, seed, evaluate, samples = plan.run, config["seed"], config["evaluate"], config["samples"]
    trackers = Trackers({name: build(f"logger.{name}", node) for name, node in config["logger"].items()})
    recorder = Recorder(run, trackers, config, config["log"]["every_g_steps"])
    settings = config["checkpoint"]
    train_data = data.data("train")
    train_images = train_data.images
    checkpointing = Checkpointing(
        run, config, train_data.sha256, plan.state, settings["every_g_steps"], settings["keep_every_g_steps"]
    )
    reals = train_images[: samples["num"] * 16] if tuple(train_images.shape[1:]) == (2, 1, 1) else None
    progress = Progress(config["budget"], recorder, config["n_critic"], config["data"]["batch_size"])
    callbacks: list[pl.Callback] = [
        BudgetStop(config["budget"]),
        recorder,
        progress,
        checkpointing,
        Samples(run, trackers, seed, samples["every_g_steps"], samples["num"], reals),
    ]
    if config["metrics"]:
        make_evaluation = partial(build_evaluation, config, data)
        scoring = {name: evaluate[name] for name in ("every_g_steps", "before_training", "batch_norm")}
        callbacks.append(Evaluate(run, trackers, make_evaluation, seed=seed, **scoring))
        if settings["monitor"] is not None:
            callbacks.append(BestCheckpoint(checkpointing, run, settings["monitor"]))
    callbacks += [build(f"callbacks.{name}", node) for name, node in config["callbacks"].items()]
    return [*callbacks, Interrupt(checkpointing, config["log"]["every_g_steps"])]


def build_trainer(config: Config, callbacks: list[pl.Callback]) -> pl.Trainer:
    """Makes a Lightning trainer for one endless epoch: budget, checkpoints and logs are counted by ganlab."""
    options = config["trainer"]
    strategy: Any = "auto"
    if options["strategy"] == "ddp" or options["devices"] != 1 or options["num_nodes"] != 1:
        # Each backward pass reaches one of the two networks; buffers are averaged by the module itself.
        strategy = DDPStrategy(find_unused_parameters=True, broadcast_buffers=False)
    precision = cast(Literal["32-true", "bf16-mixed", "16-mixed"], options["precision"])
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)  # no advertisements, no list of devices
    warnings.filterwarnings("ignore", "GPU available but not used")
    warnings.filterwarnings("ignore", ".*broadcast_buffers. is deprecated")  # its successor is not in older torch
    warnings.filterwarnings("ignore", r"Found \d+ module\(s\) in eval mode")  # the averaged generator: always
    warnings.filterwarnings(
        "ignore", r".*isinstance\(treespec, LeafSpec\)"
    )  # Lightning's own, with new torch
    try:
        trainer = pl.Trainer(
            accelerator=options["accelerator"],
            devices=options["devices"],
            num_nodes=options["num_nodes"],
            strategy=strategy,
            precision=precision,
            plugins=[SLURMEnvironment(auto_requeue=False)] if SLURMEnvironment.detect() else None,
            max_epochs=-1,
            logger=False,
            callbacks=callbacks,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            default_root_dir=config["run_dir"],
        )
    except (pl.utilities.exceptions.MisconfigurationException, ValueError, RuntimeError) as error:
        raise ConfigurationError(f"trainer: {' '.join(str(error).split())}") from error
    if options["precision"] == "16-mixed" and trainer.strategy.root_device.type == "cpu":
        raise ConfigurationError(
            "trainer.precision=16-mixed needs a GPU, and none is at hand; use bf16-mixed or 32-true"
        )
    return trainer


def from_run(
    run: RunFolder, checkpoint: str = "last", which: str = "ema", plugins: Iterable[str] = ()
) -> tuple[Config, Generator, dict[str, Any]]:
    """Rebuilds a run's generator from its folder, without trusting what the folder says.

    Args:
        run: the folder.
        checkpoint: `last`, `best`, or the name of a file in `checkpoints/`.
        which: `ema` (the raw one where the run has no average) or `raw`.
        plugins: packages of one's own that the configuration may name, besides `ganlab` and torch's.

    Returns:
        The configuration, the generator in eval mode on the CPU, and the checkpoint's counters.

    Raises:
        ConfigurationError: if the configuration names a class outside the trusted packages.
        DataError: if there is no such checkpoint, or it cannot be read.
    """
    name = checkpoint if checkpoint.endswith(".ckpt") else f"{checkpoint}.ckpt"
    state = load_checkpoint(run.checkpoints / Path(name).name)
    config = cast(Config, yaml.safe_load(state["config"]))
    _check_trusted(config, (*TRUSTED, *(f"{plugin}." for plugin in plugins)))
    generator = build_generator(config)
    if which == "ema" and state["ema"] is not None:
        # GeneratorEMA keeps the average in its attribute `generator`.
        prefix = "generator."
        weights = {
            key.removeprefix(prefix): value for key, value in state["ema"].items() if key.startswith(prefix)
        }
    else:
        weights = state["generator"]
    generator.load_state_dict(weights)
    return config, generator.eval(), state["counters"]


def _optimizer_factory(key: str, node: Mapping[str, Any]) -> Callable[..., torch.optim.Optimizer]:
    check_arguments(key, node, {"params": []})  # now, not when training asks for it
    return lambda parameters: cast(torch.optim.Optimizer, build(key, node, params=list(parameters)))


def _check_trusted(config: Any, trusted: tuple[str, ...]) -> None:
    """Refuses any `_target_` outside the trusted packages, before anything is imported."""
    if isinstance(config, Mapping):
        target = config.get("_target_")
        if target is not None and not str(target).startswith(trusted):
            package = str(target).split(".")[0]
            raise ConfigurationError(
                f"_target_ {target}: is outside {', '.join(trusted)}; if you trust it, give plugins=[{package}]"
            )
        for value in config.values():
            _check_trusted(value, trusted)
    elif isinstance(config, list):
        for value in config:
            _check_trusted(value, trusted)


def check_arguments(key: str, node: Mapping[str, Any], extra: Mapping[str, Any]) -> None:
    """Holds a node against its constructor's signature: names, missing ones, and types."""
    for name, value in node.items():
        if isinstance(value, Mapping) and "_target_" in value:
            check_arguments(f"{key}.{name}", value, {})
    if "_target_" not in node:
        raise ConfigurationError(f"{key}: has no _target_; choose an option of its group, e.g. {key}=none")
    target = _locate(key, str(node["_target_"]))
    parameters = inspect.signature(target).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    given = {name: value for name, value in node.items() if not name.startswith("_")}
    for name in given:
        if name not in parameters:
            raise ConfigurationError(
                f"{key}.{name}: {node['_target_']} takes no such argument; it takes {', '.join(parameters)}"
            )
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty and name not in given and name not in extra:
            raise ConfigurationError(f"{key}.{name}: is missing; give it as {key}.{name}=VALUE")
    hints = get_type_hints(target.__init__ if inspect.isclass(target) else target)
    for name, value in given.items():
        if name in hints and not isinstance(value, Mapping):
            _check_value(f"{key}.{name}", value, hints[name])


def _check_value(key: str, value: Any, hint: Any) -> None:
    try:
        adapter = TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True))
    except PydanticSchemaGenerationError:
        return  # not a type of plain values
    try:
        accepted = adapter.validate_python(value)
    except ValidationError as error:
        faults = dict.fromkeys(fault["msg"].removeprefix("Input should be ") for fault in error.errors())
        raise ConfigurationError(f"{key}: got {value!r}, but it must be {' or '.join(faults)}") from error
    if isinstance(value, str) and not isinstance(accepted, str):
        raise ConfigurationError(f"{key}: got the text {value!r}, but it must be {hint}")


def _locate(key: str, target: str) -> Callable[..., Any]:
    try:
        return cast(Callable[..., Any], get_object(target))
    except Exception as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        raise ConfigurationError(f"{key}._target_={target}: cannot be imported ({reason})") from error
