"""How fast the gateway is, and what it does when too much comes: ``python -m bench.gateway``.

A gateway in its own process, Kafka in another, and this one, which makes the requests over
plain connections. Single calls (track) and batches of 100, of the events of bench/events.py:

    full    as much as it takes, over a fixed number of connections
    half    half of that, at fixed times: the latency is from the time at which a request was due
    over    three times that, at fixed times, whether or not answers come
    after   half again: it must be as before
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import os
import platform
import re
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import orjson
import uvloop
from rich.console import Console

from bench import broker as brokers
from bench.broker import PARTITIONS, Broker
from bench.command import execute
from bench.events import generate
from bench.processes import (
    START_SECONDS,
    ContestError,
    _cpu_seconds,
    forget_peak,
    peak_bytes,
    process,
    tail,
)
from tests.support.kafka import create_topic

KEY: Final = "bench-key"
TOPIC: Final = "bench-gateway"
BATCH: Final = 100
BODIES: Final = 400
"""Different requests, sent over and over."""
WIDTH: Final = {"single": 64, "batch": 16}
"""Connections of `full`."""
MOST: Final = 1_500
"""Connections of the others; what is due and finds none free waits here, as in a client."""


@dataclass(slots=True)
class Run:
    """What was answered, and how fast."""

    seconds: float = 0.0
    cpu: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    """Of what was stored, in seconds."""
    shed: list[float] = field(default_factory=list)
    """Of what was refused."""
    due: int = 0
    peak_bytes: int = 0

    def percentile(self, percent: float) -> float:
        """Of the latencies, in milliseconds."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] * 1000


class Gateway:
    """The process under test, and the ways to load it."""

    def __init__(self, url: str, pid: int) -> None:
        self._host, _, port = url.removeprefix("http://").partition(":")
        self._port = int(port)
        self._pid = pid

    async def full(self, requests: list[bytes], width: int, seconds: float) -> Run:
        """Every connection sends as soon as it has its answer."""
        run = Run()
        end = time.perf_counter() + seconds

        async def keep_sending(first: int) -> None:
            line = await self._connect()
            number = first
            while (started := time.perf_counter()) < end:
                status = await line.ask(requests[number % len(requests)])
                run.statuses[status] += 1
                run.latencies.append(time.perf_counter() - started)
                number += width
            line.close()

        async with self._measured(run):
            await asyncio.gather(*(keep_sending(n) for n in range(width)))
        return run

    async def paced(self, requests: list[bytes], rate: float, seconds: float) -> Run:
        """A request is due every 1/rate seconds, whatever became of those before."""
        run = Run()
        free: deque[_Line] = deque()
        waiting: deque[tuple[bytes, float]] = deque()
        lines = 0
        tasks: set[asyncio.Task[None]] = set()

        async def work(line: _Line | None, request: bytes, due: float) -> None:
            line = line or await self._connect()
            while True:
                status = await line.ask(request)
                run.statuses[status] += 1
                took = time.perf_counter() - due
                (run.latencies if status == 200 else run.shed).append(took)
                if not waiting:
                    free.append(line)
                    return
                request, due = waiting.popleft()

        async with self._measured(run):
            started = time.perf_counter()
            while (elapsed := time.perf_counter() - started) < seconds:
                while run.due < elapsed * rate:
                    request = requests[run.due % len(requests)]
                    due = started + run.due / rate
                    run.due += 1
                    if free or lines < MOST:
                        line = free.pop() if free else None
                        lines += line is None
                        task = asyncio.ensure_future(work(line, request, due))
                        tasks.add(task)
                        task.add_done_callback(tasks.discard)
                    else:
                        waiting.append((request, due))
                await asyncio.sleep(0.002)
            # What is still waiting here was never asked.
            waiting.clear()
            while tasks:
                await asyncio.gather(*tasks)
        for line in free:
            line.close()
        return run

    @asynccontextmanager
    async def _measured(self, run: Run) -> AsyncIterator[None]:
        forget_peak(self._pid)
        cpu, started = _cpu_seconds(self._pid), time.perf_counter()
        yield
        run.seconds = time.perf_counter() - started
        run.cpu = _cpu_seconds(self._pid) - cpu
        run.peak_bytes = peak_bytes(self._pid)

    async def _connect(self) -> _Line:
        _, line = await asyncio.get_running_loop().create_connection(_Line, self._host, self._port)
        return line


class _Line(asyncio.Protocol):
    """A connection; asks one thing at a time."""

    def __init__(self) -> None:
        self._answer: asyncio.Future[int] | None = None
        self._data = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, found, body = self._data.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().split(b"content-length: ", 1)[1].split(b"\r\n", 1)[0])
        if len(body) >= length and self._answer is not None:
            self._data = b""
            answer, self._answer = self._answer, None
            answer.set_result(int(head[9:12]))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(0)

    async def ask(self, request: bytes) -> int:
        """Send a request; gives the status of the answer, 0 if there is none."""
        assert self._transport is not None
        if self._transport.is_closing():
            return 0
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


def _requests(kind: str) -> list[bytes]:
    each = 1 if kind == "single" else BATCH
    events = [orjson.loads(value) for _, value in generate(BODIES * each, PARTITIONS)]
    found = []
    for start in range(0, len(events), each):
        part = events[start : start + each]
        path = f"/v1/{part[0]['type']}" if kind == "single" else "/v1/batch"
        body = orjson.dumps(part[0] if kind == "single" else {"batch": part})
        key = base64.b64encode(f"{KEY}:".encode()).decode()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Basic {key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        found.append(head.encode() + body)
    return found


@asynccontextmanager
async def _gateway(broker: Broker, directory: Path) -> AsyncIterator[Gateway]:
    log = directory / "gateway.log"
    log.unlink(missing_ok=True)
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap,
        "STREAMS_SOURCE_TOPIC": TOPIC,
        "STREAMS_WRITE_KEYS": f"{KEY}:bench",
        "STREAMS_GATEWAY_HOST": "127.0.0.1",
        "STREAMS_GATEWAY_PORT": "0",
        "STREAMS_LOG_FORMAT": "json",
    }
    async with process(["-m", "streams", "gateway"], log, environment) as child:
        deadline = time.monotonic() + START_SECONDS
        while child.returncode is None and time.monotonic() < deadline:
            if found := re.search(r'"gateway": "(http[^"]+)"', log.read_text()):
                yield Gateway(found[1], child.pid)
                return
            await asyncio.sleep(0.1)
        raise ContestError(f"the gateway did not start:\n{tail(log)}")


async def run(options: argparse.Namespace, console: Console) -> int:
    """Measure and print. Gives the exit status."""
    with tempfile.TemporaryDirectory(prefix="streams-bench-") as directory:
        async with brokers.running(options.broker) as broker:
            await create_topic(broker.bootstrap, TOPIC, PARTITIONS)
            console.print(
                f"{os.cpu_count()} cores ({platform.machine()}), "
                f"Python {platform.python_version()}, {broker.name}"
            )
            for kind in options.only:
                async with _gateway(broker, Path(directory)) as gateway:
                    await _measure(gateway, kind, options.seconds, console)
    return 0


async def _measure(gateway: Gateway, kind: str, seconds: float, console: Console) -> None:
    requests, each = _requests(kind), 1 if kind == "single" else BATCH
    size = sum(map(len, requests)) // len(requests)
    console.print(f"\n{kind}: {each} events a request of {size} bytes")
    await gateway.full(requests, WIDTH[kind], 1.0)  # warm
    full = await gateway.full(requests, WIDTH[kind], seconds)
    answered = full.statuses[200] * each
    if set(full.statuses) != {200}:
        raise ContestError(f"not everything was stored: {full.statuses}")
    rate = full.statuses[200] / full.seconds
    console.print(
        f"  full   {answered / full.seconds:9,.0f} events/s, "
        f"{answered / full.cpu:9,.0f} events per second of CPU "
        f"({full.cpu / answered * 1e6:.0f} us each), p99 {full.percentile(99):.1f} ms"
    )
    for name, factor in (("half", 0.5), ("over", 3.0), ("after", 0.5)):
        run = await gateway.paced(requests, rate * factor, seconds)
        stored, shed = run.statuses[200], run.statuses[429]
        others = {s: n for s, n in run.statuses.items() if s not in (200, 429)}
        console.print(
            f"  {name:6} {run.due / seconds:9,.0f} requests/s due; "
            f"{stored / run.seconds * each:,.0f} events/s stored, "
            f"{shed / run.seconds:,.0f} requests/s answered 429"
            + (f", others {others}" if others else "")
            + f"; p50 {run.percentile(50):.1f} ms, p99 {run.percentile(99):.1f} ms; "
            f"{run.peak_bytes / 1e6:.0f} MB"
        )
        await asyncio.sleep(0.5)


def _kinds(text: str) -> list[str]:
    if unknown := set(text.split(",")) - set(WIDTH):
        raise argparse.ArgumentTypeError(f"{min(unknown)!r} is none of {', '.join(WIDTH)}")
    return text.split(",")


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.gateway",
        description="Measure streams gateway: rate, latency, memory, and what too much does.",
        epilog="Example: python -m bench.gateway --only batch --broker embedded",
    )
    parser.add_argument("--broker", choices=("kafka", "embedded"), default="kafka")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each load; default: 8")
    parser.add_argument(
        "--only", type=_kinds, default=list(WIDTH), help="single, batch, or both (default)"
    )
    return parser.parse_args(arguments)


def main() -> int:
    """Run the command. Gives the exit status."""
    uvloop.install()
    return execute(run, _options(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(main())
