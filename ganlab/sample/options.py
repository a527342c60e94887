"""What `ganlab sample` can be told."""

from dataclasses import dataclass, field
from pathlib import Path

from omegaconf import MISSING

from ganlab.cli.latent_options import METHODS, METHODS_USAGE, LatentOptions
from ganlab.cli.options import check_run
from ganlab.errors import ConfigurationError

USAGE = f"""usage: python -m ganlab.sample run=RUN_DIR out=OUT [option=value ...]

  run=DIR            run folder that training printed, or folder that ganlab.export wrote
  out=OUT            folder for pictures; or FILE.npz (images uint8 N H W C, latents, labels); or, with
                     mode=interpolate, FILE.gif or FILE.mp4 for an endless movie and FILE.png for all its steps
  mode=grid          grid: 00000.png, ..., grid.png, interpolation.png, in place of those of an earlier call
                     interpolate: interpolation.png, a row for each of num= paths
                     classes: classes.png, a row for each class, the same num= latents in each
                     neighbours: neighbours.png, each sample beside its nearest training images
  num=N              default: 64 images; 8 paths; 8 latents for mode=classes
  seed=0             of the latents
  truncation=1.0     moves latents towards the middle of the prior; plain GANs: factor of the latents
  label=N            class to draw, for conditional generators; default: all in turn
  checkpoint=last    last, best, or a file name in checkpoints/
  generator=ema      ema (raw where the run has no average) or raw
  batch_size=64      images generated at once
  device=cpu         cpu or cuda
  plugins=[NAME]     packages of your own that the run's configuration may name

mode=interpolate:
  path=slerp         slerp (great circles), linear, or classes (from each class to the next, latents held)
  steps=N            images on a path, ends included; default: 8, in a movie 30
  fps=15             images of a movie in a second

mode=neighbours:
  k=7                training images beside each sample
  extractor=auto     whose features are compared: auto, inception, efflite0, ...

{METHODS_USAGE}"""

MODES = ("grid", "interpolate", "classes", "neighbours")
PATHS = ("slerp", "linear", "classes")
MOVIES = (".gif", ".mp4")

_BELONGS = {
    **dict.fromkeys(("path", "steps", "fps"), ("mode", "interpolate")),
    **dict.fromkeys(("k", "extractor"), ("mode", "neighbours")),
}
"""Options that mean nothing without another; those of methods are checked where methods are made."""


@dataclass
class SampleOptions(LatentOptions):
    """What can be typed; `None` takes the default that the usage names."""

    run: str = MISSING
    out: str = MISSING
    mode: str = "grid"
    num: int | None = None
    seed: int = 0
    truncation: float = 1.0
    label: int | None = None
    checkpoint: str = "last"
    generator: str = "ema"
    batch_size: int = 64
    device: str = "cpu"
    path: str | None = None
    steps: int | None = None
    fps: int | None = None
    k: int | None = None
    extractor: str | None = None
    plugins: list[str] = field(default_factory=list)


def check(options: SampleOptions) -> None:
    """Refuses options that exclude each other, before torch is imported."""
    check_run(f"run={options.run}", options.run, "checkpoint")
    for key, allowed in (
        ("mode", MODES),
        ("method", METHODS),
        ("generator", ("ema", "raw")),
        ("path", (None, *PATHS)),
    ):
        if (given := getattr(options, key)) not in allowed:
            words = [word for word in allowed if word]
            raise ConfigurationError(f"{key}={given}: choose {', '.join(words[:-1])} or {words[-1]}")
    for key, least in (("num", 1), ("batch_size", 1), ("steps", 2), ("k", 1)):
        given = getattr(options, key)
        if given is not None and given < least:
            raise ConfigurationError(f"{key}={given}: must be at least {least}")
    for key, (owner, value) in _BELONGS.items():
        if getattr(options, key) is not None and getattr(options, owner) != value:
            raise ConfigurationError(f"{key}={getattr(options, key)}: belongs to {owner}={value}")
    suffix = Path(options.out).suffix
    if suffix in MOVIES and options.mode != "interpolate":
        raise ConfigurationError(f"out={options.out}: a movie belongs to mode=interpolate; give a folder")
    if suffix == ".npz" and options.mode == "neighbours":
        raise ConfigurationError(f"out={options.out}: mode=neighbours draws a picture; give a folder")
    if options.fps is not None and suffix not in MOVIES:
        raise ConfigurationError(f"fps={options.fps}: belongs to a movie: out=FILE.gif or out=FILE.mp4")
    by_class = next((f"{k}=classes" for k in ("mode", "path") if getattr(options, k) == "classes"), None)
    if by_class and options.label is not None:
        raise ConfigurationError(f"label={options.label}: {by_class} draws all classes")
    if by_class and options.method != "plain":
        raise ConfigurationError(
            f"method={options.method}: {by_class} shows the same latents in each class; take method=plain"
        )
