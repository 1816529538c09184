"""The host's share behind a program: with numpy, or in ONNX Runtime where an operator needs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from numpy.typing import NDArray

from knightlite.container import Description, Program

Array = NDArray[Any]
Finisher = Callable[[Mapping[str, Array]], dict[str, Array]]


def finisher(program: Program) -> Finisher:
    """What makes the network's outputs of the chip's integers; ModelError for a damaged model."""
    from knightlite.sim.host import dequantize, finish

    meta = program.meta
    if not program.host:
        return lambda outputs: finish(meta, outputs)
    from knightlite.inference import session

    opened = session(program.host, called=f"the host model in the .cfg of {meta.name}")
    names = meta.graph_outputs

    def run(outputs: Mapping[str, Array]) -> dict[str, Array]:
        feeds = {entry.name: dequantize(outputs[entry.name], entry) for entry in meta.outputs}
        return dict(zip(names, opened.run(names, feeds), strict=True))

    return run


def blob_names(meta: Description) -> dict[str, str]:
    """Chip output -> the network output that is the same values in another shape."""
    reshaped = {op.inputs[0]: op.outputs[0] for op in meta.host if op.op == "Reshape"}
    return {
        name: reshaped[name]
        for name in (entry.name for entry in meta.outputs)
        if reshaped.get(name) in meta.graph_outputs
    }
