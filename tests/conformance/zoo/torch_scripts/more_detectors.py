"""More detectors of the zoo, narrow: YOLOv6-s, YOLO-NAS-s and YOLO-World."""

import torch
from classifiers import registered
from detector_parts import Distances, Neck, Sppf, conv
from detectors import KINDS, SIDE, V8Heads, yolov8_backbone
from infer import infer_detector  # noqa: F401  # registers itself
from onnx_quantize_tool.common.register import pytorch_model
from torch import nn

# ------------------------------------------------------------------ YOLOv6-s: RepVGG, EfficientRep


def rep(inputs, outputs, stride=1):
    """RepVGG as it is deployed: one convolution with a bias."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1), nn.ReLU())


def reps(inputs, outputs, depth):
    return nn.Sequential(rep(inputs, outputs), *(rep(outputs, outputs) for _ in range(depth - 1)))


class BiFusion(nn.Module):
    """What comes from above by a transposed convolution, beside two sizes of the backbone."""

    def __init__(self, above, same, below, outputs):
        super().__init__()
        self.up = nn.ConvTranspose2d(above, outputs, 2, 2)
        self.same, self.below = conv(same, outputs, act=nn.ReLU), conv(below, outputs, act=nn.ReLU)
        self.down = conv(outputs, outputs, 3, 2, act=nn.ReLU)
        self.join = conv(3 * outputs, outputs, act=nn.ReLU)

    def forward(self, above, same, below):
        parts = (self.up(above), self.same(same), self.down(self.below(below)))
        return self.join(torch.cat(parts, 1))


class YoloV6(nn.Module):
    """Classes by sigmoids and distances to four sides, as its exporter leaves them."""

    def __init__(self):
        super().__init__()
        self.stem = rep(3, 8, 2)
        self.stages = nn.ModuleList(
            nn.Sequential(rep(inputs, outputs, 2), reps(outputs, outputs, depth))
            for inputs, outputs, depth in ((8, 16, 2), (16, 32, 4), (32, 64, 6), (64, 128, 2))
        )
        self.spp = Sppf(128, 128, nn.ReLU)
        self.lateral = nn.ModuleList([conv(128, 32, act=nn.ReLU), conv(32, 16, act=nn.ReLU)])
        self.fuse = nn.ModuleList([BiFusion(32, 64, 32, 32), BiFusion(16, 32, 16, 16)])
        self.joints = nn.ModuleList(
            [reps(32, 32, 4), reps(16, 16, 4), reps(32, 32, 4), reps(64, 64, 4)]
        )
        self.down = nn.ModuleList(
            [conv(16, 16, 3, 2, act=nn.ReLU), conv(32, 32, 3, 2, act=nn.ReLU)]
        )
        widths = (16, 32, 64)
        self.stems = nn.ModuleList(conv(width, width) for width in widths)
        self.kinds = nn.ModuleList(
            nn.Sequential(conv(width, width, 3), nn.Conv2d(width, KINDS, 1)) for width in widths
        )
        self.boxes = nn.ModuleList(
            nn.Sequential(conv(width, width, 3), nn.Conv2d(width, 4, 1)) for width in widths
        )

    def forward(self, x):
        seen = [self.stem(x)]
        for stage in self.stages:
            seen.append(stage(seen[-1]))
        _, c2, c3, c4, c5 = seen
        top = self.lateral[0](self.spp(c5))
        middle = self.joints[0](self.fuse[0](top, c4, c3))
        second = self.lateral[1](middle)
        small = self.joints[1](self.fuse[1](second, c3, c2))
        middle = self.joints[2](torch.cat((self.down[0](small), second), 1))
        large = self.joints[3](torch.cat((self.down[1](middle), top), 1))
        kinds, boxes = [], []
        for at, size in enumerate((small, middle, large)):
            h = self.stems[at](size)
            kinds.append(self.kinds[at](h).sigmoid().flatten(2))
            boxes.append(self.boxes[at](h).flatten(2))
        return torch.cat((torch.cat(boxes, -1), torch.cat(kinds, -1)), 1).permute(0, 2, 1)


@pytorch_model.register("yolov6s")
def yolov6s(weight_path=None):
    return registered("yolov6s", YoloV6(), weight_path, SIDE)


# ------------------------------------------------------------------ YOLO-NAS-s: QARepVGG, CSP


class QaRep(nn.Module):
    """QARepVGG before it is merged: a 3 x 3 with BatchNorm, a 1 x 1, the input; BatchNorm again."""

    def __init__(self, width):
        super().__init__()
        self.wide = conv(width, width, 3, act=None)
        self.narrow = nn.Conv2d(width, width, 1)
        self.post_bn, self.act = nn.BatchNorm2d(width), nn.ReLU()

    def forward(self, x):
        return self.act(self.post_bn(self.wide(x) + self.narrow(x) + x))


class Weighted(nn.Module):
    """Two of them; the input is added with a learned weight."""

    def __init__(self, width):
        super().__init__()
        self.body, self.alpha = (
            nn.Sequential(QaRep(width), QaRep(width)),
            nn.Parameter(torch.ones(1)),
        )

    def forward(self, x):
        return self.alpha * x + self.body(x)


class NasCsp(nn.Module):
    """Every stage of the chain is concatenated (``wide``) or only the last."""

    def __init__(self, inputs, outputs, depth=2, wide=True):
        super().__init__()
        half = outputs // 2
        self.wide = wide
        self.one, self.other = conv(inputs, half, act=nn.ReLU), conv(inputs, half, act=nn.ReLU)
        self.chain = nn.ModuleList(Weighted(half) for _ in range(depth))
        self.join = conv((2 + depth if wide else 2) * half, outputs, act=nn.ReLU)

    def forward(self, x):
        seen = [self.one(x)]
        for part in self.chain:
            seen.append(part(seen[-1]))
        parts = seen if self.wide else seen[-1:]
        return self.join(torch.cat((*parts, self.other(x)), 1))


class YoloNas(nn.Module):
    def __init__(self, bins=17):
        super().__init__()
        self.stem = conv(3, 8, 3, 2, act=nn.ReLU)
        self.stages = nn.ModuleList(
            nn.Sequential(conv(inputs, outputs, 3, 2, act=nn.ReLU), NasCsp(outputs, outputs, depth))
            for inputs, outputs, depth in ((8, 16, 2), (16, 32, 3), (32, 64, 5), (64, 128, 2))
        )
        self.spp = Sppf(128, 128, nn.ReLU)
        widths = (32, 64, 128)
        self.neck = Neck(widths, lambda inputs, outputs: NasCsp(inputs, outputs, 2, False), nn.ReLU)
        self.stems = nn.ModuleList(conv(width, 32, act=nn.ReLU) for width in widths)
        self.kinds = nn.ModuleList(
            nn.Sequential(conv(32, 32, 3, act=nn.ReLU), nn.Conv2d(32, KINDS, 1)) for _ in widths
        )
        self.boxes = nn.ModuleList(
            nn.Sequential(conv(32, 32, 3, act=nn.ReLU), nn.Conv2d(32, 4 * bins, 1)) for _ in widths
        )
        self.distances = Distances(SIDE, bins=bins)

    def forward(self, x):
        seen = [self.stem(x)]
        for stage in self.stages:
            seen.append(stage(seen[-1]))
        sizes = self.neck((seen[2], seen[3], self.spp(seen[4])))
        stems = [stem(x) for stem, x in zip(self.stems, sizes, strict=True)]
        boxes = torch.cat(
            [head(x).flatten(2) for head, x in zip(self.boxes, stems, strict=True)], 2
        )
        kinds = torch.cat(
            [head(x).flatten(2) for head, x in zip(self.kinds, stems, strict=True)], 2
        )
        return self.distances(boxes).permute(0, 2, 1), kinds.sigmoid().permute(0, 2, 1)


@pytorch_model.register("yolonas_s")
def yolonas_s(weight_path=None):
    return registered("yolonas_s", YoloNas(), weight_path, SIDE)


# ------------------------------------------------------------------ YOLO-World


class TextAttention(nn.Module):
    """Channels of each head are weighted by the best match among texts (MaxSigmoidAttention)."""

    def __init__(self, width, guide, heads=2):
        super().__init__()
        self.heads, self.depth = heads, width // heads
        self.guide, self.bias = nn.Linear(guide, width), nn.Parameter(torch.zeros(heads))
        self.project = conv(width, width, 3, act=None)

    def forward(self, x, texts):
        count, _, height, across = x.shape
        guide = self.guide(texts).reshape(1, -1, self.heads, self.depth)
        parts = x.reshape(count, self.heads, self.depth, height, across)
        match = torch.einsum("bmchw,bnmc->bmhwn", parts, guide.expand(count, -1, -1, -1)).max(
            dim=-1
        )[0]
        match = match / self.depth**0.5 + self.bias[None, :, None, None]
        x = self.project(x).reshape(count, self.heads, -1, height, across)
        return (x * match.sigmoid().unsqueeze(2)).reshape(count, -1, height, across)


class GuidedCsp(nn.Module):
    def __init__(self, inputs, outputs, guide):
        super().__init__()
        half = outputs // 2
        self.split, self.unit = conv(inputs, outputs), conv(half, half, 3)
        self.attend, self.join = TextAttention(half, guide), conv(4 * half, outputs)

    def forward(self, x, texts):
        parts = list(self.split(x).chunk(2, 1))
        parts.append(self.unit(parts[-1]))
        parts.append(self.attend(parts[-1], texts))
        return self.join(torch.cat(parts, 1))


class Contrast(nn.Module):
    """Scores of texts: products of unit vectors, scaled."""

    def __init__(self, width, guide):
        super().__init__()
        self.embed, self.norm = nn.Conv2d(width, guide, 1), nn.BatchNorm2d(guide)
        self.bias, self.scale = nn.Parameter(torch.tensor(-1.0)), nn.Parameter(torch.tensor(0.7))

    def forward(self, x, texts):
        x = self.norm(self.embed(x))
        texts = nn.functional.normalize(texts, dim=-1, p=2)
        return (
            torch.einsum("bchw,bkc->bkhw", x, texts.expand(x.shape[0], -1, -1)) * self.scale.exp()
            + self.bias
        )


class YoloWorld(nn.Module):
    """YOLOv8 whose neck and scores look at embedded texts, which are constants here."""

    def __init__(self, texts=KINDS, guide=32):
        super().__init__()
        self.register_buffer("texts", nn.functional.normalize(torch.randn(1, texts, guide), dim=-1))
        widths = (32, 64, 128)
        self.backbone = yolov8_backbone()
        shapes = ((192, 64), (96, 32), (96, 64), (192, 128))
        self.joints = nn.ModuleList(GuidedCsp(inputs, outputs, guide) for inputs, outputs in shapes)
        self.up = nn.Upsample(scale_factor=2, mode="nearest")
        self.down = nn.ModuleList([conv(32, 32, 3, 2), conv(64, 64, 3, 2)])
        heads = V8Heads(widths)
        self.boxes, self.distances = heads.boxes, heads.distances
        self.embed = nn.ModuleList(
            nn.Sequential(conv(width, 32, 3), conv(32, 32, 3)) for width in widths
        )
        self.contrast = nn.ModuleList(Contrast(32, guide) for _ in widths)

    def forward(self, x):
        small, middle, large = self.backbone(x)
        texts = self.texts
        middle = self.joints[0](torch.cat((self.up(large), middle), 1), texts)
        small = self.joints[1](torch.cat((self.up(middle), small), 1), texts)
        middle = self.joints[2](torch.cat((self.down[0](small), middle), 1), texts)
        large = self.joints[3](torch.cat((self.down[1](middle), large), 1), texts)
        boxes, kinds = [], []
        for at, size in enumerate((small, middle, large)):
            boxes.append(self.boxes[at](size).flatten(2))
            kinds.append(self.contrast[at](self.embed[at](size), texts).flatten(2))
        scores = torch.cat(kinds, 2).sigmoid()
        return torch.cat((self.distances(torch.cat(boxes, 2)), scores), 1)


@pytorch_model.register("yolo_world")
def yolo_world(weight_path=None):
    return registered("yolo_world", YoloWorld(), weight_path, SIDE)
