"""The functions behind a quantized model: compile, evaluate, profile, diagnose, compare, run."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from knightlite.leftovers import scratch_folder
from knightlite.options import options_of
from knightlite.options.compare import CompareOptions
from knightlite.options.compile import CompileOptions
from knightlite.options.diagnose import DiagnoseOptions
from knightlite.options.evaluate import EvaluateOptions
from knightlite.options.explore import ExploreOptions
from knightlite.options.profile import ProfileOptions
from knightlite.options.quantize import QuantizeOptions
from knightlite.options.shared import NUMPY
from knightlite.public.record_function import record_function
from knightlite.public.wording import in_python

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from knightlite.api.comparison import Comparison
    from knightlite.api.evaluation import EvaluationResult
    from knightlite.api.exploration import Exploration
    from knightlite.api.models import CompiledModel, File, QuantizedModel
    from knightlite.api.residents import ScratchpadUse
    from knightlite.api.simulation import NodeArg
    from knightlite.diagnosis import Diagnosis
    from knightlite.profiler import Profile
    from knightlite.talk import Talk

    Array = NDArray[Any]


@record_function(CompileOptions)
def compile(
    asked: Callable[..., CompileOptions],
    talk: Talk,
    model: QuantizedModel | str | Path,
    *,
    save_dir: str | Path | None = None,
) -> CompiledModel:
    """Compile a quantized model: the result of ``quantize``, or an ``X_quantize.onnx`` file.

    Args:
        model: what ``quantize`` returned, or its file.
        save_dir: where the files of ``knightlite compile`` are to be left; default: nowhere.
    """
    from knightlite.api.compilation import compile_bytes
    from knightlite.api.models import QuantizedModel
    from knightlite.frontend.onnx_file import read_bytes

    if isinstance(model, QuantizedModel):
        path, data = Path(model.file_name), model.onnx
    else:
        path = Path(model)
        data = read_bytes(path)
    made = compile_bytes(data, path, asked())
    if save_dir is not None:
        made.save(save_dir)
    return made


@record_function(EvaluateOptions)
def evaluate(
    asked: Callable[..., EvaluateOptions],
    talk: Talk,
    models: Sequence[CompiledModel | QuantizedModel | str | Path],
    data: str | Path | NDArray[Any],
    *,
    labels: str | Path | Sequence[int] | NDArray[Any] | None = None,
) -> EvaluationResult:
    """Accuracy of forms of one network on a folder of pictures or on arrays, in one pass.

    Args:
        models: float, quantized, golden or compiled: files, or what ``quantize`` and ``compile``
            returned. The others are compared with the first.
        data: folder of pictures, one sub-folder per class; or frames [N, C, H, W] as the network
            reads them, an array or a ``.npy`` file. Without classes no top-1 is counted.
        labels: of a folder the file with the names of its class folders in the order of the scores,
            one a line or as idx:name; default: the folders, sorted. Of frames the class of each,
            numbers or their ``.npy`` file.
    """
    from knightlite.api.evaluation import evaluate_models

    with scratch_folder() as scratch:
        files = tuple(_model_file(model, Path(scratch)) for model in models)
        where = _array_file(data, Path(scratch) / "data.npy")
        known = None if labels is None else _array_file(labels, Path(scratch) / "labels.npy")
        return evaluate_models(asked(data=where, models=files, labels=known), talk)


def _array_file(given: str | Path | Sequence[int] | Array, path: Path) -> Path:
    """The file that is named; numbers are written to ``path``."""
    import numpy as np

    if isinstance(given, (str, Path)):
        return Path(given)
    np.save(path, np.ascontiguousarray(given))
    return path


def _model_file(model: CompiledModel | QuantizedModel | str | Path, folder: Path) -> Path:
    """The file of a model; one in memory is written into ``folder``."""
    from knightlite.api.models import CompiledModel, QuantizedModel

    if isinstance(model, QuantizedModel):
        path = folder / model.file_name
        path.write_bytes(model.onnx)
        return path
    if isinstance(model, CompiledModel):
        return model.save(folder)["cfg"]  # with the golden model, which check compares with
    return Path(model)


@record_function(ProfileOptions)
def profile(
    asked: Callable[..., ProfileOptions],
    talk: Talk,
    compiled: CompiledModel | File,
    weight: File | None = None,
    *,
    save_dir: str | Path | None = None,
) -> Profile:
    """Predict the time of a compiled network, layer by layer.

    Args:
        compiled: what ``compile`` returned, the ``.cfg`` or ``.tsmodel`` file, or its bytes.
        weight: the ``.weight`` file or its bytes; default: the file beside the ``.cfg``.
        save_dir: where the files of ``knightlite profile`` are to be left; default: nowhere.
    """
    from knightlite.api.models import open_binary
    from knightlite.api.profiling import assumptions, profile_binary, save_profile

    options = asked()
    binary = open_binary(compiled, weight)
    found = profile_binary(binary, options.chip, assumptions(options))
    if save_dir is not None:
        save_profile(found, binary.cfg.name.removesuffix(".cfg"), Path(save_dir))
    return found


def side_by_side(compiled: Sequence[CompiledModel | File]) -> tuple[ScratchpadUse, ...]:
    """Say what each network uses of WSPM and MSPM; refuse those that cannot be loaded together.

    What one was compiled to keep there (``onceload_w``, ``onceload_m``) no other may use.

    Args:
        compiled: what ``compile`` returned, ``.cfg`` or ``.tsmodel`` files, or their bytes.
    """
    from knightlite.api.models import open_binary
    from knightlite.api.residents import side_by_side as uses

    return uses([open_binary(item, None) for item in compiled])


@record_function(DiagnoseOptions)
def diagnose(
    asked: Callable[..., DiagnoseOptions],
    talk: Talk,
    quantized: str | Path | QuantizedModel,
    model: str | Path | None = None,
) -> Diagnosis:
    """Say which layers of a quantized model lose accuracy, why, and what helps, measured.

    Args:
        quantized: an ``X_quantize.onnx``, or what ``quantize`` gave.
        model: the float model; default: the one in the quantized model, or ``X.onnx`` beside it.
    """
    from knightlite.api.diagnosis import diagnose as run
    from knightlite.api.models import QuantizedModel
    from knightlite.errors import UsageError

    options = asked()
    if all(
        item is None for item in (options.data, options.batches, options.function, options.script)
    ):
        raise UsageError("a diagnosis needs data.", 'data="calib", as quantize takes it')
    with scratch_folder() as folder:
        if isinstance(quantized, QuantizedModel):
            files = quantized.save(folder)
            model = model or files.get("float_onnx", quantized.source)
            quantized = files["onnx"]
        model = None if model is None else Path(model)
        found = run(replace(options, quantized=Path(quantized), model=model), talk)
    mine, quants = options_of(DiagnoseOptions), options_of(QuantizeOptions)
    findings = tuple(
        replace(item, advice=in_python(item.advice, quants)) for item in found.findings
    )
    return replace(
        found,
        findings=findings,
        take_more=lambda pictures: in_python(found.take_more(pictures), mine),
        again=(),  # which are words of a shell
    )


@record_function(CompareOptions)
def compare(
    asked: Callable[..., CompareOptions],
    talk: Talk,
    quant_dir: str | Path,
    *,
    cfg: str | Path,
) -> tuple[Comparison, ...]:
    """Float, quantized, golden and chip on the sample of ``quantize``, layer by layer.

    Args:
        quant_dir: the ``save_dir`` of ``quantize``.
        cfg: what ``compile`` left.
    """
    from knightlite.api.comparison import compare as run
    from knightlite.api.models import weights_beside

    options = asked(quant_dir=Path(quant_dir), cfg=Path(cfg))
    weight = options.weight or weights_beside(Path(cfg))
    return run(replace(options, weight=weight))


@record_function(ExploreOptions)
def explore(
    asked: Callable[..., ExploreOptions],
    talk: Talk,
    *,
    save: str | Path | None = None,
) -> Exploration:
    """Time of models on chips, at schedule levels and in widths: every combination.

    Args:
        save: file of all points, from which the same call goes on after a stop; default: none.
    """
    from knightlite.api.exploration import explore as run

    with scratch_folder() as scratch:
        path = Path(scratch) / "points.json" if save is None else Path(save)
        return run(asked(result=path), talk)


LOOKS = 3  # runs whose feeds are looked at for their order, which a program seldom changes


class Session:
    """Runs a compiled network in the simulator, bit for bit, like an ONNX Runtime session.

    Args:
        compiled: what ``compile`` returned, the ``.cfg`` or ``.tsmodel`` file, or its bytes.
        weight: the ``.weight`` file or its bytes; default: the file beside the ``.cfg``.
        chip: must be the one compiled for, or another name of it.
        engine: "numpy", the simulator, or "native", the runtime in C, which is built on first use;
            both make the same bytes.
    """

    def __init__(
        self,
        compiled: CompiledModel | File,
        weight: File | None = None,
        chip: str | None = None,
        engine: str = NUMPY,
    ) -> None:
        from knightlite.api.simulation import CompiledNetwork

        self._network = CompiledNetwork(compiled, weight, chip, engine)
        self._odd = False  # whether what was fed once was, and that was said
        self._calls = 0

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

        ``input_feed``: per input N frames [N, C, H, W], as floats, which are quantized here, or as
        the integers that the chip stores. The outputs are dequantized and have gone through the
        operators that run on the host: shapes and types are those of the float model.
        A UserWarning says, once, where floats lie far from what the input was calibrated for.
        """
        found = self._network.run(output_names, input_feed)
        self._say_odd(input_feed)
        return found

    def run_integers(self, input_feed: Mapping[str, Any]) -> dict[str, Array]:
        """Run frames and return the chip's integers, [N, C, H, W] by name."""
        found = self._network.run_integers(input_feed)
        self._say_odd(input_feed)
        return found

    def reset(self) -> None:
        """Begin a new sequence, where states stay from one frame to the next (``unfixloop``)."""
        self._network.reset()

    def _say_odd(self, input_feed: Mapping[str, Any]) -> None:
        """A warning at the line that called a method of this class; of odd numbers the first."""
        self._calls += 1
        if not self._odd:
            for text in self._network.remarks(input_feed, self._calls <= LOOKS):
                self._odd = True
                warnings.warn(text, UserWarning, stacklevel=3)
        for name in self._network.ignored(input_feed):
            text = f"nothing reads the network input {name}: what is fed to it is ignored."
            warnings.warn(text, UserWarning, stacklevel=3)

    def prepare(self, picture: str | Path | Array, recipe: str | Path | None = None) -> Array:
        """A picture as the network's only input reads it, float32 [1, C, H, W].

        ``picture``: a file, or its pixels as uint8 [H, W, 3] in the order RGB or [H, W] in grey.
        ``recipe`` None: the one that calibration used, which the ``.cfg`` holds.
        """
        found = Path(picture) if isinstance(picture, (str, Path)) else picture
        turned = self._network.turned(found) if isinstance(found, Path) else ""
        if turned:
            warnings.warn(turned, UserWarning, stacklevel=2)
        return self._network.prepare(found, None if recipe is None else str(recipe))
