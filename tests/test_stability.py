"""What quantization decides does not hang on the last bits of float kernels.

Processors have kernels of their own; they differ by some 1e-7 of a value. So what is decided on one
is to be decided on another: which steps are kept, widths, methods, and nearly every decibel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from float_nets import Pictures, small_net
from knightlite.inference import PictureRuns
from knightlite.inference.sessions import Session, kernels
from knightlite.ir import Graph
from knightlite.quantize.pipeline import QuantizeResult, quantize_graph
from knightlite.quantize.settings import settings_for
from test_equalizing import Data, uneven

Array = NDArray[Any]
NOISE = 1e-6  # relative, of every value that ONNX Runtime delivers


@pytest.fixture
def shaken(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Let float kernels round otherwise, by a seed."""
    run, run_bound = Session.run, PictureRuns._run

    def shake(seed: int) -> None:
        rng = np.random.default_rng(seed)

        def other(self: Session, names: Sequence[str] | None, feeds: Any) -> list[Array]:
            return [
                values * (1 + NOISE * rng.standard_normal(values.shape)).astype(np.float32)
                for values in run(self, names, feeds)
            ]

        def bound(self: PictureRuns, *given: Any) -> dict[str, Array]:
            found = run_bound(self, *given)
            return {
                name: values * (1 + NOISE * rng.standard_normal(values.shape)).astype(np.float32)
                for name, values in found.items()
            }

        monkeypatch.setattr(Session, "run", other)
        monkeypatch.setattr(PictureRuns, "_run", bound)

    return shake


def decided(result: QuantizeResult) -> dict[str, Any]:
    report = result.report
    return {
        "steps": [(step["name"], step["kept"]) for step in report["steps"]],
        "tensors": [(item["name"], item["type"], item["method"]) for item in report["tensors"]],
        "raises": [(item["node"], item["channel"]) for item in report["raises"]],
    }


# dB that may move: adaptive rounding goes on from what it rounded before, so that a weight which
# falls to the other side takes all after it along
@pytest.mark.parametrize(("effort", "moves"), [("low", 0.1), ("normal", 0.1), ("high", 1.0)])
@pytest.mark.parametrize(("network", "data"), [(small_net, Pictures), (lambda: uneven(60.0), Data)])
def test_last_bits_decide_nothing(
    network: Callable[[], Graph], data: Callable[..., Any], effort: str, moves: float,
    shaken: Callable[[int], None],
) -> None:  # fmt: skip
    settings = settings_for(effort, mix_budget=None)
    plain = quantize_graph(network(), data(count=28), settings, threads=1)
    for seed in range(2):
        shaken(seed)
        other = quantize_graph(network(), data(count=28), settings, threads=1)
        assert decided(other) == decided(plain)
        for mine, theirs in zip(plain.report["outputs"], other.report["outputs"], strict=True):
            assert abs(mine["sqnr_db"] - theirs["sqnr_db"]) <= moves


def test_the_kernels_are_named() -> None:
    tool, _, processor = kernels().partition(", ")
    assert tool.startswith("onnxruntime ")
    assert len(processor.split()) > 1
