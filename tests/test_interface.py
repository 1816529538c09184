"""What a program promises its user: taken from its description, and where two say otherwise."""

from __future__ import annotations

import hashlib
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from knightlite.api.simulation import golden
from knightlite.container import Interface, Program, Seen, contradictions, interface
from knightlite.container.interface import Tie
from knightlite.errors import FormatError, UsageError
from knightlite.json_records import canonical_json, to_json
from test_description import NOTES, described

ONE = Interface(
    inputs=("x",), outputs=("y", "z"), tensors=(Seen("x", (1, 3, 4, 5), "u8", 0.5),
    Seen("y", (1, 2, 3, 4), "s16", (0.25, 2.0))), graph_outputs=("y", "w"), input_layout="nchw",
    recipe=None, frames=1, states=(), host="0" * 64,
)  # fmt: skip


def test_every_part_is_the_description_s() -> None:
    meta = replace(
        described(), quantization=replace(NOTES, ir_batch=4), recipe="[resize]\n",
        input_layout="nhwc",
    )  # fmt: skip
    found = interface(Program(meta, b"", b"", b"a model"))
    assert found.inputs == ("x",)
    assert found.outputs == ("y",)
    assert found.tensors == tuple(
        Seen(item.name, item.shape, item.type, item.scale) for item in meta.tensors
    )
    assert found.graph_outputs == meta.graph_outputs != found.outputs
    assert (found.input_layout, found.recipe, found.frames) == ("nhwc", "[resize]\n", 4)
    operators = canonical_json({"operators": [to_json(step) for step in meta.host]})
    parts = hashlib.sha256(operators).digest() + hashlib.sha256(b"a model").digest()
    assert found.host == hashlib.sha256(parts).hexdigest()
    assert interface(Program(replace(meta, quantization=None), b"", b"")).frames == 1


CHANGES: dict[str, tuple[Any, str, str]] = {
    "inputs": (("u", "v"), '"x"', '"u, v"'),
    "outputs": (("z", "y"), '"y, z"', '"z, y"'),
    "graph_outputs": (("y",), '"y, w"', '"y"'),
    "input_layout": ("nhwc", '"nchw"', '"nhwc"'),
    "recipe": ("[resize]", "null", '"[resize]"'),
    "frames": (4, "1", "4"),
    "states": (
        (Tie("x", "y", (3, -4)),),
        '""',
        '"x begins at 3 -4 and goes on with y"',
    ),
    "host": ("1" * 64, f'"{"0" * 56}...', f'"{"1" * 56}...'),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_another_interface_says_otherwise(name: str) -> None:
    """What it must be stands before what it is."""
    value, wanted, found = CHANGES[name]
    other = replace(ONE, **{name: value})
    assert list(contradictions(ONE, other)) == [(name, wanted, found)]
    assert list(contradictions(other, ONE)) == [(name, found, wanted)]


def test_every_part_is_held_against_the_other() -> None:
    assert list(contradictions(ONE, ONE)) == []
    assert {item.name for item in fields(Interface)} == {*CHANGES, "tensors"}


@pytest.mark.parametrize(
    ("at", "change", "fault"),
    [
        (0, {"shape": (1, 3, 5, 4)}, ("shape of x", '"1, 3, 4, 5"', '"1, 3, 5, 4"')),
        (0, {"type": "s8"}, ("type of x", '"u8"', '"s8"')),
        (0, {"scale": 0.25}, ("scale of x", "0.5", "0.25")),
        (1, {"scale": (0.25, 4.0)}, ("scale of y", '"0.25, 2.0"', '"0.25, 4.0"')),
        (1, {"name": "w"}, ("tensors", '"x, y"', '"x, w"')),
    ],
)
def test_tensors_are_told_one_by_one(
    at: int, change: dict[str, Any], fault: tuple[str, str, str]
) -> None:
    tensors = list(ONE.tensors)
    tensors[at] = replace(tensors[at], **change)
    other = replace(ONE, tensors=tuple(tensors))
    name, wanted, found = fault
    assert list(contradictions(ONE, other)) == [fault]
    assert list(contradictions(other, ONE)) == [(name, found, wanted)]
    turned = replace(ONE, tensors=ONE.tensors[::-1])
    assert list(contradictions(ONE, turned)) == [("tensors", '"x, y"', '"y, x"')]


def test_a_golden_model_that_promises_something_else_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where its hash is the program's: every difference is a finding."""
    found = [("the scale of x", 0.5, 0.25), ("the name of y", "y", "z")]
    monkeypatch.setattr("knightlite.container.contradictions", lambda one, other: found)
    monkeypatch.setattr("knightlite.container.interface", lambda program: None)
    monkeypatch.setattr(golden, "interface_of", lambda model, where: None)
    monkeypatch.setattr(golden, "pair_of", lambda model: "a pair")
    monkeypatch.setattr("knightlite.frontend.onnx_file.parse", lambda data, where: data)
    path = tmp_path / "g.onnx"
    path.write_bytes(b"model")
    meta = SimpleNamespace(pair="a pair")
    binary: Any = SimpleNamespace(cfg=Path("n.cfg"), program=SimpleNamespace(meta=meta))
    with pytest.raises(FormatError) as error:
        golden.read_golden(binary, path)
    assert [item.sentence for item in error.value.findings] == [
        "the scale of x must be 0.5, as g.onnx has it, not 0.25.",
        "the name of y must be y, as g.onnx has it, not z.",
    ]
    found.clear()
    read: Any = golden.read_golden(binary, path)
    assert read == (path, b"model")
    meta.pair = "another"
    with pytest.raises(UsageError, match=r"g\.onnx and n\.cfg are not of the same compile run"):
        golden.read_golden(binary, path)
    with pytest.raises(UsageError, match=r"none\.onnx does not exist"):
        golden.read_golden(binary, tmp_path / "there" / "none.onnx")
