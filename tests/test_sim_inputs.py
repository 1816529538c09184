"""What ``--input`` may name, and what it may not."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assembled import tensor
from knightlite.errors import DataError, UsageError
from knightlite.sim import inputs
from knightlite.sim.raw_kind import Look, look_of

ENTRY = tensor("x", "u8", (3, 2, 2), 0, scale=0.5, column_stride=4)
FRAMES = np.arange(5 * 12, dtype=np.uint8).reshape(5, 3, 2, 2)


def write(path: Path, values: np.ndarray[Any, Any]) -> str:
    values.tofile(path)
    return str(path)


def values(found: inputs.Frames, name: str = "x") -> list[list[int]]:
    return [frame[name].ravel().tolist() for frame in found]


def flat(*numbers: int) -> list[list[int]]:
    return [FRAMES[number].ravel().tolist() for number in numbers]


def test_float32_is_quantized(tmp_path: Path) -> None:
    name = write(tmp_path / "x.bin", FRAMES[0].astype(np.float32) / 2)
    found = inputs.read(name, [ENTRY], "nchw")
    assert (found.kind, found.available, found.remaining) == ("float32", 1, 0)
    assert values(found) == flat(0)


def test_integers_are_taken_as_they_are(tmp_path: Path) -> None:
    found = inputs.read(write(tmp_path / "x.bin", FRAMES), [ENTRY], "nchw")
    assert (found.kind, found.available, found.remaining) == ("u8", 5, 4)
    assert values(found) == flat(0)
    assert next(iter(found))["x"].dtype == np.uint8


def test_frames_asked_for(tmp_path: Path) -> None:
    name = write(tmp_path / "x.bin", FRAMES)
    assert values(inputs.read(name, [ENTRY], "nchw", 3)) == flat(0, 1, 2)
    assert values(inputs.read(name, [ENTRY], "nchw", 3, 2)) == flat(0, 2, 4)
    more = inputs.read(name, [ENTRY], "nchw", 6)
    assert (more.asked, more.available, values(more)) == (6, 5, flat(0, 1, 2, 3, 4))
    more = inputs.read(name, [ENTRY], "nchw", 4, 2)
    assert (more.asked, more.available, values(more)) == (4, 5, flat(0, 2, 4))


@pytest.mark.parametrize(
    ("count", "step", "asked", "numbers"),
    [
        (None, 0, 2, (0, 1)),  # as many as usual
        (None, 4, 2, (0, 4)),
        (None, 9, 2, (0,)),
        (1, 3, 1, (0,)),
        (2, 3, 2, (0, 3)),
        (4, 3, 4, (0, 3)),
        (2, 1, 2, (0, 1)),
        (5, 1, 5, (0, 1, 2, 3, 4)),
        (9, 0, 9, (0, 1, 2, 3, 4)),
        (9, 2, 9, (0, 2, 4)),
    ],
)
def test_which_frames_run(
    count: int | None, step: int, asked: int, numbers: tuple[int, ...], tmp_path: Path
) -> None:
    """Of five; all others remain, also those between."""
    name = write(tmp_path / "x.bin", FRAMES)
    found = inputs.read(name, [ENTRY], "nchw", count, step, usual_count=2)
    assert (found.asked, found.available, found.numbers) == (asked, 5, numbers)
    assert found.remaining == 5 - len(numbers)


@pytest.mark.parametrize("counts", [(5, 3), (3, 5)])
def test_files_of_equally_many_frames(counts: tuple[int, int], tmp_path: Path) -> None:
    files = [tmp_path / name for name in "ab"]
    for path, count in zip(files, counts, strict=True):
        write(path, FRAMES[:count])
    entries = [ENTRY, replace(ENTRY, name="y")]
    with pytest.raises(DataError) as caught:
        inputs.read(files, entries, "nchw", 1)
    assert caught.value.sentence == (
        f"the input files must hold equally many frames, not {list(counts)}."
    )


def test_ten_pictures_of_the_walkthrough(tmp_path: Path) -> None:
    """Ten float32 NCHW frames without -fc: the first runs, nine remain."""
    many = np.concatenate([FRAMES, FRAMES]).astype(np.float32) / 2
    found = inputs.read(write(tmp_path / "x.bin", many), [ENTRY], "nchw")
    assert (found.kind, found.available, found.remaining) == ("float32", 10, 9)
    assert values(found) == flat(0)


RNG = np.random.default_rng(0)
SMALL = RNG.normal(0, 1, (1, 3, 2, 2)).astype(np.float32)
LOOKS: dict[str, tuple[np.ndarray[Any, Any], str]] = {
    "floats": (SMALL, "look like float32"),
    "floats of pixels": (RNG.integers(0, 256, (1, 3, 2, 2)).astype("<f4"), "look like float32"),
    "bright": (FRAMES[:4] + np.uint8(200), "do not look like float32"),
    "dark": (RNG.integers(0, 20, (4, 3, 2, 2)).astype(np.uint8), "do not look like float32"),
    "black but for a pixel": (np.eye(1, 48, 17, dtype=np.uint8), "do not look like float32"),
    "grey": (RNG.integers(60, 68, (4, 3, 2, 2)).astype(np.uint8), "may be either"),
    "black": (np.zeros((4, 3, 2, 2), np.uint8), "are all 0"),
}


@pytest.mark.parametrize("name", LOOKS)
def test_values_and_count_agree_on_four_frames_or_one(tmp_path: Path, name: str) -> None:
    """48 bytes are one frame of float32 or four of u8."""
    data, look = LOOKS[name]
    path = write(tmp_path / "x.bin", data)
    may_be = {
        "look like float32": (True, True, False),
        "do not look like float32": (False, False, True),
        "may be either": (False, True, True),
        "are all 0": (True, True, True),
    }[look]
    for count, fits in zip((None, 1, 4), may_be, strict=True):
        if fits:
            found = inputs.read(path, [ENTRY], "nchw", count)
            wanted = ("u8", 4) if count == 4 else ("float32", 1)
            assert (found.kind, found.available) == wanted
            continue
        with pytest.raises(DataError) as caught:
            inputs.read(path, [ENTRY], "nchw", count)
        assert caught.value.sentence == (
            f"{path} has 48 bytes, which are 1 frames of float32 or 4 of u8, and its values {look}."
        )
        ways = ["-fc 4 says that it holds so many frames of u8", "-fc 1 says that it is float32"]
        said = [way for way, there in zip(ways, (may_be[2], may_be[1]), strict=True) if there]
        assert caught.value.hint == ", ".join([*said, "a .npy file says what it holds by itself"])


@pytest.mark.parametrize(("low", "high"), [(0, 12000), (-300, 300), (13000, 20000)])
def test_integers_of_16_bits(tmp_path: Path, low: int, high: int) -> None:
    """Two frames of s16, or one of float32; those beyond 12,544 have the bytes of floats."""
    entry = tensor("x", "s16", (3, 2, 2), 0)
    data = RNG.integers(low, high, (2, 3, 2, 2)).astype("<i2")
    path = write(tmp_path / "x.bin", data)
    look = "may be either" if low > 12544 else "do not look like float32"
    with pytest.raises(DataError, match=f"1 frames of float32 or 2 of s16, and its values {look}"):
        inputs.read(path, [entry], "nchw")
    assert values(inputs.read(path, [entry], "nchw", 2)) == data.reshape(2, -1).tolist()


def floats(*numbers: float) -> np.ndarray[Any, Any]:
    return np.array(numbers, "<f4").view(np.uint8)


@pytest.mark.parametrize(
    ("data", "look"),
    [
        # magnitudes from 2^-30 to below 2^30 are numbers, those beyond are none
        (floats(2.0**-30, -(2.0**-30), 2.0**29, -1.75 * 2.0**29), Look.FLOATS),
        (floats(1.75 * 2.0**-31), Look.INTEGERS),
        (floats(2.0**30), Look.INTEGERS),
        # nine of ten may suffice, zeros of both signs left aside; one that is not finite is enough
        (floats(*[1] * 9, 2.0**-31, *[0.0] * 5, *[-0.0] * 5), Look.FLOATS),
        (floats(*[1] * 8, 2.0**-31, *[0.0] * 5, *[-0.0] * 5), Look.INTEGERS),
        (floats(*[1] * 99, np.inf), Look.INTEGERS),
        (floats(*[1] * 99, np.nan), Look.INTEGERS),
        # half of the bytes that u8 would have elsewhere may look like the tops of floats
        (np.array([0x30, 0x4E, 0x2F, 0x40, 0x4F, 0xB0, 0x00, 0x40], np.uint8), Look.FLOATS),
        (np.array([0x30, 0x4E, 0x2F, 0x40, 0xCE, 0xB0, 0x00, 0x40], np.uint8), Look.EITHER),
    ],
)
def test_edges_of_what_looks_like_float32(data: np.ndarray[Any, Any], look: Look) -> None:
    assert look_of(data, 1) is look


def test_the_top_bytes_of_s16_are_every_other_one() -> None:
    data = np.array([0x30, 0x00, 0x30, 0x40], np.uint8)
    assert [look_of(data, size) for size in (1, 2)] == [Look.EITHER, Look.FLOATS]
    assert look_of(data[[1, 0, 1, 3]], 2) is Look.EITHER


def test_whole_pictures_look_like_what_they_are() -> None:
    """Of 40 pictures each, none is taken for the other kind."""
    for seed in range(40):
        rng = np.random.default_rng(seed)
        ramp = rng.uniform(0, 255, (3, 1, 1)) + np.add.outer(*rng.uniform(-2, 2, (2, 32)).cumsum(1))
        picture = np.clip(ramp + rng.normal(0, 2, ramp.shape), 0, 255).astype(np.uint8)
        floats = ((picture.astype(np.float32) / 255 - 0.45) / 0.225).ravel()
        for kind in (floats, picture.astype(np.float32).ravel()):
            assert look_of(kind.view(np.uint8), 1) is Look.FLOATS
        found = look_of(picture.ravel(), 1)
        assert found in (Look.INTEGERS, Look.EITHER)


def test_sizes_that_do_not_fit(tmp_path: Path) -> None:
    name = write(tmp_path / "x.bin", np.zeros(50, np.uint8))
    with pytest.raises(DataError) as caught:
        inputs.read(name, [ENTRY], "nchw")
    assert caught.value.sentence == (
        f"{name} has 50 bytes; a frame needs 48 bytes as float32 or 12 as u8 in nchw order."
    )
    assert inputs.read(name, [ENTRY], "nchw", 1).kind == "float32"  # a remainder, one frame fits
    dark = write(tmp_path / "dark.bin", np.full(50, 9, np.uint8))
    with pytest.raises(DataError, match=r"or 4 of u8, and its values do not look like float32\.$"):
        inputs.read(dark, [ENTRY], "nchw", 1)
    assert inputs.read(dark, [ENTRY], "nchw", 3).kind == "u8"
    empty = write(tmp_path / "empty.bin", np.zeros(0, np.uint8))
    with pytest.raises(DataError, match="has 0 bytes"):
        inputs.read(empty, [ENTRY], "nchw")
    with pytest.raises(UsageError, match=r"no\.bin does not exist\.$"):
        inputs.read(str(tmp_path / "no.bin"), [ENTRY], "nchw")


def test_layouts(tmp_path: Path) -> None:
    nhwc = np.ascontiguousarray(FRAMES[:1].transpose(0, 2, 3, 1))
    assert values(inputs.read(write(tmp_path / "a", nhwc), [ENTRY], "nhwc")) == flat(0)
    padded = np.full((1, 2, 2, 4), 99, np.uint8)
    padded[..., :3] = nhwc
    assert values(inputs.read(write(tmp_path / "b", padded), [ENTRY], "nhwcstride")) == flat(0)
    wide = replace(ENTRY, type="s16", column_stride=8)  # 3 channels and one more, of 2 bytes
    found = inputs.read(write(tmp_path / "w", padded.astype("<i2")), [wide], "nhwcstride", 1)
    assert (found.kind, found.available, values(found)) == ("s16", 1, flat(0))
    with pytest.raises(
        UsageError, match=r"^the input format must be one of nchw, nhwc, nhwcstride, not chw\.$"
    ):
        inputs.read(str(tmp_path / "a"), [ENTRY], "chw")
    with pytest.raises(UsageError, match="the frame count must be at least 1"):
        inputs.read(str(tmp_path / "a"), [ENTRY], "nchw", 0)


def test_several_inputs(tmp_path: Path) -> None:
    other = tensor("z", "s8", (1, 1, 2), 0)
    z = np.array([[-1, 2], [-3, 4]], np.int8)
    a, b = write(tmp_path / "a", FRAMES[:2]), write(tmp_path / "b", z)
    for sign in ":,":
        found = inputs.read(a + sign + b, [ENTRY, other], "nchw", 2)
        assert values(found) == flat(0, 1)
        assert values(found, "z") == [[-1, 2], [-3, 4]]
    joined = b"".join(FRAMES[k].tobytes() + z[k].tobytes() for k in range(2))
    (tmp_path / "c").write_bytes(joined)
    found = inputs.read(str(tmp_path / "c"), [ENTRY, other], "nchw", 2)
    assert values(found) == flat(0, 1)
    assert values(found, "z") == [[-1, 2], [-3, 4]]
    assert found.kind == "s8 and u8"
    with pytest.raises(DataError, match=r"^the network has 1 inputs \(x\), not 2\.$"):
        inputs.read(f"{a}:{b}", [ENTRY], "nchw")
    write(tmp_path / "b", z[:1])
    with pytest.raises(DataError, match=re.escape("equally many frames, not [2, 1].")):
        inputs.read(f"{a}:{b}", [ENTRY, other], "nchw", 1)


def test_npy(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", FRAMES)
    found = inputs.read(str(tmp_path / "x.npy"), [ENTRY], "nchw", 2)
    assert (found.kind, found.available, values(found)) == ("u8", 5, flat(0, 1))
    np.save(tmp_path / "x.npy", FRAMES[3].astype(np.float32) / 2)
    assert values(inputs.read(str(tmp_path / "x.npy"), [ENTRY], "nchw")) == flat(3)
    for real in ("float16", "float64", ">f4"):
        np.save(tmp_path / "x.npy", FRAMES.astype(real) / 2)
        found = inputs.read(str(tmp_path / "x.npy"), [ENTRY], "nchw", 5)
        assert (found.kind, values(found)) == (np.dtype(real).name, flat(0, 1, 2, 3, 4))
    np.save(tmp_path / "x.npy", FRAMES.astype(np.int64))
    with pytest.raises(DataError, match=r"must hold floats or uint8, not int64\.$"):
        inputs.read(str(tmp_path / "x.npy"), [ENTRY], "nchw")
    np.save(tmp_path / "x.npy", FRAMES.transpose(0, 2, 3, 1).copy())
    with pytest.raises(
        DataError, match=r"must hold frames of shape \(3, 2, 2\) \(nchw\), not \(5, 2, 2, 3\)\.$"
    ) as caught:
        inputs.read(str(tmp_path / "x.npy"), [ENTRY], "nchw")
    assert caught.value.hint == "-fmt nhwc reads them as they are"
    (tmp_path / "x.npy").write_bytes(b"not an array")
    with pytest.raises(DataError, match=r"x\.npy is not a readable \.npy file\.$"):
        inputs.read(str(tmp_path / "x.npy"), [ENTRY], "nchw")
