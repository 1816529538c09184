"""8 and 16 bits in one network: by hand, by measuring, by a budget of cycles; what they cost."""

from knightlite.quantize.mixed.auto_mix import automatic_mix, ranking_macs
from knightlite.quantize.mixed.cycles import Clock
from knightlite.quantize.mixed.mix_budget import check_budget
from knightlite.quantize.mixed.mix_config import read_mix, template

__all__ = ["Clock", "automatic_mix", "check_budget", "ranking_macs", "read_mix", "template"]
