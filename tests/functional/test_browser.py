"""Segment's library for browsers, on a real page: lost is nothing, and doubled neither."""

from __future__ import annotations

import socket
from collections import Counter
from pathlib import Path

import httpx
import orjson
import pytest

from tests.support.browser import browser_is_missing, page
from tests.support.clients import needs
from tests.support.fakes import FakeProducer
from tests.support.gateway import KEY, PARTITIONS, gateway, served
from tests.support.kafka import Broker
from tests.support.world import consume, until

pytestmark = pytest.mark.functional


@pytest.fixture(autouse=True)
def _browser() -> None:
    needs(browser_is_missing())


async def on_topic(broker: Broker, topic: str, count: int) -> list[tuple[str, dict[str, object]]]:
    """(key, event) of what is on the topic: ``count``, and what there is more than that."""
    records = await consume(broker.bootstrap, topic, count, within=60)
    # Longer than the library waits before it tries again.
    more = await consume(broker.bootstrap, topic, count + 1, within=3)
    found = max(records, more, key=len)
    return [(record.key.decode(), orjson.loads(record.value)) for record in found]


@pytest.mark.parametrize("strategy", ["standard", "batching"])
async def test_what_a_visitor_does_is_on_the_topic_in_order(
    embedded: Broker, unique: str, tmp_path: Path, strategy: str
) -> None:
    await embedded.create_topic(unique, PARTITIONS)
    async with (
        gateway(embedded.bootstrap, unique, tmp_path) as made,
        page(made.url, KEY, tmp_path, "visit", strategy=strategy) as visit,
    ):
        ids = await visit.ids()
        records = await on_topic(embedded, unique, len(ids))
        assert visit.failures == []
    events = {str(event["messageId"]): event for _, event in records}
    assert sorted(ids) == sorted(str(event["messageId"]) for _, event in records)
    for call in visit.calls.result():
        event = events[call["messageId"]]
        same = ("type", "anonymousId", "userId", "event", "groupId", "name", "category", "traits")
        if call["type"] != "alias":
            assert {n: event.get(n) for n in same} == {n: call.get(n) for n in same}
        assert event["originalTimestamp"] == call["timestamp"]
        assert event["context"]["page"]["title"] == "T"  # type: ignore[index]
        assert event["context"]["library"]["name"] == "analytics.js"  # type: ignore[index]
        assert "writeKey" not in event
    home, identify, _, _, _, alias, after = (events[name] for name in ids)
    assert home["properties"]["x"] == 1  # type: ignore[index]
    assert (home["userId"], identify["userId"]) == (None, "user-1")
    # As it is: from its second identity on the library says the first one twice.
    assert (alias["userId"], alias["previousId"]) == ("user-1", "user-1")
    assert after["userId"] is None
    assert {key for key, _ in records} == {home["anonymousId"], after["anonymousId"]}
    visitor = [event["messageId"] for key, event in records if key == home["anonymousId"]]
    assert visitor == ids[:6]


async def test_what_is_shed_comes_again_from_a_page(
    embedded: Broker, unique: str, tmp_path: Path
) -> None:
    await embedded.create_topic(unique, PARTITIONS)
    limit = {"STREAMS_GATEWAY_MAX_EVENTS_PER_SECOND": "20"}
    async with (
        gateway(embedded.bootstrap, unique, tmp_path, **limit) as made,
        page(made.url, KEY, tmp_path, "crowd", count=50) as crowd,
    ):
        ids = await crowd.ids()
        records = await on_topic(embedded, unique, len(ids))
        async with httpx.AsyncClient(trust_env=False) as http:
            metrics = (await http.get(f"{made.url}/metrics")).text
        assert 'streams_gateway_requests_total{kind="track",status="429"}' in metrics
        assert crowd.failures == []
    assert Counter(event["messageId"] for _, event in records) == Counter(ids)


async def test_what_kafka_did_not_confirm_comes_again_from_a_page(tmp_path: Path) -> None:
    producer = FakeProducer(partitions=PARTITIONS, confirms=False)
    async with (
        served(producer=producer, confirm_seconds=0.3) as made,
        page(made.url, KEY, tmp_path, "crowd", count=10) as crowd,
    ):
        # Each has been tried, and answered 503.
        ids = await crowd.ids()
        assert 'kind="track",status="503"' in (await made.http.get("/metrics")).text
        producer.confirms = True
        producer.confirm()

        async def stored() -> bool:
            text = (await made.http.get("/metrics")).text
            return 'streams_gateway_events_total{source="web",type="track"} 10.0' in text

        await until(stored, "all events stored", within=60)
        assert crowd.failures == []
        assert Counter(event["messageId"] for event in made.events()) == Counter(ids)


async def test_what_found_no_gateway_comes_again_from_a_page(
    embedded: Broker, unique: str, tmp_path: Path
) -> None:
    await embedded.create_topic(unique, PARTITIONS)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    async with page(f"http://127.0.0.1:{port}", KEY, tmp_path, "crowd", count=10) as crowd:
        # Each has been tried: nobody was there.
        ids = await crowd.ids()
        at = {"STREAMS_GATEWAY_PORT": str(port)}
        async with gateway(embedded.bootstrap, unique, tmp_path, **at):
            records = await on_topic(embedded, unique, len(ids))
        assert crowd.failures == []
    assert Counter(event["messageId"] for _, event in records) == Counter(ids)
