"""More 16 bits than by rule: by hand, by measured sensitivity, by a budget of cycles.

A mix configuration names operators; a ranking measures what each unit costs at the outputs; a
search spends a budget of predicted cycles, told by a :class:`Clock` that the caller brings.
"""

from knightlite.quantize.mixed.auto_mix import automatic_mix, ranking_macs
from knightlite.quantize.mixed.cycles import Clock, draft
from knightlite.quantize.mixed.mix_budget import check_budget
from knightlite.quantize.mixed.mix_config import read_mix, template

__all__ = [
    "Clock",
    "automatic_mix",
    "check_budget",
    "draft",
    "ranking_macs",
    "read_mix",
    "template",
]
