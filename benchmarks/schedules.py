"""Schedules beside a lower bound that knows none, and beside Vela's: cycles, DDR bytes, seconds.

    python benchmarks/schedules.py [--models densenet121,...] [--chips BENCH-1024,...]
        [--levels 0,1] [--json FILE] [--markdown FILE]

The networks are those of ``schedule_networks.py``, written layer by layer as they were published,
with seeded weights; one noise picture calibrates. Neither decides times. They are made once and
kept in ``build/schedules``.

A row is a network on a chip at a level: ``cycles`` are the simulator's; ``lower_bound_cycles`` no
schedule on that chip can be faster than (``knightlite/schedule/bound.py``): a ratio below 1 is an
error. ``ddr_bytes`` are those of the bursts that the DDR moves, ``onchip_peak_bytes`` the most of
FSPM taken, ``onchip_bound_bytes`` what keeping every tensor whole on the chip would take.
``compile_seconds`` are CPU seconds, user and system, of ``knightlite compile`` from start to end.

``vela_`` columns stand where the chip is BENCH-1024: Vela 5.2.0 in the same run, for
Ethos-U85-1024 with the memories of ``vela.ini``, the same network in TFLite (``vela_peer.py``).
docs/schedules.md says what one machine allows and the other does not.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy is imported; as the CLI does

import numpy as np
import onnx
import vela_peer
from network_onnx import OnnxWriter
from schedule_networks import BY_NAME, NETWORKS, build
from schedule_table import Row, line, markdown, totals

import knightlite
from knightlite import chip_files
from knightlite.allocate import buffers, place_tensors
from knightlite.container import decode_program
from knightlite.frontend import load_quantized
from knightlite.isa import Transfer, disassemble
from knightlite.passes import PIPELINE, Explanations, run_passes
from knightlite.schedule import Bound, live_bytes, lower_bound, overwritten
from knightlite.sim import simulate_time

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "schedules"
PEER_CHIP = "BENCH-1024"
CHIPS = (PEER_CHIP, "TX5368AV200", "TX5112CV201")
SEED = 0


def find_or_make(name: str) -> Path:
    """The quantized network, kept in FOLDER."""
    path = FOLDER / f"{name}_quantize.onnx"
    if not path.is_file():
        print(f"{name}: making it ...", file=sys.stderr)
        FOLDER.mkdir(parents=True, exist_ok=True)
        writer = OnnxWriter()
        build(BY_NAME[name], writer)
        model = FOLDER / f"{name}.onnx"
        onnx.save(writer.model(name), model)
        noise = np.random.default_rng(SEED).normal(0, 1, writer.input_shape).astype(np.float32)
        made = knightlite.quantize(model, data=noise, effort="low", equalization=False)
        path.write_bytes(made.onnx)
    return path


def measure(name: str, chip: str, level: int, vela: vela_peer.VelaRow | None) -> Row:
    """Compile in a process of its own and simulate what it wrote."""
    path, facts = find_or_make(name), chip_files.find(chip).chip
    with tempfile.TemporaryDirectory() as scratch:
        command = [
            sys.executable, "-m", "knightlite", "--chip", chip, "compile", "--onnx", str(path),
            "--outpath", scratch, "--opt-group", str(level),
        ]  # fmt: skip
        kept = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        seconds = vela_peer.cpu_seconds(command, kept)
        (cfg,), (weight,) = (tuple(Path(scratch).glob(f"*_r.{end}")) for end in ("cfg", "weight"))
        program = decode_program(cfg.read_bytes(), weight.read_bytes(), cfg.name, weight.name)
    code = disassemble(program.code)
    cycles = simulate_time(code, facts).total_cycles
    bound, live = bounds(name, chip)
    peak_macs = cycles * facts.peak_macs_per_cycle
    return Row(
        model=name,
        chip=chip,
        opt_group=level,
        cycles=cycles,
        lower_bound_cycles=bound.cycles,
        mac_utilization=round(sum(layer.macs for layer in program.meta.layers) / peak_macs, 4),
        ddr_bytes=sum(item.ddr_bytes(facts) for item in code if isinstance(item, Transfer)),
        onchip_peak_bytes=max(program.meta.fspm_peak),
        onchip_bound_bytes=live,
        compile_seconds=seconds,
        vela_cycles=None if vela is None else vela.cycles,
        vela_ddr_bytes=None if vela is None else vela.ddr_bytes,
        vela_seconds=None if vela is None else vela.seconds,
    )


@lru_cache(maxsize=1)
def bounds(name: str, chip: str) -> tuple[Bound, int]:
    """Of a network on a chip: cycles, and bytes where every tensor stays on the chip whole."""
    facts = chip_files.find(chip).chip
    graph = run_passes(load_quantized(find_or_make(name)), facts, PIPELINE, Explanations())
    placed, places = place_tensors(graph)
    blocks = buffers(placed, places, facts)
    return lower_bound(graph, facts), live_bytes(blocks, overwritten(placed, places, blocks))


def measured(models: Sequence[str], chips: Sequence[str], levels: Sequence[int]) -> Iterator[Row]:
    """All rows, one network after the other; Vela once for each."""
    for name in models:
        find_or_make(name)
        vela = None
        if PEER_CHIP in chips:
            with tempfile.TemporaryDirectory() as scratch:
                vela = vela_peer.measure(name, FOLDER, Path(scratch))
        for chip in chips:
            for level in levels:
                yield measure(name, chip, level, vela if chip == PEER_CHIP else None)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [network.name for network in NETWORKS]
    parser.add_argument("--models", default=",".join(names), help="default: %(default)s")
    parser.add_argument("--chips", default=",".join(CHIPS), help="default: %(default)s")
    parser.add_argument("--levels", default="0,1,2", help="default: %(default)s")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    parser.add_argument("--markdown", type=Path, help="write tables of them to this file")
    options = parser.parse_args()
    models, chips = options.models.split(","), options.chips.split(",")
    levels = [int(level) for level in options.levels.split(",")]
    if unknown := sorted(set(models) - set(names)):
        print(f"Unknown models: {', '.join(unknown)}; there are {', '.join(names)}.",
              file=sys.stderr)  # fmt: skip
        return 2
    compileall.compile_dir(str(ROOT / "knightlite"), quiet=1)  # as pip did with Vela
    if PEER_CHIP in chips:
        vela_peer.make_environment()
    rows: list[Row] = []
    for row in measured(models, chips, levels):
        rows.append(row)
        print(line(row), flush=True)
        if options.json is not None:
            options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    for sentence in totals(rows):
        print(sentence)
    if options.markdown is not None:
        options.markdown.write_text(markdown(rows), encoding="utf-8")
    broken = [row for row in rows if row.ratio < 1]
    for row in broken:
        print(
            f"Error: {row.model} on {row.chip} at {row.opt_group} takes {row.cycles} cycles, fewer "
            f"than the lower bound of {row.lower_bound_cycles}.",
            file=sys.stderr,
        )
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
