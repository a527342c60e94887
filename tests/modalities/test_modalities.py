"""What is stored comes back from what networks see, in each modality, and what is no such sample is one line."""

import json
from typing import Any

import pytest
import torch
from torch import Tensor

from ganlab.build.instantiation import build
from ganlab.errors import DataError
from ganlab.interfaces import Modality
from ganlab.modalities.audio import Audio
from ganlab.modalities.images import Image, Points
from ganlab.modalities.table import Table
from ganlab.modalities.text import PADDING, Text
from ganlab.modalities.video import Video

COLUMNS = (
    {"name": "length", "mean": 1000.0, "std": 0.25},
    {"name": "kind", "categories": ["ash", "oak", "yew"]},
    {"name": "width", "mean": -1.0, "std": 2.0},
)
WORDS = (PADDING, "a", "b", "ox")


def cases() -> dict[str, tuple[Modality, Tensor]]:
    """Each modality with stored samples that cover its range."""
    every = torch.arange(256, dtype=torch.uint8)
    return {
        "image": (Image(8, 16, 1), every.view(2, 1, 8, 16)),
        "points": (Points(), torch.linspace(-1, 1, 12).view(6, 2, 1, 1)),
        "audio": (Audio(1 << 15, 16000, 1), torch.arange(-(1 << 15), 1 << 15).short().view(2, 1, -1)),
        "video": (Video(2, 8, 8, 1), every.view(2, 1, 2, 8, 8)),
        "text": (Text(3, WORDS), torch.tensor([[1, 2, 0], [3, 3, 1]])),
        "table": (Table(COLUMNS), torch.tensor([[1000.25, 2, 3], [999.5, 0, -1], [1000, 1, 0]]).double()),
    }


@pytest.mark.parametrize("name", cases())
def test_stored_samples_come_back(name: str) -> None:
    """Catches: a wrong scale, an offset of half a step, rounding down, axes exchanged, a column of another."""
    modality, stored = cases()[name]
    before = stored.clone()
    samples = modality.normalize(stored)
    assert modality.name == name
    assert samples.shape == (len(stored), *modality.shape)
    assert samples.dtype == torch.float32
    assert torch.equal(stored, before)  # data sets are shared: nothing is changed in place
    back = modality.denormalize(samples)
    assert back.dtype == stored.dtype
    assert torch.allclose(back, stored, rtol=1e-6) if back.is_floating_point() else torch.equal(back, stored)
    modality.check(stored, "it gave")


@pytest.mark.parametrize("name", cases())
def test_a_modality_is_made_again_from_plain_values(name: str) -> None:
    """Through JSON, as a run keeps it. Catches: a field left out, a list that is no longer equal to its tuple."""
    modality, stored = cases()[name]
    described = json.loads(json.dumps(modality.describe()))
    again = build("modality", described)
    assert type(again) is type(modality)
    assert torch.equal(again.normalize(stored), modality.normalize(stored))
    assert again.describe() == modality.describe()


def test_sound_is_clipped_and_pictures_are_rounded_half_up() -> None:
    """Catches: a sound that wraps around where it is too loud, silence that is not zero."""
    audio, _ = cases()["audio"]
    loud = torch.tensor([[[-1.5, -1.0, 0.0, 0.5, 1.0, 2.0]]])
    assert audio.denormalize(loud).flatten().tolist() == [-32768, -32768, 0, 16384, 32767, 32767]
    assert audio.normalize(torch.zeros(1, 1, 2, dtype=torch.int16)).abs().max() == 0


def test_rows_are_standardised_and_categories_one_hot() -> None:
    """Catches: mean and std exchanged, a category taken for a number, columns in another order."""
    table, rows = cases()["table"]
    assert table.normalize(rows)[0].tolist() == [1.0, 0.0, 0.0, 1.0, 2.0]
    assert table.read(rows)[0] == [1000.25, "yew", 3.0]


def test_texts_are_read_without_their_padding() -> None:
    """Catches: padding shown, separators between characters, logits read as numbers of tokens."""
    text, tokens = cases()["text"]
    assert text.read(tokens) == ["ab", "oxoxa"]
    words = Text(3, WORDS, " ")
    assert words.read(words.denormalize(0.1 * words.normalize(tokens))) == ["a b", "ox ox a"]


@pytest.mark.parametrize(
    ("name", "spoil", "said"),
    [
        ("image", lambda stored: stored.long(), "images of torch.int64; they have to be uint8"),
        (
            "image",
            lambda stored: stored[:, :, 1:],
            r"shape \(1, 7, 16\); data\.channels and data\.image_size ask",
        ),
        ("image", lambda stored: stored[:0], "0 images"),
        ("points", lambda stored: stored.double(), "points of the plane are float32"),
        ("audio", lambda stored: stored.int(), "sounds of torch.int32; they have to be int16"),
        (
            "audio",
            lambda stored: stored[..., 1:],
            r"data\.channels and data\.num_samples ask for \(1, 32768\)",
        ),
        ("video", lambda stored: stored[:, :, :1], r"data\.num_frames and data\.image_size ask for"),
        ("text", lambda stored: stored[:, 1:], r"data\.num_tokens is their length"),
        ("text", lambda stored: stored + 1, "tokens from 1 to 4; the vocabulary has 0 to 3"),
        ("table", lambda stored: stored.float(), r"rows of torch.float32 \(3,\); they have to be float64"),
    ],
)
def test_other_samples_are_refused(name: str, spoil: Any, said: str) -> None:
    """Catches: a check left out; the first batch would end in a traceback, or be learnt as it is."""
    modality, stored = cases()[name]
    with pytest.raises(DataError, match=f"^it gave .*{said}"):
        modality.check(spoil(stored), "it gave")
