"""The canonical form: what becomes of each node, against ONNX Runtime, and every refusal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from knightlite.errors import UnsupportedError
from knightlite.frontend import load
from knightlite.onnx_models import write_float
from onnx_nets import Net, checked, operators, run

INF = float("inf")


def refused(net: Net, folder: Path, *outputs: str) -> list[str]:
    """The findings of a net that must be refused, as text."""
    with pytest.raises(UnsupportedError) as caught:
        load(net.save(folder, *outputs))
    assert caught.value.findings
    return [str(item) for item in caught.value.findings]


def start(opset: int = 13, shape: tuple[int, ...] = (1, 4, 9, 9)) -> Net:
    net = Net(opset)
    net.input("x", shape)
    return net


# ------------------------------------------------------------------ flatten chains and heads


def classifier(net: Net, x: str, flatten: str) -> str:
    """Pool, flatten in one of the ways exporters do, then a matrix."""
    net.node("AveragePool", [x], "p", kernel_shape=[4, 4], strides=[4, 4])
    if flatten == "flatten":
        net.node("Flatten", ["p"], "f")
    elif flatten == "constant":
        net.node("Reshape", ["p", net.weight("to", np.array([1, -1]))], "f")
    elif flatten == "squeeze":
        net.node("GlobalAveragePool", ["p"], "g")
        net.node("Squeeze", ["g", net.weight("axes", np.array([2, 3]))], "f")
    else:
        net.node("Shape", ["p"], "shape")
        net.node("Cast", ["shape"], "narrow", to=TensorProto.INT32)
        ends = [net.weight("from", np.array([0])), net.weight("until", np.array([1]))]
        net.node("Slice", ["narrow", *ends], "batch")
        net.node("Cast", ["batch"], "wide", to=TensorProto.INT64)
        net.node("Concat", ["wide", net.weight("rest", np.array([-1]))], "target", axis=0)
        net.node("Reshape", ["p", "target"], "f")
    return "f"


@pytest.mark.parametrize("flatten", ["flatten", "constant", "squeeze", "chain"])
@pytest.mark.parametrize("matrix", ["gemm", "gemm_transposed", "matmul"])
def test_flatten_and_matrix_become_one_conv(tmp_path: Path, flatten: str, matrix: str) -> None:
    net = start(shape=(1, 4, 8, 8))
    f = classifier(net, "x", flatten)
    features = 4 if flatten == "squeeze" else 16
    net.random("b", (5,))
    if matrix == "matmul":
        net.node("MatMul", [f, net.random("w", (features, 5))], "m")
        net.node("Add", ["m", "b"], "y")
    elif matrix == "gemm":
        net.node("Gemm", [f, net.random("w", (features, 5)), "b"], "y", alpha=0.5, beta=2.0)
    else:
        net.node("Gemm", [f, net.random("w", (5, features)), "b"], "y", transB=1)
    graph = checked(net.save(tmp_path, "y"))
    assert operators(graph)[-2:] == ["AveragePool", "Conv"]
    assert graph.tensors[graph.nodes[-1].inputs[1]].shape[2:] == (
        (1, 1) if flatten == "squeeze" else (2, 2)
    )
    assert [op.op for op in graph.host] == ["Reshape"]
    assert graph.outputs == ("y",)
    assert graph.chip_outputs == ("y.nchw",)
    assert graph.tensors["y.nchw"].shape == (1, 5, 1, 1)


@pytest.mark.parametrize("opset", [9, 11, 13])
def test_softmax_runs_on_the_host(tmp_path: Path, opset: int) -> None:
    net = start(opset)
    net.conv("x", "c", (6, 4, 3, 3))
    net.node("Softmax", ["c"], "y", axis=1)
    graph = checked(net.save(tmp_path, "y"))
    assert operators(graph) == ["Conv"]
    # before opset 13 Softmax ran over channels, rows and columns together
    assert [op.op for op in graph.host] == (
        ["Softmax"] if opset == 13 else ["Reshape", "Softmax", "Reshape"]
    )
    assert graph.chip_outputs == ("c",)


@pytest.mark.parametrize("axis", [0, 1, 2, -2])
def test_old_softmax_over_one_long_axis_keeps_its_shape(tmp_path: Path, axis: int) -> None:
    net = start(11)
    net.conv("x", "c", (1, 4, 3, 9))
    net.node("Softmax", ["c"], "y", axis=axis)
    graph = checked(net.save(tmp_path, "y"))
    assert graph.tensors["c"].shape == (1, 1, 7, 1)
    assert [(op.op, dict(op.attributes)) for op in graph.host] == [("Softmax", {"axis": 2})]


def test_argmax_of_a_flattened_head(tmp_path: Path) -> None:
    net = start(shape=(1, 4, 3, 3))
    net.conv("x", "c", (6, 4, 3, 3))
    net.node("Flatten", ["c"], "f")
    net.node("Softmax", ["f"], "s", axis=-1)
    net.node("ArgMax", ["s"], "y", axis=1, keepdims=0)
    graph = load(net.save(tmp_path, "y", "s"))
    assert [(op.op, dict(op.attributes)) for op in graph.host] == [
        ("Reshape", {"shape": (1, 6)}),
        ("Softmax", {"axis": 1}),
        ("ArgMax", {"axis": 1, "keepdims": 0}),
    ]
    assert graph.outputs == ("y", "s")
    assert graph.chip_outputs == ("c",)


def test_one_tensor_under_several_names(tmp_path: Path) -> None:
    net = start()
    net.conv("x", "c", (6, 4, 3, 3))
    net.node("Identity", ["c"], "first")
    net.node("Dropout", ["c"], "second")
    net.node("Flatten", ["c"], "flat")
    graph = checked(net.save(tmp_path, "first", "second", "flat"))
    assert graph.outputs == ("first", "second", "flat")
    assert graph.chip_outputs == ("first",)


# ------------------------------------------------------------------ operators


def test_every_elementwise_spelling(tmp_path: Path) -> None:
    net = start()
    net.node("Sub", ["x", net.random("mean", (4, 1, 1))], "a")
    net.node("Div", ["a", net.random("std", (1, 4, 1, 1), 0.5, 2)], "b")
    net.node("Mul", [net.weight("two", np.float32(2)), "b"], "c")
    net.conv("c", "d", (4, 4, 3, 3), pads=[1, 1, 1, 1])
    net.node("Sum", ["c", "d", "x"], "e")
    net.node("GlobalAveragePool", ["e"], "g")
    net.node("HardSigmoid", ["g"], "h", alpha=0.3)
    net.node("Mul", ["h", "e"], "i")
    net.node("Sigmoid", ["i"], "y")
    graph = checked(net.save(tmp_path, "y"))
    assert operators(graph) == [
        "Affine", "Conv", "Add", "Add", "AveragePool", "Table", "Mul", "Table",
    ]  # fmt: skip
    assert graph.nodes[6].inputs == ("h", "e")


def test_sub_of_features_and_of_constants_on_either_side(tmp_path: Path) -> None:
    net = start()
    net.conv("x", "d", (4, 4, 3, 3), pads=[1, 1, 1, 1])
    net.node("Sub", ["x", "d"], "s")
    net.node("Sub", [net.random("left", (4, 1, 1)), "s"], "a")
    net.node("Sigmoid", ["a"], "b")
    net.node("Sub", ["b", net.random("half", (4, 1, 1))], "c")
    net.node("Relu", ["c"], "y")
    graph = checked(net.save(tmp_path, "y"))
    assert operators(graph) == ["Conv", "Sub", "Affine", "Table", "Affine"]
    assert graph.nodes[1].inputs == ("x", "d")


def test_sub_folds_into_the_convolution_before_it(tmp_path: Path) -> None:
    net = start()
    net.conv("x", "d", (6, 4, 3, 3))
    net.node("Sub", [net.random("left", (1, 6, 1, 1)), "d"], "y")
    assert operators(checked(net.save(tmp_path, "y"))) == ["Conv"]


def test_sub_of_rows_and_columns_and_of_a_picture(tmp_path: Path) -> None:
    net = start()
    net.node("AveragePool", ["x"], "rows", kernel_shape=[9, 1])
    net.node("AveragePool", ["x"], "columns", kernel_shape=[1, 9])
    net.node("Sub", ["rows", "columns"], "y")
    net.conv("y", "a", (2, 4, 1, 1))
    net.node("Sub", ["x", net.random("picture", (1, 1, 9, 9))], "z")
    net.conv("z", "b", (2, 4, 1, 1))
    made = operators(checked(net.save(tmp_path, "a", "b")))
    assert [made.count(kind) for kind in ("Concat", "Sub", "Conv")] == [2, 2, 2]


@pytest.mark.parametrize("before", ["Conv", "MaxPool", "Add", "Sigmoid"])
@pytest.mark.parametrize(("low", "high"), [(0.5, 0.2), (-0.2, -0.5), (0.3, 0.3), (70.0, 80.0)])
def test_bounds_that_cross_or_meet(tmp_path: Path, before: str, low: float, high: float) -> None:
    """Where the lower bound is above the upper one, the upper one wins; merged or not."""
    net = start()
    if before == "Conv":
        net.conv("x", "d", (4, 4, 1, 1))
    elif before == "MaxPool":
        net.node("MaxPool", ["x"], "d", kernel_shape=[1, 1])
    else:
        net.node(before, ["x", "x"][: 2 if before == "Add" else 1], "d")
    bounds = [net.weight("low", np.float32(low)), net.weight("high", np.float32(high))]
    net.node("Clip", ["d", *bounds], "y")
    path = net.save(tmp_path, "y")
    graph = load(path)
    (wanted,), (found,) = run(path.read_bytes(), graph), run(write_float(graph), graph)
    assert np.array_equal(found, wanted)
    assert np.all(found == np.float32(min(low, high)))


@pytest.mark.parametrize(
    ("low", "high", "sentence"),
    [
        (np.nan, 1, "Clip Clip_y must have bounds that are numbers, but min is NaN."),
        (0, np.nan, "Clip Clip_y must have bounds that are numbers, but max is NaN."),
        (np.inf, np.inf, "Clip Clip_y must leave finite values, not only those from inf to inf."),
        (0, -np.inf, "Clip Clip_y must leave finite values, not only those from 0.0 to -inf."),
    ],
)
def test_bounds_that_are_no_numbers(tmp_path: Path, low: float, high: float, sentence: str) -> None:
    net = start()
    net.conv("x", "d", (4, 4, 1, 1))
    bounds = [net.weight("low", np.float32(low)), net.weight("high", np.float32(high))]
    net.node("Clip", ["d", *bounds], "y")
    net.conv("y", "z", (4, 4, 1, 1))  # so that the host is no way out
    assert refused(net, tmp_path, "z")[0].startswith(f"Clip_y: {sentence} Hint: export the model")


def test_constant_per_channel_after_a_matrix(tmp_path: Path) -> None:
    net = start(shape=(1, 4, 2, 2))
    net.node("Flatten", ["x"], "f")
    net.node("MatMul", ["f", net.random("w", (16, 5))], "m")
    net.node("Mul", ["m", net.random("scale", (5,))], "n")
    net.node("Add", ["n", net.random("offset", (1, 5))], "o")
    net.node("Relu", ["o"], "y")
    graph = checked(net.save(tmp_path, "y"))
    assert operators(graph) == ["Conv"]
    assert graph.nodes[0].attributes["clamp"] == (0.0, INF)


def test_caffe_scale_chain(tmp_path: Path) -> None:
    net = start(9)
    net.conv("x", "c", (6, 4, 3, 3))
    net.norm("c", "n", 6)
    for part in ("gain", "offset"):
        net.node("Unsqueeze", [net.random(f"{part}_1d", (6,))], part, axes=[1, 2])
    net.node("Mul", ["n", "gain"], "m")
    net.node("Add", ["m", "offset"], "a")
    net.node("Relu", ["a"], "y")
    graph = checked(net.save(tmp_path, "y"))
    assert operators(graph) == ["Conv"]


@pytest.mark.parametrize("kind", ["Conv", "AveragePool", "MaxPool"])
@pytest.mark.parametrize("opset", [9, 13, 18])
def test_a_pad_is_taken_over(tmp_path: Path, kind: str, opset: int) -> None:
    net = start(opset)
    x = net.node("Relu", ["x"], "r") if kind == "MaxPool" else "x"
    pads = [0, 0, 1, 0, 0, 0, 2, 1]
    if opset == 9:
        net.node("Pad", [x], "p", pads=pads)
    else:
        net.node("Pad", [x, net.weight("pads", np.array(pads))], "p")
    if kind == "Conv":
        net.conv("p", "y", (6, 4, 3, 3), pads=[1, 1, 0, 0])
    else:
        net.node(kind, ["p"], "y", kernel_shape=[3, 3], strides=[2, 2])
    graph = checked(net.save(tmp_path, "y"))
    expected = (2, 1, 2, 1) if kind == "Conv" else (1, 0, 2, 1)
    assert graph.nodes[-1].attributes["pads"] == expected


def test_two_pads_add_up(tmp_path: Path) -> None:
    net = start(18)
    net.weight("axes", np.array([-1, 2]))
    net.node("Pad", ["x", net.weight("a", np.array([1, 0, 0, 2])), "", "axes"], "p")
    net.node("Pad", ["p", net.weight("b", np.array([0, 0, 1, 0, 0, 0, 0, 1]))], "q")
    net.conv("q", "y", (6, 4, 3, 3))
    graph = checked(net.save(tmp_path, "y"))
    assert graph.nodes[0].attributes["pads"] == (1, 1, 2, 1)


@pytest.mark.parametrize(
    "attributes",
    [
        {"pads": [1, 1, 1, 1], "strides": [2, 2], "count_include_pad": 1},
        {"pads": [1, 1, 1, 1], "strides": [2, 2]},
        {"strides": [2, 2], "ceil_mode": 1},
        {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
    ],
)
def test_average_pool_edges(tmp_path: Path, attributes: dict[str, Any]) -> None:
    net = start(shape=(1, 4, 10, 10))
    net.node("AveragePool", ["x"], "y", kernel_shape=[3, 3], **attributes)
    checked(net.save(tmp_path, "y"))


def test_a_pool_over_the_whole_picture_has_one_spelling(tmp_path: Path) -> None:
    net = start()
    net.node("AveragePool", ["x"], "a", kernel_shape=[9, 9], strides=[9, 9])
    net.node("ReduceMean", ["x"], "b", axes=[-1, 2])
    net.node("Add", ["a", "b"], "y")
    graph = checked(net.save(tmp_path, "y"))
    assert graph.nodes[0].attributes == graph.nodes[1].attributes


@pytest.mark.parametrize("op", ["AveragePool", "MaxPool"])
@pytest.mark.parametrize("pads", [[0] * 4, [1, 0, 2, 1]])
@pytest.mark.parametrize("count", [0, 1])
def test_a_pool_larger_than_the_picture(
    tmp_path: Path, op: str, pads: list[int], count: int
) -> None:
    """With ceil_mode it is one window over whatever there is, pads that count included."""
    net = start(opset=17)
    counted = {"count_include_pad": count} if op == "AveragePool" else {}
    net.node(op, ["x"], "y", kernel_shape=[640, 300], strides=[640, 300], ceil_mode=1, pads=pads,
             **counted)  # fmt: skip
    (node,) = checked(net.save(tmp_path, "y")).nodes
    assert node.attributes["kernel"] == (9 + pads[0] + pads[2], 9 + pads[1] + pads[3])


# ------------------------------------------------------------------ refusals


def test_all_findings_at_once(tmp_path: Path) -> None:
    net = start()
    net.node("Hardmax", ["x"], "a")
    net.conv("a", "b", (8, 2, 3, 3), group=3)
    net.node("ArgMax", ["b"], "c", axis=1)
    net.conv("c", "d", (8, 1, 1, 1))
    net.node("Transpose", ["d"], "e", perm=[0, 2, 3, 1])
    net.node("Resize", ["x", "", net.weight("sizes", np.array([1, 1, 2, 2], np.float32))], "unused")
    path = net.save(tmp_path, "e")
    with pytest.raises(UnsupportedError) as caught:
        load(path)
    assert caught.value.exit_code == 2
    assert caught.value.sentence == (
        f"{path} cannot run on the NPU, 3 places are not supported: Hardmax_a: Hardmax is not "
        "supported yet and 2 more."
    )
    assert [str(item) for item in caught.value.findings] == [
        f"{text} Hint: the host cannot do it in the middle of the network either (-gp): d, which "
        "Conv Conv_d makes, must be real numbers"
        for text in (
            "Hardmax_a: Hardmax is not supported yet.",
            "Conv_b: Conv Conv_b must have 4 input channels, not 3 groups of 2.",
            "Conv_d: Conv Conv_d reads what runs on the host, after the NPU: it would have to run "
            "there too.",
        )
    ]


def test_views_that_cut_across_the_axes(tmp_path: Path) -> None:
    net = start(shape=(1, 4, 3, 3))
    net.node("Reshape", ["x", net.weight("a", np.array([1, 9, 2, 2]))], "r")
    net.conv("r", "c", (6, 9, 1, 1))
    net.node("Flatten", ["x"], "f")
    net.node("Add", ["f", net.random("b", (36,))], "g")
    net.node("MatMul", ["r", net.random("w", (2, 5))], "m")
    made = operators(checked(net.save(tmp_path, "c", "g", "m")))
    assert made.count("Conv") == 2


def test_harmless_views_are_not(tmp_path: Path) -> None:
    net = start(shape=(1, 4, 3, 3))
    net.node("GlobalAveragePool", ["x"], "g")
    net.node("Transpose", ["g"], "t", perm=[0, 2, 3, 1])
    net.node("Reshape", ["t", net.weight("back", np.array([1, 4, 1, 1]))], "u")
    net.conv("u", "c", (4, 4, 1, 1))
    net.node("Flatten", ["x"], "f")
    net.node("Relu", ["f"], "r")
    net.node("Reshape", ["r", net.weight("again", np.array([1, 4, 3, 3]))], "v")
    net.node("Mul", ["v", "c"], "y")
    graph = checked(net.save(tmp_path, "y"))
    assert operators(graph) == ["AveragePool", "Conv", "Table", "Mul"]
    assert not graph.host


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_must_be_finite(tmp_path: Path, value: float) -> None:
    net = start()
    weights = np.ones((6, 4, 3, 3), np.float32)
    weights[1, 2, 0, 0] = value
    net.node("Conv", ["x", net.weight("stem.weight", weights)], "y")
    assert refused(net, tmp_path, "y") == [
        "Conv_y: weight stem.weight must be finite, but 1 of its 216 values are NaN or infinite. "
        "Hint: train or export the model again"
    ]


def test_a_negative_variance_is_a_finding(tmp_path: Path) -> None:
    net = start()
    net.norm("x", "y", 4)
    net.weights[-1].CopyFrom(numpy_helper.from_array(np.full(4, -1, np.float32), "y_var"))
    (finding,) = refused(net, tmp_path, "y")
    assert finding.startswith(
        "BatchNormalization_y: BatchNormalization BatchNormalization_y has parameters that give "
        "infinite values."
    )


def test_folding_that_overflows_is_a_finding(tmp_path: Path) -> None:
    net = start()
    net.node("Conv", ["x", net.weight("w", np.full((6, 4, 1, 1), 3e38, np.float32))], "c")
    net.node("Mul", ["c", net.weight("ten", np.float32(10))], "y")
    (finding,) = refused(net, tmp_path, "y")
    assert finding.startswith(
        "y: Conv: its constant y.weight overflows float32 when its neighbours are folded in."
    )


@pytest.mark.parametrize(
    ("shape", "element", "finding"),
    [
        ((1, 4, 2, 2, 2, 3, 3), TensorProto.FLOAT, "x: the network input x must be [1, C, H, W], "
         "[1, C, L] or [1, C], not (1, 4, 2, 2, 2, 3, 3)."),
        ((1, 4, 3, 3), TensorProto.BOOL, "x: the network input x must be of numbers, not of bool."),
        ((1, 4, 3, 3), TensorProto.INT8, "x: Relu Relu_y computes with the int8 of the network "
         "input x, which only a Cast to float32 may read."),
    ],
)  # fmt: skip
def test_inputs(tmp_path: Path, shape: tuple[int, ...], element: int, finding: str) -> None:
    net = Net(14)
    net.input("x", shape, element)
    net.node("Identity" if element == TensorProto.BOOL else "Relu", ["x"], "y")
    assert refused(net, tmp_path, "y")[0].startswith(finding)


def test_outputs_the_chip_cannot_deliver(tmp_path: Path) -> None:
    net = start()
    net.node("Identity", ["x"], "same")
    net.node("Identity", [net.random("w", (3,))], "constant")
    assert refused(net, tmp_path, "same", "constant") == [
        "same: the network output is the network input itself.",
        "constant: the network output is a constant.",
    ]


def test_training_forms_are_findings(tmp_path: Path) -> None:
    net = start()
    net.weight("ratio", np.float32(0.5))
    net.weight("training", np.array(True))
    net.node("Dropout", ["x", "ratio", "training"], "a")
    net.nodes.append(
        helper.make_node("MaxPool", ["a"], ["b", "indices"], name="pool", kernel_shape=[2, 2])
    )
    net.node("Cast", ["b"], "c", to=TensorProto.INT32)
    assert refused(net, tmp_path, "c", "indices") == [
        "Dropout_a: Dropout Dropout_a must be in inference form, not training form. Hint: export "
        "the model after calling its eval()",
        "pool: the second output indices of MaxPool is not supported yet. Hint: the host cannot do "
        "it in the middle of the network either (-gp): Dropout Dropout_a makes other numbers at "
        "every run",
    ]
