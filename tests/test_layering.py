"""Who may import whom: one allow-list, checked from the syntax trees of every module.

Imports inside functions and under TYPE_CHECKING count too. A room is a package or a single module
directly below ``knightlite``; ``ALLOWED`` names what each room may import, ``THIRD_PARTY`` which
packages from outside. A wing is the same inside a large room: ``WINGS`` names what each wing of
``quantize`` and ``api`` may import of the others, and what other rooms take stands in its face.
Adding a room, a wing or an edge is a decision: make it here, in the same commit.
What is listed is used: a room, an edge or a package that nothing needs any more is taken off.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

from imports import (
    chip_comparisons,
    imported,
    imports_of,
    module_graph,
    on_circles,
    prints,
    reach,
    room_of,
)

ROOT = Path(__file__).parent.parent / "knightlite"

ALLOWED: dict[str, tuple[str, ...]] = {
    "__init__": ("api", "diagnosis", "errors", "profiler", "public", "version"),
    "__main__": ("cli",),
    # single modules at the bottom
    "errors": (),
    "dtypes": (),
    "datafiles": (),
    "events": (),
    "file_names": (),
    "frames": (),
    "leftovers": (),
    "atomic_write": ("errors", "leftovers"),
    "html_pages": (),
    "limits": (),
    "name_lists": (),
    "reading": ("limits",),
    "array_files": ("limits", "reading"),
    "json_records": ("errors", "reading"),
    "layouts": (),
    "numerics": ("dtypes",),
    "talk": (),
    "version": (),
    "script_imports": ("datafiles", "reading"),
    "script_loading": ("datafiles", "errors", "script_imports"),
    # what an infer function gets, in whichever interpreter, and how arrays come there
    "executor": ("errors", "frames", "script_loading"),
    "array_pipe": (),
    "chip": ("json_records",),
    "container": ("chip", "dtypes", "errors", "json_records", "layouts"),
    "workspace": ("atomic_write", "errors", "json_records", "reading", "version"),
    # what instructions and operators are
    "isa": ("chip", "dtypes", "errors"),
    "chip_files": ("chip", "datafiles", "errors", "isa", "json_records", "limits", "reading"),
    "ir": ("dtypes", "errors", "name_lists"),
    "ops": ("dtypes", "errors", "ir", "numerics"),
    # runs in another framework's interpreter
    "foreign": ("array_pipe", "errors", "executor", "name_lists", "script_loading"),
    "preprocess": ("datafiles", "errors", "limits", "reading"),
    # what a file holds, for who refuses it
    "contents": ("array_files", "container", "errors", "preprocess"),
    # sums over pictures and their statistics: knows no model
    "evaluation": ("errors",),
    # measures of the data's own: what a user's file says of outputs
    "metrics": ("errors", "reading", "script_loading"),
    # a float or quantized network written as ONNX, and run in ONNX Runtime
    "onnx_models": ("dtypes", "ir", "ops"),
    "inference": ("errors", "frames", "ir", "onnx_models", "ops"),
    # from a model to a quantized graph; a model's constants are run
    "frontend": (
        "array_pipe",
        "contents",
        "dtypes",
        "errors",
        "executor",
        "inference",
        "ir",
        "leftovers",
        "limits",
        "name_lists",
        "ops",
        "reading",
        "script_imports",
        "script_loading",
        "talk",
    ),
    "quantize": (
        "array_files",
        "dtypes",
        "errors",
        "evaluation",
        "executor",
        "frames",
        "inference",
        "ir",
        "numerics",
        "onnx_models",
        "ops",
        "preprocess",
        "reading",
        "script_loading",
    ),
    # the compiler, in the order in which the data goes, and what drives it
    "passes": ("chip", "ir", "ops"),
    "lower": ("chip", "errors", "ir", "isa", "numerics", "ops"),
    "allocate": ("chip", "errors", "ir", "ops"),
    "schedule": ("allocate", "chip", "errors", "ir", "isa", "lower", "ops"),
    "emit": (
        "allocate",
        "chip",
        "container",
        "errors",
        "ir",
        "isa",
        "json_records",
        "lower",
        "ops",
        "schedule",
    ),
    "compiler": (
        "allocate",
        "chip",
        "container",
        "emit",
        "errors",
        "ir",
        "isa",
        "lower",
        "ops",
        "passes",
        "schedule",
    ),
    # the runtime in C, built and called; its sources are data in a folder of their own
    "native": ("chip", "container", "errors", "isa", "leftovers", "numerics"),
    # a project in C around it
    "deploy": ("container", "errors", "leftovers", "native", "preprocess"),
    # the machine: knows the binary and nothing of the compiler
    "sim": (
        "array_files",
        "chip",
        "container",
        "dtypes",
        "errors",
        "events",
        "file_names",
        "frames",
        "isa",
        "layouts",
        "numerics",
    ),
    "profiler": ("chip", "container", "errors", "events", "isa", "json_records", "sim"),
    # what a profile says to a person: figures come from the profiler, it computes none of a program
    "report": ("html_pages", "profiler"),
    # the quantized network measured layer by layer, and quantized again where that may help
    "diagnosis": (
        "dtypes",
        "errors",
        "evaluation",
        "html_pages",
        "inference",
        "ir",
        "metrics",
        "numerics",
        "onnx_models",
        "ops",
        "preprocess",
        "quantize",
    ),
    # what every command can be asked for: words and checks of other rooms, light to import
    "options": ("chip_files", "container", "datafiles", "errors", "layouts", "quantize"),
    # the outside
    "api": (
        "array_files",
        "atomic_write",
        "chip",
        "chip_files",
        "compiler",
        "container",
        "contents",
        "datafiles",
        "deploy",
        "diagnosis",
        "dtypes",
        "emit",
        "errors",
        "evaluation",
        "file_names",
        "frames",
        "frontend",
        "inference",
        "ir",
        "isa",
        "json_records",
        "layouts",
        "leftovers",
        "limits",
        "lower",
        "metrics",
        "name_lists",
        "native",
        "onnx_models",
        "ops",
        "options",
        "passes",
        "preprocess",
        "profiler",
        "quantize",
        "reading",
        "report",
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
        "leftovers",
        "options",
        "profiler",
        "talk",
    ),
    "serving": ("api", "errors", "limits", "options", "reading", "talk", "version"),
    "cli": ("api", "chip_files", "diagnosis", "errors", "options", "serving", "talk", "version"),
}

# inside a large room, lower wings first: a wing is a package or a single module
WINGS: dict[str, dict[str, tuple[str, ...]]] = {
    "quantize": {
        # what is asked, what the graph alone decides, what a report is made of
        "choices": (),
        "settings": ("choices",),
        "groups": (),
        "report_entries": (),
        "rewrites": ("groups",),
        "data": (),
        "sequences": ("data",),
        "data_free": ("data", "sequences", "settings"),
        "statistics": ("data", "groups", "report_entries"),
        "ranges": ("choices", "statistics"),
        "scales": ("groups", "ranges", "report_entries", "settings", "statistics"),
        "mixed": (
            "choices",
            "data",
            "data_free",
            "groups",
            "ranges",
            "report_entries",
            "scales",
            "settings",
            "statistics",
        ),
        "steps": (
            "data",
            "data_free",
            "groups",
            "ranges",
            "report_entries",
            "rewrites",
            "scales",
            "settings",
            "statistics",
        ),
        "report": ("groups", "ranges", "report_entries", "scales", "statistics"),
        "weak_layers": ("ranges", "report_entries", "scales", "statistics"),
        "pipeline": (
            "choices",
            "data",
            "data_free",
            "mixed",
            "ranges",
            "report",
            "report_entries",
            "rewrites",
            "scales",
            "settings",
            "statistics",
            "steps",
            "weak_layers",
        ),
    },
    "api": {
        # what verbs hand on, and which chip is meant
        "models": (),
        "chips": (),
        "run_config": (),
        "names": ("models",),
        "script_path": (),
        "processes": (),
        "residents": ("models",),
        # a verb each
        "checking": ("chips",),
        "compilation": ("chips", "models"),
        "advising": ("chips", "models"),
        "profiling": ("advising", "chips", "models"),
        "inspection": ("models",),
        "simulation": ("models",),
        "deployment": ("compilation", "models"),
        "comparison": ("models", "simulation"),
        "evaluation": ("models", "processes", "simulation"),
        "quantization": ("chips", "comparison", "models", "simulation"),
        "diagnosis": ("models", "quantization", "simulation"),
        "exploration": ("chips", "processes", "quantization"),
        "demonstration": (
            "compilation",
            "deployment",
            "models",
            "profiling",
            "quantization",
            "simulation",
        ),
    },
}

LARGEST_FACE = 12  # names that other rooms take from a wing: more are a sign of two wings
LARGEST_WING = 20  # modules

THIRD_PARTY: dict[str, tuple[str, ...]] = {
    "allocate": ("numpy",),
    "api": ("numpy", "onnx"),
    "array_files": ("numpy",),
    "array_pipe": ("numpy",),
    "cli": ("click", "rich"),
    "container": ("numpy",),
    "diagnosis": ("matplotlib", "numpy", "onnx"),
    "dtypes": ("numpy",),
    "emit": ("onnx",),
    "evaluation": ("numpy",),
    "executor": ("numpy",),
    "foreign": ("numpy", "onnx", "paddle", "paddle2onnx", "torch"),
    "frontend": ("google", "numpy", "onnx"),  # google: protobuf's errors
    "inference": ("numpy", "onnx", "onnxruntime"),
    "ir": ("numpy",),
    "isa": ("numpy",),
    "lower": ("numpy",),
    "metrics": ("numpy", "pycocotools"),
    "native": ("numpy",),
    "profiler": ("numpy",),
    "numerics": ("numpy",),
    "onnx_models": ("numpy", "onnx"),
    "ops": ("numpy", "onnx"),
    "preprocess": ("PIL", "numpy"),
    "public": ("numpy",),
    "quantize": ("numpy", "onnx"),
    "reading": ("tomli",),
    "schedule": ("numpy",),
    "script_loading": ("numpy",),
    "serving": ("anyio", "numpy", "prometheus_client", "starlette", "uvicorn"),
    "sim": ("numpy",),
}

# imported inside functions only, so that `knightlite --help` is instant
LAZY = (
    "PIL", "google", "matplotlib", "onnxruntime", "paddle", "paddle2onnx", "pycocotools", "torch",
)  # fmt: skip

# what the machine may know; the rooms under these hold data paths only
SIM_MAY_REACH = {
    "errors", "dtypes", "numerics", "chip", "isa", "container", "events", "datafiles",
    "array_files",
    "file_names",
    "frames",
    "json_records",
    "layouts",
    "limits",
    "reading",
}  # fmt: skip

STANDARD = sys.stdlib_module_names | {"tomllib"}  # 3.10 does not have it; its import is guarded

FORBIDDEN_NAMES = ("utils", "util", "common", "base", "helpers", "helper", "misc")


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
    return list(dict.fromkeys(found))


def unused(room: str, sources: Iterable[str]) -> list[str]:
    """What ``room`` may import and none of its modules' sources does."""
    targets = [item.target for source in sources for item in imports_of(source)]
    rooms = {room_of(target) for target in targets if target.split(".")[0] == "knightlite"}
    packages = {target.split(".")[0] for target in targets}
    return [item for item in ALLOWED[room] if item not in rooms] + [
        item for item in THIRD_PARTY.get(room, ()) if item not in packages
    ]


def wing_of(module: str) -> str:
    """The wing of a module of a large room; "" for the room's own face."""
    return ".".join(module.split(".")[2:3])


def wing_violations(room: str, wing: str, source: str) -> list[str]:
    """What the source of a module in a wing imports of the room's other wings and may not."""
    found = []
    for item in imports_of(source):
        target = imported(item, SOURCES)
        if room_of(target) == room and wing_of(target) not in (wing, *WINGS[room][wing]):
            found.append(f"line {item.line}: {wing} may not import {wing_of(target) or room}")
    return list(dict.fromkeys(found))


def taken_from_wings(room: str, source: str) -> dict[str, str]:
    """What a module of another room imports of ``room``: name -> the wing that it is taken from.

    AssertionError with the line of an import from a module inside a wing.
    """
    taken = {}
    for item in imports_of(source):
        target = imported(item, SOURCES)
        if room_of(target) == room:
            place = f"line {item.line}: {target}"
            assert target.count(".") == 2, f"{place} is not the face of a wing of {room}"
            taken[item.name] = wing_of(target)
    return taken


def modules() -> list[tuple[str, Path]]:
    """Every module with its room."""
    return [
        (path.relative_to(ROOT).with_suffix("").parts[0], path)
        for path in sorted(ROOT.rglob("*.py"))
    ]


SOURCES = {
    ".".join(("knightlite", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(
        ".__init__"
    ): path.read_text(encoding="utf-8")
    for _, path in modules()
}
PROGRAMS = [
    path
    for folder in ("benchmarks", "examples")
    for path in sorted((ROOT.parent / folder).rglob("*.py"))
]
STUBS = sorted(ROOT.rglob("*.pyi"))
OUTSIDE = [
    (room, path)
    for room in WINGS
    for path in [*(path for home, path in modules() if home != room), *STUBS, *PROGRAMS]
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
    if room != "chip_files":  # it is the one that looks a name up
        assert chip_comparisons(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(("room", "path"), MODULES)
def test_only_the_command_line_prints(room: str, path: Path) -> None:
    if room != "cli":
        assert prints(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(("room", "path"), MODULES)
def test_module_names_say_what_they_hold(room: str, path: Path) -> None:
    parts = path.relative_to(ROOT).with_suffix("").parts
    assert [part for part in parts if part in FORBIDDEN_NAMES] == []


# ------------------------------------------------------------------ modules and wings


def test_no_module_knots() -> None:
    assert on_circles(module_graph(SOURCES)) == []


IN_WINGS = [name for name in SOURCES if room_of(name) in WINGS and wing_of(name)]


@pytest.mark.parametrize("room", WINGS)
def test_wings_are_acyclic_and_complete(room: str) -> None:
    assert on_circles(WINGS[room]) == []
    known = {wing_of(name) for name in IN_WINGS if room_of(name) == room}
    assert known == set(WINGS[room])
    assert {item for wings in WINGS[room].values() for item in wings} <= known


@pytest.mark.parametrize("module", IN_WINGS)
def test_wings_import_what_lies_below(module: str) -> None:
    assert wing_violations(room_of(module), wing_of(module), SOURCES[module]) == []


@pytest.mark.parametrize("room", WINGS)
def test_every_arrow_between_wings_is_needed(room: str) -> None:
    graph = module_graph(SOURCES)
    arrows = {
        (wing_of(module), wing_of(name))
        for module, names in graph.items()
        for name in names
        if room_of(module) == room_of(name) == room
    }
    unused = {(wing, item) for wing, wings in WINGS[room].items() for item in wings} - arrows
    assert unused == set()


def test_no_wing_is_too_large() -> None:
    counts = Counter((room_of(name), wing_of(name)) for name in IN_WINGS)
    assert {wing: count for wing, count in counts.items() if count - 1 > LARGEST_WING} == {}
    assert max(map(len, WINGS.values())) <= LARGEST_WING


@cache
def faces(room: str) -> dict[str, set[str]]:
    """Wing -> the names that other rooms take from it."""
    found: dict[str, set[str]] = {wing: set() for wing in WINGS[room]}
    for home, path in OUTSIDE:
        if home == room:
            for name, wing in taken_from_wings(room, path.read_text(encoding="utf-8")).items():
                found[wing].add(name)
    return found


@pytest.mark.parametrize(
    ("room", "path"),
    [pytest.param(*item, id=f"{item[0]}-{item[1].relative_to(ROOT.parent)}") for item in OUTSIDE],
)
def test_other_rooms_import_faces_of_wings(room: str, path: Path) -> None:
    taken_from_wings(room, path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(("room", "wing"), [(room, wing) for room in WINGS for wing in WINGS[room]])
def test_faces_are_what_is_taken(room: str, wing: str) -> None:
    """A wing's ``__all__`` has every name that others take and no other one, and few of them."""
    taken = faces(room)[wing]
    face = import_module(f"knightlite.{room}.{wing}")
    if hasattr(face, "__path__"):
        assert set(face.__all__) == taken
    assert len(taken) <= LARGEST_FACE, f"{wing} has {len(taken)} names: {sorted(taken)}"
    assert (face.__doc__ or "").splitlines()[0].endswith(".")


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
            "inference",
            "try:\n    import onnxruntime\nexcept ImportError:\n    pass",
            "line 2: onnxruntime must be imported inside a function",
        ),
    ],
)
def test_planted_imports(room: str, source: str, sentence: str) -> None:
    assert violations(room, source) == [sentence]


def test_planted_leftovers() -> None:
    sources = ["from knightlite.errors import UsageError", "def f():\n    import PIL.Image"]
    assert unused("preprocess", sources) == ["datafiles", "limits", "reading", "numpy"]
    sources.append("import numpy as np\nfrom knightlite import limits, reading")
    assert unused("preprocess", sources) == ["datafiles"]


@pytest.mark.parametrize(
    ("wing", "source", "sentence"),
    [
        (
            "ranges",
            "from knightlite.quantize.scales.widths import choose_widths",
            "line 1: ranges may not import scales",
        ),
        (
            "groups",
            "from knightlite.quantize import settings",
            "line 1: groups may not import settings",
        ),
        (
            "statistics",
            "def f():\n    from knightlite.quantize.steps import walk",
            "line 2: statistics may not import steps",
        ),
        (
            "data",
            "if TYPE_CHECKING:\n    import knightlite.quantize.pipeline",
            "line 2: data may not import pipeline",
        ),
        (
            "data",
            "from knightlite.quantize import quantize_graph",
            "line 1: data may not import quantize",
        ),
    ],
)
def test_planted_arrows_between_wings(wing: str, source: str, sentence: str) -> None:
    assert wing_violations("quantize", wing, source) == [sentence]


def test_a_verb_that_reaches_up_is_found() -> None:
    source = "from knightlite.api.comparison.run import compare"
    assert wing_violations("api", "simulation", source) == [
        "line 1: simulation may not import comparison"
    ]
    assert wing_violations("api", "quantization", source) == []
    with pytest.raises(AssertionError, match=r"comparison\.run is not the face of a wing of api"):
        taken_from_wings("api", source)


def test_allowed_arrows_between_wings_pass() -> None:
    source = (
        "from knightlite.quantize.groups import Group\nfrom knightlite.quantize.ranges import mix\n"
        "from knightlite.quantize.scales import widths\nfrom knightlite.ops import BY_NAME\n"
    )
    assert wing_violations("quantize", "scales", source) == []


@pytest.mark.parametrize(
    ("source", "module"),
    [
        ("from knightlite.quantize.steps.walk import Walk", "steps.walk"),
        ("def f():\n    from knightlite.quantize.steps import walk", "steps.walk"),
        ("import knightlite.quantize.data.workload", "data.workload"),
        ("from knightlite.quantize import nothing", ""),
    ],
)
def test_planted_imports_past_a_face(source: str, module: str) -> None:
    name = f"knightlite.quantize.{module}".removesuffix(".")
    with pytest.raises(AssertionError, match=f"line \\d: {name} is not the face of a wing"):
        taken_from_wings("quantize", source)


def test_what_is_taken_from_a_face() -> None:
    source = "from knightlite.quantize.steps import improve, left_out\nimport knightlite.ops\n"
    assert taken_from_wings("quantize", source) == {"improve": "steps", "left_out": "steps"}


def test_planted_knot() -> None:
    sources = {
        "knightlite.a": "",
        "knightlite.a.one": "from knightlite.a import two",
        "knightlite.a.two": "def f():\n    from knightlite.a.three import g",
        "knightlite.a.three": "if TYPE_CHECKING:\n    import knightlite.a.one",
        "knightlite.b": "from knightlite.a.one import h\nfrom knightlite import a",
    }
    graph = module_graph(sources)
    assert graph["knightlite.b"] == ("knightlite.a.one", "knightlite.a")
    assert on_circles(graph) == ["knightlite.a.one", "knightlite.a.two", "knightlite.a.three"]


def test_allowed_imports_pass() -> None:
    source = (
        "import json\nimport numpy as np\nfrom knightlite import errors, ir\n"
        "from knightlite.inference.sessions import Session\n"
        "if TYPE_CHECKING:\n    import onnxruntime\n"
        "def f():\n    import onnxruntime as ort\n"
    )
    assert violations("inference", source) == []


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
