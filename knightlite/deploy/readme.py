"""A project's README: how it is built, its tensors, the memory that it needs."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from knightlite.container import Description, StoredTensor
from knightlite.deploy.code_size import CodeSize
from knightlite.deploy.needs import Needs

TEXT = """\
# {name} for {chip}

Written by `knightlite deploy`: the compiled network ({built}), the runtime that runs it
to the bytes of the simulator (`runtime/`, C99, no libraries), and a program around it (`src/`).

```sh
make                  # or: cmake --preset host && cmake --build --preset host
make test             # the known answer
build/host/network INPUT
```

{pictures}
Anything else is raw data: all inputs of a frame one behind the other in the order {layout}, as
float32 or as integers. The program prints the outputs, of one pixel the five highest values;
`-o FILE` writes their integers, `-n N` runs N frames and says how long one takes, `-c` checks the
whole program first.

| preset | for | needs |
|---|---|---|
| `host` | this machine | a C compiler |
{presets}
`make PRESET=aarch64`, `make PRESET=aarch64 test` (in an emulator: qemu-user, qemu-system-arm), or
the same with `cmake --preset`. {bare}

## Inputs and outputs

| tensor | channels x height x width | type | scale |
|---|---|---|---|
{tensors}
## Memory

| what | where | bytes |
|---|---|---|
| `.cfg` | flash | {cfg} |
| `.weight`, read where it lies | flash | {weight} |
| both | flash | {flash} |
| known answer, for the self-test | flash | {known} |
| arena{most} | RAM | {arena} |
{outside}| outputs, copied | RAM | {outputs} |

The arena is that of scalar kernels; vector ones of the host may ask for more (the program says how
much). The runtime's code, as far as the program links it (`make PRESET=... size`):

| preset | compiler | text | data | bss |
|---|---|---|---|---|
{sizes}
{host}
"""
PICTURES = """\
`INPUT` is a picture, by the end of its name: PPM, or PNG and JPEG where stb_image.h is installed
(Debian: libstb-dev)."""
NO_PICTURES = "The network has no recipe for pictures, so it takes none."
BARE = "Memories of another\nCortex-M go into `cmake/cortex_m.ld`."
FILES = "`cortex_m`\nneeds the network in C arrays: `knightlite deploy --arrays`."


def readme(
    meta: Description, needs: Needs, sizes: Sequence[CodeSize], arrays: bool, pictures: bool
) -> str:
    """The text, in ASCII. Nothing in it is what a name of the network makes of it."""
    return TEXT.format(
        name=escaped(meta.name),
        chip=escaped(meta.chip),
        built=f"{'C arrays' if arrays else 'files'} in `network/`",
        pictures=PICTURES if pictures else NO_PICTURES,
        layout=meta.input_layout,
        presets="".join(map(_preset, sizes)),
        bare=BARE if arrays else FILES,
        tensors="".join((*_rows("input", meta.inputs), *_rows("output", meta.outputs))),
        cfg=needs.cfg,
        weight=needs.weight,
        flash=needs.flash,
        known=needs.known_input + needs.known_output,
        arena=needs.arena,
        most="" if needs.is_exact else " (at most: this machine had no C compiler)",
        outputs=needs.known_output,
        outside="".join(
            f"| {item.of}, outside the arena: `knl_set_outside` | RAM | {item.size} |\n"
            for item in meta.regions
        ),
        sizes="".join(map(_size, sizes)),
        host=host_text(meta),
    )


def host_text(meta: Description) -> str:
    """Which operators of the host the project has."""
    operators = sorted({step.op for layer in meta.general for step in layer.operators})
    text = (
        "Of what the runtime can compute between segments of the chip it holds what this network "
        f"asks for, by `network/knl_known.c`: {', '.join(map(escaped, operators)) or 'nothing'}."
    )
    return textwrap.fill(text, 99, break_long_words=False, break_on_hyphens=False)


def escaped(text: str) -> str:
    """A text of the network's in Markdown: nothing of it is read as anything but letters."""
    plain = "".join(letter if letter.isprintable() else "?" for letter in text)
    return "".join(
        letter if letter.isascii() and (letter.isalnum() or letter == " ") else f"&#{ord(letter)};"
        for letter in plain
    )


def _preset(item: CodeSize) -> str:
    preset = item.preset
    return f"| `{preset.name}` | {preset.processor} | `{preset.package}` |\n"


def _rows(what: str, entries: Iterable[StoredTensor]) -> list[str]:
    rows = []
    for entry in entries:
        shape = " x ".join(map(str, entry.shape[1:]))
        scale = "per channel" if isinstance(entry.scale, tuple) else repr(entry.scale)
        rows.append(f"| {what} {escaped(entry.name)} | {shape} | {entry.type} | {scale} |\n")
    return rows


def _size(item: CodeSize) -> str:
    preset = item.preset
    if not item.compiler:
        return f"| `{preset.name}` | not measured: no {preset.package} | | | |\n"
    return f"| `{preset.name}` | {item.compiler} | {item.text} | {item.data} | {item.bss} |\n"
