"""Contestant: the Kafka client alone, with the lines of files as they are.

``python -m bench.replay_bare BOOTSTRAP TOPIC PARTITIONS FILE...`` puts lines into batches, to
one partition after the other, with the confirmations that ``streams replay`` asks for. It
parses nothing, puts nothing in order and sends neither keys nor headers.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import uvloop
from aiokafka import AIOKafkaProducer

from bench.result import Result, Stopwatch, report
from streams.cli.replay import MAX_BATCH_BYTES

LINES = 4_000
"""Handed to a partition at a time."""


async def run(bootstrap: str, topic: str, partitions: int, files: list[str]) -> Result:
    """Produce every line."""
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        acks="all",
        enable_idempotence=True,
        max_batch_size=MAX_BATCH_BYTES,
        max_request_size=2 * MAX_BATCH_BYTES,
    )
    await producer.start()
    watch = Stopwatch()
    sent: list[asyncio.Future[object]] = []
    count = 0
    try:
        for name in files:
            with Path(name).open("rb") as lines:  # noqa: ASYNC230 - so does what it is compared with
                partition, batch = 0, producer.create_batch()
                for line in lines:
                    count += 1
                    if (
                        batch.record_count() >= LINES
                        or batch.append(key=None, value=line.rstrip(), timestamp=None) is None
                    ):
                        sent.append(await producer.send_batch(batch, topic, partition=partition))
                        partition, batch = (partition + 1) % partitions, producer.create_batch()
                        batch.append(key=None, value=line.rstrip(), timestamp=None)
                sent.append(await producer.send_batch(batch, topic, partition=partition))
        await asyncio.gather(*sent)
        return watch.stop(count)
    finally:
        await producer.stop()


if __name__ == "__main__":
    address, name, number, *paths = sys.argv[1:]
    uvloop.install()
    report(asyncio.run(run(address, name, int(number), paths)))
