"""Where modules and classes stand today that an older run, an export or somebody's own code names elsewhere.

`current_target` serves the `_target_`s of configurations, a finder of Python's import system the import statements of
packages that were written for an earlier ganlab: `import ganlab.models.blocks` gives `ganlab.layers.blocks` itself, so
that a class is one class by whichever name it was reached.
"""

import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from types import ModuleType
from typing import Any

MOVED: Mapping[str, str] = {
    "ganlab.assembly": "ganlab.build.module",
    "ganlab.balance": "ganlab.training.balance",
    "ganlab.batch": "ganlab.numerics.whole_batch",
    "ganlab.checkpoint": "ganlab.runs.checkpoint_file",
    "ganlab.checkpoint_folder": "ganlab.runs.checkpoint_folder",
    "ganlab.comparison": "ganlab.runs.comparison",
    "ganlab.composition": "ganlab.config.composition",
    "ganlab.dashboard.report": "ganlab.dashboard.one_file",
    "ganlab.data.sampling": "ganlab.data.order",
    "ganlab.data_names": "ganlab.config.data_names",
    "ganlab.determinism": "ganlab.numerics.determinism",
    "ganlab.directions": "ganlab.metrics.directions",
    "ganlab.ema": "ganlab.training.ema",
    "ganlab.evaluate.report": "ganlab.evaluate.results",
    "ganlab.exported": "ganlab.sampling.exported",
    "ganlab.finetuning": "ganlab.build.finetuning",
    "ganlab.float32": "ganlab.numerics.float32",
    "ganlab.groups": "ganlab.config.groups",
    "ganlab.hooks": "ganlab.training.hooks",
    "ganlab.identity": "ganlab.config.identity",
    "ganlab.images": "ganlab.modalities.images",
    "ganlab.instantiation": "ganlab.build.instantiation",
    "ganlab.latent_options": "ganlab.cli.latent_options",
    "ganlab.latents": "ganlab.sampling.latents",
    "ganlab.launch": "ganlab.training.launch",
    "ganlab.metrics.evaluation": "ganlab.scoring.evaluation",
    "ganlab.models.attention": "ganlab.layers.attention",
    "ganlab.models.blocks": "ganlab.layers.blocks",
    "ganlab.models.conditioning": "ganlab.layers.conditioning",
    "ganlab.models.minibatch": "ganlab.layers.minibatch",
    "ganlab.models.recomputation": "ganlab.layers.recomputation",
    "ganlab.models.resampling": "ganlab.layers.resampling",
    "ganlab.models.sizes": "ganlab.layers.sizes",
    "ganlab.models.spectral_norm": "ganlab.layers.spectral_norm",
    "ganlab.models.spectral_norm.SpectralNormalization": "ganlab.constraints.spectral_norm.SpectralNormalization",
    "ganlab.models.virtual_batch_norm": "ganlab.layers.virtual_batch_norm",
    "ganlab.models.winograd": "ganlab.layers.winograd",
    "ganlab.modules": "ganlab.training",
    "ganlab.modules.variational": "ganlab.tasks.variational",
    "ganlab.penalties.gradient_normalization": "ganlab.constraints.gradient_normalization",
    "ganlab.penalties.weight_clipping": "ganlab.constraints.weight_clipping",
    "ganlab.precision": "ganlab.numerics.precision",
    "ganlab.promised": "ganlab.build.promised",
    "ganlab.protocols": "ganlab.runs.protocols",
    "ganlab.quoting": "ganlab.config.quoting",
    "ganlab.reading": "ganlab.runs.reading",
    "ganlab.redaction": "ganlab.config.redaction",
    "ganlab.resume": "ganlab.runs.resumption",
    "ganlab.schedules": "ganlab.training.curves",
    "ganlab.scheduling": "ganlab.build.scheduled",
    "ganlab.sections": "ganlab.runs.sections",
    "ganlab.strategy": "ganlab.training.strategy",
    "ganlab.targets": "ganlab.moved",
    "ganlab.tracking.provenance": "ganlab.runs.provenance",
    "ganlab.tracking.run_folder": "ganlab.runs.folder",
}
"""The present place of modules and classes that have moved, by their old one.

`"ganlab.old": "ganlab.new"` moves a module with all that it holds, `"ganlab.old.Name": "ganlab.new.Other"` a class;
the longest entry that fits counts, and a place that has moved again is followed. Entries stay for good: run folders do.
A module that is a package of the same name today, such as `ganlab.config`, is no entry: see `earlier_names`.
"""


def current_target(target: str) -> str:
    """Returns the dotted name by which a `_target_` is imported today."""
    parts = target.split(".")
    for length in range(len(parts), 0, -1):
        place = MOVED.get(".".join(parts[:length]))
        if place is not None:
            return current_target(".".join([place, *parts[length:]]))
    return target


def task_before_tasks(flat: Mapping[str, Any]) -> dict[str, str]:
    """Returns the task of a flat configuration that is older than tasks, where it is not the shipped one.

    A model with an encoder was a variational autoencoder then, and any other a GAN.
    """
    is_older = not any(key.startswith("task.") for key in flat)
    if is_older and any(key.startswith("model.encoder.") for key in flat):
        return {"task._target_": "ganlab.tasks.variational.Variational"}
    return {}


def with_current_targets(tree: Any) -> Any:
    """Returns a copy of nested plain data in which each `_target_` names the present place of its class."""
    if isinstance(tree, Mapping):
        return {
            key: current_target(value)
            if key == "_target_" and isinstance(value, str)
            else with_current_targets(value)
            for key, value in tree.items()
        }
    if isinstance(tree, list):
        return [with_current_targets(value) for value in tree]
    return tree


class _EarlierNames(MetaPathFinder, Loader):
    """Finds modules by earlier names. It is asked first: below an alias of a package, Python would load a copy."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith("ganlab."):
            return None
        place = current_target(fullname)
        return None if place == fullname or find_spec(place) is None else ModuleSpec(fullname, self)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        place = current_target(spec.name)
        _warn(spec.name, place)
        module = import_module(place)
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Gives the module its own spec back, which the import system has just replaced by the alias's."""
        assert module.__spec__ is not None
        module.__spec__ = module.__spec__.loader_state


def follow_earlier_imports() -> None:
    """Lets the import statements of an earlier ganlab find what they name, with a `DeprecationWarning`."""
    if not any(isinstance(finder, _EarlierNames) for finder in sys.meta_path):
        sys.meta_path.insert(0, _EarlierNames())


def earlier_names(module: str, *places: str) -> Callable[[str], Any]:
    """Returns the `__getattr__` of a module whose names have moved, while something else has its own name today.

    Args:
        module: its dotted name.
        places: the modules that hold them now; imported in turn when one of them is asked for.
    """

    def find(name: str) -> Any:
        folders = vars(sys.modules[module]).get("__path__")
        # A module of a package is found by Python itself.
        is_module = folders is not None and PathFinder.find_spec(f"{module}.{name}", folders) is not None
        if not name.startswith("__") and not is_module:
            for place in places:
                names = vars(import_module(place))
                if name in names:
                    _warn(f"{module}.{name}", f"{place}.{name}")
                    return names[name]
        raise AttributeError(f"module {module!r} has no attribute {name!r}")

    return find


def _warn(name: str, place: str) -> None:
    warnings.warn(f"{name} has moved: it is {place}", DeprecationWarning, stacklevel=3)
