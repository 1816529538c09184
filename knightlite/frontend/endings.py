"""What helps where the end of a network is not supported: -gp, or -on with the tensors to cut at.

Either is tried on the model before it is told.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from knightlite.errors import Finding
from knightlite.frontend.cut import cut
from knightlite.frontend.macs import node_macs
from knightlite.frontend.source import SourceModel, SourceNode

Runs = Callable[[SourceModel], bool]  # whether a model is supported, without -gp

BY_GENERAL = "-gp runs it and what follows it on the host"
LEAST_MACS_SHARE = (
    0.9  # of the MACs: where the NPU would do less, it is no remedy to cut the network
)


def advised(
    model: SourceModel, findings: Sequence[Finding], by_general: str, reason: str, runs: Runs
) -> tuple[Finding, ...]:
    """The findings, with a hint for those errors at nodes that have none.

    ``by_general``: what -gp does about them, where it helps; ``reason``: why the host is no way.
    """
    nodes = {node.name: node for node in model.nodes}
    errors = [item for item in findings if item.severity == "error"]
    at = [nodes[item.where] for item in errors if item.where in nodes]
    if len(at) < len(errors) or all(item.hint for item in errors):
        return tuple(findings)  # a wrong input or output stays wrong
    hint = by_general or _cut(model, at, runs)
    if not hint and reason:
        hint = f"the host cannot do it in the middle of the network either (-gp): {reason}"
    return tuple(
        replace(item, hint=hint) if item in errors and not item.hint else item for item in findings
    )


def _cut(model: SourceModel, unsupported: Sequence[SourceNode], runs: Runs) -> str:
    """-on with the tensors in front of these nodes and of all that follows them, or ""."""
    behind = {name for node in unsupported for name in node.outputs if name}
    left = {node.name for node in unsupported}
    for node in model.nodes:
        if behind & set(node.inputs):
            left.add(node.name)
            behind.update(filter(None, node.outputs))
    kept = [node for node in model.nodes if node.name not in left]
    made = {name for node in kept for name in node.outputs if name}
    read = [name for node in model.nodes if node.name in left for name in node.inputs]
    tensors = [
        *(name for name in model.outputs if name in made),
        *(name for name in dict.fromkeys(read) if name in made),
    ]
    if not tensors or any(name in model.inputs for name in read):
        return ""
    shorter = cut(model, tensors, Path(model.name))
    whole = sum(node_macs(model, node) for node in model.nodes)
    share = sum(node_macs(shorter, node) for node in shorter.nodes) / whole if whole else 0.0
    if share < LEAST_MACS_SHARE or not runs(shorter):
        return ""
    return (
        f"-on {' '.join(shorter.outputs)} ends the network in front of it, with {100 * share:.0f} "
        "% of the MACs; your program computes the rest"
    )
