"""The models in a folder in which ``quant`` left its files, told apart by what they hold."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from knightlite.api.models.stage_files import CHANGED_FLOAT, QUANT_FILES, sibling
from knightlite.errors import KnightliteError, UsageError, not_there

if TYPE_CHECKING:
    from knightlite.frontend.model_kind import ModelKind


def quantized_in(folder: Path) -> Path:
    """The only quantized model of a folder; UsageError where there is none or are several."""
    from knightlite.frontend.model_kind import ModelKind

    if not folder.is_dir():
        beside = f", here {folder.parent}" if folder.is_file() else ""
        hint = f"name the folder in which quant left X_quantize.onnx and inputs/{beside}"
        raise not_there("folder", folder, hint, folder=True)
    found = _models(folder, ModelKind.QDQ)
    if len(found) != 1:
        names = f" ({', '.join(path.name for path in found)})" if found else ""
        what = ", which holds values of layers," if (folder / "dump.json").is_file() else ""
        near = "" if found else _folder_near(folder)
        raise UsageError(
            f"{folder}{what} must hold one quantized model, not {len(found)}{names}.",
            f"name the folder in which quant left X_quantize.onnx and inputs/{near}",
        )
    return found[0]


def float_beside(quantized: Path) -> Path | None:
    """The float model beside ``X_quantize.onnx``: X_float.onnx where quant changed it, or X.onnx.

    Where ``quantized`` has another name: the only float model of the folder.
    """
    from knightlite.frontend.model_kind import ModelKind

    found = _models(quantized.parent, ModelKind.FLOAT)
    known = (CHANGED_FLOAT, QUANT_FILES["float_onnx"])
    named = [sibling(quantized, QUANT_FILES["onnx"], pattern) for pattern in known]
    if all(named):
        found = [path for path in named if path in found][:1]
    return found[0] if len(found) == 1 else None


def _folder_near(folder: Path) -> str:
    """The folder above or the only one below that holds one quantized model, as a clause."""
    from knightlite.frontend.model_kind import ModelKind

    below = (path for path in sorted(folder.iterdir()) if path.is_dir())
    for near in ([folder.resolve().parent], [*below]):
        good = [path for path in near if len(_models(path, ModelKind.QDQ)) == 1]
        if len(good) == 1:
            named = folder.parent if good[0] == folder.resolve().parent else good[0]
            return f", here {named}"
    return ""


def _models(folder: Path, kind: ModelKind) -> list[Path]:
    """The folder's ONNX files of one kind; what is no model is none of them."""
    from knightlite.frontend.model_kind import kind_of_file

    found = []
    for path in sorted(folder.glob("*.onnx")):
        with contextlib.suppress(KnightliteError):
            if kind_of_file(path) is kind:
                found.append(path)
    return found
