"""``knightlite eval``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from knightlite.api.evaluation import (
    EvaluateOptions,
    EvaluationResult,
    ModelScore,
    default_workers,
    evaluate_models,
    merge_states,
)
from knightlite.cli.data_options import data_option
from knightlite.cli.terminal import print_json, print_line, print_table, talking
from knightlite.errors import UsageError

STATE = "knightlite-eval.json"
EPILOG = f"""\b
Examples:
  knightlite eval --data val          # all that quant and compile left here
  knightlite eval n.onnx n_quantize.onnx n_r.cfg --data val --recipe imagenet
  knightlite eval X_r.cfg --data val --check     # every byte of every layer
  knightlite eval --data val --shard 1/4 --state part1.json
  knightlite eval --merge part1.json part2.json part3.json part4.json

The first model is what the others are compared with: pictures lost and won are
those that only it, or only the other, gets right; the interval of the drop is a
95 % one of paired proportions. A run that was stopped goes on where it was:
{STATE} is kept until it is finished.
"""


@click.command(epilog=EPILOG)
@click.argument("models", nargs=-1, type=click.Path(path_type=Path), metavar="[MODEL]...")
@data_option(
    "data",
    type=click.Path(path_type=Path),
    help="Folder of pictures, one sub-folder per class.",
)
@data_option("recipe", help="How pictures become input [default: as the models were calibrated].")
@click.option(
    "--labels",
    type=click.Path(path_type=Path),
    help="Folder names of the classes in the order of the scores, one a line "
    "[default: the folders, sorted].",
)
@click.option("-n", "--count", type=int, help="Take a seeded sample of so many [default: all].")
@data_option("seed", help="Of the sample.")
@data_option("input_shapes", multiple=False, help="Where a model leaves its input open.")
@click.option("-j", "--workers", type=int, help="Processes [default: one per processor].")
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    help=f"Where the sums so far are kept, and stay [default: {STATE}, until finished].",
)
@click.option("--shard", metavar="I/N", default="1/1", help="Every N-th picture from the I-th on.")
@click.option(
    "--check",
    is_flag=True,
    help="Compare every byte of every layer of the compiled network with its golden model.",
)
@click.option("--merge", is_flag=True, help="Add up the state files named instead of models.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
@click.pass_obj
def command(
    chip: str | None,
    models: tuple[Path, ...],
    data: Path | None,
    recipe: str | None,
    labels: Path | None,
    count: int | None,
    seed: int,
    input_shapes: tuple[int, ...] | None,
    workers: int | None,
    state: Path | None,
    shard: str,
    check: bool,
    merge: bool,
    as_json: bool,
) -> int:
    """Accuracy of float, quantized, golden and compiled models on a folder of pictures.

    Exit code 1 where --check finds a differing byte.
    """
    if merge:
        found = merge_states(models)
    else:
        if data is None:
            raise UsageError("eval needs pictures.", "name their folder with --data DIR")
        options = EvaluateOptions(
            data=data,
            models=models,
            recipe=recipe,
            labels=labels,
            count=count,
            seed=seed,
            chip=chip,
            input_shapes=() if input_shapes is None else (input_shapes,),
            workers=default_workers() if workers is None else workers,
            state=Path(STATE) if state is None else state,
            keep_state=state is not None,
            shard=_shard(shard),
            check=check,
        )
        with talking() as talk:
            found = evaluate_models(options, talk)
    if as_json:
        print_json({**asdict(found), "models": [asdict(model) for model in found.models]})
    else:
        _print(found)
    return 1 if any(row.differing_bytes for row in found.models) else 0


def _shard(text: str) -> tuple[int, int]:
    index, slash, count = text.partition("/")
    if not (slash and index.isdigit() and count.isdigit()):
        raise UsageError(f"a shard must be written as 1/4, not {text}.")
    return int(index), int(count)


def _print(found: EvaluationResult) -> None:
    pictures = f"{found.pictures} picture" + ("" if found.pictures == 1 else "s")
    if found.shard != (1, 1):
        pictures += f" of shard {found.shard[0]}/{found.shard[1]}"
    sqnr = "logits dB" if found.scores == "logits" else "outputs dB"
    columns = ["model", "form", "top-1 %", "top-5 %", "drop", "95 % interval", "lost", "won"]
    labelled = found.labelled > 0
    shown = columns if labelled else columns[:2]
    rows = [
        [
            *_cells(row)[: len(shown)],
            _number(row.agreed_percent, ".2f"),
            "exact" if row.exact and place else _number(row.sqnr_db, ".2f"),
        ]
        for place, row in enumerate(found.models)
    ]
    print_table(f"Accuracy on {pictures}", [*shown, "same %", sqnr], rows)
    print_line(f"drop, lost, won, same and dB are against {found.models[0].model}")
    for row in found.models:
        if row.compared_bytes is not None:
            print_line(
                f"{row.compared_bytes:,} bytes of {row.model} compared with the golden model, "
                f"{row.differing_bytes:,} differ"
            )


def _cells(row: ModelScore) -> list[str]:
    interval = "-"
    if row.interval_low is not None and row.interval_high is not None:
        interval = f"{row.interval_low:+.2f} to {row.interval_high:+.2f}"
    return [
        row.model,
        row.kind,
        _number(row.top1, ".2f"),
        _number(row.top5, ".2f"),
        _number(row.drop, "+.2f"),
        interval,
        _number(row.lost, "d"),
        _number(row.won, "d"),
    ]


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
