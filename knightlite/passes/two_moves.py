"""SwapChannels in two moves: by runs of a few channels first, then within them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from knightlite.chip import Chip
from knightlite.ir import Graph, Node
from knightlite.ops import View
from knightlite.ops.transpose import RUN
from knightlite.passes.rewrite import Explanations


@dataclass(frozen=True, slots=True)
class TwoMoves:
    """A transposition goes by runs of ``RUN`` channels, through room of its own in FSPM.

    A move takes a cycle for each run, or for each pair of bank words that meet: one element at a
    time is the slowest there is. So [pixel][channel] becomes [run][pixel][channel of it], and that
    [channel][pixel], whose words meet more often.
    """

    name: str = "two_moves"
    after: tuple[str, ...] = ("turn_keys",)

    def run(self, graph: Graph, chip: Chip, explanations: Explanations) -> tuple[Graph, int]:
        """Let every SwapChannels that gains by it go in two moves."""
        nodes: list[Node] = []
        count = 0
        for node in graph.nodes:
            if node.op == "SwapChannels":
                reason = self.obstacle(View(graph, node), chip)
                explanations.say(node.name, self.name, reason or f"goes by runs of {RUN} channels")
                if reason is None:
                    count += 1
                    node = replace(node, attributes={**node.attributes, "run": RUN})
            nodes.append(node)
        return graph.with_nodes(nodes), count

    def obstacle(self, view: View, chip: Chip) -> str | None:
        """Why a single move is better, or None."""
        x = view.tensor(0)
        _, channels, _, width = x.shape
        size, word = x.dtype.size_bytes, chip.fspm_bank_bytes_per_cycle
        if channels % RUN:
            return f"its {channels} channels are not runs of {RUN}"
        lanes = channels * width * size // chip.vector_lanes
        once = max(lanes, channels * width)
        meeting = -(-width * RUN * size // word) + -(-width * size // word) - 1
        first = channels // RUN * width * -(-RUN * size // word)
        twice = max(lanes, first) + max(lanes, channels * min(width, meeting))
        if twice + chip.vector_setup_cycles >= once:
            return f"two moves take {twice} cycles a row, one takes {once}"
        align = chip.fspm_align_bytes
        rows = (width * -(-channels * size // align), channels * -(-width * size // align))
        need = sum(rows) * align + channels * width * size
        if need > chip.fspm_bytes:
            return f"two moves need {need} bytes of FSPM for a row, the chip has {chip.fspm_bytes}"
        return None
