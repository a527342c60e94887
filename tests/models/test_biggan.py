"""BigGAN: parameter counts, which latents reach which block, initial weights, truncation, and what it cannot make."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal

from ganlab.errors import ConfigurationError
from ganlab.models.biggan import BigGANDiscriminator, BigGANGenerator, truncate_normal

LABELS = torch.tensor([4, 0])


def generator(
    size: Any = 32, latent_dim: int = 8, channels: int = 4, num_classes: int = 5
) -> BigGANGenerator:
    torch.manual_seed(0)
    return BigGANGenerator(
        latent_dim=latent_dim,
        channels=channels,
        image_size=size,
        image_channels=1,
        num_classes=num_classes,
        embedding_dim=3,
    )


def discriminator(size: Any = 32, channels: int = 4, num_classes: int = 5) -> BigGANDiscriminator:
    torch.manual_seed(0)
    return BigGANDiscriminator(channels=channels, image_size=size, image_channels=1, num_classes=num_classes)


@pytest.mark.usefixtures("on_meta")
@pytest.mark.parametrize(
    ("size", "latent_dim", "channels", "classes", "of_generator", "of_discriminator"),
    [
        (32, 80, 96, 10, 9416196, 2415170),
        (64, 100, 16, 10, 933924, 1225970),
        (128, 120, 96, 1000, 70433988, 87982370),
        (256, 140, 16, 10, 2722724, 2718770),
    ],
)
def test_parameters(
    count: Callable[[nn.Module], int],
    size: int,
    latent_dim: int,
    channels: int,
    classes: int,
    of_generator: int,
    of_discriminator: int,
) -> None:
    """Counted in PyTorch-StudioGAN's networks, at 128 px with the paper's widths (70.4M and 88.0M).

    Catches a wrong width, attention at another place, and a first layer that sees all latents.
    """
    shared = {"channels": channels, "image_size": size, "image_channels": 3, "num_classes": classes}
    assert count(BigGANGenerator(latent_dim=latent_dim, **shared)) == of_generator
    assert count(BigGANDiscriminator(**shared)) == of_discriminator


@pytest.mark.parametrize(
    ("size", "latent_dim", "side", "last"),
    [(32, 8, 16, 8), (64, 10, 32, 4), (128, 12, 64, 4), (256, 14, 64, 4)],
)
def test_maps(size: int, latent_dim: int, side: int, last: int, check_maps: Callable[..., None]) -> None:
    """Catches attention at another resolution or left out of the forward pass, and a halving too many."""
    networks = generator(size, latent_dim, channels=1), discriminator(size, channels=1)
    check_maps(*networks, size=size, attention_side=side, last_side=last)


def heard(network: BigGANGenerator, latents: Tensor, labels: Tensor | None) -> list[Tensor]:
    """Returns what the first layer and each block are told."""
    told: list[Tensor] = []
    hooks = [network.project.register_forward_pre_hook(lambda _, inputs: told.append(inputs[0]))]
    for block in network.blocks:
        hooks.append(block.register_forward_pre_hook(lambda _, inputs: told.append(inputs[1])))
    network(latents, labels)
    for hook in hooks:
        hook.remove()
    return told


@torch.no_grad()
def test_who_hears_what() -> None:
    """Catches chunks in another order, one chunk for all blocks, and a class that reaches the first layer."""
    ours, latents = generator().eval(), torch.arange(16.0).reshape(2, 8)
    assert ours.embedding is not None
    shared = ours.embedding.weight[LABELS]
    first, *others = heard(ours, latents, LABELS)
    assert torch.equal(first, latents[:, :2])
    for i, condition in enumerate(others, 1):
        assert torch.equal(condition, torch.cat([shared, latents[:, 2 * i : 2 * i + 2]], 1))
    assert len(others) == 3


@torch.no_grad()
def test_without_classes() -> None:
    """Catches an unconditional network that asks for labels, or whose blocks hear no latents."""
    ours, critic = generator(num_classes=0).eval(), discriminator(num_classes=0).eval()
    latents = torch.randn(2, 8)
    assert all(
        torch.equal(told, latents[:, 2 * i : 2 * i + 2]) for i, told in enumerate(heard(ours, latents, None))
    )
    images = ours(latents)
    assert torch.equal(images, ours(latents, LABELS))
    assert torch.equal(critic(images), critic(images, LABELS))
    assert not any(isinstance(m, nn.Embedding) for network in (ours, critic) for m in network.modules())


@pytest.mark.parametrize("make", [generator, discriminator])
def test_initial_weights_and_normalization(make: Any, check_orthogonal: Callable[..., None]) -> None:
    """Catches Xavier's weights left in a layer, a normalised embedding in G, and a plain one in D."""
    check_orthogonal(make(), normalized_embeddings=make is discriminator)


def test_logit_is_a_projection(check_projection: Callable[[nn.Module], None]) -> None:
    """Catches a mean for the sum over places, a missing ReLU, and a label that is not used."""
    check_projection(discriminator())


@pytest.mark.parametrize("truncation", [0.05, 0.5, 0.99])
def test_truncation_takes_quantiles_over(truncation: float) -> None:
    """Catches scaling, a cut at the truncation and not at twice of it, and a cut that folds values."""
    latents = torch.linspace(-5, 5, 201, dtype=torch.float64)[None]
    normal, cut = Normal(0.0, 1.0), torch.tensor(2 * truncation, dtype=torch.float64)
    below, above = normal.cdf(-cut), normal.cdf(cut)
    expected = normal.icdf(below + normal.cdf(latents) * (above - below))
    truncated = generator().truncate(latents, truncation)
    torch.testing.assert_close(truncated, expected, rtol=1e-6, atol=1e-9)
    assert truncated.abs().max() <= cut
    assert (truncated.diff() > 0).all()


def test_truncation_at_its_ends() -> None:
    """Catches a cut at 2 where nothing was asked for, and infinite latents in float32."""
    latents = torch.tensor([[-40.0, -3.0, 0.0, 3.0, 40.0]])
    assert torch.equal(truncate_normal(latents, 1), latents)
    assert truncate_normal(latents, 0.999).abs().max() < 2
    for truncation in (0, -0.5, 1.5):
        with pytest.raises(ConfigurationError, match=f"0 < truncation <= 1, got {truncation}"):
            truncate_normal(latents, truncation)


@pytest.mark.parametrize("make", [generator, discriminator])
def test_refusals(make: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"32, 64, 128, 256 pixels, got 48x48: set data\.image_size"):
        make(48)
    with pytest.raises(ConfigurationError, match="got 32x64"):
        make((32, 64))
    with pytest.raises(ConfigurationError, match="num_classes >= 0, got -1"):
        make(num_classes=-1)
    with pytest.raises(ConfigurationError, match="channels >= 1, got 0"):
        make(channels=0)
    with pytest.raises(ConfigurationError, match="labels=None"):
        make()(torch.randn(1, 8) if make is generator else torch.randn(1, 1, 32, 32))


@pytest.mark.parametrize(("size", "latent_dim", "chunks"), [(32, 6, 4), (32, 0, 4), (64, 8, 5)])
def test_latents_that_do_not_divide(size: int, latent_dim: int, chunks: int) -> None:
    with pytest.raises(
        ConfigurationError, match=rf"{chunks} chunks .* got {latent_dim}: set model\.latent_dim"
    ):
        generator(size, latent_dim)
