"""What a diagnosis judges quantized variants by: sums, answers, calls, by their definition."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from float_nets import FloatNet
from knightlite.diagnosis.judge import Judge, Still
from knightlite.inference import Runner, float_network, quantized_network
from knightlite.quantize.pipeline import quantize_graph
from knightlite.quantize.settings import Settings
from knightlite.quantize.statistics import Recording
from test_feature_choice import noise


def decibels(want: NDArray[np.float32], have: NDArray[np.float32]) -> float:
    apart = want.astype(np.float64) - have
    return float(10 * np.log10(np.sum(want.astype(np.float64) ** 2) / np.sum(apart**2)))


def test_of_two_outputs_the_worst_counts_and_the_first_answers() -> None:
    """Over all pictures, and call by call; the second output keeps least and answers otherwise."""
    net = FloatNet()
    x = net.input("x", 6, 1, 1)
    first = net.conv(x, "first", 4)
    rough = net.node("Table", (net.conv(x, "c", 4),), "rough", function="Exp")
    graph = net.build(first, rough)
    pictures = noise((12, 6, 1, 1))
    still = Still((pictures,))
    fixed = quantize_graph(graph, still, Settings(bias_correction="off"), threads=1).graph
    exact, found = (
        {
            name: np.concatenate([run.run((item[None],))[name] for item in pictures])
            for name in ("first", "rough")
        }
        for run in (Runner(float_network(graph), 1), Runner(quantized_network(fixed), 1))
    )
    judge = Judge(graph, still, Recording(), 1)
    score = judge.score(fixed)
    kept = {name: decibels(exact[name], found[name]) for name in exact}
    assert kept["first"] != kept["rough"]
    assert score.sqnr_db is not None
    assert score.sqnr_db == round(min(kept.values()), 2)
    assert score.metric is None
    answers = {name: values.reshape(12, 4).argmax(axis=1) for name, values in found.items()}
    assert answers["first"].tolist() != answers["rough"].tolist()
    assert score.answers is not None
    assert score.answers.tolist() == answers["first"].tolist()
    told = judge.float_answers()
    assert told is not None
    assert told.tolist() == exact["first"].reshape(12, 4).argmax(axis=1).tolist()
    calls = [
        min(decibels(exact[name][at : at + 1], found[name][at : at + 1]) for name in exact)
        for at in range(12)
    ]
    assert list(score.calls_db) == [round(call, 2) for call in calls]
