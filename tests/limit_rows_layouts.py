"""Limits of networks in other layouts, and of newer rooms, as in ``limit_rows``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace as Made
from typing import Any
from unittest.mock import MagicMock, patch

import numpy as np
import onnx
from onnx import helper

from assembled import TINY
from knightlite.deploy import arrays
from knightlite.dtypes import S8, S16, U8, DType
from knightlite.frontend import any_axes, any_elementwise, any_products, axis_orders, user_layers
from knightlite.ops import pick, softmax
from knightlite.options import explore
from knightlite.passes import two_moves
from limit_rows import Rows, node

GOES_ON = ValueError("it goes on")


def importer(*shape: int) -> Any:
    """Of features of this shape."""
    state = MagicMock()
    state.seen = lambda name: shape
    state.shape = state.seen
    state.model = Made(constants={}, shapes={})
    return state


def picked(parts: int) -> None:
    """Every other element of an axis: so many separate parts."""
    given = node("Gather", "x"), "x", 1, range(0, 2 * parts, 2), "y"
    with (
        patch.object(any_axes, "replace", MagicMock()),
        patch.object(any_axes, "_along", side_effect=GOES_ON),
    ):
        any_axes.pick(importer(1, 2 * parts + 1), *given)


def tiled(count: int) -> None:
    repeats = np.array([1, count])
    with patch.object(axis_orders, "operand", lambda *parts: repeats):
        any_axes.tile(importer(1, 4), node("Tile", "x", "k"))


def joined(count: int) -> None:
    with (
        patch.object(any_axes, "Bench", MagicMock()),
        patch.object(any_axes, "_along", side_effect=GOES_ON),
    ):
        any_axes.concat(importer(1, 4), node("Concat", *(f"x{k}" for k in range(count))))


def mirrored(before: int, behind: int, mode: str = "reflect") -> None:
    """An axis of five."""
    numbers = {"pads": [0, before, 0, behind], "axes": None}
    with (
        patch.object(any_axes, "_numbers", lambda state, item, key, place: numbers[key]),
        patch.object(any_axes, "pick", MagicMock()),
    ):
        any_axes.pad(importer(1, 5), node("Pad", "x", mode=mode))


def repeated(size: int) -> None:
    """Features without a factor that others have so often."""
    own, other = Made(sizes=(), places=((), (), ())), Made(sizes=(size,), places=((0,), (), ()))
    with patch.object(any_elementwise, "rearranging", MagicMock()):
        any_elementwise._repeated(importer(1, 1), "x", own, {}, [0], other)  # type: ignore[arg-type]


def expanded(size: int) -> None:
    own = Made(sizes=(), places=((), (), ()))
    with patch.object(any_elementwise, "rearranging", MagicMock()):
        any_elementwise._expanded(importer(1, 1), "x", own, [(size,)], (1,), "y")  # type: ignore[arg-type]


def multiplied(axes: int) -> None:
    with patch.object(any_products, "Bench", side_effect=GOES_ON):
        any_products._features(importer(*(4,) * axes), node("MatMul", "x", "w"))


def biased(*shape: int) -> None:
    """A Gemm of five outputs."""
    operands: Sequence[Any] = (None, np.zeros((4, 5), np.float32), np.zeros(shape, np.float32))
    with (
        patch.object(axis_orders, "operand", lambda state, item, at: operands[at]),
        patch.object(axis_orders, "constant", MagicMock()),
        patch.object(any_products, "_dense", MagicMock()),
    ):
        any_products._gemm(importer(1, 4), node("Gemm", "x", "w", "b"))


def grouped(count: int, deep: int = 8) -> object:
    view = Made(tensor=lambda place: Made(shape=(1, 8, 1, 1)))
    with (
        patch.object(softmax, "groups", lambda view: count),
        patch.object(softmax, "depth", lambda view: deep),
    ):
        return softmax._check_channels(view)  # type: ignore[arg-type]


def in_groups(count: int, deep: int = 8) -> object:
    view = Made(tensor=lambda place: Made(shape=(1, 8, 1, 1)))
    with (
        patch.object(pick, "groups", lambda view: count),
        patch.object(pick, "depth", lambda view: deep),
    ):
        return pick._check_groups(view)  # type: ignore[arg-type]


def index_of(dtype: DType, scale: float, deep: int) -> object:
    with patch.object(pick, "depth", lambda view: deep):
        return pick._check_type(Made(output=Made(dtype=dtype), output_scale=scale))  # type: ignore[arg-type]


def assumed(*names: str) -> None:
    facts = tuple((name, (1, 2)) for name in names)
    explore._facts_once(Made(facts=facts))  # type: ignore[arg-type]


def registered(number: int) -> None:
    user_layers.checked({"Own": (number, lambda op, x: x)})


def spelled(function: Any) -> None:
    layer = user_layers.UserLayer(1152, function)
    user_layers._body(onnx.GraphProto(), helper.make_node("Own", ["x"], ["y"]), layer)


def moved(setup_cycles: int, fspm_bytes: int = 1 << 20) -> object:
    """32 channels of 64 pixels: one move of 2048 cycles a row, or two of 800 in all."""
    made = Made(tensor=lambda place: Made(shape=(1, 32, 4, 64), dtype=U8))
    chip = replace(TINY, vector_setup_cycles=setup_cycles, fspm_bytes=fspm_bytes)
    return two_moves.TwoMoves().obstacle(made, chip)  # type: ignore[arg-type]


COPIES, PARTS = "at most 256 copies are made", "at most 512"
ROWS: Rows = {
    "deploy/arrays.py:from_c_array": (
        (lambda f: arrays.from_c_array("0, 255, 0xff").hex() and "", ""),
        (lambda f: arrays.from_c_array("256"), "256 is no number from 0 to 255"),
        (lambda f: arrays.from_c_array("0x100"), "0x100 is no number from 0 to 255"),
        (lambda f: arrays.from_c_array("0XFF").hex() and "", ""),
    ),
    "frontend/any_axes.py:pick": (
        (lambda f: picked(512), "it goes on"),
        (lambda f: picked(513), f"picks 513 separate parts; {PARTS}"),
    ),
    "frontend/any_axes.py:tile": (
        (lambda f: tiled(1), ""),
        (lambda f: tiled(0), "must repeat at least once, not 0 times"),
    ),
    "frontend/any_axes.py:concat": (
        (lambda f: joined(512), "it goes on"),
        (lambda f: joined(513), f"must join {PARTS} tensors, not 513"),
    ),
    "frontend/any_axes.py:pad": (
        (lambda f: mirrored(4, 4), ""),
        (lambda f: mirrored(5, 0), "fewer than 5 elements, not 5"),
        (lambda f: mirrored(0, 5), "fewer than 5 elements, not 5"),
        (lambda f: mirrored(5, 5, "edge"), ""),
    ),
    "frontend/any_axes.py:_numpy": (
        *((lambda f, mode=mode: any_axes._numpy(node("Pad"), mode), f"={mode}")
          for mode in ("edge", "reflect", "wrap")),
        (lambda f: any_axes._numpy(node("Pad"), "own"), "constant, edge, reflect or wrap"),
    ),
    "frontend/any_elementwise.py:_repeated": (
        (lambda f: repeated(256), ""),
        (lambda f: repeated(257), COPIES),
    ),
    "frontend/any_elementwise.py:_expanded": (
        (lambda f: expanded(256), ""),
        (lambda f: expanded(257), COPIES),
    ),
    "frontend/any_products.py:_features": (
        (lambda f: multiplied(2), "it goes on"),
        (lambda f: multiplied(1), "must multiply matrices"),
    ),
    "frontend/any_products.py:_gemm": (
        (lambda f: biased(5), ""),
        (lambda f: biased(1, 5), ""),
        (lambda f: biased(1), ""),
        (lambda f: biased(4), "must have one bias for every output"),
        (lambda f: biased(5, 1), "must have one bias for every output"),
    ),
    "frontend/user_layers.py:checked": (
        (lambda f: registered(1152), ""),
        (lambda f: registered(2**31 - 1), ""),
        (lambda f: registered(1151), "must be from 1152 to 2147483647, not 1151."),
        (lambda f: registered(2**31), "must be from 1152 to 2147483647, not 2147483648."),
    ),
    "frontend/user_layers.py:_body": (
        (lambda f: spelled(lambda op, x: op.Relu(x)), ""),
        (lambda f: spelled(lambda op, x: op.Relu(op.Abs(x))), ""),
        (lambda f: spelled(lambda op, x: x), "must compute what it returns at y."),
    ),
    "passes/two_moves.py:TwoMoves.obstacle": (
        (lambda f: moved(2048 - 800 - 1), ""),
        (lambda f: moved(2048 - 800), "two moves take 800 cycles a row, one takes 2048"),
        (lambda f: moved(0, 6144), ""),
        (lambda f: moved(0, 6143), "two moves need 6144 bytes of FSPM for a row"),
    ),
    "ops/pick.py:_check_groups": (
        (lambda f: in_groups(1), ""),
        (lambda f: in_groups(4, 32768), ""),
        (lambda f: in_groups(0), "groups must divide the 8 channels, not be 0"),
        (lambda f: in_groups(3), "groups must divide the 8 channels, not be 3"),
        (lambda f: in_groups(1, 32769), "at most 32768 channels, not 32769"),
    ),
    "ops/pick.py:_check_type": (
        (lambda f: index_of(U8, 1.0, 256), ""),
        (lambda f: index_of(S16, 1.0, 32768), ""),
        (lambda f: index_of(U8, 1.0, 257), "must be s16 where it picks of 257 channels"),
        (lambda f: index_of(S8, 1.0, 8), "must be u8 or s16 with scale 1, not s8"),
        (lambda f: index_of(U8, 0.5, 8), "must be u8 or s16 with scale 1, not u8 with"),
    ),
    "ops/softmax.py:_check_channels": (
        (lambda f: grouped(1), ""),
        (lambda f: grouped(4, 4096), ""),
        (lambda f: grouped(0), "groups must divide the 8 channels, not be 0"),
        (lambda f: grouped(3), "groups must divide the 8 channels, not be 3"),
        (lambda f: grouped(1, 4097), "at most 4096 channels, not 4097"),
    ),
    "options/explore.py:_facts_once": (
        (lambda f: assumed("clock_hz", "fspm_bytes"), ""),
        (lambda f: assumed("clock_hz", "clock_hz"), "--set clock_hz is given 2 times."),
    ),
}  # fmt: skip
