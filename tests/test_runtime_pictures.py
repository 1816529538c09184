"""Pictures and real numbers into the runtime in C: the bytes of Python, Pillow and numpy."""

from __future__ import annotations

import ctypes
from ctypes import POINTER, c_float, c_int, c_size_t, c_uint, c_uint32, c_void_p
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assembled import load, program, store, tensor
from compilers import needs_compiler
from knightlite.container import Program, StoredTensor, encode_program, paired
from knightlite.errors import DataError
from knightlite.isa import Space
from knightlite.native.library import Error, Network, load_library
from knightlite.preprocess import Recipe, list_recipes, load_recipe, prepare_picture
from knightlite.sim.host import dequantize, quantize

pytestmark = needs_compiler

COLORS, INTERPOLATIONS = ("RGB", "BGR", "GRAY"), ("nearest", "bilinear", "bicubic")
RESIZES = (
    "none", "exact", "short_side", "keep_ratio_pad_right", "keep_ratio_pad_center",
    "keep_ratio_pad_corner",
)  # fmt: skip
ARENA, ARGUMENT = 8, 9  # statuses


class CRecipe(ctypes.Structure):
    """``knl_recipe``."""

    _fields_ = (
        *((name, c_uint) for name in ("color", "resize", "interpolation")),
        *((name, c_uint32) for name in ("height", "width", "crop_height", "crop_width")),
        ("divide_by", c_float),
        ("pad_value", c_float),
        ("mean", c_float * 3),
        ("std", c_float * 3),
    )


def c_recipe(recipe: Recipe) -> CRecipe:
    sizes = (*recipe.resize_size, *recipe.resize_size, 0, 0)[:2]
    three = c_float * 3
    return CRecipe(
        COLORS.index(recipe.color), RESIZES.index(recipe.resize),
        INTERPOLATIONS.index(recipe.interpolation), *sizes, *(recipe.crop_size or (0, 0)),
        recipe.divide_by, recipe.pad_value, three(*recipe.mean), three(*recipe.std),
    )  # fmt: skip


@cache
def library() -> Any:
    found = load_library()
    picture = (c_void_p, c_uint32, POINTER(CRecipe))
    found.knl_picture_bytes.restype = c_size_t
    found.knl_picture_bytes.argtypes = (*picture, c_uint32, c_uint32)
    found.knl_write_picture.restype = c_int
    found.knl_write_picture.argtypes = (
        *picture, c_void_p, c_uint32, c_uint32, c_void_p, c_size_t, POINTER(Error),
    )  # fmt: skip
    for name in ("knl_write_real", "knl_read_real"):
        function = getattr(found, name)
        function.restype = c_int
        function.argtypes = (c_void_p, c_uint32, c_void_p, c_size_t, POINTER(Error))
    return found


def copying(entry: StoredTensor) -> Program:
    """A program with this input; what it does otherwise is of no interest."""
    items = [
        load(Space.FSPM, 0, 1),
        store(0, 8, 1),
    ]
    output = tensor("y", "s8", (1, 1, 1), 8)
    made = program(items, inputs=[entry], outputs=[output], ddr_bytes=1 << 20)
    meta = replace(made.meta, tensors=(entry, *made.meta.outputs))
    return paired(replace(made, meta=meta))


class Opened:
    """A network with one input, and what C says of it."""

    def __init__(self, entry: StoredTensor) -> None:
        self.entry, self.error = entry, Error()
        self.network = Network(*encode_program(copying(entry)), options=2)
        self.network.start()
        self.address = self.network._network

    def picture(self, recipe: Recipe, pixels: np.ndarray[Any, Any], short: int = 0) -> int:
        height, width = pixels.shape[:2]
        known = c_recipe(recipe)
        size = library().knl_picture_bytes(self.address, 0, known, height, width)
        scratch = ctypes.create_string_buffer(max(1, size - short))
        data = np.ascontiguousarray(pixels)
        found = library().knl_write_picture(
            self.address, 0, known, data.ctypes.data, height, width, scratch, size - short,
            ctypes.byref(self.error),
        )  # fmt: skip
        return int(found)

    def integers(self) -> np.ndarray[Any, Any]:
        found = np.empty(self.entry.shape, self.entry.dtype.numpy)
        self.network.read(0, found)
        return found

    @property
    def sentence(self) -> str:
        told: bytes = self.error.sentence
        return told.decode()


def entry_of(shape: tuple[int, int, int], kind: Any, scale: Any) -> StoredTensor:
    """``scale``: of all channels, or one of each; as float32 holds it."""
    rounded = np.float32(scale).tolist()
    scale = tuple(rounded) if isinstance(rounded, list) else rounded
    return tensor("x", kind, shape, 64, scale=scale)


def usual(channels: int) -> dict[str, Any]:
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    return {"divide_by": 255.0, "mean": mean[:channels], "std": std[:channels]}


def compare(recipe: Recipe, pixels: np.ndarray[Any, Any], entry: StoredTensor) -> None:
    """The bytes of Python, or a refusal where Python refuses."""
    opened = Opened(entry)
    status = opened.picture(recipe, pixels)
    if status:
        assert status == ARGUMENT, opened.sentence
        with pytest.raises(DataError) as caught:
            prepare_picture(pixels, recipe, entry.shape)
        numbers = [word for word in opened.sentence.split() if "x" in word and word[0].isdigit()]
        assert numbers
        assert all(word.strip("(),.") in caught.value.sentence for word in numbers)
        return
    wanted = quantize(prepare_picture(pixels, recipe, entry.shape)[None], entry)
    assert opened.integers().tobytes() == wanted.tobytes()


def result_size(recipe: Recipe, height: int, width: int, wanted: tuple[int, int]) -> Any:
    """Rows and columns that Python makes of a picture."""
    try:
        prepare_picture(
            np.zeros((height, width, 3), np.uint8), recipe,
            (1 if recipe.color == "GRAY" else 3, *wanted),
        )  # fmt: skip
    except DataError as error:
        words = error.sentence.split(" becomes ")
        if len(words) == 2 and "pixels" not in words[1]:
            return tuple(map(int, words[1].split()[0].split("x")[1:]))
        return wanted
    return wanted


@st.composite
def cases(draw: st.DrawFn) -> tuple[Recipe, np.ndarray[Any, Any], StoredTensor]:
    side = st.integers(1, 40)
    height, width = draw(side), draw(side)
    color, resize = draw(st.sampled_from(COLORS)), draw(st.sampled_from(RESIZES))
    channels = 1 if color == "GRAY" else 3
    wanted = draw(side), draw(side)
    size: tuple[int, ...] = draw(st.sampled_from(((), wanted)))
    if resize in ("none", "short_side"):
        size = () if resize == "none" else (draw(side),)
    recipe = replace(
        load_recipe("raw"),
        color=color, resize=resize, resize_size=size,
        interpolation=draw(st.sampled_from(INTERPOLATIONS)),
        pad_value=draw(st.sampled_from((0.0, 114.0, 127.5))), **usual(channels),
    )  # fmt: skip
    made = result_size(recipe, height, width, wanted)
    if draw(st.booleans()):
        crop = draw(st.integers(1, made[0])), draw(st.integers(1, made[1]))
        recipe = replace(recipe, crop_size=crop)
        made = crop
    kind = draw(st.sampled_from(("u8", "s8", "s16")))
    scale = draw(st.sampled_from((0.0171, tuple(0.01 + 0.003 * at for at in range(channels)))))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    pixels = rng.integers(0, 256, (height, width, 3))
    if draw(st.booleans()):
        pixels = pixels // 128 * 255  # sharp edges: bicubic overshoots
    entry = entry_of((channels, *made), kind, scale)
    return recipe, pixels.astype(np.uint8), entry


@settings(max_examples=250, deadline=None)
@given(cases())
def test_pictures(case: tuple[Recipe, np.ndarray[Any, Any], StoredTensor]) -> None:
    compare(*case)


@pytest.mark.parametrize("name", list_recipes())
@pytest.mark.parametrize("size", [(48, 67), (300, 211)])
def test_recipes_that_ship(name: str, size: tuple[int, int]) -> None:
    recipe = load_recipe(name)
    made = result_size(recipe, *size, (24, 40))
    pixels = np.random.default_rng(1).integers(0, 256, (*size, 3)).astype(np.uint8)
    compare(recipe, pixels, entry_of((3, *made), "s8", 0.0186))
    compare(recipe, pixels, entry_of((3, made[0] + 1, made[1]), "s8", 0.0186))


def test_refusals() -> None:
    """In the words of Python, but for the names that C does not know."""
    recipe = replace(load_recipe("raw"), resize="none", resize_size=(), crop_size=(9, 9))
    opened = Opened(entry_of((3, 9, 9), "u8", 1.0))
    pixels = np.zeros((8, 12, 3), np.uint8)
    assert opened.picture(recipe, pixels) == ARGUMENT
    assert opened.sentence == (
        "the picture has 8x12 pixels where its recipe crops, which must be at least 9x9 "
        "(height x width)."
    )
    assert opened.picture(replace(recipe, crop_size=()), pixels) == ARGUMENT
    assert opened.sentence == (
        "the picture becomes 3x8x12 with its recipe, but the network's input is 3x9x9 "
        "(channels x height x width)."
    )
    larger = np.zeros((9, 12, 3), np.uint8)
    assert opened.picture(recipe, larger, short=1) == ARENA
    assert opened.sentence.startswith("the picture needs ")
    assert opened.picture(recipe, larger) == 0


# ------------------------------------------------------------------ real numbers

FLOATS = st.floats(width=32, allow_nan=False)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(FLOATS | st.integers(-600, 600).map(lambda code: code / 2), min_size=6, max_size=6),
    st.sampled_from(("u8", "s8", "s16")),
    st.sampled_from((1.0, 0.25, 0.017, (3.0, 0.003))),
)
def test_real_numbers(values: list[float], kind: Any, scale: Any) -> None:
    """Halves round to even, what is too large saturates; back they are scaled."""
    entry = entry_of((2, 1, 3), kind, scale)
    given_values = np.array(values, np.float32).reshape(entry.shape)
    opened = Opened(entry)
    data = np.ascontiguousarray(given_values)
    arguments = (opened.address, 0, data.ctypes.data, data.size, ctypes.byref(opened.error))
    assert library().knl_write_real(*arguments) == 0
    wanted = quantize(given_values.astype(np.float32), entry)
    assert opened.integers().tobytes() == wanted.tobytes()
    back = np.empty(entry.shape, np.float32)
    arguments = (opened.address, 0, back.ctypes.data, back.size, ctypes.byref(opened.error))
    assert library().knl_read_real(*arguments) == 0
    assert back.tobytes() == dequantize(wanted, entry).tobytes()


def test_what_is_no_number_is_refused() -> None:
    opened = Opened(entry_of((1, 1, 2), "s8", 1.0))
    data = np.array([1, np.nan], np.float32)
    arguments = (opened.address, 0, data.ctypes.data, 2, ctypes.byref(opened.error))
    assert library().knl_write_real(*arguments) == ARGUMENT
    assert opened.sentence == "input x must hold numbers, not NaN."
    assert library().knl_write_real(*arguments[:3], 1, arguments[4]) == ARGUMENT
    assert opened.sentence == "tensor x has 2 numbers, not 1."
