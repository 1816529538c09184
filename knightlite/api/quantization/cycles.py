"""Predicted cycles of a quantized graph, for choices that the quantizer makes by their cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from knightlite.errors import UsageError

if TYPE_CHECKING:
    from knightlite.ir import Graph
    from knightlite.quantize.choices import MixBudget
    from knightlite.quantize.mixed import Clock
    from knightlite.schedule import Tilings


PRICED = 0  # the level of the schedule at which widths are weighed


def clock_of(chip_name: str) -> Clock:
    """A clock that compiles a graph for the chip and reads the time of its program.

    That is the time that ``profile`` predicts. Tilings are chosen once for layers that are alike,
    in whichever graph they are.
    """
    from knightlite import chip_files
    from knightlite.quantize.mixed import Clock

    family = chip_files.find(chip_name)
    tilings: Tilings = {}

    def cycles(graph: Graph) -> int:
        from knightlite.compiler import plan_graph  # not before a price is asked
        from knightlite.emit import program_code
        from knightlite.sim.clock import simulate_time

        plan = plan_graph(graph, family, chip_name, level=PRICED, tilings=tilings)
        return simulate_time(program_code(plan), family.chip).total_cycles

    return Clock(chip_name, family.chip.clock_hz, family.chip.bit_widths, cycles, PRICED)


def parse_budget(text: str) -> MixBudget:
    """Percent of extra cycles ("5", "2.5%") or their number ("20000cycles"); else UsageError."""
    from knightlite.quantize.choices import MixBudget

    number = text.strip().lower().replace("_", "")
    absolute = number.endswith("cycles")
    try:
        amount = float(number.removesuffix("cycles").removesuffix("%"))
    except ValueError:
        raise UsageError(
            f"the budget of a mix must be percent of extra cycles (5, 2.5%) or a number of them "
            f"(20000cycles), not {text!r}."
        ) from None
    return MixBudget(amount, absolute)
