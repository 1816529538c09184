"""General layers: what the host computes in the middle of a network, exact at every level."""

from __future__ import annotations

import json
import subprocess
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

import knightlite
from compilers import SANITIZED, compile_c, needs_compiler, runtime_objects
from conformance_checks import assert_alike, build
from knightlite.api.deployment import deploy
from knightlite.api.models import QuantizedModel
from knightlite.api.models.binary import open_binary
from knightlite.api.models.general import general_layers
from knightlite.cli.program import run as run_program
from knightlite.container import Constant, GeneralLayer, HostOperator, Program, paired
from knightlite.emit import golden_model
from knightlite.errors import (
    FormatError,
    KnightliteError,
    MachineError,
    UnsupportedError,
    UsageError,
)
from knightlite.frontend import load, load_quantized
from knightlite.frontend.general import canonical_shape, in_trips, traffic
from knightlite.frontend.interpreter import Conversion
from knightlite.inference import golden_session
from knightlite.ir import Graph
from knightlite.isa import Store, disassemble
from knightlite.isa import assemble as assembled
from knightlite.native import NativeMachine
from knightlite.options.deploy import DeployOptions
from knightlite.profiler import profile, profile_text
from knightlite.profiler.writers import profile_json
from knightlite.schedule import explained
from knightlite.sim import Machine
from made_once import MadeOnce
from onnx_nets import Net, operators

Array = NDArray[Any]
INT = np.int64
SHAPE = (1, 8, 9, 8)  # of what most general layers read
CHIPS = ("TX5368AV200", "TX5112CV201", "TX5336AV200")


def head(net: Net) -> str:
    net.conv(net.input("x", (1, 3, 9, 8)), "c1", (8, 3, 3, 3), pads=[1] * 4)
    return net.node("Relu", ["c1"], "r")


def several(net: Net, op: str, inputs: list[str], outputs: list[str], **attributes: Any) -> None:
    name = f"{op}_{outputs[0]}"
    net.nodes.append(onnx.helper.make_node(op, inputs, outputs, name=name, **attributes))


def body(net: Net, value: str, channels: int = 8) -> str:
    net.conv(value, "c2", (8, channels, 3, 3), pads=[1] * 4)
    return net.node("GlobalAveragePool", ["c2"], "y")


def placed(net: Net) -> tuple[str, ...]:
    """One operator; the input of the chip is its own."""
    return (body(net, net.placed(head(net), SHAPE, "g")),)


def sampled(net: Net) -> tuple[str, ...]:
    """Two operands, one computed and transposed for it, which goes to the host with it."""
    net.conv(head(net), "offsets", (2, 8, 3, 3), pads=[1] * 4)
    net.node("Transpose", [net.node("Tanh", ["offsets"], "places")], "grid", perm=[0, 2, 3, 1])
    return (body(net, net.node("GridSample", ["r", "grid"], "g")),)


def mixed(net: Net) -> tuple[str, ...]:
    operands = [head(net), net.random("m", (8, 8)), net.random("l", (8,))]
    return (body(net, net.node("Einsum", operands, "g", equation="nchw,cd,d->ndhw")),)


def chosen(net: Net) -> tuple[str, ...]:
    """Whole numbers between operators never reach the chip; two results do, in one trip."""
    several(net, "TopK", [head(net), net.weight("k", np.array([8], INT))], ["best", "places"],
            axis=3)  # fmt: skip
    net.node("GatherElements", ["r", "places"], "same", axis=3)
    return (body(net, net.node("Add", ["same", "best"], "sum")),)


def told(net: Net) -> tuple[str, ...]:
    """Whole numbers at the end of the network as well."""
    several(net, "TopK", [head(net), net.weight("k", np.array([5], INT))], ["best", "places"],
            axis=3)  # fmt: skip
    return (body(net, "best"), "places")


def masked(net: Net) -> tuple[str, ...]:
    """Truth values between operators."""
    net.node("Greater", [head(net), net.weight("limit", np.float32(0.4))], "large")
    net.node("Where", ["large", "r", net.weight("low", np.float32(-1))], "where")
    return (body(net, net.node("Hardmax", ["where"], "g", axis=1)),)


def twice(net: Net) -> tuple[str, ...]:
    """Two trips, with work of the chip between and beside."""
    one = net.placed(head(net), SHAPE, "one")
    net.conv(one, "c", (8, 8, 3, 3), pads=[1] * 4)
    two = net.placed("c", SHAPE, "two")
    return (body(net, net.node("Add", [two, "r"], "sum")),)


def beside(net: Net) -> tuple[str, ...]:
    """Two branches in one trip, joined without an instruction but for copies."""
    one = net.placed(head(net), SHAPE, "one")
    net.conv("r", "c", (8, 8, 3, 3), pads=[1] * 4)
    two = net.placed("c", SHAPE, "two")
    return (body(net, net.node("Concat", [one, two, "r"], "all", axis=1), 24),)


def at_once(net: Net) -> tuple[str, ...]:
    """The host begins; its result is also the network's."""
    net.input("x", (1, 8, 9, 8))
    return (body(net, net.placed("x", SHAPE, "g", 3)), "g")


def of_five_axes(net: Net) -> tuple[str, ...]:
    """Matrices of matrices: what the chip refuses in rank and kind."""
    net.node("MatMul", [head(net), net.node("Transpose", ["r"], "t", perm=[0, 1, 3, 2])], "square")
    net.node("Det", ["square"], "one")
    net.node("Unsqueeze", ["one", net.weight("axes", np.array([2, 3], INT))], "each")
    return (body(net, net.node("Mul", ["r", "each"], "scaled")),)


def of_windows(net: Net) -> tuple[str, ...]:
    """What lies on the chip in another order than the host knows it in."""
    net.node("Reshape", [head(net), net.weight("apart", np.array([8, 3, 3, 8], INT))], "parts")
    net.node("Transpose", ["parts"], "t", perm=[1, 0, 2, 3])
    net.node("Mul", ["t", net.random("gains", (3, 1, 3, 1), 0.5, 1.5)], "scaled")
    net.node("Hardmax", ["scaled"], "g", axis=3)
    net.node("Add", ["g", "scaled"], "sum")
    net.node("Transpose", ["sum"], "u", perm=[1, 0, 2, 3])
    net.node("Reshape", ["u", net.weight("whole", np.array([1, 8, 9, 8], INT))], "back")
    return (body(net, "back"),)


NETWORKS: dict[Callable[[Net], tuple[str, ...]], tuple[int, tuple[str, ...]]] = {
    placed: (1, ("ScatterElements",)),
    sampled: (1, ("GridSample",)),
    mixed: (1, ("Einsum",)),
    chosen: (1, ("TopK", "TopK, GatherElements")),
    told: (1, ("TopK",)),
    masked: (1, ("Hardmax",)),
    twice: (2, ("ScatterElements", "ScatterElements")),
    beside: (1, ("ScatterElements", "ScatterElements")),
    at_once: (1, ("ScatterElements",)),
    of_windows: (1, ("Transpose, Hardmax",)),
}


def saved(make: Callable[[Net], tuple[str, ...]], folder: Path, opset: int = 17) -> Path:
    net, place = Net(opset), folder / make.__name__
    place.mkdir(exist_ok=True)
    return net.save(place, *make(net))


@lru_cache(maxsize=4)
def quantized(path: Path, bits: int = 8) -> QuantizedModel:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return knightlite.quantize(
            path, general_process=True, effort="low", iteration=2, bit_width=bits
        )


def compiled(path: Path, bits: int = 8, chip: str = CHIPS[0], level: int = 1) -> Any:
    return knightlite.compile(quantized(path, bits), chip=chip, opt_group=level)


def inputs_of(program: Program, seed: int = 0) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    return {
        item.name: rng.integers(item.dtype.minimum, item.dtype.maximum + 1, item.shape).astype(
            item.dtype.numpy
        )
        for item in program.meta.inputs
    }


@pytest.mark.parametrize("make", NETWORKS, ids=lambda make: make.__name__)
def test_every_byte_is_the_golden_models(
    make: Callable[[Net], tuple[str, ...]], tmp_path: Path
) -> None:
    """All levels, 8 and 16 bits, and chips in turn."""
    path, at = saved(make, tmp_path), [*NETWORKS].index(make)
    for bits in (8, 16):
        content = quantized(path, bits).onnx
        graph = load_quantized(Path("net_quantize.onnx"), content)
        for level in range(3):
            found = build(graph, CHIPS[(at + level) % len(CHIPS)], level)
            program = found.program
            trips, kinds = NETWORKS[make]
            assert [item.op for item in program.meta.general] == list(kinds)
            assert len(program.meta.trips) == trips
            names = [item.name for item in program.meta.tensors if item not in program.meta.inputs]
            golden = golden_model(found.compiled.graph, names)
            machine, given = Machine(program, None, general_layers(program)), inputs_of(program)
            seen: dict[str, Array] = {}
            machine.run(given, seen.__setitem__)
            wanted = dict(zip(names, golden_session(golden).run(names, given), strict=True))
            assert [name for name in names if seen[name].tobytes() != wanted[name].tobytes()] == []
            if found.native is not None:
                assert_alike(found.native, given, seen)
            assert all(np.ptp(seen[item.output]) for item in program.meta.general)


def test_close_to_the_float_network(tmp_path: Path) -> None:
    """16 bits keep what the network computes; whole numbers at its end are those of values."""
    for make in (chosen, told, sampled):
        path = saved(make, tmp_path)
        session = knightlite.Session(compiled(path, 16))
        picture = np.random.default_rng(123).normal(0, 1, (1, 3, 9, 8)).astype(np.float32)
        found = session.run(None, {"x": picture})
        from knightlite.inference import session as opened

        wanted = opened(onnx.load(path)).run(None, {"x": picture})
        for have, want in zip(found, wanted, strict=True):
            assert (have.dtype, have.shape) == (want.dtype, want.shape)
            if want.dtype == np.float32:
                assert np.abs(have - want).max() < 0.01 * np.abs(want).max()
            else:
                assert (have == want).mean() > 0.95


# ------------------------------------------------------------------ what the user is told


def test_without_gp_it_is_refused_with_its_price(tmp_path: Path) -> None:
    path = saved(twice, tmp_path)
    with pytest.raises(UnsupportedError) as caught:
        load(path)
    hint = (
        "-gp runs ScatterElements in the middle of the network: 2 trips from the NPU to the host "
        "and back, 2,304 bytes a picture"
    )
    assert [str(item) for item in caught.value.findings] == [
        f"ScatterElements_{name}: ScatterElements is not supported yet. Hint: {hint}"
        for name in ("one", "two")
    ]
    graph = load(path, general=True)
    assert operators(graph) == ["Conv", "General", "Conv", "General", "Add", "Conv", "AveragePool"]
    assert traffic(graph) is not None


def test_what_ends_the_network_and_reads_its_input(tmp_path: Path) -> None:
    """The host's end gets what the chip has, and its input is there as well."""

    def both(net: Net) -> tuple[str, ...]:
        net.conv(net.input("x", (1, 3, 9, 8)), "c", (3, 3, 3, 3), pads=[1] * 4)
        net.placed("x", (1, 3, 9, 8), "sums")
        return (net.node("Hardmax", [net.node("Mul", ["sums", "c"], "product")], "y", axis=1),)

    path = saved(both, tmp_path)
    with pytest.raises(UnsupportedError) as caught:
        load(path)
    assert (
        "-gp runs ScatterElements in the middle of the network: 1 trip"
        in caught.value.findings[0].hint
    )
    graph = load(path, general=True)
    assert sorted(operators(graph)) == ["Conv", "General", "Mul"]
    assert [op.op for op in graph.host] == ["Hardmax"]
    program = open_binary(compiled(path), None).program
    assert [item.op for item in program.meta.general] == ["ScatterElements"]


def test_files_of_others_need_no_notes(tmp_path: Path) -> None:
    """What general layers are made of is found again without our metadata."""
    for make in (chosen, masked, told):
        content = quantized(saved(make, tmp_path)).onnx
        proto = onnx.load_model_from_string(content)
        kept = [item for item in proto.metadata_props if item.key != "knightlite.general"]
        assert len(kept) < len(proto.metadata_props)
        del proto.metadata_props[:]
        proto.metadata_props.extend(kept)
        ours, theirs = (
            load_quantized(Path("net.onnx"), data).nodes
            for data in (content, proto.SerializeToString())
        )
        assert ours == theirs
        assert [node.host for node in ours] == [node.host for node in theirs]


def test_what_the_host_makes_lies_for_itself(tmp_path: Path) -> None:
    """Not in a Concat, whose other parts layers write."""
    meta = program_of(beside, tmp_path).meta
    found = {item.name: item for item in meta.tensors}
    assert [found[name].column_stride for name in ("one", "two", "all")] == [8, 8, 24]


def refused(make: Callable[[Net], tuple[str, ...]], folder: Path) -> str:
    with pytest.raises(UnsupportedError) as caught:
        load(saved(make, folder), general=True)
    return str(caught.value.findings[0])


def test_what_the_host_cannot_do_either(tmp_path: Path) -> None:
    def unknown_sizes(net: Net) -> tuple[str, ...]:
        net.node("NonZero", [head(net)], "places")
        net.node("Transpose", ["places"], "turned", perm=[1, 0])
        net.node("GatherND", ["r", "turned"], "some")
        mean = net.node("ReduceMean", ["some"], "mean", keepdims=0)
        return (body(net, net.node("Add", ["r", mean], "sum")),)

    def of_another_domain(net: Net) -> tuple[str, ...]:
        net.domains.append("mine")
        several(net, "Twist", [head(net)], ["g"], domain="mine")
        net.nodes[-1].domain = "mine"
        return (net.node("GlobalAveragePool", ["g"], "y"),)

    assert refused(unknown_sizes, tmp_path) == (
        "NonZero_places: NonZero is not supported yet. Hint: the host cannot do it in the middle "
        "of the network either (-gp): the shape of turned at GatherND GatherND_some depends on the "
        "values"
    )


def test_nothing_is_left_for_the_chip(tmp_path: Path) -> None:
    def all_on_the_host(net: Net) -> tuple[str, ...]:
        net.placed(net.input("x", (1, 3, 3, 8)), (1, 3, 3, 8), "g")
        return (net.node("Einsum", ["g"], "y", equation="nccw->ncw"),)

    assert "nothing is left for the NPU" in refused(all_on_the_host, tmp_path)


@pytest.mark.parametrize(
    ("seen", "wanted"),
    [
        ((1, 5, 7, 9), (1, 5, 7, 9)),
        ((1, 5, 7), (1, 5, 1, 7)),
        ((1, 5), (1, 5, 1, 1)),
        ((5,), (1, 1, 1, 5)),
        ((), (1, 1, 1, 1)),
        ((4, 5), (1, 1, 4, 5)),
        ((4, 5, 7, 9), (1, 20, 7, 9)),
        ((1, 4, 5, 7, 9), (1, 20, 7, 9)),
    ],
)
def test_how_the_chip_holds_what_the_host_makes(
    seen: tuple[int, ...], wanted: tuple[int, ...]
) -> None:
    assert canonical_shape(seen) == wanted


def test_the_fewest_trips(tmp_path: Path) -> None:
    """Branches wait for each other, in whichever order they stand."""
    graph = load(saved(beside, tmp_path), general=True)
    nodes = list(graph.nodes)
    makers = {node.output: node for node in nodes}
    assert [node.op for node in nodes].count("General") == 2

    def order(names: Iterator[str]) -> Graph:
        return graph.with_nodes([makers[name] for name in names])

    apart = order(iter(["r", "one", "c", "two", "all", "c2", "y"]))
    found = traffic(apart)
    assert found is not None
    assert found.trips == 2
    best = in_trips(apart)
    again = traffic(best)
    assert again is not None
    assert (again.trips, again.moved_bytes) == (1, found.moved_bytes) == (1, 4 * 576)
    assert in_trips(best) == best


# ------------------------------------------------------------------ damaged files


def program_of(make: Callable[[Net], tuple[str, ...]], folder: Path, level: int = 1) -> Program:
    return open_binary(compiled(saved(make, folder), level=level), None).program


def with_layer(program: Program, **changes: Any) -> Program:
    first, *others = program.meta.general
    general = (replace(first, **changes), *others)
    return paired(replace(program, meta=replace(program.meta, general=general)))


def read_back(program: Program) -> Program:
    from knightlite.container import decode_program, encode_program

    return decode_program(*encode_program(program), "x.cfg", "x.weight")


def test_damaged_descriptions_are_refused(tmp_path: Path) -> None:
    program = program_of(placed, tmp_path)
    (layer,) = program.meta.general
    (step,) = layer.operators
    twin = {"axis2": step.constants[step.inputs[1]]}
    for changes, wanted in (
        ({"at": layer.at + 1}, r"general\[0\]\.output must be a tensor that is ready after"),
        ({"reads": ("y",)}, r"operators\[0\]\.inputs\[0\] must be what the chip or the host"),
        ({"reads": ("nobody",)}, r"general\[0\]\.reads must be tensors that lie in DDR"),
        ({"output": "r"}, r"general\[0\]\.output must be no input, and not what it reads"),
        ({"output": "c2"}, r"general\[0\]\.output must be"),
        ({"operators": (replace(step, outputs=("h",)),)}, "must be what one of its operators mak"),
        ({"operators": (replace(step, inputs=("r", "axis2")),)}, r"inputs\[1\] must be what"),
        ({"operators": ()}, r"operators must be a list that is not empty"),
    ):
        with pytest.raises(FormatError, match=wanted):
            read_back(with_layer(program, **changes))
    more = replace(step, constants={**step.constants, **twin})
    assert read_back(with_layer(program, operators=(more,)))


def test_changed_operators_are_refused_or_seen(tmp_path: Path) -> None:
    """One that runs others, none of ONNX's, too large; another one makes other bytes."""
    program = program_of(placed, tmp_path)
    (layer,) = program.meta.general
    (step,) = layer.operators
    given = inputs_of(program)
    right = Machine(program, None, general_layers(program)).run(given)["y"]

    def run(*operators: HostOperator) -> Array:
        changed = read_back(with_layer(program, operators=operators))
        return Machine(changed, None, general_layers(changed)).run(given)["y"]

    with pytest.raises(FormatError, match=r"must have no operator that runs others, such as Loop"):
        run(replace(step, op="Loop"))
    with pytest.raises(FormatError, match=r"must have operators of ONNX 21, not Frobnicate"):
        run(replace(step, op="Frobnicate"))
    with pytest.raises(
        FormatError, match=r"as compile writes them \(Node\(g\) with schema.*has input"
    ):
        run(replace(step, op="Exp", attributes={}))
    with pytest.raises(FormatError, match=r"as compile writes them \(Unrecognized attribute: gain"):
        run(replace(step, attributes={"gain": 1}))
    large = Constant("int64", (4,), np.array([1 << 20, 8, 9, 8], "<i8").tobytes())
    with pytest.raises(FormatError, match=r"must compute at most 268435456 numbers"):
        run(
            HostOperator("a", "Expand", ("r", "s"), ("e",), {}, {"s": large}),
            HostOperator("b", "ReduceMax", ("e",), ("g",), {"axes": (0,), "keepdims": 1}, {}),
        )
    with pytest.raises(KnightliteError, match=r"g"):
        run(HostOperator("a", "ReduceMax", ("r",), ("g",), {"keepdims": 1}, {}))
    other = replace(step, op="Sin", inputs=("r",), attributes={}, constants={})
    assert not np.array_equal(run(other), right)
    assert np.array_equal(run(step), right)


def test_a_token_is_missed_at_a_border(tmp_path: Path) -> None:
    """Behind it the chip waits for what came before; else the host would be too late."""
    program = program_of(twice, tmp_path, level=0)
    code = disassemble(program.code)
    for layer in program.meta.general:
        last = max(at for at in range(layer.at) if isinstance(code[at], Store))
        changed = list(code)
        receivers = changed[last].signal
        assert receivers
        changed[last] = replace(changed[last], signal=0)
        for at in range(layer.at, len(changed)):
            item = changed[at]
            if receivers >> item.ENGINE & 1 and item.wait >> code[last].ENGINE & 1:
                changed[at] = replace(item, wait=item.wait & ~(1 << code[last].ENGINE))
                receivers &= ~(1 << item.ENGINE)
        assert not receivers
        broken = paired(replace(program, code=assembled(changed)))
        with pytest.raises(MachineError, match=r"may start while the host computes"):
            Machine(broken).check()


def test_overwritten_operands_are_seen(tmp_path: Path) -> None:
    """What the host reads is whole when it reads it, and it overwrites no result."""
    program = program_of(told, tmp_path, level=0)
    (layer,) = program.meta.general
    late = with_layer(program, at=0)
    with pytest.raises(FormatError, match=r"ready after instruction -1"):
        read_back(late)
    meta = program.meta
    tensors = tuple(
        replace(item, first=-1, ready=-1) if item.name == layer.output else item
        for item in meta.tensors
    )
    early = paired(replace(late, meta=replace(late.meta, tensors=tensors)))
    with pytest.raises(FormatError, match=r"reads tensor r, which is not wholly written"):
        Machine(read_back(early)).check()


# ------------------------------------------------------------------ the rest of the house


def test_numpy_does_what_is_exact(tmp_path: Path) -> None:
    program = program_of(placed, tmp_path)
    with pytest.raises(
        FormatError, match=r"^general layer g has ScatterElements, which only ONNX Runtime"
    ):
        Machine(program).run(inputs_of(program))


def test_what_is_no_number_becomes_zero() -> None:
    from assembled import tensor
    from knightlite.sim.host import requantized

    layer = GeneralLayer("g", 0, (), ("x",), "g")
    entry = tensor("g", "s8", (1, 1, 3), 0, scale=0.5)
    values = np.array([[[[np.nan, np.inf, -0.75]]]], np.float32)
    assert requantized(values, layer, entry).tolist() == [[[[0, 127, -2]]]]
    with pytest.raises(FormatError, match=r"must make float32 of shape \(1, 1, 1, 3\), not"):
        requantized(values.astype(np.float64), layer, entry)


@pytest.mark.parametrize("allowed", [True, False])
def test_a_file_that_is_wrong_behind_a_turned_value_is_refused(
    allowed: bool, tmp_path: Path
) -> None:
    """What the host would have to read is made nowhere; it is told as of any other network."""

    def wrong(net: Net) -> tuple[str, ...]:
        x = head(net)
        turned = net.node("Einsum", [x, x], "g", equation="nchw,nchk->nhwk")
        return (body(net, turned),)  # a convolution of 8 channels; there are 9

    with pytest.raises(UnsupportedError) as caught:
        load(saved(wrong, tmp_path), general=allowed)
    assert [item.sentence for item in caught.value.findings] == [
        "Conv Conv_c2 must have 9 input channels, not 1 groups of 8."
    ]


@needs_compiler
def test_the_runtime_in_c_refuses_by_name_what_it_does_not_know(tmp_path: Path) -> None:
    program = program_of(sampled, tmp_path)
    with pytest.raises(UnsupportedError, match=r"general layer g has GridSample \(g\), which the"):
        NativeMachine(program)


def test_what_it_costs_stands_apart(tmp_path: Path) -> None:
    found = profile(program_of(twice, tmp_path))
    assert json.loads(profile_json(found))["trips"] == [
        {"layers": ["one"], "op": "ScatterElements", "before": "c", "read_bytes": 576,
         "write_bytes": 576},
        {"layers": ["two"], "op": "ScatterElements", "before": "sum", "read_bytes": 576,
         "write_bytes": 576},
    ]  # fmt: skip
    assert (
        "Trip 1 to the host: ScatterElements before c, 576 bytes read, 576 written"
        in profile_text(found)
    )


def test_what_explain_says(tmp_path: Path) -> None:
    graph = load_quantized(Path("net.onnx"), quantized(saved(twice, tmp_path)).onnx)
    for level in (0, 1):
        plan = build(graph, CHIPS[0], level).compiled.plan
        found = {item.nodes[-1]: item.sentence for item in explained(plan)}
        assert found["one"] == (
            "on the host, before c, on trip 1 of 2: ScatterElements of r, 1,152 bytes moved."
        )
        assert found["two"].startswith(
            "on the host, before sum, on trip 2 of 2: ScatterElements of c"
        )


def test_engine_native_and_deploy_say_what_they_do_not_know(tmp_path: Path) -> None:
    found = compiled(saved(mixed, tmp_path))
    files = found.save(tmp_path)
    sentence = (
        "net has general layers (Einsum), which the runtime in C computes only by handlers of the "
        "program that it is part of."
    )
    with pytest.raises(UsageError) as caught:
        knightlite.Session(found, engine="native")
    assert caught.value.sentence == sentence
    options = DeployOptions(
        cfg=files["cfg"], weight=files["weight"], out_dir=tmp_path / "c", directory=tmp_path
    )
    with pytest.raises(UsageError) as caught:
        deploy(options)
    assert caught.value.sentence == sentence


@needs_compiler
def test_engine_native_and_deploy(made_once: MadeOnce, tmp_path: Path) -> None:
    """The same outputs; a project of its own makes the known answer, its arena to the byte."""
    found = compiled(saved(masked, tmp_path))
    files = found.save(tmp_path)
    picture = {"x": np.random.default_rng(3).normal(0, 1, (1, 3, 9, 8)).astype(np.float32)}
    (wanted,) = knightlite.Session(found).run(None, picture)
    (native,) = knightlite.Session(found, engine="native").run(None, picture)
    assert native.tobytes() == wanted.tobytes()
    made = deploy(DeployOptions(
        cfg=files["cfg"], weight=files["weight"], out_dir=tmp_path / "c", directory=tmp_path
    ))  # fmt: skip
    project = tmp_path / "c"
    own = [project / "src" / name for name in ("main.c", "files_hosted.c")]
    own += [path for path in project.rglob("network*.c") if "runtime" not in path.parts]
    include = [f"-I{path.parent}" for path in project.rglob("network.h")]
    compile_c(
        tmp_path / "run", [*runtime_objects(made_once, *SANITIZED), *own], *SANITIZED, *include
    )
    done = subprocess.run(
        [tmp_path / "run", "-c"], cwd=project, capture_output=True, text=True, timeout=60,
        env={"ASAN_OPTIONS": "detect_leaks=0"},  # it ends with its memory
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "known answer: 16 bytes, 0 differ\n"), done.stderr
    assert made.needs.is_exact


def test_the_chain_by_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the command line: a picture checked, layers compared, a quantized file read again."""
    path = saved(chosen, tmp_path)
    monkeypatch.chdir(tmp_path)
    assert run_program(["check", "-m", str(path), "-gp"]) == 0
    quant = ["quant", "onnx", "-m", str(path), "-gp", "-i", "2", "--effort", "low", "-du"]
    for command in (quant, ["compile"], ["sim", "-i", "inputs/x.bin", "--check"], ["compare"]):
        assert run_program(command) == 0, command
    names = json.loads(Path("dump/dump.json").read_text())
    assert any("General" in str(item) for item in (names if isinstance(names, list) else [names]))
    proto = onnx.load("net_quantize.onnx")
    noted = {item.key: item.value for item in proto.metadata_props}
    assert json.loads(noted["knightlite.general"]) == ["best", "same"]
    for text in ('{"a": 1}', "[1]", "no"):
        next(i for i in proto.metadata_props if i.key == "knightlite.general").value = text
        onnx.save(proto, "other_quantize.onnx")
        with pytest.raises(UnsupportedError, match=r"must list names of values in JSON"):
            load_quantized(Path("other_quantize.onnx"))


# ------------------------------------------------------------------ user-defined layers

TWIST = """
import numpy as np
from onnx_quantize_tool.common.register import general_layer, onnx_infer_func

@general_layer.register(1153, "Twist")
def twist(op, x, z, *, angle):
    turned = op.Sin(x * np.float32(angle)) + z
    largest = op.ReduceMax(turned, axes=[1], keepdims=1)
    return turned - largest, largest

@onnx_infer_func.register("infer")
def infer(executor):
    rng = np.random.default_rng(1)
    for _ in range(executor.iteration):
        executor.forward(rng.normal(0, 1, (1, 3, 9, 8)).astype(np.float32))
    return 1
"""


def twisted(net: Net) -> tuple[str, ...]:
    """Of a domain of its own, with two operands and two results."""
    net.domains.append("mine")
    net.conv(head(net), "z", (8, 8, 3, 3), pads=[1] * 4)
    several(net, "Twist", ["r", "z"], ["g", "most"], angle=0.7, domain="mine")
    net.node("Mul", ["g", "most"], "product")
    return (body(net, "product"),)


def test_user_defined_layers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a script, from the float network to the handler's number in the compiled one."""
    path, script = saved(twisted, tmp_path), tmp_path / "twist.py"
    script.write_text(TWIST)
    monkeypatch.chdir(tmp_path)
    told = ["-m", str(path), "-uds", str(script)]
    assert run_program(["check", *told]) == 1
    assert run_program(["check", *told, "-gp"]) == 0
    quant = ["quant", "onnx", *told, "-if", "infer", "-gp", "-i", "2", "--effort", "low"]
    for command in (quant, ["compile"], ["sim", "-i", "inputs/x.bin", "--check"]):
        assert run_program(command) == 0, command
    program = open_binary(Path("net_quantize_r.cfg"), Path("net_quantize_r.weight")).program
    found = {item.output: item for item in program.meta.general}
    assert {name: item.layer_type for name, item in found.items()} == {"g": 1153, "most": 1153}
    assert [set(item.reads) for item in found.values()] == [{"r", "z"}, {"r", "z"}]
    (trip,) = profile(program).trips
    assert set(trip.layers) == {"g", "most"}
    assert trip.read_bytes == 576 + 576  # r and z, which both layers read
    assert trip.write_bytes == 576 + 72


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ("1153", "1151", "layer_type of Twist must be from 1152 to 2147483647, not 1151"),
        ("1153", '"a"', "layer_type of Twist must be a whole number, not 'a'"),
        (
            "turned - largest, largest",
            "turned",
            r"must return 2 value\(s\) that its operators make",
        ),
        ("turned - largest, largest", "x, z", "must compute what it returns at Twist_g"),
        ("op.Sin", "op.Sinus", "AttributeError: Sinus is no operator of ONNX 21"),
        ("*, angle", "*, factor", "TypeError"),
    ],
)
def test_user_defined_layers_that_are_none(old: str, new: str, wanted: str, tmp_path: Path) -> None:
    path, script = saved(twisted, tmp_path), tmp_path / "twist.py"
    script.write_text(TWIST.replace(old, new))
    with pytest.raises(KnightliteError, match=wanted):
        load(path, general=True, conversion=Conversion(script=script))


def test_a_user_defined_layer_needs_gp(tmp_path: Path) -> None:
    path, script = saved(twisted, tmp_path), tmp_path / "twist.py"
    script.write_text(TWIST)
    with pytest.raises(UnsupportedError) as caught:
        load(path, conversion=Conversion(script=script))
    assert sorted(str(item) for item in caught.value.findings) == [
        f"{name}: {name} is made by user-defined layer 1153, which runs on the host. Hint: -gp "
        "runs it there"
        for name in ("g", "most")
    ]
    assert (
        operators(load(path, general=True, conversion=Conversion(script=script))).count("General")
        == 2
    )
