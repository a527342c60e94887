"""Latents that D chooses: targets that are known in closed form."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from ganlab.errors import ConfigurationError, DivergedError
from ganlab.interfaces import Discriminator, Generator
from ganlab.noise import Noise
from ganlab.sampling import LatentLangevin, LatentMethod, RejectionSampling, Sampler
from ganlab.sampling.rejection import log_odds

SCALE = 2.0


def draw(
    method: LatentMethod,
    logits: Callable[[Tensor, Tensor | None], Tensor],
    num: int,
    labels: Tensor | None = None,
    seed: int = 0,
    batch_size: int = 256,
    latent_dim: int = 1,
) -> Tensor:
    """Chooses latents of a standard normal prior."""

    def propose(num: int, noise: Noise) -> Tensor:
        return noise.normal(num, latent_dim)

    return method(
        propose(num, Noise(seed)),
        labels,
        propose,
        logits,
        seed=seed,
        batch_size=batch_size,
        progress=lambda done, total: None,
    )


def normal_pdf(x: Tensor, mean: float, std: float) -> Tensor:
    return (-(((x - mean) / std) ** 2) / 2).exp() / (std * math.sqrt(2 * math.pi))


def normal_cdf(x: Tensor, mean: float, std: float) -> Tensor:
    return (1 + torch.erf((x - mean) / (std * math.sqrt(2)))) / 2


def mixture_logits(latents: Tensor, labels: Tensor | None) -> Tensor:
    """The optimal D where G(z) = 2 z and the data are 0.3 N(-2, 0.5^2) + 0.7 N(1, 0.7^2): log p_data / p_G."""
    x = SCALE * latents[:, 0].double()
    data = 0.3 * normal_pdf(x, -2.0, 0.5) + 0.7 * normal_pdf(x, 1.0, 0.7)
    return data.log() - normal_pdf(x, 0.0, SCALE).log()


def distance_to_mixture(x: Tensor) -> float:
    """Kolmogorov's distance to the mixture; 1.63 / sqrt(N) is exceeded by chance in 1 % of cases."""
    x = x.double().sort().values
    expected = 0.3 * normal_cdf(x, -2.0, 0.5) + 0.7 * normal_cdf(x, 1.0, 0.7)
    steps = torch.arange(len(x) + 1) / len(x)
    return float(torch.maximum((steps[1:] - expected).abs(), (expected - steps[:-1]).abs()).max())


def test_rejection_recovers_the_data_under_an_optimal_discriminator() -> None:
    """Catches: the sign of the logit, `u > p`, proposals kept that were rejected, sigmoid(d - M) without the logarithm
    (for M = 1.3 that accepts too much in the tails), and a gamma that is added."""
    num, method = 4000, RejectionSampling(gamma=0.0)
    accepted = draw(method, mixture_logits, num)
    assert distance_to_mixture(SCALE * accepted[:, 0]) < 1.63 / math.sqrt(num)
    assert distance_to_mixture(SCALE * Noise(0).normal(num, 1)[:, 0]) > 0.1  # without D


def test_odds_are_those_of_equation_8() -> None:
    """Catches: epsilon outside the exponent, float32 (the largest logit's odds are infinite), a lost logarithm."""
    logits = torch.tensor([3.0, 2.0, -1.0, -40.0])
    odds = log_odds(logits, 3.0, 1e-14)
    torch.testing.assert_close(odds[1:].sigmoid(), (logits[1:].double() - 3).exp(), rtol=1e-9, atol=0)
    assert float(odds[0]) == pytest.approx(14 * math.log(10), rel=1e-3)
    wide = log_odds(logits, 3.0, 0.5)
    plain = [float(d) - 3 - math.log(1 - math.exp(float(d) - 3 - 0.5)) for d in logits]
    assert wide.tolist() == pytest.approx(plain)


def test_percentile_sets_gamma() -> None:
    """Catches: a quantile of logits instead of odds, a percentile taken for a share, gamma without effect."""
    method = RejectionSampling(percentile=75, burn_in=1001)
    propose = lambda num, noise: noise.normal(num, 1)  # noqa: E731
    bound, gamma = method._estimate(None, propose, mixture_logits, seed=3, batch_size=64)
    whole, plain = RejectionSampling(gamma=0.0, burn_in=1001)._estimate(
        None, propose, mixture_logits, seed=3, batch_size=1001
    )
    assert (bound, plain) == (whole, 0.0)
    seen: list[Tensor] = []
    method._estimate(
        None, propose, lambda z, y: seen.append(mixture_logits(z, y)) or seen[-1], seed=3, batch_size=1001
    )
    odds = log_odds(seen[0], float(seen[0].max()), method.epsilon)
    assert gamma == pytest.approx(float(odds.sort().values[750]))


@pytest.mark.parametrize("percentile", [20.0, 95.0])
def test_stricter_percentiles_choose_likelier_images(percentile: float) -> None:
    """Catches: the sign of gamma. D likes large latents; the mean is that of the prior weighted by acceptance."""
    method = RejectionSampling(percentile=percentile)
    bound, gamma = method._estimate(
        None, lambda num, noise: noise.normal(num, 1), lambda z, y: z[:, 0], 0, 256
    )
    grid = torch.linspace(-5, bound, 1001, dtype=torch.float64)
    weights = (log_odds(grid, bound, method.epsilon) - gamma).sigmoid() * normal_pdf(grid, 0.0, 1.0)
    expected = float((weights * grid).sum() / weights.sum())
    assert expected < 0.5 if percentile == 20.0 else expected > 0.6
    chosen = draw(method, lambda z, y: z[:, 0], 1000)
    assert float(chosen.mean()) == pytest.approx(expected, abs=4 / math.sqrt(1000))


def test_each_class_is_drawn_from_its_own_distribution() -> None:
    """Catches: places filled with latents of another label, or in which nothing was put; unequal counts."""
    labels = torch.tensor([0, 1, 1, 2]).repeat(250)
    wanted = torch.tensor([-1.0, 0.0, 2.0])

    def logits(latents: Tensor, asked: Tensor | None) -> Tensor:
        assert asked is not None
        return -4 * (latents[:, 0] - wanted[asked]) ** 2

    chosen = draw(RejectionSampling(gamma=0.0, burn_in=3000), logits, 1000, labels)[:, 0]
    for label in range(3):
        # exp(-z^2 / 2 - 4 (z - m)^2) has mean 8 m / 9 and variance 1 / 9.
        of_class = chosen[labels == label]
        mean = float(8 / 9 * wanted[label])
        assert float(of_class.mean()) == pytest.approx(mean, abs=4 / 3 / math.sqrt(len(of_class)))
        assert float(of_class.std()) == pytest.approx(1 / 3, rel=0.2)


def test_a_larger_logit_raises_the_bound() -> None:
    """Catches: the burn-in's M kept for ever, under which the odds of a larger logit are not a number."""
    method = RejectionSampling(gamma=0.0, burn_in=2)
    chosen = draw(method, mixture_logits, 2000, seed=1)
    assert chosen.isfinite().all()
    assert distance_to_mixture(SCALE * chosen[:, 0]) < 0.06


METHODS = [RejectionSampling(percentile=50.0, burn_in=500), LatentLangevin(num_steps=5)]


@pytest.mark.parametrize("method", METHODS, ids=["drs", "ddls"])
def test_batch_size_and_length_of_the_list_do_not_matter(method: LatentMethod) -> None:
    """Catches: random numbers drawn per batch, acceptance relative to the batch, places mixed up."""
    batched, whole = (draw(method, mixture_logits, 300, batch_size=size) for size in (7, 256))
    torch.testing.assert_close(batched, whole, atol=1e-6, rtol=0)
    torch.testing.assert_close(draw(method, mixture_logits, 272)[:256], whole[:256], atol=1e-6, rtol=0)
    assert not torch.isin(draw(method, mixture_logits, 300, seed=1), whole).any()


MAP = torch.tensor([[1.5, 0.5], [0.0, 1.0]])
OFFSET, CENTRE, SPREAD = torch.tensor([0.5, -1.0]), torch.tensor([2.0, 1.0]), 0.8
PRECISION = torch.eye(2) + MAP.T @ MAP / SPREAD**2
POSTERIOR_MEAN = torch.linalg.solve(PRECISION, MAP.T @ (CENTRE - OFFSET) / SPREAD**2)


def quadratic_logits(latents: Tensor, labels: Tensor | None) -> Tensor:
    """G(z) = A z + b and d(x) = -|x - m|^2 / (2 s^2): exp(-E) is Gaussian with precision I + A^T A / s^2."""
    return -(latents @ MAP.T + OFFSET - CENTRE).square().sum(1) / (2 * SPREAD**2)


def test_langevin_samples_the_posterior() -> None:
    """Catches: the prior left out, the sign of d, step_size for its half, noise of step_size instead of its root.

    Steps of finite size widen the covariance from P^-1 to (P (1 - step P / 4))^-1, exactly.
    """
    num, step_size = 2048, 0.3
    chosen = draw(
        LatentLangevin(num_steps=60, step_size=step_size), quadratic_logits, num, latent_dim=2, batch_size=256
    )
    covariance = torch.linalg.inv(PRECISION @ (torch.eye(2) - step_size / 4 * PRECISION))
    assert float(covariance[0, 0] / torch.linalg.inv(PRECISION)[0, 0]) > 1.3  # the test can tell them apart
    error = (chosen.mean(0) - POSTERIOR_MEAN).abs() / (covariance.diagonal() / num).sqrt()
    assert float(error.max()) < 4
    scale = covariance.diagonal().sqrt()
    error = (chosen.T.cov() - covariance) / (scale * scale[:, None])
    assert float(error.abs().max()) < 4 * math.sqrt(2 / num)


def test_langevin_without_noise_climbs_to_the_mode() -> None:
    """Catches: noise that cannot be switched off, gradients summed over the batch."""
    method = LatentLangevin(num_steps=100, step_size=0.3, noise=0.0)
    chosen = draw(method, quadratic_logits, 9, latent_dim=2, batch_size=4)
    torch.testing.assert_close(chosen, POSTERIOR_MEAN.expand(9, 2), atol=1e-5, rtol=0)


def test_langevin_shakes_each_place_in_its_own_way() -> None:
    """Catches: noise that repeats in every block, or that depends on how many latents there are."""
    method = LatentLangevin(num_steps=3)

    def walk(num: int) -> Tensor:
        return method(
            torch.zeros(num, 1),
            None,
            lambda num, noise: torch.zeros(num, 1),
            mixture_logits,
            seed=0,
            batch_size=64,
            progress=lambda done, total: None,
        )[:, 0]

    chosen = walk(300)
    assert len(chosen.unique()) == 300
    torch.testing.assert_close(walk(20), chosen[:20], atol=1e-6, rtol=0)


def test_langevin_knows_the_labels() -> None:
    """Catches: labels of another batch or block."""
    labels = torch.arange(270) % 3  # more than one block
    method = LatentLangevin(num_steps=30, step_size=0.1, noise=0.0)
    chosen = draw(method, lambda z, y: -5 * (z[:, 0] - y) ** 2, 270, labels, batch_size=50)  # type: ignore[operator]
    torch.testing.assert_close(chosen[:, 0], 10 / 11 * labels.float(), atol=1e-4, rtol=0)


def test_impossible_settings_are_refused() -> None:
    for build, words in (
        (lambda: RejectionSampling(percentile=101.0), "drs_percentile=101.0: must be between 0 and 100"),
        (lambda: RejectionSampling(burn_in=1), "drs_burn_in=1: must be at least 2"),
        (lambda: RejectionSampling(epsilon=0.0), "epsilon > 0"),
        (lambda: LatentLangevin(num_steps=0), "ddls_steps=0: must be at least 1"),
        (lambda: LatentLangevin(step_size=0.0), "ddls_step_size=0.0: must be above 0"),
        (lambda: LatentLangevin(noise=-1.0), "ddls_noise=-1.0: must be at least 0"),
    ):
        with pytest.raises(ConfigurationError, match=words):
            build()


def test_hopeless_searches_end() -> None:
    """Catches: a loop without an end, NaN that is never accepted, latents that run off to infinity."""
    with pytest.raises(ConfigurationError, match="accepted 0 of 512 images: accept more by a smaller"):
        draw(RejectionSampling(gamma=1e9, burn_in=2, max_proposals=30), mixture_logits, 10 + 6)
    with pytest.raises(DivergedError, match="NaN or infinity: take an earlier checkpoint"):
        draw(RejectionSampling(burn_in=2), lambda z, y: z[:, 0] * float("nan"), 2)
    with pytest.raises(DivergedError, match="smaller ddls_step_size"):
        draw(LatentLangevin(num_steps=2000, step_size=9.0), lambda z, y: -(z[:, 0] ** 2), 2)


class Plane(Generator):
    """Points of the plane that are twice their latents; dropout and batch norm show whether it is in eval mode."""

    latent_dim = 2

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(2.0))
        self.norm = nn.BatchNorm1d(2)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.norm(self.scale * latents).view(-1, 2, 1, 1)


class Rightward(Discriminator):
    """Likes points to the right."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(1.0))
        self.norm = nn.BatchNorm1d(2)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.weight * self.norm(images.flatten(1))[:, 0]


class Uniform(Plane):
    """The same with a prior of its own."""

    def draw_latents(self, num: int, noise: Noise) -> Tensor:
        return noise.uniform(num, 2) * 2 - 1


@pytest.mark.parametrize(
    "method",
    [RejectionSampling(percentile=80.0, burn_in=300), LatentLangevin(num_steps=20, step_size=0.1)],
    ids=["drs", "ddls"],
)
def test_sampler_draws_what_the_discriminator_prefers(method: LatentMethod) -> None:
    """Catches: latents that stay, G or D changed or in training mode, a draw from the global generator."""
    generator, discriminator = Plane().train(), Rightward().train()
    before = [
        {name: value.clone() for name, value in network.state_dict().items()}
        for network in (generator, discriminator)
    ]
    rng = torch.get_rng_state()
    sampler = Sampler(generator, "samples", 0, 64, batch_size=16)
    plain = sampler(0, 64)[:, 0].mean()
    done: list[int] = []
    sampler.improve(method, discriminator, lambda now, total: done.append(now))
    assert float(sampler(0, 64)[:, 0].mean() - plain) > 0.7
    assert not sampler.latents.requires_grad
    assert done[-1] == 64
    assert torch.equal(torch.get_rng_state(), rng)
    for network, state in zip((generator, discriminator), before, strict=True):
        assert network.training
        assert all(parameter.requires_grad for parameter in network.parameters())
        assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())


def test_rejection_keeps_to_the_prior_and_its_truncation() -> None:
    """Catches: proposals from another prior than G's, or from the whole of it."""
    for truncation in (1.0, 0.5):
        sampler = Sampler(Uniform(), "samples", 0, 200, truncation=truncation)
        sampler.improve(RejectionSampling(percentile=50.0, burn_in=100), Rightward())
        assert 0.9 * truncation < float(sampler.latents.abs().max()) <= truncation


def test_what_does_not_go_together_is_refused() -> None:
    """Catches: Langevin steps under the wrong prior; images judged by their company."""
    langevin = LatentLangevin(num_steps=1)
    for sampler, words in (
        (Sampler(Uniform(), "samples", 0, 4), "standard normal prior.*method=drs"),
        (Sampler(Plane(), "samples", 0, 4, truncation=0.7), "truncation has to be 1, not 0.7"),
        (Sampler(Plane(), "samples", 0, 4, batch_norm="batch"), "batch_norm=batch"),
    ):
        with pytest.raises(ConfigurationError, match=words):
            sampler.improve(langevin, Rightward())


def test_descriptions_name_what_decides() -> None:
    assert RejectionSampling().description == {"method": "drs", "percentile": 80.0, "burn_in": 10_000}
    assert RejectionSampling(gamma=0.0).description == {"method": "drs", "gamma": 0.0, "burn_in": 10_000}
    assert LatentLangevin().description == {
        "method": "ddls", "num_steps": 100, "step_size": 0.01, "noise": 1.0,
    }  # fmt: skip
