"""Operators written as others while a model is read: the same numbers, by the chip's operators."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from knightlite.errors import KnightliteError
from knightlite.frontend import load
from knightlite.inference import session
from knightlite.ir import Graph
from knightlite.onnx_models import write_float
from onnx_nets import Net, operators
from test_carrying import ints, same


def as_onnx_says(net: Net, folder: Path, general: bool = False) -> Graph:
    """The graph of "y", held to onnx's own evaluator, to the last bit of what is multiplied."""
    path = net.save(folder, "y")
    shapes = {item.name: tuple(dim.dim_value for dim in item.type.tensor_type.shape.dim)
              for item in net.inputs}  # fmt: skip
    graph = load(path, general=general, input_shapes=shapes)
    feeds = {name: net.rng.normal(0, 1, shape).astype(np.float32) for name, shape in shapes.items()}
    (want,) = list(map(np.asarray, ReferenceEvaluator(str(path)).run(None, feeds)))
    given = {name: feeds[name].reshape(graph.tensors[name].shape) for name in graph.inputs}
    (have,) = session(write_float(graph), 1).run(["y"], given)
    assert have.shape == want.shape
    np.testing.assert_allclose(have, want, rtol=2e-6, atol=1e-6)
    return graph


@pytest.mark.parametrize(
    ("axis", "more", "muls"),
    [(2, {}, 3), (-1, {"reverse": 1}, 2), (1, {"exclusive": 1, "reverse": 1}, 3),
     (1, {"exclusive": 1}, 3)],
)  # fmt: skip
def test_running_products(axis: int, more: dict[str, int], muls: int, tmp_path: Path) -> None:
    """As many products as the length has bits: 6 channels, 5 rows, 4 columns."""
    net = Net(26)
    net.node("CumProd", [net.input("x", (1, 6, 5, 4)), scalar(net, axis)],
             "p", **more)  # fmt: skip
    net.node("Sigmoid", ["p"], "y")
    assert operators(as_onnx_says(net, tmp_path)).count("Mul") == muls


@pytest.mark.parametrize(
    ("axis", "more"),
    [(1, {}), (2, {"reverse": 1}), (-1, {"exclusive": 1}), (1, {"exclusive": 1, "reverse": 1})],
)
def test_running_sums(axis: int, more: dict[str, int], tmp_path: Path) -> None:
    """Of channels, rows and columns."""
    net = Net(14)
    net.node("CumSum", [net.input("x", (1, 6, 5, 4)), scalar(net, axis)], "p", **more)
    net.node("Sigmoid", ["p"], "y")
    graph = as_onnx_says(net, tmp_path)
    assert "Conv" in operators(graph)
    assert {op.op for op in graph.host} <= {"Transpose"}  # of what the user gets


@pytest.mark.parametrize(("length", "refused"), [(1024, False), (1025, True)])
def test_running_sums_of_so_many(length: int, refused: bool, tmp_path: Path) -> None:
    net = Net(14)
    net.node("CumSum", [net.input("x", (1, length, 1, 1)), scalar(net, 1)], "y")
    if not refused:
        assert operators(load(net.save(tmp_path, "y"))) == ["Conv"]
        return
    with pytest.raises(KnightliteError, match="a constant axis, and at most 1024 elements along"):
        load(net.save(tmp_path, "y"))


def scalar(net: Net, value: int) -> str:
    return net.weight("axis", np.array(value, np.int64))


@pytest.mark.parametrize("mode", ["linear", "circular"])
def test_a_cache_with_new_tokens(mode: str, tmp_path: Path) -> None:
    """Two sequences of six tokens get two each; in a circle the last goes to the front."""
    net = Net(24)
    for name, tokens in (("past", 6), ("new", 2)):
        net.input(name, (2, 3, tokens, 4))
    last = 5 if mode == "circular" else 4
    net.node("TensorScatter", ["past", "new", ints(net, 1, last)], "t", mode=mode)
    net.node("Tanh", ["t"], "y")
    assert set(operators(as_onnx_says(net, tmp_path))) <= {"Slice", "Concat", "Table", "SwapPixels"}


def test_a_cache_where_all_sequences_are_alike(tmp_path: Path) -> None:
    net = Net(24)
    net.node("TensorScatter", [net.input("past", (1, 3, 6, 4)), net.random("new", (1, 3, 2, 4)),
                               ints(net, 3)], "t")  # fmt: skip
    net.node("Tanh", ["t"], "y")
    as_onnx_says(net, tmp_path)


def test_a_rest_with_the_sign_of_the_divisor(tmp_path: Path) -> None:
    net = Net(28)
    net.node("Relu", [net.input("x", (1, 6, 5, 4))], "r")
    net.node("Sub", ["r", net.weight("half", np.float32(0.5))], "d")
    divisors = np.array([0.3, -0.3, 0.7, -0.7, 2, -2], np.float32).reshape(1, 6, 1, 1)
    net.node("Mod", ["d", net.weight("by", divisors)], "y", fmod=0)
    assert operators(as_onnx_says(net, tmp_path, general=True)) == ["Table", "Affine"]


def test_the_same_elements_of_every_row(tmp_path: Path) -> None:
    """Of three channels two, in another order, of the first four rows."""
    net = Net(17)
    indices = np.broadcast_to(np.array([2, 0])[:, None, None], (1, 2, 4, 3)).astype(np.int64)
    net.node("Sigmoid", [net.input("x", (1, 3, 5, 3))], "s")
    net.node("GatherElements", ["s", net.weight("places", indices)], "g", axis=1)
    net.node("Tanh", ["g"], "y")
    assert set(operators(same(net, tmp_path, "y"))) == {"Table", "Slice", "Concat"}


def test_other_elements_of_every_row_are_for_the_host(tmp_path: Path) -> None:
    net = Net(17)
    indices = np.arange(60).reshape(1, 3, 5, 4) % 3
    net.node("Sigmoid", [net.input("x", (1, 3, 5, 4))], "s")
    net.node("GatherElements", ["s", net.weight("places", indices.astype(np.int64))], "g", axis=1)
    net.conv("g", "y", (2, 3, 3, 3))
    path = net.save(tmp_path, "y")
    with pytest.raises(KnightliteError) as caught:
        load(path)
    assert caught.value.findings[0].sentence == (
        "GatherElements GatherElements_g must have constant indices that are the same along all "
        "axes but its own."
    )
    assert "-gp runs GatherElements in the middle" in caught.value.findings[0].hint
    assert "General" in operators(load(path, general=True))


@pytest.mark.parametrize(
    ("features", "constant", "left"),
    [((1, 6, 4), (3, 4, 5), False), ((1, 6, 4), (3, 5, 6), True), ((4,), (2, 4, 3), False),
     ((4,), (2, 3, 4), True), ((2, 1, 3, 4), (1, 5, 4, 2), False), ((2, 1, 6, 4), (3, 1, 5, 4, 6),
      True)],
)  # fmt: skip
def test_one_matrix_of_features_times_many(
    features: tuple[int, ...], constant: tuple[int, ...], left: bool, tmp_path: Path
) -> None:
    """The constant's matrices stand side by side: one product."""
    net = Net(17)
    net.node("Sigmoid", [net.input("x", features)], "s")
    operands = ["s", net.random("m", constant)]
    net.node("MatMul", operands[::-1] if left else operands, "p")
    net.node("Tanh", ["p"], "y")
    assert operators(as_onnx_says(net, tmp_path)).count("Conv") == 1


def test_rows_added_to_a_linear_layer(tmp_path: Path) -> None:
    net = Net(13)
    net.node("Sigmoid", [net.input("x", (3, 6))], "s")
    net.node("Gemm", ["s", net.random("w", (4, 6)), net.random("c", (3, 4))], "g", transB=1,
             alpha=0.5, beta=2.0)  # fmt: skip
    net.node("Tanh", ["g"], "y")
    as_onnx_says(net, tmp_path)


VOLUMES: dict[str, tuple[str, tuple[int, ...], dict[str, Any]]] = {
    "plain": ("Conv", (4, 3, 3, 3, 3), {}),
    "padded": ("Conv", (4, 3, 3, 2, 3), {"pads": [2, 1, 0, 3, 0, 1], "strides": [2, 1, 2]}),
    "dilated": ("Conv", (4, 3, 2, 1, 3), {"dilations": [3, 1, 2]}),
    "transposed": ("ConvTranspose", (3, 4, 3, 2, 2), {}),
    "wide": (
        "ConvTranspose", (3, 4, 2, 2, 2),
        {"strides": [3, 2, 1], "pads": [1, 0, 1, 0, 1, 0], "output_padding": [1, 1, 0]},
    ),
    "dilated back": ("ConvTranspose", (3, 4, 2, 3, 3), {"dilations": [2, 1, 1]}),
}  # fmt: skip


@pytest.mark.parametrize("name", VOLUMES)
def test_convolutions_over_depth(name: str, tmp_path: Path) -> None:
    """One for every plane of the result; planes that a kernel does not reach are the bias."""
    kind, shape, more = VOLUMES[name]
    net = Net(13)
    net.node("Sigmoid", [net.input("x", (1, 3, 4, 5, 6))], "s")
    operands = ["s", net.random("w", shape), net.random("b", (4,))]
    net.node(kind, operands, "c", **more)
    net.node("Tanh", ["c"], "y")
    graph = same(net, tmp_path, "y")
    planes = onnx.shape_inference.infer_shapes(net.model("c")).graph.output[0].type.tensor_type
    assert operators(graph).count(kind) == planes.shape.dim[2].dim_value


def test_groups_over_depth_are_refused(tmp_path: Path) -> None:
    net = Net(13)
    net.node("Conv", [net.input("x", (1, 4, 3, 5, 6)), net.random("w", (4, 2, 2, 3, 3))], "y",
             group=2)  # fmt: skip
    with pytest.raises(KnightliteError, match="Conv Conv_y must read"):
        load(net.save(tmp_path, "y"))


def test_bounds_of_a_range_in_brackets(tmp_path: Path) -> None:
    """ONNX's own bodies have them as [1]."""
    net = Net(17)
    bounds = [net.weight(f"b{at}", np.array([at], np.int64)) for at in (0, 4, 1)]
    net.node("Cast", [net.node("Range", bounds, "r")], "reals", to=1)
    net.node("Add", [net.input("x", (1, 3, 5, 4)), "reals"], "y")
    as_onnx_says(net, tmp_path)


RESIZES: dict[str, dict[str, Any]] = {
    "cubic": {"mode": "cubic"},
    "corners": {"mode": "cubic", "coordinate_transformation_mode": "align_corners"},
    "other coefficients": {"mode": "cubic", "cubic_coeff_a": -0.5, "exclude_outside": 1},
    "of areas": {"mode": "linear", "antialias": 1},
    "of parts": {"mode": "cubic", "axes": [3, 2]},
}


@pytest.mark.parametrize("name", RESIZES)
@pytest.mark.parametrize("by", ["scales", "sizes"])
def test_resizes_that_no_instruction_does(name: str, by: str, tmp_path: Path) -> None:
    """A product for the rows and one for the columns."""
    net, more = Net(19), RESIZES[name]
    net.node("Sigmoid", [net.input("x", (1, 3, 8, 6))], "s")
    rows, columns = (13, 4) if by == "sizes" else (1.7, 0.75)
    both = [columns, rows] if "axes" in more else [rows, columns]
    whole = both if "axes" in more else [1, 3, *both] if by == "sizes" else [1, 1, *both]
    kind = np.int64 if by == "sizes" else np.float32
    given = net.weight(by, np.array(whole, kind))
    net.node("Resize", ["s", "", *([""] if by == "sizes" else []), given], "r", **more)
    net.node("Tanh", ["r"], "y")
    assert operators(same(net, tmp_path, "y")).count("Conv") == 2


def test_a_resize_of_one_axis_is_one_product(tmp_path: Path) -> None:
    net = Net(19)
    net.node("Sigmoid", [net.input("x", (1, 3, 8, 6))], "s")
    scales = net.weight("scales", np.array([1, 1, 2, 1], np.float32))
    net.node("Resize", ["s", "", scales], "r", mode="cubic")
    net.node("Tanh", ["r"], "y")
    assert operators(same(net, tmp_path, "y")).count("Conv") == 1


@pytest.mark.parametrize("more", [{"coordinate_transformation_mode": "tf_crop_and_resize"},
                                  {"keep_aspect_ratio_policy": "not_larger"}])  # fmt: skip
def test_other_resizes_are_refused(more: dict[str, Any], tmp_path: Path) -> None:
    net = Net(19)
    net.input("x", (1, 3, 8, 6))
    roi = net.weight("roi", np.array([0, 0, 0.1, 0.1, 1, 1, 0.9, 0.9], np.float32))
    sizes = [1, 3, 8, 6] if "keep" not in next(iter(more)) else [4, 4]
    net.node("Resize", ["x", roi, "", net.weight("sizes", np.array(sizes, np.int64))], "y",
             mode="cubic", **({"axes": [2, 3]} if len(sizes) == 2 else {}), **more)  # fmt: skip
    with pytest.raises(KnightliteError, match=r"Resize_y"):
        load(net.save(tmp_path, "y"))


def grid(*ranges: range) -> np.ndarray:
    return np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1)


PLACES = {
    "rows in any order": (np.array([[4], [0], [2]]), "none"),
    "a row from behind": (np.array([[-1]]), "none"),
    "a box": (grid(range(1, 4), range(2, 4)), "none"),
    "a box at an edge": (grid(range(5), range(3)), "none"),
    "a deep box": (grid(range(2, 3), range(3), range(1, 6)), "none"),
    "rows added to": (grid(range(1, 3)), "add"),
    "a box with the larger": (grid(range(1, 3), range(3)), "max"),
    "a box multiplied": (grid(range(5), range(1, 2), range(6)), "mul"),
}


@pytest.mark.parametrize("features", ["data", "updates", "both"])
@pytest.mark.parametrize("name", PLACES)
def test_values_at_constant_places(name: str, features: str, tmp_path: Path) -> None:
    """As ``x[a:b] = u`` is exported: parts of either, one after the other."""
    places, reduction = PLACES[name]
    net, shape = Net(18), (5, 4, 6)
    given = (*places.shape[:-1], *shape[places.shape[-1] :])
    net.input("x", (1, *shape))
    net.node("Squeeze", ["x", ints(net, 0)], "s")
    data, update = "s", "u"
    if features == "updates":
        data = net.random("d", shape)
    if features == "data":
        update = net.random("u", given)
    else:
        net.node("Reshape", ["x", ints(net, -1)], "flat")
        net.node("Slice", ["flat", ints(net, 0), ints(net, int(np.prod(given)))], "some")
        net.node("Reshape", ["some", net.weight("sizes", np.array(given))], "u")
    index = net.weight("places", places.astype(np.int64))
    net.node("ScatterND", [data, index, update], "t", reduction=reduction)
    net.node("Tanh", ["t"], "y")
    graph = as_onnx_says(net, tmp_path)
    assert "ScatterND" not in {item.op for item in graph.host}
    assert "Slice" in operators(graph)


@pytest.mark.parametrize("places", [[[0], [0]], [[0, 1], [2, 2]]], ids=["twice", "no box"])
def test_other_places_are_for_the_host(places: list[list[int]], tmp_path: Path) -> None:
    net = Net(18)
    net.node("Relu", [net.input("x", (5, 4, 6))], "r")
    index = np.array(places)
    update = net.random("u", (len(index), *(5, 4, 6)[index.shape[1] :]))
    net.node("ScatterND", ["r", net.weight("places", index), update], "t")
    net.node("Conv", ["t", net.random("w", (3, 4, 1))], "y")
    with pytest.raises(KnightliteError, match="ScatterND"):
        load(net.save(tmp_path, "y"))
