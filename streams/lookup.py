"""What the identity table knows about an id: the rows are read, the rules say what they mean."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from streams.errors import StreamsError
from streams.identity.answer import Answer, Selection, answer, device_answer
from streams.source.ingest import partition_of

Take = Callable[[int, bytes, bytes | None], None]


class Rows(Protocol):
    """The rows of a table, wherever they are kept (:mod:`streams.engine.changelog`)."""

    partitions: int

    async def read(self, partitions: Iterable[int], take: Take) -> None:
        """Give every row of some partitions to ``take``."""


async def look_up(subject: str, rows: Rows) -> Answer:
    """What is known about an id, as a device and as a user."""
    home = partition_of(subject, rows.partitions)
    # Its own partition knows what became it. Told so, most others need to be read once only.
    own = Selection(subject)
    await _select(rows, {home: own})
    user = answer(subject, home, {home: own.rows}).user
    former = [] if user is None else [step.old for step in user.former]
    others = {
        partition: Selection(subject, former=former)
        for partition in range(rows.partitions)
        if partition != home
    }
    await _select(rows, others)
    selections = {home: own, **others}
    return answer(subject, home, {p: selection.rows for p, selection in selections.items()})


async def look_up_device(subject: str, rows: Rows) -> Answer:
    """What is known about an id that is a device's: its own partition knows all of it."""
    home = partition_of(subject, rows.partitions)
    own = Selection(subject, is_device_only=True)
    await _select(rows, {home: own})
    return device_answer(subject, home, own.rows)


async def _select(rows: Rows, selections: dict[int, Selection]) -> None:
    """Read partitions until what is found makes nothing else matter."""

    def take(partition: int, key: bytes, value: bytes | None) -> None:
        try:
            selections[partition].take(key, value)
        except (ValueError, TypeError, IndexError) as error:
            raise StreamsError(
                f"STREAMS_APP_ID: its changelog has a row in partition {partition} that is "
                f"none of this program's: {key!r}"
            ) from error

    unread = list(selections)
    while unread:
        await rows.read(unread, take)
        unread = [p for p in unread if not selections[p].is_complete]
        for partition in unread:
            selections[partition].restart()
