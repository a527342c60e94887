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
    AuxiliaryObjective,
    Balance,
    Constraint,
    Discriminator,
    Encoder,
    Generator,
    VariationalLoss,
)
from ganlab.layers.recomputation import recompute_blocks
from ganlab.layers.resampling import set_fused
from ganlab.layers.winograd import set_winograd
from ganlab.noise import mix
from ganlab.training.adversarial import GANModule
from ganlab.training.ema import GeneratorEMA
from ganlab.training.generative import Curve, GenerativeModule, Optimization
from ganlab.training.variational import VAEModule


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

    A model with an encoder is trained as a variational autoencoder, any other as a GAN.

    Raises:
        ConfigurationError: a part does not fit, or a scheduled number does not exist.
    """
    torch.manual_seed(mix(config["seed"], "weights"))
    generator = build_generator(config)
    freeze(generator, config["freeze"]["generator"], "freeze.generator")
    curves = read_curves(config["schedules"])
    optimization = _build_optimization(config, curves)
    common = {
        "optimization": optimization,
        "ema": cast(GeneratorEMA | None, build("ema", config["ema"], generator=generator)),
        "flip_real": config["data"].get("horizontal_flip", False),
        "channels_last": config["speed"]["channels_last"],
        "seed": config["seed"],
    }
    if "encoder" in config["model"]:
        return _build_variational(config, generator, common)
    discriminator = build_discriminator(config)
    freeze(discriminator, config["freeze"]["discriminator"], "freeze.discriminator")
    optimization.constraint = cast(Constraint | None, build("constraint", config["constraint"]))
    if optimization.constraint is not None:
        discriminator = optimization.constraint.prepare(discriminator)
    optimization.balance = cast(Balance | None, build("balance", config["balance"]))
    optimization.top_k = config["top_k"]
    auxiliary = {
        name: cast(AuxiliaryObjective, build(f"auxiliary.{name}", node))
        for name, node in config["auxiliary"].items()
    }
    for objective in auxiliary.values():
        objective.prepare(generator, discriminator)
    augment = {name: build(f"augment.{name}", node) for name, node in config["augment"].items()}
    parts = {name: build(name, config[name]) for name in ("loss", "penalty")}
    if not isinstance(parts["loss"], AdversarialLoss):
        raise ConfigurationError(
            f"loss: {config['loss']['_target_']} is no loss of a GAN; choose another, e.g. loss=hinge"
        )
    module = GANModule(
        generator,
        discriminator,
        **parts,
        auxiliary=auxiliary,
        augment=augment,
        **common,
    )
    named = {"": optimization, **parts, "ema": module.ema}
    named |= {"constraint": optimization.constraint, "balance": optimization.balance}
    named |= {f"auxiliary.{name}": part for name, part in auxiliary.items()}
    named |= {f"augment.{name}": part for name, part in augment.items()}
    _check_memories(named, config["micro_batches"])
    module.scheduled_numbers = scheduled_numbers(curves, named)
    _speed_up(module, config)
    return module


def _check_memories(parts: Mapping[str, object], micro_batches: int) -> None:
    """Refuses micro-batches with parts that they would move several times an update; a loss observes whole batches."""
    for key, part in parts.items():
        moves = key.startswith(("penalty", "auxiliary", "augment"))
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


def _build_variational(config: Config, generator: Generator, common: dict[str, Any]) -> VAEModule:
    """Makes a variational autoencoder around its decoder, and refuses parts that only a GAN has."""
    for part in ("penalty", "constraint", "auxiliary", "balance", "augment"):
        if config[part]:
            raise ConfigurationError(
                f"{part}: model={config['model']['name']} has no discriminator, take {part}=none"
            )
    if config["freeze"]["discriminator"]:
        raise ConfigurationError(
            f"freeze.discriminator: model={config['model']['name']} has none, take freeze.discriminator=[]"
        )
    usual = {
        "n_critic": 1,
        "top_k": 1,
        "micro_batches": 1,
        "joint_pass": False,
        "power_iteration": "per_call",
    }
    for key, value in usual.items():
        if config[key] != value:
            raise ConfigurationError(
                f"{key}={config[key]}: model={config['model']['name']} has no discriminator, take {key}={value}"
            )
    loss = build("loss", config["loss"])
    if not isinstance(loss, VariationalLoss):
        raise ConfigurationError(
            f"loss: model={config['model']['name']} has an encoder and no discriminator; take loss=elbo"
        )
    encoder = cast(Encoder, build("model.encoder", config["model"]["encoder"]))
    _choose_arithmetic(encoder, config)
    module = VAEModule(generator, encoder, loss, **common)
    parts = {"loss": loss, "ema": module.ema}
    module.scheduled_numbers = scheduled_numbers(read_curves(config["schedules"]), parts)
    _speed_up(module, config)
    return module


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
        micro_batches=config["micro_batches"],
        joint_pass=config["joint_pass"],
        normalize_once=config["power_iteration"] == "per_update",
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
