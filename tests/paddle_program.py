"""Write tiny Paddle programs by hand: a ProgramDesc in protobuf bytes and its LoDTensor records.

Field numbers are those of Paddle's framework.proto, as read by knightlite.frontend.paddle_weights.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
FEED, FETCH, LOD_TENSOR, FP32 = 9, 10, 7, 5
INT, FLOAT, STRING, INTS, FLOATS, BOOLEAN = 0, 1, 2, 3, 4, 6
Attribute = bool | int | float | str | Sequence[int] | Sequence[float]


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def tensor_description(shape: Sequence[int]) -> bytes:
    return field(1, FP32) + b"".join(field(2, size) for size in shape)


def variable(name: str, shape: Sequence[int] | None, kind: int, persistable: bool) -> bytes:
    described = field(1, kind)
    if shape is not None:
        described += field(3, field(1, tensor_description(shape)))
    return field(3, field(1, name) + field(2, described) + field(3, int(persistable)))


def operator(
    kind: str,
    inputs: Mapping[str, str],
    outputs: Mapping[str, str],
    attributes: Mapping[str, Attribute],
) -> bytes:
    data = b"".join(field(1, field(1, key) + field(2, name)) for key, name in inputs.items())
    data += b"".join(field(2, field(1, key) + field(2, name)) for key, name in outputs.items())
    data += field(3, kind)
    for key, value in attributes.items():
        if isinstance(value, bool):
            item = field(1, key) + field(2, BOOLEAN) + field(10, int(value))
        elif isinstance(value, int):
            item = field(1, key) + field(2, INT) + field(3, value)
        elif isinstance(value, float):
            item = field(1, key) + field(2, FLOAT) + varint(4 << 3 | 5) + struct.pack("<f", value)
        elif isinstance(value, str):
            item = field(1, key) + field(2, STRING) + field(5, value)
        elif value and all(isinstance(part, float) for part in value):
            item = field(1, key) + field(2, FLOATS)
            item += b"".join(varint(7 << 3 | 5) + struct.pack("<f", part) for part in value)
        else:
            item = field(1, key) + field(2, INTS) + b"".join(field(6, int(part)) for part in value)
        data += field(4, item)
    return field(4, data)


def conv_relu_program(weights: Mapping[str, Float32], size: int = 8) -> bytes:
    """x [-1, 3, size, size] -> conv2d by ``conv.w`` (pads 1) -> + ``conv.b`` -> relu."""
    w, b = weights["conv.w"], weights["conv.b"]
    out = (-1, w.shape[0], size, size)
    block = field(1, 0) + field(2, -1)
    block += variable("feed", None, FEED, True) + variable("fetch", None, FETCH, True)
    block += variable("x", (-1, 3, size, size), LOD_TENSOR, False)
    block += variable("conv.w", w.shape, LOD_TENSOR, True)
    block += variable("conv.b", b.shape, LOD_TENSOR, True)
    for name in ("conv.out", "sum.out", "relu.out"):
        block += variable(name, out, LOD_TENSOR, False)
    convolution: dict[str, Attribute] = {
        "strides": [1, 1], "paddings": [1, 1], "dilations": [1, 1], "groups": 1,
        "padding_algorithm": "EXPLICIT", "data_format": "NCHW",
    }  # fmt: skip
    block += operator("feed", {"X": "feed"}, {"Out": "x"}, {"col": 0})
    block += operator("conv2d", {"Input": "x", "Filter": "conv.w"}, {"Output": "conv.out"},
                      convolution)  # fmt: skip
    block += operator("elementwise_add", {"X": "conv.out", "Y": "conv.b"}, {"Out": "sum.out"},
                      {"axis": 1})  # fmt: skip
    block += operator("relu", {"X": "sum.out"}, {"Out": "relu.out"}, {})
    block += operator("fetch", {"X": "relu.out"}, {"Out": "fetch"}, {"col": 0})
    return field(1, block) + field(4, field(1, 0))


def one_operator(
    folder: Path,
    kind: str,
    parameters: tuple[str, str],
    shapes: tuple[Sequence[int], Sequence[int]],
    attributes: Mapping[str, Attribute],
    weights: Mapping[str, Float32] | None = None,
) -> Path:
    """Write a program of one operator from ``x`` to ``y``.

    ``parameters``: the operator's names of the two; ``shapes``: theirs, batch included;
    ``weights`` by the operator's name of each.
    """
    weights = weights or {}
    block = field(1, 0) + field(2, -1)
    block += variable("feed", None, FEED, True) + variable("fetch", None, FETCH, True)
    for name, shape in zip("xy", shapes, strict=True):
        block += variable(name, shape, LOD_TENSOR, False)
    for name, values in weights.items():
        block += variable(name, values.shape, LOD_TENSOR, True)
    block += operator("feed", {"X": "feed"}, {"Out": "x"}, {"col": 0})
    inputs = {parameters[0]: "x"} | {name: name for name in weights}
    block += operator(kind, inputs, {parameters[1]: "y"}, attributes)
    block += operator("fetch", {"X": "y"}, {"Out": "fetch"}, {"col": 0})
    path = folder / "one.pdmodel"
    path.write_bytes(field(1, block) + field(4, field(1, 0)))
    path.with_suffix(".pdiparams").write_bytes(records(weights))
    return path


def record(values: Float32) -> bytes:
    """One LoDTensor record."""
    described = tensor_description(values.shape)
    header = struct.pack("<IQIi", 0, 0, 0, len(described))
    return header + described + values.astype("<f4").tobytes()


def records(weights: Mapping[str, Float32]) -> bytes:
    return b"".join(record(weights[name]) for name in sorted(weights))


def conv_relu_weights(seed: int = 0) -> dict[str, Float32]:
    rng = np.random.default_rng(seed)
    return {
        "conv.w": rng.normal(0, 0.3, (4, 3, 3, 3)).astype(np.float32),
        "conv.b": rng.normal(0, 0.3, 4).astype(np.float32),
    }


def write_conv_relu(folder: Path, name: str = "tiny") -> dict[str, Float32]:
    """Write ``name.pdmodel`` and ``name.pdiparams``; returns the weights."""
    weights = conv_relu_weights()
    (folder / f"{name}.pdmodel").write_bytes(conv_relu_program(weights))
    (folder / f"{name}.pdiparams").write_bytes(records(weights))
    return weights
