"""Means over a picture that FSPM does not hold: sums of runs of columns first, in 16 bits.

A run of 2^k values of 8 bits, at most 128, adds up to what 16 bits hold, exactly; and the mean of
these sums, at 2^-k of the scale, is requantized by the very factor of the mean of all.
"""

from __future__ import annotations

from dataclasses import replace

from knightlite.chip import Chip
from knightlite.ir import Graph, Node, Tensor
from knightlite.isa import TYPES
from knightlite.lower import work_of
from knightlite.ops import View
from knightlite.schedule.choose import candidates
from knightlite.schedule.tiling import geometry

LONGEST = 128  # values of 8 bits whose sum 16 bits hold
NONE = (0, 0, 0, 0)
(WIDE,) = (kind for kind in TYPES if kind.bits == 16)


def cut_means(graph: Graph, chip: Chip) -> tuple[Graph, list[tuple[str, str]]]:
    """The graph in which such means fit that do so by runs; (node, what became of it)."""
    nodes: list[Node] = []
    tensors: list[Tensor] = []
    told: list[tuple[str, str]] = []
    for node in graph.nodes:
        run = _run(View(graph, node)) if node.op == "AveragePool" else 1
        if run == 1 or 16 not in chip.bit_widths or _fits(graph, node, chip):
            nodes.append(node)
            continue
        sums, rest, made = _by_runs(View(graph, node), run)
        if _fits(graph.with_tensors([made]), rest, chip):
            told.append((node.name, f"adds up runs of {run} columns first"))
            nodes += [sums, rest]
            tensors.append(made)
        else:
            nodes.append(node)
    return (graph.with_tensors(tensors).with_nodes(nodes) if told else graph), told


def _run(view: View) -> int:
    """The longest run that divides the columns of a mean over a whole picture; 1 where none may."""
    x = view.tensor(0)
    whole = view.integers("kernel") == x.shape[2:] and not any(view.integers("pads"))
    if not whole or x.dtype.bits != 8:
        return 1
    return min(x.shape[3] & -x.shape[3], LONGEST)


def _by_runs(view: View, run: int) -> tuple[Node, Node, Tensor]:
    """Sums of runs, the mean of these, and the tensor in between."""
    node, x = view.node, view.tensor(0)
    _, channels, height, width = x.shape
    assert x.scale is not None
    made = replace(
        x, name=f"{node.output}/sums", shape=(1, channels, height, width // run),
        dtype=WIDE, scale=x.scale / type(x.scale.flat[0])(run),
    )  # fmt: skip
    window = {"kernel": (1, run), "strides": (1, run), "pads": NONE, "counted_pads": NONE}
    sums = Node(made.name, "AveragePool", node.inputs, (made.name,), window)
    kernel = {"kernel": made.shape[2:], "strides": (1, 1)}
    rest = replace(node, inputs=(made.name,), attributes={**node.attributes, **kernel})
    return sums, rest, made


def _fits(graph: Graph, node: Node, chip: Chip) -> bool:
    """Whether it has a tiling."""
    shape = geometry(graph, work_of(graph, node), chip)
    return next(candidates(shape), None) is not None
