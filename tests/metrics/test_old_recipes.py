"""What other libraries do by default, kept here to show that it gives other numbers."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from ganlab.metrics.classifier_score import classifier_score
from ganlab.metrics.extractors.inception import Inception
from ganlab.metrics.frechet import frechet_distance_of_samples


def test_antialiasing_at_32_pixels_is_another_distance(
    random_inception: tuple[Path, nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    """torchmetrics' resize in the place of TensorFlow 1's. Catches: features that do not depend on the resize."""
    import torch_fidelity.feature_extractor_inceptionv3 as theirs

    def antialiased(images: Tensor, size: tuple[int, int], align_corners: bool) -> Tensor:
        return interpolate(images, size=size, mode="bilinear", align_corners=align_corners, antialias=True)

    extractor = Inception(str(random_inception[0]), allow_other_weights=True)
    coarse = torch.randint(0, 256, (4, 3, 8, 8), generator=torch.Generator().manual_seed(0)).float()
    images = interpolate(coarse, size=(32, 32), mode="bicubic").clamp(0, 255).byte()
    ours = extractor(images).features
    monkeypatch.setattr(theirs, "interpolate_bilinear_2d_like_tensorflow1x", antialiased)
    old = extractor(images).features
    spread = float(ours.double().var(dim=0).sum())
    assert frechet_distance_of_samples(old, ours) > 1e-3 * spread
    assert abs(frechet_distance_of_samples(ours, ours)) < 1e-9 * spread


@pytest.mark.filterwarnings("ignore:Metric `InceptionScore` will save all")
def test_a_shuffle_by_global_numbers_moves_the_score() -> None:
    """torchmetrics' Inception Score of the same images, twice. Catches: global generators seen or moved by ours."""
    from torchmetrics.image.inception import InceptionScore

    images = torch.randint(0, 256, (60, 1, 2, 2), generator=torch.Generator().manual_seed(0)).byte()
    logits = images.flatten(1).float() / 50
    old, ours = [], []
    with torch.random.fork_rng(devices=[]):
        for seed in (1, 2):
            torch.manual_seed(seed)
            np.random.seed(seed)
            random.seed(seed)
            metric = InceptionScore(feature=_Pixels(), splits=10)
            metric.update(images)
            before = torch.get_rng_state()
            old.append(float(metric.compute()[0]))
            assert not torch.equal(before, torch.get_rng_state())
            before = torch.get_rng_state()
            ours.append(classifier_score(logits, num_splits=10).value)
            assert torch.equal(before, torch.get_rng_state())
    assert abs(old[0] / old[1] - 1) > 1e-4
    assert ours[0] == ours[1]


class _Pixels(nn.Module):
    """The pixels of an image as class scores."""

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1).float() / 50
