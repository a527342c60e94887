"""Text, set in lines."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ganlab.drawing.contract import Drawing, Recording, Shown
from ganlab.drawing.lettering import HEIGHT, WIDTH, font, printable
from ganlab.files import write_atomically

if TYPE_CHECKING:
    from PIL.Image import Image

_MAX_LETTERS, _SCALE, _LEADING, _MARGIN = 72, 2, 4, 6
_ASKED, _MADE, _TARGET = 120, 0, 90


class Text(Drawing):
    """Sets decoded samples in lines, cut where they are too long, and writes them whole to a text file.

    A line that was asked stands above what was made and has `?` before it; what was wanted stands below, after `=`.

    Args:
        decode: turns samples, such as rows of probabilities `(N, T, V)`, into a text each.
    """

    def __init__(self, decode: Callable[[Tensor], Sequence[str]]) -> None:
        self._decode = decode

    def still(self, shown: Shown) -> "Image":
        """Sets all samples, one below the other."""
        columns = [("?", _ASKED, part.lines(asked)) for part, asked in shown.asked if isinstance(part, Text)]
        columns.append((" ", _MADE, self.lines(shown.made)))
        if shown.target is not None:
            columns.append(("=", _TARGET, self.lines(shown.target)))
        letters = len(str(len(shown.made) - 1))
        lines = []
        for place in range(len(shown.made)):
            for row, (sign, grey, texts) in enumerate(columns):
                number = str(place) if row == 0 else ""
                lines.append((f"{number:>{letters}} {sign} {texts[place]}", grey))
        return _set(lines)

    def tiles(self, samples: Tensor) -> Tensor:
        """Sets each sample alone."""
        pictures = [np.asarray(_set([(line, _MADE)])) for line in self.lines(samples)]
        return torch.from_numpy(np.stack(pictures)).unsqueeze(1)

    def lines(self, samples: Tensor) -> list[str]:
        """Returns a text for each sample, on one line."""
        return [text.replace("\\", "\\\\").replace("\n", "\\n") for text in self._decode(samples)]

    def recordings(self, shown: Shown) -> list[Recording]:
        """Returns the texts as files of lines, one for what was asked, what was made, and what was wanted."""
        asked = [part.lines(samples) for part, samples in shown.asked if isinstance(part, Text)]
        texts = {"000.txt": self.lines(shown.made)}
        if asked:
            texts["000-asked.txt"] = asked[0]
        if shown.target is not None:
            texts["000-target.txt"] = self.lines(shown.target)
        return [Recording(name, _writer(lines)) for name, lines in texts.items()]


def _writer(lines: Sequence[str]) -> Callable[[Path], None]:
    content = "".join(f"{line}\n" for line in lines).encode(errors="replace")
    return lambda path: write_atomically(path, content)


def _set(lines: Sequence[tuple[str, int]]) -> "Image":
    """Sets lines, each in a grey level."""
    from PIL import Image, ImageDraw

    height = 2 * _MARGIN + len(lines) * (HEIGHT + _LEADING)
    picture = Image.new("L", (2 * _MARGIN + _MAX_LETTERS * WIDTH, height), 255)
    draw = ImageDraw.Draw(picture)
    for row, (line, grey) in enumerate(lines):
        text = printable(line if len(line) <= _MAX_LETTERS else line[: _MAX_LETTERS - 3] + "...")
        draw.text((_MARGIN, _MARGIN + row * (HEIGHT + _LEADING)), text, font=font(), fill=grey)
    return picture.resize((picture.width * _SCALE, picture.height * _SCALE), Image.Resampling.NEAREST)
