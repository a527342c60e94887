"""Pictures in two domains, paired by name or not at all."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from torch import Tensor

from ganlab.data.decoding import Originals, decode
from ganlab.data.held_out import Splits
from ganlab.data.inspection import opened
from ganlab.data.listing import Listing, shown
from ganlab.data.pixels import upright, upright_size
from ganlab.data.source import Draws, ImageSource, LoadedImages
from ganlab.data.stores import Crops
from ganlab.errors import ConfigurationError, DataError

if TYPE_CHECKING:
    from PIL.Image import Image

HALVES = ("left", "right")
"""Domains of pictures that stand side by side in one file, where no folders have these names."""


@dataclass(frozen=True)
class Domains:
    """The pictures of two domains in a folder or an archive."""

    listing: Listing
    source: Originals
    """Those to translate from."""
    target: Originals
    """Those to translate to."""
    source_names: Sequence[str]
    """Of each picture, within its domain and without suffix: what makes a pair."""
    target_names: Sequence[str]
    side_by_side: bool
    """Whether each file holds a pair."""


class _TwoDomains(ImageSource):
    """What pairs and unpaired domains share: where their pictures lie, and which are held out.

    Args:
        path: folder or zip archive of the `train` split, with a folder for each domain.
        test_path: the same of the `test` split; `None`: those that `test_share` holds out.
        test_share: of the pictures in `path` that are `test` and not `train`, chosen by their names, in `[0, 1)`.
        resize: height and width, or one number for both, that pictures are prepared at, to be cropped at random places
            to `data.image_size`; `None`: at that size.
        domains: `from` and `to`, the folders of the domains below `path`; `left` and `right` for pictures that stand
            side by side in one file.
    """

    def __init__(
        self,
        path: str,
        test_path: str | None = None,
        test_share: float = 0.0,
        resize: int | list[int] | None = None,
        **domains: str | None,  # `from` is a word of Python
    ) -> None:
        if unknown := domains.keys() - {"from", "to"}:
            raise ConfigurationError(
                f"data.source.{min(unknown)}: there is no such key; domains are from and to"
            )
        self._splits = Splits(path, test_path, test_share)
        self._resize = resize
        self._domains = (domains.get("from"), domains.get("to"))

    @contextmanager
    def _split(self, split: str) -> Iterator[Domains]:
        with opened_domains(self._splits.path(split), *self._domains) as domains:
            yield domains

    def _decoded(
        self, originals: Originals, image_size: tuple[int, int], channels: int, cache_dir: Path
    ) -> tuple[Tensor, Crops | None]:
        """Returns the pictures at their size, and what crops them at random, where they are larger."""
        if self._resize is None:
            return decode(originals, image_size, channels, cache_dir), None
        height, width = self._resize if isinstance(self._resize, list) else (self._resize, self._resize)
        if height < image_size[0] or width < image_size[1]:
            raise ConfigurationError(
                f"data.source.resize={self._resize}: must be at least data.image_size, {list(image_size)}"
            )
        crops = Crops(decode(originals, (height, width), channels, cache_dir), image_size)
        return crops.middle(), crops


class ImagePairs(_TwoDomains):
    """Pairs of pictures with one name in two folders, or side by side in one file: what pix2pix learns from.

    The samples are the pictures of the domain `to`; beside each is stored its pair of the domain `from`. Random crops
    are cut at the same place of both. Evaluation sees the middle. The arguments are those of `_TwoDomains`.
    """

    def load(self, split: str, image_size: tuple[int, int], channels: int, cache_dir: Path) -> LoadedImages:
        """See `ImageSource.load`.

        Raises:
            DataError: where a picture has no pair, two have one name, or a pair has two shapes.
        """
        with self._split(split) as domains:
            pairs = matched(domains)
            kept = [
                pairs[place]
                for place in self._splits.kept([domains.source_names[one] for one, _ in pairs], split)
            ]
            source = part(domains.source, [one for one, _ in kept])
            target = alike(part(domains.target, [other for _, other in kept]), source)
            images, crops = self._decoded(target, image_size, channels, cache_dir)
            stored, stored_crops = self._decoded(source, image_size, channels, cache_dir)
            domains.listing.warn_of_unread_pictures()
        draws = None if crops is None else Draws(crops, stored_crops)
        return LoadedImages(images, None, (), stored, draws=draws)


class ImageDomains(_TwoDomains):
    """Two sets of pictures without pairs: what CycleGAN and CUT learn from.

    The samples are the pictures of the domain `to`; those of the domain `from` are the other domain, in an order of
    their own. Names mean nothing. The arguments are those of `_TwoDomains`.
    """

    def load(self, split: str, image_size: tuple[int, int], channels: int, cache_dir: Path) -> LoadedImages:
        """See `ImageSource.load`."""
        with self._split(split) as domains:
            if domains.side_by_side:
                raise DataError(
                    f"{domains.listing.origin} has no folders {HALVES[0]} and {HALVES[1]}, and pictures side by side"
                    " are pairs: set data=image_pairs, or name two folders"
                )
            source = part(domains.source, self._splits.kept(domains.source_names, split))
            target = part(domains.target, self._splits.kept(domains.target_names, split))
            images, crops = self._decoded(target, image_size, channels, cache_dir)
            others, other_crops = self._decoded(source, image_size, channels, cache_dir)
            domains.listing.warn_of_unread_pictures()
        draws = None if crops is None or other_crops is None else Draws(crops, None, (other_crops,))
        return LoadedImages(images, None, (), None, (others,), draws)


@contextmanager
def opened_domains(path: Path, source: str | None, target: str | None) -> Iterator[Domains]:
    """Finds the pictures of two domains in a folder or zip archive.

    Raises:
        DataError: where one of them is not there.
        ConfigurationError: where the domains have no names, or one for both.
    """
    with opened(path) as collection:
        names = _without_top(collection.listing.images, (source, target))
        folders = sorted({name.split("/", 1)[0] for name in names if "/" in name})
        held = f"{collection.listing.origin} holds the folders {', '.join(map(shown, folders[:6])) or 'none'}"
        if source is None or target is None:
            raise ConfigurationError(
                f"data.source.from and data.source.to name the two domains, from={source} to={target}: {held}"
                " (left and right for pictures side by side in one file)"
            )
        if source.strip("/") == target.strip("/"):
            raise ConfigurationError(f"data.source.from={source}: is data.source.to too; name two domains")
        originals = collection.originals
        found = [_below(names, domain.strip("/")) for domain in (source, target)]
        if {source, target} == set(HALVES) and not any(found):
            stems = _stems(collection.listing.images)
            halves = (_half(originals, source), _half(originals, target))
            yield Domains(collection.listing, *halves, stems, stems, side_by_side=True)
            return
        for key, domain, indices in zip(("from", "to"), (source, target), found, strict=True):
            if not indices:
                raise DataError(f"data.source.{key}={domain}: there are no pictures in such a folder; {held}")
        (source_names, target_names) = (
            _stems([names[place].removeprefix(domain.strip("/") + "/") for place in indices])
            for domain, indices in zip((source, target), found, strict=True)
        )
        yield Domains(
            collection.listing,
            part(originals, found[0]),
            part(originals, found[1]),
            source_names,
            target_names,
            side_by_side=False,
        )


def matched(domains: Domains) -> list[tuple[int, int]]:
    """Returns the places of each pair in its two domains, sorted by name.

    Raises:
        DataError: where two pictures of a domain have one name, or one has no pair.
    """
    places = []
    for names in (domains.source_names, domains.target_names):
        of_name: dict[str, int] = {}
        for place, name in enumerate(names):
            if of_name.setdefault(name, place) != place:
                raise DataError(
                    f"{domains.listing.origin}: two pictures of one domain are called {shown(name)}, so that the"
                    " pair of another cannot be told: keep one of them"
                )
        places.append(of_name)
    source, target = places
    if alone := sorted(source.keys() ^ target.keys()):
        where = "from" if alone[0] in source else "to"
        raise DataError(
            f"{domains.listing.origin}: {len(alone)} pictures have no pair, such as {shown(alone[0])} of"
            f" data.source.{where}; pairs have the same name in both folders: add or remove them, or set"
            " data=image_domains"
        )
    return [(source[name], target[name]) for name in sorted(source)]


def part(originals: Originals, indices: Sequence[int]) -> Originals:
    """Returns some of the pictures, in another order."""
    return Originals(
        originals.origin,
        [originals.names[index] for index in indices],
        lambda place: originals.read(indices[place]),
        f"{hashlib.sha256(originals.fingerprint.encode(errors='surrogateescape')).hexdigest()} {list(indices)}",
    )


def alike(originals: Originals, pairs: Originals) -> Originals:
    """Returns the pictures, each of which is a fault where its pair has another shape: they would be cropped apart."""

    def read(index: int) -> "Image":
        with originals.read(index) as image, pairs.read(index) as pair:
            (height, width), (pair_height, pair_width) = upright_size(image), upright_size(pair)
        if abs(height * pair_width - width * pair_height) > max(width, pair_width):
            raise ValueError(
                f"{height}x{width}, but its pair {pairs.names[index]} is {pair_height}x{pair_width}: crop them alike"
            )
        return originals.read(index)

    return Originals(originals.origin, originals.names, read, originals.fingerprint + pairs.fingerprint)


def _half(originals: Originals, side: str) -> Originals:
    """Returns the left or right half of each picture."""

    def read(index: int) -> "Image":
        with originals.read(index) as stored:
            image = upright(stored)
        if image.width % 2:
            raise ValueError(f"{image.width} pixels wide: two pictures side by side have an even width")
        left = 0 if side == "left" else image.width // 2
        return image.crop((left, 0, left + image.width // 2, image.height))

    return Originals(originals.origin, originals.names, read, f"{side} of {originals.fingerprint}")


def _below(names: Sequence[str], folder: str) -> list[int]:
    return [place for place, name in enumerate(names) if name.startswith(f"{folder}/")]


def _without_top(names: Sequence[str], domains: tuple[str | None, str | None]) -> list[str]:
    """Takes away the one folder that an archive has everything in, unless a domain is called by it."""
    tops = {name.split("/", 1)[0] if "/" in name else None for name in names}
    top = tops.pop() if len(tops) == 1 else None
    if top is None or any(domain is not None and f"{domain}/".startswith(f"{top}/") for domain in domains):
        return list(names)
    return [name.split("/", 1)[1] for name in names]


def _stems(names: Sequence[str]) -> list[str]:
    return [str(PurePosixPath(name).with_suffix("")) for name in names]
