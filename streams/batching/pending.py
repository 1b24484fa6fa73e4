"""An event between resolve and its outcome, and the chunk that waits for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from streams.dead_letters.redrive import Redrive
from streams.destinations.base import Conversation, Request
from streams.errors import EventError
from streams.events import Event, Origin


class Progress:
    """How many events of a chunk are still without an outcome.

    ``on_done`` is called once, when no event is without one. ``confirmations`` are what
    must be confirmed besides (identity rows, published events) before the chunk may be
    acknowledged.
    """

    __slots__ = ("_on_done", "confirmations", "is_abandoned", "passed_on", "remaining", "total")

    def __init__(
        self, total: int, on_done: Callable[[], None], is_abandoned: Callable[[], bool]
    ) -> None:
        self.total = total
        self.remaining = total
        self.passed_on = 0
        """Of those that are finished, the ones that others count."""
        self._on_done: Callable[[], None] | None = on_done
        self.is_abandoned = is_abandoned
        self.confirmations: list[Awaitable[object]] = []

    def expect(self, count: int) -> None:
        """Note that ``count`` more events need an outcome. To be called before any has one."""
        self.total += count
        self.remaining += count

    def finish(self, count: int = 1) -> None:
        """Note that ``count`` more events have their outcome, durably."""
        self.remaining -= count
        if self.remaining == 0 and self._on_done is not None:
            # Called once and let go: it refers to the chunk, and so to this.
            on_done, self._on_done = self._on_done, None
            on_done()
        elif self.remaining < 0:
            raise AssertionError("an event of this chunk was settled twice")


@dataclass(slots=True, eq=False)
class Pending:
    """One event on its way to exactly one outcome."""

    event: Event
    raw: bytes
    """The source record's value; the event as JSON where that held several."""
    source: tuple[str, int]
    """Topic and partition of the source record ..."""
    offset: int
    """... and its offset: see ``origin``."""
    lane: str
    """The person's key: what shares it is delivered in order."""
    partition: int
    """Of the stage topic."""
    digest: bytes
    """Of the messageId, for dedup."""
    produced_at: float
    """Kafka timestamp of the source record, seconds since 1970."""
    progress: Progress
    action: str
    """The per-action stream it took (the first, where several subscriptions fire)."""
    requests: list[Request | Conversation | None]
    """One for each subscription that fires, in the order in which they do."""
    error: EventError | None = None
    merged: Sequence[Pending] = ()
    """Earlier events of the same person whose calls this one's stands for."""
    merged_request: Request | Conversation | None = None
    json: bytes | None = None
    """The event as JSON, where ``raw`` is something else."""
    redrive: Redrive | None = None
    """The try that this is, if the event was a dead letter."""
    is_alone: bool = False
    """Whether it is called for by itself: together with others it was not accepted."""

    def all_requests(self) -> Sequence[Request | Conversation | None]:
        """What is to be made for it, and for those merged into it."""
        return self.requests if self.merged_request is None else (self.merged_request,)

    @property
    def origin(self) -> Origin:
        """Where it was read."""
        return Origin(*self.source, self.offset)


def by_partition(events: Sequence[Pending]) -> dict[int, Sequence[Pending]]:
    """Events grouped by their partition, in order. Nearly always there is only one."""
    first = events[0].partition
    if all(event.partition == first for event in events):
        return {first: events}
    groups: dict[int, list[Pending]] = {}
    for event in events:
        groups.setdefault(event.partition, []).append(event)
    return dict(groups)
