"""Turns the configuration of a model into the module that trains it."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, cast

import torch

from ganlab.build.finetuning import freeze
from ganlab.build.instantiation import build, fit_arguments, locate
from ganlab.build.scheduled import optimizer_curves, read_curves, scheduled_numbers
from ganlab.config.schema import Config
from ganlab.errors import ConfigurationError
from ganlab.interfaces import (
    AdversarialLoss,
    Balance,
    Condition,
    Constraint,
    Discriminator,
    Generator,
    Part,
    Task,
    Term,
    remembers,
)
from ganlab.layers.recomputation import recompute_blocks
from ganlab.layers.resampling import set_fused
from ganlab.layers.winograd import set_winograd
from ganlab.noise import mix
from ganlab.training.adversarial import GANModule
from ganlab.training.batches import BatchMaker
from ganlab.training.ema import GeneratorEMA
from ganlab.training.execution import Execution
from ganlab.training.generative import Curve, GenerativeModule, Optimization
from ganlab.training.update import AdaptiveWeight

LOSS_WEIGHTS = ("generator_weight", "discriminator_weight")
"""Keys of a loss that the step, and not its constructor, reads."""


def build_generator(config: Config) -> Generator:
    """Makes G as configured, with fresh weights from the global random state."""
    generator = cast(Generator, build("model.generator", config["model"]["generator"]))
    _choose_arithmetic(generator, config)
    return generator


def build_discriminator(config: Config) -> Discriminator:
    """Makes D as configured, with fresh weights from the global random state, before any constraint."""
    discriminator = cast(Discriminator, build("model.discriminator", config["model"]["discriminator"]))
    _choose_arithmetic(discriminator, config)
    return discriminator


def _choose_arithmetic(network: torch.nn.Module, config: Config) -> None:
    set_fused(network, config["speed"]["fused_resampling"])
    set_winograd(network, config["speed"]["winograd"])


def build_module(config: Config) -> GenerativeModule:
    """Makes networks, loss and all that trains them; the same seed gives the same weights.

    Raises:
        ConfigurationError: a part does not fit, or a scheduled number does not exist.
    """
    torch.manual_seed(mix(config["seed"], "weights"))
    generator = build_generator(config)
    freeze(generator, config["freeze"]["generator"], "freeze.generator")
    curves = read_curves(config["schedules"])
    task = _build_task(config, generator)
    optimization = _build_optimization(config, curves)
    optimization.constraint = cast(Constraint | None, build("constraint", config["constraint"]))
    if optimization.constraint is not None:
        for name, discriminator in task.discriminators.items():
            task.discriminators[name] = optimization.constraint.prepare(cast(Discriminator, discriminator))
    optimization.balance = cast(Balance | None, build("balance", config["balance"]))
    loss, terms = _build_terms(config, has_discriminator=bool(task.discriminators))
    for term in (loss, *terms.values()):
        term.prepare(task)
    augment = {name: build(f"augment.{name}", node) for name, node in config["augment"].items()}
    replay = {name: build(f"replay.{name}", node) for name, node in config["replay"].items()}
    for part in (*augment.values(), *replay.values()):
        part.prepare(task)
    module = GANModule(
        task,
        loss,
        optimization,
        terms=terms,
        execution=Execution(
            config["micro_batches"], config["joint_pass"], config["power_iteration"] == "per_update"
        ),
        adaptive_weight=_adaptive_weight(config, generator),
        augment=augment,
        replay=replay,
        batches=BatchMaker(
            config["data"].get("horizontal_flip", False),
            config["speed"]["channels_last"],
            cast(Condition | None, build("condition", config["condition"])),
        ),
        ema=cast(GeneratorEMA | None, build("ema", config["ema"], generator=task.answering())),
        seed=config["seed"],
    )
    named: dict[str, object] = {"": loss, "loss": loss, "penalty": terms.get("penalty"), "ema": module.ema}
    named |= {"constraint": optimization.constraint, "balance": optimization.balance}
    named |= {f"auxiliary.{name}": part for name, part in terms.items() if name != "penalty"}
    named |= {f"augment.{name}": part for name, part in augment.items()}
    named |= {f"replay.{name}": part for name, part in replay.items()}
    _check_memories(named, config["micro_batches"])
    module.scheduled_numbers = scheduled_numbers(curves, named)
    _speed_up(module, config)
    return module


def _adaptive_weight(config: Config, generator: Generator) -> AdaptiveWeight | None:
    options = config["adaptive_weight"]
    if options["layer"] is None:
        return None
    if config["trainer"]["precision"] == "16-mixed":
        raise ConfigurationError(
            "adaptive_weight: compares gradients, which 16-mixed scales; take trainer.precision=bf16-mixed or 32-true"
        )
    weight = AdaptiveWeight(options["layer"], options["maximum"])
    weight.find(generator)
    return weight


def _check_memories(parts: Mapping[str, object], micro_batches: int) -> None:
    """Refuses micro-batches with parts that they would move several times an update: those not moved at its end."""
    for key, part in parts.items():
        moves = key.startswith(("penalty", "auxiliary", "augment")) and not (
            isinstance(part, Part) and remembers(part)
        )
        if moves and micro_batches > 1 and isinstance(part, torch.nn.Module) and part.state_dict():
            raise ConfigurationError(
                f"micro_batches={micro_batches}: {key} remembers something of each batch; take micro_batches=1"
            )


def _speed_up(module: GenerativeModule, config: Config) -> None:
    """Compiles the networks, or lets their blocks be computed again, where the configuration asks for it."""
    speed = config["speed"]
    if speed["compile"] is not None:
        module.compile_networks(speed["compile"])
    if speed["recompute"] and not sum(recompute_blocks(network) for network in module.networks.values()):
        raise ConfigurationError(
            f"speed.recompute: the networks of model={config['model']['name']} have no blocks of several layers; take "
            "speed.recompute=false, or micro_batches to save memory"
        )


def _build_task(config: Config, generator: Generator) -> Task:
    """Makes the networks of both players, in the order of their roles, and the task that has them."""
    node = config["task"]
    kind = cast(type[Task], locate("task", str(node["_target_"])))
    generators: dict[str, torch.nn.Module] = {}
    for role in kind.generator_roles:
        generators[role] = generator if not generators else _build_network(config, "generator", role)
    discriminators: dict[str, torch.nn.Module] = {}
    if config["model"].get("discriminator"):
        for role in kind.discriminator_roles:
            discriminators[role] = _build_network(config, "discriminator", role)
    unused = set(_networks(config)) - {"generator", "discriminator", *generators, *discriminators}
    if unused:
        raise ConfigurationError(
            f"model.{min(unused)}: task={kind.__name__.lower()} has no such network; take the task that the model was "
            f"written for, or remove it"
        )
    task = cast(Task, build("task", node, generators=generators, discriminators=discriminators))
    if config["condition"] and not kind.takes_condition:
        raise ConfigurationError(
            f"condition: task={kind.__name__.lower()} makes what it asks for by itself; take condition=none"
        )
    if not discriminators:
        _refuse_parts_of_a_discriminator(config)
    return task


def _networks(config: Config) -> list[str]:
    """Lists the networks that a model names beside its numbers."""
    return [
        name for name, node in config["model"].items() if isinstance(node, Mapping) and "_target_" in node
    ]


def _build_network(config: Config, player: str, role: str) -> torch.nn.Module:
    """Makes one network: of the node of its role, or else of the player's."""
    name = role if role in _networks(config) else player
    network = cast(torch.nn.Module, build(f"model.{name}", config["model"][name]))
    _choose_arithmetic(network, config)
    freeze(network, config["freeze"][player] if name == player else [], f"freeze.{player}")
    return network


def _build_terms(config: Config, has_discriminator: bool) -> tuple[Term, dict[str, Term]]:
    """Makes the loss, and the terms beside it in the order in which they are computed."""
    node, weights = dict(config["loss"]), {}
    kind = locate("loss", str(node["_target_"]))
    if isinstance(kind, type) and issubclass(
        kind, AdversarialLoss
    ):  # another has no use for them, and says so
        weights = {name: _loss_weight(name, node.pop(name, 1.0)) for name in LOSS_WEIGHTS}
    loss = cast(Term, build("loss", node))
    if has_discriminator and not isinstance(loss, AdversarialLoss):
        raise ConfigurationError(
            f"loss: {config['loss']['_target_']} is no loss of a GAN; choose another, e.g. loss=hinge"
        )
    if not has_discriminator and isinstance(loss, AdversarialLoss):
        raise ConfigurationError(
            f"loss: model={config['model']['name']} has no discriminator; take loss=elbo"
        )
    if isinstance(loss, AdversarialLoss):
        loss.top_k = config["top_k"]
        loss.generator_weight, loss.discriminator_weight = weights.values()
    terms = {name: cast(Term, build(f"auxiliary.{name}", node)) for name, node in config["auxiliary"].items()}
    if config["penalty"]:
        terms["penalty"] = cast(Term, build("penalty", config["penalty"]))
    if config["adaptive_weight"]["layer"] is not None and not any(
        each.reconstruction for each in terms.values()
    ):
        raise ConfigurationError(
            "adaptive_weight: weighs the loss against a term of reconstruction, and there is none; add one to "
            "auxiliary, or take adaptive_weight.layer=null"
        )
    return loss, terms


def _loss_weight(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        raise ConfigurationError(f"loss.{name}: got {value!r}, but it must be a number >= 0")
    return float(value)


def _refuse_parts_of_a_discriminator(config: Config) -> None:
    """Refuses what only a GAN has, where nobody judges."""
    model = f"model={config['model']['name']} has no discriminator"
    for part in ("penalty", "constraint", "auxiliary", "balance", "augment", "replay"):
        if config[part]:
            raise ConfigurationError(f"{part}: {model}, take {part}=none")
    if config["freeze"]["discriminator"]:
        raise ConfigurationError(f"freeze.discriminator: {model}, take freeze.discriminator=[]")
    usual = {"n_critic": 1, "top_k": 1, "joint_pass": False, "power_iteration": "per_call"}
    for key, value in usual.items():
        if config[key] != value:
            raise ConfigurationError(f"{key}={config[key]}: {model}, take {key}={value}")


def _build_optimization(config: Config, curves: Mapping[str, Curve]) -> Optimization:
    optimizer, schedule = config["optimizer"], build("schedule", config["schedule"])
    for key, each in {
        "schedule": schedule,
        **{f"schedules.{name}": curve for name, curve in curves.items()},
    }.items():
        if isinstance(each, torch.nn.Module) and each.state_dict():
            raise ConfigurationError(
                f"{key}: a schedule is a function of g_step alone; take one without buffers"
            )
    # The scaler of 16-mixed hands scaled gradients to a fused optimiser, and clipping would see those.
    fused = config["speed"]["fused_optimizer"] and config["trainer"]["precision"] != "16-mixed"
    return Optimization(
        generator=_optimizer_factory("optimizer.generator", optimizer["generator"], fused),
        discriminator=_optimizer_factory("optimizer.discriminator", optimizer["discriminator"], fused),
        schedule=schedule,
        n_critic=config["n_critic"],
        max_grad_norm_generator=config["max_grad_norm"]["generator"],
        max_grad_norm_discriminator=config["max_grad_norm"]["discriminator"],
        curves=optimizer_curves(curves, optimizer),
    )


def _optimizer_factory(
    key: str, node: Mapping[str, Any], fused: bool
) -> Callable[..., torch.optim.Optimizer]:
    fit_arguments(key, node, {"params": []})  # now, not when training asks for it
    if fused and "fused" in inspect.signature(locate(key, str(node["_target_"]))).parameters:
        node = {"fused": True, **node}
    return lambda parameters: cast(torch.optim.Optimizer, build(key, node, params=list(parameters)))
