"""Discriminators that judge patches: a map of logits, or one logit in a column; features of several layers."""

import math
from collections.abc import Sequence

import pytest
import torch
from playing import gan, played
from torch import Tensor, nn

from ganlab.auxiliary.feature_matching import FeatureMatching
from ganlab.auxiliary.mismatched import Mismatched
from ganlab.auxiliary.pulling_away import PullingAway
from ganlab.constraints.gradient_normalization import GradientNormalization
from ganlab.errors import ConfigurationError
from ganlab.interfaces import Discriminator, Game, Generator, Judgement, mean_logits
from ganlab.losses.relativistic_average import RelativisticAverage, RelativisticAverageHinge
from ganlab.losses.relativistic_pairing import RelativisticPairing
from ganlab.penalties.r1 import R1
from ganlab.sampling import LatentLangevin, RejectionSampling, Sampler
from ganlab.training.adversarial import GANModule
from ganlab.training.balance import AccuracyBalance
from ganlab.training.execution import Execution, Eyes
from ganlab.training.generative import Optimization
from tests.modules.test_ways_of_computing import SmallGenerator, trained

SIDE = 4
"""Of the map, and of the batch where an axis taken for another must not show."""


class Patches(Discriminator):
    """A small PatchGAN: logits `(N, 1, 4, 4)` of images of 8 x 8 pixels, and the features of two layers."""

    num_classes = 2

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 4, 4, 2, 1), nn.Softplus())
        self.second = nn.Sequential(nn.Conv2d(4, 4, 3, 1, 1), nn.Softplus())
        self.to_logit = nn.Conv2d(4, 1, 3, 1, 1)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.judge(images, labels).logits

    def judge(self, images: Tensor, labels: Tensor | None = None) -> Judgement:
        first = self.first(images)
        second = self.second(first)
        logits = self.to_logit(second)
        return Judgement(logits if labels is None else logits + labels.view(-1, 1, 1, 1), (first, second))


class Column(Patches):
    """One logit an image, `(N, 1)`."""

    def judge(self, images: Tensor, labels: Tensor | None = None) -> Judgement:
        judgement = super().judge(images, labels)
        return judgement._replace(logits=judgement.logits.mean((2, 3)))


def module(discriminator: Discriminator, **options: object) -> GANModule:
    torch.manual_seed(0)
    optimization = Optimization(
        generator=lambda parameters: torch.optim.SGD(parameters, lr=0.1),
        discriminator=lambda parameters: torch.optim.SGD(parameters, lr=0.1),
        schedule=lambda g_step: 1.0,
    )
    loss = options.pop("loss", RelativisticPairing())
    return gan(SmallGenerator(), discriminator, loss, optimization, **options)


def update(real: Sequence[Tensor] | Tensor, fake: Sequence[Tensor] | Tensor) -> Game:
    """An update in which D gave these features."""
    images = torch.zeros(2, 3, 8, 8)
    judged = [Judgement(torch.zeros(2), features) for features in (real, fake)]
    return played(SmallGenerator(), Patches(), torch.zeros(2, 5), images, images, None, *judged)


@pytest.mark.parametrize(
    "ways", [{}, {"top_k": 0.5}, {"joint_pass": True}, {"micro_batches": 2}, {"penalty": R1(1.0, 1)}]
)
@pytest.mark.parametrize("kind", [Patches, Column])
def test_a_patch_discriminator_trains(kind: type[Discriminator], ways: dict[str, object]) -> None:
    """Catches a traceback, and a way of computing that is not the same mathematics on maps."""
    torch.manual_seed(1)
    first, second = kind(), kind()
    second.load_state_dict(first.state_dict())
    matching = {"auxiliary": {"matching": FeatureMatching(0.1)}}
    found, scalars = trained(module(second, **matching, **ways))
    assert all(value.isfinite() for value in scalars.values())
    if "joint_pass" in ways:
        expected, _ = trained(module(first, **matching))
        torch.testing.assert_close(found, expected, rtol=2e-5, atol=2e-6)


def test_top_k_keeps_the_images_of_the_largest_mean_logits() -> None:
    """Catches the best patches of each column of a map, and the reals of other places."""
    logits = torch.randn(SIDE, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    order = logits.mean((1, 2, 3)).argsort(descending=True)
    real = torch.arange(SIDE).float().view(-1, 1, 1, 1).expand_as(logits)
    fake, paired = module(Patches(), top_k=0.5).loss._best(logits, real)
    torch.testing.assert_close(fake, logits[order[:2]])
    assert paired is not None
    torch.testing.assert_close(paired[:, 0, 0, 0], order[:2].float())


def test_mean_logits() -> None:
    """Catches a sum, and a mean over the images."""
    logits = torch.arange(8.0).view(2, 1, 2, 2)
    assert mean_logits(logits).tolist() == [1.5, 5.5]
    assert mean_logits(logits[:, :, 0, 0]).tolist() == [0.0, 4.0]
    assert mean_logits(torch.tensor([3.0, 1.0])).tolist() == [3.0, 1.0]


@pytest.mark.parametrize("loss", [RelativisticAverage(), RelativisticAverageHinge()])
def test_relativistic_averages_are_over_all_positions(
    loss: RelativisticAverage | RelativisticAverageHinge,
) -> None:
    """Catches an average for each position, which weighs each patch against its own place only."""
    real, fake = torch.randn(2, SIDE, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    for name in ("discriminator_loss", "generator_loss"):
        pair = (real, fake) if name == "discriminator_loss" else (fake, real)
        on_map = getattr(loss, name)(*pair)
        in_a_row = getattr(loss, name)(*(logits.flatten() for logits in pair))
        torch.testing.assert_close(on_map, in_a_row)


def test_balance_counts_images() -> None:
    """Catches the accuracy over patches."""
    balance = AccuracyBalance(0.9)
    real = torch.tensor([-1.0, -1.0, -1.0, 5.0]).view(1, 1, 2, 2)  # taken for real, by one patch of four
    balance.updates_discriminator(real, -real)
    assert balance.accuracy == 1


def test_mismatched_pairs_of_maps() -> None:
    """Catches pairs told apart along the wrong axis when the batch is as large as the map's side."""
    torch.manual_seed(0)
    discriminator, real = Patches(), torch.randn(SIDE, 3, 8, 8)
    labels = torch.tensor([0, 0, 1, 1])
    seen = played(SmallGenerator(), discriminator, torch.zeros(SIDE, 5), real, real, labels, None, None)
    logits = discriminator(real, labels.roll(1))
    mismatched = torch.stack([nn.functional.softplus(logits[place]).mean() for place in (0, 2)])
    torch.testing.assert_close(Mismatched(1.0).discriminator_term(seen), mismatched.sum() / SIDE)


def test_gradient_normalisation_refuses_maps_in_one_line() -> None:
    """Catches norms of images spread along the map, silently where the batch is as large as its side."""
    normalized = GradientNormalization().prepare(Patches())
    with pytest.raises(ConfigurationError, match=r"one logit .* \(4, 1, 4, 4\).*spectral_norm") as raised:
        normalized(torch.randn(SIDE, 3, 8, 8))
    assert "\n" not in str(raised.value)


def test_gradient_normalisation_of_a_column() -> None:
    """Catches `(N, 1)` over `(N,)`, which gives `(N, N)`."""
    torch.manual_seed(0)
    column, images = Column(), torch.randn(SIDE, 3, 8, 8)
    judgement = GradientNormalization().prepare(column).judge(images)
    for place, image in enumerate(images):
        image = image[None].requires_grad_()
        logit = column(image).sum()
        (gradient,) = torch.autograd.grad(logit, image)
        torch.testing.assert_close(judgement.logits[place, 0], logit / (gradient.norm() + logit.abs()))
    assert judgement.logits.shape == (SIDE, 1)
    with torch.no_grad():
        features = GradientNormalization().prepare(column).judge(images).features
    assert isinstance(features, tuple)
    assert not any(layer.requires_grad for layer in features)


def test_joint_pass_splits_each_layer() -> None:
    """Catches lists of features taken for one tensor, or their layers for halves."""
    torch.manual_seed(0)
    discriminator = Patches()
    samples = torch.randn(2, 2, 3, 8, 8)
    games = [played(SmallGenerator(), discriminator, torch.zeros(2, 5), *samples) for _ in range(2)]
    expected, found = games
    found.view = Eyes(Execution(), joint=True)
    for judged, wanted in (
        (found.real_judgements[0], expected.real_judgements[0]),
        (found.fake_judgements[0], expected.fake_judgements[0]),
    ):
        assert judged is not None
        assert wanted is not None
        torch.testing.assert_close(tuple(judged.features or ()), tuple(wanted.features or ()))
        torch.testing.assert_close(judged.logits, wanted.logits)


def test_features_of_several_layers_are_matched_layer_by_layer() -> None:
    """Catches the first layer alone, a mean over layers, and positions of a map averaged away."""
    real = (torch.zeros(2, 3), torch.zeros(2, 1, 2, 1))
    fake = (torch.ones(2, 3), torch.tensor([1.0, -1.0]).view(1, 1, 2, 1).expand(2, -1, -1, -1))
    assert FeatureMatching(0.5).generator_term(update(real, fake)) == 3 + 2


@pytest.mark.parametrize("features", [(torch.ones(2, 3), torch.ones(2, 3)), torch.ones(2, 3, 2, 2)])
def test_pulling_away_refuses_what_is_no_vector_for_each_image(features: tuple[Tensor, ...] | Tensor) -> None:
    """Catches cosines between layers, or between the columns of a map."""
    with pytest.raises(ConfigurationError, match="the features of one layer"):
        PullingAway(0.1).generator_term(update(features, features))


class FlatGenerator(Generator):
    """An image of one channel that holds its latent."""

    latent_dim = 1

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.scale * latents.view(-1, 1, 1, 1)


class LogitOfLatent(Discriminator):
    """-(z - 1)^2 on average, in one number or in a map that varies about it."""

    def __init__(self, is_map: bool) -> None:
        super().__init__()
        self.is_map = is_map

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        logits = -(images - 1).square()
        return logits + torch.tensor([-3.0, 3.0]) if self.is_map else logits.flatten()


@pytest.mark.parametrize("method", [RejectionSampling(burn_in=256), LatentLangevin(num_steps=3)])
def test_latents_are_chosen_by_the_mean_logit(method: RejectionSampling | LatentLangevin) -> None:
    """Catches a traceback, the largest patch, and Langevin's steps multiplied by the number of patches."""
    chosen = []
    for is_map in (False, True):
        sampler = Sampler(FlatGenerator(), "samples", 0, 64)
        sampler.improve(method, LogitOfLatent(is_map))
        chosen.append(sampler.latents)
    torch.testing.assert_close(*chosen, rtol=1e-4, atol=1e-4)
    assert math.isfinite(float(chosen[0].sum()))
