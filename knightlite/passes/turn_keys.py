"""What a MatMul multiplies by lies in DDR as WSPM is loaded: keys are turned by a SwapChannels."""

from __future__ import annotations

from dataclasses import dataclass, replace

from knightlite.chip import Chip
from knightlite.ir import Graph, Node, Tensor
from knightlite.ops.transpose import swapped
from knightlite.passes.rewrite import Explanations

SWAP = "SwapChannels"


@dataclass(frozen=True, slots=True)
class TurnKeys:
    """Every MatMul of keys reads them turned, with a row of weights in every pixel.

    Before: ``MatMul(x, w, "keys")``; after: ``SwapChannels(w) -> t; MatMul(x, t, "turned")``, one
    SwapChannels for all that read w so. Where w is itself a SwapChannels of t, t is there already.
    """

    name: str = "turn_keys"
    after: tuple[str, ...] = ()

    def run(self, graph: Graph, chip: Chip, explanations: Explanations) -> tuple[Graph, int]:
        """Turn the second operand of every MatMul of keys."""
        producers, made = graph.producers(), dict[str, str]()
        nodes: list[Node] = []
        tensors: list[Tensor] = []
        count = 0
        for node in graph.nodes:
            if node.op != "MatMul" or node.attributes["form"] != "keys":
                nodes.append(node)
                continue
            count += 1
            x, w = node.inputs
            before = producers.get(w)
            if before is not None and before.op == SWAP:
                made[w] = before.inputs[0]
                sentence = f"its weights are {made[w]}, as it is before {before.name} turns it"
            else:
                sentence = f"{w} is turned in front of it: WSPM takes a row per input channel"
            if w not in made:
                made[w] = _fresh(graph, f"{w}/turned")
                source = graph.tensors[w]
                tensors.append(
                    Tensor(made[w], swapped(source.shape, SWAP), source.dtype, source.scale)
                )
                nodes.append(Node(made[w], SWAP, (w,), (made[w],)))
            explanations.say(node.name, self.name, sentence)
            turned = {**node.attributes, "form": "turned"}
            nodes.append(replace(node, inputs=(x, made[w]), attributes=turned))
        return _without_unread(graph.with_tensors(tensors).with_nodes(nodes), made), count


def _fresh(graph: Graph, hint: str) -> str:
    """A name that no tensor has."""
    name, count = hint, 1
    while name in graph.tensors:
        name, count = f"{hint}_{count}", count + 1
    return name


def _without_unread(graph: Graph, turned: dict[str, str]) -> Graph:
    """Without the exchanges whose result nobody reads any more."""
    read = {name for node in graph.nodes for name in node.inputs} | set(graph.chip_outputs)
    gone = {name for name in turned if name not in read and graph.producers()[name].op == SWAP}
    return graph.with_nodes([node for node in graph.nodes if node.output not in gone])
