"""Handwritten digits that come with scikit-learn: real images without a download."""

from pathlib import Path

import numpy as np
import torch

from ganlab.data.decoding import decode_array
from ganlab.data.source import ImageSource, LoadedImages


class Digits(ImageSource):
    """1,797 grey digits of 8 x 8 pixels and 17 levels (Alpaydin & Kaynak 1998, UCI "Optical Recognition of
    Handwritten Digits", its test part), as scikit-learn ships them.

    In scikit-learn's order, the first 1,500 are `train` and the last 297 are `test`.
    """

    def load(self, split: str, image_size: tuple[int, int], channels: int, cache_dir: Path) -> LoadedImages:
        from sklearn.datasets import load_digits

        part = slice(0, 1500) if split == "train" else slice(1500, None)
        digits = load_digits()
        pixels = np.rint(digits.images[part] * (255 / 16)).astype(np.uint8)
        images = decode_array("digits", pixels, image_size, channels, cache_dir)
        labels = torch.from_numpy(digits.target[part].astype(np.int64))
        return LoadedImages(images, labels, tuple("0123456789"))
