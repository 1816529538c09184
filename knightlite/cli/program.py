"""The command group, and the one place where errors become sentences and exit codes."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import shutil
import sys
import tempfile
import traceback
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import click

from knightlite import chip_files
from knightlite.cli import ctrl_c, streams
from knightlite.cli.arguments import TARGETS, rewrite
from knightlite.cli.completion import completion
from knightlite.cli.counterparts import counterpart, flag_of, value_of
from knightlite.cli.record_command import RecordOption
from knightlite.cli.repeated import tell_again
from knightlite.cli.terminal import one_line, report_error, say
from knightlite.cli.vocabulary import ALIASES
from knightlite.errors import KnightliteError, UsageError, nearest, suggestion
from knightlite.options import Names
from knightlite.options.kinds import Form
from knightlite.version import __version__

PROGRAM = "knightlite"
ROOM_BYTES = 1 << 20  # less is a full disk
EXTRA = "unexpected extra argument"  # as click says it
CIRCLE = "Symlink loop from "  # how pathlib says it, before Python 3.13
STOPPED = 130  # as shells say it of Ctrl-C

# command -> (module of knightlite.cli, one line for --help); modules are imported when called
COMMANDS: dict[str, tuple[str, str]] = {
    "quant": ("quant", "Quantize a model to int8: X_quantize.onnx, a report, sample inputs."),
    "compile": ("compile", "Compile X_quantize.onnx: .cfg, .weight, golden model, memory map."),
    "sim": ("sim", "Run a compiled network bit for bit on pictures or raw data."),
    "profile": ("profile", "Where every microsecond goes: layers, engines, memory traffic."),
    "build": ("build", "quant, compile, compare and a check of the binary, from one JSON file."),
    "eval": ("eval", "Accuracy of every form of a network on a folder of pictures."),
    "compare": ("compare", "Float model, quantized model and chip on one sample."),
    "diagnose": ("diagnose", "Which layers lose accuracy, why, and what helps, measured."),
    "check": ("check", "Can this model run on that chip? Every doubtful node at once."),
    "explore": ("explore", "Many models on many chips: which chip is enough, and what it costs."),
    "serve": ("serve", "Compiled networks behind HTTP, by the Open Inference Protocol."),
    "inspect": ("inspect", "Show what a .cfg or .weight file holds, instruction by instruction."),
    "explain": ("explain", "Why the compiler fused a node with its neighbours, or did not."),
    "chips": ("chips", "The chips, and where each of their facts comes from."),
    "model_info": ("model_info", "Inputs and outputs of a model, and their scales."),
    "model_modifier": ("model_modifier", "A part of an ONNX model, between values of it."),
    "model_check": ("model_check", "Does the compiled network do what its golden model does?"),
    "show_sim_result": ("show_sim_result", "What sim left in a folder; its text forms as .npy."),
    "npy2bin": ("npy2bin", "A .npy array as the raw bytes that sim reads."),
    "deploy": ("deploy", "A project in C that runs the compiled network: PC, board, bare metal."),
    "sim-lib": ("sim_lib", "The vendor's C interface over the simulated chip, as sources."),
    "bin2header": ("bin2header", "A file as a C array, and back."),
    "demo": ("demo", "Every stage on a trained network and pictures that ship: digits."),
    "script-path": ("script_path", "Where that lies which user scripts import of Knight."),
}

EPILOG = """\b
Examples:
  knightlite quant onnx -m model.pdmodel -d pictures --recipe imagenet -i 100
  knightlite compile
  knightlite sim --input photo.jpg --labels labels.txt
  knightlite profile
"""


class LazyGroup(click.Group):
    """Imports a command's module when it is called, so that --help is instant."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order of the work."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command or Knight's name for it."""
        name = ALIASES.get(cmd_name, cmd_name)
        if name not in COMMANDS:
            return None
        module = import_module(f"knightlite.cli.{COMMANDS[name][0]}")
        command = module.command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is called; UsageError for a name that is none."""
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            hint = suggestion(args[0], [*COMMANDS, *ALIASES], f"`{PROGRAM} --help` lists them")
            raise UsageError(f"there is no command {args[0]}.", hint)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        rows = []
        for name, (_, text) in COMMANDS.items():
            others = ", ".join(alias for alias, target in ALIASES.items() if target == name)
            rows.append((name, f"{text} (also {others})" if others else text))
        with formatter.section("Commands"):
            formatter.write_dl(rows)


@click.group(
    cls=LazyGroup,
    epilog=EPILOG,
    invoke_without_command=True,  # --default-chip alone is enough
    subcommand_metavar="COMMAND [ARGS]...",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--chip",
    metavar="NAME",
    multiple=True,
    shell_complete=completion(Names.CHIPS),
    help="Chip name or chip file; may also follow the command, the first one given wins "
    "[default: see --default-chip].",
)
@click.option(
    "--default-chip",
    metavar="NAME",
    shell_complete=completion(Names.CHIPS),
    help="From now on take this chip or chip file where none is named; "
    f"before that {chip_files.DEFAULT} is.",
)
@click.version_option(__version__, "-v", "--version", prog_name="knightlite")
@click.pass_context
def group(ctx: click.Context, chip: tuple[str, ...], default_chip: str | None) -> None:
    """Quantize, compile, simulate and profile networks for TX5368-style NPUs."""
    ctx.obj = chip[0] if chip else None
    if len(set(chip)) > 1:
        tell_again("--chip", len(chip), "first", chip[0])
    if default_chip is not None:
        from knightlite.api.chips import store_chip

        say(f"{default_chip} is the default chip from now on, as {store_chip(default_chip)} says.")
    elif ctx.invoked_subcommand is None:
        if chip:
            raise click.UsageError("Missing command.")
        say(ctx.get_help())
        ctx.exit(2)


def run(arguments: Sequence[str], program: str = PROGRAM) -> int:
    """Run a command line; the exit code. ``program`` is the name it was called by."""
    try:
        _refuse_undecodable(arguments)
        result = group.main(rewrite(arguments), prog_name=program, standalone_mode=False)
        sys.stdout.flush()  # a closed pager shows here, not at the interpreter's end
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.NoSuchOption as error:
        _report_option(error, arguments)
        return 2
    except click.ClickException as error:
        said = io.StringIO()
        error.show(said)
        say(said.getvalue().rstrip("\n"))
        param = error.param if isinstance(error, click.BadParameter) else None
        meant = _meant(error, arguments) if isinstance(error, click.MissingParameter) else ""
        if meant:
            say(f"Hint: did you mean `{meant}`?")
        elif isinstance(error, click.MissingParameter) and isinstance(error.param, RecordOption):
            item = error.param.option
            path = PROGRAM if error.ctx is None else error.ctx.command_path
            flag = f"{item.flags[0]} {value_of(item)}".strip()
            say(f"Hint: as in `{path} {flag}`; {item.helped}")
        elif isinstance(param, RecordOption) and param.option.unlike:
            say(f"Hint: {param.option.unlike}")
        elif isinstance(error, click.UsageError) and (EXTRA in error.message or _is_place(error)):
            _say_option(error)
        return 2
    except (click.Abort, KeyboardInterrupt):
        say("Stopped.")
        return STOPPED
    except KnightliteError as error:
        if ctrl_c.asked():
            say("Stopped.")
            return STOPPED
        report_error(error, whole="--json" in arguments)
        return error.exit_code
    except (BrokenPipeError, SystemExit) as error:  # click exits where it meets a closed pipe
        if isinstance(error, SystemExit) and not error.code:  # it completed a word for the shell
            return 0
        if not streams.is_left():
            _report_unforeseen(error)
            return 1
        streams.silence("stdout")  # a closed pager is no error
        return 0
    except MemoryError:
        say("Error: there is not enough memory for this.")
        say("Hint: a smaller batch size (-bs) or input needs less.")
        return 1
    except Exception as error:  # the last line of defence: a sentence, not a traceback
        if ctrl_c.asked():
            say("Stopped.")
            return STOPPED
        if os.environ.get("KNIGHTLITE_DEBUG"):
            raise
        if isinstance(error, RuntimeError) and str(error).startswith(CIRCLE):
            path = str(error).removeprefix(CIRCLE).strip("'")
            report_error(UsageError(f"{path} is a link that leads to itself.", "name a file"))
            return 2
        _report_unforeseen(error)
        return 1
    return result if isinstance(result, int) else 0


def _report_option(error: click.NoSuchOption, arguments: Sequence[str]) -> None:
    """What was typed, not the letter that the parser stumbled over, and what it is near to."""
    typed = [item.partition("=")[0] for item in arguments if item.startswith(error.option_name)]
    option = next(iter(typed), error.option_name)
    flags: list[str] = []
    lists = f"`{PROGRAM} --help` lists them"
    if error.ctx is not None:
        flags = [flag for item in error.ctx.command.get_params(error.ctx) for flag in item.opts]
        lists = f"`{error.ctx.command_path} --help` lists them"
    near = _of_a_stage(error.ctx, option) or _counterpart(error.ctx, option)
    if not near and len(option) > 2:  # every letter is near to another one
        near = nearest(option, (flag for flag in flags if flag.startswith("-")))
    report_error(UsageError(f"there is no option {option}.", f"{near} {lists}".strip()))


def _counterpart(ctx: click.Context | None, option: str) -> str:
    """What does here what such an option does in another command, as a hint; or ""."""
    if ctx is None or ctx.command is group:
        return ""
    return counterpart(str(ctx.info_name), ctx.command_path, option)


def _files(command: click.Command) -> list[RecordOption]:
    """The options of a command that name files."""
    return [
        item
        for item in command.params
        if isinstance(item, RecordOption)
        and item.option.flags
        and item.option.kind.form is Form.FILE
    ]


def _first_file(command: click.Command) -> str:
    """The flag of what must be given, else of the first of them, "" where there is none."""
    asked = [item for item in command.params if isinstance(item, RecordOption) and item.required]
    files = [item for item in asked if item.option.flags] or _files(command)
    return files[0].option.flags[-1] if files else ""


def _is_place(error: click.UsageError) -> bool:
    """Whether a file stands without its option where a word may stand."""
    place = isinstance(error, click.BadParameter) and isinstance(error.param, click.Argument)
    return place and re.search(r"'[^']*\.\w+'", error.message) is not None


def _say_option(error: click.UsageError) -> None:
    """The option that a file without one may belong to."""
    flag = ""
    if error.ctx is not None:
        flags = [flag for item in error.ctx.command.params for flag in item.opts]
        stray = re.search(r"[('](.+)[)']", error.message)
        flag = flag_of(stray[1], flags) if stray else ""
        flag = flag or _first_file(error.ctx.command)
    if error.ctx is not None and flag:
        say(f"Hint: files are named by their options, as in `{error.ctx.command_path} {flag} FILE`")


def _meant(error: click.MissingParameter, arguments: Sequence[str]) -> str:
    """The command with the option that is missing, where its file stands without one; or ""."""
    if error.ctx is None or not isinstance(error.param, RecordOption):
        return ""
    name, words = str(error.ctx.info_name), [*arguments, ""]
    first = words[words.index(name) + 1] if name in arguments else ""
    if not first or first.startswith("-") or first in TARGETS:
        return ""
    return f"{error.ctx.command_path} {error.param.opts[0]} {first}"


def _of_a_stage(ctx: click.Context | None, option: str) -> str:
    """How ``build`` hands on an option that one of its stages has, as a hint; or ""."""
    if ctx is None or ctx.info_name != "build":
        return ""
    for stage in ("quant", "compile"):
        command = group.get_command(ctx, stage)
        assert command is not None
        for item in command.params:
            long = next((name[2:] for name in item.opts if name.startswith("--")), "")
            if isinstance(item, click.Option) and option in item.opts and long:
                value = "true" if item.is_flag else "VALUE"
                return f"`--{stage}.{long} {value}` gives it to {stage};"
    return ""


def _refuse_undecodable(arguments: Sequence[str]) -> None:
    """File names are written into UTF-8 files and terminals; other bytes could not be shown."""
    for item in arguments:
        try:
            item.encode("utf-8")
        except UnicodeEncodeError:
            shown = os.fsencode(item).decode("utf-8", "replace")
            raise UsageError(
                f"argument {shown} must be UTF-8 text.", "rename the file or folder"
            ) from None


def _temporary_full() -> bool:
    """Whether what has no room, and no name, is a temporary file: it may be stdout as well."""
    try:
        return shutil.disk_usage(tempfile.gettempdir()).free < ROOM_BYTES
    except OSError:
        return True


def _report_unforeseen(error: BaseException) -> None:
    package = (error.name or "").partition(".")[0] if isinstance(error, ImportError) else ""
    if package and package != PROGRAM:  # an installation without what it needs
        say(f"Error: {PROGRAM} needs the package {package}, which {sys.executable} has not.")
        how = f"{sys.executable} -m pip install"
        say(f"Hint: `{how} {PROGRAM}` brings it, or `{how} .` in a clone.")
        return
    if isinstance(error, OSError) and error.strerror:  # a full disk, a vanished folder
        file = f"{error.filename}: " if error.filename else ""
        if not file and error.errno == errno.ENOSPC and _temporary_full():
            file = f"{tempfile.gettempdir()}, where temporary files go (TMPDIR): "
        say(f"Error: {one_line(f'{file}{error.strerror}')}.")
        return
    told = ""
    with (
        contextlib.suppress(OSError),
        tempfile.NamedTemporaryFile(
            "w", prefix="knightlite-", suffix=".log", delete=False, encoding="utf-8"
        ) as log,
    ):
        log.write("".join(traceback.format_exception(error)))
        told = f" with {Path(log.name)}"
    say(f"Error: knightlite failed inside ({type(error).__name__}: {one_line(str(error))}).")
    say(f"Hint: this is a bug of ours; please report it{told}.")
