"""The infer function ``infer_common``: feeds the files that a run-config's input-configs name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx_quantize_tool.common.register import onnx_infer_func
from onnx_quantize_tool.utils.constants import NP_TYPE_DICT

SUFFIXES = {
    "Image": (".jpg", ".jpeg", ".png", ".bmp"),
    "Numpy": (".npy",),
    "Bin": (".bin",),
}


@onnx_infer_func.register("infer_common")
def infer_common(executor: Any) -> None:
    """One forward call per file, sorted by name; an input with fewer files begins anew."""
    executor.init_shape_info()
    entries = {item["input_name"]: item for item in executor.input_configs_dict}
    missing = [name for name in executor.input_nodes if name not in entries]
    if missing:
        raise ValueError(f"input-configs name no data of input {', '.join(missing)}")
    files = {name: _files(entries[name]) for name in executor.input_nodes}
    count = min(executor.iteration, max(map(len, files.values())))
    for number in range(count):
        executor.forward(
            *(
                frame(
                    paths[number % len(paths)],
                    entries[name],
                    executor.shape_dicts[name],
                    executor.input_types[name],
                )
                for name, paths in files.items()
            )
        )


def _files(entry: Mapping[str, Any]) -> list[Path]:
    folder, suffixes = Path(entry["data_dir"]), SUFFIXES[entry.get("quant_data_format") or "Image"]
    found = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in suffixes]
    if not found:
        raise ValueError(f"{folder} holds no file that ends in {', '.join(suffixes)}")
    return found


def frame(path: Path, entry: Mapping[str, Any], shape: Sequence[int], element: int) -> Any:
    """One frame [1, ...] of an input of this shape and ONNX element type."""
    kind = entry.get("quant_data_format") or "Image"
    dtype = NP_TYPE_DICT[element]
    if kind == "Image":
        values = picture(path, entry, tuple(shape[-2:]))
    elif kind == "Numpy":
        values = np.load(path)
    else:
        values = np.fromfile(path, dtype)
    return values.reshape(1, *shape[1:]).astype(dtype)


def picture(path: Path, entry: Mapping[str, Any], size: tuple[int, int]) -> Any:
    """Pixels [C, H, W] of a picture stretched to ``size``, or padded where a pad value is given.

    They are 0..255 where the network itself normalizes them (``mean`` and ``std``) or takes
    integers, else 0..1.
    """
    from PIL import Image

    color = entry.get("color_space") or "BGR"
    image = Image.open(path).convert("L" if color == "GRAY" else "RGB")
    pad = entry.get("padding_constant_value")
    height, width = size
    if pad in (None, ""):
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    else:
        share = min(width / image.width, height / image.height)
        inner = image.resize(
            (int(image.width * share), int(image.height * share)), Image.Resampling.BICUBIC
        )
        value = int(pad)
        image = Image.new(inner.mode, (width, height), value if color == "GRAY" else (value,) * 3)
        image.paste(inner, ((width - inner.width) // 2, (height - inner.height) // 2))
    pixels = np.asarray(image, np.uint8)
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    pixels = pixels[..., ::-1] if color == "BGR" else pixels
    values = pixels.transpose(2, 0, 1)
    raw = entry.get("mean") or entry.get("std")
    raw = raw or (entry.get("quantize_input_dtype") or "None") not in ("None", "float32")
    return values if raw else values.astype(np.float32) / np.float32(255)
