"""The model card: what a reader has to know before using somebody else's generator."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from ganlab.metrics.directions import better_of

_CARD = """\
---
library_name: ganlab
tags: [gan, image-generation, {model}, {data}]
---

# {model} on {data}

A generator trained with ganlab, exported from the run `{run}`, checkpoint `{checkpoint}`.

![{num_samples}](samples.png)

| | |
|---|---|
| images | {shape} |
| latents | {latent_dim} |
| classes | {classes} |
| weights | {weights}, {parameters} |
| training | {g_step:,} generator updates, {images_seen:,} real images shown, seed {seed} |
| made with | {versions} |

## Use

```python
import ganlab

generator = ganlab.load("FOLDER")
images = generator.sample(num=16, seed=0)  # float32 {batch} in [-1, 1]
```

or `python -m ganlab.sample run=FOLDER num=64 out=OUT`. Reading the folder executes nothing in it: weights are
safetensors, the rest is JSON.

## Data

`{data}`, sha256 of the training images `{data_sha256}`. The data's own terms hold; they are not part of this folder.

## Scores

{scores}

## Intended use

Research on generative models: comparison, teaching, study of failure. The generator has learnt what is in its training
images, with their gaps and their prejudices, and may repeat single ones. It is not meant for pictures of real persons,
for evidence, or for anything that rests on its images being photographs.

## Synthetic images

Every image that this generator draws is synthetic. `ganlab sample` writes so into each PNG, with model, run, seed,
`g_step` and the checksum of the weights; whoever passes images on should leave that in, or say it otherwise.

## Licence

ganlab is under the Apache License 2.0. That says nothing of these weights: whoever publishes them chooses their
licence, within the terms of the training data, and writes it here.
"""


def model_card(description: Mapping[str, Any], image_shape: Sequence[int], seed: int) -> str:
    """Writes the card of an export as Markdown.

    Args:
        description: `config.json`.
        image_shape: (C, H, W).
        seed: of `samples.png`.
    """
    channels, height, width = image_shape
    trained = description["trained_with"]
    versions = [f"{name} {trained[name]}" for name in ("ganlab", "torch") if trained[name]]
    if trained["git_sha"]:
        changed = " with uncommitted changes" if trained["git_dirty"] else ""
        versions.append(f"commit {trained['git_sha'][:12]}{changed}")
    if trained["device"]:
        versions.append(str(trained["device"]))
    averaged = {"ema": "running average of the trained weights", "raw": "as trained"}
    return _CARD.format(
        model=description["model"],
        data=description["data"]["name"],
        run=description["run"],
        checkpoint=description["checkpoint"],
        num_samples=f"64 images, seed {seed}, not chosen",
        shape=f"{height} x {width}, {channels} channels"
        if height * width > 1
        else f"points, {channels} coordinates",
        latent_dim=description["latent_dim"],
        classes=description["num_classes"] or "none: unconditional",
        weights=averaged[description["weights"]],
        parameters=f"sha256 `{description['weights_sha256'][:16]}`",
        g_step=description["g_step"],
        images_seen=description["images_seen"],
        seed=description["seed"],
        versions=", ".join(versions),
        batch=f"(16, {channels}, {height}, {width})",
        data_sha256=description["data"]["sha256"] or "unknown",
        scores=_scores(description["results"]),
    )


def fingerprint(protocol: Mapping[str, Any]) -> str:
    """Returns a short checksum of a protocol: numbers with different ones are not to be compared."""
    return hashlib.sha256(json.dumps(protocol, sort_keys=True).encode()).hexdigest()[:12]


def _scores(results: Sequence[Mapping[str, Any]]) -> str:
    """Returns a table of the scores of this very checkpoint, and their protocols."""
    if not results:
        return "None at this checkpoint. `ganlab evaluate run=RUN` computes some; export again after it."
    latest = {(result["metric"], fingerprint(result["protocol"])): result for result in results}
    lines = ["| metric | better | value | 95 % interval | protocol |", "|---|---|---|---|---|"]
    for (metric, mark), result in latest.items():
        value = "nan" if result["value"] is None else f"{result['value']:.4g}"
        ends = result.get("ci95")
        interval = f"{ends[0]:.4g} to {ends[1]:.4g}" if ends else ""
        lines.append(f"| `{metric}` | {better_of(result) or ''} | {value} | {interval} | `{mark}` |")
    lines += ["", "Scores compare only where metric and protocol agree. The protocols:", "", "```json"]
    protocols = {mark: result["protocol"] for (_, mark), result in latest.items()}
    lines += [f"{mark} {json.dumps(protocol, sort_keys=True)}" for mark, protocol in protocols.items()]
    return "\n".join([*lines, "```"])
