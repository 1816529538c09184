"""Arrays of frames beside the shape of an input."""

from __future__ import annotations

import pytest

from knightlite.frames import are_frames, for_inputs, is_frame, with_frames

FRAME = (6, 4, 5)


@pytest.mark.parametrize(
    ("shape", "frame", "fits"),
    [
        ((6, 4, 5), FRAME, True),
        ((1, 6, 1, 4, 5, 1), FRAME, True),
        ((4, 5), (1, 4, 5), True),
        ((), (1, 1, 1), True),
        ((2, 3, 4, 5), FRAME, True),  # two axes of channels
        ((3, 1, 2, 4, 5), FRAME, True),
        ((2, 3, 5, 4), FRAME, False),
        ((2, 3, 2, 10), FRAME, False),  # as many elements, other pictures
        ((2, 3, 4, 1, 5, 2), FRAME, False),
        ((2, 2, 4, 5), FRAME, False),
        ((2, 3, 2, 4, 5), FRAME, False),
        ((2, 3, 20), FRAME, False),
        ((6, 20), FRAME, False),
        ((24, 5), FRAME, False),
        ((120,), FRAME, False),
        ((4, 6, 5), FRAME, False),
        ((2, 3, 4, 5), (6, 20, 1), False),  # of two long axes none are joined
        ((2, 3, 2, 2), (1, 4, 6), False),
    ],
)
def test_axes_of_size_1_make_no_difference_and_channels_may_be_apart(
    shape: tuple[int, ...], frame: tuple[int, ...], fits: bool
) -> None:
    assert is_frame(shape, frame) == fits
    for count in (1, 3):
        assert are_frames((count, *shape), frame) == fits
    assert not are_frames((0, *shape), frame)
    assert not are_frames((), frame)


@pytest.mark.parametrize(
    ("shape", "frame", "found"),
    [
        ((2, 6, 4, 5), FRAME, (2, *FRAME)),
        ((2, 2, 3, 4, 5), FRAME, (2, *FRAME)),
        ((6, 4, 5), FRAME, (1, *FRAME)),
        ((2, 1, 128), (2, 1, 128), (1, 2, 1, 128)),  # a state, whose first axis is no batch
        ((2, 128), (2, 1, 128), (1, 2, 1, 128)),
        ((4, 4, 5), (1, 4, 5), (4, 1, 4, 5)),  # frames, where it could be either
        ((2, 3, 4, 5), FRAME, None),  # two of three channels
        ((4, 5), FRAME, None),
        ((0, 6, 4, 5), FRAME, None),
        ((), FRAME, None),
    ],
)
def test_one_frame_may_come_without_its_batch_axis(
    shape: tuple[int, ...], frame: tuple[int, ...], found: tuple[int, ...] | None
) -> None:
    assert with_frames(shape, frame) == found


@pytest.mark.parametrize(
    ("given", "inputs", "declared", "kept"),
    [
        ("ab", "xy", "xy", "ab"),
        ("abc", "xz", "xyz", "ac"),
        ("abc", "z", "xyz", "c"),
        ("ab", "xz", "xyz", "ab"),  # as many as are read
        ("a", "x", "", "a"),
    ],
)
def test_what_is_given_to_inputs_that_nothing_reads_is_left_out(
    given: str, inputs: str, declared: str, kept: str
) -> None:
    assert list(for_inputs([*given], [*inputs], [*declared])) == [*kept]
