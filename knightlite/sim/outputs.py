"""The simulator's result files: Knight's two text forms and ``.npy``. The caller writes them.

``result-<blob>_p.txt`` lists channel by channel, ``result-<blob>_hwc_p.txt`` pixel by pixel; every
value is decimal and followed by a comma. A '/' in a blob's name becomes '_' in the file's.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.container import Description

Array = NDArray[Any]


def file_stem(blob: str, layer: str | None = None) -> str:
    """``result-<blob>``, or with a layer (``--debug``) ``result-<layer>-<blob>``."""
    name = blob if layer is None else f"{layer}-{blob}"
    return "result-" + name.replace("/", "_")


def _rows(values: Array) -> Iterable[str]:
    return ("".join(f"{value}," for value in row) for row in values.tolist())


def chw_text(values: Array) -> str:
    """[1, C, H, W] integers channel by channel, one line per row."""
    number, channels, height, width = values.shape
    lines = [f"SHAPE:(N:{number}, C:{channels}, H:{height}, W:{width})"]
    for channel, plane in enumerate(values[0]):
        lines.append(f"C[{channel}]:")
        lines.extend(_rows(plane))
    return "\n".join(lines) + "\n"


def hwc_text(values: Array) -> str:
    """[1, C, H, W] integers pixel by pixel, one line of channels each."""
    number, channels, height, width = values.shape
    lines = [f"SHAPE:(N:{number},H:{height},W:{width},C:{channels})"]
    for row, line in enumerate(values[0].transpose(1, 2, 0)):
        for column, text in enumerate(_rows(line)):
            lines.append(f"HW[{row},{column}]:")
            lines.append(text)
    return "\n".join(lines) + "\n"


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


def host_files(
    meta: Description, outputs: Mapping[str, Array], frame: int | None = None
) -> dict[str, bytes]:
    """``result-host-<output>.npy`` of every network output that the host has computed.

    A Reshape computes nothing: its values are those of the chip's output.
    """
    computed = {name for step in meta.host if step.op != "Reshape" for name in step.outputs}
    for step in meta.host:
        if computed.intersection(step.inputs):
            computed.update(step.outputs)
    return {
        file_stem(name, "host") + ("" if frame is None else f".{frame}") + ".npy": npy_bytes(values)
        for name, values in outputs.items()
        if name in computed
    }


def result_files(outputs: Mapping[str, Array], frame: int | None = None) -> dict[str, bytes]:
    """File names and contents for integer [1, C, H, W] outputs, two texts and one array each.

    ``frame`` numbers the files of one of several frames: ``result-<blob>.3_p.txt``.
    """
    files: dict[str, bytes] = {}
    for blob, values in outputs.items():
        stem = file_stem(blob) + ("" if frame is None else f".{frame}")
        files[f"{stem}_p.txt"] = chw_text(values).encode("ascii")
        files[f"{stem}_hwc_p.txt"] = hwc_text(values).encode("ascii")
        files[f"{stem}.npy"] = npy_bytes(values)
    return files
