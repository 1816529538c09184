"""Models are told apart by what they hold, whatever their files are called."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from float_nets import Pictures
from knightlite.api.comparison import compare
from knightlite.api.evaluation.forms import source_of
from knightlite.api.models.quant_folder import float_beside, quantized_in
from knightlite.cli.program import run
from knightlite.errors import KnightliteError, UsageError
from knightlite.frontend import load, load_quantized
from knightlite.frontend.model_kind import ModelKind, kind_of_file
from knightlite.inference import session
from knightlite.onnx_models import write_qdq
from knightlite.options.compare import CompareOptions
from knightlite.quantize.pipeline import quantize_graph
from onnx_nets import Net
from refusals import Refusal

STEM = "digits_quantize"
Capture = pytest.CaptureFixture[str]
Names = dict[str, str]  # of a float, a quantized and a golden model
USUAL = {"float": "digits", "qdq": STEM, "golden": f"{STEM}_golden"}
MISLEADING = {"float": "f_quantize", "qdq": "golden", "golden": "digits"}


@pytest.fixture
def renamed(here: Path) -> Callable[[Names], Path]:
    def make(names: Names) -> Path:
        folder = here / "renamed"
        folder.mkdir()
        for kind, name in names.items():
            shutil.copy(f"{USUAL[kind]}.onnx", folder / f"{name}.onnx")
        shutil.copytree("inputs", folder / "inputs")
        return folder

    return make


@pytest.mark.parametrize("names", [USUAL, MISLEADING])
def test_kinds(renamed: Callable[[Names], Path], names: Names) -> None:
    folder = renamed(names)
    for kind, name in names.items():
        assert kind_of_file(folder / f"{name}.onnx") is ModelKind(kind)
        if kind != "golden":  # whose .cfg is not there
            assert source_of(folder / f"{name}.onnx").kind == kind
    assert quantized_in(folder) == folder / f"{names['qdq']}.onnx"
    assert float_beside(quantized_in(folder)) == folder / f"{names['float']}.onnx"
    (folder / "z.onnx").write_bytes(b"no model")
    assert quantized_in(folder) == folder / f"{names['qdq']}.onnx"


def test_the_float_model_that_was_changed_comes_first(renamed: Callable[[Names], Path]) -> None:
    folder = renamed(USUAL)
    shutil.copy(folder / "digits.onnx", folder / "digits_float.onnx")
    assert float_beside(folder / f"{STEM}.onnx") == folder / "digits_float.onnx"
    shutil.move(folder / f"{STEM}.onnx", folder / "q.onnx")
    assert float_beside(folder / "q.onnx") is None  # which of two is not to be known


def test_a_float_model_of_other_inputs_or_outputs_is_left_beside_the_original(here: Path) -> None:
    """What quant made of it is what diagnose, compare and eval hold the quantized one against."""
    Path("p.onnx").write_bytes(Path("digits.onnx").read_bytes())
    network = onnx.load("p.onnx")
    end = network.graph.output[0].name
    inner = next(node.input[0] for node in network.graph.node if end in node.output)
    words = ["quant", "-m", "p.onnx", "-i", "4", "--effort", "low"]
    x = np.full((1, 3, 32, 32), 0.25, np.float32)
    float_model = Path("p_float.onnx")

    assert run([*words, "--mean", "0.5", "--std", "2"]) == 0
    (found,) = session(float_model.read_bytes()).run([end], {"x": x})
    (expected,) = session(Path("p.onnx").read_bytes()).run([end], {"x": (x - 0.5) / 2})
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)
    assert float_beside(Path("p_quantize.onnx")) == float_model

    assert run(words) == 0  # p.onnx would do, but what lies here would be taken for it
    (found,) = session(float_model.read_bytes()).run([end], {"x": x})
    (expected,) = session(Path("p.onnx").read_bytes()).run([end], {"x": x})
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)

    float_model.unlink()
    assert run([*words, "-on", inner]) == 0
    assert session(float_model.read_bytes()).outputs == (inner,)
    float_model.unlink()
    assert run(words) == 0
    assert not float_model.exists()


def test_infer_runs_either(renamed: Callable[[Names], Path], capsys: Capture) -> None:
    folder = renamed(MISLEADING)
    for name, said in (
        ("golden", "metric, quantized model"),
        ("f_quantize", "metric, float model"),
    ):
        capsys.readouterr()
        words = ["quant", "-m", f"{folder}/{name}.onnx", "-r", "infer", "-d", "calib", "-i", "10"]
        assert run([*words, "--recipe", "digits"]) == 0
        assert capsys.readouterr().out == f"{said}: 100.0000\n"


def test_compare_and_its_refusals(renamed: Callable[[Names], Path], refused: Refusal) -> None:
    folder = renamed(MISLEADING)
    found = compare(
        CompareOptions(quant_dir=folder, cfg=Path(f"{STEM}_r.cfg"), weight=Path(f"{STEM}_r.weight"))
    )
    assert found == compare(CompareOptions())
    assert {row.wanted for row in found} >= {"float"}
    shutil.copy(folder / "golden.onnx", folder / "again.onnx")
    refused(["compare", "-qd", str(folder)], 2,
            f"{folder} must hold one quantized model, not 2 (again.onnx, golden.onnx).",
            "name the folder in which quant left X_quantize.onnx and inputs/")  # fmt: skip


def test_a_golden_model_is_known_by_its_hash(here: Path, refused: Refusal) -> None:
    """Whatever the three files are called, and whatever lies beside them."""
    folder = here / "deployed"
    folder.mkdir()
    shutil.copy(f"{STEM}_r.cfg", folder / "network.cfg")
    shutil.copy(f"{STEM}_r.weight", folder / "network.weight")
    shutil.copy(f"{STEM}.onnx", folder / "a.onnx")
    (folder / "broken.onnx").write_bytes(b"no model " + (folder / "network.cfg").read_bytes())
    (folder / "empty.onnx").touch()
    cfg, weight = (str(folder / f"network.{kind}") for kind in ("cfg", "weight"))
    words = ["sim", "--input", "inputs/x.bin", "--check", "-s", "results"]
    words += ["--config", cfg, "--weight", weight]
    refused(words, 2,
            f"the golden model of {folder}/network.cfg is not beside it: none of the .onnx files "
            "there carries its hash (a.onnx, broken.onnx, empty.onnx).",
            "compile writes it; or name it with --golden")  # fmt: skip
    shutil.copy(f"{STEM}_golden.onnx", folder / "z.onnx")
    assert run(words) == 0
    assert source_of(folder / "z.onnx").kind == "golden"


def test_integers_at_the_end_are_the_hosts(tmp_path: Path) -> None:
    """A float network that delivers integers: what it is, runs and reads back as before."""
    net = Net(13)
    net.conv(net.input("x", (1, 3, 5, 5)), "c", (4, 3, 3, 3))
    scales = [net.weight("s", np.float32(0.02)), net.weight("z", np.uint8(128))]
    net.node("QuantizeLinear", ["c", *scales], "q")
    net.node("Transpose", ["q"], "y", perm=[0, 2, 3, 1])
    path = net.save(tmp_path, "y")
    assert kind_of_file(path) is ModelKind.FLOAT
    graph = load(path, general=True)
    assert [op.op for op in graph.host] == ["QuantizeLinear", "Transpose"]
    made = quantize_graph(graph, Pictures((3, 5, 5)), threads=1).graph
    path.write_bytes(write_qdq(made, {}).SerializeToString())
    assert kind_of_file(path) is ModelKind.QDQ
    read = load_quantized(path)
    assert read.host == made.host
    assert read.nodes == made.nodes


@pytest.mark.parametrize("reader", ["DequantizeLinear", "ArgMax"])
def test_integers_that_are_read_again_are_no_float_models(reader: str, tmp_path: Path) -> None:
    net = Net(13)
    scales = [net.weight("s", np.float32(0.02)), net.weight("z", np.uint8(128))]
    net.node("QuantizeLinear", [net.input("x", (1, 3, 5, 5)), *scales], "q")
    net.node("Reshape", ["q", net.weight("all", np.array([1, 75]))], "r")
    net.node(reader, ["r", *scales] if reader == "DequantizeLinear" else ["r"], "y")
    path = net.save(tmp_path, "y")
    assert kind_of_file(path) is ModelKind.QDQ
    with pytest.raises(UsageError, match="must be a float model, but has"):
        load(path, general=True)


def test_integers_that_numpy_lacks_are_refused(tmp_path: Path) -> None:
    net = Net(21)
    net.conv(net.input("x", (1, 3, 5, 5)), "c", (4, 3, 3, 3))
    four_bits = onnx.helper.make_tensor("z", onnx.TensorProto.INT4, (), [0])
    net.weights.append(four_bits)
    net.node("QuantizeLinear", ["c", net.weight("s", np.float32(0.02)), "z"], "y")
    with pytest.raises(KnightliteError) as caught:
        load(net.save(tmp_path, "y", ir_version=10), general=True)
    assert [item.sentence for item in caught.value.findings] == [
        "QuantizeLinear is not supported yet."
    ]
