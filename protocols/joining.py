"""A node joins the group: it asks with a token, waits for approval, and puts what it gets in force.

Rules:
1. Everything may be cut anywhere and done again with the same token: the same keys get the same
   certificate, and nothing is in force before all of it is on the disk.
2. What does not hang below the token's root is refused, whoever answered.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from zmq.utils import z85

from protocols import keyfiles
from protocols.calls import CallClient, CallRefusedError, CallTimeoutError
from protocols.durable import write_durably
from protocols.enrolment import Grant, Request, State, Token, open_grant, parse_answer, sign_enrolment
from protocols.errors import InputError, MalformedError, Problem
from protocols.held import believed_headquarters
from protocols.identity import IDENTITY, Identity, PublicIdentity
from protocols.renewal import are_drawn, grant_files, next_keys, switched_files
from protocols.standing import read_standing
from protocols.tomledit import put_table, read_editable

ASK_S = 12.0
"""How long one call waits: a little longer than a hub waits for headquarters."""

PAUSE_MIN_S, PAUSE_MAX_S = 2.0, 30.0
"""Between two calls: approval is a person's doing, and a thousand nodes may wait for it."""


class Waiting(Enum):
    """What a node waits for."""

    APPROVAL = "approval"
    REACH = "reach"


class Answer(NamedTuple):
    """What came of asking once.

    Args:
        grant: What the node gets; `None` while it must wait.
        waiting: For what.
        why: For people.
    """

    grant: Grant | None
    waiting: Waiting = Waiting.APPROVAL
    why: str = ""


class Application:
    """One node's request.

    Args:
        token: What an operator brought.
        identity: The keys that the node would use.
        now: Seconds since 1970.
    """

    def __init__(self, token: Token, identity: Identity, now: float) -> None:
        self._token = token
        self._request = Request(identity.public, now, os.urandom(16), token.token_id)
        self._argument = sign_enrolment(self._request, token.key(), identity.signing)
        self._client = CallClient(token.address, z85.encode(token.link), identity.link, timeout_s=ASK_S)

    def ask(self, now: float) -> Answer:
        """Ask once.

        Raises:
            CallRefusedError: The node is not let in.
            PeerError: What was answered does not hold.
        """
        try:
            state, why, signed = parse_answer(self._client.call("enrol", self._argument))
        except CallTimeoutError as error:
            return Answer(None, Waiting.REACH, str(error))
        except CallRefusedError as error:
            if error.code == "busy":
                return Answer(None, Waiting.REACH, error.text)
            raise
        if state is State.PENDING:
            return Answer(None, Waiting.APPROVAL, why)
        return Answer(open_grant(signed, self._request.pack(), self._token.root, now))

    def wait(
        self,
        clock: Callable[[], float],
        pause: Callable[[float], object],
        progress: Callable[[Answer], None],
    ) -> Grant:
        """Ask until there is a grant.

        Args:
            clock: Seconds since 1970.
            pause: Waits so many seconds.
            progress: Told each answer that is none.

        Raises:
            CallRefusedError: The node is not let in.
            PeerError: What was answered does not hold.
        """
        pause_s = PAUSE_MIN_S
        while True:
            answer = self.ask(clock())
            if answer.grant is not None:
                return answer.grant
            progress(answer)
            pause(pause_s)
            pause_s = min(PAUSE_MAX_S, pause_s * 1.3)

    def close(self) -> None:
        """Close the socket."""
        self._client.close()


def parse_token(text: str, role: str) -> Token:
    """A token as a person gave it, for a node of this role.

    Raises:
        InputError: It is none, or for another role.
    """
    try:
        token = Token.parse(text)
    except MalformedError as error:
        expected = f"a token of: catchment-hq gateways invite ({error})"
        raise InputError([Problem("--token", "", "(secret)", expected)]) from error
    if token.role != role:
        raise InputError([Problem("--token", "", f"one for a {token.role}", f"one for a {role}")])
    return token


def keys_for(home: Path, token: Token, new_keys: bool) -> Identity:
    """The keys that a node asks with.

    Args:
        home: Its home directory, with keys.
        token: Must be for the node of these keys.
        new_keys: Ask with others, which are drawn here and take effect with the grant. Where this very
            token brought the keys in force already, the command was cut after that: these are asked with.

    Raises:
        InputError: The home is that of another node, or its keys cannot be read.
        StoreError: The disk failed.
    """
    identity = Identity.load(home)
    public = identity.public
    if (public.id, public.role, public.site) != (token.id, token.role, token.site):
        found = f"{public.role} {public.id!r} of site {public.site!r}"
        expected = f"a token for it; this one is for {token.role} {token.id!r} of site {token.site!r}"
        raise InputError([Problem(str(home / IDENTITY), "", found, expected)])
    standing = read_standing(home)
    if not new_keys or (standing is not None and standing.token == token.token_id.hex()):
        return identity
    return next_keys(home, public).identity


def accept(
    home: Path, grant: Grant, asked: PublicIdentity, config: str, new_keys: bool, token: bytes = b""
) -> None:
    """Put a grant in force: certificate, new keys if there are any, and where to send.

    Args:
        home: The node's home directory.
        grant: Verified.
        asked: Whom it is for.
        config: The configuration's file in the home.
        new_keys: Whether those that were drawn take effect, where there are any.
        token: The id of the token that it was given for.

    Raises:
        InputError: The configuration names another headquarters, or cannot be changed.
        StoreError: The disk failed; what was in force is, or the grant.
    """
    text = configured(home, config, grant)  # first, because it may not be possible
    files = grant_files(grant, confirmed=True, token=token.hex())
    if new_keys and are_drawn(home):
        files |= switched_files(home, asked)
    else:
        keyfiles.discard_next(home)
    keyfiles.place_next(home, files)
    keyfiles.switch(home)
    write_durably(home / config, text)


def configured(home: Path, config: str, grant: Grant) -> str:
    """The configuration, with the upstreams and the headquarters of a grant.

    Headquarters may have other keys than when the node was let in, or another root.

    Args:
        home: The node's home directory.
        config: The configuration's file in it.
        grant: Verified.

    Raises:
        InputError: It names another headquarters, or cannot be changed.
    """
    path = home / config
    text, document = read_editable(path)
    headquarters = grant.headquarters
    known = document.get("headquarters")
    signing = headquarters.signing.hex()
    if isinstance(known, dict) and known.get("signing") != signing and not _is_same_group(home, grant):
        expected = "no other headquarters; remove the table when the node changes groups"
        raise InputError([Problem(str(path), "[headquarters]", str(known.get("id", "")), expected)])
    if "export" not in document:  # through an isolator nothing is asked and nothing comes back
        for upstream in grant.upstreams:
            fields = {"id": upstream.node.id, "address": upstream.address}
            if upstream.service:
                fields["service"] = upstream.service
            fields |= {"link": upstream.node.link.decode(), "signing": upstream.node.signing.hex()}
            text = put_table(path, text, "[[upstream]]", fields)
    if known is None or known.get("signing") != signing:
        text = put_table(path, text, "[headquarters]", {"id": headquarters.id, "signing": signing})
    return text


def _is_same_group(home: Path, grant: Grant) -> bool:
    """Whether a grant is below the root that is trusted here, or by the headquarters that is believed."""
    if believed_headquarters(home) == grant.headquarters.signing:
        return True
    return (home / keyfiles.ROOT).exists() and keyfiles.read_root(home) == grant.root
