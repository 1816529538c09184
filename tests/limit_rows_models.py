"""Limits of models and figures, as in ``limit_rows``: at N, and beyond it."""

from __future__ import annotations

import math
import struct
from pathlib import Path
from types import SimpleNamespace as Made
from typing import Any
from unittest.mock import patch

import numpy as np
import onnx
from onnx import TensorProto, helper

from knightlite import numerics
from knightlite.api.evaluation import state, stored_frames
from knightlite.container import description
from knightlite.diagnosis import causes, weight_causes
from knightlite.diagnosis import findings as diagnosed
from knightlite.errors import ModelError
from knightlite.evaluation import tally
from knightlite.events import Event
from knightlite.foreign import model_function
from knightlite.frontend import (
    constant_folding,
    constant_runs,
    onnx_bounds,
    onnx_file,
    opsets,
    paddle_forms,
    paddle_pir,
    paddle_weights,
)
from knightlite.metrics import detection
from knightlite.native import headers
from knightlite.ops import host_model
from knightlite.profiler.profile import MATRIX, _Work
from limit_rows import Rows, node, saved, written

# ------------------------------------------------------------------ models


def model_of(nodes: int, opset: int = 13) -> onnx.ModelProto:
    made = [helper.make_node("Relu", ["x"], ["y"])] * nodes
    info = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    return helper.make_model(
        helper.make_graph(made, "g", [], [info]), opset_imports=[helper.make_opsetid("", opset)]
    )


def called_deep(depth: int) -> object:
    """Functions that call one another; the graph calls the first."""
    functions: dict[Any, Any] = {
        ("own", f"f{k}"): Made(
            name=f"f{k}",
            node=[helper.make_node(f"f{k + 1}" if k < depth else "Relu", ["a"], ["b"],
                                   domain="own" if k < depth else "")],
        )
        for k in range(1, depth + 1)
    }  # fmt: skip
    call = helper.make_node("f1", ["x"], ["y"], domain="own")
    return onnx_bounds._written_out([call], functions, ModelError)


def known_opset(opset: int) -> object:
    return onnx_file._known_opset(model_of(1, opset), Path("m"), {})


def kept_outside(folder: Path, **entries: int) -> None:
    """A tensor of two numbers in a file of 8 bytes."""
    written(folder, bytes(8), "w.bin")
    tensor = onnx.TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2])
    for key, value in {"location": "w.bin", **entries}.items():
        tensor.external_data.add(key=key, value=str(value))
    onnx_file._load_external(tensor, "w", folder / "m.onnx")


def dims(*sizes: int) -> None:
    tensor = onnx.TensorProto(name="w", data_type=TensorProto.FLOAT, dims=sizes)
    onnx_bounds._check_tensor(tensor, "it", ModelError)


def record(size: int, length: int | None = None, described: bytes | None = None) -> object:
    """One weight of two float32 in so many bytes: a head of 20, a description of 6, 8 of data."""
    text = b"\x08\x05\x10\x02" if described is None else described
    head = struct.pack("<IQIi", 0, 0, 0, len(text) if length is None else length)
    data = (head + text + bytes(8)).ljust(5000, b"\0")[:size]
    expected = paddle_weights.Expected("w", 5, (2,))
    return paddle_weights._check_record(data, 0, Path("f"), expected, "tensor w")


def spent(size_bytes: int, work: int) -> None:
    constant_runs.Budget(10, 20).spend(node("Exp"), size_bytes, work)


def computed(count: int) -> object:
    info = helper.make_tensor_value_info("y", TensorProto.FLOAT, [count])
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [count])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [x], [info])
    return host_model.size_problem(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    )


def softplus(threshold: float) -> object:
    from unittest.mock import MagicMock

    operator = MagicMock()
    operator.get = lambda name, other: {"beta": 2.0, "threshold": threshold}[name]
    return paddle_forms._softplus(MagicMock(), operator)


def bins(size: tuple[int, ...], counts: tuple[int, ...]) -> object:
    return paddle_pir._adaptive({"adaptive": True}, [(1, 3, *size)], (1, 3, *counts))


def transposed(size: int) -> object:
    attributes = {"paddings": [0, 0], "strides": [1, 1], "dilations": [1, 1]}
    return paddle_pir._transposed(attributes, [(1, 3, size, size), (3, 3, 2, 2)], (1, 3, 9, 9))


def newer(opset: int) -> object:
    """What changed in an operator of ONNX after opset 21: RoiAlign, at 22."""
    return opsets.difference(node("RoiAlign"), opset)


ELEMENTS = 2**28
MODELS: Rows = {
    "frontend/constant_folding.py:_constant_of_shape": (
        (lambda f: constant_folding._constant_of_shape(node("C"), [np.array([1024, 1024])], 13),
         ""),
        (lambda f: constant_folding._constant_of_shape(node("C"), [np.array([2**20 + 1])], 13),
         "too large"),
    ),
    "frontend/constant_folding.py:_expand": (
        (lambda f: constant_folding._expand(node("E"), [np.ones(1), np.array([2**20])], 13), ""),
        (lambda f: constant_folding._expand(node("E"), [np.ones(1), np.array([2**20 + 1])], 13),
         "too large"),
    ),
    "frontend/constant_runs.py:Budget.spend": (
        (lambda f: spent(10, 20), ""),
        (lambda f: spent(11, 0), "would make 11 bytes"),
        (lambda f: spent(0, 21), "would take 21 operations"),
    ),
    "frontend/onnx_bounds.py:require_bounded": (
        (lambda f: onnx_bounds.require_bounded(model_of(32768), "m"), ""),
        (lambda f: onnx_bounds.require_bounded(model_of(32769), "m"),
         "it has 32769 nodes, and at most"),
    ),
    "frontend/onnx_bounds.py:require_elements": (
        (lambda f: onnx_bounds.require_elements((1,) * 16, "it"), ""),
        (lambda f: onnx_bounds.require_elements((1,) * 17, "it"), "it has 17 axes"),
        (lambda f: onnx_bounds.require_elements((ELEMENTS,), "it"), ""),
        (lambda f: onnx_bounds.require_elements((ELEMENTS + 1,), "it"), "268435457 elements"),
    ),
    "frontend/onnx_bounds.py:_check_tensor": (
        (lambda f: dims(2, 0), ""),
        (lambda f: dims(2, -1), "it has the shape [2, -1]"),
    ),
    "frontend/onnx_bounds.py:_written_out.count": (
        (lambda f: called_deep(32), ""),
        (lambda f: called_deep(33), "more than 32 deep"),
    ),
    "frontend/onnx_file.py:_known_opset": (
        (lambda f: known_opset(9), ""),
        (lambda f: known_opset(opsets.newest()), ""),
        (lambda f: known_opset(opsets.newest() + 1), "must use an opset from 9 to"),
        (lambda f: known_opset(0), "must use an opset from 9 to"),
    ),
    "frontend/onnx_file.py:_load_external": (
        (lambda f: kept_outside(f), ""),
        (lambda f: kept_outside(f, offset=0, length=8), ""),
        (lambda f: kept_outside(f, offset=8, length=0), ""),
        (lambda f: kept_outside(f, offset=1, length=8), "must have 9 bytes for tensor w, not 8."),
        (lambda f: kept_outside(f, offset=-1, length=1), "must have 0 bytes"),
        (lambda f: kept_outside(f, offset=1, length=-1), "must have 0 bytes"),
    ),
    "frontend/opsets.py:difference": (
        (lambda f: opsets.difference(node("Relu"), 21), ""),
    ),
    "frontend/paddle_forms.py:_softplus": (
        (lambda f: softplus(15.0), ""),
        (lambda f: softplus(14.9), "softplus with threshold 14.9"),
    ),
    "frontend/paddle_pir.py:_adaptive": (
        (lambda f: bins((1, 4), (1, 2)), ""),
        (lambda f: bins((0, 4), (1, 2)), "bins of unlike sizes"),
        (lambda f: bins((1, 5), (1, 2)), "bins of unlike sizes"),
    ),
    "frontend/paddle_pir.py:_transposed": (
        (lambda f: transposed(0), ""),
        (lambda f: transposed(1), "it leaves the output size out"),
    ),
    "frontend/paddle_weights.py:_check_record": (
        (lambda f: record(32), ""),
        (lambda f: record(19), "is truncated inside tensor w."),
        (lambda f: record(20, length=0), "has no valid record header"),
        (lambda f: record(20), "is truncated inside tensor w."),
        (lambda f: record(24, length=0), "has no valid record header"),
        (lambda f: record(5000, length=1), "has no valid description"),
        (lambda f: record(5000, length=4095), "has no valid description"),
        (lambda f: record(5000, length=4096), "has no valid record header"),
        (lambda f: record(23), "is truncated inside tensor w."),
        (lambda f: record(24), "8 bytes of data are needed, 0 are left"),
        (lambda f: record(31), "8 bytes of data are needed, 7 are left"),
        (lambda f: record(20, length=1), "is truncated inside tensor w."),
    ),
    "frontend/paddle_weights.py:_element_and_shape": (
        (lambda f: paddle_weights._element_and_shape(Made(data_type=5, dims=[0])), ""),
        (lambda f: paddle_weights._element_and_shape(Made(data_type=5, dims=[-1])), "_Damaged"),
    ),
    "ops/host_model.py:size_problem": (
        (lambda f: computed(ELEMENTS), ""),
        (lambda f: computed(ELEMENTS + 1), "must compute at most 268435456 numbers, not 268435457"),
    ),
}  # fmt: skip

# ------------------------------------------------------------------ figures and words


def shard(*pair: int) -> object:
    with patch.object(state, "read_text", lambda path: ""), patch.object(
        state, "json_value", lambda text: {
            "knightlite_evaluation": state.FORMAT, "models": [], "shard": pair, "data": "",
            "pictures": 0, "recipe": "", "scores": "", "check": False, "metric": "None",
            "tally": {}, "stamp": "", "total": 0,
        }), patch.object(state, "tally_from_json", lambda *parts: None):  # fmt: skip
        return state.read(Path("s.json"))


def counted(values: int) -> object:
    names = ("top1", "top5", "lost", "won", "agreed", "compared", "differing")
    sums: dict[str, Any] = {name: [0] for name in names}
    kept = [[number, [1]] for number in range(values)]
    other = {
        "noise": [None],
        "pictures": 1,
        "labelled": 0,
        "classes": 0,
        "energy": "0",
        "values": kept,
    }
    return tally.tally_from_json({**sums, **other}, 1, "f")


def remedy(gain_db: float, cause: str = "c") -> object:
    best = Made(words=("-b", "16"), gain_db=gain_db, mix="")
    item = Made(cause=cause, remedies=(best,))
    made = Made(findings=(item,), again=("quant",))
    made.blames_data = diagnosed.Diagnosis.blames_data.fget(made)  # type: ignore[attr-defined]
    return diagnosed.Diagnosis.command(made, item)  # type: ignore[arg-type]


def raised(ratio: float, bias: int) -> object:
    scale = {"x": 1.0, "y": 1.0}
    graph = Made(
        tensors={name: Made(scale=np.array(value)) for name, value in scale.items()},
        constants={"b": np.array([bias])},
    )
    twin = Made(inputs=("x", "w", "b"), output="y")
    return weight_causes._raised_by(graph, twin, 0, ratio)  # type: ignore[arg-type]


def asked_of(kind: type, name: str, **fields: Any) -> object:
    """A property or method of a record, of anything that has these fields."""
    found = vars(kind)[name]
    return (getattr(found, "fget", None) or found)(Made(**fields))


def late(token: int, ddr: int) -> object:
    return asked_of(Event, "stall_reason", token_stall=token, ddr_stall=ddr, token_from="load")


def affine(gain: float, offset: float) -> object:
    return numerics.affine_parameters(np.array(gain), np.array(offset))


def bound(busy: int, cycles: int) -> object:
    return asked_of(_Work, "bound", busy=(busy, 0, 0, 0), cycles=cycles)


def shared(*busy: int) -> object:
    return asked_of(_Work, "bound", busy=busy, cycles=2)


def boxes(parts: int) -> object:
    return detection.boxes_of((np.zeros((1, 4)), np.zeros(1), np.zeros(1), np.zeros(1))[:parts])


def shaped(*shape: int, corners: bool = False) -> object:
    return detection.boxes_of(np.zeros(shape), corners)


RATIO = "ratio must lie in [2^-17, 2^15)"
LARGER = "the larger ratio must lie in"
AFFINE = "gain must be below 2^15 and offset below 2^30"
BELOW = math.nextafter
FIGURES: Rows = {
    "api/evaluation/state.py:_whole": (
        (lambda f: state._whole(0), ""),
        (lambda f: state._whole(2**63 - 1), ""),
        (lambda f: state._whole(2**63), "where a count up to 9223372036854775807 belongs"),
        (lambda f: state._whole(-1), "-1 where a count up to"),
        (lambda f: state._whole(7, 7), ""),
        (lambda f: state._whole(8, 7), "8 where a count up to 7 belongs"),
    ),
    "api/evaluation/state.py:read": (
        (lambda f: shard(1, 1), ""),
        (lambda f: shard(2, 2), ""),
        (lambda f: shard(0, 2), "shard 0/2"),
        (lambda f: shard(3, 2), "shard 3/2"),
    ),
    "api/evaluation/stored_frames.py:_frames": (
        (lambda f: stored_frames._frames(saved(f, [[1.0]])), ""),
        (lambda f: stored_frames._frames(saved(f, [1.0])),
         "must hold frames [N, C, H, W], not (1,)."),
    ),
    "api/evaluation/stored_frames.py:classes_of": (
        (lambda f: stored_frames.classes_of(saved(f, [[0.0], [1]]), saved_labels(f, [0, 1]), None),
         ""),
        (lambda f: stored_frames.classes_of(saved(f, [[0.0], [1]]), saved_labels(f, [0, -1]), None),
         "from 0 up"),
    ),
    "container/description.py:Description.layer": (
        (lambda f: description.Description.layer(Made(layers=(1, 2)), 1),  # type: ignore[arg-type]
         ""),
        (lambda f: description.Description.layer(Made(layers=(1, 2)), 2),  # type: ignore[arg-type]
         "one of 2 layers, not 2."),
    ),
    "diagnosis/findings.py:Diagnosis.command": (
        (lambda f: remedy(1.0), "quant -b 16"),
        (lambda f: remedy(0.999) or "nothing", "nothing"),
        (lambda f: remedy(1.0, causes.LABELS) or "nothing", "=nothing"),
        (lambda f: remedy(1.0, causes.PREPROCESSING) or "nothing", "=nothing"),
    ),
    "diagnosis/findings.py:metric_told": (
        (lambda f: diagnosed.metric_told(0.5, 0.5, None), "the metric does not fall"),
        (lambda f: diagnosed.metric_told(0.5, 0.4, None), "the metric falls"),
    ),
    "diagnosis/weight_causes.py:_raised_by": (
        (lambda f: raised(1.05 * 2.0**-17, 0), "must be at least 2^-17"),
        (lambda f: raised(BELOW(1.05 * 2.0**-17, 1), 0), ""),
        (lambda f: raised(1.0, int(2**30 / 1.05)), ""),
        (lambda f: raised(1.0, int(2**30 / 1.05) + 1), "must stay below 2^30"),
    ),
    "evaluation/tally.py:tally_from_json": (
        (lambda f: counted(1), ""),
        (lambda f: counted(2), "does not hold the sums of 1 models"),
    ),
    "evaluation/tally.py:_count": (
        (lambda f: tally._count(0), ""),
        (lambda f: tally._count(2**63 - 1), ""),
        (lambda f: tally._count(-1), "ValueError"),
        (lambda f: tally._count(2**63), "ValueError"),
    ),
    "events.py:Event.stall_reason": (
        (lambda f: late(2, 1), "token from load"),
        (lambda f: late(1, 1), "DDR"),
        (lambda f: late(0, 0), ""),
    ),
    "foreign/model_function.py:_listed": (
        (lambda f: model_function._listed(["a"] * 6), "=a, a, a, a, a, a"),
        (lambda f: model_function._listed(["a"] * 7), " and 1 more keys"),
    ),
    "metrics/detection.py:boxes_of": (
        (lambda f: boxes(1), ""),
        (lambda f: boxes(3), ""),
        (lambda f: boxes(0), "it returned 0 arrays"),
        (lambda f: boxes(4), "it returned 4 arrays"),
        (lambda f: shaped(2, 4), ""),
        (lambda f: shaped(2, 4, 2, corners=True), ""),
        (lambda f: shaped(2, 4, 2), "not [n, 4]."),
        (lambda f: shaped(2, 5), "not [n, 4]."),
    ),
    "native/headers.py:_unpacked": (
        (lambda f: headers._unpacked(Made(offset=0, width=32, signed=False), 8),  # type: ignore[arg-type]
         "(uint32_t)knl_bits"),
        (lambda f: "-" + headers._unpacked(Made(offset=0, width=33, signed=False), 8),  # type: ignore[arg-type]
         "-knl_bits"),
    ),
    "numerics.py:multiplier": (
        (lambda f: numerics.multiplier(2.0**-17), ""),
        (lambda f: numerics.multiplier(BELOW(2.0**-17, 0)), RATIO),
        (lambda f: numerics.multiplier(BELOW(2.0**15, 0)), ""),
        (lambda f: numerics.multiplier(2.0**15), RATIO),
    ),
    "numerics.py:affine_parameters": (
        (lambda f: affine(2.0**15 - 1, 2.0**30 - 1), ""),
        (lambda f: affine(2.0**15, 0.0), AFFINE),
        (lambda f: affine(0.0, 2.0**30), AFFINE),
    ),
    "numerics.py:add_parameters": (
        (lambda f: numerics.add_parameters(2.0**-17, 0.0), ""),
        (lambda f: numerics.add_parameters(0.0, BELOW(2.0**-17, 0)), LARGER),
        (lambda f: numerics.add_parameters(0.0, -BELOW(2.0**15, 0)), ""),
        (lambda f: numerics.add_parameters(-(2.0**15), 0.0), LARGER),
    ),
    "profiler/profile.py:_Work.bound": (
        (lambda f: bound(1, 2), MATRIX),
        (lambda f: bound(1, 3), "latency"),
        (lambda f: bound(0, 0), "latency"),
        (lambda f: shared(2, 0, 1, 1), "ddr read"),
        (lambda f: shared(2, 0, 1, 0), MATRIX),
        (lambda f: shared(0, 2, 0, 1), "vector"),
        (lambda f: shared(0, 2, 1, 2), "ddr write"),
    ),
}  # fmt: skip


def saved_labels(folder: Path, values: list[int]) -> Path:
    np.save(folder / "labels.npy", np.array(values))
    return folder / "labels.npy"


ROWS: Rows = {**MODELS, **FIGURES}
