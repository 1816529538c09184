"""Constants that stay on the chip from frame to frame: ``--onceload-m`` and ``--onceload-w``."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

import knightlite
from assembled import TINY, load, small_matrix
from compilers import needs_compiler
from conformance_checks import ORIGIN, SHORT, Built, artificial, random_inputs, run
from integer_nets import IntegerNet
from knightlite.api import residents
from knightlite.api.residents import ScratchpadUse
from knightlite.chip_files import find
from knightlite.cli.program import run as command
from knightlite.compiler import compile_graph
from knightlite.container import Once, Program, decode_program, encode_program, paired
from knightlite.emit.resident import resident
from knightlite.errors import CapacityError, FormatError, KnightliteError, UnsupportedError
from knightlite.ir import Graph
from knightlite.isa import Load, Matrix, Space, assemble, disassemble, in_program
from knightlite.native import NativeMachine
from knightlite.native.library import CHECKED, CHIP_ONLY, Network
from knightlite.profiler import certificate, once_cycles, per_frame, profile
from knightlite.sim import Machine, simulate_time
from test_outside import refused, with_parts

CHIP = "TX5368AV200"
WEIGHTS, BOTH = {Space.WSPM: 1024}, {Space.WSPM: 512, Space.MSPM: 1024}


def built(graph: Graph, once: dict[Space, int], level: int = 0) -> Built:
    family = find(CHIP)
    compiled = compile_graph(graph, family, CHIP, ORIGIN, level=level, budget=SHORT, once=once)
    program = decode_program(*encode_program(compiled.program), "x.cfg", "x.weight")
    return Built(compiled, program, Machine(program, family), 0)


def chain() -> Graph:
    """What lies between is in FSPM only, at level 1."""
    net = IntegerNet("chain")
    return net.build(net.layer(net.layer(net.layer(net.picture(3, 24, 24), 16, 3), 16, 3), 8))


@pytest.mark.parametrize("level", [0, 1])
@pytest.mark.parametrize("once", [WEIGHTS, {Space.MSPM: 0}, BOTH])
@pytest.mark.parametrize("made", [with_parts, chain])
def test_same_bytes_without_the_loads(
    made: Callable[[], Graph], once: dict[Space, int], level: int
) -> None:
    """All machines make the same bytes; what is loaded once is in no frame, and said apart."""
    graph = made()
    plain, kept = built(graph, {}, level), built(graph, once, level)
    inputs = random_inputs(graph, np.random.default_rng(1))
    wanted, found = run(plain, inputs), run(kept, inputs)
    assert set(found) == set(wanted)
    assert all(found[name].tobytes() == wanted[name].tobytes() for name in wanted)
    meta = kept.program.meta
    assert meta.once is not None
    code = disassemble(kept.program.code)
    frame = [item for item in code[meta.once.instructions :] if isinstance(item, Load)]
    assert not [item for item in frame if item.space in once]
    before, after = profile(plain.program), profile(kept.program)
    assert before.once_cycles == 0 < after.once_cycles == once_cycles(kept.program)
    assert after.cycles < before.cycles
    assert after.read_bytes < before.read_bytes
    assert sum(layer.estimated_cycles for layer in meta.layers) == after.cycles
    assert (
        after.cycles == simulate_time(code[meta.once.instructions :], meta.chip_values).total_cycles
    )
    assert certificate(kept.program).bound is None
    assert per_frame(plain.program) is plain.program


def test_tiles_that_share_a_place() -> None:
    """Two tiles, one after the other where the first one was: by hand."""
    chip = replace(TINY, wspm_bytes=4096, wspm_align_bytes=64)
    code = [
        load(Space.WSPM, 0, 256, 128),
        small_matrix(weight_address=128),
        load(Space.WSPM, 256, 256, 128),
        small_matrix(weight_address=128),
        load(Space.WSPM, 0, 256, 512),
        small_matrix(weight_address=576),
    ]
    found = resident(code, 1024, {Space.WSPM: 64}, chip)
    assert [(item.ddr_address, item.local_address) for item in found.once] == [(0, 64), (256, 320)]
    frame = [item for item in found.frame if isinstance(item, Matrix)]
    assert [item.weight_address for item in frame] == [64, 320, 128]
    assert found.places == {1: 0, 3: 1, 5: 2}
    assert found.areas == {Space.WSPM: (64, 576)}


def test_where_they_stay() -> None:
    once = built(with_parts(), BOTH).program.meta.once
    assert once is not None
    assert (once.wspm_address, once.mspm_address) == (512, 1024)
    chip = find(CHIP).chip
    loads = disassemble(built(with_parts(), BOTH).program.code)[: once.instructions]
    weights = [item for item in loads if isinstance(item, Load) and item.space == Space.WSPM]
    assert not any(item.local_address % chip.wspm_align_bytes for item in weights)
    assert not any(item.wait or item.signal for item in loads)


@pytest.mark.parametrize(
    ("offset", "sentence", "hint"),
    [
        ({Space.WSPM: 294912 - 1024}, "the weights take 2176 bytes of WSPM, and from byte 293888 "
         "on the chip has 1024.", "a smaller --onceload-w, or leave it out: then they are loaded "
         "in every frame"),
        ({Space.WSPM: 100}, "--onceload-w must be a multiple of 512, as the chip has what lies in "
         "WSPM, not 100.", "take 512"),
        ({Space.MSPM: 1 << 20}, "the parameters and tables take 552 bytes of MSPM, and from byte "
         "1048576 on the chip has 0.", "a smaller --onceload-m, or leave it out: then they are "
         "loaded in every frame"),
    ],
)  # fmt: skip
def test_what_does_not_fit(offset: dict[Space, int], sentence: str, hint: str) -> None:
    with pytest.raises(CapacityError) as caught:
        built(with_parts(), offset)
    assert (caught.value.sentence, caught.value.hint) == (sentence, hint)


def test_the_last_byte_that_fits() -> None:
    chip = find(CHIP).chip
    for wspm_bytes, fits in ((1024 + 2176, True), (1024 + 2175, False)):
        family = artificial(replace(chip, wspm_bytes=wspm_bytes))
        try:
            compile_graph(with_parts(), family, "test", ORIGIN, once=WEIGHTS)
        except CapacityError:
            assert not fits
        else:
            assert fits


@pytest.mark.parametrize(
    ("first", "stays", "refused"),
    [(8, True, False), (7, True, True), (7, False, False), (0, True, True)],
)
def test_neighbours(
    first: int, stays: bool, refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Areas may touch, and meet where nothing stays."""
    uses = {
        "a": ScratchpadUse("a", "WSPM", 0, 8, stays),
        "b": ScratchpadUse("b", "WSPM", first, 9, False),
        "c": ScratchpadUse("c", "MSPM", 0, 9, True),
    }
    monkeypatch.setattr(residents, "_uses", lambda name: [uses[name]])
    for names in ("abc", "bca"):
        try:
            assert len(residents.side_by_side(cast("Any", names))) == 3
        except CapacityError:
            assert refused
        else:
            assert not refused


def test_weights_that_are_computed() -> None:
    net = IntegerNet("products")
    x = net.picture(8, 1, 16)
    graph = net.build(net.node("MatMul", (net.layer(x, 8), net.layer(x, 8)), "y", net.signed,
                               net.step, form="keys", groups=1))  # fmt: skip
    with pytest.raises(UnsupportedError, match="multiplies tensors by each other"):
        built(graph, WEIGHTS)


def with_code(program: Program, at: int, **changes: int) -> Program:
    code = disassemble(program.code)
    code[at] = replace(code[at], **changes)
    return replace(program, code=assemble(code))


@needs_compiler
def test_refused_programs() -> None:
    """In the same words by the simulator and the runtime in C."""
    program = built(with_parts(), WEIGHTS).program
    once = program.meta.once
    assert once is not None
    kept = "must leave what is kept as it is."
    for changes in ({"local_address": 0}, {"signal": 4}, {"ddr_address": 1 << 14}):
        assert kept in refused(with_code(program, 0, **changes)), changes
    both = built(with_parts(), BOTH).program
    assert both.meta.once is not None
    one_more = replace(both.meta.once, instructions=both.meta.once.instructions + 1)
    more = replace(both.meta, once=one_more)
    assert refused(replace(both, meta=more)).endswith(
        "must load constants into what is kept, as it runs once."
    )
    code = disassemble(program.code)
    again = in_program(code[0], code[0].layer, 0, 0)
    late = replace(program, code=assemble([*code, again]))
    assert kept in refused(late)
    all_of_them = replace(program.meta, once=replace(once, instructions=len(code)))
    assert kept in refused(replace(program, meta=all_of_them))
    few = replace(program.meta, once=replace(once, instructions=len(code) + 1))
    with pytest.raises(FormatError, match="must run once, and the program has") as in_python:
        Machine(paired(replace(program, meta=few))).check()
    with pytest.raises(FormatError) as in_c:
        NativeMachine(paired(replace(program, meta=few))).check()
    assert in_c.value.sentence == in_python.value.sentence


def test_refused_descriptions() -> None:
    program = built(with_parts(), WEIGHTS).program
    for once, said in (
        (Once(1, 0, 0, 0, 0), "once.wspm_bytes must be at least 1 where mspm_bytes is 0, not 0."),
        (Once(1, 512, 0, 0, 8), "once.wspm_address must be 0 where wspm_bytes is 0, not 512."),
        (Once(1, 294912 - 8, 9, 0, 0), "once.wspm_bytes must be at most 8 from 294904 on, not 9."),
    ):
        with pytest.raises(FormatError) as caught:
            encode_program(paired(replace(program, meta=replace(program.meta, once=once))))
        assert said in caught.value.sentence


@needs_compiler
def test_loaded_once_and_again() -> None:
    """A frame reads what is there: it is loaded when the network is, and when it is asked for."""
    graph = with_parts()
    program = built(graph, BOTH, level=1).program
    inputs = random_inputs(graph, np.random.default_rng(3))
    network = Network(*encode_program(program), CHECKED | CHIP_ONLY)  # with all scratchpads
    network.start()
    wanted = Machine(program).run(inputs)
    names = [entry.name for entry in program.meta.tensors_in_ddr]

    def outputs() -> list[bytes]:
        network.write(names.index("x"), inputs["x"])
        network.begin()
        network.advance(1 << 31)
        found = [np.empty_like(wanted[entry.name]) for entry in program.meta.outputs]
        for entry, values in zip(program.meta.outputs, found, strict=True):
            network.read(names.index(entry.name), values)
        return [values.tobytes() for values in found]

    sound = [wanted[entry.name].tobytes() for entry in program.meta.outputs]
    assert outputs() == outputs() == sound
    network.arena[:] = 0  # as another network would leave it
    assert outputs() != sound
    network.load_once()
    assert outputs() == sound


def test_commands(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """digits' weights stay beside others'; Knight's line; bytes compared; networks together."""
    words = ["compile", "--onceload-w", "1024", "--json"]
    assert command([*words, "--onceload-m", "0"]) == 1
    assert "take 19536 bytes of MSPM, and from byte 0 on the chip has 16384" in (
        capsys.readouterr().err
    )
    assert command(words) == 0
    said = capsys.readouterr()
    once = json.loads(said.out)["once"]
    assert f"WSPM once load end:{1024 + once['wspm_bytes']}\n" in said.err
    assert once["read_bytes"] > 0 < once["cycles"]
    run_it = ["sim", "--input", "digits_quantize_known_input.bin", "-fc", "1", "--check"]
    assert command(run_it) == 0
    cfg = here / "digits_quantize_r.cfg"
    with pytest.raises(KnightliteError) as caught:
        knightlite.side_by_side([cfg, cfg])
    end = 1024 + once["wspm_bytes"]
    assert caught.value.sentence == (
        f"network digits uses bytes 1024 to {end} of WSPM, and digits 1024 to {end}, of which some "
        "stay there."
    )
    uses = knightlite.side_by_side([cfg])
    assert [(use.memory, use.stays) for use in uses] == [("WSPM", True), ("MSPM", False)]
