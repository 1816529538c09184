"""The convolutional classifiers of the zoo, narrow: their structure, an eighth of the channels."""

import torch
from infer import infer_imagenet_benchmark  # noqa: F401  # registers itself
from onnx_quantize_tool.common.register import pytorch_model
from torch import nn

CLASSES = 10


def unit(inputs, outputs, kernel=1, stride=1, padding=0, groups=1, act=nn.ReLU):
    layers = [
        nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    return nn.Sequential(*layers, *([] if act is None else [act(inplace=True)]))


def registered(name, model, weight_path, side):
    """What the tool wants of a model function."""
    model.eval()
    if weight_path:
        model.load_state_dict(torch.load(weight_path, map_location="cpu"), strict=True)
    return {"model": model, "inputs": [torch.randn((1, 3, side, side))]}


# ------------------------------------------------------------------ ResNet-50


class Bottleneck(nn.Module):
    def __init__(self, inputs, width, stride):
        super().__init__()
        self.body = nn.Sequential(
            unit(inputs, width),
            unit(width, width, 3, stride, 1),
            unit(width, 4 * width, act=None),
        )
        same = stride == 1 and inputs == 4 * width
        self.shortcut = nn.Identity() if same else unit(inputs, 4 * width, 1, stride, act=None)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        return self.relu(self.body(x) + self.shortcut(x))


class ResNet50(nn.Module):
    def __init__(self):
        super().__init__()
        layers, inputs = [unit(3, 8, 7, 2, 3), nn.MaxPool2d(3, 2, 1)], 8
        for stage, (width, blocks) in enumerate(((8, 3), (16, 4), (32, 6), (64, 3))):
            for block in range(blocks):
                layers.append(Bottleneck(inputs, width, 2 if stage and not block else 1))
                inputs = 4 * width
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(inputs, CLASSES)

    def forward(self, x):
        return self.fc(torch.flatten(self.avgpool(self.features(x)), 1))


@pytorch_model.register("resnet50")
def resnet50(weight_path):
    return registered("resnet50", ResNet50(), weight_path, 64)


# ------------------------------------------------------------------ VGG-16


class VGG16(nn.Module):
    def __init__(self):
        super().__init__()
        layers, inputs = [], 3
        for outputs in (8, 8, 0, 16, 16, 0, 32, 32, 32, 0, 64, 64, 64, 0, 64, 64, 64, 0):
            if not outputs:
                layers.append(nn.MaxPool2d(2, 2))
                continue
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(inplace=True)]
            inputs = outputs
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d((7, 7))
        self.classifier = nn.Sequential(
            nn.Linear(64 * 49, 128), nn.ReLU(True), nn.Dropout(),
            nn.Linear(128, 128), nn.ReLU(True), nn.Dropout(), nn.Linear(128, CLASSES),
        )  # fmt: skip

    def forward(self, x):
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


@pytorch_model.register("vgg16")
def vgg16(weight_path):
    return registered("vgg16", VGG16(), weight_path, 224)  # 7 x 7 before the pool, as there


# ------------------------------------------------------------------ Inception v3


class Branches(nn.Module):
    """Paths side by side, their channels concatenated."""

    def __init__(self, *paths):
        super().__init__()
        self.paths = nn.ModuleList(paths)

    def forward(self, x):
        return torch.cat([path(x) for path in self.paths], 1)


def mean3():
    return nn.AvgPool2d(3, 1, 1)


def inception_a(inputs, pooled):
    return Branches(
        unit(inputs, 8),
        nn.Sequential(unit(inputs, 6), unit(6, 8, 5, padding=2)),
        nn.Sequential(unit(inputs, 8), unit(8, 12, 3, padding=1), unit(12, 12, 3, padding=1)),
        nn.Sequential(mean3(), unit(inputs, pooled)),
    )


def inception_b(inputs):
    return Branches(
        unit(inputs, 48, 3, 2),
        nn.Sequential(unit(inputs, 8), unit(8, 12, 3, padding=1), unit(12, 12, 3, 2)),
        nn.MaxPool2d(3, 2),
    )


def row(inputs, outputs):
    return unit(inputs, outputs, (1, 7), padding=(0, 3))


def column(inputs, outputs):
    return unit(inputs, outputs, (7, 1), padding=(3, 0))


def inception_c(inputs, width):
    return Branches(
        unit(inputs, 24),
        nn.Sequential(unit(inputs, width), row(width, width), column(width, 24)),
        nn.Sequential(
            unit(inputs, width), column(width, width), row(width, width), column(width, width),
            row(width, 24),
        ),
        nn.Sequential(mean3(), unit(inputs, 24)),
    )  # fmt: skip


def inception_d(inputs):
    return Branches(
        nn.Sequential(unit(inputs, 24), unit(24, 40, 3, 2)),
        nn.Sequential(unit(inputs, 24), row(24, 24), column(24, 24), unit(24, 24, 3, 2)),
        nn.MaxPool2d(3, 2),
    )


def cross(inputs, outputs):
    return Branches(
        unit(inputs, outputs, (1, 3), padding=(0, 1)), unit(inputs, outputs, (3, 1), padding=(1, 0))
    )


def inception_e(inputs):
    return Branches(
        unit(inputs, 40),
        nn.Sequential(unit(inputs, 48), cross(48, 48)),
        nn.Sequential(unit(inputs, 56), unit(56, 48, 3, padding=1), cross(48, 48)),
        nn.Sequential(mean3(), unit(inputs, 24)),
    )


class InceptionV3(nn.Module):
    """With the change of the input's normalization that torchvision's pretrained one makes."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            unit(3, 4, 3, 2), unit(4, 4, 3), unit(4, 8, 3, padding=1), nn.MaxPool2d(3, 2),
            unit(8, 10), unit(10, 24, 3), nn.MaxPool2d(3, 2),
            inception_a(24, 4), inception_a(32, 8), inception_a(36, 8), inception_b(36),
            inception_c(96, 16), inception_c(96, 20), inception_c(96, 20), inception_c(96, 24),
            inception_d(96), inception_e(160), inception_e(256),
        )  # fmt: skip
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.dropout = nn.Dropout()
        self.fc = nn.Linear(256, CLASSES)

    def forward(self, x):
        gains, offsets = (0.458, 0.448, 0.45), (-0.030, -0.088, -0.188)
        parts = [
            torch.unsqueeze(x[:, at], 1) * gain + offset
            for at, (gain, offset) in enumerate(zip(gains, offsets, strict=True))
        ]
        x = self.avgpool(self.features(torch.cat(parts, 1)))
        return self.fc(torch.flatten(self.dropout(x), 1))


@pytorch_model.register("inception_v3")
def inception_v3(weight_path):
    return registered("inception_v3", InceptionV3(), weight_path, 139)


# ------------------------------------------------------------------ SqueezeNet 1.0


class Fire(nn.Module):
    def __init__(self, inputs, squeezed, widened):
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, squeezed, 1)
        self.relu = nn.ReLU(inplace=True)
        self.expand1x1 = nn.Conv2d(squeezed, widened, 1)
        self.expand3x3 = nn.Conv2d(squeezed, widened, 3, padding=1)

    def forward(self, x):
        x = self.relu(self.squeeze(x))
        return torch.cat([self.relu(self.expand1x1(x)), self.relu(self.expand3x3(x))], 1)


class SqueezeNet(nn.Module):
    def __init__(self):
        super().__init__()

        def pool():
            return nn.MaxPool2d(3, 2, ceil_mode=True)

        self.features = nn.Sequential(
            nn.Conv2d(3, 24, 7, 2), nn.ReLU(inplace=True), pool(),
            Fire(24, 4, 16), Fire(32, 4, 16), Fire(32, 8, 32), pool(),
            Fire(64, 8, 32), Fire(64, 12, 48), Fire(96, 12, 48), Fire(96, 16, 64), pool(),
            Fire(128, 16, 64),
        )  # fmt: skip
        self.classifier = nn.Sequential(
            nn.Dropout(), nn.Conv2d(128, CLASSES, 1), nn.ReLU(inplace=True),
            nn.AdaptiveAvgPool2d((1, 1)),
        )  # fmt: skip

    def forward(self, x):
        return torch.flatten(self.classifier(self.features(x)), 1)


@pytorch_model.register("squeezenet1_0")
def squeezenet1_0(weight_path):
    return registered("squeezenet1_0", SqueezeNet(), weight_path, 96)


# ------------------------------------------------------------------ MobileNetV2


class InvertedResidual(nn.Module):
    def __init__(self, inputs, outputs, stride, expansion):
        super().__init__()
        hidden = inputs * expansion
        widen = [unit(inputs, hidden, act=nn.ReLU6)] if expansion > 1 else []
        self.conv = nn.Sequential(
            *widen,
            unit(hidden, hidden, 3, stride, 1, hidden, nn.ReLU6),
            unit(hidden, outputs, act=None),
        )
        self.same = stride == 1 and inputs == outputs

    def forward(self, x):
        return x + self.conv(x) if self.same else self.conv(x)


MOBILENET_STAGES = (  # expansion, channels, repeats, stride of the first
    (1, 8, 1, 1), (6, 8, 2, 2), (6, 16, 3, 2), (6, 24, 4, 2), (6, 32, 3, 1), (6, 40, 3, 2),
    (6, 80, 1, 1),
)  # fmt: skip


class MobileNetV2(nn.Module):
    def __init__(self):
        super().__init__()
        layers, inputs = [unit(3, 8, 3, 2, 1, act=nn.ReLU6)], 8
        for expansion, outputs, repeats, first in MOBILENET_STAGES:
            for at in range(repeats):
                layers.append(InvertedResidual(inputs, outputs, 1 if at else first, expansion))
                inputs = outputs
        self.features = nn.Sequential(*layers, unit(inputs, 160, act=nn.ReLU6))
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(160, CLASSES))

    def forward(self, x):
        x = nn.functional.adaptive_avg_pool2d(self.features(x), (1, 1)).reshape(x.shape[0], -1)
        return self.classifier(x)


@pytorch_model.register("mobilenet_v2")
def mobilenet_v2(weight_path):
    return registered("mobilenet_v2", MobileNetV2(), weight_path, 96)
