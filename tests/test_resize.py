"""Resize and Upsample of every opset: read, held to ONNX Runtime, refused with a sentence."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from float_nets import Pictures
from knightlite.errors import UnsupportedError
from knightlite.frontend import constant_runs, cubic, load, load_quantized
from knightlite.frontend.source import SourceNode
from knightlite.inference import session
from knightlite.onnx_models import write_float, write_qdq
from knightlite.ops import sampling
from knightlite.quantize.pipeline import quantize_graph
from onnx_nets import Net, checked, operators


def scales(net: Net, *values: float) -> str:
    return net.weight("scales", np.asarray(values, np.float32))


def sizes(net: Net, *values: int) -> str:
    return net.weight("sizes", np.asarray(values, np.int64))


def resized(opset: int, op: str, values: tuple[float, ...], **attributes: Any) -> Net:
    """A convolution, a resize by scales (floats) or sizes (integers), another convolution."""
    net = Net(opset)
    x = net.conv(net.input("x", (1, 3, 9, 12)), "c", (4, 3, 3, 3), pads=[1] * 4)
    # opset 11 had no optional inputs yet: what is not given is empty
    none = net.weight("none", np.zeros(0, np.float32)) if opset == 11 else ""
    if all(isinstance(item, int) for item in values):
        operands = [x, none, none, sizes(net, *map(int, values))]
    elif opset < 11:
        operands = [x, scales(net, *values)]
    else:
        operands = [x, none, scales(net, *values)]
    net.node(op, operands, "r", **attributes)
    net.conv("r", "y", (4, 4, 1, 1))
    return net


@pytest.mark.parametrize(
    ("opset", "op", "values", "attributes"),
    [
        (9, "Upsample", (1.0, 1.0, 2.0, 2.0), {"mode": "nearest"}),
        (9, "Upsample", (1.0, 1.0, 2.0, 3.0), {"mode": "linear"}),
        (10, "Resize", (1.0, 1.0, 2.0, 1.5), {"mode": "nearest"}),
        (10, "Resize", (1.0, 1.0, 0.5, 0.5), {"mode": "nearest"}),
        (10, "Resize", (1.0, 1.0, 1.0, 0.5), {"mode": "nearest"}),
        (10, "Resize", (1.0, 1.0, 2.0, 1.0), {"mode": "nearest"}),
        (10, "Resize", (1.0, 1.0, 2.0, 2.0), {"mode": "linear"}),
        (11, "Resize", (1.0, 1.0, 2.0, 2.0), {}),
        (11, "Resize", (1, 4, 18, 24), {"mode": "linear"}),
        (11, "Resize", (1, 4, 17, 31), {"mode": "linear",
                                        "coordinate_transformation_mode": "align_corners"}),
        (13, "Resize", (1, 4, 18, 24), {"coordinate_transformation_mode": "asymmetric",
                                        "nearest_mode": "floor"}),
        (13, "Resize", (1.0, 1.0, 1.5, 1.5), {"mode": "linear",
                                              "coordinate_transformation_mode": "asymmetric"}),
        (18, "Resize", (5, 25), {"mode": "linear", "axes": [2, 3]}),
        (18, "Resize", (24, 18), {"mode": "linear", "axes": [3, 2],
                                  "coordinate_transformation_mode": "pytorch_half_pixel"}),
        (19, "Resize", (13, 16), {"mode": "linear", "axes": [2, 3],
                                  "coordinate_transformation_mode": "half_pixel_symmetric"}),
    ],
)  # fmt: skip
def test_read_as_onnx_runtime_computes(
    tmp_path: Path, opset: int, op: str, values: tuple[float, ...], attributes: dict[str, Any]
) -> None:
    graph = checked(resized(opset, op, values, **attributes).save(tmp_path, "y"))
    linear = attributes.get("mode") == "linear"
    assert operators(graph) == ["Conv", "ResizeLinear" if linear else "ResizeNearest", "Conv"]


@pytest.mark.parametrize("coordinates", sampling.COORDINATES)
@pytest.mark.parametrize("mode", ["linear", "nearest"])
def test_few_outputs_are_where_onnx_runtime_has_them(
    tmp_path: Path, coordinates: str, mode: str
) -> None:
    """One row, one column, or both: modes have rules of their own for these."""
    more = {"nearest_mode": "round_prefer_floor"} if mode == "nearest" else {}
    for size in ((1, 1), (1, 4), (3, 1), (2, 2)):
        net = resized(
            19, "Resize", (1, 4, *size), mode=mode, coordinate_transformation_mode=coordinates,
            **more,
        )  # fmt: skip
        checked(net.save(tmp_path, "y"))


def test_empty_optional_inputs_and_computed_sizes(tmp_path: Path) -> None:
    """As PyTorch writes it: empty roi and scales, sizes from Shape, Slice and Concat."""
    net = Net(11)
    x = net.conv(net.input("x", (1, 3, 9, 12)), "c", (4, 3, 1, 1))
    net.node("Shape", [x], "shape")
    for name, values in (("zero", [0]), ("two", [2])):
        net.weight(name, np.asarray(values, np.int64))
    net.node("Slice", ["shape", "zero", "two", "zero"], "batch")
    net.weight("hw", np.asarray([18, 24], np.int64))
    net.node("Concat", ["batch", "hw"], "sizes", axis=0)
    empty = net.weight("empty", np.zeros(0, np.float32))
    net.node("Resize", [x, empty, empty, "sizes"], "y", mode="linear")
    assert operators(checked(net.save(tmp_path, "y"))) == ["Conv", "ResizeLinear"]


def test_relu_behind_linear_is_its_clamp(tmp_path: Path) -> None:
    net = resized(13, "Resize", (1, 4, 18, 24), mode="linear")
    net.nodes.pop()
    net.node("Relu", ["r"], "y")
    graph = checked(net.save(tmp_path, "y"))
    assert operators(graph) == ["Conv", "ResizeLinear"]
    assert graph.nodes[1].attributes["clamp"] == (0.0, float("inf"))


@pytest.mark.parametrize(
    ("opset", "op", "values", "attributes", "sentence"),
    [
        (13, "Resize", (1.0, 1.0, 2.0, 2.0),
         {"mode": "cubic", "coordinate_transformation_mode": "tf_crop_and_resize"},
         "Resize Resize_r must have mode nearest or linear, not cubic."),
        (18, "Resize", (5, 6), {"mode": "linear", "axes": [2, 3], "antialias": 1,
          "keep_aspect_ratio_policy": "not_larger"},
         "Resize Resize_r must have antialias 0."),
        (18, "Resize", (5, 6), {"axes": [2, 3], "keep_aspect_ratio_policy": "not_larger"},
         "Resize Resize_r must have keep_aspect_ratio_policy stretch, not not_larger."),
        (11, "Resize", (1, 4, 18, 24), {"coordinate_transformation_mode": "tf_crop_and_resize"},
         "Resize Resize_r must have a coordinate_transformation_mode of asymmetric, half_pixel, "
         "pytorch_half_pixel, align_corners, half_pixel_symmetric, not tf_crop_and_resize."),
        (13, "Resize", (1, 8, 9, 12), {},
         "Resize Resize_r must resize height and width only, not (1, 4, 9, 12) to (1, 8, 9, 12)."),
        (13, "Resize", (1.5, 1.0, 2.0, 2.0), {},
         "Resize Resize_r must resize height and width only, not (1, 4, 9, 12) to (1, 4, 18, 24)."),
        (13, "Resize", (1.0, 1.2, 2.0, 2.0), {},
         "Resize Resize_r must resize height and width only, not (1, 4, 9, 12) to (1, 4, 18, 24)."),
        (10, "Resize", (1.0, 1.0, 2.0, 0.5), {"mode": "nearest"},
         "Resize Resize_r must not shrink one axis and let the other grow (scales (2.0, 0.5))."),
        (13, "Resize", (1, 4, 2999, 2999), {"mode": "linear"},
         "ResizeLinear: positions are multiples of 1/2999 and 1/5998, and 2999 * 5998 exceeds "
         "8388608."),
    ],
)  # fmt: skip
def test_refused(
    tmp_path: Path,
    opset: int,
    op: str,
    values: tuple[float, ...],
    attributes: dict[str, Any],
    sentence: str,
) -> None:
    path = resized(opset, op, values, **attributes).save(tmp_path, "y")
    with pytest.raises(UnsupportedError) as caught:
        checked(path)
    assert [item.sentence for item in caught.value.findings][:1] == [sentence]


@pytest.mark.parametrize("values", [(12, 26), (12, 53), (2.0, 1.4)])
def test_between_transposes(values: tuple[float, ...], tmp_path: Path) -> None:
    """ONNX Runtime carries the first one through the Resize, whose axes it then has to turn too."""
    net = Net(18)
    net.node("Transpose", [net.input("x", (1, 6, 13, 11))], "t", perm=[0, 3, 1, 2])
    whole = all(isinstance(item, int) for item in values)
    told = ["", sizes(net, *map(int, values))] if whole else [scales(net, *values)]
    net.node("Resize", ["t", "", *told], "r", axes=[2, 3], nearest_mode="floor",
             coordinate_transformation_mode="asymmetric")  # fmt: skip
    net.node("Transpose", ["r"], "y", perm=[0, 2, 3, 1])
    graph = load(net.save(tmp_path, "y"))
    x = np.random.default_rng(0).normal(size=(1, 6, 13, 11)).astype(np.float32)
    (found,) = session(write_float(graph)).run(None, {"x": x})
    rows, columns = (
        np.floor(np.arange(made) * np.float32(extent / made if whole else 1 / factor)).astype(int)
        for extent, made, factor in (
            (6, 12, 2.0), (13, values[1] if whole else 18, 1.4),
        )
    )  # fmt: skip
    np.testing.assert_array_equal(found, x[:, rows][:, :, columns])


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("size", [(14, 26), (31, 26), (1, 1)])  # float32: 7 * (31 / 7) < 31
def test_written_for_any_number_of_pictures(
    size: tuple[int, int], mode: str, tmp_path: Path
) -> None:
    """In the float and the quantized file; read again they say the same."""
    net = Net(18)
    shape = (3, 7, 13)
    x = net.conv(net.input("x", (1, *shape)), "c", (4, 3, 3, 3), pads=[1] * 4)
    net.node("Resize", [x, "", "", sizes(net, *size)], "r", axes=[2, 3], mode=mode)
    net.conv("r", "y", (4, 4, 1, 1))
    graph = load(net.save(tmp_path, "y"))
    quantized = quantize_graph(graph, Pictures(shape), threads=1).graph
    pictures = np.random.default_rng(0).normal(size=(5, *shape)).astype(np.float32)
    for model in (write_float(graph), write_qdq(quantized, {})):
        run = session(model, 1).run
        (found,) = run(None, {"x": pictures})
        alone = [run(None, {"x": pictures[k : k + 1]})[0] for k in range(len(pictures))]
        np.testing.assert_allclose(found, np.concatenate(alone), atol=1e-5)
        assert found.shape == (5, 4, *size)
    path = tmp_path / "qdq.onnx"
    path.write_bytes(write_qdq(quantized, {}).SerializeToString())
    again = load_quantized(path)
    (one,), (other,) = (
        [node for node in item.nodes if node.op.startswith("Resize")] for item in (quantized, again)
    )
    assert one.op == other.op
    assert one.attributes == other.attributes


@pytest.mark.parametrize(("axis", "size"), [(2, 4), (3, 6)])
@pytest.mark.parametrize("scales", [[1.0, 1.0, 1.5, 2.5], None])
def test_a_cubic_resize_is_asked_for_each_axis_by_itself(
    axis: int, size: int, scales: list[float] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the scale of that axis, or the size that it makes; what comes out is [made, size]."""
    asked: list[Any] = []

    def computed(node: Any, operands: Any, opset: int) -> list[Any]:
        asked.append((node.inputs, node.attributes, operands, opset))
        return [np.arange(size * 9.0).reshape(1, size, 9, 1)]

    monkeypatch.setattr(constant_runs, "run", computed)
    attributes = {"mode": "cubic", "axes": [2, 3]}
    node = SourceNode("r", "Resize", "", ("x", "", "s"), ("y",), attributes)
    steps: Any = SimpleNamespace(node=node, opset=19, shape=lambda name: (1, 3, 4, 6))
    found = cubic._matrix(steps, axis, scales, 9)
    assert found is not None
    assert found.tolist() == np.arange(size * 9.0).reshape(size, 9).T.tolist()
    ((inputs, given, operands, opset),) = asked
    assert (given, opset) == ({"mode": "cubic"}, 19)
    np.testing.assert_array_equal(operands[0], np.eye(size).reshape(1, size, size, 1))
    assert operands[1] is None
    if scales is None:
        assert inputs == ("x", "", "", "sizes")
        assert operands[2] is None
        assert operands[3].tolist() == [1, size, 9, 1]
    else:
        assert inputs == ("x", "", "scales")
        assert operands[2].tolist() == [1, 1, scales[axis], 1]
