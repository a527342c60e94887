"""Other libraries' code at the same work, out of a checkout that whoever measures has; none of it is kept here.

Each peer is a function of the checkout's folder, the width (64 in the paper) and the device; it returns what makes a
fresh loop with `iterate(images)`, one update of G after five of D on `(5 N, 3, 32, 32)` in [-1, 1].
"""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import torch
from naive_sngan import N_CRITIC
from packaging.version import parse
from torch import Tensor, nn

Peer = Callable[[Path, int, torch.device], Callable[[], Any]]

NOT_NEEDED = (
    "skimage",
    "tensorflow",
    "seaborn",
    "ninja",
    "wandb",
    "kornia",
    "timm",
    "h5py",
    "matplotlib",
    "matplotlib.pyplot",
)
"""What their modules import for plots and scores, and a training step never calls; stood in for where it is absent."""


def mimicry(folder: Path, channels: int, device: torch.device) -> Callable[[], Any]:
    """The train_step methods of mimicry's SNGAN (Lee & Town, 2020, arXiv 2005.02494), in the order of its trainer."""
    _make_importable(folder)
    from torch_mimicry.nets.sngan.sngan_32 import SNGANDiscriminator32, SNGANGenerator32
    from torch_mimicry.training.metric_log import MetricLog

    class Loop:
        def __init__(self) -> None:
            self.generator = SNGANGenerator32(ngf=4 * channels).to(device)
            self.discriminator = SNGANDiscriminator32(ndf=2 * channels).to(device)
            self.g_optimizer, self.d_optimizer = (
                torch.optim.Adam(network.parameters(), 2e-4, (0.0, 0.9))
                for network in (self.generator, self.discriminator)
            )

        def iterate(self, images: Tensor) -> None:
            log = MetricLog()
            for real in images.chunk(N_CRITIC):
                batch = (real, torch.zeros(len(real), dtype=torch.int64, device=device))
                log = self.discriminator.train_step(
                    real_batch=batch, netG=self.generator, optD=self.d_optimizer, log_data=log, device=device
                )
            self.generator.train_step(
                real_batch=batch, netD=self.discriminator, optG=self.g_optimizer, log_data=log, device=device
            )

    return Loop


def studiogan(folder: Path, channels: int, device: torch.device) -> Callable[[], Any]:
    """The networks and losses of PyTorch-StudioGAN (Kang et al., 2023, arXiv 2206.09479), in the order of its worker.

    The worker itself wants a data set and a run; its update of an unconditional hinge GAN is written out here: G's
    parameters are frozen in D's update, so that no graph runs through G, and D's in G's.
    """
    _make_importable(folder / "src" if (folder / "src").is_dir() else folder)
    from models import resnet
    from utils import losses, ops

    modules = SimpleNamespace(
        g_conv2d=ops.conv2d,
        g_linear=ops.linear,
        g_embedding=ops.embedding,
        g_bn=ops.batchnorm_2d,
        g_act_fn=nn.ReLU(inplace=True),
        d_conv2d=ops.snconv2d,
        d_linear=ops.snlinear,
        d_embedding=ops.sn_embedding,
        d_bn=ops.batchnorm_2d,
        d_act_fn=nn.ReLU(inplace=True),
    )
    model = SimpleNamespace(info_type="N/A", g_info_injection="N/A")

    class Loop:
        def __init__(self) -> None:
            self.generator = resnet.Generator(
                128, "N/A", 32, channels, False, ["N/A"], "W/O", 10, "ortho", "N/A", False, modules, model
            ).to(device)
            self.discriminator = resnet.Discriminator(
                *(32, channels, True, False, ["N/A"], "W/O", "W/O", "N/A", False, 10, "ortho", "N/A", False),
                *(modules, model),
            ).to(device)
            self.g_optimizer, self.d_optimizer = (
                torch.optim.Adam(network.parameters(), 2e-4, (0.5, 0.999), eps=1e-6)
                for network in (self.generator, self.discriminator)
            )

        def iterate(self, images: Tensor) -> None:
            self.generator.requires_grad_(False)
            self.discriminator.requires_grad_(True)
            for real in images.chunk(N_CRITIC):
                labels = torch.zeros(len(real), dtype=torch.int64, device=device)
                self.d_optimizer.zero_grad()
                fake = self.generator(torch.randn(len(real), 128, device=device), labels)
                of_real, of_fake = self.discriminator(real, labels), self.discriminator(fake, labels)
                losses.d_hinge(of_real["adv_output"], of_fake["adv_output"], DDP=False).backward()
                self.d_optimizer.step()
            self.generator.requires_grad_(True)
            self.discriminator.requires_grad_(False)
            self.g_optimizer.zero_grad()
            fake = self.generator(torch.randn(len(real), 128, device=device), labels)
            losses.g_hinge(self.discriminator(fake, labels)["adv_output"], DDP=False).backward()
            self.g_optimizer.step()

    return Loop


PEERS: dict[str, Peer] = {"mimicry": mimicry, "studiogan": studiogan}


def _make_importable(folder: Path) -> None:
    if not folder.is_dir():
        raise SystemExit(f"{folder}: no such folder; give that of a checkout")
    sys.path.insert(0, str(folder))
    absent = [name for name in NOT_NEEDED if _is_absent(name.partition(".")[0])]
    sys.modules.update({name: MagicMock() for name in absent})
    if _is_absent("pkg_resources"):  # no longer part of setuptools
        sys.modules["pkg_resources"] = MagicMock(parse_version=parse)


def _is_absent(module: str) -> bool:
    return module not in sys.modules and importlib.util.find_spec(module) is None
