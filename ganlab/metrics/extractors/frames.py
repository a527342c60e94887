"""What videos are compared by: their frames, and what changes between them, as an extractor of images sees them."""

import torch
from torch import Tensor

from ganlab.errors import ConfigurationError
from ganlab.interfaces import FeatureExtractor, Features


class Frames(FeatureExtractor):
    """Features of a few frames, and of their differences to the next, each averaged over the video.

    Frames tell whether single pictures are right, differences whether they move right; an order of frames that is
    wrong as a whole is not seen. Fréchet distances, keys `fd_frames_motion_<image extractor>_*`, are none of the
    Fréchet Video Distance (Unterthiner et al. 2018), which needs I3D, and do not compare with it.

    Args:
        image: sees frames, and differences as pictures (half the difference, around mid-grey).
        num_frames: of each video, spread evenly; all where it has no more.
        frames: see frames.
        motion: see differences.

    Raises:
        ConfigurationError: nothing to see.
    """

    modality = "video"

    def __init__(
        self, image: FeatureExtractor, num_frames: int = 4, frames: bool = True, motion: bool = True
    ) -> None:
        super().__init__()
        if num_frames < 1 or not (frames or motion) or image.modality != "image":
            raise ConfigurationError(
                f"extractor frames: num_frames={num_frames} frames={frames} motion={motion} image={image.name}: it"
                " has to see one frame or more, or motion, through an extractor of images"
            )
        self._image, self._num_frames, self._frames, self._motion = image, num_frames, frames, motion
        self.name = "_".join(["frames"] * frames + ["motion"] * motion + [image.name])
        self.weights_sha256 = image.weights_sha256
        self.resize = f"{num_frames} frames of each video, {image.resize}"
        self.num_features = image.num_features * (frames + motion)

    def forward(self, samples: Tensor) -> Features:
        """Returns features `(N, D)` of uint8 videos `(N, C, T, H, W)`; there are no class scores.

        Raises:
            ConfigurationError: other samples, or a single frame where motion is asked for.
        """
        if samples.ndim != 5 or samples.dtype != torch.uint8:
            raise ConfigurationError(
                f"extractor {self.name} sees videos, uint8 (N, channels, frames, height, width), and got"
                f" {samples.dtype} {tuple(samples.shape)}: choose evaluate.extractor by what the data are"
            )
        last = samples.shape[2] - self._motion
        if last < 1:
            raise ConfigurationError(f"extractor {self.name} sees motion, and videos have one frame")
        num = min(self._num_frames, last)
        places = (torch.arange(num, device=samples.device) * 2 + 1) * last // (2 * num)
        chosen = samples[:, :, places]
        parts = [chosen] * self._frames
        if self._motion:
            parts.append((samples[:, :, places + 1].int().sub(chosen.int()).add(255) // 2).to(torch.uint8))
        features = torch.cat([self._mean(part) for part in parts], dim=1)
        return Features(features, features[:, :0])

    def _mean(self, pictures: Tensor) -> Tensor:
        """Returns the mean over frames of the features of pictures `(N, C, T, H, W)`."""
        num, _, length = pictures.shape[:3]
        seen = self._image(pictures.transpose(1, 2).flatten(0, 1)).features
        return seen.unflatten(0, (num, length)).mean(dim=1)
