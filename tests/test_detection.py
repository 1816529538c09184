"""The pieces of examples/detection: exact on what can be worked out by hand."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from conftest import DIGITS

FOLDER = DIGITS.parent / "detection"
DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "coco"
SIZE = (64, 96)
CELLS = 8 * 12 + 4 * 6 + 2 * 3


@pytest.fixture(autouse=True)
def modules(monkeypatch: pytest.MonkeyPatch) -> Any:
    """``coco`` and ``yolox`` are found while a test runs, and forgotten after it."""
    monkeypatch.syspath_prepend(str(FOLDER))
    yield
    for name in ("coco", "yolox"):
        sys.modules.pop(name, None)


def output_of(boxes: list[tuple[int, float, float, float, float]], classes: int = 3) -> Any:
    """A network's output: ``boxes`` are (cell of stride 8, centre x, centre y, width, height)."""
    output = np.zeros((CELLS, 5 + classes), np.float32)
    for number, (cell, x, y, width, height) in enumerate(boxes):
        row, column = divmod(cell, SIZE[1] // 8)
        output[cell, :4] = x / 8 - column, y / 8 - row, np.log(width / 8), np.log(height / 8)
        output[cell, 4] = 1
        output[cell, 5 + number % classes] = 0.75
    return output


def coco_folder(folder: Path, boxes: list[list[int]]) -> Path:
    """Three pictures; ``boxes`` (left, top, width, height) lie in the first."""
    (folder / "annotations").mkdir()
    (folder / "val").mkdir()
    for number in range(3):
        Image.new("RGB", (96, 64), (200, 100, 50)).save(folder / "val" / f"{number}.jpg")
    content = {
        "info": {},
        "images": [{"id": 10 + n, "file_name": f"{n}.jpg", "width": 96, "height": 64}
                   for n in range(3)],
        "categories": [{"id": number, "name": str(number)} for number in (1, 5, 90)],
        "annotations": [
            {"id": n + 1, "image_id": 10, "category_id": 5, "bbox": box, "iscrowd": 0,
             "area": box[2] * box[3]}
            for n, box in enumerate(boxes)
        ],
    }  # fmt: skip
    (folder / "annotations" / "instances_val.json").write_text(json.dumps(content))
    return folder


def test_letterbox_keeps_proportions_at_the_top_left(tmp_path: Path) -> None:
    from yolox import letterbox

    Image.new("RGB", (40, 20), (10, 20, 30)).save(tmp_path / "x.png")
    found, scale = letterbox(tmp_path / "x.png", SIZE)
    assert scale == 96 / 40
    assert found.shape == (3, *SIZE)
    assert found.dtype == np.float32
    for channel, value in enumerate((30, 20, 10)):  # blue, green, red
        assert np.all(found[channel, :48] == value)
        assert np.all(found[channel, 48:] == 114)


def test_boxes_come_back_in_pixels_of_the_picture() -> None:
    from yolox import detect

    found = detect(output_of([(13, 12.0, 14.0, 16.0, 8.0)]), SIZE, 0.5)
    assert found.classes.tolist() == [0]
    assert found.scores.tolist() == [0.75]
    np.testing.assert_allclose(found.boxes, [[8, 20, 40, 36]], rtol=1e-6)


def test_a_cell_may_be_two_objects_and_one_class_suppresses_no_other() -> None:
    from yolox import detect

    output = output_of([(13, 12.0, 14.0, 16.0, 8.0)])
    output[13, 6] = 0.5
    found = detect(output, SIZE, 1)
    assert found.classes.tolist() == [0, 1]
    assert found.scores.tolist() == [0.75, 0.5]
    assert len(detect(output * 0, SIZE, 1).scores) == 0


def test_suppression_keeps_what_overlaps_no_better_box() -> None:
    from yolox import suppress

    def iou(a: Any, b: Any) -> float:
        sides = [max(0.0, min(a[i + 2], b[i + 2]) - max(a[i], b[i])) for i in (0, 1)]
        area = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
        return float(sides[0] * sides[1] / (sum(area) - sides[0] * sides[1]))

    rng = np.random.default_rng(3)
    corner = rng.integers(0, 30, (60, 2))
    boxes = np.concatenate([corner, corner + rng.integers(5, 30, (60, 2))], 1).astype(np.float64)
    scores = rng.random(60)
    kept: list[int] = []
    for place in np.argsort(-scores).tolist():
        if all(iou(boxes[place], boxes[other]) <= 0.3 for other in kept):
            kept.append(place)
    assert suppress(boxes, scores, 0.3).tolist() == kept
    assert 3 < len(kept) < 50


def test_the_split_is_seeded_and_stays_when_a_picture_goes() -> None:
    from coco import Photo, split

    photos = tuple(Photo(n, Path(f"{n:03}.jpg")) for n in range(40))
    aside, others = split(photos, 8)
    assert len(aside) == 8
    assert sorted((*aside, *others), key=lambda photo: photo.number) == list(photos)
    assert split(photos, 8, seed=1)[0] != aside
    without = tuple(photo for photo in photos if photo != aside[0])
    assert len(set(aside) & set(split(without, 8)[0])) == 7


@pytest.mark.skipif(not DATA.is_dir(), reason="the private COCO pictures are not here")
def test_the_list_is_what_the_split_gives() -> None:
    from coco import open_coco, read_list, split

    photos = open_coco(DATA).photos
    assert read_list(photos, FOLDER / "calibration.txt") == split(photos, 20)


def test_average_precision_of_one_object_in_two(tmp_path: Path) -> None:
    """Recall stops at one half: 51 of COCO's 101 recall levels have precision 1, the rest 0."""
    pytest.importorskip("pycocotools", reason="the extra knightlite[detection] is not installed")
    from coco import average_precision, open_coco
    from yolox import detect

    data = open_coco(coco_folder(tmp_path, [[4, 10, 16, 8], [50, 30, 20, 20]]))
    assert data.categories == (1, 5, 90)
    nothing = detect(output_of([]), SIZE, 1)
    output = output_of([(13, 12.0, 14.0, 16.0, 8.0)])
    output[13, 5:8] = 0, 0.75, 0  # the network's second class is COCO's 5
    found = {10: detect(output, SIZE, 1), 11: nothing, 12: nothing}
    precision = average_precision(data, data.photos, found)
    assert precision.map == pytest.approx(51 / 101)
    assert precision.ap50 == pytest.approx(51 / 101)
    assert average_precision(data, data.photos, dict.fromkeys(found, nothing)).map == 0


def test_any_annotation_file_and_folder(tmp_path: Path) -> None:
    """PNG pictures in folders of their own, annotated elsewhere; what is not here is left out."""
    from coco import open_coco

    names = ["a/x.png", "b/x.png", "y.png"]
    for name in names:
        (tmp_path / "pictures" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "pictures" / name)
    images = [{"id": n, "file_name": name} for n, name in enumerate([*names, "gone.png"])]
    marks = tmp_path / "marks.json"
    marks.write_text(json.dumps({"images": images, "categories": [{"id": 3}]}))
    found = open_coco(tmp_path / "pictures", marks)
    assert [photo.number for photo in found.photos] == [0, 1, 2]
    assert [photo.path for photo in found.photos] == [tmp_path / "pictures" / n for n in names]
    with pytest.raises(SystemExit, match=r"or name the file with --annotations\.$"):
        open_coco(tmp_path / "pictures")
    with pytest.raises(SystemExit, match=r"^none of 4 pictures of .* such as a/x\.png\.$"):
        open_coco(tmp_path / "pictures" / "a" / "none", marks)
    marks.write_text("[]")
    with pytest.raises(SystemExit, match=r"is no annotation file in COCO's format"):
        open_coco(tmp_path / "pictures", marks)


def test_boxes_for_the_metric_are_in_the_pictures_pixels(tmp_path: Path) -> None:
    from yolox import boxes, sure_boxes

    from knightlite.metrics import Picture

    Image.new("RGB", (192, 128)).save(tmp_path / "x.png")  # twice what the network reads
    outputs = {"y": output_of([(13, 12.0, 14.0, 16.0, 8.0)])[None]}
    places, scores, classes = boxes(outputs, Picture(tmp_path / "x.png", SIZE))
    np.testing.assert_allclose(places, [[8, 20, 40, 36]], rtol=1e-6)
    assert (scores.tolist(), classes.tolist()) == ([0.75], [0])
    outputs["y"][0, 13, 5] = 0.2
    assert len(boxes(outputs, Picture(tmp_path / "x.png", SIZE))[1]) == 1
    assert len(sure_boxes(outputs, Picture(tmp_path / "x.png", SIZE))[1]) == 0
