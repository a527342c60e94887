"""The folder that `ganlab sample` fills: it holds the pictures of one call, and what is not ganlab's stays."""

import re
from collections.abc import Iterable
from pathlib import Path

from ganlab.drawing.pictures import HEAD_BYTES, is_own, is_sample
from ganlab.errors import ConfigurationError

_PLACE = re.compile(r"[0-9]{5,}\.png")


def check_free(paths: Iterable[Path]) -> None:
    """Refuses to overwrite pictures that ganlab has not drawn, before anything is drawn.

    Raises:
        ConfigurationError: names the first of them.
    """
    for path in paths:
        if path.exists() and not is_own(_head(path)):
            raise ConfigurationError(
                f"out={path.parent}: {path.name} there was not drawn by ganlab and would be overwritten; give another"
                " folder, or move it"
            )


def remove_earlier(folder: Path, sheets: Iterable[str]) -> None:
    """Removes the samples of an earlier call, and its sheets of these names; other files stay.

    Samples of two calls in one folder would be taken for those of one.
    """
    for path in folder.iterdir():
        is_earlier = _PLACE.fullmatch(path.name) and is_sample(_head(path))
        if is_earlier or (path.name in sheets and is_own(_head(path))):
            path.unlink()


def _head(path: Path) -> bytes:
    if not path.is_file():  # opening a pipe would wait for ever
        return b""
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)
