"""The networks of the schedules' benchmark are the published ones; a row below its bound fails."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnx
import pytest

from knightlite.api.checking import check
from knightlite.options.inspection import CheckOptions

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
MODULES = (
    "network_onnx", "network_writer", "schedule_networks", "schedule_table", "schedules",
    "vela_peer", "witness", "witness_networks",
)  # fmt: skip


@pytest.fixture(autouse=True)
def modules(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield
    for name in MODULES:
        sys.modules.pop(name, None)


def test_all_have_what_was_published() -> None:
    from network_writer import NetworkWriter
    from schedule_networks import NETWORKS, build

    assert len(NETWORKS) == 12
    for network in NETWORKS:
        build(network, NetworkWriter())


def test_the_witnesses_have_what_was_published() -> None:
    from network_writer import NetworkWriter
    from schedule_networks import build
    from witness_networks import NETWORKS

    assert len(NETWORKS) == 10
    for network in NETWORKS:
        build(network, NetworkWriter())


def test_a_second_figure_is_found_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times made of 20 % of the DDR's rate and 35 us a layer give these, and no error."""
    import witness

    layers = {name: 10 + 7 * at for at, name in enumerate(witness.PUBLISHED_MS)}
    codes: Any = {name: [SimpleNamespace(layer=at) for at in range(count)] * 3 for name, count in
             layers.items()}  # fmt: skip
    bytes_of = {name: 1 + at % 4 for at, name in enumerate(layers)}
    published = {name: bytes_of[name] * 5 + 0.035 * count for name, count in layers.items()}
    monkeypatch.setattr(witness, "PUBLISHED_MS", published)
    monkeypatch.setattr(witness.Clock, "ms", lambda _, name, share: bytes_of[name] * 100 / share)
    lines = {line.split(" | ")[1]: line for line in witness.second_lines(codes, 1)}
    assert list(lines) == ["nothing", "layer", "instruction", "frame"]
    assert lines["layer"] == "| 1 | layer | 20 | 35 | 0.0 | 0.0 |"
    assert not lines["nothing"].endswith("| 0.0 |")


def test_another_network_is_seen() -> None:
    from dataclasses import replace

    from network_writer import NetworkWriter
    from schedule_networks import BY_NAME, build

    wrong = replace(BY_NAME["resnet18"], parameters=11_689_511)
    with pytest.raises(AssertionError, match=r"resnet18 has \(1814073344, 11689512\) MACs"):
        build(wrong, NetworkWriter())


# between them: all activations, Slices, Concats, Adds, pools, resizing, a matrix
@pytest.mark.parametrize(
    "name", ["mobilenet_v2", "yolox_nano", "yolov6n", "deeplab_mobilenet_v2", "retinaface_mobile"]
)
def test_written_as_onnx(name: str, tmp_path: Path) -> None:
    """A valid model, whose multiply-accumulates are counted alike by `check`."""
    from network_onnx import OnnxWriter
    from schedule_networks import BY_NAME, build
    from witness_networks import NETWORKS

    known = {**{network.name: network for network in NETWORKS}, **BY_NAME}
    writer = OnnxWriter()
    build(known[name], writer)
    model = writer.model(name)
    onnx.checker.check_model(model, full_check=True)
    path = tmp_path / f"{name}.onnx"
    onnx.save(model, path)
    found = check(CheckOptions(model=path, chip="BENCH-1024"))
    assert not found.findings
    assert found.macs == writer.macs
    assert writer.input_shape[:2] == (1, 3)


def row(**given: Any) -> Any:
    from schedule_table import Row

    values: dict[str, Any] = {
        "model": "net", "chip": "BENCH-1024", "opt_group": 1, "cycles": 1200,
        "lower_bound_cycles": 1000, "mac_utilization": 0.5, "ddr_bytes": 3_000_000,
        "onchip_peak_bytes": 2048, "onchip_bound_bytes": 4096, "compile_seconds": 1.5,
        "vela_cycles": 1500, "vela_ddr_bytes": 2_000_000, "vela_seconds": 1.0,
    }  # fmt: skip
    return Row(**{**values, **given})


@pytest.mark.parametrize(("cycles", "code"), [(1000, 0), (999, 1)])
def test_a_row_below_its_bound_fails(
    cycles: int, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import schedules

    monkeypatch.setattr(schedules, "measured", lambda *asked: iter([row(), row(cycles=cycles)]))
    monkeypatch.setattr(sys, "argv", ["schedules.py", "--models", "resnet18", "--chips", "TX5105C"])
    assert schedules.main() == code
    out, err = capsys.readouterr()
    assert "1.200 x bound" in out
    assert "Level 1: 3.0 CPU seconds for 2 networks, Vela 2.0: 1.50 times as many." in out
    below = "net on BENCH-1024 at 1 takes 999 cycles, fewer than the lower bound of 1000."
    assert (below in err) == bool(code)


def test_an_unknown_model_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import schedules

    monkeypatch.setattr(sys, "argv", ["schedules.py", "--models", "resnet18,alexnet"])
    assert schedules.main() == 2
    assert capsys.readouterr().err.startswith("Unknown models: alexnet; there are densenet121, ")


def test_the_table() -> None:
    from schedule_table import markdown

    bare = row(chip="TX5105C", vela_cycles=None, vela_ddr_bytes=None, vela_seconds=None)
    ours, other = markdown([row(cycles=1_234_567), bare]).split("\n\nTX5105C:\n\n")
    assert ours.splitlines()[-1] == (
        "| net | 1 | 1,235 | 1 | 1234.567 | 50.0 | 3.0 | 2 | 4 | 1.5 | 2 | 2.0 | 1.0 |"
    )
    assert other.splitlines()[0].endswith("| compile, s |")
