"""What a pass is: a frozen dataclass of options with ``run``; the runner verifies in between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from knightlite.chip import Chip
from knightlite.ir import Graph, verify


@dataclass(slots=True)
class Explanations:
    """Why a pass did or did not change a node, one sentence each; ``explain NODE`` prints them."""

    sentences: list[tuple[str, str, str]] = field(default_factory=list)  # node, pass, sentence

    def say(self, node: str, rewrite: str, sentence: str) -> None:
        """Record one sentence."""
        self.sentences.append((node, rewrite, sentence))


class Pass(Protocol):
    """One rewrite of the quantized graph; never changes a materialised byte."""

    @property
    def name(self) -> str:
        """The name in listings and ``--dump``."""

    @property
    def after(self) -> tuple[str, ...]:
        """Names of the passes that must have run before."""

    def run(self, graph: Graph, chip: Chip, explanations: Explanations) -> tuple[Graph, int]:
        """The rewritten graph and how many changes were made."""


def run_passes(
    graph: Graph, chip: Chip, passes: Sequence[Pass], explanations: Explanations
) -> Graph:
    """Run the passes in order and verify the graph after each."""
    done: set[str] = set()
    for item in passes:
        missing = [name for name in item.after if name not in done]
        assert not missing, f"pass {item.name} must run after {missing}"
        graph, _ = item.run(graph, chip, explanations)
        verify(graph)
        done.add(item.name)
    return graph
