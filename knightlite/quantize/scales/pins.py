"""Types and scales that the user decides: of inputs in integers, and those of a scale file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.errors import (
    DataError,
    Finding,
    KnightliteError,
    UsageError,
    findings_error,
    suggestion,
)
from knightlite.quantize.scales.basis import Basis
from knightlite.quantize.scales.features import BY_DEFINITION, Feature, Rule
from knightlite.quantize.settings import Pin


def check_integers(basis: Basis) -> None:
    """DataError where an input in integers was fed with anything else."""
    for pin in basis.settings.pins:
        seen = basis.statistics.get(pin.name)
        if seen is None or not pin.integral:
            continue
        low, high = float(seen.minimum.min()), float(seen.maximum.max())
        if not seen.integral or low < pin.dtype.minimum or high > pin.dtype.maximum:
            kind = "numbers" if seen.integral else "fractions"
            raise DataError(
                f"input {pin.name} must be fed whole numbers from {pin.dtype.minimum} to "
                f"{pin.dtype.maximum} ({pin.source}), but the data holds {kind} from {low:.4g} to "
                f"{high:.4g}.",
                "feed raw pixels and leave their normalization to --mean and --std",
            )


def apply_pins(basis: Basis, chosen: Mapping[str, Feature]) -> dict[str, Feature]:
    """``chosen`` with the types and scales of the pins, each for the whole scale group.

    UsageError with every pin that cannot be kept: unknown tensors, scales per channel where there
    is one, unsigned types for negative values, two scales for one group, definitions.
    """
    found = dict(chosen)
    findings: list[Finding] = []
    groups: dict[int, Pin] = {}
    for pin in basis.settings.pins:
        reason, hint = _obstacle(basis, pin, chosen)
        first = groups.get(chosen[pin.name].group) if pin.name in chosen else None
        if reason is None and first is not None and not _same(first, pin):
            reason = f"it shares its scale with {first.name}, which is to have another one"
        if reason is not None:
            findings.append(Finding(pin.name, f"{reason}.", hint))
            continue
        groups[chosen[pin.name].group] = pin
        for name, feature in chosen.items():
            if feature.group == chosen[pin.name].group:
                found[name] = replace(
                    feature, dtype=pin.dtype, scale=np.asarray(pin.scale), rule=Rule(pin.source)
                )
    if findings:
        raise not_kept(findings)
    return found


def not_kept(findings: Sequence[Finding]) -> KnightliteError:
    """The error with all pins that cannot be kept."""
    return findings_error(
        UsageError,
        f"{len(findings)} scale(s) cannot be kept: {findings[0].where}: {findings[0].sentence}",
        findings if len(findings) > 1 else (),
        findings[0].hint,
    )


def _same(one: Pin, other: Pin) -> bool:
    return one.dtype == other.dtype and np.array_equal(one.scale, other.scale)


def _obstacle(basis: Basis, pin: Pin, chosen: Mapping[str, Feature]) -> tuple[str | None, str]:
    """Why a pin cannot be kept, None where it can, and a hint."""
    if pin.name not in chosen:
        hint = suggestion(pin.name, chosen, "-gsj writes all of them")
        return "the network has no such tensor", hint
    feature = chosen[pin.name]
    if feature.rule == BY_DEFINITION:
        if pin.dtype == feature.dtype and np.array_equal(pin.scale, feature.scale):
            return None, ""
        return f"its scale is {_shown(feature.scale)} ({feature.dtype.name}) by definition", ""
    if pin.scale.ndim:
        channels = basis.statistics[pin.name].histogram.rows
        if pin.name not in basis.plan.per_channel:
            return "it must have one scale: not only depthwise convolutions read it", ""
        if pin.scale.size != channels:
            return f"it has {channels} channels, not {pin.scale.size}", ""
    lowest = min(
        float(basis.statistics[name].minimum.min())
        for name, other in chosen.items()
        if other.group == feature.group
    )
    if lowest < 0 and not pin.dtype.signed:
        return f"{pin.dtype.name} cannot hold its values, which reach {lowest:.4g}", "s8 can"
    return None, ""


def _shown(scale: NDArray[Any]) -> str:
    return str(scale[()]) if not scale.ndim else f"{scale.size} numbers"
