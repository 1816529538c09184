"""``knightlite eval``."""

from __future__ import annotations

from dataclasses import asdict

from knightlite.api.evaluation import EvaluationResult, ModelScore, evaluate_models, resumable
from knightlite.cli.record_command import record_command
from knightlite.cli.terminal import print_json, print_line, print_table, talking
from knightlite.options.evaluate import STATE, EvaluateOptions

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


@record_command(EvaluateOptions, epilog=EPILOG)
def command(options: EvaluateOptions) -> int:
    """Accuracy of float, quantized, golden and compiled models on a folder of pictures.

    Exit code 1 where --check finds a differing byte.
    """
    with talking() as talk:
        found = evaluate_models(resumable(options), talk)
    if options.as_json:
        print_json("eval", {**asdict(found), "models": [asdict(model) for model in found.models]})
    else:
        _print(found)
    return 1 if any(row.differing_bytes for row in found.models) else 0


def _print(found: EvaluationResult) -> None:
    pictures = f"{found.pictures} picture" + ("" if found.pictures == 1 else "s")
    if found.shard != (1, 1):
        pictures += f" of shard {found.shard[0]}/{found.shard[1]}"
    sqnr = "logits dB" if found.scores == "logits" else "outputs dB"
    shown = ["model", "form"]
    if found.labelled:
        shown += ["top-1 %", "top-5 %", "drop", "95 % interval", "lost", "won"]
        if all(row.top5 is None for row in found.models):  # no more classes than five
            shown.remove("top-5 %")
    if found.metric is not None:
        shown += [found.metric, f"{found.metric} drop", f"{found.metric} 95 % interval"]
    shown += ["same %", sqnr] if found.labelled or found.metric is None else [sqnr]
    rows = [
        [_cells(row, sqnr, found.metric, first=not place)[name] for name in shown]
        for place, row in enumerate(found.models)
    ]
    print_table(f"Accuracy on {pictures}", shown, rows)
    compared = ["drop"] if found.labelled or found.metric is not None else []
    compared += ["lost", "won"] if found.labelled else []
    compared += ["same"] if "same %" in shown else []
    against = [*compared, "dB"]
    listed = f"{', '.join(against[:-1])} and dB are" if compared else "dB is"
    print_line(f"{listed} against {found.models[0].model}")
    for row in found.models:
        if row.compared_bytes is not None:
            print_line(
                f"{row.compared_bytes:,} bytes of {row.model} compared with the golden model, "
                f"{row.differing_bytes:,} differ"
            )


def _cells(row: ModelScore, sqnr: str, metric: str | None, first: bool) -> dict[str, str]:
    """What each column holds."""
    interval = _interval(row.interval_low, row.interval_high, "+.2f")
    measured = {} if metric is None else {
        metric: _number(row.metric, ".4f"),
        f"{metric} drop": _number(row.metric_drop, "+.4f"),
        f"{metric} 95 % interval": _interval(row.metric_low, row.metric_high, "+.4f"),
    }  # fmt: skip
    return {
        **measured,
        "model": row.model,
        "form": row.kind,
        "top-1 %": _number(row.top1, ".2f"),
        "top-5 %": _number(row.top5, ".2f"),
        "drop": _number(row.drop, "+.2f"),
        "95 % interval": interval,
        "lost": _number(row.lost, "d"),
        "won": _number(row.won, "d"),
        "same %": _number(row.agreed_percent, ".2f"),
        sqnr: "exact" if row.exact and not first else _number(row.sqnr_db, ".2f"),
    }


def _interval(low: float | None, high: float | None, form: str) -> str:
    return "-" if low is None or high is None else f"{low:{form}} to {high:{form}}"


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
