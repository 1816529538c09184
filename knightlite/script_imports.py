"""Which packages a user script needs, read from its text: it is not run."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from knightlite.datafiles import scripts_folder
from knightlite.reading import read_bytes

GUARDS = ("ImportError", "ModuleNotFoundError", "Exception", "BaseException")


def needed_packages(script: Path, function: str | None = None) -> tuple[str, ...]:
    """The packages that loading the script imports, and calling its infer function, in order.

    Modules beside it are followed. Left out are Python's own, what ships with knightlite, and what
    the script can do without (an import in a ``try`` that expects it to fail).
    """
    folder = script.resolve().parent
    known = {*sys.stdlib_module_names, *(item.stem for item in scripts_folder().iterdir())}
    found: dict[str, None] = {}
    seen: set[Path] = set()
    waiting = [(script, function)]
    while waiting:
        path, called = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        for name in _imports(_parsed(path), called):
            top = name.partition(".")[0]
            beside = _beside(folder, name)
            waiting += [(item, None) for item in beside]
            if not beside and top not in known:
                found[top] = None
    return tuple(found)


def _parsed(path: Path) -> ast.AST:
    try:
        return ast.parse(read_bytes(path))
    except (OSError, SyntaxError, ValueError, RecursionError):  # said where it is run
        return ast.Module([], [])


def _imports(node: ast.AST, called: str | None) -> Iterator[str]:
    """Dotted names of what is imported when the code runs; of functions, only where ``called``."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (item.name for item in child.names)
        elif isinstance(child, ast.ImportFrom) and child.module and not child.level:
            yield child.module
        elif isinstance(child, ast.Try) and any(map(_expects_failure, child.handlers)):
            continue
        elif isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            if called is not None and _goes_by(child, called):
                yield from _imports(child, None)
        elif isinstance(child, (ast.stmt, ast.excepthandler)):
            yield from _imports(child, called)


def _expects_failure(handler: ast.ExceptHandler) -> bool:
    names = {item.id for item in ast.walk(handler) if isinstance(item, ast.Name)}
    return handler.type is None or not names.isdisjoint(GUARDS)


def _goes_by(function: ast.FunctionDef | ast.AsyncFunctionDef, name: str) -> bool:
    """True where the function has the name, or is registered by it."""
    texts = [ast.walk(item) for item in function.decorator_list]
    values = {item.value for walk in texts for item in walk if isinstance(item, ast.Constant)}
    return function.name == name or name in values


def _beside(folder: Path, name: str) -> list[Path]:
    """The files of a module or package that lies in the script's folder."""
    place = folder.joinpath(*name.split("."))
    tops = (folder / name.partition(".")[0]).with_suffix(".py"), place.with_suffix(".py")
    found = [path for path in dict.fromkeys(tops) if path.is_file()]
    for parent in (place, *place.parents):
        if parent == folder:
            break
        if (parent / "__init__.py").is_file():
            found.append(parent / "__init__.py")
    if not found and (folder / name.partition(".")[0]).is_dir():  # a package without __init__
        found.append(folder / name.partition(".")[0])
    return found
