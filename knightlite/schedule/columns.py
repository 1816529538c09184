"""Layers of which not even a row fits FSPM, in parts of their columns side by side.

Tiles hold full rows. Where the smallest one is too wide, the layer is done several times, each on
some of the columns: ``x -> Slice -> layer -> .. -> Concat -> y``. Slices and the Concat are places,
not work. A window reads the columns that it needs, and only the outer parts have pads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise

from knightlite.allocate import JOINED
from knightlite.chip import Chip
from knightlite.ir import Attribute, Graph, Node, Tensor
from knightlite.lower import Range, span, work_of
from knightlite.ops import BY_NAME, View
from knightlite.ops.windows import window_rows
from knightlite.schedule.choose import candidates, smallest
from knightlite.schedule.tiling import geometry

# an element of y depends on those of its own column alone; of a product's second operand on all
POINTWISE = (
    "Affine", "PRelu", "Add", "Sub", "Mul", "Max", "Min", "Table", "Softmax", "Copy", "MatMul",
    "ArgMax", "ArgMin",
)  # fmt: skip
WINDOWED = ("Conv", "MaxPool", "AveragePool")


def cut_columns(graph: Graph, chip: Chip) -> tuple[Graph, list[tuple[str, str]]]:
    """The graph in which every layer fits that does so in parts; (node, what became of it)."""
    nodes: list[Node] = []
    tensors: list[Tensor] = []
    told: list[tuple[str, str]] = []
    for node in graph.nodes:
        executes = node.op not in BY_NAME or BY_NAME[node.op].executes  # a Chain has no definition
        if not executes or not _too_wide(graph, node, chip):
            nodes.append(node)
            continue
        parts = _least_parts(graph, node, chip)
        if parts is None:
            nodes.append(node)
            told.append((node.name, "not even a row fits FSPM, and it is not done by columns"))
            continue
        told.append((node.name, f"is done in {len(parts)} parts of its columns"))
        for part in parts:
            nodes += part.nodes
            tensors += part.tensors.values()
        made = tuple(part.nodes[-1].output for part in parts)
        nodes.append(Node(node.name, "Concat", made, node.outputs, {"axis": 3, JOINED: 1}))
    return (graph.with_tensors(tensors).with_nodes(nodes) if told else graph), told


def _too_wide(graph: Graph, node: Node, chip: Chip) -> bool:
    """Whether no tile fits, since a row takes more than FSPM."""
    shape = geometry(graph, work_of(graph, node), chip)
    wide = shape.fspm_bytes(smallest(shape)) > chip.fspm_bytes
    return wide and next(candidates(shape), None) is None  # sums of parts may take more than all


def _least_parts(graph: Graph, node: Node, chip: Chip) -> list[_Part] | None:
    """As few parts as fit, about equally wide; None where it cannot be cut so."""
    kinds = {part.op for part in node.parts or (node,)}
    if not kinds <= {*POINTWISE, *WINDOWED}:
        return None
    width = graph.tensors[node.output].shape[3]
    for count in _counts(width):
        bounds = [width * at // count for at in range(count + 1)]
        parts = [_Part(graph, node, item) for item in pairwise(bounds)]
        if all(part.fits(chip) for part in parts):
            return parts
    return None


def _counts(width: int) -> Iterator[int]:
    """How many parts are tried: few ones each, then each a quarter more."""
    count = 2
    while count < width:
        yield count
        count = max(count + 1, count * 5 // 4)
    if width > 1:
        yield width


@dataclass(slots=True)
class _Part:
    """A layer on the output columns ``columns``: Slices of what it reads, and the layer itself."""

    graph: Graph
    node: Node
    columns: Range
    nodes: list[Node] = field(default_factory=list)
    tensors: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        wanted, made = {self.node.output: self.columns}, list[Node]()
        inner = {part.output for part in self.node.parts}
        for part in reversed(self.node.parts or (self.node,)):
            view, columns = View(self.graph, part), wanted[part.output]
            inputs = []
            for index, name in enumerate(part.inputs):
                read = _read(view, index, columns)
                if read is not None and name in inner:
                    wanted[name] = read
                inputs.append(name if read is None else self._of(name, read, name in inner))
            attributes = _attributes(view, columns)
            output = self._of(part.output, columns, True)
            made.append(replace(
                part, name=output, inputs=tuple(inputs), outputs=(output,), attributes=attributes
            ))  # fmt: skip
        made.reverse()
        if not self.node.parts:
            self.nodes += made
            return
        hidden = {part.output for part in made[:-1]}
        outer = tuple(name for part in made for name in part.inputs if name not in hidden)
        self.nodes.append(replace(
            self.node, name=made[-1].name, inputs=outer, outputs=made[-1].outputs,
            parts=tuple(made),
        ))  # fmt: skip

    def _of(self, name: str, columns: Range, computed: bool) -> str:
        """The name of some columns of a tensor: itself where it is all of them, else a Slice.

        A chain may read one tensor twice, with and without what a window needs around it.
        """
        tensor = self.graph.tensors[name]
        channels, height, width = tensor.shape[1:]
        first, last = columns
        if not computed and columns == (0, width):
            return name
        cut = f"{self.node.output}/columns{self.columns[0]}/{name}"
        if not computed:
            cut += f"/{first}to{last}"
        if cut not in self.tensors:
            self.tensors[cut] = replace(
                tensor, name=cut, shape=(1, channels, height, span(columns))
            )
            if not computed:
                bounds: dict[str, Attribute] = {
                    "starts": (0, 0, first), "ends": (channels, height, last), "steps": (1, 1, 1)
                }  # fmt: skip
                self.nodes.append(Node(cut, "Slice", (name,), (cut,), bounds))
        return cut

    def fits(self, chip: Chip) -> bool:
        """Whether it has a tiling."""
        part = self.graph.with_tensors(list(self.tensors.values()))
        work = work_of(part, self.nodes[-1])
        return next(candidates(geometry(part, work, chip)), None) is not None


def _read(view: View, index: int, columns: Range) -> Range | None:
    """The columns of an input that output columns read; None where it is read whole."""
    name = view.node.inputs[index]
    if name in view.graph.constants or (view.node.op == "MatMul" and index == 1):
        return None
    width = view.tensor(index).shape[3]
    if view.node.op in POINTWISE:
        return None if width == 1 and view.output.shape[3] > 1 else columns
    kernel, stride, dilation, pad = _window(view)
    return window_rows(columns, width, kernel, stride, dilation, pad)


def _window(view: View) -> tuple[int, int, int, int]:
    """Kernel, stride, dilation and left pad of a window's columns."""
    stride, pad = view.integers("strides")[1], view.integers("pads")[1]
    if view.node.op == "Conv":
        return view.constant(1).shape[3], stride, view.integers("dilations")[1], pad
    return view.integers("kernel")[1], stride, 1, pad


def _attributes(view: View, columns: Range) -> Mapping[str, Attribute]:
    """The node's, with the pads that lie before and behind these columns."""
    if view.node.op in POINTWISE:
        return view.node.attributes
    kernel, stride, dilation, pad = _window(view)
    reach = (columns[1] - 1) * stride - pad + dilation * (kernel - 1) + 1
    before = max(0, pad - columns[0] * stride)
    behind = max(0, reach - view.tensor(0).shape[3])
    found = dict(view.node.attributes)
    top, _, bottom, _ = view.integers("pads")
    found["pads"] = (top, before, bottom, behind)
    if "counted_pads" in found:  # those next to the picture that count as elements of a mean
        top, left, bottom, right = view.integers("counted_pads")
        found["counted_pads"] = (top, min(left, before), bottom, min(right, behind))
    return found
