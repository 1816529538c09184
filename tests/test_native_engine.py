"""``engine="native"`` and ``--engine native``: the same results; the library in its cache."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import numpy as np
import pytest

import knightlite
from compilers import needs_compiler
from knightlite.api.simulation import simulate
from knightlite.cli.program import run
from knightlite.errors import UsageError
from knightlite.native import build
from knightlite.options.simulate import SimulateOptions

CFG, WEIGHT, KNOWN = (
    f"digits_quantize_{name}" for name in ("r.cfg", "r.weight", "known_input.bin")
)


@needs_compiler
def test_session(here: Path) -> None:
    sessions = [knightlite.Session(CFG, WEIGHT, engine=name) for name in ("numpy", "native")]
    frames = np.fromfile(KNOWN, np.int8).reshape(1, 3, 32, 32)
    frames = np.concatenate([frames, -1 - frames])
    (one,), (other,) = (session.run(None, {"x": frames}) for session in sessions)
    assert one.shape[0] == 2
    np.testing.assert_array_equal(one, other)
    (one,), (other,) = (session.run_integers({"x": frames}).values() for session in sessions)
    assert one.tobytes() == other.tobytes()


def test_another_engine_is_refused(here: Path) -> None:
    with pytest.raises(UsageError, match=r"the engine must be numpy or native, not C\."):
        knightlite.Session(CFG, WEIGHT, engine="C")


@needs_compiler
def test_sim_checks_every_tensor(here: Path) -> None:
    """As with numpy: the same files, the same bytes compared, none of which differs."""
    found = [
        simulate(
            SimulateOptions(input=KNOWN, engine=name, check=True, debug="all", out_dir=here / name)
        )
        for name in ("numpy", "native")
    ]
    one, other = ({key: path.read_bytes() for key, path in item.files.items()} for item in found)
    assert one == other
    assert found[0].compared_bytes == found[1].compared_bytes
    assert found[0].compared_bytes
    assert found[1].differing_bytes == 0


@needs_compiler
def test_eval_counts_the_same(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = []
    for name in ("numpy", "native"):
        command = ["eval", "digits_quantize.onnx", CFG, "-d", "calib", "-j", "1", "--check"]
        assert run([*command, "--engine", name, "--json"]) == 0
        told.append(re.sub(r'"seconds": [^,}]*', "", capsys.readouterr().out))
    assert told[0] == told[1]
    assert '"schema"' in told[0]


@needs_compiler
def test_library_is_built_once_for_the_user_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    flags = ("-std=c99", "-O0", "-fPIC", "-shared")
    path = build.build_library(flags)
    assert path.parent == tmp_path / "knightlite"
    assert stat.S_IMODE(path.parent.stat().st_mode) == build.PRIVATE
    assert [item.name for item in path.parent.iterdir()] == [path.name]  # nothing half-made
    made = path.stat().st_mtime_ns
    assert build.build_library(flags) == path
    assert path.stat().st_mtime_ns == made
    assert build.build_library(("-O0", *flags)) != path  # other flags, another library
    path.parent.chmod(0o770)
    with pytest.raises(UsageError, match="must be a folder that only you can write"):
        build.build_library(flags)


@needs_compiler
def test_what_the_compiler_refuses_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(UsageError, match=r"could not build the native engine: .*no-such-flag"):
        build.build_library(("--no-such-flag",))
    assert not list((tmp_path / "knightlite").iterdir())
