"""Images are a pure function of (seed, place), and drawing them changes nothing."""

import pytest
import torch
from torch import Tensor, nn

from ganlab.errors import ConfigurationError
from ganlab.interfaces import Generator
from ganlab.noise import Noise
from ganlab.sampling import Sampler, interpolate, interpolate_linearly


class Tiny(Generator):
    latent_dim = 3

    def __init__(self, num_classes: int = 0) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.linear = nn.Linear(3, 4)
        self.norm = nn.BatchNorm1d(4)
        self.labels_seen: list[Tensor | None] = []

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        self.labels_seen.append(labels)
        return torch.tanh(self.norm(self.linear(latents))).view(-1, 1, 2, 2)


def test_batch_size_does_not_matter() -> None:
    """Catches: latents drawn anew for each batch."""
    sampler = Sampler(Tiny(), "samples", seed=1, num=10)
    torch.testing.assert_close(sampler(0, 10), torch.cat([sampler(0, 3), sampler(3, 10)]))


def test_seed_and_purpose_choose_the_latents() -> None:
    lists = [Sampler(Tiny(), p, seed=s, num=4).latents for p, s in (("a", 0), ("a", 1), ("b", 0), ("a", 0))]
    assert torch.equal(lists[0], lists[3])
    assert not torch.equal(lists[0], lists[1])
    assert not torch.equal(lists[0], lists[2])


@pytest.mark.parametrize("batch_norm", ["running", "batch", "standing"])
def test_generator_and_global_rng_are_untouched(batch_norm: str) -> None:
    """Catches: eval() left on, running statistics moved by batch statistics, a draw from the global generator."""
    generator = Tiny().train()
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    rng = torch.get_rng_state()
    Sampler(generator, "samples", 0, 8, batch_norm=batch_norm)(0, 8)
    assert generator.training
    assert all(torch.equal(value, before[name]) for name, value in generator.state_dict().items())
    assert torch.equal(torch.get_rng_state(), rng)


def test_batch_norm_policies_differ_as_named() -> None:
    """Catches: the two policies swapped. With batch statistics, each channel has mean 0 before tanh."""
    generator = Tiny()
    with torch.no_grad():
        generator.norm.running_mean += 3.0
    mean = {
        policy: torch.atanh(Sampler(generator, "samples", 0, 64, batch_norm=policy)(0, 64))
        .mean(0)
        .abs()
        .max()
        for policy in ("running", "batch")
    }
    assert mean["batch"] < 1e-5
    assert mean["running"] > 1.0


def test_standing_statistics_are_those_of_the_weights_at_hand() -> None:
    """Catches: the stale running mean kept (3 off), or averaged in with momentum; the mean of 16 batches of 64
    latents through a linear layer is its bias, to about 1 / sqrt(1024)."""
    generator = Tiny()
    with torch.no_grad():
        generator.norm.running_mean += 3.0
    sampler = Sampler(generator, "samples", 0, 4, batch_norm="standing")
    norm = sampler._generator.norm
    assert not norm.training
    torch.testing.assert_close(norm.running_mean, generator.linear.bias.detach(), atol=0.1, rtol=0)
    variance = generator.linear.weight.detach().square().sum(1)
    torch.testing.assert_close(norm.running_var, variance, atol=0.0, rtol=0.2)
    again = Sampler(generator, "samples", 0, 4, batch_norm="standing")
    assert torch.equal(sampler(0, 4), again(0, 4))


def test_truncation_scales_latents() -> None:
    full, half = (Sampler(Tiny(), "a", 0, 4, truncation=t).latents for t in (1.0, 0.5))
    torch.testing.assert_close(half, full * 0.5)


class OwnPrior(Tiny):
    """Latents in [0, 1), truncated towards 1/2 by a weight of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.middle = nn.Parameter(torch.tensor(0.5))

    def draw_latents(self, num: int, noise: Noise) -> Tensor:
        return noise.uniform(num, self.latent_dim)

    def truncate(self, latents: Tensor, truncation: float) -> Tensor:
        return torch.lerp(self.middle, latents, truncation)


@pytest.mark.parametrize("batch_norm", ["running", "standing"])
def test_prior_and_truncation_are_the_generators(batch_norm: str) -> None:
    """Catches: normal latents for every generator, truncation by scaling alone or applied twice, a graph kept."""
    whole, part = (
        Sampler(OwnPrior(), "a", 0, 200, truncation=truncation, batch_norm=batch_norm)
        for truncation in (1, 0.2)
    )
    assert 0 <= float(whole.latents.min()) < 0.1
    assert 0.9 < float(whole.latents.max()) < 1
    torch.testing.assert_close(part.latents, 0.5 + 0.2 * (whole.latents - 0.5))
    assert not part.latents.requires_grad
    if batch_norm == "standing":  # the other latents too: their spread is that of a uniform in [0.4, 0.6)
        variance = part._generator.linear.weight.square().sum(1) * 0.2**2 / 12
        torch.testing.assert_close(part._generator.norm.running_var, variance, atol=0, rtol=0.2)


@pytest.mark.parametrize("truncation", [0.0, -1.0, float("nan")])
def test_truncation_to_nothing_is_refused(truncation: float) -> None:
    with pytest.raises(ConfigurationError, match="must be above 0"):
        Sampler(Tiny(), "a", 0, 4, truncation=truncation)


def test_labels_are_balanced_or_as_asked() -> None:
    sampler = Sampler(Tiny(num_classes=3), "a", 0, 6)
    assert sampler.labels is not None
    assert sampler.labels.tolist() == [0, 1, 2, 0, 1, 2]
    asked = Sampler(Tiny(num_classes=3), "a", 0, 2, label=2).labels
    assert asked is not None
    assert asked.tolist() == [2, 2]


@pytest.mark.parametrize(
    ("num_classes", "label", "words"), [(0, 1, "unconditional"), (3, 3, "0 to 2"), (3, -1, "0 to 2")]
)
def test_impossible_label_is_refused(num_classes: int, label: int, words: str) -> None:
    with pytest.raises(ConfigurationError, match=f"label={label}.*{words}"):
        Sampler(Tiny(num_classes), "a", 0, 2, label=label)


def test_slerp_has_ends_and_constant_speed_on_the_circle() -> None:
    """Catches: start and end swapped, linear interpolation (whose middle is shorter than 1)."""
    path = interpolate(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), 3)
    half = 0.5**0.5
    torch.testing.assert_close(path, torch.tensor([[1.0, 0.0], [half, half], [0.0, 1.0]]), atol=1e-6, rtol=0)


def test_slerp_of_equal_ends_is_constant() -> None:
    """Catches: division by the sine of a zero angle."""
    path = interpolate(torch.ones(2, 5), 4)
    torch.testing.assert_close(path, torch.ones(4, 5), atol=1e-3, rtol=0)


def test_slerp_between_opposites_is_straight() -> None:
    """Catches: division by the sine of half a turn, as one-dimensional latents have it half the time."""
    path = interpolate(torch.tensor([[2.0], [-1.0]]), 4)
    torch.testing.assert_close(path, torch.tensor([[2.0], [1.0], [0.0], [-1.0]]), atol=1e-6, rtol=0)


def test_linear_path_is_straight() -> None:
    """Catches: start and end swapped, pairs mixed up, slerp."""
    path = interpolate_linearly(torch.tensor([[1.0, 0.0], [0.0, 1.0], [4.0, 0.0], [0.0, 0.0]]), 3)
    expected = [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0], [4.0, 0.0], [2.0, 0.0], [0.0, 0.0]]
    torch.testing.assert_close(path, torch.tensor(expected))
