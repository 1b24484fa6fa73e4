"""Lanes: a person's events on their way to one destination, and the calls they need."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from streams.batching.pending import Pending
from streams.destinations.base import Conversation, Request
from streams.errors import EventError

log = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False)
class Lane:
    """One person's events: each has its outcome before the next is called."""

    key: tuple[int, str]
    waiting: deque[Pending] = field(default_factory=deque)
    next_request: int = 0
    """Of the first event's requests, the one to make next."""
    attempts: int = 0
    first_attempt_at: float = 0.0
    """On the :class:`~streams.delivery.retry.RetryClock`."""
    is_dropped: bool = False
    """Whether its partition went to another worker."""

    def request(self) -> Request | None:
        """The request that the first event needs next; None when it needs no more."""
        event = self.waiting[0]
        requests = event.all_requests()
        while self.next_request < len(requests):
            request = requests[self.next_request]
            if isinstance(request, Conversation):
                request = _next_of(request, event)
            if request is not None:
                return request
            # It could not be built, and the event's error says why; or a conversation is over.
            self.next_request += 1
        return None

    def conversation(self) -> Conversation | None:
        """The conversation that the next request is of, if it is of one."""
        requests = self.waiting[0].all_requests()
        request = requests[self.next_request] if self.next_request < len(requests) else None
        return request if isinstance(request, Conversation) else None

    def next_event(self) -> None:
        """The first event has its outcome."""
        self.waiting.popleft()
        self.next_request = self.attempts = 0

    def take_apart(self) -> None:
        """One of the events merged into the first is at fault: each is to be called alone."""
        event = self.waiting.popleft()
        apart = [*event.merged, event]
        event.merged, event.merged_request = (), None
        for single in apart:
            single.is_alone = True
        self.waiting.extendleft(reversed(apart))
        self.next_request = self.attempts = 0


def _next_of(conversation: Conversation, event: Pending) -> Request | None:
    try:
        return conversation.request()
    except EventError as error:
        event.error = event.error or error
    except Exception as error:
        log.exception("conversation failed", origin=str(event.origin), action=event.action)
        event.error = EventError("internal-error", f"{type(error).__name__}: {error}")
    return None


@dataclass(slots=True, eq=False)
class Call:
    """A request, and the lanes whose first events it is for: one, or in bulk several."""

    request: Request
    lanes: Sequence[Lane]
    parts: Sequence[Any] = ()
    """In bulk: what stands for each lane's own request in this one."""
    is_probe: bool = False
    """Whether it finds out if the destination takes us again."""

    @property
    def key(self) -> tuple[int, str]:
        """Whose call it is, for telling people apart. A bulk call counts as one person."""
        return self.lanes[0].key

    @property
    def action(self) -> str:
        """For the metrics."""
        return self.lanes[0].waiting[0].action

    def is_dropped(self) -> bool:
        """Whether another worker makes it. To be asked again after every await."""
        # Partitions are given up all at once.
        return self.lanes[0].is_dropped
