"""Every option of Knight's manual is known: done, accepted and said, or refused as for later."""

from __future__ import annotations

import click
import pytest

from knightlite.cli.arguments import rewrite
from knightlite.cli.program import run
from knightlite.cli.vocabulary import ACCEPTED, LATER, Word
from knightlite.errors import UnsupportedError
from refusals import Refusal
from test_docs import command_of

Capture = pytest.CaptureFixture[str]

# the vendor's tables, command by command (2.x and 3.x names)
KNIGHT = {
    "quant": """-h --help -rc --run-config -m --model -f --framework -w --weight -uds
        --user-defined-script -if --infer-func -d --data --save-dir -s -b --bit-width -qm
        --quant-mode -per --percent -i --iteration -bs --batch-size -ib --ir-batch -r --run-mode -du
        --dump -gsj --generate-scale-json -lsj --load-scale-json -gt --generate-template -mc
        --mix-config -amr --auto-mix-ratio -ams --auto-mix-strategy -l --log-level -ll --lut-len -lt
        --layer-threshold -qid --quantize-input-dtype -od --output-dequant --mean --std -snn
        --start-node-names -enn --end-node-names -c2chw --convert2chw -is --input-shapes -cn
        --cpu-num -cd --cache-distribution -uis --unify-input-scale -on --output-name -am
        --accelerate-model -ov --opset-version -sp --spin-quant -td --ts-drop -do --disable-onnxsim
        -wm --weight-mode""",
    "compile": """-h -rc --run-config --onnx --net --weight -w --save-dir --outpath -l --log-level
        --onceload-m --onceload-w --output -gp --general-process --opt-ddr --debug --unfixloop
        --sparse --res-version --opt-group --input-indep --output-indep -hrm
        --hardware-resource-mode -sln --start-layer-name -eln --end-layer-name --input-order
        --transformer-opt --rgb -sr --serial-run""",
    "sim": """-h -rc --run-config -i --input -fmt --format -m --model -w --weight -cfg --config -d
        --debug -l --log-level --save-dir --outpath -fs --frame-step -fc --frame-count -if
        --intofile""",
    "profile": """-h -rc --run-config -m --model -w --weight -cfg --config -l --log-level -mbw
        --max-storage-bandwidth -bu --bandwidth-utilization --save-dir --outpath""",
    "compare": """-h --run-config -qd --quant-dir -sd --sim-dir -on --out-name -sh --show-hist -sl
        --show-level -sn --show-number -si --show-index --save-dir --no-mre --no-cos --rmse
        --maxdiff --bias --sort --show-plot --op-type --index-range""",
    "build": "-h -rc --run-config --disable-compare --disable-model-check",
    "show_sim_result": "-sd --save-dir -i -fmt",
    "model_info": "-m -ds --dequant-scale -qi",
}


@pytest.mark.parametrize("command", KNIGHT)
def test_every_option_of_knight_is_known(command: str, capsys: Capture) -> None:
    """In the parser, and in ``--help``, which says what is for later."""
    known = {name for option in command_of(command).params for name in option.opts} | {
        "-h",
        "--help",
    }
    for words in (ACCEPTED, LATER):
        known |= {name for word in words.get(command, ()) for name in word.names}
    assert set(KNIGHT[command].split()) - known == set()
    capsys.readouterr()
    assert run([command, "--help"]) == 0
    shown = set(capsys.readouterr().out.replace(",", " ").split())
    assert set(KNIGHT[command].split()) - shown == set()


def words(table: dict[str, tuple[Word, ...]]) -> list[object]:
    return [
        pytest.param(command, word, id=f"{command} {word.names[-1]}")
        for command, its in table.items()
        for word in its
    ]


@pytest.mark.parametrize(("command", "word"), words(dict(LATER)))
def test_words_for_later(command: str, word: Word) -> None:
    """Each name of each is refused, and is no option of ours; a value that is done is not."""
    ours = {
        name
        for option in command_of(command).params
        if isinstance(option, click.Option) and not option.hidden
        for name in option.opts
    }
    for name in word.names:
        for value in word.values or ("x",):
            for arguments in ([name, value], [f"{name}={value}"]):
                with pytest.raises(UnsupportedError) as caught:
                    rewrite([command, *arguments])
                sentence = f"Knight's option {name} is not supported yet: {word.remark}."
                assert caught.value.sentence == sentence
        assert (name in ours) == bool(word.values)
        for value in word.done:
            assert rewrite([command, name, value]) == [command, name, value]
        assert rewrite([command, "--", name]) == [command, "--", name]
        assert rewrite(["inspect", name]) == ["inspect", name]


@pytest.mark.parametrize(("command", "word"), words(dict(ACCEPTED)))
def test_accepted_words_say_so(command: str, word: Word, here: object, capsys: Capture) -> None:
    start = {"quant": ["-m", "digits.onnx", "-r", "convert", "-s", "out"]}.get(command, [])
    for name in word.names:
        capsys.readouterr()
        assert run([command, *start, name, *(["1"] if word.value else [])]) == 0
        said = f"{word.names[-1]} changes nothing here: {word.remark}.\n"
        assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence", "hint"),
    [
        (["rne-compile", "--net", "x.prototxt"], "Knight's option --net is not supported yet: "
         "networks of Caffe: quantize the ONNX model instead.",
         "leave it out; --help of the command lists its options"),
    ],
)  # fmt: skip
def test_refusals(refused: Refusal, arguments: list[str], sentence: str, hint: str) -> None:
    refused(arguments, 2, sentence, hint)


@pytest.mark.parametrize(
    ("line", "joined"),
    [
        ("quant -qm kl mse -i 1 10 onnx -m x", "quant -qm kl,mse -i 1,10 onnx -m x"),
        ("quant -m x --iteration 5 -qm all", "quant -m x --iteration 5 -qm all"),
        (
            "quant -i 1 2 -m x --iteration 5 -qm kl -qm mse",
            "quant -i 1,2 -m x --iteration 5 -qm kl -qm mse",
        ),
        ("sim -i a b", "sim -i a b"),
        ("quant -- -qm kl mse", "quant -- -qm kl mse"),
    ],
)
def test_several_values(line: str, joined: str) -> None:
    assert rewrite(line.split()) == joined.split()


def test_one_value_before_a_target_is_fine() -> None:
    line = ["quant", "-i", "10", "onnx", "-qm", "kl", "-m", "x"]
    assert rewrite(line) == line


@pytest.mark.parametrize(
    ("level", "stages", "warnings"), [("0", True, True), ("2", False, True), ("3", False, False)]
)
def test_log_level(here: object, capsys: Capture, level: str, stages: bool, warnings: bool) -> None:
    capsys.readouterr()
    assert run(["quant", "-m", "digits.onnx", "-s", "out", "-l", level]) == 0
    err = capsys.readouterr().err
    assert ("Quant complete" in err) == stages
    assert ("Warning: " in err) == warnings
