"""What errors and warnings say to a Python program: its arguments, not the command line's."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import knightlite
from knightlite.errors import Finding, UsageError
from knightlite.options import options_of
from knightlite.options.quantize import QuantizeOptions
from knightlite.public.wording import in_python, reword

OPTIONS = options_of(QuantizeOptions)


@pytest.mark.parametrize(
    ("said", "reworded"),
    [
        ("name it with -d DIR --recipe NAME", "name it with data=DIR recipe=NAME"),
        ("give 100 with -i 100", "give 100 with iteration=100"),
        ("iteration (-i) and batch size (-bs) must be 1", "iteration and batch_size must be 1"),
        ("--effort high tries more", 'effort="high" tries more'),
        ("with -gt it is written", "with generate_template=True it is written"),
        ("-is/--input-shapes says it", "input_shapes says it"),
        ("the labels (--labels FILE)", "the labels (labels=FILE)"),
        ("a well-known name-if at -5 dB", "a well-known name-if at -5 dB"),
        ("--workers N is of another command", "--workers N is of another command"),
        ("`knightlite quant -m 'a b.onnx' -i 5 --effort high` does it",
         '`knightlite.quantize(model="a b.onnx", iteration=5, effort="high")` does it'),
        ("`knightlite diagnose` says why", "`knightlite.diagnose()` says why"),
        ("`knightlite eval -is 1 3 8 8 --check`",
         "`knightlite.evaluate(input_shapes=(1, 3, 8, 8), check=True)`"),
        ("`knightlite chips` lists them", "`knightlite chips` lists them"),
    ],
)  # fmt: skip
def test_options_are_arguments(said: str, reworded: str) -> None:
    assert in_python(said, OPTIONS) == reworded


def test_an_error_is_reworded_whole() -> None:
    error = UsageError("-d is missing.", "-i N", (Finding("x", "-bs 1 is few.", "-bs 4"),))
    reword(error, OPTIONS)
    assert (str(error), error.sentence, error.hint) == (
        "data is missing.", "data is missing.", "iteration=N",
    )  # fmt: skip
    assert str(error.findings[0]) == "x: batch_size=1 is few. Hint: batch_size=4"


def test_what_a_program_is_told(tmp_path: Path) -> None:
    """Of every way in which the data can be wrong, before any model is read or run."""
    data = np.zeros((2, 3, 8, 8), np.float32)
    told = []
    for arguments in (
        {"data": data, "iteration": 0},
        {"data": data, "batch_size": 0},
        {"data": str(tmp_path)},
        {"data": str(tmp_path), "recipe": "nowhere"},
        {"data": data, "run_mode": "convert"},
        {"infer": "function"},
    ):
        with pytest.raises(knightlite.KnightliteError) as caught:
            knightlite.quantize(
                Path(__file__).parent.parent / "examples/digits/none.onnx", **arguments
            )
        told.append(f"{caught.value.sentence} {caught.value.hint}")
    assert [text for text in told if re.search(r"(?<!\w)--?[a-z]{1,}", text)] == []
