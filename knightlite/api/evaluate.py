"""Float, QDQ and chip side by side over the pictures of a folder, with every byte compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.api.host import finisher
from knightlite.api.simulate import find_binary, golden_reference
from knightlite.errors import DataError
from knightlite.talk import SILENT, Talk

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Counts over the pictures: right answers of each model, bytes compared with the golden one."""

    pictures: int
    float_right: int
    qdq_right: int
    chip_right: int
    compared_bytes: int
    differing_bytes: int

    def percent(self, right: int) -> float:
        """Top-1 in percent."""
        return 100.0 * right / self.pictures


def evaluate_folder(
    float_onnx: Path,
    qdq_onnx: Path,
    cfg: Path,
    weight: Path,
    pictures: Path,
    talk: Talk = SILENT,
) -> Evaluation:
    """Run an ImageFolder through the float model, the QDQ model and the simulator, once each.

    The recipe is the one stored in the ``.cfg``. DataError where the folder has no classes.
    """
    from knightlite.preprocess import list_pictures, parse_recipe
    from knightlite.quantize.onnx_models import session
    from knightlite.sim import Machine
    from knightlite.sim.host import quantize

    binary = find_binary(Path(), cfg, weight)
    meta = binary.program.meta
    if meta["recipe"] is None or len(meta["inputs"]) != 1:
        raise DataError("evaluation needs a network of one input that was quantized with a recipe.")
    recipe = parse_recipe(str(meta["recipe"]), "stored recipe", cfg.name)
    folder = list_pictures(pictures)
    if not folder.classes:
        raise DataError(f"{pictures} must have one folder per class.")
    machine = Machine(binary.program)
    machine.check()
    golden = golden_reference(binary, None)
    finish = finisher(binary.program)
    runners = [session(path.read_bytes()) for path in (float_onnx, qdq_onnx)]
    entry = meta["inputs"][0]
    right = np.zeros(3, np.int64)
    compared = differing = 0
    for number, sample in enumerate(folder.samples, start=1):
        x = recipe.apply(sample.path, tuple(entry["shape"]))[None]
        scores = [np.asarray(runner.run(None, {entry["name"]: x})[0]) for runner in runners]
        inputs: Mapping[str, Array] = {entry["name"]: quantize(x, entry)}
        tensors: dict[str, Array] = {}
        outputs = machine.run(inputs, tensors.__setitem__)
        scores.append(next(iter(finish(outputs).values())))
        right += [int(score.reshape(-1).argmax()) == sample.label for score in scores]
        result = golden.compare(inputs, tensors)
        compared += result[0]
        differing += result[1]
        talk.advance("pictures", number, len(folder.samples))
    float_right, qdq_right, chip_right = (int(item) for item in right)
    return Evaluation(len(folder.samples), float_right, qdq_right, chip_right, compared, differing)
