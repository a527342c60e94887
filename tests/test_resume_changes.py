"""What changes when a run is continued: what is typed is used, or refused by name, and never only recorded."""

from pathlib import Path
from typing import Any

import pytest
import torch

from ganlab.build import run as building
from ganlab.callbacks.recorder import Recorder
from ganlab.cli import compose_config
from ganlab.errors import ConfigurationError, DataError
from ganlab.runs.checkpoint_file import load_checkpoint
from ganlab.runs.folder import RunFolder
from ganlab.runs.resumption import make_plan
from ganlab.train import train
from ganlab.training.generative import GenerativeModule

TINY = (
    *("model=gan", "data=digits", "data.image_size=8", "data.batch_size=8", "trainer=cpu", "metrics=none"),
    *("model.latent_dim=2", "model.generator.channels=4", "model.discriminator.channels=4"),
    *("logger=none", "log.every_g_steps=1", "samples.num=2", "watchdog.action=none"),
)


def run(run_dir: Path, g_steps: int, *overrides: str) -> dict[str, Any]:
    train(compose_config(*TINY, *overrides, f"run_dir={run_dir}", f"budget.g_steps={g_steps}"))
    return load_checkpoint(run_dir / "checkpoints" / "last.ckpt")


def groups(state: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The options of each optimiser."""
    return {name: each["param_groups"][0] for name, each in state["optimizers"].items()}


# --- resume=force: optimisers


@pytest.mark.parametrize("schedule", ["constant", "linear"])
def test_force_uses_the_options_of_optimisers_that_are_typed(tmp_path: Path, schedule: str) -> None:
    """Catches: the checkpoint's rates, betas, eps and decay, which win over what is typed and recorded."""
    begun = ("optimizer=adamw", f"schedule={schedule}")
    before = groups(run(tmp_path / "run", 2, *begun))
    assert {each["lr"] for each in before.values()} != {0.1}
    typed = (
        "optimizer.lr=0.1",
        "optimizer.betas=[0.3,0.7]",
        "optimizer.eps=1e-4",
        "optimizer.weight_decay=0.5",
    )
    state = run(tmp_path / "run", 4, *begun, *typed, "optimizer.generator.lr=0.2", "resume=force")
    factor = 1 if schedule == "constant" else 1 - 3 / 100_000  # of the last iteration, number 3
    for name, lr in (("generator", 0.2), ("discriminator", 0.1)):
        options = groups(state)[name]
        assert options["lr"] == pytest.approx(lr * factor, rel=1e-9)
        assert options["initial_lr"] == lr
        assert list(options["betas"]) == [0.3, 0.7]
        assert (options["eps"], options["weight_decay"]) == (1e-4, 0.5)
        assert {int(memory["step"]) for memory in state["optimizers"][name]["state"].values()} == {4}
    line = RunFolder(tmp_path / "run").metrics()[-1]
    assert line["train/lr"] == pytest.approx(0.2 * factor)


def test_force_ends_a_curve_of_an_optimiser(tmp_path: Path) -> None:
    """Catches: the last value of a curve that is no longer there."""
    run(tmp_path / "run", 2, "+schedules.optimizer.betas=[[0,[0.1,0.2]],[10,[0.3,0.4]]]")
    options = groups(run(tmp_path / "run", 3, "resume=force"))
    assert [list(each["betas"]) for each in options.values()] == [[0.5, 0.999]] * 2


def test_force_uses_another_optimiser_if_it_has_its_memory(tmp_path: Path) -> None:
    """Catches: weight decay of AdamW computed as Adam's, which is part of the gradient."""
    run(tmp_path / "run", 2)
    state = run(tmp_path / "run", 3, "optimizer=adamw", "resume=force")
    assert all(each["decoupled_weight_decay"] for each in groups(state).values())
    with pytest.raises(
        ConfigurationError, match=r"optimizer\.discriminator: RMSprop needs square_avg of each weight"
    ):
        run(tmp_path / "run", 4, "optimizer=rmsprop", "resume=force")
    with pytest.raises(ConfigurationError, match=r"Adam needs max_exp_avg_sq of each weight"):
        run(tmp_path / "run", 4, "+optimizer.discriminator.amsgrad=true", "resume=force")
    assert load_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")["counters"]["g_step"] == 3


def test_how_an_optimiser_computes_is_typed_anew(tmp_path: Path) -> None:
    """Catches: `speed.fused_optimizer=false` recorded, and the checkpoint's way gone on with."""
    assert [each["fused"] for each in groups(run(tmp_path / "run", 1)).values()] == [True, True]
    options = groups(run(tmp_path / "run", 2, "speed.fused_optimizer=false"))
    assert not any(each["fused"] for each in options.values())


def test_what_a_callback_has_made_of_a_rate_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: an exact resumption that forgets what the run has done to its own options."""
    end = GenerativeModule._end_iteration

    def halving(self: GenerativeModule, batch_size: int) -> None:
        end(self, batch_size)
        for optimizer in self.trainer.optimizers:
            optimizer.param_groups[0]["initial_lr"] /= 2

    monkeypatch.setattr(GenerativeModule, "_end_iteration", halving)
    whole = run(tmp_path / "whole", 4)
    run(tmp_path / "parts", 2)
    assert groups(run(tmp_path / "parts", 4)) == groups(whole)


# --- resume=force: the rest of the mathematics


def test_force_begins_an_average_with_the_present_weights(tmp_path: Path) -> None:
    """Catches: an average of the run that begins with fresh random weights, and takes long to forget them."""
    run(tmp_path / "run", 20, "optimizer.lr=0.01", "seed=3")
    overrides = ("optimizer.lr=0.01", "seed=3", "ema=default", "ema.warmup=null", "ema.half_life_images=1e9")
    state = run(tmp_path / "run", 21, *overrides, "resume=force")
    for key, value in state["generator"].items():
        difference = (state["ema"][f"generator.{key}"] - value).abs().max()
        assert difference <= 0.05, key  # what one iteration changes; random weights are 0.5 apart
    fresh = run(tmp_path / "fresh", 1, *overrides)
    assert any(
        (fresh["ema"][f"generator.{key}"] - value).abs().max() > 0.05
        for key, value in state["generator"].items()
    )


@pytest.mark.parametrize(
    ("override", "words"),
    [
        (
            "initialize.run=/no/such/run",
            r"has begun with another initialize\.run \(was None, now /no/such/run\)",
        ),
        ("initialize.into=layers", r"has begun with another initialize\.into"),
    ],
)
def test_force_refuses_what_comes_too_late(tmp_path: Path, override: str, words: str) -> None:
    """Catches: a run of random weights that records those of another."""
    run(tmp_path / "run", 1)
    with pytest.raises(ConfigurationError, match=words):
        run(tmp_path / "run", 2, override, "resume=force")


@pytest.mark.parametrize(
    "override",
    [
        "model.generator.channels=8",
        "constraint=spectral_norm",
        "balance=accuracy",
        "model.latent_dim=3",
        "loss=began",
    ],
)
def test_force_refuses_what_has_no_state_there(tmp_path: Path, override: str) -> None:
    run(tmp_path / "run", 1)
    with pytest.raises(DataError, match="does not fit this run"):
        run(tmp_path / "run", 2, override, "resume=force")


def test_force_takes_other_parts_from_now_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: a part that is recorded and not used."""
    run(tmp_path / "run", 2)
    typed = (
        "loss=hinge",
        "penalty=r1",
        "n_critic=2",
        "top_k=0.5",
        "augment=flip",
        "schedule=cosine",
        "seed=9",
    )
    modules: list[Any] = []
    load = GenerativeModule.load_state

    def looked_at(self: GenerativeModule, state: dict[str, Any]) -> None:
        modules.append(self)
        load(self, state)

    monkeypatch.setattr(GenerativeModule, "load_state", looked_at)
    state = run(tmp_path / "run", 4, *typed, "max_grad_norm.generator=0.5", "resume=force")
    (module,) = modules
    assert type(module.loss).__name__ == "Hinge"
    assert module.loss.top_k == 0.5
    assert module.optimization.max_grad_norm_generator == 0.5
    assert module.seed == 9
    assert state["counters"]["d_step"] == 2 + 2 * 2
    assert "train/penalty" in RunFolder(tmp_path / "run").metrics()[-1]


# --- The total batch


def test_another_total_batch_is_refused_by_name(tmp_path: Path) -> None:
    """Catches: twice the images an update, without a word, because only the devices changed."""
    run(tmp_path / "run", 1)
    config = compose_config(*TINY, f"run_dir={tmp_path / 'run'}", "trainer.devices=2")
    words = (
        r"total_batch_size \(was 8, now 16\) \(total_batch_size is trainer.devices x trainer.num_nodes x data"
    )
    with pytest.raises(ConfigurationError, match=words):
        make_plan(config)


def test_other_factors_of_the_total_batch_continue(tmp_path: Path) -> None:
    """Catches: the batch of one device taken for the mathematics."""
    run(tmp_path / "run", 1)
    for overrides in (
        ("trainer.devices=2", "data.batch_size=4"),
        ("trainer.devices=2", "trainer.num_nodes=2", "data.batch_size=2"),
        ("trainer.devices=[0,1]", "data.batch_size=4"),
    ):
        plan = make_plan(compose_config(*TINY, f"run_dir={tmp_path / 'run'}", "budget.g_steps=9", *overrides))
        assert plan.found is not None


def test_devices_that_the_machine_decides_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a run of `auto` that another machine continues with another batch, or that records no number."""
    state = run(tmp_path / "run", 1, "trainer.devices=auto")
    assert "devices: 1\n" in state["config"]
    run(tmp_path / "run", 2)
    monkeypatch.setattr(building, "count_devices", lambda accelerator: 2)
    with pytest.raises(ConfigurationError, match=r"total_batch_size \(was 8, now 16\)"):
        run(tmp_path / "run", 3, "trainer.devices=auto")


def test_devices_that_an_older_version_left_open_follow_from_the_images_seen(tmp_path: Path) -> None:
    """Catches: a run on all GPUs of a machine that no number of them continues."""
    path = tmp_path / "run" / "checkpoints" / "last.ckpt"
    state = run(tmp_path / "run", 2, "n_critic=2")
    state["config"] = state["config"].replace("devices: 1\n", "devices: auto\n")
    state["counters"]["images_seen"] *= 4
    torch.save(state, path)
    (path.parent / "manifest.jsonl").unlink()
    typed = (*TINY, f"run_dir={tmp_path / 'run'}", "n_critic=2", "budget.g_steps=3")
    assert make_plan(compose_config(*typed, "trainer.devices=4")).found
    with pytest.raises(ConfigurationError, match=r"total_batch_size \(was 32, now 8\)"):
        make_plan(compose_config(*typed))


# --- Two commands in one folder


def test_a_run_that_another_process_has_gone_on_with_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a plan that was made before another process trained the run, and writes an older state over its own."""
    run(tmp_path / "run", 1)
    setup, others = Recorder.setup, [True]

    def late(self: Recorder, *arguments: Any, **stage: Any) -> None:
        if others.pop() if others else False:
            run(tmp_path / "run", 3)  # between our look and our lock
        setup(self, *arguments, **stage)

    monkeypatch.setattr(Recorder, "setup", late)
    with pytest.raises(ConfigurationError, match="another process has written to this run while process"):
        run(tmp_path / "run", 2)
    assert load_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")["counters"]["g_step"] == 3
    assert run(tmp_path / "run", 4)["counters"]["g_step"] == 4


def test_the_second_of_two_commands_ends_with_status_2(tmp_path: Path) -> None:
    """Catches: a fault of the storage, which a user would look for on the disk."""
    owner = RunFolder(tmp_path / "run")
    owner.open(compose_config(*TINY, f"run_dir={tmp_path / 'run'}"), {})
    with pytest.raises(
        ConfigurationError, match=r"process \d+ on .* is writing to this run.*process \d+"
    ) as caught:
        run(tmp_path / "run", 1)
    assert caught.value.exit_status == 2
    assert "\n" not in str(caught.value)
    owner.close()
