"""Text recognition in the way of Knight's model zoo: reads every attribute of the executor.

A line of six digits, [N, 3, 32, 96], gives scores [N, 10, 1, 6]: one column per digit.
"""

import os

import numpy as np
from onnx_quantize_tool.common.register import onnx_infer_func
from PIL import Image

FLOAT, UINT8 = 1, 2  # of ONNX


class Lines:
    """``label.txt`` with lines ``picture<TAB>text``, as PaddleOCR has it."""

    def __init__(self, folder):
        self.folder = folder
        with open(os.path.join(folder, "label.txt")) as file:
            self.rows = [line.rstrip("\n").split("\t") for line in file if line.strip()]

    def batches(self, size, shape):
        for first in range(0, len(self.rows), size):
            rows = self.rows[first : first + size]
            pictures = [self.picture_of(self.folder, name, shape) for name, _ in rows]
            yield np.stack(pictures), [text for _, text in rows]

    @staticmethod
    def picture_of(folder, name, shape):
        channels, height, width = shape
        image = Image.open(os.path.join(folder, name)).convert("RGB")
        x = np.asarray(image.resize((width, height)), np.float32).transpose(2, 0, 1)
        return (x[:channels] / 255 - 0.5) / 0.5


def decode(scores):
    """[N, 10, 1, columns] -> one string per line."""
    return ["".join(str(digit) for digit in line) for line in scores[:, :, 0].argmax(axis=1)]


@onnx_infer_func.register("infer_ocr")
def infer_ocr(executor):
    executor.init_shape_info()
    (name,) = executor.input_nodes
    shape = executor.shape_dicts[name]
    if executor.run_mode not in ("quant", "infer", "auto_quant", "compare"):
        raise ValueError(f"run mode {executor.run_mode}")
    if executor.gpu >= 0:
        print(f"running on device {executor.gpu}")
    for config in executor.input_configs_dict:
        print(f"input {config}")
    dtype = np.uint8 if executor.input_types[name] == UINT8 else np.float32
    nodes = executor.output_name_to_node_name()
    print(", ".join(f"{output} of node {nodes[output]}" for output in executor.output_node_list))

    os.makedirs(executor.save_dir, exist_ok=True)
    right = total = 0
    with open(os.path.join(executor.save_dir, "predictions.txt"), "w") as log:
        batches = Lines(executor.dataset).batches(executor.batch_size, shape[1:])
        for i, (x, texts) in enumerate(batches):
            (scores,) = executor.forward(x.astype(dtype))
            guesses = decode(np.asarray(scores))
            log.writelines(f"{guess}\t{text}\n" for guess, text in zip(guesses, texts, strict=True))
            right += sum(guess == text for guess, text in zip(guesses, texts, strict=True))
            total += len(texts)
            if i + 1 == executor.iteration or executor.early_stop_flag:
                break
    return right / total


@onnx_infer_func.register("infer_line")
def infer_line(executor):
    """One line of text, and what the simulator is fed with."""
    folder, name = os.path.split(executor.dataset)
    x = Lines.picture_of(folder, name, (3, 32, 96))[None].astype(np.float32)
    x.tofile(os.path.join(executor.save_dir, "model_input.bin"))
    print("text:", *decode(np.asarray(executor.forward(x)[0])))
