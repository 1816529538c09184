"""``sim``: run the bytes on pictures or raw data; compare with the golden model on request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite import atomic_write, workspace
from knightlite.api.models.binary import find_binary
from knightlite.api.models.machines import open_machine
from knightlite.api.simulation.frames import found_input, frames_of, require_no_folder
from knightlite.api.simulation.golden import golden_reference
from knightlite.api.simulation.host import blob_names, finisher
from knightlite.container import Description
from knightlite.errors import DataError, UsageError, suggestion
from knightlite.options import check
from knightlite.options.simulate import SimulateOptions
from knightlite.talk import SILENT, Talk

Array = NDArray[Any]
TOP = 5
INPUT_TEXT = "intofile.txt"  # Knight's name


@dataclass(frozen=True, slots=True)
class Guess:
    """One of the best classes of a frame: label (None without labels), its index and its score."""

    label: str | None
    index: int
    score: float


@dataclass(frozen=True, slots=True)
class SimulateResult:
    """What ``sim`` found.

    ``top``: per frame the best classes of the first output; none where it does not score classes.
    ``files``: by their names; ``tensors``: which tensor a file holds, by the same names. What was
    compared is None where nothing was.
    """

    files: Mapping[str, Path]
    tensors: Mapping[str, str]
    frames: int
    top: tuple[tuple[Guess, ...], ...]
    saturations: int
    compared_bytes: int | None
    differing_bytes: int | None
    differing_tensors: tuple[str, ...] | None
    remarks: tuple[str, ...]  # on what was fed, where it is odd
    crc16: tuple[int, ...]  # of every frame's outputs: knightlite.sim.outputs.crc16


def simulate(options: SimulateOptions, talk: Talk = SILENT) -> SimulateResult:
    """Run the stage; either all result files appear or none."""
    from knightlite.preprocess import read_labels
    from knightlite.sim.outputs import chw_text, crc16

    check(options)
    workspace.require_usable(options.directory, options.out_dir)
    binary = find_binary(options.directory, options.cfg, options.weight, talk, options.model)
    meta = binary.program.meta
    require_no_folder(options, options.model or binary.cfg, meta)
    options = replace(options, input=found_input(options, meta, talk))
    machine = open_machine(binary, options.chip, options.engine)
    for entry in meta.inputs:
        talk.say(f"the cfg file input bit: {entry.name} : {_knight_type(entry.type)}")
    frames, count, remarks = frames_of(options, meta, talk)
    labels = None if options.labels is None else read_labels(options.labels)
    if options.golden is not None and not options.check:
        raise UsageError("--golden names what --check compares with.", "add --check")
    golden = golden_reference(binary, options.golden, talk) if options.check else None
    wanted = _debug_names(options.debug, meta)
    finish = finisher(binary.program)
    paths: dict[str, Path] = {}
    holds: dict[str, str] = {}
    top: list[tuple[Guess, ...]] = []
    compared = differing = saturations = 0
    different: dict[str, None] = {}
    input_texts: list[str] = []
    sums: list[int] = []
    with atomic_write.file_set() as files:
        for number, inputs in enumerate(frames):
            if options.into_file:
                input_texts += (chw_text(inputs[entry.name]) for entry in meta.inputs)
            tensors: dict[str, Array] = {}
            observe = tensors.__setitem__ if golden is not None or wanted else None
            outputs = machine.run(inputs, observe)
            saturations += machine.saturations
            sums.append(crc16(meta, outputs))
            finished = finish(outputs)
            frame = number if count > 1 else None
            for tensor, name, data in _files(meta, outputs, finished, tensors, wanted, frame):
                paths[name], holds[name] = options.out_dir / name, tensor
                files.write_bytes(paths[name], data)
            if golden is not None:
                result = golden.compare(inputs, tensors, outputs)
                compared += result[0]
                differing += result[1]
                different.update(dict.fromkeys(result[2]))
            scores = next(iter(finished.values()))
            if options.labels is not None and labels is not None and number == 0:
                _check_labels(options.labels, len(labels), scores.size, talk)
            best = _best(scores, labels)
            top += [best] if best else []
            talk.advance("frames", number + 1, count)
        if options.into_file:
            paths[INPUT_TEXT] = options.out_dir / INPUT_TEXT
            files.write_text(paths[INPUT_TEXT], "".join(input_texts))
    if saturations:
        talk.warn(
            f"{saturations} accumulators saturated at 32 bits: the compiler proves this away. "
            "Hint: this is a bug of ours; please report it with the two files"
        )
    asked = {"input": options.input}
    workspace.record(
        options.directory, "sim", meta.chip, asked, paths, binary.sources, holds, warn=talk.warn
    )
    checked = golden is not None
    return SimulateResult(
        paths, holds, count, tuple(top), saturations,
        compared if checked else None,
        differing if checked else None,
        tuple(different) if checked else None,
        remarks,
        tuple(sums),
    )  # fmt: skip


def _knight_type(name: str) -> str:
    return {"u8": "uint8", "s8": "int8", "s16": "int16"}[name]


def _best(scores: Array, labels: Sequence[str] | None) -> tuple[Guess, ...]:
    """The best classes; without labels none, where the output is not one score per class."""
    values = np.asarray(scores)
    classes = values.shape[1] if values.ndim > 1 else 1
    if labels is None and not 1 < values.size == classes:
        return ()
    flat = values.reshape(-1)
    order = np.argsort(-flat, kind="stable")[:TOP]
    return tuple(Guess(_label(labels, int(i)), int(i), float(flat[i])) for i in order)


def _label(labels: Sequence[str] | None, index: int) -> str | None:
    if labels is None:
        return None
    return labels[index] if index < len(labels) else str(index)


def _debug_names(debug: str | None, meta: Description) -> set[str]:
    """Tensors to write: all, or the outputs of a layer or tensor of that name."""
    if debug is None:
        return set()
    names = {entry.name for entry in meta.tensors}
    if debug == "all":
        return names
    if debug not in names:
        raise UsageError(
            f"the program has no materialised tensor called {debug}.",
            "in quant, -d is the data; sim reads what -i names"
            if Path(debug).is_dir()
            else suggestion(debug, sorted(names), "all writes every one"),
        )
    return {debug}


def _files(
    meta: Description,
    outputs: Mapping[str, Array],
    finished: Mapping[str, Array],
    tensors: Mapping[str, Array],
    wanted: set[str],
    frame: int | None,
) -> Iterator[tuple[str, str, bytes]]:
    """(Tensor, file name, content) of everything that one frame leaves."""
    from knightlite.sim import outputs as forms

    stems = forms.stems_of(meta)
    chip = {entry.name: entry for entry in meta.outputs}
    moved = forms.moved_outputs(chip, meta.host, meta.graph_outputs)
    replaced = set(moved.values()) - set(meta.graph_outputs)  # scripts read these in their order
    delivered = [
        (name, outputs[source]) for source, names in blob_names(meta).items() for name in names
    ]
    asked = [(name, values) for name, values in tensors.items() if name in wanted]
    for kind, chosen in ((forms.OUTPUT, delivered), (forms.DEBUG, asked)):
        for tensor, values in chosen:
            made = forms.result_files(stems[kind, tensor], values, frame)
            if kind == forms.OUTPUT and tensor in replaced:
                made = {name: data for name, data in made.items() if name.endswith(".npy")}
            elif kind == forms.OUTPUT and tensor in finished:  # the host reshapes it, no more
                shaped = forms.four_axes(values.reshape(finished[tensor].shape))
                text = forms.chw_text(shaped).encode()
                made = {n: text if n.endswith("_p.txt") else data for n, data in made.items()}
            for name, data in made.items():
                yield tensor, name, data
    for tensor, values in finished.items():
        if tensor in moved:
            stem, scale = stems[forms.OUTPUT, tensor], chip[moved[tensor]].scale
            for name, data in forms.moved_file(stem, values, scale, frame).items():
                yield tensor, name, data
        if (forms.HOST, tensor) in stems:
            for name, data in forms.host_file(stems[forms.HOST, tensor], values, frame).items():
                yield tensor, name, data


def _check_labels(path: Path, count: int, scores: int, talk: Talk) -> None:
    """Warn of a file that names not one class a score; DataError where names would be shifted."""
    from knightlite.preprocess import counted_from_one, misfit

    if count == scores:
        return
    why, hint = misfit(path, scores)
    told = f"{path} names {count} classes, but the network gives {scores} scores: {why}"
    if counted_from_one(path) == scores:
        raise DataError(f"{told}.", hint)
    talk.warn(f"{told}. Hint: {hint}")
