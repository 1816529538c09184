"""Small networks of every family through the real chain, on every chip, byte for byte.

ONNX file, front-end, quantizer, QDQ file, reader, compiler, bytes, machine; against the golden
model in ONNX Runtime on several pictures, the QDQ model layer by layer, and the float model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest

import conftest
from conformance_checks import (
    CHIPS,
    MAIN,
    TIGHT,
    Built,
    Opinions,
    Pictures,
    above_floor,
    build,
    judge,
    save_and_load,
    single,
)
from knightlite import dtypes
from knightlite.chip_files import find
from knightlite.errors import UnsupportedError
from knightlite.frontend import load_quantized
from knightlite.ir import Graph
from knightlite.onnx_models import write_qdq
from knightlite.ops import BY_NAME as OPERATORS
from knightlite.profiler import profile
from knightlite.quantize.pipeline import quantize_graph
from knightlite.quantize.settings import DEFAULT_SETTINGS, Settings
from knightlite.schedule import LEVELS
from networks import SMALL, Network
from seeded_pictures import pictures

BY_NAME = {network.name: network for network in SMALL}
CALIBRATION, TEST = 48, 3  # from 16 pictures on steps can be judged
FEW = 12  # 16-bit ranges need no more
(NARROW,) = (name for name in CHIPS if 16 not in find(name).chip.bit_widths)


@dataclass(frozen=True)
class Prepared:
    """A network behind the quantizer: as loaded in float, and as read back from its QDQ file."""

    network: Network
    floating: Graph
    quantized: Graph
    sha256: str

    @cached_property
    def opinions(self) -> Opinions:
        return Opinions(self.quantized, self.floating)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Prepared]:
    """Made when first asked for."""
    folder = tmp_path_factory.mktemp("networks")

    class Made(dict[str, Prepared]):
        def __missing__(self, name: str) -> Prepared:
            self[name] = prepare(BY_NAME[name], folder)
            return self[name]

    return Made()


def prepare(
    network: Network,
    folder: Path,
    choices: Settings = DEFAULT_SETTINGS,
    count: int = CALIBRATION,
) -> Prepared:
    batch = pictures(count, network.shape, seed=1)
    floating = save_and_load(network.model(batch), folder / f"{network.name}.onnx")
    result = quantize_graph(floating, Pictures(batch), choices, threads=2)
    data = write_qdq(result.graph, {}).SerializeToString(deterministic=True)
    path = folder / f"{network.name}_quantize.onnx"
    path.write_bytes(data)
    return Prepared(network, floating, load_quantized(path), hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize("chip_name", CHIPS)
@pytest.mark.parametrize("name", BY_NAME)
def test_network(
    name: str, chip_name: str, prepared: Mapping[str, Prepared], golden: conftest.Golden
) -> None:
    item = prepared[name]
    # every network and every chip at both levels of the schedule, in turn
    level = ([*BY_NAME].index(name) + [*CHIPS].index(chip_name)) % len(LEVELS)
    built = build(item.quantized, chip_name, level)
    batch = pictures(TEST, item.network.shape, seed=2)
    verdict = judge(built, item.quantized, item.floating, single("x", batch), item.opinions)
    verdict.check()
    above_floor(golden, "small_networks_sqnr_db.json", name, verdict.sqnr_db)
    check_time(built)


@pytest.mark.parametrize("name", BY_NAME)
def test_network_at_16_bits(name: str, tmp_path: Path, golden: conftest.Golden) -> None:
    """Features and weights of 16 bits throughout: as exact, and far nearer to the float model."""
    item = prepare(BY_NAME[name], tmp_path, Settings(bit_width=16), FEW)
    weighted = [node for node in item.quantized.nodes if OPERATORS[node.op].kernel is not None]
    types = {item.quantized.tensors[part].dtype for node in weighted for part in node.inputs[:2]}
    assert types == {dtypes.S16}
    built = build(item.quantized, MAIN)
    verdict = judge(
        built, item.quantized, item.floating, single("x", pictures(TEST, item.network.shape, 2))
    )
    verdict.check()
    above_floor(golden, "small_networks_16_bit_sqnr_db.json", name, verdict.sqnr_db)
    check_time(built)
    with pytest.raises(UnsupportedError) as caught:
        build(item.quantized, NARROW)
    told = {finding.where for finding in caught.value.findings}
    assert {node.name for node in weighted} <= told


def check_time(built: Built) -> None:
    """Layers one after the other take what they take alone; above level 0 they overlap."""
    told = profile(built.program)
    estimate = sum(layer.estimated_cycles for layer in built.compiled.plan.layers)
    if built.compiled.plan.level.in_turn:
        assert told.cycles <= estimate <= 1.01 * told.cycles
    else:
        assert 0.8 * told.cycles <= estimate <= 1.3 * told.cycles
    assert told.macs == sum(layer.macs for layer in built.program.meta.layers)


@pytest.mark.parametrize("name", BY_NAME)
def test_network_is_what_it_is_called(name: str, prepared: Mapping[str, Prepared]) -> None:
    """Operators after compiling, so that a network that lost what it tests is noticed."""
    item = prepared[name]
    built = build(item.quantized, MAIN, level=1)
    layers = [layer.op for layer in built.program.meta.layers]
    nodes = [node.op for node in built.compiled.graph.nodes]
    strides = {node.attributes.get("strides") for node in item.quantized.nodes}
    if name.startswith("densenet"):
        assert "Affine+Conv" in layers  # a BatchNorm that only a prologue can do
        assert nodes.count("Concat") >= 4
        assert "Copy" not in layers
    if name == "resnet18":
        assert layers.count("Conv+Add") == 8
    if name == "squeezenet":
        pads = [n.attributes["pads"] for n in item.quantized.nodes if n.op == "MaxPool"]
        assert (0, 0, 1, 1) in pads  # ceil_mode
    if name.startswith("mobilenet"):
        assert any(n.attributes.get("group", 1) != 1 for n in item.quantized.nodes)
        assert any(n.attributes.get("clamp") == (0.0, 6.0) for n in item.quantized.nodes)
        assert any(t.per_channel for t in item.quantized.tensors.values() if len(t.shape) == 4)
    if name == "mobilenet_v2":
        assert "Conv+Add" in layers
    if name == "pyramid":
        assert {"ResizeNearest", "ResizeLinear", "Concat"} <= set(nodes)
    if name == "resnext":
        groups = [n.attributes["group"] for n in item.quantized.nodes if n.op == "Conv"]
        assert groups.count(8) == 4
    if name == "unet":
        upsamplings = [n for n in item.quantized.nodes if n.op == "ConvTranspose"]
        assert [n.attributes["group"] for n in upsamplings] == [1, 1, 8]
        assert all("clamp" in n.attributes for n in upsamplings)  # BatchNorm and ReLU are part
        assert nodes.count("Concat") == 2
    if name == "text_direction":
        functions = {n.attributes.get("function") for n in item.quantized.nodes}
        assert {"HardSwish", "HardSigmoid"} <= functions
        assert "Mul" in layers
        assert (2, 1) in strides
        assert [op.op for op in item.quantized.host] == ["Reshape", "Softmax"]


def test_same_input_same_bytes(prepared: Mapping[str, Prepared], tmp_path: Path) -> None:
    """Building, quantizing and compiling again gives the same file and the same program."""
    name = "mobilenet_v1"
    again = prepare(BY_NAME[name], tmp_path)
    assert again.sha256 == prepared[name].sha256
    first, second = (build(item.quantized, TIGHT) for item in (again, prepared[name]))
    assert first.program == second.program


def test_pictures_do_not_influence_each_other(prepared: Mapping[str, Prepared]) -> None:
    """The machine's memories hold the last picture's bytes: they must not show."""
    item = prepared["densenet_torch"]
    built, fresh = (build(item.quantized, TIGHT) for _ in range(2))
    rng = np.random.default_rng(0)
    tensor = item.quantized.tensors["x"]
    low, high = tensor.dtype.minimum, tensor.dtype.maximum + 1
    first, second = (
        rng.integers(low, high, tensor.shape).astype(tensor.dtype.numpy) for _ in range(2)
    )
    built.machine.run({"x": first})
    (output,) = item.quantized.chip_outputs
    after = built.machine.run({"x": second})[output]
    np.testing.assert_array_equal(after, fresh.machine.run({"x": second})[output])
    assert (built.machine.run({"x": first})[output] != after).any()
