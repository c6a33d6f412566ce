"""Nodes are let in, renewed and put out: real processes, and whoever attacks them."""

from __future__ import annotations

import json
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import pytest

from edge_runtime.provision import provisionfile
from headquarters.security import authority as authorities
from protocols.batch import ZERO_HASH, Kind, Stream, seal
from protocols.calls import CallClient, CallRefusedError, CallTimeoutError
from protocols.certificates import Binding
from protocols.commandcalls import Piece
from protocols.directory import Part
from protocols.enrolment import Request, sign_renewal, unpack_link
from protocols.identity import Identity, VerifyKey
from protocols.link import SenderLink
from protocols.records import RefusalReason
from protocols.session import SenderEvent
from protocols.session.events import Disconnected, Ready, Refused
from protocols.standing import read_standing
from tests.attacks.lying import in_lake
from tests.chains import ChainOfBatches, MemoryOutbox, make_header
from tests.faults.enrolled import EnrolledRiver, invoke_quietly, token_of, until
from tests.faults.river import START_S, Node, PlantServer, change


@pytest.fixture
def river(tmp_path: Path) -> Iterator[EnrolledRiver]:
    """Nothing in it yet."""
    river = EnrolledRiver(tmp_path)
    with river:
        yield river


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacked]:
    """Headquarters, two hubs and a plant that all attacks share; each has gateways of its own."""
    river = EnrolledRiver(tmp_path_factory.mktemp("group"))
    with river:
        headquarters = river.headquarters()
        yield Attacked(
            river, headquarters, river.hub(headquarters), river.hub(headquarters, "hub-2"), river.plant()
        )


class Attacked(NamedTuple):
    river: EnrolledRiver
    headquarters: Node
    hub: Node
    other_hub: Node
    plant: PlantServer

    def gateway(self, name: str, collects: bool = True) -> Node:
        token = self.invite(name)
        return self.river.enrolled_gateway(name, self.plant if collects else None, self.headquarters, token)

    def invite(self, name: str, site: str = "works") -> str:
        return self.river.invite(self.headquarters, name, site=site, via=self.hub.name)

    def state(self, name: str) -> str:
        found: str = self.river.listed(self.headquarters, name)["state"]
        return found

    def run(self, *arguments: str) -> tuple[int, str]:
        return self.river.gateways(self.headquarters, *arguments)


def service_of(node: Node) -> str:
    address: str = node.status()["calls"]["service"]["address"]
    return address


def client(node: Node, identity: Identity, timeout_s: float = 10.0) -> CallClient:
    link = Identity.load(node.home).link.public
    return CallClient(service_of(node), link, identity.link, timeout_s=timeout_s)


def delivers(gateway: Node) -> None:
    """Wait until headquarters has signed for something that was collected after now."""
    after_us = time.time_ns() // 1000
    gateway.wait("a fresh receipt", lambda status: _receipt_us(status) > after_us)


def _receipt_us(status: object) -> int:
    assert isinstance(status, dict)
    found = (status["uplink"] or {}).get("receipt_us")  # without an upstream in force there is none
    if isinstance(found, str):
        return int(datetime.fromisoformat(found).timestamp() * 1e6) if found else 0
    return int(found or 0)


def test_from_a_token_to_data_in_the_lake_and_nothing_is_lost(river: EnrolledRiver) -> None:
    headquarters = river.headquarters()
    river.hub(headquarters)
    gateway = river.enrolled_gateway("unit-1", river.plant(), headquarters)
    gateway.up()
    river.collected(gateway, 100)
    assert river.listed(headquarters, "unit-1")["state"] == "active"
    river.finish()
    for node in river.nodes:
        secrets = [path.read_text().split()[0] for path in (node.home / "keys").glob("*.key")]
        assert secrets
        log = node.child.log.read_text()
        assert not [secret for secret in secrets if secret in log], "keys are never logged"


def test_an_enrolment_waits_while_headquarters_is_dark(river: EnrolledRiver) -> None:
    headquarters = river.headquarters()
    river.hub(headquarters)
    gateway = river.new_gateway("unit-1", None)
    token = river.invite(headquarters, "unit-1")
    headquarters.stop()
    code, said = river.enroll(gateway, token)
    assert code == 3 and "headquarters is out of reach" in json.loads(said)["why"]
    headquarters.up()
    time.sleep(5.0)  # the hub asks a headquarters that was dark no sooner
    river.admit(headquarters, gateway, token)


def test_keys_are_rotated_without_a_visit_and_nothing_is_lost(river: EnrolledRiver) -> None:
    headquarters = river.headquarters()
    river.hub(headquarters)
    gateway = river.enrolled_gateway("unit-1", river.plant(), headquarters)
    gateway.up()
    river.collected(gateway, 50)
    before = Identity.load(gateway.home).public
    assert river.gateways(headquarters, "rotate", "unit-1")[0] == 0
    until(lambda: Identity.load(gateway.home).public != before, "new keys")
    until(lambda: bool((standing := read_standing(gateway.home)) and standing.confirmed), "the confirmation")
    delivers(gateway)
    old = Identity(before, Identity.load(gateway.home).signing, Identity.load(gateway.home).link)
    assert old.public.link != old.link.public
    river.finish()


def test_a_certificate_is_renewed_before_it_expires(river: EnrolledRiver) -> None:
    headquarters = river.headquarters()
    river.hub(headquarters)
    gateway = river.enrolled_gateway("unit-1", river.plant(), headquarters)
    shorten(headquarters, gateway, valid_s=3600.0, left_s=600.0)
    first = read_standing(gateway.home)
    gateway.up()
    until(lambda: read_standing(gateway.home) != first, "a new certificate")
    until(lambda: bool((standing := read_standing(gateway.home)) and standing.confirmed), "the confirmation")
    found = read_standing(gateway.home)
    assert found is not None and found.not_after > time.time() + 300 * 86_400
    river.finish()


def shorten(headquarters: Node, gateway: Node, *, valid_s: float, left_s: float) -> None:
    """Give a gateway a certificate that ends in `left_s` seconds, as if it had been given long ago."""
    authority = authorities.load(headquarters.home, time.time())
    node = Identity.load(gateway.home).public
    binding = Binding("gateway", 3, node.site, node.id, unpack_link(node.link))
    made = authority.issue(binding, node.signing, time.time() + left_s - valid_s, valid_s / 86_400)
    standing = read_standing(gateway.home)
    assert standing is not None
    short = replace(standing, serial=made.serial, not_before=made.not_before, not_after=made.not_after)
    (gateway.home / "keys/standing.json").write_text(short.text())
    with closing(sqlite3.connect(headquarters.home / "security/registry.db")) as registry, registry:
        registry.execute(
            "update keys set serial = ?, not_before = ?, not_after = ?, der = ? where node = ?",
            (f"{made.serial:040x}", made.not_before, made.not_after, made.der, node.id),
        )
        registry.execute("update state set value = value + 1 where key = 'revision'")


ASK = {"part": 0, "held": 0, "offset": 0}
"""The argument of a `directory` call."""


class TestAttacks:
    def test_an_unknown_key_is_refused_at_the_door(self, group: Attacked) -> None:
        stranger = Identity.generate("unit-9", "gateway")
        for node in (group.headquarters, group.hub):
            with client(node, stranger, 0.5) as calls, pytest.raises(CallTimeoutError):
                calls.call("directory", ASK)
            node.wait(
                "the refusal to be counted", lambda status: status["calls"]["service"]["refused_keys"] > 0
            )

    def test_tokens_are_good_once_for_one_node_at_one_site_and_in_time(self, group: Attacked) -> None:
        river, name = group.river, "unit-tokens"
        used = group.invite(name)
        river.admit(group.headquarters, river.new_gateway(name, None), used)
        (river.root / name).rename(river.root / "first")
        thief = river.new_gateway(name, None)
        forged = replace(token_of(used), secret=bytes(16)).text()
        late = group.invite(name)
        with closing(sqlite3.connect(group.headquarters.home / "security/registry.db")) as registry, registry:
            registry.execute("update tokens set expires = 1 where node = ? and used_by is null", (name,))
        for token, code in ((used, "used-token"), (forged, "unknown-token"), (late, "expired-token")):
            exit_code, said = river.enroll(thief, token)
            assert exit_code == 3 and code in said
            assert code in river.audited(group.headquarters)
        exit_code, said = river.enroll(thief, group.invite(name, site="elsewhere"))
        assert exit_code == 2 and "a token for it" in said, "seen here before it is used up"
        assert group.state(name) == "active"
        refused = {line["code"] for line in group.headquarters.logged("enrolment-refused")}
        assert refused >= {"used-token", "unknown-token", "expired-token"}

    def test_a_token_that_was_brought_over_a_cable_is_used_and_gone(self, group: Attacked) -> None:
        node = group.river.new_gateway("unit-cable", None)
        provisionfile.write(node.home, provisionfile.Provision(token=group.invite("unit-cable")))
        ask = ("enroll", "--home", str(node.home), "--no-wait", "--json")
        code, said = invoke_quietly(*ask)
        assert code == 3 and json.loads(said)["state"] == "approval", said
        assert (node.home / provisionfile.FILE).exists(), "it is needed until the gateway is let in"
        assert group.run("approve", "unit-cable")[0] == 0
        code, said = invoke_quietly(*ask)
        assert code == 0 and json.loads(said)["state"] == "granted", said
        assert not (node.home / provisionfile.FILE).exists()

    def test_a_revoked_gateway_gets_nothing_more_and_the_others_go_on(self, group: Attacked) -> None:
        gateway, other = group.gateway("unit-stolen"), group.gateway("unit-good")
        gateway.up()
        other.up()
        delivers(gateway)
        assert group.run("revoke", "unit-stolen", "--why", "stolen from the cabinet")[0] == 0
        gateway.wait("its session to end", lambda status: not status["uplink"]["connected"])
        with (
            client(group.hub, Identity.load(gateway.home), 0.5) as calls,
            pytest.raises(CallTimeoutError),
        ):
            calls.call("directory", ASK)
        batches = group.hub.status()["gateways"]["unit-stolen"]["batches"]
        collected = gateway.status()["ledger"]["collected"]
        gateway.wait("more samples", lambda status: status["ledger"]["collected"] > collected + 100)
        assert group.hub.status()["gateways"]["unit-stolen"]["batches"] == batches
        delivers(other)
        assert group.state("unit-stolen") == "revoked"
        gateway.kill()
        other.kill()

    def test_an_expired_certificate_delivers_and_renews_and_nothing_else(self, group: Attacked) -> None:
        gateway = group.gateway("unit-late")
        shorten(group.headquarters, gateway, valid_s=3600.0, left_s=-60.0)
        group.hub.wait("the hub to know", lambda status: status["membership"]["limited"] == 1)
        late = Identity.load(gateway.home)
        with (
            client(group.hub, late) as calls,
            pytest.raises(CallRefusedError, match="certificate-expired"),
        ):
            calls.call("directory", ASK)
        assert group.hub.logged("call-refused")
        gateway.up()
        delivers(gateway)
        until(lambda: not_after(gateway) > time.time(), "renewal")
        group.hub.wait("the new one to be known", lambda status: status["membership"]["limited"] == 0)
        delivers(gateway)
        gateway.kill()

    def test_after_the_offline_window_nothing_is_left(self, group: Attacked) -> None:
        gateway = group.gateway("unit-gone", collects=False)
        identity = Identity.load(gateway.home)
        until(lambda: is_answered(group.hub, identity), "the hub to know it")
        shorten(group.headquarters, gateway, valid_s=3600.0, left_s=-91 * 86_400.0)
        until(lambda: not is_answered(group.hub, identity), "the door to close")

    def test_a_certificate_of_another_site_level_or_node_is_not_to_be_had(self, group: Attacked) -> None:
        gateway = group.gateway("unit-climber", collects=False)
        identity = Identity.load(gateway.home)
        standing = read_standing(gateway.home)
        assert standing is not None
        until(lambda: is_answered(group.headquarters, identity), "headquarters to know it")
        for id_, role, site, code in (
            ("unit-climber", "gateway", "elsewhere", "wrong-site"),
            ("unit-climber", "hub", "works", "wrong-site"),
            ("unit-climber", "headquarters", "works", "wrong-site"),
            ("unit-good", "gateway", "works", "wrong-link"),
        ):
            wanted = Identity.generate(id_, role, site)
            request = Request(wanted.public, time.time(), bytes(16), serial=standing.serial)
            argument = sign_renewal(request, identity.signing, wanted.signing)
            with client(group.headquarters, identity) as calls, pytest.raises(CallRefusedError, match=code):
                calls.call("renew", argument)
        assert "wrong-site" in group.river.audited(group.headquarters)

    def test_keys_of_another_site_level_or_node_are_worth_nothing_beyond_what_they_are(
        self, group: Attacked
    ) -> None:
        """On the data sockets, at service calls, and on the link from a hub to headquarters."""
        river, headquarters, hub = group.river, group.headquarters, group.hub
        victim = group.gateway("unit-victim")
        victim.up()
        delivers(victim)
        token = river.invite(headquarters, "unit-abroad", site="abroad", via=hub.name)
        abroad = Identity.load(
            river.enrolled_gateway("unit-abroad", None, headquarters, token, "abroad").home
        )
        thief = Identity.load(river.new_hub(headquarters, "hub-3").home)
        for node in (headquarters, hub):
            until(lambda node=node: is_answered(node, abroad), "the keys to be known")  # type: ignore[misc]
        until(lambda: is_answered(headquarters, thief), "the hub to be known")

        # data sockets: another level or another node in the greeting, and somebody else's chain
        claims = [("unit-abroad", "hub"), ("unit-victim", "gateway"), (hub.name, "hub")]
        for node in (headquarters, hub):
            for id_, role in claims:
                claimed = Identity(replace(abroad.public, id=id_, role=role), abroad.signing, abroad.link)
                assert greets(node, claimed, [], "malformed") == []
            [ready, *more] = greets(node, abroad, [report_of("unit-victim", abroad)], "malformed")
            assert isinstance(ready, Ready) and not more
        claimed = Identity(replace(thief.public, id=hub.name), thief.signing, thief.link)
        assert greets(headquarters, claimed, [], "malformed") == []

        # the link of a hub: what it says of a gateway, signed by itself or by keys of another site
        for signer in (thief, abroad):
            found = greets(headquarters, thief, [report_of("unit-victim", signer)], "refused")
            reasons = {event.refusal.reason for event in found if isinstance(event, Refused)}
            assert reasons <= {RefusalReason.KEY}

        # service calls that are a hub's, and what is another gateway's
        piece = Piece("unit-victim", bytes(32), 4, 0, b"evil").fields()
        for node, verb, argument in (
            (headquarters, "directory", {**ASK, "part": Part.GATEWAYS}),
            (hub, "directory", {**ASK, "part": Part.GATEWAYS}),
            (headquarters, "suspect", {"node": "unit-victim", "what": "clone", "detail": "a lie"}),
            (headquarters, "blob", piece),
            (hub, "blob", piece),
        ):
            with client(node, abroad) as calls, pytest.raises(CallRefusedError, match="not-yours"):
                calls.call(verb, argument)
            told_of = {(line["verb"], line["node"]) for line in node.logged("call-refused")}
            assert (verb, "unit-abroad") in told_of

        # keys that another group's authority let in, under the same names
        stranger = Identity.generate("unit-victim", "gateway", "works")
        for node in (headquarters, hub):
            refused = node.status()["refused_keys"]

            def turned_away(node: Node = node, refused: int = refused) -> bool:
                return bool(node.status().get("refused_keys", 0) > refused)

            assert greets(node, stranger, [], turned_away) == []
        delivers(victim)
        assert group.state("unit-victim") == "active"
        assert in_lake(river.lake, "SELECT detail FROM events WHERE detail LIKE '%a forged report%'") == []
        victim.kill()

    def test_a_hub_may_not_speak_for_gateways_that_it_did_not_let_in(self, group: Attacked) -> None:
        group.gateway("unit-slandered", collects=False)
        report = {"node": "unit-slandered", "what": "clone", "detail": "a lie"}
        liar = Identity.load(group.other_hub.home)
        with client(group.headquarters, liar) as calls, pytest.raises(CallRefusedError, match="not-yours"):
            calls.call("suspect", report)
        assert group.state("unit-slandered") == "active"
        with client(group.headquarters, Identity.load(group.hub.home)) as calls:
            assert calls.call("suspect", report) is True
        assert group.state("unit-slandered") == "quarantined"

    def test_a_cloned_gateway_is_quarantined_and_comes_back_with_new_keys(self, group: Attacked) -> None:
        river, name = group.river, "unit-twin"
        gateway = group.gateway(name)
        gateway.up()
        delivers(gateway)
        home = river.root / "clone"
        shutil.copytree(gateway.home, home, ignore=shutil.ignore_patterns("*.sock", "lock"))
        child = river.process("clone", (*gateway.child.command[:-1], str(home)))
        clone = replace(gateway, home=home, child=child)
        clone.start()
        group.hub.wait("the quarantine", lambda status: name in status["membership"]["quarantined"])
        until(lambda: group.state(name) == "quarantined", "headquarters to know")
        why = river.listed(group.headquarters, name)["why"]
        assert why.startswith(("clone: two live processes", "fork: sequence"))
        for node in (gateway, clone):
            node.wait("its session to end", lambda status: not status["uplink"]["connected"])
        clone.kill()
        gateway.kill()
        code, said = group.run("approve", name)
        assert code == 2 and "new keys" in said
        river.admit(group.headquarters, gateway, group.invite(name), "--new-keys")
        gateway.up()
        delivers(gateway)
        assert group.state(name) == "active"
        gateway.kill()

    def test_quick_restarts_are_no_clone(self, group: Attacked) -> None:
        gateway = group.gateway("unit-restless")
        for _ in range(7):
            gateway.up()
            gateway.wait("a session", lambda status: status["uplink"]["connected"])
            gateway.kill()
        gateway.up()
        delivers(gateway)
        assert group.state("unit-restless") == "active"
        lines = group.hub.logged("clone") + group.headquarters.logged("clone")
        assert "unit-restless" not in {line["node"] for line in lines}
        gateway.kill()


def greets(
    node: Node, identity: Identity, chains: list[ChainOfBatches], told: str | Callable[[], bool]
) -> list[SenderEvent]:
    """Open a session at a node's data socket and offer chains, until the node has told of it.

    Args:
        node: Whose socket.
        identity: With which keys, and under which name.
        chains: What to offer.
        told: The log event that tells, or whether it was told.
    """
    public = Identity.load(node.home).public
    check = VerifyKey(public.signing)
    link = SenderLink(
        node.address, public.link, identity, MemoryOutbox(*chains), headquarters=check, receiver=check
    )
    found: list[SenderEvent] = []
    before = len(node.logged(told)) if isinstance(told, str) else 0
    end = time.monotonic() + START_S
    while not (len(node.logged(told)) > before if isinstance(told, str) else told()):
        assert time.monotonic() < end, f"{node.name} did not tell of it: {told}"
        found += link.step(0.05)
    link.close()
    return [event for event in found if not isinstance(event, Disconnected)]


def report_of(gateway: str, signer: Identity) -> ChainOfBatches:
    """What somebody else says that a gateway runs."""
    chain = ChainOfBatches(gateway, Stream.META, epoch=time.time_ns())
    header = make_header(chain.chain, 0, ZERO_HASH)._replace(kind=Kind.REPORT)
    chain.batches = [seal(header, b"a forged report", signer.signing)]
    return chain


def is_answered(node: Node, identity: Identity) -> bool:
    with client(node, identity, 1.0) as calls:
        try:
            calls.call("directory", ASK)
        except CallRefusedError:
            return True
        except CallTimeoutError:
            return False
    return True


def not_after(gateway: Node) -> float:
    standing = read_standing(gateway.home)
    assert standing is not None
    return standing.not_after


def test_a_hub_goes_on_without_headquarters(river: EnrolledRiver) -> None:
    headquarters = river.headquarters()
    hub = river.hub(headquarters)
    gateway = river.enrolled_gateway("unit-1", river.plant(), headquarters)
    hub.wait("the gateway to be known", lambda status: status["membership"]["directory"]["gateways"] > 0)
    until(lambda: hub.status()["allowed"] >= 3, "the directory to be in force")
    headquarters.stop()
    hub.stop()
    hub.up()
    gateway.up()
    gateway.wait("a session with the hub alone", lambda status: status["uplink"]["connected"])
    hub.wait("data at the hub", lambda status: status["gateways"]["unit-1"].get("samples", 0) > 0)
    change(hub.home / "hub.toml", "hub", directory_s=1.0)
    headquarters.up()
    river.finish()
