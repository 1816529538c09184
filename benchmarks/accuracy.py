"""Accuracy of the quantized networks on real pictures, paired with the float network.

Calibrates with the default options on pictures that are not evaluated, then runs the same test
pictures through the float and the QDQ network in ONNX Runtime and through the simulated chip (the
program's bytes). Drop, interval, lost, won and SQNR are the chip's against float; SQNR is that of
the chip's output before a trailing Softmax. Reads ../shared/data (private); says so where it is
absent.

The 95 % interval of the drop is that of ``knightlite.evaluation.Paired``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy is imported; as the CLI does

import numpy as np
from numpy.typing import NDArray

from knightlite import chip_files
from knightlite.api.quantization import clock_of
from knightlite.compiler import compile_graph
from knightlite.container import Origin
from knightlite.errors import KnightliteError
from knightlite.evaluation import Paired
from knightlite.frontend import load
from knightlite.inference import session
from knightlite.ir import Graph
from knightlite.onnx_models import write_float, write_qdq
from knightlite.preprocess import list_pictures, load_recipe, prepare_picture
from knightlite.quantize.choices import BIAS_CORRECTIONS, EFFORTS, ROUNDINGS
from knightlite.quantize.pipeline import QuantizeResult, quantize_graph
from knightlite.quantize.settings import Settings, settings_for
from knightlite.sim import Machine
from knightlite.sim.host import dequantize, quantize

Array = NDArray[Any]
Forward = Callable[[Array], Array]  # pictures [N, C, H, W] -> scores [N, ...]

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
CALIBRATION_PICTURES = 100
BATCH = 25
CHIP = "TX5368AV200"
HARD = ("mobilenet_v1_0.25",)  # left out of the mean, as the acceptance says


@dataclass(frozen=True)
class Case:
    """A model with its pictures: ``data`` gives (calibration, test, labels)."""

    name: str
    model: str
    data: Callable[[tuple[int, ...]], tuple[Array, Array, Array]]
    input_shape: tuple[int, ...] | None = None  # where the file leaves it open


@dataclass(frozen=True)
class Score:
    """A network against the float one on the same pictures. Points are percent of pictures."""

    top1: float
    drop: float
    low: float
    high: float
    lost: int
    won: int
    sqnr_db: float


@dataclass(frozen=True)
class Arrays:
    """A workload over pictures in memory, one at a time, without a metric."""

    pictures: Array
    description: str = field(default="pictures in memory")

    def run(self, forward: Any) -> None:
        """One forward call per picture."""
        for picture in self.pictures:
            forward((picture[None],))


def imagenet(recipe_name: str) -> Callable[[tuple[int, ...]], tuple[Array, Array, Array]]:
    """100 pictures to calibrate, 500 labelled ones."""

    def data(shape: tuple[int, ...]) -> tuple[Array, Array, Array]:
        recipe = load_recipe(recipe_name)
        lines = (DATA / "imagenet/synset_words.txt").read_text().splitlines()
        index = {line.split()[0]: place for place, line in enumerate(lines)}
        folder = list_pictures(DATA / "imagenet/val")
        labels = [index[sample.path.parent.name] for sample in folder.samples]
        calibration = list_pictures(DATA / "imagenet/calib").samples
        return (
            np.stack([prepare_picture(item.path, recipe, shape) for item in calibration]),
            np.stack([prepare_picture(item.path, recipe, shape) for item in folder.samples]),
            np.asarray(labels),
        )

    return data


def cifar10(recipe_name: str) -> Callable[[tuple[int, ...]], tuple[Array, Array, Array]]:
    """100 pictures to calibrate, 1000 labelled ones."""

    def data(shape: tuple[int, ...]) -> tuple[Array, Array, Array]:
        from PIL import Image

        recipe = load_recipe(recipe_name)
        test = np.load(DATA / "cifar10/test1000.npz")
        calibration = list_pictures(DATA / "cifar10/calib").samples
        return (
            np.stack([prepare_picture(item.path, recipe, shape) for item in calibration]),
            np.stack([prepare_picture(Image.fromarray(item), recipe, shape) for item in test["x"]]),
            test["y"].astype(np.int64),
        )

    return data


def words(shape: tuple[int, ...]) -> tuple[Array, Array, Array]:
    """The first 100 of 400 words to calibrate, the others labelled."""
    stored = np.load(DATA / "ppocr_cls/words.npz")
    x = (stored["x"].astype(np.float32) / 255 - np.float32(0.5)) / np.float32(0.5)
    first = CALIBRATION_PICTURES
    return x[:first], x[first:], stored["y"][first:].astype(np.int64)


CASES = (
    Case("squeezenet1.1", "squeezenet1.1.onnx", imagenet("imagenet")),
    Case("densenet40", "densenet40_cifar10.onnx", cifar10("cifar10_mean53")),
    Case("resnet20", "resnet20_cifar10.onnx", cifar10("cifar10")),
    Case("resnet8", "resnet8_cifar10.onnx", cifar10("raw")),
    Case("mobilenet_v1_0.25", "mobilenet_v1_0.25.onnx", imagenet("imagenet_pm1")),
    Case("ppocr_cls", "ppocr_cls/ocrV3_cls.pdmodel", words, (1, 3, 48, 192)),
)


def float_forward(graph: Graph) -> Forward:
    """The float network up to the chip's output."""
    name = graph.chip_outputs[0]
    runner = session(write_float(graph, [name]), 2)
    place = [*dict.fromkeys((*graph.outputs, name))].index(name)
    return lambda pictures: runner.run(None, {graph.inputs[0]: pictures})[place]


def qdq_forward(quantized: Graph) -> Forward:
    """The QDQ network up to the chip's output."""
    name = quantized.chip_outputs[0]
    runner = session(write_qdq(quantized, {}, [name]), 2)
    place = [*dict.fromkeys((*quantized.outputs, name))].index(name)
    return lambda pictures: runner.run(None, {quantized.inputs[0]: pictures})[place]


def chip_forward(quantized: Graph) -> Forward:
    """The compiled network on the simulated chip, up to its output."""
    origin = Origin(version="", model_sha256="0" * 64)
    compiled = compile_graph(quantized, chip_files.find(CHIP), CHIP, origin)
    machine = Machine(compiled.program)
    machine.check()
    (entry,) = compiled.program.meta.inputs
    output = compiled.program.meta.outputs[0]

    def forward(pictures: Array) -> Array:
        answers = []
        for picture in pictures:
            outputs = machine.run({entry.name: quantize(picture[None], entry)})
            answers.append(dequantize(outputs[output.name], output))
        return np.concatenate(answers)

    return forward


def evaluate(forward: Forward, pictures: Array, batch: int = BATCH) -> Array:
    """Scores [n, classes] of all pictures."""
    parts = [forward(pictures[i : i + batch]) for i in range(0, len(pictures), batch)]
    return np.concatenate([np.asarray(part).reshape(part.shape[0], -1) for part in parts])


def compare(exact: Array, scores: Array, labels: Array) -> Score:
    """Paired comparison of ``scores`` with the float network's ``exact`` ones."""
    right_exact, right = exact.argmax(1) == labels, scores.argmax(1) == labels
    n = len(labels)
    lost, won = int((right_exact & ~right).sum()), int((right & ~right_exact).sum())
    paired = Paired(n, lost, won)
    noise = np.sum((exact.astype(np.float64) - scores) ** 2)
    return Score(
        100 * float(right.mean()),
        paired.drop,
        *paired.interval,
        lost,
        won,
        float(10 * np.log10(np.sum(exact.astype(np.float64) ** 2) / noise)),
    )


def measure(case: Case, settings: Settings) -> tuple[dict[str, Any], QuantizeResult]:
    """Quantize one model and compare it with the float one."""
    shapes = None if case.input_shape is None else [case.input_shape]
    graph = load(DATA / "models" / case.model, input_shapes=shapes)
    calibration, test, labels = case.data(graph.tensors[graph.inputs[0]].shape)
    workload = Arrays(calibration[:CALIBRATION_PICTURES])
    result = quantize_graph(graph, workload, settings, threads=2, clock=clock_of(CHIP))
    exact = evaluate(float_forward(graph), test)
    scores = {
        "qdq": compare(exact, evaluate(qdq_forward(result.graph), test), labels),
        "chip": compare(exact, evaluate(chip_forward(result.graph), test), labels),
    }
    row = {
        "model": case.name,
        "pictures": len(labels),
        "float_top1": 100 * float((exact.argmax(1) == labels).mean()),
        **{kind: asdict(score) for kind, score in scores.items()},
        "quantize_s": round(result.timings_s["total"], 2),
    }
    return row, result


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", help="comma-separated names; default all")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--method", default="mse")
    parser.add_argument("--effort", choices=EFFORTS, default="normal")
    parser.add_argument("--bias-correction", choices=BIAS_CORRECTIONS)
    parser.add_argument("--rounding", choices=ROUNDINGS)
    arguments = parser.parse_args()
    settings = settings_for(
        arguments.effort,
        method=arguments.method,
        bias_correction=arguments.bias_correction,
        rounding=arguments.rounding,
    )
    if not DATA.is_dir():
        print(f"The pictures and models are not here: {DATA} does not exist.", file=sys.stderr)
        return 1
    names = arguments.models.split(",") if arguments.models else [case.name for case in CASES]
    unknown = set(names) - {case.name for case in CASES}
    if unknown:
        print(f"Unknown models: {', '.join(sorted(unknown))}.", file=sys.stderr)
        return 2
    rows = []
    print(f"{'model':18} {'n':>5} {'float':>6} {'qdq':>6} {'chip':>6} {'drop':>6} "
          f"{'95 % interval':>16} {'lost':>4} {'won':>4} {'SQNR dB':>7} {'s':>6}")  # fmt: skip
    for case in CASES:
        if case.name not in names:
            continue
        try:
            row, _ = measure(case, settings)
        except KnightliteError as error:
            print(f"{case.name}: {error.sentence} {error.hint}", file=sys.stderr)
            return 1
        rows.append(row)
        score = row["chip"]
        interval = f"[{score['low']:+.2f}, {score['high']:+.2f}]"
        tops = (row["float_top1"], row["qdq"]["top1"], score["top1"])
        print(f"{case.name:18} {row['pictures']:5} " + " ".join(f"{top:6.2f}" for top in tops) + " "
              f"{score['drop']:+6.2f} {interval:>16} {score['lost']:4} {score['won']:4} "
              f"{score['sqnr_db']:7.2f} {row['quantize_s']:6.1f}", flush=True)  # fmt: skip
    mean = [row["chip"]["drop"] for row in rows if row["model"] not in HARD]
    if mean:
        print(f"mean drop without {', '.join(HARD)}: {np.mean(mean):+.3f} points")
    if arguments.json:
        summary = {"mean_drop": float(np.mean(mean)) if mean else None, "models": rows}
        arguments.json.write_text(json.dumps(summary, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
