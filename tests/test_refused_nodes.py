"""Nodes that are refused, one by one, word for word: what they must be, and what they are not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from knightlite.errors import UnsupportedError
from knightlite.frontend import load
from onnx_nets import Net

SHAPE = (1, 6, 4, 5)


def whole(net: Net, *values: int) -> str:
    return net.weight(f"whole{len(net.weights)}", np.asarray(values, np.int64))


def real(net: Net, *values: float) -> str:
    return net.weight(f"real{len(net.weights)}", np.asarray(values, np.float32))


def ones(net: Net, *shape: int) -> str:
    return net.weight(f"ones{len(net.weights)}", np.ones(shape, np.float32))


def resize(net: Net, scales: tuple[float, ...] = (1, 1, 2, 2), **more: Any) -> str:
    return net.node("Resize", ["x", "", real(net, *scales)], "y", **more)


def pool(net: Net, **more: Any) -> str:
    return net.node("MaxPool", ["x"], "y", kernel_shape=[2, 2], **more)


# x and z are features; "row" is x as [1, K], "flat" as [1, C, K], "v" a computed vector
CASES: tuple[tuple[Callable[[Net], str], str], ...] = (
    (lambda net: net.node("Conv", ["x", "z"], "y", kernel_shape=[4, 5]),
     "Conv Conv_y must have constant weights."),
    (lambda net: net.node("Conv", ["x", ones(net, 6, 6, 1, 1), "v"], "y"),
     "Conv Conv_y must have a constant bias."),
    (lambda net: net.node("Gemm", ["row", ones(net, 120, 4), "v"], "y"),
     "Gemm Gemm_y must have a constant bias."),
    (lambda net: net.node("Slice", ["x", *(whole(net, at) for at in (2, 2, 1))], "y"),
     "Slice Slice_y makes an empty tensor, (1, 0, 4, 5)."),
    (lambda net: net.node("BatchNormalization", ["x", "v", "v", "v", "v"], "y"),
     "BatchNormalization BatchNormalization_y must have constant parameters."),
    (lambda net: net.node("Div", ["x", real(net, 0.0)], "y"), "Div Div_y must not divide by zero."),
    (lambda net: net.node("Div", [ones(net, 1, 6, 1, 1), "x"], "y"),
     "Div Div_y must divide features or a scalar by features."),
    (lambda net: pool(net, storage_order=1), "MaxPool MaxPool_y must have storage_order 0."),
    (lambda net: pool(net, dilations=[1, 2]), "MaxPool MaxPool_y must have dilations 1."),
    (lambda net: resize(net, mode="cubic",
                        coordinate_transformation_mode="tf_crop_and_resize"),
     "Resize Resize_y must have mode nearest or linear, not cubic."),
    (lambda net: resize(net, coordinate_transformation_mode="tf_crop_and_resize"),
     "Resize Resize_y must have a coordinate_transformation_mode of asymmetric, half_pixel, "
     "pytorch_half_pixel, align_corners, half_pixel_symmetric, not tf_crop_and_resize."),
    (lambda net: resize(net, nearest_mode="simple"),
     "Resize Resize_y must have a nearest_mode of floor, ceil, round_prefer_floor, "
     "round_prefer_ceil, not simple."),
    (lambda net: resize(net, (1, 2, 2, 2)),
     "Resize Resize_y must resize height and width only, not (1, 6, 4, 5) to (1, 12, 8, 10)."),
    (lambda net: net.conv("x", "y", (2, 6, 3, 3), auto_pad="SAME"),
     "auto_pad must be NOTSET, SAME_* or VALID, not SAME."),
    (lambda net: net.node("Conv", ["x", ones(net, 2, 5, 1, 1)], "y"),
     "Conv Conv_y must have 6 input channels, not 1 groups of 5."),
    (lambda net: net.node("Conv", ["x", ones(net, 4, 2, 1, 1)], "y", group=2),
     "Conv Conv_y must have 6 input channels, not 2 groups of 2."),
    (lambda net: net.node("ConvTranspose", ["x", "z"], "y"),
     "ConvTranspose ConvTranspose_y must have constant weights and a constant bias."),
    (lambda net: net.node("ConvTranspose", ["x", ones(net, 6, 2, 1, 1), "v"], "y"),
     "ConvTranspose ConvTranspose_y must have constant weights and a constant bias."),
    (lambda net: net.node("ConvTranspose", ["x", ones(net, 5, 2, 1, 1)], "y"),
     "ConvTranspose ConvTranspose_y must have weights of 6 input channels in 1 groups, not 5."),
    (lambda net: net.node("Clip", ["x", "v"], "y"),
     "Clip Clip_y must read features with equally many axes, not (1, 6, 4, 5) and (6,)."),
    (lambda net: net.node("Clip", ["x", "z"], "y"), "Clip Clip_y must have constant bounds."),
    (lambda net: net.node("Clip", ["x", "", real(net, np.nan)], "y"),
     "Clip Clip_y must have bounds that are numbers, but max is NaN."),
    (lambda net: net.node("Pad", ["x", whole(net, 0, 0, 1, 0, 0, 0, 0, 0), "v"], "y"),
     "Pad Pad_y must have a constant value."),
    (lambda net: net.node("Pad", ["x", whole(net, 0, 0, 4, 0, 0, 0, 0, 0)], "y", mode="reflect"),
     "Pad Pad_y must reflect fewer than 4 elements, not 4."),
    (lambda net: net.node("Pad", ["x", whole(net, 0, 0, 0, 0, 0, 0, 0, 5)], "y", mode="reflect"),
     "Pad Pad_y must reflect fewer than 5 elements, not 5."),
    (lambda net: net.node("PRelu", ["x", "v"], "y"),
     "PRelu PRelu_y must read features with equally many axes, not (1, 6, 4, 5) and (6,)."),
    (lambda net: net.node("PRelu", ["x", ones(net, 6, 4, 5)], "y"),
     "PRelu PRelu_y must have a slope per channel or one for all, not of shape (1, 6, 4, 5) on "
     "features (1, 6, 4, 5)."),
    (lambda net: net.node("SpaceToDepth", ["x"], "y", blocksize=3),
     "SpaceToDepth: the picture of 4x5 must be a multiple of 3."),
    (lambda net: net.node("Pow", ["x", "z"], "y"), "Pow Pow_y must have one constant exponent."),
    (lambda net: net.node("Pow", ["x", real(net, 1, 2, 3, 4, 5)], "y"),
     "Pow Pow_y must have one constant exponent."),
    (lambda net: net.node("Einsum", ["x", "z", "x"], "y", equation="abcd,abcd,abcd->abcd"),
     "Einsum Einsum_y must multiply two features as attention does, nchw,nckj->njhw or "
     "njhw,nmkj->nmhw or nchw,njkc->njhw, not abcd,abcd,abcd->abcd."),
)  # fmt: skip


@pytest.mark.parametrize(("make", "sentence"), CASES, ids=[item for _, item in CASES])
def test_refused(make: Callable[[Net], str], sentence: str, tmp_path: Path) -> None:
    net = Net()
    net.input("x", SHAPE)
    net.input("z", SHAPE)
    net.node("Reshape", ["x", whole(net, 1, 6, 20)], "flat")
    net.node("Reshape", ["x", whole(net, 1, 120)], "row")
    net.node("GlobalAveragePool", ["z"], "mean")
    net.node("Reshape", ["mean", whole(net, 6)], "v")
    end = net.conv(make(net), "end", (2, 6, 1, 1))  # else the host might take the node
    drop_unread(net, end)
    with pytest.raises(UnsupportedError) as caught:
        load(net.save(tmp_path, end))
    refused = next(node for node in net.nodes if node.output[0] == "y")
    assert (caught.value.findings[0].where, caught.value.findings[0].sentence) == (
        refused.name,
        sentence,
    )


@pytest.mark.parametrize(("axis", "times"), [(1, 64), (2, 64), (3, 64), (2, 1)])
def test_as_many_repeats_as_there_may_be(axis: int, times: int, tmp_path: Path) -> None:
    net = Net()
    net.input("x", (1, 2, 1, 2))
    repeats = [times if place == axis else 1 for place in range(4)]
    net.node("Tile", ["x", whole(net, *repeats)], "y")
    graph = load(net.save(tmp_path, net.conv("y", "end", (2, 2 * repeats[1], 1, 1))))
    assert graph.tensors["end"].shape == (1, 2, repeats[2], 2 * repeats[3])


def drop_unread(net: Net, output: str) -> None:
    """Keep the nodes and inputs that the output needs."""
    wanted, kept = {output}, []
    for node in reversed(net.nodes):
        if wanted.intersection(node.output):
            wanted.update(node.input)
            kept.append(node)
    net.nodes[:] = kept[::-1]
    net.inputs[:] = [item for item in net.inputs if item.name in wanted]


def test_a_reshape_at_the_end_keeps_all_elements(tmp_path: Path) -> None:
    """The host computes what it can, but no ONNX runtime would run this."""
    net = Net()
    net.conv(net.input("x", SHAPE), "y", (2, 6, 4, 5))
    with pytest.raises(UnsupportedError) as caught:
        load(net.save(tmp_path, net.node("Reshape", ["y", whole(net, 0, 3)], "z")), general=True)
    assert [item.sentence for item in caught.value.findings] == [
        "Reshape Reshape_z must keep all elements, not turn (1, 2, 1, 1) into (1, 3)."
    ]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    ("kind", "name", "more"),
    [
        ("LeakyRelu", "alpha", {}),
        ("Selu", "gamma", {"alpha": 1.0}),
        ("HardSigmoid", "beta", {}),
        ("ThresholdedRelu", "alpha", {}),
        ("LRN", "beta", {"size": 3}),
    ],
)
def test_attributes_are_numbers(
    kind: str, name: str, more: dict[str, Any], value: float, tmp_path: Path
) -> None:
    net = Net()
    net.input("x", SHAPE)
    net.node(kind, ["x"], "y", **more, **{name: value})
    with pytest.raises(UnsupportedError) as caught:
        load(net.save(tmp_path, net.conv("y", "end", (2, 6, 1, 1))))
    assert [str(item) for item in caught.value.findings] == [
        f"{kind}_y: {kind} {kind}_y must have finite attributes, but {name} is {value}. "
        "Hint: export the model again"
    ]


def test_an_output_that_is_an_input(tmp_path: Path) -> None:
    """The declaration of the output, without a shape, does not hide that of the input."""
    net = Net()
    net.conv(net.input("x", SHAPE), "y", (2, 6, 1, 1))
    with pytest.raises(UnsupportedError) as caught:
        load(net.save(tmp_path, "y", "x"))
    assert [str(item) for item in caught.value.findings] == [
        "x: the network output is the network input itself."
    ]
