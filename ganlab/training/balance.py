"""When D is left alone, so that G can catch up."""

import torch
from torch import Tensor

from ganlab.errors import ConfigurationError
from ganlab.interfaces import Balance, mean_logits


class AccuracyBalance(Balance):
    """Updates D only if its accuracy in the last batch was not above a limit.

    Accuracy is the mean of the shares of real images with a positive and of fakes with a negative logit (the mean one,
    where D gives a map), over all ranks. D is asked about every batch, whether it then learns from it or not.

    Source: Wu et al., 2016, section 3.1, arXiv 1610.07584 (3D-GAN), where the limit is 0.8.

    Args:
        max_accuracy: in (0, 1].

    Raises:
        ConfigurationError: `max_accuracy` is out of its range.
    """

    accuracy: Tensor

    def __init__(self, max_accuracy: float) -> None:
        super().__init__()
        if not 0 < max_accuracy <= 1:
            raise ConfigurationError(
                f"a balance's accuracy lies in (0, 1], got {max_accuracy}: set balance.max_accuracy"
            )
        self.max_accuracy = max_accuracy
        self.register_buffer("accuracy", torch.zeros(()))

    def updates_discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> bool:
        """Decides by the accuracy of the last batch, and notes that of this one."""
        decision = bool(self.accuracy <= self.max_accuracy)
        real_logits, fake_logits = mean_logits(real_logits), mean_logits(fake_logits)
        accuracy = ((real_logits > 0).float().mean() + (fake_logits < 0).float().mean()) / 2
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.all_reduce(accuracy)
            accuracy /= torch.distributed.get_world_size()
        self.accuracy.copy_(accuracy)
        return decision
