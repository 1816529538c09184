"""``make fuzz``: mutated inputs to all readers in one process; what was found lies in build/fuzz.

PYTHONPATH=tests python -m fuzz --inputs 1000000 --seconds 3600 --seed 1
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
import time
from pathlib import Path

from fuzz.reached import Reached
from fuzz.readers import Fuzzer
from fuzz.seeds import make_chain
from fuzz.targets import make_place, targets

PART = 5000  # inputs between two lines of report
MEMORY = Path("/dev/shm")  # a file system that is one: inputs are written a thousand times faster


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("build/fuzz"))
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    place = MEMORY if MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="knightlite-fuzz-", dir=place) as name:
        return _readers(asked, Path(name))


def _readers(asked: argparse.Namespace, place: Path) -> int:
    chain = place / "chain"
    chain.mkdir()
    make_chain(chain)
    chosen, reached = targets(chain), Reached()
    make_place(place, chain, chosen)
    fuzzer, started, done = Fuzzer(chosen, place, asked.seed, reached), time.monotonic(), 0
    while done < asked.inputs and (left := asked.seconds - (time.monotonic() - started)) > 0:
        fuzzer.run(min(PART, asked.inputs - done), left)
        done = sum(fuzzer.fed.values())
        _say(
            f"{done} inputs in {time.monotonic() - started:.0f} s, {reached.count} lines reached, "
            f"{fuzzer.kept} inputs kept, {len(fuzzer.found.counts)} kinds found, slowest "
            f"{fuzzer.found.slowest_s:.1f} s"
        )
    for reader, count in fuzzer.fed.items():
        _say(f"{reader:14s} {count:8d} inputs, {count / fuzzer.seconds[reader]:6.0f} a second")
    for kind, times in sorted(fuzzer.found.counts.items()):
        target, data = fuzzer.found.inputs[kind]
        path = asked.out / f"{target.replace(' ', '-')}-{hashlib.sha256(data).hexdigest()[:10]}"
        path.write_bytes(data)
        _say(f"{times:6d}  {kind}  {path}")
    return 1 if fuzzer.found.counts else 0


if __name__ == "__main__":
    raise SystemExit(main())
