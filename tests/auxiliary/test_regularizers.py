"""Orthogonal regularisation, feature matching, historical averaging, drift."""

import copy

import pytest
import torch
from playing import played, weighted
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ganlab.auxiliary.drift import Drift
from ganlab.auxiliary.feature_matching import FeatureMatching
from ganlab.auxiliary.historical_averaging import HistoricalAveraging
from ganlab.auxiliary.orthogonal import OrthogonalRegularization
from ganlab.errors import ConfigurationError
from ganlab.interfaces import Discriminator, Game, Generator, Judgement
from ganlab.layers.spectral_norm import SpectralNorm
from ganlab.tasks.generation import Generation


class Layers(Generator):
    """Layers of every kind, which are never run."""

    latent_dim = 3

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.wide = nn.Linear(2, 5)
        self.conv = nn.Conv2d(3, 2, 2, bias=False)
        self.up = nn.ConvTranspose2d(4, 6, 2, groups=2, bias=False)
        self.norm = nn.BatchNorm2d(3)
        self.labels = nn.Embedding(3, 4)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        return latents


class Scalar(Discriminator):
    """D of one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor([2.0, -1.0]))

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.scale[0] * images.flatten(1).sum(1)


def update(
    generator: Generator | None = None,
    discriminator: Discriminator | None = None,
    real: Judgement | None = None,
    fake: Judgement | None = None,
) -> Game:
    images = torch.zeros(2, 1, 1, 1)
    judged = fake or Judgement(torch.zeros(2))
    return played(
        generator or Layers(),
        discriminator or Scalar(),
        torch.zeros(2, 3),
        images,
        images,
        None,
        real,
        judged,
    )


def overlaps(rows: list[Tensor]) -> float:
    """Sums the squared dot products of different rows, one pair at a time."""
    return sum((a * b).sum().item() ** 2 for i, a in enumerate(rows) for j, b in enumerate(rows) if i != j)


def test_orthogonal() -> None:
    """Catches columns for rows, the diagonal kept, the axes of a transposed convolution, a biased weight."""
    generator = Layers()
    ups = generator.up.weight  # (4, 3, 2, 2): two groups of two inputs and three outputs
    expected = (
        overlaps(list(generator.wide.weight))
        + overlaps(list(generator.conv.weight))
        + overlaps([ups[2 * group : 2 * group + 2, out] for group in range(2) for out in range(3)])
    )
    term = weighted(OrthogonalRegularization(0.3), update(generator), "generator")
    assert term.item() == pytest.approx(0.3 * expected, rel=1e-5)
    term.backward()
    for name, parameter in generator.named_parameters():
        assert (parameter.grad is not None) == name.startswith(("wide.weight", "conv", "up")), name


def test_orthogonal_filters_cost_nothing() -> None:
    """Catches a penalty on the filters' lengths."""
    generator = Layers()
    generator.wide = nn.Linear(5, 2)
    with torch.no_grad():
        for weight in (generator.wide.weight, generator.conv.weight, generator.up.weight):
            weight.zero_()
        generator.wide.weight[0, 0] = 3.0
        generator.wide.weight[1, 2] = 0.1
    term = OrthogonalRegularization(1.0).generator_term(update(generator))
    assert term is not None
    assert term.item() == 0


def test_orthogonal_leaves_spectral_norm_alone() -> None:
    """Catches a power iteration on the way, and the normalised weight in place of the one before it."""
    generator = Layers()
    plain = OrthogonalRegularization(1.0).generator_term(update(generator))
    layer = generator.wide
    parametrize.register_parametrization(layer, "weight", SpectralNorm(layer.weight.detach(), 1), unsafe=True)
    before = copy.deepcopy(generator.state_dict())
    term = OrthogonalRegularization(1.0).generator_term(update(generator))
    assert term is not None
    assert plain is not None
    assert term.item() == pytest.approx(plain.item())
    assert all(torch.equal(value, before[name]) for name, value in generator.state_dict().items())


def test_orthogonal_without_layers() -> None:
    generator = Layers()
    for name in ("wide", "conv", "up"):
        setattr(generator, name, nn.Identity())
    assert OrthogonalRegularization(1.0).generator_term(update(generator)) is None


def test_feature_matching() -> None:
    """Catches a mean of squares for the square of a mean, a mean over features for a sum, real left out."""
    real = torch.tensor([[1.0, 2.0], [3.0, 2.0], [5.0, 5.0]], dtype=torch.float64)
    fake = torch.tensor([[0.0, 1.0], [4.0, 0.0], [2.0, 0.5]], dtype=torch.float64, requires_grad=True)
    logits = torch.zeros(3)
    objective = FeatureMatching(0.5)
    term = weighted(
        objective, update(real=Judgement(logits, real), fake=Judgement(logits, fake)), "generator"
    )
    assert term.dtype == torch.float64
    assert term.item() == pytest.approx(0.5 * ((3 - 2) ** 2 + (3 - 0.5) ** 2))
    (gradient,) = torch.autograd.grad(term, fake)
    torch.testing.assert_close(gradient, torch.tensor([[-1.0, -2.5]] * 3, dtype=torch.float64) / 3)
    assert objective.discriminator_term(update()) is None


def test_feature_matching_in_half_precision() -> None:
    """Catches a mean in bfloat16, which has no number between 256 and 258."""
    features = torch.tensor([[256.0], [258.0]], dtype=torch.bfloat16)
    judged = Judgement(torch.zeros(2), features), Judgement(torch.zeros(2), features * 0 + 256)
    term = FeatureMatching(1.0).generator_term(update(real=judged[0], fake=judged[1]))
    assert term is not None
    assert term.item() == 1


@pytest.mark.parametrize("real", [None, Judgement(torch.zeros(2))])
def test_feature_matching_without_features(real: Judgement | None) -> None:
    fake = Judgement(torch.zeros(2), torch.zeros(2, 3))
    with pytest.raises(ConfigurationError, match="features"):
        FeatureMatching(1.0).generator_term(update(real=real, fake=fake))


def test_drift() -> None:
    """Catches fake logits for real ones, the square of a mean, a term for G."""
    real = Judgement(torch.tensor([1.0, -3.0], requires_grad=True))
    seen = update(real=real, fake=Judgement(torch.tensor([7.0, 7.0])))
    term = weighted(Drift(0.1), seen, "discriminator")
    assert term.item() == pytest.approx(0.1 * (1 + 9) / 2)
    assert term.requires_grad
    assert Drift(0.1).generator_term(seen) is None


def _historical() -> tuple[HistoricalAveraging, Layers, Scalar]:
    generator, discriminator = Layers(), Scalar()
    objective = HistoricalAveraging(0.5)
    objective.prepare(Generation({"main": generator}, {"main": discriminator}))
    return objective, generator, discriminator


def test_historical_averaging() -> None:
    """Catches an exponential average, a mean that forgets to count, and a gradient through the mean."""
    objective, generator, discriminator = _historical()
    path = torch.tensor([[2.0, -1.0], [4.0, 0.0], [-3.0, 0.5]])
    for count, theta in enumerate(path, 1):
        with torch.no_grad():
            discriminator.scale.copy_(theta)
        term = weighted(objective, update(generator, discriminator), "discriminator")
        distance = theta - path[:count].mean(0)
        assert term.item() == pytest.approx(0.5 * distance.square().sum().item(), abs=1e-6)
        (gradient,) = torch.autograd.grad(term, discriminator.scale)
        torch.testing.assert_close(gradient, distance)
    of_generator = weighted(objective, update(generator, discriminator), "generator")
    assert of_generator is not None
    assert of_generator.item() == 0
    with torch.no_grad():
        generator.conv.weight.add_(1.0)
    of_generator = weighted(objective, update(generator, discriminator), "generator")
    assert of_generator is not None
    assert of_generator.item() == pytest.approx(0.5 * generator.conv.weight.numel() * 0.25, rel=1e-4)


def test_historical_averaging_is_restored() -> None:
    """Catches a memory outside of the buffers, and one that is allotted too late to be loaded."""
    objective, generator, discriminator = _historical()
    restored, *_ = _historical()
    for _ in range(3):
        with torch.no_grad():
            discriminator.scale.mul_(-1.3)
        objective.discriminator_term(update(generator, discriminator))
    restored.load_state_dict(objective.state_dict())
    with torch.no_grad():
        discriminator.scale.add_(1)
    terms = [one.discriminator_term(update(generator, discriminator)) for one in (objective, restored)]
    assert terms[0] is not None
    assert terms[1] is not None
    assert torch.equal(terms[0], terms[1])
    assert terms[0].item() > 0
    assert not list(objective.parameters())
