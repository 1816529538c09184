"""Infer function for ``knightlite quant -uds examples/detection/calibrate.py -if pictures``.

``-d`` is the folder of pictures, whose annotations lie in it in COCO's way or are named by the
variable ANNOTATIONS; the pictures are those that ``evaluate.py`` leaves out, and ``-i`` says how
many of them. ``python calibrate.py --data COCO`` prints their names.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from coco import open_coco, split
from yolox import letterbox

COUNT = 20
ANNOTATIONS = "ANNOTATIONS"  # in the environment: quant hands no option on to a script

try:
    from onnx_quantize_tool.common.register import onnx_infer_func
except ModuleNotFoundError:  # run by itself: that package exists while quant runs a script
    onnx_infer_func = None


def pictures(executor: Any) -> None:
    """Feed the letterboxed pictures, one at a time; there is no metric."""
    named = os.environ.get(ANNOTATIONS)
    photos, _ = split(
        open_coco(Path(executor.dataset), Path(named) if named else None).photos, COUNT
    )
    executor.init_shape_info()
    (shape,) = executor.shape_dicts.values()
    for photo in photos[: executor.iteration]:
        executor.forward(letterbox(photo.path, tuple(shape[2:]))[0][None])


def main() -> None:
    parser = argparse.ArgumentParser(description="File names of the pictures set aside.")
    parser.add_argument("--data", type=Path, required=True, help="folder of pictures")
    parser.add_argument("--annotations", type=Path, metavar="FILE", help="in COCO's format")
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    for photo in split(
        open_coco(arguments.data, arguments.annotations).photos, arguments.count, arguments.seed
    )[0]:
        print(photo.path.name)


if __name__ == "__main__":
    main()
elif onnx_infer_func is not None:
    onnx_infer_func.register("pictures")(pictures)
