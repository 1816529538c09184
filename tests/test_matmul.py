"""Products of two computed tensors inside networks: attention, at every level of the schedule.

Simulator in Python and in C, golden model and integer references agree byte for byte; each QDQ
layer is within one step. What a product multiplies by is in DDR before WSPM is loaded of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance_checks import (
    CHIPS,
    Golden,
    Layers,
    Tally,
    build,
    extreme_inputs,
    multiplies_wide,
    random_inputs,
    reference,
    run,
)
from knightlite import numerics
from knightlite.chip_files import find
from knightlite.dtypes import S8, S16, U8, DType
from knightlite.errors import UnsupportedError
from knightlite.frontend.qdq import check, load_quantized
from knightlite.ir import Graph
from knightlite.isa import Load, Move, Space
from knightlite.onnx_models import write_qdq
from knightlite.ops import BY_NAME, View, matmul
from knightlite.passes import Explanations
from knightlite.passes.turn_keys import TurnKeys
from knightlite.passes.two_moves import TwoMoves
from knightlite.schedule import LEVELS, explained
from quantized_nets import RELU, SCALE, QuantizedNet

CHIP = find("TX5368AV200").chip
FEW = ("TX5368AV200", "TX5112CV201", "TX5105C")


def product(
    net: QuantizedNet, x: str, w: str, y: str, form: str, groups: int = 1, dtype: DType = S8,
    scale: float = SCALE, **more: Any,
) -> str:  # fmt: skip
    return net.node("MatMul", (x, w), y, dtype, scale, groups=groups, form=form, **more)


def attention(net: QuantizedNet) -> Graph:
    """Three heads over 30 pixels: queries, keys and values of one tensor, Softmax, a residual."""
    x = net.input("x", 24, 1, 30)
    qkv = net.conv(x, "qkv", 72)
    query, key, value = (
        net.cut(qkv, name, (24 * at, 0, 0), (24 * at + 24, 1, 30)) for at, name in enumerate("qkv")
    )
    scores = product(net, query, key, "scores", "keys", 3, gain=8**-0.5, scale=0.3)
    heads = [net.cut(scores, f"h{at}", (30 * at, 0, 0), (30 * at + 30, 1, 30)) for at in range(3)]
    shares = [net.node("Softmax", (head,), f"{head}p", U8, 1 / 255) for head in heads]
    mixed = product(net, net.concat("p", *shares), value, "mixed", "values", 3, scale=0.02)
    return net.build(net.add(net.conv(mixed, "out", 24), x, "y"))


def cross(net: QuantizedNet) -> Graph:
    """Queries of a picture, keys and values of another input; keys twice, once turned before."""
    x, other = net.input("x", 16, 4, 6), net.input("other", 16, 1, 9)
    key = net.conv(other, "key", 16)
    turned = net.moved("SwapChannels", (key,), "turned")
    scores = product(net, net.conv(x, "query", 16), key, "scores", "keys", scale=0.4)
    same = product(net, net.conv(x, "again", 16), net.moved("SwapChannels", (turned,), "back"),
                   "same", "keys", scale=0.4)  # fmt: skip
    shares = net.node("Softmax", (net.add(scores, same, "sum", scale=0.5),), "p", U8, 1 / 255)
    return net.build(product(net, shares, net.conv(other, "value", 20), "y", "values", scale=0.02))


def gram(net: QuantizedNet) -> Graph:
    """A tensor times itself both ways; the matrices are an input and an output of the network."""
    x = net.input("x", 12, 1, 12)
    first = product(net, x, x, "first", "values", scale=1.2)
    y = product(net, first, x, "y", "keys", dtype=U8, scale=8.0, clamp=RELU)
    return net.build(y, product(net, first, y, "z", "values", scale=600.0))


def wide(net: QuantizedNet) -> Graph:
    """16 bits on either side and on both."""
    fine: dict[str, Any] = {"weight_type": np.int16, "dtype": S16, "scale": SCALE / 256}
    x = net.input("x", 16, 1, 40)
    query, key, value = (net.conv(x, name, 16, **fine) for name in "qkv")
    scores = product(net, query, key, "scores", "keys", 2, S16, 0.3 / 256)
    narrow = product(net, x, key, "narrow", "keys", 2, scale=0.3)
    mixed = product(net, net.add(scores, narrow, "s", scale=0.5), value, "m", "values", 2)
    return net.build(product(net, mixed, net.conv(x, "d", 16), "y", "keys", 4, S16, 0.2 / 256))


NETWORKS = {item.__name__: item for item in (attention, cross, gram, wide)}
Made = Callable[[QuantizedNet], Graph]


@pytest.mark.parametrize("chip_name", FEW)
@pytest.mark.parametrize("name", NETWORKS)
def test_network_at_every_level(name: str, chip_name: str, rng: np.random.Generator) -> None:
    make: Made = NETWORKS[name]
    graph = make(QuantizedNet(name, seed=2))
    if multiplies_wide(graph) and 16 not in find(chip_name).chip.bit_widths:
        with pytest.raises(UnsupportedError, match="the chip multiplies 8-bit features by 8-bit"):
            build(graph, chip_name)
        return
    cases = [random_inputs(graph, rng), random_inputs(graph, rng), *extreme_inputs(graph)]
    seen: dict[int, list[dict[str, Any]]] = {}
    qdq, tally = Layers(graph), Tally()
    for level in range(len(LEVELS)):
        built = build(graph, chip_name, level)
        golden = Golden(built.compiled.graph)
        for number, inputs in enumerate(cases):
            found, exact, wanted = run(built, inputs), golden.run(inputs), reference(graph, inputs)
            tally.compare(found, exact)
            tally.compare({key: exact[key] for key in wanted if key in exact}, wanted)
            assert max(qdq.differences({**wanted, **exact}).values()) <= 1
            seen.setdefault(number, []).append({key: found[key] for key in graph.outputs})
    assert not tally.wrong
    assert not [key for key in tally.few if key in graph.outputs]
    for found_at in seen.values():
        for other in found_at[1:]:
            assert all(np.array_equal(other[key], found_at[0][key]) for key in graph.outputs)


@pytest.mark.parametrize("name", NETWORKS)
def test_quantized_file_is_read_back(name: str, tmp_path: Any) -> None:
    make: Made = NETWORKS[name]
    graph = make(QuantizedNet(name, seed=2))
    path = tmp_path / f"{name}_quantize.onnx"
    path.write_bytes(write_qdq(graph, {}).SerializeToString())
    read = load_quantized(path)
    wanted = {node.output: node for node in graph.nodes if node.op == "MatMul"}
    found = {node.output: node for node in read.nodes if node.op == "MatMul"}
    assert found.keys() == wanted.keys()
    for output, node in found.items():
        assert node.inputs == wanted[output].inputs
        known = wanted[output].attributes
        gains = [np.float32(str(item.get("gain", 1.0))) for item in (node.attributes, known)]
        assert gains[0] == gains[1]
        assert {**node.attributes, "gain": 1} == {**known, "gain": 1}
        assert read.tensors[output].scale == graph.tensors[output].scale


def shares_of_blocks(net: QuantizedNet) -> Graph:
    """Softmax in groups of what SpaceToDepth made one pixel."""
    x = net.moved("SpaceToDepth", (net.input("x", 6, 4, 4),), "x1", block=4, mode="CRD")
    return net.build(net.node("Softmax", (x,), "y", U8, 1 / 255, groups=6))


def product_of_blocks(net: QuantizedNet) -> Graph:
    """Heads of what SpaceToDepth made one pixel, times those of another input."""
    x = net.moved("SpaceToDepth", (net.input("x", 6, 4, 4),), "x1", block=4, mode="CRD")
    return net.build(product(net, x, net.input("w", 12, 1, 16), "y", "values", 6))


@pytest.mark.parametrize("make", [shares_of_blocks, product_of_blocks])
def test_groups_of_one_block_are_read_back(make: Made, tmp_path: Any) -> None:
    """Such a block lies in the file as it is in any case: a view there, on the chip a move."""
    graph = make(QuantizedNet("net", seed=3))
    path = tmp_path / "net_quantize.onnx"
    path.write_bytes(write_qdq(graph, {}).SerializeToString())
    read = load_quantized(path)
    assert not check(read)
    assert [node.op for node in read.nodes] == [node.op for node in graph.nodes]
    assert read.tensors["y"].shape == graph.tensors["y"].shape
    assert read.tensors["y"].scale == graph.tensors["y"].scale


def test_matrices_are_in_ddr_and_explained() -> None:
    """Above level 0 the keys stay nowhere on chip, and the reason is said."""
    graph = attention(QuantizedNet(seed=2))
    built = build(graph, "TX5368AV200", 1)
    assert built.compiled.plan.order is not None
    told = [item.sentence for item in explained(built.compiled.plan)]
    home = "spilled: its output goes to DDR, from where {} loads it as weights: WSPM is filled "
    assert home.format("scores") + "from DDR alone." in told
    assert home.format("mixed") + "from DDR alone." in told
    assert any(item.startswith(("resident:", "on chip:")) for item in told)
    data = len(built.program.data)
    loads = [item for item in built.machine.instructions if isinstance(item, Load)]
    computed = [x for x in loads if x.space == Space.WSPM and x.ddr_address >= data]
    assert sum(x.payload_bytes for x in computed) == 2 * 24 * 30  # keys and values, once each


def test_keys_are_turned_once() -> None:
    net = QuantizedNet()
    graph = cross(net)
    told = Explanations()
    turned, count = TurnKeys().run(graph, CHIP, told)
    assert count == 2
    by_name = {node.name: node for node in turned.nodes}
    assert by_name["scores"].inputs[1] == "key/turned"
    assert by_name["same"].inputs[1] == "turned"  # what it was before it was turned back
    assert "back" not in by_name
    assert [(node, text) for node, rewrite, text in told.sentences if rewrite == "turn_keys"] == [
        ("scores", "key is turned in front of it: WSPM takes a row per input channel"),
        ("same", "its weights are turned, as it is before back turns it"),
    ]
    again, count = TurnKeys().run(turned, CHIP, told)
    assert (again, count) == (turned, 0)


def test_two_products_share_turned_keys() -> None:
    net = QuantizedNet()
    x = net.input("x", 8, 1, 10)
    key = net.conv(x, "key", 8)
    names = [product(net, net.conv(x, f"q{at}", 8), key, f"y{at}", "keys") for at in range(2)]
    built = build(net.build(*names), "TX5368AV200")
    assert [node.op for node in built.compiled.graph.nodes].count("SwapChannels") == 1


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(matmul.FORMS),
    st.integers(1, 3),
    st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 3), st.integers(1, 4)),
    st.tuples(*[st.sampled_from([U8, S8, S16])] * 3),
    st.floats(0.01, 100.0),
    st.integers(0, 2**32 - 1),
)
def test_reference_in_python_integers(
    form: str, groups: int, sizes: tuple[int, int, int, int],
    types: tuple[DType, DType, DType], ratio: float, seed: int,
) -> None:  # fmt: skip
    graph = matmul._case("case", form, groups, sizes, types, ratio=ratio)
    inputs = random_inputs(graph, np.random.default_rng(seed))
    x, w = (inputs[name][0].astype(int).tolist() for name in "xw")
    params = matmul.requantize_parameters(View(graph, graph.nodes[0]))
    m, q = int(params.m[0]), int(params.q[0])
    ins, outs, height, width = sizes
    found = BY_NAME["MatMul"].reference(View(graph, graph.nodes[0]), tuple(inputs.values()))
    for g in range(groups):
        for o in range(outs):
            for row in range(height):
                for column in range(width):
                    total = 0
                    for i in range(g * ins, g * ins + ins):
                        if form == "keys":
                            factor = w[i][0][o]
                        elif form == "turned":
                            factor = w[o][0][i]
                        else:
                            factor = w[g * outs + o][0][i - g * ins]
                        total += factor * x[i][row][column]
                    whole = numerics.round_shift_whole(np.array([total * m]), np.array([q]))
                    wanted = max(types[2].minimum, min(types[2].maximum, int(whole[0])))
                    assert found[0, g * outs + o, row, column] == wanted


@pytest.mark.parametrize("chip_name", CHIPS)
def test_a_machine_takes_new_matrices_for_every_picture(
    chip_name: str, rng: np.random.Generator
) -> None:
    """Weights are decoded anew; what is constant is decoded once."""
    graph = gram(QuantizedNet())
    built = build(graph, chip_name)
    for _ in range(3):
        inputs = random_inputs(graph, rng)
        found = built.machine.run(inputs)
        wanted = reference(graph, inputs)
        assert all(np.array_equal(found[name], wanted[name]) for name in graph.outputs)


def test_equations_by_their_letters() -> None:
    assert matmul.form_of("abcd, abef -> afcd") == ("keys", False)
    assert matmul.form_of("ngjhw,ngmkj->ngmhw") == ("values", True)
    assert matmul.form_of("nchw,nckj->nhjw") is None


# ------------------------------------------------------------------ how keys are turned


def turning(channels: int, width: int, dtype: DType = S8, height: int = 1) -> Graph:
    net = QuantizedNet()
    x = net.input("x", channels, height, width, dtype)
    return net.build(net.moved("SwapChannels", (x,), "y"))


def test_keys_go_by_runs_where_that_is_faster() -> None:
    """Two moves take less than half the cycles of one; where they would not, one it is."""
    graph = turning(64, 197)
    moves = [x for x in build(graph, "TX5368AV200").machine.instructions if isinstance(x, Move)]
    assert [item.run_bytes for item in moves] == [4, 1] * (len(moves) // 2)
    cycles = sum(item.cycles(CHIP) for item in moves)
    once = 64 * 197 + CHIP.vector_setup_cycles  # a cycle for each byte
    assert 2 * cycles < once
    for channels, said in ((63, "its 63 channels are not runs of 4"), (4, "two moves take")):
        told = Explanations()
        graph = turning(channels, 3)
        assert TwoMoves().run(graph, CHIP, told) == (graph, 0)
        assert told.sentences[0][2].startswith(said)


def test_runs_take_room_beside_the_tile() -> None:
    """Where there is none, keys are turned in one move; so where two are no faster."""
    graph = turning(64, 256)
    need = 3 * 64 * 256
    assert TwoMoves().run(graph, replace(CHIP, fspm_bytes=need), Explanations())[1] == 1
    told = Explanations()
    assert TwoMoves().run(graph, replace(CHIP, fspm_bytes=need - 1), told)[1] == 0
    assert told.sentences[0][2] == (
        "two moves need 49152 bytes of FSPM for a row, the chip has 49151"
    )
    # 16 runs of 256 pixels; 64 times 32 + 8 - 1 words; in one move 64 * 256 bytes
    gained = 64 * 256 - (16 * 256 + 64 * 39)
    for setup, count in ((gained - 1, 1), (gained, 0)):
        chip = replace(CHIP, vector_setup_cycles=setup)
        assert TwoMoves().run(graph, chip, Explanations())[1] == count


@pytest.mark.parametrize("level", range(len(LEVELS)))
def test_keys_that_do_not_fit_are_turned_in_parts(level: int, rng: np.random.Generator) -> None:
    net = QuantizedNet()
    x = net.input("x", 192, 1, 180, S16)
    key = net.affine(x, "key", S16, SCALE / 256, clamp=(-np.inf, np.inf))
    graph = net.build(product(net, x, key, "y", "keys", 3, scale=4.0))
    built = build(graph, "TX5112CV201", level)
    assert sum(node.op == "SwapChannels" for node in built.compiled.graph.nodes) == 2
    assert ("key/turned", "cut_swaps", "is done in 2 parts of its channels") in (
        built.compiled.explanations.sentences
    )
    for inputs in (random_inputs(graph, rng), *extreme_inputs(graph)):
        assert np.array_equal(run(built, inputs)["y"], reference(graph, inputs)["y"])


def test_parameters_of_a_product_are_those_of_its_layer(rng: np.random.Generator) -> None:
    """Products whose parameters take each other's places in MSPM, picture after picture."""
    net = QuantizedNet()
    x = net.input("x", 8, 1, 3)
    names = []
    for number in range(4):
        w = net.input(f"w{number}", 8, 1, 900)
        names.append(product(net, x, w, f"y{number}", "keys", scale=0.2 * 1.4**number))
    graph = net.build(*names)
    for level in range(len(LEVELS)):
        built = build(graph, "TX5368AV200", level)
        for _ in range(2):
            inputs = random_inputs(graph, rng)
            found, wanted = run(built, inputs), reference(graph, inputs)
            assert all(np.array_equal(found[name], wanted[name]) for name in names)
