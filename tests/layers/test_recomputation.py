"""Blocks that are computed again in the backward pass, against the plain network."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ganlab.build.module import build_discriminator, build_generator
from ganlab.cli import compose_config
from ganlab.layers.recomputation import recompute_blocks
from ganlab.layers.spectral_norm import normalized_once

NARROW = ("data=cifar10", "model.generator.channels=8", "model.discriminator.channels=8")


def networks(model: str) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    config = compose_config(f"model={model}", *NARROW)
    return build_generator(config), build_discriminator(config)


def gradients(tested: nn.Module, *inputs: Any) -> list[Tensor]:
    """Differentiates the output, and the squared norm of its derivative by the first input."""
    for parameter in tested.parameters():
        parameter.grad = None
    first = inputs[0].clone().requires_grad_()
    with normalized_once(tested):
        output = tested(first, *inputs[1:]).square().mean()
        (gradient,) = torch.autograd.grad(output, first, create_graph=True)
        (gradient.square().sum() + output).backward()
    return [parameter.grad for parameter in tested.parameters() if parameter.grad is not None]


@pytest.mark.parametrize(
    ("model", "num_blocks"), [("sngan", (3, 4)), ("biggan", (3, 5)), ("transgan", (11, 6))]
)
def test_same_gradients_and_memories(model: str, num_blocks: tuple[int, int]) -> None:
    """Catches: batch norm or power iterations that count twice; random numbers drawn anew; a lost label."""
    labels = torch.tensor([1, 3, 0])
    for plain, number, inputs in zip(
        networks(model), num_blocks, (torch.randn(3, 128), torch.rand(3, 3, 32, 32)), strict=True
    ):
        if inputs.dim() == 2:
            inputs = torch.randn(3, compose_config(f"model={model}", *NARROW)["model"]["latent_dim"])
        again = copy.deepcopy(plain)
        assert recompute_blocks(again) == number
        torch.manual_seed(1)
        expected = gradients(plain, inputs, labels)
        torch.manual_seed(1)
        found = gradients(again, inputs, labels)
        assert len(found) == len(expected) > 5
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)
        assert all(torch.equal(*pair) for pair in zip(again.buffers(), plain.buffers(), strict=True))


def test_blocks_are_not_remembered() -> None:
    """Catches: a network that stays as it was."""
    generator, _ = networks("sngan")
    latents = torch.randn(32, 128)

    def remembered_bytes() -> int:
        kept: dict[int, int] = {}

        def pack(tensor: Tensor) -> Tensor:
            kept[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            generator(latents).sum()
        return sum(kept.values())

    plain = remembered_bytes()
    recompute_blocks(generator)
    assert remembered_bytes() < 0.5 * plain


def test_copies_compute_with_their_own_weights() -> None:
    """Catches: an average of G whose blocks are those of G."""
    generator, _ = networks("sngan")
    recompute_blocks(generator)
    other = copy.deepcopy(generator)
    with torch.no_grad():
        other.get_parameter("blocks.1.conv2.weight").mul_(2)
    latents = torch.randn(2, 128)
    assert not torch.allclose(generator(latents), other(latents))


def test_evaluation_is_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: a checkpoint where nothing will be differentiated."""
    generator, _ = networks("sngan")
    recompute_blocks(generator)
    monkeypatch.setattr("ganlab.layers.recomputation.checkpoint", None)
    with torch.no_grad():
        assert generator(torch.randn(2, 128)).shape == (2, 3, 32, 32)
