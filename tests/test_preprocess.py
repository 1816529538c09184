"""Recipes, pictures and picture folders."""

from __future__ import annotations

import json
import logging
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from knightlite.errors import DataError, FormatError, UsageError, suggestion
from knightlite.preprocess import (
    SUFFIXES,
    list_pictures,
    list_recipes,
    load_recipe,
    parse_recipe,
    prepare_picture,
    sample_pictures,
)

GOOD = """\
description = "for tests"
color = "RGB"
resize = "none"
resize_size = []
interpolation = "nearest"
crop_size = []
divide_by = 2.0
mean = [1.0, 2.0, 3.0]
std = [1.0, 2.0, 4.0]
pad_value = 0.0
layout = "nchw"
"""


def recipe_with(**lines: str) -> str:
    """GOOD with some keys replaced; the values are TOML."""
    kept = [line for line in GOOD.splitlines() if line.split(" ")[0] not in lines]
    return "\n".join([*kept, *(f"{key} = {value}" for key, value in lines.items())]) + "\n"


def gradient(height: int, width: int) -> Image.Image:
    """R = row, G = column, B = 200."""
    rows, columns = np.mgrid[0:height, 0:width]
    pixels = np.stack([rows, columns, np.full_like(rows, 200)], axis=2)
    return Image.fromarray(pixels.astype(np.uint8))


# ------------------------------------------------------------------ recipes


def test_every_shipped_recipe_parses_and_keeps_its_text() -> None:
    names = list_recipes()
    assert {"imagenet", "digits", "raw", "ppocr_cls"} <= set(names)
    for name in names:
        recipe = load_recipe(name)
        assert recipe.name == name
        assert parse_recipe(recipe.text, name) == recipe


def test_imagenet_recipe_values() -> None:
    recipe = load_recipe("imagenet")
    assert (recipe.resize, recipe.resize_size, recipe.crop_size) == (
        "short_side",
        (256,),
        (224, 224),
    )
    assert recipe.mean == (0.485, 0.456, 0.406)


def test_recipe_of_the_user_by_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD)
    assert load_recipe(path).name == "mine"


@pytest.mark.parametrize("name", ["nope", "raw/", "", "."])
def test_unknown_recipe_lists_the_known(name: str) -> None:
    with pytest.raises(UsageError, match=f"recipe {name} is not known") as caught:
        load_recipe(name)
    own = "a recipe of your own is a file NAME.toml"
    assert caught.value.hint == suggestion(name, list_recipes(), own)


def test_recipe_that_is_named_as_a_file(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(GOOD)
    (tmp_path / "other").write_text(GOOD)
    with pytest.raises(UsageError, match="mine does not exist") as caught:
        load_recipe(tmp_path / "mine")
    assert caught.value.hint == (
        f"did you mean {tmp_path}/mine.toml? a recipe of your own is a file NAME.toml"
    )
    with pytest.raises(UsageError, match=r"other must end in \.toml\.$"):
        load_recipe(tmp_path / "other")


def test_recipe_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"my\.toml does not exist"):
        load_recipe(tmp_path / "my.toml")
    (tmp_path / "latin.toml").write_bytes(b'description = "\xe9"')
    with pytest.raises(FormatError, match="is not UTF-8 text"):
        load_recipe(tmp_path / "latin.toml")


def test_all_findings_at_once() -> None:
    text = recipe_with(color='"rgb"', divide_by='"255"', colour='"RGB"').replace(
        'layout = "nchw"\n', ""
    )
    with pytest.raises(FormatError, match="recipe r is not a usable recipe") as caught:
        parse_recipe(text, "r")
    assert [finding.sentence for finding in caught.value.findings] == [
        "key colour is not known.",
        "key layout is missing.",
        'color must be one of "RGB", "BGR", "GRAY", not \'rgb\'.',
        "divide_by must be a number above 0, not '255'.",
    ]


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("description", '""', "description must be a text that is not empty, not ''."),
        ("resize", '"crop"', 'resize must be one of "short_side", "exact",'),
        ("resize_size", "[1, 2, 3]", "resize_size must be a list of 0 or 1 or 2 whole numbers"),
        ("resize_size", "[2.0]", "resize_size must be a list of 0 or 1 or 2 whole numbers"),
        ("resize_size", "[true]", "resize_size must be a list of 0 or 1 or 2 whole numbers"),
        ("resize_size", "[8]", "resize_size must have 0 numbers with resize none, not 1."),
        ("crop_size", "[4]", "crop_size must be a list of 0 or 2 whole numbers from 1 to 65535"),
        ("crop_size", "[0, 4]", "crop_size must be a list of 0 or 2 whole numbers from 1 to 65535"),
        ("divide_by", "0.0", "divide_by must be a number above 0, not 0.0."),
        ("divide_by", "nan", "divide_by must be a number above 0, not nan."),
        ("divide_by", "true", "divide_by must be a number above 0, not True."),
        ("mean", "[1.0]", "mean must have 3 numbers for RGB, not 1."),
        ("mean", "[]", "mean must be a list of numbers, one per channel, not []."),
        ("std", "[1, 0, 1]", "std must be a list of numbers above 0, one per channel"),
        ("pad_value", "256", "pad_value must be a number from 0 to 255, not 256."),
        ("layout", '"nhwc"', "layout must be \"nchw\", not 'nhwc'."),
    ],
)
def test_each_wrong_value_is_a_sentence(key: str, value: str, sentence: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse_recipe(recipe_with(**{key: value}), "r")
    (finding,) = caught.value.findings
    assert finding.sentence.startswith(sentence)


def test_crop_larger_than_resize() -> None:
    text = recipe_with(resize='"exact"', resize_size="[8, 9]", crop_size="[9, 9]")
    with pytest.raises(FormatError, match="the height of crop_size must be at most 8 as resized"):
        parse_recipe(text, "r")


def test_not_toml() -> None:
    with pytest.raises(FormatError, match="recipe r is not valid TOML"):
        parse_recipe("a b c", "r")


def test_numbers_that_float32_does_not_hold() -> None:
    with pytest.raises(FormatError, match=r"a pixel of 255 must become a float32 number"):
        parse_recipe(recipe_with(divide_by="1e-45"), "r")
    with pytest.raises(FormatError, match=r"a whole number has more than 64 bits"):
        parse_recipe(recipe_with(divide_by="1" + "0" * 400), "r")


# ------------------------------------------------------------------ pictures


@pytest.mark.parametrize(
    ("resize", "size", "crop", "wrong"),
    [
        ("short_side", [8], [8, 8], []),
        ("short_side", [8], [9, 8], ["height 8 9"]),
        ("short_side", [8], [8, 9], ["width 8 9"]),
        ("short_side", [8], [9, 10], ["height 8 9", "width 8 10"]),
        ("exact", [8, 6], [8, 6], []),
        ("exact", [8, 6], [9, 6], ["height 8 9"]),
        ("exact", [8, 6], [6, 7], ["width 6 7"]),
        ("exact", [], [99, 99], []),  # the input's size is not known here
        ("none", [], [99, 99], []),
    ],
)
def test_a_crop_is_no_larger_than_what_is_resized(
    resize: str, size: list[int], crop: list[int], wrong: list[str]
) -> None:
    text = recipe_with(
        resize=json.dumps(resize), resize_size=json.dumps(size), crop_size=json.dumps(crop)
    )
    if not wrong:
        assert parse_recipe(text, "r").crop_size == tuple(crop)
        return
    with pytest.raises(FormatError) as caught:
        parse_recipe(text, "r")
    told = [item.split() for item in wrong]
    assert [item.sentence for item in caught.value.findings] == [
        f"the {axis} of crop_size must be at most {side} as resized, not {given}."
        for axis, side, given in told
    ]


@pytest.mark.parametrize("pixel", [0, 255])
def test_the_pixel_that_leaves_float32_is_named(pixel: int) -> None:
    """Black where the mean is far off, white where what it is divided by is small."""
    changes = (
        {"mean": "[3e38, 3e38, 3e38]", "std": "[0.1, 0.1, 0.1]", "divide_by": "7.5e-37"}
        if pixel == 0
        else {"divide_by": "1e-37", "mean": "[0.0, 0.0, 0.0]", "std": "[1.0, 1.0, 1.0]"}
    )
    with pytest.raises(FormatError) as caught:
        parse_recipe(recipe_with(**changes), "r")
    error = caught.value
    told = [item.sentence for item in error.findings] or [error.sentence]
    assert f"a pixel of {pixel} must become a float32 number" in told[0]


def test_normalisation_and_layout() -> None:
    x = prepare_picture(gradient(4, 6), parse_recipe(GOOD, "r"), (3, 4, 6))
    assert (str(x.dtype), x.shape, x.flags.c_contiguous) == ("float32", (3, 4, 6), True)
    rows, columns = np.mgrid[0:4, 0:6]
    np.testing.assert_array_equal(x[0], rows / 2 - 1)
    np.testing.assert_array_equal(x[1], (columns / 2 - 2) / 2)
    np.testing.assert_array_equal(x[2], np.full((4, 6), (100 - 3) / 4))


def test_whether_a_recipe_normalizes_is_told_by_its_pixels() -> None:
    """Divided by 255 and by a std of 1/255 they are what they were."""
    same = recipe_with(divide_by="4.0", mean="[0, 0, 0]", std="[0.25, 0.25, 0.25]")
    assert not parse_recipe(same, "r").normalizes
    for change in (
        {"std": "[0.25, 0.25, 1.0]"},
        {"mean": "[0, 0, 1]"},
        {"divide_by": "2.0"},
        {"divide_by": "1.0", "std": "[1, 1, 1]", "mean": "[0, 0, 0.5]"},
    ):
        values = {"divide_by": "4.0", "mean": "[0, 0, 0]", "std": "[0.25, 0.25, 0.25]", **change}
        assert parse_recipe(recipe_with(**values), "r").normalizes
    raw = parse_recipe(recipe_with(), "r").raw()
    assert not raw.normalizes
    assert (raw.divide_by, raw.mean, raw.std) == (1.0, (0.0,) * 3, (1.0,) * 3)


def test_bgr_statistics_follow_the_colour_order() -> None:
    x = prepare_picture(gradient(4, 6), parse_recipe(recipe_with(color='"BGR"'), "r"), (1, 3, 4, 6))
    np.testing.assert_array_equal(x[0], np.full((4, 6), 100 - 1))
    np.testing.assert_array_equal(x[2], (np.mgrid[0:4, 0:6][0] / 2 - 3) / 4)


def test_gray() -> None:
    recipe = parse_recipe(recipe_with(color='"GRAY"', mean="[0.0]", std="[1.0]"), "r")
    x = prepare_picture(Image.new("RGB", (2, 3), (90, 90, 90)), recipe, (1, 3, 2))
    np.testing.assert_array_equal(x, np.full((1, 3, 2), 45, np.float32))


def test_exact_without_size_takes_the_models() -> None:
    recipe = parse_recipe(recipe_with(resize='"exact"'), "r")
    x = prepare_picture(gradient(4, 6), recipe, (3, 8, 12))
    np.testing.assert_array_equal(x[0], np.repeat(np.mgrid[0:4, 0:12][0], 2, axis=0) / 2 - 1)


@pytest.mark.parametrize(
    ("size", "resized"),
    [
        ((100, 151), (10, 15)),
        ((100, 159), (10, 15)),
        ((159, 100), (15, 10)),
        ((30, 30), (10, 10)),
    ],
)
def test_short_side_truncates_the_long_side(
    size: tuple[int, int], resized: tuple[int, int]
) -> None:
    recipe = parse_recipe(recipe_with(resize='"short_side"', resize_size="[10]"), "r")
    assert prepare_picture(gradient(*size), recipe, (3, *resized)).shape == (3, *resized)


def test_crop_is_central_and_rounds_half_to_even() -> None:
    recipe = parse_recipe(recipe_with(crop_size="[4, 4]", mean="[0, 0, 0]", std="[1, 1, 1]"), "r")
    x = prepare_picture(gradient(7, 9), recipe, (3, 4, 4)) * 2
    assert (x[0, 0, 0], x[1, 0, 0]) == (2, 2)  # (7 - 4) / 2 = 1.5 -> 2, (9 - 4) / 2 = 2.5 -> 2


def test_keep_ratio_pads_on_the_right() -> None:
    recipe = load_recipe("ppocr_cls")
    x = prepare_picture(Image.new("RGB", (50, 24), (255, 0, 0)), recipe, (3, 48, 192))
    assert np.all(x[2, :, :100] == 1)  # red stands last in BGR
    assert np.all(x[:2, :, :100] == -1)
    assert np.all(x[:, :, 100:] == 0)
    wide = prepare_picture(Image.new("RGB", (900, 24)), recipe, (3, 48, 192))
    assert np.all(wide == -1)


@pytest.mark.parametrize(
    ("resize", "picture", "size", "box"),
    [
        ("center", (10, 20), (32, 40), (6, 26, 0, 40)),
        ("center", (20, 10), (40, 32), (0, 40, 6, 26)),
        ("center", (10, 19), (32, 32), (7, 24, 0, 32)),  # 16.8 rows are 17: 7 above, 8 below
        ("corner", (10, 19), (32, 32), (0, 16, 0, 32)),
        ("center", (3, 900), (32, 32), (15, 16, 0, 32)),  # never less than one row
        ("corner", (32, 32), (32, 32), (0, 32, 0, 32)),
    ],
)
def test_letterboxes(
    resize: str, picture: tuple[int, int], size: tuple[int, int], box: tuple[int, int, int, int]
) -> None:
    """All of the picture, as large as fits, inside ``box`` (top, bottom, left, right)."""
    lines = {"resize": f'"keep_ratio_pad_{resize}"', "pad_value": "114.0", "divide_by": "1.0"}
    text = recipe_with(**lines, mean="[0, 0, 0]", std="[1, 1, 1]", resize_size=str([*size]))
    recipe = parse_recipe(text, "r")
    x = prepare_picture(Image.new("RGB", picture[::-1], (9, 9, 9)), recipe, (3, *size))
    wanted = np.full((3, *size), 114, np.float32)
    wanted[:, box[0] : box[1], box[2] : box[3]] = 9
    assert np.array_equal(x, wanted)
    free = parse_recipe(text.replace(str([*size]), "[]"), "r")
    assert np.array_equal(
        prepare_picture(Image.new("RGB", picture[::-1], (9, 9, 9)), free, (3, *size)), wanted
    )


def test_shape_that_the_model_does_not_take() -> None:
    with pytest.raises(DataError) as caught:
        prepare_picture(gradient(300, 300), load_recipe("imagenet"), (1, 3, 64, 64))
    assert caught.value.sentence == (
        "the picture becomes 3x224x224 with recipe imagenet, but the model's input is 3x64x64 "
        "(channels x height x width)."
    )


def test_picture_smaller_than_the_crop(tmp_path: Path) -> None:
    path = tmp_path / "small.png"
    gradient(3, 9).save(path)
    with pytest.raises(DataError, match=r"small\.png has 3x9 pixels .* at least 4x4"):
        prepare_picture(path, parse_recipe(recipe_with(crop_size="[4, 4]"), "r"), (3, 4, 4))


def _write_text(path: Path) -> None:
    path.write_text("this is not a picture")


def _write_truncated(path: Path) -> None:
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:900])


def _write_nothing(path: Path) -> None:
    path.write_bytes(b"")


def _write_floats(path: Path) -> None:
    Image.fromarray(np.zeros((4, 4), np.float32)).save(path, format="TIFF")


def _write_postscript(path: Path) -> None:
    """Pillow by itself would start Ghostscript."""
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n%%EndComments\nshowpage\n")


def _write_wide(path: Path) -> None:
    """Few bytes that hold 300 million pixels, which Pillow would refuse as a bomb or decode."""
    header = struct.pack(">IIBBBBB", 15_000, 10_000, 1, 0, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    chunks = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)


@pytest.mark.parametrize(
    ("write", "sentence"),
    [
        (
            _write_text,
            "is not a picture in one of the formats BMP, GIF, JPEG, PNG, PPM, TIFF, WEBP.",
        ),
        (
            _write_nothing,
            "is not a picture in one of the formats BMP, GIF, JPEG, PNG, PPM, TIFF, WEBP.",
        ),
        (_write_truncated, "is damaged: "),
        (_write_floats, "must have 8 or 16 bits per channel, not Pillow mode F."),
        (_write_postscript, "is not a picture in one of the formats "),
        (_write_wide, "has 10000x15000 pixels (height x width), more than 134217728."),
    ],
)
def test_bad_pictures_are_named(
    tmp_path: Path, write: Callable[[Path], None], sentence: str
) -> None:
    path = tmp_path / "cat.jpg"
    write(path)
    with pytest.raises(DataError) as caught:
        prepare_picture(path, parse_recipe(GOOD, "r"), (3, 4, 4))
    assert str(path) in caught.value.sentence
    assert sentence in caught.value.sentence


@pytest.mark.parametrize("head", [b"P6 4 5 255\n", b"P6\n#of 1\r# 2\n4\t5\n# white\n255\r"])
def test_ppm_is_read_as_png_is(tmp_path: Path, head: bytes) -> None:
    """Pixels begin one space behind the head, whatever they are; what follows them is nothing."""
    pixels = np.random.default_rng(3).integers(0, 256, (5, 4, 3)).astype(np.uint8)
    pixels[0, 0] = (10, 35, 32)  # a line's end, "#" and a space
    recipe = parse_recipe(GOOD, "r")
    wanted = prepare_picture(pixels, recipe, (3, 5, 4))
    data = head + pixels.tobytes()
    assert np.array_equal(prepare_picture(data + b"more", recipe, (3, 5, 4)), wanted)
    grey = head.replace(b"P6", b"P5") + pixels[:, :, 1].tobytes()
    wanted = prepare_picture(pixels[:, :, 1], recipe, (3, 5, 4))
    assert np.array_equal(prepare_picture(grey, recipe, (3, 5, 4)), wanted)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"P3 1 1 255 1 2 3\n", "must be a binary PPM or PGM with 8 bits: P6 or P5, "),
        (b"P6 1 1 65535\n123456", "must be a binary PPM or PGM with 8 bits: P6 or P5, "),
        (b"P6 1 1 255", "must be a binary PPM or PGM with 8 bits: P6 or P5, "),
        (b"P6 1" + b"0" * 5000 + b" 1 255\n", "must be a binary PPM or PGM with 8 bits: "),
        (b"P6 " + b"#\n" * 2050 + b"1 1 255\n123", "height, 255 in its first 4096 bytes."),
        (b"P6 0 1 255\n123", "is damaged: 1x0x3 bytes (height x width x channels) must be "),
        (b"P6 9999999999 3 255\n12", "and at most the 2 behind its head."),
        (b"P5 50 2 255\n" + bytes(100), "has 2x50 pixels (height x width), more than 99."),
    ],
)  # fmt: skip
def test_ppm_that_is_not_read(data: bytes, sentence: str) -> None:
    with pytest.raises(DataError) as caught:
        prepare_picture(data, parse_recipe(GOOD, "r"), (3, 4, 4), most_pixels=99)
    assert caught.value.sentence.startswith("picture that was sent ")
    assert sentence in caught.value.sentence


def test_pictures_that_are_none(tmp_path: Path) -> None:
    for name, what in (("no.jpg", "does not exist"), (".", "is a folder, not a file")):
        with pytest.raises(UsageError) as caught:
            prepare_picture(tmp_path / name, parse_recipe(GOOD, "r"), (3, 4, 4))
        assert caught.value.sentence == f"picture {tmp_path / name} {what}."


def test_of_sixteen_bits_the_upper_ones_count(tmp_path: Path) -> None:
    deep = np.arange(0, 1 << 16, 4096, dtype=np.uint16).reshape(4, 4)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    Image.fromarray((deep // 256).astype(np.uint8)).save(tmp_path / "flat.png")
    recipe = parse_recipe(GOOD, "r")
    deep_values, flat_values = (
        prepare_picture(tmp_path / name, recipe, (3, 4, 4)) for name in ("deep.png", "flat.png")
    )
    np.testing.assert_array_equal(deep_values, flat_values)
    assert np.ptp(deep_values) > 0


def test_what_resizing_makes_is_bounded(tmp_path: Path) -> None:
    """A picture of one row and a short side of 8: each pixel of it becomes 64."""
    recipe = parse_recipe(recipe_with(resize='"short_side"', resize_size="[8]"), "r")
    Image.new("L", (1 << 19, 1)).save(tmp_path / "wider.png")
    with pytest.raises(DataError, match=r"becomes 8x4194304 pixels .*, more than 16777216"):
        prepare_picture(tmp_path / "wider.png", recipe, (3, 4, 4))
    tall = parse_recipe(recipe_with(resize='"exact"', resize_size="[1, 60000]"), "r")
    Image.new("1", (1, 1 << 16)).save(tmp_path / "tall.png")  # its rows are resized first
    with pytest.raises(DataError, match=r"becomes 65536x60000 pixels"):
        prepare_picture(tmp_path / "tall.png", tall, (3, 4, 4))


def test_every_format_is_a_picture_in_a_folder_and_decoded(tmp_path: Path) -> None:
    image = gradient(4, 4)
    for number, suffix in enumerate(SUFFIXES):
        image.convert("RGB").save(tmp_path / f"{number}{suffix.upper()}")
    for name in ("b.heic", "a.svg", "notes.txt", "more.csv", ".hidden"):
        (tmp_path / name).write_bytes(b"")
    found = list_pictures(tmp_path)
    assert len(found.samples) == len(SUFFIXES) == 10
    recipe = parse_recipe(GOOD, "r")
    for sample in found.samples:
        assert prepare_picture(sample.path, recipe, (3, 4, 4)).shape == (3, 4, 4)
    assert found.remark == (
        f"4 files of {tmp_path} left out, as pictures end in .bmp, .gif, .jpeg, .jpg, .pgm, .png, "
        ".ppm, .tif, .tiff, .webp: a.svg, b.heic, more.csv and 1 more."
    )
    for name in ("b.heic", "a.svg", "notes.txt", "more.csv"):
        (tmp_path / name).unlink()
    assert list_pictures(tmp_path).remark == ""


def test_files_left_out_of_class_folders_are_named(tmp_path: Path) -> None:
    for kind in ("cat", "dog"):
        (tmp_path / kind).mkdir()
        gradient(4, 4).save(tmp_path / kind / "a.png")
    (tmp_path / "dog" / "b.avif").write_bytes(b"")
    (tmp_path / "labels.txt").write_bytes(b"")  # beside the classes: not among the pictures
    remark = list_pictures(tmp_path).remark
    assert remark.startswith("1 file of ")
    assert remark.endswith(": dog/b.avif.")


def test_orientation_is_not_applied(tmp_path: Path) -> None:
    image = gradient(4, 6)
    exif = image.getexif()
    exif[0x0112] = 6  # "rotate by 90 degrees to show"
    image.save(tmp_path / "turned.png", exif=exif)
    recipe = parse_recipe(GOOD, "r")
    np.testing.assert_array_equal(
        prepare_picture(tmp_path / "turned.png", recipe, (3, 4, 6)),
        prepare_picture(image, recipe, (3, 4, 6)),
    )


def test_alpha_and_palette_become_the_colours(tmp_path: Path) -> None:
    palette = Image.new("P", (2, 2))
    palette.putpalette([10, 20, 30])
    palette.info["transparency"] = b"\x00"
    x = prepare_picture(palette, parse_recipe(GOOD, "r"), (3, 2, 2))
    assert x[:, 0, 0].tolist() == [10 / 2 - 1, (20 / 2 - 2) / 2, (30 / 2 - 3) / 4]


# ------------------------------------------------------------------ folders


def make_folder(root: Path, classes: dict[str, int]) -> Path:
    for name, count in classes.items():
        (root / name).mkdir(parents=True)
        for index in range(count):
            Image.new("L", (1, 1)).save(root / name / f"{index}.png")
    return root


def test_class_folders_in_sorted_order(tmp_path: Path) -> None:
    folder = list_pictures(make_folder(tmp_path, {"b": 1, "a": 2, "empty": 0, "z": 1, ".git": 1}))
    assert folder.classes == ("a", "b", "empty", "z")
    assert [(item.path.parent.name, item.label) for item in folder.samples] == [
        ("a", 0), ("a", 0), ("b", 1), ("z", 3),
    ]  # fmt: skip


def test_flat_folder_and_suffixes(tmp_path: Path) -> None:
    for name in ("2.PNG", "1.jpeg", "3.bmp", "4.JPG", "notes.txt", ".5.png"):
        (tmp_path / name).touch()
    folder = list_pictures(tmp_path)
    assert folder.classes == ()
    assert [(item.path.name, item.label) for item in folder.samples] == [
        ("1.jpeg", None), ("2.PNG", None), ("3.bmp", None), ("4.JPG", None),
    ]  # fmt: skip


def test_folders_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere does not exist"):
        list_pictures(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="file is a file, not a folder"):
        list_pictures(tmp_path / "file")
    with pytest.raises(DataError, match="holds no picture") as caught:
        list_pictures(tmp_path)
    assert ".bmp, .gif, .jpeg, .jpg, .pgm, .png, .ppm, .tif, .tiff, .webp" in caught.value.hint
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.png").touch()
    (tmp_path / "2.png").touch()
    with pytest.raises(DataError, match=r"holds pictures beside class folders: 2\.png beside a/"):
        list_pictures(tmp_path)


def test_sampling_is_even_and_seeded(tmp_path: Path) -> None:
    make_folder(tmp_path, {"a": 9, "b": 2, "c": 9})
    _, samples = sample_pictures(tmp_path, 8, seed=1)
    labels = [
        int(item.path.parent.name == "b") + 2 * int(item.path.parent.name == "c")
        for item in samples
    ]
    assert labels == [item.label for item in samples]
    assert sorted(labels[:3]) == [0, 1, 2]
    assert {label: labels.count(label) for label in range(3)} == {0: 3, 1: 2, 2: 3}
    assert len({item.path for item in samples}) == 8
    assert sample_pictures(tmp_path, 8, seed=1)[1] == samples
    assert sample_pictures(tmp_path, 5, seed=1)[1] == samples[:5]
    assert sample_pictures(tmp_path, 8, seed=2)[1] != samples


def test_sampling_stops_at_what_there_is(tmp_path: Path) -> None:
    make_folder(tmp_path, {"a": 2, "b": 3})
    for count in (None, 100):
        folder, samples = sample_pictures(tmp_path, count, seed=0)
        assert sorted(item.path for item in samples) == [item.path for item in folder.samples]


def test_the_sample_is_pinned(tmp_path: Path) -> None:
    """The same pictures on every machine and numpy: the frozen generator's stream."""
    make_folder(tmp_path, {"a": 5, "b": 5})
    _, samples = sample_pictures(tmp_path, 6, seed=0)
    assert [f"{item.path.parent.name}{item.path.stem}" for item in samples] == [
        "a2", "b0", "a0", "b2", "a1", "b1",
    ]  # fmt: skip


def test_pillow_says_nothing_of_what_is_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It logs an error before it raises one, which Python would print."""
    path = tmp_path / "x.tif"
    Image.new("RGB", (4, 4)).save(path)
    data = path.read_bytes()
    samples = struct.pack("<HHIH", 277, 3, 1, 3)
    assert data.count(samples) == 1
    path.write_bytes(data.replace(samples, struct.pack("<HHIH", 277, 3, 1, 768)))
    with pytest.raises(DataError, match=r"x\.tif is not a picture|x\.tif is damaged"):
        prepare_picture(path, parse_recipe(GOOD, "good"), (3, 4, 4))
    assert not caplog.records
    assert logging.getLogger("PIL").level == logging.NOTSET


def test_a_recipe_is_called_in_one_place() -> None:
    """What has no name of its own is "the recipe of ...", and not a recipe of that name."""
    said = re.compile(r"recipe \{\w+\.name\}")
    package = Path(__file__).parent.parent / "knightlite"
    texts = {path: path.read_text(encoding="utf-8") for path in package.rglob("*.py")}
    assert [path.name for path, text in texts.items() if said.search(text)] == ["recipe.py"]
    stored = parse_recipe(GOOD, "the recipe of the quantized model")
    assert stored.called == "the recipe of the quantized model"
    assert parse_recipe(GOOD, "good").called == "recipe good"
