"""A second witness for the clock: predicted times beside those that another maker's zoo lists.

    python benchmarks/witness.py [--levels 0,1] [--refit] [--second] [--json FILE] [--markdown FILE]

``chips/rk3588-like.toml`` is our model of one NPU core of RK3588, from public facts. Every network
of ``witness_networks.py``, written layer by layer, is planned for it in the types of the default
quantization (time depends on neither weights nor pictures) and timed by the clock's rules, the ones
that TX5368 is held against in ``board.py``. Published: int8, one core, milliseconds from the frames
a second of the maker's public model zoo (github.com/airockchip/rknn_model_zoo, README at bad6c733).

Level 0 stands for that maker's compiler: a design of NVDLA's kind writes every layer's output to
memory. Level 1, which keeps tensors on chip, is what this compiler would make of such a core.

One figure is fitted, at level 0, so that the mean of abs(log(predicted / published)) is least (one
outlier must not move all others): the share of its rate that the DDR reaches. Whatever else the
chip file says is structure. ``mape_leave_one_out``: each network predicted with the share that the
others give. The programs stay those of the shipped figures.

``--second`` asks of each level what a second figure would bring beside that share: microseconds of
every layer, instruction or frame, in which nothing else is done. Both are fitted together, for all
networks and for each without itself. They are not in the chip file.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy is imported; as the CLI does

import numpy as np
import onnx
from board import rank_correlation, total_lines
from network_onnx import OnnxWriter
from schedule_networks import Network, build
from witness_networks import NETWORKS

from knightlite import chip_files
from knightlite.chip import Chip
from knightlite.compiler import plan_graph
from knightlite.emit import program_code
from knightlite.frontend import survey
from knightlite.isa import Instruction
from knightlite.quantize.scales import with_unit_scales
from knightlite.sim import simulate_time

FOLDER = Path(__file__).resolve().parent.parent / "build" / "witness"
CHIP = "RK3588-like"
FITTED_LEVEL = 0

PUBLISHED_MS: Mapping[str, float] = {
    "mobilenet_v2": 2.2188,
    "resnet50_v2": 9.0827,
    "yolov5s_relu": 15.1286,
    "yolov5s": 20.6612,
    "yolov6n": 9.3985,
    "yolov7_tiny": 13.7552,
    "yolov8n": 13.6054,
    "yolox_s": 26.9542,
    "deeplab_mobilenet_v2": 29.4118,
    "retinaface_mobile": 4.4014,
}
EFFICIENCIES = range(8, 61)
SHARES = (*range(4, 31), 35, 40, 45, 50, 60, 80, 100)  # tried beside a second figure
Code = Sequence[Instruction]


@dataclass(frozen=True)
class Second:
    """A second figure: what it is spent for, in words and of a program, and what is tried."""

    per: str
    count: Callable[[Code], int]
    microseconds: tuple[float, ...]


SECONDS = (
    Second("nothing", lambda code: 0, (0.0,)),
    Second(
        "layer",
        lambda code: len({item.layer for item in code}),
        tuple(at * 2.5 for at in range(120)),
    ),
    Second("instruction", len, tuple(at / 10 for at in range(60))),
    Second("frame", lambda code: 1, tuple(map(float, range(0, 4001, 50)))),
)


@dataclass(frozen=True)
class Row:
    """A network at a level beside its published time."""

    model: str
    level: int
    predicted_ms: float
    published_ms: float
    error_percent: float


def find_or_make(network: Network) -> Path:
    """The network as ONNX, kept in FOLDER."""
    path = FOLDER / f"{network.name}.onnx"
    if not path.is_file():
        print(f"{network.name}: making it ...", file=sys.stderr)
        FOLDER.mkdir(parents=True, exist_ok=True)
        writer = OnnxWriter()
        build(network, writer)
        onnx.save(writer.model(network.name), path)
    return path


def code_of(network: Network, level: int) -> Code:
    """The network's program for the shipped figures."""
    path = find_or_make(network)
    found = survey(path)
    if found.graph is None:
        raise SystemExit(f"{path}: {found.findings[0]}")
    plan = plan_graph(with_unit_scales(found.graph), chip_files.find(CHIP), CHIP, level=level)
    return program_code(plan)


def milliseconds(code: Code, chip: Chip) -> float:
    """Predicted time of a picture."""
    return simulate_time(code, chip).total_cycles * 1e3 / chip.clock_hz


class Clock:
    """Times of the networks' programs with other shares of the DDR's rate, each computed once."""

    def __init__(self, codes: Mapping[str, Code]) -> None:
        self._codes, self._chip = codes, chip_files.find(CHIP).chip
        self._known: dict[tuple[str, int], float] = {}

    def ms(self, model: str, efficiency: int) -> float:
        """Predicted where the DDR reaches so many percent of its rate."""
        key = model, efficiency
        if key not in self._known:
            chip = replace(self._chip, ddr_efficiency_percent=efficiency)
            self._known[key] = milliseconds(self._codes[model], chip)
        return self._known[key]

    def fit(self, models: Sequence[str]) -> int:
        """The percent with the least mean error; every one is tried."""

        def error(efficiency: int) -> float:
            return statistics.fmean(
                abs(math.log(self.ms(model, efficiency) / PUBLISHED_MS[model])) for model in models
            )

        return min(EFFICIENCIES, key=error)


def second_lines(codes: Mapping[str, Code], level: int) -> list[str]:
    """What each second figure gives, as lines of a table."""
    clock, names = Clock(codes), list(codes)
    times = np.array([[clock.ms(name, share) for share in SHARES] for name in names])
    published = np.array([PUBLISHED_MS[name] for name in names])[:, np.newaxis, np.newaxis]
    lines = []
    for second in SECONDS:
        counts = np.array([second.count(codes[name]) for name in names])
        more = np.multiply.outer(counts, np.asarray(second.microseconds)) / 1e3
        ratios = (times[:, :, np.newaxis] + more[:, np.newaxis]) / published
        errors = np.abs(np.log(ratios))  # [network, share, microseconds]
        share, more_us = divmod(int(np.argmin(errors.sum(axis=0))), len(second.microseconds))
        left = [
            ratios[at].flat[np.argmin(errors.sum(axis=0) - errors[at])] for at in range(len(names))
        ]
        mean, alone = (
            100 * statistics.fmean(abs(float(ratio) - 1) for ratio in found)
            for found in (ratios[:, share, more_us], left)
        )
        lines.append(
            f"| {level} | {second.per} | {SHARES[share]} | "
            f"{second.microseconds[more_us]:g} | {mean:.1f} | {alone:.1f} |"
        )
    return lines


def row(model: str, level: int, predicted: float) -> Row:
    """What stands beside what."""
    published = PUBLISHED_MS[model]
    error = round(100 * (predicted / published - 1), 1)
    return Row(model, level, round(predicted, 3), published, error)


def mean_error(rows: Sequence[Row]) -> float:
    """Mean absolute error in percent."""
    return round(statistics.fmean(abs(item.error_percent) for item in rows), 2)


def measure(levels: Sequence[int], refit: bool, second: bool) -> tuple[list[Row], dict[str, float]]:
    """Every network at every level with the shipped figures, and totals of each level."""
    chip = chip_files.find(CHIP).chip
    rows: list[Row] = []
    totals: dict[str, float] = {}
    for level in levels:
        codes = {}
        for network in NETWORKS:
            print(f"{network.name}, level {level} ...", file=sys.stderr)
            codes[network.name] = code_of(network, level)
        own = [row(name, level, milliseconds(code, chip)) for name, code in codes.items()]
        rows += own
        totals[f"mape_level_{level}"] = mean_error(own)
        totals[f"median_error_level_{level}"] = statistics.median(
            abs(item.error_percent) for item in own
        )
        totals[f"rank_correlation_level_{level}"] = rank_correlation(
            [item.predicted_ms for item in own], [item.published_ms for item in own]
        )
        if second:
            print("\n".join(second_lines(codes, level)))
        if level == FITTED_LEVEL:
            totals["mape_leave_one_out"] = mean_error(left_out(codes, level, refit))
    return rows, totals


def left_out(codes: Mapping[str, Code], level: int, refit: bool) -> list[Row]:
    """Each network predicted with the figures that all others give."""
    clock, names = Clock(codes), list(codes)
    if refit:
        print(f"fitted: ddr_efficiency_percent = {clock.fit(names)}")
    rows = []
    for name in names:
        share = clock.fit([other for other in names if other != name])
        rows.append(row(name, level, clock.ms(name, share)))
        print(f"without {name}: {share} %, error {rows[-1].error_percent:+.1f} %", file=sys.stderr)
    return rows


def markdown(rows: Sequence[Row], totals: Mapping[str, float]) -> str:
    """The tables of docs/clock.md."""
    lines = [
        "| model | level | predicted, ms | published, ms | error, % |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {item.model} | {item.level} | {item.predicted_ms:.2f} | {item.published_ms:.2f} | "
        f"{item.error_percent:+.1f} |"
        for item in rows
    ]
    return "\n".join([*lines, "", *total_lines(totals)]) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--levels", default="0,1", help="schedule levels, separated by commas")
    parser.add_argument("--refit", action="store_true", help="also print what all of them give")
    parser.add_argument(
        "--second", action="store_true", help="also print what a second figure would bring"
    )
    parser.add_argument("--json", type=Path, help="also write rows and totals here")
    parser.add_argument("--markdown", type=Path, help="also write the tables of docs/clock.md here")
    options = parser.parse_args()
    levels = [int(level) for level in options.levels.split(",")]
    rows, totals = measure(levels, options.refit, options.second)
    print(markdown(rows, totals), end="")
    if options.json is not None:
        value = {"rows": [asdict(item) for item in rows], "totals": totals}
        options.json.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
    if options.markdown is not None:
        options.markdown.write_text(markdown(rows, totals), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
