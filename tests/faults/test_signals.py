"""K3, K4: a signal ends a run at an iteration boundary, with a checkpoint and the exit status that says why."""

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import scoring_work
import torch
from fault_commands import ENDING, PAIR, STARTING, TINY, started, wait_until
from two_ranks import two_ranks

from ganlab.callbacks import interrupt
from ganlab.callbacks.interrupt import REPEAT_SECONDS, Interrupt, Interrupted, StopWork
from ganlab.callbacks.samples import Samples
from ganlab.cli import compose_config
from ganlab.runs.checkpoint_file import load_checkpoint
from ganlab.runs.folder import RunFolder
from ganlab.train import train
from ganlab.training.adversarial import GANModule
from tests.test_resume import assert_equal_state

RECIPE = (*TINY, "n_critic=2", "ema=default", "checkpoint.every_g_steps=2")


def run(run_dir: Path, g_steps: int) -> dict[str, Any]:
    train(compose_config(*RECIPE, f"run_dir={run_dir}", f"budget.g_steps={g_steps}"))
    return load_checkpoint(run_dir / "checkpoints" / "last.ckpt")


def signal_between_updates(monkeypatch: pytest.MonkeyPatch, *numbers: signal.Signals) -> None:
    """Lets the fourth iteration be signalled between D's and G's update."""
    step: Callable[..., Any] = GANModule._generator_step

    def interrupted(self: GANModule, *arguments: Any) -> Any:
        if self.counters.g_step == 3:
            for number in numbers:
                signal.raise_signal(number)
        return step(self, *arguments)

    monkeypatch.setattr(GANModule, "_generator_step", interrupted)


@pytest.fixture
def scontrol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Puts a `scontrol` on the path that notes its arguments in the file returned; `FAIL` makes it fail."""
    script, calls = tmp_path / "bin" / "scontrol", tmp_path / "calls"
    script.parent.mkdir()
    script.write_text(
        f'#!/bin/sh\necho "$*" >> {calls}\n[ -z "$FAIL" ] || {{ echo no such job >&2; exit 1; }}\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "42")
    return calls


def test_preemption_saves_and_asks_for_another_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: SIGUSR1 left to its default (the process dies unsaved), a save between D's and G's update, a second
    SIGUSR1 that ends the run at once, and an exit status that no scheduler takes for "again"."""
    whole = run(tmp_path / "whole", 6)
    signal_between_updates(monkeypatch, signal.SIGUSR1, signal.SIGUSR1)
    with pytest.raises(
        Interrupted, match="SIGUSR1 received: stopped and saved at g_step 4; run the same"
    ) as caught:
        run(tmp_path / "parts", 6)
    monkeypatch.undo()
    assert caught.value.exit_status == 75
    assert RunFolder(tmp_path / "parts").status()["status"] == "interrupted"
    counters = load_checkpoint(tmp_path / "parts" / "checkpoints" / "last.ckpt")["counters"]
    assert (counters["g_step"], counters["d_step"]) == (4, 8)
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL
    assert_equal_state(whole, run(tmp_path / "parts", 6))


@pytest.mark.parametrize(
    ("environment", "sequel"),
    [
        ({}, "job 42 is queued again"),
        ({"SLURM_ARRAY_JOB_ID": "40", "SLURM_ARRAY_TASK_ID": "7"}, "job 40_7 is queued again"),
        ({"FAIL": "1"}, r"scontrol requeue 42 failed \(no such job\): submit the same command again"),
    ],
    ids=["job", "array", "refused"],
)
def test_slurm_queues_the_job_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scontrol: Path, environment: dict[str, str], sequel: str
) -> None:
    """Catches: no request, one for the wrong job of an array, and a refused one that is not reported."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    signal_between_updates(monkeypatch, signal.SIGUSR1)
    with pytest.raises(Interrupted, match=sequel):
        run(tmp_path / "run", 6)
    assert scontrol.read_text() == f"requeue {'40_7' if 'SLURM_ARRAY_JOB_ID' in environment else 42}\n"
    assert load_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")["counters"]["g_step"] == 4


def test_one_rank_queues_the_job_again(monkeypatch: pytest.MonkeyPatch, scontrol: Path) -> None:
    """Catches: a request of each rank, the second of which Slurm refuses; a rank that says that nobody has asked."""
    monkeypatch.setattr(interrupt, "REPEAT_SECONDS", 0)
    module = GANModule.__new__(GANModule)
    module.__dict__["counters"] = SimpleNamespace(g_step=4)
    with pytest.raises(Interrupted, match="at g_step 4; rank 0 queues the job again"):
        Interrupt._leave(cast(Any, SimpleNamespace(is_global_zero=False)), module, signal.SIGUSR1)
    assert not scontrol.exists()


def test_other_signals_queue_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scontrol: Path) -> None:
    """Catches: a cancelled job that comes back."""
    signal_between_updates(monkeypatch, signal.SIGTERM)
    with pytest.raises(Interrupted):
        run(tmp_path / "run", 6)
    assert not scontrol.exists()


def test_signal_after_training_is_answered_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: a signal during the final evaluation or picture that waits for an iteration which never comes. The
    rerun trains nothing."""
    draw, ended_at = Samples._draw, []

    def signalled(self: Samples, trainer: Any, module: Any) -> None:
        if module.counters.g_step == 3:
            signal.raise_signal(signal.SIGTERM)
            ended_at.append("later")
        draw(self, trainer, module)

    monkeypatch.setattr(Samples, "_draw", signalled)
    with pytest.raises(Interrupted, match="g_step 3") as caught:
        run(tmp_path / "run", 3)
    monkeypatch.undo()
    assert (caught.value.exit_status, ended_at) == (143, [])
    state = load_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")
    assert_equal_state(state, run(tmp_path / "run", 3))
    assert RunFolder(tmp_path / "run").status()["status"] == "finished"


def test_signal_that_repeats_itself_counts_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `scancel` does to a sweep's job, and torchrun to its ranks. Catches: a repetition taken for a second signal,
    which would leave without a save."""
    signal_between_updates(monkeypatch, signal.SIGTERM, signal.SIGTERM, signal.SIGINT)
    with pytest.raises(Interrupted, match="g_step 4"):
        run(tmp_path / "run", 6)
    assert load_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")["counters"]["g_step"] == 4


def test_repetition_finds_its_handler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: a run that has stopped at once and given its handlers back, so that the repetition ends the process
    before the run folder says how it ended."""
    too_late: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: too_late.append(number))
    signal_between_updates(monkeypatch, signal.SIGTERM)
    step = GANModule._generator_step

    def repeated(self: GANModule, *arguments: Any) -> Any:
        if self.counters.g_step == 3:
            threading.Timer(0.8 * REPEAT_SECONDS, os.kill, (os.getpid(), signal.SIGTERM)).start()
        return step(self, *arguments)

    monkeypatch.setattr(GANModule, "_generator_step", repeated)
    try:
        with pytest.raises(Interrupted):
            run(tmp_path / "run", 6)
        time.sleep(REPEAT_SECONDS)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert too_late == []


def test_signals_are_told_apart_by_when_they_came(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: a repetition that Python could handle only later (the main thread was in a library) taken for a second
    signal; a process that does not answer ended by one; one that is not ended by the second, or by the first of its
    kind after another."""
    left: list[int] = []
    monkeypatch.setattr(os, "_exit", left.append)
    monkeypatch.setattr(interrupt, "LEAVE_SECONDS", 0.05)
    before = {number: signal.signal(number, lambda *_: None) for number in Interrupt.SIGNALS}
    second = interrupt._SecondSignal(Interrupt.SIGNALS)
    second.start()
    try:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        time.sleep(1.2 * REPEAT_SECONDS)
        assert not second.came()
        assert left == []
        signal.raise_signal(signal.SIGINT)
        assert second.came()
        wait_until(lambda: left, 10.0)
    finally:
        second.stop()
        for number, handler in before.items():
            signal.signal(number, handler)
    assert left == [128 + signal.SIGINT]


def test_second_interrupt_ends_a_process_that_hangs(tmp_path: Path) -> None:
    """K4. Catches: a second Ctrl-C that Python cannot answer because the main thread is in a library (waiting for
    another rank, for the device); the older checkpoint is whole."""
    fault = "+callbacks.fault={_target_: fault_parts.Hangs, g_step: 5}"
    with started(tmp_path / "run", *RECIPE, fault, f"+callbacks.fault.file={tmp_path / 'hangs'}") as command:
        wait_until((tmp_path / "hangs").exists, STARTING)
        pid = command.ranks()[0]
        os.kill(pid, signal.SIGINT)
        time.sleep(2 * REPEAT_SECONDS)
        os.kill(pid, signal.SIGINT)
        assert command.end(ENDING) == 130
    assert load_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")["counters"]["g_step"] == 4


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [("SIGTERM", 143), ("SIGINT", 130), ("SIGUSR1", 75)])
def test_signal_from_outside(tmp_path: Path, number: str, status: int) -> None:
    """K3 with processes. Catches what the tests in one process cannot: the status that the shell sees, and handlers
    that Hydra or Lightning install before."""
    whole = run(tmp_path / "whole", 40)
    slow = f"+callbacks.slow={{_target_: fault_parts.SlowBetweenUpdates, seconds: 0.2, file: {tmp_path / 'steps'}}}"
    with started(tmp_path / "run", *RECIPE, "budget.g_steps=40", slow) as command:
        wait_until(
            lambda: (tmp_path / "steps-0").exists() and (tmp_path / "steps-0").stat().st_size > 3, STARTING
        )
        os.kill(command.process.pid, signal.Signals[number])
        assert command.end(ENDING) == status
        assert number in command.errors()[0]
    counters = load_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")["counters"]
    assert 0 < counters["g_step"] < 40
    assert counters["d_step"] == 2 * counters["g_step"]
    assert_equal_state(whole, run(tmp_path / "run", 40))


SCORED = ("evaluate.every_g_steps=2", "evaluate.num_samples=41", "evaluate.batch_size=2", "budget.g_steps=3")


@pytest.mark.slow
def test_evaluation_gives_way_to_a_signal(tmp_path: Path) -> None:
    """K3 in an evaluation, as a process. Catches: a signal that waits for the last of the images, their score written
    all the same, and a run that goes on without it."""
    batches = tmp_path / "batches"
    slow = f"+metrics.slow={{_target_: scoring_work.SlowFrechetDistance, seconds: 0.5, file: {batches}}}"
    with started(tmp_path / "run", *SCORED, slow) as command:
        wait_until(lambda: batches.exists() and batches.stat().st_size > 1, STARTING)
        os.kill(command.process.pid, signal.SIGTERM)
        assert command.end(ENDING) == 143
        assert "SIGTERM received: stopped and saved at g_step 2" in command.errors()[0]
    assert batches.stat().st_size < 21
    assert RunFolder(tmp_path / "run").results() == []
    quick = (*TINY, *SCORED, slow.replace("0.5", "0"))
    scores = [
        [(line["g_step"], line["metric"], line["value"]) for line in folder.results()]
        for folder in (
            train(compose_config(*quick, f"run_dir={tmp_path / name}")) for name in ("run", "whole")
        )
    ]
    assert scores[0] == scores[1]
    assert [g_step for g_step, *_ in scores[0]] == [2, 3]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rank", "begun", "g_step"),
    [(1, [3, 3], 2), (0, [14, 15], 3)],
    ids=["between_iterations", "after_training"],
)
def test_ranks_leave_an_evaluation_together(tmp_path: Path, rank: int, begun: list[int], g_step: int) -> None:
    """Catches: a rank that stops alone, in whose place the others wait; ranks that stop in different batches, of which
    rank 0 has one less than rank 1; scores made up for on one rank alone."""
    frechet = "+metrics.frechet._target_=ganlab.metrics.frechet.FrechetDistance"
    recipe = (*TINY, *SCORED, frechet, *PAIR, f"run_dir={tmp_path / 'run'}")
    ended = two_ranks(scoring_work.stop_one_rank, rank, begun[rank], *recipe)
    for outcome, _ in ended:
        assert outcome.startswith(f"143: SIGTERM received: stopped and saved at g_step {g_step}; ")
    assert [batches for _, batches in ended] == begun
    run = RunFolder(tmp_path / "run")
    assert [line["g_step"] for line in run.results()] == [2][: g_step - 2]
    again = two_ranks(scoring_work.stop_one_rank, rank, 0, *recipe)
    assert [outcome for outcome, _ in again] == ["finished"] * 2
    assert [line["g_step"] for line in run.results()] == [2, 3]


def test_ranks_remember_what_they_have_agreed_on() -> None:
    """Catches: an iteration trained after an interrupted evaluation, which nobody would make up for then: on a GPU the
    answer to a question comes with the next one."""
    interrupt = Interrupt(cast(Any, None))
    answers = iter([[(None, torch.tensor([15]))], []])
    interrupt._maximum = cast(Any, lambda *_: next(answers))
    trainer, module = cast(Any, SimpleNamespace(world_size=2)), cast(Any, SimpleNamespace(device="cpu"))
    with pytest.raises(StopWork):
        interrupt.stop_work(trainer, module)
    assert interrupt._agreed(trainer, module) == 15
