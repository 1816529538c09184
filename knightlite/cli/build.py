"""``knightlite build``: quant, compile, compare and a check of the binary, from one file."""

from __future__ import annotations

import click

from knightlite.api.comparison import compare
from knightlite.api.profiling import profile_program
from knightlite.api.simulation import build_files, check_model
from knightlite.cli.compare import print_comparison
from knightlite.cli.compile import command as compile_command
from knightlite.cli.knight_command import KnightCommand
from knightlite.cli.quant import command as quant_command
from knightlite.cli.record_command import record_command
from knightlite.cli.terminal import print_line, talking
from knightlite.errors import UsageError
from knightlite.options.compare import OUTPUTS, CompareOptions
from knightlite.options.compile import BuildOptions
from knightlite.options.profile import ProfileOptions

EPILOG = """\b
Examples:
  knightlite build --run-config config.json
  knightlite build --run-config config.json --html page.html
  Knight build -rc c.json --quant.iteration 16 --compile.save-dir out
"""


def _context(stage: click.Command, name: str, parent: click.Context) -> click.Context:
    """A stage with the options of the run-config file; UsageError where it names too few."""
    try:
        return stage.make_context(name, [], parent=parent)
    except click.MissingParameter as error:
        key = (error.param.opts[-1] if error.param else "model").lstrip("-")
        raise UsageError(
            f"build was not told the {key} of {name}: it takes the options of its stages from a "
            "run-config file.",
            f"--run-config FILE names one with a section {name}, or --{name}.{key} VALUE gives it",
        ) from None


@record_command(BuildOptions, cls=KnightCommand, word="build", epilog=EPILOG)
def command(options: BuildOptions) -> int:
    """Quantize and compile as a run-config file says, then look at the outcome."""
    ctx = click.get_current_context()
    stages = ((quant_command, "quant"), (compile_command, "compile"))
    contexts = [_context(stage, name, ctx) for stage, name in stages]  # all looked at first
    for (stage, _), inner in zip(stages, contexts, strict=True):
        with inner:
            stage.invoke(inner)
    with talking() as talk:
        made = build_files()
        if not options.disable_compare:
            asked_of = CompareOptions(cfg=made["cfg"], weight=made["weight"], level=OUTPUTS)
            print_comparison(
                "Outputs",
                compare(asked_of, talk),
                ["idx", "RMSE%", "max diff"],
            )
        differing = 0
        if not options.disable_model_check:
            compared, differing, names = check_model(
                made["cfg"], made["weight"], made["known_input"], talk
            )
            print_line(f"{compared:,} bytes compared with the golden model, {differing:,} differ")
            for name in names:
                print_line(f"differs: {name}")
        if options.html is not None and not differing:
            asked = ProfileOptions(
                cfg=made["cfg"],
                weight=made["weight"],
                out_dir=made["cfg"].parent,
                html=options.html,
            )
            for line in profile_program(asked, talk).summary:
                print_line(line)
    return 1 if differing else 0
