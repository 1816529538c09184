"""``knightlite show_sim_result``."""

from __future__ import annotations

from knightlite.api.inspection import result_facts, result_text, save_facts, simulated_results
from knightlite.cli.record_command import record_command
from knightlite.cli.terminal import print_json, print_line, print_table
from knightlite.errors import UsageError
from knightlite.options.inspection import ShowSimResultOptions

EPILOG = """\b
Examples:
  knightlite show_sim_result -sd .
  knightlite show_sim_result -sd results -i 0 -fmt nhwc
"""


@record_command(ShowSimResultOptions, epilog=EPILOG)
def command(options: ShowSimResultOptions) -> None:
    """List what sim left in a folder, or print one result."""
    results, index = simulated_results(options.sim_dir), options.index
    if index is not None:
        if index >= len(results):
            raise UsageError(
                f"there are {len(results)} results in {options.sim_dir}, not {index + 1}."
            )
        print_line(result_text(results[index], options.layout).rstrip("\n"))
        return
    rows = [result_facts(item) for item in results]
    if options.save_dir is not None:
        save_facts(rows, options.save_dir)
    if options.as_json:
        print_json("show_sim_result", rows)
        return
    columns = ("Index", "Output name", "tensor", "shape", "type", "min", "max")
    print_table("Results", columns, [_cells(row) for row in rows])


def _cells(row: dict[str, object]) -> list[object]:
    shape = row["shape"]
    assert isinstance(shape, list)
    return ["x".join(map(str, value)) if value is shape else value for value in row.values()]
