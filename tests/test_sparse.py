"""Blocks of zeros are skipped: the same bytes, in fewer cycles; any damage is found."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from conformance_checks import ORIGIN, Built, artificial, build, random_inputs, reference, run
from knightlite import dtypes
from knightlite.allocate import place_tensors
from knightlite.api.compilation import compile_bytes
from knightlite.chip import Chip
from knightlite.chip_files import find
from knightlite.compiler import compile_graph
from knightlite.container import Program, decode_program, encode_program, paired
from knightlite.errors import CapacityError, MachineError, UnsupportedError
from knightlite.ir import Graph
from knightlite.isa import Engine, Instruction, Matrix, SparseMatrix, assemble
from knightlite.lower.sparse import without_zero_blocks
from knightlite.native import NativeMachine
from knightlite.onnx_models import write_qdq
from knightlite.options.compile import CompileOptions
from knightlite.schedule.channels import _cut
from knightlite.schedule.network import network_of
from knightlite.sim import Machine, simulate_time
from knightlite.talk import Talk
from quantized_nets import QuantizedNet
from random_layers import chips

S16: dict[str, Any] = {"weight_type": np.int16, "dtype": dtypes.S16, "scale": 0.05 / 256}


def pruned(graph: Graph, block: tuple[int, int], kept: float, seed: int = 0) -> Graph:
    """The graph whose weights have about as many blocks (inputs x outputs) as ``kept`` says."""
    rng = np.random.default_rng(seed)
    constants = dict(graph.constants)
    for node in graph.nodes:
        if node.op not in ("Conv", "ConvTranspose"):
            continue
        weights = constants[node.inputs[1]].copy()
        outputs, inputs = weights.shape[:2]
        for tap in np.ndindex(*weights.shape[2:]):
            for o in range(0, outputs, block[1]):
                for i in range(0, inputs, block[0]):
                    if rng.random() >= kept:
                        weights[(slice(o, o + block[1]), slice(i, i + block[0]), *tap)] = 0
        constants[node.inputs[1]] = weights
    return replace(graph, constants=constants)


def exact(built: Built, graph: Graph) -> None:
    inputs = random_inputs(graph, np.random.default_rng(1))
    wanted = reference(graph, inputs)
    for name, values in run(built, inputs).items():
        if name in wanted:
            assert values.tobytes() == wanted[name].tobytes(), name


def sparse_items(built: Built) -> list[SparseMatrix]:
    return [item for item in built.machine.instructions if isinstance(item, SparseMatrix)]


@st.composite
def layers(draw: st.DrawFn) -> Graph:
    """A convolution in any chain, of 8 or 16 bits; some that stay dense."""
    net = QuantizedNet(seed=draw(st.integers(0, 9)))
    channels, outputs = draw(st.sampled_from((8, 33, 70))), draw(st.sampled_from((3, 16, 70)))
    x = net.input("x", channels, draw(st.integers(1, 9)), draw(st.integers(1, 5)),
                  draw(st.sampled_from((dtypes.S8, dtypes.S8, dtypes.S16))))  # fmt: skip
    if draw(st.booleans()):
        x = net.affine(x, "t")
    more: dict[str, Any] = S16 if draw(st.booleans()) else {}
    kernel = draw(st.sampled_from((1, 3)))
    window = {"pads": (kernel // 2,) * 4, "strides": (draw(st.integers(1, 2)), 1)}
    y = net.conv(x, "c", outputs, (kernel, kernel), **window, **more)
    if not more and draw(st.booleans()):
        y = net.table(y, "y")
    return net.build(y)


@settings(max_examples=120)
@given(layers(), chips(), st.sampled_from((0.0, 0.4, 0.9)), st.sampled_from((0, 1)))
def test_any_layer_on_any_chip(graph: Graph, chip: Chip, kept: float, level: int) -> None:
    """In both machines; at level 0 the price is the time to the cycle, and no longer than dense."""
    graph = pruned(graph, (chip.matrix_input_lanes, chip.matrix_output_lanes), kept)
    family = artificial(chip)
    try:
        dense = build(graph, family, level)
        built = build(graph, family, level, sparse=True)
    except (CapacityError, UnsupportedError):
        return
    exact(built, graph)
    event(f"{bool(sparse_items(built))}")
    if level == 0 and len(built.compiled.plan.layers) == 1:
        (layer,) = built.program.meta.layers
        time = simulate_time(built.machine.instructions, chip).total_cycles
        assert time == layer.estimated_cycles
        assert time <= simulate_time(dense.machine.instructions, chip).total_cycles


def layer(outputs: int = 128, **more: Any) -> Graph:
    net = QuantizedNet()
    x = net.input("x", 128, 10, 10, more.get("dtype", dtypes.S8))
    return net.build(net.conv(x, "y", outputs, (3, 3), pads=(1, 1, 1, 1), **more))


def matrix_cycles(built: Built) -> int:
    chip, items = built.machine.chip, built.machine.instructions
    return sum(item.cycles(chip) for item in items if item.ENGINE is Engine.RCCN)


@pytest.mark.parametrize("level", [0, 1])
@pytest.mark.parametrize("chip", ["TX5368AV200", "TX5112CV201"])
@pytest.mark.parametrize("more", [{}, S16], ids=["8", "16"])
def test_half_the_blocks_are_half_the_cycles(more: dict[str, Any], chip: str, level: int) -> None:
    facts = find(chip).chip
    lanes = facts.wide_matrix_output_lanes if more else facts.matrix_output_lanes
    graph = pruned(layer(**more), (facts.matrix_input_lanes, lanes), 0.5)
    dense, built = build(graph, chip, level), build(graph, chip, level, sparse=True)
    exact(built, graph)
    assert matrix_cycles(built) <= 0.6 * matrix_cycles(dense)
    assert len(built.program.data) <= 0.6 * len(dense.program.data)


def test_without_the_word_nothing_changes() -> None:
    graph = pruned(layer(), (32, 64), 0.5)
    assert not sparse_items(build(graph, "TX5368AV200"))
    whole = layer()
    plain, asked = (build(whole, "TX5368AV200", sparse=word) for word in (False, True))
    assert encode_program(plain.program) == encode_program(asked.program)


class Forgets(dict[str, Any]):
    """A memory that finds nothing again: every layer is chosen for itself."""

    def __contains__(self, key: object) -> bool:
        return False


def test_layers_alike_but_for_their_zeros_are_chosen_apart() -> None:
    """As many zeros, elsewhere; more of them; the same ones once more."""
    net = QuantizedNet()
    x = net.input("x", 128, 10, 10)
    for name in "abcd":
        x = net.conv(x, name, 128, (3, 3), pads=(1, 1, 1, 1))
    graph = net.build(x)
    constants = dict(graph.constants)
    for name, (rows, columns) in {
        "a": (slice(64), slice(64)), "b": (slice(64), slice(64, None)), "c": (slice(64), slice(96)),
        "d": (slice(64), slice(64)),
    }.items():  # fmt: skip
        constants[f"{name}.weight"] = constants[f"{name}.weight"].copy()
        constants[f"{name}.weight"][rows, columns] = 0
    family = find("TX5368AV200")
    tilings: dict[str, Any] = {}
    plans = [
        compile_graph(
            replace(graph, constants=constants), family, "TX5368AV200", ORIGIN, tilings=memory,
            sparse=True,
        )
        for memory in (tilings, Forgets())
    ]  # fmt: skip
    one, other = (
        [(layer.tiling, layer.estimated_cycles) for layer in item.plan.layers] for item in plans
    )
    assert one == other
    assert plans[0].program.code == plans[1].program.code
    assert one[2][1] < one[0][1]
    assert len(tilings) == 4  # d reads and writes elsewhere


def test_a_cut_counts_the_blocks_of_each_part() -> None:
    """Tiles of one shape: the first of two parts has a fourth of its blocks, the others all."""
    family = find("TX5368AV200")
    graph = layer()
    weights = graph.constants["y.weight"].copy()
    weights[:64, 32:] = 0
    graph = replace(graph, constants={**graph.constants, "y.weight": weights})
    marked, _ = without_zero_blocks(graph, family.chip)
    placed, places = place_tensors(marked)
    (item,) = network_of(placed, places, family.chip).layers
    tiling = replace(item.uncut, outs=64)
    parts = [item.instructions((at, at + 64), (0, 128)) for at in (0, 64)]
    cycles = [sum(one.cycles(family.chip) for one in part) for part in parts]
    assert cycles[0] < cycles[1] / 2
    found = _cut(item, tiling)
    assert (found.instructions, found.cycles) == (2, sum(cycles) - 2 * item.setup)


# ------------------------------------------------------------------ damage

DAMAGE: dict[str, tuple[Callable[[SparseMatrix], dict[str, int]], str]] = {
    "a block more": (
        lambda item: {"blocks": item.blocks + 1},
        r"the weights in WSPM at 0x0 have a mask with (\d+) bits, their instruction has "
        r"\d+ of 36 blocks\.",
    ),
    "a block less": (lambda item: {"blocks": item.blocks - 1}, r".* have a mask with .*"),
    "bytes": (
        lambda item: {"stored_bytes": item.stored_bytes - 16},
        r"the weights in WSPM at 0x0 have a mask of (\d+) bytes, their instruction has \d+\.",
    ),
    "too many": (
        lambda item: {"blocks": 37},
        r"instruction \d+ \(sparse, layer y\) must have at most 36 blocks, not 37\.",
    ),
    "only a mask": (
        lambda item: {"stored_bytes": 16},
        r"instruction \d+ \(sparse, layer y\) must have more bytes of weights than its mask, 16, "
        r"not 16\.",
    ),
    "groups": (
        lambda item: {"groups": 2},
        r"instruction \d+ \(sparse, layer y\) must have 1 group and not be depthwise\.",
    ),
    "other blocks": (
        lambda item: {"block_outputs": 32}, r".* have a mask .*"
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def program() -> Program:
    """One tile of 36 blocks, about half of which are stored."""
    chip = replace(find("TX5368AV200").chip, fspm_bytes=1 << 20)
    graph = pruned(layer(64), (32, 64), 0.5)
    built = build(graph, artificial(chip), sparse=True)
    assert len({item.weight_address for item in sparse_items(built)}) == 1
    return built.program


def refusals(program: Program) -> list[str]:
    """What both machines say; the runtime in C where there is a compiler."""
    said = []
    for machine in (Machine, NativeMachine):
        inputs = {
            entry.name: np.zeros(entry.shape, entry.dtype.numpy) for entry in program.meta.inputs
        }
        with pytest.raises(MachineError) as caught:
            machine(program).run(inputs)
        said.append(caught.value.sentence)
    return said


@pytest.mark.parametrize("name", DAMAGE)
def test_a_count_that_is_not_the_masks_is_refused(program: Program, name: str) -> None:
    change, sentence = DAMAGE[name]
    items: list[Instruction] = [
        replace(item, **change(item)) if isinstance(item, SparseMatrix) else item
        for item in Machine(program).instructions
    ]
    damaged = paired(replace(program, code=assemble(items)))
    for said in refusals(damaged):
        assert re.fullmatch(sentence, said), said


@pytest.mark.parametrize("bit", [3, 35, 36, 127])
def test_a_mask_that_is_not_the_counts_is_refused(program: Program, bit: int) -> None:
    """A bit of a block, or of none."""
    data = bytearray(program.data)
    place = data.index(stored_mask(pruned(layer(64), (32, 64), 0.5)))
    data[place + bit // 8] ^= 1 << bit % 8
    damaged = paired(replace(program, data=bytes(data)))
    for said in refusals(damaged):
        assert re.match("the weights in WSPM at 0x0 have a mask ", said), said


def stored_mask(graph: Graph) -> bytes:
    """The mask of ``layer(64)`` as one tile."""
    weights = graph.constants["y.weight"]
    there: NDArray[np.bool_] = np.any(weights.reshape(64, 4, 32, 9), axis=(0, 2))
    return np.packbits(there.T.reshape(-1), bitorder="little").tobytes()  # taps, then inputs


# ------------------------------------------------------------------ what is said


def said_of(graph: Graph) -> dict[str, str]:
    made = compile_graph(graph, find("TX5368AV200"), "TX5368AV200", ORIGIN, sparse=True)
    return {node: said for node, source, said in made.explanations.sentences if source == "sparse"}


def test_every_layer_says_what_it_skips() -> None:
    net = QuantizedNet()
    x = net.input("x", 4, 6, 6)
    few = net.conv(x, "few", 64)
    grouped = net.conv(few, "grouped", 64, group=2)
    depth = net.conv(grouped, "depth", 64, group=64)
    full = net.conv(depth, "full", 64)
    some = net.conv(full, "some", 64)
    graph = net.build(net.transposed(some, "up", 8, (2, 2), strides=(2, 2)))
    weights = graph.constants["some.weight"].copy()
    weights[:, :32] = 0
    graph = replace(graph, constants={**graph.constants, "some.weight": weights})
    assert said_of(graph) == {
        "few": "keeps its blocks of zeros: its 4 input channels share lanes with other taps",
        "grouped": "keeps its blocks of zeros: its channels are grouped",
        "depth": "keeps its blocks of zeros: its channels are grouped",
        "full": "has no zeros to skip: none of its 2 blocks of 32 x 64 channels is zero",
        "some": "skips 1 of 2 blocks of 32 x 64 channels, which are zero",
        "up": "keeps its blocks of zeros: a ConvTranspose is done phase by phase",
    }


@pytest.mark.parametrize("kept", [0.5, 1.0])
def test_a_word_without_effect_is_said(kept: float) -> None:
    graph = pruned(layer(), (32, 64), kept)
    said: list[str] = []
    options = CompileOptions(chip="TX5368AV200", sparse=True)
    model = write_qdq(graph, {}).SerializeToString()
    made = compile_bytes(model, Path("n_quantize.onnx"), options, Talk(said.append))
    wanted = "--sparse changes nothing: no convolution of n has a block of zeros."
    assert said == ([wanted] if kept == 1 else [])
    program = decode_program(made.cfg, made.weight, "x.cfg", "x.weight")
    kinds = {type(item) for item in Machine(program).instructions if isinstance(item, Matrix)}
    assert kinds == {Matrix if kept == 1 else SparseMatrix}
