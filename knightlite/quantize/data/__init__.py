"""Data that calibrate: picture folders, user scripts, arrays and functions of Python, files.

All of them are workloads: they run a forward function over the same data in the same order every
time. What stands in for data where there are none is in :mod:`knightlite.quantize.data_free`.
"""

from knightlite.quantize.data.input_files import InputFiles, Source
from knightlite.quantize.data.python_data import (
    Batch,
    CalledFunction,
    InferFunction,
    as_batches,
    count_of,
    feed,
)
from knightlite.quantize.data.user_script import UserScript
from knightlite.quantize.data.workload import Forward, PictureFolder, Workload

__all__ = [
    "Batch",
    "CalledFunction",
    "Forward",
    "InferFunction",
    "InputFiles",
    "PictureFolder",
    "Source",
    "UserScript",
    "Workload",
    "as_batches",
    "count_of",
    "feed",
]
