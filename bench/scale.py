"""The command: ``python -m bench.scale``. What a second worker adds.

One worker, then two in one group, get the same events, put on an empty topic when all are
ready. Where workers and broker share a few cores the clock says more about the cores than about
the workers; so the workers' processor time is compared, which leaves the broker's out.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median
from typing import Final

from rich import box
from rich.console import Console
from rich.table import Table

from bench import broker as brokers
from bench.broker import PARTITIONS, Broker
from bench.command import execute
from bench.processes import ContestError, until_settled, worker
from bench.result import Result
from tests.support.kafka import create_topic

CONTESTANTS: Final = {"one": 1, "two": 2}
SETTLING_SECONDS: Final = 8.0
"""For the group to be of one mind who has which partitions."""


async def run(options: argparse.Namespace, console: Console) -> int:
    """Measure and print. Gives the exit status."""
    rounds: dict[str, list[Result]] = {name: [] for name in CONTESTANTS}
    async with AsyncExitStack() as stack:
        temporary = tempfile.TemporaryDirectory(prefix="streams-bench-", ignore_cleanup_errors=True)
        directory = Path(stack.enter_context(temporary))
        broker = await stack.enter_async_context(brokers.running("kafka"))
        console.print(
            f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}, "
            f"{broker.name}; {options.events:,} events, {PARTITIONS} partitions"
        )
        for number in range(1, options.rounds + 1):
            for name, results in rounds.items():
                result = await _turn(broker, name, number, options.events, directory)
                results.append(result)
                console.print(
                    f"round {number} {name:4} {result.rate:8,.0f} events/s,"
                    f" CPU {result.cpu_micros:.0f} us/event"
                )
                await brokers.forget(broker, f"{name}-{number}")
    _show(console, rounds)
    return 0


async def _turn(broker: Broker, name: str, number: int, events: int, directory: Path) -> Result:
    group = f"{name}-{number}"
    topic = f"{group}-source"
    await create_topic(broker.bootstrap, topic, PARTITIONS)
    settings = {
        "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap,
        "STREAMS_SOURCE_TOPIC": topic,
        "STREAMS_APP_ID": group,
        "STREAMS_PARTITIONS": str(PARTITIONS),
        "STREAMS_SESSION_SECONDS": str(broker.session_seconds),
        "STREAMS_DRY_RUN": "true",
    }
    async with AsyncExitStack() as stack:
        workers = []
        for place in range(CONTESTANTS[name]):
            folder = directory / f"{group}-{place}"
            folder.mkdir()
            workers.append(await stack.enter_async_context(worker(settings, folder)))
        await asyncio.sleep(SETTLING_SECONDS)
        settled = asyncio.create_task(until_settled(workers, events))
        await brokers.fill(broker, topic, events)
        first, last = await settled
        idle = [one for one in workers if await one.delivered() < events / len(workers) / 2]
        if idle:
            raise ContestError(f"{len(idle)} of {len(workers)} workers had too little to do")
    return Result(last.settled - first.settled, last.at - first.at, last.cpu - first.cpu)


def _show(console: Console, rounds: dict[str, list[Result]]) -> None:
    table = Table(box=box.MARKDOWN)
    for title in ("workers", "events/s", "CPU us/event, all workers"):
        table.add_column(title, justify="left" if title == "workers" else "right")
    for name, results in rounds.items():
        table.add_row(
            name,
            f"{median(result.rate for result in results):,.0f}",
            f"{median(result.cpu_micros for result in results):.1f}",
        )
    console.print(table)
    pairs = list(zip(rounds["one"], rounds["two"], strict=True))
    by_cpu = [2 * one.cpu_micros / two.cpu_micros for one, two in pairs]
    by_clock = [two.rate / one.rate for one, two in pairs]
    console.print(
        f"two workers, each with a core: {median(by_cpu):.2f} times one"
        f" ({min(by_cpu):.2f}..{max(by_cpu):.2f}), from processor time; by the clock, sharing"
        f" the cores with the broker: {median(by_clock):.2f}"
        f" ({min(by_clock):.2f}..{max(by_clock):.2f})"
    )


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.scale",
        description="Measure what a second worker adds.",
        epilog="Example: python -m bench.scale --rounds 1 --events 60000",
    )
    parser.add_argument("--rounds", type=int, default=3, help="default: 3")
    parser.add_argument("--events", type=int, default=240_000, help="default: 240000")
    return parser.parse_args(arguments)


def main() -> int:
    """Run the command. Gives the exit status."""
    return execute(run, _options(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(main())
