"""A quantized network in memory, and the files that it becomes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from knightlite import atomic_write
from knightlite.api.models.stage_files import CHANGED_FLOAT, QUANT_FILES, SAMPLES
from knightlite.errors import UsageError
from knightlite.file_names import file_names

if TYPE_CHECKING:
    from knightlite.atomic_write import FileSet
    from knightlite.ops.onnx_parts import ModelParts

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class QuantizedModel:
    """A quantized network in memory.

    ``name``: of the network, after which the files are called.
    ``source``: the float model's file; ``chip``: what it was quantized for; ``parts`` and
    ``float_parts``: the quantized and the float model as ONNX; ``report``:
    docs/quantization.md; ``samples``: per input the last picture [1, ...] as the network is fed,
    float32 or integers; ``scales``: text of a scale file, "" where none was asked for; metrics in
    the data's unit or None; ``warnings``: one sentence each; ``mix_template``: the text of a mix
    configuration where one was asked for; ``combinations``: where several range methods or
    iterations were asked for, one row of each, the best first, which this model is; ``altered``:
    the float model is not what ``source`` computes: its inputs are normalized, it ends earlier, or
    is one step of it.
    """

    name: str
    source: Path
    chip: str
    parts: ModelParts = field(repr=False)
    float_parts: ModelParts = field(repr=False)
    report: Mapping[str, Any] = field(repr=False)
    samples: Mapping[str, Array] = field(repr=False)
    scales: str = field(repr=False)
    float_metric: float | None
    quantized_metric: float | None
    loss_percent: float | None
    pictures: int
    seconds: float
    warnings: tuple[str, ...]
    mix_template: str | None = field(default=None, repr=False)
    combinations: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    altered: bool = field(default=False, repr=False)

    @property
    def onnx(self) -> bytes:
        """The bytes of the quantized model's file."""
        return self.parts.to_bytes()

    @property
    def float_onnx(self) -> bytes:
        """The bytes of the float model's file."""
        return self.float_parts.to_bytes()

    @property
    def file_name(self) -> str:
        """What its file is called."""
        return QUANT_FILES["onnx"].format(self.name)

    def save(self, folder: str | Path) -> dict[str, Path]:
        """Write what ``quant`` leaves into a folder, all files or none; where each one is.

        The float model is left out where it would overwrite the one that was quantized; where that
        is another network (channels equalized, tables lifted, inputs normalized, cut with -on), it
        is called X_float.onnx then.
        """
        with atomic_write.file_set() as files:
            return self.add_to(files, Path(folder))

    def add_to(self, files: FileSet, folder: Path) -> dict[str, Path]:
        """Put all files into a set that is written as a whole."""
        paths = {
            key: folder / QUANT_FILES[key].format(self.name)
            for key in ("onnx", "report", "float_onnx")
        }
        files.write_pieces(paths["onnx"], self.parts.pieces())
        files.write_text(paths["report"], json.dumps(self.report, indent=1, sort_keys=True))
        if self.scales:
            paths["scales"] = folder / QUANT_FILES["scales"].format(self.name)
            files.write_text(paths["scales"], self.scales)
        taken = paths["float_onnx"].resolve() == self.source.resolve()
        beside = folder / CHANGED_FLOAT.format(self.name)
        changed = self.altered or self.report["equalized"] or self.report["lifted"]
        changed = changed or beside.exists()  # that of an earlier run would be taken for this
        if taken and changed:  # compared tensor by tensor, it must be this one
            paths["float_onnx"] = beside
        if taken and not changed:
            del paths["float_onnx"]
        else:
            files.write_pieces(paths["float_onnx"], self.float_parts.pieces())
        if self.mix_template is not None:
            paths["mix_template"] = folder / QUANT_FILES["mix_template"].format(self.name)
            if paths["mix_template"].resolve() == self.source.resolve():
                raise UsageError(
                    f"the template would overwrite the model {self.source}.",
                    "name another folder with -s DIR",
                )
            files.write_text(paths["mix_template"], self.mix_template)
        for name, stem in file_names(self.samples).items():
            paths[f"input_{name}"] = folder / SAMPLES / f"{stem}.bin"
            files.write_bytes(paths[f"input_{name}"], self.samples[name].tobytes())
        return paths
