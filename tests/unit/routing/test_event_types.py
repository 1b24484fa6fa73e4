from __future__ import annotations

import pytest

from streams.routing.triggers import event_types


@pytest.mark.parametrize(
    ("text", "types"),
    [
        ('type = "track"', {"track"}),
        ('type = "page" or type = "screen"', {"page", "screen"}),
        ('type = "track" and event = "Login"', {"track"}),
        ('event = "Login" and (type = "track" or type = "page")', {"track", "page"}),
        ('(type = "track" or type = "page") and (type = "page" or type = "group")', {"page"}),
        ('type = "track" and type = "page"', set()),
        ("type = 5", {"5"}),
        ("type = true", {"true"}),
        ('type = "track" or event = "Login"', None),
        ('type != "track"', None),
        ('event = "track"', None),
        ('properties.type = "track"', None),
        ("type = null", {"null"}),
    ],
)
def test_event_types(text: str, types: set[str] | None) -> None:
    assert event_types(text) == types
