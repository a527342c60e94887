"""Names of numbers: a metric's key says by which protocol its value was found."""

_RESERVED = {
    "fd": "fid",
    "fd_inf": "fid_inf",
    "fd_intra": "fid_intra",
    "fd_spatial": "fid_spatial",
    "kd": "kid",
    "cs": "is",
}
"""Names that the literature reserves for the 2015 Inception network."""


def count_name(num: int) -> str:
    """Shortens round thousands: 50000 -> `50k`, 2000 -> `2k`, 1797 -> `1797`."""
    return f"{num // 1000}k" if num and num % 1000 == 0 else str(num)


def metric_key(quantity: str, extractor: str, num_samples: int, split: str | None = None) -> str:
    """Composes a key such as `fid50k_train`, `is50k` or `fd_efflite0_2k_train`.

    Args:
        quantity: what is measured, e.g. `fd` (Fréchet distance) or `cs` (classifier score).
        extractor: name of the feature extractor; `inception` means the published 2015 weights.
        num_samples: number of generated images.
        split: split of the reference data; `None` for quantities without reference.
    """
    count = count_name(num_samples)
    if extractor == "inception":
        key = f"{_RESERVED.get(quantity, quantity)}{count}"
    else:
        key = f"{quantity}_{extractor}_{count}"
    return key if split is None else f"{key}_{split}"


def paired_key(quantity: str, num_samples: int, split: str) -> str:
    """Composes a key such as `psnr_1k_test`, of what was made beside what was wanted.

    Args:
        quantity: what is measured, e.g. `psnr`.
        num_samples: number of pairs.
        split: where the targets are from.
    """
    return f"{quantity}_{count_name(num_samples)}_{split}"
