"""How much of anything is read or made for a file that asks for it: the one home of such limits.

A few bytes can ask for any amount of memory or time: a shape, a nesting, a packed array, a size in
a picture's header. Readers compare what a file asks for with these numbers before they make
anything; sound files stay far below. What a chip can hold is another question: its file says that.
"""

from __future__ import annotations

MIB = 1 << 20
GIB = 1 << 30

# files that are read as a whole
FILE_BYTES = 4 * GIB  # models, parameters beside them, compiled files, raw data
TEXT_BYTES = 32 * MIB  # JSON, labels, lists
TOML_BYTES = 256 << 10  # recipes and chips, for which Python's parser is slow
CACHE_BYTES = GIB  # the arrays of a distribution cache, unpacked

# texts with structure
TEXT_DEPTH = 64  # objects and lists within one another
WHOLE_BITS = 64  # whole numbers: what C and the files' own formats hold

# networks
MODEL_NODES = 1 << 15  # functions written out
MODEL_DEPTH = 32  # functions and graphs within one another
TENSOR_ELEMENTS = 1 << 28  # of one tensor between layers, or of one weight
TENSOR_AXES = 16
COMPUTED_BYTES = GIB // 2  # constants that are computed while a model is read, all together

# pictures
PICTURE_BYTES = GIB // 2
PICTURE_PIXELS = 1 << 27  # as the file has them: twelve thousand squared
SERVED_PIXELS = 1 << 25  # of a picture in a request: anybody may send it
RESIZED_PIXELS = 1 << 24  # as a recipe makes them, and between its two directions
PICTURE_SIDE = (1 << 16) - 1  # rows or columns as a recipe makes them

# lists
EVALUATION_SHARDS = 1 << 16
LABELS = 1 << 20  # classes that a file of labels can number
