"""What a plan says of the host: the runtime in C refuses indices that lead nowhere."""

from __future__ import annotations

import hashlib
import re
import struct

import pytest

from compilers import needs_compiler
from knightlite.container import (
    CFG_MAGIC,
    WEIGHT_MAGIC,
    Program,
    encode_program,
    read_sections,
    write_sections,
)
from knightlite.container.plan import (
    GENERAL,
    HEAD,
    HOST_ATTRIBUTE,
    HOST_OPERAND,
    HOST_OPERATOR,
    RECORDS,
    Record,
)
from knightlite.errors import FormatError
from knightlite.native.library import CHECKED, CHIP_ONLY, Network
from test_runtime import sound
from test_runtime_layers import middle
from test_sim_lib import W, hosted, step

pytestmark = needs_compiler

HUGE = 0xFFFFFFF0
COUNTS = {
    "layer": "layers", "tensor": "tensors", "general": "general_layers", "scale": "scales",
    "host_operator": "host_operators", "host_operand": "host_operands",
    "host_attribute": "host_attributes", "result": "results", "state": "states",
    "number": "numbers",
}  # fmt: skip


def with_host() -> Program:
    """A program whose host reads a constant and has attributes of all kinds."""
    program = sound("classifier")
    chip = program.meta.outputs[0].name
    return hosted(
        program,
        step("Mul", (chip, "weights"), "product", {"weights": W[:, :1]}),
        step("Mine", ("product",), "made", axis=1, ratio=0.5, mode="linear", names=("a", "b")),
    )


def places(plan: bytes) -> dict[str, int]:
    """Where the records of each kind begin."""
    head = dict(zip((item.name for item in HEAD.items), HEAD.form.unpack_from(plan), strict=True))
    found, at = {}, HEAD.form.size
    for record in RECORDS[1:]:
        found[record.name] = at
        if record.name == "place":
            count = head["inputs"] + head["outputs"] + head["general_reads"]
        else:
            count = head[COUNTS[record.name]]
        at += count * record.form.size
    return found


def changed(program: Program, at: int, value: int) -> tuple[bytes, bytes]:
    """Both files with a number of the plan changed; all checksums and the pair are right."""
    cfg, weight = encode_program(program)
    sections = dict(read_sections(CFG_MAGIC, cfg, "p.cfg"))
    others = dict(read_sections(WEIGHT_MAGIC, weight, "p.weight"))
    plan = bytearray(sections["plan"])
    struct.pack_into("<I", plan, at, value)
    plan[:32] = bytes(32)
    parts = (bytes(plan), sections["code"], others["data"], sections.get("host", b""))
    pair = hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).digest()
    plan[:32] = pair
    sections["plan"] = bytes(plan)
    others["meta"] = re.sub(
        rb'"pair":"[0-9a-f]{64}"', b'"pair":"' + pair.hex().encode() + b'"', others["meta"]
    )
    return write_sections(CFG_MAGIC, sections), write_sections(WEIGHT_MAGIC, others)


def test_a_sound_plan_is_read() -> None:
    program = with_host()
    plan = dict(read_sections(CFG_MAGIC, encode_program(program)[0], "p.cfg"))["plan"]
    at = places(plan)["host_operator"] + 4
    (length,) = struct.unpack_from("<I", plan, at)
    Network(*changed(program, at, length), CHECKED | CHIP_ONLY).start()


@pytest.mark.parametrize("field", [item.name for item in GENERAL.items])
def test_numbers_of_a_general_layer(field: str) -> None:
    """Of the second layer: its name, what it reads and writes, its operators, and when it runs."""
    program = middle()
    plan = dict(read_sections(CFG_MAGIC, encode_program(program)[0], "p.cfg"))["plan"]
    names = [item.name for item in GENERAL.items]
    at = places(plan)["general"] + GENERAL.form.size + GENERAL.offsets[names.index(field)]
    files = changed(program, at, HUGE)
    if field in UNREAD:
        Network(*files, CHECKED | CHIP_ONLY).start()
        return
    with pytest.raises(FormatError) as caught:
        Network(*files, CHECKED | CHIP_ONLY)
    assert caught.value.sentence.endswith(".")


UNREAD = ("op_offset", "op_bytes", "layer_type")
"""What the runtime only hands on: names that nobody asks for, the number of a handler."""
CASES = [
    (record, item.name)
    for record in (HOST_OPERATOR, HOST_OPERAND, HOST_ATTRIBUTE)
    for item in record.items
    if item.name != "is_list"
]


@pytest.mark.parametrize(
    ("record", "field"), CASES, ids=lambda item: str(getattr(item, "name", item))
)
def test_numbers_that_lead_nowhere(record: Record, field: str) -> None:
    """Of the first operator; of the constant; of an attribute that is a list of texts."""
    program = with_host()
    plan = dict(read_sections(CFG_MAGIC, encode_program(program)[0], "p.cfg"))["plan"]
    number = {"host_operator": 1, "host_operand": 1, "host_attribute": 2}[record.name]
    names = [item.name for item in record.items]
    at = places(plan)[record.name] + number * record.form.size + record.offsets[names.index(field)]
    with pytest.raises(FormatError, match=r"the \.cfg is damaged") as caught:
        Network(*changed(program, at, HUGE), CHECKED | CHIP_ONLY)
    assert caught.value.sentence.endswith(".")
