"""Reading X_quantize.onnx: writing and reading give the same graph; all that is wrong is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

import knightlite
from knightlite import dtypes, ops
from knightlite.errors import ModelError, UnsupportedError, UsageError
from knightlite.frontend import load, load_quantized, qdq
from knightlite.inference import session
from knightlite.ir import Graph, Tensor
from knightlite.onnx_models import write_qdq
from knightlite.ops.general import GENERAL_METADATA, LAYER_TYPES_METADATA
from onnx_nets import MODELS, Net, needs_shared

Array = NDArray[Any]


def quantized(graph: Graph, depthwise_scales: bool = False) -> Graph:
    """Any types and scales that a float graph could have been given; outputs are s16."""
    rng = np.random.default_rng(0)
    group = {name: name for name in graph.tensors}

    def root(name: str) -> str:
        while group[name] != name:
            name = group[name]
        return name

    for node in graph.nodes:
        if ops.BY_NAME[node.op].value_preserving:
            for name in node.inputs:
                group[root(name)] = root(node.output)
    ends = {root(name) for name in graph.chip_outputs}
    features = [*graph.inputs, *(node.output for node in graph.nodes)]
    scales = {root(name): np.float32(0.05 * rng.uniform(0.5, 2)) for name in features}
    tensors: dict[str, Tensor] = {}
    constants: dict[str, Array] = dict(graph.constants)
    for name in features:
        kind = dtypes.S16 if root(name) in ends else dtypes.S8
        readers = [node for node in graph.nodes if name in node.inputs]
        shape, scale = graph.tensors[name].shape, np.asarray(scales[root(name)])
        if (
            depthwise_scales
            and readers
            and all(node.op == "Conv" and node.attributes["group"] != 1 for node in readers)
        ):
            scale = rng.uniform(0.02, 0.1, shape[1]).astype(np.float32)
        tensors[name] = Tensor(name, shape, kind, scale)
    for node in graph.nodes:
        if ops.BY_NAME[node.op].kernel is None:
            continue
        weight, *bias = node.inputs[1:]
        scale = rng.uniform(0.002, 0.01, graph.tensors[weight].shape[0]).astype(np.float32)
        per = scale[:, None, None, None]
        constants[weight] = np.clip(np.rint(constants[weight] / per), -127, 127).astype(np.int8)
        tensors[weight] = Tensor(weight, constants[weight].shape, dtypes.S8, scale)
        for name in bias:
            source = tensors[node.inputs[0]].scale
            assert source is not None
            wide = (scale * source).astype(np.float32)
            constants[name] = np.rint(constants[name] / wide).astype(np.int32)
            tensors[name] = Tensor(name, wide.shape, dtypes.S32, wide)
    return replace(graph, tensors={**graph.tensors, **tensors}, constants=constants)


def assert_equal(a: Graph, b: Graph) -> None:
    assert (a.name, a.inputs, a.outputs) == (b.name, b.inputs, b.outputs)
    assert a.host == b.host
    assert a.nodes == b.nodes
    assert a.tensors.keys() == b.tensors.keys()
    for name, x in a.tensors.items():
        y = b.tensors[name]
        assert (x.name, x.shape, x.dtype) == (y.name, y.shape, y.dtype)
        if x.scale is None or y.scale is None:
            assert x.scale is y.scale
        else:
            np.testing.assert_array_equal(x.scale, y.scale, strict=True)
    assert a.constants.keys() == b.constants.keys()
    for name, values in a.constants.items():
        np.testing.assert_array_equal(values, b.constants[name], strict=True)


def everything(folder: Path) -> Graph:
    """A float graph with every canonical operator, clamps, host operations and three outputs."""
    net = Net()
    net.input("x", ("N", 4, 12, 12))
    net.norm("x", "n", 4)
    net.node("Relu", ["n"], "pre")
    net.conv("pre", "c", (8, 4, 3, 3), pads=[1, 1, 1, 1], bias=True)
    net.node("Relu", ["c"], "r")
    net.conv("r", "d", (8, 1, 3, 3), pads=[1, 1, 1, 1], group=8)
    net.weight("low", np.float32(-0.5))
    net.weight("high", np.float32(2.5))
    net.node("Clip", ["d", "low", "high"], "e")
    net.node("Add", ["e", "r"], "s")
    net.node("Relu", ["s"], "t")
    net.node("MaxPool", ["t"], "m", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)
    net.node("AveragePool", ["t"], "a", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1,
             pads=[1, 0, 0, 0], count_include_pad=1)  # fmt: skip
    net.node("Concat", ["m", "a"], "k", axis=1)
    net.node("Relu", ["k"], "kr")
    net.node("GlobalAveragePool", ["kr"], "g")
    net.node("HardSigmoid", ["g"], "h")
    net.node("Mul", ["kr", "h"], "u")
    net.node("HardSwish", ["u"], "v")
    net.node("Sub", ["kr", "v"], "minus")
    net.node("Add", ["minus", "u"], "extra")
    net.node("Flatten", ["v"], "f")
    net.node("Gemm", ["f", net.random("w", (5, 16 * 36), -0.1, 0.1), net.random("b", (5,))],
             "logits", transB=1)  # fmt: skip
    net.node("Softmax", ["logits"], "p", axis=1)
    net.opset = 14
    return load(net.save(folder, "logits", "p", "extra"))


def write(folder: Path, graph: Graph) -> Path:
    path = folder / f"{graph.name}_quantize.onnx"
    path.write_bytes(write_qdq(graph, {}).SerializeToString())
    return path


@pytest.mark.parametrize("depthwise_scales", [False, True])
def test_write_then_read(tmp_path: Path, depthwise_scales: bool) -> None:
    graph = quantized(everything(tmp_path), depthwise_scales)
    assert [op.op for op in graph.host] == ["Reshape", "Softmax"]
    assert (
        any(tensor.per_channel and name == "t" for name, tensor in graph.tensors.items()) is False
    )
    assert graph.tensors["r"].per_channel is False  # the Add reads it too
    assert_equal(load_quantized(write(tmp_path, graph)), graph)


SAMPLES = {
    f"{op.name}-{graph.name}": (op, graph)
    for op in ops.ALL_OPS
    if op.from_onnx is not None or op.also_from
    for graph in op.samples()
}


@pytest.mark.parametrize("name", list(SAMPLES))
def test_every_sample_writes_and_reads(tmp_path: Path, name: str) -> None:
    """Each operator's samples come back as the same operator with the same integers."""
    op, graph = SAMPLES[name]
    found = load_quantized(write(tmp_path, graph))
    assert [node.op for node in found.nodes] == [op.name]
    rng = np.random.default_rng(0)
    inputs = tuple(
        rng.integers(t.dtype.minimum, t.dtype.maximum + 1, t.shape).astype(t.dtype.numpy)
        for t in (graph.tensors[item] for item in graph.inputs)
    )
    expected = op.reference(ops.View(graph, graph.nodes[0]), inputs)
    answer = op.reference(ops.View(found, found.nodes[0]), inputs)
    np.testing.assert_array_equal(answer, expected, strict=True)


def test_scales_per_channel_survive(tmp_path: Path) -> None:
    net = Net()
    net.input("x", (1, 4, 9, 9))
    net.conv("x", "c", (8, 4, 3, 3))
    net.node("Relu", ["c"], "r")
    net.conv("r", "y", (8, 1, 3, 3), group=8)
    graph = quantized(load(net.save(tmp_path, "y")), depthwise_scales=True)
    assert graph.tensors["r"].per_channel
    assert_equal(load_quantized(write(tmp_path, graph)), graph)


def test_a_rounding_point_is_never_merged_away(tmp_path: Path) -> None:
    net = Net()
    net.input("x", (1, 4, 9, 9))
    net.conv("x", "c", (6, 4, 3, 3))
    net.node("Relu", ["c"], "r")
    net.norm("r", "n", 6)
    net.conv("n", "y", (4, 6, 1, 1))
    graph = load(net.save(tmp_path, "y", "c", "n"))  # as outputs, c and n stay apart
    graph = quantized(replace(graph, outputs=("y",)))
    assert [node.op for node in graph.nodes] == ["Conv", "Table", "Affine", "Conv"]
    assert_equal(load_quantized(write(tmp_path, graph)), graph)


@needs_shared
@pytest.mark.parametrize("name", ["densenet40_cifar10", "mobilenet_v1_0.25", "squeezenet1.1"])
def test_networks_write_then_read(tmp_path: Path, name: str) -> None:
    graph = quantized(load(MODELS / f"{name}.onnx"))
    assert_equal(load_quantized(write(tmp_path, graph)), graph)


# ------------------------------------------------------------------ refusals


def simple(folder: Path) -> tuple[Path, onnx.ModelProto]:
    net = Net()
    net.input("x", (1, 4, 9, 9))
    net.conv("x", "c", (6, 4, 3, 3), bias=True)
    net.node("MaxPool", ["c"], "y", kernel_shape=[2, 2])
    graph = quantized(load(net.save(folder, "y")))
    path = write(folder, graph)
    return path, onnx.load(path)


def findings(path: Path, model: onnx.ModelProto) -> list[str]:
    onnx.save(model, path)
    with pytest.raises(UnsupportedError) as caught:
        load_quantized(path)
    error = caught.value
    assert error.exit_code == 2
    assert error.sentence.startswith(f"{path} is not quantized as the NPU computes: ")
    return [f"{item.where}: {item.sentence}" for item in error.findings]


def put(model: onnx.ModelProto, name: str, values: Array) -> None:
    """Replace an initializer."""
    (item,) = [item for item in model.graph.initializer if item.name == name]
    item.CopyFrom(numpy_helper.from_array(values, name))


def get(model: onnx.ModelProto, name: str) -> Array:
    (item,) = [item for item in model.graph.initializer if item.name == name]
    return numpy_helper.to_array(item)


@pytest.mark.parametrize("height", [9, "H"])  # an open one is not asked for: -is is quant's
def test_a_float_model_is_no_quantized_one(tmp_path: Path, height: int | str) -> None:
    net = Net()
    net.input("x", (1, 4, height, 9))
    net.node("Relu", ["x"], "y")
    (tmp_path / "a b").mkdir()
    path = net.save(tmp_path / "a b", "y")
    with pytest.raises(UsageError) as caught:
        load_quantized(path)
    assert caught.value.sentence == f"{path} is a float model, not a quantized one."
    again = f"knightlite quant onnx -m '{path}' -d PICTURES --recipe NAME"
    assert caught.value.hint == f"quantize it first: {again}"


def test_a_quantized_model_is_no_float_one(tmp_path: Path) -> None:
    path, _ = simple(tmp_path)
    with pytest.raises(UsageError, match="must be a float model, but has 6 quantize and dequant"):
        load(path)


def test_missing_and_damaged_files(tmp_path: Path) -> None:
    path, _ = simple(tmp_path)
    with pytest.raises(UsageError, match=r"^file .*absent\.onnx does not exist\.$"):
        load_quantized(tmp_path / "absent.onnx")
    with pytest.raises(UsageError, match=r"must be a quantized \.onnx file\.$"):
        load_quantized(tmp_path / "net.pdmodel")
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ModelError, match="is not an ONNX model or is truncated"):
        load_quantized(path)


def test_all_zero_points_at_once(tmp_path: Path) -> None:
    path, model = simple(tmp_path)
    put(model, "x/zero", np.asarray(3, np.int8))
    weights = get(model, "c.weight/zero").copy()
    weights[4] = -1
    put(model, "c.weight/zero", weights)
    assert findings(path, model) == [
        "x/q: the zero point of DequantizeLinear x/dq must be 0, not 3.",
        "x: the zero point of QuantizeLinear x/q must be 0, not 3.",
        "c.weight: the zero point of DequantizeLinear c.weight/dq must be 0, not -1.",
    ]


def edited(edit: Callable[[onnx.ModelProto], None], folder: Path) -> list[str]:
    path, model = simple(folder)
    edit(model)
    return findings(path, model)


def node(model: onnx.ModelProto, output: str) -> onnx.NodeProto:
    (found,) = [item for item in model.graph.node if item.output[0] == output]
    assert isinstance(found, onnx.NodeProto)
    return found


def test_a_reader_of_the_float_value(tmp_path: Path) -> None:
    def edit(model: onnx.ModelProto) -> None:
        pool = onnx.helper.make_node("MaxPool", ["c"], ["z"], name="other", kernel_shape=[2, 2])
        model.graph.node.append(pool)
        info = onnx.helper.make_tensor_value_info("z", TensorProto.FLOAT, None)
        model.graph.output.append(info)

    assert edited(edit, tmp_path)[0] == ("c: MaxPool other must read the quantized value of c.")


def test_a_missing_pair(tmp_path: Path) -> None:
    def edit(model: onnx.ModelProto) -> None:
        for name in ("c/q", "c/dq"):
            model.graph.node.remove(node(model, name))
        node(model, "y/float").input[0] = "c"

    assert edited(edit, tmp_path) == ["c: it has no QuantizeLinear and DequantizeLinear pair."]


def test_float_weights(tmp_path: Path) -> None:
    def edit(model: onnx.ModelProto) -> None:
        for name in ("c.weight", "c.bias"):
            values = get(model, name).astype(np.float32)
            put(model, name, values)
            model.graph.node.remove(node(model, f"{name}/dq"))
        del node(model, "c").input[1:]
        node(model, "c").input.extend(["c.weight", "c.bias"])

    assert edited(edit, tmp_path) == [
        "c: Conv: its weight c.weight must be quantized to s8 or s16.",
        "c: Conv: its bias c.bias must be quantized to s32.",
    ]


def test_scales_that_differ(tmp_path: Path) -> None:
    def edit(model: onnx.ModelProto) -> None:
        scale = numpy_helper.from_array(get(model, "x/scale") * 2, "other")
        model.graph.initializer.append(scale)
        node(model, "x/dq").input[1] = "other"
        put(model, "c/scale", np.asarray(-1, np.float32))

    assert edited(edit, tmp_path)[:2] == [
        "x: tensor x must have one scale in its QuantizeLinear and DequantizeLinear.",
        "c/q: the scale of DequantizeLinear c/dq must be positive and finite.",
    ]


@pytest.mark.parametrize(
    ("numbers", "wrong"),
    [
        ({}, None),
        ({"a": 1, "b": (1 << 31) - 1}, None),
        ({"a": 0}, "a to 0"),
        ({"a": 5, "b": 1 << 31}, "b to 2147483648"),
        ({"b": -1}, "b to -1"),
        ({"a": True}, "a to True"),
        ({"a": 1.0}, "a to 1.0"),
        ({"a": "7"}, "a to '7'"),
        ({"c": 5}, "c to 5"),  # which no general layer makes
    ],
)
def test_numbers_of_general_layers(numbers: dict[str, Any], wrong: str | None) -> None:
    """31 bits, above 0, of what general layers make; 0 for those that have none."""
    said = {GENERAL_METADATA: '["a", "b"]', LAYER_TYPES_METADATA: json.dumps(numbers)}
    model = onnx.ModelProto()
    onnx.helper.set_model_props(model, said)
    found, findings = qdq._general_layers(model)
    if wrong is None:
        assert found == {"a": 0, "b": 0, **numbers}
        assert not findings
        return
    (finding,) = findings
    assert (found, finding.where) == ({}, LAYER_TYPES_METADATA)
    assert finding.sentence == (
        f"metadata property {LAYER_TYPES_METADATA} must map what general layers make to whole "
        f"numbers, not {wrong}."
    )


def test_scales_in_blocks(tmp_path: Path) -> None:
    """Of a feature or of a constant."""

    def edit(model: onnx.ModelProto) -> None:
        for name in ("x/q", "x/dq", "c/dq"):
            node(model, name).attribute.append(onnx.helper.make_attribute("block_size", 2))

    assert edited(edit, tmp_path)[:3] == [
        "x/q: DequantizeLinear x/dq must not quantize in blocks.",
        "x: QuantizeLinear x/q must not quantize in blocks.",
        "c/q: DequantizeLinear c/dq must not quantize in blocks.",
    ]


def test_broken_constraints_of_the_operators(tmp_path: Path) -> None:
    def edit(model: onnx.ModelProto) -> None:
        put(model, "c/scale", np.asarray(1e-9, np.float32))
        put(model, "c.bias/scale", get(model, "c.bias/scale") * np.float32(1.001))

    found = edited(edit, tmp_path)
    assert found[0] == "c: Conv: the bias scale must be input scale * weight scale."
    assert found[1] == (
        "y: MaxPool: input and output must share one scale and type, since the values are the same."
    )


def test_a_ratio_out_of_range(tmp_path: Path) -> None:
    def edit(model: onnx.ModelProto) -> None:
        for name in ("c/scale", "y/scale"):
            put(model, name, np.asarray(1e-9, np.float32))

    (found,) = edited(edit, tmp_path)
    assert found.startswith(
        "c: Conv: input scale * weight scale / output scale must lie in [2^-17, 2^15), not "
    )


def test_scales_per_channel_where_none_are_allowed(tmp_path: Path) -> None:
    def edit(model: onnx.ModelProto) -> None:
        for name, channels in (("x", 4), ("y", 6)):
            scales = np.full(channels, get(model, f"{name}/scale"), np.float32)
            put(model, f"{name}/scale", scales)
            zeros = np.zeros(channels, get(model, f"{name}/zero").dtype)
            put(model, f"{name}/zero", zeros)
            dequantized = "y" if name == "y" else "x/dq"
            for output in (f"{name}/q", dequantized):
                node(model, output).attribute.append(onnx.helper.make_attribute("axis", 1))

    assert edited(edit, tmp_path) == [
        "c: Conv: an input with one scale per channel must be read by depthwise convolutions only.",
        "y: MaxPool: its output y must have one scale, not one per channel.",
    ]


def test_other_types(tmp_path: Path) -> None:
    def edit(model: onnx.ModelProto) -> None:
        put(model, "x/zero", np.asarray(0, np.uint16))
        put(model, "c.weight", get(model, "c.weight").astype(np.uint8))
        put(model, "c.weight/zero", get(model, "c.weight/zero").astype(np.uint8))

    assert edited(edit, tmp_path)[:2] == [
        "x: a feature must be quantized to uint8, int8 or int16, not uint16.",
        "c.weight: a weight must be int8 or int16 and a bias int32, not uint8.",
    ]


def test_operators_of_other_tools(tmp_path: Path) -> None:
    def edit(model: onnx.ModelProto) -> None:
        model.graph.node.append(onnx.helper.make_node("Flatten", ["y"], ["f"]))
        put_weight = numpy_helper.from_array(np.ones((6 * 36, 2), np.float32), "fc")
        model.graph.initializer.append(put_weight)
        model.graph.node.append(onnx.helper.make_node("MatMul", ["f", "fc"], ["z"], name="head"))
        model.graph.output.append(
            onnx.helper.make_tensor_value_info("z", TensorProto.FLOAT, ["N", 2])
        )

    assert edited(edit, tmp_path)[0] == "head: MatMul must be a Conv in a quantized file."


@pytest.mark.parametrize(("op", "gain", "offset"), [("Add", 1.0, 0.75), ("Mul", 0.75, 0.0)])
def test_integer_operands_of_other_tools(
    tmp_path: Path, op: str, gain: float, offset: float
) -> None:
    """A constant that another tool quantized counts with its scale: 3 * 0.25, not 3."""
    make = onnx.helper.make_node
    values = {
        "s": np.float32(0.5),
        "z": np.int8(0),
        "c": np.asarray([3], np.int8),
        "cs": np.float32(0.25),
    }
    nodes = [
        make("QuantizeLinear", ["x", "s", "z"], ["xq"]),
        make("DequantizeLinear", ["xq", "s", "z"], ["xd"]),
        make("DequantizeLinear", ["c", "cs", "z"], ["cd"]),
        make(op, ["xd", "cd"], ["f"]),
        make("QuantizeLinear", ["f", "s", "z"], ["fq"]),
        make("DequantizeLinear", ["fq", "s", "z"], ["y"]),
    ]
    info = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        nodes,
        "other",
        [info("x", TensorProto.FLOAT, [1, 4, 5, 5])],
        [info("y", TensorProto.FLOAT, [1, 4, 5, 5])],
        [numpy_helper.from_array(np.asarray(item), name) for name, item in values.items()],
    )
    opset = [onnx.helper.make_opsetid("", 21)]
    onnx.save(
        onnx.helper.make_model(graph, opset_imports=opset, ir_version=10), tmp_path / "o.onnx"
    )
    found = load_quantized(tmp_path / "o.onnx")
    (node,) = found.nodes
    assert node.op == "Affine"
    assert found.constants[node.inputs[1]].tolist() == [gain] * 4
    assert found.constants[node.inputs[2]].tolist() == [offset] * 4


@pytest.mark.parametrize("count", [0, 1])
def test_a_pool_whose_rows_need_ceil_and_whose_columns_do_not(tmp_path: Path, count: int) -> None:
    """ONNX Runtime expects a window in the padding that it drops: its shape is refused, bound."""
    net = Net()
    net.node(
        "AveragePool", [net.input("x", (1, 4, 14, 12))], "y", kernel_shape=[4, 3], strides=[3, 2],
        pads=[2, 2, 1, 2], ceil_mode=1, count_include_pad=count,
    )  # fmt: skip
    path = net.save(tmp_path, net.conv("y", "z", (2, 4, 1, 1)))
    pictures = np.random.default_rng(0).normal(0, 1, (4, 4, 14, 12)).astype(np.float32)
    made = knightlite.quantize(path, data=pictures, bit_width=16, effort="low")
    (wanted,) = session(path.read_bytes()).run(None, {"x": pictures[:1]})
    for model in (made.float_onnx, made.onnx):
        (found,) = session(model).run(None, {"x": pictures[:1]})
        np.testing.assert_allclose(found, wanted, atol=1e-2)
