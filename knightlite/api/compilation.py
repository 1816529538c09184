"""``compile``: ``X_quantize.onnx`` to ``.cfg`` and ``.weight``, golden model, known answer, map."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from knightlite import atomic_write, workspace
from knightlite.api.models.compiled import CompiledModel
from knightlite.api.models.notes import INPUT_LAYOUT, notes_of
from knightlite.container import Origin
from knightlite.container.description import LAYOUTS, MAX_RES_VERSION, Layout
from knightlite.errors import UsageError
from knightlite.version import __version__

if TYPE_CHECKING:
    import onnx

    from knightlite.compiler import Compiled
    from knightlite.ir import Graph

KNOWN_ANSWER_SEED = 1


@dataclass(frozen=True, slots=True)
class CompileSettings:
    """How to compile. ``outputs``: inner tensors that the network delivers too.

    ``first_layer``, ``last_layer``: the part between them, None for all. ``reuse_ddr``: features
    share addresses. ``res_version``: a text of the user's, up to 16 characters. ``input_order``:
    layout of raw input files, None for that of the model.
    """

    outputs: tuple[str, ...] = ()
    first_layer: str | None = None
    last_layer: str | None = None
    reuse_ddr: bool = True
    res_version: str = "1.0"
    input_order: str | None = None

    def __post_init__(self) -> None:
        """UsageError for a text that cannot be stored."""
        if len(self.res_version) > MAX_RES_VERSION:
            raise UsageError(
                f"the resource version must have at most {MAX_RES_VERSION} characters, not "
                f"{len(self.res_version)}."
            )
        if not self.res_version.isprintable():
            raise UsageError(
                f"the resource version must be printable text, not {self.res_version!a}."
            )
        if self.input_order not in (None, *LAYOUTS):
            raise UsageError(
                f"the input order must be one of {', '.join(LAYOUTS)}, not {self.input_order}."
            )

    @property
    def layout(self) -> Layout:
        """The layout of raw input files."""
        return cast(Layout, self.input_order or INPUT_LAYOUT)


@dataclass(frozen=True, slots=True)
class CompileResult:
    """What ``compile`` made: files by key, and the figures it prints (bytes, counts, cycles)."""

    files: Mapping[str, Path]
    figures: Mapping[str, Any]
    explanations: tuple[tuple[str, str, str], ...]  # node, pass, sentence


def compile_model(
    onnx_path: Path,
    chip_name: str,
    out_dir: Path = Path(),
    directory: Path = Path(),
    settings: CompileSettings | None = None,
) -> CompileResult:
    """Run the stage; either all files appear or none."""
    from knightlite.frontend import onnx_file

    workspace.require_usable(directory, out_dir)
    sources = workspace.hashed(directory, {"onnx": onnx_path})
    made = compile_bytes(onnx_file.read_bytes(onnx_path), onnx_path, chip_name, settings)
    with atomic_write.file_set() as files:
        paths = made.add_to(files, out_dir)
    workspace.record(directory, "compile", chip_name, {"onnx": str(onnx_path)}, paths, sources)
    return CompileResult(paths, made.figures, made.explanations)


def compile_bytes(
    model: bytes,
    path: Path,
    chip_name: str,
    settings: CompileSettings | None = None,
) -> CompiledModel:
    """Compile the quantized model in ``model``; nothing is read or written.

    ``path``: what it is called in sentences and, by its stem, in file names.
    """
    from knightlite import chip, container
    from knightlite.compiler import compile_graph
    from knightlite.emit import golden_model, memory_map
    from knightlite.frontend import load_quantized
    from knightlite.frontend.model_kind import PAIR_NOTE
    from knightlite.ir.part import part, with_outputs

    family = chip.find(chip_name)
    asked = settings or CompileSettings()
    graph = load_quantized(path, model)
    whole = graph.inputs
    if asked.first_layer is not None or asked.last_layer is not None:
        graph = part(graph, asked.first_layer, asked.last_layer)
    graph = with_outputs(graph, asked.outputs)
    notes = notes_of(path, model)
    origin = Origin(
        version=__version__,
        model_sha256=hashlib.sha256(model).hexdigest(),
        input_layout=asked.layout,
        res_version=asked.res_version,
        recipe=notes.recipe if notes is not None and graph.inputs == whole else None,
        quantization=notes,
    )
    compiled = compile_graph(graph, family, chip_name, origin, asked.reuse_ddr)
    program = compiled.program
    cfg, weight = container.encode_program(program)
    golden = golden_model(
        compiled.graph,
        metadata={PAIR_NOTE: container.pair_digest(program.code, program.data)},
    )
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
    return CompiledModel(
        path.stem,
        contents,
        _figures(compiled, cfg, weight),
        tuple(compiled.explanations.sentences),
    )


def known_answer(graph: Graph, golden: onnx.ModelProto) -> tuple[bytes, bytes]:
    """Seeded random input integers and the golden model's answer, concatenated raw (NCHW)."""
    from knightlite.inference import session

    rng = np.random.default_rng(KNOWN_ANSWER_SEED)
    feeds = {}
    for name in graph.inputs:
        dtype = graph.tensors[name].dtype
        values = rng.integers(dtype.minimum, dtype.maximum + 1, graph.tensors[name].shape)
        feeds[name] = values.astype(dtype.numpy)
    outputs = session(golden).run(list(graph.chip_outputs), feeds)
    return (
        b"".join(array.tobytes() for array in feeds.values()),
        b"".join(array.tobytes() for array in outputs),
    )


def _figures(compiled: Compiled, cfg: bytes, weight: bytes) -> dict[str, Any]:
    meta, plan = compiled.program.meta, compiled.plan
    return {
        "name": meta.name,
        "chip": meta.chip,
        "layers": len(meta.layers),
        "macs": sum(layer.macs for layer in meta.layers),
        "cfg_bytes": len(cfg),
        "weight_bytes": len(weight),
        "ddr_bytes": plan.ddr_bytes,
        "constants_bytes": len(plan.constants),
        "fspm_peak_bytes": max(meta.fspm_peak, default=0),
        "estimated_cycles": sum(layer.estimated_cycles for layer in meta.layers),
        "copies": sum(node.op == "Copy" for node in compiled.graph.nodes),
        "chains": sum(bool(node.parts) for node in compiled.graph.nodes),
        "host": [op.op for op in meta.host],
        "cfg_sha256": hashlib.sha256(cfg).hexdigest(),
        "weight_sha256": hashlib.sha256(weight).hexdigest(),
    }


def explain(onnx_path: Path, chip_name: str, node: str | None) -> list[tuple[str, str, str]]:
    """(node, pass, sentence) of every rewrite that looked at ``node`` (or at any)."""
    from knightlite import chip
    from knightlite.frontend import load_quantized
    from knightlite.passes import PIPELINE, Explanations, run_passes

    graph = load_quantized(onnx_path)
    known = {item.name for item in graph.nodes}
    if node is not None and node not in known:
        raise UsageError(
            f"{onnx_path} has no node called {node}.",
            "knightlite explain without a name lists them all",
        )
    explanations = Explanations()
    run_passes(graph, chip.find(chip_name).chip, PIPELINE, explanations)
    return [row for row in explanations.sentences if node in (None, row[0])]
