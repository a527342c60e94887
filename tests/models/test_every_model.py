"""Every model that is shipped, narrow at 32 pixels: shapes, gradients, seeds, layouts, precision, one iteration.

A model needs no entry here: whatever stands in `conf/model` is tested.
"""

import copy
from functools import cache
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from plain_fit import fit
from torch import Tensor, nn

from ganlab.build.module import build_module
from ganlab.cli import compose_config
from ganlab.config.schema import Config
from ganlab.noise import Noise
from ganlab.paths import conf_dir
from ganlab.training.adversarial import GANModule
from ganlab.training.generative import GenerativeModule

BATCH = 4


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))


MODELS = options("model")
GANS = [name for name in MODELS if name != "vae"]
LOSSES = [name for name in options("loss") if name != "elbo"]
PENALTIES = [name for name in options("penalty") if name != "none"]


@cache
def composed(name: str, channels: int = 3) -> Config:
    """The model's configuration for images of 32 pixels in ten classes, as narrow as it can be."""
    data = "cifar10" if channels == 3 else "mnist"
    narrow = ["model.generator.channels=8"]
    narrow += ["model.encoder.channels=8"] if name == "vae" else ["model.discriminator.channels=8"]
    return compose_config(f"model={name}", f"data={data}", "data.image_size=32", *narrow)


def build(name: str, channels: int = 3, **parts: Any) -> GenerativeModule:
    config = copy.deepcopy(composed(name, channels))
    config.update(copy.deepcopy(parts))
    return build_module(config)


def labels_for(name: str) -> Tensor | None:
    return torch.arange(BATCH) % 3 if composed(name)["data"]["labels"] else None


def gan(name: str, channels: int = 3, **parts: Any) -> GANModule:
    module = build(name, channels, **parts)
    assert isinstance(module, GANModule)
    return module


def iterate(module: GenerativeModule, labels: Tensor | None, num_g_steps: int = 1) -> dict[str, Tensor]:
    """Trains for some iterations without a data set, and returns the last one's scalars."""
    count = module.optimization.n_critic
    channels = 3
    images = torch.randint(0, 256, (count * BATCH, channels, 32, 32), dtype=torch.uint8)
    batch = (images, labels.repeat(count) if labels is not None else None)
    scalars: list[dict[str, Tensor]] = []

    class Keep(pl.Callback):
        def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, *_: Any) -> None:
            scalars.append(outputs)

    fit(module, [batch] * num_g_steps, [Keep()])
    return scalars[-1]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", GANS)
def test_shapes_and_gradients(name: str, channels: int) -> None:
    """Catches a layer left out of the forward pass, an image out of range, logits of rank two, no features."""
    module, labels = gan(name, channels), labels_for(name)
    generator, discriminator = module.generator, module.discriminator
    latents = generator.draw_latents(BATCH, Noise(1))
    assert latents.shape == (BATCH, composed(name)["model"]["latent_dim"])
    images = generator(latents, labels)
    assert images.shape == (BATCH, channels, 32, 32)
    assert images.abs().max() <= 1
    judged = discriminator.judge(images, labels)
    assert judged.logits.shape == (BATCH,)
    assert torch.equal(discriminator.eval()(images, labels), discriminator.judge(images, labels).logits)
    assert judged.features is not None
    heads = (judged.logits, judged.class_logits, judged.codes)
    torch.stack([head.square().sum() for head in heads if head is not None]).sum().backward()
    for network in (generator, discriminator):
        for key, parameter in network.named_parameters():
            if parameter.requires_grad:
                assert parameter.grad is not None, key
                assert parameter.grad.isfinite().all(), key


@pytest.mark.parametrize("name", MODELS)
def test_seed_state_and_copy(name: str) -> None:
    """Catches weights from another source than the seed, and state outside of parameters and buffers."""
    first, second = build(name), build(name)
    for network, other in zip(first.networks.values(), second.networks.values(), strict=True):
        states = zip(network.state_dict().values(), other.state_dict().values(), strict=True)
        assert all(torch.equal(ours, theirs) for ours, theirs in states)
    generator = first.generator
    latents, labels = generator.draw_latents(BATCH, Noise(1)), labels_for(name)
    generator(latents, labels)  # moves running statistics and singular vectors
    other = copy.deepcopy(second.generator)
    other.load_state_dict(generator.state_dict())
    assert torch.equal(generator.eval()(latents, labels), other.eval()(latents, labels))


@pytest.mark.parametrize("name", GANS)
def test_autocast_and_double_backward(name: str) -> None:
    """Catches images or logits left in bfloat16, and a D that a gradient penalty cannot differentiate."""
    module, labels = gan(name), labels_for(name)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        images = module.generator(module.generator.draw_latents(BATCH, Noise(1)), labels)
        logits = module.discriminator(images, labels)
    assert images.dtype == logits.dtype == torch.float32
    logits.sum().backward()
    discriminator = gan(name).discriminator.double()
    reals = torch.randn(BATCH, 3, 32, 32, dtype=torch.float64, requires_grad=True)
    logits = discriminator(reals, labels)
    assert logits.dtype == torch.float64
    (gradient,) = torch.autograd.grad(logits.sum(), reals, create_graph=True)
    gradient.square().sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in discriminator.parameters())
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in discriminator.parameters())


@pytest.mark.parametrize("name", GANS)
@torch.no_grad()
def test_channels_last_changes_nothing(name: str) -> None:
    """Catches a view that reads memory in the wrong order."""
    labels = labels_for(name)
    plain, last = gan(name, channels_last=False), gan(name, channels_last=True)
    latents = plain.generator.draw_latents(BATCH, Noise(1))
    images = [module.generator.eval()(latents, labels) for module in (plain, last)]
    torch.testing.assert_close(images[0], images[1], rtol=1e-3, atol=1e-4)
    reals = torch.randn(BATCH, 3, 32, 32)
    plain_logits = plain.discriminator.eval()(reals, labels)
    last_logits = last.discriminator.eval()(reals.contiguous(memory_format=torch.channels_last), labels)
    torch.testing.assert_close(plain_logits, last_logits, rtol=1e-3, atol=1e-3)


def node(group: str, option: str) -> dict[str, Any]:
    """The node of a group's option, resolved."""
    extra = ["model=vae"] if option == "elbo" else []
    found: dict[str, Any] = compose_config(*extra, f"{group}={option}")[group]
    return found


@pytest.mark.parametrize("name", MODELS)
def test_trains_as_its_paper(name: str) -> None:
    """Catches parts that do not fit the model, and a network that an iteration leaves as it was."""
    module = build(name)
    before = {key: network.state_dict() for key, network in copy.deepcopy(module.networks).items()}
    scalars = iterate(module, labels_for(name))
    assert all(value.isfinite() for value in scalars.values()), scalars
    for key, network in module.networks.items():
        parameters = dict(network.named_parameters())
        moved = [not torch.equal(before[key][k], p) for k, p in parameters.items() if p.requires_grad]
        assert sum(moved) > len(moved) / 2, key


def one_step_with(name: str, **parts: Any) -> None:
    config = {"n_critic": 1, **parts}
    scalars = iterate(gan(name, **config), labels_for(name))
    assert all(value.isfinite() for value in scalars.values()), scalars


@pytest.mark.parametrize("place", range(max(len(LOSSES), len(PENALTIES))))
@pytest.mark.parametrize("name", GANS)
def test_one_step_with_each_loss_and_penalty(name: str, place: int) -> None:
    """Catches a loss or penalty that does not fit a model; every loss and every penalty meets every model once."""
    loss, penalty = LOSSES[place % len(LOSSES)], PENALTIES[place % len(PENALTIES)]
    one_step_with(name, loss=node("loss", loss), penalty=node("penalty", penalty))


@pytest.mark.slow
@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", GANS)
def test_one_step_with_each_loss_times_penalty(name: str, loss: str, penalty: str) -> None:
    one_step_with(name, loss=node("loss", loss), penalty=node("penalty", penalty))


def test_every_shipped_model_is_a_network() -> None:
    """Catches a list of models that is empty."""
    assert {"gan", "dcgan", "sngan", "vae"} <= set(MODELS)
    assert all(isinstance(network, nn.Module) for network in gan("gan").networks.values())
