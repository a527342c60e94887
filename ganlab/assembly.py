"""Turns the configuration of a model into the module that trains it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import torch

from ganlab.checkpoint import generator_weights, load_checkpoint
from ganlab.config import Config
from ganlab.ema import GeneratorEMA
from ganlab.errors import ConfigurationError
from ganlab.instantiation import build, check_arguments
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
from ganlab.models.resampling import set_fused
from ganlab.modules.adversarial import GANModule
from ganlab.modules.generative import Curve, GenerativeModule, Optimization
from ganlab.modules.variational import VAEModule
from ganlab.noise import mix
from ganlab.scheduling import optimizer_curves, read_curves, scheduled_numbers


def build_generator(config: Config) -> Generator:
    """Makes G as configured, with fresh weights from the global random state."""
    generator = cast(Generator, build("model.generator", config["model"]["generator"]))
    set_fused(generator, config["speed"]["fused_resampling"])
    return generator


def build_discriminator(config: Config) -> Discriminator:
    """Makes D as configured, with fresh weights from the global random state, before any constraint."""
    discriminator = cast(Discriminator, build("model.discriminator", config["model"]["discriminator"]))
    set_fused(discriminator, config["speed"]["fused_resampling"])
    return discriminator


def build_module(config: Config) -> GenerativeModule:
    """Makes networks, loss and all that trains them; the same seed gives the same weights.

    A model with an encoder is trained as a variational autoencoder, any other as a GAN.

    Raises:
        ConfigurationError: a part does not fit, or a scheduled number does not exist.
    """
    torch.manual_seed(mix(config["seed"], "weights"))
    generator = build_generator(config)
    curves = read_curves(config["schedules"])
    optimization = _build_optimization(config, curves)
    common = {
        "optimization": optimization,
        "ema": cast(GeneratorEMA | None, build("ema", config["ema"], generator=generator)),
        "flip_real": config["data"]["horizontal_flip"],
        "channels_last": config["speed"]["channels_last"],
        "seed": config["seed"],
    }
    if "encoder" in config["model"]:
        return _build_variational(config, generator, common)
    discriminator = build_discriminator(config)
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
        augment=list(augment.values()),
        **common,
    )
    named = {"": optimization, **parts, "ema": module.ema}
    named |= {"constraint": optimization.constraint, "balance": optimization.balance}
    named |= {f"auxiliary.{name}": part for name, part in auxiliary.items()}
    named |= {f"augment.{name}": part for name, part in augment.items()}
    module.scheduled_numbers = scheduled_numbers(curves, named)
    return module


def initialize(module: GenerativeModule, options: Mapping[str, Any]) -> None:
    """Gives networks the weights of another run, where the configuration asks for it.

    Args:
        module: as built.
        options: the `initialize` section of the configuration.

    Raises:
        ConfigurationError: the weights do not fit, G has no such part, or a part that needs a run is given none.
        DataError: there is no such checkpoint.
    """
    if options["run"] is None:
        if options["into"] is not None:
            raise ConfigurationError(
                f"initialize.run: {options['into']} of the generator takes the weights of a trained run; give "
                "initialize.run=RUN_DIR, or initialize.into=null for random ones"
            )
        return
    path = Path(options["run"]) / "checkpoints" / f"{options['checkpoint']}.ckpt"
    state = load_checkpoint(path)
    try:
        if options["into"] is not None:
            module.generator.get_submodule(options["into"]).load_state_dict(generator_weights(state))
        else:
            for name, network in module.networks.items():
                network.load_state_dict(state[name])
    except (RuntimeError, KeyError, AttributeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ConfigurationError(
            f"initialize.run={options['run']}: its weights do not fit ({reason}); take a run of the same networks, or "
            "name in initialize.into the part of the generator that they are for"
        ) from error
    if module.ema is not None:
        module.ema.generator.load_state_dict(module.generator.state_dict())


def _build_variational(config: Config, generator: Generator, common: dict[str, Any]) -> VAEModule:
    """Makes a variational autoencoder around its decoder, and refuses parts that only a GAN has."""
    for part in ("penalty", "constraint", "auxiliary", "balance", "augment"):
        if config[part]:
            raise ConfigurationError(
                f"{part}: model={config['model']['name']} has no discriminator, take {part}=none"
            )
    for key in ("n_critic", "top_k"):
        if config[key] != 1:
            raise ConfigurationError(
                f"{key}={config[key]}: model={config['model']['name']} has no discriminator, take {key}=1"
            )
    loss = build("loss", config["loss"])
    if not isinstance(loss, VariationalLoss):
        raise ConfigurationError(
            f"loss: model={config['model']['name']} has an encoder and no discriminator; take loss=elbo"
        )
    encoder = cast(Encoder, build("model.encoder", config["model"]["encoder"]))
    module = VAEModule(generator, encoder, loss, **common)
    parts = {"loss": loss, "ema": module.ema}
    module.scheduled_numbers = scheduled_numbers(read_curves(config["schedules"]), parts)
    return module


def _build_optimization(config: Config, curves: Mapping[str, Curve]) -> Optimization:
    optimizer = config["optimizer"]
    return Optimization(
        generator=_optimizer_factory("optimizer.generator", optimizer["generator"]),
        discriminator=_optimizer_factory("optimizer.discriminator", optimizer["discriminator"]),
        schedule=build("schedule", config["schedule"]),
        n_critic=config["n_critic"],
        max_grad_norm_generator=config["max_grad_norm"]["generator"],
        max_grad_norm_discriminator=config["max_grad_norm"]["discriminator"],
        curves=optimizer_curves(curves, optimizer),
    )


def _optimizer_factory(key: str, node: Mapping[str, Any]) -> Callable[..., torch.optim.Optimizer]:
    check_arguments(key, node, {"params": []})  # now, not when training asks for it
    return lambda parameters: cast(torch.optim.Optimizer, build(key, node, params=list(parameters)))
