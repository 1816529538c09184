"""Limits of operators, of the chip and of lists, as in ``limit_rows``."""

from __future__ import annotations

import importlib
from dataclasses import replace
from types import SimpleNamespace as Made
from typing import Any, Union
from unittest.mock import MagicMock, patch

import numpy as np

from assembled import TINY
from knightlite import numerics
from knightlite.allocate import addresses
from knightlite.cli import quant, terminal
from knightlite.dtypes import S8, U8
from knightlite.ir import GraphBuilder
from knightlite.json_records import forms
from knightlite.lower import chain, convolution, vector
from knightlite.ops import (
    conv,
    depth_to_space,
    eltwise,
    matmul,
    pool,
    resize,
    sampling,
    shuffle,
    transposed,
    weighted,
    wide_table,
)
from knightlite.ops.onnx_io import OnnxNode
from knightlite.options.checks import within
from knightlite.quantize.data import PictureFolder
from knightlite.report import summary
from limit_rows import Rows

paired: Any = importlib.import_module("knightlite.evaluation.paired")
lower_pad: Any = importlib.import_module("knightlite.lower.pad")
lower_resize: Any = importlib.import_module("knightlite.lower.resize")
lower_softmax: Any = importlib.import_module("knightlite.lower.softmax")
lower_transposed: Any = importlib.import_module("knightlite.lower.transposed")


def view(*shapes: tuple[int, ...], weights: Any = None, dtype: Any = U8, **known: Any) -> Any:
    """Of an operator whose operands have these shapes."""
    tensors = [Made(shape=shape, dtype=dtype, name=f"t{at}") for at, shape in enumerate(shapes)]
    return Made(
        tensor=lambda place: tensors[place],
        integer=lambda name: known[name],
        integers=lambda name: known[name],
        output=Made(name="y"),
        weights=weights,
    )


def weighing(check: Any, *parts: Any) -> object:
    """A check of an operator whose weights the view has."""
    with patch.object(weighted, "weights", lambda made: made.weights):
        return check(*parts)


def windowed(check: Any, kernel: int, dilation: int = 1, *chip: Any, **known: Any) -> object:
    weights = np.zeros((1, 1, 1, kernel))
    made = view(weights=weights, dilations=(1, dilation), **known)
    with patch.object(transposed, "weights", lambda made: weights):
        return weighing(check, made, *chip)


def budget(total: int) -> None:
    block = Made(first=0, last=0, name="b", size_bytes=7)
    addresses.check_budget([block], total, 0, replace(TINY, ddr_bytes=100))  # type: ignore[list-item]


def smallest(wspm_bytes: int, size: int = 1) -> object:
    """The weights of 9 taps of 4 channels, one byte or two each, in rows of 16 bytes."""
    chip = replace(TINY, wspm_bytes=wspm_bytes)
    made = view((1, 4, 8, 8), weights=np.zeros((1, 4, 3, 3)), group=1)
    with patch.object(chain, "weight_size", lambda view: size):
        return weighing(chain.weights_limit, made, chip, (9,))


def walked(step: int, offset: int, unit: int) -> object:
    lines = [Made(step=step, offset=offset, unit=unit)]
    return lower_resize._check(lambda made: lines)(None, TINY)


def zeros(top: int, left: int) -> object:
    with patch.object(lower_pad.pad, "amounts", lambda made: ((0, top, left), (0, 0, 0))):
        return lower_pad._check_pads(None, TINY)


def exponentials(size: int) -> object:
    with patch.object(lower_softmax.softmax, "table_bytes", lambda made: bytes(size)):
        return lower_softmax._check_table(view((1, 8, 1, 1)), replace(TINY, mspm_bytes=100))


def interpolated(size: int) -> object:
    chip = replace(TINY, mspm_bytes=100)
    with (
        patch.object(wide_table, "is_interpolated", lambda made: True),
        patch.object(wide_table, "table_bytes", lambda made: size),
        patch.object(wide_table, "lut_length", lambda made: 9),
    ):
        return vector._check_table(MagicMock(), chip)


def followed(apart: float) -> object:
    with (
        patch.object(wide_table, "is_interpolated", lambda made: True),
        patch.object(wide_table, "check_length", lambda made: None),
        patch.object(wide_table, "furthest", lambda made: apart),
        patch.object(wide_table, "lut_length", lambda made: 9),
    ):
        return wide_table.check_lines(view((1, 1, 1, 1)))


def products(x: tuple[int, ...], w: tuple[int, ...], groups: int, kind: str = "keys") -> object:
    with patch.object(matmul, "form", lambda made: kind):
        return matmul._check_shapes(view(x, w, groups=groups))


def product_ratio(ratio: float) -> object:
    with (
        patch.object(matmul, "accumulator", lambda made: numerics.NARROW),
        patch.object(matmul, "_ratio", lambda made: ratio),
    ):
        return matmul._check_ratio(MagicMock())


def product_sums(count: int) -> object:
    """Of products of u8 and s8: 255 * 128 each."""
    made = Made(tensor=lambda place: Made(dtype=(U8, S8)[place]))
    with (
        patch.object(matmul, "accumulator", lambda made: numerics.NARROW),
        patch.object(matmul, "depth", lambda made: count),
    ):
        return matmul._check_accumulator(made)  # type: ignore[arg-type]


def positions(rows: int, columns: int) -> object:
    with (
        patch.object(resize, "axes", lambda made: (rows, columns)),
        patch.object(sampling, "line", lambda unit: Made(unit=unit)),
    ):
        return resize._check_units(MagicMock())


def byte_sums(total: int) -> object:
    with (
        patch.object(weighted, "accumulator", lambda made: numerics.WIDE),
        patch.object(weighted, "weights", lambda made: np.zeros((1, 1))),
        patch.object(weighted, "weight_bytes", lambda flat: [(np.array([[total]]), 0, None)]),
    ):
        return weighted._check_bytes(MagicMock())


def sums(largest: int, limits: Any) -> object:
    rules = weighted.constraints(lambda made: largest, MagicMock())
    with patch.object(weighted, "accumulator", lambda made: limits):
        return rules[1].check(MagicMock())


def placed(place: int, scores: int) -> object:
    folder = Made(
        folder=Made(classes=("a", "b")), labels="l.txt", places=(0, place), directory=None
    )
    return PictureFolder.mismatch(folder, scores)  # type: ignore[arg-type]


def chance(right: float, pictures: int) -> object:
    return paired.chance_told(right, 10, pictures, "m")


def between(low: float | None, high: float | None, value: float) -> None:
    within(low, high, "it")(value)


def told(low: float | None = 1.0, middle: float | None = 2.0, high: float | None = 3.0) -> object:
    output = {"sqnr_db": 2.0, "low_db": low, "median_db": middle, "high_db": high}
    return quant._kept(output, 3)


def form(hint: Any) -> None:
    forms.form_of(hint)


def grouped(outputs: int, **fields: int) -> Any:
    """A node with weights of so many output channels."""
    return Made(integer=fields.__getitem__, constant=lambda at: np.ones((outputs, 1, 1, 1)))


def scattering(group: int) -> None:
    """A transposed convolution of 6 channels in so many groups."""
    weights, shapes = np.ones((6, 1, 1, 1), np.float32), {"x": (1, 6, 4, 4), "y": (1, 6, 4, 4)}
    node = OnnxNode("n", "ConvTranspose", 13, ("x", "w"), "y", {"group": group}, {"w": weights},
                    shapes)  # fmt: skip
    transposed.from_onnx(node, GraphBuilder("g"))


LARGEST = 2147483647
KERNEL = "must be smaller than the dilated kernel"
ROWS: Rows = {
    "allocate/addresses.py:check_budget": (
        (lambda f: budget(100), ""),
        (lambda f: budget(101), "needs 101 bytes of DDR"),
    ),
    "cli/quant.py:_kept": (
        (lambda f: told(), "(median 2.0, all from 1.0 to 3.0)"),
        (lambda f: told(low=None), "=SQNR 2.0 dB over 3 calibration pictures"),
        (lambda f: told(middle=None), "=SQNR 2.0 dB over 3 calibration pictures"),
        (lambda f: told(high=None), "=SQNR 2.0 dB over 3 calibration pictures"),
    ),
    "cli/terminal.py:_shortened": (
        (lambda f: terminal._shortened("abcdef", 6), "=abcdef"),
        (lambda f: terminal._shortened("abcdefg", 6), "=ab\u2026efg"),
    ),
    "report/summary.py:shortened": (
        (lambda f: summary.shortened("abcdef", 6), "=abcdef"),
        (lambda f: summary.shortened("abcdefg", 6), "=ab\u2026efg"),
    ),
    "json_records/forms.py:form_of": (
        (lambda f: form(int | str), ""),
        (lambda f: form(Union[int, str]), ""),  # noqa: UP007 - it has an origin of its own
        (lambda f: form(set), "TypeError"),
    ),
    "evaluation/paired.py:chance_told": (
        (lambda f: chance(0.1, 10), "chance of 10 classes is 10.00 %"),
        (lambda f: chance(0.1, 9), ""),
        (lambda f: chance(0.9, 10), ""),
    ),
    "lower/chain.py:weights_limit": (
        (lambda f: smallest(9 * 4 * 16), ""),
        (lambda f: smallest(9 * 4 * 16 - 1), "needs 576 bytes of WSPM"),
    ),
    "lower/convolution.py:_check_pads": (
        (lambda f: windowed(convolution._check_pads, 3, 2, TINY, pads=(0, 4, 0, 4)), ""),
        (lambda f: windowed(convolution._check_pads, 3, 2, TINY, pads=(0, 5, 0, 0)), KERNEL),
        (lambda f: windowed(convolution._check_pads, 3, 2, TINY, pads=(1, 0, 0, 0)), KERNEL),
    ),
    "lower/pad.py:_check_pads": (
        (lambda f: zeros(255, 255), ""),
        (lambda f: zeros(256, 0), "must be at most 255, not 256"),
        (lambda f: zeros(0, 256), "must be at most 255, not 256"),
    ),
    "lower/resize.py:_check.check": (
        (lambda f: walked(LARGEST, -LARGEST, LARGEST), ""),
        (lambda f: walked(LARGEST + 1, 0, 1), "steps, offsets and units of at most"),
        (lambda f: walked(1, -LARGEST - 1, 1), "steps, offsets and units of at most"),
        (lambda f: walked(1, 0, LARGEST + 1), "steps, offsets and units of at most"),
    ),
    "lower/softmax.py:_check_table": (
        (lambda f: exponentials(100), ""),
        (lambda f: exponentials(101), "take 101 bytes of MSPM, the chip has 100"),
    ),
    "lower/transposed.py:_check_window": (
        (lambda f: windowed(lower_transposed._check_window, 128, 2, TINY, strides=(1, 255)), ""),
        (lambda f: windowed(lower_transposed._check_window, 256, 1, TINY, strides=(1, 1)),
         "at most 255, not 256"),
        (lambda f: windowed(lower_transposed._check_window, 1, 1, TINY, strides=(1, 256)),
         "at most 255, not 256"),
    ),
    "lower/vector.py:_check_table": (
        (lambda f: interpolated(100), ""),
        (lambda f: interpolated(101), "takes 101 bytes of the 100 of MSPM"),
    ),
    "ops/depth_to_space.py:_check_channels": (
        (lambda f: depth_to_space._check_channels(view((1, 4, 1, 1), block=1)), ""),
        (lambda f: depth_to_space._check_channels(view((1, 4, 1, 1), block=2)), ""),
        (lambda f: depth_to_space._check_channels(view((1, 4, 1, 1), block=0)), "multiple of 0^2"),
        (lambda f: depth_to_space._check_channels(view((1, 6, 1, 1), block=2)), "multiple of 2^2"),
    ),
    "ops/depth_to_space.py:_check_pixels": (
        (lambda f: depth_to_space._check_pixels(view((1, 1, 3, 3), block=1)), ""),
        (lambda f: depth_to_space._check_pixels(view((1, 1, 4, 3), block=0)), "multiple of 0"),
        (lambda f: depth_to_space._check_pixels(view((1, 1, 4, 3), block=2)), "multiple of 2"),
        (lambda f: depth_to_space._check_pixels(view((1, 1, 3, 4), block=2)), "multiple of 2"),
    ),
    "ops/eltwise.py:_check_shapes": (
        (lambda f: eltwise._check_shapes(view((1, 4, 3, 3), (1, 4, 1, 3))), ""),
        (lambda f: eltwise._check_shapes(view((1, 1, 3, 3), (1, 4, 3, 3))), ""),
        (lambda f: eltwise._check_shapes(view((1, 4, 3, 1), (1, 4, 1, 3))), "must have the output"),
        (lambda f: eltwise._check_shapes(view((1, 4, 3, 3), (1, 2, 3, 3))), "must have the output"),
    ),
    "ops/matmul.py:_check_shapes": (
        (lambda f: products((1, 8, 5, 1), (1, 8, 1, 6), 1), ""),
        (lambda f: products((1, 8, 5, 1), (1, 8, 1, 6), 0), "in 0 groups"),
        (lambda f: products((1, 8, 5, 1), (1, 8, 2, 6), 1), "must have one row"),
        (lambda f: products((1, 8, 5, 1), (1, 4, 1, 6), 1), "must have one row"),
    ),
    "ops/matmul.py:_check_ratio": (
        (lambda f: product_ratio(2.0**-17), ""),
        (lambda f: product_ratio(2.0**-17 * 0.999), "must lie in [2^-17, 2^15)"),
        (lambda f: product_ratio(2.0**15 * 0.999), ""),
        (lambda f: product_ratio(2.0**15), "must lie in [2^-17, 2^15)"),
    ),
    "ops/matmul.py:_check_accumulator": (
        (lambda f: product_sums((2**31 - 1) // (255 * 128)), ""),
        (lambda f: product_sums((2**31 - 1) // (255 * 128) + 1), "must stay within 32 bits"),
    ),
    "ops/pool.py:_check_pads": (
        (lambda f: pool._check_pads(view(kernel=(2, 3), pads=(1, 2, 1, 2))), ""),
        (lambda f: pool._check_pads(view(kernel=(2, 3), pads=(2, 0, 0, 0))), "than the window"),
        (lambda f: pool._check_pads(view(kernel=(2, 3), pads=(0, 0, 0, 3))), "than the window"),
    ),
    "ops/resize.py:_check_units": (
        (lambda f: positions(2**11, 2**12), ""),
        (lambda f: positions(2**11, 2**12 + 1), "exceeds 8388608"),
    ),
    "ops/conv.py:_check_group": (
        (lambda f: conv._check_group(grouped(6, group=1)), ""),
        (lambda f: conv._check_group(grouped(6, group=6)), ""),
        (lambda f: conv._check_group(grouped(6, group=0)), "multiple of the 0 groups"),
        (lambda f: conv._check_group(grouped(6, group=4)), "multiple of the 4 groups"),
    ),
    "ops/transposed.py:from_onnx": (
        (lambda f: scattering(1), ""),
        (lambda f: scattering(6), ""),
        (lambda f: scattering(0), "6 input channels in 0 groups, not 6."),
        (lambda f: scattering(4), "6 input channels in 4 groups, not 6."),
    ),
    "ops/shuffle.py:_check_groups": (
        (lambda f: shuffle._check_groups(view((1, 6, 1, 1), groups=1)), ""),
        (lambda f: shuffle._check_groups(view((1, 6, 1, 1), groups=6)), ""),
        (lambda f: shuffle._check_groups(view((1, 6, 1, 1), groups=0)), "not be 0"),
        (lambda f: shuffle._check_groups(view((1, 6, 1, 1), groups=4)), "not be 4"),
    ),
    "ops/transposed.py:_check_pads": (
        (lambda f: windowed(transposed._check_pads, 3, 2, pads=(0, 4, 0, 4)), ""),
        (lambda f: windowed(transposed._check_pads, 3, 2, pads=(0, 5, 0, 0)), KERNEL),
        (lambda f: windowed(transposed._check_pads, 3, 2, pads=(-1, 0, 0, 0)), KERNEL),
    ),
    "ops/transposed.py:_check_output_padding": (
        (lambda f: transposed._check_output_padding(view(output_padding=(0, 1), strides=(1, 2))),
         ""),
        (lambda f: transposed._check_output_padding(view(output_padding=(1, 0), strides=(1, 2))),
         "must be smaller than the strides"),
        (lambda f: transposed._check_output_padding(view(output_padding=(0, -1), strides=(1, 2))),
         "must be smaller than the strides"),
    ),
    "ops/weighted.py:_check_bytes": (
        (lambda f: byte_sums((2**31 - 1) // 255), ""),
        (lambda f: byte_sums((2**31 - 1) // 255 + 1), "must stay within 32 bits"),
    ),
    "ops/weighted.py:constraints.check_accumulator": (
        (lambda f: sums(2**31 - 1, numerics.NARROW), ""),
        (lambda f: sums(2**31, numerics.NARROW), "must stay within 32 bits"),
        (lambda f: sums(2**47 - 1, numerics.WIDE), ""),
        (lambda f: sums(2**47, numerics.WIDE), "must stay within 48 bits"),
    ),
    "ops/wide_table.py:check_lines": (
        (lambda f: followed(1.4), ""),
        (lambda f: followed(1.41), "up to 1.41 steps of y away from the function, more than 1.4"),
    ),
    "options/checks.py:within.check": (
        (lambda f: between(1, 3, 1), ""),
        (lambda f: between(1, 3, 3), ""),
        (lambda f: between(1, None, 9), ""),
        (lambda f: between(1, 3, 0), "it must be from 1 to 3, not 0."),
        (lambda f: between(1, 3, 4), "it must be from 1 to 3, not 4."),
        (lambda f: between(1, None, 0), "it must be at least 1, not 0."),
    ),
    "quantize/data/workload.py:PictureFolder.mismatch": (
        (lambda f: placed(9, 10), ""),
        (lambda f: placed(10, 10), "a class folder at place 10, but the network gives 10 scores"),
    ),
}  # fmt: skip
