"""`provision.toml`: how a gateway that is not enrolled yet finds its hub, and what lets it in.

Written by the serial console and by `catchment-flash fleet`, read by enrolment. The token is a
secret: the file is the owner's alone, and nothing here shows it.

>>> print(Provision(address="tcp://hub:7502", token="catchment.mAG3..."))
Provision(address='tcp://hub:7502', link='', token given)
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from pathlib import Path

from protocols.addresses import is_address, is_link
from protocols.durable import write_durably
from protocols.errors import InputError, MalformedError, Problem
from protocols.field.settings import Form, Kind, Setting
from protocols.tomlfile import TomlFile

FILE = "provision.toml"

_TOKEN_CHARS_MAX = 1024
"""A token holds an address, two keys and a secret: some 200 characters."""


def _is_token(text: str) -> bool:
    from protocols.enrolment import Token  # it brings much that only a console needs

    try:
        return not text or Token.parse(text).role == "gateway"
    except MalformedError:
        return False


SETTINGS = (
    Setting(
        "address", Kind.TEXT, "Where the hub lets unknown gateways ask: its `enrolment` address.", default="",
        form=Form(lambda text: not text or is_address(text), "tcp://HOST:PORT, such as tcp://hub.example:7502"),
    ),
    Setting(
        "link", Kind.TEXT, "The hub's public link key.", default="",
        form=Form(lambda text: not text or is_link(text), "a CURVE key of 40 Z85 characters"),
    ),
    Setting(
        "token", Kind.SECRET, "The one-time token that `invite` gave.", default="", high=_TOKEN_CHARS_MAX,
        form=Form(_is_token, "a gateway's token, copied whole from: catchment-hq gateways invite"),
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Provision:
    """What enrolment is to use; what is empty was not given.

    Args:
        address: The hub's enrolment address.
        link: The hub's public link key, Z85.
        token: The one-time token.
    """

    address: str = ""
    link: str = ""
    token: str = ""

    def __repr__(self) -> str:
        given = "token given" if self.token else "no token"
        return f"Provision(address={self.address!r}, link={self.link!r}, {given})"

    def with_given(self, other: Provision) -> Provision:
        """With what another one has in the place of ours."""
        return replace(
            self,
            **{each.name: getattr(other, each.name) for each in fields(other) if getattr(other, each.name)},
        )


def read(home: Path) -> Provision:
    """What a gateway was given; all empty when there is no such file.

    Raises:
        InputError: The file is wrong; with every problem.
    """
    path = home / FILE
    return parse(path) if path.exists() else Provision()


def parse(path: Path, text: str | None = None) -> Provision:
    """Read such a file, or a text that is to become one.

    Raises:
        InputError: With every problem.
    """
    file = TomlFile(path, "the file that the serial console writes", text)
    found = file.settings((), file.document, SETTINGS)
    file.known((), file.document, [setting.name for setting in SETTINGS])
    if file.problems:
        raise InputError(list(dict.fromkeys(file.problems)))
    return Provision(*(str(found[each.name]) for each in fields(Provision)))


def checked(address: str = "", link: str = "", token: str = "") -> Provision:
    """Make one of what somebody typed.

    Raises:
        InputError: With every problem; the token is not shown.
    """
    problems = []
    for setting, value in zip(SETTINGS, (address, link, token), strict=True):
        if value and not setting.accept(value)[0]:
            shown = "(secret)" if setting.kind is Kind.SECRET else value
            problems.append(Problem("provisioning", setting.name, shown, setting.expected))
    if problems:
        raise InputError(problems)
    return Provision(address, link, token)


def write(home: Path, provision: Provision) -> None:
    """Give a gateway all this, in the place of what it was given before.

    Raises:
        StoreError: The disk failed; what was there is still there.
    """
    lines = [f"{each.name} = {json.dumps(getattr(provision, each.name))}" for each in fields(provision)]
    head = "# Read by enrolment; the token lets one gateway in, once.\n"
    write_durably(home / FILE, head + "\n".join(lines) + "\n", 0o600)
