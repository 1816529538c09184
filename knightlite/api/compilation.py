"""``compile`` and ``explain``: a quantized model to the files of a compiled network, and why so."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from knightlite import atomic_write, workspace
from knightlite.api.chips.evidence import evidence_for
from knightlite.api.chips.settings import chip_or_default
from knightlite.api.models.calibration_pictures import quant_run
from knightlite.api.models.compiled import CompiledModel
from knightlite.api.models.finding import find_quantized
from knightlite.api.models.notes import INPUT_LAYOUT, golden_metadata, notes_of, quantized_for
from knightlite.api.models.search_file import budget_from, saved_search
from knightlite.api.models.stage_files import COMPILE_FILES
from knightlite.container import Origin
from knightlite.errors import (
    CapacityError,
    Finding,
    KnightliteError,
    UnsupportedError,
    UsageError,
    suggestion,
    together,
)
from knightlite.json_records import to_json
from knightlite.layouts import Layout
from knightlite.options import check
from knightlite.options.command_line import option_words
from knightlite.options.compile import CompileOptions, ExplainOptions
from knightlite.talk import SILENT, Talk
from knightlite.version import __version__

if TYPE_CHECKING:
    import onnx

    from knightlite.chip import ChipFamily
    from knightlite.compiler import Compiled
    from knightlite.container import Once, QuantizationNotes
    from knightlite.ir import Graph
    from knightlite.isa import Space
    from knightlite.profiler import Certificate, FrameTime
    from knightlite.schedule import Budget
    from knightlite.schedule import Peak as Peak

KNOWN_ANSWER_SEED = 1


@dataclass(frozen=True, slots=True)
class CompileResult:
    """What ``compile`` made: files by key, and the figures it prints (bytes, counts, cycles)."""

    files: Mapping[str, Path]
    figures: Mapping[str, Any]
    explanations: tuple[tuple[str, str, str], ...]  # node, pass, sentence
    certificate: Certificate
    frame: FrameTime
    memory: tuple[Peak, ...]  # what lies in each memory at its fullest, where it is asked for

    @property
    def certificate_json(self) -> Mapping[str, Any]:
        """Cycles, bound and regions, as ``--json`` has them."""
        from knightlite.profiler import certificate_json

        return certificate_json(self.certificate)

    @property
    def bound_lines(self) -> list[tuple[str, str]]:
        """Label and value: cycles, bound, their ratio."""
        from knightlite.profiler import certificate_lines

        return certificate_lines(self.certificate)

    @property
    def region_table(self) -> list[tuple[str, ...]]:
        """What each region adds and loses, titles first; nothing at level 0."""
        from knightlite.profiler import region_table

        return region_table(self.certificate)


def compile_model(options: CompileOptions, talk: Talk = SILENT) -> CompileResult:
    """Run the stage; either all files appear or none."""
    from knightlite.frontend import onnx_file

    path = _quantized_of(options, talk)
    if options.opt_ddr == 2:
        talk.say("--opt-ddr 2 is taken as 1: tensors share DDR where their lives allow it.")
    if options.opt_group != 2 and (options.evaluations, options.search_seconds) != (None, None):
        talk.say("--evaluations and --search-seconds change nothing without --opt-group 2.")
    workspace.require_usable(options.directory, options.out_dir)
    sources = workspace.hashed(options.directory, {"onnx": path})
    state = options.out_dir / COMPILE_FILES["search"].format(path.stem)
    made = compile_bytes(onnx_file.read_bytes(path), path, options, talk, state)
    with atomic_write.file_set() as files:
        paths = made.add_to(files, options.out_dir)
    chip = made.figures["chip"]
    more = option_words(options, frozenset(("onnx", "chip", "as_json")))
    told = {"onnx": str(path), "more": more, "chip": options.chip}
    workspace.record(options.directory, "compile", chip, told, paths, sources, warn=talk.warn)
    if made.figures["host"]:
        host = ", ".join(made.figures["host"])
        talk.say(f"On the host, outside the byte comparison: {host}.")
    return CompileResult(
        paths, made.figures, made.explanations, made.certificate, made.frame, made.memory
    )


def _quantized_of(options: CompileOptions | ExplainOptions, talk: Talk) -> Path:
    """The quantized model; what is wrong with it and with other options is said at once."""
    found = together(
        lambda: find_quantized(options.directory, options.onnx, talk),
        lambda: check(options),
    )
    assert found[0] is not None
    return found[0]


def compile_bytes(
    model: bytes,
    path: Path,
    options: CompileOptions,
    talk: Talk = SILENT,
    state: Path | None = None,
) -> CompiledModel:
    """Compile the quantized model in ``model``; nothing is written.

    ``path``: what it is called in sentences and, by its stem, in file names. ``state``: the file of
    a search that this one goes on from, where it is there.
    """
    from knightlite import chip_files, container
    from knightlite.compiler import compile_graph
    from knightlite.emit import bound_record, golden_model, memory_map
    from knightlite.frontend import load_quantized
    from knightlite.ir.part import part, with_outputs
    from knightlite.isa import disassemble
    from knightlite.lower import skips_zeros
    from knightlite.profiler import certificate, frame_time
    from knightlite.schedule import LEVELS, memory_peaks

    check(options)
    target = _chip_for(options.chip, path, options.directory, model, talk)
    family = chip_files.find(target)
    graph = load_quantized(path, model)
    notes = notes_of(path, model)
    if options.open_loops:
        _require_option("unfixloop", "its loops have a fixed count", family, target)
        if options.first_layer is not None or options.last_layer is not None:
            raise UsageError(
                "--unfixloop is for a whole network, from its inputs to all of its states.",
                "leave -sln and -eln out",
            )
        graph = _kept(graph, notes, path)
    elif notes is not None and notes.states:
        talk.say(
            f"{path.name} is one step of a sequence; its states "
            f"({', '.join(item.input for item in notes.states)}) are inputs that you feed. "
            "--unfixloop keeps them from frame to frame."
        )
    whole = graph.inputs
    if options.first_layer is not None or options.last_layer is not None:
        graph = part(graph, options.first_layer, options.last_layer)
    graph = with_outputs(graph, options.outputs)
    origin = Origin(
        version=__version__,
        model_sha256=hashlib.sha256(model).hexdigest(),
        input_layout=cast(Layout, options.input_order or INPUT_LAYOUT),
        res_version=options.res_version,
        recipe=notes.recipe if notes is not None and graph.inputs == whole else None,
        quantization=notes,
    )
    compiled = compile_graph(
        graph,
        family,
        target,
        origin,
        options.opt_ddr != 0,
        level=level_of(options),
        sparse=options.sparse,
        budget=_budget(options, state, origin.model_sha256, family.digest),
        apart=_apart(options, family, target),
        once=_once(options),
    )
    if options.sparse and not skips_zeros(compiled.graph):
        talk.say(f"--sparse changes nothing: no convolution of {graph.name} has a block of zeros.")
    program = compiled.program
    cfg, weight = container.encode_program(program)
    golden = golden_model(compiled.graph, metadata=golden_metadata(program))
    known_input, known_output = known_answer(compiled.graph, golden)
    contents = {
        "cfg": cfg,
        "weight": weight,
        "tsmodel": container.encode_model(cfg, weight),
        "golden": golden.SerializeToString(deterministic=True),
        "known_input": known_input,
        "known_output": known_output,
        "map": memory_map(compiled.plan, family.chip).encode("utf-8"),
    }
    order = compiled.plan.order
    if order is not None and LEVELS[level_of(options)].searches:
        contents["search"] = saved_search(order, origin.model_sha256, family.digest)
        tried = order.tried
        talk.say(f"{tried} changes of the schedule tried: --evaluations {tried} makes the same.")
    _tell_once(program.meta.once, options, graph.name, talk)
    # what no schedule is faster than loads its constants in every frame
    bound = None if program.meta.once else bound_record(compiled.graph, family.chip)
    proof = certificate(program, bound)
    frame = frame_time(program, proof.cycles, evidence_for(family))
    return CompiledModel(
        path.stem,
        contents,
        _figures(compiled, cfg, weight) | frame.json,
        tuple(compiled.explanations.sentences),
        proof,
        frame,
        memory_peaks(compiled.plan, disassemble(program.code), family.chip)
        if options.explain_memory
        else (),
    )


def _apart(options: CompileOptions, family: ChipFamily, chip: str) -> list[str]:
    """What lies outside the network's memory; UnsupportedError where the chip has it inside."""
    found = []
    for side, asked in (("inputs", options.input_indep), ("outputs", options.output_indep)):
        if asked:
            why = f"its {side} lie in the network's memory"
            _require_option(f"{side[:-1]}-indep", why, family, chip)
            found.append(side)
    return found


def _once(options: CompileOptions) -> dict[Space, int]:
    """Offsets from which constants stay."""
    from knightlite.isa import Space

    asked = {Space.MSPM: options.onceload_m, Space.WSPM: options.onceload_w}
    return {space: offset for space, offset in asked.items() if offset >= 0}


def _tell_once(once: Once | None, options: CompileOptions, name: str, talk: Talk) -> None:
    """Where what stays ends, as Knight's log has it."""
    for memory, asked in (("mspm", options.onceload_m), ("wspm", options.onceload_w)):
        size = getattr(once, f"{memory}_bytes") if once else 0
        if asked >= 0 and size:
            end = getattr(once, f"{memory}_address") + size
            talk.say(f"{memory.upper()} once load end:{end}")
        elif asked >= 0:
            talk.say(f"--onceload-{memory[0]} changes nothing: {name} loads nothing there.")


def _require_option(option: str, why: str, family: ChipFamily, chip: str) -> None:
    """UnsupportedError where a chip does not have what an option asks for."""
    from knightlite import chip_files

    if option in family.without:
        known = [item for item in chip_files.families() if not item.model_of]
        able = [item.names for item in known if option not in item.without]
        names = ", ".join(itertools.chain(*able))
        raise UnsupportedError(
            f"{chip} has no --{option}: {why}.",
            f"leave it out, or compile for one that has it: {names}",
        )


def _kept(graph: Graph, notes: QuantizationNotes | None, path: Path) -> Graph:
    """The quantized network whose states stay between frames; UsageError where it has none."""
    from knightlite.ir import State
    from knightlite.ir.states import with_states

    if notes is None or not notes.states:
        raise UsageError(
            f"{path.name} was quantized as a whole, not as one step of its loops, which "
            "--unfixloop needs.",
            "`knightlite quant --unfixloop`, with the options that it had, quantizes it so",
        )
    states = [State(item.input, item.output, item.initial) for item in notes.states]
    return with_states(graph, states, path.name)


def _budget(
    options: CompileOptions, state: Path | None, model_sha256: str, chip_digest: str
) -> Budget | None:
    """How long a schedule is searched for; None at a level that does not."""
    from knightlite.schedule import LEVELS, Budget

    if not LEVELS[level_of(options)].searches:
        return None
    evaluations = Budget().evaluations if options.evaluations is None else options.evaluations
    if state is None:
        return Budget(evaluations, options.search_seconds)
    return budget_from(state, model_sha256, chip_digest, evaluations, options.search_seconds)


def level_of(options: CompileOptions | ExplainOptions) -> int:
    """The schedule level that is there for what is asked."""
    from knightlite.schedule import LEVELS

    return min(options.opt_group, len(LEVELS) - 1)


def known_answer(graph: Graph, golden: onnx.ModelProto) -> tuple[bytes, bytes]:
    """Seeded random input integers and the golden model's answer, concatenated raw (NCHW)."""
    from knightlite.inference import golden_session
    from knightlite.ir.states import first_values

    rng = np.random.default_rng(KNOWN_ANSWER_SEED)
    feeds = {}
    for name in graph.fed_inputs:
        dtype = graph.tensors[name].dtype
        values = rng.integers(dtype.minimum, dtype.maximum + 1, graph.tensors[name].shape)
        feeds[name] = values.astype(dtype.numpy)
    known = {item.input: first_values(graph, item) for item in graph.states}
    outputs = golden_session(golden).run(list(graph.seen_chip_outputs), {**feeds, **known})
    return (
        b"".join(array.tobytes() for array in feeds.values()),
        b"".join(array.tobytes() for array in outputs),
    )


def _figures(compiled: Compiled, cfg: bytes, weight: bytes) -> dict[str, Any]:
    from knightlite.isa import Load, Store, disassemble
    from knightlite.profiler import once_bytes, once_cycles

    meta, plan = compiled.program.meta, compiled.plan
    code = disassemble(compiled.program.code)[meta.once_instructions :]
    loads = [item for item in code if isinstance(item, Load)]
    stores = [item for item in code if isinstance(item, Store)]
    return {
        "name": meta.name,
        "chip": meta.chip,
        "schedule_level": meta.schedule_level,
        "layers": len(meta.layers),
        "macs": sum(layer.macs for layer in meta.layers),
        "cfg_bytes": len(cfg),
        "weight_bytes": len(weight),
        "ddr_bytes": plan.ddr_bytes,
        "constants_bytes": len(plan.constants),
        "regions": [
            {"of": item.of, "address": item.address, "size": item.size} for item in meta.regions
        ],
        "once": None
        if meta.once is None
        else to_json(meta.once)
        | {"read_bytes": once_bytes(compiled.program), "cycles": once_cycles(compiled.program)},
        "ddr_read_bytes": sum(item.payload_bytes for item in loads),
        "ddr_write_bytes": sum(item.payload_bytes for item in stores),
        "ddr_burst_bytes": sum(item.ddr_bytes(meta.chip_values) for item in (*loads, *stores)),
        "fspm_peak_bytes": max(meta.fspm_peak, default=0),
        "estimated_cycles": sum(layer.estimated_cycles for layer in meta.layers),
        "copies": sum(node.op == "Copy" for node in compiled.graph.nodes),
        "chains": sum(bool(node.parts) for node in compiled.graph.nodes),
        "host": [op.op for op in meta.host],
        "trips": [[item.op for item in trip] for trip in meta.trips],
        "cfg_sha256": hashlib.sha256(cfg).hexdigest(),
        "weight_sha256": hashlib.sha256(weight).hexdigest(),
    }


def _chip_for(
    asked: str | None,
    path: Path,
    directory: Path,
    data: bytes | None = None,
    talk: Talk = SILENT,
) -> str:
    """The chip that is asked for, else the one quantized for, else the default one.

    What follows where the two are not one is said.
    """
    noted = quantized_for(path, data)
    chip = chip_or_default(asked or noted, talk)
    if noted is not None and not _same_chip(noted, chip):
        talk.say(
            f"{path.name} was quantized for {noted} and is taken for {chip}: types and scales are "
            f"the same for every chip, limits and cycles are {chip}'s. Only 16 bits within a "
            f"budget of cycles (--mix-budget, --effort high) were weighed by those of {noted}; "
            f"{_again(path, directory, chip)} weighs them anew."
        )
    return chip


def _again(path: Path, directory: Path, chip: str) -> str:
    """The quant command that left a file, for another chip; what it lacks where nobody knows."""
    try:
        space = workspace.open_workspace(directory)
        run = quant_run(space, (workspace.sha256_of(path),))
    except (KnightliteError, OSError):
        run = None
    if run is None:
        return f"the quant command that made {path.name}, with --chip {chip},"
    options = {**run.options, "chip": chip}
    return f"`{workspace.command_of(replace(run, chip=chip, options=options))}`"


def _same_chip(one: str, other: str) -> bool:
    """Whether two names are of one chip; a chip file that is gone is no other one's."""
    from knightlite import chip_files

    try:
        return one == other or chip_files.find(one).digest == chip_files.find(other).digest
    except KnightliteError:
        return False


def explain(options: ExplainOptions, talk: Talk = SILENT) -> list[tuple[str, str, str]]:
    """(node, pass, sentence) of all rewrites that looked at the node (or any); of the schedule."""
    from knightlite import chip_files
    from knightlite.compiler import side_by_side, skip_zeros
    from knightlite.frontend import load_quantized
    from knightlite.passes import PIPELINE, Explanations, run_passes

    path = _quantized_of(options, talk)
    node = options.node
    family = chip_files.find(_chip_for(options.chip, path, options.directory, talk=talk))
    graph = load_quantized(path)
    known = {item.name for item in graph.nodes}
    if node is not None and node not in known:
        raise UsageError(
            f"{path} has no node called {node}.",
            suggestion(node, sorted(known), "`knightlite explain` without a name lists them")
            if not Path(node).suffix or not Path(node).is_file()
            else f"name a model by its option: `knightlite explain --onnx {node}`",
        )
    explanations = Explanations()
    rewritten = run_passes(graph, family.chip, PIPELINE, explanations)
    if options.sparse:
        rewritten = skip_zeros(rewritten, family.chip, explanations)
    side_by_side(rewritten, family.chip, explanations)
    rows = [row for row in explanations.sentences if node in (None, row[0])]
    return rows + _scheduled(graph, family, options)


def _scheduled(
    graph: Graph, family: ChipFamily, options: ExplainOptions
) -> list[tuple[str, str, str]]:
    """What became of a node (or all) in the schedule, or why there is none."""
    from knightlite.compiler import plan_graph
    from knightlite.schedule import explained

    node, level = options.node, level_of(options)
    try:
        plan = plan_graph(graph, family, family.names[0], level=level, sparse=options.sparse)
    except (CapacityError, UnsupportedError) as error:
        found = error.findings or (Finding(graph.name, error.sentence, error.hint),)
        return [(item.where, "schedule", f"refused: {item.sentence}") for item in found]
    return [
        (node or told.nodes[-1], "schedule", told.sentence)
        for told in explained(plan)
        if node is None or node in told.nodes
    ]
