"""Files after tensors: distinct, short, the same whoever asks."""

from __future__ import annotations

import hashlib

import pytest

from knightlite.file_names import LONGEST_BYTES, file_names


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (["/model/conv:0", "x"], ["_model_conv_0", "x"]),
        (["head/0", "head_0"], [f"head_0-{digest('head/0')}", "head_0"]),
        (["a:b", "a/b"], ["a_b", f"a_b-{digest('a/b')}"]),
        (["Conv", "conv"], ["Conv", f"conv-{digest('conv')}"]),
        (["e\u0301", "\u00e9"], ["e\u0301", f"\u00e9-{digest(chr(0xE9))}"]),
        (["a\x1b[2J", "b\n", "c\\d?"], ["a_[2J", "b_", "c_d_"]),
        (["n" * LONGEST_BYTES], ["n" * LONGEST_BYTES]),
        (["n" * 999], ["n" * (LONGEST_BYTES - 9) + f"-{digest('n' * 999)}"]),
        (["\u00e9" * 99], ["\u00e9" * 75 + f"-{digest(chr(0xE9) * 99)}"]),  # 2 bytes each
        (["x", "x"], ["x"]),
    ],
)
def test_names(names: list[str], wanted: list[str]) -> None:
    found = file_names(names)
    assert list(found) == list(dict.fromkeys(names))
    assert list(found.values()) == wanted


def test_a_name_like_anothers_hash() -> None:
    likely = f"a_b-{digest('a/b')}"
    found = file_names(["a/b", "a_b", likely])
    assert (found["a_b"], found[likely]) == ("a_b", likely)
    assert found["a/b"] == f"a_b-{digest(chr(10).join(('a/b', '1')))}"


def test_no_ending_makes_it_another_file() -> None:
    endings = ("_p.txt", "_hwc.txt", ".npy")
    found = file_names(["y_hwc", "y", "z/a", "z_a"], endings)
    files = [stem + ending for stem in found.values() for ending in endings]
    assert len(set(files)) == len(files)
    assert (found["y_hwc"], found["z_a"]) == ("y_hwc", "z_a")


def test_long_names_that_differ_at_their_ends() -> None:
    names = [f"{'layer/' * 100}{number}" for number in range(50)]
    found = file_names(names)
    assert len(set(found.values())) == 50
    assert max(len(stem.encode()) for stem in found.values()) <= LONGEST_BYTES
