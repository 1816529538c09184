"""The forms of a network's inputs as the options have them, and what they ask of the network."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from knightlite.api.quantization import input_configs
from knightlite.api.quantization.input_forms import TYPES, InputForm
from knightlite.errors import UsageError
from knightlite.talk import SILENT, Talk

if TYPE_CHECKING:
    from knightlite.ir import Graph
    from knightlite.options.quantize import QuantizeOptions
    from knightlite.preprocess import Recipe
    from knightlite.quantize.settings import Pin


def input_forms(options: QuantizeOptions, graph: Graph) -> tuple[InputForm, ...]:
    """One form per input: -qid in order, --mean and --std for the first, as Knight has it.

    Without -qid an input that the model takes in integers is fed with these.
    Where -qid asks for integers, what a recipe would do to pixels is done by the network instead.
    UsageError for unknown types and contradictions.
    """
    if options.input_configs:
        return _configured(options, graph)
    words = [word for text in options.input_types for word in re.split(r"[\s,]+", text) if word]
    for word in words:
        if word.lower() not in TYPES:
            raise UsageError(
                f"the type of an input (-qid) must be one of float32, int8, uint8, int16, None, "
                f"not {word}."
            )
    inputs = graph.fed_inputs
    if len(words) > len(inputs):
        raise UsageError(
            f"the network has {len(inputs)} input(s), but -qid names {len(words)} types."
        )
    kinds = [TYPES[word.lower()] for word in words]
    kinds += [graph.integer_inputs.get(name) for name in inputs[len(kinds) :]]
    forms = [InputForm(name, kind) for name, kind in zip(inputs, kinds, strict=True)]
    if options.mean or options.std:
        forms[0] = replace(forms[0], mean=options.mean or (0.0,), std=options.std or (1.0,))
    moved = _recipe_of(options)
    if moved is not None and moved.normalizes:
        if forms[0].mean:
            raise UsageError(
                f"both --mean/--std and {moved.called} normalize the pictures.",
                "take a recipe with divide_by 1, mean 0 and std 1; or leave --mean and --std out: "
                "-qid uint8 moves the recipe's into the network",
            )
        if forms[0].dtype is not None and inputs[0] not in graph.integer_inputs:
            forms[0] = replace(forms[0], mean=moved.pixel_mean, std=moved.pixel_std)
    return tuple(forms)


def _configured(options: QuantizeOptions, graph: Graph) -> tuple[InputForm, ...]:
    """The forms of input-configs, which stand for -qid, --mean, --std and a recipe."""
    if options.input_types or options.mean or options.std or options.recipe is not None:
        raise UsageError(
            "input-configs say how each input is fed: -qid, --mean, --std and --recipe are unused."
        )
    known = input_configs.parse(options.input_configs, graph.fed_inputs, graph.declared_inputs)
    found = {item.form.name: item.form for item in known}
    return tuple(
        found.get(name, InputForm(name, graph.integer_inputs.get(name)))
        for name in graph.fed_inputs
    )


def _recipe_of(options: QuantizeOptions) -> Recipe | None:
    from knightlite.preprocess import load_recipe

    return None if options.recipe is None else load_recipe(options.recipe)


def normalized(options: QuantizeOptions, graph: Graph, talk: Talk = SILENT) -> Graph:
    """The float graph with what the forms ask the network to do to its inputs."""
    from knightlite.frontend.normalization import normalize_input

    for form in input_forms(options, graph):
        if not form.mean:
            continue
        graph = normalize_input(graph, form.name, form.mean, form.std)
        stays = any(node.op == "Affine" and form.name in node.inputs for node in graph.nodes)
        talk.say(
            f"mean and std of input {form.name} are "
            + ("an affine at the start of the network" if stays else "in the first layer's weights")
        )
    return graph


def pins(forms: Iterable[InputForm]) -> tuple[Pin, ...]:
    """Scale 1 for the inputs in integers."""
    from knightlite.quantize.settings import Pin

    return tuple(Pin.of_integers(form.name, form.dtype) for form in forms if form.dtype is not None)
