"""Which runs stay, and removing what no run needs any more.

Rules:
1. Kept are the newest complete runs, beside them the newest of each of so many days and months,
   and the runs of metadata of so many days. The newest complete run is always kept.
2. Runs go first, then pieces that no run names: a cut leaves pieces nobody needs, never a run
   that lacks some.
3. Nothing is removed while a run cannot be read: what it needs is not known.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from protocols.backup.manifest import COMPLETE, Manifest
from protocols.backup.repository import Repository, Unreadable
from protocols.backup.store import FolderStore

DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Keep:
    """How much is kept.

    Args:
        last: Newest complete runs.
        daily: Days of which the newest complete run is kept.
        monthly: Months of which the newest complete run is kept.
        metadata_days: Days of which all runs of metadata are kept.
    """

    last: int = 7
    daily: int = 31
    monthly: int = 12
    metadata_days: int = 7


@dataclass(frozen=True, slots=True)
class Pruned:
    """What went.

    Args:
        removed: Names of runs.
        kept: Names of those that stay.
        objects: Pieces that went.
    """

    removed: tuple[str, ...]
    kept: tuple[str, ...]
    objects: int


def chosen(manifests: Iterable[Manifest], keep: Keep, now_us: int) -> set[str]:
    """Names of the runs that stay.

    Args:
        manifests: All runs.
        keep: How much.
        now_us: Microseconds since 1970.
    """
    ordered = sorted(manifests, key=lambda manifest: manifest.id, reverse=True)
    complete = [manifest for manifest in ordered if manifest.kind == COMPLETE]
    stay = {manifest.id for manifest in complete[: max(1, keep.last)]}
    for form, count in (("%Y-%m-%d", keep.daily), ("%Y-%m", keep.monthly)):
        periods: dict[str, str] = {}
        for manifest in complete:
            period = datetime.fromtimestamp(manifest.time_us / 1e6, UTC).strftime(form)
            periods.setdefault(period, manifest.id)
        stay |= set(list(periods.values())[:count])
    since = now_us - keep.metadata_days * DAY_US
    return stay | {m.id for m in ordered if m.kind != COMPLETE and m.time_us >= since}


def prune(repository: Repository, keep: Keep, now_us: int, dry_run: bool = False) -> Pruned:
    """Remove runs that are not kept, and pieces that none needs.

    Args:
        repository: Where.
        keep: How much is kept.
        now_us: Microseconds since 1970.
        dry_run: Only say what would go.

    Raises:
        DamagedError: A run cannot be read; nothing was removed.
        StoreError: The place refused.
    """
    manifests: list[Manifest] = []
    for each in repository.manifests():
        if isinstance(each, Unreadable):
            raise each.error
        manifests.append(each)
    stay = chosen(manifests, keep, now_us)
    gone = sorted(manifest.id for manifest in manifests if manifest.id not in stay)
    needed = {piece for manifest in manifests if manifest.id in stay for piece in manifest.pieces()}
    unused = repository.held() - needed
    if not dry_run:
        for id in gone:
            repository.delete_manifest(id)
        for piece in sorted(unused):
            repository.delete_piece(piece)
        if isinstance(repository.store, FolderStore):
            repository.store.sweep()
    return Pruned(tuple(gone), tuple(sorted(stay)), len(unused))
