"""Runs and an export of earlier versions, kept in `tests/kept`, go on with today's code: see the README there."""

import copy
import json
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import rank_work
import torch
from PIL import Image
from two_ranks import two_ranks

import ganlab
import ganlab.train
from ganlab import evaluate, export, rerun, sample
from ganlab.build.restored import discriminator_from_run, from_run
from ganlab.cli import compose_config
from ganlab.runs.checkpoint_file import load_checkpoint
from ganlab.runs.comparison import compare, find_runs
from ganlab.runs.folder import RunFolder
from ganlab.train import train
from ganlab.training.generative import GenerativeModule
from tests.test_resume import tensors

KEPT = Path(__file__).parent / "kept" / "85a8587"
ATOL = {"plain": 1e-5, "penalised": 1e-3, "normalised": 1e-5, "vae": 1e-4, "ranks": 1e-5}
"""Allowed absolute difference, over all tensors, between two processors after four more iterations; see the README."""

NAMES = (*ATOL, "scored")

ONE_DEVICE = ("trainer.devices=1", "trainer.strategy=auto", "data.batch_size=8", "budget.g_steps=8")


def end_of(name: str) -> dict[str, Any]:
    """What the uninterrupted run had come to, with the code that began this one."""
    return load_checkpoint(KEPT / name / "end.ckpt")


def words_of(run: RunFolder) -> list[str]:
    """What was typed."""
    words: list[str] = run.status()["arguments"]
    return [*words, *(ONE_DEVICE if "trainer.devices=2" in words else ())]


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], RunFolder]:
    """Copies a kept run to where its command finds it: `runs/` of the working directory."""

    def copied(name: str) -> RunFolder:
        (folder,) = (path for path in (KEPT / name).iterdir() if path.is_dir())
        shutil.copytree(folder, tmp_path / "runs" / folder.name)
        monkeypatch.chdir(tmp_path)
        return RunFolder(Path("runs", folder.name))

    return copied


def state_of(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """All leaves of what a module's next iteration depends on."""
    about = ("format", "ganlab", "config", "identity", "data_sha256", "callbacks", "unlogged")
    return {
        key: value
        for key, value in tensors(checkpoint).items()
        if key.split(".")[1] not in about and not key.endswith(".seconds")
    }


def largest_difference(first: dict[str, Any], second: dict[str, Any]) -> float:
    """Over all tensors; everything else has to be equal."""
    one, other = state_of(first), state_of(second)
    assert one.keys() == other.keys()
    found = 0.0
    for key, value in one.items():
        if isinstance(value, torch.Tensor) and value.is_floating_point():
            found = (
                max(found, float((value.double() - other[key].double()).abs().max()))
                if value.numel()
                else found
            )
        elif isinstance(value, torch.Tensor):
            assert torch.equal(value, other[key]), key
        else:
            assert value == other[key], key
    return found


@pytest.mark.parametrize("name", ATOL)
def test_the_same_command_continues_it(
    kept: Callable[[str], RunFolder], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a hash that finds no folder of another version, an identity with a key more or less, a checkpoint that
    is read otherwise than it was written, and a step that computes something else. On the processor that made the runs
    the difference is 0."""
    run = kept(name)
    before = load_checkpoint(run.checkpoints / "last.ckpt")
    load, restored = GenerativeModule.load_state, []

    def load_and_look(self: GenerativeModule, state: dict[str, Any]) -> None:
        load(self, state)
        restored.append(copy.deepcopy(self.state()))

    monkeypatch.setattr(GenerativeModule, "load_state", load_and_look)
    folder = train(compose_config(*words_of(run)))
    assert (folder.path, [path.name for path in Path("runs").iterdir()]) == (run.path, [run.path.name])
    assert largest_difference(before, restored[0]) == 0
    after = load_checkpoint(run.checkpoints / "last.ckpt")
    assert after["counters"]["g_step"] == 8
    assert largest_difference(after, end_of(name)) <= ATOL[name]


def other_order(patch: pytest.MonkeyPatch) -> None:
    from ganlab.data.datamodule import GANDataModule

    patch.setattr(
        GANDataModule, "start_iteration", property(lambda self: 0, lambda self, value: None), raising=False
    )


def other_latents(patch: pytest.MonkeyPatch) -> None:
    noise = GenerativeModule._noise
    patch.setattr(GenerativeModule, "_noise", lambda self, purpose, count: noise(self, purpose, count + 1))


def no_memory(patch: pytest.MonkeyPatch) -> None:
    load = GenerativeModule.load_state

    def forgetful(self: GenerativeModule, state: dict[str, Any]) -> None:
        load(
            self,
            {
                **state,
                "optimizers": {name: {**each, "state": {}} for name, each in state["optimizers"].items()},
            },
        )

    patch.setattr(GenerativeModule, "load_state", forgetful)


@pytest.mark.parametrize("fault", [other_order, other_latents, no_memory])
@pytest.mark.parametrize(
    "name",
    [each if each in ("plain", "vae") else pytest.param(each, marks=pytest.mark.slow) for each in ATOL],
)
def test_a_fault_exceeds_the_tolerance(
    kept: Callable[[str], RunFolder],
    name: str,
    fault: Callable[[pytest.MonkeyPatch], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Catches: a tolerance that lets a wrong order of the data, wrong latents or lost moments of Adam pass."""
    run = kept(name)
    fault(monkeypatch)
    train(compose_config(*words_of(run)))
    state = load_checkpoint(run.checkpoints / "last.ckpt")
    end = end_of(name)
    for each in (
        state,
        end,
    ):  # the count of steps shows a fault too, but by itself would say nothing of the tolerance
        for optimizer in each["optimizers"].values():
            for memory in optimizer["state"].values():
                memory.pop("step", None)
    assert largest_difference(state, end) > 10 * ATOL[name]


@pytest.mark.slow
def test_two_ranks_continue_to_the_bit_of_two_ranks(kept: Callable[[str], RunFolder]) -> None:
    """Catches: a run of two processes that only one can continue."""
    run = kept("ranks")
    two_ranks(
        rank_work.train_each,
        (*run.status()["arguments"], f"run_dir={run.path.resolve()}", "budget.g_steps=8"),
    )
    assert (
        largest_difference(load_checkpoint(run.checkpoints / "last.ckpt"), end_of("ranks")) <= ATOL["ranks"]
    )


def test_it_is_the_same_recipe_as_a_run_of_today(kept: Callable[[str], RunFolder]) -> None:
    """Catches: a comparison that takes keys which came later for another recipe."""
    run = kept("plain")
    train(compose_config(*words_of(run), "seed=1", "budget.g_steps=1"))
    (row,) = compare(find_runs(["runs"])).rows
    assert row.settings["seeds"] == [0, 1]


def call(patch: pytest.MonkeyPatch, command: Any, *words: str) -> None:
    patch.setattr(sys, "argv", ["ganlab", *words])
    command.main()


@pytest.mark.parametrize("name", NAMES)
def test_its_networks_are_built_again(kept: Callable[[str], RunFolder], name: str) -> None:
    """Catches: a class that is no longer where the run says, or takes other arguments."""
    run = kept(name)
    _, generator, counters = from_run(run)
    assert counters["g_step"] == 4
    state = load_checkpoint(run.checkpoints / "last.ckpt")
    prefix, weights = ("generator.", state["ema"]) if state["ema"] else ("", state["generator"])
    for key, value in generator.state_dict().items():
        assert torch.equal(value, weights[prefix + key]), key
    if name != "vae":
        discriminator_from_run(run)


def test_it_is_sampled_exported_and_loaded(
    kept: Callable[[str], RunFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = kept("plain")
    call(monkeypatch, sample, f"run={run.path}", "num=2", "out=samples")
    with Image.open("samples/00000.png") as picture:
        assert picture.size == (8, 8)
    call(monkeypatch, export, f"run={run.path}", "out=export")
    old, new = ganlab.load(KEPT / "export"), ganlab.load("export")
    assert old.description["weights_sha256"] == new.description["weights_sha256"]
    torch.testing.assert_close(old.sample(4, seed=1), new.sample(4, seed=1), rtol=0, atol=0)


def test_it_is_scored(kept: Callable[[str], RunFolder], monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: a protocol that differs, so that its scores and today's stand in two columns."""
    run = kept("scored")
    before = run.results()
    call(monkeypatch, evaluate, f"run={run.path}")
    after = run.results()
    assert len(after) > len(before) > 0
    assert after[-1]["g_step"] == 4
    assert after[-1]["protocol"].keys() == before[-1]["protocol"].keys()


def test_it_is_made_again_by_its_own_command(
    kept: Callable[[str], RunFolder], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches: a rerun of an older run that is another recipe."""
    run = kept("plain")
    train(compose_config(*words_of(run)))
    path = run.path / "run.json"
    status = json.loads(path.read_text())
    old = json.loads((next((KEPT / "plain").glob("*/run.json"))).read_text())
    # Training from Python has no command; the folder still has the one that began it.
    path.write_text(
        json.dumps({**status, **{key: old[key] for key in ("arguments", "command", "directory")}})
    )

    def start(command: Sequence[str], cwd: Path, check: bool) -> Any:
        words = command[command.index("ganlab.train") + 1 :]
        train(compose_config(*words))
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(rerun, "subprocess", SimpleNamespace(run=start))
    call(monkeypatch, rerun, str(run.path))
    said = capsys.readouterr()
    assert "weights: equal to the bit at g_step 8" in said.out
    assert "(was" not in said.err
