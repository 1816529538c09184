"""``knightlite sim`` (``rne-sim``)."""

from __future__ import annotations

from knightlite.api.simulation import SimulateResult, simulate
from knightlite.cli.knight_command import KnightCommand
from knightlite.cli.record_command import record_command
from knightlite.cli.terminal import print_json, print_line, print_table, talking
from knightlite.options.simulate import SimulateOptions

EPILOG = """\b
Examples:
  knightlite sim --input model_input.bin
  knightlite sim --input photo.jpg --labels labels.txt
  knightlite sim --input model_input.bin -fc 10 --check
  Knight --chip TX5368AV200 rne-sim --input model_input.bin \\
    --weight X_r.weight --config X_r.cfg --outpath .

Without -fmt the layout stored in the .cfg is taken (nchw for models of ONNX
and Paddle); Knight's default is nhwc.
"""


@record_command(SimulateOptions, cls=KnightCommand, word="sim", epilog=EPILOG)
def command(options: SimulateOptions) -> int:
    """Run a compiled network; exit code 1 where --check finds a differing byte."""
    with talking() as talk:
        result = simulate(options, talk)
    code = 1 if result.differing_bytes else 0
    if options.as_json:
        print_json(
            "sim",
            {
                "files": {key: str(path) for key, path in result.files.items()},
                "tensors": dict(result.tensors),
                "frames": result.frames,
                "remarks": result.remarks,
                "saturations": result.saturations,
                "compared_bytes": result.compared_bytes,
                "differing_bytes": result.differing_bytes,
                "differing_tensors": result.differing_tensors,
                "crc16": [f"0x{found:04x}" for found in result.crc16],
                "top": [
                    [{"label": g.label, "index": g.index, "score": g.score} for g in frame]
                    for frame in result.top
                ],
            },
        )
        return code
    for number, guesses in enumerate(result.top):
        columns = ("label", "index", "score")
        cells = [[guess.label, guess.index, f"{guess.score:.4f}"] for guess in guesses]
        first = 0 if options.labels else 1
        title = f"Top {len(cells)} of frame {number}"
        print_table(title, columns[first:], [row[first:] for row in cells])
    if result.top and not options.labels:
        print_line("--labels FILE names the classes.")
    for name, path in result.files.items():
        if name.endswith("_p.txt"):  # what the host computed has none
            both = f"{name.removesuffix('_p.txt')}.npy" in result.files
            print_line(f"result: {path}{' (also _hwc.txt and .npy)' if both else ''}")
    for number, found in enumerate(result.crc16):
        which = f" of frame {number}" if result.frames > 1 else ""
        print_line(f"crc16{which}: 0x{found:04x}")
    print_compared(result)
    return code


def print_compared(result: SimulateResult) -> None:
    """How many bytes were compared with the golden model, and differ; nothing where none were."""
    if result.compared_bytes is None:
        return
    print_line(
        f"{result.compared_bytes:,} bytes compared with the golden model, "
        f"{result.differing_bytes or 0:,} differ"
    )
    for name in result.differing_tensors or ():
        print_line(f"differs: {name}")
