"""Chip files: every shipped one parses; each kind of mistake is one sentence, several at once."""

from __future__ import annotations

import random
import re
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from conformance_checks import build, random_inputs, reference, run
from knightlite import dtypes
from knightlite.chip import Chip, Evidence, facts_digest
from knightlite.chip_files import SOURCES, families, find, parse
from knightlite.datafiles import chips_folder
from knightlite.errors import CapacityError, FormatError, UnsupportedError, UsageError
from knightlite.ir import Graph
from knightlite.isa import ALL_INSTRUCTIONS, Space, layout
from knightlite.isa.chip_limits import addresses
from knightlite.json_records import LARGEST_WHOLE
from knightlite.preprocess import load_recipe
from knightlite.profiler import perfetto_trace, profile, profile_json, profile_text
from quantized_nets import QuantizedNet

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
    """12.8 GB/s at 70 % and 500 MHz are 17.92 bytes a cycle."""
    chip = replace(find("TX5368AV200").chip, ddr_efficiency_percent=70)
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
    start, end = lines.index("[values]") + 1, lines.index("[evidence]")
    turned = [*lines[:start], *reversed(lines[start:end]), *lines[end:]]
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


def test_a_recipe_is_not_taken_for_a_chip_file(tmp_path: Path) -> None:
    """Both end in .toml: what they hold tells them apart."""
    (tmp_path / "boards.toml").write_text('family = "boards"\n', encoding="utf-8")
    (tmp_path / "boars.toml").write_text('resize = "none"\n', encoding="utf-8")
    for read, near in ((find, "boards.toml"), (load_recipe, "boars.toml")):
        with pytest.raises(UsageError) as caught:
            read(str(tmp_path / "board.toml"))
        assert caught.value.hint.startswith(f"did you mean {tmp_path / near}? ")


def test_chip_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        find("TX9999")
    assert caught.value.sentence == "chip TX9999 is not known."
    assert caught.value.hint.startswith(f"one of {families()[0].names[0]}, ")
    assert caught.value.hint.endswith(
        "`knightlite chips` lists them; a chip of your own is a file NAME.toml"
    )
    (tmp_path / "folder.toml").mkdir()
    for name, what in (("no.toml", "does not exist"), ("folder.toml", "is a folder, not a file")):
        with pytest.raises(UsageError) as caught:
            find(str(tmp_path / name))
        assert caught.value.sentence == f"chip file {tmp_path / name} {what}."


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
         "clock_hz: source must be one of stated, inferred, fitted, modelled, not guessed."),
        ('clock_hz = { value = 1, source = "stated", unit = "Hz" }',
         "clock_hz may only have value, source and note."),
        ('fspm_align_bytes = { value = 2, source = "stated" }',
         "fspm_align_bytes must be a whole number of at least 4 that is a power of 2, not 2."),
        ('ddr_efficiency_percent = { value = 101, source = "stated" }',
         "ddr_efficiency_percent must be a whole number from 1 to 100, not 101."),
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


EVIDENCE = """
[evidence]
error_percent = 9
board = "B"
networks = ["n"]
schedule_level = 1
operators = []
"""


def test_evidence_may_be_left_out() -> None:
    text = shipped().split("[evidence]")[0]
    assert parse(text, "x.toml").evidence is None
    assert parse(text + EVIDENCE, "x.toml").evidence == Evidence(9, "B", ("n",), 1, ())


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("error_percent = 0",
         "evidence.error_percent must be a whole number from 1 to 100, not 0."),
        ('networks = []', "evidence.networks must be a list that is not empty, not a list of 0."),
        ("board = 5", "evidence.board must be a text, not 5."),
        ("", "evidence.board must be a text, not absent."),
    ],
)  # fmt: skip
def test_evidence_that_makes_no_sense(line: str, wanted: str) -> None:
    key = line.split(" ")[0] or "board"
    text = shipped().split("[evidence]")[0] + re.sub(rf"(?m)^{key} = .*$", line, EVIDENCE)
    assert sentences(text) == [wanted]


def test_a_figure_of_boards_that_is_missing_says_where_it_comes_from() -> None:
    text = re.sub(r"(?m)^(groups_per_block|clock_hz) = .*\n", "", shipped())
    with pytest.raises(FormatError) as caught:
        parse(text, "x.toml")
    assert [(item.sentence, item.hint) for item in caught.value.findings] == [
        ("value clock_hz is missing.", ""),
        ("value groups_per_block is missing.",
         "it is fitted to latencies of boards: docs/clock.md; TX5368AV200 shows it in `chips`"),
    ]  # fmt: skip


@pytest.mark.parametrize("fact", [item.name for item in fields(Chip)])
def test_what_no_data_sheet_says_is_what_shipped_files_have_from_boards(fact: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse(re.sub(rf"(?m)^{fact} = .*\n", "", shipped()), "x.toml")
    (finding,) = caught.value.findings
    fitted = any(family.provenance[fact].source == "fitted" for family in families())
    assert finding.sentence == f"value {fact} is missing."
    assert bool(finding.hint) == fitted


# ------------------------------------------------------------------ facts against instructions

SIZES = {"fspm_bytes": 1 << 24, "wspm_bytes": 1 << 24, "mspm_bytes": 1 << 20, "ddr_bytes": 1 << 40}


def with_value(name: str, value: int) -> str:
    return with_line(name, f'{name} = {{ value = {value}, source = "modelled" }}')


@pytest.mark.parametrize(
    ("name", "value", "wanted", "hint"),
    [
        ("fspm_bytes", (1 << 24) + 1,
         "fspm_bytes must be at most 16777216, not 16777217: instructions address FSPM with 24 "
         "bits.", "write 16777216: no instruction reaches more"),
        ("wspm_bytes", 1 << 26,
         "wspm_bytes must be at most 16777216, not 67108864: instructions address WSPM with 24 "
         "bits.", "write 16777216: no instruction reaches more"),
        ("mspm_bytes", 1 << 24,
         "mspm_bytes must be at most 1048576, not 16777216: instructions address MSPM with 20 "
         "bits.", "write 1048576: no instruction reaches more"),
        ("ddr_bytes", 1 << 41,
         "ddr_bytes must be at most 1099511627776, not 2199023255552: instructions address DDR "
         "with 40 bits.", "write 1099511627776: no instruction reaches more"),
        ("mspm_align_bytes", 4,
         "mspm_align_bytes must be at least 8, not 4: instructions find what lies in MSPM at "
         "multiples of 8 bytes.", "write 8, or a larger power of 2"),
        ("fspm_align_bytes", 4,
         "fspm_align_bytes must be at least 8, not 4: instructions find what lies in FSPM at "
         "multiples of 8 bytes.", "write 8, or a larger power of 2"),
        ("wspm_align_bytes", 1 << 19,
         "wspm_align_bytes must be at most wspm_bytes, 294912, not 524288.",
         "write a smaller power of 2: nothing but address 0 is a multiple of this one"),
    ],
)  # fmt: skip
def test_a_fact_that_instructions_cannot_live_with(
    name: str, value: int, wanted: str, hint: str
) -> None:
    with pytest.raises(FormatError) as caught:
        parse(with_value(name, value), "my.toml")
    assert [(item.sentence, item.hint) for item in caught.value.findings] == [(wanted, hint)]
    assert caught.value.hint == hint
    if name in SIZES:
        assert getattr(parse(with_value(name, SIZES[name]), "").chip, name) == SIZES[name]


def test_facts_and_fields_are_judged_together() -> None:
    text = with_value("fspm_bytes", 1 << 30)
    text = re.sub("(?m)^(mspm_bytes = .*value =) [0-9_]+", r"\1 0", text)
    text = re.sub("(?m)^(mspm_align_bytes = .*value =) [0-9]+", r"\1 4", text)
    found = sentences(re.sub(r"(?m)^clock_hz = .*$", "", text))
    assert [sentence.split(":")[0] for sentence in found] == [
        "value clock_hz is missing.",
        "mspm_bytes must be a whole number of at least 1, not 0.",
        "fspm_bytes must be at most 16777216, not 1073741824",
        "mspm_align_bytes must be at least 8, not 4",
    ]


def test_every_address_says_where_it_lies() -> None:
    """A field that is called an address names a memory, and the doc names the same one."""
    for record in ALL_INSTRUCTIONS:
        for item in layout(record):
            assert item.name.endswith("_address") == bool(item.spaces), item.name
            if len(item.spaces) == 1:
                assert item.spaces[0].name in item.doc
    assert [min(item.width for item in addresses(space)) for space in Space] == [40, 24, 24, 20]


def small() -> Graph:
    """Both widths, parameters behind tables of both, a chain, and layers that only move."""
    net = QuantizedNet()
    x = net.input("x", 20, 4, 3)
    c = net.conv(net.affine(x, "t"), "c", 33, (3, 3), pads=(1, 1, 1, 1))
    f = net.conv(net.table(c, "f"), "d", 5, weight_type=np.int16, dtype=dtypes.S16, scale=2e-4)
    last = net.conv(net.table(f, "g"), "y", 9)
    return net.build(last, net.max_pool(c, "p"))


SMALL = small()
PICTURE = random_inputs(SMALL, np.random.default_rng(1))
WANTED = reference(SMALL, PICTURE)
REFUSAL = re.compile(
    r"needs (\d+) bytes of .*, the chip (?:has|gives) (\d+)"
    r"|takes (\d+) (?:bytes of the|cycles, a \.cfg counts up to) (\d+)"
)


def outcome(name: str, value: int) -> str:
    """What becomes of a chip file with this value: a true refusal, or a program that runs."""
    try:
        family = parse(with_value(name, value), "my.toml")
    except FormatError as error:
        sentences = [item.sentence for item in error.findings]
        return "refused" if all(name in sentence for sentence in sentences) else str(sentences)
    try:
        built = build(SMALL, family)
    except (CapacityError, UnsupportedError) as error:
        told = REFUSAL.search(error.sentence)
        need, have = (int(number) for number in told.groups() if number) if told else (0, 0)
        return "too small" if need > have else error.sentence
    found = run(built, PICTURE)
    assert all(found[item].tobytes() == WANTED[item].tobytes() for item in ("y", "p"))
    times = profile(built.program)
    assert all((profile_text(times), profile_json(times), perfetto_trace(times)))
    return "runs"


@pytest.mark.parametrize("name", NUMBERS)
def test_any_value_is_refused_when_read_or_runs(name: str) -> None:
    """A chip file that is taken makes programs that the machine takes, or compile says why not."""
    usual, rng = getattr(find("TX5368AV200").chip, name), random.Random(name)
    values = {1, 3, 4, 8, usual - 1, usual + 1, 2 * usual, rng.randrange(9, 99), 1 << 20}
    values |= {rng.randrange(1 << 12, 1 << 20), 1 << 24, (1 << 24) + 8, 1 << 40, LARGEST_WHOLE}
    found = {outcome(name, value) for value in values}
    assert {"runs"} <= found <= {"runs", "refused", "too small"}
