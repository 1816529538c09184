"""Formats that knightlite does not read itself: how each becomes an ONNX file or a model function.

Converting them needs their own framework (TensorFlow, Caffe, MindSpore); what comes out is ONNX,
and that is read.
"""

from __future__ import annotations

from pathlib import Path

from knightlite.errors import KnightliteError, UnsupportedError

FRAMEWORKS = ("caffe", "tensorflow", "mindspore")
SUFFIXES = {
    ".pth": "torch weights",
    ".pt": "torch weights",
    ".prototxt": "caffe",
    ".caffemodel": "caffe",
    ".pb": "tensorflow",
    ".h5": "tensorflow",
    ".keras": "tensorflow",
    ".tflite": "tensorflow",
    ".mindir": "mindspore",
    ".ckpt": "mindspore",
}
# how tf2onnx is told the kind of file; a folder is a SavedModel
TF2ONNX = {".pb": "--graphdef", ".h5": "--keras", ".keras": "--keras", ".tflite": "--tflite"}


def refusal(path: Path, kind: str) -> KnightliteError:
    """The sentence for a file of ``kind`` (a value of SUFFIXES), with the way to convert it."""
    target = path.with_suffix(".onnx").name
    if kind == "torch weights":
        return UnsupportedError(
            f"{path} holds PyTorch weights, and the network is Python code.",
            f"-f pytorch -m FUNCTION -w {path.name} -uds SCRIPT, where SCRIPT marks the function "
            'that builds the network with @pytorch_model.register("FUNCTION")',
        )
    if kind == "tensorflow":
        return UnsupportedError(
            f"{path} is a TensorFlow model, which tf2onnx must convert first.",
            f"{tf2onnx_command(path, target)}; pass {target}",
        )
    if kind == "mindspore":
        return UnsupportedError(
            f"{path} is a MindSpore model, which MindSpore must export first.",
            "mindspore.export(network, mindspore.Tensor(numpy.zeros((1, 3, 224, 224), "
            f"numpy.float32)), file_name={path.stem!r}, file_format='ONNX'); pass {target}",
        )
    return UnsupportedError(
        f"{path} is a Caffe model, which must be converted to ONNX elsewhere.",
        "a converter such as caffe2onnx (python -m caffe2onnx.convert --prototxt X.prototxt "
        f"--caffemodel X.caffemodel --onnx {target}); pass {target}",
    )


def tf2onnx_command(path: Path, target: str) -> str:
    """The command that converts a TensorFlow model; its graph has [N, C, H, W] inputs then."""
    option = TF2ONNX.get(path.suffix.lower(), "--saved-model")
    names = " --inputs INPUT:0 --outputs OUTPUT:0" if option == "--graphdef" else ""
    return (
        f"python -m tf2onnx.convert {option} {path}{names} --inputs-as-nchw INPUT:0 --opset 13 "
        f"--output {target}"
    )
