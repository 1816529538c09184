"""What a program promises its user, wherever it keeps things: its golden model says the same.

Compiling writes both in one go. Much of it, scales above all, is computed with nowhere on the chip:
were it not compared, a wrong one would go unnoticed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, fields

from knightlite.container.description import (
    Digest,
    Fault,
    HostOperator,
    IntegerType,
    Positive,
    Scale,
)
from knightlite.container.program import Program
from knightlite.json_records import encode, key, shown, to_json
from knightlite.layouts import Layout


@dataclass(frozen=True, slots=True)
class Seen:
    """A tensor as its reader sees it: value = integer * scale."""

    name: str = key("of the tensor")
    shape: tuple[Positive, ...] = key("1, C, H, W")
    type: IntegerType = key("of the integers")
    scale: Scale | tuple[Scale, ...] = key("what 1 is worth, or a list per channel")


@dataclass(frozen=True, slots=True)
class Tie:
    """A tensor that is, in every frame, what another one was in the frame before."""

    input: str = key("the tensor that is read")
    output: str = key("the one that is made")
    initial: tuple[int, ...] = key("integers before the first frame, one per channel; none: 0")

    def __str__(self) -> str:
        begins = " ".join(map(str, self.initial)) or "0"
        return f"{self.input} begins at {begins} and goes on with {self.output}"


@dataclass(frozen=True, slots=True)
class Interface:
    """What goes in, what comes out, and what the host makes of it."""

    inputs: tuple[str, ...] = key("tensors that the host writes")
    outputs: tuple[str, ...] = key("tensors that the host reads")
    tensors: tuple[Seen, ...] = key("every tensor that the program writes to memory")
    graph_outputs: tuple[str, ...] = key("names of the network's outputs")
    input_layout: Layout = key("layout of raw input files")
    recipe: str | None = key("TOML text that prepares pictures")
    frames: Positive = key("frames that `sim` runs where none are asked for")
    states: tuple[Tie, ...] = key("what stays from one frame to the next")
    host: Digest = key("SHA-256(SHA-256(the host's operators) + SHA-256(their ONNX model))")


@dataclass(frozen=True, slots=True)
class _Share:
    """The host's share, to be hashed."""

    operators: tuple[HostOperator, ...] = key("what runs behind the chip, in order")


def interface(program: Program) -> Interface:
    """What a program's description says of its interface."""
    meta = program.meta
    operators = encode(_Share(meta.host), f"the description of {meta.name}")
    digests = (hashlib.sha256(part).digest() for part in (operators, program.host))
    return Interface(
        inputs=tuple(item.name for item in meta.inputs),
        outputs=tuple(item.name for item in meta.outputs),
        tensors=tuple(Seen(item.name, item.shape, item.type, item.scale) for item in meta.tensors),
        graph_outputs=meta.graph_outputs,
        input_layout=meta.input_layout,
        recipe=meta.recipe,
        frames=meta.usual_frames,
        states=tuple(Tie(item.input.name, item.output.name, item.initial) for item in meta.states),
        host=hashlib.sha256(b"".join(digests)).hexdigest(),
    )


def contradictions(wanted: Interface, found: Interface) -> Iterator[Fault]:
    """(What, what it must be, what it is) of everything that ``found`` says otherwise."""
    for item in fields(Interface):
        one, other = getattr(wanted, item.name), getattr(found, item.name)
        if item.name == "tensors":
            yield from _apart({a.name: a for a in one}, {b.name: b for b in other})
        elif one != other:
            yield item.name, _said(one), _said(other)


def _apart(wanted: dict[str, Seen], found: dict[str, Seen]) -> Iterator[Fault]:
    if tuple(wanted) != tuple(found):
        yield "tensors", _said(tuple(wanted)), _said(tuple(found))
        return
    for name, right in wanted.items():
        for item in fields(Seen):
            one, other = getattr(right, item.name), getattr(found[name], item.name)
            if one != other:
                yield f"{item.name} of {name}", _said(one), _said(other)


def _said(value: object) -> str:
    """A value in a sentence: a list by its items, as long as it is short."""
    return shown(", ".join(map(str, value)) if isinstance(value, tuple) else to_json(value))
