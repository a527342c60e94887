"""Layers that let D compare the images of a batch, so that it sees when they are all alike."""

import torch
from torch import Tensor, nn

from ganlab.layers.sizes import check_positive
from ganlab.numerics.float32 import as_float


class MinibatchDiscrimination(nn.Module):
    """Appends to each image's features how close it is to the other images of the batch.

    With M_i = f(x_i) T, of shape (num_kernels, kernel_dim), the b-th of the appended features of image i is
    sum_j exp(-||M_ib - M_jb||_1) over all j of this rank's batch, i itself (which adds 1) included.

    Source: Salimans et al., 2016, section 3.2, arXiv 1606.03498. The authors' code leaves i itself out and adds a
    learnt bias; the paper and we do not. Initial weights are ours: they keep the scale of the features.

    Args:
        in_features: A, length of the feature vectors, >= 1.
        num_kernels: B, number of features that are appended, >= 1.
        kernel_dim: C, dimension of the space in which images are compared, >= 1.

    Raises:
        ConfigurationError: a size is below one.
    """

    def __init__(self, in_features: int, num_kernels: int, kernel_dim: int) -> None:
        super().__init__()
        check_positive(in_features=in_features, num_kernels=num_kernels, kernel_dim=kernel_dim)
        self.kernels = nn.Parameter(torch.empty(in_features, num_kernels, kernel_dim))
        nn.init.normal_(self.kernels, std=in_features**-0.5)

    def forward(self, features: Tensor) -> Tensor:
        """Returns `(N, in_features + num_kernels)` for features `(N, in_features)`."""
        projected = torch.tensordot(features, self.kernels, 1)  # (N, B, C)
        distances = (projected[:, None] - projected[None]).abs().sum(3)  # (N, N, B)
        return torch.cat([features, torch.exp(-distances).sum(1)], 1)


class MinibatchStdDev(nn.Module):
    """Appends maps that tell how much the images of a group differ.

    The batch falls into groups, the channels into `num_channels` sets. The standard deviation over a group, of each
    value, averaged over a set and over all places, fills one appended map of every image in the group.

    Source: Karras et al., 2018, section 3, arXiv 1710.10196, where the whole batch is one group; groups as the authors'
    code, sets of channels as StyleGAN2 (Karras et al., 2020, arXiv 1912.04958). As there, image n is in group n modulo
    the number of groups.

    Args:
        group_size: images in a group, >= 1; 4 in the authors' code. Where it does not divide the batch, the largest
            smaller number that does.
        num_channels: number of maps that are appended, >= 1; must divide the channels of the input.

    Raises:
        ConfigurationError: a size is below one.
    """

    def __init__(self, group_size: int = 4, num_channels: int = 1) -> None:
        super().__init__()
        check_positive(group_size=group_size, num_channels=num_channels)
        self.group_size = group_size
        self.num_channels = num_channels

    def forward(self, maps: Tensor) -> Tensor:
        """Returns `(N, C + num_channels, H, W)` for maps `(N, C, H, W)`."""
        num, _, height, width = maps.shape
        size = next(size for size in range(min(self.group_size, num), 0, -1) if num % size == 0)
        # bfloat16 would lose small differences.
        groups = as_float(maps).unflatten(0, (size, -1)).unflatten(2, (self.num_channels, -1))
        variances = (
            (groups - groups.mean(0)).square().mean(0)
        )  # (groups, num_channels, channels of a set, H, W)
        # The square root has no derivative at 0, where all images of a group are equal.
        deviations = (variances + 1e-8).sqrt().mean((2, 3, 4))
        added = deviations.repeat(size, 1)[:, :, None, None].expand(-1, -1, height, width)
        return torch.cat([maps, added.to(maps)], 1)
