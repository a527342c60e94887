"""Two processes train each shipped model on images of their own, and hold the same numbers afterwards, bit for bit."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, distributed

from ganlab.build.module import build_module
from ganlab.build.run import build_trainer
from ganlab.cli import compose_config
from ganlab.config.schema import Config
from ganlab.paths import conf_dir

MODELS = sorted(path.stem for path in (conf_dir() / "model").glob("*.yaml"))
FEW = (
    "dcgan",
    "infogan",
    "sngan_projection",
)  # batch norm; a head of D and codes; labels and singular vectors
BATCH = 2

Digests = dict[str, dict[str, str]]
"""SHA-256 of every tensor, by model and by name."""


class OneIteration(pl.Callback):
    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        trainer.should_stop = True


def composed(name: str) -> Config:
    """The model's own recipe for 32 pixels, narrow, averaged, in two processes."""
    other = "encoder" if name == "vae" else "discriminator"
    return compose_config(
        *(f"model={name}", "data=cifar10", "ema=default", f"data.batch_size={BATCH}"),
        *("model.generator.channels=8", f"model.{other}.channels=8"),
        *("trainer=cpu", "trainer.devices=2", "trainer.strategy=ddp"),
    )


def train_one_iteration(name: str, rank: int) -> dict[str, str]:
    """Trains on this rank's images; returns the digests of all that a checkpoint holds, and of what was seen."""
    config = composed(name)
    module = build_module(config)
    before = {key: value.clone() for key, value in named_tensors(module.networks).items()}
    generator = torch.Generator().manual_seed(rank)
    count = module.optimization.n_critic * BATCH
    images = torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=generator)
    labels = torch.randint(0, 10, (count,), generator=generator) if config["data"]["labels"] else None
    loader = torch.utils.data.DataLoader([(images, labels)], batch_size=None, collate_fn=lambda batch: batch)
    trainer = build_trainer(config, [OneIteration()])
    trainer.fit(module, loader)
    assert trainer.world_size == 2
    state = module.state()
    after = named_tensors(module.networks)
    for network in module.networks:
        keys = [key for key in before if key.startswith(network)]
        assert any(not torch.equal(before[key], after[key]) for key in keys), network
    parts = ("generator", "discriminator", "encoder", "ema", "memories", "optimizers")
    tensors = {part: state[part] for part in parts if part in state}
    return {key: digest(value) for key, value in flat({**tensors, "seen": images}).items()}


def named_tensors(networks: dict[str, torch.nn.Module]) -> dict[str, Tensor]:
    return {
        f"{name}.{key}": parameter
        for name, network in networks.items()
        for key, parameter in network.named_parameters()
        if parameter.requires_grad
    }


def flat(tree: Any, prefix: str = "") -> dict[str, Tensor]:
    """Lists the tensors in nested dictionaries and lists."""
    if isinstance(tree, Tensor):
        return {prefix: tree}
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return {
        key: tensor
        for name, value in pairs
        for key, tensor in flat(value, f"{prefix}.{name}".strip(".")).items()
    }


def digest(tensor: Tensor) -> str:
    return hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest()


def work(rank: int, folder: Path, names: list[str]) -> None:
    """What one of the two processes does."""
    torch.set_num_threads(1)
    # A file to meet at: two tests at once would ask for the same port.
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    digests: Digests = {name: train_one_iteration(name, rank) for name in names}
    (folder / f"{rank}.json").write_text(json.dumps(digests))
    distributed.destroy_process_group()


def on_two_ranks(folder: Path, names: list[str]) -> list[Digests]:
    ranks = [
        subprocess.Popen(
            [sys.executable, __file__, str(rank), str(folder), *names],
            env={**os.environ, "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    faults = [rank.communicate(timeout=1200)[1] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], faults[0] + faults[1]
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


def assert_ranks_are_equal(first: Digests, second: Digests) -> None:
    assert first.keys() == second.keys()
    for name in first:
        different = [key for key, value in first[name].items() if second[name][key] != value]
        assert different == ["seen"], name  # of all tensors, only the images


def test_few_models(tmp_path: Path) -> None:
    """Catches gradients that are not exchanged, running statistics and singular vectors that are not."""
    first, second = on_two_ranks(tmp_path, list(FEW))
    assert_ranks_are_equal(first, second)
    keys = {key.split(".")[0] for digests in first.values() for key in digests}
    assert keys >= {"generator", "discriminator", "ema", "optimizers"}


@pytest.mark.slow
def test_every_model(tmp_path: Path) -> None:
    """Catches as above what only some models have: a loss's memory, a joint optimiser."""
    assert_ranks_are_equal(*on_two_ranks(tmp_path, MODELS))


if __name__ == "__main__":
    work(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
