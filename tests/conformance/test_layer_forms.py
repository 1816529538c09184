"""Paddle's layers in their documented forms, from its own files to the chip, against Paddle itself.

``layers_paddle2.txt``, ``layers_paddle3.txt`` and ``layers_paddle3_json.txt`` (the format that
Paddle 3 writes where it is not asked for another) in ``tests/golden`` have the outcome of every
form: right (60 dB and more at 16 bits), how near it comes where the operator allows no more, or the
sentence that refuses it.
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
from layer_forms import FORMS, Form
from numpy.typing import NDArray
from sources import HERE, PADDLE2_PYTHON, PADDLE_PYTHON, made, run_paddle

import conftest
import knightlite
from conformance_checks import MAIN
from knightlite.errors import KnightliteError
from knightlite.frontend import interpreter
from knightlite.frontend.paddle_forms import COMPARED, RULES
from knightlite.frontend.paddle_program import Block, parse_program

pytestmark = pytest.mark.conformance

Array = NDArray[Any]
RIGHT_DB = 60.0
STEP_DB = 10.0  # what is less is told in such steps: last bits differ between processors


@dataclass(frozen=True)
class Paddle:
    """An interpreter with Paddle, and the suffix of the programs that it is to save."""

    python: Path
    suffix: str = ".pdmodel"

    @property
    def converter(self) -> bool:
        """True where paddle2onnx is there as well."""
        return any(self.python.parents[1].glob("lib/python*/site-packages/paddle2onnx"))


# Paddle 2 saves what users have; 3 has layers that 2 lacks, and does not save all in the old format
PADDLES = {
    "paddle2": Paddle(PADDLE2_PYTHON),
    "paddle3": Paddle(PADDLE_PYTHON),
    "paddle3_json": Paddle(PADDLE_PYTHON, ".json"),
}


def saved(paddle: str) -> Path:
    """The folder with every form as this Paddle saves it."""

    def make(folder: Path) -> None:
        python, form = PADDLES[paddle].python, PADDLES[paddle].suffix[1:]
        run_paddle(HERE / "paddle_layers.py", folder, form, python=python)

    script, forms = HERE / "paddle_layers.py", HERE / "layer_forms.py"
    return made(f"layers_{paddle}", make, script, forms)[0]


def decibels(expected: Array, found: Array) -> float:
    error = float(np.sum(np.square(expected - found)))
    return float("inf") if error == 0 else 10 * np.log10(float(np.sum(expected**2)) / error)


@dataclass(frozen=True)
class Zygote:
    """In place of ``subprocess`` where programs of ``foreign`` start: forks of one Paddle."""

    asked: IO[str]
    told: IO[str]
    PIPE = STDOUT = DEVNULL = None
    TimeoutExpired = subprocess.TimeoutExpired

    def run(self, command: list[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
        log = Path(command[-1]).with_name("log")
        self.asked.write(json.dumps([str(log), *command[-3:]]) + "\n")
        self.asked.flush()
        code = int(self.told.readline())
        return subprocess.CompletedProcess(command, code, log.read_bytes())


@contextlib.contextmanager
def converters(paddle: str) -> Iterator[None]:
    """While this lasts, Paddle is imported once for all its ``.json``."""
    if PADDLES[paddle].suffix != ".json":
        yield
        return
    process = subprocess.Popen(
        [PADDLES[paddle].python, HERE / "paddle_zygote.py"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=interpreter.environment(),
    )  # fmt: skip
    with process, pytest.MonkeyPatch.context() as patch:
        assert process.stdin is not None
        assert process.stdout is not None
        patch.setattr(interpreter, "subprocess", Zygote(process.stdin, process.stdout))
        patch.setenv("KNIGHTLITE_PADDLE_PYTHON", str(PADDLES[paddle].python))
        yield
        process.stdin.close()


def on_chip(model: Path, arrays: Any) -> float:
    """SQNR of the worst output of the worst picture, in dB."""
    inputs = [arrays[key] for key in arrays.files if key.startswith("x")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what quant and compile have to say is not the matter here
        quantized = knightlite.quantize(
            model, chip=MAIN, bit_width=16, data=[[item[k : k + 1] for item in inputs]
                                                  for k in range(len(inputs[0]))],
        )  # fmt: skip
        session = knightlite.Session(knightlite.compile(quantized, chip=MAIN))
    names = [item.name for item in session.get_inputs()]
    found = []
    for k in range(len(inputs[0])):
        feeds = {name: item[k : k + 1] for name, item in zip(names, inputs, strict=True)}
        for number, values in enumerate(session.run(None, feeds)):
            expected = np.asarray(arrays[f"y{number}"][k], np.float64)
            if expected.size != values.size:
                return float("-inf")
            found.append(decibels(expected.ravel(), np.asarray(values, np.float64).ravel()))
    return min(found)


def without_numbers(sentence: str) -> str:
    """Paddle counts its variables over all forms: ``conv2d_0.tmp_1`` is ``conv2d.tmp`` here."""
    return re.sub(r"\btmp_\d+", "tmp", re.sub(r"_\d+\.tmp_\d+", ".tmp", sentence))


def outcome(form: Form, folder: Path, suffix: str) -> str:
    told = json.loads((folder / "forms.json").read_text())[form.name]
    if told is not None:
        return "not saved by this Paddle"
    model = folder / f"{form.name}{suffix}"
    try:
        least = on_chip(model, np.load(folder / f"{form.name}.npz"))
    except KnightliteError as error:
        sentence = error.sentence.replace(str(model), form.name).replace(str(HERE.parents[1]), "")
        return "refused: " + re.sub(r"\s+", " ", without_numbers(sentence))
    except Exception as error:  # to see all of them at once
        return f"WRONG: {type(error).__name__} {error}".splitlines()[0][:200]
    if least >= RIGHT_DB:
        return "right"
    return f"WRONG {least:.0f}" if least < 0 else f"{least // STEP_DB * STEP_DB:.0f} dB and more"


def table(paddle: str) -> Iterator[str]:
    folder, suffix = saved(paddle), PADDLES[paddle].suffix
    with converters(paddle):
        for form in FORMS:
            yield f"{form.name:26} {form.build}\n    {outcome(form, folder, suffix)}"


@pytest.mark.parametrize("paddle", PADDLES)
def test_layers(paddle: str, golden: conftest.Golden) -> None:
    if PADDLES[paddle].suffix == ".json" and not PADDLES[paddle].converter:
        pytest.skip(
            f"needs {PADDLES[paddle].python} with paddle2onnx: `make conformance` sets it up"
        )
    lines = list(table(paddle))
    golden.text(f"layers_{paddle}.txt", "\n".join(lines) + "\n")
    assert not [line for line in lines if "WRONG" in line]


def test_what_counts_as_compared_is_compared() -> None:
    """Every operator of ``COMPARED`` and of the rules stands in a form that is right."""
    kinds: set[str] = set()
    for paddle in ("paddle2", "paddle3"):
        folder = saved(paddle)
        told = (conftest.GOLDEN / f"layers_{paddle}.txt").read_text().split("\n")
        for head, verdict in zip(told[::2], told[1::2], strict=False):
            if not verdict.strip().startswith(("refused", "not saved")):
                path = folder / f"{head.split()[0]}.pdmodel"
                block = Block.of(parse_program(path.read_bytes(), path))
                kinds |= {item.kind for item in block.operators()}
    assert (set(COMPARED) | set(RULES)) - kinds == set()
