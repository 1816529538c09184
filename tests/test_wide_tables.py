"""Tables of 16-bit tensors: lengths, refusals, and whole networks on every chip."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import conformance_checks as checks
from float_nets import PADS, FloatNet
from knightlite import chip_files, dtypes, numerics, ops
from knightlite.errors import UnsupportedError, UsageError
from knightlite.frontend import load_quantized
from knightlite.ir import Attribute, Graph, GraphBuilder, Node
from knightlite.onnx_models import write_qdq
from knightlite.ops import table, table_functions, wide_table
from knightlite.ops.samples import feature, result
from knightlite.quantize.pipeline import quantize_graph
from knightlite.quantize.settings import Settings, Widths

FAMILIES = [family.names[0] for family in chip_files.families()]


def net() -> Graph:
    """Conv, HardSwish, depthwise, SiLU, squeeze and gate, a sum, and a head of two parts."""
    made = FloatNet()
    x = made.input("x", 8, 12, 12)
    stem = made.conv(x, "stem", 8)
    swish = made.node("Table", (stem,), "swish", function="HardSwish", alpha=1 / 6, beta=0.5)
    deep = made.conv(swish, "deep", 8, (3, 3), group=8, pads=PADS)
    steps = {"function": table_functions.EXPRESSION, "steps": table.SILU}
    silu = made.node("Table", (deep,), "silu", **steps)
    mean = made.node(
        "AveragePool", (silu,), "mean", kernel=(12, 12), strides=(1, 1), pads=(0, 0, 0, 0),
        counted_pads=(0, 0, 0, 0),
    )  # fmt: skip
    gate = made.node("Table", (made.conv(mean, "squeeze", 8),), "gate", function="Sigmoid")
    gated = made.node("Mul", (silu, gate), "gated")
    total = made.node("Add", (made.conv(gated, "flat", 8), x), "sum")
    boxes, logits = made.conv(total, "boxes", 4), made.conv(total, "logits", 4)
    scores = made.node("Table", (logits,), "scores", function="Sigmoid")
    return made.build(made.node("Concat", (boxes, scores), "head", axis=1))


class Noise:
    """Four pictures of noise."""

    description = "noise"

    def run(self, forward: object) -> None:
        rng = np.random.default_rng(3)
        for _ in range(4):
            forward((rng.normal(size=(1, 8, 12, 12)).astype(np.float32),))  # type: ignore[operator]


def read_back(graph: Graph, folder: Path) -> Graph:
    path = folder / "net_quantize.onnx"
    path.write_bytes(write_qdq(graph, {}).SerializeToString())
    return load_quantized(path)


# Kernels read 8 bits here: all that is between them has 16.
BETWEEN = ("stem", "deep", "squeeze", "gate", "logits", "boxes", "scores", "head", "flat")


@pytest.mark.parametrize("name", FAMILIES)
def test_a_network_with_wide_tables_on_every_chip(name: str, tmp_path: Path) -> None:
    settings = Settings(widths=Widths(frozenset(BETWEEN)), spread_channels=False)
    back = read_back(quantize_graph(net(), Noise(), settings).graph, tmp_path)
    assert {back.tensors[item].dtype for item in BETWEEN} == {dtypes.S16}
    assert {back.tensors[item].dtype.bits for item in ("swish", "silu", "gated", "sum")} == {8}
    pictures = np.random.default_rng(4).normal(size=(2, 8, 12, 12)).astype(np.float32)
    verdict = checks.judge(checks.build(back, name), back, net(), checks.single("x", pictures))
    verdict.check()
    assert verdict.sqnr_db > 25


@pytest.mark.parametrize("length", numerics.LUT_LENGTHS)
@pytest.mark.parametrize("before", [None, *numerics.LUT_LENGTHS])
def test_only_an_unusual_length_is_noted_whatever_was_before(
    length: int, before: int | None
) -> None:
    """Of the tables that are named, and of nothing else."""
    plain = net()
    start = plain if before is None else wide_table.with_lut_length(plain, before)
    tables = [node.output for node in plain.nodes if node.op == "Table"]
    assert len(tables) > 1
    for named in (tables[:1], tables):
        given = dict.fromkeys([*named, *(n.output for n in plain.nodes if n.op != "Table")], length)
        made = wide_table.with_lut_lengths(start, given)
        for node, old in zip(made.nodes, start.nodes, strict=True):
            noted = node.attributes.get(wide_table.LUT_LEN)
            if node.output not in named:
                assert node == old
            else:
                assert noted == (None if length == 10 else length)
                assert {**node.attributes, wide_table.LUT_LEN: 0} == {
                    **old.attributes, wide_table.LUT_LEN: 0,
                }  # fmt: skip


@pytest.mark.parametrize("length", numerics.LUT_LENGTHS)
def test_the_length_goes_through_the_file(length: int, tmp_path: Path) -> None:
    settings = Settings(widths=Widths(frozenset(BETWEEN)), spread_channels=False, lut_len=length)
    quantized = quantize_graph(net(), Noise(), settings).graph
    back = read_back(quantized, tmp_path)
    views = [ops.View(back, node) for node in back.nodes if node.op == "Table"]
    wide = [view for view in views if wide_table.is_interpolated(view)]
    assert [view.node.output for view in wide] == ["swish", "silu", "gate", "scores"]
    assert {wide_table.lut_length(view) for view in wide} == {length}
    pictures = np.random.default_rng(4).normal(size=(4, 8, 12, 12)).astype(np.float32)
    built = checks.build(back, "TX5368AV200")
    checks.judge(built, back, net(), checks.single("x", pictures)).check()


def one_table(length: int) -> Graph:
    builder = GraphBuilder("net")
    feature(builder, "x", (4, 3, 3), dtypes.S16, 1e-3)
    attributes: dict[str, Attribute] = {"function": "Sigmoid", wide_table.LUT_LEN: length}
    node = Node("y", "Table", ("x",), ("y",), attributes)
    return result(builder, node, (1, 4, 3, 3), dtypes.U8, 1 / 255)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_table_that_does_not_fit_is_refused(name: str) -> None:
    family = chip_files.find(name)
    if family.chip.mspm_bytes > 8194:
        checks.build(one_table(12), name)
        return
    with pytest.raises(UnsupportedError) as caught:
        checks.build(one_table(12), name)
    assert "2^12 intervals takes 8194 bytes of the 8192 of MSPM" in str(caught.value)
    checks.build(one_table(11), name)


def test_other_lengths_are_refused() -> None:
    assert [*numerics.LUT_LENGTHS] == [8, 9, 10, 11, 12]
    for length in (7, 13):
        with pytest.raises(UsageError, match=rf"must lie in 8 to 12 .*, not {length}\.$"):
            quantize_graph(net(), Noise(), Settings(lut_len=length))


def test_metadata_that_are_not_lengths_are_refused(tmp_path: Path) -> None:
    model = write_qdq(one_table(11), {})
    (entry,) = model.metadata_props
    entry.value = '{"y": "long"}'
    path = tmp_path / "net_quantize.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(UnsupportedError, match="must map tensors to whole numbers"):
        load_quantized(path)


# ------------------------------------------------------------------ numbers


@given(
    st.sampled_from(numerics.LUT_LENGTHS), st.integers(-(2**15), 2**15 - 1), st.integers(0, 15),
    st.integers(-(2**15), 2**15 - 1), st.integers(-(2**15), 2**15 - 1),
)  # fmt: skip
def test_a_line_between_two_entries(
    length: int, x: int, fraction: int, left: int, right: int
) -> None:
    width = 2 ** (16 - length)
    index, rest = divmod(x + 2**15, width)
    entries = np.zeros(2**length + 1, np.int16)
    entries[index], entries[index + 1] = left, right
    exact = Fraction(left * (width - rest) + right * rest, width * 2**fraction)
    found = numerics.interpolate(np.array([x]), entries, fraction, dtypes.S16)
    assert found.tolist() == [max(-(2**15), min(2**15 - 1, round(exact)))]


@pytest.mark.parametrize(
    ("steps", "entry", "fraction"),
    [
        (0.25, 8192, 15),  # no more than 15 bits, whatever is left
        (32767 / 2**15, 32767, 15),
        (1.0, 16384, 14),
        (-1.0, -(2**15), 15),
        (-1.01, -16548, 14),
        (32767, 32767, 0),
        (40000, 32767, 0),  # saturates
    ],
)
def test_entries_take_all_the_fraction_that_fits(steps: float, entry: int, fraction: int) -> None:
    """Real values in output steps of 1/4."""
    found = numerics.interpolated_entries(np.array([0.0, steps / 4]), 0.25, dtypes.S16)
    assert (found[0].tolist(), found[1]) == ([0, entry], fraction)


@pytest.mark.parametrize("function", ["HardSwish", "Sigmoid", "LeakyRelu", "Tanh", "Elu", "Abs"])
@pytest.mark.parametrize("length", [8, 10, 12])
def test_the_finest_step_is_sound(function: str, length: int) -> None:
    """In it every input's result is within the constraint; HardSwish's kinks need no less."""
    parameters = ops.functions.FUNCTIONS[function].parameters
    builder = GraphBuilder("net")
    feature(builder, "x", (4, 3, 3), dtypes.S16, 8 / 32767)
    attributes: dict[str, Attribute] = {
        "function": function, wide_table.LUT_LEN: length, **parameters,
    }  # fmt: skip
    node = Node("y", "Table", ("x",), ("y",), attributes)
    graph = result(builder, node, (1, 4, 3, 3), dtypes.S16, 1.0)
    step = wide_table.finest_step(ops.View(graph, node))

    def furthest(scale: float) -> float:
        y = replace(graph.tensors["y"], scale=np.asarray(scale, np.float32))
        return wide_table.furthest(ops.View(graph.with_tensors([y]), node))

    assert furthest(step) <= wide_table.FURTHEST
    if function == "HardSwish":
        assert furthest(step / 4) > wide_table.FURTHEST


def test_a_kink_lies_on_an_entry() -> None:
    """HardSwish bends at 3: with an entry there its output keeps 14 bits, not 11."""
    made = FloatNet()
    x = made.input("x", 8, 12, 12)
    even = made.affine(x, "even")
    graph = made.build(made.node("Table", (even,), "y", function="HardSwish"))
    quantized = quantize_graph(graph, Noise(), Settings(bit_width=16)).graph
    view = ops.View(quantized, quantized.nodes[-1])
    entries = 3 / (float(view.scale(0)) * wide_table.interval(view))
    assert entries > 16
    assert entries == pytest.approx(round(entries), rel=1e-6)
    largest = float(wide_table.curve(view).max())
    assert float(view.output_scale) < 1.2 * largest / 32767
