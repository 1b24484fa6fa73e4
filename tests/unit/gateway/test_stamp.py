"""What the gateway writes into an event, and what it leaves alone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streams.errors import InvalidEvent
from streams.events import STAMP_BYTES
from streams.gateway.parse import read_batch, read_single
from streams.gateway.stamp import Stamp, Stamped
from streams.source.decode import decode
from streams.source.head import read_head
from streams.source.normalise import normalise
from streams.source.validate import validate

RECEIVED = datetime(2026, 11, 22, 12, 0, 10, tzinfo=UTC)
LIMIT = 32 * 1024


def stamp(raw: bytes, kind: str | None) -> list[Stamped]:
    body = read_single(raw) if kind else read_batch(raw)
    made = Stamp(body, kind=kind, source="web", received=RECEIVED, max_bytes=LIMIT)
    return [made.event(item) for item in body.items]


def single(event: dict[str, Any], kind: str = "track") -> dict[str, Any]:
    return orjson.loads(stamp(orjson.dumps(event), kind)[0].value)


def batch(*events: Any, **shared: Any) -> list[dict[str, Any]]:
    raw = orjson.dumps({"batch": list(events), **shared})
    return [orjson.loads(made.value) for made in stamp(raw, None)]


def test_an_event_gets_its_type_its_source_its_times_and_an_id() -> None:
    found = single({"userId": "u", "event": "x", "writeKey": "secret", "receivedAt": "x"})
    message_id = found.pop("messageId")
    assert message_id.startswith("gateway-")
    assert found == {
        "type": "track",
        "userId": "u",
        "event": "x",
        "projectId": "web",
        "receivedAt": "2026-11-22T12:00:10.000Z",
        "timestamp": "2026-11-22T12:00:10.000Z",
    }
    assert single({"userId": "u"})["messageId"] != message_id


@pytest.mark.parametrize("absent", [None, ""])
def test_an_absent_message_id_is_made_and_not_known_again(absent: str | None) -> None:
    made = stamp(orjson.dumps({"userId": "u", "messageId": absent}), "page")[0]
    assert orjson.loads(made.value)["messageId"].startswith("gateway-")
    assert made.message_id is None


def test_the_client_s_message_id_is_kept() -> None:
    made = stamp(b'{"userId": "u", "messageId": "m-1"}', "page")[0]
    assert (made.message_id, orjson.loads(made.value)["messageId"]) == ("m-1", "m-1")


def test_the_source_is_the_key_s_whatever_the_client_says() -> None:
    assert single({"userId": "u", "projectId": "other"})["projectId"] == "web"


def test_the_path_says_the_type() -> None:
    assert single({"userId": "u", "type": "track"}, "identify")["type"] == "identify"


def test_what_the_client_wrote_reaches_the_topic_to_the_byte() -> None:
    raw = b'{"userId":"u","properties":{"big":123456789012345678901234567890,"n":1.50,"e":1E2}}'
    assert (
        b'"properties":{"big":123456789012345678901234567890,"n":1.50,"e":1E2}'
        in stamp(raw, "track")[0].value
    )


# -- the person


@pytest.mark.parametrize(
    ("ids", "person"),
    [
        ({"anonymousId": "a", "userId": "u"}, "a"),
        ({"anonymousId": None, "userId": "u"}, "u"),
        ({"anonymousId": "", "userId": 7}, "7"),
        ({"anonymousId": 7.0}, "7"),
    ],
)
def test_the_device_comes_first(ids: dict[str, Any], person: str) -> None:
    assert stamp(orjson.dumps(ids), "page")[0].person == person


# -- times


def test_a_wrong_clock_is_cancelled() -> None:
    # The client's clock is an hour fast; the event was sent five seconds after it happened.
    found = single(
        {
            "userId": "u",
            "timestamp": "2026-11-22T13:00:00.250Z",
            "sentAt": "2026-11-22T13:00:05.250Z",
        }
    )
    assert found["originalTimestamp"] == "2026-11-22T13:00:00.250Z"
    assert found["sentAt"] == "2026-11-22T13:00:05.250Z"
    assert found["timestamp"] == "2026-11-22T12:00:05.000Z"


def test_the_batch_says_when_it_was_sent() -> None:
    own = {"type": "page", "userId": "u", "timestamp": "2026-11-22T13:00:00Z"}
    for event in (own, {**own, "sentAt": "2026-11-22T13:00:03Z"}, {**own, "sentAt": None}):
        found = batch(event, sentAt="2026-11-22T14:00:05+01:00")[0]
        assert found["timestamp"] == "2026-11-22T12:00:05.000Z"
        assert found["sentAt"] == "2026-11-22T14:00:05+01:00"


def test_the_event_says_when_it_was_sent_where_the_batch_does_not() -> None:
    event = {
        "type": "page",
        "userId": "u",
        "originalTimestamp": "2026-11-22T13:00:00Z",
        "sentAt": "2026-11-22T13:00:03Z",
    }
    for shared in ({}, {"sentAt": "soon"}, {"sentAt": 5}, {"sentAt": None}):
        found = batch(event, **shared)[0]
        assert found["timestamp"] == "2026-11-22T12:00:07.000Z"
        assert found["originalTimestamp"] == "2026-11-22T13:00:00Z"


def test_without_a_time_of_sending_the_client_is_believed() -> None:
    found = single({"userId": "u", "timestamp": "2019-01-02T03:04:05+02:00"})
    assert found["timestamp"] == found["originalTimestamp"] == "2019-01-02T03:04:05+02:00"
    assert "sentAt" not in found


def test_without_a_time_it_happened_when_it_came() -> None:
    found = single({"userId": "u", "timestamp": None, "sentAt": "2026-11-22T13:00:03Z"})
    assert found["timestamp"] == found["receivedAt"]
    assert "originalTimestamp" not in found


def test_a_time_out_of_the_calendar_is_left_as_it_is() -> None:
    found = single(
        {"userId": "u", "timestamp": "0001-01-01T00:00:00Z", "sentAt": "9999-12-31T00:00:00Z"}
    )
    assert found["timestamp"] == "0001-01-01T00:00:00Z"


@pytest.mark.parametrize("wrong", ["yesterday", 1795317496, {}, "[]"])
@pytest.mark.parametrize("name", ["timestamp", "sentAt"])
def test_a_time_that_is_none_is_refused_as_on_the_topic(name: str, wrong: Any) -> None:
    with pytest.raises(InvalidEvent) as caught:
        single({"userId": "u", name: wrong})
    assert caught.value.reason == "invalid-timestamp"


def test_the_pipeline_takes_the_corrected_time() -> None:
    found = single(
        {"userId": "u", "timestamp": "2026-11-22T13:00:00Z", "sentAt": "2026-11-22T13:00:05Z"}
    )
    normalise(found, "t", 0, 0, 0.0)
    assert found["timestamp"] == "2026-11-22T12:00:05.000Z"


# -- what a batch shares


def test_context_and_integrations_of_the_batch_are_under_the_event_s_own() -> None:
    first, second, third = batch(
        {"type": "page", "userId": "u", "context": {"ip": "1", "page": {"url": "x"}}},
        {"type": "page", "userId": "u", "integrations": {"All": True}},
        {"type": "page", "userId": "u", "context": None, "integrations": {}},
        context={"ip": "0", "locale": "en", "page": {"title": "T"}},
        integrations={"All": False, "Encharge": True},
    )
    assert first["context"] == {"ip": "1", "locale": "en", "page": {"url": "x"}}
    assert first["integrations"] == {"All": False, "Encharge": True}
    assert second["context"] == {"ip": "0", "locale": "en", "page": {"title": "T"}}
    assert second["integrations"] == {"All": True, "Encharge": True}
    assert third["context"] == second["context"]


def test_a_context_that_is_no_object_is_refused_as_on_the_topic() -> None:
    with pytest.raises(InvalidEvent) as caught:
        batch({"type": "page", "userId": "u", "context": "web"}, context={"ip": "0"})
    assert caught.value.reason == "wrong-type"


# -- what is refused


def test_a_deletion_is_not_taken_from_outside() -> None:
    with pytest.raises(InvalidEvent) as caught:
        batch({"type": "delete", "userId": "u"})
    assert caught.value.reason == "unknown-type"


@pytest.mark.parametrize("item", [1, None, "x", [], [1]])
def test_an_item_that_is_no_object_is_refused(item: Any) -> None:
    with pytest.raises(InvalidEvent) as caught:
        batch(item)
    assert caught.value.reason == "not-an-object"


def test_the_limit_is_of_the_event_without_the_write_key_and_what_is_written_into_it() -> None:
    event = {"type": "track", "userId": "u", "event": "x", "messageId": "m", "x": ""}
    event["x"] = "y" * (LIMIT - len(orjson.dumps(event)))
    raw = orjson.dumps({**event, "writeKey": "k" * 50})
    value = stamp(raw, "track")[0].value
    assert LIMIT < len(value) <= LIMIT + STAMP_BYTES
    event["x"] += "y"
    with pytest.raises(InvalidEvent) as caught:
        single(event)
    assert caught.value.reason == "too-large"


def test_what_is_written_fits_into_what_the_topic_allows_for_it() -> None:
    event = {"userId": "u", "timestamp": "2026-11-22T13:00:00.000000+00:00", "x": ""}
    event["x"] = "y" * (LIMIT - 20 - len(orjson.dumps(event)))
    raw = orjson.dumps({"batch": [{"type": "identify", **event}]})
    body = read_batch(raw[:-1] + b',"sentAt":"2026-11-22T13:00:00.000000+00:00"}')
    made = Stamp(body, kind=None, source="s" * 64, received=RECEIVED, max_bytes=LIMIT)
    value = made.event(body.items[0]).value
    assert len(value) <= LIMIT + STAMP_BYTES
    read_head(value, max_bytes=LIMIT + STAMP_BYTES)


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
objects = st.dictionaries(st.text(max_size=8), anything, max_size=3)


ids = st.sampled_from(["u", "\u00e9", 7, 7.5, "", None])
times = st.sampled_from(["2026-11-22T13:00:00Z", "2026-11-22", None])
needed = {
    "type": st.sampled_from(["identify", "track", "page", "screen", "group", "alias", "delete"]),
    "userId": ids,
}
usual = {
    "anonymousId": ids,
    "messageId": ids,
    "timestamp": times,
    "sentAt": times,
    "event": st.just("Clicked"),
    "context": objects,
    "traits": objects,
    "properties": objects,
    "integrations": objects,
    "projectId": anything,
    "writeKey": anything,
    "receivedAt": anything,
    "\u00e9": anything,
}
sound = st.fixed_dictionaries(needed, optional=usual)
broken = st.builds(
    lambda event, name, value: {**event, name: value},
    sound,
    st.sampled_from([*needed, *usual]),
    anything,
)


@given(sound | broken, st.booleans())
@example({"type": "track", "userId": "u", "receivedAt": 1, "projectId": {}}, True)
@example({"type": "delete", "userId": "u"}, True)
@example({"type": "delete", "userId": "u"}, False)
@example({"type": "track", "userId": "", "anonymousId": None}, False)
def test_what_is_accepted_is_what_ingest_accepts(event: dict[str, Any], is_batch: bool) -> None:
    own = {k: v for k, v in event.items() if k not in {"writeKey", "projectId", "receivedAt"}}
    wanted = own if is_batch else {**own, "type": "track"}
    try:
        validate(wanted)
        is_valid = wanted["type"] != "delete"
    except InvalidEvent:
        is_valid = False
    raw = orjson.dumps({"batch": [event]} if is_batch else event)
    try:
        made = stamp(raw, None if is_batch else "track")[0]
    except InvalidEvent:
        assert not is_valid
        return
    assert is_valid
    found = decode(made.value, max_bytes=LIMIT + STAMP_BYTES)
    validate(found)
    for name in own.keys() - {"timestamp", "messageId", "sentAt"}:
        assert found[name] == wanted[name]
    for ours, theirs in (("sentAt", "sentAt"), ("originalTimestamp", "timestamp")):
        assert found.get(ours) == event.get(theirs)
    assert found["messageId"] == event.get("messageId") or event.get("messageId") in (None, "")
    assert found.keys() <= {*own, "timestamp", "messageId", "originalTimestamp"} | STAMPED


STAMPED = {"type", "projectId", "receivedAt"}
