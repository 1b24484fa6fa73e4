"""What every Segment event has in common; the rest is the destination's business."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from streams.errors import InvalidEvent
from streams.source.validate import TYPES, validate

TRACK: dict[str, Any] = {"type": "track", "event": "Clicked", "userId": "u"}


def reason(event: dict[str, Any]) -> str:
    with pytest.raises(InvalidEvent) as caught:
        validate(event)
    return caught.value.reason


@pytest.mark.parametrize("kind", sorted(TYPES))
def test_segments_types_are_known(kind: str) -> None:
    validate({"type": kind, "userId": "u"})


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"userId": "u"}, "no-type"),
        ({"type": None, "userId": "u"}, "no-type"),
        ({"type": "Track", "userId": "u"}, "unknown-type"),
        ({"type": ["track"], "userId": "u"}, "unknown-type"),
        ({"type": {}, "userId": "u"}, "unknown-type"),
        ({"type": 7, "userId": "u"}, "unknown-type"),
        ({"type": "track"}, "no-ids"),
        ({"type": "track", "userId": None, "anonymousId": ""}, "no-ids"),
        ({"type": "track", "userId": ""}, "no-ids"),
    ],
)
def test_an_event_needs_a_type_and_an_id(event: dict[str, Any], expected: str) -> None:
    assert reason(event) == expected


@pytest.mark.parametrize("name", ["userId", "anonymousId", "previousId", "groupId", "messageId"])
def test_ids_are_texts_or_numbers(name: str) -> None:
    for value in ("x", 7, 1.5, None, ""):
        validate({**TRACK, name: value, "anonymousId": "a"} if name != "anonymousId" else TRACK)
    for value in (True, [], {}, ["x"]):
        assert reason({**TRACK, name: value}) == "wrong-type"


@pytest.mark.parametrize("name", ["traits", "properties", "context", "integrations"])
def test_objects_are_objects(name: str) -> None:
    validate({**TRACK, name: {}})
    validate({**TRACK, name: None})
    for value in ([], "x", 7, False):
        assert reason({**TRACK, name: value}) == "wrong-type"


@pytest.mark.parametrize("name", ["event", "name", "category", "channel", "version"])
def test_texts_are_not_containers(name: str) -> None:
    validate({**TRACK, name: "x"})
    validate({**TRACK, name: 7})
    assert reason({**TRACK, name: {}}) == "wrong-type"
    assert reason({**TRACK, name: ["x"]}) == "wrong-type"


@pytest.mark.parametrize("name", ["timestamp", "originalTimestamp", "sentAt", "receivedAt"])
def test_times_are_iso_8601(name: str) -> None:
    for value in ("2026-11-02T08:00:00.000Z", "2026-11-02T08:00:00+02:00", "2026-11-02", None):
        validate({**TRACK, name: value})
    for value in (1_700_000_000, "yesterday", "", "2026-13-01T00:00:00Z", {}):
        assert reason({**TRACK, name: value}) == "invalid-timestamp"


def test_a_complaint_names_the_field_and_shortens_the_value() -> None:
    with pytest.raises(InvalidEvent, match="traits must be an object") as caught:
        validate({**TRACK, "traits": "x" * 10_000})
    assert len(str(caught.value)) < 200


def test_nothing_is_changed() -> None:
    event = {**TRACK, "userId": 7, "anonymousId": "", "context": {"traits": {}}}
    before = copy.deepcopy(event)
    validate(event)
    assert event == before
