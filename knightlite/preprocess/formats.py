"""Which files are pictures: the suffixes that are looked for, and the decoders that may run.

Pillow goes by a file's content, whatever its name, and knows formats that start other programs
(Ghostscript for EPS): only the decoders named here are ever asked. PPM is read without it.
"""

from __future__ import annotations

from pathlib import Path

DECODERS: dict[str, tuple[str, ...]] = {  # Pillow's name of a format: suffixes of its files
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "JPEG": (".jpg", ".jpeg"),
    "PNG": (".png",),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
}
FORMATS = tuple(DECODERS)
NETPBM = {"PPM": (".pgm", ".ppm")}
NAMES = tuple(sorted((*DECODERS, *NETPBM)))
SUFFIXES = tuple(
    sorted(ending for some in (DECODERS, NETPBM) for name in some for ending in some[name])
)


def is_picture(path: Path) -> bool:
    """Whether a file's name says that it is a picture, in capitals or not."""
    return path.suffix.lower() in SUFFIXES
