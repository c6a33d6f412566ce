"""How numbers, sizes, spans and times are written for people."""

from __future__ import annotations

from datetime import UTC, datetime

from babel.numbers import format_decimal
from markupsafe import Markup, escape

from headquarters.portal.words import N_, locale, translations

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
NOTHING = "–"
DAYS = N_("days")


def number(value: float | None, language: str, digits: int | None = None) -> str:
    """A number with separators, and no more digits than somebody reads.

    Args:
        value: `None` for nothing.
        language: `zh` or `en`.
        digits: Behind the point; by default fewer the larger it is.

    >>> number(1234567, "en"), number(3.14159, "en"), number(None, "en"), number(0.01234, "en")
    ('1,234,567', '3.14', '–', '0.012')
    """
    if value is None or value != value or value in (float("inf"), float("-inf")):
        return NOTHING
    if digits is None:
        size = abs(value)
        digits = 0 if size >= 1000 or value == int(value) else 1 if size >= 100 else 2 if size >= 1 else 3
    pattern = "#,##0" + ("." + "0" * digits if digits else "")
    return format_decimal(value, pattern, locale=locale(language))


def size(count: float | None, language: str) -> str:
    """A number of bytes.

    >>> size(123, "en"), size(1_234_567, "en"), size(5e12, "en")
    ('123 B', '1.23 MB', '5.00 TB')
    """
    if count is None:
        return NOTHING
    step = 0
    while count >= 1000 and step < len(_UNITS) - 1:
        count, step = count / 1000, step + 1
    return f"{number(count, language, 0 if step == 0 else 2 if count < 10 else 1)} {_UNITS[step]}"


def span(seconds: float | None, language: str) -> str:
    """A span of time with the unit that fits.

    >>> span(0.25, "en"), span(75, "en"), span(7300, "en"), span(3 * 86400, "zh")
    ('250 ms', '75 s', '2.0 h', '3.0 天')
    """
    if seconds is None:
        return NOTHING
    if abs(seconds) < 1:
        return f"{number(seconds * 1000, language, 0)} ms"
    if abs(seconds) < 120:
        return f"{number(seconds, language, 0)} s"
    if abs(seconds) < 7200:
        return f"{number(seconds / 60, language, 0)} min"
    if abs(seconds) < 2 * 86400:
        return f"{number(seconds / 3600, language, 1)} h"
    return f"{number(seconds / 86400, language, 1)} {translations(language).gettext(DAYS)}"


_SYMBOLS = {
    "Cel": "°C",
    "um": "µm",
    "uS/cm": "µS/cm",
    "ug/L": "µg/L",
    "{rev}/min": "r/min",
    "[pH]": "pH",
    "[ppm]": "ppm",
    "%{LEL}": "% LEL",
    "m3": "m³",
    "m3/h": "m³/h",
    "km3/h": "km³/h",
    "mg/m3": "mg/m³",
    "kg/m3": "kg/m³",
    "MV.A": "MVA",
    "1": "",
}


def whole_span(seconds: int, language: str) -> str:
    """A span that somebody chose, in whole units.

    >>> whole_span(900, "en"), whole_span(3600, "en"), whole_span(604_800, "en"), whole_span(86_400, "zh")
    ('15 min', '1 h', '7 days', '24 h')
    """
    if seconds % 86_400 == 0 and seconds > 86_400:
        return f"{seconds // 86_400} {translations(language).gettext(DAYS)}"
    return f"{seconds // 3600} h" if seconds % 3600 == 0 else f"{seconds // 60} min"


def unit(code: str) -> str:
    """A UCUM code as people write the unit.

    >>> unit("Cel"), unit("t/h")
    ('°C', 't/h')
    """
    return _SYMBOLS.get(code, code)


def iso(time_us: int) -> str:
    """A time as ISO 8601 in UTC, to the millisecond.

    >>> iso(1_700_000_000_123_456)
    '2023-11-14T22:13:20.123Z'
    """
    whole, rest = divmod(time_us, 1_000_000)
    try:
        stamp = datetime.fromtimestamp(whole, UTC)
    except (ValueError, OverflowError, OSError):
        return f"{time_us} us"
    return f"{stamp:%Y-%m-%dT%H:%M:%S}.{rest // 1000:03d}Z"


def moment(time_us: int | None, form: str = "whole") -> Markup:
    """A time as an element: in UTC until the reader's browser writes its own.

    Args:
        time_us: `None` for never.
        form: `whole`, `clock`, `ago`, or `zone` for whole with its zone.

    >>> moment(0)
    Markup('<time datetime="1970-01-01T00:00:00.000Z" data-form="whole">1970-01-01 00:00:00 UTC</time>')
    >>> moment(None)
    Markup('<span class="soft">–</span>')
    """
    if time_us is None:
        return Markup('<span class="soft">–</span>')
    text = iso(time_us)
    shown = escape(text[:19].replace("T", " ") + " UTC" if "T" in text else text)
    return Markup('<time datetime="{}" data-form="{}">{}</time>').format(text, form, shown)


def breakable(name: str) -> Markup:
    """A long name that may be broken behind each underscore.

    >>> breakable("a_<b>")
    Markup('a_<wbr>&lt;b&gt;')
    """
    return Markup("_<wbr>").join(name.split("_"))


def quality_word(code: int) -> str:
    """The class of an OPC UA StatusCode (OPC 10000-4, 7.39): its two highest bits.

    >>> quality_word(0), quality_word(0x40000000), quality_word(0x80000000)
    ('good', 'uncertain', 'bad')
    """
    return ("good", "uncertain", "bad", "bad")[(code & 0xFFFFFFFF) >> 30]
