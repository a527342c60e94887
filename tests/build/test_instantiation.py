"""What a constructor is given: whole numbers as floats where it takes floats, and nothing of another type."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from ganlab.build.instantiation import build, fit_arguments, read_typed
from ganlab.cli import compose_config
from ganlab.errors import ConfigurationError
from ganlab.train import train

if TYPE_CHECKING:
    from somewhere import Thing


class Part:
    """As a user would write one."""

    def __init__(
        self,
        weight: float = 1.0,
        betas: tuple[float, float] = (0.5, 0.9),
        table: Mapping[str, list[float]] | None = None,
        points: Sequence[Sequence[float]] = (),
        steps: int = 1,
        either: int | float = 1,
        on: bool = False,
        name: str = "",
        path: Path | None = None,
        inner: "Part | None" = None,
        others: Sequence["Part"] = (),
        anything: Any = None,
    ) -> None:
        self.given = {name: value for name, value in locals().items() if name != "self"}


class Vague:
    def __init__(self, thing: "Thing", weight: float) -> None:
        self.thing, self.weight = thing, weight


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes this module importable under the name that nodes use, however pytest has imported it."""
    import sys

    monkeypatch.setitem(sys.modules, "parts_of_ones_own", sys.modules[__name__])


def node(kind: str = "Part", /, **arguments: Any) -> dict[str, Any]:
    return {"_target_": f"parts_of_ones_own.{kind}", **arguments}


def types(tree: Any) -> Any:
    if isinstance(tree, Mapping):
        return {key: types(value) for key, value in tree.items()}
    return [types(item) for item in tree] if isinstance(tree, list | tuple) else type(tree)


def test_whole_numbers_become_floats() -> None:
    """Catches: 0 in the betas of Adam; a whole number that has to stay one."""
    part = build(
        "part",
        node(
            weight=2,
            betas=[0, 0.9],
            table={"a": [1, 2.5]},
            points=[[0, 1], [2, 3]],
            steps=3,
            either=4,
            anything=5,
        ),
    )
    assert part.given["weight"] == 2
    found = {name: types(part.given[name]) for name in ("weight", "betas", "table", "points", "steps")}
    assert found == {
        "weight": float,
        "betas": [float, float],
        "table": {"a": [float, float]},
        "points": [[float, float], [float, float]],
        "steps": int,
    }
    assert types([part.given["either"], part.given["anything"]]) == [int, int]


def test_nodes_within_nodes_are_fitted() -> None:
    """Catches: a check of the outermost node alone."""
    part = build("part", node(inner=node(weight=1), others=[node(weight=2), node(inner=node(betas=[0, 1]))]))
    assert type(part.given["inner"].given["weight"]) is float
    assert types(part.given["others"][1].given["inner"].given["betas"]) == [float, float]
    for wrong in (node(inner=node(weight="x")), node(others=[node(), node(weight="x")])):
        with pytest.raises(ConfigurationError, match=r"part\.(inner|others\.1)\.weight: got 'x'"):
            fit_arguments("part", wrong, {})


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"weight": "heavy"}, "part.weight: got 'heavy', but it must be number"),
        ({"weight": True}, "part.weight: got True, but it must be number"),
        ({"weight": None}, "part.weight: got None, but it must be number"),
        ({"steps": 2.0}, "part.steps: got 2.0, but it must be a whole number: part.steps=2"),
        ({"steps": True}, "part.steps: got True, but it must be integer"),
        ({"on": 1}, "part.on: got 1, but it must be boolean"),
        ({"betas": 0.5}, "part.betas: got 0.5, but it must be array"),
        ({"betas": [0, 1, 2]}, "part.betas: got [0, 1, 2], but it must be Tuple should have at most 2"),
        ({"table": {"a": ["x"]}}, "part.table: got {'a': ['x']}, but it must be number"),
        ({"name": 7}, "part.name: got the number 7, but it must be a text: quote it, 'part.name=\"7\"'"),
        ({"nme": "a"}, "part.nme: parts_of_ones_own.Part takes no such argument"),
    ],
)
def test_wrong_type_is_one_line(arguments: dict[str, Any], line: str) -> None:
    """Catches: a text or a truth value taken for a number, 2.0 for a whole number, a list of another length."""
    with pytest.raises(ConfigurationError) as caught:
        fit_arguments("part", node(**arguments), {})
    assert str(caught.value).startswith(line)


def test_types_that_cannot_be_known_are_not_checked() -> None:
    """Catches: a traceback for a type that is imported for type checkers alone."""
    assert build("part", node("Vague", thing=1, weight=2)).weight == 2


def test_typed_texts_are_read_as_the_constructor_says() -> None:
    """Catches: extractor.weights=1e3 as a number, a switch as a text."""
    typed = {"name": "1e3", "path": "007", "weight": "1e-3", "on": "true", "betas": "[0, 1]", "anything": "7"}
    read = read_typed("part", node(), {**typed, "weight": "0.001"})
    assert read == {"name": "1e3", "path": "007", "weight": 0.001, "on": True, "betas": [0, 1], "anything": 7}


TINY = (
    *(
        "model=gan",
        "data=ring2d",
        "data.source.num_points=100",
        "data.batch_size=8",
        "model.generator.channels=4",
    ),
    *("model.discriminator.channels=4", "trainer=cpu", "logger=none", "budget.g_steps=2"),
)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("optimizer.betas=[a,b]",), "optimizer.generator.betas: got"),
        (("optimizer.lr=-1",), "Invalid learning rate: -1"),
        (("optimizer.betas=[0,1]",), "Invalid beta parameter at index 1"),
        (
            ("+schedules.optimizer.betas=[[0,[0,0.9]],[100,[0.5,1]]]",),
            "schedules.optimizer.generator: Invalid beta",
        ),
        (("trainer.devices=x",), "trainer: `devices` selected with `CPUAccelerator`"),
        (("+callbacks.x=3",), "callbacks.x: got 3, but it must have a _target_"),
        (("+schedules.optimizer.lr=[[0,x]]",), "schedules.optimizer.lr: a schedule has"),
        (("evaluate.extractor=poins",), "evaluate.extractor=poins: no such option; did you mean points"),
        (("+metrics.frechet.spatial=3",), "metrics.frechet.spatial: got 3"),
        (("+metrics.frechet.nothing=3",), "metrics.frechet.nothing: "),
        (("initialize.run={file}",), "initialize.run=RUN initialize.checkpoint=best"),
    ],
)
def test_values_are_refused_before_a_folder_is_made(
    tmp_path: Path, words: tuple[str, ...], line: str
) -> None:
    """Catches: what an optimiser, a metric or an extractor refuses, found hours later, or beside an empty run."""
    file = tmp_path / "RUN" / "checkpoints" / "best.ckpt"
    file.parent.mkdir(parents=True)
    file.touch()
    typed = [word.format(file=file) for word in words]
    config = compose_config(*TINY, "metrics=frechet", *typed, f"run_dir={tmp_path / 'run'}")
    with pytest.raises(ConfigurationError) as caught:
        train(config)
    assert line in str(caught.value).replace(str(file.parent.parent), "RUN")
    assert not (tmp_path / "run").exists()


def test_whole_betas_train_as_floats_do(tmp_path: Path) -> None:
    """Catches: optimizer.betas=[0,0.9] refused once training has begun, or other numbers than those of 0.0."""
    weights = []
    for zero in ("0", "0.0"):
        words = (*TINY, "metrics=none", f"optimizer.betas=[{zero},0.9]", f"run_dir={tmp_path / zero}")
        run = train(compose_config(*words))
        state = torch.load(run.checkpoints / "last.ckpt", weights_only=True)
        weights.append(state["generator"])
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
