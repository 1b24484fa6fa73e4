"""Whatever bytes arrive: an event in its one shape, or ``InvalidEvent`` and nothing else."""

from __future__ import annotations

import contextlib
import copy
from datetime import datetime
from typing import Any

import orjson
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from streams import moments
from streams.avro.codec import decoder, encoder
from streams.avro.reader import AvroReader
from streams.avro.schemas import RESOLVED_EVENT, SEGMENT_EVENT, parse, text_of
from streams.errors import InvalidEvent
from streams.events import Event
from streams.source.decode import decode
from streams.source.head import read_head
from streams.source.integrations import enabled
from streams.source.normalise import normalise, person_key
from streams.source.unpack import Unpacker
from streams.source.validate import TYPES, validate

patiently = settings(derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
WHERE = ("source", 1, 2)

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)
IDS = (
    st.text(max_size=5)
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
)
# The ends of the calendar have a test of their own.
TIMES = st.datetimes(
    min_value=datetime(1900, 1, 1),
    max_value=datetime(2200, 1, 1),
).map(lambda moment: moment.isoformat() + "Z")
OBJECTS = st.dictionaries(st.text(max_size=4), JSON, max_size=3)


def fields(good: bool) -> st.SearchStrategy[dict[str, Any]]:
    """An event that is mostly right, or one that is mostly wrong."""

    def mostly(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        return strategy if good else strategy | JSON

    return st.fixed_dictionaries(
        {"type": mostly(st.sampled_from(sorted(TYPES)))},
        optional={
            **dict.fromkeys(("userId", "anonymousId", "previousId", "messageId"), mostly(IDS)),
            **dict.fromkeys(
                ("timestamp", "originalTimestamp", "sentAt", "receivedAt"), mostly(TIMES)
            ),
            **dict.fromkeys(("traits", "properties", "integrations"), mostly(OBJECTS)),
            "context": mostly(st.fixed_dictionaries({}, optional={"traits": JSON})),
        },
    )


def read(raw: bytes) -> Event | None:
    """What ingest and resolve make of a record; None if it is not an event."""
    with contextlib.suppress(InvalidEvent):
        event = decode(raw, max_bytes=32 * 1024)
        validate(event)
        return event
    return None


def assert_head_agrees(raw: bytes, event: Event | None) -> None:
    """Ingest, which reads the head only, takes and refuses the same."""
    try:
        head = read_head(raw, max_bytes=32 * 1024)
    except InvalidEvent:
        assert event is None
        return
    assert event is not None
    for name in ("type", "userId", "anonymousId", "integrations"):
        assert getattr(head, name) == event.get(name)


def assert_goes_through(raw: bytes) -> None:
    event = read(raw)
    assert_head_agrees(raw, event)
    if event is None:
        return
    enabled(event.get("integrations"), {"Encharge"})
    key = person_key(event.get("anonymousId"), event.get("userId"))
    assert type(key) is str
    assert key
    key.encode()
    once, again = copy.deepcopy(event), copy.deepcopy(event)
    normalise(once, *WHERE, 1_700_000_000.0)
    normalise(again, *WHERE, 1_700_000_000.0)
    assert once == again, "deterministic"
    normalise(again, *WHERE, 1_800_000_000.0)
    assert once == again, "idempotent"
    assert person_key(once.get("anonymousId"), once.get("userId")) == key, (
        "the same person before and after"
    )
    validate(once)
    assert type(once["messageId"]) is str
    assert once["messageId"]
    orjson.dumps(once)


@patiently
@given(st.binary(max_size=200))
@example(b"{}")
@example(b"\xff\xfe")
@example(b"[" * 2000)
@example(b'{"type":"track","userId":1e308}')
def test_any_bytes(raw: bytes) -> None:
    assert_goes_through(raw)


@patiently
@given(JSON)
def test_any_json(value: Any) -> None:
    assert_goes_through(orjson.dumps(value))


@patiently
@given(fields(good=True) | fields(good=False))
def test_anything_like_an_event(event: dict[str, Any]) -> None:
    assert_goes_through(orjson.dumps(event))


ENDS = st.sampled_from(
    ["0001-01-01T00:00:00+14:00", "0001-01-01", "9999-12-31T23:59:59-12:00", "2026-11-02T08:00:00Z"]
)


@patiently
@given(ENDS, ENDS, ENDS)
def test_times_at_the_ends_of_the_calendar(original: str, sent: str, received: str) -> None:
    # Each is a time by itself; in UTC, or their difference, they may be none.
    event = {"originalTimestamp": original, "sentAt": sent, "receivedAt": received}
    assert_goes_through(orjson.dumps({"type": "track", "userId": "u", **event}))


AVRO = {name: parse(text_of(name)) for name in (SEGMENT_EVENT, RESOLVED_EVENT)}


@patiently
@given(st.binary(max_size=60) | st.binary(max_size=60).map(b"\x0atrack".__add__))
@example(b"")
def test_whatever_bytes_are_avro_or_are_refused(payload: bytes) -> None:
    for schema in AVRO.values():
        with contextlib.suppress(InvalidEvent):
            assert isinstance(orjson.loads(decoder(schema)(payload)), dict)


@patiently
@given(st.binary(max_size=40), st.sampled_from([b"", b"\x00", b"\xc3\x01", b'{"batch":[', b"[{"]))
def test_whatever_is_on_the_topic_has_an_outcome(rest: bytes, start: bytes) -> None:
    failure = InvalidEvent("not-json", "x")
    unpacker = Unpacker(AvroReader(AVRO.values()), max_event_bytes=1000)
    try:
        found = unpacker.events(start + rest, failure, "id")
    except InvalidEvent:
        return
    assert found


@patiently
@given(fields(good=True))
def test_an_event_comes_back_from_avro_as_it_was(event: Event) -> None:
    found = read(orjson.dumps(event))
    if found is None:
        return
    normalise(found, *WHERE, 1_700_000_000.0)
    for schema in AVRO.values():
        back = orjson.loads(decoder(schema)(encoder(schema, b"")(found)))
        again = {name: value for name, value in found.items() if value is not None}
        for name in ("timestamp", "originalTimestamp", "sentAt", "receivedAt"):
            if name in again:
                again[name] = moments.iso(moments.parse(again[name]))
        assert back == again
