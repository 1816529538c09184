"""Conditions that refuse something, found in the sources, and the same functions with one changed.

A guard is a function with an ``if`` that ends in a sentence (raised, returned or yielded) and that
asks whether one thing is smaller than another, or one of several. A mutant of it takes N for N + 1,
or has forgotten one of the several.
"""

from __future__ import annotations

import ast
import copy
import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

PACKAGE = Path(__file__).parent.parent / "knightlite"
STRICT: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
}  # fmt: skip


def guards() -> dict[str, list[str]]:
    """The conditions of all guards, by ``file:function``."""
    found: dict[str, list[str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        for name, test in _refusals(_tree(path), ()):
            if any(_changes(test)):
                key = f"{path.relative_to(PACKAGE)}:{'.'.join(name)}"
                found.setdefault(key, []).append(ast.unparse(test))
    return found


def mutants(key: str) -> Iterator[tuple[str, CodeType]]:
    """Every change of a guard's conditions, in words, and the function's code with it."""
    file, _, name = key.partition(":")
    path = PACKAGE / file
    count = len(list(_all_changes(_tree(path), name)))
    for index in range(count):
        tree = copy.deepcopy(_tree(path))
        what, change = list(_all_changes(tree, name))[index]
        change()
        code = compile(tree, str(path), "exec", dont_inherit=True)
        yield what, _code_of(code, _outer(key)[1])


@contextmanager
def swapped(key: str, code: CodeType) -> Iterator[None]:
    """The function of that key runs other code meanwhile."""
    function = function_of(key)
    kept = function.__code__
    function.__code__ = code
    try:
        yield
    finally:
        function.__code__ = kept


def function_of(key: str) -> FunctionType:
    """The function, or the one around it."""
    module, names = _outer(key)
    found: Any = importlib.import_module(module)
    for name in names:
        found = vars(found)[name]
    for wrapped in ("fget", "__wrapped__", "__func__", "func"):
        found = getattr(found, wrapped, None) or found
    assert isinstance(found, FunctionType), key
    return found


def _outer(key: str) -> tuple[str, list[str]]:
    """Module, and the names that lead to the outermost function."""
    file, _, name = key.partition(":")
    module = ".".join(["knightlite", *Path(file).with_suffix("").parts]).removesuffix(".__init__")
    names = name.split(".")
    last = next(
        index
        for index, item in enumerate(names)
        if item.lstrip("_")[:1].islower() or item.startswith("__")
    )
    return module, names[: last + 1]


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _refusals(node: ast.AST, name: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], ast.expr]]:
    for child in ast.iter_child_nodes(node):
        inner = name
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            inner = (*name, child.name)
        if isinstance(child, ast.If) and _ends_in_words(child.body):
            yield inner, child.test
        for statement in _exceptions(getattr(child, "body", None)):
            yield inner, statement.test
        chosen = child.value if isinstance(child, ast.Return) else None
        if isinstance(chosen, ast.IfExp) and any(map(_is_text, (chosen.body, chosen.orelse))):
            yield inner, chosen.test
        yield from _refusals(child, inner)


def _exceptions(body: Any) -> Iterator[ast.If]:
    """The ``if`` of a block that end it without a word, where the block itself ends in words."""
    if not isinstance(body, list) or not body or not _last_word(body[-1]):
        return
    for statement in body[:-1]:
        last = statement.body[-1] if isinstance(statement, ast.If) else None
        if isinstance(last, ast.Return) and not getattr(last.value, "value", None):
            yield statement


def _last_word(last: ast.stmt) -> bool:
    return isinstance(last, ast.Raise) or (isinstance(last, ast.Return) and _is_text(last.value))


def _is_text(node: ast.AST | None) -> bool:
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


def _ends_in_words(body: list[ast.stmt]) -> bool:
    last = body[-1]
    if _last_word(last):
        return True
    inner = [item for statement in body for item in ast.walk(statement)]
    return any(
        isinstance(item, ast.Raise) or (isinstance(item, ast.Yield) and _is_text(item.value))
        for item in inner
    )


def _all_changes(tree: ast.Module, name: str) -> Iterator[tuple[str, Any]]:
    for found, test in _refusals(tree, ()):
        if ".".join(found) == name:
            yield from _changes(test)


def _changes(test: ast.expr) -> Iterator[tuple[str, Any]]:
    """What may be changed in a condition, in words, and a call that does it."""
    for node in ast.walk(test):
        if not isinstance(node, ast.Compare):
            continue
        for place, operator in enumerate(node.ops):
            other = STRICT.get(type(operator))
            if other is not None:
                change = partial(node.ops.__setitem__, place, other())
                yield f"another strictness in {ast.unparse(node)}", change
        last = node.comparators[-1]
        if isinstance(node.ops[-1], ast.In | ast.NotIn) and isinstance(last, ast.Tuple | ast.Set):
            for place, item in enumerate(last.elts if len(last.elts) > 1 else ()):
                change = partial(last.elts.__delitem__, place)
                yield f"{ast.unparse(item)} left out of {ast.unparse(node)}", change


def _code_of(code: CodeType, names: list[str]) -> CodeType:
    for name in names:
        code = next(
            item for item in code.co_consts if isinstance(item, CodeType) and item.co_name == name
        )
    return code
