"""The walk's two networks are the float model and the QDQ model, tensor by tensor."""

from __future__ import annotations

import itertools
import mmap
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import DTypeLike, NDArray

from float_nets import FloatNet, Pictures, small_net
from knightlite.inference import NodeRuns, session
from knightlite.ir import Graph, Node, Tensor
from knightlite.onnx_models import write_float, write_qdq
from knightlite.quantize.data import sample
from knightlite.quantize.data.sample import (
    Sample,
    bytes_at_widest,
    integer_bytes,
    pictures_at_once,
)
from knightlite.quantize.pipeline import quantize_graph
from knightlite.quantize.settings import Settings
from knightlite.quantize.steps import live_values
from knightlite.quantize.steps import walk as module
from knightlite.quantize.steps.bias import correct_bias, passes_of, picture_means, shrunk_mean
from knightlite.quantize.steps.judgement import trimmed_mean
from knightlite.quantize.steps.live_values import Rounded, fake_quantize
from knightlite.quantize.steps.walk import Compute, Constants, Layer, Walk

Array = NDArray[Any]
PICTURES = np.concatenate(Pictures(count=12).batches)


def quantized() -> Graph:
    return quantize_graph(
        small_net(), Pictures(), Settings(bias_correction="fast"), threads=1
    ).graph


def test_both_sides_are_those_of_the_whole_models() -> None:
    graph, fixed_graph = small_net(), quantized()
    names = [node.output for node in graph.nodes]
    delivered = [*graph.outputs, *(name for name in names if name not in graph.outputs)]
    models = (write_float(graph, names), write_qdq(fixed_graph, {}, names))
    exact, fixed = (
        dict(zip(delivered, session(model, 1).run(None, {"x": PICTURES}), strict=True))
        for model in models
    )
    errors = Walk(graph, (PICTURES,), 1).run(fixed_graph).errors
    for name in names:
        difference = (exact[name].astype(np.float64) - fixed[name]).reshape(len(PICTURES), -1)
        energy = (exact[name].astype(np.float64) ** 2).reshape(len(PICTURES), -1).sum(axis=1)
        assert errors[name].energy == pytest.approx(energy, rel=1e-5)
        assert errors[name].noise == pytest.approx((difference**2).sum(axis=1), rel=1e-3)
        cosine = errors[name].cosine
        assert cosine is not None
        assert 0.99 < cosine <= 1


def test_a_visit_of_the_float_network_sees_the_whole_models_values(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And what a node computes from other values; its merged activation included."""
    monkeypatch.setattr(module, "MEASURED_BYTES", 1)  # a picture at a time
    graph = small_net()
    names = [node.output for node in graph.nodes]
    delivered = [*graph.outputs, *(name for name in names if name not in graph.outputs)]
    values = session(write_float(graph, names), 1).run(None, {"x": PICTURES})
    exact = {**dict(zip(delivered, values, strict=True)), "x": PICTURES}
    seen: dict[str, list[Array]] = {}

    def visitor(node: Node, inputs: Mapping[str, Array], value: Array, compute: Compute) -> None:
        seen.setdefault(node.output, []).append(value)
        doubled = compute({name: 2 * item for name, item in inputs.items()})
        if node.op == "MaxPool":
            assert np.allclose(doubled, 2 * value)
        if node.output == "stem":
            assert doubled.min() == 0

    given: list[Array] = []
    Walk(graph, (PICTURES,), 1).visit(
        visitor, slice(1, None, 3), inputs=lambda name, item: given.append(item)
    )
    assert np.array_equal(np.concatenate(given), PICTURES[1::3])
    assert list(seen) == names
    for name, parts in seen.items():
        assert len(parts) == 4
        assert np.allclose(np.concatenate(parts), exact[name][1::3], rtol=1e-4, atol=1e-5)


def test_a_few_pictures_at_a_time_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    walk, fixed = Walk(small_net(), (PICTURES,), 1), quantized()
    whole = walk.run(fixed, pictures=slice(1, None, 3)).errors
    monkeypatch.setattr(module, "MEASURED_BYTES", 1)
    parts = walk.measure(fixed, slice(1, None, 3))
    for name, errors in whole.items():
        assert np.allclose(errors.noise, parts[name].noise, rtol=1e-6)
        assert len(parts[name].noise) == 4


def test_outputs_alone_have_the_same_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of networks run whole: up to what another order of sums changes, kept outputs or not."""
    walk, fixed = Walk(small_net(), (PICTURES,), 1), quantized()
    names = fixed.chip_outputs
    whole = walk.run(fixed, pictures=slice(1, None, 3)).errors
    for kept in (1 << 20, 1):
        monkeypatch.setattr(module, "KEPT_BYTES", kept)
        for _ in range(2):
            found = walk.outputs(fixed, names, slice(1, None, 3))
            for name, errors in zip(names, found, strict=True):
                assert np.allclose(errors.noise, whole[name].noise, rtol=1e-2)
                assert np.allclose(errors.energy, whole[name].energy, rtol=1e-5)


def test_correction_leaves_no_mean_error_and_later_layers_see_it() -> None:
    graph, fixed = small_net(), quantized()
    left: dict[str, Array] = {}
    seen: dict[str, Array] = {}

    def visitor(layer: Layer) -> Constants | None:
        seen[layer.node.output] = layer.fixed_inputs[0][:]
        made = correct_bias(layer)
        if made is not None:
            step = layer.graph.tensors[layer.node.inputs[2]].scale
            missing, rest = (
                picture_means(
                    layer.exact,
                    np.concatenate(list(layer.linear(constants))),
                    passes_of(layer.graph, layer.node),
                )
                for constants in ({}, made)
            )
            error, before = rest.mean(axis=0), missing.mean(axis=0)
            shrunk = shrunk_mean(missing)
            left[layer.node.output] = np.abs(error - (before - shrunk)) / step
        return made

    walk = Walk(graph, (PICTURES,), 1)
    corrected = walk.run(fixed, visitor)
    assert len(left) == 6
    for steps in left.values():
        assert steps.max() < 0.51  # the bias is a whole number of steps
    again = {}

    def look(layer: Layer) -> None:
        again[layer.node.output] = layer.fixed_inputs[0][:]

    walk.run(corrected.graph, look)
    assert all(np.array_equal(seen[name], again[name]) for name in seen)


def test_an_unsure_mean_is_shrunk() -> None:
    sure = np.full((8, 1), 3.0)
    rng = np.random.default_rng(0)
    unsure = rng.normal(0, 1, (8, 1))
    assert shrunk_mean(sure) == pytest.approx([3.0])
    assert abs(shrunk_mean(unsure)[0]) < abs(trimmed_mean(unsure[:, 0])[0])
    assert shrunk_mean(np.zeros((4, 2))).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("size", [sample._float_and_fixed, integer_bytes])
def test_the_widest_place_is_where_most_is_alive(size: Callable[[Tensor], int]) -> None:
    """Of every node what it makes, and all that is there and read by it or later, or by nobody."""
    net = FloatNet()
    net.conv(net.input("loud", 12, 8, 8), "a", 3)
    net.conv(net.input("x", 2, 8, 8), "b", 3)
    net.node("Add", ("a", "b"), "c")
    net.pool(net.conv("c", "wide", 20), "d")
    net.node("Mul", ("d", "d"), "e")
    twice = FloatNet()
    twice.node("Mul", (twice.input("x", 6, 4, 4), "x"), "e")  # read twice here, and once later
    twice.conv(twice.conv("e", "wide", 40), "back", 6)
    twice.node("Add", ("back", "x"), "y")
    for graph in (net.build("e", "c"), twice.build("y"), small_net(), quantized()):
        widest = 0
        for at, node in enumerate(graph.nodes):
            made = [*graph.inputs, *(item.output for item in graph.nodes[: at + 1])]
            readers = [[item.output for item in graph.consumers().get(name, ())] for name in made]
            later = {item.output for item in graph.nodes[at:]}
            alive = [
                name
                for name, read in zip(made, readers, strict=True)
                if not read or later.intersection(read)
            ]
            assert node.output in alive
            widest = max(widest, sum(size(graph.tensors[name]) for name in alive))
        assert bytes_at_widest(graph, size) == widest


def test_more_memory_more_pictures() -> None:
    graph = small_net()
    one = 6 * max(graph.tensors[name].elements for name in graph.tensors)
    assert pictures_at_once(graph, 1) == 1
    assert 1 < pictures_at_once(graph, 100 * one) < 100


def test_no_more_values_are_held_than_the_bound_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes of both sides that live at once, counted as they are made and dropped."""
    graph, fixed = small_net(), quantized()
    live, most = 0, 0

    def counted(shape: Sequence[int], kind: DTypeLike) -> Array:
        nonlocal live, most
        made = np.empty(shape, kind)
        size = made.nbytes
        live, most = live + size, max(most, live + size)

        def drop() -> None:
            nonlocal live
            live -= size

        weakref.finalize(made, drop)
        return made

    for owner in (module, live_values):
        monkeypatch.setattr(owner, "empty", counted)
    Walk(graph, (PICTURES,), 1).run(fixed, correct_bias)
    bound = next(
        size for size in itertools.count(1 << 10, 1 << 8)
        if pictures_at_once(graph, size) >= len(PICTURES)
    )  # fmt: skip
    assert 0.4 * bound < most <= bound  # mostly 5 bytes of 6, and the float input is the caller's
    assert live == 0


@pytest.mark.parametrize("name", ["x", "stem", "logits"])
def test_rounded_values_are_those_of_the_qdq_model(name: str) -> None:
    """Kept as integers, and the same bits as what QuantizeLinear and DequantizeLinear make."""
    tensor = quantized().tensors[name]
    values = np.random.default_rng(4).normal(0, 3, (5, *tensor.shape[1:])).astype(np.float32)
    rounded = Rounded.of(len(values), tensor)
    for part in (slice(0, 2), slice(2, 5)):
        wanted = fake_quantize(values[part], tensor)
        integers = rounded.put(part, values[part].copy(), tensor)
        assert np.array_equal(rounded.real(integers), wanted)
        assert np.array_equal(rounded[part], wanted)
    assert rounded.integers.dtype == tensor.dtype.numpy
    assert len(rounded) == len(values)


@given(st.integers(1, 200), st.integers(1, 10_000_000))
def test_parts_are_all_pictures_once_and_small(count: int, elements: int) -> None:
    found = live_values.parts(count, elements)
    assert [place for part in found for place in range(count)[part]] == list(range(count))
    for part in found:
        size = part.stop - part.start
        assert size == 1 or 4 * size * elements <= live_values.PART_BYTES


def test_a_large_array_goes_back_to_the_system() -> None:
    made = live_values.empty((3, live_values.OWN_PAGES), np.float32)
    made[:] = 7
    assert made.shape == (3, live_values.OWN_PAGES)
    assert made.flags.writeable
    owner: Any = made.base
    assert isinstance(memoryview(owner.base).obj, mmap.mmap)
    assert live_values.empty((2, 3), np.int8).base is None


def test_results_come_in_order_and_few_are_ahead() -> None:
    started: list[int] = []

    def work(item: int) -> int:
        started.append(item)
        return item * item

    found = NodeRuns(small_net(), 2).side_by_side(work, range(20))
    for place, item in enumerate(found):
        assert item == place * place
        assert len(started) <= place + 3


@pytest.mark.parametrize(("count", "limit"), [(1, 4), (4, 4), (5, 4), (100, 7), (64, 1), (33, 16)])
def test_a_sample_is_spread_and_does_not_depend_on_batches(count: int, limit: int) -> None:
    stream = np.arange(count, dtype=np.float32).reshape(-1, 1, 1, 1)
    kept = []
    for batch in (1, 3, 16):
        sample = Sample(limit)
        for first in range(0, count, batch):
            sample.add((stream[first : first + batch],))
        kept.append(sample.pictures()[0].reshape(-1).tolist())
    assert kept[0] == kept[1] == kept[2]
    assert len(kept[0]) <= limit
    assert len(kept[0]) > limit // 2 or len(kept[0]) == count
    steps = set(np.diff(kept[0]).tolist())
    assert len(steps) <= 1
