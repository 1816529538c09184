"""The networks on tokens of the zoo, narrow: ViT, DeiT, Swin, MLP-Mixer and MobileViT."""

import torch
from classifiers import CLASSES, InvertedResidual, registered, unit
from infer import infer_imagenet_benchmark  # noqa: F401  # registers itself
from onnx_quantize_tool.common.register import pytorch_model
from torch import nn


class Mlp(nn.Module):
    def __init__(self, inputs, hidden, act=nn.GELU):
        super().__init__()
        self.fc1, self.act, self.fc2 = nn.Linear(inputs, hidden), act(), nn.Linear(hidden, inputs)

    def forward(self, x):
        return self.fc2(self.act(self.fc1(x)))


class Attention(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads, self.scale = heads, (dim // heads) ** -0.5
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x):
        count, tokens, dim = x.shape
        qkv = self.qkv(x).reshape(count, tokens, 3, self.heads, dim // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        shares = (q @ k.transpose(-2, -1) * self.scale).softmax(dim=-1)
        return self.proj((shares @ v).transpose(1, 2).reshape(count, tokens, dim))


class Block(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(dim, eps=1e-6), Attention(dim, heads)
        self.norm2, self.mlp = nn.LayerNorm(dim, eps=1e-6), Mlp(dim, 4 * dim)

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class VisionTransformer(nn.Module):
    """ViT; ``distilled``: DeiT's second token, whose classifier is averaged with the first's."""

    def __init__(self, side=64, patch=16, dim=48, depth=12, heads=3, distilled=False):
        super().__init__()
        tokens = (side // patch) ** 2 + 1 + distilled
        self.patch_embed = nn.Conv2d(3, dim, patch, patch)
        self.cls_token = nn.Parameter(0.5 * torch.randn(1, 1 + distilled, dim))
        self.pos_embed = nn.Parameter(0.5 * torch.randn(1, tokens, dim))
        self.blocks = nn.Sequential(*(Block(dim, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.head = nn.Linear(dim, CLASSES)
        self.head_dist = nn.Linear(dim, CLASSES) if distilled else None

    def forward(self, x):
        x = self.patch_embed(x).flatten(2).transpose(1, 2)
        x = torch.cat((self.cls_token.expand(x.shape[0], -1, -1), x), dim=1) + self.pos_embed
        x = self.norm(self.blocks(x))
        if self.head_dist is None:
            return self.head(x[:, 0])
        return (self.head(x[:, 0]) + self.head_dist(x[:, 1])) / 2


@pytorch_model.register("vit_tiny")
def vit_tiny(weight_path):
    return registered("vit_tiny", VisionTransformer(), weight_path, 64)


@pytorch_model.register("deit_tiny")
def deit_tiny(weight_path):
    return registered("deit_tiny", VisionTransformer(distilled=True), weight_path, 64)


# ------------------------------------------------------------------ Swin


def partition(x, window):
    """[N, H, W, C] -> [windows, tokens, C]."""
    count, height, width, dim = x.shape
    x = x.view(count, height // window, window, width // window, window, dim)
    return x.permute(0, 1, 3, 2, 4, 5).contiguous().view(-1, window * window, dim)


def merge(x, window, height, width):
    """Back again."""
    x = x.view(-1, height // window, width // window, window, window, x.shape[-1])
    return x.permute(0, 1, 3, 2, 4, 5).contiguous().view(x.shape[0], height, width, -1)


class WindowAttention(nn.Module):
    def __init__(self, dim, window, heads):
        super().__init__()
        self.heads, self.scale = heads, (dim // heads) ** -0.5
        self.relative_position_bias_table = nn.Parameter(torch.randn((2 * window - 1) ** 2, heads))
        at = torch.stack(torch.meshgrid(*[torch.arange(window)] * 2, indexing="ij")).flatten(1)
        apart = (at[:, :, None] - at[:, None, :] + window - 1).permute(1, 2, 0)
        index = apart[..., 0] * (2 * window - 1) + apart[..., 1]
        self.register_buffer("relative_position_index", index)
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, x, mask=None):
        count, tokens, dim = x.shape
        qkv = self.qkv(x).reshape(count, tokens, 3, self.heads, dim // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        bias = self.relative_position_bias_table[self.relative_position_index.view(-1)]
        bias = bias.view(tokens, tokens, -1).permute(2, 0, 1).contiguous().unsqueeze(0)
        logits = q * self.scale @ k.transpose(-2, -1) + bias
        if mask is not None:
            windows = mask.shape[0]
            logits = logits.view(count // windows, windows, self.heads, tokens, tokens)
            logits = logits + mask.unsqueeze(1).unsqueeze(0)
            logits = logits.view(-1, self.heads, tokens, tokens)
        x = (logits.softmax(dim=-1) @ v).transpose(1, 2).reshape(count, tokens, dim)
        return self.proj(x)


class SwinBlock(nn.Module):
    def __init__(self, dim, side, heads, window, shift):
        super().__init__()
        self.side, self.window = side, min(window, side)
        self.shift = shift if side > window else 0
        self.norm1, self.attn = nn.LayerNorm(dim), WindowAttention(dim, self.window, heads)
        self.norm2, self.mlp = nn.LayerNorm(dim), Mlp(dim, 4 * dim)
        self.register_buffer("attn_mask", self.mask() if self.shift else None)

    def mask(self):
        """-100 between tokens that come together only by the shift."""
        parts = torch.zeros((1, self.side, self.side, 1))
        cuts = (slice(0, -self.window), slice(-self.window, -self.shift), slice(-self.shift, None))
        for at, (rows, columns) in enumerate((a, b) for a in cuts for b in cuts):
            parts[:, rows, columns] = at
        windows = partition(parts, self.window).squeeze(-1)
        apart = windows.unsqueeze(1) - windows.unsqueeze(2)
        return apart.masked_fill(apart != 0, -100.0)

    def forward(self, x):
        count, tokens, dim = x.shape
        h = self.norm1(x).view(count, self.side, self.side, dim)
        if self.shift:
            h = torch.roll(h, shifts=(-self.shift, -self.shift), dims=(1, 2))
        h = self.attn(partition(h, self.window), self.attn_mask)
        h = merge(h, self.window, self.side, self.side)
        if self.shift:
            h = torch.roll(h, shifts=(self.shift, self.shift), dims=(1, 2))
        x = x + h.view(count, tokens, dim)
        return x + self.mlp(self.norm2(x))


class PatchMerging(nn.Module):
    def __init__(self, dim, side):
        super().__init__()
        self.side, self.norm = side, nn.LayerNorm(4 * dim)
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)

    def forward(self, x):
        count, _, dim = x.shape
        x = x.view(count, self.side, self.side, dim)
        parts = [x[:, row::2, column::2, :] for column in (0, 1) for row in (0, 1)]
        return self.reduction(self.norm(torch.cat(parts, -1).view(count, -1, 4 * dim)))


class Swin(nn.Module):
    def __init__(self, side=64, dim=24, depths=(2, 2, 6, 2), heads=(1, 2, 4, 8), window=4):
        super().__init__()
        self.patch_embed, self.norm0 = nn.Conv2d(3, dim, 4, 4), nn.LayerNorm(dim)
        side, layers = side // 4, []
        for stage, (depth, count) in enumerate(zip(depths, heads, strict=True)):
            if stage:
                layers.append(PatchMerging(dim, side))
                dim, side = 2 * dim, side // 2
            for at in range(depth):
                layers.append(SwinBlock(dim, side, count, window, window // 2 if at % 2 else 0))
        self.layers = nn.Sequential(*layers)
        self.norm, self.head = nn.LayerNorm(dim), nn.Linear(dim, CLASSES)

    def forward(self, x):
        x = self.norm0(self.patch_embed(x).flatten(2).transpose(1, 2))
        x = self.norm(self.layers(x)).transpose(1, 2)
        return self.head(torch.flatten(nn.functional.adaptive_avg_pool1d(x, 1), 1))


@pytorch_model.register("swin_tiny")
def swin_tiny(weight_path):
    return registered("swin_tiny", Swin(), weight_path, 64)


# ------------------------------------------------------------------ MLP-Mixer


class MixerBlock(nn.Module):
    def __init__(self, dim, tokens):
        super().__init__()
        self.norm1, self.mlp_tokens = nn.LayerNorm(dim, eps=1e-6), Mlp(tokens, dim // 2)
        self.norm2, self.mlp_channels = nn.LayerNorm(dim, eps=1e-6), Mlp(dim, 4 * dim)

    def forward(self, x):
        x = x + self.mlp_tokens(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        return x + self.mlp_channels(self.norm2(x))


class Mixer(nn.Module):
    def __init__(self, side=64, patch=16, dim=64, depth=12):
        super().__init__()
        self.stem = nn.Conv2d(3, dim, patch, patch)
        tokens = (side // patch) ** 2
        self.blocks = nn.Sequential(*(MixerBlock(dim, tokens) for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(dim, eps=1e-6), nn.Linear(dim, CLASSES)

    def forward(self, x):
        x = self.stem(x).flatten(2).transpose(1, 2)
        return self.head(self.norm(self.blocks(x)).mean(dim=1))


@pytorch_model.register("mixer_b16_224")
def mixer_b16_224(weight_path):
    return registered("mixer_b16_224", Mixer(), weight_path, 64)


# ------------------------------------------------------------------ MobileViT


class MobileVitBlock(nn.Module):
    """Convolution, attention among the pixels that have the same place in their patches."""

    def __init__(self, inputs, dim, depth, heads=4, patch=2):
        super().__init__()
        self.patch = patch
        self.conv_kxk = unit(inputs, inputs, 3, 1, 1, act=nn.SiLU)
        self.conv_1x1 = nn.Conv2d(inputs, dim, 1, bias=False)
        self.transformer = nn.Sequential(*(Block(dim, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(dim)
        self.conv_proj = unit(dim, inputs, act=nn.SiLU)
        self.conv_fusion = unit(2 * inputs, inputs, 3, 1, 1, act=nn.SiLU)

    def forward(self, x):
        before, p = x, self.patch
        x = self.conv_1x1(self.conv_kxk(x))
        count, dim, height, width = x.shape
        rows, columns = height // p, width // p
        x = x.reshape(count * dim * rows, p, columns, p).transpose(1, 2)
        x = x.reshape(count, dim, rows * columns, p * p).transpose(1, 3)
        x = x.reshape(count * p * p, rows * columns, dim)
        x = self.norm(self.transformer(x))
        x = x.contiguous().view(count, p * p, rows * columns, dim)
        x = x.transpose(1, 3).reshape(count * dim * rows, columns, p, p)
        x = x.transpose(1, 2).reshape(count, dim, height, width)
        return self.conv_fusion(torch.cat((before, self.conv_proj(x)), dim=1))


class MobileVit(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = unit(3, 8, 3, 2, 1, act=nn.SiLU)

        def narrow(inputs, outputs, stride):
            return InvertedResidual(inputs, outputs, stride, 4)

        self.stages = nn.Sequential(
            narrow(8, 16, 1), narrow(16, 24, 2), narrow(24, 24, 1), narrow(24, 24, 1),
            narrow(24, 32, 2), MobileVitBlock(32, 48, 2),
            narrow(32, 40, 2), MobileVitBlock(40, 64, 4),
            narrow(40, 48, 2), MobileVitBlock(48, 80, 3),
        )  # fmt: skip
        self.final_conv = unit(48, 160, act=nn.SiLU)
        self.head = nn.Linear(160, CLASSES)

    def forward(self, x):
        return self.head(self.final_conv(self.stages(self.stem(x))).mean([2, 3]))


@pytorch_model.register("mobilevit_s")
def mobilevit_s(weight_path):
    return registered("mobilevit_s", MobileVit(), weight_path, 128)
