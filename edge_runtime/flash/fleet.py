"""Many gateways in one go: a checked table, a prepared home for each, labels to stick on.

Rules:
1. Everything is checked before anything is written, and every problem of every row is told at once.
2. A gateway's home is made beside and moved into its place whole; one that is there is never touched.
3. Keys are drawn here and lie in the homes, readable by their owner only: what is prepared is as
   secret as the gateways themselves until it is on them. A label shows a key's fingerprint, never
   a private key, and the token only when that was asked for.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

from edge_runtime import home as homes
from edge_runtime.check import check
from edge_runtime.config import CONFIG, POINTS
from edge_runtime.provision import network, provisionfile
from protocols import limits
from protocols.batch import is_name
from protocols.durable import write_durably
from protocols.enrolment import Token, fingerprint
from protocols.errors import InputError, Problem
from protocols.tablefile import Row, TableText, read_table
from protocols.textfile import read_text
from protocols.tomlfile import suggest

HOME = "home"
"""Of a machine's root, as the supervisor has it."""

GATEWAYS_MAX = 10_000

PLACEHOLDERS = ("{{id}}", "{{site}}")

CONFIG_MISSING = "the configuration that all gateways begin with, or one of the row's own"


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the table: a gateway. Everything but the id may be left out.

    Args:
        id: Its name in the whole group.
        site: The site its points belong to.
        token: Its one-time token.
        address: Its hub's enrolment address, where the token does not say.
        link: Its hub's public link key.
        config: Its configuration, beside the table; `{{id}}` and `{{site}}` in it are filled in.
        points: Its point table, beside the table.
        hostname: Of the machine.
        interface: The interface to set.
        ip: Its address with prefix; empty for DHCP.
        router: Its default route.
        dns: Name servers, separated by blanks.
        ntp: Time servers, separated by blanks.
        note: Shown on the label, such as a cabinet.
    """

    id: str
    site: str = ""
    token: str = ""
    address: str = ""
    link: str = ""
    config: str = ""
    points: str = ""
    hostname: str = ""
    interface: str = ""
    ip: str = ""
    router: str = ""
    dns: str = ""
    ntp: str = ""
    note: str = ""


COLUMNS = tuple(field.name for field in fields(Line))


class Prepared(NamedTuple):
    """A gateway that was prepared.

    Args:
        line: What the table said.
        root: The directory made for it.
        fingerprint: Of its keys, as headquarters shows it before somebody approves.
    """

    line: Line
    root: Path
    fingerprint: str


def prepare(
    table: Path, target: Path, config: Path | None = None, points: Path | None = None
) -> list[Prepared]:
    """Check a table and make everything that it names.

    Args:
        table: CSV or XLSX.
        target: A directory for the gateways; made.
        config: The configuration of rows that name none.
        points: The point table of rows that name none.

    Raises:
        InputError: With every problem of every row; nothing was made.
        StoreError, OSError: The disk failed.
    """
    problems: list[Problem] = []
    placed = read(table, problems)
    for place, line in placed:
        if (target / line.id).exists():
            expected = "a directory without this gateway; choose another --to, or take the row out"
            problems.append(Problem(str(table), f"{place}, column id", line.id, expected))
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target, prefix=".preparing-") as name:
        made = []
        for place, line in placed:
            try:
                made.append(_make(line, table.parent, Path(name, line.id), config, points))
            except InputError as error:
                problems += [_at(table, place, problem, Path(name)) for problem in error.problems]
        if problems:
            raise InputError(list(dict.fromkeys(problems)))
        for each in made:
            each.root.rename(target / each.line.id)
    return [each._replace(root=target / each.line.id) for each in made]


def read(path: Path, problems: list[Problem]) -> list[tuple[str, Line]]:
    """The rows of a table with their places; what is wrong is noted, wrong rows are left out.

    Raises:
        InputError: It is no table at all.
    """
    text = read_table(path, "the table of gateways; docs/flashing.md has an example")
    problems += text.problems
    if not text.rows:
        raise InputError([Problem(text.file, "row 1", "", f"a heading with some of {', '.join(COLUMNS)}")])
    names = _heading(text, problems)
    found: dict[str, str] = {}
    lines = []
    for row in text.rows[1:]:
        cells = dict(zip(names, row.cells, strict=False))
        line = Line(**{name: cells.get(name, "") for name in COLUMNS})
        before = len(problems)
        _check_line(text.file, row, line, found, problems)
        if len(problems) == before:
            lines.append((row.place, line))
    if not text.rows[1:]:
        problems.append(Problem(text.file, "row 2", "", "a gateway in each row"))
    if len(text.rows) > GATEWAYS_MAX:
        problems.append(
            Problem(text.file, "", f"{len(text.rows)} rows", f"at most {GATEWAYS_MAX} gateways at once")
        )
    return lines


def _heading(text: TableText, problems: list[Problem]) -> list[str]:
    """Names of the columns; those that only say something of a token (`expires`) are passed over."""
    names = [cell.lower() for cell in text.rows[0].cells]
    for name in names:
        if name not in (*COLUMNS, *PASSED_OVER):
            problems.append(Problem(text.file, "row 1", name, f"a known column; {suggest(name, COLUMNS)}"))
        if names.count(name) > 1:
            problems.append(Problem(text.file, "row 1", name, "each column once"))
    if "id" not in names:
        problems.append(Problem(text.file, "row 1", "", "a column id"))
    return names


PASSED_OVER = ("expires", "root")
"""Columns that the list of invitations has and nothing here needs."""


def _check_line(file: str, row: Row, line: Line, found: dict[str, str], problems: list[Problem]) -> None:
    def wrong(column: str, value: str, expected: str) -> None:
        problems.append(Problem(file, f"{row.place}, column {column}", value, expected))

    name = "lower-case letters, digits, '-', '_' or '.', such as 'unit-1', a letter or digit first"
    if not is_name(line.id):
        wrong("id", line.id, name)
    elif line.id in found:
        wrong("id", line.id, f"each gateway once; it is in {found[line.id]} too")
    found.setdefault(line.id, row.place)
    if line.site and not is_name(line.site):
        wrong("site", line.site, name)
    if len(line.note) > limits.EVENT_NAME_CHARS_MAX:
        wrong("note", line.note[:40], f"at most {limits.EVENT_NAME_CHARS_MAX} characters")
    try:
        provisionfile.checked(line.address, line.link, line.token)
    except InputError as error:
        for problem in error.problems:
            wrong(problem.place, problem.value, problem.expected)
    else:
        if line.token:
            token = Token.parse(line.token)
            if (token.id, token.site) != (line.id, line.site):
                at = f" at site {token.site}" if token.site else ""
                wrong(
                    "token", "(secret)", f"the token of this gateway and site; this one is of {token.id}{at}"
                )
    try:
        _network(line)
    except InputError as error:
        for problem in error.problems:
            wrong("ip, router, dns or ntp", problem.value, problem.expected)
    if line.interface == "" and any((line.ip, line.router, line.dns)):
        wrong("interface", "", "the interface that has this address, such as eth0")


def _network(line: Line) -> str:
    """The network file of a row, empty when it says nothing of it."""
    if not any((line.interface, line.ntp, line.hostname)):
        return ""
    interface = network.Interface(line.interface, line.ip, line.router, tuple(line.dns.split()))
    interfaces = (interface,) if line.interface else ()
    text = network.to_toml(network.Network(interfaces, tuple(line.ntp.split()), line.hostname))
    network.parse(text)
    return text


def _make(line: Line, beside: Path, root: Path, config: Path | None, points: Path | None) -> Prepared:
    home = root / HOME
    public = homes.create(home, line.id, line.site)
    own_config = beside / line.config if line.config else config
    if own_config is not None:
        text = read_text(own_config, str(own_config), limits.CONFIG_BYTES_MAX, CONFIG_MISSING)
        for placeholder, value in zip(PLACEHOLDERS, (line.id, line.site), strict=True):
            text = text.replace(placeholder, value)
        write_durably(home / CONFIG, text)
    own_points = beside / line.points if line.points else points
    if own_points is not None:
        text = read_text(own_points, str(own_points), limits.TABLE_BYTES_MAX, "a point table")
        write_durably(home / POINTS, text)
    if line.token or line.address or line.link:
        provisionfile.write(home, provisionfile.checked(line.address, line.link, line.token))
    wanted = _network(line)
    if wanted:
        write_durably(home / network.FILE, wanted)
    report = check(home)
    if report.problems:
        raise InputError(report.problems)
    return Prepared(line, root, fingerprint(public))


def _at(table: Path, place: str, problem: Problem, staging: Path) -> Problem:
    """A problem of a gateway that was prepared for nothing, with the row it came from."""
    file = problem.file.replace(f"{staging}/", "")
    return Problem(
        str(table), f"{place}: {file}: {problem.place}".rstrip(": "), problem.value, problem.expected
    )


# -- labels ----------------------------------------------------------------------------------------


def label_text(prepared: Prepared, with_token: bool) -> str:
    """What a label's code says.

    >>> label_text(Prepared(Line("unit-1", "plant-a", token="t0ken"), Path(), "00ff"), False)
    'catchment:gateway?id=unit-1&site=plant-a&key=00ff'
    """
    said = {"id": prepared.line.id, "site": prepared.line.site, "key": prepared.fingerprint}
    if with_token and prepared.line.token:
        said["token"] = prepared.line.token
    return "catchment:gateway?" + urlencode({key: value for key, value in said.items() if value})


def label_codes(prepared: Sequence[Prepared], with_token: bool) -> Iterator[tuple[str, str]]:
    """The QR code of each gateway as SVG, by its id."""
    import segno

    for each in prepared:
        code = segno.make_qr(label_text(each, with_token), error="m")
        yield each.line.id, code.svg_inline(scale=3, border=2)


def labels_page(prepared: Sequence[Prepared], with_token: bool) -> str:
    """A page of labels to print: 3 columns on A4."""
    from html import escape

    rows = []
    for each, (_, svg) in zip(prepared, label_codes(prepared, with_token), strict=True):
        lines = [f"<b>{escape(each.line.id)}</b>", escape(each.line.site), escape(each.line.note)]
        lines += [f"<code>{each.fingerprint}</code>"]
        lines += (
            [f"<code class=token>{escape(each.line.token)}</code>"] if with_token and each.line.token else []
        )
        rows.append(f"<div class=label>{svg}<p>{'<br>'.join(line for line in lines if line)}</p></div>")
    return _PAGE.replace("LABELS", "\n".join(rows))


def write_labels(prepared: Sequence[Prepared], folder: Path, with_token: bool) -> Path:
    """Write the page, and each code by itself; returns the page.

    Raises:
        StoreError: The disk failed.
    """
    mode = 0o600 if with_token else 0o644
    for id_, svg in label_codes(prepared, with_token):
        write_durably(folder / "labels" / f"{id_}.svg", _as_file(svg), mode)
    page = folder / "labels.html"
    write_durably(page, labels_page(prepared, with_token), mode)
    return page


def _as_file(svg: str) -> str:
    return svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1) + "\n"


_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Gateways</title>
<style>
@page { size: A4; margin: 10mm }
body { margin: 0; display: grid; grid-template-columns: repeat(3, 1fr); gap: 4mm; font: 9pt sans-serif }
.label { border: 0.2mm solid #999; padding: 2mm; break-inside: avoid; display: flex; gap: 2mm }
.label svg { width: 28mm; height: 28mm; flex: none }
.label p { margin: 0; overflow-wrap: anywhere }
.token { font-size: 6pt }
</style>
LABELS
</html>
"""
