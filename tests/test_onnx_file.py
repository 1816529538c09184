"""Reading .onnx files: weights wherever they are, static shapes, and damaged files."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from knightlite.errors import KnightliteError, ModelError, UnsupportedError, UsageError
from knightlite.frontend import load, opsets
from knightlite.frontend.constant_runs import SMALL_ELEMENTS
from knightlite.frontend.model_files import read_network
from knightlite.frontend.onnx_file import read_bytes, read_data
from onnx_nets import Net, checked, operators


def small(opset: int = 13, batch: int | str | None = 1) -> Net:
    """Two convolutions; the second's weights are larger than what inference gets to see."""
    net = Net(opset)
    net.input("x", (batch, 4, 9, 9))
    net.conv("x", "c", (16, 4, 3, 3), bias=True)
    net.node("Relu", ["c"], "r")
    net.conv("r", "y", (9, 16, 3, 3))
    assert net.weights[-1].dims == [9, 16, 3, 3]
    assert np.prod(net.weights[-1].dims) > SMALL_ELEMENTS
    return net


@pytest.mark.parametrize("opset", [9, 10, 11, 12, 13, 14, 15, 17, 18, 19, 20, 21, 22, 25])
def test_opsets(tmp_path: Path, opset: int) -> None:
    graph = checked(small(opset).save(tmp_path, "y", ir_version=10 if opset > 17 else 7))
    assert operators(graph) == ["Conv", "Conv"]
    assert graph.name == "net"


@pytest.mark.parametrize("opset", [opsets.newest() + 1])
def test_other_opsets_are_refused(tmp_path: Path, opset: int) -> None:
    model = small(13).model("y", ir_version=10)
    model.opset_import[0].version = opset
    path = tmp_path / "net.onnx"
    onnx.save(model, path)
    with pytest.raises(UnsupportedError) as caught:
        load(path)
    newest = opsets.newest()
    assert caught.value.sentence == f"{path} must use an opset from 9 to {newest}, not {opset}."
    assert caught.value.hint == "export it with opset 13"


def test_weights_listed_as_inputs(tmp_path: Path) -> None:
    net = small(9)
    for item in list(net.weights):
        net.input(item.name, item.dims)
    graph = checked(net.save(tmp_path, "y", ir_version=3))
    assert graph.inputs == ("x",)


def test_weights_in_constant_nodes(tmp_path: Path) -> None:
    net = small()
    for item in net.weights:
        net.nodes.insert(0, helper.make_node("Constant", [], [item.name], value=item))
    net.weights.clear()
    floats = helper.make_node("Constant", [], ["six"], value_float=6.0)
    net.nodes.insert(0, floats)
    net.node("Clip", ["y", "", "six"], "z")
    graph = checked(net.save(tmp_path, "z"))
    assert graph.nodes[-1].attributes["clamp"] == (-float("inf"), 6.0)


def test_weights_shared_through_identity(tmp_path: Path) -> None:
    net = Net()
    net.input("x", (1, 4, 9, 9))
    for name in ("a", "b"):
        net.norm("x", name, 4)
    for part in ("gamma", "var"):
        net.weights = [item for item in net.weights if item.name != f"b_{part}"]
        net.nodes.insert(0, helper.make_node("Identity", [f"a_{part}"], [f"b_{part}"]))
    net.node("Identity", ["b"], "c")
    net.node("Add", ["a", "c"], "y")
    graph = checked(net.save(tmp_path, "y"))
    assert operators(graph) == ["Affine", "Affine", "Add"]


def test_weights_made_by_constant_of_shape(tmp_path: Path) -> None:
    net = Net(9)
    net.input("x", (1, 4, 9, 9))
    net.weight("shape", np.array([6, 4, 3, 3]))
    value = numpy_helper.from_array(np.array([0.125], np.float32))
    net.node("ConstantOfShape", ["shape"], "w", value=value)
    net.node("Conv", ["x", "w"], "y")
    graph = checked(net.save(tmp_path, "y"))
    np.testing.assert_array_equal(
        graph.constants["y.weight"], np.full((6, 4, 3, 3), 0.125, np.float32)
    )


@pytest.mark.parametrize("batch", ["N", None])
def test_a_dynamic_batch_becomes_one(tmp_path: Path, batch: str | None) -> None:
    graph = checked(small(batch=batch).save(tmp_path, "y"))
    assert graph.tensors["x"].shape == (1, 4, 9, 9)


def dynamic(folder: Path) -> Path:
    net = Net()
    net.input("image", ("N", 4, "height", "width"))
    net.conv("image", "c", (6, 4, 3, 3))
    net.node("GlobalAveragePool", ["c"], "p")
    net.node("Flatten", ["p"], "y")
    return net.save(folder, "y")


def test_other_dynamic_dimensions_need_a_shape(tmp_path: Path) -> None:
    path = dynamic(tmp_path)
    with pytest.raises(UsageError) as caught:
        load(path)
    assert caught.value.sentence == (
        f"Input image of {path} has the dynamic shape [N, 4, height, width], but only the batch "
        "may be dynamic."
    )
    assert caught.value.hint == (
        "say all sizes with -is/--input-shapes, as in -is 1 4 224 224, where those that the model "
        "leaves open are examples: take what the network was trained on"
    )


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ((4, 8, 7), "all sizes are meant, the batch first: -is 1 4 8 7"),
        ((8, 7), "say all sizes with -is/--input-shapes, as in -is 1 4 224 224, where *"),
    ],
)
def test_too_few_sizes_are_told_with_all(tmp_path: Path, given: Any, hint: str) -> None:
    """Names that a converter has numbered say nothing to anybody."""
    path = dynamic(tmp_path)
    model = onnx.load(path)
    dims = model.graph.input[0].type.tensor_type.shape.dim
    dims[2].dim_param, dims[3].dim_param = "p2o.DynamicDimension.1", "unk__12"
    onnx.save(model, path)
    with pytest.raises(UsageError) as caught:
        load(path, input_shapes=[given])
    assert caught.value.sentence == (
        f"The shape for input image must have 4 dimensions [N, 4, ?, ?], not {len(given)} "
        f"{[*given]}."
    )
    assert fnmatch(caught.value.hint, hint)


def test_a_size_that_the_model_fixes_is_said_where_another_is_given(tmp_path: Path) -> None:
    model = small(batch=None).save(tmp_path, "y")
    assert read_network(model, input_shapes=[(1, 4, 9, 9)]).warnings == ()
    (told,) = read_network(model, input_shapes=[(1, 4, 9, 12)]).warnings
    assert str(told) == (
        "x: the model's own size is [?, 4, 9, 9], -is makes it [1, 4, 9, 12]. Hint: where a node "
        "does not fit, that is why: leave -is out, or take a size that does"
    )
    assert read_network(dynamic(tmp_path), input_shapes=[(1, 4, 8, 7)]).warnings == ()


@pytest.mark.parametrize("shapes", [[(-1, 4, 8, 7)], {"image": (1, 4, 8, 7)}])
def test_given_shapes(tmp_path: Path, shapes: Any) -> None:
    graph = checked(dynamic(tmp_path), input_shapes=shapes)
    assert graph.tensors["image"].shape == (1, 4, 8, 7)
    assert graph.tensors["p"].shape == (1, 6, 1, 1)


@pytest.mark.parametrize(
    ("shapes", "sentence"),
    [
        ([(1, 4, 8)], "The shape for input image must have 4 dimensions [N, 4, height, width], "
         "not 3 [1, 4, 8]."),
        ([(1, 4, 0, 8)], "The shape for input image must be positive, not [1, 4, 0, 8]."),
        ({"picture": (1, 4, 8, 8)}, "{path} has no input picture; its inputs are image."),
        ([(1, 4, 8, 8)] * 2, "{path} has 1 inputs (image), but 2 shapes were given."),
    ],
)  # fmt: skip
def test_wrong_shapes(tmp_path: Path, shapes: Any, sentence: str) -> None:
    path = dynamic(tmp_path)
    with pytest.raises(UsageError) as caught:
        load(path, input_shapes=shapes)
    assert caught.value.sentence == sentence.format(path=path)


def test_a_shape_the_network_cannot_have(tmp_path: Path) -> None:
    path = dynamic(tmp_path)
    with pytest.raises(KnightliteError) as caught:
        load(path, input_shapes=[(1, 5, 8, 8)])
    assert str(caught.value.findings[0]) == (
        "Conv_c: Conv Conv_c must have 5 input channels, not 1 groups of 4."
    )


# ------------------------------------------------------------------ external data


def external(folder: Path) -> tuple[Path, Path]:
    path, data = folder / "net.onnx", folder / "net.onnx.data"
    onnx.save(
        small().model("y"), path, save_as_external_data=True, location=data.name, size_threshold=0
    )
    return path, data


def test_external_data(tmp_path: Path) -> None:
    path, _ = external(tmp_path)
    inside = load(small().save(tmp_path / "..", "y"))
    outside = load(path)
    for name, values in inside.constants.items():
        np.testing.assert_array_equal(values, outside.constants[name])


def test_missing_external_data(tmp_path: Path) -> None:
    path, data = external(tmp_path)
    data.unlink()
    with pytest.raises(ModelError) as caught:
        load(path)
    assert caught.value.sentence == f"{path} keeps tensor c_w in net.onnx.data, which is missing."
    assert caught.value.hint == f"put net.onnx.data into {tmp_path.resolve()}"


def test_truncated_external_data(tmp_path: Path) -> None:
    path, data = external(tmp_path)
    size = data.stat().st_size
    data.write_bytes(data.read_bytes()[:-1])
    with pytest.raises(ModelError) as caught:
        load(path)
    assert caught.value.sentence == (
        f"net.onnx.data must have {size} bytes for tensor y_w, not {size - 1}."
    )


def test_external_data_outside_the_folder(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    path, data = external(tmp_path / "inner")
    data.rename(tmp_path / "net.onnx.data")
    model = onnx.load(path, load_external_data=False)
    for item in model.graph.initializer:
        item.external_data[0].value = "../net.onnx.data"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError) as caught:
        load(path)
    assert caught.value.sentence == (
        f"Tensor c_w of {path} must keep its data in a file beside the model, not in "
        "'../net.onnx.data'."
    )


# ------------------------------------------------------------------ damaged files


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^file .*none\.onnx does not exist\.$"):
        load(tmp_path / "none.onnx")
    folder = tmp_path / "folder.onnx"
    folder.mkdir()
    with pytest.raises(UsageError, match=r"folder\.onnx is a folder, not a file\.$"):
        load(folder)


def test_a_shape_of_nothing_beside_an_unknown_operator(tmp_path: Path) -> None:
    """ONNX's checker, which refuses the one, gives up at the other."""
    nodes = [
        onnx.helper.make_node("Unheard", ["x"], ["r"], name="r"),
        onnx.helper.make_node("Shape", [], ["s"], name="s"),
        onnx.helper.make_node("Add", ["r", "s"], ["y"], name="y"),
    ]
    values = [onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [1, 3]) for n in "xy"]
    graph = onnx.helper.make_graph(nodes, "net", values[:1], values[1:])
    opset = onnx.helper.make_opsetid("", 17)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[opset]), tmp_path / "net.onnx")
    with pytest.raises(UnsupportedError, match="Unheard is not supported"):
        load(tmp_path / "net.onnx")


@pytest.mark.parametrize("content", [b"", b"hello, I am text\n" * 50, b"\x00" * 1000])
def test_no_model(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"net\.onnx is .*not an ONNX model") as caught:
        load(path)
    assert caught.value.exit_code == 1


def test_every_truncation_is_one_sentence(tmp_path: Path) -> None:
    data = small().model("y").SerializeToString()
    path = tmp_path / "net.onnx"
    for size in range(0, len(data), 101):
        path.write_bytes(data[:size])
        with pytest.raises(ModelError, match=r"net\.onnx is .*not an ONNX model"):
            load(path)


def test_bit_flips_never_leave_a_traceback(tmp_path: Path) -> None:
    net = small(batch="N")
    net.node("Shape", ["y"], "s")
    net.node("Reshape", ["y", net.weight("to", np.array([0, -1]))], "z")
    for item in net.weights:
        if len(item.raw_data) > 200:  # a flip in a weight is just another weight
            item.raw_data = bytes(len(item.raw_data))
    data = net.model("z").SerializeToString()
    structure = [i for i, byte in enumerate(data) if byte]
    rng = np.random.default_rng(0)
    path = tmp_path / "net.onnx"
    sentences = []
    for position in rng.choice(structure, 300, replace=False):
        flipped = bytearray(data)
        flipped[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(flipped)
        try:
            load(path)
        except KnightliteError as error:
            sentences.append(error.sentence)
    assert len(sentences) > 100
    assert all(len(sentence.splitlines()) == 1 for sentence in sentences)


def test_data_that_does_not_fit_its_shape(tmp_path: Path) -> None:
    net = small()
    net.weights[0].raw_data = net.weights[0].raw_data[:-4]
    path = net.save(tmp_path, "y")
    with pytest.raises(ModelError) as caught:
        load(path)
    assert caught.value.sentence.startswith(
        f"Tensor c_w of {path} is damaged: its data does not fit its shape (16, 4, 3, 3) ("
    )


def test_a_node_that_reads_nothing_known(tmp_path: Path) -> None:
    net = small()
    net.node("Relu", ["nowhere"], "z")
    path = tmp_path / "net.onnx"
    graph = helper.make_graph(
        net.nodes, "net", net.inputs, [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)],
        net.weights,
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)]), path)
    with pytest.raises(ModelError, match=r"is not a valid ONNX model: .*'nowhere'"):
        load(path)


def test_unknown_operators_are_findings(tmp_path: Path) -> None:
    net = small()
    net.nodes.append(helper.make_node("Swirl", ["y"], ["a"], name="s"))
    net.nodes.append(helper.make_node("Fancy", ["a"], ["z"], name="f", domain="my.ops"))
    net.domains.append("my.ops")
    path = net.save(tmp_path, "z")
    with pytest.raises(UnsupportedError) as caught:
        load(path)
    assert [(item.where, item.sentence) for item in caught.value.findings] == [
        ("s", "Swirl is not supported yet."),
        ("f", "my.ops.Fancy is not supported yet."),
    ]


def test_local_functions_are_inlined(tmp_path: Path) -> None:
    body = [helper.make_node("Relu", ["a"], ["b"]), helper.make_node("Sigmoid", ["b"], ["c"])]
    function = helper.make_function(
        "my.ops", "ReluSigmoid", ["a"], ["c"], body, [helper.make_opsetid("", 13)]
    )
    net = small()
    net.nodes.append(helper.make_node("ReluSigmoid", ["y"], ["z"], domain="my.ops"))
    net.domains.append("my.ops")
    model = net.model("z", ir_version=8)
    model.functions.append(function)
    path = tmp_path / "net.onnx"
    onnx.save(model, path)
    assert operators(checked(path)) == ["Conv", "Conv", "Table"]


def test_unused_nodes_are_dropped_and_shape_chains_counted(tmp_path: Path) -> None:
    net = small(batch="N")
    net.node("LRN", ["y"], "unused", size=3)
    net.node("Shape", ["y"], "s")
    net.node("Gather", ["s", net.weight("zero", np.array(0))], "n", axis=0)
    net.node("Unsqueeze", ["n", net.weight("front", np.array([0]))], "u")
    net.node("Concat", ["u", net.weight("rest", np.array([-1]))], "to", axis=0)
    net.node("Reshape", ["y", "to"], "z")
    path = net.save(tmp_path, "z")
    model = read_data(read_bytes(path), path)
    assert [node.op_type for node in model.nodes] == ["Conv", "Relu", "Conv", "Reshape"]
    assert model.folded == {"Shape": 1, "Gather": 1, "Unsqueeze": 1, "Concat": 1}
    assert model.shapes["z"] == (1, 225)
    checked(path)


def test_weights_behind_a_link_to_itself(tmp_path: Path) -> None:
    net = small()
    model = net.model("y")
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="w.bin")
    (tmp_path / "w.bin").symlink_to("w.bin")
    path = tmp_path / "net.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=r"in w\.bin, which cannot be read: .*\.$"):
        load(path)
