"""The control API: what it shows of the people, the requests and the counts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import orjson
import pytest

from streams.dev.encharge import StandIn, serve
from tests.unit.dev.encharge import Client, eventually, running


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with running() as client:
        yield client


async def page(client: Client, message_id: str, **ids: str) -> None:
    await client.ok(type="page", messageId=message_id, user=ids)


async def test_people_are_filtered_and_paged(client: Client) -> None:
    await page(client, "m-1", userId="u-1", email="ann@example.com")
    await page(client, "m-2", segmentAnonymousId="a-1")
    await client.ok(type="group", properties={"externalId": "g:1"}, user={"userId": "u-2"})
    await client.ok(type="identify", user={"userId": "u-2", "tags": "x", "unsubscribed": True})
    await client.call("DELETE", "/v1/people?people[0][userId]=u-2")
    identity = (await client.person("u-1"))["id"]

    async def found(query: str) -> list[str]:
        listed = await client.control(f"/people?{query}")
        assert listed["total"] >= len(listed["people"])
        return [person["userId"] or person["anonymousIds"][0] for person in listed["people"]]

    assert await found("") == ["u-1", "a-1", "u-2"]
    assert await found("limit=1&offset=1") == ["a-1"]
    assert await found(f"id={identity}") == ["u-1"]
    assert await found("userId=u-1") == ["u-1"]
    assert await found("email=ann@example.com") == ["u-1"]
    assert await found("anonymousId=a-1") == ["a-1"]
    assert await found("anonymous=true") == ["a-1"]
    assert await found("anonymous=false&archived=false") == ["u-1"]
    assert await found("archived=true") == ["u-2"]
    assert await found("tag=x") == ["u-2"]
    assert await found("object=company:g:1") == ["u-2"]
    assert await found("unsubscribed=true") == ["u-2"]
    assert await found("userId=u-1&tag=x") == []


@pytest.mark.parametrize(
    "path",
    [
        "/people?name=Ann",
        "/people?archived=yes",
        "/people?limit=x",
        "/requests?since=-1",
        "/requests?limit=1.5",
    ],
)
async def test_wrong_questions_are_refused(client: Client, path: str) -> None:
    reply = await client.call("GET", "/_stand-in" + path)
    assert reply.status == 400
    assert isinstance(reply.data["error"], str)


async def test_unknown_people_and_paths_are_not_found_nor_logged(client: Client) -> None:
    assert (await client.call("GET", "/_stand-in/people/nobody")).status == 404
    assert (await client.call("GET", "/_stand-in/other")).status == 404
    assert (await client.call("PUT", "/_stand-in/faults", [])).status == 404
    assert (await client.control("/stats"))["requests"] == 0


async def test_a_person_is_found_by_any_id_even_an_odd_one(client: Client) -> None:
    await page(client, "m-1", userId="a/b c", email="ann@example.com", segmentAnonymousId="a-1")
    person = await client.person("a%2Fb%20c")
    assert person["userId"] == "a/b c"
    for some_id in ("ann@example.com", "a-1", person["id"]):
        assert await client.person(some_id) == person


async def test_requests_are_shown_in_arrival_order(client: Client) -> None:
    await page(client, "m-1", userId="u-1")
    await client.call("POST", "/v1", raw=b"not json")
    await client.call("POST", "/v1/tags", {"tag": "x", "userId": "u-1"})
    await client.call("GET", "/v1/people?people[0][userId]=u-1")
    log = await client.control("/requests")
    requests = log["requests"]
    assert [(item["seq"], item["applied"]) for item in requests] == [(1, 1), (2, 0), (3, 2), (4, 0)]
    assert [item["status"] for item in requests] == [200, 400, 201, 200]
    assert [item["type"] for item in requests] == ["page", None, "tag", "read"]
    assert [item["method"] for item in requests] == ["POST", "POST", "POST", "GET"]
    assert requests[0]["body"] == {"type": "page", "messageId": "m-1", "user": {"userId": "u-1"}}
    assert requests[0]["messageId"] == "m-1"
    assert requests[1]["body"] == "not json"
    assert requests[3]["body"] is None
    assert requests[3]["path"] == "/v1/people?people[0][userId]=u-1"
    times = [time for item in requests for time in (item["started"], item["finished"])]
    assert times == sorted(times)
    assert (log["next"], log["dropped"]) == (4, 0)


async def test_requests_are_read_on_from_where_one_was(client: Client) -> None:
    for number in range(5):
        await page(client, f"m-{number}", userId="u-1")
    first = await client.control("/requests?limit=2")
    assert [item["seq"] for item in first["requests"]] == [1, 2]
    rest = await client.control(f"/requests?since={first['next']}")
    assert [item["seq"] for item in rest["requests"]] == [3, 4, 5]
    end = await client.control(f"/requests?since={rest['next']}")
    assert (end["requests"], end["next"]) == ([], 5)


async def test_requests_come_as_ndjson_on_request(client: Client) -> None:
    for number in range(1200):
        await page(client, f"m-{number}", userId="u-1")
    accept = {"Accept": "application/x-ndjson"}
    reply = await client.call("GET", "/_stand-in/requests", headers=accept)
    assert reply.headers["Content-Type"] == "application/x-ndjson"
    lines = [orjson.loads(line) for line in reply.text.splitlines()]
    assert [line["messageId"] for line in lines] == [f"m-{number}" for number in range(1200)]
    reply = await client.call("GET", "/_stand-in/requests?since=1198&limit=1", headers=accept)
    assert [orjson.loads(line)["seq"] for line in reply.text.splitlines()] == [1199]


async def test_an_open_request_is_in_the_log(client: Client) -> None:
    await client.faults({"fault": {"slow": 30}})
    task = asyncio.create_task(client.ingest(type="page", user={"userId": "u-1"}))
    requests = await eventually(client.requests)
    assert (requests[0]["status"], requests[0]["finished"]) == (None, None)
    assert (await client.control("/stats"))["inFlight"] == 1
    task.cancel()


async def test_counts(client: Client) -> None:
    await page(client, "m-1", userId="u-1")
    await page(client, "m-1", userId="u-1")
    await page(client, "m-2", segmentAnonymousId="a-1")
    await client.ingest(type="page", messageId="m-2", user={})
    assert await client.control("/stats") == {
        "requests": 4,
        "applied": 3,
        "inFlight": 0,
        "maxConcurrent": 1,
        "byType": {"page": 4},
        "byStatus": {"200": 3, "400": 1},
        "messageIds": {
            "distinct": 2,
            "repeated": 2,
            "appliedMoreThanOnce": 1,
            "examples": ["m-1"],
        },
        "people": 2,
        "anonymous": 1,
        "faultsFired": 0,
        "dropped": 0,
        "bodiesDropped": 0,
    }


async def test_reset_forgets_everything_but_the_keys(client: Client) -> None:
    fresh = await client.control("/stats")
    await page(client, "m-1", userId="u-1")
    await client.call("POST", "/v1/fields", [{"name": "x", "type": "string"}])
    await client.faults({"fault": {"status": 500}})
    await client.ingest(type="page", user={"userId": "u-1"})
    await client.control("/reset", "POST")
    assert await client.control("/stats") == fresh
    assert await client.control("/faults") == []
    assert await client.requests() == []
    assert (await client.control("/people"))["total"] == 0
    names = {item["name"] for item in (await client.call("GET", "/v1/fields")).data["items"]}
    assert "x" not in names
    assert (await client.call("GET", "/v1/fields", headers={})).status == 401


async def test_the_log_is_bounded_and_so_are_the_timelines() -> None:
    async with running(StandIn(max_log_entries=10)) as client:
        for number in range(25):
            await page(client, f"m-{number}", userId=f"u-{number % 2}")
        await client.ok(type="alias", userId="u-1", previousUserId="u-0", messageId="m-25")
        for number in range(26, 30):
            await page(client, f"m-{number}", userId="u-1")
        log = await client.control("/requests")
        kept = [f"m-{number}" for number in range(20, 30)]
        assert [item["messageId"] for item in log["requests"]] == kept
        assert (log["dropped"], log["requests"][0]["seq"]) == (20, 21)
        assert await client.timeline("u-1") == kept
        stats = await client.control("/stats")
        assert (stats["requests"], stats["applied"], stats["dropped"]) == (30, 30, 20)
        assert stats["messageIds"]["distinct"] == 10
        assert len(client.state.log._calls) <= 20
        again = await client.control("/requests?since=5&limit=2")
        assert [item["seq"] for item in again["requests"]] == [21, 22]


async def test_dropped_requests_leave_the_timeline_of_a_merged_person() -> None:
    async with running(StandIn(max_log_entries=4)) as client:
        await page(client, "m-0", userId="new")
        await page(client, "m-1", userId="old")
        await client.ok(type="alias", userId="new", previousUserId="old", messageId="m-2")
        for number in range(3, 6):
            await page(client, f"m-{number}", userId="other")
        assert await client.timeline("new") == ["m-2"]


async def test_bodies_are_dropped_before_the_requests() -> None:
    async with running(StandIn(max_body_bytes=300)) as client:
        for number in range(10):
            await page(client, f"m-{number}", userId="u-1")
        requests = await client.requests()
        assert len(requests) == 10
        assert requests[0]["body"] is None
        assert requests[9]["body"]["messageId"] == "m-9"
        assert 0 < (await client.control("/stats"))["bodiesDropped"] < 10


def test_a_log_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one entry"):
        StandIn(max_log_entries=0)


@pytest.mark.parametrize("path", ["/_stand-in", "/_stand-in/"])
async def test_the_summary_is_for_people(client: Client, path: str) -> None:
    for number in range(12):
        await page(client, f"m-{number}", userId="u-1")
    await client.call("POST", "/v1/tags", {"tag": "x", "userId": "u-1"})
    reply = await client.call("GET", path, headers={})
    assert reply.headers["Content-Type"].startswith("text/plain")
    assert "people    1 (0 anonymous)" in reply.text
    assert "page 12, tag 1" in reply.text
    assert "m-11" in reply.text
    assert "m-2\n" not in reply.text


async def test_serve_reports_its_address_and_stops_when_cancelled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Longer than this test may take: what is held has to be let go, not waited for.
    monkeypatch.setattr("streams.dev.standin.server.STOP_SECONDS", 60.0)
    address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    server = asyncio.create_task(
        serve("127.0.0.1", 0, keys=frozenset({"k"}), ready=address.set_result)
    )
    url = await asyncio.wait_for(address, 5)
    async with aiohttp.ClientSession() as session:
        async with session.get(url + "/v1/fields", headers={"X-Encharge-Token": "k"}) as reply:
            assert reply.status == 200
        async with session.get(url + "/v1/fields", headers={"X-Encharge-Token": "x"}) as reply:
            assert reply.status == 401
        # A request that a fault holds does not hold the server.
        plan = [{"fault": {"hang": 60}}]
        async with session.post(url + "/_stand-in/faults", json=plan) as reply:
            assert reply.status == 200
        held = asyncio.create_task(session.get(url + "/v1/fields"))
        async with asyncio.timeout(5):
            while True:
                async with session.get(url + "/_stand-in/stats") as reply:
                    if (await reply.json())["inFlight"] == 1:
                        break
                await asyncio.sleep(0.005)
        server.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(server, 5)
        with pytest.raises(aiohttp.ClientConnectionError):
            await held
        with pytest.raises(aiohttp.ClientConnectionError):
            await session.get(url + "/v1/fields")
    assert server.cancelled()


async def test_serve_says_when_the_port_is_taken(client: Client) -> None:
    port = int(client.url.rpartition(":")[2])
    with pytest.raises(OSError, match="address already in use"):
        await serve("127.0.0.1", port, keys=None, ready=lambda url: None)
