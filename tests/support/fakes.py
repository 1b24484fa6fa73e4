"""Stand-ins for a stage's neighbours, for tests without a broker or a network."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import orjson
from faust.types import TP
from prometheus_client.parser import text_string_to_metric_families

from streams.batching.pending import Pending, Progress
from streams.delivery.seen import digest
from streams.delivery.sender import Answer
from streams.destinations.base import Request, Subscription, Verdict
from streams.engine import packed
from streams.engine.chunks import Chunk
from streams.engine.producer import Record
from streams.engine.tasks import Tasks
from streams.errors import EventError
from streams.events import Event
from streams.source.ingest import EVENT, NOTE, PARTITION_HEADER, TOPIC_HEADER
from streams.telemetry.metrics import Metrics


async def turns(count: int = 20) -> None:
    """Let everything that is ready run, without waiting for any clock."""
    for _ in range(count):
        await asyncio.sleep(0)


async def eventually(condition: Callable[[], Any]) -> None:
    """Wait until ``condition`` holds; fails after five seconds."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - fakes have no events to wait for
            await asyncio.sleep(0.001)


class Failures(list[BaseException]):
    """What background tasks failed with; ``tasks`` hands it over."""

    def tasks(self) -> Tasks:
        return Tasks(self.append)


class FakeProducer:
    """A BatchProducer whose records are kept; confirms at once, or when told to."""

    def __init__(self, *, partitions: int = 4, confirms: bool = True) -> None:
        self.confirms = confirms
        self.sent: list[tuple[str, int, list[Record]]] = []
        self._partitions = partitions
        self._ends: dict[tuple[str, int], int] = defaultdict(lambda: -1)
        self._waiting: list[tuple[asyncio.Future[int], int]] = []

    async def partitions(self, topic: str) -> int:
        return self._partitions

    async def send(self, topic: str, partition: int, records: Sequence[Record]) -> Awaitable[int]:
        self.sent.append((topic, partition, list(records)))
        self._ends[topic, partition] += len(records)
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append((future, self._ends[topic, partition]))
        if self.confirms:
            self.confirm()
        return future

    def continue_at(self, topic: str, partition: int, offset: int) -> None:
        """Have the next record stored at an offset, as if others had written before."""
        self._ends[topic, partition] = offset - 1

    def confirm(self, count: int | None = None) -> None:
        """Confirm the oldest ``count`` sends (all, by default)."""
        count = len(self._waiting) if count is None else count
        for future, offset in self._waiting[:count]:
            future.set_result(offset)
        del self._waiting[:count]

    def refuse(self, error: BaseException) -> None:
        """Fail everything that waits."""
        for future, _ in self._waiting:
            future.set_exception(error)
        self._waiting.clear()

    def to(self, topic: str) -> dict[int, list[Record]]:
        """The records of a topic, by partition, in order."""
        found: dict[int, list[Record]] = defaultdict(list)
        for name, partition, records in self.sent:
            if name == topic:
                found[partition].extend(records)
        return dict(found)


class FakeConsumer:
    """What stages use of the Faust consumer."""

    def __init__(self) -> None:
        self._committed_offset: dict[TP, int] = {}
        self.acked: list[Chunk] = []
        self.paused: set[Any] = set()

    def pause_partitions(self, tps: Iterable[Any]) -> None:
        self.paused.update(tps)

    def resume_partitions(self, tps: Iterable[Any]) -> None:
        self.paused.difference_update(tps)

    def ack(self, chunk: Chunk) -> bool:
        self.acked.append(chunk)
        return True


def chunk(records: Iterable[Any], topic: str = "source", partition: int = 0) -> Chunk:
    """A chunk as the conductor delivers it: with one stream that holds it."""
    made = Chunk(TP(topic, partition), list(records), generation=1)
    made.incref()
    return made


def record(
    value: bytes | None,
    offset: int = 0,
    *,
    topic: str = "source",
    partition: int = 0,
    key: bytes | None = None,
    headers: Sequence[tuple[str, bytes]] = (),
) -> Any:
    """A record as aiokafka delivers it."""
    return SimpleNamespace(
        topic=topic,
        partition=partition,
        offset=offset,
        timestamp=1_700_000_000_000 + offset,
        timestamp_type=0,
        key=key,
        value=value,
        headers=tuple(headers),
    )


def stage_record(*events: Event, offset: int = 0, partition: int = 0, notes: bool = False) -> Any:
    """A record of the stage topic that carries ``events`` (``notes``: as notes)."""
    heads = [
        (
            NOTE if notes else EVENT,
            event.get("anonymousId") or event["userId"],
            1000 * offset + number,
            1_700_000_000_000,
        )
        for number, event in enumerate(events)
    ]
    return record(
        packed.pack(heads, [orjson.dumps(event) for event in events]),
        offset,
        topic="stage",
        partition=partition,
        headers=[(TOPIC_HEADER, b"source"), (PARTITION_HEADER, b"3")],
    )


def samples(metrics: Metrics) -> dict[str, float]:
    """What was counted by name, and by ``name{label=value,...}``; zeros are left out."""
    found: dict[str, float] = defaultdict(float)
    for family in text_string_to_metric_families(metrics.text().decode()):
        for sample in family.samples:
            labels = ",".join(f"{k}={v}" for k, v in sorted(sample.labels.items()))
            found[sample.name] += sample.value
            if labels:
                found[f"{sample.name}{{{labels}}}"] += sample.value
    return {
        name: value
        for name, value in found.items()
        # What is told of the process was counted by nobody here.
        if value and not name.startswith("streams_process_")
    }


# -- delivery ----------------------------------------------------------------------------------


def request(name: str) -> Request:
    """A request that is recognised by its body."""
    return Request("POST", "http://destination/", {}, name)


def progress_of(total: int = 1_000_000) -> Progress:
    """The progress of a chunk that is never done and never abandoned."""
    return Progress(total, on_done=lambda: None, is_abandoned=lambda: False)


def pending(
    name: str,
    lane: str = "a",
    *,
    partition: int = 0,
    requests: Sequence[Request | None] | None = None,
    progress: Progress | None = None,
    error: EventError | None = None,
    action: str = "track",
) -> Pending:
    """An event on its way, mapped to one request that goes by its name."""
    return Pending(
        event={"type": action, "messageId": name},
        raw=name.encode(),
        source=("source", 3),
        offset=7,
        lane=lane,
        partition=partition,
        digest=digest(name),
        produced_at=1_700_000_000.0,
        progress=progress or progress_of(),
        action=action,
        requests=[request(name)] if requests is None else list(requests),
        error=error,
    )


def name_of(event: Pending) -> str:
    return str(event.event["messageId"])


class FakeDestination:
    """Takes 200, refuses us with 401, rejects with 422; any other answer may pass."""

    name = "fake"
    integration_names = frozenset({"Fake"})

    def __init__(self, subscriptions: Sequence[Subscription] = ()) -> None:
        self.subscriptions = subscriptions

    def candidates(self, kind: str) -> Sequence[Subscription]:
        return self.subscriptions

    def delete(self, event: Event) -> Request:
        return Request("DELETE", "http://destination/", {}, event["messageId"])

    def merge(self, earlier: Request, later: Request) -> Request | None:
        return None

    def part(self, request: Request) -> Any:
        """Requests whose name begins with "i" go together."""
        return request.body if request.body.startswith("i") else None

    def bulk(self, parts: Sequence[Any]) -> Request:
        return Request("POST", "http://destination/bulk", {}, "+".join(parts))

    def advice(self, status: int) -> str:
        return f"see to it ({status})"

    def classify(self, status: int, content_type: str, body: bytes) -> Verdict:
        return {
            200: Verdict.DELIVERED,
            401: Verdict.MISCONFIGURED,
            422: Verdict.REJECTED,
        }.get(status, Verdict.RETRY)


def subscription(
    action: str, kind: str | None = None, build: Callable[[Event], Request] | None = None
) -> Subscription:
    """Fires for events of type ``kind`` (its own name by default)."""
    return Subscription(
        name=action,
        action=action,
        matches=lambda event: event["type"] == (kind or action),
        build=build or (lambda event: Request("POST", "/", {}, f"{action}:{event['messageId']}")),
    )


def answer(status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> Answer:
    return Answer(status, headers or {}, body, "" if status else "connection refused")


Reply = Answer | Callable[[], Awaitable[Answer]]


@dataclass
class FakeSender:
    """Answers by a request's body: the next of its script, then 200 for ever.

    An entry of a script is an answer or an async function that gives one.
    """

    script: dict[Any, list[Reply]] = field(default_factory=dict)
    calls: list[Any] = field(default_factory=list)
    open: int = 0
    most_open: int = 0
    closed: bool = False

    async def send(self, request: Request) -> Answer:
        self.calls.append(request.body)
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            replies = self.script.get(request.body)
            reply: Reply = replies.pop(0) if replies else answer(200)
            await asyncio.sleep(0)
            return reply if isinstance(reply, Answer) else await reply()
        finally:
            self.open -= 1

    async def close(self) -> None:
        self.closed = True


@dataclass
class FakeSettlement:
    """Keeps the outcomes."""

    outcomes: list[tuple[str, str]] = field(default_factory=list)
    errors: dict[str, tuple[EventError, int, int]] = field(default_factory=dict)

    def delivered(self, event: Pending) -> None:
        self.outcomes.extend((name_of(merged), "coalesced") for merged in event.merged)
        self.outcomes.append((name_of(event), "delivered"))

    def without_call(self, event: Pending, outcome: str, reason: str = "") -> None:
        self.outcomes.append((name_of(event), outcome))

    def rejected(
        self, event: Pending, error: EventError, *, stage: str, status: int = 0, attempts: int = 0
    ) -> None:
        self.outcomes.append((name_of(event), error.reason))
        self.errors[name_of(event)] = (error, status, attempts)
