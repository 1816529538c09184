"""A network run when it is asked for: values by tensor, in parts of so many pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from float_nets import FloatNet, Pictures
from knightlite.errors import DataError
from knightlite.inference import Inputs, Runner, Values, float_network, quantized_network
from knightlite.ir import Graph
from knightlite.quantize.pipeline import quantize_graph

Array = NDArray[Any]
PICTURES = np.concatenate(Pictures((3, 6, 6), 6, 3).batches)


def chain() -> Graph:
    """Two convolutions by hand: a is twice the first channel of x, y is a and -a."""
    net = FloatNet()
    x = net.input("x", 3, 6, 6)
    a = net.conv(x, "a", 1, weights=np.array([2, 0, 0]).reshape(1, 3, 1, 1), bias=np.zeros(1))
    net.conv(a, "y", 2, weights=np.array([1, -1]).reshape(2, 1, 1, 1), bias=np.zeros(2))
    return net.build("y")


def wanted() -> Values:
    a = 2 * PICTURES[:, :1]
    return {"y": np.concatenate([a, -a], axis=1), "a": a}


def test_values_go_by_tensor() -> None:
    found = Runner(float_network(chain(), ["a"]), 1).run((PICTURES,))
    assert list(found) == ["y", "a"]
    assert all(np.array_equal(found[name], values) for name, values in wanted().items())


def test_a_quantized_network_gives_real_numbers_by_tensor() -> None:
    """The model calls them otherwise: what is delivered are the dequantized values."""
    graph = chain()
    quantized = quantize_graph(graph, Pictures((3, 6, 6)), threads=1).graph
    found = Runner(quantized_network(quantized, ["x", "a"]), 1).run((PICTURES,))
    assert list(found) == ["y", "x", "a"]
    for name, values in {**wanted(), "x": PICTURES}.items():
        step = quantized.tensors[name].scale
        assert step is not None
        codes = found[name] / step
        assert np.allclose(codes, np.rint(codes), atol=1e-4)
        noise = np.sum(np.square(found[name] - values)) / np.sum(np.square(values))
        assert 0 < noise < 1e-3


@pytest.mark.parametrize(("at_once", "sizes"), [(1, [1] * 6), (4, [4, 2]), (100, [6])])
def test_pictures_are_run_a_part_at_a_time(at_once: int, sizes: list[int]) -> None:
    runner = Runner(float_network(chain(), ["a"]), 1, at_once=at_once)
    seen: list[tuple[Array, Array]] = []

    def each(inputs: Inputs, found: Values) -> None:
        seen.append((inputs[0], found["a"]))

    (outputs,) = runner.outputs((PICTURES,), each)
    assert np.array_equal(outputs, wanted()["y"])
    assert [len(part) for part, _ in seen] == sizes
    assert np.array_equal(np.concatenate([part for part, _ in seen]), PICTURES)
    assert np.array_equal(np.concatenate([values for _, values in seen]), wanted()["a"])
    whole = runner.values((PICTURES,))
    assert list(whole) == ["y", "a"]
    assert np.array_equal(whole["a"], wanted()["a"])


def test_a_network_that_joins_pictures_takes_one_at_a_time() -> None:
    net = FloatNet()
    net.conv(net.input("x", 3, 6, 6), "y", 2)
    net.host("Reshape", "y", "flat", shape=(72,))
    sizes: list[int] = []
    runner = Runner(float_network(net.build("flat")), 1, at_once=4)
    (found,) = runner.outputs((PICTURES,), lambda inputs, _: sizes.append(len(inputs[0])))
    assert sizes == [1] * 6
    assert found.shape == (6 * 72,)


@pytest.mark.parametrize(
    ("inputs", "sentence"),
    [
        ((PICTURES, PICTURES), "the network has 1 inputs (x), but the data gave 2 arrays."),
        ((PICTURES[:, :2],), "input x must have shape [N, 3, 6, 6], not [6, 2, 6, 6]."),
        (
            (np.full_like(PICTURES, np.nan),),
            "input x must hold finite numbers, but the data holds NaN or infinity.",
        ),
    ],
)
def test_inputs_that_do_not_fit(inputs: Inputs, sentence: str) -> None:
    runner = Runner(float_network(chain()), 1)
    for run in (runner.outputs, runner.values):
        with pytest.raises(DataError) as caught:
            run(inputs)
        assert caught.value.sentence == sentence
