"""Comparisons of distances are those of float64, written out: near ties, offsets, copies and outliers included."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from ganlab.metrics import distances as module
from ganlab.metrics.distances import Frame, full_float32, nearest_distances, pairs


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def all_distances(rows: Tensor, columns: Tensor) -> np.ndarray:
    """From differences in float64, without a matrix product."""
    return (rows.double()[:, None] - columns.double()).square().sum(dim=-1).sqrt().numpy()


def steps(num: int, seed: int) -> Tensor:
    """Points of a lattice, many of which are equally far apart; not so many that the bound is of no use."""
    return (normal(num, 3, seed=seed) * 16).round() / 16


def near_ties(num: int, seed: int) -> Tensor:
    """Points whose distances from one another differ by less than float32 can tell."""
    circle = normal(num, 6, seed=seed)
    circle /= circle.square().sum(dim=1, keepdim=True).sqrt()
    return (circle + 1e-9 * normal(num, 6, seed=seed + 1)) * (1 + 1e-9 * normal(num, 1, seed=seed + 2))


SETS: dict[str, Callable[[int, int], Tensor]] = {
    "ordinary": lambda num, seed: normal(num, 40, seed=seed),
    "at an offset": lambda num, seed: (normal(num, 10, seed=seed) + 1e4).float(),
    "ties": steps,
    "near ties": near_ties,
    "copies": lambda num, seed: torch.ones(num, 4, dtype=torch.float64) * (seed % 2) + 0.1,
    "outlier": lambda num, seed: torch.cat([normal(num - 1, 5, seed=seed), torch.full((1, 5), 1e6)]),
    "tiny": lambda num, seed: 1e-25 * normal(num, 5, seed=seed),
}


@pytest.fixture(params=[2**22, 2000], ids=["one block", "many blocks"], autouse=True)
def blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK_ELEMENTS", request.param)
    monkeypatch.setattr(module, "CHUNK_ELEMENTS", min(request.param, 2**18))


@pytest.mark.parametrize("name", SETS)
def test_neighbours_are_those_of_float64(name: str) -> None:
    """Catches: float32's choice taken as it is, its bound halved at the sum of errors, blocks that miss each other."""
    points = SETS[name](150, 0)
    expected = np.sort(all_distances(points, points), axis=1)[:, 3]
    # One so far off that the bound is of no use leaves the rest to matrix products in float64.
    tolerance = 1e-6 if name == "outlier" else 1e-13
    assert nearest_distances(points, 3).numpy() == pytest.approx(expected, rel=tolerance, abs=1e-300)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("open_balls", [False, True])
def test_comparisons_are_those_of_float64(name: str, open_balls: bool) -> None:
    """The outcome, not nearly. Catches: pairs within the bound left to float32, open and closed balls mixed up."""
    rows, columns = SETS[name](130, 2), SETS[name](150, 5)
    if name != "copies":
        rows[:20] = columns[:20]
    exact = all_distances(rows, columns)
    of_columns = torch.from_numpy(np.sort(all_distances(columns, columns), axis=1)[:, 3])
    of_rows = torch.from_numpy(np.sort(exact, axis=1)[:, 4])  # each is the distance of a pair
    for radii, is_row in ((of_columns, False), (of_rows, True)):
        wanted = radii.numpy()[:, None] if is_row else radii.numpy()
        expected = exact < wanted if open_balls else exact <= wanted
        found = np.zeros_like(expected)
        for first, last, block in pairs(rows, columns):
            part = radii[first:last, None] if is_row else radii
            found[first:last] = block.within(part, open_balls=open_balls).numpy()
        wrong = found != expected
        if name == "outlier":
            wrong &= np.abs(exact - wanted) > 1e-6 * wanted
        assert not wrong.any(), f"{wrong.sum()} of {wrong.size}"


@pytest.mark.parametrize("num_columns", [3, 6, 96, 97, 112, 127, 500])
def test_the_smallest_are_those_of_a_sort(num_columns: int) -> None:
    """Ties among groups, and columns that no group has. Catches: fewer groups than values are sought, the rest
    forgotten, columns of another value, a view by columns read as one by rows."""
    values = (normal(40, num_columns, seed=3) * 4).round().float()
    values[:20, -1] = -99.0
    for each in (values, values.T.contiguous().T):
        found, columns = module._smallest(each, 6)
        assert torch.equal(found, values.sort(dim=1).values[:, :6])
        assert torch.equal(values.gather(1, columns), found)
        assert all(len(set(row)) == len(row) for row in columns.tolist())


def test_bound_holds_and_is_seldom_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Real features' size. Catches: a bound below the errors, and one so wide that float64 does the work."""
    rows, columns = (normal(200, 1280, seed=seed).abs().float() * 3 for seed in (8, 9))
    frame = Frame.around(rows, columns)
    found = frame.place(rows).half_squared_distances(frame.place(columns)).double() * 2 * frame.length**2
    errors = np.abs(found.numpy() - np.square(all_distances(rows, columns)))
    bound = frame.place(rows).error * 2 * frame.length**2
    assert errors.max() < bound
    monkeypatch.setattr(module, "OPEN_SHARE", 1.0)
    asked: list[int] = []
    original = module._distances

    def noted(one: Tensor, other: Tensor, row: Tensor, column: Tensor) -> Tensor:
        asked.append(len(row))
        return original(one, other, row, column)

    monkeypatch.setattr(module, "_distances", noted)
    radii = nearest_distances(columns, 3)
    asked.clear()
    for _, _, block in pairs(rows, columns):
        block.within(radii)
    assert sum(asked) < 0.01 * len(rows) * len(columns)


def test_products_keep_to_float32_whatever_the_process_has_set() -> None:
    """Catches: a bound for float32 on products in bfloat16 or TF32; a setting that is not put back."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with full_float32():
            assert torch.get_float32_matmul_precision() == "highest"
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
