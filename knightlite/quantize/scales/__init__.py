"""Type and scale of every tensor, 16 bits by rule, pins, scale files, weights in integers.

Signed or not, one scale for a group or one per channel; what an operator refuses at 16 bits is
taken back. :func:`assign` does all of it, on a :class:`Basis`: the float graph, what was seen of
it, and the settings.
"""

from knightlite.quantize.scales.assignment import assign
from knightlite.quantize.scales.basis import Basis
from knightlite.quantize.scales.scale_file import read_scales, scale_text
from knightlite.quantize.scales.unit_scales import with_unit_scales

__all__ = ["Basis", "assign", "read_scales", "scale_text", "with_unit_scales"]
