"""Small pieces of HTML; every text goes through `escape`.

>>> cell("<b>")
'<td>&lt;b&gt;</td>'
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from edge_runtime.page.words import say


def cell(value: object, kind: str = "") -> str:
    """A cell of a table."""
    return f"<td{_class(kind)}>{escape(shown(value))}</td>"


def number(value: object) -> str:
    """A cell with a number."""
    return cell(value, "number")


def badge(language: str, level: str, words: str) -> str:
    """A word with a colour and a sign, so that the colour is not all there is."""
    sign = {"good": "●", "attention": "▲", "fault": "■"}[level]
    title = escape(say(language, level))
    return (
        f'<span class="badge {level}"><span aria-hidden="true">{sign}</span> '
        f'<span class="hidden">{title}: </span>{escape(say(language, words))}</span>'
    )


def table(language: str, caption: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are HTML already; a head that begins with `#` is of a column of numbers."""
    head = "".join(_head(language, each) for each in heads)
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    named = escape(say(language, caption))
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{named}"><table>'
        f'<caption class="hidden">{named}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def facts(language: str, pairs: Iterable[tuple[str, object]]) -> str:
    """Names and values."""
    rows = "".join(
        f"<div><dt>{escape(say(language, name))}</dt><dd>{escape(shown(value))}</dd></div>"
        for name, value in pairs
    )
    return f"<dl>{rows}</dl>"


def section(language: str, id: str, title: str, body: str) -> str:
    """A part of the page with its heading."""
    named = escape(say(language, title))
    return f'<section id="{id}" aria-labelledby="{id}-head"><h2 id="{id}-head">{named}</h2>{body}</section>'


def shown(value: object) -> str:
    """A value as people read it."""
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "✓" if value else "✗"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.6g}" if isinstance(value, float) else str(value)


def _head(language: str, words: str) -> str:
    kind = _class("number") if words.startswith("#") else ""
    return f'<th scope="col"{kind}>{escape(say(language, words.removeprefix("#")))}</th>'


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""


__all__ = ["badge", "cell", "escape", "facts", "number", "section", "shown", "table"]
