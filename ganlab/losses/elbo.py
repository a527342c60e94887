"""The loss of the variational autoencoder."""

from torch import Tensor

from ganlab.errors import ConfigurationError
from ganlab.interfaces import VariationalLoss


class GaussianELBO(VariationalLoss):
    """The negative evidence lower bound with a Gaussian decoder of fixed deviation and a standard normal prior.

    Per image, without the constant: ||x - xhat||^2 / (2 std^2) + kl_weight * KL, with
    KL = 1/2 * sum(mean^2 + variance - 1 - log variance); the mean over the batch, in nats per image.

    Source: Kingma & Welling, 2014, equation 10 and appendix B, arXiv 1312.6114; `kl_weight` other than 1 is
    beta-VAE (Higgins et al., 2017).

    Args:
        std: deviation of p(image | latents) on the scale [-1, 1], > 0.
        kl_weight: factor of the divergence, >= 0; 1 in the paper.

    Raises:
        ConfigurationError: a value is out of its range.
    """

    def __init__(self, std: float, kl_weight: float) -> None:
        if std <= 0 or kl_weight < 0:
            raise ConfigurationError(
                f"the evidence lower bound needs std > 0 and kl_weight >= 0, got {std} and {kl_weight}: set "
                "loss.std or loss.kl_weight"
            )
        self.std = std
        self.kl_weight = kl_weight

    def __call__(
        self, images: Tensor, reconstructions: Tensor, mean: Tensor, log_variance: Tensor
    ) -> dict[str, Tensor]:
        error = (images - reconstructions).square().flatten(1).sum(1).mean() / (2 * self.std**2)
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean()
        return {
            "g_loss": error + self.kl_weight * divergence,
            "reconstruction": error,
            "divergence": divergence,
        }
