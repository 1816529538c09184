"""Types and scales of feature tensors."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest
from numpy.typing import NDArray

from float_nets import RELU, FloatNet, small_net
from knightlite import dtypes
from knightlite.dtypes import DType
from knightlite.errors import UsageError
from knightlite.inference import session
from knightlite.ir import Graph, Tensor
from knightlite.onnx_models import write_float
from knightlite.ops import BY_NAME, View
from knightlite.quantize import groups
from knightlite.quantize.groups import felt_interval
from knightlite.quantize.ranges.densities import even_row_densities
from knightlite.quantize.ranges.scale_errors import squared_error
from knightlite.quantize.scales import feature_choice
from knightlite.quantize.scales.basis import Basis
from knightlite.quantize.scales.feature_choice import channel_scales, choose_features
from knightlite.quantize.scales.features import LARGEST_WITH_HEADROOM, Feature
from knightlite.quantize.scales.group_scales import expected_error, is_exact_in
from knightlite.quantize.settings import DEFAULT_SETTINGS, Pin, Settings
from knightlite.quantize.statistics.observation_plan import (
    collect,
    make_observers,
    observation_plan,
)
from knightlite.quantize.statistics.observers import Observer, Statistics
from quantized_nets import QuantizedNet

Array = NDArray[Any]


def observed(graph: Graph, pictures: Array) -> dict[str, Statistics]:
    """The statistics of every tensor, all pictures at once."""
    plan = observation_plan(graph)
    observers = make_observers(graph, plan)
    inner = [name for name in plan.observed if name not in graph.inputs]
    order = list(dict.fromkeys((*graph.outputs, *inner)))
    values = session(write_float(graph, inner), 1).run(None, {graph.inputs[0]: pictures})
    found = {graph.inputs[0]: pictures, **dict(zip(order, values, strict=True))}
    for name in plan.observed:
        observers[name].add(found[name])
    return collect(observers, plan)


def basis_of(graph: Graph, pictures: Array, settings: Settings = DEFAULT_SETTINGS) -> Basis:
    return Basis(graph, observed(graph, pictures), observation_plan(graph), settings)


def choose(graph: Graph, pictures: Array, method: str = "mse") -> dict[str, Feature]:
    return choose_features(basis_of(graph, pictures, Settings(method)))


def noise(shape: tuple[int, ...], seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


def test_types_of_a_small_net() -> None:
    graph = small_net()
    chosen = choose(graph, noise((8, 3, 12, 12)))
    assert {name: feature.dtype.name for name, feature in chosen.items()} == {
        "x": "s8", "stem": "u8", "deep": "u8", "left": "s8", "right": "s8", "joined": "s8",
        "normal": "u8", "pooled": "u8", "wide": "s8", "swish": "s8", "sum": "s8", "mean": "s8",
        "logits": "s16",
    }  # fmt: skip
    assert {name for name, feature in chosen.items() if feature.scale.ndim} == {"stem"}
    assert chosen["stem"].scale.shape == (8,)
    scales = {name: chosen[name].scale for name in ("left", "right", "joined")}
    assert len({float(scale) for scale in scales.values()}) == 1
    assert all(feature.scale.dtype == np.float32 for feature in chosen.values())


def test_an_input_that_was_never_negative_is_unsigned() -> None:
    net = FloatNet()
    net.input("x", 3, 8, 8)
    net.conv("x", "y", 4)
    graph = net.build("y")
    assert choose(graph, np.abs(noise((4, 3, 8, 8))))["x"].dtype is dtypes.U8
    assert choose(graph, noise((4, 3, 8, 8)))["x"].dtype is dtypes.S8


@pytest.mark.parametrize("method", ["min_max", "mse", "kl"])
def test_raw_pixels_are_taken_as_they_are(method: str) -> None:
    net = FloatNet()
    net.input("x", 3, 8, 8)
    net.conv("x", "y", 4)
    graph = net.build("y")
    pixels = np.random.default_rng(0).integers(0, 250, (4, 3, 8, 8)).astype(np.float32)
    chosen = choose(graph, pixels, method)["x"]
    assert (float(chosen.scale), chosen.dtype) == (1.0, dtypes.U8)
    assert float(choose(graph, pixels + np.float32(0.25), method)["x"].scale) != 1.0
    assert float(choose(graph, pixels * 2, method)["x"].scale) != 1.0


@pytest.mark.parametrize(
    ("low", "high", "dtype", "is_exact"),
    [
        (0, 255, dtypes.U8, True),
        (0, 256, dtypes.U8, False),
        (-128, 127, dtypes.S8, True),
        (-129, 5, dtypes.S8, False),
        (-3, 128, dtypes.S8, False),
        (7, 7, dtypes.U8, False),  # one value only: nothing says that these are pixels
    ],
)
def test_whole_numbers_that_a_type_holds_are_exact_in_it(
    low: float, high: float, dtype: DType, is_exact: bool
) -> None:
    observer = Observer("x", 1, integral=True)
    observer.add(np.asarray([low, high], np.float32).reshape(1, 1, 1, 2))
    assert is_exact_in(["x"], {"x": observer.result()}, dtype) == is_exact
    seen = observer.result()
    assert not is_exact_in(["x", "z"], {"x": seen, "z": seen}, dtype)
    assert not is_exact_in(["x"], {"x": replace(seen, integral=False)}, dtype)


def test_outputs_are_16_bit_with_headroom() -> None:
    graph = small_net()
    pictures = noise((8, 3, 12, 12))
    statistics = observed(graph, pictures)
    chosen = choose(graph, pictures)["logits"]
    largest = float(statistics["logits"].absmax[0])
    assert float(chosen.scale) == pytest.approx(2 * largest / 32767, rel=1e-6)
    assert chosen.rule == LARGEST_WITH_HEADROOM


def test_an_outputs_steps_are_no_finer_than_the_factors_of_what_makes_it() -> None:
    """Two features that nearly cancel: 16 bits for the small difference would ask for factors of
    more than 23 bits, and be off by steps."""
    net = FloatNet()
    net.input("x", 4, 8, 8)
    net.conv("x", "a", 4)
    net.conv("x", "b", 4)
    net.node("Sub", ("a", "b"), "difference")
    graph = net.build("difference")
    for part in ("weight", "bias"):
        graph.constants[f"b.{part}"][:] = graph.constants[f"a.{part}"]
    graph.constants["b.bias"][:] += np.float32(0.001)
    chosen = choose(graph, noise((4, 4, 8, 8)))
    coarsest = max(float(chosen[name].scale) for name in ("a", "b"))
    assert chosen["difference"].dtype is dtypes.S16
    assert float(chosen["difference"].scale) == pytest.approx(coarsest / 2**14, rel=1e-6)


def test_so_are_those_of_8_bits() -> None:
    """Two features that cancel but for the last bits of float32."""
    net = FloatNet()
    net.input("x", 4, 8, 8)
    net.conv("x", "a", 4)
    net.conv("x", "b", 4)
    net.node("Sub", ("a", "b"), "difference")
    net.conv("difference", "y", 4)
    graph = net.build("y")
    for part in ("weight", "bias"):
        graph.constants[f"b.{part}"][:] = graph.constants[f"a.{part}"]
    graph.constants["b.weight"].reshape(-1)[0] += np.float32(2e-7)
    chosen = choose(graph, noise((4, 4, 8, 8)))
    coarsest = max(float(chosen[name].scale) for name in ("a", "b"))
    assert chosen["difference"].dtype is dtypes.S8
    assert float(chosen["difference"].scale) == pytest.approx(coarsest / 2**14, rel=1e-6)


FACTORED: dict[str, tuple[tuple[tuple[int, int, int], ...], dict[str, Any]]] = {
    "AveragePool": (
        ((4, 6, 6),),
        {"kernel": (3, 2), "strides": (1, 1), "pads": (1, 0, 0, 0), "counted_pads": (0, 0, 0, 0)},
    ),
    "MatMul": (((4, 1, 6), (5, 1, 4)), {"form": "values", "groups": 1}),
    "Mul": (((4, 6, 6), (4, 6, 6)), {}),
    "ResizeLinear": (
        ((4, 6, 6),),
        {"size": (9, 12), "scales": (1.5, 2.0), "coordinates": "half_pixel"},
    ),
}


@pytest.mark.parametrize("op", FACTORED)
def test_the_finest_step_is_what_a_factor_reaches(op: str) -> None:
    """At it the operator keeps its rules; at a third of it, which is no factor, it does not."""
    shapes, attributes = FACTORED[op]
    broken = []
    for part in (1.0, 1 / 3):
        step = 1.0
        for _ in range(2):
            net = QuantizedNet()
            names = [net.input(f"x{n}", *shape) for n, shape in enumerate(shapes)]
            graph = net.build(net.node(op, tuple(names), "y", dtypes.S16, step, **attributes))
            view = View(graph, graph.nodes[0])
            step = float(BY_NAME[op].finest_step(view)) * part
        broken.append(list(BY_NAME[op].broken(view)))
    assert not broken[0]
    assert broken[1]


def test_a_mean_of_what_has_none_is_quantized() -> None:
    """Rows that a norm has centred are centred again: all that is left are roundings."""
    net = FloatNet()
    net.input("x", 4, 8, 8)
    net.conv("x", "a", 4)
    net.node("AveragePool", ("a",), "mean", kernel=(8, 8), strides=(8, 8), pads=(0, 0, 0, 0),
             counted_pads=(0, 0, 0, 0))  # fmt: skip
    net.conv("mean", "y", 4)
    graph = net.build("y")
    graph.constants["a.weight"][:] = 0
    graph.constants["a.weight"][:, 0, 0, 0] = 1
    graph.constants["a.bias"][:] = 0
    pictures = noise((4, 4, 8, 8))
    pictures -= pictures.mean(axis=(2, 3), keepdims=True)
    chosen = choose(graph, pictures)
    least = float(chosen["a"].scale) / 64 / 2**14
    assert float(chosen["mean"].scale) == pytest.approx(least, rel=1e-6)


def test_a_sum_that_is_only_roundings_has_their_range() -> None:
    """x and -x, added: of exact values nothing is left but what the bias adds, far below a step."""
    net = FloatNet()
    net.input("x", 4, 8, 8)
    net.conv("x", "a", 4)
    net.conv("a", "sum", 4)
    net.conv("sum", "y", 4)
    graph = net.build("y")
    weight = graph.constants["sum.weight"]
    weight[:] = 0
    weight[0, :2, 0, 0] = 0.75, 1
    graph.constants["sum.bias"][:] = 1e-7
    for part in ("weight", "bias"):  # the second channel is the first one, -3/4 times
        graph.constants[f"a.{part}"][1] = np.float32(-0.75) * graph.constants[f"a.{part}"][0]
    chosen = choose(graph, noise((4, 4, 8, 8)))
    least = 2 * 12**-0.5 * float(chosen["a"].scale) * 1.25 / chosen["sum"].dtype.maximum
    assert float(chosen["sum"].scale) == pytest.approx(least, rel=1e-6)


def test_pinned_scales_are_kept_or_refused_with_the_least_that_can_be() -> None:
    """Sums and tables write 16 bits in steps of some size; any tensor of their group counts."""
    net = FloatNet()
    net.input("x", 4, 8, 8)
    net.conv("x", "a", 4)
    net.conv("x", "b", 4)
    net.node("Add", ("a", "b"), "sum")
    net.node("Table", ("a",), "table", function="Sigmoid")
    net.node("Slice", ("table",), "part", starts=(0, 1, 0), ends=(4, 3, 8), steps=(1, 1, 1))
    graph = net.build("sum", "part")
    pictures = noise((4, 4, 8, 8))
    basis = basis_of(graph, pictures)
    inputs = {name: Pin(name, dtypes.S16, np.asarray(0.0004, "f4"), "x.json") for name in "ab"}

    def pinned(**scales: np.float32) -> dict[str, Feature]:
        asked = (Pin(name, dtypes.S16, np.asarray(s), "x.json") for name, s in scales.items())
        return choose_features(basis.switched(pins=(*inputs.values(), *asked)))

    least = {"sum": np.float32(0.0004 / 2**7), "part": np.float32(1 / 32767)}
    with pytest.raises(UsageError) as caught:
        pinned(**{name: step / 2 for name, step in least.items()})
    first, second = caught.value.findings
    assert (first.where, second.where) == ("sum", "part")
    assert first.sentence == "Add sum writes steps of 3.125e-06 or more, not of 1.5625e-06."
    assert caught.value.sentence == f"2 scale(s) cannot be kept: sum: {first.sentence}"
    assert second.sentence.startswith("Table table writes steps of 3.05")
    assert second.sentence.endswith("e-05 or more, not of 1.5259255e-05.")
    with pytest.raises(UsageError, match=r"^1 scale\(s\) cannot be kept: sum: .* 3.1249997e-06\."):
        pinned(sum=np.nextafter(least["sum"], np.float32(0)))
    chosen = pinned(**least)
    assert {name: chosen[name].scale for name in least} == least
    assert chosen["table"].scale == least["part"]


def test_a_pin_means_its_group_whichever_member_it_names() -> None:
    """Kept for all members, or refused for what any of them holds."""
    graph = small_net()
    basis = basis_of(graph, noise((4, 3, 12, 12)))
    least = {name: float(basis.statistics[name].minimum.min()) for name in ("left", "right")}
    assert least["left"] < 0 <= least["right"]
    members = ("left", "right", "joined")
    for name in members:
        for dtype in (dtypes.U8, dtypes.S8, dtypes.S16):
            pin = Pin(name, dtype, np.asarray(0.037, np.float32), "x.json")
            pinned = basis.switched(pins=(pin,))
            if dtype == dtypes.U8:
                sentence = f"u8 cannot hold its values, which reach {least['left']:.4g}."
                with pytest.raises(UsageError) as caught:
                    choose_features(pinned)
                assert caught.value.sentence == f"1 scale(s) cannot be kept: {name}: {sentence}"
                assert caught.value.hint == "s8 can"
                continue
            chosen, usual = choose_features(pinned), choose_features(basis)
            for other, feature in chosen.items():
                if other in members:
                    assert feature.dtype == dtype
                    assert float(feature.scale) == np.float32(0.037)
                    assert feature.rule.text == "x.json"
                else:
                    assert np.array_equal(feature.scale, usual[other].scale)
                    assert feature.rule == usual[other].rule


def test_outputs_that_stay_at_8_bits() -> None:
    """Read by another operator that computes, or pooled."""
    net = FloatNet()
    net.input("x", 4, 8, 8)
    net.conv("x", "read", 4)
    net.hard_swish("read", "table")
    net.conv("x", "before", 4)
    net.pool("before", "pooled")
    net.conv("x", "free", 4)
    net.conv("x", "other", 4)
    net.node("Concat", ("free", "other"), "joined")
    graph = net.build("read", "table", "pooled", "joined")
    chosen = choose(graph, noise((2, 4, 8, 8)))
    assert {name: chosen[name].dtype.name for name in graph.outputs} == {
        "read": "s8", "table": "s16", "pooled": "s8", "joined": "s16",
    }  # fmt: skip
    assert chosen["free"].dtype is dtypes.S16


def test_a_group_weighs_errors_by_energy() -> None:
    """A quiet branch must not drown: one shared scale between what each would choose alone."""
    net = FloatNet()
    net.input("x", 4, 8, 8)
    for name, size in (("quiet", 0.05), ("loud", 5.0)):
        weights = np.eye(4).reshape(4, 4, 1, 1) * size
        net.conv("x", name, 4, weights=weights, bias=np.zeros(4))
    net.node("Concat", ("quiet", "loud"), "joined")
    net.conv("joined", "y", 2)
    graph = net.build("y")
    rng = np.random.default_rng(0)
    pictures = rng.standard_t(4, (64, 4, 8, 8)).astype(np.float32)
    shared = float(choose(graph, pictures)["joined"].scale)
    alone = FloatNet()
    alone.input("x", 4, 8, 8)
    for name, size in (("quiet", 0.05), ("loud", 5.0)):
        weights = np.eye(4).reshape(4, 4, 1, 1) * size
        alone.conv("x", name, 4, weights=weights, bias=np.zeros(4))
        alone.conv(name, f"{name}_y", 2)
    each = choose(alone.build("quiet_y", "loud_y"), pictures)
    assert float(each["quiet"].scale) < shared < float(each["loud"].scale)
    largest = float(choose(graph, pictures, "min_max")["joined"].scale)
    assert largest == pytest.approx(5.0 * float(np.abs(pictures).max()) / 127.5, rel=0.01)


@pytest.mark.parametrize("read", [False, True])
def test_what_is_felt_through_many_ways_is_asked_once(
    read: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty times cut in two and joined again: a million ways to the tables at the end."""
    net = FloatNet()
    net.input("x", 2, 4, 4)
    net.conv("x", "t", 2)
    name = "t"
    for level in range(20):
        halves = [
            net.node("Slice", (name,), f"{side}{level}", starts=(at, 0, 0), ends=(at + 1, 4, 4),
                     steps=(1, 1, 1))
            for at, side in enumerate("ab")
        ]  # fmt: skip
        name = net.node("Concat", tuple(halves[::-1]), f"c{level}")
    net.hard_swish(name, "swish")
    net.node("Table", (name,), "gate", function="HardSigmoid", alpha=0.2, beta=0.5)
    net.node("Mul", ("swish", "gate"), "y")
    if read:
        net.conv("a7", "z", 1)
    graph = net.build("y", "z") if read else net.build("y")
    asked = MagicMock(side_effect=groups._felt_by)
    monkeypatch.setattr(groups, "_felt_by", asked)
    assert felt_interval(graph, "t") == (-np.inf if read else -3.0, np.inf)
    assert felt_interval(graph, "c7") == (-3.0, np.inf)
    assert asked.call_count < 250


def test_codes_are_not_spent_where_a_table_is_flat() -> None:
    net = FloatNet()
    net.input("x", 4, 8, 8)
    weights = np.eye(4).reshape(4, 4, 1, 1)
    net.conv("x", "t", 4, weights=weights, bias=np.full(4, -20.0))
    net.hard_swish("t", "swish")
    net.node("Table", ("t",), "gate", function="HardSigmoid", alpha=0.2, beta=0.5)
    net.node("Mul", ("swish", "gate"), "product")
    net.conv("product", "y", 2)
    graph = net.build("y")
    assert felt_interval(graph, "t") == (-3.0, np.inf)
    assert felt_interval(graph, "product") == (-np.inf, np.inf)
    # who reads the network's outputs may feel every value
    assert felt_interval(replace(graph, outputs=("y", "t")), "t") == (-np.inf, np.inf)
    pictures = 6 * noise((16, 4, 8, 8))
    scale = float(choose(graph, pictures, "min_max")["t"].scale)
    highest = float(pictures.max()) - 20
    assert scale == pytest.approx(max(3 / 128, highest / 127), rel=1e-5)


def test_all_zero_tensors_have_a_sane_scale() -> None:
    net = FloatNet()
    net.input("x", 4, 8, 8)
    net.conv("x", "dead", 4, bias=np.full(4, -1000.0), clamp=RELU)
    net.depthwise("dead", "d", bias=np.zeros(4))
    net.conv("d", "y", 2, bias=np.zeros(2))
    for method in ("min_max", "mse", "kl"):
        chosen = choose(net.build("y"), noise((2, 4, 8, 8)), method)
        assert chosen["dead"].scale.tolist() == pytest.approx([1 / 255] * 4)
        assert float(chosen["d"].scale) == pytest.approx(1 / 127)
        assert float(chosen["y"].scale) == pytest.approx(1 / 32767)


def test_a_silent_channel_takes_the_floor() -> None:
    net = FloatNet()
    net.input("x", 4, 8, 8)
    net.conv("x", "t", 4, bias=np.asarray([0, 0, 0, -1000.0]), clamp=RELU)
    net.depthwise("t", "y")
    scales = choose(net.build("y"), noise((2, 4, 8, 8)))["t"].scale
    assert scales[3] == np.float32(float(scales.astype(np.float64).max()) / 1024)
    assert scales[:3].min() > 100 * scales[3]


def test_scales_per_channel_reckon_with_pictures_to_come() -> None:
    """Least squares have headroom where one picture stands out; what clips nothing seen has none.

    A finer power of two of the same values gives the same scales, so divided.
    """
    rng = np.random.default_rng(0)
    pictures = rng.uniform(0, 1, (20, 1, 3, 16, 16)).astype(np.float32)
    pictures[:, :, 1] *= 0.5
    pictures[7, :, 1] *= 2.0  # 1.0, twice as far as the other pictures
    scales = {}
    for factor in (1.0, 1.9, 0.25):  # 1.9: beyond the power of two that holds the loudest
        observer = Observer("t", 3, per_channel=True, signed=False)
        for picture in pictures:
            observer.add(picture * np.float32(factor))
        found = observer.result()
        scales[factor] = channel_scales(found, dtypes.U8, "mse", 1.0) * (255 / factor)
        exact = channel_scales(found, dtypes.U8, "min_max", 1.0) * 255
        np.testing.assert_allclose(exact, found.maximum, rtol=1e-6)
        far = channel_scales(found, dtypes.U8, "far_min_max", 1.0) * 255
        assert found.second is not None
        np.testing.assert_allclose(far, 2 * found.maximum - found.second, rtol=1e-6)
    assert 1.35 < scales[1.0][1] < 1.51
    assert scales[1.0][[0, 2]] == pytest.approx([1.0, 1.0], abs=0.01)
    np.testing.assert_allclose(scales[0.25], scales[1.0], rtol=1e-6)
    np.testing.assert_allclose(scales[1.9], scales[1.0], rtol=0.02)


def test_a_clamp_that_would_differ_between_channels_takes_one_scale() -> None:
    """Clamped at 1 while a channel reaches 8: the bound in codes would depend on the channel."""

    def net(clamp: tuple[float, float]) -> Graph:
        made = FloatNet()
        made.input("x", 4, 8, 8)
        made.conv("x", "t", 4, bias=np.asarray([0.0, 0.0, 3.0, 6.0]), clamp=clamp)
        made.depthwise("t", "y")
        return made.build("y")

    pictures = noise((4, 4, 8, 8))
    assert choose(net(RELU), pictures)["t"].scale.shape == (4,)
    assert choose(net((0.0, 6.0)), pictures)["t"].scale.shape == (4,)
    assert choose(net((-0.5, 100.0)), pictures)["t"].scale.shape == ()


def test_a_picture_to_come_beyond_a_clamp_takes_one_scale_whatever_the_factor() -> None:
    """5.5 against 3 foresees 8: its code of the bound 6 is not that of the other channel.

    Only the furthest channel's scale is looked for then.
    """
    net = FloatNet()
    net.input("x", 4, 8, 8)
    net.conv("x", "t", 4, weights=np.eye(4)[:, :, None, None], bias=np.zeros(4), clamp=(0.0, 6.0))
    net.depthwise("t", "y")
    graph = net.build("y")
    pictures = np.random.default_rng(0).uniform(0, 3, (20, 4, 8, 8)).astype(np.float32)
    pictures[4, 2] *= 5.5 / 3
    plain = basis_of(graph, pictures)
    scale = choose_features(plain)["t"].scale
    assert scale.shape == ()
    assert set(plain.found.values()) == {None}
    for factor in (0.5, 2.0):
        moved = plain.switched(range_factors=(("t", factor),))
        assert choose_features(moved)["t"].scale == scale * np.float32(factor)
    pictures[4, 2] /= 5.5 / 3
    assert choose(graph, pictures)["t"].scale.shape == (4,)


@pytest.mark.parametrize(
    "sizes",
    [
        (1.0, 1.0), (0.05, 5.0), (0.05, 0.1, 0.4, 1.6), (0.01, 3.0), (0.004, 6.0),
        (0.004, 0.1, 6.0), (0.004, 0.004, 0.004, 6.0), (1e-6, 1.0),
    ],
)  # fmt: skip
def test_a_groups_scale_has_the_least_total_error(sizes: tuple[float, ...]) -> None:
    """Against 1000 scales in a row and 100 about the best, every source looked at by itself.

    Where a loud member is a thousand times as large as the others, it may be clipped for them.
    """
    net = FloatNet()
    net.input("x", 4, 8, 8)
    names = tuple(f"part{index}" for index in range(len(sizes)))
    for name, size in zip(names, sizes, strict=True):
        net.conv("x", name, 4, weights=np.eye(4).reshape(4, 4, 1, 1) * size, bias=np.zeros(4))
    net.node("Concat", names, "joined")
    net.conv("joined", "y", 2)
    graph = net.build("y")
    pictures = np.random.default_rng(3).standard_t(4, (64, 4, 8, 8)).astype(np.float32)
    basis = basis_of(graph, pictures)
    chosen = choose_features(basis)

    parts = [even_row_densities(basis.statistics[name])[0] for name in names]

    def total(scale: float) -> float:
        return sum(squared_error(part, scale, dtypes.S8) / part.energy for part in parts)

    found = float(chosen["joined"].scale)
    tensors = {
        name: Tensor(name, graph.tensors[name].shape, dtypes.S8, np.asarray(found))
        for name in (*names, "joined")
    }
    assert expected_error(basis, tensors) == pytest.approx(total(found), rel=1e-9)
    largest = max(sizes) * float(np.abs(pictures).max()) / 127
    least = min(sizes) / max(sizes) / 32
    row = largest * np.geomspace(least, 1, 1000)
    best = min(row, key=total)
    scales = [*row, *np.geomspace(best * row[0] / row[1], best * row[1] / row[0], 100)]
    tried = [total(scale) for scale in scales]
    usual = min(item for item, scale in zip(tried, scales, strict=True) if scale > largest / 32)
    assert min(tried) * 0.999 < total(found) < min(usual, min(tried) / 0.95) * 1.002
    assert found > largest / 64 or total(found) < 0.951 * usual
    hopeless = min(tried) > 0.95  # one of two members is lost either way
    assert hopeless or total(largest) > 1.05 * total(found)


@pytest.mark.parametrize(
    ("place", "wanted"), [(16.0, 16 / 15.5), (-16.0, 16 / 15.5), (15.999, 1.0), (-15.999, 1.0)]
)
def test_a_jump_is_moved_between_codes_from_sixteen_on(
    monkeypatch: pytest.MonkeyPatch, place: float, wanted: float
) -> None:
    """Nearer to 0 it would cost more of the scale."""
    table = SimpleNamespace(op="Table")
    monkeypatch.setattr(feature_choice, "readers_outside", lambda graph, group: [table])
    monkeypatch.setattr(feature_choice, "jumps", lambda *parts: (place,))
    found = feature_choice._jump_between_codes(MagicMock(), MagicMock(), dtypes.S8, 1.0)
    assert found == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("beyond", [-3.5, -9.0, -15.0])
def test_what_no_reader_feels_is_neither_in_a_scale_nor_in_its_error(beyond: float) -> None:
    """HardSwish is 0 below -3: how far below a value lies changes nothing."""
    net = FloatNet()
    net.conv(net.input("x", 1, 8, 8), "c", 1, weights=np.ones((1, 1, 1, 1)), bias=np.zeros(1))
    graph = net.build(net.conv(net.hard_swish("c", "y"), "z", 1))
    found = []
    for value in (-8.5, beyond):
        pictures = np.abs(noise((16, 1, 8, 8))) * 2
        pictures[:, :, :2] = value
        pictures[0, 0, 7, 7] = 15.5  # the same bins for both
        basis = basis_of(graph, pictures, Settings(wide_tables=False))
        made = choose_features(basis)["c"]
        at = Tensor("c", (1, 1, 8, 8), dtypes.S8, np.asarray(0.03, np.float32))
        found.append((made.dtype, float(made.scale), expected_error(basis, {"c": at})))
    assert found[0] == found[1]
    assert found[0][2] > 0


@pytest.mark.parametrize("allowed", [True, False])
def test_scales_per_channel_are_asked_for_as_they_will_be(
    allowed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what is tried on top of the method: a bound in codes depends on it."""
    asked: list[list[float]] = []

    def allows(graph: Any, name: str, dtype: Any, scales: Any) -> bool:
        asked.append(scales.tolist())
        return allowed

    monkeypatch.setattr(feature_choice, "_clamp_allows", allows)
    monkeypatch.setattr(feature_choice, "group_dtype", lambda basis, group: dtypes.U8)
    found = np.array([0.5, 1.0], np.float32)
    basis: Any = SimpleNamespace(
        plan=SimpleNamespace(per_channel={"t"}), settings=SimpleNamespace(percent=1.0),
        found={("t", dtypes.U8, "mse", 1.0): found}, graph=None,
        method_of=lambda group: "mse", factor_of=lambda group: 0.25,
    )  # fmt: skip
    group: Any = SimpleNamespace(members=("t",))
    made = feature_choice._per_channel(basis, 3, group)
    assert asked == [[0.125, 0.25]]
    assert (made is not None) == allowed
    if made is not None:
        feature = made["t"]
        assert (feature.scale.tolist(), feature.group) == ([0.125, 0.25], 3)
        assert (feature.rule.per_channel, feature.rule.factor) == (True, 0.25)
    other: Any = SimpleNamespace(members=("u",))
    assert feature_choice._per_channel(basis, 3, other) is None
