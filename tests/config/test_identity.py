"""Which runs are the same experiment, whatever their configurations are written like."""

import inspect
import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf

from ganlab import moved
from ganlab.build.instantiation import build, check_trusted, locate
from ganlab.cli import compose_config
from ganlab.config import identity as module
from ganlab.config.identity import (
    complete,
    default_run_name,
    differences,
    flatten,
    identity,
    num_devices,
    with_later_keys,
)
from ganlab.paths import conf_dir
from ganlab.runs.comparison import compare
from ganlab.runs.reading.documents import parse_config
from ganlab.runs.reading.earlier import at_earlier_folder
from ganlab.runs.reading.run import Place, Run
from ganlab.sampling.exported import load_generator

KEPT = Path(__file__).parents[1] / "kept" / "85a8587"


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A copy of the shipped configuration, to which a later ganlab may add keys."""
    import shutil

    folder = tmp_path / "conf"
    shutil.copytree(conf_dir(), folder)
    monkeypatch.setattr(module, "conf_dir", lambda: folder)
    monkeypatch.setattr(module, "_shipped", module._shipped.__wrapped__)
    return folder


def add(path: Path, line: str) -> None:
    path.write_text(f"{path.read_text().rstrip()}\n{line}\n")


def test_a_key_that_is_added_later_changes_neither_name_nor_identity(later: Path) -> None:
    """Catches: an identity that is a list of all keys, so that each new one orphans all runs."""
    old = compose_config("penalty=r1", "model=sngan", "callbacks=none")
    before, name = identity(old), default_run_name(old)
    (later / "weather").mkdir()
    (later / "weather" / "none.yaml").write_text("{}\n")
    (later / "court").mkdir()
    (later / "court" / "generation.yaml").write_text(
        "_target_: ganlab.losses.hinge.Court\nsize: ${data.image_size}\ninner: { _target_: ganlab.training.ema.X }\n"
    )
    root = later / "train.yaml"
    root.write_text(
        root.read_text().replace(
            "  - loss: nonsaturating", "  - court: generation\n  - weather: none\n  - loss: nonsaturating"
        )
    )
    add(root, "freeze: { generator: [], discriminator: [] }")
    add(later / "penalty" / "r1.yaml", "through_augment: false")
    add(later / "trainer" / "default.yaml", "later: 3")
    for path in (later / "data").glob("*.yaml"):
        if "@package" in path.read_text():
            path.write_text(path.read_text().replace("\ndata:\n", "\ndata:\n  order: uniform\n"))
        else:
            add(path, "order: uniform")
    new = {
        **old,
        "freeze": {"generator": [], "discriminator": []},
        "weather": {},
        "court": {
            "_target_": "ganlab.losses.hinge.Court",
            "size": old["data"]["image_size"],
            "inner": {"_target_": "ganlab.training.ema.X"},
        },
        "penalty": {**old["penalty"], "through_augment": False},
        "trainer": {**old["trainer"], "later": 3},
        "data": {**old["data"], "order": "uniform"},
    }
    assert len(identity(new)) > len(before)
    assert differences(identity(old), identity(new)) == []
    assert with_later_keys(old) == new
    assert complete(dict(flatten(old))) == dict(flatten(new))
    assert name == default_run_name(new)
    # At another value each of them is another experiment.
    for key, value in (
        ("penalty.through_augment", True),
        ("trainer.later", 4),
        ("data.order", "x"),
        ("freeze.generator", [1]),
    ):
        other = {**dict(flatten(new)), key: value}
        assert [each.split(" ")[0] for each in differences(identity(new), identity(other))] == [key]
        assert differences(identity(old), identity(other)) == differences(identity(new), identity(other))


def test_a_default_that_changes_is_named(later: Path) -> None:
    """Catches: two runs made with different defaults taken for one, because each left its own out."""
    old = compose_config("penalty=r1", "n_critic=1")
    name = default_run_name(old)
    path = later / "penalty" / "r1.yaml"
    path.write_text(path.read_text().replace("weight: 10.0", "weight: 5.0"))
    root = later / "train.yaml"
    root.write_text(root.read_text().replace("n_critic: 1 ", "n_critic: 2 "))
    new = {**old, "penalty": {**old["penalty"], "weight": 5.0}, "n_critic": 2}
    assert default_run_name(new) == name  # the same command finds the folder, and is told
    assert differences(identity(old), identity(new)) == [
        "n_critic (was 1, now 2)",
        "penalty.weight (was 10.0, now 5.0)",
    ]
    assert default_run_name(old) != name


def test_names_differ_exactly_where_identities_do() -> None:
    """Catches: a default dropped from a hash that means something else where it stands."""
    configs = [
        compose_config(*overrides)
        for overrides in (
            (),
            ("loss=hinge",),
            ("loss=least_squares",),
            ("loss=minimax",),
            ("penalty=r1",),
            ("penalty=r2",),
            ("penalty=r1", "penalty.weight=1"),
            ("penalty=r1_r2",),
            ("ema=default",),
            ("ema=default", "ema.warmup=null"),
            ("optimizer=adamw",),
            ("optimizer=adam", "optimizer.betas=[0.9,0.999]"),
            ("optimizer=adam", "~optimizer.generator.betas"),
            ("optimizer=sgd",),
            ("augment=flip",),
            ("trainer.devices=2",),
            ("data=mnist",),
        )
    ]
    for first, second in itertools.combinations(configs, 2):
        assert differences(identity(first), identity(second))
        assert default_run_name(first) != default_run_name(second)


def shipped_nodes() -> dict[str, dict[str, Any]]:
    return {target: dict(found) for target, found in module._shipped().arguments.items()}


@pytest.mark.parametrize("target", sorted(shipped_nodes()))
def test_what_is_shipped_is_what_the_constructor_does_without_it(target: str) -> None:
    """Catches: a YAML value beside another default in the constructor. A configuration without the key, of an older
    ganlab, would be taken for one with it, and trained by other numbers."""
    try:
        parameters = inspect.signature(locate("", target)).parameters
    except Exception as error:  # an extractor whose package is not installed
        assert "No module" in str(error)  # noqa: PT017
        return
    for name, value in shipped_nodes()[target].items():
        if "." not in name and name in parameters:
            default = parameters[name].default
            default = list(default) if isinstance(default, tuple) else default  # YAML has no other lists
            assert default is inspect.Parameter.empty or default == value, name


def test_shipped_files_are_read_as_hydra_reads_them() -> None:
    """Catches: a number such as 1e-3, which is a text for plain YAML."""
    for path in sorted(conf_dir().glob("**/*.yaml")):
        assert module._read(path) == (OmegaConf.to_container(OmegaConf.load(path)) or {}), path


# --- The total batch


@pytest.mark.parametrize(
    ("devices", "number"),
    [
        (1, 1),
        (3, 3),
        ([0, 1], 2),
        ([5], 1),
        ("2", 2),
        ("0,1", 2),
        ("0,", 1),
        ("0, 2", 2),
        ("a", None),
        ("auto", None),
        (-1, None),
        ("-1", None),
    ],
)
def test_devices_are_counted_as_lightning_does(devices: Any, number: int | None) -> None:
    """Catches: an index that is taken for a number."""
    assert num_devices(devices) == number


def test_the_total_batch_counts_and_its_factors_do_not() -> None:
    """Catches: a run on two devices that another with twice the batch is taken for, or none is."""
    whole = compose_config("data.batch_size=16")
    for overrides in (
        ("trainer.devices=2", "data.batch_size=8"),
        ("trainer.devices=[0,1]", "data.batch_size=8"),
        ("trainer.devices='0,1'", "data.batch_size=8"),
        ("trainer.num_nodes=2", "trainer.devices=2", "data.batch_size=4"),
    ):
        assert compose_config(*overrides)["run_name"] == whole["run_name"], overrides
        assert identity(compose_config(*overrides)) == identity(whole), overrides
    for overrides in (("trainer.devices=2",), ("trainer.num_nodes=2",), ("data.batch_size=15",)):
        other = identity(compose_config("data.batch_size=16", *overrides))
        assert [each.split(" ")[0] for each in differences(identity(whole), other)] == ["total_batch_size"]
    automatic = compose_config("trainer.devices=auto", "data.batch_size=8")
    assert identity(automatic, world_size=2) == identity(whole)


# --- Callbacks


def test_a_callback_is_part_of_the_recipe_unless_it_says_that_it_observes() -> None:
    """Catches: two runs of other mathematics in one row of a table, or a printer of messages that makes a new run."""
    none = compose_config()
    changes = compose_config("+callbacks.mine._target_=mine.Changes", "+callbacks.mine.strength=2")
    stronger = compose_config("+callbacks.mine._target_=mine.Changes", "+callbacks.mine.strength=3")
    prints = compose_config("+callbacks.mine._target_=mine.Prints", "+callbacks.mine._observes_=true")
    names = {each["run_name"] for each in (none, changes, stronger, prints)}
    assert len(names) == 3
    assert prints["run_name"] == none["run_name"]
    assert identity(prints) == identity(none)
    assert differences(identity(changes), identity(stronger)) == ["callbacks.mine.strength (was 2, now 3)"]


def test_tables_keep_apart_what_only_a_callback_tells_apart() -> None:
    """Catches: a comparison of its own idea of a recipe; and devices that make two of one."""

    def run_of(seed: int, *overrides: str) -> Run:
        config = compose_config(f"seed={seed}", *overrides)
        return Run(
            Place(Path("/runs"), (str(seed),)), config=complete(parse_config(yaml.safe_dump(config).encode()))
        )

    alike = [run_of(0, "data.batch_size=8"), run_of(1, "data.batch_size=4", "trainer.devices=2")]
    others = [
        run_of(2, "data.batch_size=8", "+callbacks.mine._target_=mine.Changes"),
        run_of(3, "data.batch_size=4"),
    ]
    comparison = compare([*alike, *others])
    assert [row.settings["seeds"] for row in comparison.rows] == [[0, 1], [2], [3]]
    assert list(comparison.keys) == ["callbacks.mine._target_", "total_batch_size"]


# --- Classes that have moved


def test_a_moved_class_is_found_by_whatever_reads_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Catches: a reader that goes past the table."""
    table = {
        "ganlab.gone": "ganlab.losses",
        "ganlab.losses.before": "ganlab.losses.hinge",
        "ganlab.losses.hinge.Old": "ganlab.losses.hinge.Hinge",
        "ganlab.models.nets.Net": "ganlab.models.dcgan.DCGANGenerator",
        "ganlab.other": "ganlab.nowhere",
    }
    monkeypatch.setattr(moved, "MOVED", table)
    old, new = "ganlab.gone.before.Old", "ganlab.losses.hinge.Hinge"
    assert moved.current_target(old) == new
    assert moved.current_target("ganlab.others.X") == "ganlab.others.X"  # no part of a name
    assert type(build("loss", {"_target_": old})).__name__ == "Hinge"
    today = compose_config("loss=hinge")
    before = {**today, "loss": {**today["loss"], "_target_": old}}
    assert identity(before) == identity(today)
    assert default_run_name(before) == default_run_name(today)
    assert with_later_keys(before) == today
    assert complete(parse_config(yaml.safe_dump(before).encode())) == dict(flatten(today))
    assert compose_config("loss=hinge", f"loss._target_={old}")["loss"]["_target_"] == new  # one's own YAML
    check_trusted(before, ("ganlab.", "torch.optim."))
    for path in (KEPT / "export").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    description = json.loads((tmp_path / "config.json").read_text())
    description["generator"]["_target_"] = "ganlab.models.nets.Net"
    (tmp_path / "config.json").write_text(json.dumps(description))
    assert load_generator(tmp_path).sample(1).shape == (1, 1, 8, 8)


# --- Folders of earlier versions


def test_the_folder_of_an_earlier_version_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: a run under another name that is begun again; a run of another recipe that is taken for this one."""
    monkeypatch.chdir(tmp_path)
    config = compose_config("trainer=cpu")
    names = {}
    for digest, overrides in (
        ("00000000", ("n_critic=2",)),
        ("11111111", ()),
        ("22222222", ("seed=1",)),
        ("33333333", ("trainer.devices=2",)),
    ):
        other = compose_config(*overrides)
        name = re.sub(r"[0-9a-f]{8}", digest, other["run_name"])
        names[digest] = Path("runs", name)
        names[digest].mkdir(parents=True)
        (names[digest] / "config.yaml").write_text(yaml.safe_dump({**other, "run_name": name}))
        (names[digest] / "run.json").write_text('{"devices": 1}')
    (tmp_path / "runs" / "dcgan-digits-zzzzzzzz-s0").mkdir()  # no run at all
    found = at_earlier_folder(config)
    assert found["run_dir"] == str(names["11111111"])
    assert found["run_name"] == names["11111111"].name
    assert at_earlier_folder({**config, "resume": "never"}) == {**config, "resume": "never"}
    named = compose_config("run_name=mine")
    assert at_earlier_folder(named) == named
    Path(config["run_dir"]).mkdir()
    assert at_earlier_folder(config) == config
