"""Changed programs: none is wrong and unnoticed (``tests/program_faults.py``).

``FAULTS=85 SEED=1 make conformance K=program_faults``: so many of each program at each level.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from program_faults import MORE_PROGRAMS, NOTICED, PROGRAMS, REFUSED, SAME, Bench, faults, reason

pytestmark = pytest.mark.conformance

COUNT = int(os.environ.get("FAULTS", "250"))  # of each program at each level
SEED = int(os.environ.get("SEED", "2026"))


@pytest.mark.parametrize("level", [0, 1])
@pytest.mark.parametrize("name", PROGRAMS | MORE_PROGRAMS)
def test_planted_faults(
    name: str, level: int, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    bench = Bench(name, tmp_path, level)
    verdicts: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    wrong = []
    for _, fault in zip(range(COUNT), faults(bench.program, seed=SEED), strict=False):
        verdict = bench.judge(fault)
        verdicts[verdict] += 1
        if verdict == SAME:
            reasons[reason(fault, bench.program)] += 1
        elif verdict not in (REFUSED, NOTICED):
            wrong.append((fault.kind, fault.what))
    record_property("verdicts", dict(verdicts))  # --junit-xml FILE -o junit_family=xunit1
    record_property("without effect", dict(reasons))
    assert wrong == []
    assert verdicts[NOTICED] > COUNT // 20
    assert verdicts[REFUSED] > COUNT // 4
