"""``quantize`` and the other run modes of ``knightlite quant``: convert, infer, compare_layers."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from knightlite.public.data import batches_of

if TYPE_CHECKING:
    from knightlite.api.comparison import Comparison
    from knightlite.api.models import QuantizedModel
    from knightlite.api.quantization import QuantizeOptions
    from knightlite.public.data import Data
    from knightlite.quantize.data import InferFunction

    Shapes = Sequence[Sequence[int]]
    File = str | Path


def quantize(
    model: str | Path,
    *,
    chip: str | None = None,
    data: Data | None = None,
    recipe: str | Path | None = None,
    script: str | Path | None = None,
    infer: str | InferFunction | None = None,
    weight: str | Path | None = None,
    framework: str | None = None,
    input_shapes: Shapes = (),
    method: str | Sequence[str] | None = None,
    percent: float = 0.99999,
    iteration: int | Sequence[int] | None = None,
    batch_size: int = 1,
    seed: int = 0,
    effort: str = "normal",
    equalization: bool = True,
    bias_correction: str | None = None,
    rounding: str | None = None,
    bit_width: int = 8,
    run_mode: str = "quant",
    auto_mix_ratio: float = 0.5,
    auto_mix_strategy: str = "HAWQ",
    mix_budget: str | float | None = None,
    generate_template: bool = False,
    mix_config: str | Path | None = None,
    general_process: bool = False,
    paddle_python: str | None = None,
    torch_python: str | None = None,
    torch_exporter: str = "auto",
    input_types: Sequence[str] = (),
    mean: Sequence[float] = (),
    std: Sequence[float] = (),
    input_configs: Sequence[Mapping[str, Any]] = (),
    output_names: Sequence[str] = (),
    scales: str | Path | None = None,
    generate_scale_json: bool = False,
    lut_len: int = 10,
    ir_batch: int = 1,
    cache_distribution: str | Path | None = None,
    dump: bool = False,
    save_dir: str | Path | None = None,
) -> QuantizedModel:
    """Quantize a float model to 8 bits, or 16, or a mix of both.

    Args:
        model: a ``.pdmodel``, ``.json`` (Paddle 3) or ``.onnx`` file; or the function of ``script``
            that builds the network.
        chip: name or chip file; default: that of the commands (``--default-chip``), TX5368AV200.
        data: what calibrates the ranges. A folder of pictures, together with ``recipe``. An array
            of pictures [N, C, H, W] as the network reads them, or one per input by name. An
            iterable of batches: an array, or one per input in order or by name, each [n, ...].
            None: random data, with a warning.
        recipe: how the pictures of a folder become arrays: a name of calibration/ or a TOML file.
        script: a Knight user script, with ``infer`` the name it registers; ``data`` becomes
            ``executor.dataset``.
        infer: with a script a name; else an infer function itself, called as a script's is.
        weight: of a Paddle model; default: the ``.pdiparams`` beside it. ``.pdparams`` or ``.pth``
            for a model function.
        framework: "onnx", "paddle" or "pytorch"; default: by the model's suffix.
        input_shapes: one per input, for inputs with dynamic axes.
        method: how ranges are chosen: "mse" (default), "min_max", "kl", "kl_v2", "percentile",
            "octav", or "auto" per tensor (default at high effort); several, or "all" but "auto",
            are tried and the best is returned, see ``combinations``.
        percent: the share of magnitudes inside the range of "percentile".
        iteration: forward calls; default: all batches of ``data``, else 1. Several are tried.
        batch_size: pictures per call, where ``data`` does not come in batches.
        seed: of the choice of pictures in a folder.
        effort: what to try for accuracy: "low" (ranges only), "normal" or "high" (may take
            minutes).
        equalization: bring channels that share a scale to like ranges where that gains.
        bias_correction: "off", "fast" or "sequential"; default: as the effort has it.
        rounding: of weights, "nearest" or "adaptive"; default: as the effort has it.
        bit_width: 8 or 16.
        run_mode: "quant", or "auto_quant": some operators at 16 bits, found by measuring.
        auto_mix_ratio: auto_quant: share of the convolutions that may have 16 bits.
        auto_mix_strategy: auto_quant: "HAWQ", "IOhigh" or "initial".
        mix_budget: give 16 bits where they help most, for at most so many percent of extra
            predicted cycles: 5, "2.5%" or "20000cycles".
        generate_template: also make ``mix_template``, the text of a mix configuration.
        mix_config: such a file, which gives operators 16 bits.
        general_process: run unsupported operators at the end of the network on the host.
        paddle_python: the Python that Paddle lives in, for ``.json`` and ``.pdparams``; default:
            the environment variable KNIGHTLITE_PADDLE_PYTHON, or this one.
        torch_python: the same for torch; default: KNIGHTLITE_TORCH_PYTHON, or this one.
        torch_exporter: "auto", "torchscript" or "dynamo".
        input_types: per input "uint8", "int8" or "int16": it is fed with integers; "float32".
        mean: what the network subtracts from its first input, one number or one per channel.
        std: what it divides it by.
        input_configs: type, mean, std and data of each input, as in run-config files.
        output_names: cut the network at these tensors.
        scales: a scale file (``generate_scale_json`` makes one) to take types and scales from.
        generate_scale_json: also make ``scales``, the text of a scale file.
        lut_len: tables of 16-bit tensors have 2^lut_len intervals, 8 to 12.
        ir_batch: frames that ``sim`` runs of its input; the model takes any batch.
        cache_distribution: a file that keeps what the first pass over the data learns, and stands
            for that pass where it is there.
        dump: also write the values of every layer, float and fixed, to ``save_dir``/dump.
        save_dir: where the files of ``knightlite quant`` are to be left; default: nowhere.
    """
    from knightlite.api.quantization import quantize_all
    from knightlite.errors import UsageError
    from knightlite.talk import Talk

    if run_mode in _OTHER_MODES:
        raise UsageError(
            f"run mode {run_mode} has a function of its own.",
            f"knightlite.{_OTHER_MODES[run_mode]}",
        )
    if dump and save_dir is None:
        raise UsageError("a dump is written into save_dir, which is not named.", 'save_dir="out"')
    methods = (method,) if isinstance(method, str) else tuple(method or ())
    options = replace(
        _with_data(
            _float_options(
                model, chip, weight, framework, script, input_shapes, general_process,
                paddle_python, torch_python, torch_exporter, output_names,
            ),
            data, recipe, infer, iteration, batch_size, seed,
        ),
        save_dir=Path() if save_dir is None else Path(save_dir),
        methods=methods,
        percent=percent,
        equalize=equalization,
        run_mode=run_mode,
        effort=effort,
        bias_correction=bias_correction,
        rounding=rounding,
        bit_width=bit_width,
        generate_template=generate_template,
        mix_config=_path(mix_config),
        mix_ratio=auto_mix_ratio,
        mix_strategy=auto_mix_strategy,
        mix_budget=None if mix_budget is None else str(mix_budget),
        input_types=tuple(input_types),
        mean=tuple(map(float, mean)),
        std=tuple(map(float, std)),
        input_configs=json.dumps([dict(item) for item in input_configs]) if input_configs else "",
        load_scales=_path(scales),
        generate_scales=generate_scale_json,
        lut_len=lut_len,
        ir_batch=ir_batch,
        cache=_path(cache_distribution),
        dump=dump,
    )  # fmt: skip
    remarks: list[str] = []
    made, _ = quantize_all(options, Talk(warn=remarks.append), save=save_dir is not None)
    _warn(remarks)
    return made


_OTHER_MODES: Mapping[str, str] = {
    "convert": "convert", "infer": "infer", "compare": "compare_layers",
}  # fmt: skip


def convert(
    model: str | Path,
    *,
    weight: str | Path | None = None,
    framework: str | None = None,
    script: str | Path | None = None,
    input_shapes: Shapes = (),
    general_process: bool = False,
    paddle_python: str | None = None,
    torch_python: str | None = None,
    torch_exporter: str = "auto",
    output_names: Sequence[str] = (),
    mean: Sequence[float] = (),
    std: Sequence[float] = (),
) -> bytes:
    """A float model as the ONNX file that ``quantize`` starts from. Arguments: its own."""
    from knightlite.api.quantization import load_float
    from knightlite.inference.onnx_models import write_float
    from knightlite.talk import Talk

    options = replace(
        _float_options(
            model, None, weight, framework, script, input_shapes, general_process,
            paddle_python, torch_python, torch_exporter, output_names,
        ),
        run_mode="convert",
        mean=tuple(map(float, mean)),
        std=tuple(map(float, std)),
    )  # fmt: skip
    remarks: list[str] = []
    graph = load_float(options, Talk(warn=remarks.append))
    _warn(remarks)
    written: bytes = write_float(graph).SerializeToString(deterministic=True)
    return written


def infer(
    model: QuantizedModel | str | Path,
    *,
    data: Data | None = None,
    recipe: str | Path | None = None,
    script: str | Path | None = None,
    infer: str | InferFunction | None = None,
    weight: str | Path | None = None,
    framework: str | None = None,
    input_shapes: Shapes = (),
    iteration: int | None = None,
    batch_size: int = 1,
    seed: int = 0,
) -> float | None:
    """Run a float or quantized model over data; its metric.

    That is what the infer function returns, top-1 in percent over a folder of classes, else None.
    ``model``: a float model as for :func:`quantize`, an ``X_quantize.onnx``, or what
    :func:`quantize` gave. The other arguments are those of :func:`quantize`.
    """
    import tempfile

    from knightlite.api.models import QuantizedModel
    from knightlite.api.quantization import quantize as run
    from knightlite.talk import Talk

    remarks: list[str] = []
    with tempfile.TemporaryDirectory() as scratch:
        if isinstance(model, QuantizedModel):
            model = model.save(scratch)["onnx"]
        options = replace(
            _with_data(
                _float_options(model, None, weight, framework, script, input_shapes),
                data, recipe, infer, iteration, batch_size, seed,
            ),
            run_mode="infer",
            directory=Path(scratch),
        )  # fmt: skip
        found = run(options, Talk(warn=remarks.append))
    _warn(remarks)
    return found.float_metric if found.quantized_metric is None else found.quantized_metric


def compare_layers(
    quantized: QuantizedModel | str | Path,
    model: str | Path | None = None,
    *,
    data: Data | None = None,
    recipe: str | Path | None = None,
    script: str | Path | None = None,
    infer: str | InferFunction | None = None,
    iteration: int | None = None,
    batch_size: int = 1,
    seed: int = 0,
) -> tuple[Comparison, ...]:
    """Every layer of the float model beside the quantized one, over the data.

    ``quantized``: what :func:`quantize` gave, or its ``X_quantize.onnx``. ``model``: the float ONNX
    file that :func:`quantize` left with it; default: the one in the quantized model. The other
    arguments are those of :func:`quantize`.
    """
    import tempfile

    from knightlite.api.models import QuantizedModel
    from knightlite.api.quantization import compare_files, load_float
    from knightlite.errors import UsageError
    from knightlite.talk import Talk

    remarks: list[str] = []
    talk = Talk(warn=remarks.append)
    with tempfile.TemporaryDirectory() as scratch:
        if isinstance(quantized, QuantizedModel):
            exact = Path(scratch) / "float.onnx"
            exact.write_bytes(quantized.float_onnx)
            path = Path(scratch) / f"{quantized.name}_quantize.onnx"
            path.write_bytes(quantized.onnx)
            model = exact if model is None else model
        else:
            path = Path(quantized)
        if model is None:
            raise UsageError(f"the float model of {path} is not named.", 'model="X.onnx"')
        options = _with_data(
            _float_options(model, None, None, None, script, ()),
            data, recipe, infer, iteration, batch_size, seed,
        )  # fmt: skip
        options = replace(options, iteration=options.iterations[0])
        rows, _ = compare_files(options, load_float(options, talk), path, talk)
    _warn(remarks)
    return rows


def _float_options(
    model: File,
    chip: str | None,
    weight: File | None,
    framework: str | None,
    script: File | None,
    input_shapes: Shapes,
    general_process: bool = False,
    paddle_python: str | None = None,
    torch_python: str | None = None,
    torch_exporter: str = "auto",
    output_names: Sequence[str] = (),
) -> QuantizeOptions:
    """What says which float model is meant."""
    from knightlite.api.chips import default_chip
    from knightlite.api.quantization import QuantizeOptions

    return QuantizeOptions(
        model=Path(model),
        chip=default_chip() if chip is None else chip,
        weight=_path(weight),
        framework=framework,
        script=_path(script),
        input_shapes=tuple(tuple(shape) for shape in input_shapes),
        general_process=general_process,
        paddle_python=paddle_python,
        torch_python=torch_python,
        torch_exporter=torch_exporter,
        output_names=tuple(output_names),
    )


def _with_data(
    options: QuantizeOptions,
    data: Data | None,
    recipe: File | None,
    infer: str | InferFunction | None,
    iteration: int | Sequence[int] | None,
    batch_size: int,
    seed: int,
) -> QuantizeOptions:
    """The options with the data that the arguments name."""
    from knightlite.api.quantization import INFER_AUTO
    from knightlite.errors import UsageError

    asked = (iteration,) if iteration is None or isinstance(iteration, int) else tuple(iteration)
    if not asked:
        raise UsageError("iteration must be a number, or several, not an empty list.")
    batches, calls = batches_of(data, batch_size, asked)
    return replace(
        options,
        function=INFER_AUTO if infer is None else infer,
        data=str(data) if isinstance(data, (str, Path)) else None,
        recipe=None if recipe is None else str(recipe),
        batch_size=batch_size,
        iterations=calls,
        batches=batches,
        seed=seed,
    )


def _path(name: File | None) -> Path | None:
    return None if name is None else Path(name)


def _warn(remarks: Sequence[str]) -> None:
    """Warnings at the line that called the public function."""
    for sentence in remarks:
        warnings.warn(sentence, UserWarning, stacklevel=3)
