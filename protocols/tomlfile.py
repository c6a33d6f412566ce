r"""TOML configuration files, with the line of everything in them.

`tomllib` gives values without positions. An operator needs the line, so the source is
walked once more, loosely: it has parsed already, only the lines are missing.

>>> places = _lines_of('[device.plc1]\nhost = "a"\nports = [\n  1,\n]\n[[upstream]]\nlink = 1\n')
>>> places["device", "plc1", "host"], places["device", "plc1", "ports"], places["upstream", 0, "link"]
(2, 3, 7)
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from protocols import limits
from protocols.errors import InputError, Problem
from protocols.field.settings import SECRET, Setting, SettingValue, validate
from protocols.textfile import read_text

KeyPath = tuple[str | int, ...]
Table = Mapping[str, Any]

VALUE_CHARS_MAX = 80
"""What is quoted of a wrong value."""


class TomlFile:
    """One parsed file that collects what is wrong with it.

    Args:
        path: The file.
        missing: What to do when there is none, as a phrase for the problem.
        text: Its content, where it does not come from a disk.

    Raises:
        InputError: It cannot be read, or is not TOML.
    """

    def __init__(self, path: Path, missing: str, text: str | None = None) -> None:
        self.file = str(path)
        self.problems: list[Problem] = []
        if text is None:
            text = read_text(path, self.file, limits.CONFIG_BYTES_MAX, missing)
        self.document: dict[str, Any] = _parse(text, self.file)
        self._lines = _lines_of(text)
        self._refuse_huge((), self.document)

    def place(self, path: KeyPath) -> str:
        """Where something is: `"line 7, [device.plc1] port"`."""
        line = None
        for end in range(len(path), 0, -1):
            line = self._lines.get(path[:end])
            if line is not None:
                break
        named = _named(path)
        return f"line {line}, {named}" if line is not None else named

    def problem(self, path: KeyPath, value: object, expected: str) -> None:
        """Note a fault."""
        self.problems.append(Problem(self.file, self.place(path), shown(value), expected))

    def table(self, path: KeyPath, parent: Table, required: bool = False) -> Table:
        """The table at the last name of `path` in its parent; empty when it is absent or wrong."""
        name = path[-1]
        assert isinstance(name, str)
        value = parent.get(name)
        if value is None:
            if required:
                self.problem(path, "", f"the table [{'.'.join(map(str, path))}]")
            return {}
        if not isinstance(value, dict):
            self.problem(path, value, f"a table, written as [{'.'.join(map(str, path))}]")
            return {}
        return value

    def tables(self, name: str) -> list[Table]:
        """The tables `[[name]]`; wrong ones are noted and left out."""
        value = self.document.get(name, [])
        if isinstance(value, dict):
            self.problem((name,), "one table", f"tables written as [[{name}]], with two brackets")
            return []
        if not isinstance(value, list):
            self.problem((name,), value, f"tables written as [[{name}]]")
            return []
        if not all(isinstance(entry, dict) for entry in value):
            self.problem((name,), value, f"tables written as [[{name}]]")
        return [entry for entry in value if isinstance(entry, dict)]

    def known(self, path: KeyPath, table: Table, names: Collection[str]) -> None:
        """Note every key that is none of `names`, with the nearest of them."""
        for key in table:
            if key not in names:
                what = "a known setting" if path else "a known table or setting"
                self.problem((*path, key), table[key], f"{what}; {suggest(key, names)}")

    def settings(self, path: KeyPath, table: Table, schema: Sequence[Setting]) -> dict[str, SettingValue]:
        """The settings of a table, complete; what is wrong is noted and replaced by its default."""
        self.note(path, table, validate(schema, table, self.file, "")[1])
        complete: dict[str, SettingValue] = {}
        for setting in schema:
            right, value = setting.accept(table[setting.name]) if setting.name in table else (False, None)
            complete[setting.name] = value if right else setting.default
        return complete

    def note(self, path: KeyPath, table: Table, problems: Sequence[Problem]) -> None:
        """Note problems that `settings.validate` found in a table, with their lines."""
        for problem in problems:
            key = problem.place.strip()
            # A table or list prints as Python would, and too long: give its kind instead.
            secret = problem.value == "(secret)" or SECRET.search(key)
            value = "(secret)" if secret else shown(table.get(key, ""))
            self.problems.append(Problem(self.file, self.place((*path, key)), value, problem.expected))

    def _refuse_huge(self, path: KeyPath, value: object) -> None:
        """Note whole numbers that TOML does not promise (64 bits) and put 0 in their place."""
        if isinstance(value, (dict, list)):
            entries = list(value.items() if isinstance(value, dict) else enumerate(value))
            for key, entry in entries:
                if isinstance(entry, int) and not -limits.INT63_MAX - 1 <= entry <= limits.INT63_MAX:
                    found = f"a whole number of {entry.bit_length()} bits"
                    self.problem((*path, key), found, "a whole number of at most 64 bits")
                    value[key] = 0
                else:
                    self._refuse_huge((*path, key), entry)


def shown(value: object) -> str:
    """A wrong value as an operator wrote it, cut to a readable length."""
    if isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, dict):
        text = "a table"
    elif isinstance(value, list):
        text = "a list"
    else:
        text = str(value)
    return text if len(text) <= VALUE_CHARS_MAX else text[: VALUE_CHARS_MAX - 3] + "..."


def suggest(word: str, known: Collection[str]) -> str:
    """The nearest known word as a question, or all of them."""
    lowered = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower()[:VALUE_CHARS_MAX], lowered, 1)
    if near:
        return f"did you mean {lowered[near[0]]!r}?"
    if not known:
        return "there is none yet"
    names = sorted(known)
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    return "known: " + ", ".join(names[:12]) + more


_REASONS = {
    "overwrite": "remove one of the two, or write the [table] heading that is missing between them",
    "twice": "remove one of the two",
    r"Illegal character '\n'": "close the text with the quote that it begins with",
    "Unterminated string": "close the text with the quote that it begins with",
    "Unclosed array": "close the list with ]",
    "Illegal character": "remove the character",
    "Unescaped": "write backslashes in 'single quotes', or doubled",
}
_NUMERIC = re.compile(r"=\s*[+-]?[\d_]+(\.\d+)?\s*(#|$)")
_AT = re.compile(r"\(at (?:line (\d+), column (\d+)|end of document)\)")
_FULL_WIDTH = {
    "＝": "=", "“": '"', "”": '"', "‘": "'", "’": "'", "，": ",", "【": "[", "】": "]",
    "。": ".", "：": ":", "＃": "#", "［": "[", "］": "]", "\u00a0": " ", "\u3000": " ", "\ufeff": "nothing",
}  # fmt: skip


def _parse(text: str, file: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise InputError([Problem(file, "file", "too deeply nested values", "flat tables")]) from error
    except ValueError as error:
        raise InputError([_syntax(text, file, str(error))]) from error


def _syntax(text: str, file: str, message: str) -> Problem:
    """What is wrong in a file that does not parse, with the remedy for the usual slips."""
    lines = text.split("\n")
    at = _AT.search(message)
    if at is None:
        # Without a position tomllib met a number or date that Python itself refused.
        return Problem(file, _line_of_digits(lines), message.split(";")[0], "a number of usual length")
    line = int(at[1]) if at[1] else len(lines)
    source = lines[min(line, len(lines)) - 1]
    place = f"line {line}, column {at[2]}" if at[1] else f"line {line} (end of the file)"
    reason = _AT.sub("", message).strip()
    found = "(a line with a secret)" if SECRET.search(source) else shown(source.strip())
    return Problem(file, place, found, f"valid TOML ({reason}); {_remedy(source, reason)}")


def _line_of_digits(lines: Sequence[str]) -> str:
    longest = max(range(len(lines)), key=lambda index: len(lines[index]))
    return f"line {longest + 1}"


def _remedy(source: str, reason: str) -> str:
    wide = next((c for c in source if c in _FULL_WIDTH), None)
    if wide is not None:
        name = "a full-width or special character" if wide.isspace() or wide == "\ufeff" else repr(wide)
        return f"write {_FULL_WIDTH[wide]!r} instead of {name}"
    for words, remedy in _REASONS.items():
        if words in reason:
            return remedy
    if re.match(r"\s*[\w.-]+\s*:", source):
        return "write key = value, with '=' and not ':'"
    if re.match(r"\s*[\w.-]+\s*=\s*(True|False|yes|no|on|off|None)\b", source):
        return "write true or false, in lower case and without quotes"
    if re.match(r"""\s*[\w.-]+\s*=\s*[^\s"'\[{#][^"'#]*(#|$)""", source) and not _NUMERIC.search(source):
        return 'put texts in quotes: key = "value"'
    if "\\" in source:
        return "write backslashes in 'single quotes', or doubled"
    if re.match(r"\s*[\w.-]+\s*=\s*$", source):
        return "write a value after '='"
    return 'write key = value lines under [table] headings, texts in "quotes"'


def _named(path: KeyPath) -> str:
    """Write a path as an operator would.

    >>> _named(("device", "plc1", "port")), _named(("upstream", 0, "link"))
    ('[device.plc1] port', '[[upstream]] 1, link')
    >>> _named(("model", 0, "input", 1, "unit"))
    '[[model]] 1, [[model.input]] 2, unit'
    """
    if len(path) == 1:
        return str(path[0])
    if len(path) > 3 and isinstance(path[1], int) and isinstance(path[3], int):
        inner = f"[[{path[0]}.{path[2]}]] {path[3] + 1}"
        rest = "".join(f", {part}" for part in path[4:])
        return f"[[{path[0]}]] {path[1] + 1}, {inner}{rest}"
    if len(path) > 1 and isinstance(path[1], int):
        rest = "".join(f", {part}" for part in path[2:])
        return f"[[{path[0]}]] {path[1] + 1}{rest}"
    return f"[{'.'.join(str(part) for part in path[:-1])}] {path[-1]}"


_KEY = re.compile(r"""\s*(?:([A-Za-z0-9_-]+)|"((?:[^"\\\n]|\\.)*)"|'([^'\n]*)')\s*""")
_SKIP = re.compile(
    r'''"""(?:\\.|[^\\])*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:\\.|[^"\\\n])*"|'[^'\n]*'|\#[^\n]*|[\[\]{}]|\n''',
    re.DOTALL,
)


def _lines_of(text: str) -> dict[KeyPath, int]:
    """The line of every table and key outside inline tables. The text must be TOML."""
    text = text.replace("\r\n", "\n")
    found: dict[KeyPath, int] = {}
    counts: dict[KeyPath, int] = {}
    table: KeyPath = ()
    position, line = 0, 1
    while position < len(text):
        start = position
        if text[position] in " \t\n":
            position += 1
        elif text[position] == "#":
            position = _line_end(text, position)
        elif text[position] == "[":
            double = text.startswith("[[", position)
            names, position = _key_at(text, position + (2 if double else 1))
            table = _resolve(names, counts)
            if double:
                found.setdefault(table, line)
                counts[table] = counts.get(table, 0) + 1
                table = (*table, counts[table] - 1)
            found.setdefault(table, line)
            position = _line_end(text, position)
        else:
            names, position = _key_at(text, position)
            for end in range(1, len(names) + 1):
                found.setdefault((*table, *names[:end]), line)
            position = max(_value_end(text, position), start + 1)
        line += text.count("\n", start, position)
    return found


def _line_end(text: str, position: int) -> int:
    end = text.find("\n", position)
    return len(text) if end < 0 else end


def _key_at(text: str, position: int) -> tuple[KeyPath, int]:
    names: list[str | int] = []
    while (match := _KEY.match(text, position)) is not None:
        names.append(next(group for group in match.groups() if group is not None))
        position = match.end()
        if not text.startswith(".", position):
            break
        position += 1
    return tuple(names), position


def _resolve(names: KeyPath, counts: Mapping[KeyPath, int]) -> KeyPath:
    """Table names with the index of the last entry wherever they pass through a `[[table]]`."""
    path: KeyPath = ()
    for index, name in enumerate(names):
        path = (*path, name)
        if path in counts and index < len(names) - 1:
            path = (*path, counts[path] - 1)
    return path


def _value_end(text: str, position: int) -> int:
    """The end of the line on which the value that begins at `position` ends."""
    depth = 0
    while (match := _SKIP.search(text, position)) is not None:
        position = match.end()
        found = match.group()
        if found in ("[", "{"):
            depth += 1
        elif found in ("]", "}"):
            depth -= 1
        elif found == "\n" and depth <= 0:
            return position
    return len(text)
