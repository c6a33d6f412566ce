"""The hub's mirror of the update repository: what any gateway asks for comes down the line once.

Rules:
1. Gateways ask the mirror, the mirror asks headquarters; a file that several ask for at once is
   fetched once, and its pieces are handed on as they come.
2. A new state is shown when all its metadata, and the desired documents of the gateways here,
   are here: so what the mirror shows can be refreshed from it while headquarters is dark.
3. The mirror is not trusted and need not be: it looks into metadata only to know what to fetch.
4. Headquarters that does not answer is asked again ever later, up to a minute; meanwhile who
   asks for what is not here is told so at once.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Collection
from typing import Any

from hub.mirrorstore import MirrorStore
from protocols import limits
from protocols.calls import CallRefusedError, CallTimeoutError, Later
from protocols.daemon import EventLog, Stop
from protocols.errors import CatchmentError, IntegrityError, PeerError, StoreError
from protocols.updates import Pace, Piece, Wanted, fetch_small, hash_named, look
from protocols.updates.names import TIMESTAMP, owner_of, target_hash
from protocols.updates.pieces import (
    BEYOND_END,
    NO_SUCH_FILE,
    NOT_YET,
    OUT_OF_REACH,
    Ask,
    missing,
)
from protocols.updates.transfer import ask_piece

WAIT_S = 4.0
"""How long a question waits here for a piece that is on its way: less than callers wait."""

BACK_OFF_S = (1.0, 60.0)
"""Between two attempts to reach headquarters: at first, and at most."""

ABSENT_S = 60.0
"""How long a file is taken to be absent that headquarters did not have: next versions of the root."""

TRANSFERS_MAX = 256
"""Files under way at once: a region's gateways ask for a handful of different ones."""

FAILURE_S = 10.0
"""How long a failure waits for whoever asked; after that a question begins anew."""

ABSENT_MAX = 4096
"""Files known to be absent: more than honest callers ask for; then all are forgotten."""

TRIES = 2
"""A target whose hash is wrong is fetched once more: what was kept of it may be damaged."""


_ROOT = re.compile(r"metadata/([0-9]+)\.root\.json")


class Transfer:
    """A file on its way.

    What was kept of an earlier attempt is handed to nobody before the whole has its hash: a
    power cut may have damaged it.

    Args:
        path: Which.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.sha256 = target_hash(path)
        self.total: int | None = None
        self.have = 0
        self.kept = 0
        self.tries = 0
        self.failure: CallRefusedError | None = None
        self.failed_at = 0.0


class Mirror:
    """Serves pieces, and fetches them in a thread of its own.

    Args:
        store: What is kept.
        ask: Asks headquarters, from the mirror's thread only.
        gateways: Whose desired documents are fetched ahead; asked anew each time.
        log: Where it tells of headquarters' silence.
        stop: When to end.
        refresh_s: How often headquarters is asked for news.
        pace: The byte budget of the line to headquarters.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        store: MirrorStore,
        ask: Ask,
        gateways: Callable[[], Collection[str]],
        log: EventLog,
        stop: Stop,
        *,
        refresh_s: float = 15.0,
        pace: Pace | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._ask_upstream = ask
        self._gateways = gateways
        self._log = log
        self._stop = stop
        self._refresh_s = refresh_s
        self._pace = pace or Pace(wait=stop.wait)
        self._clock = clock
        self._lock = threading.RLock()
        self._wanted = threading.Event()
        self._transfers: dict[str, Transfer] = {}
        self._absent: dict[str, float] = {}
        self._kept: set[str] = set()
        self._dark_since: float | None = None
        self._quiet_until = 0.0
        self._back_off_s = BACK_OFF_S[0]
        self._refresh_at = 0.0
        self._state: int | None = None
        self._foreseen: set[str] = set()
        """The gateways whose documents of that state are here: one that was let in since has another."""
        self._thread = threading.Thread(target=self._run, name="mirror", daemon=True)
        self.fetched_bytes = 0
        """Bytes of files that came from headquarters."""
        self.served_bytes = 0
        """Bytes that went to gateways."""

    def start(self) -> None:
        """Begin to fetch."""
        self._thread.start()

    def close(self) -> None:
        """Fetch no more; the stop was asked for before."""
        self._wanted.set()
        if self._thread.is_alive():
            self._thread.join(15.0)

    # -- the asking side: in the thread of the service socket -----------------------------

    def read(self, wanted: Wanted) -> Piece | Later:
        """A piece, at once or when it has come.

        Raises:
            CallRefusedError: It is not to be had.
            StoreError: The disk failed.
        """
        piece = self._piece(wanted, self._clock() + WAIT_S)
        return piece if piece is not None else self._later(wanted)

    def describe(self) -> dict[str, object]:
        """For the status."""
        with self._lock:
            dark = self._dark_since
            return {
                "state": self._state,
                "targets": self._store.targets,
                "used_bytes": self._store.used_bytes,
                "quota_bytes": self._store.quota_bytes,
                "evicted": self._store.evicted,
                "fetched_bytes": self.fetched_bytes,
                "served_bytes": self.served_bytes,
                "under_way": sorted(self._transfers),
                "headquarters_silent_s": None if dark is None else round(self._clock() - dark, 1),
            }

    def _later(self, wanted: Wanted) -> Later:
        give_up_at = self._clock() + WAIT_S
        return Later(lambda: self._piece(wanted, give_up_at), within_s=2 * WAIT_S)

    def _piece(self, wanted: Wanted, give_up_at: float) -> Piece | None:
        with self._lock:
            piece = self._store.read(wanted)
            if piece is None:
                piece = self._on_its_way(wanted)
            if piece is not None:
                if wanted.offset > piece.total:
                    raise CallRefusedError(BEYOND_END, f"{wanted.path} has {piece.total} bytes; begin anew")
                self.served_bytes += len(piece.data)
                return piece
            if self._clock() >= give_up_at:
                raise CallRefusedError(NOT_YET, f"{wanted.path} is on its way from headquarters; ask again")
            return None

    def _on_its_way(self, wanted: Wanted) -> Piece | None:
        transfer = self._transfers.get(wanted.path)
        if transfer is None:
            self._begin(wanted.path)
            return None
        if transfer.failure is not None:
            failure = transfer.failure
            del self._transfers[wanted.path]
            raise failure
        if transfer.total is None or transfer.sha256 is None:
            return None
        end = min(wanted.offset + wanted.length, transfer.total)
        if transfer.kept <= wanted.offset <= transfer.total and end <= transfer.have:
            return self._store.read_partial(wanted, transfer.sha256, transfer.total)
        return None

    def _begin(self, path: str) -> None:
        now = self._clock()
        if now < self._absent.get(path, 0.0) or self._is_later_root(path):
            raise missing(path)
        if self._dark_since is not None and now < self._quiet_until:
            text = f"{path} is not here, and headquarters has been silent for {now - self._dark_since:.0f} s"
            raise CallRefusedError(OUT_OF_REACH, text)
        if len(self._transfers) >= TRANSFERS_MAX:
            raise CallRefusedError(NOT_YET, "many other files are on their way; ask again")
        self._transfers[path] = Transfer(path)
        self._wanted.set()

    def _is_later_root(self, path: str) -> bool:
        """Whether it is a root after the newest one of the state that is shown: none, as far as we know.

        A gateway asks for it at each refresh; a new root always comes with a new timestamp.
        """
        found = _ROOT.fullmatch(path)
        if found is None or self._store.metadata(TIMESTAMP) is None:
            return False
        return int(found[1]) > self._store.newest_root()

    # -- the fetching side: in the mirror's thread ----------------------------------------

    def step(self) -> bool:
        """Fetch one piece of each file that is asked for; look for news if it is time.

        Returns:
            Whether there is more to do at once.
        """
        if self._dark_since is not None and self._clock() < self._quiet_until:
            return False
        try:
            self._advance()
            if self._clock() >= self._refresh_at:
                self._refresh_at = self._clock() + self._refresh_s
                self._refresh()
            self._heard()
        except CallTimeoutError as error:
            self._unheard(error)
        except (CatchmentError, OSError) as error:
            self._log.error("mirror-failed", error=str(error))
        with self._lock:
            forgotten = self._clock() - FAILURE_S
            self._transfers = {
                path: each
                for path, each in self._transfers.items()
                if each.failure is None or each.failed_at > forgotten
            }
            return any(transfer.failure is None for transfer in self._transfers.values())

    def _run(self) -> None:
        while not self._stop.asked:
            if not self.step():
                self._wanted.wait(min(1.0, self._refresh_s))
                self._wanted.clear()

    def _advance(self) -> None:
        with self._lock:
            under_way = [each for each in self._transfers.values() if each.failure is None]
        for transfer in under_way:
            try:
                done = self._fetch(transfer)
            except CallTimeoutError:
                raise
            except CallRefusedError as error:
                self._fail(transfer, error)
            except (PeerError, StoreError, OSError) as error:
                self._log.error("mirror-failed", path=transfer.path, error=str(error))
                text = f"the hub cannot fetch {transfer.path}; its log says more"
                self._fail(transfer, CallRefusedError(OUT_OF_REACH, text))
            else:
                if done:
                    with self._lock:
                        self._transfers.pop(transfer.path, None)

    def _fail(self, transfer: Transfer, error: CallRefusedError) -> None:
        with self._lock:
            transfer.failure, transfer.failed_at = error, self._clock()
            if error.code == NO_SUCH_FILE:
                if len(self._absent) >= ABSENT_MAX:
                    self._absent.clear()
                self._absent[transfer.path] = self._clock() + ABSENT_S

    def _fetch(self, transfer: Transfer) -> bool:
        """One more piece of a file; returns whether it is whole."""
        sha256 = transfer.sha256
        if sha256 is None:
            data = self._small(transfer.path)
            if transfer.path != TIMESTAMP:
                with self._lock:
                    self._store.put_metadata(transfer.path, data)
                return True
            self._refresh()
            return True
        if transfer.total is None:
            return self._open(transfer, sha256)
        piece = self._ask(Wanted(transfer.path, transfer.have, limits.PIECE_BYTES_MAX))
        with self._lock:
            self._store.append(sha256, piece.data)
            transfer.have += len(piece.data)
        return self._close(transfer, sha256)

    def _open(self, transfer: Transfer, sha256: bytes) -> bool:
        seen = look(self._ask_upstream, transfer.path)
        if seen.sha256 != sha256:
            raise IntegrityError(
                f"expected {transfer.path} to have the hash in its name, got {seen.sha256.hex()}"
            )
        with self._lock:
            if self._store.partial_bytes(sha256) > seen.total:
                self._store.forget_partial(sha256)
            self._store.make_room(sha256, seen.total)
            transfer.total = seen.total
            transfer.kept = transfer.have = self._store.partial_bytes(sha256)
            if not transfer.have:
                self._store.append(sha256, b"")
        return self._close(transfer, sha256)

    def _close(self, transfer: Transfer, sha256: bytes) -> bool:
        if transfer.have < (transfer.total or 0):
            return False
        with self._lock:
            if self._store.finish(sha256):
                return True
        transfer.tries += 1
        if transfer.tries >= TRIES:
            raise IntegrityError(f"expected {transfer.path} to have the hash in its name, got other bytes")
        transfer.total, transfer.have = None, 0
        return False

    def _refresh(self) -> None:
        """Fetch the newest state, whole, and then show it."""
        held = self._store.metadata(TIMESTAMP)
        data, gateways = self._small(TIMESTAMP), set(self._gateways())
        if data == held and self._state is not None and gateways <= self._foreseen:
            return
        signed = _signed(data)
        snapshot_path = f"metadata/{_version(signed['meta']['snapshot.json'])}.snapshot.json"
        current = {TIMESTAMP, snapshot_path}
        roles = _signed(self._metadata(snapshot_path))["meta"]
        documents: dict[bytes, str] = {}
        for name, meta in roles.items():
            path = f"metadata/{_version(meta)}.{name}"
            current.add(path)
            targets = _signed(self._metadata(path)).get("targets", {})
            documents.update(_documents(targets, gateways))
        self._roots()
        with self._lock:
            self._store.pin(documents)
        for path in documents.values():
            self._whole(path)
        with self._lock:
            self._store.put_metadata(TIMESTAMP, data)
            self._store.keep_metadata(current | self._kept)
            self._kept = current
            self._absent.clear()
            self._state, self._foreseen = _version(signed), gateways
        if data != held:
            self._log.info("mirror-current", state=self._state, roles=len(roles), documents=len(documents))

    def _metadata(self, path: str) -> bytes:
        held = self._store.metadata(path)
        if held is not None:
            return held
        data = self._small(path)
        with self._lock:
            self._store.put_metadata(path, data)
        return data

    def _roots(self) -> None:
        version = 1
        while version <= limits.ROOT_ROTATIONS_MAX:
            try:
                self._metadata(f"metadata/{version}.root.json")
            except CallRefusedError as error:
                if error.code == NO_SUCH_FILE:
                    return
                raise
            version += 1

    def _whole(self, path: str) -> None:
        """Fetch a document ahead; one that cannot be had keeps the others from nobody."""
        if self._store.read(Wanted(path, 0, 0)) is not None:
            return
        transfer = Transfer(path)
        try:
            while not self._fetch(transfer):
                pass
        except CallTimeoutError:
            raise
        except (PeerError, StoreError) as error:
            self._log.error("mirror-failed", path=path, error=str(error))

    def _small(self, path: str) -> bytes:
        data = fetch_small(self._ask_upstream, path, limits.TARGETS_BYTES_MAX, self._pace)
        self.fetched_bytes += len(data)
        return data

    def _ask(self, wanted: Wanted) -> Piece:
        piece = ask_piece(self._ask_upstream, wanted)
        self.fetched_bytes += len(piece.data)
        self._pace.spend(len(piece.data))
        return piece

    def _heard(self) -> None:
        with self._lock:
            if self._dark_since is not None:
                self._log.info(
                    "mirror-headquarters-back", silent_s=round(self._clock() - self._dark_since, 1)
                )
            self._dark_since, self._back_off_s = None, BACK_OFF_S[0]

    def _unheard(self, error: CallTimeoutError) -> None:
        now = self._clock()
        with self._lock:
            if self._dark_since is None:
                self._dark_since = now
                self._log.warning("mirror-headquarters-silent", error=str(error))
            self._quiet_until = now + self._back_off_s
            self._refresh_at = min(self._refresh_at, self._quiet_until)
            self._back_off_s = min(BACK_OFF_S[1], 2 * self._back_off_s)
            text = "it is not here, and headquarters does not answer"
            for transfer in self._transfers.values():
                transfer.failure = CallRefusedError(OUT_OF_REACH, f"{transfer.path}: {text}")
                transfer.failed_at = now


def _signed(data: bytes) -> dict[str, Any]:
    """The signed part of metadata, unverified.

    Raises:
        IntegrityError: It is no such thing.
    """
    try:
        signed = json.loads(data)["signed"]
        if not isinstance(signed, dict) or not isinstance(signed.get("meta", {}), dict):
            raise ValueError
    except (ValueError, KeyError, TypeError) as error:
        raise IntegrityError("expected metadata from headquarters, got something else") from error
    return signed


def _version(entry: Any) -> int:
    version = entry.get("version") if isinstance(entry, dict) else None
    if type(version) is not int:
        raise IntegrityError(f"expected a version in metadata, got {version!r:.40}")
    return version


def _documents(targets: Any, gateways: Collection[str]) -> dict[bytes, str]:
    """The desired documents of these gateways among targets: where they are served, by hash."""
    found: dict[bytes, str] = {}
    for path, target in targets.items() if isinstance(targets, dict) else ():
        try:
            sha256 = bytes.fromhex(target["hashes"]["sha256"])
        except (KeyError, TypeError, ValueError):
            continue
        served = hash_named(path, sha256)
        if target_hash(served) == sha256 and owner_of(served) in gateways:
            found[sha256] = served
    return found
