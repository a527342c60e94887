"""The adversarial loss weighed against the reconstruction."""

import pytest
import torch
from torch import nn

from ganlab.errors import ConfigurationError
from ganlab.training.update import AdaptiveWeight, Balancing


@pytest.mark.parametrize("own_weight", [1.0, 0.25])
@pytest.mark.parametrize("num_parts", [1, 2])
def test_the_adversarial_gradient_is_as_large_as_the_reconstructions(
    own_weight: float, num_parts: int
) -> None:
    """Catches a ratio turned round, one of micro-batches, the loss's weight left within the ratio, where it cancels,
    and a factor on the reconstruction."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)).double()
    parameters = list(network.parameters())
    rows = torch.randn(4, 3, dtype=torch.float64)
    balancing = Balancing(AdaptiveWeight("1.weight", 1e4), own_weight, network, parameters)
    for part in rows.chunk(num_parts):
        made = network(part)
        reconstruction = made.square().mean()
        balancing.add(own_weight * made.sin().mean() / num_parts, reconstruction / num_parts)
        (reconstruction / num_parts).backward()
    factor = balancing.finish()
    found = [parameter.grad.clone() for parameter in parameters if parameter.grad is not None]
    made = network(rows)
    far = torch.autograd.grad(made.sin().mean(), parameters, retain_graph=True)
    near = torch.autograd.grad(made.square().mean(), parameters)
    ratio = near[2].norm() / (far[2].norm() + 1e-4)
    assert factor is not None
    torch.testing.assert_close(factor, ratio)
    expected = [one + own_weight * ratio * other for one, other in zip(near, far, strict=True)]
    torch.testing.assert_close(found, expected)


def test_a_factor_has_a_bound_and_a_layer_a_name() -> None:
    """Catches a factor without a bound where a gradient vanishes, and a traceback for a misspelt layer."""
    weight = AdaptiveWeight("0.weights", 10.0)
    assert weight.factor(torch.ones(3), torch.zeros(3)) == 10
    with pytest.raises(
        ConfigurationError, match=r"adaptive_weight\.layer=0\.weights: G has no such parameter; it has"
    ):
        weight.find(nn.Sequential(nn.Linear(1, 1)))
