"""ONNX's integer types: what the chip feeds them as, where it can."""

from __future__ import annotations

from onnx import TensorProto

from knightlite import dtypes
from knightlite.dtypes import DType

INTEGERS: dict[int, DType | None] = {
    TensorProto.UINT8: dtypes.U8,
    TensorProto.INT8: dtypes.S8,
    TensorProto.INT16: dtypes.S16,
    TensorProto.UINT16: None,
    TensorProto.INT32: None,
    TensorProto.UINT32: None,
    TensorProto.INT64: None,
    TensorProto.UINT64: None,
}
