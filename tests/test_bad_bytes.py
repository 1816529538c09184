"""Truncated, swapped and bit-flipped files through the command line, at seeded places."""

from __future__ import annotations

import random
import shutil
import time
from pathlib import Path

import pytest

from refusals import Refusal, cut, flip

STEM = "digits_quantize"
CFG, WEIGHT = f"{STEM}_r.cfg", f"{STEM}_r.weight"
# with their paths, so that the manifest's hashes do not refuse them first
BINARY = ["--config", f"./{CFG}", "--weight", f"./{WEIGHT}"]
SIM = ["sim", "--input", "inputs/x.bin", *BINARY]
PROFILE = ["profile", *BINARY]
QUANT = ["quant", "-m", "digits.pdmodel"]
AGAIN = "compile the model again"
SAVE_AGAIN = "copy or save the model again"
SAVE_BOTH = "copy or save model and weights again, together"
EXPORT_AGAIN = "export or copy the model again"
NOT_ONNX = "is not an ONNX model or is truncated."
EMPTY = "is an empty file, not an ONNX model."

# ------------------------------------------------------------------ compiled files


def other_kind(name: str) -> str:
    kind = "configuration (.cfg)" if name == CFG else "weight (.weight)"
    return f"{name} is not a knightlite {kind} file."


@pytest.mark.parametrize("name", [CFG, WEIGHT])
def test_truncated_binaries(refused: Refusal, name: str) -> None:
    size = Path(name).stat().st_size
    for keep in (size - 1, size // 2, 200, 100, 17, 15, 8):
        cut(name, keep)
        for command in (SIM, PROFILE, ["inspect", name]):
            refused(command, 1, f"{name} is truncated: {keep} bytes*", AGAIN)
    cut(name, 7)
    refused(SIM, 1, other_kind(name))
    cut(name, 0)
    kind = "configuration (.cfg)" if name == CFG else "weight (.weight)"
    refused(PROFILE, 1, f"{name} is an empty file, not a {kind} file.", AGAIN)
    refused(
        ["inspect", name],
        2,
        f"{name} is an empty file, neither a .cfg, a .weight nor a .tsmodel file of knightlite.",
        "inspect reads what compile wrote",
    )


@pytest.mark.parametrize("name", [CFG, WEIGHT])
def test_every_flipped_bit_of_a_binary_is_found(refused: Refusal, name: str) -> None:
    size = Path(name).stat().st_size
    rng = random.Random(5)
    header = list(range(8, 200, 23))
    for position in (*header, *(rng.randrange(size) for _ in range(25)), size - 1):
        mask = 1 << rng.randrange(8)
        flip(name, position, mask)
        refused(SIM, 1, f"{name} *", AGAIN)
        flip(name, position, mask)
    flip(name, 3)
    refused(PROFILE, 1, other_kind(name))


def test_damaged_models_in_one_file(refused: Refusal) -> None:
    name = f"{STEM}_r.tsmodel"
    commands = [
        ["sim", "--input", "inputs/x.bin", "-m", f"./{name}"],
        ["profile", "-m", f"./{name}"],
        ["inspect", f"./{name}"],
        ["model_info", "-m", f"./{name}"],
    ]
    whole = Path(name).read_bytes()
    for keep in (len(whole) - 1, len(whole) // 2, 100, 8):
        cut(name, keep)
        for command in commands:
            refused(command, 1, f"{name} is truncated: {keep} bytes*", AGAIN)
        Path(name).write_bytes(whole)
    for position in (9, 100, len(whole) // 3, len(whole) - 1):
        flip(name, position)
        for command in commands:
            refused(command, 1, f"{name} *", AGAIN)
        flip(name, position)
    flip(name, 3)
    refused(commands[0], 1, f"{name} is not a knightlite model (.tsmodel) file.")


def test_swapped_binaries(refused: Refusal) -> None:
    swapped = ["--config", WEIGHT, "--weight", CFG]
    sentence = f"{WEIGHT} is a weight (.weight) file, not a configuration (.cfg) file."
    for command in (["sim", "--input", "inputs/x.bin", *swapped], ["profile", *swapped]):
        refused(command, 2, sentence, "sim, profile and deploy take the pair with *")


def test_weights_of_another_compile_run(refused: Refusal) -> None:
    assert refused.run(["compile", "--chip", "TX5112CV201", "-s", "small"])[0] == 0
    shutil.copy(f"small/{WEIGHT}", "other.weight")
    sentence = f"{CFG} (digits) and other.weight (digits) do not belong together."
    command = ["sim", "--input", "inputs/x.bin", "--config", CFG, "--weight", "other.weight"]
    refused(command, 1, sentence, "take both from the same compile run")


def test_damaged_golden_model(refused: Refusal) -> None:
    golden = f"{STEM}_golden.onnx"
    check = [*SIM, "--check"]
    whole = Path(golden).read_bytes()
    cut(golden, 5000)
    refused(check, 1, f"{golden} {NOT_ONNX}", EXPORT_AGAIN)
    Path(golden).write_bytes(b"")
    refused(check, 1, f"{golden} {EMPTY}", EXPORT_AGAIN)
    Path(golden).write_bytes(whole.replace(b"Conv", b"Vonc"))
    sentence = f"{golden} is damaged: ONNX Runtime refuses it (*"
    refused(check, 1, sentence, AGAIN)


# ------------------------------------------------------------------ models


@pytest.mark.parametrize("size", [0, 1, 100, 5000, 30000])
def test_truncated_program(refused: Refusal, size: int) -> None:
    cut("digits.pdmodel", size)
    fault = (
        "not a Paddle program or is truncated" if size else "an empty file, not a Paddle program"
    )
    refused(QUANT, 1, f"digits.pdmodel is {fault}.", SAVE_AGAIN)


@pytest.mark.parametrize(
    ("size", "sentence"),
    [
        (0, "ends before tensor batch_norm2d_0.b_0 (1 of 137): it is truncated or not this "
         "model's."),
        (3, "is truncated inside tensor batch_norm2d_0.b_0 (1 of 137)."),
        (20000, "is truncated inside tensor *"),
        (-1, "is truncated inside tensor linear_0.w_0 (137 of 137): 3600 bytes of data are needed, "
         "3599 are left."),
    ],
)  # fmt: skip
def test_truncated_parameters(refused: Refusal, size: int, sentence: str) -> None:
    cut("digits.pdiparams", size)
    refused(QUANT, 1, f"digits.pdiparams {sentence}", SAVE_BOTH)


@pytest.mark.parametrize("position", [0, 4, 16, 20])
def test_flipped_header_of_parameters(refused: Refusal, position: int) -> None:
    flip("digits.pdiparams", position, 0x10)
    refused(QUANT, 1, "digits.pdiparams*", SAVE_BOTH)


@pytest.mark.parametrize("size", [0, 4, 1000, 150000])
def test_truncated_onnx(refused: Refusal, size: int) -> None:
    for name, command in (("digits", ["quant", "-m"]), (STEM, ["compile", "--onnx"])):
        cut(f"{name}.onnx", size)
        sentence = f"{name}.onnx {NOT_ONNX if size else EMPTY}"
        refused([*command, f"./{name}.onnx"], 1, sentence, EXPORT_AGAIN)


@pytest.mark.parametrize("content", [b"\0" * 100, bytes(range(256)) * 9, b"\xff" * 50])
def test_files_of_another_kind(refused: Refusal, content: bytes) -> None:
    for name in ("other.onnx", "other.pdmodel", "other.pdiparams"):
        Path(name).write_bytes(content)
    refused(["quant", "-m", "other.onnx"], 1, "other.onnx is not an ONNX model*", EXPORT_AGAIN)
    refused(["compile", "--onnx", "other.onnx"], 1, "other.onnx is not an ONNX *", EXPORT_AGAIN)
    sentence = "other.pdmodel is not a Paddle program or is truncated."
    refused(["quant", "-m", "other.pdmodel"], 1, sentence, SAVE_AGAIN)
    refused([*QUANT, "-w", "other.pdiparams"], 1, "other.pdiparams *", SAVE_BOTH)


# ------------------------------------------------------------------ anything at all

# two pictures: what is made of a model that can be read is short
QUANT_SOME = [*QUANT, "-d", "calib", "--recipe", "digits", "-i", "2"]
CASES = {
    "digits.pdmodel": (QUANT_SOME, 30),
    "digits.pdiparams": (QUANT_SOME, 8),
    f"{STEM}.onnx": (["compile", "--onnx", f"./{STEM}.onnx"], 30),
    CFG: (SIM, 30),
    WEIGHT: (PROFILE, 30),
}
TIME_S = 30.0  # nothing here takes a tenth of it


def mutated(rng: random.Random, whole: bytes, number: int) -> bytes:
    """One, two or eight flipped bits, more of them at the ends of the file, or a cut."""
    data = bytearray(whole)
    if number % 5 == 0:
        del data[rng.randrange(len(data)) :]
    for _ in range((1, 1, 2, 8)[number % 4]):
        near_an_end = rng.randrange(min(4096, len(data) or 1))
        places = (rng.randrange(len(data) or 1), near_an_end, -1 - near_an_end)
        if data:
            data[rng.choice(places)] ^= 1 << rng.randrange(8)
    return bytes(data)


@pytest.mark.parametrize("name", CASES)
def test_mutations_succeed_or_are_refused_in_a_sentence(refused: Refusal, name: str) -> None:
    command, count = CASES[name]
    rng = random.Random(f"mutations of {name}")
    whole = Path(name).read_bytes()
    codes = set()
    for number in range(count):
        Path(name).write_bytes(mutated(rng, whole, number))
        started = time.monotonic()
        code, lines = refused.run([*command, "-s", f"out{number}"])
        assert time.monotonic() - started < TIME_S
        errors = [line for line in lines if line.startswith("Error: ")]
        assert len(errors) == (1 if code else 0), lines
        codes.add(code)
        shutil.rmtree(f"out{number}", ignore_errors=True)
        Path("knightlite.json").unlink(missing_ok=True)
    assert codes <= {0, 1, 2}
    assert 1 in codes
    if name in (CFG, WEIGHT):
        assert codes == {1}
