"""What other tools put on the topic, and the events that come out of it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from streams.avro import codec
from streams.avro.reader import AvroReader
from streams.avro.schemas import known
from streams.errors import InvalidEvent
from streams.source.head import read_head
from streams.source.unpack import Unpacker

MAX = 1000
EVENT = {"type": "track", "event": "Paid", "messageId": "m-1", "userId": "u-1"}


def unpacked(value: Any) -> list[Any]:
    """The events, or the reasons why they are none."""
    raw = value if isinstance(value, bytes) else orjson.dumps(value)
    with pytest.raises(InvalidEvent) as failure:
        read_head(raw, max_bytes=MAX)
    try:
        found = Unpacker(AvroReader(known(None)), max_event_bytes=MAX).events(
            raw, failure.value, "kafka-t-3-7"
        )
    except InvalidEvent as error:
        return [error.reason]
    return [one.reason if isinstance(one, InvalidEvent) else orjson.loads(one) for _, one in found]


def jitsu(payload: Any, **fields: Any) -> dict[str, Any]:
    return {
        "ingestType": "s2s",
        "messageCreated": "2026-11-02T08:00:01.000Z",
        "writeKey": "k",
        "messageId": "j-1",
        "type": "track",
        "origin": {"baseUrl": "x"},
        "httpHeaders": {"user-agent": "x"},
        "httpPayload": payload,
        **fields,
    }


def rudder(payload: Any, **fields: Any) -> dict[str, Any]:
    return {
        "userId": "u-1",
        "payload": payload,
        "createdAt": "2026-11-02T08:00:02.000Z",
        "messageId": "r-1",
        **fields,
    }


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in EVENT.items() if name not in names}


def test_jitsu_s_envelope_gives_the_event_and_what_it_knows_of_it() -> None:
    [event] = unpacked(jitsu(EVENT))
    assert event == {**EVENT, "receivedAt": "2026-11-02T08:00:01.000Z"}
    [nameless] = unpacked(jitsu(without("messageId")))
    assert nameless["messageId"] == "j-1"
    [dated] = unpacked(jitsu({**EVENT, "timestamp": "2026-11-01"}))
    assert dated == {**EVENT, "timestamp": "2026-11-01"}


def test_rudderstack_s_archive_lines_may_hold_an_event_its_text_or_a_batch() -> None:
    expected = {**EVENT, "receivedAt": "2026-11-02T08:00:02.000Z"}
    assert unpacked(rudder(EVENT)) == [expected]
    assert unpacked(rudder(orjson.dumps(EVENT).decode())) == [expected]
    assert unpacked(rudder({"batch": [EVENT, EVENT]})) == [expected, expected]


def test_a_batch_gives_its_events_what_it_shares() -> None:
    body = {
        "writeKey": "k",
        "sentAt": "2026-11-02T08:00:05.000Z",
        "context": {"ip": "1.2.3.4", "locale": "de"},
        "integrations": {"All": True},
        "batch": [{**EVENT, "context": {"locale": "en"}}, {**EVENT, "messageId": "m-2"}],
    }
    first, second = unpacked(body)
    assert first["context"] == {"ip": "1.2.3.4", "locale": "en"}
    assert second["context"] == body["context"]
    assert first["sentAt"] == second["sentAt"] == body["sentAt"]
    assert [first["messageId"], second["messageId"]] == ["m-1", "m-2"]


@pytest.mark.parametrize("absent", [{}, {"messageId": None}, {"messageId": ""}])
def test_each_of_several_without_a_message_id_gets_its_own(absent: dict[str, Any]) -> None:
    nameless = {**without("messageId"), **absent}
    found = unpacked({"batch": [nameless, EVENT, nameless]})
    assert [event["messageId"] for event in found] == ["kafka-t-3-7-0", "m-1", "kafka-t-3-7-2"]
    # One alone gets the record's, as every record's event does.
    [alone] = unpacked({"batch": [nameless]})
    assert alone["messageId"] == "kafka-t-3-7"
    # An envelope's own id is the same wherever its line is read again.
    found = unpacked(rudder({"batch": [nameless, nameless]}))
    assert [event["messageId"] for event in found] == ["r-1-0", "r-1-1"]


def test_one_that_is_no_event_leaves_its_neighbours_alone() -> None:
    broken = [{"type": "page"}, 7, "x", None, [], {**EVENT, "x": "y" * MAX}, {"type": "nope"}]
    found = unpacked({"batch": [EVENT, *broken, {**EVENT, "messageId": "m-2"}]})
    reasons = ["no-ids", *["not-an-object"] * 4, "too-large", "unknown-type"]
    assert found == [EVENT, *reasons, {**EVENT, "messageId": "m-2"}]


def test_one_of_several_that_is_no_event_says_which_and_can_be_sent_again_alone() -> None:
    raw = orjson.dumps({"batch": [EVENT, without("userId", "messageId")]})
    with pytest.raises(InvalidEvent) as failure:
        read_head(raw, max_bytes=MAX)
    unpacker = Unpacker(AvroReader([]), max_event_bytes=MAX)
    _, (bytes_of_it, error) = unpacker.events(raw, failure.value, "kafka-t-3-7")
    assert isinstance(error, InvalidEvent)
    assert str(error).startswith("Event 2 of the 2 in the record: ")
    assert orjson.loads(bytes_of_it)["messageId"] == "kafka-t-3-7-1"


def test_a_batch_may_be_larger_than_an_event() -> None:
    found = unpacked({"batch": [{**EVENT, "messageId": f"m-{n}"} for n in range(100)]})
    assert [event["messageId"] for event in found] == [f"m-{n}" for n in range(100)]


@pytest.mark.parametrize("value", [{"batch": []}, jitsu(None), rudder(None), rudder("")])
def test_an_envelope_without_an_event_does_not_vanish(value: Any) -> None:
    assert unpacked(value) == ["empty"]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "empty"),
        (b"{", "not-json"),
        (b"[]", "not-an-object"),
        (b"\xff", "invalid-utf8"),
        ({"type": "nope", "userId": "u"}, "unknown-type"),
        ({"httpPayload": {"type": "page"}}, "no-ids"),
        ({"batch": {"type": "page"}}, "no-type"),
        ({"payload": EVENT}, "no-type"),
        (b'{"httpPayload":' * 9000, "too-large"),
        (b"\x00\x00\x00\x00\x01x", "no-registry"),
        (b"\xc3\x01" + b"x" * 20, "unknown-schema"),
        (b"\xc3\x01", "not-avro"),
    ],
)
def test_what_is_in_no_envelope_keeps_its_own_reason(value: Any, reason: str) -> None:
    assert unpacked(value) == [reason]


def test_avro_may_hold_what_json_may() -> None:
    encode = codec.resolved(None)
    dated = {**EVENT, "timestamp": "2026-11-02T08:00:00.000Z"}
    assert unpacked(encode(dated)) == [dated]
    assert unpacked(encode({**dated, "userId": None})) == ["no-ids"]
    [event] = unpacked(encode({**jitsu(EVENT), "timestamp": "2026-11-02T08:00:00.000Z"}))
    assert event == {**EVENT, "receivedAt": "2026-11-02T08:00:01.000Z"}


def test_envelopes_may_be_in_envelopes_but_not_for_ever() -> None:
    value: Any = EVENT
    for _ in range(3):
        value = jitsu(value)
    assert unpacked(value)[0]["event"] == "Paid"
    for _ in range(9):
        value = {"httpPayload": value}
    assert unpacked(value) == ["no-type"]
