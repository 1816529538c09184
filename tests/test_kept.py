"""What an output keeps: over all pictures, and from picture to picture."""

from __future__ import annotations

import numpy as np

from knightlite.quantize.statistics.kept import Kept


def test_the_interval_of_pictures() -> None:
    """Eleven pictures with 10, 11, ... 20 dB, one of them a hundred times as loud."""
    kept = Kept()
    loud = np.ones(11)
    loud[3] = 100
    for start in (0, 6):  # two batches
        places = slice(start, start + 6)
        exact = loud[places].reshape(-1, 1, 1, 1) * np.ones((1, 2, 3, 4))
        noise = 10 ** (-np.arange(10, 21)[places] / 20).reshape(-1, 1, 1, 1) * exact
        kept.add(exact.astype(np.float32), exact + noise)
    entry = kept.entry()
    assert {key: entry[key] for key in ("low_db", "median_db", "high_db")} == {
        "low_db": 11.0, "median_db": 15.0, "high_db": 19.0,
    }  # fmt: skip
    assert entry["sqnr_db"] == 13.0  # that of the loud one


def test_exact_pictures_have_no_figure() -> None:
    kept = Kept()
    kept.add(np.ones((3, 1, 1, 1), np.float32), np.ones((3, 1, 1, 1)))
    assert set(kept.entry().values()) == {None}
