"""ONNX's backend node tests, quantized: each passes exactly or is refused with a reason.

Taken are the cases whose operators the front-end lists; ``make conformance`` has the others. What
a case gives as weights (and axes, sizes and the like) becomes a constant, its first input the
picture. A case passes where the float
graph computes the output that the case expects, and the compiled program the golden model's bytes,
within one step of QDQ. What only passes with general layers (-gp) is counted by itself: the host
computes it. ``tests/golden/node_tests.txt`` holds the outcome of every case, by what it computes
with.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.backend.test.case.test_case import TestCase
from onnx.backend.test.loader import load_model_tests
from onnx.reference import ReferenceEvaluator

import conftest
from conformance_checks import MAIN, Golden, Layers, Tally, build, run
from knightlite.errors import KnightliteError
from knightlite.frontend import canonical, load, load_quantized
from knightlite.inference import session
from knightlite.ir import Graph
from knightlite.onnx_models import write_float, write_qdq
from knightlite.quantize.pipeline import quantize_graph
from knightlite.sim.host import quantize

Array = NDArray[Any]
Arrays = dict[str, Array]
LISTED = {*canonical.HANDLERS, "Constant"}
FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16)
GROUPS = (
    "float",
    "integer",
    "bool",
    "float8",
    "4-bit",
    "string",
    "sequence",
    "other domain",
    "no values",
)
"""What a case computes with: "float" where what it is fed is real numbers.

"no values": nothing, empty tensors, or the shape of one.
"""
# Their inputs of one rank are all features; any other operator has one, and constants.
JOINING = {"Add", "Concat", "Div", "Max", "Mean", "Min", "Mul", "Sub", "Sum"}
# ONNX Runtime takes the corners of the rows and columns there are, the case those of 0.6 or 0.8
# times as many: what is expected is ONNX Runtime's answer.
DISPUTED: Arrays = {
    "test_resize_downsample_scales_cubic_align_corners": np.array(
        [[[[1, 2.5, 4], [7, 8.5, 10], [13, 14.5, 16]]]], np.float32
    ),
    "test_resize_downsample_scales_linear_align_corners": np.array([[[[1, 4]]]], np.float32),
}
SHORT = {"bfloat16": 2.0**-8, "float16": 2.0**-11}  # one rounding of what a case expects
STEPS = 4  # roundings, one after the other, that a case makes in its own type
INPUT = "the network input"  # of another rank: of what else is wrong more is to be learnt
CONSTANT = "the network output is a constant."
STATES = ("passed", "host", "refused")
VIEWED = ("Concat", "Reshape", "Transpose")  # the host's view of outputs
AHEAD = 0.5  # what the layer in front of a case adds
TOLERANCE = 1e-3  # of the expected output's largest value; the cases' own is 1e-3 per value


def node_cases(listed: bool) -> list[TestCase]:
    """The cases made of listed operators only, or all others, by name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some compute infinities on purpose
        found = load_model_tests(kind="node")
    return sorted(
        (item for item in found if ({node.op_type for node in nodes(item)} <= LISTED) == listed),
        key=lambda item: item.name,
    )


def data(case: TestCase) -> tuple[list[Any], list[Any]]:
    """Inputs and outputs of the first data set."""
    assert case.data_sets is not None
    inputs, outputs = case.data_sets[0]
    return list(inputs), list(outputs)


def nodes(case: TestCase) -> list[onnx.NodeProto]:
    assert case.model is not None
    return list(case.model.graph.node)


def group(case: TestCase) -> str:
    """Which of GROUPS a case is counted in."""
    assert case.model is not None
    graph = case.model.graph
    kinds = [value.type.WhichOneof("value") for value in (*graph.input, *graph.output)]
    if any(kind != "tensor_type" for kind in kinds):
        return "sequence"
    if any(node.domain not in ("", "ai.onnx") for node in nodes(case)):
        return "other domain"
    types = [value.type.tensor_type.elem_type for value in (*graph.input, *graph.output)]
    names = [TensorProto.DataType.Name(number) for number in types]
    for label, words in (
        ("float8", ("FLOAT8",)),
        ("4-bit", ("FLOAT4", "INT4", "INT2")),
        ("string", ("STRING",)),
    ):
        if any(word in name for word in words for name in names):
            return label
    given = types[: len(graph.input)]
    if not given or no_values(case):
        return "no values"
    first = given[0]
    if first in FLOATS or (first == TensorProto.BOOL and any(kind in FLOATS for kind in given)):
        return "float"
    return "bool" if first == TensorProto.BOOL else "integer"


def no_values(case: TestCase) -> bool:
    """True where what a case makes is the same whatever its inputs are, but for their shapes."""
    given, expected = data(case)
    if any(isinstance(item, list) for item in (*given, *expected)):
        return False
    empty = [not array(item).size for item in (given[0], *expected)] if given else [True]
    return any(empty) or {node.op_type for node in nodes(case)} <= {"Shape", "Size", "Constant"}


# ------------------------------------------------------------------ a case as a network


@dataclass(frozen=True)
class Form:
    """A case with its weights inside; per picture the inputs that are left, and the outputs."""

    note: str
    model: onnx.ModelProto
    inputs: list[Arrays]
    outputs: list[list[Array]]


def as_it_is(case: TestCase) -> Form:
    """Weights inside."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    model.ir_version = max(model.ir_version, 4)  # the first where initializers need not be inputs
    given, expected = ([array(item) for item in part] for part in data(case))
    joining = {node.op_type for node in nodes(case)} <= JOINING
    feeds: Arrays = {}
    for entry, values in zip(list(model.graph.input), given, strict=True):
        if not feeds or (joining and values.ndim == next(iter(feeds.values())).ndim):
            feeds[entry.name] = values
        else:
            model.graph.initializer.append(numpy_helper.from_array(values, entry.name))
            model.graph.input.remove(entry)
    expected = [DISPUTED.get(case.name, item) for item in expected]
    return Form("", model, [feeds], [expected])


def picture_by_picture(form: Form) -> Form | None:
    """The same with batch 1, where the case has a larger one and no axis mixes pictures."""
    (feeds,), (expected,) = form.inputs, form.outputs
    count = {len(values) for values in (*feeds.values(), *expected) if values.ndim}
    if len(count) != 1 or any(values.ndim != 4 for values in feeds.values()) or count == {1}:
        return None
    if any(values.ndim == 0 for values in expected):  # a mean over all pictures
        return None
    places = range(count.pop())
    inputs = [{key: value[k : k + 1] for key, value in feeds.items()} for k in places]
    return known(
        Form(
            "picture by picture",
            declared(form.model, inputs[0]),
            inputs,
            [[values[k : k + 1] for values in expected] for k in places],
        )
    )


def with_leading_axes(form: Form) -> Form | None:
    """The same with inputs and outputs of one to three axes as [1, 1, 1, N] and so on."""
    (feeds,), (expected,) = form.inputs, form.outputs
    if any(not 0 < values.ndim < 4 for values in feeds.values()):
        return None
    lifted = {key: lift(values) for key, values in feeds.items()}
    model = declared(form.model, lifted)
    shapes = " and ".join(sorted({str(list(values.shape)) for values in lifted.values()}))
    return known(Form(f"as {shapes}", model, [lifted], [list(map(lift, expected))]))


def behind_a_layer(form: Form) -> Form | None:
    """The same behind a layer of the chip, an addition: what it reads is in the middle."""
    model = onnx.ModelProto()
    model.CopyFrom(form.model)
    feeds: list[Arrays] = [{} for _ in form.inputs]
    first = len(model.graph.node)
    for entry in model.graph.input:
        name, kind = entry.name, entry.type.tensor_type.elem_type
        if kind not in FLOATS:
            return None
        ahead_of = np.asarray(AHEAD, helper.tensor_dtype_to_np_dtype(kind))
        model.graph.initializer.append(numpy_helper.from_array(ahead_of, f"{name}/ahead"))
        entry.name = f"{name}/fed"
        model.graph.node.add().CopyFrom(
            helper.make_node("Add", [f"{name}/fed", f"{name}/ahead"], [name])
        )
        for given, made in zip(form.inputs, feeds, strict=True):
            made[entry.name] = given[name].astype(np.float32) - np.float32(AHEAD)
    ahead = list(model.graph.node[first:])
    behind = list(model.graph.node[:first])
    del model.graph.node[:]
    model.graph.node.extend((*ahead, *behind))
    note = f"{form.note} behind an addition".strip()
    return Form(note, model, feeds, form.outputs)


def lift(values: Array) -> Array:
    return values.reshape((1,) * (4 - values.ndim) + values.shape)


def declared(model: onnx.ModelProto, feeds: Arrays) -> onnx.ModelProto:
    """A copy whose inputs have these shapes; outputs' are forgotten."""
    found = onnx.ModelProto()
    found.CopyFrom(model)
    for entry in found.graph.input:
        del entry.type.tensor_type.shape.dim[:]
        for size in feeds[entry.name].shape:
            entry.type.tensor_type.shape.dim.add().dim_value = size
    for entry in found.graph.output:
        entry.type.tensor_type.ClearField("shape")
    return found


def known(form: Form) -> Form | None:
    """The form, where ONNX Runtime says that it is the case."""
    try:
        runner = session(form.model, 1)
        for feeds, expected in zip(form.inputs, form.outputs, strict=True):
            compare(runner.run(None, feeds), expected)
    except Exception:  # whatever it is, this is another network
        return None
    return form


def array(item: Any) -> Array:
    return numpy_helper.to_array(item) if hasattr(item, "dims") else np.asarray(item)


# ------------------------------------------------------------------ through the chain


@dataclass(frozen=True)
class Workload:
    """A case's pictures, one after another."""

    pictures: list[tuple[Array, ...]]
    description: str = "a case's inputs"

    def run(self, forward: Any) -> None:
        for picture in self.pictures:
            forward(picture)


@dataclass(frozen=True)
class Outcome:
    """Why a form is refused, "" where it passes; ``hosted``: what the host computes of it."""

    note: str
    reason: str
    hosted: str = ""


def tried(form: Form, name: str, folder: Path, general: bool) -> Outcome:
    """Whether the form passes; AssertionError where it fails. ``general``: the host may help."""
    path = folder / "case.onnx"
    path.write_bytes(form.model.SerializeToString())
    # a batch is taken as the case has it, not frame by frame
    shapes = {
        name: values.shape
        for name, values in form.inputs[0].items()
        if values.size and values.shape[:1] > (1,)
    }
    try:
        graph = load(path, input_shapes=shapes, general=general)
        framed = [
            {key: feeds[key].reshape(graph.tensors[key].shape) for key in graph.inputs}
            for feeds in form.inputs
        ]
        form = Form(form.note, form.model, framed, form.outputs)
        check_meaning(graph, form)
        pictures = [tuple(feeds.values()) for feeds in framed]
        result = quantize_graph(graph, Workload(pictures), threads=1)
        path.write_bytes(write_qdq(result.graph, {}).SerializeToString())
        quantized = load_quantized(path)
        check_bytes(quantized, form)
    except KnightliteError as error:
        constant = {item.where for item in error.findings if item.sentence == CONSTANT}
        if 0 < len(constant) < len(form.model.graph.output):
            return tried(without(form, constant), name, folder, general)
        found = error.findings[0] if error.findings else None
        reason = f"{found.where}: {found.sentence}" if found else error.sentence
        return Outcome(form.note, reason.replace(str(path), name))
    return Outcome(form.note, "", ", ".join(dict.fromkeys(on_host(quantized))))


def without(form: Form, names: set[str]) -> Form:
    """The form without some outputs: what only weights decide is none of a network's."""
    model = onnx.ModelProto()
    model.CopyFrom(form.model)
    kept = [index for index, item in enumerate(model.graph.output) if item.name not in names]
    for index in reversed(range(len(model.graph.output))):
        if index not in kept:
            del model.graph.output[index]
    return Form(form.note, model, form.inputs, [[part[k] for k in kept] for part in form.outputs])


def on_host(graph: Graph) -> Iterator[str]:
    """The operators that the host computes, but for what only names elements otherwise."""
    for op in (*(op for node in graph.nodes for op in node.host), *graph.host):
        if op.op not in VIEWED:
            yield op.op


def check_meaning(graph: Graph, form: Form) -> None:
    """The float graph gives the case's outputs."""
    runner = session(write_float(graph), 1)
    for feeds, expected in zip(form.inputs, form.outputs, strict=True):
        real = {name: feeds[name].astype(np.float32) for name in graph.inputs}
        compare(runner.run(None, real), expected)


def compare(found: list[Array], expected: list[Array]) -> None:
    for have, want in zip(found, expected, strict=True):
        assert have.shape == want.shape, f"shape {have.shape}, expected {want.shape}"
        wide = want.astype(np.float64)
        far = np.abs(have - wide).max(initial=0)
        allowed = max(TOLERANCE, STEPS * SHORT.get(want.dtype.name, 0))
        assert far <= allowed * np.abs(wide).max(initial=1e-3), f"the float graph is off by {far}"


def check_bytes(quantized: Graph, form: Form) -> None:
    """Machine = golden model, and within one step of QDQ."""
    built = build(quantized, MAIN)
    entries = {entry.name: entry for entry in built.program.meta.inputs}
    golden, layers, tally = Golden(built.compiled.graph), Layers(quantized), Tally()
    for feeds in form.inputs:
        integers = {name: quantize(feeds[name], entries[name]) for name in quantized.inputs}
        wanted = golden.run(integers)
        tally.compare(run(built, integers), wanted)
        far = {name: steps for name, steps in layers.differences(wanted).items() if steps > 1}
        assert not far, f"golden and QDQ differ by more than one step: {far}"
    assert not tally.wrong, "; ".join(tally.wrong.values())


def outcome(case: TestCase, folder: Path) -> Outcome:
    """The form that passed, on the chip where it can; else why the case as it is is refused."""
    if any(isinstance(item, list) for part in data(case) for item in part):
        return Outcome("", "it reads or makes a sequence.")
    form = as_it_is(case)
    if no_values(case):
        return Outcome("", "it computes with no values.")
    if not all_finite(form):
        numbers = of_numbers_only(form)
        if numbers is None:
            return Outcome("", "it reads or makes what is no number.")
        form = numbers
    refused: list[Outcome] = []
    for general in (False, True):
        for other in forms(form, general):
            found = tried(other, case.name, folder, general)
            if not found.reason:
                return found
            refused.append(found)
    return next((item for item in refused if INPUT not in item.reason), refused[0])


def all_finite(form: Form) -> bool:
    """True where a form reads and makes numbers only."""
    parts: list[list[Array]] = [list(feeds.values()) for feeds in form.inputs]
    return all(finite(item) for part in (*parts, *form.outputs) for item in part)


def of_numbers_only(form: Form) -> Form | None:
    """The form with 0 in place of what is no number; None where onnx's evaluator says otherwise."""
    try:
        runner = ReferenceEvaluator(form.model)
        for feeds, expected in zip(form.inputs, form.outputs, strict=True):
            for found, wanted in zip(runner.run(None, feeds), expected, strict=True):
                np.testing.assert_array_equal(comparable(found), comparable(wanted))
        feeds_only = [
            {key: np.where(np.isfinite(item), item, np.zeros((), item.dtype)) for key, item in
             feeds.items()} for feeds in form.inputs
        ]  # fmt: skip
        outputs = [list(map(np.asarray, runner.run(None, feeds))) for feeds in feeds_only]
    except Exception:  # whatever it is, this is another network
        return None
    made = Form("of its numbers", form.model, feeds_only, outputs)
    return made if all_finite(made) else None


def comparable(values: Array) -> Array:
    """What numpy compares: it does not know which of bfloat16's values are no numbers."""
    return values.astype(np.float32) if values.dtype.name == "bfloat16" else values


def finite(values: Array) -> bool:
    """True for real numbers, for integers and for what is no number at all, such as a text."""
    is_real = values.dtype.kind == "f" or values.dtype.name == "bfloat16"
    return not is_real or bool(np.isfinite(values.astype(np.float64)).all())


def forms(form: Form, general: bool) -> Iterator[Form]:
    """The ways in which a case is tried."""
    yield form
    more = (behind_a_layer,) if general else (picture_by_picture, with_leading_axes)
    for make in more:
        made = make(form)
        if made is not None:
            yield made


def tabulated(cases: list[TestCase], folder: Path) -> str:
    """One line for every case; AssertionError names those that give other values or crash."""
    lines: dict[tuple[str, str], list[str]] = {}
    failed = []
    for case in cases:
        try:
            found = outcome(case, folder)
        except Exception as error:  # all of them are told at once
            failed.append(f"{case.name}: {type(error).__name__}: {error}".splitlines()[0])
            continue
        told = f"{case.name} {found.note}".strip()
        state = "refused" if found.reason else "host" if found.hosted else "passed"
        more = found.reason or found.hosted
        line = f"{state:8} {told}{f': {more}' if more else ''}"
        lines.setdefault((group(case), state), []).append(line)
    assert not failed, "\n".join(failed)
    table = ["group         passed  host  refused"]
    for label in GROUPS:
        counts = [len(lines.get((label, state), ())) for state in STATES]
        if any(counts):
            table.append("{:12}  {:6}  {:4}  {:7}".format(label, *counts))
    body = []
    for label in GROUPS:
        found_lines = [line for state in STATES for line in lines.get((label, state), ())]
        body += ["", f"{label}", *found_lines] if found_lines else []
    return "\n".join([*table, *body]) + "\n"


def test_node_cases(tmp_path: Path, golden: conftest.Golden) -> None:
    golden.text("node_tests.txt", tabulated(node_cases(listed=True), tmp_path))
