"""Parts beside the networks that remember something: checkpoints carry it, ranks hold the same, or a line refuses."""

from pathlib import Path
from typing import Any

import pytest
import rank_work
import torch
from fault_commands import PAIR, TINY
from two_ranks import two_ranks

from ganlab.build.module import build_module
from ganlab.cli import compose_config
from ganlab.errors import ConfigurationError, DataError
from ganlab.runs.checkpoint_file import load_checkpoint, save_checkpoint
from ganlab.train import train
from tests.test_resume import assert_equal_state

SOFTENING = "+callbacks.soft={_target_: remembering.Softening}"
PARTS = (
    "+augment.light={_target_: remembering.Lightening}",
    "+penalty._target_=remembering.Growing",
    "+penalty.weight=0.01",
    "+penalty.interval=2",
    "+constraint._target_=remembering.Shrinking",
)
RECIPE = (*TINY, "loss=began", *PARTS, SOFTENING, "checkpoint.every_g_steps=1000")
LAST = Path("checkpoints") / "last.ckpt"


def run(run_dir: Path, g_steps: int, *recipe: str) -> dict[str, Any]:
    train(compose_config(*recipe, f"run_dir={run_dir}", f"budget.g_steps={g_steps}"))
    return load_checkpoint(run_dir / LAST)


def test_memories_are_saved_and_restored(tmp_path: Path) -> None:
    """Catches a part whose memory is left out of the checkpoint, or not restored from it."""
    whole = run(tmp_path / "whole", 5, *RECIPE)
    fresh = build_module(compose_config(*RECIPE)).memories
    for name in ("augment.light.mean", "penalty.times", "constraint.factor", "loss.k"):
        owner, _, key = name.rpartition(".")
        assert not torch.equal(whole["memories"][owner][key], fresh[owner].state_dict()[key]), name
    run(tmp_path / "parts", 2, *RECIPE)
    assert_equal_state(whole, run(tmp_path / "parts", 5, *RECIPE))


def test_loss_of_an_autoencoder_is_remembered() -> None:
    """Catches a memory that the other loop does not save."""
    words = ("loss._target_=remembering.Warming", "~loss.std", "~loss.kl_weight")
    module = build_module(compose_config("model=vae", "data=digits", "data.image_size=8", *words))
    assert list(module.memories["loss"].state_dict()) == ["times"]
    assert "loss.times" in module.named_tensors()


def test_memories_move_and_are_watched_with_the_networks() -> None:
    """Catches a memory left on the host, out of the broadcast at the start, or out of the comparison of ranks."""
    module = build_module(compose_config(*RECIPE))
    names = ("augment.light.mean", "penalty.times", "constraint.factor")
    assert set(names) < module.named_tensors().keys()
    registered = {id(buffer) for buffer in module.buffers()}
    assert registered >= {id(module.named_tensors()[name]) for name in names}


def test_memories_of_two_ranks_resume(tmp_path: Path) -> None:
    """Catches a memory that one rank alone restores; the ranks compare theirs by themselves."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    runs = [(whole, 5), (parts, 2), (parts, 5)]
    recipes = [(*RECIPE, *PAIR, f"run_dir={run_dir}", f"budget.g_steps={num}") for run_dir, num in runs]
    two_ranks(rank_work.train_each, *recipes)
    assert_equal_state(load_checkpoint(whole / LAST), load_checkpoint(parts / LAST))


@pytest.mark.parametrize("fault", ["missing", "late"])
def test_memories_that_cannot_be_restored(fault: str, tmp_path: Path) -> None:
    """Catches a memory that begins anew in silence: not in the checkpoint, or registered when it is too late."""
    late = fault == "late"
    recipe = (*TINY, f"+augment.light={{_target_: remembering.Lightening, late: {str(late).lower()}}}")
    state = run(tmp_path, 2, *recipe)
    if not late:
        del state["memories"]["augment.light"]
        (tmp_path / "checkpoints" / "manifest.jsonl").unlink()
        save_checkpoint(tmp_path / LAST, {key: value for key, value in state.items() if key != "format"})
    says = "unknown" if late else "missing"
    with pytest.raises(DataError, match=rf"memories\.augment\.light\.mean is {says}") as raised:
        run(tmp_path, 3, *recipe)
    assert "\n" not in str(raised.value)


def test_checkpoints_of_before_are_read(tmp_path: Path) -> None:
    """Catches: older checkpoints refused for want of parts that they do not name, or their memories lost by a name."""
    recipe = (*TINY, "auxiliary=historical_averaging")
    state = run(tmp_path, 2, *recipe)
    memory = state["memories"]["auxiliary.historical_averaging"]
    state["memories"] = {"auxiliary": {f"historical_averaging.{key}": value for key, value in memory.items()}}
    (tmp_path / "checkpoints" / "manifest.jsonl").unlink()
    torch.save({**state, "format": 2}, tmp_path / LAST)
    again = run(tmp_path, 3, *recipe)
    assert again["counters"]["g_step"] == 3
    assert again["memories"]["auxiliary.historical_averaging"]["generator_history.num_updates"] == 3


@pytest.mark.parametrize("part", ["augment.light", "penalty"])
def test_micro_batches_refuse_a_memory_of_batches(part: str) -> None:
    """Catches a memory that moves once for each part of a batch."""
    recipe = {"augment.light": PARTS[:1], "penalty": PARTS[1:4]}[part]
    with pytest.raises(ConfigurationError, match=rf"micro_batches=2: {part} remembers.*micro_batches=1"):
        build_module(compose_config(*TINY, *recipe, "micro_batches=2"))


def test_state_of_a_callback_is_saved_and_restored(tmp_path: Path) -> None:
    """Catches a callback of one's own that begins anew when the run goes on."""
    whole = run(tmp_path / "whole", 5, *TINY, SOFTENING)
    assert list(whole["callbacks"].values()) == [{"factor": pytest.approx(1 - 0.1 / 2**5)}]
    run(tmp_path / "parts", 2, *TINY, SOFTENING)
    assert_equal_state(whole, run(tmp_path / "parts", 5, *TINY, SOFTENING))


def test_state_of_a_callback_that_no_checkpoint_can_hold(tmp_path: Path) -> None:
    """Catches a checkpoint that is written and can never be read again."""
    alien = "+callbacks.soft={_target_: remembering.Softening, alien: true}"
    with pytest.raises(ConfigurationError, match=r"Softening.* holds a PosixPath.*state_dict") as raised:
        run(tmp_path, 2, *TINY, alien)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("schedule", ["schedule._target_=remembering.Stepping"]),
        (
            "schedules.penalty.weight",
            ["penalty=r1", "+schedules.penalty.weight={_target_: remembering.Stepping}"],
        ),
    ],
)
def test_a_schedule_with_a_memory_is_refused(key: str, words: list[str]) -> None:
    """Catches a count that begins anew when the run goes on."""
    with pytest.raises(ConfigurationError, match=rf"^{key}: a schedule is a function of g_step") as raised:
        build_module(compose_config(*TINY, *words))
    assert "\n" not in str(raised.value)


AGEING = ("+penalty._target_=remembering.Ageing", "+penalty.weight=1", "+penalty.interval=1")


@pytest.mark.parametrize(
    ("words", "named", "is_saved"),
    [
        (AGEING, r"penalty: .*Ageing\.age from 0 to 1", False),
        (
            ("+augment.dark={_target_: remembering.Fading}",),
            r"augment\.dark: .*Fading\.factor from 1\.0 to",
            False,
        ),
        (
            (*AGEING, "+penalty.since=1", "checkpoint.every_g_steps=2"),
            r"penalty: .*Ageing\.age from 0 to 1",
            False,
        ),
        ((*AGEING, "+penalty.since=2"), r"penalty: .*Ageing\.age from 0 to 1", True),
    ],
)
def test_a_number_that_no_checkpoint_carries_is_refused(
    words: tuple[str, ...], named: str, is_saved: bool, tmp_path: Path
) -> None:
    """Catches a plain count that begins anew in silence: seen after the first iteration, at a save, at the end."""
    with pytest.raises(ConfigurationError, match=named) as raised:
        run(tmp_path, 3, *TINY, "checkpoint.every_g_steps=1000", *words)
    assert "\n" not in str(raised.value)
    assert (tmp_path / LAST).exists() == is_saved


def test_a_scheduled_number_may_change(tmp_path: Path) -> None:
    """Catches a curve's own number, which follows from g_step, taken for a memory."""
    curve = "+schedules.penalty.weight=[[0,1.0],[3,0.0]]"
    assert run(tmp_path, 3, *TINY, "penalty=r1", curve)["counters"]["g_step"] == 3
