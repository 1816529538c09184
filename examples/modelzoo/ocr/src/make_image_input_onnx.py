"""One line of text as the simulator reads it: float32 [1, 3, 32, 96], raw.

python src/make_image_input_onnx.py --input data/demo.png --outpath DIR
"""

import argparse
import os

import numpy as np
from ocr import Lines

parser = argparse.ArgumentParser()
parser.add_argument("--input", required=True)
parser.add_argument("--outpath", required=True)
arguments = parser.parse_args()
folder, name = os.path.split(arguments.input)
picture = Lines.picture_of(folder, name, (3, 32, 96))
picture.astype(np.float32).tofile(os.path.join(arguments.outpath, "model_input.bin"))
