"""A search learns from scores that runs have written, survives what ends its command, and says what it found."""

import csv
import json
import math
import os
import signal
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import optuna
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from ganlab import train
from ganlab.errors import ConfigurationError
from ganlab.sweeping import child, job, pruning
from ganlab.sweeping.objective import Objective
from ganlab.sweeping.parallel_coordinates import draw_parallel_coordinates
from ganlab.sweeping.pruners import halving, median, none
from ganlab.sweeping.record import FAILED, FINISHED, INTERRUPTED, PRUNED, Outcome, StopRequest, SweepFolder
from ganlab.sweeping.samplers import cmaes, grid, random, tpe
from ganlab.sweeping.search import Search, study_storage
from ganlab.sweeping.space import Space

TINY = ("trainer=smoke", "logger=none", "model=gan", "data=ring2d", "model.generator.channels=4")
METRIC = "fd_points_2k_train"


def space(*overrides: str) -> Space:
    return Space.of(OverridesParser.create().parse_overrides([*overrides]))


@pytest.mark.parametrize(
    ("override", "distribution"),
    [
        ("a=interval(1,10)", FloatDistribution(1, 10)),
        ("a=int(interval(1,10))", IntDistribution(1, 10)),
        ("a=tag(log,interval(1e-5,1e-2))", FloatDistribution(1e-5, 1e-2, log=True)),
        ("a=tag(log,int(interval(8,64)))", IntDistribution(8, 64, log=True)),
        ("a=range(1,10,2)", IntDistribution(1, 9, step=2)),
        ("a=range(1,10,3)", IntDistribution(1, 7, step=3)),
        ("a=range(10,1,-4)", IntDistribution(2, 10, step=4)),
        ("a=range(0.25,1,0.25)", FloatDistribution(0.25, 0.75, step=0.25)),
        ("a=choice(hinge,'b c',3)", CategoricalDistribution(["hinge", r"b\ c", "3"])),
        ("a=1,2", CategoricalDistribution(["1", "2"])),
        ("a=1,2,1", CategoricalDistribution(["1", "2"])),
    ],
)
def test_space_is_hydras_syntax(override: str, distribution: optuna.distributions.BaseDistribution) -> None:
    """Catches: a range that holds its end, a lost log, floats for whole numbers, choices without their quotes or twice;

    what was typed first of a key that is typed twice.
    """
    read = space("a=7,8", "b=4", "b=5", override)
    assert read.distributions == {"a": distribution}
    assert read.fixed == ("b=5",)


def test_space_has_a_size_and_an_identity() -> None:
    """Catches: a size that leaves out a key; one study for two spaces."""
    small = space("a=range(0,3)", "b=1,2")
    assert small.size == 6
    assert small.overrides({"a": 2, "b": "1"}) == ["a=2", "b=1"]
    assert space("a=range(0,3)", "b=interval(1,2)").size == math.inf
    assert space("a=1,2", "c=1").digest != space("a=1,2", "c=2").digest != space("a=1,3", "c=2").digest
    assert space("+x.y=1,2", "~z").overrides({"+x.y": "2"}) == ["~z", "+x.y=2"]


@pytest.mark.parametrize("overrides", [["a=1"], ["a=tag(log,interval(0,1))"], ["a=interval(2,1)"]])
def test_space_that_cannot_be_searched(overrides: list[str]) -> None:
    """Catches: a traceback of Optuna's."""
    with pytest.raises(ConfigurationError, match=r"a key with several values|interval"):
        space(*overrides)


def write_scores(run_dir: Path, *values: float | None, metric: str = METRIC) -> None:
    run_dir.mkdir(parents=True, exist_ok=True)
    with (run_dir / "results.jsonl").open("a") as file:
        for g_step, value in enumerate(values, 1):
            file.write(json.dumps({"g_step": g_step, "metric": metric, "value": value}) + "\n")


def test_objective_reads_the_scores_that_are_meant(tmp_path: Path) -> None:
    """Catches: best for last; minimum for maximum; kin of the Fréchet distance; another split; a NaN."""
    for kin in ("spatial", "inf", "intra"):
        write_scores(tmp_path, 0.0, metric=f"fd_{kin}_points_2k_train")
    write_scores(tmp_path, 5.0, None, 3.0, 4.0)
    write_scores(tmp_path, 1.0, metric="fd_points_2k_test")
    write_scores(tmp_path, 7.0, 9.0, 8.0, metric="modes_points_2k")
    assert Objective().value(tmp_path) == 3
    assert Objective(score="last").value(tmp_path) == 4
    assert Objective("modes_points_2k", "maximize").value(tmp_path) == 9
    assert Objective("modes_points_2k", "maximize", "last").value(tmp_path) == 8
    assert Objective().scores(tmp_path) == [(1, 5), (3, 3), (4, 4)]
    assert math.isnan(Objective("fid50k_train").value(tmp_path))
    assert "modes_points_2k" in Objective("fid50k_train").why_missing(tmp_path)
    with pytest.raises(ConfigurationError, match="minimize or maximize"):
        Objective(direction="min")


@pytest.mark.parametrize(("better", "best"), [("lower", 3.0), ("higher", 5.0), (None, None)])
def test_direction_is_that_of_the_metric(tmp_path: Path, better: str | None, best: float | None) -> None:
    """Catches: a metric of one's own that is minimized by default, a typed direction that does not count."""
    for g_step, value in enumerate((5.0, 3.0, 4.0)):
        line = {"g_step": g_step, "metric": "mine_1k", "value": value, "better": better}
        with (tmp_path / "results.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
    value = Objective("mine_1k").value(tmp_path)
    assert value == best if best else math.isnan(value)
    assert Objective("mine_1k", score="last").value(tmp_path) == 4
    assert Objective("mine_1k", "maximize").value(tmp_path) == 5
    assert Objective("mine_1k").directed("higher").direction == "maximize"
    assert Objective("mine_1k").directed("lower").direction == "minimize"
    assert Objective("mine_1k", "minimize").directed("higher").direction == "minimize"
    assert Objective().directed(None).direction == "minimize"
    with pytest.raises(ConfigurationError, match=r"mine_1k: its metric does not say .*direction=minimize"):
        Objective("mine_1k").directed(None)


def test_examples_hold_every_choice_of_what_is_evaluated() -> None:
    """Catches: an objective that is checked for the first of two choices of metrics alone."""
    searched = space("metrics=frechet,modes", "a=1,2", "b=interval(0,1)", "c=range(3,9,2)")
    same = {"a": "1", "b": 0, "c": 3}
    assert list(searched.examples()) == [{"metrics": each, **same} for each in ("frechet", "modes")]


class Runs:
    """Stands for launcher and jobs: the score of a run is a function of its overrides."""

    def __init__(self, folder: SweepFolder, score: Callable[[dict[str, str]], float]) -> None:
        self.folder = folder
        self.score = score
        self.seen: list[list[str]] = []

    def __call__(self, batch: list[list[str]], first_job: int) -> list[float]:
        values = []
        for number, overrides in enumerate(batch, first_job):
            self.seen.append(overrides)
            value = self.score(dict(each.split("=", 1) for each in overrides))
            self.folder.append(Outcome(number, tuple(overrides), "run", FINISHED, 0))
            values.append(value)
        return values


def make_search(
    tmp_path: Path, score: Callable[[dict[str, str]], float], *overrides: str, **settings: object
) -> tuple[Search, Runs]:
    folder = SweepFolder(tmp_path)
    runs = Runs(folder, score)
    defaults = {"make_sampler": random, "make_pruner": none, "n_trials": 4, "n_jobs": 1, "seed": 0}
    search = Search(space(*overrides), Objective(), folder, runs, **{**defaults, **settings})  # type: ignore[arg-type]
    return search, runs


def trials(tmp_path: Path) -> list[dict[str, str]]:
    with (tmp_path / "trials.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("sampler", [cmaes, lambda space, seed: tpe(space, seed, num_random=5)])
def test_search_finds_the_valley(tmp_path: Path, sampler: Callable[..., object]) -> None:
    """Catches: the wrong direction; scores told to the wrong trial; values that do not reach the run."""

    def valley(values: dict[str, str]) -> float:
        return (math.log10(float(values["lr"])) + 3) ** 2 + abs(int(values["n"]) - 3)

    overrides = ("lr=tag(log,interval(1e-5,1e-1))", "n=range(1,6)", "fixed=7")
    search, runs = make_search(tmp_path, valley, *overrides, make_sampler=sampler, n_trials=16, n_jobs=4)
    search.run()
    assert len(runs.seen) == 16
    rows = trials(tmp_path)
    for row in rows:
        assert float(row["value"]) == pytest.approx(valley(row))
    assert all("fixed=7" in overrides for overrides in runs.seen)
    best = min(rows, key=lambda row: float(row["value"]))
    assert best["n"] == "3"
    assert 2e-4 < float(best["lr"]) < 5e-3
    report = (tmp_path / "search.md").read_text()
    assert (
        f"| {best['trial']} | {float(best['value']):.6g} |"
        in report.split("## Importance")[0].splitlines()[8]
    )


def test_grid_visits_each_point_once(tmp_path: Path) -> None:
    """Catches: random draws; points in the order as typed; going on after the last one; an interval in a grid."""
    search, runs = make_search(
        tmp_path, lambda values: 1.0, "a=range(0,3)", "b=x,y", make_sampler=grid, n_trials=50, n_jobs=4
    )
    search.run()
    assert sorted(map(tuple, runs.seen)) == [(f"a={a}", f"b={b}") for a in range(3) for b in "xy"]
    assert runs.seen != sorted(runs.seen)
    with pytest.raises(ConfigurationError, match="interval has no points"):
        make_search(tmp_path, lambda values: 1.0, "a=interval(0,1)", make_sampler=grid)


def test_report_has_the_best_trials_alone(tmp_path: Path) -> None:
    """Catches: a page of all trials; the first ones instead of the best."""
    search, _ = make_search(
        tmp_path, lambda values: float(values["a"]), "a=range(0,12)", make_sampler=grid, n_trials=12
    )
    search.run()
    report = (tmp_path / "search.md").read_text().split("## Importance")[0]
    rows = [[cell.strip() for cell in line.split("|")] for line in report.splitlines() if "| run |" in line]
    assert [row[2:4] for row in rows[1:]] == [[f"{value}", f"{value}"] for value in range(10)]
    assert len(trials(tmp_path)) == 12


def test_same_command_goes_on(tmp_path: Path) -> None:
    """Catches: starting over; drawing the same trials again with the same seed."""
    first, _ = make_search(tmp_path, lambda values: 1.0, "a=interval(0,1)", n_trials=3)
    first.run()
    again, runs = make_search(tmp_path, lambda values: 1.0, "a=interval(0,1)", n_trials=6)
    again.run()
    assert len(runs.seen) == 3
    rows = trials(tmp_path)
    assert len({row["a"] for row in rows}) == 6
    assert {row["state"] for row in rows} == {"complete"}


def test_killed_search_takes_up_its_trial(tmp_path: Path) -> None:
    """Catches: a trial that is lost, or run with other values, when its command was killed in it (K6)."""

    class Killed(BaseException):
        pass

    def killed(values: dict[str, str]) -> float:
        raise Killed

    search, runs = make_search(tmp_path, killed, "a=interval(0,1)", "b=x,y", n_trials=2)
    with pytest.raises(Killed):
        search.run()
    again, resumed = make_search(tmp_path, lambda values: 1.0, "a=interval(0,1)", "b=x,y", n_trials=2)
    again.run()
    assert resumed.seen[0] == runs.seen[0]
    assert [row["state"] for row in trials(tmp_path)] == ["complete", "complete"]


def test_study_is_closed_between_trials(tmp_path: Path) -> None:
    """Catches: a database that stays open for as long as the process lives, of which Python warns from 3.13 on."""
    database = os.path.realpath(tmp_path / "study.db")
    open_files = []

    def score(values: dict[str, str]) -> float:
        open_files.append([os.path.realpath(link) for link in Path("/proc/self/fd").iterdir()])
        return 1.0

    search, _ = make_search(tmp_path, score, "a=interval(0,1)", n_trials=2)
    search.run()
    assert len(open_files) == 2
    assert not any(database in files for files in open_files)


def test_another_space_is_another_search(tmp_path: Path) -> None:
    """Catches: trials of another space counted, and learned from, because they lie in the same folder."""
    for override in ("a=interval(0,1)", "a=interval(0,2)"):
        search, runs = make_search(tmp_path, lambda values: 1.0, override, n_trials=2)
        search.run()
        assert len(runs.seen) == 2


def test_stopped_search_keeps_the_trials_that_wait(tmp_path: Path) -> None:
    """Catches: a batch begun after the request to stop; a traceback, or a lost trial, for a job that did not start."""
    folder = SweepFolder(tmp_path)

    def launch(batch: list[list[str]], first_job: int) -> list[float]:
        folder.append(Outcome(first_job, tuple(batch[0]), "run", FINISHED, 0))
        folder.ask_to_stop(StopRequest(signal.SIGTERM))
        return [1.0, math.nan]

    Search(space("a=interval(0,1)"), Objective(), folder, launch, random, none, 6, 2, 0).run()
    assert [row["state"] for row in trials(tmp_path)] == ["complete", "running"]


def test_trial_that_was_half_asked_for_is_given_up(tmp_path: Path) -> None:
    """Catches: a run without a value for each key, because its command was killed while Optuna drew them (K6)."""
    overrides = ("a=interval(0,1)", "b=x,y")
    first, _ = make_search(tmp_path, lambda values: 1.0, *overrides, n_trials=2)
    first._study.ask({"a": FloatDistribution(0, 1)})
    again, runs = make_search(tmp_path, lambda values: 1.0, *overrides, n_trials=2)
    again.run()
    assert [[each.split("=")[0] for each in overrides] for overrides in runs.seen] == [["a", "b"]]
    assert [row["state"] for row in trials(tmp_path)] == ["fail", "complete"]


def test_trial_is_told_as_it_ended(tmp_path: Path) -> None:
    """Catches: a failed run that ends the search or counts as good; an interrupted one that is told.

    And scores lost to later pruning because their run ended between two looks.
    """
    endings = iter(
        [(FAILED, math.nan), (FINISHED, math.nan), (PRUNED, 3.0), (INTERRUPTED, 2.0), (FINISHED, 5.0)]
    )
    folder = SweepFolder(tmp_path / "sweep")
    write_scores(tmp_path / "run", 3.0)

    def launch(batch: list[list[str]], first_job: int) -> list[float]:
        status, value = next(endings)
        folder.append(Outcome(first_job, tuple(batch[0]), str(tmp_path / "run"), status, 1, "ValueError: x"))
        return [value]

    search = Search(space("a=interval(0,1)"), Objective("auto"), folder, launch, random, none, 5, 1, 0)
    search.run()
    rows = trials(folder.path)
    assert [row["state"] for row in rows] == ["fail", "fail", "pruned", "running", "complete"]
    assert rows[0]["error"] == "ValueError: x"
    assert rows[4]["value"] == "5.0"
    study = optuna.load_study(study_name=None, storage=study_storage(folder))
    assert study.trials[4].intermediate_values == {1: 3.0}


@pytest.mark.parametrize(
    ("pruner", "stopped"),
    [
        (lambda: median(num_complete=2, first_g_step=1), {2: True, 3: False}),
        (lambda: halving(first_g_step=1, reduction=2), {2: True, 3: False}),
        (none, {2: False, 3: False}),
    ],
)
def test_bad_trial_is_asked_to_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pruner: Callable[[], object], stopped: dict[int, bool]
) -> None:
    """Catches: scores that Optuna does not get while a run trains; stopping a good run; stopping all."""
    monkeypatch.setattr(pruning, "POLL_SECONDS", 0.02)
    scores = {0: (4.0, 4.0, 4.0), 1: (5.0, 5.0, 5.0), 2: (9.0, 9.0, 9.0), 3: (3.0, 2.0, 1.0)}
    folder = SweepFolder(tmp_path / "sweep")
    asked = {}

    def launch(batch: list[list[str]], number: int) -> list[float]:
        run_dir = tmp_path / str(number)
        folder.append(Outcome(number, tuple(batch[0]), str(run_dir)))
        write_scores(run_dir, *scores[number])
        for _ in range(50):
            if folder.stop_requests(number):
                break
            pruning.threading.Event().wait(0.01)
        asked[number] = bool(folder.stop_requests(number))
        status = PRUNED if asked[number] else FINISHED
        folder.append(Outcome(number, tuple(batch[0]), str(run_dir), status, 0))
        return [min(scores[number])]

    Search(space("a=interval(0,1)"), Objective(), folder, launch, random, pruner, 4, 1, 0).run()  # type: ignore[arg-type]
    assert {number: asked[number] for number in stopped} == stopped
    study = optuna.load_study(study_name=None, storage=study_storage(folder))
    assert study.trials[3].intermediate_values == {1: 3.0, 2: 2.0, 3: 1.0}


def test_trial_is_asked_to_stop_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: a second request, at which a run ends unsaved, for a score that came while it was saving; one to a job

    that has ended.
    """
    folder = SweepFolder(tmp_path / "sweep")
    folder.append(Outcome(0, ("a=1",), str(tmp_path / "run")))
    folder.append(Outcome(1, ("a=2",), str(tmp_path / "ended"), FINISHED, 0))
    write_scores(tmp_path / "ended", 9.0)
    study = optuna.create_study(pruner=optuna.pruners.ThresholdPruner(upper=1.0))
    watched = pruning.Pruning({0: study.ask(), 1: study.ask()}, Objective(), folder, 0)
    num_requests = []

    def wait(seconds: float) -> bool:
        num_requests.append(len(folder.stop_requests(0)))
        write_scores(tmp_path / "run", *[9.0] * len(num_requests))
        return len(num_requests) == 4

    monkeypatch.setattr(watched._ended, "wait", wait)
    watched._watch()
    assert num_requests == [0, 1, 1, 1]
    assert not folder.stop_requests(1)


def test_resumed_trial_tells_new_scores_alone(tmp_path: Path) -> None:
    """Catches: a warning of Optuna's for each score that a run had when it was taken up again."""
    folder = SweepFolder(tmp_path / "sweep")
    folder.append(Outcome(0, ("a=1",), str(tmp_path / "run")))
    write_scores(tmp_path / "run", 3.0, 2.0)
    study = optuna.create_study()
    trial = study.ask()
    trial.report(3.0, 1)
    with pruning.Pruning({0: trial}, Objective(), folder, 0):
        pass
    assert study.trials[0].intermediate_values == {1: 3.0, 2: 2.0}


def test_picture_has_a_line_for_each_trial() -> None:
    """Catches: a file that is no XML because of a key's or choice's characters; a best trial hidden below others."""
    read = space("a=tag(log,interval(1,100))", "b='<x>','&'")
    params = [{"a": 10.0, "b": "'<x>'"}, {"a": 1.0, "b": "'&'"}, {"a": 100.0, "b": "'&'"}]
    root = ElementTree.fromstring(draw_parallel_coordinates(params, [1.0, 2.0, 3.0], read, "fid<50k"))
    lines = [each for each in root if each.tag.endswith("polyline")]
    points = [
        [tuple(map(float, point.split(","))) for point in line.attrib["points"].split()] for line in lines
    ]
    assert len(points) == 3
    bottom, top = points[1][0][1], points[0][0][1]  # a=1 and a=100
    assert bottom > top  # in pixels from above
    marks = {each.text: float(each.attrib["y"]) for each in root if each.tag.endswith("text")}
    assert marks["1"] > marks["100"]
    assert points[2][0][1] == pytest.approx((bottom + top) / 2)  # a=10, on a logarithmic scale
    assert lines[2].attrib["opacity"] == "1.00"
    assert "<x>" in "".join(root.itertext())


def test_picture_has_room_for_its_marks() -> None:
    """Catches: the names of a hundred choices on top of each other."""
    read = space("a=" + ",".join(f"x{number}" for number in range(100)))
    root = ElementTree.fromstring(
        draw_parallel_coordinates([{"a": "x0"}, {"a": "x99"}], [1.0, 2.0], read, "m")
    )
    marks = [each.text for each in root if each.tag.endswith("text") and each.text.startswith("x")]
    assert marks == [f"x{number}" for number in range(0, 100, 9)]


def test_search_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches: a plugin that Hydra does not find; options that do not reach it; a score read elsewhere."""
    script = """
        import json, pathlib, sys
        arguments = dict(word.split("=", 1) for word in sys.argv[1:] if "=" in word)
        run = pathlib.Path("run") / arguments["n_critic"]
        run.mkdir(parents=True, exist_ok=True)
        result = {"g_step": 1, "metric": "modes_points_16", "value": int(arguments["n_critic"])}
        (run / "results.jsonl").write_text(json.dumps(result))
        (run / "run.json").write_text('{"status": "finished"}')
    """
    (tmp_path / "stand_in.py").write_text(textwrap.dedent(script))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(job, "TRAIN", (sys.executable, "-S", str(tmp_path / "stand_in.py")))
    monkeypatch.setattr(child, "POLL_SECONDS", 0.02)
    options = ["objective=modes_points_16", "n_trials=9", "n_jobs=2"]  # more is better
    words = [
        *("metrics=modes", "evaluate.num_samples=16", "evaluate.extractor=points"),
        "hydra/sweeper=optuna",
        "hydra/sweeper/sampler=grid",
        *(f"hydra.sweeper.{each}" for each in options),
    ]
    monkeypatch.setattr(
        sys, "argv", ["ganlab", "-m", *TINY, "run_dir=run/${n_critic}", "n_critic=range(1,4)", *words]
    )
    train.main()
    out = capsys.readouterr().out
    assert "3 trials: 3 complete" in out
    assert "3: n_critic=3" in out.split("best: trial")[1].splitlines()[0]
    [folder] = Path("runs/.sweep").iterdir()
    assert [row["run_dir"] for row in trials(folder)] == [f"run/{row['n_critic']}" for row in trials(folder)]


def test_search_says_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches: a page of Hydra's for a misspelt option of the search."""
    monkeypatch.chdir(tmp_path)
    words = ["-m", "hydra/sweeper=optuna", "hydra.sweeper.n_trails=3", "seed=1,2"]
    monkeypatch.setattr(sys, "argv", ["ganlab", *words])
    with pytest.raises(SystemExit) as ended:
        train.main()
    assert ended.value.code == 2
    assert "hydra.sweeper.n_trails: no such key" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
