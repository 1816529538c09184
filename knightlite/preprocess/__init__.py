"""Pictures to tensors: recipes and picture folders, for calibration, evaluation and simulation."""

from knightlite.preprocess.folder import (
    ImageFolder,
    Sample,
    left_out_remark,
    list_pictures,
    sample_pictures,
)
from knightlite.preprocess.formats import SUFFIXES, is_picture, picture_format
from knightlite.preprocess.labels import class_places, counted_from_one, misfit, read_labels
from knightlite.preprocess.picture import prepare_picture, turned_remark
from knightlite.preprocess.recipe import Recipe, list_recipes, load_recipe, parse_recipe

__all__ = [
    "SUFFIXES",
    "ImageFolder",
    "Recipe",
    "Sample",
    "class_places",
    "counted_from_one",
    "is_picture",
    "left_out_remark",
    "list_pictures",
    "list_recipes",
    "load_recipe",
    "misfit",
    "parse_recipe",
    "picture_format",
    "prepare_picture",
    "read_labels",
    "sample_pictures",
    "turned_remark",
]
