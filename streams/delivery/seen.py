"""Which messageIds need no attention any more, for as long as the dedup horizon lasts."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from typing import Any

from streams.engine.producer import Record
from streams.engine.tables import ChunkTable

DIGEST_BYTES = 12
TIME_BYTES = 4
"""Seconds since 1970, which last until 2106."""


def digest(message_id: str) -> bytes:
    """What is remembered of a messageId: 12 bytes, so that a day's worth stays small.

    With 100 million remembered, the chance that any of the next million is mistaken for
    one of them is about one in 800 million million.
    """
    return hashlib.blake2b(message_id.encode(), digest_size=DIGEST_BYTES).digest()


class SeenTable(ChunkTable):
    """The digests of events that were delivered, coalesced, filtered or passed on, by partition.

    Its changelog holds one record for each group of digests rather than for each digest,
    and is deleted by age rather than compacted: nothing in it is ever replaced.
    """

    _changelog_compacting = False
    _changelog_deleting = True

    def __init__(self, app: Any, *, horizon_seconds: int, **options: Any) -> None:
        """``horizon_seconds``: how long a messageId is remembered."""
        super().__init__(app, **options)
        self._horizon = horizon_seconds

    def held(self, partition: int, digests: Sequence[bytes]) -> set[bytes]:
        """Those of ``digests`` that were noted within the horizon."""
        oldest = _now() - self._horizon
        # Stores let go of old rows in their own time.
        return {
            digest
            for digest, noted_at in zip(digests, self.get_many(partition, digests), strict=True)
            if noted_at is not None and _seconds(noted_at) > oldest
        }

    def remember(self, partition: int, digests: Sequence[bytes]) -> Awaitable[None]:
        """Note events. The result is done when that is durable."""
        return self.write(partition, dict.fromkeys(digests, _now().to_bytes(TIME_BYTES)))

    def _changelog(self, rows: Mapping[bytes, bytes | None]) -> list[Record]:
        # All rows of one write have the same time.
        noted_at = next(iter(rows.values())) or b""
        return [Record(b"", b"".join((noted_at, *rows)))]

    def _rows(self, records: Iterable[Any]) -> dict[bytes, bytes | None]:
        # Kafka deletes whole segments, so a changelog begins with what is long forgotten.
        oldest = _now() - self._horizon
        rows: dict[bytes, bytes | None] = {}
        for record in records:
            value = record.value or b""
            noted_at = value[:TIME_BYTES]
            if _seconds(noted_at) > oldest:
                starts = range(TIME_BYTES, len(value), DIGEST_BYTES)
                rows.update((value[at : at + DIGEST_BYTES], noted_at) for at in starts)
        return rows


def age(noted_at: bytes) -> float:
    """How many seconds ago a row was written, here or by the worker it was recovered from."""
    return time.time() - _seconds(noted_at)


def _now() -> int:
    return int(time.time())


def _seconds(value: bytes) -> int:
    return int.from_bytes(value)
