"""Which reader a file gets, and the sentence for a name that has none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from knightlite.errors import Finding, UsageError
from knightlite.foreign.value_names import NAMING, numbers_noted
from knightlite.frontend import canonical, load, model_files
from knightlite.frontend.model_files import files_beside, framework_of
from knightlite.ir import GraphBuilder, HostOp
from onnx_nets import Net


def test_the_suffix_decides() -> None:
    assert framework_of(Path("a.onnx"), None) == "onnx"
    assert framework_of(Path("a.PDMODEL"), None) == "paddle"
    assert framework_of(Path("a.onnx"), "onnx") == "onnx"
    assert framework_of(Path("a.bin"), "paddle") == "paddle"
    assert framework_of(Path("a.json"), None) == "paddle"
    assert framework_of(Path("a.pdparams"), None) == "paddle"
    assert framework_of(Path("resnet50"), "pytorch") == "pytorch"


@pytest.mark.parametrize(
    ("name", "framework", "sentence"),
    [
        ("a.bin", None,
         "model a.bin does not exist."),
        ("a_r.cfg", None, "a_r.cfg is of a compiled network, not a model."),
        (".", None, "model . is a folder, not a file."),
        ("/", None, "model / is a folder, not a file."),
        ("a", None, "model a does not exist."),
        ("a.onnx", "pytorch", "a.onnx is a model of onnx by its suffix, not of pytorch."),
        ("a.onnx", "paddle", "a.onnx is a model of onnx by its suffix, not of paddle."),
        ("a.onnx", "mxnet", "The framework must be one of onnx, paddle, pytorch, caffe, "
         "tensorflow, mindspore, not mxnet."),
        ("a.pdiparams", None, "a.pdiparams holds weights, not a model."),
    ],
)  # fmt: skip
def test_names_that_do_not_fit(name: str, framework: str | None, sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        load(name, framework=framework)
    assert caught.value.sentence == sentence


def test_weights_name_the_program_beside_them(tmp_path: Path) -> None:
    for suffix in (".json", ".pdmodel"):  # the latter wins
        (tmp_path / f"a{suffix}").touch()
        with pytest.raises(UsageError) as caught:
            load(tmp_path / "a.pdiparams")
        assert caught.value.hint == f"pass {tmp_path}/a{suffix} with -m"


def test_an_onnx_model_takes_no_weight_file(tmp_path: Path) -> None:
    net = Net()
    net.input("x", (1, 4, 9, 9))
    net.node("Sigmoid", ["x"], "y")
    path = net.save(tmp_path, "y")
    with pytest.raises(UsageError) as caught:
        load(path, weight="w.bin")
    assert caught.value.sentence == (
        f"{path} keeps its weights inside, so the weight file w.bin cannot be used."
    )
    assert load(str(path)).name == "net"


@pytest.mark.parametrize(
    ("name", "found"),
    [("n.pdmodel", True), ("n.json", True), ("n.JSON", True), ("n.pdparams", False)],
)
def test_weights_beside_a_program(tmp_path: Path, name: str, found: bool) -> None:
    (tmp_path / name).touch()
    assert files_beside(tmp_path / name) == ()
    weights = tmp_path / "n.pdiparams"
    weights.touch()
    assert files_beside(tmp_path / name) == ((weights,) if found else ())


def test_what_the_host_computes_is_no_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said with the network; all else that is doubtful is."""
    found = [Finding("on_host", "it is on the host."), Finding("other", "it is doubtful.")]
    builder = GraphBuilder("net")
    bare = builder.build((builder.input("x", (1, 1, 1, 1)),))
    graph = replace(bare, host=(HostOp("on_host", "Softmax", ("x",), ("y",)),))
    made = SimpleNamespace(graph=graph, findings=found)
    monkeypatch.setattr(canonical, "canonicalize", lambda model, general: made)
    warned: list[Finding] = []
    model: Any = SimpleNamespace(states=graph.states, sequences=graph.sequences)
    assert model_files.canonical_graph(model, Path("m"), False, warned.append) == graph
    assert warned == found[1:]


def test_numbers_of_values_are_noted_before_they_are_named() -> None:
    """While a network is exported, and no longer; nothing where this torch names values once."""

    class Value:
        name = "191"

        def debugName(self) -> str:
            return self.name

    value = Value()
    graph = SimpleNamespace(nodes=lambda: [SimpleNamespace(outputs=lambda: [value])])

    def naming(graph: Any) -> None:
        value.name = "/conv/Conv_output_0"

    torch = SimpleNamespace(_C=SimpleNamespace(**{NAMING: naming}))
    with numbers_noted(torch) as noted:
        getattr(torch._C, NAMING)(graph)
    assert noted == {"191": "/conv/Conv_output_0"}
    assert getattr(torch._C, NAMING) is naming
    with numbers_noted(SimpleNamespace()) as noted:
        assert noted == {}
