"""What is recorded is given back for the same inputs only, and never beyond the limit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from float_nets import Pictures, small_net
from knightlite import inference
from knightlite.quantize.pipeline import quantize_graph
from knightlite.quantize.statistics import passes, recording
from knightlite.quantize.statistics.passes import compare, observe
from knightlite.quantize.statistics.recording import Recording

Array = NDArray[Any]


def call(seed: int) -> tuple[tuple[Array, ...], dict[str, Array]]:
    rng = np.random.default_rng(seed)
    outputs = {"a": (2, 3), "b": (1, 4, 2, 2)}
    made = {name: rng.standard_normal(shape, np.float32) for name, shape in outputs.items()}
    return (rng.standard_normal((2, 3, 4, 4), np.float32),), made


def test_each_call_comes_back_for_its_inputs() -> None:
    kept = Recording()
    calls = [call(seed) for seed in range(5)]
    for inputs, outputs in calls:
        kept.add(inputs, outputs)
    for index in (3, 0, 4, 4, 1):
        inputs, outputs = calls[index]
        found = kept.find(index, inputs)
        assert found is not None
        assert {name: item.tobytes() for name, item in found.items()} == {
            name: item.tobytes() for name, item in outputs.items()
        }
        assert all(found[name].shape == outputs[name].shape for name in outputs)


def test_other_inputs_and_calls_that_never_were_give_nothing() -> None:
    kept = Recording()
    inputs, outputs = call(0)
    kept.add(inputs, outputs)
    changed = inputs[0].copy()
    changed[-1, -1, -1, -1] += 1
    assert kept.find(0, (changed,)) is None
    assert kept.find(0, (inputs[0].reshape(1, 6, 4, 4),)) is None
    assert kept.find(1, inputs) is None
    assert kept.find(0, inputs) is not None


def test_the_file_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "LIMIT_BYTES", 200)  # one call has 88 bytes
    kept = Recording()
    calls = [call(seed) for seed in range(4)]
    for inputs, outputs in calls:
        kept.add(inputs, outputs)
    there = [kept.find(index, inputs) is not None for index, (inputs, _) in enumerate(calls)]
    assert there == [True, True, False, False]


class Drawn(Pictures):
    """Pictures that are other ones in every run, as of a script that draws them at random."""

    def run(self, forward: Any) -> float | None:
        self.batches = [batch[::-1] + np.float32(0.01) for batch in self.batches]
        return super().run(forward)


@pytest.mark.parametrize("limit", [recording.LIMIT_BYTES, 0], ids=["recorded", "run again"])
def test_the_second_pass_needs_no_float_model(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recorded or run again, the comparison is the same; only one of them runs the model."""
    expected = quantize_graph(small_net(), Pictures(), threads=1).report["outputs"]
    monkeypatch.setattr(recording, "LIMIT_BYTES", limit)
    graph = small_net()
    seen = observe(graph, Pictures(), None, 1)
    quantized = quantize_graph(graph, Pictures(), threads=1).graph
    made: list[object] = []

    def counted(*arguments: Any, **options: Any) -> Any:
        made.append(arguments)
        return write(*arguments, **options)

    write = inference.float_network
    monkeypatch.setattr(passes, "float_network", counted)
    found = compare(graph, quantized, Pictures(), seen.recording, None, 1)
    assert found.outputs == expected
    assert len(made) == (0 if limit else 1)


def test_pictures_drawn_anew_are_compared_with_their_own_float_outputs() -> None:
    """Against the outputs of other pictures the network would seem broken."""
    (output,) = quantize_graph(small_net(), Drawn(), threads=1).report["outputs"]
    assert output["sqnr_db"] > 25


class Reused(Pictures):
    """Pictures in one array that is filled anew for every call, as a loader may do."""

    def run(self, forward: Any) -> float | None:
        buffer = np.empty_like(self.batches[0])
        means = []
        for batch in self.batches:
            buffer[:] = batch
            means.append(float(forward((buffer,))[0].max(axis=-1).mean()))
            buffer[:] = 1e6
        return float(np.mean(means))


def test_an_array_that_the_caller_fills_anew_is_not_counted_twice() -> None:
    expected = quantize_graph(small_net(), Pictures(), threads=1).report
    assert quantize_graph(small_net(), Reused(), threads=1).report == expected
