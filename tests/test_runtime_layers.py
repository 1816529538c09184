"""General layers in the runtime in C: each operator against ONNX Runtime, handlers, refusals."""

from __future__ import annotations

import random
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from compilers import SANITIZED, compile_c, needs_compiler, runtime_objects
from conformance_checks import MAIN, build, random_inputs
from knightlite import dtypes
from knightlite.api.models.general import general_layers
from knightlite.compiler import compile_graph
from knightlite.container import Origin, Program, decode_program, encode_program, paired
from knightlite.emit import golden_model
from knightlite.errors import FormatError, KnightliteError, UnsupportedError
from knightlite.inference import golden_session, session
from knightlite.ir import Graph, GraphBuilder, HostOp, Node
from knightlite.native import NativeMachine
from knightlite.native.operations import OPERATIONS, unknown
from knightlite.ops import general, host_forms
from knightlite.ops.samples import feature, result
from knightlite.sim import Machine
from knightlite.sim.host import EXACT, KINDS
from made_once import MadeOnce
from program_faults import (
    CHIP_FILE,
    MORE_PROGRAMS,
    NOTES,
    RECIPE,
    SMALL,
    faults,
    general_layer,
    unread_files,
)
from test_runtime_sanitized import Case, of_machine, run

pytestmark = needs_compiler

KNL_FRAME = 10  # the status of a frame that the host could not compute
Array = NDArray[Any]
INT = np.int64
SHAPE = (1, 6, 5, 4)
ROW = (120,)


def op(
    kind: str,
    inputs: str,
    outputs: str,
    constants: Mapping[str, Any] | None = None,
    **attributes: Any,
) -> HostOp:
    """Names apart by spaces, ``-``: left out."""
    read = tuple("" if name == "-" else name for name in inputs.split())
    arrays = {name: np.asarray(values) for name, values in (constants or {}).items()}
    return HostOp(outputs.split()[0], kind, read, tuple(outputs.split()), attributes, arrays)


def graph(
    *operators: HostOp, makes: tuple[int, ...] = SHAPE, dtype: dtypes.DType = dtypes.S8
) -> Graph:
    """From "x", [1, 6, 5, 4], and "z", [1, 6, 1, 4], to "y", by operators of the host."""
    builder = GraphBuilder("layer")
    feature(builder, "x", (6, 5, 4), dtype, 0.1 if dtype == dtypes.S8 else 0.0004)
    feature(builder, "z", (6, 1, 4), dtypes.S8, 0.05)
    node = Node("y", general.GENERAL_NAME, ("x", "z"), ("y",), host=operators)
    return result(builder, node, makes, dtypes.S16, 0.003)


def real(source: str, target: str) -> HostOp:
    """From whole numbers or truth values to real ones."""
    return op("Cast", source, target, to="float32")


def whole(source: str, target: str, kind: str = "int64") -> HostOp:
    return op("Cast", source, target, to=kind)


def picked(kind: str, *more: Any, **attributes: Any) -> tuple[HostOp, ...]:
    return (op(kind, "x", "i", *more, **attributes), real("i", "y"))


def of_two(kind: str) -> tuple[HostOp, ...]:
    return (op(kind, "x z", "y"),)


def of_truths(kind: str) -> tuple[HostOp, ...]:
    """Of x > 0 and z > x."""
    return (
        op("Greater", "x o", "a", {"o": np.float32(0)}), op("Greater", "z x", "b"),
        op(kind, "a b", "t"), real("t", "y"),
    )  # fmt: skip


RNG = np.random.default_rng(7)
PLACES = RNG.integers(-5, 5, (1, 6, 3, 4))
SIX = (1, 6, 4, 5)
CASES: dict[str, tuple[tuple[HostOp, ...], tuple[int, ...]]] = {
    "Reshape": ((op("Reshape", "x", "a", shape=(0, -1, 2)),
                 op("Reshape", "a", "y", shape=SIX)), SIX),
    "Identity": ((op("Identity", "x", "y"),), SHAPE),
    "Dropout": ((op("Dropout", "x", "a m"), real("m", "b"), op("Add", "a b", "y")), SHAPE),
    "Transpose": ((op("Transpose", "x", "y", perm=(0, 1, 3, 2)),), SIX),
    "Transpose back": ((op("Transpose", "x", "a"), op("Reshape", "a", "y", shape=SHAPE)), SHAPE),
    "Slice": ((op("Slice", "x", "y", starts=(4, -1), ends=(0, -9), axes=(1, 3),
                  steps=(-2, -1)),), (1, 2, 5, 4)),
    "Slice inputs": ((op("Slice", "x b e", "y", {"b": np.array([0, 1]), "e": np.array([1, 99])}),),
                     (1, 5, 5, 4)),
    "Slice turned": ((op("Slice", "x", "y", starts=(99, 99, 0), ends=(-99, 1, 99), axes=(1, 2, 3),
                         steps=(-1, -2, 3)),), (1, 6, 2, 2)),
    "Pad": ((op("Pad", "x", "y", pads=(0, 1, 0, 2, 0, 0, 3, 0)),), (1, 7, 8, 6)),
    "Pad with": ((op("Pad", "x p v a", "y", {"p": np.array([1, 2, -1, 3]), "v": np.float32(0.7),
                                            "a": np.array([-1, 2])}),), (1, 6, 10, 4)),
    "Pad edge": ((op("Pad", "x p", "y", {"p": np.array([0, 0, 2, 1, 0, 0, 2, 1])}, mode="edge"),),
                 (1, 6, 9, 6)),
    "Pad reflect": ((op("Pad", "x p", "y", {"p": np.array([0, 0, 4, 1, 0, 0, 2, 3])},
                        mode="reflect"),), (1, 6, 11, 8)),
    "Concat": ((op("Concat", "x z x", "y", axis=2),), (1, 6, 11, 4)),
    "Expand": ((op("Expand", "z s", "y", {"s": np.array([5, 1])}),), SHAPE),
    "Tile": ((op("Tile", "z r", "y", {"r": np.array([1, 2, 5, 1])}),), (1, 12, 5, 4)),
    "DepthToSpace": ((op("Reshape", "x", "a", shape=(1, 12, 5, 2)),
                      op("DepthToSpace", "a", "y", blocksize=2)), (1, 3, 10, 4)),
    "DepthToSpace CRD": ((op("Reshape", "x", "a", shape=(1, 12, 5, 2)),
                          op("DepthToSpace", "a", "y", blocksize=2, mode="CRD")), (1, 3, 10, 4)),
    "SpaceToDepth": ((op("Reshape", "x", "a", shape=(1, 3, 10, 4)),
                      op("SpaceToDepth", "a", "y", blocksize=2)), (1, 12, 5, 2)),
    "Gather": ((op("Gather", "x i", "a", {"i": np.array([[4, -5, 2]])}, axis=2),
                op("Reshape", "a", "y", shape=(1, 6, 3, 4))), (1, 6, 3, 4)),
    "GatherElements": ((op("GatherElements", "x i", "y", {"i": PLACES}, axis=2),), (1, 6, 3, 4)),
    "GatherND": ((op("GatherND", "x i", "a", {"i": RNG.integers(-4, 4, (1, 7, 2))}, batch_dims=1),
                  op("Reshape", "a", "y", shape=(1, 7, 1, 4))), (1, 7, 1, 4)),
    "GatherND whole": ((op("GatherND", "x i", "a",
                           {"i": np.array([[0, 5, -1, 3], [0, 0, 2, 1], [0, -6, 4, -4]])}),
                        op("Reshape", "a", "y", shape=(1, 1, 1, 3))), (1, 1, 1, 3)),
    "ScatterElements": ((op("ScatterElements", "x i u", "y",
                            {"i": np.array([[[[3, -1, 0, 2]]]]),
                             "u": RNG.normal(size=(1, 1, 1, 4)).astype(np.float32)}, axis=3),
                         ), SHAPE),
    "ScatterND": ((op("ScatterND", "x i u", "y",
                      {"i": np.array([[0, 3], [0, -1]]),
                       "u": RNG.normal(size=(2, 5, 4)).astype(np.float32)}),), SHAPE),
    "Where": ((op("Greater", "z o", "c", {"o": np.float32(1)}), op("Where", "c x z", "y")), SHAPE),
    "ArgMax": (picked("ArgMax", axis=2), (1, 6, 1, 4)),
    "ArgMax last": (picked("ArgMax", axis=-1, select_last_index=1), (1, 6, 5, 1)),
    "ArgMin": ((op("ArgMin", "x", "i", axis=1, keepdims=0), real("i", "a"),
                op("Reshape", "a", "y", shape=(1, 1, 5, 4))), (1, 1, 5, 4)),
    "TopK": ((op("TopK", "x k", "v i", {"k": np.array([3])}, axis=2), real("i", "j"),
              op("Add", "v j", "y")), (1, 6, 3, 4)),
    "TopK least": ((whole("x", "a", "int32"), op("TopK", "a k", "v i", {"k": np.array([6])},
                                                 axis=1, largest=0),
                    real("v", "w"), real("i", "j"), op("Sub", "w j", "y")), SHAPE),
    "TopK last": ((op("TopK", "x k", "v i", {"k": np.array([2])}), real("i", "j"),
                   op("Add", "v j", "y")), (1, 6, 5, 2)),
    "Hardmax": ((op("Hardmax", "x", "y", axis=1),), SHAPE),
    "Hardmax last": ((op("Hardmax", "x", "y"),), SHAPE),
    "ReduceMax": ((op("ReduceMax", "z", "y", axes=(1, -2), keepdims=1),), (1, 1, 1, 4)),
    "ReduceMin": ((op("ReduceMin", "x a", "b", {"a": np.array([2])}, keepdims=0),
                   op("Reshape", "b", "y", shape=(1, 6, 1, 4))), (1, 6, 1, 4)),
    "ReduceMax whole": ((whole("x", "a"), op("ReduceMax", "a", "b", axes=(3,), keepdims=1),
                         real("b", "y")), (1, 6, 5, 1)),
    "CumSum": ((op("CumSum", "x a", "y", {"a": INT(2)}),), SHAPE),
    "CumSum back": ((op("CumSum", "x a", "y", {"a": INT(-1)}, reverse=1, exclusive=1),), SHAPE),
    "CumSum whole": ((whole("x", "b", "int32"), op("CumSum", "b a", "c", {"a": INT(1)}, reverse=1),
                      real("c", "y")), SHAPE),
    **{kind: ((op(kind, "x", "y"),), SHAPE)
       for kind in ("Abs", "Neg", "Relu", "Sqrt", "Floor", "Ceil", "Round", "Sign", "Reciprocal")},
    "Abs whole": ((whole("x", "a"), op("Abs", "a", "b"), op("Neg", "b", "c"), op("Sign", "c", "d"),
                   op("Add", "c d", "e"), real("e", "y")), SHAPE),
    "LeakyRelu": ((op("LeakyRelu", "x", "y", alpha=0.3),), SHAPE),
    **{kind: ((op(kind, "x", "y"),), SHAPE) for kind in ("Exp", "Log", "Sigmoid", "Tanh")},
    "Pow": ((op("Pow", "x e", "y", {"e": np.array([2, -1, 0.5, 3], np.float32)}),), SHAPE),
    "Pow whole": ((op("Pow", "z e", "y", {"e": np.array([3, 2, -2, 0])}),), (1, 6, 1, 4)),
    "Pow of no number": ((op("Sqrt", "x", "n"), op("Pow", "x n", "y")), SHAPE),
    "Softmax": ((op("Softmax", "x", "y", axis=1),), SHAPE),
    "LogSoftmax": ((op("LogSoftmax", "x", "y", axis=-1),), SHAPE),
    "ReduceSum": ((op("ReduceSum", "x", "y", axes=(1, 3), keepdims=1),), (1, 1, 5, 1)),
    "ReduceMean": ((op("ReduceMean", "x a", "b", {"a": np.array([-2, 1])}, keepdims=0),
                    op("Reshape", "b", "y", shape=(1, 1, 1, 4))), (1, 1, 1, 4)),
    "ReduceMean all": ((op("ReduceMean", "x", "m"), op("Sub", "x m", "y")), SHAPE),
    "Clip": ((op("Clip", "x", "y", min=-0.35, max=0.71),), SHAPE),
    "Cast": ((whole("x", "a"), real("a", "y")), SHAPE),
    "Cast truths": ((op("Relu", "x", "p"), whole("p", "a", "bool"), whole("a", "b", "uint8"),
                     real("b", "y")), SHAPE),
    **{kind: (of_two(kind), SHAPE) for kind in ("Add", "Sub", "Mul", "Div", "Max", "Min")},
    "Add whole": ((whole("x", "a"), whole("z", "b"), op("Add", "a b", "c"), op("Mul", "c b", "d"),
                   op("Sub", "d a", "e"), op("Max", "e b", "f"), real("f", "y")), SHAPE),
    "Sum": ((op("Sum", "x z x", "y"),), SHAPE),
    "PRelu": ((op("PRelu", "x s", "y", {"s": RNG.normal(size=(6, 1, 1)).astype(np.float32)}),),
              SHAPE),
    **{kind: ((whole("x", "i"), whole("z", "j"), op(kind, "i j", "a"), real("a", "b"),
               op(kind, "x z", "c"), real("c", "d"), op("Sub", "b d", "e"),
               op("Add", "e b", "y")), SHAPE)
       for kind in ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")},
    **{kind: (of_truths(kind), SHAPE) for kind in ("And", "Or", "Xor")},
    "Not": ((op("Greater", "x z", "a"), op("Not", "a", "b"), real("b", "y")), SHAPE),
}  # fmt: skip


@cache
def compiled(name: str, bits: int = 8) -> Any:
    operators, makes = CASES[name]
    return build(graph(*operators, makes=makes, dtype=dtypes.S8 if bits == 8 else dtypes.S16), MAIN)


def simulated(program: Program) -> Machine:
    return Machine(program, None, general_layers(program))


@pytest.mark.parametrize("name", CASES)
def test_operator(name: str) -> None:
    """The bytes of ONNX Runtime, which are not all the same; functions: the golden model's too."""
    for bits in (8, 16) if name in ("Mul", "TopK", "Floor") else (8,):
        program = compiled(name, bits).program
        given = random_inputs(compiled(name, bits).compiled.graph, np.random.default_rng(bits))
        wanted = simulated(program).run(given)["y"]
        assert NativeMachine(program).run(given)["y"].tobytes() == wanted.tobytes()
        assert np.ptp(wanted)
        kinds = {step.op for step in CASES[name][0]}
        if kinds & host_forms.FORMS.keys():
            golden = golden_model(compiled(name, bits).compiled.graph, ["y"])
            (other,) = golden_session(golden).run(["y"], given)
            assert other.tobytes() == wanted.tobytes()
        if kinds <= EXACT & host_forms.FORMS.keys() and name != "Pow whole":
            assert Machine(program).run(given)["y"].tobytes() == wanted.tobytes()


SPECIAL = (0, -0.0, 1, -1, np.inf, -np.inf, np.nan, 1e-40, 88.8, -104, 700, 0.0156)


@pytest.mark.parametrize("scale", [0.01, 3, 100])
def test_functions_are_spelled_as_numpy_computes_them(scale: float) -> None:
    """Bit for bit in ONNX Runtime, also of what is special; -0 and 0 are the same."""
    rng, shape = np.random.default_rng(3), (1, 3, 40, 20)
    x = rng.normal(0, scale, shape).astype(np.float32)
    x.reshape(-1)[: len(SPECIAL)] = SPECIAL
    by = rng.normal(0, 2, 20).round(1).astype(np.float32)
    by[:6] = (2, 3, -1, 0, np.inf, -3)
    finite = np.nan_to_num(x, posinf=3, neginf=-3)
    tried: tuple[tuple[HostOp, Array, Array], ...]
    with np.errstate(all="ignore"):
        tried = (
            *((op(kind, "x", "y"), x, KINDS[kind]([x], {}))
              for kind in ("Exp", "Log", "Sigmoid", "Tanh")),
            (op("Pow", "x e", "y", {"e": by}), x, KINDS["Pow"]([x, by], {})),
            *((op(kind, "x", "y", axis=2), finite, KINDS[kind]([finite], {"axis": 2}))
              for kind in ("Softmax", "LogSoftmax")),
        )  # fmt: skip
    for step, given, wanted in tried:
        model = general.exact_model([step], {"x": shape}, "y", shape)
        (found,) = session(model, called=step.op, as_written=True).run(["y"], {"x": given})
        odd = np.isnan(found) & np.isnan(wanted)
        assert (found + np.float32(0))[~odd].tobytes() == (wanted + np.float32(0))[~odd].tobytes()


def test_every_operator_has_a_case() -> None:
    tried = {step.op for operators, _ in CASES.values() for step in operators}
    assert tried == {row[0] for row in OPERATIONS}
    assert len(OPERATIONS) == len(tried)


@pytest.fixture(scope="module")
def driver(made_once: MadeOnce, tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("sanitized") / "driver"
    files = [*runtime_objects(made_once, *SANITIZED), Path(__file__).parent / "runtime_driver.c"]
    compile_c(program, files, *SANITIZED)
    return program


def test_operators_with_sanitizers(driver: Path) -> None:
    cases = []
    for name in CASES:
        found = compiled(name)
        given = random_inputs(found.compiled.graph, np.random.default_rng(8))
        cases.append(of_machine(simulated(found.program), given, 0))
    for case, got in zip(cases, run(driver, cases), strict=True):
        assert got == (0, case.wanted)


# ------------------------------------------------------------------ what does not fit


def changed(name: str, at: int, **changes: Any) -> Program:
    program = compiled(name).program
    (layer,) = program.meta.general
    steps = list(layer.operators)
    steps[at] = replace(steps[at], **changes)
    general = (replace(layer, operators=tuple(steps)),)
    return paired(replace(program, meta=replace(program.meta, general=general)))


def sentence(program: Program) -> str:
    with pytest.raises((FormatError, UnsupportedError)) as caught:
        NativeMachine(program)
    return caught.value.sentence


@pytest.mark.parametrize("name", CASES)
def test_other_shapes_are_refused(name: str, driver: Path) -> None:
    """Each result with an axis more, less, longer, of another type: never undefined behaviour."""
    (layer,) = compiled(name).program.meta.general
    cases = []
    for at, step in enumerate(layer.operators):
        for which, made in enumerate(step.makes):
            for other in (
                replace(made, shape=(*made.shape, 2)), replace(made, shape=made.shape[1:]),
                replace(made, shape=(*made.shape[:-1], made.shape[-1] + 1)),
                replace(made, type="uint16"),
            ):  # fmt: skip
                makes = (*step.makes[:which], other, *step.makes[which + 1 :])
                program = changed(name, at, makes=makes)
                told = sentence(program)
                assert re.search("does not fit|must make|register a handler", told), told
                cases.append(Case(*encode_program(program), 0))
    assert all(status for status, _ in run(driver, cases))


def test_attributes_and_inputs_that_an_operator_has_not() -> None:
    for changes in (
        {"attributes": {"axis": 1, "axi": 0}}, {"attributes": {"axis": 1, "keepdims": 0}},
        {"inputs": ("x", "z")},
    ):  # fmt: skip
        told = sentence(changed("Hardmax", 0, **changes))
        assert told == "host operator y (Hardmax) does not fit what it reads."
    right = (0, 1, 0, 2, 0, 0, 3, 0)
    for pads in (right[:-1], (*right, 0), (*right, 0, 0)):
        told = sentence(changed("Pad", 0, attributes={"pads": pads}))
        assert told == "host operator y (Pad) does not fit what it reads."


FAULTS = 60


@cache
def middle() -> Program:
    origin = Origin(version="0", model_sha256="0" * 64, recipe=RECIPE, quantization=NOTES)
    return compile_graph(MORE_PROGRAMS["middle"](), SMALL, CHIP_FILE, origin).program


def changed_programs() -> Iterator[tuple[str, Program]]:
    """Half of them in what the host computes between segments."""
    rng, count = random.Random(5), 0
    for _, fault in zip(range(FAULTS // 2), faults(middle(), seed=19), strict=False):
        yield fault.what, fault.program
    while count < FAULTS // 2:
        found = general_layer(middle(), rng)
        count += found is not None
        if found is not None:
            yield found[0], paired(found[1])


def opinion(program: Program, given: Mapping[str, Array], native: bool) -> Any:
    """What a machine delivers, or None where it refuses the program."""
    try:
        machine = NativeMachine(program) if native else simulated(program)
        return {name: values.tobytes() for name, values in machine.run(given).items()}
    except KnightliteError:
        return None


def test_changed_programs_are_refused_by_both_or_run_alike() -> None:
    rng, refused, ran = np.random.default_rng(3), 0, 0
    for what, program in changed_programs():
        try:
            files = unread_files(program)
            found = decode_program(*files, "p.cfg", "p.weight")
        except KnightliteError:
            continue
        given = {
            entry.name: rng.integers(-128, 128, entry.shape).astype(entry.dtype.numpy)
            for entry in found.meta.inputs
        }
        wanted = opinion(found, given, native=False)
        assert opinion(found, given, native=True) == wanted, what
        refused += wanted is None
        ran += wanted is not None
    assert min(refused, ran) > FAULTS // 6


def test_refused_by_name() -> None:
    told = "which the runtime in C does not compute: register a handler of it."
    program = changed("Sqrt", 0, op="Erf")
    assert sentence(program) == f"general layer y has Erf (y), {told}"
    program = changed("TopK", 0, attributes={"axis": 2, "sorted": 0})
    assert sentence(program) == f"general layer y has a form of TopK (v), {told}"
    assert unknown(["Erf", "Add", "Erf", "Einsum"]) == ("Erf", "Einsum")
    (layer,) = compiled("Sqrt").program.meta.general
    (made,) = layer.operators[0].makes
    for makes in (
        (),
        (replace(made, shape=(1 << 28, 1 << 28, 0)),),
    ):  # too many turns
        program = changed("Sqrt", 0, makes=makes)
        assert sentence(program) == (
            "general layer y makes values of which the .cfg says no size, or one beyond 268435456 "
            "elements."
        )


def test_an_index_that_leads_nowhere(driver: Path) -> None:
    """Indices that are computed are known in a frame only; the next one is sound again."""
    places = graph(
        op("Mul", "z f", "a", {"f": np.float32(2)}), whole("a", "i"),
        op("GatherElements", "x i", "y", axis=2), makes=(1, 6, 1, 4),
    )  # fmt: skip
    program = build(places, MAIN).program
    native, given = NativeMachine(program), random_inputs(places, np.random.default_rng(1))
    for number, sound in ((20, True), (127, False), (-128, False), (-40, True)):
        given["z"][...] = number
        if sound:
            wanted = simulated(program).run(given)["y"]
            assert native.run(given)["y"].tobytes() == wanted.tobytes()
            continue
        with pytest.raises(FormatError) as caught:
            native.run(given)
        assert caught.value.sentence == (
            "host operator y (GatherElements) has an index outside of what it picks from."
        )
        files = encode_program(program)
        data = b"".join(given[entry.name].tobytes() for entry in program.meta.inputs)
        ((status, told),) = run(driver, [Case(*files, 0, data)])
        assert (status, told.decode()) == (KNL_FRAME, caught.value.sentence)


# ------------------------------------------------------------------ handlers of a program

HANDLED = r"""
#include <stdio.h>
#include <string.h>
#include "knl_layers.h"

static unsigned char cfg[1 << 16], weight[1 << 16], given[1 << 12], arena[1 << 20], out[1 << 12];

static size_t take(const char *name, unsigned char *to, size_t most) {
    FILE *opened = fopen(name, "rb");
    size_t bytes = fread(to, 1, most, opened);
    fclose(opened);
    return bytes;
}

/* y = gain * x + the constant of each channel */
static int shifted(void *context, const knl_call *call) {
    const float *x = call->inputs[0].data, *by = call->inputs[1].data;
    float *y = call->outputs[0].data, gain = *(const float *)context;
    knl_host_attribute told = knl_host_attribute_at(
        call->net, knl_host_operator_at(call->net, call->number).first_attribute);
    size_t at, run = call->outputs[0].sizes[2] * call->outputs[0].sizes[3];
    if (call->input_count != 2 || call->output_count != 1 || told.kind != KNL_REAL)
        return 1;
    for (at = 0; at < call->outputs[0].count; at++)
        y[at] = gain * x[at] + by[at / run] + (float)knl_host_real(call->net, told.first_number);
    return 0;
}

static int whole(void *context, const knl_call *call) {
    const float *x = call->inputs[0].data, *z = call->inputs[1].data;
    float *y = call->outputs[0].data;
    size_t at;
    (void)context;
    if (call->input_count != 2 || call->output_count != 1)
        return 1;
    for (at = 0; at < call->outputs[0].count; at++)
        y[at] = x[at] - z[at / 20 * 4 + at % 4];
    return 0;
}

static int failing(void *context, const knl_call *call) {
    (void)context;
    (void)call;
    return 1;
}

int main(int count, char **words) {
    static const float gain = 3;
    static const knl_handler by_name[] = {{"Erf", 0, shifted, (void *)&gain}},
                             by_number[] = {{NULL, 1152, whole, NULL}},
                             fails[] = {{"Erf", 0, failing, NULL}};
    const knl_handler *all[] = {by_name, by_number, fails, NULL};
    const knl_handler *chosen = all[words[1][0] - '0'];
    knl_network net;
    knl_error error;
    size_t cfg_bytes = take(words[2], cfg, sizeof cfg), bytes;
    size_t weight_bytes = take(words[3], weight, sizeof weight);
    uint32_t at;
    unsigned char *from = given;
    (void)count;
    take(words[4], given, sizeof given);
    error.sentence[0] = 0;
    if (knl_open(&net, cfg, cfg_bytes, weight, weight_bytes, KNL_CHECKED | KNL_HANDLERS, &error) ||
        (chosen && knl_handle(&net, chosen, 1, &error)) ||
        knl_start(&net, arena, sizeof arena, &error)) {
        puts(error.sentence);
        return 1;
    }
    for (at = 0; at < knl_inputs(&net); at++) {
        knl_tensor tensor = knl_tensor_at(&net, knl_input(&net, at));
        bytes = (size_t)knl_tensor_bytes(&tensor);
        knl_write(&net, knl_input(&net, at), from, bytes, &error);
        from += bytes;
    }
    knl_run(&net, NULL, NULL);
    if (knl_host_status(&net, &error)) {
        puts(error.sentence);
        return 2;
    }
    knl_read(&net, knl_output(&net, 0), out, bytes = 2 * 6 * 5 * 4, &error);
    fwrite(out, 1, bytes, stdout);
    return 0;
}
"""
BY = np.arange(6, dtype=np.float32)


@pytest.fixture(scope="module")
def handled(made_once: MadeOnce, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("handled")
    (folder / "main.c").write_text(HANDLED)
    files = [*runtime_objects(made_once, *SANITIZED), folder / "main.c"]
    compile_c(folder / "main", files, *SANITIZED, "-Wall", "-Wextra")
    return folder / "main"


def called(
    handled: Path, which: int, program: Program, given: Mapping[str, Array], folder: Path
) -> tuple[int, bytes]:
    names = [folder / name for name in ("p.cfg", "p.weight", "p.bin")]
    data = b"".join(given[entry.name].tobytes() for entry in program.meta.inputs)
    for path, content in zip(names, (*encode_program(program), data), strict=True):
        path.write_bytes(content)
    done = subprocess.run([handled, str(which), *names], capture_output=True, timeout=60)
    assert not done.stderr, done.stderr.decode()
    return done.returncode, done.stdout


def with_handled(layer_type: int = 0) -> tuple[Program, dict[str, Array]]:
    """``Erf`` stands for an operator of the user: it reads a constant and has an attribute."""
    found = compiled("Add")
    program = found.program
    (layer,) = program.meta.general
    (step,) = layer.operators
    sample = graph(op("Add", "x by", "y", {"by": BY.reshape(6, 1, 1)}))
    (other,) = build(sample, MAIN).program.meta.general
    step = replace(other.operators[0], op="Erf", attributes={"more": 0.25})
    layer = replace(layer, operators=(step,), layer_type=layer_type)
    made = paired(replace(program, meta=replace(program.meta, general=(layer,))))
    return made, random_inputs(found.compiled.graph, np.random.default_rng(5))


def by_hand(program: Program, given: Mapping[str, Array], compute: Any) -> bytes:
    """The simulator with another host."""
    machine = Machine(program, None, lambda layer: compute)
    return bytes(machine.run(given)["y"].tobytes())


def shifted(values: Mapping[str, Array]) -> Array:
    """What the handler by name makes."""
    gained = np.float32(3) * values["x"] + BY.reshape(6, 1, 1)
    return np.asarray(gained + np.float32(0.25), np.float32)


def test_handlers(handled: Path, tmp_path: Path) -> None:
    program, given = with_handled()
    assert called(handled, 0, program, given, tmp_path) == (0, by_hand(program, given, shifted))
    status, told = called(handled, 2, program, given, tmp_path)
    assert (status, told) == (2, b"the handler of host operator y (Erf) failed.\n")
    refused = (
        "general layer y has Erf (y), which the runtime in C does not compute: register a handler "
        "of it.\n"
    )
    for which in (1, 3):  # of another layer, none at all
        status, told = called(handled, which, program, given, tmp_path)
        assert (status, told.decode()) == (1, refused)


def test_a_handler_of_a_user_defined_layer(handled: Path, tmp_path: Path) -> None:
    """By its number it computes the whole layer, whatever that is made of."""
    program, given = with_handled(1152)
    found = called(handled, 1, program, given, tmp_path)
    assert found == (0, by_hand(program, given, lambda values: values["x"] - values["z"]))
