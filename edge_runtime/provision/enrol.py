"""`catchment-edge enroll`: from a token to a home that can run."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from edge_runtime import home as homes
from edge_runtime.config import CONFIG
from edge_runtime.provision import provisionfile
from edge_runtime.updates import ROOT, adopt_root
from protocols.durable import remove_durably
from protocols.enrolment import Grant, Token, unpack_link
from protocols.errors import InputError, Problem
from protocols.identity import IDENTITY, PublicIdentity
from protocols.joining import Answer, Application, accept, keys_for, parse_token


class Enrolled(NamedTuple):
    """What came of it.

    Args:
        node: The gateway, with the keys that it asked with.
        grant: What it got; `None` while it waits.
        answer: The last answer.
    """

    node: PublicIdentity
    grant: Grant | None
    answer: Answer


def enroll(
    home: Path,
    text: str,
    *,
    new_keys: bool,
    wait: bool,
    begun: Callable[[PublicIdentity], None],
    progress: Callable[[Answer], None],
) -> Enrolled:
    """Ask with a token, and put what comes in force.

    Args:
        home: The gateway's home directory; a new one is made where there is none.
        text: The token; empty for the one in `provision.toml`, which goes when it has let the gateway in.
        new_keys: Ask with new keys, in place of those that the home has.
        wait: Whether to wait for approval.
        begun: Told who asks, once there are keys.
        progress: Told each answer that is no grant.

    Raises:
        InputError: The token or the home is wrong.
        PeerError: The gateway is not let in, or the answer does not hold.
        StoreError: The disk failed.
    """
    token = token_for(home, text)
    if not (home / CONFIG).exists() and not (home / IDENTITY).exists():
        homes.create(home, token.id, token.site)
    identity = keys_for(home, token, new_keys)
    begun(identity.public)
    application = Application(token, identity, time.time())
    try:
        answer = application.ask(time.time())
        grant = answer.grant
        if grant is None and wait:
            progress(answer)
            grant = application.wait(time.time, time.sleep, progress)
    finally:
        application.close()
    if grant is not None:
        if grant.updates_root and not (home / ROOT).exists():
            adopt_root(home, grant.updates_root)
        accept(home, grant, identity.public, CONFIG, new_keys, token.token_id)
        if not text:
            remove_durably(home / provisionfile.FILE)
    return Enrolled(identity.public, grant, answer)


def token_for(home: Path, text: str) -> Token:
    """The token to ask with, and whom.

    Args:
        home: The gateway's home directory.
        text: The token that somebody gave, or empty for the one in `provision.toml`; only with
            that one the hub that is named there takes the place of the token's.

    Raises:
        InputError: There is none, or it is wrong.
    """
    if text:
        return parse_token(text, "gateway")
    given = provisionfile.read(home)
    if not given.token:
        expected = f"--token, or a token in {provisionfile.FILE}, where catchment-flash puts it"
        raise InputError([Problem("command line", "--token", "", expected)])
    token = parse_token(given.token, "gateway")
    link = unpack_link(given.link.encode()) if given.link else token.link
    return replace(token, address=given.address or token.address, link=link)
