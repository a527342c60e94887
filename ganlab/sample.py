"""`python -m ganlab.sample run=RUN_DIR num=64 out=DIR`: draws images from a run."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import MISSING

from ganlab.cli import parse_options, run
from ganlab.config import Config
from ganlab.errors import ConfigurationError

if TYPE_CHECKING:
    import torch

    from ganlab.sampling import Sampler

USAGE = """usage: python -m ganlab.sample run=RUN_DIR out=DIR [option=value ...]

  run=DIR            run folder that training printed
  out=DIR            folder for 00000.png, ..., grid.png, interpolation.png; or a file FILE.npz (uint8, N H W C)
  mode=grid          grid, or neighbours: neighbours.png in out=, each sample beside its nearest training images
  num=64             number of images
  seed=0             of the latents
  truncation=1.0     factor of the latents
  label=N            class to draw, for conditional generators; default: all in turn
  checkpoint=last    last, best, or a file name in checkpoints/
  generator=ema      ema (raw where the run has no average) or raw
  batch_size=64      images generated at once
  device=cpu         cpu or cuda
  k=7                mode=neighbours: training images beside each sample
  extractor=auto     mode=neighbours: whose features are compared: auto, inception, efflite0, ...
  plugins=[NAME]     packages of your own that the run's configuration may name"""


@dataclass
class SampleOptions:
    """What can be typed."""

    run: str = MISSING
    out: str = MISSING
    mode: str = "grid"
    num: int = 64
    seed: int = 0
    truncation: float = 1.0
    label: int | None = None
    checkpoint: str = "last"
    generator: str = "ema"
    batch_size: int = 64
    device: str = "cpu"
    k: int = 7
    extractor: str = "auto"
    plugins: list[str] = field(default_factory=list)


def sample(options: SampleOptions) -> None:
    """Writes images, a grid of the first 64 and a latent interpolation, or one `.npz`; or nearest training images.

    Raises:
        ConfigurationError: for an option that cannot be used.
        DataError: if the run or its checkpoint cannot be read.
    """
    if options.num < 1 or options.batch_size < 1:
        raise ConfigurationError(
            f"num={options.num} batch_size={options.batch_size}: both must be at least 1"
        )
    if options.generator not in ("ema", "raw"):
        raise ConfigurationError(f"generator={options.generator}: choose ema or raw")
    if options.mode not in ("grid", "neighbours"):
        raise ConfigurationError(f"mode={options.mode}: choose grid or neighbours")

    import torch
    from tqdm import trange

    from ganlab.build import from_run, parse_device
    from ganlab.images import to_uint8
    from ganlab.sampling import Sampler
    from ganlab.tracking.run_folder import RunFolder

    config, generator, counters = from_run(
        RunFolder(options.run), options.checkpoint, options.generator, options.plugins
    )
    generator.to(parse_device(options.device))
    sampler = Sampler(
        generator, "sample", options.seed, options.num, truncation=options.truncation, label=options.label
    )
    starts = trange(0, options.num, options.batch_size, desc="sampling", unit="batch", leave=False)
    images = torch.cat(
        [sampler(first, min(first + options.batch_size, options.num)).cpu() for first in starts]
    )
    out = Path(options.out)
    if options.mode == "neighbours":
        _write_neighbours(out, images, config, options)
    elif out.suffix == ".npz":
        import numpy as np

        out.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(out, images=to_uint8(images).permute(0, 2, 3, 1).numpy())
    else:
        _write_pictures(out, images, sampler)
    print(f"{options.num} images of g_step {counters['g_step']} in {out}")


def _write_neighbours(out: Path, images: "torch.Tensor", config: Config, options: SampleOptions) -> None:
    """Writes each sample beside its nearest training images, by the extractor's features."""
    import torch
    from tqdm import trange

    from ganlab.build import build_data, build_extractor, parse_device
    from ganlab.drawing import save_picture, to_picture
    from ganlab.images import to_uint8
    from ganlab.metrics.extraction import extract
    from ganlab.metrics.neighbours import nearest_neighbours, neighbours_grid

    if images.shape[1] not in (1, 3):
        raise ConfigurationError(
            "mode=neighbours compares pictures of 1 or 3 channels, and this run has none"
        )
    reals = build_data(config).data("train").images
    if not 1 <= options.k <= len(reals):
        raise ConfigurationError(f"k={options.k}: must be between 1 and the {len(reals)} training images")
    device = parse_device(options.device)
    extractor = build_extractor(options.extractor).to(device)

    def features(pictures: torch.Tensor, title: str) -> torch.Tensor:
        starts = trange(0, len(pictures), options.batch_size, desc=title, unit="batch", leave=False)
        parts = (pictures[first : first + options.batch_size] for first in starts)
        return torch.cat([extract(extractor, part, device).features.cpu() for part in parts])

    indices, _ = nearest_neighbours(
        features(images, "features of samples"), features(reals, "features of training images"), options.k
    )
    out.mkdir(parents=True, exist_ok=True)
    save_picture(to_picture(neighbours_grid(to_uint8(images), reals, indices)), out / "neighbours.png")


def _write_pictures(out: Path, images: "torch.Tensor", sampler: "Sampler") -> None:
    """Writes each image, the grid, and paths between pairs of latents."""
    from ganlab.drawing import draw, save_picture
    from ganlab.sampling import interpolate

    out.mkdir(parents=True, exist_ok=True)
    if tuple(images.shape[1:]) != (2, 1, 1):  # single points of the plane are no pictures
        for place in range(len(images)):
            save_picture(draw(images[place : place + 1]), out / f"{place:05d}.png")
    save_picture(draw(images[:64]), out / "grid.png")
    num_rows, num_steps = min(8, len(images) // 2), 8
    if num_rows:
        paths = interpolate(sampler.latents[: 2 * num_rows], num_steps)
        labels = (
            sampler.labels[0 : 2 * num_rows : 2].repeat_interleave(num_steps)
            if sampler.labels is not None
            else None
        )
        save_picture(
            draw(sampler.generate(paths, labels).cpu(), num_columns=num_steps), out / "interpolation.png"
        )


def main() -> None:
    """Runs the command."""
    run(lambda: sample(parse_options(SampleOptions, sys.argv[1:], USAGE)))


if __name__ == "__main__":
    main()
