"""``quantize`` and the other run modes of ``knightlite quant``: convert, infer, compare_layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from knightlite.leftovers import scratch_folder
from knightlite.options import options_of
from knightlite.options.quantize import QuantizeOptions
from knightlite.public.record_function import record_function
from knightlite.public.wording import in_python

if TYPE_CHECKING:
    from knightlite.api.comparison import Comparison
    from knightlite.api.models import QuantizedModel
    from knightlite.talk import Talk

    Asked = Callable[..., QuantizeOptions]

_OTHER_MODES: Mapping[str, str] = {
    "convert": "convert", "infer": "infer", "compare": "compare_layers",
}  # fmt: skip


@record_function(QuantizeOptions)
def quantize(asked: Asked, talk: Talk, *, save_dir: str | Path | None = None) -> QuantizedModel:
    """Quantize a float model to 8 bits, or 16, or a mix of both.

    Args:
        save_dir: where the files of ``knightlite quant`` are to be left; default: nowhere.
    """
    from knightlite.api.quantization import quantize_all
    from knightlite.errors import UsageError

    options = asked(save_dir=Path() if save_dir is None else Path(save_dir))
    if options.run_mode in _OTHER_MODES:
        raise UsageError(
            f"run mode {options.run_mode} has a function of its own.",
            f"knightlite.{_OTHER_MODES[options.run_mode]}",
        )
    if options.dump and save_dir is None:
        raise UsageError("a dump is written into save_dir, which is not named.", 'save_dir="out"')
    made, _ = quantize_all(options, talk, save=save_dir is not None)
    known = options_of(QuantizeOptions)
    return replace(made, warnings=tuple(in_python(item, known) for item in made.warnings))


@record_function(QuantizeOptions, whole=False)
def convert(asked: Asked, talk: Talk) -> bytes:
    """A float model as the ONNX file that ``quantize`` starts from.

    Where the NPU cannot run it, that is a warning; the file is what its reader made of it.
    """
    from knightlite.api.quantization import completed, float_model

    return float_model(completed(asked(run_mode="convert")), talk).write()


@record_function(QuantizeOptions, whole=False)
def infer(asked: Asked, talk: Talk, model: QuantizedModel | str | Path) -> float | None:
    """Run a float or quantized model over data; its metric.

    That is what the infer function returns, top-1 in percent over a folder of classes, else None.

    Args:
        model: a float model as for ``quantize``, an ``X_quantize.onnx``, or what ``quantize`` gave.
        data: what is run, as for ``quantize``.
    """
    from knightlite.api.models import QuantizedModel
    from knightlite.api.quantization import quantize as run

    with scratch_folder() as scratch:
        if isinstance(model, QuantizedModel):
            model = model.save(scratch)["onnx"]
        found = run(asked(model=Path(model), run_mode="infer", directory=Path(scratch)), talk)
    return found.float_metric if found.quantized_metric is None else found.quantized_metric


@record_function(QuantizeOptions, whole=False)
def compare_layers(
    asked: Asked,
    talk: Talk,
    quantized: QuantizedModel | str | Path,
    model: str | Path | None = None,
) -> tuple[Comparison, ...]:
    """Every layer of the float model beside the quantized one, over the data.

    Args:
        quantized: what ``quantize`` gave, or its ``X_quantize.onnx``.
        model: the float ONNX file that ``quantize`` left with it; default: the one in the quantized
            model.
        data: what is run, as for ``quantize``.
    """
    from knightlite.api.models import QuantizedModel
    from knightlite.api.quantization import compare_files, completed, load_float
    from knightlite.errors import UsageError

    with scratch_folder() as scratch:
        if isinstance(quantized, QuantizedModel):
            exact = Path(scratch) / "float.onnx"
            exact.write_bytes(quantized.float_onnx)
            path = Path(scratch) / quantized.file_name
            path.write_bytes(quantized.onnx)
            model = exact if model is None else model
        else:
            path = Path(quantized)
        if model is None:
            raise UsageError(f"the float model of {path} is not named.", 'model="X.onnx"')
        options = completed(asked(model=Path(model)), talk)
        options = replace(options, iterations=options.iterations[:1])
        rows, _ = compare_files(options, load_float(options, talk), path, talk)
    return rows
