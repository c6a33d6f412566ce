"""Roll-outs: plan, start, pause, resume, abort."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from sqlalchemy import Engine

from headquarters.desired.room import demand_room
from headquarters.desired.store import DesiredStore
from headquarters.desired.targets import UpdateRepository, publish
from headquarters.rollout.planfile import read_plan
from headquarters.rollout.service import Rollouts
from headquarters.tenancy.scope import Scope
from headquarters.views.rollouts import RolloutView, rollout
from headquarters.views.seeing import EVERYTHING, UnseenError
from headquarters.views.sources import Sources

PLAN_BYTES_MAX = 1 << 20
"""A plan that names ten thousand gateways."""


def plan(sources: Sources, text: str) -> RolloutView:
    """Check a plan and keep it; one that has not begun is replaced.

    Args:
        sources: Of this headquarters.
        text: The plan, TOML: see docs/rollouts.md.

    Raises:
        InputError: With every problem of the plan; or a roll-out of this name has begun.
        StoreError: A store cannot be used.
    """
    targets = UpdateRepository(sources.config).targets()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plan.toml"
        path.write_text(text, encoding="utf-8")
        found = read_plan(path, targets)
    with _rollouts(sources) as (_, rollouts):
        rollouts.plan(found)
    return _shown(sources, EVERYTHING, found.name)


def start(sources: Sources, scope: Scope, name: str, *, metadata: Engine) -> RolloutView:
    """Begin a planned roll-out: rings are filled with the gateways that there are now.

    Args:
        sources: Of this headquarters.
        scope: Of who asks.
        name: Which.
        metadata: The metadata store.

    Raises:
        UnseenError: There is none of this name, or it is not seen.
        InputError: It has begun, or its rings select nobody.
        QuotaError: A tenant's gateways would have more apps than it may.
        StoreError: A store cannot be used.
    """
    _shown(sources, scope, name)
    with _rollouts(sources) as (store, rollouts):
        sites = sources.trust().gateway_sites
        room = partial(demand_room, metadata, store, sites)
        rollouts.start(name, sites, sorted({*sites, *store.gateways()}), room)
    return _shown(sources, scope, name)


def pause(sources: Sources, scope: Scope, name: str) -> RolloutView:
    """Change no further gateways. Raises as `start` does, but for quotas."""
    return _turned(sources, scope, name, lambda rollouts: rollouts.pause(name))


def resume(sources: Sources, scope: Scope, name: str) -> RolloutView:
    """Go on with a paused roll-out. Raises as `pause` does."""
    return _turned(sources, scope, name, lambda rollouts: rollouts.resume(name))


def abort(sources: Sources, scope: Scope, name: str, keep: bool) -> RolloutView:
    """End a roll-out.

    Args:
        sources: Of this headquarters.
        scope: Of who asks.
        name: Which.
        keep: Leave changed gateways as they are; else they go back.

    Raises as `pause` does.
    """
    _shown(sources, scope, name)
    repository = UpdateRepository(sources.config)
    with _rollouts(sources) as (store, rollouts):
        rollouts.abort(name, keep)
        publish(store, repository)
    return _shown(sources, scope, name)


def _turned(sources: Sources, scope: Scope, name: str, turn: Callable[[Rollouts], object]) -> RolloutView:
    _shown(sources, scope, name)
    with _rollouts(sources) as (_, rollouts):
        turn(rollouts)
    return _shown(sources, scope, name)


def _shown(sources: Sources, scope: Scope, name: str) -> RolloutView:
    found = rollout(sources, scope, name)
    if found is None:
        raise UnseenError("roll-out", name)
    return found


@contextmanager
def _rollouts(sources: Sources) -> Iterator[tuple[DesiredStore, Rollouts]]:
    with sources.desired() as store:
        yield store, Rollouts(store, sources.now_us)
