"""The rules of the house that can be read off the syntax tree.

Each rule is a function from a module's source to its faults, so that the last test can feed it one.
"""

import ast
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

from ganlab.moved import MOVED, current_target

PACKAGE = Path(__file__).parents[1] / "ganlab"

FLAT = {
    *("__init__", "__main__", "train", "compare", "report", "rerun"),
    *("arrays", "errors", "files", "moved", "noise", "paths", "tables", "threads"),
}
"""The modules that lie beside the packages: commands, and what every room may need. Another one has a room to go to."""

ROWS = (
    ("__init__", "arrays", "errors", "files", "moved", "noise", "paths", "tables", "threads"),
    ("numerics", "config"),
    ("interfaces",),
    ("modalities",),
    ("layers", "losses", "penalties", "auxiliary", "augment", "tasks"),
    ("conditions", "replay", "sampling", "drawing"),
    ("constraints", "models", "metrics", "training", "data"),
    ("runs", "scoring"),
    ("tracking", "sweeping"),
    ("callbacks", "cli"),
    ("build",),
    ("train", "evaluate", "sample", "compare", "dashboard", "export", "rerun"),
    ("report",),
    ("command",),
    ("__main__",),
)
"""The modules and sub-packages of ganlab. A room imports from itself and from the rows above
it; in the first row also from its neighbours."""

ROOMS = {room: number for number, row in enumerate(ROWS) for room in row}

MATHEMATICS = {
    *("interfaces", "modalities", "numerics", "noise", "layers", "models"),
    *("losses", "penalties", "auxiliary", "constraints", "augment", "tasks"),
    *("conditions", "replay"),
    *("training.balance", "training.curves", "training.ema"),
}
"""Rooms, and modules of others, that import torch and numpy only, so that they outlive the frameworks."""

TORCH_FREE = {
    *("__init__", "__main__", "errors", "files", "moved", "paths", "tables", "threads"),
    *("config", "cli", "sweeping", "dashboard", "compare", "report"),
    *("runs.__init__", "runs.reading", "runs.comparison", "runs.sections", "runs.protocols"),
    *("metrics.__init__", "metrics.directions", "training.__init__", "training.launch", "build.__init__"),
}
"""Rooms, and modules of others, that a misspelt key passes through: it must not wait the seconds that importing torch
takes. To import a module is to import its package, so that theirs are among them."""

CONFIGURED = {"config", "cli", "sweeping", "build.instantiation"}
ONLY_IN = {
    "pytorch_lightning": {"training", "data", "callbacks", "build", "runs.provenance"},
    "lightning": set(),  # the same library by another name, whose classes are not those of pytorch_lightning
    "hydra": CONFIGURED,
    "omegaconf": CONFIGURED | {"evaluate", "sample", "export"},
    "wandb": {"tracking"},
}
"""Where a library may be imported."""

LOOKED_UP = {
    ("ganlab.files", "CSafeLoader"),  # where PyYAML was built with libyaml
    ("ganlab.build.instantiation", "__name__"),  # of a hint, which may be any object
    ("ganlab.data.inspection", "is_animated"),  # Pillow's plugins of formats with one picture lack it
}
"""Names that no contract promises and that are asked for all the same."""

MAX_FILE_LINES, MAX_FUNCTION_LINES, MAX_ARGUMENTS, MAX_UNDOCUMENTED_LINES = 350, 60, 12, 12

MAX_FLAT = 14

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Import:
    name: str
    line: int
    deferred: bool
    """Whether it stands inside a function."""


@dataclass(frozen=True)
class Source:
    """The text of a module, and its dotted name."""

    module: str
    text: str

    @property
    def room(self) -> str:
        return room_of(self.module)

    @cached_property
    def nodes(self) -> list[ast.AST]:
        return list(ast.walk(ast.parse(self.text)))

    @cached_property
    def imports(self) -> list[Import]:
        """Lists what is imported, `from ganlab import noise` as `ganlab.noise`."""
        functions = [node for node in self.nodes if isinstance(node, Function)]
        deferred = {id(inner) for function in functions for inner in ast.walk(function)}
        found = []
        for node in self.nodes:
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                origin = "." * node.level + (node.module or "")
                names = [f"ganlab.{alias.name}" for alias in node.names] if origin == "ganlab" else [origin]
            else:
                continue
            found += [Import(name, node.lineno, id(node) in deferred) for name in names]
        return found


Rule = Callable[[Source], Iterator[str]]


def is_among(module: str, places: Iterable[str]) -> bool:
    """Says whether a module is, or is in, one of the places: rooms, or modules and packages within rooms."""
    inner = module.removeprefix("ganlab.")
    return room_of(module) in places or any(f"{inner}.".startswith(f"{place}.") for place in places)


def room_of(module: str) -> str:
    """Returns the second part of a dotted name; `__init__` for ganlab itself and its dunder names.

    A room's own command (`ganlab.data.__main__`) stands below the other commands.
    """
    if module.endswith(".__main__") and module.count(".") > 1:
        return "command"
    second = [*module.split("."), "__init__"][1]
    return "__init__" if second.startswith("__") and second != "__main__" else second


def keeps_the_direction(source: Source) -> Iterator[str]:
    """Imports within ganlab are absolute and lead to earlier rows."""
    if source.room not in ROOMS:
        yield f"1: the room {source.room} has no row in ROOMS"
        return
    for imported in source.imports:
        if imported.name.startswith("."):
            yield f"{imported.line}: relative import"
        elif imported.name.split(".")[0] == "ganlab":
            target, row = room_of(imported.name), ROOMS[source.room]
            if target != source.room and not (ROOMS.get(target, 99) < row or ROOMS.get(target) == row == 0):
                yield f"{imported.line}: {source.room} must not import {target}"


def mathematics_needs_no_framework(source: Source) -> Iterator[str]:
    """Losses, penalties, models and their like import torch and numpy only."""
    allowed = {"torch", "numpy", "ganlab", *sys.stdlib_module_names}
    for imported in source.imports:
        if is_among(source.module, MATHEMATICS) and imported.name.split(".")[0] not in allowed:
            yield f"{imported.line}: {source.room} must not import {imported.name}"


def torch_free_rooms_stay_so(source: Source) -> Iterator[str]:
    """What checks a command line before anything else imports neither torch nor a room that does."""
    for imported in source.imports:
        library = imported.name.split(".")[0]
        heavy = library.startswith(("torch", "pytorch_lightning", "sklearn"))
        if library == "ganlab":
            heavy = not is_among(imported.name, TORCH_FREE)
        if is_among(source.module, TORCH_FREE) and heavy:
            yield f"{imported.line}: {source.room} must not import {imported.name}"


def libraries_stay_in_their_rooms(source: Source) -> Iterator[str]:
    """Lightning, Hydra and W&B are known to few; W&B is imported only when it is used."""
    for imported in source.imports:
        library = imported.name.split(".")[0]
        if library in ONLY_IN and not is_among(source.module, ONLY_IN[library]):
            yield f"{imported.line}: {source.room} must not import {imported.name}"
        elif library == "wandb" and not imported.deferred:
            yield f"{imported.line}: wandb is imported outside a function"


def names_are_of_today(source: Source) -> Iterator[str]:
    """Names that have moved are for the packages of others."""
    for node in source.nodes:
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for name in names:
            if (place := current_target(name)) != name:
                yield f"{node.lineno}: {name} is {place}"


def attributes_are_promised(source: Source) -> Iterator[str]:
    """What has an attribute is known by its type; `getattr` is for names that a variable holds."""
    for node in source.nodes:
        if not isinstance(node, ast.Call) or ast.unparse(node.func) not in ("getattr", "hasattr"):
            continue
        name = node.args[1]
        given = name.value if isinstance(name, ast.Constant) else None
        if ast.unparse(node.func) == "hasattr" or (given and (source.module, given) not in LOOKED_UP):
            yield f"{node.lineno}: {ast.unparse(node)}"


def gradients_go_through_lightning(source: Source) -> Iterator[str]:
    """`backward()` without `manual_` skips the loss scaler and the precision of the backward pass."""
    for node in source.nodes:
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "backward"
        ):
            yield f"{node.lineno}: backward() outside manual_backward()"


def files_run_no_code(source: Source) -> Iterator[str]:
    """`torch.load` is called by that name, with `weights_only=True`."""
    for node in source.nodes:
        if isinstance(node, ast.ImportFrom) and node.module == "torch":
            if any(alias.name == "load" for alias in node.names):
                yield f"{node.lineno}: load without its module's name"
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
            keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            if keywords.get("weights_only") != "True":
                yield f"{node.lineno}: torch.load without weights_only=True"


def faults_are_not_swallowed(source: Source) -> Iterator[str]:
    """Each exception that is caught is named; whoever catches all of them raises or reports it."""
    for node in source.nodes:
        if isinstance(node, ast.ExceptHandler):
            if node.type is None:
                yield f"{node.lineno}: bare except"
            elif _is_broad(node.type) and not _reports(node):
                yield f"{node.lineno}: {ast.unparse(node.type)} is neither raised nor reported"
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("suppress"):
            yield from (
                f"{node.lineno}: everything is suppressed" for argument in node.args if _is_broad(argument)
            )


def _is_broad(caught: ast.expr) -> bool:
    return re.search(r"\b(Base)?Exception\b", ast.unparse(caught)) is not None


def _reports(handler: ast.ExceptHandler) -> bool:
    """Whether what was caught is raised, or at least looked at."""
    inner = [node for statement in handler.body for node in ast.walk(statement)]
    return any(
        isinstance(node, ast.Raise) or (isinstance(node, ast.Name) and node.id == handler.name)
        for node in inner
    )


def things_stay_small(source: Source) -> Iterator[str]:
    """Files, functions and argument lists keep to the house's limits."""
    if (lines := len(source.text.splitlines())) > MAX_FILE_LINES:
        yield f"1: {lines} lines: one room or several?"
    for node in source.nodes:
        if isinstance(node, Function):
            if (lines := _num_lines(node)) > MAX_FUNCTION_LINES:
                yield f"{node.lineno}: {node.name} has {lines} lines"
            num = len(node.args.posonlyargs + node.args.args + node.args.kwonlyargs)
            if num > MAX_ARGUMENTS:
                yield f"{node.lineno}: {node.name} has {num} arguments"


def public_things_are_documented(source: Source) -> Iterator[str]:
    """Public functions and classes that are not short have a docstring."""
    for node in source.nodes:
        if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
            long = _num_lines(node) > MAX_UNDOCUMENTED_LINES
            if long and not ast.get_docstring(node):
                yield f"{node.lineno}: {node.name} has no docstring"


def _num_lines(node: Function | ast.ClassDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def names_say_what_is_inside(source: Source) -> Iterator[str]:
    """No module of ganlab is named for being useful."""
    ours = [imported.name for imported in source.imports if imported.name.startswith("ganlab.")]
    for name in (source.module, *ours):
        if vague := {"utils", "util", "misc", "helpers", "common"} & set(name.split(".")):
            yield f"1: {', '.join(vague)} says nothing"


def nothing_is_left_open(source: Source) -> Iterator[str]:
    """What is to be done stands in an issue."""
    for number, line in enumerate(source.text.splitlines(), 1):
        if re.search(r"\b(TODO|FIXME|XXX)\b", line):
            yield f"{number}: left open"


def _sources() -> list[Source]:
    files = sorted(PACKAGE.rglob("*.py"))
    return [
        Source(
            ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts), path.read_text(encoding="utf-8")
        )
        for path in files
    ]


SOURCES = _sources()

LONG = "    x = 0\n" * MAX_UNDOCUMENTED_LINES
SWALLOWED = "try: f()\nexcept (ValueError, Exception) as error: g"

# rule: (module, a text with a fault, its nearest neighbour without one)
CASES: dict[Rule, list[tuple[str, str, str]]] = {
    keeps_the_direction: [
        ("losses.hinge", "from ganlab.models import dcgan", "from ganlab.interfaces import Penalty"),
        ("metrics.modes", "from ganlab import data", "from ganlab import noise, __version__"),
        ("models.dcgan", "from .blocks import x", "from ganlab.layers.blocks import x"),
        ("training", "def f():\n    import ganlab.train", "import ganlab.training.ema"),
        ("callbacks.budget", "import ganlab.build.run", "import ganlab.runs.folder"),
        ("noise", "import ganlab.losses.hinge", "import ganlab.errors"),
    ],
    mathematics_needs_no_framework: [
        ("losses.hinge", "import torchvision.ops", "import torch.nn.functional, math"),
        ("training.ema", "from torchmetrics import Metric", "from torch import nn"),
    ],
    torch_free_rooms_stay_so: [
        ("config", "from torch import nn", "import json"),
        ("config", "from ganlab.modalities.images import to_float", "from ganlab.errors import DataError"),
        ("config", "from ganlab.metrics.modes import x", "from ganlab.metrics.directions import x"),
        ("runs.reading.run", "import ganlab.runs.folder", "import ganlab.runs.reading.lines"),
        ("runs.__init__", "import ganlab.runs.folder", "import ganlab.runs.reading"),
    ],
    libraries_stay_in_their_rooms: [
        ("metrics.modes", "import pytorch_lightning as pl", "import torchmetrics"),
        ("callbacks.budget", "from omegaconf import OmegaConf", "import yaml"),
        ("build.run", "from lightning import Trainer", "from pytorch_lightning import Trainer"),
        ("build.module", "import hydra", "import pytorch_lightning"),
        ("callbacks.log", "def f():\n    import wandb", "def f():\n    import time"),
        ("tracking.wandb", "import wandb", "def f():\n    import wandb"),
    ],
    names_are_of_today: [
        ("models.dcgan", "from ganlab.models import blocks", "from ganlab.layers import blocks"),
        ("build.run", "from ganlab import strategy", "from ganlab.training import strategy"),
        ("build.run", f"import {next(iter(MOVED))}", "import ganlab.models.dcgan"),
    ],
    attributes_are_promised: [
        ("build", "getattr(x, 'scaler', None)", "getattr(x, name, None)"),
        ("build", "hasattr(x, name)", "isinstance(x, Named)"),
        ("build", "getattr(yaml, 'CSafeLoader')", "yaml.SafeLoader"),
        ("files", "getattr(yaml, 'CLoader')", "getattr(yaml, 'CSafeLoader')"),
    ],
    gradients_go_through_lightning: [
        ("modules", "loss.backward()", "self.manual_backward(loss)"),
        ("modules", "torch.autograd.backward(x)", "torch.autograd.grad(x, y)"),
    ],
    files_run_no_code: [
        ("build", "torch.load(p)", "torch.load(p, weights_only=True)"),
        ("build", "torch.load(p, weights_only=False)", "np.load(p, allow_pickle=False)"),
        ("build", "from torch import load", "from torch import save"),
    ],
    faults_are_not_swallowed: [
        ("train", "try: f()\nexcept: g()", "try: f()\nexcept OSError: g()"),
        ("train", "try: f()\nexcept Exception: g()", "try: f()\nexcept Exception: raise"),
        ("train", SWALLOWED, SWALLOWED + "(error)"),
        ("train", "with contextlib.suppress(Exception): f()", "with suppress(KeyError): f()"),
    ],
    things_stay_small: [
        ("build", "x = 0\n" * 351, "x = 0\n" * 350),
        ("build", "def _f():\n" + "    x = 0\n" * 60, "def _f():\n" + "    x = 0\n" * 59),
        ("build", "def f(a,b,c,d,e,f,/,g,h,i,j,*,k,l,m): ...", "def f(a,b,c,d,e,f,/,g,h,i,j,*,k,l): ..."),
    ],
    public_things_are_documented: [
        ("build", f"def f():\n{LONG}", f"def _f():\n{LONG}"),
        ("build", f"class A:\n{LONG}", f"class A:\n    '''Says why.'''\n{LONG}"),
    ],
    names_say_what_is_inside: [
        ("build", "from ganlab.models.utils import x", "from ganlab.layers.blocks import x"),
        ("build", "from ganlab import misc", "import torch.utils"),
    ],
    nothing_is_left_open: [("build", "x = 0  # TODO later", "x = 0  # toDo")],
}


def test_the_package_is_found() -> None:
    """Catches a moved package, over which every rule would hold."""
    assert {"ganlab.noise", "ganlab.losses.__init__"} <= {source.module for source in SOURCES}


def test_flat_files_are_few() -> None:
    """Catches a module that has been put beside the rooms instead of into one, and a list that lets it."""
    assert {path.stem for path in PACKAGE.glob("*.py")} == FLAT
    assert len(FLAT) <= MAX_FLAT


def test_places_that_rules_name_exist() -> None:
    """Catches a module that has moved away from the rule that holds it to something."""
    modules = {source.module for source in SOURCES}
    for place in MATHEMATICS | TORCH_FREE | set[str]().union(*ONLY_IN.values()):
        found = any(is_among(module, {place}) for module in modules)
        assert found, f"{place} is no module of ganlab"
    assert set(ROOMS) == {source.room for source in SOURCES}


@pytest.mark.parametrize("rule", CASES, ids=lambda rule: rule.__name__)
def test_rule_holds(rule: Rule) -> None:
    faults = [f"{source.module}:{fault}" for source in SOURCES for fault in rule(source)]
    assert not faults, "\n".join([rule.__doc__ or "", *faults])


@pytest.mark.parametrize("rule", CASES, ids=lambda rule: rule.__name__)
def test_rule_sees_its_faults(rule: Rule) -> None:
    """Catches a rule that sees nothing, and one that sees too much."""
    for module, broken, sound in CASES[rule]:
        assert list(rule(Source(f"ganlab.{module}", broken))), broken
        assert not list(rule(Source(f"ganlab.{module}", sound))), sound


def test_vague_file_is_seen() -> None:
    """Catches a rule that looks at imports alone."""
    assert list(names_say_what_is_inside(Source("ganlab.models.utils", "x = 0")))
