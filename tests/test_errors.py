"""Errors carry a sentence, a hint, findings and an exit code."""

from __future__ import annotations

from pathlib import Path

import pytest

from knightlite import errors
from knightlite.errors import (
    CapacityError,
    DataError,
    Finding,
    FormatError,
    KnightliteError,
    MachineError,
    ModelError,
    UnsupportedError,
    UsageError,
    findings_error,
)


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (UsageError, 2),
        (UnsupportedError, 2),
        (ModelError, 1),
        (DataError, 1),
        (FormatError, 1),
        (CapacityError, 1),
        (MachineError, 1),
    ],
)
def test_exit_codes(kind: type[KnightliteError], code: int) -> None:
    error = kind("x must be 1, not 2.", "use 1")
    assert error.exit_code == code
    assert (str(error), error.sentence) == ("x must be 1, not 2.", "x must be 1, not 2.")
    assert (error.hint, error.findings) == ("use 1", ())


def test_every_kind_is_listed_above() -> None:
    kinds = {
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, KnightliteError)
    }
    listed = {UsageError, UnsupportedError, ModelError, DataError, FormatError}
    assert kinds == {KnightliteError, CapacityError, MachineError, *listed}


def test_finding_as_text() -> None:
    assert str(Finding("conv1", "group must be 1, not 2.")) == "conv1: group must be 1, not 2."
    finding = Finding("conv1", "group must be 1, not 2.", "split it")
    assert str(finding) == "conv1: group must be 1, not 2. Hint: split it"
    assert finding.severity == "error"


def test_findings_error_keeps_all() -> None:
    findings = [Finding("a", "is wrong."), Finding("b", "is wrong too.")]
    error = findings_error(UnsupportedError, "2 nodes are not supported.", findings, "see check")
    assert isinstance(error, UnsupportedError)
    assert error.sentence == "2 nodes are not supported."
    assert (error.hint, error.findings) == ("see check", tuple(findings))


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("net.onnx", "did you mean {}/nets.onnx or {}/nets_golden.onnx? it says more"),
        ("nets", "did you mean {}/nets.json or {}/nets.onnx? it says more"),
        ("NETS.onnx", "did you mean {}/nets.onnx? it says more"),
        ("other.onnx", "the files there are nets.onnx, nets_golden.onnx; it says more"),
        ("other.png", "it says more"),
        ("other", "it says more"),
        ("pic/cat", "did you mean {}/pics/cat? it says more"),
        ("pic/dog/a.png", "there is no folder {}/pic; it says more"),
        ("pics/ca", "it says more"),
    ],
)
def test_files_that_are_not_there(tmp_path: Path, path: str, hint: str) -> None:
    for name in ("nets.onnx", "nets_golden.onnx", "nets.json", ".net.onnx"):
        (tmp_path / name).touch()
    (tmp_path / "pics" / "cat").mkdir(parents=True)
    error = errors.not_there("model", tmp_path / path, "it says more")
    assert (error.exit_code, error.sentence) == (2, f"model {tmp_path / path} does not exist.")
    assert error.hint == hint.replace("{}", str(tmp_path))


def test_files_of_another_kind(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").touch()
    (tmp_path / "to nowhere").symlink_to("gone")
    found = [
        errors.not_there("model", tmp_path),
        errors.not_there("folder", tmp_path / "net.onnx", folder=True),
        errors.not_there("folder", tmp_path / "no", "more", folder=True),
        errors.not_there("model", tmp_path / "to nowhere", "more"),
        errors.unreadable("model", "x", PermissionError(13, "Permission denied"), "more"),
    ]
    assert [(item.sentence, item.hint) for item in found] == [
        (f"model {tmp_path} is a folder, not a file.", "name the file inside it"),
        (f"folder {tmp_path}/net.onnx is a file, not a folder.", f"name its folder, {tmp_path}"),
        (f"folder {tmp_path}/no does not exist.", "more"),
        (f"model {tmp_path}/to nowhere is a link that leads to no file.", "name a file"),
        ("model x cannot be read: Permission denied.", "more"),
    ]


def test_what_is_wrong_in_several_places_is_said_at_once() -> None:
    def wrong(error: errors.KnightliteError) -> str:
        raise error

    one = errors.UsageError("file a does not exist.", "name another")
    two = errors.UsageError("chip b is not known.")
    assert errors.together(lambda: 1, lambda: 2) == [1, 2]
    with pytest.raises(errors.UsageError) as caught:
        errors.together(lambda: wrong(one), lambda: "fine")
    assert caught.value is one
    with pytest.raises(errors.UsageError) as caught:
        errors.together(lambda: wrong(one), lambda: wrong(two))
    assert caught.value.sentence == "2 things cannot be taken as asked for."
    assert [str(item) for item in caught.value.findings] == [
        "file a does not exist. Hint: name another", "chip b is not known.",
    ]  # fmt: skip
    with pytest.raises(errors.UsageError) as nested:
        errors.together(lambda: wrong(caught.value), lambda: wrong(two))
    assert (len(nested.value.findings), nested.value.sentence[0]) == (3, "3")
    with pytest.raises(errors.DataError):
        errors.together(lambda: wrong(one), lambda: wrong(errors.DataError("x is damaged.")))


def test_where_nothing_is_near_the_place_is_named(tmp_path: Path) -> None:
    for path, folder, hint in (
        ("net.onnx", False, "{} holds no .onnx file: name one by its path"),
        ("net", False, "{} holds no file of that name: name one by its path"),
        ("pictures", True, "{} holds no folder"),
    ):
        error = errors.not_there("it", tmp_path / path, folder=folder)
        assert error.hint == hint.replace("{}", str(tmp_path.resolve()))


@pytest.mark.parametrize(
    ("name", "known", "what_else", "hint"),
    [
        ("imagnet", ["imagenet", "raw"], "", "did you mean imagenet?"),
        ("TX5368av200", ["TX5368AV200", "TX51"], "chips", "did you mean TX5368AV200? chips"),
        ("tx5110", ["TX5105C", "TX5101E", "TX5110CV206"], "",
         "did you mean TX5110CV206 or TX5105C or TX5101E?"),
        ("tx", ["TX5105C", "TX5110CV206"], "", "one of TX5105C, TX5110CV206"),
        ("relu", ["relu6", "Relu"], "", "did you mean Relu?"),
        ("relo", ["Relu", "relu6", "conv"], "", "did you mean Relu or relu6?"),
        ("relu_12", ["relu_29", "relu_25", "relu_4", "relu_17", "relu_13", "conv_12"], "",
         "did you mean relu_13 or relu_17 or relu_4?"),
        ("Conv_09", ["conv_90", "Conv_10", "conv_8"], "",
         "did you mean Conv_10 or conv_8 or conv_90?"),
        ("gelu_12", ["relu_29", "relu_12"], "", "did you mean relu_12 or relu_29?"),
        ("other", ["a", "b"], "", "one of a, b"),
        ("other", ["a", "b"], "a file", "one of a, b; a file"),
        ("other", [], "a file", "a file"),
        ("zzz", [f"n{i}" for i in range(13)], "",
         "one of n0, n1, n2, n3, n4, n5, n6, n7, n8, n9, n10, n11, ..."),
    ],
)  # fmt: skip
def test_suggestions(name: str, known: list[str], what_else: str, hint: str) -> None:
    assert errors.suggestion(name, known, what_else) == hint
    assert errors.nearest(name, known) == (
        hint.removesuffix(f" {what_else}") if "?" in hint else ""
    )
