"""Recordings of many lengths (sounds, videos): decoded once, laid one after the other, and cut into samples."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganlab.data.decoding import (
    appearing,
    describe_faults,
    is_prepared,
    mapped,
    open_prepared,
    write_prepared,
)
from ganlab.data.pixels import reason, without_warnings
from ganlab.data.stores import Segments
from ganlab.errors import DataError

MEMORY_BYTES = 1 << 28
"""Recordings up to this size are read into memory, larger ones are mapped."""
_FORMAT = 1  # part of every key: raise it when decoding changes its values
_BLOCK_BYTES = 16 << 20


@dataclass(frozen=True)
class Recordings:
    """Recordings as they are found, whatever their lengths."""

    origin: str
    """The folder or archive, for messages."""
    what: str
    """They are, in the plural, for messages."""
    names: Sequence[str]
    """One a recording, for messages."""
    read: Callable[[int], NDArray[Any]]
    """Decodes recording `i`, `(length, *moment)`, or raises; called from several threads at once."""
    fingerprint: str
    """Changes when any recording changes, or how it is decoded."""
    dtype: type[np.generic]
    moment: tuple[int, ...]
    """The shape of one moment: channels of a sound; channels, height and width of a frame."""


def segments(recordings: Recordings, num: int, cache_dir: Path) -> tuple[Segments, Tensor]:
    """Decodes all recordings, or finds them decoded.

    Those that are shorter than a sample end with zeros.

    Args:
        recordings: what to decode.
        num: moments in a sample.
        cache_dir: where `prepared/<key>.*` keep the result for the next start.

    Returns:
        What training draws from; and the samples that evaluation sees, as the consecutive parts of the recordings,
        `(N, C, num, ...)`.

    Raises:
        DataError: names the recordings that cannot be read, after trying them all.
        StorageError: when the cache cannot be written.
    """
    what = json.dumps([_FORMAT, recordings.fingerprint, recordings.moment, num])
    key = hashlib.sha256(what.encode()).hexdigest()[:32]
    flat, lengths = (cache_dir / "prepared" / f"{key}{suffix}" for suffix in (".flat", "-lengths.npy"))
    moment_bytes = np.dtype(recordings.dtype).itemsize * int(np.prod(recordings.moment))
    if not _is_whole(flat, lengths, moment_bytes):
        _prepare(recordings, num, flat, lengths)
    laid = np.memmap(flat, recordings.dtype, "r").reshape(-1, *recordings.moment)
    fits = laid.nbytes <= MEMORY_BYTES
    store = Segments(
        torch.from_numpy(np.array(laid)) if fits else mapped(laid),
        open_prepared(lengths, in_memory=True),
        num,
    )
    if fits:
        return store, store.consecutive(0, len(store))
    return store, _kept_whole(store, recordings, flat.with_name(f"{key}-samples.npy"))


def _is_whole(flat: Path, lengths: Path, moment_bytes: int) -> bool:
    """Whether both files are there; the second is written last."""
    try:
        total = int(np.load(lengths, allow_pickle=False).sum())
        return flat.stat().st_size == total * moment_bytes
    except (OSError, ValueError, EOFError):
        return False


def _prepare(recordings: Recordings, num: int, flat: Path, lengths: Path) -> None:
    """Decodes in threads, some recordings ahead; faults are collected and raised at the end."""
    found: list[int] = []
    faults: list[tuple[int, str]] = []
    with appearing(flat) as file:
        for index, recording in enumerate(_decoded(recordings)):
            if isinstance(recording, str):
                faults.append((index, recording))
                continue
            missing = max(0, num - len(recording))
            padded = np.pad(recording, [(0, missing), *[(0, 0)] * (recording.ndim - 1)])
            file.write(np.ascontiguousarray(padded).data)
            found.append(len(padded))
        if faults:
            raise DataError(describe_faults(recordings.origin, recordings.what, recordings.names, faults))
    write_prepared(lengths, (len(found),), [np.array(found, np.int64)], np.int64)


def _decoded(recordings: Recordings) -> Iterator[NDArray[Any] | str]:
    """Yields the recordings in order, or why one cannot be read."""
    from tqdm import tqdm

    def read(index: int) -> NDArray[Any] | str:
        try:
            return recordings.read(index)
        except Exception as error:  # decoders of broken files raise almost anything; all of it is reported
            return reason(error)

    num, num_threads = len(recordings.names), os.cpu_count() or 1
    bar = tqdm(
        total=num, desc=f"preparing {recordings.origin}", unit="file", delay=2, leave=False, disable=None
    )
    with without_warnings(), ThreadPoolExecutor(num_threads) as pool, bar:
        for first in range(0, num, 2 * num_threads):  # bounds the memory
            for recording in pool.map(read, range(first, min(first + 2 * num_threads, num))):
                yield recording
                bar.update()


def _kept_whole(store: Segments, recordings: Recordings, path: Path) -> Tensor:
    """Writes the samples that evaluation sees, which do not fit into memory, and maps them."""
    shape = (len(store), *store.consecutive(0, 1).shape[1:])
    step = max(1, _BLOCK_BYTES // (int(np.prod(shape[1:])) * np.dtype(recordings.dtype).itemsize))
    if not is_prepared(path, shape, recordings.dtype):
        blocks = (
            store.consecutive(first, min(first + step, len(store))).numpy()
            for first in range(0, len(store), step)
        )
        write_prepared(path, shape, blocks, recordings.dtype)
    return open_prepared(path, in_memory=False)
