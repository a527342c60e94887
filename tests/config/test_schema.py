"""The vocabulary: what is refused, in which words, and what decides the mathematics."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from ganlab.cli import compose_config
from ganlab.config.identity import default_run_name, differences, identity
from ganlab.errors import ConfigurationError, DataError
from ganlab.paths import conf_dir
from ganlab.runs.folder import RunFolder


def test_headline_is_the_papers_sngan() -> None:
    config = compose_config("model=sngan", "data=cifar10")
    assert config["loss"]["_target_"] == "ganlab.losses.hinge.Hinge"
    assert (config["n_critic"], config["data"]["batch_size"], config["model"]["latent_dim"]) == (5, 64, 128)
    assert config["optimizer"]["generator"]["betas"] == [0.0, 0.9]
    assert config["schedule"]["_target_"].endswith("Linear")
    assert config["budget"]["g_steps"] == config["schedule"]["g_steps"] == 100_000


def test_what_is_typed_wins_over_the_paper() -> None:
    config = compose_config(
        "model=sngan", "loss=wasserstein", "penalty=wgan_gp", "n_critic=2", "optimizer.lr=1e-3"
    )
    assert config["loss"]["_target_"].endswith("Wasserstein")
    assert config["penalty"]["_target_"].endswith("WGANGP")
    assert config["n_critic"] == 2
    assert config["optimizer"]["discriminator"]["lr"] == 1e-3


def test_smoke_preset_wins_over_the_paper_and_experiment() -> None:
    assert compose_config("model=sngan", "trainer=smoke")["budget"]["g_steps"] == 2
    assert compose_config("experiment=quickstart", "trainer=smoke")["budget"]["g_steps"] == 2


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("n_critic=many", "n_critic: got 'many', but it must be integer"),
        ("n_critic=0", "n_critic: got 0, but it must be greater than 0"),
        ("n_critic=1.5", "n_critic: got 1.5, but it must be integer"),
        ("budget.g_steps=-1", "budget.g_steps: got -1, but it must be greater than 0"),
        ("data.image_size=big", "data.image_size: got 'big', but it must be integer or list"),
        (
            "trainer.precision=fp8",
            "trainer.precision: got 'fp8', but it must be '32-true', 'bf16-mixed' or '16-mixed'",
        ),
        ("resume=maybe", "resume: got 'maybe', but it must be 'auto', 'never', 'must' or 'force'"),
        ("run_name=../x", "run_name: got '../x'"),
        ("tags=a", "tags=a: is a list; type 'tags=[a]'"),
        ("budget.g_steps=null", "budget: no limit is set"),
    ],
)
def test_wrong_value_is_one_line(override: str, expected: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        compose_config(override)
    message = str(caught.value)
    assert message.startswith(expected)
    assert "\n" not in message


def test_half_precision_on_the_cpu_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="16-mixed needs a GPU"):
        compose_config("trainer=cpu", "trainer.precision=16-mixed")


@pytest.mark.parametrize(
    "override",
    [
        "budget.g_steps=7",
        "evaluate.num_samples=9",
        "logger=none",
        "trainer.accelerator=cpu",
        "data.num_workers=2",
        "tags=[a]",
    ],
)
def test_name_ignores_what_is_not_mathematics(override: str) -> None:
    """Catches: a key missing from NOT_MATHEMATICS, which would make a longer budget another run."""
    assert compose_config(override)["run_name"] == compose_config()["run_name"]


@pytest.mark.parametrize(
    "override",
    ["optimizer.lr=1e-3", "loss=hinge", "data.batch_size=3", "n_critic=2", "trainer.precision=bf16-mixed"],
)
def test_name_follows_the_mathematics(override: str) -> None:
    """Catches: an identity that forgets a group, so that two different runs share a folder."""
    assert compose_config(override)["run_name"] != compose_config()["run_name"]


def test_two_folders_of_images_are_two_runs() -> None:
    """Catches: the path of one's own data left out of the identity with `data.root`."""
    first, second = (
        compose_config("data=image_folder", f"data.root={root}", "metrics=none") for root in ("/a", "/b")
    )
    assert first["run_name"] != second["run_name"]


def test_name_has_the_seed_outside_the_hash() -> None:
    zero, one = compose_config("seed=0")["run_name"], compose_config("seed=1")["run_name"]
    assert zero.removesuffix("-s0") == one.removesuffix("-s1")
    assert compose_config()["run_dir"] == f"runs/{compose_config()['run_name']}"


def test_differences_name_keys_with_both_values() -> None:
    assert differences({"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4}) == [
        "b (was 2, now 3)",
        "c (was absent, now 4)",
    ]


def test_identity_is_plain_data() -> None:
    def plain(value: Any) -> bool:
        if isinstance(value, list):
            return all(map(plain, value))
        return value is None or isinstance(value, bool | int | float | str) or value == {}

    assert all(plain(value) for value in identity(compose_config("model=sngan", "penalty=r1")).values())


def test_a_run_of_an_earlier_ganlab_gets_the_keys_that_came_later(tmp_path: Path) -> None:
    """Catches: a `KeyError` when it is scored or sampled from; defaults that win over what the run was made with."""
    config = compose_config("n_critic=3", "speed.channels_last=false", "auxiliary=feature_matching")
    older = {key: value for key, value in config.items() if key not in ("micro_batches", "joint_pass")}
    older["speed"] = {key: value for key, value in config["speed"].items() if key != "winograd"}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(older))
    assert RunFolder(tmp_path).config() == config


@pytest.mark.parametrize("text", ["", "- 1", "a: [", "3"])
def test_a_folder_without_a_configuration_is_no_run(tmp_path: Path, text: str) -> None:
    """Catches: a traceback for a file that is no mapping."""
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(DataError, match="not a run folder"):
        RunFolder(tmp_path).config()


def test_default_run_name_is_stable_across_processes() -> None:
    """Catches: a salted hash (`hash()`), under which the same command would not find its run again."""
    config = compose_config("model=dcgan", "data=digits")
    shuffled = dict(reversed(list(config.items())))
    assert default_run_name(config) == default_run_name(shuffled)


def test_conf_dir_is_the_shipped_one() -> None:
    assert (conf_dir() / "train.yaml").exists()
    assert Path(conf_dir()).is_absolute()
