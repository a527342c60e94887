"""Which of a person's own data are the test split: those of another place, or a share that is held out by name."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from ganlab.data.collection import split_path
from ganlab.errors import ConfigurationError, DataError


class Splits:
    """Where the splits of a data set lie.

    Args:
        path: of the `train` split.
        test_path: of the `test` split; `None`: those that `test_share` holds out.
        test_share: of what lies in `path` that is `test` and not `train`, chosen by its name, in `[0, 1)`.

    Raises:
        ConfigurationError: if both are given, or the share is impossible.
    """

    def __init__(self, path: str, test_path: str | None, test_share: float) -> None:
        if not 0 <= test_share < 1:
            raise ConfigurationError(f"data.source.test_share={test_share}: must be at least 0 and below 1")
        if test_path is not None and test_share:
            raise ConfigurationError(
                f"data.source.test_share={test_share}: data.source.test_path is given too; set one of them"
            )
        self._paths = {"train": path, "test": path if test_share else test_path}
        self._test_share = test_share

    def path(self, split: str) -> Path:
        """Returns the place of a split.

        Raises:
            DataError: if there is none.
        """
        return split_path(self._paths, split)

    def kept(self, names: Sequence[str], split: str) -> list[int]:
        """Returns the places of the names that belong to a split.

        Raises:
            DataError: if there is none.
        """
        if not self._test_share:
            return list(range(len(names)))
        kept = [
            place
            for place, name in enumerate(names)
            if is_held_out(name, self._test_share) == (split == "test")
        ]
        if not kept:
            raise DataError(
                f"data.source.test_share={self._test_share}: leaves none of {len(names)} samples to {split};"
                " set another share"
            )
        return kept


def is_held_out(name: str, share: float) -> bool:
    """Whether a thing of this name belongs to the share that is kept for testing, whatever else there is."""
    digest = hashlib.blake2b(name.encode(errors="surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest, "little") < share * 2**64
