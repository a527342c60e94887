"""Which images an iteration sees: a pure function of (seed, iteration, rank, world size)."""

from itertools import islice

import pytest
import torch

from ganlab.data.order import IterationSampler
from ganlab.errors import ConfigurationError, DataError

NUM_IMAGES = 103  # 8 slots of 12 and a tail of 7
SUB_BATCHES = 3  # 8 slots do not divide into threes: iterations straddle epochs


def sampler(
    rank: int = 0, world_size: int = 1, start: int = 0, batch_size: int = 12, seed: int = 5
) -> IterationSampler:
    return IterationSampler(NUM_IMAGES, batch_size, SUB_BATCHES, seed, rank, world_size, start)


def sub_batches(run: list[list[int]], size: int) -> list[list[int]]:
    """Cuts iterations into the sub-batches that discriminator updates see."""
    return [batch[first : first + size] for batch in run for first in range(0, len(batch), size)]


def test_an_iteration_does_not_depend_on_what_came_before() -> None:
    """Catches: `start_iteration` ignored (the fault of a naive resume); a cached permutation of another epoch."""
    run = list(islice(sampler(), 20))
    for start in (0, 1, 7, 8, 19):
        assert next(iter(sampler(start=start))) == run[start]
    backwards = sampler()
    assert [backwards.batch(iteration) for iteration in reversed(range(20))] == run[::-1]


def test_an_epoch_shows_every_image_at_most_once_over_all_ranks() -> None:
    """Catches: rank ignored; ranks that shuffle for themselves; slots that overlap; a tail that wraps around."""
    ranks = [sub_batches(list(islice(sampler(rank, 3, batch_size=4), 8)), 4) for rank in range(3)]
    for epoch in range(3):
        seen = [index for rank in ranks for part in rank[8 * epoch : 8 * (epoch + 1)] for index in part]
        assert len(seen) == 96
        assert len(set(seen)) == 96


def test_two_ranks_see_what_one_rank_with_the_double_batch_sees() -> None:
    """Catches: rank ignored; rank-major slots (rank r taking the r-th half of the epoch)."""
    one = sub_batches(list(islice(sampler(), 10)), 12)
    first, second = (sub_batches(list(islice(sampler(rank, 2, batch_size=6), 10)), 6) for rank in (0, 1))
    assert [a + b for a, b in zip(first, second, strict=True)] == one


def test_epochs_and_seeds_shuffle_differently() -> None:
    """Catches: epoch or seed left out of the permutation's seed."""
    run = sub_batches(list(islice(sampler(), 8)), 12)
    assert run[0] != run[8]
    assert next(iter(sampler(seed=6))) != next(iter(sampler(seed=5)))


def test_the_global_generator_is_left_alone() -> None:
    """Catches: `torch.randperm` without a generator."""
    before = torch.get_rng_state()
    list(islice(sampler(), 10))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_batch_larger_than_the_data_is_refused() -> None:
    """Catches: world size left out of the check; Lightning would train zero batches and report success."""
    sampler(world_size=8)
    with pytest.raises(
        DataError, match=r"batch_size=12 on 9 device.*108.*103; set data.batch_size to at most 11"
    ):
        sampler(world_size=9)


def test_empty_batches_are_refused() -> None:
    """Catches: a missing check (division by zero)."""
    with pytest.raises(ConfigurationError, match=r"data\.batch_size=0"):
        sampler(batch_size=0)


def test_places_are_those_of_one_process_with_the_whole_batch() -> None:
    """Catches: ranks that cut alike, an order that places share, places outside of [0, 1) or of single precision."""
    one = [sampler(batch_size=12).places(iteration).view(SUB_BATCHES, 12, 2) for iteration in range(3)]
    first, second = (
        [sampler(rank, 2, batch_size=6).places(iteration).view(SUB_BATCHES, 6, 2) for iteration in range(3)]
        for rank in (0, 1)
    )
    for whole, *halves in zip(one, first, second, strict=True):
        assert torch.equal(whole, torch.cat(halves, 1))
    every = torch.cat(one)
    assert every.dtype == torch.float64
    assert len(every.unique()) == every.numel()
    assert every.min() >= 0
    assert every.max() < 1
    assert not torch.equal(sampler(seed=6).places(0), sampler(seed=5).places(0))
