"""Every form in which logs come, and the events that are read from it."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import fastavro
import orjson
import pytest

from streams.errors import InvalidEvent
from streams.replay.formats import container_of
from streams.replay.formats import ndjson as ndjson_format
from streams.replay.formats.ndjson import Ndjson
from streams.replay.lines import Found, Reader
from streams.replay.times import iso, micros

EVENT = {
    "type": "track",
    "event": "Paid",
    "messageId": "m-1",
    "userId": "u-1",
    "timestamp": "2026-11-02T08:00:00.000Z",
}


def read(*lines: Any, **options: Any) -> list[Any]:
    """What is read: an event as a dict, or the reason why it is none."""
    reader = Reader(max_event_bytes=32768, **options)
    found: list[Any] = []
    for line in lines:
        raw = line if isinstance(line, bytes) else orjson.dumps(line)
        here = reader.read(raw)
        for one in [here] if isinstance(here, Found) else here:
            found.append(one.reason if isinstance(one, InvalidEvent) else orjson.loads(one.raw))
    return found


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in EVENT.items() if name not in names}


def kcat(payload: Any, **fields: Any) -> dict[str, Any]:
    return {
        "topic": "t",
        "partition": 3,
        "offset": 7,
        "tstype": "create",
        "ts": 1793606400000,
        "broker": 0,
        "key": None,
        "payload": payload,
        **fields,
    }


def text(value: Any) -> str:
    return orjson.dumps(value).decode()


# -- an event as it is


def test_a_bare_event_goes_on_as_the_bytes_that_it_is() -> None:
    line = b'{"type": "track",  "userId":7, "messageId":"m",  "timestamp":"2026-11-02"}'
    found = Reader(max_event_bytes=32768).read(line)
    assert isinstance(found, Found)
    assert found.raw is line
    assert found.key == b"7"
    assert found.at == micros("2026-11-02T00:00:00Z")


def test_the_person_is_the_device_first() -> None:
    found = Reader(max_event_bytes=32768).read(orjson.dumps({**EVENT, "anonymousId": "a-1"}))
    assert isinstance(found, Found)
    assert found.key == b"a-1"


@pytest.mark.parametrize("absent", [{}, {"messageId": None}, {"messageId": ""}])
def test_a_line_without_a_message_id_has_the_same_one_every_time(absent: dict[str, Any]) -> None:
    line = {**without("messageId"), **absent}
    (first,), (second,) = read(line), read(line)
    assert first["messageId"] == second["messageId"]
    assert first["messageId"].startswith("replay-")
    (other,) = read({**line, "event": "Left"})
    assert other["messageId"] != first["messageId"]


def test_force_gives_new_message_ids_and_each_replay_its_own() -> None:
    (one,), (two,) = read(EVENT, forced_run="r1"), read(EVENT, forced_run="r2")
    assert one == {**EVENT, "messageId": "replay-r1-m-1"}
    assert two["messageId"] == "replay-r2-m-1"
    (numeric,) = read({**EVENT, "messageId": 5.0}, forced_run="r1")
    assert numeric["messageId"] == "replay-r1-5"


@pytest.mark.parametrize(
    ("fields", "at"),
    [
        ({"timestamp": "2026-11-02T10:00:00+02:00"}, "2026-11-02T08:00:00.000Z"),
        ({"timestamp": "2026-11-02T08:00:00"}, "2026-11-02T08:00:00.000Z"),
        ({"timestamp": None, "originalTimestamp": "2026-11-02"}, "2026-11-02T00:00:00.000Z"),
        ({"timestamp": None, "receivedAt": "2026-11-03"}, "2026-11-03T00:00:00.000Z"),
        (
            # The device's clock is an hour ahead.
            {
                "timestamp": None,
                "originalTimestamp": "2026-11-02T09:00:00Z",
                "sentAt": "2026-11-02T09:00:05Z",
                "receivedAt": "2026-11-02T08:00:05Z",
            },
            "2026-11-02T08:00:00.000Z",
        ),
    ],
)
def test_when_an_event_happened(fields: dict[str, Any], at: str) -> None:
    line = orjson.dumps({**EVENT, **fields})
    found = Reader(max_event_bytes=32768).read(line)
    assert isinstance(found, Found)
    assert found.at is not None
    assert iso(found.at) == at
    assert found.raw == line


def test_an_event_that_does_not_say_when_is_taken_all_the_same() -> None:
    found = Reader(max_event_bytes=32768).read(orjson.dumps(without("timestamp")))
    assert isinstance(found, Found)
    assert found.at is None


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"oops", "not-json"),
        (b'{"type":"track"', "not-json"),
        (b"[]", "not-an-object"),
        (b'{"userId":"u"}', "no-type"),
        (b'{"type":"track"}', "no-ids"),
        (b'{"type":"track","userId":"u","timestamp":"soon"}', "invalid-timestamp"),
        (b'{"type":"track","userId":"u","x":"' + b"x" * 40000 + b'"}', "too-large"),
        (b"[" * 2000 + b"]" * 2000, "too-deep"),
    ],
)
def test_what_is_no_event_says_why_and_its_neighbours_are_read(line: bytes, reason: str) -> None:
    assert read(EVENT, line, EVENT) == [EVENT, reason, EVENT]


# -- envelopes


@pytest.mark.parametrize("payload", [EVENT, text(EVENT)])
def test_kcat(payload: Any) -> None:
    assert read(kcat(payload)) == [EVENT]


def test_kcat_gives_what_a_worker_would_have_given() -> None:
    (event,) = read(kcat(text(without("messageId", "timestamp"))))
    assert event["messageId"] == "kafka-t-3-7"
    assert event["timestamp"] == "2026-11-02T08:00:00.000Z"
    (original,) = read(kcat({**without("timestamp"), "originalTimestamp": "2026-11-01"}))
    assert "timestamp" not in original


@pytest.mark.parametrize("payload", [None, ""])
def test_a_tombstone_in_a_kcat_dump_is_nothing(payload: Any) -> None:
    assert read(kcat(payload), kcat(EVENT)) == [EVENT]


def test_rudderstack_s_gateway_archive_holds_events_and_batches() -> None:
    archived = {"userId": "u-1", "createdAt": "2026-11-02T08:00:00Z", "messageId": "job"}
    bare = without("timestamp", "messageId")
    batch = {"batch": [EVENT, without("timestamp")], "sentAt": "2026-11-02T08:00:01Z"}
    first, second, third, fourth = read(
        {**archived, "payload": bare},
        {**archived, "payload": text(EVENT)},
        {**archived, "payload": batch},
    )
    assert first == {**bare, "messageId": "job", "receivedAt": "2026-11-02T08:00:00Z"}
    assert second == EVENT
    assert third == {**EVENT, "sentAt": "2026-11-02T08:00:01Z"}
    assert fourth["receivedAt"] == "2026-11-02T08:00:00Z"


def test_jitsu_s_messages() -> None:
    message = {
        "type": "track",
        "messageId": "m-1",
        "messageCreated": "2026-11-02T08:00:00Z",
        "httpHeaders": {},
        "httpPayload": without("messageId", "timestamp"),
    }
    (event,) = read(message)
    assert event["messageId"] == "m-1"
    assert event["receivedAt"] == "2026-11-02T08:00:00Z"


def test_what_a_batch_shares_is_each_event_s() -> None:
    shared = {"context": {"ip": "203.0.113.1", "locale": "de"}, "integrations": {"All": True}}
    own = {**EVENT, "context": {"locale": "en"}}
    one, two = read({"batch": [own, 5, EVENT], **shared})[::2]
    assert one["context"] == {"ip": "203.0.113.1", "locale": "en"}
    assert two["context"] == shared["context"]
    assert read({"batch": [own, 5], **shared})[1] == "not-an-object"


def test_envelopes_in_envelopes() -> None:
    inside = {"payload": {"batch": [EVENT]}, "createdAt": "2026-11-02T08:00:00Z"}
    assert read(kcat(text(inside)), kcat(text(EVENT)), EVENT) == [EVENT] * 3


def test_a_broken_payload_says_why() -> None:
    assert read(kcat("oops"), kcat('{"type":"track"}'), kcat(EVENT)) == [
        "not-json",
        "no-ids",
        EVENT,
    ]


def test_an_envelope_in_itself_without_end_is_no_event() -> None:
    line: Any = EVENT
    for _ in range(9):
        line = kcat(line)
    assert read(line) == ["no-type"]


# -- containers


def lines(content: bytes) -> list[bytes | None]:
    return list(container_of(content[:4]).lines(BytesIO(content)))


def test_lines_may_end_as_they_like_and_begin_with_a_mark() -> None:
    assert lines(b"\xef\xbb\xbf{}\r\n\n{}") == [b"{}\r", b"", b"{}"]
    assert lines(b"") == []


def test_a_line_without_an_end_is_not_held_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ndjson_format, "MAX_LINE", 10)
    for size in (1, 3, 7):
        monkeypatch.setattr(ndjson_format, "PIECE_BYTES", size)
        assert lines(b"{}\n" + b"x" * 95 + b"\n[]\n") == [b"{}", None, b"[]"]
        assert lines(b"x" * 25 + b"\n[]\n") == [None, b"[]"]
        assert lines(b"x" * 10 + b"\n" + b"y" * 11) == [b"x" * 10, None]


def test_lines_are_the_same_however_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = b"\xef\xbb\xbf{}\n\n[1, 2]\n\n\n{}\n"
    for size in range(1, len(whole) + 2):
        monkeypatch.setattr(ndjson_format, "PIECE_BYTES", size)
        assert lines(whole) == [b"{}", b"", b"[1, 2]", b"", b"", b"{}"]
        assert lines(whole[:-1]) == lines(whole)


def test_what_is_no_text_is_a_broken_file() -> None:
    with pytest.raises(ValueError, match="neither text"):
        lines(b"\x89PNG\x00\x00\n{}\n")
    assert isinstance(container_of(b"\x89PNG"), Ndjson)


def test_avro_records_are_events() -> None:
    schema = fastavro.parse_schema(
        {
            "type": "record",
            "name": "Event",
            "fields": [
                {"name": "type", "type": "string"},
                {"name": "messageId", "type": ["null", "string"]},
                {"name": "userId", "type": ["null", "string"]},
                {"name": "anonymousId", "type": ["null", "string"]},
                {"name": "timestamp", "type": {"type": "long", "logicalType": "timestamp-millis"}},
                {"name": "traits", "type": ["null", "string"]},
                {"name": "context", "type": {"type": "map", "values": ["string", "double"]}},
            ],
        }
    )
    record = {
        "type": "identify",
        "messageId": "m-1",
        "userId": "u-1",
        "anonymousId": None,
        "timestamp": 1793606400000,
        "traits": '{"plan": "team"}',
        "context": {"ip": "203.0.113.1"},
    }
    file = BytesIO()
    fastavro.writer(file, schema, [record, {**record, "messageId": "m-2"}], codec="deflate")
    assert read(*lines(file.getvalue())) == [
        {
            "type": "identify",
            "messageId": number,
            "userId": "u-1",
            "timestamp": "2026-11-02T08:00:00.000Z",
            "traits": {"plan": "team"},
            "context": {"ip": "203.0.113.1"},
        }
        for number in ("m-1", "m-2")
    ]


def test_a_dumped_record_of_several_events_names_them_as_a_worker_does() -> None:
    batch = {"batch": [without("messageId"), EVENT, without("messageId")]}
    found = read(kcat(text(batch)))
    assert [event["messageId"] for event in found] == ["kafka-t-3-7-0", "m-1", "kafka-t-3-7-2"]
