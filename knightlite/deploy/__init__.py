"""A project that runs a compiled network without us: sources, build files, README."""

from knightlite.deploy.arrays import c_array, from_c_array
from knightlite.deploy.code_size import CodeSize, code_sizes
from knightlite.deploy.needs import Needs
from knightlite.deploy.project import (
    Network,
    chip_types,
    project_files,
    simulation_library_files,
)

__all__ = [
    "CodeSize",
    "Needs",
    "Network",
    "c_array",
    "chip_types",
    "code_sizes",
    "from_c_array",
    "project_files",
    "simulation_library_files",
]
