"""Layouts of raw input files: what options ask for, a ``.cfg`` keeps and ``sim`` reads."""

from typing import Literal, get_args

Layout = Literal["nchw", "nhwc", "nhwcstride"]  # nhwcstride: pixels as far apart as in the DDR
LAYOUTS: tuple[Layout, ...] = get_args(Layout)
# what a network is compiled for; how far apart pixels lie, compiling decides
COMPILED_LAYOUTS: tuple[Layout, ...] = ("nchw", "nhwc")
