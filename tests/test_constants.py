"""Every number that was chosen, every default and every list of words, so none changes by the way.

A threshold, a share or a default that changes alters what users get, mostly without a sound; many
were settled by measurements (docs/accuracy.md). A word that is gone from a list is a case that is
forgotten. So each change shows in the diff of ``tests/golden/constants.txt``. Names stand there
without their files: a move changes nothing.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from conftest import Golden

PACKAGE = Path(__file__).parent.parent / "knightlite"
PLAIN = (
    ast.Constant, ast.BinOp, ast.UnaryOp, ast.Tuple, ast.operator, ast.unaryop, ast.expr_context,
)  # fmt: skip

LISTS = (
    *PLAIN, ast.Dict, ast.Set, ast.Starred, ast.Name, ast.Attribute, ast.Call, ast.keyword,
)  # fmt: skip


def value_of(node: ast.expr | None) -> str | None:
    """The value of an expression of plain numbers, texts and truth values; None for others."""
    if node is None or not all(isinstance(item, PLAIN) for item in ast.walk(node)):
        return None
    found = eval(compile(ast.Expression(node), "", "eval"), {"__builtins__": {}})
    return None if found in (None, (), "") else repr(found)


def numbers_only(node: ast.expr) -> bool:
    """Names of files and words of the language are no figures."""
    constants = [item for item in ast.walk(node) if isinstance(item, ast.Constant)]
    return all(isinstance(item.value, int | float) for item in constants)


def listed(node: ast.expr) -> bool:
    """Whether an expression lists words or numbers, or computes a number of others by name."""
    items = list(ast.walk(node))
    calls = {ast.unparse(item.func) for item in items if isinstance(item, ast.Call)}
    single = isinstance(node, ast.Constant | ast.Name | ast.Attribute | ast.Subscript)
    return (
        not single  # one word, or another name of something
        and all(isinstance(item, LISTS) for item in items)
        and any(isinstance(item, ast.Constant) for item in items)
        and calls <= {"float", "frozenset", "MixBudget"}
    )


def pairs_of(statement: ast.stmt) -> Iterator[tuple[str, ast.expr]]:
    """Names and values of a statement, of ``A, B = 1, 2`` one after the other."""
    if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Tuple):
        names, node = statement.targets[0].elts, statement.value
        values = node.elts if isinstance(node, ast.Tuple) else [node] * len(names)
        yield from ((ast.unparse(name), item) for name, item in zip(names, values, strict=True))
        return
    name, value = named(statement)
    if value is not None:
        yield name, value


def named(statement: ast.stmt) -> tuple[str, ast.expr | None]:
    """The name that a statement gives a value, "" for other statements."""
    if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
        return statement.target.id, statement.value
    if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
        return statement.targets[0].id, statement.value
    return "", None


def constants(tree: ast.Module) -> Iterator[str]:
    for name, node in (pair for statement in tree.body for pair in pairs_of(statement)):
        if not name.isupper():
            continue
        if numbers_only(node) and (value := value_of(node)) is not None:
            yield f"{name} = {value}"
        elif listed(node):
            yield f"{name} = {ast.unparse(node)}"


def defaults(tree: ast.Module) -> Iterator[str]:
    """Of fields of records, of arguments, of options of commands; not of what a room keeps."""
    for item in ast.walk(tree):
        pairs: list[tuple[str, ast.expr | None]] = []
        if isinstance(item, ast.ClassDef) and any(map(is_dataclass, item.decorator_list)):
            pairs = [(f"{item.name}.{name}", node) for name, node in map(named, item.body)]
        elif isinstance(item, ast.FunctionDef):
            places = item.args.posonlyargs + item.args.args
            values = [*[None] * (len(places) - len(item.args.defaults)), *item.args.defaults]
            pairs = [
                (f"{item.name}({argument.arg})", node)
                for argument, node in zip(
                    [*places, *item.args.kwonlyargs], [*values, *item.args.kw_defaults], strict=True
                )
            ]
        elif isinstance(item, ast.Call):
            given = [word.value for word in item.keywords if word.arg == "default"]
            pairs = [(flag, node) for node in given if (flag := first_flag(item))]
        for name, node in pairs:
            if not name.startswith("_") and (value := value_of(node)) is not None:
                yield f"{name} = {value}"


def is_dataclass(decorator: ast.expr) -> bool:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return ast.unparse(called) in ("dataclass", "dataclasses.dataclass")


def first_flag(call: ast.Call) -> str:
    """The first flag that a call of an option names, "" for other calls."""
    texts = [item.value for item in ast.walk(call) if isinstance(item, ast.Constant)]
    flags = [
        text for text in texts if isinstance(text, str) and text[:1] == "-" and " " not in text
    ]
    return flags[0] if flags else ""


def test_constants_and_defaults(golden: Golden) -> None:
    paths = sorted(PACKAGE.rglob("*.py"))
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in paths]
    lines = [*sorted(line for tree in trees for line in constants(tree)), ""]
    lines += sorted(line for tree in trees for line in defaults(tree))
    assert {"MAX_BIAS = 1073741824", "Settings.sample = 64", "-ib = 1"} <= set(lines)
    golden.text("constants.txt", "\n".join(lines) + "\n")
