"""The values of every layer in float, quantized, golden and on the chip, one picture at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from knightlite.api.models.machines import open_simulator
from knightlite.api.simulation.golden import open_golden, read_golden
from knightlite.array_files import read_array
from knightlite.errors import DataError, UsageError
from knightlite.inference import Runner, float_network, quantized_network
from knightlite.talk import Talk

if TYPE_CHECKING:
    from knightlite.api.models.binary import Binary
    from knightlite.container import StoredTensor
    from knightlite.ir import Graph

Array = NDArray[Any]
Values = Mapping[str, Array]
Source = Callable[[Values], Values]
"""Real inputs by name, [1, C, H, W] -> real values by tensor; tensors it lacks are left out."""


def exact_values(model: Path, names: Sequence[str]) -> Source:
    """The float model in ONNX Runtime."""
    from knightlite.frontend import load

    floating = load(model, None, None, None, True)
    known = [name for name in names if name in floating.tensors]
    runner = Runner(
        float_network(floating, [name for name in known if name not in floating.inputs])
    )

    def run(feeds: Values) -> Values:
        found = {**feeds, **runner.run(tuple(feeds[name] for name in floating.inputs))}
        return {name: found[name] for name in known if name in found}

    return run


def quantized_values(graph: Graph, names: Sequence[str]) -> Source:
    """The QDQ model in ONNX Runtime, without the host's share."""
    bare = replace(graph, outputs=graph.chip_outputs, host=())
    runner = Runner(quantized_network(bare, names))
    return lambda feeds: runner.run(tuple(feeds[name] for name in bare.inputs))


def golden_values(binary: Binary, graph: Graph, names: Sequence[str], talk: Talk) -> Source | None:
    """The golden model in ONNX Runtime; None, and a sentence, where there is none."""
    try:
        path, model = read_golden(binary, None)
    except UsageError as error:
        talk.say(f"The golden model is left out: {error.sentence}")
        return None
    made = {output for node in model.graph.node for output in node.output}
    inside = [name for name in names if name in made]
    opened = open_golden(path, model, inside)
    entries = _inputs(binary, graph)

    def run(feeds: Values) -> Values:
        integers = _integers(feeds, entries)
        found = opened.run(inside, {name: integers[name] for name in opened.inputs})
        values = dict(zip(inside, found, strict=True))
        values |= {name: integers[name] for name in names if name in integers}
        return {name: real(graph, name, value) for name, value in values.items()}

    return run


def chip_values(binary: Binary, graph: Graph) -> Source:
    """What the simulated chip writes to memory; layers that it keeps to itself are missing."""
    entries = _inputs(binary, graph)
    missing = set(graph.chip_outputs) - {item.name for item in binary.program.meta.kept}
    if missing:
        raise UsageError(
            f"{binary.cfg.name} does not deliver {', '.join(sorted(missing))}.",
            "compile the whole network first",
        )
    machine = open_simulator(binary)

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
    entries = {entry.name: entry for entry in binary.program.meta.given}
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


def simulated_values(
    folders: Sequence[Path], graph: Graph, names: Sequence[str], binary: Binary | None
) -> Source:
    """What ``sim`` left: the outputs, and with --debug all the layers of the chip.

    ``binary``: the compiled network, where it is at hand: its tensors are those that have files.
    """
    from knightlite.sim.outputs import DEBUG, OUTPUT, delivered_as, result_stems, stems_of

    features = (*graph.inputs, *(node.output for node in graph.nodes))
    known = (
        result_stems(graph.chip_outputs, graph.host, graph.outputs, features)
        if binary is None
        else stems_of(binary.program.meta)
    )
    blobs = delivered_as(graph.chip_outputs, graph.host, graph.outputs)
    found: dict[str, Array] = {}
    for name in dict.fromkeys((*graph.chip_outputs, *names)):
        keys = [*((OUTPUT, blob) for blob in blobs.get(name, ())), (DEBUG, name)]
        stems = [known[key] for key in keys if key in known]
        paths = [folder / f"{stem}.npy" for folder in folders for stem in stems]
        path = next((item for item in paths if item.is_file()), None)
        if path is not None:
            found[name] = _simulated(path, graph, name)
        elif name in graph.chip_outputs:
            raise UsageError(
                f"{folders[0]} holds no {stems[0] if stems else OUTPUT + name}.npy.",
                "run sim on one frame, with -s of that folder",
            )
    return lambda feeds: found


def _simulated(path: Path, graph: Graph, name: str) -> Array:
    try:
        values = read_array(path)
    except ValueError as error:
        raise DataError(f"{path} is damaged: {error}.") from error
    shape = graph.tensors[name].shape
    if values.shape != shape:
        raise DataError(f"{path} must have shape {shape}, not {values.shape}.")
    return real(graph, name, values)
