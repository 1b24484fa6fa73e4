"""Faust's Kafka consumer, delivering chunks instead of single records."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from time import monotonic
from typing import TYPE_CHECKING, Any

from aiokafka.errors import IllegalStateError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.tuples import ack_lock
from mode.utils.futures import notify

from streams.engine.acks import AckQueue
from streams.engine.chunks import Chunk
from streams.engine.recovery import ChangelogChunk, Changelogs, Reading

if TYPE_CHECKING:
    from mode import Service

CHUNK_RECORDS = 1000
POLL_SECONDS = 0.1
"""How long to wait for records before looking which partitions are to be read now."""
FETCH_WAIT_MS = 100
"""How long the broker may hold an empty fetch. Faust's 1,500 ms delay what is resumed."""


class ChunkConsumerThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """The thread that talks to Kafka, with the settings that Faust does not offer."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS
        return consumer


class ChunkConsumer(driver.Consumer):  # type: ignore[misc]
    """Delivers chunked topics and changelogs as chunks; all other topics as Faust does.

    Guarantees: the chunks of a partition are delivered in offset order; an offset is
    committed only when every chunk up to it is finished; a chunk from an earlier
    assignment can move nothing; a table gets its changelog without holes.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._chunks: dict[TP, AckQueue[Chunk]] = defaultdict(AckQueue)
        self.changelogs = Changelogs(self.app)
        self._sought = False
        self._streams_flow = False

    def _new_consumer_thread(self) -> ChunkConsumerThread:
        return ChunkConsumerThread(self, loop=self.loop, beacon=self.beacon)

    # -- delivery

    async def _drain_messages(self, fetcher: Service) -> None:
        try:
            while not (self.should_stop or fetcher.should_stop):
                await self._deliver(await self._next_records())
                # Even a busy topic must leave the loop some room.
                await asyncio.sleep(0)
        except self.consumer_stopped_errors:
            if not self.app.should_stop:
                raise
        except asyncio.CancelledError:
            if not self.app.should_stop:
                raise

    async def _next_records(self) -> Mapping[TP, list[Any]]:
        if not self.flow_active:
            await self.wait(self.can_resume_flow)
        active = self._get_active_partitions()
        if not self._streams_flow:
            active = {tp for tp in active if tp.topic not in self.app.chunked_topics}
        if not active:
            await self.sleep(POLL_SECONDS)
            return {}
        if again := self.changelogs.to_read_again(active):
            await self._read_again(again)
        self.changelogs.fetching()
        return dict(await self._getmany(active_partitions=active, timeout=POLL_SECONDS))

    async def _deliver(self, fetched: Mapping[TP, list[Any]]) -> None:
        generation = self.app.consumer_generation_id
        for aiokafka_tp, records in fetched.items():
            tp = TP(*aiokafka_tp)
            self.app.monitor.track_tp_end_offset(tp, self.highwater(aiokafka_tp))
            if not await self._delivery(tp.topic)(tp, records, generation):
                # Flow stopped or partitions moved. Faust seeks to the committed offsets
                # before it lets records flow again, so what is left here is read again.
                # For changelogs it sought already, perhaps: those are the engine's to see to.
                self.changelogs.lost(fetched)
                return
        await self._deliver_ends(generation)

    def _delivery(self, topic: str) -> Callable[[TP, list[Any], int], Awaitable[bool]]:
        if topic in self.app.chunked_topics:
            return self._deliver_chunks
        if topic in self.app.chunked_changelogs:
            return self._deliver_changelog
        return self._deliver_records

    def _current(self, generation: int) -> bool:
        return bool(self.flow_active) and self.app.consumer_generation_id == generation

    async def _deliver_chunks(self, tp: TP, records: list[Any], generation: int) -> bool:
        # A partition that was paused since the fetch still gets its records: the client's
        # position is already behind them, so to skip them here would be to lose them.
        position = self._read_offset[tp]
        if position is not None and records[0].offset < position:
            records = [record for record in records if record.offset >= position]
        for start in range(0, len(records), CHUNK_RECORDS):
            if not (self._streams_flow and self._current(generation)):
                return False
            chunk = Chunk(tp, records[start : start + CHUNK_RECORDS], generation)
            self._chunks[tp].add(chunk)
            await self.wait_first(self.callback(chunk), self.suspend_flow.wait())
            self._read_offset[tp] = chunk.next_offset
        return self._current(generation)

    async def _deliver_records(self, tp: TP, records: list[Any], generation: int) -> bool:
        for record in records:
            if not self._current(generation):
                return False
            position = self._read_offset[tp]
            if position is None or record.offset >= position:
                message = self._to_message(tp, record)
                await self.wait_first(self.callback(message), self.suspend_flow.wait())
                self._read_offset[tp] = record.offset
        return self._current(generation)

    # -- flow

    # While tables recover, Faust lets records flow, for their changelogs. It resumes the
    # agents' partitions some time before it has sought them to the committed offsets and has
    # emptied the agents' queues. What would be delivered in between is either lost or keeps its
    # partition's commit where it is for ever, so nothing is: the agents' topics flow from the
    # resumption that follows the seek to the next stop.

    def stop_flow(self) -> None:
        """Call when a rebalance begins."""
        super().stop_flow()
        self._sought = self._streams_flow = False

    async def perform_seek(self) -> None:
        """Seek to the committed offsets."""
        await super().perform_seek()
        self._sought = True

    def resume_flow(self) -> None:
        """Let records flow: those of changelogs first, those for agents after the seek."""
        super().resume_flow()
        self._streams_flow = self._sought

    # -- changelogs

    async def _deliver_changelog(self, tp: TP, records: list[Any], generation: int) -> bool:
        reading = self.changelogs.fetched(tp)
        if reading is None:
            return self._current(generation)
        self.changelogs.ends_at(tp, self.highwater(tp))
        if records[0].offset < reading.handed:
            # Faust seeks to the last offset that it has, not behind it.
            records = [record for record in records if record.offset >= reading.handed]
        for start in range(0, len(records), CHUNK_RECORDS):
            if not self._current(generation):
                return False
            some = records[start : start + CHUNK_RECORDS]
            await self._hand_over(tp, some, reading, some[-1].offset + 1, generation)
        return self._current(generation)

    async def _hand_over(
        self, tp: TP, records: list[Any], reading: Reading, end: int, generation: int
    ) -> None:
        chunk = ChangelogChunk(tp, records, reading, end, generation)
        reading.handed = end
        # Waits while there is no room in the queue of Faust's recovery.
        await self.wait_first(self.callback(chunk), self.suspend_flow.wait())

    async def _deliver_ends(self, generation: int) -> None:
        """Tell recovery where the client went on without a record: there are none to come."""
        for tp, reading in self.changelogs.readings():
            if tp in self._active_partitions and self._current(generation):
                position = self._client_position(tp)
                if position is not None and position > reading.handed:
                    await self._hand_over(tp, [], reading, position, generation)

    def _client_position(self, tp: TP) -> int | None:
        # Nobody fetches meanwhile, so everything below it was returned and handed over.
        assignment = self._thread._ensure_consumer()._subscription.subscription.assignment
        state = assignment.state_value(tp) if assignment is not None else None
        return state.position if state is not None and state.has_valid_position else None

    async def seek_wait(self, partitions: Mapping[TP, int]) -> None:
        """Called by Faust with where the recovery of changelogs is to begin."""
        await super().seek_wait(partitions)
        self.changelogs.sought(partitions)

    async def _read_again(self, positions: Mapping[TP, int]) -> None:
        try:
            await self.seek_wait(positions)
        except (IllegalStateError, TimeoutError):
            # Another rebalance: Faust will seek.
            return
        self.changelogs.read_again(positions)

    def on_buffer_drop(self, tp: TP) -> None:
        """Call when an agent's queue has room again. What was paused stays paused."""
        super().on_buffer_drop(tp)
        self._active_partitions.difference_update(self._paused_partitions)

    # -- acknowledgement

    def ack(self, message: Any) -> bool:
        """Mark a message as finished; a chunk only if it is still waited for."""
        if not isinstance(message, Chunk):
            return bool(super().ack(message))
        if not message.tracked:
            # Faust's pure-Python stream acknowledges what it skips while the flow is
            # stopped. No agent has seen it.
            return False
        with ack_lock:
            message.acked = True
            message.finished = True
            self._unacked_messages.discard(message)
            notify(self._waiting_for_ack)
            return self._chunks[message.tp].holds(message)

    def _filter_committable_offsets(self, tps: Iterable[TP]) -> dict[TP, int]:
        offsets: dict[TP, int] = super()._filter_committable_offsets(tps)
        for tp, queue in self._chunks.items():
            offset = queue.committable()
            if offset is not None and self._should_commit(tp, offset):
                offsets[tp] = offset
        return offsets

    def uncommitted(self) -> dict[TP, int]:
        """From which offset on the work on each partition of this worker is not committed."""
        # Where nothing was ever committed, the first chunk that waits tells where it began.
        began = {
            tp: chunk.records[0].offset
            for tp, queue in self._chunks.items()
            if (chunk := next(iter(queue), None)) is not None
        }
        committed = self._committed_offset.items()
        return began | {tp: offset for tp, offset in committed if offset is not None}

    # -- stop and rebalance

    async def wait_empty(self) -> None:
        """Let started chunks finish, at most for the drain time, commit, and let go of the rest.

        Faust waits for ever, which would keep a partition from its next owner for as long
        as a destination is down. What is let go is not committed, so it is read again.
        """
        deadline = monotonic() + self.app.drain_seconds
        self.app.on_drain()
        while self._started_chunks() and monotonic() < deadline and not self.app.crashed:
            await self._wait_for_ack(timeout=1)
            # What was still being mapped has opened new windows since.
            self.app.on_drain()
        # A commit that is underway may have begun before the last acknowledgements.
        await self.maybe_wait_for_commit_to_finish()
        await self.commit_and_end_transactions()
        self._abandon(list(self._chunks))

    def _started_chunks(self) -> bool:
        return any(
            chunk.tracked and not chunk.finished
            for queue in self._chunks.values()
            for chunk in queue
        )

    def _abandon(self, tps: Iterable[TP]) -> None:
        for tp in tps:
            for chunk in self._chunks.pop(tp, ()):
                chunk.abandoned = True
                self._unacked_messages.discard(chunk)
        self.app.on_abandon()

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Call during a rebalance, before the partitions get their next owner."""
        await super().on_partitions_revoked(revoked)
        self._abandon(list(self._chunks))


class ChunkTransport(driver.Transport):  # type: ignore[misc]
    """Faust's Kafka transport with the chunk consumer."""

    Consumer = ChunkConsumer
