"""What ``sim`` writes of a frame, which bytes it counts, through which recipe: by hand."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from knightlite.api.simulation import frames, run
from knightlite.api.simulation.golden import GoldenReference
from knightlite.errors import MachineError, UsageError
from knightlite.preprocess import load_recipe
from knightlite.sim.outputs import chw_text, hwc_text, npy_bytes
from knightlite.talk import Talk

Array = NDArray[Any]


def step(op: str, source: str, made: str) -> Any:
    return SimpleNamespace(op=op, inputs=(source,), outputs=(made,), name=made)


def entry(name: str, shape: tuple[int, ...] = (1, 2, 1, 3), **more: Any) -> Any:
    return SimpleNamespace(name=name, scale=0.5, shape=shape, type="s8", **more)


HOST = (step("Reshape", "b", "flat"), step("Transpose", "d", "turned"), step("Softmax", "a", "p"))
META: Any = SimpleNamespace(
    outputs=[entry("a"), entry("b"), entry("d")],
    tensors=[entry(name) for name in "xabd"],
    host=HOST,
    graph_outputs=("a", "flat", "turned", "p"),
)
A, B, D = (np.arange(6, dtype=np.int8).reshape(1, 2, 1, 3) + 10 * n for n in range(3))
FINISHED = {
    "a": A * 0.5,
    "flat": (B * 0.5).reshape(1, 6),
    "turned": (D * 0.5).transpose(0, 3, 2, 1),
    "p": np.full((1, 2), 0.5, np.float32),
}


@pytest.mark.parametrize(("frame", "number"), [(None, ""), (2, ".2")])
def test_files_of_a_frame(frame: int | None, number: str) -> None:
    """Of what the host reshapes the text has its shape; of what it turns, scripts read the turned.

    What it computes is an array, and what is asked for besides is as the chip has it.
    """
    tensors = {"x": A + 50, "d": D, "b": B}
    found = {
        name: (tensor, data)
        for tensor, name, data in run._files(
            META, {"a": A, "b": B, "d": D}, FINISHED, tensors, {"d", "x"}, frame
        )
    }
    flat = B.reshape(1, 6, 1, 1)
    turned = D.transpose(0, 3, 2, 1)

    def told(name: str, tensor: str, values: Array, text: Array | None = None) -> dict[str, Any]:
        return {
            f"result-{name}{number}_p.txt": (tensor, chw_text(values if text is None else text)),
            f"result-{name}{number}_hwc.txt": (tensor, hwc_text(values)),
            f"result-{name}{number}.npy": (tensor, npy_bytes(values)),
        }

    wanted = {
        **told("a", "a", A),
        **told("flat", "flat", B, flat),
        f"result-d{number}.npy": ("d", npy_bytes(D)),
        f"result-turned{number}_p.txt": ("turned", chw_text(turned)),
        f"result-host-turned{number}.npy": ("turned", npy_bytes(FINISHED["turned"])),
        f"result-host-p{number}.npy": ("p", npy_bytes(FINISHED["p"])),
        **told("debug-x", "x", A + 50),
        **told("debug-d", "d", D),
    }
    assert found == {
        name: (tensor, data.encode() if isinstance(data, str) else data)
        for name, (tensor, data) in wanted.items()
    }


@pytest.mark.parametrize(
    ("debug", "names"), [(None, ""), ("all", "a b d x"), ("d", "d"), ("flat", None), ("c", None)]
)
def test_tensors_that_are_asked_for(debug: str | None, names: str | None) -> None:
    if names is None:
        with pytest.raises(UsageError, match=f"has no materialised tensor called {debug}"):
            run._debug_names(debug, META)
    else:
        assert run._debug_names(debug, META) == set(names.split())


@pytest.mark.parametrize(
    ("shape", "guesses"),
    [((1, 7), 5), ((1, 3), 3), ((7,), 0), ((1, 7, 1, 1), 5), ((1, 7, 2, 1), 0), ((1, 1), 0)],
)
def test_the_best_five_where_every_score_is_a_class(shape: tuple[int, ...], guesses: int) -> None:
    """Of equal ones the first goes first; with labels any output is one of scores."""
    scores = np.arange(np.prod(shape)).reshape(shape) // 2 * 1.0
    found = run._best(scores, None)
    assert len(found) == guesses
    if shape == (1, 7):
        assert [(g.label, g.index, g.score) for g in found] == [
            (None, 6, 3.0), (None, 4, 2.0), (None, 5, 2.0), (None, 2, 1.0), (None, 3, 1.0)
        ]  # fmt: skip
    named = run._best(scores, ["zero", "one", "two"])
    assert [g.label for g in named[:2]] == {
        (1, 3): ["two", "zero"], (1, 1): ["zero"], (1, 7, 2, 1): ["12", "13"],
    }.get(shape, ["6", "4"])  # fmt: skip


def test_labels_that_do_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "l.txt"
    warned: list[str] = []

    def check(text: str, count: int, scores: int) -> None:
        path.write_text(text)
        run._check_labels(path, count, scores, Talk(warn=warned.append))

    check("a\nb\n", 2, 2)
    assert warned == []
    check("a\nb\n", 2, 3)
    assert len(warned) == 1
    assert warned[0].startswith(f"{path} names 2 classes, but the network gives 3 scores: ")


# ------------------------------------------------------------------ bytes that are compared


class Session:
    """Answers with these values in the order of the names."""

    def __init__(self, values: dict[str, Array]) -> None:
        self.values = values

    def run(self, names: list[str], inputs: Any) -> list[Array]:
        assert list(inputs) == ["x"]
        return [self.values[name] for name in names]


def compared(tensors: dict[str, Array], outputs: dict[str, Array]) -> tuple[int, int, list[str]]:
    wide = np.asarray([[1, 256, 3]], np.int16)
    session = Session({"a": A, "y": wide})
    golden = GoldenReference(("x", "a", "y"), frozenset("x"), cast("Any", session))
    return golden.compare({"x": B}, {"x": B, "a": A, "y": wide, **tensors}, outputs)


def test_bytes_that_differ_from_the_golden_model() -> None:
    """Of inputs, of what was made and of what is delivered; a byte counts once; order of names."""
    wide = np.asarray([[1, 256, 3]], np.int16)
    assert compared({}, {"y": wide}) == (6 + 6 + 6, 0, [])
    assert compared({}, {"y": wide + np.int16(1)}) == (18, 3, ["y"])
    assert compared({"y": wide + np.int16(1)}, {"y": wide + np.int16(256)}) == (18, 6, ["y"])
    assert compared({"y": wide + np.int16(1)}, {"y": wide + np.int16(1)}) == (18, 3, ["y"])
    assert compared({"a": A + np.int8(1), "x": B * np.int8(0)}, {}) == (18, 12, ["x", "a"])
    with pytest.raises(MachineError, match=r"a is int8 \(6,\) in the program and int8 \(1, 2, 1"):
        compared({"a": A.reshape(-1)}, {})
    with pytest.raises(MachineError, match=r"y is uint16 \(1, 3\) in the program and int16"):
        compared({"y": wide.astype(np.uint16)}, {})


# ------------------------------------------------------------------ recipes


def test_recipes_of_pictures() -> None:
    """As named, or the one in the .cfg; in integers the network does the rest itself."""
    raw, own = load_recipe("raw"), load_recipe("imagenet")
    plain: Any = SimpleNamespace(inputs=[entry("x")], recipe=own.text)
    pixels = SimpleNamespace(inputs=[SimpleNamespace(type="u8", scale=1)], recipe=None)
    halves = SimpleNamespace(inputs=[SimpleNamespace(type="u8", scale=0.5)], recipe=None)
    assert frames.recipe_of(plain, None).text == own.text
    assert frames.recipe_of(plain, "raw").text == raw.text
    assert frames.recipe_of(cast("Any", pixels), "imagenet").text == own.raw().text != own.text
    assert frames.recipe_of(cast("Any", halves), "imagenet").text == own.text
    with pytest.raises(UsageError, match="quantized without a recipe"):
        frames.recipe_of(cast("Any", pixels), None)
    warned: list[str] = []
    for named, stored in (("raw", own.text), ("raw", raw.text), (None, own.text), ("raw", None)):
        meta: Any = SimpleNamespace(inputs=[entry("x")], recipe=stored)
        frames._warn_of_another_recipe(named, meta, Talk(warn=warned.append))
    assert len(warned) == 1
