"""Binary PPM and PGM with 8 bits, read here: Pillow's decoder of them also takes forms in text.

Those are decoded pixel by pixel in Python, minutes long for a file that somebody sends. Only P6 and
P5 with 255 for white are read, which is what programs write, as the C of a deployed network does.
The format: netpbm.sourceforge.net/doc/ppm.html.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.errors import DataError
from knightlite.preprocess.formats import BEGINNINGS

HEAD_BYTES = 1 << 12  # with its comments; each is a state that the match keeps
OF_THE_FAMILY = BEGINNINGS["PPM"]
_BETWEEN = rb"(?:\s|#[^\r\n]*[\r\n])+"
_HEAD = re.compile(
    rb"P([56])(?=\s)" + _BETWEEN + rb"(\d{1,10})" + _BETWEEN + rb"(\d{1,10})" + _BETWEEN + rb"255\s"
)


def pixels_of(data: bytes, name: str) -> NDArray[Any]:
    """The file's pixels, a view of it: uint8 [H, W, 3] of a P6, [H, W] of a P5.

    DataError for the other forms, and where there are fewer bytes than the head says.
    """
    head = _HEAD.match(data, 0, HEAD_BYTES)
    if head is None:
        raise DataError(
            f"picture {name} must be a binary PPM or PGM with 8 bits: "
            f"P6 or P5, width, height, 255 in its first {HEAD_BYTES} bytes.",
            "convert it to an 8-bit PNG",
        )
    magic, width, height = (int(text) for text in head.groups())
    channels = 3 if magic == 6 else 1
    needed, found = height * width * channels, len(data) - head.end()
    if not needed or found < needed:
        raise DataError(
            f"picture {name} is damaged: {height}x{width}x{channels} bytes (height x width x "
            f"channels) must be at least 1 and at most the {found} behind its head.",
            "remove or replace the file",
        )
    shape = (height, width, 3) if channels == 3 else (height, width)
    return np.frombuffer(data, np.uint8, needed, head.end()).reshape(shape)
