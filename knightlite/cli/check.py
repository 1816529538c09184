"""``knightlite check``."""

from __future__ import annotations

from collections import Counter

from knightlite.api.checking import check
from knightlite.cli.record_command import record_command
from knightlite.cli.terminal import print_json, print_line, print_table, talking
from knightlite.errors import FEW, next_step, summarized
from knightlite.options.inspection import CheckOptions

EPILOG = """\b
Examples:
  knightlite check -m model.pdmodel
  knightlite check -m model.onnx --chip TX5112CV201 --json
  knightlite check -f pytorch -m resnet50 -w resnet50.pth -uds s.py
"""


@record_command(CheckOptions, epilog=EPILOG)
def command(options: CheckOptions) -> int:
    """List every node that keeps a model off a chip; exit code 1 where there is one."""
    with talking() as talk:
        result = check(options, talk)
    share = 100.0 * result.npu_macs / result.macs if result.macs else 100.0
    gflops = 2 * result.macs / 1e9
    if options.as_json:
        print_json(
            "check",
            {
                "name": result.name,
                "chip": result.chip,
                "fits": result.fits,
                "gflops": gflops,
                "macs": result.macs,
                "npu_macs_percent": share,
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
            },
        )
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
    verdict = "runs on" if result.fits else "does not run on"
    print_line(f"{result.name} {verdict} {result.chip}.")
    return 0 if result.fits else 1
