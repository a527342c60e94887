"""A toy problem that must be learnt, in seconds."""

from pathlib import Path

from ganlab.cli import compose_config
from ganlab.train import train


def test_ring_of_eight_gaussians_is_learnt(tmp_path: Path) -> None:
    """Catches a sign in either loss, D's step on the wrong images, a frozen G: none of them covers 7 modes.

    Seen: 8 modes and 0.49 and 0.65 of points of high quality for seeds 0 and 1.
    """
    run = train(compose_config("experiment=ring2d", "logger=none", f"run_dir={tmp_path / 'run'}"))
    results = {result["metric"]: result["value"] for result in run.results()}
    assert results["modes_points_2k"] >= 7
    assert results["high_quality_points_2k"] > 0.3
