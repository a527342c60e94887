"""Several devices: what travels between them and when, and batch norm over all of them."""

import gradient_work
import pytest
import torch
from pytorch_lightning.plugins import TorchSyncBatchNorm
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from two_ranks import two_ranks

from ganlab.build.module import build_module
from ganlab.build.run import build_trainer
from ganlab.cli import compose_config
from ganlab.errors import ConfigurationError
from ganlab.paths import conf_dir
from ganlab.training.strategy import PerOptimizerDDPStrategy

TINY = (
    *("data=cifar10", "data.batch_size=2", "data.image_size=32", "model.latent_dim=4"),
    *("model.generator.channels=4", "model.discriminator.channels=4", "n_critic=3"),
)
PAIR = ("trainer=cpu", "trainer.devices=2", "trainer.strategy=ddp")
RECIPES = (
    ("model=wgan_gp",),  # differentiates twice
    ("model=sngan", "micro_batches=2"),  # several backward passes before a step
)
FEW = (
    "infogan",
    "sngan_projection",
    "biggan",
    "vae",
)  # in one dimension; conditional; of classes; an encoder
MODELS = sorted(path.stem for path in (conf_dir() / "model").glob("*.yaml"))


def test_gradients_travel_once_per_network_and_update() -> None:
    """Catches: G's gradients in D's updates (Lightning's own strategy for several devices), an exchange after every
    backward pass, an exchange twice or never, and buffers more often than once an iteration."""
    recipes = [(*TINY, *PAIR, *recipe) for recipe in RECIPES]
    for of_rank in two_ranks(gradient_work.note_traffic, *recipes):
        for traffic in of_rank:
            # Behind the numbers of a network stands, for each of its tensors, whether it has a gradient.
            g, d = (sum(traffic.parameters[name]) for name in ("generator", "discriminator"))
            assert traffic.messages == [d, d, d, g, traffic.num_statistics]
            assert d != g


def test_average_of_gradients() -> None:
    """Catches: a sum for the mean, gradients in each other's place, a rank without one that is left without, zeros
    where no rank has one (Adam would go on moving), types mixed in a message, messages without bound."""
    (first, num_messages), (second, _) = two_ranks(gradient_work.average_by_hand)
    mean = (1 + 11) / 2
    assert first == second
    assert first == [
        [mean, 2 * mean],
        [mean],
        [0.5, 1.0, 1.5],
        None,
        [mean, 2 * mean],
        [mean * place for place in (1, 2, 3, 4)],
        [mean * place for place in range(1, 21)],
    ]
    assert num_messages == 4  # float32, float64, channels last, large


def test_clipped_is_the_mean_of_all_backward_passes() -> None:
    """Catches: clipping before the exchange, an exchange after the first of two passes or after the step, and ranks
    that begin with weights or buffers of their own."""
    first, second = two_ranks(gradient_work.clip_after_two_passes)
    assert first.weights == second.weights
    assert first.weights[0] == [0, 0]  # rank 0's, not rank 1's
    assert first.weights[1] == pytest.approx([-3, -4], rel=1e-5)  # (6, 8) clipped to norm 5


def test_overflow_on_one_rank_skips_the_update_on_both() -> None:
    """Catches: an exchange after the loss scaler has looked at the gradients of its own rank, so that one rank steps
    and halves nothing while the other skips."""
    first, second = two_ranks(gradient_work.overflow_on_one_rank)
    assert first == second
    assert first.weights == [[0, 0], [-1, -1], [-1, -1], [-2, -2]]
    assert first.scales == [256, 128, 128]


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets Lightning believe that there are two; nothing is computed on them."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    for module in ("lightning_fabric.accelerators.cuda", "pytorch_lightning.accelerators.cuda"):
        monkeypatch.setattr(f"{module}.num_cuda_devices", lambda: 2)


def batch_norms(module: nn.Module) -> list[_BatchNorm]:
    return [layer for layer in module.modules() if isinstance(layer, _BatchNorm)]


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize(
    "name", [name if name in FEW else pytest.param(name, marks=pytest.mark.slow) for name in MODELS]
)
def test_every_batch_norm_is_synchronised(name: str) -> None:
    """Catches: the key that does not reach the trainer; a batch norm that keeps its own statistics in G, D, the encoder
    or the average (one that is not registered, or hidden in a conditional one), and parameters that the optimisers
    would not know any more. That the statistics are right only GPUs can show."""
    other = "encoder" if name == "vae" else "discriminator"
    narrow = ("model.generator.channels=8", f"model.{other}.channels=8")
    gpus = ("trainer=gpu", "trainer.devices=2", "trainer.sync_batchnorm=true")
    config = compose_config(f"model={name}", "data=cifar10", "ema=default", *narrow, *gpus)
    module = build_module(config)
    parts = {**module.networks, "ema": module.ema}
    before = {part: len(batch_norms(network)) for part, network in parts.items()}
    parameters = {id(parameter) for parameter in module.parameters()}
    strategy = build_trainer(config, []).strategy
    assert isinstance(strategy, PerOptimizerDDPStrategy)
    assert isinstance(strategy._layer_sync, TorchSyncBatchNorm)
    strategy._layer_sync.apply(module)
    for part, network in parts.items():
        assert [type(layer) for layer in batch_norms(network)] == [nn.SyncBatchNorm] * before[part], part
    assert {id(parameter) for parameter in module.parameters()} == parameters
    assert before["ema"] == before["generator"]
    if name in ("sngan_projection", "sagan", "biggan", "biggan_deep"):  # conditional ones
        assert before["generator"] >= 7


@pytest.mark.usefixtures("two_gpus")
def test_one_gpu_synchronises_nothing() -> None:
    """Catches: a converted network, or a process group, for a single device."""
    config = compose_config("trainer=gpu", "trainer.devices=1", "trainer.sync_batchnorm=true")
    assert type(build_trainer(config, []).strategy).__name__ == "SingleDeviceStrategy"


def test_cpu_refuses_to_synchronise_batch_norms() -> None:
    """Catches: torch's error in the middle of the first iteration, and one that comes only after torch is imported."""
    with pytest.raises(ConfigurationError, match=r"^trainer.sync_batchnorm=true needs GPUs, but .*=false$"):
        compose_config("trainer=cpu", "trainer.sync_batchnorm=true")


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is at hand")
def test_missing_gpus_are_noticed_before_training() -> None:
    """Catches: torch's error in the middle of the first iteration."""
    config = compose_config("trainer.accelerator=auto", "trainer.sync_batchnorm=true")
    with pytest.raises(
        ConfigurationError, match=r"^trainer.sync_batchnorm=true needs GPUs, and none .*=false$"
    ):
        build_trainer(config, [])
