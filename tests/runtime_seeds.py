"""Inputs that the runtime's fuzz target starts from: small programs of all instructions, every
operator's samples at every level, recurrent layers, blocks of zeros, what the host runs.

``python tests/runtime_seeds.py FOLDER`` writes them; ``--keep FOLDER`` makes what a fuzzer found
there the corpus of ``test_runtime_corpus.py``.
"""

from __future__ import annotations

import lzma
import struct
import sys
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import knightlite
from conformance_checks import ORIGIN, artificial, build, multiplies_wide
from knightlite import dtypes
from knightlite.compiler import compile_graph
from knightlite.container import (
    CFG_MAGIC,
    WEIGHT_MAGIC,
    Program,
    encode_program,
    read_sections,
    write_sections,
)
from knightlite.dtypes import S8
from knightlite.errors import CapacityError, UnsupportedError
from knightlite.frontend import load_quantized
from knightlite.ir import Graph, GraphBuilder, State
from knightlite.ops import ALL_OPS
from program_faults import CHIP_FILE, MORE_PROGRAMS, PROGRAMS, SMALL
from test_recurrent import recurrent
from test_runtime import random_program, sound
from test_runtime_layers import CASES, graph, middle
from test_sparse import layer, pruned

LEVELS = (0, 1, 2)
WITH_LINES = (98, 124, 143, 181)  # tables of 16 bits behind convolutions of 8: few draws have them
MOST_BYTES = 12_000  # of an input: larger ones cost more than they reach
ROOMY = artificial(
    replace(
        SMALL.chip, fspm_bytes=16384, wspm_bytes=8192, mspm_bytes=4096, matrix_input_lanes=8,
        matrix_output_lanes=16,
    )
)  # fmt: skip


def case(program: Program) -> bytes:
    """As the target reads it; JSON, which the runtime does not read, is left out."""
    cfg, weight = encode_program(program)
    sections = dict(read_sections(CFG_MAGIC, cfg, "seed"))
    others = dict(read_sections(WEIGHT_MAGIC, weight, "seed"))
    sections["meta"] = b""
    others["meta"] = others["meta"][-74:]
    cfg, weight = write_sections(CFG_MAGIC, sections), write_sections(WEIGHT_MAGIC, others)
    return struct.pack("<I", len(cfg)) + cfg + weight


def seeds() -> Iterator[bytes]:
    for name in PROGRAMS:
        yield case(sound(name))
    for seed in (*range(12), *WITH_LINES):
        yield case(random_program(seed)[0])
    yield from samples()
    yield from between()
    yield from unrolled()
    yield from outside()
    yield case(build(with_state(), ROOMY).program)
    for kept in (0.2, 0.7):
        sparse = pruned(layer(24), (8, 16), kept)
        yield case(build(sparse, ROOMY, sparse=True).program)


def with_state() -> Graph:
    """A frame and the sum of all so far, which begins at numbers of its own."""
    builder = GraphBuilder("sums")
    for name in ("x", "sum"):
        builder.input(name, (1, 3, 1, 1), S8, 0.5)
    for one, other, made in (("x", "sum", "next"), ("x", "next", "y")):
        builder.node("Add", (one, other), builder.tensor(made, (1, 3, 1, 1), S8, 0.5))
    state = State("sum", "next", (1.0, -2.0, 3.0))
    return replace(builder.build(("y", "next")), states=(state,))


def samples() -> Iterator[bytes]:
    """Every operator's first samples; general layers too."""
    for op in ALL_OPS:
        for number, sample in enumerate(op.samples()):
            level = LEVELS[number % len(LEVELS)]
            if multiplies_wide(sample) and 16 not in ROOMY.chip.bit_widths:
                continue
            try:
                data = case(build(sample, ROOMY, level).program)
            except (CapacityError, UnsupportedError):
                continue
            if len(data) <= MOST_BYTES:
                yield data


def between() -> Iterator[bytes]:
    """All that the host computes between segments: each operator by itself, and layers in a row."""
    for number, (operators, makes) in enumerate(CASES.values()):
        dtype = (dtypes.S8, dtypes.S16)[number % 2]
        program = build(graph(*operators, makes=makes, dtype=dtype), ROOMY, LEVELS[number % 3])
        yield case(program.program)
    yield case(middle())


def unrolled() -> Iterator[bytes]:
    """Recurrent layers, of 8 bits with states of 16, and of 16."""
    for kind, bits in (("LSTM", 8), ("GRU", 16)):
        net, (output, *_) = recurrent(kind, steps=2, inputs=3, hidden=2)
        with TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            path = net.save(Path(folder), output)
            made = knightlite.quantize(path, effort="low", iteration=2, bit_width=bits)
        graph = load_quantized(Path("recurrent_quantize.onnx"), made.onnx)
        yield case(build(graph, ROOMY, 1).program)


def outside() -> Iterator[bytes]:
    """Inputs and outputs in memories of their own; with layers of the host's and without."""
    for make in (PROGRAMS["heads"], MORE_PROGRAMS["middle"]):
        for apart in (("inputs", "outputs"), ("outputs",)):
            made = compile_graph(make(), SMALL, CHIP_FILE, ORIGIN, apart=apart)
            yield case(made.program)


def write_seeds(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(seeds()):
        (folder / f"seed{number:03}").write_bytes(data)


def keep(folder: Path) -> None:
    """What a fuzzer found beside the seeds, as the test has it: each with its size before it."""
    paths = (path for path in folder.iterdir() if not path.name.startswith("seed"))
    found = sorted(path.read_bytes() for path in paths)
    data = b"".join(struct.pack("<I", len(item)) + item for item in found)
    packed = lzma.compress(data, preset=9 | lzma.PRESET_EXTREME)
    (Path(__file__).parent / "runtime_corpus.xz").write_bytes(packed)


if __name__ == "__main__":
    if sys.argv[1] == "--keep":
        keep(Path(sys.argv[2]))
    else:
        write_seeds(Path(sys.argv[1]))
