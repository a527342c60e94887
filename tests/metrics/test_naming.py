"""Names of numbers are protocol: a wrong name makes numbers comparable that are not."""

import pytest

from ganlab.metrics.naming import count_name, metric_key


@pytest.mark.parametrize(
    ("num", "name"),
    [(50_000, "50k"), (2000, "2k"), (1000, "1k"), (1797, "1797"), (256, "256"), (1500, "1500")],
)
def test_count(num: int, name: str) -> None:
    """Catches: rounding 1797 or 1500 to thousands."""
    assert count_name(num) == name


@pytest.mark.parametrize(
    ("quantity", "extractor", "num", "split", "key"),
    [
        ("fd", "inception", 50_000, "train", "fid50k_train"),
        ("cs", "inception", 50_000, None, "is50k"),
        ("fd", "efflite0", 2000, "train", "fd_efflite0_2k_train"),
        ("fd", "efflite0", 297, "test", "fd_efflite0_297_test"),
        ("cs", "efflite0", 2000, None, "cs_efflite0_2k"),
        ("fd", "inception_0123abcd", 50_000, "train", "fd_inception_0123abcd_50k_train"),
        ("kd", "inception", 50_000, "train", "kid50k_train"),
        ("kd", "efflite0", 2000, "train", "kd_efflite0_2k_train"),
        ("precision", "inception", 50_000, "train", "precision50k_train"),
        ("precision", "efflite0", 2000, "train", "precision_efflite0_2k_train"),
        ("fd_inf", "inception", 50_000, "train", "fid_inf50k_train"),
        ("modes", "points", 1000, None, "modes_points_1k"),
    ],
)
def test_key(quantity: str, extractor: str, num: int, split: str | None, key: str) -> None:
    """Catches: a reserved name given to other weights (`extractor.startswith("inception")`)."""
    assert metric_key(quantity, extractor, num, split) == key
