"""The Python functions that the command line calls, with direct arguments and typed results."""

from __future__ import annotations

import hashlib
import inspect
import json
import pkgutil
import shutil
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import DIGITS
from knightlite import api, container, workspace
from knightlite.api.checking import check
from knightlite.api.compilation import compile_model, explain
from knightlite.api.inspection import inspect_file
from knightlite.api.models.binary import find_binary
from knightlite.api.profiling import profile_program
from knightlite.api.quantization import quantize
from knightlite.api.simulation import CompiledNetwork, simulate
from knightlite.api.simulation.golden import GoldenReference
from knightlite.cli.program import run
from knightlite.datafiles import chips_folder
from knightlite.errors import CapacityError, DataError, Finding, FormatError, UsageError
from knightlite.options.compile import CompileOptions, ExplainOptions
from knightlite.options.inspection import CheckOptions
from knightlite.options.profile import ProfileOptions
from knightlite.options.quantize import QuantizeOptions
from knightlite.options.simulate import SimulateOptions
from knightlite.sim import Machine
from knightlite.talk import Talk
from onnx_nets import Net

STEM = "digits_quantize"
CHIP = "TX5368AV200"


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder that must stay empty: a caller says where everything goes."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


# ------------------------------------------------------------------ the stages, one after the other


def test_the_whole_chain_by_arguments(tmp_path: Path, elsewhere: Path) -> None:
    out = tmp_path / "out"
    said: list[str] = []
    warned: list[str] = []
    steps: list[tuple[str, int, int | None]] = []
    talk = Talk(said.append, warned.append, lambda *step: steps.append(step))

    options = QuantizeOptions(
        model=DIGITS / "digits.pdmodel",
        chip=CHIP,
        data=str(DIGITS / "calib"),
        recipe="digits",
        save_dir=out,
        iterations=(10,),
        batch_size=2,
        directory=out,
    )
    quantized = quantize(options, talk)
    assert quantized.files == {
        "onnx": out / f"{STEM}.onnx",
        "report": out / f"{STEM}_report.json",
        "float_onnx": out / "digits.onnx",
        "input_x": out / "inputs" / "x.bin",
    }
    assert quantized.pictures == 20
    assert (quantized.float_metric, quantized.quantized_metric) == (100.0, 100.0)
    assert quantized.loss_percent == 0.0
    assert quantized.seconds > 0
    assert quantized.report == json.loads(quantized.files["report"].read_text(encoding="utf-8"))
    assert quantized.files["input_x"].stat().st_size == 3 * 32 * 32 * 4
    assert warned == []
    assert ("float model", 20, 20) in steps
    assert ("quantized model", 20, 20) in steps
    assert said[0] == "Quant Start"

    compiled = compile_model(
        CompileOptions(
            onnx=quantized.files["onnx"], chip="TX5112CV201", out_dir=out, directory=out
        ),
        talk,
    )
    assert {path.name for path in compiled.files.values()} == {
        f"{STEM}_r.cfg", f"{STEM}_r.weight", f"{STEM}_golden.onnx", f"{STEM}_known_input.bin",
        f"{STEM}_known_output.bin", f"{STEM}_r.map.txt", f"{STEM}_r.tsmodel",
    }  # fmt: skip
    figures = compiled.figures
    assert (figures["name"], figures["chip"]) == ("digits", "TX5112CV201")
    assert figures["macs"] == 10_935_684
    assert figures["host"] == ["Reshape"]
    for kind in ("cfg", "weight"):
        data = compiled.files[kind].read_bytes()
        assert figures[f"{kind}_bytes"] == len(data)
        assert figures[f"{kind}_sha256"] == hashlib.sha256(data).hexdigest()

    picture = sorted((DIGITS / "test" / "4").iterdir())[0]
    result = simulate(
        SimulateOptions(
            input=str(picture), labels=DIGITS / "labels.txt", check=True, out_dir=out, directory=out
        ),
        talk,
    )
    assert (result.frames, result.differing_bytes, result.differing_tensors) == (1, 0, ())
    assert result.saturations == 0
    assert len(result.top[0]) == 5
    assert result.top[0][0].label == "4"
    few = tmp_path / "few.txt"
    few.write_text("zero\none\n")
    before = len(warned)
    simulate(SimulateOptions(input=str(picture), labels=few, out_dir=out, directory=out), talk)
    assert warned[before:] == [
        f"{few} names 2 classes, but the network gives 10 scores: the names may be those of "
        "another network. Hint: name a file of as many lines as there are scores"
    ]
    few.write_text("".join(f"{number}:x{number}\n" for number in range(1, 11)))
    with pytest.raises(DataError, match=r" 10 scores: the file counts classes from 1, scores fro"):
        simulate(SimulateOptions(input=str(picture), labels=few, out_dir=out, directory=out))
    with pytest.raises(UsageError, match=r" is a folder, and sim runs what a file holds\.$"):
        simulate(SimulateOptions(input=str(picture.parent), out_dir=out, directory=out))
    unnamed = simulate(SimulateOptions(input=str(picture), out_dir=out, directory=out))
    scores = [[(guess.index, guess.score) for guess in found.top[0]] for found in (result, unnamed)]
    assert scores[0] == scores[1]
    assert {guess.label for guess in unnamed.top[0]} == {None}
    assert result.compared_bytes > figures["macs"] / 100

    profiled = profile_program(
        ProfileOptions(
            cfg=compiled.files["cfg"], weight=compiled.files["weight"], out_dir=out, directory=out
        )
    )
    profile = profiled.profile
    assert profile.macs == figures["macs"]
    assert sum(row.cycles for row in profile.layers) == profile.cycles
    assert dict(profiled.totals)["Total RDMA byte"] == str(profile.read_bytes)

    records = workspace.open_workspace(out).records
    assert [record.stage for record in records] == ["quant", "compile", "sim", "profile"]
    assert {record.chip for record in records[1:]} == {"TX5112CV201"}
    assert list(elsewhere.iterdir()) == []


def test_the_known_answer_is_the_chips(here: Path) -> None:
    """compile's known answer comes from the golden model; the machine must give the same bytes."""
    found = simulate(SimulateOptions(input=f"{STEM}_known_input.bin", out_dir=Path("known")))
    values = np.load(found.files["result-linear_0.tmp_1.npy"])
    assert values.dtype == np.int16
    assert values.tobytes() == Path(f"{STEM}_known_output.bin").read_bytes()


def test_frames_and_debug_tensors(here: Path) -> None:
    x = np.fromfile("inputs/x.bin", np.float32)
    np.concatenate([x, x / 2, x / 4]).tofile("three.bin")
    binary = find_binary(here, None, None)
    tensors = {entry.name for entry in binary.program.meta.tensors}
    options = SimulateOptions(
        input="three.bin", frame_count=2, frame_step=2, debug="all", out_dir=Path("all")
    )
    result = simulate(options)
    assert result.frames == 2
    outputs = {name for name in result.files if not name.startswith("result-debug-")}
    assert len(outputs) == 3 * 2
    assert len(result.files) - len(outputs) == 3 * 2 * len(tensors)
    one = simulate(SimulateOptions(input="inputs/x.bin", out_dir=Path("one")))
    first, last = (np.load(result.files[f"result-linear_0.tmp_1.{k}.npy"]) for k in (0, 1))
    assert np.array_equal(first, np.load(one.files["result-linear_0.tmp_1.npy"]))
    assert not np.array_equal(first, last)


def test_every_frame_counts(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that differ, tensors that do and saturations are those of all frames together."""
    found = iter([(70, 3, ["b"]), (70, 0, []), (70, 4, ["b", "a"]), (70, 0, [])])
    saturated = iter([1, 0, 5, 0])
    run = Machine.run

    def saturating(machine: Machine, *rest: Any) -> Any:
        outputs = run(machine, *rest)
        machine.saturations = next(saturated)
        return outputs

    monkeypatch.setattr(GoldenReference, "compare", lambda *_: next(found))
    monkeypatch.setattr(Machine, "run", saturating)
    np.tile(np.fromfile("inputs/x.bin", np.float32), 4).tofile("four.bin")
    warnings: list[str] = []
    result = simulate(
        SimulateOptions(input="four.bin", frame_count=4, check=True, out_dir=Path("out")),
        Talk(warn=warnings.append),
    )
    assert (result.frames, result.compared_bytes, result.differing_bytes) == (4, 280, 7)
    assert result.differing_tensors == ("b", "a")
    assert result.saturations == 6
    assert warnings == [
        "6 accumulators saturated at 32 bits: the compiler proves this away. Hint: this is a bug "
        "of ours; please report it with the two files"
    ]


def test_a_float_array_a_raw_file_and_a_picture_are_the_same(here: Path) -> None:
    """Three ways to feed one picture: the recipe in the .cfg, raw float32 in two layouts, .npy."""
    from knightlite.preprocess import load_recipe, prepare_picture

    picture = min((here / "calib" / "7").iterdir())
    values = prepare_picture(picture, load_recipe("digits"), (1, 3, 32, 32))
    values.tofile("nchw.bin")
    np.ascontiguousarray(values.transpose(1, 2, 0)).tofile("nhwc.bin")
    np.save("x.npy", values)
    shutil.copy(picture, "x.PNG")
    results = []
    for name, layout in (
        ("nchw.bin", None),
        ("nhwc.bin", "nhwc"),
        ("x.npy", None),
        ("x.PNG", None),
    ):
        found = simulate(SimulateOptions(input=name, layout=layout, out_dir=Path("out")))
        results.append(found.files["result-linear_0.tmp_1.npy"].read_bytes())
    assert len(set(results)) == 1


def test_a_quantized_model_is_fed_with_floats(here: Path) -> None:
    """Its graph has integer inputs, but the QDQ file reads float32 as the float model does."""
    options = QuantizeOptions(
        model=Path(f"{STEM}.onnx"), chip=CHIP, run_mode="infer", iterations=(3,)
    )
    assert quantize(options).pictures == 3


def test_a_quantized_model_is_fed_by_its_own_recipe(here: Path) -> None:
    """Without --recipe, said; a named one goes before it."""
    said: list[str] = []
    asked = QuantizeOptions(
        model=Path(f"{STEM}.onnx"), chip=CHIP, run_mode="infer", iterations=(3,),
        data=str(DIGITS / "calib"),
    )  # fmt: skip
    own = "the pictures go through the recipe of the quantized model."
    assert quantize(asked, Talk(say=said.append)).pictures == 3
    assert own in said
    said.clear()
    assert quantize(replace(asked, recipe="digits"), Talk(say=said.append)).pictures == 3
    assert own not in said


# ------------------------------------------------------------------ looking at models and files


def test_check_of_a_model_that_runs() -> None:
    found = check(CheckOptions(model=DIGITS / "digits.pdmodel", chip=CHIP))
    assert (found.name, found.chip, found.fits, found.findings) == ("digits", CHIP, True, ())
    assert found.macs == found.npu_macs == 10_935_684
    assert found.operators["Conv"] == (27, 27, 0)
    assert found.host == ()  # a Reshape that no node makes is no work
    assert found.parameters > 100_000
    doubled = check(
        CheckOptions(model=DIGITS / "digits.pdmodel", chip=CHIP, input_shapes=((1, 3, 64, 32),))
    )
    assert 1.9 * found.macs < doubled.macs <= 2 * found.macs


def test_check_counts_a_last_flatten_on_the_host(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As compile does; and a frame's time is said with the host's share."""
    net = Net()
    net.input("x", (1, 3, 8, 8))
    net.node("GlobalAveragePool", ["x"], "pooled")
    net.node("Flatten", ["pooled"], "y")
    path = net.save(tmp_path, "y")
    found = check(CheckOptions(model=path, chip=CHIP))
    assert found.operators == {"Flatten": (1, 1, 1), "GlobalAveragePool": (1, 1, 0)}
    assert found.host == ("Reshape",)
    assert found.latency is not None
    frame = found.latency.frame
    assert frame.with_host is not None
    assert frame.with_host.latency_ms == frame.latency_ms + frame.host_ms
    assert run(["--chip", CHIP, "check", "-m", str(path)]) == 0
    out = capsys.readouterr().out
    assert "\non the host: Reshape\n" in out
    assert f"; with the host's {frame.host_ms:g} ms {frame.with_host.words}\n" in out


def test_check_lists_what_keeps_a_model_off(tmp_path: Path) -> None:
    net = Net()
    net.input("x", (1, 3, 8, 8))
    net.conv("x", "c", (4, 3, 3, 3))
    net.node("Hardmax", ["c"], "s")
    net.conv("s", "y", (4, 4, 1, 1))
    found = check(CheckOptions(model=net.save(tmp_path, "y"), chip=CHIP))
    assert not found.fits
    hint = (
        "-gp runs Hardmax in the middle of the network: 1 trip from the NPU to the host and back, "
        "288 bytes a picture"
    )
    assert found.findings == (Finding("Hardmax_s", "Hardmax is not supported yet.", hint),)
    assert found.operators == {"Conv": (2, 2, 0), "Hardmax": (1, 0, 0)}
    assert found.macs == 36 * 4 * 27 + 36 * 16


@pytest.mark.parametrize(
    ("fact", "value", "sentence"),
    [
        ("ddr_bytes = { value = 268_435_456", "ddr_bytes = { value = 60_000", "bytes of DDR"),
        ("fspm_bytes = { value = 524_288", "fspm_bytes = { value = 128", "bytes of FSPM"),
    ],
)
def test_check_refuses_what_compile_will(
    here: Path, fact: str, value: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A network too large for the chip's memories: the same sentences before any calibration."""
    text = (chips_folder() / "tx5368.toml").read_text(encoding="utf-8")
    assert fact in text
    Path("small.toml").write_text(text.replace(fact, value), encoding="utf-8")
    found = check(CheckOptions(model=Path("digits.onnx"), chip="small.toml"))
    assert not found.fits
    with pytest.raises(CapacityError, match=sentence) as caught:
        compile_model(CompileOptions(onnx=Path(f"{STEM}.onnx"), chip="small.toml"))
    assert found.findings[0].sentence == caught.value.sentence
    assert found.findings[0].hint == caught.value.hint


def test_quant_tells_before_the_work_what_compile_will_refuse(tmp_path: Path) -> None:
    net = Net()
    net.input("x", (1, 3, 261, 4))
    net.node("AveragePool", ["x"], "y", kernel_shape=[260, 1])
    path = net.save(tmp_path, "y")
    said: list[str] = []
    quantize(
        QuantizeOptions(model=path, chip=CHIP, save_dir=tmp_path, directory=tmp_path),
        Talk(said.append, said.append),
    )
    (warning,) = (sentence for sentence in said if sentence.startswith("compile will refuse"))
    assert warning == (
        f"compile will refuse 1 node(s) for {CHIP}: y: AveragePool: kernel, stride and pad must be "
        f"at most 255, not 260. `knightlite check -m {path} --chip {CHIP}` lists all of them."
    )
    assert said.index(warning) < said.index("Stage1: Do Graph Optimize.")


def test_explain(here: Path) -> None:
    path = Path(f"{STEM}.onnx")
    options = ExplainOptions(onnx=path, chip=CHIP)
    rows = explain(options)
    assert ("relu_0.tmp_0", "fuse_prologue", "runs in front of relu_1.tmp_0") in rows
    found = explain(replace(options, node="relu_0.tmp_0"))
    own = [row for row in found if row[1] != "schedule"]
    assert own == [row for row in rows if row[0] == "relu_0.tmp_0"]
    assert found[len(own)] == (
        "relu_0.tmp_0",
        "schedule",
        "fused: Affine + Conv is one layer, relu_1.tmp_0.",
    )
    for row in found[len(own) :]:
        assert ("relu_1.tmp_0", *row[1:]) in rows
    with pytest.raises(UsageError, match=f"^{STEM}.onnx has no node called nobody"):
        explain(replace(options, node="nobody"))


def test_inspect(here: Path) -> None:
    found = inspect_file(Path(f"{STEM}_r.cfg"))
    assert isinstance(found.meta, container.Description)
    assert (found.kind, found.meta.name, found.meta.chip) == ("cfg", "digits", CHIP)
    lines = list(found.lines())
    assert lines[0].startswith(f"{STEM}_r.cfg: digits for TX5368AV200 (TX5368), pair ")
    assert lines[2] == "resource version 1.0, input files nchw"
    assert lines[3].startswith("input x: s8 1x3x32x32 scale ")
    layers = [line for line in lines if line.startswith("-- layer ")]
    assert len(set(layers)) == len(found.meta.layers)  # which may go by in turn
    instructions = int(lines[5].split(" instructions")[0].split()[-1])
    assert len(lines) == 6 + len(layers) + instructions

    weight = inspect_file(Path(f"{STEM}_r.weight"))
    assert (weight.kind, weight.meta.pair) == ("weight", found.meta.pair)
    assert list(weight.lines())[1] == f"DDR image of {weight.sizes['data']} bytes"
    sections = container.read_sections(
        container.CFG_MAGIC, Path(f"{STEM}_r.cfg").read_bytes(), "x.cfg"
    )
    assert found.code == sections["code"]


# ------------------------------------------------------------------ the interface itself


ROOMS = [item.name for item in pkgutil.iter_modules(api.__path__, "knightlite.api.")]


@pytest.mark.parametrize("room", ROOMS)
def test_a_face_is_documented_and_typed(room: str) -> None:
    module = import_module(room)
    assert inspect.getdoc(module)
    names = getattr(module, "__all__", None) or [
        name
        for name, item in vars(module).items()
        if not name.startswith("_") and getattr(item, "__module__", "") == room
    ]
    items = [getattr(module, name) for name in names]
    for item in items:
        if inspect.isfunction(item):
            assert inspect.getdoc(item), item
            signature = inspect.signature(item)
            assert signature.return_annotation is not inspect.Signature.empty
            assert all(p.annotation is not p.empty for p in signature.parameters.values())
        elif inspect.isclass(item) and item is not CompiledNetwork:  # which holds a machine
            assert inspect.getdoc(item), item
            assert vars(item)["__dataclass_params__"].frozen
    assert (
        any(map(inspect.isfunction, items)) or not names
    )  # a wing that other rooms take nothing of


def test_no_stage_talks_by_itself(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quantize(QuantizeOptions(model=Path("digits.onnx"), chip=CHIP))
    compile_model(CompileOptions(onnx=Path(f"{STEM}.onnx"), chip=CHIP))
    simulate(SimulateOptions(input="inputs/x.bin", check=True))
    profile_program(ProfileOptions())
    assert capsys.readouterr() == ("", "")


def test_of_a_pair_the_other_file_is_the_one_beside(here: Path) -> None:
    """Whatever compile left last: a pair copied elsewhere belongs together."""
    Path("A").mkdir()
    for suffix in (".cfg", ".weight"):
        shutil.copy(f"{STEM}_r{suffix}", f"A/{STEM}_r{suffix}")
    Path(f"{STEM}_r.weight").write_bytes(b"another network's")
    pair = {"cfg": Path(f"A/{STEM}_r.cfg"), "weight": Path(f"A/{STEM}_r.weight")}
    for named in (pair, {"cfg": pair["cfg"]}, {"weight": pair["weight"]}):
        found = find_binary(Path(), named.get("cfg"), named.get("weight"))
        assert (found.cfg, found.weight) == (pair["cfg"], pair["weight"])
    pair["weight"].unlink()
    with pytest.raises(UsageError) as caught:
        find_binary(Path(), pair["cfg"], None)
    sentence = f"A/{STEM}_r.weight is not there, which belongs to A/{STEM}_r.cfg."
    assert (caught.value.sentence, caught.value.hint) == (sentence, "name it with --weight FILE")
    pair["cfg"].write_bytes(pair["cfg"].read_bytes()[:-9])  # what is damaged is told first
    with pytest.raises(FormatError, match=rf"^{STEM}_r\.cfg .*"):
        find_binary(Path(), pair["cfg"], None)
