"""Run-config files: what beats what, what every key does, and everything wrong at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from knightlite.api.run_config import Key, RunConfig, parameters, read, with_overrides
from knightlite.cli.program import run
from knightlite.errors import KnightliteError, UnsupportedError, UsageError
from refusals import Refusal

Capture = pytest.CaptureFixture[str]
HINT = "the keys are the long names of the command's options, which its --help lists"
KNOWN = {
    "model": Key("model"),
    "iteration": Key("iteration"),
    "check": Key("compare", "switch"),
    "input-shapes": Key("input_shapes", "shapes"),
    "bit-width": Key("", "value", "16 bit", ("8",)),
    "dump": Key("", "value", "dumps"),
}


def config(**section: object) -> RunConfig:
    return RunConfig("c.json", None, {"quant": section})


# ------------------------------------------------------------------ the values of keys


@pytest.mark.parametrize(
    ("section", "wanted"),
    [
        ({"model": "x", "iteration": 10}, {"model": "x", "iteration": "10"}),
        ({"iteration": 0}, {"iteration": "0"}),  # refused by the option, not passed over
        ({"check": False}, {"compare": False}),
        ({"check": 1}, {"compare": True}),
        ({"check": "TRUE"}, {"compare": True}),
        ({"input-shapes": "-1 3 48 192"}, {"input_shapes": ["-1 3 48 192"]}),
        ({"input-shapes": [1, 3, 4]}, {"input_shapes": ["1,3,4"]}),
        ({"input-shapes": [[1, 3], "2,4"]}, {"input_shapes": ["1,3", "2,4"]}),
        ({"model": "", "iteration": None, "bit-width": 8, "dump": False}, {}),
        ({"bit-width": "8", "dump": [], "chip": "TX5105C"}, {}),
    ],
)
def test_values(section: dict[str, object], wanted: dict[str, object]) -> None:
    assert parameters(config(**section), "quant", KNOWN) == wanted


@pytest.mark.parametrize(
    ("section", "kind", "findings"),
    [
        ({"model": ["a", "b"]}, UsageError,
         ["quant.model: must be one text or number, not [\"a\", \"b\"]."]),
        ({"model": True}, UsageError, ["quant.model: must be one text or number, not true."]),
        ({"check": "maybe"}, UsageError, ["quant.check: must be true or false, not \"maybe\"."]),
        ({"no": 1}, UsageError, ["quant.no: quant has no option of this name."]),
        ({"chip": 5}, UsageError, ["quant.chip: the chip must be a name."]),
        ({"bit-width": 16}, UnsupportedError, ["quant.bit-width: not supported yet: 16 bit."]),
        ({"dump": True}, UnsupportedError, ["quant.dump: not supported yet: dumps."]),
        ({"dump": 0}, UnsupportedError, ["quant.dump: not supported yet: dumps."]),
        ({"dump": True, "no": 1, "check": 2}, UsageError, [
            "quant.no: quant has no option of this name.",
            "quant.check: must be true or false, not 2.",
            "quant.dump: not supported yet: dumps.",
        ]),
    ],
)  # fmt: skip
def test_wrong_values(
    section: dict[str, object], kind: type[KnightliteError], findings: list[str]
) -> None:
    with pytest.raises(kind) as caught:
        parameters(config(**section), "quant", KNOWN)
    error = caught.value
    count = len(findings)
    assert error.sentence == f"{count} key(s) of c.json cannot be used: {findings[0]}"
    assert [str(item) for item in error.findings] == (findings if count > 1 else [])


def test_a_switch_beside_the_sections_is_one_of_build_which_beats_it(here: Path) -> None:
    path = here / "c.json"
    for build, wanted in (({}, True), ({"disable-compare": False}, False)):
        path.write_text(json.dumps({"disable-compare": True, "build": {"x": 1, **build}}))
        assert read(path).sections == {"build": {"x": 1, "disable-compare": wanted}}


def test_overrides_and_chips() -> None:
    base = RunConfig("c.json", "TX1", {"quant": {"model": "x", "chip": "TX2"}})
    changed = with_overrides(base, [("quant", "model", "y"), ("compile", "onnx", "z")])
    assert changed.sections == {"quant": {"model": "y", "chip": "TX2"}, "compile": {"onnx": "z"}}
    assert base.sections["quant"]["model"] == "x"
    assert (changed.chip_of("quant"), changed.chip_of("compile")) == ("TX2", "TX1")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "run-config file c.json is not valid JSON: *"),
        ("[]", "run-config file c.json must hold an object with sections."),
        ('{"quant": []}', "1 key(s) of c.json cannot be used: quant: a section must be an object "
         "of options."),
        ('{"quantize": {}}', "1 key(s) of c.json cannot be used: quantize: unknown section, not "
         "one of quant, compile, run, profiling, compare, build. Hint: did you mean quant?"),
        ('{"chip": 1}', "1 key(s) of c.json cannot be used: chip: the chip must be a name."),
    ],
)  # fmt: skip
def test_files_that_are_none(here: Path, text: str, sentence: str) -> None:
    Path("c.json").write_text(text)
    with pytest.raises(UsageError) as caught:
        read("c.json")
    assert caught.value.sentence.startswith(sentence.rstrip("*"))
    assert caught.value.sentence == sentence or sentence.endswith("*")
    assert caught.value.hint


# ------------------------------------------------------------------ on the command line


def write(**sections: Any) -> None:
    Path("c.json").write_text(json.dumps(sections))


QUANT = {"model": "digits.onnx", "data": "calib", "recipe": "digits", "iteration": 2,
         "batch-size": 1, "bit-width": 8, "quant-mode": "min_max", "run-mode": "quant",
         "save-dir": "out/quant", "dump": False, "mean": ""}  # fmt: skip


def test_all_of_knights_three_commands(here: Path, capsys: Capture) -> None:
    files = {"model": f"out/npu/{STEM}_r.tsmodel", "save-dir": "out/npu"}
    write(
        chip="TX5105C",
        quant=QUANT,
        compile={"onnx": f"out/quant/{STEM}.onnx", "save-dir": "out/npu", "opt-ddr": 1},
        run={"input": "out/quant/inputs/x.bin", "format": "nchw", **files},
        profiling=files,
    )
    assert run(["build", "--run-config", "c.json"]) == 0
    out, err = capsys.readouterr()
    assert "data: 2 pictures of calib with recipe digits\n" in err
    assert "chip with quantized" in out
    assert out.splitlines()[-1].endswith(" bytes compared with the golden model, 0 differ")
    assert run(["run", "-rc", "c.json"]) == 0
    assert Path("out/npu/result-linear_0.tmp_1_p.txt").is_file()
    assert run(["profiling", "--run-config=c.json"]) == 0
    capsys.readouterr()
    assert run(["inspect", f"out/npu/{STEM}_r.cfg", "--json"]) == 0
    meta = json.loads(capsys.readouterr().out)["meta"]
    assert meta["chip"] == "TX5105C"
    assert meta["quantization"]["method"] == "min_max"


STEM = "digits_quantize"


def chip_of(capsys: Capture, *words: str) -> str:
    capsys.readouterr()
    assert run([*words, "--json"]) == 0
    return str(json.loads(capsys.readouterr().out)["chip"])


def test_what_beats_what(here: Path, capsys: Capture) -> None:
    write(chip="TX5105C", compile={"save-dir": "a"})
    assert chip_of(capsys, "compile", "-rc", "c.json") == "TX5105C"
    assert Path("a", f"{STEM}_r.cfg").is_file()
    assert chip_of(capsys, "compile", "-rc", "c.json", "-s", "b") == "TX5105C"
    assert Path("b", f"{STEM}_r.cfg").is_file()
    assert chip_of(capsys, "--chip", "TX5215CV200", "compile", "-rc", "c.json") == "TX5215CV200"
    words = ["--compile.chip", "TX5112CV201", "--compile.save-dir=c"]
    assert chip_of(capsys, "compile", "-rc", "c.json", *words) == "TX5112CV201"
    assert Path("c", f"{STEM}_r.cfg").is_file()
    assert chip_of(capsys, "compile", "--compile.save-dir", "d") == "TX5368AV200"
    assert Path("d", f"{STEM}_r.cfg").is_file()


def test_infer(here: Path, capsys: Capture) -> None:
    """Knight's second config: only ``quant``, on the quantized model."""
    write(quant={**QUANT, "model": f"{STEM}.onnx", "iteration": 10, "run-mode": "infer"})
    capsys.readouterr()
    assert run(["quant", "--run-config", "c.json"]) == 0
    assert capsys.readouterr().out == "metric, quantized model: 100.0000\n"


def test_build_can_leave_out_its_checks(here: Path, capsys: Capture) -> None:
    sections = {"quant": QUANT, "compile": {"onnx": f"out/quant/{STEM}.onnx"}}
    write(**sections, **{"disable-compare": True, "build": {"disable-model-check": True}})
    assert run(["build", "-rc", "c.json"]) == 0
    out = capsys.readouterr().out
    assert "cos%" not in out
    assert "golden model," not in out


def test_build_writes_a_page(here: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what it has compiled, with the first part of it on stdout; here nothing is tried."""
    monkeypatch.setattr("knightlite.api.advising.trying.SECONDS", 0.0)
    sections = {"quant": QUANT, "compile": {"onnx": f"out/quant/{STEM}.onnx"}}
    write(**sections, **{"disable-compare": True, "build": {"disable-model-check": True}})
    assert run(["build", "-rc", "c.json", "--html", "page.html"]) == 0
    assert "twice the vector lanes and FSPM banks" in capsys.readouterr().out
    assert f"From {STEM}_r.cfg" in Path("page.html").read_text("utf-8")


def test_refusals(refused: Refusal) -> None:
    refused(["quant", "-rc", "no.json"], 2,
            "run-config file no.json does not exist.", "the files there are *")  # fmt: skip
    refused(["quant", "c.json"], 2, "c.json stands without an option: a run-config file is named "
            "with --run-config c.json.")  # fmt: skip
    refused(["quant", "-rc"], 2, "Option '--run-config' requires an argument.")
    write(quant={**QUANT, "layer-threshold": "0 1"})
    refused(["quant", "-rc", "c.json"], 2, "1 key(s) of c.json cannot be used: "
            "quant.layer-threshold: not supported yet: range of LayerNormalization.",
            HINT)  # fmt: skip
    write(quant={**QUANT, "iteration": "many"})
    refused(["quant", "-rc", "c.json"], 2,
            "Invalid value for '-i' / '--iteration': 'many' is not a valid integer.",
            "in sim, -i is the input")  # fmt: skip
    refused(["quant", "-rc", "c.json", "--train.epochs", "3"], 2,
            "--train.epochs names no section of a run-config file.",
            "one of quant, compile, run, profiling, compare, build")  # fmt: skip
    refused(["build", "--quant.spin-quant", "1"], 2, "1 key(s) of the command line cannot be "
            "used: --quant.spin-quant: not supported yet: a more accurate quantization.",
            HINT)  # fmt: skip
    Path("digits_quantize_report.json").unlink()
    refused(
        ["build", "--quant.model", "digits.onnx", "--compile.opt-grup", "1"],
        2,
        "1 key(s) of the command line cannot be used: --compile.opt-grup: compile has no "
        "option of this name. Hint: did you mean opt-group or opt-ddr?",
        HINT,
    )  # before quant runs
    assert not Path("digits_quantize_report.json").exists()
    write(quant={**QUANT, "itration": 2}, compile={})
    refused(
        ["build", "-rc", "c.json", "--quant.bits", "8"],
        2,
        "2 key(s) of c.json and the command line cannot be used: quant.itration: *",
        HINT,
    )
    refused(["build", "--build.model-check", "1"], 2, "1 key(s) of the command line cannot be "
            "used: --build.model-check: build has no option of this name. "
            "Hint: did you mean disable-model-check?", HINT)  # fmt: skip
