"""A seeded part of ``make fuzz``, and that it finds what is planted."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from fuzz import mutators, readers
from knightlite.container import CFG_MAGIC, read_sections
from knightlite.errors import FormatError
from made_once import MadeOnce

INPUTS = 1500


@pytest.fixture(scope="module")
def chain(made_once: MadeOnce) -> Path:
    return made_once.folder("fuzzed_chain", readers.make_chain)


def test_mutated_inputs_are_read_or_refused_in_a_sentence(chain: Path) -> None:
    found, fed = readers.fuzz(chain, seed=7, count=INPUTS)
    assert found.counts == {}
    assert len(fed) >= 23
    assert min(fed.values()) >= INPUTS // len(fed)


def test_what_is_planted_is_found(chain: Path, tmp_path: Path) -> None:
    """An internal error, a sentence of two lines, and a reader that does not come back."""

    def breaks(path: Path) -> object:
        return dict[str, str]()["missing"]

    def wraps(path: Path) -> object:
        raise FormatError("one line\nand another")

    def sleeps(path: Path) -> object:
        while True:
            pass

    found = readers.Found()
    for name, read in (("breaks", breaks), ("wraps", wraps), ("sleeps", sleeps)):
        target = readers.Target(name, "f", b"", read, ())
        readers.feed(target, b"x", tmp_path, found, hang_s=0.05)
    kinds = sorted(found.counts)
    assert kinds[0].startswith("breaks: KeyError at ")
    assert kinds[1:] == ["sleeps: over 0.05 s", "wraps: sentence 'one line\\nand another'"]


@pytest.mark.parametrize(
    ("mutate", "name"),
    [(mutators.protobuf, "onnx"), (mutators.json_text, "manifest"), (mutators.png, "PNG")],
)
def test_mutants_differ_and_are_repeatable(
    chain: Path, mutate: Callable[[bytes, random.Random], bytes], name: str
) -> None:
    seed = {item.name: item for item in readers.targets(chain)}[name].seed
    first = [mutate(seed, random.Random(number)) for number in range(50)]
    assert first == [mutate(seed, random.Random(number)) for number in range(50)]
    assert len({*first}) > 25


def test_checksums_are_repaired(chain: Path) -> None:
    """Mutated files pass the checks of their container: the readers behind it are reached."""
    seed = {item.name: item for item in readers.targets(chain)}["cfg"].seed
    for number in range(50):
        made = mutators.compiled(seed, random.Random(number))
        assert read_sections(CFG_MAGIC, made, "a.cfg") != {}
