"""Paddle's ``.pdmodel`` + ``.pdiparams`` -> ONNX bytes, without paddlepaddle.

paddle2onnx 1.3.1's C extension is loaded by itself in a child process: it prints from C++, returns
empty bytes on most failures, and could crash. The files are checked here first, so that the
sentence can name the tensor.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from knightlite.errors import Finding, KnightliteError, ModelError, UnsupportedError, UsageError
from knightlite.frontend import onnx_file, paddle_forms, paddle_names, paddle_weights
from knightlite.frontend.interpreter import WITH_PARENT
from knightlite.frontend.onnx_file import read_bytes
from knightlite.frontend.source import SourceModel
from knightlite.leftovers import scratch_folder

OPSET = 13
VERSION = "1.3.1"  # its private ``export`` signature is what paddle_child calls
TIMEOUT_S: float = 600
UNSUPPORTED = "some operators not supported yet,"  # so the converter begins its list of them
CHILD = Path(__file__).with_name("paddle_child.py")


@dataclass(frozen=True, slots=True)
class Converted:
    """ONNX bytes (opset 13) of a program, and what the program says of itself.

    ``shapes`` by variable (-1: left open); ``unknown``: kinds of operators whose conversion has
    not been compared with Paddle; ``rewritten``: kinds in other forms, for these shapes.
    """

    data: bytes
    shapes: Mapping[str, tuple[int, ...]]
    unknown: tuple[str, ...]
    rewritten: tuple[str, ...] = ()


def convert(model: Path, weight: Path | None = None, names: Sequence[str] = ()) -> Converted:
    """Convert a Paddle model; ``weight`` defaults to the sibling .pdiparams.

    Values keep the names that Paddle gives them, ``names`` first, which will be asked for.

    Errors: UsageError for files that are not there or paddle2onnx missing, ModelError for damage,
    UnsupportedError with the operators that have no exact conversion.
    """
    program = read_bytes(model)
    expected = paddle_weights.expected_tensors(program, model)
    parameters = weight_file(model, weight) if expected else None
    if parameters is not None:
        paddle_weights.check(read_bytes(parameters), parameters, expected)
    spelled = paddle_forms.spelled_out(program, model)
    extension = _extension()
    copying = _convert(extension, model, spelled.program, parameters, "copying")
    copies = paddle_names.copies_of(onnx_file.parse(copying, str(model)))
    del copying  # its weights
    data = _convert(extension, model, spelled.program, parameters, "optimized")
    parsed = onnx_file.parse(data, str(model))
    paddle_names.variables_back(parsed, copies, list(spelled.shapes), names)
    data = parsed.SerializeToString(deterministic=True)
    return Converted(data, spelled.shapes, spelled.unknown, spelled.rewritten)


def checked(model: SourceModel, converted: Converted, path: Path) -> SourceModel:
    """The model with a warning for what has not been compared; ModelError where shapes differ.

    UnsupportedError where inputs of other sizes than the program's meet operators in forms for it.
    """
    other = [
        name for name in model.inputs if _is_other(converted.shapes.get(name, ()), model, name)
    ]
    if other and converted.rewritten:
        raise UnsupportedError(
            f"{path} must be read with {other[0]} of shape {list(converted.shapes[other[0]])}, not "
            f"{list(model.shapes[other[0]])}: its {', '.join(converted.rewritten)} depends on it.",
            "save the model with the input shape that you want",
        )
    for name, said in () if other else converted.shapes.items():
        made = model.shapes.get(name)
        # what the program leaves open comes from the input's shape
        if made is None or name in model.constants or -1 in said[1:]:
            continue
        if _extents(said) != _extents(made):
            raise ModelError(
                f"paddle2onnx gives {name} of {path} the shape {list(made)}, but the program says "
                f"{list(said)}.",
                "export the model to ONNX elsewhere and pass the .onnx",
            )
    warnings = tuple(
        Finding(
            kind,
            f"how paddle2onnx converts {kind} has not been compared with Paddle",
            "compare the outputs with Paddle's own",
            "warning",
        )
        for kind in converted.unknown
    )
    return replace(model, warnings=(*model.warnings, *warnings))


def _is_other(said: tuple[int, ...], model: SourceModel, name: str) -> bool:
    """True where an input has sizes that the program does not say."""
    made = model.shapes[name]
    return any(a > 0 and a != b for a, b in zip(said[1:], made[1:], strict=False))


def _extents(shape: tuple[int, ...]) -> list[int]:
    """The sizes behind the batch that are not 1: the converter is free in the rest."""
    return [size for size in shape[1:] if size != 1]


def weight_file(model: Path, weight: Path | None) -> Path:
    """``weight``, or the .pdiparams beside the model; UsageError where there is none."""
    if weight is not None:
        return weight
    beside = model.with_suffix(".pdiparams")
    if not beside.exists():
        raise UsageError(
            f"There is no weight file {beside} beside {model}.", "give it with -w/--weight"
        )
    return beside


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


def _convert(extension: Path, model: Path, program: bytes, weight: Path | None, form: str) -> bytes:
    with scratch_folder() as folder:
        output, reason = Path(folder, "model.onnx"), Path(folder, "reason")
        source = Path(folder, "model.pdmodel")
        source.write_bytes(program)
        command = [
            sys.executable, "-I", "-S", str(WITH_PARENT), str(CHILD),
            str(extension), str(source), "" if weight is None else str(weight.resolve()),
            str(OPSET), form, str(output), str(reason),
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
        said = _lines(done.stdout)
        # it may print an error, leave something out and still deliver a model
        if done.returncode == 0 and output.stat().st_size and not any(map(_is_error, said)):
            return output.read_bytes()
        if reason.exists():
            said.append(reason.read_text().strip())
    raise _failure(model, said, done.returncode)


def _failure(model: Path, said: list[str], code: int) -> KnightliteError:
    """The sentence for what the converter printed before it gave up."""
    for line in said:
        _, found, operators = line.partition(UNSUPPORTED)
        if found:
            names = operators.removeprefix(" including").strip(" ,.")
            return UnsupportedError(
                f"{model} has Paddle operators that paddle2onnx {VERSION} cannot convert: {names}.",
                "replace these operators, or convert the model elsewhere and pass the .onnx",
            )
    text = "; ".join(line.replace("[ERROR]", "").strip().rstrip(".") for line in said[-2:])
    if not text:
        text = f"it crashed with signal {-code}" if code < 0 else "it gave no reason"
    return ModelError(
        f"paddle2onnx cannot convert {model}: {text}.",
        "the file may be damaged or saved by another Paddle version: save it again with "
        "paddle.jit.save inside `with paddle.pir_utils.DygraphOldIrGuard():`",
    )


def _lines(noise: bytes) -> list[str]:
    """What the converter printed, line by line, without its name."""
    lines = noise.decode(errors="replace").replace("[Paddle2ONNX]", "").splitlines()
    return [" ".join(line.split()) for line in lines if line.strip()]


def _is_error(line: str) -> bool:
    return "[ERROR]" in line or UNSUPPORTED in line
