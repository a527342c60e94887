"""Which layers the machine at hand offers in half precision: not every processor has every one."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from ganlab.errors import ConfigurationError

HALF_PRECISION = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
"""What autocast computes in, by the name of the precision."""

_PROBES: dict[type[nn.Module], Callable[[], tuple[nn.Module, Tensor]]] = {
    nn.Linear: lambda: (nn.Linear(8, 8), torch.zeros(2, 8)),
    nn.Conv1d: lambda: (nn.Conv1d(8, 8, 3, padding=1), torch.zeros(2, 8, 8)),
    nn.Conv2d: lambda: (nn.Conv2d(8, 8, 3, padding=1), torch.zeros(2, 8, 8, 8)),
    nn.Conv3d: lambda: (nn.Conv3d(8, 8, 3, padding=1), torch.zeros(2, 8, 8, 8, 8)),
    nn.ConvTranspose1d: lambda: (nn.ConvTranspose1d(8, 8, 4, 2, 1), torch.zeros(2, 8, 8)),
    nn.ConvTranspose2d: lambda: (nn.ConvTranspose2d(8, 8, 4, 2, 1), torch.zeros(2, 8, 8, 8)),
    nn.ConvTranspose3d: lambda: (nn.ConvTranspose3d(8, 8, 4, 2, 1), torch.zeros(2, 8, 8, 8, 8)),
    nn.RNN: lambda: (nn.RNN(8, 8, batch_first=True), torch.zeros(2, 4, 8)),
    nn.GRU: lambda: (nn.GRU(8, 8, batch_first=True), torch.zeros(2, 4, 8)),
    nn.LSTM: lambda: (nn.LSTM(8, 8, batch_first=True), torch.zeros(2, 4, 8)),
    nn.MultiheadAttention: lambda: (_SelfAttention(), torch.zeros(2, 4, 8)),
}
"""The kinds of layers that autocast computes in half precision, each as a tiny one and what it takes."""


class _SelfAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, values: Tensor) -> tuple[Tensor, Tensor | None]:
        result: tuple[Tensor, Tensor | None] = self.layer(values, values, values)
        return result


def check_offered(networks: Iterable[nn.Module], precision: str, device: torch.device) -> None:
    """Asks the machine, by a tiny layer of each kind that the networks have, whether it trains those in a precision.

    Args:
        networks: what is to be trained.
        precision: Lightning's word, as `bf16-mixed`.
        device: where.

    Raises:
        ConfigurationError: it has no such layer.
    """
    dtype = HALF_PRECISION.get(precision)
    if dtype is None:
        return
    # A subclass of such a layer may compute in another way, in float32 for one.
    kinds = {type(layer) for network in networks for layer in network.modules()}
    for kind in kinds & _PROBES.keys():
        try:
            _step(_PROBES[kind], dtype, device)
        except RuntimeError as error:
            reason = str(error).splitlines()[0].split(". ")[0]
            raise ConfigurationError(
                f"trainer.precision={precision}: the {device.type} at hand cannot compute nn.{kind.__name__} in half "
                f"precision ({reason}); take trainer.precision=32-true, or a model without that layer"
            ) from error


def _step(make: Callable[[], tuple[nn.Module, Tensor]], dtype: torch.dtype, device: torch.device) -> None:
    """Goes through a layer, there and back, without touching the global random state."""
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        layer, values = make()
        layer, values = layer.to(device), values.to(device).requires_grad_()
        with torch.autocast(device.type, dtype):
            result = layer(values)
        total = (result[0] if isinstance(result, tuple) else result).float().sum()
        torch.autograd.grad(total, [values, *layer.parameters()])
