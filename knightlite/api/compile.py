"""``compile``: ``X_quantize.onnx`` to ``.cfg`` and ``.weight``, golden model, known answer, map."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from knightlite import __version__, atomic_write, workspace
from knightlite.errors import ModelError, UsageError
from knightlite.talk import SILENT, Talk

if TYPE_CHECKING:
    import onnx

    from knightlite.emit import Compiled
    from knightlite.ir import Graph

KNOWN_ANSWER_SEED = 1
INPUT_LAYOUT = "nchw"  # of ONNX and Paddle models


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
    talk: Talk = SILENT,
    dump_dir: Path | None = None,
) -> CompileResult:
    """Run the stage; either all files appear or none.

    ``dump_dir``: where the graph's text after each rewrite goes, numbered; None for nowhere.
    """
    from knightlite import chip, container
    from knightlite.emit import compile_graph, golden_model, memory_map
    from knightlite.frontend import load_quantized
    from knightlite.ir import graph_text

    workspace.require_usable(directory, out_dir)
    family = chip.find(chip_name)
    graph = load_quantized(onnx_path)
    quantization = _quantization(onnx_path)
    description = {
        "version": __version__,
        "model_sha256": workspace.sha256_of(onnx_path),
        "input_layout": quantization.get("input_layout", INPUT_LAYOUT),
        "recipe": quantization.get("recipe"),
        "quantization": quantization,
    }
    dumps: dict[str, str] = {}

    def watch(name: str, seen: Graph) -> None:
        dumps[f"{len(dumps):02d}_{name}.txt"] = graph_text(seen)

    compiled = compile_graph(graph, family, chip_name, description, watch)
    program = compiled.program
    cfg, weight = container.encode_program(program)
    golden = golden_model(
        compiled.graph,
        metadata={"knightlite.pair": container.pair_digest(program.code, program.data)},
    )
    known_input, known_output = known_answer(compiled.graph, golden)
    stem = onnx_path.stem
    paths = {
        "cfg": out_dir / f"{stem}_r.cfg",
        "weight": out_dir / f"{stem}_r.weight",
        "golden": out_dir / f"{stem}_golden.onnx",
        "known_input": out_dir / f"{stem}_known_input.bin",
        "known_output": out_dir / f"{stem}_known_output.bin",
        "map": out_dir / f"{stem}_r.map.txt",
    }
    with atomic_write.file_set() as files:
        files.write_bytes(paths["cfg"], cfg)
        files.write_bytes(paths["weight"], weight)
        files.write_bytes(paths["golden"], golden.SerializeToString(deterministic=True))
        files.write_bytes(paths["known_input"], known_input)
        files.write_bytes(paths["known_output"], known_output)
        files.write_text(paths["map"], memory_map(compiled.plan, family.chip))
        if dump_dir is not None:
            for name, text in dumps.items():
                files.write_text(dump_dir / name, text)
    workspace.record(directory, "compile", chip_name, {"onnx": str(onnx_path)}, paths)
    return CompileResult(
        paths, _figures(compiled, cfg, weight), tuple(compiled.explanations.sentences)
    )


def quantized_for(path: Path) -> str | None:
    """The chip that ``quant`` was asked for, as noted in the model; None in a file of others."""
    noted = _quantization(path).get("chip") if path.suffix.lower() == ".onnx" else None
    return noted if isinstance(noted, str) else None


def _quantization(path: Path) -> dict[str, Any]:
    """What the quantizer noted in the model's metadata; ModelError where that is damaged."""
    from knightlite.frontend import onnx_file

    model = onnx_file.parse(onnx_file.read_bytes(path), str(path))
    for entry in model.metadata_props:
        if entry.key == "knightlite.quantize":
            with contextlib.suppress(ValueError):  # neither JSON, nor perhaps UTF-8
                found = json.loads(entry.value)
                if isinstance(found, dict) and _sound(found, path):
                    return found
            raise ModelError(
                f"{path} is damaged: its notes of the quantization cannot be read.",
                "quantize the model again",
            )
    return {}


def _sound(notes: Mapping[str, Any], path: Path) -> bool:
    """Whether the notes that end up in the ``.cfg`` make sense; FormatError for a recipe."""
    from knightlite.preprocess import parse_recipe

    recipe = notes.get("recipe")
    if isinstance(recipe, str):
        parse_recipe(recipe, "stored recipe", path.name)
    return notes.get("input_layout") == INPUT_LAYOUT and isinstance(recipe, (str, type(None)))


def known_answer(graph: Graph, golden: onnx.ModelProto) -> tuple[bytes, bytes]:
    """Seeded random input integers and the golden model's answer, concatenated raw (NCHW)."""
    from knightlite.quantize.onnx_models import session

    rng = np.random.default_rng(KNOWN_ANSWER_SEED)
    feeds = {}
    for name in graph.inputs:
        dtype = graph.tensors[name].dtype
        values = rng.integers(dtype.minimum, dtype.maximum + 1, graph.tensors[name].shape)
        feeds[name] = values.astype(dtype.numpy)
    outputs = session(golden).run(list(graph.chip_outputs), feeds)
    return (
        b"".join(array.tobytes() for array in feeds.values()),
        b"".join(np.asarray(array).tobytes() for array in outputs),
    )


def _figures(compiled: Compiled, cfg: bytes, weight: bytes) -> dict[str, Any]:
    meta, plan = compiled.program.meta, compiled.plan
    return {
        "name": meta["name"],
        "chip": meta["chip"],
        "layers": len(meta["layers"]),
        "macs": sum(layer["macs"] for layer in meta["layers"]),
        "cfg_bytes": len(cfg),
        "weight_bytes": len(weight),
        "ddr_bytes": plan.ddr_bytes,
        "constants_bytes": len(plan.constants),
        "fspm_peak_bytes": max(meta["fspm_peak"], default=0),
        "estimated_cycles": sum(layer["estimated_cycles"] for layer in meta["layers"]),
        "copies": sum(node.op == "Copy" for node in compiled.graph.nodes),
        "chains": sum(bool(node.parts) for node in compiled.graph.nodes),
        "host": [op["op"] for op in meta["host"]],
        "cfg_sha256": hashlib.sha256(cfg).hexdigest(),
        "weight_sha256": hashlib.sha256(weight).hexdigest(),
    }


def find_onnx(directory: Path, named: Path | None, talk: Talk = SILENT) -> Path:
    """The quantized model: as named, through the manifest, or what ``quant`` left last."""
    space = workspace.open_workspace(directory)
    if named is not None:
        path, sentence = workspace.resolve(space, named)
    else:
        found = workspace.latest(space, "quant", "onnx")
        path, sentence = found.path, found.sentence
    if sentence:
        talk.say(sentence)
    if not path.is_file():
        raise UsageError(f"file {path} does not exist.")
    return path


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
