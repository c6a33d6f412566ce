"""Whatever is asked, as the schema allows it or not, is never a fault of ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings

from headquarters.tenancy.principal import GROUP
from tests.web.client import InProcess
from tests.web.house import House

CASES_EACH = 6
"""Requests to each operation: 70 operations in some ten seconds."""


def test_no_request_that_the_schema_knows_ends_with_a_fault(tmp_path: Path) -> None:
    house = House(tmp_path)
    transport = InProcess(house.app)
    try:
        for role, cases in (("operator", CASES_EACH), ("engineer", 1), ("system-administrator", 1)):
            with house.client(GROUP, role) as client:
                _ask_everything(house, client, cases)
    finally:
        transport.end()
        house.close()


def _ask_everything(house: House, client: httpx.Client, cases: int) -> None:
    schema = schemathesis.openapi.from_dict(json.loads(json.dumps(house.app.openapi())))
    asked = 0
    for result in schema.get_all_operations():
        operation: Any = result.ok()  # type: ignore[union-attr]

        @settings(
            max_examples=cases,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def ask(case: Any) -> None:
            sent = case.as_transport_kwargs(base_url="http://portal")
            sent.pop("cookies", None)  # the session's is the client's
            if isinstance(sent.get("json"), dict):
                sent["json"].pop("wait_s", None)  # half a minute each is no better than none
            answer = client.request(**sent)
            assert answer.status_code < 500, (case.method, case.path, sent, answer.text)
            if answer.status_code >= 400:
                assert answer.headers["content-type"] == "application/problem+json"

        ask()
        asked += 1
    assert asked > 50
