"""What ends a network and cannot run on the chip goes to the host: read, written, run."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnx.shape_inference
import onnx.utils
import pytest
from numpy.typing import NDArray
from onnx import TensorProto

import knightlite
from conformance_checks import MAIN, ORIGIN, Pictures
from knightlite import dtypes
from knightlite.api.simulation.host import finisher
from knightlite.chip_files import find
from knightlite.compiler import compile_graph
from knightlite.container import decode_program, encode_program
from knightlite.errors import UnsupportedError
from knightlite.frontend import host_values, load, load_quantized, survey
from knightlite.frontend.survey import OpCount
from knightlite.inference import session
from knightlite.ir import GraphBuilder, HostOp
from knightlite.onnx_models import write_float, write_qdq
from knightlite.ops import host
from knightlite.quantize.pipeline import quantize_graph
from knightlite.sim import Machine
from knightlite.sim import host as sim_host
from knightlite.sim.host import dequantize, quantize
from onnx_nets import Net, checked, operators

Array = NDArray[Any]


def test_both_rooms_know_the_same_operators() -> None:
    assert set(host.KINDS) == set(sim_host.KINDS)
    assert host.CASTS == sim_host.CASTS


def detector(opset: int = 13) -> Net:
    """Two scales; each joins boxes and scores along channels, all anchors are joined at the end."""
    net = Net(opset)
    x = net.conv(net.input("x", (1, 3, 12, 12)), "c", (8, 3, 3, 3), pads=[1] * 4)
    heads = []
    for name, stride in (("fine", 1), ("coarse", 2)):
        y = net.conv(x, name, (8, 8, 3, 3), pads=[1] * 4, strides=[stride] * 2)
        boxes = net.conv(y, f"{name}_boxes", (4, 8, 1, 1))
        scores = net.node("Sigmoid", [net.conv(y, f"{name}_s", (3, 8, 1, 1))], f"{name}_scores")
        joined = net.node("Concat", [boxes, scores], f"{name}_joined", axis=1)
        shape = net.weight(f"{name}_shape", np.asarray([1, 7, -1], np.int64))
        heads.append(net.node("Reshape", [joined, shape], f"{name}_flat"))
    net.node("Concat", heads, "all", axis=2)
    net.node("Transpose", ["all"], "y", perm=[0, 2, 1])
    return net


def ssd() -> Net:
    """Transpose, Reshape, Concat and a Softmax over classes; boxes scaled by constants."""
    net = Net(11)
    x = net.conv(net.input("x", (1, 3, 8, 8)), "c", (8, 3, 3, 3), pads=[1] * 4)
    for name, depth in (("boxes", 4), ("scores", 3)):
        parts = []
        for index, stride in enumerate((1, 2)):
            y = net.conv(x, f"{name}{index}", (2 * depth, 8, 1, 1), strides=[stride] * 2)
            y = net.node("Transpose", [y], f"{y}_last", perm=[0, 2, 3, 1])
            shape = net.weight(f"{name}{index}_shape", np.asarray([1, -1, depth], np.int64))
            parts.append(net.node("Reshape", [y, shape], f"{name}{index}_flat"))
        net.node("Concat", parts, f"{name}_all", axis=1)
    net.node("Softmax", ["scores_all"], "p", axis=2)
    net.node("Split", ["boxes_all"], "")
    net.nodes.pop()
    net.nodes.append(
        onnx.helper.make_node("Split", ["boxes_all"], ["centre", "extent"], name="cut", axis=2)
    )
    net.node("Mul", ["centre", net.weight("step", np.asarray([0.1, 0.2], np.float32))], "moved")
    net.node("Add", ["moved", net.random("priors", (1, 160, 2))], "middle")
    net.node("Exp", ["extent"], "size")
    net.node("Concat", ["middle", "size"], "b", axis=-1)
    return net


def sorted_scores(opset: int) -> Net:
    """TopK and what follows: only ONNX Runtime can do it."""
    net = Net(opset)
    net.conv(net.input("x", (1, 3, 8, 8)), "c", (8, 3, 8, 8))
    net.node("Flatten", ["c"], "f")
    count = net.weight("k", np.asarray([3], np.int64))
    net.nodes.append(onnx.helper.make_node("TopK", ["f", count], ["y", "where"], name="top"))
    net.node("Gather", ["f", net.weight("first", np.asarray([1, 0], np.int64))], "g", axis=1)
    net.node("ReduceSum" if opset < 13 else "Softplus", ["g"], "z")
    return net


def run_all(
    net: Net, outputs: tuple[str, ...], folder: Path, general: bool = False
) -> tuple[list[Array], list[Array]]:
    """The network's outputs from the simulated program, and from the tail of its QDQ model.

    That tail gets what the chip delivers: what the chip computes is tested elsewhere, to the bit.
    """
    path = net.save(folder, *outputs)
    floating = load(path, general=general)
    shape = floating.tensors["x"].shape
    batch = np.random.default_rng(0).normal(0, 1, (4, *shape[1:])).astype(np.float32)
    result = quantize_graph(floating, Pictures(batch), threads=1)
    quantized_path = folder / "net_quantize.onnx"
    quantized_path.write_bytes(write_qdq(result.graph, {}).SerializeToString())
    quantized = load_quantized(quantized_path)
    assert quantized.host == floating.host
    compiled = compile_graph(quantized, find(MAIN), MAIN, ORIGIN)
    program = decode_program(*encode_program(compiled.program), "x.cfg", "x.weight")
    assert bool(program.host) == general
    x = batch[:1]
    (entry,) = program.meta.inputs
    delivered = Machine(program).run({"x": quantize(x, entry)})
    finished = finisher(program)(delivered)
    assert tuple(finished) == outputs
    feeds = {}
    for item in program.meta.outputs:
        feeds[f"{item.name}/dq"] = dequantize(delivered[item.name], item)
    whole = onnx.shape_inference.infer_shapes(onnx.load(quantized_path))
    tail = onnx.utils.Extractor(whole).extract_model(list(feeds), list(outputs))
    wanted = session(tail.SerializeToString(), 1).run(list(outputs), feeds)
    return [finished[name] for name in outputs], [np.asarray(item) for item in wanted]


def test_a_detectors_tail(tmp_path: Path) -> None:
    graph = checked(detector().save(tmp_path, "y"))
    assert "Concat" not in operators(graph)  # so that no head shares its scale with another
    assert [op.op for op in graph.host if op.op != "Reshape"] == [*["Concat"] * 3, "Transpose"]
    assert set(graph.chip_outputs) == {
        "fine_boxes", "fine_scores", "coarse_boxes", "coarse_scores",
    }  # fmt: skip
    found, wanted = run_all(detector(), ("y",), tmp_path)
    assert found[0].shape == (1, 180, 7)
    assert np.array_equal(found[0], wanted[0])


def test_an_ssd_tail(tmp_path: Path) -> None:
    graph = checked(ssd().save(tmp_path, "b", "p"))
    assert {op.op for op in graph.host} >= {"Concat", "Softmax", "Slice", "Exp", "Add"}
    assert not host.needs_onnx_runtime(graph)
    found, wanted = run_all(ssd(), ("b", "p"), tmp_path)
    for have, want in zip(found, wanted, strict=True):
        assert have.dtype == want.dtype
        np.testing.assert_allclose(have, want, rtol=1e-6, atol=1e-7)


def test_zeros_that_a_pool_takes_over_are_put_there_on_the_host_too(tmp_path: Path) -> None:
    """One row above, two below; three columns on the right only."""
    net = Net(13)
    net.conv(net.input("x", (1, 3, 8, 8)), "c", (4, 3, 3, 3))
    amounts = np.asarray([0, 0, 1, 0, 0, 0, 2, 3], np.int64)
    net.node("Pad", [net.node("Relu", ["c"], "r"), net.weight("amounts", amounts)], "p")
    net.node("AveragePool", ["p"], "m", kernel_shape=[4, 4], count_include_pad=1)
    net.node("Hardmax", ["p"], "y", axis=3)
    path = net.save(tmp_path, "m", "y")
    graph = load(path, general=True)
    assert [op.op for op in graph.host] == ["Pad", "Hardmax"]
    feeds = {"x": np.random.default_rng(0).normal(0, 1, (1, 3, 8, 8)).astype(np.float32)}
    exact = write_float(graph).SerializeToString()
    have, want = (session(model, 1).run(None, feeds) for model in (exact, path.read_bytes()))
    np.testing.assert_allclose(have[0], want[0], atol=1e-6)
    np.testing.assert_array_equal(have[1], want[1])


@pytest.mark.parametrize("opset", [11, 13, 18])
def test_any_operator_with_general_process(tmp_path: Path, opset: int) -> None:
    path = sorted_scores(opset).save(tmp_path, "y", "where", "z")
    with pytest.raises(UnsupportedError) as caught:
        load(path)
    assert {item.hint for item in caught.value.findings} == {
        "-gp runs it and what follows it on the host"
    }
    found, wanted = run_all(sorted_scores(opset), ("y", "where", "z"), tmp_path, general=True)
    for have, want in zip(found, wanted, strict=True):
        assert (have.dtype, have.shape) == (want.dtype, want.shape)
        np.testing.assert_allclose(have, want, rtol=1e-6, atol=1e-7)
    told = [str(item) for item in survey(path, general=True).findings]
    assert (
        "y: TopK runs on the host by ONNX Runtime, after the NPU. Hint: sim, eval and Session run "
        "it; a program on a board has to do it itself"
    ) in told


@pytest.mark.parametrize("high", [2.5, float("inf")])
def test_attributes_that_no_file_can_hold(tmp_path: Path, high: float) -> None:
    net = Net()
    net.conv(net.input("x", (1, 3, 8, 8)), "c", (8, 3, 8, 8))
    regions = [net.weight("rois", np.array([[0, 0, 1, 1]], np.float32)),
               net.weight("pictures", np.array([0], np.int64))]  # fmt: skip
    net.node("RoiAlign", ["c", *regions], "y", spatial_scale=high)
    path = net.save(tmp_path, "y")
    if high == 2.5:
        assert load(path, general=True).host[0].attributes["spatial_scale"] == 2.5
        return
    with pytest.raises(UnsupportedError) as caught:
        load(path, general=True)
    assert caught.value.findings[0].sentence == (
        "RoiAlign RoiAlign_y must have finite attributes, but spatial_scale is inf."
    )


def test_lists_of_attributes_reach_the_file(tmp_path: Path) -> None:
    net = Net()
    net.conv(net.input("x", (1, 3, 8, 8)), "c", (8, 3, 3, 3))
    net.node("LpPool", ["c"], "y", kernel_shape=[2, 2], strides=[2, 2], p=1)
    (step,) = load(net.save(tmp_path, "y"), general=True).host
    assert step.attributes["kernel_shape"] == (2, 2)
    found, wanted = run_all(net, ("y",), tmp_path, general=True)
    np.testing.assert_allclose(found[0], wanted[0], rtol=1e-6)


def test_work_behind_an_unsupported_node(tmp_path: Path) -> None:
    net = Net()
    net.conv(net.input("x", (1, 3, 8, 8)), "a", (4, 3, 3, 3))
    net.node("Hardmax", ["a"], "h", axis=1)
    net.conv("h", "y", (4, 4, 3, 3))
    path = net.save(tmp_path, "y")
    with pytest.raises(UnsupportedError) as caught:
        load(path)
    assert [str(item) for item in caught.value.findings] == [
        "Hardmax_h: Hardmax is not supported yet. Hint: -gp runs Hardmax in the middle of the "
        "network: 1 trip from the NPU to the host and back, 288 bytes a picture"
    ]
    assert operators(load(path, general=True)) == ["Conv", "General", "Conv"]


WHY = (
    "Transpose would run on the host (Transpose [3, 2, 1, 0] of (1, 3, 8, 8) is not supported yet; "
    "on the chip an order of [N, C, H, W], a channel shuffle and pixel shuffles are)"
)


def test_a_network_that_leaves_nothing_for_the_chip(tmp_path: Path) -> None:
    net = Net()
    net.node("Transpose", [net.input("x", (1, 3, 8, 8))], "y")
    path = net.save(tmp_path, "y")
    sentence = (
        f"y: nothing is left for the NPU: {WHY}, from the network input x on. Hint: run "
        "this network with ONNX Runtime, or export it with the layers in front of it"
    )
    assert [str(item) for item in survey(path).errors] == [sentence]
    with pytest.raises(UnsupportedError) as caught:
        load(path)
    assert [str(item) for item in caught.value.findings] == [sentence]


def test_the_host_cannot_read_the_input(tmp_path: Path) -> None:
    net = Net()
    x = net.input("x", (1, 3, 8, 8))
    net.conv(x, "c", (4, 3, 3, 3))
    net.node("Cast", [x], "p", to=TensorProto.INT32)
    path = net.save(tmp_path, "p", "c")
    assert [str(item) for item in survey(path).errors] == [
        "p: Cast would run on the host (Cast of features to int32 is not supported yet) and read "
        "the network input x, but the host gets only what the NPU computes. "
        "Hint: leave this output out with -on, and compute it of the input in your program"
    ]
    assert load(path, outputs=["c"]).outputs == ("c",)


def endings(opset: int) -> tuple[Net, tuple[str, ...]]:
    """What classifiers, segmentations and decoders end in: most is behind a Softmax.

    ``bins`` is YOLO's distribution over four bins, whose mean a 1x1 Conv or a MatMul takes.
    """
    net = Net(opset)
    net.conv(net.input("x", (1, 3, 8, 8)), "c", (8, 3, 3, 3), bias=True)
    net.node("Softmax", ["c"], "p", axis=1)
    net.node("Neg", [net.node("Log", ["p"], "log")], "loss")
    net.node("LogSoftmax", ["c"], "soft", axis=1)
    net.node("ArgMax", ["c"], "top", axis=1)
    net.node("Cast", ["top"], "top32", to=onnx.TensorProto.INT32)
    net.node("Cast", ["top"], "real", to=onnx.TensorProto.FLOAT)
    net.node("Cast", ["c"], "whole", to=onnx.TensorProto.INT16)
    bounds = [net.weight(f"bound{k}", np.float32(k)) for k in (0.125, 0.25)]
    net.node("Clip", ["p", *bounds], "clipped")
    net.node("Clip", ["p", *bounds[::-1]], "crossed")
    net.node("Abs", [net.node("Sub", ["p", "clipped"], "beyond")], "far")
    net.node("Max", ["p", "clipped"], "upper")
    net.node("Min", ["p", bounds[1]], "lower")
    axes = net.weight("axes", np.asarray([-1, 1], np.int64))
    net.node("ReduceSum", ["far", axes], "sum", keepdims=0)
    net.node("ReduceMax", ["p"], "peak")
    split = net.weight("split", np.asarray([1, 2, 4, 36], np.int64))
    net.node("Transpose", [net.node("Reshape", ["c", split], "parts")], "turned", perm=[0, 2, 1, 3])
    net.node("Softmax", ["turned"], "bins", axis=1)
    net.conv("bins", "mean", (1, 4, 1, 1), bias=True)
    net.node("Transpose", ["bins"], "last", perm=[0, 3, 2, 1])
    net.node("MatMul", ["last", net.random("project", (4, 1))], "kept")
    net.node("MatMul", ["last", net.random("vector", (4,))], "gone")
    outputs = (
        "loss", "soft", "top32", "real", "whole", "clipped", "crossed", "upper", "lower", "sum",
        "peak", "mean", "kept", "gone",
    )  # fmt: skip
    return net, outputs


@pytest.mark.parametrize("opset", [13, 18])
def test_what_the_host_does_better(tmp_path: Path, opset: int) -> None:
    net, outputs = endings(opset)
    varying = [name for name in outputs if name not in ("crossed", "peak")]  # one value each
    graph = checked(net.save(tmp_path, *varying), 1e-4)
    assert operators(graph) == ["Conv"]
    assert not host.needs_onnx_runtime(graph)
    found, wanted = run_all(net, outputs, tmp_path)
    for name, have, want in zip(outputs, found, wanted, strict=True):
        assert (have.dtype, have.shape) == (want.dtype, want.shape), name
        assert np.ptp(want) or name not in varying
        np.testing.assert_allclose(have, want, rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.parametrize(
    "moves", [{}, {"strides": [2, 2]}, {"strides": [1, 2]}, {"pads": [0, 0, 1, 1]}]
)
def test_a_sum_of_places_elsewhere_is_none(tmp_path: Path, moves: dict[str, Any]) -> None:
    """The mean of a distribution is the host's where all places have one, else the chip's."""
    net = Net(13)
    net.conv(net.input("x", (1, 3, 8, 8)), "c", (8, 3, 3, 3))
    split = net.weight("split", np.asarray([1, 2, 4, 36], np.int64))
    parts = net.node("Reshape", ["c", split], "parts")
    net.node("Transpose", [parts], "turned", perm=[0, 2, 1, 3])
    net.conv(net.node("Softmax", ["turned"], "bins", axis=1), "mean", (1, 4, 1, 1), **moves)
    graph = checked(net.save(tmp_path, "mean"), 1e-4)
    on_chip = operators(graph)
    assert ("Softmax" in on_chip) == bool(moves)
    assert any(op.op == "Softmax" for op in graph.host) != bool(moves)


def test_old_forms_of_what_the_host_does(tmp_path: Path) -> None:
    """LogSoftmax over all axes from the first on, axes and bounds as attributes."""
    net = Net(10)
    net.conv(net.input("x", (1, 3, 8, 8)), "c", (8, 3, 3, 3))
    net.node("LogSoftmax", ["c"], "soft", axis=1)
    net.node("Clip", ["soft"], "clipped", min=-6.0)
    net.node("ReduceSum", ["clipped"], "sum", axes=[-1, 1], keepdims=0)
    outputs = ("soft", "clipped", "sum")
    checked(net.save(tmp_path, *outputs), 1e-4)
    found, wanted = run_all(net, outputs, tmp_path)
    for have, want in zip(found, wanted, strict=True):
        assert have.shape == want.shape
        np.testing.assert_allclose(have, want, rtol=1e-5, atol=1e-6)


def test_the_hosts_macs_are_not_the_chips(tmp_path: Path) -> None:
    net, outputs = endings(13)
    found = survey(net.save(tmp_path, *outputs))
    assert found.npu_macs == 6 * 6 * 8 * 27
    assert found.macs == found.npu_macs + 3 * 2 * 36 * 4  # the means of the bins
    assert found.operators["Conv"] == OpCount(2, 2, 1)


@pytest.mark.parametrize(("layout", "steps"), [(0, (9, 1)), (1, (1, 9))])
def test_recurrent_layers_have_macs(tmp_path: Path, layout: int, steps: tuple[int, int]) -> None:
    """Both directions of every step, in the share of the NPU as well."""
    net = Net(14)
    net.conv(net.input("x", (1, 3, 1, 9)), "c", (4, 3, 1, 1))
    net.node("Squeeze", ["c", net.weight("axis", np.asarray([2], np.int64))], "flat")
    net.node("Transpose", ["flat"], "steps", perm=[2, 0, 1] if layout == 0 else [0, 2, 1])
    weights = [net.random("w", (2, 4 * 5, 4)), net.random("r", (2, 4 * 5, 5))]
    net.node("LSTM", ["steps", *weights], "y", hidden_size=5, direction="bidirectional",
             layout=layout)  # fmt: skip
    found = survey(net.save(tmp_path, "y"))
    assert found.macs == 9 * 4 * 3 + 9 * 2 * 4 * 5 * (4 + 5)
    assert found.npu_macs == found.macs  # unrolled, they run on the NPU
    assert not found.errors


def test_general_process_is_told_where_it_is_true(tmp_path: Path) -> None:
    """A detector's NonMaxSuppression: what it selects has shapes that only the values decide."""
    net = Net()
    net.conv(net.input("x", (1, 3, 8, 8)), "c", (8, 3, 3, 3), pads=[1] * 4)
    for name, depth in (("b", 4), ("s", 2)):
        net.conv("c", f"{name}c", (depth, 8, 1, 1))
        shape = net.weight(f"{name}_shape", np.asarray([1, depth, 64], np.int64))
        net.node("Reshape", [f"{name}c", shape], f"{name}_flat")
    net.node("Transpose", ["b_flat"], "boxes", perm=[0, 2, 1])
    limits = [net.weight("count", np.asarray([5], np.int64)), net.weight("iou", np.float32(0.9))]
    net.node("NonMaxSuppression", ["boxes", "s_flat", *limits], "chosen")
    ends = [net.weight(f"at{k}", np.asarray([k], np.int64)) for k in (2, 3, 1)]
    net.node("Squeeze", [net.node("Slice", ["chosen", *ends], "index"), ends[2]], "places")
    net.node("Squeeze", ["boxes", net.weight("zero", np.asarray([0], np.int64))], "all")
    net.node("Gather", ["all", "places"], "y")
    path = net.save(tmp_path, "y")
    hints = {item.where: item.hint for item in survey(path).errors}
    assert hints["NonMaxSuppression_chosen"] == "-gp runs it and what follows it on the host"
    found, wanted = run_all(net, ("y",), tmp_path, general=True)
    assert found[0].shape == wanted[0].shape
    assert len(found[0])
    assert np.array_equal(found[0], wanted[0])


def test_what_follows_a_selection_is_as_the_file_has_it(tmp_path: Path) -> None:
    """Casts, bounds and Reshapes of so many elements as the values decide, by ONNX Runtime."""
    net = Net(17)
    net.conv(net.input("x", (1, 3, 8, 8)), "c", (4, 3, 3, 3))
    net.node("NonZero", [net.node("Relu", ["c"], "r")], "places")
    net.node("Cast", ["places"], "numbers", to=onnx.TensorProto.FLOAT)
    bounds = [net.weight(name, np.float32(value)) for name, value in (("low", 1), ("high", 3))]
    net.node("Clip", ["numbers", *bounds], "bounded")
    net.node("Reshape", ["bounded", net.weight("line", np.asarray([-1], np.int64))], "y")
    found, wanted = run_all(net, ("y",), tmp_path, general=True)
    assert len(found[0])
    assert np.array_equal(found[0], wanted[0])


def test_pictures_of_which_the_host_selects_more_or_less(tmp_path: Path) -> None:
    """Calibration runs one after the other in the same memory; each has a result of its own."""
    net = Net()
    net.conv(net.input("x", (1, 3, 8, 8)), "c", (4, 3, 3, 3))
    net.node("Relu", ["c"], "r")
    net.node("NonZero", ["r"], "y")
    path = net.save(tmp_path, "y")
    pictures = net.rng.normal(0, 1, (6, 1, 3, 8, 8)).astype(np.float32)
    found: list[Any] = []

    def infer(executor: Any) -> None:
        found.extend(executor.forward(picture)[0] for picture in pictures)

    with pytest.warns(UserWarning, match="NonZero runs on the host"):
        knightlite.quantize(path, infer=infer, iteration=6, general_process=True, effort="low")
    original = session(path.read_bytes())
    wanted = [original.run(None, {"x": picture})[0] for picture in pictures]
    assert len({item.shape for item in wanted}) > 1
    for made, expected in zip(found, wanted, strict=False):  # then the quantized network's follow
        assert np.array_equal(made, expected)


def test_where_to_cut_is_told(tmp_path: Path) -> None:
    """What no -gp runs: the tensors in front of it and of all that follows it."""
    net = Net()
    net.conv(net.input("x", (1, 3, 32, 32)), "c", (16, 3, 5, 5))
    heads = [net.conv("c", name, (depth, 16, 1, 1)) for name, depth in (("b", 4), ("s", 2))]
    net.domains.append("custom")
    net.nodes.append(onnx.helper.make_node("Decode", heads, ["y"], name="decode", domain="custom"))
    (error,) = survey(net.save(tmp_path, "y")).errors
    assert error.where == "decode"
    assert error.hint == (
        "-on b s ends the network in front of it, with 100 % of the MACs; your program computes "
        "the rest"
    )
    assert set(load(tmp_path / "net.onnx", outputs=["b", "s"]).outputs) == {"b", "s"}


@pytest.mark.parametrize(
    ("tensor", "taken", "wanted"),
    [("t", (), "x"), ("t", ("x",), "x.reshaped'"), ("x", (), "x.reshaped'")],
)
def test_what_the_host_makes_has_its_own_name_where_that_is_free(
    tensor: str, taken: tuple[str, ...], wanted: str
) -> None:
    builder = SimpleNamespace(tensors=dict.fromkeys(taken), fresh=lambda name: f"{name}'")
    state = SimpleNamespace(value=lambda name: SimpleNamespace(tensor=tensor), builder=builder)
    assert host_values._own_name(state, "x", "reshaped") == wanted  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(11, 1, 1), (1, 6, 5, 11), (7,)])
@pytest.mark.parametrize("op", ["Mul", "Add", "Max"])
def test_operands_that_do_not_broadcast(op: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    """ONNX's inference says nothing of them."""
    net = Net()
    net.node("Relu", [net.input("x", (1, 6, 13, 12))], "r")
    net.node(op, ["r", net.random("w", shape)], "y")
    model = net.model("y")
    del model.graph.output[:]
    model.graph.output.append(onnx.helper.make_tensor_value_info("y", 1, (1, 6, 13, 12)))
    onnx.save(model, tmp_path / "net.onnx")
    with pytest.raises(UnsupportedError) as caught:
        load(tmp_path / "net.onnx")
    (finding,) = caught.value.findings
    assert finding.sentence == (
        f"{op} {op}_y must have operands that broadcast, not (1, 6, 13, 12) and {shape}."
    )


FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


@pytest.mark.parametrize(
    ("op", "attributes", "types", "whole"),
    [
        ("Cast", {"to": "int64"}, {"x": FLOAT, "y": FLOAT}, True),
        ("Cast", {"to": "float32"}, {"x": INT64, "y": INT64, "n": INT64}, False),
        ("ArgMax", {}, {}, True),
        ("Mul", {}, {}, True),  # as the operand that the host made
        ("Mul", {}, {"y": FLOAT}, False),  # the file says that it is real
        ("Mul", {}, {"x": FLOAT, "y": INT64}, True),
        ("Mul", {}, {"x": FLOAT, "n": FLOAT, "y": FLOAT}, False),
        ("Relu", {}, {"x": INT64, "y": INT64}, False),  # integers of the network's input
        ("Relu", {}, {"x": FLOAT, "y": INT64}, True),
        ("Relu", {}, {}, False),
    ],
)
def test_what_the_host_makes_is_whole_where_the_file_or_an_operand_says_so(
    op: str, attributes: dict[str, Any], types: dict[str, int], whole: bool
) -> None:
    """``x`` is real here; ``n`` was made by the host as whole numbers."""
    builder = GraphBuilder("net")
    builder.input("x", (1, 4, 1, 1))
    state: Any = SimpleNamespace(builder=builder, model=SimpleNamespace(types=types))
    host_values.add(state, HostOp("n", "ArgMax", ("x",), ("n",), {}), ((1,),))
    inputs = ("x",) if op in ("Relu", "Cast", "ArgMax") else ("x", "n")
    host_values.add(state, HostOp("y", op, inputs, ("y",), attributes), ((1,),))
    assert builder.tensors["y"].dtype == (dtypes.S32 if whole else dtypes.F32)
