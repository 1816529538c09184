"""DenseNet and DPN: sizes beside the published table, predicted latency beside published GPU times.

    make .venv-paddle/.zoo
    python benchmarks/densenet_dpn.py [--models DPN68,...] [--json FILE]

The networks are those of the conformance suite, ``build/zoo/<name>/model.pdmodel`` (or below
``--networks DIR``). What is missing there is made first by ``tests/conformance/paddle_zoo.py`` with
an interpreter that has Paddle and PaddleClas: seeded weights, so no accuracy is measured here. Two
seeded noise pictures calibrate; that decides ranges, not time. Milliseconds are what ``profile``
predicts for batches of 1, 4 and 8 pictures back to back, per chip family, with its error bar
(docs/clock.md); DDR bytes are those of one picture, asked for and in bursts.

The published columns are quoted from PaddleClas, docs/en/models/DPN_DenseNet_en.md: accuracy on
ImageNet, FLOPs as two per multiply-accumulate, milliseconds per batch of 1, 4 and 8 on a V100
(FP32) and a T4 (FP16). Its DenseNets are ours within 2 %: 0.4 % of FLOPs; up to 1.2 % of
parameters, of which we count BatchNorm's statistics too. Its DPNs are not what PaddleClas's own
code makes, which is counted here: ours are 15 % (FLOPs) and 18 % (parameters) above the table for
DPN68, 4 to 6 % for the others.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy is imported; as the CLI does

import numpy as np

import knightlite
from knightlite import chip_files
from knightlite.api.checking import check
from knightlite.errors import KnightliteError
from knightlite.options.inspection import CheckOptions
from knightlite.profiler import Profile, certainty_sentence, rounded
from knightlite.profiler.profile import BATCHES

ROOT = Path(__file__).resolve().parent.parent
MAKER = ROOT / "tests" / "conformance" / "paddle_zoo.py"
NETWORKS = ROOT / "build" / "zoo"
PADDLE = Path(os.environ.get("KNIGHTLITE_PADDLE_PYTHON", ROOT / ".venv-paddle" / "bin" / "python"))
PICTURES, SHAPE, SEED = 2, (3, 224, 224), 0


@dataclass(frozen=True)
class Published:
    """A line of PaddleClas's table; milliseconds of batches of 1, 4 and 8 pictures."""

    name: str
    top1: float
    top5: float
    gflops: float
    parameters_millions: float
    v100_fp32_ms: tuple[float, ...]
    t4_fp16_ms: tuple[float, ...]


TABLE = """
model       top1  top5  GFLOP Mpar   V100  x4    x8     T4       x4       x8
DenseNet121 0.757 0.926 5.69  7.98   3.40  6.94  9.17   4.16436  7.2126   10.50221
DenseNet161 0.786 0.941 15.49 28.68  7.06  14.37 19.55  9.27249  14.25326 20.19849
DenseNet169 0.768 0.933 6.74  14.15  5.00  10.29 12.84  6.11395  10.28747 13.68717
DenseNet201 0.776 0.937 8.61  20.01  6.38  13.72 17.17  7.9617   13.4171  17.41949
DenseNet264 0.780 0.939 11.54 33.37  9.34  20.95 25.41  11.70074 19.69375 24.79545
DPN68       0.768 0.934 4.03  10.78  8.18  11.40 14.82  11.7827  13.12652 16.19213
DPN92       0.799 0.948 12.54 36.29  12.48 20.04 25.10  18.56026 20.35983 29.89544
DPN98       0.806 0.951 22.22 58.46  14.70 25.55 35.12  21.70508 24.7755  40.93595
DPN107      0.809 0.953 35.06 82.97  19.46 35.62 50.22  27.84462 34.83217 60.67903
DPN131      0.807 0.951 30.51 75.36  19.64 34.60 47.42  28.58941 33.01078 55.65146
"""


def published() -> tuple[Published, ...]:
    """The lines of the table."""
    found = []
    for line in TABLE.strip().splitlines()[1:]:
        name, *words = line.split()
        values = [float(word) for word in words]
        top1, top5, gflops, millions = values[:4]
        times = tuple(values[4:7]), tuple(values[7:])
        found.append(Published(name, top1, top5, gflops, millions, *times))
    return tuple(found)


@dataclass(frozen=True)
class Predicted:
    """On a chip family. ``ms``: of batches of 1, 4 and 8; ``frames_per_second``: of 8, rounded.

    ``error``: the bar of these times in words. Bytes of the DDR are of one picture.
    """

    ms: tuple[float, ...]
    frames_per_second: float
    error_percent: int | None
    error: str
    ddr_read_bytes: int
    ddr_write_bytes: int
    ddr_burst_bytes: int


@dataclass(frozen=True)
class Row:
    """A network measured. ``predicted``: by chip family, where it runs; ``refusals``: where not.

    The key of a refusal is a chip family, or "all" where the model cannot even be quantized.
    """

    published: Published
    gflops: float
    parameters_millions: float
    predicted: dict[str, Predicted]
    refusals: dict[str, str]


def find_or_make(name: str, folder: Path, paddle: Path) -> Path:
    """The network's ``.pdmodel``; SystemExit with a sentence where it cannot be had."""
    target = folder / name.lower()
    path = target / "model.pdmodel"
    if path.is_file():
        return path
    if not paddle.is_file():
        raise SystemExit(
            f"{path} does not exist, and there is no {paddle} to make it: `make .venv-paddle/.zoo` "
            "sets that up, or --paddle names an interpreter with Paddle and PaddleClas."
        )
    print(f"{name}: making it ...", file=sys.stderr)
    command = [str(paddle), str(MAKER), name.lower(), str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or not path.is_file():
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return path


def measure(published: Published, path: Path) -> Row:
    """Count, quantize once, compile for every family and predict."""
    families = chip_files.families()
    counted = check(CheckOptions(model=path, chip=families[0].names[0]))
    noise = np.random.default_rng(SEED).normal(0, 1, (PICTURES, *SHAPE)).astype(np.float32)
    predicted: dict[str, Predicted] = {}
    refusals: dict[str, str] = {}
    try:
        quantized = knightlite.quantize(path, data=noise)
    except KnightliteError as error:
        refusals["all"] = error.sentence
    else:
        for family in families:
            try:
                compiled = knightlite.compile(quantized, chip=family.names[0])
                predicted[family.family] = prediction(knightlite.profile(compiled))
            except KnightliteError as error:
                refusals[family.family] = error.sentence
    return Row(published, 2 * counted.macs / 1e9, counted.parameters / 1e6, predicted, refusals)


def prediction(found: Profile) -> Predicted:
    """What a profile says of the published batches."""
    batches = [item for item in found.batches if item.frames in BATCHES]
    bar = found.certainty
    return Predicted(
        tuple(item.time_ms for item in batches),
        batches[-1].frames_per_second,
        None if bar is None else bar.percent,
        certainty_sentence(bar),
        found.read_bytes,
        found.write_bytes,
        found.burst_bytes,
    )


def off(ours: float, table: float) -> str:
    """How far ours is from the table, in percent."""
    return f"{100 * (ours / table - 1):+.1f}"


def three(values: Sequence[float], percent: int | None = None) -> str:
    """Milliseconds of the three batches, with the digits that their bar allows."""
    return " / ".join(f"{rounded(round(value, 2), percent):g}" for value in values)


def millions(values: Sequence[int]) -> str:
    return " / ".join(f"{value / 1e6:.1f}" for value in values)


def print_tables(rows: Sequence[Row]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(width=160)
    sizes = Table(title="Sizes: ours and published (FLOPs are two per multiply-accumulate)")
    for title in ("model", "GFLOPs", "table", "%", "M parameters", "table", "%", "top-1", "top-5"):
        sizes.add_column(title)
    for row in rows:
        table = row.published
        sizes.add_row(
            table.name, f"{row.gflops:.3f}", f"{table.gflops:.2f}", off(row.gflops, table.gflops),
            f"{row.parameters_millions:.3f}", f"{table.parameters_millions:.2f}",
            off(row.parameters_millions, table.parameters_millions),
            f"{table.top1:.3f}", f"{table.top5:.3f}",
        )  # fmt: skip
    console.print(sizes)
    families = [family.family for family in chip_files.families()]
    times = Table(
        title="Milliseconds of batches of 1 / 4 / 8 pictures: predicted, and published for GPUs"
    )
    for title in ("model", *families, "V100 FP32", "T4 FP16"):
        times.add_column(title)
    for row in rows:
        cells = [
            three(row.predicted[family].ms, row.predicted[family].error_percent)
            if family in row.predicted
            else "refused"
            for family in families
        ]
        table = row.published
        times.add_row(table.name, *cells, three(table.v100_fp32_ms), three(table.t4_fp16_ms))
    console.print(times)
    traffic = Table(title="One picture on one chip: frames/s in batches of 8; MB of the DDR")
    for title in ("model", "chip", "frames/s", "read / written / in bursts"):
        traffic.add_column(title)
    for row in rows:
        for family, found in row.predicted.items():
            moved = (found.ddr_read_bytes, found.ddr_write_bytes, found.ddr_burst_bytes)
            rate = f"{found.frames_per_second:g}"
            traffic.add_row(row.published.name, family, rate, millions(moved))
    console.print(traffic)
    for family, sentences in bars(rows).items():
        for sentence in sentences:
            console.print(f"{family}: {sentence}", highlight=False)
    for row in rows:
        for where, sentence in row.refusals.items():
            console.print(f"{row.published.name} on {where}: {sentence}", highlight=False)


def bars(rows: Sequence[Row]) -> dict[str, list[str]]:
    """How far off the times of each family may be, each sentence once."""
    found: dict[str, list[str]] = {}
    for row in rows:
        for family, predicted in row.predicted.items():
            if predicted.error not in found.setdefault(family, []):
                found[family].append(predicted.error)
    return found


def as_json(rows: Sequence[Row]) -> list[dict[str, Any]]:
    return [asdict(row) for row in rows]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--networks", type=Path, default=NETWORKS, help="where they are, or go")
    parser.add_argument("--paddle", type=Path, default=PADDLE, help="a Python that makes them")
    parser.add_argument("--models", help="comma-separated names; default: all ten")
    parser.add_argument("--json", type=Path, help="also write the rows here")
    options = parser.parse_args()
    known = {item.name.lower(): item for item in published()}
    wanted = options.models.lower().split(",") if options.models else list(known)
    missing = [name for name in wanted if name not in known]
    if missing:
        print(f"not known: {', '.join(missing)}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    rows = []
    for name in wanted:
        path = find_or_make(known[name].name, options.networks, options.paddle)
        print(f"{known[name].name} ...", file=sys.stderr)
        rows.append(measure(known[name], path))
    print_tables(rows)
    if options.json is not None:
        options.json.write_text(json.dumps(as_json(rows), indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
