"""Says with numbers when a run looks unwell: collapse, a discriminator that wins, scores that fall."""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from tqdm import tqdm

from ganlab.callbacks.recorder import Recorder
from ganlab.config.schema import Config
from ganlab.errors import DivergedError
from ganlab.metrics.directions import cost
from ganlab.modalities.images import to_float
from ganlab.runs.folder import RunFolder
from ganlab.sampling import Sampler
from ganlab.tracking.tracker import Tracker
from ganlab.training.generative import GenerativeModule

MAX_SAMPLES = 64
"""Fixed samples that are compared; their 2,016 pairs give the mean distance to about 1 %."""

DISTANCE_FALL = 0.3
"""Share of the largest distance between samples so far. Over 10 seeds of `ring2d` and of `digits` it never fell below
0.70; one mode of `ring2d` alone has 0.04. One class of `digits` alone has 0.5 to 0.8: that is left to scores."""

DISTANCE_FLOOR = 0.01
"""Share of the distance between real images; over the same seeds it was 0.08 or more from the first look on, and a
constant has 0."""

SCORE_GROWTH = 2.0
"""A score of which lower is better at this many times its best: of a Fréchet distance far more than sampling noise at
1,000 images (a few per cent). Where both intervals are known (KID near 0 is all noise), they must not meet either."""

SCORE_FALL = 0.5
"""A score of which higher is better below this share of its best."""

WON_LOSS, WON_MARGIN = 0.01, 0.5
"""D's loss at which it is all but always right (a logistic loss of 0.01 is a probability of 0.995), while D(real) is
above D(fake) by the margin. A Wasserstein loss is itself minus the margin, so that it never meets both."""

LINES, EVALUATIONS = 20, 2
"""How often in a row a condition has to hold: over so many lines of `metrics.jsonl`, each of a single batch and noisy,
or so many looks at fixed latents, which are not."""


class Watchdog(pl.Callback):
    """Compares what training and evaluation compute anyway with the best so far, and reports falls.

    A line goes to the terminal and to `warnings.jsonl` once a fall, `{"g_step", "kind", "message", "values"}`;
    trackers get `health/<kind>`, 1 while the condition holds and 0 otherwise. Training is not disturbed: a copy of the
    generator is sampled, nothing is drawn from the global generator, and no value is fetched from the device but those
    that `Recorder` has fetched and the samples' mean distance. What was seen before a resumption is forgotten, but for
    scores.

    Args:
        run: gets `warnings.jsonl`; scores are read from its `results.jsonl`.
        tracker: gets the scalars.
        recorder: has D's latest loss and logits.
        reals: real images, the scale of distances.
        config: of the run: `watchdog.action` (`stop` ends the run as diverged, exit status 4), cadences, and seed
            and number of the sample grids' fixed latents.
    """

    def __init__(
        self,
        run: RunFolder,
        tracker: Tracker,
        recorder: Recorder,
        reals: Tensor,
        config: Config,
    ) -> None:
        self._run, self._tracker, self._recorder = run, tracker, recorder
        self._real_distance = mean_distance(to_float(reals[:MAX_SAMPLES]))
        self._action = config["watchdog"]["action"]
        self._seed = config["seed"]
        self._num = min(config["samples"]["num"], MAX_SAMPLES)
        self._log_every = config["log"]["every_g_steps"]
        self._evaluate_every = config["evaluate"]["every_g_steps"] if config["metrics"] else None
        cadences = (config["samples"]["every_g_steps"], self._evaluate_every)
        self._look_every = [every for every in cadences if every is not None]
        self._best_distance = 0.0
        self._streaks: Counter[str] = Counter()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Looks at what this iteration has brought.

        Raises:
            DivergedError: if something has fallen and `action` is `stop`.
        """
        assert isinstance(pl_module, GenerativeModule)
        g_step = pl_module.counters.g_step
        lines = g_step % self._log_every == 0
        looks = any(g_step % every == 0 for every in self._look_every)
        if not (lines or looks):
            return
        fall = None
        if trainer.is_global_zero:
            falls = [
                *(self._watch_lines(g_step) if lines else []),
                *(self._watch_samples(pl_module) if looks else []),
                *(self._watch_scores(g_step) if looks else []),
            ]
            fall = falls[0] if falls else None
        if self._action == "stop":
            self._stop_together(trainer, pl_module, fall)

    def _watch_lines(self, g_step: int) -> list[str]:
        """Looks at D's loss and mean logits."""
        loss, real, fake = (
            self._recorder.latest.get(f"train/{name}", float("nan"))
            for name in ("d_loss", "d_real", "d_fake")
        )
        values = {"d_loss": loss, "d_real": real, "d_fake": fake}
        numbers = f"D's loss {loss:.3g}, mean D(real) {real:.3g}, mean D(fake) {fake:.3g}"
        return [
            *self._observe(
                g_step, "discriminator_wins", abs(loss) <= WON_LOSS and real - fake >= WON_MARGIN, LINES,
                f"{numbers}, for {LINES} log lines: D tells reals from fakes almost without fault", values,
            ),
            *self._observe(
                g_step, "discriminator_inverted", real < 0 < fake, LINES,
                f"{numbers}, for {LINES} log lines: D takes reals for fakes and fakes for reals", values,
            ),
        ]  # fmt: skip

    def _watch_samples(self, module: GenerativeModule) -> list[str]:
        """Looks at how much the fixed samples differ among themselves."""
        sampler = Sampler(
            module.sampling_generator,
            "samples",
            self._seed,
            self._num,
            conditions=module.requests("samples", self._seed),
        )
        distance = mean_distance(sampler(0, self._num))
        self._best_distance = max(self._best_distance, distance)
        limit = max(DISTANCE_FALL * self._best_distance, DISTANCE_FLOOR * self._real_distance)
        values = {"distance": distance, "best": self._best_distance, "reals": self._real_distance}
        message = (
            f"{self._num} fixed samples differ by {distance:.3g} on average (root mean square over pixels), at best by"
            f" {self._best_distance:.3g}, real images by {self._real_distance:.3g}"
        )
        return self._observe(
            module.counters.g_step, "sample_distance", distance < limit, EVALUATIONS, message, values
        )

    def _watch_scores(self, g_step: int) -> list[str]:
        """Looks at the scores of this iteration, against the best by the same protocol."""
        if self._evaluate_every is None or g_step % self._evaluate_every:
            return []
        results = self._run.results()
        falls = []
        for latest in {result["metric"]: result for result in results if result["g_step"] == g_step}.values():
            metric, value = latest["metric"], latest["value"]
            history = [
                result
                for result in results
                if (result["metric"], result["protocol"]) == (metric, latest["protocol"])
                and result["value"] is not None
            ]
            if value is None or (judged := judge(latest, history)) is None:
                continue
            best, fallen = judged
            falls += self._observe(
                g_step, metric, fallen, EVALUATIONS, f"{metric} is {value:.4g}, at best it was {best:.4g}",
                {"value": value, "best": best},
            )  # fmt: skip
        return falls

    def _observe(
        self, g_step: int, kind: str, holds: bool, patience: int, message: str, values: Mapping[str, float]
    ) -> list[str]:
        """Counts how often in a row a condition held; reports it when that has become `patience`."""
        self._streaks[kind] = self._streaks[kind] + 1 if holds else 0
        self._tracker.log_scalars(g_step, {f"health/{kind}": float(self._streaks[kind] >= patience)})
        if self._streaks[kind] != patience:
            return []
        self._run.append_warning({"g_step": g_step, "kind": kind, "message": message, "values": dict(values)})
        tqdm.write(f"watchdog at g_step {g_step}: {message}", file=sys.stderr)
        return [message]

    def _stop_together(self, trainer: pl.Trainer, module: GenerativeModule, fall: str | None) -> None:
        """Ends the run on all ranks, if rank 0 has seen a fall."""
        stops = fall is not None
        if trainer.world_size > 1:
            decision = torch.tensor(int(stops), device=module.device)
            torch.distributed.broadcast(decision, src=0)
            stops = bool(decision.item())
        if stops:
            raise DivergedError(
                f"watchdog.action=stop at g_step {module.counters.g_step}: {fall or 'see the message of rank 0'}; "
                f"checkpoints are kept in {self._run.checkpoints}; watchdog.action=warn trains on"
            )


def mean_distance(images: Tensor) -> float:
    """Returns the mean over all pairs of the root mean square difference of pixels.

    Args:
        images: float `(N, C, H, W)`, N >= 1; one image alone gives 0.
    """
    flat = images.float().flatten(1)
    if len(flat) < 2:
        return 0.0
    return float(torch.nn.functional.pdist(flat).mean()) / flat.shape[1] ** 0.5


def judge(latest: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> tuple[float, bool] | None:
    """Returns the best score so far and whether the latest is a fall from it.

    Args:
        latest: result with a finite value.
        history: all such results by the same protocol, the latest among them.

    Returns:
        `None` where neither way is better.
    """
    way = latest["better"]
    if way is None:
        return None
    best = min(history, key=lambda result: cost(result["value"], way))
    value, limit = latest["value"], best["value"]
    fallen = value > SCORE_GROWTH * limit if way == "lower" else value < SCORE_FALL * limit
    # A multiple of what is not positive (KID, extrapolated distances) says nothing.
    return limit, limit > 0 and fallen and not _overlap(latest.get("ci95"), best.get("ci95"))


def _overlap(one: Sequence[float] | None, other: Sequence[float] | None) -> bool:
    """Whether two intervals meet, where both are known."""
    return one is not None and other is not None and one[0] <= other[1] and other[0] <= one[1]
