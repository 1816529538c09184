"""What only some pictures excite: named with pictures and numbers, and mended."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from float_nets import RELU, FloatNet
from knightlite import dtypes
from knightlite.diagnosis import Diagnosis, causes, diagnose, places
from knightlite.diagnosis.rare_causes import rare_suspects
from knightlite.ir import Graph, Tensor
from knightlite.quantize.pipeline import quantize_graph
from knightlite.quantize.settings import Settings
from test_output_scales import loud, spotted, stream

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
        ([1.0] * 20 + [30.0], 61.0),  # a range that nobody needs has another name
    ],
)
def test_what_is_no_exception_is_no_suspect(peaks: list[float], limit: float) -> None:
    expected = 1 if peaks.count(9.0) == 1 else 0
    assert len(suspects(peaks, limit)) == expected


def test_a_range_between_loud_pictures_and_the_others_serves_neither() -> None:
    peaks = [1.0] * 20
    peaks[7] = 9.0
    (found,) = suspects(peaks, 5.0)
    assert found.sentence == (
        "picture 8 of 20 reaches 9, where the middle one reaches 1, and the range of 5 serves "
        "neither: 2.3 bits less for all others, and what is rare is cut off"
    )
    assert found.badness == pytest.approx(-6.02 * np.log2(5))


def test_it_follows_those_whom_its_largest_bit_is_for() -> None:
    """However many are somewhat louder than the middle picture."""
    peaks = [1.0] * 11 + [3.0] * 7 + [6.0] * 2
    (found,) = suspects(peaks, 8.0)
    assert found.facts["pictures"] == [19, 20]
    assert found.sentence.endswith("the range of 8 follows them: 3.0 bits less for all others")


class Data:
    """Pictures one by one."""

    description = "pictures"

    def __init__(self, pictures: Array) -> None:
        self.pictures = pictures

    def run(self, forward: Any) -> float | None:
        for picture in self.pictures:
            forward((picture[None],))
        return None


def diagnosed(graph: Graph, pictures: Array, output_scales: bool) -> Diagnosis:
    settings = Settings(output_scales=output_scales, equalize=False, bias_correction="fast")
    made = quantize_graph(graph, Data(pictures), settings, threads=1)
    return diagnose(graph, made.graph, Data(pictures), settings, threads=1)


def test_what_is_rare_and_right_as_it_is_is_told() -> None:
    """The scales that the outputs want cut the loud pictures off, for which nobody asks."""
    found = diagnosed(stream(heard=0.0), loud(32), output_scales=True)
    assert found.healthy
    (said, _) = found.rare
    assert said == found.remarks[1]
    assert said.startswith(
        "rare strong activations at stem: pictures 20, 12, 4, 28 of 32 reach 104.3, where the "
        "middle one reaches 5.455, and the range of 7.918 cuts off what is rare; so at one.sum, "
        "two.sum; not quantized there, the outputs would keep "
    )
    assert said.endswith(
        " dB more, but none of the other ranges that were tried gives them 1 dB: at 8 bits it is "
        "best left as it is."
    )
    assert found.remarks[0] == "no cause found that another range mends; what stands out follows."


def test_what_another_range_mends_is_found_however_healthy_it_looks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(places, "CAUSE_DB", 10.0)
    pictures = loud(32)
    pictures[:, 3] *= 0.15
    found = diagnosed(stream(heard=0.0), pictures, output_scales=False)
    assert (found.score.sqnr_db or 0) > 25
    (finding,) = found.findings
    assert (finding.cause, found.rare) == (causes.RARE, ())
    assert 1 < (finding.cost_db or 0) < 10
    assert finding.remedies[0].switch == "quant --output-scales on"
    assert finding.remedies[0].gain_db > 1
    monkeypatch.setattr(places, "RARE_DB", 10.0)
    assert diagnosed(stream(heard=0.0), pictures, output_scales=False).findings == ()


def test_rare_positives_that_are_clipped_are_found_and_mended() -> None:
    """A score map that finds spots, which two pictures of 34 hold."""
    net = FloatNet("spots", seed=3)
    net.input("x", 4, 32, 32)
    net.conv("x", "stem", 8, weights=np.abs(net.rng.normal(0, 0.5, (8, 4, 1, 1))), clamp=RELU)
    graph = net.build(net.conv("stem", "score", 2, weights=np.full((2, 8, 1, 1), 0.3)))
    rest = spotted(64, seed=1)[1::2]
    pictures = np.concatenate([rest[:16], 4 * spotted(4)[::2], rest[16:]])
    found = diagnosed(graph, pictures, output_scales=False)
    (finding,) = (item for item in found.findings if item.cause == causes.RARE)
    assert finding.facts["pictures"] == [17, 18]
    assert "serves neither: 3.5 bits less for all others, and what is rare" in finding.sentence
    gains = {item.switch: item.gain_db for item in finding.remedies}
    assert gains["quant -qm min_max"] > 10
    assert gains["quant --output-scales on"] > 10


def test_a_stream_that_loud_pictures_made_coarse_is_found_and_mended() -> None:
    """Tensors and pictures are named, and the switch that helps."""
    found = diagnosed(stream(heard=0.0), loud(32), output_scales=False)
    rare = [item for item in found.findings if item.cause == causes.RARE]
    assert rare
    assert {4, 12, 20, 28} <= set(rare[0].facts["pictures"])
    switches = {item.switch: item.gain_db for finding in rare for item in finding.remedies}
    assert switches["quant --output-scales on"] > 6
