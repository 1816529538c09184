"""The networks of the conformance suite that Paddle makes: names, definitions, picture sizes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Zoo:
    """``made_by`` in ``file``: "vision" is paddle.vision.models, "here" is paddle_nets.py.

    Any other file is a PaddleClas backbone. ``size``: of the square picture.
    """

    name: str
    file: str
    made_by: str
    size: int = 224


ZOO = (
    *(Zoo(f"densenet{depth}", "vision", f"densenet{depth}") for depth in (121, 161, 169, 201, 264)),
    *(Zoo(f"dpn{depth}", "model_zoo.dpn", f"DPN{depth}") for depth in (68, 92, 98, 107, 131)),
    Zoo("resnet18", "vision", "resnet18"),
    Zoo("resnet50", "vision", "resnet50"),
    Zoo("resnet50_vd", "legendary_models.resnet", "ResNet50_vd"),
    Zoo("resnext50_32x4d", "vision", "resnext50_32x4d"),
    Zoo("se_resnext50_32x4d", "model_zoo.se_resnext", "SE_ResNeXt50_32x4d"),
    Zoo("regnetx_4gf", "model_zoo.regnet", "RegNetX_4GF"),
    Zoo("vgg16", "vision", "vgg16"),
    Zoo("alexnet", "vision", "alexnet"),
    Zoo("googlenet", "vision", "googlenet"),
    Zoo("inception_v3", "vision", "inception_v3", 299),
    Zoo("squeezenet1_1", "vision", "squeezenet1_1"),
    Zoo("mobilenet_v1", "vision", "mobilenet_v1"),
    Zoo("mobilenet_v2", "vision", "mobilenet_v2"),
    Zoo("mobilenet_v3_small", "vision", "mobilenet_v3_small"),
    Zoo("mobilenet_v3_large", "vision", "mobilenet_v3_large"),
    Zoo("shufflenet_v2_x1_0", "vision", "shufflenet_v2_x1_0"),
    Zoo("ghostnet_x1_0", "model_zoo.ghostnet", "GhostNet_x1_0"),
    Zoo("efficientnet_lite0", "here", "efficientnet_lite0"),
    Zoo("hrnet_w18", "legendary_models.hrnet", "HRNet_W18_C"),
    Zoo("yolox_nano", "here", "YoloxNano", 416),
    Zoo("unet", "here", "UNet"),
)
BY_NAME = {network.name: network for network in ZOO}
