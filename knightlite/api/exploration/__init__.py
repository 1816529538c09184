"""``explore``: many models on many chips, at several levels and widths, in one table."""

from knightlite.api.exploration.records import Exploration, Point
from knightlite.api.exploration.records import text as explored_text
from knightlite.api.exploration.run import explore
from knightlite.api.exploration.sentences import bar_notes, chip_called, reasons, told_of_rate
from knightlite.api.exploration.trade import accuracy_of, smallest

__all__ = [
    "Exploration",
    "Point",
    "accuracy_of",
    "bar_notes",
    "chip_called",
    "explore",
    "explored_text",
    "reasons",
    "smallest",
    "told_of_rate",
]
