"""What a walk changed is undone, exactly and with keys in their order; reading stays linear."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from knightlite.frontend import load
from knightlite.frontend.importer import Importer
from knightlite.frontend.undoing import Log, LoggedDict, LoggedList, bring_back
from test_recurrent import recurrent


def change(rng: random.Random, known: LoggedDict[int, int], items: LoggedList[int]) -> None:
    """One of the changes that handlers make."""
    key, value = rng.randrange(9), rng.randrange(100)
    match rng.randrange(9):
        case 0 | 1:
            known[key] = value
        case 2:
            known.pop(key, None)
        case 3:
            known.update({key: value, value: key})
        case 4 | 5:
            items.append(value)
        case 6:
            items[:] = [item + 1 for item in items]
        case 7 if items:
            items.remove(rng.choice(items))
        case _:
            items.insert(0, value)


@pytest.mark.parametrize("seed", range(40))
def test_all_is_as_it_was(seed: int) -> None:
    """Marks within marks, undone from the inside out, some of them twice."""
    rng = random.Random(seed)
    log: Log = []
    known: LoggedDict[int, int] = LoggedDict(log)
    items: LoggedList[int] = LoggedList(log)
    marks: list[tuple[int, int, Any]] = []
    for _ in range(60):
        if rng.random() < 0.2:
            marks.append((len(log), len(items), (list(known.items()), list(items))))
        if marks and rng.random() < 0.15:
            count, length, wanted = marks[-1] if rng.random() < 0.5 else marks.pop()
            bring_back(log, count, [(items, length)])
            assert (list(known.items()), list(items)) == wanted
        change(rng, known, items)
    while marks:
        count, length, wanted = marks.pop()
        bring_back(log, count, [(items, length)])
        assert (list(known.items()), list(items)) == wanted


def test_marks_copy_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network of many steps: what marks note does not grow with what was there before."""
    noted: list[int] = []
    mark = Importer.mark

    def watched(state: Importer) -> Any:
        noted.append(len(state._log))
        return mark(state)

    monkeypatch.setattr(Importer, "mark", watched)
    for steps in (20, 40):
        net, outputs = recurrent("LSTM", steps=steps)
        noted.clear()
        graph = load(net.save(tmp_path, outputs[0]))
        assert noted[-1] < 8 * len(graph.nodes)
