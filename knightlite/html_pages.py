"""Self-contained HTML pages: one look for all of them, and text in which no name can do anything.

A page asks for nothing: no file, no address; its policy forbids what it does not hold itself.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'"
)
# C0 but tab and line feed, DEL, C1, line and paragraph separators, marks of direction, surrogates
CONTROLS = re.compile(
    "[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u2028\\u2029\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u2069"
    "\\ud800-\\udfff]"
)
STYLE = """
:root { color-scheme: light dark; --ink: #1d2327; --dim: #55606a; --paper: #ffffff;
  --line: #d5dade; --soft: #f3f5f7; --bad: #a93226; --bad-soft: #fbf1ef; --good: #1e6b33;
  --good-soft: #eff7f1; --link: #1a5a96; --bar: #4f86b5; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8eb; --dim: #a9b4bd; --paper: #14181b;
  --line: #39434b; --soft: #1e2429; --bad: #f1948a; --bad-soft: #2d1e1c; --good: #7dcea0;
  --good-soft: #17281e; --link: #85bdee; --bar: #4f86b5; } }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 0 auto;
  padding: 1rem; color: var(--ink); background: var(--paper); }
h1 { font-size: 1.5rem; line-height: 1.25; margin: .5rem 0; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; }
h1, h2, h3, p, li, code { overflow-wrap: anywhere; }
p { max-width: 70ch; } .dim { color: var(--dim); } a { color: var(--link); }
code { font-size: .92em; background: var(--soft); padding: .1em .3em; border-radius: 3px; }
table { border-collapse: collapse; font-size: 13px; width: 100%; }
th, td { text-align: right; padding: .2rem .6rem; border-bottom: 1px solid var(--line); }
th { vertical-align: bottom; } td { vertical-align: top; font-variant-numeric: tabular-nums; }
td.text, th.text { text-align: left; }
td.text:first-child { min-width: 8rem; overflow-wrap: anywhere; }
bdi { unicode-bidi: isolate; }
.marked td { background: var(--bad-soft); }
.scroll { overflow-x: auto; }
.finding { border-left: 4px solid var(--bad); padding: .3rem 1rem; background: var(--bad-soft);
  margin: 1rem 0; }
.good { border-color: var(--good); background: var(--good-soft); }
button, input, select, summary { font: inherit; color: inherit; }
button { background: var(--soft); border: 1px solid var(--line); border-radius: 4px;
  padding: .1rem .6rem; cursor: pointer; }
:focus-visible { outline: 3px solid var(--link); outline-offset: 1px; }
"""


def text(value: object) -> str:
    """A value as text of a page: nothing in it is markup, moves writing about or is not shown."""
    return html.escape(CONTROLS.sub(_spelled, str(value)))


def _spelled(found: re.Match[str]) -> str:
    return f"\\u{ord(found.group()):04x}"


def table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    label: str,
    texts: int = 1,
    marked: frozenset[str] = frozenset(),
) -> str:
    """A table that scrolls by itself. ``label``: of what, for those who do not see it.

    Cells are text; the first ``texts`` columns are words; rows that begin with one of ``marked``
    stand out.
    """

    def line(kind: str, cells: Sequence[str]) -> str:
        words = ['<{} class="text">' if place < texts else "<{}>" for place in range(len(cells))]
        return "".join(
            f"{word.format(kind)}{text(cell)}</{kind}>"
            for word, cell in zip(words, cells, strict=True)
        )

    head = line("th", columns)
    begins = {True: '<tr class="marked">', False: "<tr>"}
    body = "".join(f"{begins[row[0] in marked]}{line('td', row)}</tr>" for row in rows)
    top = f"<thead><tr>{head}</tr></thead>" if columns else ""
    return scroll(f"<table>{top}<tbody>{body}</tbody></table>", label)


def scroll(inside: str, label: str) -> str:
    """What may be wider than the page: it scrolls by itself, by keyboard too."""
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{text(label)}">{inside}</div>'
    )


def document(title: str, body: str, style: str = "", behind: str = "") -> str:
    """The whole page; ``style``: more of it, ``behind``: scripts, both written by us."""
    head = (
        f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f"<title>{text(title)}</title>"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
    )
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}<style>{STYLE}{style}</style></head>\n'
        f"<body>\n<main>\n{body}\n</main>\n{behind}</body></html>\n"
    )
