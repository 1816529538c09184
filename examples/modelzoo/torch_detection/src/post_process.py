"""The strongest objectness of what the simulator wrote.

python src/post_process.py --numpys DIR/result-26_p.npy DIR/result-27_p.npy --scales 0.01 0.02
"""

import argparse

import numpy as np
from smallyolo import strongest

parser = argparse.ArgumentParser()
parser.add_argument("--numpys", nargs="+", required=True)
parser.add_argument("--scales", nargs="+", required=True, type=float)
arguments = parser.parse_args()
pairs = zip(arguments.numpys, arguments.scales, strict=True)
print("strongest:", strongest([np.load(path) * np.float32(scale) for path, scale in pairs]))
