"""What a run was made with: enough to make it again, and nothing secret."""

import importlib.metadata
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ganlab import __version__
from ganlab.config.redaction import redact, redact_argument
from ganlab.files import write_atomically

MAX_PATCH_BYTES = 1 << 20
"""A larger difference is not a change to be kept with a run but a commit that was not made."""

ENVIRONMENT, CHANGES = "environment.txt", "changes.patch"

_PACKAGE = Path(__file__).parents[1]
_SOURCES = ("*.py", "*.yaml", "*.toml")
"""New files that a run may have been made from; others, such as data, are no code."""


def provenance() -> dict[str, Any]:
    """Returns fields of `run.json`: versions, git state, host and command, without secrets."""
    import pytorch_lightning
    import torch

    tree = git_tree()
    return {
        "ganlab": __version__,
        "torch": torch.__version__,
        "lightning": pytorch_lightning.__version__,
        "python": platform.python_version(),
        "git_sha": tree.sha if tree else None,
        "git_dirty": tree.dirty if tree else None,
        "host": platform.node(),
        "command": shlex.join([Path(sys.argv[0]).name, *map(redact_argument, sys.argv[1:])]),
        "arguments": _training_arguments(),
        "directory": str(Path.cwd()),
    }


def write_provenance(folder: Path) -> None:
    """Writes `environment.txt` (installed packages) and, where the git tree has changes, `changes.patch`.

    Raises:
        OSError: if the folder cannot be written.
    """
    write_atomically(folder / ENVIRONMENT, environment().encode())
    tree = git_tree()
    if tree and tree.dirty and (patch := tree.changes()):
        write_atomically(folder / CHANGES, patch)
    else:
        (folder / CHANGES).unlink(missing_ok=True)


@cache
def environment() -> str:
    """Returns interpreter, system and installed packages, in the form that `pip install -r` reads."""
    packages = {
        f"{distribution.name}=={distribution.version}" for distribution in importlib.metadata.distributions()
    }
    header = f"# Python {platform.python_version()}, {platform.platform()}"
    return "\n".join([header, *sorted(packages, key=str.lower)]) + "\n"


def packages(text: str) -> dict[str, str]:
    """Reads what `environment` returned: versions by the name of the package."""
    lines = (line.partition("==") for line in text.splitlines() if not line.startswith("#"))
    return {name.lower(): version for name, _, version in lines if version}


def describe_differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Says for each key with another value what it was and what it is; `absent` where there is none."""
    return [
        f"{key}: was {old.get(key, 'absent')}, is {new.get(key, 'absent')}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key, "absent") != new.get(key, "absent")
    ]


@dataclass(frozen=True)
class GitTree:
    """A git work tree."""

    root: Path
    sha: str
    dirty: bool
    """Whether tracked files differ from the commit, or new sources lie beside them."""

    def changes(self) -> bytes | None:
        """Returns a patch of all changes, new sources included.

        Secrets are taken out, so that a patch with some does not apply as it is. `None` if the patch is larger than
        `MAX_PATCH_BYTES`, or if files change at this very moment.
        """
        try:
            parts = [_git(self.root, "diff", "HEAD", "--no-color", "--no-ext-diff")]
            for name in _new_sources(self.root):
                parts.append(
                    _new_file(name, (self.root / name).read_bytes().decode(errors="surrogateescape"))
                )
                if sum(map(len, parts)) > MAX_PATCH_BYTES:
                    return None
        except (OSError, subprocess.SubprocessError):
            return None
        patch = str(redact("".join(parts))).encode(errors="surrogateescape")
        return patch if len(patch) <= MAX_PATCH_BYTES else None


def git_tree(folder: Path = _PACKAGE) -> GitTree | None:
    """Returns the git work tree around a folder, by default around ganlab's sources; `None` outside of git."""
    try:
        root = Path(_git(folder, "rev-parse", "--show-toplevel").strip())
        sha = _git(folder, "rev-parse", "HEAD").strip()
        changed = _git(root, "status", "--porcelain", "--untracked-files=no")
        return GitTree(root, sha, bool(changed or _new_sources(root)))
    except (OSError, subprocess.SubprocessError):
        return None


def _new_sources(root: Path) -> list[str]:
    listed = _git(root, "ls-files", "--others", "--exclude-standard", "-z", "--", *_SOURCES)
    return [name for name in listed.split("\0") if name]


def _new_file(name: str, text: str) -> str:
    """Returns the part of a patch that adds a file; asking git for each would take seconds where there are many."""
    header = f"diff --git a/{name} b/{name}\nnew file mode 100644\n"
    if not text:
        return header + "index 0000000..e69de29\n"
    lines = text.removesuffix("\n").split("\n")
    added = "".join(f"+{line}\n" for line in lines)
    ending = "" if text.endswith("\n") else "\\ No newline at end of file\n"
    return f"{header}--- /dev/null\n+++ b/{name}\n@@ -0,0 +1,{len(lines)} @@\n{added}{ending}"


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, check=True, timeout=10)
    return done.stdout.decode(errors="surrogateescape")


def _training_arguments() -> list[str] | None:
    """Returns what was typed after `ganlab train`; `None` where training was started from Python."""
    if Path(sys.argv[0]).resolve() != _PACKAGE / "train.py":
        return None
    return [redact_argument(argument) for argument in sys.argv[1:]]
