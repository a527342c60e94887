"""ganlab: a research framework for generative adversarial networks."""

import importlib
import os
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from os import PathLike
from typing import Any

from ganlab.moved import follow_earlier_imports
from ganlab.threads import let_waiting_threads_sleep

follow_earlier_imports()
let_waiting_threads_sleep(os.environ)

try:
    __version__ = version("ganlab")
except PackageNotFoundError:  # run from a source tree that is not installed
    __version__ = "0+source"


def load(folder: str | PathLike[str], plugins: Iterable[str] = ()) -> Any:
    """Reads a generator that `ganlab export` wrote, without trusting what it reads.

        generator = ganlab.load("my-gan")
        images = generator.sample(num=16, seed=0)  # float32 (16, C, H, W) in [-1, 1]

    Args:
        folder: that `ganlab export` wrote.
        plugins: packages of one's own whose networks it may name.

    Returns:
        A `ganlab.sampling.exported.ExportedGenerator`, in eval mode on the CPU.

    Raises:
        DataError: there is no such export, or it is damaged.
        ConfigurationError: it names a class that is not trusted.
    """
    # By name, and now: `import ganlab` alone must not wait for torch.
    return importlib.import_module("ganlab.sampling.exported").load_generator(folder, plugins)
