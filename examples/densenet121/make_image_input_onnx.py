"""Write `model_input.bin`, the raw input that the simulator runs.

    python make_image_input_onnx.py --input DIR --outpath DIR [--proc_mode onnx]

The file holds float32 pictures, N x 3 x 224 x 224, without a header. `onnx` and `caffe2onnx` write
the ten oldest pictures below --input, `tf2onnx` the oldest one. Pictures are stretched to 256x256
and cut at [15:239]; calibration crops otherwise, so the two never see exactly the same pixels.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

NEEDED = 10
WRITTEN = {"onnx": 10, "caffe2onnx": 10, "tf2onnx": 1}
SUFFIXES = (".jpg", ".jpeg", ".png")
MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)
STD = np.array([0.229, 0.224, 0.225], dtype=np.float32)


def find_pictures(folder: Path) -> list[Path]:
    """All pictures below the folder, oldest first; the name decides between equal times."""
    found = [path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES]
    return sorted(found, key=lambda path: (path.stat().st_ctime_ns, path.as_posix()))


def prepare(image: Image.Image) -> NDArray[np.float32]:
    """One picture to float32 [3, 224, 224]."""
    square = image.convert("RGB").resize((256, 256), Image.Resampling.BILINEAR)
    crop = np.asarray(square, dtype=np.float32)[15:239, 15:239] / np.float32(255)
    return np.ascontiguousarray(((crop - MEAN) / STD).transpose(2, 0, 1))


def write_input(folder: Path, outpath: Path, proc_mode: str = "onnx") -> Path:
    """Write `outpath/model_input.bin`; ValueError when the folder holds too few pictures."""
    paths = find_pictures(folder)
    if len(paths) < NEEDED:
        raise ValueError(f"{folder} must hold at least {NEEDED} pictures, not {len(paths)}")
    batch = np.stack([prepare(Image.open(path)) for path in paths[: WRITTEN[proc_mode]]])
    outpath.mkdir(parents=True, exist_ok=True)
    target = outpath / "model_input.bin"
    batch.tofile(target)
    return target


def main() -> int:
    parser = argparse.ArgumentParser(description="Write model_input.bin from a folder of pictures.")
    parser.add_argument("--input", type=Path, default=Path())
    parser.add_argument("--outpath", type=Path, default=Path())
    parser.add_argument("--proc_mode", choices=tuple(WRITTEN), default="onnx")
    arguments = parser.parse_args()
    try:
        print(write_input(arguments.input, arguments.outpath, arguments.proc_mode))
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
