"""What the bytes of a raw file are, where its size allows float32 and integers."""

from __future__ import annotations

import enum

import numpy as np
from numpy.typing import NDArray

USUAL = (97, 156)  # exponents of float32: magnitudes from 2^-30 to 2^30, which networks are fed
MOSTLY = 0.9  # of the values that are not 0
NOT_FINITE = 255
# the other bytes of a float32 are its fraction: 0, or as good as random (a quarter are in TOPS)
SHARE_OF_TOPS = 0.5
TOPS = np.unique((np.arange(USUAL[0], USUAL[1] + 1) >> 1) | np.array([[0], [128]]))  # top bytes


class Look(enum.Enum):
    """What values look like; the text ends a sentence on them."""

    FLOATS = "look like float32"
    INTEGERS = "do not look like float32"
    EITHER = "may be either"
    NOTHING = "are all 0"


def look_of(data: NDArray[np.uint8], integer_bytes: int) -> Look:
    """What bytes hold (a multiple of 4): float32, or integers of ``integer_bytes`` each.

    Dark pixels read as float32 are far below what any network is fed with. Pixels that happen to
    have the magnitudes of numbers have them in every place, where fractions have not.
    """
    bits = data.view("<u4")
    bits = bits[bits << 1 != 0]  # but for 0 and -0
    if not bits.size:
        return Look.NOTHING
    exponents = bits >> 23 & 0xFF
    usual = (exponents >= USUAL[0]) & (exponents <= USUAL[1])
    if usual.mean() < MOSTLY or (exponents == NOT_FINITE).any():
        return Look.INTEGERS
    places = bits.view(np.uint8).reshape(-1, 4)
    others = places[:, integer_bytes - 1 : 3 : integer_bytes]  # top bytes of the other integers
    return Look.EITHER if np.isin(others, TOPS).mean() > SHARE_OF_TOPS else Look.FLOATS
