"""Predicted times beside the latencies that the vendor publishes for its board; the clock's error.

    make .venv-paddle/.zoo
    python benchmarks/board.py [--networks DIR] [--refit] [--json FILE] [--markdown FILE]

The networks are paddle.vision's, saved by ``board_networks.py`` with an interpreter that has Paddle
(``--paddle``), and kept in ``build/board``. Each is compiled for TX5368AV200 at schedule level 0 in
the types of the default quantization: time depends on neither weights nor pictures. Latencies are
the vendor's public model zoo's for its TX5368A board, compiled by its own tools.

Not counted, but predicted: squeezenet1_0 (the command beside its figure names other weights) and
inception_v3 (the recipe beside it says 224 pixels, not 299). ``host_ms`` is a term of its own: what
the host is said to need per picture, where somebody measures from end to end. None of these rows
is said to be measured so; it is in no prediction.

``mape_in_sample``: mean absolute error in percent. ``mape_leave_one_out``: each network predicted
with the figures that the other ones give, every figure that was chosen from these data fitted anew:
the share of its rate that the DDR reaches, the vector engine's elements per cycle, groups of a
convolution that share a block (without ResNeXt nothing tells, and all that fit do), fixed cycles
per instruction. The programs stay those of the shipped figures. ``--refit`` prints what all seven
give.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy is imported; as the CLI does

from knightlite import chip_files
from knightlite.chip import Chip
from knightlite.compiler import plan_graph
from knightlite.emit import program_code
from knightlite.frontend import Conversion, survey
from knightlite.isa import Instruction, Matrix
from knightlite.quantize.scales import with_unit_scales
from knightlite.sim import simulate_time

ROOT = Path(__file__).resolve().parent.parent
MAKER = ROOT / "benchmarks" / "board_networks.py"
NETWORKS = ROOT / "build" / "board"
PADDLE = Path(os.environ.get("KNIGHTLITE_PADDLE_PYTHON", ROOT / ".venv-paddle" / "bin" / "python"))
CHIP = "TX5368AV200"


@dataclass(frozen=True)
class Published:
    """A published latency in milliseconds; ``counted``: whether the clock is held against it."""

    model: str
    pixels: int
    ms: float
    counted: bool = True


PUBLISHED = (
    Published("resnet18", 224, 3.2911),
    Published("mobilenet_v2", 224, 2.3425),
    Published("densenet121", 224, 10.4567),
    Published("googlenet", 224, 6.8487),
    Published("alexnet", 224, 9.1425),
    Published("vgg13", 224, 31.2),
    Published("resnext50_32x4d", 224, 13.5),
    Published("squeezenet1_0", 224, 2.5709, counted=False),
    Published("inception_v3", 299, 9.8, counted=False),
)

Figures = Mapping[str, int]
# from nothing: all that the data may say
NOTHING: Figures = {
    "ddr_efficiency_percent": 100,
    "vector_lanes": 64,
    "groups_per_block": 64,
    "fixed": 1,
}
CHOICES: Mapping[str, Sequence[int]] = {
    "ddr_efficiency_percent": range(40, 101),
    "vector_lanes": (2, 4, 8, 16, 32, 64),
    "groups_per_block": (1, 2, 4, 8, 64),
    "fixed": (1, 5, 10, 20, 40, 80, 160),  # cycles of a transfer's setup; of others 4/5 of it
}
SHARE_OF_FIXED = 0.8


@dataclass(frozen=True)
class Row:
    """A network beside its published latency."""

    model: str
    predicted_ms: float
    published_ms: float
    error_percent: float
    counted: bool


def find_or_make(item: Published, folder: Path, paddle: Path) -> Path:
    """The network's ``.pdmodel``; SystemExit with a sentence where it cannot be had."""
    target = folder / item.model
    path = target / "model.pdmodel"
    if path.is_file():
        return path
    if not paddle.is_file():
        raise SystemExit(
            f"{path} does not exist, and there is no {paddle} to make it: `make .venv-paddle/.zoo` "
            "sets that up, or --paddle names an interpreter with Paddle."
        )
    target.mkdir(parents=True, exist_ok=True)
    command = [str(paddle), str(MAKER), item.model, str(item.pixels), str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or not path.is_file():
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return path


def code_of(path: Path) -> list[Instruction]:
    """The network's program at level 0."""
    found = survey(path, None, None, None, False, Conversion())
    if found.graph is None:
        raise SystemExit(f"{path}: {found.findings[0]}")
    plan = plan_graph(with_unit_scales(found.graph), chip_files.find(CHIP), CHIP)
    return program_code(plan)


def milliseconds(code: Sequence[Instruction], chip: Chip) -> float:
    """Predicted latency."""
    return simulate_time(code, chip).total_cycles * 1e3 / chip.clock_hz


def with_figures(chip: Chip, figures: Figures) -> Chip:
    """The chip with fitted figures."""
    facts: dict[str, Any] = {name: value for name, value in figures.items() if name != "fixed"}
    others = max(1, round(SHARE_OF_FIXED * figures["fixed"]))
    return replace(
        chip,
        **facts,
        dma_setup_cycles=figures["fixed"],
        matrix_setup_cycles=others,
        vector_setup_cycles=others,
    )


def fit(codes: Mapping[str, Sequence[Instruction]], published: Sequence[Published]) -> Figures:
    """The figures with the least squares of log(predicted / published), one after another.

    One that no program feels stays as it is without data.
    """
    chip = chip_files.find(CHIP).chip
    grouped = any(
        isinstance(item, Matrix) and item.groups > 1
        for network in published
        for item in codes[network.model]
    )
    free = [name for name in CHOICES if grouped or name != "groups_per_block"]

    def error(figures: Figures) -> float:
        target = with_figures(chip, figures)
        return sum(
            math.log(milliseconds(codes[item.model], target) / item.ms) ** 2 for item in published
        )

    best, least = NOTHING, error(NOTHING)
    while True:
        before = least
        for name in free:
            least, best = _best_of(error, best, name, least)
        if least > before * (1 - 1e-6):
            return best


def _best_of(error: Any, figures: Figures, name: str, least: float) -> tuple[float, Figures]:
    """The best value of one figure: coarse steps first, then the ones around the best."""
    choices = list(CHOICES[name])
    step = max(1, len(choices) // 10)
    while True:
        for value in choices[::step]:
            tried = {**figures, name: value}
            found = error(tried)
            if found < least:
                least, figures = found, tried
        if step == 1:
            return least, figures
        place = choices.index(figures[name])
        choices = choices[max(0, place - step) : place + step + 1]
        step = 1


def measure(codes: Mapping[str, Sequence[Instruction]]) -> tuple[list[Row], dict[str, float]]:
    """Every network with the shipped figures, and the totals."""
    chip = chip_files.find(CHIP).chip
    rows = [
        _row(item, milliseconds(codes[item.model], chip))
        for item in PUBLISHED
        if item.model in codes
    ]
    counted = [item for item in PUBLISHED if item.counted and item.model in codes]
    left_out = []
    for item in counted:
        others = [other for other in counted if other is not item]
        figures = fit(codes, others)
        left_out.append(_row(item, milliseconds(codes[item.model], with_figures(chip, figures))))
        print(f"without {item.model}: {dict(figures)}, {left_out[-1].error_percent:+.1f} %",
              file=sys.stderr)  # fmt: skip
    kept = [row for row in rows if row.counted]
    return rows, {
        "mape_in_sample": _mean_error(kept),
        "mape_leave_one_out": _mean_error(left_out),
        "rank_correlation": rank_correlation(
            [row.predicted_ms for row in kept], [row.published_ms for row in kept]
        ),
        "host_ms": host_ms(),
    }


def host_ms() -> float:
    """What the chip's evidence says of the host."""
    evidence = chip_files.find(CHIP).evidence
    return 0.0 if evidence is None else evidence.host_us / 1e3


def _row(item: Published, predicted: float) -> Row:
    return Row(
        item.model, round(predicted, 3), item.ms, round(100 * (predicted / item.ms - 1), 1),
        item.counted,
    )  # fmt: skip


def _mean_error(rows: Sequence[Row]) -> float:
    return round(statistics.fmean(abs(row.error_percent) for row in rows), 2)


def rank_correlation(one: Sequence[float], other: Sequence[float]) -> float:
    """Spearman's, of values without ties."""
    ranks = [[sorted(values).index(value) for value in values] for values in (one, other)]
    return round(statistics.correlation(*ranks), 3)


def markdown(rows: Sequence[Row], totals: Mapping[str, float]) -> str:
    lines = [
        "| model | predicted, ms | published, ms | error, % | counted |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.model} | {row.predicted_ms:.2f} | {row.published_ms:.2f} | "
        f"{row.error_percent:+.1f} | {'yes' if row.counted else 'no'} |"
        for row in rows
    ]
    return "\n".join([*lines, "", *total_lines(totals)]) + "\n"


def total_lines(totals: Mapping[str, float]) -> list[str]:
    """The totals as a table."""
    return [
        "| total | |",
        "|---|---|",
        *(f"| {name} | {value:g} |" for name, value in totals.items()),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--networks", type=Path, default=NETWORKS, help="where they are, or go")
    parser.add_argument("--paddle", type=Path, default=PADDLE, help="a Python that makes them")
    parser.add_argument("--refit", action="store_true", help="also fit all figures from nothing")
    parser.add_argument("--json", type=Path, help="also write rows and totals here")
    parser.add_argument("--markdown", type=Path, help="also write the tables of docs/clock.md here")
    options = parser.parse_args()
    codes = {}
    for item in PUBLISHED:
        path = find_or_make(item, options.networks, options.paddle)
        print(f"{item.model} ...", file=sys.stderr)
        codes[item.model] = code_of(path)
    if options.refit:
        counted = [item for item in PUBLISHED if item.counted]
        print(f"fitted from nothing: {dict(fit(codes, counted))}")
    rows, totals = measure(codes)
    print(markdown(rows, totals), end="")
    if options.json is not None:
        value = {"rows": [asdict(row) for row in rows], "totals": totals}
        options.json.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
    if options.markdown is not None:
        options.markdown.write_text(markdown(rows, totals), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
