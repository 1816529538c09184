"""Random chains of what moves values, through bytes and machine; and units of ShuffleNet v2."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance_checks import Golden, build, random_inputs, reference, run
from knightlite.ir import Graph
from quantized_nets import QuantizedNet


def exact(graph: Graph, chip: str, level: int = 0) -> list[str]:
    """Every tensor is right on the chip, by the references and by ONNX Runtime; the layers' ops."""
    built = build(graph, chip, level)
    golden = Golden(built.compiled.graph)
    for seed in range(2):
        inputs = random_inputs(graph, np.random.default_rng(seed))
        found, wanted = run(built, inputs), reference(graph, inputs)
        for name, values in {**golden.run(inputs), **wanted}.items():
            if name in found:
                np.testing.assert_array_equal(found[name], values, name)
    return [layer.op for layer in built.program.meta.layers]


def drawn(draw: st.DrawFn, net: QuantizedNet, x: str, output: str) -> str:
    """One operator that suits the shape of ``x``."""
    _, channels, height, width = net.builder.tensors[x].shape
    block = draw(st.integers(1, 3))
    kinds = ["SwapPixels", "SwapChannels", "Slice", "Concat", "Pad", "Conv"]
    kinds += ["ChannelShuffle"] * (channels % block == 0)
    kinds += ["DepthToSpace"] * (channels % block**2 == 0 and height * width <= 60)
    kinds += ["SpaceToDepth"] * (height % block == width % block == 0 and channels <= 12)
    kind = draw(st.sampled_from(kinds))
    if kind == "Slice":
        first = tuple(draw(st.integers(0, (size - 1) // 2)) for size in (channels, height, width))
        steps = (1, draw(st.integers(1, 2)), draw(st.integers(1, 2)))
        return net.cut(x, output, first, steps=steps)  # type: ignore[arg-type]
    if kind == "Concat":
        return net.concat(output, x, x, axis=draw(st.integers(1, 3)))
    if kind == "Pad":
        begins, ends = (
            (draw(st.integers(0, 2)), draw(st.integers(0, 2)), draw(st.integers(0, 2)))
            for _ in range(2)
        )
        return net.moved("Pad", (x,), output, begins=begins, ends=ends)
    if kind == "Conv":
        return net.conv(x, output, draw(st.integers(1, 9)))
    more: dict[str, object] = {}
    if kind == "ChannelShuffle":
        more = {"groups": block}
    elif not kind.startswith("Swap"):
        more = {"block": block, "mode": draw(st.sampled_from(["DCR", "CRD"]))}
    return net.moved(kind, (x,), output, **more)


@settings(max_examples=25)
@given(st.data())
def test_random_chains(data: st.DataObject) -> None:
    net = QuantizedNet()
    channels, height, width = (data.draw(st.integers(1, 6)) for _ in range(3))
    x = net.input("x", channels, height, width)
    for index in range(data.draw(st.integers(1, 5))):
        x = data.draw(st.composite(drawn)(net, x, f"t{index}"))
        if net.builder.tensors[x].elements > 3000:
            break
    exact(net.build(x), data.draw(st.sampled_from(["TX5368AV200", "TX5112CV201"])))


def test_shufflenet_units_need_no_copies() -> None:
    """Concat, shuffle, split: one half goes on untouched, the new branch overwrites the other."""
    net = QuantizedNet()
    x = net.conv(net.input("x", 3, 8, 8), "stem", 12)
    for unit in range(3):
        kept = net.cut(x, f"kept{unit}", ends=(6, 8, 8))
        branch = net.conv(net.cut(x, f"cut{unit}", (6, 0, 0)), f"a{unit}", 6)
        branch = net.conv(branch, f"b{unit}", 6, (3, 3), group=6, pads=(1, 1, 1, 1))
        joined = net.concat(f"j{unit}", kept, net.conv(branch, f"c{unit}", 6))
        x = net.moved("ChannelShuffle", (joined,), f"s{unit}", groups=2)
    layers = exact(net.build(net.conv(x, "y", 5)), "TX5368AV200", level=1)
    assert layers.count("ChannelShuffle") == 3
    assert "Copy" not in layers
