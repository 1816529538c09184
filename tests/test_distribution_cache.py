"""A cache of the first pass gives back all of it, and is refused for anything else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from float_nets import RELU, FloatNet
from knightlite.errors import DataError
from knightlite.ir import Graph
from knightlite.quantize.statistics import distribution_cache
from knightlite.quantize.statistics.distribution_cache import (
    DistributionCache,
    WatchedWorkload,
    check_data,
    observed,
)
from knightlite.quantize.statistics.passes import Observation, observe

Array = NDArray[Any]
SAMPLE = 4


class Feeds:
    """A workload of batches for each input, with a metric where it is given one."""

    def __init__(
        self, *inputs: Array, metric: float | None = None, called: str = "made by hand"
    ) -> None:
        self.inputs, self.metric, self.description = inputs, metric, called

    def run(self, forward: Any) -> float | None:
        for first in range(0, len(self.inputs[0]), 3):
            forward(tuple(item[first : first + 3] for item in self.inputs))
        return self.metric


def net(gain: float = 1.0) -> Graph:
    """Two inputs, one of them pixels; a scale per channel, a Concat, a table, a mean."""
    net = FloatNet(seed=3)
    net.input("pixels", 3, 8, 8)
    net.input("x", 2, 8, 8)
    weights = np.random.default_rng(0).normal(0, gain, (4, 3, 1, 1))
    net.conv("pixels", "stem", 4, weights=weights, clamp=RELU)
    net.depthwise("stem", "deep", clamp=RELU)
    net.conv("x", "other", 3)
    net.node("Concat", ("deep", "other"), "joined")
    return net.build(net.hard_swish(net.conv("joined", "last", 5), "y"))


def pictures(seed: int = 0) -> tuple[Array, Array]:
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 256, (11, 3, 8, 8)).astype(np.float32)
    values = random.normal(0, 1, (11, 2, 8, 8)).astype(np.float32)
    values[4] *= 40  # a loud picture: there is an even histogram too
    return pixels, values


def run(
    cache: DistributionCache, graph: Graph, feeds: Feeds, sample: int = SAMPLE
) -> tuple[Observation, WatchedWorkload]:
    watched = WatchedWorkload(feeds)
    seen = observed(cache, graph, watched, sample, lambda: observe(graph, watched, None, 1, sample))
    return seen, watched


def same(one: Any, other: Any) -> bool:
    """Equal to the last bit, records field by field."""
    if is_dataclass(one):
        return type(one) is type(other) and all(
            same(getattr(one, item.name), getattr(other, item.name)) for item in fields(one)
        )
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    if isinstance(one, Mapping):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


@pytest.mark.parametrize("metric", [None, 71.25])
def test_all_that_was_seen_comes_back(metric: float | None) -> None:
    graph, feeds = net(), Feeds(*pictures(), metric=metric)
    first = DistributionCache("c.npz", None)
    seen, _ = run(first, graph, feeds)
    assert not first.used
    kinds = seen.statistics.values()
    for part in ("even", "second", "mean"):  # each is there somewhere, and is not everywhere
        assert {getattr(item, part) is None for item in kinds} == {False, True}
    assert {item.integral for item in kinds} == {False, True}
    second = DistributionCache("c.npz", first.made)
    again, watched = run(second, graph, feeds)
    assert second.used
    assert watched.digest == ""  # nothing was run
    assert same(again.statistics, seen.statistics)
    assert same(again.sample, seen.sample)
    assert again.plan == seen.plan
    assert (again.metric, again.pictures) == (seen.metric, 11) == (metric, 11)
    assert (again.last, again.earlier) == ((), {})
    assert len(again.sample[0]) == SAMPLE - 1  # every fourth of eleven
    watched.run(lambda inputs: [])
    check_data(second, watched)


REFUSED: dict[str, dict[str, Any]] = {
    "is of other data (made by hand)": {"feeds": Feeds(*pictures(), called="others")},
    "was made with another --effort": {"sample": SAMPLE + 1},
    "is of another network, or of the same with other options or other pictures": {
        "graph": net(gain=1 + 2.0**-20)
    },
}


@pytest.mark.parametrize("sentence", REFUSED)
def test_what_is_asked_otherwise_is_refused(sentence: str) -> None:
    first = DistributionCache("c.npz", None)
    usual: dict[str, Any] = {"graph": net(), "feeds": Feeds(*pictures())}
    run(first, **usual)
    with pytest.raises(DataError) as caught:
        run(DistributionCache("c.npz", first.made), **usual | REFUSED[sentence])
    assert caught.value.sentence == f"distribution cache c.npz {sentence}."


def test_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    first, graph, feeds = DistributionCache("c.npz", None), net(), Feeds(*pictures())
    run(first, graph, feeds)
    monkeypatch.setattr(distribution_cache, "VERSION", distribution_cache.VERSION + 1)
    with pytest.raises(DataError, match="was written by another version"):
        run(DistributionCache("c.npz", first.made), graph, feeds)


@pytest.mark.parametrize("place", [0, 1])
def test_one_number_of_the_data_that_differs_is_found_out(place: int) -> None:
    """The last one of the last picture, of either input."""
    first, graph = DistributionCache("c.npz", None), net()
    run(first, graph, Feeds(*pictures()))
    inputs = pictures()
    inputs[place][-1, -1, -1, -1] += 1
    second = DistributionCache("c.npz", first.made)
    _, watched = run(second, graph, Feeds(*inputs))
    watched.run(lambda inputs: [])
    with pytest.raises(DataError) as caught:
        check_data(second, watched)
    assert caught.value.sentence == (
        "distribution cache c.npz is of other data: made by hand does not feed the arrays that it "
        "was made from."
    )
    check_data(replace(second, used=False), watched)


def test_every_array_and_note_is_under_the_seal() -> None:
    first = DistributionCache("c.npz", None)
    run(first, net(), Feeds(*pictures()))
    notes, arrays = distribution_cache._unpack(DistributionCache("c.npz", first.made))
    seal = distribution_cache._seal(notes, arrays)
    for name, values in arrays.items():
        changed = values.copy()
        changed.flat[-1] += 1
        for other in ({**arrays, name: changed}, {**arrays, f"{name}_": values}):
            assert distribution_cache._seal(notes, other) != seal
    for key in notes:
        assert distribution_cache._seal({**notes, key: "another"}, arrays) != seal


def test_the_same_bytes_of_another_type_shape_or_name_have_another_seal() -> None:
    zeros = np.zeros((2, 3), np.int32)
    others: tuple[dict[str, Array], ...] = (
        {"a": zeros.view(np.float32)},
        {"a": zeros.reshape(3, 2)},
        {"b": zeros},
        {},
    )
    seals = {distribution_cache._seal({"n": 1}, item) for item in ({"a": zeros}, *others)}
    assert len(seals) == 5
    assert distribution_cache._seal({"n": 2}, {"a": zeros}) not in seals
    one, other = {"a": zeros, "b": zeros + 1}, {"b": zeros + 1, "a": zeros}
    assert distribution_cache._seal({}, one) == distribution_cache._seal({}, other)
