"""Both languages of the portal.

English stands in the templates and in the code; `locales/zh/LC_MESSAGES/portal.po` has the Chinese,
written for those who work in a plant and not word for word. `make portal` brings new texts into it.
"""

from __future__ import annotations

from functools import cache
from gettext import NullTranslations
from io import BytesIO
from pathlib import Path

from babel import Locale
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import Translations

LOCALES = Path(__file__).parent / "locales"
DOMAIN = "portal"
LANGUAGES = {"zh": "中文", "en": "English"}
DEFAULT = "en"


def N_(text: str) -> str:  # noqa: N802 - the name by which the catalogue's tools find it
    """Mark a text for translation where it is not shown yet.

    >>> N_("live")
    'live'
    """
    return text


def catalogue_file(language: str) -> Path:
    """Where the texts of a language are."""
    return LOCALES / language / "LC_MESSAGES" / f"{DOMAIN}.po"


@cache
def translations(language: str) -> NullTranslations:
    """The texts of a language.

    >>> translations("zh").gettext("Gateways")
    '网关'
    >>> translations("en").gettext("Gateways")
    'Gateways'
    """
    if language == DEFAULT:
        return NullTranslations()
    with catalogue_file(language).open("rb") as file:
        read = read_po(file, locale=language)
    compiled = BytesIO()
    write_mo(compiled, read)
    compiled.seek(0)
    return Translations(compiled)


@cache
def locale(language: str) -> Locale:
    """How a language writes numbers and dates."""
    return Locale.parse({"zh": "zh_Hans_CN", "en": "en_GB"}[language])


def preferred(accepted: str) -> str:
    """The language for somebody who chose none, from what the browser says.

    Args:
        accepted: The header `Accept-Language`.

    >>> preferred("de, zh-CN;q=0.8, en;q=0.7"), preferred("fr"), preferred("en;q=0.1, zh;q=0.9")
    ('zh', 'en', 'zh')
    """
    best, language = 0.0, DEFAULT
    for part in accepted.split(","):
        tag, _, weight = part.strip().partition(";q=")
        try:
            value = float(weight) if weight else 1.0
        except ValueError:
            continue
        name = tag.strip().lower().split("-")[0]
        if name in LANGUAGES and value > best:
            best, language = value, name
    return language
