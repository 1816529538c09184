"""As much of torch and torchvision as the PyTorch projects of ``examples/modelzoo`` touch.

Tensors are numpy arrays; layers give back what they get, since export copies what a test prepared.
"""

from __future__ import annotations

TORCH = """
import pickle
from pathlib import Path
import numpy as np
from . import _C, nn, onnx, utils
from .nn import Tensor
__version__ = "2.9.9"
float32 = np.float32
class no_grad:
    def __enter__(self): pass
    def __exit__(self, *error): pass
def is_tensor(value): return isinstance(value, Tensor)
def manual_seed(seed): pass
def from_numpy(array): return np.asarray(array).view(Tensor)
def randn(*shape):
    return from_numpy(np.zeros(shape[0] if isinstance(shape[0], tuple) else shape, np.float32))
rand = randn
def flatten(tensor, start): return tensor
def cat(tensors, axis): return np.concatenate(tensors, axis).view(Tensor)
def save(state, path): Path(path).write_bytes(pickle.dumps(state))
def load(path, map_location, weights_only=True): return pickle.loads(Path(path).read_bytes())
"""
NN = """
import numpy as np
class Tensor(np.ndarray):
    def dim(self): return self.ndim
    def to(self, dtype): return self
    def float(self): return self.astype(np.float32)
    def numpy(self): return np.asarray(self)
    def flatten(self, start): return self.reshape(*self.shape[:start], -1)
class Module:
    def __init__(self, *args, **options): pass
    def __call__(self, *inputs, **options): return self.forward(*inputs, **options)
    def forward(self, x): return x
    def train(self): self.training = True
    def eval(self): self.training = False
    def state_dict(self): return {"weight": 1}
    def load_state_dict(self, state, strict=True): assert state == {"weight": 1}
class ModuleList(Module):
    def __init__(self, modules): self.modules = modules
    def __iter__(self): return iter(self.modules)
Sequential = Conv2d = BatchNorm2d = ReLU = SiLU = AdaptiveAvgPool2d = Linear = Module
"""
DATA = """
import numpy as np
from ..nn import Tensor
class DataLoader:
    def __init__(self, dataset, batch_size, shuffle=False, num_workers=0, pin_memory=False):
        assert (shuffle, pin_memory) == (False, False)
        self.dataset, self.size = dataset, batch_size
    def __iter__(self):
        for first in range(0, len(self.dataset), self.size):
            last = min(first + self.size, len(self.dataset))
            items = [self.dataset[index] for index in range(first, last)]
            yield tuple(np.stack(list(part)).view(Tensor) for part in zip(*items))
"""
DATASETS = """
from pathlib import Path
from PIL import Image
class ImageFolder:
    def __init__(self, root, transform):
        folders = sorted(Path(root).iterdir())
        self.items = [(path, label) for label, folder in enumerate(folders)
                      for path in sorted(folder.iterdir())]
        self.transform = transform
    def __len__(self): return len(self.items)
    def __getitem__(self, index):
        path, label = self.items[index]
        return self.transform(Image.open(path).convert("RGB")), label
"""
TRANSFORMS = """
import numpy as np
from torch.nn import Tensor
class Compose:
    def __init__(self, steps): self.steps = steps
    def __call__(self, value):
        for step in self.steps: value = step(value)
        return value
def Resize(size): return lambda image: image.resize((size, size))
def CenterCrop(size):
    def crop(image):
        edge = (image.width - size) // 2
        return image.crop((edge, edge, edge + size, edge + size))
    return crop
def ToTensor():
    def convert(image):
        pixels = np.asarray(image, np.float32).transpose(2, 0, 1) / 255
        return pixels.view(Tensor)
    return convert
"""
ONNX = """
import os, shutil
def export(model, args, f, **options):
    model(*args)
    shutil.copy(os.environ["STUB_ONNX"], f)
"""
FILES = {
    "torch/__init__.py": TORCH,
    "torch/nn.py": NN,
    "torch/onnx.py": ONNX,
    "torch/_C.py": "",
    "torch/utils/__init__.py": "from . import data",
    "torch/utils/data.py": DATA,
    "torchvision/__init__.py": "from . import datasets, transforms",
    "torchvision/datasets.py": DATASETS,
    "torchvision/transforms.py": TRANSFORMS,
    "onnxscript.py": "",
}
