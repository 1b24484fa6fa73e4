from __future__ import annotations

from typing import Any

import pytest

from streams.destinations.encharge import Encharge

TRIGGERS = (
    'type = "track"',
    "userId != null",
    'type = "page" or type = "track"',
    'type = "track" and event = "Login"',
    'type = "group"',
)


def encharge(*, parity: bool = False) -> Encharge:
    definitions = [
        {
            "partnerAction": "addTag",
            "name": trigger,
            "subscribe": trigger,
            "mapping": {},
            "enabled": trigger != 'type = "group"',
        }
        for trigger in TRIGGERS
    ]
    return Encharge(api_key="k", subscriptions=definitions, parity=parity)


@pytest.mark.parametrize(
    ("kind", "places"),
    [
        ("track", [0, 1, 2, 3]),
        ("page", [1, 2]),
        ("group", [1]),
        ("nonsense", [1]),
        (None, [1]),
        (["track"], [1]),
        ({}, [1]),
    ],
)
def test_candidates_by_type_in_their_order(kind: Any, places: list[int]) -> None:
    found = [subscription.name for subscription in encharge().candidates(kind)]
    assert found == [TRIGGERS[place] for place in places]


def test_in_parity_mode_a_trigger_may_fail_so_all_are_asked() -> None:
    destination = encharge(parity=True)
    assert destination.candidates("page") == destination.subscriptions


def test_the_presets() -> None:
    destination = Encharge(api_key="k")
    for kind in ("identify", "track", "page", "group", "alias"):
        assert [s.action for s in destination.candidates(kind)] == [kind]
    assert list(destination.candidates("screen")) == []
