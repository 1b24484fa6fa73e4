"""Contestant: the Kafka client alone. Fetches the topic and parses every value.

``python -m bench.raw BOOTSTRAP TOPIC GROUP EVENTS PASSES`` reads the topic ``PASSES`` times,
as one pass is over too soon to be measured.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import orjson
import uvloop
from aiokafka import AIOKafkaConsumer

from bench.result import Result, Stopwatch, report


async def run(bootstrap: str, topic: str, group: str, events: int, passes: int) -> Result:
    """Read ``events`` events ``passes`` times."""
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=bootstrap, group_id=group, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        fetched = await _next(consumer)
        watch = Stopwatch()
        for number in range(passes):
            if number:
                await consumer.seek_to_beginning()
                fetched = await _next(consumer)
            seen = 0
            while True:
                for records in fetched:
                    for record in records:
                        orjson.loads(record.value)
                    seen += len(records)
                if seen >= events:
                    break
                fetched = await _next(consumer)
        return watch.stop(events * passes)
    finally:
        await consumer.stop()


async def _next(consumer: AIOKafkaConsumer) -> list[list[Any]]:
    while True:
        fetched = await consumer.getmany(timeout_ms=1000)
        if fetched:
            return list(fetched.values())


if __name__ == "__main__":
    address, name, group_id, count, times = sys.argv[1:]
    uvloop.install()
    report(asyncio.run(run(address, name, group_id, int(count), int(times))))
