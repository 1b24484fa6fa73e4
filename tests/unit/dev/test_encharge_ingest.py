"""The Ingest API of the stand-in, over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from streams.dev.encharge import StandIn
from tests.unit.dev.encharge import KEY, Client, running

JSON = {"Content-Type": "application/json"}
TRACK = {"type": "track", "event": "Signed Up", "user": {"userId": "u-1"}}


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with running() as client:
        yield client


@pytest.mark.parametrize("path", ["/v1", "/v1/"])
async def test_takes_an_event_as_segment_sends_it(client: Client, path: str) -> None:
    body = {
        "type": "track",
        "event": "Order Completed",
        "userId": "u-1",
        "email": "ann@example.com",
        "segmentAnonymousId": "a-1",
        "timestamp": "2026-01-16T08:36:23.128Z",
        "messageId": "m-1",
        "properties": {"total": 9.5},
        "context": {"ip": "192.0.2.1", "campaign": {}, "page": {}, "location": {}},
        "user": {
            "email": "ann@example.com",
            "userId": "u-1",
            "segmentAnonymousId": "a-1",
            "plan": "pro",
        },
    }
    reply = await client.call("POST", path, body)
    assert (reply.status, reply.data) == (200, {})
    person = await client.person("u-1")
    assert person["email"] == "ann@example.com"
    assert person["anonymousIds"] == ["a-1"]
    assert person["fields"] == {"plan": "pro"}
    (entry,) = person["timeline"]
    assert entry["type"] == "track"
    assert entry["event"] == "Order Completed"
    assert entry["messageId"] == "m-1"
    assert entry["timestamp"] == "2026-01-16T08:36:23.128Z"
    assert (entry["seq"], entry["applied"]) == (1, 1)


async def test_takes_the_general_form_with_a_name(client: Client) -> None:
    await client.ok(name="Registered user", user={"email": "ann@example.com"}, properties={"a": 1})
    await client.ok(name="identify", user={"email": "ann@example.com", "plan": "pro"})
    timeline = (await client.person("ann@example.com"))["timeline"]
    assert [(entry["type"], entry["event"]) for entry in timeline] == [
        ("track", "Registered user"),
        ("identify", "identify"),
    ]


async def test_takes_the_write_key_in_the_path_and_keeps_it_out_of_the_log(client: Client) -> None:
    reply = await client.call("POST", f"/v1/{KEY}", TRACK, headers=JSON)
    assert reply.status == 200
    (request,) = await client.requests()
    assert request["path"] == "/v1/{key}"
    assert KEY not in str(request)


async def test_a_wrong_key_in_the_path_is_refused_whatever_the_header_says(client: Client) -> None:
    reply = await client.call("POST", "/v1/other", TRACK)
    assert (reply.status, reply.data) == (401, {"error": "Invalid Encharge write key."})


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        (JSON, "Missing Encharge write key."),
        ({**JSON, "X-Encharge-Token": ""}, "Missing Encharge write key."),
        ({**JSON, "X-Encharge-Token": "other"}, "Invalid Encharge write key."),
    ],
)
async def test_refuses_a_missing_or_unknown_key(
    client: Client, headers: dict[str, str], text: str
) -> None:
    reply = await client.call("POST", "/v1", TRACK, headers=headers)
    assert (reply.status, reply.data) == (401, {"error": text})
    assert await client.person("u-1") is None


async def test_the_key_is_not_taken_from_the_query(client: Client) -> None:
    reply = await client.call("POST", f"/v1?token={KEY}", TRACK, headers=JSON)
    assert reply.status == 401


async def test_accepts_any_key_but_none_when_none_is_set() -> None:
    async with running(StandIn(keys=None)) as client:
        anything = {**JSON, "X-Encharge-Token": "whatever"}
        assert (await client.call("POST", "/v1", TRACK, headers=anything)).status == 200
        assert (await client.call("POST", "/v1", TRACK, headers=JSON)).status == 401
        empty = {**JSON, "X-Encharge-Token": ""}
        assert (await client.call("POST", "/v1", TRACK, headers=empty)).status == 401


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", None])
async def test_refuses_other_content_types(client: Client, content_type: str | None) -> None:
    headers = {"X-Encharge-Token": KEY}
    if content_type is not None:
        headers["Content-Type"] = content_type
    reply = await client.call("POST", "/v1", TRACK, headers=headers)
    assert (reply.status, reply.data) == (
        400,
        {"error": "Content-Type must be application/json"},
    )


async def test_takes_a_content_type_with_a_charset(client: Client) -> None:
    headers = {"X-Encharge-Token": KEY, "Content-Type": "Application/JSON; charset=UTF-8"}
    assert (await client.call("POST", "/v1", TRACK, headers=headers)).status == 200


@pytest.mark.parametrize("raw", [b"", b"{", b"type=track", b'{"a": NaN}', b"\xff"])
async def test_refuses_what_is_not_json(client: Client, raw: bytes) -> None:
    reply = await client.call("POST", "/v1", raw=raw)
    assert (reply.status, reply.data) == (400, {"error": "The body is not valid JSON"})


@pytest.mark.parametrize(
    "body",
    [
        [TRACK],
        "track",
        1,
        {},
        {"user": {"userId": "u-1"}},
        {"type": "track", "user": {"userId": "u-1"}},
        {"type": "track", "event": "", "user": {"userId": "u-1"}},
        {"type": "screen", "event": "Home", "user": {"userId": "u-1"}},
        {"type": 1, "event": "Home", "user": {"userId": "u-1"}},
        {"type": ["track"], "event": "Home", "user": {"userId": "u-1"}},
        {"type": "identify"},
        {"type": "identify", "userId": "u-1"},
        {"type": "identify", "user": "u-1"},
        {"type": "identify", "user": {"userId": {"id": 1}}},
        {"type": "page", "user": {}},
        {"type": "page", "user": {"userId": None, "email": ""}},
        {**TRACK, "properties": [1]},
        {**TRACK, "context": "web"},
        {"type": "alias", "userId": "u-1"},
        {"type": "alias", "previousUserId": "u-1"},
        {"type": "alias", "userId": "", "previousUserId": "u-1"},
        {"type": "group", "user": {"userId": "u-1"}, "properties": {"name": "Ex"}},
        {"type": "group", "objectType": 1, "properties": {"externalId": "g-1"}},
    ],
)
async def test_refuses_an_event_that_lacks_something(client: Client, body: object) -> None:
    reply = await client.call("POST", "/v1", body)
    assert reply.status == 400
    assert list(reply.data) == ["error"]
    assert isinstance(reply.data["error"], str)
    stats = await client.control("/stats")
    assert (stats["people"], stats["applied"], stats["byStatus"]) == (0, 0, {"400": 1})


@pytest.mark.parametrize("kind", ["identify", "track", "page"])
@pytest.mark.parametrize("place", ["user", "beside"])
@pytest.mark.parametrize("name", ["email", "userId", "segmentAnonymousId"])
async def test_any_of_the_ids_will_do_in_either_place(
    client: Client, kind: str, place: str, name: str
) -> None:
    ids = {name: "x-1"}
    body = {"user": ids} if place == "user" else {"user": {}, **ids}
    await client.ok(type=kind, event="Opened", messageId="m-1", **body)
    assert await client.timeline("x-1") == ["m-1"]


async def test_ids_in_user_win_over_those_beside_it(client: Client) -> None:
    for name in ("userId", "email", "segmentAnonymousId"):
        await client.ok(type="identify", **{name: f"beside-{name}"}, user={name: f"in-{name}"})
        assert await client.person(f"in-{name}")
        assert await client.person(f"beside-{name}") is None


async def test_numbers_are_ids_too(client: Client) -> None:
    await client.ok(type="identify", user={"userId": 123, "a": 1})
    await client.ok(type="identify", user={"userId": "123", "b": 2})
    assert (await client.person("123"))["fields"] == {"a": 1, "b": 2}


async def test_fields_are_set_one_by_one_and_null_overwrites(client: Client) -> None:
    await client.ok(type="identify", user={"userId": "u-1", "plan": "free", "city": "Ulm", "n": 1})
    await client.ok(type="identify", user={"userId": "u-1", "plan": "pro", "city": None})
    assert (await client.person("u-1"))["fields"] == {"plan": "pro", "city": None, "n": 1}


async def test_tags_of_an_event_add_to_the_tags_there_are(client: Client) -> None:
    await client.ok(type="identify", user={"userId": "u-1", "tags": "new, trial"})
    await client.ok(type="identify", user={"userId": "u-1", "tags": "trial,paid,"})
    await client.ok(type="identify", user={"userId": "u-1", "tags": ["not", "documented"]})
    await client.ok(type="identify", user={"userId": "u-1", "tags": None})
    person = await client.person("u-1")
    assert person["tags"] == ["new", "trial", "paid"]
    assert person["fields"] == {}


async def test_unknown_fields_come_into_being(client: Client) -> None:
    await client.ok(
        type="identify",
        user={
            "userId": "u-1",
            "seats": 3,
            "active": True,
            "since": "2026-01-02T03:04:05Z",
            "born": "1990-01-02",
            "roles": ["a"],
            "address": {"city": "Ulm"},
        },
    )
    items = (await client.call("GET", "/v1/fields")).data["items"]
    fields = {item["name"]: (item["type"], item["format"], item["array"]) for item in items}
    assert fields["seats"] == ("number", None, False)
    assert fields["active"] == ("boolean", None, False)
    assert fields["since"] == ("string", "date-time", False)
    assert fields["born"] == ("string", "date", False)
    assert fields["roles"] == ("string", None, True)
    assert fields["address"] == ("any", None, False)


async def test_a_group_makes_the_object_and_puts_the_person_in_it(client: Client) -> None:
    group = {"type": "group", "objectType": "company", "messageId": "m-1"}
    await client.ok(
        **group,
        properties={"externalId": "g-1", "name": "Example", "colour": "red"},
        user={"userId": "u-1", "email": "ann@example.com"},
    )
    await client.ok(**group, properties={"externalId": "g-1", "plan": "pro"}, user={})
    person = await client.person("u-1")
    assert person["objects"] == [{"type": "company", "id": "g-1"}]
    assert len(person["timeline"]) == 1
    objects = (await client.control("/objects"))["objects"]["company"]
    # Nobody defined a colour, so that it is ignored.
    assert objects == [{"id": 1, "externalId": "g-1", "name": "Example", "plan": "pro"}]
    assert len(client.state.people) == 1


async def test_a_group_is_of_type_company_unless_it_says_otherwise(client: Client) -> None:
    await client.ok(type="group", properties={"externalId": "g-1"}, user={"userId": "u-1"})
    assert (await client.person("u-1"))["objects"] == [{"type": "company", "id": "g-1"}]


async def test_a_group_needs_the_schema_of_its_object(client: Client) -> None:
    group = {
        "type": "group",
        "objectType": "invoice",
        "properties": {"externalId": "i-1", "name": "One", "total": 5},
        "user": {"userId": "u-1"},
    }
    reply = await client.call("POST", "/v1", group)
    assert (reply.status, reply.data) == (404, {"error": "No such object type: invoice"})
    assert await client.person("u-1") is None
    schema = {"name": "invoice", "displayNameSingular": "Invoice", "displayNamePlural": "Invoices"}
    assert (await client.call("POST", "/v1/schemas", schema)).status == 200
    fields = [{"name": "total", "type": "number"}]
    assert (await client.call("POST", "/v1/schemas/invoice/fields", fields)).status == 200
    assert (await client.call("POST", "/v1", group)).status == 200
    objects = (await client.control("/objects"))["objects"]["invoice"]
    assert objects == [{"id": 1, "externalId": "i-1", "name": "One", "total": 5}]
