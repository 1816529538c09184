"""The golden model in ONNX Runtime, which every byte that the machine makes is held to."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.api.models.binary import Binary
from knightlite.api.models.notes import pair_of
from knightlite.api.models.stage_files import COMPILE_FILES, sibling
from knightlite.errors import MachineError, ModelError, UsageError
from knightlite.talk import SILENT, Talk

Array = NDArray[Any]


def golden_reference(binary: Binary, named: Path | None, talk: Talk = SILENT) -> GoldenReference:
    """The golden model of a binary: as named, else beside its ``.cfg``."""
    import onnx

    from knightlite.frontend import onnx_file
    from knightlite.inference.onnx_models import session

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
    talk.say(f"comparing with {path} in ONNX Runtime")
    model = onnx_file.parse(path.read_bytes(), str(path))
    if pair_of(model) != binary.program.meta.pair:
        raise UsageError(
            f"{path.name} and {binary.cfg.name} are not of the same compile run.",
            "compile again, or name the golden model with --golden",
        )
    names = tuple(entry.name for entry in binary.program.meta.tensors)
    inputs = frozenset(item.name for item in model.graph.input)
    have = {item.name for item in model.graph.output}
    for name in names:
        if name not in inputs | have:
            model.graph.output.append(onnx.ValueInfoProto(name=name))
    with _damage_of(path):
        return GoldenReference(path, names, inputs, session(model))


@contextlib.contextmanager
def _damage_of(path: Path) -> Iterator[None]:
    """ModelError for whatever ONNX Runtime says of a golden model: compile wrote a sound one."""
    try:
        yield
    except Exception as error:  # its errors have no base class of their own
        reason = " ".join(str(error).split()).rstrip(".")
        raise ModelError(
            f"{path} is damaged: ONNX Runtime refuses it ({reason}).", "compile the model again"
        ) from error


@dataclass(frozen=True, slots=True)
class GoldenReference:
    """The golden model in ONNX Runtime; ``names``: every tensor the program materialises."""

    path: Path
    names: tuple[str, ...]
    inputs: frozenset[str]
    session: Any

    def compare(
        self, inputs: Mapping[str, Array], tensors: Mapping[str, Array]
    ) -> tuple[int, int, list[str]]:
        """(bytes compared, bytes that differ, tensors that differ) of one frame."""
        names = [name for name in self.names if name not in self.inputs]
        with _damage_of(self.path):
            expected = dict(zip(names, self.session.run(names, dict(inputs)), strict=True))
        expected.update({name: inputs[name] for name in self.names if name in self.inputs})
        compared = differing = 0
        different = []
        for name in self.names:
            want, have = np.asarray(expected[name]), tensors[name]
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
