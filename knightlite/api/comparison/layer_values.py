"""The values of every layer in float, quantized, golden and on the chip, one picture at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from knightlite.api.simulation import golden_reference
from knightlite.errors import DataError, UsageError
from knightlite.talk import Talk

if TYPE_CHECKING:
    from knightlite.api.models import Binary
    from knightlite.container import StoredTensor
    from knightlite.ir import Graph

Array = NDArray[Any]
Values = Mapping[str, Array]
Source = Callable[[Values], Values]
"""Real inputs by name, [1, C, H, W] -> real values by tensor; tensors it lacks are left out."""


def exact_values(model: Path, names: Sequence[str]) -> Source:
    """The float model in ONNX Runtime."""
    from knightlite.frontend import load
    from knightlite.inference.onnx_models import session, write_float

    floating = load(model, None, None, None, True)
    known = [name for name in names if name in floating.tensors]
    computed = [name for name in known if name not in floating.inputs]
    runner = session(write_float(floating, computed))
    return lambda feeds: {
        **{name: feeds[name] for name in known if name in feeds},
        **dict(zip(computed, map(np.asarray, runner.run(computed, dict(feeds))), strict=True)),
    }


def quantized_values(graph: Graph, names: Sequence[str]) -> Source:
    """The QDQ model in ONNX Runtime, without the host's share."""
    from knightlite.inference.onnx_models import session, write_qdq

    bare = replace(graph, outputs=graph.chip_outputs, host=())
    extra = [name for name in names if name not in bare.outputs]
    runner = session(write_qdq(bare, {}, extra))
    delivered = [*bare.outputs, *extra]
    return lambda feeds: dict(
        zip(delivered, map(np.asarray, runner.run(None, dict(feeds))), strict=True)
    )


def golden_values(binary: Binary, graph: Graph, names: Sequence[str], talk: Talk) -> Source | None:
    """The golden model in ONNX Runtime; None, and a sentence, where there is none."""
    import onnx

    from knightlite.frontend import onnx_file
    from knightlite.inference.onnx_models import session

    try:
        path = golden_reference(binary, None).path
    except UsageError as error:
        talk.say(f"The golden model is left out: {error.sentence}")
        return None
    model = onnx_file.parse(path.read_bytes(), str(path))
    made = {output for node in model.graph.node for output in node.output}
    have = {item.name for item in model.graph.output}
    inside = [name for name in names if name in made]
    for name in inside:
        if name not in have:
            model.graph.output.append(onnx.ValueInfoProto(name=name))
    runner = session(model)
    known = [item.name for item in model.graph.input]
    entries = _inputs(binary, graph)

    def run(feeds: Values) -> Values:
        integers = _integers(feeds, entries)
        found = runner.run(inside, {name: integers[name] for name in known})
        values = dict(zip(inside, map(np.asarray, found), strict=True))
        values |= {name: integers[name] for name in names if name in integers}
        return {name: real(graph, name, value) for name, value in values.items()}

    return run


def chip_values(binary: Binary, graph: Graph) -> Source:
    """What the simulated chip writes to memory; layers that it keeps to itself are missing."""
    from knightlite.sim import Machine

    entries = _inputs(binary, graph)
    missing = set(graph.chip_outputs) - {item.name for item in binary.program.meta.outputs}
    if missing:
        raise UsageError(
            f"{binary.cfg.name} does not deliver {', '.join(sorted(missing))}.",
            "compile the whole network first",
        )
    machine = Machine(binary.program, binary.target(None))
    machine.check()

    def run(feeds: Values) -> Values:
        seen: dict[str, Array] = {}
        outputs = machine.run(_integers(feeds, entries), seen.__setitem__)
        return {
            name: real(graph, name, values)
            for name, values in {**seen, **outputs}.items()
            if name in graph.tensors
        }

    return run


def _inputs(binary: Binary, graph: Graph) -> dict[str, StoredTensor]:
    entries = {entry.name: entry for entry in binary.program.meta.inputs}
    if set(entries) != set(graph.inputs):
        raise UsageError(
            f"{binary.cfg.name} reads {', '.join(entries)}, the quantized model "
            f"{', '.join(graph.inputs)}.",
            "compile this quantized model first",
        )
    return entries


def _integers(feeds: Values, entries: Mapping[str, StoredTensor]) -> dict[str, Array]:
    from knightlite.sim.host import quantize

    return {name: quantize(feeds[name], entry) for name, entry in entries.items()}


def real(graph: Graph, name: str, values: Array) -> Array:
    """Integers of a tensor as real numbers; real numbers as they are."""
    if values.dtype.kind == "f":
        return values
    tensor = graph.tensors[name]
    assert tensor.scale is not None
    scale = tensor.scale
    if scale.ndim:
        scale = scale.reshape(1, -1, *(1,) * (values.ndim - 2))
    return np.asarray(values.astype(np.float32) * scale)


# ------------------------------------------------------------------ files that other commands left


def simulated_values(folders: Sequence[Path], graph: Graph, names: Sequence[str]) -> Source:
    """What ``sim`` left: the outputs, and with --debug all the layers of the chip."""
    from knightlite.sim.outputs import file_stem

    reshaped = {op.inputs[0]: op.output for op in graph.host if op.op == "Reshape"}
    found: dict[str, Array] = {}
    for name in dict.fromkeys((*graph.chip_outputs, *names)):
        blob = reshaped[name] if reshaped.get(name) in graph.outputs else name
        stems = (file_stem(blob), file_stem(name, "debug"))
        paths = [folder / f"{stem}.npy" for folder in folders for stem in stems]
        path = next((item for item in paths if item.is_file()), None)
        if path is not None:
            found[name] = _simulated(path, graph, name)
        elif name in graph.chip_outputs:
            raise UsageError(
                f"{folders[0]} holds no {stems[0]}.npy.",
                "run sim on one frame, with -s of that folder",
            )
    return lambda feeds: found


def _simulated(path: Path, graph: Graph, name: str) -> Array:
    try:
        values = np.load(path, allow_pickle=False)
    except ValueError as error:
        raise DataError(f"{path} is damaged: {error}.") from error
    shape = graph.tensors[name].shape
    if values.shape != shape:
        raise DataError(f"{path} must have shape {shape}, not {values.shape}.")
    return real(graph, name, values)
