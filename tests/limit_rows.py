"""Every limit that a function asks for, at N and at what lies beyond it: calls and sentences.

By ``file:function``, as ``mutants.guards`` finds them. A call gets a folder of its own; what it
must say stands beside it, "" where it says nothing. Numbers stand here by hand, not by the names
that the code has for them.
"""

from __future__ import annotations

import io
import math
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace as Made
from typing import Any
from unittest.mock import patch

import numpy as np

from knightlite import array_files, limits
from knightlite.api.quantization import batches, inputs
from knightlite.container import sections
from knightlite.frontend import (
    normalization,
    static_shapes,
)
from knightlite.frontend.source import SourceNode
from knightlite.json_records import codec
from knightlite.ops import onnx_parts
from knightlite.options import checks, evaluate, texts
from knightlite.options import compile as compile_options
from knightlite.options.quantize import QuantizeOptions
from knightlite.preprocess import labels, netpbm, picture, recipe
from knightlite.profiler import assumptions
from knightlite.quantize.data import python_data
from knightlite.quantize.mixed import mix_budget
from knightlite.quantize.ranges import methods
from knightlite.quantize.scales import pins, scale_file
from knightlite.reading import files as read_files
from knightlite.reading import texts as read_texts

Case = tuple[Callable[[Path], object], str]
Rows = Mapping[str, tuple[Case, ...]]
F32 = np.float32
X = np.zeros((2, 3), F32)


def written(folder: Path, data: bytes, name: str = "file") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def saved(folder: Path, values: Any) -> Path:
    np.save(folder / "a.npy", np.asarray(values))
    return folder / "a.npy"


def node(op: str, *inputs: str, **attributes: Any) -> SourceNode:
    return SourceNode("n", op, "", inputs, ("y",), attributes)


# ------------------------------------------------------------------ files and texts


def npy_header(length: int) -> io.BytesIO:
    """A header of so many bytes, and one number."""
    text = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}".ljust(length)
    return io.BytesIO(b"\x93NUMPY\x02\x00" + struct.pack("<I", length) + text + bytes(4))


def npy_fields(shape: str) -> object:
    return array_files._fields(
        f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}".encode()
    )


def header_read(length: int) -> object:
    stream = npy_header(length)
    return array_files._header(stream, len(stream.getvalue()))


def packed(most: int) -> object:
    """An archive of 134 bytes of array, where so many may be unpacked."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a.npy", npy_header(118).getvalue())
    with patch.object(limits, "CACHE_BYTES", most):
        return len(array_files.read_arrays(stream.getvalue()))


def shortened(by: int) -> object:
    data = sections.write_sections(sections.CFG_MAGIC, {"a": b"one", "b": b"two"})
    return sections.read_sections(sections.CFG_MAGIC, data[: len(data) - by], "f")


def cut_to(size: int) -> object:
    data = sections.write_sections(sections.CFG_MAGIC, {"a": b"one"})
    return sections.read_sections(sections.CFG_MAGIC, data[:size], "f")


def nested(depth: int) -> None:
    read_texts._require_bounded(eval("[" * depth + "]" * depth))


NPY = "is not a .npy file of numbers, or its header is damaged"
FILES: Rows = {
    "array_files.py:read_arrays": (
        (lambda f: packed(134), ""),
        (lambda f: packed(133), "unpacks to 134 bytes, more than 133"),
    ),
    "array_files.py:_header": (
        (lambda f: header_read(10_000), ""),
        (lambda f: header_read(10_001), "is not a .npy file, or its header is damaged"),
        (lambda f: array_files._header(io.BytesIO(b"\x93NUMPY\x01"), 7), "it is not a .npy file"),
        # both bytes of the version are there, of the header's length nothing
        (lambda f: array_files._header(io.BytesIO(b"\x93NUMPY\x01\0"), 8), "its header is damaged"),
    ),
    "array_files.py:_fields": (
        (lambda f: npy_fields(str((1,) * 16)), ""),
        (lambda f: npy_fields(str((1,) * 17)), NPY),
        (lambda f: npy_fields("(0,)"), ""),
        (lambda f: npy_fields("(-1,)"), NPY),
        (lambda f: npy_fields(str((2**63 - 1,))), ""),
        (lambda f: npy_fields(str((2**63,))), NPY),
    ),
    "container/sections.py:read_sections": (
        (lambda f: shortened(0), ""),
        (lambda f: shortened(1), "is truncated"),
        (lambda f: cut_to(15), "is truncated: 15 bytes."),
        # the head is there, the list of sections and its checksum are not
        (lambda f: cut_to(16), "is truncated: 16 bytes."),
        (lambda f: cut_to(16 + 64 + 31), "is truncated: 111 bytes."),
        (lambda f: cut_to(16 + 64 + 32), "is truncated: 112 bytes, needs 115."),
    ),
    "reading/files.py:open_regular": (
        (lambda f: read_files.open_regular(written(f, b"abc"), 3).close(), ""),
        (lambda f: read_files.open_regular(written(f, b"abc"), None).close(), ""),
        (lambda f: read_files.open_regular(written(f, b"abcd"), 3),
         "it has 4 bytes, and at most 3"),
    ),
    "reading/texts.py:json_value": (
        (lambda f: read_texts.json_value(" " * (32 * 2**20 - 1) + "1"), ""),
        (lambda f: read_texts.json_value(" " * 32 * 2**20 + "1"), "more than 33554432 letters"),
    ),
    "reading/texts.py:toml_table": (
        (lambda f: read_texts.toml_table("#".ljust(262144)), ""),
        (lambda f: read_texts.toml_table("#".ljust(262145)), "more than 262144 letters"),
    ),
    "reading/texts.py:_require_bounded": (
        (lambda f: nested(65), ""),
        (lambda f: nested(66), "nested more than 64 deep"),
        (lambda f: read_texts._require_bounded(2**64 - 1), ""),
        (lambda f: read_texts._require_bounded(1 - 2**64), ""),
        (lambda f: read_texts._require_bounded(2**64), "more than 64 bits"),
        (lambda f: read_texts._require_bounded(-(2**64)), "more than 64 bits"),
    ),
    "json_records/codec.py:_cropped": (
        (lambda f: codec._cropped("a" * 60), "=" + "a" * 60),
        (lambda f: codec._cropped("a" * 61), "a" * 57 + "..."),
    ),
    "preprocess/recipe.py:load_recipe": (
        (lambda f: recipe.load_recipe("nope").name, "recipe nope is not known"),
        (lambda f: recipe.load_recipe("a/nope").name, "recipe a/nope does not exist"),
    ),
    "preprocess/recipe.py:_shown": (
        (lambda f: recipe._shown("a" * 58), "a" * 58 + "'"),
        (lambda f: recipe._shown("a" * 59), "a" * 56 + "..."),
    ),
    "preprocess/labels.py:_entries": (
        (lambda f: len(labels.read_labels(written(f, b"1048575:x"))), ""),
        (lambda f: labels.read_labels(written(f, b"1048576:x")), "more than 1048575."),
    ),
    "preprocess/netpbm.py:pixels_of": (
        (lambda f: str(netpbm.pixels_of(b"P5 2 3 255\n" + bytes(6), "x").shape), "(3, 2)"),
        (lambda f: str(netpbm.pixels_of(b"P6 2 1 255\n" + bytes(6), "x").shape), "(1, 2, 3)"),
        (lambda f: netpbm.pixels_of(b"P5 2 3 255\n" + bytes(7), "x"), ""),
        (lambda f: netpbm.pixels_of(b"P5 2 3 255\n" + bytes(5), "x"), "at most the 5 behind"),
        (lambda f: netpbm.pixels_of(b"P6 0 1 255\n" + bytes(5), "x"), "1x0x3 bytes"),
    ),
    "preprocess/picture.py:_require_pixels": (
        (lambda f: picture._require_pixels(3, 4, 12, "it has"), ""),
        (lambda f: picture._require_pixels(3, 4, 11, "it has"), "it has 3x4 pixels"),
    ),
    "preprocess/picture.py:_crop": (
        (lambda f: picture._crop(np.zeros((4, 5, 3), F32), (4, 5), "p", "r"), ""),
        (lambda f: picture._crop(np.zeros((4, 5, 3), F32), (5, 5), "p", "r"), "at least 5x5"),
        (lambda f: picture._crop(np.zeros((4, 5, 3), F32), (4, 6), "p", "r"), "at least 4x6"),
    ),
    "ops/onnx_parts.py:fields": (
        (lambda f: list(onnx_parts.fields(memoryview(b"\x0a\x02ab"))), ""),
        (lambda f: list(onnx_parts.fields(memoryview(b"\x0a\x03ab"))), "a field beyond the end"),
    ),
    "ops/onnx_parts.py:_varint": (
        (lambda f: onnx_parts._varint(memoryview(b"\x80\x01"), 0), ""),
        (lambda f: onnx_parts._varint(memoryview(b"\x80"), 0), "a number beyond the end"),
    ),
}  # fmt: skip

# ------------------------------------------------------------------ what is asked of commands


def asked_types(words: str) -> object:
    graph = Made(fed_inputs=("a", "b"), integer_inputs={})
    return inputs.input_forms(QuantizeOptions(model=Path("m.onnx"), input_types=(words,)), graph)  # type: ignore[arg-type]


def pin_fed(low: float, high: float) -> None:
    kind = Made(minimum=0, maximum=255)
    pin = Made(name="x", integral=True, dtype=kind, source="-qid")
    seen = Made(minimum=np.array(low), maximum=np.array(high), integral=True)
    pins.check_integers(Made(settings=Made(pins=(pin,)), statistics={"x": seen}))  # type: ignore[arg-type]


def pinned(*shape: int) -> object:
    return static_shapes._pinned("x", None, shape, Path("m"), ())


def budget(amount: float) -> object:
    return mix_budget.check_budget(Made(amount=amount), Made(bit_widths=(8, 16)))  # type: ignore[arg-type]


def scale_entry(scale: object) -> object:
    return scale_file._wrong({"type": "u8", "scale": scale})


CALLS = "must be from 1 to 10000000 and batch size (-bs) from 1 to 4096, not "
SHARE = "the share of percentile must be above 0 and at most 1"
UTILIZATION = "must be a whole percentage"
ASKED: Rows = {
    "api/quantization/batches.py:batches_of": (
        (lambda f: batches.batches_of(X, 1, ()), ""),
        (lambda f: batches.batches_of(X, 0, ()), "the batch size must be at least 1, not 0."),
    ),
    "api/quantization/inputs.py:input_forms": (
        (lambda f: asked_types("uint8 int8"), ""),
        (lambda f: asked_types("uint8 int8 None"), "2 input(s), but -qid names 3 types."),
    ),
    "frontend/static_shapes.py:_wanted_shapes": (
        (lambda f: static_shapes._wanted_shapes(["a", "b"], [(1,), (2,)], f), ""),
        (lambda f: static_shapes._wanted_shapes(["a"], [(1,), (2,)], f), "but 2 shapes were given"),
    ),
    "frontend/static_shapes.py:_pinned": (
        (lambda f: pinned(1, 1, 65535), ""),
        (lambda f: pinned(1, 0, 1), "must be positive"),
        (lambda f: pinned(-1, 1), ""),
        (lambda f: pinned(0, 1), "must be positive"),
        (lambda f: pinned(1, -1), "must be positive"),
        (lambda f: pinned(1, 65536, 1), "must have sizes up to 65535"),
        (lambda f: static_shapes._pinned("x", ["N", 3], None, f, ()), ""),
        (lambda f: static_shapes._pinned("x", [4, "C"], None, f, ()), "only the batch may be"),
    ),
    "frontend/normalization.py:require_normalization": (
        (lambda f: normalization.require_normalization("x", 3, [0], [1e-9]), ""),
        (lambda f: normalization.require_normalization("x", 3, [0] * 3, [1, 2, 3]), ""),
        (lambda f: normalization.require_normalization("x", 3, [0], [1, 0, 1]), "above 0, not 0."),
        (lambda f: normalization.require_normalization("x", 3, [0], [1, 1]), "not 2."),
        (lambda f: normalization.require_normalization("x", 3, [0, 0], [1]), "not 2."),
    ),
    "options/checks.py:forward_calls": (
        (lambda f: checks.forward_calls((1, 10_000_000), 1), ""),
        (lambda f: checks.forward_calls((1,), 4096), ""),
        (lambda f: checks.forward_calls((0,), 1), f"{CALLS}0 and 1."),
        (lambda f: checks.forward_calls((1, 10_000_001), 1), f"{CALLS}10000001 and 1."),
        (lambda f: checks.forward_calls((1,), 0), f"{CALLS}1 and 0."),
        (lambda f: checks.forward_calls((1,), 4097), f"{CALLS}1 and 4097."),
    ),
    "options/compile.py:_storable": (
        (lambda f: compile_options._storable("a" * 16), ""),
        (lambda f: compile_options._storable("a" * 17), "at most 16 characters, not 17."),
    ),
    "options/evaluate.py:_possible": (
        (lambda f: evaluate._possible((1, 1)), ""),
        (lambda f: evaluate._possible((3, 3)), ""),
        (lambda f: evaluate._possible((0, 3)), "from 1/3 up, not 0/3."),
        (lambda f: evaluate._possible((4, 3)), "from 1/3 up, not 4/3."),
    ),
    "options/texts.py:span": (
        (lambda f: texts.span("0:0"), ""),
        (lambda f: texts.span("0"), ""),
        (lambda f: texts.span("-1:0"), "must be FIRST:LAST"),
        (lambda f: texts.span("2:1"), "must be FIRST:LAST"),
    ),
    "profiler/assumptions.py:assumed_facts": (
        (lambda f: assumptions.assumed_facts({}, 2.0**-30), ""),
        (lambda f: assumptions.assumed_facts({}, 2.0**-32), "must be 0 or a number of GB/s"),
        (lambda f: assumptions.assumed_facts({}, 0.0, 0.01), ""),
        (lambda f: assumptions.assumed_facts({}, 0.0, 1.0), ""),
        (lambda f: assumptions.assumed_facts({}, 0.0, 0.004), UTILIZATION),
        (lambda f: assumptions.assumed_facts({}, 0.0, 0.0), UTILIZATION),
        (lambda f: assumptions.assumed_facts({}, 0.0, 1.01), UTILIZATION),
        (lambda f: assumptions.assumed_facts({}, 0.0, 0.125), UTILIZATION),
    ),
    "quantize/data/python_data.py:_arrays": (
        (lambda f: python_data._arrays({"a": X}, ("a",), ("a", "b")), ""),
        (lambda f: python_data._arrays({"a": X, "b": X}, ("a",), ("a", "b")), ""),
        (lambda f: python_data._arrays({"b": X}, ("a",), ("a", "b")),
         "must have the inputs a, not b"),
        (lambda f: python_data._arrays({"a": X, "c": X}, ("a",), ("a", "b")), "not a, c."),
        (lambda f: python_data._arrays((X,), ("a",), ("a", "b", "c")), ""),
        (lambda f: python_data._arrays((X, X, X), ("a",), ("a", "b", "c")), ""),
        (lambda f: python_data._arrays((X, X), ("a",), ("a", "b", "c")), "1 arrays (a), not 2."),
    ),
    "quantize/mixed/mix_budget.py:check_budget": (
        (lambda f: budget(0.0), ""),
        (lambda f: budget(-1e-9), "must be 0 or more"),
        (lambda f: budget(math.inf), "must be 0 or more"),
    ),
    "quantize/ranges/methods.py:method_of": (
        (lambda f: methods.method_of("percentile", 1.0), ""),
        (lambda f: methods.method_of("percentile", 1e-9), ""),
        (lambda f: methods.method_of("percentile", 0.0), f"{SHARE}, not 0."),
        (lambda f: methods.method_of("percentile", 1.0000001), f"{SHARE}, not 1."),
    ),
    "quantize/scales/pins.py:check_integers": (
        (lambda f: pin_fed(0, 255), ""),
        (lambda f: pin_fed(-1, 255), "whole numbers from 0 to 255"),
        (lambda f: pin_fed(0, 256), "whole numbers from 0 to 255"),
    ),
    "quantize/scales/scale_file.py:_wrong": (
        (lambda f: scale_entry([2.0**-149, float(np.finfo(np.float32).max)]), ""),
        (lambda f: scale_entry(2.0**-150), "must be a positive number"),
        (lambda f: scale_entry(2.0**128), "must be a positive number"),
    ),
}  # fmt: skip

EQUIVALENT: dict[str, tuple[str, ...]] = {
    # at the limit itself another sentence of the same words follows
    "container/sections.py:read_sections": ("another strictness in len(data) < _HEAD.size",),
    # no sum of such products, no sum of bytes is that number
    "ops/matmul.py:_check_accumulator": ("another strictness in most <= limits.maximum",),
    "ops/weighted.py:_check_bytes": ("another strictness in largest < 1 << 31",),
    # what only the host does is put there either way
    "frontend/canonical.py:_dispatch": (
        "*host.HOST left out of kind not in (*host.HOST, *views.SAME)",
    ),
    # the version that is known is compared with itself
    "frontend/opsets.py:difference": ("another strictness in opset <= KNOWN",),
    # no number of steps, no percentage lies there
    "diagnosis/weight_causes.py:_raised_by": (
        "another strictness in bias * NEAR >= numerics.MAX_BIAS",
    ),
    "profiler/assumptions.py:assumed_facts": (
        "another strictness in abs(utilization * 100 - percent) > 1e-09",
    ),
}
"""Changes that nobody can notice, and why."""

ROWS: Rows = {**FILES, **ASKED}
