"""``--metric``: the user's own measure and the ready ones, over forms of the digits and by hand."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import knightlite
from conftest import DIGITS
from knightlite.api.diagnosis import as_json
from knightlite.api.evaluation import EvaluationResult, evaluate_models
from knightlite.cli.program import run
from knightlite.errors import DataError, KnightliteError, UsageError
from knightlite.metrics import READY, Metric, Picture, metric_source, open_metric
from knightlite.metrics.annotations import read_annotations
from knightlite.metrics.detection import boxes_of
from knightlite.metrics.overlap import box_overlaps, matches, quad_overlaps
from knightlite.options.evaluate import EvaluateOptions

STEM = "digits_quantize"
FORMS = ("digits.onnx", f"{STEM}.onnx", f"{STEM}_golden.onnx", f"{STEM}_r.cfg")
TWO = tuple(map(Path, FORMS[:2]))
SQUARE = [4.0, 4.0, 28.0, 28.0]
PLUGIN = """
import numpy as np

def right(outputs, picture):
    (scores,) = outputs.values()
    assert scores.shape[0] == 1 and scores.dtype == np.float32 and picture.size == (32, 32)
    return float(scores.argmax() == picture.label)

def square(outputs, picture):
    (scores,) = outputs.values()
    return [[4, 4, 28, 28]], [0.9], [scores.argmax()]

class Spread:
    name = "spread"

    def picture(self, outputs, picture):
        (scores,) = outputs.values()
        return {"best": scores.max(), "file": picture.path.name}

    def total(self, values):
        return sum(value["best"] for value in values) / len(values)

def fails(outputs, picture):
    return {}["boxes"]

def nothing(outputs, picture):
    return None

def crooked(outputs, picture):
    return np.zeros((2, 3))

class Half:
    def picture(self, outputs, picture):
        return 1

def endless(outputs, picture):
    return float("nan")

listed = [1]
"""


@pytest.fixture
def data(here: Path) -> Path:
    """Eight pictures of four classes, two in the folder of another; where a square lies in each."""
    folder = here / "val"
    images: list[dict[str, Any]] = []
    marks: list[dict[str, Any]] = []
    for label in (1, 2, 3, 7):
        for path in sorted((DIGITS / "test" / str(label)).iterdir())[:2]:
            place = folder / str(5 if label == 3 else label) / f"{label}-{path.name}"
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, place)
            number = len(images)
            images.append({"id": number, "file_name": place.name})
            marks.append({"image_id": number, "category_id": 10 + int(place.parent.name),
                          "bbox": [4, 4, 24, 24], "area": 576, "id": number + 1,
                          "iscrowd": 0})  # fmt: skip
    for label in range(10):
        (folder / str(label)).mkdir(exist_ok=True)
    (here / "boxes.json").write_text(
        json.dumps(
            {"images": images, "annotations": marks,
             "categories": [{"id": 10 + label} for label in range(10)]}
        )
    )  # fmt: skip
    (here / "plugin.py").write_text(PLUGIN)
    return here


def evaluated(name: str, **changes: Any) -> EvaluationResult:
    asked = EvaluateOptions(
        data=Path("val"), models=tuple(map(Path, FORMS)), workers=1, metric=name
    )
    return evaluate_models(replace(asked, **changes))


def test_a_function_is_asked_of_every_picture_and_every_form(data: Path) -> None:
    """Beside top-1, which it counts again; the interval holds the drop."""
    found = evaluated("plugin.py:right")
    assert found.metric == "right"
    for row in found.models:
        assert row.top1 is not None
        assert row.metric == pytest.approx(row.top1 / 100)
    assert found.models[0].metric_drop is None
    for row in found.models[1:]:
        assert row.metric_low is not None
        assert row.metric_high is not None
        assert row.metric_drop is not None
        assert row.metric_low <= row.metric_drop <= row.metric_high


def test_workers_shards_and_stopped_runs_give_the_same(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = evaluated("plugin.py:Spread", models=TWO)
    assert plain.metric == "spread"
    assert plain.models[1].metric_low is None  # a picture gives no number
    for index in (1, 2):
        state = Path(f"{index}.json")
        evaluated("plugin.py:Spread", models=TWO, shard=(index, 2), state=state, workers=index)
    merged = evaluated("plugin.py:Spread", models=(Path("1.json"), Path("2.json")), merge=True)
    assert merged == plain
    assert run(["eval", "--merge", "1.json", "2.json"]) == 2
    assert "was counted with another metric" in capsys.readouterr().err


@pytest.mark.parametrize("ready", ["f1", "hmean"])
def test_boxes_against_annotations(data: Path, ready: str) -> None:
    """One square a picture: F1 is the share of right classes, hmean looks at the place alone."""
    found = evaluated(f"{ready}:plugin.py:square", annotations=Path("boxes.json"), models=TWO)
    for row in found.models:
        assert row.top1 is not None
        assert row.metric == pytest.approx(1.0 if ready == "hmean" else row.top1 / 100)
    assert found.metric == {"f1": "F1", "hmean": "hmean"}[ready]


def test_mean_average_precision(data: Path) -> None:
    pytest.importorskip("pycocotools", reason="the extra knightlite[detection] is not installed")
    found = evaluated("coco_map:plugin.py:square", annotations=Path("boxes.json"), models=TWO)
    assert found.metric == "mAP"
    first = found.models[0]
    assert first.metric is not None
    assert 0 < first.metric < 1  # the two of class 3 are annotated as 5
    right = {"1": 2, "2": 2, "7": 2, "5": 0}
    assert first.metric == pytest.approx(sum(right.values()) / 8, abs=0.01)


def test_without_pycocotools_one_sentence(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pycocotools", None)
    monkeypatch.setitem(__import__("sys").modules, "pycocotools.cocoeval", None)
    with pytest.raises(UsageError, match=r"^coco_map is counted by pycocotools, which is not"):
        evaluated("coco_map:plugin.py:square", annotations=Path("boxes.json"), models=TWO)


def test_folders_that_are_no_classes_are_no_fault(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As COCO's pictures lie in one folder; the table has the metric and its interval."""
    every = data / "flat" / "all"
    every.mkdir(parents=True)
    for path in Path("val").glob("*/*.png"):
        shutil.copy(path, every)
    words = ["eval", *FORMS[:2], "--data", "flat", "-j", "1", "--metric", "f1:plugin.py:square"]
    assert run([*words, "--annotations", "boxes.json"]) == 0
    table = capsys.readouterr().out
    assert "F1 95 % interval" in table
    assert "top-1" not in table
    assert "drop and dB are against digits.onnx" in table


def test_from_python_and_in_json(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = knightlite.evaluate(
        FORMS[:2], "val", metric="f1:plugin.py:square", annotations="boxes.json"
    )
    words = ["eval", *FORMS[:2], "--data", "val", "-j", "1", "--json"]
    assert run([*words, "--metric", "f1:plugin.py:square", "--annotations", "boxes.json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["metric"] == found.metric == "F1"
    assert [row["metric"] for row in told["models"]] == [row.metric for row in found.models]


def test_diagnose_goes_by_it(data: Path) -> None:
    found = knightlite.diagnose(
        f"{STEM}.onnx", "digits.onnx", data="val", recipe="digits", suspects=1, iteration=8,
        metric="f1:plugin.py:square", annotations="boxes.json",
    )  # fmt: skip
    rows = evaluated("f1:plugin.py:square", annotations=Path("boxes.json"), models=TWO)
    assert found.float_metric == rows.models[0].metric
    assert found.score.metric == rows.models[1].metric
    assert found.measured is not None
    drop = as_json(found)["metric_drop"]
    assert drop["low"] <= drop["drop"] <= drop["high"]
    assert found.difference is not None
    assert "95 % interval" in found.difference


@pytest.mark.parametrize(
    ("metric", "kind", "sentence"),
    [
        ("plugin.py", UsageError, r"^the metric plugin.py is not written as FILE.py:NAME, or"),
        ("f2:plugin.py:square", UsageError, r"the metric's file f2:plugin.py does not exist"),
        ("gone.py:x", UsageError, r"^the metric's file gone.py does not exist"),
        ("plugin.py:sqare", UsageError, r"^sqare does not exist in plugin.py"),
        ("plugin.py:listed", UsageError, r"^listed is no function and no class in plugin.py"),
        ("plugin.py:Half", UsageError, r"^plugin.py:32: Half has no method total"),
        ("plugin.py:fails", DataError, r"^plugin.py:24: KeyError: 'boxes'"),
        ("plugin.py:nothing", DataError, r"^plugin.py:26: the total of nothing is nan"),
        ("plugin.py:endless", DataError, r"^plugin.py:36: what endless returned of a picture"),
        ("f1:plugin.py:crooked", DataError, r"^plugin.py:29: crooked: it returned boxes of shape"),
        ("f1:plugin.py:fails", DataError, r"^plugin.py:24: KeyError: 'boxes'"),
    ],
)
def test_faults_of_the_plug_in_are_one_sentence(
    data: Path, metric: str, kind: type[KnightliteError], sentence: str
) -> None:
    annotations = Path("boxes.json") if metric.startswith("f1") else None
    with pytest.raises(kind, match=sentence):
        evaluated(metric, annotations=annotations, models=(Path(FORMS[0]),), recipe="digits")


def test_ready_measures_ask_for_annotations(data: Path) -> None:
    with pytest.raises(UsageError, match=r"^f1 compares boxes with annotations, but none"):
        evaluated("f1:plugin.py:square", models=TWO)
    Path("boxes.json").write_text('{"images": [{"id": 1}]}')
    with pytest.raises(DataError, match=r"^boxes.json, which should hold annotations, has no"):
        evaluated("f1:plugin.py:square", annotations=Path("boxes.json"), models=TWO)
    Path("boxes.json").write_text('{"images": [], "annotations": [], "categories": []}')
    with pytest.raises(DataError, match=r"^boxes.json does not name val/1/"):
        evaluated("f1:plugin.py:square", annotations=Path("boxes.json"), models=TWO)


# ------------------------------------------------------------------ by hand


@pytest.fixture
def opened(data: Path) -> Iterator[Metric]:
    with open_metric(metric_source("f1:plugin.py:square", Path("boxes.json"))) as metric:
        yield metric


def test_counts_of_one_picture(opened: Metric) -> None:
    scores = np.zeros((1, 10), np.float32)
    scores[0, 1] = 1
    picture = Picture(next(Path("val/1").iterdir()), (32, 32))
    assert opened.value({"scores": scores}, picture) == [1, 1, 1]
    scores[0, 2] = 2
    assert opened.value({"scores": scores}, picture) == [0, 1, 1]
    assert opened.total([[1, 1, 1], [0, 1, 1], [2, 4, 2]]) == 2 * 3 / (6 + 4)
    assert opened.total([[0, 0, 0]]) == 1.0


def test_the_interval_is_paired(opened: Metric) -> None:
    """What both lose is no difference; what one loses in every fourth picture is surely one."""
    half = [[1, 1, 1], [0, 1, 1]] * 20
    same = opened.difference(half, half)
    assert (same.drop, same.low, same.high) == (0.0, 0.0, 0.0)
    worse = opened.difference(half, [[1, 1, 1], [0, 1, 1], [0, 1, 1], [0, 1, 1]] * 10)
    assert worse.drop == 0.25
    assert worse.low is not None
    assert worse.high is not None
    assert 0.05 < worse.low < 0.25 < worse.high < 0.45


def test_overlaps() -> None:
    boxes = np.array([SQUARE, [0, 0, 10, 10], [40, 40, 50, 50]])
    found = box_overlaps(boxes, boxes)
    np.testing.assert_allclose(np.diag(found), 1)
    assert found[0, 1] == pytest.approx(36 / (576 + 100 - 36))
    assert found[0, 2] == 0
    quads = boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)
    np.testing.assert_allclose(quad_overlaps(quads, quads), found)
    np.testing.assert_allclose(quad_overlaps(quads, quads[:, ::-1]), found)  # the other way round
    diamond = np.array([[[16, 4], [28, 16], [16, 28], [4, 16]]], float)
    np.testing.assert_allclose(quad_overlaps(diamond, quads[:1]), 0.5)


def test_each_wanted_box_is_found_once() -> None:
    assert matches(np.array([[0.9, 0.6], [0.8, 0.1], [0.2, 0.5]])) == 2
    assert matches(np.array([[0.4]])) == 0
    assert matches(np.zeros((0, 3))) == matches(np.zeros((3, 0))) == 0


def test_boxes_come_in_the_order_of_their_scores() -> None:
    found = boxes_of(([SQUARE, [0, 0, 1, 1]], [0.1, 0.7], [3, 4]))
    assert found.classes.tolist() == [4, 3]
    assert len(boxes_of([]).places) == 0
    for given in ((1, 2, 3, 4), ([SQUARE], [1, 2]), ([[np.nan] * 4],), "x"):
        with pytest.raises(DataError, match=r"^it returned"):
            boxes_of(given)


def test_pictures_of_one_name_are_told_by_their_folders(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    images = [{"id": n, "file_name": f"{side}/x.jpg"} for n, side in enumerate(("left", "right"))]
    path.write_text(json.dumps({"images": images, "annotations": [], "categories": []}))
    found = read_annotations(path)
    assert found.number_of(tmp_path / "right" / "x.jpg") == 1
    with pytest.raises(DataError, match="names several pictures like"):
        found.number_of(tmp_path / "x.jpg")


def test_ready_names_are_those_of_the_help() -> None:
    assert sorted(READY) == ["coco_map", "f1", "hmean"]


def test_everything_that_annotations_say_in_whatever_order(tmp_path: Path) -> None:
    """Classes by rising number; boxes with their corners; no crowds; pictures by their names."""
    path = tmp_path / "a.json"
    boxes = [
        {"image_id": 9, "category_id": 7, "bbox": [1, 2, 10, 20]},
        {"image_id": 4, "category_id": 2, "bbox": [0, 0, 5, 5], "iscrowd": 1},
        {"image_id": 9, "category_id": 2, "bbox": [3, 4, 5, 6],
         "segmentation": [[1, 1, 2, 1, 2, 2, 1, 2]]},
        {"image_id": 4, "category_id": 5, "bbox": [0, 1, 2, 3],
         "segmentation": [[0, 0, 1, 1, 2, 2]], "iscrowd": 0},
    ]  # fmt: skip
    images = [{"file_name": "d/p.png", "id": 9}, {"file_name": "e/p.png", "id": 4},
              {"file_name": "q.png", "id": 1}]  # fmt: skip
    content = {"images": images, "categories": [{"id": 7}, {"id": 2}, {"id": 5}]}
    path.write_text(json.dumps({**content, "annotations": boxes}))
    found = read_annotations(path)
    assert found.categories == (2, 5, 7)
    assert [found.category(place) for place in range(3)] == [2, 5, 7]
    for place in (-1, 3):
        with pytest.raises(DataError, match="has 3 categories"):
            found.category(place)
    assert set(found.truths) == {9, 4}
    assert found.truths[9].boxes.tolist() == [[1, 2, 11, 22], [3, 4, 8, 10]]
    assert found.truths[9].categories.tolist() == [7, 2]
    assert found.truths[9].quads.tolist() == [
        [[1, 2], [11, 2], [11, 22], [1, 22]], [[1, 1], [2, 1], [2, 2], [1, 2]],
    ]  # fmt: skip
    assert found.truths[4].quads.tolist() == [[[0, 1], [2, 1], [2, 4], [0, 4]]]
    numbers = [found.number_of(tmp_path / name) for name in ("d/p.png", "e/p.png", "x/q.png")]
    assert numbers == [9, 4, 1]
    with pytest.raises(DataError, match="names several pictures like"):
        found.number_of(tmp_path / "f" / "p.png")
    with pytest.raises(DataError, match="does not name"):
        found.number_of(tmp_path / "r.png")
