"""What a .cfg says of its program: every contradiction is a sentence, found before it does harm."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assembled import copying_program, program, tensor
from knightlite.api.inspection.compiled_files import Inspection
from knightlite.api.simulation.host import blob_names
from knightlite.container import (
    CFG_MAGIC,
    Description,
    HostOperator,
    InputNote,
    Piece,
    Program,
    QuantizationNotes,
    StoredTensor,
    cfg_description,
    constant,
    read_sections,
    write_sections,
)
from knightlite.errors import FormatError, KnightliteError, MachineError
from knightlite.json_records import canonical_json, encode, from_json, to_json
from knightlite.profiler import profile, profile_text
from knightlite.sim import Machine
from knightlite.sim.host import finish
from knightlite.sim.outputs import stems_of
from record_values import mutations

NOTES = QuantizationNotes(
    bias_correction="off", bit_width=8, chip="tiny", data="4 pictures", data_sha256="1" * 64,
    effort="low", input_layout="nchw", method="mse", model_sha256="2" * 64, pictures=4,
    recipe=None, rounding="nearest", seed=0,
)  # fmt: skip
X = tensor("x", "u8", (3, 4, 5), 0, scale=(0.5, 0.25, 1.0))
Y = tensor("y", "s16", (2, 1, 1), 64, ready=7)
RESHAPE = HostOperator("r", "Reshape", ("y",), ("z",), {"shape": (1, 2)}, {})
SUM = HostOperator("s", "Add", ("z", "one"), ("t",), {}, {"one": constant(np.ones((1, 2)))})


def described() -> Description:
    made = program([], bytes(64), [X], [Y], [X, Y], ddr_bytes=128, host=(RESHAPE, SUM))
    return replace(made.meta, graph_outputs=("t", "y"), quantization=NOTES)


def value() -> Any:
    """The description as the ``json`` module reads it."""
    return json.loads(encode(described(), "x"))


def read(meta: Any) -> Description:
    data = write_sections(CFG_MAGIC, {"meta": canonical_json(meta)})
    return cfg_description(read_sections(CFG_MAGIC, data, "x.cfg"), "x.cfg")


def change(path: str, new: Any) -> Any:
    """The description with the value at ``a.b[0].c`` replaced."""
    meta = value()
    names = [
        int(n) if n.isdigit() else n for n in path.replace("[", ".").replace("]", "").split(".")
    ]
    holder = meta
    for name in names[:-1]:
        holder = holder[name]
    holder[names[-1]] = new
    return meta


def test_it_comes_back() -> None:
    assert read(value()) == described()
    bare = replace(described(), quantization=None)
    assert to_json(bare)["quantization"] == {}
    assert read(to_json(bare)) == bare
    fed = replace(NOTES, inputs={"x": InputNote("uint8", (1.5,), ())}, ir_batch=4)
    assert {"inputs", "ir_batch"} == to_json(fed).keys() - to_json(NOTES).keys()
    assert read(to_json(replace(bare, quantization=fed))).quantization == fed


COUNT = "a whole number of at least 1"
SCALE = "a floating-point number above 0 that float32 holds"
ADDRESS = "a whole number from 0 to 1099511627776"


@pytest.mark.parametrize(
    ("path", "new", "sentence"),
    [
        ("name", 5, "name must be a text, not 5."),
        ("comment", "hi", 'comment must be absent, not "hi".'),
        ("pair", "0" * 63, f'pair must be a text of 64 hexadecimal digits, not "{"0" * 56}....'),
        ("res_version", "1" * 17,
         f'res_version must be a text of at most 16 characters, not "{"1" * 17}".'),
        ("input_layout", "chwn",
         'input_layout must be one of nchw, nhwc, nhwcstride, not "chwn".'),
        ("chip_values.clock_hz", 0, f"chip_values.clock_hz must be {COUNT}, not 0."),
        ("chip_values.cores", 2, "chip_values.cores must be absent, not 2."),
        ("chip_values.ddr_align_bytes", 24, "chip_values.ddr_align_bytes must be a whole number of "
         "at least 4 that is a power of 2, not 24."),
        ("quantization", None, "quantization must be an object, not null."),
        ("quantization.bit_width", 4, "quantization.bit_width must be one of 8, 16, not 4."),
        ("quantization.ir_batch", 0, f"quantization.ir_batch must be {COUNT}, not 0."),
        ("quantization.inputs", {"x": {"type": "u8", "mean": [], "std": []}},
         'quantization.inputs.x.type must be one of float32, uint8, int8, int16, not "u8".'),
        ("layers[1].macs", -1, "layers[1].macs must be a whole number of at least 0, not -1."),
        ("layers[2].tile.order", 1, "layers[2].tile.order must be one of channels, rows, not 1."),
        ("layers", [], "fspm_peak must be a list of 0, one per layer, not a list of 3."),
        ("fspm_peak", [1], "fspm_peak must be a list of 3, one per layer, not a list of 1."),
        ("inputs", [], "inputs must be a list that is not empty, not a list of 0."),
        ("inputs[0].shape", [1, 3, 4], "inputs[0].shape must be a list of 4, not a list of 3."),
        ("inputs[0].shape[0]", 2, "inputs[0].shape[0] must be 1, not 2."),
        ("inputs[0].shape[3]", 0, f"inputs[0].shape[3] must be {COUNT}, not 0."),
        ("inputs[0].type", "f32", 'inputs[0].type must be one of u8, s8, s16, not "f32".'),
        ("inputs[0].scale", [1.0, 2.0],
         "inputs[0].scale must be a list of 3, one per channel, not a list of 2."),
        ("outputs[0].scale", 0.0, f"outputs[0].scale must be {SCALE} or a list, not 0.0."),
        ("outputs[0].scale", -1.0, f"outputs[0].scale must be {SCALE} or a list, not -1.0."),
        ("inputs[0].scale[1]", 1e39, f"inputs[0].scale[1] must be {SCALE}, not 1e+39."),
        ("inputs[0].address", -64, f"inputs[0].address must be {ADDRESS}, not -64."),
        ("tensors[1].address", 125,
         "tensors[1].address must be such that it ends within 128 bytes, not 125."),
        ("tensors[0].shape[2]", 1 << 40,
         "tensors[0].address must be such that it ends within 128 bytes, not 0."),
        ("tensors[0].column_stride", 2, "tensors[0].column_stride must be at least 3, not 2."),
        ("tensors[0].row_stride", 14, "tensors[0].row_stride must be at least 15, not 14."),
        ("tensors[0].row_stride", 2, "tensors[0].row_stride must be at least 3, not 2."),
        ("tensors[1].ready", -2,
         "tensors[1].ready must be a whole number of at least -1, not -2."),
        ("tensors[1].name", "x", 'tensors[1].name must be a name of its own, not "x" again.'),
        ("inputs[0].name", "w", 'inputs[0] must be one of the tensors, not another "w".'),
        ("outputs[0].ready", 8, 'outputs[0] must be one of the tensors, not another "y".'),
        ("ddr_bytes", 67, "tensors[1].address must be such that it ends within 67 bytes, not 64."),
        ("fspm_peak[1]", 524289,
         "fspm_peak[1] must be at most 4096, what the chip has, not 524289."),
        ("constants_bytes", 129, "constants_bytes must be at most 128, not 129."),
        ("graph_outputs", [], "graph_outputs must be a list that is not empty, not a list of 0."),
        ("graph_outputs[0]", "x",
         'graph_outputs[0] must be what the chip or the host computes, not "x".'),
        ("host[0].inputs[0]", "t",
         'host[0].inputs[0] must be what the chip or the host computes, not "t".'),
        ("host[0].inputs", [], "host[0].inputs must be a list that is not empty, not a list of 0."),
        ("graph_outputs[0]", "",
         'graph_outputs[0] must be what the chip or the host computes, not "".'),
        ("host[0].outputs[0]", "y", 'host[0].outputs[0] must be a name of its own, not "y".'),
        ("host[1].outputs[0]", "z", 'host[1].outputs[0] must be a name of its own, not "z".'),
        ("host[0].outputs", [],
         "host[0].outputs must be a list that is not empty, not a list of 0."),
        ("host[0].attributes.shape", [1, "a"], "host[0].attributes.shape must be a whole number or "
         "a floating-point number or a text or a list, not a list of 2."),
        ("host[1].constants.one.type", "object", "host[1].constants.one.type must be one of bool, "
         "int8, int16, int32, int64, uint8, uint16, uint32, uint64, float16, float32, float64, not "
         '"object".'),
        ("host[1].constants.one.shape", [3],
         "host[1].constants.one.data must be 24 bytes as its shape says, not 16."),
        ("host[1].constants.one.shape", [1 << 21, 1 << 21, 0], "host[1].constants.one.shape must "
         "be that of at most 1099511627776 elements, not of 4398046511104."),
        ("host[1].constants.one.shape", [1] * 33,
         "host[1].constants.one.shape must be a list of at most 32 items, not a list of 33."),
        ("host[1].constants.one.data", "AAA",
         'host[1].constants.one.data must be bytes in base64, not "AAA".'),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said(path: str, new: Any, sentence: str) -> None:
    with pytest.raises(FormatError) as caught:
        read(change(path, new))
    assert caught.value.sentence == f"x.cfg is damaged: {sentence}"
    assert caught.value.hint == "compile the model again"


def test_every_key_is_needed() -> None:
    for name in value():
        meta = value()
        del meta[name]
        with pytest.raises(FormatError, match=rf"^x\.cfg is damaged: {name} must be .* not absent"):
            read(meta)


@pytest.mark.parametrize(
    "kind", ["bool", "int8", "uint16", "int64", "float16", "float32", "float64"]
)
def test_arrays_come_back(kind: str) -> None:
    values = np.arange(6).reshape(2, 1, 3).astype(kind)
    for array in (
        values,
        values.T,
        values[:, :0],
        values[0, 0, 1],
        values.astype(f">{values.dtype.str[1:]}"),
    ):
        found = constant(np.asarray(array)).array
        assert found.dtype == kind
        assert found.shape == array.shape
        assert np.array_equal(found, array)


def test_an_array_that_no_file_can_hold() -> None:
    step = replace(SUM, constants={"one": constant(np.asarray(["a"]))})
    with pytest.raises(FormatError, match=r"^x is damaged: constants.one.type must be one of "):
        encode(step, "x")


HOST = (
    HostOperator("r", "Reshape", ("y",), ("z",), {"shape": (1, 24)}, {}),
    HostOperator("p", "Softmax", ("z",), ("p",), {"axis": -1}, {}),
)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_whatever_a_description_says_its_users_refuse_or_work(data: st.DataObject) -> None:
    """One value changed, in a file whose checksums are sound: nothing but sentences comes of it."""
    right = copying_program(host=HOST, graph_outputs=("p", "y"))
    whole = to_json(right.meta)
    inside = data.draw(st.sampled_from(["tensors", "inputs", "outputs", "host", *whole]))
    changed = {**whole, inside: data.draw(mutations(whole[inside]))}
    with contextlib.suppress(KnightliteError):
        use(replace(right, meta=from_json(Description, changed, "x.cfg")))


def use(made: Program) -> None:
    """Everything that reads descriptions, as the commands do."""
    tuple(Inspection("x.cfg", "cfg", made.meta, {}, made.code).lines())
    blob_names(made.meta)
    profile_text(profile(made))
    machine = Machine(made)
    inputs = {item.name: np.zeros(item.shape, item.dtype.numpy) for item in made.meta.inputs}
    seen: dict[str, Any] = {}
    outputs = machine.run(inputs, seen.__setitem__)
    assert seen.keys() == {item.name for item in made.meta.tensors}
    finish(made.meta, outputs)
    stems_of(made.meta)


def test_a_layer_that_is_not_there() -> None:
    made = copying_program(layers=())
    with pytest.raises(FormatError) as caught:
        tuple(Inspection("x", "cfg", made.meta, {}, made.code).lines())
    assert caught.value.sentence == "an instruction must name one of 0 layers, not 0."
    with pytest.raises(MachineError) as stopped:
        profile(made)
    assert stopped.value.sentence == (
        "instruction 0 (load, layer number 0) must name one of 0 layers, not 0."
    )


def test_what_a_tensor_takes() -> None:
    assert (X.end, X.pixel_bytes) == (60, 3)
    assert (Y.end, Y.pixel_bytes, Y.dtype.name) == (68, 4, "s16")
    apart: Callable[..., Any] = replace
    assert list(apart(X, row_stride=3, column_stride=12).misfits()) == []  # transposed
    assert list(apart(X, row_stride=3, column_stride=11).misfits()) == [
        ("column_stride", "at least 12", "11")
    ]
    # every other column of five: the last one is followed by nothing, least of all a gap
    odd = tensor("x", "u8", (4, 2, 3), 0, column_stride=8, row_stride=20)
    assert list(odd.misfits()) == []
    assert list(apart(odd, row_stride=19).misfits()) == [("row_stride", "at least 20", "19")]
    assert apart(X, row_stride=100, column_stride=10, address=7).end == 7 + 3 * 100 + 4 * 10 + 3


def in_pieces(*lives: tuple[int, int]) -> StoredTensor:
    """A tensor of a row for each piece, in FSPM from its first instruction until it is ready."""
    pieces = tuple(
        Piece(row, 1, 100 * row + 5, 50, 10, first, ready)
        for row, (first, ready) in enumerate(lives)
    )
    first, ready = min(a for a, _ in lives), max(b for _, b in lives)
    return StoredTensor(
        "t", (1, 3, len(lives), 4), "u8", 1.0, 5, 50, 10, first, ready, pieces
    )  # fmt: skip


def test_a_tensor_in_pieces_is_what_they_are() -> None:
    """It begins with whichever is first, and is ready with whichever is last."""
    for lives in (((3, 5), (4, 9)), ((4, 9), (3, 5)), ((3, 9), (4, 5)), ((4, 5), (3, 9))):
        sound = in_pieces(*lives)
        assert (sound.first, sound.ready, list(sound.misfits())) == (3, 9, [])
        assert sound.end == 0
        assert [sound.piece_end(piece) for piece in sound.pieces] == [
            5 + 3 * 10 + 3, 105 + 3 * 10 + 3,
        ]  # fmt: skip
        for name, right in (
            ("first", 3), ("ready", 9), ("address", 5), ("row_stride", 50), ("column_stride", 10),
        ):  # fmt: skip
            for wrong in (right - 1, right + 1):
                changed: dict[str, Any] = {name: wrong}
                assert list(replace(sound, **changed).misfits()) == [
                    (name, f"{right}, as its pieces are", str(wrong))
                ]


def test_pieces_are_all_rows_from_the_top() -> None:
    sound = in_pieces((1, 2), (3, 4), (5, 6))
    one, two, three = sound.pieces
    for pieces, faults in (
        ((one, two), [("pieces", "those of 3 rows", "of 2")]),
        ((one, replace(two, rows=2), three),
         [("pieces[2].row", "3", "2"), ("pieces", "those of 3 rows", "of 4")]),
        ((one, three, two), [("pieces[1].row", "1", "2"), ("pieces[2].row", "2", "1")]),
        ((one, replace(two, ready=2), three), [("pieces[1].ready", "at least 3", "2")]),
        ((one, replace(two, rows=2)), []),
    ):  # fmt: skip
        changed = replace(sound, pieces=pieces, ready=max(item.ready for item in pieces))
        assert list(changed.misfits()) == faults


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"first": 9}, "outputs[0].ready must be at least 9, not 7."),
        ({"first": -1}, "outputs[0].ready must be -1, as its first is, not 7."),
        ({"first": 0, "ready": -1}, "outputs[0].ready must be at least 0, not -1."),
    ],
)
def test_the_life_of_a_tensor(changes: dict[str, int], sentence: str) -> None:
    meta = value()
    for name, new in changes.items():
        meta["outputs"][0][name] = new
    with pytest.raises(FormatError) as caught:
        read(meta)
    assert caught.value.sentence == f"x.cfg is damaged: {sentence}"


def test_whoever_is_listed_twice_or_lies_in_another() -> None:
    late, again = replace(X, first=0, ready=0), replace(X, name="z", address=57)
    for changes, sentence in (
        ({"inputs": (X, X)}, 'inputs[1] must be listed once, not "x" again.'),
        ({"outputs": (Y, Y)}, 'outputs[1] must be listed once, not "y" again.'),
        ({"inputs": (late,), "tensors": (late, Y)}, "inputs[0].ready must be -1, not 0."),
        ({"inputs": (X, again), "tensors": (X, again, Y)},
         'inputs[1].address must be outside input "x", not 57.'),
        ({"graph_outputs": ("y", "t", "y")},
         'graph_outputs[2] must be a name of its own, not "y".'),
        ({"host": (RESHAPE, replace(SUM, outputs=("y",)))},
         'host[1].outputs[0] must be a name of its own, not "y".'),
        ({"host": (RESHAPE, replace(SUM, outputs=("t", "t")))},
         'host[1].outputs[1] must be a name of its own, not "t".'),
    ):  # fmt: skip
        made: Any = replace(described(), ddr_bytes=200, **changes)
        with pytest.raises(FormatError) as caught:
            read(to_json(made))
        assert caught.value.sentence == f"x.cfg is damaged: {sentence}"
