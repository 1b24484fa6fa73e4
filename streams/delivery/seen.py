"""Which messageIds have been delivered, for as long as the dedup horizon lasts."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Iterable, Mapping, Sequence

from streams.engine.producer import Record
from streams.engine.tables import ChunkTable

DIGEST_BYTES = 12


def digest(message_id: str) -> bytes:
    """What is remembered of a messageId: 12 bytes, so that a day's worth stays small.

    With 100 million remembered, the chance that any of the next million is mistaken for
    one of them is about one in 800 million million.
    """
    return hashlib.blake2b(message_id.encode(), digest_size=DIGEST_BYTES).digest()


class SeenTable(ChunkTable):
    """The digests of delivered events, by stage partition.

    Its changelog holds one record for each group of digests rather than for each digest,
    and is deleted by age rather than compacted: nothing in it is ever replaced.
    """

    _changelog_compacting = False
    _changelog_deleting = True

    def holds(self, partition: int, digest: bytes) -> bool:
        """Whether an event was delivered within the horizon."""
        return self.get(partition, digest) is not None

    def remember(self, partition: int, digests: Sequence[bytes]) -> Awaitable[None]:
        """Note delivered events. The result is done when that is durable."""
        return self.write(partition, dict.fromkeys(digests, b""))

    def _changelog(self, rows: Mapping[bytes, bytes | None]) -> list[Record]:
        return [Record(b"", b"".join(rows))]

    def _rows(self, key: bytes, value: bytes | None) -> Iterable[tuple[bytes, bytes | None]]:  # noqa: ARG002
        if value is None:
            return ()
        return (
            (value[start : start + DIGEST_BYTES], b"")
            for start in range(0, len(value), DIGEST_BYTES)
        )
