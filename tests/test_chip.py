"""Chip files: every shipped one parses; each kind of mistake is one sentence, several at once."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from pathlib import Path

import pytest

from knightlite.chip import SOURCES, Chip, facts_digest, families, find, parse
from knightlite.datafiles import chips_folder
from knightlite.errors import FormatError, UsageError

PATHS = sorted(chips_folder().glob("*.toml"))
FACTS = [field.name for field in fields(Chip)]
NUMBERS = [name for name in FACTS if name != "bit_widths"]


def shipped(name: str = "tx5368.toml") -> str:
    return (chips_folder() / name).read_text(encoding="utf-8")


def sentences(text: str) -> list[str]:
    """What is wrong with a chip file called my.toml, finding by finding."""
    with pytest.raises(FormatError) as caught:
        parse(text, "my.toml")
    error = caught.value
    if not error.findings:
        return [error.sentence]
    first = error.findings[0]
    assert {finding.where for finding in error.findings} == {"my.toml"}
    assert error.sentence == f"chip file my.toml is not usable: {first.sentence}"
    return [finding.sentence for finding in error.findings]


def with_line(name: str, line: str) -> str:
    """TX5368's file with the line of one key replaced."""
    text, count = re.subn(rf"(?m)^{name} = .*$", lambda _: line, shipped())
    assert count == 1
    return text


# ------------------------------------------------------------------ what ships


def test_families_are_those_of_the_folder() -> None:
    assert [family.family.lower() for family in families()] == [path.stem for path in PATHS]
    assert len(PATHS) >= 3
    names = [name for family in families() for name in family.names]
    assert len(set(names)) == len(names)
    facts = {repr(family.chip) for family in families()}  # two families may share all facts
    assert len({family.digest for family in families()}) == len(facts)
    assert {"TX5368AV200", "TX5112CV201"} <= set(names)
    assert any(name.startswith("TX510") for name in names)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_shipped_chip(path: Path) -> None:
    family = parse(path.read_text(encoding="utf-8"), path.name)
    for name in family.names:
        assert find(name) == family
    assert set(family.provenance) == set(FACTS)
    assert {item.source for item in family.provenance.values()} <= set(SOURCES)
    assert family.digest == facts_digest(family.chip)
    chip = family.chip
    for size, step in (
        (chip.fspm_bytes, chip.fspm_align_bytes),
        (chip.wspm_bytes, chip.wspm_align_bytes),
        (chip.mspm_bytes, chip.mspm_align_bytes),
        (chip.ddr_bytes, chip.ddr_align_bytes),
    ):
        assert size % step == 0
        assert step & (step - 1) == 0
    assert chip.peak_macs_per_cycle == chip.matrix_input_lanes * chip.matrix_output_lanes
    assert chip.fspm_bytes_per_cycle == chip.fspm_banks * chip.fspm_bank_bytes_per_cycle


def test_ddr_cycles_round_up() -> None:
    """TX5368: 12.8 GB/s at 70 % and 500 MHz are 17.92 bytes a cycle."""
    chip = find("TX5368AV200").chip
    assert [chip.ddr_cycles(size) for size in (0, 1, 17, 18, 1792, 1793)] == [0, 1, 1, 2, 100, 101]


def test_digest_changes_with_every_fact() -> None:
    chip = find("TX5368AV200").chip
    digests = {facts_digest(chip)}
    digests |= {facts_digest(replace(chip, **{name: getattr(chip, name) + 1})) for name in NUMBERS}
    digests.add(facts_digest(replace(chip, bit_widths=(8,))))
    assert len(digests) == len(FACTS) + 1


def test_digest_is_of_the_facts_only() -> None:
    """Neither comments nor notes nor the order of lines make another chip."""
    lines = shipped().splitlines()
    start = lines.index("[values]") + 1
    turned = [*lines[:start], *reversed(lines[start:])]
    text = re.sub(r', note = "[^"]*"', "", "\n".join(turned))
    assert text != shipped()
    assert parse(text, "my.toml").digest == find("TX5368AV200").digest


# ------------------------------------------------------------------ the user's own


def test_own_chip(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    line = 'fspm_bytes = { value = 1_048_576, source = "modelled" }'
    path.write_text(with_line("fspm_bytes", line), encoding="utf-8")
    family = find(str(path))
    assert family.chip == replace(find("TX5368AV200").chip, fspm_bytes=1 << 20)
    assert family.digest != find("TX5368AV200").digest
    assert family.provenance["fspm_bytes"].note == ""


def test_chip_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        find("TX9999")
    assert caught.value.sentence == "chip TX9999 is not known."
    known = ", ".join(name for family in families() for name in family.names)
    assert caught.value.hint == f"one of {known}, or your own chip file NAME.toml"
    (tmp_path / "folder.toml").mkdir()
    for path in (tmp_path / "no.toml", tmp_path / "folder.toml"):
        with pytest.raises(UsageError) as caught:
            find(str(path))
        assert caught.value.sentence == f"chip file {path} does not exist."


def test_file_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(b"format = 1\n\xff\xfe")
    with pytest.raises(FormatError) as caught:
        find(str(path))
    assert caught.value.sentence == f"chip file {path} is not valid TOML: it is not UTF-8 text."


# ------------------------------------------------------------------ mistakes


def test_not_toml() -> None:
    (found,) = sentences("format = = 1")
    assert re.fullmatch(r"chip file my\.toml is not valid TOML: .*line 1, column 10.*\.", found)


def test_other_format() -> None:
    (found,) = sentences(shipped().replace("format = 1", "format = 2"))
    assert found == "chip file my.toml has format 2, not 1."


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ("format = 1", "", "key format must be present and of type int."),
        ('family = "TX5368"', "family = 5368", "key family must be present and of type str."),
        ("names = [", "name = [", "key names must be present and of type list."),
        ("[values]", "[value]", "key values must be present and of type dict."),
    ],
)
def test_top_level_mistakes(old: str, new: str, wanted: str) -> None:
    assert old in shipped()
    assert sentences(shipped().replace(old, new))[0] == wanted


@pytest.mark.parametrize("names", ["[]", '["A", 1]'])
def test_names_must_be_names(names: str) -> None:
    text = re.sub(r"(?m)^names = .*$", f"names = {names}", shipped())
    assert sentences(text) == ["names must be a list of chip names."]


@pytest.mark.parametrize("name", FACTS)
def test_every_fact_is_required(name: str) -> None:
    assert sentences(with_line(name, "")) == [f"value {name} is missing."]


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ('clock_hz = { value = 0, source = "stated" }',
         "clock_hz must be a whole number of at least 1, not 0."),
        ('clock_hz = { value = -5, source = "stated" }',
         "clock_hz must be a whole number of at least 1, not -5."),
        ('clock_hz = { value = 5e8, source = "stated" }',
         "clock_hz must be a whole number of at least 1, not 500000000.0."),
        ('clock_hz = { value = true, source = "stated" }',
         "clock_hz must be a whole number of at least 1, not true."),
        ('clock_hz = { value = "500 MHz", source = "stated" }',
         'clock_hz must be a whole number of at least 1, not "500 MHz".'),
        ('clock_hz = 500_000_000', "clock_hz must be a table with value, source and note."),
        ('clock_hz = { value = 1 }', "clock_hz must be a table with value, source and note."),
        ('clock_hz = { source = "stated" }',
         "clock_hz must be a table with value, source and note."),
        ('clock_hz = { value = 1, source = "guessed" }',
         "clock_hz: source must be one of stated, inferred, modelled, not guessed."),
        ('clock_hz = { value = 1, source = "stated", unit = "Hz" }',
         "clock_hz may only have value, source and note."),
        ('fspm_align_bytes = { value = 2, source = "stated" }',
         "fspm_align_bytes must be a whole number of at least 4 that is a power of 2, not 2."),
        ('wspm_align_bytes = { value = 48, source = "stated" }',
         "wspm_align_bytes must be a whole number of at least 4 that is a power of 2, not 48."),
        ('bit_widths = { value = [8, 12], source = "stated" }',
         "bit_widths[1] must be one of 8, 16, not 12."),
        ('bit_widths = { value = [], source = "stated" }',
         "bit_widths must be a list that is not empty, not a list of 0."),
        ('bit_widths = { value = [[8]], source = "stated" }',
         "bit_widths[0] must be one of 8, 16, not a list of 1."),
        ('bit_widths = { value = [8.0], source = "stated" }',
         "bit_widths[0] must be one of 8, 16, not 8.0."),
        ('bit_widths = { value = 8, source = "stated" }',
         "bit_widths must be a list that is not empty, not 8."),
    ],
)  # fmt: skip
def test_a_value_that_makes_no_sense(line: str, wanted: str) -> None:
    assert sentences(with_line(line.split()[0], line)) == [wanted]


def test_all_mistakes_at_once() -> None:
    text = with_line("clock_hz", 'clock_mhz = { value = 500, source = "stated" }')
    text = text.replace('fspm_banks = { value = 8, source = "modelled" }', "fspm_banks = 8")
    text = re.sub(r"(?m)^names = .*$", "names = []", text)
    assert sentences(text) == [
        "unknown value clock_mhz.",
        "value clock_hz is missing.",
        "fspm_banks must be a table with value, source and note.",
        "names must be a list of chip names.",
    ]
    text = shipped().replace("format = 1", "").replace("family", "Family")
    assert sentences(text) == [
        "key format must be present and of type int.",
        "key family must be present and of type str.",
        "unknown key Family.",
    ]
