"""``inspect``: a compiled file, a quantized model or a manifest as text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from knightlite.errors import UsageError


def inspect_file(path: Path) -> Iterator[str]:
    """Lines that describe ``.cfg`` (metadata and listing) or ``.weight`` (metadata)."""
    from knightlite import container

    if not path.is_file():
        raise UsageError(f"file {path} does not exist.")
    data = path.read_bytes()
    if data[:8] == container.WEIGHT_MAGIC:
        sections = container.read_sections(container.WEIGHT_MAGIC, data, path.name)
        meta = json.loads(sections["meta"])
        return iter(
            [
                f"{path.name}: weights of {meta['name']}, pair {meta['pair'][:16]}",
                f"DDR image of {len(sections['data'])} bytes",
            ]
        )
    if data[:8] != container.CFG_MAGIC:
        raise UsageError(
            f"{path.name} is neither a .cfg nor a .weight file of knightlite.",
            "inspect reads what compile wrote",
        )
    return _listing(container.read_sections(container.CFG_MAGIC, data, path.name), path.name)


def _listing(sections: dict[str, bytes], name: str) -> Iterator[str]:
    from knightlite import isa

    meta = json.loads(sections["meta"])
    code = isa.disassemble(sections["code"])
    chip = f"{meta['chip']} ({meta['chip_family']})"
    yield f"{name}: {meta['name']} for {chip}, pair {meta['pair'][:16]}"
    yield f"made by knightlite {meta['version']} from model {meta['model_sha256'][:16]}"
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
