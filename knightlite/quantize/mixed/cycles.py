"""What widths cost in predicted cycles of a chip: a clock that the caller brings.

The quantizer knows no compiler. Who has one hands down a :class:`Clock`, which compiles a quantized
graph and reads the time of its program. Time depends on types and shapes, not on scales, so graphs
that are only priced get their ranges the quick way (:func:`draft`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from knightlite.errors import KnightliteError, UnsupportedError
from knightlite.ir import Graph
from knightlite.quantize.groups import features
from knightlite.quantize.report_entries import Entry
from knightlite.quantize.scales.assignment import Assignment, assign
from knightlite.quantize.scales.basis import Basis
from knightlite.quantize.settings import NARROW, NOTHING_BY_RULE


@dataclass(frozen=True, slots=True)
class Clock:
    """Predicted time on a chip. ``cycles`` of a quantized graph; it raises KnightliteErrors.

    ``bit_widths``: of the operands that the chip's matrix engine multiplies; ``level``: of the
    schedule.
    """

    chip: str
    clock_hz: int
    bit_widths: tuple[int, ...]
    cycles: Callable[[Graph], int]
    level: int = 0

    def milliseconds(self, cycles: int) -> float:
        """Latency of one frame, to four decimals."""
        return round(cycles * 1e3 / self.clock_hz, 4)


def draft(basis: Basis) -> Assignment:
    """An assignment with the types of the settings and the quickest ranges that serve."""
    plain = basis.switched(bias_correction="off", tuned_weights=False)
    try:
        return assign(plain.switched(method="min_max", tensor_methods=()))
    except UnsupportedError:  # of ranges that nobody asked for
        return assign(plain)


def cost_of_widths(
    exact: Basis, quantized: Graph, clock: Clock, plain: Graph | None = None
) -> Entry:
    """The report's ``cycles``: of the quantized network, and of the same one all at 8 bits.

    ``exact``: of the float graph before tables were spread. What is delivered has 16 bits in
    either. ``plain``: the quantized network without a mix, where there is one. Where the chip
    cannot run one of them, its figure is None, and ``reason`` says why.
    """
    reasons: list[str] = []
    wider: Entry = {"tensors": [], "operators": [], "requantized": 0}

    def priced(find: Callable[[], int]) -> int | None:
        try:
            return find()
        except KnightliteError as error:
            reasons.append(error.sentence)
            return None

    def all_8_bits() -> int:
        least = exact.switched(
            bit_width=8, mix=NARROW, widths=NARROW, auto_mix=None, mix_budget=None,
            **NOTHING_BY_RULE,
        )  # fmt: skip
        narrow = draft(least).graph
        wider.update(wider_than(quantized, narrow))
        if cycles is not None and _same_types(quantized, narrow):
            return cycles
        return clock.cycles(narrow)

    cycles = priced(lambda: clock.cycles(quantized))
    least = priced(all_8_bits)
    found: Entry = {
        "chip": clock.chip,
        "clock_hz": clock.clock_hz,
        "quantized": cycles,
        "all_8_bits": least,
        "extra_percent": percent(cycles, least),
        "wider": wider,
        "without_mix": None,
        "mix_extra_percent": None,
        "reason": reasons[0] if reasons else None,
    }
    if plain is not None and cycles is not None:
        before = priced(lambda: clock.cycles(plain))
        found |= {"without_mix": before, "mix_extra_percent": percent(cycles, before)}
    return found


def wider_than(quantized: Graph, narrow: Graph) -> Entry:
    """What has 16 bits that ``narrow`` has in 8, and how many nodes only requantize channels.

    ``tensors``: what nodes make; ``operators``: nodes whose weights are meant.
    """

    def widened(name: str) -> bool:
        wide = quantized.tensors[name].dtype.bits > 8
        return wide and name in narrow.tensors and narrow.tensors[name].dtype.bits <= 8

    weights = {
        node.name: [n for n in node.inputs if n in quantized.constants] for node in quantized.nodes
    }
    return {
        "tensors": [name for name in features(quantized) if widened(name)],
        "operators": [name for name, read in weights.items() if any(map(widened, read))],
        "requantized": max(0, len(quantized.nodes) - len(narrow.nodes)),
    }


def _same_types(one: Graph, other: Graph) -> bool:
    """True where two quantized graphs differ in values only: their programs take equally long."""

    def types(graph: Graph) -> dict[str, tuple[object, ...]]:
        return {
            name: (item.dtype, item.shape, item.per_channel) for name, item in graph.tensors.items()
        }

    return one.nodes == other.nodes and types(one) == types(other)


def percent(cycles: int | None, base: int | None) -> float | None:
    """By how much ``cycles`` is more than ``base``, to two decimals; None where one is."""
    return None if cycles is None or not base else round(100 * (cycles - base) / base, 2)
