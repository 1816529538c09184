"""Average precision of YOLOX models on annotated pictures, all of them in one pass.

    python examples/detection/evaluate.py --data COCO yolox_nano.onnx out/yolox_nano_quantize.onnx

A model is a float or quantized .onnx file, or a compiled network (.cfg or .tsmodel), which is
simulated. The pictures that calibration uses are left out: by default those of a seeded split.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy is imported; as the CLI does

from coco import Coco, Photo, Precision, average_precision, open_coco, read_list, split
from numpy.typing import NDArray
from yolox import Detections, detect, letterbox

import knightlite
from knightlite.errors import KnightliteError
from knightlite.inference import session

Array = NDArray[Any]
Forward = Callable[[Array], Array]  # [1, 3, H, W] -> [1, cells, 5 + classes]
CALIBRATION_PICTURES = 20


def forward_of(path: Path, threads: int = 1) -> tuple[Forward, tuple[int, int]]:
    """The network of a file, and the height and width it reads."""
    if path.suffix == ".onnx":
        runner = session(path.read_bytes(), threads)
        (entry,), (shape,) = runner.inputs, runner.input_shapes
        return lambda x: runner.run(None, {entry: x})[0], tuple(shape[2:])
    chip = knightlite.Session(path)
    (fed,) = chip.get_inputs()
    return lambda x: chip.run(None, {fed.name: x})[0], fed.shape[2:]


def evaluate(
    models: Mapping[str, tuple[Forward, tuple[int, int]]],
    coco: Coco,
    photos: Sequence[Photo],
    progress: Callable[[int], None] = lambda done: None,
) -> dict[str, Precision]:
    """The precision of each model; each picture is prepared once per input size."""
    found: dict[str, dict[int, Detections]] = {name: {} for name in models}
    for done, photo in enumerate(photos, start=1):
        prepared = {size: letterbox(photo.path, size) for _, size in models.values()}
        for name, (forward, size) in models.items():
            picture, scale = prepared[size]
            found[name][photo.number] = detect(forward(picture[None])[0], size, scale)
        progress(done)
    return {name: average_precision(coco, photos, found[name]) for name in models}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+", type=Path, metavar="MODEL")
    parser.add_argument("--data", type=Path, required=True, help="folder of pictures")
    parser.add_argument("--annotations", type=Path, metavar="FILE",
                        help="in COCO's format [default: annotations/instances_*.json below "
                        "the folder]")  # fmt: skip
    parser.add_argument("--calibration", type=Path, metavar="LIST",
                        help="names left out, one a line [default: a seeded split]")  # fmt: skip
    parser.add_argument("--count", type=int, default=CALIBRATION_PICTURES,
                        help="pictures set aside; 0: none [default: %(default)s]")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="of the split [default: %(default)s]")
    parser.add_argument("--limit", type=int, help="stop after so many pictures")
    parser.add_argument("--threads", type=int, default=2, help="of ONNX Runtime")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    coco = open_coco(arguments.data, arguments.annotations)
    photos: tuple[Photo, ...] = coco.photos
    if arguments.calibration:
        _, photos = read_list(photos, arguments.calibration)
    elif arguments.count:
        _, photos = split(photos, arguments.count, arguments.seed)
    photos = photos[: arguments.limit]
    try:
        models = {str(path): forward_of(path, arguments.threads) for path in arguments.models}
        found = evaluate(models, coco, photos, lambda done: print(
            f"\r{done} of {len(photos)} pictures", end="", file=sys.stderr))  # fmt: skip
    except (KnightliteError, OSError) as error:
        print(f"\nError: {error}", file=sys.stderr)
        return 1
    print(file=sys.stderr)
    rows = [
        {"model": name, "pictures": len(photos), **asdict(item)} for name, item in found.items()
    ]
    if arguments.json:
        print(json.dumps(rows, indent=1))
        return 0
    first = rows[0]
    print(f"{'mAP':>6} {'AP50':>6} {'drop':>6}  model, {len(photos)} pictures")
    for row in rows:
        drop = first["map"] - row["map"]
        print(f"{row['map']:6.3f} {row['ap50']:6.3f} {drop:+6.3f}  {row['model']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
