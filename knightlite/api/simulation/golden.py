"""The golden model in ONNX Runtime, which every byte that the machine makes is held to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from knightlite.api.models.binary import Binary
from knightlite.api.models.notes import pair_of
from knightlite.api.models.stage_files import COMPILE_FILES, sibling
from knightlite.errors import MachineError, UsageError
from knightlite.talk import SILENT, Talk

if TYPE_CHECKING:
    import onnx

    from knightlite.inference import Session

Array = NDArray[Any]


def read_golden(
    binary: Binary,
    named: Path | None,
    hint: str = "compile again, or name the golden model with --golden",
) -> tuple[Path, onnx.ModelProto]:
    """The golden model of a binary: as named, else beside its ``.cfg``.

    UsageError where there is none, or it is of another compile run: ``hint`` says what to do then.
    """
    from knightlite.frontend import onnx_file

    path = named or sibling(binary.cfg, COMPILE_FILES["cfg"], COMPILE_FILES["golden"])
    if path is None:
        raise UsageError(
            f"the golden model of {binary.cfg} cannot be told from its name, which does not end in "
            f"{COMPILE_FILES['cfg'].format('')}.",
            "name it with --golden",
        )
    if not path.is_file():
        raise UsageError(
            f"the golden model {path} does not exist.", "compile writes it; or use --golden"
        )
    model = onnx_file.parse(path.read_bytes(), str(path))
    if pair_of(model) != binary.program.meta.pair:
        raise UsageError(
            f"{path.name} and {binary.cfg.name} are not of the same compile run.", hint
        )
    return path, model


def open_golden(path: Path, model: onnx.ModelProto, names: Iterable[str]) -> Session:
    """The golden model in ONNX Runtime, delivering ``names``; ModelError where it is damaged."""
    from knightlite.inference import session
    from knightlite.onnx_models import deliver

    deliver(model, names)
    return session(model, called=str(path), remedy="compile the model again")


def golden_reference(binary: Binary, named: Path | None, talk: Talk = SILENT) -> GoldenReference:
    """The golden model of a binary, to be compared with: see :func:`read_golden`."""
    path, model = read_golden(binary, named)
    talk.say(f"comparing with {path} in ONNX Runtime")
    names = tuple(entry.name for entry in binary.program.meta.tensors)
    inputs = frozenset(item.name for item in model.graph.input)
    opened = open_golden(path, model, [name for name in names if name not in inputs])
    return GoldenReference(names, inputs, opened)


@dataclass(frozen=True, slots=True)
class GoldenReference:
    """The golden model in ONNX Runtime; ``names``: every tensor the program materialises."""

    names: tuple[str, ...]
    inputs: frozenset[str]
    session: Session

    def compare(
        self, inputs: Mapping[str, Array], tensors: Mapping[str, Array]
    ) -> tuple[int, int, list[str]]:
        """(bytes compared, bytes that differ, tensors that differ) of one frame."""
        names = [name for name in self.names if name not in self.inputs]
        expected = dict(zip(names, self.session.run(names, inputs), strict=True))
        expected.update({name: inputs[name] for name in self.names if name in self.inputs})
        compared = differing = 0
        different = []
        for name in self.names:
            want, have = expected[name], tensors[name]
            if want.dtype != have.dtype or want.shape != have.shape:
                raise MachineError(
                    f"tensor {name} is {have.dtype} {have.shape} in the program and "
                    f"{want.dtype} {want.shape} in the golden model."
                )
            compared += want.nbytes
            wrong = np.count_nonzero(
                np.ascontiguousarray(want).view(np.uint8)
                != np.ascontiguousarray(have).view(np.uint8)
            )
            differing += int(wrong)
            if wrong:
                different.append(name)
        return compared, differing, different
