"""``sim``: a compiled network run bit for bit, by files or from Python, with the host's share.

The golden model in ONNX Runtime is what its bytes are compared with.
"""

from knightlite.api.simulation.build import build_files, check_folders, check_model
from knightlite.api.simulation.run import SimulateResult, simulate
from knightlite.api.simulation.session import CompiledNetwork, NodeArg

__all__ = [
    "CompiledNetwork",
    "NodeArg",
    "SimulateResult",
    "build_files",
    "check_folders",
    "check_model",
    "simulate",
]
