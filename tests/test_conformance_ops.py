"""ONE body for every operator's sample cases on every chip: all the opinions there are agree.

Compile, bytes, decode, check, run = the operator's integer reference = the golden model in ONNX
Runtime, byte for byte; and the assembled code, the predicted time and the refusals are sound.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from conformance_checks import (
    CHIPS,
    MAIN,
    ORIGIN,
    Golden,
    Tally,
    build,
    extreme_inputs,
    multiplies_wide,
    random_inputs,
    reference,
    run,
)
from knightlite.chip_files import find
from knightlite.compiler import compile_graph
from knightlite.errors import UnsupportedError
from knightlite.ir import Graph
from knightlite.isa import Transfer, assemble, disassemble
from knightlite.ops import ALL_OPS, BY_NAME, Constraint, OpDef, View
from knightlite.profiler import profile
from knightlite.schedule import LEVELS, Plan

FEW_VALUES = ("Affine-small", "Affine-large")  # gains at the ends of their range, on purpose
Answers = dict[bytes, list[dict[str, Any]]]  # of golden models, which chips may share
SAMPLES = {f"{op.name}-{graph.name}": graph for op in ALL_OPS for graph in op.samples()}


@pytest.fixture(scope="module", params=list(SAMPLES))
def sample(request: pytest.FixtureRequest) -> tuple[str, Graph, list[Any], Answers]:
    """A sample with its inputs, what its reference makes of them, and its golden models."""
    name: str = request.param
    graph = SAMPLES[name]
    rng = np.random.default_rng(list(name.encode()))
    inputs = [random_inputs(graph, rng), random_inputs(graph, rng), *extreme_inputs(graph)]
    return name, graph, [(item, reference(graph, item)) for item in inputs], {}


@pytest.mark.parametrize("chip_name", CHIPS)
def test_sample_on_chip(sample: tuple[str, Graph, list[Any], Answers], chip_name: str) -> None:
    name, graph, cases, answers = sample
    if multiplies_wide(graph) and 16 not in find(chip_name).chip.bit_widths:
        with pytest.raises(UnsupportedError, match="the chip multiplies 8-bit features by 8-bit"):
            build(graph, chip_name)
        return
    # every sample at every level of the schedule, and every chip as well, in turn
    level = ([*SAMPLES].index(name) + [*CHIPS].index(chip_name)) % len(LEVELS)
    built = build(graph, chip_name, level)
    golden, tally = Golden(built.compiled.graph), Tally()
    if golden.model not in answers:
        answers[golden.model] = [golden.run(inputs) for inputs, _ in cases]
    for (inputs, wanted), answer in zip(cases, answers[golden.model], strict=True):
        found = run(built, inputs)
        assert graph.outputs[0] in found
        # Concat's copies are tensors of the compiled graph only
        tally.compare(found, answer)
        tally.compare({key: found[key] for key in wanted}, wanted)
    assert not tally.wrong, "; ".join(tally.wrong.values())
    assert tally.differing == 0
    few = [item for item in tally.few if item in graph.outputs]
    assert few == (list(graph.outputs) if name in FEW_VALUES else [])

    code = built.program.code
    assert code == built.compiled.program.code
    assert assemble(disassemble(code)) == code

    chip = find(chip_name).chip
    told = profile(built.program)
    transfers = [item for item in built.machine.instructions if isinstance(item, Transfer)]
    moved = sum(item.payload_bytes for item in transfers)
    assert told.read_bytes + told.write_bytes == moved
    assert told.macs == sum(layer.macs for layer in built.program.meta.layers)
    assert told.cycles >= told.macs / chip.peak_macs_per_cycle
    assert told.cycles >= chip.ddr_cycles(moved)
    check_estimate(built.compiled.plan, told.cycles)
    # walked in bands, rows of an input that nobody reads are not loaded
    whole = (*graph.inputs, *graph.outputs) if level == 0 else graph.outputs
    tensors = [graph.tensors[item] for item in whole]
    if BY_NAME[graph.nodes[0].op].executes:  # else it lies in its inputs, or their copies in it
        assert moved >= sum(tensor.elements * tensor.dtype.size_bytes for tensor in tensors)


def check_estimate(plan: Plan, cycles: int) -> None:
    """The scheduler's estimate of a layer is its simulated time."""
    estimate = sum(layer.estimated_cycles for layer in plan.layers)
    if len(plan.layers) == 1 or plan.order is not None:
        assert estimate == cycles
    elif not plan.level.in_turn:  # layers overlap, each is priced alone
        assert cycles <= estimate
    elif plan.layers:  # the setup of a first load overlaps with the last store of the layer before
        assert cycles <= estimate <= 1.02 * cycles + 40


@pytest.mark.parametrize(
    ("op", "constraint"),
    [
        pytest.param(op, constraint, id=f"{op.name}-{index}")
        for op in ALL_OPS
        for index, constraint in enumerate(op.constraints)
    ],
)
def test_constraint_refuses(op: OpDef, constraint: Constraint) -> None:
    """The compiler says the constraint's own sentence, for the node."""
    graph = constraint.breaks()
    (node,) = graph.nodes
    reason = constraint.check(View(graph, node))
    with pytest.raises(UnsupportedError) as caught:
        compile_graph(graph, find(MAIN), MAIN, ORIGIN)
    told = [(finding.where, finding.sentence) for finding in caught.value.findings]
    assert (node.name, f"{op.name}: {reason}.") in told
    assert caught.value.sentence == (
        f"{len(told)} node(s) of {graph.name} cannot run on {MAIN}: {caught.value.findings[0]}"
    )
