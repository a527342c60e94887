"""Discriminator rejection sampling (Azadi et al., 2019, arXiv 1810.06758)."""

from typing import Any

import torch
from torch import Tensor

from ganlab.errors import ConfigurationError
from ganlab.noise import Noise, mix
from ganlab.sampling.method import BLOCK, LatentMethod, Logits, Progress, Propose, judge


def log_odds(logits: Tensor, max_logit: float, epsilon: float) -> Tensor:
    """Returns the log odds of acceptance before gamma is taken off, float64.

    F(x) = d(x) - M - log(1 - exp(d(x) - M - epsilon)); with epsilon = 0, sigmoid(F) = exp(d - M).

    Source: Azadi et al., 2019, equation 8, arXiv 1810.06758.

    Args:
        logits: d, of any shape.
        max_logit: M, not below `logits`.
        epsilon: > 0 keeps the largest logit's odds finite.
    """
    below = logits.double() - max_logit
    return below - torch.log(-torch.expm1(below - epsilon))


class RejectionSampling(LatentMethod):
    """Accepts each of G's images with a probability that grows with D's logit.

    p(x) = sigmoid(F(x) - gamma), F as in `log_odds`, M the largest logit seen so far. If D is optimal, its logit is
    log p_data(x) / p_G(x), and with gamma = 0 what is accepted follows the data. A larger gamma accepts less.

    Source: Azadi et al., 2019, equation 8 and algorithm 1, arXiv 1810.06758. The same formula holds for each class
    of a conditional D; every label asked for is drawn until it has its number of images.
    Deviation: the paper takes gamma anew from each batch, so that acceptance depends on the batch's company; we take
    it once, from the images of the burn-in, and the batch size does not matter. The defaults of the options are ours,
    and D's logits are taken as they are: nothing calibrates them.

    Args:
        percentile: of F over the burn-in that gamma is set to, in [0, 100]; images at it are accepted half the time.
        gamma: takes the place of `percentile`; 0 is plain rejection sampling.
        burn_in: images that M and gamma are estimated from, >= 2.
        epsilon: of `log_odds`, > 0.
        max_proposals: images tried for one accepted, on average, before it gives up, >= 1.

    Raises:
        ConfigurationError: an argument outside its range.
    """

    def __init__(
        self,
        *,
        percentile: float = 80.0,
        gamma: float | None = None,
        burn_in: int = 10_000,
        epsilon: float = 1e-14,
        max_proposals: int = 1000,
    ) -> None:
        if not 0 <= percentile <= 100:
            raise ConfigurationError(f"drs_percentile={percentile}: must be between 0 and 100")
        if burn_in < 2:
            raise ConfigurationError(f"drs_burn_in={burn_in}: must be at least 2 images")
        if not epsilon > 0 or max_proposals < 1:
            raise ConfigurationError(
                "rejection sampling needs epsilon > 0 and max_proposals >= 1, "
                f"got epsilon={epsilon}, max_proposals={max_proposals}"
            )
        self.percentile = percentile
        self.gamma = gamma
        self.burn_in = burn_in
        self.epsilon = epsilon
        self.max_proposals = max_proposals

    @property
    def description(self) -> dict[str, Any]:
        threshold = {"percentile": self.percentile} if self.gamma is None else {"gamma": self.gamma}
        return {"method": "drs", **threshold, "burn_in": self.burn_in}

    def __call__(
        self,
        latents: Tensor,
        labels: Tensor | None,
        propose: Propose,
        logits: Logits,
        *,
        seed: int,
        batch_size: int,
        progress: Progress,
    ) -> Tensor:
        bound, gamma = self._estimate(labels, propose, logits, seed, batch_size)
        proposals, uniforms = Noise(mix(seed, "proposals")), Noise(mix(seed, "uniforms"))
        chosen = torch.empty_like(latents)
        is_open = torch.ones(len(latents), dtype=torch.bool)
        num_proposed = 0
        while is_open.any():
            if num_proposed >= max(self.max_proposals * len(latents), BLOCK):
                raise ConfigurationError(
                    f"method=drs accepted {int((~is_open).sum())} of {num_proposed} images: "
                    "accept more by a smaller drs_percentile or drs_gamma"
                )
            slots = is_open.nonzero()[:, 0]
            wanted = slots[torch.arange(BLOCK) % len(slots)]
            asked = None if labels is None else labels[wanted]
            candidates = propose(BLOCK, proposals)
            scores = judge(logits, candidates, asked, batch_size)
            bound = max(bound, float(scores.max()))
            odds = log_odds(scores, bound, self.epsilon) - gamma
            accepted = uniforms.uniform(BLOCK) < odds.sigmoid()
            num_proposed += BLOCK
            _fill(chosen, is_open, labels, candidates[accepted], None if asked is None else asked[accepted])
            progress(len(latents) - int(is_open.sum()), len(latents))
        return chosen

    def _estimate(
        self, labels: Tensor | None, propose: Propose, logits: Logits, seed: int, batch_size: int
    ) -> tuple[float, float]:
        """Returns the largest logit of the burn-in, and gamma."""
        candidates = propose(self.burn_in, Noise(mix(seed, "burn-in")))
        asked = None if labels is None else labels[torch.arange(self.burn_in) % len(labels)]
        scores = judge(logits, candidates, asked, batch_size)
        if self.gamma is not None:
            return float(scores.max()), self.gamma
        bound = float(scores.max())
        odds = log_odds(scores, bound, self.epsilon)
        return bound, float(odds.quantile(self.percentile / 100))


def _fill(
    chosen: Tensor,
    is_open: Tensor,
    labels: Tensor | None,
    accepted: Tensor,
    asked: Tensor | None,
) -> None:
    """Puts accepted latents into the first open places of their labels, in place; those left over are dropped."""
    if labels is None or asked is None:
        labels = torch.zeros(len(chosen), dtype=torch.long)
        asked = torch.zeros(len(accepted), dtype=torch.long)
    for label in asked.unique():
        slots = (is_open & (labels == label)).nonzero()[:, 0]
        found = accepted[asked == label][: len(slots)]
        chosen[slots[: len(found)]] = found
        is_open[slots[: len(found)]] = False
