"""A decoder and the encoder that tells it where a sample lies."""

from collections.abc import Sequence
from typing import cast

from ganlab.interfaces import Batch, Encoder, Game, Request, Task
from ganlab.noise import Noise


class Variational(Task):
    """One game: a sample against its reconstruction, from latents drawn from the encoder's Gaussian.

    `aux_outputs` of the game are `mean` and `log_variance`, each `(N, latent_dim)`. In sampling the decoder answers
    latents from its prior. With a discriminator and an adversarial loss it is a VAE-GAN.

    Source: Kingma & Welling, 2014, algorithm 1, arXiv 1312.6114, with one latent per sample.
    """

    generator_roles = ("main", "encoder")
    discriminator_roles = ()

    def request(self, batch: Batch, noise: Noise, direction: str = "main") -> Request:
        return Request(self.generator(direction).draw_latents(len(batch.real), noise), None, noise)

    def games(self, batch: Batch, noise: Noise) -> Sequence[Game]:
        mean, log_variance = cast(Encoder, self.generators["encoder"])(batch.real)
        latents = mean + (0.5 * log_variance).exp() * noise.normal(*mean.shape)
        game = self.play("main", batch.real, Request(latents, None, noise))
        game.aux_outputs = {**game.aux_outputs, "mean": mean, "log_variance": log_variance}
        return [game]
