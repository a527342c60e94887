"""Classes of two sets of images, which are the same where they have the same name, whatever their numbers."""

from dataclasses import replace

import torch

from ganlab.errors import DataError
from ganlab.interfaces import ImageData


def with_classes_of(data: ImageData, class_names: tuple[str, ...]) -> ImageData:
    """Numbers the labels of `data` as others are, by the names of the classes.

    Classes that the others lack get the numbers after theirs. Where one side has no names, numbers are all that is
    known of the classes, and stay. The checksum stays too: the images are the same.

    Args:
        data: whose labels are numbered anew.
        class_names: of the others, in the order of their numbers.

    Raises:
        DataError: names that differ cannot be matched, because one of them stands for two classes.
    """
    if data.labels is None or not class_names or data.class_names in ((), class_names):
        return data
    for names in (class_names, data.class_names):
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise DataError(
                f"{data.name}/{data.split}: two classes are called {twice[0]}, so that those of one set cannot be found"
                " in the other: give each a name of its own"
            )
    foreign = tuple(name for name in data.class_names if name not in class_names)
    together = (*class_names, *foreign)
    numbers = {name: number for number, name in enumerate(together)}
    table = torch.tensor([numbers[name] for name in data.class_names])
    return replace(data, labels=table[data.labels], class_names=together, foreign_classes=foreign)
