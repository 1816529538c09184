"""``sim``: run the bytes on pictures or raw data; compare with the golden model on request."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from knightlite import atomic_write, workspace
from knightlite.api.simulation.host import finisher
from knightlite.errors import DataError, MachineError, ModelError, UsageError
from knightlite.talk import SILENT, Talk

if TYPE_CHECKING:
    from knightlite.chip import ChipFamily
    from knightlite.container import Program

Array = NDArray[Any]
PICTURES = (".jpg", ".jpeg", ".png", ".bmp")
TOP = 5
INPUT_TEXT = "intofile.txt"  # Knight's name


@dataclass(frozen=True, slots=True)
class SimulateOptions:
    """What ``sim`` is asked for; names as Knight's options.

    ``input``: raw float32 or integer file(s), ``.npy``, or a picture. ``debug``: a tensor or layer
    name, or "all". ``check`` compares every materialised byte with the golden model. ``model``: a
    ``.tsmodel`` instead of the pair. ``into_file``: also write the input integers as text.
    """

    input: str
    cfg: Path | None = None
    weight: Path | None = None
    chip: str | None = None
    out_dir: Path = Path()
    layout: str | None = None
    frame_step: int = 0
    frame_count: int | None = None
    labels: Path | None = None
    recipe: str | None = None
    check: bool = False
    golden: Path | None = None
    debug: str | None = None
    model: Path | None = None
    into_file: bool = False
    directory: Path = field(default=Path())


@dataclass(frozen=True, slots=True)
class Guess:
    """One of the best classes of a frame: label, its index and its score."""

    label: str
    index: int
    score: float


@dataclass(frozen=True, slots=True)
class SimulateResult:
    """What ``sim`` found. ``top``: per frame the best classes of the first output."""

    files: Mapping[str, Path]
    frames: int
    top: tuple[tuple[Guess, ...], ...]
    saturations: int
    compared_bytes: int
    differing_bytes: int
    differing_tensors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Binary:
    """A compiled network, and the two files it came from (or whose place a ``.tsmodel`` takes)."""

    cfg: Path
    weight: Path
    program: Program

    def target(self, asked: str | None) -> ChipFamily | None:
        """The chip asked for, or else the one compiled for; UsageError where they differ.

        None where it was compiled for a chip file of the user's: its facts are in the ``.cfg``.
        """
        from knightlite import chip

        compiled_for = str(self.program.meta["chip"])
        if asked is None:
            own = compiled_for.endswith(chip.FILE_SUFFIX)
            return None if own else chip.find(compiled_for)
        target = chip.find(asked)
        if asked != compiled_for and target.digest != self.program.meta["chip_digest"]:
            raise UsageError(
                f"{self.cfg.name} was compiled for chip {compiled_for}, not for {asked}.",
                f"leave --chip out, or compile for {asked}",
            )
        return target


def find_binary(
    directory: Path,
    cfg: Path | None,
    weight: Path | None,
    talk: Talk = SILENT,
    model: Path | None = None,
) -> Binary:
    """The files as named, through the manifest, or what ``compile`` left last.

    ``model``: a ``.tsmodel`` instead of the pair.
    """
    from knightlite import container

    space = workspace.open_workspace(directory)
    if model is not None:
        if cfg is not None or weight is not None:
            raise UsageError(f"{model} holds both files: --config and --weight are unused.")
        path, sentence = workspace.resolve(space, model)
        if sentence:
            talk.say(sentence)
        program = container.decode_model(path.read_bytes(), path.name)
        return Binary(path.with_suffix(".cfg"), path.with_suffix(".weight"), program)
    paths = []
    for key, named in (("cfg", cfg), ("weight", weight)):
        if named is not None:
            path, sentence = workspace.resolve(space, named)
        else:
            found = workspace.latest(space, "compile", key)
            path, sentence = found.path, found.sentence
        if sentence:
            talk.say(sentence)
        if not path.is_file():
            raise UsageError(f"file {path} does not exist.")
        paths.append(path)
    program = container.decode_program(
        paths[0].read_bytes(), paths[1].read_bytes(), paths[0].name, paths[1].name
    )
    return Binary(paths[0], paths[1], program)


def simulate(options: SimulateOptions, talk: Talk = SILENT) -> SimulateResult:
    """Run the stage; either all result files appear or none."""
    from knightlite.sim import Machine
    from knightlite.sim.outputs import chw_text, host_files, result_files

    workspace.require_usable(options.directory, options.out_dir)
    binary = find_binary(options.directory, options.cfg, options.weight, talk, options.model)
    options = replace(options, input=_found_input(options, talk))
    meta = binary.program.meta
    machine = Machine(binary.program, binary.target(options.chip))
    machine.check()
    for entry in meta["inputs"]:
        talk.say(f"the cfg file input bit: {entry['name']} : {_knight_type(entry['type'])}")
    frames, count = _frames(options, meta, talk)
    labels = _labels(options.labels) if options.labels is not None else None
    if options.golden is not None and not options.check:
        raise UsageError("--golden names what --check compares with.", "add --check")
    golden = golden_reference(binary, options.golden, talk) if options.check else None
    wanted = _debug_names(options.debug, meta)
    blobs = blob_names(meta)
    finish = finisher(binary.program)
    paths: dict[str, Path] = {}
    top: list[tuple[Guess, ...]] = []
    compared = differing = saturations = 0
    different: dict[str, None] = {}
    input_texts: list[str] = []
    with atomic_write.file_set() as files:
        for number, inputs in enumerate(frames):
            if options.into_file:
                input_texts += (chw_text(inputs[entry["name"]]) for entry in meta["inputs"])
            tensors: dict[str, Array] = {}
            observe = tensors.__setitem__ if golden is not None or wanted else None
            outputs = machine.run(inputs, observe)
            saturations += machine.saturations
            named = {blobs.get(name, name): values for name, values in outputs.items()}
            for name, data in result_files(named, number if count > 1 else None).items():
                paths[name] = options.out_dir / name
                files.write_bytes(paths[name], data)
            for name, data in _debug_files(wanted, tensors, number if count > 1 else None).items():
                paths[name] = options.out_dir / name
                files.write_bytes(paths[name], data)
            if golden is not None:
                result = golden.compare(inputs, tensors)
                compared += result[0]
                differing += result[1]
                different.update(dict.fromkeys(result[2]))
            finished = finish(outputs)
            for name, data in host_files(meta, finished, number if count > 1 else None).items():
                paths[name] = options.out_dir / name
                files.write_bytes(paths[name], data)
            if labels is not None:
                top.append(_best(next(iter(finished.values())), labels))
            talk.advance("frames", number + 1, count)
        if options.into_file:
            paths[INPUT_TEXT] = options.out_dir / INPUT_TEXT
            files.write_text(paths[INPUT_TEXT], "".join(input_texts))
    if saturations:
        talk.warn(
            f"{saturations} accumulators saturated at 32 bits: the compiler proves this away."
        )
    workspace.record(options.directory, "sim", str(meta["chip"]), {"input": options.input}, paths)
    return SimulateResult(
        paths, count, tuple(top), saturations, compared, differing, tuple(different)
    )


def blob_names(meta: Mapping[str, Any]) -> dict[str, str]:
    """Chip output -> the network output that is the same values in another shape."""
    reshaped = {op["inputs"][0]: op["outputs"][0] for op in meta["host"] if op["op"] == "Reshape"}
    return {
        name: reshaped[name]
        for name in (entry["name"] for entry in meta["outputs"])
        if reshaped.get(name) in meta["graph_outputs"]
    }


def _knight_type(name: str) -> str:
    return {"u8": "uint8", "s8": "int8", "s16": "int16"}[name]


def _found_input(options: SimulateOptions, talk: Talk) -> str:
    """The input argument, with bare file names that are absent here taken from the manifest."""
    from knightlite.sim.inputs import input_paths

    space = workspace.open_workspace(options.directory)
    recorded = {Path(item.path).name for run in space.records for item in run.files.values()}
    parts = []
    for path in input_paths(options.input):
        if not path.exists() and str(path) in recorded:
            path, sentence = workspace.resolve(space, path)
            talk.say(sentence)
        parts.append(str(path))
    return ":".join(parts)


def _frames(
    options: SimulateOptions, meta: Mapping[str, Any], talk: Talk
) -> tuple[Iterator[dict[str, Array]], int]:
    """The frames to run as input integers, and how many they are."""
    from knightlite.sim import inputs

    if Path(options.input).suffix.lower() in PICTURES:
        if options.layout is not None:
            raise UsageError(
                f"the recipe decides the layout of picture {options.input}: -fmt is unused."
            )
        if options.frame_count is not None and options.frame_count > 1:
            talk.say(f"{options.frame_count} frames are asked for, a picture is one.")
        return iter([_picture(options, meta)]), 1
    if options.recipe is not None:
        raise UsageError(
            f"--recipe prepares a picture, but {options.input} does not end in one of "
            f"{', '.join(PICTURES)}."
        )
    layout = options.layout or str(meta["input_layout"])
    said = "as asked" if options.layout else "as stored in the .cfg; Knight's default is nhwc"
    talk.say(f"input layout: {layout} ({said})")
    usual = int(meta["quantization"].get("ir_batch", 1))
    found = inputs.read(
        options.input, meta["inputs"], layout, options.frame_count, options.frame_step, usual
    )
    talk.say(f"input holds {found.available} frame(s) of {found.kind}")
    if len(found.numbers) < found.asked:
        talk.say(f"{found.asked} frames are asked for, {len(found.numbers)} run.")
    elif found.remaining:
        talk.say(
            f"{len(found.numbers)} frame(s) run, {found.remaining} remain; -fc N runs more of them."
        )
    return iter(found), len(found.numbers)


def _picture(options: SimulateOptions, meta: Mapping[str, Any]) -> dict[str, Array]:
    """A picture as input integers, through the recipe in the binary or the one asked for."""
    from knightlite.sim.host import quantize

    entry = meta["inputs"][0]
    return {entry["name"]: quantize(picture(Path(options.input), meta, options.recipe), entry)}


def _reads_pixels(entry: Mapping[str, Any]) -> bool:
    """True for an input in integers, which the network normalizes itself."""
    return bool(entry["type"] == "u8" and entry["scale"] == 1)


def picture(path: Path, meta: Mapping[str, Any], named: str | None) -> Array:
    """A picture as the only input of a .cfg reads it, float32 [1, C, H, W].

    ``named``: a recipe; None takes the one in the .cfg, UsageError where it has none.
    """
    from knightlite.preprocess import load_recipe, parse_recipe, prepare_picture

    if len(meta["inputs"]) != 1:
        raise DataError(f"a picture feeds one input, but the network has {len(meta['inputs'])}.")
    if named is not None:
        recipe = load_recipe(named)
        if _reads_pixels(meta["inputs"][0]):
            recipe = recipe.raw()  # the network does the rest itself
    elif meta["recipe"] is not None:
        recipe = parse_recipe(str(meta["recipe"]), "stored recipe", "the .cfg")
    else:
        raise UsageError(
            "the network was quantized without a recipe, so a picture cannot be prepared.",
            "name one with --recipe, or give a raw file",
        )
    values: Array = prepare_picture(path, recipe, tuple(meta["inputs"][0]["shape"]))
    return values[None]


def _labels(path: Path) -> list[str]:
    """Lines ``idx:name`` (Knight), or one name a line; by index."""
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise DataError(f"labels file {path} cannot be read: {reason}.") from error
    lines = [line for line in lines if line]
    pairs = [line.partition(":") for line in lines]
    if lines and all(sign and index.strip().isdigit() for index, sign, _ in pairs):
        numbered = {int(index): name.strip() for index, _, name in pairs}
        return [numbered.get(index, str(index)) for index in range(max(numbered) + 1)]
    return lines


def _best(scores: Array, labels: list[str]) -> tuple[Guess, ...]:
    flat = np.asarray(scores).reshape(-1)
    order = np.argsort(-flat, kind="stable")[:TOP]
    return tuple(
        Guess(labels[i] if i < len(labels) else str(i), int(i), float(flat[i])) for i in order
    )


def _debug_names(debug: str | None, meta: Mapping[str, Any]) -> set[str]:
    """Tensors to write: all, or the outputs of a layer or tensor of that name."""
    if debug is None:
        return set()
    names = {str(entry["name"]) for entry in meta["tensors"]}
    if debug == "all":
        return names
    if debug not in names:
        raise UsageError(
            f"the program has no materialised tensor called {debug}.",
            f"all, or one of {', '.join(sorted(names)[:8])}, ... (inspect lists the layers)",
        )
    return {debug}


def _debug_files(
    wanted: set[str], tensors: Mapping[str, Array], frame: int | None
) -> dict[str, bytes]:
    from knightlite.sim.outputs import result_files

    chosen = {f"debug-{name}": tensors[name] for name in tensors if name in wanted}
    return result_files(chosen, frame)


def golden_reference(binary: Binary, named: Path | None, talk: Talk = SILENT) -> GoldenReference:
    """The golden model of a binary: as named, else beside its ``.cfg``."""
    import onnx

    from knightlite.frontend import onnx_file
    from knightlite.inference.onnx_models import session

    path = named or binary.cfg.with_name(binary.cfg.name.replace("_r.cfg", "_golden.onnx"))
    if not path.is_file():
        raise UsageError(
            f"the golden model {path} does not exist.", "compile writes it; or use --golden"
        )
    talk.say(f"comparing with {path} in ONNX Runtime")
    model = onnx_file.parse(path.read_bytes(), str(path))
    pair = {entry.key: entry.value for entry in model.metadata_props}.get("knightlite.pair")
    if pair != binary.program.meta["pair"]:
        raise UsageError(
            f"{path.name} and {binary.cfg.name} are not of the same compile run.",
            "compile again, or name the golden model with --golden",
        )
    names = tuple(str(entry["name"]) for entry in binary.program.meta["tensors"])
    inputs = frozenset(item.name for item in model.graph.input)
    have = {item.name for item in model.graph.output}
    for name in names:
        if name not in inputs | have:
            model.graph.output.append(onnx.ValueInfoProto(name=name))
    with _damage_of(path):
        return GoldenReference(path, names, inputs, session(model))


@contextlib.contextmanager
def _damage_of(path: Path) -> Iterator[None]:
    """ModelError for whatever ONNX Runtime says of a golden model: compile wrote a sound one."""
    try:
        yield
    except Exception as error:  # its errors have no base class of their own
        reason = " ".join(str(error).split()).rstrip(".")
        raise ModelError(
            f"{path} is damaged: ONNX Runtime refuses it ({reason}).", "compile the model again"
        ) from error


@dataclass(frozen=True, slots=True)
class GoldenReference:
    """The golden model in ONNX Runtime; ``names``: every tensor the program materialises."""

    path: Path
    names: tuple[str, ...]
    inputs: frozenset[str]
    session: Any

    def compare(
        self, inputs: Mapping[str, Array], tensors: Mapping[str, Array]
    ) -> tuple[int, int, list[str]]:
        """(bytes compared, bytes that differ, tensors that differ) of one frame."""
        names = [name for name in self.names if name not in self.inputs]
        with _damage_of(self.path):
            expected = dict(zip(names, self.session.run(names, dict(inputs)), strict=True))
        expected.update({name: inputs[name] for name in self.names if name in self.inputs})
        compared = differing = 0
        different = []
        for name in self.names:
            want, have = np.asarray(expected[name]), tensors[name]
            if want.dtype != have.dtype or want.shape != have.shape:
                raise MachineError(
                    f"tensor {name} is {have.dtype} {have.shape} in the program and "
                    f"{want.dtype} {want.shape} in the golden model."
                )
            compared += want.nbytes
            wrong = np.count_nonzero(
                np.ascontiguousarray(want).view(np.uint8)
                != np.ascontiguousarray(have).view(np.uint8)
            )
            differing += int(wrong)
            if wrong:
                different.append(name)
        return compared, differing, different
