"""The functions of ``import knightlite``, for editors and type checkers.

``pytest --update-golden tests/test_public_stub.py`` writes this from what they are made of.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from knightlite.api.comparison import Comparison
from knightlite.api.evaluation import EvaluationResult
from knightlite.api.exploration import Exploration
from knightlite.api.models import CompiledModel, File, QuantizedModel
from knightlite.api.quantization import Data
from knightlite.api.residents import ScratchpadUse
from knightlite.diagnosis import Diagnosis
from knightlite.profiler import Profile
from knightlite.public.stages import Session as Session
from knightlite.quantize.data import InferFunction

__all__ = [
    "Session",
    "compare",
    "compare_layers",
    "compile",
    "convert",
    "diagnose",
    "evaluate",
    "explore",
    "infer",
    "profile",
    "quantize",
    "side_by_side",
]

def compare(
    quant_dir: str | Path,
    *,
    sim_dir: str | Path | None = None,
    weight: str | Path | None = None,
    level: int = 4,
    cfg: str | Path,
) -> tuple[Comparison, ...]:
    """Float, quantized, golden and chip on the sample of ``quantize``, layer by layer.

    Args:
        quant_dir: the ``save_dir`` of ``quantize``.
        sim_dir: where ``knightlite sim`` left results; default: they are computed.
        weight: default: beside ``cfg``.
        level: 0 to 2 the network's outputs, 3 to 6 every layer (``knightlite compare --help``).
        cfg: what ``compile`` left.
    """

def compare_layers(
    quantized: QuantizedModel | str | Path,
    model: str | Path | None = None,
    *,
    script: str | Path | None = None,
    infer: str | InferFunction | None = None,
    data: Data | None = None,
    recipe: str | Path | None = None,
    labels: str | Path | None = None,
    batch_size: int = 1,
    iteration: int | Sequence[int] | None = None,
    script_python: str | None = None,
    trust_checkpoint: bool = False,
    seed: int = 0,
) -> tuple[Comparison, ...]:
    """Every layer of the float model beside the quantized one, over the data.

    Args:
        quantized: what ``quantize`` gave, or its ``X_quantize.onnx``.
        model: the float ONNX file that ``quantize`` left with it; default: the one in the quantized
            model.
        script: a Knight user script, with ``infer`` the name it registers; ``data`` becomes
            ``executor.dataset``.
        infer: with a script a name; else an infer function itself, called as a script's is.
        data: what is run, as for ``quantize``.
        recipe: how the pictures of a folder become arrays: a name of calibration/ or a TOML file.
        labels: file with the names of the class folders in the order of the scores, one a line or
            as idx:name; default: the folders, sorted.
        batch_size: pictures per call, where ``data`` does not come in batches.
        iteration: forward calls; default: all batches of ``data``, 100 pictures of a folder or all
            there are, else 1. Several are tried.
        script_python: the Python that the script runs in; default: KNIGHTLITE_SCRIPT_PYTHON, else
            this one, or that of torch or Paddle where it has more of what the script imports.
        trust_checkpoint: load checkpoints of torch with pickled objects too, which can run any
            code.
        seed: of the choice of pictures in a folder.
    """

def compile(
    model: QuantizedModel | str | Path,
    *,
    chip: str | None = None,
    outputs: Sequence[str] = (),
    start_layer_name: str | None = None,
    end_layer_name: str | None = None,
    opt_group: int = 1,
    evaluations: int | None = None,
    search_seconds: float | None = None,
    opt_ddr: int = 1,
    sparse: bool = False,
    unfixloop: bool = False,
    res_version: str = "1.0",
    input_order: str | None = None,
    input_indep: bool = False,
    output_indep: bool = False,
    onceload_m: int = -1,
    onceload_w: int = -1,
    explain_memory: bool = False,
    save_dir: str | Path | None = None,
) -> CompiledModel:
    """Compile a quantized model: the result of ``quantize``, or an ``X_quantize.onnx`` file.

    Args:
        model: what ``quantize`` returned, or its file.
        chip: name or chip file; default: the one the model was quantized for.
        outputs: inner tensors that are delivered too.
        start_layer_name: a layer; what is before it is left out.
        end_layer_name: a layer; what is behind it is left out.
        opt_group: schedule: 0 layer after layer through DDR, as the vendor's compiler; 1 with
            tensors that stay on chip, layers walked together and constants ahead; 2: a search from
            there.
        evaluations: with ``opt_group`` 2: changes of a schedule to try in all; default: 240.
        search_seconds: with ``opt_group`` 2: stop then; ``figures`` say after how many changes.
        opt_ddr: 0: no two tensors share DDR; 1: they do; 2: as 1.
        sparse: skip blocks of a convolution's weights that are all zero.
        unfixloop: keep the states of recurrent layers from one frame to the next, each a step of a
            sequence of any length; of a model quantized with ``unfixloop``.
        res_version: a text of yours to keep in the ``.cfg``.
        input_order: layout that ``sim`` takes raw files to have, "nchw" or "nhwc"; default: the
            model's.
        input_indep: inputs lie outside the network's memory, where who runs it says.
        output_indep: the same of outputs.
        onceload_m: parameters and tables stay in MSPM from this byte on, loaded once; -1: they do
            not.
        onceload_w: the same of weights, in WSPM.
        explain_memory: name what lies in each memory where it is fullest (``memory`` of the
            result).
        save_dir: where the files of ``knightlite compile`` are to be left; default: nowhere.
    """

def convert(
    model: str | Path,
    *,
    weight: str | Path | None = None,
    framework: str | None = None,
    script: str | Path | None = None,
    input_shapes: Sequence[Sequence[int]] = (),
    general_process: bool = False,
    npu_picks: bool = False,
    mean: Sequence[float] = (),
    std: Sequence[float] = (),
    output_names: Sequence[str] = (),
    paddle_python: str | None = None,
    torch_python: str | None = None,
    script_python: str | None = None,
    torch_exporter: str = "auto",
    trust_checkpoint: bool = False,
) -> bytes:
    """A float model as the ONNX file that ``quantize`` starts from.

    Where the NPU cannot run it, that is a warning; the file is what its reader made of it.

    Args:
        model: a ``.pdmodel``, ``.json`` (Paddle 3) or ``.onnx`` file; or the function of ``script``
            that builds the network.
        weight: of a Paddle model; default: the ``.pdiparams`` beside it. ``.pdparams`` or ``.pth``
            for a model function.
        framework: "onnx", "paddle" or "pytorch"; default: by the model's suffix.
        script: a Knight user script, with ``infer`` the name it registers; ``data`` becomes
            ``executor.dataset``.
        input_shapes: one per input, for inputs with dynamic axes.
        general_process: run unsupported operators on the host, in the middle of the network too.
        npu_picks: an ArgMax or ArgMin that ends the network runs on the NPU, not on the host: fewer
            bytes, but no scores that tell how good the quantization is.
        mean: what the network subtracts from its first input, one number or one per channel.
        std: what it divides it by.
        output_names: cut the network at these tensors.
        paddle_python: the Python that Paddle lives in, for ``.json`` and ``.pdparams``; default:
            the environment variable KNIGHTLITE_PADDLE_PYTHON, or this one.
        torch_python: the same for torch; default: KNIGHTLITE_TORCH_PYTHON, or this one.
        script_python: the Python that the script runs in; default: KNIGHTLITE_SCRIPT_PYTHON, else
            this one, or that of torch or Paddle where it has more of what the script imports.
        torch_exporter: "auto", "torchscript" or "dynamo".
        trust_checkpoint: load checkpoints of torch with pickled objects too, which can run any
            code.
    """

def diagnose(
    quantized: str | Path | QuantizedModel,
    model: str | Path | None = None,
    *,
    weight: str | Path | None = None,
    framework: str | None = None,
    script: str | Path | None = None,
    infer: str | InferFunction | None = None,
    data: Data | None = None,
    recipe: str | Path | None = None,
    script_python: str | None = None,
    labels: str | Path | None = None,
    batch_size: int = 1,
    iteration: int | None = None,
    input_shapes: Sequence[Sequence[int]] = (),
    seed: int = 0,
    suspects: int = 8,
    html: str | Path | None = None,
    metric: str | None = None,
    annotations: str | Path | None = None,
) -> Diagnosis:
    """Say which layers of a quantized model lose accuracy, why, and what helps, measured.

    Args:
        quantized: an ``X_quantize.onnx``, or what ``quantize`` gave.
        model: the float model; default: the one in the quantized model, or ``X.onnx`` beside it.
        weight: of a Paddle model.
        framework: "onnx" or "paddle"; default: by the model's suffix.
        script: a Knight user script, with ``infer`` the name it registers.
        infer: with a script a name; else an infer function itself.
        data: what is run, as for ``quantize``; with labels the preprocessing is judged too.
        recipe: of the pictures of a folder; default: the one that the model was quantized with.
        script_python: the Python that the script runs in; default: KNIGHTLITE_SCRIPT_PYTHON, else
            this one, or that of torch or Paddle where it has more of what the script imports.
        labels: file with the names of the class folders in the order of the scores, one a line or
            as idx:name; default: the folders, sorted.
        batch_size: pictures per call, where ``data`` does not come in batches.
        iteration: forward calls; default: all batches of ``data``, else 1.
        input_shapes: one per input, for inputs with dynamic axes.
        seed: of the choice of pictures in a folder.
        suspects: places that are tried.
        html: a page to write; needs matplotlib.
        metric: the data's own measure: ``FILE.py:NAME``, a function or class; or ``f1``, ``hmean``
            or ``coco_map`` and the function that makes boxes of outputs, as ``f1:FILE.py:NAME``.
        annotations: what ``metric`` compares with: for the ready ones a file in COCO's format.
    """

def evaluate(
    models: Sequence[CompiledModel | QuantizedModel | str | Path],
    data: str | Path | NDArray[Any],
    *,
    chip: str | None = None,
    engine: str = "numpy",
    recipe: str | Path | None = None,
    count: int | None = None,
    seed: int = 0,
    input_shapes: Sequence[Sequence[int]] = (),
    workers: int = 1,
    state: str | Path | None = None,
    shard: tuple[int, int] = (1, 1),
    check: bool = False,
    metric: str | None = None,
    annotations: str | Path | None = None,
    labels: str | Path | Sequence[int] | NDArray[Any] | None = None,
) -> EvaluationResult:
    """Accuracy of forms of one network on a folder of pictures or on arrays, in one pass.

    Args:
        models: float, quantized, golden or compiled: files, or what ``quantize`` and ``compile``
            returned. The others are compared with the first.
        data: folder of pictures, one sub-folder per class; or frames [N, C, H, W] as the network
            reads them, an array or a ``.npy`` file. Without classes no top-1 is counted.
        chip: must be the one compiled for, or another name of it.
        engine: what runs compiled networks: the simulator, "numpy", or the runtime in C, "native",
            which is built on first use; both make the same bytes.
        recipe: how pictures become input; default: as the models were calibrated.
        count: a seeded sample of so many pictures; default: all.
        seed: of the sample.
        input_shapes: of the one input, where a model leaves it open.
        workers: processes. More than one need a program whose main module may be imported (``if
            __name__ == "__main__":``).
        state: file of the sums so far, from which the same call goes on after a stop.
        shard: (i, n) takes every n-th picture from the i-th on; the states of all n shards give the
            whole with ``knightlite eval --merge``.
        check: also compare every byte of every layer of a compiled network with its golden model.
        metric: the data's own measure: ``FILE.py:NAME``, a function or class; or ``f1``, ``hmean``
            or ``coco_map`` and the function that makes boxes of outputs, as ``f1:FILE.py:NAME``.
        annotations: what ``metric`` compares with: for the ready ones a file in COCO's format.
        labels: of a folder the file with the names of its class folders in the order of the scores,
            one a line or as idx:name; default: the folders, sorted. Of frames the class of each,
            numbers or their ``.npy`` file.
    """

def explore(
    models: Sequence[str | Path],
    *,
    chip: str | None = None,
    chips: str | Sequence[str] = (),
    facts: Mapping[str, Sequence[int]] | None = None,
    levels: int | Sequence[int] = 1,
    widths: int | Sequence[int] = 8,
    input_shapes: Sequence[Sequence[int]] = (),
    data: Data | None = None,
    recipe: str | Path | None = None,
    iteration: int | None = None,
    fps: float | None = None,
    workers: int = 1,
    html: str | Path | None = None,
    save: str | Path | None = None,
) -> Exploration:
    """Time of models on chips, at schedule levels and in widths: every combination.

    Args:
        models: float models, files as ``check`` takes them, or ``X_quantize.onnx``.
        chip: one chip, instead of ``chips``.
        chips: chip names or chip files; default: one of every family that ships.
        facts: figures of a chip to vary, such as {"fspm_bytes": [262144, 524288]}; of several facts
            all combinations.
        levels: schedule levels, as ``compile`` has them.
        widths: bits of tensors and weights of float models, 8 or 16.
        input_shapes: one per input, for inputs with dynamic axes.
        data: folder of pictures that tell accuracy, with ``recipe``: float models are quantized
            with them in each width.
        recipe: how the pictures become inputs: a name of calibration/ or a TOML file.
        iteration: pictures to take; default: 100, or all there are.
        fps: frames a second: the result names for each model the smallest chip that runs them.
        workers: processes. More than one need a program whose main module may be imported (``if
            __name__ == "__main__":``).
        html: a page with plots to write.
        save: file of all points, from which the same call goes on after a stop; default: none.
    """

def infer(
    model: QuantizedModel | str | Path,
    *,
    weight: str | Path | None = None,
    framework: str | None = None,
    script: str | Path | None = None,
    infer: str | InferFunction | None = None,
    data: Data | None = None,
    recipe: str | Path | None = None,
    labels: str | Path | None = None,
    batch_size: int = 1,
    iteration: int | Sequence[int] | None = None,
    input_shapes: Sequence[Sequence[int]] = (),
    script_python: str | None = None,
    trust_checkpoint: bool = False,
    seed: int = 0,
) -> float | None:
    """Run a float or quantized model over data; its metric.

    That is what the infer function returns, top-1 in percent over a folder of classes, else None.

    Args:
        model: a float model as for ``quantize``, an ``X_quantize.onnx``, or what ``quantize`` gave.
        weight: of a Paddle model; default: the ``.pdiparams`` beside it. ``.pdparams`` or ``.pth``
            for a model function.
        framework: "onnx", "paddle" or "pytorch"; default: by the model's suffix.
        script: a Knight user script, with ``infer`` the name it registers; ``data`` becomes
            ``executor.dataset``.
        infer: with a script a name; else an infer function itself, called as a script's is.
        data: what is run, as for ``quantize``.
        recipe: how the pictures of a folder become arrays: a name of calibration/ or a TOML file.
        labels: file with the names of the class folders in the order of the scores, one a line or
            as idx:name; default: the folders, sorted.
        batch_size: pictures per call, where ``data`` does not come in batches.
        iteration: forward calls; default: all batches of ``data``, 100 pictures of a folder or all
            there are, else 1. Several are tried.
        input_shapes: one per input, for inputs with dynamic axes.
        script_python: the Python that the script runs in; default: KNIGHTLITE_SCRIPT_PYTHON, else
            this one, or that of torch or Paddle where it has more of what the script imports.
        trust_checkpoint: load checkpoints of torch with pickled objects too, which can run any
            code.
        seed: of the choice of pictures in a folder.
    """

def profile(
    compiled: CompiledModel | File,
    weight: File | None = None,
    *,
    chip: str | None = None,
    max_storage_bandwidth: float = 0.0,
    bandwidth_utilization: float | None = None,
    facts: Mapping[str, int] | None = None,
    save_dir: str | Path | None = None,
) -> Profile:
    """Predict the time of a compiled network, layer by layer.

    Args:
        compiled: what ``compile`` returned, the ``.cfg`` or ``.tsmodel`` file, or its bytes.
        weight: the ``.weight`` file or its bytes; default: the file beside the ``.cfg``.
        chip: must be the one compiled for, or another name of it.
        max_storage_bandwidth: assume this DDR rate, in 2^30 bytes a second; 0 is the chip's.
        bandwidth_utilization: assume that transfers reach this share of it, up to 1; default: the
            chip's.
        facts: assume other figures of the chip, such as {"clock_hz": 800_000_000}, that only time
            depends on.
        save_dir: where the files of ``knightlite profile`` are to be left; default: nowhere.
    """

def quantize(
    model: str | Path,
    *,
    chip: str | None = None,
    weight: str | Path | None = None,
    framework: str | None = None,
    script: str | Path | None = None,
    infer: str | InferFunction | None = None,
    data: Data | None = None,
    recipe: str | Path | None = None,
    labels: str | Path | None = None,
    batch_size: int = 1,
    iteration: int | Sequence[int] | None = None,
    method: str | Sequence[str] | None = None,
    percent: float = 0.99999,
    equalization: bool | None = None,
    output_scales: bool | None = None,
    effort: str = "normal",
    bias_correction: str | None = None,
    rounding: str | None = None,
    bit_width: int = 8,
    wide_tensors: bool = True,
    generate_template: bool = False,
    mix_config: str | Path | None = None,
    input_shapes: Sequence[Sequence[int]] = (),
    run_mode: str = "quant",
    auto_mix_ratio: float = 0.5,
    auto_mix_strategy: str = "HAWQ",
    mix_budget: str | float | None = None,
    general_process: bool = False,
    npu_picks: bool = False,
    unfixloop: bool = False,
    input_types: Sequence[str] = (),
    mean: Sequence[float] = (),
    std: Sequence[float] = (),
    output_names: Sequence[str] = (),
    generate_scale_json: bool = False,
    scales: str | Path | None = None,
    lut_len: int | None = None,
    input_configs: Sequence[Mapping[str, Any]] = (),
    ir_batch: int = 1,
    cache_distribution: str | Path | None = None,
    dump: bool = False,
    paddle_python: str | None = None,
    torch_python: str | None = None,
    script_python: str | None = None,
    torch_exporter: str = "auto",
    trust_checkpoint: bool = False,
    seed: int = 0,
    save_dir: str | Path | None = None,
) -> QuantizedModel:
    """Quantize a float model to 8 bits, or 16, or a mix of both.

    Args:
        model: a ``.pdmodel``, ``.json`` (Paddle 3) or ``.onnx`` file; or the function of ``script``
            that builds the network.
        chip: name or chip file; default: that of the commands (``--default-chip``), TX5368AV200.
        weight: of a Paddle model; default: the ``.pdiparams`` beside it. ``.pdparams`` or ``.pth``
            for a model function.
        framework: "onnx", "paddle" or "pytorch"; default: by the model's suffix.
        script: a Knight user script, with ``infer`` the name it registers; ``data`` becomes
            ``executor.dataset``.
        infer: with a script a name; else an infer function itself, called as a script's is.
        data: what calibrates the ranges. A folder of pictures, together with ``recipe``. An array
            of pictures [N, C, H, W] as the network reads them, or one per input by name. An
            iterable of batches: an array, or one per input in order or by name, each [n, ...].
            None: random data, with a warning.
        recipe: how the pictures of a folder become arrays: a name of calibration/ or a TOML file.
        labels: file with the names of the class folders in the order of the scores, one a line or
            as idx:name; default: the folders, sorted.
        batch_size: pictures per call, where ``data`` does not come in batches.
        iteration: forward calls; default: all batches of ``data``, 100 pictures of a folder or all
            there are, else 1. Several are tried.
        method: how ranges are chosen: "mse" (default), "min_max", "kl", "kl_v2", "percentile",
            "octav", or "auto" per tensor (default at high effort); several, or "all" but "auto",
            are tried and the best is returned, see ``combinations``.
        percent: the share of magnitudes inside the range of "percentile".
        equalization: bring channels that share a scale to like ranges where that gains; default: as
            the effort has it.
        output_scales: make scales of the method mse finer or coarser where the network's outputs
            keep more; default: as the effort has it.
        effort: what to try for accuracy: "low" (ranges, fast bias correction), "normal" or "high"
            (may take minutes).
        bias_correction: "off", "fast" or "sequential"; default: as the effort has it.
        rounding: of weights, "nearest" or "adaptive"; default: as the effort has it.
        bit_width: 8 or 16.
        wide_tensors: at 8 bits give 16 where one rounding more costs much: to what only tables
            read, what norms and recurrent layers compute on the way, what goes into a residual Add.
        generate_template: also make ``mix_template``, the text of a mix configuration.
        mix_config: such a file, which gives operators 16 bits.
        input_shapes: one per input, for inputs with dynamic axes.
        run_mode: "quant", or "auto_quant": some operators at 16 bits, found by measuring.
        auto_mix_ratio: auto_quant: share of the convolutions that may have 16 bits.
        auto_mix_strategy: auto_quant: "HAWQ", "IOhigh" or "initial".
        mix_budget: give 16 bits where they help most, for at most so many percent of extra
            predicted cycles: 5, "2.5%" or "20000cycles".
        general_process: run unsupported operators on the host, in the middle of the network too.
        npu_picks: an ArgMax or ArgMin that ends the network runs on the NPU, not on the host: fewer
            bytes, but no scores that tell how good the quantization is.
        unfixloop: read LSTM, GRU and RNN as one step, whose states stay for the next; the data are
            sequences as before.
        input_types: per input "uint8", "int8" or "int16": it is fed with integers; "float32".
        mean: what the network subtracts from its first input, one number or one per channel.
        std: what it divides it by.
        output_names: cut the network at these tensors.
        generate_scale_json: also make ``scales``, the text of a scale file.
        scales: a scale file (``generate_scale_json`` makes one) to take types and scales from.
        lut_len: tables of 16-bit tensors have 2^lut_len intervals, 8 to 12; default: 10, and 11
            where lines between so few entries are too coarse.
        input_configs: type, mean, std and data of each input, as in run-config files.
        ir_batch: frames that ``sim`` runs of its input; the model takes any batch.
        cache_distribution: a file that keeps what the first pass over the data learns, and stands
            for that pass where it is there.
        dump: also write the values of every layer, float and fixed, to ``save_dir``/dump.
        paddle_python: the Python that Paddle lives in, for ``.json`` and ``.pdparams``; default:
            the environment variable KNIGHTLITE_PADDLE_PYTHON, or this one.
        torch_python: the same for torch; default: KNIGHTLITE_TORCH_PYTHON, or this one.
        script_python: the Python that the script runs in; default: KNIGHTLITE_SCRIPT_PYTHON, else
            this one, or that of torch or Paddle where it has more of what the script imports.
        torch_exporter: "auto", "torchscript" or "dynamo".
        trust_checkpoint: load checkpoints of torch with pickled objects too, which can run any
            code.
        seed: of the choice of pictures in a folder.
        save_dir: where the files of ``knightlite quant`` are to be left; default: nowhere.
    """

def side_by_side(
    compiled: Sequence[CompiledModel | File],
) -> tuple[ScratchpadUse, ...]:
    """Say what each network uses of WSPM and MSPM; refuse those that cannot be loaded together.

    What one was compiled to keep there (``onceload_w``, ``onceload_m``) no other may use.

    Args:
        compiled: what ``compile`` returned, ``.cfg`` or ``.tsmodel`` files, or their bytes.
    """
