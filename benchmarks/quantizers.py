"""knightlite's quantizer beside ONNX Runtime's and NNCF's: accuracy, seconds, peak memory.

    python benchmarks/quantizers.py [--models resnet8,...] [--planted] [--yolox] [--densenet121]
        [--mobilenet-v2] [--json FILE]

Same float model, same 100 calibration pictures (YOLOX: 20), other pictures to evaluate on, the same
metric, one run. Each quantizer runs in a process of its own, twice more where it took under 10 s
(median); seconds are from opening the model to the written file, imports apart. The peers live in
build/peers, which is made where it is missing: see PEERS.

Every QDQ file is run by ONNX Runtime's CPU provider as it was written, with
session.disable_quant_qdq = 1: each operator in float32 on dequantized values. Scores are those
before a trailing Softmax. ``float_ops`` and ``concat_requantizes``: see ``qdq_file.py``. ONNX
Runtime: static QDQ, u8 activations, s8 weights per channel. NNCF: its defaults, subset_size = all
pictures. Both get the model as quant_pre_process leaves it, with constants and BatchNorms folded,
which is not in their seconds, and at least at opset 13, which scales per channel need. A quantizer
that fails on a model has a row that says so. The interval is Bonett and Price's.

``--planted``: networks with rare loud pictures, and with rare positives (``planted_networks.py``),
also with a rule of ours switched off. Where scores are finds, lost and won are finds of float that
are gone, and new ones.

``--densenet121``: peak memory and seconds of calibration. The network is light_densenet121 of the
onnx wheel with seeded weights, and so are the pictures: no accuracy is measured. ONNX Runtime's
percentile keeps all activations, 0.18 GiB per picture: it gets 16 and 64 pictures only.

``--mobilenet-v2``: the same of the MobileNetV2 of ``schedule_networks.py`` and 64 pictures, beside
NNCF with either bias correction, in turns, three times each (medians).
"""

from __future__ import annotations

import argparse
import compileall
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy is imported; as the CLI does

import numpy as np
import onnx
import schedule_networks
from accuracy import CALIBRATION_PICTURES, CASES, DATA, Array, Case, Score, compare
from network_onnx import OnnxWriter
from planted_networks import Planted, loud_stream, rare_digits
from qdq_file import QdqFile, forward
from quantizer_table import HEADER, markdown, print_ratios, print_row

from knightlite.frontend import paddle

ROOT = Path(__file__).resolve().parent.parent
PEERS = ("nncf==3.4.0", "onnx==1.23.2", "onnxruntime==1.31.1")
PEER_FOLDER = ROOT / "build" / "peers"
PEER_PYTHON = PEER_FOLDER / "bin" / "python"
CHILD = Path(__file__).with_name("peer_quantizers.py")
OURS = ("knightlite", "preparation")
THREADS = 2
CHEAP_S, REPEATS = 10, 3
TIMEOUT_S = 3600
DENSENET_PICTURES = (16, 64, 256)
MOBILENET_PICTURES = 64
HEAVY_PICTURES = 64  # of what keeps every activation
SEED = 0


@dataclass(frozen=True)
class Way:
    """One quantizer with one method."""

    tool: str
    method: str
    effort: str | None = None
    off: str | None = None  # a switch of knightlite.quantize that is off


WAYS = (
    Way("knightlite", "mse"),
    Way("knightlite", "auto", "high"),
    Way("onnxruntime", "min_max"),
    Way("onnxruntime", "percentile"),
    Way("nncf", "fast_bias_correction"),
    Way("nncf", "full_bias_correction"),
)
PLANTED_WAYS = (
    Way("knightlite", "mse"),
    Way("knightlite", "mse", off="output_scales"),
    Way("knightlite", "mse", off="equalization"),
    Way("knightlite", "mse", off="bias_correction"),
    *WAYS[2:],
)
DENSENET_WAYS = (
    Way("knightlite", "mse"),
    Way("onnxruntime", "percentile"),
    Way("nncf", "fast_bias_correction"),
)


MOBILENET_WAYS = (
    Way("knightlite", "mse"),
    Way("nncf", "fast_bias_correction"),
    Way("nncf", "full_bias_correction"),
)


@dataclass(frozen=True)
class Subject:
    """A model to quantize. ``raw``: its file; ``model``: as ONNX, prepared for the peers."""

    name: str
    raw: Path
    model: Path
    input_name: str
    input_shape: tuple[int, ...]
    calibration: Path  # one .npy file per picture
    count: int


def make_peers() -> None:
    """The peers' environment, with the versions of PEERS."""
    if not PEER_PYTHON.is_file():
        print(f"installing {', '.join(PEERS)} into {PEER_FOLDER}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(PEER_FOLDER)], check=True)
        subprocess.run([str(PEER_PYTHON), "-m", "pip", "install", "-q", *PEERS], check=True)
    listed = subprocess.run(
        [str(PEER_PYTHON), "-m", "pip", "freeze"], check=True, capture_output=True, text=True
    )
    missing = set(PEERS) - set(listed.stdout.split())
    if missing:
        raise SystemExit(f"{PEER_FOLDER} lacks {', '.join(sorted(missing))}: remove it.")


def subject(name: str, raw: Path, folder: Path, pictures: Sequence[Array]) -> Subject:
    """Write the model as ONNX and the calibration pictures into ``folder``."""
    model = raw
    if raw.suffix == ".pdmodel":
        model = folder / f"{name}.onnx"
        model.write_bytes(paddle.convert(raw).data)
    held = onnx.load(model)
    weights = {item.name for item in held.graph.initializer}
    (entry,) = (item for item in held.graph.input if item.name not in weights)
    target = folder / name
    target.mkdir()
    for number, picture in enumerate(pictures):
        np.save(target / f"{number:04}.npy", picture[None])
    shape = (1, *pictures[0].shape)
    plain = Subject(name, raw, model, entry.name, shape, target, len(pictures))
    if not PEER_PYTHON.is_file():  # knightlite alone is measured
        return plain
    return replace(plain, model=quantize(plain, Way("preparation", ""), folder, 1)["file"])


def quantize(item: Subject, way: Way, folder: Path, repeats: int = REPEATS) -> dict[str, Any]:
    """Run one quantizer; seconds (median), peak MiB (largest) and the file it wrote."""
    output = folder / f"{item.name}_{way.tool}_{way.method}_{way.effort}_{way.off}.onnx"
    task = {**asdict(way), **{name: str(getattr(item, name)) for name in ("model", "raw")},
            "input_name": item.input_name, "input_shape": item.input_shape,
            "pictures": str(item.calibration), "count": item.count,
            "output": str(output)}  # fmt: skip
    python = sys.executable if way.tool == "knightlite" else str(PEER_PYTHON)
    runs: list[dict[str, Any]] = []
    while not runs or (runs[0]["seconds"] < CHEAP_S and len(runs) < repeats):
        done = subprocess.run(
            [python, str(CHILD), json.dumps(task)], capture_output=True, text=True,
            timeout=TIMEOUT_S, cwd=folder, env=_environment(),
        )  # fmt: skip
        if done.returncode:
            if way.tool in OURS:
                raise SystemExit(f"{way.tool} failed on {item.name}: {done.stderr[-2000:]}")
            lines = [line for line in done.stderr.splitlines() if line.strip()]
            return {"failed": lines[-1] if lines else f"exit code {done.returncode}"}
        runs.append(json.loads(done.stdout.splitlines()[-1]))
    return {**taken(runs), "file": output}


def taken(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Seconds of several runs (median, of the clock and of all threads) and the largest peak."""
    return {
        "seconds": round(statistics.median(run["seconds"] for run in runs), 2),
        "cpu_seconds": round(statistics.median(run["cpu_seconds"] for run in runs), 2),
        "peak_mib": round(max(run["peak_mib"] for run in runs), 1),
    }


def _environment() -> dict[str, str]:
    """Of a child: this package found, every library on the same number of threads."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": str(THREADS)}


def row_of(name: str, way: Way, made: dict[str, Any]) -> dict[str, Any]:
    """The columns that need no evaluation."""
    if "failed" in made:
        return {"model": name, **_named(way), "failed": made["failed"]}
    file = QdqFile(onnx.load(made["file"]))
    left = file.float_ops()
    return {
        "model": name,
        **_named(way),
        **{name: made[name] for name in ("seconds", "cpu_seconds", "peak_mib")},
        "float_ops": sum(left.values()),
        "float_ops_by_type": dict(sorted(left.items())),
        "concat_requantizes": file.concat_requantizes(),
    }


def _named(way: Way) -> dict[str, Any]:
    return {key: value for key, value in asdict(way).items() if value is not None}


def classifier_rows(case: Case, ways: Sequence[Way], folder: Path) -> Iterator[dict[str, Any]]:
    """One row per quantizer on one of the classifiers."""
    raw = DATA / "models" / case.model
    shape = case.input_shape
    if shape is None:
        dims = onnx.load(raw).graph.input[0].type.tensor_type.shape.dim
        shape = tuple(dim.dim_value for dim in dims)
    calibration, test, labels = case.data(shape)
    item = subject(case.name, raw, folder, list(calibration[:CALIBRATION_PICTURES]))
    exact = _scores(item.model.read_bytes(), test)
    top1 = 100 * float((exact.argmax(1) == labels).mean())
    for way in ways:
        made = quantize(item, way, folder)
        if "failed" in made:
            yield row_of(case.name, way, made)
            continue
        score: Score = compare(exact, _scores(made["file"].read_bytes(), test), labels)
        yield {
            **row_of(case.name, way, made),
            "pictures": len(labels),
            "float_top1": round(top1, 2),
            "top1_drop_points": round(score.drop, 3),
            "interval_low": round(score.low, 3),
            "interval_high": round(score.high, 3),
            "lost": score.lost,
            "won": score.won,
            "logits_sqnr_db": round(score.sqnr_db, 2),
        }


def _scores(data: bytes, pictures: Array) -> Array:
    run = forward(data, THREADS)
    parts = [run(pictures[first : first + 25]) for first in range(0, len(pictures), 25)]
    return np.concatenate(parts).reshape(len(pictures), -1)


def planted_rows(planted: Planted, ways: Sequence[Way], folder: Path) -> Iterator[dict[str, Any]]:
    """One row per quantizer on a network with a planted fault."""
    item = subject(
        planted.name, planted.model, folder, list(planted.calibration[:CALIBRATION_PICTURES])
    )
    exact = _scores(item.model.read_bytes(), planted.test)
    for way in ways:
        made = quantize(item, way, folder)
        row = row_of(planted.name, way, made)
        if "failed" in made:
            yield row
            continue
        found = _scores(made["file"].read_bytes(), planted.test)
        noise, energy = np.square(exact - found).sum(), np.square(exact).sum()
        if planted.threshold is None:
            wanted, got = (
                np.eye(exact.shape[1], dtype=bool)[values.argmax(1)] for values in (exact, found)
            )
        else:
            wanted, got = exact > planted.threshold, found > planted.threshold
        yield {
            **row,
            "pictures": len(planted.test),
            "finds": int(wanted.sum()),
            "finds_lost": int((wanted & ~got).sum()),
            "finds_new": int((got & ~wanted).sum()),
            "scores_sqnr_db": round(float(10 * np.log10(energy / noise)), 2),
        }


def yolox_rows(ways: Sequence[Way], folder: Path) -> Iterator[dict[str, Any]]:
    """One row per quantizer on YOLOX-nano: mAP on the pictures not used for calibration."""
    sys.path.insert(0, str(ROOT / "examples" / "detection"))
    from coco import open_coco, split
    from evaluate import evaluate, forward_of
    from yolox import letterbox

    raw = DATA / "models" / "yolox_nano.onnx"
    data = open_coco(DATA / "coco")
    aside, photos = split(data.photos, 20)
    exact, size = forward_of(raw, THREADS)
    item = subject("yolox_nano", raw, folder, [letterbox(photo.path, size)[0] for photo in aside])
    made = {way: quantize(item, way, folder) for way in ways}
    models = {"float": (exact, size)}
    files = [found["file"] for found in made.values() if "failed" not in found]
    models |= {str(file): forward_of(file, THREADS) for file in files}
    precision = evaluate(models, data, photos)
    for way, found in made.items():
        if "failed" in found:
            yield row_of("yolox_nano", way, found)
            continue
        mine = precision[str(found["file"])]
        yield {
            **row_of("yolox_nano", way, found),
            "pictures": len(photos),
            "float_map": round(precision["float"].map, 4),
            "map": round(mine.map, 4),
            "ap50": round(mine.ap50, 4),
            "map_drop": round(precision["float"].map - mine.map, 4),
        }


def densenet_rows(counts: Sequence[int], folder: Path) -> Iterator[dict[str, Any]]:
    """One row per quantizer and number of pictures; one run each."""
    sys.path.insert(0, str(ROOT / "tests" / "conformance"))
    import light_models

    rng = np.random.default_rng(SEED)
    shape = light_models.input_shape("densenet121")
    pictures = [_picture(rng, shape[1:]) for _ in range(max(counts))]
    raw = folder / "densenet121.onnx"
    onnx.save(light_models.seeded("densenet121", pictures[0][None]), raw)
    item = subject("densenet121", raw, folder, pictures)
    for way in DENSENET_WAYS:
        for count in counts:
            if way.method == "percentile" and count > HEAVY_PICTURES:
                continue
            part = replace(item, count=count)
            yield {**row_of("densenet121", way, quantize(part, way, folder, 1)), "pictures": count}


def mobilenet_rows(folder: Path) -> Iterator[dict[str, Any]]:
    """One row per quantizer, which take turns: what else the machine does hits all alike."""
    rng = np.random.default_rng(SEED)
    writer = OnnxWriter()
    schedule_networks.build(schedule_networks.BY_NAME["mobilenet_v2"], writer)
    raw = folder / "mobilenet_v2.onnx"
    onnx.save(writer.model("mobilenet_v2"), raw)
    pictures = [_picture(rng, writer.input_shape[1:]) for _ in range(MOBILENET_PICTURES)]
    item = subject("mobilenet_v2", raw, folder, pictures)
    made: dict[Way, list[dict[str, Any]]] = {way: [] for way in MOBILENET_WAYS}
    for _ in range(REPEATS):
        for way, runs in made.items():
            runs.append(quantize(item, way, folder, 1))
    for way, runs in made.items():
        done = {**runs[-1], **taken(runs)}
        yield {**row_of("mobilenet_v2", way, done), "pictures": MOBILENET_PICTURES}


def _picture(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Smooth noise: a few large blobs and fine grain, about as spread as normalised pictures."""
    coarse = rng.standard_normal((shape[0], shape[1] // 16, shape[2] // 16))
    smooth = np.kron(coarse, np.ones((1, 16, 16)))
    return (smooth + 0.3 * rng.standard_normal(shape)).astype(np.float32)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    known = [case.name for case in CASES]
    parser.add_argument("--models", help=f"of {', '.join(known)}; none; default all")
    parser.add_argument("--tools", help="knightlite, onnxruntime, nncf; default all")
    parser.add_argument("--planted", action="store_true", help="also planted faults")
    parser.add_argument("--yolox", action="store_true", help="also YOLOX-nano's mAP")
    parser.add_argument("--densenet121", action="store_true", help="also memory and seconds")
    parser.add_argument("--mobilenet-v2", action="store_true", help="also its seconds and memory")
    parser.add_argument("--counts", default=",".join(map(str, DENSENET_PICTURES)),
                        help="pictures of --densenet121 [default: %(default)s]")  # fmt: skip
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    parser.add_argument("--markdown", type=Path, help="write tables of them to this file")
    arguments = parser.parse_args()
    compileall.compile_dir(str(ROOT / "knightlite"), quiet=1)  # as pip did with the peers' packages
    if not DATA.is_dir():
        print(f"The pictures and models are not here: {DATA} does not exist.", file=sys.stderr)
        return 1
    if arguments.yolox and importlib.util.find_spec("pycocotools") is None:
        print("--yolox needs pycocotools: pip install pycocotools.", file=sys.stderr)
        return 1
    names = known if arguments.models is None else arguments.models.split(",")
    names = [] if names == ["none"] else names
    if set(names) - set(known):
        print(f"Unknown models: {', '.join(sorted(set(names) - set(known)))}.", file=sys.stderr)
        return 2
    ways = [way for way in WAYS if not arguments.tools or way.tool in arguments.tools.split(",")]
    if any(way.tool != "knightlite" for way in ways):
        make_peers()
    rows: list[dict[str, Any]] = []

    def keep(row: dict[str, Any]) -> dict[str, Any]:
        rows.append(row)
        if arguments.json:
            arguments.json.write_text(json.dumps(rows, indent=1) + "\n")
        return row

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if names:
            print(HEADER)
        for case in CASES:
            if case.name in names:
                for row in classifier_rows(case, ways, folder):
                    print_row(keep(row))
        if arguments.planted:
            for plant in (loud_stream, rare_digits):
                tried = [way for way in PLANTED_WAYS if way in ways or way.off]
                for row in planted_rows(plant(folder), tried, folder):
                    print_row(keep(row))
        if arguments.yolox:
            for row in yolox_rows(ways, folder):
                print_row(keep(row))
        if arguments.densenet121:
            found = []
            for row in densenet_rows([int(item) for item in arguments.counts.split(",")], folder):
                found.append(keep(row))
                print_row(row)
            print_ratios(found, min(DENSENET_PICTURES), max(DENSENET_PICTURES))
        if arguments.mobilenet_v2:
            for row in mobilenet_rows(folder):
                print_row(keep(row))
    if arguments.markdown:
        arguments.markdown.write_text(markdown(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
