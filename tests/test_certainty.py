"""The error bar of a predicted time: what it rests on, where it says that it may not hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from knightlite import chip_files
from knightlite.api.checking import check, check_all
from knightlite.api.chips.evidence import evidence_for
from knightlite.chip import FITTED_FACTS, TIMING_FACTS, Evidence
from knightlite.options.inspection import CheckOptions
from knightlite.profiler import Certainty, certainty, rounded
from onnx_nets import Net

HELD = Evidence(15, "B", ("a", "b", "c"), 0, ("Conv", "Add"))
BAR = "\u00b1 15 %, from 3 networks on one board"


@pytest.mark.parametrize(
    ("evidence", "level", "operators", "assumed", "reasons"),
    [
        ((HELD, True), 0, ["Conv", "Conv+Add", "Conv"], [], ()),
        ((HELD, True), 0, [], [], ()),
        ((HELD, False), 0, ["Conv"], [], ("T itself was never measured",)),
        ((HELD, True), 1, ["Conv"], [], ("boards ran schedule level 0, this is 1",)),
        ((HELD, True), 0, ["Mul+Conv", "Mul"], [], ("no measured network has Mul",)),
        ((HELD, True), 0, ["A", "B", "C"], [], ("no measured network has A, B, C",)),
        ((HELD, True), 0, ["A+B", "C", "D", "E"], [],
         ("no measured network has A, B, C and 2 more",)),
        ((HELD, True), 0, ["Conv"], ["clock_hz"], ("clock_hz is assumed",)),
        ((HELD, True), 0, ["Conv"], ["vector_lanes", "fspm_banks"],
         ("vector_lanes, which is fitted to boards, is assumed: the bar no longer holds",
          "fspm_banks is assumed")),
        ((HELD, False), 2, ["Add", "Mul"], ["x", "y"],
         ("T itself was never measured", "boards ran schedule level 0, this is 2",
          "no measured network has Mul",
          "x is assumed", "y is assumed")),
    ],
)  # fmt: skip
def test_what_the_bar_does_not_cover(
    evidence: tuple[Evidence, bool],
    level: int,
    operators: list[str],
    assumed: list[str],
    reasons: tuple[str, ...],
) -> None:
    found = certainty(evidence, "T", level, operators, assumed)
    assert found == Certainty(15, 3, "B", reasons)
    assert found is not None
    wanted = f"{BAR}, extrapolated: {'; '.join(reasons)}" if reasons else BAR
    assert found.sentence == wanted


def test_fitted_facts_are_those_that_the_measured_chip_calls_fitted() -> None:
    provenance = chip_files.find("TX5368AV200").provenance
    fitted = {fact for fact, where in provenance.items() if where.source == "fitted"}
    assert fitted == set(FITTED_FACTS) <= set(TIMING_FACTS)


def test_without_evidence_nothing_is_said() -> None:
    assert certainty(None, "T", 0, ["Conv"]) is None


@pytest.mark.parametrize(
    ("value", "percent", "wanted"),
    [
        (687.0, 15, 690), (1456.2, 15, 1500), (0.0123456, 15, 0.012), (9.96, 15, 10),
        (687.4, 4, 687), (687.4, None, 687.4), (0.0, 15, 0), (95.5, 5, 96),
    ],
)  # fmt: skip
def test_digits_that_the_bar_allows(value: float, percent: int | None, wanted: float) -> None:
    assert rounded(value, percent) == wanted


def test_only_families_that_were_measured_have_evidence_of_their_own() -> None:
    """All others have that of the chip that is taken unasked, not of whichever comes first."""
    measured = [item for item in chip_files.families() if item.evidence is not None]
    assert [item.family for item in measured] == ["RK3588-like", "TX5368"]
    other, one = measured
    assert evidence_for(other) == (other.evidence, True)
    assert evidence_for(one) == (one.evidence, True)
    assert evidence_for(chip_files.find("TX5112CV201")) == (one.evidence, False)
    assert evidence_for(None) == (one.evidence, False)  # a chip file of the user's
    assert one.evidence is not None
    assert one.evidence.error_percent <= 25


def test_check_predicts_for_every_family_at_once(tmp_path: Path) -> None:
    net = Net()
    net.input("x", (1, 3, 16, 16))
    net.conv("x", "a", (8, 3, 3, 3))
    net.node("MaxPool", ["a"], "m", kernel_shape=[2, 2])
    net.node("Sigmoid", ["m"], "y")
    path = net.save(tmp_path, "y")
    found = check_all(CheckOptions(model=path, chip="all"))
    assert [item.chip for item in found] == [item.names[0] for item in chip_files.families()]
    for item in found:
        alone = check(CheckOptions(model=path, chip=item.chip))
        assert alone == item
        assert item.fits == (item.latency is not None)
        if item.latency is not None:
            assert item.latency.frame.latency_ms > 0
            assert item.latency.frame.certainty is not None
            percent = item.latency.frame.certainty.percent
            assert item.latency.rounded_ms == rounded(item.latency.frame.latency_ms, percent)
            never = f"{item.chip} itself was never measured"
            measured = item.chip in ("TX5368AV200", "RK3588-like")
            assert (never in item.latency.frame.certainty.extrapolated) is not measured


def test_skipped_zeros_are_extrapolated() -> None:
    held = chip_files.find("TX5368AV200").evidence
    assert held is not None
    found = certainty((held, True), "T", held.schedule_level, ["Conv"], skips_zeros=True)
    assert found is not None
    assert found.extrapolated == ("no measured program skips blocks of zeros",)
