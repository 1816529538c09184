"""The error bar of a predicted time: what it rests on, where it says that it may not hold."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from knightlite import chip_files
from knightlite.api.checking import check, check_all
from knightlite.api.chips.evidence import evidence_for
from knightlite.chip import FITTED_FACTS, TIMING_FACTS, Evidence, Held, own_facts
from knightlite.options.inspection import CheckOptions
from knightlite.profiler import Certainty, certainty, plain, rounded
from onnx_nets import Net

HELD = Evidence(15, "B", ("a", "b", "c"), 0, ("Conv", "Add"))
BAR = "\u00b1 15 %, from 3 networks on one board"


@pytest.mark.parametrize(
    ("evidence", "level", "operators", "assumed", "reasons"),
    [
        (Held(HELD, True), 0, ["Conv", "Conv+Add", "Conv"], [], ()),
        (Held(HELD, True), 0, [], [], ()),
        (Held(HELD, False), 0, ["Conv"], [], ("T itself was never measured",)),
        (Held(HELD, True), 1, ["Conv"], [], ("boards ran schedule level 0, this is 1",)),
        (Held(HELD, True), 0, ["Mul+Conv", "Mul"], [], ("no measured network has Mul",)),
        (Held(HELD, True), 0, ["A", "B", "C"], [], ("no measured network has A, B, C",)),
        (Held(HELD, True), 0, ["A+B", "C", "D", "E"], [],
         ("no measured network has A, B, C and 2 more",)),
        (Held(HELD, True), 0, ["Conv"], ["clock_hz"], ("clock_hz is assumed",)),
        (Held(HELD, True), 0, ["Conv"], ["vector_lanes", "fspm_banks"],
         ("vector_lanes, which is fitted to boards, is assumed", "fspm_banks is assumed")),
        (Held(HELD, False, ("vector_lanes",)), 0, ["Conv"], ["vector_lanes"],
         ("vector_lanes, which is fitted to boards, is assumed", "T itself was never measured")),
        (Held(HELD, False, ("vector_lanes",)), 0, ["Conv"], [],
         ("vector_lanes, which is fitted to boards, is T's own", "T itself was never measured")),
        (Held(HELD, False, ("vector_lanes", "fspm_banks")), 1, ["Conv"], [],
         ("vector_lanes, fspm_banks, which are fitted to boards, are T's own",
          "T itself was never measured", "boards ran schedule level 0, this is 1")),
        (Held(HELD, False), 2, ["Add", "Mul"], ["x", "y"],
         ("T itself was never measured", "boards ran schedule level 0, this is 2",
          "no measured network has Mul",
          "x is assumed", "y is assumed")),
    ],
)  # fmt: skip
def test_what_the_bar_does_not_cover(
    evidence: Held,
    level: int,
    operators: list[str],
    assumed: list[str],
    reasons: tuple[str, ...],
) -> None:
    found = certainty(evidence, "T", level, operators, assumed)
    fitted = not any("fitted" in reason for reason in reasons)
    assert found == Certainty(15 if fitted else None, 3, "B", reasons)
    assert found is not None
    wanted = f"{BAR}, extrapolated: {'; '.join(reasons)}" if reasons else BAR
    assert found.sentence == (wanted if fitted else f"without a bar: {'; '.join(reasons)}")


def test_a_chip_like_the_measured_one_has_its_bar_and_another_has_none() -> None:
    """In proportion to its lanes; the vendor's chips that ship are like it, others are not."""
    usual = chip_files.find("TX5368AV200").chip
    for family in chip_files.families():
        assert (own_facts(family.chip, usual) == ()) is not bool(family.model_of)
    assert own_facts(replace(usual, vector_lanes=16), usual) == ("vector_lanes",)
    assert own_facts(replace(usual, vector_lanes=16, matrix_output_lanes=128), usual) == ()
    assert own_facts(replace(usual, matrix_output_lanes=128), usual) == ("vector_lanes",)
    assert own_facts(replace(usual, dma_setup_cycles=0), usual) == ("dma_setup_cycles",)


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
        (687.4, 4, 687), (687.4, None, 690), (0.0, 15, 0), (0.0, None, 0), (95.5, 5, 96),
    ],
)  # fmt: skip
def test_digits_that_the_bar_allows(value: float, percent: int | None, wanted: float) -> None:
    assert rounded(value, percent) == wanted


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3e6, "3000000"), (1.3e6, "1300000"), (1.2e-5, "0.000012"), (0.0, "0"), (6.9, "6.9"),
        (690.0, "690"), (12.5, "12.5"), (1e20, "1" + 20 * "0"),
    ],
)  # fmt: skip
def test_no_power_of_ten_is_printed(value: float, text: str) -> None:
    assert plain(value) == text


def test_only_families_that_were_measured_have_evidence_of_their_own() -> None:
    """All others have that of the chip that is taken unasked, not of whichever comes first."""
    measured = [item for item in chip_files.families() if item.evidence is not None]
    assert [item.family for item in measured] == ["RK3588-like", "TX5368"]
    other, one = measured
    assert one.evidence is not None
    assert other.evidence is not None
    assert evidence_for(other) == Held(other.evidence, True)
    assert evidence_for(one) == Held(one.evidence, True)
    assert evidence_for(chip_files.find("TX5112CV201")) == Held(one.evidence, False)
    assert evidence_for(None) == Held(one.evidence, False)  # a chip file of the user's
    bench = chip_files.find("BENCH-1024")
    assert evidence_for(bench) == evidence_for(None, bench.chip)
    assert evidence_for(bench) == Held(one.evidence, False, FITTED_FACTS)
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
            wanted = rounded(item.latency.frame.latency_ms, percent)
            assert float(item.latency.frame.rounded_text) == wanted
            never = f"{item.chip} itself was never measured"
            measured = item.chip in ("TX5368AV200", "RK3588-like")
            assert (never in item.latency.frame.certainty.extrapolated) is not measured


def test_skipped_zeros_are_extrapolated() -> None:
    held = chip_files.find("TX5368AV200").evidence
    assert held is not None
    found = certainty(Held(held, True), "T", held.schedule_level, ["Conv"], skips_zeros=True)
    assert found is not None
    assert found.extrapolated == ("no measured program skips blocks of zeros",)
