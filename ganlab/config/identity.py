"""What makes two runs the same experiment: the mathematics that their configurations decide, however they are written.

Two rules let runs outlive the ganlab that made them. A key that a configuration lacks has the value that ganlab ships,
so that a key added later changes no run that was made before; and a class is known by its present place (`moved`).
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from ganlab.config.redaction import redact
from ganlab.files import YAML_LOADER
from ganlab.moved import task_before_tasks, with_current_targets
from ganlab.paths import conf_dir

NOT_MATHEMATICS = (
    *("budget", "evaluate", "metrics", "samples", "checkpoint", "log", "watchdog", "logger"),
    *("run_dir", "run_name", "tags", "resume", "speed"),
    *("trainer.accelerator", "trainer.devices", "trainer.num_nodes", "trainer.strategy"),
    *("trainer.timeout_minutes", "trainer.check_ranks_every_g_steps", "trainer.deterministic"),
    # Where a known data set is kept is not what it is; a folder or zip of one's own is named by `data.source.path`.
    *("data.root", "data.source.root", "data.num_workers"),
    "data.batch_size",  # of one device; `total_batch_size` decides
)
"""Keys that may change when a run is resumed, and that do not enter its name; the rest decide the mathematics."""

OBSERVES = "_observes_"
"""`true` in the node of a callback says that it only looks, and so is no part of the mathematics."""

TOTAL_BATCH_SIZE = "total_batch_size"
"""Key, in an identity, of the real images that an update sees: devices x nodes x `data.batch_size`."""

LEFT_TO_THE_MACHINE = ("auto", "-1", -1)
"""Values of `trainer.devices` that mean as many as there are."""


_REFERENCE = re.compile(r"\$\{([a-z0-9_.]+)\}")

_ABSENT = object()


def identity(config: Mapping[str, Any], world_size: int | None = None) -> dict[str, Any]:
    """Returns what decides the mathematics of a run, as `{dotted key: plain value}`, without secrets.

    Keys that ganlab got after the run was made have their shipped values, so that the identities of two runs are equal
    exactly if their mathematics is.

    Args:
        config: resolved, nested or flat, of this or an older ganlab.
        world_size: number of processes, for a configuration that leaves their number to the machine
            (`trainer.devices=auto`).
    """
    return mathematics(_Complete.of(redact(config)).items, world_size)


def complete(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what `with_later_keys` returns, as `{dotted key: leaf}`."""
    return dict(_Complete.of(config).items)


def with_later_keys(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the configuration of an older run as this ganlab would have written it.

    The keys that have come since then have their shipped values: what was done before, or what does not decide the
    mathematics. Classes are named by their present places.
    """
    tree: dict[str, Any] = with_current_targets(config)
    present = dict(flatten(tree))
    for key, value in _Complete.of(tree).items.items():
        if key not in present:
            _insert(tree, key.split("."), value)
    return tree


def default_run_name(config: Mapping[str, Any]) -> str:
    """Returns `<model>-<data>-<hash>-s<seed>`, the same for the same mathematics, at any time and on any machine.

    The hash is over what differs from the shipped values, so that a key that is added later changes no name.
    """
    complete = _Complete.of(redact(config))
    parts = {
        key: value
        for key, value in mathematics(complete.items).items()
        if key != "seed" and complete.defaults.get(key, _ABSENT) != value
    }
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:8]
    return f"{config['model']['name']}-{config['data']['name']}-{digest}-s{config['seed']}"


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Describes each key whose value differs between two identities, as `key (was OLD, now NEW)`."""
    keys = sorted(old.keys() | new.keys())
    absent = "absent"
    return [
        f"{key} (was {old.get(key, absent)}, now {new.get(key, absent)})"
        for key in keys
        if old.get(key, absent) != new.get(key, absent)
    ]


def flatten(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields `(dotted key, leaf)` of nested mappings; an empty mapping is a leaf, and so is a list."""
    for key, value in tree.items():
        dotted = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            yield from flatten(value, dotted + ".")
        else:
            yield dotted, value


def num_devices(devices: Any) -> int | None:
    """Returns how many devices `trainer.devices` asks for on each node; `None` where the machine decides.

    Args:
        devices: a number; a list of indices; either as text, as Lightning reads it (`"2"`, `"0,1"`); `auto` or -1.
    """
    if isinstance(devices, list):
        return len(devices)
    if isinstance(devices, str) and "," in devices:
        return len([index for index in devices.split(",") if index.strip()])
    try:
        number = int(devices)
    except (TypeError, ValueError):
        return None
    return number if number > 0 else None


def mathematics(complete: Mapping[str, Any], world_size: int | None = None) -> dict[str, Any]:
    """Returns the identity of a configuration that `complete` has returned; secrets stay in it."""
    observers = {
        key.removesuffix(OBSERVES)
        for key, value in complete.items()
        if key.startswith("callbacks.") and key.endswith(f".{OBSERVES}") and value is True
    }
    found = {
        key: value
        for key, value in complete.items()
        if _decides_mathematics(key) and not any(key.startswith(node) for node in observers)
    }
    found.pop("callbacks", None)  # none at all, which is what only observers come to as well
    if "data.batch_size" in complete:
        found[TOTAL_BATCH_SIZE] = _total_batch_size(complete, world_size)
    return found


def _total_batch_size(complete: Mapping[str, Any], world_size: int | None) -> Any:
    batch_size, devices = complete["data.batch_size"], num_devices(complete.get("trainer.devices"))
    num_nodes = complete.get("trainer.num_nodes")
    if devices is not None and isinstance(num_nodes, int):
        world_size = devices * num_nodes
    if world_size is None or not isinstance(batch_size, int):
        return f"{batch_size} x {complete.get('trainer.devices')}"
    return batch_size * world_size


@cache
def _decides_mathematics(key: str) -> bool:
    """Asks once for each key; a thousand runs have the same ones."""
    return not any(key == out or key.startswith(out + ".") for out in NOT_MATHEMATICS)


@dataclass(frozen=True)
class _Complete:
    """A flat configuration with the keys that it lacks."""

    items: Mapping[str, Any]
    defaults: Mapping[str, Any]
    """What ganlab ships for keys of this very configuration."""

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "_Complete":
        """Completes a configuration, nested or flat."""
        shipped = _shipped()
        items = _current(dict(flatten(config)))
        items |= task_before_tasks(items)
        defaults = dict(shipped.keys)
        for group in shipped.options.keys() - _by_group(items).keys():
            items |= _resolved(shipped.options[group], items)  # a group that has come since
        for key, target in items.items():
            if key.endswith("._target_") and isinstance(target, str):
                node = key.removesuffix("_target_")
                defaults |= {node + name: value for name, value in shipped.arguments.get(target, {}).items()}
        _add_absent(items, defaults)
        groups = _by_group(items)
        for group, option in shipped.options.items():
            # Only a whole option: a part of it may mean something else where the rest is not the same.
            own = groups[group]
            if own == _resolved(option, items):
                defaults |= own
        return cls(items, defaults)


def _by_group(items: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    groups: dict[str, dict[str, Any]] = {}
    for key, value in items.items():
        groups.setdefault(key.partition(".")[0], {})[key] = value
    return groups


def _current(flat: dict[str, Any]) -> dict[str, Any]:
    return {
        key: with_current_targets({"_target_": value})["_target_"]
        if key.endswith("_target_")
        else with_current_targets(value)
        for key, value in flat.items()
    }


def _add_absent(items: dict[str, Any], defaults: Mapping[str, Any]) -> None:
    """Adds the keys that are missing, unless something else stands in their place."""
    inner = {prefix for key in items for prefix in _prefixes(key)}
    for key, value in defaults.items():
        if key in items or key in inner:
            continue
        above = [prefix for prefix in _prefixes(key) if prefix in items]
        if all(items[prefix] == {} for prefix in above):
            for prefix in above:
                del items[prefix]
            items[key] = value
            inner.update(_prefixes(key))


@cache
def _prefixes(key: str) -> tuple[str, ...]:
    parts = key.split(".")
    return tuple(".".join(parts[:length]) for length in range(1, len(parts)))


def _insert(tree: dict[str, Any], path: list[str], value: Any) -> None:
    for name in path[:-1]:
        tree = tree.setdefault(name, {})
    tree[path[-1]] = value


@dataclass(frozen=True)
class _Shipped:
    """The values of the shipped YAML files, by what they are values of."""

    keys: Mapping[str, Any]
    """Of keys that every configuration has."""
    arguments: Mapping[str, Mapping[str, Any]]
    """Of arguments, by the class that takes them. A test keeps these the constructor's own, where it has any."""
    options: Mapping[str, Mapping[str, Any]]
    """The default option of each group, flat; values may refer to other keys."""


@cache
def _shipped() -> _Shipped:
    """Reads them once: it takes 50 ms."""
    root = _read(conf_dir() / "train.yaml")
    chosen = {
        group: name for entry in root["defaults"] if isinstance(entry, dict) for group, name in entry.items()
    }
    options = {path: _option(path) for path in sorted(conf_dir().glob("*/*.yaml"))}
    always = {key: value for key, value in root.items() if key not in ("defaults", "hydra")}
    keys = dict(flatten({**always, "trainer": options[conf_dir() / "trainer" / "default.yaml"]}))
    data = [dict(_leaves(option)) for path, option in options.items() if path.parent.name == "data"]
    keys |= {f"data.{key}": value for key, value in _agreed(data).items()}
    nodes: dict[str, list[dict[str, Any]]] = {}
    for option in options.values():
        for node in _nodes(option):
            nodes.setdefault(node["_target_"], []).append(dict(_leaves(node)))
    return _Shipped(
        keys,
        {target: _agreed(each) for target, each in nodes.items()},
        {
            group: dict(flatten({group: options[conf_dir() / group / f"{name}.yaml"]}))
            for group, name in chosen.items()
            # Every run names its model and its data, and an experiment is no part of a configuration.
            if name is not None
            and group not in ("model", "data", "trainer")
            and not group.startswith("override")
        },
    )


def _read(path: Path) -> dict[str, Any]:
    return yaml.load(path.read_text(), Loader=YAML_LOADER) or {}


def _option(path: Path) -> dict[str, Any]:
    """Returns what an option puts below its own group."""
    tree = _read(path)
    with path.open() as file:
        if file.readline().startswith("# @package _global_"):
            tree = tree.get(path.parent.name, {})
    return {key: value for key, value in tree.items() if key != "defaults"}


def _nodes(tree: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if "_target_" in tree:
        yield tree
    for value in tree.values():
        if isinstance(value, Mapping):
            yield from _nodes(value)


def _leaves(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields the leaves of a node that are not those of a class within it."""
    for key, value in node.items():
        if isinstance(value, Mapping) and value:
            if "_target_" not in value:
                yield from _leaves(value, f"{prefix}{key}.")
        elif not key.startswith("_"):
            yield prefix + key, value


def _agreed(options: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns what all options give the same value, that refers to nothing."""
    first, *others = options
    return {
        key: value
        for key, value in first.items()
        if _is_plain(value) and all(key in other and other[key] == value for other in others)
    }


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return value != "???" and not (isinstance(value, Mapping) and value) and "${" not in str(value)


def _resolved(option: Mapping[str, Any], items: Mapping[str, Any]) -> dict[str, Any]:
    """Returns an option with the values that it refers to; `???` where they are missing."""
    resolved = {}
    for key, value in option.items():
        reference = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
        if reference:
            value = items.get(reference[1], option.get(reference[1], "???"))
        resolved[key] = value
    return resolved
