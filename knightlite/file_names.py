"""Names of files after tensors: every command that writes or reads such files asks here.

'/' and ':' become '_', as Knight has it. Where that is not enough (another tensor would have the
same name, or the name is too long for a file system), a hash of the tensor's name tells it apart.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

LONGEST_BYTES = 160  # file systems take 255, with what commands put before and behind
RESERVED = frozenset('/\\:<>"|?*')  # on one system or another
HASH_DIGITS = 8

Key = TypeVar("Key", bound=Hashable)


def file_names(names: Iterable[str], endings: Sequence[str] = ("",)) -> dict[str, str]:
    """A stem of its own for the files of every tensor, by tensor.

    ``endings``: what is put behind each; no file is another's, on systems that do not know capitals
    from small letters neither. Who reads the files must name the same tensors as who wrote them.
    """
    return stems({name: name for name in names}, endings)


def stems(wanted: Mapping[Key, str], endings: Sequence[str] = ("",)) -> dict[Key, str]:
    """As :func:`file_names`, of anything that wants a name; the earlier it stands, the surer."""
    taken: set[str] = set()
    found: dict[Key, str] = {}
    for key in sorted(wanted, key=lambda key: _plain(wanted[key]) != wanted[key]):  # as they are
        name, stem, tries = wanted[key], _plain(wanted[key]), 0
        while len(stem.encode()) > LONGEST_BYTES or not taken.isdisjoint(_files(stem, endings)):
            stem = _told_apart(name, tries)
            tries += 1
        taken.update(_files(stem, endings))
        found[key] = stem
    return {key: found[key] for key in wanted}


def _plain(name: str) -> str:
    return "".join("_" if c in RESERVED or not c.isprintable() else c for c in name)


def _told_apart(name: str, tries: int) -> str:
    """The name, shortened where it must be, with a hash of it, or of it and a number."""
    hashed = name if tries == 0 else f"{name}\n{tries}"
    digest = hashlib.sha256(hashed.encode(errors="surrogatepass")).hexdigest()
    short = _plain(name).encode()[: LONGEST_BYTES - HASH_DIGITS - 1].decode(errors="ignore")
    return f"{short}-{digest[:HASH_DIGITS]}"


def _files(stem: str, endings: Sequence[str]) -> list[str]:
    return [unicodedata.normalize("NFC", stem + ending).casefold() for ending in endings]
