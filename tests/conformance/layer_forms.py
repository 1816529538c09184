"""Layers and functions of Paddle in the forms that its documentation gives, one network each.

``build`` is an expression over ``nn``, ``F`` and ``paddle``: a layer, or a function of the inputs.
Read by the interpreter that has Paddle and by the one that has knightlite: imports neither.
"""

from __future__ import annotations

from dataclasses import dataclass

Shape = tuple[int, ...]
PICTURE: Shape = (6, 13, 11)
LINE: Shape = (6, 20)
VECTOR: Shape = (12,)
VOLUME: Shape = (4, 5, 7, 6)
TOKENS: Shape = (10, 12)


@dataclass(frozen=True)
class Form:
    """``shapes``: of the inputs without the batch; ``low``, ``high``: what they hold.

    ``whole``: the inputs are int64, from 0 up to this number, instead.
    """

    name: str
    build: str
    shapes: tuple[Shape, ...] = (PICTURE,)
    low: float = -1.0
    high: float = 1.0
    whole: int = 0


def _named(prefix: str, builds: tuple[str, ...], *shapes: Shape) -> tuple[Form, ...]:
    return tuple(
        Form(f"{prefix}_{index}", build, shapes or (PICTURE,)) for index, build in enumerate(builds)
    )


CONV = (
    *_named(
        "conv2d",
        (
            "nn.Conv2D(6, 8, 3)",
            "nn.Conv2D(6, 8, 3, stride=2, padding=1, bias_attr=False)",
            "nn.Conv2D(6, 8, (3, 5), padding=[1, 2], groups=2)",
            "nn.Conv2D(6, 8, 3, padding='SAME', stride=2)",
            "nn.Conv2D(6, 8, 3, padding='VALID')",
            "nn.Conv2D(6, 8, 3, padding=[1, 2, 0, 3])",
            "nn.Conv2D(6, 8, 3, padding=[[0, 0], [0, 0], [1, 2], [3, 0]])",
            "nn.Conv2D(6, 8, 3, dilation=2, padding=2)",
            "nn.Conv2D(6, 8, 3, padding='SAME', dilation=2)",
            "nn.Conv2D(6, 6, 3, groups=6, padding=1)",
            "nn.Conv2D(6, 8, 3, padding=1, padding_mode='reflect')",
            "nn.Conv2D(6, 8, 3, padding=1, padding_mode='replicate')",
            "nn.Conv2D(6, 8, 3, padding=1, padding_mode='circular')",
            "nn.Conv2D(11, 8, 3, padding=1, data_format='NHWC')",
            "nn.Conv2D(6, 12, 3, groups=6, padding=1)",
            "nn.Conv2D(6, 8, 1, stride=2)",
            "nn.Conv2D(6, 8, (1, 7), padding=(0, 3))",
            "nn.Conv2D(6, 8, 3, padding=(1, 2), dilation=(2, 1), stride=(1, 2))",
        ),
    ),
    *_named(
        "conv1d",
        (
            "nn.Conv1D(6, 8, 3)",
            "nn.Conv1D(6, 8, 5, stride=2, padding=2, groups=2)",
            "nn.Conv1D(6, 8, 3, padding='SAME')",
            "nn.Conv1D(6, 8, 3, padding=2, dilation=2)",
            "nn.Conv1D(20, 8, 3, padding=1, data_format='NLC')",
            "nn.Conv1D(6, 8, 3, padding='VALID')",
            "nn.Conv1D(6, 8, 3, padding=[2, 1])",
            "nn.Conv1D(6, 8, 3, padding=1, padding_mode='circular')",
            "nn.Conv1D(6, 8, 3, padding=2, padding_mode='reflect')",
            "nn.Conv1D(6, 6, 5, groups=6)",
        ),
        LINE,
    ),
    *_named("conv3d", ("nn.Conv3D(4, 4, 3, padding=1)",), VOLUME),
    *_named(
        "conv2d_transpose",
        (
            "nn.Conv2DTranspose(6, 8, 3)",
            "nn.Conv2DTranspose(6, 8, 4, stride=2, padding=1)",
            "nn.Conv2DTranspose(6, 8, 3, stride=2, padding=1, output_padding=1)",
            "nn.Conv2DTranspose(6, 6, 2, stride=2, groups=6)",
            "nn.Conv2DTranspose(6, 8, 3, stride=2, dilation=2)",
            "nn.Conv2DTranspose(6, 8, 3, stride=2, padding=[1, 0, 2, 1])",
            "nn.Conv2DTranspose(6, 8, 3, stride=2, padding='SAME')",
            "nn.Conv2DTranspose(6, 8, 3, stride=2, padding='VALID')",
            "lambda x: F.conv2d_transpose(x, weight(6, 8, 3, 3), stride=2, padding=1,"
            " output_size=[26, 22])",
            "lambda x: F.conv2d_transpose(x, weight(6, 8, 3, 3), stride=3, output_size=[41, 34])",
            "lambda x: F.conv2d_transpose(x, weight(6, 4, 3, 3), stride=2, groups=2, padding=1)",
            "nn.Conv2DTranspose(11, 8, 4, stride=2, padding=1, data_format='NHWC')",
            "nn.Conv2DTranspose(6, 8, (2, 3), stride=(2, 1), padding=(0, 1))",
        ),
    ),
    *_named(
        "conv1d_transpose",
        (
            "nn.Conv1DTranspose(6, 8, 4, stride=2, padding=1)",
            "nn.Conv1DTranspose(6, 8, 3)",
            "nn.Conv1DTranspose(6, 8, 3, stride=2, output_padding=1)",
            "nn.Conv1DTranspose(6, 6, 2, stride=2, groups=6)",
        ),
        LINE,
    ),
    *_named("conv3d_transpose", ("nn.Conv3DTranspose(4, 4, 2, stride=2)",), VOLUME),
)

POOLING = (
    *_named(
        "avg_pool2d",
        (
            "nn.AvgPool2D(2)",
            "nn.AvgPool2D(3, stride=2, padding=1)",
            "nn.AvgPool2D(3, stride=2, padding=1, exclusive=False)",
            "nn.AvgPool2D(3, stride=2, ceil_mode=True)",
            "nn.AvgPool2D(3, stride=2, padding=1, ceil_mode=True)",
            "nn.AvgPool2D(3, stride=2, padding=1, ceil_mode=True, exclusive=False)",
            "nn.AvgPool2D(2, divisor_override=3)",
            "nn.AvgPool2D(3, stride=2, padding='SAME')",
            "nn.AvgPool2D(3, stride=2, padding='VALID')",
            "nn.AvgPool2D((2, 3), stride=(1, 2), padding=[0, 1])",
            "nn.AvgPool2D(3, stride=2, padding=[1, 0, 0, 1])",
            "nn.AvgPool2D(2, data_format='NHWC')",
        ),
    ),
    *_named(
        "max_pool2d",
        (
            "nn.MaxPool2D(2)",
            "nn.MaxPool2D(3, stride=2, padding=1)",
            "nn.MaxPool2D(3, stride=2, ceil_mode=True)",
            "nn.MaxPool2D(3, stride=2, padding=1, ceil_mode=True)",
            "nn.MaxPool2D(2, stride=3, padding=1, ceil_mode=True)",
            "nn.MaxPool2D(3, stride=2, padding='SAME')",
            "nn.MaxPool2D(3, stride=2, padding='VALID')",
            "nn.MaxPool2D((2, 3), stride=(1, 2), padding=[0, 1])",
            "nn.MaxPool2D(3, stride=2, padding=[1, 0, 0, 1])",
            "nn.MaxPool2D(2, data_format='NHWC')",
            "lambda x: F.max_pool2d(x, 2, return_mask=True)[0]",
            "nn.MaxPool2D(3, stride=1, padding=1)",
        ),
    ),
    *_named(
        "adaptive_avg_pool2d",
        (
            "nn.AdaptiveAvgPool2D(1)",
            "nn.AdaptiveAvgPool2D(5)",
            "nn.AdaptiveAvgPool2D((None, 3))",
            "nn.AdaptiveAvgPool2D((13, 4))",
            "nn.AdaptiveAvgPool2D(6)",
            "nn.AdaptiveAvgPool2D((1, 11))",
            "nn.AdaptiveAvgPool2D((16, 14))",
            "nn.AdaptiveAvgPool2D(3, data_format='NHWC')",
        ),
    ),
    *_named(
        "adaptive_max_pool2d",
        (
            "nn.AdaptiveMaxPool2D(1)",
            "nn.AdaptiveMaxPool2D(5)",
            "nn.AdaptiveMaxPool2D((None, 3))",
            "nn.AdaptiveMaxPool2D((2, 4))",
            "lambda x: F.adaptive_max_pool2d(x, 4, return_mask=True)[0]",
        ),
    ),
    *_named(
        "pool1d",
        (
            "nn.AvgPool1D(3, stride=2, padding=1)",
            "nn.MaxPool1D(3, stride=2, padding=1)",
            "nn.AvgPool1D(3, stride=2, ceil_mode=True)",
            "nn.AdaptiveAvgPool1D(5)",
            "nn.AdaptiveAvgPool1D(7)",
            "nn.AdaptiveMaxPool1D(5)",
            "nn.AdaptiveMaxPool1D(7)",
            "nn.LPPool1D(2, 3)",
            "nn.AvgPool1D(3, stride=2, padding=1, exclusive=False)",
            "nn.MaxPool1D(3, stride=2, ceil_mode=True)",
            "nn.AdaptiveAvgPool1D(1)",
            "lambda x: F.max_pool1d(x, 2, return_mask=True)[0]",
        ),
        LINE,
    ),
    *_named(
        "lp_pool2d",
        ("nn.LPPool2D(2, 3, stride=2)", "nn.LPPool2D(1, 2)", "nn.LPPool2D(float('inf'), 2)"),
    ),
    *_named("fractional_max_pool2d", ("nn.FractionalMaxPool2D(5, random_u=0.3)",)),
    *_named(
        "max_unpool2d",
        ("lambda x: F.max_unpool2d(*F.max_pool2d(x[:, :, :12, :10], 2, return_mask=True), 2)",),
    ),
    *_named(
        "pool3d",
        (
            "nn.AvgPool3D(2)",
            "nn.MaxPool3D(2)",
            "nn.AdaptiveAvgPool3D(2)",
            "nn.AdaptiveMaxPool3D(2)",
        ),
        VOLUME,
    ),
)

NORM = (
    *_named(
        "norm",
        (
            "nn.BatchNorm2D(6)",
            "nn.BatchNorm(6, act='relu')",
            "nn.BatchNorm2D(11, data_format='NHWC')",
            "nn.SyncBatchNorm(6)",
            "nn.BatchNorm2D(6, weight_attr=False, bias_attr=False)",
            "nn.InstanceNorm2D(6)",
            "nn.InstanceNorm2D(6, weight_attr=False, bias_attr=False)",
            "nn.GroupNorm(3, 6)",
            "nn.GroupNorm(6, 6)",
            "nn.LayerNorm([6, 13, 11])",
            "nn.LayerNorm(11)",
            "nn.LocalResponseNorm(5)",
            "nn.LocalResponseNorm(3, alpha=0.1, beta=0.5, k=2.0)",
            "lambda x: F.normalize(x, axis=1)",
            "lambda x: F.local_response_norm(x, 4, alpha=0.01)",
            "spectral(nn.Conv2D(6, 8, 3))",
            "nn.utils.weight_norm(nn.Conv2D(6, 8, 3))",
            "nn.GroupNorm(2, 6, weight_attr=False, bias_attr=False)",
            "nn.GroupNorm(1, 6, epsilon=1e-3)",
            "nn.GroupNorm(11, 11, data_format='NHWC')",
            "nn.InstanceNorm2D(6, epsilon=1e-2)",
            "nn.LayerNorm([13, 11])",
            "nn.LayerNorm(11, weight_attr=False, bias_attr=False)",
            "lambda x: F.layer_norm(x, [6, 13, 11], epsilon=1e-3)",
            "lambda x: F.instance_norm(x)",
            "lambda x: F.normalize(x, axis=-1)",
            "lambda x: F.normalize(x, p=1, axis=1)",
            "nn.Sequential(nn.Conv2D(6, 8, 3, padding=1), nn.GroupNorm(4, 8), nn.ReLU())",
            "nn.Sequential(nn.Conv2D(6, 8, 3), nn.InstanceNorm2D(8), nn.LeakyReLU(0.1))",
            "nn.BatchNorm2D(6, use_global_stats=True)",
        ),
    ),
    *_named(
        "norm1d",
        (
            "nn.BatchNorm1D(6)",
            "nn.InstanceNorm1D(6)",
            "nn.LayerNorm(20)",
            "nn.GroupNorm(3, 6)",
            "nn.BatchNorm1D(20, data_format='NLC')",
        ),
        LINE,
    ),
    *_named("norm_vector", ("nn.BatchNorm1D(12)", "nn.LayerNorm(12)"), VECTOR),
    *_named(
        "norm_tokens",
        (
            "nn.LayerNorm(12)",
            "nn.LayerNorm(12, epsilon=1e-6)",
            "nn.LayerNorm([10, 12])",
            "lambda x: x * paddle.rsqrt((x * x).mean(-1, keepdim=True) + 1e-5) * weight(12)",
            "nn.Sequential(nn.Linear(12, 16), nn.LayerNorm(16), nn.GELU(), nn.Linear(16, 12))",
        ),
        TOKENS,
    ),
    *_named("norm3d", ("nn.BatchNorm3D(4)", "nn.InstanceNorm3D(4)"), VOLUME),
)

_ACTIVATIONS = (
    "nn.CELU(alpha=0.7)", "nn.ELU(alpha=0.5)", "nn.GELU()", "nn.GELU(approximate=True)",
    "nn.Hardshrink()", "nn.Hardshrink(0.2)", "nn.Hardswish()", "nn.Tanh()", "nn.Hardtanh()",
    "nn.Hardtanh(-0.5, 0.8)", "nn.PReLU()", "nn.PReLU(6, 0.1)", "nn.RReLU(0.1, 0.3)", "nn.ReLU()",
    "nn.ReLU6()", "nn.SELU()", "nn.SELU(scale=1.2, alpha=1.5)", "nn.LeakyReLU()",
    "nn.LeakyReLU(0.2)", "nn.Sigmoid()", "nn.Hardsigmoid()", "nn.Softplus()",
    "nn.Softplus(beta=2.0, threshold=5.0)", "nn.Softshrink()", "nn.Softshrink(0.2)",
    "nn.Softsign()", "nn.Swish()", "nn.Mish()", "nn.Tanhshrink()", "nn.ThresholdedReLU()",
    "nn.ThresholdedReLU(0.3)", "nn.ThresholdedReLU(0.3, 0.1)", "nn.Silu()", "nn.LogSigmoid()",
    "nn.Maxout(2)", "nn.Maxout(3, axis=1)", "nn.GLU(axis=1)", "nn.Softmax2D()",
    "nn.Softmax(axis=1)", "nn.Softmax()", "nn.LogSoftmax(axis=1)", "nn.LogSoftmax()",
    "lambda x: F.hardsigmoid(x, slope=0.2, offset=0.4)", "lambda x: F.swiglu(x)",
    "lambda x: F.relu(x, inplace=True) if False else F.relu_(x)",
    "nn.Softmax(axis=2)", "nn.Softmax(axis=3)", "nn.LogSoftmax(axis=2)", "nn.GLU()",
    "nn.PReLU(11, data_format='NHWC')", "nn.Hardtanh(0.0, 2.0)", "nn.LeakyReLU(-0.1)",
    "nn.ELU(2.0)", "lambda x: F.tanh_(x)", "lambda x: F.softmax(x * 4, axis=1)",
    "lambda x: F.hardswish(x) * 0.5", "lambda x: F.relu(x) ** 2",
)  # fmt: skip
# of what mathematics users write between layers
_ARITHMETIC = (
    "lambda x: paddle.abs(x)", "lambda x: paddle.exp(x)", "lambda x: paddle.sqrt(x * x + 0.1)",
    "lambda x: paddle.rsqrt(x * x + 0.1)", "lambda x: paddle.square(x)", "lambda x: x ** 3",
    "lambda x: paddle.pow(x.abs() + 0.2, 0.7)", "lambda x: paddle.sin(3 * x)",
    "lambda x: paddle.cos(x)", "lambda x: paddle.atan(x)", "lambda x: paddle.erf(x)",
    "lambda x: paddle.log(x.abs() + 0.5)", "lambda x: paddle.log1p(x.abs())",
    "lambda x: paddle.expm1(x)", "lambda x: paddle.reciprocal(x.abs() + 0.5)",
    "lambda x: paddle.floor(4 * x)", "lambda x: paddle.ceil(4 * x)",
    "lambda x: paddle.round(4 * x)", "lambda x: paddle.sign(x)", "lambda x: paddle.trunc(4 * x)",
    "lambda x: paddle.clip(x, -0.3, 0.6)", "lambda x: paddle.clip(x, min=0.1)",
    "lambda x: paddle.clip(x, max=0.1)", "lambda x: paddle.scale(x, 2.0, 0.5)",
    "lambda x: paddle.scale(x, 2.0, 0.5, bias_after_scale=False)",
    "lambda x: paddle.stanh(x)", "lambda x: x / 3.0", "lambda x: 1.0 / (x + 2.0)",
    "lambda x: 0.5 - x", "lambda x: x // 0.25", "lambda x: x % 0.3",
    "lambda x: paddle.maximum(x, -x * 0.1)", "lambda x: paddle.minimum(x, x * x)",
    "lambda x: paddle.fmax(x, 0.5 * x)", "lambda x: x + x.mean(axis=[2, 3], keepdim=True)",
    "lambda x: x * F.sigmoid(x.mean(axis=[2, 3], keepdim=True))",
    "lambda x: x - x.max(axis=1, keepdim=True)", "lambda x: x.mean(axis=1, keepdim=True)",
    "lambda x: x.sum(axis=[2, 3])", "lambda x: x.max(axis=[2, 3])", "lambda x: x.min(axis=[2, 3])",
    "lambda x: x.sum(axis=1, keepdim=True)", "lambda x: paddle.cumsum(x, axis=1)",
    "lambda x: paddle.norm(x, p=2, axis=1, keepdim=True)",
    "lambda x: paddle.logsumexp(x, axis=1, keepdim=True)",
    "lambda x: paddle.where(x > 0, x, 0.1 * x)", "lambda x: (x > 0).astype('float32') * x",
    "lambda x: paddle.argmax(x, axis=1)", "lambda x: paddle.topk(x, 3, axis=1)[0]",
    "lambda x: paddle.var(x, axis=[2, 3], keepdim=True)", "lambda x: paddle.add_n([x, x * x])",
    "lambda x: paddle.tan(x)", "lambda x: paddle.sinh(x)", "lambda x: paddle.cosh(x)",
    "lambda x: paddle.asin(0.9 * x)", "lambda x: paddle.acos(0.9 * x)",
    "lambda x: paddle.asinh(x)", "lambda x: paddle.acosh(x + 2.5)",
    "lambda x: paddle.atanh(0.8 * x)", "lambda x: paddle.log2(x.abs() + 0.5)",
    "lambda x: paddle.log10(x.abs() + 0.5)", "lambda x: paddle.neg(x)",
    "lambda x: paddle.lerp(x, x * x, 0.3)", "lambda x: paddle.nan_to_num(x) * 2",
    "lambda x: paddle.std(x, axis=1, keepdim=True)", "lambda x: x.std(axis=[2, 3])",
    "lambda x: paddle.prod(x, axis=1, keepdim=True)", "lambda x: paddle.sort(x, axis=1)",
    "lambda x: paddle.median(x, axis=1, keepdim=True)", "lambda x: paddle.frac(4 * x)",
    "lambda x: paddle.remainder(x, paddle.to_tensor(0.3))", "lambda x: x.pow(2).mean([2, 3])",
    "lambda x: paddle.equal(x > 0, x < 0.5).astype('float32') + x",
    "lambda x: paddle.logical_and(x > -0.5, x < 0.5).astype('float32') * x",
    "lambda x: paddle.where(x > 0.2, x, paddle.zeros_like(x))",
    "lambda x: paddle.maximum(x, paddle.to_tensor(0.1))", "lambda x: x.amax(axis=1)",
    "lambda x: paddle.mean(x)", "lambda x: paddle.sum(x, axis=-1)", "lambda x: x.max()",
    "lambda x: paddle.logit(0.4 * x + 0.5)", "lambda x: paddle.rad2deg(x)",
    "lambda x: paddle.outer(x.mean([0, 1, 2]), x.mean([0, 1, 3]))",
    "lambda x: x * paddle.to_tensor([0.5, 1.0, 2.0, -1.0, 0.1, 3.0]).reshape([1, 6, 1, 1])",
    "lambda x: x + weight(13, 11)", "lambda x: x * weight(1, 6, 13, 11)",
    "lambda x: paddle.divide(x, x.abs() + 0.5)", "lambda x: paddle.norm(x, p=1, axis=1)",
    "lambda x: x[:, :3] * x[:, 3:] - x[:, 3:]", "lambda x: paddle.hypot(x, x + 1)",
)  # fmt: skip
ACTIVATION = (
    *(Form(f"activation_{index}", build, low=-4.0, high=4.0)
      for index, build in enumerate(_ACTIVATIONS)),
    *_named("arithmetic", _ARITHMETIC),
)  # fmt: skip

_PLACES = (
    "lambda x: x.reshape([0, 3, 2, 13, 11]).transpose([0, 2, 1, 3, 4]).reshape([0, 6, 13, 11])",
    "lambda x: x.reshape([0, -1])", "lambda x: paddle.flatten(x, 1)",
    "lambda x: x.transpose([0, 2, 3, 1])", "lambda x: x.transpose([0, 1, 3, 2])",
    "lambda x: x[:, 1:4]", "lambda x: x[:, :, ::2, 1::2]", "lambda x: x[:, :, 2:-1, :5]",
    "lambda x: x[:, 2]", "lambda x: x[:, [3, 1, 0]]", "lambda x: paddle.flip(x, [3])",
    "lambda x: paddle.roll(x, 2, 3)", "lambda x: paddle.concat([x, x * 2], axis=1)",
    "lambda x: paddle.concat([x, x * 2], axis=3)", "lambda x: paddle.split(x, 3, axis=1)[1]",
    "lambda x: paddle.add_n(paddle.split(x, [2, 2, 2], axis=1))",
    "lambda x: paddle.chunk(x, 2, axis=1)[0] * paddle.chunk(x, 2, axis=1)[1]",
    "lambda x: paddle.stack([x, x + 1], axis=1).sum(axis=1)",
    "lambda x: paddle.unsqueeze(x, 2).squeeze(2)", "lambda x: paddle.tile(x, [1, 2, 1, 1])",
    "lambda x: paddle.expand(x[:, :1], [-1, 6, 13, 11]) + x", "lambda x: paddle.unbind(x, 1)[2]",
    "lambda x: paddle.repeat_interleave(x, 2, axis=2)", "lambda x: x.unsqueeze(1).flatten(1, 2)",
    "lambda x: paddle.index_select(x, paddle.to_tensor([4, 2]), axis=1)",
    "lambda x: paddle.gather(x, paddle.to_tensor([4, 2]), axis=1)",
    "lambda x: paddle.strided_slice(x, [2], [1], [12], [3])",
    "lambda x: paddle.full_like(x, 0.5) + x", "lambda x: paddle.zeros_like(x) + x",
    "lambda x: paddle.cast(x, 'float32')", "lambda x: x.detach()",
    "lambda x: paddle.meshgrid(paddle.arange(13), paddle.arange(11))[0].astype('float32') + x",
    "lambda x: paddle.linspace(0, 1, 11) + x", "lambda x: paddle.tril(paddle.ones([13, 11])) * x",
    "lambda x: paddle.crop(x, [1, 3, 5, 5], [0, 1, 2, 3])",
    "lambda x: F.temporal_shift(x, 1, 0.25)",
    "lambda x: paddle.moveaxis(x, 1, 3)", "lambda x: x.transpose([0, 3, 1, 2])",
    "lambda x: paddle.rot90(x, 1, [2, 3])", "lambda x: paddle.flip(x, [1, 2])",
    "lambda x: paddle.index_sample(x.flatten(1), paddle.to_tensor([[3, 7, 1]]))",
    "lambda x: paddle.take_along_axis(x, paddle.zeros([1, 1, 13, 11], 'int64'), 1)",
    "lambda x: paddle.roll(x, [1, -2], [2, 3])", "lambda x: paddle.triu(x)",
    "lambda x: paddle.diff(x, axis=3)", "lambda x: paddle.stack([x, x * x], axis=2).flatten(1, 2)",
    "lambda x: paddle.masked_fill(x, x < 0, 0.0)", "lambda x: paddle.unstack(x, axis=1)[0]",
    "lambda x: paddle.concat([x[:, 3:], x[:, :3]], axis=1)", "lambda x: x[:, ::2]",
    "lambda x: x[:, :, 3]", "lambda x: x[..., -1]", "lambda x: x[:, None, :, 2:4].squeeze(1)",
    "lambda x: paddle.expand_as(x[:, :, :1, :1], x) * x", "lambda x: paddle.broadcast_to("
    "x.mean([2, 3], keepdim=True), [1, 6, 13, 11]) * x",
)  # fmt: skip
COMMON = (
    *_named("place", _PLACES),
    *_named(
        "linear",
        (
            "nn.Linear(11, 5)",
            "nn.Sequential(nn.Flatten(), nn.Linear(858, 5))",
            "lambda x: paddle.matmul(x.flatten(1), weight(858, 5))",
            "lambda x: paddle.matmul(x.flatten(1), weight(5, 858), transpose_y=True)",
            "lambda x: paddle.matmul(x, x, transpose_y=True)",
            "lambda x: F.linear(x.transpose([0, 2, 3, 1]), weight(6, 4), weight(4))",
            "lambda x: paddle.einsum('bchw,cd->bdhw', x, weight(6, 4))",
            "lambda x: F.scaled_dot_product_attention(x, x, x)",
            "lambda x: paddle.bmm(x[:, 0], x[:, 1].transpose([0, 2, 1]))",
            "lambda x: paddle.einsum('bchw,bcij->bhwij', x[:, :, :2, :3], x[:, :, :2, :2])",
            "lambda x: paddle.addmm(weight(5), x.flatten(1), weight(858, 5))",
        ),
    ),
    *_named(
        "linear_vector", ("nn.Linear(12, 5)", "nn.Sequential(nn.Linear(12, 5), nn.ReLU())"), VECTOR
    ),
    *_named(
        "tokens",
        (
            "nn.Linear(12, 5)",
            "nn.Sequential(nn.Linear(12, 24), nn.GELU(), nn.Linear(24, 12))",
            "lambda x: x.transpose([0, 2, 1])",
            "lambda x: paddle.matmul(x, x, transpose_y=True)",
            "lambda x: F.softmax(paddle.matmul(x, x, transpose_y=True) * 0.3) @ x",
            "lambda x: F.scaled_dot_product_attention(*[x.reshape([1, 10, 3, 4])] * 3)",
            "lambda x: x.mean(axis=1)",
            "lambda x: x[:, 0]",
            "lambda x: x + weight(10, 12)",
            "lambda x: x.reshape([1, 10, 3, 4]).transpose([0, 2, 1, 3]).flatten(2)",
            "lambda x: paddle.concat([weight(1, 1, 12), x], axis=1)",
            "lambda x: paddle.topk(x, 3)[0]",
            "nn.MultiHeadAttention(12, 3)",
            "nn.MultiHeadAttention(12, 2, kdim=12, vdim=12)",
            "nn.TransformerEncoderLayer(12, 3, 24)",
            "nn.TransformerEncoderLayer(12, 2, 24, activation='gelu', normalize_before=True)",
            "nn.TransformerEncoder(nn.TransformerEncoderLayer(12, 3, 24), 2)",
            "lambda x, m=nn.TransformerDecoderLayer(12, 3, 24): m(x, x)",
        ),
        TOKENS,
    ),
    *_named(
        "recurrent",
        (
            "nn.LSTM(12, 8)",
            "nn.LSTM(12, 8, num_layers=2)",
            "nn.LSTM(12, 8, direction='bidirect')",
            "nn.GRU(12, 8)",
            "nn.GRU(12, 8, direction='bidirect')",
            "nn.SimpleRNN(12, 8)",
            "nn.SimpleRNN(12, 8, activation='relu')",
            "nn.Sequential(nn.Linear(12, 8), nn.RNN(nn.GRUCell(8, 6)))",
            "lambda x, m=nn.LSTM(12, 8): m(x)[0][:, -1]",
            "lambda x, m=nn.LSTM(12, 8, time_major=True): m(x.transpose([1, 0, 2]))[0]",
            "lambda x, m=nn.LSTM(12, 8, num_layers=2): m(x)[0]",
            "lambda x, m=nn.GRU(12, 8, num_layers=2, direction='bidirect'): m(x)[0]",
        ),
        TOKENS,
    ),
    *_named(
        "cells",
        (
            "lambda x, m=nn.LSTMCell(12, 8): m(x)[1]",
            "lambda x, m=nn.GRUCell(12, 8): m(x)[0]",
            "lambda x, m=nn.SimpleRNNCell(12, 8): m(x)[0]",
        ),
        VECTOR,
    ),
    Form("embedding_0", "nn.Embedding(10, 6)", ((7,),), whole=10),
    Form("embedding_1", "nn.Embedding(10, 6, padding_idx=0)", ((7,),), whole=10),
    Form("embedding_2", "lambda x: F.one_hot(x, 10)", ((7,),), whole=10),
    Form("embedding_3", "nn.Sequential(nn.Embedding(10, 6), nn.Linear(6, 4))", ((7,),), whole=10),
    *_named("pairwise_distance", ("nn.PairwiseDistance()",), VECTOR, VECTOR),
    *_named(
        "two",
        (
            "lambda x, z: paddle.concat([x, z], axis=1)",
            "lambda x, z: x * F.sigmoid(z)",
            "lambda x, z: x + z.mean([2, 3], keepdim=True)",
            "lambda x, z: paddle.maximum(x, z) - z",
            "lambda x, z: paddle.where(x > z, x, z)",
            "lambda x, z: paddle.matmul(x, z.transpose([0, 1, 3, 2]))",
        ),
        PICTURE,
        PICTURE,
    ),
    *_named(
        "upsample",
        (
            "nn.Upsample(scale_factor=2)",
            "nn.Upsample(size=[26, 33])",
            "nn.Upsample(size=[20, 17])",
            "nn.Upsample(size=[20, 17], mode='nearest', align_corners=False)",
            "nn.Upsample(scale_factor=2, mode='bilinear')",
            "nn.Upsample(scale_factor=2, mode='bilinear', align_corners=True)",
            "nn.Upsample(scale_factor=2, mode='bilinear', align_mode=1)",
            "nn.Upsample(size=[20, 17], mode='bilinear')",
            "nn.Upsample(size=[20, 17], mode='bilinear', align_mode=1)",
            "nn.Upsample(size=[20, 17], mode='bilinear', align_corners=True)",
            "nn.Upsample(size=[6, 5], mode='bilinear')",
            "nn.Upsample(scale_factor=[0.5, 2], mode='bilinear')",
            "nn.Upsample(scale_factor=1.7, mode='bilinear')",
            "nn.Upsample(scale_factor=1.6)",
            "nn.Upsample(scale_factor=2, mode='bicubic')",
            "nn.Upsample(size=[6, 5], mode='area')",
            "nn.UpsamplingNearest2D(scale_factor=3)",
            "nn.UpsamplingBilinear2D(size=[25, 21])",
            "lambda x: F.interpolate(x, size=x.shape[2:], mode='bilinear')",
            "lambda x: F.interpolate(F.avg_pool2d(x, 2), size=paddle.shape(x)[2:], mode='nearest')",
            "nn.Upsample(scale_factor=2, mode='bicubic', align_corners=True)",
            "nn.Upsample(size=[20, 17], mode='bicubic')",
            "nn.Upsample(scale_factor=0.5)",
            "nn.Upsample(scale_factor=0.5, mode='bilinear')",
            "nn.Upsample(size=[1, 1], mode='bilinear')",
            "nn.Upsample(size=[26, 22], mode='nearest', align_corners=True)",
            "nn.Upsample(scale_factor=2, mode='bilinear', data_format='NHWC')",
            "nn.Upsample(scale_factor=2, data_format='NHWC')",
            "lambda x: F.interpolate(x, scale_factor=[2, 3], mode='bilinear')",
            "nn.Upsample(scale_factor=4, mode='bilinear')",
            "nn.UpsamplingBilinear2D(scale_factor=2)",
            "nn.Upsample(size=[1, 5], mode='bilinear', align_corners=True)",
        ),
    ),
    *_named(
        "upsample1d",
        (
            "nn.Upsample(scale_factor=[2], mode='linear', data_format='NCW')",
            "nn.Upsample(size=[33], mode='linear', data_format='NCW')",
            "nn.Upsample(size=[40], mode='linear', align_corners=True, data_format='NCW')",
        ),
        LINE,
    ),
    *_named(
        "dropout",
        (
            "nn.Dropout(0.5)",
            "nn.Dropout(0.5, mode='downscale_in_infer')",
            "nn.Dropout2D(0.3)",
            "nn.AlphaDropout(0.5)",
            "nn.FeatureAlphaDropout(0.5)",
            "nn.Identity()",
            "lambda x: F.dropout(x, 0.4, training=False, mode='downscale_in_infer')",
        ),
    ),
    *_named(
        "pad2d",
        (
            "nn.Pad2D(2)",
            "nn.Pad2D([1, 0, 3, 2])",
            "nn.Pad2D([1, 0, 3, 2], value=0.5)",
            "nn.Pad2D([1, 0, 3, 2], mode='reflect')",
            "nn.Pad2D([1, 0, 3, 2], mode='replicate')",
            "nn.Pad2D([1, 0, 3, 2], mode='circular')",
            "nn.Pad2D([1, 0, 3, 2], data_format='NHWC')",
            "nn.ZeroPad2D([1, 2, 0, 1])",
            "nn.ConstantPad2D([1, 2, 0, 1], value=-0.5)",
            "nn.ReflectionPad2D(2)",
            "nn.ReplicationPad2D(2)",
            "nn.CircularPad2D(2)",
            "lambda x: F.pad(x, [1, 2, 0, 1])",
            "lambda x: F.pad(x, [0, 0, 0, 2, 1, 1, 1, 2])",
            "lambda x: F.pad(x, [0, 0, 0, 2, 0, 0, 0, 0], value=0.25)",
            "lambda x: F.pad(x, [1, 2, 1, 1], mode='reflect')",
            "lambda x: F.zeropad2d(x, [1, 2, 0, 1])",
            "nn.Sequential(nn.ZeroPad2D([0, 1, 0, 1]), nn.Conv2D(6, 8, 3, stride=2))",
            "nn.Sequential(nn.Pad2D(1, mode='reflect'), nn.Conv2D(6, 8, 3))",
        ),
    ),
    *_named(
        "pad1d",
        (
            "nn.Pad1D([1, 2])",
            "nn.ZeroPad1D(2)",
            "nn.ConstantPad1D(2, value=0.25)",
            "nn.ReflectionPad1D(2)",
            "nn.ReplicationPad1D(2)",
            "nn.CircularPad1D(2)",
        ),
        LINE,
    ),
    *_named("pad3d", ("nn.Pad3D(1)", "nn.ZeroPad3D(1)"), VOLUME),
    *_named("cosine_similarity", ("nn.CosineSimilarity(axis=1)",), PICTURE, PICTURE),
    *_named("bilinear", ("nn.Bilinear(12, 12, 5)",), VECTOR, VECTOR),
    *_named(
        "unfold",
        (
            "nn.Unfold(3, paddings=1)",
            "nn.Sequential(nn.Unfold(2, strides=2), nn.Fold([12, 10], 2, strides=2))",
            "nn.Flatten()",
            "nn.Flatten(2)",
            "nn.Unflatten(1, [2, 3])",
            "nn.Unfold(2, strides=2)",
            "nn.Unfold([2, 3], dilations=2)",
            "nn.Sequential(nn.Conv2D(6, 8, 3), nn.Flatten(), nn.Linear(792, 5))",
            "nn.Sequential(nn.Conv2D(6, 8, 3), nn.Flatten(2))",
        ),
    ),
)

VISION = _named(
    "vision",
    (
        "nn.Sequential(nn.Conv2D(6, 8, 1), nn.PixelShuffle(2))",
        "nn.Sequential(nn.Conv2D(6, 8, 1), nn.ZeroPad2D([0, 1, 0, 1]), nn.PixelUnshuffle(2))",
        "nn.ChannelShuffle(3)",
        "nn.ChannelShuffle(2)",
        "lambda x: F.channel_shuffle(x, 2)",
        "lambda x: F.grid_sample(x, F.affine_grid(paddle.to_tensor([[[0.8, 0.1, 0.0],"
        " [0.0, 0.9, 0.1]]]), [1, 6, 9, 9]))",
        "lambda x: F.grid_sample(x, weight(1, 9, 9, 2))",
        "lambda x: F.grid_sample(x, weight(1, 9, 9, 2), mode='nearest')",
        "lambda x: F.grid_sample(x, weight(1, 9, 9, 2), padding_mode='border')",
        "lambda x: F.grid_sample(x, weight(1, 9, 9, 2), align_corners=False)",
        "nn.Sequential(nn.Conv2D(6, 12, 3, padding=1), nn.ChannelShuffle(4))",
        "nn.Sequential(nn.Conv2D(6, 18, 1), nn.PixelShuffle(3), nn.ReLU())",
        "lambda x: F.pixel_shuffle(x[:, :, :, :8], 2, data_format='NHWC')",
        "lambda x: F.pixel_unshuffle(x[:, :, :12, :10], 2)",
        "lambda x: F.pixel_unshuffle(x[:, :, :12, :9], 3)",
        "lambda x: F.channel_shuffle(x[:, :, :, :8], 2, data_format='NHWC')",
    ),
)

# What leaves nothing for the chip where it is alone, behind a layer that is for the chip.
ENDING = _named(
    "ending",
    (
        "nn.Sequential(nn.Conv2D(6, 8, 3), nn.Softmax2D())",
        "nn.Sequential(nn.Conv2D(6, 8, 3), nn.Softmax(axis=1))",
        "nn.Sequential(nn.Conv2D(6, 8, 3), nn.Softmax())",
        "nn.Sequential(nn.Conv2D(6, 8, 3), nn.LogSoftmax(axis=1))",
        "nn.Sequential(nn.Conv2D(6, 8, 3), nn.LogSoftmax())",
        "lambda x: paddle.log(F.softmax(F.relu(x), axis=1))",
        "lambda x: paddle.argmax(F.relu(x), axis=1)",
        "lambda x: paddle.argmax(F.relu(x), axis=1).astype('int32')",
        "lambda x: F.relu(x).transpose([0, 2, 3, 1])",
        "lambda x: F.relu(x).transpose([0, 1, 3, 2])",
        "lambda x: paddle.full_like(x, 0.5) + F.relu(x)",
        "lambda x: paddle.zeros_like(x) + F.relu(x)",
        "lambda x: F.relu(x) - F.avg_pool2d(x, 3, stride=1, padding=1)",
        "lambda x: paddle.fmin(F.relu(x), F.avg_pool2d(x, 3, stride=1, padding=1))",
        "nn.Sequential(nn.ReLU(), nn.Pad2D([1, 0, 3, 2], mode='circular'))",
    ),
)

FORMS = (*CONV, *POOLING, *NORM, *ACTIVATION, *COMMON, *VISION, *ENDING)
