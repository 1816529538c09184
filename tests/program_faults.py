"""Compiled programs with one thing changed in them, all checksums and identities repaired.

What a judge is asked of each: is it refused, does ``sim --check`` notice it, or does its user get
what the sound program gives? Anything else is wrong and unnoticed.
"""

from __future__ import annotations

import random
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

import knightlite
from conformance_checks import artificial
from knightlite import dtypes
from knightlite.api.models.notes import golden_metadata
from knightlite.api.simulation import CompiledNetwork, simulate
from knightlite.chip_files import find
from knightlite.compiler import compile_graph
from knightlite.container import (
    CFG_MAGIC,
    WEIGHT_MAGIC,
    Description,
    Once,
    Origin,
    Piece,
    Program,
    QuantizationNotes,
    Region,
    StoredTensor,
    WeightDescription,
    constant,
    encode_program,
    paired,
    plan_bytes,
    write_sections,
)
from knightlite.emit import golden_model
from knightlite.errors import KnightliteError
from knightlite.frontend import load_quantized
from knightlite.frontend.model_kind import PAIR_NOTE
from knightlite.ir import Graph, HostOp
from knightlite.isa import Instruction, Load, Operand, Store, assemble, disassemble, layout
from knightlite.json_records import canonical_json, to_json
from knightlite.options.simulate import SimulateOptions
from knightlite.sim.memory import byte_view
from knightlite.sim.tensors import tensor_operand
from onnx_nets import Net
from quantized_nets import RELU, QuantizedNet

Array = NDArray[Any]
SMALL = artificial(
    replace(
        find("TX5368AV200").chip, fspm_bytes=2560, wspm_bytes=1536, mspm_bytes=768,
        wspm_align_bytes=64, mspm_align_bytes=64, matrix_input_lanes=8, matrix_output_lanes=16,
    )
)  # fmt: skip
CHIP_FILE = "small.toml"  # a chip of the user's: its facts are in the .cfg
RECIPE = (Path(__file__).parents[1] / "calibration/digits.toml").read_text("utf-8")
NOTES = QuantizationNotes(
    bias_correction="off", bit_width=8, chip=CHIP_FILE, data="noise", data_sha256="1" * 64,
    effort="low", input_layout="nchw", method="mse", model_sha256="2" * 64, pictures=4,
    recipe=RECIPE, rounding="nearest", seed=0, ir_batch=2,
)  # fmt: skip
PLANS = 0.03  # of all faults are in the plan of the file alone
FRAMES, MORE = 4, 4  # frames of noise, and of integers that fill the inputs' types

# ------------------------------------------------------------------ sound programs


def _host(
    net: QuantizedNet, op: str, inputs: Sequence[str], outputs: Sequence[str], **more: Any
) -> str:
    """Append an operator of the host; arguments ``k_...`` are its constants."""
    constants = {name: more.pop(name) for name in list(more) if name.startswith("k_")}
    net.builder.host.append(HostOp(outputs[0], op, tuple(inputs), tuple(outputs), more, constants))
    for name in outputs:
        net.builder.tensor(name, (1, 1), dtypes.F32)
    return outputs[0]


def classifier() -> Graph:
    """Partial sums, a prologue, a residual, a Concat, pools; Reshape and Softmax on the host."""
    net = QuantizedNet("classifier")
    x = net.input("x", 12, 8, 8)
    a = net.conv(net.affine(x, "t"), "a", 20, (3, 3), pads=(1, 1, 1, 1))
    b = net.add(a, net.conv(a, "c", 20), "b", scale=0.05)
    w = net.concat("w", net.max_pool(x, "p", kernel=(1, 1)), b, x)
    y = net.average_pool(net.conv(w, "d", 5), "y", kernel=(8, 8))
    _host(net, "Reshape", [y], ["flat"], shape=(1, 5))
    return net.build(_host(net, "Softmax", ["flat"], ["scores"], axis=1))


def heads() -> Graph:
    """Outputs that are parts of one another, one of them read on, one behind a Reshape."""
    net = QuantizedNet("heads", 1)
    x = net.input("x", 6, 8, 8)
    a = net.conv(x, "a", 12, (3, 3), pads=(1, 1, 1, 1))
    left, right = net.conv(a, "left", 4), net.conv(a, "right", 4)
    both = net.concat("both", left, right)
    part = net.cut(both, "part", (2, 0, 0), (6, 8, 8))
    small = net.max_pool(part, "small", strides=(2, 2))
    _host(net, "Reshape", [small], ["rows"], shape=(1, 4, 16))
    return net.build(both, right, part, "rows")


def wide() -> Graph:
    """16-bit features and weights, a transposed convolution, a table; two inputs."""
    net = QuantizedNet("wide", 2)
    x, z = net.input("x", 4, 6, 6), net.input("z", 4, 6, 6, dtypes.U8)
    a = net.conv(x, "a", 8, (3, 3), pads=(1, 1, 1, 1), dtype=dtypes.S16, scale=0.0002)
    b = net.conv(a, "b", 6, weight_type=np.int16, dtype=dtypes.S16, scale=0.0002)
    up = net.transposed(net.conv(z, "c", 6), "up", 6, (2, 2), strides=(2, 2))
    down = net.max_pool(up, "down", strides=(2, 2))
    return net.build(net.add(b, net.table(down, "t"), "y", dtype=dtypes.S16, scale=0.0004))


def tail() -> Graph:
    """The host computes with constants, cuts and selects: ONNX Runtime is needed."""
    net = QuantizedNet("tail", 3)
    x = net.input("x", 3, 8, 8)
    a = net.conv(x, "a", 8, (3, 3), strides=(2, 2), pads=(1, 1, 1, 1))
    y = net.conv(a, "y", 6, (3, 3))
    _host(net, "Reshape", [y], ["flat"], shape=(1, 24))
    gain = np.linspace(0.5, 2, 24, dtype=np.float32)[None]
    _host(net, "Mul", ["flat", "k_gain"], ["scaled"], k_gain=gain)
    _host(net, "Slice", ["scaled"], ["few"], starts=(1,), ends=(24,), axes=(1,), steps=(1,))
    _host(net, "TopK", ["few", "k_count"], ["best", "places"], axis=1,
          k_count=np.asarray([3], np.int64))  # fmt: skip
    return net.build("best", "places", "y")


def products() -> Graph:
    """A tensor times itself, and times what it makes: a matrix of weights that is u8."""
    net = QuantizedNet("products", 4)
    x = net.input("x", 12, 1, 12)
    first = _product(net, x, x, "first", "values", dtypes.S8, 1.2)
    y = _product(net, first, x, "y", "keys", dtypes.U8, 8.0, clamp=RELU)
    return net.build(y, _product(net, first, y, "z", "values", dtypes.S8, 600.0))


def _product(
    net: QuantizedNet, x: str, w: str, y: str, form: str, dtype: dtypes.DType, scale: float,
    **more: Any,
) -> str:  # fmt: skip
    return net.node("MatMul", (x, w), y, dtype, scale, groups=1, form=form, **more)


def middle() -> Graph:
    """The host computes between two segments of the chip, of two tensors, and behind the last."""
    net = Net()
    net.conv(net.input("x", (1, 3, 6, 5)), "c", (8, 3, 3, 3), pads=[1] * 4)
    net.node("Relu", ["c"], "r")
    net.conv("r", "e", (8, 8, 1, 1))
    net.placed("r", (1, 8, 6, 5), "g")
    net.node("Mul", ["g", net.node("Hardmax", ["e"], "h", axis=1)], "m")
    net.node("Where", [net.node("Greater", ["m", net.weight("limit", np.float32(0.2))], "large"),
                       "g", "e"], "w")  # fmt: skip
    net.conv("w", "f", (5, 8, 3, 3), pads=[1] * 4)
    net.node("ReduceMax", ["f"], "y", axes=[2, 3], keepdims=0)
    return _quantized(net, 8, "y")


def wide_middle() -> Graph:
    """16 bits, and the host between three segments; the tensors it makes are delivered too."""
    net = Net()
    net.conv(net.input("x", (1, 4, 5, 4)), "c", (6, 4, 3, 3), pads=[1] * 4)
    net.placed("c", (1, 6, 5, 4), "g", 3)
    net.node("Sigmoid", [net.conv("g", "d", (6, 6, 1, 1))], "s")
    net.node("Mul", [net.node("Hardmax", ["s"], "h", axis=1), "c"], "m")
    return _quantized(net, 16, net.conv("m", "y", (4, 6, 3, 3), pads=[1] * 4), "g")


def recurrent() -> Graph:
    """An LSTM and a GRU unrolled, states in and out: cells of 16 bits in a network of 8."""
    net = Net(14)
    net.input("x", (3, 1, 5))
    states = [net.input(name, (1, 1, 4)) for name in ("h0", "c0")]
    frames, *last = _unrolled(net, "LSTM", 4, ["x", *states], 5, "y", "yh", "yc")
    flat = net.node("Reshape", [frames, net.weight("sizes", np.array([3, 1, 4]))], "flat")
    return _quantized(net, 8, *last, _unrolled(net, "GRU", 3, [flat], 4, "z", "zh")[1])


def _unrolled(
    net: Net, op: str, gates: int, inputs: Sequence[str], width: int, *outputs: str
) -> Sequence[str]:
    """A recurrent layer of 4 hidden values over frames of ``width``, behind its states."""
    x, *states = inputs
    shapes = {"w": (1, gates * 4, width), "r": (1, gates * 4, 4), "b": (1, gates * 8)}
    weights = [net.random(f"{op}_{name}", shape) for name, shape in shapes.items()]
    names = [x, *weights, "", *states]
    net.nodes.append(onnx.helper.make_node(op, names, outputs, name=op, hidden_size=4))
    return outputs


def _quantized(net: Net, bits: int, *outputs: str) -> Graph:
    """A float network as ``quant`` has it, what only the host can do included."""
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        made = knightlite.quantize(
            net.save(Path(folder), *outputs),
            general_process=True,
            effort="low",
            iteration=2,
            bit_width=bits,
            lut_len=8,  # as much as a small MSPM has room for
        )
    return load_quantized(Path("net_quantize.onnx"), made.onnx)


PROGRAMS: dict[str, Callable[[], Graph]] = {
    "classifier": classifier, "heads": heads, "wide": wide, "tail": tail,
}  # fmt: skip
MORE_PROGRAMS: dict[str, Callable[[], Graph]] = {
    "products": products, "middle": middle, "wide_middle": wide_middle, "recurrent": recurrent,
}  # fmt: skip
"""Products of two computed tensors; what the host computes between segments; recurrent layers."""

# ------------------------------------------------------------------ what is changed


@dataclass(frozen=True)
class Fault:
    """A changed program. ``kind``: which mutator; ``what``: what it did, in words.

    ``plan``: of its file, where that is not the one of its description.
    """

    kind: str
    what: str
    program: Program
    plan: bytes | None = None


Mutation = tuple[str, Program]
Mutator = Callable[[Program, random.Random], Mutation | None]


def _with_code(program: Program, items: Sequence[Instruction]) -> Program:
    return replace(program, code=assemble(items))


def field_of_an_instruction(program: Program, rng: random.Random) -> Mutation | None:
    """Any field of any instruction: by one, by a bit, as in another one, or anything."""
    items = disassemble(program.code)
    at = rng.randrange(len(items))
    item = items[at]
    place = rng.choice(layout(type(item)))
    old = int(getattr(item, place.name))
    alike = [getattr(other, place.name) for other in items if type(other) is type(item)]
    new = rng.choice(
        [old + 1, old - 1, old ^ 1 << rng.randrange(place.width), rng.choice(alike),
         rng.randint(place.minimum, place.maximum), 2 * old, old // 2]
    )  # fmt: skip
    if new == old or not place.minimum <= new <= place.maximum:
        return None
    changed: dict[str, Any] = {place.name: new}
    items[at] = replace(item, **changed)
    return f"{item.MNEMONIC} {at}: {place.name} {old} -> {new}", _with_code(program, items)


def token(program: Program, rng: random.Random) -> Mutation | None:
    """One bit of one wait or signal, or of a pair of both."""
    items = disassemble(program.code)
    at = rng.randrange(len(items))
    name, bit = rng.choice(["wait", "signal"]), 1 << rng.randrange(4)
    changed: dict[str, Any] = {name: getattr(items[at], name) ^ bit}
    items[at] = replace(items[at], **changed)
    return f"{name} of {at} ^ {bit}", _with_code(program, items)


def order_of_instructions(program: Program, rng: random.Random) -> Mutation | None:
    """An instruction dropped, doubled, or changed for another; the tables follow, or do not."""
    items = disassemble(program.code)
    what = rng.choice(["drop", "double", "swap"])
    stores = [at for at, item in enumerate(items) if isinstance(item, Store)]
    at = rng.choice([rng.randrange(len(items)), rng.choice(stores), len(items) - 1])
    shift = {"drop": -1, "double": 1, "swap": 0}[what]
    other = rng.choice([max(0, at - 1), rng.randrange(len(items))])
    if what == "drop":
        del items[at]
    elif what == "double":
        items.insert(at, items[at])
    else:
        items[at], items[other] = items[other], items[at]
    told = f"{what} {at}" + (f" and {other}" if what == "swap" else "")
    changed = _with_code(program, items)
    if shift and rng.random() < 0.75:
        changed = _tables(changed, lambda entry: _moved(entry, at, shift))
        told += ", tables follow"
    return told, changed


def _moved(entry: StoredTensor, at: int, shift: int) -> StoredTensor:
    first = entry.first + shift if entry.first > at else entry.first
    ready = entry.ready + shift if entry.ready >= at else entry.ready
    pieces = tuple(
        replace(
            piece,
            first=piece.first + shift * (piece.first > at),
            ready=piece.ready + shift * (piece.ready >= at),
        )
        for piece in entry.pieces
    )
    return replace(entry, first=min(first, ready), ready=ready, pieces=pieces)


def _tables(program: Program, change: Callable[[StoredTensor], StoredTensor]) -> Program:
    meta = program.meta
    inputs, outputs, tensors = (
        tuple(map(change, table)) for table in (meta.inputs, meta.outputs, meta.tensors)
    )
    return replace(program, meta=replace(meta, inputs=inputs, outputs=outputs, tensors=tensors))


def tensor(program: Program, rng: random.Random) -> Mutation | None:
    """A key of a tensor, wherever it stands; delivered ones more often than others."""
    meta = program.meta
    entry = rng.choice([*meta.tensors, *3 * meta.outputs, *meta.inputs])
    name = rng.choice([item.name for item in fields(StoredTensor)])
    new = _other_value(entry, name, meta, rng)
    if new == getattr(entry, name):
        return None
    changed: dict[str, Any] = {name: new}
    other = replace(entry, **changed)
    told = f"{name} of {entry.name}: {getattr(entry, name)} -> {new}"
    return told, _tables(program, lambda item: other if item == entry else item)


def _other_value(entry: StoredTensor, name: str, meta: Description, rng: random.Random) -> Any:
    value = getattr(entry, name)
    if name == "name":
        return rng.choice([f"{value}2", rng.choice(meta.tensors).name])
    if name == "type":
        return rng.choice(["u8", "s8", "s16"])
    if name == "scale":
        factors = (2, 1.5, 1.000001)  # what float32 does not hold is refused as a number
        return rng.choice([*(float(np.float32(value * factor)) for factor in factors), 1.0])
    if name == "shape":
        shape = list(value)
        at = rng.choice([1, 2, 3])
        shape[at] = rng.choice([shape[at] + 1, max(1, shape[at] - 1), 1])
        if rng.random() < 0.3:
            shape[1:] = rng.sample(shape[1:], 3)
        return tuple(shape)
    if name == "pieces":
        return _other_pieces(entry.pieces, rng)
    alike = [getattr(item, name) for item in meta.tensors]
    return rng.choice([value + 1, value - 1, value + 4, value + 16, rng.choice(alike)])


def _other_pieces(pieces: tuple[Piece, ...], rng: random.Random) -> tuple[Piece, ...]:
    """A number of a piece changed, or a piece dropped or doubled; what has none stays."""
    if not pieces:
        return pieces
    at = rng.randrange(len(pieces))
    if rng.random() < 0.2:
        return pieces[:at] + pieces[at + rng.choice([1, -1]) + 1 :]
    name = rng.choice([item.name for item in fields(Piece)])
    value = getattr(pieces[at], name)
    alike = [getattr(item, name) for item in pieces]
    changed: dict[str, Any] = {
        name: rng.choice([value + 1, value - 1, value + 4, value + 16, rng.choice(alike)])
    }
    return (*pieces[:at], replace(pieces[at], **changed), *pieces[at + 1 :])


def table(program: Program, rng: random.Random) -> Mutation | None:
    """Whole entries: swapped, dropped, doubled, or another tensor in the place of an output."""
    meta = program.meta
    name = rng.choice(["inputs", "outputs", "tensors", "graph_outputs", "layers"])
    rows = list(getattr(meta, name))
    at, other = rng.randrange(len(rows)), rng.randrange(len(rows))
    what = rng.choice(["swap", "drop", "double", "another"])
    if what == "swap":
        rows[at], rows[other] = rows[other], rows[at]
    elif what == "drop":
        del rows[at]
    elif what == "double":
        rows.insert(at, rows[at])
    elif name in ("inputs", "outputs"):
        rows[at] = rng.choice(meta.tensors)
    else:
        return None
    if rows == list(getattr(meta, name)):
        return None
    changed: dict[str, Any] = {name: tuple(rows)}
    return f"{what} {at} in {name}", replace(program, meta=replace(meta, **changed))


def weights(program: Program, rng: random.Random) -> Mutation | None:
    """A byte of the constants, or two of them changed for one another."""
    data = bytearray(program.data)
    at, other = rng.randrange(len(data)), rng.randrange(len(data))
    if rng.random() < 0.7:
        data[at] ^= 1 << rng.randrange(8)
    else:
        data[at], data[other] = data[other], data[at]
    told = f"constants at {at}"
    return None if data == program.data else (told, replace(program, data=bytes(data)))


def host_operator(program: Program, rng: random.Random) -> Mutation | None:
    """An operator of the host's list: dropped, another one, other operands, numbers, order."""
    rows = list(program.meta.host)
    if not rows:
        return None
    at = rng.randrange(len(rows))
    step = rows[at]
    what = rng.choice(["drop", "op", "inputs", "attribute", "constant", "swap"])
    if what == "drop":
        del rows[at]
    elif what == "op":
        rows[at] = replace(step, op=rng.choice(["Relu", "Sigmoid", "Exp", "Softmax", "Loop", "If"]))
    elif what == "inputs":
        known = [item.name for item in program.meta.outputs] + [row.outputs[0] for row in rows]
        rows[at] = replace(step, inputs=(rng.choice(known), *step.inputs[1:]))
    elif what == "attribute" and step.attributes:
        name = rng.choice(sorted(step.attributes))
        rows[at] = replace(
            step, attributes={**step.attributes, name: _other_number(step.attributes[name], rng)}
        )
    elif what == "constant" and step.constants:
        name = rng.choice(sorted(step.constants))
        values = step.constants[name].array.copy()
        values.reshape(-1)[rng.randrange(values.size)] += rng.choice([1, -1])
        rows[at] = replace(step, constants={**step.constants, name: constant(values)})
    else:
        rng.shuffle(rows)
    told = f"host {at} ({step.op}): {what}"
    changed = replace(program, meta=replace(program.meta, host=tuple(rows)))
    return None if rows == list(program.meta.host) else (told, changed)


def _other_number(value: Any, rng: random.Random) -> Any:
    if isinstance(value, tuple):
        at = rng.randrange(len(value))
        return (*value[:at], _other_number(value[at], rng), *value[at + 1 :])
    return value + rng.choice([1, -1]) if isinstance(value, int) else value


def host_model(program: Program, rng: random.Random) -> Mutation | None:
    """The host's ONNX model: a node, a number, an operator, or a byte of the file."""
    if not program.host:
        return None
    if rng.random() < 0.3:
        data = bytearray(program.host)
        at = rng.randrange(len(data))
        data[at] ^= 1 << rng.randrange(8)
        return f"host model, byte {at}", replace(program, host=bytes(data))
    model = onnx.load_model_from_string(program.host)
    graph, told = model.graph, ""
    what = rng.choice(["node", "number", "op", "loop", "none"])
    if what == "node":
        del graph.node[rng.randrange(len(graph.node))]
    elif what == "number":
        item = rng.choice(graph.initializer)
        values = onnx.numpy_helper.to_array(item).copy()
        values.reshape(-1)[rng.randrange(values.size)] += rng.choice([1, -1])
        item.CopyFrom(onnx.numpy_helper.from_array(values, item.name))
    elif what == "op":
        rng.choice(graph.node).op_type = rng.choice(["Add", "Div", "Relu", "Identity"])
    elif what == "loop":
        put_in_a_loop(graph)
    else:
        return "no host model", replace(program, host=b"")
    told = f"host model: {what}"
    return told, replace(program, host=model.SerializeToString(deterministic=True))


def put_in_a_loop(graph: onnx.GraphProto) -> None:
    """A Loop without an end in front of everything."""
    helper, kind = onnx.helper, onnx.TensorProto
    go = helper.make_tensor_value_info("go", kind.BOOL, [])
    body = helper.make_graph(
        [helper.make_node("Identity", ["before"], ["go"])], "body",
        [helper.make_tensor_value_info("number", kind.INT64, []),
         helper.make_tensor_value_info("before", kind.BOOL, [])], [go],
    )  # fmt: skip
    graph.initializer.append(helper.make_tensor("yes", kind.BOOL, [], [True]))
    graph.node.insert(0, helper.make_node("Loop", ["", "yes"], [], body=body))


def general_layer(program: Program, rng: random.Random) -> Mutation | None:
    """A layer of the host's between two segments: when it runs, what it reads and computes."""
    layers = list(program.meta.general)
    if not layers:
        return None
    at = rng.randrange(len(layers))
    layer = layers[at]
    tensors = [item.name for item in program.meta.tensors]
    what = rng.choice(["at", "reads", "output", "layer_type", "operators", "operators", "drop"])
    if what == "drop":
        del layers[at]
    elif what == "operators":
        host = replace(program.meta, host=layer.operators)
        made = host_operator(replace(program, meta=host), rng)
        if made is None or not made[1].meta.host:
            return None
        what, layers[at] = made[0], replace(layer, operators=made[1].meta.host)
    else:
        new: dict[str, Any] = {
            "at": layer.at + rng.choice([-2, -1, 1, 2]),
            "reads": rng.choice(
                [layer.reads[::-1], layer.reads[1:] or ("x",),
                 (*layer.reads[1:], rng.choice(tensors))]
            ),
            "output": rng.choice(tensors),
            "layer_type": layer.layer_type + 1,
        }  # fmt: skip
        changed: dict[str, Any] = {what: new[what]}
        layers[at] = replace(layer, **changed)
    if layers == list(program.meta.general) or any(item.at < 0 for item in layers):
        return None
    changed_meta = replace(program.meta, general=tuple(layers))
    return f"general {at}: {what}", replace(program, meta=changed_meta)


def description(program: Program, rng: random.Random) -> Mutation | None:
    """Any other key of the description."""
    meta = program.meta
    name = rng.choice(
        [item.name for item in fields(Description)
         if item.name
         not in ("pair", "inputs", "outputs", "tensors", "graph_outputs", "host", "general",
                      "states")]
    )  # fmt: skip
    new = _other_fact(meta, name, rng)
    changed: dict[str, Any] = {name: new}
    if new == getattr(meta, name):
        return None
    return f"{name} -> {str(new)[:40]}", replace(program, meta=replace(meta, **changed))


def _other_fact(meta: Description, name: str, rng: random.Random) -> Any:
    value = getattr(meta, name)
    if name == "chip_values":
        numbers = [x.name for x in fields(value) if isinstance(getattr(value, x.name), int)]
        fact = rng.choice(numbers)
        changed: dict[str, Any] = {fact: max(1, getattr(value, fact) * rng.choice([2, 4]))}
        return replace(value, **changed)
    if name == "quantization":
        return rng.choice([None, replace(value, ir_batch=3), replace(value, pictures=5)])
    if name == "input_layout":
        return rng.choice(["nhwc", "nhwcstride"])
    if name == "recipe":
        return rng.choice([None, value.replace("255.0", "127.0") + "\n"])
    if name == "layers":
        at = rng.randrange(len(value))
        layer = rng.choice(
            [replace(value[at], macs=value[at].macs + 1), replace(value[at], name="other")]
        )
        return (*value[:at], layer, *value[at + 1 :])
    if name == "once":  # nothing of it is loaded there
        return Once(rng.randrange(1, 4), rng.choice([0, 512]), rng.choice([8, 512]), 0, 0)
    if name == "regions":
        end = max(item.end for item in meta.tensors)
        return rng.choice([(), (Region("outputs", end - 64, 64),), (Region("inputs", end, 64),)])
    if name == "fspm_peak":
        return tuple(item + 1 for item in value)
    if isinstance(value, int):
        return rng.choice([value + 1, max(0, value - 1), value + 64, 2 * value])
    if name.endswith(("sha256", "digest")):
        return value[::-1]
    return f"{value}2"


# how often each is taken
MUTATORS: tuple[tuple[Mutator, int], ...] = (
    (field_of_an_instruction, 40),
    (token, 6),
    (order_of_instructions, 14),
    (tensor, 16),
    (table, 6),
    (weights, 6),
    (host_operator, 5),
    (host_model, 4),
    (general_layer, 12),
    (description, 5),
)


def faults(program: Program, seed: int) -> Iterator[Fault]:
    """Changed programs without end, the same for the same seed."""
    rng = random.Random(seed)
    mutators, shares = zip(*MUTATORS, strict=True)
    while True:
        if rng.random() < PLANS:
            plan = bytearray(plan_bytes(program.meta, program.meta.pair))
            at = rng.randrange(len(plan))
            plan[at] ^= 1 << rng.randrange(8)
            yield Fault("plan", f"byte {at} of the plan", program, bytes(plan))
            continue
        (mutate,) = rng.choices(mutators, shares)
        made = mutate(program, rng)
        if made is not None:
            yield Fault(mutate.__name__, made[0], paired(made[1]))


# ------------------------------------------------------------------ what becomes of it


def unread_files(program: Program, plan: bytes | None = None) -> tuple[bytes, bytes]:
    """Both files, with every checksum and identity repaired, and read by nobody yet."""
    meta = program.meta
    sections = {
        "meta": canonical_json(to_json(meta)),
        "plan": plan_bytes(meta, meta.pair) if plan is None else plan,
        "code": program.code,
    }
    if program.host:
        sections["host"] = program.host
    own = canonical_json(to_json(WeightDescription(meta.name, meta.pair)))
    weight = write_sections(WEIGHT_MAGIC, {"meta": own, "data": program.data})
    return write_sections(CFG_MAGIC, sections), weight


REFUSED, NOTICED, SAME, WRONG = "refused", "noticed", "without effect", "wrong and unnoticed"


@dataclass
class Bench:
    """A sound program in a folder, its golden model, its inputs, and what it delivers."""

    name: str
    folder: Path
    level: int = 0  # of its schedule
    program: Program = field(init=False)
    golden: onnx.ModelProto = field(init=False)
    wanted: dict[str, Any] = field(init=False)
    feed: dict[str, Array] = field(default_factory=dict)
    further: dict[str, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        graph = (PROGRAMS | MORE_PROGRAMS)[self.name]()
        origin = Origin(
            version="0", model_sha256="0" * 64, recipe=RECIPE, quantization=NOTES,
        )  # fmt: skip
        compiled = compile_graph(graph, SMALL, CHIP_FILE, origin, level=self.level)
        self.program = compiled.program
        encode_program(self.program)
        self.golden = golden_model(compiled.graph, metadata=golden_metadata(self.program))
        rng = np.random.default_rng(7)
        for item in self.program.meta.inputs:
            assert isinstance(item.scale, float)
            full = rng.integers(item.dtype.minimum, item.dtype.maximum + 1, (MORE, *item.shape[1:]))
            for values, taken, name in (
                (rng.normal(0, 40, (FRAMES, *item.shape[1:])), self.feed, item.name),
                (full, self.further, f"{item.name}-further"),
            ):
                taken[item.name] = np.asarray(values * item.scale, np.float32)
                taken[item.name].tofile(self.folder / f"{name}.bin")
        self.place(self.program)
        self.wanted = self.delivered(self.further)

    def place(self, program: Program, plan: bytes | None = None) -> None:
        """The three files, with every checksum and identity repaired, and read by nobody yet."""
        meta = program.meta
        cfg, weight = unread_files(program, plan)
        (self.folder / "p.cfg").write_bytes(cfg)
        (self.folder / "p.weight").write_bytes(weight)
        for entry in self.golden.metadata_props:
            if entry.key == PAIR_NOTE:
                entry.value = meta.pair
        (self.folder / "p_golden.onnx").write_bytes(self.golden.SerializeToString())

    def simulate(self, check: bool, further: bool) -> tuple[dict[str, bytes], int]:
        """The result files of ``sim``, and how many bytes differ.

        As many frames as it takes by itself, or all of those that fill the inputs' types.
        """
        out = self.folder / "out"
        shutil.rmtree(out, ignore_errors=True)
        paths = [self.folder / f"{x}{'-further' if further else ''}.bin" for x in self.feed]
        found = simulate(
            SimulateOptions(
                input=":".join(map(str, paths)), frame_count=MORE if further else None,
                cfg=self.folder / "p.cfg",
                weight=self.folder / "p.weight", out_dir=out, check=check, directory=self.folder,
            )
        )  # fmt: skip
        delivered = {key: path.read_bytes() for key, path in found.files.items()}
        return delivered, found.differing_bytes or 0

    def delivered(self, feed: Mapping[str, Array]) -> dict[str, Any]:
        """All that a user can get: files, arrays, how they are described."""
        network = CompiledNetwork(self.folder / "p.cfg", self.folder / "p.weight", None)
        files = dict(self.simulate(check=False, further=False)[0])
        files |= {f"further {k}": v for k, v in self.simulate(False, True)[0].items()}
        described = [*network.inputs(), *network.outputs(), *network.integer_outputs()]
        arrays = {
            f"run {item.name}": values.tobytes()
            for item, values in zip(network.outputs(), network.run(None, feed), strict=True)
        }
        integers = {key: v.tobytes() for key, v in network.run_integers(feed).items()}
        return {**files, **arrays, **integers, "described": described}

    def judge(self, fault: Fault) -> str:
        """REFUSED, NOTICED, SAME or WRONG."""
        self.place(fault.program, fault.plan)
        try:
            CompiledNetwork(self.folder / "p.cfg", self.folder / "p.weight", None)
        except KnightliteError:
            return REFUSED
        for further in (False, True):
            try:
                found, differing = self.simulate(True, further)
            except KnightliteError:
                return NOTICED
            if differing:
                return NOTICED
            if any(found[key] != values for key, values in self.sound_files(further).items()):
                return WRONG
        return SAME if self.delivered(self.further) == self.wanted else WRONG

    def sound_files(self, further: bool) -> dict[str, bytes]:
        """What ``sim`` leaves of the sound program."""
        prefix = "further result-" if further else "result-"
        return {
            key.removeprefix("further "): values
            for key, values in self.wanted.items()
            if key.startswith(prefix)
        }


# ------------------------------------------------------------------ why nothing comes of it


def reason(fault: Fault, sound: Program) -> str:
    """Why a change is without effect."""
    if fault.kind == "description" or "in layers" in fault.what:
        return "only reports read it"
    if fault.what.endswith(": layer_type"):
        return "only a board's program reads it, which calls what it names"
    if fault.kind == "weights":
        read = np.zeros(sound.meta.ddr_bytes, np.bool_)
        for item in disassemble(sound.code):
            if isinstance(item, Load):
                byte_view(read, item.ddr_side(write=False))[...] = True
        one, other = (np.frombuffer(item.data, np.uint8) for item in (sound, fault.program))
        if not read[: len(one)][one != other].any():
            return "no instruction reads it"
    if fault.kind == "field_of_an_instruction":
        before, after = (disassemble(item.code) for item in (sound, fault.program))
        (pair,) = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
        if fault.what.partition(": ")[2].startswith("layer "):
            return "only reports read it"
        if "stride" in fault.what and _turns(pair[0]) == _turns(pair[1]):
            return "a stride of what turns once"
    if fault.kind == "tensor" and "stride" in fault.what:
        tables = (item.meta.tensors for item in (sound, fault.program))
        (moved,) = [(a, b) for a, b in zip(*tables, strict=True) if a != b]
        was, now = (tensor_operand(entry, False)[0] for entry in moved)
        if _loops(was) == _loops(now):
            return "a stride of what turns once"
    return "all bytes are the golden model's, on every frame"


def _turns(item: Instruction) -> list[Any]:
    return [_loops(operand) for operand in item.operands()]


def _loops(item: Operand) -> Any:
    """An operand without the strides of loops that turn once."""
    return item.address, item.run, [(turns, step) for turns, step in item.loops if turns > 1]
