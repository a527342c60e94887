"""`key=value` arguments of the commands that Hydra does not read, and run folders among them."""

import re
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from omegaconf import MISSING

from ganlab import __main__ as console
from ganlab import compare, evaluate, export, rerun, sample
from ganlab.cli import compose_config
from ganlab.cli.options import check_run, is_path, parse_options, parse_runs
from ganlab.data import __main__ as data
from ganlab.errors import ConfigurationError
from ganlab.evaluate.options import check, parse, searched_folders
from ganlab.sample.options import SampleOptions
from ganlab.train import train


@dataclass
class Told:
    out: str = MISSING
    num: int | None = None
    scale: float = 1.0
    on: bool = False
    json: str | None = None
    names: list[str] = field(default_factory=list)


def told(*words: str) -> Told:
    return parse_options(Told, ("out=x", *words), "usage")


@pytest.mark.parametrize(
    "text", ["001", "1e3", "1_0", "my #1", "true", "null", "a=b", "'q'", "[a]", "${x}", "~user"]
)
def test_texts_stay_as_they_were_typed(text: str) -> None:
    """Catches: out=001 written to the folder 1, out=1e3 to 1000.0, a name that ends at #."""
    found = told(f"out={text}", f"json={text}")
    assert (found.out, found.json) == (text, text)


def test_values_are_read_by_type() -> None:
    """Catches: a number left a text, a list that needs brackets, null that is no text of an option without one."""
    found = told("num=1_0", "scale=2", "on=true", "names=[a, '007',1e3]")
    assert (found.num, found.scale, found.on, found.names) == (10, 2.0, True, ["a", "007", "1e3"])
    assert type(found.scale) is float
    assert told("names=a").names == ["a"]
    assert told("names=[]").names == []
    assert told("num=null").num is None


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("num=zero",), "num=zero: must be a whole number"),
        (("num=1.0",), "num=1.0: must be a whole number"),
        (("scale=wide",), "scale=wide: must be a number"),
        (("scale=nan",), "scale=nan: must be a number"),
        (("on=maybe",), "on=maybe: must be true or false"),
        (("num=",), "num=: has no value; give it as num=VALUE"),
        (("num=", "3"), "num= 3: no blank may stand beside '='; type num=3"),
        (("num", "=3"), "num =3: no blank may stand beside '='; type num=3"),
        (("nmu=3",), "nmu=3: no such option; did you mean num?"),
        (("num",), "num: has no value; type num=VALUE"),
        (("lr=0.2/x",), "lr=0.2/x: no such option, and no such path"),
        (("--num=3",), "--num=3: options have no dashes; type num=VALUE"),
    ],
)
def test_fault_says_what_to_type(words: tuple[str, ...], line: str) -> None:
    """Catches: a default in the place of an empty value, a fault without its cure."""
    with pytest.raises(ConfigurationError) as caught:
        told(*words)
    assert str(caught.value).startswith(line)


def test_missing_option_is_named() -> None:
    """Catches: omegaconf's ??? as a folder."""
    with pytest.raises(ConfigurationError, match="out: is missing; give it as out=VALUE"):
        parse_options(Told, [], "usage")


def test_what_exists_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: a run folder called lr=0.1 taken for an option."""
    monkeypatch.chdir(tmp_path)
    for name in ("lr=0.1", "out=y", "-o"):
        (tmp_path / name).mkdir()
    assert [is_path(word) for word in ("lr=0.1/", "lr=0.2", "out=y", "-o", "-p", "plain")] == [
        *(True, False, True, True, False, True)
    ]
    paths, found = parse_runs(Told, ["lr=0.1/", "out=x", "plain"], "usage")
    assert (paths, found.out) == (["lr=0.1", "plain"], "x")


@pytest.mark.parametrize(
    ("checkpoint", "cure"), [("checkpoint", "run=RUN checkpoint=step-00000002"), ("", "run=RUN")]
)
def test_checkpoint_in_the_place_of_a_run(tmp_path: Path, checkpoint: str, cure: str) -> None:
    """Catches: a message about a checkpoint below the file."""
    file = tmp_path / "checkpoints" / "step-00000002.ckpt"
    file.parent.mkdir()
    file.touch()
    with pytest.raises(ConfigurationError) as caught:
        check_run(f"run={file}", str(file), checkpoint)
    assert str(caught.value).replace(str(tmp_path), "RUN").endswith(f"a run is given by its folder: {cure}")
    check_run(f"run={tmp_path}", str(tmp_path))


@pytest.mark.parametrize("verb", [sample, evaluate, export, rerun, compare])
def test_every_verb_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], verb: object
) -> None:
    """Catches: a verb that looks for a run in a file."""
    file = tmp_path / "last.ckpt"
    file.touch()
    words = [str(file)] if verb in (rerun, compare) else [f"run={file}"]
    monkeypatch.setattr(sys, "argv", ["ganlab", *words, *(["out=x"] if verb in (sample, export) else [])])
    with pytest.raises(SystemExit) as ended:
        verb.main()  # type: ignore[attr-defined]
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert len(error.strip().splitlines()) == 1
    assert "is a file; a run is given by its folder" in error


def test_parts_of_a_run_and_folders_of_runs(tmp_path: Path) -> None:
    """Catches: runs/checkpoints/last.ckpt looked for below runs/."""
    for name in ("runs/b/checkpoints", "runs/a"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("a", "b"):
        (tmp_path / "runs" / name / "config.yaml").touch()
    for path, cure in (
        ("runs", "2 runs; give one of them: run=RUNS/a"),
        ("runs/b/checkpoints", "folder: run=RUNS/b"),
    ):
        with pytest.raises(ConfigurationError) as caught:
            check_run(f"run={tmp_path / path}", str(tmp_path / path))
        assert str(caught.value).replace(str(tmp_path / "runs"), "RUNS").endswith(cure)
    check_run(f"run={tmp_path / 'runs' / 'a'}", str(tmp_path / "runs" / "a"))


def test_run_without_its_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: `ganlab sample RUN` answered with a list of options; a second run of `rerun` that is ignored."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my run").mkdir()
    with pytest.raises(ConfigurationError, match="is not key=value; type 'run=my run'"):
        parse_options(SampleOptions, ["my run", "out=x"], "usage")
    with pytest.raises(ConfigurationError, match="one run at a time"):
        rerun.parse(["a", "b"])


def test_keys_of_a_data_set_want_one() -> None:
    """Catches: data.root=X that is ignored where the reference is the run's own data."""
    for words in (
        ["run=x", "data.root=y"],
        ["images=x", "reference_split=test"],
        ["run=x", "reference=test", "data.a=1"],
    ):
        with pytest.raises(
            ConfigurationError, match="belongs to a data set of conf/data; name it with reference="
        ):
            check(*parse(words))
    check(*parse(["run=x", "reference=digits", "data.root=y", "reference_split=test"]))


def test_data_of_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: `data check x=y` that asks for a path."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x=y").mkdir()
    with pytest.raises(Exception, match="x=y"):
        data.command(["check", "x=y"])


def test_parts_of_evaluate_are_read_as_typed() -> None:
    """Catches: data.root=007 as 7, weights=1e3 as a number, a folder that needs brackets."""
    words = [
        "run=007",
        "data.root=007",
        "data.labels=true",
        "extractor.weights=1e3",
        "metrics=kid",
        "plugins=mine",
    ]
    options, parts = parse(words)
    assert (options.run, options.metrics, options.plugins) == ("007", ["kid"], ["mine"])
    assert (parts["data"], parts["extractor"]) == ({"root": "007", "labels": True}, {"weights": "1e3"})
    _, parts = parse(["run=x", "hydra.searchpath=file://."])
    assert searched_folders(parts) == [Path()]


def test_console_script_finds_a_package_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: `ganlab train` that cannot import what `python -m ganlab.train` does; a file that hides a library."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    monkeypatch.setattr(sys, "argv", ["ganlab", "compare", "--help"])
    before = list(sys.path)
    monkeypatch.setattr(console.runpy, "run_module", lambda *_, **__: None)
    console.main()
    assert sys.path == [*before, str(tmp_path)]


def test_training_in_a_thread(tmp_path: Path) -> None:
    """Catches: handlers of signals, which only the main thread may set."""
    words = ("model=gan", "data=ring2d", "data.source.num_points=100", "data.batch_size=8", "metrics=none")
    config = compose_config(
        *words, "logger=none", "trainer=cpu", "budget.g_steps=2", f"run_dir={tmp_path / 'run'}"
    )
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(train(config).status()["status"]))
    thread.start()
    thread.join()
    assert found == ["finished"]


def test_extractor_of_a_folder_is_asked_for_by_what_was_typed() -> None:
    """Catches: advice without the folder, or in words that only training takes."""
    from ganlab.evaluate.configuration import extractor_of

    for typed, cure in (
        (["--config-dir", "my conf"], "'hydra.searchpath=[file://my conf]'"),
        (["hydra.searchpath=[file://x]"], "'hydra.searchpath=[file://x]'"),
        ([], "'hydra.searchpath=[file:///path/to/folder]'"),
    ):
        with pytest.raises(ConfigurationError, match=re.escape(cure)):
            extractor_of({"evaluate": {"extractor": "mine"}}, (), typed)
