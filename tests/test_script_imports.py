"""What a user script needs, read from its text."""

from __future__ import annotations

from pathlib import Path

import pytest

from knightlite.script_imports import needed_packages


@pytest.mark.parametrize(
    ("text", "packages"),
    [
        ("import numpy, torch.nn as nn\nfrom PIL import Image", ("numpy", "torch", "PIL")),
        ("import os, json.decoder\nfrom collections import abc", ()),  # Python's own
        ("import onnx_quantize_tool\nfrom infer_common import x", ()),  # what ships
        ("import beside\nimport folder.inner", ("inside", "deeper")),
        ("from .beside import x\nfrom ..other import y\nfrom . import z", ()),  # of a package
        ("try:\n    import a\nexcept ImportError:\n    import b", ()),  # it can do without
        ("try:\n    import a\nexcept:\n    pass\nimport c", ("c",)),
        ("try:\n    import a\nfinally:\n    import b", ("a", "b")),
        ("try:\n    import a\nexcept KeyError:\n    import b", ("a", "b")),
        ("if True:\n    import a\nfor x in y:\n    import b\nelse:\n    import c", ("a", "b", "c")),
        ("class A:\n    import a", ("a",)),
        ("def other():\n    import a", ()),  # is not called
        ("def feed():\n    import a\n    def inner():\n        import b", ("a",)),
        ("@register('feed')\ndef f():\n    if x:\n        import a", ("a",)),
        ("async def feed():\n    import a", ("a",)),
        ("import a\nimport a.b\nfrom a import c", ("a",)),
        ("import (", ()),  # said where it is run
    ],
)
def test_packages(tmp_path: Path, text: str, packages: tuple[str, ...]) -> None:
    """``beside.py`` and the package ``folder`` lie beside the script, and are followed."""
    (tmp_path / "beside.py").write_text("import inside, script")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "__init__.py").write_text("")
    (tmp_path / "folder" / "inner.py").write_text("import deeper\nfrom . import other")
    path = tmp_path / "script.py"
    path.write_text(text)
    assert sorted(needed_packages(path, "feed")) == sorted(packages)


def test_a_function_that_is_not_asked_for_needs_nothing(tmp_path: Path) -> None:
    path = tmp_path / "script.py"
    path.write_text("import a\ndef feed():\n    import b")
    assert needed_packages(path) == ("a",)
    assert needed_packages(path, "feed") == ("a", "b")
    assert needed_packages(tmp_path / "none.py") == ()
