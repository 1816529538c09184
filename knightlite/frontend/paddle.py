"""Paddle's ``.pdmodel`` + ``.pdiparams`` -> ONNX bytes, without paddlepaddle.

paddle2onnx 1.3.1's C extension is loaded by itself in a child process: it prints from C++, returns
empty bytes on most failures, and could crash. The files are checked here first, so that the
sentence can name the tensor.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from knightlite.errors import ModelError, UsageError
from knightlite.frontend import paddle_weights
from knightlite.frontend.onnx_file import read_bytes

OPSET = 13
VERSION = "1.3.1"  # its private ``export`` signature is what paddle_child calls
TIMEOUT_S = 600


def to_onnx(model: Path, weight: Path | None = None) -> bytes:
    """ONNX bytes (opset 13) of a Paddle model; ``weight`` defaults to the sibling .pdiparams.

    Errors: UsageError for files that are not there or paddle2onnx missing, ModelError for damage.
    """
    program = read_bytes(model)
    expected = paddle_weights.expected_tensors(program, model)
    parameters = model.with_suffix(".pdiparams") if weight is None else weight
    if expected:
        if weight is None and not parameters.exists():
            raise UsageError(
                f"There is no weight file {parameters} beside {model}.",
                "give it with -w/--weight",
            )
        paddle_weights.check(read_bytes(parameters), parameters, expected)
    return _convert(_extension(), model, parameters if expected else None)


def _extension() -> Path:
    """The C extension of paddle2onnx, found without importing the package (it wants paddle)."""
    import importlib.metadata
    import importlib.util

    remedy = (
        f"pip install paddle2onnx=={VERSION} (Python 3.10 to 3.12), "
        "or convert the model to ONNX elsewhere and pass the .onnx"
    )
    try:
        version = importlib.metadata.version("paddle2onnx")
        spec = importlib.util.find_spec("paddle2onnx")
    except (importlib.metadata.PackageNotFoundError, ValueError):
        version, spec = "", None
    if spec is None or not spec.submodule_search_locations:
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise UsageError(
            f"Reading .pdmodel files needs paddle2onnx {VERSION}, which is not installed in this "
            f"Python {python}.",
            remedy,
        )
    if version != VERSION:
        raise UsageError(
            f"Reading .pdmodel files needs paddle2onnx {VERSION}, not {version}.", remedy
        )
    for folder in spec.submodule_search_locations:
        for file in sorted(Path(folder).glob("paddle2onnx_cpp2py_export*")):
            return file
    raise UsageError(f"paddle2onnx {VERSION} is installed without its extension.", remedy)


def _convert(extension: Path, model: Path, weight: Path | None) -> bytes:
    with tempfile.TemporaryDirectory(prefix="knightlite-paddle-") as folder:
        output, reason = Path(folder, "model.onnx"), Path(folder, "reason")
        command = [
            sys.executable, "-I", "-S", str(Path(__file__).with_name("paddle_child.py")),
            str(extension), str(model.resolve()), "" if weight is None else str(weight.resolve()),
            str(OPSET), str(output), str(reason),
        ]  # fmt: skip
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise ModelError(
                f"paddle2onnx did not finish converting {model} within {TIMEOUT_S} s.",
                "save the model again",
            ) from None
        if done.returncode == 0 and output.stat().st_size:
            return output.read_bytes()
        text = reason.read_text() if reason.exists() else _last_line(done.stdout)
    if done.returncode < 0:
        text = f"it crashed with signal {-done.returncode}"
    raise ModelError(
        f"paddle2onnx cannot convert {model}: {text.strip().rstrip('.') or 'it gave no reason'}.",
        "the file may be damaged or saved by another Paddle version: save it again with "
        "paddle.jit.save inside `with paddle.pir_utils.DygraphOldIrGuard():`",
    )


def _last_line(noise: bytes) -> str:
    """The last line that the converter printed, without its colours and prefix."""
    lines = [line.strip() for line in noise.decode(errors="replace").splitlines() if line.strip()]
    return lines[-1].removeprefix("[Paddle2ONNX]").strip() if lines else ""
