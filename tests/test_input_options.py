"""-qid, --mean, --std, -on, -gsj, -lsj and -ll by real commands, down to the simulated chip."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image

import knightlite
from knightlite.cli.arguments import rewrite
from knightlite.cli.program import run
from refusals import Refusal

DATA = ["-d", "calib", "-i", "10", "-s", "out"]
# what is asked of inputs does not hang on equalization, most of the work
QUANT = ["quant", "-m", "digits.onnx", *DATA, "--equalization", "off", "--recipe"]
EQUALIZED = ["quant", "-m", "digits.onnx", *DATA, "--recipe"]
NORMALIZE = ["--mean", "79.05", "--std", "89.25", "89.25", "89.25"]
RAW = """description = "raw pixels of digits"
color = "RGB"
resize = "exact"
resize_size = [32, 32]
interpolation = "bilinear"
crop_size = []
divide_by = 1
mean = [0, 0, 0]
std = [1, 1, 1]
pad_value = 0
layout = "nchw"
"""
SCRIPT = """
import numpy as np
from onnx_quantize_tool.common.register import onnx_infer_func

@onnx_infer_func.register("pixels")
def pixels(executor):
    assert executor.input_types == {"x": 2}
    rng = np.random.default_rng(0)
    for _ in range(executor.iteration):
        executor.forward(rng.integers(0, 256, (2, 3, 32, 32)).astype(np.uint8))

@onnx_infer_func.register("fractions")
def fractions(executor):
    executor.forward(np.full((1, 3, 32, 32), 0.5, np.float32))
"""


def metadata(path: str) -> Any:
    found = {item.key: item.value for item in onnx.load(path).metadata_props}
    return json.loads(found["knightlite.quantize"])


def output(folder: str = ".") -> np.ndarray[Any, Any]:
    found: np.ndarray[Any, Any] = np.load(next(Path(folder).glob("result-*.npy")))
    return found


def test_pixels_straight_into_the_chip(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The recipe's normalization moves into the network; sim reads bytes, nhwc too."""
    assert run([*QUANT, "digits", "-qid", "uint8"]) == 0
    model = onnx.load("out/digits_quantize.onnx")
    assert model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    noted = metadata("out/digits_quantize.onnx")
    assert noted["inputs"]["x"]["type"] == "uint8"
    assert noted["inputs"]["x"]["mean"] == pytest.approx([79.05] * 3)
    pixels = np.fromfile("out/inputs/x.bin", np.uint8).reshape(1, 3, 32, 32)
    assert run(["compile", "--onnx", "out/digits_quantize.onnx"]) == 0
    assert run(["sim", "--input", "out/inputs/x.bin", "--check"]) == 0
    wanted = output()
    pixels.transpose(0, 2, 3, 1).tofile("hwc.bin")
    assert run(["rne-sim", "--input", "hwc.bin", "-fmt", "nhwc", "--outpath", "nhwc"]) == 0
    assert np.array_equal(output("nhwc"), wanted)
    picture = sorted(Path("calib").rglob("*.png"))[3]
    scores = []
    for words in ([], ["--recipe", "digits"]):  # the one in the .cfg is for pixels; so is any other
        assert run(["sim", "--input", str(picture), "--outpath", "picture", *words]) == 0
        scores.append(output("picture"))
    assert np.array_equal(scores[0], scores[1])
    assert scores[0].argmax() == 3
    capsys.readouterr()
    assert run(["compare", "-qd", "out", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert min(row["difference"]["cosine"] for row in rows if row["difference"]) > 0.99


@pytest.mark.parametrize(("mode", "ending"), [("RGB", ".ppm"), ("L", ".PGM")])
def test_a_ppm_is_simulated_as_a_png_is(here: Path, mode: str, ending: str) -> None:
    picture = next((here / "calib").rglob("*.png"))
    results = []
    for name in ("photo.png", f"photo{ending}"):
        Image.open(picture).convert(mode).save(name)
        assert run(["sim", "--input", name, "--outpath", "picture"]) == 0
        results.append(output("picture"))
    assert np.array_equal(results[0], results[1])


def test_the_same_network_by_numbers_and_by_a_recipe(here: Path) -> None:
    Path("pixels.toml").write_text(RAW, encoding="utf-8")
    reports = []
    for words in (["digits", "-qid", "uint8"], ["pixels.toml", "-qid", "uint8", *NORMALIZE]):
        assert run([*QUANT, *words]) == 0
        reports.append(json.loads(Path("out/digits_quantize_report.json").read_text("utf-8")))
    first, second = reports
    assert first["tensors"] == second["tensors"]
    assert first["metric"] == second["metric"] == {
        "float": 100.0, "quantized": 100.0, "loss_percent": 0.0, "lost": 0, "won": 0
    }  # fmt: skip
    assert first["tensors"][0]["scale"] == 1.0
    assert first["tensors"][0]["type"] == "u8"


def test_normalization_of_real_numbers(here: Path) -> None:
    """Without -qid the input stays float32."""
    Path("pixels.toml").write_text(RAW, encoding="utf-8")
    assert run([*QUANT, "pixels.toml", *NORMALIZE]) == 0
    model = onnx.load("out/digits_quantize.onnx")
    assert model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    assert Path("out/inputs/x.bin").stat().st_size == 4 * 3 * 32 * 32
    report = json.loads(Path("out/digits_quantize_report.json").read_text("utf-8"))
    assert report["metric"]["quantized"] == 100.0


def test_frames_of_a_batch(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """-ib 3: sim runs three frames of its input; what a file holds is told by its size alone."""
    assert run([*QUANT, "digits", "-qid", "uint8", "-ib", "3"]) == 0
    assert run(["compile", "--onnx", "out/digits_quantize.onnx"]) == 0
    frame = Path("out/inputs/x.bin").read_bytes()
    for count, words, ran in ((5, [], 3), (1, [], 1), (5, ["-fc", "2"], 2)):
        Path("frames.bin").write_bytes(count * frame)
        capsys.readouterr()
        assert run(["sim", "--input", "frames.bin", "--json", *words]) == 0
        shown = capsys.readouterr()
        assert json.loads(shown.out)["frames"] == ran
        assert f"input holds {count} frame(s) of u8" in shown.err


def test_scripts_feed_integers(here: Path, refused: Refusal) -> None:
    Path("s.py").write_text(SCRIPT, encoding="utf-8")
    words = ["quant", "-m", "digits.onnx", "-uds", "s.py", "-s", "out", *NORMALIZE]
    assert run([*words, "-if", "pixels", "-i", "3", "-qid", "uint8"]) == 0
    assert Path("out/inputs/x.bin").stat().st_size == 3 * 32 * 32
    refused(
        [*words, "-if", "fractions", "-qid", "uint8"], 1,
        "s.py:14: input x takes uint8, but the script feeds float32 from 0.5 to 0.5 that it cannot "
        "hold.",
        "feed raw pixels; --mean and --std normalize them inside the network",
    )  # fmt: skip


def test_a_quantized_model_is_fed_with_pixels(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*QUANT, "digits", "-qid", "uint8"]) == 0
    capsys.readouterr()
    infer = ["quant", "-m", "out/digits_quantize.onnx", "-r", "infer", "-d", "calib", "-i", "10"]
    assert run([*infer, "--recipe", "digits"]) == 0
    assert "metric, quantized model: 100.0000" in capsys.readouterr().out


def test_cut(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """At two inner tensors, in the order asked for; the rest is gone."""
    names = ["relu_3.tmp_0", "conv2d_0.tmp_0"]
    assert run([*QUANT, "digits", "-on", " ".join(names)]) == 0
    model = onnx.load("out/digits_quantize.onnx")
    assert [item.name for item in model.graph.output] == names
    assert not [item for item in model.graph.node if item.name.startswith("linear")]
    assert run(["compile", "--onnx", "out/digits_quantize.onnx"]) == 0
    assert run(["sim", "--input", "out/inputs/x.bin", "--check"]) == 0
    assert {path.name for path in Path().glob("result-*.npy")} == {
        f"result-{name}.npy" for name in names
    }


def test_scales_go_round(here: Path) -> None:
    """Written and read, the bytes are the same; a pinned one stays, its group with it."""
    assert run([*EQUALIZED, "digits", "-gsj"]) == 0
    model = Path("out/digits_quantize.onnx").read_bytes()
    scales = json.loads(Path("out/digits_scales.json").read_text("utf-8"))
    assert run([*EQUALIZED, "digits", "-lsj", "out/digits_scales.json"]) == 0
    assert Path("out/digits_quantize.onnx").read_bytes() == model
    x = scales["tensors"]["x"]
    Path("mine.json").write_text(
        json.dumps({"version": 1, "tensors": {"x": {"type": "s8", "scale": 2 * x["scale"]}}}),
        encoding="utf-8",
    )
    assert run([*QUANT, "digits", "-lsj", "mine.json", "-gsj", "-l", "3"]) == 2
    assert run([*QUANT, "digits", "-lsj", "mine.json"]) == 0
    report = json.loads(Path("out/digits_quantize_report.json").read_text("utf-8"))
    (found,) = [item for item in report["tensors"] if item["name"] == "x"]
    assert found["scale"] == 2 * x["scale"]
    assert found["method"] == "scale file mine.json"


Scales = Callable[[dict[str, Any]], Any]


@pytest.mark.parametrize(
    ("tensors", "code", "sentence", "hint"),
    [
        ({"relu_3.tmp": {"type": "u8", "scale": 1}}, 2,
         "1 scale(s) cannot be kept: relu_3.tmp: the network has no such tensor.",
         "did you mean relu_3.tmp_0 or *"),
        ({"x": {"type": "u8", "scale": 0.1}}, 2,
         "1 scale(s) cannot be kept: x: u8 cannot hold its values, which reach -0.8857.",
         "s8 can"),
        ({"x": {"type": "s8", "scale": [0.1, 0.1]}}, 2,
         "1 scale(s) cannot be kept: x: it must have one scale: not only depthwise convolutions "
         "read it.", ""),
        ({"x": {"type": "s8", "scale": -1}}, 1,
         "1 scale(s) of mine.json cannot be used: x: its scale must be a positive number or a "
         "list of them, not -1.", ""),
        ({"x": {"type": "s4", "scale": 1}}, 1,
         "1 scale(s) of mine.json cannot be used: x: its type must be one of u8, s8, s16, not "
         "'s4'.", ""),
        ({"x": {"scale": 1}}, 1,
         "1 scale(s) of mine.json cannot be used: x: it must have a type and a scale.", ""),
        ([], 1, "scale file mine.json must hold version 1 and tensors.", "-gsj writes one"),
    ],
)  # fmt: skip
def test_scales_that_cannot_be_kept(
    refused: Refusal, tensors: object, code: int, sentence: str, hint: str
) -> None:
    text = json.dumps({"version": 1, "tensors": tensors})
    Path("mine.json").write_text(text, encoding="utf-8")
    refused([*QUANT, "digits", "-lsj", "mine.json"], code, sentence, hint)


@pytest.mark.parametrize(
    ("words", "code", "sentence", "hint"),
    [
        (["digits", *NORMALIZE], 2,
         "both --mean/--std and recipe digits normalize the pictures.", "take a recipe with*"),
        (["digits", "-qid", "float16"], 2,
         "the type of an input (-qid) must be one of float32, int8, uint8, int16, None, not "
         "float16.", ""),
        (["digits", "-qid", "uint8", "None"], 2,
         "the network has 1 input(s), but -qid names 2 types.", ""),
        (["digits", "--mean", "a", "b"], 2,
         "--mean and --std must be numbers such as 123.675 116.28 103.53, not a b.", ""),
        (["digits", "-on", "relu_3.tmp"], 2,
         "digits.onnx cannot be cut at relu_3.tmp: no operator of the network makes this tensor.",
         "did you mean relu_3.tmp_0 or *"),
        (["digits", "-ll", "13"], 2,
         "the length of tables (-ll) must be from 8 to 12, not 13.", ""),
        (["digits", "-ib", "0"], 2, "the batch of the model (-ib) must be from 1 to 4096, not 0.",
         ""),
        (["digits", "-gsj", "-lsj", "x.json"], 2,
         "scales are either written (-gsj) or read (-lsj), not both at once.", ""),
        (["digits", "-lsj", "x.json"], 2,
         "scale file x.json does not exist.", "the files there are *"),
    ],
)  # fmt: skip
def test_refusals(refused: Refusal, words: list[str], code: int, sentence: str, hint: str) -> None:
    refused([*QUANT, *words], code, sentence, hint)


def test_arrays_that_are_no_pixels_are_refused(here: Path) -> None:
    with pytest.raises(knightlite.KnightliteError) as caught:
        knightlite.quantize(
            "digits.onnx", data=np.full((1, 3, 32, 32), 300, np.float32), input_types=["uint8"]
        )
    assert caught.value.sentence.startswith("input x takes uint8, but the script feeds float32")


def test_options_of_python(here: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 3, 32, 32)).astype(np.uint8)
    made = knightlite.quantize(
        "digits.onnx", data=pixels, input_types=["uint8"], mean=[79.05], std=[89.25],
        output_names=["relu_3.tmp_0"],
    )  # fmt: skip
    assert made.samples["x"].dtype == np.uint8
    session = knightlite.Session(knightlite.compile(made))
    (found,) = session.run(None, {"x": pixels[:1]})
    assert session.get_outputs()[0].name == "relu_3.tmp_0"
    assert found.max() > 0


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("quant --mean 1 -2.5 3 -m x", "quant --mean 1 --mean -2.5 --mean 3 -m x"),
        ("quant -qid uint8 None onnx -m x", "quant -qid uint8 -qid None onnx -m x"),
        ("quant -on onnx onnx -m x", "quant -on onnx onnx -m x"),
        ("quant -on a -- -on b c", "quant -on a -- -on b c"),
        ("quant --std=1 2", "quant --std=1 2"),
        ("compare -on a b --out-name c", "compare -on a -on b --out-name c"),
    ],
)
def test_several_values(line: str, wanted: str) -> None:
    assert rewrite(line.split()) == wanted.split()


# ------------------------------------------------------------------ how many pictures


def quantized(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[str, str]:
    capsys.readouterr()
    assert run(rewrite(["quant", "-m", "digits.onnx", "-s", "out", *arguments])) == 0
    out, err = capsys.readouterr()
    return out, err


def test_without_i_a_folder_gives_a_hundred_pictures_or_all(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = ["-d", "calib", "--recipe", "digits", "-bs", "4"]
    out, err = quantized(capsys, *pictures, "--effort", "low")
    assert "all 10 pictures of calib are taken; -i N takes fewer" in err
    assert re.search(
        r"SQNR [0-9.]+ dB over 10 calibration pictures \(median [0-9.]+, 80 % of them from", out
    )
    for picture in list((here / "calib").rglob("*.png")):
        for copy in range(10):
            shutil.copy(picture, picture.with_name(f"{copy}_{picture.name}"))
    out, err = quantized(capsys, *pictures, "--effort", "low")
    assert "100 of the 110 pictures of calib are taken; -i N takes more" in err
    assert metadata("out/digits_quantize.onnx")["pictures"] == 100
    out, err = quantized(capsys, *pictures[:-2], "-i", "1", "--effort", "low")
    assert "are taken" not in err
    assert re.search(r"SQNR [0-9.]+ dB over 1 calibration picture: not a verdict", out)


def test_a_script_keeps_knights_one_call_and_is_warned(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "s.py").write_text(
        SCRIPT.replace('{"x": 2}', "{}")
        .replace("executor.input_types == {}", "True")
        .replace(".astype(np.uint8)", ".astype(np.float32)")
    )
    script = ["-uds", "s.py", "-if", "pixels"]
    _, err = quantized(capsys, *script)
    warning = (
        "without -i infer function pixels is run for one forward call of 1 picture(s), Knight's "
        "default: too few to choose ranges and to judge by. Hint: `knightlite quant "
    )
    assert warning in err
    _, err = quantized(capsys, *script, "-i", "3")
    assert warning not in err


@pytest.mark.parametrize(
    ("arguments", "sentence", "hint"),
    [
        (["sim", "-i", "100"], "input file 100 does not exist.",
         "in quant, -i is the number of forward calls"),
        (["sim", "-i", "in.bin", "-if", "infer_digits"],
         "Invalid value for '-if' / '--intofile': 'infer_digits' is not a valid integer range.",
         "in quant, -if is the infer function"),
        (["sim", "-i", "calib/0/0000.png", "-d", "calib"],
         "the program has no materialised tensor called calib.",
         "in quant, -d is the data; sim reads what -i names"),
        (["quant", "-m", "digits.onnx", "-uds", "labels.txt", "-if", "1"],
         "the infer function (-if) must be the name of a function, not 1.",
         "in sim, -if writes the input integers; quant has nothing like it"),
    ],
)  # fmt: skip
def test_what_looks_like_the_other_commands_value(
    here: Path, refused: Refusal, arguments: list[str], sentence: str, hint: str
) -> None:
    picture = next((here / "calib").rglob("*.png"))
    refused([str(picture) if "0000" in item else item for item in arguments], 2, sentence, hint)
