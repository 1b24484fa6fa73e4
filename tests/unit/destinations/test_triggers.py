from __future__ import annotations

from typing import Any

import pytest

from streams.errors import SettingsError
from streams.routing.triggers import compile_trigger


@pytest.mark.parametrize(
    ("text", "types"),
    [
        ('type = "track"', {"track"}),
        ("  type='track'  ", {"track"}),
        ('type = "page" or type = "screen"', {"page", "screen"}),
        ('type="page" or type=\'group\' or type = "a or b"', {"page", "group", "a or b"}),
    ],
)
def test_triggers(text: str, types: set[str]) -> None:
    matches = compile_trigger(text)
    for name in ("track", "page", "screen", "group", "a or b", "Track", ""):
        assert matches({"type": name}) is (name in types)


@pytest.mark.parametrize("event", [{}, {"type": None}, {"type": ["page"]}, {"type": {}}])
def test_events_of_another_shape(event: dict[str, Any]) -> None:
    assert not compile_trigger('type = "page"')(event)
    assert not compile_trigger('type = "page" or type = "track"')(event)


@pytest.mark.parametrize(
    "text", ["", "type", "type = ", 'type != "a"', 'event = "a"', 'type = "a" and type = "b"']
)
def test_what_is_not_understood_yet(text: str) -> None:
    with pytest.raises(SettingsError, match=r"^at: expected type = "):
        compile_trigger(text, path="at")
