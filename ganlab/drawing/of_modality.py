"""Which object draws samples of which modality."""

from functools import singledispatch

import numpy as np
from torch import Tensor

from ganlab.drawing.audio import Audio
from ganlab.drawing.contract import Drawing
from ganlab.drawing.numbers import Numbers
from ganlab.drawing.points import Points
from ganlab.drawing.still_images import Images
from ganlab.drawing.table_rows import Columns, TableRows
from ganlab.drawing.text import Text
from ganlab.drawing.video import Video
from ganlab.interfaces import Modality
from ganlab.modalities import audio, images, table, text, video


@singledispatch
def drawing_of(modality: Modality, reals: Tensor) -> Drawing:
    """Returns what draws samples of a modality; for one of your own, `drawing_of.register` takes a function of these.

    Args:
        modality: of the samples.
        reals: some of the training split as they are stored, to be drawn beneath what is made where that says more.
    """
    return Numbers()


@drawing_of.register
def _(modality: images.Image, reals: Tensor) -> Drawing:
    return Images()


@drawing_of.register
def _(modality: images.Points, reals: Tensor) -> Drawing:
    return Points(modality.normalize(reals))


@drawing_of.register
def _(modality: audio.Audio, reals: Tensor) -> Drawing:
    return Audio(modality.sample_rate)


@drawing_of.register
def _(modality: video.Video, reals: Tensor) -> Drawing:
    return Video(min(50, max(1, round(modality.frames_per_second))))


@drawing_of.register
def _(modality: text.Text, reals: Tensor) -> Drawing:
    return Text(lambda samples: modality.read(modality.denormalize(samples.detach().cpu())))


@drawing_of.register
def _(modality: table.Table, reals: Tensor) -> Drawing:
    def columns(samples: Tensor) -> Columns:
        cells = zip(*modality.read(modality.denormalize(samples.detach().cpu())), strict=True)
        names = [str(column["name"]) for column in modality.columns]
        return {name: np.array(values) for name, values in zip(names, cells, strict=True)}

    return TableRows(columns, modality.normalize(reals))
