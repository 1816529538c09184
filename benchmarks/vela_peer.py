"""Arm's Vela in an environment of its own: cycles, DRAM bytes and CPU seconds of a network.

Vela compiles for Ethos-U85-1024 as ``vela.ini`` says, a network of ``schedule_networks.py`` that
``network_tflite.py`` wrote. Its cycles are its own estimate, as ours are: neither is a board's.
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("ethos-u-vela==5.2.0", "ai-edge-litert==2.3.0")
FOLDER = ROOT / "build" / "vela"
PYTHON = FOLDER / "bin" / "python"
MAKER = Path(__file__).with_name("network_tflite.py")
ARGUMENTS = (
    "--accelerator-config", "ethos-u85-1024", "--config", str(Path(__file__).with_name("vela.ini")),
    "--system-config", "Edge_Like", "--memory-mode", "Edge_2MB",
)  # fmt: skip


@dataclass(frozen=True)
class VelaRow:
    """What Vela says of a network, and the CPU seconds that it took to compile it."""

    cycles: int
    ddr_bytes: int
    seconds: float


def cpu_seconds(command: Sequence[str], environment: Mapping[str, str] | None = None) -> float:
    """Run a command; the CPU seconds, user and system, of it alone. SystemExit where it fails."""
    with subprocess.Popen(
        list(command), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment
    ) as child:
        assert child.stderr is not None
        told = child.stderr.read()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{told.decode(errors='replace')[-2000:]}")
    return round(usage.ru_utime + usage.ru_stime, 2)


def make_environment() -> None:
    """Vela's environment, with the versions of PACKAGES."""
    if not PYTHON.is_file():
        print(f"installing {', '.join(PACKAGES)} into {FOLDER}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(FOLDER)], check=True)
        subprocess.run([str(PYTHON), "-m", "pip", "install", "-q", *PACKAGES], check=True)
    listed = subprocess.run(
        [str(PYTHON), "-m", "pip", "freeze"], check=True, capture_output=True, text=True
    )
    missing = {item.replace("-", "_") for item in PACKAGES} - {
        item.replace("-", "_") for item in listed.stdout.split()
    }
    if missing:
        raise SystemExit(f"{FOLDER} lacks {', '.join(sorted(missing))}: remove it.")


def measure(name: str, networks: Path, folder: Path) -> VelaRow:
    """Compile network ``name``, kept in ``networks``; Vela's files go into ``folder``."""
    model = networks / f"{name}.tflite"
    if not model.is_file():
        subprocess.run([str(PYTHON), str(MAKER), name, str(model)], check=True)
    vela = str(PYTHON.with_name("vela"))
    seconds = cpu_seconds([vela, str(model), *ARGUMENTS, "--output-dir", str(folder)])
    (summary,) = folder.glob(f"{name}_summary_*.csv")
    with summary.open(newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    return VelaRow(
        round(float(row["cycles_total"])), round(float(row["dram_total_bytes"])), seconds
    )
