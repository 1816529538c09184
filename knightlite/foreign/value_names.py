"""The numbers that torch's older exporter gives to values, which scripts and run-configs name.

It numbers values while it traces (``191``, ``onnx::Flatten_189``, ``input.148``), and at the end
calls all but the network's outputs after their modules. Configs made with other versions of torch
name inner values by the number: these names are noted, and put back where they are asked for.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
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


def put_back(path: str, asked: Sequence[str], noted: dict[str, str], where: str) -> None:
    """Give values of the ONNX file the names that are asked for, where torch numbered them so.

    ``asked``: texts with one name or several each. UsageError for a name that there is not.
    """
    import onnx

    model = onnx.load(path)
    made = {name for node in model.graph.node for name in node.output}
    numbers = {_number(name): now for name, now in noted.items()} | noted
    numbers = {name: now for name, now in numbers.items() if now in made}
    wanted: dict[str, str] = {}
    for name in names_in(asked, made | numbers.keys()):
        if name in made:
            continue
        if name not in numbers:
            raise _unknown(name, [item.name for item in model.graph.output], numbers, made, where)
        wanted[numbers[name]] = name
    if not wanted:
        return
    for node in model.graph.node:
        node.input[:] = [wanted.get(name, name) for name in node.input]
        node.output[:] = [wanted.get(name, name) for name in node.output]
    for item in (*model.graph.output, *model.graph.value_info):
        item.name = wanted.get(item.name, item.name)
    onnx.save(model, path)


def _number(name: str) -> str:
    """``189`` of ``onnx::Flatten_189``; any other name as it is."""
    return name.rpartition("_")[2] if name.startswith(KIND) else name


def _unknown(
    name: str, outputs: Sequence[str], numbers: dict[str, str], made: set[str], where: str
) -> UsageError:
    near = nearest(name, [*numbers, *sorted(made)])
    return UsageError(
        f"{where} cannot be cut at {name}: no operator of the network makes this tensor.",
        f"{near} its outputs are {', '.join(outputs)} here; other versions of torch, and of the "
        "packages that the script builds it of, number tensors otherwise".strip(),
    )
