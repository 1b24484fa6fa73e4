"""The `integrations` object: on by default, `All` is the fallback, names are exact."""

from __future__ import annotations

from typing import Any

import pytest

from streams.source.integrations import enabled

NAMES = frozenset({"Encharge", "Encharge (Actions)"})


@pytest.mark.parametrize(
    ("integrations", "expected"),
    [
        (None, True),
        ({}, True),
        ({"All": True}, True),
        ({"All": False}, False),
        ({"All": None}, True),
        ({"Encharge": False}, False),
        ({"Encharge": None}, False),
        ({"Encharge": True}, True),
        ({"Encharge": {"list": 7}}, True),
        ({"Encharge": {}}, True),
        ({"All": False, "Encharge (Actions)": True}, True),
        ({"All": True, "Encharge (Actions)": False}, False),
        ({"All": False, "encharge": True}, False),
        ({"Mixpanel": False}, True),
        ({"Encharge": False, "Encharge (Actions)": True}, True),
    ],
)
def test_which_events_are_meant_for_a_destination(integrations: Any, expected: bool) -> None:
    assert enabled(integrations, NAMES) is expected


def test_an_event_without_the_object_is_meant_for_all() -> None:
    assert enabled({"type": "track"}, NAMES)
