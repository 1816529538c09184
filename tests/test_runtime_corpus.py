"""What a fuzzer found of the runtime's loader and checked mode, run again under the sanitizers.

``tests/runtime_corpus.xz`` holds the inputs that reach something new, of the fuzz target
``runtime_fuzzer.c``. What runs, runs tile by tile with scalar kernels, then fast: the same bytes.
A new format makes them void; then ``make fuzz-runtime`` makes them anew.
"""

from __future__ import annotations

import lzma
import re
import struct
import subprocess
from pathlib import Path

from compilers import SANITIZED, compile_c, needs_compiler, runtime_objects
from made_once import MadeOnce
from runtime_seeds import seeds
from test_runtime_layers import CASES

pytestmark = needs_compiler

HERE = Path(__file__).parent


def test_corpus(made_once: MadeOnce, tmp_path: Path) -> None:
    program = tmp_path / "fuzzer"
    files = [
        path for path in runtime_objects(made_once, *SANITIZED)
        if path.stem != "knl_sha256"  # the target has its own
    ]  # fmt: skip
    compile_c(program, [*files, HERE / "runtime_fuzzer.c"], *SANITIZED, "-DALONE")
    inputs = lzma.decompress((HERE / "runtime_corpus.xz").read_bytes())
    sound = list(seeds())
    inputs += b"".join(struct.pack("<I", len(data)) + data for data in sound)
    done = subprocess.run([program], input=inputs, capture_output=True, timeout=300)
    told = done.stderr.decode()
    assert done.returncode == 0, told[:4000]
    numbers = map(int, re.findall(r"\d+", told))
    seen, opened, run, hosted = numbers
    assert seen > 200
    assert opened > seen // 3  # the checksums are right: what is behind them is reached
    assert run > len(sound)
    assert hosted > len(CASES)  # what the host computes between segments
