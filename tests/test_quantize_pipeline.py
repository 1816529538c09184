"""``quantize_graph`` from end to end on a small network: report, determinism, errors."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from float_nets import RELU, FloatNet, Pictures, small_net
from knightlite.errors import DataError, ModelError, UsageError, summarized
from knightlite.inference import picture_runs, session
from knightlite.ir import Graph
from knightlite.onnx_models import write_float, write_qdq
from knightlite.ops import BY_NAME, View
from knightlite.quantize.data_free.workloads import RandomData
from knightlite.quantize.pipeline import _raised, quantization_loss, quantize_graph
from knightlite.quantize.scales.weights import Raise
from knightlite.quantize.settings import Settings

Array = NDArray[Any]


def test_the_report() -> None:
    seen: list[tuple[str, int]] = []
    result = quantize_graph(
        small_net(),
        Pictures(),
        progress=lambda stage, count, _: seen.append((stage, count)),
        threads=1,
    )
    report = result.report
    assert json.loads(json.dumps(report)) == report
    assert (report["model"], report["method"], report["pictures"]) == ("small", "mse", 6)
    assert seen == [(stage, count) for stage in ("float", "quantized") for count in (2, 4, 6)]
    entries = {entry["name"]: entry for entry in report["tensors"]}
    assert list(entries) == [
        "x", "stem", "deep", "left", "right", "joined", "normal", "pooled", "wide", "swish", "sum",
        "mean", "logits",
    ]  # fmt: skip
    assert len(entries["stem"]["scale"]) == 8
    assert entries["stem"]["method"] == "mse per channel"
    assert entries["left"]["group"] == entries["joined"]["group"] != entries["deep"]["group"]
    for entry in entries.values():
        assert 0 <= entry["clipped_share"] < 0.02
        assert entry["sqnr_db"] > 25
    tensors = result.graph.tensors
    assert np.float32(entries["x"]["scale"]) == tensors["x"].scale
    # s16: "wide", which a table reads, and the end
    assert report["counts"] == {
        "nodes": 12, "tensors": 13, "groups": 10, "per_channel_tensors": 1, "raised_channels": 0,
        "u8": 4, "s8": 7, "s16": 2,
    }  # fmt: skip
    assert [entry["node"] for entry in report["weights"]] == [
        "stem", "deep", "left", "right", "wide", "logits",
    ]  # fmt: skip
    (output,) = report["outputs"]
    assert (output["name"], output["type"]) == ("logits", "s16")
    assert 25 < output["sqnr_db"] < 60
    metric = report["metric"]
    assert metric["loss_percent"] == quantization_loss(metric["float"], metric["quantized"])
    assert 0 < abs(metric["loss_percent"]) < 5
    assert np.array_equal(result.inputs[0], Pictures().batches[-1])
    assert result.warnings == ()
    assert set(result.timings_s) == {"observe", "assign", "improve", "compare", "total"}


def test_the_same_input_gives_the_same_bytes() -> None:
    first, second = (quantize_graph(small_net(), Pictures(), threads=1) for _ in range(2))
    assert json.dumps(first.report) == json.dumps(second.report)
    texts = [write_qdq(item.graph, {}).SerializeToString() for item in (first, second)]
    assert texts[0] == texts[1]


def test_sqnr_and_metrics_are_those_of_the_models() -> None:
    graph = small_net()
    result = quantize_graph(graph, Pictures(), threads=1)
    pictures = np.concatenate(Pictures().batches)
    exact, logits = session(write_float(graph, ["logits"]), 1).run(None, {"x": pictures})
    model = write_qdq(result.graph, {}, ["logits"])
    fixed, codes = session(model, 1).run(None, {"x": pictures})
    noise = float(np.sum((logits.astype(np.float64) - codes) ** 2))
    expected = 10 * np.log10(float(np.sum(logits.astype(np.float64) ** 2)) / noise)
    assert result.report["outputs"][0]["sqnr_db"] == pytest.approx(expected, abs=0.01)
    metric = result.report["metric"]
    assert metric["float"] == pytest.approx(float(exact.max(axis=-1).mean()), rel=1e-6)
    assert metric["quantized"] == pytest.approx(float(fixed.max(axis=-1).mean()), rel=1e-6)


def reference_forward(graph: Graph, picture: Array) -> Array:
    """The integer references one node after another: the chip's output codes."""
    x = graph.inputs[0]
    scale = graph.tensors[x].scale
    assert scale is not None
    dtype = graph.tensors[x].dtype
    codes = np.clip(np.rint(picture / scale), dtype.minimum, dtype.maximum)
    values = {x: codes.astype(dtype.numpy)}
    for node in graph.nodes:
        inputs = tuple(values[name] for name in node.inputs if name in values)
        values[node.output] = BY_NAME[node.op].reference(View(graph, node), inputs)
    return values[graph.chip_outputs[0]]


def test_integers_agree_with_qdq() -> None:
    result = quantize_graph(small_net(), Pictures(), threads=1)
    picture = Pictures().batches[0][:1]
    scale = result.graph.tensors["logits"].scale
    model = write_qdq(result.graph, {}, ["logits"])
    _, logits = session(model, 1).run(None, {"x": picture})
    integers = reference_forward(result.graph, picture) * scale
    assert 10 * np.log10(np.sum(logits**2) / np.sum((logits - integers) ** 2)) > 40


def test_the_batch_size_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Splitting a batch, because its activations would be too large, changes no statistic."""
    whole = quantize_graph(small_net(), Pictures(count=6, batch=6), threads=1)
    monkeypatch.setattr(picture_runs, "HELD_BYTES", 1)
    split = quantize_graph(small_net(), Pictures(count=6, batch=6), threads=1)
    assert whole.report["tensors"] == split.report["tensors"]
    assert whole.report["pictures"] == split.report["pictures"] == 6


def test_bias_correction_helps() -> None:
    """Raw pixels around 100 are exact, so the error is the weights': nearly all of it its mean."""
    net = FloatNet()
    net.input("x", 16, 8, 8)
    net.conv("x", "y", 8, (3, 3))
    graph = net.build("y")
    workload = Pictures((16, 8, 8))
    workload.batches = [np.rint(100 + 3 * batch) for batch in workload.batches]
    decibels = [
        quantize_graph(graph, workload, Settings(bias_correction=how), threads=1).report["outputs"][
            0
        ]["sqnr_db"]
        for how in ("off", "fast", "sequential")
    ]
    assert decibels[1] > decibels[0] + 15
    assert decibels[2] >= decibels[1]


def test_random_data_is_warned_of() -> None:
    graph = small_net()
    result = quantize_graph(graph, RandomData((graph.tensors["x"],), 2), threads=1)
    (warning,) = result.warnings
    assert (warning.where, warning.severity) == ("data", "warning")
    assert "its ranges mean nothing" in warning.sentence
    assert set(result.report["metric"].values()) == {None}


def test_warnings_about_raised_channels_and_8_bit_outputs() -> None:
    net = FloatNet()
    net.input("x", 3, 12, 12)
    weights = np.random.default_rng(0).normal(0, 0.3, (4, 3, 1, 1))
    weights[1] *= 1e-9
    net.conv("x", "a", 4, weights=weights, clamp=RELU)
    net.conv("a", "b", 4)
    result = quantize_graph(net.build("a", "b"), Pictures(), threads=1)
    assert [(item.where, item.sentence) for item in result.warnings] == [
        (
            "a",
            "1 of 4 channels have weights too small for the requantize range, and their scales "
            "were raised; 1 of them keep less than 20 dB.",
        ),
        (
            "a",
            "the network output is delivered in 8 bits, because another operator reads it or its "
            "producer cannot write 16.",
        ),
    ]
    (entry,) = result.report["raises"]
    assert (entry["node"], entry["channel"], entry["reason"]) == ("a", 1, "ratio below 2^-17")


def test_how_many_raised_channels_are_told_to_keep_little() -> None:
    """Those below 20 dB: not at it, nor one that keeps all of its weights (None)."""
    kept = {"one": (None,), "two": (19.99, 20.0, 3.0), "three": (0.0, -1.0, 25.0, 19.0), "no": ()}
    weights = {
        name: SimpleNamespace(
            raises=[Raise(name, at, "small", 1.0, 2.0, 40.0, db) for at, db in enumerate(found)],
            scale=np.ones(7),
        )
        for name, found in kept.items()
    }
    told = _raised(SimpleNamespace(weights=weights))  # type: ignore[arg-type]
    sentence = (
        "{} of 7 channels have weights too small for the requantize range, and their scales were "
        "raised; {} of them keep less than 20 dB."
    )
    assert [(item.where, item.sentence) for item in told] == [
        ("three", sentence.format(4, 3)), ("two", sentence.format(3, 2)),
        ("one", sentence.format(1, 0)),
    ]  # fmt: skip


def test_of_many_layers_with_raised_channels_the_worst_is_told_first() -> None:
    net = FloatNet()
    net.input("x", 3, 12, 12)
    x = "x"
    for layer, small in enumerate((1, 3, 2, *(1,) * 6)):
        weights = np.random.default_rng(layer).normal(0, 0.3, (4, net.shape(x)[1], 1, 1))
        weights[:small] *= 1e-9
        x = net.conv(x, f"a{layer}", 4, weights=weights)
    result = quantize_graph(net.build(x), Pictures(), threads=1)
    raised = [item for item in result.warnings if "too small" in item.sentence]
    assert [item.where for item in raised] == [
        "a1",
        "a2",
        "a0",
        *(f"a{layer}" for layer in range(3, 9)),
    ]
    (told,) = summarized(raised)
    assert str(told) == (
        "9 places, such as a1: 3 of 4 channels have weights too small for the requantize range, "
        "and their scales were raised; 3 of them keep less than 20 dB. "
        "Hint: the report of `knightlite quant` lists every one under raises"
    )


def test_no_pictures() -> None:
    with pytest.raises(DataError) as caught:
        quantize_graph(small_net(), Pictures(count=0), threads=1)
    assert caught.value.sentence == "seeded pictures gave no picture to calibrate with."


def test_pictures_that_are_not_numbers() -> None:
    workload = Pictures()
    workload.batches[1][0, 0, 3, 3] = np.nan
    with pytest.raises(DataError) as caught:
        quantize_graph(small_net(), workload, threads=1)
    assert caught.value.sentence == (
        "input x must hold finite numbers, but the data holds NaN or infinity."
    )


def test_an_activation_that_overflows_is_named() -> None:
    graph = small_net()
    huge = {"left.weight": graph.constants["left.weight"] * np.float32(1e38)}
    workload = Pictures()
    workload.batches = [batch * 100 for batch in workload.batches]
    with pytest.raises(DataError, match=r"^tensor left must hold finite numbers, but it holds NaN"):
        quantize_graph(graph.with_constants(huge), workload, threads=1)


def test_weights_that_are_not_numbers() -> None:
    graph = small_net()
    broken = graph.constants["deep.bias"].copy()
    broken[0] = np.inf
    with pytest.raises(ModelError, match=r"^constant deep.bias must hold finite numbers"):
        quantize_graph(graph.with_constants({"deep.bias": broken}), Pictures(), threads=1)


@pytest.mark.parametrize(
    ("pictures", "sentence"),
    [
        (
            lambda x: x[:, :, :, :11],
            "input x must have shape [N, 3, 12, 12], not [2, 3, 12, 11].",
        ),
        (
            lambda x: x.transpose(0, 2, 3, 1),
            "input x must have shape [N, 3, 12, 12], not [2, 12, 12, 3].",
        ),
        (lambda x: x[0, 0], "input x must have shape [N, 3, 12, 12], not [12, 12]."),
    ],
)
def test_pictures_of_the_wrong_shape(pictures: Any, sentence: str) -> None:
    workload = Pictures()
    workload.batches = [pictures(batch) for batch in workload.batches]
    with pytest.raises(DataError) as caught:
        quantize_graph(small_net(), workload, threads=1)
    assert caught.value.sentence == sentence


def test_the_wrong_number_of_inputs() -> None:
    class Two(Pictures):
        def run(self, forward: Any) -> float | None:
            forward((self.batches[0], self.batches[0]))
            return None

    with pytest.raises(DataError) as caught:
        quantize_graph(small_net(), Two(), threads=1)
    assert caught.value.sentence == "the network has 1 inputs (x), but the data gave 2 arrays."


def test_an_unknown_method() -> None:
    with pytest.raises(UsageError) as caught:
        quantize_graph(small_net(), Pictures(), Settings("best"))
    assert (
        caught.value.sentence
        == "the method must be one of kl, kl_v2, min_max, mse, octav, percentile, not best."
    )


@pytest.mark.parametrize("method", ["kl", "kl_v2", "min_max", "octav", "percentile"])
def test_the_other_methods(method: str) -> None:
    report = quantize_graph(small_net(), Pictures(), Settings(method), threads=1).report
    assert report["method"] == method
    assert report["outputs"][0]["sqnr_db"] > 20


def test_a_fixed_batch_network_runs_picture_by_picture() -> None:
    net = FloatNet()
    net.input("x", 3, 12, 12)
    net.average("x", "mean")
    net.conv("mean", "y", 4)
    net.host("Reshape", "y", "flat", shape=(4,))
    graph = net.build("flat")
    report = quantize_graph(graph, Pictures(), threads=1).report
    assert report["pictures"] == 6


def test_quantization_loss() -> None:
    assert quantization_loss(80.0, 79.0) == pytest.approx(1.25)
    assert quantization_loss(80.0, 82.0) == pytest.approx(-2.5)
    assert quantization_loss(-4.0, -5.0) == pytest.approx(25.0)
    assert quantization_loss(None, 1.0) is None
    assert quantization_loss(0.0, 1.0) is None


def test_two_inputs() -> None:
    net = FloatNet()
    net.input("a", 2, 4, 4)
    net.input("b", 2, 4, 4)
    net.node("Add", ("a", "b"), "sum")
    net.conv("sum", "y", 3)
    graph = net.build("y")

    class Pairs(Pictures):
        def run(self, forward: Any) -> float | None:
            for batch in self.batches:
                forward((batch, np.abs(batch)))
            return None

    result = quantize_graph(graph, Pairs((2, 4, 4)), threads=1)
    kinds = {name: result.graph.tensors[name].dtype.name for name in ("a", "b")}
    assert kinds == {"a": "s8", "b": "u8"}
    assert [item.shape for item in result.inputs] == [(2, 2, 4, 4), (2, 2, 4, 4)]
