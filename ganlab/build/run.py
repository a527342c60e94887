"""Turns configuration into what trains, scores and records a run; `ganlab.build.module` makes the module itself."""

import logging
import os
import re
import warnings
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.environments import (
    ClusterEnvironment,
    LightningEnvironment,
    MPIEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from ganlab.build.instantiation import (
    build,
    build_callback,
    check_trusted,
    fit_arguments,
    read_typed,
)
from ganlab.callbacks.best import BestCheckpoint
from ganlab.callbacks.budget import BudgetStop
from ganlab.callbacks.checkpoint import Checkpointing
from ganlab.callbacks.evaluate import Evaluate
from ganlab.callbacks.finite import FiniteCheck
from ganlab.callbacks.interrupt import Interrupt
from ganlab.callbacks.progress import Progress
from ganlab.callbacks.ranks import LostRanks, RanksStayEqual
from ganlab.callbacks.recorder import Recorder
from ganlab.callbacks.samples import Samples
from ganlab.callbacks.watchdog import Watchdog
from ganlab.config.groups import compose_group
from ganlab.config.redaction import redact
from ganlab.config.schema import Config
from ganlab.data.datamodule import GANDataModule
from ganlab.drawing.of_modality import drawing_of
from ganlab.errors import ConfigurationError
from ganlab.interfaces import FeatureExtractor, ImageData
from ganlab.metrics.extractors import choose_extractor_name, read_extractor_file, say_how_to_get_fid
from ganlab.metrics.metric import GeneratorMetric
from ganlab.metrics.probe import GeneratorProbe
from ganlab.metrics.reference import ReferenceStatistics
from ganlab.numerics.float32 import set_matmul_precision
from ganlab.paths import cache_dir
from ganlab.runs.resumption import Plan
from ganlab.scoring.assigned import AnyMetric
from ganlab.scoring.evaluation import Evaluation
from ganlab.tracking.tracker import Trackers
from ganlab.training.hooks import FullPrecision, NoProfiler, seek_no_absent_gpu
from ganlab.training.launch import read_launch
from ganlab.training.strategy import PerOptimizerDDPStrategy

SPLITS = {"train": ("train",), "test": ("test",), "both": ("train", "test")}
"""What `evaluate.reference` may be, and the splits that scores are computed against."""


def build_data(config: Config) -> GANDataModule:
    """Makes the data module; data are read when first asked for."""
    data, on_device = config["data"], config["speed"]["data_on_device"]
    module = GANDataModule(
        source=build("data.source", data["source"]),
        name=data["name"],
        image_size=data.get("image_size"),
        channels=data.get("channels"),
        batch_size=data["batch_size"],
        labels=data["labels"],
        num_workers=data["num_workers"],
        n_critic=config["n_critic"],
        seed=config["seed"],
        cache_dir=cache_dir(),
    )
    module.num_classes = data["num_classes"]
    module.on_device = None if on_device == "auto" else on_device
    return module


def build_extractor(
    name: str, trusted: tuple[str, ...] | None = None, folders: Sequence[Path] = (), /, **typed: str
) -> FeatureExtractor:
    """Makes a feature extractor, without drawing from the global random state.

    Args:
        name: `auto` (Inception where its weights are, else efflite0), an option of `conf/extractor`, or the path of
            a YAML file of one's own.
        trusted: packages that a file may name as `_target_`; `None` for a file that the user typed.
        folders: of one's own, whose `extractor/NAME.yaml` may be named too.
        typed: texts of arguments that replace those of the YAML.

    Raises:
        ConfigurationError: if there is no such extractor.
    """
    if name == "auto":
        name = choose_extractor_name()
        if name != "inception":
            rank_zero_only(say_how_to_get_fid)()
    node = read_extractor(name, folders)
    if trusted is not None:
        check_trusted(node, trusted)
    key = f"extractor={name}"
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)  # a module without weights of its own is the same in every run
        return cast(FeatureExtractor, build(key, {**node, **read_typed(key, node, typed)}))


def read_extractor(name: str, folders: Sequence[Path] = (), key: str = "extractor") -> dict[str, Any]:
    """Returns the node of an extractor, from a file or an option of its group; arguments and errors as above."""
    is_file = Path(name).suffix in (".yaml", ".yml")
    return read_extractor_file(Path(name)) if is_file else compose_group("extractor", name, folders, key)


def parse_device(name: str) -> torch.device:
    """Reads `cpu`, `cuda` or `cuda:1`.

    Raises:
        ConfigurationError: if there is no such device here.
    """
    if re.fullmatch(r"(cpu|cuda|mps)(:\d+)?", name) is None:
        raise ConfigurationError(f"device={name}: choose cpu, cuda or, of several, cuda:1")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigurationError(
            f"device={name}: not at hand ({str(error).splitlines()[0]}); use cpu"
        ) from error
    return device


def build_evaluation(
    config: Config,
    data: GANDataModule,
    device: torch.device,
    extractor: FeatureExtractor | None = None,
    reference: ImageData | ReferenceStatistics | tuple[ImageData, ...] | None = None,
) -> Evaluation:
    """Makes what scores a generator: metrics, extractor and reference, by default those of the configuration."""
    evaluate, metrics = config["evaluate"], build_metrics(config["metrics"])
    if extractor is None and see_features(metrics):
        extractor = build_extractor(evaluate["extractor"])
    return Evaluation(
        metrics=metrics,
        extractor=None if extractor is None else extractor.to(device),
        reference=reference or build_references(data, evaluate["reference"]),
        num_samples=evaluate["num_samples"],
        batch_size=evaluate["batch_size"],
        cache_dir=cache_dir(),
        device=device,
    )


def check_evaluation(config: Config) -> None:
    """Holds metrics and extractor against their constructors, long before the first evaluation makes them.

    Raises:
        ConfigurationError: for the first that does not fit.
    """
    for name, node in config["metrics"].items():
        fit_arguments(f"metrics.{name}", node, {})
    if (name := config["evaluate"]["extractor"]) != "auto":
        fit_arguments(f"extractor={name}", read_extractor(name, (), "evaluate.extractor"), {})


def build_references(data: GANDataModule, name: str) -> tuple[ImageData, ...]:
    """Returns the splits that `train`, `test` or `both` stand for."""
    return tuple(data.data(split) for split in SPLITS[name])


def build_metrics(nodes: Mapping[str, Mapping[str, Any]]) -> dict[str, AnyMetric]:
    """Makes metrics by name."""
    return {name: build(f"metrics.{name}", node) for name, node in nodes.items()}


def see_features(metrics: Mapping[str, AnyMetric]) -> bool:
    """Says whether metrics need an extractor; those that hold what was made against what was wanted do not."""
    return any(isinstance(metric, GeneratorMetric | GeneratorProbe) for metric in metrics.values())


def build_callbacks(config: Config, plan: Plan, data: GANDataModule) -> list[pl.Callback]:
    """Makes the callbacks, in the order in which they act at the end of an iteration."""
    run, seed, evaluate, samples = plan.run, config["seed"], config["evaluate"], config["samples"]
    trackers = Trackers({name: build(f"logger.{name}", node) for name, node in config["logger"].items()})
    written = redact(config)  # what goes to files and trackers
    recorder = Recorder(run, trackers, written, config["log"]["every_g_steps"])
    settings = config["checkpoint"]
    train_data = data.data("train")
    train_images = train_data.images
    run.facts |= {"data": train_data.name, "data_sha256": train_data.sha256}
    run.facts["modality"] = data.modality.describe()
    if data.labels:
        run.facts["class_names"] = list(train_data.class_names)
    checkpointing = Checkpointing(plan, written, train_data.sha256)
    drawing = drawing_of(data.modality, train_images[: samples["num"] * 16])
    facts = {"run": config["run_name"], "model": config["model"]["name"]}
    progress = Progress(config["budget"], recorder, config["n_critic"], config["data"]["batch_size"])
    scored_every = evaluate["every_g_steps"] if config["metrics"] else None
    cadences = (settings["every_g_steps"], settings["keep_every_g_steps"], scored_every)
    interrupt = Interrupt(checkpointing)
    callbacks: list[pl.Callback] = [
        BudgetStop(config["budget"]),
        recorder,
        FiniteCheck(run, cadences),
        RanksStayEqual(config["trainer"]["check_ranks_every_g_steps"], cadences),
        progress,
        checkpointing,
        interrupt,
        Samples(run, trackers, seed, samples["every_g_steps"], samples["num"], drawing, facts),
    ]
    if config["metrics"]:
        check_evaluation(config)
        make_evaluation = partial(build_evaluation, config, data)
        scoring = {name: evaluate[name] for name in ("every_g_steps", "before_training", "batch_norm")}
        scorer = Evaluate(run, trackers, make_evaluation, interrupt, seed=seed, **scoring)
        callbacks.append(scorer)
        if settings["monitor"] is not None:
            callbacks.append(BestCheckpoint(checkpointing, run, scorer, settings["monitor"]))
    if config["watchdog"]["action"] != "none":
        callbacks.append(Watchdog(run, trackers, recorder, train_images, config))
    callbacks += [build_callback(name, node) for name, node in config["callbacks"].items()]
    return [*callbacks, LostRanks(config["trainer"]["timeout_minutes"])]


def count_devices(accelerator: str) -> int:
    """Says how many devices of this machine `trainer.devices=auto` stands for."""
    is_cuda = accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    return torch.cuda.device_count() if is_cuda else 1


def build_trainer(config: Config, callbacks: list[pl.Callback]) -> pl.Trainer:
    """Makes a Lightning trainer for one endless epoch: budget, checkpoints and logs are counted by ganlab."""
    options = config["trainer"]
    set_matmul_precision(options["matmul_precision"])
    strategy: Any = "auto"
    if options["strategy"] == "ddp" or options["devices"] != 1 or options["num_nodes"] != 1:
        strategy = PerOptimizerDDPStrategy(timeout=timedelta(minutes=options["timeout_minutes"]))
    plugins: list[Any] = [environment] if (environment := _cluster_environment()) else []
    precision = cast(Literal["32-true", "bf16-mixed", "16-mixed"] | None, options["precision"])
    if precision == "32-true":  # which Lightning takes by name or as a plugin, not both
        precision, plugins = None, [*plugins, FullPrecision()]
    seek_no_absent_gpu(os.environ)
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)  # no advertisements, no list of devices
    warnings.filterwarnings("ignore", "GPU available but not used")
    warnings.filterwarnings("ignore", "The `srun` command is available")  # so it is on every login node
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
            sync_batchnorm=options["sync_batchnorm"],
            deterministic=options["deterministic"],
            benchmark=config["speed"]["cudnn_benchmark"] and not options["deterministic"],
            plugins=plugins,
            profiler=NoProfiler(),
            max_epochs=-1,
            logger=False,
            callbacks=callbacks,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            default_root_dir=config["run_dir"],
        )
    except (pl.utilities.exceptions.MisconfigurationException, TypeError, ValueError, RuntimeError) as error:
        raise ConfigurationError(f"trainer: {' '.join(str(error).split())}") from error
    if options["precision"] == "16-mixed" and trainer.strategy.root_device.type == "cpu":
        raise ConfigurationError(
            "trainer.precision=16-mixed needs a GPU, and none is at hand; use bf16-mixed or 32-true"
        )
    if options["sync_batchnorm"] and trainer.strategy.root_device.type != "cuda":
        raise ConfigurationError(
            "trainer.sync_batchnorm=true needs GPUs, and none is at hand; use trainer.sync_batchnorm=false"
        )
    return trainer


def _cluster_environment() -> ClusterEnvironment | None:
    """Returns how the processes find each other, by what has started them; `None` for Lightning to look."""
    started = read_launch(os.environ)
    if started is None or started.by == "sbatch":
        return LightningEnvironment()
    if started.by == "srun":
        return SLURMEnvironment(auto_requeue=False)  # its own saves between D's and G's update
    if started.by == "mpirun":
        return MPIEnvironment()
    return TorchElasticEnvironment() if started.by == "torchrun" else None
