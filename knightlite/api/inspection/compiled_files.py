"""``inspect``: what a compiled file holds, as text or as data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from knightlite.api.models.finding import find_file, resolved
from knightlite.container import Description, WeightDescription
from knightlite.contents import content_of
from knightlite.errors import UsageError
from knightlite.json_records import to_json
from knightlite.reading import read_bytes
from knightlite.talk import SILENT, Talk


@dataclass(frozen=True, slots=True)
class Inspection:
    """A checked file: ``kind`` is "cfg" or "weight", ``meta`` its metadata (docs/formats.md).

    ``sizes``: bytes of each section. ``code`` is empty for a ``.weight`` file.
    """

    file: str
    kind: str
    meta: Description | WeightDescription
    sizes: Mapping[str, int]
    code: bytes

    def lines(self) -> Iterator[str]:
        """The file as text: metadata, then one line per instruction."""
        if isinstance(self.meta, Description):
            return _listing(self, self.meta)
        return _weights(self, self.meta)

    def as_json(self) -> dict[str, Any]:
        """The file as the JSON that ``--json`` prints (schemas/inspect.json)."""
        meta, sizes = to_json(self.meta), dict(self.sizes)
        found = {"file": self.file, "kind": self.kind, "meta": meta, "bytes": sizes}
        if isinstance(self.meta, Description):
            called = output_names(self.meta)
            found["outputs"] = [
                {"name": called[item.name], "tensor": item.name} for item in self.meta.outputs
            ]
        return found


def output_names(meta: Description) -> dict[str, str]:
    """Tensors that the chip delivers, and the names that results and the network have for them."""
    from knightlite.sim.outputs import names_of_results

    names = [item.name for item in meta.outputs]
    called = names_of_results(names, meta.host, meta.graph_outputs)
    return {name: called.get(name, name) for name in names}


def inspect_file(
    path: Path | None = None, directory: Path = Path(), talk: Talk = SILENT
) -> Inspection:
    """Read and check a ``.cfg`` or ``.weight`` file; a bare name is looked up in the manifest.

    ``path`` None: the ``.cfg`` that ``compile`` left last. UsageError for a file of another kind,
    FormatError where it is damaged.
    """
    from knightlite import container

    if path is None:
        found = find_file(directory, "compile", "cfg", None, talk)
    else:
        found = resolved(directory, path, talk)
    if not found.is_file():
        raise UsageError(f"{found} is not a file.", "inspect reads a .cfg or .weight file")
    data = read_bytes(found)
    if data[:8] == container.MODEL_MAGIC:  # the listing is that of the .cfg in it
        data = container.read_sections(container.MODEL_MAGIC, data, found.name).get("cfg", b"")
    magic = data[:8]
    if magic not in (container.CFG_MAGIC, container.WEIGHT_MAGIC):
        what = content_of(data)
        raise UsageError(
            f"{found} is {f'{what}, ' if what else ''}neither a .cfg, a .weight nor a .tsmodel "
            "file of knightlite.",
            _for_models(found),
        )
    sections = container.read_sections(magic, data, found.name)
    sizes = {name: len(section) for name, section in sections.items()}
    if magic == container.WEIGHT_MAGIC:
        weight = container.weight_description(sections, found.name)
        return Inspection(found.name, "weight", weight, sizes, b"")
    meta = container.cfg_description(sections, found.name)
    return Inspection(found.name, "cfg", meta, sizes, sections.get("code", b""))


def _for_models(path: Path) -> str:
    """The hint for a file that compile did not write: what looks at models."""
    from knightlite.frontend.model_files import SUFFIXES

    told = "inspect reads what compile wrote"
    if path.suffix.lower() not in SUFFIXES:
        return told
    return f"{told}; `knightlite model_info -m FILE` shows a quantized model, check a float one"


def _weights(found: Inspection, meta: WeightDescription) -> Iterator[str]:
    yield f"{found.file}: weights of {meta.name}, pair {meta.pair[:16]}"
    yield f"DDR image of {found.sizes['data']} bytes"


def _listing(found: Inspection, meta: Description) -> Iterator[str]:
    from knightlite import isa

    code = isa.disassemble(found.code)
    yield f"{found.file}: {meta.name} for {meta.chip} ({meta.chip_family}), pair {meta.pair[:16]}"
    yield f"made by knightlite {meta.version} from model {meta.model_sha256[:16]}"
    yield f"resource version {meta.res_version}, input files {meta.input_layout}"
    called = output_names(meta)
    for kind, tensors in (("input", meta.inputs), ("output", meta.outputs)):
        for item in tensors:
            shape, scale = "x".join(map(str, item.shape)), to_json(item.scale)
            name = called[item.name] if kind == "output" else item.name
            inner = "" if name == item.name else f", of tensor {item.name}"
            yield f"{kind} {name}: {item.type} {shape} scale {scale}{inner}"
    yield f"{len(meta.layers)} layers, {len(code)} instructions, DDR {meta.ddr_bytes} bytes"
    layer = -1
    for index, instruction in enumerate(code):
        if instruction.layer != layer:
            layer = instruction.layer
            entry = meta.layer(layer)
            yield f"-- layer {layer}: {entry.name} ({entry.op}), {entry.macs} MACs"
        yield isa.listing_line(index, instruction)
