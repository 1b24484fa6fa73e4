"""The world around a worker in a test: a stand-in to deliver to, processes to start and kill."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from prometheus_client.parser import text_string_to_metric_families

from streams.dev import encharge
from tests.support.process import Command

KEY = "test-key"
OUTCOMES = ("delivered", "coalesced", "filtered", "duplicate", "dead_lettered")


class StandIn:
    """A running stand-in, seen from outside."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = httpx.AsyncClient(base_url=f"{url}/_stand-in/", timeout=30, trust_env=False)

    async def requests(self) -> list[dict[str, Any]]:
        """Every request so far, in arrival order."""
        return (await self.requests_since(0))[0]

    async def requests_since(self, since: int) -> tuple[list[dict[str, Any]], int]:
        """The requests behind the ``since``-th, in arrival order, and the number of the last."""
        found: list[dict[str, Any]] = []
        while True:
            page = (await self._http.get("requests", params={"since": since, "limit": 5000})).json()
            found.extend(page["requests"])
            since = page["next"]
            if not page["requests"]:
                return found, since

    async def stats(self) -> dict[str, Any]:
        return (await self._http.get("stats")).json()

    async def person(self, any_id: str) -> dict[str, Any]:
        return (await self._http.get(f"people/{any_id}")).json()

    async def people(self) -> list[dict[str, Any]]:
        """Everybody there is, without the timelines."""
        return (await self._http.get("people", params={"limit": 100_000})).json()["people"]

    async def faults(self, *rules: Mapping[str, Any]) -> None:
        (await self._http.post("faults", json=list(rules))).raise_for_status()

    async def plan(self) -> list[dict[str, Any]]:
        """The faults that are in force, and how often each has fired."""
        return (await self._http.get("faults")).json()

    async def close(self) -> None:
        await self._http.aclose()


@asynccontextmanager
async def stand_in(serve: Callable[..., Any] = encharge.serve) -> AsyncIterator[StandIn]:
    """A stand-in of its own, Encharge's by default, on a free port of the loopback interface."""
    address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    serving = asyncio.ensure_future(
        serve("127.0.0.1", 0, keys=frozenset({KEY}), ready=address.set_result)
    )
    await asyncio.wait({serving, address}, return_when=asyncio.FIRST_COMPLETED)
    server = StandIn(await address)
    try:
        yield server
    finally:
        await server.close()
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


class Worker(Command):
    """A ``streams worker`` process."""

    def __init__(
        self,
        bootstrap: str,
        encharge_url: str,
        directory: Path,
        name: str = "worker",
        **settings: str,
    ) -> None:
        ours = {
            "KAFKA_BOOTSTRAP_SERVERS": bootstrap,
            "ENCHARGE_API_KEY": KEY,
            "ENCHARGE_API_URL": encharge_url,
            "ENCHARGE_INGEST_URL": f"{encharge_url}/v1",
            "STREAMS_WEB_HOST": "127.0.0.1",
            "STREAMS_WEB_PORT": "0",
            "STREAMS_DATA_DIR": str(directory / name),
            "STREAMS_SESSION_SECONDS": "2",
            "STREAMS_BATCH_MAX_SECONDS": "0.2",
            "STREAMS_PARTITIONS": "4",
        }
        super().__init__("worker", directory / f"{name}.log", {**ours, **settings})
        self.web = ""

    async def start(self, *, ready_within: float = 60) -> Worker:
        """Start the process and wait until it says that it is ready."""
        position = await self._launch()
        deadline = time.monotonic() + ready_within
        while time.monotonic() < deadline:
            if self.has_ended():
                raise AssertionError(f"the worker ended at start:\n{self.log()[-4000:]}")
            self.web = self.web_address(position)
            if self.web and await self.is_ready():
                return self
            await asyncio.sleep(0.1)
        raise AssertionError(f"the worker was not ready in time:\n{self.log()[-4000:]}")

    def web_address(self, position: int = 0) -> str:
        for line in self.logged_since(position).splitlines():
            if '"web": "' in line:
                return line.split('"web": "')[1].split('"')[0]
        return ""

    async def is_ready(self) -> bool:
        return await self.status("readyz") == 200

    async def status(self, page: str) -> int:
        try:
            async with httpx.AsyncClient(trust_env=False) as http:
                return (await http.get(f"{self.web}/{page}")).status_code
        except httpx.HTTPError:
            return 0

    async def metrics(self) -> Counter[str]:
        """Samples by name, and by ``name{label=value,...}``."""
        async with httpx.AsyncClient(trust_env=False) as http:
            text = (await http.get(f"{self.web}/metrics")).text
        samples: Counter[str] = Counter()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                samples[sample.name] += int(sample.value)
                if sample.labels:
                    labels = ",".join(f"{k}={v}" for k, v in sorted(sample.labels.items()))
                    samples[f"{sample.name}{{{labels}}}"] = int(sample.value)
        return samples

    async def kill(self) -> None:
        """End the process as the kernel's out-of-memory killer would."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> int:
        """End the process as Kubernetes would; gives its exit status."""
        return await self._end(signal.SIGTERM)

    def pause(self) -> None:
        """Take the processor away, as an overcommitted machine would: alive, and silent."""
        self.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Give the processor back."""
        self.send_signal(signal.SIGCONT)

    async def end(self) -> None:
        """Kill the process if it was ever started."""
        if self._process is not None:
            await self.kill()


@asynccontextmanager
async def workers(*described: Worker) -> AsyncIterator[None]:
    """Start workers, and see to it that none outlives the block."""
    try:
        await asyncio.gather(*(worker.start() for worker in described))
        yield
    finally:
        for worker in described:
            await worker.end()


async def produce(
    bootstrap: str, topic: str, records: Iterable[tuple[int, bytes | None]]
) -> list[tuple[int, int]]:
    """Produce values to given partitions, in order; gives (partition, offset) of each."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all")
    await producer.start()
    try:
        # A record needs a key or a value.
        sent = [
            await producer.send(topic, value, key=None if value else b"k", partition=part)
            for part, value in records
        ]
        return [(done.partition, done.offset) for done in await asyncio.gather(*sent)]
    finally:
        await producer.stop()


async def consume(bootstrap: str, topic: str, count: int, within: float = 30) -> list[Any]:
    """The first ``count`` records of a topic, from the beginning."""
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        auto_offset_reset="earliest",
        group_id=None,
        max_partition_fetch_bytes=16 << 20,
    )
    await consumer.start()
    try:
        found: list[Any] = []
        deadline = time.monotonic() + within
        while len(found) < count and time.monotonic() < deadline:
            for records in (await consumer.getmany(timeout_ms=200)).values():
                found.extend(records)
        return found
    finally:
        await consumer.stop()


async def until(
    condition: Callable[[], Any], what: str, within: float = 60, every: float = 0.1
) -> None:
    """Wait until an async condition holds."""
    deadline = time.monotonic() + within
    while not await condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within} s: {what}")
        await asyncio.sleep(every)


async def consumed(*running: Worker) -> Counter[str]:
    """The events' metrics, summed over workers."""
    total: Counter[str] = Counter()
    for worker in running:
        total += await worker.metrics()
    return total


async def at_rest(*running: Worker, within: float = 30) -> None:
    """Wait until no event is underway."""

    async def quiet() -> bool:
        return (await consumed(*running))["streams_events_in_flight"] == 0

    await until(quiet, "nothing in flight", within)


def assert_accounts_balance(metrics: Mapping[str, int]) -> None:
    """consumed = delivered + coalesced + filtered + duplicate + dead-lettered."""
    outcomes = {name: metrics.get(f"streams_events_{name}_total", 0) for name in OUTCOMES}
    assert metrics["streams_events_consumed_total"] == sum(outcomes.values()), outcomes
