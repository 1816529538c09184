"""The whole chain on a real trained network and real pictures: what ``make demo`` runs.

Quantize with 200 pictures, compile for TX5368AV200, simulate all test pictures byte for byte
against the golden model, profile; one table, and the same figures in demo-out/summary.json.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy is imported; as the CLI does

from knightlite.api.compilation import compile_model
from knightlite.api.evaluation import ModelScore, evaluate_models
from knightlite.api.profiling import profile_program
from knightlite.api.quantization import quantize
from knightlite.cli.terminal import print_line, print_table, report_error, talking
from knightlite.errors import KnightliteError
from knightlite.options.compile import CompileOptions
from knightlite.options.evaluate import EvaluateOptions
from knightlite.options.profile import ProfileOptions
from knightlite.options.quantize import QuantizeOptions

HERE = Path(__file__).resolve().parent
OUT = HERE.parent.parent / "demo-out"
CHIP = "TX5368AV200"
CALIBRATION_PICTURES = 200


def run() -> int:
    started = time.perf_counter()
    OUT.mkdir(exist_ok=True)
    with talking() as talk:
        options = QuantizeOptions(
            model=HERE / "digits.pdmodel",
            chip=CHIP,
            data=str(HERE / "calib"),
            recipe="digits",
            save_dir=OUT,
            iterations=(CALIBRATION_PICTURES,),
            directory=OUT,
        )
        quantized = quantize(options, talk)
        compiled = compile_model(
            CompileOptions(onnx=quantized.files["onnx"], chip=CHIP, out_dir=OUT, directory=OUT),
            talk,
        )
        cfg, weight = compiled.files["cfg"], compiled.files["weight"]
        talk.say("Simulating every test picture and comparing every byte ...")
        models = (quantized.files["float_onnx"], quantized.files["onnx"], cfg)
        result = evaluate_models(
            EvaluateOptions(data=HERE / "test", models=models, workers=1, check=True), talk
        )
        profiled = profile_program(
            ProfileOptions(cfg=cfg, weight=weight, out_dir=OUT, directory=OUT), talk
        )
    profile = profiled.profile
    top1 = [model.top1 or 0.0 for model in result.models]
    compared, differing = result.models[2].compared_bytes, result.models[2].differing_bytes
    assert compared is not None
    summary = {
        "float_top1": top1[0],
        "qdq_top1": top1[1],
        "chip_top1": top1[2],
        "qdq_drop_interval": interval_of(result.models[1]),
        "chip_drop_interval": interval_of(result.models[2]),
        "test_pictures": result.pictures,
        "compared_bytes": compared,
        "differing_bytes": differing,
        "latency_ms": profile.time_ms,
        "mac_utilization": profile.mac_utilization,
        "ddr_bytes": profile.read_bytes + profile.write_bytes,
    }
    summary_path = OUT / "summary.json"
    summary_path.write_text(json.dumps(summary, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    loss = abs(top1[2] - top1[0]) / top1[0] * 100
    rows = [
        ("top-1, float model", f"{top1[0]:.2f} %"),
        ("top-1, quantized model (QDQ)", f"{top1[1]:.2f} %"),
        ("top-1, chip (simulated)", f"{top1[2]:.2f} %"),
        ("quantization loss", f"{loss:.3f} % of the float top-1"),
        ("drop, quantized model and chip", "; ".join(map(drop_of, result.models[1:]))),
        ("test pictures", f"{result.pictures}"),
        (
            "predicted latency",
            f"{profile.time_ms:.3f} ms {profile.certainty.sentence}; "
            f"{profile.frames_per_second:,.0f} frames/s",
        ),
        ("MAC utilization", f"{profile.mac_utilization * 100:.1f} %"),
        ("DDR traffic per picture", f"{summary['ddr_bytes']:,} bytes"),
        ("bytes compared with the golden model", f"{compared:,}"),
        ("bytes that differ", f"{differing:,}"),
        ("files", f"{OUT}"),
    ]
    print_table(f"DenseNet-BC on handwritten digits, {CHIP}", ("what", "value"), rows)
    print_line(f"{time.perf_counter() - started:.0f} s")
    return 0 if differing == 0 else 1


def interval_of(model: ModelScore) -> list[float | None]:
    """95 % interval, in points, of what the model's top-1 is behind the float one's."""
    return [model.interval_low, model.interval_high]


def drop_of(model: ModelScore) -> str:
    """The drop in points with its interval."""
    low, high = interval_of(model)
    assert None not in (model.drop, low, high)
    return f"{model.drop:+.2f} points, 95 % interval {low:+.2f} to {high:+.2f}"


def main() -> int:
    try:
        return run()
    except KnightliteError as error:
        report_error(error)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
