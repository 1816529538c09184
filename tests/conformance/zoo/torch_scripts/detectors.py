"""The detectors of the zoo, narrow: YOLOv3-tiny, v5s, v7, v7-tiny, v8s, YOLOX-s."""

import torch
from classifiers import registered
from detector_parts import C3, C2f, Distances, Elan, Focus, Neck, Spp, Sppf, cells, conv
from infer import infer_detector  # noqa: F401  # registers itself
from onnx_quantize_tool.common.register import pytorch_model
from torch import nn

KINDS, ANCHORS, SIDE = 8, 3, 128
TRACED = {"augment": False, "profile": False, "visualize": False, "val": True}
LEAKY = lambda: nn.LeakyReLU(0.1)  # noqa: E731  # as a class of activation


class Backbone(nn.Module):
    """Stages of which the last three are given on."""

    def __init__(self, *stages):
        super().__init__()
        self.stages = nn.ModuleList(stages)

    def forward(self, x):
        seen = []
        for stage in self.stages:
            x = stage(x)
            seen.append(x)
        return seen[-3:]


class Heads(nn.Module):
    """A 1 x 1 convolution for each size; ``split``: anchors by themselves, values last."""

    def __init__(self, widths, split=False):
        super().__init__()
        self.split = split
        self.m = nn.ModuleList(nn.Conv2d(width, ANCHORS * (5 + KINDS), 1) for width in widths)

    def forward(self, sizes):
        found = [head(x) for head, x in zip(self.m, sizes, strict=True)]
        if not self.split:
            return found
        return [
            x.view(x.shape[0], ANCHORS, 5 + KINDS, *x.shape[2:]).permute(0, 1, 3, 4, 2).contiguous()
            for x in found
        ]


# ------------------------------------------------------------------ YOLOv5s


def yolov5_backbone():
    return Backbone(
        nn.Sequential(conv(3, 8, 6, 2), conv(8, 16, 3, 2), C3(16, 16)),
        nn.Sequential(conv(16, 32, 3, 2), C3(32, 32, 2)),
        nn.Sequential(conv(32, 64, 3, 2), C3(64, 64, 3)),
        nn.Sequential(conv(64, 128, 3, 2), C3(128, 128), Sppf(128, 128)),
    )


def plain_c3(inputs, outputs):
    return C3(inputs, outputs, shortcut=False)


@pytorch_model.register("yolov5s_7")
def yolov5s_7(weight_path=None):
    widths = (32, 64, 128)
    model = nn.Sequential(yolov5_backbone(), Neck(widths, plain_c3), Heads(widths))
    model[0].stages[0][0][0].padding = (2, 2)
    return registered("yolov5s_7", model, weight_path, SIDE) | {"concrete_args": TRACED}


# ------------------------------------------------------------------ YOLOv3-tiny


class YoloV3Tiny(nn.Module):
    """With its boxes: sigmoids, offsets of cells, anchors, everything in one tensor."""

    def __init__(self):
        super().__init__()
        layers, inputs = [], 3
        for outputs in (4, 8, 16, 32):
            layers += [conv(inputs, outputs, 3, act=LEAKY), nn.MaxPool2d(2, 2)]
            inputs = outputs
        self.first = nn.Sequential(*layers, conv(32, 64, 3, act=LEAKY))
        self.second = nn.Sequential(
            nn.MaxPool2d(2, 2), conv(64, 128, 3, act=LEAKY), nn.ZeroPad2d((0, 1, 0, 1)),
            nn.MaxPool2d(2, 1), conv(128, 256, 3, act=LEAKY), conv(256, 64, act=LEAKY),
        )  # fmt: skip
        self.large = conv(64, 128, 3, act=LEAKY)
        self.up = nn.Sequential(conv(64, 32, act=LEAKY), nn.Upsample(None, 2, "nearest"))
        self.small = conv(96, 64, 3, act=LEAKY)
        self.heads = Heads((64, 128), split=True)
        self.anchors = nn.Parameter(10 * torch.rand(2, 1, ANCHORS, 1, 1, 2) + 5)
        for at, stride in enumerate((16, 32)):
            places, _ = cells(SIDE, (stride,))
            side = SIDE // stride
            self.register_buffer(f"grid{at}", places.view(1, 1, side, side, 2) - 1)

    def forward(self, x):
        first = self.first(x)
        second = self.second(first)
        small = self.small(torch.cat((self.up(second), first), 1))
        found = []
        for at, y in enumerate(self.heads((small, self.large(second)))):
            xy, wh, scores = y.sigmoid().split((2, 2, KINDS + 1), 4)
            xy = (xy * 2 + getattr(self, f"grid{at}")) * (16, 32)[at]
            wh = (wh * 2) ** 2 * self.anchors[at]
            found.append(torch.cat((xy, wh, scores), 4).view(y.shape[0], -1, 5 + KINDS))
        return torch.cat(found, 1)


@pytorch_model.register("yolov3")
def yolov3(weight_path=None):
    return registered("yolov3", YoloV3Tiny(), weight_path, SIDE)


# ------------------------------------------------------------------ YOLOv7


class Halved(nn.Module):
    """Half the size twice: by a pool and by a convolution."""

    def __init__(self, inputs, outputs):
        super().__init__()
        half = outputs // 2
        self.pooled = nn.Sequential(nn.MaxPool2d(2, 2), conv(inputs, half))
        self.strided = nn.Sequential(conv(inputs, half), conv(half, half, 3, 2))

    def forward(self, x):
        return torch.cat((self.strided(x), self.pooled(x)), 1)


class SppCsp(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.before = nn.Sequential(conv(inputs, outputs), conv(outputs, outputs, 3))
        self.spp = nn.Sequential(Spp(outputs, outputs), conv(outputs, outputs, 3))
        self.beside, self.join = conv(inputs, outputs), conv(2 * outputs, outputs)

    def forward(self, x):
        return self.join(torch.cat((self.spp(self.before(x)), self.beside(x)), 1))


class Implicit(nn.Module):
    """A head whose input is offset and whose output is scaled by learned constants."""

    def __init__(self, width):
        super().__init__()
        outputs = ANCHORS * (5 + KINDS)
        self.offset = nn.Parameter(0.1 * torch.randn(1, width, 1, 1))
        self.gain = nn.Parameter(1 + 0.1 * torch.randn(1, outputs, 1, 1))
        self.conv = nn.Conv2d(width, outputs, 1)

    def forward(self, x):
        return self.gain * self.conv(x + self.offset)


def elan_of(act):
    return lambda inputs, outputs: Elan(inputs, outputs // 2, outputs, 1, act)


@pytorch_model.register("yolov7")
def yolov7(weight_path=None):
    widths = (32, 64, 128)
    backbone = Backbone(
        nn.Sequential(conv(3, 8, 3), conv(8, 16, 3, 2), conv(16, 16, 3), conv(16, 16, 3, 2),
                      Elan(16, 8, 32)),
        nn.Sequential(Halved(32, 32), Elan(32, 16, 32)),
        nn.Sequential(Halved(32, 64), Elan(64, 32, 64)),
        nn.Sequential(Halved(64, 64), Elan(64, 32, 128), SppCsp(128, 128)),
    )  # fmt: skip
    heads = Heads(widths, split=True)
    heads.m = nn.ModuleList(Implicit(width) for width in widths)
    model = nn.Sequential(backbone, Neck(widths, elan_of(nn.SiLU)), heads)
    return registered("yolov7", model, weight_path, SIDE) | {"concrete_args": TRACED}


@pytorch_model.register("yolov7_tiny")
def yolov7_tiny(weight_path=None):
    widths = (16, 32, 64)
    backbone = Backbone(
        nn.Sequential(conv(3, 8, 3, 2, act=LEAKY), conv(8, 16, 3, 2, act=LEAKY),
                      Elan(16, 8, 16, 1, LEAKY)),
        nn.Sequential(nn.MaxPool2d(2, 2), Elan(16, 16, 16, 1, LEAKY)),
        nn.Sequential(nn.MaxPool2d(2, 2), Elan(16, 32, 32, 1, LEAKY)),
        nn.Sequential(nn.MaxPool2d(2, 2), Elan(32, 64, 64, 1, LEAKY), Spp(64, 64, LEAKY)),
    )  # fmt: skip
    model = nn.Sequential(backbone, Neck(widths, elan_of(LEAKY), LEAKY), Heads(widths, split=True))
    return registered("yolov7_tiny", model, weight_path, SIDE) | {"concrete_args": TRACED}


# ------------------------------------------------------------------ YOLOv8s


class V8Heads(nn.Module):
    """Distances and classes apart, decoded: [N, 4 + kinds, cells]."""

    def __init__(self, widths, bins=16):
        super().__init__()
        self.boxes = nn.ModuleList(
            nn.Sequential(conv(width, 16, 3), conv(16, 16, 3), nn.Conv2d(16, 4 * bins, 1))
            for width in widths
        )
        self.kinds = nn.ModuleList(
            nn.Sequential(conv(width, 32, 3), conv(32, 32, 3), nn.Conv2d(32, KINDS, 1))
            for width in widths
        )
        self.bins, self.distances = bins, Distances(SIDE, bins=bins)

    def forward(self, sizes):
        found = [
            torch.cat((boxes(x), kinds(x)), 1)
            for boxes, kinds, x in zip(self.boxes, self.kinds, sizes, strict=True)
        ]
        flat = torch.cat([x.view(x.shape[0], 4 * self.bins + KINDS, -1) for x in found], 2)
        boxes, scores = flat.split((4 * self.bins, KINDS), 1)
        return torch.cat((self.distances(boxes), scores.sigmoid()), 1)


def plain_c2f(inputs, outputs):
    return C2f(inputs, outputs, shortcut=False)


def yolov8_backbone():
    return Backbone(
        nn.Sequential(conv(3, 8, 3, 2), conv(8, 16, 3, 2), C2f(16, 16)),
        nn.Sequential(conv(16, 32, 3, 2), C2f(32, 32, 2)),
        nn.Sequential(conv(32, 64, 3, 2), C2f(64, 64, 2)),
        nn.Sequential(conv(64, 128, 3, 2), C2f(128, 128), Sppf(128, 128)),
    )


@pytorch_model.register("yolov8s")
def yolov8s(weight_path=None):
    widths = (32, 64, 128)
    model = nn.Sequential(yolov8_backbone(), Neck(widths, plain_c2f), V8Heads(widths))
    return registered("yolov8s", model, weight_path, SIDE) | {"concrete_args": TRACED}


# ------------------------------------------------------------------ YOLOX-s


class DecoupledHeads(nn.Module):
    """Classes, boxes and objectness by two branches: [N, cells, 5 + kinds]."""

    def __init__(self, widths, width=32):
        super().__init__()
        self.stems = nn.ModuleList(conv(inputs, width) for inputs in widths)
        self.kinds = nn.ModuleList(
            nn.Sequential(conv(width, width, 3), conv(width, width, 3)) for _ in widths
        )
        self.boxes = nn.ModuleList(
            nn.Sequential(conv(width, width, 3), conv(width, width, 3)) for _ in widths
        )
        self.kind = nn.ModuleList(nn.Conv2d(width, KINDS, 1) for _ in widths)
        self.box = nn.ModuleList(nn.Conv2d(width, 4, 1) for _ in widths)
        self.object = nn.ModuleList(nn.Conv2d(width, 1, 1) for _ in widths)
        centres, sizes = cells(SIDE, (8, 16, 32))
        self.register_buffer("places", (centres - 0.5).unsqueeze(0))
        self.register_buffer("sizes", sizes.unsqueeze(0))

    def forward(self, sizes):
        found = []
        for at, x in enumerate(sizes):
            x = self.stems[at](x)
            kinds, boxes = self.kinds[at](x), self.boxes[at](x)
            parts = (
                self.box[at](boxes),
                self.object[at](boxes).sigmoid(),
                self.kind[at](kinds).sigmoid(),
            )
            found.append(torch.cat(parts, 1).flatten(start_dim=2))
        found = torch.cat(found, dim=2).permute(0, 2, 1)
        centres = (found[..., 0:2] + self.places) * self.sizes
        return torch.cat((centres, torch.exp(found[..., 2:4]) * self.sizes, found[..., 4:]), dim=-1)


@pytorch_model.register("yolox_s")
def yolox_s(weight_path=None):
    widths = (32, 64, 128)
    backbone = Backbone(
        nn.Sequential(Focus(8), conv(8, 16, 3, 2), C3(16, 16)),
        nn.Sequential(conv(16, 32, 3, 2), C3(32, 32, 3)),
        nn.Sequential(conv(32, 64, 3, 2), C3(64, 64, 3)),
        nn.Sequential(conv(64, 128, 3, 2), Spp(128, 128), C3(128, 128, shortcut=False)),
    )
    model = nn.Sequential(backbone, Neck(widths, plain_c3), DecoupledHeads(widths))
    return registered("yolox_s", model, weight_path, SIDE)
