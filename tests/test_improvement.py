"""Steps are judged on pictures they were not tuned on; one that hurts is undone."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from float_nets import Pictures, small_net
from knightlite.inference import session
from knightlite.ir import Graph
from knightlite.onnx_models import write_float, write_qdq
from knightlite.quantize.choices import EFFORTS
from knightlite.quantize.pipeline import quantize_graph
from knightlite.quantize.settings import Settings, as_asked, settings_for
from knightlite.quantize.steps import improvement as steps
from knightlite.quantize.steps.improvement import (
    Step,
    Tune,
    improve,
    in_portions,
    left_out,
    made_of,
    sample_limit,
    too_dear,
)
from knightlite.quantize.steps.judgement import FEWEST, HALVES, JUDGES, Burden, StepResult
from knightlite.quantize.steps.walk import Constants, Errors, Layer, Walk

Array = NDArray[Any]
PICTURES = np.concatenate(Pictures(count=32).batches)


def start() -> tuple[Graph, Graph]:
    graph = small_net()
    settings = Settings(bias_correction="off")
    return graph, quantize_graph(graph, Pictures(), settings, threads=1).graph


def decibels(graph: Graph, quantized: Graph) -> float:
    """On pictures that nothing has seen."""
    fresh = np.random.default_rng(99).normal(0, 1, (64, 3, 12, 12)).astype(np.float32)
    names = [*graph.outputs, "logits"]
    exact = session(write_float(graph, ["logits"]), 1).run(None, {"x": fresh})
    fixed = session(write_qdq(quantized, {}, ["logits"]), 1).run(None, {"x": fresh})
    place = names.index("logits")
    noise = np.sum((exact[place].astype(np.float64) - fixed[place]) ** 2)
    return float(10 * np.log10(np.sum(exact[place].astype(np.float64) ** 2) / noise))


def test_what_is_kept_has_gained() -> None:
    graph, quantized = start()
    made, found = improve(graph, quantized, (PICTURES,), settings_for("high"), 1)
    assert [item.name for item in found] == ["sequential bias correction", "adaptive rounding"]
    for item in found:
        told = item.judgement
        assert told is not None
        assert told.pictures in (16, 32)
        assert told.error_db > 0
        least = -told.error_db if item.name == "adaptive rounding" else 0
        assert item.kept == (told.gain_db > least)
        assert item.sentence.startswith(f"{item.name}: {told.gain_db:+.2f} dB ± ")
        assert item.sentence.endswith("kept" if item.kept else "undone")
    assert any(item.kept for item in found)
    assert decibels(graph, made) > decibels(graph, quantized)


@pytest.mark.parametrize("first", [True, False, None])
@pytest.mark.parametrize("second", [True, False, None])
def test_what_the_model_has_is_told_of_steps(first: bool | None, second: bool | None) -> None:
    """Kept, undone or not tried; and the words that were asked for are found in it again."""
    settings = settings_for("high")
    results = [
        StepResult(step.name, None, kept, 0.0)
        for step, kept in zip(steps.steps_of(settings, small_net()), (first, second), strict=True)
        if kept is not None
    ]
    made = made_of(settings, results)
    said = {True: "", False: "undone", None: "not tried"}
    assert made == {
        "bias_correction": f"fast (sequential {said[first]})" if not first else "sequential",
        "rounding": f"nearest (adaptive {said[second]})" if not second else "adaptive",
    }
    fast = replace(settings, bias_correction="fast", rounding="nearest")
    assert made_of(fast, []) == {"bias_correction": "fast", "rounding": "nearest"}
    wide = replace(settings, bit_width=16)  # of which none is tried
    assert made_of(wide, []) == {
        "bias_correction": "fast (sequential not tried)",
        "rounding": "nearest (adaptive not tried)",
    }
    assert [as_asked(word) for word in made.values()] == ["sequential", "adaptive"]
    assert as_asked("off") == "off"


def test_what_is_not_tried_is_said() -> None:
    """Too few pictures, or too large a network for the effort; silence where steps were tried."""
    graph = small_net()
    normal, high, low = (settings_for(effort) for effort in ("normal", "high", "low"))
    name = "sequential bias correction"
    assert left_out(graph, normal, FEWEST) == left_out(graph, low, 1) == ""
    few = left_out(graph, high, FEWEST - 1)
    assert few == f"{name} and adaptive rounding: not tried, which takes 16 pictures or more"
    slow = replace(normal, sample_macs=1 << 18)
    assert sample_limit(graph, slow) == 1
    said = left_out(graph, slow, sample_limit(graph, slow))
    assert said == too_dear(name, graph, slow, FEWEST)
    assert said.startswith(f"{name}: not tried, 16 pictures of 0.0 G multiply-accumulates take 0 G")
    assert said.endswith("and 0 G are all that this effort affords")


def plant(monkeypatch: pytest.MonkeyPatch, tune: Tune) -> None:
    """Let a step be all that is tried, on any number of pictures."""
    step = Step("spoiling", tune, Burden.OPEN, lambda quantized, memory: 1 << 20)
    monkeypatch.setattr(steps, "steps_of", lambda settings, graph: (step,))


def test_where_half_of_the_pictures_leave_it_open_all_of_them_judge(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is judged on a picture was not tuned on it; what is kept is tuned on all."""
    tuned: list[list[int]] = []
    judged: list[list[int]] = []
    clear = (Errors(*np.full((4, 16), 1.0)),)
    shaky = (Errors(*np.exp(np.random.default_rng(2).normal(-0.1, 1, (4, 16)))),)

    def tune(walk: Walk, fixed: Graph, some: slice) -> Graph:
        tuned.append([*range(32)[some]])
        return fixed.with_constants({})

    def errors(walk: Walk, graph: Graph, fixed: Graph, some: slice) -> tuple[Errors, ...]:
        judged.append([*range(32)[some]])
        return clear if fixed is quantized else shaky

    plant(monkeypatch, tune)
    monkeypatch.setattr(steps, "output_errors", errors)
    graph, quantized = start()
    _, (result,) = improve(graph, quantized, (PICTURES,), Settings(), 1)
    assert result.judgement is not None
    assert result.judgement.pictures == 64  # the planted errors are those of 16
    assert judged[::2] == judged[1::2]
    assert sorted(place for some in judged[::2] for place in some) == [*range(32)]
    for half, some in zip(tuned, (judged[:4], judged[4:]), strict=False):
        assert not {*half} & set().union(*some)
    assert result.kept == (tuned[2:] == [[*range(32)]])
    shaky = (Errors(*np.full((4, 16), 0.5)),)  # now it is clear
    tuned.clear()
    _, (result,) = improve(graph, quantized, (PICTURES,), Settings(), 1)
    assert result.judgement is not None
    assert (len(tuned), result.judgement.pictures, result.kept) == (1, 16, True)


def test_a_step_that_hurts_is_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    def spoil(layer: Layer) -> Constants | None:
        if layer.node.op != "Conv":
            return None
        name = layer.node.inputs[1]
        return {name: -layer.graph.constants[name]}

    plant(monkeypatch, lambda walk, fixed, some: walk.run(fixed, spoil, pictures=some).graph)
    graph, quantized = start()
    made, (result,) = improve(graph, quantized, (PICTURES,), Settings(), 1)
    assert made is quantized
    assert not result.kept
    assert result.judgement is not None
    assert result.judgement.after_db < 10 < result.judgement.before_db
    assert result.judgement.gain_db < -10
    assert result.sentence.endswith("undone")


def test_too_few_pictures_are_no_judge() -> None:
    graph, quantized = start()
    made, found = improve(graph, quantized, (PICTURES[: FEWEST - 1],), Settings(), 1)
    assert made is quantized
    assert found == ()


def test_the_sample_is_bounded_by_its_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = small_net()
    picture = 4 * graph.tensors["x"].elements
    for held, wanted in ((40, 40), (1000, Settings().sample), (3, FEWEST)):
        monkeypatch.setattr(steps, "SAMPLE_BYTES", held * picture)
        assert sample_limit(graph, Settings()) == wanted


def test_the_sample_is_bounded_by_what_it_costs() -> None:
    graph = small_net()
    assert sample_limit(graph, settings_for("low")) == 1
    assert sample_limit(graph, Settings()) == Settings().sample
    assert sample_limit(graph, Settings(sample_macs=1)) == 1
    macs = 10**9
    for wanted in (100 * macs, 10 * macs):
        assert sample_limit(graph, Settings(sample_macs=wanted)) <= Settings().sample


@pytest.mark.parametrize("effort", sorted(EFFORTS))
def test_efforts_are_settings_and_switches_go_first(effort: str) -> None:
    assert settings_for(effort, method=None) == settings_for(effort)
    assert settings_for(effort, rounding="nearest").rounding == "nearest"
    assert settings_for(effort, bias_correction="off").bias_correction == "off"


def test_the_report_tells_the_steps() -> None:
    result = quantize_graph(small_net(), Pictures(count=32), threads=1)
    names = [step["name"] for step in result.report["steps"]]
    assert names == ["cross-layer equalization", "sequential bias correction"]
    for step in result.report["steps"]:
        assert set(step) == {
            "name", "before_db", "after_db", "gain_db", "gain_error_db", "judged", "kept",
        }  # fmt: skip
    again = quantize_graph(small_net(), Pictures(count=32), threads=1)
    assert again.report == result.report


@pytest.mark.parametrize(
    ("count", "step", "portions"),
    [(2 * JUDGES - 1, 1, 1), (2 * JUDGES, 1, 2), (4 * JUDGES - 1, 2, 2), (4 * JUDGES - 2, 2, 1)],
)
def test_half_of_the_pictures_judge_where_they_are_enough(
    count: int, step: int, portions: int
) -> None:
    """Every other one first, then the rest; together all of them, each once."""
    half = slice(0, None, step)
    found = in_portions(count, half)
    assert len(found) == portions
    parts = [list(range(count)[part]) for part in found]
    assert parts[0] == list(range(0, count, step * portions))
    assert sorted(place for part in parts for place in part) == list(range(count)[half])


def test_each_half_judges_what_was_tuned_on_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the first leaves it open; kept, it is tuned on all of them."""
    tuned: list[slice] = []
    judged: list[tuple[str, slice]] = []

    class Open:
        def is_clear(self, burden: Any) -> bool:
            return False

        def is_open(self, burden: Any) -> bool:
            return True

        def kept(self, burden: Any) -> bool:
            return True

    def tune(walk: Any, quantized: Any, some: slice) -> str:
        tuned.append(some)
        return f"tuned {len(tuned)}"

    step = SimpleNamespace(name="s", burden=None, most=lambda *_: 99, tune=tune)
    monkeypatch.setattr(steps, "steps_of", lambda *_: [step])
    monkeypatch.setattr(steps, "_affords", lambda *_: True)
    monkeypatch.setattr(steps, "Walk", lambda *_: SimpleNamespace(count=2 * JUDGES))
    monkeypatch.setattr(steps, "judge", lambda *_: Open())
    monkeypatch.setattr(steps, "over_folds", lambda parts: ())

    def errors(walk: Any, graph: Any, some: str, at: slice) -> tuple[()]:
        judged.append((some, at))
        return ()

    monkeypatch.setattr(steps, "output_errors", errors)
    nothing: Any = None
    start: Any = "plain"
    made: Any
    made, (result,) = improve(nothing, start, (), Settings(), 1)
    one, other = HALVES
    assert tuned == [
        slice(half.start or 0, 2 * JUDGES, half.step or 1) for half in (one, other, slice(None))
    ]
    assert [name for name, _ in judged] == ["plain", "tuned 1", "plain", "tuned 2"]
    assert [half for _, half in judged] == [other, other, one, one]
    assert (made, result.kept) == ("tuned 3", True)
