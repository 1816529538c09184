"""What an evaluation counts: mergeable sums over pictures, and paired statistics of them.

Nothing here knows a model or a picture: scores go in, sums and intervals come out.
"""

from knightlite.evaluation.paired import (
    Answers,
    Paired,
    about_chance,
    apart,
    best_classes,
    chance_told,
    paired,
    share_interval,
    shares,
)
from knightlite.evaluation.tally import TOP, Tally, empty_tally, tally_of

__all__ = [
    "TOP",
    "Answers",
    "Paired",
    "Tally",
    "about_chance",
    "apart",
    "best_classes",
    "chance_told",
    "empty_tally",
    "paired",
    "share_interval",
    "shares",
    "tally_of",
]
