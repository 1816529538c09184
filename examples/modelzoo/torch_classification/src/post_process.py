"""The best class of what the simulator wrote.

python src/post_process.py --numpys DIR/result-*_p.npy
"""

import argparse

import numpy as np
import torch

parser = argparse.ArgumentParser()
parser.add_argument("--numpys", nargs="+", required=True)
scores = torch.from_numpy(np.load(parser.parse_args().numpys[0]).reshape(1, -1))
print("best class:", scores.argmax(1).item())
