"""Addresses of OPC UA points: by node id, or by a path of browse names.

Node id, in the notation of Part 6, 5.3.1.10: `ns=2;s=Boiler.T1`, `i=2258`, `ns=3;g=<uuid>`,
`ns=3;b=<base64>`, or `nsu=urn:plant;s=Boiler.T1` where the index may change.

Path from the Objects folder, in the notation of Part 4, A.2, hierarchical references only:
`/2:Boiler/2:T1`. A name without an index is of namespace 0; `&` before a `/`, `:` or `&`
makes it part of a name.

>>> parse("ns=2;s=Boiler.T1")
NodeName(namespace=2, uri='', kind='s', identifier='Boiler.T1')
>>> parse("/2:Boiler/2:T&/1").names
((2, 'Boiler'), (2, 'T/1'))
"""

from __future__ import annotations

import base64
import binascii
import re
import uuid
from typing import NamedTuple


class NodeName(NamedTuple):
    """A node id.

    Args:
        namespace: Index, meaningless where `uri` is not empty.
        uri: Namespace by name.
        kind: `i`, `s`, `g` or `b`.
        identifier: As it is written.
    """

    namespace: int
    uri: str
    kind: str
    identifier: str


class BrowsePath(NamedTuple):
    """Namespace index and browse name of each step from the Objects folder."""

    names: tuple[tuple[int, str], ...]


_NODE = re.compile(r"(?:ns=(?P<ns>[0-9]{1,5});|nsu=(?P<uri>[^;]+);)?(?P<kind>[isgb])=(?P<id>.+)", re.DOTALL)
_STEP = re.compile(r"(?:(?P<ns>[0-9]{1,5}):)?(?P<name>(?:[^&:]|&.)+)", re.DOTALL)
_SPLIT = re.compile(r"((?:[^&/]|&.)+)", re.DOTALL)
_EXPECTED = "a node id such as 'ns=2;s=Boiler.T1', or a path of browse names such as '/2:Boiler/2:T1'"


def parse(address: str) -> NodeName | BrowsePath:
    """Read an address.

    Raises:
        ValueError: It makes no sense; the message says what was expected.
    """
    address = address.strip()
    if address.startswith("/"):
        return _path(address)
    match = _NODE.fullmatch(address)
    if match is None or int(match["ns"] or 0) > 65535:
        raise ValueError(_EXPECTED)
    name = NodeName(int(match["ns"] or 0), match["uri"] or "", match["kind"], match["id"])
    _check_identifier(name)
    return name


def _check_identifier(name: NodeName) -> None:
    if name.kind == "i" and not (name.identifier.isascii() and name.identifier.isdigit()):
        raise ValueError("a number after 'i='")
    if name.kind == "i" and int(name.identifier) >= 2**32:
        raise ValueError("a number below 4294967296 after 'i='")
    if name.kind == "s" and len(name.identifier) > 4096:
        raise ValueError("at most 4096 characters after 's=' (Part 3, 8.2.4)")
    try:
        if name.kind == "g":
            uuid.UUID(name.identifier)
        if name.kind == "b":
            base64.b64decode(name.identifier, validate=True)
    except (ValueError, binascii.Error):
        raise ValueError("a UUID after 'g=' or base64 after 'b='") from None


def _path(address: str) -> BrowsePath:
    steps = _SPLIT.findall(address)
    if not steps or "/" + "/".join(steps) != address:
        raise ValueError(_EXPECTED)
    names = []
    for step in steps:
        match = _STEP.fullmatch(step)
        if match is None or int(match["ns"] or 0) > 65535:
            raise ValueError(_EXPECTED)
        names.append((int(match["ns"] or 0), re.sub(r"&(.)", r"\1", match["name"], flags=re.DOTALL)))
    return BrowsePath(tuple(names))


def escaped(name: str) -> str:
    """A browse name as a step of a path."""
    return re.sub(r"([&/.<>:#!])", r"&\1", name)
