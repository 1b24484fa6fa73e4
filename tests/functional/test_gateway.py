"""The gateway as a process: real clients before it, a real broker behind it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from tests.conftest import ClusterFactory
from tests.functional.conftest import World
from tests.support.clients import Sent, needs, node_is_missing, run_node, run_python
from tests.support.gateway import KEY, GatewayProcess, gateway
from tests.support.kafka import Broker
from tests.support.world import consume, until, workers

pytestmark = pytest.mark.functional

LIBRARIES = ("segment", "segment-gzip", "rudder", "rudder-gzip")


async def post(made: GatewayProcess, path: str, body: Any) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
        return await http.post(made.url + path, json=body, auth=(KEY, ""))


async def stored(bootstrap: str, topic: str, count: int, within: float = 20) -> list[Any]:
    """The records of the topic: ``count``, and what there is more than that."""
    records = await consume(bootstrap, topic, count, within)
    more = await consume(bootstrap, topic, count + 1, within=1)
    return max(records, more, key=len)


def assert_each_is_there_once(records: list[Any], *sent: Sent) -> None:
    found = Counter(orjson.loads(record.value)["messageId"] for record in records)
    wanted = {message_id for one in sent for message_id in one.ids}
    assert {name: count for name, count in found.items() if count > 1} == {}, "doubled"
    assert wanted - set(found) == set(), "lost"
    assert set(found) == wanted


async def test_from_a_client_to_encharge(world: World) -> None:
    """Gateway, topic, worker, stand-in; and dead letters that name the source."""
    worker = world.worker()
    async with (
        gateway(world.broker.bootstrap, world.topic, world.directory) as made,
        workers(worker),
    ):
        answers = [
            await post(made, "/v1/page", {"anonymousId": "a-1", "messageId": "m-1"}),
            await post(
                made,
                "/v1/identify/",
                {
                    "anonymousId": "a-1",
                    "userId": "u-1",
                    "messageId": "m-2",
                    "traits": {"email": "ada@example.com"},
                },
            ),
            await post(
                made,
                "/v1/batch",
                {
                    "batch": [
                        {"type": "track", "event": "x", "anonymousId": "a-1", "messageId": "m-3"},
                        {"type": "track", "anonymousId": "a-1", "messageId": "no-event"},
                        {"type": "track"},
                    ]
                },
            ),
        ]
        assert [answer.status_code for answer in answers] == [200, 200, 200]
        large = {"userId": "u-2", "messageId": "m-4", "traits": {"x": ""}}
        large["traits"]["x"] = "y" * (32 * 1024 - len(orjson.dumps({**large, "type": "identify"})))
        assert (await post(made, "/v1/identify", large)).status_code == 200
        await world.settled(5, worker)
        assert await made.end() == 0
    bodies = {body["messageId"]: body for body in await world.bodies()}
    assert set(bodies) == {"m-1", "m-2", "m-3", "m-4"}
    assert bodies["m-3"]["userId"] == "u-1"
    letters = [headers for _, headers in await world.dead_letters(2)]
    assert {(h["dlq.stage"], h["dlq.reason"]) for h in letters} == {
        ("gateway", "no-ids"),
        ("deliver", "invalid-payload"),
    }
    assert {h["dlq.source"] for h in letters} == {"web"}


@pytest.mark.parametrize("library", LIBRARIES)
async def test_a_real_library(embedded: Broker, unique: str, tmp_path: Path, library: str) -> None:
    await embedded.create_topic(unique, 4)
    async with gateway(embedded.bootstrap, unique, tmp_path) as made:
        sent = await run_python(library, made.url, KEY, 250)
        assert sent.errors == []
        records = await stored(embedded.bootstrap, unique, 250)
    assert_each_is_there_once(records, sent)
    # Nothing was refused, so every person's events are in the order in which they were made.
    for person in {record.key for record in records}:
        own = [record for record in records if record.key == person]
        assert len({record.partition for record in own}) == 1
        numbers = [int(orjson.loads(r.value)["messageId"].split("-")[-1]) for r in own]
        assert numbers == sorted(numbers)


@pytest.mark.parametrize("limit", [None, "150"])
@pytest.mark.parametrize("library", ["segment", "rudder", "rudder-gzip"])
async def test_a_real_library_for_node(
    embedded: Broker, unique: str, tmp_path: Path, library: str, limit: str | None
) -> None:
    needs(node_is_missing())
    await embedded.create_topic(unique, 4)
    limits = {"STREAMS_GATEWAY_MAX_EVENTS_PER_SECOND": limit} if limit else {}
    async with gateway(embedded.bootstrap, unique, tmp_path, **limits) as made:
        sent = await run_node(library, made.url, KEY, 500)
        assert sent.errors == []
        async with httpx.AsyncClient(trust_env=False) as http:
            metrics = (await http.get(f"{made.url}/metrics")).text
        assert ('kind="batch",status="429"' in metrics) == bool(limit)
        assert_each_is_there_once(await stored(embedded.bootstrap, unique, 500), sent)


@pytest.mark.parametrize("library", ["segment", "rudder"])
async def test_what_is_shed_comes_again_and_is_stored_once(
    embedded: Broker, unique: str, tmp_path: Path, library: str
) -> None:
    await embedded.create_topic(unique, 4)
    limit = {"STREAMS_GATEWAY_MAX_EVENTS_PER_SECOND": "150"}
    async with gateway(embedded.bootstrap, unique, tmp_path, **limit) as made:
        sent = await run_python(library, made.url, KEY, 600)
        assert sent.errors == []
        async with httpx.AsyncClient(trust_env=False) as http:
            metrics = (await http.get(f"{made.url}/metrics")).text
        assert 'streams_gateway_requests_total{kind="batch",status="429"}' in metrics
        assert_each_is_there_once(await stored(embedded.bootstrap, unique, 600), sent)


async def test_a_stop_answers_what_was_taken_in(kafka: Broker, unique: str, tmp_path: Path) -> None:
    await kafka.create_topic(unique, 4)
    acknowledged: list[str] = []
    async with gateway(kafka.bootstrap, unique, tmp_path) as made:

        async def keep_sending(name: str) -> None:
            number = 0
            async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
                while True:
                    event = {"userId": name, "messageId": f"{name}-{number}"}
                    try:
                        answer = await http.post(f"{made.url}/v1/page", json=event, auth=(KEY, ""))
                    except httpx.HTTPError:
                        return
                    assert answer.status_code == 200
                    acknowledged.append(event["messageId"])
                    number += 1

        sending = [asyncio.ensure_future(keep_sending(f"u{n}")) for n in range(10)]

        async def busy() -> bool:
            return len(acknowledged) > 50

        await until(busy, "the gateway is busy")
        assert await made.end() == 0
        await asyncio.gather(*sending)
    records = await stored(kafka.bootstrap, unique, len(acknowledged))
    found = {orjson.loads(record.value)["messageId"] for record in records}
    assert found == set(acknowledged)


async def _stalls(process_id: int) -> None:
    """Kafka answers nobody for some seconds, then goes on."""
    os.kill(process_id, signal.SIGSTOP)
    try:
        await asyncio.sleep(4)
    finally:
        os.kill(process_id, signal.SIGCONT)


@pytest.mark.parametrize("fault", ["stalls", "dies"])
async def test_libraries_outlive_a_broker_that_is_away(
    kafka_cluster: ClusterFactory, tmp_path: Path, fault: str
) -> None:
    """503 with Retry-After while it is away; then everything is there, and once."""
    cluster = await kafka_cluster(nodes=1)
    await cluster.create_topic("events", 4)
    patience = {"STREAMS_GATEWAY_CONFIRM_SECONDS": "1"}
    seen: Counter[int] = Counter()
    async with gateway(cluster.bootstrap, "events", tmp_path, **patience) as made:
        sending = [
            asyncio.ensure_future(run_python(library, made.url, KEY, 800, rate=150))
            for library in ("segment-gzip", "rudder")
        ]
        await asyncio.sleep(2.5)

        async def watch() -> None:
            # A request of one's own, the same until it is stored.
            while seen[200] == 0:
                answer = await post(made, "/v1/page", {"userId": "u", "messageId": "watch"})
                seen[answer.status_code] += 1
                if answer.status_code == 503:
                    assert int(answer.headers["retry-after"]) >= 1
                    assert answer.json()["code"] == "unavailable"
                await asyncio.sleep(0.3)

        node = cluster.nodes[0]
        if fault == "stalls":
            away: Awaitable[None] = asyncio.ensure_future(_stalls(cluster.pid(node)))
        else:
            cluster.kill(node)
            away = asyncio.ensure_future(_starts_again(cluster.start, node))
        await asyncio.sleep(0.2)
        await asyncio.gather(away, watch())
        assert seen[503] >= 1
        assert set(seen) == {200, 503}
        sent = await asyncio.gather(*sending)
        assert [one.errors for one in sent] == [[], []]

        async def ready() -> bool:
            async with httpx.AsyncClient(trust_env=False) as http:
                return (await http.get(f"{made.url}/readyz")).status_code == 200

        await until(ready, "the gateway is ready again", within=10)
        records = await stored(cluster.bootstrap, "events", 1601)
    assert_each_is_there_once(records, *sent, Sent(["watch"], []))


async def _starts_again(start: Callable[[int], Awaitable[None]], node: int) -> None:
    await asyncio.sleep(3)
    await start(node)
