"""An activation behind a convolution runs behind the matrix engine, in one configured chain."""

from __future__ import annotations

from dataclasses import dataclass

from knightlite.chip import Chip
from knightlite.ir import Graph, Node
from knightlite.ops import BY_NAME, View, wide_table
from knightlite.passes.fuse_prologue import chained
from knightlite.passes.rewrite import Explanations

ACTIVATIONS = ("Table", "PRelu")  # themselves: a table, an affine with two sides
LEAST_CHANNELS = 16  # of a tile, whose parameters must fit beside the activation's
SIDE_BYTES = 16  # of a channel of an affine with two sides: two records
SHARE = 3  # an activation takes at most one part in so many of MSPM


@dataclass(frozen=True, slots=True)
class FuseActivation:
    """A Conv (or Chain) and the Table or PRelu that alone reads it become one Chain.

    Before: ``x -> Conv -> t -> Table -> y``; after: ``x -> Chain(Conv, Table) -> y``. The
    convolution still rounds, to 8 bits or to 16, before that is looked up (numerics 4).
    """

    name: str = "fuse_activation"
    after: tuple[str, ...] = ("fuse_prologue", "fuse_residual")

    def run(self, graph: Graph, chip: Chip, explanations: Explanations) -> tuple[Graph, int]:
        """Fuse every activation whose :meth:`obstacle` is None."""
        consumers, producers = graph.consumers(), graph.producers()
        fused: dict[str, Node] = {}  # activation's name -> producer
        for node in graph.nodes:
            if node.op not in ACTIVATIONS:
                continue
            producer = producers.get(node.inputs[0])
            readers = consumers[node.inputs[0]]
            reason = self.obstacle(View(graph, node), chip, producer, readers)
            if reason is None and producer is not None:
                fused[node.name] = producer
            behind = producer.name if producer is not None else ""
            explanations.say(node.name, self.name, reason or f"runs behind convolution {behind}")
        return chained(graph, fused), len(fused)

    def obstacle(
        self, view: View, chip: Chip, producer: Node | None, readers: tuple[Node, ...]
    ) -> str | None:
        """Why ``producer``, which makes its input, cannot take the activation, or None."""
        x = view.tensor(0)
        last = producer.parts[-1] if producer is not None and producer.parts else producer
        if last is None or BY_NAME[last.op].kernel is None:
            made = last.op if last is not None else "an input of the network"
            return f"{x.name} must come from a convolution, not {made}"
        if x.name in view.graph.chip_outputs or len(readers) != 1:
            return f"{x.name} must be read by this {view.node.op} only"
        size = SIDE_BYTES * LEAST_CHANNELS
        if view.node.op == "Table":
            size = wide_table.table_bytes(view)
        if SHARE * size > chip.mspm_bytes:
            return f"its {size} bytes must be at most a third of MSPM's {chip.mspm_bytes}"
        return None
