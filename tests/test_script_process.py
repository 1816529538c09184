"""Infer functions in another interpreter: the same arrays, the same sentences, and no remains."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from knightlite import dtypes
from knightlite.array_pipe import ArrayPipe
from knightlite.cli.program import run
from knightlite.errors import DataError, KnightliteError, ModelError, UsageError
from knightlite.foreign import infer_function
from knightlite.frontend import Conversion
from knightlite.frontend.script_process import ScriptProcess, script_process
from knightlite.ir import Tensor
from knightlite.quantize.data.user_script import UserScript
from knightlite.quantize.data.workload import Enough
from knightlite.workspace import open_workspace
from onnx_nets import Net
from stub_frameworks import interpreter

Array = NDArray[Any]
HEAD = (
    "from onnx_quantize_tool.common.register import onnx_infer_func\n"
    "import framework, os, numpy as np\n"
    '@onnx_infer_func.register("infer")\ndef infer(executor):\n'
)
X = Tensor("x", (1, 2, 3), dtypes.F32)
Z = Tensor("z", (1, 4), dtypes.U8)


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An interpreter that has the package ``framework``."""
    return interpreter(tmp_path_factory.mktemp("there"), {"framework.py": "SIZE = 3\n"})


@pytest.fixture(scope="module")
def there(python: str) -> ScriptProcess:
    """One process for all tests that do not end it."""
    return ScriptProcess(python)


def script(folder: Path, lines: str, elsewhere: ScriptProcess | None, **fields: Any) -> UserScript:
    path = folder / "user.py"
    path.write_text(HEAD + "".join(f"    {line}\n" for line in lines.splitlines()))
    values: dict[str, Any] = {"function": "infer", "dataset": "DATA", "iteration": 1,
        "batch_size": 2, "save_dir": folder, "run_mode": "quant", "inputs": (X, Z),
        "outputs": ("y",), "elsewhere": elsewhere}  # fmt: skip
    return UserScript(script=path, **{**values, **fields})


def sums(arrays: tuple[Array, ...]) -> list[Array]:
    """A network: sums and counts per picture, and nothing at all."""
    return [arrays[0].sum(axis=(1, 2)) + arrays[1].sum(axis=1), np.zeros((2, 0), np.int16)]


# neither float32 nor in order
FEED = (
    "x = np.arange(24.0).reshape(2, 3, 4).transpose(0, 2, 1)[:, :2]\n"
    "y, nothing = executor.forward(x, np.full((2, 4), True))\n"
    "assert y.flags.writeable and nothing.shape == (2, 0) and nothing.dtype == np.int16\n"
)


def test_arrays_there_and_back(there: ScriptProcess, tmp_path: Path, python: str) -> None:
    """Types, orders and empty arrays; attributes of the executor; a remark; what is returned."""
    lines = (
        "executor.init_shape_info()\n"
        "assert executor.shape_dicts == {'x': [2, 2, 3], 'z': [2, 4]}, executor.shape_dicts\n"
        "assert (executor.gpu, executor.input_types) == (-1, {'x': 1, 'z': 2})\n"
        "assert executor.input_configs_dict == [{'input_name': 'x'}]\n"
        f"assert os.getppid() == {os.getpid()}\n"
        f"{FEED}return np.float32(y.sum() + framework.SIZE)\n"
    )
    said: list[str] = []
    fed: list[tuple[Array, ...]] = []

    def forward(arrays: tuple[Array, ...]) -> Sequence[Array]:
        fed.append(arrays)
        return sums(arrays)

    configs = ({"input_name": "x"},)
    work = script(tmp_path, lines, there, say=said.append, input_configs=configs)
    work.check()
    wanted = np.arange(24).reshape(2, 3, 4).transpose(0, 2, 1)[:, :2].astype(np.float32)
    assert work.run(forward) == wanted.sum() + 8 + 3
    assert np.array_equal(fed[0][0], wanted)
    assert [str(item.dtype) for item in fed[0]] == ["float32", "uint8"]
    assert said == ["the script feeds float64 to input x; it is cast to float32."]


@pytest.mark.parametrize(
    ("lines", "kind", "sentence"),
    [
        ("\nopen('/nowhere')", DataError, "user.py:6: FileNotFoundError: [Errno 2] No such file"),
        ("executor.forward(1)", DataError, "user.py:5: executor.forward must get 2 arrays"),
        (
            "executor.forward(np.zeros((2, 9, 9)), np.zeros((2, 4), 'u1'))",
            DataError,
            "user.py:5: input x must have shape (N, 2, 3), not (2, 9, 9).",
        ),
        ("return 'good'", DataError, "user.py: infer must return one number or None, not str."),
        ("return 1", DataError, "user.py: infer never called executor.forward."),
        ("import nothing_at_all", UsageError, "user.py:5: the script imports nothing_at_all, "),
    ],
)
def test_sentences_name_the_scripts_line(
    lines: str, kind: type[KnightliteError], sentence: str, there: ScriptProcess, tmp_path: Path
) -> None:
    with pytest.raises(kind) as caught:
        script(tmp_path, lines, there).run(sums)
    assert caught.value.sentence.startswith(sentence)


def test_errors_of_the_network(there: ScriptProcess, tmp_path: Path) -> None:
    """A sentence gets the script's line; a fault of ours, and what leaves a workload, as it is."""
    for swallowed in ("", "try:\n    while True: executor.forward(x, x)\nexcept Exception: pass\n"):
        for error in (ModelError("y holds NaN.", "look"), KeyError("ours"), Enough()):

            def fail(arrays: tuple[Array, ...], error: BaseException = error) -> list[Array]:
                raise error

            with pytest.raises(type(error)) as caught:
                script(tmp_path, FEED.replace("y, nothing", swallowed + "y, nothing"), there).run(
                    fail
                )
            if isinstance(caught.value, ModelError):
                assert caught.value.sentence.endswith(": y holds NaN.")
                assert caught.value.sentence.startswith("user.py:")


def test_a_process_that_dies_is_told_and_replaced(
    there: ScriptProcess, tmp_path: Path, python: str
) -> None:
    for lines, how in (("os._exit(3)", "ended with code 3"), ("os.abort()", "signal 6")):
        with pytest.raises(DataError) as caught:
            script(tmp_path, lines, there).run(sums)
        assert how in caught.value.sentence
        assert caught.value.sentence.endswith(" while it ran user.py: infer.")
        assert caught.value.sentence.startswith(python)
    assert script(tmp_path, f"{FEED}return 7", there).run(sums) == 7


def test_it_ends_with_its_parent(tmp_path: Path, python: str) -> None:
    """A parent that is killed while the script works on leaves no process behind."""
    work = (
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\nimport time; time.sleep(99)"
    )
    script(tmp_path, work, None)
    text = (
        "from pathlib import Path\nfrom knightlite.frontend.script_process import ScriptProcess\n"
        "from knightlite.executor import Executor\n"
        "asked = Executor(1, 1, None, '', '', '', (), [], None)\n"
        f"ScriptProcess({python!r}).call(Path({str(tmp_path / 'user.py')!r}), 'infer', asked)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", text])
    child = 0
    for _ in _until(20):
        if (tmp_path / "pid").exists() and (tmp_path / "pid").read_text():
            child = int((tmp_path / "pid").read_text())
            break
    os.kill(child, 0)
    parent.kill()
    parent.wait()
    for _ in _until(20):
        state = Path(f"/proc/{child}/stat")
        if not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z":
            return
    os.kill(child, signal.SIGKILL)
    pytest.fail("the script's process goes on")


def _until(seconds: float) -> Iterator[None]:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield
        time.sleep(0.02)


def test_a_process_that_is_no_longer_needed_ends(tmp_path: Path, python: str) -> None:
    home = ScriptProcess(python)
    script(tmp_path, f"{FEED}return os.getpid()", home).check()
    child = int(script(tmp_path, f"{FEED}return os.getpid()", home).run(sums) or 0)
    os.kill(child, 0)
    del home
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


# ------------------------------------------------------------------ which interpreter


@pytest.mark.parametrize("option", ["torch_python", "paddle_python", "script_python"])
def test_the_interpreter_that_has_what_the_script_imports(
    option: str, tmp_path: Path, python: str
) -> None:
    work = script(tmp_path, f"{FEED}return 1", None)
    named: dict[str, Any] = {option: python}
    home = script_process("infer", Conversion(work.script, **named))
    assert home is not None
    assert script(tmp_path, f"{FEED}return 1", home).run(sums) == 1


def test_this_interpreter_where_another_one_has_no_more(
    tmp_path: Path, python: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = script(tmp_path, FEED, None)
    assert script_process("infer", Conversion(work.script)) is None  # none is named
    work.script.write_text(work.script.read_text().replace("framework,", ""))
    assert script_process("infer", Conversion(work.script, torch_python=python)) is None
    monkeypatch.setenv("KNIGHTLITE_SCRIPT_PYTHON", python)
    assert script_process("infer", Conversion(work.script)) is not None
    with pytest.raises(UsageError, match=r"--script-python: the Python interpreter /none does not"):
        script_process("infer", Conversion(work.script, script_python="/none"))


def test_an_interpreter_that_cannot_begin(tmp_path: Path) -> None:
    """Without numpy there is no pipe of arrays: the sentence names what is missing, and how."""
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n')
    bare.chmod(0o755)
    with pytest.raises(UsageError) as caught:
        script(tmp_path, FEED, ScriptProcess(str(bare))).run(sums)
    assert caught.value.sentence.endswith(" has no package numpy.")
    assert caught.value.hint.endswith(" -m pip install numpy")


def test_all_that_is_missing_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "beside.py").write_text("import cv2_of_nobody\n")
    (tmp_path / "user.py").write_text(
        "import torch_of_nobody.nn as nn\nimport beside\n"
        "try:\n    import faster_of_nobody\nexcept ImportError: pass\n"
        "def build():\n    import other_of_nobody\n"
    )
    net = Net()
    net.input("x", (1, 4, 9, 9))
    net.conv("x", "y", (8, 4, 3, 3))
    model = net.save(tmp_path, "y")
    assert run(["quant", "onnx", "-m", str(model), "-uds", "user.py", "-if", "infer"]) == 2
    shown = capsys.readouterr().err
    assert (
        "Error: user.py:1: the script imports torch_of_nobody and cv2_of_nobody, which are not "
        "installed." in shown
    )
    assert "-m pip install torch_of_nobody cv2_of_nobody), name a Python that has" in shown


# its streams end with the process, which here goes on
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("ends", ["before a call", "before an answer"])
def test_calls_end_without_words_where_the_other_process_ends(tmp_path: Path, ends: str) -> None:
    reading, asking = os.pipe()
    answers, writing = os.pipe()
    other = ArrayPipe(os.fdopen(answers, "rb"), os.fdopen(asking, "wb"))
    if ends == "before an answer":
        other.send({"script": str(tmp_path / "no.py"), "function": "f", "executor": None})
    other.close()
    assert infer_function.run({"reading": reading, "writing": writing}) == {}


def test_the_manifest_says_where_the_function_ran(
    tmp_path: Path, python: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that ``diagnose``, which has no ``--torch-python``, takes the same data the same way."""
    made = Net()
    made.input("x", (1, 3, 8, 8))
    made.conv("x", "y", (4, 3, 3, 3))
    made.save(tmp_path, "y")
    feed = "executor.forward(np.random.rand(1, 3, 8, 8))\nreturn framework.SIZE"
    script(tmp_path, feed, None)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KNIGHTLITE_TORCH_PYTHON", raising=False)
    words = ["quant", "-m", "net.onnx", "-uds", "user.py", "-if", "infer", "-i", "1"]
    assert run([*words, "--torch-python", python]) == 0
    (record,) = open_workspace().records
    source = record.options["source"]
    assert isinstance(source, dict)
    assert source["script_python"] == python
    assert run(["diagnose"]) == 0
    (tmp_path / "framework.py").write_text("SIZE = 3\n")  # found beside the script
    assert run(words) == 0
    source = open_workspace().records[-1].options["source"]
    assert isinstance(source, dict)
    assert source["script_python"] is None
