"""Perceptual path length: how fast images change along paths through the latent space."""

from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from ganlab.errors import ConfigurationError
from ganlab.interfaces import FeatureExtractor, Features
from ganlab.metrics.extractors.points import Points
from ganlab.metrics.jackknife import normal_interval
from ganlab.metrics.metric import Estimate
from ganlab.metrics.naming import count_name
from ganlab.metrics.probe import GeneratorProbe, ProbeContext
from ganlab.modalities.images import checked
from ganlab.noise import Noise, mix
from ganlab.sampling.latents import slerp


class ImageDistance(Protocol):
    """A distance between images that is quadratic in small steps, such as LPIPS."""

    name: str
    """Enters the key; `lpips` means the published weights (`ganlab.metrics.lpips`)."""
    weights_sha256: str

    def to(self, device: torch.device) -> Any:
        """Moves the network."""

    def __call__(self, first: Tensor, second: Tensor) -> Tensor:
        """Returns distances `(N,)` of float images `(N, C, H, W)` in `[-1, 1]`, without rounding them."""


@runtime_checkable
class PixelExtractor(Protocol):
    """An extractor that also takes pixels that were not rounded."""

    def of_pixels(self, pixels: Tensor) -> Features:
        """Returns features of float pixels `(N, 3, H, W)` in `[0, 255]`."""


class FeatureDistance:
    """Squared Euclidean distance between an extractor's features: what stands in for LPIPS offline.

    Args:
        extractor: sees unrounded pixels (`PixelExtractor`), or points of the plane.

    Raises:
        ConfigurationError: an extractor that only takes uint8, under which a small step is no step at all.
    """

    def __init__(self, extractor: FeatureExtractor) -> None:
        if not isinstance(extractor, Points | PixelExtractor):
            raise ConfigurationError(
                f"metrics=ppl compares images that differ by less than a grey level, and extractor {extractor.name}"
                " takes whole ones: set evaluate.extractor=efflite0, or give metrics.ppl.distance a network of its own"
            )
        self._extractor = extractor

    def __call__(self, first: Tensor, second: Tensor) -> Tensor:
        """Returns distances `(N,)`, float64."""
        return (self._features(first) - self._features(second)).square().sum(dim=1)

    def _features(self, images: Tensor) -> Tensor:
        extractor = self._extractor
        if isinstance(extractor, PixelExtractor):
            rgb = images.expand(-1, 3, -1, -1).contiguous()
            return extractor.of_pixels((rgb + 1.0) * 127.5).features.double()
        features: Tensor = extractor(images).features
        return features.double()


class PathLength(GeneratorProbe):
    """Perceptual path length (PPL) in z; lower is smoother.

    E[d(G(slerp(z1, z2; t)), G(slerp(z1, z2; t + epsilon))) / epsilon^2], z1 and z2 normal, t uniform in [0, 1].
    Karras et al. 2019, section 4.1, eq. 2, arXiv 1812.04948. As in their code, the smallest and the largest values
    are left out of the mean. z1 and z2 are neighbours in the list of latents (the last one's is the first), so that
    truncation applies to them; both have z1's label.

    Ours differs where no LPIPS network is given: d is then the squared distance of the extractor's features, and the
    key has the extractor's name instead of `lpips`. Such values are a scale of their own. With efflite0, rounding in
    float32 adds about 0.004 at epsilon = 1e-4, which counts for untrained generators alone.

    Args:
        distance: d; `None` for that of the extractor's features.
        epsilon: step along the path, > 0.
        discard_percent: left out at each end, in [0, 50).
        seed: of the places t.

    Raises:
        ConfigurationError: values out of range.
    """

    higher_is_better = False

    def __init__(
        self,
        distance: ImageDistance | None = None,
        *,
        epsilon: float,
        discard_percent: float,
        seed: int = 0,
    ) -> None:
        if epsilon <= 0 or not 0 <= discard_percent < 50:
            raise ConfigurationError(
                f"ppl: got epsilon={epsilon} and discard_percent={discard_percent}, but epsilon must be above 0 and"
                " discard_percent in [0, 50)"
            )
        self._distance = distance
        self._epsilon = epsilon
        self._discard_percent = discard_percent
        self._seed = seed

    @property
    def details(self) -> dict[str, Any]:
        """The distance and how paths are laid and averaged."""
        distance = self._distance
        return {
            "distance": distance.name if distance else "squared difference of features",
            "distance_weights_sha256": distance and distance.weights_sha256,
            "quantisation": "none",
            "path": "slerp in z, neighbours of the list of latents",
            "epsilon": self._epsilon,
            "discard_percent": self._discard_percent,
            "path_seed": self._seed,
        }

    def keys(self, extractor: str, num_samples: int, split: str | None) -> tuple[str]:
        """Returns `ppl_<distance or extractor>_<num>`."""
        return (f"ppl_{self._distance.name if self._distance else extractor}_{count_name(num_samples)}",)

    def scores(self, context: ProbeContext) -> dict[str, Estimate]:
        """Returns the length by its key."""
        if self._distance is not None:
            self._distance.to(context.device)
        distance = self._distance or FeatureDistance(context.extractor)
        (key,) = self.keys(context.extractor.name, context.num_samples, None)
        return {key: path_length(self._lengths(context, distance), self._discard_percent)}

    def _lengths(self, context: ProbeContext, distance: "ImageDistance | FeatureDistance") -> Tensor:
        """Returns d / epsilon^2 along each path, float64 `(N,)`."""
        starts, labels = context.sampler.latents, context.sampler.labels
        ends = starts.roll(-1, dims=0)
        places = Noise(mix("path length", self._seed)).uniform(len(starts)).double()
        lengths = []
        for first, last in context.batches(len(starts)):
            part = slice(first, last)
            label = labels[part] if labels is not None else None
            images = [
                checked(context.sampler.generate(_between(starts[part], ends[part], place), label)).to(
                    context.device
                )
                for place in (places[part], places[part] + self._epsilon)
            ]
            lengths.append(_full_precision(distance, *images).double().cpu() / self._epsilon**2)
        return torch.cat(lengths)


def path_length(lengths: Tensor, discard_percent: float) -> Estimate:
    """Averages what is left once the smallest and largest `discard_percent` of the values are dropped.

    Bounds are values of the sample (the lower one rounded down, the upper one up) and are kept, as in StyleGAN's code.

    The interval is that of a trimmed mean (Tukey and McLaughlin 1963: its influence is that of values clamped to the
    bounds), with neighbours in the list, which share a latent, taken together.

    Args:
        lengths: of paths in a ring, in order, `(N,)`.
        discard_percent: at each end.
    """
    lengths = lengths.double()
    ordered = lengths.sort().values
    last = len(ordered) - 1
    low = int(last * discard_percent / 100)
    kept = ordered[low : last - low + 1]
    mean = float(kept.mean())
    clamped = lengths.clamp(kept[0], kept[-1])
    influences = (clamped - clamped.mean()) * (len(lengths) / len(kept))
    own, shared = influences.square().sum(), 2 * (influences * influences.roll(-1)).sum()
    variance = float(torch.maximum(own + shared, own)) / len(lengths) ** 2
    return Estimate(mean, ci95=normal_interval(mean, variance))


def _full_precision(distance: "ImageDistance | FeatureDistance", first: Tensor, second: Tensor) -> Tensor:
    """Computes distances without TF32 or autocast, whose rounding is larger than the step."""
    with (
        torch.no_grad(),
        torch.autocast(first.device.type, enabled=False),
        torch.backends.cudnn.flags(enabled=True, allow_tf32=False),
    ):
        return distance(first, second)


def _between(starts: Tensor, ends: Tensor, places: Tensor) -> Tensor:
    """Returns float32 latents, computed in float64: the step along a path is smaller than float32 resolves in t."""
    return slerp(starts.double(), ends.double(), places.double()[:, None]).float()
