"""Mutated inputs fed to every reader of files, and what counts as found.

Anything but a sentence of ours (KnightliteError) is found, and so is what takes too long. The
process has little memory: what asks for more ends in a MemoryError, which is found too.
"""

from __future__ import annotations

import contextlib
import random
import resource
import signal
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from fuzz import mutators
from fuzz.reached import Reached
from fuzz.targets import Target
from knightlite.errors import KnightliteError

HANG_S = 10.0
WAITING = 12  # times as long may it wait
TICKS = 10  # looks in that time
MEMORY_BYTES = 2 << 30
LARGEST, MOST_KEPT = 1 << 16, 100  # bytes of an input that is kept, and how many of a reader
PATIENCE, SELDOM = 200, 8  # watched inputs without a new line, after which one of eight is watched
QUICK_S = 0.1  # what takes longer is not made more of


@dataclass
class Found:
    """What went wrong: the first input of every kind, and how often each came."""

    inputs: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    slowest: tuple[float, str] = (0.0, "")  # seconds of the processor, and whose

    def add(self, target: str, kind: str, data: bytes) -> None:
        """One more of a kind."""
        self.counts[kind] = self.counts.get(kind, 0) + 1
        self.inputs.setdefault(kind, (target, data))


class Hang(BaseException):
    """A reader that does not come back; no ``except Exception`` may swallow it."""


def feed(
    target: Target,
    data: bytes,
    folder: Path,
    found: Found,
    hang_s: float = HANG_S,
    reached: Reached | None = None,
) -> None:
    """Give a reader an input, and note what is no sentence."""
    path = folder / target.file
    path.write_bytes(data)
    started = time.process_time()
    try:
        with _at_most(hang_s, started), warnings.catch_warnings(), _watched(reached):
            warnings.simplefilter("error")
            target.read(path)
    except KnightliteError as error:
        if not error.sentence.strip() or "failed inside" in error.sentence:
            found.add(target.name, f"{target.name}: sentence {error.sentence[:80]!r}", data)
    except Hang:
        found.add(target.name, f"{target.name}: over {hang_s} s", data)
    except Exception as error:
        found.add(target.name, f"{target.name}: {_place(error)}", data)
    found.slowest = max(found.slowest, (time.process_time() - started, target.name))


def _watched(reached: Reached | None) -> contextlib.AbstractContextManager[None]:
    return contextlib.nullcontext() if reached is None else reached.watched()


def _place(error: BaseException) -> str:
    """The kind of an error and the innermost line of ours that it came from."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [item for item in frames if "/knightlite/" in item.filename]
    where = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "?"
    return f"{type(error).__name__} at {where}: {str(error)[:60]}"


@dataclass
class _Clock:
    """Stops the reader that runs, by a timer that goes on between readers: starting costs.

    So many seconds of the processor: others may be busy on it; many more of waiting.
    """

    seconds: float = 0.0
    began: tuple[float, float] | None = None  # processor and wall, of what runs

    def tick(self, number: int, frame: FrameType | None) -> None:
        """What the timer calls."""
        if self.began is None:
            return
        used, waited = time.process_time() - self.began[0], time.monotonic() - self.began[1]
        if used > self.seconds or waited > WAITING * self.seconds:
            raise Hang


_clock = _Clock()


@contextlib.contextmanager
def ticking(seconds: float) -> Iterator[None]:
    """Look often enough for what takes so many seconds."""
    before = signal.signal(signal.SIGALRM, _clock.tick)
    signal.setitimer(signal.ITIMER_REAL, seconds / TICKS, seconds / TICKS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def _at_most(seconds: float, started: float) -> Iterator[None]:
    _clock.seconds, _clock.began = seconds, (started, time.monotonic())
    try:
        yield
    finally:
        _clock.began = None


@contextlib.contextmanager
def little_memory() -> Iterator[None]:
    """At most MEMORY_BYTES of addresses more than the process has."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


class Corpus:
    """Inputs that a target's next ones are made of: its seed, and what reached new lines."""

    def __init__(self, target: Target) -> None:
        self.kept = [target.seed]
        self.idle = 0  # watched inputs since one reached a new line

    def next(self, target: Target, rng: random.Random) -> bytes:
        """The seed or what grew of it, mutated once or, seldom, twice."""
        data = self.kept[0] if rng.random() < 0.5 else rng.choice(self.kept)
        for _ in range(1 if rng.random() < 0.8 else 2):
            try:
                data = rng.choice(target.mutate)(data, rng)
            except Exception:  # a mutant is not of its format any more
                data = mutators.raw(data, rng)
        return data

    def keep(self, data: bytes, rng: random.Random) -> None:
        """Keep a small one; of many, one at random goes."""
        if len(data) > LARGEST:
            return
        if len(self.kept) > MOST_KEPT:
            del self.kept[rng.randrange(1, len(self.kept))]
        self.kept.append(data)


class Fuzzer:
    """Inputs in turn to readers, made of those that reached new lines where ``reached``.

    They are written into ``place``, which :func:`make_place` made.
    """

    def __init__(
        self, chosen: Sequence[Target], place: Path, seed: int, reached: Reached | None = None
    ) -> None:
        self.found = Found()
        self.fed = dict.fromkeys((item.name for item in chosen), 0)
        self.seconds = dict.fromkeys(self.fed, 0.0)
        self._place, self._reached = place, reached
        self._rng = random.Random(seed)
        self._corpora = {item.name: Corpus(item) for item in chosen}
        self._round = [item for item in chosen for _ in range(item.share)]

    @property
    def kept(self) -> int:
        """Inputs that reached new lines, of all readers."""
        return sum(len(item.kept) - 1 for item in self._corpora.values())

    def run(self, count: int, seconds: float = float("inf")) -> None:
        """``count`` inputs more, or as many as fit into the time."""
        ends = time.monotonic() + seconds
        with little_memory(), ticking(HANG_S):
            for number in range(sum(self.fed.values()), sum(self.fed.values()) + count):
                self._feed_one(self._round[number % len(self._round)])
                if time.monotonic() > ends:
                    break

    def _feed_one(self, target: Target) -> None:
        corpus = self._corpora[target.name]
        data, began = corpus.next(target, self._rng), time.process_time()
        turn = corpus.idle < PATIENCE or not self.fed[target.name] % SELDOM
        reached = self._reached if turn else None
        before = 0 if reached is None else reached.count
        feed(target, data, self._place, self.found, reached=reached)
        took = time.process_time() - began
        if reached is not None:
            corpus.idle = 0 if reached.count > before else corpus.idle + 1
            if not corpus.idle and took < QUICK_S:
                corpus.keep(data, self._rng)
        self.fed[target.name] += 1
        self.seconds[target.name] += took
