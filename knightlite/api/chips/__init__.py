"""The chips: which one is taken where none is named, their facts, and the operators they run."""

from knightlite.api.chips.evidence import error_bar
from knightlite.api.chips.facts import another_maker_s, chip_facts, chip_names, chip_operators
from knightlite.api.chips.settings import store_chip

__all__ = [
    "another_maker_s",
    "chip_facts",
    "chip_names",
    "chip_operators",
    "error_bar",
    "store_chip",
]
