"""Knight's words that are not options of ours: accepted without effect, or not done yet.

One table per command. The parser, ``--help``, the keys of run-config files and the tables of
docs/knight.md all come from here and from the options that the commands declare.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Word:
    """An option of Knight's: its names, the placeholder of its value ("" for a switch), a remark.

    ``done``: values that ask for what is done anyway; any other value is one for later. Where
    ``values``: the option is one of ours, and these values of it are for later.
    """

    names: tuple[str, ...]
    value: str
    remark: str
    done: tuple[str, ...] = ()
    values: tuple[str, ...] = ()


# command -> what its accepted words do here
ACCEPTED: Mapping[str, tuple[Word, ...]] = {
    "quant": (
        Word(("-cn", "--cpu-num"), "N", "ONNX Runtime takes the cores it finds"),
        Word(("-am", "--accelerate-model"), "", "the quantized model is standard ONNX already"),
        Word(("-do", "--disable-onnxsim"), "", "onnxsim is not used"),
        Word(("-od", "--output-dequant"), "", "outputs of the quantized model are real numbers"),
        Word(("-uis", "--unify-input-scale"), "", "the inputs of a Concat always share one scale"),
        Word(("-ov", "--opset-version"), "N", "the opset of written models is fixed"),
    ),
    "compile": (
        Word(("--debug",), "", "every binary holds the names that sim --debug needs"),
        Word(("-gp", "--general-process"), "1", "quant -gp has decided it"),
        Word(
            ("--transformer-opt",),
            "",
            "attention runs on the engines anyway: products of two tensors, Softmax of heads",
        ),
        Word(("--rgb",), "", "an input has the channels that its model says, 9 as well"),
        Word(
            ("-sr", "--serial-run"),
            "0|1",
            "a program is one network, and how its layers overlap is --opt-group's",
        ),
    ),
    "sim": (),
    "profile": (),
    "compare": (),
    "build": (),
}  # fmt: skip

# command -> what its words for later would do
LATER: Mapping[str, tuple[Word, ...]] = {
    "quant": (
        Word(("-lt", "--layer-threshold"), "LOW HIGH", "range of LayerNormalization"),
        Word(("-snn", "--start-node-names"), "NAMES", "tf2onnx --inputs cuts a TensorFlow model"),
        Word(("-enn", "--end-node-names"), "NAMES", "tf2onnx --outputs does"),
        Word(("-c2chw", "--convert2chw"), "", "tf2onnx --inputs-as-nchw does it"),
        Word(("-sp", "--spin-quant"), "", "a more accurate quantization"),
        Word(("-td", "--ts-drop"), "", "a more accurate quantization"),
        Word(("-wm", "--weight-mode"), "int4", "4-bit weights"),
    ),
    "compile": (
        Word(("--net",), "FILE", "networks of Caffe: quantize the ONNX model instead"),
        Word(("-w", "--weight"), "FILE", "their weights"),
        Word(
            ("-hrm", "--hardware-resource-mode"),
            "MODE",
            "a part of the memories: a chip file with smaller ones does it",
            ("super",),
        ),
    ),
    "sim": (),
    "profile": (),
    "compare": (),
    "build": (),
}  # fmt: skip

KNIGHT = "Knight"  # the program, as scripts call it

# Knight's names of our commands, of 2.x and 3.x
ALIASES: Mapping[str, str] = {
    "rne-compile": "compile",
    "rne-sim": "sim",
    "run": "sim",
    "rne-profiling": "profile",
    "profiling": "profile",
    "model_check.py": "model_check",
    "npy2bin.py": "npy2bin",
}

# Knight's helpers that are programs of their own; the wheel has them, and docs/knight.md
PROGRAMS = (
    "show_sim_result", "model_info", "model_modifier", "model_check.py", "npy2bin.py", "bin2header",
)  # fmt: skip


def later_word(command: str, name: str, value: str) -> Word | None:
    """The word for later that this option and value are."""
    for word in LATER.get(command, ()):
        if name in word.names:
            asks_for_it = value in word.values if word.values else value not in word.done
            return word if asks_for_it else None
    return None
