"""What each benchmark says of itself in its results: command, commit, device, versions."""

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

LIBRARIES = ("torch", "pytorch-lightning", "torchmetrics", "hydra-core", "numpy")


def about(device_name: str | None = None) -> dict[str, str]:
    """Returns facts by name, in the order in which they are printed.

    Args:
        device_name: of what computes; default: this machine's processor.
    """
    script = Path(sys.argv[0])
    git = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return {
        "command": " ".join(["python", f"benchmarks/{script.name}", *map(_without_folder, sys.argv[1:])]),
        "commit": git.stdout.strip() or "unknown",
        "device": device_name or f"{platform.machine()}, {os.cpu_count()} cores",
        "load before": f"{os.getloadavg()[0]:.1f}",
        "python": platform.python_version(),
        **{library: _version(library) for library in LIBRARIES},
    }


def read_options(defaults: dict[str, str]) -> dict[str, str]:
    """Returns the defaults with what was typed as `key=value`; an unknown key ends the command."""
    options = defaults | dict(argument.partition("=")[::2] for argument in sys.argv[1:])
    if unknown := options.keys() - defaults.keys():
        raise SystemExit(f"no such option: {', '.join(unknown)}; options: {', '.join(defaults)}")
    return options


def _without_folder(argument: str) -> str:
    """Leaves out where a file lies on this machine."""
    key, _, value = argument.partition("=")
    return f"{key}={Path(value).name}" if Path(value).is_absolute() else argument


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "absent"
