"""Pages in a real browser: nothing asked for, nothing that cannot be read, everything works."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from assembled import RCCN, RDMA, TINY, WDMA, load, program, small_matrix, store, tensor
from browsers import look_at, needs_browser
from knightlite.api.advising.page import page_of
from knightlite.api.models.binary import Binary
from knightlite.container import Program
from knightlite.html_pages import document, table
from knightlite.isa import Instruction, Space
from knightlite.profiler import profile
from knightlite.report import Tried, assumed_advice, chosen
from test_html_pages import HOSTILE

SECONDS = 2.0  # until a page of a large network is there; ten times that where others work too
LAYERS, PARTS = 430, 5  # of DenseNet121 at level 0, and instructions of each by engine


def network(layers: int, parts: int, names: tuple[str, ...]) -> Program:
    """Layers that load, multiply and store; ``names``: of the first of them."""
    code: list[Instruction] = []
    for at in range(layers):
        for part in range(parts):
            code += [
                load(Space.FSPM, 4096, 640 + at, layer=at, signal=RCCN),
                small_matrix(layer=at, wait=RDMA, signal=WDMA),
                store(1024, 8192 + part, 16, layer=at, wait=RCCN),
            ]
    every = [*names, *(f"block_{at}/conv" for at in range(len(names), layers))]
    x = tensor("x", "u8", (1, 1, 2048), 4096)
    y = tensor("y", "u8", (1, 1, 16), 8192, first=2, ready=len(code) - 1)
    return program(
        code, bytes(64), [x], [y], [x, y], every, replace(TINY, ddr_burst_bytes=64),
        fspm_peak=[2560] * layers,
    )  # fmt: skip


def page(made: Program) -> str:
    found = profile(made)
    assumed = assumed_advice(found, "knightlite profile")
    tried = Tried(chosen(assumed, ()), assumed, (), ("Nothing was compiled again",))
    explained = [(layer.name, "schedule", f"<i>{layer.name}</i>") for layer in made.meta.layers]
    return page_of(found, Binary(Path("n_r.cfg"), Path("n_r.weight"), made), tried, explained)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("page")
    path = folder / "page.html"
    made = network(LAYERS, PARTS, HOSTILE[:3])
    path.write_text(page(made), encoding="utf-8")
    cycles = [row.cycles for row in profile(made).layers]
    return look_at(path) | {
        "address": f"file://{path.resolve()}",
        "bytes": path.stat().st_size,
        "cycles": cycles,
    }


@needs_browser
def test_a_large_page_is_readable_and_asks_for_nothing(seen: Any) -> None:
    assert len(seen["looks"]) == 4
    for look in seen["looks"]:
        assert look["violations"] == []
        assert look["errors"] == []
        assert look["requests"] == [seen["address"]]
        assert look["overflow"] <= 0
        assert look["seconds"] < 10 * SECONDS
    assert min(look["seconds"] for look in seen["looks"]) < SECONDS
    assert seen["bytes"] < 600_000


@needs_browser
def test_layers_are_sorted_filtered_and_told_of(seen: Any) -> None:
    use = seen["use"]
    assert use["errors"] == []
    assert len(use["order"]) == LAYERS
    assert use["order"][3:5] == ["block_3/conv", "block_4/conv"]
    cycles = dict(zip(use["order"], seen["cycles"], strict=True))
    for names, wanted in (
        (use["slowest"], sorted(cycles.values(), reverse=True)),
        (use["fastest"], sorted(cycles.values())),
    ):
        assert [cycles[name] for name in names] == wanted
    assert cycles[use["slowest"][0]] > cycles[use["fastest"][0]]
    assert use["filtered"] == [use["order"][1]]
    assert use["order"][0] == HOSTILE[0]  # text, and nothing else
    assert "Instructions: 15" in use["detail"]
    assert f"schedule: <i>{use['fastest'][0]}</i>" in use["detail"]
    assert use["link"].startswith("#layer-")


@needs_browser
def test_plots_are_drawn_and_zoom_together_by_keyboard(seen: Any) -> None:
    use = seen["use"]
    assert min(use["painted"].values()) > 100
    first, last = use["whole"]
    both = use["zoomed"]
    assert both[0] == both[1]
    low, high = both[0]
    assert high - low == pytest.approx((last - first) / 4, rel=0.01)
    assert low > first
    assert use["again"] == use["whole"]
    assert use["otherMemory"]
    assert "RDMA, " in use["told"]
    assert "cycles" in use["told"]


@needs_browser
def test_a_page_that_asks_is_caught(tmp_path: Path) -> None:
    """The checks above see what they are to see."""
    path = tmp_path / "page.html"
    body = '<img src="http://127.0.0.1:9/x"><p style="color:#ccc;background:#fff">pale</p>'
    wide = '<div style="width:2000px">wide</div><script>null.x</script>'
    text = document("bad", table(("a",), [("b",)], "all") + body + wide)
    path.write_text(text.replace("default-src 'none'; ", ""), encoding="utf-8")
    for look in look_at(path)["looks"]:
        names = [item.partition(":")[0] for item in look["violations"]]
        assert {"image-alt", "color-contrast"} <= set(names)
        assert look["overflow"] > 0
        assert any("127.0.0.1" in item for item in look["requests"])
        assert look["errors"]
