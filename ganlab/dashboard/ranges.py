"""Parts of files, as players ask for them (RFC 9110, section 14)."""

import re

_RANGE = re.compile(r"bytes=([0-9]{0,15})-([0-9]{0,15})")


def part_of(wanted: str, length: int) -> range | None:
    """Reads the header `Range`.

    Args:
        wanted: its value.
        length: of the whole, in bytes.

    Returns:
        The bytes that are asked for, none where the whole has none of them; `None` for several parts, other units and
        whatever cannot be read, which are answered with the whole.
    """
    match = _RANGE.fullmatch(wanted)
    if match is None or match[1] == match[2] == "":
        return None
    if match[1] == "":  # so many at the end
        return range(max(0, length - int(match[2])), length)
    first = int(match[1])
    last = int(match[2]) if match[2] else length - 1
    if match[2] and last < first:
        return None
    return range(first, min(last + 1, length))
