"""What ``quant`` says of its own figures: how sure they are, and where they mean little."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from float_nets import FloatNet
from knightlite.api.quantization.in_memory import _warn_of_loss, warn_of_chance
from knightlite.api.quantization.run import QuantizeOutcome
from knightlite.cli.quant import loss_sentence
from knightlite.ir import Graph
from knightlite.quantize.data import Forward
from knightlite.quantize.pipeline import quantize_graph
from knightlite.talk import Talk


def scores(classes: int) -> Graph:
    net = FloatNet()
    net.conv(net.input("x", classes, 1, 1), "y", classes, weights=np.eye(classes)[..., None, None],
             bias=np.zeros(classes))  # fmt: skip
    return net.build("y")


@dataclass(frozen=True)
class Scripted:
    """``count`` pictures, each of the class that it shows; a script says of how many it is so."""

    count: int
    wrong: int = 0
    noise: float = 0.0
    description: str = "a script"

    def run(self, forward: Forward) -> float | None:
        rng = np.random.default_rng(5)
        right = 0
        for number in range(self.count):
            picture = rng.uniform(0, self.noise, (1, 4, 1, 1))
            picture[0, number % 4] += 1
            label = (number + (number < self.wrong)) % 4
            right += int(np.argmax(forward((picture.astype(np.float32),))[0]) == label)
        return 100 * right / self.count


@pytest.mark.parametrize(
    ("classes", "metric", "pictures", "warned"),
    [
        (10, 12.0, 100, "12 of 100 pictures, 12.00 %, and chance of 10 classes is 10.00 %"),
        (10, 0.12, 100, "12 of 100 pictures, 12.00 %"),
        (10, 30.0, 10, "3 of 10 pictures"),
        (10, 31.0, 100, None),
        (10, 0.0, 9, None),  # a good network may be wrong for a few
        (2, 50.0, 10, "chance of 2 classes is 50.00 %"),
        (2, 51.0, 100, None),
        (1, 0.0, 100, None),  # no classes
        (10, None, 100, None),
    ],
)
def test_a_float_network_at_chance(
    classes: int, metric: float | None, pictures: int, warned: str | None
) -> None:
    said: list[str] = []
    warn_of_chance(scores(classes), Scripted(1), metric, pictures, Talk(warn=said.append))
    assert len(said) == (warned is not None)
    for sentence in said:
        assert sentence.startswith("if the metric is a top-1, the float model itself is right for ")
        assert str(warned) in sentence
        assert "Hint: `knightlite diagnose` tries other colours" in sentence


@pytest.mark.parametrize(
    ("kept", "metric", "pictures", "warned"),
    [
        (5.0, None, 1, "over 1 calibration picture; no metric says what answers that costs. Hint"),
        (24.9, None, 100, "output y keeps 24.9 dB of the float network's over 100 "),
        (25.0, None, 100, None),
        (20.0, 90.0, 100, None),  # the metric shows that nothing is lost
        (20.0, 80.0, 100, "; the metric falls: accuracy is lost. Hint: `knightlite diagnose`"),
        (14.0, 89.0, 100, "pictures; the metric stays: its interval holds 0. Hint"),
        (14.0, 90.0, 100, "pictures; the metric does not fall. Hint"),
        (None, None, 100, None),
    ],
)
def test_poor_outputs_come_with_the_next_step(
    kept: float | None, metric: float | None, pictures: int, warned: str | None
) -> None:
    said: list[str] = []
    report: dict[str, Any] = {
        "outputs": [{"name": "x", "sqnr_db": 60.0}, {"name": "y", "sqnr_db": kept}],
        "metric": {
            "float": None if metric is None else 90.0, "quantized": metric,
            "lost": None if metric is None else 91 - int(metric), "won": 1,
        },
        "compared": pictures,
    }  # fmt: skip
    _warn_of_loss(report, Scripted(1), Talk(warn=said.append))
    assert [str(warned) in sentence for sentence in said] == [True] * (warned is not None)


@pytest.mark.parametrize(("wrong", "metric"), [(0, 100.0), (8, 75.0)])
def test_how_sure_the_loss_is(wrong: int, metric: float) -> None:
    """Without labels of its own: what a script's metric says, by the answers that changed."""
    report = quantize_graph(scores(4), Scripted(32, wrong, 0.4), threads=1).report
    assert report["metric"] == {
        "float": metric, "quantized": metric, "loss_percent": 0.0, "lost": 0, "won": 0,
    }  # fmt: skip
    outcome = QuantizeOutcome({}, report, metric, metric, 0.0, 32, 0.0)
    assert loss_sentence(outcome).endswith(
        "quantized; +0.00 points, 95 % interval -8.15 to +8.15: 0 won, 0 lost of 32 pictures)"
    )
    may = "may stay, its interval holds 0"
    for lost, won, told in (
        (9, 0, "falls"), (2, 1, may), (3, 3, "stays"), (1, 2, may), (0, 9, "rises"),
    ):  # fmt: skip
        report = {"compared": 32, "metric": {"lost": lost, "won": won}}
        loss = 100 * (lost - won) / 16
        sure = QuantizeOutcome({}, report, 50.0, 50.0 - loss / 2, loss, 32, 0.0)
        assert f" % (the metric {told}: 50.0000 float, " in loss_sentence(sure)
    unsure = QuantizeOutcome({}, {}, 40.0, 30.0, 25.0, 32, 0.0)
    assert "(the metric falls: " in loss_sentence(unsure)
    assert loss_sentence(unsure).endswith("over 32 pictures: no interval, as it is no top-1)")


def test_a_metric_that_the_answers_do_not_explain_has_no_interval() -> None:
    @dataclass(frozen=True)
    class Squares(Scripted):
        def run(self, forward: Forward) -> float | None:
            total = 0.0

            def summed(inputs: tuple[Any, ...]) -> Any:
                nonlocal total
                outputs = forward(inputs)
                total += float(np.square(outputs[0]).sum())
                return outputs

            Scripted.run(self, summed)
            return total

    report = quantize_graph(scores(4), Squares(32, 0, 0.4), threads=1).report
    assert report["metric"]["quantized"] != report["metric"]["float"]
    assert (report["metric"]["lost"], report["metric"]["won"]) == (None, None)
