"""Lightning's hooks and profiler, for those who listen: to ask all others takes longer than a small update."""

from collections.abc import Callable, MutableMapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins import Precision
from pytorch_lightning.profilers import PassThroughProfiler
from pytorch_lightning.utilities.model_helpers import is_overridden
from torch import Tensor, nn
from torch.optim import Optimizer


class FullPrecision(Precision):
    """Lightning's plugin for `32-true`, which asks callbacks around an update only where one of them has a hook there.

    Lightning calls three hooks of every callback in each update. Where a callback has written any of them, that hook is
    called as Lightning does; the module's own are called always.
    """

    AROUND_AN_UPDATE: ClassVar = ("on_before_backward", "on_after_backward", "on_before_optimizer_step")

    _heard: frozenset[str] = frozenset(AROUND_AN_UPDATE)

    def connect(
        self, model: nn.Module, optimizers: list[Optimizer], lr_schedulers: list[Any]
    ) -> tuple[nn.Module, list[Optimizer], list[Any]]:
        """Looks which hooks the callbacks have, as a run begins."""
        assert isinstance(model, pl.LightningModule)
        # Lightning leaves the attribute to its connector.
        callbacks: list[pl.Callback] = model.trainer.callbacks  # type: ignore[attr-defined]
        self._heard = frozenset(
            hook for hook in self.AROUND_AN_UPDATE if any(is_overridden(hook, each) for each in callbacks)
        )
        return super().connect(model, optimizers, lr_schedulers)

    def pre_backward(self, tensor: Tensor, module: pl.LightningModule) -> Tensor:  # type: ignore[override]
        """Says that a backward pass begins."""
        if "on_before_backward" in self._heard:
            return super().pre_backward(tensor, module)
        module.on_before_backward(tensor)
        return tensor

    def post_backward(self, tensor: Tensor, module: pl.LightningModule) -> Tensor:  # type: ignore[override]
        """Says that it is done, and lets go of its graph."""
        if "on_after_backward" in self._heard:
            return super().post_backward(tensor, module)
        module.on_after_backward()
        return tensor.detach()

    def optimizer_step(  # type: ignore[override]
        self, optimizer: Optimizer, model: pl.LightningModule, closure: Callable[[], Any], **kwargs: Any
    ) -> Any:
        """Updates, once gradients are averaged over the ranks and clipped."""
        if "on_before_optimizer_step" in self._heard:
            return super().optimizer_step(optimizer, model, closure, **kwargs)

        def prepared() -> Any:
            result = closure()
            model.on_before_optimizer_step(optimizer)
            return result

        return optimizer.step(closure=prepared, **kwargs)


class NoProfiler(PassThroughProfiler):
    """Lightning's profiler that does nothing, in less time: it is asked some hundred times in an iteration."""

    _nothing: ClassVar[AbstractContextManager[None]] = nullcontext()

    def profile(self, action_name: str) -> AbstractContextManager[None]:  # type: ignore[override]
        """Surrounds an action with nothing."""
        return self._nothing


def seek_no_absent_gpu(environment: MutableMapping[str, str]) -> None:
    """Spares each update a search for GPUs where there are none.

    Lightning has torch look for GPUs through NVIDIA's management library, so that processes can still be forked. Where
    that is missing, Adam looks for its file in every step; the plain question takes a microsecond, and forks stay safe.

    Args:
        environment: of this process, once Lightning is imported.
    """
    if not torch.cuda.is_available():
        environment.pop("PYTORCH_NVML_BASED_CUDA_CHECK", None)
