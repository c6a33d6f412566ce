"""What the gateway remembers of its desired state: what it installed, what failed, what is on trial."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from edge_runtime.desired.plan import Failure, Installed

VERSION = 1


@dataclass(frozen=True, slots=True)
class Tried:
    """An item that was put in place and has yet to prove itself.

    Args:
        ref: Which.
        digest: Of the item as it was put in place; empty for one that was removed.
        before: What was installed before; `None` when nothing was.
        kept: For each path that changed the file under which the old content is kept, or `None`
            where there was no file.
    """

    ref: str
    digest: str
    before: Installed | None
    kept: Mapping[str, str | None]


class Suspect(NamedTuple):
    """An item that went back while the one at fault was looked for.

    Args:
        ref: Which.
        digest: Of the item as it was put in place.
        why: What happened with it in place.
    """

    ref: str
    digest: str
    why: str


@dataclass(frozen=True, slots=True)
class Trial:
    """Items that came with one change, until the gateway has run with them.

    Args:
        items: In the order in which they were put in place.
        connected: Whether an upstream was connected before: it must be again.
        starts: How often the gateway has begun since.
        suspects: What went back of them, in that order. When the gateway runs without the last
            one, that was the one at fault; the others are tried again.
    """

    items: tuple[Tried, ...]
    connected: bool
    starts: int = 0
    suspects: tuple[Suspect, ...] = ()


@dataclass(frozen=True, slots=True)
class State:
    """All of it.

    Args:
        installed: By ref.
        failed: By ref.
        trial: `None` when all has proved itself.
    """

    installed: Mapping[str, Installed] = field(default_factory=dict)
    failed: Mapping[str, Failure] = field(default_factory=dict)
    trial: Trial | None = None

    def with_installed(self, ref: str, entry: Installed | None) -> State:
        """With another entry of `installed`, or without one."""
        rest = {key: value for key, value in self.installed.items() if key != ref}
        return replace(self, installed=rest if entry is None else {**rest, ref: entry})

    def with_failed(self, ref: str, entry: Failure | None) -> State:
        """With another entry of `failed`, or without one."""
        rest = {key: value for key, value in self.failed.items() if key != ref}
        return replace(self, failed=rest if entry is None else {**rest, ref: entry})

    def pack(self) -> bytes:
        """As it is kept."""
        document = {
            "version": VERSION,
            "installed": {ref: _installed(entry) for ref, entry in sorted(self.installed.items())},
            "failed": {
                ref: [entry.digest, entry.why, entry.context] for ref, entry in sorted(self.failed.items())
            },
            "trial": None if self.trial is None else _trial(self.trial),
        }
        return json.dumps(document, ensure_ascii=False, indent=1).encode() + b"\n"

    @classmethod
    def parse(cls, data: bytes) -> State:
        """Read what `pack` wrote.

        Raises:
            ValueError: It is something else.
        """
        document = json.loads(data)
        if not isinstance(document, dict) or document.get("version") != VERSION:
            raise ValueError(f"expected version {VERSION}")
        try:
            trial = document["trial"]
            return cls(
                {str(ref): _read_installed(entry) for ref, entry in document["installed"].items()},
                {
                    str(ref): Failure(str(digest), str(why), str(context))
                    for ref, (digest, why, context) in document["failed"].items()
                },
                None if trial is None else _read_trial(trial),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"expected what the gateway wrote: {error!r}") from error


def _installed(entry: Installed) -> dict[str, Any]:
    return {"digest": entry.digest, "version": entry.version, "files": dict(entry.files)}


def _read_installed(entry: Any) -> Installed:
    files = {str(path): str(sha256) for path, sha256 in entry["files"].items()}
    return Installed(str(entry["digest"]), str(entry["version"]), files)


def _trial(trial: Trial) -> dict[str, Any]:
    return {
        "connected": trial.connected,
        "starts": trial.starts,
        "suspects": [list(suspect) for suspect in trial.suspects],
        "items": [
            {
                "ref": tried.ref,
                "digest": tried.digest,
                "before": None if tried.before is None else _installed(tried.before),
                "kept": dict(tried.kept),
            }
            for tried in trial.items
        ],
    }


def _read_trial(found: Any) -> Trial:
    items = tuple(
        Tried(
            str(entry["ref"]),
            str(entry["digest"]),
            None if entry["before"] is None else _read_installed(entry["before"]),
            {str(path): None if name is None else str(name) for path, name in entry["kept"].items()},
        )
        for entry in found["items"]
    )
    suspects = tuple(Suspect(*map(str, suspect)) for suspect in found["suspects"])
    return Trial(items, bool(found["connected"]), int(found["starts"]), suspects)
