"""The command: ``python -m bench.recovery``. How fast tables come back from their changelogs."""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median
from typing import Final

from aiokafka import AIOKafkaProducer
from rich import box
from rich.console import Console
from rich.table import Table

from bench import broker as brokers
from bench.broker import PARTITIONS, Broker
from bench.command import execute
from bench.processes import run_module
from bench.result import Result
from tests.support.kafka import create_topic

SOURCE: Final = "bench-source"
STOCK_SHARE: Final = 20
"""Stock Faust gets one of so many keys, and a changelog of its own."""

CONTESTANTS: Final = {
    "stock-memory": "stock Faust, in memory",
    "chunk-memory": "the engine, in memory",
    "stock-rocksdb": "stock Faust, RocksDB",
    "chunk-rocksdb": "the engine, RocksDB",
}


async def run(options: argparse.Namespace, console: Console) -> int:
    """Measure and print. Gives the exit status."""
    deadline = time.monotonic() + options.minutes * 60
    few = options.stock_keys or max(options.keys // STOCK_SHARE, 1)
    rounds: dict[str, list[Result]] = {name: [] for name in CONTESTANTS}
    async with AsyncExitStack() as stack:
        temporary = tempfile.TemporaryDirectory(prefix="streams-bench-", ignore_cleanup_errors=True)
        directory = Path(stack.enter_context(temporary))
        broker = await stack.enter_async_context(brokers.running(options.broker))
        await create_topic(broker.bootstrap, SOURCE, PARTITIONS)
        changelogs = {"stock": await _fill(broker, few), "chunk": await _fill(broker, options.keys)}
        console.print(
            f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}, "
            f"{broker.name}; {options.keys:,} keys for the engine, {few:,} for stock Faust, "
            f"{PARTITIONS} partitions"
        )
        longest = 0.0
        for number in range(1, options.rounds + 1):
            started = time.monotonic()
            if started + longest > deadline:
                console.print(f"no time for round {number} of {options.rounds} (--minutes)")
                break
            for name, results in rounds.items():
                kind = name.partition("-")[0]
                group = f"{name}-{number}"
                (directory / group).mkdir()
                arguments = [name, broker.bootstrap, SOURCE, changelogs[kind], group]
                arguments += [str(few if kind == "stock" else options.keys)]
                arguments += [str(directory / group)]
                result = await run_module("recovered", arguments, directory)
                results.append(result)
                console.print(
                    f"round {number} {name:13} {result.rate:10,.0f} keys/s"
                    f"  ({result.events:,} in {result.seconds:.1f} s,"
                    f" CPU {result.cpu_micros:.1f} us/key)"
                )
            longest = max(longest, time.monotonic() - started)
    _show(console, rounds)
    return 0


async def _fill(broker: Broker, keys: int) -> str:
    """A compacted changelog of so many keys, each about 110 bytes with its value."""
    topic = f"bench-{keys}-keys-changelog"
    await create_topic(broker.bootstrap, topic, PARTITIONS, config={"cleanup.policy": "compact"})
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap)
    await producer.start()
    sent: list[asyncio.Future[object]] = []
    try:
        for partition in range(PARTITIONS):
            batch = producer.create_batch()
            for number in range(partition, keys, PARTITIONS):
                key, value = (
                    b"key-%032x" % number,
                    b'{"u":"user-%016x","e":"%032x@a.io"}'
                    % (
                        number,
                        number,
                    ),
                )
                if batch.append(key=key, value=value, timestamp=None) is None:
                    sent.append(await producer.send_batch(batch, topic, partition=partition))
                    batch = producer.create_batch()
                    batch.append(key=key, value=value, timestamp=None)
            if batch.record_count():
                sent.append(await producer.send_batch(batch, topic, partition=partition))
        await asyncio.gather(*sent)
    finally:
        await producer.stop()
    return topic


def _show(console: Console, rounds: Mapping[str, Sequence[Result]]) -> None:
    table = Table(box=box.MARKDOWN)
    for title in ("contestant", "keys/s", "(min..max)", "of stock", "by CPU time", "CPU us/key"):
        table.add_column(title, justify="left" if title == "contestant" else "right")
    for name, results in rounds.items():
        if results:
            rates = [result.rate for result in results]
            kind, _, store = name.partition("-")
            # Within a round, as what is measured minutes apart has drifted.
            pairs = list(zip(results, rounds[f"stock-{store}"], strict=False))
            is_stock = kind == "stock"
            table.add_row(
                f"{name}: {CONTESTANTS[name]}",
                f"{median(rates):,.0f}",
                f"({min(rates):,.0f}..{max(rates):,.0f})",
                "1" if is_stock else f"{median(ours.rate / base.rate for ours, base in pairs):.1f}",
                "1"
                if is_stock
                else f"{median(base.cpu_micros / ours.cpu_micros for ours, base in pairs):.1f}",
                f"{median(result.cpu_micros for result in results):.1f}",
            )
    console.print(table)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.recovery",
        description="Measure table recovery against stock Faust's, in keys per second.",
        epilog="Example: python -m bench.recovery --rounds 1 --keys 100000",
    )
    parser.add_argument("--rounds", type=int, default=3, help="default: 3")
    parser.add_argument("--keys", type=int, default=1_000_000, help="default: 1000000")
    parser.add_argument(
        "--stock-keys", type=int, help=f"for stock Faust, default: 1 of {STOCK_SHARE} of --keys"
    )
    parser.add_argument(
        "--broker",
        choices=("kafka", "embedded"),
        default="kafka",
        help="Apache Kafka (default), or the embedded broker, on which stock Faust may miss keys",
    )
    parser.add_argument(
        "--minutes",
        type=float,
        default=10.0,
        help="start no round that would end later; default: 10",
    )
    return parser.parse_args(arguments)


def main() -> int:
    """Run the command. Gives the exit status."""
    return execute(run, _options(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(main())
