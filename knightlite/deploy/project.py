"""The files of a project. Names of the network stand in its README alone, and escaped there.

Whatever is built is the same text for every network but ``network/``: numbers and arrays.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from knightlite.container import Description, Side
from knightlite.deploy.arrays import array_name, c_array
from knightlite.deploy.code_size import TABLE, CodeSize
from knightlite.deploy.needs import Needs, arena_bytes, most_arena_bytes
from knightlite.deploy.readme import readme
from knightlite.native import SOURCES, known_source
from knightlite.native.build import find_compiler
from knightlite.preprocess import Recipe

PROJECT, SIMULATION_LIBRARY = SOURCES / "project", SOURCES / "simlib"
HEADER = "/* Written by knightlite deploy: what is particular to this network. */\n"


@dataclass(frozen=True, slots=True)
class Network:
    """A compiled network and its known answer, as their files hold them."""

    meta: Description
    cfg: bytes
    weight: bytes
    known_input: bytes
    known_output: bytes
    recipe: Recipe | None

    @property
    def needs(self) -> Needs:
        """Memory; the arena as the runtime has it where this machine can build that."""
        is_exact = find_compiler() is not None
        return Needs(
            cfg=len(self.cfg),
            weight=len(self.weight),
            known_input=len(self.known_input),
            known_output=len(self.known_output),
            arena=arena_bytes(self.cfg, self.weight) if is_exact else most_arena_bytes(self.meta),
            is_exact=is_exact,
        )

    @property
    def host_table(self) -> str:
        """Operators of the host that the network has, in C: no others are linked."""
        layers = self.meta.general
        return known_source({step.op for layer in layers for step in layer.operators})

    @property
    def files(self) -> Mapping[str, bytes]:
        """What lies in ``network/``."""
        return {
            "network.cfg": self.cfg,
            "network.weight": self.weight,
            "known_input.bin": self.known_input,
            "known_output.bin": self.known_output,
        }


ARRAYS = {
    "network.cfg": "network_cfg",
    "network.weight": "network_weight",
    "known_input.bin": "network_known_input",
    "known_output.bin": "network_known_output",
}


def project_files(
    network: Network, sizes: Sequence[CodeSize], *, arrays: bool
) -> Iterator[tuple[str, bytes]]:
    """Path in the project and content. ``arrays``: the network as C arrays instead of files."""
    yield from _folder(PROJECT)
    yield from _runtime(without=TABLE)
    yield "network/network.h", network_header(network, arrays).encode("ascii")
    yield f"network/{TABLE}", network.host_table.encode("ascii")
    if arrays:
        for name, data in network.files.items():
            assert array_name(ARRAYS[name]) == ARRAYS[name]
            yield f"network/{ARRAYS[name]}.h", c_array(ARRAYS[name], data).encode("ascii")
        lines = "".join(f'#include "{name}.h"\n' for name in ARRAYS.values())
        yield "network/network_arrays.h", (HEADER + lines).encode("ascii")
    else:
        for name, data in network.files.items():
            yield f"network/{name}", data
    text = readme(network.meta, network.needs, sizes, arrays, network.recipe is not None)
    yield "README.md", text.encode("ascii")


def simulation_library_files() -> Iterator[tuple[str, bytes]]:
    """The vendor's C interface over the runtime: path in its folder and content."""
    yield from _folder(SIMULATION_LIBRARY)
    yield from _runtime()


def chip_types() -> Mapping[str, int]:
    """The vendor's numbers of the chips that its interface names, as the library's header has them.

    Those with a number of their own begin a count, as in C.
    """
    text = (SIMULATION_LIBRARY / "include" / "ts_rne_type.h").read_text(encoding="utf-8")
    found: dict[str, int] = {}
    number = 0
    for name, given in re.findall(r"\bRNE_TYPE_NAME_([A-Z0-9]+)\s*(?:=\s*(\d+))?\s*[,}]", text):
        number = int(given) if given else number
        found[name] = number
        number += 1
    return found


def _folder(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path.relative_to(folder).as_posix(), path.read_bytes()


def _runtime(without: str = "") -> Iterator[tuple[str, bytes]]:
    names = []
    for path in sorted(SOURCES.iterdir()):
        if path.name != without and path.suffix in (".c", ".h", ".hpp"):
            names += [path.name] if path.suffix == ".c" else []
            yield f"runtime/{path.name}", path.read_bytes()
    yield "runtime/sources.txt", "".join(f"{name}\n" for name in names).encode("ascii")


def network_header(network: Network, arrays: bool) -> str:
    """Layout, sizes and the recipe."""
    needs, layout = network.needs, network.meta.input_layout.upper()
    lines = [
        HEADER,
        "#ifndef NETWORK_H\n#define NETWORK_H\n",
        '#include "knl_real.h"\n',
        "/* of raw input files */",
        "enum { NETWORK_NCHW, NETWORK_NHWC, NETWORK_NHWCSTRIDE };",
        f"#define NETWORK_LAYOUT NETWORK_{layout}\n",
        "/* with scalar kernels, unchecked */",
        f"#define NETWORK_ARENA_BYTES {needs.arena}u",
        f"#define NETWORK_OUTPUT_BYTES {needs.known_output}u\n",
        "/* of inputs and outputs outside the arena; 0: they lie in it */",
        f"#define NETWORK_INPUTS_OUTSIDE {_outside(network.meta, 'inputs')}u",
        f"#define NETWORK_OUTPUTS_OUTSIDE {_outside(network.meta, 'outputs')}u\n",
    ]
    if arrays:
        lines += ["/* network_arrays.h has the files */", "#define NETWORK_ARRAYS\n"]
    if network.recipe is not None:
        lines += ["#define NETWORK_HAS_RECIPE", recipe_text(network.recipe)]
    return "\n".join([*lines, "#endif\n"])


def _outside(meta: Description, side: Side) -> int:
    found = meta.region(side)
    return 0 if found is None else found.size


RESIZES = {
    "none": "KNL_KEEP",
    "exact": "KNL_EXACT",
    "short_side": "KNL_SHORT_SIDE",
    "keep_ratio_pad_right": "KNL_PAD_RIGHT",
    "keep_ratio_pad_center": "KNL_PAD_CENTER",
    "keep_ratio_pad_corner": "KNL_PAD_CORNER",
}


def recipe_text(recipe: Recipe) -> str:
    """A recipe as a constant of C."""
    height, width = (*recipe.resize_size, *recipe.resize_size, 0, 0)[:2]
    crop_height, crop_width = recipe.crop_size or (0, 0)
    channels = [*map(_float, recipe.mean)], [*map(_float, recipe.std)]
    mean, std = (", ".join(values * (3 // len(values))) for values in channels)
    return (
        "static const knl_recipe network_recipe = {\n"
        f"    KNL_{recipe.color}, {RESIZES[recipe.resize]}, KNL_{recipe.interpolation.upper()},\n"
        f"    {height}, {width}, {crop_height}, {crop_width},\n"
        f"    {_float(recipe.divide_by)}, {_float(recipe.pad_value)},\n"
        f"    {{{mean}}},\n    {{{std}}},\n}};\n"
    )


def _float(value: float) -> str:
    """A float32 in C, to the bit."""
    (rounded,) = struct.unpack("<f", struct.pack("<f", value))
    return f"{rounded.hex()}f"
