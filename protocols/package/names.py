"""Which files an app package may hold, and what they may be called.

A package carries source: Structured Text, tables, ONNX graphs, dashboards and tests. No
Python and nothing that was generated is among them, so none of it can be smuggled in.

>>> refusal("programs/vote.st"), refusal("programs/../../etc/passwd")
('', "names of letters, digits, '.', '_' and '-', each part beginning with a letter or digit")
"""

from __future__ import annotations

import re
from typing import NamedTuple

from protocols import limits

APP = "app.toml"


class Folder(NamedTuple):
    """What may be in a folder.

    Args:
        pattern: Of names below it.
        expected: In words.
    """

    pattern: re.Pattern[str]
    expected: str


_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
ROOT = (APP, "README.md", "LICENSE", "CHANGELOG.md")
TEST_FILES = ("input.csv", "expected.csv", "events.csv", "parameters.toml")
FOLDERS = {
    "programs": Folder(re.compile(r"[^/]+\.st"), "programs/NAME.st"),
    "tables": Folder(re.compile(r"[^/]+\.(csv|toml)"), "tables/NAME.csv or tables/NAME.toml"),
    "models": Folder(re.compile(r"[^/]+\.onnx"), "models/NAME.onnx"),
    "dashboards": Folder(re.compile(r"[^/]+\.json"), "dashboards/NAME.json"),
    "tests": Folder(
        re.compile(r"[^/]+/(" + "|".join(map(re.escape, TEST_FILES)) + ")"),
        "tests/NAME/ with " + ", ".join(TEST_FILES),
    ),
}


def refusal(name: str) -> str:
    """What was expected instead of this name in a package; empty when it is right.

    Args:
        name: With folders, separated by `/`.
    """
    if len(name) > limits.PACKAGE_PATH_CHARS_MAX:
        return f"names of at most {limits.PACKAGE_PATH_CHARS_MAX} characters"
    parts = name.split("/")
    if not all(_PART.fullmatch(part) for part in parts):
        return "names of letters, digits, '.', '_' and '-', each part beginning with a letter or digit"
    if len(parts) == 1:
        return "" if name in ROOT else _known()
    folder = FOLDERS.get(parts[0])
    if folder is None:
        return _known()
    return "" if folder.pattern.fullmatch("/".join(parts[1:])) else folder.expected


def _known() -> str:
    folders = ", ".join(f"{folder}/" for folder in FOLDERS)
    return f"one of {', '.join(ROOT)}, or a file in {folders}: packages carry source and no other code"
