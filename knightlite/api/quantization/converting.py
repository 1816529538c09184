"""A float model to be converted or run as it is, which also works where the NPU cannot run it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from knightlite.api.quantization.in_memory import float_onnx, graph_of, read_float
from knightlite.api.quantization.inputs import input_forms
from knightlite.errors import KnightliteError, ModelError, UnsupportedError
from knightlite.talk import Talk

if TYPE_CHECKING:
    from knightlite.frontend.source import SourceModel
    from knightlite.ir import Graph
    from knightlite.options.quantize import QuantizeOptions

Array = NDArray[Any]
Run = Callable[[tuple[Array, ...]], dict[str, Array]]
SHOWN_KINDS = 8  # of operators that keep a network off the NPU


@dataclass(frozen=True, slots=True)
class FloatModel:
    """A model in float32. ``write`` gives the ONNX file, ``open`` what runs a batch of its inputs.

    ``graph`` describes inputs and outputs; it has nodes where the NPU can run the network.
    """

    graph: Graph
    write: Callable[[], bytes]
    open: Callable[[], Run]


def float_model(options: QuantizeOptions, talk: Talk) -> FloatModel:
    """The model of the options, its inputs normalized.

    That ``quant`` would refuse it is a warning. Errors: see ``knightlite.frontend.load``, but for
    operators that the NPU lacks.
    """
    from knightlite.inference import Runner, float_network

    source = read_float(options, talk)
    try:
        graph = graph_of(options, source, talk)
    except UnsupportedError as error:
        talk.warn(_why_not(options, source, error))
        return _as_converted(options, source)
    return FloatModel(graph, lambda: float_onnx(graph), lambda: Runner(float_network(graph)).run)


def _why_not(options: QuantizeOptions, source: SourceModel, error: KnightliteError) -> str:
    kinds = {node.name: node.kind for node in source.nodes}
    counted = Counter(kinds.get(item.where, item.where) for item in error.findings)
    listed = [f"{kind} ({count})" for kind, count in counted.most_common(SHOWN_KINDS)]
    more = f" and {len(counted) - SHOWN_KINDS} more kinds" if len(counted) > SHOWN_KINDS else ""
    places = "one place is" if counted.total() == 1 else f"{counted.total()} places are"
    return (
        f"{options.model} can be converted and run in float32, but quant refuses it: {places} not "
        f"supported: {', '.join(listed)}{more}. Hint: `knightlite check` with the same model says "
        "why"
    )


def _as_converted(options: QuantizeOptions, source: SourceModel) -> FloatModel:
    """The network as the converter made it, its constants computed."""
    from knightlite.frontend.source_onnx import normalize_source, write_source

    for name in source.read_inputs:
        if name not in source.types:
            raise ModelError(
                f"input {name} of {options.model} has elements of no known kind.",
                "export or copy the model again",
            )
    described = _described(source)
    for form in input_forms(options, described):
        if form.mean:
            source = normalize_source(source, form.name, form.mean, form.std)

    def written() -> bytes:
        made: bytes = write_source(source).SerializeToString(deterministic=True)
        return made

    def opened() -> Run:
        from onnx import helper

        from knightlite.inference import join_parts, session

        running = session(written(), called=str(options.model))
        kinds = {
            name: helper.tensor_dtype_to_np_dtype(source.types[name]) for name in described.inputs
        }

        batch = source.shapes[described.inputs[0]][0]

        def run(inputs: tuple[Array, ...]) -> dict[str, Array]:
            """As many pictures at a time as the file's shapes say, which is one mostly."""
            parts = []
            for first in range(0, len(inputs[0]), batch):
                feeds = {
                    name: np.asarray(values[first : first + batch], kinds[name])
                    for name, values in zip(described.inputs, inputs, strict=True)
                }
                parts.append(dict(zip(running.outputs, running.run(None, feeds), strict=True)))
            return join_parts(described.outputs, parts)

        return run

    return FloatModel(described, written, opened)


def _described(source: SourceModel) -> Graph:
    """A graph without nodes: the inputs that are read, and the outputs."""
    from knightlite.frontend.element_types import INTEGERS
    from knightlite.ir import GraphBuilder

    builder = GraphBuilder(source.name)
    for name in source.read_inputs:
        builder.input(name, source.shapes[name])
        stored = INTEGERS.get(source.types[name])
        if stored is not None:
            builder.integer_inputs[name] = stored
    if len(builder.inputs) < len(source.inputs):
        builder.declared_inputs = source.inputs
    for name in source.outputs:
        if name in source.shapes and name not in builder.tensors:
            builder.tensor(name, source.shapes[name])
    return builder.build(source.outputs)
