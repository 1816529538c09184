"""ONNX's backend node tests, quantized: each passes exactly or is refused with a reason.

Taken are the cases whose operators the front-end lists; ``make conformance`` has the others. What
a case gives as weights (and axes, sizes and the like) becomes a constant, its first input the
picture. A case passes where the float
graph computes the output that the case expects, and the compiled program the golden model's bytes,
within one step of QDQ; ``tests/golden/node_tests.txt`` holds the outcome of every case.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from onnx.backend.test.case.test_case import TestCase
from onnx.backend.test.loader import load_model_tests

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
NEWEST_OPSET = 21
# Their inputs of one rank are all features; any other operator has one, and constants.
JOINING = {"Add", "Concat", "Div", "Max", "Mean", "Min", "Mul", "Sub", "Sum"}
# ONNX Runtime takes the corners of the two columns there are, the case those of 0.6 * 4 columns:
# what is expected is ONNX Runtime's answer.
DISPUTED: Arrays = {
    "test_resize_downsample_scales_linear_align_corners": np.array([[[[1, 4]]]], np.float32),
}
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


# ------------------------------------------------------------------ a case as a network


@dataclass(frozen=True)
class Form:
    """A case with its weights inside; per picture the inputs that are left, and the outputs."""

    note: str
    model: onnx.ModelProto
    inputs: list[Arrays]
    outputs: list[list[Array]]


def as_it_is(case: TestCase) -> Form:
    """Weights inside, and the newest opset there is in the front-end: later ones changed types."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    for entry in model.opset_import:
        if entry.domain in ("", "ai.onnx"):
            entry.version = min(entry.version, NEWEST_OPSET)
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


def refusal(form: Form, name: str, folder: Path) -> str:
    """Empty where the form passes, else why it is refused; AssertionError where it fails."""
    path = folder / "case.onnx"
    path.write_bytes(form.model.SerializeToString())
    # a batch is taken as the case has it, not frame by frame
    shapes = {
        name: values.shape
        for name, values in form.inputs[0].items()
        if values.size and values.shape[:1] > (1,)
    }
    try:
        graph = load(path, input_shapes=shapes)
        check_meaning(graph, form)
        pictures = [tuple(feeds[key] for key in graph.inputs) for feeds in form.inputs]
        result = quantize_graph(graph, Workload(pictures), threads=1)
        path.write_bytes(write_qdq(result.graph, {}).SerializeToString())
        check_bytes(load_quantized(path), form)
    except KnightliteError as error:
        found = error.findings[0] if error.findings else None
        reason = f"{found.where}: {found.sentence}" if found else error.sentence
        return reason.replace(str(path), name)
    return ""


def check_meaning(graph: Graph, form: Form) -> None:
    """The float graph gives the case's outputs."""
    runner = session(write_float(graph), 1)
    for feeds, expected in zip(form.inputs, form.outputs, strict=True):
        real = {
            name: feeds[name].astype(np.float32).reshape(graph.tensors[name].shape)
            for name in graph.inputs
        }
        compare(runner.run(None, real), expected)


def compare(found: list[Array], expected: list[Array]) -> None:
    for have, want in zip(found, expected, strict=True):
        assert have.shape == want.shape, f"shape {have.shape}, expected {want.shape}"
        far = np.abs(have - want.astype(np.float64)).max(initial=0)
        assert far <= TOLERANCE * np.abs(want).max(initial=1e-3), f"the float graph is off by {far}"


def check_bytes(quantized: Graph, form: Form) -> None:
    """Machine = golden model, and within one step of QDQ."""
    built = build(quantized, MAIN)
    entries = {entry.name: entry for entry in built.program.meta.inputs}
    golden, layers, tally = Golden(built.compiled.graph), Layers(quantized), Tally()
    for feeds in form.inputs:
        integers = {
            name: quantize(feeds[name].reshape(entries[name].shape), entries[name])
            for name in quantized.inputs
        }
        wanted = golden.run(integers)
        tally.compare(run(built, integers), wanted)
        far = {name: steps for name, steps in layers.differences(wanted).items() if steps > 1}
        assert not far, f"golden and QDQ differ by more than one step: {far}"
    assert not tally.wrong, "; ".join(tally.wrong.values())


def outcome(case: TestCase, folder: Path) -> tuple[str, str]:
    """The form that passed ("" for the case as it is) and "", or "" and why it is refused."""
    if any(isinstance(item, list) for part in data(case) for item in part):
        return "", "it reads or makes a sequence."
    form = as_it_is(case)
    reason = refusal(form, case.name, folder)
    if not reason:
        return "", ""
    for other in (picture_by_picture(form), with_leading_axes(form)):
        if other is not None:
            reason = refusal(other, case.name, folder)
            return other.note, reason
    return "", reason


def tabulated(cases: list[TestCase], folder: Path) -> str:
    """One line for every case; AssertionError names those that give other values or crash."""
    passed, refused, failed = [], [], []
    for case in cases:
        try:
            note, reason = outcome(case, folder)
        except Exception as error:  # all of them are told at once
            failed.append(f"{case.name}: {type(error).__name__}: {error}".splitlines()[0])
            continue
        told = f"{case.name} {note}".strip()
        if reason:
            refused.append(f"refused  {told}: {reason}")
        else:
            passed.append(f"passed   {told}")
    assert not failed, "\n".join(failed)
    counts = f"{len(passed)} passed, {len(refused)} refused, {len(failed)} failed"
    return "\n".join([counts, "", *passed, *refused]) + "\n"


def test_node_cases(tmp_path: Path, golden: conftest.Golden) -> None:
    golden.text("node_tests.txt", tabulated(node_cases(listed=True), tmp_path))
