"""Inputs of a network: unused ones, integers, other floats, a batch that the file writes out."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

import knightlite
from knightlite import dtypes
from knightlite.api.models import open_binary
from knightlite.api.simulation.frames import frames_of
from knightlite.cli.program import run
from knightlite.errors import DataError, Finding, ModelError, UnsupportedError, UsageError
from knightlite.frontend import load, survey
from knightlite.inference import session
from knightlite.onnx_models import write_float
from knightlite.options.simulate import SimulateOptions
from knightlite.talk import Talk
from onnx_nets import Net, checked


def pixels(element: int, *, turned: bool = False) -> Net:
    """A network that casts and normalizes its own pixels; ``turned``: [1, H, W, C] ones."""
    net = Net()
    x = net.input("x", (1, 8, 9, 3) if turned else (1, 3, 8, 9), element)
    if turned:
        x = net.node("Transpose", [x], "t", perm=[0, 3, 1, 2])
    net.node("Cast", [x], "f", to=TensorProto.FLOAT)
    net.node("Sub", ["f", net.random("mean", (1, 3, 1, 1), 100, 130)], "centred")
    net.node("Div", ["centred", net.random("std", (1, 3, 1, 1), 50, 60)], "normal")
    net.conv("normal", "y", (4, 3, 3, 3), pads=[1, 1, 1, 1])
    return net


@pytest.mark.parametrize("turned", [False, True])
def test_bytes_stay_bytes_down_to_the_chip(tmp_path: Path, turned: bool) -> None:
    net = pixels(TensorProto.UINT8, turned=turned)
    path = net.save(tmp_path, "y")
    graph = load(path)
    assert graph.integer_inputs == {"x": dtypes.U8}
    shape = (6, 8, 9, 3) if turned else (6, 3, 8, 9)
    pictures = net.rng.integers(0, 256, shape).astype(np.uint8)
    compiled = knightlite.compile(knightlite.quantize(path, data=pictures))
    running = knightlite.Session(compiled)
    (entry,) = running.get_inputs()
    assert (entry.integer_type, entry.scale) == ("uint8", 1.0)
    found = running.run(None, {"x": pictures})[0]
    original = session(path.read_bytes())
    wanted = np.concatenate([original.run(None, {"x": item[None]})[0] for item in pictures])
    assert np.abs(found - wanted).max() < 0.05 * np.abs(wanted).max()


def test_integers_that_something_computes_with(tmp_path: Path) -> None:
    net = Net(14)
    net.input("x", (1, 3, 8, 9), TensorProto.UINT8)
    net.node("Add", ["x", net.weight("one", np.array(1, np.uint8))], "more")
    net.node("Cast", ["more"], "f", to=TensorProto.FLOAT)
    net.conv("f", "y", (4, 3, 3, 3))
    with pytest.raises(UnsupportedError) as caught:
        load(net.save(tmp_path, "y"))
    assert str(caught.value.findings[0]) == (
        "x: Add Add_more computes with the uint8 of the network input x, which only a Cast to "
        "float32 may read. Hint: export the model in float32"
    )


def test_rows_that_an_input_looks_up_are_the_programs(tmp_path: Path) -> None:
    """What the hint makes begins behind the look-up, and runs."""
    net = Net(17)
    net.input("ids", (1, 5), TensorProto.INT64)
    for name in ("words", "kinds"):
        net.node("Gather", [net.random(f"{name}_table", (9, 8)), "ids"], name)
    net.node("Add", ["words", "kinds"], "rows")
    net.node("MatMul", ["rows", net.random("w", (8, 4))], "y")
    path = net.save(tmp_path, "y")
    with pytest.raises(UnsupportedError) as caught:
        load(path)
    made = "knightlite model_modifier -m MODEL --input-names words kinds"
    assert f"Hint: look the rows up in your program: `{made}` writes a model" in str(
        caught.value.findings[0]
    )
    words = made.replace("MODEL", str(path)).split()[1:]
    assert run([*words, "--save-dir", str(tmp_path)]) == 0
    assert load(tmp_path / "net_sub.onnx").inputs == ("words", "kinds")


def test_other_integers_are_fed_as_real_numbers(tmp_path: Path) -> None:
    graph = load(pixels(TensorProto.INT32).save(tmp_path, "y"))
    assert not graph.integer_inputs
    assert findings(pixels(TensorProto.INT32).save(tmp_path, "y")) == [
        Finding(
            "x",
            "the network input x is of int32 in the model, here of float32.",
            "feed it with float32",
            "warning",
        )
    ]


def findings(path: Path) -> list[Finding]:
    """What check says of a network that runs; quant hears the same."""
    found = survey(path)
    assert found.graph is not None
    heard: list[Finding] = []
    load(path, warn=heard.append)
    assert heard == list(found.findings)
    return heard


@pytest.mark.parametrize("kind", ["float16", "double"])
def test_models_in_other_floats(tmp_path: Path, kind: str) -> None:
    element = {"float16": TensorProto.FLOAT16, "double": TensorProto.DOUBLE}[kind]
    dtype = np.dtype(kind)
    net = Net()
    net.input("x", (1, 3, 8, 8), element)
    net.weight("w", net.rng.uniform(-0.5, 0.5, (4, 3, 3, 3)).astype(dtype))
    net.weight("b", net.rng.uniform(-1, 1, 4).astype(dtype))
    net.node("Conv", ["x", "w", "b"], "c")
    net.node("Sqrt", [net.weight("four", np.full((1, 4, 1, 1), 4, dtype))], "two")
    net.node("Mul", ["c", "two"], "m")
    net.node("Clip", ["m", net.weight("low", np.zeros((), dtype))], "y")
    path = net.save(tmp_path, "y")
    for found, name, what in zip(findings(path), "xy", ("input", "output"), strict=True):
        sentence = f"the network {what} {name} is of {kind} in the model, here of float32."
        hint = (
            "feed it with float32" if what == "input" else f"a program that wants {kind} casts it"
        )
        assert found == Finding(name, sentence, hint, "warning")
    x = net.rng.normal(0, 1, (1, 3, 8, 8)).astype(dtype)
    (wanted,) = ReferenceEvaluator(str(path)).run(None, {"x": x})  # ONNX Runtime has no double Conv
    (made,) = session(write_float(load(path))).run(None, {"x": x.astype(np.float32)})
    assert made.dtype == np.float32
    assert np.abs(made - wanted).max() < 1e-2
    assert np.ptp(wanted) > 1


def unread_input(folder: Path) -> Path:
    """A network of inputs im_shape, x and more, that reads x only."""
    net = Net()
    net.input("im_shape", (1, 2))
    net.input("x", (1, 3, 8, 8))
    net.node("Shape", ["im_shape"], "unread")
    net.conv("x", "y", (4, 3, 3, 3))
    return net.save(folder, "y")


def test_an_input_that_nothing_reads_is_left_out(tmp_path: Path) -> None:
    path = unread_input(tmp_path)
    assert load(path).inputs == ("x",)
    assert [str(item) for item in findings(path)] == [
        "im_shape: nothing reads the network input im_shape: it is left out. "
        "Hint: what is fed to it is ignored"
    ]


@pytest.mark.filterwarnings("ignore:im_shape. nothing reads")
def test_what_is_fed_to_an_unread_input_is_ignored(tmp_path: Path) -> None:
    """By name, by position, from a script, in a file for sim; another name is still refused."""
    path = unread_input(tmp_path)
    x = np.random.default_rng(1).normal(0, 1, (6, 3, 8, 8)).astype(np.float32)
    size = np.zeros((6, 2), np.float32)

    def infer(executor: Any) -> None:
        executor.forward(size, x)

    whole = {"batch_size": 6, "iteration": 1}
    forms: list[dict[str, Any]] = [
        {"data": x, **whole},
        {"data": {"im_shape": size, "x": x}, **whole},
        {"data": [(size, x)]},
        {"data": [x]},
        {"infer": infer, **whole},
    ]
    made = [knightlite.quantize(path, **form) for form in forms]
    assert len({json.dumps(item.report["tensors"]) for item in made}) == 1
    with pytest.raises(DataError, match=r"must have the inputs x, not x, other\.$"):
        knightlite.quantize(path, data=[{"x": x, "other": size}])
    assert knightlite.infer(made[0], data=[(size, x)]) is None

    running = knightlite.Session(knightlite.compile(made[0], save_dir=tmp_path))
    (wanted,) = running.run(None, {"x": x})
    said = "nothing reads the network input im_shape: what is fed to it is ignored."
    with pytest.warns(UserWarning, match=f"^{said}$") as caught:
        (found,) = running.run(None, {"im_shape": size, "x": x})
    assert [item.filename for item in caught] == [__file__]
    assert np.array_equal(found, wanted)
    with pytest.warns(UserWarning, match=f"^{said}$") as caught:
        running.run_integers({"im_shape": size, "x": x})
    assert [item.filename for item in caught] == [__file__]
    with pytest.raises(UsageError, match=r"must have the inputs x, not im_shape\.$"):
        running.run(None, {"im_shape": size})

    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "size.npy", size)
    heard: list[str] = []
    meta = open_binary(next(tmp_path.glob("*_r.cfg"))).program.meta
    fed = SimulateOptions(input=f"{tmp_path}/size.npy:{tmp_path}/x.npy", frame_count=6)
    frames, count, _ = frames_of(fed, meta, Talk(heard.append))
    assert count == 6
    assert np.concatenate([frame["x"] for frame in frames]).std() > 10
    assert "nothing reads the network input im_shape: it is ignored" in heard


@pytest.mark.parametrize("dtype", ["float16", "float64", "float32"])
def test_arrays_of_any_float_type(tmp_path: Path, dtype: str) -> None:
    """Of a network of that type or another: converted, and refused where float32 holds less."""
    net = Net()
    net.input("x", (1, 3, 8, 8))
    net.conv("x", "y", (4, 3, 3, 3))
    path = net.save(tmp_path, "y")
    x = net.rng.normal(0, 1, (4, 3, 8, 8)).astype(dtype)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "the script feeds float64 to input x; it is cast")
        quantized = knightlite.quantize(path, data=x)
    running = knightlite.Session(knightlite.compile(quantized))
    wanted = running.run_integers({"x": x.astype(np.float32)})["y"]
    assert np.array_equal(running.run_integers({"x": x})["y"], wanted)
    assert np.ptp(wanted) > 100
    if dtype != "float64":
        return
    x[1, 2, 3, 4] = -1e39
    said = r"input x does not fit: float32 holds numbers up to 3\.4e\+38, not 1e\+39\.$"
    with pytest.raises(DataError, match=said):
        running.run(None, {"x": x})
    with pytest.raises(DataError, match=said):
        knightlite.quantize(path, data=x)


# ------------------------------------------------------------------ a written batch

Layer = Callable[[Net, int], None]


def reshaped(net: Net, batch: int) -> None:
    sizes = net.weight("sizes", np.array([batch, -1]))
    net.node("Reshape", ["c", sizes], "flat")
    net.node("MatMul", ["flat", net.random("w", (4 * 6 * 6, 5))], "y")


def resized(net: Net, batch: int) -> None:
    sizes = net.weight("sizes", np.array([batch, 4, 12, 12]))
    net.node("Resize", ["c", "", "", sizes], "y", mode="nearest",
             coordinate_transformation_mode="asymmetric", nearest_mode="floor")  # fmt: skip


def flattened(net: Net, batch: int) -> None:
    net.node("Flatten", ["c"], "flat")
    net.node("MatMul", ["flat", net.random("w", (4 * 6 * 6, 5))], "y")


def classified(net: Net, batch: int) -> None:
    flattened(net, batch)
    net.node("ArgMax", ["y"], "best", axis=1)


def batch_of(batch: int, layer: Layer) -> Net:
    made = Net()
    made.input("x", (batch, 3, 6, 6))
    made.conv("x", "c", (4, 3, 3, 3), pads=[1, 1, 1, 1])
    layer(made, batch)
    return made


@pytest.mark.parametrize("asked", [None, [[1, 3, 6, 6]]])
@pytest.mark.parametrize("batch", [2, 5])
@pytest.mark.parametrize("layer", [reshaped, resized, flattened, classified])
def test_batch_one_of_a_file_that_has_another(
    tmp_path: Path, layer: Layer, batch: int, asked: list[list[int]] | None
) -> None:
    outputs = ("y", "best") if layer is classified else ("y",)
    path = batch_of(batch, layer).save(tmp_path, *outputs)
    heard: list[Finding] = []
    graph = load(path, input_shapes=asked, warn=heard.append)
    told = [str(item) for item in heard if "frame" in str(item)]
    if asked is None:
        assert told == [
            f"x: the network takes {batch} frames at once, here one: on random numbers each gives "
            f"alone what it gives among {batch}. Hint: feed one frame at a time"
        ]
    else:
        names: dict[Layer, str] = {reshaped: "Reshape_flat", resized: "Resize_y"}
        where = [names[layer]] if layer in names else []
        assert told == [
            f"{at}: {at.split('_')[0]} {at} names a batch of {batch}, which is 1 here. "
            "Hint: feed one frame at a time"
            for at in where
        ]
    x = np.random.default_rng(0).normal(0, 1, (batch, 3, 6, 6)).astype(np.float32)
    (wanted, *_) = session(path.read_bytes()).run(None, {"x": x})
    network = session(write_float(graph))
    made = np.concatenate([network.run(None, {"x": frame[None]})[0] for frame in x])
    np.testing.assert_allclose(made, wanted, atol=1e-4)


MANY = 65  # frames: more than a convolution takes as groups


def over_the_batch(net: Net, batch: int) -> None:
    net.node("Softmax", ["c"], "y", axis=0)


def against_their_mean(net: Net, batch: int) -> None:
    net.node("ReduceMean", ["c"], "mean", axes=[0], keepdims=1)
    net.node("Sub", ["c", "mean"], "y")


def turned_round(net: Net, batch: int) -> None:
    """The last frame first."""
    places = [net.weight(name, np.array([value])) for name, value in
              (("begin", -1), ("end", -(1 << 31)), ("axes", 0), ("steps", -1))]  # fmt: skip
    net.node("Slice", ["c", *places], "y")


def turned_inside(net: Net, batch: int) -> None:
    """Two frames in the middle change places."""
    order = [0, 2, 1, *range(3, batch)]
    net.node("Gather", ["c", net.weight("order", np.array(order))], "y", axis=0)


def own_offsets(net: Net, batch: int) -> None:
    net.node("Add", ["c", net.random("offsets", (batch, 1, 1, 1))], "y")


def one_for_all(net: Net, batch: int) -> None:
    net.node("ReduceMax", ["c"], "y", axes=[0], keepdims=1)


def the_same_always(net: Net, batch: int) -> None:
    net.node("Mul", ["c", net.weight("zero", np.zeros(1, np.float32))], "y")


def own_domain(net: Net, batch: int) -> None:
    net.domains.append("own")
    net.nodes.append(helper.make_node("Own", ["c"], ["y"], "Own_y", domain="own"))


@pytest.mark.parametrize(
    "layer",
    [over_the_batch, against_their_mean, turned_round, turned_inside, own_offsets, one_for_all],
)
def test_frames_that_are_taken_together(tmp_path: Path, layer: Layer) -> None:
    """What no frame gives alone is computed of the whole batch, as the file says."""
    checked(batch_of(4, layer).save(tmp_path, "y"))


@pytest.mark.parametrize("layer", [over_the_batch, against_their_mean, turned_round])
def test_frames_that_depend_on_one_another(tmp_path: Path, layer: Layer) -> None:
    """Alone they would give something else, so that nothing advises to take one."""
    net = batch_of(MANY, layer)
    with pytest.raises(UnsupportedError) as caught:
        load(net.save(tmp_path, "y"))
    assert str(caught.value.findings[0]) == (
        "x: the network input x must be [1, C, H, W], [1, C, L] or [1, C], not (65, 3, 6, 6). "
        "Hint: export it for one frame: among 65, one gives something else than alone"
    )


UNSURE = [own_offsets, one_for_all, turned_inside, the_same_always]


@pytest.mark.parametrize("layer", [*UNSURE, own_domain])
def test_a_batch_of_which_nothing_is_sure(tmp_path: Path, layer: Layer) -> None:
    with pytest.raises(UnsupportedError) as caught:
        load(batch_of(MANY, layer).save(tmp_path, "y"))
    assert caught.value.findings[0].hint == "run it frame by frame: -is 1 3 6 6"


@pytest.mark.parametrize("layer", [over_the_batch, *UNSURE])
def test_a_batch_that_is_not_what_is_wrong(tmp_path: Path, layer: Layer) -> None:
    """One frame alone would be refused for the same layer, so that nothing advises to take one."""
    net = batch_of(4, layer)
    net.node("Hardmax", ["y"], "z", axis=1)  # the chip has none
    with pytest.raises(UnsupportedError) as caught:
        load(net.save(tmp_path, "z"))
    (found,) = caught.value.findings
    assert (found.where, found.sentence) == ("Hardmax_z", "Hardmax is not supported yet.")
    assert "frame" not in found.hint


def test_a_layer_that_cannot_take_the_batch_of_several_inputs(tmp_path: Path) -> None:
    """What helps is told at the layer, where both inputs could be read."""
    net = Net()
    both = [net.input(name, (MANY, 3, 6, 6)) for name in "ab"]
    net.conv(net.node("Add", both, "s"), "c", (4, 3, 3, 3), pads=[1, 1, 1, 1])
    own_offsets(net, MANY)
    with pytest.raises(UnsupportedError) as caught:
        load(net.save(tmp_path, "y"))
    assert [str(item) for item in caught.value.findings] == [
        "Conv_c: Conv Conv_c must read [1, C, H, W], [1, C, L] or [1, C] features, not (65, 3, 6, "
        "6). Hint: run it frame by frame: -is 1 3 6 6 -is 1 3 6 6"
    ]


def test_what_helps_says_the_shape_of_every_input(tmp_path: Path) -> None:
    net = Net()
    net.input("a", (MANY, 3, 6, 6))
    net.input("b", (MANY, 5, 7, 8))
    for name, size in (("a", 3), ("b", 5)):
        net.conv(name, f"c{name}", (4, size, 3, 3))
        offsets = net.random(f"offsets{name}", (MANY, 1, 1, 1))
        net.node("Add", [f"c{name}", offsets], f"y{name}")
    with pytest.raises(UnsupportedError) as caught:
        load(net.save(tmp_path, "ya", "yb"))
    hints = {item.hint for item in caught.value.findings}
    assert hints == {"run it frame by frame: -is 1 3 6 6 -is 1 5 7 8"}


@pytest.mark.parametrize(
    ("shapes", "runs"),
    [(((4, 3, 6, 6), (4, 3, 6, 6)), True), (((4, 3, 6, 6), (2, 3, 6, 6)), False),
     (((4, 3, 6, 6), (1, 3, 6, 6)), False)],
)  # fmt: skip
def test_all_inputs_have_the_batch(
    tmp_path: Path, shapes: tuple[Sequence[int], Sequence[int]], runs: bool
) -> None:
    net = Net()
    for name, shape in zip("ab", shapes, strict=True):
        net.input(name, shape)
        net.conv(name, f"c{name}", (4, 3, 1, 1))
        net.node("GlobalAveragePool", [f"c{name}"], f"y{name}")
    path = net.save(tmp_path, "ya", "yb")
    if runs:
        assert {item.shape[0] for item in load(path).tensors.values() if item.shape} <= {1, 4}
        assert load(path).tensors["a"].shape == load(path).tensors["b"].shape == (1, 3, 6, 6)
        return
    with pytest.raises(UnsupportedError, match="must be"):
        load(path)


@pytest.mark.parametrize("kind", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize(
    ("size", "kernel", "stride", "pad"),
    [((7, 8), 3, 3, 1), ((7, 8), 2, 3, 1), ((7, 9), 2, 3, 0), ((5, 6), 2, 2, 1)],
)
def test_windows_that_would_start_in_the_padding(
    tmp_path: Path, kind: str, size: tuple[int, int], kernel: int, stride: int, pad: int
) -> None:
    """A layer behind the pool needs the right shape too."""
    net = Net()
    net.input("x", (1, 3, *size))
    net.conv("x", "c", (4, 3, 1, 1))
    net.node(kind, ["c"], "p", kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[pad] * 4,
             ceil_mode=1)  # fmt: skip
    net.conv("p", "y", (4, 4, 1, 1))
    checked(net.save(tmp_path, "y"))


def test_a_network_needs_outputs(tmp_path: Path) -> None:
    net = Net()
    net.input("x", (1, 3, 6, 6))
    net.conv("x", "c", (4, 3, 3, 3))
    path = net.save(tmp_path)
    with pytest.raises(ModelError, match="its graph has no output"):
        load(path)
