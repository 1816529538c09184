"""What a file holds, from its bytes, in the words of a sentence on one that is not what is asked.

Its name says nothing: a picture, a text or a compiled network may be called ``net.onnx``.
"""

from __future__ import annotations

import io
import re
import zipfile

from knightlite.errors import ModelError

NAME_A_MODEL = "name the file of a network, or a function of the user script that builds it"
TEXT_BYTES = 1 << 12  # of its beginning that are looked at
PARAMETERS = re.compile(rb"\0{16}[^\0].{0,2}\0\x08", re.DOTALL)  # a tensor, and how long it is told
CONTROLS = re.compile(r"[^\t\n\v\f\r\x1b\x20-\uffff\U00010000-\U0010ffff]|\ufffd")


def content_of(data: bytes) -> str:
    """What ``data`` is, as ``"a PNG picture"``; "" where it cannot be told, as for a network.

    For bytes that the reader of a network has refused, or that no suffix calls a network.
    """
    from knightlite.array_files import MAGIC, ZIP_MAGIC
    from knightlite.container.sections import KINDS
    from knightlite.preprocess import picture_format

    if not data:
        return "an empty file"
    if picture := picture_format(data):
        return f"a {picture} picture"
    if data[:8] in KINDS:
        return f"a {KINDS[data[:8]]} file of a compiled network"
    if data.startswith(MAGIC):
        return "an array of numpy (.npy)"
    if data.startswith(ZIP_MAGIC):
        return _archive(data)
    if PARAMETERS.match(data):
        return "a file of Paddle's parameters (.pdiparams)"
    return "a text" if _is_text(data[:TEXT_BYTES]) else ""


def another_kind(data: bytes, where: str, wanted: str, again: str) -> ModelError | None:
    """The error for a file that is not ``wanted``, where its bytes tell what it is.

    ``again``: the hint for an empty one.
    """
    found = content_of(data)
    if not found:
        return None
    return ModelError(f"{where} is {found}, not {wanted}.", NAME_A_MODEL if data else again)


def _archive(data: bytes) -> str:
    try:
        names = zipfile.ZipFile(io.BytesIO(data)).namelist()
    except Exception:  # a damaged one raises anything
        return "a zip archive"
    arrays = bool(names) and all(name.endswith(".npy") for name in names)
    return "an archive of numpy's arrays (.npz)" if arrays else "a zip archive"


def _is_text(head: bytes) -> bool:
    """Whether these bytes are UTF-8 that somebody can read; a letter at their end may be cut."""
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.end < len(head) or error.start < len(head) - 3 or error.start == 0:
            return False
        text = head[: error.start].decode("utf-8")
    return bool(text.strip()) and CONTROLS.search(text) is None
