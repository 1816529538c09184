"""The unary functions that a table may hold: what they are, where they change, their signs.

Formulas are ONNX's. They take float32 and may compute in float64; :func:`evaluate` rounds the
result to float32, as every ONNX operator does. Outside its domain a function takes the value of the
domain's edge (docs/numerics.md): Sqrt(-1) = Sqrt(0), Log(-1) = Log(0).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.errors import UnsupportedError
from knightlite.ops.onnx_io import OnnxNode

Array = NDArray[Any]
Parameters = Mapping[str, Any]
INFINITY = float("inf")
OPEN_SUPPORT = (-INFINITY, INFINITY)


def never(p: Parameters, nonnegative: bool) -> bool:
    """Some value is negative."""
    return False


def always(p: Parameters, nonnegative: bool) -> bool:
    """No value is negative."""
    return True


def as_input(p: Parameters, nonnegative: bool) -> bool:
    """No value is negative where no input is."""
    return nonnegative


@dataclass(frozen=True, slots=True)
class Function:
    """A unary function and the attributes of the ONNX node of that name, with ONNX's defaults.

    ``support`` is the interval outside which it is constant: the quantizer spends no codes there.
    ``nonnegative``: whether no value is below 0, told whether no input is. ``lowest``: the lower
    edge of the domain.
    """

    evaluate: Callable[[Array, Parameters], Array]
    parameters: Mapping[str, float | str]
    support: Callable[[Parameters], tuple[float, float]] = lambda _: OPEN_SUPPORT
    nonnegative: Callable[[Parameters, bool], bool] = never
    lowest: Callable[[Parameters], float] = lambda _: -INFINITY


def evaluate(name: str, x: Array, p: Parameters) -> Array:
    """Function ``name`` of float32 values, in float32; infinite or NaN where ONNX's result is."""
    function = FUNCTIONS[name]
    with np.errstate(all="ignore"):
        inside = np.maximum(x, np.float32(function.lowest(p)))
        return np.asarray(function.evaluate(inside, p)).astype(np.float32)


# ------------------------------------------------------------------ formulas


def _clip(x: Array, p: Parameters) -> Array:
    return np.clip(x, np.float32(p["alpha"]), np.float32(p["beta"]))


def _hard_sigmoid(x: Array, p: Parameters) -> Array:
    linear = np.float32(p["alpha"]) * x + np.float32(p["beta"])
    result: Array = np.clip(linear, np.float32(0), np.float32(1))
    return result


def _hard_swish(x: Array, p: Parameters) -> Array:
    gate = np.clip(x / np.float32(6) + np.float32(0.5), np.float32(0), np.float32(1))
    result: Array = x * gate
    return result


def _sigmoid(x: Array, p: Parameters) -> Array:
    result: Array = 1 / (1 + np.exp(-x))
    return result


def _wide(function: Callable[[Array], Array]) -> Callable[[Array, Parameters], Array]:
    """A function without parameters, computed in float64."""
    return lambda x, p: function(x.astype(np.float64))


def _softplus(x: Array) -> Array:
    result: Array = np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))
    return result


def _erf(x: Array) -> Array:
    return np.asarray(np.vectorize(math.erf, otypes=[np.float64])(x))


def _elu(x: Array, p: Parameters) -> Array:
    wide = x.astype(np.float64)
    return np.where(wide > 0, wide, p["alpha"] * np.expm1(wide))


def _selu(x: Array, p: Parameters) -> Array:
    result: Array = p["gamma"] * _elu(x, p)
    return result


def _celu(x: Array, p: Parameters) -> Array:
    wide, alpha = x.astype(np.float64), p["alpha"]
    return np.where(wide > 0, wide, alpha * np.expm1(wide / alpha))


def _leaky_relu(x: Array, p: Parameters) -> Array:
    return np.where(x >= 0, x, np.float32(p["alpha"]) * x)


def _thresholded_relu(x: Array, p: Parameters) -> Array:
    return np.where(x > np.float32(p["alpha"]), x, np.float32(0))


def _shrink(x: Array, p: Parameters) -> Array:
    """As ONNX has it: nothing between -lambd and lambd, what is beyond moved by the bias."""
    lambd, bias = np.float32(p["lambd"]), np.float32(p["bias"])
    return np.where(x < -lambd, x + bias, np.where(x > lambd, x - bias, np.float32(0)))


def _gelu(x: Array, p: Parameters) -> Array:
    wide = x.astype(np.float64)
    if p["approximate"] == "tanh":
        inner = math.sqrt(2 / math.pi) * (wide + 0.044715 * wide**3)
        return np.asarray(0.5 * wide * (1 + np.tanh(inner)))
    return np.asarray(0.5 * wide * (1 + _erf(wide / math.sqrt(2))))


def _pow(x: Array, p: Parameters) -> Array:
    return np.power(x.astype(np.float64), p["exponent"])


# ------------------------------------------------------------------ supports, signs, domains


def _hard_sigmoid_support(p: Parameters) -> tuple[float, float]:
    if p["alpha"] <= 0:
        return OPEN_SUPPORT
    return -p["beta"] / p["alpha"], (1 - p["beta"]) / p["alpha"]


def _clip_nonnegative(p: Parameters, nonnegative: bool) -> bool:
    return bool(p["alpha"] >= 0 or (nonnegative and p["beta"] >= 0))


def _leaky_nonnegative(p: Parameters, nonnegative: bool) -> bool:
    return bool(nonnegative or p["alpha"] <= 0)


def _selu_nonnegative(p: Parameters, nonnegative: bool) -> bool:
    return bool(nonnegative and p["gamma"] >= 0)


def _pow_nonnegative(p: Parameters, nonnegative: bool) -> bool:
    return bool(nonnegative or p["exponent"] % 2 != 1)  # an even power, or no negative x at all


def _pow_lowest(p: Parameters) -> float:
    return -INFINITY if p["exponent"] == int(p["exponent"]) else 0.0


def _shrink_nonnegative(p: Parameters, nonnegative: bool) -> bool:
    return bool(nonnegative and p["bias"] <= p["lambd"] and p["lambd"] >= 0)


def _lowest_support(p: Parameters) -> tuple[float, float]:
    return 0.0, INFINITY


FUNCTIONS: dict[str, Function] = {
    "Abs": Function(lambda x, p: np.abs(x), {}, nonnegative=always),
    "Asinh": Function(_wide(np.arcsinh), {}, nonnegative=as_input),
    "Atan": Function(_wide(np.arctan), {}, nonnegative=as_input),
    "Ceil": Function(lambda x, p: np.ceil(x), {}, nonnegative=as_input),
    "Celu": Function(_celu, {"alpha": 1.0}, nonnegative=as_input),
    "Clip": Function(
        _clip,
        {"alpha": -INFINITY, "beta": INFINITY},
        lambda p: (p["alpha"], p["beta"]),
        _clip_nonnegative,
    ),
    "Cos": Function(_wide(np.cos), {}),
    "Cosh": Function(_wide(np.cosh), {}, nonnegative=always),
    "Elu": Function(_elu, {"alpha": 1.0}, nonnegative=as_input),
    "Erf": Function(_wide(_erf), {}, nonnegative=as_input),
    "Exp": Function(_wide(np.exp), {}, nonnegative=always),
    "Floor": Function(lambda x, p: np.floor(x), {}, nonnegative=as_input),
    "Gelu": Function(_gelu, {"approximate": "none"}, nonnegative=as_input),
    "HardSigmoid": Function(
        _hard_sigmoid, {"alpha": 0.2, "beta": 0.5}, _hard_sigmoid_support, always
    ),
    "HardSwish": Function(_hard_swish, {}, lambda _: (-3.0, INFINITY), as_input),
    "LeakyRelu": Function(_leaky_relu, {"alpha": 0.01}, nonnegative=_leaky_nonnegative),
    "Log": Function(_wide(np.log), {}, _lowest_support, lowest=lambda _: 0.0),
    "Mish": Function(
        _wide(lambda x: np.asarray(x * np.tanh(_softplus(x)))), {}, nonnegative=as_input
    ),
    "Pow": Function(_pow, {"exponent": 1.0}, nonnegative=_pow_nonnegative, lowest=_pow_lowest),
    "Reciprocal": Function(_wide(np.reciprocal), {}, nonnegative=as_input),
    "Round": Function(lambda x, p: np.rint(x), {}, nonnegative=as_input),
    "Selu": Function(
        _selu,
        {"alpha": 1.67326319217681884765625, "gamma": 1.05070102214813232421875},
        nonnegative=_selu_nonnegative,
    ),
    "Shrink": Function(_shrink, {"bias": 0.0, "lambd": 0.5}, nonnegative=_shrink_nonnegative),
    "Sigmoid": Function(_sigmoid, {}, nonnegative=always),
    "Sign": Function(lambda x, p: np.sign(x), {}, nonnegative=as_input),
    "Sin": Function(_wide(np.sin), {}),
    "Sinh": Function(_wide(np.sinh), {}, nonnegative=as_input),
    "Softplus": Function(_wide(_softplus), {}, nonnegative=always),
    "Softsign": Function(
        _wide(lambda x: np.asarray(x / (1 + np.abs(x)))), {}, nonnegative=as_input
    ),
    "Sqrt": Function(_wide(np.sqrt), {}, _lowest_support, always, lowest=lambda _: 0.0),
    "Tan": Function(_wide(np.tan), {}),
    "Tanh": Function(_wide(np.tanh), {}, nonnegative=as_input),
    "ThresholdedRelu": Function(
        _thresholded_relu,
        {"alpha": 1.0},
        lambda p: (p["alpha"], INFINITY),
        lambda p, nonnegative: bool(nonnegative or p["alpha"] >= 0),
    ),
}  # in the order of their names


# ------------------------------------------------------------------ from ONNX


def from_node(node: OnnxNode) -> tuple[str, dict[str, float | str]]:
    """The function of an ONNX node with one feature input, and its parameters."""
    if node.op_type in ("Relu", "Clip"):
        low, high = clip_bounds(node)
        return "Clip", {"alpha": low, "beta": high}
    if node.op_type == "Pow":
        exponent = node.constant(1)
        if exponent is None or exponent.size != 1:
            raise UnsupportedError(f"Pow {node.name} must have one constant exponent.")
        return "Pow", {"exponent": float(np.float32(exponent.reshape(-1)[0]))}
    if node.op_type == "PRelu":
        slope = node.constant(1)
        if slope is None or slope.size != 1:
            raise UnsupportedError(f"PRelu {node.name} must have one constant slope.")
        return "LeakyRelu", {"alpha": float(np.float32(slope.reshape(-1)[0]))}
    parameters: dict[str, float | str] = {}
    for name, default in FUNCTIONS[node.op_type].parameters.items():
        value = node.attributes.get(name, default)
        # ONNX keeps attributes in float32: the same value before and after writing
        parameters[name] = value if isinstance(value, str) else float(np.float32(value))
    return node.op_type, parameters


def clip_bounds(node: OnnxNode) -> tuple[float, float]:
    """Real bounds of a Relu or Clip, from attributes (opset < 11) or constant inputs.

    Where they cross, ONNX lets the upper one win: every value is that bound.
    """
    if node.op_type == "Relu":
        return 0.0, INFINITY
    bounds = []
    for index, (name, default) in enumerate((("min", -INFINITY), ("max", INFINITY)), start=1):
        value = float(node.attributes.get(name, default))
        if node.has(index):
            array = node.constant(index)
            if array is None:
                raise UnsupportedError(f"Clip {node.name} must have constant bounds.")
            value = float(array.reshape(-1)[0])
        if np.isnan(value):
            raise UnsupportedError(
                f"Clip {node.name} must have bounds that are numbers, but {name} is NaN.",
                "export the model again, without this bound",
            )
        bounds.append(value if abs(value) < 3e38 else float(np.copysign(INFINITY, value)))
    low, high = bounds
    if low == INFINITY or high == -INFINITY:
        raise UnsupportedError(
            f"Clip {node.name} must leave finite values, not only those from {low} to {high}.",
            "export the model again with the bounds that were meant",
        )
    return min(low, high), high
