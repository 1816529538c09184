"""LSTM, GRU and RNN unrolled: the numbers of ONNX's operators, on the chip, or one sentence."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

import knightlite
from conformance_checks import MAIN, Opinions, Pictures, build, judge, single
from knightlite.dtypes import S16
from knightlite.errors import UnsupportedError
from knightlite.frontend import load, load_quantized
from knightlite.inference import session
from knightlite.ir import Graph
from knightlite.onnx_models import write_float, write_qdq
from knightlite.quantize.pipeline import quantize_graph
from knightlite.quantize.scales.widths import cell_states
from knightlite.quantize.settings import Settings
from onnx_nets import Net, operators

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def recurrent(
    kind: str, steps: int = 5, inputs: int = 6, hidden: int = 4, direction: str = "forward",
    bias: bool = True, start: str = "", lengths: Sequence[int] | None = None, opset: int = 14,
    batch: int = 1, peepholes: bool = False, **attributes: Any,
) -> tuple[Net, list[str]]:  # fmt: skip
    """A layer of its own, and its outputs. ``start``: "constant" or "input" states."""
    net = Net(opset)
    count = 2 if direction == "bidirectional" else 1
    layout = attributes.get("layout", 0)
    net.input("x", (batch, steps, inputs) if layout else (steps, batch, inputs))
    rows = GATES[kind] * hidden
    names = ["x", net.random("w", (count, rows, inputs)), net.random("r", (count, rows, hidden))]
    names.append(net.random("b", (count, 2 * rows)) if bias else "")
    names.append("" if lengths is None else net.weight("lengths", np.array(lengths, np.int32)))
    state = (batch, count, hidden) if layout else (count, batch, hidden)
    for name in ("h0", "c0") if kind == "LSTM" else ("h0",):
        if start == "constant":
            names.append(net.random(name, state))
        elif start == "input":
            names.append(net.input(name, state))
    if peepholes:
        names += [""] * (7 - len(names))
        names.append(net.random("p", (count, 3 * hidden)))
    outputs = ["y", "yh", "yc"] if kind == "LSTM" else ["y", "yh"]
    made = helper.make_node(
        kind, names, outputs, name=f"{kind}_y", hidden_size=hidden, direction=direction,
        **attributes,
    )  # fmt: skip
    net.nodes.append(made)
    return net, outputs


CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "lstm": ("LSTM", {}),
    "lstm_reverse": ("LSTM", {"direction": "reverse", "bias": False}),
    "lstm_both": ("LSTM", {"direction": "bidirectional", "start": "constant"}),
    "lstm_state": ("LSTM", {"start": "input", "steps": 1, "lengths": [1]}),
    "lstm_states": ("LSTM", {"start": "input", "direction": "bidirectional", "steps": 3}),
    "lstm_coupled": ("LSTM", {"input_forget": 1, "clip": 0.5}),
    "lstm_activations": (
        "LSTM",
        {"activations": ["hardsigmoid", "Softsign", "Elu"], "activation_alpha": [0.3, 0.7],
         "activation_beta": [0.4]},
    ),
    "lstm_peepholes": ("LSTM", {"peepholes": True, "direction": "bidirectional"}),
    "lstm_peepholes_start": ("LSTM", {"peepholes": True, "start": "constant", "steps": 2}),
    "lstm_peepholes_coupled": ("LSTM", {"peepholes": True, "start": "input", "steps": 2,
                                        "input_forget": 1}),
    "gru": ("GRU", {}),
    "gru_linear": ("GRU", {"linear_before_reset": 1}),
    "gru_linear_start": ("GRU", {"linear_before_reset": 1, "start": "constant"}),
    "gru_both": ("GRU", {"direction": "bidirectional", "start": "input"}),
    "gru_reverse": ("GRU", {"direction": "reverse", "start": "constant", "clip": 0.7}),
    "rnn": ("RNN", {"lengths": [5]}),
    "rnn_both": ("RNN", {"direction": "bidirectional", "activations": ["Relu", "Tanh"]}),
    "rnn_start": ("RNN", {"start": "constant", "bias": False, "opset": 9}),
    "rnn_both_parameters": (
        "RNN",
        {"direction": "bidirectional", "activations": ["LeakyRelu", "Elu"],
         "activation_alpha": [0.3, 0.7]},
    ),
    "gru_both_parameters": (
        "GRU",
        {"direction": "bidirectional", "start": "constant",
         "activations": ["HardSigmoid", "LeakyRelu", "HardSigmoid", "Tanh"],
         "activation_alpha": [0.3, 0.1, 0.4], "activation_beta": [0.45, 0.6]},
    ),
    "gru_batch": ("GRU", {"batch": 2, "start": "constant"}),
    "lstm_batch": ("LSTM", {"batch": 3, "direction": "bidirectional"}),
    "rnn_one": ("RNN", {"steps": 1, "hidden": 1}),
}  # fmt: skip


def checked(net: Net, folder: Path, *outputs: str) -> Graph:
    """Load the net and hold the canonical graph to ONNX Runtime's outputs of the file."""
    model = net.model(*outputs)
    path = folder / "net.onnx"
    path.write_bytes(model.SerializeToString())
    graph = load(path)
    rng = np.random.default_rng(1)
    shapes = {item.name: [d.dim_value for d in item.type.tensor_type.shape.dim]
              for item in model.graph.input}  # fmt: skip
    feeds = {name: rng.normal(0, 1, shape).astype(np.float32) for name, shape in shapes.items()}
    wanted = session(model, 2).run(list(graph.outputs), feeds)
    made = {name: feeds[name].reshape(graph.tensors[name].shape) for name in graph.inputs}
    found = session(write_float(graph), 2).run(list(graph.outputs), made)
    for a, b in zip(wanted, found, strict=True):
        assert a.shape == b.shape
        assert np.ptp(a) > 0 or a.size == 1
        assert np.abs(a - b).max() <= 1e-5 * np.abs(a).max()
    return graph


@pytest.mark.parametrize("name", CASES)
def test_unrolled_is_the_operator(name: str, tmp_path: Path) -> None:
    """All outputs, and each of them alone."""
    kind, options = CASES[name]
    net, outputs = recurrent(kind, **options)
    graph = checked(net, tmp_path, *outputs)
    assert {op.op for op in graph.host} <= {"Concat", "Reshape", "Transpose"}
    assert {"LSTM", "GRU", "RNN"}.isdisjoint(operators(graph))
    for output in outputs:
        checked(net, tmp_path, output)


@pytest.mark.parametrize("kind", GATES)
@pytest.mark.parametrize(
    ("direction", "start", "batch"),
    [
        ("forward", "", 1), ("bidirectional", "constant", 1), ("reverse", "input", 1),
        ("bidirectional", "input", 3),
    ],
)  # fmt: skip
def test_a_batch_in_front_is_the_same_layer(
    kind: str, direction: str, start: str, batch: int, tmp_path: Path
) -> None:
    """ONNX Runtime does not run layout 1: it is held to layout 0, whose axes are swapped."""
    rng = np.random.default_rng(1)
    count = 2 if direction == "bidirectional" else 1
    first = {
        "x": rng.normal(0, 1, (3, batch, 6)).astype(np.float32),
        "h0": rng.normal(0, 1, (count, batch, 4)).astype(np.float32),
        "c0": rng.normal(0, 1, (count, batch, 4)).astype(np.float32),
    }
    found: list[dict[str, Any]] = []
    for layout in (0, 1):
        net, outputs = recurrent(
            kind, steps=3, direction=direction, start=start, batch=batch, layout=layout
        )
        path = tmp_path / f"{layout}.onnx"
        path.write_bytes(net.model(*outputs).SerializeToString())
        graph = load(path)
        feeds = {
            name: (first[name].swapaxes(0, 1) if layout else first[name]).reshape(
                graph.tensors[name].shape
            )
            for name in graph.inputs
        }
        made = session(write_float(graph), 1).run(list(graph.outputs), feeds)
        found.append(dict(zip(graph.outputs, made, strict=True)))
    for name, wanted in found[0].items():
        turned = wanted.transpose(2, 0, 1, 3) if name == "y" else wanted.swapaxes(0, 1)
        assert found[1][name].shape == turned.shape
        np.testing.assert_allclose(found[1][name], turned, atol=1e-6)
        assert np.ptp(wanted) > 0.1


# ------------------------------------------------------------------ on the chip


def spotter(
    kind: str, layers: int = 2, hidden: int = 12, both: bool = False, frames: int = 25
) -> Net:
    """As a keyword spotter: layers over frames of features, the last state to 12 words."""
    net = Net(14)
    net.input("x", (1, frames, 40))
    x, inputs = net.node("Transpose", ["x"], "frames", perm=[1, 0, 2]), 40
    count = 2 if both else 1
    rows = GATES[kind] * hidden
    for layer in range(layers):
        reach = 0.6 / hidden**0.5 if layer else 0.25
        names = [x]
        for part, shape in (("w", (count, rows, inputs)), ("r", (count, rows, hidden)),
                            ("b", (count, 2 * rows))):  # fmt: skip
            names.append(net.random(f"{part}{layer}", shape, -3 * reach, 3 * reach))
        made = helper.make_node(
            kind, names, [f"y{layer}", f"yh{layer}"], name=f"{kind}{layer}", hidden_size=hidden,
            direction="bidirectional" if both else "forward",
        )  # fmt: skip
        net.nodes.append(made)
        inputs = count * hidden
        if layer < layers - 1:
            sizes = net.weight(f"s{layer}", np.array([frames, 1, inputs], np.int64))
            turned = net.node("Transpose", [f"y{layer}"], f"t{layer}", perm=[0, 2, 1, 3])
            x = net.node("Reshape", [turned, sizes], f"x{layer}")
    last = net.node("Transpose", [f"yh{layers - 1}"], "last", perm=[1, 0, 2])
    flat = net.node("Flatten", [last], "flat")
    net.node("Gemm", [flat, net.random("words", (inputs, 12))], "y")
    return net


@pytest.mark.parametrize(
    ("kind", "bits", "both", "frames", "least"),
    [("LSTM", 8, False, 25, 25), ("LSTM", 16, False, 12, 55), ("LSTM", 8, True, 12, 25),
     ("GRU", 8, False, 25, 20), ("GRU", 16, False, 12, 50), ("RNN", 8, False, 25, 15)],
)  # fmt: skip
def test_on_the_chip(
    kind: str, bits: int, both: bool, frames: int, least: float, tmp_path: Path
) -> None:
    net = spotter(kind, both=both, frames=frames)
    graph = checked(net, tmp_path, "y")
    assert [op.op for op in graph.host] == ["Reshape"]
    shape = graph.tensors["x"].shape
    batch = np.random.default_rng(0).normal(0, 1, (8, *shape[1:])).astype(np.float32)
    result = quantize_graph(graph, Pictures(batch), Settings(bit_width=bits), threads=1)
    quantized = result.graph
    path = tmp_path / "net_quantize.onnx"
    path.write_bytes(write_qdq(quantized, {}).SerializeToString())
    quantized = load_quantized(path)
    opinions, pictures = Opinions(quantized, graph), single("x", batch[:2])
    for level in (0, 1):
        verdict = judge(build(quantized, MAIN, level), quantized, graph, pictures, opinions)
        verdict.check()
        assert verdict.sqnr_db > least


def test_cell_states_have_16_bits(tmp_path: Path) -> None:
    """At 8 bits too, on a chip that multiplies 8 only; not where a convolution reads them."""
    net = spotter("LSTM", layers=1)
    graph = checked(net, tmp_path, "y")
    states = cell_states(graph)
    sums = [node for node in graph.nodes if node.op == "Add" and node.output in states]
    assert len(sums) == 24  # of 25 steps the first adds nothing
    assert len(states) == 24 + 2 * 24 + 1
    batch = np.random.default_rng(0).normal(0, 1, (4, *graph.tensors["x"].shape[1:]))
    result = quantize_graph(graph, Pictures(batch.astype(np.float32)), threads=1)
    assert {result.graph.tensors[name].dtype for name in states} == {S16}
    build(result.graph, "TX5105C")


# ------------------------------------------------------------------ what is refused

REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "peepholes": ("LSTM", {"lengths": [5]}, "must have constant peepholes P."),
    "peepholes_clipped": (
        "LSTM", {"peepholes": True, "clip": 0.9},
        "must have peepholes or a clip, not both: runtimes clip them at other places.",
    ),
    "batch": ("GRU", {"batch": 65, "layout": 1}, "must read a batch of 1 to 64, not of 65."),
    "batch_and_activations": (  # the batch is not what is wrong
        "RNN", {"batch": 2, "activations": ["Affine", "Tanh"]}, "must have 1 activations, not 2.",
    ),
    "lengths": (
        "RNN", {"lengths": [3]},
        "must go through all its 5 steps, but its sequence length is 3.",
    ),
    "activation": (
        "RNN", {"activations": ["Affine"]},
        "must have activations of Elu, HardSigmoid, LeakyRelu, Relu, Sigmoid, Softplus, Softsign, "
        "Tanh, ThresholdedRelu, not Affine.",
    ),
    "activations": ("GRU", {"activations": ["Tanh"]}, "must have 2 activations, not 1."),
    "direction": (
        "LSTM", {"direction": "sideways"},
        "must have a direction of forward, reverse, bidirectional, not sideways.",
    ),
    "steps": (
        "RNN", {"steps": 1025},
        "must have 1 to 1024 steps, not 1025: they are computed one by one.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, tmp_path: Path) -> None:
    kind, options, sentence = REFUSED[name]
    net, outputs = recurrent(kind, **options)
    if name == "peepholes":
        net.nodes[0].input.extend(["", "", net.input("p", (1, 12))])
    with pytest.raises(UnsupportedError) as caught:
        load(net.save(tmp_path, *outputs))
    told = {finding.where: finding.sentence for finding in caught.value.findings}
    assert told[f"{kind}_y"] == f"{kind} {kind}_y {sentence}"


@pytest.mark.parametrize("name", ["w", "r", "b"])
def test_computed_weights_are_refused(name: str, tmp_path: Path) -> None:
    net, outputs = recurrent("RNN")
    (weight,) = [item for item in net.weights if item.name == name]
    net.weights.remove(weight)
    net.input(name, tuple(weight.dims))
    with pytest.raises(UnsupportedError) as caught:
        load(net.save(tmp_path, *outputs))
    sentences = [finding.sentence for finding in caught.value.findings]
    said = {"w": "weights W", "r": "weights R", "b": "a bias"}[name]
    assert f"RNN RNN_y must have constant {said}." in sentences


def test_a_state_is_fed_as_the_network_returns_it(tmp_path: Path) -> None:
    """A state [2, 1, C] has no batch axis in front; scripts and sessions take it as it is."""
    net = Net()
    net.input("x", (1, 16))
    net.input("state", (2, 1, 16))
    first = net.weight("first", np.array([0], np.int64))
    h, c = (
        net.node("Gather", ["state", net.weight(f"at{at}", np.int64(at))], f"part{at}")
        for at in range(2)
    )
    new = net.node("Relu", [net.node("Add", ["x", h], "sum")], "new")
    both = [net.node("Unsqueeze", [name, first], f"{name}_apart") for name in (new, c)]
    net.node("Concat", both, "next", axis=0)
    frames = np.random.default_rng(3).normal(0, 1, (6, 1, 16)).astype(np.float32)
    start = np.zeros((2, 1, 16), np.float32)

    def infer(executor: Any) -> None:
        state = start
        for x in frames:
            _, state = executor.forward(x, state)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = net.save(tmp_path, "new", "next")
        made = knightlite.quantize(path, infer=infer, iteration=6, bit_width=16)
        stateful = knightlite.Session(knightlite.compile(made))
    state, wanted = start, np.zeros((1, 16), np.float32)
    for x in frames:
        new_state, state = stateful.run(None, {"x": x, "state": state})
        wanted = np.maximum(x + wanted, 0)
        assert state.shape == start.shape
        assert np.abs(new_state - wanted).max() < 0.01
