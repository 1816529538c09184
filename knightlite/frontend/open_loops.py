"""A network whose recurrent layers walk through a sequence, as one step of them.

::

    y_1 .. y_T = network(x_1 .. x_T)   =>   y_t, h_t = step(x_t, h_(t-1)),  h_0 as the model has it

The states h (and c of an LSTM) become inputs and outputs that are tied: what one step leaves, the
next one reads. Everything beside the loops has to act on each step by itself. A file does not say
so; therefore both networks are run on the same random numbers: step by step they must give what
the whole sequence gives, or what its last step does.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.errors import KnightliteError, UnsupportedError
from knightlite.frontend.frame_by_frame import random_feeds
from knightlite.frontend.recurrent import GATES, obstacle, unrolled
from knightlite.frontend.source import Shape, SourceModel, SourceNode
from knightlite.frontend.source_onnx import write_source
from knightlite.ir import State

Array = NDArray[Any]
Read = Callable[[bytes, Mapping[str, Shape]], SourceModel]
Sequenced = Mapping[str, tuple[Shape, int]]
H_IN, C_IN, LENGTHS = 5, 6, 4  # operands of the layers
H_OUT, C_OUT = 1, 2
SIZES = {"Reshape": 1, "Expand": 1}  # which operand names the sizes of the output
PICKS = ("Gather", "Slice", "Split")  # may take one step, the last
MOST_WAYS = 32  # of axes that may be that of the steps
ALIKE = 1e-4  # of the largest value: what another order of sums leaves
FIXED = "compile it for sequences of one length: leave --unfixloop out"


def opened(model: SourceModel, read: Read, data: bytes) -> SourceModel:
    """One step of ``model``. ``read``: a file's bytes with other shapes of its inputs.

    ``data``: the bytes that ``model`` was read from. UnsupportedError, in one sentence, where its
    loops cannot be opened.
    """
    layers = [node for node in model.nodes if _is_layer(node)]
    steps = _steps(model, layers)
    refusal = None
    for single, sequences in _ways(model, layers, steps, read, data):
        made = _with_states(single, model)
        made = replace(made, outputs=(*model.outputs, *(item.output for item in made.states)))
        try:
            refusal = _mixing(model, made, sequences, steps)
        except KnightliteError:  # it does not run: sizes in the file are those of all steps
            continue
        if refusal is None:
            along = {
                name: (model.shapes[name], axis)
                for name in model.outputs
                if (axis := _axis(model.shapes[name], made.shapes[name], steps)) is not None
            }
            return replace(made, sequences={**sequences, **along}, warnings=model.warnings)
    raise refusal or _joining(model, layers, steps)


def _is_layer(node: SourceNode) -> bool:
    return node.op_type in GATES and not node.domain


def _steps(model: SourceModel, layers: Sequence[SourceNode]) -> int:
    """How many steps all loops have; UnsupportedError for what cannot be opened at all."""
    if not layers:
        raise UnsupportedError(
            f"{model.name} has no LSTM, GRU or RNN: there is no loop to open.",
            "leave --unfixloop out",
        )
    for node in layers:
        if (reason := obstacle(node, model)) is not None:
            raise reason
        direction = node.attributes.get("direction", "forward")
        direction = direction.decode() if isinstance(direction, bytes) else str(direction)
        if direction != "forward":
            raise UnsupportedError(
                f"{node.op_type} {node.name} must be forward for its loop to be open, not "
                f"{direction}: it begins at the end, which has not come yet.",
                FIXED,
            )
        for place in (H_IN, C_IN)[: 2 if node.op_type == "LSTM" else 1]:
            name = (*node.inputs, *[""] * 8)[place]
            if name and name not in model.constants:
                raise UnsupportedError(
                    f"{node.op_type} {node.name} must begin at constants for its loop to be open, "
                    f"not at the values of {name}.",
                    "export it without initial states; or a model of one step, whose states are "
                    "inputs and outputs, without --unfixloop",
                )
    counts = {_length(model, node) for node in layers}
    if len(counts) > 1 or counts == {1}:
        listed = ", ".join(map(str, sorted(counts)))
        raise UnsupportedError(
            f"the loops of {model.name} must all have one number of steps, at least 2, to be "
            f"calibrated on, not {listed}.",
            "-is gives the input's shape, with the steps of your sequences"
            if counts == {1}
            else FIXED,
        )
    return counts.pop()


def _length(model: SourceModel, node: SourceNode) -> int:
    return model.shapes[node.inputs[0]][1 if node.attributes.get("layout", 0) else 0]


# ------------------------------------------------------------------ the network of one step


def _ways(
    model: SourceModel, layers: Sequence[SourceNode], steps: int, read: Read, data: bytes
) -> Iterator[tuple[SourceModel, Sequenced]]:
    """Networks in which the loops have one step, and where the inputs have their steps."""
    shapes = {name: model.shapes[name] for name in model.inputs if name in model.shapes}
    axes = [
        [None, *(axis for axis, size in enumerate(shape) if size == steps)]
        if name in model.read_inputs
        else [None]
        for name, shape in shapes.items()
    ]
    sources = (data, _of_one_step(model, steps))
    chosen = itertools.islice(itertools.product(*axes), 1, MOST_WAYS)
    for ways, source in itertools.product([*chosen], sources):
        sequences = {
            name: (shape, axis)
            for (name, shape), axis in zip(shapes.items(), ways, strict=True)
            if axis is not None
        }
        asked = {
            name: shape if name not in sequences else _cut(shape, sequences[name][1])
            for name, shape in shapes.items()
        }
        try:
            single = read(source, asked)
        except KnightliteError:  # sizes that are written into the file
            continue
        known = {node.name: node for node in single.nodes if _is_layer(node)}
        found = [known.get(node.name) for node in layers]
        whole = all(name in single.shapes for name in model.outputs)
        if whole and all(
            node is not None and node.inputs[0] in single.shapes and _length(single, node) == 1
            for node in found
        ):
            yield single, sequences


def _cut(shape: Shape, axis: int) -> Shape:
    return (*shape[:axis], 1, *shape[axis + 1 :])


def _of_one_step(model: SourceModel, steps: int) -> bytes:
    """The model as a file whose Reshapes and Expands name 1 step where they name ``steps``."""
    constants, nodes = dict(model.constants), []
    for node in model.nodes:
        place = SIZES.get(node.op_type, len(node.inputs))
        sizes = constants.get(node.inputs[place]) if place < len(node.inputs) else None
        if sizes is not None and steps in model.shapes.get(node.inputs[0], ()):
            name = f"{node.inputs[place]}/{node.outputs[0]}"
            constants[name] = np.where(sizes == steps, 1, sizes)
            inputs = [name if at == place else item for at, item in enumerate(node.inputs)]
            node = replace(node, inputs=tuple(inputs))
        nodes.append(node)
    written = replace(model, nodes=tuple(nodes), constants=constants)
    made: bytes = write_source(written).SerializeToString(deterministic=True)
    return made


def _with_states(single: SourceModel, model: SourceModel) -> SourceModel:
    """The network of one step whose layers read states and deliver them."""
    nodes: list[SourceNode] = []
    states: list[State] = []
    shapes, types, constants = dict(single.shapes), dict(single.types), dict(single.constants)
    taken = {*shapes, *constants, *model.shapes}

    def own(name: str) -> str:
        while name in taken:
            name += "'"
        taken.add(name)
        return name

    for node in single.nodes:
        if not _is_layer(node):
            nodes.append(node)
            continue
        hidden = constants[node.inputs[2]].shape[2]
        inputs, outputs = list((*node.inputs, *[""] * 8)[:8]), list((*node.outputs, "", "")[:3])
        inputs[LENGTHS] = ""
        behind: list[SourceNode] = []
        pairs = ((H_IN, H_OUT, "h"), (C_IN, C_OUT, "c"))
        for place, made, letter in pairs[: 2 if node.op_type == "LSTM" else 1]:
            given = constants.get(inputs[place])
            start = np.zeros(hidden) if given is None else np.ravel(given)
            name, after = own(f"{node.name}/{letter}"), own(f"{node.name}/{letter}/next")
            inner, outer = own(f"{name}/given"), own(f"{after}/made")
            wide, flat = own(f"{name}/shape"), own(f"{after}/shape")
            constants[wide] = np.asarray([1, 1, hidden], np.int64)
            constants[flat] = np.asarray([1, hidden, 1, 1], np.int64)
            shapes |= {name: (1, hidden, 1, 1), after: (1, hidden, 1, 1), inner: (1, 1, hidden)}
            types |= dict.fromkeys((name, after, inner), types.get(node.inputs[0], 1))
            nodes.append(SourceNode(inner, "Reshape", "", (name, wide), (inner,), {}))
            inputs[place] = inner
            outputs[made] = outputs[made] or outer
            shapes[outputs[made]] = (1, 1, hidden)
            behind.append(SourceNode(after, "Reshape", "", (outputs[made], flat), (after,), {}))
            initial = tuple(map(float, start)) if np.any(start) else ()
            states.append(State(name, after, initial))
        outputs = outputs[: 3 if node.op_type == "LSTM" else 2]
        inputs = inputs[: 8 if node.op_type == "LSTM" else 6]
        nodes += [replace(node, inputs=tuple(inputs), outputs=tuple(outputs)), *behind]
    return replace(
        single,
        nodes=tuple(nodes),
        inputs=(*single.inputs, *(item.input for item in states)),
        shapes=shapes,
        types=types,
        constants=constants,
        states=tuple(states),
    )


# ------------------------------------------------------------------ the same, step by step


def _mixing(
    model: SourceModel, single: SourceModel, sequences: Sequenced, steps: int
) -> UnsupportedError | None:
    """What keeps the steps from giving what the sequence gives, by the first layer; or None."""
    feeds = random_feeds(model)
    if feeds is None:
        return UnsupportedError(
            f"the inputs of {model.name} must be of numbers for its loops to be open.", FIXED
        )
    names = model.outputs
    if all(
        _agrees(*pair, steps) for pair in _values(model, single, names, feeds, sequences, steps)
    ):
        return None
    shared = [
        (node, name)
        for node in model.nodes
        for name in node.outputs
        if name in model.shapes and name in single.shapes and name in model.types
    ]
    inner = [name for _, name in shared]
    found = _values(model, single, inner, feeds, sequences, steps)
    odd = (node for (node, _), pair in zip(shared, found, strict=True) if not _agrees(*pair, steps))
    node = next(odd, None)
    who = f"the output {names[0]}" if node is None else f"{node.op_type} {node.name}"
    return _mixes(who, model, steps)


def _joining(model: SourceModel, layers: Sequence[SourceNode], steps: int) -> UnsupportedError:
    """Why the network cannot be read for one step: what joins steps, or where they come from."""
    walked = {name for node in layers for name in node.outputs}
    for node in model.nodes:
        read = [name for name in node.inputs if name in walked]
        if not read:
            continue
        walked.update(node.outputs)
        had, has = (
            any(steps in model.shapes.get(name, ()) for name in names)
            for names in (read, node.outputs)
        )
        if had and not has and node.op_type not in PICKS:
            return _mixes(f"{node.op_type} {node.name}", model, steps)
    first = layers[0]
    return UnsupportedError(
        f"the {steps} steps of {first.op_type} {first.name} must be an axis of an input of "
        f"{model.name} for its loop to be open.",
        FIXED,
    )


def _mixes(who: str, model: SourceModel, steps: int) -> UnsupportedError:
    return UnsupportedError(
        f"{who} mixes the {steps} steps of {model.name}: one by one they give something else, so "
        "its loops cannot be open.",
        f"{FIXED}, or end the network in front of it with -on",
    )


def _values(
    model: SourceModel, single: SourceModel, names: Sequence[str], feeds: Mapping[str, Array],
    sequences: Sequenced, steps: int,
) -> list[tuple[Array, list[Array]]]:  # fmt: skip
    """Values of the sequence, each with those of the steps."""
    together = _run(replace(model, outputs=tuple(names)), [feeds], ())[0]
    each = []
    for step in range(steps):
        frame = dict(feeds)
        for name, (_, axis) in sequences.items():
            frame[name] = np.take(feeds[name], [step], axis)
        each.append(frame)
    ends = tuple(dict.fromkeys((*names, *(item.output for item in single.states))))
    alone = _run(replace(single, outputs=ends), each, single.states)
    return [(together[name], [found[name] for found in alone]) for name in names]


def _run(
    model: SourceModel, frames: Sequence[Mapping[str, Array]], states: Sequence[State]
) -> list[dict[str, Array]]:
    from knightlite.inference import session

    if any(_is_layer(node) and node.attributes.get("layout", 0) for node in model.nodes):
        model = unrolled(model)  # ONNX Runtime knows no batch in front
    running = session(write_source(model), lean=True, called=f"network {model.name}")
    kept = {item.input: started(item, model.shapes[item.input]) for item in states}
    found = []
    read = {*model.read_inputs}
    for feeds in frames:
        given = {**feeds, **kept}
        fed = {name: given[name].reshape(model.shapes[name]) for name in read}
        values = dict(zip(model.outputs, running.run(list(model.outputs), fed), strict=True))
        kept = {item.input: values[item.output] for item in states}
        found.append(values)
    return found


def started(state: State, shape: Shape) -> Array:
    """A state before the first step, float32."""
    if not state.initial:
        return np.zeros(shape, np.float32)
    return np.asarray(state.initial, np.float32).reshape(shape)


def _axis(whole: Shape, one: Shape, steps: int) -> int | None:
    """Along which axis values of steps are joined to those of the sequence; None: they are not."""
    if len(whole) != len(one):
        return None
    odd = [axis for axis, sizes in enumerate(zip(whole, one, strict=True)) if len({*sizes}) > 1]
    if len(odd) != 1 or (whole[odd[0]], one[odd[0]]) != (steps, 1):
        return None
    return odd[0]


def _agrees(whole: Array, each: Sequence[Array], steps: int) -> bool:
    """Whether values are those of the steps side by side, or of the last one."""
    axis = _axis(whole.shape, each[0].shape, steps)
    wanted = each[-1] if axis is None else np.concatenate(each, axis)
    if whole.shape != wanted.shape:
        return False
    if whole.dtype.kind != "f":
        return bool(np.array_equal(whole, wanted))
    most = np.abs(whole).max() if prod(whole.shape) else 0
    return bool(np.abs(whole - wanted).max() <= ALIKE * most) if prod(whole.shape) else True
