"""MLP-Mixer, ViT, DeiT, Swin and MobileViT: what moves, exactness and accuracy on the chip."""

from __future__ import annotations

from pathlib import Path

import pytest

from onnx_nets import operators
from test_carrying import same
from token_nets import mixer, vit


def test_mixer(tmp_path: Path) -> None:
    """Tokens are put in one row once, and change places with channels twice a block."""
    made = operators(same(mixer(), tmp_path, "y"))
    assert made.count("SwapChannels") == 4
    assert made.count("Concat") <= 2


@pytest.mark.parametrize("distilled", [False, True])
def test_vit(tmp_path: Path, distilled: bool) -> None:
    """Tokens are put in one row; then nothing of an attention moves."""
    made = operators(same(vit(distilled), tmp_path, "y"))
    assert made.count("MatMul") == 4
    assert not {"SwapChannels", "ChannelShuffle", "SpaceToDepth"} & set(made)
    assert (made.count("Concat"), made.count("Softmax")) == (2, 2)
