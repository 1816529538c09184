"""``knightlite sim`` (``rne-sim``)."""

from __future__ import annotations

from pathlib import Path

import click

from knightlite.api.simulation import SimulateOptions, simulate
from knightlite.cli.binary import binary_options
from knightlite.cli.data_options import data_option
from knightlite.cli.knight_command import KnightCommand
from knightlite.cli.terminal import print_json, print_line, print_table, talking

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


@click.command(cls=KnightCommand, word="sim", epilog=EPILOG)
@click.option(
    "-i",
    "--input",
    "source",
    required=True,
    help="Raw float32 or integer file, .npy, or picture; several inputs as a:b.",
)
@binary_options
@click.option(
    "-s",
    "--outpath",
    "--save-dir",
    "out_dir",
    type=click.Path(path_type=Path),
    default=Path(),
    help="Where the results go [default: here].",
)
@click.option(
    "-fmt",
    "--format",
    "layout",
    type=click.Choice(["nchw", "nhwc", "nhwcstride"]),
    help="Layout of raw input [default: as stored in the .cfg].",
)
@click.option("-fs", "--frame-step", default=0, show_default=True, help="Take every n-th frame.")
@click.option("-fc", "--frame-count", type=int, help="Frames to run [default: the first].")
@click.option(
    "--labels",
    type=click.Path(path_type=Path),
    help="Print the top 5 with names of this file (idx:name or one a line).",
)
@data_option("recipe", help="Recipe for pictures [default: the one stored in the .cfg].")
@click.option(
    "--check",
    "compare",
    is_flag=True,
    help="Compare every byte with the golden model in ONNX Runtime.",
)
@click.option(
    "--golden", type=click.Path(path_type=Path), help="Golden model [default: beside the .cfg]."
)
@click.option(
    "-if",
    "--intofile",
    type=click.IntRange(-1),
    default=0,
    show_default=True,
    help="Where not 0: also write the input integers to intofile.txt.",
)
@click.option("-d", "--debug", help="Also write a tensor that the program materialises, or all.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
@click.pass_obj
def command(
    chip: str | None,
    source: str,
    model: Path | None,
    weight: Path | None,
    cfg: Path | None,
    out_dir: Path,
    layout: str | None,
    frame_step: int,
    frame_count: int | None,
    labels: Path | None,
    recipe: str | None,
    compare: bool,
    golden: Path | None,
    intofile: int,
    debug: str | None,
    as_json: bool,
) -> int:
    """Run a compiled network; exit code 1 where --check finds a differing byte."""
    options = SimulateOptions(
        input=source,
        cfg=cfg,
        weight=weight,
        chip=chip,
        out_dir=out_dir,
        layout=layout,
        frame_step=frame_step,
        frame_count=frame_count,
        labels=labels,
        recipe=recipe,
        check=compare,
        golden=golden,
        debug=debug,
        model=model,
        into_file=intofile != 0,
    )
    with talking() as talk:
        result = simulate(options, talk)
    code = 1 if result.differing_bytes else 0
    if as_json:
        print_json(
            {
                "files": {key: str(path) for key, path in result.files.items()},
                "frames": result.frames,
                "saturations": result.saturations,
                "compared_bytes": result.compared_bytes,
                "differing_bytes": result.differing_bytes,
                "differing_tensors": list(result.differing_tensors),
                "top": [
                    [{"label": g.label, "index": g.index, "score": g.score} for g in frame]
                    for frame in result.top
                ],
            }
        )
        return code
    for number, guesses in enumerate(result.top):
        rows = [(guess.label, guess.index, f"{guess.score:.4f}") for guess in guesses]
        print_table(f"Top {len(rows)} of frame {number}", ("label", "index", "score"), rows)
    for name, path in result.files.items():
        if name.endswith("_p.txt") and "_hwc_" not in name:
            print_line(f"result: {path} (also _hwc_p.txt and .npy)")
    if compare:
        print_line(
            f"{result.compared_bytes:,} bytes compared with the golden model, "
            f"{result.differing_bytes:,} differ"
        )
        for name in result.differing_tensors:
            print_line(f"differs: {name}")
    return code
