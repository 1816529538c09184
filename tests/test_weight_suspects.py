"""What is wrong with a convolution's weights, told with its numbers: one channel by hand each."""

from __future__ import annotations

import math

import numpy as np
import pytest

from float_nets import FloatNet
from knightlite.diagnosis.causes import RAISED, WEIGHT_OUTLIER, WEIGHT_SCALE, Suspect
from knightlite.diagnosis.weight_causes import weight_suspects
from knightlite.dtypes import S8, U8
from knightlite.ir import GraphBuilder

EVEN = (1.0, 0.5, 0.25, 0.125)


def suspects(
    weights: tuple[float, ...], scale: float, x: float = 1.0, y: float = 1.0, bias: int = 0
) -> list[Suspect]:
    """Of a 1x1 convolution: channel 0 with these weights and scale, channel 1 as it should be."""
    rows = np.asarray([weights, EVEN]).reshape(2, len(weights), 1, 1)
    scales = np.asarray([scale, 1 / 127], np.float32)
    net = FloatNet()
    net.input("x", len(weights), 2, 2)
    exact = net.build(net.conv("x", "y", 2, weights=rows, bias=np.zeros(2)))
    builder = GraphBuilder("net")
    builder.input("x", (1, len(weights), 2, 2), U8, x)
    codes = np.clip(np.rint(rows / scales.reshape(2, 1, 1, 1)), -127, 127).astype(np.int8)
    names = (
        builder.constant("y.weight", codes, scales),
        builder.constant("y.bias", np.asarray([bias, 0], np.int32), x * scales),
    )
    node = exact.nodes[0]
    builder.node("Conv", ("x", *names), "y", node.attributes)
    builder.tensor("y", (1, 2, 2, 2), S8, y)
    return weight_suspects(exact, builder.build(("y",)))


def kept_db(weights: tuple[float, ...], scale: float) -> float:
    """The worse of all weights' SQNR, and of the middle weight against a step's noise."""
    error = sum((w - scale * max(-127, min(127, round(w / scale)))) ** 2 for w in weights)
    whole = 10 * math.log10(sum(w * w for w in weights) / error)
    middle = 20 * math.log10(float(np.median(weights)) * math.sqrt(12) / scale)
    return min(whole, middle)


def kept(weights: tuple[float, ...], scale: float) -> str:
    db = kept_db(weights, scale)
    return f"channel 0 keeps {db:.1f} dB (1 of 2 channels keep less than 25)"


def only(found: list[Suspect], cause: str) -> Suspect:
    (suspect,) = found
    assert suspect.cause == cause
    assert (suspect.layer, suspect.tensors, suspect.weights) == ("y", (), ("y",))
    assert (suspect.facts["channel"], suspect.facts["channels"]) == (0, [0])
    assert suspect.badness == suspect.facts["sqnr_db"]
    return suspect


def test_weights_that_fit_are_no_suspects() -> None:
    assert suspects(EVEN, 1 / 127) == []
    assert suspects((1.0, 0.0, 0.0, 0.0), 1 / 127) == []  # zeros have no error


@pytest.mark.parametrize(("share", "clips"), [(0.25, True), (0.66, True), (0.67, False)])
def test_a_scale_that_clips(share: float, clips: bool) -> None:
    """Where the largest weight is more than half as large again as the range."""
    scale = share / 127
    found = only(suspects(EVEN, scale), WEIGHT_SCALE if clips else WEIGHT_OUTLIER)
    if clips:
        assert found.sentence == (
            f"the weight scale of channel 0 clips: its largest weight is 1, the range ends at "
            f"{share:.4g}; {kept(EVEN, scale)}"
        )


def test_a_scale_that_is_too_large() -> None:
    found = only(suspects(EVEN, 10 / 127), WEIGHT_SCALE)
    assert found.sentence == (
        f"the weight scale of channel 0 is 10.0 times too large: {kept(EVEN, 10 / 127)}"
    )
    assert found.facts["times"] == pytest.approx(10, rel=1e-6)
    assert found.facts["sqnr_db"] == pytest.approx(kept_db(EVEN, 10 / 127), abs=1e-4)


@pytest.mark.parametrize(
    ("y", "bias", "reason"),
    [
        (2.0**17, 0, "the requantize ratio must be at least 2^-17"),
        (2.0**17 / 1.04, 0, "the requantize ratio must be at least 2^-17"),
        (2.0**17 / 1.06, 0, None),
        (1.0, (1 << 30) - 1, "the bias must stay below 2^30 steps"),
        (1.0, -int((1 << 30) / 1.04), "the bias must stay below 2^30 steps"),
        (1.0, int((1 << 30) / 1.06), None),
    ],
)
def test_a_scale_that_a_bound_has_raised(y: float, bias: int, reason: str | None) -> None:
    """It stands at the bound, to a twentieth."""
    scale = 40 / 127
    found = only(
        suspects(EVEN, scale, 3.0, 3.0 * scale * y, bias),
        WEIGHT_SCALE if reason is None else RAISED,
    )
    if reason is not None:
        assert found.sentence == (
            f"weight scales were raised ({reason}): that of channel 0 40.0 times, so that "
            f"{kept(EVEN, scale)}"
        )


def test_one_weight_beside_many() -> None:
    """Nothing is wrong with the scale: it holds the largest weight, and the others are small."""
    weights = (1.0, 1.0, 100.0, 1.5)
    found = only(suspects(weights, 100 / 127), WEIGHT_OUTLIER)
    assert found.sentence == (
        f"weight [0, 2, 0, 0] is 100, the others of its channel about 1.25: one scale for both, "
        f"and {kept(weights, 100 / 127)}"
    )
    assert (found.facts["value"], found.facts["usual"]) == (100.0, 1.25)


def test_a_scale_is_too_large_for_its_own_channel() -> None:
    """Twelve times too large for a channel that is quieter than the other, whose it would suit."""
    weights = tuple(value / 16 for value in EVEN)
    suspect = only(suspects(weights, 0.75 / 127), WEIGHT_SCALE)
    assert suspect.sentence.startswith("the weight scale of channel 0 is 12.0 times too large: ")
    assert suspect.facts["times"] == pytest.approx(12.0)
