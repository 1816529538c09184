"""Tensors inside one another: Concat and Slice cost no instruction, only another place.

A feature map lies pixel by pixel (NHWC), so a branch of 12 or 48 channels is a run of 12 or 48
bytes in every pixel: a Concat's inputs are written straight into their part of its output, and a
Slice's readers look into the tensor that is cut, rows and columns with larger strides. The price,
bursts that are not full, is counted by the transfer's ``ddr_bytes``.

Tensors that lie inside one another form a buffer, named after the tensor that spans it. First
every Slice lies in its source. Then, from the last Concat to the first, the buffers of a Concat's
inputs are merged into its own, where the bytes allow it: two layers may write the same bytes of a
buffer if what the one wrote is no longer read when the other writes (as in ShuffleNet v2: half a
shuffled tensor goes on to the next Concat, and the new branch overwrites the other half). Where
that is not possible, or the input is the network's, a Copy is inserted: an operand that is larger
than another keeps its place first, since its copy costs more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from knightlite.ir import Graph, Node, Tensor
from knightlite.ops import BY_NAME, View, Window

WHOLE = Window()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a tensor lies: which part of the buffer called ``buffer``."""

    buffer: str
    window: Window = WHOLE


def is_placed(node: Node) -> bool:
    """True for a node that costs no instruction; a Chain always executes."""
    return node.op in BY_NAME and BY_NAME[node.op].placed


def place_tensors(graph: Graph, copies_joined: bool = False) -> tuple[Graph, Mapping[str, Place]]:
    """The graph with Copies where needed, and the place of every feature tensor.

    ``copies_joined``: every input of a Concat is copied, by the vector engine.
    """
    draft = _draft(graph)
    attributes = {"computed": 1} if copies_joined else {}
    copies = {
        node.name: _place_operands(draft, position, node, copies_joined)
        for position, node in reversed(list(enumerate(graph.nodes)))
        if node.output in draft.waiting
    }
    nodes: list[Node] = []
    tensors: list[Tensor] = []
    for node in graph.nodes:
        inputs = list(node.inputs)
        for position, name in sorted(copies.get(node.name, {}).items()):
            source = inputs[position]
            nodes.append(Node(name, "Copy", (source,), (name,), attributes))
            tensors.append(replace(graph.tensors[source], name=name))
            inputs[position] = name
        nodes.append(replace(node, inputs=tuple(inputs)))
    return graph.with_nodes(nodes).with_tensors(tensors), draft.places


# ------------------------------------------------------------------ what is known


@dataclass(frozen=True, slots=True)
class _Joined:
    """An input of a Concat that has no place in its output yet."""

    tensor: str
    window: Window


@dataclass(slots=True)
class _Draft:
    """Places so far. Times are positions in the graph; an output is read at its end.

    ``written``: when the first byte of a tensor may be written; ``read``: when it is last read by
    a node (a Concat counts: it may copy); ``views``: the tensors that lie in it, or in which it
    lies, by a placed node; ``waiting``: Concat's output -> inputs by operand without a place.
    """

    graph: Graph
    places: dict[str, Place] = field(default_factory=dict)
    members: dict[str, list[str]] = field(default_factory=dict)  # buffer -> its tensors
    claimed: set[str] = field(default_factory=set)  # buffers that a Concat needs as they are
    written: dict[str, int] = field(default_factory=dict)
    read: dict[str, int] = field(default_factory=dict)
    views: dict[str, list[str]] = field(default_factory=dict)
    waiting: dict[str, dict[int, _Joined]] = field(default_factory=dict)
    executed: set[str] = field(default_factory=set)  # written by a layer, or the network's input

    def add(self, name: str, place: Place) -> None:
        """Give a new tensor its place."""
        self.places[name] = place
        self.members.setdefault(place.buffer, []).append(name)

    def sizes(self, name: str) -> tuple[int, int, int]:
        """Channels, rows and columns."""
        _, channels, height, width = self.graph.tensors[name].shape
        return channels, height, width


def _draft(graph: Graph) -> _Draft:
    """Every tensor a buffer of its own, but for Slices, which lie in their sources."""
    draft = _Draft(graph)
    for name in graph.inputs:
        draft.add(name, Place(name))
        draft.written[name] = -1
        draft.executed.add(name)
    for position, node in enumerate(graph.nodes):
        output, features = node.output, [name for name in node.inputs if name in draft.places]
        for name in features:
            draft.read[name] = position
        place, written = Place(output), position
        if is_placed(node):
            view, definition = View(graph, node), BY_NAME[node.op]
            written = min(draft.written[name] for name in features)
            for name in features:
                draft.views.setdefault(name, []).append(output)
            if definition.cuts is not None:
                source = draft.places[node.inputs[0]]
                place = Place(source.buffer, definition.cuts(view).within(source.window))
            elif definition.joins is not None:
                draft.waiting[output] = {
                    index: _Joined(*pair)
                    for index, pair in enumerate(
                        zip(node.inputs, definition.joins(view), strict=True)
                    )
                }
        else:
            draft.executed.add(output)
        draft.written[output] = written
        draft.add(output, place)
    for name in graph.chip_outputs:
        draft.read[name] = len(graph.nodes)
    return draft


# ------------------------------------------------------------------ one Concat


def _place_operands(
    draft: _Draft, position: int, node: Node, copies_joined: bool
) -> dict[int, str]:
    """Place the inputs of one Concat; returns the operands that need a copy."""
    output = node.output
    pending = draft.waiting[output]
    if not copies_joined and _share(draft, output):
        return {}
    by_size = (
        []
        if copies_joined
        else sorted(pending, key=lambda index: -draft.graph.tensors[node.inputs[index]].elements)
    )
    for index in by_size:
        part = pending.pop(index)
        if not _take_place(draft, output, part):
            pending[index] = part
    copies: dict[int, str] = {}
    for index, part in sorted(pending.items()):
        name = copies[index] = f"{part.tensor}/copy_for_{node.name}_{index}"
        place = draft.places[output]
        draft.graph = draft.graph.with_tensors(
            [replace(draft.graph.tensors[part.tensor], name=name)]
        )
        draft.add(name, Place(place.buffer, part.window.within(place.window)))
        draft.written[name] = draft.read[name] = position
        draft.views[name] = [output]
        draft.executed.add(name)
    draft.claimed.add(draft.places[output].buffer)
    pending.clear()
    return copies


def _share(draft: _Draft, output: str) -> bool:
    """Put the Concat where all its inputs already lie as it wants them; False where they do not."""
    pending = draft.waiting[output]
    parts = list(pending.values())
    first = draft.places[parts[0].tensor]
    whole = _shifted(first.window, parts[0].window)
    if first.buffer == draft.places[output].buffer or any(
        draft.places[part.tensor] != Place(first.buffer, part.window.within(whole))
        for part in parts
    ):
        return False
    if len(parts) == 1 and first.buffer not in draft.claimed:
        return False  # an input that lies alone can move as well
    kept = dict(pending)
    pending.clear()
    if _merge(draft, output, whole, first.buffer):
        return True
    pending.update(kept)
    return False


def _shifted(place: Window, part: Window) -> Window:
    """Where a whole lies of which ``part``, without steps of its own, lies at ``place``."""
    row, column = (part.column, part.row) if place.turned else (part.row, part.column)
    return replace(
        place,
        channel=place.channel - part.channel,
        row=place.row - row * place.row_step,
        column=place.column - column * place.column_step,
    )


def _take_place(draft: _Draft, output: str, part: _Joined) -> bool:
    """Let an input lie in its part of the Concat; False where it needs a copy."""
    whole, own = draft.places[output], draft.places[part.tensor]
    wanted = Place(whole.buffer, part.window.within(whole.window))
    if own.buffer == wanted.buffer:
        return own == wanted
    if own.buffer in draft.graph.inputs or own.buffer in draft.claimed:
        return False
    return _merge(draft, part.tensor, wanted.window, wanted.buffer)


# ------------------------------------------------------------------ two buffers


def _merge(draft: _Draft, tensor: str, wanted: Window, buffer: str) -> bool:
    """Merge the buffer of ``tensor`` into ``buffer`` so that it lies at ``wanted``, if it may.

    One of them must span the other, and nothing may be overwritten that is still read.
    """
    own = draft.places[tensor]
    if replace(own.window, channel=0, row=0, column=0) != replace(
        wanted, channel=0, row=0, column=0
    ):
        return False  # other steps
    shift = (
        wanted.channel - own.window.channel,
        wanted.row - own.window.row,
        wanted.column - own.window.column,
    )
    moving = {name: draft.places[name].window for name in draft.members[own.buffer]}
    staying = {name: draft.places[name].window for name in draft.members[buffer]}
    inner, outer = draft.sizes(own.buffer), draft.sizes(buffer)
    if all(
        begin >= 0 and begin + small <= large
        for begin, small, large in zip(shift, inner, outer, strict=True)
    ):
        span, moving = buffer, _moved(moving, shift)
    elif buffer not in draft.graph.inputs and all(
        begin <= 0 and large <= begin + small
        for begin, small, large in zip(shift, inner, outer, strict=True)
    ):
        span, staying = own.buffer, _moved(staying, (-shift[0], -shift[1], -shift[2]))
    else:
        return False
    together = {**staying, **moving}
    if _overwrites(draft, together):
        return False
    taken = {own.buffer, buffer} & draft.claimed
    draft.claimed -= {own.buffer, buffer}
    if taken:
        draft.claimed.add(span)
    for name in (own.buffer, buffer):
        del draft.members[name]
    draft.members[span] = list(together)
    draft.places.update({name: Place(span, window) for name, window in together.items()})
    return True


def _moved(windows: Mapping[str, Window], shift: tuple[int, int, int]) -> dict[str, Window]:
    return {
        name: replace(
            window,
            channel=window.channel + shift[0],
            row=window.row + shift[1],
            column=window.column + shift[2],
        )
        for name, window in windows.items()
    }


class _Box(NamedTuple):
    """The smallest box around a tensor: [first, last) of channels, rows and columns."""

    channels: tuple[int, int]
    rows: tuple[int, int]
    columns: tuple[int, int]

    def common(self, other: _Box) -> _Box | None:
        """What two boxes share."""
        ranges = [(max(a[0], b[0]), min(a[1], b[1])) for a, b in zip(self, other, strict=True)]
        return _Box(*ranges) if all(first < last for first, last in ranges) else None


class _Life(NamedTuple):
    """Bytes that are written at one time: where, when, and until when which part is read."""

    box: _Box
    written: int
    reads: list[tuple[_Box, int]]

    def over_before(self, other: _Life) -> bool:
        """True where what ``other`` overwrites is no longer read then."""
        lasts = [last for box, last in self.reads if box.common(other.box)]
        return max(lasts, default=self.written) < other.written


def _overwrites(draft: _Draft, windows: Mapping[str, Window]) -> bool:
    """True where some bytes of a buffer would be overwritten while they are still read."""
    lives = list(_lives(draft, windows))
    return any(
        one.box.common(other.box) and not (one.over_before(other) or other.over_before(one))
        for index, one in enumerate(lives)
        for other in lives[index + 1 :]
    )


def _lives(draft: _Draft, windows: Mapping[str, Window]) -> Iterator[_Life]:
    """What is written into a buffer: by layers, and by inputs of Concats still without a place."""
    boxes = {name: _box(draft.sizes(name), window) for name, window in windows.items()}
    for name, box in boxes.items():
        if name in draft.executed:
            yield _Life(box, draft.written[name], list(_reads(draft, name, box, boxes)))
        for part in draft.waiting.get(name, {}).values():
            window = part.window.within(windows[name])
            slot = _box(draft.sizes(part.tensor), window)
            reads = [(slot, draft.read[part.tensor]), *_reads(draft, name, slot, boxes)]
            yield _Life(slot, draft.written[part.tensor], reads)


def _reads(
    draft: _Draft, name: str, box: _Box, boxes: Mapping[str, _Box]
) -> Iterator[tuple[_Box, int]]:
    """Parts of ``box`` with the last time they are read, through all tensors that show them."""
    waiting = [(name, box)]
    seen = set(waiting)
    while waiting:
        name, box = waiting.pop()
        part = box.common(boxes[name]) if name in boxes else None
        if part is None:
            continue
        yield part, draft.read.get(name, draft.written[name])
        fresh = [(view, part) for view in draft.views.get(name, ()) if (view, part) not in seen]
        seen.update(fresh)
        waiting.extend(fresh)


def _box(sizes: tuple[int, int, int], window: Window) -> _Box:
    channels, height, width = sizes
    if window.turned:
        height, width = width, height
    return _Box(
        (window.channel, window.channel + channels),
        (window.row, window.row + (height - 1) * window.row_step + 1),
        (window.column, window.column + (width - 1) * window.column_step + 1),
    )
