"""Random numbers that need no saved state."""

import pytest
import torch

from ganlab.noise import Noise, mix, seed_global


def test_ranks_share_one_stream_by_rows() -> None:
    """Catches: every rank with the same numbers, or a stream that depends on the number of ranks."""
    one = Noise(mix(0, "latents", 7)).normal(6, 2)
    two = [Noise(mix(0, "latents", 7), rank=rank, world_size=2).normal(3, 2) for rank in (0, 1)]
    assert torch.equal(one, torch.cat(two))


def test_purpose_step_and_seed_all_count() -> None:
    """Catches: `seed + g_step`, under which (seed 0, step 1) repeats (seed 1, step 0)."""
    seeds = {mix(seed, purpose, step) for seed in range(3) for purpose in ("a", "b") for step in range(3)}
    assert len(seeds) == 18


def test_mix_is_the_same_in_every_process() -> None:
    """Catches: Python's salted `hash`; the number was computed once and must never change."""
    assert mix(0, "latents", 7) == 1391675961354273522


def test_global_generator_is_untouched() -> None:
    state = torch.get_rng_state()
    Noise(1).uniform(4)
    assert torch.equal(torch.get_rng_state(), state)


def test_layers_on_a_cpu_draw_as_after_manual_seed() -> None:
    """Catches: another seed, or a generator that is not the global one: dropout would draw other masks."""
    torch.manual_seed(7)
    expected = torch.rand(4)
    seed_global(7, torch.device("cpu"))
    assert torch.equal(torch.rand(4), expected)


def test_generators_of_other_devices_are_seeded_where_those_train(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: a GPU's own generator left as it was; on a CPU, the stack's text written for devices not in use."""
    seeded: list[int] = []
    monkeypatch.setattr(torch, "manual_seed", seeded.append)
    seed_global(7, torch.device("cpu"))
    assert seeded == []
    seed_global(7, torch.device("cuda"))
    assert seeded == [7]
