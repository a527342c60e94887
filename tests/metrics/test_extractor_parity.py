"""From images to numbers, beside torch-fidelity, through Inception at one saved random initialisation."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from ganlab.interfaces import ImageData
from ganlab.metrics.classifier_score import ClassifierScore
from ganlab.metrics.extractors.inception import Inception
from ganlab.metrics.frechet import FrechetDistance
from ganlab.metrics.kernel_distance import KernelDistance
from ganlab.scoring.evaluation import Evaluation

NUM = 24


class Images(Dataset[Tensor]):
    """uint8 images as torch-fidelity wants them."""

    def __init__(self, images: Tensor) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, place: int) -> Tensor:
        return self.images[place]


def _images(seed: int, size: int, contrast: float, brightness: float) -> Tensor:
    """Coarse random patterns, some of them clipped: white noise would look alike to any network."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(NUM, 3, 4, 4, generator=generator) * contrast + brightness
    fine = nn.functional.interpolate(coarse, size=(size, size), mode="bicubic")
    return (fine + 20 * torch.randn(fine.shape, generator=generator)).clamp(0, 255).byte()


@pytest.mark.slow
@pytest.mark.parametrize("size", [32, 64])
def test_pipeline_is_torch_fidelitys(
    size: int, random_inception: tuple[Path, nn.Module], tmp_path: Path
) -> None:
    """FID and IS to 1e-6; KID to 1e-5, because torch-fidelity computes kernels in float32 (given the same features
    in float64, its function equals ours to 1e-9; see test_kernel_distance.py). The two sets lie far apart, so that
    its rounding of covariances with fewer images than features does not drown the distance.

    Catches: another resize (half-pixel centres, antialiasing), biased logits, a covariance
    divided by N, another permutation or another subset of images."""
    from torch_fidelity import calculate_metrics

    path, _ = random_inception
    fakes, reals = _images(0, size, 30.0, 70.0), _images(1, size, 90.0, 190.0)
    theirs = calculate_metrics(
        input1=Images(fakes), input2=Images(reals), cuda=False, batch_size=16, isc=True, fid=True, kid=True,
        isc_splits=4, kid_subsets=10, kid_subset_size=20, feature_extractor="inception-v3-compat",
        feature_extractor_weights_path=str(path), cache=False, verbose=False, save_cpu_ram=True,
    )  # fmt: skip
    evaluation = Evaluation(
        {
            "frechet": FrechetDistance(),
            "classifier_score": ClassifierScore(num_splits=4, bootstrap=50),
            "kid": KernelDistance(num_subsets=10, subset_size=20),
        },
        Inception(str(path), allow_other_weights=True),
        ImageData("patterns", "train", reals, None, (), "0" * 64),
        NUM,
        batch_size=7,
        cache_dir=tmp_path,
    )
    ours = {score.metric.split("_")[0]: score.value for score in evaluation(lambda a, b: fakes[a:b], {})}
    expected = {
        "fd": theirs["frechet_inception_distance"],
        "cs": theirs["inception_score_mean"],
        "kd": theirs["kernel_inception_distance_mean"],
    }
    assert {name: ours[name] for name in ("fd", "cs")} == pytest.approx(
        {name: expected[name] for name in ("fd", "cs")}, rel=1e-6
    )
    assert ours["kd"] == pytest.approx(expected["kd"], rel=1e-5)
