"""The infer functions of the Paddle projects: pictures by Pillow, integers to the network."""

import os

import numpy as np
from onnx_quantize_tool.common.register import onnx_infer_func
from PIL import Image


def listed(folder):
    """Pictures and the number of the folder that each is in."""
    for label, kind in enumerate(sorted(os.listdir(folder))):
        for name in sorted(os.listdir(os.path.join(folder, kind))):
            yield os.path.join(folder, kind, name), label


def shape(executor):
    """Height and width that the network reads."""
    executor.init_shape_info()
    name = executor.input_nodes[0]
    return [int(length) for length in executor.shape_dicts[name][-2:]]


def picture(path, size):
    height, width = size
    pixels = np.asarray(Image.open(path).convert("RGB").resize((width, height)))
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None]).astype(np.uint8)


def walk(executor, judge):
    """The mean of what ``judge`` says of every picture's outputs."""
    seen = []
    for i, (path, label) in enumerate(listed(executor.dataset)):
        x = picture(path, shape(executor))
        seen.append(judge(executor.forward(x), label))
        if i == 0:
            x.tofile(os.path.join(executor.save_dir, "model_input.bin"))
        if i + 1 == executor.iteration:
            break
    return 100 * float(np.mean(seen))


@onnx_infer_func.register("infer_imagenet_benchmark")
def infer_imagenet_benchmark(executor):
    return walk(executor, lambda outputs, label: np.argmax(outputs[0]) == label)


@onnx_infer_func.register("infer_detector")
def infer_detector(executor):
    """Share of the values above their mean, a stand-in for boxes that match."""

    def share(outputs, _):
        flat = np.concatenate([np.asarray(output).ravel() for output in outputs])
        return (flat > flat.mean()).mean()

    return walk(executor, share)
