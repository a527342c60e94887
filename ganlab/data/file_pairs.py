"""What was made and what was wanted of it, as files that match by name."""

import hashlib
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ganlab.data.audio import SOUNDS, read_sound
from ganlab.data.file_sets import FileSet, Kind, open_files
from ganlab.data.image_set import SPLIT, load_images
from ganlab.data.listing import SUFFIXES, shown
from ganlab.data.pixels import open_image, reason, to_8_bits, upright, upright_size, without_warnings
from ganlab.drawing.pictures import SHEETS, is_own, is_sample
from ganlab.errors import DataError

_FILES = Kind("pictures or sounds", (*SUFFIXES, *SOUNDS.suffixes), SOUNDS.max_bytes)


@dataclass(frozen=True)
class FilePairs:
    """Pairs that lie somewhere, read when they are asked for."""

    modality: str
    """`image` or `audio`."""
    num: int
    is_even: bool
    """Whether all have one size, so that several fit into a batch."""
    sample_rate: int | None
    """Of all sounds."""
    targets: dict[str, Any]
    """`name`, `split`, `num` and `sha256` of what was wanted, for protocols."""
    read: Callable[[int, int], tuple[Tensor, Tensor]]
    """Returns pairs `[first, last)`, of one size: uint8 images `(N, C, H, W)`, float32 sound `(N, C, T)`.

    Raises `DataError` for a file that cannot be read, or is not of its partner's size.
    """


class _Side(NamedTuple):
    """The files of one side, in the order of the pairs."""

    files: FileSet
    places: list[int]

    @property
    def origin(self) -> str:
        return self.files.listing.origin

    def name(self, pair: int) -> str:
        return shown(self.files.names[self.places[pair]])

    def open(self, pair: int, decode: Callable[[bytes], Any]) -> Any:
        """Reads one file."""
        try:
            with without_warnings():
                return decode(self.files.read(self.places[pair]))
        except Exception as error:  # decoders of broken files raise almost anything
            raise DataError(
                f"{self.name(pair)} in {self.origin} cannot be read ({reason(error)}): mend or remove it"
            ) from error


@contextmanager
def open_pairs(made: Path, target: Path) -> Iterator[FilePairs]:
    """Finds pairs in two folders or zip archives, whose files match by path without the ending, or in two `.npz`.

    Grids that `ganlab sample` puts beside its samples do not count.

    Raises:
        DataError: there is nothing, a file without partner, pictures beside sounds, or pairs of two sizes.
    """
    are_arrays = [path.suffix.lower() == ".npz" and path.is_file() for path in (made, target)]
    if all(are_arrays):
        yield _arrays(made, target)
    elif any(are_arrays):
        raise DataError(
            f"pairs={made},{target}: one is an .npz, whose samples have no names, and the other is not: give two .npz,"
            " or two folders or archives"
        )
    else:
        with open_files(made, _FILES) as first, open_files(target, _FILES) as second:
            sides = _matched(first, second)
            num = len(sides[0].places)
            names = [side.name(pair) for side in sides for pair in range(num)]
            sounding = [name for name in names if name.lower().endswith(SOUNDS.suffixes)]
            if sounding and len(sounding) < len(names):
                silent = next(name for name in names if name not in sounding)
                raise DataError(f"pairs: {sounding[0]} is sound and {silent} is not: give files of one kind")
            yield (_sounds if sounding else _pictures)(*sides)


def _matched(made: FileSet, target: FileSet) -> tuple[_Side, _Side]:
    """Puts both sides in one order."""
    first, second = _by_name(made), _by_name(target)
    for one, other, here, there in ((first, second, made, target), (second, first, target, made)):
        alone = [name for name in one if name not in other]
        if alone:
            raise DataError(
                f"pairs: {len(alone):,} of {len(one):,} files in {here.listing.origin} have no partner in"
                f" {there.listing.origin}, such as {shown(here.names[one[alone[0]]])}: files have to match by name (the"
                " ending may differ)"
            )
    return _Side(made, list(first.values())), _Side(target, [second[name] for name in first])


def _by_name(files: FileSet) -> dict[str, int]:
    """Returns the places of files by their names without ending."""
    found: dict[str, int] = {}
    for place, path in enumerate(files.names):
        if PurePosixPath(path).name in SHEETS:
            content = files.read(place)
            if is_own(content) and not is_sample(content):
                continue
        name = str(PurePosixPath(path).with_suffix(""))
        if name in found:
            raise DataError(
                f"pairs: {shown(files.names[found[name]])} and {shown(path)} in {files.listing.origin} have one name:"
                " remove one"
            )
        found[name] = place
    return found


def _targets(side: _Side) -> dict[str, Any]:
    """Describes what was wanted, by its names and the bytes of its files."""
    digest = hashlib.sha256()
    for pair in range(len(side.places)):
        name = str(PurePosixPath(side.name(pair)).with_suffix(""))
        digest.update(f"{name}\n".encode())
        digest.update(side.open(pair, lambda content: hashlib.sha256(content).digest()))
    num = len(side.places)
    return {
        "name": Path(side.origin).stem, "split": SPLIT, "num": num, "sha256": digest.hexdigest()
    }  # fmt: skip


def _pictures(made: _Side, target: _Side) -> FilePairs:
    """Pairs of pictures, each as it is; grey becomes RGB where another one of them is coloured."""
    num = len(made.places)
    facts = [[side.open(pair, _size_and_greyness) for side in (made, target)] for pair in range(num)]
    for pair, ((one, _), (other, _)) in enumerate(facts):
        if one != other:
            raise DataError(
                f"pairs: {made.name(pair)} in {made.origin} has {one[0]}x{one[1]} pixels, and its partner in"
                f" {target.origin} {other[0]}x{other[1]}: a pair has to have one size"
            )
    mode = "L" if all(is_grey for both in facts for _, is_grey in both) else "RGB"

    def decode(content: bytes) -> Tensor:
        with open_image(io.BytesIO(content)) as image:
            pixels = np.array(to_8_bits(upright(image), mode))
        return torch.from_numpy(pixels[None] if mode == "L" else pixels.transpose(2, 0, 1).copy())

    def read(first: int, last: int) -> tuple[Tensor, Tensor]:
        both = [
            torch.stack([side.open(pair, decode) for pair in range(first, last)]) for side in (made, target)
        ]
        return both[0], both[1]

    is_even = len({one for (one, _), _ in facts}) == 1
    return FilePairs("image", num, is_even, None, _targets(target), read)


def _size_and_greyness(content: bytes) -> tuple[tuple[int, int], bool]:
    with open_image(io.BytesIO(content)) as image:
        return upright_size(image), image.mode in ("L", "1", "I;16", "I")


def _sounds(made: _Side, target: _Side) -> FilePairs:
    """Pairs of sounds, each as long as it is."""
    _, sample_rate = made.open(0, read_sound)

    def read(first: int, last: int) -> tuple[Tensor, Tensor]:
        pairs = [_sound_pair(made, target, pair, sample_rate) for pair in range(first, last)]
        return torch.stack([one for one, _ in pairs]), torch.stack([other for _, other in pairs])

    return FilePairs("audio", len(made.places), False, sample_rate, _targets(target), read)


def _sound_pair(made: _Side, target: _Side, pair: int, sample_rate: int) -> tuple[Tensor, Tensor]:
    """Returns two waves `(C, T)`."""
    waves = []
    for side in (made, target):
        values, rate = side.open(pair, read_sound)
        if rate != sample_rate:
            raise DataError(
                f"pairs: {side.name(pair)} in {side.origin} has {rate:,} samples a second, and {made.name(0)} in"
                f" {made.origin} {sample_rate:,}: bring all to one rate"
            )
        waves.append(torch.from_numpy(values.T.astype(np.float32)))
    if waves[0].shape != waves[1].shape:
        (channels, length), (others, other_length) = (tuple(wave.shape) for wave in waves)
        raise DataError(
            f"pairs: {made.name(pair)} in {made.origin} has {channels} channels of {length:,} samples, and its partner"
            f" in {target.origin} {others} of {other_length:,}: cut a pair to one length"
        )
    return waves[0], waves[1]


def _arrays(made: Path, target: Path) -> FilePairs:
    """Pairs of two arrays of images, by place."""
    first, second = (load_images(path, Path()) for path in (made, target))
    if first.images.shape != second.images.shape:
        raise DataError(
            f"pairs: {made} holds {_shape(first.images)} and {target} {_shape(second.images)}: they have to be as many,"
            " of one size"
        )
    targets = {"name": second.name, "split": SPLIT, "num": len(second.images), "sha256": second.sha256}
    return FilePairs(
        "image", len(first.images), True, None, targets,
        lambda begin, end: (first.images[begin:end], second.images[begin:end]),
    )  # fmt: skip


def _shape(images: Tensor) -> str:
    num, channels, height, width = images.shape
    return f"{num:,} {'grey' if channels == 1 else 'RGB'} images of {height}x{width}"
