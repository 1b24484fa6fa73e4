"""The rule by which Avro records are events."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from decimal import Decimal
from io import BytesIO
from typing import Any

import fastavro
import orjson
import pytest

from streams.avro.event import as_json, as_record
from streams.avro.schemas import RESOLVED_EVENT, SEGMENT_EVENT, parse, text_of
from tests.support.registry import schema

LONG_LIST = schema(
    ("value", "string"), ("next", ["null", "Event"]), ("map", {"type": "map", "values": "Event"})
)


def event_of(text: str, record: Any) -> Any:
    """What a record becomes that was written and read with a schema."""
    parsed = parse(text)
    stream = BytesIO()
    fastavro.schemaless_writer(stream, parsed, record)
    stream.seek(0)
    return orjson.loads(as_json(parsed)(fastavro.schemaless_reader(stream, parsed, None)))


def field_of(kind: Any, value: Any) -> Any:
    """What the value of a field of a type becomes."""
    return event_of(schema(("it", kind)), {"it": value}).get("it", "left out")


def logical(kind: str, name: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "logicalType": name, **more}


@pytest.mark.parametrize(
    ("kind", "value", "found"),
    [
        ("string", "x", "x"),
        ("long", 2**62, 2**62),
        ("double", 0.5, 0.5),
        ("double", float("nan"), None),
        ("boolean", False, False),
        (["null", "string"], None, "left out"),
        (["null", "string"], "", ""),
        ("bytes", b"text", "text"),
        ("bytes", b"\xff\x00", "/wA="),
        ({"type": "fixed", "name": "F", "size": 2}, b"ab", "ab"),
        ({"type": "enum", "name": "E", "symbols": ["ON", "OFF"]}, "OFF", "OFF"),
        (
            logical("long", "timestamp-millis"),
            dt.datetime(2026, 11, 2, 9, tzinfo=dt.timezone(dt.timedelta(hours=1))),
            "2026-11-02T08:00:00.000Z",
        ),
        (logical("long", "timestamp-micros"), 1793606400123456, "2026-11-02T08:00:00.123Z"),
        (logical("long", "local-timestamp-millis"), 1793606400000, "2026-11-02T08:00:00.000Z"),
        (logical("int", "date"), dt.date(2026, 11, 2), "2026-11-02"),
        (logical("int", "time-millis"), dt.time(8, 30), "08:30:00"),
        (logical("bytes", "decimal", precision=9, scale=2), Decimal("9.50"), 9.5),
        (logical("string", "uuid"), uuid.UUID(int=7), str(uuid.UUID(int=7))),
        ({"type": "array", "items": ["null", "bytes"]}, [b"a", None], ["a", None]),
    ],
    ids=str,
)
def test_a_value_becomes(kind: Any, value: Any, found: Any) -> None:
    assert field_of(kind, value) == found


def test_a_null_is_left_out_of_a_record_and_stays_in_a_map() -> None:
    # A field of a record is always there, so null says nothing; a key of a map was put there.
    inner = {"type": "record", "name": "T", "fields": [{"name": "a", "type": ["null", "int"]}]}
    values = {"type": "map", "values": ["null", "string", inner]}
    found = field_of(["null", values], {"plan": None, "name": "x", "deep": {"a": None}})
    assert found == {"plan": None, "name": "x", "deep": {}}
    either = [inner, {"type": "map", "values": ["null", "string"]}]
    assert field_of(either, {"a": None}) == {}
    assert field_of(either, {"b": None}) == {"b": None}


def test_a_type_may_be_inside_of_itself() -> None:
    record = {
        "value": "1",
        "next": {"value": "2", "next": None, "map": {}},
        "map": {"k": {"value": "3", "next": None, "map": {}}},
    }
    assert event_of(LONG_LIST, record) == {
        "value": "1",
        "next": {"value": "2", "map": {}},
        "map": {"k": {"value": "3", "map": {}}},
    }


@pytest.mark.parametrize("kind", ["string", "bytes"])
def test_objects_may_be_strings_of_json(kind: str) -> None:
    names = ("traits", "properties", "context", "integrations")
    text: Any = ' {"plan":null,"n":[1]}'
    value = text if kind == "string" else text.encode()
    found = event_of(schema(*((name, kind) for name in names)), dict.fromkeys(names, value))
    assert found == {name: {"plan": None, "n": [1]} for name in names}


@pytest.mark.parametrize("text", ["", "web", "[1]", "{broken"])
def test_other_strings_stay_for_the_validation_to_judge(text: str) -> None:
    assert event_of(schema(("context", "string")), {"context": text}) == {"context": text}


def test_envelope_fields_are_spelt_either_way_and_the_insides_stay() -> None:
    snake = ["message_id", "user_id", "anonymous_id", "previous_id", "group_id"]
    snake += ["original_timestamp", "sent_at", "received_at"]
    camel = ["messageId", "userId", "anonymousId", "previousId", "groupId"]
    camel += ["originalTimestamp", "sentAt", "receivedAt"]
    traits = {"type": "record", "name": "T", "fields": [{"name": "first_name", "type": "string"}]}
    record = {**dict.fromkeys(snake, "x"), "traits": {"first_name": "Ada"}}
    found = event_of(schema(*((n, "string") for n in snake), ("traits", traits)), record)
    assert found == {**dict.fromkeys(camel, "x"), "traits": {"first_name": "Ada"}}
    both = schema(("user_id", "string"), ("userId", "string"))
    assert event_of(both, {"user_id": "a", "userId": "b"}) == {"userId": "b"}


def test_only_our_own_schemas_keep_the_rest_in_other() -> None:
    theirs = event_of(schema(("other", "string")), {"other": '{"a":1}'})
    assert theirs == {"other": '{"a":1}'}
    ours = event_of(text_of(SEGMENT_EVENT), {"type": "page", "other": '{"a":1}'})
    assert ours == {"type": "page", "a": 1}


@pytest.mark.parametrize("kind", ["string", "bytes"])
def test_a_schema_may_say_no_more_than_text(kind: str) -> None:
    text = '{"type":"page"}'
    value = text if kind == "string" else text.encode()
    assert event_of(json.dumps(kind), value) == {"type": "page"}


EVENT = {
    "type": "track",
    "messageId": "m-1",
    "timestamp": "2026-11-02T08:00:00.000Z",
    "userId": "u",
    "anonymousId": None,
    "event": "Paid",
    "sentAt": "2026-11-02T08:00:01.000Z",
    "properties": {"revenue": 9.5, "coupon": None, "ünï": ["x"]},
    "context": {},
    "traits": {},
    "version": 2,
    "name": 7,
    "other": "mine",
    "projectId": "shop",
}


@pytest.mark.parametrize("kind", [SEGMENT_EVENT, RESOLVED_EVENT])
def test_an_event_comes_back_as_it_was_but_for_its_nulls(kind: str) -> None:
    parsed = parse(text_of(kind))
    found = event_of(text_of(kind), as_record(parsed)(EVENT))
    assert found == {name: value for name, value in EVENT.items() if value is not None}


def test_what_has_no_field_of_its_type_is_in_other() -> None:
    record = as_record(parse(text_of(SEGMENT_EVENT)))(EVENT)
    assert orjson.loads(record["other"]) == {
        "version": 2,
        "name": 7,
        "other": "mine",
        "projectId": "shop",
    }


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("2026-11-02T10:00:00.123456+02:00", "2026-11-02T08:00:00.123Z"),
        ("2026-11-02T08:00:00.999999Z", "2026-11-02T08:00:00.999Z"),
        ("2026-11-02", "2026-11-02T00:00:00.000Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000Z"),
        ("9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z"),
    ],
)
def test_times_are_kept_to_the_millisecond_in_utc(given: str, kept: str) -> None:
    parsed = parse(text_of(SEGMENT_EVENT))
    record = as_record(parsed)({"type": "page", "timestamp": given})
    assert event_of(text_of(SEGMENT_EVENT), record)["timestamp"] == kept
