"""The data of a run: pictures, a user script, arrays of Python, or what is made without any."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from knightlite.api.quantization import input_configs
from knightlite.api.quantization.conversion import conversion_of
from knightlite.api.quantization.input_forms import InputForm, fed_as
from knightlite.api.quantization.inputs import input_forms
from knightlite.errors import UsageError
from knightlite.options.command_line import command_line
from knightlite.options.quantize import QuantizeOptions
from knightlite.options.shared import INFER_AUTO, PICTURES
from knightlite.talk import Talk

if TYPE_CHECKING:
    from knightlite.ir import Graph, Tensor
    from knightlite.preprocess import Recipe
    from knightlite.quantize.data import PictureFolder, Workload


def workload(
    options: QuantizeOptions, graph: Graph, talk: Talk, stored: str | None = None
) -> tuple[Workload, str | None]:
    """The data of the options, and the recipe's TOML text where there is one.

    ``stored``: the recipe that a quantized model keeps, which pictures go through where none is
    named. For a network of one step the data are sequences, as for the one that it is a step of.
    """
    from knightlite.quantize.sequences import Sequences, of_sequences

    if not graph.sequences:
        return _workload(options, graph, talk, stored)
    work, text = _workload(options, of_sequences(graph), talk, stored)
    return Sequences(work, graph), text


def _workload(
    options: QuantizeOptions, graph: Graph, talk: Talk, stored: str | None
) -> tuple[Workload, str | None]:
    """The same of a network that takes what it is fed as one picture."""
    from knightlite.frontend.script_process import script_process
    from knightlite.quantize.data import PictureFolder, UserScript
    from knightlite.quantize.data_free import without_data

    forms = input_forms(options, graph)
    if options.labels is not None and not _reads_folder(options):
        raise UsageError(
            "--labels orders the class folders of pictures, and no such folder is read.",
            "name it with -d DIR" + ("" if stored is not None else " --recipe NAME"),
        )
    quantized = any(graph.tensors[name].scale is not None for name in graph.inputs)
    if quantized:
        forms = tuple(_form_of(graph.tensors[form.name]) for form in forms)
    inputs = tuple(fed_as(graph.tensors[form.name], form) for form in forms)
    if options.batches is not None or callable(options.function):
        return _python_data(options, inputs, graph, talk), None
    feeds = options.function != INFER_AUTO or not _builds(options)
    if options.script is not None and feeds:
        if options.recipe is not None:
            raise UsageError("a user script (-uds) prepares its own pictures: --recipe is unused.")
        script = UserScript(
            script=options.script,
            function=options.function,
            dataset=options.data,
            iteration=options.calls,
            batch_size=options.batch_size,
            save_dir=options.save_dir,
            run_mode=options.run_mode,
            inputs=inputs,
            outputs=graph.outputs,
            say=talk.warn,
            input_configs=tuple(json.loads(options.input_configs or "[]")),
            declared_inputs=graph.declared_inputs,
            elsewhere=script_process(options.function, conversion_of(options, talk)),
        )
        script.check()
        _warn_of_one_call(options, f"infer function {options.function}", talk)
        return script, None
    if options.function != INFER_AUTO:
        raise UsageError(
            f"infer function {options.function} (-if) needs the script that defines it.",
            "name it with -uds FILE",
        )
    if options.input_configs:
        return _configured_data(options, inputs, graph, talk), None
    if options.data is not None:
        recipe = _recipe(options, stored, talk)
        if len(inputs) != 1:
            raise UsageError(
                f"pictures feed one input, but the model has {len(inputs)}.", "use a user script"
            )
        if forms[0].dtype is not None and recipe.normalizes:
            talk.say(f"the network normalizes its input itself, not {recipe.called}")
            recipe = recipe.raw()
        folder = PictureFolder(
            Path(options.data),
            recipe,
            options.calls,
            options.batch_size,
            inputs[0].shape,
            options.seed,
            options.labels,
        )
        _warn_of_classes(folder, graph, talk)
        found = folder.folder
        for told in (found.remark, found.too_high, found.misordered(options.labels)):
            if told:
                talk.warn(told)
        return folder, recipe.text
    if options.recipe is not None:
        raise UsageError("--recipe prepares the pictures of a folder.", "name it with -d DIR")
    return without_data(graph, inputs, options.calls, options.batch_size), None


KEPT_RECIPE = "the recipe of the quantized model"


def _recipe(options: QuantizeOptions, stored: str | None, talk: Talk) -> Recipe:
    """The recipe that is named, or the one that a quantized model keeps."""
    from knightlite.preprocess import list_recipes, load_recipe, parse_recipe

    if options.recipe is not None:
        return load_recipe(options.recipe)
    if stored is not None:
        talk.say(f"the pictures go through {KEPT_RECIPE}.")
        return parse_recipe(stored, KEPT_RECIPE)
    raise UsageError(
        f"the pictures of {options.data} need a recipe that prepares them.",
        f"--recipe with one of {', '.join(list_recipes())}, or a recipe file of your own",
    )


def _reads_folder(options: QuantizeOptions) -> bool:
    """True where the data are a picture folder, whichever recipe prepares it.

    A script that only builds the network leaves the data to it.
    """
    script = options.script is not None and not _builds(options)
    other = script or options.batches is not None or bool(options.input_configs)
    return options.data is not None and options.function == INFER_AUTO and not other


def _warn_of_classes(folder: PictureFolder, graph: Graph, talk: Talk) -> None:
    """Class folders that are not the network's classes: there will be no top-1."""
    scores = graph.tensors.get(graph.outputs[0])
    if folder.folder.classes and scores is not None:
        why = folder.mismatch(scores.elements // scores.shape[0])
        if why is not None:
            talk.warn(f"there is no top-1: {why}.")


def _warn_of_one_call(options: QuantizeOptions, what: str, talk: Talk) -> None:
    """Knight's default, which is not ours where we know how many pictures there are."""
    if options.iterations:
        return
    talk.warn(
        f"without -i {what} is run for one forward call of {options.batch_size} picture(s), "
        "Knight's default: too few to choose ranges and to judge by. Hint: "
        f"`{command_line('quant', options, iterations=(PICTURES,))}`"
    )


def _configured_data(
    options: QuantizeOptions, inputs: tuple[Tensor, ...], graph: Graph, talk: Talk
) -> Workload:
    """The folders that input-configs name."""
    configs = input_configs.parse(options.input_configs, graph.inputs, graph.declared_inputs)
    if options.data is not None:
        raise UsageError("input-configs name the data of each input: -d is unused.")
    _warn_of_one_call(options, "what input-configs name", talk)
    if any(config.padded for config in configs):
        talk.say(
            "padding_constant_value changes nothing here: what convolutions pad are zeros of the "
            "normalized input, exactly."
        )
    found = input_configs.workload(configs, inputs, options.calls, options.batch_size)
    for source in found.sources:
        if source.remark:
            talk.warn(source.remark)
    return found


def _form_of(tensor: Tensor) -> InputForm:
    """The form of an input of a quantized model: integers where its scale is 1."""
    whole = tensor.scale is not None and tensor.scale.ndim == 0 and tensor.scale[()] == 1
    return InputForm(tensor.name, tensor.dtype if whole else None)


def _python_data(
    options: QuantizeOptions, inputs: tuple[Tensor, ...], graph: Graph, talk: Talk
) -> Workload:
    """Arrays or an infer function of the calling program."""
    from knightlite.quantize.data import CalledFunction, feed

    if options.recipe is not None or (options.script is not None and not _builds(options)):
        raise UsageError(
            "arrays and an infer function are data as the network reads them: neither a user "
            "script nor a recipe is used with them."
        )
    if options.batches is not None:
        function = feed(options.batches)
        description = f"{options.calls} batch(es) of arrays"
    else:
        assert callable(options.function)
        function = options.function
        _warn_of_one_call(options, "the infer function", talk)
        description = f"infer function {getattr(function, '__name__', 'of Python')}"
    return CalledFunction(
        function=function,
        description=description,
        dataset=options.data,
        iteration=options.calls,
        batch_size=options.batch_size,
        save_dir=options.save_dir,
        run_mode=options.run_mode,
        inputs=inputs,
        outputs=graph.outputs,
        say=talk.warn,
        declared_inputs=graph.declared_inputs,
    )


def _builds(options: QuantizeOptions) -> bool:
    """True where the script is there for the network; it may feed the data as well."""
    from knightlite.frontend import builds_model

    return builds_model(options.model, options.framework)
