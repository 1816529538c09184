"""Every switch of ``quant`` does what its help says, seen in what comes out.

One row of :data:`DOES` a switch: what is asked for, and what must then be true of the result beside
that of the defaults. That the command line asks for the same is tests/test_python_options.py's.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import knightlite
from knightlite import KnightliteError, QuantizedModel
from knightlite.onnx_models import float_parts
from knightlite.options import kinds, options_of
from knightlite.options.quantize import QuantizeOptions
from knightlite.quantize.choices import EFFORTS
from test_equalizing import uneven

Report = Mapping[str, Any]
PICTURES = np.random.default_rng(1).normal(0, 1, (24, 3, 8, 8)).astype(np.float32)

# what brings in the model or a script's data, or asks for another file, is tested where that is
ELSEWHERE: Mapping[str, str] = {
    "model": "test_api.py", "weight": "test_api.py", "framework": "test_model_files.py",
    "script": "test_api.py", "function": "test_user_script.py", "input_shapes": "test_cli.py",
    "save_dir": "test_python_options.py", "dump": "test_python_options.py",
    "recipe": "test_preprocess.py", "labels": "test_labels.py", "batches": "test_public.py",
    "paddle_python": "test_paddle_pir.py", "torch_python": "test_pytorch.py",
    "script_python": "test_script_process.py", "torch_exporter": "test_pytorch.py",
    "trust_checkpoint": "test_pytorch.py", "as_json": "test_cli.py", "seed": "test_preprocess.py",
    "general_process": "test_general.py", "mix_config": "test_mix_output.py",
    "output_scales": "test_output_scales.py", "wide_tensors": "test_widths.py",
    "load_scales": "test_input_options.py", "cache": "test_combinations.py",
    "lut_len": "test_wide_tables.py", "mix_strategy": "test_auto_mix.py",
    "npu_picks": "test_picks.py", "open_loops": "test_open_loops.py",
}  # fmt: skip


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Channels so uneven that equalization gains ten decibels."""
    path = tmp_path_factory.mktemp("model") / "net.onnx"
    path.write_bytes(float_parts(uneven(60.0)).to_bytes())
    return path


@pytest.fixture(scope="module")
def quantized(model: Path) -> Callable[..., QuantizedModel]:
    def quantize(**asked: Any) -> QuantizedModel:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            return knightlite.quantize(str(model), **{"data": PICTURES, **asked})

    once = cache(lambda: quantize())
    return lambda **asked: quantize(**asked) if asked else once()


def steps(made: QuantizedModel) -> list[str]:
    return [item["name"].rpartition(" ")[2] for item in made.report["steps"]]


def widths(made: QuantizedModel) -> int:
    """Tensors with 16 bits."""
    return len(wide(made))


def wide(made: QuantizedModel) -> list[str]:
    return [item["name"] for item in made.report["tensors"] if item["type"] == "s16"]


def differs(made: QuantizedModel, plain: QuantizedModel) -> bool:
    return made.onnx != plain.onnx


Outcome = Callable[[QuantizedModel, QuantizedModel], bool]
DOES: tuple[tuple[str, Mapping[str, Any], Outcome], ...] = (
    ("chip", {"chip": "TX5112CV201"}, lambda made, plain: made.chip == "TX5112CV201"),
    ("data", {"data": PICTURES[:9]}, lambda made, plain: made.report["pictures"] == 9),
    ("iterations", {"iteration": 9}, lambda made, plain: made.report["pictures"] == 9),
    ("iterations", {"iteration": (9, 12)}, lambda made, plain: len(made.combinations) == 2),
    ("methods", {"method": "min_max"}, lambda made, plain: made.report["method"] == "min_max"),
    ("methods", {"method": "auto"}, lambda made, plain: made.report["method"] == "auto"),
    ("percent", {"method": "percentile", "percent": 0.5}, differs),
    ("equalize", {}, lambda made, plain: "equalization" in steps(plain)),
    ("equalize", {"equalization": False}, lambda made, plain: "equalization" not in steps(made)),
    ("equalize", {"equalization": "off"}, lambda made, plain: "equalization" not in steps(made)),
    ("effort", {"effort": "low"}, lambda made, plain: steps(made) == []),
    ("effort", {"effort": "low", "equalization": True},
     lambda made, plain: steps(made) == ["equalization"]),
    ("effort", {"effort": "high"},
     lambda made, plain: {"equalization", "correction", "rounding"} <= {*steps(made)}),
    ("bias_correction", {"bias_correction": "off"},
     lambda made, plain: made.report["bias_correction"] == "off" and len(steps(made)) == 1),
    ("bias_correction", {"bias_correction": "fast"},
     lambda made, plain: "correction" not in steps(made) and "correction" in steps(plain)),
    ("bias_correction", {"effort": "low", "bias_correction": "sequential"},
     lambda made, plain: steps(made) == ["correction"]),
    ("rounding", {"rounding": "adaptive"}, lambda made, plain: "rounding" in steps(made)),
    ("rounding", {"effort": "high", "rounding": "nearest"},
     lambda made, plain: "rounding" not in steps(made)),
    ("bit_width", {"bit_width": 16},
     lambda made, plain: widths(made) == len(made.report["tensors"]) and steps(made) == []),
    ("bit_width", {"bit_width": "16"}, lambda made, plain: widths(made) > widths(plain)),
    ("generate_template", {"generate_template": True},
     lambda made, plain: made.mix_template is not None and plain.mix_template is None),
    ("run_mode", {"run_mode": "auto_quant"}, lambda made, plain: widths(made) > widths(plain)),
    ("mix_ratio", {"run_mode": "auto_quant", "auto_mix_ratio": 0.0},
     lambda made, plain: widths(made) == widths(plain)),
    ("mix_budget", {"mix_budget": "500%"}, lambda made, plain: widths(made) > widths(plain)),
    ("input_types", {"input_types": "uint8", "data": np.abs(PICTURES).round()},
     lambda made, plain: made.report["tensors"][0]["type"] == "u8"),
    ("mean", {"mean": 0.5}, differs),
    ("std", {"mean": 0, "std": 2.0}, differs),
    ("output_names", {"output_names": "even"}, lambda made, plain: outputs(made) == ["even"]),
    ("generate_scales", {"generate_scale_json": True},
     lambda made, plain: json.loads(made.scales) and not plain.scales),
    ("input_configs", {"input_configs": [{"input_name": "x", "mean": [0.5], "std": [1]}]},
     differs),
    ("ir_batch", {"ir_batch": 2}, differs),
    ("batch_size", {"batch_size": 4}, lambda made, plain: made.report["pictures"] == 24),
)  # fmt: skip


def outputs(made: QuantizedModel) -> list[str]:
    return [item["name"] for item in made.report["outputs"]]


@pytest.mark.parametrize(("field", "asked", "outcome"), DOES)
def test_it_does_what_its_help_says(
    field: str, asked: Mapping[str, Any], outcome: Outcome,
    quantized: Callable[..., QuantizedModel],
) -> None:  # fmt: skip
    assert outcome(quantized(**asked), quantized())


def test_every_switch_has_a_row() -> None:
    options = options_of(QuantizeOptions)
    assert {*ELSEWHERE, *(field for field, *_ in DOES)} == {*options}
    for field, name in ELSEWHERE.items():
        text = Path(__file__).with_name(name).read_text()
        item = options[field]
        assert any(
            word in text for word in (*item.flags, item.parameter, item.name, item.default) if word
        ), field


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"bit_width": 16, "rounding": "adaptive"}, "rounding=.adaptive. adds no step to"),
        ({"bit_width": 16, "equalization": True}, "equalization=.on. adds no step to"),
        ({"bit_width": 16, "wide_tensors": False}, "wide_tensors=.off. changes nothing at"),
        (
            {"generate_scale_json": True, "equalization": "on"},
            "equalization=.on. adds no step with",
        ),
    ],
)
def test_what_is_asked_in_vain_is_said(
    asked: Mapping[str, Any], sentence: str, model: Path
) -> None:
    assert any(re.search(sentence, told) for told in remarks(model, **asked))


def remarks(model: Path, **asked: Any) -> list[str]:
    """What Python warns of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        knightlite.quantize(str(model), data=PICTURES, **asked)
    return [str(item.message) for item in caught]


def test_a_large_network_says_what_was_left_out_and_how_to_get_it(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(EFFORTS, "normal", {"sample_macs": 10_000})
    told = [sentence for sentence in remarks(model) if "not tried" in sentence]
    assert [sentence.partition(":")[0] for sentence in told] == [
        "cross-layer equalization", "sequential bias correction"
    ]  # fmt: skip
    for sentence in told:
        assert re.search(r"take \d+ G \(and \d+ MiB of memory\)", sentence)
        assert 'effort="high"' in sentence


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"equalization": "of"}, "equalization must be False or True, not of."),
        ({"bit_width": "12"}, "the bit_width must be 8 or 16, not 12."),
        ({"lut_len": 9.5}, "lut len must be a whole number, not 9.5."),
        ({"percent": "most"}, "percent must be a number, not 'most'."),
        ({"generate_template": "maybe"}, "generate template must be True or False, not 'maybe'."),
        ({"input_shapes": 3},
         "input shapes must be a shape such as (1, 3, 48, 192), or several, not 3."),
        ({"mean": [None]}, "mean must be a number, or several, not [None]."),
        ({"iteration": 1.5}, "iteration must be a whole number, or several, not 1.5."),
        ({"output_names": [7]}, "output names must be a text, or several, not [7]."),
        ({"mix_config": 7}, "mix config must be a path, not 7."),
        ({"input_configs": [7]}, "input configs must be a list of dictionaries, not [7]."),
    ],
)  # fmt: skip
def test_a_value_of_another_type_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: Mapping[str, Any], sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("m.onnx").touch()
    with pytest.raises(KnightliteError) as refused:
        knightlite.quantize("m.onnx", **asked)
    assert refused.value.sentence == sentence


@pytest.mark.parametrize(
    ("kind", "value", "held"),
    [
        (kinds.ON_OFF, "on", True), (kinds.ON_OFF, False, False), (kinds.BITS, "16", 16),
        (kinds.BITS, 8.0, 8), (kinds.WHOLE, "9", 9), (kinds.WHOLE, np.int64(9), 9),
        (kinds.REAL, "0.5", 0.5), (kinds.REAL, 1, 1.0), (kinds.SWITCH, "off", False),
        (kinds.SWITCH, np.True_, True), (kinds.TEXTS, "out", ("out",)),
        (kinds.TEXTS, ["a", "b"], ("a", "b")), (kinds.WORDS, "kl,mse", ("kl", "mse")),
        (kinds.COUNTS, "10", (10,)), (kinds.COUNTS, [1, "2"], (1, 2)),
        (kinds.NUMBERS, 255, (255.0,)),
        (kinds.NUMBERS, "1 2.5", (1.0, 2.5)), (kinds.NUMBERS, np.ones(2), (1.0, 1.0)),
        (kinds.SHAPES, (1, 3, 4, 4), ((1, 3, 4, 4),)), (kinds.SHAPES, "1,3,4,4", ((1, 3, 4, 4),)),
        (kinds.SHAPES, [(1, 3), "1x4"], ((1, 3), (1, 4))), (kinds.FILES, "a", (Path("a"),)),
        (kinds.JSON_LIST, '[{"input_name": "x"}]', '[{"input_name": "x"}]'),
    ],
)  # fmt: skip
def test_arguments_may_be_written_as_on_the_command_line(
    kind: kinds.Kind, value: Any, held: Any
) -> None:
    found = kind.take(value)
    assert (found, type(found)) == (held, type(held))


def test_the_function_and_the_package_of_its_name_are_both_found() -> None:
    """In a process of its own: it depends on what is imported first."""
    for first in ("import knightlite.quantize.steps", "import knightlite; knightlite.quantize"):
        code = (
            f"{first}\nimport knightlite.quantize.steps, knightlite.quantize.ranges as ranges\n"
            "assert knightlite.quantize.steps.improve and knightlite.quantize.ranges is ranges\n"
            "assert knightlite.quantize.__name__ == 'quantize' and callable(knightlite.quantize)\n"
        )
        subprocess.run([sys.executable, "-c", code], check=True)
