"""Makes a gateway what its document says, and can say at any time how far it has come.

Rules:
1. A document is accepted when it is this gateway's and newer than the last; it is sealed with the
   gateway's key before anything else happens (`accepted`).
2. What is to be installed is fetched first. All that is there is then checked together, as the
   home would be with it; what a check names is left out and the rest is checked again, so that
   one bad item stops only itself and what needs it. What passed is put in place as one change.
3. What was put in place is on trial until the gateway has run with it. It goes back by itself
   when the gateway does not come up, or no longer reaches the upstream that it reached before.
4. Firmware goes last, when everything else stands, into a slot: the supervisor tries it.
5. Nothing is written when there is nothing to do.

Nothing here opens a file or a socket: disk, source, check and slots are handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from edge_runtime.config import CONFIG
from edge_runtime.desired import ACCEPTED
from edge_runtime.desired.accepted import seal, unseal
from edge_runtime.desired.changes import FOLDER, PUBLIC, Changes
from edge_runtime.desired.disk import Disk
from edge_runtime.desired.firmware import Image, Slots
from edge_runtime.desired.plan import Action, Failure, Installed, Plan, Step, context_of, plan
from edge_runtime.desired.state import State, Trial, Tried
from protocols.batch import Signer, Verifier
from protocols.desired import Document, Item, ItemKind, ItemReport, ItemState, parse_document
from protocols.errors import CatchmentError, InputError, IntegrityError, PeerError, Problem, StoreError
from protocols.limits import EVENT_TEXT_CHARS_MAX

Content = Mapping[str, bytes | None]


class Targets(Protocol):
    """Where targets come from; verified."""

    def fetch(self, path: str, sha256: bytes, length: int) -> Path:
        """A verified local copy of a target; a broken transfer is resumed.

        Raises:
            PeerError: It cannot be had, or what came cannot be trusted.
            StoreError: The disk failed.
        """


class Source(Targets, Protocol):
    """Where documents and targets come from; verified, see `protocols.updates`."""

    def desired(self) -> bytes | None:
        """The newest verified document; `None` when headquarters has none for this gateway.

        Raises:
            PeerError: It cannot be had, or what came cannot be trusted.
        """

    def keep(self, hashes: Collection[bytes]) -> int:
        """Remove local copies but those of these hashes; returns how many went."""

    def close(self) -> None:
        """Let go of sockets."""


Check = Callable[[Content], Sequence[Problem]]
"""What would keep the gateway from running with some files changed; their names are paths in the home."""


@dataclass(slots=True)
class _Candidate:
    """An item that is here, or goes, and what it changes."""

    ref: str
    files: dict[str, bytes | None]
    item: Item | None = None


@dataclass(slots=True)
class _Round:
    """What became of one step."""

    plan: Plan
    why: dict[str, str] = field(default_factory=dict)
    state: dict[str, ItemState] = field(default_factory=dict)


class Applier:
    """The desired state of one home; see the module's docstring.

    Args:
        gateway: Its id.
        disk: Its home.
        signer: Its signing key.
        verifier: The public half.
        source: Where targets come from.
        check: What would keep the gateway from running.
        slots: For firmware.
    """

    def __init__(
        self,
        gateway: str,
        disk: Disk,
        signer: Signer,
        verifier: Verifier,
        source: Targets,
        check: Check,
        slots: Slots,
    ) -> None:
        self.gateway = gateway
        self._disk = disk
        self._signer = signer
        self._source = source
        self._check = check
        self._slots = slots
        self._verifier = verifier
        self._changes = Changes(disk)
        self._sound = False
        self.document: Document | None = None
        self.refusals: list[str] = []
        """What could not be trusted since the last step began."""
        self.items: tuple[ItemReport, ...] = ()

    # -- life --------------------------------------------------------------------------------------

    def open(self) -> None:
        """Finish what a cut left, and count a start with what is on trial.

        Raises:
            StoreError: The disk failed, or what is remembered is damaged.
        """
        self._changes.open()
        self._sound = True
        data = self._disk.read(ACCEPTED)
        self.document = None if data is None else unseal(data, self.gateway, self._verifier)
        self._changes.count_start()
        self._describe()

    def rekey(self, signer: Signer, verifier: Verifier) -> None:
        """The gateway has other keys: what it has accepted is sealed with them.

        Raises:
            StoreError: The disk failed; the document comes anew from headquarters.
        """
        known = self._signer.key_id
        self._signer, self._verifier = signer, verifier
        if self.document is not None and signer.key_id != known:
            self._write_accepted(self.document)

    @property
    def trial(self) -> Trial | None:
        """What has yet to prove itself."""
        return self._changes.state.trial

    def accept(self, data: bytes) -> bool:
        """Take a verified document.

        Returns:
            Whether it is another one than before.

        Raises:
            MalformedError, LimitError: It is no document that this release understands.
            IntegrityError: It is another gateway's, or older than the one in force.
            StoreError: The disk failed.
        """
        document = parse_document(data)
        if document.gateway != self.gateway:
            raise IntegrityError(f"expected the document of {self.gateway}, got that of {document.gateway}")
        known = self.document
        if known is not None and document.version < known.version:
            raise IntegrityError(
                f"expected a document of at least version {known.version}, got version {document.version}"
            )
        if known is not None and document.version == known.version and document != known:
            raise IntegrityError(f"expected one document of version {known.version}, got another one")
        if known == document:
            return False
        self._write_accepted(document)
        self.document = document
        return True

    def step(self, connected: bool = False) -> bool:
        """Do what can be done now.

        Args:
            connected: Whether an upstream is connected; if so it must be again after a change.

        Returns:
            Whether the gateway must begin a new session.

        Raises:
            StoreError: The disk failed; the next step finishes or tries again.
        """
        if not self._sound:
            self._changes.open()
            self._sound = True
        self.refusals = []
        if self.document is None:
            return False
        try:
            return self._step(self.document, connected)
        except StoreError:
            self._sound = False
            raise

    def confirm(self) -> None:
        """The gateway runs with what is on trial.

        Raises:
            StoreError: The disk failed; it stays on trial.
        """
        if self._changes.state.trial is not None:
            self._changes.confirm()
            self._describe()

    def give_back(self, why: str, named: Sequence[str] = ()) -> list[str]:
        """Undo what is on trial; see `Changes.give_back`.

        Raises:
            StoreError: The disk failed.
        """
        undone = self._changes.give_back(why, named)
        self._describe()
        return undone

    # -- one round ---------------------------------------------------------------------------------

    def _step(self, document: Document, connected: bool) -> bool:
        turn = _Round(self._plan(document))
        restart = False
        if self.trial is None:
            self._forget(turn)
            here = self._fetch(turn)
            restart = self._put(document, turn, here, connected)
            if not restart:
                self._put_firmware(turn, here)
        self._report(document, turn)
        return restart

    def _plan(self, document: Document) -> Plan:
        state = self._changes.state
        changed = [ref for ref, entry in state.installed.items() if self._is_changed(entry)]
        installed = dict(state.installed)
        firmware = document.by_ref.get(ItemKind.FIRMWARE)
        if firmware is not None:
            slots = self._slots.state()
            if slots is not None and slots.good == _image(firmware) and slots.trying is None:
                installed[firmware.ref] = Installed(firmware.digest, firmware.version)
            elif slots is not None:
                installed[firmware.ref] = Installed("", slots.good.version)
        return plan(document, installed, state.failed, changed)

    def _is_changed(self, entry: Installed) -> bool:
        return any(self._disk.sha256(path) != sha256 for path, sha256 in entry.files.items())

    def _changed(self) -> list[str]:
        return [ref for ref, entry in self._changes.state.installed.items() if self._is_changed(entry)]

    def _forget(self, turn: _Round) -> None:
        state = self._changes.state
        for step in turn.plan.of(Action.FORGET):
            state = state.with_installed(step.ref, None).with_failed(step.ref, None)
        self._changes.keep(state)

    def _fetch(self, turn: _Round) -> dict[str, Path]:
        here: dict[str, Path] = {}
        for step in turn.plan.of(Action.INSTALL):
            item = step.item
            assert item is not None, "what is installed is desired"
            if item.kind is ItemKind.FIRMWARE and not self._wants_firmware(turn, item):
                continue
            try:
                here[item.ref] = self._source.fetch(item.path, bytes.fromhex(item.sha256), item.length)
                turn.state[item.ref] = ItemState.DOWNLOADED
            except PeerError as error:
                turn.why[item.ref] = f"not fetched: {error}"
                if isinstance(error, IntegrityError):
                    self.refusals.append(f"{item.ref}: {error}")
        return here

    def _put(self, document: Document, turn: _Round, here: Mapping[str, Path], connected: bool) -> bool:
        candidates = self._candidates(turn, here)
        if not candidates:
            return False
        chosen = self._choose(document, turn, candidates)
        if not chosen:
            return False
        state = self._changes.state
        names = iter(range(1, 1_000_000))
        tried: list[Tried] = []
        files: dict[str, bytes | None] = {}
        for candidate in chosen:
            before = state.installed.get(candidate.ref)
            kept = self._changes.keep_old({path: str(next(names)) for path in candidate.files})
            files |= candidate.files
            item = candidate.item
            entry = None
            if item is not None:
                written = {path: data for path, data in candidate.files.items() if data is not None}
                entry = Installed(item.digest, item.version, {p: _sha256(d) for p, d in written.items()})
            tried.append(Tried(candidate.ref, "" if item is None else item.digest, before, kept))
            state = state.with_installed(candidate.ref, entry).with_failed(candidate.ref, None)
        self._apply(files, replace(state, trial=Trial(tuple(tried), connected)))
        for candidate in chosen:
            turn.state[candidate.ref] = ItemState.VERIFIED
        return True

    def _candidates(self, turn: _Round, here: Mapping[str, Path]) -> list[_Candidate]:
        """What is here and whose needs are here or active, and what goes."""
        from edge_runtime.desired.files import files_of  # only where something changes

        found: list[_Candidate] = []
        config = (self._disk.read(CONFIG) or b"").decode("utf-8", "replace")
        missing = {step.ref for step in turn.plan.of(Action.INSTALL)} - here.keys()
        for step in turn.plan.of(Action.INSTALL):
            item = step.item
            if item is None or item.ref not in here or item.kind is ItemKind.FIRMWARE:
                continue
            waits = [need for need in item.all_needs if need in missing or need == ItemKind.FIRMWARE]
            if any(need in missing or self._waits_for_firmware(turn, need) for need in waits):
                turn.why[item.ref] = "waits for " + ", ".join(waits)
                missing.add(item.ref)
                continue
            try:
                files: dict[str, bytes | None] = dict(files_of(item, here[item.ref].read_bytes(), config))
            except InputError as error:
                self._fail(turn, item, str(error))
                missing.add(item.ref)
                continue
            except OSError as error:
                raise StoreError(f"{here[item.ref]}: {error.strerror}; expected a fetched target") from error
            found.append(_Candidate(item.ref, files | self._left_behind(item, files), item))
        for step in turn.plan.of(Action.REMOVE):
            entry = self._changes.state.installed[step.ref]
            found.append(_Candidate(step.ref, dict.fromkeys(entry.files)))
        return found

    def _waits_for_firmware(self, turn: _Round, need: str) -> bool:
        return need == ItemKind.FIRMWARE and any(
            step.ref == need and step.action is not Action.KEEP for step in turn.plan.steps
        )

    def _left_behind(self, item: Item, files: Mapping[str, bytes | None]) -> dict[str, bytes | None]:
        """Files of what the item replaces that it does not have itself."""
        entry = self._changes.state.installed.get(item.ref)
        return {} if entry is None else {path: None for path in entry.files if path not in files}

    def _choose(self, document: Document, turn: _Round, candidates: Sequence[_Candidate]) -> list[_Candidate]:
        """Those that pass the check together."""
        before = set(map(str, self._check({})))
        chosen = list(candidates)
        refused: dict[str, list[Problem]] = {}
        while chosen:
            problems = self._new_problems(chosen, before)
            if not problems:
                break
            guilty = {c.ref for c in chosen if any(p.file in c.files for p in problems)}
            if not guilty:
                chosen = self._one_by_one(chosen, before, refused)
                break
            for ref in guilty:
                refused[ref] = [p for p in problems if p.file in _files(chosen, ref)]
            chosen = _without(chosen, guilty, turn)
        self._note_refused(document, turn, candidates, refused)
        return chosen

    def _one_by_one(
        self, candidates: Sequence[_Candidate], before: set[str], refused: dict[str, list[Problem]]
    ) -> list[_Candidate]:
        """The check names none of them: whichever brings a problem is left out."""
        chosen: list[_Candidate] = []
        for candidate in candidates:
            needs = () if candidate.item is None else candidate.item.all_needs
            if any(need in refused for need in needs):
                continue
            problems = self._new_problems([*chosen, candidate], before)
            if problems:
                refused[candidate.ref] = problems
            else:
                chosen.append(candidate)
        return chosen

    def _new_problems(self, chosen: Sequence[_Candidate], before: set[str]) -> list[Problem]:
        files: dict[str, bytes | None] = {}
        for candidate in chosen:
            files |= candidate.files
        return [problem for problem in self._check(files) if str(problem) not in before]

    def _note_refused(
        self,
        document: Document,
        turn: _Round,
        candidates: Sequence[_Candidate],
        refused: Mapping[str, Sequence[Problem]],
    ) -> None:
        """Remember what a check refused, unless what is still missing may be the reason."""
        by_ref = {candidate.ref: candidate for candidate in candidates}
        missing = [
            step.ref
            for step in turn.plan.of(Action.INSTALL, Action.WAIT)
            if step.ref not in by_ref and step.ref != ItemKind.FIRMWARE
        ]
        for ref, problems in refused.items():
            why = "; ".join(map(str, problems))
            item = by_ref[ref].item
            if item is None or missing:
                turn.why[ref] = f"{why}; checked again with {', '.join(missing) or 'the next document'}"
            else:
                self._fail(turn, item, why, context_of(document, self._changed()))

    def _fail(self, turn: _Round, item: Item, why: str, context: str = "") -> None:
        turn.state[item.ref] = ItemState.FAILED
        turn.why[item.ref] = why
        failure = Failure(item.digest, _short(why), context)
        self._changes.keep(self._changes.state.with_failed(item.ref, failure))

    # -- firmware ----------------------------------------------------------------------------------

    def _wants_firmware(self, turn: _Round, item: Item) -> bool:
        """Whether firmware is to be fetched; what else there is to say of it is noted."""
        slots = self._slots.state()
        if slots is None:
            turn.state[item.ref] = ItemState.FAILED
            turn.why[item.ref] = "this gateway is not run by a supervisor; see: catchment-edge supervise"
            return False
        if slots.trying == _image(item):
            turn.state[item.ref] = ItemState.VERIFIED
            turn.why[item.ref] = "in its slot, being tried"
            return False
        if slots.given_up == _image(item):
            self._fail(turn, item, slots.why or "given up by the supervisor")
            return False
        return True

    def _put_firmware(self, turn: _Round, here: Mapping[str, Path]) -> None:
        step = next((step for step in turn.plan.of(Action.INSTALL) if step.ref == ItemKind.FIRMWARE), None)
        if step is None or step.item is None or step.ref not in here:
            return
        try:
            self._slots.install(here[step.ref])
        except StoreError as error:
            turn.why[step.ref] = str(error)
        except CatchmentError as error:
            self._fail(turn, step.item, str(error))
        else:
            turn.state[step.ref] = ItemState.VERIFIED
            turn.why[step.ref] = "in its slot, to be tried"

    # -- telling -----------------------------------------------------------------------------------

    def _describe(self) -> None:
        """Look again, for the report."""
        if self.document is not None:
            self._report(self.document, _Round(self._plan(self.document)))

    def _report(self, document: Document, turn: _Round) -> None:
        trial = {item.ref for item in self.trial.items} if self.trial is not None else set()
        self.items = tuple(self._item(step, turn, trial) for step in turn.plan.steps)

    def _item(self, step: Step, turn: _Round, trial: set[str]) -> ItemReport:
        suspects = {suspect.ref for suspect in self.trial.suspects} if self.trial is not None else set()
        state = {
            Action.KEEP: ItemState.ACTIVE,
            Action.LEAVE: ItemState.DRIFTED,
            Action.GIVE_UP: ItemState.FAILED,
            Action.WAIT: ItemState.DESIRED,
        }.get(step.action, ItemState.DESIRED)
        why = step.why
        if step.action is Action.KEEP and step.ref in trial:
            state, why = ItemState.VERIFIED, "in place, on trial"
        elif step.ref in suspects:
            state, why = ItemState.VERIFIED, "put back while a fault is looked for"
        state = turn.state.get(step.ref, state)
        why = turn.why.get(step.ref, why)
        entry = self._changes.state.installed.get(step.ref)
        running = "" if entry is None else entry.version
        if step.ref == ItemKind.FIRMWARE:
            slots = self._slots.state()
            running = "" if slots is None else slots.good.version
        item = step.item
        if item is None:
            return ItemReport(step.ref, "", state, _short(why), running)
        return ItemReport(step.ref, item.version, state, _short(why), running, item.digest)

    # -- writing -----------------------------------------------------------------------------------

    def _apply(self, files: Content, state: State) -> None:
        self._changes.apply(files, state)

    def _write_accepted(self, document: Document) -> None:
        beside = f"{ACCEPTED}.new"
        self._disk.write(beside, seal(document, self._signer), PUBLIC)
        self._disk.rename(beside, ACCEPTED)
        for folder in (FOLDER, "data", ""):
            self._disk.sync(folder)


def _image(item: Item) -> Image:
    return Image(item.version, item.sha256)


def _files(candidates: Sequence[_Candidate], ref: str) -> Content:
    return next(candidate.files for candidate in candidates if candidate.ref == ref)


def _without(chosen: Sequence[_Candidate], guilty: set[str], turn: _Round) -> list[_Candidate]:
    """What is left when some go, and what needs them."""
    gone = set(guilty)
    left = list(chosen)
    while True:
        kept = [c for c in left if c.ref not in gone]
        for candidate in kept:
            needs = () if candidate.item is None else candidate.item.all_needs
            missing = [need for need in needs if need in gone]
            if missing:
                gone.add(candidate.ref)
                turn.why[candidate.ref] = "waits for " + ", ".join(missing)
        if len(kept) == len([c for c in left if c.ref not in gone]):
            return kept
        left = kept


def _sha256(data: bytes) -> str:
    import hashlib

    return hashlib.sha256(data).hexdigest()


def _short(text: str) -> str:
    return text if len(text) <= EVENT_TEXT_CHARS_MAX else text[: EVENT_TEXT_CHARS_MAX - 1] + "…"
