"""What `ganlab sample` draws: one function for each mode."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import trange

from ganlab.config.schema import Config
from ganlab.drawing.pictures import draw, save_movie, save_picture, to_picture
from ganlab.errors import ConfigurationError
from ganlab.files import atomic_path
from ganlab.modalities.images import to_uint8
from ganlab.sample.folder import check_free, remove_earlier
from ganlab.sample.options import MOVIES, SampleOptions
from ganlab.sampling import Sampler, interpolate, interpolate_linearly
from ganlab.sampling.sheets import (
    Sheet,
    classes_by_latents,
    one_class_a_path,
    paths_between_classes,
    paths_between_latents,
)

_BESIDE_SAMPLES = ("grid.png", "interpolation.png")


@dataclass
class Drawing:
    """What all modes share."""

    options: SampleOptions
    config: Callable[[], Config]
    """Returns that of the run."""
    make_sampler: Callable[[int], Sampler]
    """Makes the sampler of a list of so many latents, which `method=` has yet to choose."""
    choose: Callable[[Sampler], None]
    """Lets the discriminator choose the sampler's latents, if asked."""
    info: dict[str, str]
    """Where the images come from, for text chunks."""

    @property
    def out(self) -> Path:
        return Path(self.options.out).expanduser()


def _grid(drawing: Drawing) -> str:
    """Writes each image, the grid of the first 64, and paths between pairs of latents."""
    num, out = drawing.options.num or 64, drawing.out
    names = [f"{place:05d}.png" for place in range(num)]
    if out.suffix != ".npz":
        check_free(out / name for name in (*names, *_BESIDE_SAMPLES))
    sampler = drawing.make_sampler(num)
    drawing.choose(sampler)
    sheet = Sheet(sampler.latents, sampler.labels, num)
    images = _collect(drawing, num, sampler)
    if out.suffix == ".npz":
        _save_arrays(out, images, sheet, drawing.info)
        return f"{num} images"
    pictures = {"grid.png": draw(images[:64])}
    if num_rows := min(8, num // 2):
        sheet = paths_between_latents(sampler, num_rows, 8, interpolate)
        pictures["interpolation.png"] = draw(
            _generate(drawing, sampler, sheet), num_columns=sheet.num_columns
        )
    out.mkdir(parents=True, exist_ok=True)
    remove_earlier(out, _BESIDE_SAMPLES)
    if not _are_points(images):  # single points of the plane are no pictures
        for place, name in enumerate(names):
            info = {**drawing.info, "ganlab:place": str(place)}
            if sampler.labels is not None:
                info["ganlab:label"] = str(int(sampler.labels[place]))
            save_picture(draw(images[place : place + 1]), out / name, info)
    for name, picture in pictures.items():
        save_picture(picture, out / name, drawing.info)
    return f"{num} images"


def _interpolate(drawing: Drawing) -> str:
    """Writes a row for each path, and a movie that walks all paths at once, there and back."""
    options, out = drawing.options, drawing.out
    is_movie = out.suffix in MOVIES
    num, num_steps = options.num or 8, options.steps or (30 if is_movie else 8)
    strip = out.with_suffix(".png") if is_movie else out / "interpolation.png"
    if out.suffix != ".npz":
        check_free([strip])
    sampler, sheet = PATHS[options.path or "slerp"](drawing, num, num_steps)
    images = _generate(drawing, sampler, sheet)
    said = f"{num} paths of {num_steps} images"
    info = {**drawing.info, "ganlab:path": options.path or "slerp"}
    if out.suffix == ".npz":
        _save_arrays(out, images, sheet, info)
        return said
    (out.parent if is_movie else out).mkdir(parents=True, exist_ok=True)
    if is_movie:
        frames = [draw(images[place::num_steps]) for place in range(num_steps)]
        save_movie([*frames, *frames[-2:0:-1]], out, options.fps or 15, info)
    save_picture(draw(images, num_columns=num_steps), strip, info)
    return said


def _slerp(drawing: Drawing, num: int, num_steps: int) -> tuple[Sampler, Sheet]:
    return _between_latents(drawing, num, num_steps, interpolate)


def _linear(drawing: Drawing, num: int, num_steps: int) -> tuple[Sampler, Sheet]:
    return _between_latents(drawing, num, num_steps, interpolate_linearly)


def _between_latents(
    drawing: Drawing, num: int, num_steps: int, walk: Callable[[Tensor, int], Tensor]
) -> tuple[Sampler, Sheet]:
    sampler = drawing.make_sampler(2 * num)
    one_class_a_path(sampler)
    drawing.choose(sampler)
    return sampler, paths_between_latents(sampler, num, num_steps, walk)


def _between_classes(drawing: Drawing, num: int, num_steps: int) -> tuple[Sampler, Sheet]:
    sampler = drawing.make_sampler(1)
    return sampler, paths_between_classes(sampler, num, num_steps)


def _classes(drawing: Drawing) -> str:
    """Writes a row for each class, of the same latents."""
    num, out = drawing.options.num or 8, drawing.out
    if out.suffix != ".npz":
        check_free([out / "classes.png"])
    sampler = drawing.make_sampler(num)
    sheet = classes_by_latents(sampler)
    images = _generate(drawing, sampler, sheet)
    if out.suffix == ".npz":
        _save_arrays(out, images, sheet, drawing.info)
    else:
        out.mkdir(parents=True, exist_ok=True)
        save_picture(draw(images, num_columns=num), out / "classes.png", drawing.info)
    return f"{sampler.num_classes} classes of {num} latents"


def _neighbours(drawing: Drawing) -> str:
    """Writes each sample beside its nearest training images, by the extractor's features."""
    from ganlab.build.run import build_data, build_extractor, parse_device
    from ganlab.metrics.extraction import extract
    from ganlab.metrics.neighbours import nearest_neighbours, neighbours_grid

    options, num, k = drawing.options, drawing.options.num or 64, drawing.options.k or 7
    check_free([drawing.out / "neighbours.png"])
    sampler = drawing.make_sampler(num)
    drawing.choose(sampler)
    images = _collect(drawing, num, sampler)
    if images.shape[1] not in (1, 3):
        raise ConfigurationError(
            "mode=neighbours compares pictures of 1 or 3 channels, and this run has none"
        )
    reals = build_data(drawing.config()).data("train").images
    if not 1 <= k <= len(reals):
        raise ConfigurationError(f"k={k}: must be between 1 and the {len(reals)} training images")
    device = parse_device(options.device)
    extractor = build_extractor(options.extractor or "auto").to(device)

    def features(pictures: Tensor, title: str) -> Tensor:
        starts = trange(0, len(pictures), options.batch_size, desc=title, unit="batch", leave=False)
        parts = (pictures[first : first + options.batch_size] for first in starts)
        return torch.cat([extract(extractor, part, device).features.cpu() for part in parts])

    indices, _ = nearest_neighbours(
        features(images, "features of samples"), features(reals, "features of training images"), k
    )
    drawing.out.mkdir(parents=True, exist_ok=True)
    picture = to_picture(neighbours_grid(images, reals, indices))
    # Not all of it is synthetic, so the notice would be wrong.
    info = {key: text for key, text in drawing.info.items() if key != "Disclaimer"}
    save_picture(picture, drawing.out / "neighbours.png", info)
    return f"{num} images beside {k} training images each"


def _generate(drawing: Drawing, sampler: Sampler, sheet: Sheet) -> Tensor:
    """Returns the images of a sheet."""

    def images(first: int, last: int) -> Tensor:
        labels = None if sheet.labels is None else sheet.labels[first:last]
        return sampler.generate(sheet.latents[first:last], labels)

    return _collect(drawing, len(sheet.latents), images)


def _collect(drawing: Drawing, num: int, images: Callable[[int, int], Tensor]) -> Tensor:
    """Returns images `[0, num)` on the CPU, drawn in batches, as uint8; points of the plane as they are."""
    size, parts = drawing.options.batch_size, []
    with trange(0, num, size, desc="sampling", unit="batch", leave=False, disable=None) as starts:
        for first in starts:
            part = images(first, min(first + size, num))
            parts.append((part if _are_points(part) else to_uint8(part)).cpu())
    return torch.cat(parts)


def _are_points(images: Tensor) -> bool:
    return tuple(images.shape[1:]) == (2, 1, 1)


def _save_arrays(path: Path, images: Tensor, sheet: Sheet, info: dict[str, str]) -> None:
    """Writes images `(N, H, W, C)` with their latents and labels; points of the plane as float32 `(N, 2)`.

    `origin` is a JSON text of `info`: where they come from.
    """
    arrays = {"points": images.flatten(1)} if _are_points(images) else {"images": images.permute(0, 2, 3, 1)}
    arrays["latents"] = sheet.latents
    if sheet.labels is not None:
        # `ganlab evaluate` reads `labels` as classes, one an image.
        arrays["labels" if sheet.labels.ndim == 1 else "class_weights"] = sheet.labels
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as part, part.open("wb") as stream:
        named: dict[str, Any] = {name: array.numpy() for name, array in arrays.items()}
        np.savez_compressed(stream, origin=np.array(json.dumps(info)), **named)


MODES: dict[str, Callable[[Drawing], str]] = {
    "grid": _grid,
    "interpolate": _interpolate,
    "classes": _classes,
    "neighbours": _neighbours,
}
PATHS: dict[str, Callable[[Drawing, int, int], tuple[Sampler, Sheet]]] = {
    "slerp": _slerp,
    "linear": _linear,
    "classes": _between_classes,
}
