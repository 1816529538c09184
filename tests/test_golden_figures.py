"""What compiling gives: time, traffic and bytes of six networks on three chips at every level.

Beside them time and traffic of all operators' samples. Nothing else in the tests says that a
program may not become slower. A change of the scheduler, of a cost or of a byte shows as a table of
before and after; what is wanted is written by ``pytest --update-golden``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import pytest

from conformance_checks import ORIGIN, SHORT
from conftest import Golden
from golden_table import Layout
from integer_nets import NETWORKS
from knightlite.chip_files import find
from knightlite.compiler import Compiled, compile_graph, plan_graph
from knightlite.container import decode_program, encode_program
from knightlite.emit import program_code
from knightlite.isa import Load, Store
from knightlite.ops import ALL_OPS
from knightlite.profiler import profile
from knightlite.schedule import LEVELS as SCHEDULE_LEVELS
from knightlite.schedule import Tilings
from knightlite.sim import Machine, simulate_time

CHIPS = ("TX5368AV200", "TX5215CV200", "TX5112CV201")  # 32 x 64, 16 x 32, 16 x 16 lanes
LEVELS = range(len(SCHEDULE_LEVELS))
LAYOUT = Layout(
    ("network", "chip", "level"),
    ("cycles", "read_bytes", "write_bytes", "mac_percent", "ddr_percent", "ddr_bytes",
     "cfg_sha256", "weight_sha256"),
)  # fmt: skip

Key = tuple[str, str, int]  # network, chip, level


@pytest.fixture(scope="module")
def compiled() -> Mapping[Key, Compiled]:
    """Every network on every chip at every level, in the order of the rows.

    Level 0 is what the compiler does unasked, further ones are asked for. The description has no
    version in it: a release changes no row.
    """
    found: dict[Key, Compiled] = {}
    for make in NETWORKS:
        graph = make()
        for chip in CHIPS:
            tilings: Tilings = {}  # of layers that the levels have in common
            for level in LEVELS:
                asked: dict[str, Any] = {"level": level, "budget": SHORT} if level else {}
                made = compile_graph(graph, find(chip), chip, ORIGIN, tilings=tilings, **asked)
                assert made.program.meta.schedule_level == level
                found[graph.name, chip, level] = made
    return found


def figures(made: Compiled, chip: str) -> dict[str, str]:
    """One row, from the files' bytes; the machine's checks have nothing to say against them."""
    cfg, weight = encode_program(made.program)
    program = decode_program(cfg, weight, "x.cfg", "x.weight")
    Machine(program, find(chip)).check()
    found = profile(program)
    return {
        "cycles": str(found.cycles),
        "read_bytes": str(found.read_bytes),
        "write_bytes": str(found.write_bytes),
        "mac_percent": f"{100 * found.mac_utilization:.3f}",
        "ddr_percent": f"{100 * found.ddr_utilization:.3f}",
        "ddr_bytes": str(program.meta.ddr_bytes),
        "cfg_sha256": hashlib.sha256(cfg).hexdigest()[:16],
        "weight_sha256": hashlib.sha256(weight).hexdigest()[:16],
    }


def test_figures(golden: Golden, compiled: Mapping[Key, Compiled]) -> None:
    rows: dict[tuple[str, ...], dict[str, str]] = {
        (network, chip, str(level)): figures(made, chip)
        for (network, chip, level), made in compiled.items()
    }
    golden.table("figures.txt", LAYOUT, rows)


@pytest.mark.parametrize("chip", CHIPS)
def test_every_way_to_cut_a_layer_is_in_the_figures(
    chip: str, compiled: Mapping[Key, Compiled]
) -> None:
    """Rows, channels of outputs and of inputs are cut; weights are loaded again, in turn."""
    seen = set()
    for (_, where, _), made in compiled.items():
        for layer in made.plan.layers if where == chip else ():
            shape, tiling = layer.geometry, layer.tiling
            outs, ins, _ = shape.counts(tiling)
            _, tiles, slots = shape.weight_slots(tiling)
            ways = {
                "rows": tiling.rows < shape.y.shape[2],
                "outs": outs > 1,
                "ins": ins > 1,
                "weights in turn": tiles > slots,
            }
            seen |= {name for name, is_taken in ways.items() if is_taken}
    assert seen == {"rows", "outs", "ins", "weights in turn"}


OPERATORS = Layout(
    ("operator", "chip"), ("samples", "instructions", "cycles", "read_bytes", "write_bytes")
)


def test_operators(golden: Golden) -> None:
    rows: dict[tuple[str, ...], dict[str, str]] = {}
    for operator in ALL_OPS:
        for chip in (CHIPS[0], CHIPS[-1]):
            samples = operator.samples()
            codes = [program_code(plan_graph(graph, find(chip), chip)) for graph in samples]
            moved = [
                (type(item), item.payload_bytes)
                for code in codes
                for item in code
                if isinstance(item, Load | Store)
            ]
            cycles = (simulate_time(code, find(chip).chip).total_cycles for code in codes)
            rows[operator.name, chip] = {
                "samples": str(len(samples)),
                "instructions": str(sum(map(len, codes))),
                "cycles": str(sum(cycles)),
                "read_bytes": str(sum(size for kind, size in moved if kind is Load)),
                "write_bytes": str(sum(size for kind, size in moved if kind is Store)),
            }
    golden.table("operator_figures.txt", OPERATORS, rows)
