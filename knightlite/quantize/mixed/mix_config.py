"""Mixed widths by hand: the JSON of ``-gt`` and ``-mc``, which is Knight's.

A list of entries ``{"op_names": [...], "op_types": [...], "bitwidth": 8 or 16, "mode": method}``.
An operator of 16 bits computes in them: its inputs have 16 bits, and its weights. What it writes is
as wide as its readers want it. A name counts before a type; of two entries, the later one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from knightlite.errors import Finding, UsageError, findings_error, suggestion
from knightlite.ir import Graph, Node
from knightlite.ops import BY_NAME
from knightlite.quantize.groups import scale_groups
from knightlite.quantize.ranges.methods import METHODS
from knightlite.quantize.scales.widths import whole_groups
from knightlite.quantize.settings import Widths
from knightlite.reading import json_value

KEYS = ("op_names", "op_types", "bitwidth", "mode")
BIT_WIDTHS = (8, 16)
NOT_MIXABLE = ("Abs",)


@dataclass(frozen=True, slots=True)
class MixEntry:
    """Operators by name or type, and what they get; None where the entry does not say."""

    op_names: tuple[str, ...]
    op_types: tuple[str, ...]
    bitwidth: int | None
    mode: str | None


@dataclass(frozen=True, slots=True)
class Mix:
    """Widths, and the range method of single tensors."""

    widths: Widths
    methods: Mapping[str, str]


def template(graph: Graph, method: str) -> str:
    """The JSON text that changes nothing: an entry per operator type, with all names of it."""
    names: dict[str, list[str]] = {}
    for node in graph.nodes:
        names.setdefault(shown_type(node), []).append(node.name)
    entries = [
        {"op_names": found, "op_types": [], "bitwidth": 8, "mode": method}
        for _, found in sorted(names.items())
    ]
    return json.dumps(entries, indent=1) + "\n"


def read_mix(text: str, where: str, graph: Graph) -> Mix:
    """Widths and methods of a mix configuration; UsageError with everything that is wrong."""
    try:
        content = json_value(text)
    except json.JSONDecodeError as error:
        raise UsageError(
            f"{where} must be JSON, but line {error.lineno} is not: {error.msg}.",
            "write a template with -gt and change that",
        ) from error
    except ValueError as error:
        raise UsageError(
            f"{where} must be JSON of entries: {error}.",
            "write a template with -gt and change that",
        ) from error
    findings: list[Finding] = []
    entries = list(_entries(content, where, findings))
    chosen = _resolve(graph, entries, where, findings)
    mix = _mix(graph, chosen)
    findings += _rules(graph, chosen, mix.widths, where)
    if findings:
        more = f" ({len(findings)} findings in all)" if len(findings) > 1 else ""
        raise findings_error(
            UsageError,
            f"{findings[0].where}: {findings[0].sentence}{more}",
            findings,
            findings[0].hint or "write a template with -gt and change that",
        )
    return mix


def shown_type(node: Node) -> str:
    """The operator type that a user knows: a table is called like its function."""
    return BY_NAME[node.op].names_of(node)[0]


def types_of(node: Node) -> set[str]:
    """All operator types that mean this node: ours, ONNX's, and the steps of an expression."""
    return set(BY_NAME[node.op].names_of(node))


# ------------------------------------------------------------------ reading


def _entries(content: Any, where: str, findings: list[Finding]) -> Iterator[MixEntry]:
    if not isinstance(content, list):
        text = f"it must hold a list of entries, not {_kind(content)}."
        findings.append(Finding(where, text))
        return
    for index, item in enumerate(content, start=1):
        place = f"{where} entry {index}"
        if not isinstance(item, dict):
            findings.append(Finding(place, f"it must be an object, not {_kind(item)}."))
            continue
        wrong = list(_wrong(item))
        if wrong:
            findings += [Finding(place, text) for text in wrong]
            continue
        yield MixEntry(
            tuple(item.get("op_names", ())),
            tuple(item.get("op_types", ())),
            item.get("bitwidth"),
            item.get("mode"),
        )


def _wrong(item: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with one entry, in sentences."""
    for key in sorted(set(item) - set(KEYS)):
        yield f"{key} must be one of {', '.join(KEYS)}."
    for key in ("op_names", "op_types"):
        value = item.get(key, [])
        if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
            yield f"{key} must be a list of texts, not {value!r}."
    if item.get("bitwidth") not in (None, *BIT_WIDTHS):
        yield f"bitwidth must be 8 or 16, not {item['bitwidth']!r}."
    if item.get("mode") not in (None, *METHODS):
        yield f"mode must be one of {', '.join(sorted(METHODS))}, not {item['mode']!r}."


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", type(None): "null"}
    return names.get(type(value), "a number")


def _resolve(
    graph: Graph, entries: Sequence[MixEntry], where: str, findings: list[Finding]
) -> dict[str, MixEntry]:
    """Node name -> its entry; types first, names over them."""
    by_name = {key: node.name for node in graph.nodes for key in (node.output, node.name)}
    chosen: dict[str, MixEntry] = {}
    for entry in entries:
        for kind in entry.op_types:
            found = [node.name for node in graph.nodes if kind in types_of(node)]
            if not found:
                known = sorted({shown_type(node) for node in graph.nodes})
                text = f"the network has no operator of type {kind}."
                findings.append(Finding(where, text, suggestion(kind, known)))
            chosen |= dict.fromkeys(found, entry)
    for entry in entries:
        for name in entry.op_names:
            if name in by_name:
                chosen[by_name[name]] = entry
                continue
            hint = suggestion(name, by_name, "-gt writes all names")
            text = (
                f"the network has no operator {name}; it may have become part of another one "
                "(BatchNormalization of its convolution)."
            )
            findings.append(Finding(where, text, hint))
    return chosen


def _mix(graph: Graph, chosen: Mapping[str, MixEntry]) -> Mix:
    wide: set[str] = set()
    kernels: set[str] = set()
    methods: dict[str, str] = {}
    for node in graph.nodes:
        entry = chosen.get(node.name)
        if entry is None:
            continue
        read = [name for name in node.inputs if name not in graph.constants]
        if entry.bitwidth == 16:
            wide.update(read)
            if BY_NAME[node.op].kernel is not None:
                kernels.add(node.name)
        if entry.mode is not None:
            methods |= dict.fromkeys(read, entry.mode)
    return Mix(whole_groups(graph, Widths(frozenset(wide), frozenset(kernels))), methods)


# ------------------------------------------------------------------ rules


def _rules(
    graph: Graph, chosen: Mapping[str, MixEntry], widths: Widths, where: str
) -> Iterator[Finding]:
    """What Knight forbids, and one group with two methods."""
    narrow = [name for name in graph.inputs if name not in widths.wide]
    if narrow and len(narrow) < len(graph.inputs):
        wide = ", ".join(name for name in graph.inputs if name in widths.wide)
        yield Finding(
            where,
            f"all inputs of the network must have one width, but {wide} has 16 bits and "
            f"{', '.join(narrow)} has 8.",
            "give the operators that read them one bitwidth",
        )
    for node in graph.nodes:
        entry = chosen.get(node.name)
        if (
            entry is not None
            and entry.bitwidth == 16
            and not types_of(node).isdisjoint(NOT_MIXABLE)
        ):
            yield Finding(node.name, "Abs must keep 8 bits in a mixed network.", "leave it out")
    for group in scale_groups(graph):
        modes = {
            entry.mode
            for node in graph.nodes
            if (entry := chosen.get(node.name)) is not None
            and entry.mode is not None
            and not set(group.members).isdisjoint(node.inputs)
        }
        if len(modes) > 1:
            yield Finding(
                where,
                f"the tensors {', '.join(group.members[:3])} share one scale, but their readers "
                f"have modes {', '.join(sorted(modes))}.",
                "give them one mode",
            )
