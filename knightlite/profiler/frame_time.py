"""What a frame takes, and how many there are in a second: on the chip alone, and with the host."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from knightlite.chip import Held
from knightlite.container import Program, program_chip
from knightlite.isa import SparseMatrix, disassemble
from knightlite.profiler.certainty import (
    Certainty,
    certainty,
    certainty_sentence,
    plain,
    rounded,
)


@dataclass(frozen=True, slots=True)
class WithHost:
    """A frame with what it takes on the host, one after the other.

    ``overlapped_frames_per_second``: at most, where the host works on another frame meanwhile.
    """

    latency_ms: float
    frames_per_second: float
    overlapped_frames_per_second: float

    @property
    def words(self) -> str:
        """As in "0.810 ms, 1200 frames/s; at most 2000 where it works beside the chip"."""
        return (
            f"{self.latency_ms:.3f} ms, {plain(self.frames_per_second)} frames/s; at most "
            f"{plain(self.overlapped_frames_per_second)} where it works beside the chip"
        )


@dataclass(frozen=True, slots=True)
class FrameTime:
    """``latency_ms`` of a frame on the chip; ``host_ms``: beside it, 0 where nobody said it.

    ``certainty``: how far off the former may be; None where nothing is known.
    """

    latency_ms: float
    host_ms: float
    certainty: Certainty | None

    @property
    def frames_per_second(self) -> float:
        """Of the chip alone, with the digits that the error bar allows."""
        return self._rate(self.latency_ms)

    @property
    def rate_text(self) -> str:
        """The same as text."""
        return plain(self.frames_per_second)

    @property
    def words(self) -> str:
        """As in "6.938 ms \u00b1 25 %, from 7 networks on one board"."""
        return f"{self.latency_ms:.3f} ms {self.bar}"

    @property
    def rounded_text(self) -> str:
        """The latency in ms, with the digits that the error bar allows."""
        return plain(rounded(self.latency_ms, _percent(self.certainty)))

    @property
    def bar(self) -> str:
        """What stands behind the latency, in words."""
        return certainty_sentence(self.certainty)

    @property
    def with_host(self) -> WithHost | None:
        """The same with the host's share; None where nobody said it."""
        if not self.host_ms:
            return None
        whole = self.latency_ms + self.host_ms
        longest = max(self.latency_ms, self.host_ms)
        return WithHost(whole, self._rate(whole), self._rate(longest))

    @property
    def lines(self) -> list[tuple[str, str]]:
        """Label and value."""
        found = [
            ("time of a frame", self.words),
            ("frames/s", f"{self.rate_text}, of the chip alone"),
        ]
        if self.with_host is not None:
            host = f"with the host's {plain(self.host_ms)} ms"
            found.append((host, self.with_host.words))
        return found

    @property
    def json(self) -> dict[str, Any]:
        """As ``profile --json`` and ``compile --json`` have it."""
        sure, whole = self.certainty, self.with_host
        return {
            "latency_ms": self.latency_ms,
            "frames_per_second": self.frames_per_second,
            "certainty": None if sure is None else asdict(sure),
            "host_ms": self.host_ms,
            "with_host": None if whole is None else asdict(whole),
        }

    def _rate(self, milliseconds: float) -> float:
        return frame_rate(1, milliseconds, self.certainty)


def frame_rate(frames: int, milliseconds: float, bar: Certainty | None) -> float:
    """Frames per second, rounded to what the bar allows."""
    exact = frames * 1e3 / milliseconds if milliseconds else 0.0
    return rounded(exact, _percent(bar))


def _percent(bar: Certainty | None) -> int | None:
    return None if bar is None else bar.percent


def host_ms(evidence: Held | None) -> float:
    """What a frame is said to take on the host; 0 where nobody said it."""
    return evidence.evidence.host_us / 1e3 if evidence is not None else 0.0


def frame_time(program: Program, cycles: int, evidence: Held | None) -> FrameTime:
    """Of a program that takes so many cycles on the chip that it was compiled for."""
    meta = program.meta
    skips_zeros = any(isinstance(item, SparseMatrix) for item in disassemble(program.code))
    operators = [layer.op for layer in meta.layers]
    bar = certainty(evidence, meta.chip, meta.schedule_level, operators, (), skips_zeros)
    clock_hz = program_chip(program).clock_hz
    return FrameTime(cycles * 1e3 / clock_hz, host_ms(evidence), bar)
