"""The traits that operators promise hold for their float form, over the samples of every operator.

The quantizer relies on them where it scales channels, lifts tables or fits an input, so that a lie
would be a network of another function.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import MISSING, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from knightlite.ir import Graph
from knightlite.ops import BY_NAME, Kernel, Lookup, OpDef, Tie, View
from knightlite.ops.bends import STILL, UNIT
from knightlite.ops.expressions import Step, evaluate
from knightlite.ops.opdef import OPEN, own_channels
from test_ops import CASES, float_model, run, view_of
from test_ops import features as feature_places

Array = NDArray[Any]
Values = Sequence[Array]
CLOSE = 1e-4  # of the largest value: float32 in another order
C = 0.375  # a number that is added everywhere


def opened(view: View) -> View:
    """The node without its merged activation."""
    rest = {key: value for key, value in view.node.attributes.items() if key != "clamp"}
    return view_of(view.graph.with_nodes([replace(view.node, attributes=rest)]))


def function_of(op: OpDef, view: View) -> Callable[[Values], Array]:
    """The float form as a function of the node's features."""
    model = float_model(op, view)
    names = [view.node.inputs[index] for index in feature_places(view)]

    def compute(values: Values) -> Array:
        given = dict(zip(names, values, strict=True))
        return run(model, {name: np.asarray(item, np.float32) for name, item in given.items()})

    return compute


def is_close(found: Array, wanted: Array) -> bool:
    bound = CLOSE * max(float(np.abs(wanted).max()), float(np.abs(found).max()), 1e-6)
    return bool(np.all(np.abs(found - wanted) <= bound))


def divisors(
    view: View, ties: Sequence[Tie], rng: np.random.Generator
) -> tuple[list[Array], Array]:
    """Numbers for the channels of every operand and of the output, tied ones alike."""
    outputs = 2.0 ** rng.integers(-2, 3, view.output.shape[1])
    operands = [np.ones(view.tensor(index).shape[1]) for index in feature_places(view)]
    for _ in range(3):
        for tie in ties:
            operands[tie.operand][tie.channels] = outputs[tie.outputs]
            outputs[tie.outputs] = operands[tie.operand][tie.channels]
    return operands, outputs


def absorbed(view: View, into: Array, out: Array) -> View:
    """The node that multiplies its input by ``into`` [C] and divides its output by ``out`` [Co]."""
    factors, *more = view.node.inputs[1:]
    first = view.constant(1)
    graph = view.graph
    if first.ndim == 1:
        constants = {factors: (first * into / out).astype(np.float32)}
        constants |= {name: (graph.constants[name] / out).astype(np.float32) for name in more}
        return view_of(graph.with_constants(constants))
    groups = view.integer("group")
    rows = np.repeat(into.reshape(groups, -1), len(first) // groups, axis=0)
    scaled = [
        replace(graph.tensors[name], scale=np.asarray(graph.tensors[name].scale) / out)
        for name in (factors, *more)
    ]
    grown = {factors: first * rows[:, :, None, None].astype(np.int64)}
    return view_of(graph.with_constants(grown).with_tensors(scaled))


def untrue(op: OpDef, view: View) -> list[str]:
    """The traits that the operator promises for a node and does not keep."""
    rng = np.random.default_rng(3)
    plain = opened(view)
    values, others = (
        [rng.normal(0, 1, plain.tensor(index).shape) for index in feature_places(plain)]
        for _ in "ab"
    )
    compute = function_of(op, plain)
    exact = compute(values)
    broken = []
    ties = op.ties(plain)
    if ties is not None:
        operands, outputs = divisors(plain, ties, rng)
        divided = [
            item / factors[:, None, None] for item, factors in zip(values, operands, strict=True)
        ]
        if not is_close(compute(divided), exact / outputs[:, None, None]):
            broken.append("ties")
    if op.absorbs_factors:
        into = 2.0 ** rng.integers(0, 3, plain.tensor(0).shape[1])
        out = 2.0 ** rng.integers(-2, 3, plain.output.shape[1])
        changed = function_of(op, absorbed(plain, into, out))
        if not is_close(changed([values[0] / into[:, None, None]]), exact / out[:, None, None]):
            broken.append("absorbs_factors")
    raised = compute([item + C for item in values])
    if op.adds_through(plain) and not is_close(raised, exact + C):
        broken.append("carries_offsets")
    if op.kernel is not None and op.kernel.all_taps(plain):
        scale = plain.scale(1).reshape(-1, 1, 1, 1)
        sums = (plain.constant(1) * scale).sum(axis=(1, 2, 3))
        if not is_close(raised, exact + C * sums[:, None, None]):
            broken.append("all_taps")
    if op.linear:
        nothing = compute([np.zeros_like(item) for item in values])
        both = compute([a + b for a, b in zip(values, others, strict=True)])
        if not is_close(both, exact + compute(others) - nothing):
            broken.append("linear")
    if op.requantizes(plain) and not is_close(exact, values[0]):
        broken.append("requantizes")
    if op.lookup is not None:
        broken += _untrue_lookup(op.lookup, op, plain)
    return broken


def _exactly(steps: Sequence[Step], values: Sequence[Array]) -> Array:
    return evaluate(steps, values[0].astype(np.float32))


def _untrue_lookup(lookup: Lookup, op: OpDef, view: View) -> list[str]:
    low, high = lookup.support(view)
    shape, broken = view.tensor(0).shape, list[str]()
    steps = lookup.steps(view.node)
    near = evaluate(steps, np.linspace(-UNIT, UNIT, 257, dtype=np.float32))
    # a function by itself is constant, also as ONNX Runtime computes it; an expression, exactly
    # computed, changes by less than what counts
    own = len(steps) == 1
    compute = function_of(op, view) if own else partial(_exactly, steps)
    allowed = 0.0 if own else STILL * float(np.abs(near[np.isfinite(near)]).max())
    for bound, side in ((low, -1.0), (high, 1.0)):
        for further in (1.5, 100.0) if np.isfinite(bound) else ():
            edge, past = (compute([np.full(shape, x)]) for x in (bound, bound + side * further))
            known = np.isfinite(past)  # where it is defined
            if not np.all(np.abs(edge - past)[known] <= allowed):
                broken.append("support")
                break
    x = np.linspace(-4, 4, 100, dtype=np.float32)
    again = lookup.computing(view.node, [*steps, Step("Add", (len(steps), C), {})])
    if not is_close(evaluate(lookup.steps(again), x), evaluate(steps, x) + C):
        broken.append("computing")
    return broken


@pytest.mark.parametrize(("op", "view"), CASES)
def test_what_an_operator_promises_it_keeps(op: OpDef, view: View) -> None:
    assert untrue(op, view) == []


# ------------------------------------------------------------------ lies are seen


def sample(op: str, name: str) -> View:
    return next(view_of(graph) for graph in BY_NAME[op].samples() if graph.name == name)


def always(view: View) -> bool:
    return True


def crossed(view: View) -> tuple[Tie, ...]:
    channels = np.arange(view.output.shape[1])
    return (Tie(0, channels, channels[::-1]),)


@pytest.mark.parametrize(
    ("op", "lie", "trait"),
    [
        ("Table", {"ties": own_channels}, "ties"),
        ("MaxPool", {"ties": crossed}, "ties"),
        ("Softmax", {"ties": own_channels}, "ties"),
        ("Slice", {"ties": own_channels}, "ties"),
        ("Pad", {"carries_offsets": None}, "carries_offsets"),
        ("PRelu", {"absorbs_factors": True}, "absorbs_factors"),
        ("Affine", {"carries_offsets": always}, "carries_offsets"),
        ("MaxPool", {"linear": True}, "linear"),
        ("PRelu", {"linear": True}, "linear"),
        ("Affine", {"requantizes": always}, "requantizes"),
        ("Conv", {"kernel": Kernel(lambda view: np.ones((1, 1)), all_taps=always)}, "all_taps"),
    ],
)
def test_planted_lies_are_seen(op: str, lie: dict[str, Any], trait: str) -> None:
    told = replace(BY_NAME[op], **lie)
    found = [untrue(told, view_of(graph)) for graph in told.samples()]
    assert any(trait in broken for broken in found)


def test_lies_about_a_function_are_seen() -> None:
    lookup, view = BY_NAME["Table"].lookup, sample("Table", "hard_swish")
    assert lookup is not None
    for lie, trait in (
        ({"support": lambda view: (-1.0, np.inf)}, "support"),
        ({"computing": lambda node, steps: node}, "computing"),
    ):
        told = replace(BY_NAME["Table"], lookup=replace(lookup, **lie))
        assert untrue(told, view) == [trait]
    # of an expression a little within, where it changes by four times what counts
    near = replace(lookup, support=lambda view: (-16.0, np.inf))
    silu = sample("Table", "silu")
    assert untrue(replace(BY_NAME["Table"], lookup=near), silu) == ["support"]


# ------------------------------------------------------------------ traits of single nodes


def affine(gain: float, offset: float, **attributes: Any) -> View:
    view = sample("Affine", "signed")
    constants = {
        name: np.full_like(view.constant(index), value)
        for index, name, value in zip((1, 2), view.node.inputs[1:], (gain, offset), strict=True)
    }
    node = replace(view.node, attributes=attributes)
    return view_of(view.graph.with_constants(constants).with_nodes([node]))


@pytest.mark.parametrize(
    ("view", "told"),
    [
        (affine(1, 0), True),
        (affine(1, 0.5), False),
        (affine(2, 0), False),
        (affine(1, 0, clamp=(0.0, 6.0)), False),
    ],
)
def test_which_affine_only_requantizes(view: View, told: bool) -> None:
    assert BY_NAME["Affine"].requantizes(view) == told
    assert untrue(BY_NAME["Affine"], view) == []


def test_what_users_call_a_node() -> None:
    silu = sample("Table", "silu").node
    assert BY_NAME["Table"].names_of(silu) == ("Expression", "Table", "Sigmoid", "Mul")
    swish = sample("Table", "hard_swish").node
    assert BY_NAME["Table"].names_of(swish) == ("HardSwish", "Table")
    conv = BY_NAME["Conv"].samples()[0].nodes[0]
    assert BY_NAME["Conv"].names_of(conv) == ("Conv", "Conv", "Gemm", "MatMul")


def test_a_table_keeps_its_length_under_another_function() -> None:
    lookup, node = BY_NAME["Table"].lookup, sample("Table", "silu_all").node
    assert lookup is not None
    length = {"lut_len": node.attributes["lut_len"]}
    made = lookup.computing(node, lookup.steps(sample("Table", "elu").node))
    assert made.attributes == {"function": "Elu", "alpha": 1.0} | length


def test_the_page_on_extending_names_every_field() -> None:
    text = (Path(__file__).parent.parent / "docs" / "extending.md").read_text("utf-8")
    optional = [item.name for item in fields(OpDef) if item.default is not MISSING]
    assert [name for name in optional if not re.search(rf"`{name}\b", text)] == []


def test_a_merged_activation_is_left_aside() -> None:
    graph: Graph = next(g for g in BY_NAME["AveragePool"].samples())
    view = view_of(graph)
    clamped = replace(view.node, attributes={**view.node.attributes, "clamp": (0.0, 1.0)})
    assert opened(view_of(graph.with_nodes([clamped]))).clamp == OPEN
