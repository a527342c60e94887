"""ganlab: a research framework for generative adversarial networks."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("ganlab")
except PackageNotFoundError:  # run from a source tree that is not installed
    __version__ = "0+source"
