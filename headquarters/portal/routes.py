"""All pages as one router, for the process that serves them."""

from __future__ import annotations

from fastapi import APIRouter

from headquarters.portal import assets
from headquarters.portal.pages import (
    account,
    alarms,
    audit,
    catalogue,
    enrolment,
    events,
    gateways,
    live,
    mimic,
    nowhere,
    operations,
    overview,
    points,
    preferences,
    rollouts,
    search,
    sign_in,
    sql,
    tenants,
    topology,
    trends,
    users,
)

PAGES = (
    overview,
    topology,
    gateways,
    mimic,
    points,
    trends,
    alarms,
    events,
    sql,
    catalogue,
    rollouts,
    operations,
    enrolment,
    users,
    tenants,
    audit,
    search,
    live,
    preferences,
    sign_in,
    account,
)

router = APIRouter(include_in_schema=False)
router.include_router(assets.router)
for page in PAGES:
    router.include_router(page.router)
router.include_router(nowhere.api)
router.include_router(nowhere.router)
