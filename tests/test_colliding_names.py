"""Tensors whose names are alike as files, or too long for one: nothing is lost by a name."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import knightlite
from knightlite.api.comparison import compare
from knightlite.api.inspection import simulated_results
from knightlite.api.simulation import simulate
from knightlite.cli.program import run
from knightlite.file_names import file_names
from knightlite.frontend import load_quantized
from knightlite.options.compare import CompareOptions
from knightlite.options.simulate import SimulateOptions
from knightlite.workspace import open_workspace
from onnx_nets import Net

Array = NDArray[Any]
LONG = "backbone/stage/block/" * 20  # 420 characters
INPUTS = ("in/0", "in_0")
OUTPUTS = ("head/0", "head_0", f"{LONG}a", f"{LONG}b")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Quantized, every layer dumped, and compiled."""
    path = tmp_path_factory.mktemp("alike")
    net = Net()
    a, b = (net.conv(net.input(name, (1, 3, 8, 8)), f"{name}/c", (4, 3, 3, 3)) for name in INPUTS)
    x = net.node("Relu", [net.node("Add", [a, b], "mid/sum")], "mid_sum")
    for name in OUTPUTS:
        net.conv(x, name, (3, 4, 3, 3), bias=True)
    model = net.save(path, *OUTPUTS)
    rng = np.random.default_rng(0)
    data = {name: rng.normal(0, 1, (4, 3, 8, 8)).astype(np.float32) for name in INPUTS}
    made = knightlite.quantize(model, data=data, save_dir=path)
    knightlite.compile(made, save_dir=path)
    return path


def test_the_sample_of_each_input(folder: Path) -> None:
    names = file_names(INPUTS)
    one, other = (np.fromfile(folder / "inputs" / f"{names[name]}.bin", "<f4") for name in INPUTS)
    assert len(list((folder / "inputs").iterdir())) == 2
    assert one.shape == other.shape == (192,)
    assert not np.array_equal(one, other)
    rows = compare(
        CompareOptions(quant_dir=folder, cfg=folder / "net_quantize_r.cfg",
                       weight=folder / "net_quantize_r.weight", level=6)
    )  # fmt: skip
    assert {row.name for row in rows if row.difference is not None} >= set(OUTPUTS)
    exact = [row for row in rows if (row.wanted, row.found) == ("golden", "chip")]
    assert all(row.difference is None or row.difference.mre == 0 for row in exact)


def test_dumps(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every tensor has a folder; read back, each has its own values."""
    data = tmp_path / "data"
    data.mkdir()
    rng = np.random.default_rng(1)
    inputs = [{"input_name": name, "quant_data_format": "Numpy", "data_dir": str(data / str(k))}
              for k, name in enumerate(INPUTS)]  # fmt: skip
    for k in range(2):
        (data / str(k)).mkdir()
        np.save(data / str(k) / "0.npy", rng.normal(0, 1, (1, 3, 8, 8)).astype(np.float32))
    monkeypatch.chdir(tmp_path)
    quant = {"model": str(folder / "net.onnx"), "input-configs": inputs, "save-dir": "out"}
    Path("c.json").write_text(json.dumps({"quant": {**quant, "dump": True}}), encoding="utf-8")
    assert run(["quant", "-rc", "c.json"]) == 0
    assert run(["compile", "--onnx", "out/net_quantize.onnx", "--outpath", "out"]) == 0
    graph = load_quantized(Path("out/net_quantize.onnx"))
    layers = [*graph.inputs, *(node.output for node in graph.nodes)]
    assert len(list(Path("out/dump/quant").iterdir())) == len(layers)
    rows = compare(
        CompareOptions(quant_dir=Path("out"), cfg=Path("out/net_quantize_r.cfg"),
                       weight=Path("out/net_quantize_r.weight"), level=5)
    )  # fmt: skip
    dumped = [row for row in rows if {row.wanted, row.found} == {"quantized", "golden"}]
    assert {row.name for row in dumped} >= set(OUTPUTS)
    for row in dumped:
        assert row.difference is not None
        assert row.difference.mre is None or row.difference.mre < 1  # percent


def test_results(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What ``sim`` leaves: every tensor's own values, and the manifest says which file has them."""
    monkeypatch.chdir(tmp_path)
    stems = file_names(INPUTS)
    inputs = ":".join(str(folder / "inputs" / f"{stems[name]}.bin") for name in INPUTS)
    compiled: dict[str, Any] = {
        "cfg": folder / "net_quantize_r.cfg",
        "weight": folder / "net_quantize_r.weight",
    }
    found = simulate(
        SimulateOptions(input=inputs, **compiled, out_dir=Path("r"), debug="all", check=True)
    )
    assert found.differing_bytes == 0
    (run_of_sim,) = open_workspace(tmp_path).records
    assert run_of_sim.tensors == found.tensors
    machine = knightlite.Session(*compiled.values())
    feed = {name: np.fromfile(folder / "inputs" / f"{stem}.bin", "<f4").reshape(1, 3, 8, 8)
            for name, stem in stems.items()}  # fmt: skip
    wanted = machine.run_integers(feed)
    seen = set()
    for name, tensor in found.tensors.items():
        if name.endswith(".npy") and "result-debug-" not in name:
            assert np.array_equal(np.load(found.files[name]), wanted[tensor])
            seen.add(tensor)
    assert seen == set(wanted) >= set(OUTPUTS)
    assert {"head/0", "head_0", "mid_sum"} <= {item for item in found.tensors.values()}
    options = CompareOptions(quant_dir=folder, **compiled, level=5)
    same = compare(replace(options, sim_dirs=(Path("r"),)))
    assert same == compare(options)
    assert {row.name for row in same} >= set(OUTPUTS)
    shown = simulated_results(Path("r"))
    assert {item.tensor for item in shown} == set(found.tensors.values())
    assert [item.tensor for item in shown] == [found.tensors[item.path.name] for item in shown]
