"""``eval``: forms of one network over a folder of pictures, in one pass, against the first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from knightlite import atomic_write, workspace
from knightlite.api.evaluation import state as evaluate_state
from knightlite.api.evaluation.at_chance import warn_of_chance, warn_of_strangers
from knightlite.api.evaluation.engine import Job, Picture, open_bench, tallies
from knightlite.api.evaluation.forms import CHIP, Form, Source, source_of
from knightlite.api.evaluation.odd_input import warn_of_calibration, warn_of_odd_input
from knightlite.api.evaluation.state import Question, State, digest
from knightlite.api.evaluation.stored_frames import FRAMES_HINT, classes_of, digest_of, holds_frames
from knightlite.api.models.notes import notes_of
from knightlite.api.simulation.fed import LEAVE_OUT, another_recipe
from knightlite.errors import KnightliteError, UsageError, not_there, open_shapes_hint
from knightlite.evaluation import TOP, Tally, empty_tally
from knightlite.metrics import Metric, MetricSource, metric_source, open_metric
from knightlite.options import check
from knightlite.options.evaluate import STATE, EvaluateOptions
from knightlite.talk import SILENT, Talk

SAVE_EVERY = 50  # pictures


@dataclass(frozen=True, slots=True)
class ModelScore:
    """One model. Percent, points and dB; None where pictures have no class, or for the first model.

    ``top5`` is None too where there are no more than five classes.

    ``agreed_percent``: pictures with the first model's best class. ``exact``: all scores are those
    of the first model, and ``sqnr_db`` is None. ``compared_bytes``, ``differing_bytes``: of the
    chip's layers against its golden model; None where they were not compared. ``metric``: what the
    data's own measure gives, ``metric_drop`` what the model is behind the first in it,
    ``metric_low`` and ``metric_high`` that drop's 95 % interval, where pictures give numbers.
    """

    model: str
    kind: str
    top1: float | None
    top5: float | None
    drop: float | None
    interval_low: float | None
    interval_high: float | None
    lost: int | None
    won: int | None
    agreed_percent: float | None
    sqnr_db: float | None
    exact: bool
    compared_bytes: int | None = None
    differing_bytes: int | None = None
    metric: float | None = None
    metric_drop: float | None = None
    metric_low: float | None = None
    metric_high: float | None = None


@dataclass(frozen=True, slots=True)
class EvaluationResult:
    """Scores of every model over ``pictures`` pictures, ``labelled`` of them of known class.

    ``scores``: "logits", before a trailing Softmax, or "outputs". ``shard``: (1, 1) for all.
    ``metric``: the name of the data's own measure, where one was asked for. ``remarks``: on what
    was fed, where it is odd.
    """

    pictures: int
    labelled: int
    scores: str
    shard: tuple[int, int]
    models: tuple[ModelScore, ...]
    metric: str | None = None
    remarks: tuple[str, ...] = ()


def evaluate_models(options: EvaluateOptions, talk: Talk = SILENT) -> EvaluationResult:
    """Run the evaluation; what is counted stays in the state. Errors: ``knightlite.errors``.

    With ``merge`` nothing is run: the state files named are added up.
    """
    check(options)
    source = metric_source(options.metric, options.annotations) if options.metric else None
    with nullcontext() if source is None else open_metric(source) as metric:
        if options.merge:
            return merge_states(options.models, metric, talk)
        return _evaluated(options, source, metric, talk)


def _evaluated(
    options: EvaluateOptions, metric_source: MetricSource | None, metric: Metric | None, talk: Talk
) -> EvaluationResult:
    """The evaluation of models."""
    if options.state is not None:
        atomic_write.require_folder(options.state.parent)  # before the work, not after it
    sources = tuple(source_of(path) for path in _paths(options, talk))
    _warn_of_other_networks(sources, talk)
    if options.check and CHIP not in {source.kind for source in sources}:
        raise UsageError(
            "--check compares a compiled network with its golden model, but none is named.",
            "name X_r.cfg, beside which compile leaves the golden model",
        )
    probe = Job(
        sources, (), "", options.chip, options.input_shapes, False, options.check,
        metric=metric_source, engine=options.engine,
    )  # fmt: skip
    forms = open_bench(probe).forms
    job = _job(probe, forms, options, talk)
    calibrated = [(form.fed, shape) for form, shape in zip(forms, job.shapes, strict=True)]
    pictures, classes = _pictures(options, _only(form.recipe for form in forms), talk)
    del forms
    job = replace(job, classes=classes if options.labels is None else None, labels=options.labels)
    if options.labels is not None and not holds_frames(options.folder):
        from knightlite.preprocess import counted_from_one

        job = replace(job, from_one=counted_from_one(options.labels))
    mine = pictures[options.shard[0] - 1 :: options.shard[1]]
    if not mine:
        raise UsageError(
            f"shard {options.shard[0]}/{options.shard[1]} of {len(pictures)} pictures is empty."
        )
    question = _question(job, options, pictures)
    remarks = warn_of_odd_input(job, mine, calibrated, talk)
    remarks += warn_of_calibration(sources, pictures, options.directory, talk)
    stamp = digest([_stamp(picture) for picture in mine])
    state = State(question, options.shard, stamp, len(mine), empty_tally(len(sources)))
    state = _resumed(state, options.state, talk)
    state = _run(job, mine, state, options, talk, metric)
    if options.state is not None and not options.keep_state:
        options.state.unlink(missing_ok=True)
    return replace(_told(state, metric, options, talk), remarks=remarks)


def resumable(options: EvaluateOptions) -> EvaluateOptions:
    """The options with a file that keeps the sums until they are finished, where none is named."""
    if options.state is not None:
        return options
    return replace(options, state=STATE, keep_state=False)


def merge_states(
    paths: Sequence[Path], metric: Metric | None = None, talk: Talk = SILENT
) -> EvaluationResult:
    """The result of all shards of an evaluation, from their state files.

    UsageError where they were counted with another ``metric``.
    """
    if not paths:
        raise UsageError("no state file is named to merge.")
    state = evaluate_state.merged(paths)
    if state.question.metric != ("" if metric is None else metric.source.digest):
        said = "without a metric" if not state.question.metric else "with another metric"
        raise UsageError(
            f"{paths[0]} was counted {said}, which is not that of this command.",
            "merge with the --metric and --annotations of the shards",
        )
    return _told(state, metric, None, talk)


def _told(
    state: State, metric: Metric | None, options: EvaluateOptions | None, talk: Talk
) -> EvaluationResult:
    """The result of a finished state, and what is to be said of it; no options: of shards."""
    found = result_of(state, metric)
    first, *rest = found.models
    others = [(row.model, row.sqnr_db, row.agreed_percent) for row in rest]
    warn_of_strangers(first.model, others, talk)
    if first.top1 is not None:
        warn_of_chance(first.model, first.top1, found.labelled, state.tally.classes, options, talk)
    return found


def default_workers() -> int:
    """The processors that this process may use."""
    from knightlite.inference import available_cores

    return available_cores()


def result_of(state: State, metric: Metric | None = None) -> EvaluationResult:
    """Figures of the sums."""
    tally = state.tally
    models = tuple(
        _measured(_score(tally, place, name, kind), tally, place, metric)
        for place, (name, kind, _) in enumerate(state.question.models)
    )
    return EvaluationResult(
        tally.pictures, tally.labelled, state.question.scores, state.shard, models,
        None if metric is None else metric.name,
    )  # fmt: skip


def _measured(row: ModelScore, tally: Tally, place: int, metric: Metric | None) -> ModelScore:
    """The row with the data's own measure."""
    if metric is None:
        return row
    if not place:
        return replace(row, metric=metric.total(tally.measured(0)))
    found = metric.difference(tally.measured(0), tally.measured(place))
    return replace(
        row, metric=found.second, metric_drop=found.drop,
        metric_low=found.low, metric_high=found.high,
    )  # fmt: skip


def _score(tally: Tally, place: int, name: str, kind: str) -> ModelScore:
    paired = tally.paired(place) if place else None
    low, high = paired.interval if paired else (None, None)
    return ModelScore(
        model=name,
        kind=kind,
        top1=_percent(tally.top1[place], tally.labelled),
        # of no more classes each is among the best five
        top5=_percent(tally.top5[place], tally.labelled) if tally.classes > TOP else None,
        drop=paired.drop if paired else None,
        interval_low=low,
        interval_high=high,
        lost=paired.lost if paired else None,
        won=paired.won if paired else None,
        agreed_percent=_percent(tally.agreed[place], tally.pictures) if place else None,
        sqnr_db=tally.sqnr_db(place) if place else None,
        exact=tally.exact(place),
        compared_bytes=tally.compared[place] or None,
        differing_bytes=tally.differing[place] if tally.compared[place] else None,
    )


def _percent(part: int, whole: int) -> float | None:
    return 100 * part / whole if whole else None


def _paths(options: EvaluateOptions, talk: Talk) -> tuple[Path, ...]:
    """The models as named, or everything that quant and compile left here last."""
    space = workspace.open_workspace(options.directory)
    if options.models:
        resolved = [workspace.resolve(space, path) for path in options.models]
        for _, sentence in resolved:
            if sentence:
                talk.say(sentence)
        return tuple(path for path, _ in resolved)
    if not any(item.stage == "quant" for item in space.records):
        raise UsageError(
            f"no model is named, and {workspace.unrecorded(space, 'quant')}.",
            f"name the models, or run `{workspace.QUANT}` here first",
        )
    compiled = [
        workspace.latest(space, "compile", key)
        for key in ("golden", "cfg")
        if any(item.stage == "compile" for item in space.records)
    ]
    quantized = None
    if compiled and "onnx" in compiled[0].record.sources:
        digest = compiled[0].record.sources["onnx"].sha256
        quantized = workspace.of_content(space, "quant", "onnx", digest)
    quantized = quantized or workspace.latest(space, "quant", "onnx")
    found: list[tuple[Path | None, str]] = [
        (_float_model(quantized, talk), ""),
        (quantized.path, quantized.sentence),
    ]
    found += [(taken.path, taken.sentence) for taken in compiled]
    for path, sentence in found:
        if path is not None and sentence:
            talk.say(sentence)
    return tuple(path for path, _ in found if path is not None)


def _warn_of_other_networks(sources: Sequence[Source], talk: Talk) -> None:
    """Say of each compiled network beside quantized ones that it was made from none of them."""
    from knightlite.frontend.model_kind import ModelKind

    quantized = {item.sha256: item.path for item in sources if item.kind == ModelKind.QDQ.value}
    for item in sources:
        if quantized and item.made_from and item.made_from not in quantized:
            names = ", ".join(str(path) for path in quantized.values())
            talk.warn(
                f"{item.path} was not compiled from {names}. Hint: `knightlite compile --onnx "
                f"{next(iter(quantized.values()))}` does it, or name the files that belong together"
            )


def _float_model(quantized: workspace.Found, talk: Talk) -> Path | None:
    """The model that quant read, or what it wrote of it; None, which is said, where it is gone."""
    record = quantized.record
    if "float_onnx" in record.files:
        written = Path(record.files["float_onnx"].path)
        path = quantized.path.parent / written.name
    else:  # it was an .onnx file here, which quant does not write over
        path = Path(str(record.options.get("model")))
    wanted = record.files.get("float_onnx")
    digest = wanted.sha256 if wanted is not None else _noted_hash(quantized.path)
    if not path.is_file() or workspace.sha256_of(path) != digest:
        what = "has changed since quant read it" if path.is_file() else "is not here any more"
        talk.warn(
            f"the float model {path} {what}: it is left out. Hint: name it first, before the "
            "others, or run quant again"
        )
        return None
    talk.say(f"{path} is taken: {quantized.path.name} was made from it.")
    return path


def _noted_hash(quantized: Path) -> str | None:
    """SHA-256 of the model that an ``X_quantize.onnx`` was made from, as it notes."""
    notes = notes_of(quantized)
    return None if notes is None else notes.model_sha256


def _job(probe: Job, forms: Sequence[Form], options: EvaluateOptions, talk: Talk) -> Job:
    """The job with what only the opened models tell."""
    known = [form.input_shape for form in forms if all(form.input_shape)]
    for form in forms:
        if not all(form.input_shape) and not known:
            raise UsageError(
                f"the size of the pictures that {form.source.path} reads is open.",
                open_shapes_hint([(1, *form.input_shape)]),
            )
    softmax = {form.softmax for form in forms}
    if len(softmax) > 1:
        without = next(form for form in forms if not form.softmax)
        talk.warn(
            f"{without.source.path.name} does not deliver what its Softmax reads, or has none: "
            "the final outputs are compared, whose SQNR says less than that of logits. Hint: go by "
            "`same %`, and by top-1 where classes are known"
        )
    recipe = _recipe(forms, options)
    others = [form for form in forms if form.recipe not in (None, recipe)]
    if options.recipe is not None and others:
        agreed = _only(form.recipe for form in forms) is not None
        hint = LEAVE_OUT if agreed else "the models have several"
        told = another_recipe(recipe, others[0].recipe, others[0].source.path.name, hint)
        if told is not None:
            talk.warn(told)
    return replace(
        probe,
        shapes=tuple(form.input_shape if all(form.input_shape) else known[0] for form in forms),
        recipe=recipe,
        logits=softmax == {True},
    )


def _recipe(forms: Sequence[Form], options: EvaluateOptions) -> str:
    """TOML text: as named, or the one that the models agree on; "" for frames."""
    from knightlite.preprocess import list_recipes, load_recipe

    if holds_frames(options.folder):
        if options.recipe is not None:
            raise UsageError(
                f"the frames of {options.folder} are as the network reads them: --recipe, which "
                "prepares pictures, is unused."
            )
        return ""
    if options.recipe is not None:
        return load_recipe(options.recipe).text
    stored = {form.recipe for form in forms if form.recipe is not None}
    if len(stored) != 1:
        why = "hold no recipe" if not stored else f"hold {len(stored)} different recipes"
        raise UsageError(
            f"the models {why}, and none is named.",
            f"--recipe with one of {', '.join(list_recipes())}, or a recipe file of your own",
        )
    return stored.pop()


def _only(recipes: Iterable[str | None]) -> str | None:
    """The recipe that all models which have one agree on."""
    stored = {recipe for recipe in recipes if recipe is not None}
    return stored.pop() if len(stored) == 1 else None


def _pictures(
    options: EvaluateOptions, recipe: str | None, talk: Talk
) -> tuple[tuple[Picture, ...], int | None]:
    """The pictures with their classes, in sorted order, or a seeded sample of them.

    ``recipe``: that of the models, for who feeds pixels. Beside them how many folders of classes
    there are: None where there are none.
    """
    from knightlite.preprocess import class_places, is_picture, list_pictures, sample_pictures

    if holds_frames(options.folder):
        frames = _frames(options, recipe)
        _say_fewer(options, len(frames), "frames", talk)
        return frames, None
    if options.folder.is_file() and not is_picture(options.folder):
        raise not_there("picture folder", options.folder, FRAMES_HINT, folder=True)
    if options.count is None:
        folder = list_pictures(options.folder)
        samples = folder.samples
    else:
        folder, samples = sample_pictures(options.folder, options.count, options.seed)
    for told in (folder.remark, folder.too_high, folder.misordered(options.labels)):
        if told:
            talk.warn(told)
    _say_fewer(options, len(samples), "pictures", talk)
    places = class_places(folder, options.labels)
    if not folder.classes and options.metric is None:
        talk.warn(
            f"{options.folder} has no folders of classes: no top-1, only agreement and SQNR. "
            "One sub-folder per class gives it."
        )
    pictures = tuple(
        Picture(item.path, None if item.label is None else places[item.label], number=number)
        for number, item in enumerate(samples)
    )
    return pictures, len(folder.classes) or None


def _say_fewer(options: EvaluateOptions, found: int, what: str, talk: Talk) -> None:
    """That there are fewer than were asked for."""
    if options.count is not None and found < options.count:
        talk.say(
            f"{found} {what} of {options.folder} (all there are; {options.count} were asked for)"
        )


def _frames(options: EvaluateOptions, recipe: str | None) -> tuple[Picture, ...]:
    """Those of a ``.npy`` file in their order, or a seeded sample of them."""
    labels = classes_of(options.folder, options.labels, recipe)
    chosen = range(len(labels))
    if options.count is not None:  # a stream that is frozen, as for pictures
        order = np.random.RandomState(options.seed).permutation(len(labels))
        chosen = order[: options.count].tolist()
    return tuple(
        Picture(options.folder, labels[place], place, number) for number, place in enumerate(chosen)
    )


def names_of(paths: Sequence[Path]) -> list[str]:
    """What tells files apart: the name, of those that share it as much of the path as it takes."""
    names = [path.name for path in paths]
    for place, path in enumerate(paths):
        others = [other for other in paths if other != path and other.name == path.name]
        parts = 1
        while parts < len(path.parts) and any(
            other.parts[-parts:] == path.parts[-parts:] for other in others
        ):
            parts += 1
        names[place] = str(Path(*path.parts[-parts:]))
    return names


def _question(job: Job, options: EvaluateOptions, pictures: Sequence[Picture]) -> Question:
    names = [(_place(picture, options.folder), picture.label) for picture in pictures]
    called = names_of([item.path for item in job.sources])
    return Question(
        tuple(
            (name, item.kind, digest([item.sha256]))
            for name, item in zip(called, job.sources, strict=True)
        ),
        digest(names),
        len(pictures),
        digest([job.recipe, job.input_shapes]),
        "logits" if job.logits else "outputs",
        job.check,
        "" if job.metric is None else job.metric.digest,
    )


def _place(picture: Picture, folder: Path) -> str:
    """The file below its folder, or the number of a frame."""
    if picture.frame is not None:
        return str(picture.frame)
    return picture.path.relative_to(folder).as_posix()


def _stamp(picture: Picture) -> tuple[str, int, int]:
    if picture.frame is not None:
        return digest_of(picture.path, picture.frame), picture.frame, 0
    found = picture.path.stat()
    return picture.path.name, found.st_size, found.st_mtime_ns


def _resumed(fresh: State, path: Path | None, talk: Talk) -> State:
    """What the state file holds where it answers the same question; else ``fresh``.

    That of another question is kept aside, and taken up when that one is asked again.
    """
    if path is None or not path.exists():
        return fresh
    try:
        old = evaluate_state.read(path)
    except KnightliteError as error:
        talk.warn(
            f"{error.sentence} The evaluation starts from the first picture. Hint: --state FILE "
            "names another file"
        )
        return fresh
    what = fresh.question.difference(old.question)
    if not what and old.shard != fresh.shard:
        what = "the shard"
    if not what and (old.stamp, old.total) != (fresh.stamp, fresh.total):
        what = "the files of the pictures"
    if what:
        kept = evaluate_state.aside(old, path)
        evaluate_state.save(old, kept)
        own = evaluate_state.aside(fresh, path)
        then = f"goes on from {own}" if own.exists() else "starts from the first picture"
        talk.warn(
            f"{path} is of another evaluation, which differs in {what}: it is kept as {kept}, and "
            f"this one {then}. Hint: --state FILE gives each a file of its own"
        )
        return _resumed(fresh, own, talk)
    done = f"{path} holds {old.tally.pictures} of {old.total} pictures of an earlier run"
    rest = "all of them, and none is run again" if old.finished else "this one goes on from there"
    talk.say(f"{done}: {rest}. Without the file it begins anew.")
    return old


def _run(
    job: Job,
    pictures: Sequence[Picture],
    state: State,
    options: EvaluateOptions,
    talk: Talk,
    metric: Metric | None,
) -> State:
    """Count what is left; the state is kept every SAVE_EVERY pictures and whatever happens."""
    saved = state.tally.pictures
    left = pictures[saved:]

    def keep() -> None:
        nonlocal saved
        if options.state is not None and saved != state.tally.pictures:
            evaluate_state.save(state, options.state)
            saved = state.tally.pictures

    try:
        for tally in tallies(job, left, options.workers or default_workers(), metric):
            state = replace(state, tally=state.tally + tally)
            talk.advance("pictures", state.tally.pictures, state.total)
            if state.tally.pictures - saved >= SAVE_EVERY:
                keep()
    except KeyboardInterrupt:
        keep()
        if options.state is not None and saved:
            talk.say(
                f"{saved} of {state.total} pictures are kept in {options.state}: the same command "
                "goes on from there."
            )
        raise
    finally:
        keep()
    return state
