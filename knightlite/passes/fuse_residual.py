"""Add behind a convolution runs behind the matrix engine, in one configured chain."""

from __future__ import annotations

from dataclasses import dataclass

from knightlite.chip import Chip
from knightlite.ir import Graph, Node
from knightlite.ops import BY_NAME
from knightlite.passes.fuse_prologue import chained
from knightlite.passes.rewrite import Explanations


@dataclass(frozen=True, slots=True)
class FuseResidual:
    """A Conv (or Chain) and the Add that alone reads it become one Chain.

    Before: ``x -> Conv -> t``, ``t + r -> y``; after: ``x, r -> Chain(Conv, Add) -> y``. The
    convolution still rounds before the Add rounds (numerics 4), to 8 bits or to 16.
    """

    name: str = "fuse_residual"
    after: tuple[str, ...] = ("fuse_prologue",)

    def run(self, graph: Graph, chip: Chip, explanations: Explanations) -> tuple[Graph, int]:
        """Fuse every Add with the later of its operands that allows it."""
        consumers = graph.consumers()
        order = {node.name: index for index, node in enumerate(graph.nodes)}
        producers = graph.producers()
        fused: dict[str, Node] = {}  # Add name -> producer
        for node in graph.nodes:
            if (
                node.op != "Add"
            ):  # itself: behind the matrix engine two values are added (numerics 5)
                continue
            names = dict.fromkeys(node.inputs)
            candidates = [producers[name] for name in names if name in producers]
            candidates.sort(key=lambda item: order[item.name], reverse=True)
            for producer in candidates:
                reason = self.obstacle(graph, node, producer, consumers[producer.output])
                explanations.say(
                    node.name, self.name, reason or f"runs behind convolution {producer.name}"
                )
                if reason is None:
                    fused[node.name] = producer
                    break
        return chained(graph, fused), len(fused)

    def obstacle(
        self, graph: Graph, node: Node, producer: Node, readers: tuple[Node, ...]
    ) -> str | None:
        """Why ``producer`` cannot take the Add, or None."""
        last = producer.parts[-1] if producer.parts else producer
        tensor = graph.tensors[producer.output]
        if BY_NAME[last.op].kernel is None:
            return f"{producer.output} must come from a convolution, not {last.op}"
        if producer.output in graph.chip_outputs or len(readers) != 1:
            return f"{producer.output} must be read by this Add only"
        if node.inputs[0] == node.inputs[1]:
            return "both operands are the same tensor"
        (name,) = (name for name in node.inputs if name != producer.output)
        other = graph.tensors[name]
        if tensor.shape != graph.tensors[node.output].shape or other.shape[1] != tensor.shape[1]:
            return f"{producer.output} or {other.name} is broadcast over channels or the picture"
        if tensor.per_channel:
            return f"{producer.output} must have one scale"
        return None
