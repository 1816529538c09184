"""Calibration without pictures: what BatchNorm knows, made-up pictures, and ranges from both."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from knightlite import dtypes
from knightlite.frontend import load
from knightlite.frontend.normalization import normalize_input
from knightlite.inference import session
from knightlite.ir import ChannelStatistics, Graph, Tensor
from knightlite.onnx_models import write_float, write_qdq
from knightlite.ops.opdef import OPEN
from knightlite.quantize.data_free import made_pictures, workloads
from knightlite.quantize.data_free.input_fit import fit_input
from knightlite.quantize.data_free.made_pictures import MEAN, STD, picture
from knightlite.quantize.data_free.standardize import Change, changed, fit_changes, restored
from knightlite.quantize.data_free.workloads import (
    PICTURES,
    DataFree,
    RandomData,
    changes_for,
    without_data,
)
from knightlite.quantize.pipeline import quantize_graph
from knightlite.quantize.settings import Settings
from knightlite.quantize.steps.walk import Walk
from onnx_nets import Net

Array = NDArray[Any]
EPSILON = 1e-3
SIZE = 16


class Trained:
    """A network whose BatchNorms know the pictures that it was trained on.

    Random convolutions, each followed by a BatchNorm with the mean and the variance that its input
    has on ``pictures`` [N, C, H, W].
    """

    def __init__(self, pictures: Array, seed: int = 0) -> None:
        self.net = Net(seed=seed)
        self.pictures = pictures
        self.net.input("x", (1, *pictures.shape[1:]))

    def norm(self, x: str, output: str, gamma: Array, beta: Array) -> str:
        (values,) = self.run(x)
        mean, variance = values.mean(axis=(0, 2, 3)), values.var(axis=(0, 2, 3))
        parts = [
            self.net.weight(f"{output}_{name}", item.astype(np.float32))
            for name, item in (("g", gamma), ("b", beta), ("m", mean), ("v", variance))
        ]
        return self.net.node("BatchNormalization", [x, *parts], output, epsilon=EPSILON)

    def run(self, *names: str) -> list[Array]:
        """The values of tensors on the pictures."""
        return list(session(self._model(*names), 1).run(None, {"x": self.pictures}))

    def _model(self, *names: str) -> Any:
        model = self.net.model(*names)
        model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "N"
        del model.graph.value_info[:]
        for output in model.graph.output:
            output.type.tensor_type.ClearField("shape")
        return model

    def graph(self, path: Path, *outputs: str) -> Graph:
        import onnx

        onnx.save(self.net.model(*outputs), path)
        return load(path)


def photographs(count: int, mean: float, std: float, seed: int = 7) -> Array:
    """Pictures of another stream than those that calibrate, with this mean and spread."""
    rng = np.random.RandomState(seed)
    found = np.stack([picture(rng, (3, SIZE, SIZE), kind) for kind in range(count)])
    return np.asarray((found - found.mean()) / found.std() * std + mean, np.float32)


def pixel_net(pictures: Array) -> Trained:
    """Conv-BN-ReLU, a depthwise one, pre-activation BN-ReLU behind a sum, and a classifier."""
    made, rng = Trained(pictures), np.random.default_rng(3)

    def numbers(channels: int) -> tuple[Array, Array]:
        return rng.uniform(0.2, 2.0, channels), rng.normal(0, 0.5, channels)

    pads = [1, 1, 1, 1]
    made.net.conv("x", "c1", (12, 3, 3, 3), pads=pads)
    made.norm("c1", "n1", *numbers(12))
    made.net.node("Relu", ["n1"], "r1")
    made.net.conv("r1", "c2", (12, 1, 3, 3), pads=pads, group=12)
    made.norm("c2", "n2", *numbers(12))
    made.net.node("Relu", ["n2"], "r2")
    made.net.conv("r2", "c3", (12, 12, 1, 1))
    made.net.node("Add", ["c3", "r1"], "sum")
    made.norm("sum", "n3", *numbers(12))
    made.net.node("Relu", ["n3"], "r3")
    made.net.node("GlobalAveragePool", ["r3"], "pool")
    made.net.conv("pool", "y", (10, 12, 1, 1), bias=True)
    return made


@pytest.fixture(scope="module")
def pixels(tmp_path_factory: pytest.TempPathFactory) -> tuple[Graph, Array]:
    """The network trained on pixels 0..255, and its training pictures."""
    pictures = photographs(48, 115.0, 60.0)
    return pixel_net(pictures).graph(tmp_path_factory.mktemp("net") / "net.onnx", "y"), pictures


def sqnr(graph: Graph, quantized: Graph, pictures: Array) -> float:
    (exact,) = session(write_float(graph), 1).run(None, {"x": pictures})
    (fixed,) = session(write_qdq(quantized, {}), 1).run(None, {"x": pictures})
    noise = float(np.sum((exact.astype(np.float64) - fixed) ** 2))
    return 10 * float(np.log10(float(np.sum(exact.astype(np.float64) ** 2)) / noise))


# ------------------------------------------------------------------ what BatchNorm knows


def without_clamps(graph: Graph) -> Graph:
    return graph.with_nodes(
        replace(node, attributes={**node.attributes, "clamp": OPEN})
        if node.output in graph.trained
        else node
        for node in graph.nodes
    )


def test_folding_keeps_what_batchnorm_knows(pixels: tuple[Graph, Array]) -> None:
    """The statistics of each value before its activation are those on the training pictures."""
    graph, pictures = pixels
    assert set(graph.trained) == {"r1", "r2", "r3"}
    for name, known in graph.trained.items():
        last = next(i for i, node in enumerate(graph.nodes) if node.output == name)
        nodes = graph.nodes[: last + 1]
        part = replace(graph, nodes=nodes, outputs=(name,), host=())
        opened = without_clamps(replace(part, trained={name: known}))
        (values,) = session(write_float(opened), 1).run(None, {"x": pictures})
        mean, std = values.mean(axis=(0, 2, 3)), values.std(axis=(0, 2, 3))
        np.testing.assert_allclose(known.mean, mean, atol=2e-3 * std.max())
        np.testing.assert_allclose(known.std, std, rtol=5e-3)


@pytest.mark.parametrize("tail", ["none", "scaled", "normed", "relu_scaled"])
def test_what_is_folded_behind_a_batchnorm_changes_what_it_knows(tail: str, tmp_path: Path) -> None:
    """A factor and a shift behind it scale its numbers; a second BatchNorm brings its own."""
    pictures = photographs(8, 0.0, 1.0)
    made = Trained(pictures)
    gamma, beta = np.array([0.5, -2.0, 1.0, 3.0]), np.array([0.0, 1.0, -1.0, 2.0])
    made.net.conv("x", "c", (4, 3, 1, 1))
    name = made.norm("c", "n", gamma, beta)
    mean, std = beta, np.abs(gamma)
    if tail == "relu_scaled":
        name = made.net.node("Relu", [name], "r")
    if tail in ("scaled", "relu_scaled"):
        factor = made.net.weight("f", np.float32(-2.0 if tail == "scaled" else 2.0))
        name = made.net.node("Mul", [name, factor], "s")
        mean, std = mean * (-2 if tail == "scaled" else 2), std * 2
    if tail == "normed":
        name = made.norm(name, "n2", beta + 2, gamma)
        mean, std = gamma, np.abs(beta + 2)
    graph = made.graph(tmp_path / "net.onnx", name)
    (known,) = graph.trained.values()
    np.testing.assert_allclose(known.mean, mean, rtol=1e-5, atol=1e-6)
    variance = made.run("c")[0].var(axis=(0, 2, 3))
    np.testing.assert_allclose(known.std, std, rtol=1.1 * EPSILON / variance.min())


def test_no_batchnorm_nothing_known(tmp_path: Path) -> None:
    """Random data then, and the warning says why."""
    made = Trained(photographs(2, 0.0, 1.0))
    made.net.conv("x", "y", (4, 3, 3, 3), bias=True)
    graph = made.graph(tmp_path / "net.onnx", "y")
    workload = without_data(graph, (graph.tensors["x"],), 3, 2)
    assert workload == RandomData((graph.tensors["x"],), 3, 2)
    assert "no BatchNorm is left in it" in workload.warning


# ------------------------------------------------------------------ standardizing


def test_made_up_pictures_get_the_statistics_of_training(pixels: tuple[Graph, Array]) -> None:
    graph, _ = pixels
    noise = np.random.default_rng(0).normal(0, 1, (16, 3, SIZE, SIZE)).astype(np.float32)
    looked_at = changed(graph, fit_changes(graph, (noise,), 1))
    opened = without_clamps(looked_at)
    for name, known in graph.trained.items():
        last = next(i for i, node in enumerate(graph.nodes) if node.output == name)
        before = looked_at.nodes[:last]
        part = replace(looked_at, nodes=(*before, opened.nodes[last]), outputs=(name,), host=())
        (values,) = session(write_float(part), 1).run(None, {"x": noise})
        std = values.std(axis=(0, 2, 3))
        np.testing.assert_allclose(values.mean(axis=(0, 2, 3)), known.mean, atol=1e-3 * std.max())
        np.testing.assert_allclose(std, known.std, rtol=1e-3)


def test_a_channel_that_noise_leaves_silent_is_shifted_only(tmp_path: Path) -> None:
    made = Trained(photographs(4, 0.0, 1.0))
    made.net.conv("x", "c", (4, 3, 1, 1))
    made.norm("c", "n", np.ones(4), np.arange(4.0))
    graph = made.graph(tmp_path / "net.onnx", "n")
    changes = fit_changes(graph, (np.zeros((2, 3, SIZE, SIZE), np.float32),), 1)
    assert changes["n"].gain.tolist() == [1, 1, 1, 1]
    (values,) = session(write_float(changed(graph, changes)), 1).run(
        None, {"x": np.zeros((1, 3, SIZE, SIZE), np.float32)}
    )
    np.testing.assert_allclose(values.mean(axis=(0, 2, 3)), np.arange(4.0), atol=1e-5)


class Few:
    """A workload of a few pictures."""

    description = "a few pictures"

    def __init__(self, pictures: Array) -> None:
        self.pictures = pictures

    def run(self, forward: Any) -> None:
        forward((self.pictures,))


@pytest.fixture(scope="module")
def quantized(pixels: tuple[Graph, Array]) -> Graph:
    graph, pictures = pixels
    off = Settings(bias_correction="off", equalize=False)
    return quantize_graph(graph, Few(pictures[:8]), off, threads=1).graph


@given(seed=st.integers(0, 2**32 - 1))
def test_integers_come_back_from_the_changed_network(seed: int, quantized: Graph) -> None:
    """There and back leaves every integer, also where a bias has no room; a step comes along."""
    rng = np.random.default_rng(seed)
    changes = {
        name: Change(np.exp(rng.uniform(-4, 4, item.mean.size)), 10 ** rng.uniform(-3, 12) * signs)
        for name, item in quantized.trained.items()
        for signs in [rng.normal(0, 1, item.mean.size)]
    }
    other = changed(quantized, changes)
    same = restored(quantized, other, changes)
    for name, values in quantized.constants.items():
        np.testing.assert_array_equal(same.constants[name], values)
    biases = [node.inputs[2] for node in other.nodes if node.output in ("r1", "r2", "y")]
    assert len(biases) == 3
    moved = {name: other.constants[name] + 5 for name in biases}
    back = restored(quantized, other.with_constants(moved), changes)
    for name in biases:
        np.testing.assert_array_equal(back.constants[name], quantized.constants[name] + 5)


def test_the_changed_quantized_network_is_that_of_the_changed_float_one(
    pixels: tuple[Graph, Array], quantized: Graph
) -> None:
    """As near as the networks themselves: on the pictures of which the ranges are."""
    graph, pictures = pixels
    rng = np.random.default_rng(1)
    changes = {
        name: Change(rng.uniform(0.8, 1.0, item.mean.size), rng.normal(0, 0.02, item.mean.size))
        for name, item in graph.trained.items()
    }
    walks = (Walk(graph, (pictures,), 1), Walk(changed(graph, changes), (pictures,), 1))
    plain = walks[0].run(quantized).errors["y"].mean_decibels
    other = walks[1].run(changed(quantized, changes)).errors["y"].mean_decibels
    wrong = walks[1].run(quantized).errors["y"].mean_decibels
    assert plain is not None
    assert other is not None
    assert wrong is not None
    assert other > plain - 3
    assert wrong < other - 4


# ------------------------------------------------------------------ pictures


def test_made_up_pictures_are_the_same_every_time() -> None:
    graph_inputs = (Tensor("x", (1, 3, 9, 14), dtypes.F32),)
    workload = DataFree(graph_inputs, (None,), 1, 5, 3)
    runs = [np.stack(_fed(workload)) for _ in range(2)]
    assert runs[0].shape == (15, 3, 9, 14)
    assert runs[0].dtype == np.float32
    np.testing.assert_array_equal(runs[0], runs[1])
    np.testing.assert_array_equal(workload.first(15)[0], runs[0])
    assert len(np.unique(runs[0].reshape(15, -1).mean(axis=1))) == 15


def test_every_input_has_pictures_of_its_own() -> None:
    """Of its shape; of two alike others; the same whether asked for at once or in calls."""
    shapes = (("a", (1, 3, 9, 14)), ("b", (1, 1, 5, 6)), ("c", (1, 3, 9, 14)))
    workload = DataFree(
        tuple(Tensor(name, shape, dtypes.F32) for name, shape in shapes), (None,) * 3, 1, 2, 3
    )
    fed: list[tuple[Array, ...]] = []

    def forward(inputs: tuple[Array, ...]) -> list[Array]:
        fed.append(inputs)
        return []

    workload.run(forward)
    assert [[item.shape[0] for item in call] for call in fed] == [[3, 3, 3]] * 2
    at_once = workload.first(6)
    for place, (_, shape) in enumerate(shapes):
        found = np.concatenate([call[place] for call in fed])
        assert found.shape == (6, *shape[1:])
        np.testing.assert_array_equal(found, at_once[place])
    assert not np.array_equal(at_once[0], at_once[2])


@pytest.mark.parametrize("kept", [1, 2, 5])
def test_how_many_are_kept_makes_no_difference(kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What follows the kept ones goes on with the stream: no picture comes again."""
    workload = DataFree((Tensor("x", (1, 3, 9, 14), dtypes.F32),), (None,), 1)
    whole = workload.first(9)[0]
    workloads._first_pixels.cache_clear()
    monkeypatch.setattr(workloads, "KEPT_BYTES", 4 * 3 * 9 * 14 * kept)
    np.testing.assert_array_equal(workload.first(9)[0], whole)
    workloads._first_pixels.cache_clear()
    assert len({item.tobytes() for item in whole}) == 9


@given(
    channels=st.integers(1, 4), height=st.integers(1, 20), width=st.integers(1, 20),
    kind=st.integers(0, 3), seed=st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_any_shape_has_pictures(
    channels: int, height: int, width: int, kind: int, seed: int
) -> None:
    made = picture(np.random.RandomState(seed), (channels, height, width), kind)
    assert made.shape == (channels, height, width)
    assert made.min() >= 0
    assert made.max() <= 1


def test_pictures_have_the_mean_and_spread_that_is_said() -> None:
    rng = np.random.RandomState(0)
    made = np.stack([picture(rng, (3, 64, 64), kind) for kind in range(64)])
    assert made.mean() == pytest.approx(MEAN, abs=0.03)
    assert made.std() == pytest.approx(STD, abs=0.03)


def test_pictures_differ_in_brightness_contrast_and_tint(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one pattern of +-0.1: normal of 0.05 and 0.03, and a factor from 0.2 to 1."""
    pattern = np.array([[[0.36, 0.56]]] * 3)
    monkeypatch.setattr(made_pictures, "KINDS", (lambda rng, shape: pattern,))
    rng = np.random.RandomState(1)
    made = np.stack([picture(rng, (3, 1, 2), 0) for _ in range(2000)]).astype(np.float64)
    middle = made.mean(axis=(2, 3))
    assert middle.mean() == pytest.approx(MEAN, abs=0.005)
    assert np.std(middle[:, 0] - middle[:, 1]) == pytest.approx(0.03 * 2**0.5, rel=0.1)
    assert np.std(middle.mean(axis=1)) == pytest.approx((0.05**2 + 0.03**2 / 3) ** 0.5, rel=0.1)
    contrast = (made[:, :, 0, 1] - made[:, :, 0, 0]).mean(axis=1) / 0.2
    assert contrast.min() == pytest.approx(0.2, abs=0.01)
    assert contrast.max() == pytest.approx(1.0, abs=0.01)
    assert contrast.mean() == pytest.approx(0.6, abs=0.02)


@pytest.mark.parametrize(("dtype", "low", "high"), [(dtypes.U8, 0, 255), (dtypes.S8, -128, 127)])
def test_integer_inputs_are_fed_pixels(dtype: dtypes.DType, low: int, high: int) -> None:
    workload = DataFree((Tensor("x", (1, 3, 32, 32), dtype),), (None,), 1, 1, 16)
    fed = np.stack(_fed(workload))
    assert fed.dtype == dtype.numpy
    assert (fed.min(), fed.max()) == (low, high)


def _fed(workload: DataFree) -> list[Array]:
    found: list[Array] = []

    def forward(arrays: tuple[Array, ...]) -> list[Array]:
        found.extend(arrays[0])
        return []

    assert workload.run(forward) is None
    return found


# ------------------------------------------------------------------ what the input was


@pytest.mark.parametrize(("mean", "std"), [(115.0, 60.0), (-0.1, 0.5), (0.45, 0.25), (0.0, 1.0)])
def test_the_first_batchnorm_tells_what_the_input_was(
    mean: float, std: float, tmp_path: Path
) -> None:
    graph = pixel_net(photographs(48, mean, std)).graph(tmp_path / "net.onnx", "y")
    fit = without_data(graph, (graph.tensors["x"],)).fits[0]  # type: ignore[union-attr]
    assert fit is not None
    np.testing.assert_allclose(fit.mean, mean, atol=0.1 * std)
    assert fit.std == pytest.approx(std, rel=0.2)


def test_a_pre_activation_network_and_a_moved_normalization_tell_it_too(tmp_path: Path) -> None:
    """BN-ReLU-Conv; and where the network itself normalizes, the input is pixels."""
    made = Trained(photographs(48, 0.2, 0.9))
    made.net.conv("x", "c", (12, 3, 3, 3), pads=[1, 1, 1, 1])
    made.net.conv("c", "other", (4, 12, 1, 1))
    made.norm("c", "n", np.ones(12), np.zeros(12))
    made.net.node("Relu", ["n"], "r")
    graph = made.graph(tmp_path / "net.onnx", "r", "other")
    assert [node.op for node in graph.nodes] == ["Conv", "Conv", "Affine"]
    probes = photographs(16, 0.0, 1.0, seed=5)
    fit = fit_input(graph, "x", probes, 1)
    assert fit is not None
    np.testing.assert_allclose(fit.mean, 0.2, atol=0.1)
    assert fit.std == pytest.approx(0.9, rel=0.2)
    moved = normalize_input(graph, "x", (120.0,), (50.0,))
    fit = fit_input(moved, "x", probes, 1)
    assert fit is not None
    np.testing.assert_allclose(fit.mean, 120 + 50 * 0.2, atol=5)
    assert fit.std == pytest.approx(45, rel=0.2)


def test_nothing_is_known_of_an_input_behind_an_activation(tmp_path: Path) -> None:
    made = Trained(photographs(4, 0.0, 1.0))
    made.net.node("Relu", ["x"], "r")
    made.net.conv("r", "c", (4, 3, 1, 1))
    made.norm("c", "n", np.ones(4), np.zeros(4))
    graph = made.graph(tmp_path / "net.onnx", "n")
    assert fit_input(graph, "x", photographs(4, 0.0, 1.0), 1) is None
    workload = without_data(graph, (graph.tensors["x"],))
    assert isinstance(workload, DataFree)
    assert np.std(_fed(workload)) == pytest.approx(1.0, abs=0.3)


# ------------------------------------------------------------------ the whole


def test_random_data_saturate_and_data_free_does_not(pixels: tuple[Graph, Array]) -> None:
    """A network that wants pixels 0..255: noise around 0 says nothing of its ranges."""
    graph, _ = pixels
    inputs = (graph.tensors["x"],)
    seen = photographs(64, 115.0, 60.0, seed=11)
    decibels = {}
    for name, workload in (
        ("random", RandomData(inputs, 32)),
        ("free", without_data(graph, inputs)),
        ("real", Few(photographs(32, 115.0, 60.0, seed=12))),
    ):
        result = quantize_graph(graph, workload, threads=1)
        decibels[name] = sqnr(graph, result.graph, seen)
    assert decibels["random"] < 5
    assert decibels["free"] > 20
    assert decibels["free"] > decibels["random"] + 20
    assert decibels["real"] > decibels["free"]


def test_the_report_and_the_warning_say_so(pixels: tuple[Graph, Array]) -> None:
    graph, _ = pixels
    workload = without_data(graph, (graph.tensors["x"],), 1, 5)
    results = [
        quantize_graph(graph, workload, Settings(equalize=False), threads=1) for _ in range(2)
    ]
    report = results[0].report
    assert report["workload"] == "data-free, from 3 BatchNorm statistics"
    assert report["pictures"] == 35
    (warning,) = results[0].warnings
    assert warning.sentence.startswith(
        "the model is calibrated without pictures, on made-up ones and the statistics of 3 "
        "BatchNorms: what accuracy to expect is not known"
    )
    models = [write_qdq(item.graph, {}).SerializeToString() for item in results]
    assert models[0] == models[1]
    constants = results[0].float_graph.constants
    for name, values in graph.constants.items():
        np.testing.assert_array_equal(constants[name], values)


@pytest.mark.parametrize(
    ("iteration", "batch", "calls"), [(1, 1, PICTURES), (1, 12, 3), (8, 2, 8), (100, 1, 100)]
)
def test_how_many_pictures(
    iteration: int, batch: int, calls: int, pixels: tuple[Graph, Array]
) -> None:
    """-i 1, the default, is nobody's wish."""
    graph, _ = pixels
    workload = without_data(graph, (graph.tensors["x"],), iteration, batch)
    assert (workload.forwards, workload.batch_size) == (calls, batch)


def test_statistics_through_a_factor() -> None:
    known = ChannelStatistics(np.array([1.0, -2.0]), np.array([3.0, 0.5]))
    made = known.through(np.array([-2.0, 4.0]), np.array([1.0, 0.0]))
    assert made.mean.tolist() == [-1.0, -8.0]
    assert made.std.tolist() == [6.0, 2.0]


def test_changes_need_no_more_memory_than_a_few_pictures(pixels: tuple[Graph, Array]) -> None:
    graph, _ = pixels
    many = without_data(graph, (graph.tensors["x"],), 4000)
    assert isinstance(many, DataFree)
    first, second = (changes_for(graph, item, 1) for item in (many, replace(many, iteration=64)))
    for name, change in first.items():
        np.testing.assert_array_equal(change.gain, second[name].gain)
