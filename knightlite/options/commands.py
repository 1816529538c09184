"""The record of every command: what it can be asked for."""

from __future__ import annotations

from collections.abc import Mapping

from knightlite.options.compare import CompareOptions
from knightlite.options.compile import BuildOptions, CompileOptions, ExplainOptions
from knightlite.options.demo import DemoOptions
from knightlite.options.deploy import Bin2HeaderOptions, DeployOptions, SimLibOptions
from knightlite.options.diagnose import DiagnoseOptions
from knightlite.options.evaluate import EvaluateOptions
from knightlite.options.explore import ExploreOptions
from knightlite.options.inspection import (
    CheckOptions,
    ChipsOptions,
    InspectOptions,
    ModelCheckOptions,
    ModelInfoOptions,
    ModelModifierOptions,
    Npy2BinOptions,
    ScriptPathOptions,
    ShowSimResultOptions,
)
from knightlite.options.profile import ProfileOptions
from knightlite.options.quantize import QuantizeOptions
from knightlite.options.serve import ServeOptions
from knightlite.options.simulate import SimulateOptions

RECORDS: Mapping[str, type] = {
    "quant": QuantizeOptions,
    "compile": CompileOptions,
    "sim": SimulateOptions,
    "profile": ProfileOptions,
    "build": BuildOptions,
    "eval": EvaluateOptions,
    "compare": CompareOptions,
    "diagnose": DiagnoseOptions,
    "check": CheckOptions,
    "explore": ExploreOptions,
    "serve": ServeOptions,
    "inspect": InspectOptions,
    "explain": ExplainOptions,
    "chips": ChipsOptions,
    "model_info": ModelInfoOptions,
    "model_modifier": ModelModifierOptions,
    "model_check": ModelCheckOptions,
    "show_sim_result": ShowSimResultOptions,
    "npy2bin": Npy2BinOptions,
    "deploy": DeployOptions,
    "sim-lib": SimLibOptions,
    "bin2header": Bin2HeaderOptions,
    "demo": DemoOptions,
    "script-path": ScriptPathOptions,
}
