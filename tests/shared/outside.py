"""Parts as somebody's own package would have them: kinds of GAN that ganlab does not ship, in few lines each."""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, embedding, normalize, one_hot

from ganlab.data.digits import Digits
from ganlab.data.source import ImageSource, LoadedImages
from ganlab.interfaces import (
    AdversarialLoss,
    Augment,
    Batch,
    Discriminator,
    Game,
    Generated,
    Generator,
    Judgement,
    Part,
    Record,
    Request,
    Task,
    Term,
)
from ganlab.losses.least_squares import LeastSquares
from ganlab.losses.nonsaturating import NonSaturating
from ganlab.noise import Noise
from ganlab.tasks.domains import Translation


def conv(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1), nn.LeakyReLU(0.2))


class Drawer(Generator):
    """Pictures of 8 x 8 pixels from noise."""

    def __init__(self, latent_dim: int, width: int = 32) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.layers = nn.Sequential(nn.Linear(latent_dim, width), nn.LeakyReLU(0.2), nn.Linear(width, 64))

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.layers(latents).tanh().view(-1, 1, 8, 8)


class Translator(Generator):
    """Pictures from pictures of the same size; where a domain is asked for, it comes as planes."""

    def __init__(self, width: int = 4, num_domains: int = 0) -> None:
        super().__init__()
        self.num_domains = num_domains
        self.head, self.body = conv(1 + num_domains, width), conv(width, width)
        self.last = nn.Conv2d(width, 1, 3, padding=1)

    def encode(self, picture: Tensor) -> Tensor:
        return cast(Tensor, self.body(self.head(picture)))

    def forward(self, latents: Tensor, condition: Tensor | Translation | None = None) -> Tensor:
        if isinstance(condition, Translation):
            planes = one_hot(condition.domain, self.num_domains).to(condition.source)[:, :, None, None]
            condition = torch.cat([condition.source, planes.expand(-1, -1, *condition.source.shape[2:])], 1)
        assert condition is not None
        return cast(Tensor, self.last(self.encode(condition)).tanh())


class Judge(Discriminator):
    """Judges patches of a picture, next to a picture that it is told of; gives its layers."""

    def __init__(self, channels: int = 1, width: int = 4, stride: int = 2) -> None:
        super().__init__()
        self.layers = nn.ModuleList([conv(channels, width, stride), conv(width, width)])
        self.last = nn.Conv2d(width, 1, 3, padding=1)

    def judge(self, images: Tensor, labels: Tensor | None = None) -> Judgement:
        values, features = images if labels is None else torch.cat([images, labels], 1), []
        for layer in self.layers:
            values = layer(values)
            features.append(values)
        return Judgement(self.last(values)[:, 0], features)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.judge(images, labels).logits


# BiGAN (Donahue et al., 2017): D compares (x, E(x)) with (G(z), z).


class BiGAN(Task):
    generator_roles = ("main", "encoder")

    def request(self, batch: Batch, noise: Noise, direction: str = "main") -> Request:
        return Request(self.generator("main").draw_latents(len(batch.real), noise), None, noise)

    def games(self, batch: Batch, noise: Noise) -> Sequence[Game]:
        asked = self.request(batch, noise)
        return [self.play("main", batch.real, asked, (self.generators["encoder"](batch.real), asked.latents))]


class Encoder(nn.Module):
    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(64, 32), nn.LeakyReLU(0.2), nn.Linear(32, latent_dim)
        )

    def forward(self, pictures: Tensor) -> Tensor:
        return cast(Tensor, self.layers(pictures))


class PairJudge(Discriminator):
    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(64 + latent_dim, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        assert labels is not None
        return cast(Tensor, self.layers(torch.cat([images.flatten(1), labels], 1)))[:, 0]


class Symmetric(NonSaturating):
    """Encoded reals shall be taken for fakes."""

    generator_needs_real = True

    def generator_loss(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        assert real_logits is not None
        return super().generator_loss(fake_logits) + super().generator_loss(-real_logits)


# CUT (Park et al., 2020): a place of what is made says of its source there more than of other places.


class PatchNCE(Term):
    def __init__(self, weight: float, num_places: int) -> None:
        super().__init__(weight)
        self.num_places = num_places

    def prepare(self, task: Task) -> None:
        width = cast(Translator, task.generator("main")).last.in_channels
        self._heads = (task.add("generator", "patch_heads", nn.Linear(width, width)),)  # known, not owned

    def generator_term(self, game: Game) -> Tensor:
        places = game.noise.fork("places").permutation(game.fake[0, 0].numel())[: self.num_places]
        made, source = self._look(game, game.fake, places), self._look(game, game.condition, places).detach()
        logits = made @ source.transpose(1, 2) / 0.07
        return cross_entropy(logits.flatten(0, 1), torch.arange(len(places)).repeat(len(logits)))

    def _look(self, game: Game, picture: Tensor, places: Tensor) -> Tensor:
        maps = cast(Translator, game.generator).encode(picture).flatten(2).transpose(1, 2)
        return normalize(self._heads[0](maps[:, places]), dim=-1)


# A codebook whose entries are averages (VQ-VAE-2, VQGAN): moved once an iteration, by all ranks' rows.


class Codebook(Part, nn.Module):
    entries: Tensor

    def __init__(self, num: int, width: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.register_buffer("entries", torch.randn(num, width, generator=generator))

    def forward(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the nearest entries `(N, width, H, W)`, passing gradients through, and their numbers."""
        rows = codes.movedim(1, -1)
        indices = torch.cdist(rows.flatten(0, -2), self.entries).argmin(1).view(rows.shape[:-1])
        nearest = embedding(indices, self.entries).movedim(-1, 1)
        return codes + (nearest - codes).detach(), indices

    @torch.no_grad()
    def update_state(self, discriminator: Sequence[Record], generator: Sequence[Record]) -> dict[str, Tensor]:
        codes, indices = (generator[0].aux_outputs[name] for name in ("codes", "indices"))
        chosen = one_hot(indices.flatten(), len(self.entries)).to(codes)
        sums, counts = chosen.T @ codes.movedim(1, -1).flatten(0, -2), chosen.sum(0)[:, None]
        self.entries.copy_(
            torch.where(counts > 0, 0.9 * self.entries + 0.1 * sums / counts.clamp(min=1), self.entries)
        )
        return {"codes_used": (counts > 0).float().mean()}


class Quantized(Generator):
    aux_outputs = ("codes", "indices")

    def __init__(self, width: int = 4, num_codes: int = 8) -> None:
        super().__init__()
        self.encoder, self.codebook = conv(1, width, 2), Codebook(num_codes, width)
        self.last = nn.ConvTranspose2d(width, 1, 4, 2, 1)

    def generate(self, latents: Tensor, condition: Tensor, noise: Noise) -> Generated:
        codes = self.encoder(condition)
        quantized, indices = self.codebook(codes)
        return Generated(self.last(quantized).tanh(), {"codes": codes, "indices": indices})

    def forward(self, latents: Tensor, condition: Tensor | None = None) -> Tensor:
        assert condition is not None
        return self.generate(latents, condition, Noise(0)).samples


class Reconstruction(Term):
    reconstruction = True

    def generator_term(self, game: Game) -> Tensor:
        return (game.fake - game.real).abs().mean()


class RoundTrip(Term):
    def generator_term(self, game: Game) -> Tensor:
        returned, origin = game.round_trip
        return (returned - origin).abs().mean()


class Commitment(Term):
    def generator_term(self, game: Game) -> Tensor:
        generator = cast(Quantized, game.generator)
        nearest = embedding(game.aux_outputs["indices"], generator.codebook.entries).movedim(-1, 1)
        return (game.aux_outputs["codes"] - nearest).square().mean()


# ADA (Karras et al., 2020): augment as often as D's signs on reals tell that it overfits.


class Adaptive(Augment, nn.Module):
    probability: Tensor

    def __init__(self, target: float, speed: float) -> None:
        super().__init__()
        self.target, self.speed = target, speed
        self.register_buffer("probability", torch.zeros(()))

    def __call__(self, images: Tensor, noise: Noise) -> Tensor:
        chosen = noise.uniform(len(images)) < self.probability
        return torch.where(chosen.view(-1, 1, 1, 1), -images, images)

    @torch.no_grad()
    def update_state(self, discriminator: Sequence[Record], generator: Sequence[Record]) -> dict[str, Tensor]:
        sign = discriminator[0].real_judgements[0].logits.sign().mean()
        self.probability.add_(self.speed * (sign - self.target).sign()).clamp_(0, 1)
        return {"ada_probability": self.probability.clone()}


class Length(Term):
    """A lazy term with a step of its own, and a memory of what it saw: the mean length of what G makes."""

    step = "own"

    def __init__(self, weight: float, interval: int) -> None:
        super().__init__(weight, interval)

    def generator_term(self, game: Game) -> Tensor:
        return game.fake.square().flatten(1).sum(1).mean()


class Two(ImageSource):
    """Digits of scikit-learn, and beside them, unpaired, inverted ones; labels are parities."""

    def load(self, split: str, image_size: tuple[int, int], channels: int, cache_dir: Path) -> LoadedImages:
        images, labels, _ = Digits().load(split, image_size, channels, cache_dir)[:3]
        assert labels is not None
        return LoadedImages(
            images, labels % 2, ("even", "odd"), stored=images.flip(-1), others=(255 - images,)
        )


__all__ = ["AdversarialLoss", "LeastSquares"]
