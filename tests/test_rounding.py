"""Rounding with the layer's inputs: never worse than nearest on them, exact where it can be."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from float_nets import Pictures, small_net
from knightlite import dtypes
from knightlite.inference import NodeRuns
from knightlite.ir import Tensor
from knightlite.quantize.pipeline import quantize_graph
from knightlite.quantize.settings import Settings
from knightlite.quantize.steps import rounding
from knightlite.quantize.steps.rounding import (
    Moments,
    Sums,
    best_ridge,
    half_sums,
    refit,
    round_rows,
    squared_error,
    windows,
)
from knightlite.quantize.steps.walk import Layer, Walk

Array = NDArray[Any]


def moments(x: Array, y: Array) -> Moments:
    """Of x [n, K, P] and y [n, Co, P]."""
    sums = Sums(1, x.shape[1], y.shape[1])
    for some, wanted in zip(x, y, strict=True):
        sums.add(some[None], wanted[None])
    return sums.moments(0)


def data(seed: int, rows: int = 6, channels: int = 3, pixels: int = 40) -> tuple[Array, Array]:
    """Correlated inputs [1, K, P] and weights [K, Co] in steps."""
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(rows, rows)) @ rng.normal(size=(rows, pixels))
    return mixed[None] + rng.normal(size=(rows, 1)), rng.normal(0, 2, (rows, channels))


@given(st.integers(0, 10_000), st.lists(st.integers(0, 40), max_size=4), st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_sums_by_chunks_are_the_moments_of_all(seed: int, cuts: list[int], groups: int) -> None:
    """Pixels in any chunks, in two halves that are joined: the moments of one centered product."""
    rng = np.random.default_rng(seed)
    x = rng.normal(100, 1, (groups, 6, 40)).astype(np.float32)  # means far beyond what varies
    y = rng.normal(-50, 1, (groups, 3, 40)).astype(np.float32)
    halves = [Sums(groups, 6, 3) for _ in range(2)]
    ends = sorted({0, 40, *cuts})
    for place, (first, last) in enumerate(itertools.pairwise(ends)):
        halves[place % 2].add(x[:, :, first:last], y[:, :, first:last])
    for joined, other in (halves, [Sums(groups, 6, 3), halves[0]]):  # to an empty one too
        if other.count:
            joined.join(other)
        assert joined.count == 40
        for group in range(groups):
            found = joined.moments(group)
            rows, wanted = (item[group].astype(np.float64) for item in (x, y))
            rows -= rows.mean(axis=1, keepdims=True)
            wanted -= wanted.mean(axis=1, keepdims=True)
            np.testing.assert_allclose(found.gram, rows @ rows.T, rtol=1e-11, atol=1e-10)
            np.testing.assert_allclose(found.cross, rows @ wanted.T, rtol=1e-11, atol=1e-10)


def test_rounding_together_beats_rounding_one_by_one() -> None:
    """Over many draws: the output error of correlated inputs falls to well below nearest's."""
    together = nearest = 0.0
    for seed in range(30):
        x, weights = data(seed, rows=12)
        y = np.einsum("nkp,kc->ncp", x, weights)
        found = moments(x, y)
        energy = float(np.sum((y - y.mean(axis=2, keepdims=True)) ** 2))
        codes = round_rows(found.gram, weights, 127).astype(np.float64)
        together += squared_error(found, codes) + energy
        nearest += squared_error(found, np.rint(weights)) + energy
    assert together < 0.6 * nearest


def test_whole_numbers_stay_and_limits_hold() -> None:
    x, weights = data(1)
    found = moments(x, np.einsum("nkp,kc->ncp", x, weights))
    whole = np.rint(3 * weights)
    assert np.array_equal(round_rows(found.gram, whole, 127), whole)
    assert np.abs(round_rows(found.gram, 100 * weights, 7)).max() == 7


def test_a_fit_makes_good_what_the_inputs_lost() -> None:
    """The target is another mixture of the inputs: the fit finds it, and the ridge holds it."""
    x, weights = data(3, pixels=400)
    wanted = weights + 0.3
    found = moments(x, np.einsum("nkp,kc->ncp", x, wanted))
    assert np.allclose(refit(found, weights, 1e-9), wanted, atol=1e-4)
    assert np.array_equal(refit(found, weights, np.inf), weights)
    gaps = [np.abs(refit(found, weights, ridge) - weights).sum() for ridge in (10, 0.1, 0.001)]
    assert gaps == sorted(gaps)


def test_noise_is_not_fitted() -> None:
    """Few pixels and a target that differs by noise alone: unseen pixels refuse any fit."""
    rng = np.random.default_rng(0)
    x, weights = data(5, rows=20, pixels=24)
    y = np.einsum("nkp,kc->ncp", x, weights) + rng.normal(0, 0.5, (1, 3, 24))
    halves = [moments(x[:, :, half::2], y[:, :, half::2]) for half in (0, 1)]
    assert best_ridge(halves, weights, NodeRuns(small_net(), 2)) >= 1.0


@pytest.mark.parametrize(
    ("kernel", "strides", "pads", "dilations"),
    [((1, 1), (1, 1), (0, 0, 0, 0), (1, 1)), ((3, 2), (2, 1), (1, 0, 2, 1), (1, 2)),
     ((1, 1), (2, 2), (0, 0, 0, 0), (1, 1))],
)  # fmt: skip
def test_windows_are_what_a_convolution_reads(
    kernel: tuple[int, int],
    strides: tuple[int, int],
    pads: tuple[int, int, int, int],
    dilations: tuple[int, int],
) -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(3, 7, 8))
    padded = np.pad(x, ((0, 0), (pads[0], pads[2]), (pads[1], pads[3])))
    read = windows(x, kernel, strides, pads, dilations)
    height = (padded.shape[1] - (kernel[0] - 1) * dilations[0] - 1) // strides[0] + 1
    width = (padded.shape[2] - (kernel[1] - 1) * dilations[1] - 1) // strides[1] + 1
    found = read(np.arange(height * width))
    assert found.shape == (3 * kernel[0] * kernel[1], height * width)
    some = np.arange(0, height * width, 2)
    assert np.array_equal(read(some), found[:, some])
    for c, i, j in np.ndindex(3, *kernel):
        row = (c * kernel[0] + i) * kernel[1] + j
        for h, w in np.ndindex(height, width):
            y, z = h * strides[0] + i * dilations[0], w * strides[1] + j * dilations[1]
            assert np.array_equal(found[row, h * width + w], padded[c, y, z])


@pytest.mark.parametrize("most", [1 << 16, 200])
def test_halves_are_every_other_picture_in_any_chunks(
    monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """Of every convolution of a network, grouped ones too; few pixels of a picture where told."""
    monkeypatch.setattr(rounding, "MOST_PIXELS", most)
    graph, pictures = small_net(), np.concatenate(Pictures(count=5).batches)
    fixed = quantize_graph(graph, Pictures(), Settings(bias_correction="fast"), threads=1).graph
    seen = set()

    def visitor(layer: Layer) -> None:
        if layer.node.op != "Conv":
            return
        view, shape = layer.view, layer.graph.constants[layer.node.inputs[1]].shape
        group, size = view.integer("group"), int(np.prod(layer.exact.shape[2:]))
        pixels = np.arange(0, size, -(-len(layer.exact) * size // (2 * most)))
        seen.add((group > 1, len(pixels) < size))
        monkeypatch.setattr(rounding, "CHUNK_BYTES", 8 * group * int(np.prod(shape[1:])) * 7)
        for half in (0, 1):
            sums = half_sums(layer, half)
            x = np.stack([
                windows(picture, shape[2:], *(view.integers(name) for name in
                        ("strides", "pads", "dilations")))(pixels)
                for picture in layer.fixed_inputs[0][half::2]
            ])  # fmt: skip
            y = layer.exact[half::2].reshape(len(x), shape[0], size)[:, :, pixels]
            assert sums.count == len(x) * len(pixels)
            for index in range(group):
                rows = slice(index * x.shape[1] // group, (index + 1) * x.shape[1] // group)
                some = slice(index * shape[0] // group, (index + 1) * shape[0] // group)
                wanted, found = moments(x[:, rows], y[:, some]), sums.moments(index)
                np.testing.assert_allclose(found.gram, wanted.gram, rtol=1e-9, atol=1e-9)
                np.testing.assert_allclose(found.cross, wanted.cross, rtol=1e-9, atol=1e-9)

    Walk(graph, (pictures,), 1).run(fixed, visitor)
    assert (True, most == 200) in seen
    assert (False, most == 200) in seen


def test_each_group_has_its_own_sums_ridge_and_scales(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two groups of two outputs; what each is rounded with says which it is."""
    seen: list[tuple[Any, ...]] = []

    class Half:
        def __init__(self, name: str) -> None:
            self.name = name

        def moments(self, index: int) -> Any:
            return SimpleNamespace(gram=f"{self.name}{index}")

        def join(self, other: Any) -> None:
            self.name += other.name

    def ridge(halves: Any, trained: Array, runs: Any) -> str:
        return f"{'+'.join(item.gram for item in halves)} {trained[0].tolist()}"

    def fitted(found: Any, trained: Array, own: str) -> Array:
        seen.append((found.gram, own))
        return trained

    monkeypatch.setattr(rounding, "half_sums", lambda layer, half: Half("ab"[half]))
    monkeypatch.setattr(rounding, "best_ridge", ridge)
    monkeypatch.setattr(rounding, "refit", fitted)
    monkeypatch.setattr(rounding, "round_rows", lambda gram, wanted, limit: np.rint(wanted))
    weights = np.arange(12, dtype=np.float32).reshape(4, 3, 1, 1) * 8
    scale = np.asarray([1, 2, 4, 8], np.float32)
    layer: Any = SimpleNamespace(
        node=SimpleNamespace(op="Conv", inputs=("x", "w")),
        graph=SimpleNamespace(
            tensors={"w": Tensor("w", (4, 3, 1, 1), dtypes.S8, scale)},
            constants={"w": np.zeros((4, 3, 1, 1), np.int8)},
        ),
        view=SimpleNamespace(integer=lambda name: 2),
        exact=np.zeros((2, 4, 1, 1)),
        runs=SimpleNamespace(side_by_side=lambda make, halves: [make(half) for half in halves]),
    )
    found = rounding.round_weights(layer, weights)
    assert found is not None
    assert seen == [("ab0", "a0+b0 [0.0, 24.0]"), ("ab1", "a1+b1 [48.0, 72.0]")]
    assert np.array_equal(found["w"], weights / scale.reshape(4, 1, 1, 1))
    assert found["w"].dtype == np.int8
    layer.exact = np.zeros((1, 4, 1, 1))
    assert rounding.round_weights(layer, weights) is None
