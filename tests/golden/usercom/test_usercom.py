"""Runs the golden cases beside this file, against the stand-in's account.

A line is ``{"id", "event", "account"?, "expect": {"calls", "ignored"?}}``. ``account`` is what
there is before: ``attributes`` as ``[content_type, name, value_type, choices?]``, ``people`` and
their profiles, ``companies``. ``calls`` are all that are made, in order; the stand-in takes them.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from streams.destinations.usercom import PRESETS
from streams.destinations.usercom.actions import ACTIONS
from tests.support.usercom import Account

CASES = {
    case["id"]: case
    for file in sorted(Path(__file__).parent.glob("*.ndjson"))
    for case in map(json.loads, file.read_text(encoding="utf-8").splitlines())
}


def account_of(case: dict[str, Any]) -> Account:
    before = case.get("account", {})
    options = {"subscriptions": case["subscriptions"]} if "subscriptions" in case else {}
    account = Account(**options)
    for attribute in before.get("attributes", ()):
        account.define(*attribute)
    for custom_id, profile in before.get("people", {}).items():
        account.state.write("clientuser", account.state.upsert(custom_id)[0], profile)
    for custom_id in before.get("companies", ()):
        account.call(
            account.destination._account.api.post(
                "companies/", {"custom_id": custom_id, "name": custom_id}
            )
        )
    account.calls.clear()
    return account


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_case(case: dict[str, Any]) -> None:
    before = copy.deepcopy(case)
    account = account_of(case)
    calls = account.send(case["event"])
    # As text, because 1 and True are equal in Python but not in JSON.
    assert as_text(calls) == as_text(case["expect"]["calls"])
    assert dict(account.ignored) == case["expect"].get("ignored", {})
    assert case == before


def as_text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, indent=1)


def test_every_action_has_cases() -> None:
    assert {preset["partnerAction"] for preset in PRESETS} == set(ACTIONS)
    assert len(CASES) >= 50
