"""Runs beside each other: grouped by seed, ranked only by equal protocols."""

import csv
import io
import json
import math
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ganlab import compare as verb
from ganlab.cli import compose_config
from ganlab.compare import CompareOptions, show
from ganlab.errors import ConfigurationError, DataError
from ganlab.runs import sections
from ganlab.runs.comparison import compare, differing_keys, find_runs
from ganlab.runs.folder import RunFolder
from ganlab.runs.protocols import said_differences

PROTOCOL = {
    "extractor": "efflite0",
    "num_samples": 2000,
    "batch_norm": "running",
    "generator": "ema",
    "seed": 0,
}


def make_run(
    folder: Path,
    *overrides: str,
    scores: dict[int, float],
    metric: str = "fd_efflite0_2k_train",
    ci95: tuple[float, float] | None = None,
    better: str | None = "by name",
    **protocol: Any,
) -> Path:
    config = compose_config("model=gan", *overrides)
    path = folder / config["run_name"]
    run = RunFolder(path)
    run.open(config, {})
    for g_step, value in scores.items():
        run.append_metrics({"g_step": g_step, "images": g_step * 100, "seconds": g_step / 10})
        seed = config["seed"]
        result = {
            "g_step": g_step,
            "metric": metric,
            "value": value,
            "protocol": {**PROTOCOL, "seed": seed, **protocol},
        }
        said = {} if better == "by name" else {"better": better}  # as earlier versions, which said nothing
        run.append_results([{**result, "seconds": 1.0, **said, **({"ci95": ci95} if ci95 else {})}])
    run.set_status("finished", g_steps=max(scores))
    run.close()
    return path


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for seed, value in enumerate([10.0, 14.0]):
        make_run(tmp_path, "loss=hinge", f"seed={seed}", scores={1: 50.0, 2: value})
    make_run(tmp_path, "loss=nonsaturating", scores={1: 5.0, 2: 30.0})
    return tmp_path


def test_seeds_are_one_row_with_mean_and_deviation(runs: Path) -> None:
    """Catches: the population's deviation (2.0), seeds as rows, the seed among the keys that differ."""
    comparison = compare(find_runs([runs]))
    assert comparison.keys == ["loss._target_", "loss.real_target"]
    cells = {len(row.runs): row.cells["fd_efflite0_2k_train"] for row in comparison.rows}
    assert cells[2].mean == 12.0
    assert cells[2].sd == pytest.approx(8**0.5)
    assert cells[1].sd is None


def test_a_repeated_seed_is_no_further_sample(tmp_path: Path) -> None:
    """Catches: the same run in two folders counted as two seeds."""
    for place in ("first", "again"):
        make_run(tmp_path / place, scores={1: 3.0})
    (row,) = compare(find_runs([tmp_path])).rows
    assert len(row.runs) == 1


def test_last_and_best_differ(runs: Path) -> None:
    """Catches: `best` of a distance taken as the largest."""
    last, best = (compare(find_runs([runs]), pick) for pick in ("last", "best"))
    single = [
        next(row for row in c.rows if len(row.runs) == 1).cells["fd_efflite0_2k_train"] for c in (last, best)
    ]
    assert [cell.mean for cell in single] == [30.0, 5.0]


def test_equal_protocols_are_ranked(runs: Path) -> None:
    table = show([str(runs)], CompareOptions(sort="fd_efflite0_2k_train"))
    first, second = table.splitlines()[2:4]
    assert "Hinge" in first
    assert "12 ± 2.8 (2)*" in first
    assert "NonSaturating" in second
    assert "*" not in second


@pytest.mark.parametrize(
    ("field", "value"), [("batch_norm", "batch of 64"), ("num_samples", 2001), ("extra", True)]
)
def test_different_protocols_are_not_ranked(runs: Path, field: str, value: Any) -> None:
    """Catches: a field left out of the fingerprint, one that only some protocols have, a silent best mark."""
    make_run(runs, "loss=wasserstein", scores={2: 1.0}, **{field: value})
    table = show([str(runs)], CompareOptions())
    assert f"fd_efflite0_2k_train: not ranked, protocols differ in {field} (" in table
    assert "*" not in table
    with pytest.raises(ConfigurationError, match=rf"not ranked, protocols differ in {field}.*ignore="):
        show([str(runs)], CompareOptions(sort="fd_efflite0_2k_train"))
    allowed = show([str(runs)], CompareOptions(sort="fd_efflite0_2k_train", ignore=[field]))
    assert "Wasserstein" in allowed.splitlines()[2]


def test_table_says_which_uncertainty_it_shows(tmp_path: Path) -> None:
    """Catches: an interval over images shown as if it were one over training seeds."""
    for seed in (0, 1):
        make_run(tmp_path, "loss=hinge", f"seed={seed}", scores={1: 2.0 + seed}, ci95=(1.0, 4.0))
    make_run(tmp_path, "loss=minimax", scores={1: 7.0}, ci95=(6.5, 7.25))
    table = show([str(tmp_path)], CompareOptions())
    assert "2.5 ± 0.71 (2)" in table
    assert "7 [6.5, 7.25]" in table
    assert "over n training seeds" in table
    assert "over the images of its evaluation" in table


def test_protocols_differ_in_words(tmp_path: Path) -> None:
    """Catches: mappings written as JSON, a checksum where a name says it, parts that are equal, `null`."""
    reference = {"name": "cifar10", "split": "train", "num": 50000, "sha256": "a" * 64}
    for loss, changes in (
        ("hinge", {}),
        ("minimax", {"reference": {**reference, "split": "test", "num": 10000, "sha256": "b" * 64}}),
        ("wasserstein", {"num_samples": 50000, "method": {"method": "drs", "burn_in": 9}}),
    ):
        protocol = {"reference": reference, "method": None, **changes}
        make_run(tmp_path, f"loss={loss}", f"run_name={loss}", scores={1: 2.0}, **protocol)
    table = show([str(tmp_path)], CompareOptions())
    (reason,) = (line for line in table.splitlines() if "not ranked" in line)
    assert "reference (the real images: train, 50,000 images / test, 10,000 images" in reason
    assert "num_samples (number of generated images: 2,000 / 50,000)" in reason
    assert "method (how latents are chosen: none / method drs, burn in 9)" in reason
    assert "{" not in reason


def test_same_data_by_name_with_other_content() -> None:
    """Catches: a difference that is said without a difference."""
    conflict = {"reference": [{"name": "mine", "sha256": each * 64} for each in "ab"]}
    assert said_differences(conflict) == "reference (the real images: checksum aaaaaaaa / checksum bbbbbbbb)"


def test_mixed_recipes_are_shown_by_model_and_data(tmp_path: Path) -> None:
    """Catches: a table of thirty columns; a group with the keys of others; a star for each group."""
    for value, overrides in (
        (20.0, ("model=sngan", "data=digits")),
        (25.0, ("model=sngan", "data=digits", "n_critic=2")),
        (30.0, ("model=dcgan", "data=digits", "penalty=r1", "ema=default")),
    ):
        make_run(tmp_path, *overrides, scores={1: value})
    table = show([str(tmp_path)], CompareOptions())
    tables = [part.splitlines() for part in table.split("\n\n")]
    sngan, dcgan = (next(each for each in tables if each[0].startswith(name)) for name in ("sngan", "dcgan"))
    assert sngan[0].startswith("sngan on digits: ")
    assert "loss Hinge" in sngan[0]
    assert sngan[1].split() == [
        "run",
        "n_critic",
        "fd_efflite0_2k_train",
        "seeds",
        "g_steps",
        "time",
        "images/s",
    ]
    assert len(sngan) == 5
    assert dcgan[1].split() == ["run", "fd_efflite0_2k_train", "seeds", "g_steps", "time", "images/s"]
    assert table.count("20*") == 1
    assert len(re.findall(r"\d\*", table)) == 1
    assert max(map(len, table.splitlines())) < 160
    flat = show([str(tmp_path)], CompareOptions(format="csv")).splitlines()
    assert len(flat) == 4
    assert "penalty" in flat[0]


def test_keys_without_a_column_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: keys that are dropped without a word; numbers that stand before what was chosen."""
    monkeypatch.setattr(sections, "MAX_KEYS", 2)
    make_run(tmp_path, "loss=hinge", "n_critic=2", scores={1: 1.0})
    make_run(tmp_path, "loss=minimax", "model.latent_dim=3", scores={1: 2.0})
    table = show([str(tmp_path)], CompareOptions())
    assert table.split()[:4] == ["run", "loss", "model.latent_dim", "fd_efflite0_2k_train"]
    assert (
        "these runs: 2 more keys differ (n_critic, loss.real_target); format=csv has a column for each"
        in table
    )


def test_runs_of_one_name_show_their_folders(tmp_path: Path) -> None:
    """Catches: two lines that nobody can tell apart; folders where names do."""
    for place, loss in (("a", "hinge"), ("b", "minimax")):
        make_run(tmp_path / place, f"loss={loss}", "run_name=same", scores={1: 1.0})
    make_run(tmp_path, "loss=wasserstein", "run_name=other", scores={1: 1.0})
    assert {row["run"] for row in rows_of(tmp_path)} == {
        "other",
        *(f"same ({tmp_path / place / 'same'})" for place in "ab"),
    }


def test_failed_run_is_not_shown_like_one_that_ended_well(tmp_path: Path) -> None:
    """It diverged after its last score. Catches: a finite number of long before, and nothing said of it."""
    for name, words in (("scored", "its last scores are of g_step 10"), ("unscored", "it has no scores")):
        path = make_run(tmp_path / name, scores={10: 3.0})
        status = json.loads((path / "run.json").read_text())
        failure = {"status": "failed", "g_steps": 25, "error": "DivergedError: d_loss is not finite"}
        (path / "run.json").write_text(json.dumps({**status, **failure}))
        if name == "unscored":
            (path / "results.jsonl").unlink()
        note = f"failed at g_step 25 (DivergedError: d_loss is not finite); {words}"
        assert note in show([str(path)], CompareOptions())


def test_what_has_no_best_has_one_column(tmp_path: Path) -> None:
    """Catches: a column that calls the last score the best."""
    path = make_run(tmp_path, scores={1: 2.0, 2: 3.0}, metric="ms_ssim_2k", better=None)
    (row,) = rows_of(path, scores="both")
    assert [name for name in row if name.startswith("ms_ssim")] == ["ms_ssim_2k (last)"]
    assert "ms_ssim_2k: neither lower nor higher is better" in show(
        [str(path)], CompareOptions(scores="best")
    )


def test_what_no_run_has_is_refused(runs: Path) -> None:
    """Catches: a table without scores for a metric that is misspelt."""
    with pytest.raises(ConfigurationError, match=r"no run has fid50k; choose from fd_efflite0_2k_train"):
        show([str(runs)], CompareOptions(metrics=["fid50k"]))


def test_column_is_sorted_by_its_name(runs: Path) -> None:
    """Catches: `sort=loss` refused, though a column is called so."""
    lines = show([str(runs)], CompareOptions(sort="loss")).splitlines()
    assert "Hinge" in lines[2]
    assert "NonSaturating" in lines[3]


def test_higher_is_better_but_for_distances(tmp_path: Path) -> None:
    make_run(tmp_path, "loss=hinge", scores={1: 2.0}, metric="is50k")
    make_run(tmp_path, "loss=minimax", scores={1: 7.0}, metric="is50k")
    table = show([str(tmp_path)], CompareOptions(sort="is50k"))
    assert "7*" in table.splitlines()[2]


def test_other_forms(runs: Path) -> None:
    rows = list(csv.reader(io.StringIO(show([str(runs)], CompareOptions(format="csv")))))
    assert rows[0][:2] == ["run", "loss"]
    assert len(rows) == 3
    assert {len(row) for row in rows} == {len(rows[0])}
    parsed = json.loads(show([str(runs)], CompareOptions(format="json")))
    assert parsed[0]["scores"]["fd_efflite0_2k_train"]["values"]
    latex = show([str(runs)], CompareOptions(format="latex"))
    assert r"fd\_efflite0\_2k\_train" in latex
    assert latex.count(r"\\") == 3
    assert show([str(runs)], CompareOptions(format="markdown")).splitlines()[1].startswith("| --- |")


@pytest.mark.parametrize(
    ("term", "chosen"),
    [
        ("loss=hinge", {"Hinge"}),  # the file of the class
        ("loss=NonSaturating", {"NonSaturating"}),  # its name
        ("loss=hinge,nonsaturating", {"Hinge", "NonSaturating"}),
        ("loss!=hinge", {"NonSaturating"}),
        ("seed=1", {"Hinge"}),
        ("seed>=0.5 model=gan status=finished", {"Hinge"}),
        ("latent_dim<1", set()),
        ("gan-", {"Hinge", "NonSaturating"}),  # a part of the name
    ],
)
def test_filter_chooses_runs(runs: Path, term: str, chosen: set[str]) -> None:
    """Catches: terms joined by or, an order of texts instead of numbers, the end of a key not found."""
    if not chosen:
        with pytest.raises(ConfigurationError, match="no run is like that"):
            show([str(runs)], CompareOptions(filter=term))
        return
    rows = list(csv.DictReader(io.StringIO(show([str(runs)], CompareOptions(filter=term, format="csv")))))
    names = {row["loss"] for row in rows} if len(chosen) > 1 else {term for term in chosen}
    assert names == chosen
    assert len(rows) == len(chosen)
    if len(chosen) == 1:  # the loss no longer differs, so that the name has to tell
        hinge = json.loads(show([str(runs)], CompareOptions(filter=term, format="json")))[0]["paths"]
        configs = [yaml.safe_load((Path(path) / "config.yaml").read_text()) for path in hinge]
        assert {config["loss"]["_target_"].rsplit(".", 1)[-1] for config in configs} == chosen


def test_filter_without_a_number_is_refused(runs: Path) -> None:
    with pytest.raises(ConfigurationError, match="filter=seed<many: many is no number"):
        show([str(runs)], CompareOptions(filter="seed<many"))


def test_copied_keys_are_shown_once() -> None:
    """Catches: a column for each interpolation of one key; and columns dropped that only look alike."""
    settings = [
        {"model.latent_dim": n, "model.generator.latent_dim": n, "a.lr": n, "b.lr": n} for n in (1, 2)
    ]
    assert differing_keys(settings) == ["a.lr", "b.lr", "model.latent_dim"]


def test_torn_and_growing_files_are_read(runs: Path) -> None:
    """A run that is being written: half a last line in each file."""
    run = next(path for path in runs.iterdir())
    for name in ("metrics.jsonl", "results.jsonl"):
        with (run / name).open("a") as file:
            file.write('{"g_step": 3, "val')
    assert len(compare(find_runs([runs])).rows) == 2


def test_both_scores_time_and_sizes_are_columns(tmp_path: Path) -> None:
    """Catches: best and last swapped, seconds shown as they are, sizes of one network under the other's name."""
    path = make_run(tmp_path, scores={36000: 5.0, 72000: 30.0})
    status = json.loads((path / "run.json").read_text())
    status["parameters"] = {"generator": 1_234_567, "discriminator": 4_321}
    (path / "run.json").write_text(json.dumps(status))
    (row,) = csv.DictReader(io.StringIO(show([str(path)], CompareOptions(scores="both", format="csv"))))
    assert row["fd_efflite0_2k_train (best)"] == "5"
    assert row["fd_efflite0_2k_train (last)"] == "30"
    assert (row["time"], row["images/s"]) == ("2:00:00", "1000")
    assert (row["G parameters"], row["D parameters"]) == ("1.23M", "4k")


@pytest.mark.parametrize(
    ("changes", "column"),
    [
        ({"method": {"method": "drs", "burn_in": 100}}, "fd_efflite0_2k_train method=drs"),
        ({"truncation": 0.5, "generator": "raw"}, "fd_efflite0_2k_train generator=raw truncation=0.5"),
    ],
)
def test_a_score_by_another_protocol_hides_none(tmp_path: Path, changes: dict[str, Any], column: str) -> None:
    """Catches: the score of rejected samples in the place of the plain one of the same checkpoint, which would then
    be compared with nothing; and one that is nowhere."""
    plain = {"truncation": 1.0, "method": None}
    scored = make_run(tmp_path, "loss=hinge", scores={2: 40.0}, **plain)
    make_run(tmp_path, "loss=minimax", scores={2: 45.0}, **plain)
    run = RunFolder(scored)
    protocol = {**PROTOCOL, **plain, **changes}
    run.append_results([{"g_step": 2, "metric": "fd_efflite0_2k_train", "value": 7.0, "protocol": protocol}])
    options = CompareOptions(sort="fd_efflite0_2k_train", format="csv")
    first, second = csv.DictReader(io.StringIO(show([str(tmp_path)], options)))
    assert (first["fd_efflite0_2k_train"], second["fd_efflite0_2k_train"]) == ("40*", "45")
    assert (first[column], second[column]) == ("7", "-")
    chosen = CompareOptions(metrics=[column], sort=column, format="csv")
    assert "fd_efflite0_2k_train" not in next(csv.DictReader(io.StringIO(show([str(tmp_path)], chosen))))


def test_a_run_that_ended_in_nan_is_not_shown_by_its_past(tmp_path: Path) -> None:
    """Catches: the last finite score as the last, NaN marked as best or sorted before numbers, NaN in JSON, the mean
    over the seeds that survived."""
    ended = make_run(tmp_path, "loss=hinge", scores={1: 5.0, 2: math.nan}, ci95=(math.nan, 9.0))
    assert "NaN" not in (ended / "results.jsonl").read_text()
    make_run(tmp_path, "loss=minimax", scores={2: 45.0})
    make_run(tmp_path, "loss=wasserstein", "seed=0", scores={2: 41.0})
    make_run(tmp_path, "loss=wasserstein", "seed=1", scores={2: math.nan})
    table = show([str(tmp_path)], CompareOptions(sort="fd_efflite0_2k_train"))
    cells = {line.split()[1]: line for line in table.splitlines()[2:5]}
    assert table.splitlines()[2] == cells["Minimax"]
    assert "45*" in cells["Minimax"]
    assert "nan" in cells["Hinge"]
    assert "nan" in cells["Wasserstein"]
    assert "nan: the score of a run is no finite number" in table
    text = show([str(ended)], CompareOptions(scores="both", format="json"))
    (row,) = json.loads(text, parse_constant=lambda name: pytest.fail(name))
    scores = {pick: row["scores"][pick]["fd_efflite0_2k_train"] for pick in ("best", "last")}
    assert (scores["best"]["mean"], scores["last"]["mean"], scores["last"]["values"]) == (5.0, None, [None])


def test_best_is_by_one_protocol(tmp_path: Path) -> None:
    """Catches: an easier protocol's number taken as the best of a run that was scored by two."""
    path = make_run(tmp_path, scores={1: 50.0, 2: 40.0, 3: 45.0})
    easier = {
        "g_step": 0,
        "metric": "fd_efflite0_2k_train",
        "value": 1.0,
        "protocol": {**PROTOCOL, "num_samples": 9},
    }
    lines = (path / "results.jsonl").read_text()
    (path / "results.jsonl").write_text(json.dumps(easier) + "\n" + lines)
    (row,) = compare(find_runs([path]), "best").rows
    assert row.cells["fd_efflite0_2k_train"].mean == 40.0


def test_experiments_of_one_name_stay_apart(tmp_path: Path) -> None:
    """Catches: rows told apart by name, so that one shows the other's scores."""
    for place, loss, value in (("a", "hinge", 10.0), ("b", "minimax", 20.0)):
        make_run(tmp_path / place, f"loss={loss}", "run_name=same", scores={1: value})
    rows = csv.DictReader(io.StringIO(show([str(tmp_path)], CompareOptions(format="csv"))))
    assert {row["loss"]: row["fd_efflite0_2k_train"] for row in rows} == {"Hinge": "10*", "Minimax": "20"}


def test_unreadable_run_is_named_and_left_out(runs: Path) -> None:
    """Catches: one broken folder that ends the command."""
    broken = next(path for path in runs.iterdir() if "-s1" in path.name)
    (broken / "config.yaml").write_text("a: [")
    table = show([str(runs)], CompareOptions())
    assert f"{broken}: left out, config.yaml:" in table
    rows = list(csv.DictReader(io.StringIO(show([str(runs)], CompareOptions(format="csv")))))
    assert {row["loss"] for row in rows} == {"Hinge", "NonSaturating"}
    assert len(rows) == 2


def test_table_goes_to_a_file_in_the_form_of_its_ending(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a traceback where the folder is missing, or is none."""
    out = tmp_path / "new" / "table.md"
    monkeypatch.setattr(sys, "argv", ["ganlab", str(runs), f"out={out}"])
    verb.main()
    assert out.read_text().startswith("| run | loss |")
    monkeypatch.setattr(sys, "argv", ["ganlab", str(runs), f"out={out / 'table.md'}"])
    with pytest.raises(SystemExit) as ended:
        verb.main()
    assert ended.value.code == 5


def test_folder_without_runs_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DataError, match="holds no run"):
        find_runs([tmp_path])


def test_command_line(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["ganlab", str(runs), "scores=best"])
    verb.main()
    assert "fd_efflite0_2k_train" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["ganlab"])
    with pytest.raises(SystemExit) as ended:
        verb.main()
    assert ended.value.code == 2


def rows_of(folder: Path, **options: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(show([str(folder)], CompareOptions(format="csv", **options)))))


def test_numbers_are_sorted_by_size_and_gaps_come_last(tmp_path: Path) -> None:
    """Catches: 10 before 2; a run without this score above the best one."""
    for number, metric in ((10, "fd_a"), (2, "fd_a"), (3, "fd_b")):
        make_run(tmp_path, f"n_critic={number}", scores={1: 20.0 - number}, metric=metric)
    assert [row["n_critic"] for row in rows_of(tmp_path, sort="n_critic")] == ["2", "3", "10"]
    assert [row["n_critic"] for row in rows_of(tmp_path, sort="fd_a")] == ["10", "2", "3"]


def test_progress_is_that_of_the_slowest(tmp_path: Path) -> None:
    """Catches: a row that looks done while one of its runs trains, or failed; a word for what needs none."""
    make_run(tmp_path, "seed=0", scores={20: 1.0})
    path = make_run(tmp_path, "seed=1", scores={10: 1.0})
    assert [row["g_steps"] for row in rows_of(tmp_path)] == ["10"]
    status = json.loads((path / "run.json").read_text())
    (path / "run.json").write_text(json.dumps({**status, "status": "running"}))
    assert [row["g_steps"] for row in rows_of(tmp_path)] == ["10 running"]


def test_speed_of_a_run_that_has_just_begun(tmp_path: Path) -> None:
    """Catches: a division by the zero seconds of the first line."""
    path = make_run(tmp_path, scores={1: 1.0})
    (path / "metrics.jsonl").write_text('{"g_step": 1, "images": 100, "seconds": 0}\n')
    assert [row["images/s"] for row in rows_of(tmp_path)] == ["-"]


def test_latest_of_a_repeated_seed_counts(tmp_path: Path) -> None:
    """Catches: whichever folder comes last by name."""
    for place, value, started in (("a", 3.0, "2025-02-01"), ("b", 4.0, "2025-01-01")):
        path = make_run(tmp_path / place, scores={1: value})
        status = json.loads((path / "run.json").read_text())
        (path / "run.json").write_text(json.dumps({**status, "started": started}))
    (row,) = compare(find_runs([tmp_path])).rows
    assert row.cells["fd_efflite0_2k_train"].values == (3.0,)


@pytest.mark.parametrize(
    ("names", "shared"), [(("x-s0", "x-s1"), "x"), (("big-small",) * 2, "big-small"), (("x-s0",), "x-s0")]
)
def test_seeds_share_a_name(tmp_path: Path, names: tuple[str, ...], shared: str) -> None:
    """Catches: a row of several seeds that bears the first one's name, or the first half of a name of one's own."""
    for seed, name in enumerate(names):
        make_run(tmp_path / str(seed), f"run_name={name}", f"seed={seed}", scores={1: 1.0})
    assert [row["run"] for row in rows_of(tmp_path)] == [shared]


def test_each_folder_must_hold_a_run(runs: Path) -> None:
    """Catches: a misspelt folder beside a good one, whose runs are missing without a word."""
    (runs / "empty").mkdir()
    with pytest.raises(DataError, match="empty: holds no run"):
        find_runs([runs, runs / "empty"])


@pytest.mark.parametrize(("better", "star"), [("lower", "2*"), ("higher", "7*"), (None, None)])
def test_star_goes_where_the_lines_say(tmp_path: Path, better: str | None, star: str | None) -> None:
    """Catches a direction that is guessed from a name: this metric is called like a distance."""
    for loss, value in (("hinge", 2.0), ("minimax", 7.0)):
        make_run(tmp_path, f"loss={loss}", scores={1: value}, better=better)
    lines = show([str(tmp_path)], CompareOptions(sort="fd_efflite0_2k_train")).splitlines()
    first = "7" if better == "higher" else "2"  # where neither is better, by size
    assert first in lines[2].split() or f"{first}*" in lines[2].split()
    assert [cell for cell in " ".join(lines[2:4]).split() if cell.endswith("*")] == ([star] if star else [])


def test_group_that_some_lack_is_one_column() -> None:
    """Catches: a column `ema` of dashes beside `ema._target_`."""
    assert differing_keys([{"ema": None}, {"ema._target_": "a.EMA"}]) == ["ema._target_"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"scores": "worst"}, "scores=worst: choose last, best"),
        ({"format": "word"}, "format=word: choose from text"),
    ],
)
def test_option_of_another_kind_is_refused(runs: Path, options: dict[str, Any], words: str) -> None:
    """Catches: a traceback for a word that is none of the choices."""
    with pytest.raises(ConfigurationError, match=words):
        show([str(runs)], CompareOptions(**options))
