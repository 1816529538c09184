"""Text of a page: no name in it can do anything."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from knightlite.html_pages import document, table, text

HOSTILE = (
    "</script><script>alert(1)</script>",
    '"><img src=http://127.0.0.1:1/x onerror=alert(1)>',
    "a\u202egnp.exe\x1b[31m\0",
    "\ud800 &amp; ' `",
)


class Elements(HTMLParser):
    """What elements a page has, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.words = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.found.append(tag)

    def handle_data(self, data: str) -> None:
        self.words += data


@given(st.text(st.characters()))
def test_any_text_is_text(value: str) -> None:
    found = Elements(f"<p>{text(value)}</p>")
    assert found.found == ["p"]
    assert text(value).encode("utf-8").decode() == text(value)
    assert not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e]", text(value))


def test_names_that_would_do_something() -> None:
    page = document(HOSTILE[0], table(HOSTILE[:2], [HOSTILE[2:]], HOSTILE[1]))
    plain = document("a", table(("a", "a"), [("a", "a")], "a"))
    assert Elements(page).found == Elements(plain).found
    assert "a\\u202egnp.exe\\u001b[31m\\u0000" in page
    assert "\\ud800 &amp;amp; &#x27; `" in page
    page.encode("utf-8")


def test_a_page_may_ask_for_nothing() -> None:
    assert "default-src 'none'" in document("a", "")


def test_rows_that_begin_with_a_marked_word_stand_out() -> None:
    rows = [["a", "x", "1"], ["x", "a", "2"], ["b", "y", "a"]]
    page = table(["name", "of", "count"], rows, "l", texts=2, marked=frozenset(["a", "1"]))
    lines = re.findall("<tr.*?</tr>", page)
    assert [line.startswith('<tr class="marked">') for line in lines] == [False, True, False, False]
    for line, cells in zip(lines, [["name", "of", "count"], *rows], strict=True):
        found = re.findall('<t[hd]( class="text")?>(.*?)</t[hd]>', line)
        assert [word for _, word in found] == cells
        assert [bool(kind) for kind, _ in found] == [True, True, False]
