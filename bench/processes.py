"""The processes of a run: started here, ended here, each by its own id."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp

from bench.result import Result, parse
from streams.dev.broker import tied_to_parent

KEY: Final = "bench-key"
CONCURRENCY: Final = 64
START_SECONDS: Final = 60.0
RUN_SECONDS: Final = 150.0
"""The longest that a contestant may take in one round; a usual one takes ten seconds."""
POLL_SECONDS: Final = 0.2
IDLE_SECONDS: Final = 3.0
IDLE_SHARE: Final = 0.1
"""Of a core: what a worker needs to wait for events, and to be looked at."""

_OURS: Final = ("STREAMS_", "ENCHARGE_", "KAFKA_")
_OUTCOME: Final = re.compile(
    rb"^streams_events_(?:delivered|coalesced|filtered|duplicate|dead_lettered)_total\S* (\S+)$",
    re.MULTILINE,
)
_ADDRESS: Final = re.compile(r'"web": "(http[^"]+)"')
_DELIVERED: Final = re.compile(rb"^streams_events_delivered_total\S* (\S+)$", re.MULTILINE)


class ContestError(Exception):
    """A contestant did not do what it is measured for. The text says what it wrote."""


@asynccontextmanager
async def process(
    arguments: list[str],
    log: Path,
    environment: Mapping[str, str] | None = None,
    python: str = sys.executable,
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run ``python ARGUMENTS``; it is gone at the end of the block, however that ends."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(_OURS)}
    with log.open("ab") as errors:
        started = await asyncio.create_subprocess_exec(
            *tied_to_parent([python, *arguments]),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            env={**inherited, **(environment or {})},
        )
    try:
        yield started
    finally:
        # What it holds is thrown away: nothing is worth an orderly end.
        with suppress(ProcessLookupError):
            started.kill()
        await started.wait()


async def run_module(
    name: str, arguments: list[str], directory: Path, python: str = sys.executable
) -> Result:
    """Run a contestant that counts for itself, and take its report."""
    log = directory / f"{name}.log"
    async with process(["-m", f"bench.{name}", *arguments], log, python=python) as child:
        assert child.stdout is not None
        try:
            async with asyncio.timeout(RUN_SECONDS):
                line = await child.stdout.readline()
        except TimeoutError:
            line = b""
        if not line:
            raise ContestError(f"bench.{name} reported nothing:\n{tail(log)}")
        return parse(line)


def peak_bytes(pid: int) -> int:
    """The most memory that a process had resident, since it began or :func:`forget_peak`.

    0 once it is gone.
    """
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def forget_peak(pid: int) -> None:
    """From here on :func:`peak_bytes` is of what comes (``proc(5)``, ``clear_refs``)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


# -- the stand-in for Encharge


@asynccontextmanager
async def stand_in(directory: Path) -> AsyncIterator[str]:
    """An Encharge stand-in in its own process; gives its address."""
    log = directory / "stand-in.log"
    arguments = ["-m", "streams", "dev", "encharge", "--port", "0", "--key", KEY]
    async with process(arguments, log) as child:
        assert child.stdout is not None
        async with asyncio.timeout(START_SECONDS):
            line = await child.stdout.readline()
        address = re.search(r"ENCHARGE_API_URL=(\S+)", line.decode())
        if address is None:
            raise ContestError(f"the stand-in did not start:\n{tail(log)}")
        yield address[1]


async def reset(address: str) -> None:
    """Have the stand-in forget, so that every contestant finds it as the first one did."""
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{address}/_stand-in/reset") as answer,
    ):
        answer.raise_for_status()


# -- `streams worker`


@dataclass(frozen=True, slots=True)
class Sample:
    """A look at a worker: when, processor time so far, events settled so far."""

    at: float
    cpu: float
    settled: int


@dataclass(frozen=True, slots=True)
class Worker:
    """A ``streams worker`` that is ready."""

    pid: int
    web: str
    start_seconds: float
    """From the start of its process until it was ready."""
    _http: aiohttp.ClientSession

    async def sample(self) -> Sample:
        """Look at it now."""
        settled = _sum(_OUTCOME, await self._metrics())
        return Sample(time.monotonic(), _cpu_seconds(self.pid), settled)

    def resident_bytes(self) -> int:
        """The most memory that it had so far; 0 where the system does not tell."""
        try:
            status = Path(f"/proc/{self.pid}/status").read_text()
        except OSError:
            return 0
        return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) * 1024

    async def delivered(self) -> int:
        """Events delivered so far: all of them, or something else was measured."""
        return _sum(_DELIVERED, await self._metrics())

    async def _metrics(self) -> bytes:
        async with self._http.get(f"{self.web}/metrics") as answer:
            return await answer.read()


@asynccontextmanager
async def worker(
    settings: Mapping[str, str], directory: Path, *, seconds: float = RUN_SECONDS
) -> AsyncIterator[Worker]:
    """Run ``streams worker``; it is ready within ``seconds``, and gone at the end of the block."""
    log = directory / "worker.log"
    environment = {
        "ENCHARGE_API_KEY": KEY,
        "STREAMS_WEB_HOST": "127.0.0.1",
        "STREAMS_WEB_PORT": "0",
        "STREAMS_DATA_DIR": str(directory / "data"),
        "STREAMS_LOG_FORMAT": "json",
        # One call for each event, and no second's wait for the last window at the end.
        "STREAMS_COALESCE": "false",
        "STREAMS_BATCH_MAX_SECONDS": "0.2",
        "STREAMS_MAX_CONCURRENCY": str(CONCURRENCY),
        **settings,
    }
    started = time.monotonic()
    async with (
        process(["-m", "streams", "worker"], log, environment) as child,
        aiohttp.ClientSession() as http,
    ):
        try:
            async with asyncio.timeout(seconds):
                web = await _web_address(child, log)
                await _until_ready(http, web)
            yield Worker(child.pid, web, time.monotonic() - started, http)
        except (TimeoutError, aiohttp.ClientError) as error:
            raise ContestError(f"the worker did not finish: {error!r}\n{tail(log)}") from error


async def run_worker(
    events: int, settings: Mapping[str, str], directory: Path, *, seconds: float = RUN_SECONDS
) -> Result:
    """Run ``streams worker`` until it has settled ``events`` events, within ``seconds``.

    The clock runs from the moment when the worker is ready, which is when its first stage
    begins: that stage must not get a start over the others. It stops with the first look at
    the metrics that finds all events settled. What is looked at later than it happened is
    the price of looking from outside: at most ``POLL_SECONDS`` of a run of several seconds.
    """
    async with worker(settings, directory, seconds=seconds) as running:
        first, last = await until_settled([running], events, seconds)
        return Result(
            last.settled - first.settled,
            last.at - first.at,
            last.cpu - first.cpu,
            start_seconds=running.start_seconds,
            resident_bytes=running.resident_bytes(),
        )


async def until_idle(running: Worker, seconds: float = RUN_SECONDS) -> None:
    """Wait until a worker without events has no work of its own left either."""
    async with asyncio.timeout(seconds):
        before = await running.sample()
        while True:
            await asyncio.sleep(IDLE_SECONDS)
            now = await running.sample()
            if now.cpu - before.cpu < IDLE_SHARE * (now.at - before.at):
                return
            before = now


async def until_settled(
    workers: Sequence[Worker], events: int, seconds: float = RUN_SECONDS
) -> tuple[Sample, Sample]:
    """Wait until workers have delivered ``events`` events; a first and a last look at them all.

    Raises ``ContestError`` when they settled one in another way.
    """
    async with asyncio.timeout(seconds):
        first = last = await _together(workers)
        while last.settled < events:
            await asyncio.sleep(POLL_SECONDS)
            last = await _together(workers)
    delivered = sum([await one.delivered() for one in workers])
    if delivered != events:
        # A pipeline that drops or refuses events is fast, but not what is measured here.
        raise ContestError(f"of {events} events only {delivered} were delivered")
    return first, last


async def _together(workers: Sequence[Worker]) -> Sample:
    looks = [await one.sample() for one in workers]
    return Sample(
        looks[-1].at, sum(look.cpu for look in looks), sum(look.settled for look in looks)
    )


def _sum(counter: re.Pattern[bytes], metrics: bytes) -> int:
    return sum(int(float(number)) for number in counter.findall(metrics))


async def _web_address(child: asyncio.subprocess.Process, log: Path) -> str:
    while child.returncode is None:
        if found := _ADDRESS.search(_text(log)):
            return found[1]
        await asyncio.sleep(POLL_SECONDS)
    raise ContestError(f"the worker did not start:\n{tail(log)}")


async def _until_ready(http: aiohttp.ClientSession, web: str) -> None:
    while True:
        async with http.get(f"{web}/readyz") as answer:
            if answer.status == 200:
                return
        await asyncio.sleep(POLL_SECONDS / 2)


def _cpu_seconds(pid: int) -> float:
    try:
        # After the name, which may hold blanks: utime and stime are fields 14 and 15.
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return float("nan")
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def tail(log: Path) -> str:
    """The end of what a process wrote."""
    return _text(log)[-3000:]


def _text(log: Path) -> str:
    return log.read_text(errors="replace")
