"""One picture as the simulator reads it: uint8 [1, 3, 32, 32], raw.

python src/make_image_input_onnx.py --input data/demo.png --outpath DIR
"""

import argparse
import os

from classification import pixels
from PIL import Image

parser = argparse.ArgumentParser()
parser.add_argument("--input", required=True)
parser.add_argument("--outpath", required=True)
arguments = parser.parse_args()
picture = pixels(Image.open(arguments.input).convert("RGB"))
picture.tofile(os.path.join(arguments.outpath, "model_input.bin"))
