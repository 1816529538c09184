"""The one way to open a model in ONNX Runtime."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from knightlite.errors import ModelError
from knightlite.ops.onnx_parts import ModelParts

if TYPE_CHECKING:
    import onnx
    import onnxruntime

Array = NDArray[Any]

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
"""Before it is imported: it reports to its makers, and complains where HOME cannot be written."""

WRONG_OPTIMIZERS = ("Pad_Fusion",)
"""What ONNX Runtime must not do: a MaxPool that takes over a Pad does not count its zeros."""


def session(
    model: onnx.ModelProto | ModelParts | bytes,
    threads: int | None = None,
    *,
    lean: bool = False,
    pooled: bool = False,
    as_written: bool = False,
    called: str = "",
    remedy: str = "",
) -> Session:
    """An ONNX Runtime CPU session; ``threads`` None leaves the number to ONNX Runtime.

    ``lean``: memory before speed; there is no memory plan for all tensors at once, and no arena
    that keeps what one run needed for the next. ``pooled``: small models, many of them, with one
    arena for all: memory that one gives back the next one takes, without a fault for every page.

    ``as_written``: nothing is fused or computed in another order, which may round otherwise.

    ``called``: the name in a sentence of a model that came from outside: whatever ONNX Runtime says
    of it, here or when it runs, is a ModelError. ``remedy``: the hint where we wrote the model
    ourselves, so that it must be damaged. What it says of a model that is ours and was in no file
    is a fault of ours, and is raised as it is.

    QDQ models run as they are written: without ``disable_quant_qdq`` ONNX Runtime fuses them
    into u8 x s8 integer kernels that saturate in 16 bits on CPUs without VNNI and are wrong.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # warnings about our own fixed form tell the user nothing, and what is refused is raised
    options.log_severity_level = 4 if called else 3
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_mem_pattern = not (lean or pooled)
    options.enable_cpu_mem_arena = not lean
    if as_written:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    if pooled:
        _make_pool()
        options.add_session_config_entry("session.use_env_allocators", "1")
    if threads is not None:
        options.intra_op_num_threads = threads
    held: list[onnxruntime.OrtValue] = []
    if isinstance(model, ModelParts):
        data, held = _beside(model, options)
    else:
        data = model if isinstance(model, bytes) else model.SerializeToString()
    try:
        opened = onnxruntime.InferenceSession(
            data, options, providers=["CPUExecutionProvider"], disabled_optimizers=WRONG_OPTIMIZERS
        )
    except Exception as error:  # its errors have no base class of their own
        if called:
            raise _refusal(error, called, remedy) from error
        raise
    return Session(opened, called, remedy, held)


def golden_session(
    model: onnx.ModelProto, threads: int | None = None, called: str = "", remedy: str = ""
) -> Session:
    """A golden model: where the host computes in float32 in the middle, as it is written."""
    hosted = any(node.op_type == "QuantizeLinear" for node in model.graph.node)
    return session(model, threads, as_written=hosted, called=called, remedy=remedy)


@lru_cache(maxsize=1)
def _make_pool() -> None:
    """The arena of all pooled sessions; it grows by what is asked for."""
    import onnxruntime

    kinds = onnxruntime.OrtAllocatorType, onnxruntime.OrtMemType
    onnxruntime.create_and_register_allocator(
        onnxruntime.OrtMemoryInfo("Cpu", kinds[0].ORT_ARENA_ALLOCATOR, 0, kinds[1].DEFAULT),
        onnxruntime.OrtArenaCfg(
            {
                "max_mem": 0,
                "arena_extend_strategy": 1,
                "initial_chunk_size_bytes": 1 << 20,
                "max_dead_bytes_per_chunk": -1,
            }
        ),
    )


def _beside(
    parts: ModelParts, options: onnxruntime.SessionOptions
) -> tuple[bytes, list[onnxruntime.OrtValue]]:
    """The bytes of a model whose large arrays the session reads where they are, and these."""
    import onnx
    import onnxruntime

    if not parts.arrays:
        return bytes(parts.skeleton.SerializeToString()), []
    found = onnx.ModelProto()
    found.CopyFrom(parts.skeleton)
    for item in found.graph.initializer:
        if item.name in parts.arrays:
            item.data_location = onnx.TensorProto.EXTERNAL
            item.external_data.add(key="location", value="memory")
    values = [
        onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array))
        for array in parts.arrays.values()
    ]
    options.add_external_initializers(list(parts.arrays), values)
    return bytes(found.SerializeToString()), values


class Session:
    """An opened model. ``inputs`` and ``outputs``: their names, in order.

    ``input_shapes``: as the model declares them, text or None where a size is open.
    """

    def __init__(
        self,
        opened: onnxruntime.InferenceSession,
        called: str,
        remedy: str,
        held: Sequence[onnxruntime.OrtValue] = (),
    ) -> None:
        """See :func:`session`; ``held``: what it reads, which must outlive it."""
        self._held = held
        self._opened, self._called, self._remedy = opened, called, remedy
        self.inputs = tuple(str(item.name) for item in opened.get_inputs())
        self.input_shapes = tuple(tuple(item.shape) for item in opened.get_inputs())
        self.outputs = tuple(str(item.name) for item in opened.get_outputs())

    def run(self, names: Sequence[str] | None, feeds: Mapping[str, Array]) -> list[Array]:
        """The outputs ``names``, None for all of them in order, of inputs by name."""
        try:
            found = self._opened.run(names, feeds)
        except Exception as error:  # its errors have no base class of their own
            if self._called:
                raise _refusal(error, self._called, self._remedy) from error
            raise
        return [np.asarray(values) for values in found]

    def binding(self) -> onnxruntime.IOBinding:
        """Places for inputs and outputs of :meth:`run_bound`."""
        return self._opened.io_binding()

    def run_bound(self, binding: onnxruntime.IOBinding) -> None:
        """Run from and into the places of ``binding``."""
        self._opened.run_with_iobinding(binding)


def _refusal(error: Exception, called: str, remedy: str) -> ModelError:
    reason = " ".join(str(error).split()).rstrip(".")
    if remedy:
        return ModelError(f"{called} is damaged: ONNX Runtime refuses it ({reason}).", remedy)
    return ModelError(f"ONNX Runtime refuses {called} ({reason}).")


def available_cores() -> int:
    """The cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def kernels() -> str:
    """ONNX Runtime's version and the processor's vector extensions, by which it picks kernels.

    Float kernels of processors differ in the last bits of what they compute.
    """
    import onnxruntime

    found = np.show_config(mode="dicts")["SIMD Extensions"]
    extensions = " ".join((*found["baseline"], *found["found"]))
    return f"onnxruntime {onnxruntime.__version__}, {platform.machine()} {extensions}"
