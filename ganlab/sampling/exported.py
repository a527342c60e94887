"""Generators that have left their run: weights as safetensors, the rest as JSON.

Reading one needs torch and safetensors: no Hydra, no Lightning, no pickle. Nothing in the folder is executed, and the
only classes it may name are networks of `ganlab.models`, their layers in `ganlab.layers`, and those of packages that
the reader trusts.
"""

import hashlib
import importlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from ganlab.errors import ConfigurationError, DataError, StorageError
from ganlab.files import atomic_path, write_atomically
from ganlab.interfaces import Generator
from ganlab.moved import current_target
from ganlab.sampling import Sampler

WEIGHTS, CONFIG = "generator.safetensors", "config.json"

FORMAT = 1
"""Grows when an old export can no longer be read."""

_NETWORKS = ("ganlab.models.", "ganlab.layers.")


class ExportedGenerator(nn.Module):
    """A generator in eval mode, with what is known of it.

    Attributes:
        generator: the network itself.
        description: `config.json`: data, scores with their protocols, versions.
    """

    def __init__(self, generator: Generator, description: Mapping[str, Any]) -> None:
        super().__init__()
        self.generator = generator
        self.description = description
        self.eval().requires_grad_(False)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Returns images `(N, C, H, W)` in `[-1, 1]` for latents `(N, latent_dim)`."""
        return cast(Tensor, self.generator(latents, labels))

    def sample(
        self,
        num: int,
        seed: int = 0,
        labels: Sequence[int] | int | None = None,
        truncation: float = 1.0,
        batch_size: int = 64,
    ) -> Tensor:
        """Draws images, those of `ganlab sample` with the same seed; other random numbers are not touched.

        Args:
            num: of images.
            seed: of the latents.
            labels: one for each image, or one for all; `None` takes all classes of a conditional generator in turn.
            truncation: > 0; below 1 it trades variety for fidelity.
            batch_size: images generated at once.

        Returns:
            float32 `(num, C, H, W)` in `[-1, 1]` on the CPU; `ganlab.modalities.images.to_uint8` makes pixels of them.

        Raises:
            ConfigurationError: for a truncation, a label or a number of labels that cannot be.
        """
        sampler = Sampler(
            self.generator,
            "sample",
            seed,
            num,
            batch_size=batch_size,
            truncation=truncation,
            label=labels if isinstance(labels, int) else None,
        )
        if labels is not None and not isinstance(labels, int):
            sampler.labels = self._checked(labels, num)
        starts = range(0, num, batch_size)
        return torch.cat([sampler(first, min(first + batch_size, num)).cpu() for first in starts])

    def _checked(self, labels: Sequence[int], num: int) -> Tensor:
        given, num_classes = torch.as_tensor(labels), self.generator.num_classes
        if given.shape != (num,) or not num_classes or given.min() < 0 or given.max() >= num_classes:
            raise ConfigurationError(
                f"labels: {num} images need as many labels, from 0 up to {num_classes - 1}"
                if num_classes
                else "labels: this generator is unconditional"
            )
        return given.long()


def save_generator(folder: Path, generator: Generator, description: Mapping[str, Any]) -> None:
    """Writes weights and description, each whole or not at all.

    Args:
        folder: made if need be.
        generator: with the weights to be written.
        description: plain values; `generator` is its node of configuration.

    Raises:
        StorageError: if the folder cannot be written.
    """
    tensors = {
        name: tensor.detach().cpu().contiguous().clone() for name, tensor in generator.state_dict().items()
    }
    whole = {"format": FORMAT, **description, "weights_sha256": weights_sha256(generator)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_path(folder / WEIGHTS) as part:
            part.write_bytes(save(tensors))  # not save_file, whose file others may not read
        write_atomically(folder / CONFIG, (json.dumps(whole, indent=1) + "\n").encode())
    except (OSError, SafetensorError) as error:
        raise StorageError(f"{folder}: cannot be written ({error}); free or permit it, or set out") from error


def is_export(folder: Path) -> bool:
    """Says whether a folder holds an exported generator."""
    return (folder / WEIGHTS).is_file() and (folder / CONFIG).is_file()


def load_generator(folder: Path | str, plugins: Iterable[str] = ()) -> ExportedGenerator:
    """Reads what `ganlab export` wrote, without trusting it.

    Args:
        folder: with `generator.safetensors` and `config.json`.
        plugins: packages of one's own whose networks the folder may name.

    Raises:
        DataError: there is no such export, or it is damaged.
        ConfigurationError: it names a class that is not trusted, or that does not take its arguments.
    """
    folder = Path(folder)
    description = _read_description(folder)
    trusted = (*_NETWORKS, *(f"{plugin}." for plugin in plugins))
    with torch.random.fork_rng(devices=[]):  # fresh weights, to be overwritten, must not disturb the reader
        generator = _make(description["generator"], trusted)
    if not isinstance(generator, Generator):
        raise ConfigurationError(f"{folder / CONFIG}: {type(generator).__name__} is no generator")
    try:
        generator.load_state_dict(load_file(folder / WEIGHTS))
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{folder / WEIGHTS}: cannot be read ({reason}); export it again") from error
    if weights_sha256(generator) != description["weights_sha256"]:
        raise DataError(
            f"{folder / WEIGHTS}: is damaged: its checksum is not that of {CONFIG}; export it again"
        )
    return ExportedGenerator(generator, description)


def weights_sha256(network: nn.Module) -> str:
    """Returns the checksum of names, types, shapes and values of all parameters and buffers."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        array = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {array.dtype} {tuple(array.shape)}\n".encode())
        digest.update(array.view(-1).view(torch.uint8).numpy().data if array.numel() else b"")
    return digest.hexdigest()


def _read_description(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    try:
        description = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise DataError(
            f"{folder}: holds no exported generator; make one with ganlab export run=RUN"
        ) from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); export it again") from error
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise DataError(f"{path}: is not an export of format {FORMAT}")
    if missing := [key for key in ("generator", "weights_sha256") if key not in description]:
        raise DataError(f"{path}: lacks {', '.join(missing)}; export it again")
    return description


def _make(node: Any, trusted: tuple[str, ...]) -> Any:
    """Makes the network that a node describes; nodes within it are networks too, all else is plain."""
    if isinstance(node, list):
        return [_make(inner, trusted) for inner in node]
    if not isinstance(node, Mapping):
        return node
    arguments = {key: _make(value, trusted) for key, value in node.items() if key != "_target_"}
    if "_target_" not in node:
        return arguments
    target = current_target(str(node["_target_"]))
    if not target.startswith(trusted):
        package = target.split(".")[0]
        raise ConfigurationError(
            f"_target_ {target}: is outside {', '.join(trusted)}; if you trust it, give plugins=[{package}]"
        )
    module, _, name = target.rpartition(".")
    try:
        network = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"_target_ {target}: cannot be imported ({error})") from error
    if not (isinstance(network, type) and issubclass(network, nn.Module)):
        raise ConfigurationError(f"_target_ {target}: is no network")
    try:
        return network(**arguments)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"_target_ {target}: does not take these arguments ({error})") from error
