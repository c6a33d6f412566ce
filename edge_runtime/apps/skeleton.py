"""The beginning of an app: small, but it runs, and its test passes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from protocols.durable import write_durably
from protocols.errors import InputError, Problem
from protocols.package.names import APP
from protocols.package.settings import ID_EXPECTED, is_id

MANIFEST = """\
# What the app says of itself. Every setting: docs/apps.md. After a change: catchment-edge app check

[app]
id = {id}
version = "0.1.0"
class = {app_class}
publisher = {publisher}
period_s = 1
title = {{en = {title}}}          # {{en = "...", zh = "..."}} for both languages

[app.summary]
en = "Raises an alarm when a value stays above its limit."

# Inputs that are bound to points on the gateway; outputs become points by themselves.
[permissions]
read = ["value"]
events = true

[parameters.limit]
default = 80.0
low = 0.0
high = 200.0
unit = "Cel"
title = {{en = "Limit of the alarm", zh = "报警限值"}}

[parameters.delay]
default = "T#2s"
low = "T#0s"
high = "T#1h"
title = {{en = "How long the value must be above it", zh = "报警延时"}}

[outputs.high]
title = {{en = "Too high for too long", zh = "超限报警"}}

[[program]]
file = "programs/main.st"
"""

PROGRAM = """\
(* The rule language by examples: docs/rules.md. Its reference: docs/rules-reference.md *)
PROGRAM main
VAR_INPUT
    value : LREAL {unit 'Cel'};
END_VAR
VAR_INPUT CONSTANT
    limit : LREAL {unit 'Cel'};
    delay : TIME;
END_VAR
VAR_OUTPUT
    high : BOOL;
END_VAR
VAR
    above : TON;
    raised : ALARM;
END_VAR

above(IN := value > limit, PT := delay);
high := above.Q;
raised(IN := high, VALUE := value, PRIORITY := 2, TEXT := 'value too high');
END_PROGRAM
"""

TEST = {
    "input.csv": """\
time,value
0,70
1,85
2,86
3,87
4,70
5,
""",
    "expected.csv": """\
time,high,high.quality
0,false,0
1,false,0
2,false,0
3,true,0
4,false,0
5,false,2
""",
    "events.csv": """\
time,kind,text,value,quality
3,alarm,value too high,87.0,0
4,returned,value too high,70.0,0
""",
}
"""A limit passed for two seconds, the return, and a value that cannot be read."""


def create(folder: Path, id: str, app_class: str, publisher: str) -> list[Path]:
    """Write a new app.

    Args:
        folder: Where; it must not exist, or be empty.
        id: The app's id; empty for the folder's name.
        app_class: One of the four classes.
        publisher: Whose it is.

    Returns:
        The files that were written.

    Raises:
        InputError: The folder is in use, or an id is none.
        StoreError: The disk failed.
    """
    id = id or folder.resolve().name
    problems = [
        Problem("command line", option, value, ID_EXPECTED)
        for option, value in (("--id", id), ("--publisher", publisher))
        if not is_id(value)
    ]
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        problems.append(Problem("command line", "DIR", str(folder), "a folder that is new or empty"))
    if problems:
        raise InputError(problems)
    return _write(folder, _files(id, app_class, publisher))


def _files(id: str, app_class: str, publisher: str) -> Mapping[str, str]:
    texts = {
        "id": id,
        "app_class": app_class,
        "publisher": publisher,
        "title": id.replace("-", " ").capitalize(),
    }
    manifest = MANIFEST.format(**{key: json.dumps(text) for key, text in texts.items()})
    tests = {f"tests/limit/{name}": text for name, text in TEST.items()}
    return {"programs/main.st": PROGRAM, **tests, APP: manifest}


def _write(folder: Path, files: Mapping[str, str]) -> list[Path]:
    written = []
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(path, text)
        written.append(path)
    return written
