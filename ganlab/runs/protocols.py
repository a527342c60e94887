"""Protocols of scores in words: why two numbers of one metric may not be ranked."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

FIELDS = {
    "extractor": "the network that images are seen through",
    "weights_sha256": "weights of that network",
    "resize": "how images are brought to its size",
    "quantisation": "rounding to grey levels",
    "reference": "the real images",
    "num_samples": "number of generated images",
    "generator": "weights of the generator",
    "batch_norm": "statistics of batch norm",
    "truncation": "truncation of the latents",
    "method": "how latents are chosen",
    "precision": "arithmetic",
    "num_splits": "number of splits",
    "num_subsets": "number of subsets",
    "subset_size": "images in a subset",
    "num_neighbours": "neighbours of an image",
    "num_pairs": "number of pairs",
    "num_points": "sizes of the extrapolation",
}
"""What fields of a protocol mean. Others are said by their own names."""


def said_differences(conflict: Mapping[str, Sequence[Any]]) -> str:
    """Returns the fields in which protocols differ, each by its name, in words, and with its values.

    Args:
        conflict: values by field.
    """
    return "; ".join(
        f"{field} ({FIELDS.get(field, field.replace('_', ' '))}: {' / '.join(_said(values))})"
        for field, values in conflict.items()
    )


def _said(values: Sequence[Any]) -> list[str]:
    """Returns values as people say them; of mappings only what differs between them."""
    parts = [value if isinstance(value, Mapping) else {"": value} for value in values]
    names = dict.fromkeys(name for part in parts for name in part)
    differing = [name for name in names if any(part.get(name) != parts[0].get(name) for part in parts)]
    # A checksum says nothing beside names and counts that differ.
    told = [name for name in differing if not name.endswith("sha256")] or differing
    return [
        ", ".join(filter(None, (_word(name, part.get(name)) for name in told))) or "none" for part in parts
    ]


def _word(name: str, value: Any) -> str:
    if value is None:
        return "" if name else "none"
    if isinstance(value, bool):
        text = "yes" if value else "no"
    elif isinstance(value, int):
        text = f"{value:,}"
    elif isinstance(value, str):
        text = value[:8] if name.endswith("sha256") or (len(value) == 64 and value.isalnum()) else value
    else:
        text = json.dumps(value)
    words = {"num": f"{text} images", "name": text, "split": text, "": text, "sha256": f"checksum {text}"}
    return words.get(name, f"{name.replace('_', ' ')} {text}")
