"""Networks on tokens, small: MLP-Mixer, ViT, DeiT, Swin and MobileViT as exporters write them."""

from __future__ import annotations

import numpy as np

from onnx_nets import Net


def ints(net: Net, *values: int) -> str:
    return net.weight(f"whole{len(net.weights)}", np.array(values, np.int64))


def gathered(net: Net, x: str, axis: int, *indices: int, output: str = "y") -> str:
    index = np.array(indices if len(indices) > 1 else indices[0], np.int64)
    return net.node("Gather", [x, net.weight(f"{output}_at", index)], output, axis=axis)


def dense(net: Net, x: str, output: str, depth: int, outputs: int) -> str:
    net.node("MatMul", [x, net.random(f"{output}_w", (depth, outputs), -0.3, 0.3)], f"{output}_m")
    return net.node("Add", [f"{output}_m", net.random(f"{output}_b", (outputs,))], output)


def layer_norm(net: Net, x: str, output: str, size: int) -> str:
    gains = net.random(f"{output}_g", (size,), 0.5, 1.5)
    return net.node("LayerNormalization", [x, gains, net.random(f"{output}_o", (size,))], output)


def mixer(blocks: int = 2, size: int = 32, side: int = 4) -> Net:
    """MLP-Mixer: dense layers over tokens and over channels in turn."""
    net, tokens = Net(17), side * side
    net.conv(net.input("x", (1, 3, 4 * side, 4 * side)), "p", (size, 3, 4, 4), strides=[4, 4])
    net.node("Reshape", ["p", ints(net, 1, size, tokens)], "f")
    x = net.node("Transpose", ["f"], "t", perm=[0, 2, 1])
    for block in range(blocks):
        h = layer_norm(net, x, f"n{block}", size)
        h = net.node("Transpose", [h], f"a{block}", perm=[0, 2, 1])
        h = net.node("Relu", [dense(net, h, f"b{block}", tokens, 24)], f"c{block}")
        h = dense(net, h, f"d{block}", 24, tokens)
        h = net.node("Transpose", [h], f"e{block}", perm=[0, 2, 1])
        x = net.node("Add", [x, h], f"g{block}")
        h = dense(net, layer_norm(net, x, f"h{block}", size), f"o{block}", size, 2 * size)
        h = dense(net, net.node("Relu", [h], f"j{block}"), f"k{block}", 2 * size, size)
        x = net.node("Add", [x, h], f"l{block}")
    net.node("ReduceMean", [layer_norm(net, x, "m", size)], "pool", axes=[1], keepdims=0)
    dense(net, "pool", "y", size, 10)
    return net


def queries(
    net: Net, x: str, name: str, tokens: int, sizes: tuple[int, int]
) -> tuple[str, str, str]:
    """Queries, keys and values [N, heads, tokens, depth] of one dense layer."""
    heads, depth = sizes
    dense(net, x, f"{name}all", heads * depth, 3 * heads * depth)
    parts = net.node("Reshape", [f"{name}all", ints(net, -1, tokens, 3, heads, depth)], f"{name}r")
    net.node("Transpose", [parts], f"{name}t", perm=[2, 0, 3, 1, 4])
    first, second, third = (
        gathered(net, f"{name}t", 0, at, output=f"{name}{at}") for at in range(3)
    )
    return first, second, third


def mixed(net: Net, logits: str, v: str, name: str, tokens: int, sizes: tuple[int, int]) -> str:
    """Values by their shares, the heads side by side, and a dense layer."""
    size = sizes[0] * sizes[1]
    net.node("Softmax", [logits], f"{name}shares", axis=-1)
    net.node("MatMul", [f"{name}shares", v], f"{name}mixed")
    net.node("Transpose", [f"{name}mixed"], f"{name}back", perm=[0, 2, 1, 3])
    net.node("Reshape", [f"{name}back", ints(net, -1, tokens, size)], f"{name}joined")
    return dense(net, f"{name}joined", f"{name}out", size, size)


def attention(net: Net, x: str, name: str, tokens: int, sizes: tuple[int, int]) -> str:
    """Of ``sizes`` heads and channels of each."""
    q, k, v = queries(net, x, name, tokens, sizes)
    net.node("Transpose", [k], f"{name}k", perm=[0, 1, 3, 2])
    net.node("MatMul", [q, f"{name}k"], f"{name}products")
    share = net.weight(f"{name}share", np.float32(sizes[1] ** -0.5))
    net.node("Mul", [f"{name}products", share], f"{name}logits")
    return mixed(net, f"{name}logits", v, name, tokens, sizes)


def gelu(net: Net, x: str, name: str) -> str:
    """GELU spelled out."""
    net.node("Div", [x, net.weight(f"{name}root", np.float32(2**0.5))], f"{name}scaled")
    net.node("Erf", [f"{name}scaled"], f"{name}erf")
    net.node("Add", [f"{name}erf", net.weight(f"{name}one", np.float32(1))], f"{name}above")
    net.node("Mul", [x, f"{name}above"], f"{name}twice")
    return net.node("Mul", [f"{name}twice", net.weight(f"{name}half", np.float32(0.5))], name)


def transformer(net: Net, x: str, name: str, tokens: int, sizes: tuple[int, int]) -> str:
    """A block: attention and two dense layers, each behind a norm and around which x goes."""
    size = sizes[0] * sizes[1]
    h = attention(net, layer_norm(net, x, f"{name}n", size), f"{name}a", tokens, sizes)
    x = net.node("Add", [x, h], f"{name}x")
    h = dense(net, layer_norm(net, x, f"{name}m", size), f"{name}u", size, 2 * size)
    h = gelu(net, h, f"{name}g")
    return net.node("Add", [x, dense(net, h, f"{name}w", 2 * size, size)], f"{name}y")


def vit(distilled: bool = False, blocks: int = 2, side: int = 4) -> Net:
    """ViT; DeiT has a second token, and averages two classifiers."""
    net, extra = Net(17), 1 + distilled
    sizes, tokens = (2, 16), side * side + extra
    net.conv(net.input("x", (1, 3, 4 * side, 4 * side)), "p", (32, 3, 4, 4), strides=[4, 4])
    net.node("Reshape", ["p", ints(net, 1, 32, side * side)], "f")
    net.node("Transpose", ["f"], "t", perm=[0, 2, 1])
    own = [net.random(f"token{at}", (1, 1, 32)) for at in range(extra)]
    net.node("Concat", [*own, "t"], "all", axis=1)
    x = net.node("Add", ["all", net.random("places", (1, tokens, 32))], "placed")
    for block in range(blocks):
        x = transformer(net, x, f"b{block}", tokens, sizes)
    layer_norm(net, x, "last", 32)
    for at in range(extra):
        dense(net, gathered(net, "last", 1, at, output=f"c{at}"), f"l{at}", 32, 10)
    net.node("Mean", [f"l{at}" for at in range(extra)], "y")
    return net


# ------------------------------------------------------------------ Swin


def rolled(net: Net, x: str, name: str, sizes: tuple[int, int], by: int) -> str:
    """torch.roll of rows and columns of [1, H, W, C]: two Slices and a Concat each."""
    for axis, size in zip((1, 2), sizes, strict=True):
        first = net.node(
            "Slice", [x, *(ints(net, at) for at in (by % size, size, axis))], f"{name}a{axis}"
        )
        second = net.node(
            "Slice", [x, *(ints(net, at) for at in (0, by % size, axis))], f"{name}b{axis}"
        )
        x = net.node("Concat", [first, second], f"{name}r{axis}", axis=axis)
    return x


def windows(net: Net, x: str, name: str, side: int, window: int, size: int) -> str:
    """[1, H, W, C] -> [windows, tokens, C]."""
    count = side // window
    net.node("Reshape", [x, ints(net, 1, count, window, count, window, size)], f"{name}p")
    net.node("Transpose", [f"{name}p"], f"{name}q", perm=[0, 1, 3, 2, 4, 5])
    return net.node("Reshape", [f"{name}q", ints(net, -1, window * window, size)], f"{name}w")


def picture(net: Net, x: str, name: str, side: int, window: int, size: int) -> str:
    """[windows, tokens, C] -> [1, H, W, C]."""
    count = side // window
    net.node("Reshape", [x, ints(net, -1, count, count, window, window, size)], f"{name}s")
    net.node("Transpose", [f"{name}s"], f"{name}t", perm=[0, 1, 3, 2, 4, 5])
    return net.node("Reshape", [f"{name}t", ints(net, 1, side, side, size)], f"{name}v")


def shifted_mask(side: int, window: int, by: int) -> np.ndarray:
    """[windows, 1, tokens, tokens]: -100 between parts that a roll has put side by side."""
    parts = np.zeros((side, side))
    edges = (slice(0, -window), slice(-window, -by), slice(-by, None))
    for number, (rows, columns) in enumerate((a, b) for a in edges for b in edges):
        parts[rows, columns] = number
    count = side // window
    split = parts.reshape(count, window, count, window).transpose(0, 2, 1, 3)
    tokens = split.reshape(count * count, window * window)
    apart = tokens[:, None, :] != tokens[:, :, None]
    return np.where(apart, -100.0, 0.0)[:, None].astype(np.float32)


def window_attention(
    net: Net, x: str, name: str, tokens: int, sizes: tuple[int, int], mask: np.ndarray | None
) -> str:
    """Attention in windows, with a bias for every head and pair of places."""
    heads, depth = sizes
    bias = net.random(f"{name}bias", (1, heads, tokens, tokens), -0.5, 0.5)
    q, k, v = queries(net, x, name, tokens, sizes)
    scaled = net.node("Mul", [q, net.weight(f"{name}sc", np.float32(depth**-0.5))], f"{name}qs")
    net.node("Transpose", [k], f"{name}k", perm=[0, 1, 3, 2])
    net.node("MatMul", [scaled, f"{name}k"], f"{name}products")
    logits = net.node("Add", [f"{name}products", bias], f"{name}biased")
    if mask is not None:
        count = len(mask)
        net.node("Reshape", [logits, ints(net, -1, count, heads, tokens, tokens)], f"{name}five")
        net.node("Add", [f"{name}five", net.weight(f"{name}mask", mask[None])], f"{name}masked")
        logits = net.node(
            "Reshape", [f"{name}masked", ints(net, -1, heads, tokens, tokens)], f"{name}four"
        )
    return mixed(net, logits, v, name, tokens, sizes)


def merged(net: Net, x: str, name: str, size: int) -> str:
    """Patch merging: every second row and column, four times, as channels."""
    parts = []
    for row, column in ((0, 0), (1, 0), (0, 1), (1, 1)):
        rows = net.node(
            "Slice", [x, *(ints(net, at) for at in (row, 9999, 1, 2))], f"{name}{row}{column}r"
        )
        parts.append(
            net.node(
                "Slice",
                [rows, *(ints(net, at) for at in (column, 9999, 2, 2))],
                f"{name}{row}{column}",
            )
        )
    joined = net.node("Concat", parts, f"{name}j", axis=-1)
    normed = layer_norm(net, joined, f"{name}n", 4 * size)
    weights = net.random(f"{name}w", (4 * size, 2 * size), -0.3, 0.3)
    return net.node("MatMul", [normed, weights], f"{name}out")


def swin(side: int = 8, window: int = 4) -> Net:
    """Two blocks, the second with shifted windows, patch merging, one block in one window."""
    net, size = Net(17), 32
    net.conv(net.input("x", (1, 3, 2 * side, 2 * side)), "p", (size, 3, 2, 2), strides=[2, 2])
    x = layer_norm(net, net.node("Transpose", ["p"], "t", perm=[0, 2, 3, 1]), "first", size)
    for block, shift in enumerate((0, window // 2, 0)):
        if block == 2:
            x, side, size = merged(net, x, "merge", size), side // 2, 2 * size
        name = f"b{block}"
        h = layer_norm(net, x, f"{name}n", size)
        if shift:
            h = rolled(net, h, f"{name}f", (side, side), shift)
        h = windows(net, h, name, side, window, size)
        mask = shifted_mask(side, window, shift) if shift else None
        h = window_attention(net, h, f"{name}a", window**2, (2, size // 2), mask)
        h = picture(net, h, name, side, window, size)
        if shift:
            h = rolled(net, h, f"{name}g", (side, side), -shift)
        x = net.node("Add", [x, h], f"{name}x")
        h = dense(net, layer_norm(net, x, f"{name}m", size), f"{name}u", size, 2 * size)
        x = net.node(
            "Add", [x, dense(net, gelu(net, h, f"{name}e"), f"{name}d", 2 * size, size)], f"{name}y"
        )
    last = net.node("Transpose", [layer_norm(net, x, "last", size)], "back", perm=[0, 3, 1, 2])
    net.node("Flatten", [net.node("GlobalAveragePool", [last], "mean")], "flat")
    dense(net, "flat", "y", size, 10)
    return net


# ------------------------------------------------------------------ MobileViT


def mobilevit(side: int = 8) -> Net:
    """A convolution, tokens of 2x2 patches through two blocks, and back to the picture."""
    net, size, half = Net(17), 32, side // 2
    net.conv(net.input("x", (1, 3, side, side)), "c", (16, 3, 3, 3), pads=[1] * 4, bias=True)
    net.node("Relu", ["c"], "r")
    net.conv("r", "wide", (size, 16, 1, 1))
    net.node("Reshape", ["wide", ints(net, size * half, 2, half, 2)], "u0")
    net.node("Transpose", ["u0"], "u1", perm=[0, 2, 1, 3])
    net.node("Reshape", ["u1", ints(net, 1, size, half * half, 4)], "u2")
    net.node("Transpose", ["u2"], "u3", perm=[0, 3, 2, 1])
    x = net.node("Reshape", ["u3", ints(net, 4, half * half, size)], "u4")
    for block in range(2):
        x = transformer(net, x, f"b{block}", half * half, (2, size // 2))
    x = layer_norm(net, x, "last", size)
    net.node("Reshape", [x, ints(net, 1, 4, half * half, size)], "f0")
    net.node("Transpose", ["f0"], "f1", perm=[0, 3, 2, 1])
    net.node("Reshape", ["f1", ints(net, size * half, half, 2, 2)], "f2")
    net.node("Transpose", ["f2"], "f3", perm=[0, 2, 1, 3])
    net.node("Reshape", ["f3", ints(net, 1, size, side, side)], "f4")
    net.conv("f4", "narrow", (16, size, 1, 1))
    net.node("Concat", ["r", "narrow"], "both", axis=1)
    net.conv("both", "y", (12, 32, 3, 3), pads=[1] * 4)
    return net
