"""The operators' door to ONNX: a resolved node to read, and a writer that collects nodes.

:class:`OnnxNode` is what the front-end hands to ``OpDef.from_onnx``: names resolved through
Identity, constants as arrays, static shapes known. :class:`OnnxWriter` collects nodes and
initializers for the float, QDQ and golden models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from knightlite.dtypes import DType
from knightlite.ops.onnx_parts import LARGE_BYTES, ModelParts

Array = NDArray[Any]

OPSET = 21  # the first with int16 QuantizeLinear
IR_VERSION = 10

ELEMENT_TYPES: dict[str, int] = {
    "u8": TensorProto.UINT8,
    "s8": TensorProto.INT8,
    "s16": TensorProto.INT16,
    "s32": TensorProto.INT32,
    "f32": TensorProto.FLOAT,
}


def element_type(dtype: DType) -> int:
    """The ONNX element type of a machine type."""
    return ELEMENT_TYPES[dtype.name]


@dataclass(frozen=True, slots=True)
class OnnxNode:
    """One ONNX node, resolved. ``inputs``: graph tensor names, "" where an optional one is absent.

    ``constants``: arrays of those inputs that are constant (float32 or integer, as in the file);
    ``shapes``: static shapes (N = 1) of all inputs and of the output; ``output``: its only output.
    """

    name: str
    op_type: str
    opset: int
    inputs: tuple[str, ...]
    output: str
    attributes: Mapping[str, Any]
    constants: Mapping[str, Array]
    shapes: Mapping[str, tuple[int, ...]]

    def has(self, index: int) -> bool:
        """True where input ``index`` is present."""
        return index < len(self.inputs) and bool(self.inputs[index])

    def constant(self, index: int) -> Array | None:
        """The array of input ``index`` where it is present and constant."""
        return self.constants.get(self.inputs[index]) if self.has(index) else None

    def shape(self, index: int) -> tuple[int, ...]:
        """Static shape of input ``index``."""
        return self.shapes[self.inputs[index]]

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Static shape of the output."""
        return self.shapes[self.output]


class OnnxWriter:
    """Collects nodes and initializers and makes a checked model of them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: dict[str, onnx.TensorProto] = {}
        self._large: dict[str, Array] = {}
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._taken: set[str] = set()
        self._pairs: dict[str, tuple[str, str, str]] = {}

    def fresh(self, hint: str) -> str:
        """An unused value name, ``hint`` where that is free."""
        name, count = hint, 1
        while name in self._taken:
            name, count = f"{hint}_{count}", count + 1
        self._taken.add(name)
        return name

    def node(self, op_type: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Append a node with one output; returns the output's name."""
        return self.node_with((output,), op_type, inputs, **attributes)

    def node_with(
        self, outputs: Sequence[str], op_type: str, inputs: Sequence[str], **attributes: Any
    ) -> str:
        """Append a node of several outputs; returns the first one's name, which is the node's."""
        self._taken.update(outputs)
        made = helper.make_node(op_type, list(inputs), list(outputs), outputs[0], **attributes)
        self._nodes.append(made)
        return outputs[0]

    def temporary(
        self, op_type: str, inputs: Sequence[str], hint: str, **attributes: object
    ) -> str:
        """Append a node whose output gets a fresh name."""
        return self.node(op_type, inputs, self.fresh(hint), **attributes)

    def constant(self, hint: str, values: Array | np.generic | float) -> str:
        """Add an initializer under a fresh name; returns the name."""
        name = self.fresh(hint)
        array = np.asarray(values)
        if array.nbytes < LARGE_BYTES:
            self._initializers[name] = numpy_helper.from_array(array, name)
        else:
            kind = helper.np_dtype_to_tensor_dtype(array.dtype)
            self._initializers[name] = TensorProto(name=name, data_type=kind, dims=array.shape)
            self._large[name] = array
        return name

    def dequantized(
        self, integers: str, scale: str, zero: str, output: str, **attributes: object
    ) -> str:
        """Append a DequantizeLinear, which :meth:`reshaped` knows; returns ``output``."""
        if not attributes:
            self._pairs[output] = (integers, scale, zero)
        return self.node("DequantizeLinear", [integers, scale, zero], output, **attributes)

    def reshaped(self, source: str, shape: Sequence[int], hint: str) -> str:
        """Append a Reshape to ``shape`` that keeps the batch.

        What a DequantizeLinear with one scale made is reshaped in front of it, as integers: where
        it stands behind, ONNX Runtime puts a pair of its own behind it, which it then gives u8 for
        s8 and refuses.
        """
        target = self.constant(f"{hint}/shape", np.array((0, *shape[1:]), np.int64))
        if source not in self._pairs:
            return self.temporary("Reshape", [source, target], hint)
        integers, scale, zero = self._pairs[source]
        moved = self.temporary("Reshape", [integers, target], f"{hint}/q")
        return self.temporary("DequantizeLinear", [moved, scale, zero], hint)

    def cast(self, value: str, to: int, hint: str) -> str:
        """Append a Cast to an ONNX element type."""
        return self.temporary("Cast", [value], hint, to=to)

    def conv_integer(
        self, x: str, dtype: DType, weights: Array, hint: str, **attributes: object
    ) -> str:
        """ConvInteger of 8-bit features and int8 weights: exact int32 accumulators.

        Written as u8 x u8 with zero points of 128: ONNX Runtime computes signed types only since
        after 1.23, the last for Python 3.10, and wrongly in places (docs/numerics.md).
        """
        half = 128
        x_zero = 0
        if dtype.signed:
            wide = self.cast(x, TensorProto.INT32, f"{hint}/x")
            shifted = self.temporary(
                "Add", [wide, self.constant(f"{hint}/half", np.int32(half))], f"{hint}/shifted"
            )
            x, x_zero = self.cast(shifted, TensorProto.UINT8, f"{hint}/unsigned"), half
        inputs = [
            x,
            self.constant(f"{hint}/weight", (weights.astype(np.int16) + half).astype(np.uint8)),
            self.constant(f"{hint}/x_zero", np.uint8(x_zero)),
            self.constant(f"{hint}/weight_zero", np.uint8(half)),
        ]
        return self.temporary("ConvInteger", inputs, hint, **attributes)

    def split_bytes(self, x: str, hint: str) -> tuple[str, str]:
        """int16 values as (int8 high, uint8 low): x = 256 * high + low, exact."""
        wide = self.cast(x, TensorProto.DOUBLE, f"{hint}/wide")
        part = self.constant(f"{hint}/part", np.float64(1 / 256))
        high = self.temporary(
            "Floor", [self.temporary("Mul", [wide, part], f"{hint}/scaled")], f"{hint}/floor"
        )
        whole = self.constant(f"{hint}/whole", np.float64(256))
        above = self.temporary("Mul", [high, whole], f"{hint}/above")
        low = self.temporary("Sub", [wide, above], f"{hint}/below")
        # through int32: a Cast from float64 to 8 bits is not everywhere the same
        parts = [self.cast(item, TensorProto.INT32, f"{hint}/integer") for item in (high, low)]
        return (
            self.cast(parts[0], TensorProto.INT8, f"{hint}/high"),
            self.cast(parts[1], TensorProto.UINT8, f"{hint}/low"),
        )

    def conv_bytes(
        self, x: str, dtype: DType, weights: Array, hint: str, **attributes: object
    ) -> str:
        """Sums of products of 16-bit operands, exact in float64: byte by byte with ConvInteger.

        A 16-bit operand is 256 * high + low, high signed (a zero point of 128), low not. Every
        sum of byte products must fit 32 bits.
        """
        total = ""
        for part, (value, zero, unit) in enumerate(self._feature_bytes(x, dtype, hint)):
            for digit, (factors, weight_zero, weight_unit) in enumerate(weight_bytes(weights)):
                stem = f"{hint}/{part}{digit}"
                inputs = [
                    value,
                    self.constant(f"{stem}/weight", factors),
                    self.constant(f"{stem}/x_zero", np.uint8(zero)),
                    self.constant(f"{stem}/weight_zero", np.uint8(weight_zero)),
                ]
                sums = self.temporary("ConvInteger", inputs, stem, **attributes)
                sums = self.cast(sums, TensorProto.DOUBLE, f"{stem}/wide")
                place = self.constant(f"{stem}/unit", np.float64(unit * weight_unit))
                sums = self.temporary("Mul", [sums, place], f"{stem}/placed")
                total = self.temporary("Add", [total, sums], f"{stem}/total") if total else sums
        return total

    def _feature_bytes(self, x: str, dtype: DType, hint: str) -> list[tuple[str, int, int]]:
        """(u8 value, its zero point, what its unit is worth) whose sum is ``x``."""
        if dtype.bits == 8 and not dtype.signed:
            return [(x, 0, 1)]
        half = -dtype.minimum
        wide = self.cast(x, TensorProto.INT32, f"{hint}/x")
        shifted = self.temporary(
            "Add", [wide, self.constant(f"{hint}/half", np.int32(half))], f"{hint}/shifted"
        )
        if dtype.bits == 8:
            return [(self.cast(shifted, TensorProto.UINT8, f"{hint}/unsigned"), 128, 1)]
        byte = self.constant(f"{hint}/byte", np.int32(256))
        found = []
        for op, name, zero, unit in (("Div", "high", 128, 256), ("Mod", "low", 0, 1)):
            value = self.temporary(op, [shifted, byte], f"{hint}/{name}")
            found.append((self.cast(value, TensorProto.UINT8, f"{hint}/{name}_byte"), zero, unit))
        return found

    def rescale_whole(
        self, value: str, m: Array, unit: Array, low: int, high: int, dtype: DType, output: str
    ) -> str:
        """``output = cast(clip(rne(value * m / unit), low, high))``, exact for products up to 2^62.

        ``value``: float64 integers; ``m``, ``unit`` (powers of two): int64. The quotient rounds
        down in int64; of the rest and the quotient's last bit, together below 2^49, float64
        rounds half to even.
        """
        stem = output
        whole = self.cast(value, TensorProto.INT64, f"{stem}/whole")
        product = self.temporary("Mul", [whole, self.constant(f"{stem}/m", m)], f"{stem}/product")
        divisor = self.constant(f"{stem}/unit", unit)
        rest = self.temporary("Mod", [product, divisor], f"{stem}/rest")
        floor = self.temporary("Sub", [product, rest], f"{stem}/floor")
        quotient = self.temporary("Div", [floor, divisor], f"{stem}/quotient")
        two = self.constant(f"{stem}/two", np.int64(2))
        odd = self.temporary("Mod", [quotient, two], f"{stem}/odd")
        rest, quotient, odd = (
            self.cast(item, TensorProto.DOUBLE, f"{item}/wide") for item in (rest, quotient, odd)
        )
        inverse = self.constant(f"{stem}/inverse", 1.0 / unit.astype(np.float64))
        fraction = self.temporary("Mul", [rest, inverse], f"{stem}/fraction")
        fraction = self.temporary("Add", [fraction, odd], f"{stem}/fraction_odd")
        rounded = self.temporary("Round", [fraction], f"{stem}/fraction_rounded")
        even = self.temporary("Sub", [quotient, odd], f"{stem}/even")
        rounded = self.temporary("Add", [even, rounded], f"{stem}/rounded")
        bounds = [
            self.constant(f"{stem}/low", np.float64(low)),
            self.constant(f"{stem}/high", np.float64(high)),
        ]
        clipped = self.temporary("Clip", [rounded, *bounds], f"{stem}/clipped")
        return self.node("Cast", [clipped], output, to=element_type(dtype))

    def rescale(
        self, value: str, factor: Array | float, low: int, high: int, dtype: DType, output: str
    ) -> str:
        """``output = cast(clip(round(value * factor), low, high))``: ``value`` is float64.

        ``factor`` is exact in float64 (an integer times a power of two), Round is half to even.
        """
        stem = output
        scaled = self.temporary(
            "Mul",
            [value, self.constant(f"{stem}/factor", np.asarray(factor, np.float64))],
            f"{stem}/scaled",
        )
        rounded = self.temporary("Round", [scaled], f"{stem}/rounded")
        bounds = [
            self.constant(f"{stem}/low", np.float64(low)),
            self.constant(f"{stem}/high", np.float64(high)),
        ]
        clipped = self.temporary("Clip", [rounded, *bounds], f"{stem}/clipped")
        return self.node("Cast", [clipped], output, to=element_type(dtype))

    def input(self, name: str, shape: Sequence[int | str], dtype: DType) -> str:
        """Declare a model input; a string is a symbolic dimension."""
        self._taken.add(name)
        self._inputs.append(helper.make_tensor_value_info(name, element_type(dtype), list(shape)))
        return name

    def output(
        self, name: str, shape: Sequence[int | str | None] | None, dtype: DType | int
    ) -> None:
        """Declare a model output; ``dtype`` may be an ONNX element type (ArgMax gives INT64)."""
        kind = dtype if isinstance(dtype, int) else element_type(dtype)
        self._outputs.append(helper.make_tensor_value_info(name, kind, shape))

    def model(
        self, metadata: Mapping[str, str] | None = None, checked: bool = True
    ) -> onnx.ModelProto:
        """The model, checked unless it is unfinished; deterministic for the same calls."""
        return self.parts(metadata, checked).whole()

    def parts(self, metadata: Mapping[str, str] | None = None, checked: bool = True) -> ModelParts:
        """As :meth:`model`, large constants beside it as the arrays they are."""
        graph = helper.make_graph(
            self._nodes, self.name, self._inputs, self._outputs, list(self._initializers.values())
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="knightlite",
        )
        for key, value in sorted((metadata or {}).items()):
            entry = model.metadata_props.add()
            entry.key, entry.value = key, value
        parts = ModelParts(model, self._large)
        if checked:
            parts.check()
        return parts


def weight_bytes(weights: Array) -> list[tuple[Array, int, int]]:
    """(u8 array, its zero point, what its unit is worth) whose sum is int8 or int16 weights."""
    if weights.dtype.itemsize == 1:
        return [((weights.astype(np.int16) + 128).astype(np.uint8), 128, 1)]
    shifted = weights.astype(np.int32) + (1 << 15)
    return [((shifted >> 8).astype(np.uint8), 128, 256), ((shifted & 255).astype(np.uint8), 0, 1)]


def per_channel(values: Array) -> Array:
    """A (C,) array shaped to broadcast over axis 1 of [N, C, H, W]."""
    return np.asarray(values).reshape(1, -1, 1, 1)
