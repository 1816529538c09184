"""Measures of the data's own kind, by a plug-in: boxes, text lines, whatever top-1 does not count.

``open_metric`` loads one, ``FILE.py:NAME`` or a ready one with the user's decode function. What it
says of a picture is kept; its total is made of them at the end, alike for every form of a network.
"""

from knightlite.metrics.plugin import (
    READY,
    Difference,
    Metric,
    MetricSource,
    Picture,
    metric_source,
    open_metric,
)

__all__ = [
    "READY",
    "Difference",
    "Metric",
    "MetricSource",
    "Picture",
    "metric_source",
    "open_metric",
]
