"""What a profile says to a person: the page, its advice, the difference of two."""

from knightlite.report.advice import (
    Advice,
    Point,
    Tried,
    advice_json,
    assumed_advice,
    chosen,
    compiled_advice,
)
from knightlite.report.details import Details
from knightlite.report.difference import Difference, difference, difference_page
from knightlite.report.exploration import ExploredNetwork, ExploredPoint, exploration_page
from knightlite.report.page import report_page
from knightlite.report.summary import summary_lines

__all__ = [
    "Advice",
    "Details",
    "Difference",
    "ExploredNetwork",
    "ExploredPoint",
    "Point",
    "Tried",
    "advice_json",
    "assumed_advice",
    "chosen",
    "compiled_advice",
    "difference",
    "difference_page",
    "exploration_page",
    "report_page",
    "summary_lines",
]
