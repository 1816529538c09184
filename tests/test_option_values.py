"""Every value that an option can have, at the ends of its range and beyond, and every rule between
options for each value that it names.

Values stand here by hand: one that is dropped from a list in the code, or added, shows.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from knightlite.errors import UsageError
from knightlite.options import Option, check, options_of
from knightlite.options.commands import RECORDS
from knightlite.options.diagnose import DiagnoseOptions
from knightlite.options.evaluate import EvaluateOptions
from knightlite.options.explore import ExploreOptions
from knightlite.options.quantize import QuantizeOptions
from knightlite.options.serve import ServeOptions

MODEL = Path("m.onnx")
LAYOUTS = ("nchw", "nhwc", "nhwcstride")
EXPORTERS = ("auto", "torchscript", "dynamo")
WORDS: dict[tuple[str, str], tuple[Any, ...]] = {
    ("QuantizeOptions", "equalize"): (False, True),
    ("QuantizeOptions", "output_scales"): (False, True),
    ("QuantizeOptions", "effort"): ("low", "normal", "high"),
    ("QuantizeOptions", "bias_correction"): ("off", "fast", "sequential"),
    ("QuantizeOptions", "rounding"): ("nearest", "adaptive"),
    ("QuantizeOptions", "bit_width"): (8, 16),
    ("QuantizeOptions", "wide_tensors"): (False, True),
    ("QuantizeOptions", "run_mode"): ("quant", "auto_quant", "infer", "convert", "compare"),
    ("QuantizeOptions", "mix_strategy"): ("HAWQ", "IOhigh", "initial"),
    ("QuantizeOptions", "torch_exporter"): EXPORTERS,
    ("CheckOptions", "torch_exporter"): EXPORTERS,
    ("CompileOptions", "opt_group"): (0, 1, 2),
    ("ExplainOptions", "opt_group"): (0, 1, 2),
    ("CompileOptions", "opt_ddr"): (0, 1, 2),
    ("CompileOptions", "input_order"): ("nchw", "nhwc"),
    ("SimulateOptions", "engine"): ("numpy", "native"),
    ("EvaluateOptions", "engine"): ("numpy", "native"),
    ("ServeOptions", "engine"): ("numpy", "native"),
    ("SimulateOptions", "layout"): LAYOUTS,
    ("ModelCheckOptions", "layout"): LAYOUTS,
    ("ModelCheckOptions", "keep"): (False, True),
    ("ShowSimResultOptions", "layout"): ("nchw", "nhwc"),
    ("DemoOptions", "stage"): ("quant", "rne", "rne-sim-lib", "all"),
}
"""All words of an option, or numbers of which there are a few."""

MOST_SEED = 2**32 - 1
HERE = Path(__file__)
METHODS = (
    "mse", "kl", "percentile", "min_max", "auto", "all"
)  # fmt: skip
ENDS: dict[tuple[str, str], tuple[tuple[Any, ...], tuple[Any, ...]]] = {
    ("QuantizeOptions", "mix_ratio"): ((0, 1), (-0.001, 1.001)),
    ("QuantizeOptions", "lut_len"): ((8, 12), (7, 13)),
    ("QuantizeOptions", "ir_batch"): ((1, 4096), (0, 4097)),
    ("QuantizeOptions", "seed"): ((0, MOST_SEED), (-1, MOST_SEED + 1)),
    ("EvaluateOptions", "seed"): ((0, MOST_SEED), (-1, MOST_SEED + 1)),
    ("DiagnoseOptions", "seed"): ((0, MOST_SEED), (-1, MOST_SEED + 1)),
    ("QuantizeOptions", "percent"): ((1e-9, 1.0), (0.0, 1.0001)),
    ("QuantizeOptions", "methods"): (((), METHODS), (("best",), ("mse", "ALL"))),
    ("QuantizeOptions", "function"): (("infer_auto", "f7"), ("7",)),
    ("CompileOptions", "evaluations"): ((0,), (-1,)),
    ("CompileOptions", "onceload_m"): ((-1, 0), (-2,)),
    ("CompileOptions", "onceload_w"): ((-1, 0), (-2,)),
    ("CompileOptions", "search_seconds"): ((0,), (-0.001,)),
    ("CompileOptions", "res_version"): (("a" * 16,), ("a" * 17, "a\n")),
    ("SimulateOptions", "input"): (("x.bin", "7.bin"), ("7",)),
    ("SimulateOptions", "into_file"): ((-1, 0, 1), (-2,)),
    ("EvaluateOptions", "count"): ((1,), (0,)),
    ("EvaluateOptions", "workers"): ((1,), (0,)),
    ("EvaluateOptions", "shard"): (((1, 1), (4, 4)), ((0, 4), (5, 4))),
    ("CompareOptions", "level"): ((0, 6), (-1, 7)),
    ("CompareOptions", "number"): ((1,), (0,)),
    ("DiagnoseOptions", "iteration"): ((1,), (0,)),
    ("DiagnoseOptions", "suspects"): ((1,), (0,)),
    ("DiagnoseOptions", "number"): ((1,), (0,)),
    ("ShowSimResultOptions", "index"): ((0,), (-1,)),
    ("ProfileOptions", "advice_seconds"): ((0,), (-0.001,)),
    ("ExploreOptions", "iteration"): ((1,), (0,)),
    ("ServeOptions", "port"): ((0, 65535), (-1, 65536)),
    ("ServeOptions", "workers"): ((1, 256), (0, 257)),
    ("ServeOptions", "waiting"): ((0, 4096), (-1, 4097)),
    ("ServeOptions", "frames"): ((1, 4096), (0, 4097)),
    ("ServeOptions", "body_mib"): ((1, 1024), (0, 1025)),
    ("ServeOptions", "seconds"): ((1, 3600), (0.999, 3601)),
    ("ExploreOptions", "rate"): ((1e-6,), (0, 9e-7)),
    ("ExploreOptions", "workers"): ((1,), (0,)),
    **{
        (record, "chip"): (("TX5368AV200",), ("TX1", "all"))
        for record in (
            "QuantizeOptions", "CompileOptions", "SimulateOptions", "ProfileOptions",
            "EvaluateOptions", "ExplainOptions", "ExploreOptions", "DemoOptions",
        )
    },
    ("CheckOptions", "chip"): (("TX5368AV200", "all"), ("TX1",)),
    **{
        (record, "script"): ((HERE,), (HERE.parent, HERE.with_name("no.py")))
        for record in ("CheckOptions", "DiagnoseOptions", "QuantizeOptions")
    },
    ("ProfileOptions", "onnx"): ((HERE,), (HERE.parent, HERE.with_name("no.onnx"))),
}  # fmt: skip
"""What is taken, and what is refused: the ends of a range, or what a check asks for."""


def options() -> Iterator[tuple[tuple[str, str], Option]]:
    for record in dict.fromkeys(RECORDS.values()):
        for name, item in options_of(record).items():
            yield (record.__name__, name), item


def test_nothing_is_left_out() -> None:
    """An option that refuses anything stands in one of the tables, with all its words."""
    known = {key: item.kind for key, item in options()}
    words = {key: tuple(kind.known) for key, kind in known.items() if kind.words}
    assert words == WORDS
    refusing = {
        key
        for key, item in options()
        if item.check is not None or item.kind.low is not None or item.kind.high is not None
    }
    assert refusing == set(ENDS)


@pytest.mark.parametrize("key", [*WORDS, *ENDS], ids="-".join)
def test_what_an_option_takes(key: tuple[str, str]) -> None:
    item = dict(options())[key]
    taken, refused = ENDS[key] if key in ENDS else (WORDS[key], ("7a", 3))
    for value in taken:
        item.refuse(value)
    for value in refused:
        with pytest.raises(UsageError):
            item.refuse(value)


# ------------------------------------------------------------------ rules between options

SEVERAL = {"iterations": (1, 2)}
METHODS_TWO = {"methods": ("mse", "kl")}
ONE = "takes one value of -qm and of -i, not several"
OF_ONE_RUN = "-du and -cd belong to one run"
BUDGET = "--mix-budget chooses the operators of 16 bits itself, but "
AUTO = "-r auto_quant chooses the operators of 16 bits itself"
MIX = Path("mix.json")
NOTHING = Path("nothing")
QUANTIZE: tuple[tuple[dict[str, Any], str], ...] = (
    # several runs
    ({**SEVERAL}, ""),
    ({**METHODS_TWO}, ""),
    ({"methods": ("mse",), "iterations": (7,), "run_mode": "infer"}, ""),
    ({"methods": ("mse", "mse"), "iterations": (7, 7), "run_mode": "infer"}, ""),
    ({**SEVERAL, "run_mode": "infer"}, f"run mode infer {ONE}"),
    ({**SEVERAL, "run_mode": "convert"}, f"run mode convert {ONE}"),
    ({**METHODS_TWO, "run_mode": "infer"}, f"run mode infer {ONE}"),
    ({"methods": ("all",), "run_mode": "convert"}, f"run mode convert {ONE}"),
    ({**SEVERAL, "run_mode": "compare"}, ""),
    ({**SEVERAL, "run_mode": "auto_quant"}, ""),
    ({**SEVERAL, "dump": True}, OF_ONE_RUN),
    ({**SEVERAL, "cache": Path("c.npz")}, OF_ONE_RUN),
    ({**SEVERAL, "dump": True, "run_mode": "auto_quant"}, OF_ONE_RUN),
    ({**SEVERAL, "dump": True, "run_mode": "compare"}, ""),
    ({"dump": True, "cache": Path("c.npz")}, ""),
    # one source of widths
    ({"bit_width": 16}, ""),
    ({"mix_config": MIX}, ""),
    ({"mix_config": MIX, "bit_width": 16}, "-mc mixes 16 bits into a network of 8"),
    ({"run_mode": "auto_quant"}, ""),
    ({"run_mode": "auto_quant", "bit_width": 16}, AUTO),
    ({"run_mode": "auto_quant", "mix_config": MIX}, AUTO),
    ({"mix_config": MIX, "generate_template": True}, "-gt writes the template that -mc reads"),
    ({"generate_template": True}, ""),
    ({"mix_config": MIX, "load_scales": NOTHING}, "both -lsj and -mc decide"),
    ({"load_scales": NOTHING}, ""),
    # a budget
    ({"mix_budget": "10%"}, ""),
    *(
        ({"mix_budget": "10%", "run_mode": mode}, f"{BUDGET}-r {mode} is asked for too")
        for mode in ("infer", "convert", "compare", "auto_quant")
    ),
    ({"mix_budget": "10%", "bit_width": 16}, f"{BUDGET}-b 16 is asked for too"),
    ({"mix_budget": "10%", "mix_config": MIX}, f"{BUDGET}-mc is asked for too"),
    ({"mix_budget": "10%", "load_scales": NOTHING}, f"{BUDGET}-lsj is asked for too"),
    # scales
    ({"generate_scales": True}, ""),
    ({"load_scales": NOTHING, "generate_scales": True}, "scales are either written (-gsj) or read"),
    # pictures
    ({"data": "nothing", "recipe": "digits"}, "picture folder nothing does not exist."),
    ({"data": ".", "recipe": "digits"}, ""),
    ({"data": "nothing"}, ""),
    ({"recipe": "digits"}, ""),
    # forward calls
    ({"iterations": (1, 10_000_000), "batch_size": 4096}, ""),
    ({"iterations": (0,)}, "must be from 1 to 10000000"),
    ({"iterations": (1, 10_000_001)}, "must be from 1 to 10000000"),
    ({"batch_size": 0}, "batch size (-bs) from 1 to 4096"),
    ({"batch_size": 4097}, "batch size (-bs) from 1 to 4096"),
)  # fmt: skip
FOLDER, ONE_MODEL = Path("calib"), (MODEL,)
EXPLORE: tuple[tuple[dict[str, Any], str], ...] = (
    ({}, ""),
    ({"chips": ("TX5368AV200",)}, ""),
    ({"chip": "TX5368AV200"}, ""),
    ({"chip": "TX5368AV200", "chips": ("TX5105C",)}, "both say which chips"),
    ({"data": FOLDER, "recipe": "digits", "iteration": 1}, ""),
    ({"data": FOLDER}, "-d tells nothing without --recipe"),
    ({"recipe": "digits"}, "--recipe tells nothing without -d"),
    ({"iteration": 1}, "-i tells nothing without -d and --recipe"),
    ({"facts": (("clock_hz", (1,)), ("fspm_bytes", (1,)))}, ""),
    ({"facts": (("clock_hz", (1,)), ("clock_hz", (2,)))}, "--set clock_hz is given 2 times"),
)
SERVE: tuple[tuple[dict[str, Any], str], ...] = (
    ({"host": "127.0.0.1"}, ""),
    ({"host": "::1"}, ""),
    ({"host": "localhost"}, ""),
    ({"host": "0.0.0.0"}, "other machines reach the server"),
    ({"host": "0.0.0.0", "token_file": Path("token")}, ""),
)
OTHERS: tuple[tuple[Any, str], ...] = (
    *((ServeOptions(networks=("n.cfg",), **given), said) for given, said in SERVE),
    *((ExploreOptions(models=ONE_MODEL, **given), said) for given, said in EXPLORE),
    (EvaluateOptions(data=Path("p")), ""),
    (EvaluateOptions(merge=True), ""),
    (EvaluateOptions(), "eval needs pictures."),
    (DiagnoseOptions(iteration=10_000_000, batch_size=4096), ""),
    (DiagnoseOptions(batch_size=4097), "batch size (-bs) from 1 to 4096"),
    (DiagnoseOptions(batch_size=0), "batch size (-bs) from 1 to 4096"),
    (DiagnoseOptions(iteration=10_000_001), "must be from 1 to 10000000"),
)
RULES = [*((QuantizeOptions(model=MODEL, **given), said) for given, said in QUANTIZE), *OTHERS]


@pytest.mark.parametrize(("asked", "sentence"), RULES)
def test_rules_between_options(asked: Any, sentence: str) -> None:
    try:
        check(asked)
    except UsageError as error:
        said = str(error)
    else:
        said = ""
    assert sentence in said if sentence else not said
