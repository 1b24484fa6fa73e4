"""Everything at once on a sample log: what ``make run`` shows.

A broker, an Encharge stand-in and a worker are started, each as a user would start it; the
log that ships with the program is fed to the source topic; and what became of it is told.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from aiokafka import AIOKafkaProducer
from prometheus_client.parser import text_string_to_metric_families
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from streams.dev import encharge, sample
from streams.dev.broker import embedded_broker, tied_to_parent
from streams.errors import StreamsError
from streams.outcomes import Outcome

TOPIC = "segment-events"
PARTITIONS = 4
KEY = "demo-key"
START_SECONDS = 30
STALL_SECONDS = 30
"""The run has failed when nothing was accounted for in this time."""
ORDER = ("identify", "track", "page", "group", "alias", "screen", "invalid")
TIMELINE_ROWS = 12

Outcomes = Mapping[str, Mapping[Outcome, int]]


@dataclass(frozen=True, slots=True)
class Addresses:
    """What is up."""

    broker: str
    encharge: str
    worker: str
    token: str


class DemoError(StreamsError):
    """The demonstration did not end as it should."""


async def run(stop: asyncio.Event, *, exit_at_end: bool) -> None:
    """Run the demonstration; then wait for ``stop``, unless told otherwise or no terminal.

    Raises ``DemoError`` when something does not start or the numbers do not add up.
    """
    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = 100
    async with _everything(console) as up:
        records = sample.load()
        await _feed(up.broker, records)
        console.print(f"fed      {len(records)} records of the sample log to topic {TOPIC}")
        outcomes = await _settled(up.worker, len(records), stop, console)
        _summarise(console, outcomes)
        facts = sample.expected(records)
        _compare(outcomes, facts)
        await _show_person(console, up.encharge, facts.showcase)
        if exit_at_end or not sys.stdout.isatty() or stop.is_set():
            return
        _show_addresses(console, up)
        await stop.wait()


# -- starting


@asynccontextmanager
async def _everything(console: Console) -> AsyncIterator[Addresses]:
    async with AsyncExitStack() as stack:
        token = secrets.token_urlsafe(18)
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="streams-")))
        broker = await stack.enter_async_context(embedded_broker(topics={TOPIC: PARTITIONS}))
        console.print(f"broker   {broker} (embedded, in memory)")
        stand_in = await stack.enter_async_context(_stand_in())
        console.print(f"encharge {stand_in} (stand-in)")
        worker = await stack.enter_async_context(_worker(directory, broker, stand_in, token))
        console.print(f"worker   {worker}")
        yield Addresses(broker, stand_in, worker, token)


@asynccontextmanager
async def _stand_in() -> AsyncIterator[str]:
    address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    serving = asyncio.ensure_future(
        encharge.serve("127.0.0.1", 0, keys=frozenset({KEY}), ready=address.set_result)
    )
    try:
        yield await asyncio.wait_for(address, START_SECONDS)
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


@asynccontextmanager
async def _worker(directory: Path, broker: str, stand_in: str, token: str) -> AsyncIterator[str]:
    log_file = directory / "worker.log"
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("STREAMS_", "KAFKA_"))},
        "KAFKA_BOOTSTRAP_SERVERS": broker,
        "ENCHARGE_API_KEY": KEY,
        "ENCHARGE_WRITE_KEY": KEY,
        "ENCHARGE_API_URL": stand_in,
        "ENCHARGE_INGEST_URL": f"{stand_in}/v1",
        "STREAMS_SOURCE_TOPIC": TOPIC,
        "STREAMS_PARTITIONS": str(PARTITIONS),
        "STREAMS_DATA_DIR": str(directory),
        "STREAMS_WEB_HOST": "127.0.0.1",
        "STREAMS_WEB_PORT": "0",
        "STREAMS_WEB_TOKEN": token,
        "STREAMS_LOG_FORMAT": "json",
        # The embedded broker makes a group wait half of this before it reads.
        "STREAMS_SESSION_SECONDS": "2",
    }
    with log_file.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *tied_to_parent([sys.executable, "-m", "streams", "worker"]),
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield await _ready(process, log_file)
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), START_SECONDS)
            except TimeoutError:
                process.kill()
                await process.wait()


async def _ready(process: asyncio.subprocess.Process, log_file: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    async with httpx.AsyncClient(trust_env=False) as http:
        while process.returncode is None and time.monotonic() < deadline:
            address = _web_address(_read(log_file))
            try:
                if address and (await http.get(f"{address}/readyz")).status_code == 200:
                    return address
            except httpx.HTTPError:
                pass
            await asyncio.sleep(0.1)
    raise DemoError(f"the worker did not start: {_read(log_file)[-2000:]}")


def _read(path: Path) -> str:
    return path.read_text()


def _web_address(log: str) -> str:
    marker = '"web": "'
    return log.split(marker, 1)[1].split('"', 1)[0] if marker in log else ""


# -- feeding and watching


async def _feed(broker: str, records: list[sample.SampleRecord]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=broker, acks="all")
    await producer.start()
    try:
        for index, record in enumerate(records):
            await producer.send(
                TOPIC,
                value=record.value,
                key=record.key,
                partition=sample.partition_for(record, PARTITIONS, index=index),
            )
        await producer.flush()
    finally:
        await producer.stop()


async def _settled(worker: str, total: int, stop: asyncio.Event, console: Console) -> Outcomes:
    """Watch the worker's counters until every record has its outcome."""
    progress = Progress(
        TextColumn("worker  "), BarColumn(), MofNCompleteColumn(), console=console, transient=True
    )
    moved_at, before = time.monotonic(), -1
    async with httpx.AsyncClient(trust_env=False) as http:
        with progress:
            bar = progress.add_task("", total=total)
            while not stop.is_set():
                outcomes = _outcomes((await http.get(f"{worker}/metrics")).text)
                done = sum(sum(row.values()) for row in outcomes.values())
                progress.update(bar, completed=done)
                if done >= total:
                    if not console.is_terminal:
                        console.print(f"worker   {done} of {total}")
                    return outcomes
                if done != before:
                    moved_at, before = time.monotonic(), done
                    if not console.is_terminal:
                        console.print(f"worker   {done} of {total}")
                if time.monotonic() - moved_at > STALL_SECONDS:
                    raise DemoError(f"only {done} of {total} records have an outcome")
                await asyncio.sleep(0.5)
    raise DemoError(f"stopped when {before} of {total} records had an outcome")


def _outcomes(metrics: str) -> Outcomes:
    """Counts by action and outcome."""
    counts: dict[str, dict[Outcome, int]] = defaultdict(lambda: defaultdict(int))
    for family in text_string_to_metric_families(metrics):
        for outcome in Outcome:
            if family.name == f"streams_events_{outcome}":
                for found in family.samples:
                    counts[found.labels["action"]][outcome] += int(found.value)
    return counts


# -- telling


def _summarise(console: Console, outcomes: Outcomes) -> None:
    table = Table(title="What became of every record", title_justify="left", box=box.SIMPLE)
    table.add_column("")
    for outcome in Outcome:
        table.add_column(outcome.replace("_", "-"), justify="right")
    table.add_column("records", justify="right")
    known = [action for action in ORDER if action in outcomes]
    for action in known + sorted(outcomes.keys() - set(known)):
        row = [outcomes[action].get(outcome, 0) for outcome in Outcome]
        table.add_row(action, *(str(n) if n else "." for n in row), str(sum(row)))
    totals = [sum(row.get(outcome, 0) for row in outcomes.values()) for outcome in Outcome]
    table.add_section()
    table.add_row("all", *map(str, totals), str(sum(totals)))
    console.print()
    console.print(table)


def _compare(outcomes: Outcomes, facts: sample.SampleFacts) -> None:
    """Hold what the worker counted against what the log holds, counted independently."""

    def total(*wanted: Outcome) -> int:
        return sum(row.get(outcome, 0) for row in outcomes.values() for outcome in wanted)

    held = {
        "delivered or coalesced": (
            total(Outcome.DELIVERED, Outcome.COALESCED),
            facts.deliverable,
        ),
        "filtered": (total(Outcome.FILTERED), sum(facts.filtered.values())),
        "duplicate": (total(Outcome.DUPLICATE), facts.duplicates),
        "dead-lettered": (total(Outcome.DEAD_LETTERED), sum(facts.invalid.values())),
    }
    wrong = [f"{name} {got}, not {want}" for name, (got, want) in held.items() if got != want]
    if wrong:
        raise DemoError(f"the numbers do not add up: {'; '.join(wrong)}")


async def _show_person(console: Console, stand_in: str, who: sample.Showcase) -> None:
    async with httpx.AsyncClient(trust_env=False) as http:
        log = (await http.get(f"{stand_in}/_stand-in/requests", params={"limit": 100_000})).json()
    bodies = [request["body"] for request in log["requests"]]
    calls = [body for body in bodies if body.get("segmentAnonymousId") == who.anonymous_id]
    console.print(f"\nOne visitor's calls to Encharge, in order (device {who.anonymous_id}):\n")
    was_known = False
    for call in calls[:TIMELINE_ROWS]:
        is_known = call.get("userId") is not None
        if is_known and not was_known:
            console.print("            -- signs up --")
        was_known = is_known
        console.print(f"  {_call(call)}")
    if len(calls) > TIMELINE_ROWS:
        console.print(f"  ... and {len(calls) - TIMELINE_ROWS} more")


def _call(call: Mapping[str, Any]) -> str:
    about = call.get("event") or call.get("context", {}).get("page", {}).get("path") or ""
    who = " ".join(filter(None, (call.get("userId"), call["user"].get("email"))))
    return f"{call['timestamp'][:19]}  {call['type']:<9} {about:<18} {who or 'anonymous'}"


def _show_addresses(console: Console, up: Addresses) -> None:
    console.print()
    console.print("Still up, until Ctrl-C:")
    console.print(f"  Kafka     {up.broker}   topic {TOPIC}")
    console.print(f"  Encharge  {up.encharge}/_stand-in/ and /_stand-in/people")
    console.print(f"  worker    {up.worker}/   token {up.token}; /metrics and /readyz")
