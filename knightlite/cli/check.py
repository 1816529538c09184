"""``knightlite check``."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import Any

from knightlite.api.checking import CheckResult, Latency, check, check_all
from knightlite.api.chips import another_maker_s
from knightlite.cli.levels import of_level
from knightlite.cli.record_command import record_command
from knightlite.cli.terminal import print_json, print_line, print_table, talking
from knightlite.errors import FEW, next_step, summarized
from knightlite.options.checks import ALL_CHIPS
from knightlite.options.inspection import CheckOptions

EPILOG = """\b
Examples:
  knightlite check -m model.pdmodel
  knightlite check -m model.onnx --chip TX5112CV201 --json
  knightlite check -m model.onnx --chip all
  knightlite check -f pytorch -m resnet50 -w resnet50.pth -uds s.py
"""


@record_command(CheckOptions, epilog=EPILOG)
def command(options: CheckOptions) -> int:
    """List every node that keeps a model off a chip; exit code 1 where there is one."""
    with talking() as talk:
        if options.chip == ALL_CHIPS:
            return _all_chips(check_all(options, talk), options.as_json)
        result = check(options, talk)
    share = _npu_percent(result)
    gflops = 2 * result.macs / 1e9
    if options.as_json:
        print_json("check", _json(result))
        return 0 if result.fits else 1
    rows = [
        (kind, total, done - host, host)
        for kind, (total, done, host) in sorted(result.operators.items())
    ]
    errors = [item for item in result.findings if item.severity == "error"]
    if len(errors) > FEW:
        print_line(
            f"{result.name} does not run on {result.chip}, {len(errors)} places are not "
            f"supported: {next_step(errors)}."
        )
    columns = ("operator", "nodes", "on the NPU", "on the host")
    width = len(columns) if any(row[-1] for row in rows) else len(columns) - 1
    print_table(f"{result.name} on {result.chip}", columns[:width], [row[:width] for row in rows])
    print_line(
        f"{gflops:.3f} GFLOPs, {result.parameters / 1e6:.3f} M parameters, "
        f"{share:.1f} % of the MACs on the NPU"
    )
    if result.host:
        counts = Counter(result.host)
        names = [f"{kind} ({count})" if count > 1 else kind for kind, count in counts.items()]
        print_line(f"on the host: {', '.join(names)}")
    shown = summarized(result.findings)
    for item in shown:
        print_line(f"{item.severity}: {item}")
    if len(shown) < len(result.findings):
        print_line("--json lists every place.")
    if result.latency is not None:
        print_line(_time(result.latency))
    verdict = "runs on" if result.fits else "does not run on"
    print_line(f"{result.name} {verdict} {result.chip}.")
    return 0 if result.fits else 1


def _npu_percent(result: CheckResult) -> float:
    return 100.0 * result.npu_macs / result.macs if result.macs else 100.0


def _time(latency: Latency) -> str:
    whole = latency.frame.with_host
    told = f"{latency.frame.rounded_text} ms {latency.frame.bar} ({of_level(latency.level)})"
    host = "" if whole is None else f"; with the host's {latency.frame.host_ms:g} ms {whole.words}"
    return f"{told}{host}"


def _json(result: CheckResult) -> dict[str, Any]:
    frame = result.latency.frame if result.latency is not None else None
    sure = frame.certainty if frame is not None else None
    whole = frame.with_host if frame is not None else None
    return {
        "name": result.name,
        "chip": result.chip,
        "fits": result.fits,
        "latency_ms": None if frame is None else frame.latency_ms,
        "host_ms": None if frame is None else frame.host_ms,
        "with_host": None if whole is None else asdict(whole),
        "schedule_level": None if result.latency is None else result.latency.level,
        "certainty": None if sure is None else asdict(sure),
        "gflops": 2 * result.macs / 1e9,
        "macs": result.macs,
        "npu_macs_percent": _npu_percent(result),
        "parameters": result.parameters,
        "host": list(result.host),
        "operators": {
            kind: {"nodes": total, "supported": done, "host": host}
            for kind, (total, done, host) in result.operators.items()
        },
        "findings": [
            {
                "where": item.where,
                "sentence": item.sentence,
                "hint": item.hint,
                "severity": item.severity,
            }
            for item in result.findings
        ],
    }


def _all_chips(results: tuple[CheckResult, ...], as_json: bool) -> int:
    """One row a chip; exit code 0 where one of them runs the model."""
    if as_json:
        print_json("check", [_json(item) for item in results])
    else:
        rows = [
            (
                item.chip,
                "yes" if item.fits else "no",
                "" if item.latency is None else item.latency.frame.rounded_text,
                _bar(item.latency) if item.fits else _first_error(item),
            )
            for item in results
        ]
        print_table(results[0].name, ("chip", "fits", "ms", "\u00b1, or why not"), rows)
        levels = sorted({item.latency.level for item in results if item.latency is not None})
        if levels:
            print_line(f"ms: {of_level(levels[0])}")
        for sentence in another_maker_s(item.chip for item in results):
            print_line(sentence)
    return 0 if any(item.fits for item in results) else 1


def _bar(latency: Latency | None) -> str:
    return "" if latency is None else latency.frame.bar


def _first_error(result: CheckResult) -> str:
    errors = [item for item in result.findings if item.severity == "error"]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return f"{errors[0]}{more}"
