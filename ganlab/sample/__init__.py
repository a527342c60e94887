"""`python -m ganlab.sample run=RUN_DIR num=64 out=DIR`: draws images from a run, or from an export of one."""

import json
import sys

from ganlab.cli import run
from ganlab.cli.options import parse_options
from ganlab.errors import StorageError
from ganlab.sample.options import USAGE, SampleOptions, check


def sample(options: SampleOptions) -> None:
    """Draws images in one of the modes and writes them as pictures, a movie, or one `.npz`.

    Raises:
        ConfigurationError: for an option that cannot be used.
        DataError: if the run or its checkpoint cannot be read.
        StorageError: if `out` cannot be written.
    """
    check(options)

    from tqdm import tqdm

    from ganlab.build.run import parse_device
    from ganlab.drawing.pictures import origin
    from ganlab.sample.modes import MODES, Drawing
    from ganlab.sample.source import find_source
    from ganlab.sampling import Sampler, choose_method

    method = choose_method(options.method, vars(options))
    source = find_source(options)
    generator = source.generator.to(parse_device(options.device))

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
            discriminator = source.discriminator()
            with tqdm(total=len(sampler.latents), desc=options.method, unit="image", leave=False) as bar:
                sampler.improve(method, discriminator, lambda done, total: bar.update(done - bar.n))

    info = origin(
        **source.facts,
        seed=options.seed,
        truncation=options.truncation,
        method=json.dumps(method.description if method is not None else {"method": "plain"}),
    )
    try:
        said = MODES[options.mode](Drawing(options, source.config, make_sampler, choose, info))
    except OSError as error:
        raise StorageError(f"out={options.out}: cannot be written ({error})") from error
    print(f"{said} of g_step {source.facts['g_step']} in {options.out}")


def main() -> None:
    """Runs the command."""
    run(lambda: sample(parse_options(SampleOptions, sys.argv[1:], USAGE)))
