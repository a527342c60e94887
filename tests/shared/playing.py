"""Games and modules of few words, for tests of their terms."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ganlab.interfaces import AdversarialLoss, Discriminator, Game, Generator, Judgement, Penalty, Shown, Term
from ganlab.noise import Noise
from ganlab.tasks.generation import Generation
from ganlab.training.adversarial import GANModule
from ganlab.training.batches import BatchMaker
from ganlab.training.execution import Execution, Eyes
from ganlab.training.generative import Optimization


def played(
    generator: Generator,
    discriminator: Discriminator,
    latents: Tensor,
    real: Tensor,
    fake: Tensor,
    condition: Any = None,
    real_judgement: Judgement | None = None,
    fake_judgement: Judgement | None = None,
) -> Game:
    """A game of samples as D sees them, and of what it has said of them where that is given."""
    game = Game(
        *("main", generator, discriminator, real, fake, condition, Noise(0)),
        *(condition, condition),
        latents=latents,
        view=Eyes(Execution()),
    )
    said = {"real_judgements": real_judgement, "fake_judgements": fake_judgement}
    vars(game).update({name: (judgement,) for name, judgement in said.items() if judgement is not None})
    vars(game).update({"seen_real": Shown(real, condition), "seen_fake": Shown(fake, condition)})
    return game


def weighted(term: Term, game: Game, player: str) -> Tensor:
    """What a term adds to the loss of a player."""
    value = term.generator_term(game) if player == "generator" else term.discriminator_term(game)
    assert value is not None
    return term.weight * value


def gan(
    generator: Generator,
    discriminator: Discriminator,
    loss: AdversarialLoss,
    optimization: Optimization,
    *,
    penalty: Penalty | None = None,
    auxiliary: Mapping[str, Term] | None = None,
    micro_batches: int = 1,
    joint_pass: bool = False,
    normalize_once: bool = False,
    top_k: float = 1.0,
    flip_real: bool = False,
    channels_last: bool = False,
    **options: Any,
) -> GANModule:
    """The module of a GAN of two networks."""
    loss.top_k = top_k
    terms = {**(auxiliary or {}), **({"penalty": penalty} if penalty is not None else {})}
    return GANModule(
        Generation({"main": generator}, {"main": discriminator}),
        loss,
        optimization,
        terms=terms,
        execution=Execution(micro_batches, joint_pass, normalize_once),
        batches=BatchMaker(flip_real, channels_last),
        **options,
    )
