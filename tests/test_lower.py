"""Engine limits: every one has a layer that breaks it, refused in a sentence before any work."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from assembled import TINY
from conformance_checks import artificial, build
from knightlite.chip_files import find
from knightlite.dtypes import S8, S16
from knightlite.errors import UnsupportedError
from knightlite.ir import Graph, Node
from knightlite.isa import Matrix, Move, Pool
from knightlite.lower import LOWERINGS, Placement, Tile, limit_findings, work_of
from knightlite.ops import ALL_OPS, BY_NAME, resize
from knightlite.schedule import plan_instructions
from quantized_nets import SCALE, QuantizedNet

CHIP = find("TX5368AV200").chip
CASES: dict[str, tuple[Callable[[QuantizedNet], str], str]] = {
    "long": (
        lambda net: net.table(net.input("x", 1, 1, 65536), "y"),
        "Table: x must have at most 65535 channels, rows and columns.",
    ),
    "window": (
        lambda net: net.max_pool(net.input("x", 1, 1, 600), "y", kernel=(1, 256)),
        "MaxPool: kernel, stride and pad must be at most 255, not 256.",
    ),
    "stride": (
        lambda net: net.conv(net.input("x", 1, 1, 600), "y", 1, strides=(1, 300)),
        "Conv: kernel, stride and pad must be at most 255, not 300.",
    ),
    "dilation": (
        lambda net: net.conv(net.input("x", 1, 1, 600), "y", 1, (1, 2), dilations=(1, 256)),
        "Conv: dilation must be at most 255, not 256.",
    ),
    "pads": (
        lambda net: net.conv(
            net.input("x", 1, 5, 5), "y", 1, (2, 2), pads=(0, 0, 3, 2), dilations=(2, 1)
        ),
        "Conv: pads must be smaller than the dilated kernel (3, 2), not (0, 0, 3, 2).",
    ),
    "transposed_window": (
        lambda net: net.transposed(net.input("x", 1, 1, 3), "y", 1, (1, 4), dilations=(1, 85)),
        "ConvTranspose: dilated kernel and stride must be at most 255, not 256.",
    ),
    "transposed_weights": (
        lambda net: net.transposed(net.input("x", 32, 2, 2), "y", 20, (30, 30), strides=(2, 2)),
        "ConvTranspose: the smallest weight tile needs 460800 bytes of WSPM, the chip has 294912; "
        "use a kernel smaller than 30x30.",
    ),
    "weights_16": (
        lambda net: net.conv(net.input("x", 32, 18, 18), "y", 20, (18, 18), weight_type=np.int16),
        "Conv: the smallest weight tile needs 331776 bytes of WSPM, the chip has 294912; use "
        "8-bit weights, or a kernel smaller than 18x18.",
    ),
    "transposed_weights_16": (
        lambda net: net.transposed(
            net.input("x", 32, 2, 2), "y", 20, (18, 18), strides=(2, 2), weight_type=np.int16
        ),
        "ConvTranspose: the smallest weight tile needs 331776 bytes of WSPM, the chip has 294912; "
        "use 8-bit weights, or a kernel smaller than 18x18.",
    ),
    "pads_above": (
        lambda net: net.moved(
            "Pad", (net.input("x", 1, 1, 1),), "y", begins=(0, 256, 3), ends=(0, 300, 0)
        ),
        "Pad: zeros above and on the left must be at most 255, not 256.",
    ),
    "positions": (  # a step of 2^30 columns, in halves
        lambda net: net.node(
            resize.LINEAR,
            (net.input("x", 1, 1, 3),),
            "y",
            S8,
            SCALE,
            size=(1, 2),
            scales=(1.0, 2.0**-30),
            coordinates="half_pixel",
        ),
        "ResizeLinear: positions must have steps, offsets and units of at most 2147483647, not "
        "2147483648.",
    ),
    "weights_not_square": (  # 600 taps of 32 rows of 16 bytes
        lambda net: net.conv(net.input("x", 32, 24, 25), "y", 20, (24, 25)),
        "Conv: the smallest weight tile needs 307200 bytes of WSPM, the chip has 294912; "
        "use a kernel smaller than 24x25.",
    ),
    "output_too_long": (  # x is not: the output alone
        lambda net: net.moved(
            "Pad", (net.input("x", 1, 1, 65500),), "y", begins=(0, 0, 30), ends=(0, 0, 6)
        ),
        "Pad: y must have at most 65535 channels, rows and columns.",
    ),
    "weights": (
        lambda net: net.conv(net.input("x", 32, 30, 30), "y", 20, (30, 30)),
        "Conv: the smallest weight tile needs 460800 bytes of WSPM, the chip has 294912; "
        "use a kernel smaller than 30x30.",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_limit(name: str) -> None:
    make, sentence = CASES[name]
    net = QuantizedNet(name)
    graph = net.build(make(net))
    with pytest.raises(UnsupportedError) as caught:
        build(graph, artificial(CHIP))
    assert [(item.where, item.sentence) for item in caught.value.findings] == [("y", sentence)]
    assert caught.value.sentence == f"1 node(s) of {name} cannot run on test: y: {sentence}"


AT_THE_LIMITS: dict[str, Callable[[QuantizedNet], str]] = {
    "long": lambda net: net.table(net.input("x", 1, 1, 65535), "y"),
    "window": lambda net: net.max_pool(net.input("x", 1, 1, 600), "y", kernel=(1, 255)),
    "stride": lambda net: net.conv(net.input("x", 1, 1, 600), "y", 1, strides=(1, 255)),
    "dilation": lambda net: net.conv(net.input("x", 1, 1, 600), "y", 1, (1, 2), dilations=(1, 255)),
    "pads": lambda net: net.conv(
        net.input("x", 1, 5, 5), "y", 1, (2, 2), pads=(0, 0, 2, 1), dilations=(2, 1)
    ),
    "transposed_window": lambda net: net.transposed(
        net.input("x", 1, 1, 3), "y", 1, (1, 128), dilations=(1, 2)
    ),
    "pads_above": lambda net: net.moved(
        "Pad", (net.input("x", 1, 1, 1),), "y", begins=(0, 255, 255), ends=(0, 300, 300)
    ),
}


@pytest.mark.parametrize("name", AT_THE_LIMITS)
def test_at_the_limits(name: str) -> None:
    net = QuantizedNet(name)
    graph = net.build(AT_THE_LIMITS[name](net))
    assert limit_findings(graph, CHIP) == []
    build(graph, artificial(CHIP))


def test_a_table_of_16_bits_fits_to_the_byte() -> None:
    """2^12 + 1 entries of two bytes."""
    net = QuantizedNet()
    x = net.input("x", 1, 3, 3, S16)
    graph = net.build(net.node("Table", (x,), "y", S16, SCALE, function="HardSwish", lut_len=12))
    assert limit_findings(graph, replace(CHIP, mspm_bytes=8194)) == []
    (finding,) = limit_findings(graph, replace(CHIP, mspm_bytes=8193))
    assert finding.sentence == (
        "Table: a table of 2^12 intervals takes 8194 bytes of the 8193 of MSPM; quantize with a "
        "lut_len of 11 or less."
    )


@pytest.mark.parametrize("op", ["Conv", "ConvTranspose", "MatMul"])
@pytest.mark.parametrize("wide", ["x", "w", "both", "y"])
def test_widths_that_the_chip_has_not(op: str, wide: str) -> None:
    """Of 16 bits where there are none: which operand is named; the result's own are another's."""
    net = QuantizedNet()
    x = net.input("x", 8, 1, 6, S16 if wide in ("x", "both") else S8)
    weights, y_type = wide in ("w", "both"), S16 if wide == "y" else S8
    if op == "MatMul":
        w = net.input("w", 5, 1, 8, S16 if weights else S8)
        y = net.node("MatMul", (x, w), "y", y_type, SCALE, groups=1, form="values")
        named = {"x": "x", "w": "w", "both": "x and w"}
        told = "8-bit features by 8-bit features only, but {}"
    else:
        make = net.conv if op == "Conv" else net.transposed
        y = make(x, "y", 5, dtype=y_type, weight_type=np.int16 if weights else np.int8)
        named = {"x": "the features x", "w": "the weights", "both": "the features x and weights"}
        told = "8-bit features by 8-bit weights only, but {}"
    graph = net.build(y)
    assert limit_findings(graph, CHIP) == []
    sentences = [item.sentence for item in limit_findings(graph, replace(CHIP, bit_widths=(8,)))]
    assert sentences == [
        f"{op}: the chip multiplies {told.format(named[wide])} have 16 bits; quantize them to 8 "
        "bits, or take a chip with 16."
        for _ in range(wide != "y")
    ]


def test_limits_follow_the_chip() -> None:
    make, _ = CASES["weights"]
    net = QuantizedNet()
    graph = net.build(make(net))
    assert limit_findings(graph, replace(CHIP, wspm_bytes=460800)) == []
    assert len(limit_findings(graph, replace(CHIP, wspm_bytes=460799))) == 1


@pytest.mark.parametrize("weight_type", [np.int8, np.int16])
@pytest.mark.parametrize(
    ("op", "ins", "outs", "group", "lanes", "needed"),
    [
        # 9 taps of 32 inputs, rows of 16 outputs: 16 bytes, or 32
        ("Conv", 40, 40, 1, 64, (4608, 9216)),
        ("Conv", 40, 20, 1, 24, (4608, 9216)),
        # fewer channels than are cut: 9 x 12 rows of 9, padded to 16 and to 32 bytes
        ("Conv", 12, 9, 1, 64, (1728, 3456)),
        # lanes of fewer channels than are cut: 8 are 16 bytes either way
        ("Conv", 40, 40, 1, 8, (4608, 4608)),
        # 12 inputs of a group; of the depthwise one 9 rows of one output, aligned to 192
        ("Conv", 24, 40, 2, 64, (1728, 3456)),
        ("Conv", 12, 12, 12, 64, (192, 192)),
        # kernels of 4, 2, 2 and 1 taps
        ("ConvTranspose", 40, 40, 1, 64, (4608, 9216)),
        ("ConvTranspose", 12, 12, 12, 64, (256, 256)),
    ],
)
def test_the_smallest_weight_tile_is_the_schedules(
    op: str, ins: int, outs: int, group: int, lanes: int, needed: tuple[int, int],
    weight_type: type[np.signedinteger[Any]],
) -> None:  # fmt: skip
    """What the limit says is needed is enough, and not one byte less: no other error comes."""
    net = QuantizedNet()
    make = net.conv if op == "Conv" else net.transposed
    x = net.input("x", ins, 4, 4)
    strides = (1, 1) if op == "Conv" else (2, 2)
    graph = net.build(
        make(x, "y", outs, (3, 3), strides=strides, group=group, weight_type=weight_type)
    )
    chip = replace(CHIP, wspm_align_bytes=64, matrix_output_lanes=lanes)
    (finding,) = limit_findings(graph, replace(chip, wspm_bytes=64))
    found = re.search(r"needs (\d+) bytes of WSPM, the chip has 64;", finding.sentence)
    assert found
    least = int(found[1])
    assert least == needed[weight_type is np.int16]
    build(graph, artificial(replace(chip, wspm_bytes=least)))
    with pytest.raises(UnsupportedError, match=f"needs {least} bytes of WSPM, the chip has"):
        build(graph, artificial(replace(chip, wspm_bytes=least - 1)))


@pytest.mark.parametrize("op", ["max", "average"])
@pytest.mark.parametrize("strides", [(1, 1), (2, 3)])
def test_a_pool_reads_what_its_windows_cover(op: str, strides: tuple[int, int]) -> None:
    """No row or column more, in tiles at every edge."""
    net = QuantizedNet()
    x = net.input("x", 40, 9, 20)
    window: dict[str, Any] = {"kernel": (3, 4), "strides": strides, "pads": (1, 2, 2, 1)}
    y = (net.max_pool if op == "max" else net.average_pool)(x, "y", **window)
    plan = build(net.build(y), artificial(TINY)).compiled.plan
    (code,) = plan_instructions(plan)
    items = [item for item in code if isinstance(item, Pool)]
    assert len(items) > 3
    for item in items:
        high, wide = item.covered()
        assert item.pad_top + item.x_height <= high
        assert item.pad_left + item.x_width <= wide
    written = sum(item.y_height * item.y_width * item.y_channels for item in items)
    assert written == plan.layers[0].geometry.y.elements


def test_all_findings_at_once() -> None:
    net = QuantizedNet("net")
    x = net.input("x", 1, 1, 600)
    net.max_pool(x, "a", kernel=(1, 256))
    net.average_pool(x, "c", scale=1e6, kernel=(1, 2))  # an operator's rule, beside the engine's
    graph = net.build(net.max_pool(x, "b", kernel=(1, 300)), "a", "c")
    with pytest.raises(UnsupportedError, match=r"^3 node") as caught:
        build(graph, artificial(CHIP))
    assert [item.where for item in caught.value.findings] == ["c", "a", "b"]


def test_every_operator_has_a_lowering() -> None:
    """Only what is placed needs none, and what the host computes."""
    lowered = [item.op for item in LOWERINGS]
    named = [op.name for op in ALL_OPS if not op.placed and op.name != "General"]
    assert sorted(lowered) == sorted(named)
    for item in LOWERINGS:
        rules = [limit.rule for limit in item.limits]
        assert rules
        assert len(set(rules)) == len(rules)


# ------------------------------------------------------------------ tiles


def tiles() -> list[Tile]:
    """Tiles of one shape, and one of another; every part of a sum; every address another one."""
    found: list[Tile] = []
    for rows, outs, x_rows in (((0, 2), (0, 4), (0, 3)), ((2, 4), (4, 8), (1, 4)),
                               ((3, 4), (0, 4), (2, 5))):  # fmt: skip
        for first, last in ((True, True), (True, False), (False, False), (False, True)):
            at = 4096 * len(found)
            found.append(
                Tile(rows, outs, (0, 8), x_rows, Placement(at, 96, 16), None,
                     Placement(at + 512, 80, 16), at + 1024, at + 2048, 64, at + 3072, at + 3584,
                     first, last)
            )  # fmt: skip
    return found


def convolution() -> Graph:
    net = QuantizedNet()
    return net.build(net.conv(net.input("x", 8, 5, 6), "y", 8, (3, 3), pads=(1, 1, 1, 1)))


def product() -> Graph:
    """The second operand is of the network too."""
    return next(graph for graph in BY_NAME["MatMul"].samples())


@pytest.mark.parametrize("make", [convolution, product])
def test_fields_of_every_part_of_a_sum(make: Callable[[], Graph]) -> None:
    """What has been made for one tile is not taken for another; parameters come with the last."""
    graph = make()
    node = graph.nodes[-1]
    kept = work_of(graph, node)
    for tile in (*tiles(), *tiles()):
        (item,) = kept.compute(tile)
        assert (item,) == work_of(graph, node).compute(tile)
        assert isinstance(item, Matrix)
        assert (item.accumulate_in, item.accumulate_out) == (not tile.first, not tile.last)
        whole = tile.first and tile.last
        assert item.accumulator_address == (0 if whole else tile.accumulator_address)
        assert item.parameter_address == (tile.parameter_address if tile.last else 0)
        assert (item.x_address, item.y_address) == (tile.x.address, tile.y.address)
        assert item.weight_address == tile.weight_address
        assert (item.y_height, item.y_channels) == (tile.rows[1] - tile.rows[0], 4)


def test_every_phase_has_sums_of_its_own() -> None:
    """Four phases of 1 x 3 pixels of 4 channels, 4 bytes a sum; none where sums are not split."""
    net = QuantizedNet()
    x = net.input("x", 8, 2, 3)
    graph = net.build(net.transposed(x, "y", 4, (2, 2), strides=(2, 2)))
    work = work_of(graph, graph.nodes[-1])
    for first, last in ((True, True), (True, False), (False, False), (False, True)):
        tile = Tile((0, 2), (0, 4), (0, 8), (0, 1), Placement(0, 96, 16), None,
                    Placement(512, 96, 16), 4096, 8192, 64, 3072, 0, first, last)  # fmt: skip
        found = [item for item in work.compute(tile) if isinstance(item, Matrix)]
        sums = [0] * 4 if first and last else [4096 + phase * 3 * 4 * 4 for phase in range(4)]
        assert [item.accumulator_address for item in found] == sums
        assert {(item.accumulate_in, item.accumulate_out) for item in found} == {
            (not first, not last)
        }
        assert [item.y_address for item in found] == [512, 528, 608, 624]
        assert len({item.weight_address for item in found}) == 4


@pytest.mark.parametrize("run", [0, 2])
def test_pixels_that_become_channels_are_those_of_the_tile(run: int) -> None:
    """Of its output channels on: the tile of the input holds all its pixels."""
    net = QuantizedNet()
    x = net.input("x", 4, 3, 8)
    graph = net.build(net.moved("SwapChannels", (x,), "y", **({"run": run} if run else {})))
    (node,) = graph.nodes
    for first in (0, 2, 6):
        tile = Tile((0, 1), (first, first + 2), (0, 4), (0, 1), Placement(1000, 128, 16), None,
                    Placement(5000, 64, 8), 9000, 0, 64, 0, 0, True, True)  # fmt: skip
        item = work_of(graph, node).compute(tile)[0]
        assert isinstance(item, Move)
        assert item.x_address == 1000 + first * 16


def test_operator_without_an_engine() -> None:
    net = QuantizedNet()
    graph = net.build(net.table(net.input("x", 1, 1, 1), "y"))
    strange = graph.with_nodes([Node("n", "Fourier", ("x",), ("y",))])
    assert [str(item) for item in limit_findings(strange, CHIP)] == [
        "n: no engine does Fourier yet."
    ]


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
@pytest.mark.parametrize(
    ("rows", "moved"),  # (row of a block, first input row, output rows above it in the tile)
    [
        ((3, 4), [(1, 1, 0)]),  # of the other row of a block there is nothing
        ((4, 5), [(0, 2, 0)]),
        ((3, 5), [(0, 2, 1), (1, 1, 0)]),
        ((1, 5), [(0, 1, 1), (1, 0, 0)]),
    ],
)
def test_rows_of_blocks_that_are_in_the_tile(
    mode: str, rows: tuple[int, int], moved: list[tuple[int, int, int]]
) -> None:
    """Blocks of 2 x 2 of 2 channels: a row is 4 bytes of x on, or every other one of 2."""
    net = QuantizedNet()
    x = net.input("x", 8, 3, 5)
    graph = net.build(net.moved("DepthToSpace", (x,), "y", block=2, mode=mode))
    first = rows[0] // 2
    tile = Tile(rows, (0, 2), (0, 8), (first, -(-rows[1] // 2)), Placement(1000, 40, 8), None,
                Placement(4000, 20, 2), 0, 0, 64, 0, 0, True, True)  # fmt: skip
    found = work_of(graph, graph.nodes[-1]).compute(tile)
    step = 4 if mode == "DCR" else 2
    assert [(item.x_address, item.y_address) for item in found if isinstance(item, Move)] == [
        (1000 + (above - first) * 40 + row * step, 4000 + under * 20) for row, above, under in moved
    ]
