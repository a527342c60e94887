"""What the tests of the large residual networks share: counting, and what must hold for each of them."""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from ganlab.interfaces import Discriminator, Generator
from ganlab.layers.attention import SelfAttention
from ganlab.layers.spectral_norm import SpectralNorm


@pytest.fixture
def on_meta(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Builds networks without numbers, and without the power iterations, which cost seconds there."""
    monkeypatch.setattr(SpectralNorm, "_iterate", lambda *_: None)
    with torch.device("meta"):
        yield


@pytest.fixture
def count() -> Callable[[nn.Module], int]:
    """Counts the parameters of a network."""
    return lambda network: sum(parameter.numel() for parameter in network.parameters())


@pytest.fixture
def check_maps() -> Callable[..., None]:
    """Checks the side of the images, of the maps that attention sees in G and in D, and of D's last map."""

    @torch.no_grad()
    def check(
        generator: Generator, discriminator: Discriminator, *, size: int, attention_side: int, last_side: int
    ) -> None:
        seen = []
        for network in (generator, discriminator):
            for layer in network.modules():
                if isinstance(layer, SelfAttention):
                    layer.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].shape[2:]))
        images = generator(torch.randn(2, generator.latent_dim), torch.tensor([4, 0]))
        assert images.shape == (2, 1, size, size)
        assert discriminator.blocks(images).shape[2:] == (last_side, last_side)
        assert seen == [(attention_side, attention_side)] * 2

    return check


@pytest.fixture
def check_orthogonal() -> Callable[..., None]:
    """Checks that all weights start orthogonal, and that all are normalised but the embeddings of G."""

    @torch.no_grad()
    def check(network: nn.Module, *, normalized_embeddings: bool) -> None:
        for layer in network.modules():
            if not isinstance(layer, nn.Linear | nn.Conv2d | nn.Embedding):
                continue
            normalized = is_parametrized(layer, "weight")
            assert normalized is (normalized_embeddings or not isinstance(layer, nn.Embedding))
            weight = layer.parametrizations.weight.original if normalized else layer.weight
            matrix = weight.flatten(1)
            gram = matrix @ matrix.T if len(matrix) <= matrix.shape[1] else matrix.T @ matrix
            torch.testing.assert_close(gram, torch.eye(len(gram)))
            if getattr(layer, "bias", None) is not None:
                assert not layer.bias.any()

    return check


@pytest.fixture
def check_projection() -> Callable[[Discriminator], None]:
    """Checks that D's logit is linear in the summed features plus their product with the label's vector."""

    @torch.no_grad()
    def check(discriminator: Discriminator) -> None:
        critic, images = discriminator.eval(), torch.randn(3, 1, 32, 32)
        labels: Tensor = torch.tensor([4, 0, 4])
        judgement = critic.judge(images, labels)
        features = critic.blocks(images).clamp_min(0).sum((2, 3))
        projection = (critic.head.embedding.weight[labels] * features).sum(1)
        torch.testing.assert_close(judgement.features, features)
        torch.testing.assert_close(judgement.logits, critic.head.to_logit(features).squeeze(1) + projection)
        assert torch.equal(critic(images, labels), judgement.logits)

    return check
