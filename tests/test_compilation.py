"""The figures that ``compile`` gives beside its files, number by number."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from conformance_checks import ORIGIN
from integer_nets import resnet
from knightlite.api.compilation import compile_bytes
from knightlite.chip_files import find
from knightlite.compiler import compile_graph
from knightlite.container import Origin, Tile
from knightlite.emit import program
from knightlite.errors import CapacityError
from knightlite.onnx_models import write_qdq
from knightlite.options.compile import CompileOptions
from quantized_nets import QuantizedNet


def test_figures() -> None:
    """Of the row of resnet in golden/figures.txt: Adds run behind convolutions, eight of them."""
    model = write_qdq(resnet(), {}).SerializeToString()
    options = CompileOptions(chip="TX5112CV201", opt_group=0)
    made = compile_bytes(model, Path("some/resnet_quantize.onnx"), options)
    assert made.name == "resnet_quantize"
    assert set(made.contents) == {
        "cfg", "weight", "tsmodel", "golden", "known_input", "known_output", "map",
    }  # fmt: skip
    known = np.random.default_rng(1).integers(-128, 128, (1, 3, 128, 128)).astype(np.int8)
    assert made.contents["known_input"] == known.tobytes()
    assert made.figures == {
        "name": "resnet",
        "chip": "TX5112CV201",
        "schedule_level": 0,
        "layers": 23,
        "macs": 157_682_176,
        "cfg_bytes": len(made.cfg),
        "weight_bytes": len(made.weight),
        "ddr_bytes": 3_014_144,
        "constants_bytes": 2_817_488,
        "regions": [],
        "once": None,
        "ddr_read_bytes": 3_621_680,
        "ddr_write_bytes": 438_538,
        "ddr_burst_bytes": 4_391_744,
        "fspm_peak_bytes": 30_720,
        "estimated_cycles": 1_447_790,
        "copies": 0,
        "chains": 8,
        "host": [],
        "trips": [],
        "cfg_sha256": hashlib.sha256(made.cfg).hexdigest(),
        "weight_sha256": hashlib.sha256(made.weight).hexdigest(),
        **made.frame.json,
    }
    assert made.frame.latency_ms == made.certificate.cycles * 1e3 / 500e6
    assert made.frame.certainty is not None
    assert made.frame.certainty.extrapolated == ("TX5112CV201 itself was never measured",)
    assert [label for label, _ in made.frame.lines] == [
        "time of a frame", "frames/s", "with the host's 0.5 ms",
    ]  # fmt: skip
    assert {node for node, _, said in made.explanations if "runs behind convolution" in said} == {
        f"sum{place}" for place in (4, 7, 11, 14, 18, 21, 25, 28)
    }


def test_tiles_are_described_as_they_are_cut() -> None:
    """Output rows, channels out and in, the outer loop and the buffers, each in its place."""
    net = QuantizedNet()
    graph = net.build(net.conv(net.input("x", 24, 9, 7), "y", 40, (3, 3)))
    family = find("TX5368AV200")
    made = compile_graph(graph, family, "TX5368AV200", Origin("1", "0" * 64))
    (layer,), (plan,) = made.program.meta.layers, made.plan.layers
    assert layer.tile == Tile(
        rows=plan.tiling.rows, output_channels=40, input_channels=24, order="rows",
        buffers=plan.tiling.buffers,
    )  # fmt: skip
    assert layer.macs == 40 * 24 * 9 * 7 * 5
    assert layer.estimated_cycles == plan.estimated_cycles


def test_cycles_that_a_cfg_cannot_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """The largest that it can is one; every layer that takes more is told."""
    net = QuantizedNet()
    a = net.conv(net.input("x", 8, 9, 9), "a", 8, (3, 3), pads=(1, 1, 1, 1))
    graph = net.build(net.conv(net.max_pool(a, "p", kernel=(3, 3), strides=(3, 3)), "b", 4))
    family = find("TX5368AV200")
    layers = compile_graph(graph, family, "TX5368AV200", ORIGIN).plan.layers
    cycles = [layer.estimated_cycles for layer in layers]
    assert len(set(cycles)) == 3
    monkeypatch.setattr(program, "LARGEST_WHOLE", max(cycles))
    compile_graph(graph, family, "TX5368AV200", ORIGIN)
    monkeypatch.setattr(program, "LARGEST_WHOLE", sorted(cycles)[1] - 1)
    with pytest.raises(CapacityError) as error:
        compile_graph(graph, family, "TX5368AV200", ORIGIN)
    told = [
        f"{layer.node.name}: it takes {layer.estimated_cycles} cycles, a .cfg counts up to "
        f"{sorted(cycles)[1] - 1}."
        for layer in layers
        if layer.estimated_cycles > min(cycles)
    ]
    assert [f"{item.where}: {item.sentence}" for item in error.value.findings] == told
    assert error.value.sentence == (
        f"2 layer(s) take more cycles on this chip than can be counted: {told[0]}"
    )
