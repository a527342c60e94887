"""SNGAN as course code writes it: the baseline of the benchmarks of speed, by us, after the paper's figures."""

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, relu
from torch.nn.utils.parametrizations import spectral_norm
from torch.utils.flop_counter import FlopCounterMode

N_CRITIC = 5


class NaiveUp(nn.Module):
    """A residual block of G as the figure draws it: every convolution at the doubled size."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.BatchNorm2d(channels_in), nn.BatchNorm2d(channels)])
        self.convolutions = nn.ModuleList(
            [nn.Conv2d(channels_in, channels, 3, padding=1), nn.Conv2d(channels, channels, 3, padding=1)]
        )
        self.shortcut = nn.Conv2d(channels_in, channels, 1)

    def forward(self, maps: Tensor) -> Tensor:
        residual = interpolate(relu(self.norms[0](maps)), scale_factor=2)
        residual = self.convolutions[1](relu(self.norms[1](self.convolutions[0](residual))))
        return residual + self.shortcut(interpolate(maps, scale_factor=2))


class NaiveGenerator(nn.Module):
    """SNGAN's ResNet generator at 32 px."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.linear = nn.Linear(128, channels * 16)
        self.blocks = nn.Sequential(*(NaiveUp(channels, channels) for _ in range(3)))
        self.last = nn.Sequential(
            nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, 3, 3, padding=1), nn.Tanh()
        )

    def forward(self, latents: Tensor) -> Tensor:
        return self.last(self.blocks(self.linear(latents).view(-1, self.channels, 4, 4)))


class NaiveDown(nn.Module):
    """A residual block of D: pooling comes last, after the shortcut's convolution too."""

    def __init__(self, channels_in: int, channels: int, downsample: bool, first: bool) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            [
                spectral_norm(nn.Conv2d(channels_in, channels, 3, padding=1)),
                spectral_norm(nn.Conv2d(channels, channels, 3, padding=1)),
            ]
        )
        changes = downsample or channels_in != channels
        self.shortcut = spectral_norm(nn.Conv2d(channels_in, channels, 1)) if changes else nn.Identity()
        self.downsample, self.first = downsample, first

    def forward(self, maps: Tensor) -> Tensor:
        residual = self.convolutions[0](maps if self.first else relu(maps))
        total = self.convolutions[1](relu(residual)) + self.shortcut(maps)
        return avg_pool2d(total, 2) if self.downsample else total


class NaiveDiscriminator(nn.Module):
    """SNGAN's ResNet discriminator at 32 px."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        sizes = [(3, True), (channels, True), (channels, False), (channels, False)]
        self.blocks = nn.Sequential(
            *(NaiveDown(size, channels, down, number == 0) for number, (size, down) in enumerate(sizes))
        )
        self.linear = spectral_norm(nn.Linear(channels, 1, bias=False))

    def forward(self, images: Tensor) -> Tensor:
        return self.linear(relu(self.blocks(images)).sum((2, 3))).squeeze(1)


class NaiveLoop:
    """Trains the naive networks as course code does.

    The graph of G is kept in D's step, convolutions come after upsampling and before pooling, tensors are NCHW, and the
    optimiser goes from one tensor to the next.

    Args:
        channels: a quarter of G's width and half of D's; 64 as in the paper.
        device: where to train.
    """

    def __init__(self, channels: int, device: torch.device) -> None:
        self.generator = NaiveGenerator(4 * channels).to(device)
        self.discriminator = NaiveDiscriminator(2 * channels).to(device)
        networks = (self.generator, self.discriminator)
        self.optimizers = [
            torch.optim.Adam(network.parameters(), 2e-4, (0.0, 0.9), foreach=False) for network in networks
        ]
        self.device = device

    def iterate(self, images: Tensor) -> None:
        """One update of G after five of D, on `(5 N, 3, 32, 32)` in [-1, 1]."""
        g_optimizer, d_optimizer = self.optimizers
        for real in images.chunk(N_CRITIC):
            fake = self.generator(torch.randn(len(real), 128, device=self.device)).detach()
            loss = relu(1 - self.discriminator(real)).mean() + relu(1 + self.discriminator(fake)).mean()
            d_optimizer.zero_grad()
            loss.backward()
            d_optimizer.step()
        fake = self.generator(torch.randn(len(real), 128, device=self.device))
        loss = -self.discriminator(fake).mean()
        g_optimizer.zero_grad()
        loss.backward()
        g_optimizer.step()


def count_flops(channels: int, images: Tensor) -> int:
    """Counts products and sums of one naive iteration by running it on the CPU."""
    with FlopCounterMode(display=False) as counter:
        NaiveLoop(channels, torch.device("cpu")).iterate(images.cpu().float())
    return counter.get_total_flops()
