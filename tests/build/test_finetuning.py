"""Fine-tuning: weights of another run, as far as they fit, and weights that are not trained."""

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from fault_commands import TINY
from torch import nn

from ganlab.build.finetuning import Fit, freeze, initialize
from ganlab.build.module import build_module
from ganlab.cli import compose_config
from ganlab.errors import ConfigurationError, DataError
from ganlab.runs.checkpoint_file import load_checkpoint, save_checkpoint
from ganlab.train import train
from ganlab.training.generative import GenerativeModule
from tests.build.test_module import GAN, NARROW, VAE, make
from tests.test_resume import assert_equal_state


def stage(number: int, image_size: int, channels: int = 8) -> GenerativeModule:
    return make(
        *(f"model=stackgan_stage{number}", "data=digits", f"data.image_size={image_size}", "ema=default"),
        *(f"model.generator.channels={channels}", "model.discriminator.channels=8"),
    )


def save(module: GenerativeModule, run: Path, name: str = "last", without: str = "") -> None:
    """Writes what another run may begin with, `without` a network or a tensor; the average is not the raw generator."""
    path = run / "checkpoints" / f"{name}.ckpt"
    path.parent.mkdir(parents=True, exist_ok=True)
    if module.ema is not None:
        for parameter in module.ema.parameters():
            parameter.data += 1
    networks: dict[str, Any] = {key: network.state_dict() for key, network in module.networks.items()}
    network, _, tensor = without.partition(".")
    if tensor:
        del networks[network][tensor]
    elif network:
        del networks[network]
    save_checkpoint(path, {**networks, "ema": module.ema.state_dict() if module.ema is not None else None})


def options(run: Path | None, checkpoint: str = "last", into: str | None = None) -> dict[str, Any]:
    return {"run": None if run is None else str(run), "checkpoint": checkpoint, "into": into}


def equal(first: nn.Module, second: nn.Module) -> bool:
    states = (first.state_dict(), second.state_dict())
    assert states[0].keys() == states[1].keys()
    return all(torch.equal(states[0][key], states[1][key]) for key in states[0])


@pytest.mark.parametrize("recipe", [GAN, VAE], ids=["gan", "vae"])
def test_all_networks_begin_with_another_runs_weights(recipe: tuple[str, ...], tmp_path: Path) -> None:
    """Catches a network left random, D's weights from G, the average for the raw G, and a stale average."""
    source, module = make(*recipe, "ema=default"), make(*recipe, "ema=default", seed=1)
    pairs = [(ours, source.networks[name]) for name, ours in module.networks.items()]
    assert len(pairs) == 2
    assert not any(equal(*pair) for pair in pairs)
    save(source, tmp_path)
    initialize(module, options(tmp_path))
    assert all(equal(*pair) for pair in pairs)
    assert module.ema is not None
    assert equal(module.ema.generator, module.generator)


def test_part_of_the_generator_begins_with_another_runs_average(tmp_path: Path) -> None:
    """Catches raw weights for averaged ones, stage II or D changed too, an average that keeps a random stage I."""
    first, second = stage(1, 8), stage(2, 32)
    before = copy.deepcopy(second)
    save(first, tmp_path)
    initialize(second, options(tmp_path, into="stage1"))
    assert first.ema is not None
    assert second.ema is not None
    for generator in (second.generator, second.ema.generator):
        assert isinstance(generator, nn.Module)
        assert equal(generator.get_submodule("stage1"), first.ema.generator)
    assert equal(second.networks["discriminator"], before.networks["discriminator"])
    assert equal(second.generator.get_submodule("encoder"), before.generator.get_submodule("encoder"))


def test_checkpoint_is_chosen(tmp_path: Path) -> None:
    """Catches `last.ckpt` whatever is asked for."""
    last, best, module = make(*GAN), make(*GAN, seed=1), make(*GAN, seed=2)
    save(last, tmp_path)
    save(best, tmp_path, "best")
    initialize(module, options(tmp_path, "best"))
    assert equal(module.generator, best.generator)


def test_no_run_leaves_the_weights_as_drawn() -> None:
    """Catches a file asked for where none is named."""
    module = make(*GAN)
    initialize(module, options(None))
    assert equal(module.generator, make(*GAN).generator)


def test_a_part_that_needs_a_run_is_given_none() -> None:
    """Catches a second stage trained on a random, frozen first one."""
    with pytest.raises(
        ConfigurationError, match=r"initialize\.run: stage1 .*initialize\.into=null"
    ) as raised:
        initialize(make(*GAN), options(None, into="stage1"))
    assert "\n" not in str(raised.value)


def test_missing_run(tmp_path: Path) -> None:
    """Catches a bare FileNotFoundError, and random weights taken in silence."""
    with pytest.raises(DataError, match=r"nowhere.*last\.ckpt: there is no such checkpoint") as raised:
        initialize(make(*GAN), options(tmp_path / "nowhere"))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("fault", ["width", "model", "part", "stage"])
def test_weights_that_do_not_fit(fault: str, tmp_path: Path) -> None:
    """Catches torch's many lines for one line; biases that fit by chance for a fit; a frozen stage left random."""
    into = None
    wide = ("model.generator.channels=16", "model.discriminator.channels=16")
    if fault in ("width", "model"):
        source, module = (
            make(*GAN, *wide) if fault == "width" else make(*VAE),
            make(*GAN, "data.image_size=8"),
        )
    elif fault == "part":
        source, module, into = make(*GAN), make(*GAN), "stage1"
    else:
        source, module, into = stage(1, 8, channels=16), stage(2, 32), "stage1"
    save(source, tmp_path)
    with pytest.raises(ConfigurationError, match=r"initialize\.run=.*do not fit") as raised:
        initialize(module, options(tmp_path, into=into))
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 600


def tune(source: GenerativeModule, module: GenerativeModule, run: Path, without: str = "") -> dict[str, Fit]:
    """Initializes a module by another; checks that each of its tensors is in one list, and what the list says."""
    given = {name: copy.deepcopy(network.state_dict()) for name, network in source.networks.items()}
    drawn = {name: copy.deepcopy(network.state_dict()) for name, network in module.networks.items()}
    save(source, run, without=without)
    inherited = initialize(module, options(run))
    assert inherited is not None
    for name, network in module.networks.items():
        fit, own = inherited.networks[name], network.state_dict()
        assert sorted([*fit.taken, *fit.drawn_anew]) == sorted(own)
        assert all(torch.equal(own[key], given[name][key]) for key in fit.taken)
        assert all(torch.equal(own[key], drawn[name][key]) for key in fit.drawn_anew)
    assert module.ema is None or equal(module.ema.generator, module.generator)
    return dict(inherited.networks)


PROJECTION = (
    "model=sngan_projection",
    "data=digits",
    "model.generator.channels=8",
    "model.discriminator.channels=8",
)


def test_other_classes(tmp_path: Path) -> None:
    """Catches a conditional run refused for its classes, tables of classes cut or padded, singular vectors of one."""
    source, module = (
        make(*PROJECTION, "ema=default"),
        make(*PROJECTION, "ema=default", "data.num_classes=3", seed=1),
    )
    fits = tune(source, module, tmp_path)
    assert set(fits["discriminator"].drawn_anew) == {
        "head.embedding.parametrizations.weight.original",
        "head.embedding.parametrizations.weight.0.u",
        "head.embedding.parametrizations.weight.0.v",
    }
    reason = fits["discriminator"].drawn_anew["head.embedding.parametrizations.weight.original"]
    assert re.fullmatch(r"10x(\d+) there, 3x\1 here", reason)
    assert all(
        "norm" in key and key.endswith((".gain.weight", ".bias.weight"))
        for key in fits["generator"].drawn_anew
    )
    assert not fits["generator"].left_over


def test_other_channels(tmp_path: Path) -> None:
    """Catches grey and colour that do not go together: the last layer of G and the first of D are drawn anew."""
    narrow = ("model=wgan_gp_conv", *NARROW, "model.discriminator.channels=8", "data.image_size=16")
    fits = tune(make(*narrow), make(*narrow, "data.channels=3", seed=1), tmp_path)
    assert set(fits["generator"].drawn_anew) == {"layers.5.weight", "layers.5.bias"}
    assert set(fits["discriminator"].drawn_anew) == {"layers.0.weight"}
    assert "layers.0.running_mean" in fits["generator"].taken


def test_another_resolution(tmp_path: Path) -> None:
    """Catches weights that are taken by place instead of by name, and statistics of a layer that does not fit."""
    narrow = ("model=wgan_gp_conv", *NARROW, "model.discriminator.channels=8")
    fits = tune(make(*narrow, "data.image_size=16"), make(*narrow, "data.image_size=32", seed=1), tmp_path)
    assert "layers.0.weight" in fits["discriminator"].taken
    assert "layers.2.weight" in fits["discriminator"].taken
    assert "project.weight" in fits["generator"].drawn_anew
    assert fits["generator"].drawn_anew["layers.0.num_batches_tracked"] == "belongs to what does not fit"
    assert fits["discriminator"].left_over == ("layers.5.weight", "layers.5.bias")


@pytest.mark.parametrize("without", ["discriminator", "generator.layers.0.bias"])
def test_what_the_other_run_lacks_is_drawn_anew(without: str, tmp_path: Path) -> None:
    """Catches a run refused for a network or a tensor that it has not, and one that is left random in silence."""
    fits = tune(make(*GAN), make(*GAN, seed=1), tmp_path, without=without)
    network, _, tensor = without.partition(".")
    assert set(fits[network].drawn_anew.values()) == {"not there"}
    assert fits[network].taken == () if not tensor else tuple(fits[network].drawn_anew) == (tensor,)


@pytest.mark.parametrize("weight", ["discriminator.layers.1", "generator.layers.4"])
def test_frozen_weights_that_would_stay_random(weight: str, tmp_path: Path) -> None:
    """Catches FreezeD of a layer that was drawn anew."""
    network, _, layer = weight.partition(".")
    frozen = {"freeze": {"generator": [], "discriminator": [], network: [layer]}}
    save(make(*GAN, "data.image_size=16"), tmp_path)
    with pytest.raises(ConfigurationError, match=rf"do not fit {weight}.weight .*not trained") as raised:
        initialize(make(*GAN, **frozen), options(tmp_path))
    assert "\n" not in str(raised.value)


TINY_GAN = (*TINY, "ema=default", "checkpoint.every_g_steps=1000")
LAST = Path("checkpoints") / "last.ckpt"


def run(run_dir: Path, g_steps: int, *recipe: str) -> dict[str, Any]:
    train(compose_config(*recipe, f"run_dir={run_dir}", f"budget.g_steps={g_steps}"))
    return load_checkpoint(run_dir / LAST)


def test_what_was_taken_is_printed_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Catches lists that are printed only, or lost when the run goes on."""
    run(tmp_path / "source", 2, *TINY_GAN)
    tuned = (*TINY_GAN, "model.generator.channels=8", f"initialize.run={tmp_path / 'source'}")
    capsys.readouterr()
    run(tmp_path / "tuned", 1, *tuned)
    out = capsys.readouterr().out
    assert f"initialize: discriminator takes all 6 tensors of {tmp_path / 'source'} (last)" in out
    assert "  drawn anew: layers.0.weight (" in out
    kept = json.loads((tmp_path / "tuned" / "initialize.json").read_text())
    assert kept["g_step"] == 2
    assert len(kept["sha256"]) == 64
    assert "layers.0.weight" in kept["networks"]["generator"]["drawn_anew"]
    assert len(kept["networks"]["discriminator"]["taken"]) == 6
    (tmp_path / "source" / LAST).unlink()  # what a run began with is not asked for again
    run(tmp_path / "tuned", 2, *tuned)
    assert json.loads((tmp_path / "tuned" / "initialize.json").read_text()) == kept


FROZEN = (
    *(*TINY_GAN, "freeze.discriminator=[layers.1]", "freeze.generator=['*.0.*',layers.4.bias]"),
    *("optimizer=adamw", "optimizer.weight_decay=0.5", "max_grad_norm.discriminator=0.1"),
)


@pytest.mark.parametrize("constraint", ["none", "weight_clipping", "spectral_norm", "gradient_normalization"])
def test_frozen_parameters_stay(constraint: str, tmp_path: Path) -> None:
    """Catches weight decay, clipping of weights, or a step that moves them; others that stand still; an average that

    moves; moments that are kept for them."""
    recipe = (*FROZEN, f"constraint={constraint}")
    config = compose_config(*recipe, f"run_dir={tmp_path}", "budget.g_steps=3")
    module = build_module(config)
    frozen = {
        name: [key for key, parameter in network.named_parameters() if not parameter.requires_grad]
        for name, network in module.networks.items()
    }
    assert len(frozen["generator"]) == 3
    assert len(frozen["discriminator"]) == 2
    before = {name: copy.deepcopy(network.state_dict()) for name, network in module.networks.items()}
    state = run(tmp_path, 3, *recipe)
    for name, network in module.networks.items():
        trained = [key for key, _ in network.named_parameters() if key not in frozen[name]]
        assert all(torch.equal(state[name][key], before[name][key]) for key in frozen[name])
        assert not any(torch.equal(state[name][key], before[name][key]) for key in trained)
        optimizer = state["optimizers"][name]
        assert (
            len(optimizer["state"])
            == len(trained)
            == sum(len(g["params"]) for g in optimizer["param_groups"])
        )
    averaged = {key.removeprefix("generator."): value for key, value in state["ema"].items()}
    assert all(torch.equal(averaged[key], before["generator"][key]) for key in frozen["generator"])


def test_frozen_runs_resume(tmp_path: Path) -> None:
    """Catches gradients that a resumed run gives back to what is frozen."""
    whole = run(tmp_path / "whole", 4, *FROZEN)
    run(tmp_path / "parts", 2, *FROZEN)
    assert_equal_state(whole, run(tmp_path / "parts", 4, *FROZEN))


def test_freezing_is_part_of_the_recipe(tmp_path: Path) -> None:
    """Catches a run that goes on with other parameters frozen than it began with."""
    run(tmp_path, 1, *FROZEN)
    with pytest.raises(ConfigurationError, match=r"freeze\.discriminator \(was \['layers\.1'\], now \[\]\)"):
        run(tmp_path, 2, *FROZEN, "freeze.discriminator=[]")


class Nested(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(nn.Linear(2, 2) for _ in range(11)))
        self.to_logit = nn.Linear(2, 1)


@pytest.mark.parametrize(
    ("patterns", "frozen"),
    [
        ([], []),
        (["to_logit"], ["to_logit.weight", "to_logit.bias"]),
        (["blocks.1"], ["blocks.1.weight", "blocks.1.bias"]),
        (["blocks.1?.bias", "to_*.bias"], ["blocks.10.bias", "to_logit.bias"]),
        (["blocks.0.weight", "blocks.0.*"], ["blocks.0.weight", "blocks.0.bias"]),
    ],
)
def test_patterns(patterns: list[str], frozen: list[str]) -> None:
    """Catches blocks.10 by blocks.1, names that have to match whole, and parts that have to be spelt out."""
    network = Nested()
    freeze(network, patterns, "freeze.discriminator")
    assert [name for name, parameter in network.named_parameters() if not parameter.requires_grad] == frozen


@pytest.mark.parametrize(
    ("patterns", "says"),
    [
        (["blocks.0", "to_logits"], r"^freeze\.discriminator: to_logits .*did you mean to_logit"),
        (["conv*"], r"^freeze\.discriminator: conv\* .*its parts are blocks, to_logit"),
        (["*"], r"^freeze\.discriminator: \['\*'\] leaves nothing to train"),
    ],
)
def test_patterns_that_are_refused(patterns: list[str], says: str) -> None:
    """Catches a pattern that freezes nothing in silence, and torch's complaint of an optimiser without parameters."""
    with pytest.raises(ConfigurationError, match=says) as raised:
        freeze(Nested(), patterns, "freeze.discriminator")
    assert "\n" not in str(raised.value)


def test_an_autoencoder_has_no_discriminator_to_freeze() -> None:
    """Catches a value that is recorded and not used."""
    with pytest.raises(ConfigurationError, match=r"freeze\.discriminator: model=vae has no discriminator"):
        make(*VAE, "freeze.discriminator=[layers.0]")
    module = make(*VAE, "freeze.generator=[layers.0]")
    assert not module.generator.get_parameter("layers.0.weight").requires_grad
