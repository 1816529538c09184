"""The chip that is taken where nothing else says which: the user's own default, or the program's.

The user's default is one small JSON file in the configuration folder of the XDG base directory
specification, so that it holds for every working folder.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from knightlite import atomic_write
from knightlite.errors import FormatError, KnightliteError, UsageError
from knightlite.reading import json_value, read_text
from knightlite.talk import SILENT, Talk

FORMAT = 1
_REMEDY = "set another with --default-chip NAME"


def settings_file() -> Path:
    """Where the default is kept: ``$XDG_CONFIG_HOME``, else ``~/.config``."""
    named = os.environ.get("XDG_CONFIG_HOME", "")
    folder = named if os.path.isabs(named) else os.path.expanduser("~/.config")
    return Path(folder) / "knightlite" / "settings.json"


def stored_chip(talk: Talk = SILENT) -> str | None:
    """The user's default; None where none is set, or where the file is not ours to read.

    FormatError where it is damaged.
    """
    path = settings_file()
    try:
        data = json_value(read_text(path))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        talk.warn(f"{path}, where a default chip of yours would be, cannot be read: {error}.")
        return None
    except ValueError as error:  # JSON's and UTF-8's errors are ValueErrors
        raise FormatError(f"{path} cannot be read: {error}.", _REMEDY) from error
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise FormatError(f"{path} is not a settings file of knightlite.", _REMEDY)
    chip = data.get("default_chip")
    if not isinstance(chip, str):
        raise FormatError(f"{path} names no default chip.", _REMEDY)
    return chip


def store_chip(name: str) -> Path:
    """Make a chip, or a chip file by its absolute path, the user's default; where that is kept."""
    from knightlite import chip_files

    chip_files.find(name)
    if name.endswith(chip_files.FILE_SUFFIX):
        name = os.path.abspath(name)
    path = settings_file()
    text = json.dumps({"format": FORMAT, "default_chip": name}, indent=2, sort_keys=True)
    try:
        atomic_write.write_text(path, text + "\n")
    except KnightliteError as error:
        raise UsageError(
            error.sentence,
            "set XDG_CONFIG_HOME to a folder that can be written, or name the chip with --chip",
        ) from error
    return path


def chip_or_default(asked: str | None, talk: Talk) -> str:
    """The chip that is asked for, else the default one, which is said."""
    if asked:
        return asked
    chip = default_chip(talk)
    talk.say(f"{chip} is taken, the default chip; --chip NAME takes another.")
    return chip


def default_chip(talk: Talk = SILENT) -> str:
    """The user's default, else the program's; UsageError where the user's no longer exists."""
    from knightlite import chip_files

    stored = stored_chip(talk)
    if stored is None:
        return chip_files.DEFAULT
    try:
        chip_files.find(stored)
    except KnightliteError as error:
        raise UsageError(f"the default chip cannot be taken: {error.sentence}", _REMEDY) from error
    return stored
