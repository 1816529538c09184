"""The text in what the simulator wrote.

python src/post_process.py --numpys DIR/result-*_p.npy
"""

import argparse

import numpy as np
from ocr import decode

parser = argparse.ArgumentParser()
parser.add_argument("--numpys", nargs="+", required=True)
(text,) = decode(np.load(parser.parse_args().numpys[0]))
print("text:", text)
