"""Faults on purpose: each kind, what it matches, and what is left of the request."""

from __future__ import annotations

import asyncio
import re
import textwrap
from collections.abc import AsyncIterator
from time import monotonic
from typing import Any

import aiohttp
import orjson
import pytest

from streams.dev.standin import control
from tests.unit.dev.encharge import Client, eventually, running


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with running() as client:
        yield client


def track(message_id: str = "m-1", user_id: str = "u-1") -> dict[str, Any]:
    return {
        "type": "track",
        "event": "Opened",
        "messageId": message_id,
        "user": {"userId": user_id},
    }


async def test_a_status_instead_of_the_answer(client: Client) -> None:
    await client.faults({"fault": {"status": 500}, "times": 2})
    for _ in range(2):
        reply = await client.ingest(**track())
        assert (reply.status, reply.data) == (500, {"error": "Stand-in fault: 500"})
        assert "Retry-After" not in reply.headers
    assert await client.person("u-1") is None
    await client.ok(**track())
    assert await client.timeline("u-1") == ["m-1"]
    assert [request["status"] for request in await client.requests()] == [500, 500, 200]
    assert (await client.requests())[0]["fault"] == "status 500"


async def test_a_rest_status_has_the_rest_error(client: Client) -> None:
    await client.faults({"fault": {"status": 502}})
    reply = await client.call("GET", "/v1/fields")
    assert (reply.status, reply.data["error"]["message"]) == (502, "Stand-in fault: 502")


@pytest.mark.parametrize(
    ("given", "sent"),
    [(2, "2"), (0.5, "0.5"), ("Wed, 21 Oct 2026 07:28:00 GMT", "Wed, 21 Oct 2026 07:28:00 GMT")],
)
async def test_retry_after_is_sent_as_given(client: Client, given: object, sent: str) -> None:
    await client.faults({"fault": {"status": 429, "retry_after": given}})
    reply = await client.ingest(**track())
    assert (reply.status, reply.headers["Retry-After"]) == (429, sent)


async def test_bodies_and_content_types_are_sent_as_given(client: Client) -> None:
    await client.faults(
        {
            "match": {"messageId": "html"},
            "fault": {"status": 200, "body": "<p>Hello</p>", "content_type": "text/html"},
        },
        {"match": {"messageId": "text"}, "fault": {"status": 503, "body": "busy"}},
        {"match": {"messageId": "json"}, "fault": {"status": 403, "body": {"error": "plan"}}},
    )
    reply = await client.ingest(**track("html"))
    assert (reply.status, reply.text) == (200, "<p>Hello</p>")
    assert reply.headers["Content-Type"].startswith("text/html")
    reply = await client.ingest(**track("text"))
    assert (reply.text, reply.headers["Content-Type"]) == ("busy", "text/plain; charset=utf-8")
    reply = await client.ingest(**track("json"))
    assert (reply.status, reply.data) == (403, {"error": "plan"})
    assert await client.person("u-1") is None


async def test_a_status_after_the_request_took_effect(client: Client) -> None:
    await client.faults({"fault": {"status": 500, "after_apply": True}, "times": 1})
    assert (await client.ingest(**track())).status == 500
    await client.ok(**track())
    assert await client.timeline("u-1") == ["m-1", "m-1"]
    stats = await client.control("/stats")
    assert stats["messageIds"]["appliedMoreThanOnce"] == 1
    assert stats["messageIds"]["examples"] == ["m-1"]
    assert (await client.requests())[0]["fault"] == "status 500 after apply"


async def test_what_is_refused_does_not_take_effect_by_a_fault(client: Client) -> None:
    await client.faults({"fault": {"status": 500, "after_apply": True}})
    assert (await client.ingest(type="page", user={})).status == 500
    assert (await client.control("/stats"))["applied"] == 0


@pytest.mark.parametrize("after_apply", [False, True])
async def test_a_reset_is_a_tcp_reset(client: Client, after_apply: bool) -> None:
    await client.faults({"fault": {"reset": True, "after_apply": after_apply}})
    port = int(client.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = orjson.dumps(track())
    head = (
        "POST /v1 HTTP/1.1\r\nHost: localhost\r\nX-Encharge-Token: test-key\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()
    assert (await client.person("u-1") is not None) is after_apply
    (request,) = await client.requests()
    assert request["status"] is None
    assert request["finished"] is not None
    stats = await client.control("/stats")
    name = "reset after apply" if after_apply else "reset"
    assert (stats["byStatus"], stats["inFlight"]) == ({name: 1}, 0)


@pytest.mark.parametrize("after_apply", [False, True])
async def test_a_hanging_request_gets_no_answer(client: Client, after_apply: bool) -> None:
    await client.faults({"fault": {"hang": 0.1, "after_apply": after_apply}, "times": 1})
    started = monotonic()
    with pytest.raises(aiohttp.ClientConnectionError):
        await client.ingest(**track())
    assert monotonic() - started >= 0.09
    assert (await client.person("u-1") is not None) is after_apply


async def test_a_slow_request_is_answered_late(client: Client) -> None:
    await client.faults({"match": {"messageId": "slow"}, "fault": {"slow": 0.1}})
    started = monotonic()
    slow, fast = await asyncio.gather(
        client.ingest(**track("slow", "u-1")), client.ingest(**track("fast", "u-2"))
    )
    assert monotonic() - started >= 0.09
    assert (slow.status, fast.status) == (200, 200)
    applied = {request["messageId"]: request["applied"] for request in await client.requests()}
    assert applied == {"fast": 1, "slow": 2}
    assert (await client.control("/stats"))["maxConcurrent"] == 2


async def test_a_slow_answer_to_a_request_that_took_effect_at_once(client: Client) -> None:
    await client.faults(
        {"match": {"messageId": "slow"}, "fault": {"slow": 30, "after_apply": True}}
    )
    slow = asyncio.create_task(client.ingest(**track("slow")))
    await eventually(lambda: client.person("u-1"))
    await client.ok(**track("fast"))
    assert await client.timeline("u-1") == ["slow", "fast"]
    assert not slow.done()
    slow.cancel()


async def test_a_slow_answer_does_not_repeat_the_request(client: Client) -> None:
    await client.faults({"fault": {"slow": 0.02, "after_apply": True}})
    await client.ok(**track())
    assert await client.timeline("u-1") == ["m-1"]


async def test_a_client_that_gives_up_on_a_slow_request_does_not_undo_it(client: Client) -> None:
    await client.faults({"fault": {"slow": 0.1}, "times": 1})
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(client.ingest(**track("late")), 0.03)
    await client.ok(**track("again"))
    await eventually(client.idle)
    assert await client.timeline("u-1") == ["again", "late"]


@pytest.mark.parametrize(
    ("match", "hits"),
    [
        ({}, {"track", "anon", "page", "tag", "people"}),
        ({"type": "track"}, {"track", "anon"}),
        ({"messageId": "m-page"}, {"page"}),
        ({"userId": "u-1"}, {"track", "tag", "people"}),
        ({"anonymousId": "a-1"}, {"anon"}),
        ({"path": "/v1"}, {"track", "anon", "page"}),
        ({"path": "/v1/*"}, {"tag", "people"}),
        ({"method": "delete"}, {"tag", "people"}),
        ({"method": "DELETE", "type": "untag"}, {"tag"}),
        ({"type": "track", "userId": "u-2"}, set()),
    ],
)
async def test_rules_match_by_everything_they_name(
    client: Client, match: dict[str, str], hits: set[str]
) -> None:
    await client.faults({"match": match, "fault": {"status": 599}})
    anonymous = {**track("m-anon"), "user": {"segmentAnonymousId": "a-1"}}
    page = {"type": "page", "messageId": "m-page", "userId": "u-2", "user": {}}
    replies = {
        "track": await client.ingest(**track("m-track")),
        "anon": await client.ingest(**anonymous),
        "page": await client.ingest(**page),
        "tag": await client.call("DELETE", "/v1/tags", {"tag": "x", "userId": "u-1"}),
        "people": await client.call("DELETE", "/v1/people?people[0][userId]=u-1"),
    }
    assert {name for name, reply in replies.items() if reply.status == 599} == hits


async def test_a_bulk_request_matches_by_each_of_its_people(client: Client) -> None:
    await client.faults({"match": {"userId": "u-2"}, "fault": {"status": 500}})
    people = [{"userId": "u-1"}, {"userId": "u-2"}]
    assert (await client.call("POST", "/v1/people", people)).status == 500
    assert (await client.call("POST", "/v1/people", people[:1])).status == 200


async def test_the_first_rule_that_fires_decides(client: Client) -> None:
    await client.faults(
        {"match": {"messageId": "m-1"}, "fault": {"status": 501}, "times": 1},
        {"fault": {"status": 502}, "probability": 0},
        {"fault": {"status": 503}, "times": 2},
    )
    statuses = [(await client.ingest(**track())).status for _ in range(4)]
    assert statuses == [501, 503, 503, 200]
    rules = await client.control("/faults")
    assert [(rule["fired"], rule["left"]) for rule in rules] == [(1, 0), (0, None), (2, 0)]
    assert (await client.control("/stats"))["faultsFired"] == 3


async def test_chance_is_repeatable_with_a_seed(client: Client) -> None:
    async def draw(seed: int) -> list[int]:
        await client.faults({"fault": {"status": 500}, "probability": 0.5, "seed": seed})
        return [(await client.ingest(**track())).status for _ in range(40)]

    first = await draw(7)
    assert await draw(7) == first
    assert await draw(8) != first
    assert 8 < first.count(500) < 32


async def test_faults_can_be_taken_back(client: Client) -> None:
    await client.faults({"fault": {"status": 500}})
    await client.control("/faults", "DELETE")
    assert await client.control("/faults") == []
    await client.ok(**track())


@pytest.mark.parametrize(
    ("plan", "text"),
    [
        ({}, "a fault plan is a list of rules"),
        ([1], "rule 0: must be an object"),
        ([{"fault": {"reset": True}}, {}], "rule 1: fault must be an object"),
        ([{"fault": {}}], "rule 0: fault needs exactly one of"),
        ([{"fault": {"status": 500, "hang": 1}}], "rule 0: fault needs exactly one of"),
        ([{"fault": {"status": "500"}}], "rule 0: status"),
        ([{"fault": {"status": 700}}], "rule 0: status"),
        ([{"fault": {"status": 429, "retry_after": "1\r\nX: y"}}], "rule 0: retry_after"),
        ([{"fault": {"status": 429, "retry_after": True}}], "rule 0: retry_after"),
        ([{"fault": {"status": 500, "content_type": 1}}], "rule 0: content_type"),
        ([{"fault": {"reset": 1}}], "rule 0: reset must be true"),
        ([{"fault": {"reset": True, "after_apply": 1}}], "rule 0: after_apply"),
        ([{"fault": {"hang": -1}}], "rule 0: hang must be a number of seconds"),
        ([{"fault": {"slow": "1"}}], "rule 0: slow must be a number of seconds"),
        ([{"fault": {"slow": 1, "body": "x"}}], "rule 0: fault: unknown key 'body'"),
        ([{"fault": {"reset": True}, "match": []}], "rule 0: match must be an object"),
        ([{"fault": {"reset": True}, "match": {"user": "u"}}], "rule 0: match: unknown key 'user'"),
        ([{"fault": {"reset": True}, "match": {"userId": 1}}], "rule 0: match.userId"),
        ([{"fault": {"reset": True}, "time": 1}], "rule 0: unknown key 'time'"),
        ([{"fault": {"reset": True}, "times": 0}], "rule 0: times"),
        ([{"fault": {"reset": True}, "probability": 2}], "rule 0: probability"),
        ([{"fault": {"reset": True}, "seed": "x"}], "rule 0: seed"),
    ],
)
async def test_a_wrong_plan_is_refused_and_the_old_one_stays(
    client: Client, plan: object, text: str
) -> None:
    await client.faults({"fault": {"status": 500}})
    reply = await client.call("POST", "/_stand-in/faults", plan)
    assert reply.status == 400
    assert reply.data["error"].startswith(text)
    assert len(await client.control("/faults")) == 1


async def test_a_plan_that_is_not_json_is_refused(client: Client) -> None:
    assert (await client.call("POST", "/_stand-in/faults", raw=b"[")).status == 400


async def test_the_example_in_the_documentation_works(client: Client) -> None:
    found = re.search(r"An example::\n\n((?:    .*\n)+)", control.__doc__ or "")
    assert found
    plan = orjson.loads(textwrap.dedent(found.group(1)))
    await client.faults(*plan)
    assert len(await client.control("/faults")) == len(plan) == 5
    assert (await client.ingest(**track("m-1"))).status == 500
    assert (await client.ingest(**track("m-1"))).status == 200
    assert await client.timeline("u-1") == ["m-1", "m-1"]
    for _ in range(2):
        with pytest.raises(aiohttp.ClientConnectionError):
            await client.ingest(**track("m-2", "u-2"))
    assert (await client.ingest(**track("m-2", "u-2"))).status == 200
    reply = await client.call("POST", "/v1/tags", {"tag": "x", "userId": "u-1"})
    assert (reply.status, reply.headers["Retry-After"]) == (429, "2")
