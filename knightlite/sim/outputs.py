"""The simulator's result files: Knight's two text forms and ``.npy``. The caller writes them.

``result-<blob>_p.txt`` lists channel by channel, ``result-<blob>_hwc.txt`` pixel by pixel; every
value is decimal and followed by a comma. ``file_names`` says what stands for a blob's name. Scripts
take ``result-*_p.txt`` for the network's outputs: no other file of theirs ends so.
"""

from __future__ import annotations

import binascii
import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from knightlite.container import Description
from knightlite.file_names import stems

Array = NDArray[Any]


OUTPUT, HOST, DEBUG = "result-", "result-host-", "result-debug-"
ENDINGS = ("_p.txt", "_hwc.txt", ".npy")
MOVES = ("Reshape", "Transpose")  # on the host: the same values elsewhere


class Step(Protocol):
    """An operator of the host, in a ``.cfg`` or in a graph."""

    @property
    def op(self) -> str:
        """ONNX operator."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """What it reads."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """What it computes."""


def delivered_as(
    chip_outputs: Iterable[str], host: Iterable[Step], outputs: Iterable[str]
) -> dict[str, tuple[str, ...]]:
    """Chip output -> the network outputs that are its values, whatever their shape.

    Where there is none, the host computes with it: then it goes by its own name.
    """
    source = {name: name for name in chip_outputs}
    found: dict[str, list[str]] = {name: [] for name in source}
    for step in host:
        if step.op == "Reshape" and step.inputs[0] in source:
            source[step.outputs[0]] = source[step.inputs[0]]
    for name in outputs:
        if name in source:
            found[source[name]].append(name)
    return {name: tuple(names) or (name,) for name, names in found.items()}


def host_computed(host: Iterable[Step], outputs: Iterable[str]) -> list[str]:
    """The network outputs that the host computes. A Reshape alone computes nothing."""
    computed: set[str] = set()
    for step in host:
        if step.op != "Reshape" or computed.intersection(step.inputs):
            computed.update(step.outputs)
    return [name for name in outputs if name in computed]


def moved_outputs(
    chip_outputs: Iterable[str], host: Iterable[Step], outputs: Iterable[str]
) -> dict[str, str]:
    """Network output -> the chip output whose values it has in another order, as scripts read it.

    Those that :func:`delivered_as` has are left out.
    """
    steps = list(host)
    source = {name: name for name in chip_outputs}
    for step in steps:
        if step.op in MOVES and step.inputs[0] in source:
            source[step.outputs[0]] = source[step.inputs[0]]
    there = {
        name for names in delivered_as(chip_outputs, steps, outputs).values() for name in names
    }
    return {name: source[name] for name in outputs if name in source and name not in there}


def names_of_results(
    chip_outputs: Sequence[str], host: Sequence[Step], outputs: Sequence[str]
) -> dict[str, str]:
    """Chip output -> what its text form is named after: a network output, or itself."""
    found = {name: names[0] for name, names in delivered_as(chip_outputs, host, outputs).items()}
    for output, source in moved_outputs(chip_outputs, host, outputs).items():
        if found[source] == source and source not in outputs:
            found[source] = output
    return found


def result_stems(
    chip_outputs: Iterable[str],
    host: Sequence[Step],
    outputs: Sequence[str],
    tensors: Iterable[str],
) -> dict[tuple[str, str], str]:
    """What the files of results are called, by (OUTPUT, HOST or DEBUG, tensor).

    All at once, so that a name does not depend on what was asked for: who reads them asks the same.
    """
    delivered = delivered_as(chip_outputs, host, outputs).values()
    keys = [(OUTPUT, name) for names in delivered for name in names]
    keys += [(OUTPUT, name) for name in moved_outputs(chip_outputs, host, outputs)]
    keys += [(HOST, name) for name in host_computed(host, outputs)]
    keys += [(DEBUG, name) for name in tensors]
    return stems({(kind, name): f"{kind}{name}" for kind, name in keys}, ENDINGS)


def stems_of(meta: Description) -> dict[tuple[str, str], str]:
    """The :func:`result_stems` of a compiled network."""
    chip_outputs = [entry.name for entry in meta.outputs]
    tensors = [entry.name for entry in meta.tensors]
    return result_stems(chip_outputs, meta.host, meta.graph_outputs, tensors)


def _rows(values: Array) -> Iterable[str]:
    return ("".join(f"{value}," for value in row) for row in values.tolist())


CRC_START = 0xFFFF


def crc16(meta: Description, outputs: Mapping[str, Array]) -> int:
    """CRC-16/CCITT of the chip's outputs, each as often as the network delivers it.

    Integers [H, W, C], pixels as far apart as in the DDR with zeros between, as a program in C has
    them (``GetBlobsCRC16CCITT``).
    """
    chip = {entry.name: entry for entry in meta.outputs}
    names, found = delivered_as(chip, meta.host, meta.graph_outputs), CRC_START
    for source, given in names.items():
        entry = chip[source]
        stride = entry.column_stride // entry.dtype.size_bytes
        if entry.column_stride > entry.row_stride or stride < entry.shape[1]:
            stride = entry.shape[1]
        pixels = outputs[source].transpose(0, 2, 3, 1)
        apart = np.zeros((*pixels.shape[:3], stride), entry.dtype.numpy)
        apart[..., : pixels.shape[3]] = pixels
        for _ in given:
            found = binascii.crc_hqx(apart.tobytes(), found)
    return found


def chw_text(values: Array) -> str:
    """[N, C, H, W] numbers channel by channel, one line per row."""
    number, channels, height, width = values.shape
    lines = [f"SHAPE:(N:{number}, C:{channels}, H:{height}, W:{width})"]
    for picture in values:
        for channel, plane in enumerate(picture):
            lines.append(f"C[{channel}]:")
            lines.extend(_rows(plane))
    return "\n".join(lines) + "\n"


def hwc_text(values: Array) -> str:
    """[N, C, H, W] numbers pixel by pixel, one line of channels each."""
    number, channels, height, width = values.shape
    lines = [f"SHAPE:(N:{number},H:{height},W:{width},C:{channels})"]
    for picture in values.transpose(0, 2, 3, 1):
        for row, line in enumerate(picture):
            for column, text in enumerate(_rows(line)):
                lines.append(f"HW[{row},{column}]:")
                lines.append(text)
    return "\n".join(lines) + "\n"


def four_axes(values: Array) -> Array:
    """The values as Knight has them: axes of size 1 behind, or the first axes in one."""
    shape = values.shape
    if values.ndim > 4:
        return values.reshape(-1, *shape[-3:])
    return values.reshape(*shape, *(1,) * (4 - values.ndim))


_HEADER = re.compile(r"SHAPE:\(([^)]*)\)")
_LABEL = re.compile(r"(?:C\[\d+\]|HW\[\d+,\d+\]):")


def read_text_form(text: str) -> Array:
    """The numbers of a text form, [N, C, H, W] where it says its axes; ValueError for any other.

    Whole numbers are int32, others float32.
    """
    header, _, rest = text.partition("\n")
    found = _HEADER.fullmatch(header.strip())
    if found is None:
        raise ValueError("it does not begin with SHAPE:(...)")
    items = [item.strip() for item in found[1].split(",") if item.strip()]
    names = "".join(item.partition(":")[0] for item in items if ":" in item)
    if names not in ("", "NCHW", "NHWC"):
        raise ValueError(f"its axes are {names}, not NCHW or NHWC")
    shape = [int(item.partition(":")[2] if names else item) for item in items]
    words = [word for word in _LABEL.sub(",", rest).replace("\n", ",").split(",") if word]
    if len(words) != math.prod(shape):
        raise ValueError(f"it has {len(words)} numbers, and its shape {math.prod(shape)}")
    whole = all(word.lstrip("-").isdecimal() for word in words)
    values = np.array(words, np.int64 if whole else np.float64).reshape(shape)
    if names == "NHWC":
        values = values.transpose(0, 3, 1, 2)
    return values.astype(np.int32 if whole else np.float32)


def plain_text(values: Array) -> str:
    """Numbers of any shape in the same spelling: the shape, then one line per row."""
    title = f"SHAPE:({', '.join(map(str, values.shape))})"
    if values.size == 0:
        return f"{title}\n"
    return "\n".join([title, *_rows(values.reshape(-1, np.atleast_1d(values).shape[-1]))]) + "\n"


def npy_bytes(values: Array) -> bytes:
    """The bytes of a ``.npy`` file."""
    buffer = io.BytesIO()
    np.save(buffer, values, allow_pickle=False)
    return buffer.getvalue()


def result_files(stem: str, values: Array, frame: int | None = None) -> dict[str, bytes]:
    """File names and contents for integers [1, C, H, W], two texts and one array.

    ``frame`` numbers the files of one of several frames: ``result-<blob>.3_p.txt``.
    """
    numbered = stem if frame is None else f"{stem}.{frame}"
    contents = (chw_text(values).encode("ascii"), hwc_text(values).encode("ascii"))
    return dict(
        zip((numbered + ending for ending in ENDINGS), (*contents, npy_bytes(values)), strict=True)
    )


def host_file(stem: str, values: Array, frame: int | None = None) -> dict[str, bytes]:
    """As :func:`result_files`, of what the host has computed: an array of any shape."""
    return {(stem if frame is None else f"{stem}.{frame}") + ENDINGS[-1]: npy_bytes(values)}


def moved_file(stem: str, values: Array, scale: Any, frame: int | None = None) -> dict[str, bytes]:
    """As :func:`result_files`, of a chip output in another order: its integers of real numbers.

    ``scale``: the chip output's, one for all its values.
    """
    integers = np.rint(four_axes(values).astype(np.float64) / scale).astype(np.int64)
    name = (stem if frame is None else f"{stem}.{frame}") + ENDINGS[0]
    return {name: chw_text(integers).encode("ascii")}
