"""Pictures run side by side: the order of what is handed on, failures, and early ends."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from float_nets import FloatNet
from knightlite.errors import DataError
from knightlite.inference import Inputs, PictureRuns, Values, float_network, picture_runs
from knightlite.ir import Graph
from knightlite.quantize.pipeline import quantize_graph
from knightlite.quantize.steps.improvement import COMPARED

Array = NDArray[Any]
SHAPE = (3, 6, 6)


def small_net() -> Graph:
    net = FloatNet()
    net.input("x", *SHAPE)
    net.conv("x", "y", 4, (3, 3))
    return net.build("y")


def pictures(count: int, batch: int = 1) -> list[Array]:
    rng = np.random.default_rng(0)
    return [rng.normal(0, 1, (batch, *SHAPE)).astype(np.float32) for _ in range(count)]


def copied(found: Values) -> Values:
    return {name: values.copy() for name, values in found.items()}


def whole(_: Inputs, found: Values) -> list[Array]:
    return list(found.values())


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("batch", [1, 4, 7])
@pytest.mark.parametrize("held", [(), ("y",)])
def test_results_come_in_order_and_are_those_of_single_runs(
    threads: int, batch: int, held: Sequence[str]
) -> None:
    graph, fed = small_net(), pictures(9, batch)
    seen: list[Array] = []

    def read(inputs: Inputs, found: Values) -> Values:
        seen.append(inputs[0])
        return copied(found)

    with PictureRuns(float_network(graph), threads, held) as runs:
        outputs = [runs.give((item,), whole, read) for item in fed]
        assert all(len(item) == 1 for item in outputs)
        together = [item[0] for item in outputs]
    assert np.array_equal(np.concatenate(seen), np.concatenate(fed))
    with PictureRuns(float_network(graph), 1) as runs:
        alone = [runs.give((item[None],), whole)[0] for batch_of in fed for item in batch_of]
    assert np.allclose(np.concatenate(together), np.concatenate(alone), atol=1e-6)


def test_outputs_that_are_not_held_may_be_kept() -> None:
    """A later run, in the same memory, does not write over them."""
    graph, fed = small_net(), pictures(6)
    kept: list[Array] = []
    copies: list[Array] = []

    def read(_: Inputs, found: Values) -> Values:
        kept.append(found["y"])
        copies.append(found["y"].copy())
        return found

    with PictureRuns(float_network(graph), 1) as runs:
        for item in fed:
            assert runs.give((item,), whole, read)[0].size
    for values, copy in zip(kept, copies, strict=True):
        assert np.array_equal(values, copy)


@pytest.mark.parametrize("after", [0, 3, 8])
def test_a_failure_is_raised_and_nothing_hangs(after: int) -> None:
    graph = small_net()
    count = itertools.count()

    def read(_: Inputs, found: Values) -> Values:
        if next(count) == after:
            raise DataError("picture 3 is odd.")
        return copied(found)

    def run() -> None:
        with PictureRuns(float_network(graph), 2) as runs:
            for item in pictures(9):
                runs.give((item,), whole, read)

    with pytest.raises(DataError, match="picture 3 is odd"):
        run()


def test_a_batch_larger_than_what_is_held_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_runs, "HELD_BYTES", 1)
    graph, (fed,) = small_net(), pictures(1, 20)
    sizes: list[int] = []

    def read(inputs: Inputs, found: Values) -> Values:
        sizes.append(len(inputs[0]))
        return copied(found)

    with PictureRuns(float_network(graph), 4, ["y"]) as runs:
        assert runs.give((fed,), whole, read)[0].shape == (20, 4, 4, 4)
    assert sizes == [1] * 20


class Fed:
    """Pictures that are fed from one array, filled anew at once; nobody looks at the outputs."""

    description = "pictures"

    def __init__(self, count: int, *, scored: bool = False, reuse: bool = True) -> None:
        self.pictures, self.scored, self.reuse, self.calls = pictures(count), scored, reuse, 0

    def run(self, forward: Callable[[Inputs], Sequence[Array]]) -> float | None:
        buffer = np.empty_like(self.pictures[0])
        for item in self.pictures:
            self.calls += 1
            buffer[:] = item
            forward((buffer,) if self.reuse else (item,))
            if self.reuse:
                buffer[:] = 1e6
        return 1.0 if self.scored else None


def test_arrays_may_be_filled_anew_before_they_are_run() -> None:
    """Values out by a caller who does not wait for the outputs."""
    expected = quantize_graph(small_net(), Fed(30, reuse=False), threads=2)
    found = quantize_graph(small_net(), Fed(30), threads=2)
    assert found.report == expected.report
    assert np.array_equal(found.inputs[0], expected.inputs[0])


@pytest.mark.parametrize(("scored", "compared"), [(False, COMPARED[1]), (True, 100)])
def test_without_a_metric_a_few_pictures_are_compared(scored: bool, compared: int) -> None:
    data = Fed(100, scored=scored)
    made = quantize_graph(small_net(), data, threads=2)
    assert made.report["compared"] == compared
    assert made.report["pictures"] == 100
    assert made.report["metric"]["float"] == (1.0 if scored else None)
    assert np.array_equal(made.inputs[0], data.pictures[-1])
    few = quantize_graph(small_net(), Fed(100, scored=True), threads=2)
    assert made.data_sha256 == few.data_sha256
