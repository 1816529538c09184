"""What every command says of two small networks, to the character, and every number it reports.

A wrong count, unit, rounding, order or value handed over shows as a line of a diff. What is
wanted is written by ``pytest --update-golden`` and then read.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import gauge_nets
from conftest import Golden
from knightlite.cli.program import run
from knightlite.datafiles import calibration_folder
from knightlite.version import __version__
from perfetto_reader import read_trace

Capture = pytest.CaptureFixture[str]
HASH = re.compile(r"\b[0-9a-f]{16}(?:[0-9a-f]{48})?\b")
KERNELS = re.compile(r'(?<="kernels": ").*(?=")')  # ONNX Runtime's, for this processor
EXACT = re.compile(r"-?\b\d+\.\d{8,}\b")
NUMBERS = re.compile(r"\[\s+([^][{}\"]+?)\s+\]")
DIGITS = 5  # that no computer's exponential or logarithm changes

CLASSIFIER = """\
check -m net.onnx
check -m net.onnx --chip TX5112CV201 --json
quant -m net.onnx -d pics --recipe gauge.toml -i 4 -bs 4 -gt -gsj --effort high
quant -m net.onnx -d pics --recipe gauge.toml -r infer -i 3 -bs 4
quant -m net.onnx -d pics --recipe gauge.toml -i 1 -bs 5 -r auto_quant -amr 0.4 -s mixed
quant -m net.onnx -d pics --recipe gauge.toml -i 3 -bs 4 --mix-budget 40% -s mixed --json
quant -m net.onnx -d pics --recipe gauge.toml -i 1 3 -qm kl mse -bs 4 --effort low -s both
quant -m net.onnx -d pics --recipe gauge.toml -i 2 -bs 9 -qm all -gsj -s all
quant -m net.onnx -d pics --recipe gauge.toml -i 4 -bs 4 -lsj all/kl_it_2/net_scales.json -s loaded
quant -m net.onnx -s random
quant -m net.onnx -d pics --recipe gauge.toml -i 3 -bs 4 -gsj -qm percentile -per 0.97 --json
compile --onnx mixed/net_quantize.onnx --chip TX5112CV201 -s small
profile -cfg small/net_quantize_r.cfg --set clock_hz=2e8 -mbw 0.5 -s small
model_info -m net_quantize.onnx
model_info -m net_quantize.onnx --json
compile
compile --json
compile --opt-group 0 --explain-memory -s level_0
profile -cfg level_0/net_quantize_r.cfg -s level_0
compile --explain-memory
explain
explain --json
explain --opt-group 0
inspect net_quantize_r.cfg
inspect net_quantize_r.cfg --json
inspect net_quantize_r.weight
sim --input frames.npy -fc 3 --check --labels labels.txt -s res
sim --input frames.npy -fc 3 --check --labels labels.txt -s res --json
show_sim_result -sd res
show_sim_result -sd res --json
profile
profile --json
compare
sim --input pics/owl/1.png --labels labels.txt -d all -if 1 -s picture
sim --input frames.npy -fs 2 -fc 2 -s picture
compare -sd picture -sl 5 -s picture
quant -m net.onnx -d pics --recipe gauge.toml -r compare
sim --input inputs/x.bin -s one
compare -sl 4 -sd one -s one
compare -sl 6 --json
eval --data pics -j 1
eval --data pics -j 1 --json
diagnose
diagnose --json
chips
chips TX5112CV201
chips TX5112CV201 --ops
chips TX5105C --json
"""

REFUSED = """\
quant -m net.onnx -r infer -qm kl mse
quant -m net.onnx -mc net.json -b 16
quant -m net.onnx -r auto_quant -b 16
quant -m net.onnx --mix-budget 5 -b 16
quant -m net.onnx --mix-budget 5 -mc net.json
quant -m net.onnx --mix-budget 5 -lsj net_scales.json
quant -m net.onnx --mix-budget 5 -r auto_quant
quant -m net.onnx --mix-budget -1
quant -m net.onnx -mc net.json -gt
quant -m net.onnx -mc net.json -lsj net_scales.json
quant -m net.onnx -gsj -lsj net_scales.json
quant -m net.onnx -d pics --recipe gauge.toml -qm kl mse -du
quant -m net.onnx -d pics --recipe gauge.toml -i 1 2 -cd cache.npz
quant -m net.onnx --labels labels.txt
quant -m net.onnx --recipe gauge.toml
quant -m net.onnx -d pics
quant -m net.onnx -d pics --recipe gauge.toml -i 0
quant -m net.onnx -d pics --recipe gauge.toml -bs 0
quant -m net.onnx --input-configs 7
quant -m net.onnx --input-configs '[{"input_name":"x","quant_data_format":"Text"}]'
quant -m net.onnx -on nowhere
quant -m net.onnx -qid float64
quant -m net.onnx -qid uint8 int8
quant -m net.onnx -is 1 3 10
quant -m net.onnx -is 1 3 10 8 -is 1 3 10 8
quant -m net.onnx -ll 13
quant -m net.onnx -ll 7
quant -m net.onnx -qm percentile -per 1.5
quant -m net.onnx -qm percentile -per 0
quant -m net.onnx -amr 1.1 -r auto_quant
quant -m net.onnx --mean 1 2 --std 1
quant -m net.onnx --std 0
quant -m net.onnx -ib 0
quant -m net_quantize.onnx
compile --onnx net.onnx
compile --onnx net_quantize_golden.onnx
compile --chip NOPE
compile --input-order nchwc
explain nowhere
check -m frames.npy
check -m labels.txt
sim --input frames.npy -fc 9
sim --input frames.npy -fc 3 -fs 3
sim --input frames.npy -fc 0
sim --input frames.npy -fs -1
sim --input frames.npy -d nowhere
sim --input frames.npy --golden net_quantize_golden.onnx
sim --input frames.npy:frames.npy
sim --input pics/cat/0.png -fc 2
sim --input pics/cat/0.png --recipe digits
sim --input labels.txt
sim --input frames.npy --config labels.txt
compare -sd res
compare -sd nowhere
compare -sl 7
eval --data nowhere
eval --data pics labels.txt
eval --data pics --shard 3/2
eval --data pics pics
diagnose -q net.onnx
diagnose -sn 0
diagnose -i 0
show_sim_result -sd pics
show_sim_result -sd labels.txt
inspect pics
inspect net.onnx
model_info -m net_quantize_r.weight
model_info -m frames.npy
chips NOPE
chips --ops
profile -bu 1.01
profile -bu 0.001
profile -mbw -1
profile -mbw 1 --set ddr_bytes_per_second=1
profile --set clock_hz=0
profile --set mac_rows=1
profile --set clock_hz
"""

OPTIONS = """\
quant -m net.onnx -d pics --recipe gauge.toml -i 5 --seed 3 -on pooled gate -du -s cut
quant -m net.onnx -d pics --recipe raw -i 2 --mean 96 128 112 --std 32 -qid uint8 -s pixels
quant -m net.onnx -r convert -s converted --json
quant -m net.onnx -d pics --recipe gauge.toml -i 2 -bs 4 -cd cache.npz -ib 2 -ll 9 -b 16
quant -m net.onnx -d pics --recipe gauge.toml -i 2 -bs 4 -cd cache.npz -ib 2 -ll 9 -b 16
compile -sln deep -eln sum -s part
compile --input-order nhwc --output stem --opt-ddr 0 --res-version mine
inspect net_quantize_r.cfg
model_info -m net_quantize_r.tsmodel
sim --input inputs/x.bin --check
sim --input inputs/x.bin -fmt nchw -fc 2 -s moved
explain sum
explain stem --json
explain nowhere
compare -on map -on sum -si --rmse --maxdiff --bias -sh
compare --op-type Conv --sort --no-mre -sn 2
compare --index-range 1:3 --no-cos --json
eval --data pics --shard 2/2 -j 1 --check
eval net_quantize.onnx net.onnx --data pics/owl --recipe gauge.toml -j 1
eval net_quantize.onnx net.onnx --data pics/owl --recipe gauge.toml --labels labels.txt -j 1
diagnose -sn 2 -d pics --recipe gauge.toml -i 9
"""

TWO_INPUTS = """\
quant -rc c.json -qm all -gsj -s all
quant -rc c.json -b 16 --chip TX5215CV200
model_info -m net_quantize.onnx
compile --chip TX5215CV200
inspect net_quantize_r.cfg
sim --input inputs/a.bin:inputs/b.bin --check -s res --json
sim --input inputs/a.bin:inputs/b.bin -s res
show_sim_result -sd res
profile -mbw 2 -bu 0.5
compare -sl 3
"""


@pytest.mark.parametrize(
    ("name", "make", "commands", "files"),
    [
        ("classifier", gauge_nets.classifier, CLASSIFIER + REFUSED,
         ["net.json", "net_quantize_report.json", "net_scales.json",
          "net_quantize_r.map.txt", "net_quantize_r.pftrace", "layer_cycles_NPU_0.txt",
          "knightlite.json", "all/octav_it_2/net_quantize_report.json",
          "res/result-logits.1_p.txt", "res/result-map.2_hwc.txt"]),
        ("options", gauge_nets.classifier, OPTIONS,
         ["net_quantize_report.json", "net_quantize_r.map.txt", "cut/net_quantize_report.json"]),
        ("two_inputs", gauge_nets.two_inputs, TWO_INPUTS,
         ["net_quantize_report.json", "net_quantize_r.map.txt", "net_quantize_r.profile.json"]),
    ],
)  # fmt: skip
def test_reports(
    name: str,
    make: Callable[[Path], None],
    commands: str,
    files: Sequence[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
    golden: Golden,
) -> None:
    make(tmp_path)
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    pages = []
    for command in commands.splitlines():
        code = run(shlex.split(command))
        captured = capsys.readouterr()
        out = captured.out
        if "--json" in command and code == 0:
            out = figures(json.loads(out))
        pages.append(f"$ {command}\n{captured.err}-- {code}\n{out}")
    if name == "classifier" and find_spec("matplotlib"):
        assert run(["diagnose", "--html", "page.html"]) == 0
        page = Path("page.html").read_text(encoding="utf-8")
        golden.text("reports/page.html", re.sub(r"<svg.*?</svg>", "<svg/>", page, flags=re.DOTALL))
    for scales in sorted(Path("all").glob("*/net_scales.json")):
        tensors = json.loads(scales.read_text(encoding="utf-8"))["tensors"]
        rows = [f"{name} {row['type']} {rounded(row['scale'])}" for name, row in tensors.items()]
        pages.append("\n".join([f"$ scales of {scales}", *rows, ""]))
    for file in files:
        pages.append(f"$ cat {file}\n{content(Path(file))}")
    found = EXACT.sub(lambda number: f"{float(number[0]):.{DIGITS}g}", "\n".join(pages))
    found = KERNELS.sub("<processor>", found).replace(str(calibration_folder()), "<calibration>")
    found = HASH.sub("<hash>", found).replace(f'"{__version__}"', '"<version>"')
    golden.text(f"reports/{name}.txt", found.replace(f" {__version__}", " <version>"))


def content(file: Path) -> str:
    if file.suffix == ".pftrace":
        return figures(asdict(read_trace(file.read_bytes())))
    text = file.read_text(encoding="utf-8")
    return figures(json.loads(text)) if ".json" in file.name else text


def figures(value: Any) -> str:
    """JSON in the order of its keys, a list of numbers on one line."""
    text = json.dumps(rounded(value), indent=1)
    return NUMBERS.sub(lambda found: f"[{' '.join(found[1].split())}]", text) + "\n"


def rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return {key: rounded(item) for key, item in value.items()} if isinstance(value, dict) else value
