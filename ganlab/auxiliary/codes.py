"""The mutual information between codes and images of InfoGAN."""

import math

from torch import Tensor
from torch.nn.functional import cross_entropy

from ganlab.errors import ConfigurationError
from ganlab.interfaces import Game, HasCodes, Term
from ganlab.numerics.float32 import as_float


class Codes(Term):
    """D reads from a fake image the codes that it was made of, and G makes images in which they can be read.

    The term is -weight * L_I, L_I = mean(log Q(code | G(latents))), a lower bound on the mutual information of codes
    and images less the constant H(codes). It is added to D's loss (it teaches the head Q) and to G's. Q is a product:
    for each categorical code softmax over its scores, for each continuous code a normal law around the value read, with
    variance 1. With k codes, K of them continuous: -log Q = sum of cross-entropies + sum of (code - value)^2 / 2 +
    K log(2 pi) / 2.

    Source: Chen et al., 2016, equations 5 and 6, arXiv 1606.03657; the fixed variance and both weights of 1 as the
    authors' code for MNIST. H(codes) is left out: it has no gradient.

    The generator says how codes lie among the latents (`HasCodes`); `Judgement.codes` has the same layout.

    Args:
        categorical_weight: factor of the categorical codes' part, >= 0.
        continuous_weight: factor of the continuous codes' part, >= 0.

    Raises:
        ConfigurationError: a weight is negative; or, in training, G has no codes among its latents, D reads none, or
            reads another number of them.
    """

    def __init__(self, categorical_weight: float, continuous_weight: float) -> None:
        super().__init__()
        for name, weight in (
            ("categorical_weight", categorical_weight),
            ("continuous_weight", continuous_weight),
        ):
            if weight < 0:
                raise ConfigurationError(
                    f"auxiliary=codes needs {name} >= 0, got {weight}: set auxiliary.codes.{name}"
                )
        self.categorical_weight = categorical_weight
        self.continuous_weight = continuous_weight

    def discriminator_term(self, game: Game) -> Tensor:
        return self._term(game)

    def generator_term(self, game: Game) -> Tensor:
        return self._term(game)

    def _term(self, game: Game) -> Tensor:
        generator = game.generator
        if not isinstance(generator, HasCodes):
            raise ConfigurationError(
                "auxiliary=codes needs a generator with codes among its latents (categories, num_continuous): take "
                "model=infogan, or auxiliary=none"
            )
        sizes = [*generator.categories, generator.num_continuous]
        read = game.fake_judgements[0].codes
        if read is None or read.shape[1] != sum(sizes):
            raise ConfigurationError(
                f"auxiliary=codes needs a discriminator that reads the generator's {sum(sizes)} codes, got "
                f"{0 if read is None else read.shape[1]}: take model=infogan with the same codes in both networks"
            )
        *scores, values = as_float(read).split(sizes, 1)
        assert game.latents is not None
        *one_hots, continuous = game.latents[:, -sum(sizes) :].split(sizes, 1)
        # cross_entropy takes one-hot rows as probabilities.
        categorical = sum(
            (cross_entropy(score, one_hot) for score, one_hot in zip(scores, one_hots, strict=True)),
            start=read.new_zeros((), dtype=values.dtype),
        )
        squares = 0.5 * (continuous - values).square().sum(1).mean()
        gaussian = squares + 0.5 * generator.num_continuous * math.log(2 * math.pi)
        return self.categorical_weight * categorical + self.continuous_weight * gaussian
