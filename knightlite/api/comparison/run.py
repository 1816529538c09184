"""``compare``: float, quantized, golden and chip, layer by layer, by Knight's measures.

The sample is the one that ``quant`` left in ``inputs/``, or the pictures that ``quant -du`` dumped.
The chip's values are those that ``sim`` left, or are computed here. Values are compared as real
numbers, before what the host does.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import combinations, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from knightlite import atomic_write
from knightlite.api.comparison import dump, layer_values
from knightlite.api.comparison.differences import (
    CHIP,
    FLOAT,
    GOLDEN,
    KINDS,
    QUANTIZED,
    Comparison,
    Tally,
)
from knightlite.api.comparison.stage_files import (
    quant_files,
    require_results_of,
    sample,
    sample_files,
    sample_told,
)
from knightlite.api.models.binary import Binary, find_binary
from knightlite.errors import UsageError, suggestion
from knightlite.file_names import file_names
from knightlite.name_lists import names_in
from knightlite.options import check
from knightlite.options.compare import LEVELS, OUTPUTS, CompareOptions
from knightlite.talk import SILENT, Talk

if TYPE_CHECKING:
    from knightlite.ir import Graph

SCHEMA = "knightlite.compare/1"  # of compare.json, and of what --json prints
KEPT = "never written to memory: fused into its reader, or part of another tensor"
LEFT_OUT = "not among the results of sim, which leaves all that are written with --debug all"


def compare(options: CompareOptions, talk: Talk = SILENT) -> tuple[Comparison, ...]:
    """The rows that the options ask for; memory holds the layers of one picture."""
    from knightlite.frontend import load_quantized

    check(options)
    if options.save_dir is not None:
        atomic_write.require_folder(options.save_dir)
    if options.plots:
        _require_plots(options)
    binary = _binary(options, talk)
    found = quant_files(options.directory, options.quant_dir, binary, talk)
    require_results_of(options.directory, options.sim_dirs, binary)
    if options.sim_dirs and binary is not None and binary.program.meta.states:
        raise UsageError(
            f"{binary.cfg.name} keeps states from one frame to the next, and sim's results do not "
            "say which they had.",
            "leave -sd out: compare runs the sample that quant left with its own states",
        )
    graph = load_quantized(found["onnx"])
    ops = {node.output: node.op for node in graph.nodes}
    layers = list(ops) if options.level > OUTPUTS else list(graph.chip_outputs)
    wanted = _wanted(options, graph, layers, ops)
    if not wanted:
        return ()
    tallies: dict[tuple[str, str, str], Tally] = {}
    have: dict[str, set[str]] = {}
    for number, values in enumerate(_pictures(options, found, graph, wanted, binary, talk), 1):
        if options.sim_dirs and binary is not None:
            _say_of_another_input(values, graph, options.sim_dirs, binary, found, talk)
        for kind, known in values.items():
            have.setdefault(kind, set()).update(known)
        for one, other in _pairs(options.level, tuple(values)):
            for name in wanted:
                if name in values[one] and name in values[other]:
                    tally = tallies.setdefault((name, one, other), Tally(options.plots))
                    tally.add(values[one][name], values[other][name])
        talk.advance("pictures", number, None)
    kept = frozenset[str]() if options.sim_dirs else frozenset(layers)
    if binary is not None:
        kept = frozenset(layers) - {entry.name for entry in binary.program.meta.tensors}
    rows = _rows(options, layers, wanted, ops, have, tallies, kept, talk)
    if options.save_dir is not None:
        _save(options.save_dir, rows, tallies if options.plots else {})
    return rows


def _require_plots(options: CompareOptions) -> None:
    from knightlite.diagnosis import page

    if options.save_dir is None:
        raise UsageError("plots are files.", "name their folder with --save-dir DIR")
    page.require_plots()


def _wanted(
    options: CompareOptions, graph: Graph, layers: Sequence[str], ops: Mapping[str, str]
) -> list[str]:
    """The tensors that are compared, in the order of the network."""
    comparable = [*layers, *graph.chip_outputs, *graph.outputs]
    names = names_in(options.names, comparable)
    _known(names, comparable, "output")
    if options.op_type is not None:
        _known(
            (options.op_type,), sorted({ops[name] for name in layers if name in ops}), "operator"
        )
    named = {
        source
        for name in names
        for source in ([name] if name in layers else graph.before_host(name))
    }
    low, high = options.indices or (0, len(layers) - 1)
    return [
        name
        for index, name in enumerate(layers)
        if (not named or name in named)
        and options.op_type in (None, ops.get(name))
        and low <= index <= high
    ]


def _pairs(level: int, kinds: tuple[str, ...]) -> list[tuple[str, str]]:
    """Which two of the four a level compares."""
    ordered = [kind for kind in KINDS if kind in kinds]
    if level in (0, 3):
        return [(QUANTIZED, CHIP)]
    return list(pairwise(ordered) if level in (1, 4) else combinations(ordered, 2))


def _pictures(
    options: CompareOptions,
    files: Mapping[str, Path],
    graph: Graph,
    names: Sequence[str],
    binary: Binary | None,
    talk: Talk,
) -> Iterator[dict[str, layer_values.Values]]:
    """The values of the four, picture by picture; what is not at hand is left out, and said."""
    golden = layer_values.golden_values(binary, graph, names, talk) if binary else None
    if options.sim_dirs:
        chip = layer_values.simulated_values(options.sim_dirs, graph, names, binary)
    else:
        assert binary is not None
        chip = layer_values.chip_values(binary, graph)
    folder = files["onnx"].parent
    if options.quant_dir is not None and dump.is_dumped(folder):
        talk.say(f"{folder / dump.FOLDER}: the values that quant -du left are taken.")
        for exact, fixed in dump.dumped(folder, graph, names):
            feeds = {name: np.asarray(exact[name], np.float32) for name in graph.inputs}
            yield _found({FLOAT: exact, QUANTIZED: fixed}, feeds, golden, chip)
            if options.sim_dirs:
                return  # sim left one frame
        return
    feeds = sample(files, graph)
    talk.say(sample_told(options.directory, files, graph, feeds))
    values: dict[str, layer_values.Values] = {}
    if "float_onnx" in files:
        values[FLOAT] = layer_values.exact_values(files["float_onnx"], names)(feeds)
    else:
        talk.say("The float model is not at hand: quantized and chip are compared.")
    values[QUANTIZED] = layer_values.quantized_values(graph, names)(feeds)
    yield _found(values, feeds, golden, chip)


def _say_of_another_input(
    values: Mapping[str, layer_values.Values],
    graph: Graph,
    folders: Sequence[Path],
    binary: Binary,
    files: Mapping[str, Path],
    talk: Talk,
) -> None:
    """A warning where what ``sim`` left is not what the golden model computes of the sample.

    The simulator never differs from it: then the results are of another input, or of a board.
    """
    golden, chip = values.get(GOLDEN, {}), values[CHIP]
    apart = [
        name
        for name in golden
        if name in chip
        and (scale := graph.tensors[name].scale) is not None
        and np.abs(golden[name] - chip[name]).max(initial=0) > scale.min() / 2
    ]
    if apart:
        samples = [
            f"{name}:{path}" if len(graph.inputs) > 1 else str(path)
            for name, path in sample_files(files, graph).items()
        ]
        words = ["knightlite", "sim", "--config", str(binary.cfg), "--input", *samples]
        command = shlex.join([*words, "-s", str(folders[0])])
        talk.warn(
            f"{', '.join(map(str, folders))}: {apart[0]} is not what the golden model makes of the "
            "sample that quant left, which all is compared with; the results may be of another "
            f"input: `{command}` makes those of the sample"
        )


def _found(
    values: dict[str, layer_values.Values],
    feeds: layer_values.Values,
    golden: layer_values.Source | None,
    chip: layer_values.Source,
) -> dict[str, layer_values.Values]:
    if golden is not None:
        values[GOLDEN] = golden(feeds)
    values[CHIP] = chip(feeds)
    return values


def _binary(options: CompareOptions, talk: Talk) -> Binary | None:
    """The compiled network; None where sim's results stand for it and none is at hand."""
    try:
        return find_binary(options.directory, options.cfg, options.weight, talk)
    except UsageError:
        if not options.sim_dirs or options.cfg is not None:
            raise
        return None


def _rows(
    options: CompareOptions,
    layers: Sequence[str],
    wanted: Sequence[str],
    ops: Mapping[str, str],
    have: Mapping[str, set[str]],
    tallies: Mapping[tuple[str, str, str], Tally],
    kept: frozenset[str],
    talk: Talk,
) -> tuple[Comparison, ...]:
    """Every comparison that there is; what is not compared is said, and why.

    ``kept``: layers that the chip never writes; of others ``sim`` left no results.
    """

    def why(kind: str, name: str) -> str:
        if kind == CHIP:
            return KEPT if name in kept else LEFT_OUT
        return f"the {kind} model has no such tensor"

    rows = []
    listed = options.level == len(LEVELS) - 1
    lacking: dict[tuple[str, str], set[str]] = {}
    pairs = _pairs(options.level, tuple(have))
    places = {name: index for index, name in enumerate(layers)}
    for name in wanted:
        for one, other in pairs:
            tally = tallies.get((name, one, other))
            row = (places[name], name, ops.get(name, ""), one, other)
            if tally is not None:
                rows.append(Comparison(*row, tally.result()))
                continue
            lacks = next(kind for kind in (other, one) if name not in have.get(kind, ()))
            remark = why(lacks, name)
            lacking.setdefault((lacks, remark), set()).add(name)
            if listed:
                rows.append(Comparison(*row, None, remark))
    for (kind, remark), names in lacking.items():
        them = f"{len(names)} layer{'' if len(names) == 1 else 's'}"
        are = "is" if len(names) == 1 else "are"
        where = "" if listed else f" (-sl {len(LEVELS) - 1} lists them)"
        talk.say(f"{them} {are} not compared with {kind}: {remark}{where}.")
    if options.sort:
        rows.sort(key=_badness)
    return tuple(rows[: options.number])


def _badness(row: Comparison) -> tuple[bool, bool, float]:
    """The largest MRE first, after what has no finite one; rows without values last."""
    if row.difference is None:
        return (True, True, 0.0)
    return (False, row.difference.mre is not None, -(row.difference.mre or 0.0))


def _save(
    folder: Path, rows: Sequence[Comparison], tallies: Mapping[tuple[str, str, str], Tally]
) -> None:
    """compare.json, and a plot per row; all of them or none."""
    whole = {"schema": SCHEMA, "rows": [asdict(row) for row in rows]}
    text = json.dumps(whole, indent=1) + "\n"
    with atomic_write.file_set() as files:
        files.write_text(folder / "compare.json", text)
        if not tallies:
            return
        from knightlite.diagnosis.scatter import scatter

        stems = file_names(row.name for row in rows)
        for row in rows:
            tally = tallies.get((row.name, row.wanted, row.found))
            if tally is not None and tally.wanted is not None and tally.found is not None:
                name = f"{row.index:04d}_{stems[row.name]}_{row.found}_{row.wanted}.svg"
                drawn = scatter(tally.wanted, tally.found, row.name, row.wanted, row.found)
                files.write_text(folder / "plots" / name, drawn)


def _known(names: Sequence[str], known: Sequence[str], what: str) -> None:
    for name in names:
        if name not in known:
            raise UsageError(
                f"the network has no {what} called {name}.",
                suggestion(name, known),
            )
