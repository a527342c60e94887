"""Spectral normalisation as a constraint of any discriminator."""

import pytest
import torch
from torch import Tensor, nn

from ganlab.constraints.spectral_norm import SpectralNormalization
from ganlab.errors import ConfigurationError
from ganlab.interfaces import Discriminator
from ganlab.layers.spectral_norm import SpectralNorm, apply_spectral_norm, normalized_once
from ganlab.models.dcgan import DCGANDiscriminator
from ganlab.models.sngan import SNGANDiscriminator


class Bare(Discriminator):
    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return images.flatten(1).sum(1)


def test_every_layer_has_norm_one() -> None:
    """Catches a layer that is left out."""
    torch.manual_seed(0)
    discriminator = DCGANDiscriminator(channels=2, image_size=16, image_channels=1)
    prepared = SpectralNormalization().prepare(discriminator)
    layers = [layer for layer in prepared.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    assert len(layers) > 2
    for _ in range(100):
        prepared(torch.zeros(2, 1, 16, 16))
    for layer in layers:
        largest = torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2)
        assert largest.item() == pytest.approx(1, rel=1e-3)


@pytest.mark.parametrize(
    "discriminator", [SNGANDiscriminator(channels=2, image_size=32, image_channels=1), Bare()]
)
def test_refuses(discriminator: Discriminator) -> None:
    """Catches a norm that is divided out twice."""
    with pytest.raises(ConfigurationError, match="constraint=none"):
        SpectralNormalization().prepare(discriminator)


def test_spectral_norm_is_the_largest_singular_value() -> None:
    """Catches u and v swapped, a Frobenius norm, a wrong reshape of convolution weights."""
    torch.manual_seed(0)
    weight = torch.randn(5, 3, 2, 2)
    norm = SpectralNorm(weight, num_initial_iterations=200)
    expected = weight / torch.linalg.matrix_norm(weight.flatten(1), ord=2)
    torch.testing.assert_close(norm(weight), expected)


def test_spectral_norm_differentiates_as_torch() -> None:
    """Catches the norm taken as a constant: with u and v fixed, the derivative of u^T W v is part of it."""
    torch.manual_seed(0)
    ours = nn.Linear(4, 3)
    theirs = nn.Linear(4, 3)
    theirs.load_state_dict(ours.state_dict())
    apply_spectral_norm(ours)
    nn.utils.parametrizations.spectral_norm(theirs)
    for linear in (ours, theirs):
        for _ in range(50):
            linear.weight  # noqa: B018 - each access is a power iteration
        (linear.weight**3).sum().backward()
    gradients = [linear.parametrizations.weight.original.grad for linear in (ours, theirs)]
    torch.testing.assert_close(gradients[0], gradients[1])


def test_spectral_norm_iterates_in_training_only() -> None:
    """Catches a power iteration at evaluation, which would make scores depend on the number of batches."""
    torch.manual_seed(0)
    weight = torch.randn(6, 6)
    norm = SpectralNorm(weight, num_initial_iterations=1)
    before = norm.u.clone()
    norm.eval()(weight)
    assert torch.equal(norm.u, before)
    norm.train()(weight)
    assert not torch.equal(norm.u, before)


def test_spectral_norm_in_float32_under_autocast() -> None:
    """Catches a norm estimated in bfloat16."""
    torch.manual_seed(0)
    weight = torch.randn(64, 64)
    norm = SpectralNorm(weight).eval()
    expected = norm(weight)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(norm(weight), expected)


def test_two_forward_passes_before_backward() -> None:
    """Catches singular vectors changed in place under the first pass's graph."""
    layer = nn.Linear(3, 2)
    apply_spectral_norm(layer)
    (layer(torch.randn(2, 3)).sum() - layer(torch.randn(2, 3)).sum()).backward()
    assert layer.parametrizations.weight.original.grad is not None


def network(layers: int = 3) -> nn.Sequential:
    """Two shapes, one of them several times, and a layer without a norm."""
    torch.manual_seed(0)
    normalized = nn.Sequential(nn.Linear(5, 4), *(nn.Linear(4, 4) for _ in range(layers)), nn.Tanh())
    apply_spectral_norm(normalized)
    return normalized.append(nn.Linear(4, 1))


def double_backward(tested: nn.Module, inputs: Tensor) -> list[Tensor]:
    """Differentiates the squared norm of the derivative by the inputs, and the output."""
    inputs = inputs.clone().requires_grad_()
    output = tested(inputs).sum()
    (gradient,) = torch.autograd.grad(output, inputs, create_graph=True)
    (gradient.square().sum() + output).backward()
    return [parameter.grad for parameter in tested.parameters() if parameter.grad is not None]


def test_normalized_once_equals_one_call() -> None:
    """Catches layers of one shape mixed up, u and v swapped, sigma without a graph, buffers that are not updated."""
    inputs = torch.randn(6, 5)
    plain, together = network().double(), network().double()
    expected = double_backward(plain, inputs.double())
    with normalized_once(together):
        found = double_backward(together, inputs.double())
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(
        dict(together.named_buffers()), dict(plain.named_buffers()), rtol=1e-12, atol=1e-12
    )


def test_normalized_once_iterates_once() -> None:
    """Catches an iteration for each call, weights that differ between calls, and weights kept after the block."""
    tested, inputs = network(), torch.randn(6, 5)
    before = [norm.u.clone() for norm in tested.modules() if isinstance(norm, SpectralNorm)]
    with normalized_once(tested):
        after = [norm.u.clone() for norm in tested.modules() if isinstance(norm, SpectralNorm)]
        assert torch.equal(tested(inputs), tested(inputs))
        now = [norm.u for norm in tested.modules() if isinstance(norm, SpectralNorm)]
        assert all(torch.equal(*pair) for pair in zip(after, now, strict=True))
    assert not any(torch.equal(*pair) for pair in zip(before, after, strict=True))
    assert all(norm.normalized is None for norm in tested.modules() if isinstance(norm, SpectralNorm))
    assert not torch.equal(tested(inputs), tested(inputs))


def test_normalized_once_leaves_evaluation_alone() -> None:
    """Catches a power iteration at evaluation, and weights kept when the block fails."""
    tested = network().eval()
    before = [buffer.clone() for buffer in tested.buffers()]
    with pytest.raises(KeyError), normalized_once(tested):
        raise KeyError
    assert all(torch.equal(*pair) for pair in zip(before, tested.buffers(), strict=True))
    assert all(norm.normalized is None for norm in tested.modules() if isinstance(norm, SpectralNorm))
