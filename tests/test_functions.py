"""Every function of a table against ONNX Runtime's float operator, entry by entry; its facts."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from knightlite import dtypes, numerics
from knightlite.inference import session
from knightlite.ir import GraphBuilder, Node
from knightlite.ops import BY_NAME, View, expressions, functions, table
from knightlite.ops.functions import FUNCTIONS
from knightlite.ops.onnx_io import OnnxWriter
from knightlite.ops.samples import result

Array = NDArray[Any]
OTHERS: dict[str, list[dict[str, Any]]] = {
    "Celu": [{"alpha": 0.5}],
    "Clip": [{"alpha": -1.0, "beta": 6.0}, {"alpha": 0.0}],
    "Elu": [{"alpha": 0.5}, {"alpha": 2.0}],
    "Gelu": [{"approximate": "tanh"}],
    "HardSigmoid": [{"alpha": float(np.float32(1 / 6))}],
    "LeakyRelu": [{"alpha": float(np.float32(0.3))}, {"alpha": -0.5}],
    "Pow": [{"exponent": value} for value in (2.0, 3.0, 0.5, -1.0, -0.75)],
    "Selu": [{"alpha": 1.0, "gamma": 1.5}],
    "Shrink": [{"lambd": 1.5, "bias": 1.5}, {"lambd": 0.5, "bias": 1.0}],
    "ThresholdedRelu": [{"alpha": 0.25}],
}
CASES = [
    pytest.param(name, {**FUNCTIONS[name].parameters, **extra}, kind, id=f"{name}-{index}-{kind}")
    for name in FUNCTIONS
    for index, extra in enumerate([{}, *OTHERS.get(name, [])])
    for kind in (dtypes.S8, dtypes.U8)
]


def real(name: str, parameters: dict[str, Any], x: Array) -> Array:
    """ONNX Runtime's float32 values of the function."""
    writer = OnnxWriter("f")
    writer.input("x", x.shape, dtypes.F32)
    expressions.write_function(writer, name, parameters, "x", "y")
    writer.output("y", x.shape, dtypes.F32)
    values: Array = session(writer.model(), 1).run(None, {"x": x})[0]
    return values


def view_of(
    name: str, parameters: dict[str, Any], kind: dtypes.DType, scale: float, y_scale: float = 0.02
) -> View:
    builder = GraphBuilder("f")
    builder.input("x", (1, 1, 1, 256), kind, scale)
    node = Node("y", "Table", ("x",), ("y",), {"function": name, **parameters})
    return View(result(builder, node, (1, 1, 1, 256), dtypes.S8, y_scale), node)


@pytest.mark.parametrize(("name", "parameters", "kind"), CASES)
def test_entries_are_those_of_onnx_runtime(
    name: str, parameters: dict[str, Any], kind: dtypes.DType
) -> None:
    """Equal but for a tie that the two approximations see on either side; never more than 1."""
    for scale in (0.031, 1 / 16):
        x = np.arange(kind.minimum, kind.maximum + 1).astype(np.float32) * np.float32(scale)
        y = real(name, parameters, x)
        found = functions.evaluate(name, x, parameters)
        inside = np.isfinite(y)
        assert np.count_nonzero(inside) >= 90
        np.testing.assert_allclose(found[inside], y[inside], rtol=3e-6, atol=2e-6)
        y_scale = 1 / 64 if np.abs(y[inside]).max() < 2 else 0.06
        entries = table.entries(view_of(name, parameters, kind, scale, y_scale))
        wanted = numerics.quantize_input(y[inside], float(y_scale), dtypes.S8)
        difference = np.abs(entries[inside].astype(int) - wanted)
        assert difference.max() <= 1
        assert np.count_nonzero(difference) <= 2
        infinite = np.isinf(y) & (x >= FUNCTIONS[name].lowest(parameters))
        assert set(entries[infinite & (y > 0)]) <= {127}
        assert set(entries[infinite & (y < 0)]) <= {-128}


@pytest.mark.parametrize(
    ("name", "parameters", "at_zero", "below"),
    [
        ("Log", {}, -128, -128),
        ("Sqrt", {}, 0, 0),
        ("Reciprocal", {}, 127, -128),
        ("Pow", {"exponent": 0.5}, 0, 0),
        ("Pow", {"exponent": -0.5}, 127, 127),
        ("Pow", {"exponent": -1.0}, 127, -128),
    ],
)
def test_outside_the_domain_a_table_is_as_at_its_edge(
    name: str, parameters: dict[str, Any], at_zero: int, below: int
) -> None:
    entries = table.entries(view_of(name, parameters, dtypes.S8, 1e-3, 1e-3))
    assert entries[128] == at_zero
    assert entries[127] == below
    if FUNCTIONS[name].lowest(parameters) == 0:
        assert set(entries[:128]) == {below}


def test_what_is_not_a_number_is_0() -> None:
    """x * log(x) is 0 * -inf at 0."""
    steps = ("Log x", "Mul x %1")
    entries = table.entries(view_of("Expression", {"steps": steps}, dtypes.U8, 0.01))
    assert entries[0] == 0
    assert entries[37] == np.rint(0.37 * np.log(0.37) / 0.02)


@pytest.mark.parametrize(("name", "parameters", "kind"), CASES)
def test_support_and_sign(name: str, parameters: dict[str, Any], kind: dtypes.DType) -> None:
    function = FUNCTIONS[name]
    x = np.linspace(-20, 20, 8001, dtype=np.float32)
    y = functions.evaluate(name, x, parameters)
    low, high = function.support(parameters)
    if low > -20 and name != "HardSigmoid":
        assert len(np.unique(y[x < low])) == 1
        assert y[x < low][0] != y[x > low + 0.5][0]
    if high < 20 and name != "HardSigmoid":
        assert len(np.unique(y[x > high])) == 1
    if function.nonnegative(parameters, False):
        assert y.min() >= 0
    if function.nonnegative(parameters, True):
        assert y[x >= 0].min() >= 0
    elif name not in ("Cos", "Sin", "Tan", "Log"):
        assert y[x >= 0].min() < 0


GRID = np.concatenate([np.linspace(-9, 9, 145), [-1e4, 1e4]]).astype(np.float32)
OPERANDS: tuple[tuple[float | int, float | int], ...] = (
    (0, 0), (0, 2.5), (0, -2.5), (2.5, 0), (-2.5, 0), (0, 0.0), (0.0, 0),
)  # fmt: skip


def test_signs_of_steps_are_those_of_their_values() -> None:
    """Of every pair of operators: what is said never to be below 0 never is."""
    said = 0
    for first, one in itertools.product(expressions.BINARY, OPERANDS):
        for second, other in itertools.product([*expressions.BINARY, "Relu"], OPERANDS):
            last = tuple(1 if item == 0 and isinstance(item, int) else item for item in other)
            steps = [expressions.Step(first, one, {})]
            if second == "Relu":
                steps.append(expressions.Step("Clip", (1,), {"alpha": 0.0, "beta": 3.0}))
            else:
                steps.append(expressions.Step(second, last, {}))
            for part in (steps[:1], steps):
                for x_is, x in ((False, GRID), (True, GRID[GRID >= 0])):
                    if expressions.nonnegative(part, x_is):
                        y = expressions.evaluate(part, x)
                        said += 1
                        assert not np.any(y[np.isfinite(y)] < 0), [step.text() for step in part]
    assert said > 800


@pytest.mark.parametrize("op", ["Mul", "Div"])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_number_is_not_the_value_of_that_number(op: str, number: int) -> None:
    """SiLU times two is SiLU, which is the second value, times 2.0: no square."""
    texts = ("Sigmoid x", "Mul x %1", "Sub %2 0.01", f"{op} %{number} {number}.0")
    steps = [expressions.parse(text) for text in texts]
    below = bool(np.any(expressions.evaluate(steps, GRID) < 0))
    assert below == (number > 1)
    assert expressions.nonnegative(steps, False) == (not below)


def test_gains_and_offsets_are_what_a_first_step_computes() -> None:
    """Whichever operand is the number; nothing where the step is no such, or x is read again."""
    last = expressions.Step("Sigmoid", (1,), {})
    for op in expressions.BINARY:
        for operands in OPERANDS:
            step = expressions.Step(op, operands, {})
            found = expressions.gain_and_offset([step, last])
            wanted = expressions.evaluate([step], GRID).astype(float)
            line = np.polyfit(GRID[:145].astype(float), wanted[:145], 1)
            fits = np.all(np.isfinite(line)) and np.allclose(np.polyval(line, GRID), wanted)
            if found is None:
                numbers = any(isinstance(item, float) for item in operands)
                assert not numbers or not fits or abs(line[0]) < 1e-6 or op in ("Max", "Min")
            else:
                np.testing.assert_allclose(found[0] * GRID + found[1], wanted, rtol=1e-6)
            again = expressions.Step("Mul", (1, 0), {})
            assert expressions.gain_and_offset([step, again]) is None


def test_texts_of_steps() -> None:
    texts = ("Add x 3.0", "Clip %1 alpha=0.0 beta=6.0", "Mul x %2", "Gelu %3 approximate=tanh")
    steps = [expressions.parse(text) for text in texts]
    assert tuple(step.text() for step in steps) == texts
    assert [step.operands for step in steps] == [(0, 3.0), (1,), (0, 2), (3,)]
    assert [step.is_affine for step in steps] == [True, False, False, False]


@pytest.mark.parametrize(
    ("steps", "signed", "unsigned"),
    [
        (("Sigmoid x", "Mul x %1"), False, True),
        (("Mul x x",), True, True),
        (("Sub x 1.0", "Mul %1 %1"), True, True),
        (("Sub x 1.0",), False, False),
        (("Mul x 0.1", "Max x %1"), False, True),
        (("Exp x", "Max x %1"), True, True),
        (("Exp x", "Min x %1"), False, True),
        (("Abs x", "Mul %1 -1.0"), False, False),
    ],
)
def test_signs_of_expressions(steps: tuple[str, ...], signed: bool, unsigned: bool) -> None:
    view = view_of("Expression", {"steps": steps}, dtypes.S8, 0.05)
    definition = BY_NAME["Table"]
    assert definition.nonnegative(view, (False,)) is signed
    assert definition.nonnegative(view, (True,)) is unsigned


@pytest.mark.parametrize(
    "steps",
    [
        ("Sigmoid x", "Mul x %1", "Clip %2 alpha=-inf beta=20.0"),  # differs beyond 20 only
        ("Div x 6.01", "Add %1 0.5", "Clip %2 alpha=0.0 beta=1.0", "Mul x %3"),
        ("Erf x", "Add %1 1.0", "Mul x %2", "Mul %3 0.5"),
        ("Mul x 0.1", "Max x %1", "Clip %2 alpha=-inf beta=300.0"),
    ],
)
def test_what_only_resembles_a_function_is_not_it(steps: tuple[str, ...]) -> None:
    assert expressions.recognised([expressions.parse(text) for text in steps]) is None


@pytest.mark.parametrize(
    ("exponent", "always"),
    [(0.5, True), (1.5, True), (2.0, True), (-2.0, True), (0.0, True), (1.0, False), (-3.0, False)],
)
def test_powers_that_are_never_negative(exponent: float, always: bool) -> None:
    """Even ones, and those that know no negative x; the others where x is not negative."""
    power = functions.FUNCTIONS["Pow"]
    assert power.nonnegative({"exponent": exponent}, False) is always
    assert power.nonnegative({"exponent": exponent}, True) is True
