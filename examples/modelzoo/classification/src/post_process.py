"""The best classes of what the simulator wrote, with their names.

python src/post_process.py --numpys DIR/result-*_p.npy
"""

import argparse

import numpy as np

parser = argparse.ArgumentParser()
parser.add_argument("--numpys", nargs="+", required=True)
scores = np.load(parser.parse_args().numpys[0]).reshape(-1)
with open("data/labels.txt") as file:
    labels = dict(line.strip().split(":", 1) for line in file)  # idx:name
print("top5:", *(labels[str(place)] for place in np.argsort(-scores)[:5]))
print("best class:", scores.argmax())
