"""TransGAN's networks against the authors' code and plain re-computations of their parts."""

import math
from typing import Any

import pytest
import torch
from torch import nn

from ganlab.errors import ConfigurationError
from ganlab.models.transgan import TransGANDiscriminator, TransGANGenerator


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_parameters_of_the_authors_code() -> None:
    """Counted in the code's networks for CIFAR-10 with `g_norm=pn d_norm=pn`; catches a wrong width or depth.

    The seven that D has less are the strengths of the noise before each attention.
    """
    with torch.device("meta"):
        generator = TransGANGenerator(latent_dim=256, channels=64, image_size=32, image_channels=3)
        discriminator = TransGANDiscriminator(channels=96, image_size=32, image_channels=3)
    assert count(generator) == 83_287_407
    assert count(discriminator) == 10_200_032 - 7


def shapes_of_stages(network: Any, batch: torch.Tensor) -> list[tuple[int, ...]]:
    shapes: list[tuple[int, ...]] = []
    for stage in network.stages:
        stage.register_forward_hook(lambda _stage, _given, made: shapes.append(tuple(made.shape[1:])))
    network(batch)
    return shapes


@pytest.mark.parametrize(
    ("image_size", "of_generator", "of_discriminator"),
    [
        (16, [(1024, 4, 4), (256, 8, 8), (64, 16, 16)], [(288, 8, 8), (384, 4, 4)]),
        (32, [(1024, 8, 8), (256, 16, 16), (64, 32, 32)], [(288, 16, 16), (384, 8, 8)]),
        (
            64,
            [(1024, 8, 8), (1024, 16, 16), (256, 32, 32), (64, 64, 64)],
            [(96, 32, 32), (192, 16, 16), (384, 8, 8)],
        ),
    ],
)
def test_tokens_of_each_stage(
    image_size: int, of_generator: list[tuple[int, ...]], of_discriminator: list[tuple[int, ...]]
) -> None:
    """Catches a doubling or a halving too many, and pixel shuffle where bicubic upsampling belongs."""
    with torch.device("meta"):
        generator = TransGANGenerator(latent_dim=256, channels=64, image_size=image_size, image_channels=3)
        discriminator = TransGANDiscriminator(channels=96, image_size=image_size, image_channels=3)
        latents, images = torch.randn(2, 256), torch.randn(2, 3, image_size, image_size)
    assert shapes_of_stages(generator, latents) == of_generator
    assert shapes_of_stages(discriminator, images) == of_discriminator


def discriminator() -> Any:
    torch.manual_seed(0)
    return TransGANDiscriminator(channels=4, image_size=32, image_channels=1).double()


def test_attention() -> None:
    """softmax(Q K^T / sqrt(d) + E) V, head by head and pair by pair.

    Catches a lost or a wrong scale, heads mixed up, rows and columns of an offset swapped, a bias transposed.
    """
    attention = discriminator().stages[1].blocks[0].attention
    width, window, size = 16, 8, 4
    with torch.no_grad():
        attention.relative_bias.normal_()
        attention.queries_keys_values.weight.normal_()
    tokens = torch.randn(1, window * window, width, dtype=torch.float64)
    queries, keys, values = attention.queries_keys_values(tokens)[0].split(width, dim=1)
    table = attention.relative_bias.view(15, 15, 4)
    mixed = []
    for head in range(4):
        part = slice(head * size, (head + 1) * size)
        scores = queries[:, part] @ keys[:, part].T / math.sqrt(size)
        bias = torch.stack(
            [
                torch.stack(
                    [table[i // 8 - j // 8 + 7, i % 8 - j % 8 + 7, head] for j in range(window * window)]
                )
                for i in range(window * window)
            ]
        )
        mixed.append((scores + bias).softmax(1) @ values[:, part])
    torch.testing.assert_close(attention(tokens)[0], attention.out(torch.cat(mixed, 1)))


def test_block() -> None:
    """Catches a missing residual, LayerNorm for the root mean square, and normalised tokens in the residual."""
    block = discriminator().stages[1].blocks[0]
    tokens = torch.randn(2, 64, 16, dtype=torch.float64) + 1

    def normalised(values: torch.Tensor) -> torch.Tensor:
        return values / (values.square().sum(-1, keepdim=True) / 16 + 1e-8).sqrt()

    attended = tokens + block.attention(normalised(tokens))
    hidden = block.expand(normalised(attended))
    gelu = 0.5 * hidden * (1 + torch.erf(hidden / math.sqrt(2)))
    torch.testing.assert_close(block(tokens), attended + block.contract(gelu))


def test_windows_are_squares_of_the_grid() -> None:
    """Catches windows that are strips, and windows put back in the wrong place."""
    torch.manual_seed(0)
    stage = TransGANGenerator(latent_dim=2, channels=4, image_size=64, image_channels=1).stages[-1]
    assert stage.window == 16
    maps = torch.randn(2, 4, 64, 64)
    with torch.no_grad():
        whole = stage(maps)
        changed = maps.clone()
        changed[:, :, 20, 40] += 1
        touched = (stage(changed) - whole).abs().amax((0, 1)) > 1e-7
        tokens = (maps.flatten(2).mT + stage.position).mT.unflatten(2, (64, 64))
        window = stage.blocks(tokens[:, :, 16:32, 32:48].flatten(2).mT).mT.unflatten(2, (16, 16))
    assert touched[16:32, 32:48].all()
    assert touched.sum() == 256
    torch.testing.assert_close(whole[:, :, 16:32, 32:48], window)


def test_patches_of_two_sizes() -> None:
    """Catches a missing class token or average, patches joined in the wrong order, a logit from another token."""
    network = discriminator()
    images = torch.randn(2, 1, 32, 32, dtype=torch.float64)
    fine = network.stages[0](network.from_image[0](images))
    joined = torch.cat(
        [
            nn.functional.avg_pool2d(fine, 2),
            nn.functional.conv2d(images, network.from_image[1].weight, stride=4),
        ],
        1,
    )
    tokens = network.stages[1](joined).flatten(2).transpose(1, 2)
    tokens = network.last_block(torch.cat([network.class_token.repeat(2, 1, 1), tokens], 1))
    features = tokens[:, 0] * (tokens[:, 0].square().mean(1, keepdim=True) + 1e-8).rsqrt()
    judgement = network.judge(images)
    torch.testing.assert_close(judgement.features, features)
    torch.testing.assert_close(judgement.logits, network.to_logit(features).squeeze(1))


def test_initial_weights_of_the_discriminator() -> None:
    """Catches torch's own initial weights in D's linear layers, and a logit that starts with a bias."""
    network = TransGANDiscriminator(channels=16, image_size=32, image_channels=3)
    weight = network.last_block.expand.weight
    assert 0.017 < weight.std() < 0.021
    assert not network.to_logit.bias.any()


def test_impossible_arguments() -> None:
    with pytest.raises(ConfigurationError, match=r"of 16, 32, 64 pixels, got 48x48: set data\.image_size"):
        TransGANGenerator(latent_dim=2, channels=4, image_size=48, image_channels=1)
    with pytest.raises(ConfigurationError, match="got 32x64"):
        TransGANDiscriminator(channels=4, image_size=(32, 64), image_channels=1)
    with pytest.raises(ConfigurationError, match=r"generator\.channels to be a positive multiple of 4"):
        TransGANGenerator(latent_dim=2, channels=6, image_size=32, image_channels=1)
    with pytest.raises(ConfigurationError, match=r"discriminator\.channels to be a positive multiple of 4"):
        TransGANDiscriminator(channels=0, image_size=32, image_channels=1)
