"""JSON lines of a file that another process is appending to, each read once."""

import json
from dataclasses import dataclass
from typing import Any

from ganlab.runs.reading.files import Stamp, UnreadableError, open_file

CHUNK_BYTES = 2 << 20
"""Read at a time: some 40 ms of parsing, during which no request is answered."""
MAX_LINE_BYTES = 1 << 20

Line = dict[str, Any]


@dataclass(frozen=True)
class Cursor:
    """How far a file has been read."""

    inode: int = 0
    offset: int = 0
    """Bytes."""
    skipped: int = 0
    """Lines that were no JSON objects."""

    def behind(self, stamp: Stamp) -> int:
        """Returns the bytes that have not been read."""
        return stamp.size - self.offset

    def fits(self, stamp: Stamp) -> bool:
        """Whether this is still the file that was read, and no shorter than then."""
        return self.inode == stamp.inode and self.offset <= stamp.size


def next_lines(folder: int, name: str, stamp: Stamp, cursor: Cursor) -> tuple[list[Line], Cursor]:
    """Reads the next whole lines, at most `CHUNK_BYTES`; a half last line is left for later.

    Raises:
        UnreadableError: if the file cannot be read or has a line of more than `MAX_LINE_BYTES`.
    """
    with open_file(folder, name) as file:
        file.seek(cursor.offset)
        chunk = file.read(CHUNK_BYTES)
    end = chunk.rfind(b"\n") + 1
    if not end:
        if len(chunk) > MAX_LINE_BYTES:
            raise UnreadableError(f"{name}: a line of more than {MAX_LINE_BYTES >> 20} MiB")
        return [], Cursor(stamp.inode, cursor.offset, cursor.skipped)
    texts = [text for text in chunk[:end].split(b"\n") if text]
    lines = _parse(texts)
    return lines, Cursor(stamp.inode, cursor.offset + end, cursor.skipped + len(texts) - len(lines))


def _parse(texts: list[bytes]) -> list[Line]:
    """Parses all lines at once, which is twice as fast, or, if one of them is torn, one by one."""
    try:
        found = json.loads(b"[" + b",".join(texts) + b"]")
        if len(found) != len(texts):
            raise ValueError("a line is no value of its own")
    except (ValueError, RecursionError):
        found = [_parse_one(text) for text in texts]
    return [line for line in found if isinstance(line, dict)]


def _parse_one(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
