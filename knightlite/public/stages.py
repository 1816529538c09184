"""The functions behind a quantized model: compile, evaluate, profile, diagnose, compare, run."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from knightlite.api.comparison import Comparison
    from knightlite.api.evaluation import EvaluationResult
    from knightlite.api.models import CompiledModel, File, QuantizedModel
    from knightlite.api.quantization import Data
    from knightlite.api.simulation import NodeArg
    from knightlite.diagnosis import Diagnosis
    from knightlite.profiler import Profile
    from knightlite.quantize.data import InferFunction

    Array = NDArray[Any]


def compile(
    model: QuantizedModel | str | Path,
    *,
    chip: str | None = None,
    save_dir: str | Path | None = None,
) -> CompiledModel:
    """Compile a quantized model: the result of ``quantize``, or an ``X_quantize.onnx`` file.

    Args:
        model: what ``quantize`` returned, or its file.
        chip: name or chip file; default: the one the model was quantized for.
        save_dir: where the files of ``knightlite compile`` are to be left; default: nowhere.
    """
    from knightlite.api.chips import default_chip
    from knightlite.api.compilation import compile_bytes
    from knightlite.api.models import QuantizedModel, quantized_for
    from knightlite.frontend.onnx_file import read_bytes

    if isinstance(model, QuantizedModel):
        path, data = Path(f"{model.name}_quantize.onnx"), model.onnx
    else:
        path = Path(model)
        data = read_bytes(path)
    made = compile_bytes(data, path, chip or quantized_for(path, data) or default_chip())
    if save_dir is not None:
        made.save(save_dir)
    return made


def evaluate(
    models: Sequence[CompiledModel | QuantizedModel | str | Path],
    data: str | Path,
    *,
    recipe: str | Path | None = None,
    labels: str | Path | None = None,
    count: int | None = None,
    seed: int = 0,
    chip: str | None = None,
    input_shapes: Sequence[Sequence[int]] = (),
    workers: int = 1,
    state: str | Path | None = None,
    shard: tuple[int, int] = (1, 1),
    check: bool = False,
) -> EvaluationResult:
    """Accuracy of forms of one network on a folder of pictures, in one pass.

    Args:
        models: float, quantized, golden or compiled: files, or what ``quantize`` and ``compile``
            returned. The others are compared with the first.
        data: folder of pictures, one sub-folder per class; without classes no top-1 is counted.
        recipe: how pictures become input; default: as the models were calibrated.
        labels: file with the names of the class folders in the order of the scores, one a line.
        count: a seeded sample of so many pictures; default: all.
        seed: of the sample.
        chip: must be the one compiled for, or another name of it.
        input_shapes: of the one input, where a model leaves it open.
        workers: processes. More than one need a program whose main module may be imported
            (``if __name__ == "__main__":``).
        state: file of the sums so far, from which the same call goes on after a stop.
        shard: (i, n) takes every n-th picture from the i-th on; the states of all n shards give the
            whole with ``knightlite eval --merge``.
        check: also compare every byte of every layer of a compiled network with its golden model.
    """
    import tempfile

    from knightlite.api.evaluation import EvaluateOptions, evaluate_models
    from knightlite.talk import Talk

    remarks: list[str] = []
    with tempfile.TemporaryDirectory() as scratch:
        found = evaluate_models(
            EvaluateOptions(
                data=Path(data),
                models=tuple(_model_file(model, Path(scratch)) for model in models),
                recipe=None if recipe is None else str(recipe),
                labels=None if labels is None else Path(labels),
                count=count,
                seed=seed,
                chip=chip,
                input_shapes=tuple(tuple(shape) for shape in input_shapes),
                workers=workers,
                state=None if state is None else Path(state),
                shard=shard,
                check=check,
            ),
            Talk(warn=remarks.append),
        )
    for sentence in remarks:
        warnings.warn(sentence, UserWarning, stacklevel=2)
    return found


def _model_file(model: CompiledModel | QuantizedModel | str | Path, folder: Path) -> Path:
    """The file of a model; one in memory is written into ``folder``."""
    from knightlite.api.models import CompiledModel, QuantizedModel

    if isinstance(model, QuantizedModel):
        path = folder / f"{model.name}_quantize.onnx"
        path.write_bytes(model.onnx)
        return path
    if isinstance(model, CompiledModel):
        path = folder / f"{model.name}_r.cfg"
        path.write_bytes(model.cfg)
        path.with_suffix(".weight").write_bytes(model.weight)
        return path
    return Path(model)


def profile(
    compiled: CompiledModel | File,
    weight: File | None = None,
    *,
    chip: str | None = None,
    save_dir: str | Path | None = None,
) -> Profile:
    """Predict the time of a compiled network, layer by layer.

    Args:
        compiled: what ``compile`` returned, the ``.cfg`` or ``.tsmodel`` file, or its bytes.
        weight: the ``.weight`` file or its bytes; default: the file beside the ``.cfg``.
        chip: must be the one compiled for, or another name of it.
        save_dir: where the files of ``knightlite profile`` are to be left; default: nowhere.
    """
    from knightlite.api.models import open_binary
    from knightlite.api.profiling import profile_binary, save_profile

    binary = open_binary(compiled, weight)
    found = profile_binary(binary, chip)
    if save_dir is not None:
        save_profile(found, binary.cfg.name.removesuffix(".cfg"), Path(save_dir))
    return found


def diagnose(
    quantized: str | Path | QuantizedModel,
    model: str | Path | None = None,
    *,
    data: Data | None = None,
    recipe: str | Path | None = None,
    script: str | Path | None = None,
    infer: str | InferFunction | None = None,
    weight: str | Path | None = None,
    framework: str | None = None,
    input_shapes: Sequence[Sequence[int]] = (),
    iteration: int | None = None,
    batch_size: int = 1,
    seed: int = 0,
    suspects: int = 8,
    html: str | Path | None = None,
) -> Diagnosis:
    """Say which layers of a quantized model lose accuracy, why, and what helps, measured.

    Args:
        quantized: an ``X_quantize.onnx``, or what :func:`quantize` gave.
        model: the float model; default: the one in the quantized model, or ``X.onnx`` beside it.
        data: what is run, as for :func:`quantize`; with labels the preprocessing is judged too.
        recipe: of the pictures of a folder; default: the one that the model was quantized with.
        script: a Knight user script, with ``infer`` the name it registers.
        infer: with a script a name; else an infer function itself.
        weight: of a Paddle model.
        framework: "onnx" or "paddle"; default: by the model's suffix.
        input_shapes: one per input, for inputs with dynamic axes.
        iteration: forward calls; default: all batches of ``data``, else 1.
        batch_size: pictures per call, where ``data`` does not come in batches.
        seed: of the choice of pictures in a folder.
        suspects: places that are tried.
        html: a page to write; needs ``knightlite[report]``.
    """
    import tempfile

    from knightlite.api.diagnosis import DiagnoseOptions
    from knightlite.api.diagnosis import diagnose as run
    from knightlite.api.models import QuantizedModel
    from knightlite.talk import Talk

    if data is None and infer is None and script is None:
        from knightlite.errors import UsageError

        raise UsageError("a diagnosis needs data.", 'data="calib", as quantize takes it')
    batches, calls = None, iteration
    if data is not None and not isinstance(data, (str, Path)):
        from knightlite.api.quantization.batches import batches_of

        batches, (calls,) = batches_of(data, batch_size, (iteration,))
    remarks: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        if isinstance(quantized, QuantizedModel):
            files = quantized.save(folder)
            model = model or files.get("float_onnx", quantized.source)
            quantized = files["onnx"]
        options = DiagnoseOptions(
            model=None if model is None else Path(model),
            quantized=Path(quantized),
            weight=None if weight is None else Path(weight),
            framework=framework,
            script=None if script is None else Path(script),
            function=infer,
            data=str(data) if isinstance(data, (str, Path)) else None,
            recipe=None if recipe is None else str(recipe),
            batch_size=batch_size,
            iteration=calls,
            input_shapes=tuple(tuple(shape) for shape in input_shapes),
            seed=seed,
            suspects=suspects,
            html=None if html is None else Path(html),
            batches=batches,
        )
        found = run(options, Talk(warn=remarks.append))
    for sentence in remarks:
        warnings.warn(sentence, UserWarning, stacklevel=2)
    return found


def compare(
    quant_dir: str | Path,
    *,
    cfg: str | Path,
    weight: str | Path | None = None,
    sim_dir: str | Path | None = None,
    level: int = 4,
) -> tuple[Comparison, ...]:
    """Float, quantized, golden and chip on the sample of ``quantize``, layer by layer.

    Args:
        quant_dir: the ``save_dir`` of :func:`quantize`.
        cfg: what :func:`compile` left.
        weight: default: beside ``cfg``.
        sim_dir: where ``knightlite sim`` left results; default: they are computed.
        level: 0 to 2 the network's outputs, 3 to 6 every layer (``knightlite compare --help``).
    """
    from knightlite.api.comparison import LEVELS, CompareOptions
    from knightlite.api.comparison import compare as run
    from knightlite.errors import UsageError

    if not 0 <= level < len(LEVELS):
        raise UsageError(f"level must be from 0 to {len(LEVELS) - 1}, not {level}.")
    return run(
        CompareOptions(
            quant_dir=Path(quant_dir),
            sim_dirs=() if sim_dir is None else (Path(sim_dir),),
            cfg=Path(cfg),
            weight=Path(cfg).with_suffix(".weight") if weight is None else Path(weight),
            level=level,
        )
    )


class Session:
    """Runs a compiled network in the simulator, bit for bit, like an ONNX Runtime session.

    Args:
        compiled: what ``compile`` returned, the ``.cfg`` or ``.tsmodel`` file, or its bytes.
        weight: the ``.weight`` file or its bytes; default: the file beside the ``.cfg``.
        chip: must be the one compiled for, or another name of it.
    """

    def __init__(
        self,
        compiled: CompiledModel | File,
        weight: File | None = None,
        chip: str | None = None,
    ) -> None:
        from knightlite.api.simulation import CompiledNetwork

        self._network = CompiledNetwork(compiled, weight, chip)

    def get_inputs(self) -> list[NodeArg]:
        """The inputs in order, each with name, shape of one frame, type and scale."""
        return self._network.inputs()

    def get_outputs(self) -> list[NodeArg]:
        """The outputs that ``run`` gives, in order."""
        return self._network.outputs()

    def get_integer_outputs(self) -> list[NodeArg]:
        """What ``run_integers`` gives: the chip's own outputs, with their types and scales."""
        return self._network.integer_outputs()

    def run(self, output_names: Sequence[str] | None, input_feed: Mapping[str, Any]) -> list[Array]:
        """Run frames and return the outputs asked for (None: all), one array [N, ...] each.

        ``input_feed``: per input N frames [N, C, H, W], as float32, which is quantized here, or as
        the integers that the chip stores. The outputs are dequantized and have gone through the
        operators that run on the host: shapes and types are those of the float model.
        """
        return self._network.run(output_names, input_feed)

    def run_integers(self, input_feed: Mapping[str, Any]) -> dict[str, Array]:
        """Run frames and return the chip's integers, [N, C, H, W] by name."""
        return self._network.run_integers(input_feed)

    def prepare(self, picture: str | Path, recipe: str | Path | None = None) -> Array:
        """A picture as the network's only input reads it, float32 [1, C, H, W].

        ``recipe`` None: the one that calibration used, which the ``.cfg`` holds.
        """
        return self._network.prepare(Path(picture), None if recipe is None else str(recipe))
