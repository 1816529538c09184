"""Nothing lies about: every name at the top of a module is read somewhere in the package.

A test that reads it does not count: what only tests read is theirs. Handing a name on, as the face
of a package does, is not reading it either.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase as fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "knightlite"

# what is called from outside: by users, by click, by another framework's interpreter; Data is a
# type of signatures in the stub of knightlite.public
CALLED = (
    "knightlite.public.*", "knightlite.cli.*.command", "knightlite.foreign.*.run",
    "knightlite.api.quantization.batches.Data",
    # by benchmarks/schedules.py
    "knightlite.schedule.live_bytes.*",
    # the generator of the runtime's headers, by its test
    "knightlite.native.headers.generated_files",
)  # fmt: skip

Name = tuple[str, str]  # dotted module, name in it


def defined(statement: ast.stmt) -> list[str]:
    """The names that a statement at the top of a module makes."""
    if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
        return [statement.name]
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    if isinstance(statement, ast.AnnAssign):
        targets = [statement.target]
    return [node.id for item in targets for node in ast.walk(item) if isinstance(node, ast.Name)]


def handed_on(tree: ast.Module, package: str) -> set[str]:
    """The names that a face takes from its modules; they hide modules of the same names."""
    return {
        item.asname or item.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module != package
        for item in node.names
    }


def origins(tree: ast.Module, faces: Mapping[str, set[str]]) -> dict[str, Name]:
    """What a module imports of the others, by the name it has there; ("module", "") for a whole."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            for item in node.names:
                whole = f"{node.module}.{item.name}"
                is_module = whole in faces and item.name not in faces[node.module]
                place = (whole, "") if is_module else (node.module, item.name)
                found[item.asname or item.name] = place
        elif isinstance(node, ast.Import):
            for item in node.names:
                name = item.asname or item.name.partition(".")[0]
                found[name] = (item.name if item.asname else name, "")
    return found


def read(tree: ast.Module, module: str, known: Mapping[str, Name]) -> Iterator[Name]:
    """What a module reads, a definition's own name inside it left out."""
    for statement in tree.body:
        own = defined(statement) if isinstance(statement, (ast.FunctionDef, ast.ClassDef)) else []
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                if node.id in known:
                    yield known[node.id]
                elif node.id not in own:
                    yield module, node.id
            elif isinstance(node, ast.Attribute):
                first, *rest = ast.unparse(node).split(".")
                if first in known and not known[first][1] and rest:
                    yield ".".join((known[first][0], *rest[:-1])), rest[-1]


def unread(sources: Mapping[str, str]) -> list[str]:
    """module.name of all that no module of ``sources`` reads."""
    trees = {module: ast.parse(source) for module, source in sources.items()}
    faces = {module: handed_on(tree, module) for module, tree in trees.items()}
    known = {module: origins(tree, faces) for module, tree in trees.items()}
    made = {
        module: [name for statement in tree.body for name in defined(statement)]
        for module, tree in trees.items()
    }

    def home(place: Name) -> Name:
        """Where a name that faces hand on is made."""
        module, name = place
        while module in known and name in known[module] and name not in made[module]:
            module, name = known[module][name]
        return module, name

    found = {home(item) for module in trees for item in read(trees[module], module, known[module])}
    return [
        f"{module}.{name}"
        for module, names in made.items()
        for name in names
        if (module, name) not in found and not name.startswith("__")
    ]


def package() -> dict[str, str]:
    """Dotted module -> its source."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = ("knightlite", *path.relative_to(ROOT).with_suffix("").parts)
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[module] = path.read_text(encoding="utf-8")
    return found


def test_every_name_is_read() -> None:
    left = unread(package())
    assert [name for name in left if not any(fnmatch(name, item) for item in CALLED)] == []
    assert [item for item in CALLED if not any(fnmatch(name, item) for name in left)] == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("def f():\n    return f()", ["k.a.f"]),  # itself does not count
        ("def f(): ...\ndef g():\n    f()", ["k.a.g"]),
        ("A = 1\nB: int = A", ["k.a.B"]),
        ("class A:\n    x: A", ["k.a.A"]),
        ("from k.b import g\ndef f(): ...\ng(f)", []),
        ("from k import b\nb.unread()", []),
        ("from k import unread\n__all__ = ['unread']", ["k.b.unread"]),
        ("from k import unread as other\nother()", []),
        ("import k.b as b\nb.unread", []),
        ("import k\nk.b.unread", []),
        ("import k\nk.unread", []),
        ("from k import b as c\nc.unread", []),
        ("def f():\n    from k.b import unread\n    return unread\nf()", []),
    ],
)
def test_planted_names(source: str, found: list[str]) -> None:
    other = "def g(): ...\ndef unread(): ...\nprint(g)"
    left = unread({"k": "from k.b import unread", "k.a": source, "k.b": other})
    assert left == (found if "unread" in source else [*found, "k.b.unread"])
