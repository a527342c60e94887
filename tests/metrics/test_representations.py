"""What samples that are no images are compared by: closed forms, and what each representation reacts to."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ganlab.build import run as build
from ganlab.cli import compose_config
from ganlab.errors import ConfigurationError
from ganlab.interfaces import FeatureExtractor, Features, ImageData, Modality
from ganlab.interfaces.metrics import EXTRACTORS
from ganlab.metrics.extraction import extract, quantisation
from ganlab.metrics.extractors.columns import Columns
from ganlab.metrics.extractors.frames import Frames
from ganlab.metrics.extractors.logmel import LogMel
from ganlab.metrics.extractors.ngrams import NGrams
from ganlab.metrics.frechet import FrechetDistance
from ganlab.modalities.audio import Audio
from ganlab.modalities.images import Image, Points
from ganlab.modalities.table import Table
from ganlab.modalities.text import Text
from ganlab.modalities.video import Video
from ganlab.scoring.evaluation import Evaluation

TABLE = Table(({"name": "age", "mean": 40.0, "std": 10.0}, {"name": "sex", "categories": ["f", "m"]}))
TEXT = Text(4, ("a", "b", "c"))
VIDEO = Video(5, 4, 4, 1)


class Grey(FeatureExtractor):
    """Sees an image as its mean and its first pixel."""

    name, weights_sha256, resize, num_features = "grey", "f" * 64, "none", 2

    def forward(self, images: Tensor) -> Features:
        assert images.dtype == torch.uint8
        pixels = images.float().flatten(1)
        features = torch.stack([pixels.mean(dim=1), pixels[:, 0]], dim=1)
        return Features(features, features[:, :0])


def features(extractor: FeatureExtractor, samples: Tensor) -> Tensor:
    return extract(extractor, samples, torch.device("cpu")).features


def frechet(extractor: FeatureExtractor, modality: Modality, real: Tensor, made: Tensor, folder: Path) -> Any:
    """Returns the score of samples as networks see them against stored ones."""
    data = ImageData("toy", "train", real, None, (), "d" * 64, modality=modality)
    evaluation = Evaluation({"frechet": FrechetDistance()}, extractor, data, len(made), 50, folder)
    (score,) = evaluation(lambda first, last: made[first:last], {})
    return score


def test_louder_sound_moves_the_means_alone() -> None:
    """Catches: magnitudes for logarithms, spreads about zero, 16 bits taken for floats, channels as samples."""
    extractor = LogMel()
    extractor.prepare(Audio(4096, 8000, 2))
    noise = torch.rand(2, 2, 4096, generator=torch.Generator().manual_seed(0)) * 0.2 - 0.1
    one, other = (features(extractor, Audio(4096, 8000, 2).denormalize(x)) for x in (noise, 2 * noise))
    assert one.shape == (2, extractor.num_features) == (2, 120)
    moved = other - one
    assert moved[:, :40].flatten().tolist() == pytest.approx([math.log(2)] * 80, abs=2e-3)
    assert moved[:, 40:].flatten().tolist() == pytest.approx([0.0] * 160, abs=2e-3)
    noisy, steady = one[:, 80:], features(extractor, torch.ones(1, 1, 4096))[:, 80:]
    assert noisy.min() > 10 * steady.mean()


def test_mel_setting_follows_the_data() -> None:
    """Catches: one checksum for two rates, which the cache of references would mix up; a window longer than a sound."""
    extractor, settings = LogMel(), set()
    for num_samples, rate in ((16384, 22050), (16384, 8000), (512, 8000)):
        extractor.prepare(Audio(num_samples, rate))
        settings.add(extractor.weights_sha256)
        found = features(extractor, torch.zeros(1, 1, num_samples, dtype=torch.int16))
        assert found.shape == (1, extractor.num_features)
        assert f"{rate} Hz" in extractor.resize
    assert len(settings) == 3
    assert extractor.num_features == 30
    with pytest.raises(ConfigurationError, match="extractor logmel hears sound"):
        features(extractor, torch.zeros(1, 3, 8, 8, dtype=torch.uint8))


def test_columns_are_on_the_scale_of_their_spread(tmp_path: Path) -> None:
    """A number moved by two standard deviations of training: distance 4. Catches: columns as they are stored."""
    random = torch.Generator().manual_seed(0)
    numbers = torch.randn(400, generator=random)
    numbers = (numbers - numbers.mean()) / numbers.std()
    rows = torch.stack([40 + 10 * numbers.double(), torch.arange(400).double() % 2], dim=1)
    made = TABLE.normalize(rows)
    made[:, 0] += 2
    score = frechet(Columns(), TABLE, rows, made, tmp_path)
    assert score.metric == "fd_columns_400_train"
    assert score.value == pytest.approx(4, abs=1e-3)
    assert score.protocol["quantisation"] == "the likeliest category"
    assert len(score.protocol["weights_sha256"]) == 64
    assert frechet(Columns(), TABLE, rows, TABLE.normalize(rows), tmp_path).value == pytest.approx(
        0, abs=1e-6
    )
    with pytest.raises(ConfigurationError, match="has to know the columns"):
        features(Columns(), rows)


def test_shares_of_tokens_and_pairs() -> None:
    """Of abab and cccc. Catches: counts for shares, pairs turned round, pairs of a text and the next."""
    extractor = NGrams()
    extractor.prepare(TEXT)
    found = features(extractor, torch.tensor([[0, 1, 0, 1], [2, 2, 2, 2]]))
    assert extractor.num_features == 3 + 9
    assert found[:, :3].tolist() == [[0.5, 0.5, 0], [0, 0, 1]]
    assert found[0, 3:].tolist() == pytest.approx([0, 2 / 3, 0, 1 / 3, 0, 0, 0, 0, 0])
    assert found[1, 3:].tolist() == [0] * 8 + [1]
    with pytest.raises(ConfigurationError, match="extractor ngrams reads tokens"):
        features(extractor, torch.zeros(2, 4, 3))


def test_a_large_vocabulary_shares_buckets() -> None:
    """Catches: neighbours that all fall into one bucket, features without end, overflow."""
    extractor = NGrams(num_buckets=16)
    extractor.prepare(Text(40, tuple(map(str, range(70_000)))))
    found = features(extractor, 69_960 + torch.arange(40)[None])
    assert found.shape == (1, extractor.num_features) == (1, 32)
    assert found.sum().item() == pytest.approx(2)
    assert found[0, :16].max() < 0.3
    assert extractor.weights_sha256 != NGrams(num_buckets=16).weights_sha256


def test_texts_of_rows_of_probabilities_are_scored_as_tokens(tmp_path: Path) -> None:
    random = torch.Generator().manual_seed(0)
    tokens = torch.randint(3, (60, 4), generator=random)
    made = TEXT.normalize(tokens) * 0.4 + 0.2
    score = frechet(NGrams(), TEXT, tokens, made, tmp_path)
    assert (score.metric, score.value) == ("fd_ngrams_60_train", pytest.approx(0, abs=1e-6))


def test_frames_and_what_changes_between_them() -> None:
    """A video that brightens by 10 a frame, and the same backwards.

    Catches: motion without a sign, uint8 that wraps around, means over videos, frames taken from the beginning alone.
    """
    steps = torch.arange(5, dtype=torch.uint8) * 10
    forwards = steps.view(1, 1, 5, 1, 1).expand(1, 1, 5, 4, 4)
    video = torch.cat([forwards, forwards.flip(2), torch.full((1, 1, 5, 4, 4), 200, dtype=torch.uint8)])
    extractor = Frames(Grey(), num_frames=4)
    extractor.prepare(VIDEO)
    found = features(extractor, video)
    assert extractor.name == "frames_motion_grey"
    assert found.shape == (3, extractor.num_features) == (3, 4)
    assert found.tolist() == [[15, 15, 132, 132], [25, 25, 122, 122], [200, 200, 127, 127]]
    pictures, motion = (Frames(Grey(), 2, frames=x, motion=not x) for x in (True, False))
    assert features(pictures, video)[0].tolist() == [20, 20]  # of frames 1 and 3
    assert features(motion, video)[0].tolist() == [132, 132]
    assert (pictures.name, motion.name) == ("frames_grey", "motion_grey")
    with pytest.raises(ConfigurationError, match="videos have one frame"):
        features(motion, video[:, :, :1])
    with pytest.raises(ConfigurationError, match="sees videos, uint8"):
        features(extractor, video[:, :, 0])
    with pytest.raises(ConfigurationError, match="has to see"):
        Frames(Grey(), frames=False, motion=False)


MODALITIES = {
    **{"image": Image(8, 8, 3), "points": Points(), "audio": Audio(4096, 8000)},
    **{"video": VIDEO, "text": TEXT, "table": TABLE},
}


@pytest.mark.parametrize("other", MODALITIES)
def test_each_is_for_its_modality(other: str) -> None:
    """Catches: a mismatch that ends in a traceback, or in a number."""
    for extractor in (LogMel(), Columns(), NGrams(), Frames(Grey()), Grey(), build.build_extractor("points")):
        if extractor.modality == other:
            extractor.prepare(MODALITIES[other])
        else:
            with pytest.raises(ConfigurationError) as caught:
                extractor.prepare(MODALITIES[other])
            assert str(caught.value) == (
                f"extractor {extractor.name} is for {extractor.modality} and the data are {other}: use"
                f" evaluate.extractor={EXTRACTORS[other]}"
            )
        assert (quantisation(extractor) == "none") == (extractor.modality == "points")


NO_MODEL = " ".join(
    f"model.{name}.image_{key}"
    for name in ("generator", "discriminator")
    for key in ("size=32", "channels=3")
)


@pytest.mark.parametrize(
    ("data", "extractor", "key"),
    [
        (f"sines data.source.num_sounds=16 {NO_MODEL}", None, "fd_logmel_16_train"),
        (
            "moving_digits data.source.num_videos=16 data.num_frames=2",
            Frames(Grey()),
            "fd_frames_motion_grey_16_train",
        ),
    ],
    ids=["sines", "moving_digits"],
)
def test_real_samples_are_nearest_to_themselves(
    data: str, extractor: FeatureExtractor | None, key: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Real samples are nearest to themselves. Catches: stored samples taken for those that networks see."""
    monkeypatch.setenv("GANLAB_CACHE", str(tmp_path))
    settings = ("evaluate.num_samples=16", "evaluate.batch_size=16", "evaluate.reference=train")
    config = compose_config(*f"data={data}".split(), *settings)
    found = build.build_data(config)
    evaluation = build.build_evaluation(config, found, torch.device("cpu"), extractor)
    samples = found.modality.normalize(found.data("train").images[:16])
    (score,) = evaluation(lambda first, last: samples[first:last], {})
    (worse,) = evaluation(lambda first, last: samples[first:last] * 0.1, {})
    assert score.metric == key
    assert score.value < 0.1 * worse.value


@pytest.mark.parametrize(
    ("data", "extractor"),
    [("audio", "logmel"), ("sines", "logmel"), ("video", "frames"), ("moving_digits", "frames"),
     ("text", "ngrams"), ("table", "columns"), ("ring2d", "points"), ("digits", "auto")],
)  # fmt: skip
def test_data_bring_their_representation(data: str, extractor: str) -> None:
    """Catches: a data option with another's, or with metrics that it has not."""
    config = compose_config(f"data={data}", "data.root=/somewhere", *NO_MODEL.split())
    assert config["evaluate"]["extractor"] == extractor
    metrics = {"ring2d": ["modes"], "digits": ["frechet", "classifier_score"]}
    assert [*config["metrics"]] == metrics.get(data, ["frechet"])
    if extractor != "auto":
        assert EXTRACTORS[build.build_extractor(extractor).modality] == extractor
