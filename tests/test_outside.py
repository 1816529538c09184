"""Inputs and outputs outside the network's memory: ``--input-indep`` and ``--output-indep``."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from compilers import needs_compiler
from conformance_checks import ORIGIN, SHORT, Built, random_inputs, run
from integer_nets import IntegerNet
from knightlite import dtypes
from knightlite.chip_files import families, find
from knightlite.cli.program import run as command
from knightlite.compiler import compile_graph
from knightlite.container import (
    CFG_MAGIC,
    WEIGHT_MAGIC,
    Program,
    Region,
    WeightDescription,
    decode_program,
    encode_program,
    paired,
    plan_bytes,
    write_sections,
)
from knightlite.emit import memory_map
from knightlite.errors import FormatError, KnightliteError
from knightlite.ir import Graph
from knightlite.isa import Store, assemble, disassemble
from knightlite.json_records import canonical_json, to_json
from knightlite.native import NativeMachine
from knightlite.native.library import CHECKED, CHIP_ONLY, Network
from knightlite.schedule import memory_peaks
from knightlite.sim import Machine

CHIP = "TX5336AV200"
BOTH = ("inputs", "outputs")


def with_parts() -> Graph:
    """Outputs that would lie inside one another: a Concat, what it joins, a slice of it."""
    net = IntegerNet("parts")
    x = net.picture(3, 20, 24)
    first = net.layer(x, 8, 3)
    second = net.layer(first, 12, 3)
    joined = net.join(first, second)
    part = net.node(
        "Slice", (joined,), "part", dtypes.S8, net.step, starts=(4, 2, 0), ends=(12, 20, 24),
        steps=(1, 1, 1),
    )  # fmt: skip
    last = net.layer(part, 5)
    return replace(net.build(last), outputs=(last, joined, part, second))


def built(graph: Graph, apart: tuple[str, ...], level: int = 0, reuse_ddr: bool = True) -> Built:
    family = find(CHIP)
    compiled = compile_graph(
        graph, family, CHIP, ORIGIN, reuse_ddr, level=level, budget=SHORT, apart=apart
    )
    files = encode_program(compiled.program)
    program = decode_program(*files, "x.cfg", "x.weight")
    return Built(compiled, program, Machine(program, family), sum(map(len, files)))


@pytest.mark.parametrize("level", [0, 1])
@pytest.mark.parametrize("apart", [("inputs",), ("outputs",), BOTH])
def test_same_bytes(apart: tuple[str, ...], level: int) -> None:
    graph = with_parts()
    plain, outside = built(graph, (), level), built(graph, apart, level)
    inputs = random_inputs(graph, np.random.default_rng(1))
    wanted, found = run(plain, inputs), run(outside, inputs)
    for name in graph.outputs:
        assert found[name].tobytes() == wanted[name].tobytes()
    meta = outside.program.meta
    assert tuple(region.of for region in meta.regions) == apart
    assert meta.regions[0].address % meta.chip_values.ddr_align_bytes == 0
    for region in meta.regions:
        entries = getattr(meta, region.of)
        assert entries[0].address == region.address
        ends = [*(entry.address for entry in entries[1:]), region.end]
        assert [entry.end + -entry.end % 4 for entry in entries] == ends  # one behind the other


def test_an_output_that_is_parts_of_the_input() -> None:
    """It lies for itself all the same: nobody writes into the inputs' memory."""
    net = IntegerNet("parts of the input")
    x = net.picture(3, 8, 8)
    parts = [
        net.node("Slice", (x,), f"part{first}", dtypes.S8, net.step, starts=(first, 0, 0),
                 ends=(last, 8, 8), steps=(1, 1, 1))
        for first, last in ((0, 1), (1, 3))
    ]  # fmt: skip
    graph = net.build(net.join(*parts))
    outside = built(graph, BOTH, level=1)
    inputs = random_inputs(graph, np.random.default_rng(4))
    assert run(outside, inputs)[graph.outputs[0]].tobytes() == inputs["x"].tobytes()
    given, made = outside.program.meta.regions
    assert (given.size, made.size) == (4 * 64, 4 * 64)


def test_what_is_shared_and_where() -> None:
    graph = with_parts()
    plain, outside = built(graph, (), reuse_ddr=False), built(graph, BOTH, reuse_ddr=False)
    text = memory_map(outside.compiled.plan, outside.program.meta.chip_values)
    for region in outside.program.meta.regions:
        line = f"{region.address:#010x} {region.size:>10} {region.of}, outside the network's memory"
        assert line in text
    assert "outside" not in memory_map(plain.compiled.plan, plain.program.meta.chip_values)
    code = disassemble(outside.program.code)
    peak = memory_peaks(outside.compiled.plan, code, outside.program.meta.chip_values)[-1]
    kinds = {holder.name: holder.kind for holder in peak.holders}
    assert kinds["x"] == kinds["part"] == "outside the network's memory"
    assert kinds["Conv0"] == "features"


@needs_compiler
def test_arena() -> None:
    """It shrinks by exactly what lies outside."""
    net = IntegerNet("large")
    graph = net.build(net.layer(net.layer(net.picture(3, 96, 128), 8, 3), 4))
    arenas, sizes = [], []
    for apart in ((), ("inputs",), BOTH):
        program = built(graph, apart, reuse_ddr=False).program
        arenas.append(NativeMachine(program, checked=False).arena_bytes)
        sizes.append(sum(region.size for region in program.meta.regions))
    assert sizes == [0, 4 * 96 * 128, 8 * 96 * 128]
    assert [arenas[0] - arena for arena in arenas] == sizes


def refused(program: Program) -> str:
    """What the simulator says, and the runtime in C in the same words."""
    program = paired(program)
    with pytest.raises(KnightliteError) as in_python:
        Machine(program).check()
    with pytest.raises(KnightliteError) as in_c:
        NativeMachine(program).check()
    assert in_c.value.sentence == in_python.value.sentence
    return in_python.value.sentence


def with_stores(program: Program, address: int) -> Program:
    """The program whose first store goes elsewhere."""
    code = disassemble(program.code)
    first = next(at for at, item in enumerate(code) if isinstance(item, Store))
    item = code[first]
    assert isinstance(item, Store)
    code[first] = replace(item, ddr_address=address)
    return replace(program, code=assemble(code))


@needs_compiler
def test_refused_programs() -> None:
    program = built(with_parts(), BOTH).program
    given, made = program.meta.regions
    assert "stores to DDR" in (said := refused(with_stores(program, given.address)))
    assert said.endswith("inside the inputs' own memory.")
    across = refused(with_stores(program, given.address - 4))
    assert "in more than one of the memories of network, inputs and outputs." in across
    assert "more than one of the memories" in refused(with_stores(program, made.address - 4))


def changed(program: Program, *regions: Region) -> Program:
    return paired(replace(program, meta=replace(program.meta, regions=regions)))


def unchecked(program: Program) -> tuple[bytes, bytes]:
    """Its files, whatever they say."""
    sections = {
        "meta": canonical_json(to_json(program.meta)),
        "plan": plan_bytes(program.meta, program.meta.pair),
        "code": program.code,
    }
    others = {
        "meta": canonical_json(to_json(WeightDescription(program.meta.name, program.meta.pair))),
        "data": program.data,
    }
    return write_sections(CFG_MAGIC, sections), write_sections(WEIGHT_MAGIC, others)


@needs_compiler
def test_refused_regions() -> None:
    program = built(with_parts(), BOTH).program
    given, made = program.meta.regions
    for regions, said in (
        ((made, given), "regions[1].of must be inputs, then outputs, each once"),
        ((given, given), "regions[1].of must be inputs, then outputs"),
        ((replace(given, address=0), made), "regions[0].address must be at least"),
        ((given, replace(made, size=made.size + 1)), "regions[1].size must be such that it ends"),
        ((given, replace(made, size=made.size - 4)), "lies in the outputs' own memory"),
        ((Region("inputs", given.address - 64, given.size + 64), made), "in one memory"),
        ((replace(given, size=made.end - given.address),), "outside the inputs' own memory"),
    ):
        wrong = changed(program, *regions)
        with pytest.raises(FormatError):
            encode_program(wrong)
        files = unchecked(wrong)
        with pytest.raises(FormatError, match="is damaged") as in_python:
            decode_program(*files, "x.cfg", "x.weight")
        assert said in in_python.value.sentence, in_python.value.sentence
        if len({region.of for region in regions}) == len(regions) and regions[0].of == "inputs":
            with pytest.raises(FormatError, match=r"damaged|inside the constants"):
                Network(*files)


@needs_compiler
def test_memory_of_the_caller() -> None:
    program = built(with_parts(), BOTH).program
    files = encode_program(program)
    network = Network(*files, CHECKED | CHIP_ONLY)
    sizes = [network.outside_bytes(side) for side in (0, 1)]
    assert sizes == [region.size for region in program.meta.regions]
    memory = np.zeros(sum(sizes) + 64, np.uint8)
    memory = memory[-memory.ctypes.data % 4 :]
    inside = Network(*encode_program(built(with_parts(), ()).program))
    assert inside.outside_bytes(0) == inside.outside_bytes(1) == 0

    def said(network: Network, side: int, memory: NDArray[np.uint8]) -> str:
        with pytest.raises(FormatError) as caught:
            network.set_outside(side, memory)
        return caught.value.sentence

    small = memory[: sizes[0] - 1]
    assert (
        said(network, 0, small) == f"the inputs need memory of {sizes[0]} bytes, not {len(small)}."
    )
    assert said(network, 1, memory[1:]) == (
        "the memory of the outputs must begin at a multiple of 4 bytes, not 1 behind one."
    )
    network.set_outside(0, memory[: sizes[0]])
    assert said(network, 1, memory[sizes[0] - 4 :]) == (
        "the memory of the inputs shares bytes with that of the outputs."
    )
    network.set_outside(1, memory[sizes[0] : sum(sizes)])
    network.start()
    assert said(network, 0, network.fspm[: sizes[0]]) == (
        "the memory of the inputs shares bytes with the arena."
    )
    assert said(inside, 1, memory) == (
        "the outputs of the network lie in its arena: it was compiled without --output-indep."
    )


@needs_compiler
def test_in_place() -> None:
    """A frame reads the inputs where they are, writes the outputs there, and keeps the inputs."""
    program = built(with_parts(), BOTH).program
    network = Network(*encode_program(program), CHIP_ONLY)
    memory = [np.zeros(network.outside_bytes(side), np.uint8) for side in (0, 1)]
    for side in (0, 1):
        network.set_outside(side, memory[side])
    network.start()
    inputs = random_inputs(with_parts(), np.random.default_rng(2))
    pixels = memory[0][: 20 * 24 * 4].reshape(20, 24, 4)
    pixels[..., :3] = inputs["x"][0].transpose(1, 2, 0).view(np.uint8)
    before = memory[0].copy()
    network.begin()
    network.advance(1 << 31)
    assert memory[0].tobytes() == before.tobytes()
    wanted = Machine(program).run(inputs)
    first = program.meta.regions[1].address
    for output in program.meta.outputs:
        _, channels, height, width = output.shape
        view = np.ndarray(
            (height, width, channels), output.dtype.numpy, memory[1], output.address - first,
            (output.row_stride, output.column_stride, output.dtype.size_bytes),
        )  # fmt: skip
        assert view.transpose(2, 0, 1).tobytes() == wanted[output.name].tobytes()


def test_chips(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Who has which; the sentence; digits, compiled so and checked against its golden model."""
    without = {
        family.family: tuple(name for name in family.without if name.endswith("-indep"))
        for family in families()
    }
    assert without["TX510"] == ("input-indep", "output-indep")
    assert without["TX5336x"] == without["TX5326x"] == ()
    assert without["TX5368"] == ("output-indep",)
    assert command(["compile", "--output-indep"]) == 2
    said = capsys.readouterr().err
    assert "TX5368AV200 has no --output-indep: its outputs lie in the network's memory." in said
    assert "TX5336AV200" in said
    words = ["--chip", CHIP, "compile", "--input-indep", "--output-indep", "--json"]
    assert command(words) == 0
    figures = json.loads(capsys.readouterr().out)
    assert [region["of"] for region in figures["regions"]] == list(BOTH)
    assert (
        command(["sim", "--input", "digits_quantize_known_input.bin", "-fc", "1", "--check"]) == 0
    )
