"""Runs ONE quantizer on ONE model and prints what it took; ``quantizers.py`` calls it.

    python peer_quantizers.py '{"tool": ..., "method": ..., "model": ..., "pictures": ..., ...}'

It runs in a process of its own, so that its peak memory is the quantizer's alone, and for the peers
with an interpreter of their own, which has no knightlite. Pictures are read from ``.npy`` files one
at a time, float32 [1, C, H, W]; the seconds are from opening the model to the written file.
"""

from __future__ import annotations

import json
import platform
import resource
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

OFF = {"bias_correction": "off"}  # of a switch of knightlite.quantize that is no True or False


@dataclass(frozen=True)
class Task:
    """``raw``: the model as it came; ``model``: the same as ONNX, prepared; ``output``: written."""

    tool: str
    method: str
    model: Path
    raw: Path
    input_name: str
    input_shape: tuple[int, ...]
    pictures: Path
    count: int
    output: Path
    effort: str | None = None
    off: str | None = None


@dataclass(frozen=True)
class Pictures:
    """The first ``count`` pictures of a folder, each read when its turn comes."""

    folder: Path
    count: int

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Any]:
        for path in sorted(self.folder.glob("*.npy"))[: self.count]:
            yield np.load(path)


def run_knightlite(task: Task) -> None:
    """``method`` of ranges and ``effort``, its default where that is None; ``off`` is off."""
    import warnings

    import knightlite

    options: dict[str, Any] = {"method": task.method}
    if task.effort is not None:
        options["effort"] = task.effort
    if task.off is not None:
        options[task.off] = OFF.get(task.off, False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # remarks on outputs of 8 bits
        made = knightlite.quantize(
            task.raw,
            data=Pictures(task.pictures, task.count),
            input_shapes=[task.input_shape],
            **options,
        )
    task.output.write_bytes(made.onnx)


def run_preparation(task: Task) -> None:
    """ONNX Runtime's own preparation: constants and BatchNorms folded, shapes inferred.

    Before it the model is brought to opset 13, below which DequantizeLinear has no axis.
    """
    import onnx
    from onnx import version_converter
    from onnxruntime.quantization.shape_inference import quant_pre_process

    model = onnx.load(task.model)
    if any(item.domain == "" and item.version < 13 for item in model.opset_import):
        model = version_converter.convert_version(model, 13)
    onnx.save(model, task.output)
    quant_pre_process(str(task.output), str(task.output), skip_symbolic_shape=True)


def run_onnxruntime(task: Task) -> None:
    """Static QDQ, u8 activations, s8 weights per channel."""
    from onnxruntime import quantization
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.rewind()

        def get_next(self) -> Any:
            picture = next(self.pictures, None)
            return None if picture is None else {task.input_name: picture}

        def rewind(self) -> None:
            self.pictures = iter(Pictures(task.pictures, task.count))

    methods = {
        "min_max": CalibrationMethod.MinMax,
        "percentile": CalibrationMethod.Percentile,
    }
    quantization.quantize_static(
        str(task.model),
        str(task.output),
        Reader(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=methods[task.method],
    )


def run_nncf(task: Task) -> None:
    """``nncf.quantize`` as it comes, with fast or full bias correction, on all pictures."""
    import logging

    import nncf
    import onnx

    logging.getLogger("nncf").setLevel(logging.ERROR)
    data = nncf.Dataset(Pictures(task.pictures, task.count), lambda x: {task.input_name: x})
    quantized = nncf.quantize(
        onnx.load(task.model),
        data,
        subset_size=task.count,
        fast_bias_correction=task.method == "fast_bias_correction",
    )
    onnx.save(quantized, task.output)


TOOLS: dict[str, Callable[[Task], None]] = {
    "knightlite": run_knightlite,
    "onnxruntime": run_onnxruntime,
    "nncf": run_nncf,
    "preparation": run_preparation,
}
IMPORTED = {  # before the clock starts
    "knightlite": "knightlite.quantize.pipeline",
    "onnxruntime": "onnxruntime.quantization",
    "nncf": "nncf",
    "preparation": "onnxruntime.quantization",
}


def peak_mib() -> float:
    """Largest resident memory of this process so far.

    Linux's ru_maxrss also remembers the process that started this one, so its VmHWM is read.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if platform.system() == "Darwin" else 1 << 10)  # bytes there, KiB here


def main() -> None:
    fields = json.loads(sys.argv[1])
    for name in ("model", "raw", "pictures", "output"):
        fields[name] = Path(fields[name])
    task = Task(**{**fields, "input_shape": tuple(fields["input_shape"])})
    for name in ("onnx", "onnxruntime", IMPORTED[task.tool]):
        __import__(name)
    started, worked = time.perf_counter(), time.process_time()
    TOOLS[task.tool](task)
    taken = {
        "seconds": time.perf_counter() - started,
        "cpu_seconds": time.process_time() - worked,  # of all threads
        "peak_mib": peak_mib(),
    }
    print("\n" + json.dumps(taken))


if __name__ == "__main__":
    main()
