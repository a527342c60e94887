"""The losses of relativistic average GANs."""

from torch import Tensor
from torch.nn.functional import relu, softplus

from ganlab.interfaces import AdversarialLoss
from ganlab.numerics.whole_batch import global_mean


class RelativisticAverage(AdversarialLoss):
    """D says how much more real an image looks than the average image of the other kind; G wants the reverse.

    With logits r of real and f of fake images:
    D minimises mean(softplus(-(r - mean(f)))) + mean(softplus(f - mean(r))),
    G minimises mean(softplus(-(f - mean(r)))) + mean(softplus(r - mean(f))).
    The inner means are over the batch of all ranks, and over all positions of a map.

    Source: Jolicoeur-Martineau, 2019, section 4.3 (RaSGAN), arXiv 1807.00734. The author's code halves both losses; the
    paper and we do not.
    """

    generator_needs_real = True

    def discriminator_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        real_margin, fake_margin = _margins(real_logits, fake_logits)
        return softplus(-real_margin).mean() + softplus(fake_margin).mean()

    def generator_loss(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        real_margin, fake_margin = _margins(real_logits, fake_logits)
        return softplus(real_margin).mean() + softplus(-fake_margin).mean()


class RelativisticAverageHinge(AdversarialLoss):
    """As `RelativisticAverage`, with the hinge in place of cross-entropy.

    With logits r of real and f of fake images:
    D minimises mean(max(0, 1 - (r - mean(f)))) + mean(max(0, 1 + (f - mean(r)))),
    G minimises mean(max(0, 1 - (f - mean(r)))) + mean(max(0, 1 + (r - mean(f)))).
    The inner means are over the batch of all ranks, and over all positions of a map.

    Source: Jolicoeur-Martineau, 2019, appendix (RaHingeGAN), arXiv 1807.00734. The author's code halves both losses; we
    do not.
    """

    generator_needs_real = True

    def discriminator_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        real_margin, fake_margin = _margins(real_logits, fake_logits)
        return relu(1 - real_margin).mean() + relu(1 + fake_margin).mean()

    def generator_loss(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        real_margin, fake_margin = _margins(real_logits, fake_logits)
        return relu(1 + real_margin).mean() + relu(1 - fake_margin).mean()


def _margins(real_logits: Tensor | None, fake_logits: Tensor) -> tuple[Tensor, Tensor]:
    """Returns by how much real logits exceed the average fake one, and fake logits the average real one."""
    if real_logits is None:
        raise ValueError("a relativistic loss needs the real logits in the generator's update")
    return real_logits - global_mean(fake_logits).mean(), fake_logits - global_mean(real_logits).mean()
