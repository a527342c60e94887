"""Does every model learn? Trains each, narrowed, for the same time on digits and scores it before and after.

usage: python benchmarks/learning.py [minutes=2] [models=dcgan,sngan] [out=benchmarks/results/learning] [seed=0]

One process per model, one thread each. Writes OUT.json, OUT.md, grids OUT/<model>.png and all of them as OUT.png; what
stands there already for other models stays.
The score is a Fréchet distance through EfficientNet-Lite0 (1,000 samples, the 1,500 training digits): it compares
within this table only.
StackGAN's stage II begins with a stage I of 8 px, trained for the same time.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw

from ganlab.cli import compose_config
from ganlab.paths import conf_dir
from ganlab.runs.folder import RunFolder

NARROW = {"generator": 16, "other": 16, "batch_size": 32, "image_size": 32}
"""Widths of G and of D (or a VAE's encoder), the batch and the side in pixels, unless a model stands below."""
OWN = {
    "acgan": {"generator": 8, "other": 8},  # its first layers are several times as wide
    "began": {"batch_size": 16},  # the paper's
    "cgan": {"generator": 256, "other": 64, "batch_size": 100},  # units of hidden layers, not channels
    "gan": {"generator": 256, "other": 256, "batch_size": 100},
    "infogan": {"generator": 32, "other": 32, "batch_size": 64},  # narrower, its G of rate 1e-3 collapses
    # Attention over all pairs of 1,024 pixels leaves no time to learn at 32 px.
    "transgan": {"image_size": 16, "batch_size": 16},
}
MORE = {"began": ["loss.lambda_k=0.003", "loss.gamma=0.9"]}
"""Further words: BEGAN's k, which begins at 0, moves by a thousandth of the imbalance an iteration in the paper, too
little for the iterations of some minutes; faster and with the paper's gamma of 0.5 all images became one stroke."""
FIRST_STAGE = {"stackgan_stage2": ("model=stackgan_stage1", "data.image_size=8")}


def main() -> None:
    options = dict(argument.split("=", 1) for argument in sys.argv[1:])
    minutes, seed = float(options.get("minutes", 2)), int(options.get("seed", 0))
    out = Path(options.get("out", "benchmarks/results/learning"))
    shipped = sorted(path.stem for path in (conf_dir() / "model").glob("*.yaml"))
    models = options["models"].split(",") if "models" in options else shipped
    out.mkdir(parents=True, exist_ok=True)
    rows = read_rows(out)
    for name in models:
        with tempfile.TemporaryDirectory() as folder:
            rows[name] = {**about(minutes, seed), **learn(name, minutes, seed, Path(folder) / "run", out)}
        print(rows[name], flush=True)
        write(rows, out)
    draw_sheet(out)


def learn(name: str, minutes: float, seed: int, run_dir: Path, out: Path) -> dict[str, Any]:
    """Trains one model in a process of its own and reads its scores from the run folder."""
    other = "encoder" if "encoder" in compose_config(f"model={name}")["model"] else "discriminator"
    sizes = NARROW | OWN.get(name, {})
    narrow = [
        *(
            "data=digits",
            f"data.batch_size={sizes['batch_size']}",
            f"data.image_size={sizes['image_size']}",
            "trainer=cpu",
            "logger=none",
            f"seed={seed}",
        ),
        *(f"model.generator.channels={sizes['generator']}", f"model.{other}.channels={sizes['other']}"),
        *("budget.g_steps=null", f"budget.minutes={minutes}"),
        *MORE.get(name, []),
    ]
    start = []
    if name in FIRST_STAGE:
        first = run_dir.with_name("first_stage")
        train([*narrow, *FIRST_STAGE[name], "metrics=none", f"run_dir={first}"])
        start = [f"initialize.run={first}"]
    scored = ["evaluate.before_training=true", "evaluate.num_samples=1000", "evaluate.extractor=efflite0"]
    ended = train([*narrow, f"model={name}", *start, *scored, f"run_dir={run_dir}"])
    run = RunFolder(run_dir)
    scores = [line["value"] for line in run.results() if line["metric"].startswith("fd_")]
    warnings = sorted({line["kind"] for line in lines(run_dir / "warnings.jsonl")})
    if grid := run.last_sample_grid():
        shutil.copy(grid, out / f"{name}.png")
    return {
        "model": name,
        **sizes,
        "exit": ended.returncode,
        "error": ended.stderr.strip().splitlines()[-1:] if ended.returncode else [],
        "g_steps": run.status().get("g_steps"),
        "before": scores[0] if scores else None,
        "after": scores[-1] if len(scores) > 1 else None,
        "warnings": warnings,
    }


def train(overrides: list[str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "ganlab.train", *overrides],
        env={**os.environ, "OMP_NUM_THREADS": "1", "WANDB_MODE": "disabled"},
        capture_output=True,
        text=True,
        check=False,
    )


def draw_sheet(out: Path, columns: int = 6, side: int = 200) -> None:
    """Puts the grids of all models, each under its name, into one picture OUT.png."""
    grids = sorted(out.glob("*.png"))
    height = side + 14
    sheet = Image.new("L", (columns * side, -(-len(grids) // columns) * height))
    for place, path in enumerate(grids):
        left, top = place % columns * side, place // columns * height
        ImageDraw.Draw(sheet).text((left + 4, top + 1), path.stem, fill=255)
        with Image.open(path) as grid:
            sheet.paste(grid.convert("L").resize((side - 4, side - 4)), (left, top + 14))
    sheet.save(out.with_suffix(".png"), optimize=True)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def about(minutes: float, seed: int) -> dict[str, Any]:
    git = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return {"minutes": minutes, "seed": seed, "commit": git.stdout.strip()}


def read_rows(out: Path) -> dict[str, dict[str, Any]]:
    """Returns the rows of earlier runs by model."""
    path = out.with_suffix(".json")
    return {row["model"]: row for row in json.loads(path.read_text())["rows"]} if path.exists() else {}


def write(rows: dict[str, dict[str, Any]], out: Path) -> None:
    facts = {
        "command": "python benchmarks/learning.py models=MODEL minutes=MINUTES seed=SEED",
        "device": f"{platform.machine()}, one thread",
        "torch": torch.__version__,
    }
    ordered = [rows[name] for name in sorted(rows)]
    out.with_suffix(".json").write_text(json.dumps({**facts, "rows": ordered}, indent=1) + "\n")
    table = [
        "| model | widths, batch, pixels | minutes, seed, commit | g_steps | before | after | warnings |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in ordered:
        before, after = (f"{row[key]:.1f}" if row[key] is not None else "—" for key in ("before", "after"))
        said = ", ".join(row["warnings"]) or ("—" if row["exit"] == 0 else f"exit {row['exit']}")
        sizes = f"{row['generator']}, {row['other']}, {row['batch_size']}, {row['image_size']}"
        run = f"{row['minutes']:g}, {row['seed']}, {row['commit']}"
        table.append(
            f"| `{row['model']}` | {sizes} | {run} | {row['g_steps']} | {before} | {after} | {said} |"
        )
    text = "\n".join([f"{key}: {value}  " for key, value in facts.items()])
    out.with_suffix(".md").write_text(f"# Learning\n\n{__doc__}\n{text}\n\n" + "\n".join(table) + "\n")


if __name__ == "__main__":
    main()
