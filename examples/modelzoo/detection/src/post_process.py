"""Boxes from the heads: for the infer function, and for what the simulator wrote.

python src/post_process.py --numpys result-head8.npy result-head16.npy --scales 0.05 0.04
"""

import argparse

import numpy as np

SIZE = 96
SCORE, OVERLAP = 0.5, 0.45


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def iou(boxes, box):
    """Intersection over union of rows (left, top, right, bottom) with one box."""
    corner = np.maximum(boxes[:, :2], box[:2]), np.minimum(boxes[:, 2:], box[2:])
    inside = np.clip(corner[1] - corner[0], 0, None).prod(axis=1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return inside / (areas + (box[2:] - box[:2]).prod() - inside)


def decode(heads):
    """Rows (class, score, left, top, right, bottom) after non-maximum suppression."""
    rows = []
    for head in heads:
        head = head[0].astype(np.float32)
        stride = SIZE // head.shape[1]
        y, x = np.mgrid[0 : head.shape[1], 0 : head.shape[2]]
        centre = np.stack([x + head[0], y + head[1]]) * stride
        half = np.exp(head[2:4]) * stride / 2
        classes = sigmoid(head[5:])
        score = sigmoid(head[4]) * classes.max(axis=0)
        table = np.stack([classes.argmax(axis=0), score, *(centre - half), *(centre + half)])
        rows.append(table.reshape(6, -1).T)
    boxes = np.concatenate(rows)
    boxes = boxes[boxes[:, 1] > SCORE]
    boxes = boxes[np.argsort(-boxes[:, 1], kind="stable")]
    kept = []
    while len(boxes):
        kept.append(boxes[0])
        boxes = boxes[1:][iou(boxes[1:, 2:], boxes[0, 2:]) < OVERLAP]
    return np.array(kept).reshape(-1, 6)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--numpys", nargs="+", required=True)
    parser.add_argument("--scales", nargs="+", required=True, type=float)
    arguments = parser.parse_args()
    pairs = zip(arguments.numpys, arguments.scales, strict=True)
    for row in decode([np.load(path) * np.float32(scale) for path, scale in pairs]):
        print(f"class {row[0]:.0f} score {row[1]:.3f} box " + " ".join(f"{v:.1f}" for v in row[2:]))
