"""What `metrics=` takes: a name or a list of names; each with one node per metric."""

import pytest

from ganlab.build import run as build
from ganlab.cli import compose_config
from ganlab.metrics.skipping import SkipInapplicable
from ganlab.paths import conf_dir
from ganlab.scoring.assigned import AnyMetric


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        ("frechet", ["frechet"]),
        ("[frechet,kid]", ["frechet", "kid"]),
        ("paper", ["frechet", "classifier_score", "kid", "precision_recall"]),
        ("[quick,density_coverage]", ["frechet", "classifier_score", "density_coverage"]),
    ],
)
def test_names_and_lists(choice: str, names: list[str]) -> None:
    """Also over the choice of a data set and of a recipe. Catches: a list that Hydra takes for a name."""
    for first in ("data=digits", "data=ring2d", "experiment=sngan_cifar10"):
        assert list(compose_config(first, f"metrics={choice}")["metrics"]) == names


def test_a_metric_is_the_same_under_every_name() -> None:
    """Catches: other settings in `paper` than in `kid` under one node name."""
    alone = {path.stem: compose_config("data=digits", f"metrics={path.stem}")["metrics"]
             for path in (conf_dir() / "metrics").glob("*.yaml") if path.stem not in ("modes", "none")}  # fmt: skip
    for name in ("quick", "paper", "paired", "all"):
        for metric, node in alone[name].items():
            if metric not in (
                "modes",
                "skip_inapplicable",
            ):  # which needs points of the plane, and is no metric
                assert alone[metric] == {metric: node}


def test_all_lists_every_metric() -> None:
    """Catches a metric that `all` forgets. `ppl_lpips` and `lpips` are left to those who fetch weights."""
    names = {path.stem for path in (conf_dir() / "metrics").glob("*.yaml")}
    nodes = compose_config("data=digits", "metrics=all")["metrics"]
    assert {*nodes} == names - {"none", "quick", "paper", "all", "ppl_lpips", "lpips", "paired"} | {
        "skip_inapplicable"
    }


@pytest.mark.parametrize("data", ["digits", "ring2d"])
def test_all_builds(data: str) -> None:
    nodes = compose_config(f"data={data}", "metrics=all")["metrics"]
    for name, metric in build.build_metrics(nodes).items():
        kinds = SkipInapplicable if name == "skip_inapplicable" else AnyMetric
        assert isinstance(metric, kinds), name
