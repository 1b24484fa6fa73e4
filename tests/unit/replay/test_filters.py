"""Which events are asked for."""

from __future__ import annotations

from typing import Any

import pytest

from streams.replay.filters import Filter
from streams.source.head import Head

HEAD = {"type": "track", "event": "Paid", "userId": "u-1"}


@pytest.mark.parametrize(
    ("chosen", "head", "at", "refusal"),
    [
        ({}, HEAD, None, None),
        ({"since": 10, "until": 20}, HEAD, 10, None),
        ({"since": 10}, HEAD, 9, "time"),
        ({"until": 20}, HEAD, 20, "time"),
        ({"since": 10}, HEAD, None, "time"),
        ({"until": 10}, HEAD, None, "time"),
        ({"types": {"track"}}, HEAD, 1, None),
        ({"types": {"page"}}, HEAD, 1, "type"),
        ({"events": {"Paid"}}, HEAD, 1, None),
        ({"events": {"paid"}}, HEAD, 1, "event"),
        ({"events": {"Paid"}}, {"type": "page", "userId": "u-1"}, 1, "event"),
        ({"people": {"u-1"}}, HEAD, 1, None),
        ({"people": {"u-2"}}, HEAD, 1, "person"),
        ({"people": {"7"}}, {"type": "page", "userId": 7.0}, 1, None),
        ({"people": {"a"}}, {"type": "page", "userId": "u", "anonymousId": "a"}, 1, None),
        ({"people": {"old"}}, {"type": "alias", "userId": "u", "previousId": "old"}, 1, None),
    ],
)
def test_what_is_asked_for(
    chosen: dict[str, Any], head: dict[str, Any], at: int | None, refusal: str | None
) -> None:
    asked = {k: frozenset(v) if isinstance(v, set) else v for k, v in chosen.items()}
    assert Filter(**asked).refuses(Head(**head), at) == refusal
