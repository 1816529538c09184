"""Knight user scripts run unmodified, and fail in sentences."""

from __future__ import annotations

import random
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from knightlite import dtypes
from knightlite.datafiles import CONTAINER, script_file
from knightlite.errors import DataError, KnightliteError, ModelError, UnsupportedError, UsageError
from knightlite.ir import Tensor
from knightlite.quantize.data.user_script import UserScript

Array = NDArray[Any]
IMPORT = "from onnx_quantize_tool.common.register import onnx_infer_func, pytorch_model\n"
HEAD = IMPORT + 'import numpy as np\n@onnx_infer_func.register("infer")\ndef infer(executor):\n'
X = Tensor("x", (1, 3, 4, 5), dtypes.F32)


class Fed:
    """A model that keeps what it is fed and answers with the mean over each picture."""

    def __init__(self) -> None:
        self.arrays: list[tuple[Array, ...]] = []

    def __call__(self, arrays: tuple[Array, ...]) -> list[Array]:
        self.arrays.append(arrays)
        return [arrays[0].mean(axis=(1, 2, 3))]


def script(tmp_path: Path, text: str, **fields: Any) -> UserScript:
    path = tmp_path / "user.py"
    path.write_text(text)
    values: dict[str, Any] = {
        "function": "infer",
        "dataset": "DATA",
        "iteration": 2,
        "batch_size": 3,
        "save_dir": tmp_path / "out",
        "run_mode": "quant",
        "inputs": (X,),
        "outputs": ("y",),
    }
    return UserScript(script=path, **{**values, **fields})


def body(tmp_path: Path, lines: str, **fields: Any) -> UserScript:
    """A script whose infer function has these lines."""
    indented = "".join(f"    {line}\n" for line in lines.splitlines())
    return script(tmp_path, HEAD + indented, **fields)


FORWARD = "executor.forward(np.zeros((1, 3, 4, 5), np.float32))\n"


def test_script_in_knights_style(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "loader_beside.py").write_text("WIDTH = 5\n")
    text = IMPORT + (
        "import numpy as np\n"
        "from loader_beside import WIDTH\n"
        '@pytorch_model.register("net")\n'
        "def net(weight_path=None):\n"
        "    raise AssertionError\n"
        '@onnx_infer_func.register("infer")\n'
        "def infer(executor):\n"
        "    import onnx_quantize_tool.common.register as late\n"
        "    print('dataset', executor.dataset)\n"
        "    total = 0.0\n"
        "    for i in range(100):\n"
        "        x = np.full((executor.batch_size, 3, 4, WIDTH), i, np.float32)\n"
        "        total += executor.forward(x)[0].sum()\n"
        "        if i + 1 == executor.iteration:\n"
        "            break\n"
        "    return total\n"
    )
    remarks: list[str] = []
    fed = Fed()
    workload = script(tmp_path, text, say=remarks.append)
    metric = workload.run(fed)
    assert (metric, type(metric)) == (3.0, float)
    assert [arrays[0].shape for arrays in fed.arrays] == [(3, 3, 4, 5)] * 2
    assert workload.description == "user script user.py:infer"
    assert remarks == []
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "dataset DATA\n")


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("")
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "inner.py").write_text("")
    before = (set(sys.modules), list(sys.path), sys.argv, random.getstate())
    numpy_state = np.random.get_state()
    lines = (
        "import beside, package.inner, random, sys\n"
        "assert sys.dont_write_bytecode\n"  # nor beside what Knight's own modules stand for
        "random.random()\n"
        "np.random.rand()\n"
    ) + FORWARD
    body(tmp_path, lines, iteration=1).run(Fed())
    assert before == (set(sys.modules), list(sys.path), sys.argv, random.getstate())
    assert str(numpy_state) == str(np.random.get_state())
    assert not list(tmp_path.rglob("*.pyc"))


def test_nothing_is_left_behind_after_an_error(tmp_path: Path) -> None:
    before = (set(sys.modules), list(sys.path), sys.stdout)
    with pytest.raises(DataError):
        body(tmp_path, "1 / 0").run(Fed())
    with pytest.raises(DataError):
        script(tmp_path, IMPORT + "1 / 0").run(Fed())
    assert before == (set(sys.modules), list(sys.path), sys.stdout)


@pytest.mark.parametrize(
    "lines",
    [
        "import sys; sys.stdout.close(); sys.stderr.close()",
        "import sys\nwith sys.stdout: print('in it')",
        "import sys; sys.stdout = sys.stderr = None",
        "np.float32 = np.asarray = None",
    ],
)
def test_what_a_script_is_lent_is_ours_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], lines: str
) -> None:
    """It closes our stderr, and takes names out of numpy: what comes after it is as before."""
    before = dict(vars(np)), sys.stdout, sys.stderr
    body(tmp_path, f"print('a word')\n{FORWARD}{lines}", iteration=1).run(Fed())
    assert (dict(vars(np)), sys.stdout, sys.stderr) == before
    sys.stderr.write("and more\n")
    said = capsys.readouterr().err
    assert said.startswith("a word\n")
    assert said.endswith("and more\n")


def test_a_script_that_replaces_numpy_is_told_of(tmp_path: Path) -> None:
    """Names of its own making hurt nobody, and what fails through them is not called ours."""
    made = "np.bool = bool\nvalues = np.zeros((3, 3, 4, 5), np.float32)\n"
    fed = Fed()
    body(tmp_path, f"{made}executor.forward(values)", iteration=1).run(fed)
    assert len(fed.arrays) == 1

    def fails(arrays: tuple[Array, ...]) -> list[Array]:
        return [np.float32(1) * arrays[0]]

    wrong = body(tmp_path, f"{made}np.float32 = None\nexecutor.forward(values)", iteration=1)
    with pytest.raises(DataError) as caught:
        wrong.run(fails)
    assert caught.value.sentence == (
        "user.py replaces numpy.bool, numpy.float32, with which knightlite computes in the same "
        "process (TypeError: 'NoneType' object is not callable)."
    )


@pytest.mark.parametrize("kind", ["BaseException", "GeneratorExit", "SystemExit", "Own"])
def test_whatever_a_script_raises_is_a_sentence(tmp_path: Path, kind: str) -> None:
    lines = f"class Own(BaseException): pass\nraise {kind}('no')"
    with pytest.raises(DataError, match=r"^user\.py:6: .*no"):
        body(tmp_path, lines).run(Fed())


def test_every_run_draws_the_same_numbers(tmp_path: Path) -> None:
    lines = (
        "import random\n"
        "executor.forward(np.random.rand(1, 3, 4, 5).astype(np.float32))\n"
        "executor.forward(np.full((1, 3, 4, 5), random.random(), np.float32))\n"
    )
    workload, first, second = body(tmp_path, lines), Fed(), Fed()
    workload.run(first)
    workload.run(second)
    for a, b in zip(first.arrays, second.arrays, strict=True):
        np.testing.assert_array_equal(a[0], b[0])


def test_executor_attributes(tmp_path: Path) -> None:
    lines = (
        "assert executor.shape_dicts == {}\n"
        "executor.init_shape_info()\n"
        "assert executor.shape_dicts == {'x': [3, 3, 4, 5], 'z': [3, 7]}, executor.shape_dicts\n"
        "assert executor.input_nodes == ['x', 'z']\n"
        "assert executor.input_types == {'x': 1, 'z': 3}\n"
        "assert (executor.iteration, executor.batch_size) == (2, 3)\n"
        "assert executor.run_mode == 'quant' and executor.save_dir.endswith('out')\n"
        "assert executor.user_defined_script.endswith('user.py')\n"
        "assert executor.output_node_list == ['y']\n"
        "assert executor.output_name_to_node_name() == {'y': 'y'}\n"
        "assert executor.gpu == -1 and executor.early_stop_flag is False\n"
        "assert executor.input_configs_dict == []\n"
        "import sys; assert sys.argv == [executor.user_defined_script]\n"
        "x, z = np.ones((1, 3, 4, 5), np.float32), np.ones((1, 7), np.int8)\n"
        "executor.forward(x, z)\n"
        "executor.forward([x, z])\n"
        "assert not hasattr(executor, 'device')\n"
        "executor.device = 'mine'\n"
        "assert executor.device == 'mine'\n"
    )
    fed = Fed()
    body(tmp_path, lines, inputs=(X, Tensor("z", (1, 7), dtypes.S8))).run(fed)
    assert [len(arrays) for arrays in fed.arrays] == [2, 2]
    assert fed.arrays[1][1].dtype == np.int8


def test_bare_registration(tmp_path: Path) -> None:
    text = IMPORT + "import numpy as np\n@onnx_infer_func.register\ndef infer(executor):\n"
    assert script(tmp_path, text + "    " + FORWARD, iteration=1).run(Fed()) is None


# ------------------------------------------------------------------ what is fed


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        ("executor.forward()", "executor.forward must get 1 arrays (x), not 0."),
        (
            "executor.forward(np.zeros((2, 3, 5, 5)))",
            "input x must have shape (N, 3, 4, 5), not (2, 3, 5, 5).",
        ),
        ("executor.forward(np.zeros(()))", "input x must have shape (N, 3, 4, 5), not ()."),
        (
            "executor.forward(np.zeros((0, 3, 4, 5)))",
            "input x must have shape (N, 3, 4, 5), not (0, 3, 4, 5).",
        ),
        (
            "executor.forward('x.jpg')",
            "executor.forward must get a numpy array for input x, not str.",
        ),
        (
            "executor.forward(np.full((1, 3, 4, 5), 'a'))",
            "input x must hold numbers, not <U1.",
        ),
    ],
)
def test_wrong_arrays(tmp_path: Path, call: str, sentence: str) -> None:
    with pytest.raises(DataError) as caught:
        body(tmp_path, call).run(Fed())
    assert caught.value.sentence == f"user.py:5: {sentence}"


def test_inputs_of_one_batch_size(tmp_path: Path) -> None:
    lines = "executor.forward(np.zeros((2, 3, 4, 5), 'f'), np.zeros((1, 3, 4, 5), 'f'))"
    with pytest.raises(DataError, match=r"must have one batch size, not 1, 2\."):
        body(tmp_path, lines, inputs=(X, Tensor("z", (1, 3, 4, 5), dtypes.F32))).run(Fed())


@pytest.mark.parametrize(
    ("dtype", "remarks"),
    [
        ("float32", []),
        ("uint8", []),
        ("float16", []),
        ("float64", ["the script feeds float64 to input x; it is cast to float32."]),
        ("int64", ["the script feeds int64 to input x; it is cast to float32."]),
    ],
)
def test_casts_are_said_once(tmp_path: Path, dtype: str, remarks: list[str]) -> None:
    said: list[str] = []
    fed = Fed()
    lines = f"for _ in range(2): executor.forward(np.full((1, 3, 4, 5), 7, '{dtype}'))"
    body(tmp_path, lines, say=said.append).run(fed)
    assert said == remarks
    assert (str(fed.arrays[0][0].dtype), fed.arrays[0][0].max()) == ("float32", 7)


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        ("np.full((1, 3, 4, 5), 255, 'f')", 255),  # integers that are written as real numbers
        ("np.full((1, 3, 4, 5), 255, np.int64)", 255),
        ("np.full((1, 3, 4, 5), 256, np.int64)", "int64 from 256 to 256"),
        ("np.linspace(-1, 1, 60).reshape(1, 3, 4, 5)", "float64 from -1 to 1"),
        ("np.full((1, 3, 4, 5), 0.12345678)", "float64 from 0.1235 to 0.1235"),
    ],
)
def test_what_an_input_of_integers_holds(tmp_path: Path, values: str, kept: int | str) -> None:
    fed = Fed()
    script = body(
        tmp_path, f"executor.forward({values})", inputs=(Tensor("x", (1, 3, 4, 5), dtypes.U8),)
    )
    if isinstance(kept, int):
        script.run(fed)
        assert (str(fed.arrays[0][0].dtype), fed.arrays[0][0].min()) == ("uint8", kept)
        return
    with pytest.raises(DataError) as caught:
        script.run(fed)
    assert caught.value.sentence.endswith(
        f": input x takes uint8, but the script feeds {kept} that it cannot hold."
    )


def test_flat_input_gets_its_trailing_ones(tmp_path: Path) -> None:
    fed = Fed()
    lines = "executor.forward(np.ones((2, 6), np.float32))"
    body(tmp_path, lines, inputs=(Tensor("x", (1, 6, 1, 1), dtypes.F32),), iteration=1).run(fed)
    assert fed.arrays[0][0].shape == (2, 6, 1, 1)


# ------------------------------------------------------------------ what comes back


@pytest.mark.parametrize(
    ("value", "metric"),
    [
        ("None", None),
        ("1", 1.0),
        ("71.25", 71.25),
        ("np.float32(0.5)", 0.5),
        ("np.array(3)", 3.0),
        ("True", 1.0),
    ],
)
def test_metrics(tmp_path: Path, value: str, metric: float | None) -> None:
    assert body(tmp_path, f"{FORWARD}return {value}", iteration=1).run(Fed()) == metric


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("'71'", "user.py: infer must return one number or None, not str."),
        ("[1.0]", "user.py: infer must return one number or None, not list."),
        (
            "np.ones((1, 2))",
            "user.py: infer must return one number or None, not ndarray of shape (1, 2).",
        ),
        ("float('nan')", "user.py: infer must return a finite number, not nan."),
    ],
)
def test_no_metric(tmp_path: Path, value: str, sentence: str) -> None:
    with pytest.raises(DataError) as caught:
        body(tmp_path, f"{FORWARD}return {value}", iteration=1).run(Fed())
    assert caught.value.sentence == sentence


def test_short_run_is_said(tmp_path: Path) -> None:
    said: list[str] = []
    body(tmp_path, FORWARD * 20, iteration=200, say=said.append).run(Fed())
    assert said == ["the script ended after 20 of 200 forward calls."]


def test_no_forward_at_all(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        body(tmp_path, "return 50.0").run(Fed())
    assert caught.value.sentence == "user.py: infer never called executor.forward."
    assert caught.value.hint == "does DATA hold data?"


# ------------------------------------------------------------------ errors in the script


def failing(workload: UserScript) -> KnightliteError:
    with pytest.raises(KnightliteError) as caught:
        workload.run(Fed())
    return caught.value


def test_exception_in_the_function(tmp_path: Path) -> None:
    error = failing(body(tmp_path, "x = 1\nopen('/nowhere/labels.txt')"))
    assert isinstance(error, DataError)
    assert error.sentence == (
        "user.py:6: FileNotFoundError: [Errno 2] No such file or directory: '/nowhere/labels.txt'."
    )


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("iterations", "did you mean iteration?"),
        ("zzz", "one of iteration, batch_size, dataset, save_dir, "),
    ],
)
def test_what_our_executor_lacks_is_not_the_scripts_fault(
    tmp_path: Path, name: str, hint: str
) -> None:
    error = failing(body(tmp_path, f"x = 1\nexecutor.{name}"))
    assert isinstance(error, UnsupportedError)
    assert error.sentence == (
        f"user.py:6: knightlite's executor has no attribute {name}; it is knightlite that lacks "
        "it, unless the script misspells it."
    )
    assert error.hint.startswith(hint)


def test_exception_in_a_file_beside_names_the_scripts_line(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("def load():\n    raise ValueError('two\\nlines.')\n")
    error = failing(script(tmp_path, IMPORT + "import beside\nbeside.load()\n"))
    assert error.sentence == "user.py:3: ValueError: two lines."
    (tmp_path / "beside.py").write_text("\n\nimport json.nothing\n")
    error = failing(script(tmp_path, IMPORT + "import beside\n"))
    assert error.sentence.startswith("user.py:2: the script imports json.nothing, which is not")


def test_exit_in_the_script(tmp_path: Path) -> None:
    assert failing(body(tmp_path, "exit(-1)")).sentence == "user.py:5: the script called exit(-1)."


def test_syntax_error(tmp_path: Path) -> None:
    error = failing(script(tmp_path, IMPORT + "print 'hello'\n"))
    assert isinstance(error, UsageError)
    assert error.sentence.startswith("user.py:2: Missing parentheses in call to 'print'.")


def test_missing_package(tmp_path: Path) -> None:
    # whatever is installed, this name is not
    error = failing(script(tmp_path, IMPORT + "\nimport torchvision_of_nobody.transforms\n"))
    assert isinstance(error, UsageError)
    assert error.sentence == (
        "user.py:3: the script imports torchvision_of_nobody, which is not installed."
    )
    assert "-m pip install torchvision_of_nobody), name a Python that has" in error.hint


def test_missing_package_by_its_pip_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    error = failing(script(tmp_path, IMPORT + "import cv2\n"))
    assert error.sentence == "user.py:2: the script imports cv2, which is not installed."
    assert "pip install opencv-python-headless" in error.hint


def test_more_of_the_vendors_package(tmp_path: Path) -> None:
    error = failing(script(tmp_path, "from onnx_quantize_tool.model.graph import *\n"))
    assert isinstance(error, UnsupportedError)
    assert error.sentence == (
        "user.py:1: the script imports onnx_quantize_tool.model, of which knightlite only "
        "provides onnx_quantize_tool.common.register and onnx_quantize_tool.utils.constants."
    )


def test_what_scripts_import_of_the_vendor(tmp_path: Path) -> None:
    """Types by ONNX's numbers, and infer_common; a package of that name beside it is no rival."""
    (tmp_path / "onnx_quantize_tool").mkdir()
    (tmp_path / "onnx_quantize_tool" / "__init__.py").write_text("")
    head = "import sys\nsys.path.append('/opt/Quantize/onnx_examples/infer_common.py')\n"
    text = "from infer_common import infer_common\nfrom onnx_quantize_tool.utils.constants import *"
    lines = (
        "x = np.ones((1, 3, 4, 5), NP_TYPE_DICT[executor.input_types['x']])\n"
        "assert x.dtype == np.float32 and callable(infer_common)\n"
        "executor.forward(x)\n"
    )
    body_text = "".join(f"    {line}\n" for line in lines.splitlines())
    script(tmp_path, f"{head}{text}\n{HEAD}{body_text}", iteration=1).run(Fed())


def test_infer_common_feeds_what_input_configs_name(tmp_path: Path) -> None:
    for name, values in {"a": [1, 2, 3], "b": [7, 8]}.items():
        (tmp_path / name).mkdir()
        for value in values:
            array = np.full((3, 4, 5), value, np.float32)
            array.tofile(tmp_path / name / f"{value}.bin")
            np.save(tmp_path / name / f"{value}.npy", array)
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (10, 4), (10, 20, 30)).save(tmp_path / "pictures" / "0.png")
    entries: list[dict[str, Any]] = [
        {"input_name": "z", "quant_data_format": "Bin", "data_dir": str(tmp_path / "b")},
        {"input_name": "x", "quant_data_format": "Numpy", "data_dir": str(tmp_path / "a")},
        {"input_name": "p", "data_dir": str(tmp_path / "pictures"), "mean": [1, 2, 3],
         "padding_constant_value": 114},
        {"input_name": "g", "data_dir": str(tmp_path / "pictures"), "color_space": "GRAY"},
    ]  # fmt: skip
    shapes = {"x": (1, 3, 4, 5), "z": (1, 3, 4, 5), "p": (1, 3, 4, 5), "g": (1, 1, 2, 2)}
    inputs = tuple(Tensor(name, shape, dtypes.F32) for name, shape in shapes.items())
    fed = Fed()
    workload = script(
        tmp_path, "", function="infer_common", iteration=9, inputs=inputs, input_configs=entries
    )
    workload = replace(workload, script=script_file(CONTAINER / "infer_common.py"))
    assert workload.run(fed) is None
    found = [[float(array.flat[0]) for array in arrays] for arrays in fed.arrays]
    gray = float(np.float32(18) / np.float32(255))
    assert found == [[1, 7, 114, gray], [2, 8, 114, gray], [3, 7, 114, gray]]
    assert fed.arrays[0][2][0, :, 1, 0].tolist() == [30, 20, 10]  # blue first
    assert workload.script.name == "infer_common.py"
    assert script_file(CONTAINER / "other.py") == CONTAINER / "other.py"
    error = failing(replace(workload, input_configs=tuple(entries[:2])))
    assert error.sentence.endswith("ValueError: input-configs name no data of input p, g.")


def test_function_that_is_not_registered(tmp_path: Path) -> None:
    text = IMPORT + "for n in ('b', 'a'): onnx_infer_func.register(n)(print)\n"
    error = failing(script(tmp_path, text))
    assert error.sentence.endswith("user.py registers no infer function infer.")
    assert error.hint == "it registers a, b; name one with -if"
    error = failing(script(tmp_path, ""))
    assert error.hint == 'put @onnx_infer_func.register("infer") before the function'


def test_check_finds_it_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="registers no infer function other"):
        body(tmp_path, FORWARD, function="other").check()
    body(tmp_path, "1 / 0").check()


def test_missing_script(tmp_path: Path) -> None:
    workload = script(tmp_path, "")
    workload.script.unlink()
    assert failing(workload).sentence.endswith("user.py does not exist.")


def test_our_own_errors_keep_their_kind(tmp_path: Path) -> None:
    def refuse(arrays: tuple[Array, ...]) -> list[Array]:
        raise ModelError("output y holds NaN.", "look at the weights")

    with pytest.raises(ModelError) as caught:
        body(tmp_path, FORWARD).run(refuse)
    assert caught.value.sentence == "user.py:5: output y holds NaN."
    assert caught.value.hint == "look at the weights"


def test_a_fault_of_the_model_is_not_the_scripts(tmp_path: Path) -> None:
    def broken(arrays: tuple[Array, ...]) -> list[Array]:
        raise KeyError("ours")

    with pytest.raises(KeyError, match="ours"):
        body(tmp_path, FORWARD).run(broken)
