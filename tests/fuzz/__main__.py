"""``make fuzz``: whole commands, then mutated inputs to all readers, which lie in build/fuzz.

PYTHONPATH=tests python -m fuzz --inputs 1000000 --seconds 3600 --seed 1
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
import time
from pathlib import Path

from fuzz.commands import Tally, case_of, import_all, kind_of, run_case, warm
from fuzz.forked import Limits, run_forked
from fuzz.reached import Reached
from fuzz.readers import Fuzzer
from fuzz.seeds import make_chain
from fuzz.targets import make_place, targets

PART, PART_COMMANDS = 5000, 200  # inputs and commands between two lines of report
WARM = 500  # commands from which on it pays to run each once before
MEMORY = Path("/dev/shm")  # a file system that is one: inputs are written a thousand times faster


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--commands", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first command")
    parser.add_argument("--out", type=Path, default=Path("build/fuzz"))
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    place = MEMORY if MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="knightlite-fuzz-", dir=place) as name:
        bad = _commands(asked, Path(name)) if asked.commands else False
        return int(bool(_readers(asked, Path(name)) if asked.inputs else False) or bad)


def _commands(asked: argparse.Namespace, place: Path) -> bool:
    """Whole commands in forked children; whether anything was found."""
    import_all()
    chain = place / "commands"
    chain.mkdir()
    made = run_forked(lambda: make_chain(chain), chain, Limits())
    assert made.code == 0, made.said
    if asked.commands >= WARM:
        warm(chain, place)
    tally, started = Tally(), time.monotonic()
    for number in range(asked.first, asked.first + asked.commands):
        case = case_of(asked.seed, number, chain)
        ended, faults = run_case(case, chain, place)
        tally.add(number, case, ended, faults)
        for fault in faults:
            if len(tally.found[kind_of(case, fault)]) == 1:
                _say(f"found: {number}: {fault}\n    {case}\n    {ended.said[-600:]}")
        if (number + 1) % PART_COMMANDS == 0:
            _say(_told(tally, time.monotonic() - started))
    _say(_told(tally, time.monotonic() - started))
    for kind, numbers in sorted(tally.found.items()):
        _say(f"{len(numbers):6d} times: {kind}: {numbers[:8]}")
    return bool(tally.found)


def _told(tally: Tally, seconds: float) -> str:
    codes = ", ".join(f"{count} ended in {code}" for code, count in sorted(tally.codes.items()))
    return (
        f"{tally.codes.total()} commands in {seconds:.0f} s: {codes}; {len(tally.found)} kinds "
        f"found, slowest {tally.slowest[0]:.1f} s (number {tally.slowest[1]}), largest "
        f"{tally.largest[0] >> 20} MiB (number {tally.largest[1]})"
    )


def _readers(asked: argparse.Namespace, place: Path) -> bool:
    """Mutated inputs to all readers; whether anything was found."""
    chain = place / "chain"
    chain.mkdir()
    make_chain(chain)
    chosen, reached = targets(chain), Reached()
    make_place(place, chain, chosen)
    fuzzer, started, done = Fuzzer(chosen, place, asked.seed, reached), time.monotonic(), 0
    told: set[str] = set()
    while done < asked.inputs and (left := asked.seconds - (time.monotonic() - started)) > 0:
        fuzzer.run(min(PART, asked.inputs - done), left)
        done = sum(fuzzer.fed.values())
        seconds, slowest = fuzzer.found.slowest
        _say(
            f"{done} inputs in {time.monotonic() - started:.0f} s, {reached.count} lines reached, "
            f"{fuzzer.kept} inputs kept, slowest {seconds:.1f} s ({slowest})"
        )
        for kind in fuzzer.found.counts.keys() - told:
            _say(f"found: {kind}  {_save(asked.out, *fuzzer.found.inputs[kind])}")
        told |= fuzzer.found.counts.keys()
    for reader, count in fuzzer.fed.items():
        _say(f"{reader:14s} {count:8d} inputs, {count / fuzzer.seconds[reader]:6.0f} a second")
    for kind, times in sorted(fuzzer.found.counts.items()):
        _say(f"{times:6d} times: {kind}")
    return bool(told)


def _save(folder: Path, target: str, data: bytes) -> Path:
    path = folder / f"{target.replace(' ', '-')}-{hashlib.sha256(data).hexdigest()[:10]}"
    path.write_bytes(data)
    return path


if __name__ == "__main__":
    raise SystemExit(main())
