"""``explore``: many models on many chips, at several levels and widths, in one table."""

from knightlite.api.exploration.records import Exploration, Point
from knightlite.api.exploration.run import explore
from knightlite.api.exploration.trade import Smallest, accuracy_of, smallest

__all__ = ["Exploration", "Point", "Smallest", "accuracy_of", "explore", "smallest"]
