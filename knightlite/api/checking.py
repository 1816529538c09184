"""``check``: can this model run on that chip? Every unsupported or doubtful node at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from knightlite.errors import Finding
from knightlite.talk import SILENT, Talk


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
    script: Path | None = None,
    paddle_python: str | None = None,
    torch_python: str | None = None,
    torch_exporter: str = "auto",
    talk: Talk = SILENT,
) -> CheckResult:
    """Survey a float model and the limits of a chip's engines; arguments as QuantizeOptions."""
    from knightlite import chip
    from knightlite.frontend import Conversion, survey
    from knightlite.lower import limit_findings

    family = chip.find(chip_name)
    shapes = list(input_shapes) if input_shapes else None
    conversion = Conversion(script, paddle_python, torch_python, torch_exporter, talk)
    found = survey(model, weight, framework, shapes, general_process, conversion)
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
