"""Paddle's PIR ``.json`` to ONNX by paddle2onnx 2, which needs paddlepaddle 3.

Request: ``model``, ``source`` (the same program as the converter is to read it), ``weight`` ("" for
none), ``opset``, ``output``; and ``inputs``, the names of what lies in ``folder`` as ``x0.npy``,
... Values: ``version`` of paddle2onnx, and ``done``: false where it gave up, having printed the
reason. What Paddle itself computes goes to ``y0.npy``, ... there, ``outputs`` of them, or
``reason`` says why it does not.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import sys
from pathlib import Path
from typing import Any

from knightlite.errors import UsageError

WANTED = "paddlepaddle 3 and paddle2onnx 2"


def run(request: dict[str, Any]) -> dict[str, Any]:
    """Write the ONNX bytes to ``output``. UsageError where this interpreter cannot do it."""
    _require("paddlepaddle", 3)
    version = _require("paddle2onnx", 2)
    try:
        import paddle2onnx
    except ImportError as error:
        text = " ".join(str(error).split()).rstrip(".")
        missing = getattr(error, "name", None)
        raise UsageError(
            f"paddle2onnx {version} of {sys.executable} cannot be imported: {text}.",
            f"{sys.executable} -m pip install {missing}" if missing else "install it again",
        ) from error
    # SystemExit is how it ends on bad input. Its default optimize_tool, polygraphy, would call pip.
    with contextlib.suppress(SystemExit):
        data = paddle2onnx.export(
            request["source"],
            request["weight"],
            None,
            opset_version=request["opset"],
            verbose=False,
            optimize_tool="None",
        )
        if data:
            Path(request["output"]).write_bytes(data)
            return {"version": version, "done": True, **_answers(request)}
    return {"version": version, "done": False}


def _answers(request: dict[str, Any]) -> dict[str, Any]:
    """What Paddle computes from the inputs, written beside them."""
    import numpy as np
    from paddle import inference

    folder = Path(request["folder"])
    try:
        config = inference.Config(request["model"], request["weight"])
        config.disable_glog_info()
        config.switch_ir_optim(False)  # as the layers have it: nothing fused
        config.disable_mkldnn()  # it lacks attributes that Paddle's own kernels have
        predictor = inference.create_predictor(config)
        for index, name in enumerate(request["inputs"]):
            values = np.load(folder / f"x{index}.npy")
            predictor.get_input_handle(name).copy_from_cpu(values)
        predictor.run()
        names = predictor.get_output_names()
        for index, name in enumerate(names):
            np.save(folder / f"y{index}.npy", predictor.get_output_handle(name).copy_to_cpu())
    except Exception as error:  # Paddle's own have no base of their own
        return {"reason": " ".join(str(error).split())[:300] or type(error).__name__}
    return {"reason": "", "outputs": len(names)}


def _require(package: str, major: int) -> str:
    """The installed version of ``package``, which must be of one major version."""
    version = _installed(package)
    if version is None:
        raise UsageError(f"{sys.executable} has no {package}.", f"it needs {WANTED}")
    if int(version.partition(".")[0]) != major:
        raise UsageError(
            f"{package} of {sys.executable} must be version {major}, not {version}.",
            f"it needs {WANTED}",
        )
    return version


def _installed(package: str) -> str | None:
    names = (package, f"{package}-gpu") if package == "paddlepaddle" else (package,)
    for name in names:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return importlib.metadata.version(name)
    return None
