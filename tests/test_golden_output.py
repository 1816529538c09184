"""What ``inspect`` and ``profile`` print of a program assembled by hand, to the character."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from assembled import RCCN, RDMA, TINY, WDMA, load, program, small_matrix, store, tensor
from conftest import Golden
from knightlite.cli.program import run
from knightlite.container import Program, encode_program, paired
from knightlite.isa import Space

CHIP = replace(TINY, ddr_burst_bytes=64, dma_setup_cycles=100)


def assembled() -> Program:
    """Three layers: one reads, one multiplies, one writes and is idle for most of its time."""
    code = [
        load(Space.WSPM, 0, 64),
        load(Space.MSPM, 64, 64),
        load(Space.FSPM, 2048, 131072 // 64, rows=64, ddr_row_stride=2048, signal=RCCN),
        small_matrix(layer=1, wait=RDMA, signal=WDMA, x_height=1000, y_height=1000),
        store(1024, 65536, 1600, layer=2, wait=RCCN),
    ]
    x = tensor("x", "u8", (8, 1, 4), 2048)
    y = tensor("y", "s8", (4, 1, 4), 65536, scale=0.25, ready=4)
    made = program(
        code, bytes(128), [x], [y], [x, y], ("in", "block/conv", "out"), CHIP, 1 << 18,
        fspm_peak=(4096, 3456, 16), res_version="1.5", model_sha256="ab" * 32,
    )  # fmt: skip
    layers = tuple(replace(layer, macs=128_000) for at, layer in enumerate(made.meta.layers))
    return paired(replace(made, meta=replace(made.meta, layers=layers, chip="tiny.toml")))


@pytest.mark.parametrize(
    "arguments",
    [
        "inspect n_r.cfg",
        "inspect n_r.weight",
        "profile",
        "profile -mbw 1.5 -bu 0.5 --set clock_hz=250000000",
    ],
)
def test_output(
    arguments: str,
    tmp_path: Path,
    golden: Golden,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, data in zip(("n_r.cfg", "n_r.weight"), encode_program(assembled()), strict=True):
        Path(name).write_bytes(data)
    words = arguments.split()
    if words[0] == "profile":
        words += ["-cfg", "n_r.cfg", "-w", "n_r.weight", "-s", "out"]
    assert run(words) == 0
    name = arguments.replace(" ", "_")
    golden.text(f"output/{name}.txt", capsys.readouterr().out)
