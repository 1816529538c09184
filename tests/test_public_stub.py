"""What editors and type checkers see of ``import knightlite``: a stub, written from the functions.

The functions' arguments come from the records of ``knightlite.options`` when they are loaded, which
no type checker does. ``pytest --update-golden tests/test_public_stub.py`` writes the stub anew.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from knightlite import public

STUB = Path(public.__file__).with_suffix(".pyi")
TITLE = '''"""The functions of ``import knightlite``, for editors and type checkers.

``pytest --update-golden tests/test_public_stub.py`` writes this from what they are made of.
"""
'''
# where the names in signatures come from
HOMES = {
    "Any": "typing",
    "CompiledModel": "knightlite.api.models",
    "Comparison": "knightlite.api.comparison",
    "Data": "knightlite.api.quantization",
    "Diagnosis": "knightlite.diagnosis",
    "EvaluationResult": "knightlite.api.evaluation",
    "Exploration": "knightlite.api.exploration",
    "File": "knightlite.api.models",
    "InferFunction": "knightlite.quantize.data",
    "Mapping": "collections.abc",
    "NDArray": "numpy.typing",
    "Path": "pathlib",
    "Profile": "knightlite.profiler",
    "QuantizedModel": "knightlite.api.models",
    "ScratchpadUse": "knightlite.api.residents",
    "Sequence": "collections.abc",
    "Session": "knightlite.public.stages",
}
BUILT_IN = {"None", "bool", "bytes", "float", "int", "str", "tuple"}


def stub_of(functions: Iterable[Callable[..., Any]]) -> str:
    """The text of a stub with these functions, and the session."""
    made = [function_text(item) for item in functions]
    names = {name for text in made for name in names_in(text)} - BUILT_IN
    return "\n".join([TITLE, import_lines(names), all_lines(), "", "\n".join(made)])


def function_text(function: Callable[..., Any]) -> str:
    """``def name(...) -> Result`` and the documentation, an argument a line."""
    signature = inspect.signature(function)
    lines, kinds = [], inspect.Parameter
    for item in signature.parameters.values():
        if item.kind is kinds.KEYWORD_ONLY and "*," not in lines:
            lines.append("*,")
        default = "" if item.default is kinds.empty else f" = {item.default!r}".replace("'", '"')
        lines.append(f"{item.name}: {item.annotation}{default},")
    documentation = textwrap.indent(inspect.getdoc(function) or "", "    ").lstrip()
    return (
        f"def {function.__name__}(\n{textwrap.indent(chr(10).join(lines), '    ')}\n"
        f') -> {signature.return_annotation}:\n    """{documentation}\n    """\n'
    )


def names_in(text: str) -> set[str]:
    """The names of the types in a function's signature."""
    (function,) = ast.parse(text).body
    assert isinstance(function, ast.FunctionDef)
    parts: list[ast.AST | None] = [*ast.walk(function.args), function.returns]
    return {
        node.id
        for part in parts
        if part is not None
        for node in ast.walk(part)
        if isinstance(node, ast.Name)
    }


def import_lines(names: set[str]) -> str:
    """What the stub imports, sorted as the linter wants it."""
    modules: dict[str, set[str]] = {}
    for name in names:
        modules.setdefault(HOMES[name], set()).add(name)
    modules[HOMES["Session"]] = {"Session as Session"}
    lines = [
        f"from {module} import {', '.join(sorted(found))}"
        for module, found in sorted(modules.items())
    ]
    ours = [line for line in lines if "knightlite" in line]
    others = [line for line in lines if "numpy" in line]
    standard = [line for line in lines if line not in (*ours, *others)]
    return "\n".join([*standard, "", *others, "", *ours, ""])


def all_lines() -> str:
    return "\n".join(["__all__ = [", *(f'    "{name}",' for name in public.__all__), "]"])


def public_functions() -> list[Callable[..., Any]]:
    found = [getattr(public, name) for name in public.__all__]
    return [item for item in found if inspect.isfunction(item)]


def test_the_stub_is_up_to_date(request: pytest.FixtureRequest) -> None:
    wanted = stub_of(public_functions())
    if request.config.getoption("--update-golden"):
        STUB.write_text(wanted, encoding="utf-8")
        return
    assert STUB.read_text(encoding="utf-8") == wanted, "pytest --update-golden writes it anew"


def test_a_stub_says_what_a_function_says() -> None:
    def made(
        model: str | Path, *, words: Sequence[str] = ("a",), chip: str | None = None
    ) -> bytes:  # fmt: skip
        """Make it.

        Args:
            model: a file.
        """
        raise NotImplementedError

    text = function_text(made)
    assert text == textwrap.dedent('''\
        def made(
            model: str | Path,
            *,
            words: Sequence[str] = ("a",),
            chip: str | None = None,
        ) -> bytes:
            """Make it.

            Args:
                model: a file.
            """
        ''')
    assert names_in(text) == {"str", "Path", "Sequence", "None", "bytes"} - {"None"}
    assert re.search(r"^from collections.abc import Sequence$", import_lines({"Sequence"}), re.M)
