"""Limits that only a stub of what is around a function shows, as in ``limit_rows``."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import SimpleNamespace as Made
from typing import Any
from unittest.mock import MagicMock, patch

import numpy as np

from knightlite import dtypes
from knightlite.api import diagnosis as api_diagnosis
from knightlite.api.evaluation import engine
from knightlite.api.inspection import compiled_files
from knightlite.api.simulation import build, order, session
from knightlite.api.simulation.fed import another_recipe
from knightlite.diagnosis import measured
from knightlite.frontend import carrying, decompose, endings, host, paddle_forms, qdq
from knightlite.metrics import detection
from knightlite.ops import pad
from knightlite.preprocess import ImageFolder, Sample, load_recipe, parse_recipe
from knightlite.quantize.data import PictureFolder
from knightlite.quantize.mixed import auto_mix
from knightlite.quantize.statistics import distribution_cache
from knightlite.quantize.steps import equalizing, improvement, output_scales
from limit_rows import Rows, node, written
from limit_rows_machine import single
from onnx_nets import Net

explained: Any = importlib.import_module("knightlite.schedule.explained")

# ------------------------------------------------------------------ commands


def labelled(*sizes: int) -> object:
    forms = tuple(Made(source=Made(path=Path(f"{size}.onnx"))) for size in sizes)
    bench = Made(job=Made(classes=None, from_one=None), forms=forms, metric=None)
    scores = [np.zeros(size) for size in sizes]
    return engine.Bench._label(bench, scores, Made(label=None, name="p"))  # type: ignore[arg-type]


def inspected(folder: Path, magic: bytes) -> object:
    return compiled_files.inspect_file(written(folder, magic))


def known_answer(size: int) -> object:
    """A network of an input of four bytes, and so many in the file."""
    entry = Made(name="x", shape=(1, 1, 2, 2), dtype=Made(numpy=np.dtype(np.uint8)))
    binary = Made(program=Made(meta=Made(inputs=(entry,))), target=lambda chip: None)
    golden = Made(compare=lambda *parts: (0, 0, ()))
    with (
        patch.object(build, "find_binary", lambda *parts: binary),
        patch.object(build, "golden_reference", lambda *parts: golden),
        patch.object(build, "read_bytes", lambda path: bytes(size)),
        patch.object(build, "open_simulator", MagicMock()),
    ):
        return build.check_model(Path("c"), Path("w"), Path("known.bin"))


def fed(*names: str) -> object:
    meta = Made(inputs=(Made(name="a"),), declared_inputs=("a", "b"), recipe=None)
    network = Made(meta=meta)
    with patch.object(session, "_fed", lambda values, entry, recipe: np.zeros((1, 2))):
        return session.CompiledNetwork._frames(network, dict.fromkeys(names))  # type: ignore[arg-type]


def one_of(count: int, *shape: int) -> object:
    work = Made(outputs=("y",))
    return measured.MeasuredWorkload._of_one(work, [np.zeros(shape)], 0, count)  # type: ignore[arg-type]


def mean_precision(found: float) -> object:
    pycocotools = MagicMock()
    pycocotools.COCOeval.return_value.stats = [found]
    names = {"pycocotools.coco": pycocotools, "pycocotools.cocoeval": pycocotools}
    metric = Made(_annotations=Made(content={}, path="instances.json"))
    with patch.dict(sys.modules, names):
        rows = [{"found": [{}], "image": 1}]
        return detection.CocoMap.total(metric, rows)  # type: ignore[arg-type]


def tells(pictures: int) -> object:
    """So many pictures are asked for, of a folder of twelve."""
    work = MagicMock(spec=PictureFolder)
    work.folder = Made(samples=[None] * 12)
    options = Made(batch_size=4, data="calib")
    return api_diagnosis._more_pictures(work, options)(pictures)  # type: ignore[arg-type]


def laid_out(*paths: str) -> ImageFolder:
    """A folder with a picture at each path, which begins with its class."""
    root = Path("data")
    names = tuple(sorted({path.split("/")[0] for path in paths}))
    samples = tuple(Sample(root / path, names.index(path.split("/")[0])) for path in paths)
    return ImageFolder(root, names, samples)


def ordered(planar: float, codes: tuple[float, float] = (1.0, 1.0)) -> object:
    """What is said of an order whose rows differ so many times as much as in the other one."""
    told = [*codes, planar, 1.0, 1.0, 1.0]
    frame = np.zeros((1, 3, 32, 32), np.int8)
    with patch.object(order, "_apart", side_effect=told):
        return order.order_remark([frame], "x", "nchw")


def recipe(text: str) -> object:
    return parse_recipe(load_recipe("digits").text + text, "mine").text[:0]


COMMANDS: Rows = {
    "api/simulation/fed.py:another_recipe": (
        (lambda f: another_recipe("a", "b"), "the recipe is not the one that the model was"),
        (lambda f: another_recipe("a", "a"), ""),
        (lambda f: another_recipe(None, "b"), ""),
        (lambda f: another_recipe("a", None), ""),
    ),
    "api/simulation/order.py:order_remark": (
        (lambda f: ordered(1.1), ""),
        (lambda f: ordered(1.11), "in the order NHWC"),
        (lambda f: ordered(1.0, (0.95, 1.0)), ""),
        (lambda f: ordered(1.0, (0.94, 1.0)), "look like pixels 0 to 255"),
    ),
    "preprocess/folder.py:ImageFolder.misordered": (
        (lambda f: laid_out("9/a", "10/a").misordered(None), "score 0 is taken for folder 10."),
        (lambda f: laid_out("9/a", "10/a").misordered(Path("labels.txt")), ""),
        (lambda f: laid_out("9/a", "10/a", "b/a").misordered(None), ""),
        (lambda f: laid_out("8/a", "9/a").misordered(None), ""),
    ),
    "preprocess/folder.py:ImageFolder.too_high": (
        (lambda f: laid_out("a/x/1", "a/y/1", "b/x/1", "b/y/1").too_high, "folders x, y:"),
        (lambda f: laid_out("a/x/1", "a/y/1", "b/x/1").too_high, ""),
        (lambda f: laid_out("a/x", "a/y", "b/x", "b/y").too_high, ""),
    ),
    "preprocess/recipe.py:parse_recipe": (
        (lambda f: recipe(""), ""),
        (lambda f: recipe("blur = 1\n"), "mine is not a usable recipe: key blur is not known."),
        (lambda f: recipe("blur = 1\nmore = 1\n"), "recipe, for 2 reasons."),
    ),
    "api/diagnosis.py:_more_pictures.clause": (
        (lambda f: tells(12), "about 12 pictures may tell, with -i 3"),
        (lambda f: tells(13), "calib has 12: name more with -d DIR -i 4"),
    ),
    "api/evaluation/engine.py:Bench._label": (
        (lambda f: labelled(3, 3), ""),
        (lambda f: labelled(3, 4), "equally many scores, not 3 of 3.onnx, 4 of 4.onnx."),
    ),
    "api/inspection/compiled_files.py:inspect_file": (
        (lambda f: inspected(f, b"KLITECFG"), "is truncated: 8 bytes."),
        (lambda f: inspected(f, b"KLITEWGT"), "is truncated: 8 bytes."),
        (lambda f: inspected(f, b"KLITEXXX"), "is a text, neither a .cfg, a .weight nor a "),
    ),
    "api/simulation/build.py:check_model": (
        (lambda f: known_answer(4), ""),
        (lambda f: known_answer(3), "known.bin is too short."),
    ),
    "api/simulation/session.py:CompiledNetwork._frames": (
        (lambda f: fed("a"), ""),
        (lambda f: fed("a", "b"), ""),
        (lambda f: fed("b"), "must have the inputs a, not b."),
        (lambda f: fed("a", "c"), "must have the inputs a, not a, c."),
    ),
    "diagnosis/measured.py:MeasuredWorkload._of_one": (
        (lambda f: one_of(1, 3), ""),
        (lambda f: one_of(2, 2), ""),
        (lambda f: one_of(2), "does not tell which of 2 pictures"),
        (lambda f: one_of(2, 3), "does not tell which of 2 pictures"),
    ),
    "metrics/detection.py:CocoMap.total": (
        (lambda f: mean_precision(0.0), ""),
        (lambda f: mean_precision(-1.0), "annotates no box in these pictures"),
        (lambda f: mean_precision(float("nan")), "annotates no box in these pictures"),
    ),
}  # fmt: skip

# ------------------------------------------------------------------ what Paddle's programs say


def form(rule: Any, *shapes: tuple[int, ...], **attributes: Any) -> object:
    """A rule's answer for an operator whose tensors have these shapes, in the order it asks."""
    block, asked = MagicMock(), iter(shapes)
    seen: dict[str, tuple[int, ...]] = {}
    block.shape = lambda name: seen.setdefault(str(name), next(asked, ())) or (1,) * 6
    operator = Made(
        get=lambda name, other: attributes.get(name, other),
        input=lambda name="X": f"input {name}",
        output=lambda name="Out": f"output {name}",
        kind="k",
    )
    return rule(block, operator)


def pooled(rows: int, columns: int) -> object:
    return form(paddle_forms._adaptive_pool, (1, 3, rows, columns), adaptive=True, ksize=(1, 2))


def same(size: int) -> object:
    shapes = (1, 3, size, 4), (3, 3, 3, 3)
    return form(paddle_forms._convolution, *shapes, dilations=(2, 2), padding_algorithm="SAME")


def grown(size: int, wanted: int) -> object:
    """Of a kernel of 3 at stride 2: 2 n + 1, and 2 n + 2 by padding."""
    shapes = (1, 3, size, size), (1, 3, wanted, wanted), (3, 3, 3, 3)
    rule = paddle_forms._transposed_convolution
    return form(rule, *shapes, output_size=(9, 9), strides=(2, 2))


def circular(size: int, begin: int, end: int) -> object:
    pads = [0, 0, begin, end]
    return form(paddle_forms._pad, (1, 3, size, 9), mode="circular", paddings=pads)


def unshuffled(rows: int) -> object:
    return form(paddle_forms._pixel_unshuffle, (1, 4, rows, 8), downscale_factor=1)


KNOWN = "must read a picture of a known size"
PADDLE: Rows = {
    "frontend/paddle_forms.py:_adaptive_pool": (
        (lambda f: pooled(1, 4), ""),
        (lambda f: pooled(0, 4), KNOWN),
    ),
    "frontend/paddle_forms.py:_convolution": (
        (lambda f: same(1), ""),
        (lambda f: same(0), KNOWN),
    ),
    "frontend/paddle_forms.py:_transposed_convolution": (
        (lambda f: grown(1, 3), ""),
        (lambda f: grown(1, 4), ""),
        (lambda f: grown(1, 2), "needs output padding of [-1, -1]"),
        (lambda f: grown(1, 5), "needs output padding of [2, 2]"),
        (lambda f: grown(0, 1), KNOWN),
        (lambda f: grown(1, 0), KNOWN),
    ),
    "frontend/paddle_forms.py:_pad": (
        (lambda f: circular(3, 3, 0), ""),
        (lambda f: circular(3, 0, 3), ""),
        (lambda f: circular(3, 4, 0), "circular padding by 4"),
        (lambda f: circular(3, 0, 4), "circular padding by 4"),
        (lambda f: circular(0, 0, 0), "circular padding by 0"),
    ),
    "frontend/paddle_forms.py:_pixel_unshuffle": (
        (lambda f: unshuffled(1), ""),
        (lambda f: unshuffled(0), KNOWN),
    ),
}  # fmt: skip

# ------------------------------------------------------------------ operands that may be absent


def hosted(folder: Path, op: str, *constants: Any, **attributes: Any) -> object:
    """An operator behind one that runs on the host, so that it does too."""
    net = Net()
    net.conv(net.input("x", (1, 4, 5, 6)), "c", (4, 4, 1, 1))
    net.node("Hardmax", ["c"], "best", axis=1)
    names = [net.weight(f"k{at}", np.asarray(item)) for at, item in enumerate(constants)]
    net.node(op, ["best", *names], "y", **attributes)
    return refusal(folder, net)


def on_host(handler: Any, given: Any) -> object:
    """A handler's answer for a node of features x, a constant k and something else, z."""
    model = Made(constants={"k": np.array([2])}, shapes={})
    state = Made(seen=lambda name: (1, 4, 5, 6), model=model)
    with patch.multiple(
        host, append=MagicMock(), source_of=MagicMock(), _with_operands=MagicMock()
    ):
        return handler(state, given)


def refusal(folder: Path, net: Net, general: bool = True) -> str:
    from knightlite.frontend import load

    try:
        load(net.save(folder, "y"), general=general)
    except Exception as error:
        return " ".join(map(str, getattr(error, "findings", ()))) or str(error)
    return ""


def reduced(*seen: int) -> None:
    """The axes of features of this shape, made from [1, 4, 5, 6]."""
    state = Made(seen=lambda name: seen, shape=lambda name: (1, 4, 5, 6), by_channel=lambda x: True)
    decompose._seen_axes(state, node("ReduceMean", "x"))  # type: ignore[arg-type]


def behind_the_host(folder: Path, op: str, **attributes: Any) -> object:
    """An operator that reads what the host makes, where nobody asked for -gp."""
    net = Net()
    net.conv(net.input("x", (1, 4, 5, 6)), "c", (4, 4, 1, 1))
    net.node("ArgMax", ["c"], "best", axis=1)
    net.node(op, ["best"], "y", **attributes)
    return refusal(folder, net, general=False)


def soft_last(axis: int) -> object:
    """A Softmax of before opset 13, over all axes from ``axis`` on, of a picture channels last."""
    view = Made(seen=(1, 5, 6, 4), reader="Softmax s", axis=lambda axis: 1)
    state = Made(model=Made(opset=12))
    return carrying._softmax(state, node("Softmax", "x", axis=axis), view)  # type: ignore[arg-type]


def cut_before(kept_macs: int) -> object:
    """A network of 100 multiply-accumulates, so many of them in front of what is not supported."""
    first, last = (
        Made(name=name, inputs=(source,), outputs=(made,))
        for name, source, made in (("a", "x", "t"), ("b", "t", "y"))
    )
    model = Made(nodes=[first, last], outputs=("y",), inputs=("x",), name="m")
    shorter = Made(nodes=[first], outputs=("t",))
    macs = {"a": kept_macs, "b": 100 - kept_macs}
    with (
        patch.object(endings, "cut", lambda *parts: shorter),
        patch.object(endings, "node_macs", lambda model, item: macs[item.name]),
    ):
        return endings._cut(model, [last], lambda *parts: True)  # type: ignore[arg-type, list-item]


def bias_scale(x_scale: Any, scale: float) -> object:
    """What is wrong with a depthwise convolution of two channels; its bias has this scale.

    0: it has none.
    """
    scales = (np.asarray(x_scale), np.array([0.5, 0.5]), np.array([scale, scale]))
    types = (dtypes.U8, dtypes.S8, dtypes.S32)
    tensors = {
        "x": Made(per_channel=scales[0].ndim > 0, scale=scales[0], shape=(1, 2, 4, 4)),
    }
    view = Made(
        node=Made(inputs=("x", "w", "b") if scale else ("x", "w"), output="y"),
        graph=Made(tensors={**tensors, "w": None, "b": None}, constants={"w": 0, "b": 0}),
        output=Made(per_channel=False),
        tensor=lambda place: Made(dtype=types[: 3 if scale else 2][place], scale=scales[place]),
        scale=lambda place: scales[place],
    )
    operator = Made(per_channel_output=False, per_channel_input=True, kernel=True)
    return " ".join(qdq._scales(view, operator))  # type: ignore[arg-type]


FIRST, LAST, ROWS_AXIS = np.array([0]), np.array([3]), np.array([2])
OPERANDS: Rows = {
    "frontend/decompose.py:_axes": (
        (lambda f: single(f, "ReduceMean", axes=[2, 3]), ""),
        (lambda f: single(f, "ReduceSum", np.array([2, 3])), ""),
    ),
    "frontend/carrying.py:_softmax": (
        (lambda f: soft_last(3), ""),
        (lambda f: soft_last(2), "must run over one axis"),
    ),
    "frontend/endings.py:_cut": (
        (lambda f: cut_before(90), "-on t ends the network in front of it, with 90 %"),
        (lambda f: cut_before(89), ""),
    ),
    "frontend/qdq.py:_scales": (
        (lambda f: bias_scale(0.5, 0.25), ""),
        (lambda f: bias_scale(0.5, 0), ""),
        (lambda f: bias_scale(0.5, 0.2), "the bias scale must be input scale * weight scale"),
        (lambda f: bias_scale([0.5, 0.5], 0.25), ""),
        (lambda f: bias_scale([0.5, 0.5], 0.2), "the bias scale must be input scale"),
        (lambda f: bias_scale([0.5], 0.25), "input x must have 2 scales, not 1"),
    ),
    "frontend/canonical.py:_dispatch": (
        (lambda f: behind_the_host(f, "ArgMax", axis=2), ""),
        (lambda f: behind_the_host(f, "Identity"), ""),
        (lambda f: behind_the_host(f, "ReduceMean", axes=[2]), "it would have to run there too"),
    ),
    "frontend/decompose.py:_seen_axes": (
        (lambda f: reduced(1, 4), ""),
        (lambda f: reduced(1, 4, 30), ""),
        (lambda f: reduced(1, 4, 29), "must read [N, C, H, W] features"),
    ),
    "frontend/host.py:_clip": (
        (lambda f: hosted(f, "Clip", np.float32(0)), ""),
        (lambda f: hosted(f, "Clip", np.float32(0), np.float32(1)), ""),
    ),
    "frontend/host.py:_reduce": (
        (lambda f: on_host(host._reduce, node("ReduceMean", "x", axes=[2])), ""),
        (lambda f: on_host(host._reduce, node("ReduceSum", "x", "k")), ""),
        (lambda f: on_host(host._reduce, node("ReduceSum", "x", "z")), "must have constant axes"),
    ),
    "frontend/host.py:_slice": (
        (lambda f: hosted(f, "Slice", FIRST, LAST), ""),
        (lambda f: hosted(f, "Slice", FIRST, LAST, ROWS_AXIS), ""),
    ),
    "frontend/host.py:_same": (
        (lambda f: on_host(host._same, node("Max", "x", "k")), ""),
        (lambda f: on_host(host._same, node("Max", "x", "k", "k")),
         "must have two operands on the host"),
    ),
    "frontend/views.py:same": (
        (lambda f: single(f, "Dropout", np.float32(0.5)), ""),
        (lambda f: single(f, "Dropout", np.float32(0.5), np.array(False)), ""),
        (lambda f: single(f, "Dropout", np.float32(0.5), np.array(True)),
         "must be in inference form"),
    ),
    "ops/pad.py:_check_amounts": (
        (lambda f: padded(0, 0), ""),
        (lambda f: padded(-1, 0), "pads must not cut"),
        (lambda f: padded(0, -1), "pads must not cut"),
    ),
    "ops/softmax.py:from_onnx": (
        (lambda f: single(f, "Softmax", opset=13, axis=1), ""),
        (lambda f: single(f, "Softmax", opset=13, axis=2), "must run over channels"),
        (lambda f: single(f, "Softmax", opset=12, axis=1), "must run over channels"),
        (lambda f: single(f, "Softmax", opset=12, axis=1, shape=(1, 4, 1, 1)), ""),
    ),
}  # fmt: skip


def padded(begin: int, end: int) -> object:
    with patch.object(pad, "amounts", lambda view: ((0, begin, 0), (0, 0, end))):
        return pad._check_amounts(MagicMock())


# ------------------------------------------------------------------ quantizing and scheduling


def share(value: float) -> object:
    basis = Made(graph=None, settings=Made(auto_mix=("mse", value)))
    with (
        patch.object(auto_mix, "STRATEGIES", ("mse",)),
        patch.object(auto_mix, "assign", side_effect=ValueError("it goes on")),
    ):
        return auto_mix.automatic_mix(basis, MagicMock(), (), None)  # type: ignore[arg-type]


def unpacked(*keys: str) -> object:
    notes = {**dict.fromkeys(keys), "key": {"version": 0}}
    arrays = {"notes": np.zeros(1)}
    with (
        patch.object(distribution_cache, "read_arrays", lambda data: dict(arrays)),
        patch.object(distribution_cache, "json_value", lambda data: notes),
    ):
        return distribution_cache._unpack(Made(data=b"", name="c"))  # type: ignore[arg-type]


def few(step: Any, pictures: int, affordable: int = 99) -> object:
    """What is said where all is asked for and affordable, of so many pictures."""
    with (
        patch.object(equalizing, "_asked", lambda *parts: True),
        patch.object(equalizing, "_affordable", lambda *parts: affordable),
        patch.object(equalizing, "too_dear", lambda *parts: "it is too dear"),
        patch.object(improvement, "steps_of", lambda *parts: (Made(name="a step"),)),
        patch.object(improvement, "_affords", lambda *parts: True),
        patch.object(output_scales, "asked", lambda *parts: True),
        patch.object(output_scales, "affordable", lambda *parts: True),
    ):
        if step is improvement.left_out:
            return step(MagicMock(), MagicMock(), pictures)
        return step(MagicMock(), MagicMock(), MagicMock(), pictures)


def passes(count: int) -> str:
    """How often data is asked for until so many pictures are there, of ten."""
    seen = MagicMock(give=MagicMock(return_value=[np.zeros(1)]))
    workload = Made(run=lambda forward: [forward((np.zeros(1),)) for _ in range(10)])
    with patch.object(equalizing, "checked", side_effect=lambda graph, inputs: inputs) as calls:
        equalizing.first_pictures(seen, workload, count)
    return str(calls.call_count)


def spilled(size: int, others: int) -> object:
    """Why a tensor of so many bytes left FSPM of 100."""
    buffer = Made(delivered=False, first=0, last=0, name="t")
    layer = Made(y=Made(buffer="t"), engine=1, node=Made(name="n"))
    network = Made(buffers={"t": buffer}, chip=Made(fspm_bytes=100), layers=[layer],
                   loaded_as_weights={})  # fmt: skip
    laid = Made(steps=[Made(layer=0, x=None, z=None, y=None)], live=[others])
    return explained._why_spilled(Made(network=network, laid=laid), layer, size)


def walked(layers: int) -> object:
    named = [Made(node=Made(name=f"n{at}")) for at in range(3)]
    region = Made(tiling=None, first=0, last=layers, bands=1)
    return explained._walked(Made(layers=named), region, MagicMock(), [])


def bordered(bands: int) -> object:
    named = [Made(node=Made(name=f"n{at}"), engine=1) for at in range(3)]
    region = Made(first=0, last=2, bands=bands)
    with patch.object(explained, "joins", lambda *parts: True):
        return " ".join(explained._border(Made(layers=named, borders=()), region))


NOT_TRIED = "not tried, which takes 16 pictures or more"
KEYS = ("key", "digest", "metric", "pictures", "tensors")
QUANTIZERS: Rows = {
    "quantize/mixed/auto_mix.py:automatic_mix": (
        (lambda f: share(0), "it goes on"),
        (lambda f: share(1), "it goes on"),
        (lambda f: share(-1e-9), "must be from 0 to 1, not -1e-09."),
        (lambda f: share(1.001), "must be from 0 to 1, not 1.001."),
    ),
    "quantize/statistics/distribution_cache.py:_unpack": (
        (lambda f: unpacked(*KEYS), ""),
        *((lambda f, left=left: unpacked(*({*KEYS} - {left})), "is not a distribution cache")
          for left in KEYS[1:]),
    ),
    "quantize/steps/equalizing.py:first_pictures.forward": (
        (lambda f: passes(3), "=3"),
    ),
    "quantize/steps/equalizing.py:equalization_left_out": (
        (lambda f: few(equalizing.equalization_left_out, 8), ""),
        (lambda f: few(equalizing.equalization_left_out, 7), "which takes 8 pictures or more"),
        (lambda f: few(equalizing.equalization_left_out, 99, 12), ""),
        (lambda f: few(equalizing.equalization_left_out, 99, 11), "it is too dear"),
    ),
    "quantize/steps/improvement.py:left_out": (
        (lambda f: few(improvement.left_out, 16), ""),
        (lambda f: few(improvement.left_out, 15), f"a step: {NOT_TRIED}"),
    ),
    "quantize/steps/output_scales.py:output_scales_left_out": (
        (lambda f: few(output_scales.output_scales_left_out, 16), ""),
        (lambda f: few(output_scales.output_scales_left_out, 15), NOT_TRIED),
    ),
    "schedule/explained.py:_why_spilled": (
        (lambda f: spilled(100, 0), "would do, but the estimates"),
        (lambda f: spilled(101, 0), "as whole it is 101 bytes and FSPM has 100."),
        (lambda f: spilled(60, 40), "would do, but the estimates"),
        (lambda f: spilled(60, 41), "101 of FSPM's 100 do not fit."),
    ),
    "schedule/explained.py:_walked": (
        (lambda f: walked(1), "walked as a whole, in one band."),
        (lambda f: walked(2), "walked with n0 .. n1."),
    ),
    "schedule/explained.py:_border": (
        (lambda f: bordered(1), ""),
        (lambda f: bordered(2), "2 layers in 2 bands cheaper than with one more"),
    ),
}  # fmt: skip

ROWS: Rows = {**COMMANDS, **PADDLE, **OPERANDS, **QUANTIZERS}
