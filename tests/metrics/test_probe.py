"""What probes share: batches, fakes in order, and the real sampler as their source."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from ganlab.errors import DivergedError
from ganlab.interfaces import Generator
from ganlab.metrics.extractors.points import Points
from ganlab.metrics.probe import LatentSampler, ProbeContext
from ganlab.modalities.images import checked, to_uint8
from ganlab.sampling import Sampler


class Identity(Generator):
    """Points of the plane that are their own latents."""

    latent_dim = 2

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        return (self.scale * latents).view(-1, 2, 1, 1)


@dataclass
class Listed:
    """A sampler of given images, whose latents are their places."""

    images: Tensor
    labels: Tensor | None = None

    @property
    def latents(self) -> Tensor:
        return torch.arange(len(self.images)).float()[:, None]

    def __call__(self, first: int, last: int) -> Tensor:
        return self.images[first:last]

    def generate(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.images[latents[:, 0].long()]


def context(sampler: LatentSampler, batch_size: int = 3, reference: object = None) -> ProbeContext:
    num = len(sampler.latents)
    return ProbeContext(sampler, Points(), reference, num, batch_size, torch.device("cpu"))  # type: ignore[arg-type]


def test_batches_cover_the_list() -> None:
    """Catches a short last batch that is dropped, and one that reaches past the end."""
    assert list(context(Sampler(Identity(), "evaluation", 0, 7)).batches(7)) == [(0, 3), (3, 6), (6, 7)]


def test_fakes_are_those_of_the_sampler() -> None:
    """Catches fakes of other latents than the fixed ones, or out of order, and images that nobody asked for."""
    sampler = Sampler(Identity(), "evaluation", 0, 7)
    expected = to_uint8(sampler.latents)
    assert len(expected.unique()) > 7
    for places in ([0, 1, 2, 3, 4, 5, 6], [1, 4, 5], [6]):
        assert torch.equal(context(sampler).fakes(torch.tensor(places)).flatten(1), expected[places])


def test_images_that_are_not_finite_are_refused() -> None:
    with pytest.raises(DivergedError, match="score an earlier checkpoint"):
        checked(torch.tensor([0.0, float("nan")]))
    with pytest.raises(DivergedError):
        context(Listed(torch.full((2, 1, 4, 4), float("inf")))).fakes(torch.arange(1))
