"""What only some pictures excite: named with pictures and numbers, and mended."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from float_nets import FloatNet
from knightlite import dtypes
from knightlite.diagnosis import causes, diagnose
from knightlite.diagnosis.rare_causes import rare_suspects
from knightlite.ir import Graph, Tensor
from knightlite.quantize.pipeline import quantize_graph
from knightlite.quantize.settings import Settings
from test_output_scales import loud, stream

Array = NDArray[Any]


def chain() -> Graph:
    net = FloatNet()
    net.conv(net.input("x", 1, 4, 4), "a", 1)
    return net.build(net.conv("a", "y", 1))


def suspects(peaks: list[float], limit: float) -> list[causes.Suspect]:
    """Of tensor a with these peaks and a range to ``limit``; the others are even."""
    graph = chain()
    scales = {name: 1.0 for name in ("x", "a", "y")} | {"a": limit / 127}
    fixed = [
        Tensor(name, graph.tensors[name].shape, dtypes.S8, np.asarray(scale, np.float32))
        for name, scale in scales.items()
    ]
    even = np.full(len(peaks), 100.0)
    found = {"x": even, "a": np.asarray(peaks), "y": even}
    return rare_suspects(graph, graph.with_tensors(fixed), found)


def test_a_range_that_follows_loud_pictures_is_told_with_their_numbers() -> None:
    peaks = [1.0] * 20
    peaks[4], peaks[11] = 8.0, 9.0
    (found,) = suspects(peaks, 8.0)
    assert (found.cause, found.layer, found.tensors) == (causes.RARE, "a", ("a",))
    assert found.sentence == (
        "pictures 12, 5 of 20 reach 9, where the middle one reaches 1, and the range of 8 follows "
        "them: 3.0 bits less for all others"
    )
    assert found.facts["pictures"] == [5, 12]
    assert found.badness == pytest.approx(-18.06)


def test_what_is_rare_and_clipped_is_told_with_its_numbers() -> None:
    peaks = [1.0] * 20
    peaks[7] = 6.0
    (found,) = suspects(peaks, 1.5)
    assert found.sentence == (
        "picture 8 of 20 reaches 6, where the middle one reaches 1, and the range of 1.5 cuts off "
        "what is rare"
    )
    assert found.facts["pictures"] == [8]


@pytest.mark.parametrize(
    ("peaks", "limit"),
    [
        ([1.0] * 20, 1.0),
        ([1.0] * 15 + [9.0] * 5, 9.0),  # a quarter is no exception
        ([1.0] * 19 + [9.0], 1.9 * 1.0 * 9.1),  # clipped by nothing, but follows: see below
        ([2.0] * 19 + [8.0], 1.5),  # the middle one is clipped too
        ([0.0] * 20, 1.0),
    ],
)
def test_what_is_no_exception_is_no_suspect(peaks: list[float], limit: float) -> None:
    expected = 1 if peaks.count(9.0) == 1 else 0
    assert len(suspects(peaks, limit)) == expected


def test_a_stream_that_loud_pictures_made_coarse_is_found_and_mended() -> None:
    """Tensors and pictures are named, and the switch that helps."""
    graph = stream(heard=0.0)

    class Data:
        description = "one loud picture of eight"

        def run(self, forward: Any) -> float | None:
            for picture in loud(32):
                forward((picture[None],))
            return None

    settings = Settings(output_scales=False, equalize=False, bias_correction="fast")
    made = quantize_graph(graph, Data(), settings, threads=1)
    found = diagnose(graph, made.graph, Data(), settings, threads=1)
    rare = [item for item in found.findings if item.cause == causes.RARE]
    assert rare
    assert {4, 12, 20, 28} <= set(rare[0].facts["pictures"])
    switches = {item.switch: item.gain_db for finding in rare for item in finding.remedies}
    assert switches["quant --output-scales on"] > 6
