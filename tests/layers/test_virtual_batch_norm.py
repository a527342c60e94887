"""Virtual batch normalisation, against one example at a time."""

import copy

import pytest
import torch
from torch import Tensor, nn

from ganlab.errors import ConfigurationError
from ganlab.layers.virtual_batch_norm import ReferenceBatch, VirtualBatchNorm


class Network(nn.Module):
    """Two layers with virtual batch norm."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.references = ReferenceBatch(3, 2, 4, 4)
        self.conv = nn.Conv2d(2, 5, 3)
        self.norm = VirtualBatchNorm(5, 3)
        self.linear = nn.Linear(20, 6)
        self.flat_norm = VirtualBatchNorm(6, 3)

    def forward(self, images: Tensor) -> Tensor:
        maps = torch.relu(self.norm(self.conv(self.references.prepend(images))))
        return self.references.drop(self.flat_norm(self.linear(maps.flatten(1))))


@pytest.mark.parametrize("places", [(), (3, 2)])
def test_formula(places: tuple[int, ...]) -> None:
    """Catches a variance of variances, a weight of 1 / n for the example, references that see the examples."""
    torch.manual_seed(0)
    layer = VirtualBatchNorm(5, 3).double()
    nn.init.normal_(layer.weight)
    nn.init.normal_(layer.bias)
    values = torch.randn(7, 5, *places, dtype=torch.float64) * 2 + 1
    found = layer(values)
    for n in range(7):
        # An example counts as much as one reference: the statistics of the four together.
        together = values[:3] if n < 3 else torch.cat([values[:3], values[n : n + 1]])
        for c in range(5):
            mean, variance = together[:, c].mean(), together[:, c].var(correction=0)
            expected = (values[n, c] - mean) / (variance + 1e-5).sqrt() * layer.weight[c] + layer.bias[c]
            torch.testing.assert_close(found[n, c], expected)


def test_examples_do_not_see_each_other() -> None:
    """Catches statistics of the batch; the reference batch stays in the output."""
    network, images = Network(), torch.randn(5, 2, 4, 4)
    together = network(images)
    assert together.shape == (5, 6)
    torch.testing.assert_close(network(images[3:4]), together[3:4])


def test_first_batch_is_kept() -> None:
    """Catches references that follow the batch, and ones fixed in evaluation mode."""
    network, images = Network(), torch.randn(4, 2, 4, 4)
    network.eval()(images)
    assert not network.references.is_fixed
    network.train()(images)
    network(images + 1)
    assert torch.equal(network.references.inputs, images[:3])


def test_checkpoint() -> None:
    """Catches a copy that takes its own first batch for the references after it has been restored."""
    network, images = Network(), torch.randn(4, 2, 4, 4)
    expected = network(images)
    restored = Network()
    restored.load_state_dict(network.state_dict())
    restored(images + 1)
    assert torch.equal(restored(images), expected)
    assert torch.equal(copy.deepcopy(network)(images), expected)


def test_fixed_references() -> None:
    """Catches a first batch that replaces references given by hand."""
    network, latents = Network(), torch.randn(3, 2, 4, 4)
    network.references.fix(latents)
    network(torch.randn(4, 2, 4, 4))
    assert torch.equal(network.references.inputs, latents)


def test_can_be_penalized() -> None:
    """Catches statistics without a graph."""
    network, images = Network().double(), torch.randn(3, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(network(images).square().sum(), images, create_graph=True)
    gradient.square().sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_constant_features() -> None:
    """Catches the root of a variance that rounding made negative, and an output in another type."""
    values = torch.linspace(1000, 1001, 50).repeat(7, 1)
    assert VirtualBatchNorm(50, 3)(values).isfinite().all()
    assert VirtualBatchNorm(50, 3)(values.bfloat16()).dtype == torch.bfloat16


def test_refuses() -> None:
    with pytest.raises(ConfigurationError, match="num_references"):
        ReferenceBatch(0, 2)
    with pytest.raises(ConfigurationError, match="num_features"):
        VirtualBatchNorm(0, 2)
    with pytest.raises(ValueError, match="at least as many"):
        Network()(torch.zeros(2, 2, 4, 4))
