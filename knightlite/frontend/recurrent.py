"""LSTM, GRU and RNN unrolled: one step after the other, in operators that the chip has.

The inputs of all steps go through one 1x1 convolution over tokens [1, I, 1, T]; a step adds its
column of that to a 1x1 convolution of the state:

::

    LSTM  a = W x_t + R h,  i, o, f = sigmoid(a_iof),  c' = f c + i tanh(a_c),  h' = o tanh(c')
          with peepholes P: a_i + P_i c, a_f + P_f c, a_o + P_o c'
    GRU   z, r = sigmoid(W x_t + R h),  n = tanh(W_h x_t + R_h (r h) + ..),  h' = n + z (h - n)
    RNN   h' = tanh(W x_t + R h)

A state of zeros costs nothing. Both directions are walked by themselves. The rewrite is of the
file's nodes: what they become is read as any other network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.errors import UnsupportedError
from knightlite.frontend.importer import Importer
from knightlite.frontend.source import Shape, SourceModel, SourceNode

Array = NDArray[Any]
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
ACTIVATIONS = {
    "LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh"), "RNN": ("Tanh",)
}  # fmt: skip
DIRECTIONS = ("forward", "reverse", "bidirectional")
MOST_STEPS = 1024
MOST_FRAMES = 64  # of a batch, each of which is computed by itself
# parameters of activations, with ONNX's defaults where the file gives none
KNOWN: Mapping[str, Mapping[str, float]] = {
    "Elu": {"alpha": 1.0}, "HardSigmoid": {"alpha": 0.2, "beta": 0.5}, "LeakyRelu": {"alpha": 0.01},
    "Relu": {}, "Sigmoid": {}, "Softplus": {}, "Softsign": {}, "Tanh": {},
    "ThresholdedRelu": {"alpha": 1.0},
}  # fmt: skip


def unrolled(model: SourceModel) -> SourceModel:
    """The model without the recurrent layers of which nothing stands against it."""
    nodes: list[SourceNode] = []
    chosen = [node for node in model.nodes if _is_layer(node) and obstacle(node, model) is None]
    model = replace(model, shapes={**model.shapes, **_own_inputs(chosen, model)})
    for node in model.nodes:
        if node not in chosen:
            nodes.append(node)
            continue
        made = _Maker(node, model)
        made.layer()
        nodes += made.nodes
        model = replace(
            model,
            constants={**model.constants, **made.constants},
            shapes={**model.shapes, **made.shapes},
        )
    return replace(model, nodes=tuple(nodes))


def _is_layer(node: SourceNode) -> bool:
    return node.op_type in GATES and not node.domain


def _own_inputs(layers: Sequence[SourceNode], model: SourceModel) -> dict[str, Shape]:
    """Network inputs that recurrent layers alone read, as [1, ...]: their first axis is no batch.

    Sequences [T, 1, I] become [1, T, 1, I], states [D, 1, H] channels; elements keep their order.
    """
    own = {name for node in layers for name in node.inputs if name in model.inputs}
    own -= {name for node in model.nodes if node not in layers for name in node.inputs}
    own -= {*model.outputs}
    found: dict[str, Shape] = {}
    for name in own:
        shape = model.shapes[name]
        places = {node.inputs.index(name) for node in layers if name in node.inputs}
        if shape[0] != 1:
            found[name] = (1, *shape) if places == {0} else (1, int(np.prod(shape)), 1, 1)
    return found


def refuse(state: Importer, node: SourceNode) -> None:
    """The handler of what was not unrolled."""
    reason = obstacle(node, state.model)
    assert reason is not None, f"{node.name} was not unrolled"
    raise reason


# ------------------------------------------------------------------ what stands against it


def obstacle(node: SourceNode, model: SourceModel) -> UnsupportedError | None:
    """Why a layer cannot be unrolled, or None."""
    who, given = f"{node.op_type} {node.name}", node.attributes
    inputs = (*node.inputs, *[""] * 8)
    shape = model.shapes.get(inputs[0])
    if shape is None or len(shape) != 3:
        return UnsupportedError(
            f"{who} must read a sequence [steps, batch, inputs] of known length, not {shape}.",
            "give the input's shape with -is",
        )
    batch_axis = 0 if given.get("layout", 0) else 1
    steps, batch = shape[1 - batch_axis], shape[batch_axis]
    if not 1 <= steps <= MOST_STEPS:
        return UnsupportedError(
            f"{who} must have 1 to {MOST_STEPS} steps, not {steps}: they are computed one by one.",
            "a shorter sequence, with the state handed from one to the next",
        )
    for place, name in ((1, "weights W"), (2, "weights R"), (3, "a bias")):
        if (place < 3 or inputs[place]) and inputs[place] not in model.constants:
            return UnsupportedError(f"{who} must have constant {name}.")
    lengths = model.constants.get(inputs[4])
    if inputs[4] and (lengths is None or np.any(lengths != steps)):
        said = "computed" if lengths is None else str(int(np.ravel(lengths)[0]))
        return UnsupportedError(
            f"{who} must go through all its {steps} steps, but its sequence length is {said}.",
            "export the model for sequences of one length",
        )
    if node.op_type == "LSTM" and inputs[7] and inputs[7] not in model.constants:
        return UnsupportedError(f"{who} must have constant peepholes P.")
    if node.op_type == "LSTM" and inputs[7] and given.get("clip", 0.0):
        return UnsupportedError(
            f"{who} must have peepholes or a clip, not both: runtimes clip them at other places."
        )
    if (odd := _odd_attribute(node, who)) is not None or batch == 1:
        return odd
    most = "1" if batch <= MOST_FRAMES else f"1 to {MOST_FRAMES}"
    return UnsupportedError(
        f"{who} must read a batch of {most}, not of {batch}.", "export it for one frame"
    )


def _odd_attribute(node: SourceNode, who: str) -> UnsupportedError | None:
    direction = _text(node.attributes.get("direction", "forward"))
    if direction not in DIRECTIONS:
        known = ", ".join(DIRECTIONS)
        return UnsupportedError(f"{who} must have a direction of {known}, not {direction}.")
    count = 2 if direction == "bidirectional" else 1
    names = _activation_names(node)
    wanted = count * len(ACTIVATIONS[node.op_type])
    if len(names) != wanted:
        return UnsupportedError(f"{who} must have {wanted} activations, not {len(names)}.")
    for name in names:
        if name not in KNOWN:
            return UnsupportedError(
                f"{who} must have activations of {', '.join(KNOWN)}, not {name}."
            )
    return None


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _activation_names(node: SourceNode) -> list[str]:
    """In their usual spelling; the defaults once for each direction."""
    spelled = {name.lower(): name for name in KNOWN}
    given = [_text(name) for name in node.attributes.get("activations", ())]
    if not given:
        both = _text(node.attributes.get("direction", "forward")) == "bidirectional"
        return list(ACTIVATIONS[node.op_type]) * (2 if both else 1)
    return [spelled.get(name.lower(), name) for name in given]


# ------------------------------------------------------------------ the nodes


@dataclass(slots=True)
class _Maker:
    """Collects the nodes of one layer, every value of which is [1, C, 1, T] or [1, C, 1, 1]."""

    node: SourceNode
    model: SourceModel
    nodes: list[SourceNode] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)
    shapes: dict[str, Shape] = field(default_factory=dict)
    zeros: frozenset[str] = frozenset()

    def op(
        self, kind: str, inputs: Sequence[str], shape: Shape, output: str = "", /, **attributes: Any
    ) -> str:
        """Append a node; its value's name."""
        name = f"{self.node.name}/step/{len(self.nodes)}"
        output = output or f"{self.node.outputs[0] or self.node.name}/step/{len(self.nodes)}"
        made = SourceNode(name, kind, "", tuple(inputs), (output,), attributes)
        self.nodes.append(made)
        self.shapes[output] = shape
        return output

    def constant(self, hint: str, values: Array) -> str:
        """A constant, one for all who ask with this hint."""
        name = f"{self.node.name}/{hint}"
        self.constants[name] = values
        return name

    def reshaped(self, value: str, shape: Shape, output: str = "") -> str:
        """The same elements in another shape."""
        target = self.constant(f"shape {shape}", np.asarray(shape, np.int64))
        return self.op("Reshape", [value, target], shape, output)

    def shape(self, value: str) -> Shape:
        """Of a value of the model or of this layer."""
        return self.shapes[value] if value in self.shapes else self.model.shapes[value]

    def cut(self, value: str, axis: int, first: int, last: int) -> str:
        """Elements [first, last) along an axis."""
        numbers = [
            self.constant(f"number {number}", np.asarray([number], np.int64))
            for number in (first, last, axis)
        ]
        shape = list(self.shape(value))
        shape[axis] = last - first
        return self.op("Slice", [value, *numbers], tuple(shape))

    def binary(self, kind: str, a: str, b: str) -> str:
        """Add, Sub or Mul of states or of a state and a constant."""
        shape = self.shape(a) if a in self.shapes else self.shape(b)
        return self.op(kind, [a, b], shape)

    def dense(self, value: str, hint: str, matrix: Array, bias: Array | None = None) -> str:
        """A 1x1 convolution."""
        names = [value, self.constant(f"{hint}.weight", _four(matrix))]
        if bias is not None and np.any(bias):
            names.append(self.constant(f"{hint}.bias", bias.astype(np.float32)))
        shape = self.shape(value)
        made = (1, matrix.shape[0], *shape[2:])
        return self.op("Conv", names, made, kernel_shape=[1, 1])

    # -------------------------------------------------------------- the layer

    def layer(self) -> None:
        """Both directions, and the outputs in the file's shapes."""
        node, given = self.node, self.node.attributes
        batch_first = bool(given.get("layout", 0))
        steps, inputs = self._sizes(batch_first)
        shape = self.model.shapes[node.inputs[0]]
        order = (0, 3, 2, 1) if len(shape) == 4 else (0, 2, 1) if batch_first else (1, 2, 0)
        turned = tuple(shape[axis] for axis in order)
        tokens = self.op("Transpose", [node.inputs[0]], turned, perm=list(order))
        if len(shape) == 3:
            tokens = self.reshaped(tokens, (1, inputs, 1, steps))
        direction = _text(given.get("direction", "forward"))
        backwards = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}
        found = [
            self._direction(tokens, steps, number, back, batch_first)
            for number, back in enumerate(backwards[direction])
        ]
        self._outputs([item[0] for item in found], [item[1] for item in found],
                      [item[2] for item in found], steps, batch_first)  # fmt: skip

    def _sizes(self, batch_first: bool) -> tuple[int, int]:
        shape = self.model.shapes[self.node.inputs[0]][-3:]
        return shape[1 if batch_first else 0], shape[2]

    def _outputs(
        self, rows: Sequence[str], last: Sequence[str], cells: Sequence[str], steps: int,
        batch_first: bool,
    ) -> None:  # fmt: skip
        """Y [T, D, 1, H], and the last states [D, 1, H]; with the batch in front: [1, T, D, H]."""
        names = (*self.node.outputs, "", "", "")[:3]
        count, hidden = len(rows), self.shape(last[0])[1]
        if names[0]:
            tokens = self._joined(rows, 1)
            parts = self.reshaped(tokens, (1, count, hidden, steps))
            order = (0, 3, 1, 2) if batch_first else (3, 1, 0, 2)
            shape = [(1, count, hidden, steps)[axis] for axis in order]
            self.op("Transpose", [parts], tuple(shape), names[0], perm=list(order))
        for name, states in ((names[1], last), (names[2], cells)):
            if name:
                state = self._joined(states, 1)
                shape = [1, count, hidden] if batch_first else [count, 1, hidden]
                self.reshaped(state, tuple(shape), name)

    def _joined(self, values: Sequence[str], axis: int) -> str:
        if len(values) == 1:
            return values[0]
        shape = list(self.shape(values[0]))
        shape[axis] = sum(self.shape(value)[axis] for value in values)
        return self.op("Concat", values, tuple(shape), axis=axis)

    def _direction(
        self, tokens: str, steps: int, number: int, backwards: bool, batch_first: bool
    ) -> tuple[str, str, str]:
        """One direction: its states as [1, H, 1, T], the last one, and the last cell state."""
        hidden = self.model.constants[self.node.inputs[2]].shape[2]
        cell = self._cell(number, hidden)
        columns = cell.project(tokens)
        h = self._initial(5, number, hidden, batch_first)
        c = self._initial(6, number, hidden, batch_first) if self.node.op_type == "LSTM" else None
        found: dict[int, str] = {}
        for step in reversed(range(steps)) if backwards else range(steps):
            x = [self.cut(column, 3, step, step + 1) if steps > 1 else column for column in columns]
            h, c = cell.step(x, h, c)
            found[step] = h
        assert h is not None
        rows = self._joined([found[step] for step in range(steps)], 3)
        return rows, h, c or ""

    def _initial(self, place: int, number: int, hidden: int, batch_first: bool) -> str | None:
        """The state before the first step as [1, H, 1, 1]; None where it is 0."""
        name = (*self.node.inputs, *[""] * 8)[place]
        if not name:
            return None
        values = self.model.constants.get(name)
        axis = 1 if batch_first else 0
        if values is None:
            channels = int(np.prod(self.model.shapes[name]))
            state = self.reshaped(name, (1, channels, 1, 1))
            return self.cut(state, 1, number * hidden, (number + 1) * hidden)
        chosen = np.take(values, number, axis).reshape(1, hidden, 1, 1).astype(np.float32)
        return self.constant(f"initial{place}.{number}", chosen) if np.any(chosen) else None

    def _cell(self, number: int, hidden: int) -> _Cell:
        """What a direction multiplies by, and its activations."""
        node, constants = self.node, self.model.constants
        w, r = (constants[name][number].astype(np.float32) for name in node.inputs[1:3])
        gates = GATES[node.op_type]
        bias = np.zeros(2 * gates * hidden, np.float32)
        if len(node.inputs) > 3 and node.inputs[3]:
            bias = constants[node.inputs[3]][number].astype(np.float32)
        each = len(ACTIVATIONS[node.op_type])
        names = _activation_names(node)
        before = names[: number * each]
        tables = _Tables(node, names[number * each : (number + 1) * each], before)
        kind = {"LSTM": _Lstm, "GRU": _Gru, "RNN": _Rnn}[node.op_type]
        halves = np.split(bias, 2)
        return kind(self, number, hidden, w, r, halves[0], halves[1], tables)


def _four(matrix: Array) -> Array:
    return np.ascontiguousarray(matrix[:, :, None, None], np.float32)


class _Tables:
    """The activations of a direction, with their parameters."""

    def __init__(self, node: SourceNode, names: Sequence[str], before: Sequence[str]) -> None:
        self.clip = float(node.attributes.get("clip", 0.0))
        self.chosen: list[tuple[str, dict[str, float]]] = []
        given = {
            key: [float(item) for item in node.attributes.get(f"activation_{key}", ())]
            for key in ("alpha", "beta")
        }
        for name in before:  # every activation takes the parameters that it has
            for key in KNOWN[name]:
                given[key] = given[key][1:]
        for name in names:
            values = {}
            for key, default in KNOWN[name].items():
                values[key] = given[key].pop(0) if given[key] else default
            self.chosen.append((name, values))


@dataclass(slots=True)
class _Cell:
    """A direction's weights [G*H, I] and [G*H, H], both halves of the bias, its activations."""

    maker: _Maker
    number: int
    hidden: int
    w: Array
    r: Array
    w_bias: Array
    r_bias: Array
    tables: _Tables

    def project(self, tokens: str) -> list[str]:
        """What all steps' inputs give."""
        return [self.maker.dense(tokens, f"input{self.number}", self.w, self.w_bias + self.r_bias)]

    def step(self, x: Sequence[str], h: str | None, c: str | None) -> tuple[str, str | None]:
        """The states after a step."""
        raise NotImplementedError

    def gates(self, x: str, h: str | None, rows: slice, hint: str) -> str:
        """x plus the rows of R times h."""
        maker, matrix = self.maker, self.r[rows]
        if h is None:
            return x
        if h in maker.constants:
            fixed = (matrix @ maker.constants[h].reshape(-1)).reshape(1, -1, 1, 1)
            return maker.binary("Add", x, maker.constant(f"first.{hint}{self.number}", fixed))
        return maker.binary("Add", maker.dense(h, f"{hint}{self.number}", matrix), x)

    def activated(self, value: str, which: int) -> str:
        """Clipped, then through an activation."""
        maker, (name, values) = self.maker, self.tables.chosen[which]
        shape = maker.shape(value)
        if self.tables.clip > 0:
            bounds = [
                maker.constant(f"{end}.clip", np.asarray(sign * self.tables.clip, np.float32))
                for end, sign in (("low", -1), ("high", 1))
            ]
            value = maker.op("Clip", [value, *bounds], shape)
        return maker.op(name, [value], shape, "", **values)

    def part(self, value: str, first: int, count: int = 1) -> str:
        """Some gates' channels of a value."""
        return self.maker.cut(value, 1, first * self.hidden, (first + count) * self.hidden)


class _Lstm(_Cell):
    """Gates i, o, f, c; through peepholes i and f see the cell state before, o the one behind."""

    __slots__ = ()

    def step(self, x: Sequence[str], h: str | None, c: str | None) -> tuple[str, str | None]:
        maker = self.maker
        sums = self.gates(x[0], h, slice(None), "state")
        if self._peepholes() is not None:
            return self._peeping(sums, c)
        if maker.node.attributes.get("input_forget", 0):
            both = self.activated(self.part(sums, 0, 2), 0)
            i, o = self.part(both, 0), self.part(both, 1)
            one = maker.constant("one", np.ones((1, 1, 1, 1), np.float32))
            f = maker.binary("Sub", one, i) if c is not None else ""
        else:
            three = self.activated(self.part(sums, 0, 3), 0)
            i, o, f = (self.part(three, gate) for gate in range(3))
        new = maker.binary("Mul", i, self.activated(self.part(sums, 3), 1))
        cell = new if c is None else maker.binary("Add", maker.binary("Mul", f, c), new)
        return maker.binary("Mul", o, self.activated(cell, 2)), cell

    def _peepholes(self) -> Array | None:
        """[3, H] of this direction, for i, o and f."""
        maker = self.maker
        name = (*maker.node.inputs, *[""] * 8)[7]
        values = maker.model.constants[name][self.number] if name else np.zeros(1)
        return values.reshape(3, -1).astype(np.float32) if np.any(values) else None

    def _peep(self, value: str, c: str | None, gate: int) -> str:
        """A gate's sum with what it sees of the cell state."""
        maker, weights = self.maker, self._peepholes()
        if c is None or weights is None:
            return value
        factor = weights[gate].reshape(1, -1, 1, 1)
        if c in maker.constants:
            hint = f"peep{gate}.first{self.number}"
            return maker.binary("Add", value, maker.constant(hint, factor * maker.constants[c]))
        seen = maker.binary("Mul", c, maker.constant(f"peep{gate}.{self.number}", factor))
        return maker.binary("Add", value, seen)

    def _peeping(self, sums: str, c: str | None) -> tuple[str, str | None]:
        """The states after a step whose gates see the cell state."""
        maker = self.maker
        i = self.activated(self._peep(self.part(sums, 0), c, 0), 0)
        new = maker.binary("Mul", i, self.activated(self.part(sums, 3), 1))
        cell = new
        if c is not None:
            if maker.node.attributes.get("input_forget", 0):
                one = maker.constant("one", np.ones((1, 1, 1, 1), np.float32))
                f = maker.binary("Sub", one, i)
            else:
                f = self.activated(self._peep(self.part(sums, 2), c, 2), 0)
            cell = maker.binary("Add", maker.binary("Mul", f, c), new)
        o = self.activated(self._peep(self.part(sums, 1), cell, 1), 0)
        return maker.binary("Mul", o, self.activated(cell, 2)), cell


class _Gru(_Cell):
    """Gates z, r, h."""

    __slots__ = ()

    @property
    def _linear(self) -> bool:
        """The reset gate stands behind the product with R, not in front of it."""
        return bool(self.maker.node.attributes.get("linear_before_reset", 0))

    def project(self, tokens: str) -> list[str]:
        last = slice(2 * self.hidden, None)
        bias = self.w_bias + self.r_bias
        if self._linear:
            bias[last] = self.w_bias[last]
        return [self.maker.dense(tokens, f"input{self.number}", self.w, bias)]

    def step(self, x: Sequence[str], h: str | None, c: str | None) -> tuple[str, str | None]:
        maker, hidden = self.maker, self.hidden
        both = self.activated(
            self.gates(self.part(x[0], 0, 2), h, slice(0, 2 * hidden), "gates"), 0
        )
        z = self.part(both, 0)
        new = self.activated(self._candidate(self.part(x[0], 2), h, both), 1)
        if h is None:
            return maker.binary("Sub", new, maker.binary("Mul", z, new)), None
        less = maker.binary("Sub", h, new)
        return maker.binary("Add", new, maker.binary("Mul", z, less)), None

    def _candidate(self, x: str, h: str | None, both: str) -> str:
        """What the state may become, before its activation."""
        maker, rows = self.maker, slice(2 * self.hidden, None)
        bias = self.r_bias[rows]
        if not self._linear:
            reset = None if h is None else maker.binary("Mul", self.part(both, 1), h)
            return self.gates(x, reset, rows, "reset")
        r = self.part(both, 1)
        if h is None:
            if not np.any(bias):
                return x
            inner = maker.constant(f"bias{self.number}", bias.reshape(1, -1, 1, 1))
        elif h in maker.constants:
            fixed = self.r[rows] @ maker.constants[h].reshape(-1) + bias
            inner = maker.constant(f"first.reset{self.number}", fixed.reshape(1, -1, 1, 1))
        else:
            inner = maker.dense(h, f"reset{self.number}", self.r[rows], bias)
        return maker.binary("Add", maker.binary("Mul", r, inner), x)


class _Rnn(_Cell):
    """One gate."""

    __slots__ = ()

    def step(self, x: Sequence[str], h: str | None, c: str | None) -> tuple[str, str | None]:
        return self.activated(self.gates(x[0], h, slice(None), "state"), 0), None
