"""The 27 projects: names, the script and function of each, and its run-config.

They are what Knight's model zoo holds (27 networks of PyTorch and Paddle), of the same structure
but narrow and on small pictures, with scripts in the same style; nothing of the zoo's own is here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

PICTURES, KINDS = 10, 5  # and the folders that they are in


@dataclass(frozen=True)
class Project:
    """``script``: its module; ``infer``: its function; ``options``: more of the quant section."""

    name: str
    script: str
    infer: str
    framework: str = "pytorch"
    function: str = ""  # that makes the model, where it is not called ``name``
    exported: bool = False  # the model is an ONNX file, as YOLOv6's is
    uint8: bool = True
    method: str = "min_max"
    chip: str = "TX5368AV200"
    floor_db: float = 2.0  # of every output; deep networks of random weights magnify roundings
    seed: int = 0
    options: tuple[tuple[str, Any], ...] = ()

    @property
    def model(self) -> str:
        return self.function or self.name

    @property
    def weight(self) -> str:
        """The file that holds the weights, under the project."""
        if self.exported:
            return f"weight/{self.name}.onnx"
        return f"weight/{self.name}." + ("pdiparams" if self.framework == "paddle" else "pth")


IMAGENET, DETECTOR = "infer_imagenet_benchmark", "infer_detector"
TORCH = (
    *(
        Project(name, "classifiers", IMAGENET)
        for name in ("resnet50", "vgg16", "inception_v3", "squeezenet1_0", "mobilenet_v2")
    ),
    Project("vit_tiny", "transformers", IMAGENET, floor_db=25),
    Project("deit_tiny", "transformers", IMAGENET, floor_db=23),
    Project("swin_tiny", "transformers", IMAGENET, floor_db=21),
    Project("mixer_b16_224", "transformers", IMAGENET, floor_db=24),
    Project("mobilevit_s", "transformers", IMAGENET, floor_db=10),
    Project("lstm", "keywords", "infer_pytorch_rnn", uint8=False, floor_db=43),
    Project("yolov5s", "detectors", DETECTOR, function="yolov5s_7"),
    Project("yolov7", "detectors", DETECTOR, method="kl"),
    *(
        Project(name, "detectors", DETECTOR)
        for name in ("yolov3", "yolov7_tiny", "yolov8s", "yolox_s")
    ),
    Project("yolov6s", "more_detectors", DETECTOR, exported=True, framework="onnx"),
    Project("yolonas_s", "more_detectors", DETECTOR, chip="TX5336AV200"),
    Project("yolo_world", "more_detectors", DETECTOR, chip="TX5336AV200"),
)
PADDLE = (
    *(
        Project(name, "infer", IMAGENET, "paddle")
        for name in ("paddle_resnet50", "densenet121", "alexnet")
    ),
    Project("ppyoloe_s", "infer", DETECTOR, "paddle"),
    Project("ocr_det", "infer", DETECTOR, "paddle"),
    Project("ocr_cls", "infer", DETECTOR, "paddle"),
    Project("ocr_rec", "infer", DETECTOR, "paddle"),
)
PROJECTS = (*TORCH, *PADDLE)


def data(project: Project, folder: Path) -> str:
    """What the infer function reads, under the project."""
    if project.script == "keywords":
        return "data/words.pkl"
    (found,) = (folder / "data").rglob("val")
    return found.relative_to(folder).as_posix()


def show(folder: Path, shape: tuple[int, int, int]) -> NDArray[Any]:
    """Write u8 pictures a little larger than ``shape``, an ImageFolder; they, normalised."""
    from PIL import Image

    from seeded_pictures import pictures

    found = pictures(PICTURES, shape, seed=3)
    for at, x in enumerate(found):
        kind = folder / f"kind{at % KINDS}"
        kind.mkdir(parents=True, exist_ok=True)
        pixels = np.clip((x + 2.2) / 4.8 * 255, 0, 255).astype(np.uint8).transpose(1, 2, 0)
        larger = (shape[2] * 8 // 7, shape[1] * 8 // 7)
        Image.fromarray(pixels).resize(larger).save(kind / f"{at:02d}.png")
    return found


def run_config(project: Project, folder: Path) -> dict[str, dict[str, Any]]:
    """In the shape of the zoo's: what each step is called with."""
    quantized = f"output/quant/{project.name}_quantize.onnx"
    model = {"model": project.model, "weight": project.weight}
    if project.framework != "pytorch":
        model = {"model": project.weight}
        if project.framework == "paddle":
            model = {"model": f"weight/{project.name}.pdmodel", "weight": project.weight}
    quant = {
        **model,
        "framework": project.framework,
        "infer-func": project.infer,
        "bit-width": 8,
        "quant-mode": project.method,
        "batch-size": 1,
        "iteration": PICTURES,
        "run-mode": "quant",
        "save-dir": "output/quant",
        "user-defined-script": f"src/{project.script}.py",
        "data": data(project, folder),
        **dict(project.options),
    }
    if project.uint8:
        quant |= {
            "mean": "123.675 116.28 103.53",
            "std": "58.395 57.12 57.375",
            "quantize-input-dtype": "uint8",
        }
    stem = Path(project.model).stem if project.framework == "pytorch" else project.name
    quantized = f"output/quant/{stem}_quantize.onnx"
    binary = f"output/npu/{stem}_quantize_r.tsmodel"
    return {
        "quant": quant,
        "compile": {"onnx": quantized, "save-dir": "output/npu"},
        "run": {
            "input": "output/quant/model_input.bin",
            "format": "nchw",
            "model": binary,
            "save-dir": "output/npu/",
        },
        "profiling": {"model": binary, "save-dir": "output/npu"},
    }


def line(project: Project) -> str:
    """Of its ``run.sh``."""
    return f"Knight --chip {project.chip} build --run-config data/{project.name}_config.json"


def write_config(project: Project, folder: Path) -> None:
    text = json.dumps(run_config(project, folder), indent=2)
    (folder / "data" / f"{project.name}_config.json").write_text(text, encoding="utf-8")
