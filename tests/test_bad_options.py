"""Missing files, unknown values and contradictions: one sentence, a hint, exit 1 or 2."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from knightlite.chip import TIMING_FACTS
from refusals import Refusal

STEM = "digits_quantize"
SIM = ["sim", "--input", "inputs/x.bin"]
QUANT = ["quant", "-m", "digits.onnx"]
PICTURES = [*QUANT, "-d", "calib", "--recipe"]
INSIDE = "name the file inside it"
PROFILE = ["rne-profiling"]
A_FACT = "must be a fact of a chip and a whole number, such as clock_hz=800_000_000."
UTILIZATION = "the bandwidth utilization (-bu) must be a whole percentage, 0.01 to 1.00, not"
BANDWIDTH = "the storage bandwidth (-mbw) must be 0 or a number of GB/s, not"
A_RATE = "11.920929 is 12.8e9 bytes a second"
CAN_BE_ASSUMED = f"{', '.join(TIMING_FACTS)} can be assumed; for others compile for a chip file"

# ------------------------------------------------------------------ files that are not there


@pytest.mark.parametrize(
    ("command", "option"),
    [("compile", "--onnx"), ("explain", "--onnx"), ("quant", "-m"), ("check", "-m")],
)
def test_a_chip_and_a_file_that_are_none_are_said_at_once(
    command: str, option: str, refused: Refusal
) -> None:
    code, lines = refused.run(["--chip", "TX1", command, option, "no.onnx"])
    assert (code, lines[0]) == (2, "Error: 2 things cannot be taken as asked for.")
    assert lines[1].startswith("  - file no.onnx does not exist. Hint: the ")
    assert lines[2].startswith("  - chip TX1 is not known. Hint: ")
    assert len(lines) == 3


SHIPPED = "`knightlite chips` lists those that ship"
SAMPLE_LEFT = "quant leaves a sample as inputs/NAME.bin"
FLOAT_THERE = "the files there are digits.onnx"
BIN_THERE = f"the files there are {STEM}_known_input.bin; {SAMPLE_LEFT}"
LEFT_CFG = f"the stages run here left {STEM}_r.cfg"
LEFT_ONNX = f"the stages run here left {STEM}.onnx"


@pytest.mark.parametrize(
    ("arguments", "code", "sentence", "hint"),
    [
        (["quant", "-m", "no.pdmodel"], 2, "file no.pdmodel does not exist.",
         "the files there are digits.pdmodel"),
        (["quant", "-m", "no.onnx"], 2, "file no.onnx does not exist.", FLOAT_THERE),
        (["check", "-m", "no.onnx"], 2, "file no.onnx does not exist.", FLOAT_THERE),
        (["check", "-m", "digit.onnx"], 2, "file digit.onnx does not exist.",
         "did you mean digits.onnx?"),
        (["check", "-m", "calibs/net.onnx"], 2, "file calibs/net.onnx does not exist.",
         "there is no folder calibs"),
        (["quant", "-m", "digits.pdmodel", "-w", "no.pdiparams"], 2,
         "file no.pdiparams does not exist.", "the files there are digits.pdiparams"),
        ([*QUANT, "-uds", "no.py", "-if", "f"], 2, "user script no.py does not exist.",
         "name it with -uds FILE"),
        ([*QUANT, "-d", "no", "--recipe", "digits"], 2, "picture folder no does not exist.",
         "the folders there are calib, inputs; -d of quant names the pictures (-d of sim is a "
         "tensor to write)"),
        ([*QUANT, "-d", "cailb", "--recipe", "digits"], 2, "picture folder cailb does not exist.",
         "did you mean calib? -d of quant names the pictures (-d of sim is a tensor to write)"),
        ([*QUANT, "-d", "labels.txt", "--recipe", "digits"], 2,
         "picture folder labels.txt is a file, not a folder.",
         "name a folder of pictures (.bmp, .gif, .jpeg, .jpg, .pgm, .png, .ppm, .tif, .tiff, "
         ".webp); arrays are fed by a script (-uds FILE -if FUNCTION), or from Python"),
        ([*PICTURES, "no.toml"], 2, "recipe file no.toml does not exist.",
         "a recipe of your own is a file NAME.toml"),
        ([*PICTURES, "no/such"], 2, "recipe no/such does not exist.",
         "there is no folder no; a recipe of your own is a file NAME.toml"),
        ([*QUANT, "-d", "calib", "--recipe", "digits", "--labels", "no.txt"], 2,
         "labels file no.txt does not exist.",
         f"the files there are {STEM}_r.map.txt, labels.txt"),
        (["quant", "-m", "no_quantize.onnx", "-r", "infer"], 2,
         "file no_quantize.onnx does not exist.",
         f"did you mean {STEM}.onnx?"),
        (["compile", "--onnx", "no.onnx"], 2, "file no.onnx does not exist.", LEFT_ONNX),
        (["compile", "--onnx", "digits_quantise.onnx"], 2,
         "file digits_quantise.onnx does not exist.", f"did you mean {STEM}.onnx?"),
        (["diagnose", "--quantized", "digits_golden.onnx"], 2,
         "file digits_golden.onnx does not exist.", f"did you mean {STEM}.onnx?"),
        (["profile", "--onnx", "digits_quantise.onnx"], 2,
         "quantized model digits_quantise.onnx does not exist.",
         f"did you mean {STEM}.onnx? quant leaves X_quantize.onnx"),
        ([*SIM, "--config", "digits_quantise_r.cgf"], 2,
         "file digits_quantise_r.cgf does not exist.", f"did you mean {STEM}_r.cfg?"),
        (["sim", "--input", f"{STEM}_known_output_.bin"], 2,
         f"input file {STEM}_known_output_.bin does not exist.",
         f"did you mean {STEM}_known_input.bin? {SAMPLE_LEFT}"),
        (["compile", "--onnx", "calib"], 2, "file calib is a folder, not a file.", INSIDE),
        ([*SIM, "--config", "no.cfg"], 2, "file no.cfg does not exist.", LEFT_CFG),
        ([*SIM, "--weight", "no.weight"], 2, "file no.weight does not exist.",
         f"the stages run here left {STEM}_r.weight"),
        ([*SIM, "--labels", "no.txt"], 2, "labels file no.txt does not exist.",
         f"the files there are {STEM}_r.map.txt, labels.txt"),
        ([*SIM, "--check", "--golden", "no.onnx"], 2, "golden model no.onnx does not exist.",
         f"the files there are {STEM}_golden.onnx; compile writes X_golden.onnx; --golden FILE "
         "names another place"),
        (["sim", "--input", "no.bin"], 2, "input file no.bin does not exist.", BIN_THERE),
        (["sim", "--input", "calib"], 2, "input calib is a folder, and sim runs what a file holds.",
         "`knightlite eval digits_quantize_r.cfg --data calib` runs all its pictures; or name *"),
        (["sim", "--input", "calib/no.png"], 2, "picture calib/no.png does not exist.",
         "/*"),
        (["sim", "--input", "inputs/x.bin:no.bin"], 2, "input file no.bin does not exist.",
         BIN_THERE),
        (["sim", "-i", "inputs/x.bin", "-m", f"{STEM}.onnx"], 2,
         f"{STEM}.onnx holds a network that is not compiled: it is no model (.tsmodel) file.",
         f"`knightlite compile --onnx {STEM}.onnx` leaves X_r.cfg and X_r.weight of a quantized "
         "one"),
        ([*SIM, "--config", "digits.onnx"], 2,
         "digits.onnx holds a network that is not compiled: it is no configuration (.cfg) file.",
         "`knightlite compile --onnx digits.onnx` leaves X_r.cfg and X_r.weight of a quantized "
         "one"),
        (["quant", "-m", f"{STEM}_golden.onnx"], 2,
         f"{STEM}_golden.onnx is a golden model, which compile wrote, not a float one.",
         "pass the float model that it was made from"),
        (["diagnose", "--chip", "tx5105c"], 2, "chip tx5105c is not known.",
         "did you mean TX5105C? *"),
        (["sim", "--input", "--labels", "labels.txt"], 2, "Invalid value for '-i' / '--input': "
         "'--labels' is an option: a value is missing before it.", "in quant, *"),
        (["model_info", "-m", "digits.pdmodel"], 2,
         "digits.pdmodel is a float model, not a quantized one.", "quantize it first: *"),
        (["compare", "-sd", "no"], 2, "folder no does not exist.",
         "the folders there are calib, inputs; name the one in which sim left results"),
        (["profile", "--onnx", "no.onnx"], 2, "quantized model no.onnx does not exist.",
         f"the files there are {STEM}.onnx; quant leaves X_quantize.onnx"),
        (["check", "-m", "digits.onnx", "-uds", "no.py"], 2, "user script no.py does not exist.",
         "name it with -uds FILE"),
        (["eval", "--data", "calib", "--annotations", "no.json"], 2,
         "--annotations tells nothing without --metric, which compares with them.", "--metric *"),
        (["profile", "--config", "no.cfg"], 2, "file no.cfg does not exist.", LEFT_CFG),
        (["profile", "--weight", "calib"], 2, "file calib is a folder, not a file.", INSIDE),
        (["inspect", "no.cfg"], 2, "file no.cfg does not exist.", LEFT_CFG),
        (["inspect", "calib"], 2, "file calib is a folder, not a file.", INSIDE),
        (["explain", "--onnx", "no.onnx"], 2, "file no.onnx does not exist.", LEFT_ONNX),
        (["chips", "no.toml"], 2, "chip file no.toml does not exist.", SHIPPED),
        ([*SIM, "--chip", "no.toml"], 2, "chip file no.toml does not exist.", SHIPPED),
    ],
)  # fmt: skip
def test_missing_files(
    refused: Refusal, arguments: list[str], code: int, sentence: str, hint: str
) -> None:
    refused(arguments, code, sentence, hint)


def test_missing_weights_beside_the_model(here: Path, refused: Refusal) -> None:
    (here / "digits.pdiparams").unlink()
    sentence = "There is no weight file digits.pdiparams beside digits.pdmodel."
    refused(["quant", "-m", "digits.pdmodel"], 2, sentence, "give it with -w/--weight")


# ------------------------------------------------------------------ options

NEEDS_SCRIPT = "net needs the script with the function that builds the network."
LISTED_CHIPS = "`knightlite chips` lists them; a chip of your own is a file NAME.toml"
KNOWN_CHIPS = f"did you mean TX5105C or TX5103C or TX5101E? {LISTED_CHIPS}"


@pytest.mark.parametrize(
    ("arguments", "code", "sentence", "hint"),
    [
        # what comes later
        (["quant", "-m", "x.pth"], 2,
         "x.pth holds PyTorch weights, and the network is Python code.",
         "-f pytorch -m FUNCTION -w x.pth -uds SCRIPT, *"),
        (["check", "-m", "x.pb"], 2,
         "x.pb is a TensorFlow model, which tf2onnx must convert first.",
         "python -m tf2onnx.convert --graphdef x.pb *"),
        (["quant", "-m", "x.prototxt"], 2,
         "x.prototxt is a Caffe model, which must be converted to ONNX elsewhere.",
         "a converter *"),
        (["quant", "-m", "net.mindir"], 2,
         "net.mindir is a MindSpore model, which MindSpore must export first.", "mindspore.*"),
        # of compile, and of models in one file
        (["compile", "--res-version", "12345678901234567"], 2,
         "the resource version must have at most 16 characters, not 17.", ""),
        (["compile", "--output", "no"], 2, "digits has no tensor called no that could be an "
         "output.", "one of *"),
        (["compile", "-sln", "no"], 2, "digits has no layer called no.", "one of *"),
        (["compile", "--opt-ddr", "3"], 2, "Invalid value for '--opt-ddr': '3' is not one of '0', "
         "'1', '2'.", ""),
        (["profile", "-m", "no.tsmodel"], 2, "file no.tsmodel does not exist.",
         f"the stages run here left {STEM}_r.tsmodel"),
        ([*SIM, "-m", f"{STEM}_r.tsmodel", "--config", f"{STEM}_r.cfg"], 2,
         f"{STEM}_r.tsmodel holds both files: --config and --weight are unused.", ""),
        ([*SIM, "-m", f"{STEM}_r.cfg"], 2, f"{STEM}_r.cfg is a configuration (.cfg) file, not a "
         "model (.tsmodel) file.", "sim, profile and deploy take the pair with --config and "
         "--weight, a .tsmodel with --model"),
        ([*SIM, "-l", "4"], 2, "Invalid value for '-l' / '--log-level': 4 is not in the range "
         "0<=x<=3.", ""),
        # unknown values
        (["quant", "-m", "digits"], 2,
         "model digits does not exist.", "did you mean digits.onnx or digits.pdmodel? a function "
         "that builds the network is named beside -f and -uds"),
        ([*QUANT, "-f", "torch"], 2,
         "The framework must be one of onnx, paddle, pytorch, caffe, tensorflow, mindspore, not "
         "torch.", "did you mean pytorch?"),
        ([*QUANT, "-qm", "best"], 2, "the method must be one of kl, kl_v2, min_max, mse, octav, "
         "percentile, not best.", "auto chooses one for each tensor, all tries every one"),
        ([*PICTURES, "digit"], 2, "recipe digit is not known.",
         "did you mean digits? a recipe of your own is a file NAME.toml"),
        ([*QUANT, "-r", "all"], 2, "Invalid value for '-r' / '--run-mode': 'all' is not one of "
         "'quant', 'auto_quant', 'infer', 'convert', 'compare'.",
         "a recipe is named with --recipe"),
        ([*QUANT, "-i", "0"], 2, "iteration (-i) must be from 1 to 10000000 and batch size (-bs) "
         "from 1 to 4096, not 0 and 1.", ""),
        ([*QUANT, "-i", "9" * 30], 2, "iteration (-i) must be from 1 to 10000000 and batch size "
         f"(-bs) from 1 to 4096, not {'9' * 30} and 1.", ""),
        ([*QUANT, "-bs", "4097"], 2, "iteration (-i) must be from 1 to 10000000 and batch size "
         "(-bs) from 1 to 4096, not 1 and 4097.", ""),
        ([*QUANT, "-i", "many"], 2,
         "Invalid value for '-i' / '--iteration': 'many' is not a valid integer.",
         "in sim, -i is the input"),
        ([*QUANT, "--seed", "-1"], 2, "the seed must be from 0 to 4294967295, not -1.", ""),
        ([*QUANT, "--color"], 2, "there is no option --color.",
         "`knightlite quant --help` lists them"),
        (["quant", "-efort=high"], 2, "there is no option -efort.",
         "did you mean --effort or -per? `knightlite quant --help` lists them"),
        (["compile", "-m", "x.onnx"], 2, "there is no option -m.",
         "here it is as in `knightlite compile --onnx FILE`; `knightlite compile --help` *"),
        (["sim", "--onnx", "x.onnx"], 2, "there is no option --onnx.",
         "here it is as in `knightlite sim --config FILE`; `knightlite sim --help` lists them"),
        (["eval", "-i", "20"], 2, "there is no option -i.", "here it is as in `knightlite eval "
         "--count N`; `knightlite eval --help` lists them"),
        (["eval", "--iteration", "5"], 2, "there is no option --iteration.",
         "here it is as in `knightlite eval --count N`; `knightlite eval --help` lists them"),
        (["profile", "--input", "x"], 2, "there is no option --input.", "profile takes no input: "
         "cycles do not depend on its numbers; `knightlite profile --help` lists them"),
        (["profile", "--framework", "x"], 2, "there is no option --framework.",
         "--framework belongs to `knightlite quant`, `knightlite diagnose`, `knightlite check`, "
         "...; `knightlite profile --help` lists them"),
        (["quant", "-m", "x.onnx", "--opt-group", "1"], 2, "there is no option --opt-group.",
         "--opt-group belongs to `knightlite compile`, `knightlite explore`, `knightlite explain`; "
         "`knightlite quant --help` lists them"),
        (["compile", "-o", "x"], 2, "there is no option -o.",
         "here it is as in `knightlite compile --outpath DIR`; *"),
        (["deploy", "-s", "x"], 2, "there is no option -s.",
         "here it is as in `knightlite deploy -o DIR`; `knightlite deploy --help` lists them"),
        (["explain", "--node", "x"], 2, "there is no option --node.",
         "here it stands without an option, as in `knightlite explain NODE`; *"),
        (["explain", "digits.onnx"], 2, f"{STEM}.onnx has no node called digits.onnx.",
         "name a model by its option: `knightlite explain --onnx digits.onnx`"),
        (["compile", "--onnx", f"{STEM}_r.cfg"], 2,
         f"{STEM}_r.cfg is of a compiled network: it must be a quantized .onnx file.",
         "pass the X_quantize.onnx that it was compiled from"),
        (["inspect", "digits.onnx"], 2,
         "digits.onnx is neither a .cfg, a .weight nor a .tsmodel file of knightlite.",
         "inspect reads what compile wrote; `knightlite model_info -m FILE` shows a quantized "
         "model, check a float one"),
        (["deploy"], 2, "Missing option '-o' / '--outpath' / '--save-dir'.",
         "as in `knightlite deploy -o DIR`; Folder of the project; it must be empty, *"),
        (["sim", "--input", "x.bin", "a b_r.cfg"], 2, "Got unexpected extra argument (a b_r.cfg)",
         "files are named by their options, as in `knightlite sim --config FILE`"),
        (["compile", "-z", "7"], 2, "there is no option -z.", "`knightlite compile --help` *"),
        (["build", "--trust-checkpoint"], 2, "there is no option --trust-checkpoint.",
         "`--quant.trust-checkpoint true` gives it to quant; `knightlite build --help` lists them"),
        (["build", "--outpath", "x"], 2, "there is no option --outpath.",
         "`--compile.outpath VALUE` gives it to compile; `knightlite build --help` lists them"),
        (["--chp", "x"], 2, "there is no option --chp.", "did you mean --chip or *"),
        ([*SIM, "-fmt", "chw"], 2, "Invalid value for '-fmt' / '--format': 'chw' is not one of "
         "'nchw', 'nhwc', 'nhwcstride': did you mean nchw?", ""),
        ([*SIM, "-fc", "0"], 2,
         "the frame count must be at least 1 and the frame step at least 0.", ""),
        ([*SIM, "-fs", "-1"], 2,
         "the frame count must be at least 1 and the frame step at least 0.", ""),
        ([*SIM, "--debug", "conv"], 2, "the program has no materialised tensor called conv.",
         "one of concat_0.tmp_0, *"),
        (["explain", "conv"], 2, f"{STEM}.onnx has no node called conv.",
         "one of concat_0.tmp_0, *"),
        (["computer"], 2, "there is no command computer.",
         "did you mean compile or compare? `knightlite --help` lists them"),
        (["rne-cmpile"], 2, "there is no command rne-cmpile.", "did you mean rne-compile *"),
        (["chips", "tx5368av200"], 2, "chip tx5368av200 is not known.",
         f"did you mean TX5368AV200? {LISTED_CHIPS}"),
        ([*QUANT, "--effort", "hihg"], 2, "Invalid value for '--effort': 'hihg' is not one of "
         "'low', 'normal', 'high': did you mean high?", ""),
        (["quant", "pytorch", "-m", "x"], 2,
         "Invalid value for '[onnx]': 'pytorch' is not 'onnx'.", ""),
        (["check", "-m", ""], 2, "Invalid value for '-m' / '--model': the path is empty: is a "
         "variable of the shell not set?", ""),
        (["--chip", "", "compile"], 2, "the name of the chip is empty.",
         "is a variable not set? *"),
        (["quant"], 2, "Missing option '-m' / '--model'.",
         "as in `knightlite quant -m FILE`; Model: .pdmodel, .json (Paddle 3), .onnx; or *"),
        (["--chip"], 2, "Option '--chip' requires an argument.", ""),
        # models of other frameworks
        (["quant", "-m", "no.json"], 2, "file no.json does not exist.", "*"),
        (["check", "-m", "knightlite.json"], 1, "knightlite.json is not a Paddle PIR program or is "
         "damaged: it lacks the parts of one.", "copy the model again, *"),
        (["quant", "-m", "net", "-f", "pytorch"], 2, NEEDS_SCRIPT, "name it with -uds FILE; *"),
        (["check", "-m", "net", "-f", "paddle"], 2, NEEDS_SCRIPT, "name it with -uds FILE; *"),
        (["check", "-m", "net", "-f", "pytorch", "-uds", "no.py"], 2,
         "user script no.py does not exist.", "name it with -uds FILE"),
        (["check", "-m", "net", "-f", "pytorch", "-uds", "labels.txt", "--torch-python", "no"], 2,
         "--torch-python: the Python interpreter no does not exist.", "name one, or leave it out"),
        (["quant", "-m", "net", "-f", "paddle", "-uds", "labels.txt", "--paddle-python", "no"], 2,
         "--paddle-python: the Python interpreter no does not exist.", "name one, or leave it out"),
        ([*QUANT, "--torch-exporter", "fx"], 2, "Invalid value for '--torch-exporter': 'fx' is not "
         "one of 'auto', 'torchscript', 'dynamo'.", ""),
        # contradictions
        ([*QUANT, "-f", "paddle"], 2,
         "digits.onnx is a model of onnx by its suffix, not of paddle.",
         "leave -f/--framework out"),
        ([*QUANT, "-f", "tensorflow"], 2,
         "digits.onnx is a model of onnx by its suffix, not of tensorflow.",
         "leave -f/--framework out"),
        ([*QUANT, "-f", "pytorch"], 2,
         "digits.onnx is a model of onnx by its suffix, not of pytorch.",
         "leave -f/--framework out"),
        ([*QUANT, "-w", "digits.pdiparams"], 2, "digits.onnx keeps its weights inside, so the "
         "weight file digits.pdiparams cannot be used.", "leave -w/--weight out"),
        (["quant", "-m", "digits.pdiparams"], 2, "digits.pdiparams holds weights, not a model.",
         "pass digits.pdmodel with -m"),
        ([*QUANT, "-d", "calib"], 2, "the pictures of calib need a recipe that prepares them.",
         "--recipe with one of *"),
        ([*QUANT, "--recipe", "digits"], 2, "--recipe prepares the pictures of a folder.",
         "name it with -d DIR"),
        ([*PICTURES, "digits", "-uds", "labels.txt"], 2,
         "a user script (-uds) prepares its own pictures: --recipe is unused.", ""),
        ([*QUANT, "-if", "infer"], 2,
         "infer function infer (-if) needs the script that defines it.", "name it with -uds FILE"),
        ([*QUANT, "-r", "convert"], 2, "converting digits.onnx would overwrite it.",
         "name another folder with -s DIR"),
        (["compile", "--onnx", "digits.onnx"], 2,
         "digits.onnx is a float model, not a quantized one.",
         "quantize it first: knightlite quant onnx -m digits.onnx -d PICTURES --recipe NAME"),
        (["compile", "--onnx", "digits.pdmodel"], 2,
         "digits.pdmodel must be a quantized .onnx file.",
         "quantize the float model with `knightlite quant onnx -m MODEL`"),
        (["quant", "-m", f"{STEM}.onnx"], 2, f"{STEM}.onnx must be a float model, but has *",
         "compile a quantized model directly, or pass the model it was made from"),
        (["compile", "--onnx", f"{STEM}_golden.onnx"], 2, 
         f"{STEM}_golden.onnx is a golden model, which compile wrote, not a quantized one.",
         "name the model that was compiled, as X_quantize.onnx"),
        ([*SIM, "--golden", f"{STEM}_golden.onnx"], 2,
         "--golden names what --check compares with.", "add --check"),
        ([*SIM, "--check", "--golden", "digits.onnx"], 2,
         f"digits.onnx and {STEM}_r.cfg are not of the same compile run.",
         "compile again, or name the golden model with --golden"),
        ([*SIM, "--recipe", "digits"], 2, "--recipe prepares a picture, but inputs/x.bin does not "
         "end in one of .bmp, .gif, .jpeg, .jpg, .pgm, .png, .ppm, .tif, .tiff, .webp.", ""),
        (["sim", "--input", "x.png", "-fmt", "nchw"], 2,
         "the recipe decides the layout of picture x.png: -fmt is unused.", ""),
        # chips
        ([*QUANT, "--chip", "TX1"], 2, "chip TX1 is not known.", KNOWN_CHIPS),
        (["--chip", "TX1", "compile"], 2, "chip TX1 is not known.", KNOWN_CHIPS),
        (["check", "-m", "digits.onnx", "--chip", "TX1"], 2, "chip TX1 is not known.", KNOWN_CHIPS),
        (["chips", "TX1"], 2, "chip TX1 is not known.", KNOWN_CHIPS),
        (["build", "--html", "page.html"], 2,
         "build was not told the model of quant: it takes the options of its stages from a "
         "run-config file.",
         "--run-config FILE names one with a section quant, or --quant.model VALUE gives it"),
        (["chips", "TX1", "--ops"], 2, "chip TX1 is not known.", KNOWN_CHIPS),
        (["chips", "--ops"], 2, "--ops needs the NAME of a chip.", ""),
        (["--default-chip", "TX1"], 2, "chip TX1 is not known.", KNOWN_CHIPS),
        (["--default-chip", "no.toml"], 2, "chip file no.toml does not exist.", SHIPPED),
        (["--chip", "TX5105C"], 2, "Missing command.", ""),
        ([*SIM, "--chip", "TX1"], 2, "chip TX1 is not known.", KNOWN_CHIPS),
        ([*SIM, "--chip", "TX5105C"], 2,
         f"{STEM}_r.cfg was compiled for chip TX5368AV200, not for TX5105C.",
         "leave --chip out, or compile for TX5105C"),
        (["profile", "--chip", "TX5105C"], 2,
         f"{STEM}_r.cfg was compiled for chip TX5368AV200, not for TX5105C.",
         "leave --chip out, or compile for TX5105C"),
        # what a profile may assume
        ([*PROFILE, "--set", "clock"], 2, f"Invalid value for '--set': clock {A_FACT}", ""),
        ([*PROFILE, "--set", "clock_hz="], 2, f"Invalid value for '--set': clock_hz= {A_FACT}", ""),
        ([*PROFILE, "--set", "clock_hz=1.5"], 2,
         f"Invalid value for '--set': clock_hz=1.5 {A_FACT}", ""),
        ([*PROFILE, "--set", "clock_hz=inf"], 2,
         f"Invalid value for '--set': clock_hz=inf {A_FACT}", ""),
        ([*PROFILE, "--set", "clock_hz=0"], 2,
         "clock_hz must be a whole number of at least 1, not 0.", CAN_BE_ASSUMED),
        ([*PROFILE, "--set", "ddr_efficiency_percent=101"], 2,
         "ddr_efficiency_percent must be a whole number from 1 to 100, not 101.", CAN_BE_ASSUMED),
        ([*PROFILE, "--set", "clock=1"], 2, "a chip has no fact called clock.",
         "did you mean clock_hz?"),
        ([*PROFILE, "--set", "fspm_bytes=1048576"], 2,
         "fspm_bytes cannot be assumed: the program was laid out for it.", CAN_BE_ASSUMED),
        ([*PROFILE, "-bu", "0"], 2, f"{UTILIZATION} 0.0.", ""),
        ([*PROFILE, "-bu", "1.01"], 2, f"{UTILIZATION} 1.01.", ""),
        ([*PROFILE, "-bu", "0.725"], 2, f"{UTILIZATION} 0.725.", ""),
        ([*PROFILE, "-bu", "nan"], 2, f"{UTILIZATION} nan.", ""),
        ([*PROFILE, "-mbw", "-1"], 2, f"{BANDWIDTH} -1.0.", A_RATE),
        ([*PROFILE, "-mbw", "nan"], 2, f"{BANDWIDTH} nan.", A_RATE),
        ([*PROFILE, "-mbw", "1e-10"], 2, f"{BANDWIDTH} 1e-10.", A_RATE),
        ([*PROFILE, "-mbw", "inf"], 2, f"{BANDWIDTH} inf.", A_RATE),
        ([*PROFILE, "-bu", "0.5", "--set", "ddr_efficiency_percent=50"], 2,
         "ddr_efficiency_percent is assumed twice, by --set and by its option of Knight's.", ""),
        # shapes
        ([*QUANT, "-is", "1", "3", "32"], 2, "The shape for input x must have 4 dimensions "
         "[N, 3, 32, 32], not 3 [1, 3, 32].", "all sizes are meant, the batch first: -is *"),
        ([*QUANT, "-is", "1", "3", "0", "32"], 2,
         "The shape for input x must be positive, not [1, 3, 0, 32].", ""),
        ([*QUANT, "-is", "1", "3", "32", "99999999999"], 2, "The shape for input x must have sizes "
         "up to 65535, not [1, 3, 32, 99999999999].", ""),
        ([*QUANT, "-is", "1", "1", "32", "32"], 2, "digits.onnx cannot run on the NPU, one place "
         "is not supported: conv2d_0.tmp_0: Conv conv2d_0.tmp_0 must have 1 input channels, not 1 "
         "groups of 3.", "`knightlite check -m *"),
        ([*QUANT, "-is", "4", "3", "32", "32"], 2, "digits.onnx cannot run on the NPU, one place "
         "is not supported: x: the network input x must be [1, C, H, W], [1, C, L] or [1, C], not "
         "(4, 3, 32, 32).", "run it frame by frame: -is 1 3 32 32"),
        ([*QUANT, "-is", "1,3,32,32", "-is", "1,3"], 2,
         "digits.onnx has 1 inputs (x), but 2 shapes were given.", ""),
        ([*QUANT, "-is", "1,3,x"], 2,
         "Invalid value for '-is' / '--input-shapes': 1,3,x must be integers such as 1,3,48,192.",
         ""),
        ([*PICTURES, "imagenet"], 1, "calib/*",
         "cifar10 fits and normalizes alike; or a copy of *"),
    ],
)  # fmt: skip
def test_options(
    refused: Refusal, arguments: list[str], code: int, sentence: str, hint: str
) -> None:
    refused(arguments, code, sentence, hint)


def test_argument_that_is_not_text(here: Path, refused: Refusal) -> None:
    name = os.fsdecode(b"caf\xe9.onnx")
    shutil.copy("digits.onnx", name)
    sentence = "argument caf\N{REPLACEMENT CHARACTER}.onnx must be UTF-8 text."
    refused(["quant", "-m", name], 2, sentence, "rename the file or folder")
