"""A checkpoint with the right keys: random weights, BatchNorm's statistics of the pictures.

python src/make_weight.py
"""

import os

import torch
from smallnet import PREPARE, SmallNet
from torchvision import datasets

torch.manual_seed(0)
model = SmallNet()
loader = torch.utils.data.DataLoader(datasets.ImageFolder("data/val", PREPARE), batch_size=10)
model.train()
with torch.no_grad():
    for pictures, _ in loader:
        model(pictures)
os.makedirs("weight", exist_ok=True)
torch.save(model.state_dict(), "weight/smallnet.pth")
