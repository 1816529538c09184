"""Detection in the way of Knight's model zoo: a coco128.yaml, letterboxed pictures, recall.

The network is cut before its decoder: it delivers two heads [N, 8, H, W] of (x, y, w, h, object,
three classes), which ``post_process.decode`` turns into boxes.
"""

import os

import numpy as np
import post_process
from onnx_quantize_tool.common.register import onnx_infer_func
from PIL import Image

SIZE = 96
GREY = 114
IOU = 0.5


def read_yaml(path):
    """The keys of a coco128.yaml: ``key: value`` lines, names as ``number: name`` below them."""
    found = {"names": {}}
    with open(path) as file:
        lines = [line.split("#")[0].partition(":") for line in file]
    for key, _, value in lines:
        if key.startswith(" ") and value.strip():
            found["names"][int(key)] = value.strip()
        elif value.strip():
            found[key.strip()] = value.strip()
    return found


def letterbox(image):
    """The picture in the middle of a grey square, and (scale, left, top) to undo it."""
    scale = SIZE / max(image.size)
    width, height = (round(side * scale) for side in image.size)
    left, top = (SIZE - width) // 2, (SIZE - height) // 2
    square = Image.new("RGB", (SIZE, SIZE), (GREY, GREY, GREY))
    square.paste(image.resize((width, height), Image.Resampling.BILINEAR), (left, top))
    x = np.asarray(square, np.float32).transpose(2, 0, 1) / 255
    return x.astype(np.float32), (scale, left, top)


def samples(yaml_path):
    """(picture, label file) pairs of the data set."""
    config = read_yaml(yaml_path)
    folder = os.path.join(os.path.dirname(yaml_path), config["path"], config["val"])
    for name in sorted(os.listdir(folder)):
        picture = os.path.join(folder, name)
        yield picture, picture.replace("images", "labels").rsplit(".", 1)[0] + ".txt"


def read_labels(path, image, placed):
    """Rows (class, left, top, right, bottom) in the letterboxed picture."""
    scale, left, top = placed
    rows = np.loadtxt(path, ndmin=2)
    centre = rows[:, 1:3] * image.size * scale + (left, top)
    half = rows[:, 3:5] * image.size * scale / 2
    return np.concatenate([rows[:, :1], centre - half, centre + half], axis=1)


@onnx_infer_func.register("infer_detection")
def infer_detection(executor):
    found = total = 0
    for i, (path, label_path) in enumerate(samples(executor.dataset)):
        image = Image.open(path).convert("RGB")
        x, placed = letterbox(image)
        heads = executor.forward(x[None])
        boxes = post_process.decode(heads)
        for label in read_labels(label_path, image, placed):
            hits = post_process.iou(boxes[:, 2:], label[1:]) >= IOU
            found += bool((hits & (boxes[:, 0] == label[0])).any())
            total += 1
        if i + 1 == executor.iteration:
            break
    return 100 * found / total
