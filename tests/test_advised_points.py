"""What advice compiles and quantizes again, word by word, and what it says of the rest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from knightlite.api.advising import points, trying
from knightlite.api.advising.commands import Outcome, _sentence
from knightlite.api.advising.points import Trial, trials
from knightlite.api.advising.source import Source, source_of
from knightlite.chip import Provenance
from knightlite.chip_files import find
from knightlite.errors import UsageError
from knightlite.talk import Talk
from knightlite.workspace import hashed, open_workspace, record

OWN, OTHER = find("TX5368AV200"), find("TX5112CV201")
NO_SIZE = "Another input size: not tried, it was not chosen with -is"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("n.onnx").write_text("float")
    Path("n_quantize.onnx").write_text("quantized")


def program(level: int = 0, inputs: Any = ((1, 3, 96, 160),), chip: str = OWN.names[0]) -> Any:
    """What advice looks at of a compiled network: two of its tensors have 16 bits."""
    meta = SimpleNamespace(
        chip=chip,
        chip_digest=OWN.digest,
        schedule_level=level,
        model_sha256=hashed(".", {"m": "n_quantize.onnx"})["m"].sha256,
        inputs=[SimpleNamespace(shape=shape) for shape in inputs],
        tensors=[SimpleNamespace(type=kind) for kind in ("s16", "s8", "s16")],
    )
    return SimpleNamespace(program=SimpleNamespace(meta=meta), cfg=Path("n_r.cfg"), sources={})


def recorded(quant: list[str], weight: bool = False, compiled: list[str] | None = None) -> Source:
    """Runs with these other words."""
    files = {"model": "n.onnx"}
    if weight:
        Path("n.w").write_text("weights")
        files["weight"] = "n.w"
    named = {"data": "pics", "recipe": "r.toml", "iteration": 7, "seed": 1}
    run = record(
        ".", "quant", OWN.names[0], {"more": quant, "source": named},
        {"onnx": "n_quantize.onnx"}, hashed(".", files),
    )  # fmt: skip
    made = record(".", "compile", OWN.names[0], {"more": compiled or []}, {}, {})
    return Source(Path("n_quantize.onnx"), "", made, run)


def tried(
    binary: Any, source: Source, chips: Any = (), assumes: bool = False
) -> tuple[list[Trial], list[str]]:
    return trials(binary, source, Path(), chips, assumes)


def test_higher_levels_with_the_other_words_of_compile() -> None:
    source = recorded([], compiled=["-s", "out", "--sparse", "--opt-group", "0", "--opt-ddr", "0"])
    made, remarks = tried(program(), source)
    begin = "--chip TX5368AV200 compile --onnx n_quantize.onnx --sparse --opt-ddr 0 --opt-group"
    assert [(item.kind, item.short, *item.shown) for item in made] == [
        ("level", "compile --opt-group 1", f"knightlite {begin} 1"),
        ("level", "compile --opt-group 2", f"knightlite {begin} 2"),
    ]
    assert [item.run for item in made] == [((*begin.split(), "1"),), ((*begin.split(), "2"),)]
    assert {item.cfg for item in made} == {"n_quantize_r.cfg"}
    assert [item.sentence for item in made] == [
        "Compile at schedule level 1: tensors stay on chip, layers are walked together",
        "Compile at schedule level 2: a search from level 1",
    ]
    assert remarks == [
        "Narrower tensors: not tried, quant was asked for 8 bits already; its report says what has "
        "16 all the same (quant --wide-tensors off)",
        NO_SIZE,
    ]
    assert [item.short for item in tried(program(1), source)[0]] == ["compile --opt-group 2"]


def test_a_chip_file_is_named_by_where_it_is() -> None:
    Path("mine.toml").touch()
    (level, _) = tried(program(chip="mine.toml"), recorded([]))[0]
    assert level.run[0][:2] == ("--chip", str(Path("mine.toml").resolve()))


def test_other_chips_of_which_something_is_public() -> None:
    other = replace(OTHER, description="small")
    same = replace(OWN, names=("ALIAS",))
    private = replace(
        OTHER,
        digest="2",
        provenance={"clock_hz": Provenance("modelled", ""), "a": Provenance("modelled", "")},
    )
    partly = replace(
        private, digest="3", names=("PARTLY", "P2"), description="it",
        provenance={"clock_hz": Provenance("modelled", ""), "a": Provenance("published", "")},
    )  # fmt: skip
    source = recorded([])
    made, remarks = tried(program(2), source, (other, same, private, partly))
    assert [(item.kind, item.sentence, item.short) for item in made] == [
        ("chip", "Compile for TX5112CV201: small", "--chip TX5112CV201 compile"),
        ("chip", "Compile for PARTLY: it", "--chip PARTLY compile"),
    ]
    assert made[0].shown == (
        "knightlite --chip TX5112CV201 compile --onnx n_quantize.onnx --opt-group 2",
    )
    assert NO_SIZE in remarks
    made, remarks = tried(program(2), source, (other,), assumes=True)
    assert (made, remarks[-1]) == ([], "Other chips: not tried, figures of this one are assumed")


def test_eight_bits_where_more_were_asked_for() -> None:
    """Calibrated without pictures, for its time alone; typed with those of the run."""
    source = recorded(["-b", "16", "-qm", "kl", "-s", "q", "-on", "a", "b", "-gp"], weight=True,
                      compiled=["--sparse"])  # fmt: skip
    (made,), remarks = tried(program(2), source)
    assert remarks == [NO_SIZE]
    assert (made.kind, made.short, made.cfg) == ("width", "quant to 8 bits", "n_quantize_r.cfg")
    assert made.sentence == "Quantize to 8 bits: 2 tensors have 16 (look at accuracy with compare)"
    compiles = "knightlite --chip TX5368AV200 compile --onnx n_quantize.onnx --sparse --opt-group 2"
    assert made.shown == (
        "knightlite --chip TX5368AV200 quant -m n.onnx -d pics --recipe r.toml -i 7 -qm kl -on a b "
        "-gp",
        compiles,
    )
    here = Path.cwd()
    assert made.run == (
        ("--chip", "TX5368AV200", "quant", "-m", f"{here}/n.onnx", "-w", f"{here}/n.w", "-on", "a",
         "b", "-gp", "-i", "1", "--effort", "low", "-s", "quantized"),
        ("--chip", "TX5368AV200", "compile", "--onnx", "quantized/n_quantize.onnx", "--sparse",
         "--opt-group", "2"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("size", "smaller"), [(63, 63), (64, 32), (96, 64), (128, 96), (160, 96), (224, 160), (1, 1)]
)
def test_three_quarters_in_whole_steps(size: int, smaller: int) -> None:
    assert points._smaller(size) == smaller


def test_a_smaller_input_where_it_was_chosen() -> None:
    source = recorded(["-is", "1", "3", "96", "160", "-b", "8"])
    made, _ = tried(program(2, ((1, 3, 96, 160), (1, 2, 8, 8))), source)
    assert [item.kind for item in made] == ["width", "size"]
    assert made[1].sentence == (
        "Take a smaller input, 64 x 96, 8 x 8 pixels (look at accuracy with eval)"
    )
    assert made[1].short == "quant -is 1 3 64 96 -is 1 2 8 8"
    assert made[1].shown[0].endswith("-i 7 -b 8 -is 1 3 64 96 -is 1 2 8 8")
    assert made[1].run[0][5:16] == (
        "-b", "8", "-is", "1", "3", "64", "96", "-is", "1", "2", "8"
    )  # fmt: skip
    made, remarks = tried(program(2, ((1, 3, 63, 8),)), recorded(["-is", "1", "3", "63", "8"]))
    assert made == []
    assert remarks[-1] == "Another input size: not tried, it is less than 64 pixels"


def test_what_nobody_knows_is_not_tried() -> None:
    model = Path("n_quantize.onnx")
    assert tried(program(2), Source(model))[1] == [
        "Narrower tensors: not tried, no record says from which float model it is", NO_SIZE
    ]  # fmt: skip
    source = recorded(["-b", "16"])
    Path("n.onnx").unlink()
    assert tried(program(2), source) == (
        [], ["Narrower tensors: not tried, n.onnx, the float model, is gone", NO_SIZE]
    )  # fmt: skip


def test_the_model_that_was_compiled() -> None:
    """By its hash: as named, or where the last record has it; with the runs that made it."""
    binary = program()
    recorded([])
    Path("n_r.cfg").write_text("cfg")
    binary.sources = hashed(".", {"cfg": "n_r.cfg"})
    model = hashed(".", {"onnx": "n_quantize.onnx"})
    record(".", "compile", "c", {"which": 1}, {"cfg": "n_r.cfg"}, model)
    record(".", "compile", "c", {"which": 2}, {"cfg": "n_r.cfg", "map": "n.onnx"}, model)
    found = source_of(binary, None, Path())
    assert (found.path, found.why) == (Path("n_quantize.onnx").resolve(), "")
    assert found.quantized is not None
    assert found.quantized.stage == "quant"
    assert found.compiled is not None
    assert found.compiled.options == {"which": 2}
    assert found.quantized == open_workspace().records[0]
    Path("moved.onnx").write_text("quantized")
    Path("n_quantize.onnx").write_text("another")
    named = source_of(binary, Path("moved.onnx"), Path())
    assert named == replace(found, path=Path("moved.onnx").resolve())
    assert source_of(binary, None, Path()) == Source(
        None,
        "n_quantize.onnx, the model that it was compiled from, has changed since: compile it "
        "again, or name the one of then with --onnx FILE",
        changed=True,
    )
    Path("n_quantize.onnx").unlink()
    assert "n_quantize.onnx, the model that it was compiled from, is gone" in (
        source_of(binary, None, Path()).why
    )
    Path("knightlite.json").unlink()
    assert source_of(binary, None, Path()).why == (
        "no record says where the model that it was compiled from is: name it with --onnx FILE"
    )
    with pytest.raises(UsageError, match=r"n\.onnx is not the model that n_r\.cfg was compiled"):
        source_of(binary, Path("n.onnx"), Path())


# ------------------------------------------------------------------ what comes of it


@pytest.mark.parametrize(("level", "explained"), [(0, "0"), (1, "1"), (2, "1")])
def test_the_highest_level_that_is_explained(level: int, explained: str) -> None:
    source = Source(Path("n_quantize.onnx"))
    Path("mine.toml").touch()
    ((*words,),) = trying._explains(program(level), source)
    assert words == ["--chip", OWN.names[0], "explain", "--onnx", "n_quantize.onnx", "--opt-group",
                     explained, "--json"]  # fmt: skip
    ((_, place, *_),) = trying._explains(program(chip="mine.toml"), source)
    assert place == str(Path("mine.toml").resolve())


def test_what_explain_printed() -> None:
    row = '{"rows": [{"node": "a", "pass": "fuse", "sentence": "b."}]}'
    assert trying._sentences(Outcome(row)) == [("a", "fuse", "b.")]
    assert trying._sentences(Outcome(None, "late")) is None


@pytest.mark.parametrize(
    ("talk", "sentence"),
    [("", "it failed without a word"), ("a\nError: one.\nError: it is.\nHint: b\n", "it is")],
)
def test_what_a_command_said_that_failed(talk: str, sentence: str) -> None:
    assert _sentence(talk) == sentence


def test_every_trial_has_its_outcome_and_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiler's words are a job too, the first, but nothing that is tried."""
    tries = [Trial("level", f"s{n}", f"t{n}", (f"type {n}",), ((f"run {n}",),), "x") for n in "ab"]
    chips: list[Any] = []
    jobs: list[Any] = []
    steps: list[tuple[str, int, int | None]] = []

    def trials(binary: Any, source: Any, directory: Any, families: Any, assumes: bool) -> Any:
        chips.extend(families)
        assert not assumes
        return tries, ["a remark"]

    def run_all(given: Any, seconds: float, done: Any) -> list[Outcome]:
        jobs.extend((item.folder.name, *item.commands) for item in given)
        for count in range(4):
            done(count)
        row = '{"rows": [{"node": "n", "pass": "p", "sentence": "s."}]}'
        return [Outcome(row), Outcome("first"), Outcome(None, "late")]

    monkeypatch.setattr(trying, "trials", trials)
    monkeypatch.setattr(trying, "run_all", run_all)
    monkeypatch.setattr(trying, "_board", lambda family: "b" if family in (None, OWN) else "c")
    monkeypatch.setattr(
        trying, "_time", lambda trial, folder, outcome, facts: (float(folder.name), outcome.why)
    )
    binary = program()
    binary.target = lambda asked: None
    found: Any = SimpleNamespace(assumed=())
    options: Any = SimpleNamespace(directory=Path())
    talk = Talk(advance=lambda *step: steps.append(step))
    source = Source(Path("n_quantize.onnx"))
    told, remarks, explained = trying._compiled(found, binary, source, options, 5.0, talk)
    assert [(item.sentence, item.time_ms, item.why) for item in told] == [
        ("sa", 1.0, ""), ("sb", 2.0, "late")
    ]  # fmt: skip
    assert (remarks, explained) == (["a remark"], [("n", "p", "s.")])
    assert [job[0] for job in jobs] == ["0", "1", "2"]
    assert jobs[0][1][2] == "explain"
    assert jobs[1][1:] == (("run a",),)
    assert steps == [("advice", count, 2) for count in (0, 0, 1, 2)]
    assert chips == [OWN]
