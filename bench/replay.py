"""The rate and the memory of ``streams replay``: ``python -m bench.replay`` (see README.md).

Against a bare producer on the same lines (:mod:`bench.replay_bare`), by turns, each in a
process and with a topic of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from statistics import median
from typing import Any, Final

import orjson
from rich.console import Console

from bench import broker as brokers
from bench.broker import PARTITIONS, Broker
from bench.command import execute
from bench.events import generate
from bench.processes import ContestError, _cpu_seconds, peak_bytes, process, tail
from bench.result import Result, parse
from tests.support.kafka import create_topic

FILES: Final = 20
"""Events are dealt to them in turn, so each covers the whole range: the worst case to sort."""
RUN_SECONDS: Final = 1_800.0
LOOK_SECONDS: Final = 0.05


def write_logs(directory: Path, events: int) -> int:
    """Write the events as NDJSON; gives how many bytes they have."""
    directory.mkdir()
    size = 0
    with ExitStack() as stack:
        files = [
            stack.enter_context((directory / f"{number:02}.ndjson").open("wb", buffering=1 << 20))
            for number in range(FILES)
        ]
        for number, (_, value) in enumerate(generate(events, PARTITIONS)):
            files[number % FILES].write(value + b"\n")
            size += len(value)
    return size


async def bare(broker: Broker, topic: str, logs: Path, directory: Path) -> Result:
    """The turn of the bare producer."""
    files = [str(logs / f"{number:02}.ndjson") for number in range(FILES)]
    arguments = ["-m", "bench.replay_bare", broker.bootstrap, topic, str(PARTITIONS), *files]
    line, _, _ = await _last_line(arguments, directory / f"{topic}.log", {})
    return parse(line)


async def replay(
    broker: Broker, topic: str, logs: Path, directory: Path, events: int
) -> tuple[dict[str, Any], int, float]:
    """The turn of ``streams replay``: its report, the most memory that it had, CPU seconds."""
    variables = {
        "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap,
        "STREAMS_SOURCE_TOPIC": topic,
        "STREAMS_DATA_DIR": str(directory / topic),
    }
    arguments = ["-m", "streams", "replay", "--json", "--temp-dir", str(directory), str(logs)]
    line, peak, cpu = await _last_line(arguments, directory / f"{topic}.log", variables)
    report: dict[str, Any] = orjson.loads(line)
    if report["produced"] != events:
        raise ContestError(f"of {events} events only {report['produced']} were produced")
    return report, peak, cpu


async def _last_line(
    arguments: list[str], log: Path, environment: dict[str, str]
) -> tuple[bytes, int, float]:
    async with process(arguments, log, environment) as child, asyncio.timeout(RUN_SECONDS):
        assert child.stdout is not None
        reading = asyncio.ensure_future(child.stdout.readline())
        peak, cpu = 0, 0.0
        while not reading.done():
            peak = max(peak, peak_bytes(child.pid))
            # Once it is gone nobody knows: nan is not more than anything.
            cpu = max(cpu, _cpu_seconds(child.pid))
            await asyncio.wait({reading}, timeout=LOOK_SECONDS)
        if not reading.result():
            raise ContestError(f"{' '.join(arguments)} reported nothing:\n{tail(log)}")
        return reading.result(), peak, cpu


async def run(options: argparse.Namespace, console: Console) -> int:
    """Measure and print. Gives the exit status."""
    ratios: list[float] = []
    producing: list[float] = []
    peaks: list[int] = []
    async with AsyncExitStack() as stack:
        temporary = tempfile.TemporaryDirectory(prefix="streams-bench-", ignore_cleanup_errors=True)
        directory = Path(stack.enter_context(temporary))
        broker = await stack.enter_async_context(brokers.running(options.broker))
        started = time.monotonic()
        size = write_logs(directory / "logs", options.events)
        console.print(
            f"{broker.name}; {options.events:,} events of {size / options.events:.0f} bytes in "
            f"{FILES} files, written in {time.monotonic() - started:.0f} s; {PARTITIONS} partitions"
        )
        logs = directory / "logs"
        for number in range(1, options.rounds + 1):
            topic = f"bare-{number}"
            await create_topic(broker.bootstrap, topic, PARTITIONS)
            alone = await bare(broker, topic, logs, directory)
            await brokers.forget(broker, topic)
            console.print(
                f"round {number} bare    {alone.rate:10,.0f} events/s"
                f"  (CPU {alone.cpu_micros:.1f} us/event)"
            )
            topic = f"replay-{number}"
            await create_topic(broker.bootstrap, topic, PARTITIONS)
            report, peak, cpu = await replay(broker, topic, logs, directory, options.events)
            await brokers.forget(broker, topic)
            whole, last = report["seconds"], report["secondsProducing"]
            rate = options.events / whole
            console.print(
                f"round {number} replay  {rate:10,.0f} events/s"
                f"  (CPU {cpu / options.events * 1e6:.1f} us/event)  of which reading "
                f"{report['secondsReading']:.1f} s, producing {last:.1f} s "
                f"({options.events / last:,.0f} events/s); at most {peak >> 20} MB"
            )
            ratios.append(rate / alone.rate)
            producing.append(options.events / last / alone.rate)
            peaks.append(peak)
    console.print(
        f"replay / bare: {median(ratios):.2f} ({min(ratios):.2f}..{max(ratios):.2f}) with "
        f"reading, {median(producing):.2f} ({min(producing):.2f}..{max(producing):.2f}) of "
        f"producing alone; memory at most {max(peaks) >> 20} MB"
    )
    return 0


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.replay",
        description="Measure streams replay against a bare producer: rate and memory.",
        epilog="Example: python -m bench.replay --rounds 1 --events 500000",
    )
    parser.add_argument("--rounds", type=int, default=1, help="default: 1")
    parser.add_argument("--events", type=int, default=5_000_000, help="default: 5000000")
    parser.add_argument("--broker", choices=("kafka", "embedded"), default="kafka")
    return parser.parse_args(arguments)


def main() -> int:
    """Run the command. Gives the exit status."""
    return execute(run, _options(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(main())
