"""Where things lie: shipped configuration, data, caches. Free of torch, so that configuration errors come at once."""

import os
from pathlib import Path


def conf_dir() -> Path:
    """Returns the folder of the shipped configuration: inside an installed wheel, else atop the source tree."""
    package = Path(__file__).resolve().parent
    installed = package / "conf"
    return installed if installed.is_dir() else package.parent / "conf"


def data_root() -> Path:
    """Returns the folder that holds data sets: `$GANLAB_DATA`, else `~/.cache/ganlab/data`."""
    return Path(os.environ.get("GANLAB_DATA") or cache_dir() / "data").expanduser()


def cache_dir() -> Path:
    """Returns the folder of things that can be made again: `$GANLAB_CACHE`, else `~/.cache/ganlab`."""
    return Path(os.environ.get("GANLAB_CACHE") or "~/.cache/ganlab").expanduser()
