"""input-configs of run-config files: two inputs of different kinds, down to the simulated chip."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image

from knightlite.api.quantization.input_configs import InputConfig, parse
from knightlite.api.quantization.input_forms import InputForm
from knightlite.cli.program import run
from knightlite.dtypes import S8
from knightlite.errors import UsageError
from onnx_nets import Net
from refusals import Refusal

PICTURE = {"input_name": "a", "quant_data_format": "Image", "data_dir": "pictures",
           "color_space": "BGR", "mean": "120 110 100", "std": "60",
           "quantize_input_dtype": "uint8", "padding_constant_value": 0}  # fmt: skip
NUMBERS = {"input_name": "b", "quant_data_format": "Numpy", "data_dir": "numbers"}


@pytest.fixture
def two_inputs(here: Path) -> Path:
    """A network of two inputs with three frames of each in its own folder."""
    rng = np.random.default_rng(1)
    net = Net()
    a = net.input("a", (1, 3, 8, 8))
    b = net.input("b", (1, 4, 8, 8))
    left = net.conv(a, "left", (4, 3, 3, 3), pads=[1, 1, 1, 1])
    onnx.save(net.model(net.node("Add", [left, b], "sum")), str(here / "two.onnx"))
    for folder in ("pictures", "numbers"):
        (here / folder).mkdir()
    for index in range(3):
        pixels = rng.integers(0, 256, (9, 10, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(here / f"pictures/{index}.png")
        values = rng.normal(0, 1, (4, 8, 8)).astype(np.float32)
        np.save(here / f"numbers/{index}.npy", values)
        values.tofile(here / f"numbers/{index}.bin")
    return here


def config(*configs: dict[str, Any]) -> list[str]:
    section = {"model": "two.onnx", "save-dir": "out", "iteration": 3,
               "input-configs": list(configs)}  # fmt: skip
    Path("c.json").write_text(json.dumps({"quant": section}), encoding="utf-8")
    return ["quant", "-rc", "c.json"]


def test_files_left_out_are_counted_and_named(
    two_inputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("b.txt", "a.npz", ".hidden", "d.txt", "c.txt"):
        Path(f"numbers/{name}").touch()
    assert run(config(PICTURE, NUMBERS)) == 0
    assert [line for line in capsys.readouterr().err.splitlines() if "left out" in line] == [
        "Warning: 7 files of numbers left out, as Numpy data of input b end in .npy: 0.bin, 1.bin, "
        "2.bin and 4 more."
    ]


def test_two_inputs(two_inputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(config(PICTURE, NUMBERS)) == 0
    assert "padding_constant_value changes nothing here" in capsys.readouterr().err
    model = onnx.load("out/two_quantize.onnx")
    kinds = [item.type.tensor_type.elem_type for item in model.graph.input]
    assert kinds == [onnx.TensorProto.UINT8, onnx.TensorProto.FLOAT]
    picture = np.asarray(Image.open("pictures/2.png").resize((8, 8), Image.Resampling.BILINEAR))
    wanted = picture[:, :, ::-1].transpose(2, 0, 1)
    assert np.array_equal(np.fromfile("out/inputs/a.bin", np.uint8), wanted.ravel())
    assert Path("out/inputs/b.bin").read_bytes() == Path("numbers/2.bin").read_bytes()
    report = Path("out/two_quantize_report.json").read_bytes()
    assert run(["compile", "--onnx", "out/two_quantize.onnx"]) == 0
    assert run(["sim", "--input", "out/inputs/a.bin:out/inputs/b.bin", "--check"]) == 0

    assert run(config(PICTURE, {**NUMBERS, "quant_data_format": "Bin"})) == 0  # the same numbers
    assert Path("out/two_quantize_report.json").read_bytes() == report


@pytest.mark.parametrize(
    ("configs", "code", "sentence"),
    [
        ([{**PICTURE, "input_name": "c"}], 2,
         "1 of input-configs cannot be used: input-configs[0]: the network has no input 'c', but "
         "a, b."),
        ([{**PICTURE, "color": 1}], 2,
         "1 of input-configs cannot be used: input-configs[0]: key color is not one of *"),
        ([{**PICTURE, "mean": "x"}], 2,
         "1 of input-configs cannot be used: input-configs[0]: mean must be numbers, not 'x'."),
        ([PICTURE], 2, "input-configs name no data_dir for input b."),
        ([PICTURE, {**NUMBERS, "data_dir": "no"}], 2, "data folder no does not exist."),
        ([PICTURE, {**NUMBERS, "data_dir": "pictures"}], 1,
         "data folder pictures holds no file that ends in .npy."),
    ],
)  # fmt: skip
def test_refusals(
    two_inputs: Path, refused: Refusal, configs: list[dict[str, Any]], code: int, sentence: str
) -> None:
    found, lines = refused.run(config(*configs))
    assert found == code
    (error,) = [line.removeprefix("Error: ") for line in lines if line.startswith("Error: ")]
    assert error.startswith(sentence.rstrip("*"))


def test_what_is_left_out() -> None:
    """Names are those of the inputs in turn; what is not said is as Knight has it."""
    text = """[{"data_dir": "p", "mean": 3}, {"quant_data_format": "Bin", "std": "2 4",
             "quantize_input_dtype": "INT8", "color_space": "GRAY", "padding_constant_value": 0}]"""
    assert parse(text, ("a", "b")) == (
        InputConfig(InputForm("a", None, (3.0,), (1.0,)), "Image", Path("p"), "RGB", False),
        InputConfig(InputForm("b", S8, (0.0,), (2.0, 4.0)), "Bin", None, "GRAY", True),
    )
    turned = parse('[{"input_name": "b"}, {"input_name": "a", "mean": ""}]', ("a", "b"))
    assert [item.form for item in turned] == [InputForm(name, None, (), ()) for name in "ab"]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("{", ["input-configs must be a JSON list: Expecting property name enclosed in double "
               "quotes: line 1 column 2 (char 1)."]),
        ("7", ["input-configs must be a list of objects, one per input."]),
        ("[{}, 7]", ["input-configs must be a list of objects, one per input."]),
        ("[{}, {}, {}]", ["1 of input-configs cannot be used: input-configs[2]: the network has no "
                          "input '', but a, b."]),
        ('[{"input_name": "b"}, {}]', ["1 of input-configs cannot be used: input-configs[1]: it is "
                                       "configured twice."]),
        ('[{}, {"quant_data_format": "Text", "color_space": "YUV", "std": "x"}]',
         ["3 of input-configs cannot be used: input-configs[1]: quant_data_format must be one of "
          "Image, Numpy, Bin, not 'Text'.",
          "input-configs[1]: quant_data_format must be one of Image, Numpy, Bin, not 'Text'.",
          "input-configs[1]: color_space must be one of RGB, BGR, GRAY, not 'YUV'.",
          "input-configs[1]: std must be numbers, not 'x'."]),
        ('[{"quantize_input_dtype": "int4"}]',
         ["1 of input-configs cannot be used: input-configs[0]: quantize_input_dtype must be one "
          "of float32, none, uint8, int8, int16, not 'int4'."]),
    ],
)  # fmt: skip
def test_configs_that_are_wrong(text: str, sentences: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text, ("a", "b"))
    assert [caught.value.sentence, *map(str, caught.value.findings)] == sentences


@pytest.mark.parametrize("more", ["-qid uint8", "--mean 1", "--std 2", "--recipe digits"])
def test_what_configs_stand_for_is_not_asked_for_beside_them(
    two_inputs: Path, refused: Refusal, more: str
) -> None:
    refused([*config(PICTURE, NUMBERS), *more.split()], 2,
            "input-configs say how each input is fed: -qid, --mean, --std and --recipe are unused."
            )  # fmt: skip


def test_an_input_that_nothing_reads(here: Path) -> None:
    """Its entry, by name or by place, is checked and left out."""
    net = Net()
    for name in ("idle", "a"):
        net.input(name, (1, 3, 8, 8))
    onnx.save(net.model(net.conv("a", "y", (4, 3, 3, 3))), str(here / "two.onnx"))
    (here / "numbers").mkdir()
    np.save(here / "numbers/0.npy", np.ones((3, 8, 8), np.float32))
    data = {"quant_data_format": "Numpy", "data_dir": "numbers"}
    for entries in (
        ({"input_name": "idle", "mean": "3"}, {"input_name": "a", "std": "2", **data}),
        ({"mean": "3"}, {"std": "2", **data}),
        ({"input_name": "a", "std": "2", **data},),
    ):
        assert run([*config(*entries), "-i", "1"]) == 0
    assert parse('[{}, {"std": "2"}]', ("a",), ("idle", "a"))[0].form == InputForm(
        "a", None, (0.0,), (2.0,)
    )
    with pytest.raises(UsageError, match=r"the network has no input 'b', but idle, a\.$"):
        parse('[{"input_name": "b"}]', ("a",), ("idle", "a"))


def test_files_must_belong_together(two_inputs: Path, refused: Refusal) -> None:
    Path("numbers/2.npy").unlink()
    refused(config(PICTURE, NUMBERS), 1,
            "every input must have equally many files, not 3 of a, 2 of b.")  # fmt: skip


def test_a_script_reads_the_configs(two_inputs: Path) -> None:
    """It feeds the data itself; type and normalization are those of the configs."""
    Path("s.py").write_text(
        """
import numpy as np
from onnx_quantize_tool.common.register import onnx_infer_func

@onnx_infer_func.register("feed")
def feed(executor):
    (config,) = executor.input_configs_dict
    assert config["mean"] == "120 110 100"
    assert executor.input_types == {"a": 2, "b": 1}
    executor.forward(np.full((1, 3, 8, 8), 7, np.uint8), np.ones((1, 4, 8, 8), np.float32))
    with open(f"{executor.save_dir}/seen.txt", "a") as seen:
        seen.write("one run\\n")
""",
        encoding="utf-8",
    )
    assert not Path("out").exists()
    assert run([*config(PICTURE), "-uds", "s.py", "-if", "feed", "-i", "1"]) == 0
    assert set(Path("out/seen.txt").read_text().splitlines()) == {"one run"}
    assert Path("out/inputs/a.bin").read_bytes() == bytes([7] * 192)
