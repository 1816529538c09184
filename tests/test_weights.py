"""Weights, biases and raised channels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from float_nets import PADS, FloatNet
from knightlite import dtypes, numerics
from knightlite.errors import UnsupportedError
from knightlite.ir import Graph
from knightlite.ops import View
from knightlite.ops.conv import tap_coverage
from knightlite.quantize.scales.features import BY_DEFINITION, Feature
from knightlite.quantize.scales.weight_scales import least_error_scales
from knightlite.quantize.scales.weights import (
    QuantizedWeights,
    _check_ratios,
    quantize_conv,
    quantize_weights,
    raised_scales,
    weight_scales,
    weight_sqnr_db,
)

Array = NDArray[Any]


def one_conv(weights: Array, bias: Array, **more: Any) -> Graph:
    net = FloatNet()
    group = more.get("group", 1)
    net.input("x", weights.shape[1] * group, 6, 5)
    net.conv("x", "y", weights.shape[0], weights.shape[2:], weights=weights, bias=bias, **more)
    return net.build("y")


def quantize(
    graph: Graph, scale_in: Any, scale_out: float, mean: Array | None = None
) -> QuantizedWeights:
    features = {
        "x": Feature("x", dtypes.U8, np.asarray(scale_in, np.float32), 0, BY_DEFINITION),
        "y": Feature("y", dtypes.S8, np.asarray(scale_out, np.float32), 1, BY_DEFINITION),
    }
    return quantize_conv(graph, graph.nodes[0], features, mean)


def random_weights(*shape: int) -> Array:
    return np.random.default_rng(1).normal(0, 0.2, shape).astype(np.float32)


def test_the_search_never_raises_a_channel_nor_leaves_the_ratios() -> None:
    """Bounds that the largest magnitude's scale keeps just so are kept."""
    weights = random_weights(400, 1, 3, 3)
    plain = weight_scales(weights)
    for scale_out in (plain * 0.02 * 2**17 * 0.9999, plain * 0.02 / 2**15 * 1.0001):
        features = {
            "x": Feature("x", dtypes.U8, np.asarray(0.02, np.float32), 0, BY_DEFINITION),
            "y": Feature("y", dtypes.S8, scale_out.astype(np.float32), 1, BY_DEFINITION),
        }
        graph = one_conv(weights, np.zeros(400))
        made = quantize_conv(graph, graph.nodes[0], features)
        assert made.raises == ()
        ratio = np.float64(np.float32(0.02)) * made.scale / scale_out.astype(np.float32)
        assert np.all((ratio >= numerics.MIN_RATIO) & (ratio < numerics.MAX_RATIO))
        assert np.any(made.scale != plain.astype(np.float32))
        # where the best one lies beyond a bound, it is not taken halfway
        tuned = least_error_scales(weights, plain.astype(np.float32).astype(np.float64), 127)
        either = [plain.astype(np.float32), tuned.astype(np.float32)]
        assert np.all(np.isclose(made.scale, either, rtol=3e-7, atol=0).any(axis=0))


def test_weights_per_output_channel() -> None:
    weights = random_weights(5, 3, 3, 3)
    bias = np.linspace(-3, 3, 5)
    made = quantize(one_conv(weights, bias), 0.02, 0.05)
    assert made.weights.dtype == np.int8
    plain = weight_scales(weights)
    assert made.scale.tolist() == least_error_scales(weights, plain, 127).astype("f4").tolist()
    assert np.any(made.scale != plain.astype("f4"))
    back = made.weights * made.scale[:, None, None, None]
    assert np.abs(back - weights).max() <= made.scale.max() * 0.5001
    assert made.bias is not None
    assert made.bias.dtype == np.int32
    # the stored scale of the bias is the float32 product of the stored scales
    assert made.bias_scale.tolist() == (np.float32(0.02) * made.scale).tolist()
    exact = np.rint(bias.astype(np.float32) / made.bias_scale.astype(np.float64))
    assert made.bias.tolist() == exact.tolist()
    assert made.raises == ()
    assert made.sqnr_db is not None
    assert 40 < made.sqnr_db < 60


def test_bias_at_one_scale_per_input_channel() -> None:
    made = quantize(one_conv(random_weights(3, 1, 3, 3), np.ones(3), group=3), [0.1, 0.2, 0.4], 0.3)
    expected = np.asarray([0.1, 0.2, 0.4], np.float32) * made.scale
    assert made.bias_scale.tolist() == expected.tolist()


def test_a_channel_with_tiny_weights_is_raised_and_reported() -> None:
    weights = random_weights(4, 3, 1, 1)
    weights[2] *= 1e-6
    made = quantize(one_conv(weights, np.zeros(4)), 0.02, 0.05)
    ratio = 0.02 * made.scale.astype(np.float64) / 0.05
    assert ratio[2] >= numerics.MIN_RATIO
    assert ratio[2] == pytest.approx(numerics.MIN_RATIO, rel=1e-6)
    (entry,) = made.raises
    assert (entry.node, entry.channel, entry.reason) == ("y", 2, "ratio below 2^-17")
    assert entry.scale_before == pytest.approx(float(np.abs(weights[2]).max()) / 127, rel=1e-6)
    assert entry.scale_after == float(made.scale[2])
    assert entry.before_db is not None
    assert entry.before_db > 40
    assert entry.after_db is None or entry.after_db < 20
    numerics.multiplier(ratio)  # every ratio has a multiplier


@pytest.mark.parametrize("wide", [False, True])
def test_every_figure_of_a_raise_follows_from_its_two_scales(wide: bool) -> None:
    """What the channel's weights keep at either scale, by hand; no channel is left out."""
    sizes = [1.0, 0.1, 0.03, 0.01, 3e-4, 1e-5, 1e-6, 1e-9]
    weights = random_weights(8, 5, 1, 1) * np.asarray(sizes, np.float32).reshape(8, 1, 1, 1)
    graph = one_conv(weights, np.zeros(8))
    features = {
        "x": Feature("x", dtypes.U8, np.asarray(0.02, np.float32), 0, BY_DEFINITION),
        "y": Feature("y", dtypes.S8, np.asarray(1.0, np.float32), 1, BY_DEFINITION),
    }
    made = quantize_conv(graph, graph.nodes[0], features, wide=wide)
    most, least = (32639, 2.0**-33) if wide else (127, 2.0**-17)
    largest = np.abs(weights).max(axis=(1, 2, 3)).astype(float)
    raised = np.flatnonzero(0.02 * largest / most < least)
    assert [item.channel for item in made.raises] == raised.tolist()
    assert len(raised) > 1
    for item in made.raises:
        exact = weights[item.channel].astype(float)
        assert item.scale_before == pytest.approx(largest[item.channel] / most, rel=1e-12)
        assert item.scale_after == pytest.approx(least / 0.02, rel=1e-6)
        for scale, told in (
            (item.scale_before, item.before_db), (item.scale_after, item.after_db),
        ):  # fmt: skip
            noise = np.sum((np.clip(np.rint(exact / scale), -most, most) * scale - exact) ** 2)
            assert told == pytest.approx(10 * np.log10(np.sum(exact**2) / noise), abs=1e-6)
    assert len({item.after_db for item in made.raises}) > 1


def test_a_large_bias_raises_the_scale() -> None:
    weights = random_weights(2, 3, 1, 1)
    weights[1] *= 1e-3
    made = quantize(one_conv(weights, np.asarray([1.0, 5e4])), 0.02, 1.0)
    assert made.bias is not None
    assert np.abs(made.bias).max() < numerics.MAX_BIAS
    assert made.bias[1] == pytest.approx(numerics.MAX_BIAS, rel=1e-5)
    assert [(item.channel, item.reason) for item in made.raises] == [(1, "bias beyond 2^30")]


def test_a_channel_of_zeros() -> None:
    """Scale 1 where it has no bias; fine steps for its bias where it has one; nothing raised."""
    weights = random_weights(4, 3, 1, 1)
    weights[1:] = 0
    made = quantize(one_conv(weights, np.asarray([0, 0, 0.37, -20.0])), 0.02, 0.05)
    assert made.scale[1] == 1.0
    assert made.raises == ()
    assert made.bias is not None
    assert made.bias.tolist()[1] == 0
    back = made.bias * made.bias_scale.astype(np.float64)
    assert np.abs(back[2:] - [0.37, -20.0]).max() < 0.05 / 2000
    numerics.multiplier(0.02 * made.scale.astype(np.float64) / 0.05)


@pytest.mark.parametrize(("scale_in", "scale_out"), [(1e4, 1e-3), (1e-4, 30.0)])
def test_zero_channels_stay_inside_the_range_of_ratios(scale_in: float, scale_out: float) -> None:
    scale, reasons = raised_scales(
        np.zeros(2), np.asarray([0.0, 1.0]), np.asarray(scale_in), np.asarray(scale_out)
    )
    numerics.multiplier(scale_in * scale / scale_out)
    assert reasons == {}


def test_a_ratio_that_is_too_large_names_node_channel_value_and_remedy() -> None:
    weights = random_weights(4, 3, 1, 1)
    weights[3] = 5e5
    with pytest.raises(UnsupportedError) as caught:
        quantize(one_conv(weights, np.zeros(4)), 1.0, 0.05)
    assert caught.value.sentence == (
        "node y channel 3 must have a requantize ratio below 2^15, not 7.874e+04 "
        "(1 channels in all)."
    )
    assert "calibrate on pictures that excite this output" in caught.value.hint
    assert [item.where for item in caught.value.findings] == ["y"]


def test_bias_correction_cancels_the_mean_error() -> None:
    """On a constant input the corrected convolution has no error beyond the bias's step."""
    weights = random_weights(6, 3, 3, 3)
    mean = np.asarray([0.4, 1.1, 2.3])
    made = {
        corrected: quantize(one_conv(weights, np.zeros(6)), 0.02, 0.05, mean if corrected else None)
        for corrected in (False, True)
    }

    def error(item: QuantizedWeights) -> float:
        assert item.bias is not None
        back = item.weights * item.scale.astype(np.float64)[:, None, None, None]
        sums = (back.sum(axis=(2, 3)) * mean).sum(axis=1) + item.bias * item.bias_scale
        exact = (weights.astype(np.float64).sum(axis=(2, 3)) * mean).sum(axis=1)
        return float(np.abs(sums - exact).max())

    assert error(made[True]) <= 0.51 * made[True].bias_scale.max()
    assert error(made[False]) > 10 * error(made[True])


def test_bias_correction_of_a_depthwise_convolution_and_of_none() -> None:
    weights = random_weights(3, 1, 1, 1)
    made = quantize(one_conv(weights, np.zeros(3), group=3), 0.02, 0.05, np.asarray([1.0, 2, 3]))
    assert made.bias is not None
    assert made.bias.tolist() == [0, 0, 0]  # one weight per channel is exact: 127 * scale


def test_bias_correction_sees_the_inputs_of_its_group() -> None:
    """Two groups on different means are what two convolutions of their own would be."""
    weights, mean = random_weights(6, 2, 3, 3), np.asarray([0.4, 1.1, 2.3, 0.7])
    whole = quantize(one_conv(weights, np.zeros(6), group=2), 0.02, 0.05, mean)
    assert whole.bias is not None
    assert np.any(whole.bias != 0)
    for part in range(2):
        outs, ins = slice(3 * part, 3 * part + 3), slice(2 * part, 2 * part + 2)
        alone = quantize(one_conv(weights[outs], np.zeros(3)), 0.02, 0.05, mean[ins])
        assert alone.bias is not None
        assert alone.bias.tolist() == whole.bias[outs].tolist()


def test_bias_correction_of_a_transposed_convolution() -> None:
    """Every output of a 2x2 kernel with strides 2 sees one tap, a quarter of the outputs each."""
    weights, mean = random_weights(6, 3, 2, 2), np.asarray([0.4, 1.1, 2.3])
    net = FloatNet()
    net.input("x", 3, 6, 5)
    parts = (net.builder.constant("w", weights), net.builder.constant("b", np.zeros(6, "f4")))
    net.node(
        "ConvTranspose", ("x", *parts), "y", strides=(2, 2), dilations=(1, 1), pads=(0, 0, 0, 0),
        output_padding=(0, 0), group=1,
    )  # fmt: skip
    made = quantize(net.build("y"), 0.02, 0.05, mean)
    assert made.bias is not None
    lost = weights - made.weights * made.scale.astype(np.float64)[:, None, None, None]
    wanted = (lost.sum(axis=(2, 3)) / 4 * mean).sum(axis=1)
    assert np.abs(made.bias * made.bias_scale - wanted).max() <= 0.51 * made.bias_scale.max()
    assert np.any(made.bias != 0)


def test_tap_coverage_counts_padding() -> None:
    graph = one_conv(random_weights(2, 3, 3, 3), np.zeros(2), pads=PADS, strides=(2, 1))
    # rows: first tap at -1, 1, 3 of 6; columns: 5 outputs, the outer taps miss one each
    rows, columns = [2 / 3, 1, 1], [4 / 5, 1, 4 / 5]
    assert tap_coverage(View(graph, graph.nodes[0])).tolist() == np.outer(rows, columns).tolist()


def test_rounding_saturates_symmetrically() -> None:
    weights = np.asarray([[-1.0, 1.0, 0.5, -0.251]], np.float32).reshape(1, 4, 1, 1)
    assert weight_scales(weights).tolist() == [1 / 127]
    codes = quantize_weights(weights, np.asarray([1 / 100]))
    assert codes.reshape(-1).tolist() == [-100, 100, 50, -25]
    assert quantize_weights(weights, np.asarray([1 / 150])).reshape(-1).tolist()[:2] == [-127, 127]
    assert weight_sqnr_db(weights, codes, np.asarray([1 / 100])) == pytest.approx(
        10 * np.log10((2.25 + 0.251**2) / 0.001**2), abs=0.01
    )


def test_a_ratio_that_is_too_large_from_the_limit_on() -> None:
    """2^15 is no ratio any more; all channels that have such are counted, the first is named."""
    (node,) = one_conv(np.ones((3, 1, 1, 1), np.float32), np.zeros(3, np.float32)).nodes
    below = np.nextafter(2.0**15, 0)
    _check_ratios(node, np.asarray([below, 1.0, below]))
    with pytest.raises(UnsupportedError) as error:
        _check_ratios(node, np.asarray([below, 2.0**15, 40000.0]))
    assert error.value.sentence == (
        "node y channel 1 must have a requantize ratio below 2^15, not 3.277e+04 (2 channels in "
        "all)."
    )
    assert [item.sentence.split(" (")[0] for item in error.value.findings] == [
        "channel 1 has requantize ratio 3.277e+04", "channel 2 has requantize ratio 4e+04"
    ]  # fmt: skip
