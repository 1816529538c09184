"""Where functions of tables are steep."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from knightlite.ir import Node
from knightlite.ops.functions import FUNCTIONS
from knightlite.ops.slopes import is_steep


def steep(name: str, x: list[float], **parameters: Any) -> list[bool]:
    attributes = {"function": name, **FUNCTIONS[name].parameters, **parameters}
    found = is_steep(Node("t", "Table", ("x",), ("t",), attributes), np.asarray(x, np.float32))
    return [bool(item) for item in found]


@pytest.mark.parametrize(
    ("name", "x", "wanted"),
    [
        ("Sigmoid", [-1e9, -3, -1, 0, 1, 3, 1e9], [False, False, True, True, True, False, False]),
        ("HardSwish", [-9, -2, 0.5, 2, 9], [False, False, True, True, True]),
        ("Floor", [-5.5, -0.2, 0, 7.9, 50], [True] * 5),  # over a unit it rises like a line
        ("Log", [-1, 0.6, 1, 7], [False, True, True, False]),  # no number there
        ("LeakyRelu", [-3, 3], [False, True]),
    ],
)
def test_functions(name: str, x: list[float], wanted: list[bool]) -> None:
    assert steep(name, x) == wanted


def test_a_constant_function_is_nowhere_less_steep() -> None:
    assert steep("Clip", [-1, 0, 1], min=2.0, max=2.0) == [True] * 3


def test_parameters_count() -> None:
    assert steep("LeakyRelu", [-1, 1], alpha=0.1) == [False, True]
    assert steep("LeakyRelu", [-1, 1], alpha=0.9) == [True, True]
