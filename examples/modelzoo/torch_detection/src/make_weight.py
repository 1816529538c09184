"""A checkpoint with the right keys: random weights, BatchNorm's statistics of the pictures.

python src/make_weight.py
"""

import os

import torch
from models.network import Detector
from smallyolo import letterbox, pictures

torch.manual_seed(0)
model = Detector()
model.train()
with torch.no_grad():
    for path in pictures("data/coco128.yaml")[:10]:
        model(torch.from_numpy(letterbox(path)).float() / 255)
os.makedirs("weight", exist_ok=True)
torch.save({"model": model.state_dict()}, "weight/smallyolo.pt")
