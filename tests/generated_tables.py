"""The tables of the documentation, made from the code that they describe.

A page marks each as ``<!-- generated: NAME -->`` ... ``<!-- end of NAME -->``; :func:`fill` writes
what lies between. A test holds the committed pages to it.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields

from knightlite import chip_files, isa
from knightlite.api.chips.operators import common_rules, operators_of
from knightlite.api.exploration import Exploration
from knightlite.chip import Chip
from knightlite.container import Description, Interface
from knightlite.container.plan import RECORDS
from knightlite.frontend import norms, picks
from knightlite.frontend.canonical import HANDLERS
from knightlite.frontend.split import SEVERAL_OUTPUTS
from knightlite.frontend.views import SAME, VIEWS
from knightlite.isa import FeatureInstruction, FieldLayout, Instruction, Transfer
from knightlite.isa.assembly import HEADER_BYTES, OPCODE
from knightlite.json_records import record_form
from knightlite.json_records.forms import (
    Either,
    Form,
    Items,
    Key,
    ListOf,
    MapOf,
    OneOf,
    RecordOf,
    rule_words,
    words,
)
from knightlite.ops import ALL_OPS, BY_NAME
from knightlite.ops.functions import FUNCTIONS
from knightlite.options import options_of
from knightlite.options.quantize import QuantizeOptions
from knightlite.workspace import Manifest

Blocks = Mapping[str, Callable[[], str]]

_MARKED = re.compile(r"(<!-- generated: (\S+) -->\n).*?(<!-- end of \2 -->)", re.DOTALL)


def fill(text: str, blocks: Blocks) -> str:
    """The page with what lies between its markers written anew; KeyError for an unknown name."""
    return _MARKED.sub(lambda found: found[1] + "\n" + blocks[found[2]]() + "\n" + found[3], text)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table, ending in a newline."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join(f"| {' | '.join(_cell(item) for item in line)} |\n" for line in lines)


def _cell(value: object) -> str:
    return " ".join(str(value).split()).replace("|", "\\|")


def _first_line(documented: object) -> str:
    return (inspect.getdoc(documented) or "").split("\n\n")[0]


# ------------------------------------------------------------------ instructions


def instruction_table() -> str:
    """Opcode, mnemonic, engine, size and meaning of every instruction."""
    rows = [
        (
            OPCODE[record],
            f"`{record.MNEMONIC}`",
            record.ENGINE.name,
            HEADER_BYTES + isa.size_bytes(record),
            _first_line(record),
        )
        for record in isa.ALL_INSTRUCTIONS
    ]
    return table(("opcode", "mnemonic", "engine", "bytes", "what it does"), rows)


def field_tables() -> str:
    """The bit fields, shared ones once. Bit 0 is the first bit after the 4-byte header.

    A class's fields follow those of the class below it, so a bit position holds for all that share
    it.
    """
    texts = []
    for part in _parts():
        below = part.__mro__[1]
        shared = {item.name for item in isa.layout(below)} if below is not object else set()
        rows = [
            (f"`{item.name}`", _bits(item), _values(item), item.doc)
            for item in isa.layout(part)
            if item.name not in shared
        ]
        title = ", ".join(f"`{item.MNEMONIC}`" for item in _built_on(part))
        title = "Every instruction" if part is Instruction else title
        texts.append(f"### {title}\n\n" + table(("field", "bits", "values", "meaning"), rows))
    return "\n".join(texts)


def _parts() -> list[type[Instruction]]:
    """The classes that add fields, each once, what is shared first."""
    found: dict[type[Instruction], None] = {}
    for record in isa.ALL_INSTRUCTIONS:
        for part in reversed(record.__mro__):
            if issubclass(part, Instruction) and _own_fields(part):
                found[part] = None
    return list(found)


def _own_fields(part: type[Instruction]) -> bool:
    below = part.__mro__[1]
    return below is object or len(fields(part)) > len(fields(below))


def _built_on(part: type[Instruction]) -> list[type[Instruction]]:
    return [record for record in isa.ALL_INSTRUCTIONS if issubclass(record, part)]


def _bits(item: FieldLayout) -> str:
    last = item.offset + item.width - 1
    return str(item.offset) if last == item.offset else f"{item.offset}-{last}"


def _values(item: FieldLayout) -> str:
    if item.names:
        return ", ".join(f"{index} {name}" for index, name in enumerate(item.names))
    if item.name in ("wait", "signal"):
        return "mask"
    kind = f"s{item.width}" if item.signed else f"u{item.width}"
    return f"{kind}, at least {item.minimum}" if item.minimum > 0 else kind


def cycle_formulas() -> str:
    """The bodies of the cost functions, as the code has them."""
    owners: dict[type, list[str]] = {}
    for record in isa.ALL_INSTRUCTIONS:
        owner = next(part for part in record.__mro__ if "cycles" in vars(part))
        owners.setdefault(owner, []).append(f"`{record.MNEMONIC}`")
    costs = [(", ".join(names), owner.cycles) for owner, names in owners.items()]  # type: ignore[attr-defined]  # found by that name
    costs += [
        ("The array in `matrix`", isa.Matrix.products),
        ("The array in `sparse`", isa.SparseMatrix.products),
        ("Bytes", Transfer.ddr_bytes),
        ("DDR", Chip.ddr_cycles),
        ("Vector", FeatureInstruction.vector_cycles),
        ("Channels", FeatureInstruction.padded_channels),
    ]
    return "\n".join(_formula(title, function) for title, function in costs)


def _formula(title: str, function: Callable[..., int]) -> str:
    source = textwrap.dedent(inspect.getsource(function))
    body = textwrap.dedent(source.partition('"""')[2].partition('"""')[2].strip("\n"))
    arguments = [name for name in inspect.signature(function).parameters if name != "self"]
    heading = f"{function.__name__}({', '.join(arguments)})"
    return f"{title}: `{heading}`. {_first_line(function)}\n\n```py\n{body}\n```\n"


# ------------------------------------------------------------------ the plan

PLAN_TYPES = {"I": "u32", "Q": "u64", "q": "s64", "f": "float32", "32s": "32 bytes"}


def plan_tables() -> str:
    """The records of the plan, field by field."""
    texts = []
    for record in RECORDS:
        rows = [
            (offset, f"`{item.name}`", PLAN_TYPES[item.code], item.doc)
            for item, offset in zip(record.items, record.offsets, strict=True)
        ]
        title = f"`{record.name}`, {record.form.size} bytes. {record.doc}"
        texts.append(f"{title}\n\n" + table(("byte", "field", "type", "what"), rows))
    return "\n".join(texts)


# ------------------------------------------------------------------ operators


def operator_table() -> str:
    """Every operator with its rules: the model's constraints, then the engines' limits."""
    rows = [
        (
            op.name,
            ", ".join(op.onnx_types) or "the compiler inserts it",
            " and ".join(op.engines) or "nothing: it is a placement",
            "yes" if BY_NAME[op.name].clampable else "no",
            "; ".join(op.rules) or "none",
        )
        for op in operators_of(chip_files.families()[-1])
    ]
    columns = ("operator", "from ONNX", "runs on", "takes over a Relu or Clip", "rules")
    return table(columns, rows) + f"\nFor all: {'; '.join(common_rules())}.\n"


UNROLLED = "step by step: Conv, Add, Tables, Muls, Adds"
BECOMES = {
    **dict.fromkeys(
        picks.PICKS, "itself where real numbers follow; at the end of the network on the host"
    ),
    "LogSoftmax": "Max of halves, Sub, Table, Conv, Table, Sub; at the end of the network on the "
    "host",
    "CumProd": "Slices, Muls and Concats, as many as the length has bits",
    "CumSum": "Conv: a product with a triangle of ones",
    "Div": "Mul by the inverse constant; by features: Table and Mul, with a warning",
    "GlobalMaxPool": "MaxPool",
    "GRU": UNROLLED,
    "LRN": "Table, Conv, Table, Mul",
    "LSTM": UNROLLED,
    "MatMul": "Conv; of two features: MatMul",
    "ReduceLogSum": "as ReduceSum, Table",
    "ReduceLogSumExp": "Table, as ReduceSum, Table",
    **dict.fromkeys(
        ("Expand", "Tile"),
        "nothing where its readers broadcast, else Concat of the tensor with itself",
    ),
    "Gather": "by constants: Slices and a Concat",
    "GatherElements": "by constants, alike along all axes but its own: as Gather",
    **dict.fromkeys(norms.NORMS, "means, squares and the table of the root; see above"),
    "Mean": "Adds, the last with a gain",
    "Neg": "as Mul by -1",
    "PRelu": "PRelu; with one slope: Table",
    "ReduceL1": "Table, then as ReduceSum",
    "ReduceL2": "Table, as ReduceSum, Table",
    "ReduceMax": "MaxPool; over channels: Max of halves",
    "ReduceMean": "AveragePool; over channels: Conv",
    "ReduceMin": "Affine, MaxPool, Affine; over channels: Min of halves",
    "ReduceSum": "AveragePool with a gain; over channels: Conv",
    "ReduceSumSquare": "Table, then as ReduceSum",
    "Resize": "ResizeNearest or ResizeLinear; cubic or with antialias: two Convs",
    "RNN": UNROLLED,
    "Softmax": "itself; at the end of the network on the host",
    "Sum": "Adds",
    "TensorScatter": "at constant places: Slices and a Concat",
    "Where": "by a constant condition, or one that features are compared for: Muls and an Add",
}  # of what the front-end writes with several canonical operators


def onnx_table() -> str:
    """Every ONNX operator that a model may hold, and what becomes of it."""
    rows = [(kind, _becomes(kind)) for kind in sorted(HANDLERS)]
    rows.append(
        ("Constant, and nodes of any operator that read constants only", "computed while reading")
    )
    rows.append(("If with a condition that is known", "the branch that counts"))
    rows.append(("Loop with a known number of turns", "its body, as often as it is run"))
    return table(("ONNX operator", "becomes"), rows)


def _becomes(kind: str) -> str:
    if kind in BECOMES:
        return BECOMES[kind]
    if kind == "Transpose":
        return (
            "SwapPixels, SwapChannels; between two Reshapes a shuffle, DepthToSpace, SpaceToDepth"
        )
    if kind in VIEWS:
        return "a view: no work; at an output, on the host"
    if kind in SAME:
        return "nothing"
    if kind in SEVERAL_OUTPUTS:
        return "a Slice for each output that is read"
    if kind == "Pad":
        return "zero padding of the convolution or pool that reads it, else Pad; borders: Concat"
    if kind == "BatchNormalization":
        return "part of a neighbouring convolution, else Affine"
    if kind in ("Max", "Min"):
        return f"{kind}, one for each operand after the first; with a number: as Clip"
    if kind in ("Relu", "Clip"):
        return "the clamp of the operator before it, else Table"
    if kind in ("Add", "Sub", "Mul"):
        return f"{kind}; by a constant: Affine, or part of a neighbouring convolution"
    made = [op.name for op in ALL_OPS if kind in (*op.onnx_types, *op.also_from)]
    return " or ".join(made)


def function_table() -> str:
    """The unary functions that a table holds."""

    def shown(value: float | str) -> str:
        return value if isinstance(value, str) else f"{value:g}"

    rows = [
        (name, ", ".join(f"{key} = {shown(item.parameters[key])}" for key in item.parameters))
        for name, item in FUNCTIONS.items()
    ]
    rows = [(name, parameters or "none") for name, parameters in rows]
    return table(("function", "parameters and their defaults"), rows)


# ------------------------------------------------------------------ chips


def chip_table() -> str:
    """The facts of every chip family side by side, each with where it comes from."""
    families = chip_files.families()
    rows: list[list[str]] = []
    for item in fields(Chip):
        row = [f"`{item.name}`"]
        for family in families:
            value = getattr(family.chip, item.name)
            shown = ", ".join(map(str, value)) if isinstance(value, tuple) else f"{value:,}"
            row.append(f"{shown} ({family.provenance[item.name].source})")
        rows.append(row)
    return table(("fact", *(family.family for family in families)), rows)


def chip_names_table() -> str:
    """The families and their chip names."""
    rows = [
        (family.family, ", ".join(f"`{name}`" for name in family.names), family.description)
        for family in chip_files.families()
    ]
    return table(("family", "chips", "what"), rows)


# ------------------------------------------------------------------ files


def key_tables(whole: type) -> str:
    """The keys of a record: a table for it, then one for each record inside it."""
    texts = []
    for record in _records(record_form(whole)):
        if record.kind is Chip:
            continue  # its facts are those of docs/machine.md
        title = "" if record.kind is whole else f"`{record.kind.__name__}`: "
        rows = [(f"`{item.name}`", _key_values(item), item.doc) for item in record.keys]
        first = _first_line(record.kind).replace("``", "`")
        texts.append(f"{title}{first}\n\n" + table(("key", "value", "what"), rows))
    return "\n".join(texts)


def _records(form: Form) -> list[RecordOf]:
    """A record and those inside it, each once, in the order in which they are met."""
    found: dict[type, RecordOf] = {}

    def visit(inner: Form) -> None:
        if isinstance(inner, RecordOf) and inner.kind not in found:
            found[inner.kind] = inner
            for part in inner.keys:
                visit(part.form)
        elif isinstance(inner, ListOf):
            visit(inner.item)
        elif isinstance(inner, MapOf):
            visit(inner.value)
        elif isinstance(inner, Either):
            for choice in inner.forms:
                visit(choice)

    visit(form)
    return list(found.values())


def _key_values(item: Key) -> str:
    """What may stand behind a key, and whether it may be left out."""
    empty = " or `{}`" if item.none_as_empty else ""
    absent = {dataclasses.MISSING: "", None: "; may be absent"}
    return _form(item.form) + empty + absent.get(item.default, f"; {item.default} where absent")


def _form(form: Form) -> str:
    match form:
        case RecordOf(kind):
            return f"`{kind.__name__}`"
        case ListOf(inner, rules):
            return " ".join((f"[{_form(inner)}, ...]", *map(rule_words, rules)))
        case Items(forms):
            return f"[{', '.join(map(_form, forms))}]"
        case MapOf(inner):
            return f"{{name: {_form(inner)}, ...}}"
        case Either(forms):
            return " or ".join(map(_form, forms))
        case OneOf(values):
            return ", ".join(f"`{json.dumps(value)}`" for value in values)
        case _:
            return words(form).removeprefix("a ")


def shorter_arguments() -> str:
    """The options of ``quant`` that have another name in Python than on the command line."""
    rows = [
        (f"`--{item.keys[0]}`", f"`{item.parameter}`")
        for item in options_of(QuantizeOptions).values()
        if item.python and item.keys and item.parameter != item.keys[0].replace("-", "_")
    ]
    return table(("option", "argument"), rows)


BLOCKS: Blocks = {
    "shorter-arguments": shorter_arguments,
    "cfg-keys": lambda: key_tables(Description),
    "interface-keys": lambda: key_tables(Interface),
    "explore-keys": lambda: key_tables(Exploration),
    "manifest-keys": lambda: key_tables(Manifest),
    "plan": plan_tables,
    "instructions": instruction_table,
    "fields": field_tables,
    "cycles": cycle_formulas,
    "operators": operator_table,
    "onnx": onnx_table,
    "functions": function_table,
    "chips": chip_table,
    "chip-names": chip_names_table,
}
