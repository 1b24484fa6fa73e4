"""Runs the golden cases beside this file.

A line is ``{"id", "event", "subscriptions"?, "op"?, "expect": {"requests", "error"}}``, as
``streams explain`` reads them. ``error`` is null or the names that the error has to mention.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from streams.destinations.base import Request
from streams.destinations.encharge import PRESETS, Encharge
from streams.destinations.encharge.actions import ACTIONS
from streams.errors import PayloadError

CASES = {
    case["id"]: case
    for file in sorted(Path(__file__).parent.glob("*.ndjson"))
    for case in map(json.loads, file.read_text(encoding="utf-8").splitlines())
}


def run(case: dict[str, Any]) -> list[Request]:
    encharge = Encharge(
        api_key="api-key",
        write_key="write-key",
        subscriptions=case.get("subscriptions", PRESETS),
    )
    event = case["event"]
    if case.get("op") == "delete":
        return [encharge.delete(event)]
    return [
        subscription.build(event)
        for subscription in encharge.subscriptions
        if subscription.matches(event)
    ]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_case(case: dict[str, Any]) -> None:
    before = copy.deepcopy(case)
    expected = case["expect"]
    if expected["error"]:
        with pytest.raises(PayloadError) as caught:
            run(case)
        for name in expected["error"]:
            assert name in str(caught.value)
    else:
        requests = run(case)
        made = [{"method": r.method, "url": r.url, "body": r.body} for r in requests]
        # As text, because 1 and True are equal in Python but not in JSON.
        assert as_text(made) == as_text(expected["requests"])
        for request in requests:
            on_ingest_host = request.url.startswith("https://ingest.")
            assert dict(request.headers) == {
                "X-Encharge-Token": "write-key" if on_ingest_host else "api-key",
                "Content-Type": "application/json",
                "X-Segment-Actions": "1",
            }
    assert case == before


def as_text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, indent=1)


def test_every_action_has_cases() -> None:
    slugs = {s["partnerAction"] for case in CASES.values() for s in case.get("subscriptions", [])}
    slugs |= {preset["partnerAction"] for preset in PRESETS}
    assert slugs == set(ACTIONS)
    assert len(CASES) >= 40
