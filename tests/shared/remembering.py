"""Parts with a memory that what they do depends on, for configurations of tests."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from ganlab.interfaces import Augment, Constraint, Penalty, VariationalLoss
from ganlab.noise import Noise
from ganlab.numerics.whole_batch import global_mean
from ganlab.training.adversarial import GANModule


class Lightening(nn.Module, Augment):
    """Takes from all images a share of the mean brightness that it has seen so far."""

    mean: Tensor

    def __init__(self, late: bool = False) -> None:
        super().__init__()
        if not late:
            self.register_buffer("mean", torch.zeros(()))

    def __call__(self, images: Tensor, noise: Noise) -> Tensor:
        if "mean" not in self._buffers:
            self.register_buffer("mean", torch.zeros(()))
        with torch.no_grad():
            self.mean.lerp_(global_mean(images).mean(), 0.3)
        return images - 0.5 * self.mean


class Growing(nn.Module, Penalty):
    """Draws logits to 0, the more the more often it was asked."""

    times: Tensor

    def __init__(self, weight: float, interval: int) -> None:
        nn.Module.__init__(self)
        Penalty.__init__(self, weight, interval)
        self.register_buffer("times", torch.zeros((), dtype=torch.int64))

    def __call__(
        self, discriminator: nn.Module, real: Tensor, fake: Tensor, labels: Tensor | None, noise: Noise
    ) -> Tensor:
        self.times += 1
        return self.weight * self.times * discriminator(real, labels).square().mean()


class Shrinking(nn.Module, Constraint):
    """Shrinks D's parameters a little less each time."""

    factor: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("factor", torch.tensor(0.9))

    @torch.no_grad()
    def apply(self, discriminator: nn.Module) -> None:  # type: ignore[override]  # Module has one, too
        for parameter in discriminator.parameters():
            parameter *= self.factor
        self.factor.lerp_(torch.ones(()), 0.1)


class Warming(nn.Module, VariationalLoss):
    """A loss of a variational autoencoder that counts how often it is asked."""

    times: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("times", torch.zeros(()))

    def __call__(
        self, images: Tensor, reconstructions: Tensor, mean: Tensor, log_variance: Tensor
    ) -> dict[str, Tensor]:
        self.times += 1
        return {"g_loss": (images - reconstructions).square().mean() + self.times * mean.square().mean()}


class Softening(pl.Callback):
    """Scales G's weights by what it notes, less each time."""

    def __init__(self, alien: bool = False) -> None:
        self.factor = 0.9
        self.alien = alien

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        assert isinstance(pl_module, GANModule)
        with torch.no_grad():
            for parameter in pl_module.generator.parameters():
                parameter *= self.factor
        self.factor = 1 - (1 - self.factor) / 2

    def state_dict(self) -> dict[str, Any]:
        return {"factor": self.factor, **({"path": Path()} if self.alien else {})}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.factor = state_dict["factor"]


class Stepping(nn.Module):
    """A schedule that counts how often it is asked."""

    times: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("times", torch.zeros(()))

    def forward(self, g_step: int) -> float:
        self.times += 1
        return float(1 / self.times)


class Ageing(Penalty):
    """Draws logits to 0, the more the more often it was asked, and keeps the count where no checkpoint sees it."""

    def __init__(self, weight: float, interval: int, since: int = 0) -> None:
        super().__init__(weight, interval)
        self.asked, self.age, self.since = torch.zeros(()), 0, since

    def __call__(
        self, discriminator: nn.Module, real: Tensor, fake: Tensor, labels: Tensor | None, noise: Noise
    ) -> Tensor:
        self.asked += 1  # a tensor, which does not count
        self.age += int(self.asked > self.since)
        return self.weight * self.age * discriminator(real, labels).square().mean()


class Fading(Augment):
    """Darkens, each time a little more."""

    def __init__(self) -> None:
        self.factor = 1.0

    def __call__(self, images: Tensor, noise: Noise) -> Tensor:
        self.factor *= 0.9
        return images * self.factor
