"""The loop of the variational autoencoder: one joint update of encoder and decoder."""

from torch import Tensor, nn

from ganlab.interfaces import Encoder, Generator, VariationalLoss
from ganlab.training.ema import GeneratorEMA
from ganlab.training.generative import GenerativeModule, Optimization


class VAEModule(GenerativeModule):
    """Trains a generator as the decoder of a variational autoencoder, the baseline without a discriminator.

    Source: Kingma & Welling, 2014, algorithm 1, arXiv 1312.6114, with one latent per image.

    Args:
        generator: the decoder: maps latents to the mean of p(image | latents).
        encoder: maps images to mean and log-variance of q(latents | image).
        loss: the negative evidence lower bound.
        optimization: its optimiser of the generator updates both networks; D's is not used.
        ema: running average of the decoder's weights; `None` for none.
        flip_real: mirror each real image with probability 1/2.
        channels_last: memory layout of images and convolutions.
        seed: of all that is random in training.
    """

    def __init__(
        self,
        generator: Generator,
        encoder: Encoder,
        loss: VariationalLoss,
        optimization: Optimization,
        *,
        ema: GeneratorEMA | None = None,
        flip_real: bool = False,
        channels_last: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(generator, optimization, ema, flip_real, channels_last, seed)
        self.encoder = encoder
        self.loss = loss
        self.to(memory_format=self._memory_format)

    @property
    def networks(self) -> dict[str, nn.Module]:
        """Decoder and encoder."""
        return {"generator": self.generator, "encoder": self.encoder}

    @property
    def optimized(self) -> dict[str, list[nn.Module]]:
        """One optimiser updates both networks, by the gradient of one loss."""
        return {"generator": [self.generator, self.encoder]}

    @property
    def memories(self) -> dict[str, nn.Module]:
        """The loss, where it is a module and so may have buffers."""
        return {"loss": self.loss} if isinstance(self.loss, nn.Module) else {}

    def training_step(self, batch: tuple[Tensor, Tensor | None], batch_idx: int) -> dict[str, Tensor]:
        """Runs one update on a batch `(N, C, H, W)`; labels are not used. Returns detached scalars."""
        (optimizer,) = self._begin_iteration()
        self._begin_update()
        (real,) = self._real_sub_batches(batch[0])
        mean, log_variance = self.encoder(real)
        noise = self._noise("generator", self.counters.g_step)
        latents = mean + (0.5 * log_variance).exp() * noise.normal(*mean.shape)
        terms = self.loss(real, self.generator(latents), mean, log_variance)
        optimizer.zero_grad()
        self.manual_backward(terms["g_loss"])
        optimizer.step()
        self._end_iteration(len(real))
        return {name: value.detach() for name, value in terms.items()}
