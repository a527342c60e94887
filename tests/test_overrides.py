"""What is typed after `ganlab train`: texts stay texts, and what cannot be meant is answered with what to type."""

import shlex
from pathlib import Path

import pytest

from ganlab.cli import compose_config
from ganlab.cli.overrides import CommandLine, kind_of_text
from ganlab.config.quoting import parsed
from ganlab.errors import ConfigurationError


def answer(*words: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        compose_config(*words)
    return str(caught.value)


@pytest.fixture
def own(tmp_path: Path) -> str:
    """A folder of options, as the override that names it."""
    files = {
        "model/tiny.yaml": "# @package _global_\nmodel: {name: tiny, latent_dim: 4, generator: {width: 3}}\n",
        "model/64.yaml": "# @package _global_\nmodel: {name: sixty, latent_dim: 4, generator: {}}\n",
        "model/headless.yaml": "n_critic: 2\nmodel: {name: tiny}\n",
        "experiment/headless.yaml": "seed: 3\n",
        "experiment/two.yaml": "# @package _global_\ndefaults:\n  - override /penalty: [r1, r2]\n",
        "preset/fast.yaml": "# @package _global_\nseed: 7\n",
        "preset/headless.yaml": "seed: 7\n",
    }
    for name, text in files.items():
        path = tmp_path / "conf" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return f"hydra.searchpath=[file://{tmp_path / 'conf'}]"


@pytest.mark.parametrize("text", ["007", "1e3", "1_0", "true", "-1", ".5", "inf"])
def test_texts_that_look_like_numbers_stay_texts(text: str) -> None:
    """Catches: run_dir=1e3 refused as 1000.0, run_dir=1_0 as 10."""
    config = compose_config(
        f"run_dir={text}", f"tags=[{text},b]", f"initialize.run={text}", f"data.root={text}"
    )
    found = config["run_dir"], config["tags"], config["initialize"]["run"], config["data"]["root"]
    assert found == (text, [text, "b"], text, text)
    assert compose_config("run_name=1e3")["run_name"] == "1e3"


def test_numbers_and_null_stay_what_they_are() -> None:
    """Catches: quotes around the value of a key that is no text, or around the null of one."""
    config = compose_config("budget.g_steps=1_0", "run_name=null", "trainer.devices=2")
    assert (config["budget"]["g_steps"], config["trainer"]["devices"]) == (10, 2)
    assert config["run_name"].startswith("dcgan-digits-")


def test_which_keys_are_texts() -> None:
    """Catches: a number's key taken for a text's; a key in a section, or that may be null, overlooked."""
    texts = ("run_name", "run_dir", "data.root", "model.name", "checkpoint.monitor", "evaluate.extractor")
    assert {kind_of_text(key) for key in texts} == {str}
    assert kind_of_text("tags") is list
    others = (
        "trainer.devices",
        "seed",
        "resume",
        "budget",
        "budget.images",
        "optimizer.lr",
        "x.y",
        "data.source",
    )
    assert {kind_of_text(key) for key in others} == {None}


def test_sweep_of_texts() -> None:
    """Catches: a sweep over run_name=1e3,007 that trains 1000.0; a range of which the ends get quotes."""
    typed = CommandLine(("-m",), ("run_name=1e3,007", "seed=range(1,3)", "model=dcgan,sngan")).prepared()
    assert typed.overrides == ('run_name="1e3",007', "seed=range(1,3)", "model=dcgan,sngan")


QUOTED = (
    *(
        "lr=0.1",
        "Läufe",
        "my #1",
        "it's",
        "a;b",
        "(a)",
        "[a]",
        "a[1]",
        "{a}",
        "a,b",
        "'x",
        "a!",
        "naïve $x",
        "a&b",
    ),
)


@pytest.mark.parametrize("text", QUOTED)
def test_answer_can_be_pasted(text: str) -> None:
    """Catches: advice that a shell or Hydra reads as something else."""
    line = answer(f"run_dir={text}")
    assert line.startswith(f"run_dir={text}: ")
    words = [word for word in shlex.split(line[line.index("'run_dir=\"") :]) if word.startswith("run_dir=")]
    assert compose_config(words[0].rstrip(";"))["run_dir"] == text


def test_list_is_quoted_item_by_item() -> None:
    """Catches: a list that becomes one text."""
    line = answer("tags=[a=b,plain,it's]")
    override = parsed(shlex.split(line[line.index("type ") :])[1])
    assert override is not None
    assert override.value() == ["a=b", "plain", "it's"]


ANSWERS: dict[tuple[str, ...], tuple[str, ...]] = {
    ("run_dir=~/x",): ("run_dir=~/x", f"type run_dir={Path.home()}/x"),
    ("optimizer.lr=", "0.1"): ("no blank", "type optimizer.lr=0.1"),
    ("seed", "=3"): ("no blank", "type seed=3"),
    ("seed", "=", "3"): ("no blank", "type seed=3"),
    ("seed =3",): ("type seed=3",),
    ("seed==3",): ("type seed=3",),
    ("=3",): ("type KEY=3",),
    ("seed=",): ("seed=: has no value",),
    ("seed:3",): ("type seed=3",),
    ("sngan",): ("did you mean model=sngan?",),
    ("model:sngan",): ("did you mean model=sngan?",),
    ("model",): ("type model=OPTION", "sngan"),
    ("model=",): ("type model=OPTION", "sngan"),
    ("läufe=1",): ("läufe: no such key",),
    ("n_critic=1,2",): ("type -m n_critic=1,2", "'n_critic=[1,2]'"),
    ("run_dir=a,b",): ("type -m run_dir=a,b", "'run_dir=\"a,b\"'"),
    ("tags=x",): ("is a list", "'tags=[x]'"),
    ("+loss=hinge",): ("every run has a loss; type loss=hinge",),
    ("++loss=hinge",): ("every run has a loss; type loss=hinge",),
    ("+optimizer.lr=1",): ("type optimizer.lr=1",),
    ("~loss",): ("type loss=OPTION", "hinge"),
    ("~penalty",): ("type penalty=none",),
    ("~penalty=r1",): ("type penalty=none",),
    ("penalty=null",): ("type penalty=none",),
    ("loss=null",): ("type loss=OPTION", "hinge"),
    ("~n_critc",): ("~n_critc", "did you mean n_critic"),
    ("penalty=[r1,r2]",): ("takes one option", "penalty=r1_r2", "-m penalty=r1,r2"),
    ("loss=[hinge,wasserstein]",): ("takes one option", "loss=hinge or loss=wasserstein"),
    ("model=[]",): ("takes one option", "model=OPTION"),
    ("auxiliary=[drift,orthogonl]",): ("auxiliary=orthogonl: no such option", "did you mean orthogonal?"),
    ("loss@x=hinge",): ("loss@x", "type loss=OPTION"),
    ("extractor=clip",): ("type evaluate.extractor=clip",),
    ("++optimizer.lrr=1",): ("optimizer.lrr: nothing reads this key", "did you mean optimizer.lr"),
    ("+data.nothing=1",): ("data.nothing: nothing reads this key",),
    ("optimizer=sgd", "optimizer.betas=[0,0.9]"): ("optimizer.betas: nothing reads this key",),
    ("+optimizer.weight_decay=1",): ("optimizer.weight_decay: nothing reads this key",),
    ("hydra.searchpath=/x",): ("is a list", "hydra.searchpath=[/x]"),
    ("hydra.searchpath=[file:///nowhere/at/all]",): ("file:///nowhere/at/all: is no folder",),
}


@pytest.mark.parametrize("words", ANSWERS)
def test_answer_says_what_to_type(words: tuple[str, ...]) -> None:
    """Catches: the parser's words, a value that is silently ignored, a second option that wins in silence."""
    line = answer(*words)
    assert "\n" not in line
    for part in ANSWERS[words]:
        assert part in line


@pytest.mark.parametrize(
    "group", ["loss", "penalty", "ema", "optimizer", "schedule", "data", "model", "constraint"]
)
def test_list_where_one_part_is_meant(group: str) -> None:
    """Catches: of two options the second, or a mixture of both."""
    two = {
        **{"loss": "hinge,minimax", "penalty": "wgan_gp,r1", "ema": "none,default", "optimizer": "adam,sgd"},
        **{"schedule": "constant,linear", "data": "digits,mnist", "model": "dcgan,sngan"},
        "constraint": "none,spectral_norm",
    }[group]
    assert "takes one option" in answer(f"{group}=[{two}]")


def test_list_where_several_parts_are_meant() -> None:
    """Catches: a refusal of lists everywhere."""
    config = compose_config(
        "auxiliary=[drift,orthogonal]", "metrics=[frechet,kid]", "penalty=[r1]", "logger=[]"
    )
    assert len(config["auxiliary"]) == 2
    assert {"frechet", "kid"} <= set(config["metrics"])
    assert config["penalty"]["_target_"].endswith("R1")


def test_options_of_ones_own(own: str) -> None:
    """Catches: keys of ganlab's default model proposed for one's own, an option called 64 that is no number."""
    assert "did you mean model.generator.width" in answer(own, "model=tiny", "model.generator.widht=3")
    assert "did you mean tiny" in answer(own, "model=tinny")
    assert compose_config(own, "model=64", "+preset=fast")["seed"] == 7
    assert compose_config(own, "model=64")["model"]["name"] == "sixty"
    assert "hydra.searchpath" in answer("model=private")


@pytest.mark.parametrize(
    ("choice", "file"),
    [
        ("model=headless", "model/headless.yaml"),
        ("experiment=headless", "experiment/headless.yaml"),
        ("+preset=headless", "preset/headless.yaml"),
    ],
)
def test_file_without_its_first_line(own: str, choice: str, file: str) -> None:
    """Catches: a complaint about keys that are missing, in the place of the file that has them elsewhere."""
    line = answer(own, choice)
    assert file in line
    assert "# @package _global_" in line


def test_list_in_a_file(own: str) -> None:
    """Catches: a recipe of one's own that composes two penalties into one."""
    line = answer(own, "experiment=two")
    assert line.startswith("penalty: a list")
    assert "experiment=two" in line


def test_options_of_hydra_stand_anywhere() -> None:
    """Catches: a key after a flag that gets lost, the folder of --config-dir taken for a key, an unknown flag."""
    typed = CommandLine.of(["seed=1", "--cfg", "job", "model=sngan", "--config-dir", "x", "-m", "seed=2"])
    assert typed.flags == ("--cfg", "job", "--config-dir", "x", "-m")
    assert typed.overrides == ("seed=1", "model=sngan", "seed=2")
    assert (typed.is_sweep, typed.folders) == (True, [Path("x")])
    with pytest.raises(ConfigurationError, match="--seed=3: keys have no dashes; type seed=3"):
        CommandLine.of(["--seed=3"])
    with pytest.raises(ConfigurationError, match="--multirn: no such option; did you mean --multirun"):
        CommandLine.of(["--multirn"])
