"""`python -m scripts.portal.words`: bring new texts of the portal into its catalogue, and drop old ones.

What is already translated stays as it is; a text that is new comes with an empty translation, for
somebody to write.
"""

from __future__ import annotations

import sys
from io import BytesIO

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

from headquarters.portal.words import LOCALES, catalogue_file

KEYWORDS = {"_": None, "N_": None, "gettext": None, "ngettext": (1, 2)}
METHODS = [("**.py", "python"), ("**/templates/**.html", "jinja2")]
OPTIONS = {"**/templates/**.html": {"newstyle_gettext": "true", "trim_blocks": "true", "silent": "false"}}


def extracted() -> Catalog:
    """Every text that the portal's code and templates show."""
    found = Catalog(charset="utf-8")
    for file, line, text, comments, context in extract_from_dir(
        LOCALES.parent, METHODS, OPTIONS, KEYWORDS, strip_comment_tags=True
    ):
        if text:
            found.add(text, None, [(file, line)], auto_comments=comments, context=context)
    return found


def kept(language: str) -> Catalog:
    """The catalogue of a language."""
    with catalogue_file(language).open("rb") as file:
        return read_po(file, locale=language)


def merged(language: str) -> bytes:
    """The catalogue with what is new and without what is gone, by text, without places in the code."""
    before, found = kept(language), Catalog(locale=language, charset="utf-8", fuzzy=False)
    for message in extracted():
        if message.id:
            known = before.get(message.id)
            found.add(message.id, None if known is None else known.string)
    out = BytesIO()
    write_po(out, found, width=110, no_location=True, sort_output=True, omit_header=True)
    plurals = f"Plural-Forms: nplurals={found.num_plurals}; plural={found.plural_expr};"
    head = (
        '# Written by hand.\nmsgid ""\nmsgstr ""\n'
        f'"Content-Type: text/plain; charset=utf-8\\n"\n"{plurals}\\n"\n\n'
    )
    return head.encode() + out.getvalue()


def main() -> None:
    """Write the catalogues anew, and say what waits for a translation."""
    for folder in sorted(LOCALES.iterdir()):
        language = folder.name
        catalogue_file(language).write_bytes(merged(language))
        empty = [message.id for message in kept(language) if message.id and not _is_whole(message.string)]
        for text in empty:
            sys.stderr.write(
                f"{language}: expected a translation of {text!r}; write it into {catalogue_file(language)}\n"
            )


def _is_whole(translated: str | tuple[str, ...] | list[str] | None) -> bool:
    return bool(translated) if translated is None or isinstance(translated, str) else all(translated)


if __name__ == "__main__":
    main()
