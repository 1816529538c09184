"""Loops of open count: one step, its states kept, is byte for byte the network of all steps."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import helper

import knightlite
from conformance_checks import ORIGIN
from knightlite import chip_files
from knightlite.api.models.binary import find_binary
from knightlite.api.simulation.golden import golden_reference
from knightlite.compiler import compile_graph
from knightlite.container import Program, encode_program, paired
from knightlite.emit import golden_model
from knightlite.errors import KnightliteError, UnsupportedError
from knightlite.frontend import Conversion, load
from knightlite.inference import session
from knightlite.ir import Graph, Node, State
from knightlite.ir.states import with_states
from knightlite.native import NativeMachine
from knightlite.native.library import Network
from knightlite.onnx_models import write_float
from knightlite.profiler import profile
from knightlite.quantize.data_free.workloads import RandomData
from knightlite.quantize.pipeline import quantize_graph
from knightlite.quantize.sequences import Sequences, of_sequences
from knightlite.quantize.settings import Settings
from knightlite.sim import Machine
from onnx_nets import Net
from program_faults import unread_files
from test_recurrent import recurrent, spotter

Array = NDArray[Any]
KINDS = ("LSTM", "GRU", "RNN")
OPEN = Conversion(open_loops=True)
CHIPS = (("TX5368AV200", 0), ("TX5368AV200", 1), ("TX5112CV201", 1), ("TX5336AV200", 1))


def opened(net: Net, folder: Path, *outputs: str) -> Graph:
    return load(net.save(folder, *outputs), conversion=OPEN)


@cache
def quantized(kind: str, bits: int, start: str = "") -> Graph:
    """A layer of five steps, quantized as one; its states are tied."""
    import tempfile

    net, outputs = recurrent(kind, start=start)
    with tempfile.TemporaryDirectory() as folder:
        graph = opened(net, Path(folder), outputs[0])
    work = Sequences(RandomData((of_sequences(graph).tensors["x"],), iteration=4), graph)
    made = quantize_graph(graph, work, Settings(bit_width=bits)).graph
    return with_states(replace(made, states=()), graph.states, "a test")


def unrolled(graph: Graph, steps: int) -> Graph:
    """The quantized network of so many steps: each reads what the one before has made."""
    made: list[Node] = []
    tensors = {name: graph.tensors[name] for name in graph.constants}
    inputs, outputs, read = [], [], {state.input: state.output for state in graph.states}
    for step in range(steps):
        names = {name: f"{name}@{step}" for name in graph.tensors if name not in graph.constants}
        if step:
            names |= {name: f"{output}@{step - 1}" for name, output in read.items()}
        inputs += [names[name] for name in graph.inputs if not step or name not in read]
        outputs += [names[name] for name in graph.seen_chip_outputs]
        tensors |= {new: replace(graph.tensors[old], name=new) for old, new in names.items()}
        made += [
            replace(
                node, name=f"{node.name}@{step}",
                inputs=tuple(names.get(name, name) for name in node.inputs),
                outputs=tuple(names[name] for name in node.outputs),
            )
            for node in graph.nodes
        ]  # fmt: skip
    return replace(
        graph, nodes=tuple(made), tensors=tensors, inputs=tuple(inputs), outputs=tuple(outputs),
        host=(), states=(),
    )  # fmt: skip


def program(graph: Graph, chip: str = "TX5368AV200", level: int = 1) -> Program:
    return compile_graph(graph, chip_files.find(chip), chip, ORIGIN, level=level).program


def frames_of(graph: Graph, count: int, seed: int = 0) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    found = {}
    for name in graph.fed_inputs:
        tensor = graph.tensors[name]
        shape = (count, *tensor.shape[1:])
        made = rng.integers(tensor.dtype.minimum, tensor.dtype.maximum + 1, shape)
        found[name] = made.astype(tensor.dtype.numpy)
    return found


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("kind", KINDS)
@given(steps=st.integers(1, 6), seed=st.integers(0, 99), where=st.sampled_from(CHIPS),
       start=st.sampled_from(["", "constant"]))  # fmt: skip
@settings(max_examples=3, deadline=None)
def test_as_unrolled(
    kind: str, bits: int, steps: int, seed: int, where: tuple[str, int], start: str
) -> None:
    """T frames of the program with states give the bytes of the program of T steps."""
    graph = quantized(kind, bits, start)
    if bits == 16 and 16 not in chip_files.find(where[0]).chip.bit_widths:
        where = CHIPS[0]
    one, all_steps = program(graph, *where), unrolled(graph, steps)
    frames = frames_of(graph, steps, seed)
    feeds = {
        f"{name}@{step}": values[step : step + 1]
        for name, values in frames.items()
        for step in range(steps)
    }
    feeds |= {f"{item.input.name}@0": item.first for item in one.meta.states}
    whole = Machine(program(all_steps, *where)).run(feeds)
    machine, native = Machine(one), NativeMachine(one)
    found = machine.run(frames)
    each = [
        native.run({name: values[step : step + 1] for name, values in frames.items()})
        for step in range(steps)
    ]
    for name in graph.seen_chip_outputs:
        wanted = np.concatenate([whole[f"{name}@{step}"] for step in range(steps)])
        assert np.array_equal(found[name], wanted)
        assert np.array_equal(np.concatenate([outputs[name] for outputs in each]), wanted)


def test_states_stay_and_begin_again() -> None:
    """A frame goes on where the last one ended, in parts, observed or not; reset begins anew."""
    graph = quantized("LSTM", 8, "constant")
    made = program(graph)
    assert [len(item.initial) for item in made.meta.states] == [4, 4]
    assert [entry.name for entry in made.meta.inputs] == ["x"]
    frames = frames_of(graph, 6)
    (name,) = graph.seen_chip_outputs
    whole = Machine(made).run(frames)[name]
    assert len({values.tobytes() for values in whole}) == 6
    for machine in (Machine(made), NativeMachine(made)):
        machine.check()
        for turn in range(2):
            for at in range(6):
                seen: dict[str, Array] = {}
                observe = seen.__setitem__ if at in (2, 3, 5) else None
                found = machine.run({"x": frames["x"][at : at + 1]}, observe)
                assert np.array_equal(found[name], whole[at : at + 1]), (turn, at)
                if observe is not None:
                    assert np.array_equal(seen[name], found[name])
            machine.reset()


def test_frames_wait_for_states() -> None:
    """Back to back, none begins before the one before has ended."""
    graph = quantized("GRU", 8)
    kept, fed = (
        {item.frames: item.cycles for item in profile(made).batches}
        for made in (program(graph, level=0), program(replace(graph, states=()), level=0))
    )
    assert [kept[count] for count in (4, 8)] == [4 * kept[1], 8 * kept[1]]
    assert fed[8] < 8 * fed[1]


def test_golden_model_has_states_of_its_own(tmp_path: Path) -> None:
    """``sim --check`` over several frames; a state that the machine loses is seen."""
    net, outputs = recurrent("GRU")
    data = np.random.default_rng(0).normal(0, 1, (4, 5, 1, 6)).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = knightlite.quantize(net.save(tmp_path, outputs[0]), data=data, unfixloop=True)
    paths = knightlite.compile(made, unfixloop=True).save(tmp_path)
    binary = find_binary(tmp_path, paths["cfg"], None)
    machine = Machine(binary.program)
    frames = np.random.default_rng(1).integers(-128, 128, (6, 1, 1, 6)).astype(np.int8)
    golden = golden_reference(binary, None)
    for at, frame in enumerate(frames.reshape(6, 1, *binary.program.meta.inputs[0].shape[1:])):
        if at == 4:
            machine.reset()  # the bug to be found
        tensors: dict[str, Array] = {}
        outputs_of_chip = machine.run({"x": frame}, tensors.__setitem__)
        compared, differing, _ = golden.compare({"x": frame}, tensors, outputs_of_chip)
        assert compared > 0
        assert (differing > 0) == (at >= 4)


# ------------------------------------------------------------------ the network of one step


@pytest.mark.parametrize("kind", KINDS)
def test_a_stack_of_layers(kind: str, tmp_path: Path) -> None:
    """Two layers, a Reshape that names 25 steps, and the last state's words."""
    graph = opened(spotter(kind, hidden=5), tmp_path, "y")
    assert len(graph.states) == (4 if kind == "LSTM" else 2)
    assert graph.sequences == {"x": ((1, 25, 40), 1)}
    x = np.random.default_rng(0).normal(0, 1, (1, 25, 40)).astype(np.float32)
    wanted = session(spotter(kind, hidden=5).model("y")).run(None, {"x": x})[0]
    one = session(write_float(graph), 1)
    kept = {item.input: np.zeros(graph.tensors[item.input].shape, np.float32)
            for item in graph.states}  # fmt: skip
    for step in range(25):
        frame = {"x": x[:, step : step + 1].reshape(graph.tensors["x"].shape)}
        found = dict(zip(graph.outputs, one.run(list(graph.outputs), frame | kept), strict=True))
        kept = {item.input: found[item.output] for item in graph.states}
    np.testing.assert_allclose(found["y"].reshape(wanted.shape), wanted, atol=1e-5)


def test_sequences_become_steps() -> None:
    """What calibrates: every step with the states of the float network; outputs come back whole."""
    import tempfile

    net, outputs = recurrent("GRU", start="constant")
    with tempfile.TemporaryDirectory() as folder:
        graph = opened(net, Path(folder), outputs[0])
    x = np.random.default_rng(0).normal(0, 1, (2, 5, 1, 6)).astype(np.float32)
    seen: list[tuple[Array, ...]] = []
    network = session(write_float(graph), 1)

    class Two:
        description = "two sequences"

        def run(self, forward: Any) -> float | None:
            (y,) = forward((x,))
            for one, made in zip(x, y, strict=True):
                wanted = session(net.model(outputs[0])).run(None, {"x": one})[0]
                np.testing.assert_allclose(made, wanted, atol=1e-5)
            return 1.0

    def forward(arrays: tuple[Array, ...]) -> list[Array]:
        seen.append(arrays)
        rows = [
            network.run(list(graph.outputs), {
                name: values[at : at + 1] for name, values in zip(graph.inputs, arrays, strict=True)
            })
            for at in range(len(arrays[0]))
        ]  # fmt: skip
        return [np.concatenate(values) for values in zip(*rows, strict=True)]

    work = Sequences(Two(), graph)
    assert work.run(forward) == 1.0
    assert work.description == "the steps of two sequences"
    ((steps, states),) = seen
    assert len(steps) == len(states) == 10
    assert np.array_equal(steps.reshape(2, 5, 1, 6), x)
    start = np.asarray(graph.states[0].initial, np.float32)
    assert np.array_equal(states[::5].reshape(2, 4), np.stack([start] * 2))


# ------------------------------------------------------------------ what cannot be open


def loop(tail: str, steps: int = 6) -> Net:
    """A layer between a product of each step and something behind it."""
    net = Net(14)
    x = net.node("MatMul", [net.input("x", (steps, 1, 5)), net.random("p", (5, 7))], "px")
    names = [x, net.random("w", (1, 12, 7)), net.random("r", (1, 12, 4))]
    net.nodes.append(helper.make_node("GRU", names, ["h"], name="gru", hidden_size=4))
    y = net.node("Squeeze", ["h", net.weight("one", np.array([1], np.int64))], "y")
    if tail == "mean":
        net.node("ReduceMean", [y], "out", axes=[0], keepdims=1)
    elif tail == "conv":
        turned = net.node("Transpose", [y], "turned", perm=[1, 2, 0])
        net.conv(turned, "out", (3, 4, 3), pads=[1, 1])
    elif tail == "flat":
        flat = net.node("Reshape", [y, net.weight("to", np.array([1, 4 * steps]))], "flat")
        net.node("MatMul", [flat, net.random("d", (4 * steps, 3))], "out")
    elif tail == "last":
        net.node("Gather", [y, net.weight("at", np.array(-1))], "out", axis=0)
    elif tail == "joined":
        net.node("Reshape", [y, net.weight("to", np.array([1, 4 * steps]))], "out")
    return net


MIXED = "mixes the 6 steps of net: one by one they give something else, so its loops cannot be open"
FIXED = "compile it for sequences of one length: leave --unfixloop out"


@pytest.mark.parametrize(
    ("tail", "who"),
    [("mean", "ReduceMean ReduceMean_out"), ("conv", "Conv Conv_out"),
     ("flat", "Reshape Reshape_flat"), ("joined", "Reshape Reshape_out")],
)  # fmt: skip
def test_what_mixes_steps(tail: str, who: str, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError) as error:
        opened(loop(tail), tmp_path, "out")
    assert error.value.sentence == f"{who} {MIXED}."
    assert error.value.hint == f"{FIXED}, or end the network in front of it with -on"


def test_the_last_step_and_an_earlier_end(tmp_path: Path) -> None:
    """The last step of a sequence is the step that is there; a cut leaves out what mixes."""
    assert opened(loop("last"), tmp_path, "out").sequences.keys() == {"x"}
    path = loop("mean").save(tmp_path, "out")
    graph = load(path, conversion=OPEN, outputs=("y",))
    assert graph.seen_outputs == ("y",)
    assert graph.sequences.keys() == {"x", "y"}


def test_other_refusals(tmp_path: Path) -> None:
    def refused(net: Net, *outputs: str) -> str:
        with pytest.raises(KnightliteError) as error:
            opened(net, tmp_path, *outputs)
        return f"{error.value.sentence} {error.value.hint}"

    for direction in ("reverse", "bidirectional"):
        assert refused(recurrent("LSTM", direction=direction)[0], "y") == (
            f"LSTM LSTM_y must be forward for its loop to be open, not {direction}: it begins at "
            f"the end, which has not come yet. {FIXED}"
        )
    assert refused(recurrent("GRU", start="input")[0], "y") == (
        "GRU GRU_y must begin at constants for its loop to be open, not at the values of h0. "
        "export it without initial states; or a model of one step, whose states are inputs and "
        "outputs, without --unfixloop"
    )
    assert refused(recurrent("RNN", steps=1)[0], "y") == (
        "the loops of net must all have one number of steps, at least 2, to be calibrated on, not "
        "1. -is gives the input's shape, with the steps of your sequences"
    )
    net = Net()
    net.conv(net.input("x", (1, 3, 4, 4)), "y", (2, 3, 1, 1))
    assert refused(net, "y") == (
        "net has no LSTM, GRU or RNN: there is no loop to open. leave --unfixloop out"
    )


def test_compile_wants_a_step(tmp_path: Path) -> None:
    """``compile --unfixloop`` of what was quantized whole; and one step without it is plain."""
    net, outputs = recurrent("RNN")
    path = net.save(tmp_path, outputs[0])
    data = np.random.default_rng(0).normal(0, 1, (4, 5, 1, 6)).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = knightlite.quantize(path, data=data)
        step = knightlite.quantize(path, data=data, unfixloop=True)
    with pytest.raises(KnightliteError) as error:
        knightlite.compile(whole, unfixloop=True)
    assert error.value.sentence == (
        "net_quantize.onnx was quantized as a whole, not as one step of its loops, which "
        "unfixloop=True needs."
    )
    assert error.value.hint == (
        "`knightlite.quantize(unfixloop=True)`, with the options that it had, quantizes it so"
    )
    refused: tuple[tuple[dict[str, Any], str], ...] = (
        ({"chip": "TX5105C"}, "has no unfixloop=True: its loops have a fixed count."),
        ({"end_layer_name": "y/step/2"}, "is for a whole network"),
    )
    for more, said in refused:
        with pytest.raises(KnightliteError, match=said):
            knightlite.compile(step, unfixloop=True, **more)
    plain = knightlite.Session(knightlite.compile(step))
    assert [item.name for item in plain.get_inputs()] == ["x", "RNN_y/h"]
    kept = knightlite.Session(knightlite.compile(step, unfixloop=True))
    assert [item.name for item in kept.get_inputs()] == ["x"]
    x = data[0].reshape(5, 1, 1, 6)
    once = kept.run(None, {"x": x})[0]
    again = kept.run(None, {"x": x})[0]
    kept.reset()
    assert not np.array_equal(once, again)
    assert np.array_equal(once, kept.run(None, {"x": x})[0])


def test_states_are_alike(tmp_path: Path) -> None:
    """A note of a state that the model does not have, or two ends of different scales."""
    graph = quantized("RNN", 8)
    plain = replace(graph, states=())
    with pytest.raises(KnightliteError) as error:
        with_states(plain, [State("x", "RNN_y/h/nxt")], "m.onnx")
    assert error.value.sentence == (
        "m.onnx notes a state x that becomes RNN_y/h/nxt, but has no such input and output."
    )
    for count in (1, 3, 5):
        with pytest.raises(KnightliteError, match="notes a state RNN_y/h that becomes"):
            with_states(plain, [State("RNN_y/h", "RNN_y/h/next", (1.0,) * count)], "m.onnx")
    tied = with_states(plain, [State("RNN_y/h", "RNN_y/h/next", (0.0, 99.0, -99.0, 0.0))], "m")
    assert tied.states[0].initial == (0, 127, -128, 0)
    with pytest.raises(KnightliteError) as error:
        with_states(plain, [State("x", "RNN_y/h/next")], "m.onnx")
    assert "it and its state RNN_y/h/next must be alike" in str(error.value)
    assert golden_model(plain).graph.name == "net_golden"


# ------------------------------------------------------------------ files


def damaged(program: Program, what: str, value: Any) -> Program:
    """The program whose first state says something else."""
    first, *others = program.meta.states
    if what in ("input", "output"):
        value = next(entry for entry in program.meta.tensors if entry.name == value)
    change: dict[str, Any] = {what: value}
    states = (replace(first, **change), *others)
    return paired(replace(program, meta=replace(program.meta, states=states)))


@pytest.mark.parametrize(
    ("what", "value", "said", "in_c"),
    [
        ("input", "x", "output.shape", "state x must be like its output LSTM_y/h/next"),
        ("output", "LSTM_y/c/next", "output.type", "state LSTM_y/h must be like its output"),
        ("output", "LSTM_y/h", "states[0].input.address", "lies inside tensor LSTM_y/h."),
        ("input", "LSTM_y/h/next", "states[0].input.ready must be -1", "must be -1, not"),
        ("initial", (1, 2), "must be a list of 4", "begins with 2 bytes, not with 4"),
        ("initial", (1, 2, 3, 400), "400", None),
    ],
)  # fmt: skip
def test_a_state_that_cannot_be(what: str, value: Any, said: str, in_c: str | None) -> None:
    """Python, which reads the description, and C, which reads the plan, both refuse it."""
    made = program(quantized("LSTM", 8))
    changed = damaged(made, what, value) if in_c else None
    with pytest.raises(KnightliteError) as python:
        encode_program(changed or damaged(made, what, value))
    assert said in python.value.sentence
    if changed is not None and in_c is not None:
        with pytest.raises(KnightliteError) as native:
            Network(*unread_files(changed))
        assert in_c in native.value.sentence
