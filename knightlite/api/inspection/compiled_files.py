"""``inspect``: what a compiled file holds, as text or as data."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from knightlite.api.models.finding import resolved
from knightlite.errors import UsageError
from knightlite.talk import SILENT, Talk


@dataclass(frozen=True, slots=True)
class Inspection:
    """A checked file: ``kind`` is "cfg" or "weight", ``meta`` its metadata (docs/formats.md).

    ``sizes``: bytes of each section. ``code`` is empty for a ``.weight`` file.
    """

    file: str
    kind: str
    meta: Mapping[str, Any]
    sizes: Mapping[str, int]
    code: bytes

    def lines(self) -> Iterator[str]:
        """The file as text: metadata, then one line per instruction."""
        return _listing(self) if self.kind == "cfg" else _weights(self)


def inspect_file(path: Path, directory: Path = Path(), talk: Talk = SILENT) -> Inspection:
    """Read and check a ``.cfg`` or ``.weight`` file; a bare name is looked up in the manifest.

    UsageError for a file of another kind, FormatError where it is damaged.
    """
    from knightlite import container

    found = resolved(directory, path, talk)
    if not found.is_file():
        raise UsageError(f"{found} is not a file.", "inspect reads a .cfg or .weight file")
    data = found.read_bytes()
    if data[:8] == container.MODEL_MAGIC:  # the listing is that of the .cfg in it
        data = container.read_sections(container.MODEL_MAGIC, data, found.name).get("cfg", b"")
    kinds = {container.CFG_MAGIC: "cfg", container.WEIGHT_MAGIC: "weight"}
    magic = data[:8]
    if magic not in kinds:
        raise UsageError(
            f"{found} is neither a .cfg, a .weight nor a .tsmodel file of knightlite.",
            "inspect reads what compile wrote",
        )
    sections = container.read_sections(magic, data, found.name)
    sizes = {name: len(section) for name, section in sections.items()}
    meta = json.loads(sections["meta"])
    return Inspection(found.name, kinds[magic], meta, sizes, sections.get("code", b""))


def _weights(found: Inspection) -> Iterator[str]:
    yield f"{found.file}: weights of {found.meta['name']}, pair {found.meta['pair'][:16]}"
    yield f"DDR image of {found.sizes['data']} bytes"


def _listing(found: Inspection) -> Iterator[str]:
    from knightlite import isa

    meta = found.meta
    code = isa.disassemble(found.code)
    chip = f"{meta['chip']} ({meta['chip_family']})"
    yield f"{found.file}: {meta['name']} for {chip}, pair {meta['pair'][:16]}"
    yield f"made by knightlite {meta['version']} from model {meta['model_sha256'][:16]}"
    yield f"resource version {meta['res_version']}, input files {meta['input_layout']}"
    for kind in ("inputs", "outputs"):
        for item in meta[kind]:
            shape = "x".join(map(str, item["shape"]))
            yield f"{kind[:-1]} {item['name']}: {item['type']} {shape} scale {item['scale']}"
    yield f"{len(meta['layers'])} layers, {len(code)} instructions, DDR {meta['ddr_bytes']} bytes"
    layer = -1
    for index, instruction in enumerate(code):
        if instruction.layer != layer:
            layer = instruction.layer
            entry = meta["layers"][layer]
            yield f"-- layer {layer}: {entry['name']} ({entry['op']}), {entry['macs']} MACs"
        yield isa.listing_line(index, instruction)
