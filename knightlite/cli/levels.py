"""For which level of the schedule a figure speaks that was predicted before compiling."""

from __future__ import annotations

from knightlite.options.compile import OPT_GROUP


def of_level(level: int, what: str = "times") -> str:
    """As in "predicted at schedule level 0; knightlite compile takes level 1, ...".

    ``what``: figures that differ there.
    """
    usual = int(OPT_GROUP.default)
    told = f"predicted at schedule level {level}"
    if level == usual:
        return told
    return f"{told}; knightlite compile takes level {usual}, where {what} differ"
