"""Changelog records on their way into the tables, a chunk at a time.

Faust decides what is recovered, from where, and when it is done. It is given a *changelog
chunk* where it expects a record: a message with the offset of the last of up to a thousand
records. What it keeps count of (offsets, highwaters, what remains) stays true, and its
price of 100 us for each record is paid for each chunk.

A record may have no successor (compaction and transaction markers leave gaps), so a hole
between two chunks cannot be seen in the offsets of records. Chunks therefore say from
which position on they are complete, and a chunk is taken only where the one before it
ended. What got lost on the way, as Faust empties its queues whenever flow is resumed, is
read again.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from faust.types import TP, ConsumerMessage

if TYPE_CHECKING:
    from collections import Counter

    from aiokafka.structs import ConsumerRecord
    from faust.tables.recovery import Recovery

    from streams.engine.app import ChunkApp


class Reading:
    """One pass over a changelog partition: from a seek to the next one."""

    __slots__ = ("handed", "taken")

    def __init__(self, start: int) -> None:
        self.handed = start
        """Everything below this offset was handed to Faust."""
        self.taken = start
        """Everything below this offset has arrived at the table."""


class ChangelogChunk(ConsumerMessage):  # type: ignore[misc]
    """All that a changelog partition holds from ``start`` up to and with ``offset``.

    That may be nothing: where a topic ends with transaction markers or with what was
    compacted away, an empty chunk tells Faust that the end is reached.
    """

    def __init__(
        self,
        tp: TP,
        records: Sequence[ConsumerRecord[Any, Any]],
        reading: Reading,
        end: int,
        generation: int,
    ) -> None:
        """``end``: the offset that follows the chunk."""
        super().__init__(
            topic=tp.topic,
            partition=tp.partition,
            offset=end - 1,
            timestamp=0.0,
            timestamp_type=0,
            headers=None,
            key=None,
            value=None,
            checksum=None,
            tp=tp,
            generation_id=generation,
        )
        self.records = records
        self.reading = reading
        self.start = reading.handed
        self.taken = False


class Changelogs:
    """The readings of all changelog partitions of a worker."""

    def __init__(self, app: ChunkApp) -> None:
        self._app = app
        self._readings: dict[TP, Reading] = {}
        self._lost: set[TP] = set()
        self._sought: set[TP] = set()

    @property
    def _recovery(self) -> Recovery:
        return self._app.tables.recovery

    def _offsets(self, tp: TP) -> Counter[TP] | None:
        """Where Faust counts a partition, if it recovers it at all."""
        recovery = self._recovery
        found: Counter[TP] | None = None
        if tp in recovery.active_tps:
            found = recovery.active_offsets
        elif tp in recovery.standby_tps:
            found = recovery.standby_offsets
        return found

    # -- from the client

    def sought(self, positions: Mapping[TP, int]) -> None:
        """Begin a new pass where Faust has got to. Chunks of earlier ones count no more."""
        for tp, position in positions.items():
            if tp.topic in self._app.chunked_changelogs:
                offset = (self._offsets(tp) or {}).get(tp)
                self._readings[TP(*tp)] = Reading(position if offset is None else offset + 1)
                self._sought.add(TP(*tp))
        # Its estimate of the time that remains would take a chunk for a record.
        self._recovery.num_samples_required_for_estimate = sys.maxsize

    def readings(self) -> list[tuple[TP, Reading]]:
        """The partitions whose client position is known to be right."""
        return [(tp, reading) for tp, reading in self._readings.items() if tp not in self._lost]

    def fetching(self) -> None:
        """Call before each fetch: what it brings belongs to the passes of this moment."""
        self._sought.clear()

    def fetched(self, tp: TP) -> Reading | None:
        """The pass that fetched records belong to; None when they are of no use."""
        if tp in self._sought:
            # From before the seek or from after it, nobody knows.
            self._lost.add(tp)
            return None
        return self._readings.get(tp)

    def ends_at(self, tp: TP, end: int | None) -> None:
        """Have recovery go on to the end that a fetch reported.

        The end that it asked for beforehand is too low on the embedded broker, and does
        not have what an earlier owner of the partition wrote last.
        """
        recovery = self._recovery
        if end is not None and recovery.in_recovery and tp in recovery.active_highwaters:
            highwaters = recovery.active_highwaters
            highwaters[tp] = max(highwaters[tp], end - 1)

    def lost(self, tps: Iterable[TP]) -> None:
        """Note that something was fetched and not handed over."""
        self._lost.update(TP(*tp) for tp in tps if tp.topic in self._app.chunked_changelogs)

    def to_read_again(self, active: set[TP]) -> dict[TP, int]:
        """Where to seek to, for what was lost of the partitions that are being read."""
        return {
            tp: self._readings[tp].taken
            for tp in self._lost
            if tp in active and tp in self._readings
        }

    def read_again(self, tps: Iterable[TP]) -> None:
        """Call after the seek to what :meth:`to_read_again` gave."""
        self._lost.difference_update(tps)

    # -- to the table

    def take(self, chunk: ChangelogChunk, topic: str) -> bool:
        """Whether a chunk continues the table of a changelog topic: there is no hole before it.

        Faust counts it before it asks. Where it is not taken, the count is put back.
        """
        tp = chunk.tp
        offsets = self._offsets(tp)
        reading = self._readings.get(tp)
        if offsets is None or reading is None or tp.topic != topic:
            # Late, of a partition that is another worker's by now.
            return False
        recovery = self._recovery
        if tp in recovery.active_tps and not recovery.in_recovery:
            # The agents write to the table already.
            pass
        elif chunk.reading is reading and chunk.start == reading.taken:
            reading.taken = chunk.offset + 1
            chunk.taken = True
            return True
        elif chunk.reading is reading:
            self._lost.add(tp)
        offsets[tp] = reading.taken - 1
        return False
