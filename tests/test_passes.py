"""Each fusion applies where it may and says why not elsewhere; no pass ever changes a value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from conformance_checks import assert_exact, build, extreme_inputs, random_inputs, reference, run
from knightlite import dtypes
from knightlite.chip import Chip, ChipFamily
from knightlite.chip_files import families, find
from knightlite.errors import ModelError
from knightlite.ir import Graph, HostOp, verify
from knightlite.passes import PIPELINE, Explanations, run_passes
from knightlite.passes.fuse_activation import FuseActivation
from knightlite.passes.fuse_prologue import FusePrologue
from knightlite.passes.fuse_residual import FuseResidual
from quantized_nets import QuantizedNet

CHIP = find("TX5368AV200").chip


def rewrite(graph: Graph) -> tuple[Graph, list[tuple[str, str, str]]]:
    """The graph after all passes, verified, and what they said."""
    explanations = Explanations()
    found = run_passes(graph, CHIP, PIPELINE, explanations)
    verify(found)
    return found, explanations.sentences


def shape_of(graph: Graph) -> list[str]:
    """``name: op`` of every node, ``name: a+b`` for a chain of parts."""
    return [
        f"{node.name}: " + ("+".join(part.op for part in node.parts) or node.op)
        for node in graph.nodes
    ]


@dataclass(frozen=True)
class Case:
    """A graph, its nodes after the passes, and every sentence as (node, pass, sentence)."""

    graph: Callable[[QuantizedNet], Graph]
    nodes: list[str]
    said: list[tuple[str, str, str]]


def prologue(net: QuantizedNet) -> Graph:
    t = net.affine(net.input("x", 6, 5, 4), "t")
    return net.build(net.conv(t, "y", 8, (3, 3), pads=(1, 1, 1, 1)))


def prologue_depthwise(net: QuantizedNet) -> Graph:
    """With one scale per channel in between, which only depthwise convolutions read."""
    scales = np.linspace(0.03, 0.08, 6)
    t = net.affine(net.input("x", 6, 5, 4), "t", scale=scales)
    return net.build(net.conv(t, "y", 6, (3, 3), group=6))


def grouped(net: QuantizedNet) -> Graph:
    """Both fusions around a convolution of groups."""
    x = net.input("x", 12, 5, 4)
    c = net.conv(net.affine(x, "t"), "c", 12, (3, 3), pads=(1, 1, 1, 1), group=3)
    return net.build(net.add(x, c, "y"))


def transposed(net: QuantizedNet) -> Graph:
    """Both fusions around a ConvTranspose."""
    t = net.affine(net.input("x", 6, 4, 3), "t")
    c = net.transposed(t, "c", 8, (3, 3), strides=(2, 2), pads=(1, 1, 1, 1))
    return net.build(net.add(c, net.input("z", 8, 7, 5), "y"))


def prologue_output(net: QuantizedNet) -> Graph:
    t = net.affine(net.input("x", 6, 5, 4), "t")
    return net.build(net.conv(t, "y", 8), t)


def prologue_two_readers(net: QuantizedNet) -> Graph:
    t = net.affine(net.input("x", 6, 5, 4), "t")
    return net.build(net.conv(t, "y", 8), net.max_pool(t, "z"))


def prologue_two_convolutions(net: QuantizedNet) -> Graph:
    t = net.affine(net.input("x", 6, 5, 4), "t")
    return net.build(net.conv(t, "y", 8), net.conv(t, "z", 4))


def prologue_wide(net: QuantizedNet) -> Graph:
    t = net.affine(net.input("x", 6, 5, 4), "t", dtypes.S16, 0.01)
    return net.build(net.affine(t, "y"))


def prologue_unread(net: QuantizedNet) -> Graph:
    x = net.input("x", 6, 5, 4)
    net.affine(x, "t")
    return net.build(net.conv(x, "y", 8))


def prologue_to_concat(net: QuantizedNet) -> Graph:
    """Read by a Concat: written, since it has a place of its own there."""
    t = net.affine(net.input("x", 6, 5, 4), "t", dtypes.S8)
    return net.build(net.concat("y", t, net.conv(t, "c", 3)))


def residual(net: QuantizedNet) -> Graph:
    x = net.input("x", 6, 5, 4)
    return net.build(net.add(x, net.conv(x, "c", 6), "y"))


def residual_first(net: QuantizedNet) -> Graph:
    """The convolution is the first operand, and its own input the second."""
    x = net.input("x", 6, 5, 4)
    return net.build(net.add(net.conv(x, "c", 6), x, "y", dtypes.U8, clamp=(0.0, 6.0)))


def residual_downsample(net: QuantizedNet) -> Graph:
    """Both operands are convolutions: the later one takes the Add."""
    x = net.input("x", 6, 6, 6)
    a = net.conv(x, "a", 8, (3, 3), strides=(2, 2), pads=(1, 1, 1, 1))
    b = net.conv(a, "b", 8, (3, 3), pads=(1, 1, 1, 1))
    return net.build(net.add(b, net.conv(x, "d", 8, strides=(2, 2)), "y"))


def residual_behind_prologue(net: QuantizedNet) -> Graph:
    x = net.input("x", 6, 5, 4)
    t = net.affine(x, "t")
    return net.build(net.add(net.conv(t, "c", 6), x, "y"))


def residual_earlier(net: QuantizedNet) -> Graph:
    """The later operand is a pool, so the earlier one, a convolution, takes the Add."""
    x = net.input("x", 6, 5, 4)
    c = net.conv(x, "c", 6)
    p = net.max_pool(x, "p", kernel=(3, 3), pads=(1, 1, 1, 1))
    return net.build(net.add(c, p, "y"))


def residual_chain_of_adds(net: QuantizedNet) -> Graph:
    x = net.input("x", 6, 5, 4)
    a = net.add(net.conv(x, "c1", 6), x, "a")
    return net.build(net.add(net.conv(a, "c2", 6), a, "y"))


def residual_two_readers(net: QuantizedNet) -> Graph:
    x = net.input("x", 6, 5, 4)
    c = net.conv(x, "c", 6)
    return net.build(net.add(x, c, "y"), net.max_pool(c, "z"))


def residual_output(net: QuantizedNet) -> Graph:
    x = net.input("x", 6, 5, 4)
    c = net.conv(x, "c", 6)
    return net.build(net.add(x, c, "y"), c)


def residual_doubled(net: QuantizedNet) -> Graph:
    c = net.conv(net.input("x", 6, 5, 4), "c", 6)
    return net.build(net.add(c, c, "y"))


def residual_broadcast(net: QuantizedNet) -> Graph:
    """One pixel for the whole picture: strides of 0 do that in the matrix engine too."""
    x = net.input("x", 6, 5, 4)
    return net.build(net.add(net.input("pixel", 6, 1, 1), net.conv(x, "c", 6), "y"))


def residual_one_channel(net: QuantizedNet) -> Graph:
    x = net.input("x", 6, 5, 4)
    return net.build(net.add(net.conv(x, "c", 6), net.input("map", 1, 5, 4), "y"))


def residual_smaller(net: QuantizedNet) -> Graph:
    """The convolution is what broadcasts."""
    x = net.input("x", 6, 5, 4)
    return net.build(net.add(net.conv(x, "c", 6, (5, 4)), x, "y"))


def residual_wide(net: QuantizedNet) -> Graph:
    x = net.input("x", 6, 5, 4)
    return net.build(net.add(net.conv(x, "c", 6, dtype=dtypes.S16, scale=0.01), x, "y"))


def residual_of_pools(net: QuantizedNet) -> Graph:
    x = net.input("x", 6, 5, 4)
    return net.build(net.add(net.max_pool(x, "p"), net.average_pool(x, "q"), "y"))


def activation(net: QuantizedNet) -> Graph:
    x = net.input("x", 6, 5, 4)
    return net.build(net.table(net.conv(x, "c", 20, (3, 3), pads=(1, 1, 1, 1)), "y"))


def activation_sides(net: QuantizedNet) -> Graph:
    """A slope per channel, behind a depthwise convolution with a prologue."""
    t = net.affine(net.input("x", 6, 5, 4), "t")
    c = net.conv(t, "c", 6, (3, 3), pads=(1, 1, 1, 1), group=6)
    return net.build(net.prelu(c, "y", scale=0.03))


def activation_transposed(net: QuantizedNet) -> Graph:
    """Behind the phases of a ConvTranspose, and one more behind groups."""
    x = net.input("x", 6, 4, 3)
    c = net.transposed(x, "c", 8, (3, 3), strides=(2, 2), pads=(1, 1, 1, 1))
    g = net.conv(net.table(c, "t"), "g", 12, (3, 3), group=4)
    return net.build(net.prelu(g, "y"))


def activation_wide(net: QuantizedNet) -> Graph:
    """Slopes behind 16 bits; a table behind 16 bits has lines."""
    x = net.input("x", 6, 5, 4)
    wide: Any = {"dtype": dtypes.S16, "weight_type": np.int16, "scale": 3 / 3008}
    c, d = (net.conv(x, name, 6, **wide) for name in "cd")
    return net.build(net.prelu(c, "y", dtypes.S16, 0.001), net.table(d, "z"))


def activation_lines(net: QuantizedNet) -> Graph:
    """What tables read has 16 bits by the quantizer's rule: 1024 lines."""
    x = net.input("x", 6, 5, 4)
    wide: Any = {"dtype": dtypes.S16, "weight_type": np.int16, "scale": 3 / 3008}
    return net.build(net.table(net.conv(x, "c", 70, (3, 3), **wide), "y"))


def activation_two_readers(net: QuantizedNet) -> Graph:
    c = net.conv(net.input("x", 6, 5, 4), "c", 6)
    return net.build(net.table(c, "y"), net.max_pool(c, "z"))


def activation_output(net: QuantizedNet) -> Graph:
    c = net.conv(net.input("x", 6, 5, 4), "c", 6)
    return net.build(net.table(c, "y"), c)


def activation_of_a_sum(net: QuantizedNet) -> Graph:
    """One thing is behind the matrix engine: the Add; and of an input nothing was in front."""
    x = net.input("x", 6, 5, 4)
    s = net.add(x, net.conv(x, "c", 6), "s")
    return net.build(net.table(s, "y"), net.prelu(x, "z"))


def activation_then_residual(net: QuantizedNet) -> Graph:
    """As Darknet has it: the activation runs behind the convolution, the Add alone."""
    x = net.input("x", 6, 5, 4)
    return net.build(net.add(x, net.table(net.conv(x, "c", 6), "t"), "y"))


P, R, A = "fuse_prologue", "fuse_residual", "fuse_activation"
CASES = {
    "prologue": Case(prologue, ["y: Affine+Conv"], [("t", P, "runs in front of y")]),
    "prologue_depthwise": Case(
        prologue_depthwise, ["y: Affine+Conv"], [("t", P, "runs in front of y")]
    ),
    "grouped": Case(
        grouped,
        ["y: Affine+Conv+Add"],
        [("t", P, "runs in front of c"), ("y", R, "runs behind convolution c")],
    ),
    "transposed": Case(
        transposed,
        ["y: Affine+ConvTranspose+Add"],
        [("t", P, "runs in front of c"), ("y", R, "runs behind convolution c")],
    ),
    "prologue_output": Case(
        prologue_output, ["t: Affine", "y: Conv"], [("t", P, "t is an output of the network")]
    ),
    "prologue_two_readers": Case(
        prologue_two_readers,
        ["t: Affine", "y: Conv", "z: MaxPool"],
        [("t", P, "t must be read by exactly one convolution, not by Conv y, MaxPool z")],
    ),
    "prologue_two_convolutions": Case(
        prologue_two_convolutions,
        ["t: Affine", "y: Conv", "z: Conv"],
        [("t", P, "t must be read by exactly one convolution, not by Conv y, Conv z")],
    ),
    "prologue_wide": Case(
        prologue_wide,
        ["t: Affine", "y: Affine"],
        [
            ("t", P, "t must be read by exactly one convolution, not by Affine y"),
            ("y", P, "y is an output of the network"),
        ],
    ),
    "prologue_unread": Case(
        prologue_unread,
        ["t: Affine", "y: Conv"],
        [("t", P, "t must be read by exactly one convolution, not by nothing")],
    ),
    "prologue_to_concat": Case(
        prologue_to_concat,
        ["t: Affine", "c: Conv", "y: Concat"],
        [("t", P, "t must be read by exactly one convolution, not by Conv c, Concat y")],
    ),
    "activation": Case(activation, ["y: Conv+Table"], [("y", A, "runs behind convolution c")]),
    "activation_sides": Case(
        activation_sides,
        ["y: Affine+Conv+PRelu"],
        [("t", P, "runs in front of c"), ("y", A, "runs behind convolution c")],
    ),
    "activation_transposed": Case(
        activation_transposed,
        ["t: ConvTranspose+Table", "y: Conv+PRelu"],
        [("t", A, "runs behind convolution c"), ("y", A, "runs behind convolution g")],
    ),
    "activation_wide": Case(
        activation_wide,
        ["y: Conv+PRelu", "z: Conv+Table"],
        [("y", A, "runs behind convolution c"), ("z", A, "runs behind convolution d")],
    ),
    "activation_lines": Case(
        activation_lines, ["y: Conv+Table"], [("y", A, "runs behind convolution c")]
    ),
    "activation_two_readers": Case(
        activation_two_readers,
        ["c: Conv", "y: Table", "z: MaxPool"],
        [("y", A, "c must be read by this Table only")],
    ),
    "activation_output": Case(
        activation_output,
        ["c: Conv", "y: Table"],
        [("y", A, "c must be read by this Table only")],
    ),
    "activation_of_a_sum": Case(
        activation_of_a_sum,
        ["s: Conv+Add", "y: Table", "z: PRelu"],
        [
            ("s", R, "runs behind convolution c"),
            ("y", A, "s must come from a convolution, not Add"),
            ("z", A, "x must come from a convolution, not an input of the network"),
        ],
    ),
    "activation_then_residual": Case(
        activation_then_residual,
        ["t: Conv+Table", "y: Add"],
        [
            ("y", R, "t must come from a convolution, not Table"),
            ("t", A, "runs behind convolution c"),
        ],
    ),
    "residual": Case(residual, ["y: Conv+Add"], [("y", R, "runs behind convolution c")]),
    "residual_first": Case(
        residual_first, ["y: Conv+Add"], [("y", R, "runs behind convolution c")]
    ),
    "residual_downsample": Case(
        residual_downsample,
        ["a: Conv", "b: Conv", "y: Conv+Add"],
        [("y", R, "runs behind convolution d")],
    ),
    "residual_behind_prologue": Case(
        residual_behind_prologue,
        ["y: Affine+Conv+Add"],
        [("t", P, "runs in front of c"), ("y", R, "runs behind convolution c")],
    ),
    "residual_earlier": Case(
        residual_earlier,
        ["p: MaxPool", "y: Conv+Add"],
        [
            ("y", R, "p must come from a convolution, not MaxPool"),
            ("y", R, "runs behind convolution c"),
        ],
    ),
    "residual_chain_of_adds": Case(
        residual_chain_of_adds,
        ["a: Conv+Add", "y: Conv+Add"],
        [("a", R, "runs behind convolution c1"), ("y", R, "runs behind convolution c2")],
    ),
    "residual_two_readers": Case(
        residual_two_readers,
        ["c: Conv", "y: Add", "z: MaxPool"],
        [("y", R, "c must be read by this Add only")],
    ),
    "residual_output": Case(
        residual_output, ["c: Conv", "y: Add"], [("y", R, "c must be read by this Add only")]
    ),
    "residual_doubled": Case(
        residual_doubled,
        ["c: Conv", "y: Add"],
        [("y", R, "both operands are the same tensor")],
    ),
    "residual_broadcast": Case(
        residual_broadcast, ["y: Conv+Add"], [("y", R, "runs behind convolution c")]
    ),
    "residual_one_channel": Case(
        residual_one_channel,
        ["c: Conv", "y: Add"],
        [("y", R, "c or map is broadcast over channels or the picture")],
    ),
    "residual_smaller": Case(
        residual_smaller,
        ["c: Conv", "y: Add"],
        [("y", R, "c or x is broadcast over channels or the picture")],
    ),
    "residual_wide": Case(residual_wide, ["y: Conv+Add"], [("y", R, "runs behind convolution c")]),
    "residual_of_pools": Case(
        residual_of_pools,
        ["p: MaxPool", "q: AveragePool", "y: Add"],
        [
            ("y", R, "q must come from a convolution, not AveragePool"),
            ("y", R, "p must come from a convolution, not MaxPool"),
        ],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_fusion(name: str) -> None:
    case = CASES[name]
    graph = case.graph(QuantizedNet(name))
    verify(graph)
    found, said = rewrite(graph)
    assert shape_of(found) == case.nodes
    assert said == case.said
    assert found.inputs == graph.inputs
    assert found.outputs == graph.outputs


@pytest.mark.parametrize("name", CASES)
def test_no_value_changes(name: str, rng: np.random.Generator) -> None:
    """Integer references before and after, and the machine, on random and extreme inputs."""
    graph = CASES[name].graph(QuantizedNet(name))
    found, _ = rewrite(graph)
    built = build(graph, "TX5112CV201", level=1)  # no copies, which the rewritten graph has not
    for inputs in (random_inputs(graph, rng), *extreme_inputs(graph)):
        before, after = reference(graph, inputs), reference(found, inputs)
        computed = run(built, inputs)
        assert set(before) <= set(after)
        for tensor, values in before.items():
            np.testing.assert_array_equal(after[tensor], values)
        for tensor, values in computed.items():
            np.testing.assert_array_equal(values, after[tensor])
        assert {name for node in found.nodes for name in node.outputs} <= set(computed)
    for output in graph.outputs:
        assert np.unique(reference(graph, random_inputs(graph, rng))[output]).size >= 16


def test_every_fusion_is_counted() -> None:
    net = QuantizedNet()
    graph = residual_behind_prologue(net)
    graph, changes = FusePrologue().run(graph, CHIP, Explanations())
    assert changes == 1
    graph, changes = FuseResidual().run(graph, CHIP, Explanations())
    assert changes == 1
    _, changes = FuseResidual().run(graph, CHIP, Explanations())
    assert changes == 0


def test_hidden_tensors_are_not_materialised() -> None:
    net = QuantizedNet()
    built = build(residual_behind_prologue(net), "TX5368AV200")
    assert [entry.name for entry in built.program.meta.tensors] == ["x", "y"]
    assert built.program.meta.layers[0].op == "Affine+Conv+Add"
    assert len(built.program.meta.layers) == 1


def test_pipeline_is_in_order() -> None:
    names = ["turn_keys", "cut_swaps", "two_moves"]
    names += ["fuse_prologue", "fuse_residual", "fuse_activation"]
    assert [item.name for item in PIPELINE] == names
    with pytest.raises(AssertionError, match="fuse_residual must run after"):
        run_passes(residual(QuantizedNet()), CHIP, PIPELINE[4:], Explanations())


def test_a_pass_that_breaks_the_graph_is_caught() -> None:
    """The runner verifies after each pass: a planted bug is caught."""

    class DropsANode(FusePrologue):
        def run(self, graph: Graph, chip: Chip, explanations: Explanations) -> tuple[Graph, int]:
            return graph.with_nodes(graph.nodes[1:]), 1

    with pytest.raises(ModelError, match="input c is not defined before it is read"):
        run_passes(residual(QuantizedNet()), CHIP, [DropsANode()], Explanations())


@pytest.mark.parametrize("family", families(), ids=lambda item: str(item.family))
def test_activations_are_exact_on_every_chip(family: ChipFamily, rng: np.random.Generator) -> None:
    """The machine's bytes are the golden model's, in ONNX Runtime; so at both levels."""
    wide = 16 in family.chip.bit_widths
    for make in (
        activation,
        activation_sides,
        activation_transposed,
        *[activation_wide, activation_lines] * wide,
    ):
        graph = make(QuantizedNet())
        for level in (0, 1):
            assert_exact(graph, build(graph, family, level), rng)


def test_an_activation_takes_at_most_a_third_of_mspm() -> None:
    """A table of 256 bytes; slopes of the least tile, 16 channels with two records each."""
    for make, size in ((activation, 256), (activation_sides, 256), (activation_lines, 2050)):
        graph = make(QuantizedNet())
        for room, changes in ((3 * size, 1), (3 * size - 1, 0)):
            said = Explanations()
            chip = replace(CHIP, mspm_bytes=room)
            assert FuseActivation().run(graph, chip, said)[1] == changes
            if not changes:
                (sentence,) = (text for *_, text in said.sentences)
                assert (
                    sentence == f"its {size} bytes must be at most a third of MSPM's {3 * size - 1}"
                )


@pytest.mark.parametrize("make", [prologue, residual, activation])
def test_what_the_host_reads_stays(make: Callable[[QuantizedNet], Graph]) -> None:
    """It is an output of the chip, though none of the network."""
    graph = make(QuantizedNet())
    inner = graph.nodes[0].output
    host = (HostOp("s", "Softmax", (inner,), ("s",), {"axis": 1}),)
    found, _ = rewrite(replace(graph, outputs=(*graph.outputs, "s"), host=host))
    assert found.nodes == graph.nodes
