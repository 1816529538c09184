"""Containers of a walk that can be brought back: what was changed since, and nothing else.

Copies of all that a network has become so far, one for every node, would take a time that grows
with the square of its size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, SupportsIndex, TypeVar

Key = TypeVar("Key")
Item = TypeVar("Item")
Log = list[Callable[[], None]]
"""What undoes each change, in the order of the changes."""


class LoggedDict(dict[Key, Item]):
    """A dictionary that notes what undoes each change. Keys keep their order."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def __setitem__(self, key: Key, value: Item) -> None:
        """Set an item; undone, a new one is the last to go."""
        put = super().__setitem__
        if key in self:
            old = self[key]
            self._log.append(lambda: put(key, old))
        else:
            remove = super().__delitem__
            self._log.append(lambda: remove(key))
        put(key, value)

    def update(self, *given: Any, **named: Any) -> None:
        """Set items one by one."""
        for key, value in dict(*given, **named).items():
            self[key] = value

    def pop(self, key: Key, *default: Any) -> Any:
        """Take an item out, which is seldom: all are noted, for their order."""
        if key in self:
            self._note_all()
        return super().pop(key, *default)

    def __delitem__(self, key: Key) -> None:
        """As :meth:`pop`."""
        self.pop(key)

    def _note_all(self) -> None:
        before, clear, update = dict(self), super().clear, super().update

        def undo() -> None:
            clear()
            update(before)

        self._log.append(undo)


class LoggedList(list[Item]):
    """A list that notes what undoes each change but for what is appended, which can be cut off."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def _note_all(self) -> None:
        before, put = self[:], super().__setitem__
        self._log.append(lambda: put(slice(None), before))

    def __setitem__(self, place: Any, value: Any) -> None:
        """Replace items."""
        self._note_all()
        super().__setitem__(place, value)

    def __delitem__(self, place: SupportsIndex | slice) -> None:
        """Take items out."""
        self._note_all()
        super().__delitem__(place)

    def insert(self, place: SupportsIndex, item: Item) -> None:
        """Put an item in front of another one."""
        self._note_all()
        super().insert(place, item)

    def remove(self, item: Item) -> None:
        """Take an item out."""
        self._note_all()
        super().remove(item)

    def pop(self, place: SupportsIndex = -1) -> Item:
        """Take an item out."""
        self._note_all()
        return super().pop(place)

    def cut(self, count: int) -> None:
        """Undo what was appended behind ``count`` items."""
        super().__delitem__(slice(count, None))


def bring_back(log: Log, count: int, lists: Iterable[tuple[LoggedList[Any], int]]) -> None:
    """Undo all changes but the first ``count``; ``lists``: how long each was then."""
    while len(log) > count:
        log.pop()()
    for items, length in lists:
        items.cut(length)
