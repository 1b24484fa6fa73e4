"""The command: ``python -m bench.outage``. A destination that is dead for half an hour.

Events keep coming meanwhile. Memory is looked at all the time, and what the worker has committed;
then the destination is back, and everything has to arrive, once.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import aiohttp
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from rich import box
from rich.console import Console
from rich.table import Table

from bench import broker as brokers
from bench import events as events_module
from bench.broker import PARTITIONS, Broker
from bench.command import execute
from bench.processes import ContestError, Worker, stand_in, tail, until_settled, worker
from tests.support.kafka import create_topic

APP: Final = "outage"
LOOK_SECONDS: Final = 15.0
WARM_UP: Final = 2_000
CATCH_UP_SECONDS: Final = 900.0


async def run(options: argparse.Namespace, console: Console) -> int:
    """Measure and print. Gives the exit status."""
    with tempfile.TemporaryDirectory(prefix="streams-bench-", ignore_cleanup_errors=True) as made:
        directory = Path(made)
        async with brokers.running("kafka") as broker, stand_in(directory) as encharge:
            console.print(
                f"{os.cpu_count()} cores ({platform.machine()}), Python "
                f"{platform.python_version()}, {broker.name}; {options.minutes:g} minutes of "
                f"{options.rate:g} events a second for a destination that answers 503"
            )
            return await _outage(options, console, broker, encharge, directory)


async def _outage(
    options: argparse.Namespace, console: Console, broker: Broker, encharge: str, directory: Path
) -> int:
    topic = f"{APP}-source"
    await create_topic(broker.bootstrap, topic, PARTITIONS)
    settings = {
        "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap,
        "STREAMS_APP_ID": APP,
        "STREAMS_SOURCE_TOPIC": topic,
        "STREAMS_PARTITIONS": str(PARTITIONS),
        "ENCHARGE_API_URL": encharge,
        "ENCHARGE_INGEST_URL": f"{encharge}/v1",
    }
    total = WARM_UP + int(options.minutes * 60 * options.rate)
    events = events_module.generate(total, PARTITIONS)
    async with (
        aiohttp.ClientSession() as http,
        AIOKafkaProducer(bootstrap_servers=broker.bootstrap) as producer,
        worker(settings, directory, seconds=options.minutes * 60 + CATCH_UP_SECONDS) as running,
    ):
        for _ in range(WARM_UP):
            partition, value = next(events)
            await producer.send(topic, value, partition=partition)
        await until_settled([running], WARM_UP)
        await http.post(f"{encharge}/_stand-in/faults", json=[{"fault": {"status": 503}}])
        # What was settled is committed within a second.
        await asyncio.sleep(3)
        committed, memory = await _committed(broker), [_resident(running, directory)]
        calls = await _requests(http, encharge)
        started, sent, looked = time.monotonic(), 0, time.monotonic()
        for partition, value in events:
            await producer.send(topic, value, partition=partition)
            sent += 1
            await asyncio.sleep(max(started + sent / options.rate - time.monotonic(), 0))
            if time.monotonic() - looked >= LOOK_SECONDS:
                looked = time.monotonic()
                memory.append(_resident(running, directory))
        moved = {
            tp: offset
            for tp, offset in (await _committed(broker)).items()
            if "-events" in tp and offset != committed.get(tp)
        }
        probes = await _requests(http, encharge) - calls
        await http.post(f"{encharge}/_stand-in/faults", json=[])
        back = time.monotonic()
        await until_settled([running], total, CATCH_UP_SECONDS)
        seconds = time.monotonic() - back
        twice = (await _stats(http, encharge))["messageIds"]["appliedMoreThanOnce"]
        _show(console, memory, probes, seconds, sent)
        if moved or twice:
            raise ContestError(f"committed in the outage: {moved}; delivered twice: {twice}")
    console.print(f"all {total:,} events delivered, none twice; nothing was committed meanwhile")
    return 0


async def _committed(broker: Broker) -> dict[str, int]:
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    try:
        offsets = await admin.list_consumer_group_offsets(APP)
    finally:
        await admin.close()
    return {f"{tp.topic}[{tp.partition}]": found.offset for tp, found in offsets.items()}


def _resident(running: Worker, directory: Path) -> int:
    try:
        pages = int(Path(f"/proc/{running.pid}/statm").read_text().split()[1])
    except OSError as error:
        raise ContestError(f"the worker ended:\n{tail(directory / 'worker.log')}") from error
    return pages * os.sysconf("SC_PAGE_SIZE")


async def _stats(http: aiohttp.ClientSession, encharge: str) -> Any:
    async with http.get(f"{encharge}/_stand-in/stats") as answer:
        return await answer.json()


async def _requests(http: aiohttp.ClientSession, encharge: str) -> int:
    return int((await _stats(http, encharge))["requests"])


def _show(
    console: Console, memory: Sequence[int], probes: int, seconds: float, waited: int
) -> None:
    table = Table(box=box.MARKDOWN)
    for title in (
        "waited: events", "MB before", "after a third", "after two", "at the end",
        "calls meanwhile", "catch-up s",
    ):  # fmt: skip
        table.add_column(title, justify="right")
    third = len(memory) // 3
    looks = (memory[0], memory[third], memory[2 * third], memory[-1])
    table.add_row(
        f"{waited:,}",
        *(f"{look / 1e6:.0f}" for look in looks),
        f"{probes:,}",
        f"{seconds:.0f}",
    )
    console.print(table)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.outage",
        description="See what a worker does while its destination is dead.",
        epilog="Example: python -m bench.outage --minutes 1 --rate 200",
    )
    parser.add_argument("--minutes", type=float, default=30, help="default: 30")
    parser.add_argument("--rate", type=float, default=50, help="events a second; default: 50")
    return parser.parse_args(arguments)


def main() -> int:
    """Run the command. Gives the exit status."""
    return execute(run, _options(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(main())
