"""A SwapChannels of which not even a row fits FSPM, in parts of its channels."""

from __future__ import annotations

from dataclasses import dataclass, replace

from knightlite.chip import Chip
from knightlite.ir import Graph, Node, Tensor
from knightlite.ops import View
from knightlite.ops.transpose import swapped
from knightlite.passes.rewrite import Explanations

ALIKE = 4  # channels of a part are a multiple of it
LEAST_OUTPUTS = 16  # pixels that a tile of a part may be cut to


@dataclass(frozen=True, slots=True)
class CutSwaps:
    """Parts of the channels are turned one by one; what they become are columns side by side.

    Before: ``x -> SwapChannels -> y``; after: ``x -> Slice -> SwapChannels -> .. -> Concat -> y``.
    Slices and the Concat are places, not work.
    """

    name: str = "cut_swaps"
    after: tuple[str, ...] = ("turn_keys",)

    def run(self, graph: Graph, chip: Chip, explanations: Explanations) -> tuple[Graph, int]:
        """Cut every SwapChannels of which a row does not fit."""
        nodes: list[Node] = []
        tensors: list[Tensor] = []
        count = 0
        for node in graph.nodes:
            view = View(graph, node)
            if node.op != "SwapChannels" or _fits(view, view.tensor(0).shape[1], chip):
                nodes.append(node)
                continue
            channels = view.tensor(0).shape[1]
            part = next(
                (size for size in range(channels - channels % ALIKE, 0, -ALIKE)
                 if _fits(view, size, chip)), 0,
            )  # fmt: skip
            if not part:
                explanations.say(node.name, self.name, "not even a few channels of a row fit FSPM")
                nodes.append(node)
                continue
            parts = -(-channels // part)
            explanations.say(node.name, self.name, f"is done in {parts} parts of its channels")
            made, more = _parts(view, part)
            nodes += made
            tensors += more
            count += 1
        return graph.with_tensors(tensors).with_nodes(nodes), count


def _fits(view: View, channels: int, chip: Chip) -> bool:
    """Whether a row of some channels fits, with what a few of its pixels become."""
    x, align = view.tensor(0), chip.fspm_align_bytes
    width, size = x.shape[3], x.dtype.size_bytes
    outputs = min(width, LEAST_OUTPUTS)
    pixel, turned = (-(-count * size // align) * align for count in (channels, outputs))
    return width * pixel + channels * turned <= chip.fspm_bytes


def _parts(view: View, part: int) -> tuple[list[Node], list[Tensor]]:
    """The nodes of parts of so many channels, and their tensors."""
    node, x, y = view.node, view.tensor(0), view.output
    _, channels, height, width = x.shape
    nodes: list[Node] = []
    tensors: list[Tensor] = []
    turned: list[str] = []
    for first in range(0, channels, part):
        last = min(first + part, channels)
        cut, made = f"{y.name}/from{first}", f"{y.name}/part{first}"
        bounds = {
            "starts": (first, 0, 0), "ends": (last, height, width), "steps": (1, 1, 1)
        }  # fmt: skip
        nodes.append(Node(cut, "Slice", (x.name,), (cut,), bounds))
        tensors.append(replace(x, name=cut, shape=(1, last - first, height, width)))
        nodes.append(Node(made, "SwapChannels", (cut,), (made,)))
        shape = swapped((1, last - first, height, width), "SwapChannels")
        tensors.append(replace(y, name=made, shape=shape))
        turned.append(made)
    nodes.append(Node(node.name, "Concat", tuple(turned), node.outputs, {"axis": 3}))
    return nodes, tensors
