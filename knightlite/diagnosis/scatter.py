"""Values of one tensor against those of another model, as a plot."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.diagnosis import page


def scatter(
    wanted: NDArray[Any], found: NDArray[Any], name: str, wanted_kind: str, found_kind: str
) -> str:
    """``found`` over ``wanted``, and the histogram of their difference, as SVG."""
    page.require_plots()
    figure = page.new_figure(8.0, 3.6)
    left, right = figure.subplots(1, 2)
    ends = [float(min(wanted.min(), found.min())), float(max(wanted.max(), found.max()))]
    left.plot(ends, ends, color="#c0392b", linewidth=0.8)
    left.plot(wanted, found, ".", markersize=2, color="#2471a3", rasterized=True)
    left.set_xlabel(wanted_kind)
    left.set_ylabel(found_kind)
    left.set_title(name, fontsize=9)
    counts, edges = np.histogram(found - wanted, bins=64)
    right.stairs(counts, edges, fill=True, color="#5d8aa8")
    right.set_yscale("symlog")
    right.set_xlabel(f"{found_kind} - {wanted_kind}")
    right.set_ylabel("how many")
    return page.svg(figure, name)
