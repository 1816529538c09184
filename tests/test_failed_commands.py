"""What every command that fails leaves: a sentence on stderr, nothing on stdout, no file."""

from __future__ import annotations

from pathlib import Path

import pytest

from knightlite.cli.program import COMMANDS, run

# each on files that are missing, and on files that are none of their kind
FAILING: dict[str, tuple[list[str], ...]] = {
    "quant": (["-m", "no.onnx"], ["-m", "bad.onnx", "-s", "out"], ["-m", "bad.pdmodel"]),
    "compile": ([], ["--onnx", "no.onnx"], ["--onnx", "bad.onnx", "-s", "out"]),
    "sim": (["-i", "no.bin"], ["-i", "bad.bin", "--config", "bad.cfg", "-s", "out"]),
    "profile": ([], ["-m", "bad.tsmodel", "--html", "page.html"]),
    "build": (["--run-config", "no.json"], ["--run-config", "bad.json"]),
    "eval": (["no.onnx", "-d", "pictures", "--recipe", "digits"],
             ["bad.onnx", "-d", "no", "--recipe", "digits", "--state", "sums.json"]),
    "compare": ([], ["-qo", "bad.onnx"]),
    "diagnose": ([], ["-d", "no", "--html", "page.html"]),
    "check": (["-m", "no.onnx"], ["-m", "bad.onnx"], ["-m", "bad.pdmodel"]),
    "explore": (["-m", "no.onnx"], ["-m", "bad.onnx", "no.onnx", "--html", "page.html"]),
    "serve": (["no.cfg"], ["bad.cfg", "--port", "0"]),
    "inspect": (["no.cfg"], ["bad.cfg"], ["bad.bin"]),
    "explain": ([], ["--onnx", "bad.onnx"]),
    "chips": (["NPU"], ["bad.toml"]),
    "model_info": (["-m", "no.onnx"], ["-m", "bad.onnx"], ["-m", "bad.cfg"]),
    "model_modifier": (["-m", "no.onnx"], ["-m", "bad.onnx", "-s", "out"]),
    "model_check": ([], ["-qo", "no", "-co", "no", "-r", "1"]),
    "show_sim_result": (["-sd", "no"], ["-sd", "bad.bin"]),
    "npy2bin": (["-i", "no.npy", "-o", "out/a.bin"], ["-i", "bad.npy", "-o", "a.bin"]),
    "demo": (["-f", "caffe"], ["-m", "no", "-f", "onnx"]),
    "deploy": (["-o", "project"], ["-m", "bad.tsmodel", "-o", "project"]),
    "sim-lib": (["-o", "bad.bin/lib"], ["-o", "pictures"]),
    "bin2header": (["no.bin", "a.h"], ["bad.bin", "a.bin", "-r"]),
    "script-path": (["--python", "no"], ["--python", "bad.bin"]),
}  # fmt: skip
KINDS = ("onnx", "pdmodel", "cfg", "tsmodel", "json", "toml", "npy", "bin")
CASES = [(name, words) for name, some in FAILING.items() for words in some]


def test_every_command_is_here() -> None:
    assert sorted(FAILING) == sorted(COMMANDS)


@pytest.mark.parametrize(("name", "words"), CASES, ids=lambda item: " ".join([*item])[:60])
def test_a_failed_command(
    name: str,
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for kind in KINDS:
        Path(f"bad.{kind}").write_bytes(b"\xffnone of its kind\n")
    Path("pictures").mkdir()
    Path("pictures/bad.png").write_bytes(b"\xff")
    before = {path: path.stat().st_mtime_ns for path in Path().rglob("*")}
    assert run([name, *words]) in (1, 2)
    said = capsys.readouterr()
    assert said.out == ""
    errors = [line for line in said.err.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1, said.err
    assert "failed inside" not in said.err
    assert {path: path.stat().st_mtime_ns for path in Path().rglob("*")} == before
