"""Producing what was put in order: each person in one partition, confirmed, at a pace."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain, islice
from typing import Final, Protocol
from zlib import crc32

from streams.engine.lag import GroupLag
from streams.engine.producer import BatchProducer, Record
from streams.errors import BrokerError
from streams.replay.order import LENGTH, START
from streams.replay.pace import Offsets, Pace, Waiting

HEADER: Final = "streams.replay"
"""Record header of a replayed event: the name of the replay."""
FORCED_HEADER: Final = "streams.replay-forced"

UNCONFIRMED: Final = 32_000
"""Events that may be on their way to the broker."""
SAVE_SECONDS: Final = 1.0
LOOK_SECONDS: Final = 0.5
POLL_SECONDS: Final = 0.1


_record: Final[Callable[[tuple[bytes, bytes, list[tuple[str, bytes]], None]], Record]] = partial(
    tuple.__new__, Record
)
"""In half the time of the named tuple's own."""


class Gate(Protocol):
    """Says how many events may go now."""

    async def admit(self, count: int, on_the_way: int) -> int:
        """How many of ``count`` events may go; 0 to ask again in a moment.

        ``on_the_way`` have gone, and Kafka has not confirmed them yet.
        """

    def passed(self, count: int) -> None:
        """So many went."""


class Open:
    """No limit."""

    async def admit(self, count: int, on_the_way: int) -> int:  # noqa: ARG002
        """All of them."""
        return count

    def passed(self, count: int) -> None:
        """Nothing to remember."""


class LiveFirst:
    """At most so many events may wait at the workers, so that a live one waits behind few.

    Between two looks it lets through what was free at the last one, so the number is never
    passed however fast it goes.
    """

    def __init__(
        self,
        lag: GroupLag,
        *,
        source_topic: str,
        stage_topic: str,
        max_waiting: int,
        on_wait: Callable[[int | None], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``on_wait`` is told how many events wait when that holds the replay; None: no more."""
        self._lag = lag
        self._topics = source_topic, stage_topic
        self._max_waiting = max_waiting
        self._on_wait = on_wait
        self._clock = clock
        self._waiting = Waiting()
        self._free: int | None = 0
        self._looked_at = -LOOK_SECONDS

    async def admit(self, count: int, on_the_way: int) -> int:
        """See ``Gate``."""
        now = self._clock()
        if (self._free is None or self._free < count) and now - self._looked_at >= LOOK_SECONDS:
            self._looked_at = now
            try:
                source, stage = (await self._lag.look(*self._topics)).values()
            except BrokerError:
                # It answered before: it is away, and the producer waits for it too.
                self._free = 0
                return 0
            # Where no worker has read anything yet, there is nothing to be behind of.
            self._free = None
            if source is not None:
                waiting = self._waiting.look(Offsets(*source, *(stage or (0, 0))))
                # What is on the way may be among what waits already: rather too few than too many.
                self._free = max(self._max_waiting - waiting - on_the_way, 0)
                self._on_wait(waiting if self._free == 0 else None)
        return count if self._free is None else min(count, self._free)

    def passed(self, count: int) -> None:
        """See ``Gate``."""
        if self._free is not None:
            self._free -= count


class Replay:
    """One run of producing. ``confirmed`` counts by partition, as in the checkpoint."""

    def __init__(
        self,
        *,
        producer: BatchProducer,
        topic: str,
        confirmed: list[int],
        headers: Sequence[tuple[str, bytes]],
        pace: Pace,
        gate: Gate,
        stop: asyncio.Event,
        save: Callable[[], None],
        on_progress: Callable[[int], None] = lambda _: None,
        drain_seconds: float,
    ) -> None:
        """``save`` writes the checkpoint; ``on_progress`` gets the number newly confirmed."""
        self._producer = producer
        self._topic = topic
        self._confirmed = confirmed
        self._headers = list(headers)
        self._pace = pace
        self._gate = gate
        self._stop = stop
        self._save = save
        self._on_progress = on_progress
        self._drain_seconds = drain_seconds
        self._pending: deque[tuple[int, int, Awaitable[int]]] = deque()
        self._unconfirmed = 0
        self._left = list(confirmed)
        # From the first block on: a crash in the first second is one, too.
        self._saved_at = -SAVE_SECONDS
        self.produced = 0
        """Events confirmed in this run."""

    async def run(self, blocks: Iterable[list[bytes]]) -> bool:
        """Produce items in order; gives whether all of them are. Saves the checkpoint.

        Raises ``BrokerError`` when the broker refuses records.
        """
        try:
            is_complete = await self._run(chain.from_iterable(blocks))
            if not is_complete:
                await self._unless_stopped(self._settle(0))
        finally:
            self._count_what_is_done()
            self._save()
        return is_complete

    async def _run(self, items: Iterator[bytes]) -> bool:
        while not self._stop.is_set():
            wanted = await self._gate.admit(self._pace.block, self._unconfirmed)
            if not wanted:
                await self._sleep(POLL_SECONDS)
                await self._settle(UNCONFIRMED)
                continue
            count, records = self._next(items, wanted)
            if not count:
                await self._unless_stopped(self._settle(0))
                return not self._unconfirmed
            await self._sleep(self._pace.wait(count))
            if self._stop.is_set():
                break
            await self._unless_stopped(self._send(records))
            self._gate.passed(count)
            await self._unless_stopped(self._settle(UNCONFIRMED))
            if time.monotonic() - self._saved_at >= SAVE_SECONDS:
                self._saved_at = time.monotonic()
                self._save()
        return False

    def _next(self, items: Iterator[bytes], wanted: int) -> tuple[int, dict[int, list[Record]]]:
        """So many items that are not confirmed yet, by partition; none at the end."""
        left, headers, partitions = self._left, self._headers, len(self._confirmed)
        records: dict[int, list[Record]] = {partition: [] for partition in range(partitions)}
        count = 0
        while count < wanted:
            some = list(islice(items, wanted - count))
            if not some:
                break
            for item in some:
                # As `parts` has it, in line: this is done for every event.
                end = START + (item[LENGTH] << 8 | item[LENGTH + 1])
                key = item[START:end]
                # As streams.source.ingest.partition_of has it.
                partition = crc32(key) % partitions
                if left[partition]:
                    left[partition] -= 1
                else:
                    records[partition].append(_record((key, item[end:], headers, None)))
                    count += 1
        return count, records

    async def _send(self, records: dict[int, list[Record]]) -> None:
        await asyncio.gather(*(self._hand_over(p, r) for p, r in records.items() if r))

    async def _hand_over(self, partition: int, records: list[Record]) -> None:
        sent = await self._producer.send(self._topic, partition, records)
        self._pending.append((partition, len(records), sent))
        self._unconfirmed += len(records)

    async def _settle(self, allowed: int) -> None:
        """Count what is confirmed; wait while more than ``allowed`` is not."""
        pending = self._pending
        while pending:
            partition, count, sent = pending[0]
            future = asyncio.ensure_future(sent)
            if not future.done() and self._unconfirmed <= allowed:
                return
            await asyncio.shield(future)
            pending.popleft()
            self._unconfirmed -= count
            self._confirmed[partition] += count
            self.produced += count
            self._on_progress(count)

    def _count_what_is_done(self) -> None:
        """After a failure: what each partition has confirmed before its first that failed."""
        ended: set[int] = set()
        for partition, count, sent in self._pending:
            future = asyncio.ensure_future(sent)
            if not future.done():
                future.cancel()
                ended.add(partition)
            elif future.cancelled() or future.exception() is not None:
                ended.add(partition)
            elif partition not in ended:
                self._confirmed[partition] += count
                self.produced += count
        self._pending.clear()

    async def _sleep(self, seconds: float) -> None:
        if seconds > 0:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), seconds)

    async def _unless_stopped(self, work: Awaitable[None]) -> None:
        """Do something, but when asked to stop, no longer than what was started may take.

        A broker that is away is waited for without an end otherwise.
        """
        task = asyncio.ensure_future(work)
        stopping = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                await asyncio.wait({task}, timeout=self._drain_seconds)
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                raise BrokerError(
                    f"Kafka did not confirm within {self._drain_seconds:g} s of being asked to stop"
                )
            task.result()
        finally:
            stopping.cancel()
