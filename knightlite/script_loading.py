"""Load a Knight user script, look its registered functions up, and say what fails in it, and where.

What scripts import of Knight (``onnx_quantize_tool``, ``infer_common``) are the files of the folder
``scripts``; inside :func:`script_loaded` they are found, and made anew for every script.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import random
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from knightlite.datafiles import scripts_folder
from knightlite.errors import (
    DataError,
    KnightliteError,
    UnsupportedError,
    UsageError,
    not_there,
    suggestion,
)
from knightlite.script_imports import needed_packages

SEED = 123  # of Python's, numpy's and torch's generators while a script runs; Knight's infer_auto

VENDOR_PACKAGE = "onnx_quantize_tool"
MODULE_NAME = "knight_user_script"  # what the script is called while it runs
PIP_NAMES = {
    "cv2": "opencv-python-headless",
    "PIL": "pillow",
    "sklearn": "scikit-learn",
    "skimage": "scikit-image",
    "yaml": "pyyaml",
    "paddle": "paddlepaddle",
}


class ForwardError(Exception):
    """Carries, as its cause, what went wrong in the model under a script's forward call."""


class MissingAttributeError(AttributeError):
    """A script reads what an object of ours does not have: our gap, or a slip of the script's.

    ``owner``: what scripts call the object; ``offered``: what it has.
    """

    def __init__(self, owner: str, name: str, offered: Sequence[str]) -> None:
        super().__init__(f"{owner}.{name}", name=name)
        self.owner = owner
        self.offered = tuple(offered)

    def refusal(self, place: str) -> UnsupportedError:
        """The sentence, with the script's line."""
        return UnsupportedError(
            f"{place}: knightlite's {self.owner} has no attribute {self.name}; it is knightlite "
            "that lacks it, unless the script misspells it.",
            suggestion(self.name or "", self.offered),
        )


@dataclass(frozen=True, slots=True)
class Loaded:
    """A script that is loaded: its module, and its registered functions by name."""

    module: ModuleType
    infer_functions: dict[str, Callable[..., Any]]
    pytorch_functions: dict[str, Callable[..., Any]]
    paddle_functions: dict[str, Callable[..., Any]]
    general_layers: dict[str, tuple[int, Callable[..., Any]]]


class _Lent:
    """Our stderr in a script's hands: what it prints goes there, and closing it is nothing."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __enter__(self) -> _Lent:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Write out what waits."""
        self._stream.flush()


@contextlib.contextmanager
def _streams_lent() -> Iterator[None]:
    lent: Any = _Lent(sys.stderr)
    with contextlib.redirect_stdout(lent), contextlib.redirect_stderr(lent):
        yield


@contextlib.contextmanager
def _numpy_lent(script: Path) -> Iterator[None]:
    """What a script makes of numpy's names ends with it; what fails through it is told as such."""
    before = dict(vars(np))
    try:
        yield
    except KnightliteError:
        raise
    except Exception as error:
        names = _replaced(before)
        if not names:
            raise
        raise DataError(
            f"{script.name} replaces {', '.join(f'numpy.{name}' for name in names)}, with which "
            f"knightlite computes in the same process ({type(error).__name__}: {error}).",
            "give it another name in the script",
        ) from error
    finally:
        for name in _replaced(before):
            setattr(np, name, before[name])


def _replaced(before: Mapping[str, object]) -> list[str]:
    now = vars(np)
    return [name for name, value in before.items() if now.get(name) is not value]


@contextlib.contextmanager
def script_loaded(script: Path) -> Iterator[Loaded]:
    """The script's registered functions, valid inside the ``with``; nothing is left behind after.

    Meanwhile the vendor's package name resolves, the script's folder leads sys.path, prints go to
    stderr, which it cannot close, sys.argv names the script alone and the random generators are
    seeded.
    """
    if not script.is_file():
        raise not_there("user script", script, "name it with -uds FILE", endings=(".py",))
    shipped = scripts_folder()
    before = dict(sys.modules)
    path, argv, no_bytecode = list(sys.path), sys.argv, sys.dont_write_bytecode
    states = random.getstate(), np.random.get_state()
    sys.path[:0] = [str(script.resolve().parent), str(shipped)]
    sys.argv = [str(script)]
    sys.dont_write_bytecode = True  # leave no __pycache__ in the user's folder
    _seed()
    try:
        with _streams_lent(), _numpy_lent(script):
            register = _register(shipped)
            with script_errors(script):
                module = _execute(script)
            registries = (
                register.onnx_infer_func, register.pytorch_model, register.paddle_model,
                register.general_layer,
            )  # fmt: skip
            yield Loaded(module, *(item.functions for item in registries))
    finally:
        sys.argv, sys.dont_write_bytecode = argv, no_bytecode
        sys.path[:] = path
        random.setstate(states[0])
        np.random.set_state(states[1])
        _forget_modules((script.resolve().parent, shipped), before)


def _register(shipped: Path) -> Any:
    """Our module that scripts register in, new; another package of its name waits meanwhile."""
    for name in [item for item in list(sys.modules) if item.partition(".")[0] == VENDOR_PACKAGE]:
        del sys.modules[name]
    path = list(sys.path)
    sys.path.insert(0, str(shipped))  # before a part of that package beside the script
    importlib.invalidate_caches()
    try:
        return importlib.import_module(f"{VENDOR_PACKAGE}.common.register")
    finally:
        sys.path[:] = path


def _seed() -> None:
    random.seed(SEED)
    np.random.seed(SEED)
    torch = sys.modules.get("torch")  # a script's DataLoader draws from its generator
    if torch is not None:
        torch.manual_seed(SEED)


def _execute(script: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(MODULE_NAME, script)
    if spec is None or spec.loader is None:
        raise UsageError(f"user script {script} must be a Python file (.py).")
    module = importlib.util.module_from_spec(spec)
    sys.modules[MODULE_NAME] = module
    spec.loader.exec_module(module)
    return module


def _forget_modules(folders: tuple[Path, ...], before: dict[str, ModuleType]) -> None:
    """Take the vendor's names, the script and the modules beside it out of sys.modules again."""
    tops = {
        name
        for name, module in list(sys.modules.items())
        if name not in before
        and "." not in name
        and any(_is_beside(module, folder) for folder in folders)
    }
    tops |= {MODULE_NAME, VENDOR_PACKAGE}
    for name in [item for item in list(sys.modules) if item.partition(".")[0] in tops]:
        del sys.modules[name]
    sys.modules.update(
        {name: module for name, module in before.items() if name.startswith(VENDOR_PACKAGE)}
    )


def _is_beside(module: ModuleType, folder: Path) -> bool:
    """True for a module or package that lies in ``folder`` itself (not in a .venv below it)."""
    places = list(getattr(module, "__path__", ())) or [getattr(module, "__file__", None)]
    return any(place is not None and Path(place).parent == folder for place in places)


@contextlib.contextmanager
def script_errors(script: Path) -> Iterator[None]:
    """Turn whatever a script raises into a sentence with the script's file and line."""
    try:
        yield
    except ForwardError as error:  # a fault of ours: it must not look like the script's
        raise error.__cause__ or error from None
    except KnightliteError as error:
        place = _place(script, error)
        sentence = f"{place}: {error.sentence}" if place else error.sentence
        raise type(error)(sentence, error.hint, error.findings) from error
    except ModuleNotFoundError as error:
        raise _missing_module(script, error) from error
    except SyntaxError as error:
        name = Path(error.filename).name if error.filename else script.name
        raise UsageError(
            f"{name}:{error.lineno}: {error.msg}.", "the script must run under Python 3"
        ) from error
    except SystemExit as error:
        place = _place(script, error) or script.name
        raise DataError(f"{place}: the script called exit({error.code!r}).") from error
    except MissingAttributeError as error:
        raise error.refusal(_place(script, error) or script.name) from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # of its own making, too
        if _leaves(error):
            raise
        place = _place(script, error) or script.name
        if is_untrusted(error):
            raise untrusted(f"{place}: the checkpoint") from error
        text = " ".join(str(error).split()).rstrip(".")
        raise DataError(f"{place}: {type(error).__name__}: {text}.") from error


def _leaves(error: BaseException) -> bool:
    """Whether we ourselves left the script, through it, when we had seen enough."""
    ours = type(error).__module__.partition(".")[0] == __name__.partition(".")[0]
    return ours and not isinstance(error, Exception)


def is_untrusted(error: BaseException) -> bool:
    """True for the error with which torch refuses a checkpoint of more than tensors."""
    return type(error).__name__ == "UnpicklingError" and "weights_only" in str(error)


def untrusted(what: str) -> DataError:
    """The sentence for such a checkpoint."""
    return DataError(
        f"{what} holds pickled objects, which can run any code when they are loaded.",
        "--trust-checkpoint loads it, where you trust who made it",
    )


def is_missing(package: str) -> bool:
    """True where this interpreter cannot find a package; it is not imported."""
    try:
        return importlib.util.find_spec(package) is None
    except (ImportError, ValueError):  # taken out of sys.modules, or made by hand
        return package not in sys.modules or sys.modules[package] is None


def _place(script: Path, error: BaseException) -> str | None:
    """``name.py:line`` of the innermost frame in the script, else in a file beside it."""
    frames = traceback.extract_tb(error.__traceback__)
    folder = script.resolve().parent
    inside = [frame for frame in frames if Path(frame.filename).resolve() == script.resolve()]
    beside = [frame for frame in frames if Path(frame.filename).resolve().parent == folder]
    for frame in reversed(inside or beside):
        return f"{Path(frame.filename).name}:{frame.lineno}"
    return None


def _missing_module(script: Path, error: ModuleNotFoundError) -> KnightliteError:
    place = _place(script, error) or script.name
    name = error.name or "?"
    top = name.partition(".")[0]
    if top == VENDOR_PACKAGE:
        return UnsupportedError(
            f"{place}: the script imports {name}, of which knightlite only provides "
            f"{VENDOR_PACKAGE}.common.register and {VENDOR_PACKAGE}.utils.constants."
        )
    lacking = dict.fromkeys([name, *filter(is_missing, needed_packages(script))])
    names = [item for item in lacking if item == name or item != top]
    packages = dict.fromkeys(_pip_name(item) for item in names)
    verb = "is" if len(names) == 1 else "are"
    listed = " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
    return UsageError(
        f"{place}: the script imports {listed}, which {verb} not installed.",
        f"install {'it' if len(names) == 1 else 'them'} ({sys.executable} -m pip install "
        f"{' '.join(packages)}), name a Python that has what it imports with --script-python PATH, "
        "or feed a picture folder without a script: -d DIR --recipe NAME",
    )


def _pip_name(module: str) -> str:
    top = module.partition(".")[0]
    return PIP_NAMES.get(top, top)
