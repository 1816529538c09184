"""The host's share behind a program: with numpy, or in ONNX Runtime where an operator needs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from numpy.typing import NDArray

from knightlite.container import Description, Program
from knightlite.errors import FormatError

Array = NDArray[Any]
Finisher = Callable[[Mapping[str, Array]], dict[str, Array]]


def finisher(program: Program) -> Finisher:
    """What makes the network's outputs of the chip's integers.

    ModelError, FormatError for a damaged host model, or one that is not what its list says.
    """
    from knightlite.sim.host import dequantize, finish

    meta = program.meta
    if not program.host:
        return lambda outputs: finish(meta, outputs)
    from knightlite.inference import session

    _require_as_listed(program)
    opened = session(program.host, called=f"the host model in the .cfg of {meta.name}")
    names = meta.graph_outputs

    def run(outputs: Mapping[str, Array]) -> dict[str, Array]:
        feeds = {entry.name: dequantize(outputs[entry.name], entry) for entry in meta.outputs}
        return dict(zip(names, opened.run(names, feeds), strict=True))

    return run


def _require_as_listed(program: Program) -> None:
    """FormatError where the host model is anything but the operators of the description."""
    from knightlite.frontend import onnx_file
    from knightlite.ir import Graph, HostOp, Tensor
    from knightlite.ops import host_model

    meta = program.meta
    where = f"the host model in the .cfg of {meta.name}"
    graph = Graph(
        name=meta.name,
        inputs=(),
        outputs=meta.graph_outputs,
        nodes=(),
        tensors={item.name: Tensor(item.name, item.shape, item.dtype) for item in meta.outputs},
        constants={},
        host=tuple(
            HostOp(
                item.name, item.op, item.inputs, item.outputs, item.attributes,
                {name: values.array for name, values in item.constants.items()},
            )
            for item in meta.host
        ),
    )  # fmt: skip
    model = onnx_file.parse(program.host, where)
    problem = host_model.problem(model, graph)
    if problem is not None:
        raise FormatError(f"{where} {problem}.", "compile the model again")


def blob_names(meta: Description) -> dict[str, tuple[str, ...]]:
    """Chip output -> the network outputs that are its values, or its own name."""
    from knightlite.sim.outputs import delivered_as

    return delivered_as([entry.name for entry in meta.outputs], meta.host, meta.graph_outputs)
