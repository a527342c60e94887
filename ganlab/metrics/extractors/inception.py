"""The 2015 Inception network, the only one whose distances may be called FID."""

import hashlib
import io
import os
import urllib.request
import uuid
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

from ganlab.errors import DataError
from ganlab.interfaces import FeatureExtractor, Features
from ganlab.metrics.extractors.pretrained import as_rgb, file_sha256, read_weights

FILE_NAME = "weights-inception-2015-12-05-6726825d.pth"
URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{FILE_NAME}"
SHA256_PREFIX = "6726825d"
"""First digits of the SHA-256 of the published file, which carries them in its name."""
CONNECT_SECONDS = 10.0


class Inception(FeatureExtractor):
    """Inception v3 with the TensorFlow weights of 2015-12-05 and TensorFlow 1's bilinear resize.

    Szegedy et al. 2016, arXiv 1512.00567; the network of Salimans et al. 2016 (arXiv 1606.03498) and Heusel
    et al. 2017 (arXiv 1706.08500), as ported by torch-fidelity. Features are the 2048 pooled activations,
    logits the 1008 class scores without bias, as in the original Inception Score.

    Args:
        weights: path of the weights file; default: the published file in torch.hub's folder, downloaded if
            absent.
        allow_other_weights: accept weights that are not the published ones. Metrics then carry the name
            `inception_<first 8 digits of their SHA-256>` and are never called `fid` or `is`.

    Raises:
        DataError: the weights are absent and cannot be downloaded, are damaged, or are not the published
            ones.
    """

    resize = "bilinear to 299x299 as TensorFlow 1, without half-pixel centres or antialiasing"
    num_features = 2048

    def __init__(self, weights: str | None = None, allow_other_weights: bool = False) -> None:
        super().__init__()
        path = Path(weights).expanduser() if weights is not None else _published_path()
        if weights is None and not path.is_file():
            _download(path)
        self.weights_sha256 = file_sha256(path)
        published = self.weights_sha256.startswith(SHA256_PREFIX)
        if not published and (weights is None or not allow_other_weights):
            raise DataError(
                f"{path} is not the published Inception weights (its sha256 begins"
                f" {self.weights_sha256[:8]}, not {SHA256_PREFIX}): delete it to download it again, or give"
                " its path as weights with allow_other_weights=true"
            )
        self.name = "inception" if published else f"inception_{self.weights_sha256[:8]}"
        self.network = _build(path)
        self.requires_grad_(False)
        self.eval()

    @classmethod
    def is_available(cls) -> bool:
        """Whether the published weights lie on this machine, so that no download is needed."""
        return _published_path().is_file()

    @torch.no_grad()
    def forward(self, images: Tensor) -> Features:
        """Returns pooled features `(N, 2048)` and logits `(N, 1008)` of uint8 images."""
        images = as_rgb(images, self.name).contiguous(memory_format=torch.channels_last)
        features, logits = self.network(images)
        return Features(features, logits)


def _published_path() -> Path:
    """Where torch.hub, and so torch-fidelity too, keeps the published weights."""
    return Path(torch.hub.get_dir()) / "checkpoints" / FILE_NAME


def _build(path: Path) -> torch.nn.Module:
    """Builds torch-fidelity's network with the weights of `path`."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    # torch-fidelity unpickles what it is given without restriction, so it gets a copy of tensors read safely.
    safe_copy = io.BytesIO()
    torch.save(read_weights(path), safe_copy)
    safe_copy.seek(0)
    try:
        with torch.random.fork_rng(devices=[]):  # the network draws weights before it loads them
            network: torch.nn.Module = FeatureExtractorInceptionV3(
                "inception-v3-compat", ["2048", "logits_unbiased"], feature_extractor_weights_path=safe_copy
            )
    except RuntimeError as error:
        raise DataError(f"the weights in {path} are not those of torch-fidelity's Inception v3") from error
    return network.to(memory_format=torch.channels_last)


def _download(path: Path) -> None:
    """Fetches the published weights to `path`, or fails with what to do by hand."""
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}.partial")
    digest = hashlib.sha256()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with urllib.request.urlopen(URL, timeout=CONNECT_SECONDS) as response, partial.open("wb") as file:
            while block := response.read(1 << 20):
                digest.update(block)
                file.write(block)
        if not digest.hexdigest().startswith(SHA256_PREFIX):
            raise OSError(f"the download's sha256 begins {digest.hexdigest()[:8]}")
        os.replace(partial, path)
    except OSError as error:  # URLError, timeouts and full disks are all OSError
        raise DataError(
            f"the Inception weights are not at {path} and could not be downloaded ({error}): fetch {URL}"
            f" (sha256 begins {SHA256_PREFIX}) into {path.parent}, or use evaluate.extractor=efflite0"
        ) from error
    finally:
        with suppress(OSError):
            partial.unlink()
