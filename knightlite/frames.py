"""Arrays of frames beside the shape of a network's input: axes of size 1 make no difference.

Inside, every input is [C, H, W]: a signal [C, L] is [C, 1, L], a vector [C] is [C, 1, 1]. Their
elements have the same order, so that users feed either.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TypeVar

Item = TypeVar("Item")
Shape = tuple[int, ...]


def is_frame(shape: Shape, frame: Shape) -> bool:
    """True where an array of ``shape`` holds one frame of shape ``frame``.

    Of more than three long axes all but the last two may be joined to channels.
    """
    long, own = ([size for size in item if size != 1] for item in (shape, frame))
    if len(long) > 3 == len(own):
        return long[-2:] == own[-2:] and prod(long) == prod(own)
    return long == own


def are_frames(shape: Shape, frame: Shape) -> bool:
    """True where an array of ``shape`` holds frames along its first axis, at least one."""
    return bool(shape) and shape[0] > 0 and is_frame(shape[1:], frame)


def with_frames(shape: Shape, frame: Shape) -> Shape | None:
    """(N, *frame) of an array of ``shape`` that holds frames, or is one; None for others.

    One frame may come without N: a state [2, 1, 128] that a network returned is fed back as it is.
    Axes of channels are not joined for that: pictures of 3 channels are not one of 6.
    """
    if are_frames(shape, frame):
        return (shape[0], *frame)
    alone = len(shape) <= len(frame) and is_frame(shape, frame)
    return (1, *frame) if alone else None


def for_inputs(
    given: Sequence[Item], inputs: Sequence[str], declared: Sequence[str]
) -> Sequence[Item]:
    """Those of ``given`` that belong to ``inputs``, where there is one for each ``declared`` input.

    What stands at the places of the others is for inputs that nothing reads.
    """
    if len(given) != len(declared):
        return given
    return [item for item, name in zip(given, declared, strict=True) if name in inputs]
