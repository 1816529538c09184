"""quant -du, -r compare and -cd by real commands."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from knightlite.api.comparison import dump, layers
from knightlite.api.comparison.differences import Tally
from knightlite.cli.program import run
from knightlite.inference import session
from refusals import Refusal

QUANT = ["quant", "-m", "digits.onnx", "-d", "calib", "--recipe", "digits", "-bs", "4", "-i", "2",
         "-s", "out"]  # fmt: skip
Capture = pytest.CaptureFixture[str]


def test_dump(here: Path) -> None:
    """Knight's folders; the quantized values are the integers of ONNX Runtime's QDQ model."""
    assert run([*QUANT, "-du"]) == 0
    index = json.loads(Path("out/dump/dump.json").read_text("utf-8"))
    tensors = index["tensors"]
    assert [item["index"] for item in tensors] == list(range(1, len(tensors) + 1))
    assert tensors[0]["name"] == "x"
    for item in tensors:
        name = f"{item['index']:04}:{item['name']}"
        for batch in range(2):
            fixed = np.load(f"out/dump/quant/{name}/batch_{batch}.npy")
            assert fixed.shape == (4, *item["shape"][1:])
            assert fixed.dtype.itemsize == {"u8": 1, "s8": 1, "s16": 2}[item["type"]]
            exact = np.load(f"out/dump/float/{name}/batch_{batch}.npy")
            assert exact.dtype == np.float32
            assert exact.shape == fixed.shape
    pictures = np.load("out/dump/float/0001:x/batch_1.npy")
    model = session(Path("out/digits_quantize.onnx").read_bytes())
    wanted = np.asarray(model.run(None, {"x": pictures})[0])
    last = tensors[-1]
    found = np.load(f"out/dump/quant/{last['index']:04}:{last['name']}/batch_1.npy")
    step = np.float32(last["scale"])
    assert np.array_equal(found.reshape(wanted.shape), np.rint(wanted / step))
    assert np.array_equal(np.fromfile("out/inputs/x.bin", "<f4"), pictures[-1].ravel())


def test_a_dump_in_small_batches_is_the_same_dump(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [*QUANT, "--equalization", "off", "-du"]
    assert run(words) == 0
    name = "0001:x"
    whole = [np.load(f"out/dump/quant/{name}/batch_{k}.npy") for k in range(2)]
    monkeypatch.setattr(layers, "BUDGET_BYTES", 1)
    assert run(words) == 0
    assert len(list(Path(f"out/dump/quant/{name}").iterdir())) == 8
    parts = [np.load(f"out/dump/quant/{name}/batch_{k}.npy") for k in range(8)]
    assert np.array_equal(np.concatenate(parts), np.concatenate(whole))


def test_compare_layers(here: Path, capsys: Capture) -> None:
    """The table says what the dump holds, computed at once over all pictures."""
    assert run([*QUANT, "-du"]) == 0
    capsys.readouterr()
    assert run([*QUANT, "-r", "compare", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    tensors = json.loads(Path("out/dump/dump.json").read_text("utf-8"))["tensors"]
    assert [row["name"] for row in found["layers"]] == [item["name"] for item in tensors]
    for row, item in zip(found["layers"], tensors, strict=True):
        name = f"{item['index']:04}:{item['name']}"
        exact, fixed = (
            np.concatenate([np.load(f"out/dump/{kind}/{name}/batch_{k}.npy") for k in range(2)])
            for kind in ("float", "quant")
        )
        scale = np.reshape(np.asarray(item["scale"], np.float32), (1, -1, 1, 1))
        tally = Tally()
        tally.add(exact, fixed * scale)
        wanted = tally.result()
        assert row["difference"]["rmse"] == pytest.approx(wanted.rmse, abs=1e-6)
        assert row["difference"]["mre"] == pytest.approx(wanted.mre, abs=1e-6)
        assert row["difference"]["cosine"] == pytest.approx(wanted.cosine, abs=1e-6)
    assert run([*QUANT, "-r", "compare"]) == 0
    assert "OUT-NAME" in capsys.readouterr().out


def test_refusals(refused: Refusal) -> None:
    refused([*QUANT, "-r", "compare"], 2,
            "out/digits_quantize.onnx does not exist: -r compare runs it beside digits.onnx.",
            "quantize the model first*")  # fmt: skip
    Path("out/dump").mkdir(parents=True)
    Path("out/dump/mine.txt").write_text("mine", encoding="utf-8")
    refused([*QUANT, "-du"], 2, "out/dump is no dump of ours.",
            "remove it, or name another folder")  # fmt: skip


def test_a_failed_dump_leaves_nothing(refused: Refusal) -> None:
    refused(["quant", "-m", "digits.onnx", "-d", "calib", "--recipe", "imagenet", "-s", "out",
             "-du"], 1, "calib/*", "cifar10 fits and normalizes alike*")  # fmt: skip
    assert not Path("out").exists()


@pytest.mark.parametrize("number", [1, 2])
def test_ctrl_c_at_a_rename_leaves_a_whole_dump(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fill(text: str) -> None:
        with dump.dump_folder(tmp_path) as folder:
            (folder / dump.INDEX).write_text(text, encoding="utf-8")

    fill("first")
    fill("old")
    real, left = Path.rename, [number]

    def rename(path: Path, target: Path) -> None:
        real(path, target)
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(KeyboardInterrupt):
        fill("new")
    assert [path.name for path in tmp_path.iterdir()] == [dump.FOLDER]
    text = (tmp_path / dump.FOLDER / dump.INDEX).read_text(encoding="utf-8")
    assert text == {1: "old", 2: "new"}[number]


def test_cache(here: Path, capsys: Capture) -> None:
    """The second run leaves out the first pass and writes the same bytes."""
    assert run([*QUANT, "-cd", "seen.bin"]) == 0
    model = Path("out/digits_quantize.onnx").read_bytes()
    report = Path("out/digits_quantize_report.json").read_bytes()
    cache = Path("seen.bin").read_bytes()
    assert "the first pass is that of" not in capsys.readouterr().err
    assert run([*QUANT, "-cd", "seen.bin"]) == 0
    assert "the first pass is that of seen.bin" in capsys.readouterr().err
    assert Path("out/digits_quantize.onnx").read_bytes() == model
    assert Path("out/digits_quantize_report.json").read_bytes() == report
    assert Path("seen.bin").read_bytes() == cache
    plain = [*QUANT, "--equalization", "off", "-cd", "plain.bin"]
    assert run(plain) == 0
    assert run([*plain, "-qm", "kl"]) == 0  # another method reads it too
    assert "the first pass is that of plain.bin" in capsys.readouterr().err
    assert Path("out/digits_quantize.onnx").read_bytes() != model


REMEDY = "delete the file, or name another one with -cd"


def test_a_stale_cache_is_refused(refused: Refusal) -> None:
    assert run([*QUANT, "-cd", "seen.bin"]) == 0
    words = [*QUANT, "-cd", "seen.bin"]
    refused([*words, "-bs", "3"], 1,
            "distribution cache seen.bin is of other data (8 pictures of calib with recipe "
            "digits).", REMEDY)  # fmt: skip
    refused([*words, "-qid", "uint8"], 1,
            "distribution cache seen.bin is of another network, or of the same with other "
            "options or other pictures.", REMEDY)  # fmt: skip
    refused([*words, "--seed", "5"], 1, "distribution cache seen.bin is of *", REMEDY)
    refused([*words, "--effort", "high"], 1,
            "distribution cache seen.bin was made with another --effort.", REMEDY)  # fmt: skip
    with np.load("seen.bin") as found:
        arrays = dict(found)
    for name in ("maximum_1", "positive_0", "sample_0"):  # zip's own checksums are right
        for changed in ({name: arrays[name] + 1}, {name: arrays[name][:0]}, {}):
            others = {key: arrays[key] for key in arrays if key != name}
            with Path("seen.bin").open("wb") as stream:
                np.savez(stream, allow_pickle=False, **{**others, **changed})
            refused(words, 1, "distribution cache seen.bin is damaged.", REMEDY)
    Path("seen.bin").write_bytes(b"PK nothing")
    refused(words, 1, "seen.bin is not a distribution cache.", REMEDY)
