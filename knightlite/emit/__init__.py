"""Bytes: tokens, code, metadata, the golden model and the memory map."""

from knightlite.emit.compile_graph import Compiled, compile_graph, model_findings, plan_graph
from knightlite.emit.golden import golden_model
from knightlite.emit.memory_map import memory_map
from knightlite.emit.program import materialised, program_code

__all__ = [
    "Compiled",
    "compile_graph",
    "golden_model",
    "materialised",
    "memory_map",
    "model_findings",
    "plan_graph",
    "program_code",
]
