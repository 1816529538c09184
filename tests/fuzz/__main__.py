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

from fuzz.readers import Found, fuzz, make_chain

PART = 5000  # inputs between two lines of report


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
    started, done, found = time.monotonic(), 0, Found()
    with tempfile.TemporaryDirectory(prefix="knightlite-fuzz-") as name:
        make_chain(Path(name))
        while done < asked.inputs:
            left = asked.seconds - (time.monotonic() - started)
            if left <= 0:
                break
            part = min(PART, asked.inputs - done)
            _, fed = fuzz(Path(name), asked.seed * 1_000_003 + done, part, left, found)
            done += sum(fed.values())
            took = time.monotonic() - started
            _say(
                f"{done} inputs in {took:.0f} s, {len(found.counts)} kinds found, slowest "
                f"{found.slowest_s:.1f} s"
            )
    for kind, times in sorted(found.counts.items()):
        target, data = found.inputs[kind]
        path = asked.out / f"{target}-{hashlib.sha256(data).hexdigest()[:10]}"
        path.write_bytes(data)
        _say(f"{times:6d}  {kind}  {path}")
    return 1 if found.counts else 0


if __name__ == "__main__":
    raise SystemExit(main())
