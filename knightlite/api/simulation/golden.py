"""The golden model in ONNX Runtime, which every byte that the machine makes is held to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from knightlite.api.models.binary import Binary
from knightlite.api.models.notes import interface_of, pair_of
from knightlite.api.models.partners import golden_beside
from knightlite.errors import (
    Finding,
    FormatError,
    MachineError,
    UsageError,
    findings_error,
    not_there,
)
from knightlite.talk import SILENT, Talk

if TYPE_CHECKING:
    import onnx

    from knightlite.container import KeptState
    from knightlite.inference import Session

Array = NDArray[Any]


def read_golden(
    binary: Binary,
    named: Path | None,
    hint: str = "compile again, or name the golden model with --golden",
) -> tuple[Path, onnx.ModelProto]:
    """The golden model of a binary: as named, else beside its ``.cfg``, known by its hash.

    UsageError where there is none, or it is of another compile run: ``hint`` says what to do then.
    FormatError where the two promise their user different things.
    """
    from knightlite.frontend import onnx_file
    from knightlite.frontend.model_kind import ModelKind, of_kind

    path = named or golden_beside(binary.cfg, binary.program.meta.pair)
    if not path.is_file():
        raise not_there(
            "golden model",
            path,
            "compile writes X_golden.onnx; --golden FILE names another place",
            fits=of_kind(ModelKind.GOLDEN),
        )
    model = onnx_file.parse(onnx_file.read_bytes(path), str(path))
    if pair_of(model) != binary.program.meta.pair:
        raise UsageError(
            f"{path.name} and {binary.cfg.name} are not of the same compile run.", hint
        )
    _require_same_interface(binary, path, model)
    return path, model


def _require_same_interface(binary: Binary, path: Path, model: onnx.ModelProto) -> None:
    from knightlite.container import contradictions, interface

    findings = [
        Finding(binary.cfg.name, f"{what} must be {wanted}, as {path.name} has it, not {found}.")
        for what, wanted, found in contradictions(
            interface_of(model, str(path)), interface(binary.program)
        )
    ]
    if findings:
        raise findings_error(
            FormatError,
            f"{binary.cfg.name} and its golden model {path.name} promise different things: "
            f"{findings[0].sentence}",
            findings,
            "compile the model again",
        )


def open_golden(path: Path, model: onnx.ModelProto, names: Iterable[str]) -> Session:
    """The golden model in ONNX Runtime, delivering ``names``; ModelError where it is damaged."""
    from knightlite.inference import golden_session
    from knightlite.onnx_models import deliver

    deliver(model, names)
    return golden_session(model, called=str(path), remedy="compile the model again")


def golden_reference(binary: Binary, named: Path | None, talk: Talk = SILENT) -> GoldenReference:
    """The golden model of a binary, to be compared with: see :func:`read_golden`."""
    path, model = read_golden(binary, named)
    talk.say(f"comparing with {path} in ONNX Runtime")
    names = tuple(entry.name for entry in binary.program.meta.tensors)
    inputs = frozenset(item.name for item in model.graph.input)
    opened = open_golden(path, model, [name for name in names if name not in inputs])
    return GoldenReference(names, inputs, opened, binary.program.meta.states)


@dataclass(frozen=True, slots=True)
class GoldenReference:
    """The golden model in ONNX Runtime; ``names``: every tensor the program materialises.

    ``states``: what stays from one compared frame to the next; here it is what the golden model has
    made of them, ``kept`` by name.
    """

    names: tuple[str, ...]
    inputs: frozenset[str]
    session: Session
    states: tuple[KeptState, ...] = ()
    kept: dict[str, Array] = field(default_factory=dict)

    def compare(
        self,
        inputs: Mapping[str, Array],
        tensors: Mapping[str, Array],
        outputs: Mapping[str, Array],
    ) -> tuple[int, int, list[str]]:
        """(bytes compared, bytes that differ, tensors that differ) of one frame.

        ``tensors``: each as it was when the program had completed it. ``outputs``: what was
        delivered in the end; a byte of them differs where either does.
        """
        names = [name for name in self.names if name not in self.inputs]
        inputs = {**inputs, **{item.input.name: item.first for item in self.states}, **self.kept}
        expected = dict(zip(names, self.session.run(names, inputs), strict=True))
        expected.update({name: inputs[name] for name in self.names if name in self.inputs})
        self.kept.update({item.input.name: expected[item.output.name] for item in self.states})
        compared = differing = 0
        different = []
        for name in self.names:
            want = expected[name]
            wrong = _differing(name, want, tensors[name])
            if name in outputs:
                wrong |= _differing(name, want, outputs[name])
            compared += want.nbytes
            differing += int(np.count_nonzero(wrong))
            if wrong.any():
                different.append(name)
        return compared, differing, different


def _differing(name: str, want: Array, have: Array) -> Array:
    """Which bytes of a tensor are not the golden model's; MachineError where it has no such."""
    if want.dtype != have.dtype or want.shape != have.shape:
        raise MachineError(
            f"tensor {name} is {have.dtype} {have.shape} in the program and "
            f"{want.dtype} {want.shape} in the golden model."
        )
    one, other = (np.ascontiguousarray(item).reshape(-1).view(np.uint8) for item in (want, have))
    return np.asarray(one != other)
