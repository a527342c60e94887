"""Which way a score is up: declared by metrics, carried by result lines, never guessed."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ganlab.cli import compose_config
from ganlab.metrics.directions import agreed, better, better_of, cost, is_meant
from ganlab.metrics.lpips import LPIPS
from ganlab.metrics.metric import Estimate, GeneratorMetric
from ganlab.metrics.ms_ssim import MSSSIM
from ganlab.metrics.paired import PairedMetric
from ganlab.metrics.probe import GeneratorProbe, ProbeContext
from ganlab.metrics.skipping import SkipInapplicable
from ganlab.runs.comparison import compare, find_runs
from ganlab.runs.folder import RunFolder

LOWER = (
    *("fid50k_train", "fid_inf50k_train", "fid_intra50k_test", "fid_spatial50k_train", "kid50k_train"),
    *("fd_efflite0_2k_train", "fd_inf_points_1797_test", "fd_intra_efflite0_1k_train", "kd_dinov2_50k_all"),
    *("ppl_efflite0_2k", "ppl_lpips_50k"),
)
HIGHER = (
    *("is50k", "cs_efflite0_1k", "precision50k_train", "recall_efflite0_2k_train", "density_points_1k_test"),
    *("coverage50k_train", "modes_points_2k", "high_quality_points_500"),
    *("cas_train_on_fake_2k_train", "cas_train_on_real_500_test"),
)
UNKNOWN = (
    *(
        "ms_ssim_2k",
        "fidelity50k_train",
        "kidney_2k",
        "isolation50k",
        "precision_at_k",
        "modes",
        "ppl",
        "fid",
    ),
    *("isomap_2k_train", "sharpness_efflite0_1k", "recall_efflite0_train", "my_fid50k_train"),
)


@pytest.mark.parametrize("metric", [*LOWER, *HIGHER, *UNKNOWN])
def test_lines_of_earlier_versions_are_read_by_what_was_shipped(metric: str) -> None:
    """Catches a guess by the beginning of a name, a swapped table, and a shipped key that is forgotten."""
    expected = "lower" if metric in LOWER else "higher" if metric in HIGHER else None
    assert better_of({"metric": metric, "value": 1.0}) == expected


@pytest.mark.parametrize(
    ("said", "expected"), [("higher", "higher"), ("lower", "lower"), (None, None), ("up", None), ({}, None)]
)
def test_what_a_line_says_counts(said: Any, expected: str | None) -> None:
    """Catches the table asked before the line, and a line of a stranger that is believed."""
    assert better_of({"metric": "fid50k_train", "better": said}) == expected


def test_words_of_a_declaration() -> None:
    """Catches swapped words, and `None` read as `False`."""
    assert [better(declared) for declared in (True, False, None)] == ["higher", "lower", None]


def test_lines_that_say_nothing_do_not_count() -> None:
    """Catches: one line of an earlier version that takes a metric's direction away, a majority that is believed."""
    assert agreed([None, "higher", None]) == "higher"
    assert agreed([]) is None
    assert agreed(["lower", "higher", "higher"]) is None


def test_cost_falls_as_scores_improve() -> None:
    assert cost(2.0, "lower") < cost(3.0, "lower")
    assert cost(3.0, "higher") < cost(2.0, "higher")


def test_auto_means_the_plain_distance() -> None:
    """Catches its kin, and a key that is only contained in the one that is typed."""
    assert [key for key in (*LOWER, *HIGHER) if is_meant(key, "auto")] == [
        "fid50k_train",
        "fd_efflite0_2k_train",
    ]
    assert is_meant("is50k", "is50k")
    assert not is_meant("is50k", "is50")


def shipped() -> dict[str, dict[str, Any]]:
    """Returns the nodes of all metrics that are shipped, by name."""
    nodes: dict[str, dict[str, Any]] = {}
    for path in sorted((Path(__file__).parents[2] / "conf" / "metrics").glob("*.yaml")):
        nodes |= yaml.safe_load(path.read_text()) or {}
    return nodes


def unweighted() -> LPIPS:
    """LPIPS of no network: a metric that is only asked for its keys needs no weights."""
    distance = LPIPS.__new__(LPIPS)
    distance.name = "lpips"
    distance.weights_sha256 = ""
    return distance


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_metric_says_its_direction_and_its_keys(name: str) -> None:
    """Catches: a metric that declares nothing, keys that `scores` does not return, a direction that is turned round.

    What the keys say is held against what earlier lines of the same keys meant.
    """
    from ganlab.build.instantiation import build

    node = {**shipped()[name]}
    node.pop("distance", None)
    if name == "mel_l1":
        node["sample_rate"] = 22050  # of the data
    if name == "modes":
        node["source"] = None
    given = {"distance": unweighted()} if name == "lpips" else {}
    metric = build(f"metrics.{name}", node, **given)
    if isinstance(metric, SkipInapplicable):
        return
    if isinstance(metric, PairedMetric):  # younger than lines without a direction
        assert metric.higher_is_better == (name in ("psnr", "psnr_hole", "ssim"))
        assert all(re.search(r"2k_test$", key) for key in metric.keys(2000, "test"))
        return
    keys = metric.keys("efflite0", 2000, "train")
    assert keys
    assert {better_of({"metric": key}) for key in keys} == {better(metric.higher_is_better)}
    assert (metric.higher_is_better is None) == isinstance(metric, MSSSIM)
    assert all(re.search(r"2k(_train)?$", key) for key in keys)


def test_metric_that_declares_nothing_has_no_direction() -> None:
    """Catches a default direction: a user's metric is ranked by what nobody said."""

    class Mine(GeneratorMetric):
        def compute(self) -> dict[str, Estimate]:
            return {"mine": Estimate(1.0)}

    class Probe(GeneratorProbe):
        def scores(self, context: ProbeContext) -> dict[str, Estimate]:
            return {"fid_like": Estimate(1.0)}

    for metric in (Mine(), Probe()):
        assert metric.higher_is_better is None
        assert metric.keys("efflite0", 2000, "train") == ()


def write_run(folder: Path, name: str, values: list[float], **fields: Any) -> None:
    run = RunFolder(folder / name)
    run.open(compose_config("model=gan", f"run_name={name}", f"model.latent_dim={len(name) + 2}"), {})
    lines = ({"g_step": place, "metric": "mine_1k", "value": value} for place, value in enumerate(values))
    run.append_results({**line, "protocol": {"num_samples": 1000}, **fields} for line in lines)
    run.close()


@pytest.mark.parametrize(
    ("fields", "best"), [({"better": "higher"}, 3.0), ({"better": "lower"}, 1.0), ({}, 2.0)]
)
def test_best_of_a_metric_of_ones_own(tmp_path: Path, fields: dict[str, Any], best: float) -> None:
    """Without a direction there is no best, and the last is shown. Catches a default, and the line not asked."""
    write_run(tmp_path, "a", [3.0, 1.0, 2.0], **fields)
    write_run(tmp_path, "bb", [3.0, 1.0, 2.0], **fields)
    comparison = compare(find_runs([tmp_path]), "best")
    assert [row.cells["mine_1k"].mean for row in comparison.rows] == [best, best]
    assert comparison.directions["mine_1k"] == fields.get("better")
