"""The command: ``python -m bench.latency``. How soon an event is at Encharge.

A worker with calls first gets as many events as it can take, which says what it can do; then
half of that, evenly, each with the time at which it was due. The stand-in says when each arrived.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Final

import aiohttp
import orjson
from aiokafka import AIOKafkaProducer
from rich import box
from rich.console import Console
from rich.table import Table

from bench import broker as brokers
from bench import events as events_module
from bench.broker import PARTITIONS, Broker
from bench.command import execute
from bench.processes import reset, stand_in, until_settled, worker
from bench.result import Result
from tests.support.kafka import create_topic

TICK_SECONDS: Final = 0.005
PAGE: Final = 5000
MORE_SECONDS: Final = 0.1
"""What an event may take besides its window, at the 99th percentile."""


async def run(options: argparse.Namespace, console: Console) -> int:
    """Measure and print. Gives the exit status."""
    shares: list[tuple[float, list[float]]] = []
    with tempfile.TemporaryDirectory(prefix="streams-bench-", ignore_cleanup_errors=True) as made:
        directory = Path(made)
        async with brokers.running("kafka") as broker, stand_in(directory) as encharge:
            console.print(
                f"{os.cpu_count()} cores ({platform.machine()}), Python "
                f"{platform.python_version()}, {broker.name}; windows of {options.window:g} s"
            )
            for number in range(1, options.rounds + 1):
                settings = _settings(broker, encharge, f"latency-{number}", options.window)
                await reset(encharge)
                place = directory / str(number)
                place.mkdir()
                full, found = await _turn(broker, encharge, settings, options, place)
                shares.append((full.rate, found))
                console.print(f"round {number}: {full.rate:,.0f} events/s, {_told(found)}")
    _show(console, options.window, shares)
    return 0


def _settings(broker: Broker, encharge: str, name: str, window: float) -> dict[str, str]:
    return {
        "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap,
        "STREAMS_APP_ID": name,
        "STREAMS_SOURCE_TOPIC": f"{name}-source",
        "STREAMS_PARTITIONS": str(PARTITIONS),
        "STREAMS_BATCH_MAX_SECONDS": str(window),
        "ENCHARGE_API_URL": encharge,
        "ENCHARGE_INGEST_URL": f"{encharge}/v1",
    }


async def _turn(
    broker: Broker,
    encharge: str,
    settings: Mapping[str, str],
    options: argparse.Namespace,
    directory: Path,
) -> tuple[Result, list[float]]:
    topic = settings["STREAMS_SOURCE_TOPIC"]
    await create_topic(broker.bootstrap, topic, PARTITIONS)
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap)
    await producer.start()
    try:
        async with worker(settings, directory) as running:
            events = list(events_module.generate(options.events, PARTITIONS, seed=1))
            waiting = asyncio.create_task(until_settled([running], len(events)))
            await asyncio.gather(
                *[await producer.send(topic, value, partition=part) for part, value in events]
            )
            first, last = await waiting
            full = Result(last.settled - first.settled, last.at - first.at, last.cpu - first.cpu)
            rate = full.rate / 2
            paced = list(events_module.generate(int(rate * options.seconds), PARTITIONS, seed=2))
            settled = asyncio.create_task(until_settled([running], len(events) + len(paced)))
            due = await _pace(producer, topic, paced, rate)
            await settled
    finally:
        await producer.stop()
    arrived = await _arrivals(encharge)
    return full, sorted(arrived[name] - at for name, at in due.items())


async def _pace(
    producer: AIOKafkaProducer, topic: str, events: Sequence[tuple[int, bytes]], rate: float
) -> dict[str, float]:
    """Produce at a fixed rate; gives when each messageId was due, in seconds since 1970."""
    due: dict[str, float] = {}
    started = time.time()
    while len(due) < len(events):
        until = min(int((time.time() - started) * rate), len(events))
        for number in range(len(due), until):
            partition, value = events[number]
            due[orjson.loads(value)["messageId"]] = started + number / rate
            await producer.send(topic, value, partition=partition)
        await asyncio.sleep(TICK_SECONDS)
    return due


async def _arrivals(encharge: str) -> dict[str, float]:
    """When each messageId first came, in seconds since 1970."""
    found: dict[str, float] = {}
    since = 0
    async with aiohttp.ClientSession() as http:
        while True:
            parameters = {"since": str(since), "limit": str(PAGE)}
            async with http.get(f"{encharge}/_stand-in/requests", params=parameters) as answer:
                page: Any = await answer.json()
            for request in page["requests"]:
                at = datetime.fromisoformat(request["receivedAt"]).timestamp()
                found.setdefault(request["messageId"], at)
            if not page["requests"]:
                return found
            since = page["next"]


def _told(found: Sequence[float]) -> str:
    cuts = quantiles(found, n=100)
    return f"at half of it p50 {cuts[49]:.3f} s, p99 {cuts[98]:.3f} s, at most {found[-1]:.3f} s"


def _show(console: Console, window: float, shares: Sequence[tuple[float, list[float]]]) -> None:
    table = Table(box=box.MARKDOWN)
    for title in ("full: events/s", "half: p50 s", "p99 s", "p99 beyond the window s"):
        table.add_column(title, justify="right")
    p50 = median(quantiles(found, n=100)[49] for _, found in shares)
    p99 = median(quantiles(found, n=100)[98] for _, found in shares)
    table.add_row(
        f"{median(rate for rate, _ in shares):,.0f}",
        f"{p50:.3f}",
        f"{p99:.3f}",
        f"{p99 - window:.3f} (up to {MORE_SECONDS:g} is meant)",
    )
    console.print(table)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.latency",
        description="Measure how soon an event is at the destination, at half load.",
        epilog="Example: python -m bench.latency --rounds 1 --seconds 10",
    )
    parser.add_argument("--rounds", type=int, default=3, help="default: 3")
    parser.add_argument("--events", type=int, default=10_000, help="at full load; default: 10000")
    parser.add_argument("--seconds", type=float, default=20, help="at half load; default: 20")
    parser.add_argument("--window", type=float, default=1.0, help="seconds; default: 1, as shipped")
    return parser.parse_args(arguments)


def main() -> int:
    """Run the command. Gives the exit status."""
    return execute(run, _options(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(main())
