"""Bad inputs through the command line: a sentence, a hint, exit 1 or 2, and nothing left behind.

Damaged bytes are in test_bad_bytes.py.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper
from PIL import Image

from knightlite.cli.program import run
from onnx_nets import Net
from refusals import Refusal, flip, snapshot

STEM = "digits_quantize"
SIM = ["sim", "--input", "inputs/x.bin"]
QUANT = ["quant", "-m", "digits.onnx"]
PICTURES = [*QUANT, "-d", "calib", "--recipe"]
INSIDE = "name the file inside it"
OTHER_FOLDER = "name another folder"

# ------------------------------------------------------------------ files that are not there

NO_FILE = "check the name and the folder"
LEFT_CFG = f"the stages run here left {STEM}_r.cfg"
LEFT_ONNX = f"the stages run here left digits.onnx, {STEM}.onnx, {STEM}_golden.onnx"


@pytest.mark.parametrize(
    ("arguments", "code", "sentence", "hint"),
    [
        (["quant", "-m", "no.pdmodel"], 2, "There is no file no.pdmodel.", NO_FILE),
        (["quant", "-m", "no.onnx"], 2, "There is no file no.onnx.", NO_FILE),
        (["check", "-m", "no.onnx"], 2, "There is no file no.onnx.", NO_FILE),
        (["quant", "-m", "digits.pdmodel", "-w", "no.pdiparams"], 2,
         "There is no file no.pdiparams.", NO_FILE),
        ([*QUANT, "-uds", "no.py", "-if", "f"], 2, "user script no.py does not exist.",
         "name it with -uds FILE"),
        ([*QUANT, "-d", "no", "--recipe", "digits"], 2, "picture folder no does not exist.", ""),
        ([*QUANT, "-d", "labels.txt", "--recipe", "digits"], 2,
         "picture folder labels.txt is a file, not a folder.", ""),
        ([*PICTURES, "no.toml"], 2,
         "recipe file no.toml cannot be read: No such file or directory.", ""),
        (["quant", "-m", "no_quantize.onnx", "-r", "infer"], 2,
         "file no_quantize.onnx does not exist.", LEFT_ONNX),
        (["compile", "--onnx", "no.onnx"], 2, "file no.onnx does not exist.", LEFT_ONNX),
        (["compile", "--onnx", "calib"], 2, "calib is a folder, not a file.", INSIDE),
        ([*SIM, "--config", "no.cfg"], 2, "file no.cfg does not exist.", LEFT_CFG),
        ([*SIM, "--weight", "no.weight"], 2, "file no.weight does not exist.",
         f"the stages run here left {STEM}_r.weight"),
        ([*SIM, "--labels", "no.txt"], 1,
         "labels file no.txt cannot be read: No such file or directory.", ""),
        ([*SIM, "--check", "--golden", "no.onnx"], 2, "the golden model no.onnx does not exist.",
         "compile writes it; or use --golden"),
        (["sim", "--input", "no.bin"], 1, "input file no.bin does not exist.", ""),
        (["sim", "--input", "calib"], 1, "input file calib does not exist.", ""),
        (["sim", "--input", "no.jpg"], 1, "picture no.jpg does not exist.", ""),
        (["sim", "--input", "inputs/x.bin:no.bin"], 1, "input file no.bin does not exist.", ""),
        (["profile", "--config", "no.cfg"], 2, "file no.cfg does not exist.", LEFT_CFG),
        (["profile", "--weight", "calib"], 2, "calib is a folder, not a file.", INSIDE),
        (["inspect", "no.cfg"], 2, "file no.cfg does not exist.", LEFT_CFG),
        (["inspect", "calib"], 2, "calib is a folder, not a file.", INSIDE),
        (["explain", "--onnx", "no.onnx"], 2, "file no.onnx does not exist.", LEFT_ONNX),
        (["chips", "no.toml"], 2, "chip file no.toml does not exist.", ""),
        ([*SIM, "--chip", "no.toml"], 2, "chip file no.toml does not exist.", ""),
    ],
)  # fmt: skip
def test_missing_files(
    refused: Refusal, arguments: list[str], code: int, sentence: str, hint: str
) -> None:
    refused(arguments, code, sentence, hint)


def test_missing_weights_beside_the_model(here: Path, refused: Refusal) -> None:
    (here / "digits.pdiparams").unlink()
    sentence = "There is no weight file digits.pdiparams beside digits.pdmodel."
    refused(["quant", "-m", "digits.pdmodel"], 2, sentence, "give it with -w/--weight")


# ------------------------------------------------------------------ options

EXPORT = "export the model with torch.onnx.export and pass the .onnx"
KNOWN_RECIPES = (
    "take one of cifar10, cifar10_densenet, digits, imagenet, imagenet_pm1, ppocr_cls, raw, or "
    "name a recipe file of your own, such as my.toml"
)
KNOWN_CHIPS = (
    "one of TX5105C, TX5103C, TX5105CV100, TX5103CV100, TX5101C, TX5101D, TX5101E, TX5112CV201, "
    "TX5112DV201, TX5239CV201, TX5239DV201, TX5368AV200, TX5339AV200, TX5335AV200, or your own "
    "chip file NAME.toml"
)


@pytest.mark.parametrize(
    ("arguments", "code", "sentence", "hint"),
    [
        # what comes later
        (["quant", "-m", "x.json"], 2, "x.json: Paddle's PIR format (.json) is not supported yet.",
         "save the model as .pdmodel: *"),
        (["quant", "-m", "x.pth"], 2, "x.pth: PyTorch weights (.pth) are not supported yet.",
         EXPORT),
        (["quant", "-m", "x.prototxt"], 2,
         "x.prototxt: Caffe models (.prototxt) are not supported yet.",
         "convert the model to ONNX and pass the .onnx"),
        ([*QUANT, "-f", "pytorch"], 2, "digits.onnx: PyTorch weights (.pth) are not supported yet.",
         EXPORT),
        ([*QUANT, "-qm", "kl_v2"], 2, "the range method kl_v2 is not supported yet.",
         "take mse, min_max or kl"),
        ([*QUANT, "-b", "16"], 2, "Knight's option -b is not supported yet.",
         "leave it out; --help of the command lists its options"),
        (["rne-compile", "--general-process=1"], 2,
         "Knight's option --general-process is not supported yet.", "leave it out*"),
        (["build", "--run-config", "x.json"], 2, "Knight's command build is not supported yet.",
         "--help lists the commands"),
        # unknown values
        (["quant", "-m", "digits"], 2, "digits must end in .onnx or .pdmodel, but has no suffix.",
         "say the framework with -f/--framework"),
        ([*QUANT, "-f", "torch"], 2,
         "The framework must be one of onnx, paddle, pytorch, caffe, tensorflow, not torch.", ""),
        ([*QUANT, "-qm", "best"], 2, "the method must be one of kl, min_max, mse, not best.", ""),
        ([*PICTURES, "digit"], 2, "recipe digit is not known.", KNOWN_RECIPES),
        ([*QUANT, "-r", "all"], 2, "Invalid value for '-r' / '--run-mode': 'all' is not one of "
         "'quant', 'infer', 'convert'.", ""),
        ([*QUANT, "-i", "0"], 2, "iteration (-i) must be at least 1 and batch size (-bs) from 1 to "
         "4096, not 0 and 1.", ""),
        ([*QUANT, "-bs", "4097"], 2, "iteration (-i) must be at least 1 and batch size (-bs) from "
         "1 to 4096, not 1 and 4097.", ""),
        ([*QUANT, "-i", "many"], 2,
         "Invalid value for '-i' / '--iteration': 'many' is not a valid integer.", ""),
        ([*QUANT, "--seed", "-1"], 2, "the seed must be from 0 to 4294967295, not -1.", ""),
        ([*QUANT, "--color"], 2, "No such option: --color", ""),
        ([*SIM, "-fmt", "chw"], 2, "Invalid value for '-fmt' / '--format': 'chw' is not one of "
         "'nchw', 'nhwc', 'nhwcstride'.", ""),
        ([*SIM, "-fc", "0"], 2,
         "the frame count must be at least 1 and the frame step at least 0.", ""),
        ([*SIM, "-fs", "-1"], 2,
         "the frame count must be at least 1 and the frame step at least 0.", ""),
        ([*SIM, "--debug", "conv"], 2, "the program has no materialised tensor called conv.",
         "all, or one of *"),
        (["explain", "conv"], 2, f"{STEM}.onnx has no node called conv.",
         "knightlite explain without a name lists them all"),
        (["compute"], 2, "No such command 'compute'.", ""),
        (["quant", "pytorch", "-m", "x"], 2,
         "Invalid value for '[onnx]': 'pytorch' is not 'onnx'.", ""),
        (["quant"], 2, "Missing option '-m' / '--model'.", ""),
        (["inspect"], 2, "Missing argument 'FILE'.", ""),
        (["--chip"], 2, "Option '--chip' requires an argument.", ""),
        # contradictions
        ([*QUANT, "-f", "paddle"], 2,
         "digits.onnx is a model of onnx by its suffix, not of paddle.",
         "leave -f/--framework out"),
        ([*QUANT, "-w", "digits.pdiparams"], 2, "digits.onnx keeps its weights inside, so the "
         "weight file digits.pdiparams cannot be used.", "leave -w/--weight out"),
        (["quant", "-m", "digits.pdiparams"], 2, "digits.pdiparams holds weights, not a model.",
         "pass digits.pdmodel with -m"),
        ([*QUANT, "-d", "calib"], 2, "the pictures of calib need a recipe that prepares them.",
         "--recipe with one of *"),
        ([*QUANT, "--recipe", "digits"], 2, "--recipe prepares the pictures of a folder.",
         "name it with -d DIR"),
        ([*PICTURES, "digits", "-uds", "x.py"], 2,
         "a user script (-uds) prepares its own pictures: --recipe is unused.", ""),
        ([*QUANT, "-if", "infer"], 2,
         "infer function infer (-if) needs the script that defines it.", "name it with -uds FILE"),
        ([*QUANT, "-r", "convert"], 2, "converting digits.onnx would overwrite it.",
         "name another folder with -s DIR"),
        (["compile", "--onnx", "digits.onnx"], 2,
         "digits.onnx is a float model, not a quantized one.",
         "quantize it first: knightlite quant onnx -m digits.onnx"),
        (["compile", "--onnx", "digits.pdmodel"], 2,
         "digits.pdmodel must be a quantized .onnx file.",
         "quantize the float model with `knightlite quant onnx -m MODEL`"),
        (["quant", "-m", f"{STEM}.onnx"], 2, f"{STEM}.onnx must be a float model, but has 159 "
         "quantize and dequantize nodes.",
         "compile a quantized model directly, or pass the model it was made from"),
        (["compile", "--onnx", f"{STEM}_golden.onnx"], 2, f"{STEM}_golden.onnx*", "*"),
        ([*SIM, "--golden", f"{STEM}_golden.onnx"], 2,
         "--golden names what --check compares with.", "add --check"),
        ([*SIM, "--check", "--golden", "digits.onnx"], 2,
         f"digits.onnx and {STEM}_r.cfg are not of the same compile run.",
         "compile again, or name the golden model with --golden"),
        ([*SIM, "--recipe", "digits"], 2, "--recipe prepares a picture, but inputs/x.bin does not "
         "end in one of .jpg, .jpeg, .png, .bmp.", ""),
        (["sim", "--input", "x.png", "-fmt", "nchw"], 2,
         "the recipe decides the layout of picture x.png: -fmt is unused.", ""),
        # chips
        ([*QUANT, "--chip", "TX1"], 2, "chip TX1 is not known.", KNOWN_CHIPS),
        (["--chip", "TX1", "compile"], 2, "chip TX1 is not known.", KNOWN_CHIPS),
        (["check", "-m", "digits.onnx", "--chip", "TX1"], 2, "chip TX1 is not known.", KNOWN_CHIPS),
        (["chips", "TX1"], 2, "chip TX1 is not known.", KNOWN_CHIPS),
        ([*SIM, "--chip", "TX1"], 2, "chip TX1 is not known.", KNOWN_CHIPS),
        ([*SIM, "--chip", "TX5105C"], 2,
         f"{STEM}_r.cfg was compiled for chip TX5368AV200, not for TX5105C.",
         "leave --chip out, or compile for TX5105C"),
        (["profile", "--chip", "TX5105C"], 2,
         f"{STEM}_r.cfg was compiled for chip TX5368AV200, not for TX5105C.",
         "leave --chip out, or compile for TX5105C"),
        # shapes
        ([*QUANT, "-is", "1", "3", "32"], 2, "The shape for input x must have 4 dimensions "
         "[N, 3, 32, 32], not 3 [1, 3, 32].", ""),
        ([*QUANT, "-is", "1", "3", "0", "32"], 2,
         "The shape for input x must be positive, not [1, 3, 0, 32].", ""),
        ([*QUANT, "-is", "1", "3", "32", "99999999999"], 2, "The shape for input x must have sizes "
         "up to 65535, not [1, 3, 32, 99999999999].", ""),
        ([*QUANT, "-is", "1", "1", "32", "32"], 2, "digits.onnx cannot run on the NPU, one place "
         "is not supported: conv2d_0.tmp_0: Conv conv2d_0.tmp_0 must have 1 input channels, not 1 "
         "groups of 3.", "`knightlite check` lists every node with its reason"),
        ([*QUANT, "-is", "4", "3", "32", "32"], 2, "digits.onnx cannot run on the NPU, one place "
         "is not supported: x: the network input x must be [1, C, H, W], not (4, 3, 32, 32).",
         "give the shape with -is/--input-shapes where the batch is fixed to another size"),
        ([*QUANT, "-is", "1,3,32,32", "-is", "1,3"], 2,
         "digits.onnx has 1 inputs (x), but 2 shapes were given.", ""),
        ([*QUANT, "-is", "1,3,x"], 2,
         "Invalid value for '-is' / '--input-shapes': 1,3,x must be integers such as 1,3,48,192.",
         ""),
        ([*PICTURES, "imagenet"], 1, "calib/*", "take a recipe made for this input, *"),
    ],
)  # fmt: skip
def test_options(
    refused: Refusal, arguments: list[str], code: int, sentence: str, hint: str
) -> None:
    refused(arguments, code, sentence, hint)


def test_argument_that_is_not_text(here: Path, refused: Refusal) -> None:
    name = os.fsdecode(b"caf\xe9.onnx")
    shutil.copy("digits.onnx", name)
    sentence = "argument caf\N{REPLACEMENT CHARACTER}.onnx must be UTF-8 text."
    refused(["quant", "-m", name], 2, sentence, "rename the file or folder")


# ------------------------------------------------------------------ models


def test_unsupported_operators_are_all_listed(
    here: Path, refused: Refusal, capsys: pytest.CaptureFixture[str]
) -> None:
    net = Net()
    net.input("x", (1, 3, 8, 8))
    net.conv("x", "c", (4, 3, 3, 3))
    net.node("NonZero", ["c"], "where")
    net.node("Sin", ["c"], "s")
    net.node("LpNormalization", ["s"], "y")
    net.save(here, "y", "where")
    hint = "`knightlite check` lists every node with its reason"
    sentence = (
        "net.onnx cannot run on the NPU, 3 places are not supported: NonZero_where: NonZero is not "
        "supported yet and 2 more."
    )
    refused(["quant", "-m", "net.onnx"], 2, sentence, hint)
    _, lines = refused.run(["quant", "-m", "net.onnx"])
    assert [line for line in lines if line.startswith("  - ")] == [
        "  - NonZero_where: NonZero is not supported yet.",
        "  - Sin_s: Sin is not supported yet.",
        "  - LpNormalization_y: LpNormalization is not supported yet.",
    ]
    assert run(["check", "-m", "net.onnx"]) == 1
    assert "net does not run on TX5368AV200." in capsys.readouterr().out


def test_dynamic_dimensions(here: Path, refused: Refusal) -> None:
    net = Net()
    net.input("image", ("N", 3, "height", "width"))
    net.conv("image", "y", (4, 3, 3, 3))
    net.save(here, "y")
    refused(
        ["quant", "-m", "net.onnx"],
        2,
        "Input image of net.onnx has the dynamic shape [N, 3, height, width], but only the batch "
        "may be dynamic.",
        "fix the others with -is/--input-shapes, for example -is 1 3 224 224",
    )


@pytest.mark.parametrize(
    ("shape", "element", "sentence"),
    [
        ((4, 3, 8, 8), TensorProto.FLOAT, "must be [1, C, H, W], not (4, 3, 8, 8)."),
        ((1, 3, 8, 8), TensorProto.DOUBLE, "must be float32, not double."),
    ],
)
def test_inputs_of_another_kind(
    here: Path, refused: Refusal, shape: tuple[int, ...], element: int, sentence: str
) -> None:
    net = Net()
    net.input("x", shape, element)
    net.node("MaxPool", ["x"], "y", kernel_shape=[2, 2])
    net.save(here, "y")
    start = "net.onnx cannot run on the NPU, one place is not supported: x: the network input x "
    refused(["quant", "-m", "net.onnx"], 2, start + sentence, "*")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite(here: Path, refused: Refusal, value: float) -> None:
    model = onnx.load("digits.onnx")
    tensor = max(model.graph.initializer, key=lambda item: int(np.prod(item.dims)))
    values = numpy_helper.to_array(tensor).copy()
    values.flat[77] = value
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    onnx.save(model, "bad.onnx")
    refused(
        ["quant", "-m", "bad.onnx"],
        1,
        f"constant {tensor.name} must hold finite numbers, but it holds NaN or infinity "
        "(1 such constants in all).",
        "export the model again; its training may have diverged",
    )
    data = bytearray(Path("digits.pdiparams").read_bytes())
    data[-4:] = np.float32(value).tobytes()  # the last value of the last tensor
    Path("digits.pdiparams").write_bytes(data)
    refused(["quant", "-m", "digits.pdmodel"], 1, "digits.pdiparams *", "*")


# ------------------------------------------------------------------ pictures


def _text(path: Path) -> None:
    path.write_text("not a picture\n")


def _nothing(path: Path) -> None:
    path.write_bytes(b"")


def _truncated(path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _sixteen_bits(path: Path) -> None:
    Image.fromarray(np.full((32, 32), 40000, np.uint16)).save(path)


NOT_A_PICTURE = ("is not a picture that Pillow can read.", "remove the file or convert it")
BAD_PICTURES = [
    ("x.jpg", _text, "{} " + NOT_A_PICTURE[0], NOT_A_PICTURE[1]),
    ("x.png", _nothing, "{} " + NOT_A_PICTURE[0], NOT_A_PICTURE[1]),
    ("x.jpg", _truncated, "picture {} is damaged: *", "remove or replace the file"),
    ("x.png", _truncated, "picture {} is damaged: *", "remove or replace the file"),
    ("x.png", _sixteen_bits, "picture {} must have 8 bits per channel, not Pillow mode I;16.",
     "convert it to an 8-bit PNG or JPEG"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "make", "sentence", "hint"), BAD_PICTURES)
def test_bad_pictures(
    here: Path, refused: Refusal, name: str, make: Callable[[Path], None], sentence: str, hint: str
) -> None:
    (here / "bad").mkdir()
    make(here / "bad" / name)
    sentence = sentence.format(f"bad/{name}")
    refused([*QUANT, "-d", "bad", "--recipe", "digits"], 1, sentence, hint)
    refused(["sim", "--input", f"bad/{name}"], 1, sentence, hint)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK"])
def test_pictures_of_other_modes_are_converted(here: Path, refused: Refusal, mode: str) -> None:
    path = here / ("odd.jpg" if mode == "CMYK" else "odd.png")
    Image.open(min((here / "calib" / "3").iterdir())).convert("RGB").convert(mode).save(path)
    code, _ = refused.run(["sim", "--input", path.name, "--labels", "labels.txt"])
    assert code == 0


def test_folders_without_pictures(here: Path, refused: Refusal) -> None:
    hint = "pictures end in .jpg, .jpeg, .png, .bmp, in the folder or in one sub-folder per class"
    (here / "empty" / "0").mkdir(parents=True)
    command = [*QUANT, "--recipe", "digits", "-d"]
    refused([*command, "empty"], 1, "picture folder empty holds no picture.", hint)
    refused([*command, "inputs"], 1, "picture folder inputs holds no picture.", hint)
    shutil.copy(min((here / "calib" / "3").iterdir()), here / "empty" / "x.png")
    shutil.copy(min((here / "calib" / "3").iterdir()), here / "empty" / "0" / "x.png")
    refused(
        [*command, "empty"],
        1,
        "picture folder empty holds pictures beside class folders: x.png beside 0/.",
        "move the pictures into class folders, or all of them into one folder",
    )


# ------------------------------------------------------------------ recipes, chips, manifests


def test_broken_recipes(here: Path, refused: Refusal) -> None:
    recipe = Path("my.toml")
    recipe.write_text("color = [")
    refused([*PICTURES, "my.toml"], 1, "my.toml is not valid TOML: *")
    recipe.write_bytes(b"\xff\xfe")
    refused([*PICTURES, "my.toml"], 1, "*")
    recipe.write_text('color = "RGB"\nblur = 3\n')
    refused([*PICTURES, "my.toml"], 1, "my.toml*", "*")
    _, lines = refused.run([*PICTURES, "my.toml"])
    findings = [line for line in lines if line.startswith("  - ")]
    assert findings[0].startswith("  - my.toml: key blur is not known.")
    assert "  - my.toml: key mean is missing." in findings


def test_broken_chip_files(here: Path, refused: Refusal) -> None:
    chip = Path("my.toml")
    for command in (["--chip", "my.toml", "compile"], [*SIM, "--chip", "my.toml"]):
        chip.write_text("format = [")
        refused(command, 1, "chip file my.toml is not valid TOML: *")
        chip.write_bytes(b"\xff\xfe")
        refused(command, 1, "chip file my.toml is not valid TOML: it is not UTF-8 text.")
        chip.write_text("format = 1\nspeed = 3\n")
        refused(command, 1, "chip file my.toml is not usable: *")
    text = (Path(__file__).parent.parent / "chips" / "tx5368.toml").read_text(encoding="utf-8")
    chip.write_text(text.replace("clock_hz", "clock_mhz"), encoding="utf-8")
    refused(["chips", "my.toml"], 1, "chip file my.toml is not usable: unknown value clock_mhz.")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "knightlite.json is damaged: *"),
        (b"{", "knightlite.json is damaged: *"),
        (b"[]", "knightlite.json is not a manifest of knightlite."),
        (b'{"format": 2, "records": []}', "knightlite.json has format 2, not 1."),
        (b'{"format": 1, "records": [{}]}', "knightlite.json is damaged: *"),
        (b"\xff\xfe", "knightlite.json cannot be read: *"),
    ],
)
def test_damaged_manifest(here: Path, refused: Refusal, content: bytes, sentence: str) -> None:
    """Found before any work, and before files are written that could not be recorded."""
    Path("knightlite.json").write_bytes(content)
    hint = "remove knightlite.json and run the stages again, or name each file with its option"
    for command in (QUANT, ["compile"], SIM, ["profile"], ["explain"], ["inspect", "x.cfg"]):
        refused(command, 1, sentence, hint)


def test_files_that_changed_since_they_were_recorded(here: Path, refused: Refusal) -> None:
    flip(f"{STEM}.onnx", 100)
    flip(f"{STEM}_r.cfg", 100)
    hint = "run {} again, or name the file with its path to take it as it is"
    sentence = "{} has changed since {} left it."
    refused(["compile"], 2, sentence.format(f"{STEM}.onnx", "quant"), hint.format("quant"))
    refused(SIM, 2, sentence.format(f"{STEM}_r.cfg", "compile"), hint.format("compile"))
    refused(["profile"], 2, sentence.format(f"{STEM}_r.cfg", "compile"), hint.format("compile"))
    Path(f"{STEM}.onnx").unlink()
    refused(
        ["compile"],
        2,
        f"{STEM}.onnx, which quant left, is gone.",
        "run quant again, or name a file",
    )
    Path("knightlite.json").unlink()
    refused(
        ["compile"],
        2,
        "no file is named, and knightlite.json records no quant run.",
        "name the file with its option, or run quant here first",
    )


# ------------------------------------------------------------------ where the files go


@pytest.mark.parametrize(
    "command", [QUANT, [*QUANT, "-r", "convert"], ["compile"], SIM, ["profile"]]
)
def test_output_folders_that_cannot_be(
    here: Path, refused: Refusal, command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sentence = "files cannot be written into {}: {} is a file."
    refused([*command, "-s", "labels.txt"], 2, sentence.format("labels.txt", "labels.txt"),
            OTHER_FOLDER)  # fmt: skip
    refused([*command, "-s", "labels.txt/a/b"], 2,
            sentence.format("labels.txt/a/b", "labels.txt"), OTHER_FOLDER)  # fmt: skip
    (here / "locked").mkdir()
    allowed = os.access  # root may write everywhere: say what the system says to others
    monkeypatch.setattr(os, "access", lambda path, mode: "locked" not in str(path) and
                        allowed(path, mode))  # fmt: skip
    refused([*command, "-s", "locked/deep"], 2,
            "files cannot be written into locked/deep: locked is not writable.",
            OTHER_FOLDER)  # fmt: skip


def test_an_output_file_that_is_a_folder(here: Path, refused: Refusal) -> None:
    for name in (f"{STEM}.onnx", f"{STEM}_r.weight", "layer_cycles_NPU_0.txt"):
        (here / "out" / name).mkdir(parents=True)
    sentence = "out/{} cannot be written: it is a folder."
    refused([*QUANT, "-s", "out"], 2, sentence.format(f"{STEM}.onnx"))
    refused(["compile", "-s", "out"], 2, sentence.format(f"{STEM}_r.weight"))
    refused(["profile", "-s", "out"], 2, sentence.format("layer_cycles_NPU_0.txt"))


def test_names_with_blanks_and_other_letters(here: Path, refused: Refusal) -> None:
    folder = here / "mein Ordner ü 数字"
    folder.mkdir()
    shutil.copy("digits.pdmodel", folder / "das Netz é.pdmodel")
    shutil.copy("digits.pdiparams", folder / "das Netz é.pdiparams")
    shutil.copytree("calib", folder / "die Bilder")
    os.chdir(folder)
    quant = ["quant", "-m", "das Netz é.pdmodel", "-d", "die Bilder", "--recipe", "digits"]
    assert refused.run([*quant, "-s", "aus gang"])[0] == 0
    assert refused.run(["compile", "-s", "aus gang"])[0] == 0
    shutil.copy("aus gang/inputs/x.bin", "ein gabe.bin")
    assert refused.run(["sim", "--input", "ein gabe.bin", "--check"])[0] == 0
    assert refused.run(["profile", "-s", "aus gang"])[0] == 0
    assert refused.run(["inspect", "das Netz é_quantize_r.cfg"])[0] == 0
    assert refused.run(["check", "-m", "./das Netz é.pdmodel"])[0] == 0
    assert "das Netz é" in Path("knightlite.json").read_text(encoding="utf-8")


# ------------------------------------------------------------------ what the simulator is fed


def test_simulator_inputs(here: Path, refused: Refusal) -> None:
    x = np.fromfile("inputs/x.bin", np.float32).reshape(1, 3, 32, 32)
    need = "a frame needs 12288 bytes as float32 or 3072 as s8 in nchw order."
    check = "check the input's shape and format, or ask for fewer frames"
    for size in (0, 1, 3071, 12289):
        Path("x.bin").write_bytes(bytes(size))
        refused(["sim", "--input", "x.bin"], 1, f"x.bin has {size} bytes; {need}", check)
    for value in (np.nan, np.inf):
        bad = x.copy()
        bad[0, 1, 2, 3] = value
        bad.tofile("x.bin")
        np.save("x.npy", bad)
    refused(["sim", "--input", "x.npy", "-fc", "1"], 0, "")


def test_arrays_of_the_wrong_shape(here: Path, refused: Refusal) -> None:
    x = np.fromfile("inputs/x.bin", np.float32).reshape(1, 3, 32, 32)
    command = ["sim", "--input", "x.npy"]
    shape = "x.npy must hold frames of shape (3, 32, 32) (nchw), not {}."
    for wrong in (x[0].transpose(1, 2, 0), x.reshape(-1), x[:, :, :16], x[None]):
        np.save("x.npy", np.ascontiguousarray(wrong))
        refused(command, 1, shape.format(wrong.shape))
    np.save("x.npy", x.astype(np.float64))
    refused(command, 1, "x.npy must hold float32 or int8, not float64.")
    np.save("x.npy", x[:0])
    refused(command, 1, "x.npy must hold at least one frame, not (0, 3, 32, 32).")
    np.save("x.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    refused(command, 1, "x.npy is not a readable .npy file.")
    Path("x.npy").write_bytes(b"\x93NUMPY\1\0")
    refused(command, 1, "x.npy is not a readable .npy file.")
    refused(["sim", "--input", "inputs/x.bin:inputs/x.bin"], 1,
            "the network has 1 inputs (x), not 2.")  # fmt: skip


def test_more_frames_than_there_are(here: Path, refused: Refusal) -> None:
    x = np.fromfile("inputs/x.bin", np.float32)
    np.concatenate([x, x, x]).tofile("three.bin")
    code, lines = refused.run(["sim", "--input", "three.bin", "-fc", "5"])
    assert code == 0
    assert "5 frames are asked for, 3 run." in lines
    assert sorted(path.name for path in here.glob("result-*.npy")) == [
        f"result-linear_0.tmp_1.{frame}.npy" for frame in range(3)
    ]


def test_labels_that_are_no_text(here: Path, refused: Refusal) -> None:
    Path("labels.txt").write_bytes(b"\xff\xfe\0")
    sentence = "labels file labels.txt cannot be read: it is not UTF-8 text."
    refused([*SIM, "--labels", "labels.txt"], 1, sentence)


# ------------------------------------------------------------------ user scripts

HEAD = (
    "from onnx_quantize_tool.common.register import onnx_infer_func\nimport numpy as np\n"
    '@onnx_infer_func.register("infer")\ndef infer(executor):\n'
)
X = "np.zeros((1, 3, 32, 32), np.float32)"


@pytest.mark.parametrize(
    ("text", "code", "sentence", "hint"),
    [
        ("def infer(:\n", 2, "s.py:1: invalid syntax.", "the script must run under Python 3"),
        ("import pandas_of_knight\n", 2,
         "s.py:1: the script imports pandas_of_knight, which is not installed.", "install it (*"),
        ("from onnx_quantize_tool.quant import run\n", 2, "s.py:1: the script imports "
         "onnx_quantize_tool.quant, of which knightlite only provides "
         "onnx_quantize_tool.common.register.", ""),
        ("x = 1\n", 2, "s.py registers no infer function infer.",
         'put @onnx_infer_func.register("infer") before the function'),
        (HEAD.replace('"infer"', '"other"') + "    pass\n", 2,
         "s.py registers no infer function infer.", "it registers other; name one with -if"),
        (HEAD + "    raise ValueError('no data')\n", 1, "s.py:5: ValueError: no data.", ""),
        (HEAD + "    open('no.txt')\n", 1, "s.py:5: FileNotFoundError: [Errno 2] No such file or "
         "directory: 'no.txt'.", ""),
        (HEAD + "    exit(3)\n", 1, "s.py:5: the script called exit(3).", ""),
        (HEAD + "    executor.forward(np.zeros((1, 3, 8, 8), np.float32))\n", 1,
         "s.py:5: input x must have shape (N, 3, 32, 32), not (1, 3, 8, 8).", ""),
        (HEAD + "    executor.forward(np.zeros((1, 32, 32, 3), np.float32))\n", 1,
         "s.py:5: input x must have shape (N, 3, 32, 32), not (1, 32, 32, 3).", ""),
        (HEAD + "    executor.forward(np.full((1, 3, 32, 32), 'a'))\n", 1,
         "s.py:5: input x must hold numbers, not <U1.", ""),
        (HEAD + "    executor.forward([1, 2])\n", 1,
         "s.py:5: executor.forward must get a numpy array for input x, not list.", ""),
        (HEAD + f"    executor.forward({X}, {X})\n", 1,
         "s.py:5: executor.forward must get 1 arrays (x), not 2.", ""),
        (HEAD + f"    executor.forward({X} * np.nan)\n", 1, "*", "*"),
        (HEAD + "    return 1.0\n", 1, "s.py: infer never called executor.forward.",
         "name its data with -d DIR"),
        (HEAD + f"    executor.forward({X})\n    return 'good'\n", 1,
         "s.py: infer must return one number or None, not str.", ""),
        (HEAD + f"    executor.forward({X})\n    return float('nan')\n", 1,
         "s.py: infer must return a finite number, not nan.", ""),
    ],
)  # fmt: skip
def test_user_scripts(
    here: Path, refused: Refusal, text: str, code: int, sentence: str, hint: str
) -> None:
    (here / "s.py").write_text(text)
    refused([*QUANT, "-uds", "s.py", "-if", "infer"], code, sentence, hint)


# ------------------------------------------------------------------ the real program


@pytest.mark.parametrize(
    ("arguments", "code", "lines"),
    [
        (["quant", "-m", "no.onnx"], 2,
         ["Quant Start", "Error: There is no file no.onnx.", f"Hint: {NO_FILE}"]),
        (["inspect", f"{STEM}_r.cfg"], 1, [
            f"Error: {STEM}_r.cfg is damaged: the checksum of section code is wrong.",
            "Hint: compile the model again"]),
        ([*SIM, "-fmt", "chw"], 2, [
            "Usage: knightlite sim [OPTIONS]", "Try 'knightlite sim --help' for help.", "",
            "Error: Invalid value for '-fmt' / '--format': 'chw' is not one of 'nchw', 'nhwc', "
            "'nhwcstride'."]),
    ],
)  # fmt: skip
def test_in_a_process_of_its_own(
    here: Path, arguments: list[str], code: int, lines: list[str]
) -> None:
    flip(f"{STEM}_r.cfg", -1)
    before = snapshot(here)
    command = [sys.executable, "-m", "knightlite", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.splitlines() == lines
    assert snapshot(here) == before
