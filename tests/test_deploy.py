"""``deploy``: a project that is built and run without us, with the bytes of the simulator."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from compilers import Processor, crossed, needs, needs_compiler, needs_header
from knightlite import dtypes
from knightlite.api import deployment
from knightlite.api.deployment import DeployResult, deploy
from knightlite.cli.program import run
from knightlite.container import Program, decode_program, encode_program, paired
from knightlite.deploy import CodeSize, c_array, code_size, from_c_array, project_files
from knightlite.deploy import Network as Described
from knightlite.deploy.code_size import Preset
from knightlite.deploy.needs import arena_bytes, most_arena_bytes
from knightlite.errors import DataError, UsageError
from knightlite.native import run_compiler
from knightlite.native.library import CHECKED, CHIP_ONLY, Network
from knightlite.native.operations import OPERATIONS
from knightlite.options.deploy import DeployOptions
from knightlite.preprocess import parse_recipe, prepare_picture
from knightlite.sim import Machine
from knightlite.sim.host import quantize, tensor_scale
from test_runtime import sound
from test_runtime_layers import middle

CFG, WEIGHT = "digits_quantize_r.cfg", "digits_quantize_r.weight"
STRICT = "CFLAGS=-O1 -Wall -Wextra -Wpedantic -Wconversion -Werror"
HOSTILE = '"*/ #error $(shell touch PWNED) `touch PWNED` \\ ${PWNED} <b>|_x_|[y](z)\n??/\x1b[31m'


def compiled(folder: Path = Path()) -> Program:
    cfg, weight = ((folder / name).read_bytes() for name in (CFG, WEIGHT))
    return decode_program(cfg, weight, CFG, WEIGHT)


def save(program: Program, stem: str) -> DeployOptions:
    cfg, weight = encode_program(program)
    Path(f"{stem}_r.cfg").write_bytes(cfg)
    Path(f"{stem}_r.weight").write_bytes(weight)
    return DeployOptions(cfg=Path(f"{stem}_r.cfg"), out_dir=Path(stem))


def make(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "-C", str(folder), "-s", *words], capture_output=True, text=True, timeout=300
    )


@dataclass(frozen=True)
class Project:
    """One that is built for this machine, and what it was made of."""

    folder: Path
    program: Program

    def run(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.folder / "build/host/network", "-d", self.folder / "network", *words],
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip

    def outputs(self, *words: str | Path) -> bytes:
        target = self.folder / "out.bin"
        done = self.run("-o", target, *words)
        assert done.returncode == 0, done.stderr
        return target.read_bytes()

    def wanted(self, values: Any) -> bytes:
        """The simulator's, of real numbers [1, C, H, W]."""
        (entry,) = self.program.meta.inputs
        integers = quantize(np.asarray(values), entry)
        outputs = Machine(self.program).run({entry.name: integers})
        return b"".join(outputs[item.name].tobytes() for item in self.program.meta.outputs)


@pytest.fixture(scope="module")
def project(digits_chain: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = tmp_path_factory.mktemp("deployed") / "project"
    options = DeployOptions(cfg=digits_chain / CFG, out_dir=folder, directory=digits_chain)
    deploy(options)
    done = make(folder, STRICT)
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr
    return Project(folder, compiled(digits_chain))


# ------------------------------------------------------------------ built and run


@needs_compiler
def test_known_answer(project: Project) -> None:
    done = project.run("-c")
    assert (done.returncode, done.stdout) == (0, "known answer: 20 bytes, 0 differ\n")
    known = project.folder / "network" / "known_output.bin"
    sound = known.read_bytes()
    try:
        known.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
        done = project.run()
        assert (done.returncode, done.stdout) == (1, "known answer: 20 bytes, 1 differ\n")
    finally:
        known.write_bytes(sound)


@needs_compiler
def test_raw_data(project: Project) -> None:
    rng = np.random.default_rng(5)
    values = rng.normal(0, 2, (1, 3, 32, 32)).astype(np.float32)
    (project.folder / "real.bin").write_bytes(values.tobytes())
    integers = quantize(values, project.program.meta.inputs[0])
    (project.folder / "integers.bin").write_bytes(integers.tobytes())
    for name in ("real.bin", "integers.bin"):
        assert project.outputs(project.folder / name) == project.wanted(values)
    (project.folder / "short.bin").write_bytes(integers.tobytes()[1:])
    done = project.run(project.folder / "short.bin")
    assert done.returncode == 1
    assert done.stderr.endswith(
        "a frame has 12288 bytes as float32 or 3072 as integers, and the input 3071.\n"
    )


@needs_compiler
def test_pictures(project: Project) -> None:
    """By the recipe in the .cfg, whatever their size."""
    pixels = np.random.default_rng(6).integers(0, 256, (41, 67, 3)).astype(np.uint8)
    path = project.folder / "picture.PPM"
    Image.fromarray(pixels).save(path, format="ppm")
    recipe = parse_recipe(project.program.meta.recipe or "", "stored")
    values = prepare_picture(pixels, recipe, (3, 32, 32))[None]
    assert project.outputs(path) == project.wanted(values)
    shown = project.run(path).stdout.splitlines()
    scores = np.frombuffer(project.wanted(values), "<i2").astype(np.float32)
    scores *= tensor_scale(project.program.meta.outputs[0])
    best = np.argsort(-scores, kind="stable")[:5]
    assert [int(line.split()[0]) for line in shown[1:]] == best.tolist()
    assert [line.split()[1] for line in shown[1:]] == [f"{scores[at]:g}" for at in best]
    for data in (b"", b"P5 3 3 255 ", b"P6 99999 3 255 ", b"P6 3 3 255\n" + bytes(26)):
        path.write_bytes(data)
        done = project.run(path)
        assert done.returncode == 1
        assert re.search(r"Error: .* (must|is shorter)", done.stderr)


@needs_compiler
def test_words_and_files_that_cannot_be(project: Project) -> None:
    for words in (["-x"], ["-n", "0"], ["-n", "y"], ["a", "b"], ["-o"]):
        done = project.run(*words)
        assert done.returncode == 2
        assert "Usage: network" in done.stderr
    done = project.run("missing.bin")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (
        1, "Error: missing.bin cannot be read."
    )  # fmt: skip
    assert project.run("-d", "nowhere").returncode == 1


@needs_compiler
def test_frames_run_for_their_time_leave_the_outputs(project: Project) -> None:
    """This network's output is written where its input was."""
    (entry,), (output,) = project.program.meta.inputs, project.program.meta.outputs
    assert entry.address == output.address
    integers = np.random.default_rng(9).integers(-128, 128, entry.shape).astype(np.int8)
    path = project.folder / "repeated.bin"
    path.write_bytes(integers.tobytes())
    once = project.outputs(path)
    assert project.outputs("-n", "4", path) == once
    assert "ms a frame" in project.run("-n", "4", path).stderr


@needs_compiler
@needs_header("stb/stb_image.h", "libstb-dev")
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "LA", "1", "I;16"])
def test_png(mode: str, project: Project, tmp_path: Path) -> None:
    """Every kind of PNG has the pixels that Pillow gives."""
    pixels = np.random.default_rng(10).integers(0, 256, (45, 50, 4)).astype(np.uint8)
    wide = Image.fromarray(pixels[:, :, :2].copy().view(np.uint16)[:, :, 0])
    shown = wide if mode == "I;16" else Image.fromarray(pixels).convert(mode)
    shown.save(tmp_path / "x.png")
    recipe = parse_recipe(project.program.meta.recipe or "", "stored")
    values = prepare_picture(tmp_path / "x.png", recipe, (3, 32, 32))[None]
    assert project.outputs(tmp_path / "x.png") == project.wanted(values)


@needs_compiler
@needs_header("stb/stb_image.h", "libstb-dev")
def test_jpeg(project: Project, tmp_path: Path) -> None:
    """Pixels of two decoders differ: a grey ramp's by at most 2 of 255."""
    ramp = np.linspace(0, 255, 32).astype(np.uint8)
    Image.fromarray(np.broadcast_to(ramp, (32, 32))).convert("RGB").save(tmp_path / "x.jpg")
    found = np.frombuffer(project.outputs(tmp_path / "x.jpg"), "<i2")
    recipe = parse_recipe(project.program.meta.recipe or "", "stored")
    values = prepare_picture(tmp_path / "x.jpg", recipe, (3, 32, 32))[None]
    wanted = np.frombuffer(project.wanted(values), "<i2")
    assert np.abs(found.astype(int) - wanted).max() <= 0.02 * np.abs(wanted).max()


def rearrange(built: Project, result: DeployResult) -> None:
    """Build another project with the objects of one that is built: only ``network/`` differs."""
    for path in result.files:
        name = path.relative_to(result.folder)
        if name.parts[0] in ("runtime", "src"):
            assert path.read_bytes() == (built.folder / name).read_bytes()
            shutil.copystat(built.folder / name, path)
    shutil.copytree(built.folder / "build/host", result.folder / "build/host")
    for stale in ("main.o", "files_hosted.o", "knl_known.o", "network"):
        (result.folder / "build/host" / stale).unlink()
    for path in (result.folder / "build/host").iterdir():
        path.touch()
    done = make(result.folder, STRICT)
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr


@needs_compiler
@pytest.mark.parametrize("layout", ["nhwc", "nhwcstride"])
def test_other_layouts(layout: Any, project: Project, here: Path) -> None:
    program = compiled()
    meta = replace(program.meta, input_layout=layout)
    rearrange(project, deploy(save(paired(replace(program, meta=meta)), layout)))
    built = Project(here / layout, program)
    values = np.random.default_rng(7).normal(0, 2, (1, 3, 32, 32)).astype(np.float32)
    pixels = values.transpose(0, 2, 3, 1)
    (entry,) = program.meta.inputs
    stored = entry.column_stride if layout == "nhwcstride" else 3
    pixels = np.pad(pixels, ((0, 0), (0, 0), (0, 0), (0, stored - 3)))
    (here / "x.bin").write_bytes(pixels.tobytes())
    assert built.outputs(here / "x.bin") == built.wanted(values)


@needs_compiler
@needs("cmake")
def test_cmake(project: Project) -> None:
    for command in (["cmake", "--preset"], ["cmake", "--build", "--preset"], ["ctest", "--preset"]):
        done = subprocess.run(
            [*command, "host"], cwd=project.folder, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stdout + done.stderr


@needs_compiler
@needs("c++")
def test_cpp(project: Project, tmp_path: Path) -> None:
    """The wrapper in C++17, and the example that classifies pictures."""
    objects = [path for path in (project.folder / "build/host").glob("*.o") if path.stem != "main"]
    flags = ("-std=c++17", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror")
    folders = [f"-I{project.folder / name}" for name in ("runtime", "network", "src")]
    example = Path(__file__).parent.parent / "examples/cpp/classify.cpp"
    done = subprocess.run(
        ["c++", *flags, *folders, example, *objects, "-o", tmp_path / "classify"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    pixels = np.random.default_rng(8).integers(0, 256, (32, 32, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.ppm")
    (tmp_path / "labels.txt").write_text("".join(f"{at}:class {at}\n" for at in range(9)))
    command = [tmp_path / "classify", project.folder / "network", tmp_path / "labels.txt"]
    done = subprocess.run([*command, tmp_path / "x.ppm"], capture_output=True, text=True)
    recipe = parse_recipe(project.program.meta.recipe or "", "stored")
    values = project.wanted(prepare_picture(pixels, recipe, (3, 32, 32))[None])
    scores = np.frombuffer(values, "<i2") * tensor_scale(project.program.meta.outputs[0])
    best = np.argsort(-scores, kind="stable")[:3]
    names = [f"class {at}" if at < 9 else str(at) for at in best]
    told = "".join(f" {name} ({scores[at]:.4f})" for name, at in zip(names, best, strict=True))
    assert (done.returncode, done.stdout) == (0, f"{tmp_path / 'x.ppm'}:{told}\n")
    (tmp_path / "y.txt").write_text("")
    for name, sentence in (("y.txt", "must be a PPM, PNG or JPEG."), ("z.ppm", "cannot be read.")):
        done = subprocess.run([*command, tmp_path / name], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (1, f"Error: {tmp_path / name} {sentence}\n")
    assert subprocess.run([tmp_path / "classify"], capture_output=True).returncode == 2


@needs_compiler
@needs("c++")
def test_cpp_owns_and_moves(project: Project, tmp_path: Path) -> None:
    source = """
    #include <array>
    #include <cassert>
    #include <cstdio>
    #include "knl.hpp"
    int main(int, char **words) {
        const std::string folder = words[1];
        knl::network first = knl::network::from_files(
            folder + "/network.cfg", folder + "/network.weight", KNL_CHECKED | KNL_CHIP_ONLY);
        knl::network net = std::move(first);
        assert(net.inputs() == 1 && net.outputs() == 1 && net.input(0).channels == 3);
        assert(net.input(0).type == KNL_S8 && net.chip() == "TX5368AV200");
        const knl::bytes known = knl::read_file(folder + "/known_input.bin");
        net.write_integers(0, known.data(), known.size());
        net.run();
        assert(net.read_integers(0) == knl::read_file(folder + "/known_output.bin"));
        int refused = 0;
        try { net.read(1); } catch (const knl::error &error) {
            refused += error.status() == KNL_ARGUMENT;
        }
        try { net.write(0, std::array<float, 2>{}); } catch (const knl::error &) { refused++; }
        try { knl::network(known, known); } catch (const knl::error &error) {
            refused += error.status() == KNL_NOT_OURS;
            std::puts(error.what());
        }
        assert(refused == 3);
        return 0;
    }
    """
    (tmp_path / "own.cpp").write_text(source)
    objects = [
        path for path in (project.folder / "build/host").glob("*.o")
        if path.stem not in ("main", "files_hosted")
    ]  # fmt: skip
    command = ["c++", "-std=c++17", "-Wall", "-Wextra", "-Werror", "-fsanitize=address,undefined"]
    made: list[str | Path] = [f"-I{project.folder / 'runtime'}", tmp_path / "own.cpp", *objects]
    subprocess.run([*command, *made, "-o", tmp_path / "own"], check=True)
    done = subprocess.run(
        [tmp_path / "own", project.folder / "network"], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (
        0, "the .cfg begins with another file's magic.\n"
    ), done.stderr  # fmt: skip


@pytest.mark.parametrize("processor", crossed)
def test_other_processors(processor: Processor, project: Project) -> None:
    """As files and by another's instructions; ``size`` is in the README."""
    done = make(project.folder, STRICT, f"PRESET={processor.preset}", "test")
    assert (done.returncode, done.stdout) == (0, "known answer: 20 bytes, 0 differ\n"), done.stderr
    readme = (project.folder / "README.md").read_text("ascii")
    assert re.search(rf"\| `{processor.preset}` \| {processor.compiler} \S+ \| \d{{5,6}} ", readme)


@needs("arm-none-eabi-gcc", "qemu-system-arm")
def test_bare_metal(here: Path) -> None:
    """The network in C arrays, a static arena, text by semihosting."""
    deploy(DeployOptions(out_dir=Path("bare"), arrays=True))
    done = make(here / "bare", STRICT, "PRESET=cortex_m", "test")
    assert (done.returncode, done.stdout) == (0, "known answer: 20 bytes, 0 differ\n"), done.stderr
    symbols = subprocess.run(
        ["arm-none-eabi-nm", here / "bare/build/cortex_m/network"], capture_output=True, text=True
    ).stdout.split()  # fmt: skip
    assert "knl_run_layers" in symbols
    assert not {f"knl_host_{row[1]}" for row in OPERATIONS} & {*symbols}
    header = here / "bare" / "network" / "network_known_output.h"
    known = from_c_array(header.read_text("ascii"))
    header.write_text(c_array("network_known_output", known[:-1] + bytes([known[-1] ^ 1])))
    done = make(here / "bare", "PRESET=cortex_m", "test")
    assert done.returncode != 0
    assert "1 differ" in done.stdout


# ------------------------------------------------------------------ what it holds


def test_operators_of_the_host_that_a_network_lacks_are_left_out() -> None:
    """Those between segments of the chip; a table of its own names what is linked."""
    plain, program = sound("classifier"), middle()
    for found, wanted in ((plain, []), (program, ["ScatterElements", "Hardmax"])):
        network = Described(found.meta, *encode_program(found), b"", b"", None)
        files = dict(project_files(network, (), arrays=False))
        assert "runtime/knl_known.c" not in files
        assert "knl_known.c" not in files["runtime/sources.txt"].decode().split()
        table, readme = (files[name].decode() for name in ("network/knl_known.c", "README.md"))
        assert re.findall(r'{"(\w+)", knl_host_', table) == wanted
        assert f"`network/knl_known.c`: {', '.join(sorted(wanted)) or 'nothing'}." in readme


@needs_compiler
def test_names_of_the_network_reach_no_source(project: Project, here: Path) -> None:
    program = compiled()
    names = {program.meta.outputs[0].name: f"{HOSTILE} output"}

    def renamed(entry: Any) -> Any:
        return replace(entry, name=names.get(entry.name, entry.name))

    meta = replace(
        program.meta,
        name=HOSTILE, chip=f"{HOSTILE}.toml", res_version='"\\$(x)',
        tensors=tuple(map(renamed, program.meta.tensors)),
        outputs=tuple(map(renamed, program.meta.outputs)),
        layers=tuple(replace(layer, name=HOSTILE) for layer in program.meta.layers),
        graph_outputs=tuple(names.get(name, name) for name in names), host=(),
    )  # fmt: skip
    result = deploy(save(paired(replace(program, meta=meta)), "hostile"))
    for path in result.files:
        if path.suffix not in (".cfg", ".weight", ".bin"):
            assert "PWNED" not in path.read_text("utf-8") or path.name == "README.md"
    readme = (here / "hostile" / "README.md").read_text("ascii")
    title = readme.splitlines()[0]
    assert not re.search(r"[^A-Za-z0-9 &#;]", title)
    assert "touch PWNED" in title
    (row,) = (line for line in readme.splitlines() if line.startswith("| output "))
    assert row.count("|") == 5
    rearrange(project, result)
    done = make(here / "hostile", "test")
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stderr
    assert not list(here.rglob("PWNED"))


@pytest.mark.parametrize(
    ("ddr", "fspm", "wspm", "mspm", "most"),
    [
        (0, 0, 0, 0, 64 + 4 * 64),
        (64, 128, 192, 256, 64 + 128 + 192 + 256 + 320),
        (1, 63, 65, 127, 64 + 128 + 128 + 192 + 192),  # each is rounded up behind its slack
    ],
)
def test_the_largest_arena_by_hand(ddr: int, fspm: int, wspm: int, mspm: int, most: int) -> None:
    chip = SimpleNamespace(fspm_bytes=fspm, wspm_bytes=wspm, mspm_bytes=mspm)
    sizes = {"own_end": ddr + 1000, "constants_bytes": 1000, "chip_values": chip}
    meta: Any = SimpleNamespace(**sizes, tensors=(), general=())
    assert most_arena_bytes(meta) == most


def test_each_input_is_its_own_part_of_the_known_one(tmp_path: Path) -> None:
    """One behind the other, in their types."""
    entries = (
        SimpleNamespace(name="a", shape=(1, 2, 1, 2), dtype=dtypes.U8),
        SimpleNamespace(name="b", shape=(1, 1, 1, 3), dtype=dtypes.S16),
        SimpleNamespace(name="c", shape=(1, 1, 1, 1), dtype=dtypes.S8),
    )
    values = [np.arange(4, dtype="u1"), np.array([-5, 300, 7], "<i2"), np.array([-1], "i1")]
    binary: Any = SimpleNamespace(
        cfg=tmp_path / "n_r.cfg",
        program=SimpleNamespace(meta=SimpleNamespace(inputs=entries)),
    )
    (tmp_path / "n_known_input.bin").write_bytes(b"".join(item.tobytes() for item in values))
    found = deployment._known_input(binary)
    assert list(found) == ["a", "b", "c"]
    for entry, wanted in zip(entries, values, strict=True):
        assert found[entry.name].shape == entry.shape
        assert found[entry.name].dtype == entry.dtype.numpy
        assert found[entry.name].ravel().tolist() == wanted.tolist()


@needs_compiler
def test_memory_is_told_to_the_byte(project: Project) -> None:
    files = encode_program(project.program)
    arena = arena_bytes(*files)
    assert arena <= most_arena_bytes(project.program.meta)
    network = Network(*files, options=CHECKED | CHIP_ONLY)
    network.use_kernels("scalar")
    assert network.arena_bytes >= most_arena_bytes(project.program.meta)
    sizes = {
        name: (project.folder / "network" / name).stat().st_size
        for name in ("network.cfg", "network.weight", "known_input.bin", "known_output.bin")
    }
    readme = (project.folder / "README.md").read_text("ascii")
    for what, size in (
        (".cfg", sizes["network.cfg"]),
        (".weight", sizes["network.weight"]),
        ("arena", arena),
        ("known answer", sizes["known_input.bin"] + sizes["known_output.bin"]),
    ):
        assert re.search(rf"\| `?{re.escape(what)}.* \| {size} \|", readme), what


@needs("gcc", "size")
def test_sizes_of_the_code_are_measured_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Again where what was kept is damaged; where others could write into the cache, every time.

    What the program does not call is not counted.
    """
    (tmp_path / "one.c").write_text(
        "int knl_one(int x) { return x + 1; }\nint other(int x) { return x * x * x + 5; }\n"
    )
    (tmp_path / "project/src").mkdir(parents=True)
    (tmp_path / "project/src/main.c").write_text("int main(void) { return knl_one(1); }\n")
    monkeypatch.setattr(code_size, "SOURCES", tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(code_size, "PRESETS", (Preset("own", "this machine", ""),))
    compiled = []

    def compiler(command: Any, folder: Any, seconds: float) -> str:
        compiled.append(command)
        return run_compiler(command, folder, seconds)

    monkeypatch.setattr(code_size, "run_compiler", compiler)

    def sizes(table: str = "") -> CodeSize:
        code_size.code_sizes.cache_clear()
        (found,) = code_size.code_sizes(table)
        return found

    try:
        first = sizes()
        assert first.compiler.startswith("gcc ")
        assert first.text > 0
        (kept,) = (tmp_path / "knightlite").iterdir()
        assert sizes() == first
        assert len(compiled) == 1
        for text in ("", "1 2", "1 2 x 12"):
            kept.write_text(text)
            assert sizes() == first
        assert [*kept.parent.iterdir()] == [kept]
        assert len(compiled) == 4
        kept.parent.chmod(0o770)
        kept.write_text("1 2 3 12")
        assert sizes() == first
        assert len(compiled) == 5
    finally:
        code_size.code_sizes.cache_clear()


def test_same_input_same_bytes_from_either_file(here: Path) -> None:
    def content(result: DeployResult) -> dict[str, bytes]:
        return {str(path.relative_to(result.folder)): path.read_bytes() for path in result.files}

    model = next(Path().glob("*.tsmodel"))
    one = deploy(DeployOptions(cfg=Path(CFG), out_dir=Path("one")))
    other = deploy(DeployOptions(model=model, out_dir=Path("other")))
    assert content(one) == content(other)
    assert (here / "one/network/known_output.bin").read_bytes() == Path(
        "digits_quantize_known_output.bin"
    ).read_bytes()
    for name in ("known_input", "known_output"):  # without them they are made
        Path(f"digits_quantize_{name}.bin").unlink()
    assert content(deploy(DeployOptions(cfg=Path(CFG), out_dir=Path("third")))) == content(one)


def test_a_folder_that_is_not_empty(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("full").mkdir()
    Path("full/own.txt").write_text("x")
    assert run(["deploy", "-o", "full"]) == 2
    told = capsys.readouterr()
    assert "full must be empty, and it is not." in told.err
    assert [path.name for path in Path("full").iterdir()] == ["own.txt"]
    assert run(["deploy", "-o", "full", "--force"]) == 0
    assert Path("full/own.txt").read_text() == "x"
    assert "make -C full test" in capsys.readouterr().out
    Path("file").write_text("x")
    with pytest.raises(UsageError, match="file is a file"):
        deploy(DeployOptions(out_dir=Path("file")))
    Path("full/src/main.c").unlink()
    Path("full/src/main.c").mkdir()  # cannot be replaced: then nothing is
    before = Path("full/README.md").stat().st_mtime_ns
    with pytest.raises(UsageError, match=r"main\.c cannot be written: it is a folder"):
        deploy(DeployOptions(out_dir=Path("full"), force=True))
    assert Path("full/README.md").stat().st_mtime_ns == before


# ------------------------------------------------------------------ bin2header


@settings(max_examples=100)
@given(st.binary(min_size=1, max_size=70))
def test_arrays_come_back(data: bytes) -> None:
    assert from_c_array(c_array("x", data)) == data
    assert from_c_array(", ".join(map(str, data))) == data


@pytest.mark.parametrize("text", ["", "{}", "{1, 2", "256", "0x100", "-1", "x", "1.5", "{1,y}"])
def test_what_is_no_array_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^(it has no numbers|its array|.* is no number from)"):
        from_c_array(text)


@needs_compiler
def test_bin2header(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bin2header", CFG, "1-net.h"]) == 0
    assert run(["bin2header", "1-net.h", "back.bin", "-r"]) == 0
    assert Path("back.bin").read_bytes() == Path(CFG).read_bytes()
    size = Path(CFG).stat().st_size
    Path("a.c").write_text(
        '#include "1-net.h"\n'
        "int main(void) {\n"
        f"    return sizeof data_1_net != {size} || (unsigned long)data_1_net % 64;\n}}\n"
    )
    subprocess.run(["cc", "-Wall", "-Werror", "a.c", "-o", "a"], check=True)
    assert subprocess.run(["./a"]).returncode == 0
    assert run(["bin2header", "missing", "x.h"]) == 2
    Path("bad.h").write_text("{1, 999}")
    assert run(["bin2header", "bad.h", "x.bin", "-r"]) == DataError.exit_code
    assert "bad.h is not a C array of bytes: 999 is no number from 0 to 255." in (
        capsys.readouterr().err
    )
