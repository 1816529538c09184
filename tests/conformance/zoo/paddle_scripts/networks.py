"""The Paddle networks of the zoo, narrow: classifiers, PP-YOLOE-s and the three of PP-OCRv3."""

import paddle
from paddle import nn
from paddle.nn import functional

CLASSES = 10


class Unit(nn.Sequential):
    def __init__(self, inputs, outputs, kernel=1, stride=1, groups=1, act=nn.ReLU):
        padding = [size // 2 for size in kernel] if isinstance(kernel, tuple) else kernel // 2
        convolution = nn.Conv2D(
            inputs, outputs, kernel, stride, padding, groups=groups, bias_attr=False
        )
        layers = [convolution, nn.BatchNorm2D(outputs)]
        super().__init__(*layers, *([] if act is None else [act()]))


# ------------------------------------------------------------------ classifiers


class Bottleneck(nn.Layer):
    def __init__(self, inputs, width, stride):
        super().__init__()
        self.body = nn.Sequential(
            Unit(inputs, width), Unit(width, width, 3, stride), Unit(width, 4 * width, act=None)
        )
        same = stride == 1 and inputs == 4 * width
        self.shortcut = nn.Identity() if same else Unit(inputs, 4 * width, 1, stride, act=None)

    def forward(self, x):
        return functional.relu(self.body(x) + self.shortcut(x))


def paddle_resnet50():
    layers, inputs = [Unit(3, 8, 7, 2), nn.MaxPool2D(3, 2, 1)], 8
    for stage, (width, blocks) in enumerate(((8, 3), (16, 4), (32, 6), (64, 3))):
        for block in range(blocks):
            layers.append(Bottleneck(inputs, width, 2 if stage and not block else 1))
            inputs = 4 * width
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2D(1), nn.Flatten(), nn.Linear(inputs, CLASSES), nn.Softmax()
    )


class DenseLayer(nn.Layer):
    def __init__(self, inputs, growth, wide=4):
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2D(inputs), nn.Conv2D(inputs, wide * growth, 1)
        self.norm2 = nn.BatchNorm2D(wide * growth)
        self.conv2 = nn.Conv2D(wide * growth, growth, 3, padding=1)

    def forward(self, x):
        y = self.conv1(functional.relu(self.norm1(x)))
        return paddle.concat([x, self.conv2(functional.relu(self.norm2(y)))], 1)


def densenet121():
    growth, inputs = 8, 16
    layers = [Unit(3, inputs, 7, 2), nn.MaxPool2D(3, 2, 1)]
    for stage, depth in enumerate((6, 12, 24, 16)):
        for _ in range(depth):
            layers.append(DenseLayer(inputs, growth))
            inputs += growth
        if stage < 3:
            narrow = nn.Conv2D(inputs, inputs // 2, 1)
            layers += [nn.BatchNorm2D(inputs), nn.ReLU(), narrow, nn.AvgPool2D(2, 2)]
            inputs //= 2
    return nn.Sequential(
        *layers, nn.BatchNorm2D(inputs), nn.ReLU(), nn.AdaptiveAvgPool2D(1), nn.Flatten(),
        nn.Linear(inputs, CLASSES),
    )  # fmt: skip


def alexnet():
    return nn.Sequential(
        nn.Conv2D(3, 16, 11, 4, 2), nn.ReLU(), nn.MaxPool2D(3, 2),
        nn.Conv2D(16, 48, 5, 1, 2), nn.ReLU(), nn.MaxPool2D(3, 2),
        nn.Conv2D(48, 96, 3, 1, 1), nn.ReLU(), nn.Conv2D(96, 64, 3, 1, 1), nn.ReLU(),
        nn.Conv2D(64, 64, 3, 1, 1), nn.ReLU(), nn.MaxPool2D(3, 2), nn.Flatten(),
        nn.Dropout(0.5), nn.Linear(64 * 36, 128), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, CLASSES),
    )  # fmt: skip


# ------------------------------------------------------------------ PP-YOLOE-s


class RepVgg(nn.Layer):
    """Before it is merged: a 3 x 3 and a 1 x 1 side by side, the second with a weight."""

    def __init__(self, width):
        super().__init__()
        self.wide = Unit(width, width, 3, act=None)
        self.narrow = Unit(width, width, 1, act=None)
        self.alpha = self.create_parameter([1], default_initializer=nn.initializer.Constant(1.0))

    def forward(self, x):
        return functional.swish(self.wide(x) + self.alpha * self.narrow(x))


class Residual(nn.Layer):
    def __init__(self, width, shortcut=True):
        super().__init__()
        self.body, self.shortcut = (
            nn.Sequential(Unit(width, width, 3, act=nn.Swish), RepVgg(width)),
            shortcut,
        )

    def forward(self, x):
        return x + self.body(x) if self.shortcut else self.body(x)


class Squeeze(nn.Layer):
    """Effective squeeze and excitation: one 1 x 1, a hard sigmoid."""

    def __init__(self, width):
        super().__init__()
        self.fc = nn.Conv2D(width, width, 1)

    def forward(self, x):
        means = x.mean((2, 3), keepdim=True)
        return x * functional.hardsigmoid(self.fc(means))


class CspRes(nn.Layer):
    def __init__(self, inputs, outputs, depth, stride=2):
        super().__init__()
        middle = (inputs + outputs) // 2
        self.down = Unit(inputs, middle, 3, stride, act=nn.Swish)
        self.one, self.other = (
            Unit(middle, middle // 2, act=nn.Swish),
            Unit(middle, middle // 2, act=nn.Swish),
        )
        self.units = nn.Sequential(*(Residual(middle // 2) for _ in range(depth)))
        self.squeeze, self.join = (
            Squeeze(middle // 2 * 2),
            Unit(middle // 2 * 2, outputs, act=nn.Swish),
        )

    def forward(self, x):
        x = self.down(x)
        return self.join(self.squeeze(paddle.concat([self.one(x), self.units(self.other(x))], 1)))


class SppCsp(nn.Layer):
    def __init__(self, inputs, outputs, spp=False):
        super().__init__()
        half = outputs // 2
        self.one, self.other = Unit(inputs, half, act=nn.Swish), Unit(inputs, half, act=nn.Swish)
        self.before, self.after = Residual(half, False), Residual(half, False)
        self.pools = nn.LayerList(
            [nn.MaxPool2D(size, 1, size // 2) for size in (5, 9, 13)] if spp else []
        )
        self.spp = Unit(4 * half, half, act=nn.Swish) if spp else None
        self.join = Unit(2 * half, outputs, act=nn.Swish)

    def forward(self, x):
        y = self.before(self.one(x))
        if self.spp is not None:
            y = self.spp(paddle.concat([y, *(pool(y) for pool in self.pools)], 1))
        return self.join(paddle.concat([self.after(y), self.other(x)], 1))


class PpYoloE(nn.Layer):
    def __init__(self, side=128, kinds=8, bins=17):
        super().__init__()
        self.stem = nn.Sequential(
            Unit(3, 8, 3, 2, act=nn.Swish),
            Unit(8, 8, 3, act=nn.Swish),
            Unit(8, 16, 3, act=nn.Swish),
        )
        self.stages = nn.LayerList(
            [CspRes(16, 16, 1), CspRes(16, 32, 2), CspRes(32, 64, 2), CspRes(64, 128, 1)]
        )
        widths = (96, 48, 24)
        self.top = nn.LayerList([SppCsp(128, 96, True), SppCsp(64 + 48, 48), SppCsp(32 + 24, 24)])
        self.lateral = nn.LayerList([Unit(96, 48, act=nn.Swish), Unit(48, 24, act=nn.Swish)])
        self.down = nn.LayerList(
            [Unit(24, 24, 3, 2, act=nn.Swish), Unit(48, 48, 3, 2, act=nn.Swish)]
        )
        self.bottom = nn.LayerList([SppCsp(24 + 48, 48), SppCsp(48 + 96, 96)])
        self.gates = nn.LayerList([nn.Conv2D(width, width, 1) for width in (*widths, *widths)])
        self.mixes = nn.LayerList(
            [Unit(width, width, act=nn.Swish) for width in (*widths, *widths)]
        )
        self.kinds = nn.LayerList([nn.Conv2D(width, kinds, 3, padding=1) for width in widths])
        self.boxes = nn.LayerList([nn.Conv2D(width, 4 * bins, 3, padding=1) for width in widths])
        self.expect = nn.Conv2D(bins, 1, 1, bias_attr=False)
        self.expect.weight.set_value(paddle.arange(bins, dtype="float32").reshape([1, bins, 1, 1]))
        self.bins, self.number = bins, kinds
        places = []
        for stride in (32, 16, 8):
            at = (paddle.arange(side // stride, dtype="float32") + 0.5) * stride
            y, x = paddle.meshgrid(at, at)
            places.append(paddle.stack([x, y], -1).reshape([-1, 2]))
        self.register_buffer("places", paddle.concat(places))
        cells = [paddle.full([(side // stride) ** 2, 1], float(stride)) for stride in (32, 16, 8)]
        self.register_buffer("strides", paddle.concat(cells))

    def sizes(self, x):
        seen = [self.stem(x)]
        for stage in self.stages:
            seen.append(stage(seen[-1]))
        large = self.top[0](seen[4])
        up = functional.interpolate(self.lateral[0](large), scale_factor=2.0)
        middle = self.top[1](paddle.concat([up, seen[3]], 1))
        up = functional.interpolate(self.lateral[1](middle), scale_factor=2.0)
        small = self.top[2](paddle.concat([up, seen[2]], 1))
        middle = self.bottom[0](paddle.concat([self.down[0](small), middle], 1))
        return self.bottom[1](paddle.concat([self.down[1](middle), large], 1)), middle, small

    def attended(self, at, x, mean):
        return self.mixes[at](x * functional.sigmoid(self.gates[at](mean)))

    def forward(self, x):
        scores, boxes = [], []
        for at, size in enumerate(self.sizes(x)):
            mean = functional.adaptive_avg_pool2d(size, (1, 1))
            kinds = self.kinds[at](self.attended(at, size, mean) + size)
            sides = self.boxes[at](self.attended(at + 3, size, mean))
            cells = kinds.shape[2] * kinds.shape[3]
            sides = sides.reshape([-1, 4, self.bins, cells]).transpose([0, 2, 3, 1])
            boxes.append(self.expect(functional.softmax(sides, axis=1)).reshape([-1, cells, 4]))
            scores.append(functional.sigmoid(kinds).reshape([-1, self.number, cells]))
        near, far = paddle.concat(boxes, 1).split(2, -1)
        first, last = self.places - near * self.strides, self.places + far * self.strides
        return paddle.concat([first, last], -1), paddle.concat(scores, -1)


# ------------------------------------------------------------------ PP-OCRv3


class Excite(nn.Layer):
    def __init__(self, width):
        super().__init__()
        self.narrow, self.wide = nn.Conv2D(width, width // 4, 1), nn.Conv2D(width // 4, width, 1)

    def forward(self, x):
        means = functional.adaptive_avg_pool2d(x, 1)
        gates = self.wide(functional.relu(self.narrow(means)))
        return x * functional.hardsigmoid(gates, slope=0.2, offset=0.5)


class Mobile(nn.Layer):
    """An inverted residual of MobileNetV3."""

    def __init__(self, inputs, hidden, outputs, kernel, stride, excite, act):
        super().__init__()
        layers = [Unit(inputs, hidden, act=act), Unit(hidden, hidden, kernel, stride, hidden, act)]
        excited = [Excite(hidden)] if excite else []
        self.body = nn.Sequential(*layers, *excited, Unit(hidden, outputs, act=None))
        self.same = stride == 1 and inputs == outputs

    def forward(self, x):
        return x + self.body(x) if self.same else self.body(x)


class FeaturePyramid(nn.Layer):
    """The detector: MobileNetV3, residual squeezes, sums from above, maps by transposed ones."""

    def __init__(self):
        super().__init__()
        hard, soft = nn.Hardswish, nn.ReLU
        self.stages = nn.LayerList([
            nn.Sequential(Unit(3, 8, 3, 2, act=hard), Mobile(8, 8, 8, 3, 1, False, soft),
                          Mobile(8, 32, 16, 3, 2, False, soft)),
            nn.Sequential(Mobile(16, 40, 24, 5, 2, True, soft),
                          Mobile(24, 64, 24, 5, 1, True, soft)),
            nn.Sequential(Mobile(24, 96, 32, 3, 2, False, hard),
                          Mobile(32, 96, 32, 3, 1, False, hard)),
            nn.Sequential(Mobile(32, 128, 48, 5, 2, True, hard),
                          Mobile(48, 160, 48, 5, 1, True, hard)),
        ])  # fmt: skip
        widths = (16, 24, 32, 48)
        self.inputs = nn.LayerList([nn.Conv2D(width, 24, 1, bias_attr=False) for width in widths])
        self.excites = nn.LayerList([Excite(24) for _ in widths])
        self.smooth = nn.LayerList(
            [nn.Conv2D(24, 8, 3, padding=1, bias_attr=False) for _ in widths]
        )
        self.first = Unit(32, 8, 3)
        self.second = nn.Sequential(nn.Conv2DTranspose(8, 8, 2, 2), nn.BatchNorm2D(8), nn.ReLU())
        self.third = nn.Conv2DTranspose(8, 1, 2, 2)

    def forward(self, x):
        seen = []
        for stage in self.stages:
            x = stage(x)
            seen.append(x)
        parts = [self.inputs[at](seen[at]) for at in range(4)]
        parts = [parts[at] + self.excites[at](parts[at]) for at in range(4)]
        for at in (2, 1, 0):
            up = functional.interpolate(parts[at + 1], scale_factor=2.0, mode="nearest")
            parts[at] = parts[at] + up
        maps = [self.smooth[at](parts[at]) for at in range(4)]
        for at in (1, 2, 3):
            maps[at] = functional.interpolate(maps[at], scale_factor=2.0**at, mode="nearest")
        y = self.third(self.second(self.first(paddle.concat(maps[::-1], 1))))
        return functional.sigmoid(y)


def ocr_cls():
    hard, soft = nn.Hardswish, nn.ReLU
    return nn.Sequential(
        Unit(3, 8, 3, 2, act=hard), Mobile(8, 8, 8, 3, (2, 1), True, soft),
        Mobile(8, 24, 8, 3, (2, 1), False, soft), Mobile(8, 32, 8, 3, 1, False, soft),
        Mobile(8, 32, 16, 5, (2, 1), True, hard), Mobile(16, 64, 16, 5, 1, True, hard),
        Mobile(16, 80, 32, 5, (2, 1), True, hard), Unit(32, 64, act=hard),
        nn.MaxPool2D(2, 2), nn.AdaptiveAvgPool2D(1), nn.Flatten(), nn.Linear(64, 2), nn.Softmax(),
    )  # fmt: skip


class Attention(nn.Layer):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads, self.dim = heads, dim
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, x):
        depth = self.dim // self.heads
        qkv = self.qkv(x).reshape([0, -1, 3, self.heads, depth]).transpose([2, 0, 3, 1, 4])
        q, k, v = qkv[0] * depth**-0.5, qkv[1], qkv[2]
        shares = functional.softmax(q.matmul(k.transpose([0, 1, 3, 2])), axis=-1)
        return self.proj(shares.matmul(v).transpose([0, 2, 1, 3]).reshape([0, -1, self.dim]))


class Block(nn.Layer):
    def __init__(self, dim, heads):
        super().__init__()
        self.norm1, self.mixer = nn.LayerNorm(dim, 1e-6), Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim, 1e-6)
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.Swish(), nn.Linear(2 * dim, dim))

    def forward(self, x):
        x = x + self.mixer(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Recognizer(nn.Layer):
    """SVTR-LCNet: depthwise stages down to one row, attention over columns, scores of letters."""

    def __init__(self, letters=40, dim=24, heads=4):
        super().__init__()
        hard = nn.Hardswish

        def separable(inputs, outputs, kernel=3, stride=1, excite=False):
            middle = [Excite(inputs)] if excite else []
            depthwise = Unit(inputs, inputs, kernel, stride, inputs, hard)
            return nn.Sequential(depthwise, *middle, Unit(inputs, outputs, act=hard))

        self.backbone = nn.Sequential(
            Unit(3, 8, 3, 2, act=hard), separable(8, 16), separable(16, 16),
            separable(16, 32, stride=(2, 1)), separable(32, 32), separable(32, 64, stride=(2, 1)),
            separable(64, 64, 5), separable(64, 64, 5, (2, 1), True),
            separable(64, 64, 5, (1, 2), True),
            nn.AvgPool2D(2, 2),
        )  # fmt: skip
        self.before = nn.Sequential(Unit(64, 8, (1, 3), act=nn.Swish), Unit(8, dim, act=nn.Swish))
        self.blocks = nn.Sequential(Block(dim, heads), Block(dim, heads))
        self.norm = nn.LayerNorm(dim, 1e-6)
        self.back = Unit(dim, 64, act=nn.Swish)
        self.join = nn.Sequential(Unit(128, 8, (1, 3), act=nn.Swish), Unit(8, 64, act=nn.Swish))
        self.scores = nn.Linear(64, letters)

    def forward(self, x):
        x = self.backbone(x)
        y = self.before(x)
        height, width = y.shape[2:]
        tokens = self.norm(self.blocks(y.flatten(2).transpose([0, 2, 1])))
        y = tokens.reshape([0, height, width, tokens.shape[2]]).transpose([0, 3, 1, 2])
        x = self.join(paddle.concat([x, self.back(y)], 1))
        x = x.squeeze(2).transpose([0, 2, 1])
        return functional.softmax(self.scores(x), axis=2)


MADE = {  # name -> the network and the shape of its picture
    "paddle_resnet50": (paddle_resnet50, (3, 64, 64)),
    "densenet121": (densenet121, (3, 64, 64)),
    "alexnet": (alexnet, (3, 224, 224)),
    "ppyoloe_s": (PpYoloE, (3, 128, 128)),
    "ocr_det": (FeaturePyramid, (3, 128, 128)),
    "ocr_cls": (ocr_cls, (3, 48, 192)),
    "ocr_rec": (Recognizer, (3, 48, 160)),
}
