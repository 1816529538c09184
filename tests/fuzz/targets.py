"""Every reader of files, with a sound file and the mutators of its format."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from unittest import mock

import numpy as np

from fuzz import mutators, seeds, served
from fuzz.mutators import Mutate
from knightlite import chip_files, container, dtypes, workspace
from knightlite.api import run_config
from knightlite.api.chips.settings import default_chip
from knightlite.api.comparison import dump
from knightlite.api.comparison.layer_values import simulated_values
from knightlite.api.comparison.stage_files import sample
from knightlite.api.deployment import bin2header, deploy
from knightlite.api.evaluation import forms, state, stored_frames
from knightlite.api.exploration import records as explored
from knightlite.api.inspection import inspect_file, model_info, quantization_notes
from knightlite.api.inspection.results import load_array, text_form
from knightlite.api.models.binary import Binary, open_binary
from knightlite.api.models.partners import cfg_beside, golden_beside
from knightlite.api.models.search_file import budget_from
from knightlite.api.quantization import input_configs
from knightlite.api.simulation import build
from knightlite.api.simulation.golden import golden_reference, read_golden
from knightlite.api.simulation.host import finisher
from knightlite.deploy import c_array
from knightlite.deploy.code_size import PRESETS, CodeSize
from knightlite.frontend import (
    load,
    load_quantized,
    model_files,
    paddle_forms,
    paddle_pir,
    paddle_weights,
)
from knightlite.frontend.model_kind import kind_of_file
from knightlite.ir import Tensor
from knightlite.metrics.annotations import read_annotations
from knightlite.options.deploy import Bin2HeaderOptions, DeployOptions
from knightlite.preprocess import load_recipe, prepare_picture, read_labels, turned_remark
from knightlite.profiler import profile, profile_json, read_profile
from knightlite.quantize.data import Source
from knightlite.quantize.mixed.mix_config import read_mix
from knightlite.quantize.scales.scale_file import read_scales
from knightlite.quantize.statistics import distribution_cache
from knightlite.serving.protocol import read_request
from knightlite.serving.run import _token as server_token
from knightlite.sim import Machine
from knightlite.sim import inputs as sim_inputs
from knightlite.sim.outputs import OUTPUT, stems_of
from paddle_program import conv_relu_program, conv_relu_weights, records

SLOW, RUNNING, FAST = 1, 4, 16
"""Inputs in a round of those that read networks, of those that run one, and of the others."""


@dataclass(frozen=True)
class Target:
    """A reader, the name its file has, a sound file, and the mutators of its format."""

    name: str
    file: str
    seed: bytes
    read: Callable[[Path], object]
    mutate: tuple[Mutate, ...]
    share: int = FAST


PROTO = (mutators.protobuf, mutators.protobuf, mutators.raw)
TEXT = (mutators.json_text, mutators.json_text, mutators.json_text, mutators.raw)
BINARY = (mutators.compiled, mutators.compiled, mutators.compiled, mutators.raw)
RAW = (mutators.raw,)
PROGRAM = (mutators.program,)
PICTURES = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")


def targets(folder: Path) -> tuple[Target, ...]:
    """Every reader with a sound file of ``folder``, which :func:`seeds.make_chain` filled."""
    return (*_networks(folder), *_paddle(), *_binaries(folder), *_texts(folder), *_data(folder))


def make_place(place: Path, folder: Path, chosen: Sequence[Target]) -> None:
    """The folder that inputs are written to, with what some of them name."""
    for target in chosen:
        (place / target.file).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(folder / "e.bin", place)
    for name in ("m_quantize_r.cfg", "m_quantize_r.weight"):
        shutil.copy(folder / name, place / "l")


def _networks(folder: Path) -> list[Target]:
    quantized = (folder / "m_quantize.onnx").read_bytes()

    def read_float(path: Path) -> object:
        return kind_of_file(path), load(path, general=True)

    def read_external(path: Path) -> object:
        return model_files.files_beside(path), load(path)

    def read_notes(path: Path) -> object:
        return model_info(path), quantization_notes(path)

    def read_form(path: Path) -> object:
        return forms.open_form(forms.source_of(path), None, (), 1)

    return [
        Target("onnx", "m.onnx", (folder / "m.onnx").read_bytes(), read_float, PROTO, SLOW),
        Target("external", "e.onnx", (folder / "e.onnx").read_bytes(), read_external, PROTO, SLOW),
        Target("quantized", "q.onnx", quantized, load_quantized, PROTO, SLOW),
        Target("notes", "n.onnx", quantized, read_notes, PROTO, SLOW),
        Target("form", "k/f.onnx", quantized, read_form, PROTO, SLOW),
        Target(
            "golden form",
            "l/m_quantize_golden.onnx",
            (folder / "m_quantize_golden.onnx").read_bytes(),
            read_form,
            PROTO,
            SLOW,
        ),
    ]


def _paddle() -> list[Target]:
    weights = conv_relu_weights()
    program = conv_relu_program(weights)

    def parameters(path: Path) -> object:
        expected = paddle_weights.expected_tensors(program, path)
        paddle_weights.check(path.read_bytes(), path, expected)
        return expected

    def pir(path: Path) -> object:
        data = path.read_bytes()
        found = paddle_pir.expected_tensors(data, path)
        paddle_pir.refuse_approximated(json.loads(data)["program"], path)
        return found

    return [
        Target("program", "p.pdmodel", program,
               lambda path: paddle_weights.expected_tensors(path.read_bytes(), path), PROTO),
        Target("forms", "p.pdmodel", program,
               lambda path: paddle_forms.spelled_out(path.read_bytes(), path), PROTO),
        Target("parameters", "p.pdiparams", records(weights), parameters, RAW),
        Target("pir", "p.json", json.dumps(seeds.PIR).encode(), pir, TEXT),
    ]  # fmt: skip


def _binaries(folder: Path) -> list[Target]:
    cfg, weight = folder / "m_quantize_r.cfg", folder / "m_quantize_r.weight"
    golden, model = folder / "m_quantize_golden.onnx", folder / "m_quantize_r.tsmodel"
    cfg_bytes, weight_bytes = cfg.read_bytes(), weight.read_bytes()
    binary = open_binary(cfg)
    meta, reference = binary.program.meta, golden_reference(binary, golden)
    sound = {entry.name: np.zeros(entry.shape, entry.dtype.numpy) for entry in meta.outputs}

    def decode(path: Path) -> object:
        data = path.read_bytes()
        mine, other = (data, weight_bytes) if path.suffix == ".cfg" else (cfg_bytes, data)
        return container.decode_program(mine, other, "a.cfg", "a.weight")

    def show(path: Path) -> object:
        return list(inspect_file(path).lines())

    def execute(path: Path) -> object:
        made = open_binary(path)
        machine = Machine(made.program, made.target(None))
        zeros = {
            entry.name: np.zeros(entry.shape, entry.dtype.numpy)
            for entry in made.program.meta.inputs
        }
        return finisher(made.program)(machine.run(zeros))

    def profiled(path: Path) -> object:
        return profile_json(profile(open_binary(path).program))

    def listed(path: Path) -> object:
        return model_info(path), *inspect_file(path).lines()

    def deployed(path: Path) -> object:
        sizes = tuple(map(CodeSize, PRESETS))  # no compiler runs
        with mock.patch("knightlite.deploy.code_sizes", return_value=sizes):
            return deploy(
                DeployOptions(model=path, out_dir=path.parent / "project", arrays=True, force=True)
            )

    def run_host(path: Path) -> object:
        return finisher(replace(binary.program, host=path.read_bytes()))(sound)

    def read_golden_model(path: Path) -> object:
        return read_golden(Binary(path.with_suffix(".cfg"), weight, binary.program), path)

    def find_golden(path: Path) -> object:
        return golden_beside(path.with_suffix(".cfg"), meta.pair)

    def find_cfg(path: Path) -> object:
        return cfg_beside(path.with_suffix(".onnx"), meta.pair)

    def known_input(path: Path) -> object:
        with mock.patch.object(build, "golden_reference", return_value=reference):
            return build.check_model(cfg, weight, path)

    return [
        Target("cfg", "a.cfg", cfg_bytes, decode, BINARY, SLOW),
        Target("weight", "a.weight", weight_bytes, decode, BINARY, SLOW),
        Target("inspect", "b.cfg", cfg_bytes, show, BINARY, SLOW),
        Target("tsmodel", "a.tsmodel", model.read_bytes(), execute, BINARY, SLOW),
        Target("executed", "b.tsmodel", model.read_bytes(), execute, PROGRAM, RUNNING),
        Target("profiled", "c.tsmodel", model.read_bytes(), profiled, PROGRAM, SLOW),
        Target("listed", "d.tsmodel", model.read_bytes(), listed, PROGRAM, SLOW),
        Target("deployed", "p/e.tsmodel", model.read_bytes(), deployed, PROGRAM, SLOW),
        Target("host", "host.onnx", binary.program.host, run_host, PROTO, SLOW),
        Target("golden", "g.onnx", golden.read_bytes(), read_golden_model, PROTO, SLOW),
        Target("golden beside", "h/g.onnx", golden.read_bytes(), find_golden, PROTO),
        Target("cfg beside", "i/a.cfg", cfg_bytes, find_cfg, BINARY, SLOW),
        Target("known input", "known.bin",
               (folder / "m_quantize_known_input.bin").read_bytes(), known_input, RAW, SLOW),
    ]  # fmt: skip


def _texts(folder: Path) -> list[Target]:
    graph = load(folder / "m.onnx", general=True)
    chip = next((Path(chip_files.__file__).parent.parent / "chips").glob("*.toml"))

    def read_widths(path: Path) -> object:
        return read_mix(path.read_text("utf-8", "replace"), "x", graph)

    def configured(path: Path) -> object:
        return input_configs.parse(path.read_text("utf-8", "replace"), ("x", "y"))

    def read_c_array(path: Path) -> object:
        return bin2header(
            Bin2HeaderOptions(source=path, target=path.with_suffix(".out"), back=True)
        )

    answer = served.answering(folder / "m_quantize_r.cfg")

    def kept_chip(path: Path) -> object:
        before = os.environ.get("XDG_CONFIG_HOME")
        os.environ["XDG_CONFIG_HOME"] = str(path.parent.parent)
        try:
            return default_chip()
        finally:
            del os.environ["XDG_CONFIG_HOME"]
            if before is not None:
                os.environ["XDG_CONFIG_HOME"] = before

    return [
        Target("manifest", workspace.MANIFEST, (folder / workspace.MANIFEST).read_bytes(),
               lambda path: workspace.open_workspace(path.parent), TEXT, SLOW),
        Target("scales", "s.json", (folder / "m_scales.json").read_bytes(), read_scales, TEXT),
        Target("state", "e.json", seeds.state_text(), state.read, TEXT),
        Target("search", "s.search.json", seeds.search_text(),
               lambda p: budget_from(p, "0" * 64, "1" * 64, 9, None), TEXT),
        Target("annotations", "a.json", seeds.annotations_text(), read_annotations, TEXT),
        Target("run", "run.json", (folder / "run.json").read_bytes(), run_config.read, TEXT),
        Target("recipe", "r.toml", (folder / "r.toml").read_bytes(), load_recipe,
               (mutators.toml_text,)),
        Target("chip", "c.toml", chip.read_bytes(), lambda p: chip_files.find(str(p)),
               (mutators.toml_text,), SLOW),
        Target("labels", "l.txt", (folder / "labels.txt").read_bytes(), read_labels, RAW),
        Target("mix", "x.json", (folder / "m.json").read_bytes(), read_widths, TEXT),
        Target("input configs", "i.json", (folder / "inputs.json").read_bytes(), configured, TEXT),
        Target("settings", "knightlite/settings.json",
               b'{"default_chip": "TX5368AV200", "format": 1}', kept_chip, TEXT),
        Target("exploration", "e.json", seeds.exploration_text(), explored.read, TEXT),
        Target("profile", "p.json", seeds.profile_text(folder),
               lambda path: read_profile(path.read_bytes(), "p.json"), TEXT),
        Target("request", "request", seeds.request_bytes(),
               lambda path: read_request(path.read_bytes(), None), TEXT),
        Target("request in binary", "request", seeds.request_bytes() + bytes(range(64)),
               lambda path: read_request(path.read_bytes(), str(len(seeds.request_bytes()))), RAW),
        Target("served", "message", served.message([
            {"name": "x", "datatype": "FP32", "shape": [1, 3, 8, 8], "data": [0.5] * 192},
        ]), answer, (served.request, served.request, mutators.raw), RUNNING),
        Target("served in binary", "message",
               served.binary_message("x", bytes(4 * 192), [1, 3, 8, 8]), answer,
               (served.request, served.request, mutators.raw), RUNNING),
        Target("C array", "a.h", c_array("a", bytes(range(64))).encode(), read_c_array,
               (mutators.c_array, mutators.c_array, mutators.raw)),
        Target("token", "token", b"0123456789abcdef\n", server_token, RAW),
    ]  # fmt: skip


def _data(folder: Path) -> list[Target]:
    recipe = load_recipe(str(folder / "r.toml"))
    binary = open_binary(folder / "m_quantize_r.cfg")
    meta = binary.program.meta
    quantized = load_quantized(folder / "m_quantize.onnx")
    tensor = Tensor("x", (1, 3, 8, 8), dtypes.F32)
    array = (folder / "arrays" / "1.npy").read_bytes()
    result = folder / f"{stems_of(meta)[OUTPUT, 'y']}.npy"

    def read_cache(path: Path) -> object:
        return distribution_cache._unpack(
            distribution_cache.DistributionCache(path.name, path.read_bytes())
        )

    def frames(path: Path) -> object:
        return [list(sim_inputs.read(str(path), meta.inputs, "nchw", count)) for count in (None, 2)]

    def source(kind: str) -> Callable[[Path], object]:
        def read(path: Path) -> object:
            return Source(tensor, kind, path).read(path)

        return read

    def simulated(path: Path) -> object:
        return simulated_values((path.parent,), quantized, (), binary)({})

    def dumped(path: Path) -> object:
        return dump._batch(path.parent, 0, quantized, "x")

    def stored(path: Path) -> object:
        stored_frames.classes_of(path, None, None)
        return stored_frames.digest_of(path, 0), stored_frames.frame_of(path, 0, (3, 8, 8))

    def stored_classes(path: Path) -> object:
        return stored_frames.classes_of(folder / "arrays" / "1.npy", path, None)

    def read_sample(path: Path) -> object:
        return sample({"onnx": path, "input_x": path}, quantized)

    def read_picture(path: Path) -> object:
        return turned_remark(path), prepare_picture(path, recipe, (3, 8, 8))

    made = [
        Target("cache", "c.npz", (folder / "cache.npz").read_bytes(), read_cache,
               (mutators.npz, mutators.npz, mutators.raw), SLOW),
        Target("array", "a.npy", array, load_array, (mutators.npy,)),
        Target("array frames", "b.npy", array, frames, (mutators.npy,)),
        Target("raw frames", "b.bin", (folder / "input.bin").read_bytes(), frames, RAW),
        Target("array data", "c.npy", array, source("Numpy"), (mutators.npy,)),
        Target("raw data", "c.bin", (folder / "input.bin").read_bytes(), source("Bin"), RAW),
        Target("result", f"j/{result.name}", result.read_bytes(), simulated, (mutators.npy,)),
        Target("text form", "y_p.txt", result.with_name(f"{result.stem}_p.txt").read_bytes(),
               text_form, RAW),
        Target("dumped", "n/batch_0.npy", array, dumped, (mutators.npy,)),
        Target("stored frames", "o.npy", array, stored, (mutators.npy,)),
        Target("stored classes", "s.npy", seeds.array_bytes(np.asarray([3])), stored_classes,
               (mutators.npy,)),
        Target("sample", "x.bin", (folder / "inputs/x.bin").read_bytes(), read_sample, RAW),
        Target("picture data", "q.png", seeds.picture_bytes("PNG"), source("Image"),
               (mutators.png,)),
    ]  # fmt: skip
    for kind in PICTURES:
        mutate = (mutators.png, mutators.png, mutators.raw) if kind == "PNG" else RAW
        made.append(
            Target(kind, f"p.{kind.lower()}", seeds.picture_bytes(kind), read_picture, mutate)
        )
    return made
