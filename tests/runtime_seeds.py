"""Inputs that the runtime's fuzz target starts from: small programs of all instructions.

``python tests/runtime_seeds.py FOLDER`` writes them; ``--keep FOLDER`` makes what a fuzzer found
there the corpus of ``test_runtime_corpus.py``.
"""

from __future__ import annotations

import lzma
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

from knightlite.container import (
    CFG_MAGIC,
    WEIGHT_MAGIC,
    Program,
    encode_program,
    read_sections,
    write_sections,
)
from program_faults import PROGRAMS
from test_runtime import random_program, sound


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
    for seed in range(12):
        yield case(random_program(seed)[0])


def write_seeds(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(seeds()):
        (folder / f"seed{number:02}").write_bytes(data)


def keep(folder: Path) -> None:
    """What a fuzzer found, as the test has it: each with its size before it."""
    found = sorted(path.read_bytes() for path in folder.iterdir())
    data = b"".join(struct.pack("<I", len(item)) + item for item in found)
    packed = lzma.compress(data, preset=9 | lzma.PRESET_EXTREME)
    (Path(__file__).parent / "runtime_corpus.xz").write_bytes(packed)


if __name__ == "__main__":
    if sys.argv[1] == "--keep":
        keep(Path(sys.argv[2]))
    else:
        write_seeds(Path(sys.argv[1]))
