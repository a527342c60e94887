"""The normalised discriminator of GN-GAN."""

import copy

import pytest
import torch
from torch import Tensor, nn

from ganlab.constraints.gradient_normalization import GradientNormalization
from ganlab.interfaces import Discriminator, Judgement
from ganlab.penalties.r1 import R1


class Critic(Discriminator):
    """A smooth D of one hidden layer, with all that a judgement can hold."""

    num_classes = 3

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.hidden = nn.Linear(12, 5)
        self.to_logit = nn.Linear(5, 1)
        nn.init.constant_(self.to_logit.bias, 0.2)  # logits of both signs

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.judge(images, labels).logits

    def judge(self, images: Tensor, labels: Tensor | None = None) -> Judgement:
        features = torch.tanh(self.hidden(images.flatten(1)))
        logits = self.to_logit(features).squeeze(1)
        return Judgement(logits if labels is None else logits + 0.1 * labels, features, features[:, :3])


@pytest.fixture
def images() -> Tensor:
    return torch.randn(4, 3, 2, 2, generator=torch.Generator().manual_seed(1))


def test_formula(images: Tensor) -> None:
    """Catches a missing absolute value, a norm over the batch, labels not handed on, a lost class score."""
    within = Critic()
    normalized = GradientNormalization().prepare(within)
    labels = torch.tensor([0, 1, 2, 0])
    expected = []
    for image, label in zip(images, labels, strict=True):
        image = image[None].clone().requires_grad_()
        logit = within(image, label[None])
        (gradient,) = torch.autograd.grad(logit.sum(), image)
        expected.append(logit.item() / (gradient.square().sum().sqrt() + logit.abs()).item())
    judgement = normalized.judge(images, labels)
    torch.testing.assert_close(judgement.logits, torch.tensor(expected))
    assert min(expected) < 0 < max(expected)
    torch.testing.assert_close(judgement.features, within.judge(images).features)
    assert judgement.class_logits is not None
    assert judgement.codes is None
    assert normalized.num_classes == 3


def test_the_norm_is_learnt_through(images: Tensor) -> None:
    """Catches a norm that is a constant in the derivative by D's parameters, or by the images."""
    normalized = GradientNormalization().prepare(Critic()).double()
    assert torch.autograd.gradcheck(normalized, (images.double().requires_grad_(),))
    weight = normalized.get_parameter("discriminator.hidden.weight")
    (found,) = torch.autograd.grad(normalized(images.double()).sum(), weight)
    sums = []
    for step in (1e-6, -2e-6):
        with torch.no_grad():
            weight[0, 0] += step
        sums.append(normalized(images.double()).sum().item())
    assert found[0, 0].item() == pytest.approx((sums[0] - sums[1]) / 2e-6, rel=1e-5)


def test_without_gradients(images: Tensor) -> None:
    """Catches a graph that outlives no_grad, gradients switched off, and images marked on the way."""
    normalized = GradientNormalization().prepare(Critic())
    expected = normalized(images)
    with torch.no_grad():
        judgement = normalized.judge(images)
    torch.testing.assert_close(judgement.logits, expected.detach())
    assert judgement.features is not None
    assert not any(part.requires_grad for part in judgement if isinstance(part, Tensor))
    assert not images.requires_grad
    assert expected.requires_grad


def test_autocast(images: Tensor) -> None:
    """Catches a gradient in bfloat16."""
    normalized = GradientNormalization().prepare(Critic())
    with torch.autocast("cpu", torch.bfloat16):
        logits = normalized(images)
    assert logits.dtype == torch.float32
    assert torch.equal(logits, normalized(images))


def test_as_a_part_of_training(images: Tensor) -> None:
    """Catches state that does not come back, a copy that shares weights, and a penalty that cannot be added."""
    normalized = GradientNormalization().prepare(Critic())
    twin = copy.deepcopy(normalized)
    with torch.no_grad():
        twin.get_parameter("discriminator.to_logit.bias").add_(1)
    assert not torch.equal(twin(images), normalized(images))
    twin.load_state_dict(normalized.state_dict())
    assert torch.equal(twin(images), normalized(images))
    R1(1.0, 1)(normalized, images, images, None, None).backward()  # type: ignore[arg-type]
    gradient = normalized.get_parameter("discriminator.hidden.weight").grad
    assert gradient is not None
    assert gradient.abs().sum() > 0
    frozen = copy.deepcopy(normalized).requires_grad_(False)
    fake = images.clone().requires_grad_()
    (of_images,) = torch.autograd.grad(frozen(fake * 2).sum(), fake)
    assert of_images.abs().sum() > 0


def test_dead_discriminator(images: Tensor) -> None:
    """Catches 0 / 0."""
    within = Critic()
    nn.init.zeros_(within.to_logit.weight)
    nn.init.zeros_(within.to_logit.bias)
    logits = GradientNormalization().prepare(within)(images)
    assert torch.equal(logits, torch.zeros(4))
