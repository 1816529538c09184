"""The keyword spotter of the zoo, narrow: four layers of LSTM on 25 frames of 40 features."""

import pickle

import numpy as np
import torch
from onnx_quantize_tool.common.register import onnx_infer_func, pytorch_model
from torch import nn

FRAMES, FEATURES, KINDS = 25, 40, 12


class Spotter(nn.Module):
    def __init__(self, hidden=24, layers=4):
        super().__init__()
        self.lstm = nn.LSTM(FEATURES, hidden, layers, batch_first=True)
        self.fc_1 = nn.Linear(hidden, KINDS)

    def forward(self, x):
        out, _ = self.lstm(x)
        return self.fc_1(out[:, FRAMES - 1 : FRAMES, :].squeeze(1))


@onnx_infer_func.register("infer_pytorch_rnn")
def infer_pytorch_rnn(executor):
    with open(executor.dataset, "rb") as file:
        spoken = pickle.load(file, encoding="iso-8859-1")
    right = 0
    for i, word in enumerate(spoken):
        x = word["input"].reshape(1, FRAMES, FEATURES).astype(np.float32)
        right += int(np.argmax(executor.forward(x)[0]) == word["label"].argmax())
        if i == 0:
            x.tofile(f"{executor.save_dir}/model_input.bin")
        if i + 1 == executor.iteration:
            break
    return 100.0 * right / (i + 1)


@pytorch_model.register("lstm")
def lstm(weight_path=None):
    model = Spotter()
    if weight_path:
        model.load_state_dict(torch.load(weight_path, map_location=lambda storage, _: storage))
    return {"model": model, "inputs": [torch.randn((1, FRAMES, FEATURES))]}
