"""The loss of BEGAN, which keeps D's reconstruction errors of real and fake images in proportion."""

import torch
from torch import Tensor, nn

from ganlab.errors import ConfigurationError
from ganlab.interfaces import AdversarialLoss
from ganlab.numerics.whole_batch import global_mean


class BEGAN(AdversarialLoss, nn.Module):
    """Weighs the fake images in D's loss so that their reconstruction error is `gamma` times that of real ones.

    With reconstruction errors L = -logit, so r = -L(real) and f = -L(fake):
    D minimises mean(L(real)) - k mean(L(fake)) = k mean(f) - mean(r), G minimises mean(L(fake)) = -mean(f).
    After each iteration k <- min(1, max(0, k + lambda_k (gamma mean(L(real)) - mean(L(fake))))), with the fake
    images of G's update; k starts at 0. Convergence, to be logged: M = L(real) + |gamma L(real) - L(fake)|.

    Source: Berthelot et al., 2017, section 3.4 (objective) and 3.4.1 (convergence), arXiv 1703.10717.

    Args:
        gamma: sought ratio of the mean errors of fake and real images, in (0, 1]; the paper's "diversity ratio",
            0.3 to 0.7 there. Small: the look of single images comes first.
        lambda_k: rate at which k follows, > 0; the paper's is 0.001.

    Attributes:
        k: buffer, weight of the fake images in D's loss, in [0, 1], scalar.

    Raises:
        ConfigurationError: `gamma` or `lambda_k` is out of its range.
    """

    k: Tensor

    def __init__(self, gamma: float, lambda_k: float) -> None:
        super().__init__()
        if not 0 < gamma <= 1:
            raise ConfigurationError(f"began needs 0 < gamma <= 1, got {gamma}: set loss.gamma")
        if lambda_k <= 0:
            raise ConfigurationError(f"began needs lambda_k > 0, got {lambda_k}: set loss.lambda_k")
        self.gamma = gamma
        self.lambda_k = lambda_k
        self.register_buffer("k", torch.zeros(()))

    def discriminator_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        return self.k * fake_logits.mean() - real_logits.mean()

    def generator_loss(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        return -fake_logits.mean()

    @torch.no_grad()
    def observe(self, real_logits: Tensor, fake_logits: Tensor) -> dict[str, Tensor]:
        # Over all ranks: k must be the same on each.
        real_error, fake_error = -global_mean(torch.stack([real_logits.mean(), fake_logits.mean()])[None])
        surplus = self.gamma * real_error - fake_error
        self.k.copy_((self.k + self.lambda_k * surplus).clamp(0, 1))
        return {"began_k": self.k.clone(), "began_convergence": real_error + surplus.abs()}
