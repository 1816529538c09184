"""What is known of tensors while they get their places, and of the bytes of each buffer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from knightlite.ir import Graph, Node
from knightlite.ops import BY_NAME, View, Window

WHOLE = Window()

Shift = tuple[int, int, int]  # channels, rows, columns
# a tensor, and of an input of it that has no place yet the operand; -1: its own bytes
LifeKey = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a tensor lies: which part of the buffer called ``buffer``."""

    buffer: str
    window: Window = WHOLE


def is_placed(node: Node) -> bool:
    """True for a node that costs no instruction; a Chain always executes."""
    return node.op in BY_NAME and BY_NAME[node.op].placed


def is_hosted(node: Node) -> bool:
    """True for a node that the host computes, between two segments of the chip."""
    return node.op in BY_NAME and BY_NAME[node.op].hosted


class Box(NamedTuple):
    """The smallest box around a tensor: [first, last) of channels, rows and columns."""

    channels: tuple[int, int]
    rows: tuple[int, int]
    columns: tuple[int, int]

    def common(self, other: Box) -> Box | None:
        """What two boxes share."""
        ranges = [(max(a[0], b[0]), min(a[1], b[1])) for a, b in zip(self, other, strict=True)]
        return Box(*ranges) if all(first < last for first, last in ranges) else None

    def moved(self, shift: Shift) -> Box:
        """So much further on."""
        return Box(*((a + step, b + step) for (a, b), step in zip(self, shift, strict=True)))


class Life(NamedTuple):
    """Bytes that are written at one time: where, when, and until when which part is read."""

    box: Box
    written: int
    reads: Mapping[Box, int]

    def moved(self, shift: Shift) -> Life:
        """So much further on."""
        reads = {box.moved(shift): last for box, last in self.reads.items()}
        return Life(self.box.moved(shift), self.written, reads)

    def clashes(self, other: Life) -> bool:
        """True where bytes would be overwritten while they are still read."""
        if self.box.common(other.box) is None:
            return False
        return not (self.over_before(other) or other.over_before(self))

    def over_before(self, other: Life) -> bool:
        """True where what ``other`` overwrites is no longer read then."""
        lasts = [last for box, last in self.reads.items() if box.common(other.box)]
        return max(lasts, default=self.written) < other.written


@dataclass(frozen=True, slots=True)
class Joined:
    """An input of a Concat that has no place in its output yet."""

    tensor: str
    window: Window


@dataclass(slots=True)
class Draft:
    """Places so far. Times are positions in the graph; an output is read at its end.

    ``written``: when the first byte of a tensor may be written; ``read``: when it is last read by
    a node (a Concat counts: it may copy); ``views``: the tensors that lie in it, or in which it
    lies, by a placed node; ``waiting``: Concat's output -> inputs by operand without a place.
    ``lives``: of the buffers that were looked at, and found without contradiction. ``given``: what
    the host writes, which lies for itself: the network's inputs, and what it computes in between;
    outputs as well where they lie outside the network's memory.
    """

    graph: Graph
    places: dict[str, Place] = field(default_factory=dict)
    members: dict[str, list[str]] = field(default_factory=dict)  # buffer -> its tensors
    claimed: set[str] = field(default_factory=set)  # buffers that a Concat needs as they are
    written: dict[str, int] = field(default_factory=dict)
    read: dict[str, int] = field(default_factory=dict)
    views: dict[str, list[str]] = field(default_factory=dict)
    waiting: dict[str, dict[int, Joined]] = field(default_factory=dict)
    executed: set[str] = field(default_factory=set)  # written by a layer, or the network's input
    lives: dict[str, dict[LifeKey, Life]] = field(default_factory=dict)
    given: set[str] = field(default_factory=set)

    def add(self, name: str, place: Place) -> None:
        """Give a new tensor its place."""
        self.places[name] = place
        self.members.setdefault(place.buffer, []).append(name)

    def sizes(self, name: str) -> tuple[int, int, int]:
        """Channels, rows and columns."""
        _, channels, height, width = self.graph.tensors[name].shape
        return channels, height, width


def draft_of(graph: Graph) -> Draft:
    """Every tensor a buffer of its own, but for Slices, which lie in their sources."""
    draft = Draft(graph)
    for name in graph.inputs:
        draft.add(name, Place(name))
        draft.written[name] = -1
        draft.executed.add(name)
        draft.given.add(name)
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
                    index: Joined(*pair)
                    for index, pair in enumerate(
                        zip(node.inputs, definition.joins(view), strict=True)
                    )
                }
        else:
            draft.executed.add(output)
            if is_hosted(node):
                draft.given.add(output)
        draft.written[output] = written
        draft.add(output, place)
    for name in (*graph.chip_outputs, *(state.input for state in graph.states)):
        draft.read[name] = len(graph.nodes)
    return draft
