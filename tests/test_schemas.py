"""The published JSON schemas hold for what the program writes and prints, and refuse other values.

The schemas allow no key that they do not name, so a new one is published too.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from assembled import RCCN, RDMA, WDMA, load, program, small_matrix, store
from knightlite.api.exploration import Exploration
from knightlite.cli.program import run
from knightlite.container import Description, WeightDescription
from knightlite.isa import Space
from knightlite.json_records import to_json
from knightlite.options import commands, options_of
from knightlite.profiler import profile, profile_json
from perfetto_reader import read_trace
from record_schemas import definitions
from record_values import records

Capture = pytest.CaptureFixture[str]
FOLDER = Path(__file__).parent.parent / "schemas"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))
STEM = "digits_quantize"


def schema(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def complaints(name: str, value: Any) -> list[str]:
    """What a schema finds wrong: where, and what."""
    validator = Draft202012Validator(schema(name))
    return [f"{item.json_path}: {item.message}" for item in validator.iter_errors(value)]


@pytest.mark.parametrize("name", NAMES)
def test_schema_is_one(name: str) -> None:
    Draft202012Validator.check_schema(schema(name))


def test_the_page_on_formats_names_them_all() -> None:
    text = (FOLDER.parent / "docs" / "formats.md").read_text(encoding="utf-8")
    assert [name for name in NAMES if f"schemas/{name}.json" not in text] == []


# ------------------------------------------------------------------ what records say

RECORDS = {"cfg": Description, "weight": WeightDescription}


def test_inspect_describes_the_records(request: pytest.FixtureRequest) -> None:
    """``meta`` follows the frozen records, to the last key: ``--update-golden`` writes it."""
    found = schema("inspect")
    found["properties"]["meta"] = {
        "anyOf": [{"$ref": f"#/$defs/{kind.__name__}"} for kind in RECORDS.values()],
        "description": "docs/formats.md",
    }
    found["allOf"] = [
        {
            "if": {"properties": {"kind": {"const": name}}},
            "then": {"properties": {"meta": {"$ref": f"#/$defs/{kind.__name__}"}}},
        }
        for name, kind in RECORDS.items()
    ]
    found["$defs"] = definitions(*RECORDS.values())
    if request.config.getoption("--update-golden"):
        text = json.dumps(found, indent=2) + "\n"
        (FOLDER / "inspect.json").write_text(text, encoding="utf-8")
    assert schema("inspect") == found, "pytest --update-golden writes the schema anew"


def test_explore_describes_the_records(request: pytest.FixtureRequest) -> None:
    """So does what ``explore`` leaves."""
    known = definitions(Exploration)
    found = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "explore.json, which explore --json prints",
        **known.pop("Exploration"),
        "$defs": known,
    }
    found["properties"] |= {"schema": {"const": "knightlite.explore/1"}}
    if request.config.getoption("--update-golden"):
        text = json.dumps(found, indent=2) + "\n"
        (FOLDER / "explore.json").write_text(text, encoding="utf-8")
    assert schema("explore") == found, "pytest --update-golden writes the schema anew"


@settings(max_examples=25)
@given(st.data())
@pytest.mark.parametrize("kind", RECORDS)
def test_random_records_are_as_inspect_says(kind: str, data: st.DataObject) -> None:
    meta = to_json(data.draw(records(RECORDS[kind])))
    value = {
        "schema": "knightlite.inspect/1", "file": "f", "kind": kind, "meta": meta,
        "bytes": {"code": 0},
    }  # fmt: skip
    assert complaints("inspect", value) == []
    key = data.draw(st.sampled_from(sorted(meta)))
    wrong = {**meta, key: {"no": "such"}} if data.draw(st.booleans()) else {**meta, "more": 1}
    assert complaints("inspect", {**value, "meta": wrong}) != []


# ------------------------------------------------------------------ what the commands print

COMMANDS: list[tuple[str, list[str]]] = [
    ("quant", ["quant", "-m", "digits.onnx", "-d", "calib", "--recipe", "digits", "-i", "2"]),
    ("quant", ["quant", "-m", "digits.onnx", "-r", "convert", "-s", "out"]),
    ("quant", ["quant", "-m", "digits.onnx", "-r", "infer"]),
    ("compile", ["compile"]),
    ("compile", ["compile", "--explain-memory"]),
    ("compile", ["compile", "--explain-memory", "--opt-group", "0"]),
    ("sim", ["sim", "--input", "inputs/x.bin", "--check", "--labels", "labels.txt"]),
    ("sim", ["sim", "--input", "inputs/x.bin"]),
    ("profile", ["profile"]),
    ("profile", ["profile", "--set", "clock_hz=8e8", "-mbw", "5", "-bu", "1"]),
    ("check", ["check", "-m", "digits.onnx"]),
    ("check", ["check", "-m", "digits.onnx", "--chip", "all"]),
    ("compare", ["compare"]),
    ("compare", ["compare", "-sl", "6"]),
    ("diagnose", ["diagnose"]),
    ("diagnose", ["diagnose", "-d", "calib", "--recipe", "raw", "-i", "4"]),
    ("eval", ["eval", "--data", "calib", "-j", "1"]),
    ("eval", ["eval", f"{STEM}.onnx", "--data", "calib/3", "-j", "1"]),
    ("model_info", ["model_info", "-m", f"{STEM}.onnx"]),
    ("model_info", ["model_info", "-m", f"{STEM}_r.tsmodel"]),
    ("inspect", ["inspect", f"{STEM}_r.cfg"]),
    ("inspect", ["inspect", f"{STEM}_r.weight"]),
    ("explain", ["explain"]),
    ("chips", ["chips"]),
    ("chips", ["chips", "TX5105C"]),
    ("chips", ["chips", "TX5105C", "--ops"]),
    ("explore", ["explore", "-m", f"{STEM}.onnx", "no.onnx", "--chips", "TX5368AV200"]),
    (
        "explore",
        [
            "explore", "-m", "digits.onnx", "--set", "vector_lanes=0,8", "-j", "1",
            "-d", "calib", "--recipe", "digits", "-i", "2", "--chip", "TX5112CV201",
        ],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "arguments"), COMMANDS, ids=lambda item: str(item)[:60])
def test_output(here: Path, capsys: Capture, name: str, arguments: list[str]) -> None:
    assert run([*arguments, "--json"]) == 0
    assert complaints(name, json.loads(capsys.readouterr().out)) == []


def test_every_command_with_json_has_a_schema() -> None:
    records = commands.RECORDS.items()
    for name in (name for name, record in records if "as_json" in options_of(record)):
        number = 2 if name == "sim" else 1
        assert schema(name)["properties"]["schema"] == {"const": f"knightlite.{name}/{number}"}
    assert {name for name, _ in COMMANDS} | {"manifest", "show_sim_result"} == set(NAMES)


def test_files(here: Path, capsys: Capture) -> None:
    assert run(["profile"]) == 0
    for name, path in (
        ("profile", f"{STEM}_r.profile.json"),
        ("manifest", "knightlite.json"),
    ):
        assert complaints(name, json.loads(Path(path).read_text(encoding="utf-8"))) == []
    assert read_trace(Path(f"{STEM}_r.pftrace").read_bytes()).slices


def test_results(here: Path, capsys: Capture) -> None:
    assert run(["sim", "--input", "inputs/x.bin", "-s", "results"]) == 0
    capsys.readouterr()
    assert run(["show_sim_result", "-sd", "results", "--json"]) == 0
    assert complaints("show_sim_result", json.loads(capsys.readouterr().out)) == []
    assert run(["compare", "-sd", "results", "-s", "results"]) == 0
    text = Path("results/compare.json").read_text(encoding="utf-8")
    assert complaints("compare", json.loads(text)) == []


# ------------------------------------------------------------------ planted faults are seen


def small() -> Any:
    code = [
        load(Space.FSPM, 0, 2560, signal=RCCN),
        small_matrix(layer=1, wait=RDMA, signal=WDMA),
        store(1024, 4096, 16, layer=2, wait=RCCN),
    ]
    return profile(program(code, layers=("in", "conv", "out"), fspm_peak=[1, 2, 3]))


@pytest.mark.parametrize(
    ("plant", "said"),
    [
        (lambda v: v.update(cycles=-1), "$.cycles: -1 is less than the minimum of 0"),
        (lambda v: v.pop("latency_ms"), "$: 'latency_ms' is a required property"),
        (lambda v: v.update(extra=1), "$: Additional properties are not allowed"),
        (lambda v: v.update(schema="x"), "$.schema: 'knightlite.profile/1' was expected"),
        (lambda v: v["layers"][0].update(bound="luck"), "$.layers[0].bound: 'luck' is not one of"),
    ],
)
def test_planted_faults_in_a_profile(plant: Callable[[Any], None], said: str) -> None:
    value = json.loads(profile_json(small()))
    assert complaints("profile", value) == []
    plant(value)
    (found,) = complaints("profile", value)
    assert found.startswith(said)
