"""What every command can be asked for: a record each, whose fields are its options.

The command line, the keys of run-config files, the functions of ``import knightlite`` and their
documentation, and the checks derive from the records. Light: the words and defaults of other rooms
come from modules that need no numpy, whatever else a check needs is imported when it is called.
"""

from knightlite.options.fields import Default, Names, Option, check, like, option, options_of

__all__ = ["Default", "Names", "Option", "check", "like", "option", "options_of"]
