"""Paddle's ProgramDesc: read, looked at, edited and written again.

The message types are those of Paddle's ``framework.proto``, as far as they are needed: fields that
are not declared here survive reading and writing as they are (protobuf keeps unknown fields).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from knightlite.contents import another_kind
from knightlite.errors import ModelError

Shape = tuple[int, ...]
AttributeValue = bool | int | float | str | Sequence[int] | Sequence[float]

FP32 = 5  # VarType.Type
LOD_TENSOR = 7
# AttrType: its number, and the field that holds the value
_INT, _FLOAT, _STRING, _INTS, _FLOATS, _BOOLEAN, _LONG, _LONGS = 0, 1, 2, 3, 4, 6, 9, 11
_VALUE_FIELDS = {
    _INT: "i", _FLOAT: "f", _STRING: "s", _INTS: "ints", _FLOATS: "floats", 5: "strings",
    _BOOLEAN: "b", 7: "bools", _LONG: "l", _LONGS: "longs", 12: "float64s", 15: "float64",
}  # fmt: skip
# message: fields as (name, number, kind, label); kind is a scalar or a message above
_MESSAGES: dict[str, tuple[tuple[str, int, str, str], ...]] = {
    "TensorDesc": (("data_type", 1, "int32", "required"), ("dims", 2, "int64", "repeated")),
    "LoDTensorDesc": (("tensor", 1, "TensorDesc", "required"),),
    "VarType": (
        ("type", 1, "int32", "required"),
        ("lod_tensor", 3, "LoDTensorDesc", "optional"),
    ),
    "VarDesc": (
        ("name", 1, "string", "required"),
        ("type", 2, "VarType", "required"),
        ("persistable", 3, "bool", "optional"),
    ),
    "Attr": (
        ("name", 1, "string", "required"),
        ("type", 2, "int32", "required"),
        ("i", 3, "int32", "optional"),
        ("f", 4, "float", "optional"),
        ("s", 5, "string", "optional"),
        ("ints", 6, "int32", "repeated"),
        ("floats", 7, "float", "repeated"),
        ("strings", 8, "string", "repeated"),
        ("b", 10, "bool", "optional"),
        ("bools", 11, "bool", "repeated"),
        ("l", 13, "int64", "optional"),
        ("longs", 15, "int64", "repeated"),
        ("float64s", 16, "double", "repeated"),
        ("float64", 19, "double", "optional"),
    ),
    "OpVar": (("parameter", 1, "string", "required"), ("arguments", 2, "string", "repeated")),
    "OpDesc": (
        ("inputs", 1, "OpVar", "repeated"),
        ("outputs", 2, "OpVar", "repeated"),
        ("type", 3, "string", "required"),
        ("attrs", 4, "Attr", "repeated"),
    ),
    "BlockDesc": (
        ("idx", 1, "int32", "required"),
        ("parent_idx", 2, "int32", "required"),
        ("vars", 3, "VarDesc", "repeated"),
        ("ops", 4, "OpDesc", "repeated"),
    ),
    "ProgramDesc": (("blocks", 1, "BlockDesc", "repeated"),),
}


@cache
def _message_types() -> dict[str, Any]:
    """The message classes of ``_MESSAGES`` by name."""
    from google.protobuf import (
        descriptor_pb2,
        descriptor_pool,
        message_factory,
    )

    package = "knightlite.paddle"
    file = descriptor_pb2.FileDescriptorProto(name="paddle.proto", package=package, syntax="proto2")
    kinds = descriptor_pb2.FieldDescriptorProto
    for name, entries in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for entry, number, kind, label in entries:
            item = message.field.add(
                name=entry, number=number, label=getattr(kinds, f"LABEL_{label.upper()}")
            )
            if kind in _MESSAGES:
                item.type, item.type_name = kinds.TYPE_MESSAGE, f".{package}.{kind}"
            else:
                item.type = getattr(kinds, f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}"))
        for name in _MESSAGES
    }


def parse(message: str, data: bytes) -> Any | None:
    """The message of a type of ``framework.proto`` in ``data``; None where the bytes are none."""
    from google.protobuf.message import DecodeError

    try:
        found = _message_types()[message].FromString(data)
    except (DecodeError, UnicodeDecodeError):
        return None
    return found if found.IsInitialized() else None  # not every protobuf misses what is required


def parse_program(data: bytes, where: Path) -> Any:
    """The ProgramDesc in ``data``; ModelError where it is none."""
    program = parse("ProgramDesc", data)
    if program is None or not program.blocks or not all(map(_is_text, _texts(program))):
        again = "copy or save the model again"
        raise another_kind(data, str(where), "a Paddle program", again) or ModelError(
            f"{where} is not a Paddle program or is truncated.", again
        )
    return program


def _texts(program: Any) -> Iterator[Any]:
    """Every name and text of a ProgramDesc."""
    for block in program.blocks:
        for variable in block.vars:
            yield variable.name
        for operator in block.ops:
            yield operator.type
            for entry in (*operator.inputs, *operator.outputs):
                yield entry.parameter
                yield from entry.arguments
            for attribute in operator.attrs:
                yield attribute.name
                yield attribute.s
                yield from attribute.strings


def _is_text(value: Any) -> bool:
    """False for bytes that are no UTF-8, which protobuf hands on as they are."""
    return isinstance(value, str)


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator of a block, to look at. ``message``: the OpDesc itself."""

    message: Any

    @property
    def kind(self) -> str:
        """Its type, such as ``pool2d``."""
        return str(self.message.type)

    def input(self, parameter: str) -> str:
        """The name of the first argument of an input; "" where there is none."""
        return _argument(self.message.inputs, parameter)

    def output(self, parameter: str = "Out") -> str:
        """The name of the first argument of an output; "" where there is none."""
        return _argument(self.message.outputs, parameter)

    def get(self, name: str, default: Any) -> Any:
        """The value of an attribute (lists as tuples), or the default."""
        for item in self.message.attrs:
            if item.name == name and item.type in _VALUE_FIELDS:
                value = getattr(item, _VALUE_FIELDS[item.type])
                return value if isinstance(value, (bool, int, float, str)) else tuple(value)
        return default


def _argument(entries: Iterable[Any], parameter: str) -> str:
    for item in entries:
        if item.parameter == parameter and item.arguments:
            return str(item.arguments[0])
    return ""


@dataclass(frozen=True, slots=True)
class Block:
    """The main block, and the operators that stand for one of its own."""

    message: Any
    shapes: dict[str, Shape]
    made: list[Any] = field(default_factory=list)

    @classmethod
    def of(cls, program: Any) -> Block:
        """Of a ProgramDesc."""
        message = program.blocks[0]
        shapes = {
            item.name: tuple(item.type.lod_tensor.tensor.dims)
            for item in message.vars
            if item.type.HasField("lod_tensor")
        }
        return cls(message, shapes)

    def operators(self) -> Iterator[Operator]:
        """All operators in order."""
        return (Operator(item) for item in self.message.ops)

    def shape(self, name: str) -> Shape:
        """The shape that the program gives a variable; -1 for sizes that it leaves open."""
        return self.shapes.get(name, ())

    def variable(self, hint: str, shape: Shape) -> str:
        """A new float variable."""
        name = f"{hint}.knightlite_{len(self.shapes)}"
        made = self.message.vars.add(name=name)
        made.type.type = LOD_TENSOR
        made.type.lod_tensor.tensor.data_type = FP32
        made.type.lod_tensor.tensor.dims.extend(shape)
        self.shapes[name] = shape
        return name

    def append(
        self,
        kind: str,
        inputs: dict[str, str | Sequence[str]],
        outputs: dict[str, str],
        **attributes: AttributeValue,
    ) -> None:
        """One more operator in place of the present one."""
        made = _message_types()["OpDesc"](type=kind)
        for parameter, arguments in inputs.items():
            names = [arguments] if isinstance(arguments, str) else list(arguments)
            made.inputs.add(parameter=parameter, arguments=names)
        for parameter, name in outputs.items():
            made.outputs.add(parameter=parameter, arguments=[name])
        for name, value in attributes.items():
            _set(made, name, value)
        self.made.append(made)

    def copy(
        self,
        operator: Operator,
        inputs: dict[str, str] | None = None,
        outputs: dict[str, str] | None = None,
        **attributes: AttributeValue,
    ) -> None:
        """The same operator with other arguments and attributes."""
        made = type(operator.message)()
        made.CopyFrom(operator.message)
        for entries, other in ((made.inputs, inputs or {}), (made.outputs, outputs or {})):
            for item in entries:
                if item.parameter in other:
                    item.arguments[:] = [other[item.parameter]]
        for name, value in attributes.items():
            _set(made, name, value)
        self.made.append(made)

    def replace(self, rewritten: Sequence[Any]) -> None:
        """Put these operators in place of all."""
        del self.message.ops[:]
        self.message.ops.extend(rewritten)


def _set(operator: Any, name: str, value: AttributeValue) -> None:
    """Set an attribute, in place of one of that name."""
    kept = [item for item in operator.attrs if item.name != name]
    entry = _message_types()["Attr"](name=name)
    if isinstance(value, bool):
        entry.type, entry.b = _BOOLEAN, value
    elif isinstance(value, int):
        entry.type, entry.i = _INT, value
    elif isinstance(value, float):
        entry.type, entry.f = _FLOAT, value
    elif isinstance(value, str):
        entry.type, entry.s = _STRING, value
    elif all(isinstance(item, int) for item in value):
        entry.type = _INTS
        entry.ints.extend(int(item) for item in value)
    else:
        entry.type = _FLOATS
        entry.floats.extend(value)
    copies = [type(item).FromString(item.SerializeToString()) for item in (*kept, entry)]
    del operator.attrs[:]
    operator.attrs.extend(copies)
