"""``knightlite show_sim_result``."""

from __future__ import annotations

from knightlite.api.inspection import (
    result_facts,
    result_text,
    save_array,
    save_facts,
    simulated_results,
    text_form,
)
from knightlite.cli.record_command import record_command
from knightlite.cli.terminal import print_json, print_line, print_table, say, talking
from knightlite.errors import UsageError
from knightlite.options.inspection import ShowSimResultOptions

EPILOG = """\b
Examples:
  knightlite show_sim_result -sd .
  knightlite show_sim_result -sd results -i 0 -fmt nhwc
  show_sim_result --sim-data npu/result-*_p.txt --save-dir npu
"""


@record_command(ShowSimResultOptions, epilog=EPILOG)
def command(options: ShowSimResultOptions) -> None:
    """List what sim left in a folder, or print one result; text forms become arrays."""
    texts = [path for path in options.sim_data if path.is_file() or path.suffix == ".txt"]
    files = [path for path in texts if not path.is_dir()]
    folders = [path for path in options.sim_data if path not in files]
    if len(folders) > 1 or (files and len(options.sim_data) > len(files)):
        raise UsageError(f"{folders[0]} must be a file as {files[0]} is." if files else
                         "-sd names one folder, or files.")  # fmt: skip
    with talking() as talk:
        folder = folders[0] if folders else None
        results = tuple(map(text_form, files)) if files else simulated_results(folder, talk)
    index = options.index
    if index is not None:
        if index >= len(results):
            raise UsageError(
                f"there is no result {index} in {results[0].path.parent}: they are numbered from "
                f"0 to {len(results) - 1}.",
                "without -i they are listed",
            )
        print_line(result_text(results[index], options.layout).rstrip("\n"))
        return
    rows = [result_facts(item) for item in results]
    if options.save_dir is not None:
        for item in results if files else ():
            say(f"{save_array(item, options.save_dir)} holds {item.path}.")
        if not files:
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
