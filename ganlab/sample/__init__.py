"""`python -m ganlab.sample run=RUN_DIR num=64 out=DIR`: draws images from a run."""

import json
import sys

from ganlab import __version__
from ganlab.cli import parse_options, run
from ganlab.errors import StorageError
from ganlab.sample.options import USAGE, SampleOptions, check

NOTICE = "Synthetic image: drawn by a generative adversarial network, not a photograph."


def sample(options: SampleOptions) -> None:
    """Draws images in one of the modes and writes them as pictures, a movie, or one `.npz`.

    Raises:
        ConfigurationError: for an option that cannot be used.
        DataError: if the run or its checkpoint cannot be read.
        StorageError: if `out` cannot be written.
    """
    check(options)

    from tqdm import tqdm

    from ganlab.build import discriminator_from_run, from_run, parse_device
    from ganlab.sample.modes import MODES, Drawing
    from ganlab.sampling import Sampler, choose_method
    from ganlab.tracking.run_folder import RunFolder

    method = choose_method(options.method, vars(options))
    folder = RunFolder(options.run)
    config, generator, counters = from_run(folder, options.checkpoint, options.generator, options.plugins)
    generator.to(parse_device(options.device))

    def make_sampler(num: int) -> Sampler:
        return Sampler(
            generator,
            "sample",
            options.seed,
            num,
            batch_size=options.batch_size,
            truncation=options.truncation,
            label=options.label,
        )

    def choose(sampler: Sampler) -> None:
        if method is not None:
            discriminator = discriminator_from_run(folder, options.checkpoint, options.plugins)
            with tqdm(total=len(sampler.latents), desc=options.method, unit="image", leave=False) as bar:
                sampler.improve(method, discriminator, lambda done, total: bar.update(done - bar.n))

    info = {
        "Disclaimer": NOTICE,
        "Software": f"ganlab {__version__}",
        "ganlab:run": folder.path.resolve().name,
        "ganlab:checkpoint": options.checkpoint,
        "ganlab:generator": options.generator if config["ema"] else "raw",
        "ganlab:g_step": str(counters["g_step"]),
        "ganlab:seed": str(options.seed),
        "ganlab:truncation": str(options.truncation),
        "ganlab:method": json.dumps(method.description if method is not None else {"method": "plain"}),
    }
    try:
        said = MODES[options.mode](Drawing(options, config, make_sampler, choose, info))
    except OSError as error:
        raise StorageError(f"out={options.out}: cannot be written ({error})") from error
    print(f"{said} of g_step {counters['g_step']} in {options.out}")


def main() -> None:
    """Runs the command."""
    run(lambda: sample(parse_options(SampleOptions, sys.argv[1:], USAGE)))
