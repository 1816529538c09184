"""Sentences that no file or command leads to easily, each in whole: its names and its numbers."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from assembled import TINY, copying_program, small_matrix, tensor
from knightlite import array_files, errors, numerics, ops
from knightlite.api.comparison import dump
from knightlite.api.evaluation import engine
from knightlite.api.exploration import sentences
from knightlite.api.quantization import cycles
from knightlite.container import paired, program, sections
from knightlite.dtypes import U8
from knightlite.emit import program as emit
from knightlite.errors import Finding
from knightlite.evaluation.paired import chance_told
from knightlite.frontend import (
    any_axes,
    compute,
    general,
    host,
    norms,
    padding,
    planes,
    recurrent,
    repeats,
    split,
    user_layers,
)
from knightlite.frontend import any_products as products
from knightlite.frontend.source import SourceNode
from knightlite.isa import Engine, Matrix
from knightlite.metrics import detection, plugin
from knightlite.ops import (
    concat,
    conv,
    eltwise,
    functions,
    pool,
    slice,
    softmax,
    transpose,
    transposed,
    wide_table,
)
from knightlite.ops.onnx_io import OnnxNode
from knightlite.options import texts
from knightlite.preprocess import picture
from knightlite.profiler import LIMITERS
from knightlite.quantize.mixed import mix_budget
from knightlite.quantize.scales import pins
from knightlite.report import summary
from knightlite.sim import clock, inputs, outputs, program_check
from knightlite.sim import host as sim_host

Call = Callable[[Path], object]
Made: Any = SimpleNamespace
NONE: Any = None
X = (1, 6, 4, 5)


def ones(*shape: int) -> Any:
    return np.ones(shape, np.float32)


def whole(*values: int) -> Any:
    return np.asarray(values, np.int64)


def of(op: str, *given: Any, x: Any = X, y: Any = X, opset: int = 13, **attributes: Any) -> Any:
    """A node that reads x and constants; None: an input that is computed."""
    names = [f"c{at}" for at in range(len(given))]
    constants = {name: value for name, value in zip(names, given, strict=True) if value is not None}
    shapes = {"x": x, "y": y, **{name: (1,) for name in names}}
    return OnnxNode("n", op, opset, ("x", *names), "y", attributes, constants, shapes)


def source(op: str, *names: str, outputs: tuple[str, ...] = ("y",), **attributes: Any) -> Any:
    return SourceNode("n", op, "", names, outputs, attributes)


def model(shapes: Any = None, **constants: Any) -> Any:
    return Made(constants=constants, shapes=shapes or {}, opset=13)


def state(shapes: Any = None, **constants: Any) -> Any:
    """An importer, so far as what stands against a node asks it."""
    seen = {"x": X, "y": X, **(shapes or {})}
    return Made(
        model=model(seen, **constants), seen=seen.__getitem__, shape=seen.__getitem__,
        is_read=lambda name: True,
    )  # fmt: skip


def sliced(*given: Any, **attributes: Any) -> Call:
    return lambda f: slice.from_onnx(of("Slice", *given, **attributes), NONE)


OPERATORS: tuple[tuple[Call, str], ...] = (
    (lambda f: concat.from_onnx(of("Concat", ones(6)), NONE),
     "Concat n must join features only, not constants."),
    (lambda f: concat.from_onnx(of("Concat", axis=0), NONE),
     "Concat n must not join pictures (axis 0)."),
    (lambda f: concat.from_onnx(of("Concat", axis=-4), NONE),
     "Concat n must not join pictures (axis 0)."),
    (lambda f: conv.from_onnx(of("Conv", None), NONE), "Conv n must have constant weights."),
    (lambda f: conv.from_onnx(of("Conv", ones(2, 6, 3)), NONE), "Conv n must be 2-D, not 1-D."),
    (lambda f: conv.from_onnx(of("Conv", ones(2, 6, 3, 3, 3)), NONE),
     "Conv n must be 2-D, not 3-D."),
    (lambda f: conv.from_onnx(of("Conv", ones(2, 6, 1, 1), None), NONE),
     "Conv n must have a constant bias."),
    (lambda f: conv.from_onnx(of("Conv", ones(4, 2, 1, 1), group=2), NONE),
     "Conv n must have 6 input channels, not 2 groups of 2."),
    (lambda f: conv.from_onnx(of("Gemm", None), NONE),
     "Gemm n must multiply features [1, K] by a constant matrix."),
    (lambda f: conv.from_onnx(of("MatMul", ones(3)), NONE),
     "MatMul n must multiply features [1, K] by a constant matrix."),
    (lambda f: conv.from_onnx(of("Gemm", ones(120, 4), transA=1), NONE),
     "Gemm n must not transpose its features."),
    (lambda f: conv.from_onnx(of("Gemm", ones(119, 4)), NONE),
     "Gemm n must read 119 features, not 120 (shape (1, 6, 4, 5))."),
    (lambda f: conv.from_onnx(of("Gemm", ones(4, 119), transB=1), NONE),
     "Gemm n must read 119 features, not 120 (shape (1, 6, 4, 5))."),
    (lambda f: conv.from_onnx(of("Gemm", ones(20, 4), x=(2, 20)), NONE),
     "Gemm n must read 20 features, not 20 (shape (2, 20))."),
    (lambda f: eltwise._clip(of("Max"), NONE, "x", ones(6)),
     "Max n must have a scalar constant, not one of shape (6,)."),
    (lambda f: functions.from_node(of("PRelu", None)), "PRelu n must have one constant slope."),
    (lambda f: functions.from_node(of("PRelu", ones(2))), "PRelu n must have one constant slope."),
    (lambda f: functions.from_node(of("Pow", None)), "Pow n must have one constant exponent."),
    (lambda f: functions.from_node(of("Pow", ones(2))), "Pow n must have one constant exponent."),
    (lambda f: pool.from_onnx(of("MaxPool", x=(1, 6, 4), kernel_shape=[2]), NONE),
     "MaxPool n must read [N, C, H, W], not (1, 6, 4)."),
    (sliced(opset=9, starts=[0]), "Slice n must have constant starts and ends."),
    (sliced(opset=9, ends=[1]), "Slice n must have constant starts and ends."),
    (sliced(None, whole(1)), "Slice n must have constant starts."),
    (sliced(whole(1), None), "Slice n must have constant ends."),
    (sliced(whole(0), whole(1), None), "Slice n must have constant axes."),
    (sliced(whole(0), whole(1), whole(1), None), "Slice n must have constant steps."),
    (sliced(whole(3), whole(0), whole(2), whole(-2)),
     "Slice n must have positive steps, not -2: nothing runs backwards."),
    (sliced(whole(1), whole(2), whole(0)), "Slice n must keep the batch of 1."),
    (lambda f: softmax.from_onnx(of("Softmax", axis=2), NONE),
     "Softmax n must run over channels (axis 1) on the NPU, not over axis 2 of (1, 6, 4, 5)."),
    (lambda f: softmax.from_onnx(of("Softmax", axis=1, opset=11), NONE),
     "Softmax n must run over channels (axis 1) on the NPU, not over all axes from 1 of "
     "(1, 6, 4, 5)."),
    (lambda f: transposed.from_onnx(of("ConvTranspose", ones(6, 2, 3)), NONE),
     "ConvTranspose n must be 2-D, not 1-D."),
    (lambda f: transposed.from_onnx(of("ConvTranspose", ones(6, 2, 1, 1), None), NONE),
     "ConvTranspose n must have constant weights and a constant bias."),
    (lambda f: transposed.from_onnx(of("ConvTranspose", ones(6, 2, 1, 1), group=4), NONE),
     "ConvTranspose n must have weights of 6 input channels in 4 groups, not 6."),
    (lambda f: transpose.exchanges((1, 0, 2, 3)),
     "(1, 0, 2, 3) is no order of channels, rows and columns behind the batch"),
    (lambda f: wide_table.with_lut_length(NONE, 7),
     "lut_len must lie in 8 to 12 (a table of 2^8 to 2^12), not 7."),
    (lambda f: wide_table.with_lut_length(NONE, 13),
     "lut_len must lie in 8 to 12 (a table of 2^8 to 2^12), not 13."),
    (lambda f: numerics.real_numbers(np.asarray([-2e39, 1, np.inf])),
     "float32 holds numbers up to 3.4e+38, not 2e+39"),
)  # fmt: skip


def rnn(
    shape: Any, *more: str, op: str = "LSTM", constants: Any = ("w", "r"), **given: Any
) -> Call:
    known = {name: ones(1) for name in constants}
    known["seven"] = whole(7)
    node = source(op, "x", "w", "r", *more, **given)
    return lambda f: recurrent.obstacle(node, model({"x": shape} if shape else {}, **known))


def padded(**given: Any) -> Call:
    return lambda f: padding._amounts(source("Pad", "x", **given), {}, (0, 1, 2, 3))


def amounts(*pads: int, axis: str = "") -> object:
    node, known = source("Pad", "x", "p", "", axis), {"p": whole(*pads), "a": whole(-1)}
    return str(padding._amounts(node, known, (0, 1, 2, 3)))


def tiled(*counts: int, **shapes: Any) -> Call:
    return lambda f: repeats.tile(state(shapes, r=whole(*counts)), source("Tile", "x", "r"))


def user(number: Any) -> Call:
    return lambda f: user_layers.checked({"Mine": (number, len)})


def hosted(op: str, *names: str, **shapes: Any) -> Call:
    found = model({"x": X, "y": X, **shapes}, c=ones(1))
    return lambda f: general.obstacle(found, source(op, *names))


FRONTEND: tuple[tuple[Call, str], ...] = (
    (rnn(None), "LSTM n must read a sequence [steps, batch, inputs] of known length, not None."),
    (rnn((7, 8)),
     "LSTM n must read a sequence [steps, batch, inputs] of known length, not (7, 8)."),
    (rnn((7, 2, 8)), "LSTM n must read a batch of 1, not of 2."),
    (rnn((2, 7, 8), layout=1), "LSTM n must read a batch of 1, not of 2."),
    (rnn((0, 1, 8)), "LSTM n must have 1 to 1024 steps, not 0: they are computed one by one."),
    (rnn((1025, 1, 8)),
     "LSTM n must have 1 to 1024 steps, not 1025: they are computed one by one."),
    (rnn((1024, 1, 8)), ""),
    (rnn((1, 1, 8), "", "", "", "", ""), ""),
    (rnn((7, 1, 8), "", "seven", "", "", "p", op="GRU"), ""),
    (rnn((7, 1, 8), constants=("r",)), "LSTM n must have constant weights W."),
    (rnn((7, 1, 8), constants=("w",)), "LSTM n must have constant weights R."),
    (rnn((7, 1, 8), "b"), "LSTM n must have constant a bias."),
    (rnn((7, 1, 8), "", "lengths"),
     "LSTM n must go through all its 7 steps, but its sequence length is computed."),
    (rnn((8, 1, 8), "", "seven"),
     "LSTM n must go through all its 8 steps, but its sequence length is 7."),
    (rnn((7, 1, 8), "", "seven", "", "", "p"), "LSTM n must have no peepholes."),
    (rnn((7, 1, 8), direction="up"),
     "LSTM n must have a direction of forward, reverse, bidirectional, not up."),
    (rnn((7, 1, 8), op="GRU", activations=["Sigmoid"]), "GRU n must have 2 activations, not 1."),
    (rnn((7, 1, 8), op="GRU", direction="bidirectional", activations=["Sigmoid", "Tanh"]),
     "GRU n must have 4 activations, not 2."),
    (rnn((7, 1, 8), op="GRU", activations=["Sigmoid", "Odd"]),
     "GRU n must have activations of Elu, HardSigmoid, LeakyRelu, Relu, Sigmoid, Softplus, "
     "Softsign, Tanh, ThresholdedRelu, not Odd."),
    (lambda f: amounts(0, 0, 1, 0, 0, 0, 0, 2), "((0, 1, 0), (0, 0, 2))"),
    (lambda f: amounts(3, 4, axis="a"), "((0, 0, 3), (0, 0, 4))"),
    (lambda f: padding._amounts(source("Pad", "x", pads=[0, 0, 0, 0, 0, 5]), {}, (0, 1, None)),
     "Pad n must not pad axis 2 of size 1, as [0, 0, 0, 0, 0, 5] does."),
    (padded(), "Pad n must have constant pads."),
    (padded(pads=[0, 0, 0, 0, 1, 0, 0, 0]),
     "Pad n must not pad the batch, as [0, 0, 0, 0, 1, 0, 0, 0] does."),
    (padded(pads=[2, 0, 0, 0, 0, 0, 0, 0]),
     "Pad n must not pad the batch, as [2, 0, 0, 0, 0, 0, 0, 0] does."),
    (lambda f: padding._amounts(source("Pad", "x", pads=[0, 0, 3, 0, 0, 0]), {}, (0, 1, None)),
     "Pad n must not pad axis 2 of size 1, as [0, 0, 3, 0, 0, 0] does."),
    (lambda f: padding._operand(source("Pad", "x", "p"), {}, 1, "pads"),
     "Pad n must have constant pads."),
    (lambda f: padding._cut(state(), source("Pad", "x"), (0, -4, 0), (0, 0, 0)),
     "Pad n must leave something of (6, 4, 5)."),
    (lambda f: padding._cut(state(), source("Pad", "x"), (-1, 0, 0), (-5, 0, 0)),
     "Pad n must leave something of (6, 4, 5)."),
    (lambda f: any_axes._numpy(source("Pad", "x"), "mirror"),
     "Pad n must pad by constant, edge, reflect or wrap."),
    (lambda f: any_axes.gather(state(), source("Gather", "x", "")),
     "Gather n must have features and constant indices."),
    (lambda f: any_axes.gather(state(x=ones(2), i=whole(1)), source("Gather", "x", "i")),
     "Gather n must have features and constant indices."),
    (lambda f: any_axes.split(state(), source("Split", "x", outputs=("unknown",))),
     "Split n must have sizes known from the file."),
    (lambda f: split.split(state(), source("Split", "x", outputs=("unknown",), axis=1)),
     "Split n must have sizes known from the file."),
    (lambda f: repeats.tile(state(), source("Tile", "x", "r")),
     "Tile n must have constant repeats."),
    (tiled(1, 1, 1), "Tile n must read [N, C, H, W] features."),
    (tiled(1, 1, 65, 2), "Tile n must repeat channels, rows and columns 1 to 64 times and the "
     "batch once, not [1, 1, 65, 2] times."),
    (tiled(2, 1, 1, 1), "Tile n must repeat channels, rows and columns 1 to 64 times and the "
     "batch once, not [2, 1, 1, 1] times."),
    (tiled(1, 1, 0, 1), "Tile n must repeat channels, rows and columns 1 to 64 times and the "
     "batch once, not [1, 1, 0, 1] times."),
    (lambda f: planes.feature(state(), source("Add", "x"), np.array([[[[np.nan, 1, -np.inf]]]])),
     "Add n must have a finite constant, but 2 of its 3 values are not."),
    (lambda f: norms.normalize(state(), source("LayerNormalization", "x", outputs=("y", "mean"))),
     "LayerNormalization n must have one output that is read."),
    (lambda f: products._gemm(state(), source("Gemm", "x", "", "")),
     "Gemm n must multiply features by constant weights."),
    (lambda f: products._gemm(state(x=ones(2), w=ones(2, 2)), source("Gemm", "x", "w", "")),
     "Gemm n must multiply features by constant weights."),
    (user("4"), "the layer_type of Mine must be a whole number, not '4'."),
    (user(True), "the layer_type of Mine must be a whole number, not True."),
    (user(3), "the layer_type of Mine must be from 1152 to 2147483647, not 3."),
    (hosted("Nothing", "x"), "Nothing is no operator of ONNX 21"),
    (hosted("Add", "c", "c"), "Add n reads no features"),
    (hosted("Add", "z", "x"), "the shape of z at Add n depends on the values"),
    (hosted("Add", "z", "x", z=(1, 0)), "z at Add n is empty"),
    (hosted("Add", "x", "c", ""), ""),
)  # fmt: skip


def resealed(change: Callable[[bytearray], None]) -> Call:
    """A file of two sections, one and three bytes long, with another header."""
    data = bytearray(sections.write_sections(sections.CFG_MAGIC, {"a": b"1", "b": b"two"}))
    end = sections._HEAD.size + 2 * sections._ENTRY.size
    change(data)
    data[end : end + 32] = hashlib.sha256(data[:end]).digest()
    return lambda f: sections.read_sections(sections.CFG_MAGIC, bytes(data), "f")


def set_byte(place: int, value: int) -> Callable[[bytearray], None]:
    return lambda data: data.__setitem__(place, value)


def owned(**changes: Any) -> Call:
    made = copying_program()
    return lambda f: program._require_own(
        paired(replace(made, meta=replace(made.meta, **changes))), "f"
    )


def array_cut(by: int) -> object:
    stream = io.BytesIO()
    np.save(stream, ones(4))
    return array_files._header(io.BytesIO(stream.getvalue()), len(stream.getvalue()) - by)


def first_waits() -> object:
    item: Matrix = small_matrix(wait=1 << Engine.RDMA)
    return clock.Queues(TINY).take(3, item, 1)


def whole_result(values: Any) -> object:
    entry = tensor("y", "u8", (3, 2, 4), 0)
    return sim_host.requantized(values, Made(name="g"), entry)


SECOND = sections._HEAD.size + sections._ENTRY.size
FILES: tuple[tuple[Call, str], ...] = (
    (resealed(set_byte(SECOND, ord("a"))), "f is damaged: it has two sections a."),
    (resealed(set_byte(SECOND + 16, 161)),
     "f is damaged: section b must start at byte 177, not 161."),
    (resealed(set_byte(SECOND + 24, 4)), "f is truncated: 180 bytes, needs 181."),
    (lambda f: program._require_known({"meta": b"", "odd": b""}, ("meta", "plan"), "f"),
     'f is damaged: its sections must be of meta, plan, not "odd".'),
    (lambda f: program._section({}, "code", "f"), "f has no section code."),
    (owned(constants_bytes=63), "f is damaged: constants_bytes must be 64, not 63."),
    (lambda f: program.program_chip(
        replace(copying_program(), meta=replace(copying_program().meta, chip_digest="0" * 64))),
     "the .cfg carries facts of chip tiny that do not match their hash."),
    (lambda f: array_cut(1), "its header asks for 16 bytes of numbers, and 15 are there"),
    (lambda f: array_cut(-2), "its header asks for 16 bytes of numbers, and 18 are there"),
    (lambda f: array_files.read_arrays(b"PK no"), "it is not a .npz file (File is not a zip file)"),
    (lambda f: first_waits(),
     "instruction 3 (matrix) waits for a token of RDMA that no earlier instruction sends."),
    (lambda f: sim_host.exactly(Made(name="g", operators=[Made(op="Add"), Made(op="Erf")])),
     "general layer g has Erf, which only ONNX Runtime computes."),
    (lambda f: whole_result(ones(1, 3, 4)),
     "general layer g must make float32 of shape (1, 3, 2, 4), not float32 of shape (1, 3, 4)."),
    (lambda f: whole_result(np.ones((1, 3, 2, 4))),
     "general layer g must make float32 of shape (1, 3, 2, 4), not float64 of shape (1, 3, 2, 4)."),
    (lambda f: sim_host._cast(ones(1), "int3"), "a cast to int3"),
    (lambda f: inputs._open_array(Path("a.npy"), [NONE, NONE], "nchw"),
     "a.npy can hold one input, but the network has 2."),
    (lambda f: outputs.read_text_form("SHAPE:(A:1,B:2)\n1,2"), "its axes are AB, not NCHW or NHWC"),
    (lambda f: dump._batch(f, 3, Made(), "x"),
     "{f}/batch_3.npy cannot be read: [Errno 2] No such file or directory: '{f}/batch_3.npy'."),
)  # fmt: skip


def trip_over(known: bool, free: bool) -> None:
    """A layer of the host before instruction 4, whose input is there or not."""
    entries = [tensor("x", "u8", (3, 2, 4), 64), tensor("y", "u8", (3, 2, 4), 640)]
    layer = Made(name="g", reads=["x"], output="y")
    shadow = Made(complete=lambda *_: known, write=lambda _: free)
    check = Made(_trips={4: [layer]}, _program=Made(meta=Made(tensors=entries), data=bytes(64)))
    check._write_result = lambda *parts: program_check.ProgramCheck._write_result(check, *parts)
    program_check.ProgramCheck._check_trip(check, shadow, 4)


def scored(classes: int | None, *sizes: int, label: int | None = None) -> object:
    forms = [Made(source=Made(path=Path(f"{at}.onnx"))) for at in range(len(sizes))]
    self = Made(job=Made(classes=classes), metric=None, forms=forms)
    shown = Made(label=label, name="a.png")
    return engine.Bench._label(self, [ones(size) for size in sizes], shown)


def fed_with(seen: Any) -> None:
    pin = Made(name="x", integral=True, dtype=U8, source="-qid")
    basis = Made(settings=Made(pins=[pin]), statistics={"x": seen})
    pins.check_integers(basis)


def range_of(low: float, high: float, integral: bool) -> Any:
    return Made(minimum=np.asarray([low]), maximum=np.asarray([high]), integral=integral)


def enough(point: Any, surely: Any) -> object:
    chips = [Made(name="a", facts={"mac_rows": 8}, on_chip_bytes=768 << 10, macs_per_cycle=512),
             Made(name="b", facts={}, on_chip_bytes=1 << 20, macs_per_cycle=1024)]  # fmt: skip
    found = Made(models=[None, Made(file="net.onnx")], chips=chips)
    row = Made(model=1, point=point, surely=surely)
    return sentences.told_of_rate(row, found, 29.5)


SMALL = Made(chip=0, level=1, bits=16, time=Made(rounded_ms=1.25))
LARGE = Made(chip=1, level=0, bits=None, time=Made(rounded_ms=0.5))
SMALLEST = ("net.onnx: the smallest chip for 29.5 frames/s is a mac_rows=8 (level 1, 16 bits) with "
            "768 KiB on chip and 512 MAC/cycle: 1.25 ms")  # fmt: skip


def limited(part: str, saves: float) -> object:
    """A network of 2 ms and 1000 cycles, of which one part would save so much."""
    items = [Made(part=item, time_ms=2 * (1 - (saves if item == part else 0.0)))
             for item in LIMITERS]  # fmt: skip
    found = Made(name="net", time_ms=2.0, cycles=1000, what_ifs=items, ddr_utilization=0.5,
                 busy_cycles={"RCCN": 251, "RCVT": 753})  # fmt: skip
    return summary.limiter_sentence(found)


BUSY = "Busy: vector engine 75%, DDR 50%, matrix engine 25%."


def made_of(inferred: Any, broken: Any = (), known: Any = X) -> None:
    """What stands against a node, by its definition, where its output has a known shape."""
    definition = Made(broken=lambda view, structural: broken, infer=lambda view: inferred)
    builder = Made(name="g", tensors={}, constants={})
    with (
        patch.dict(ops.BY_NAME, {"Op": definition}),
        patch.object(ops, "View", lambda *_: Made(output=Made(shape=known))),
        patch.object(compute, "Graph", lambda *_: None),
    ):
        compute.check_made(Made(builder=builder), Made(op="Op"))


def too_slow(*cycles: int) -> None:
    layers = [Made(node=Made(name=f"l{at}"), estimated_cycles=one) for at, one in enumerate(cycles)]
    emit._check_cycles(Made(layers=layers))


def gained(low: Any, high: Any) -> object:
    return plugin.Difference(0.5, 0.25, low, high).gain


WHOLE = "input x must be fed whole numbers from 0 to 255 (-qid), but the data holds "
REST: tuple[tuple[Call, str], ...] = (
    (lambda f: trip_over(False, True),
     "general layer g reads tensor x, which is not wholly written before instruction 4."),
    (lambda f: trip_over(True, False),
     "general layer g overwrites an output of the network with y."),
    (lambda f: scored(None, 10, 12),
     "the models must give equally many scores, not 10 of 0.onnx, 12 of 1.onnx."),
    (lambda f: scored(9, 10, 10),
     "the pictures lie in 9 folders of classes, but the models give 10 scores: which score is of "
     "which class is not known."),
    (lambda f: scored(None, 10, 10, label=9), "9"),
    (lambda f: scored(None, 10, 10, label=10),
     "a.png is of class 10, but the models give 10 scores."),
    (lambda f: fed_with(range_of(0, 255, True)), ""),
    (lambda f: fed_with(None), ""),
    (lambda f: fed_with(range_of(-3, 255, True)), WHOLE + "numbers from -3 to 255."),
    (lambda f: fed_with(range_of(0, 256, True)), WHOLE + "numbers from 0 to 256."),
    (lambda f: fed_with(range_of(0, 0.5, False)), WHOLE + "fractions from 0 to 0.5."),
    (lambda f: mix_budget.check_budget(Made(amount=1), Made(bit_widths=(8,), chip="little")),
     "little multiplies 8 bits only: a mix with 16 bits does not run there."),
    (lambda f: errors.next_step([Finding("a", "Erf is odd."), Finding("b", "Sin: is odd."),
                                 Finding("c", "Erf is other.", "do")]),
     "export a network without these operators, or not as it has them: Erf (2), Sin (1)"),
    (lambda f: errors.next_step([Finding("a", "x.", "do this"), Finding("b", "y.", "do this")]),
     "do this"),
    (lambda f: chance_told(0.125, 8, 16, "net"),
     "net itself is right for 2 of 16 pictures, 12.50 %, and chance of 8 classes is 12.50 %: "
     "labels of another network or order, or another preprocessing than that of its training; "
     "what is measured against it says little."),
    (lambda f: chance_told(0.125, 8, 9, "net"), ""),
    (lambda f: detection.boxes_of((1, 2, 3, 4)),
     "it returned 4 arrays where boxes, scores, classes belong."),
    (lambda f: detection.boxes_of((ones(2, 4), ones(3))),
     "it returned 2 boxes, 3 scores and 2 classes."),
    (lambda f: detection.boxes_of((ones(2, 4), ones(2) * np.inf)),
     "it returned a box or a score that is not finite."),
    (lambda f: detection.boxes_of((ones(2, 4) * np.nan, ones(2))),
     "it returned a box or a score that is not finite."),
    (lambda f: detection.boxes_of("no"),
     "it returned no boxes: could not convert string to float: 'no'."),
    (lambda f: enough(None, None), "net.onnx: no chip here runs 29.5 frames/s."),
    (lambda f: enough(SMALL, None), f"{SMALLEST}; with the bar against it none here is."),
    (lambda f: enough(SMALL, SMALL), f"{SMALLEST}, its bar included."),
    (lambda f: enough(SMALL, LARGE),
     f"{SMALLEST}; with the bar against it b (level 0) with 1024 KiB on chip and 1024 MAC/cycle: "
     "0.5 ms."),
    (lambda f: limited("ddr", 0.12),
     f"The DDR's rate limits net: twice the rate saves 12% of the time. {BUSY}"),
    (lambda f: limited("ddr", 0.001),
     f"No part alone limits net: they wait for each other. {BUSY}"),
    (lambda f: made_of(X), ""),
    (lambda f: made_of(X, ("a is odd", "b is not")), "Op: a is odd; b is not."),
    (lambda f: made_of((1, 6, 0, 5)), "Op: its output is empty, of shape (1, 6, 0, 5)."),
    (lambda f: made_of(X, known=(1, 6, 5, 4)),
     "Op: by its definition its output has shape (1, 6, 4, 5), but ONNX's shape inference gives "
     "(1, 6, 5, 4)."),
    (lambda f: too_slow(2**63 - 1), ""),
    (lambda f: too_slow(2**63, 5, 2**63 + 1),
     "2 layer(s) take more cycles on this chip than can be counted: l0: it takes "
     "9223372036854775808 cycles, a .cfg counts up to 9223372036854775807."),
    (lambda f: gained(-0.5, 1.0), "-0.2500, 95 % interval -1.0000 to +0.5000"),
    (lambda f: gained(None, None),
     "-0.2500, no interval: a picture alone gives no numbers of it"),
    (lambda f: cycles.parse_budget("5 apples"),
     "the budget of a mix must be percent of extra cycles (5, 2.5%) or a number of them "
     "(20000cycles), not '5 apples'."),
    (lambda f: texts.span("3:x"), "3:x must be FIRST:LAST, two numbers from 0 up."),
    (lambda f: texts.span("4:3"), "4:3 must be FIRST:LAST, two numbers from 0 up."),
    (lambda f: str(texts.span("3")), "(3, 3)"),
    (lambda f: host._same(state(), source("Add", "x", "x", "x")),
     "Add n must have two operands on the host."),
    (lambda f: host._same(state(), source("Add", "x", "x", b=1, a=2)),
     "Add n must have no attributes, not a, b."),
    (lambda f: host._attribute(source("Op"), "beta", [1.0, np.inf]),
     "attribute beta of Op n must be finite numbers or texts."),
    (lambda f: picture._pixels(ones(4, 5)),
     "pixels must be uint8 [H, W, 3] or [H, W], not float32 [4, 5]."),
    (lambda f: picture._pixels(np.zeros((4, 5, 4), np.uint8)),
     "pixels must be uint8 [H, W, 3] or [H, W], not uint8 [4, 5, 4]."),
    (lambda f: picture._pixels(np.zeros((0, 5), np.uint8)),
     "pixels must be uint8 [H, W, 3] or [H, W], not uint8 [0, 5]."),
    (lambda f: picture._pixels(np.zeros(3, np.uint8)),
     "pixels must be uint8 [H, W, 3] or [H, W], not uint8 [3]."),
    (lambda f: str(picture._pixels(np.zeros((4, 5), np.uint8)).size), "(5, 4)"),
    (lambda f: str(picture._pixels(np.zeros((4, 5, 3), np.uint8)).size), "(5, 4)"),
)  # fmt: skip


def told(call: Call, folder: Path) -> str:
    """The sentence of what a call raises or returns; a text that it returns."""
    try:
        found = call(folder)
    except (errors.KnightliteError, ValueError) as error:
        found = error
    text = getattr(found, "sentence", found if isinstance(found, str) else str(found or ""))
    return re.sub(re.escape(str(folder)), "{f}", str(text))


def named(part: object) -> str:
    return part if isinstance(part, str) else ""


@pytest.mark.parametrize(("call", "sentence"), [*OPERATORS, *FRONTEND, *FILES, *REST], ids=named)
def test_sentence(call: Call, sentence: str, tmp_path: Path) -> None:
    assert told(call, tmp_path) == sentence
