"""Outputs that are nothing but roundings: the step of a sum that nearly cancels.

The mean of a normalized row is 0 but for float32's last bits, and calibration would give it a range
of these. What the chip computes are the roundings of the row, of which two standard deviations are
the least range that says anything.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from knightlite.ir import Node
from knightlite.ir.large import row_blocks
from knightlite.quantize.scales.basis import Basis
from knightlite.quantize.scales.features import Feature

ROUNDED = 12.0**-0.5  # of a step: the standard deviation of a rounding
DEVIATIONS = 2.0


def least_step(basis: Basis, node: Node, read: Feature, made: Feature) -> float:
    """The finest step of a convolution's output, whose input is ``read``, that says anything."""
    steps = np.broadcast_to(read.scale.astype(np.float64), _gains(basis, node).shape)
    spread = ROUNDED * float((steps * _gains(basis, node)).max(initial=0.0))
    return DEVIATIONS * spread / made.dtype.maximum


def _gains(basis: Basis, node: Node) -> NDArray[np.float64]:
    """By how much independent roundings of the input grow, per output channel."""
    weights = basis.graph.constants[node.inputs[1]]
    known = basis.gains.get(node.output)
    if known is None or known[0] is not weights:
        found = np.empty(len(weights))
        for rows in row_blocks(weights):
            flat = weights[rows].reshape(len(weights[rows]), -1)
            found[rows] = np.sqrt(np.einsum("ij,ij->i", flat, flat, dtype=np.float64))
        basis.gains[node.output] = known = weights, found
    return known[1]
