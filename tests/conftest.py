"""What all tests share: coroutines run, CI draws the same examples, and the longest files go first."""

from __future__ import annotations

import asyncio
import inspect
import os

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("ci", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ci" if os.environ.get("CI") else "here")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let files that may take long begin first, so that no run ends with one of them alone."""
    longest: dict[str, float] = {}
    for item in items:
        mark = item.get_closest_marker("timeout")
        longest[item.location[0]] = max(longest.get(item.location[0], 0.0), mark.args[0] if mark else 0.0)
    items.sort(key=lambda item: -longest[item.location[0]])


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run `async def` tests to their end on a loop of their own."""
    if not inspect.iscoroutinefunction(pyfuncitem.function):
        return None
    names = inspect.signature(pyfuncitem.function).parameters
    arguments = {name: pyfuncitem.funcargs[name] for name in names}
    asyncio.run(pyfuncitem.function(**arguments))
    return True
