"""Run folders that were never trained: for the tests, screenshots and benchmark of the dashboard.

    python benchmarks/synthetic_runs.py out=/tmp/runs num=24 lines=400 grids=9

They have real configurations, made-up curves and scores that depend on them, and grids of scikit-learn's digits that
come out of noise. Every score says `synthetic` in its protocol.
"""

import functools
import itertools
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ganlab.cli import compose_config
from ganlab.config.identity import default_run_name

MODELS, LOSSES, RATES = ("dcgan", "sngan"), ("hinge", "nonsaturating", "wasserstein"), (1e-4, 2e-4, 4e-4)
PENALTIES = {"hinge": "none", "nonsaturating": "r1", "wasserstein": "wgan_gp"}
SEEDS = 3
EVERY = 50
"""Generator steps between lines."""
METRICS = ("fd_efflite0_1k_train", "recall1k_train")
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def write_runs(
    out: Path, num: int, lines: int = 200, grids: int = 0, images: np.ndarray | None = None
) -> list[Path]:
    """Writes run folders.

    Args:
        out: gets one folder a run.
        num: of runs; those that differ only in the seed come first.
        lines: of each `metrics.jsonl`.
        grids: sample grids of each run.
        images: float `(64, 32, 32)` in [0, 1], what the grids show in the end; noise without them.

    Returns:
        The folders, in the order in which they were made.
    """
    rng = np.random.default_rng(0)
    inner = list(itertools.product(MODELS, RATES, LOSSES, range(SEEDS)))
    choices = ((n_critic, *rest) for n_critic in itertools.count(1) for rest in inner)
    folders = []
    for (n_critic, model, rate, loss, seed), _ in zip(choices, range(num), strict=False):
        config = json.loads(_base(model, loss))
        for where in (
            config["optimizer"],
            *(config["optimizer"][network] for network in ("generator", "discriminator")),
        ):
            where["lr"] = rate
        config |= {"seed": seed, "n_critic": n_critic}
        config["run_name"] = default_run_name(config)
        quality = 1.0 + LOSSES.index(loss) * 0.35 + abs(np.log2(rate / 2e-4)) * 0.4 - (model == "sngan") * 0.2
        folders.append(
            _write_run(out / config["run_name"], config, quality + rng.normal(0, 0.06), lines, rng)
        )
        _write_grids(folders[-1], grids, lines, quality, images, seed)
    return folders


@functools.cache
def _base(model: str, loss: str) -> str:
    config = compose_config(
        f"model={model}", "data=digits", f"loss={loss}", f"penalty={PENALTIES[loss]}", "budget.g_steps=20000",
        "samples.num=64", "data.image_size=32", "model.generator.channels=32",
    )  # fmt: skip
    return json.dumps(config)


def _write_run(
    path: Path, config: dict[str, Any], quality: float, lines: int, rng: np.random.Generator
) -> Path:
    path.mkdir(parents=True)
    (path / "config.yaml").write_text(yaml.dump(config, Dumper=_DUMPER, sort_keys=False))
    steps = np.arange(1, lines + 1) * EVERY
    share = steps / steps[-1]
    d_loss = (
        0.7
        + 0.5 * np.exp(-6 * share) * quality
        + rng.normal(0, 0.05, lines)
        + 0.15 * (quality - 1) * np.sin(share * 30)
    )
    g_loss = 1.2 + 0.8 * quality * share + rng.normal(0, 0.12, lines)
    real, fake = 1.5 - 0.6 * share + rng.normal(0, 0.1, lines), -1.4 + 0.5 * share + rng.normal(0, 0.1, lines)
    speed = 700 * rng.uniform(0.8, 1.2)
    memory = 1.9 + 0.2 * rng.random()
    with (path / "metrics.jsonl").open("w") as file:
        for step, d, g, r, f in zip(
            steps.tolist(), d_loss.tolist(), g_loss.tolist(), real.tolist(), fake.tolist(), strict=True
        ):
            seconds = round(step * 64 / speed * (1 + 0.02 * np.sin(step / 900)), 3)
            line = {
                "g_step": step,
                "d_step": step,
                "images": step * 64,
                "seconds": seconds,
                "train/d_loss": d,
            }
            line |= {
                "train/g_loss": g,
                "train/d_real": r,
                "train/d_fake": f,
                "train/lr": config["optimizer"]["lr"],
            }
            file.write(json.dumps(line | {"system/gpu_memory_gib": memory}) + "\n")
    protocol = {
        "synthetic": True,
        "extractor": "efflite0",
        "generator": "ema",
        "num_samples": 1000,
        "seed": config["seed"],
    }
    with (path / "results.jsonl").open("w") as file:
        for step in np.linspace(0, steps[-1], 9).astype(int).tolist():
            done = 1 - np.exp(-4 * step / steps[-1])
            distance = 470 - done * 370 / quality + rng.normal(0, 3)
            values = (distance, max(0.0, done * 0.7 / quality + rng.normal(0, 0.01)))
            for metric, value in zip(METRICS, values, strict=True):
                ci95 = [value * 0.99, value * 1.01]
                result = {
                    "g_step": step,
                    "metric": metric,
                    "value": value,
                    "protocol": protocol,
                    "ci95": ci95,
                }
                file.write(json.dumps(result) + "\n")
    status = {
        "started": "2026-01-01T00:00:00+00:00", "ended": "2026-01-01T01:00:00+00:00", "error": None,
        "status": "finished",
        "ganlab": "0.1.0", "torch": "2.15.0", "lightning": "2.6.6", "python": "3.12.1", "git_sha": "0" * 40,
        "git_dirty": False, "host": "nowhere", "device": "none (synthetic)", "devices": 1, "seed": config["seed"],
        "command": "synthetic_runs.py", "g_steps": int(steps[-1]), "d_steps": int(steps[-1]),
        "images_seen": int(steps[-1]) * 64, "parameters": {"generator": 1_100_000, "discriminator": 660_000},
    }  # fmt: skip
    (path / "run.json").write_text(json.dumps(status))
    return path


def _write_grids(
    path: Path, grids: int, lines: int, quality: float, images: np.ndarray | None, seed: int
) -> None:
    """Draws 64 images out of noise in one grid a moment; where quality is poor (large), more of the noise is left."""
    from PIL import Image

    (path / "samples").mkdir()
    rng = np.random.default_rng(seed)
    noise = rng.random((64, 32, 32))
    target = noise if images is None else images[rng.permutation(64)]
    for step in np.linspace(0, lines * EVERY, grids).astype(int) if grids else []:
        share = min(1.0, (1 - np.exp(-4 * step / (lines * EVERY))) / quality**0.5)
        mixed = (share * target + (1 - share) * noise) * 255
        grid = np.full((8 * 34 - 2, 8 * 34 - 2), 128, dtype=np.uint8)
        for place, image in enumerate(mixed):
            top, left = place // 8 * 34, place % 8 * 34
            grid[top : top + 32, left : left + 32] = image
        Image.fromarray(grid).save(path / "samples" / f"{step:08d}.png")


def digits() -> np.ndarray:
    """Returns 64 of scikit-learn's digits as `(64, 32, 32)` in [0, 1]."""
    from PIL import Image
    from sklearn.datasets import load_digits

    small = (load_digits().images[:64] / 16 * 255).astype(np.uint8)
    large = [Image.fromarray(each).resize((32, 32), Image.Resampling.BICUBIC) for each in small]
    return np.stack([np.asarray(each) for each in large]) / 255.0


def main() -> None:
    """Runs the command."""
    given = dict(argument.split("=", 1) for argument in sys.argv[1:])
    out, numbers = Path(given.pop("out")), {key: int(value) for key, value in given.items()}
    print(len(write_runs(out, **numbers, images=digits() if numbers.get("grids") else None)), "runs in", out)


if __name__ == "__main__":
    main()
