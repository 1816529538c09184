"""Paddle's PIR ``.json`` + ``.pdiparams`` -> ONNX bytes, by paddle2onnx 2 in its own interpreter.

Program and weights are checked here first: the converter calls ``abort`` or ``exit`` on damage.
What it made is held against Paddle itself.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from knightlite.errors import Finding, ModelError, UnsupportedError, UsageError
from knightlite.frontend import (
    interpreter,
    onnx_file,
    paddle,
    paddle_answers,
    paddle_names,
    paddle_weights,
)
from knightlite.frontend.interpreter import Answer, Conversion, Home
from knightlite.frontend.onnx_file import read_bytes
from knightlite.frontend.paddle_weights import Expected
from knightlite.leftovers import scratch_folder
from knightlite.reading import json_value

Shapes = Sequence[tuple[int, ...]]

PACKAGES = "paddlepaddle 3 and paddle2onnx 2"
HOME = Home(
    PACKAGES,
    "--paddle-python",
    "KNIGHTLITE_PADDLE_PYTHON",
    "they need a virtual environment of their own, Python 3.10 to 3.12: "
    "pip install paddlepaddle==3.3.1 paddle2onnx==2.1.0 packaging",
)
ABORTED = "Due to the unsupported operators"
PARAMETER = "p"  # the operation that stands for a weight
BROKEN = (KeyError, TypeError, IndexError, ValueError, AttributeError)
INPUTS = ("data", "feed")  # operations that stand for an input
DOUBLE, SINGLE = "0.a_f64", "0.a_f32"  # kinds of attributes
ELEMENTS: Mapping[str, int] = {  # PIR's element types -> those of LoDTensor records
    "0.t_bool": 0, "0.t_i16": 1, "0.t_i32": 2, "0.t_i64": 3, "0.t_f16": 4, "0.t_f32": 5,
    "0.t_f64": 6, "0.t_ui8": 20, "0.t_i8": 21,
}  # fmt: skip


def to_onnx(
    model: Path, weight: Path | None, conversion: Conversion, names: Sequence[str] = ()
) -> bytes:
    """ONNX bytes (opset 13) of a PIR program; ``weight`` defaults to the sibling .pdiparams.

    What layers give is named after their parameters, ``names`` of the outputs too.

    Errors: UsageError where no interpreter can do it, ModelError for damage.
    """
    program = read_bytes(model)
    expected = expected_tensors(program, model)
    read = json_value(program)
    refuse_approximated(read["program"], model)
    parameters = paddle.weight_file(model, weight) if expected else None
    if parameters is not None:
        paddle_weights.check(read_bytes(parameters), parameters, expected)
    python = interpreter.find(
        HOME, conversion.paddle_python, _lives_here(), f"Reading Paddle's PIR format ({model})"
    )
    inputs = paddle_answers.made_up(program_inputs(read["program"], model))
    with scratch_folder() as folder:
        output, source = Path(folder, "model.onnx"), Path(folder, "model.json")
        source.write_text(json.dumps(single_precision(read)), encoding="utf-8")
        for index, values in enumerate(inputs.values()):
            np.save(Path(folder, f"x{index}.npy"), values)
        request = {
            "model": str(model.resolve()),
            "source": str(source),
            "weight": "" if parameters is None else str(parameters.resolve()),
            "opset": paddle.OPSET,
            "output": str(output),
            "inputs": list(inputs),
            "folder": str(folder),
        }
        answer = interpreter.run(python, "pir", request, f"converting {model}")
        said = [_plain(line) for line in answer.said]
        wrong = [line for line in said if "[ERROR]" in line]
        if answer.values is not None and answer.values["done"] and not wrong:
            parsed = onnx_file.parse(output.read_bytes(), str(model))
            if answer.values["reason"]:
                conversion.talk.warn(
                    f"what paddle2onnx made of {model} was not compared with Paddle, which does "
                    f"not run it by itself: {answer.values['reason']}"
                )
            else:
                answers = [
                    np.load(Path(folder, f"y{k}.npy")) for k in range(answer.values["outputs"])
                ]
                paddle_answers.hold_against(parsed, inputs, answers, model)
            paddle_names.after_parameters(parsed, names)
            return bytes(parsed.SerializeToString(deterministic=True))
    raise _failure(model, python, answer, said, wrong)


def single_precision(value: Any) -> Any:
    """A program's JSON with every attribute of double precision in single precision.

    Paddle 3.3 writes reals as doubles; paddle2onnx 2 takes their first bytes for floats.
    """
    if isinstance(value, dict):
        kind = {"#": SINGLE} if value.get("#") == DOUBLE else {}
        return {key: single_precision(part) for key, part in value.items()} | kind
    return [single_precision(part) for part in value] if isinstance(value, list) else value


def _failure(
    model: Path, python: str, answer: Answer, said: list[str], wrong: list[str]
) -> Exception:
    if any(ABORTED in line for line in said):
        return UnsupportedError(
            f"{model} has Paddle operators that paddle2onnx of {python} cannot convert.",
            "replace these operators, or convert the model elsewhere and pass the .onnx",
        )
    if not said and answer.code >= 0:
        return UsageError(f"{python} is not a Python interpreter: it gave no answer.")
    text = "; ".join(line.replace("[ERROR]", "").strip().rstrip(".") for line in wrong[-2:])
    return ModelError(
        f"paddle2onnx cannot convert {model}: {text or answer.reason}.",
        "the file may be damaged: save the model again with paddle.jit.save",
    )


def _plain(line: str) -> str:
    """A line of the converter without colours, time and its name."""
    line = re.sub(r"\x1b\[[0-9;]*m", "", line).replace("[Paddle2ONNX]", "")
    return re.sub(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ", "", line.strip()).strip()


def _lives_here() -> bool:
    """True where this interpreter has paddle and paddle2onnx 2 or later."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError, ValueError):
        version = importlib.metadata.version("paddle2onnx")
        found = importlib.util.find_spec("paddle") is not None
        return found and int(version.partition(".")[0]) >= 2
    return False


# ------------------------------------------------------------------ the program


def expected_tensors(program: bytes, where: Path) -> list[Expected]:
    """The weights a PIR program needs, sorted by name as the .pdiparams has them.

    ModelError where it is no PIR program.
    """
    hint = "copy the model again, or save it again with paddle.jit.save"
    try:
        read = json_value(program)
        if read["base_code"]["magic"] != "pir":
            raise KeyError("magic")
        tensors = [
            _tensor(operation)
            for operation in _operations(read["program"])
            if operation["#"] == PARAMETER and _is_kept(operation)
        ]
    except UnicodeDecodeError:
        raise ModelError(f"{where} is not a Paddle PIR program: it is not text.", hint) from None
    except json.JSONDecodeError as error:
        raise ModelError(
            f"{where} is not a Paddle PIR program or is truncated (at byte {error.pos}).",
            hint,
        ) from None
    except (KeyError, TypeError, IndexError, ValueError, AttributeError, RecursionError):
        raise ModelError(
            f"{where} is not a Paddle PIR program or is damaged: it lacks the parts of one.",
            hint,
        ) from None
    return sorted(tensors, key=lambda item: item.name)


def refuse_approximated(program: Mapping[str, Any], where: Path) -> None:
    """UnsupportedError with every operation that paddle2onnx would approximate.

    What the old format spells out (:mod:`knightlite.frontend.paddle_forms`) cannot be rewritten in
    this one, whose text belongs to Paddle.
    """
    try:
        findings = list(_approximated(program))
    except BROKEN:
        raise _broken(where) from None
    if findings:
        more = "" if len(findings) == 1 else f" and {len(findings) - 1} more"
        raise UnsupportedError(
            f"paddle2onnx approximates {findings[0].where} of {where}: "
            f"{findings[0].sentence}{more}.",
            paddle_answers.REMEDY,
            findings,
        )


def program_inputs(
    program: Mapping[str, Any], where: Path
) -> dict[str, tuple[str, tuple[int, ...]]]:
    """NumPy type and shape (-1: left open) of every input of a program, by name."""
    try:
        found = {}
        for operation in _operations(program):
            if str(operation["#"]).rpartition(".")[2] in INPUTS:
                element, shape = operation["O"][0]["TT"]["D"][:2]
                name = next(item["AT"]["D"] for item in operation["A"] if item["N"] == "name")
                dtype = paddle_weights.ELEMENT_TYPES[ELEMENTS[element["#"]]]
                found[str(name)] = dtype, tuple(int(size) for size in shape)
        return found
    except (*BROKEN, StopIteration):
        raise _broken(where) from None


def _broken(where: Path) -> ModelError:
    return ModelError(
        f"{where} is not a Paddle PIR program or is damaged: an operation lacks parts.",
        "copy the model again, or save it again with paddle.jit.save",
    )


def _approximated(program: Mapping[str, Any]) -> Iterator[Finding]:
    shapes: dict[int, tuple[int, ...]] = {}
    for operation in _operations(program):
        results = _results(operation)
        shapes.update(results)
        kind = str(operation["#"]).rpartition(".")[2]
        if kind not in APPROXIMATED:
            continue
        read = [shapes[item["%"]] for item in operation["I"] if item["%"] in shapes]
        made = next(iter(results.values()))
        reason = APPROXIMATED[kind](_attributes(operation), read, made)
        if reason:
            yield Finding(f"{kind} to {list(made)}", reason)


def _results(operation: Mapping[str, Any]) -> dict[int, tuple[int, ...]]:
    """Shapes of the values that an operation makes, by number."""
    found = {}
    for item in operation.get("O", ()) if isinstance(operation.get("O"), list) else ():
        described = item.get("TT", {}).get("D", ())
        if len(described) > 1 and isinstance(described[1], list):
            found[item["%"]] = tuple(described[1])
    if isinstance(operation.get("O"), dict) and "%" in operation["O"]:  # a parameter has one
        found[operation["O"]["%"]] = tuple(operation["O"]["TT"]["D"][1])
    return found


def _attributes(operation: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes by name; arrays as lists."""
    found = {}
    for item in operation.get("A", ()):
        value = item["AT"]["D"]
        found[item["N"]] = [part["D"] for part in value] if isinstance(value, list) else value
    return found


def _adaptive(attributes: Mapping[str, Any], read: Shapes, made: tuple[int, ...]) -> str:
    if not attributes.get("adaptive") or all(size == 1 for size in made[2:]):
        return ""
    size = read[0][2:]
    if any(extent < 1 or extent % count for extent, count in zip(size, made[2:], strict=True)):
        return f"{list(size)} rows and columns fall into bins of unlike sizes"
    return ""


def _transposed(attributes: Mapping[str, Any], read: Shapes, made: tuple[int, ...]) -> str:
    if attributes.get("padding_algorithm") == "SAME":
        return "it leaves SAME padding out"
    pads, extra = attributes["paddings"], attributes.get("output_padding") or [0, 0]
    pads = pads if len(pads) == 4 else [item for item in pads for _ in range(2)]
    for axis, (size, kernel) in enumerate(zip(read[0][2:], read[1][2:], strict=True)):
        stride, dilation = attributes["strides"][axis], attributes["dilations"][axis]
        whole = (size - 1) * stride + dilation * (kernel - 1) + 1 + extra[axis]
        if size > 0 and whole - pads[2 * axis] - pads[2 * axis + 1] != made[2 + axis]:
            return "it leaves the output size out"
    return ""


def _thresholded(attributes: Mapping[str, Any], read: Shapes, made: tuple[int, ...]) -> str:
    value = attributes.get("value", 0.0)
    return f"it gives 0 below the threshold, not {value:g}" if value else ""


APPROXIMATED: Mapping[str, Callable[[Mapping[str, Any], Shapes, tuple[int, ...]], str]] = {
    "conv2d_transpose": _transposed,
    "depthwise_conv2d_transpose": _transposed,
    "max_pool2d_with_index": _adaptive,
    "pool2d": _adaptive,
    "thresholded_relu": _thresholded,
}


def _operations(program: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for region in program["regions"]:
        for block in region["blocks"]:
            yield from block["ops"]


def _is_kept(operation: Mapping[str, Any]) -> bool:
    """True where a parameter is in the .pdiparams: the first of "OA" says so, where it is there."""
    told = operation.get("OA")
    return not told or bool(told[0])


def _tensor(operation: Mapping[str, Any]) -> Expected:
    """A parameter {"A": [.., .., .., name], "O": {"TT": {"D": [{"#": type}, shape, ...]}}}."""
    element, shape = operation["O"]["TT"]["D"][:2]
    name = operation["A"][3]
    if not isinstance(name, str):
        raise ValueError(name)
    return Expected(name, ELEMENTS[element["#"]], tuple(int(size) for size in shape))
