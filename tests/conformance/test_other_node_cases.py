"""ONNX's backend node tests of operators that the front-end does not list: passed or refused.

``tests/test_node_cases.py`` has those of listed operators; together they are all cases there are.
``tests/golden/other_node_tests.txt`` tabulates why each is refused.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import conftest
from test_node_cases import node_cases, tabulated

pytestmark = pytest.mark.conformance


def test_other_node_cases(tmp_path: Path, golden: conftest.Golden) -> None:
    golden.text("other_node_tests.txt", tabulated(node_cases(listed=False), tmp_path))
