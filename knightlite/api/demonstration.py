"""``demo``: every stage on a network and pictures that ship, as Knight's verb of that name."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from knightlite import atomic_write
from knightlite.api.compilation import compile_model
from knightlite.api.deployment import write_simulation_library
from knightlite.api.models.binary import Binary, find_binary
from knightlite.api.models.stage_files import COMPILE_FILES, QUANT_FILES
from knightlite.api.profiling import profile_program
from knightlite.api.quantization import quantize
from knightlite.api.simulation import simulate
from knightlite.datafiles import demo_folder
from knightlite.errors import DataError, UsageError, nearest
from knightlite.options import check
from knightlite.options.compile import CompileOptions
from knightlite.options.demo import ALL, QUANT, RNE, RNE_SIM_LIB, DemoOptions
from knightlite.options.deploy import SimLibOptions
from knightlite.options.profile import ProfileOptions
from knightlite.options.quantize import QuantizeOptions
from knightlite.options.simulate import SimulateOptions
from knightlite.talk import SILENT, Talk

MODELS = ("digits",)
FILE, RECIPE = "digits.pdmodel", "digits"
PICTURE = Path("test/3/0045.png")
PICTURES = 200  # that calibrate
# what there is no model of, and what a network of one's own takes
ELSEWHERE: Mapping[str, str] = {
    "pytorch": "`knightlite quant -f pytorch -m FUNCTION -uds SCRIPT` takes one of yours, where "
    "torch is installed",
    "tensorflow": "tf2onnx converts one of yours; `knightlite quant -f tensorflow -m MODEL` says "
    "how",
    "caffe": "its own tools convert one of yours; `knightlite quant -f caffe -m MODEL` says how",
}
TIMEOUT_S = 900  # of the C compiler
STEM = "digits_quantize"
INPUT, LIBRARY = "picture.bin", "rne-sim-lib"


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What the stages found, line by line; ``differs``: what should be the same, and is not."""

    rows: list[tuple[str, str]] = field(default_factory=list)
    differs: list[str] = field(default_factory=list)

    def add(self, what: str, value: object) -> None:
        """A line."""
        self.rows.append((what, str(value)))


def demo(options: DemoOptions, talk: Talk = SILENT) -> DemoResult:
    """Run the stages that are asked for; files stay in ``out_dir``, where later ones find them."""
    check(options)
    _require_model(options)
    stages: Mapping[str, Callable[[DemoOptions, DemoResult, Talk], None]] = {
        QUANT: _quant,
        RNE: _rne,
        RNE_SIM_LIB: _rne_sim_lib,
    }
    if options.stage in (RNE_SIM_LIB, ALL):
        _require_tools()
    options = replace(options, out_dir=options.out_dir.absolute())  # of no manifest's folder
    found = DemoResult()
    for name, stage in stages.items():
        if options.stage in (name, ALL):
            talk.say(f"Demo {options.model}, {name}:")
            stage(options, found, talk)
    return found


def _require_model(options: DemoOptions) -> None:
    """UsageError for a framework or a model that nothing ships of."""
    if options.framework not in ("paddle", "onnx"):
        near = nearest(options.framework, ["paddle", "onnx", *ELSEWHERE])
        raise UsageError(
            f"the demo has no model of {options.framework}: digits was trained in Paddle, and "
            "is there as an ONNX model too.",
            f"take -f paddle or -f onnx; {ELSEWHERE.get(options.framework, near)}".rstrip("; "),
        )
    if options.model not in MODELS:
        raise UsageError(
            f"the demo has no model {options.model}: what ships is {', '.join(MODELS)}.",
            "`knightlite build -rc FILE` goes through the stages with a network of yours",
        )


def _require_tools() -> None:
    """UsageError where the C library cannot be built here."""
    from knightlite.native.build import find_compiler

    if shutil.which("make") is None or find_compiler() is None:
        raise UsageError(
            "rne-sim-lib is built from its sources, which takes make and a C compiler.",
            "install them (Debian: make, gcc), or leave it out with -s quant, then -s rne",
        )


# ------------------------------------------------------------------ the stages


def _quant(options: DemoOptions, found: DemoResult, talk: Talk) -> None:
    folder, out = demo_folder(), options.out_dir
    asked = QuantizeOptions(
        model=folder / FILE, chip=options.chip, save_dir=out, directory=out, recipe=RECIPE,
        data=str(folder / "calib"), iterations=(PICTURES,),
    )  # fmt: skip
    if options.framework == "onnx":
        plain = QuantizeOptions(
            model=folder / FILE, save_dir=out, directory=out, run_mode="convert"
        )
        asked = replace(asked, model=quantize(plain, talk).files["float_onnx"])
    made = quantize(asked, talk)
    found.add("quantized model", made.files["onnx"])
    if made.loss_percent is not None:
        found.add("quantization loss", f"{made.loss_percent:.3f} % of the float top-1")


def _rne(options: DemoOptions, found: DemoResult, talk: Talk) -> None:
    """Compiled; a picture simulated, every byte against the golden model; profiled."""
    out = options.out_dir
    onnx = _left(options, QUANT_FILES["onnx"].format("digits"), QUANT)
    compiled = compile_model(
        CompileOptions(onnx=onnx, chip=options.chip, out_dir=out, directory=out), talk
    )
    cfg, weight = compiled.files["cfg"], compiled.files["weight"]
    atomic_write.write_bytes(out / INPUT, _integers(find_binary(out, cfg, weight)))
    ran = simulate(
        SimulateOptions(
            input=str(out / INPUT), layout="nchw", frame_count=1, check=True, cfg=cfg,
            weight=weight, labels=demo_folder() / "labels.txt", out_dir=out, directory=out,
        ),
        talk,
    )  # fmt: skip
    profile_program(ProfileOptions(cfg=cfg, weight=weight, out_dir=out, directory=out), talk)
    best = ran.top[0][0]
    found.add("picture", demo_folder() / PICTURE)
    found.add("class on the chip", f"{best.label}, with {best.score:.3f}")
    found.add("bytes compared with the golden model", f"{ran.compared_bytes:,}")
    found.add("bytes that differ", f"{ran.differing_bytes:,}")
    found.rows.extend(compiled.frame.lines)
    if ran.differing_bytes:
        found.differs.append("the chip's tensors and the golden model's")


def _rne_sim_lib(options: DemoOptions, found: DemoResult, talk: Talk) -> None:
    """The C library, built and run on the same picture; its CRC16 is the simulator's."""
    out = options.out_dir
    cfg, weight, given = (
        _left(options, name, RNE)
        for name in (
            COMPILE_FILES["cfg"].format(STEM), COMPILE_FILES["weight"].format(STEM), INPUT,
        )
    )  # fmt: skip
    binary = find_binary(out, cfg, weight)
    library = out / LIBRARY
    write_simulation_library(SimLibOptions(out_dir=library, force=True))
    talk.say(f"make -C {library} sample")
    _call(["make", "-s", "-C", str(library), "sample"], out)
    program = library.resolve() / "bin" / "rne_simple_forward"
    files = [str(path.resolve()) for path in (cfg, weight, given)]
    said = _call([str(program), *files, str(_chip_type(binary))], library)
    sum_of_c = re.search(r"crc16: 0x([0-9a-f]{4})", said)
    if sum_of_c is None:
        raise DataError(f"{program} printed no CRC16.", "please report it, with what it printed")
    ran = simulate(
        SimulateOptions(
            input=str(given), layout="nchw", frame_count=1, cfg=cfg, weight=weight, out_dir=out,
            directory=out,
        ),
        talk,
    )  # fmt: skip
    found.add("CRC16 of the C library", f"0x{sum_of_c[1]}")
    found.add("CRC16 of the simulator", f"0x{ran.crc16[0]:04x}")
    if int(sum_of_c[1], 16) != ran.crc16[0]:
        found.differs.append("the outputs of the C library and of the simulator")


def _left(options: DemoOptions, name: str, stage: str) -> Path:
    """A file that an earlier stage has left; UsageError where it has not."""
    path = options.out_dir / name
    if not path.is_file():
        raise UsageError(
            f"demo -s {options.stage} goes on from {path}, which is not there.",
            f"`knightlite demo -s {stage}` makes it; -s all goes through every stage",
        )
    return path


def _integers(binary: Binary) -> bytes:
    """The picture as the chip is fed, [C, H, W]."""
    from knightlite.preprocess import parse_recipe, prepare_picture
    from knightlite.sim.host import quantize as to_integers

    (entry,) = binary.program.meta.inputs
    recipe = parse_recipe(binary.program.meta.recipe or "", "the stored recipe", "the .cfg")
    _, channels, height, width = entry.shape
    values = prepare_picture(demo_folder() / PICTURE, recipe, (channels, height, width))
    return to_integers(values[None], entry).tobytes()


def _chip_type(binary: Binary) -> int:
    """The vendor's number of the chip; UsageError where there is none."""
    from knightlite.deploy import chip_types

    chip, known = binary.program.meta.chip, chip_types()
    if chip not in known:
        raise UsageError(
            f"the vendor's library has no type for chip {chip}.",
            f"compile for one that it has, such as {next(iter(known))}, or leave rne-sim-lib out",
        )
    return known[chip]


def _call(command: Sequence[str], folder: Path) -> str:
    """What a program prints; DataError with its last words where it fails."""
    try:
        done = subprocess.run(
            command, cwd=folder if command[0] != "make" else None, capture_output=True, text=True,
            timeout=TIMEOUT_S,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise DataError(f"{command[0]} was not done in {TIMEOUT_S} s.") from None
    if done.returncode:
        last = " ".join(done.stderr.splitlines()[-1:]) or f"exit code {done.returncode}"
        raise DataError(f"{' '.join(command[:4])} failed: {last}.")
    return done.stdout
