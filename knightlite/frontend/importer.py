"""The state of one walk over a model: what every ONNX value has become so far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from knightlite.errors import Finding
from knightlite.frontend.factors import Factors
from knightlite.frontend.source import Shape, SourceModel, SourceNode
from knightlite.frontend.tail import Tail
from knightlite.frontend.undoing import Log, LoggedDict, LoggedList, bring_back
from knightlite.ir import GraphBuilder, HostOp, Node

Pads = tuple[int, int, int, int]  # top, left, bottom, right
IN_ORDER = (0, 1, 2, 3)


class Turned(NamedTuple):
    """A Transpose: the shape its axes belong to, and their order."""

    split: Shape
    order: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Value:
    """What an ONNX value is: a canonical tensor seen in the ONNX shape of that value.

    ``pads``: zeros that a Pad put around it and that a reader may take over. ``turned``: it is
    transposed, and waits for the Reshape that tells what becomes of it. ``order``: the canonical
    axes in the order in which the file has them (axis_orders). ``factors``: what is no order of
    whole axes, of any rank (any_layout). ``on_host``: it is computed
    after the chip, so that only host operations may read it. ``stands_in``: it follows an
    unsupported node and only has the right shape, so that the rest of the network is checked too.
    """

    tensor: str
    pads: Pads | None = None
    turned: Turned | None = None
    on_host: bool = False
    stands_in: bool = False
    order: tuple[int, ...] = IN_ORDER
    factors: Factors | None = None


class Importer:
    """Fills a builder from a source model; the handlers in the neighbouring files work on it."""

    def __init__(
        self,
        model: SourceModel,
        general: bool = False,
        hosting: bool = True,
        any_rank: bool = False,
    ) -> None:
        self.model = model
        self.any_rank = any_rank
        self.tail = Tail(model, general, hosting)
        self._log: Log = []
        nodes: LoggedList[Node] = LoggedList(self._log)
        host: LoggedList[HostOp] = LoggedList(self._log)
        self.builder = builder = GraphBuilder(model.name)
        builder.nodes, builder.host = nodes, host
        builder.tensors, builder.constants = LoggedDict(self._log), LoggedDict(self._log)
        builder.trained = LoggedDict(self._log)
        # None: its shape is not known, said already
        self.values: dict[str, Value | None] = LoggedDict(self._log)
        self._lists = nodes, host
        self.findings: list[Finding] = []
        self.kept_off: dict[str, str] = {}  # of the host's operators: why the chip refused them
        self.typed_by_host: set[str] = set()  # nodes of the chip whose results the host casts
        self.unseen: set[str] = set()  # nodes that read a value of unknown shape
        self.blamed: dict[str, set[str]] = {}  # failed node -> those whose results it cannot read
        self.outputs: tuple[str, ...] = ()
        self._readers: dict[str, set[str]] = {name: {"output"} for name in model.outputs}
        for node in model.nodes:
            for name in node.inputs:
                self._readers.setdefault(name, set()).add(node.op_type)

    def mark(self) -> Callable[[], None]:
        """What brings the walk back to where it is now, as often as it is called."""
        model, count = self.model, len(self._log)
        lengths = [(items, len(items)) for items in self._lists]

        def undo() -> None:
            bring_back(self._log, count, lengths)
            self.model = model

        return undo

    @property
    def failed(self) -> bool:
        """True where an error was found."""
        return any(item.severity == "error" for item in self.findings)

    def is_read(self, name: str) -> bool:
        """True where a node or the network's user reads the ONNX value ``name``."""
        return name in self._readers

    def readers(self, name: str) -> set[str]:
        """The operators that read the ONNX value ``name``; "output" for the network's user."""
        return self._readers.get(name, set())

    def features(self, node: SourceNode) -> list[str]:
        """The inputs of ``node`` that are present and not constant."""
        return [name for name in node.inputs if name and name not in self.model.constants]

    def value(self, name: str) -> Value:
        """The value of an input that the dispatch has checked."""
        value = self.values[name]
        assert value is not None
        return value

    def seen(self, name: str) -> Shape:
        """The shape of an ONNX value in the file."""
        return self.model.shapes[name]

    def shape(self, name: str) -> Shape:
        """Canonical shape of the tensor behind an ONNX value."""
        return self.builder.tensors[self.value(name).tensor].shape

    def padded_shape(self, name: str) -> Shape:
        """Canonical shape with the zeros of a waiting Pad around it."""
        batch, channels, height, width = self.shape(name)
        top, left, bottom, right = self.value(name).pads or (0, 0, 0, 0)
        return (batch, channels, height + top + bottom, width + left + right)

    def plain(self, name: str) -> bool:
        """True where the ONNX shape is the canonical one, or [1, C] of [1, C, 1, 1]."""
        seen, canonical = self.seen(name), self.shape(name)
        return seen == canonical or (len(seen) == 2 and canonical == (*seen, 1, 1))

    def by_channel(self, name: str) -> bool:
        """True where axis 1 of the ONNX shape is the canonical channel axis."""
        seen = self.seen(name)
        return len(seen) > 1 and seen[:2] == self.shape(name)[:2]

    def declare(self, name: str, shape: Shape) -> None:
        """Describe feature tensor ``name`` with its quantization where the file has one."""
        quantized = self.model.quantized.get(name)
        if quantized is None:
            self.builder.tensor(name, shape)
        else:
            self.builder.tensor(name, shape, quantized.dtype, quantized.scale)

    def stand_in(self, name: str) -> Value | None:
        """A value of the right shape for what an unsupported node would have computed."""
        shape = self.model.shapes.get(name)
        if shape is None or (len(shape) in (2, 4) and shape[0] != 1):
            return None  # a wrong batch is one finding, not one at every node
        canonical: Shape = (1, int(np.prod(shape)), 1, 1)
        if len(shape) in (2, 4):
            canonical = (*shape, 1, 1)[:4]
        elif len(shape) == 3 and shape[0] == 1:
            canonical = (*shape[:2], 1, shape[2])
        return Value(self.builder.tensor(name, canonical), stands_in=True)

    def rename(self, old: str, new: str) -> None:
        """Rename a feature tensor everywhere."""
        builder = self.builder
        builder.tensors[new] = replace(builder.tensors.pop(old), name=new)

        def swap(names: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(new if name == old else name for name in names)

        builder.nodes[:] = [
            replace(
                node,
                name=new if node.name == old else node.name,
                inputs=swap(node.inputs),
                outputs=swap(node.outputs),
            )
            for node in builder.nodes
        ]
        builder.host[:] = [replace(op, inputs=swap(op.inputs)) for op in builder.host]
        if old in builder.trained:
            builder.trained[new] = builder.trained.pop(old)
        for key, value in self.values.items():
            if value is not None and value.tensor == old:
                self.values[key] = replace(value, tensor=new)
