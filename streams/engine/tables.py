"""Faust tables that are read per key and written per chunk.

To Faust they are tables like any other: their changelog topics are declared, assigned
together with the partitions they belong to, and recovered before the agents run. What
differs is the writing: one call stores the rows of a whole chunk and produces their
changelog as one batch, instead of 220 us and one produce for each row.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from faust.stores.base import Store as FaustStore
from faust.tables.base import Collection
from faust.types import TP

from streams.engine.chunks import ChangelogTopic
from streams.engine.producer import BatchProducer, Record

if TYPE_CHECKING:
    from streams.engine.stores import Store

OpenStore = Callable[[int], "Store"]

RECOVERY_CHUNKS = 2
"""Changelog chunks that are stored in one write. Not 1, for which Faust has another meaning."""


class ChunkTable(Collection):  # type: ignore[misc]
    """A table of bytes to bytes, partitioned like the topic that its agent reads.

    Guarantees: what was written is read back at once; it is in the store on disk only
    after its changelog is confirmed, so that a store is never ahead of what another
    worker can recover.
    """

    def __init__(
        self,
        app: Any,
        *,
        name: str,
        partitions: int,
        open_store: OpenStore,
        producer: BatchProducer,
        changelog_config: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(
            app,
            name=name,
            partitions=partitions,
            key_type=bytes,
            value_type=bytes,
            recovery_buffer_size=RECOVERY_CHUNKS,
            extra_topic_configs=changelog_config,
        )
        self._producer = producer
        self._open_store = open_store
        self._pending: dict[int, dict[bytes, tuple[bytes | None, object]]] = defaultdict(dict)
        self._last_write: dict[int, asyncio.Task[None]] = {}

    def _new_store(self) -> PartitionedStore:
        return PartitionedStore(self.app, self)

    def _new_changelog_topic(self, **options: Any) -> ChangelogTopic:
        return ChangelogTopic(**super()._new_changelog_topic(**options)._clone_args())

    async def on_changelog_event(self, event: Any) -> None:
        """Called by Faust's recovery for each changelog chunk, when it has counted it."""
        self.app.consumer.changelogs.take(event.message, self.changelog_topic_name)

    def get(self, partition: int, key: bytes) -> bytes | None:
        """The value of a key in a partition that this worker holds, or None."""
        pending = self._pending[partition].get(key)
        if pending is not None:
            return pending[0]
        stored: bytes | None = self.data.partition(partition).get(key)
        return stored

    def get_many(self, partition: int, keys: Sequence[bytes]) -> list[bytes | None]:
        """:meth:`get` for several keys at once."""
        values: list[bytes | None] = self.data.partition(partition).get_many(keys)
        pending = self._pending[partition]
        if pending:
            return [
                pending[key][0] if key in pending else value
                for key, value in zip(keys, values, strict=True)
            ]
        return values

    def reader(self, partition: int) -> Callable[[bytes], bytes | None]:
        """:meth:`get` for one partition, with the look-ups that do not change done once."""
        pending = self._pending[partition]
        stored = self.data.partition(partition).get

        def read(key: bytes) -> bytes | None:
            written = pending.get(key)
            return stored(key) if written is None else written[0]

        return read

    def scanner(self, partition: int) -> Callable[[bytes], Iterable[bytes]]:
        """The keys of one partition that begin with a prefix, in no particular order."""
        pending = self._pending[partition]
        stored = self.data.partition(partition).keys

        def scan(prefix: bytes) -> Iterable[bytes]:
            written = {key: row for key, row in pending.items() if key.startswith(prefix)}
            yield from (key for key, row in written.items() if row[0] is not None)
            yield from (key for key in stored(prefix) if key not in written)

        return scan

    def write(self, partition: int, rows: Mapping[bytes, bytes | None]) -> Awaitable[None]:
        """Write rows (None deletes). The result is done when they are confirmed and stored.

        Readers see the rows at once. The result raises ``BrokerError``.
        """
        token = object()
        pending = self._pending[partition]
        for key, value in rows.items():
            pending[key] = (value, token)
        task = asyncio.ensure_future(
            self._store_when_confirmed(partition, rows, token, self._last_write.get(partition))
        )
        self._last_write[partition] = task
        return task

    async def _store_when_confirmed(
        self,
        partition: int,
        rows: Mapping[bytes, bytes | None],
        token: object,
        previous: asyncio.Task[None] | None,
    ) -> None:
        if previous is not None and not previous.done():
            await asyncio.wait([previous])
        records = self._changelog(rows)
        offset = await (await self._producer.send(self.changelog_topic_name, partition, records))
        store = self.data.held(partition)
        if store is None:
            # The partition went to another worker meanwhile; the changelog has the rows.
            return
        complete = store.offset()
        if complete is None:
            complete = -1
        if complete < offset - len(records):
            # Somebody else wrote in between: this worker was silent, and taken for dead. What
            # they wrote is not here, so recovery must go on from where the store is complete.
            offset = complete
        store.write(rows, offset)
        pending = self._pending[partition]
        for key in rows:
            if pending.get(key, (None, None))[1] is token:
                del pending[key]

    def release(self, partition: int) -> None:
        """Forget what is not confirmed yet: the partition went to another worker."""
        self._pending.pop(partition, None)
        self._last_write.pop(partition, None)

    def _changelog(self, rows: Mapping[bytes, bytes | None]) -> list[Record]:
        """The changelog records of some rows. One each, so that the topic can be compacted."""
        return [Record(key, value) for key, value in rows.items()]

    def _rows(self, records: Iterable[Any]) -> dict[bytes, bytes | None]:
        """The rows of some changelog records: the inverse of :meth:`_changelog`."""
        return {record.key: record.value for record in records}

    def as_ansitable(self, **_: Any) -> str:
        """Called by Faust to show a table in a terminal."""
        return f"{self.name}: about {len(self.data)} rows"

    # Faust's tables are mappings of keys to values, and may be windowed. Rows of these have
    # a partition too; they are reached through `get` and `write` only.

    def _unsupported(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError("a ChunkTable is used through get() and write()")

    _has_key = _get_key = _set_key = _del_key = _unsupported
    hopping = tumbling = using_window = _unsupported


class PartitionedStore(FaustStore):  # type: ignore[misc]
    """What Faust's recovery sees of a table: a store for each partition that is held."""

    def __init__(self, app: Any, table: ChunkTable) -> None:
        super().__init__("chunk://", app, table)
        self._stores: dict[int, Store] = {}
        self._failure: Exception | None = None
        self._crash: asyncio.Future[None] | None = None

    def partition(self, partition: int) -> Store:
        """The store of a partition, opened when it is first asked for."""
        store = self._stores.get(partition)
        if store is None:
            store = self._stores[partition] = self.table._open_store(partition)
        return store

    def held(self, partition: int) -> Store | None:
        """The store of a partition, if this worker holds it."""
        return self._stores.get(partition)

    def __len__(self) -> int:
        return sum(len(store) for store in self._stores.values())

    def persisted_offset(self, tp: TP) -> int | None:
        """The changelog offset from which recovery may go on; None where Faust knows it best.

        A store that was opened just now and has no offset is empty, whatever Faust may
        remember of the partition from when it was here before.
        """
        is_new = tp.partition not in self._stores
        offset = self.partition(tp.partition).offset()
        return -1 if offset is None and is_new else offset

    def apply_changelog_batch(
        self,
        batch: Iterable[Any],
        to_key: Callable[[Any], Any],  # noqa: ARG002
        to_value: Callable[[Any], Any],  # noqa: ARG002
    ) -> None:
        """Called by Faust during recovery with changelog chunks, in order."""
        rows: dict[int, dict[bytes, bytes | None]] = defaultdict(dict)
        offsets: dict[int, int] = {}
        for event in batch:
            chunk = event.message
            if chunk.taken:
                rows[chunk.partition].update(self.table._rows(chunk.records))
                offsets[chunk.partition] = chunk.offset
        for partition, changed in rows.items():
            store = self.held(partition)
            if store is not None:
                self._write(store, changed, offsets[partition])

    def _write(self, store: Store, rows: Mapping[bytes, bytes | None], offset: int) -> None:
        if self._failure is None:
            try:
                store.write(rows, offset)
            except Exception as error:
                # Faust would log it, and never get to an end.
                self._failure = error
                self._crash = asyncio.ensure_future(self.app.crash(error))
        if self._failure is not None and not self.app.tables.recovery.should_stop:
            # The agents must not begin with a table that lacks rows.
            raise self._failure

    async def on_rebalance(
        self,
        assigned: set[TP],
        revoked: set[TP],
        newly_assigned: set[TP],  # noqa: ARG002
        generation_id: int = 0,  # noqa: ARG002
    ) -> None:
        """Close the stores of partitions that went to another worker."""
        topic = self.table.changelog_topic_name
        held = {tp.partition for tp in assigned if tp.topic == topic}
        for tp in revoked:
            if tp.topic == topic and tp.partition not in held:
                self._close(tp.partition)

    async def on_stop(self) -> None:
        """Close all stores."""
        for partition in list(self._stores):
            self._close(partition)

    def _close(self, partition: int) -> None:
        self.table.release(partition)
        store = self._stores.pop(partition, None)
        if store is not None:
            store.close()

    def reset_state(self) -> None:
        """Nothing to do: a store that is not wanted is removed from disk by hand."""

    async def backup_partition(self, *_: Any, **__: Any) -> None:
        """Nothing to do: the changelog is the backup."""

    def restore_backup(self, *_: Any, **__: Any) -> None:
        """Nothing to do: the changelog is the backup."""
