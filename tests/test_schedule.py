"""Tiles: whatever is chosen fits, covers every output once and never changes a byte."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from assembled import TINY
from conformance_checks import (
    CHIPS,
    ORIGIN,
    Built,
    artificial,
    build,
    random_inputs,
    reference,
    run,
)
from knightlite import dtypes
from knightlite.chip import Chip
from knightlite.chip_files import find
from knightlite.compiler import compile_graph
from knightlite.errors import CapacityError, UnsupportedError
from knightlite.ir import Graph
from knightlite.isa import Matrix, Space, Store
from knightlite.lower import work_of
from knightlite.ops import ALL_OPS, BY_NAME
from knightlite.schedule import LayerPlan, Tiling, Tilings, choose, layer_key, plan
from knightlite.schedule.least import LeastCycles
from knightlite.schedule.price import price, tile_costs
from knightlite.schedule.tiling import Geometry, geometry
from knightlite.sim import simulate_time
from quantized_nets import QuantizedNet
from random_layers import TX5368, chips, layers

# ------------------------------------------------------------------ what a plan promises


def check_plan(built: Built) -> None:
    for layer in built.compiled.plan.layers:
        check_fits(layer)
        check_steps(layer)
    check_sums(built)
    check_stores(built)


def check_sums(built: Built) -> None:
    """Partial sums stay inside the room that the plan counted for them."""
    places: dict[int, tuple[int, int]] = {}  # layer -> bytes [first, last)
    for item in built.machine.instructions:
        if isinstance(item, Matrix) and (item.accumulate_in or item.accumulate_out):
            first = item.accumulator_address
            last = first + item.pixels * item.y_channels * item.accumulator_size
            low, high = places.get(item.layer, (first, last))
            places[item.layer] = min(first, low), max(last, high)
    for index, (first, last) in places.items():
        layer = built.compiled.plan.layers[index]
        assert last - first <= layer.geometry.fspm_parts(layer.tiling)["sums"][0]


def check_fits(layer: LayerPlan) -> None:
    chip, tiling = layer.geometry.chip, layer.tiling
    parts = layer.geometry.fspm_parts(tiling)
    assert sum(size * count for size, count in parts.values()) <= chip.fspm_bytes
    size, tiles, slots = layer.geometry.weight_slots(tiling)
    assert size * slots <= chip.wspm_bytes
    assert not size or 1 <= slots <= tiles
    parameters = layer.geometry.parameter_slots(tiling)
    assert parameters is not None
    assert sum(size * count for size, count in parameters) <= chip.mspm_bytes
    largest = max(map(len, (work_bytes(layer, key) for key in layer.constants)), default=0)
    assert largest == max((size for _, size in layer.constants.values()), default=0)


def work_bytes(layer: LayerPlan, key: Any) -> bytes:
    """A constant tile made again; ``weight_bytes`` must have told its size."""
    kind, outs, ins = key
    work = layer.geometry.work
    if kind == "weights":
        assert work.weights is not None
        assert work.weight_bytes is not None
        align = layer.geometry.chip.wspm_align_bytes
        found = work.weights(outs, ins, align)
        assert len(found) == work.weight_bytes(outs, ins, align)
        return found
    function = work.parameters if kind == "parameters" else work.prologue
    assert function is not None
    return function(outs if kind == "parameters" else ins)


def check_steps(layer: LayerPlan) -> None:
    """Every output element is finished once, from every input channel once, in order."""
    geometry = layer.geometry
    _, channels, height, _ = geometry.y.shape
    group_ins, group_outs = geometry.group
    finished = np.zeros((height, channels), int)
    open_sums: dict[tuple[Any, Any], int] = {}
    for step in geometry.steps(layer.tiling):
        tile = (step.rows, step.outs)
        assert step.first == (tile not in open_sums)
        first, last = (side // group_outs for side in (step.outs[0], step.outs[1] - 1))
        read = first * group_ins, (last + 1) * group_ins
        if geometry.work.splits_inputs and first == last:
            assert step.ins[0] == open_sums.get(tile, read[0])
            assert step.last == (step.ins[1] == read[1])
            open_sums[tile] = step.ins[1]
        else:
            assert step.last
            assert step.ins == read
            assert all(side % group_outs == 0 for side in step.outs)
        if step.last:
            finished[slice(*step.rows), slice(*step.outs)] += 1
    assert (finished == 1).all()


def check_stores(built: Built) -> None:
    """What the stores of the bytes write to DDR is every output once, and nothing else."""
    meta = built.program.meta
    for index, layer in enumerate(built.compiled.plan.layers):
        written = np.zeros(meta.ddr_bytes, np.uint8)
        for item in built.machine.instructions:
            if isinstance(item, Store) and item.layer == index:
                written[runs(item)] += 1
        tensor, place = layer.geometry.y, built.compiled.plan.locations[layer.geometry.y.name]
        _, channels, height, width = tensor.shape
        wanted = np.zeros_like(written)
        rows = place.address + place.row_stride * np.arange(height)
        pixels = rows[:, None] + place.column_stride * np.arange(width)
        wanted[pixels[..., None] + np.arange(channels * tensor.dtype.size_bytes)] = 1
        np.testing.assert_array_equal(written, wanted)


def runs(item: Store) -> Any:
    rows = item.ddr_address + item.ddr_row_stride * np.arange(item.rows)
    columns = item.ddr_column_stride * np.arange(item.columns)
    return rows[:, None, None] + columns[:, None] + np.arange(item.run_bytes)


def check_bytes(built: Built, graph: Graph, known: dict[str, bytes] | None = None) -> None:
    """Every tensor is the reference's; ``known``: what that gave for another plan of ``graph``."""
    inputs = random_inputs(graph, np.random.default_rng(1))
    wanted = {} if known is None else known
    if not wanted:
        # the compiled graph for copies only: all other tensors by the graph as it was given
        made = {**reference(built.compiled.graph, inputs), **reference(graph, inputs)}
        wanted.update((name, values.tobytes()) for name, values in made.items())
    for name, values in run(built, inputs).items():
        assert values.tobytes() == wanted[name], name


# ------------------------------------------------------------------ any layer on any chip


@settings(max_examples=150)
@given(layers(), chips())
def test_any_layer_on_any_chip(graph: Graph, chip: Chip) -> None:
    """It fits, covers, passes the machine's checks and is exact; or the refusal is true."""
    try:
        built = build(graph, artificial(chip))
    except CapacityError as error:
        check_refusal(error)
        return
    except UnsupportedError as error:
        check_limit(error)
        return
    check_plan(built)
    check_bytes(built, graph)


SENTENCE = re.compile(
    r"layer (?P<layer>\S+) needs (?P<need>\d+) bytes of (?P<memory>FSPM|MSPM) for .*, "
    r"the chip has (?P<have>\d+)\."
)


def check_refusal(error: CapacityError) -> None:
    assert error.findings
    for finding in error.findings:
        found = SENTENCE.fullmatch(finding.sentence)
        assert found, finding.sentence
        assert finding.where == found["layer"]
        assert int(found["need"]) > int(found["have"])
        assert finding.hint.startswith("use a ")
    assert error.sentence == error.findings[0].sentence
    assert error.hint == error.findings[0].hint


def check_limit(error: UnsupportedError) -> None:
    (finding,) = error.findings
    found = re.fullmatch(
        r"Conv(?:Transpose)?: the smallest weight tile needs (\d+) bytes of WSPM, "
        r"the chip has (\d+); "
        r"use (?:8-bit weights, or )?a kernel smaller than \dx\d\.",
        finding.sentence,
    )
    assert found, finding.sentence
    assert int(found[1]) > int(found[2])


# ------------------------------------------------------------------ refusals


def wide_layer() -> Graph:
    net = QuantizedNet()
    x = net.input("x", 40, 3, 60)
    t = net.affine(x, "t")
    return net.build(net.conv(t, "y", 40, (3, 3), pads=(1, 1, 1, 1)))


@pytest.mark.parametrize(
    ("change", "sentence", "hint"),
    [
        (
            {"fspm_bytes": 256},  # a column reads 3 x 3 pixels of 32 channels
            # 3 x 60 pixels of 32 channels, 60 of 16 channels and their sums of 4 bytes
            "layer y needs 10560 bytes of FSPM for one row of its smallest tile (16 channels, "
            "60 pixels a row), the chip has 256.",
            "use a narrower input, or a chip with more FSPM",
        ),
        (
            {"mspm_bytes": 256, "mspm_align_bytes": 256},
            "layer y needs 512 bytes of MSPM for the parameters of its smallest tile, "
            "the chip has 256.",
            "use a chip with more MSPM",
        ),
    ],
)
def test_a_layer_that_cannot_fit(change: dict[str, Any], sentence: str, hint: str) -> None:
    with pytest.raises(CapacityError) as caught:
        build(wide_layer(), artificial(replace(TX5368, **change)))
    assert caught.value.sentence == sentence
    assert caught.value.hint == hint
    check_refusal(caught.value)


def test_refusals_at_the_edge() -> None:
    """FSPM that just suffices is not to blame; the pixels are those of the input's rows."""
    just = artificial(
        replace(TX5368, fspm_bytes=10560, mspm_bytes=256, mspm_align_bytes=256, fspm_align_bytes=16)
    )
    with pytest.raises(CapacityError, match=r"^layer y needs 512 bytes of MSPM"):
        build(wide_layer(), just)
    net = QuantizedNet()
    graph = net.build(net.max_pool(net.input("x", 8, 4, 60), "y", kernel=(2, 2), strides=(2, 2)))
    with pytest.raises(CapacityError, match=r"\(4 channels, 60 pixels a row\), the chip has 16\."):
        build(graph, artificial(replace(TX5368, fspm_bytes=16)))


def test_every_layer_that_cannot_fit_is_named() -> None:
    net = QuantizedNet()
    x = net.input("x", 40, 3, 60)
    graph = net.build(net.max_pool(net.conv(x, "a", 8), "b"), net.conv(x, "c", 8))
    with pytest.raises(CapacityError) as caught:
        build(graph, artificial(replace(TX5368, fspm_bytes=16)))
    assert [finding.where for finding in caught.value.findings] == ["a", "b", "c"]


# ------------------------------------------------------------------ same bytes, any tiling


def every_tiling(geometry: Geometry) -> Iterator[Tiling]:
    """All that fit, of a coarse grid that has odd, even, whole and smallest parts."""
    _, channels, height, _ = geometry.y.shape
    depth = geometry.group[0]
    rows = (1, 2, max(1, height - 1), height)
    outs = sorted({1, 5, geometry.group[1], channels})
    ins = (7, 8, depth) if geometry.work.splits_inputs else (depth,)
    for row, out, part, outs_outer in itertools.product(rows, outs, ins, (False, True)):
        # with two buffers and with one, turn by turn
        tiling = Tiling(row, out, part, outs_outer, 2 - (row + out + part + outs_outer) % 2)
        if geometry.fits(tiling):
            yield tiling


def strided(net: QuantizedNet) -> Graph:
    """All that one Matrix does; two rows of outputs reach into the padding above."""
    x = net.input("x", 20, 9, 7)
    t = net.affine(x, "t")
    c = net.conv(t, "c", 11, (5, 3), strides=(2, 1), pads=(3, 1, 2, 1))
    return net.build(net.add(c, net.input("z", 11, 5, 7), "y"))


def pooled(net: QuantizedNet) -> Graph:
    """Edges with divisors of their own."""
    x = net.input("x", 11, 9, 7)
    return net.build(net.average_pool(x, "y", 0.03, kernel=(3, 3), pads=(1, 1, 1, 1)))


def gated(net: QuantizedNet) -> Graph:
    gate = net.input("z", 11, 1, 1, dtypes.U8)
    return net.build(net.node("Mul", (net.input("x", 11, 9, 7), gate), "y", dtypes.S8, 0.2))


def smoothed(net: QuantizedNet) -> Graph:
    x = net.input("x", 11, 9, 7)
    window: dict[str, Any] = {"pads": (2, 2, 2, 2), "dilations": (2, 2), "group": 11}
    return net.build(net.conv(x, "y", 11, (3, 3), **window))


def grouped(net: QuantizedNet) -> Graph:
    """Tiles of whole groups, of one, of parts of one; sums in parts, prologue and add."""
    t = net.affine(net.input("x", 45, 4, 5), "t")
    c = net.conv(t, "c", 18, (3, 3), pads=(1, 1, 1, 1), group=3)
    return net.build(net.add(c, net.input("z", 18, 4, 5), "y"))


def upsampled(net: QuantizedNet) -> Graph:
    """Phases of unequal kernels; sums in parts, prologue and add."""
    t = net.affine(net.input("x", 20, 2, 3), "t")
    more = {"strides": (2, 3), "pads": (1, 1, 0, 2), "output_padding": (0, 1)}
    c = net.transposed(t, "c", 11, (3, 5), **more)
    _, channels, height, width = net.builder.tensors[c].shape
    return net.build(net.add(c, net.input("z", channels, height, width), "y"))


def grouped_wide(net: QuantizedNet) -> Graph:
    """As grouped, with 16-bit features, weights and middle."""
    t = net.affine(net.input("x", 45, 4, 3), "t", dtypes.S16)
    more: dict[str, Any] = {"weight_type": np.int16, "dtype": dtypes.S16, "scale": 0.05 / 256}
    c = net.conv(t, "c", 18, (3, 3), pads=(1, 1, 1, 1), group=3, **more)
    return net.build(net.add(c, net.input("z", 18, 4, 3), "y"))


def upsampled_wide(net: QuantizedNet) -> Graph:
    """Phases of unequal kernels of 16-bit weights; sums in parts."""
    more: dict[str, Any] = {"strides": (2, 3), "pads": (1, 1, 0, 2), "weight_type": np.int16}
    return net.build(net.transposed(net.input("x", 20, 2, 3), "y", 11, (3, 5), **more))


@pytest.mark.parametrize(
    "make",
    [strided, pooled, gated, smoothed, grouped, upsampled, grouped_wide, upsampled_wide],
    ids=lambda item: item.__name__,
)
def test_no_tiling_changes_a_byte(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = make(QuantizedNet())
    chip = replace(TX5368, fspm_bytes=16384, wspm_align_bytes=64)
    (layer,) = build(graph, artificial(chip)).compiled.plan.layers
    tilings = list(every_tiling(layer.geometry))
    assert len(tilings) >= 24
    assert {tiling.buffers for tiling in tilings} == {1, 2}
    chosen = []
    known: dict[str, bytes] = {}
    for tiling in tilings:
        monkeypatch.setattr(choose, "candidates", lambda _, forced=tiling: iter([forced]))
        built = build(graph, artificial(chip))
        check_plan(built)
        check_bytes(built, graph, known)
        chosen.append(built.compiled.plan.layers[0].tiling)
    assert chosen == tilings


def test_chips_of_any_size_give_the_same_bytes() -> None:
    graph = strided(QuantizedNet())
    inputs = random_inputs(graph, np.random.default_rng(0))
    tilings, answers = set(), set()
    for fspm, wspm, mspm in ((3072, 2048, 512), (4096, 4096, 1024), (8192, 8192, 8192)):
        chip = replace(
            TX5368, fspm_bytes=fspm, wspm_bytes=wspm, mspm_bytes=mspm, wspm_align_bytes=64,
            mspm_align_bytes=64, matrix_input_lanes=8, matrix_output_lanes=8,
        )  # fmt: skip
        built = build(graph, artificial(chip))
        tilings.add(built.compiled.plan.layers[0].tiling)
        answers.add(run(built, inputs)["y"].tobytes())
    answers |= {run(build(graph, name), inputs)["y"].tobytes() for name in CHIPS}
    assert len(tilings) == 3
    assert len(answers) == 1


@pytest.mark.parametrize(("weight_type", "size"), [(np.int8, 4), (np.int16, 8)])
def test_partial_sums_are_used_where_weights_do_not_fit(weight_type: Any, size: int) -> None:
    net = QuantizedNet()
    graph = net.build(net.conv(net.input("x", 64, 3, 3), "y", 16, weight_type=weight_type))
    wspm = 512 * np.dtype(weight_type).itemsize
    chip = replace(TX5368, wspm_bytes=wspm, wspm_align_bytes=64, matrix_input_lanes=8)
    built = build(graph, artificial(chip))
    found = [item for item in built.machine.instructions if isinstance(item, Matrix)]
    assert [(item.accumulate_in, item.accumulate_out) for item in found] == [(0, 1), (1, 0)]
    assert built.compiled.plan.layers[0].geometry.fspm_parts(built.compiled.plan.layers[0].tiling)[
        "sums"
    ] == (3 * 3 * 16 * size, 1)
    check_plan(built)
    check_bytes(built, graph)


@pytest.mark.parametrize(("channels", "dtype"), [(65535, dtypes.S8), (32800, dtypes.S16)])
def test_channels_beyond_a_pixel_stride_are_cut(channels: int, dtype: dtypes.DType) -> None:
    """A pixel of 64 KiB or more does not fit the strides of instructions."""
    net = QuantizedNet()
    x = net.input("x", channels if dtype is dtypes.S8 else 4, 1, 1)
    scale = 0.05 if dtype is dtypes.S8 else 0.001
    graph = net.build(
        net.max_pool(x, "y", kernel=(1, 1)) if dtype is dtypes.S8
        else net.conv(x, "y", channels, dtype=dtype, scale=scale)
    )  # fmt: skip
    built = build(graph, "TX5368AV200")
    assert built.compiled.plan.layers[0].tiling.outs < channels
    check_bytes(built, graph)


LARGE = replace(TX5368, fspm_bytes=1 << 24, wspm_bytes=1 << 24, mspm_bytes=1 << 20)


def test_weight_rows_beyond_their_field_are_cut() -> None:
    """Of 80,000 bytes, where pixels have 40,000, all memories are large and transfers dear."""
    net = QuantizedNet()
    x = net.input("x", 40_000, 1, 1)
    graph = net.build(net.conv(x, "y", 40_000, weight_type=np.int16, group=40_000))
    built = build(graph, artificial(replace(LARGE, dma_setup_cycles=10**7)))
    found = [item for item in built.machine.instructions if isinstance(item, Matrix)]
    assert len(found) > 1
    assert max(item.weight_row_bytes for item in found) <= 65_535
    check_bytes(built, graph)


@pytest.mark.parametrize(("channels", "fits"), [(4096, False), (4080, True)])
def test_a_weight_tile_is_one_transfer(channels: int, fits: bool) -> None:
    """Of 2^24 - 1 bytes at most, one less than WSPM may have."""
    net = QuantizedNet()
    graph = net.build(net.conv(net.input("x", 4096, 1, 1), "y", channels))
    shape = geometry(graph, work_of(graph, graph.nodes[0]), LARGE)
    whole = Tiling(1, channels, 4096, False, 1)
    assert shape.weight_slots(whole) == (4096 * channels, 1, 1)
    assert shape.fits(whole) == fits


@pytest.mark.parametrize(("width", "fits"), [(512, False), (511, True)])
def test_a_row_does_not_fill_the_largest_fspm(width: int, fits: bool) -> None:
    """The next row would begin 2^24 bytes on, and strides have 24 bits."""
    net = QuantizedNet()
    graph = net.build(net.moved("Copy", (net.input("x", 1 << 15, 1, width),), "y"))
    shape = geometry(graph, work_of(graph, graph.nodes[0]), LARGE)
    whole = Tiling(1, 1 << 15, 1, False, 1)
    assert shape.fspm_bytes(whole) == width << 15
    assert shape.fits(whole) == fits


@pytest.mark.parametrize(("height", "width"), [(1, 7), (9, 1), (1, 1), (9, 7)])
def test_a_second_operand_of_one_row_or_column(height: int, width: int) -> None:
    """Its rows and its columns are read again on their own."""
    net = QuantizedNet()
    z = net.input("z", 18, height, width, dtypes.U8)
    graph = net.build(net.node("Mul", (net.input("x", 18, 9, 7), z), "y", dtypes.S8, 0.2))
    check_bytes(build(graph, artificial(replace(TX5368, fspm_bytes=4096))), graph)


def test_pixel_strides_of_interleaved_tiles() -> None:
    """An instruction that writes every third pixel goes on by three; so does its second operand."""
    net = QuantizedNet()
    graph = net.build(net.transposed(net.input("x", 64, 2, 2), "y", 32, (1, 1), strides=(2, 3)))
    shape = geometry(graph, work_of(graph, graph.nodes[0]), TX5368)
    whole = Tiling(4, 32, 64, False, 1)
    assert shape.pixel_bytes(replace(whole, outs=16)) == 64  # of the input: 3 * 16 are less
    assert shape.pixel_bytes(whole) == 3 * 32
    wide = replace(shape.y, name="z", dtype=dtypes.S16)
    assert replace(shape, z=wide).pixel_bytes(whole) == 3 * 64


# ------------------------------------------------------------------ estimates


@settings(max_examples=40)
@given(layers(), chips())
def test_the_estimate_of_a_layer_on_any_chip(graph: Graph, chip: Chip) -> None:
    roomy = replace(chip, fspm_bytes=1 << 20, wspm_bytes=1 << 20, mspm_bytes=1 << 16)
    built = build(graph, artificial(roomy))
    if len(built.compiled.plan.layers) == 1:
        (layer,) = built.compiled.plan.layers
        assert (
            layer.estimated_cycles == simulate_time(built.machine.instructions, roomy).total_cycles
        )


def test_late_weights_go_to_wspm_only() -> None:
    """Constants are loaded into the memory that the instruction reads them from."""
    built = build(wide_layer(), "TX5368AV200")
    spaces = [item.space for item in built.machine.instructions if hasattr(item, "space")]
    assert set(spaces) == {Space.FSPM, Space.WSPM, Space.MSPM}


# ------------------------------------------------------------------ tilings chosen before


@pytest.mark.parametrize("chip_name", ["TX5368AV200", "TX5112CV201"])
def test_known_tilings_change_no_byte(chip_name: str) -> None:
    """Every operator's samples, and the same with other weights, with one memory of tilings."""
    family = find(chip_name)
    tilings: Tilings = {}
    data: list[bytes] = []
    twins = 0
    # what is placed has no layer of its own
    for graph in (item for op in ALL_OPS if not op.placed for item in op.samples()):
        for some in (graph, negated(graph)):
            try:
                alone = compile_graph(some, family, chip_name, ORIGIN)
            except UnsupportedError:
                continue
            before = len(tilings)
            together = compile_graph(some, family, chip_name, ORIGIN, tilings=tilings)
            assert together.program.code == alone.program.code
            assert together.program.data == alone.program.data
            data.append(alone.program.data)
            if some is not graph:
                assert len(tilings) == before  # cycles do not depend on data
                twins += data[-1] != data[-2]
    assert len(tilings) > 100  # samples are unlike one another
    assert twins > 10


@pytest.mark.parametrize("turn", [1, -1])
@pytest.mark.parametrize("make", ["depthwise", "table"])
def test_of_tilings_that_are_equally_fast_the_first_is_taken(
    make: str, turn: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever is priced first."""
    net = QuantizedNet()
    y = (
        net.conv(net.input("x", 96, 10, 10), "y", 96, (3, 3), pads=(1,) * 4, group=96)
        if make == "depthwise"
        else net.table(net.input("x", 128, 6, 6), "y")
    )
    made = build(net.build(y), artificial(TINY)).compiled.plan
    geometry = made.layers[0].geometry
    costs, tilings = tile_costs(geometry, made.locations), list(choose.candidates(geometry))
    prices = [price(costs, tiling) for tiling in tilings]
    least = min(cycles for cycles in prices if cycles is not None)
    assert prices.count(least) > 1
    places = {tiling: turn * at - len(tilings) for at, tiling in enumerate(tilings)}
    monkeypatch.setattr(LeastCycles, "of", lambda _, tiling: places[tiling])
    assert choose.choose(geometry, made.locations, "y") == (tilings[prices.index(least)], least)


def test_layers_that_are_alike_are_priced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    priced: list[str] = []

    def counted(geometry: Geometry, places: Any, name: str) -> Any:
        priced.append(name)
        return choose.choose(geometry, places, name)

    monkeypatch.setattr(plan, "choose", counted)
    net = QuantizedNet()
    x = net.input("x", 8, 6, 6)
    for name in "abcd":
        x = net.conv(x, name, 8 if name < "c" else 9)
    tilings: Tilings = {}
    for expected in (["a", "c", "d"], ["a", "c", "d"]):
        compile_graph(net.build(x), find("TX5368AV200"), "TX5368AV200", ORIGIN, tilings=tilings)
        assert priced == expected


def negated(graph: Graph) -> Graph:
    """The graph with every weight and bias of its convolutions turned around."""
    names = {
        name
        for node in graph.nodes
        if BY_NAME[node.op].kernel is not None
        for name in node.inputs[1:]
    }
    return graph.with_constants({name: -graph.constants[name] for name in names})


def test_layers_that_differ_have_keys_of_their_own() -> None:
    """What a tile costs hangs on the shape, the type, the attributes and the place of its data."""

    def keys(**more: Any) -> list[str]:
        net = QuantizedNet()
        x = net.input("x", 8, more.pop("height", 12), 12)
        dtype = more.pop("dtype", dtypes.S8)
        names, kernel = more.pop("names", ("a", "b")), more.pop("kernel", (1, 1))
        for name in names:
            x = net.conv(x, name, 8, kernel, dtype=dtype, **more)
        plan = compile_graph(
            net.builder.build((x,)), find("TX5368AV200"), "TX5368AV200", ORIGIN
        ).plan
        places = {name: replace(place, address=0) for name, place in plan.locations.items()}
        return [layer_key(plan.graph, layer.node, places) for layer in plan.layers]

    plain = keys()
    assert plain[0] == plain[1] == keys(names=("other", "names"))[0]
    changed = [
        keys(height=13),
        keys(kernel=(3, 3), pads=(1,) * 4),
        keys(dtype=dtypes.U8),
        keys(strides=(2, 2)),
    ]
    assert len({plain[0], *(item[0] for item in changed)}) == 5


def test_a_tensor_that_is_read_twice_is_not_two_of_its_kind() -> None:
    """It is loaded once: tiles of the one may be larger, and cost less, than those of the other."""
    keys = []
    for second in ("a", "b"):
        net = QuantizedNet()
        x = net.input("x", 8, 6, 6)
        net.conv(x, "a", 8)
        net.conv(x, "b", 8)
        net.node("Add", ("a", second), "y", dtypes.S8, 0.1)
        graph = net.builder.build(("y", "b"))
        (node,) = [node for node in graph.nodes if node.op == "Add"]
        keys.append(layer_key(graph, node, {}))
    assert keys[0] != keys[1]
