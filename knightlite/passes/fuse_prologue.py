"""Affine before a convolution runs in front of the matrix engine, in one configured chain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from knightlite.chip import Chip
from knightlite.ir import Graph, Node
from knightlite.ops import BY_NAME
from knightlite.passes.rewrite import Explanations


@dataclass(frozen=True, slots=True)
class FusePrologue:
    """Affine and the only Conv that reads it become one Chain.

    Before: ``x -> Affine(clamp) -> t -> Conv -> y``; after: ``x -> Chain(Affine, Conv) -> y``,
    and ``t`` is never written to memory.
    """

    name: str = "fuse_prologue"
    after: tuple[str, ...] = ()

    def run(self, graph: Graph, chip: Chip, explanations: Explanations) -> tuple[Graph, int]:
        """Fuse every Affine whose :meth:`obstacle` is None."""
        consumers = graph.consumers()
        fused: dict[str, Node] = {}  # Conv name -> Affine
        for node in graph.nodes:
            if node.op != "Affine":  # itself: in front of the matrix engine stands gain and offset
                continue
            readers = consumers.get(node.output, ())
            reason = self.obstacle(graph, node, readers)
            explanations.say(node.name, self.name, reason or f"runs in front of {readers[0].name}")
            if reason is None:
                fused[readers[0].name] = node
        return chained(graph, fused), len(fused)

    def obstacle(self, graph: Graph, node: Node, readers: tuple[Node, ...]) -> str | None:
        """Why the Affine cannot be a prologue, or None."""
        if node.output in graph.chip_outputs:
            return f"{node.output} is an output of the network"
        if len(readers) != 1 or BY_NAME[readers[0].op].kernel is None:
            kinds = ", ".join(f"{reader.op} {reader.name}" for reader in readers) or "nothing"
            return f"{node.output} must be read by exactly one convolution, not by {kinds}"
        return None


def chain(parts: tuple[Node, ...]) -> Node:
    """A Chain of ``parts``, named like its last part; inner tensors are hidden."""
    inner = {output for part in parts[:-1] for output in part.outputs}
    inputs = [name for part in parts for name in part.inputs if name not in inner]
    return Node(parts[-1].name, "Chain", tuple(inputs), parts[-1].outputs, {}, parts)


def chained(graph: Graph, fused: Mapping[str, Node]) -> Graph:
    """The graph with nodes in one Chain with what comes before them, which may be one already.

    ``fused``: by the name of a node the one that is taken into its chain, and is gone then.
    """
    gone = {node.name for node in fused.values()}
    nodes = [
        chain((*(fused[node.name].parts or (fused[node.name],)), node))
        if node.name in fused
        else node
        for node in graph.nodes
        if node.name not in gone
    ]
    return graph.with_nodes(nodes)
