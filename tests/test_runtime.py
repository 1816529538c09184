"""The runtime in C against the simulator in numpy: the same bytes, the same refusals.

Operators' samples and networks are compared wherever they are run: ``conformance_checks.run``.
"""

from __future__ import annotations

import random
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assembled import (
    RCCN,
    RDMA,
    TINY,
    WDMA,
    load,
    make,
    small_matrix,
    store,
    tensor,
    whole_memory_program,
)
from assembled import program as assembled
from compilers import compile_c, needs_compiler, runtime_files
from fuzz import mutators
from knightlite.container import Program, decode_program, paired
from knightlite.errors import FormatError, KnightliteError, MachineError
from knightlite.isa import (
    ALL_INSTRUCTIONS,
    Affine,
    Eltwise,
    Instruction,
    Lookup,
    Matrix,
    Resize,
    Space,
    SparseMatrix,
    disassemble,
    layout,
)
from knightlite.isa.instructions import ResizeMode
from knightlite.native import NativeMachine
from knightlite.native.build import SOURCES, find_compiler
from knightlite.native.headers import generated_files
from knightlite.native.library import CHECKED, CHIP_ONLY, KERNELS, Network, load_library
from knightlite.sim import Machine
from program_faults import CHIP_FILE, NOTES, PROGRAMS, RECIPE, SMALL, faults, unread_files
from random_instructions import Random

STRICT = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wvla", "-Werror", "-O2")
BARE = ("-ffreestanding", "-fno-builtin", "-nostdlib", "-shared", "-fPIC")
ALLOWED_CALLS = {
    "memcpy",
    "memmove",
    "memset",
    "memcmp",
}  # what a freestanding compiler may ask for
FAULTS = 120  # of each program
DAMAGED = 400  # files


# ------------------------------------------------------------------ what is declared once


@pytest.mark.parametrize("name", generated_files())
def test_generated_file_is_up_to_date(name: str, request: pytest.FixtureRequest) -> None:
    path, wanted = SOURCES / name, generated_files()[name]
    if request.config.getoption("--update-golden"):
        path.write_text(wanted, encoding="utf-8")
    assert path.read_text("utf-8") == wanted, "pytest --update-golden writes it anew"


def test_every_field_is_read_somewhere() -> None:
    """A field that is added to an instruction and that no engine in C knows is noticed."""
    written = "".join(
        path.read_text("utf-8") for path in runtime_files() if path.name not in generated_files()
    )
    fields = {item.name for record in ALL_INSTRUCTIONS for item in layout(record)}
    unread = [name for name in fields if not re.search(rf"\b(item|given)(->|\.){name}\b", written)]
    assert not [name for name in unread if not re.fullmatch("[xy]_stride[0-3]|count[0-3]", name)]


@needs_compiler
@pytest.mark.parametrize("compiler", ["gcc", "clang", "clang-14"])
def test_sources_are_strict_and_freestanding(compiler: str, tmp_path: Path) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    library = tmp_path / "knl.so"
    compile_c(library, runtime_files(), *STRICT, *BARE, compiler=compiler)
    listed = subprocess.run(
        ["nm", "-D", "--undefined-only", str(library)], capture_output=True, text=True, check=True
    )
    asked = {line.split()[-1].split("@")[0] for line in listed.stdout.splitlines()}
    assert asked - {"_GLOBAL_OFFSET_TABLE_"} <= ALLOWED_CALLS


@needs_compiler
def test_no_function_calls_itself(tmp_path: Path) -> None:
    """Nor by way of others: the stack's depth is known beforehand."""
    if shutil.which("gcc") is None:
        pytest.skip("only gcc writes who calls whom")
    calls: dict[str, set[str]] = {}
    for path in runtime_files():
        flags = ("-std=c99", "-O0", "-c", "-fcallgraph-info")
        compile_c(tmp_path / f"{path.stem}.o", [path], *flags, compiler="gcc")
        graph = (tmp_path / f"{path.stem}.ci").read_text("utf-8")
        for caller, called in re.findall(r'sourcename: "(.*?)" targetname: "(.*?)"', graph):
            calls.setdefault(caller, set()).add(called)
    assert sum(map(len, calls.values())) > 100
    while leaves := {name for name, called in calls.items() if not called & calls.keys()}:
        calls = {name: called for name, called in calls.items() if name not in leaves}
    assert not calls, f"in a circle: {sorted(calls)}"


# ------------------------------------------------------------------ the same bytes


def with_tensors(program: Program) -> Program:
    """A program by hand with its inputs and outputs among its tensors."""
    meta = program.meta
    return paired(replace(program, meta=replace(meta, tensors=(*meta.inputs, *meta.outputs))))


@cache
def random_program(seed: int) -> tuple[Program, np.ndarray[Any, Any]]:
    """Instructions of all kinds one after the other, and an FSPM for them to work on."""
    draw = Random(seed)
    kinds: list[Callable[[], Instruction]] = [
        draw.matrix, draw.matrix, draw.pool, draw.softmax, draw.resize, draw.pick,
        lambda: pointwise(draw),
    ]  # fmt: skip
    items = [kinds[draw.integer(0, len(kinds) - 1)]() for _ in range(6)]
    wspm = draw.rng.integers(0, 256, TINY.wspm_bytes, np.uint8).tobytes()
    fspm = draw.rng.integers(0, 256, (1, 1, 1, TINY.fspm_bytes)).astype(np.uint8)
    fspm.flags.writeable = False
    program = whole_memory_program(items, wspm, draw.records(TINY.mspm_bytes // 8))
    return with_tensors(program), fspm


@cache
def simulated(seed: int) -> tuple[bytes, int]:
    """What the simulator makes of a random program's FSPM, and how often it saturates."""
    program, fspm = random_program(seed)
    machine = Machine(program)
    return machine.run({"fspm": fspm})["after"].tobytes(), machine.saturations


def pointwise(draw: Random) -> Instruction:
    shape = (draw.integer(1, 5), draw.integer(1, 5), draw.integer(1, 6))
    x_type, y_type = draw.integer(0, 2), draw.integer(0, 2)
    fields = {
        **draw.tile("x", 0, shape, x_type), **draw.shape("x", shape),
        **draw.tile("y", 1200, shape, y_type), **draw.shape("y", shape), **draw.clamp("y", y_type),
    }  # fmt: skip
    kind = draw.integer(0, 2)
    if kind == 0:
        return make(Affine, **fields, parameter_address=64, two_sided=draw.integer(0, 1))
    if kind == 1:
        lines = {"intervals": 8, "fraction": draw.integer(0, 15)} if x_type == 2 else {}
        return make(Lookup, **fields, **lines, table_address=8 * draw.integer(0, 20))
    z = draw.tile("z", 2300, shape, draw.integer(0, 2))
    return make(
        Eltwise, **fields, **z, mode=draw.integer(0, 3), z_broadcast=draw.integer(0, 1),
        multiplier=draw.integer(-(2**23), 2**23 - 1), shift=draw.integer(0, 63),
        z_multiplier=draw.integer(-(2**23), 2**23 - 1),
    )  # fmt: skip


@needs_compiler
@pytest.mark.parametrize("kernels", KERNELS)
def test_random_instructions(kernels: str) -> None:
    """Extreme parameters, saturation, gaps, every type: the whole FSPM and the count are equal."""
    if KERNELS.index(kernels) > load_library().knl_best_kernels():
        pytest.skip(f"this processor, or this build, has no {kernels}")
    saturated = 0
    for seed in range(200):
        program, fspm = random_program(seed)
        native = NativeMachine(program, kernels=kernels)
        found = native.run({"fspm": fspm})["after"]
        assert (found.tobytes(), native.saturations) == simulated(seed), f"seed {seed}"
        saturated += native.saturations
    assert saturated > 0


@cache
def adds_up(seed: int) -> bool:
    """Whether a random program reads partial sums."""
    code = disassemble(random_program(seed)[0].code)
    return any(isinstance(item, Matrix) and item.accumulate_in for item in code)


@needs_compiler
@pytest.mark.parametrize("number", [(1 << 63) - 1, -(1 << 63)])
def test_partial_sums_that_nobody_adds_up(number: int) -> None:
    """Any bytes may be read as partial sums: of 64 bits at their ends they saturate as in numpy."""
    read = 0
    for seed in filter(adds_up, range(300)):
        program, fspm = random_program(seed)
        fspm = np.resize(np.array([number], np.int64).view(np.uint8), fspm.shape)
        wanted = Machine(program).run({"fspm": fspm})["after"]
        found = NativeMachine(program).run({"fspm": fspm})["after"]
        assert found.tobytes() == wanted.tobytes(), f"seed {seed}"
        read += 1
    assert read > 20


# ------------------------------------------------------------------ the same refusals


def sound(name: str) -> Program:
    from knightlite.compiler import compile_graph
    from knightlite.container import Origin

    origin = Origin(version="0", model_sha256="0" * 64, recipe=RECIPE, quantization=NOTES)
    return compile_graph(PROGRAMS[name](), SMALL, CHIP_FILE, origin).program


def opinion(program: Program, inputs: dict[str, Any]) -> tuple[str, Any]:
    """The simulator's: a sentence, or what it delivers."""
    try:
        machine = Machine(program)
        return "", {name: values.tobytes() for name, values in machine.run(inputs).items()}
    except (FormatError, MachineError) as error:
        return error.sentence, None


def changed_programs(name: str) -> Iterator[tuple[str, Program, bytes, bytes]]:
    """Changed ones that the reader of files accepts: what is wrong is in the program."""
    for _, fault in zip(range(FAULTS), faults(sound(name), seed=19), strict=False):
        try:
            cfg, weight = unread_files(fault.program)
            program = decode_program(cfg, weight, "p.cfg", "p.weight")
        except KnightliteError:
            continue
        yield fault.what, program, cfg, weight


@needs_compiler
@pytest.mark.parametrize("name", PROGRAMS)
def test_changed_programs_are_refused_alike(name: str) -> None:
    """The same sentence, but for why a token never comes; or the same bytes."""
    rng = np.random.default_rng(3)
    refused = 0
    for what, program, cfg, weight in changed_programs(name):
        inputs = {
            entry.name: rng.integers(
                entry.dtype.minimum, entry.dtype.maximum + 1, entry.shape
            ).astype(entry.dtype.numpy)
            for entry in program.meta.inputs
        }
        sentence, wanted = opinion(program, inputs)
        try:
            native = NativeMachine(program)
            Network(cfg, weight).start()
            found = {key: values.tobytes() for key, values in native.run(inputs).items()}
            told = ""
        except (FormatError, MachineError) as error:
            told, found = error.sentence, None
        assert _alike(told) == _alike(sentence), what
        assert found == wanted, what
        refused += bool(sentence)
    assert refused > FAULTS // 10


def _alike(sentence: str) -> str:
    return re.sub("(waits for a token of [A-Z]+) .*", r"\1", sentence)


WIDE = {"y_height": 90, "stride_height": 23, "y_width": 1, "kernel_width": 130}
LINEAR = {"mode": ResizeMode.LINEAR, "unit_height": 4096, "y_address": 64}
SPARSE = {
    "x_row_stride": 32, "x_column_stride": 8, "x_width": 4, "x_channels": 8, "y_address": 1024,
    "y_row_stride": 16, "y_column_stride": 4, "y_width": 4, "y_channels": 4, "block_inputs": 4,
    "block_outputs": 4,
}  # fmt: skip
LINES = {"x_type": 2, "y_type": 2, "y_address": 64}
EDGES: dict[str, tuple[Instruction, Instruction, str]] = {
    "units": (
        make(Resize, **LINEAR, unit_width=2048), make(Resize, **LINEAR, unit_width=2049),
        "must have units whose product is at most 8388608, not 8392704.",
    ),
    "covered": (  # 2048 rows, 16384 columns, 8 channels: 2^28
        small_matrix(**WIDE, dilation_width=127), small_matrix(**WIDE, dilation_width=128),
        "covers 2048 x 16513 x 8 inputs, beyond any memory.",
    ),
    "blocks": (
        make(SparseMatrix, **SPARSE, blocks=2, stored_bytes=16 + 2 * 64),
        make(SparseMatrix, **SPARSE, blocks=3, stored_bytes=16 + 2 * 64),
        "must have at most 2 blocks, not 3.",
    ),
    "stored": (
        make(SparseMatrix, **SPARSE, blocks=1, stored_bytes=16 + 64),
        make(SparseMatrix, **SPARSE, blocks=1, stored_bytes=16),
        "must have more bytes of weights than its mask, 16, not 16.",
    ),
    "shortest": (
        make(Lookup, **LINES, intervals=8), make(Lookup, **LINES, intervals=7),
        "must have 2^8 to 2^12 intervals for a 16-bit input type, not 2^7.",
    ),
    "longest": (
        make(Lookup, **LINES, intervals=12), make(Lookup, **LINES, intervals=13),
        "must have 2^8 to 2^12 intervals for a 16-bit input type, not 2^13.",
    ),
}  # fmt: skip
"""What is just allowed, what is not, and why."""


def both_say(made: Program, inputs: dict[str, Any]) -> str:
    """What is wrong with a program, in the same words by the simulator and the runtime."""
    wanted, _ = opinion(made, inputs)
    try:
        Network(*unread_files(made), CHECKED | CHIP_ONLY).start()
        told = ""
    except (FormatError, MachineError) as error:
        told = error.sentence
    assert told == wanted
    return told


@needs_compiler
@pytest.mark.parametrize("name", EDGES)
def test_limits_are_the_same(name: str) -> None:
    *items, sentence = EDGES[name]
    mask = {"blocks": b"\3", "stored": b"\1"}.get(name, b"")
    fspm = {"fspm": np.zeros((1, 1, 1, TINY.fspm_bytes), np.uint8)}
    told = [both_say(with_tensors(whole_memory_program([one], mask, b"")), fspm) for one in items]
    assert [one.endswith(sentence) for one in told] == [False, True]


@needs_compiler
@pytest.mark.parametrize("count", [255, 256])
def test_tokens_are_counted_alike(count: int) -> None:
    """So many are sent before the first is taken."""
    first = [load(Space.WSPM, 0, 32), load(Space.MSPM, 32, 32), load(Space.FSPM, 64, 32)]
    sends = [load(Space.FSPM, 64, 16, 2048, signal=RCCN) for _ in range(count)]
    takes = [small_matrix(wait=RDMA) for _ in range(count - 1)]
    last = [small_matrix(wait=RDMA, signal=WDMA), store(1024, 128, 16, wait=RCCN)]
    x, y = tensor("x", "u8", (8, 1, 4), 64), tensor("y", "s8", (4, 1, 4), 128)
    made = with_tensors(assembled([*first, *sends, *takes, *last], bytes(64), [x], [y]))
    told = both_say(made, {"x": np.zeros(x.shape, np.uint8)})
    assert told == "" or count > 255
    assert ("may bring the token counter from RDMA to RCCN to 256, beyond 255." in told) == (
        count > 255
    )


# ------------------------------------------------------------------ damaged files


def damaged_files(count: int) -> Iterator[tuple[bytes, bytes]]:
    """Both files with something wrong in one of them, its checksums repaired or not."""
    rng = random.Random(19)
    cfg, weight = unread_files(sound("classifier"))
    for number in range(count):
        mutate = rng.choice((mutators.raw, mutators.compiled, mutators.compiled))
        one, other = (mutate(cfg, rng), weight) if number % 4 else (cfg, mutate(weight, rng))
        yield one, other


def refusal(cfg: bytes, weight: bytes) -> str:
    """The runtime's sentence, or none."""
    try:
        Network(cfg, weight, CHECKED | CHIP_ONLY).start()
    except (FormatError, MachineError) as error:
        return error.sentence
    return ""


@needs_compiler
def test_damaged_files_are_refused() -> None:
    """Whatever the simulator's reader refuses, but for JSON, which the runtime does not read."""
    refused = 0
    for cfg, weight in damaged_files(DAMAGED):
        try:
            decode_program(cfg, weight, "p.cfg", "p.weight")
            continue
        except KnightliteError as error:
            told = error.sentence
        found = refusal(cfg, weight)
        refused += bool(found)
        assert found.endswith(".") or (not found and re.search("must|has no key|JSON", told)), told
    assert refused > DAMAGED // 2


def test_without_a_compiler_one_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from knightlite.errors import UsageError
    from knightlite.native.build import require_compiler

    monkeypatch.setenv("CC", "no-such-compiler")
    assert find_compiler() is None
    with pytest.raises(UsageError, match="there is no C compiler") as caught:
        require_compiler()
    assert "apt-get install gcc" in str(caught.value.hint)
