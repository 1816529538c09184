"""Files and what they hold, read only after what they ask for has been compared with the limits.

Files that cannot be read raise OSError, contents that are wrong or ask for too much ValueError,
each with a reason that fits behind a colon: who reads knows the file's name and the remedy.
"""

from knightlite.reading.files import open_regular, read_bytes, read_part, read_text
from knightlite.reading.texts import holds_key, json_value, toml_table

__all__ = [
    "holds_key",
    "json_value",
    "open_regular",
    "read_bytes",
    "read_part",
    "read_text",
    "toml_table",
]
