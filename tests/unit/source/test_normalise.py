"""One shape for what different clients send."""

from __future__ import annotations

from typing import Any

import pytest

from streams.source.normalise import normalise, person_key

WHERE = ("source", 3, 42)
PRODUCED_AT = 1_700_000_000.0


def normalised(**fields: Any) -> dict[str, Any]:
    event = {"type": "track", "userId": "u", "messageId": "m", **fields}
    normalise(event, *WHERE, PRODUCED_AT)
    return event


@pytest.mark.parametrize(
    ("given", "expected"), [(7, "7"), (7.0, "7"), (1.5, "1.5"), (-0.0, "0"), ("7", "7"), ("", None)]
)
def test_ids_are_texts(given: Any, expected: str | None) -> None:
    assert normalised(anonymousId=given)["anonymousId"] == expected


def test_an_event_without_a_message_id_gets_one_from_where_it_was_read() -> None:
    # The same after a crash, so that reading it again is recognised.
    assert normalised(messageId=None)["messageId"] == "kafka-source-3-42"
    assert normalised(messageId="")["messageId"] == "kafka-source-3-42"
    assert normalised(messageId=12)["messageId"] == "12"


def test_the_timestamp_that_is_there_stays() -> None:
    assert normalised(timestamp="2026-11-02")["timestamp"] == "2026-11-02"


def test_the_clock_of_a_device_is_corrected_by_ours() -> None:
    event = normalised(
        originalTimestamp="2026-11-02T10:00:00Z",
        sentAt="2026-11-02T10:00:05+00:00",
        receivedAt="2026-11-02T09:00:05.250Z",
    )
    assert event["timestamp"] == "2026-11-02T09:00:00.250Z"


def test_else_when_the_device_says_else_when_it_was_received_else_when_it_was_produced() -> None:
    said = normalised(originalTimestamp="2026-11-02T10:00:00+02:00", receivedAt="2026-11-02")
    assert said["timestamp"] == "2026-11-02T08:00:00.000Z"
    assert normalised(receivedAt="2026-11-02")["timestamp"] == "2026-11-02T00:00:00.000Z"
    assert normalised()["timestamp"] == "2023-11-14T22:13:20.000Z"


def test_the_traits_of_an_identify_may_be_in_its_context() -> None:
    context = {"traits": {"plan": "pro"}}
    assert normalised(type="identify", context=context)["traits"] == {"plan": "pro"}
    assert normalised(type="identify", context=context, traits={})["traits"] == {}
    assert "traits" not in normalised(type="track", context=context)
    assert "traits" not in normalised(type="identify", context={"traits": "x"})


def test_a_person_is_their_device_else_their_user_id() -> None:
    assert person_key("a", "u") == "a"
    assert person_key("", "u") == "u"
    assert person_key(None, 7.0) == "7"
    with pytest.raises(ValueError, match="no person"):
        person_key(None, "")
