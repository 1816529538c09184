"""The command line: the commands, what they print and where, names and help, same bytes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.shell_completion import BashComplete

from conftest import DIGITS
from knightlite.cli import main
from knightlite.cli.arguments import rewrite
from knightlite.cli.program import COMMANDS, group, run
from knightlite.cli.vocabulary import ALIASES
from refusals import snapshot

STEM = "digits_quantize"
USER_SCRIPT = '''\
from onnx_quantize_tool.common.register import onnx_infer_func
import os
import numpy as np
from PIL import Image


@onnx_infer_func.register("infer_digits_benchmark")
def infer_digits_benchmark(executor):
    """As the vendor's scripts: classes in sorted folders, top-1 returned."""
    right = total = 0
    for label, folder in enumerate(sorted(os.listdir(executor.dataset))):
        for name in sorted(os.listdir(os.path.join(executor.dataset, folder))):
            image = Image.open(os.path.join(executor.dataset, folder, name)).convert("RGB")
            x = np.asarray(image.resize((32, 32), Image.BILINEAR), np.float32) / 255
            x = ((x - 0.5) / 0.5).transpose(2, 0, 1)[None]
            outputs = executor.forward(np.ascontiguousarray(x))
            right += int(outputs[0].argmax() == label)
            total += 1
            if total == executor.iteration:
                return 100.0 * right / total
'''

Capture = pytest.CaptureFixture[str]


def output(capsys: Capture, *arguments: str, code: int = 0) -> tuple[str, str]:
    """stdout and stderr of a command, whose exit code must be ``code``."""
    capsys.readouterr()
    assert run(arguments) == code
    captured = capsys.readouterr()
    return captured.out, captured.err


# ------------------------------------------------------------------ the eight commands


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with what a user brings: model, pictures, script, raw input; no results."""
    folder = tmp_path / "empty"
    folder.mkdir()
    monkeypatch.chdir(folder)
    bring(folder)
    return folder


def bring(folder: Path) -> None:
    for name in ("digits", "D"):
        shutil.copy(DIGITS / "digits.pdmodel", folder / f"{name}.pdmodel")
        shutil.copy(DIGITS / "digits.pdiparams", folder / f"{name}.pdiparams")
    for label in "0123456789":
        (folder / "DIR" / label).mkdir(parents=True)
        shutil.copy(min((DIGITS / "calib" / label).iterdir()), folder / "DIR" / label)
    (folder / "digits.py").write_text(USER_SCRIPT)
    pixels = np.random.default_rng(1).uniform(-1, 1, (10, 3, 32, 32)).astype(np.float32)
    pixels.tofile(folder / "model_input.bin")


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_four_short_commands(empty: Path, capsys: Capture) -> None:
    brought = files(empty)
    out, err = output(capsys, "quant", "onnx", "-m", "digits.pdmodel", "-i", "8")
    assert err.splitlines()[:5] == [
        "TX5368AV200 is taken, the default chip; --chip NAME takes another.",
        "Quant Start",
        "Stage1: Do Graph Optimize.",
        "58 operators after folding",
        "Stage2: Run Float Model And Calculate Quantization Scales.",
    ]
    assert "data: data-free, from 27 BatchNorm statistics\n" in err
    assert "Warning: data: the model is calibrated without pictures, on made-up ones" in err
    assert err.endswith(f"Quantized Model : {STEM}.onnx\nQuant complete\n")
    _, err = output(capsys, "compile")
    assert err.startswith(f"{STEM}.onnx is taken: quant left it here last.\n")
    out, err = output(capsys, "sim", "--input", "model_input.bin")
    assert err.splitlines() == [
        f"{STEM}_r.cfg is taken: compile left it here last.",
        f"{STEM}_r.weight is taken: compile left it here last.",
        "the cfg file input bit: x : int8",
        "input layout: nchw (as stored in the .cfg; Knight's default is nhwc)",
        "input holds 10 frame(s) of float32",
        "1 frame(s) run, 9 remain; -fc N runs more of them.",
    ]
    scores = out.splitlines()
    assert scores[0] == "Top 5 of frame 0"
    assert scores[-1].startswith("crc16: 0x")
    assert scores[-2] == "result: result-linear_0.tmp_1_p.txt (also _hwc.txt and .npy)"
    out, _ = output(capsys, "profile")
    assert out.startswith("digits on TX5368AV200\nlayer ")
    assert files(empty) - brought == {
        "digits.onnx", f"{STEM}.onnx", f"{STEM}_report.json", "inputs", f"{STEM}_r.cfg",
        f"{STEM}_r.weight", f"{STEM}_golden.onnx", f"{STEM}_known_input.bin",
        f"{STEM}_known_output.bin", f"{STEM}_r.map.txt", f"{STEM}_r.tsmodel",
        "result-linear_0.tmp_1_p.txt", "result-linear_0.tmp_1_hwc.txt",
        "result-linear_0.tmp_1.npy", "layer_cycles_NPU_0.txt",
        f"{STEM}_r.profile.json", f"{STEM}_r.pftrace", "knightlite.json",
    }  # fmt: skip


def test_four_commands_of_knight(empty: Path, capsys: Capture) -> None:
    chip = ["--chip", "TX5368AV200"]
    quant = "quant onnx -m D.pdmodel -w D.pdiparams -f paddle -uds digits.py -if "
    quant += "infer_digits_benchmark -s ./tmp/digits -d DIR -bs 1 -i 10"
    out, err = output(capsys, *chip, *quant.split())
    assert "data: user script digits.py:infer_digits_benchmark" in err
    stays = "the metric stays: 100.0000 float, 100.0000 quantized; +0.00 points, 95 % interval "
    sure = "-23.10 to +23.10: 0 won, 0 lost of 10 pictures"
    assert f"Quantization Loss: 0.0000 % ({stays}{sure})\nQuant complete\n" in err
    assert "metric, float model: 100.0000\nmetric, quantized model: 100.0000\n" in out
    _, err = output(
        capsys, *chip, "rne-compile", "--onnx", "D_quantize.onnx", "--outpath", "."
    )  # the bare name is not here: the manifest knows it
    assert err.splitlines()[0] == (
        "D_quantize.onnx is not here; tmp/digits/D_quantize.onnx is taken, which quant left."
    )
    pair = "--weight D_quantize_r.weight --config D_quantize_r.cfg --outpath ."
    out, err = output(capsys, *chip, *f"rne-sim --input model_input.bin {pair}".split())
    assert "taken" not in err
    assert "1 frame(s) run, 9 remain" in err
    output(capsys, *chip, *f"rne-profiling {pair}".split())
    text = Path("layer_cycles_NPU_0.txt").read_text(encoding="utf-8")
    assert text.startswith("Total RDMA byte: ")
    golden = np.load("result-linear_0.tmp_1.npy")
    _, err = output(capsys, "sim", "--input", "model_input.bin", "--check", "-s", "again")
    assert np.array_equal(golden, np.load("again/result-linear_0.tmp_1.npy"))


def test_same_commands_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two folders, one process and another: every file is the same, byte for byte."""
    commands = [
        ["quant", "-m", "digits.pdmodel", "-d", "DIR", "--recipe", "digits", "-i", "4"],
        ["compile"],
        ["sim", "--input", "model_input.bin", "-fc", "2"],
        ["profile"],
    ]
    made = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        bring(folder)
        monkeypatch.chdir(folder)
        if name == "one":
            assert [run(command) for command in commands] == [0, 0, 0, 0]
        else:
            script = (
                f"from knightlite.cli.program import run\nfor c in {commands!r}: assert run(c) == 0"
            )
            environment = {**os.environ, "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"}
            subprocess.run(
                [sys.executable, "-c", script], check=True, capture_output=True, env=environment
            )
        made.append(snapshot(folder))
    assert sorted(made[0]) == sorted(made[1])
    assert [name for name in made[0] if made[0][name] != made[1][name]] == []
    assert f"{STEM}_r.cfg" in made[0]
    assert b"/" not in (made[0]["knightlite.json"] or b"").replace(b"inputs/", b"")


# ------------------------------------------------------------------ the manifest


def test_a_package_that_is_not_installed_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """A broken installation is no bug of ours."""
    from knightlite.cli import chips

    monkeypatch.setattr("knightlite.cli.chips", chips)  # the one that all others patch comes back
    monkeypatch.setitem(sys.modules, "knightlite.cli.chips", None)
    assert run(["chips"]) == 1
    assert "this is a bug of ours" in capsys.readouterr().err
    monkeypatch.delitem(sys.modules, "knightlite.cli.chips")
    monkeypatch.setitem(sys.modules, "rich.cells", None)
    assert run(["chips"]) == 1
    said = capsys.readouterr().err.splitlines()
    assert said[0] == f"Error: knightlite needs the package rich, which {sys.executable} has not."
    assert said[1].startswith(f"Hint: `{sys.executable} -m pip install knightlite` brings it")


def test_files_are_looked_at_without_a_name(here: Path, capsys: Capture) -> None:
    """What was left last, by the stage that leaves such files."""
    for unnamed, named in ((["inspect"], ["inspect"]), (["model_info"], ["model_info", "-m"])):
        told, taken = output(capsys, *unnamed, "--json")
        assert taken == f"{STEM}_r.cfg is taken: compile left it here last.\n"
        assert told == output(capsys, *named, f"{STEM}_r.cfg", "--json")[0]


def test_a_named_file_that_is_here_is_taken_as_it_is(here: Path, capsys: Capture) -> None:
    data = Path(f"{STEM}_r.cfg").read_bytes()
    Path(f"{STEM}_r.cfg").rename("mine.cfg")
    out, err = output(capsys, "inspect", "mine.cfg")
    assert err == ""
    assert out.startswith("mine.cfg: digits for TX5368AV200 (TX5368), pair ")
    Path(f"{STEM}_r.cfg").write_bytes(data)
    _, err = output(capsys, "profile", "--config", f"{STEM}_r.cfg")
    assert err == ""  # and the weight beside it


def test_the_chip_of_quant_is_that_of_compile(here: Path, capsys: Capture) -> None:
    quant = ["quant", "-m", "digits.onnx", "-d", "calib", "--recipe", "digits", "--effort", "low"]
    output(capsys, *quant, "--chip", "TX5112CV201")
    out, _ = output(capsys, "compile", "--json")
    assert json.loads(out)["chip"] == "TX5112CV201"
    out, err = output(capsys, "--chip", "TX5105C", "compile", "--json", "--chip", "TX5112CV201")
    made = json.loads(out)
    assert made["chip"] == "TX5105C"  # the first one wins
    assert (
        f"{STEM}.onnx was quantized for TX5112CV201 and is taken for TX5105C: types and scales are "
        "the same for every chip, limits and cycles are TX5105C's."
    ) in err
    again = "quant -m digits.onnx -d calib --recipe digits -i 10 --effort low"
    assert f"; `knightlite --chip TX5105C {again}` weighs them anew." in err
    out, _ = output(capsys, "profile", "--json")
    timed = json.loads(out)
    same = ("latency_ms", "frames_per_second", "certainty", "host_ms", "with_host")
    assert {key: made[key] for key in same} == {key: timed[key] for key in same}
    _, err = output(capsys, "profile", "--chip", "TX5112CV201", code=2)
    assert f"{STEM}_r.cfg was compiled for chip TX5105C, not for TX5112CV201." in err
    output(capsys, "profile", "--chip", "TX5103C")  # the same family
    _, err = output(capsys, "compile", "--chip", "TX5112CV201")
    assert "was quantized for" not in err


def test_a_chip_file_of_the_users_need_not_stay(here: Path, capsys: Capture) -> None:
    shipped = Path(__file__).parent.parent / "chips" / "tx5112x201.toml"
    shutil.copy(shipped, "my.toml")
    output(capsys, "compile", "--chip", "my.toml")
    Path("my.toml").unlink()
    output(capsys, "sim", "--input", "inputs/x.bin", "--check")
    output(capsys, "profile")


def test_quant_can_run_a_quantized_model(here: Path, capsys: Capture) -> None:
    data = ["-d", "calib", "--recipe", "digits", "-i", "10", "-r", "infer"]
    before = snapshot(here)
    out, err = output(capsys, "quant", "-m", f"{STEM}.onnx", *data)
    assert out == "metric, quantized model: 100.0000\n"
    assert err.endswith("\nInfer complete\n")
    assert "Quant complete" not in err
    assert "data: 10 pictures of calib with recipe digits" in err
    out, _ = output(capsys, "quant", "-m", "digits.pdmodel", *data)
    assert out == "metric, float model: 100.0000\n"
    assert snapshot(here) == before


def test_explain_says_where_no_rewrite_applies(here: Path, capsys: Capture) -> None:
    out, _ = output(capsys, "explain", "linear_0.tmp_1.nchw")
    assert out == (
        "Rewrites, and the schedule of level 1\n"
        "node                 pass      what happened\n"
        "linear_0.tmp_1.nchw  schedule  walked as a whole, in one band.\n"
        "linear_0.tmp_1.nchw  schedule  spilled: its output goes to DDR, where the host reads it.\n"
        "\n"
    )


@pytest.mark.parametrize(
    ("program", "words", "level"),
    [
        ("knightlite", ["compile"], 1),
        ("knightlite", ["rne-compile"], 0),
        ("Knight", ["rne-compile"], 0),
        ("Knight", ["compile"], 0),
        ("Knight", ["compile", "--opt-group", "1"], 1),
        ("Knight", ["compile", "-rc", "level.json"], 1),
        ("knightlite", ["compile", "--opt-group", "0"], 0),
    ],
)
def test_the_schedule_that_is_taken_unasked(
    here: Path, capsys: Capture, program: str, words: list[str], level: int
) -> None:
    Path("level.json").write_text('{"compile": {"opt-group": 1}}', encoding="utf-8")
    assert run([*words, "--json"], program) == 0
    assert json.loads(capsys.readouterr().out)["schedule_level"] == level


# ------------------------------------------------------------------ JSON


@pytest.mark.parametrize(
    ("arguments", "keys"),
    [
        (["quant", "-m", "digits.onnx", "-d", "calib", "--recipe", "digits", "-i", "2"],
         {"files", "float_metric", "quantized_metric", "quantization_loss", "pictures",
          "outputs"}),
        (["quant", "-m", "digits.onnx", "-r", "convert", "-s", "out"], {"files"}),
        (["compile"], {"files", "chip", "macs", "cfg_sha256", "weight_bytes", "layers"}),
        (["sim", "--input", "inputs/x.bin", "--check", "--labels", "labels.txt"],
         {"files", "frames", "compared_bytes", "differing_bytes", "top"}),
        (["profile"], {"schema", "layers", "cycles", "latency_ms"}),
        (["check", "-m", "digits.onnx"], {"fits", "findings", "macs", "parameters", "operators"}),
        (["inspect", f"{STEM}_r.cfg"], {"meta", "kind", "bytes"}),
        (["inspect", f"{STEM}_r.weight"], {"meta", "kind", "bytes"}),
        (["explain"], {"node", "pass", "sentence"}),
        (["compare"], {"index", "name", "op", "wanted", "found", "difference"}),
        (["model_info", "-m", f"{STEM}_r.cfg"], {"inputs", "outputs"}),
        (["chips"], {"family", "names", "description", "default"}),
        (["chips", "TX5105C"], {"fact", "value", "source", "note"}),
        (["chips", "TX5105C", "--ops"], {"operator", "from ONNX", "runs on", "rules"}),
    ],
)  # fmt: skip
def test_json_is_alone_on_stdout(
    here: Path, capsys: Capture, arguments: list[str], keys: set[str]
) -> None:
    out, err = output(capsys, *arguments, "--json")

    def refuse(text: str) -> Any:
        raise ValueError(f"{text} is not JSON")

    found = json.loads(out, parse_constant=refuse)
    number = 2 if arguments[0] == "sim" else 1
    assert found["schema"] == f"knightlite.{arguments[0]}/{number}"
    assert keys <= set(found["rows"][0] if "rows" in found else found)
    talks = arguments[0] in (
        "quant", "compile", "sim", "profile", "explain", "compare", "check",
    )  # fmt: skip
    assert bool(err) == talks


def test_a_recipe_that_is_not_the_networks(here: Path, capsys: Capture) -> None:
    picture = min((here / "calib" / "7").iterdir()).as_posix()
    other = "the recipe is not the one that the model was quantized with."
    for recipe, told in (("digits", False), ("cifar10", True)):
        _, err = output(capsys, "sim", "--input", picture, "--recipe", recipe)
        assert (other in err) is told


def test_json_figures(here: Path, capsys: Capture) -> None:
    picture = min((here / "calib" / "7").iterdir()).as_posix()
    out, _ = output(
        capsys, "sim", "--input", picture, "--labels", "labels.txt", "--check", "--json"
    )
    found = json.loads(out)
    assert (found["frames"], found["differing_bytes"], found["differing_tensors"]) == (1, 0, [])
    assert found["compared_bytes"] > 100_000
    out, _ = output(capsys, "sim", "--input", picture, "--json")
    unchecked = json.loads(out)
    for key in ("compared_bytes", "differing_bytes", "differing_tensors"):
        assert unchecked[key] is None
    assert len(found["top"][0]) == 5
    assert found["top"][0][0]["label"] == "7"
    scores = [guess["score"] for guess in found["top"][0]]
    assert scores == sorted(scores, reverse=True)


def test_a_differing_byte_is_exit_code_1(here: Path, capsys: Capture) -> None:
    model = onnx.load(f"{STEM}_golden.onnx")
    weights = max(model.graph.initializer, key=lambda item: len(item.raw_data))
    weights.raw_data = bytes([weights.raw_data[0] ^ 64]) + weights.raw_data[1:]
    onnx.save(model, f"{STEM}_golden.onnx")
    out, err = output(capsys, "sim", "--input", "inputs/x.bin", "--check", code=1)
    assert "Error" not in err
    assert "differs: " in out
    assert " bytes compared with the golden model, 0 differ" not in out


# ------------------------------------------------------------------ help and names


@pytest.mark.parametrize("command", [*COMMANDS, *ALIASES])
def test_every_command_has_help_with_examples(capsys: Capture, command: str) -> None:
    for option in ("--help", "-h"):
        out, err = output(capsys, command, option)
        assert err == ""
        assert out.startswith(f"Usage: knightlite {command} ")
        assert f"Examples:\n    knightlite {ALIASES.get(command, command)}" in out
        assert max(len(line) for line in out.splitlines()) <= 80


def test_help_and_version(capsys: Capture) -> None:
    out, _ = output(capsys, "--help")
    for name, (_, line) in COMMANDS.items():
        assert f"\n  {name} " in out
        assert line.split(":")[0][:40] in out
    words = " ".join(out.split())
    for name, target in ALIASES.items():
        others = ", ".join(other for other, its in ALIASES.items() if its == target)
        assert name in others
        assert f"(also {others})" in words
    assert output(capsys, "-v") == output(capsys, "--version")
    out, _ = output(capsys, "-v")
    assert out.startswith("knightlite, version ")


@pytest.mark.parametrize(
    ("called", "program"),
    [("/usr/bin/Knight", "Knight"), ("knightlite", "knightlite"), ("/x/__main__.py", "knightlite")],
)
def test_usage_names_the_program_as_it_was_called(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, called: str, program: str
) -> None:
    monkeypatch.setattr(sys, "argv", [called, "quant"])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith(f"Usage: {program} quant [OPTIONS] [onnx]\n")


@pytest.mark.parametrize(
    ("arguments", "option"),
    [("compile a.onnx", "--onnx"), ("quant a.onnx", "--model"), ("diagnose a b", "--quantized")],
)
def test_a_file_without_its_option(capsys: Capture, arguments: str, option: str) -> None:
    command = arguments.split()[0]
    assert run(arguments.split()) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"Hint: files are named by their options, as in `knightlite {command} {option} FILE`"
    )


def test_no_arguments(capsys: Capture) -> None:
    _, err = output(capsys, code=2)
    assert "Usage: knightlite [OPTIONS] COMMAND [ARGS]..." in err


def test_help_is_instant() -> None:
    script = (
        "import sys\nfrom knightlite.cli.program import run\nassert run(['--help']) == 0\n"
        "print([name for name in ('numpy', 'onnx', 'onnxruntime', 'PIL', 'rich', 'knightlite.api')"
        " if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stderr == "[]\n"


# ------------------------------------------------------------------ arguments


@pytest.mark.parametrize(
    ("arguments", "joined"),
    [
        ("-is 1 3 48 192 -i 2", "-is 1,3,48,192 -i 2"),
        ("--input-shapes -1 3 48 192", "--input-shapes -1,3,48,192"),
        ("-is 1 3 -is 2 4 -m x", "-is 1,3 -is 2,4 -m x"),
        ("-is 1,3,48,192", "-is 1,3,48,192"),
        ("-is", "-is"),
        ("-m x -- -is 1 3", "-m x -- -is 1 3"),
    ],
)
def test_shapes_are_joined(arguments: str, joined: str) -> None:
    for command in ("quant", "check", "diagnose", "eval", "--default-chip TX5105C quant"):
        words = command.split()
        assert rewrite([*words, *arguments.split()]) == [*words, *joined.split()]


@pytest.mark.parametrize(
    ("values", "taken"),
    [
        ("0 -1e-3 2.5", 3),
        ("-1e-3 -.5 1E-3", 3),
        ("1 -2 -m x", 2),  # what is no number is another option
        ("1 -e x", 1),
    ],
)
def test_values_of_channels_may_be_any_numbers(values: str, taken: int) -> None:
    words = values.split()
    spread = [word for value in words[:taken] for word in ("--mean", value)]
    assert rewrite(["quant", "--mean", *words]) == ["quant", *spread, *words[taken:]]


@pytest.mark.parametrize(
    ("arguments", "rewritten"),
    [
        ("quant -m x --chip A", "--chip A quant -m x"),
        ("--chip A quant --chip=B -m x", "--chip A --chip=B quant -m x"),
        ("quant -m x --chip", "--chip quant -m x"),
        ("inspect -- --chip", "inspect -- --chip"),
    ],
)
def test_the_chip_may_stand_anywhere(arguments: str, rewritten: str) -> None:
    assert rewrite(arguments.split()) == rewritten.split()


def test_shapes_reach_the_model(here: Path, capsys: Capture) -> None:
    command = ["check", "-m", "digits.onnx", "--json", "-is", "1", "3", "64", "32"]
    macs = [json.loads(output(capsys, *line)[0])["macs"] for line in (command, command[:4])]
    assert 1.9 * macs[1] < macs[0] <= 2 * macs[1]


# ------------------------------------------------------------------ when something else goes wrong


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (PermissionError(13, "Permission denied", "x.cfg"), "Error: x.cfg: Permission denied.\n"),
        (OSError(28, "No space left on device"), "Error: No space left on device.\n"),
        (MemoryError(), "Error: there is not enough memory for this.\nHint: *"),
        (KeyboardInterrupt(), "\nStopped.\n"),  # click ends the line that shows ^C
        (ValueError("a\nb"), "Error: knightlite failed inside (ValueError: a b).\nHint: *"),
    ],
)
def test_what_nobody_foresaw(
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    error: BaseException,
    sentence: str,
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr("knightlite.cli.chips.chip_names", fail)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    stopped = isinstance(error, KeyboardInterrupt)
    out, err = output(capsys, "chips", code=130 if stopped else 1)
    assert out == ""
    assert err.startswith(sentence.rstrip("*"))
    assert (err == sentence) == (not sentence.endswith("*"))
    logs = list(tmp_path.iterdir())
    assert len(logs) == ("failed inside" in sentence)
    assert all("Traceback" in log.read_text(encoding="utf-8") for log in logs)


@pytest.mark.parametrize(
    ("redirection", "code", "said"),
    [
        ("| head -1", 0, ""),
        (">&-", 0, ""),
        ("> /dev/full", 1, "Error: No space left on device.\n"),
        ("2>&-", 0, ""),
    ],
)
def test_streams_that_are_closed(here: Path, redirection: str, code: int, said: str) -> None:
    line = f"set -o pipefail; {sys.executable} -m knightlite inspect {STEM}_r.cfg {redirection}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (code, said)


@pytest.mark.parametrize("redirection", ["2>/dev/full", "2>&-", "2> >(exec true)"])
def test_talk_that_cannot_be_written_changes_nothing(here: Path, redirection: str) -> None:
    """Neither results nor exit codes."""
    program = f"{sys.executable} -m knightlite"
    for words, code, files in (("quant", 2, set()), ("compile -s out", 0, {f"{STEM}_r.cfg"})):
        line = f"sleep 0.1; exec {program} {words}"  # the reader has gone by then
        done = subprocess.run(
            ["bash", "-c", f"({line}) {redirection}"], capture_output=True, check=False
        )
        assert done.returncode == code
        made = {path.name for path in Path("out").iterdir()} if Path("out").is_dir() else set()
        assert files <= made


@pytest.mark.parametrize("error", [BrokenPipeError(32, "Broken pipe"), SystemExit(3)])
def test_a_pipe_that_is_not_stdout_is_an_error(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    """A worker's, say: what was asked for is not done."""

    def fail() -> None:
        raise error

    monkeypatch.setattr("knightlite.cli.chips.chip_names", fail)
    out, err = output(capsys, "chips", code=1)
    assert out == ""
    assert err.startswith("Error: ")


def test_a_terminal_without_the_letters(here: Path) -> None:
    Path("digits.onnx").rename("Zürich.onnx")
    done = subprocess.run(
        [sys.executable, "-m", "knightlite", "check", "-m", "Zürich.onnx"],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        check=True,
    )
    assert done.stdout.startswith(b"Z\\xfcrich on TX5368AV200\n")


def test_a_bare_input_name_is_looked_up(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What quant left in inputs/ is found by its name alone, and that is said."""
    assert run(["sim", "--input", "x.bin", "--check"]) == 0
    shown = capsys.readouterr()
    assert "x.bin is not here; inputs/x.bin is taken, which quant left." in shown.err
    assert "0 differ" in shown.out
    Path("inputs/x.bin").write_bytes(b"changed")
    assert run(["sim", "--input", "x.bin"]) == 2
    assert "inputs/x.bin has changed since quant left it." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["--chip", "tx5105cv"], ["plain,TX5105CV100"]),
        (["--chip", "my."], ["file,my."]),
        (["chips", "TX5110"], ["plain,TX5110CV206"]),
        (["quant", "--recipe", "cifar10_"], ["plain,cifar10_mean53", "plain,cifar10_usual"]),
        (["quant", "--effort", "hi"], ["plain,high"]),
        (["quant", "--bias-c"], ["plain,--bias-correction"]),
        (["compile", "-sln", "relu_26"], ["plain,relu_26.tmp_0"]),
        (["explain", "pool2d_1"], ["plain,pool2d_1.tmp_0"]),
        (["compile", "--output", "no"], []),
        (["compa"], ["plain,compare"]),
    ],
)
def test_completion(
    here: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], offered: list[str]
) -> None:
    monkeypatch.setenv("COMP_WORDS", " ".join(["knightlite", *words]))
    monkeypatch.setenv("COMP_CWORD", str(len(words)))
    shell = BashComplete(group, {}, "knightlite", "_KNIGHTLITE_COMPLETE")
    assert shell.complete().splitlines() == offered
