"""mean and std inside the network: exact where they fold, an affine where padding is read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from float_nets import PADS, FloatNet
from knightlite.errors import UsageError
from knightlite.frontend.normalization import normalize_input
from knightlite.inference import session
from knightlite.ir import Graph
from knightlite.onnx_models import write_float

Array = NDArray[Any]
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


def net(pads: tuple[int, ...], first: str = "conv") -> Graph:
    made = FloatNet()
    x = made.input("x", 3, 9, 8)
    if first == "affine":
        x = made.affine(x, "first")
    made.conv(x, "y", 5, (3, 3), pads=pads)
    return made.builder.build(("y",))


def run(graph: Graph, pictures: Array) -> Array:
    return np.asarray(session(write_float(graph), 1).run(None, {"x": pictures})[0])


@pytest.mark.parametrize(
    ("pads", "first", "mean", "std", "operators"),
    [
        ((0, 0, 0, 0), "conv", MEAN, STD, ["Conv"]),
        (PADS, "conv", MEAN, STD, ["Affine", "Conv"]),
        (PADS, "affine", MEAN, STD, ["Affine", "Conv"]),
        (PADS, "conv", (0.0,), (255.0,), ["Conv"]),
        ((1, 0, 0, 2), "conv", (127.5,), STD, ["Affine", "Conv"]),
        ((0, 0, 0, 0), "conv", (127.5,), (127.5,), ["Conv"]),
    ],
)
def test_the_network_answers_pixels_as_it_answered_normalized_ones(
    pads: tuple[int, ...], first: str, mean: tuple[float, ...], std: tuple[float, ...],
    operators: list[str], rng: np.random.Generator,
) -> None:  # fmt: skip
    """The border too, where zeros of the normalized picture are padded."""
    graph = net(pads, first)
    pixels = rng.integers(0, 256, (4, 3, 9, 8)).astype(np.float32)
    shape = (1, -1, 1, 1)
    wanted = run(graph, ((pixels - np.reshape(mean, shape)) / np.reshape(std, shape)).astype("f4"))
    changed = normalize_input(graph, "x", mean, std)
    assert [node.op for node in changed.nodes] == operators
    assert np.max(np.abs(run(changed, pixels) - wanted)) < 2e-5 * np.max(np.abs(wanted))


@pytest.mark.parametrize(
    ("mean", "std", "sentence"),
    [
        ((1.0, 2.0), (1.0,),
         "--mean must be one number or 3 for the channels of input x, not 2."),
        ((1.0,), (1.0,) * 4, "--std must be one number or 3 for the channels of input x, not 4."),
        ((1.0,), (0.0,), "--std must be above 0, not 0.0."),
        ((float("nan"),), (1.0,), "--mean must be finite numbers, not [nan]."),
    ],
)  # fmt: skip
def test_numbers_that_do_not_fit(
    mean: tuple[float, ...], std: tuple[float, ...], sentence: str
) -> None:
    with pytest.raises(UsageError) as caught:
        normalize_input(net(PADS), "x", mean, std)
    assert caught.value.sentence == sentence
