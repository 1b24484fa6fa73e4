"""What a destination is to the rest of the program.

A destination turns an event into requests and says what an answer means. It neither
sends (see :mod:`streams.delivery`) nor knows about topics.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from streams.destinations.conversation import Conversation
from streams.destinations.request import Request
from streams.events import Event

__all__ = ["Conversation", "Destination", "Request", "Subscription", "Verdict"]


@dataclass(frozen=True, slots=True)
class Subscription:
    """One line of a destination's configuration: when to act, and how.

    ``action`` is the name of the per-action stream (``identify``, ``track``, ``page``,
    ``group``, ``alias``, ``tag``, ``untag``). ``build`` makes the call, or a conversation where
    calls depend on answers. It raises :class:`~streams.errors.PayloadError` when the event does
    not satisfy the action.
    """

    name: str
    action: str
    matches: Callable[[Event], bool]
    build: Callable[[Event], Request | Conversation]


class Verdict(Enum):
    """What an answer means for the event that was sent."""

    DELIVERED = "delivered"
    RETRY = "retry"
    """Not now: the same request may succeed later."""
    REJECTED = "rejected"
    """Never: the event becomes a dead letter."""
    MISCONFIGURED = "misconfigured"
    """Not the event's fault: hold everything until a person mends it."""


class Destination(Protocol):
    """A configured destination instance. Immutable; safe to share between tasks."""

    @property
    def name(self) -> str:
        """Its name among those that there are, for instance ``encharge``."""

    @property
    def integration_names(self) -> frozenset[str]:
        """Names under which an event's ``integrations`` object may address it."""

    @property
    def subscriptions(self) -> Sequence[Subscription]:
        """In the order in which they fire."""

    def candidates(self, kind: str) -> Sequence[Subscription]:
        """Those of :attr:`subscriptions` that an event of a type may match, in their order."""

    def delete(self, event: Event) -> Request | Conversation:
        """What erases a person. Raises ``PayloadError`` without an id."""

    def merge(
        self, earlier: Request | Conversation, later: Request | Conversation
    ) -> Request | Conversation | None:
        """The one that leaves a person as these two would, or None."""

    def part(self, request: Request) -> Any:
        """What stands for a request in :meth:`bulk`; None if it has to go on its own.

        It says the same of the person as the request does.
        """

    def bulk(self, parts: Sequence[Any]) -> Request:
        """One request for several people. It takes effect for all of them or for none."""

    def classify(self, status: int, content_type: str, body: bytes) -> Verdict:
        """What an HTTP answer means."""

    def advice(self, status: int) -> str:
        """What to do about an answer that means ``MISCONFIGURED``, for a person."""
