"""Tables of text in the forms that people paste: terminal, CSV, Markdown, LaTeX."""

import csv
import io
from collections.abc import Callable, Sequence

Rows = Sequence[Sequence[str]]


def render(header: Sequence[str], rows: Rows, form: str) -> str:
    """Writes a table.

    Args:
        header: names of the columns.
        rows: as many cells each.
        form: a key of `FORMS`.
    """
    return FORMS[form](header, rows)


def _text(header: Sequence[str], rows: Rows) -> str:
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = [[*header], ["-" * width for width in widths], *map(list, rows)]
    padded = (
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines
    )
    return "\n".join(line.rstrip() for line in padded)


def _csv(header: Sequence[str], rows: Rows) -> str:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows([header, *rows])
    return stream.getvalue().rstrip("\n")


def _markdown(header: Sequence[str], rows: Rows) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _latex(header: Sequence[str], rows: Rows) -> str:
    special = {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "±": r"$\pm$",
    }
    special |= {character: f"\\{character}" for character in "&%$#_{}"}

    def line(cells: Sequence[str]) -> str:
        return " & ".join("".join(special.get(c, c) for c in cell) for cell in cells) + r" \\"

    body = "\n".join(map(line, rows))
    return (
        f"\\begin{{tabular}}{{{'l' * len(header)}}}\n\\toprule\n{line(header)}\n\\midrule\n{body}\n"
        "\\bottomrule\n\\end{tabular}"
    )


FORMS: dict[str, Callable[[Sequence[str], Rows], str]] = {
    "text": _text,
    "csv": _csv,
    "markdown": _markdown,
    "latex": _latex,
}
"""The forms that `render` knows."""
