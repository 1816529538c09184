"""Limits of instructions, programs and networks, as in ``limit_rows``: at N, and beyond it."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace as Made
from typing import Any
from unittest.mock import MagicMock, patch

import numpy as np

from assembled import (
    RCCN,
    RDMA,
    S8,
    TINY,
    copying_program,
    load,
    make,
    program,
    small_matrix,
    store,
    tensor,
)
from knightlite import isa
from knightlite.container.description import Piece, Region
from knightlite.diagnosis import preprocessing
from knightlite.errors import UnsupportedError
from knightlite.foreign import paddle_model, pytorch
from knightlite.frontend import any_operators, interpreter, model_files
from knightlite.frontend import load as load_model
from knightlite.isa import Engine, Pool, Resize, Space, SparseMatrix
from knightlite.isa.instructions import ResizeMode
from knightlite.lower import convolution, sparse, work
from knightlite.options import quantize_rules
from knightlite.passes.fuse_activation import FuseActivation
from knightlite.quantize.data import input_files
from knightlite.quantize.mixed import mix_config
from knightlite.sim import Machine, checks, host, ordering, outputs
from knightlite.sim import inputs as sim_inputs
from knightlite.sim.program_check import ProgramCheck
from limit_rows import Rows
from onnx_nets import Net

# ------------------------------------------------------------------ instructions and programs


def moved(**fields: Any) -> object:
    """The copying program, whose input is described otherwise."""
    x = tensor("x", "u8", (3, 2, 4), 64)
    return machine_of(replace(x, **fields))


def beside(at: int) -> object:
    """The copying program, and a layer on the host before instruction ``at``."""
    made = copying_program()
    meta = replace(made.meta, general=(Made(name="g", at=at),))  # type: ignore[arg-type]
    check = Made(_program=replace(made, meta=meta), _instructions=[None] * 4, _chip=TINY)
    return ProgramCheck._check_tensors(check, 1 << 16)  # type: ignore[arg-type]


def result_at(address: int) -> None:
    """A layer on the host writes there; constants take 64 bytes."""
    module = sys.modules[ProgramCheck.__module__]
    check = Made(_program=Made(data=bytes(64), meta=Made(regions=())))
    shadow = Made(write=lambda operand: True)
    with patch.object(module, "tensor_operand", lambda *parts: [Made(address=address)]):
        ProgramCheck._write_result(check, shadow, Made(name="g"), Made(name="y"))  # type: ignore[arg-type]


def bordered(known: int) -> None:
    """The second instruction, behind work of the host, knows so much of the first's queue."""
    items = [load(Space.FSPM, 64, 8), small_matrix()]
    first, second = (int(item.ENGINE) for item in items)
    clock = [0] * len(Engine)
    clock[first] = known
    ordered = [
        ordering.Ordered(first, 1, (0,) * len(Engine)),
        ordering.Ordered(second, 1, tuple(clock)),
    ]
    ordering.check_borders(items, ordered, ("a",), {1})


def piece(address: int) -> tuple[Piece, ...]:
    """Two rows of twelve bytes in FSPM."""
    return (Piece(0, 2, address, 12, 3, 0, 0),)


def machine_of(entry: Any) -> object:
    made = copying_program()
    meta = replace(made.meta, inputs=(entry,), tensors=(entry, *made.meta.tensors[1:]))
    machine = Machine(replace(made, meta=meta))
    check = ProgramCheck(machine.program, machine.chip, machine.instructions)
    return check._check_tensors(1 << 16)


def pictures(*counts: int, observe: bool = False) -> object:
    """The copying program, with another input that nothing reads, fed so many pictures each."""
    made = copying_program()
    entries = [tensor(name, "u8", (3, 2, 4), at) for name, at in (("x", 64), ("z", 1024))]
    entries = entries[: len(counts)]
    found = Machine(replace(made, meta=replace(made.meta, inputs=tuple(entries))))
    given = {entry.name: np.zeros((count, 3, 2, 4), np.uint8)
             for entry, count in zip(entries, counts, strict=True)}  # fmt: skip
    return found.run(given, (lambda name, values: None) if observe else None)


def tokens(count: int) -> object:
    """So many tokens on their way, behind one that is known to be taken."""
    sent = [load(Space.FSPM, 64, 8, signal=RCCN)] * (count - 1)
    taken = [small_matrix(wait=RDMA)] * count
    before = [load(Space.FSPM, 64, 8, signal=RCCN), small_matrix(wait=RDMA, signal=RDMA)]
    back = load(Space.FSPM, 64, 8, wait=RCCN, signal=RCCN)
    return ordering.order([*before, back, *sent, *taken], ("a", "b", "c"))


def structure(item: Any) -> object:
    sizes = {Space.DDR: 1 << 16, Space.FSPM: TINY.fspm_bytes}
    return checks.StructureCheck(TINY, sizes, 64, ("a", "b", "c")).check(0, item)


GIVEN = Region("inputs", 128, 8)


def to(address: int) -> Any:
    """A store of 8 bytes."""
    return store(0, address, 8)


def transferred(item: Any, *regions: Region) -> object:
    """Of a transfer of 8 bytes, behind 64 bytes of constants."""
    check = checks.StructureCheck(TINY, {}, 64, ("a",), regions)
    return check._ddr_problem(item) or ""


def stored(**given: int) -> object:
    """64 blocks of one weight, behind a mask of 16 bytes."""
    return checks._sparse_problem(make(SparseMatrix, x_channels=8, y_channels=8, **given))


def units(first: int, second: int, mode: ResizeMode) -> object:
    return checks._resize_problem(make(Resize, mode=mode, unit_height=first, unit_width=second))


def window(high: int, wide: int, channels: int) -> object:
    item = make(Pool, kernel_height=high, kernel_width=wide, x_height=high, x_width=wide,
                x_channels=channels, y_channels=channels)  # fmt: skip
    return checks._shape_problem(item)


def clamp(low: int, high: int) -> object:
    return checks._clamp_problem(small_matrix(y_type=S8, y_low=low, y_high=high))


def fed(frame_count: int | None, frame_step: int) -> object:
    entry = tensor("x", "u8", (1, 1, 2), 0)
    return sim_inputs.read("missing.bin", [entry], "nchw", frame_count, frame_step)


def host_step(rows: int, results: int = 1) -> object:
    step = Made(op="Add", inputs=("a", "b"), outputs=("y",) * results, constants={}, attributes={})
    wide = np.broadcast_to(np.float32(1), (1 << 14, 1)), np.broadcast_to(np.float32(1), (1, rows))
    found = host._elements(step, wide)  # type: ignore[arg-type]
    with patch.dict(host.KINDS, {"Add": lambda operands, attributes: np.zeros(1)}):
        return host._compute(step, dict(zip("ab", wide, strict=True))) if found else None  # type: ignore[arg-type]


MACHINE: Rows = {
    "isa/assembly.py:disassemble": (
        (lambda f: isa.disassemble(isa.assemble([load(Space.FSPM, 0, 8)])), ""),
        (lambda f: isa.disassemble(isa.assemble([load(Space.FSPM, 0, 8)])[:-1]),
         "the code ends inside"),
    ),
    "sim/checks.py:field_problem": (
        (lambda f: checks.field_problem(small_matrix(x_type=2)), ""),
        (lambda f: checks.field_problem(small_matrix(x_type=3)),
         "x_type of u8, s8 or s16, not code 3."),
        (lambda f: checks.field_problem(small_matrix(weight_type=2)), ""),
        (lambda f: checks.field_problem(small_matrix(weight_type=3)),
         "weights of s8, s16 or u8, not code 3."),
    ),
    "sim/checks.py:_shape_problem": (
        (lambda f: window(256, 256, 4096), ""),
        (lambda f: window(256, 257, 4096), "covers 256 x 257 x 4096 inputs"),
    ),
    "sim/checks.py:_sparse_problem": (
        (lambda f: stored(blocks=64, stored_bytes=17), ""),
        (lambda f: stored(groups=1, stored_bytes=17), ""),
        (lambda f: stored(groups=2, stored_bytes=17), "must have 1 group"),
        (lambda f: stored(blocks=65, stored_bytes=17), "at most 64 blocks, not 65"),
        (lambda f: stored(stored_bytes=16), "than its mask, 16, not 16"),
    ),
    "sim/checks.py:_resize_problem": (
        (lambda f: units(1 << 11, 1 << 12, ResizeMode.LINEAR), ""),
        (lambda f: units(1 << 11, (1 << 12) + 1, ResizeMode.LINEAR), "at most 8388608, not"),
        (lambda f: units(1 << 11, (1 << 12) + 1, ResizeMode.NEAREST), ""),
    ),
    "sim/checks.py:_clamp_problem": (
        (lambda f: clamp(127, 128), ""),
        (lambda f: clamp(128, 128), "has an empty y clamp [128, 128] for s8."),
        (lambda f: clamp(5, 5), ""),
        (lambda f: clamp(6, 5), "has an empty y clamp [6, 5] for s8."),
    ),
    "sim/checks.py:require_fields": (
        (lambda f: structure(load(Space.FSPM, 64, 8, layer=2)), ""),
        (lambda f: structure(load(Space.FSPM, 64, 8, layer=3)),
         "must name one of 3 layers, not 3."),
    ),
    "sim/checks.py:StructureCheck._ddr_problem": (
        (lambda f: transferred(to(64)), "="),
        (lambda f: transferred(to(63)), "stores to DDR 0x3f inside the 64 bytes"),
        (lambda f: transferred(to(120), GIVEN), "="),
        (lambda f: transferred(to(121), GIVEN), "touches DDR [0x79,"),
        (lambda f: transferred(to(136), GIVEN, Region("outputs", 136, 8)), "="),
        (lambda f: transferred(to(128), GIVEN),
         "stores to DDR 0x80 inside the inputs' own memory."),
    ),
    "sim/checks.py:StructureCheck._operand_problem": (
        (lambda f: structure(load(Space.FSPM, 64, 8, local_address=4088)), ""),
        (lambda f: structure(load(Space.FSPM, 64, 8, local_address=4089)),
         "touches FSPM [0xff9, 0x1001)"),
    ),
    "sim/host.py:_compute": (
        (lambda f: host_step(1 << 14), ""),
        (lambda f: host_step((1 << 14) + 1), "268451840 elements for 1 outputs"),
        (lambda f: host_step(1, results=2), "16384 elements for 2 outputs"),
    ),
    "sim/inputs.py:read": (
        (lambda f: fed(1, 0), "missing.bin does not exist"),
        (lambda f: fed(None, 0), "missing.bin does not exist"),
        (lambda f: fed(0, 0), "at least 1 and the frame step at least 0"),
        (lambda f: fed(1, -1), "at least 1 and the frame step at least 0"),
    ),
    "sim/machine.py:Machine.__init__": (
        (lambda f: Machine(program([], bytes(64), ddr_bytes=64)), ""),
        (lambda f: Machine(program([], bytes(64), ddr_bytes=TINY.ddr_bytes)), ""),
        (lambda f: Machine(program([], bytes(64), ddr_bytes=63)),
         "asks for 63 bytes of DDR, with 64"),
        (lambda f: Machine(program([], bytes(64), ddr_bytes=TINY.ddr_bytes + 1)),
         "bytes on the chip"),
    ),
    "sim/machine.py:Machine.run": (
        (lambda f: pictures(1, observe=True), ""),
        (lambda f: pictures(2, observe=True), "observed of 1 picture at a time, not of 2"),
    ),
    "sim/machine.py:Machine._count": (
        (lambda f: pictures(1), ""),
        (lambda f: pictures(0), "not uint8 of shape (0, 3, 2, 4)"),
        (lambda f: pictures(2, 2), ""),
        (lambda f: pictures(2, 1), "equally many pictures, not x 2, z 1"),
    ),
    "sim/ordering.py:order": (
        (lambda f: tokens(255), ""),
        (lambda f: tokens(256), "to 256, beyond 255."),
    ),
    "sim/ordering.py:check_borders": (
        (lambda f: bordered(1), ""),
        (lambda f: bordered(0), "no token says that RDMA is done"),
    ),
    "sim/outputs.py:read_text_form": (
        (lambda f: outputs.read_text_form("SHAPE:(N:1, C:1, H:1, W:1)\n1").shape, ""),
        (lambda f: outputs.read_text_form("SHAPE:(N:1, H:1, W:1, C:1)\n1").shape, ""),
        (lambda f: outputs.read_text_form("SHAPE:(1, 1)\n1").shape, ""),
        (lambda f: outputs.read_text_form("SHAPE:(N:1, C:1, W:1, H:1)\n1"), "its axes are NCWH"),
    ),
    "sim/program_check.py:ProgramCheck._write_result": (
        (lambda f: result_at(64), ""),
        (lambda f: result_at(63), "writes to DDR 0x3f, inside the constants"),
    ),
    "sim/program_check.py:ProgramCheck._check_tensors": (
        (lambda f: moved(address=(1 << 16) - 24), ""),
        (lambda f: moved(address=(1 << 16) - 23), "tensor x ends at DDR 0x10001, beyond 65536"),
        (lambda f: moved(address=64), ""),
        (lambda f: moved(address=63), "input x lies at DDR 0x3f, inside the constants"),
        (lambda f: moved(pieces=piece(4096 - 24)), ""),
        (lambda f: moved(pieces=piece(4096 - 23)), "tensor x ends at FSPM 0x1001, beyond 4096"),
        (lambda f: beside(4), ""),
        (lambda f: beside(5), "or behind the last, not before number 5"),
        (lambda f: moved(ready=3), ""),
        (lambda f: moved(ready=4), "ready after one of 4 instructions, not after number 4"),
    ),
}  # fmt: skip

# ------------------------------------------------------------------ layers and the chip


def view(**known: Any) -> Any:
    """Of an operator with these attributes, and tensors x and y of its shape."""
    made = Made(shape=known.get("shape", (1, 1, 1, 1)), name="x", dtype=Made(bits=8))
    return Made(
        integers=lambda name: known[name], integer=lambda name: known[name],
        tensor=lambda place: made, output=made,
        graph=Made(constants={"w": known.get("weights")}, chip_outputs=()),
        node=Made(op=known.get("op", "Conv"), inputs=("x", "w"), attributes=known),
        constant=lambda place: known.get("weights"),
    )  # fmt: skip


def window_of(kernel: int, stride: int, pad: int) -> object:
    return work.window_limits(view(pads=(0, 0, pad, 0)), (1, kernel), (stride, 1))


def dilated(dilation: int) -> object:
    known = {"dilations": (1, dilation), "pads": (0,) * 4, "strides": (1, 1)}
    return convolution._check_window(view(**known, weights=np.zeros((1, 1, 1, 1))), TINY)


def sized(size: int, place: int) -> object:
    shape = [1, 1, 1, 1]
    shape[place] = size
    return work.size_limits(view(shape=tuple(shape)), TINY)


def skips(inputs: int, group: int = 1) -> object:
    chip = replace(TINY, matrix_packed_channels=4)
    made = sparse._layer_of(view(group=group, weights=np.zeros((8, inputs, 3, 3), np.int8)), chip)
    return made if isinstance(made, str) else ""


def takes_table(mspm_bytes: int) -> object:
    """A PRelu, whose two sides of 16 channels are 256 bytes."""
    producer = Made(op="Conv", parts=())
    chip = replace(TINY, mspm_bytes=mspm_bytes)
    return FuseActivation().obstacle(view(op="PRelu"), chip, producer, (None,))  # type: ignore[arg-type]


LAYERS: Rows = {
    "lower/work.py:window_limits": (
        (lambda f: window_of(255, 255, 255), ""),
        (lambda f: window_of(256, 1, 0), "must be at most 255, not 256"),
        (lambda f: window_of(1, 256, 0), "must be at most 255, not 256"),
        (lambda f: window_of(1, 1, 256), "must be at most 255, not 256"),
    ),
    "lower/convolution.py:_check_window": (
        (lambda f: dilated(255), ""),
        (lambda f: dilated(256), "dilation must be at most 255, not 256"),
    ),
    "lower/work.py:size_limits": (
        (lambda f: sized(65535, 1), ""),
        *((lambda f, at=at: sized(65536, at), "at most 65535 channels, rows and columns")
          for at in (1, 2, 3)),
    ),
    "lower/sparse.py:_layer_of": (
        (lambda f: skips(5), ""),
        (lambda f: skips(4), "its 4 input channels share lanes"),
        (lambda f: skips(5, group=2), "its channels are grouped"),
    ),
    "passes/fuse_activation.py:FuseActivation.obstacle": (
        (lambda f: takes_table(768), ""),
        (lambda f: takes_table(767), "its 256 bytes must be at most a third of MSPM's 767"),
    ),
}  # fmt: skip

# ------------------------------------------------------------------ networks that are read


def loaded(folder: Path, net: Net, *outputs: str, **options: Any) -> object:
    load_model(net.save(folder, *outputs), **options)
    return None


def single(folder: Path, op: str, *constants: Any, shape: tuple[int, ...] = (1, 4, 5, 6),
           opset: int = 13, behind: bool = True, **attributes: Any) -> object:  # fmt: skip
    """A network of one operator behind a convolution; its sentence where it is refused."""
    net = Net(opset)
    x = net.input("x", shape)
    if behind:
        x = net.conv(x, "c", (shape[1], shape[1], 1, 1))
    names = ["" if item is None else net.weight(f"k{at}", np.asarray(item))
             for at, item in enumerate(constants)]  # fmt: skip
    net.node(op, [x, *names], "y", **attributes)
    net.node("MaxPool", ["y"], "z", kernel_shape=[1, 1])  # at the end the host would do it
    elsewhere = UnsupportedError("no other layout is tried here.")
    try:
        with patch.object(any_operators, "compute", side_effect=elsewhere):
            load_model(net.save(folder, "z"))
    except Exception as error:
        found = getattr(error, "findings", ())
        return " ".join(map(str, found)) or str(error)
    return ""


def singles(values: list[float]) -> Any:
    return np.array(values, np.float32)


def cut_pads(last: int) -> tuple[int, ...]:
    return (0, 0, -3, 0, 0, 0, last, 0)


def called(kind: Any, count: int) -> object:
    built = Made(where="f", inputs=None, input_names=("a",), loaded=False, concrete={})
    shapes = [[1, 3, 8, 8]] * count
    built.inputs = (MagicMock(),)
    tool = MagicMock()
    if kind is pytorch:
        return pytorch._examples(tool, built, ("a",), shapes) and None  # type: ignore[arg-type]
    with patch.object(paddle_model, "_specification"):
        return paddle_model._specifications(tool, built, shapes) and None  # type: ignore[arg-type]


def repeated(folder: Path, *counts: int) -> object:
    return single(folder, "Tile", np.array(counts))


NETWORKS: Rows = {
    "foreign/paddle_model.py:_specifications": (
        (lambda f: called(paddle_model, 1), ""),
        (lambda f: called(paddle_model, 2), "f has 1 inputs, but 2 shapes were given."),
    ),
    "foreign/pytorch.py:_examples": (
        (lambda f: called(pytorch, 1), ""),
        (lambda f: called(pytorch, 2), "f has 1 inputs, but 2 shapes were given."),
    ),
    "frontend/interpreter.py:Answer.reason": (
        (lambda f: interpreter.Answer(None, ("It failed.",), 0).reason, "=It failed"),
        (lambda f: interpreter.Answer(None, ("It failed.",), -1).reason, "crashed with signal 1"),
    ),
    "frontend/model_files.py:framework_of": (
        (lambda f: model_files.framework_of(Path("m.onnx"), "onnx"), "=onnx"),
        (lambda f: model_files.framework_of(Path("m"), "pytorch"), "=pytorch"),
        (lambda f: model_files.framework_of(Path("m.onnx"), "paddle"), "onnx"),
    ),
    "frontend/padding.py:_cut": (
        (lambda f: single(f, "Pad", np.array(cut_pads(-1))), ""),
        (lambda f: single(f, "Pad", np.array(cut_pads(-2))), "Pad_y"),
    ),
    "frontend/padding.py:_border": (
        (lambda f: single(f, "Pad", np.array((0, 0, 4, 0, 0, 0, 4, 0)), mode="reflect"), ""),
        (lambda f: single(f, "Pad", np.array((0, 0, 0, 0, 0, 0, 5, 0)), mode="reflect"),
         "fewer than 5 elements, not 5"),
        (lambda f: single(f, "Pad", np.array((0, 0, 5, 0, 0, 0, 0, 0)), mode="reflect"),
         "fewer than 5 elements, not 5"),
    ),
    "frontend/repeats.py:tile": (
        (lambda f: repeated(f, 1, 1, 64, 1), ""),
        (lambda f: repeated(f, 1, 1, 65, 1), "1 to 64 times"),
        (lambda f: repeated(f, 2, 1, 1, 1), "the batch once"),
    ),
    "frontend/decompose.py:_over_channels": (
        (lambda f: single(f, "ReduceMean", axes=[1]), ""),
        (lambda f: single(f, "ReduceMax", axes=[1]), "over channels has no instruction"),
        (lambda f: single(f, "ReduceMin", axes=[1]), "over channels has no instruction"),
    ),
    "frontend/decompose.py:_reduce": (
        (lambda f: single(f, "ReduceMean", axes=[1]), ""),
        (lambda f: single(f, "ReduceMean", axes=[1, 2]),
         "must reduce channels, or height and width"),
        (lambda f: single(f, "ReduceMean", axes=[0]), "must reduce channels, or height and width"),
    ),
    "ops/resize.py:from_onnx": (
        (lambda f: single(f, "Resize", None, singles([1, 1, 2, 2]), mode="nearest",
                          nearest_mode="floor", coordinate_transformation_mode="asymmetric"), ""),
        (lambda f: single(f, "Resize", None, singles([1, 1, 2, 2]), mode="linear"), ""),
        (lambda f: single(f, "Resize", None, singles([1, 1, 2, 2]), mode="cubic",
                          coordinate_transformation_mode="tf_crop_and_resize"),
         "nearest or linear, not cubic"),
    ),
    "ops/resize.py:_old_rounding": (
        (lambda f: single(f, "Resize", singles([1, 1, 2, 2]), opset=10), ""),
        (lambda f: single(f, "Resize", singles([1, 1, 2, 0.5]), opset=10),
         "must not shrink one axis"),
    ),
    "ops/slice.py:from_onnx": (
        (lambda f: single(f, "Slice", np.array([0]), np.array([5]), np.array([2]), np.array([1])),
         ""),
        (lambda f: single(f, "Slice", np.array([4]), np.array([0]), np.array([2]), np.array([-1])),
         "must have positive steps"),
    ),
}  # fmt: skip

# ------------------------------------------------------------------ what quantizes


def entry(**fields: object) -> object:
    return " ".join(mix_config._wrong(fields))


def combined(run_mode: str, iterations: tuple[int, ...] = (1, 2)) -> None:
    asked = Made(methods=("mse",), iterations=iterations, effort="normal", run_mode=run_mode,
                 dump=False, cache=None)  # fmt: skip
    quantize_rules._one_combination(asked)


def pixels(channels: int) -> object:
    graph = Made(inputs=("x",), tensors={"x": Made(shape=(1, channels, 8, 8))})
    return preprocessing._no_pixels(graph, MagicMock(), (0.0, 1.0)) or ""  # type: ignore[arg-type]


def listed(*counts: int) -> None:
    sources = tuple(
        Made(files=lambda count=count: ["f"] * count, tensor=Made(name=f"x{count}"))
        for count in counts
    )
    input_files.InputFiles.__post_init__(
        MagicMock(spec=[], sources=sources, iteration=1, batch_size=1)
    )


SEVERAL = "takes one value of -qm and of -i, not several."
QUANTIZERS: Rows = {
    "quantize/mixed/mix_config.py:_wrong": (
        (lambda f: entry(bitwidth=8), ""),
        (lambda f: entry(bitwidth=16), ""),
        (lambda f: entry(bitwidth=None), ""),
        (lambda f: entry(bitwidth=12), "bitwidth must be 8 or 16, not 12."),
        *((lambda f, mode=mode: entry(mode=mode), "")
          for mode in (None, "mse", "kl", "percentile", "min_max")),
        (lambda f: entry(mode="best"), "mode must be one of"),
    ),
    "options/quantize_rules.py:_one_combination": (
        (lambda f: combined("infer", (1,)), ""),
        (lambda f: combined("infer"), f"run mode infer {SEVERAL}"),
        (lambda f: combined("convert"), f"run mode convert {SEVERAL}"),
        (lambda f: combined("compare"), ""),
    ),
    "diagnosis/preprocessing.py:_no_pixels": (
        (lambda f: pixels(1), ""),
        (lambda f: pixels(3), ""),
        (lambda f: pixels(2), "an input of 2 channels is no picture"),
    ),
    "quantize/data/input_files.py:InputFiles.__post_init__": (
        (lambda f: listed(2), ""),
        (lambda f: listed(1, 2), "equally many files, not 1 of x1, 2 of x2."),
    ),
}  # fmt: skip

ROWS: Rows = {**MACHINE, **LAYERS, **NETWORKS, **QUANTIZERS}
