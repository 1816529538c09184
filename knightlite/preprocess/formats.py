"""Which files are pictures: the suffixes that are looked for, and the decoders that may run.

Pillow goes by a file's content, whatever its name, and knows formats that start other programs
(Ghostscript for EPS): only the decoders named here are ever asked. PPM is read without it.
"""

from __future__ import annotations

import re
from pathlib import Path

DECODERS: dict[str, tuple[str, ...]] = {  # Pillow's name of a format: suffixes of its files
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "JPEG": (".jpg", ".jpeg"),
    "PNG": (".png",),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
}
BEGINNINGS: dict[str, re.Pattern[bytes]] = {  # how the files of each begin
    "BMP": re.compile(rb"BM.{4}\0{4}", re.DOTALL),
    "GIF": re.compile(rb"GIF8[79]a"),
    "JPEG": re.compile(rb"\xff\xd8\xff"),
    "PNG": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "PPM": re.compile(rb"P[1-7Ff]\s"),
    "TIFF": re.compile(rb"II[*+]\0|MM\0[*+]"),
    "WEBP": re.compile(rb"RIFF.{4}WEBP", re.DOTALL),
}
FORMATS = tuple(DECODERS)
NETPBM = {"PPM": (".pgm", ".ppm")}
NAMES = tuple(sorted((*DECODERS, *NETPBM)))
SUFFIXES = tuple(
    sorted(ending for some in (DECODERS, NETPBM) for name in some for ending in some[name])
)


def picture_format(data: bytes) -> str:
    """The format (of :data:`NAMES`) that a file's bytes begin as, damaged or not; "" for none."""
    return next((name for name, begins in BEGINNINGS.items() if begins.match(data)), "")


def is_picture(path: Path) -> bool:
    """Whether a file's name says that it is a picture, in capitals or not."""
    return path.suffix.lower() in SUFFIXES
