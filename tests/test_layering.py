"""Who may import whom: one allow-list, checked from the syntax trees of every module.

Imports inside functions and under TYPE_CHECKING count too. A room is a package or a single module
directly below ``knightlite``; ``ALLOWED`` names what each room may import, ``THIRD_PARTY`` which
packages from outside. Adding a room or an edge is a decision: make it here, in the same commit.
What is listed is used: a room, an edge or a package that nothing needs any more is taken off.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "knightlite"

ALLOWED: dict[str, tuple[str, ...]] = {
    "__init__": ("api", "diagnosis", "errors", "profiler", "public", "version"),
    "__main__": ("cli",),
    # single modules at the bottom
    "errors": (),
    "dtypes": (),
    "datafiles": (),
    "events": (),
    "atomic_write": ("errors",),
    "container": ("errors",),
    "numerics": ("dtypes",),
    "talk": (),
    "version": (),
    "script_loading": ("errors",),
    "chip": ("datafiles", "errors"),
    "workspace": ("atomic_write", "errors", "version"),
    # what instructions and operators are
    "isa": ("chip", "dtypes", "errors"),
    "ir": ("dtypes", "errors"),
    "ops": ("dtypes", "errors", "ir", "numerics"),
    # runs in another framework's interpreter
    "foreign": ("errors", "script_loading"),
    # from a model to a quantized graph
    "frontend": ("dtypes", "errors", "ir", "ops", "talk"),
    "preprocess": ("datafiles", "errors"),
    # sums over pictures and their statistics: knows no model
    "evaluation": ("errors",),
    # a network in ONNX Runtime, in float or quantized
    "inference": ("dtypes", "errors", "ir", "ops"),
    "quantize": (
        "dtypes",
        "errors",
        "inference",
        "ir",
        "numerics",
        "ops",
        "preprocess",
        "script_loading",
    ),
    # the compiler, in the order in which the data goes, and what drives it
    "passes": ("chip", "ir", "ops"),
    "lower": ("chip", "errors", "ir", "isa", "numerics", "ops"),
    "allocate": ("chip", "errors", "ir", "ops"),
    "schedule": ("allocate", "chip", "errors", "ir", "isa", "lower", "ops"),
    "emit": ("allocate", "chip", "container", "ir", "isa", "ops", "schedule"),
    "compiler": (
        "allocate",
        "chip",
        "container",
        "emit",
        "errors",
        "ir",
        "lower",
        "ops",
        "passes",
        "schedule",
    ),
    # the machine: knows the binary and nothing of the compiler
    "sim": ("chip", "container", "dtypes", "errors", "events", "isa", "numerics"),
    "profiler": ("chip", "container", "errors", "events", "isa", "sim"),
    # the quantized network measured layer by layer, and quantized again where that may help
    "diagnosis": (
        "dtypes",
        "errors",
        "inference",
        "ir",
        "numerics",
        "ops",
        "preprocess",
        "quantize",
    ),
    # the outside
    "api": (
        "atomic_write",
        "chip",
        "compiler",
        "container",
        "diagnosis",
        "dtypes",
        "emit",
        "errors",
        "evaluation",
        "frontend",
        "inference",
        "ir",
        "isa",
        "lower",
        "ops",
        "passes",
        "preprocess",
        "profiler",
        "quantize",
        "schedule",
        "sim",
        "talk",
        "version",
        "workspace",
    ),
    "public": (
        "api",
        "diagnosis",
        "errors",
        "frontend",
        "inference",
        "profiler",
        "quantize",
        "talk",
    ),
    "cli": ("api", "chip", "diagnosis", "errors", "talk", "version"),
}

THIRD_PARTY: dict[str, tuple[str, ...]] = {
    "api": ("numpy", "onnx"),
    "chip": ("tomli",),
    "cli": ("click", "rich"),
    "container": ("numpy",),
    "diagnosis": ("matplotlib", "numpy", "onnx"),
    "dtypes": ("numpy",),
    "emit": ("onnx",),
    "evaluation": ("numpy",),
    "foreign": ("paddle", "paddle2onnx", "torch"),
    "frontend": ("google", "numpy", "onnx"),  # google: protobuf's errors
    "inference": ("numpy", "onnx", "onnxruntime"),
    "ir": ("numpy",),
    "lower": ("numpy",),
    "numerics": ("numpy",),
    "ops": ("numpy", "onnx"),
    "preprocess": ("PIL", "numpy", "tomli"),
    "public": ("numpy",),
    "quantize": ("numpy", "onnx", "onnxruntime"),
    "script_loading": ("numpy",),
    "sim": ("numpy",),
}

# imported inside functions only, so that `knightlite --help` is instant
LAZY = ("PIL", "google", "matplotlib", "onnxruntime", "paddle", "paddle2onnx", "torch")

# what the machine may know; the rooms under these hold data paths only
SIM_MAY_REACH = {"errors", "dtypes", "numerics", "chip", "isa", "container", "events", "datafiles"}

STANDARD = sys.stdlib_module_names | {"tomllib"}  # 3.10 does not have it; its import is guarded

FORBIDDEN_NAMES = ("utils", "util", "common", "base", "helpers", "helper", "misc")


@dataclass(frozen=True)
class Import:
    """One imported module: its dotted name, where, and whether importing the file runs it."""

    target: str
    line: int
    at_load: bool


def imports_of(source: str) -> Iterator[Import]:
    """Every import in the source, wherever it stands."""
    yield from _imports(ast.parse(source), at_load=True)


def _imports(node: ast.AST, at_load: bool) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield Import(alias.name, node.lineno, at_load)
    elif isinstance(node, ast.ImportFrom):
        if node.level:
            yield Import("." * node.level + (node.module or ""), node.lineno, at_load)
        elif node.module == "knightlite":
            for alias in node.names:
                yield Import(f"knightlite.{alias.name}", node.lineno, at_load)
        elif node.module:
            yield Import(node.module, node.lineno, at_load)
    inside_function = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
    guarded = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
    for child in ast.iter_child_nodes(node):
        yield from _imports(child, at_load and not inside_function and not guarded)


def room_of(target: str) -> str:
    """The room of a knightlite import; a name that is no room is the package itself."""
    parts = target.split(".")
    name = parts[1] if len(parts) > 1 else "__init__"
    return "__init__" if name.startswith("__") and name != "__main__" else name


def violations(room: str, source: str) -> list[str]:
    """What the source of a module in ``room`` imports and may not."""
    found = []
    for item in imports_of(source):
        top = item.target.split(".")[0]
        if item.target.startswith("."):
            found.append(f"line {item.line}: relative import {item.target}")
        elif top == "knightlite":
            target = room_of(item.target)
            if target != room and target not in ALLOWED[room]:
                found.append(f"line {item.line}: {room} may not import {target}")
        elif top not in STANDARD:
            if top not in THIRD_PARTY.get(room, ()):
                found.append(f"line {item.line}: {room} may not import the package {top}")
            if item.at_load and top in LAZY:
                found.append(f"line {item.line}: {top} must be imported inside a function")
    return found


def unused(room: str, sources: Iterable[str]) -> list[str]:
    """What ``room`` may import and none of its modules' sources does."""
    targets = [item.target for source in sources for item in imports_of(source)]
    rooms = {room_of(target) for target in targets if target.split(".")[0] == "knightlite"}
    packages = {target.split(".")[0] for target in targets}
    return [item for item in ALLOWED[room] if item not in rooms] + [
        item for item in THIRD_PARTY.get(room, ()) if item not in packages
    ]


def chip_comparisons(source: str) -> list[int]:
    """Lines where code asks for a chip's name instead of a fact."""
    lines = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare):
            asked = [node.left, *node.comparators]
        elif isinstance(node, ast.Match):
            asked = [node.subject]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            asked = [node.func.value] if node.func.attr in ("startswith", "endswith") else []
        else:
            continue
        if any(_is_chip_name(item) for item in asked):
            lines.append(node.lineno)
    return lines


def _is_chip_name(node: ast.expr) -> bool:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value.startswith("TX5")
    if not (isinstance(node, ast.Attribute) and node.attr in ("name", "names", "family")):
        return False
    owner = node.value
    name = owner.id if isinstance(owner, ast.Name) else getattr(owner, "attr", "")
    return "chip" in name or "family" in name


def prints(source: str) -> list[int]:
    """Lines that call print."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
    ]


def reach(graph: Mapping[str, tuple[str, ...]], start: str) -> set[str]:
    """All rooms that can be reached from ``start``."""
    found: set[str] = set()
    waiting = list(graph[start])
    while waiting:
        room = waiting.pop()
        if room not in found:
            found.add(room)
            waiting.extend(graph[room])
    return found


def modules() -> list[tuple[str, Path]]:
    """Every module with its room."""
    return [
        (path.relative_to(ROOT).with_suffix("").parts[0], path)
        for path in sorted(ROOT.rglob("*.py"))
    ]


MODULES = [
    pytest.param(room, path, id=path.relative_to(ROOT).as_posix()) for room, path in modules()
]


# ------------------------------------------------------------------ the allow-list itself


def test_allow_list_is_acyclic() -> None:
    cycles = [room for room in ALLOWED if room in reach(ALLOWED, room)]
    assert cycles == []


def test_allow_list_names_the_rooms_that_there_are() -> None:
    assert sorted(ALLOWED) == sorted({room for room, _ in modules()})
    assert {item for rooms in ALLOWED.values() for item in rooms} - set(ALLOWED) == set()
    assert set(THIRD_PARTY) - set(ALLOWED) == set()
    assert set(LAZY) - {item for packages in THIRD_PARTY.values() for item in packages} == set()


@pytest.mark.parametrize("room", ALLOWED)
def test_what_is_allowed_is_used(room: str) -> None:
    sources = [path.read_text(encoding="utf-8") for home, path in modules() if home == room]
    assert unused(room, sources) == []


def test_the_machine_knows_nothing_of_the_compiler() -> None:
    assert reach(ALLOWED, "sim") <= SIM_MAY_REACH
    assert reach(ALLOWED, "profiler") <= SIM_MAY_REACH | {"sim"}


def test_operators_know_no_chip() -> None:
    assert {"chip", "isa", "lower"} & reach(ALLOWED, "ops") == set()


# ------------------------------------------------------------------ every module


@pytest.mark.parametrize(("room", "path"), MODULES)
def test_imports(room: str, path: Path) -> None:
    assert violations(room, path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(("room", "path"), MODULES)
def test_code_asks_a_chip_for_facts(room: str, path: Path) -> None:
    if room != "chip":  # it is the one that looks a name up
        assert chip_comparisons(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(("room", "path"), MODULES)
def test_only_the_command_line_prints(room: str, path: Path) -> None:
    if room != "cli":
        assert prints(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(("room", "path"), MODULES)
def test_module_names_say_what_they_hold(room: str, path: Path) -> None:
    parts = path.relative_to(ROOT).with_suffix("").parts
    assert [part for part in parts if part in FORBIDDEN_NAMES] == []


# ------------------------------------------------------------------ planted faults are caught


@pytest.mark.parametrize(
    ("room", "source", "sentence"),
    [
        ("sim", "from knightlite.ops import conv", "line 1: sim may not import ops"),
        ("sim", "from knightlite import ops", "line 1: sim may not import ops"),
        ("sim", "import knightlite.ops.conv", "line 1: sim may not import ops"),
        ("ops", "def f():\n    import knightlite.chip", "line 2: ops may not import chip"),
        (
            "ops",
            "if TYPE_CHECKING:\n    from knightlite.chip import Chip",
            "line 2: ops may not import chip",
        ),
        ("ops", "from . import conv", "line 1: relative import ."),
        ("sim", "import onnx.helper", "line 1: sim may not import the package onnx"),
        (
            "quantize",
            "try:\n    import onnxruntime\nexcept ImportError:\n    pass",
            "line 2: onnxruntime must be imported inside a function",
        ),
    ],
)
def test_planted_imports(room: str, source: str, sentence: str) -> None:
    assert violations(room, source) == [sentence]


def test_planted_leftovers() -> None:
    sources = ["from knightlite.errors import UsageError", "def f():\n    import PIL.Image"]
    assert unused("preprocess", sources) == ["datafiles", "numpy", "tomli"]
    assert unused("preprocess", [*sources, "import numpy as np\nimport tomli"]) == ["datafiles"]


def test_allowed_imports_pass() -> None:
    source = (
        "import json\nimport numpy as np\nfrom knightlite import numerics, ir\n"
        "from knightlite.quantize.data.workload import Forward\n"
        "if TYPE_CHECKING:\n    import onnxruntime\n"
        "def f():\n    import onnxruntime as ort\n"
    )
    assert violations("quantize", source) == []


@pytest.mark.parametrize(
    "source",
    [
        'if chip.name == "TX5368AV200": pass',
        'wide = name in ("a",) or "TX510x" == name',
        "if family.family != other: pass",
        "if self.chip.names[0:1] or self.chip.name in known: pass",
        'if chip.name.startswith("TX"): pass',
        'match target_chip.name:\n    case "a": pass',
    ],
)
def test_planted_chip_questions(source: str) -> None:
    assert len(chip_comparisons(source)) == 1


def test_facts_of_a_chip_are_fine() -> None:
    assert chip_comparisons("if chip.wspm_bytes < need and node.name == other: pass") == []


def test_planted_print() -> None:
    assert prints("def f():\n    print('x')\nreport.print()") == [2]


def test_planted_cycle() -> None:
    assert "a" in reach({"a": ("b",), "b": ("c",), "c": ("a",)}, "a")
