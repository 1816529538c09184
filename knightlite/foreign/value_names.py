"""The numbers that torch's older exporter gives to values, which scripts and run-configs name.

It numbers values while it traces (``191``, ``onnx::Flatten_189``, ``input.148``), and at the end
calls all but the network's outputs after their modules. Configs made with other versions of torch
name inner values by the number: these names are noted, and put back where they are asked for.

The number depends on the version of torch and of what builds the network (every weight and every
node before it counts); which operator reads the value, and in which order, does not.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from knightlite.errors import UsageError, nearest
from knightlite.name_lists import names_in

NAMING = "_jit_pass_onnx_assign_scoped_names_for_node_and_value"  # of torch 1.13 and later
KIND = "onnx::"  # and an operator that reads the value, and its number


@contextlib.contextmanager
def numbers_noted(torch: Any) -> Iterator[dict[str, str]]:
    """What values were called while traced -> what the written file calls them.

    Filled by an export inside the ``with``; empty where this torch names values only once.
    """
    noted: dict[str, str] = {}
    binary = getattr(torch, "_C", None)
    naming = getattr(binary, NAMING, None)
    if naming is None:
        yield noted
        return

    def observed(graph: Any) -> None:
        before = _names(graph)
        naming(graph)
        noted.update(zip(before, _names(graph), strict=True))

    setattr(binary, NAMING, observed)
    try:
        yield noted
    finally:
        setattr(binary, NAMING, naming)


def _names(graph: Any) -> list[str]:
    return [value.debugName() for node in graph.nodes() for value in node.outputs()]


def put_back(path: str, asked: Sequence[str], noted: dict[str, str], where: str) -> str:
    """Give values of the ONNX file the names that are asked for, where torch numbered them so.

    ``asked``: texts with one name or several each. Returns what is to be said of names that stand
    for others (:func:`_counted_off`), "" if none do. UsageError for a name that there is not.
    """
    import onnx

    model = onnx.load(path)
    made = {name for node in model.graph.node for name in node.output}
    numbers = {_number(name): now for name, now in noted.items()} | noted
    numbers = {name: now for name, now in numbers.items() if now in made}
    names = names_in(asked, made | numbers.keys())
    counted = _counted_off(names, numbers)
    wanted: dict[str, str] = {}
    for name in names:
        if name in made:
            continue
        if name not in numbers and name not in counted:
            raise _unknown(name, [item.name for item in model.graph.output], numbers, made, where)
        wanted[numbers[counted.get(name, name)]] = name
    if not wanted:
        return ""
    for node in model.graph.node:
        node.input[:] = [wanted.get(name, name) for name in node.input]
        node.output[:] = [wanted.get(name, name) for name in node.output]
    for item in (*model.graph.output, *model.graph.value_info):
        item.name = wanted.get(item.name, item.name)
    onnx.save(model, path)
    return _taken_for(counted, where)


def _counted_off(names: Sequence[str], numbers: dict[str, str]) -> dict[str, str]:
    """Names of another numbering -> this one's: ``onnx::Sigmoid_7`` -> ``onnx::Sigmoid_9``.

    Where none of the names of one kind is known, and the network has exactly as many values of this
    kind, they are the same in the order of their numbers. Fewer or more would be a guess.
    """
    found: dict[str, str] = {}
    for kind in {_kind(name) for name in names} - {""}:
        asked = {name for name in names if _kind(name) == kind}
        here = [name for name in numbers if _kind(name) == kind]
        if asked.isdisjoint(numbers) and len(asked) == len(here):
            found |= zip(_in_order(asked), _in_order(here), strict=True)
    return found


def _taken_for(counted: dict[str, str], where: str) -> str:
    if not counted:
        return ""
    names = _in_order(counted)
    here = ", ".join(counted[name] for name in names)
    return (
        f"{where}: {', '.join(names)} taken for {here}: the same operator reads them, and the "
        "network has just as many such values; other versions of torch number them otherwise."
    )


def _kind(name: str) -> str:
    """``onnx::Sigmoid`` of ``onnx::Sigmoid_7``; "" for any other name."""
    kind, _, number = name.rpartition("_")
    return kind if kind.startswith(KIND) and number.isdecimal() else ""


def _in_order(names: Iterable[str]) -> list[str]:
    return sorted(names, key=lambda name: (_kind(name), int(_number(name))))


def _number(name: str) -> str:
    """``189`` of ``onnx::Flatten_189``; any other name as it is."""
    return name.rpartition("_")[2] if _kind(name) else name


def _unknown(
    name: str, outputs: Sequence[str], numbers: dict[str, str], made: set[str], where: str
) -> UsageError:
    near = nearest(name, [*numbers, *sorted(made)])
    return UsageError(
        f"{where} cannot be cut at {name}: no operator of the network makes this tensor.",
        f"{near} its outputs are {', '.join(outputs)} here; other versions of torch, and of the "
        "packages that the script builds it of, number tensors otherwise".strip(),
    )
