"""Parts of a network, and inner tensors as outputs: what is kept, and that the bytes stay exact."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from knightlite.api.models import open_binary
from knightlite.cli.program import run
from knightlite.errors import UsageError
from knightlite.ir import Graph, GraphBuilder, HostOp
from knightlite.ir.part import part, with_outputs
from knightlite.options import check
from knightlite.options.compile import CompileOptions

Capture = pytest.CaptureFixture[str]
STEM = "digits_quantize"


def net() -> Graph:
    """x -> a -> b, c = a + b -> d; a reshape of d on the host, and b as a second output."""
    builder = GraphBuilder("net")
    builder.input("x", (1, 3, 4, 4))
    builder.constant("w", np.zeros((3, 3, 1, 1), np.float32))
    builder.node("Conv", ("x", "w"), builder.tensor("a", (1, 3, 4, 4)))
    builder.node("Table", ("a",), builder.tensor("b", (1, 3, 4, 4)), {"function": "Clip"})
    builder.node("Add", ("a", "b"), builder.tensor("c", (1, 3, 4, 4)))
    builder.node("Table", ("c",), builder.tensor("d", (1, 3, 4, 4)), {"function": "Clip"})
    builder.host.append(HostOp("flat", "Reshape", ("d",), ("y",), {"shape": (1, 48)}))
    return builder.build(("y", "b"))


@pytest.mark.parametrize(
    ("first", "last", "nodes", "inputs", "outputs", "host"),
    [
        (None, None, "abcd", "x", "yb", 1),
        (None, "b", "ab", "x", "b", 0),
        ("b", "c", "bc", "a", "c", 0),  # c reads a too, which is before
        ("b", None, "bcd", "a", "yb", 1),
        ("c", None, "cd", "ab", "y", 1),  # the output b is made before c
        ("d", "d", "d", "c", "d", 0),
    ],
)
def test_part(
    first: str | None, last: str | None, nodes: str, inputs: str, outputs: str, host: int
) -> None:
    found = part(net(), first, last)
    assert "".join(node.name for node in found.nodes) == nodes
    assert sorted(found.inputs) == sorted(inputs)
    assert "".join(found.outputs) == outputs
    assert len(found.host) == host


@pytest.mark.parametrize(
    ("first", "last", "sentence"),
    [
        ("no", None, "net has no layer called no."),
        (None, "no", "net has no layer called no."),
        ("d", "b", "layer b of net does not need layer d."),
    ],
)
def test_parts_that_are_not_there(first: str | None, last: str | None, sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        part(net(), first, last)
    assert caught.value.sentence == sentence


def test_further_outputs() -> None:
    assert with_outputs(net(), ("c", "b")).outputs == ("y", "b", "c")
    some = part(net(), None, "c")
    assert with_outputs(some, ("b", "c", "b")).outputs == ("c", "b")  # each once
    with pytest.raises(UsageError, match="no tensor called x that could be an output"):
        with_outputs(net(), ("x",))


# ------------------------------------------------------------------ through the chain


def compiled(capsys: Capture, *options: str) -> dict[str, object]:
    capsys.readouterr()
    assert run(["compile", "--json", "-s", "made", *options]) == 0
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def simulated(capsys: Capture, source: str) -> dict[str, object]:
    capsys.readouterr()
    files = ["-m", f"made/{STEM}_r.tsmodel", "-s", "results"]
    assert run(["sim", "--input", source, "--check", "--json", *files]) == 0
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    assert found["differing_bytes"] == 0
    return found


def test_a_part_of_digits(here: Path, capsys: Capture) -> None:
    compiled(capsys, "-sln", "relu_5.tmp_0", "-eln", "relu_11.tmp_0")
    simulated(capsys, f"made/{STEM}_known_input.bin")
    wanted = np.fromfile(f"made/{STEM}_known_output.bin", np.uint8)
    assert np.array_equal(np.load("results/result-relu_11.tmp_0.npy").ravel(), wanted)
    assert np.unique(wanted).size > 16
    # what prepares pictures prepares the input of the whole: of a part only where it begins there
    assert open_binary(Path(f"made/{STEM}_r.cfg")).program.meta.recipe is None
    compiled(capsys, "-eln", "relu_5.tmp_0")
    assert open_binary(Path(f"made/{STEM}_r.cfg")).program.meta.recipe is not None


def test_an_inner_tensor_is_the_same_as_in_the_whole(here: Path, capsys: Capture) -> None:
    """What a fused chain keeps inside is delivered where it is asked for."""
    whole = compiled(capsys)
    more = compiled(capsys, "--output", "relu_0.tmp_0", "--opt-ddr", "0")
    assert more["chains"] == int(str(whole["chains"])) - 1
    assert int(str(more["ddr_bytes"])) > int(str(whole["ddr_bytes"]))
    simulated(capsys, "inputs/x.bin")
    assert np.unique(np.load("results/result-relu_0.tmp_0.npy")).size > 16
    lone = np.load("results/result-linear_0.tmp_1.npy")
    assert run(["sim", "--input", "inputs/x.bin"]) == 0
    assert np.array_equal(lone, np.load("result-linear_0.tmp_1.npy"))


def test_without_reuse_no_two_tensors_overlap(here: Path, capsys: Capture) -> None:
    compiled(capsys, "--opt-ddr", "0", "--opt-group", "0")
    lines = Path(f"made/{STEM}_r.map.txt").read_text(encoding="utf-8").splitlines()
    rows = [line.split() for line in lines if "layers" in line]
    spans = sorted((int(row[0], 16), int(row[1])) for row in rows)
    assert len(spans) > 10
    assert all(a + size <= b for (a, size), (b, _) in pairwise(spans))


def test_texts_that_are_kept(here: Path, capsys: Capture) -> None:
    compiled(capsys, "--res-version", "2024-11 b", "--input-order", "nhwc")
    assert run(["inspect", f"made/{STEM}_r.tsmodel"]) == 0
    line = "resource version 2024-11 b, input files nhwc\n"
    assert line in capsys.readouterr().out
    pixels = np.fromfile("inputs/x.bin", "<f4").reshape(3, 32, 32)
    pixels.transpose(1, 2, 0).tofile("nhwc.bin")
    simulated(capsys, "nhwc.bin")
    assert run(["sim", "--input", "inputs/x.bin", "-fmt", "nchw", "-if", "1"]) == 0
    assert np.array_equal(
        np.load("results/result-linear_0.tmp_1.npy"), np.load("result-linear_0.tmp_1.npy")
    )
    text = Path("intofile.txt").read_text(encoding="ascii")
    assert text.startswith("SHAPE:(N:1, C:3, H:32, W:32)\nC[0]:\n")
    assert len(text.splitlines()) == 1 + 3 * 33


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"res_version": "1" * 17},
         "the resource version must have at most 16 characters, not 17."),
        ({"res_version": "a\udcff"},
         "the resource version must be printable text, not 'a\\udcff'."),
        ({"input_order": "hwc"},
         "the input order must be one of nchw, nhwc, not hwc."),
    ],
)  # fmt: skip
def test_settings_that_no_file_can_hold(given: dict[str, str], sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        check(CompileOptions(**given))  # type: ignore[arg-type]  # texts all of them
    assert caught.value.sentence == sentence
