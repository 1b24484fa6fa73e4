"""Contestant: the pipeline's calls without the pipeline: what the HTTP client itself can do.

``python -m bench.posts BOOTSTRAP TOPIC EVENTS URL KEY CONCURRENCY`` maps the events of the
topic before the clock runs, then makes their calls: httpx's client over aiohttp's transport,
which the worker leaves out, so many at a time, one after the other in each of so many loops.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator

import httpx
import httpx_aiohttp
import orjson
import uvloop
from aiokafka import AIOKafkaConsumer

from bench.result import Result, Stopwatch, report
from streams.destinations.base import Request
from streams.destinations.encharge import Encharge


async def run(
    bootstrap: str, topic: str, events: int, *, url: str, key: str, concurrency: int
) -> Result:
    """Make the calls of ``events`` events."""
    calls = iter(await _calls(bootstrap, topic, events, Encharge(api_key=key, ingest_url=url)))
    limits = httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
    async with httpx.AsyncClient(
        transport=httpx_aiohttp.AiohttpTransport(limits=limits), timeout=30, trust_env=False
    ) as client:
        await _post(client, next(calls))
        watch = Stopwatch()
        await asyncio.gather(*(_post_all(client, calls) for _ in range(concurrency)))
        return watch.stop(events - 1)


async def _post_all(client: httpx.AsyncClient, calls: Iterator[Request]) -> None:
    for call in calls:
        await _post(client, call)


async def _post(client: httpx.AsyncClient, call: Request) -> None:
    response = await client.request(
        call.method, call.url, headers=call.headers, content=orjson.dumps(call.body)
    )
    response.raise_for_status()


async def _calls(bootstrap: str, topic: str, events: int, destination: Encharge) -> list[Request]:
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=bootstrap, group_id=None, auto_offset_reset="earliest"
    )
    await consumer.start()
    calls: list[Request] = []
    try:
        while len(calls) < events:
            for records in (await consumer.getmany(timeout_ms=1000)).values():
                for record in records:
                    event = orjson.loads(record.value)
                    fires = (s for s in destination.subscriptions if s.matches(event))
                    made = (subscription.build(event) for subscription in fires)
                    calls.extend(call for call in made if isinstance(call, Request))
    finally:
        await consumer.stop()
    return calls


if __name__ == "__main__":
    address, name, count, ingest_url, write_key, open_calls = sys.argv[1:]
    uvloop.install()
    report(
        asyncio.run(
            run(
                address,
                name,
                int(count),
                url=ingest_url,
                key=write_key,
                concurrency=int(open_calls),
            )
        )
    )
