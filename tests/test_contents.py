"""Files that are no networks: the sentence says what they are, for every command that takes one."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from knightlite.contents import NAME_A_MODEL, content_of
from knightlite.frontend.qdq import REDO
from knightlite.preprocess.formats import BEGINNINGS, DECODERS, NAMES
from refusals import Refusal

CFG = "digits_quantize_r.cfg"


def drawn(name: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (7, 5), (200, 20, 90)).save(file, name)
    return file.getvalue()


def arrays(kind: str) -> bytes:
    file = io.BytesIO()
    if kind == "npy":
        np.save(file, np.arange(6))
    else:
        np.savez(file, a=np.arange(6), b=np.zeros(2))
    return file.getvalue()


def test_every_picture_that_is_read_is_told() -> None:
    assert tuple(sorted(BEGINNINGS)) == NAMES
    for name in (*DECODERS, "PPM"):
        assert content_of(drawn(name)) == f"a {name} picture"
        assert content_of(drawn(name)[:40]) == f"a {name} picture"  # a damaged one still is


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "an empty file"),
        (b"zero\none\n", "a text"),
        ("zwölf\n".encode() * 1000, "a text"),  # a letter is cut where looking ends
        (b"\n", ""),
        (b"\xff" * 50, ""),
        (b"a\0text", ""),
        (bytes(100), ""),
        (arrays("npy"), "an array of numpy (.npy)"),
        (arrays("npz"), "an archive of numpy's arrays (.npz)"),
        (arrays("npz")[:50], "a zip archive"),
    ],
    ids=range(10),
)
def test_contents(data: bytes, told: str) -> None:
    assert content_of(data) == told


def test_own_files_and_networks(here: Path) -> None:
    compiled = "file of a compiled network"
    stem = Path(CFG).stem
    assert content_of(Path(CFG).read_bytes()) == f"a configuration (.cfg) {compiled}"
    assert content_of(Path(f"{stem}.weight").read_bytes()) == f"a weight (.weight) {compiled}"
    assert content_of(Path(f"{stem}.tsmodel").read_bytes()) == f"a model (.tsmodel) {compiled}"
    parameters = Path("digits.pdiparams").read_bytes()
    assert content_of(parameters) == "a file of Paddle's parameters (.pdiparams)"
    for name in ("digits.onnx", "digits.pdmodel"):
        assert content_of(Path(name).read_bytes()) == ""


def test_every_command_says_what_a_file_is(here: Path, refused: Refusal) -> None:
    Path("0300.png").write_bytes(drawn("PNG"))
    picture = "0300.png is a PNG picture, not"
    for words in (["check", "-m"], ["quant", "-m"], ["eval", "--data", "calib"]):
        refused([*words, "0300.png"], 2, f"{picture} a network.", NAME_A_MODEL)
    refused(["check", "-f", "onnx", "-m", "0300.png"], 1, f"{picture} an ONNX model.", NAME_A_MODEL)
    refused(["compile", "--onnx", "0300.png"], 2, f"{picture} a quantized .onnx file.", REDO)
    refused(
        ["check", "-f", "paddle", "-m", "0300.png"], 1, f"{picture} a Paddle program.", NAME_A_MODEL
    )
    for option, kind in (("--config", "configuration (.cfg)"), ("-m", "model (.tsmodel)")):
        sentence = f"{picture} a {kind} file."
        refused(["profile", option, "0300.png"], 2, sentence, "compile writes such a file")
    refused(
        ["inspect", "0300.png"],
        2,
        "0300.png is a PNG picture, neither a .cfg, a .weight nor a .tsmodel file of knightlite.",
        "inspect reads what compile wrote",
    )


def test_a_file_under_the_name_of_a_network(here: Path, refused: Refusal) -> None:
    shutil.copy(CFG, "net.onnx")
    sentence = "net.onnx is a configuration (.cfg) file of a compiled network, not an ONNX model."
    refused(["quant", "-m", "net.onnx"], 1, sentence, NAME_A_MODEL)
    Path("net.onnx").write_bytes(b"")
    again = "export or copy the model again"
    refused(["quant", "-m", "net.onnx"], 1, "net.onnx is an empty file, not an ONNX model.", again)
