"""Numbers that user scripts look up."""

from __future__ import annotations

import numpy as np

# ONNX's number of an element type (TensorProto.DataType) -> numpy's type
NP_TYPE_DICT = {
    1: np.float32,
    2: np.uint8,
    3: np.int8,
    4: np.uint16,
    5: np.int16,
    6: np.int32,
    7: np.int64,
    9: np.bool_,
    10: np.float16,
    11: np.float64,
    12: np.uint32,
    13: np.uint64,
}
