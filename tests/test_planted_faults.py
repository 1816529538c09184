"""One thing changed in a sound program, checksums repaired: refused, noticed, or without effect.

The same judge over a thousand of them is part of ``make conformance``.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from knightlite.api.simulation import golden
from program_faults import NOTICED, PROGRAMS, REFUSED, SAME, WRONG, Bench, Fault, faults, reason

COUNT = 10  # of each program


@pytest.mark.parametrize("level", [0, 1])
@pytest.mark.parametrize("name", PROGRAMS)
def test_nothing_is_wrong_and_unnoticed(name: str, level: int, tmp_path: Path) -> None:
    bench = Bench(name, tmp_path, level)
    assert bench.judge(Fault("none", "", bench.program)) == SAME
    seen = []
    for _, fault in zip(range(COUNT), faults(bench.program, seed=5), strict=False):
        verdict = bench.judge(fault)
        assert verdict != WRONG, (fault.kind, fault.what)
        assert verdict != SAME or reason(fault, bench.program)
        seen.append(verdict)
    assert {REFUSED, NOTICED} & set(seen)


def test_the_judge_would_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without one of the comparisons, faults of its kind come through and are called wrong."""
    bench = Bench("tail", tmp_path)
    scales = [item for item in _of_kind(bench, "tensor", 300) if item.what.startswith("scale of y")]
    assert {bench.judge(item) for item in scales[:2]} == {NOTICED}
    monkeypatch.setattr(golden, "_require_same_interface", lambda *_: None)
    assert {bench.judge(item) for item in scales[:2]} == {WRONG}


def _of_kind(bench: Bench, kind: str, count: int) -> list[Fault]:
    found = zip(range(count), faults(bench.program, seed=1), strict=False)
    return [fault for _, fault in found if fault.kind == kind]
