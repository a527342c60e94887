"""Statistics of a batch that two processes share."""

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, distributed, nn

from ganlab.auxiliary.feature_matching import FeatureMatching
from ganlab.interfaces import Discriminator, Game, Generator, Judgement
from ganlab.losses.began import BEGAN
from ganlab.losses.relativistic_average import RelativisticAverage, RelativisticAverageHinge
from ganlab.noise import Noise
from ganlab.numerics.whole_batch import global_max, global_mean
from ganlab.penalties.dragan import DRAGAN
from ganlab.penalties.max_gp import MaxGP
from ganlab.training.balance import AccuracyBalance

NUM = 6


class TinyGenerator(Generator):
    latent_dim = 2

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        return latents.view(-1, 2, 1, 1)


class TinyDiscriminator(Discriminator):
    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(2, 5)
        self.to_logit = nn.Linear(5, 1)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.judge(images).logits

    def judge(self, images: Tensor, labels: Tensor | None = None) -> Judgement:
        features = torch.tanh(self.hidden(images.flatten(1)))
        return Judgement(self.to_logit(features).squeeze(1), features)


def gradients_of_objectives(rank: int, world_size: int) -> dict[str, Tensor]:
    """Returns the gradient of each objective for this rank's rows of one batch."""
    generator = torch.Generator().manual_seed(0)
    real, fake = torch.randn(2, NUM, 2, 1, 1, generator=generator, dtype=torch.float64)
    torch.manual_seed(1)
    discriminator = TinyDiscriminator().double()
    real, fake = real.chunk(world_size)[rank], fake.chunk(world_size)[rank]
    of_real, of_fake = discriminator.judge(real), discriminator.judge(fake)
    game = Game("main", TinyGenerator(), discriminator, real, fake, None, Noise(3))
    vars(game).update(real_judgements=(of_real,), fake_judgements=(of_fake,))

    def noise() -> Noise:
        return Noise(3, "cpu", rank, world_size)

    terms = {
        "average": RelativisticAverage().discriminator_loss(of_real.logits, of_fake.logits),
        "average_g": RelativisticAverage().generator_loss(of_fake.logits, of_real.logits),
        "hinge": RelativisticAverageHinge().discriminator_loss(of_real.logits, of_fake.logits),
        "feature_matching": FeatureMatching(1.0).generator_term(game),
        "max_gp": MaxGP(1.0, interval=1)(discriminator, real, fake, None, noise()),
        "dragan": DRAGAN(1.0, 1, 1.0, 0.5)(discriminator, real, fake, None, noise()),
    }
    parameters = tuple(discriminator.parameters())
    return {
        name: torch.cat(
            [
                gradient.flatten()
                for gradient in torch.autograd.grad(
                    term, parameters, retain_graph=True, allow_unused=True, materialize_grads=True
                )
            ]
        )
        for name, term in terms.items()
        if term is not None
    }


def memories_of_parts(rank: int, world_size: int) -> dict[str, Tensor]:
    """Returns what losses and balances remember of this rank's rows of one batch."""
    real, fake = torch.tensor([[3.0, 1, 2, 1, -1, 2], [-4.0, -2, -1, 3, -2, -1]]).chunk(world_size, 1)[rank]
    balance, began = AccuracyBalance(0.8), BEGAN(gamma=0.5, lambda_k=0.1)
    balance.updates_discriminator(real, fake)
    began.observe(-10 * real.abs(), -fake.abs())
    return {"accuracy": balance.accuracy, "began_k": began.k}


def _work(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    torch.save({**gradients_of_objectives(rank, 2), **memories_of_parts(rank, 2)}, f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def of_two_ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Tensor]]:
    folder: Path = tmp_path_factory.mktemp("ranks")
    ranks = [subprocess.Popen([sys.executable, __file__, str(rank), str(folder)]) for rank in range(2)]
    assert [rank.wait(timeout=240) for rank in ranks] == [0, 0]
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.parametrize("name", ["average", "average_g", "hinge", "feature_matching", "max_gp", "dragan"])
def test_gradients_of_two_ranks(of_two_ranks: list[dict[str, Tensor]], name: str) -> None:
    """Catches means and maxima over one rank, and gradients that are not summed over ranks, or not divided."""
    averaged = (of_two_ranks[0][name] + of_two_ranks[1][name]) / 2
    torch.testing.assert_close(averaged, gradients_of_objectives(0, 1)[name], rtol=1e-10, atol=1e-12)
    assert averaged.abs().max() > 1e-3


@pytest.mark.parametrize("name", ["accuracy", "began_k"])
def test_memories_of_two_ranks(of_two_ranks: list[dict[str, Tensor]], name: str) -> None:
    """Catches a memory of one rank's images, with which the ranks would decide differently."""
    whole = memories_of_parts(0, 1)[name]
    assert 0 < float(whole) < 1
    for memory in of_two_ranks:
        torch.testing.assert_close(memory[name], whole)


def test_maximum_is_shared() -> None:
    """Catches the whole gradient for each of several maxima."""
    values = torch.tensor([1.0, 3.0, 3.0, 2.0], requires_grad=True)
    global_max(values).backward()
    assert values.grad is not None
    assert values.grad.tolist() == [0.0, 0.5, 0.5, 0.0]
    assert global_max(torch.tensor([-math.pi])).item() == pytest.approx(-math.pi)


def test_mean_of_rows() -> None:
    """Catches a mean over all values."""
    assert global_mean(torch.tensor([[1.0, 2.0], [3.0, 6.0]])).tolist() == [2.0, 4.0]


if __name__ == "__main__":
    _work(int(sys.argv[1]), sys.argv[2])
