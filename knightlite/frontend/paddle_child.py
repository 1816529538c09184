"""Run paddle2onnx's extension in a process of its own; started by :mod:`frontend.paddle`.

Arguments: extension file, model, weight ("" for none), opset, "optimized" (it removes copies of
values) or "copying", output file, error file. The C++
code prints to stdout and stderr and may crash; both stay in this process. Needs no package.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import resource
import sys
from pathlib import Path

MODULE = "paddle2onnx.paddle2onnx_cpp2py_export"
MEMORY_BYTES = 16 << 30  # a damaged size must fail here, not take the machine's memory


def main(arguments: list[str]) -> int:
    """Convert; 0 and the ONNX bytes in the output file, or 1 and a reason in the error file."""
    extension, model, weight, opset, form, output, error_file = arguments
    _, most = resource.getrlimit(resource.RLIMIT_AS)  # may be less, and cannot be raised
    if most == resource.RLIM_INFINITY or most > MEMORY_BYTES:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    loader = importlib.machinery.ExtensionFileLoader(MODULE, extension)
    spec = importlib.util.spec_from_file_location(MODULE, extension, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    try:
        # model, params, opset, auto_upgrade_opset, verbose, onnx_checker, constant folding,
        # optimize, custom_ops, deploy_backend, calibration file, external file, export_fp16
        data = module.export(
            model, weight, int(opset), True, False, True, True, form == "optimized", {},
            "onnxruntime", "", "", False,
        )  # fmt: skip
    except Exception as error:
        Path(error_file).write_text(str(error))
        return 1
    Path(output).write_bytes(data)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
