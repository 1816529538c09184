"""Concats without copies wherever that is possible, and addresses by lifetime."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance_checks import ORIGIN, artificial, build, random_inputs, reference, run
from knightlite import dtypes
from knightlite.allocate import (
    Buffer,
    Location,
    Place,
    align,
    assign,
    buffers,
    check_budget,
    locations,
    place_tensors,
)
from knightlite.allocate.draft import Box, Life
from knightlite.chip_files import find
from knightlite.compiler import compile_graph
from knightlite.container import Layer, Tile
from knightlite.emit import memory_map, program
from knightlite.errors import CapacityError
from knightlite.ir import Graph, verify
from knightlite.ops import BY_NAME, View, Window
from knightlite.schedule import Tiling
from quantized_nets import QuantizedNet

CHIP = find("TX5368AV200").chip


def placed(graph: Graph) -> tuple[dict[str, tuple[str, int]], list[tuple[str, str]]]:
    """The place of every tensor as (buffer, offset), and the copies as (source, copy)."""
    found, places = place_tensors(graph)
    verify(found)
    copies = [(node.inputs[0], node.output) for node in found.nodes if node.op == "Copy"]
    assert set(places) == {*found.inputs, *(node.output for node in found.nodes)}
    for node in found.nodes:
        view, definition = View(found, node), BY_NAME[node.op]
        whole = places[node.output]
        if definition.joins is not None:
            for name, part in zip(node.inputs, definition.joins(view), strict=True):
                assert places[name] == Place(whole.buffer, part.within(whole.window))
        if definition.cuts is not None:
            source = places[node.inputs[0]]
            assert whole == Place(source.buffer, definition.cuts(view).within(source.window))
    flat = {name: (place.buffer, place.window.channel) for name, place in places.items()}
    return flat, copies


# ------------------------------------------------------------------ concat


def nested(net: QuantizedNet) -> Graph:
    """Paddle's DenseNet: each Concat joins the last one and one new branch."""
    whole = net.conv(net.input("x", 3, 4, 4), "f", 8)
    for index in range(3):
        branch = net.conv(net.affine(whole, f"n{index}"), f"b{index}", 4)
        whole = net.concat(f"w{index}", whole, branch)
    return net.build(net.average_pool(whole, "y"))


def flat(net: QuantizedNet) -> Graph:
    """torchvision's DenseNet: each Concat joins all features since the block began."""
    features = [net.conv(net.input("x", 3, 4, 4), "f", 8)]
    for index in range(3):
        whole = net.concat(f"w{index}", *features) if index else features[0]
        features.append(net.conv(net.affine(whole, f"n{index}"), f"b{index}", 4))
    return net.build(net.average_pool(net.concat("w3", *features), "y"))


def twice(net: QuantizedNet) -> Graph:
    c = net.conv(net.input("x", 3, 4, 4), "c", 5)
    return net.build(net.concat("y", c, c))


def with_input(net: QuantizedNet) -> Graph:
    x = net.input("x", 3, 4, 4)
    return net.build(net.concat("y", x, net.conv(x, "c", 5)))


def only_inputs(net: QuantizedNet) -> Graph:
    return net.build(net.concat("y", net.input("a", 3, 4, 4), net.input("b", 2, 4, 4)))


def two_places(net: QuantizedNet) -> Graph:
    """b stands in the middle of one Concat and at the end of another: one of them takes a copy."""
    x = net.input("x", 3, 4, 4)
    a, b, c = (net.conv(x, name, 4) for name in "abc")
    return net.build(net.concat("p", a, b), net.concat("q", b, c))


def overlapping(net: QuantizedNet) -> Graph:
    """The operands lie behind each other, but a stranger is between: no slice can be shared."""
    x = net.input("x", 3, 4, 4)
    a, b, c = (net.conv(x, name, 4) for name in "abc")
    return net.build(net.concat("p", a, b, c), net.concat("q", a, c))


def inner_run(net: QuantizedNet) -> Graph:
    """q is the second half of p: the same bytes, seen twice."""
    x = net.input("x", 3, 4, 4)
    a, b, c = (net.conv(x, name, 4) for name in "abc")
    return net.build(net.concat("q", b, c), net.concat("p", a, b, c))


def concat_twice(net: QuantizedNet) -> Graph:
    """A whole Concat stands twice in the next one: its second appearance is a copy."""
    x = net.input("x", 3, 4, 4)
    inner = net.concat("i", net.conv(x, "a", 4), net.conv(x, "b", 4))
    return net.build(net.concat("y", inner, net.conv(x, "c", 2), inner))


def of_one(net: QuantizedNet) -> Graph:
    return net.build(net.concat("y", net.conv(net.input("x", 3, 4, 4), "c", 5)))


COPY = "{}/copy_for_{}_{}".format
CONCATS: dict[
    Callable[[QuantizedNet], Graph], tuple[dict[str, tuple[str, int]], list[tuple[str, str]]]
] = {
    nested: (
        {"f": ("w2", 0), "b0": ("w2", 8), "b1": ("w2", 12), "b2": ("w2", 16),
         "w0": ("w2", 0), "w1": ("w2", 0), "w2": ("w2", 0)},
        [],
    ),
    flat: (
        {"f": ("w3", 0), "b0": ("w3", 8), "b1": ("w3", 12), "b2": ("w3", 16),
         "w1": ("w3", 0), "w2": ("w3", 0), "w3": ("w3", 0)},
        [],
    ),
    twice: ({"c": ("y", 0), COPY("c", "y", 1): ("y", 5)}, [("c", COPY("c", "y", 1))]),
    with_input: (
        {"x": ("x", 0), COPY("x", "y", 0): ("y", 0), "c": ("y", 3)}, [("x", COPY("x", "y", 0))]
    ),
    only_inputs: (
        {"a": ("a", 0), "b": ("b", 0), COPY("a", "y", 0): ("y", 0), COPY("b", "y", 1): ("y", 3)},
        [("a", COPY("a", "y", 0)), ("b", COPY("b", "y", 1))],
    ),
    two_places: (
        {"b": ("q", 0), "c": ("q", 4), "a": ("p", 0), COPY("b", "p", 1): ("p", 4)},
        [("b", COPY("b", "p", 1))],
    ),
    overlapping: (
        {"a": ("q", 0), "c": ("q", 4), "b": ("p", 4),
         COPY("a", "p", 0): ("p", 0), COPY("c", "p", 2): ("p", 8)},
        [("a", COPY("a", "p", 0)), ("c", COPY("c", "p", 2))],
    ),
    inner_run: (
        {"a": ("p", 0), "b": ("p", 4), "c": ("p", 8), "q": ("p", 4), "p": ("p", 0)}, [],
    ),
    concat_twice: (
        {"a": ("y", 0), "b": ("y", 4), "i": ("y", 0), "c": ("y", 8),
         COPY("i", "y", 2): ("y", 10)},
        [("i", COPY("i", "y", 2))],
    ),
    of_one: ({"c": ("y", 0), "y": ("y", 0)}, []),
}  # fmt: skip
EACH = pytest.mark.parametrize("make", CONCATS, ids=lambda item: item.__name__)


@EACH
def test_places(make: Callable[[QuantizedNet], Graph]) -> None:
    wanted, copies = CONCATS[make]
    found, made = placed(make(QuantizedNet()))
    assert made == copies
    assert {name: found[name] for name in wanted} == wanted
    others = {name: place for name, place in found.items() if name not in wanted}
    assert others == {name: (name, 0) for name in others}


@EACH
@pytest.mark.parametrize("level", [0, 1])
def test_concats_are_exact(
    make: Callable[[QuantizedNet], Graph], level: int, rng: np.random.Generator
) -> None:
    """Level 0 copies every input of every Concat, level 1 those that cannot be placed."""
    graph = make(QuantizedNet())
    built = build(graph, "TX5112CV201", level)
    assert sum(item.op == "Concat" for item in built.compiled.graph.nodes) == sum(
        item.op == "Concat" for item in graph.nodes
    )
    ops = [layer.op for layer in built.program.meta.layers]
    assert "Concat" not in ops
    joined = [name for item in graph.nodes if item.op == "Concat" for name in item.inputs]
    assert ops.count("Copy") == len(CONCATS[make][1] if level else joined)
    for _ in range(2):  # nothing is left over from the picture before
        inputs = random_inputs(graph, rng)
        found = run(built, inputs)
        for name, values in reference(built.compiled.graph, inputs).items():
            if name in found:
                np.testing.assert_array_equal(found[name], values, name)


@settings(max_examples=40)
@given(st.data())
def test_random_concats(data: st.DataObject) -> None:
    """Any tangle of Concats over any tensors known so far, each chip output exact."""
    net = QuantizedNet()
    x = net.input("x", 3, 2, 2)
    known = [x, net.conv(x, "a", 2), net.conv(x, "b", 3)]
    for index in range(data.draw(st.integers(1, 4))):
        names = data.draw(st.lists(st.sampled_from(known), min_size=1, max_size=4))
        known.append(net.concat(f"w{index}", *names))
        if data.draw(st.booleans()):
            known.append(net.conv(known[-1], f"c{index}", 2))
    outputs = data.draw(st.lists(st.sampled_from(known[1:]), min_size=1, max_size=2, unique=True))
    graph = net.build(*outputs)
    placed(graph)
    built = build(graph, "TX5368AV200")
    inputs = random_inputs(graph, np.random.default_rng(0))
    found, wanted = run(built, inputs), reference(graph, inputs)
    for name in known:
        np.testing.assert_array_equal(found[name], wanted[name], name)


@EACH
def test_copies_go_through_an_engine(make: Callable[[QuantizedNet], Graph]) -> None:
    """So that they may stay on the chip; each makes what it copies, under its own name."""
    for joined in (False, True):
        graph, _ = place_tensors(make(QuantizedNet()), joined)
        copies = [node for node in graph.nodes if node.op == "Copy"]
        assert len(copies) >= len(CONCATS[make][1])
        for node in copies:
            assert node.attributes == {"computed": 1}
            assert node.name == node.output
            source, made = (graph.tensors[name] for name in (*node.inputs, node.output))
            assert (made.shape, made.dtype, made.scale) == (
                source.shape,
                source.dtype,
                source.scale,
            )


def box(channels: int, rows: int = 0, size: int = 2) -> Box:
    return Box((channels, channels + size), (rows, rows + 1), (0, 1))


def test_bytes_that_are_written_at_one_time() -> None:
    """What is moved is read elsewhere too; a part that nobody reads any more may be overwritten."""
    life = Life(box(0, size=4), 3, {box(0): 5, box(2): 9})
    moved = Life(box(1, 2, size=4), 3, {box(1, 2): 5, box(3, 2): 9})
    assert life.moved((1, 2, 0)) == moved
    assert moved.moved((-1, -2, 0)) == life
    for part, written, clashes in (
        (box(0), 6, False), (box(0), 5, True), (box(1), 6, True), (box(2), 10, False),
        (box(2), 9, True), (box(4), 4, False), (box(0, 1), 4, False), (box(0), 2, False),
        (box(0), 3, True),
    ):  # fmt: skip
        other = Life(part, written, {part: 2} if written == 2 else {part: 99})
        assert life.clashes(other) == other.clashes(life) == clashes, (part, written)
    unread = Life(box(0), 4, {})
    assert unread.over_before(Life(box(0), 5, {}))
    assert not unread.over_before(Life(box(0), 4, {}))


# ------------------------------------------------------------------ lifetimes


def test_lives_of_buffers() -> None:
    """x and a die when b is made; c, an output, lives to the end; w spans its operands' lives."""
    net = QuantizedNet()
    a = net.conv(net.input("x", 3, 4, 4), "a", 4)  # layer 0
    b = net.conv(a, "b", 4)  # layer 1
    c = net.conv(b, "c", 4)  # layer 2
    w = net.concat("w", b, c)
    graph, places = place_tensors(net.build(net.conv(w, "d", 2), c))  # layer 3
    lives = {item.name: (item.first, item.last) for item in buffers(graph, places, CHIP)}
    assert lives == {"x": (-1, 0), "a": (0, 1), "w": (1, 4), "d": (3, 4)}


@pytest.mark.parametrize("dtype", [dtypes.S8, dtypes.S16])
def test_where_a_part_of_a_buffer_lies(dtype: dtypes.DType) -> None:
    """Its channel counts in bytes; every second row is twice as far; turned, rows are columns."""
    net = QuantizedNet()
    graph = net.build(net.conv(net.input("x", 8, 6, 6, dtype), "y", 2))
    block = Buffer("b", 9999, 640, 16, 0, 1)
    window = Window(channel=3, row=2, column=4, row_step=2, column_step=3)
    for turned in (False, True):
        places = {
            "x": Place("b", replace(window, turned=turned)),
            "y": Place("none", window),  # of a buffer that no layer touches
        }
        found = locations(graph, places, [block], {"b": 1000})
        at = 1000 + 2 * 640 + 4 * 16 + 3 * dtype.size_bytes
        strides = (48, 1280) if turned else (1280, 48)
        assert found == {"x": Location(at, *strides)}


def test_sizes_and_strides() -> None:
    """Pixels are padded to words, buffers to the DDR's alignment."""
    net = QuantizedNet()
    graph, places = place_tensors(net.build(net.conv(net.input("x", 3, 5, 7), "y", 6)))
    x, y = buffers(graph, places, CHIP)
    assert (x.column_stride, x.row_stride, x.size_bytes) == (4, 28, 192)
    assert (y.column_stride, y.row_stride, y.size_bytes) == (8, 56, 320)


BLOCKS = st.lists(
    st.builds(
        lambda size, first, length: (size, first, first + length),
        st.integers(1, 40),
        st.integers(0, 12),
        st.integers(0, 12),
    ),
    min_size=1,
    max_size=30,
)


@given(BLOCKS, st.integers(0, 9))
def test_no_two_live_buffers_overlap(lives: list[tuple[int, int, int]], base: int) -> None:
    blocks = [
        Buffer(f"t{index}", 64 * size, 0, 0, first, last)
        for index, (size, first, last) in enumerate(lives)
    ]
    addresses = assign(blocks, 64 * base)
    assert set(addresses) == {block.name for block in blocks}
    used: dict[tuple[int, int], str] = {}
    for block in blocks:
        address = addresses[block.name]
        assert address % 64 == 0
        assert address >= 64 * base
        for moment in range(block.first, block.last + 1):
            for place in range(address // 64, (address + block.size_bytes) // 64):
                other = used.setdefault((moment, place), block.name)
                assert other == block.name, f"{other} and {block.name} at {moment}"
    assert assign(blocks, 64 * base) == addresses


def test_bytes_are_reused() -> None:
    """A chain needs the two largest neighbours, not the sum of all."""
    net = QuantizedNet()
    x = net.input("x", 64, 8, 8)
    for index in range(6):
        x = net.conv(x, f"c{index}", 64)
    built = build(net.build(x), "TX5368AV200")
    plan = built.compiled.plan
    assert plan.ddr_bytes - align(len(plan.constants), 64) == 2 * 64 * 8 * 8
    assert built.program.meta.ddr_bytes == plan.ddr_bytes


def test_bytes_are_not_reused_where_nobody_wants_it() -> None:
    """Every buffer has bytes of its own, from before the first layer to behind the last."""
    net = QuantizedNet()
    x = net.input("x", 64, 8, 8)
    for index in range(6):
        x = net.conv(x, f"c{index}", 64)
    family = find("TX5368AV200")
    plan = compile_graph(net.build(x), family, "", ORIGIN, reuse_ddr=False).plan
    assert {(block.first, block.last) for block in plan.buffers} == {(-1, 6)}
    assert plan.ddr_bytes - align(len(plan.constants), 64) == 7 * 64 * 8 * 8
    assert len(set(plan.addresses.values())) == 7


# ------------------------------------------------------------------ budget


def budget_net() -> Graph:
    net = QuantizedNet("wide")
    a = net.conv(net.input("x", 4, 32, 32), "a", 64)
    return net.build(net.conv(net.add(a, net.conv(a, "b", 64), "s"), "y", 4))


def test_budget_error_names_the_tensors_at_the_peak() -> None:
    """At the Add (fused behind the second convolution) a and s are alive: 64 KiB each."""
    graph = budget_net()
    chip = replace(CHIP, ddr_bytes=1 << 17)
    with pytest.raises(CapacityError) as caught:
        build(graph, artificial(chip))
    error = caught.value
    plan = build(graph, artificial(CHIP)).compiled.plan
    constants = align(len(plan.constants), 64)
    assert error.sentence == (
        f"the network needs {plan.ddr_bytes} bytes of DDR ({constants} of constants), the chip "
        "gives 131072."
    )
    assert error.hint == "use a smaller input size, or a chip description with more ddr_bytes"
    assert [str(item) for item in error.findings] == [
        "a: 65536 bytes are alive at the peak.",
        "s: 65536 bytes are alive at the peak.",
    ]
    assert plan.ddr_bytes == constants + 131072
    build(graph, artificial(replace(CHIP, ddr_bytes=plan.ddr_bytes)))  # exactly enough is enough


def test_the_peak_is_where_most_bytes_are_alive() -> None:
    """Not most tensors; the largest of them stands first, of equal ones as they lie."""
    blocks = [
        Buffer(name, size, 0, 0, first, last)
        for name, size, first, last in (
            ("a", 10, 0, 1), ("b", 11, 0, 1), ("c", 12, 1, 1), ("small", 100, 2, 3),
            ("large", 200, 1, 2), ("like", 100, 2, 2), ("late", 300, 3, 4),
        )
    ]  # fmt: skip
    chip = replace(CHIP, ddr_bytes=999)
    with pytest.raises(CapacityError) as caught:
        check_budget(blocks, 1000, 64, chip)
    assert caught.value.sentence == (
        "the network needs 1000 bytes of DDR (64 of constants), the chip gives 999."
    )
    found = [(item.where, item.sentence) for item in caught.value.findings]
    # at layer 2; at layer 3 as many, which come later
    assert found == [
        (name, f"{size} bytes are alive at the peak.")
        for name, size in (("large", 200), ("small", 100), ("like", 100))
    ]
    check_budget(blocks, 999, 64, chip)


def test_budget_without_overrun_says_nothing() -> None:
    check_budget([Buffer("t", 64, 8, 8, 0, 1)], CHIP.ddr_bytes, 0, CHIP)
    with pytest.raises(CapacityError):
        check_budget([Buffer("t", 64, 8, 8, 0, 1)], CHIP.ddr_bytes + 1, 0, CHIP)


def test_memory_map_lists_every_buffer() -> None:
    built = build(budget_net(), "TX5368AV200")
    plan = built.compiled.plan
    text = memory_map(plan, CHIP)
    lines = text.splitlines()
    assert lines[0] == f"DDR: {plan.ddr_bytes} bytes of {CHIP.ddr_bytes}"
    for block in plan.buffers:
        address = plan.addresses[block.name]
        assert (
            f"  {address:#010x} {block.size_bytes:>10} layers {block.first}..{block.last} "
            f"{block.name}"
        ) in lines
    assert [line.split()[-1] for line in lines[-len(plan.layers) :]] == [
        layer.node.name for layer in plan.layers
    ]


def test_the_memory_map_word_for_word() -> None:
    """What lies where, and of each layer the bytes of FSPM and WSPM with the slots it has there."""
    net = QuantizedNet("map")
    x = net.conv(net.input("x", 3, 8, 8), "a", 64, (3, 3), pads=(1,) * 4)
    graph = net.build(net.max_pool(net.conv(x, "b", 192), "c", strides=(2, 2)))
    chip = replace(CHIP, fspm_bytes=6144, wspm_bytes=8292, wspm_align_bytes=64)
    plan = build(graph, artificial(chip)).compiled.plan
    a, b, c = plan.layers
    # 6 weight tiles of 2048 bytes, 4 fit
    b = replace(b, tiling=replace(b.tiling, outs=32), fspm_bytes=3072, wspm_bytes=8192)
    assert memory_map(replace(plan, layers=(a, b, c)), chip) == (
        "DDR: 32448 bytes of 268435456\n"
        "  0x00000000      16064 constants (weights, parameters, tables)\n"
        "  0x00003ec0        256 layers -1..0 x\n"
        "  0x00003ec0      12288 layers 1..2 b\n"
        "  0x00006ec0       4096 layers 0..1 a\n"
        "  0x00006ec0       3072 layers 2..3 c\n"
        "\n"
        "Scratchpads: FSPM 6144, WSPM 8292, MSPM 16384 bytes\n"
        "  layer     FSPM     WSPM  rows  outs   ins  name\n"
        "      0     2304     1728     2    64     3  a\n"
        "      1     3072     8192     2    32    64  b\n"
        "      2     5120        0     2    64    64  c\n"
    )


def test_how_a_layer_is_cut_is_written_as_it_is() -> None:
    """Two layers of which every number is another one; the outer loop is named."""
    net = QuantizedNet("cuts")
    t = net.affine(net.input("x", 48, 8, 6), "t")
    graph = net.build(net.conv(t, "y", 96, (1, 3), pads=(0, 1, 0, 1)))
    plan = build(graph, "TX5368AV200").compiled.plan
    (layer,) = plan.layers
    orders: tuple[tuple[bool, Literal["channels", "rows"]], ...] = (
        (True, "channels"), (False, "rows"),
    )  # fmt: skip
    for outer, order in orders:
        tiling = Tiling(5, 24, 16, outer, 2)
        found = program._layer(plan.graph, replace(layer, tiling=tiling, estimated_cycles=1234))
        assert found == Layer(
            "y", "Affine+Conv", 8 * 6 * 96 * 3 * 48, 1234, Tile(5, 24, 16, order, 2)
        )
