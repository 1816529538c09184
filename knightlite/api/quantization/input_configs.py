"""``input-configs`` of run-config files: type, normalization and data of each input."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from knightlite.api.quantization.input_forms import TYPES, InputForm
from knightlite.errors import Finding, UsageError, findings_error
from knightlite.options.texts import numbers
from knightlite.reading import json_value

if TYPE_CHECKING:
    from knightlite.ir import Tensor
    from knightlite.quantize.data import InputFiles

KEYS = (
    "input_name", "quant_data_format", "data_dir", "color_space", "mean", "std",
    "quantize_input_dtype", "padding_constant_value",
)  # fmt: skip
FORMATS = ("Image", "Numpy", "Bin")
COLORS = ("RGB", "BGR", "GRAY")


@dataclass(frozen=True, slots=True)
class InputConfig:
    """One entry: the input's form, and where its data lie (None: a script feeds it)."""

    form: InputForm
    kind: str
    directory: Path | None
    color: str
    padded: bool


def parse(
    text: str, inputs: tuple[str, ...], declared: tuple[str, ...] = ()
) -> tuple[InputConfig, ...]:
    """The entries in the order of ``inputs``; UsageError with everything that is wrong.

    ``declared``: where the model has inputs that nothing reads, all of them; what is said of those
    is checked and left out.
    """
    declared = declared or inputs
    try:
        data = json_value(text)
    except ValueError as error:
        raise UsageError(f"input-configs must be a JSON list: {error}.") from error
    if not isinstance(data, list) or not all(isinstance(item, dict) for item in data):
        raise UsageError("input-configs must be a list of objects, one per input.")
    findings: list[Finding] = []
    found: dict[str, InputConfig] = {}
    for index, item in enumerate(data):
        name = str(item.get("input_name") or (declared[index] if index < len(declared) else ""))
        reasons = _wrong(item)
        if name not in declared:
            reasons.append(f"the network has no input {name!r}, but {', '.join(declared)}")
        if name in found:
            reasons.append("it is configured twice")
        findings += [Finding(f"input-configs[{index}]", f"{reason}.") for reason in reasons]
        if not reasons:
            found[name] = _config(name, item)
    if findings:
        raise findings_error(
            UsageError,
            f"{len(findings)} of input-configs cannot be used: {findings[0]}",
            findings if len(findings) > 1 else (),
        )
    return tuple(found[name] for name in inputs if name in found)


def _wrong(item: dict[str, Any]) -> list[str]:
    reasons = [f"key {key} is not one of {', '.join(KEYS)}" for key in item if key not in KEYS]
    for key, known in (("quant_data_format", FORMATS), ("color_space", COLORS)):
        if item.get(key) not in (None, "", *known):
            reasons.append(f"{key} must be one of {', '.join(known)}, not {item[key]!r}")
    kind = str(item.get("quantize_input_dtype") or "None")
    if kind.lower() not in TYPES:
        reasons.append(f"quantize_input_dtype must be one of {', '.join(TYPES)}, not {kind!r}")
    for key in ("mean", "std"):
        try:
            numbers([_text(item.get(key))])
        except UsageError:
            reasons.append(f"{key} must be numbers, not {item[key]!r}")
    return reasons


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _config(name: str, item: dict[str, Any]) -> InputConfig:
    mean, std = (numbers([_text(item.get(key))]) for key in ("mean", "std"))
    if mean or std:
        mean, std = mean or (0.0,), std or (1.0,)
    dtype = TYPES[str(item.get("quantize_input_dtype") or "None").lower()]
    folder = item.get("data_dir")
    return InputConfig(
        InputForm(name, dtype, mean, std),
        str(item.get("quant_data_format") or "Image"),
        Path(str(folder)) if folder else None,
        str(item.get("color_space") or "RGB"),
        item.get("padding_constant_value") not in (None, ""),
    )


def workload(
    configs: tuple[InputConfig, ...], inputs: tuple[Tensor, ...], iteration: int, batch_size: int
) -> InputFiles:
    """The files of every input; UsageError where an input has none."""
    from knightlite.quantize.data import InputFiles, Source

    by_name = {config.form.name: config for config in configs}
    sources = []
    for tensor in inputs:
        config = by_name.get(tensor.name)
        if config is None or config.directory is None:
            raise UsageError(
                f"input-configs name no data_dir for input {tensor.name}.",
                "name one for each input, or feed them all with a script (-uds)",
            )
        sources.append(Source(tensor, config.kind, config.directory, config.color))
    return InputFiles(tuple(sources), iteration, batch_size)
