"""Whether tensors may share a buffer: nothing may be overwritten that is still read.

Buffers grow tensor by tensor, so what was looked at once is not looked at again: only what comes
is held against what is there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import replace

from knightlite.allocate.draft import Box, Draft, Life, LifeKey, Shift
from knightlite.ops import Window


class Group:
    """The tensors of a buffer on the way into another: their windows and lives."""

    def __init__(self, draft: Draft, buffer: str) -> None:
        self.windows = {name: draft.places[name].window for name in draft.members[buffer]}
        known = draft.lives.get(buffer)
        self.lives = lives_of(draft, self.windows, self.windows) if known is None else known

    def moved(self, shift: Shift) -> Group:
        """So much further on."""
        made = copy(self)
        made.windows = {
            name: replace(
                window,
                channel=window.channel + shift[0],
                row=window.row + shift[1],
                column=window.column + shift[2],
            )
            for name, window in self.windows.items()
        }
        made.lives = {key: life.moved(shift) for key, life in self.lives.items()}
        return made


def together(draft: Draft, one: Group, other: Group) -> dict[LifeKey, Life] | None:
    """The lives in a buffer that holds both groups; None where two of them contradict.

    Inside a group nothing does, but where its tensors are now also read through the other group.
    """
    windows = one.windows | other.windows
    lives = one.lives | other.lives
    changed: dict[LifeKey, Life] = {}
    for group, beside in ((one, other), (other, one)):
        if any(
            view in beside.windows for name in group.windows for view in draft.views.get(name, ())
        ):
            found = lives_of(draft, group.windows, windows)
            changed |= {key: life for key, life in found.items() if life != group.lives[key]}
    lives |= changed
    for key, life in lives.items():
        if key not in changed and key not in other.lives:
            continue
        against = lives if key in changed else one.lives.keys() - changed.keys()
        if any(life.clashes(lives[rival]) for rival in against if rival != key):
            return None
    return lives


def lives_of(
    draft: Draft, names: Iterable[str], windows: Mapping[str, Window]
) -> dict[LifeKey, Life]:
    """What is written into a buffer: by layers, and by inputs of Concats still without a place.

    ``names``: of its tensors, whose lives are wanted; ``windows``: of all.
    """
    boxes = {name: _box(draft.sizes(name), window) for name, window in windows.items()}
    found = {}
    for name in names:
        box = boxes[name]
        if name in draft.executed:
            found[name, -1] = Life(box, draft.written[name], _reads(draft, name, box, boxes))
        for index, part in draft.waiting.get(name, {}).items():
            slot = _box(draft.sizes(part.tensor), part.window.within(windows[name]))
            reads = _reads(draft, name, slot, boxes)
            reads[slot] = max(draft.read[part.tensor], reads.get(slot, -1))
            found[name, index] = Life(slot, draft.written[part.tensor], reads)
    return found


def _reads(draft: Draft, name: str, box: Box, boxes: Mapping[str, Box]) -> dict[Box, int]:
    """Parts of ``box`` with the last time they are read, through all tensors that show them."""
    found: dict[Box, int] = {}
    waiting = [(name, box)]
    seen = set(waiting)
    while waiting:
        name, box = waiting.pop()
        part = box.common(boxes[name]) if name in boxes else None
        if part is None:
            continue
        last = draft.read.get(name, draft.written[name])
        found[part] = max(last, found.get(part, last))
        fresh = [(view, part) for view in draft.views.get(name, ()) if (view, part) not in seen]
        seen.update(fresh)
        waiting.extend(fresh)
    return found


def _box(sizes: tuple[int, int, int], window: Window) -> Box:
    channels, height, width = sizes
    if window.turned:
        height, width = width, height
    return Box(
        (window.channel, window.channel + channels),
        (window.row, window.row + (height - 1) * window.row_step + 1),
        (window.column, window.column + (width - 1) * window.column_step + 1),
    )
