"""The far side of a one-way isolator: files that land in a directory become stored batches.

Rules:
1. What is in a file passes the same gates as what comes over a link, and is stored by the same
   transaction. A file is removed only after everything in it is stored, or was before.
2. Repeats are dropped without a word. A batch whose forerunner has not come waits in its file.
3. What an offer says will never come any more is taken as a hole and reported; the chain goes
   on behind it.
4. A file that is not what it should be, or that its sender did not sign, is set aside in
   `rejected/` and reported. One under a key that is not allowed waits until it is.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from hub import limits
from hub.ingest import Finding
from hub.store import Store
from protocols import container
from protocols import limits as protocol_limits
from protocols.batch import SIGNATURE_BYTES, Batch, Chain, Header, Signer, header_hash
from protocols.errors import IntegrityError, LimitError, MalformedError, PeerError, StoreError
from protocols.records import Refusal, RefusalReason
from protocols.session import Accepted, Offer, Receiver, messages
from protocols.session.receiver import KeyBook

REJECTED = "rejected"
"""Where files go that cannot be read."""

_PEER = b"landing"


@dataclass(slots=True)
class _Landed:
    """A file that was read; the batches in it that are still to be stored."""

    stamp: tuple[int, int, int]
    hash: bytes
    waiting: set[tuple[Chain, int]] = field(default_factory=set)
    rejected: bool = False


class _ChangedError(Exception):
    """Another file has taken the place of one that was read."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.path = path


class _Place(NamedTuple):
    path: Path
    at: int


class _Said(NamedTuple):
    """What an offer in a file says will not come any more, and when it was read."""

    at: float
    chain: Chain
    never: int


class _Start(NamedTuple):
    seq: int
    hole_from: int | None


class Landing:
    """One directory.

    Args:
        directory: Where the isolator puts files; made when it is not there.
        done: Where files go when they are stored; `None`: they are deleted.
        node: The hub's name.
        signer: The hub's key.
        store: Where batches go.
        keys: Whose signatures count.
        relays: Whether a sender may bring chains of others, as a hub may and a gateway may not.
        hole_wait_s: How long files that are missing by their numbers may still bring what a later one
            says will not come any more.
        before_append: Called before batches of chains are stored that did not come over a link,
            so that the receiver of the links stores first what it has of them.
        after_append: Called with each chain that went on.
    """

    def __init__(
        self,
        directory: Path,
        done: Path | None,
        node: str,
        signer: Signer,
        store: Store,
        keys: KeyBook,
        *,
        relays: Callable[[str], bool] = lambda sender: False,
        hole_wait_s: float = 0.0,
        before_append: Callable[[], None] = lambda: None,
        after_append: Callable[[Chain], None] = lambda chain: None,
    ) -> None:
        self.directory = directory
        self._done = done
        self._node = node
        self._signer = signer
        self._store = store
        self._keys = keys
        self._relays = relays
        self._hole_wait_s = hole_wait_s
        self._said: dict[str, deque[_Said]] = {}
        self._lowest: dict[str, int] = {}
        self._before_append = before_append
        self._after_append = after_append
        self._files: dict[Path, _Landed] = {}
        self._unknown: set[Path] = set()
        self._keys_changed = False
        self._places: dict[Chain, dict[int, _Place]] = {}
        self._never: dict[Chain, int] = {}
        self._highest: dict[str, int] = {}
        self._missing: dict[str, set[int]] = {}
        self._forked: set[Chain] = set()
        self._findings: list[Finding] = []
        self._open: tuple[Path, list[Batch]] | None = None
        self.stored = 0
        """Batches stored from files."""
        self.repeats = 0
        """Batches that were held already."""
        for path in (directory, directory / REJECTED, *([] if done is None else [done])):
            path.mkdir(parents=True, exist_ok=True)

    @property
    def waiting(self) -> int:
        """Files of which something could not be stored yet."""
        return len(self._files) + len(self._unknown)

    def keys_changed(self) -> None:
        """Try again what waited for a key, at the next look."""
        self._unknown.clear()
        self._keys_changed = True

    def findings(self) -> list[Finding]:
        """What is worth a line in the log since the last call."""
        found, self._findings = self._findings, []
        return found

    def look(self, now: float = 0.0, files_max: int = limits.LANDING_FILES_PER_LOOK) -> int:
        """Take in new files, at most so many, and store what can be.

        Args:
            now: Seconds on the monotonic clock.
            files_max: How many.

        Returns:
            How many new files there were; as many as `files_max` when there may be more.

        Raises:
            StoreError: The store failed, or a file cannot be moved; nothing is lost.
        """
        fresh = self._fresh(files_max)
        for path in fresh:
            self._read(path, now)
        if self._believe(now) or fresh or self._keys_changed:
            self.retry()
            self._keys_changed = False
        return len(fresh)

    def retry(self) -> None:
        """Store what can be stored of the files that wait.

        Raises:
            StoreError: The store failed, or a file cannot be moved; nothing is lost.
        """
        try:
            for chain in list(self._places):
                self.stored += self._advance(chain)
        finally:
            self._open = None
        for path, landed in list(self._files.items()):
            if not landed.waiting:
                self._dispose(path, landed)
                del self._files[path]

    # -- files -----------------------------------------------------------------------------

    def _fresh(self, files_max: int) -> list[Path]:
        """Complete files not read yet, each sender's in the order of their numbers."""
        paths = sorted(self.directory.glob(f"[!.]*{container.SUFFIX}"))
        self._unknown &= set(paths)
        for path in paths:
            if path in self._files and _stamp(path) != self._files[path].stamp:
                self._read_anew(path)
            elif path not in self._files and not stat.S_ISREG(path.lstat().st_mode):
                self._note("file-rejected", file=path.name, error="expected a regular file")
                self._move(path, self.directory / REJECTED)
                self._unknown.add(path)
        return [path for path in paths if path not in self._files and path not in self._unknown][:files_max]

    def _read(self, path: Path, now: float) -> None:
        try:
            stamp = _stamp(path)
            if path.lstat().st_size > protocol_limits.CONTAINER_BYTES_MAX:
                raise LimitError(f"expected at most {protocol_limits.CONTAINER_BYTES_MAX} bytes")
            packed, seal = container.unseal(_content(path))
            parsed = container.parse(packed)
            if not self._is_signed(path, parsed.sender, seal):
                return
            if path.name != container.file_name(parsed.sender, parsed.number):
                raise MalformedError(f"expected the name {container.file_name(parsed.sender, parsed.number)}")
            offers = list(parsed.offers())
            batches = list(parsed.batches())
            headers = [Header.parse(batch.header) for batch in batches]
            chains = [*(offer.chain for offer in offers), *(header.chain for header in headers)]
            self._check_right(parsed.sender, chains)
        except PeerError as error:
            self._note("file-rejected", file=path.name, error=str(error))
            self._move(path, self.directory / REJECTED)
            return
        except OSError as error:
            self._unknown.add(path)  # until the next look finds it gone, or an allow-list is read
            self._note("file-unreadable", file=path.name, error=str(error.strerror))
            return
        landed = self._files[path] = _Landed(stamp, seal.hash)
        self._note_number(parsed.sender, parsed.number)
        said = self._said.setdefault(parsed.sender, deque())
        said.extend(_Said(now, offer.chain, offer.oldest) for offer in offers)
        for index, header in enumerate(headers):
            self._place(path, landed, index, header, header_hash(batches[index].header))

    def _believe(self, now: float) -> bool:
        """Take what offers say will never come for true, if no file is missing or for long enough."""
        believed = False
        for sender, said in self._said.items():
            while said and (self._is_whole(sender) or now - said[0].at >= self._hole_wait_s):
                _, chain, never = said.popleft()
                self._never[chain] = max(self._never.get(chain, 0), never)
                believed = True
        return believed

    def _is_whole(self, sender: str) -> bool:
        return self._lowest.get(sender) == 0 and not self._missing.get(sender)

    def _is_signed(self, path: Path, sender: str, seal: container.Seal) -> bool:
        """Whether a file counts; one under a key that is not allowed for its sender is left for later.

        Raises:
            IntegrityError: The signature does not hold.
        """
        verifier = self._keys.verifier(seal.key_id)
        if verifier is None or self._keys.owner(seal.key_id) != sender:
            self._unknown.add(path)
            self._note("file-key", file=path.name, sender=sender, key=seal.key_id.hex())
            return False
        if not seal.holds(verifier):
            raise IntegrityError("the file's signature does not hold")
        return True

    def _check_right(self, sender: str, chains: list[Chain]) -> None:
        """Hold a file to what its sender may speak for, as a link's session is held.

        Raises:
            IntegrityError: It brings or offers a chain that is not its sender's.
        """
        others = {chain.gateway for chain in chains} - {sender}
        if others and not self._relays(sender):
            raise IntegrityError(f"{sender!r} speaks for {min(others)!r}")

    def _place(self, path: Path, landed: _Landed, index: int, header: Header, head: bytes) -> None:
        """Note where a batch lies that is still to be stored."""
        chain, seq = header.chain, header.seq
        mark = self._store.mark(chain)
        known = self._store.header_hash(chain, seq)
        if chain in self._forked:
            landed.rejected = True
        elif known is not None and known != head:
            landed.rejected = True
            self._fork(chain)
        elif mark is not None and seq < mark[0] and self._was_given_up(chain, seq):
            landed.rejected = True
            self._note("came-too-late", chain=chain, seq=seq)
        elif (mark is not None and seq < mark[0]) or seq in self._places.get(chain, ()):
            self.repeats += 1
        else:
            self._places.setdefault(chain, {})[seq] = _Place(path, index)
            landed.waiting.add((chain, seq))

    def _was_given_up(self, chain: Chain, seq: int) -> bool:
        row = self._store.chains.get(chain)
        holes = self._store.chains.holes(chain)
        return row is not None and (seq < row.first or any(hole.start <= seq < hole.end for hole in holes))

    def _note_number(self, sender: str, number: int) -> None:
        """Report numbers that were left out; they may still come."""
        missing = self._missing.setdefault(sender, set())
        missing.discard(number)
        lowest = self._lowest.get(sender, number)
        missing.update(range(max(number + 1, lowest - limits.LANDING_MISSING_MAX), lowest))
        self._lowest[sender] = min(lowest, number)
        expected = self._highest.get(sender, number - 1) + 1
        if number > expected:
            self._note("files-missing", sender=sender, first=expected, last=number - 1)
            first = max(expected, number - limits.LANDING_MISSING_MAX)
            missing.update(range(first, number))
            while len(missing) > limits.LANDING_MISSING_MAX:
                missing.discard(min(missing))
        self._highest[sender] = max(number, self._highest.get(sender, number))

    def missing(self) -> dict[str, int]:
        """Per sender how many files are missing."""
        return {sender: len(numbers) for sender, numbers in self._missing.items() if numbers}

    def _dispose(self, path: Path, landed: _Landed) -> None:
        target = self.directory / REJECTED if landed.rejected else self._done
        if target is not None:
            self._move(path, target)
            return
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"cannot delete {path}: {error.strerror}; fix its permissions") from error

    def _move(self, path: Path, directory: Path) -> None:
        try:
            shutil.move(path, directory / path.name)  # the two may be on different file systems
        except OSError as error:
            raise StoreError(f"cannot move {path} to {directory}: {error.strerror}") from error

    # -- batches ---------------------------------------------------------------------------

    def _advance(self, chain: Chain) -> int:
        """Store what follows the chain's mark, over holes that will never be filled."""
        stored = 0
        while start := self._start(chain):
            try:
                group = self._verified(chain, start.seq)
            except _ChangedError as error:
                self._read_anew(error.path)
                break
            if not group:
                break
            if start.hole_from is not None:
                self._note("never-came", chain=chain, first=start.hole_from, last=start.seq - 1)
            self._before_append()
            self._store.append(group)
            self._after_append(chain)
            for item in group:
                self._forget(chain, item.header.seq)
            stored += len(group)
        if not self._places[chain]:
            del self._places[chain]
        return stored

    def _start(self, chain: Chain) -> _Start | None:
        """Where the chain can go on now, or `None` when it must wait."""
        places, mark = self._places[chain], self._store.mark(chain)
        for seq in [seq for seq in places if mark is not None and seq < mark[0]]:
            self._forget(chain, seq)  # it came over a link meanwhile
        if not places:
            return None
        first, never = min(places), self._never.get(chain, 0)
        if mark is None:
            return _Start(first, None) if first <= never or first == 0 else None
        if first == mark[0]:
            return _Start(first, None)
        return _Start(first, mark[0]) if first <= never else None

    def _verified(self, chain: Chain, start: int) -> list[Accepted]:
        """The batches from `start` on that pass a receiver's gates, as if they came over a link."""
        group = self._run(chain, start)
        receiver = Receiver(self._node, self._signer, self._store, self._keys, any_start=True)
        head = header_hash(group[-1].header)
        offer = Offer(chain, start, start + len(group), head)
        for frames in (
            messages.hello(chain.gateway, "gateway"),
            *messages.offers([offer]),
            *map(messages.batch, group),
        ):
            receiver.receive(_PEER, chain.gateway, "gateway", frames, 0.0)
        accepted = receiver.take(len(group), limits.GROUP_BYTES_MAX)
        for _, frames in receiver.outgoing():
            if frames[0] == messages.REFUSAL:
                self._refused(Refusal.parse(messages.signed_part(frames)[SIGNATURE_BYTES:]))
                break  # what follows a refused batch is refused for that alone
        return accepted

    def _run(self, chain: Chain, start: int) -> list[Batch]:
        """Consecutive batches from `start` on, within the bounds of a group."""
        places = self._places[chain]
        group: list[Batch] = []
        size = 0
        while (place := places.get(start + len(group))) and len(group) < limits.GROUP_BATCHES_MAX:
            batch = self._batches(place.path)[place.at]
            size += batch.size
            if group and size > limits.GROUP_BYTES_MAX:
                break
            group.append(batch)
        return group

    def _batches(self, path: Path) -> list[Batch]:
        if self._open is None or self._open[0] != path:
            try:
                packed, seal = container.unseal(_content(path))
                if seal.hash != self._files[path].hash:
                    raise _ChangedError(path)
                self._open = (path, list(container.parse(packed).batches()))
            except (OSError, PeerError) as error:
                raise StoreError(f"cannot read {path} again: {error}; was it changed?") from error
        return self._open[1]

    def _refused(self, refusal: Refusal) -> None:
        chain, seq = refusal.chain, refusal.seq
        self._note("file-batch-refused", chain=chain, seq=seq, reason=refusal.reason.name, text=refusal.text)
        if refusal.reason is RefusalReason.KEY:
            return  # it waits until the key is allowed
        if refusal.reason is RefusalReason.CHAIN:
            self._fork(chain)
            return
        self._files[self._places[chain][seq].path].rejected = True
        self._forget(chain, seq)

    def _fork(self, chain: Chain) -> None:
        """Another history of a chain than ours: its batches are left to people, in `rejected/`."""
        self._forked.add(chain)
        for seq, place in list(self._places.get(chain, {}).items()):
            self._files[place.path].rejected = True
            self._forget(chain, seq)
        self._note("fork", chain=chain, detail="files bring another history than the one held")

    def _read_anew(self, path: Path) -> None:
        """Forget a file whose name another one has now; it is a new one at the next look."""
        for chain, seq in list(self._files.pop(path).waiting):
            del self._places[chain][seq]
        self._note("file-replaced", file=path.name)

    def _forget(self, chain: Chain, seq: int) -> None:
        place = self._places[chain].pop(seq)
        self._files[place.path].waiting.discard((chain, seq))

    def _note(self, event: str, **fields: object) -> None:
        self._findings.append(Finding(event, fields))


def _stamp(path: Path) -> tuple[int, int, int]:
    """What tells one file from another of the same name; zeros when it is gone."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return 0, 0, 0
    return status.st_ino, status.st_size, status.st_mtime_ns


def _content(path: Path) -> bytes:
    """What a regular file holds; no link is followed and no pipe waited for."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        return file.read()
