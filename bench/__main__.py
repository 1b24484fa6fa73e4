"""The command: ``python -m bench``."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console

from bench import broker as brokers
from bench import quix
from bench.broker import PARTITIONS, Broker
from bench.command import execute
from bench.processes import CONCURRENCY, KEY, reset, run_module, run_worker, stand_in
from bench.result import Result
from bench.table import show

TOPIC: Final = "bench"
HTTP_TOPIC: Final = "bench-http"
RAW_PASSES: Final = 5
"""How often the client alone reads the topic: once is over too soon."""
FAUST_SHARE: Final = 6
"""Stock Faust gets one of so many events: enough for the same time."""
HTTP_SHARE: Final = 16
"""The contestants that make calls get one of so many events."""

CONTESTANTS: Final = {
    "raw": "aiokafka getmany + orjson",
    "faust": "stock Faust, no-op agent",
    "quix": "Quix Streams, no-op",
    "pipeline": "streams worker, dry run",
    "http": "streams worker, calls",
    "posts": "its calls, nothing else",
}


@dataclass(frozen=True, slots=True)
class Contest:
    """Where a round takes place."""

    broker: Broker
    stand_in: str
    directory: Path
    events: int

    async def run(self, name: str, number: int) -> Result:
        """One contestant's turn in round ``number``."""
        group = f"{name}-{number}"
        directory = self.directory / group
        directory.mkdir()
        turns: dict[str, Callable[[str, Path], Awaitable[Result]]] = {
            "raw": self._raw,
            "faust": self._faust,
            "quix": self._quix,
            "pipeline": self._pipeline,
            "http": self._http,
            "posts": self._posts,
        }
        return await turns[name](group, directory)

    async def _raw(self, group: str, directory: Path) -> Result:
        arguments = [self.broker.bootstrap, TOPIC, group, str(self.events), str(RAW_PASSES)]
        return await run_module("raw", arguments, directory)

    async def _faust(self, group: str, directory: Path) -> Result:
        share = max(self.events // FAUST_SHARE, 1)
        arguments = [self.broker.bootstrap, TOPIC, group, str(share), str(directory)]
        return await run_module("faust_noop", arguments, directory)

    async def _quix(self, group: str, directory: Path) -> Result:
        arguments = [self.broker.bootstrap, TOPIC, group, str(self.events), str(directory)]
        return await run_module("quix_noop", arguments, directory, await quix.interpreter())

    async def _pipeline(self, group: str, directory: Path) -> Result:
        settings = {"STREAMS_SOURCE_TOPIC": TOPIC, "STREAMS_DRY_RUN": "true"}
        return await self._worker(group, self.events, settings, directory)

    async def _http(self, group: str, directory: Path) -> Result:
        await reset(self.stand_in)
        settings = {
            "STREAMS_SOURCE_TOPIC": HTTP_TOPIC,
            "ENCHARGE_API_URL": self.stand_in,
            "ENCHARGE_INGEST_URL": f"{self.stand_in}/v1",
        }
        return await self._worker(group, http_events(self.events), settings, directory)

    async def _worker(
        self, group: str, events: int, settings: dict[str, str], directory: Path
    ) -> Result:
        settings |= {
            "KAFKA_BOOTSTRAP_SERVERS": self.broker.bootstrap,
            "STREAMS_APP_ID": group,
            "STREAMS_PARTITIONS": str(PARTITIONS),
            "STREAMS_SESSION_SECONDS": str(self.broker.session_seconds),
        }
        try:
            return await run_worker(events, settings, directory)
        finally:
            await brokers.forget(self.broker, f"{group}-")

    async def _posts(self, group: str, directory: Path) -> Result:  # noqa: ARG002
        await reset(self.stand_in)
        count, url = str(http_events(self.events)), f"{self.stand_in}/v1"
        arguments = [self.broker.bootstrap, HTTP_TOPIC, count, url, KEY, str(CONCURRENCY)]
        return await run_module("posts", arguments, directory)


def http_events(events: int) -> int:
    """How many events are called for."""
    return max(events // HTTP_SHARE, 2)


async def run(options: argparse.Namespace, console: Console) -> int:
    """Measure and print. Gives the exit status."""
    deadline = time.monotonic() + options.minutes * 60
    rounds: dict[str, list[Result]] = {name: [] for name in CONTESTANTS if name in options.only}
    async with AsyncExitStack() as stack:
        temporary = tempfile.TemporaryDirectory(prefix="streams-bench-", ignore_cleanup_errors=True)
        directory = Path(stack.enter_context(temporary))
        broker = await stack.enter_async_context(brokers.running(options.broker))
        size = await brokers.fill(broker, TOPIC, options.events)
        await brokers.fill(broker, HTTP_TOPIC, http_events(options.events))
        address = await stack.enter_async_context(stand_in(directory))
        console.print(
            f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}, "
            f"{broker.name}; {options.events:,} events of {size / options.events:.0f} bytes, "
            f"{PARTITIONS} partitions"
        )
        contest = Contest(broker, address, directory, options.events)
        longest = 0.0
        for number in range(1, options.rounds + 1):
            started = time.monotonic()
            if started + longest > deadline:
                console.print(f"no time for round {number} of {options.rounds} (--minutes)")
                break
            for name, results in rounds.items():
                result = await contest.run(name, number)
                results.append(result)
                console.print(
                    f"round {number} {name:9} {result.rate:10,.0f} events/s"
                    f"  ({result.events:,} in {result.seconds:.1f} s,"
                    f" CPU {result.cpu_micros:.0f} us/event)"
                )
            longest = max(longest, time.monotonic() - started)
    show(console, rounds, CONTESTANTS)
    return 0


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure the pipeline against its parts, as ratios (bench/README.md).",
        epilog="Example: python -m bench --rounds 1 --only raw,pipeline",
    )
    parser.add_argument("--rounds", type=_positive, default=3, help="default: 3")
    parser.add_argument(
        "--events",
        type=_positive,
        default=240_000,
        help=f"events on the topic, default: 240000. Faust reads 1 of {FAUST_SHARE},"
        f" 1 of {HTTP_SHARE} is called for",
    )
    parser.add_argument(
        "--only",
        type=_names,
        default=list(CONTESTANTS),
        help=f"comma-separated, of: {', '.join(CONTESTANTS)}",
    )
    parser.add_argument(
        "--broker",
        choices=("kafka", "embedded"),
        default="kafka",
        help="Apache Kafka (default), or the embedded broker for a quick look",
    )
    parser.add_argument(
        "--minutes", type=float, default=8.0, help="start no round that would end later; default: 8"
    )
    return parser.parse_args(arguments)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _names(text: str) -> list[str]:
    names = text.split(",")
    for name in names:
        if name not in CONTESTANTS:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(CONTESTANTS)}")
    return names


def main() -> int:
    """Run the command. Gives the exit status."""
    return execute(run, _options(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(main())
