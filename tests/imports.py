"""What the syntax trees of the code say: who imports what, and other habits that a rule forbids."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True)
class Import:
    """One imported module: its dotted name, where, and whether importing the file runs it.

    ``name``: what is taken from it, "" for the module itself; it may be a module too.
    """

    target: str
    line: int
    at_load: bool
    name: str = ""


_HOLD_STATEMENTS = (ast.stmt, ast.excepthandler, ast.match_case)


@cache  # some thousand tests ask of a few hundred sources
def imports_of(source: str) -> tuple[Import, ...]:
    """Every import in the source, wherever it stands."""
    return tuple(_imports(ast.parse(source), at_load=True))


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
            for alias in node.names:
                yield Import(node.module, node.lineno, at_load, alias.name)
    inside_function = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    guarded = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
    for child in ast.iter_child_nodes(node):
        if isinstance(child, _HOLD_STATEMENTS):  # an expression, most of a tree, imports nothing
            yield from _imports(child, at_load and not inside_function and not guarded)


def room_of(target: str) -> str:
    """The room of a knightlite import; a name that is no room is the package itself."""
    parts = target.split(".")
    name = parts[1] if len(parts) > 1 else "__init__"
    return "__init__" if name.startswith("__") and name != "__main__" else name


def chip_comparisons(source: str) -> list[int]:
    """Lines where code asks for a chip's name instead of a fact."""
    if not any(word in source for word in ("chip", "family", "TX5")):
        return []  # without a tree
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
    if "print" not in source:
        return []  # without a tree
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


# ------------------------------------------------------------------ between modules


def imported(item: Import, modules: Collection[str]) -> str:
    """The module of ``modules`` that an import is of, or its dotted name where it is of none."""
    whole = f"{item.target}.{item.name}"
    return whole if whole in modules else item.target


def module_graph(sources: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Dotted module -> those of the others that its source imports, inside functions too."""
    graph = {}
    for module, source in sources.items():
        found = dict.fromkeys(imported(item, sources) for item in imports_of(source))
        graph[module] = tuple(name for name in found if name in sources and name != module)
    return graph


def on_circles(graph: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Everything from which an arrow leads back to itself."""
    return [name for name in graph if name in reach(graph, name)]
