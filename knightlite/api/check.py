"""``check``: can this model run on that chip? Every unsupported or doubtful node at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from knightlite.errors import Finding


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Findings and sizes. ``macs``: of one picture; ``operators``: type -> (all, done)."""

    name: str
    chip: str
    findings: tuple[Finding, ...]
    operators: Mapping[str, tuple[int, int]]
    macs: int
    npu_macs: int
    parameters: int
    host: tuple[str, ...]

    @property
    def fits(self) -> bool:
        """True where nothing keeps the model off the chip."""
        return not any(item.severity == "error" for item in self.findings)


def check(
    model: Path,
    chip_name: str,
    weight: Path | None = None,
    framework: str | None = None,
    input_shapes: tuple[tuple[int, ...], ...] = (),
    general_process: bool = False,
) -> CheckResult:
    """Survey a float model and the limits of a chip's engines."""
    from knightlite import chip
    from knightlite.frontend import survey
    from knightlite.lower import limit_findings

    family = chip.find(chip_name)
    shapes = list(input_shapes) if input_shapes else None
    found = survey(model, weight, framework, shapes, general_process)
    findings = list(found.findings)
    host: tuple[str, ...] = ()
    if found.graph is not None:
        findings += limit_findings(found.graph, family.chip)
        host = tuple(op.op for op in found.graph.host)
    return CheckResult(
        found.name,
        chip_name,
        tuple(findings),
        {kind: (count.total, count.supported) for kind, count in found.operators.items()},
        found.macs,
        found.npu_macs,
        found.parameters,
        host,
    )
