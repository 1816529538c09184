"""What the pictures of the training were: mean and spread of an input, from the first BatchNorms.

Before the first activation a network is linear in its input. What a BatchNorm there knows of its
channels' means are as many equations for the means of the input's channels, and its standard
deviations, beside those that pictures of known spread give, tell how far the input spreads. So a
network that wants pixels 0..255 is told from one that wants -1..1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from knightlite.inference import Runner, float_network
from knightlite.ir import Graph
from knightlite.ops import BY_NAME, View
from knightlite.ops.opdef import OPEN

Float64 = NDArray[np.float64]

LEAST_STD = 1e-3  # of the widest channel: what is narrower was as good as constant
SMALL = 1e-9
# sixteen right pictures against those of the training spread 0.42 (words on plain ground) to 0.96
# times as wide, and their means are off by up to 0.4; pixels 0..1 for -1..1 spread 0.2 to 0.44
# times, their means are off by 0.3 to 0.8; ImageNet's std for -1..1 makes 1.9, pixels 0..255 50
WIDE = 1.6
FAINT, OFF = 0.5, 0.5
FAINTEST = 1 / 3
FAR_MEANS = 2.0
RIDGE = 1e-3  # towards equal means of the input's channels, which the equations may not tell apart


@dataclass(frozen=True, slots=True, eq=False)
class InputFit:
    """Mean [C] and standard deviation of the values that an input had in training."""

    mean: Float64
    std: float


def fit_input(
    graph: Graph, name: str, probes: NDArray[np.float32], threads: int | None = None
) -> InputFit | None:
    """The fit for input ``name``, or None where no BatchNorm is linear in it alone.

    ``probes`` [n, C, H, W]: pictures of mean 0 and standard deviation 1, as photographs otherwise.
    """
    part = _linear_part(graph, name)
    if part is None:
        return None
    channels = probes.shape[1]
    flat = np.zeros((channels + 1, *probes.shape[1:]), np.float32)
    for channel in range(channels):
        flat[channel + 1, channel] = 1
    runner = Runner(float_network(part), threads)
    flats = runner.run((flat,))
    rows, sides = [], []
    for output, values in flats.items():
        known, told = graph.trained[output], _told(graph, output)
        means = values.mean(axis=(2, 3), dtype=np.float64)[:, told]
        rows.append((means[1:] - means[0]).T / known.std[told, None])
        sides.append((known.mean[told] - means[0]) / known.std[told])
    mean = _means(np.concatenate(rows), np.concatenate(sides))
    products = total = 0.0
    for output, spread in runner.run((probes,)).items():
        zero, told = flats[output][0], _told(graph, output)
        steps = flats[output][1:] - zero
        # padding makes a flat picture uneven too, the more the further its mean is from 0
        border = (zero + np.tensordot(mean, steps, 1)).astype(np.float64).var(axis=(1, 2))
        power = (spread - zero).astype(np.float64).var(axis=(0, 2, 3))[told]
        variance = np.maximum(graph.trained[output].std ** 2 - border, 0)[told]
        # least squares: channels that see smooth faces speak loudest, edges little
        products += float(variance @ power)
        total += float(power @ power)
    if not (products > 0 and np.isfinite(products / total) and np.all(np.isfinite(mean))):
        return None
    return InputFit(mean, float(np.sqrt(products / total)))


@dataclass(frozen=True, slots=True)
class Apart:
    """How far pictures are from those of the training, as the first BatchNorms saw these.

    ``times``: they spread so many times as wide; ``means``: root mean square of what their means
    are off, in standard deviations of the training.
    """

    times: float
    means: float

    @property
    def is_far(self) -> bool:
        """Whether no pictures that are prepared as for the training would be."""
        narrow = FAINT if self.means > OFF else FAINTEST
        return self.times > WIDE or self.times < narrow or self.means > FAR_MEANS

    @property
    def distance(self) -> float:
        """0 for the same."""
        return abs(float(np.log2(max(self.times, SMALL)))) + self.means


def knows_training(graph: Graph, name: str) -> bool:
    """Whether a BatchNorm tells what input ``name`` was in training.

    That of a network which was never trained knows nothing: its means are all 0.
    """
    part = _linear_part(graph, name)
    return part is not None and any(graph.trained[output].mean.any() for output in part.outputs)


def apart_from_training(
    graph: Graph, name: str, pictures: NDArray[np.float32], threads: int | None = None
) -> Apart | None:
    """Of ``pictures`` [n, C, H, W] for input ``name``; None where no BatchNorm tells."""
    part = _linear_part(graph, name)
    if part is None or not knows_training(graph, name):
        return None
    means, times = [], []
    for output, values in Runner(float_network(part), threads).run((pictures,)).items():
        known, told = graph.trained[output], _told(graph, output)
        found = values.mean(axis=(0, 2, 3), dtype=np.float64)[told]
        spread = values.std(axis=(0, 2, 3), dtype=np.float64)[told]
        means.append((found - known.mean[told]) / known.std[told])
        times.append(np.maximum(spread, SMALL) / known.std[told])
    off = np.concatenate(means)
    return Apart(float(np.median(np.concatenate(times))), float(np.sqrt(np.mean(off**2))))


def _told(graph: Graph, name: str) -> NDArray[np.bool_]:
    """The channels [C] of a BatchNorm that are not as good as constant."""
    std = graph.trained[name].std
    return np.asarray(std > LEAST_STD * std.max())


def _means(rows: Float64, sides: Float64) -> Float64:
    """Least squares; what the equations leave open is the same in all channels."""
    channels = rows.shape[1]
    apart = np.eye(channels) - 1 / channels
    size = RIDGE * max(float(np.abs(rows).max()), np.finfo(float).tiny)
    found = np.linalg.lstsq(
        np.concatenate([rows, size * apart]), np.concatenate([sides, np.zeros(channels)]), None
    )
    return np.asarray(found[0], np.float64)


def _linear_part(graph: Graph, name: str) -> Graph | None:
    """The nodes up to the BatchNorms that are linear in input ``name``, activations left out."""
    linear, known, nodes = {name}, [], []
    for node in graph.nodes:
        features = [item for item in node.inputs if item not in graph.constants]
        if not BY_NAME[node.op].linear or not linear.issuperset(features):
            continue
        if node.output in graph.trained:
            known.append(node.output)
        is_open = View(graph, node).clamp == OPEN
        if is_open:
            linear.add(node.output)
        opened = {**node.attributes, "clamp": OPEN}
        nodes.append(node if is_open else replace(node, attributes=opened))
    needed = set(known)
    for node in reversed(nodes):
        if node.output in needed:
            needed.update(node.inputs)
    return (
        None
        if not known
        else replace(
            graph,
            inputs=(name,),
            outputs=tuple(known),
            nodes=tuple(node for node in nodes if node.output in needed),
            constants={key: graph.constants[key] for key in needed & set(graph.constants)},
            host=(),
        )
    )
