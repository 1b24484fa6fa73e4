"""The command: ``python -m bench.history``. What a long history costs.

Two contestants, one with few identities and messageIds behind it, one with many, process the same
number of events: first of as many people as the short history knows (what history alone costs),
then of people drawn from all that are known (with the long one, nearly none is at hand). Their
tables are put into the changelog topics beforehand, so that each round begins with a recovery on
an empty disk.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

import orjson
from aiokafka import AIOKafkaProducer
from rich import box
from rich.console import Console
from rich.table import Table

from bench import broker as brokers
from bench.broker import PARTITIONS, Broker
from bench.command import execute
from bench.processes import KEY, until_idle, until_settled, worker
from bench.result import Result
from streams import topics
from streams.delivery.seen import DIGEST_BYTES, TIME_BYTES
from streams.group import IDENTITIES, seen_table
from streams.pipeline import owned_topics
from streams.settings import Settings, load
from streams.source.ingest import partition_of
from tests.support.kafka import create_topic

Row = tuple[int, bytes, bytes]
"""Partition, key and value of a changelog record."""

DESTINATION: Final = "encharge"
"""The name that it has without a configuration."""
HOURS: Final = 24
DIGESTS_PER_RECORD: Final = 1000
RUN_SECONDS: Final = 900.0


@dataclass(frozen=True, slots=True)
class History:
    """What is known before the first event."""

    name: str
    identities: int
    message_ids: int


async def run(options: argparse.Namespace, console: Console) -> int:
    """Measure and print. Gives the exit status."""
    histories = (
        History("short", options.few, options.few),
        History("long", options.identities, options.message_ids),
    )
    visitors = {"the same people": options.few, "all people": None}
    results: dict[tuple[str, str], list[Result]] = {
        (history.name, who): [] for history in histories for who in visitors
    }
    async with AsyncExitStack() as stack:
        temporary = tempfile.TemporaryDirectory(prefix="streams-bench-", ignore_cleanup_errors=True)
        directory = Path(stack.enter_context(temporary))
        broker = await stack.enter_async_context(brokers.running("kafka"))
        console.print(
            f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}, "
            f"{broker.name}; {options.events:,} events a round, {PARTITIONS} partitions"
        )
        for number in range(1, options.rounds + 1):
            for history in histories:
                name = f"{history.name}-{number}"
                settings = _settings(broker, name)
                await topics.ensure(settings, owned_topics(settings, [DESTINATION]))
                await _fill(broker, settings, history)
                (directory / name).mkdir()
                found = await _turn(
                    broker,
                    settings,
                    [people or history.identities for people in visitors.values()],
                    options.events,
                    directory / name,
                )
                for who, result in zip(visitors, found, strict=True):
                    results[history.name, who].append(result)
                    console.print(
                        f"round {number} {history.name:6} {who:16}"
                        f" CPU {result.cpu_micros:.0f} us/event,"
                        f" {result.resident_bytes / 1e6:.0f} MB resident at most,"
                        f" ready after {result.start_seconds:.1f} s"
                    )
                await brokers.forget(broker, f"{name}-")
    _show(console, histories, results)
    return 0


def _bytes_in(directory: Path) -> int:
    return sum(file.stat().st_size for file in directory.rglob("*") if file.is_file())


def _settings(broker: Broker, name: str) -> Settings:
    return load(
        {
            "kafka_bootstrap_servers": broker.bootstrap,
            "streams_app_id": name,
            "streams_source_topic": f"{name}-source",
            "streams_partitions": PARTITIONS,
            "encharge_api_key": KEY,
        }
    )


def _environment(settings: Settings) -> dict[str, str]:
    return {
        "KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
        "STREAMS_APP_ID": settings.streams_app_id,
        "STREAMS_SOURCE_TOPIC": settings.streams_source_topic,
        "STREAMS_PARTITIONS": str(PARTITIONS),
        "STREAMS_DRY_RUN": "true",
    }


# -- people, and what is known of them


def _device(person: int) -> str:
    return f"{person:08x}-5f3a-4c1e-9b7d-2f6a1c0e8d45"


def _user(person: int) -> str:
    return f"user-{person:08}"


def _identity_rows(people: int) -> Iterator[Row]:
    for person in range(people):
        device, user = _device(person), _user(person)
        partition = partition_of(device, PARTITIONS)
        entry = [-1, user, f"{user}@example.com", f"seed-{person:032x}"]
        yield partition, b"d:" + device.encode(), orjson.dumps([entry])
        yield partition, f"u:{user}\0d:{device}".encode(), b""


def _seen_rows(message_ids: int) -> Iterator[Row]:
    now = int(time.time())
    for start in range(0, message_ids, DIGESTS_PER_RECORD):
        count = min(DIGESTS_PER_RECORD, message_ids - start)
        # Spread over the day, the oldest first; none so old that it is forgotten on the way.
        age = (HOURS - 1) * 3600 * (message_ids - start) // message_ids
        delivered_at = (now - age).to_bytes(TIME_BYTES)
        partition = start // DIGESTS_PER_RECORD % PARTITIONS
        yield partition, b"", delivered_at + os.urandom(DIGEST_BYTES * count)


def _visits(phase: int, people: int, events: int) -> Iterator[Row]:
    """Events of people drawn from the first ``people``; the second of two names its user."""
    chance = random.Random(phase)
    for number in range(events):
        person = chance.randrange(people)
        event: dict[str, Any] = {
            "type": "track",
            "event": "Report Exported",
            "messageId": f"{chance.getrandbits(96):024x}-{number:08x}",
            "anonymousId": _device(person),
            "timestamp": "2026-11-02T08:00:00.000Z",
            "context": {"ip": "203.0.113.7", "library": {"name": "analytics.js"}},
            "properties": {"report": "weekly", "rows": number, "format": "csv"},
        }
        if number % 2:
            event["userId"] = _user(person)
        yield partition_of(_device(person), PARTITIONS), b"", orjson.dumps(event)


async def _turn(
    broker: Broker, settings: Settings, visitors: Sequence[int], events: int, directory: Path
) -> list[Result]:
    """Recover, come to rest, and process events of each number of people."""
    topic = settings.streams_source_topic
    await create_topic(broker.bootstrap, topic, PARTITIONS)
    results = []
    async with worker(_environment(settings), directory, seconds=RUN_SECONDS) as running:
        for phase, people in enumerate(visitors, 1):
            # What RocksDB has still to merge after a recovery is not the price of an event.
            await until_idle(running)
            settled = asyncio.create_task(until_settled([running], phase * events))
            await _produce(broker, topic, _visits(phase, people, events))
            first, last = await settled
            results.append(
                Result(
                    last.settled - first.settled,
                    last.at - first.at,
                    last.cpu - first.cpu,
                    start_seconds=running.start_seconds,
                    resident_bytes=running.resident_bytes(),
                    disk_bytes=_bytes_in(directory),
                )
            )
    return results


async def _fill(broker: Broker, settings: Settings, history: History) -> None:
    identities = topics.changelog_topic(settings, IDENTITIES)
    await _produce(broker, identities, _identity_rows(history.identities))
    seen = topics.changelog_topic(settings, seen_table(DESTINATION))
    await _produce(broker, seen, _seen_rows(history.message_ids))


async def _produce(broker: Broker, topic: str, rows: Iterator[Row]) -> None:
    async with _producer(broker) as producer:
        batches = {partition: producer.create_batch() for partition in range(PARTITIONS)}
        for partition, key, value in rows:
            if batches[partition].append(key=key, value=value, timestamp=None) is None:
                await producer.send_batch(batches[partition], topic, partition=partition)
                batches[partition] = producer.create_batch()
                batches[partition].append(key=key, value=value, timestamp=None)
        for partition, batch in batches.items():
            if batch.record_count():
                await producer.send_batch(batch, topic, partition=partition)


@asynccontextmanager
async def _producer(broker: Broker) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap, max_batch_size=500_000)
    await producer.start()
    try:
        yield producer
        await producer.flush()
    finally:
        await producer.stop()


# -- the command


def _show(
    console: Console,
    histories: Sequence[History],
    results: dict[tuple[str, str], list[Result]],
) -> None:
    table = Table(box=box.MARKDOWN)
    for title in ("history", "identities", "messageIds", "events of"):
        table.add_column(title, justify="left" if title in {"history", "events of"} else "right")
    for title in ("CPU us/event", "resident MB", "disk MB", "ready s"):
        table.add_column(title, justify="right")
    known = {history.name: history for history in histories}
    for (name, who), found in results.items():
        table.add_row(
            name,
            f"{known[name].identities:,}",
            f"{known[name].message_ids:,}",
            who,
            f"{median(result.cpu_micros for result in found):.1f}",
            f"{median(result.resident_bytes for result in found) / 1e6:,.0f}",
            f"{median(result.disk_bytes for result in found) / 1e6:,.0f}",
            f"{median(result.start_seconds for result in found):.1f}",
        )
    console.print(table)
    for who in dict.fromkeys(who for _, who in results):
        pairs = zip(results["short", who], results["long", who], strict=True)
        grown = [long.cpu_micros / short.cpu_micros for short, long in pairs]
        console.print(
            f"{who}: an event with the long history costs {median(grown):.2f} times the processor"
            f" time ({min(grown):.2f}..{max(grown):.2f}) of one with the short"
        )


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.history",
        description="Measure what known identities and messageIds cost: time, memory, recovery.",
        epilog="Example: python -m bench.history --rounds 1 --identities 100000 "
        "--message-ids 1000000",
    )
    parser.add_argument("--rounds", type=int, default=3, help="default: 3")
    parser.add_argument("--events", type=int, default=120_000, help="default: 120000")
    parser.add_argument("--few", type=int, default=10_000, help="of the short history: 10000")
    parser.add_argument("--identities", type=int, default=2_000_000, help="default: 2000000")
    parser.add_argument("--message-ids", type=int, default=24_000_000, help="default: 24000000")
    return parser.parse_args(arguments)


def main() -> int:
    """Run the command. Gives the exit status."""
    return execute(run, _options(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(main())
