"""Bad inputs through the command line: a sentence, a hint, exit 1 or 2, and nothing left behind.

Damaged bytes are in test_bad_bytes.py, missing files and wrong options in test_bad_options.py.
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
from knightlite.preprocess import load_recipe
from onnx_nets import Net
from refusals import Refusal, flip, snapshot

STEM = "digits_quantize"
SIM = ["sim", "--input", "inputs/x.bin"]
QUANT = ["quant", "-m", "digits.onnx"]
PICTURES = [*QUANT, "-d", "calib", "--recipe"]
OTHER_FOLDER = "name another folder"

# ------------------------------------------------------------------ models


def test_unsupported_operators_are_all_listed(
    here: Path, refused: Refusal, capsys: pytest.CaptureFixture[str]
) -> None:
    net = Net()
    net.input("x", (1, 3, 8, 8))
    net.conv("x", "c", (4, 3, 3, 3))
    net.node("NonZero", ["c"], "where")
    net.node("Hardmax", ["c"], "s")
    net.node("LpNormalization", ["s"], "y")
    net.save(here, "y", "where")
    hint = "-gp runs it and what follows it on the host"
    sentence = (
        "net.onnx cannot run on the NPU, 3 places are not supported: NonZero_where: NonZero is not "
        "supported yet and 2 more."
    )
    refused(["quant", "-m", "net.onnx"], 2, sentence, hint)
    _, lines = refused.run(["quant", "-m", "net.onnx"])
    assert [line for line in lines if line.startswith("  - ")] == [
        f"  - NonZero_where: NonZero is not supported yet. Hint: {hint}",
        f"  - Hardmax_s: Hardmax is not supported yet. Hint: {hint}",
        f"  - LpNormalization_y: LpNormalization is not supported yet. Hint: {hint}",
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
        "say all sizes with -is/--input-shapes, as in -is 1 3 224 224, where those that the model "
        "leaves open are examples: take what the network was trained on",
    )


@pytest.mark.parametrize(
    ("shape", "element", "sentence"),
    [
        (
            (4, 3, 8, 8),
            TensorProto.FLOAT,
            "must be [1, C, H, W], [1, C, L] or [1, C], not (4, 3, 8, 8).",
        ),
        ((1, 3, 8, 8), TensorProto.STRING, "must be of numbers, not of string."),
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
    sizes = map(str, shape)
    refused(["quant", "-m", "net.onnx", "-is", *sizes], 2, start + sentence, "*")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite(here: Path, refused: Refusal, value: float) -> None:
    model = onnx.load("digits.onnx")
    tensor = max(model.graph.initializer, key=lambda item: int(np.prod(item.dims)))
    values = numpy_helper.to_array(tensor).copy()
    values.flat[77] = value  # of its 5184
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    onnx.save(model, "bad.onnx")
    refused(
        ["quant", "-m", "bad.onnx"],
        2,
        "bad.onnx cannot run on the NPU, one place is not supported: conv2d_2.tmp_0: weight "
        "conv2d_2.tmp_0.weight must be finite, but 1 of its 5184 values are NaN or infinite.",
        "train or export the model again",
    )
    data = bytearray(Path("digits.pdiparams").read_bytes())
    data[-4:] = np.float32(value).tobytes()  # the last value of the last tensor
    Path("digits.pdiparams").write_bytes(data)
    refused(
        ["quant", "-m", "digits.pdmodel"],
        1,
        "digits.pdiparams: tensor linear_0.w_0 (137 of 137) has 1 of 900 values that are NaN or "
        "infinite.",
        "the file is damaged or the training diverged: copy or train it again",
    )


# ------------------------------------------------------------------ pictures


def _text(path: Path) -> None:
    path.write_text("not a picture\n")


def _nothing(path: Path) -> None:
    path.write_bytes(b"")


def _truncated(path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _floats(path: Path) -> None:
    Image.fromarray(np.full((32, 32), 0.5, np.float32)).save(path)


NOT_A_PICTURE = (
    "is not a picture in one of the formats BMP, GIF, JPEG, PNG, PPM, TIFF, WEBP.",
    "remove the file or convert it",
)
BAD_PICTURES = [
    ("x.jpg", _text, "{} " + NOT_A_PICTURE[0], NOT_A_PICTURE[1]),
    ("x.png", _nothing, "{} " + NOT_A_PICTURE[0], NOT_A_PICTURE[1]),
    ("x.jpg", _truncated, "picture {} is damaged: *", "remove or replace the file"),
    ("x.png", _truncated, "picture {} is damaged: *", "remove or replace the file"),
    ("x.tif", _floats, "picture {} must have 8 or 16 bits per channel, not Pillow mode F.",
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
    hint = (
        "pictures end in .bmp, .gif, .jpeg, .jpg, .pgm, .png, .ppm, .tif, .tiff, .webp, in the "
        "folder or in one sub-folder per class"
    )
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
    refused([*PICTURES, "my.toml"], 1, "recipe file my.toml is not UTF-8 text.")
    recipe.write_text('color = "RGB"\nblur = 3\n')
    refused([*PICTURES, "my.toml"], 1, "my.toml is not a usable recipe, for 11 reasons.")
    _, lines = refused.run([*PICTURES, "my.toml"])
    findings = [line for line in lines if line.startswith("  - ")]
    assert findings[0].startswith("  - my.toml: key blur is not known.")
    assert "  - my.toml: key mean is missing." in findings
    recipe.write_text(load_recipe("digits").text + "blur = 3\n")
    sentence = "my.toml is not a usable recipe: key blur is not known."
    refused([*PICTURES, "my.toml"], 1, sentence, "one of description, *")


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
        (b'{"format": 3, "records": []}', "knightlite.json has format 3, not 2."),
        (b'{"format": 2, "records": [{}]}', "knightlite.json is damaged: *"),
        (b"\xff\xfe", "knightlite.json cannot be read: *"),
    ],
)
def test_damaged_manifest(here: Path, refused: Refusal, content: bytes, sentence: str) -> None:
    """Found before any work, and before files are written that could not be recorded."""
    Path("knightlite.json").write_bytes(content)
    hint = "remove knightlite.json; without it run the stages again, or name each file with its "
    hint += "option"
    for command in (QUANT, ["compile"], SIM, ["profile"], ["explain"], ["inspect", "x.cfg"]):
        refused(command, 1, sentence, hint)


def test_files_that_changed_since_they_were_recorded(here: Path, refused: Refusal) -> None:
    flip(f"{STEM}.onnx", 100)
    flip(f"{STEM}_r.cfg", 100)
    quant = "`knightlite --chip TX5368AV200 quant -m digits.pdmodel -d calib --recipe digits -i 10`"
    compiled = f"`knightlite compile --onnx {STEM}.onnx`"
    hint = "run {}, or name {} to take it as it is"
    sentence = "{} has changed since {} left it."
    refused(
        ["compile"], 2, sentence.format(f"{STEM}.onnx", "quant"), hint.format(quant, f"{STEM}.onnx")
    )
    refused(
        SIM, 2, sentence.format(f"{STEM}_r.cfg", "compile"), hint.format(compiled, f"{STEM}_r.cfg")
    )
    refused(
        ["profile"],
        2,
        sentence.format(f"{STEM}_r.cfg", "compile"),
        hint.format(compiled, f"{STEM}_r.cfg"),
    )
    Path(f"{STEM}.onnx").unlink()
    refused(
        ["compile"],
        2,
        f"{STEM}.onnx, which quant left, is gone.",
        f"run {quant}, or name a file",
    )
    Path("knightlite.json").unlink()
    refused(
        ["compile"],
        2,
        "no file is named, and there is no knightlite.json, where stages note their files.",
        "name the file with its option, or run `knightlite quant -m MODEL -d PICTURES --recipe "
        "NAME` here first",
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


def test_a_cache_that_cannot_be_written_is_told_before_the_work(
    here: Path, refused: Refusal
) -> None:
    words = [*QUANT, "-cd", "labels.txt/cache.npz"]
    refused(words, 2, "files cannot be written into labels.txt: labels.txt is a file.",
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
    x[0, 1, 2, 3] = np.nan
    x.tofile("x.bin")
    np.save("x.npy", x)
    for count in ([], ["-fc", "1"]):
        refused(
            ["sim", "--input", "x.bin", *count],
            1,
            "x.bin has 12288 bytes, which are 1 frames of float32 or 4 of s8, and its values do "
            "not look like float32.",
            "-fc 4 says that it holds so many frames of s8, a .npy file says what it holds by "
            "itself",
        )
    sentence = "input x must hold numbers, not NaN."
    refused(["sim", "--input", "x.npy"], 1, sentence)


def test_arrays_of_the_wrong_shape(here: Path, refused: Refusal) -> None:
    x = np.fromfile("inputs/x.bin", np.float32).reshape(1, 3, 32, 32)
    command = ["sim", "--input", "x.npy"]
    shape = "x.npy must hold frames of shape (3, 32, 32) (nchw), not {}."
    nhwc = x[0].transpose(1, 2, 0)
    np.save("x.npy", np.ascontiguousarray(nhwc))
    refused(command, 1, shape.format(nhwc.shape), "-fmt nhwc reads them as they are")
    for wrong in (x.reshape(-1), x[:, :, :16]):
        np.save("x.npy", np.ascontiguousarray(wrong))
        refused(command, 1, shape.format(wrong.shape))
    np.save("x.npy", np.asfortranarray(x))
    sentence = "x.npy must be stored in C order, not in Fortran order."
    refused(command, 1, sentence, "save numpy.ascontiguousarray(array)")
    np.save("x.npy", x.astype(np.int64))
    hint = "pixels are prepared as calibration had them: *"
    refused(command, 1, "x.npy must hold floats or int8, not int64.", hint)
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
         "onnx_quantize_tool.common.register and onnx_quantize_tool.utils.constants.", ""),
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
        (HEAD + f"    executor.forward({X} * np.nan)\n", 1,
         "s.py:5: input x must hold finite numbers, but the data holds NaN or infinity.",
         "check the calibration data and its preprocessing"),
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
         ["Error: file no.onnx does not exist.",
          "Hint: the files there are digits.onnx"]),
        (["inspect", f"{STEM}_r.cfg"], 1, [
            f"{STEM}_r.cfg is taken as it is, though it has changed since compile left it.",
            f"Error: {STEM}_r.cfg is damaged: the checksum of section code is wrong.",
            "Hint: compile the model again"]),
        ([*SIM, "-fmt", "chw"], 2, [
            "Usage: knightlite sim [OPTIONS]", "Try 'knightlite sim --help' for help.", "",
            "Error: Invalid value for '-fmt' / '--format': 'chw' is not one of 'nchw', 'nhwc', "
            "'nhwcstride': did you mean nchw?"]),
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


def test_a_script_that_is_a_link_to_itself(here: Path, refused: Refusal) -> None:
    (here / "loop.py").symlink_to("loop.py")
    words = ["quant", "-m", "digits.onnx", "-uds", "loop.py", "-if", "f", "-d", "."]
    refused(words, 2, "user script loop.py is a link that leads to no file.", "name a file")
