"""``-on``: a network that ends at tensors of the user's choice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from knightlite.errors import Finding, UsageError, findings_error, suggestion
from knightlite.frontend.resolving import needed
from knightlite.frontend.source import SourceModel
from knightlite.name_lists import names_in


def cut(model: SourceModel, outputs: Sequence[str], path: Path) -> SourceModel:
    """``model`` with these ONNX values as its outputs, in this order, and what they need.

    A text of several names stands for each of them.

    UsageError names every value that no node makes, with those of similar names.
    """
    made = [name for node in model.nodes for name in node.outputs if name]
    names = tuple(dict.fromkeys(names_in(outputs, made)))
    findings = []
    for name in names:
        if name in made:
            continue
        hint = suggestion(name, made, "these are names of values in the ONNX model")
        findings.append(Finding(name, "no operator of the network makes this tensor.", hint))
    if findings:
        raise findings_error(
            UsageError,
            f"{path} cannot be cut at {findings[0].where}: {findings[0].sentence}",
            findings,
            findings[0].hint,
        )
    return replace(model, outputs=names, nodes=tuple(needed(model.nodes, names)))
