"""What the loop does with the optional parts: auxiliary objectives, balance, top-k, losses with a memory."""

import pytest
import torch
from torch import Tensor

from ganlab.errors import ConfigurationError
from ganlab.interfaces import AdversarialLoss, Augment, AuxiliaryObjective, Update
from ganlab.losses.relativistic_average import RelativisticAverage, RelativisticAverageHinge
from ganlab.losses.relativistic_pairing import RelativisticPairing
from ganlab.losses.wasserstein import Wasserstein
from ganlab.noise import Noise
from ganlab.training.balance import AccuracyBalance
from tests.test_module import LinearDiscriminator, make, run, weights


class BiasTerms(AuxiliaryObjective):
    """Adds D's bias to its loss, 1, and the mean of G's biases to its loss, 2; notes what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("num_calls", torch.zeros(()))
        self.updates: list[Update] = []

    def discriminator_term(self, update: Update) -> Tensor | None:
        self.updates.append(update)
        return update.discriminator.linear.bias.sum()  # type: ignore[union-attr]

    def generator_term(self, update: Update) -> Tensor | None:
        self.updates.append(update)
        self.num_calls += 1
        return 2 * update.generator.linear.bias.mean()  # type: ignore[union-attr]


def test_auxiliary_terms_reach_both_losses() -> None:
    """Catches a term left out, added to the other network, or shown the wrong images; an objective of before."""
    plain, objective = make(d_lr=1.0, g_lr=1.0), BiasTerms()
    module = make(d_lr=1.0, g_lr=1.0, auxiliary={"bias": objective})
    run(plain, 1)
    run(module, 1)
    moved = weights(module.discriminator)[1] - weights(plain.discriminator)[1]
    assert float(moved) == pytest.approx(-1)  # Wasserstein's own gradient of the bias is 0
    moved = weights(module.generator)[1] - weights(plain.generator)[1]
    assert moved.tolist() == pytest.approx([-0.5] * 4)
    of_d, of_g = objective.updates
    assert of_d.real_judgement is not None
    assert not of_d.fake.requires_grad
    assert of_g.fake.requires_grad
    discriminator = module.discriminator
    assert isinstance(discriminator, LinearDiscriminator)
    assert len(discriminator.seen) == 3  # nobody has asked for the real ones in G's update
    assert torch.equal(of_d.real, discriminator.seen[0])
    assert torch.equal(of_d.fake, discriminator.seen[1])
    assert torch.equal(module.generator(of_g.latents), of_g.fake) is False  # G has moved since
    assert objective.num_calls == 1
    assert "auxiliary.bias" in module.memories


class Keep(Wasserstein):
    def observe(self, real_logits: Tensor, fake_logits: Tensor) -> dict[str, Tensor]:
        self.seen = (real_logits, fake_logits)
        return {"kept": real_logits.mean()}


def test_a_loss_sees_the_logits_of_the_iteration() -> None:
    """Catches real and fake swapped, and the fakes of D's update for those of G's."""
    loss = Keep()
    module = make(loss=loss)
    run(module, 1)
    discriminator = module.discriminator
    assert isinstance(discriminator, LinearDiscriminator)
    real, _, fake = discriminator.seen
    initial = make().discriminator
    torch.testing.assert_close(loss.seen[0], initial(real))
    torch.testing.assert_close(loss.seen[1], discriminator(fake))


def test_top_k_learns_from_the_best_fakes() -> None:
    """Catches the worst taken for the best, and a share rounded down to nothing."""
    module = make(d_lr=0.0, g_lr=1.0, top_k=0.3)
    before = weights(module.generator)
    run(module, 1)
    discriminator = module.discriminator
    assert isinstance(discriminator, LinearDiscriminator)
    # Of four fakes two are kept. dL/dbias = -w for each; the weight's gradient tells which latents were used.
    generator = make().generator
    noise = module._noise("generator", 0)
    latents = generator.draw_latents(4, noise)
    logits = discriminator(generator(latents))
    best = latents[logits.topk(2).indices]
    expected = before[0] + discriminator.linear.weight.detach().T @ best.mean(0, keepdim=True)
    torch.testing.assert_close(weights(module.generator)[0], expected)


class KeepPairs(RelativisticPairing):
    def generator_loss(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        assert real_logits is not None
        self.pairs = (fake_logits.detach(), real_logits.detach())
        return super().generator_loss(fake_logits, real_logits)


def test_top_k_keeps_the_pairs_of_a_relativistic_loss() -> None:
    """Catches all reals for the kept fakes, reals chosen by their own logits, and none at all."""
    loss = KeepPairs()
    module = make(d_lr=0.0, top_k=0.5, loss=loss)
    run(module, 1)
    discriminator = module.discriminator
    assert isinstance(discriminator, LinearDiscriminator)
    fake, real = (discriminator(images) for images in discriminator.seen[2:4])
    kept = fake.topk(2).indices
    assert set(kept.tolist()) != set(real.topk(2).indices.tolist())
    torch.testing.assert_close(loss.pairs, (fake[kept], real[kept]))


@pytest.mark.parametrize("loss", [RelativisticPairing(), RelativisticAverage(), RelativisticAverageHinge()])
def test_top_k_with_relativistic_losses(loss: AdversarialLoss) -> None:
    """Catches a G that the best fakes' gradient does not reach, or reaches with another sign."""
    module = make(d_lr=0.0, g_lr=1.0, top_k=0.5, loss=loss)
    expected = make().generator
    noise = module._noise  # needs the trainer, which comes with the run
    run(module, 1)
    discriminator = module.discriminator
    assert isinstance(discriminator, LinearDiscriminator)
    real = discriminator(discriminator.seen[3])
    fake = discriminator(expected(expected.draw_latents(4, noise("generator", 0))))
    kept = fake.topk(2).indices
    parameters = list(expected.parameters())
    gradients = torch.autograd.grad(loss.generator_loss(fake[kept], real[kept]), parameters)
    moved = [before - gradient for before, gradient in zip(parameters, gradients, strict=True)]
    torch.testing.assert_close(weights(module.generator), [new.detach() for new in moved])
    assert max(float(gradient.abs().max()) for gradient in gradients) > 1e-3


def test_balance_leaves_a_good_discriminator_alone() -> None:
    """Catches a decision by this batch's accuracy for the last one's, and a D step counted that was not made."""
    balance = AccuracyBalance(max_accuracy=0.8)
    good, bad = torch.tensor([3.0, 2.0]), torch.tensor([-1.0, -2.0])
    decisions = [
        balance.updates_discriminator(*logits) for logits in ((good, bad), (bad, good), (good, good))
    ]
    assert decisions == [True, False, True]
    assert float(balance.accuracy) == 0.5
    with pytest.raises(ConfigurationError, match=r"balance\.max_accuracy"):
        AccuracyBalance(max_accuracy=0)


@pytest.mark.parametrize(("max_accuracy", "num_updates"), [(0.4, 1), (0.5, 6)])
def test_accuracy_decides_in_the_loop(max_accuracy: float, num_updates: int) -> None:
    """Catches an accuracy of one kind of image only, a limit that counts as above, and logits that stay at home.

    D takes everything for real, so it is right about half of the images; nothing is known before the first batch.
    """
    module = make(d_lr=0.0, n_critic=2, optimization={"balance": AccuracyBalance(max_accuracy)})
    discriminator = module.discriminator
    assert isinstance(discriminator, LinearDiscriminator)
    discriminator.linear.weight.data.zero_()
    discriminator.linear.bias.data.fill_(1.0)
    run(module, 3)
    assert module.counters.d_step == num_updates
    assert module.counters.images_seen == 3 * 2 * 4  # D looked at them all


def test_balance_keeps_its_memory() -> None:
    """Catches an accuracy that a checkpoint leaves out."""
    balance, restored = AccuracyBalance(0.8), AccuracyBalance(0.8)
    logits = torch.tensor([3.0, 2.0])
    balance.updates_discriminator(logits, -logits)
    restored.load_state_dict(balance.state_dict())
    assert not restored.updates_discriminator(logits, -logits)


class Never(AccuracyBalance):
    def updates_discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> bool:
        self.asked = (real_logits, fake_logits)
        return False


def test_balance_in_the_loop() -> None:
    """Catches an update made all the same, latents that repeat because D's counter stood still, logits swapped."""
    balance = Never(0.5)
    module = make(n_critic=2, optimization={"balance": balance})
    before = weights(module.discriminator)
    run(module, 2)
    assert module.counters.d_step == 0
    assert all(torch.equal(a, b) for a, b in zip(before, weights(module.discriminator), strict=True))
    discriminator = module.discriminator
    assert isinstance(discriminator, LinearDiscriminator)
    assert len({tuple(images.flatten().tolist()) for images in discriminator.seen}) == len(discriminator.seen)
    real, fake, _ = discriminator.seen[-3:]  # of the last D batch, and of the G step
    torch.testing.assert_close(balance.asked, (discriminator(real).detach(), discriminator(fake).detach()))
    assert "balance" in module.memories


class Add(Augment):
    def __init__(self, value: float, factor: float) -> None:
        self.value, self.factor = value, factor

    def __call__(self, images: Tensor, noise: Noise) -> Tensor:
        return images * self.factor + self.value


def test_augmentations_act_in_order_on_real_and_fake() -> None:
    """Catches the reverse order, and images of D's or of G's step left as they are."""
    seen = []
    for augment in ({}, {"add": Add(1.0, 1.0), "double": Add(0.0, 2.0)}):
        module = make(d_lr=0.0, augment=augment, loss=RelativisticPairing())
        run(module, 1)
        assert isinstance(module.discriminator, LinearDiscriminator)
        seen.append(module.discriminator.seen)
    plain, augmented = seen  # each: real and fake of D's step, fake and real of G's
    assert len(plain) == 4
    torch.testing.assert_close(augmented, [2 * (images + 1) for images in plain])
