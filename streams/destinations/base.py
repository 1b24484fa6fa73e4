"""What a destination is to the rest of the program.

A destination turns an event into requests and says what an answer means. It neither
sends (see :mod:`streams.delivery`) nor knows about topics.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple, Protocol

from streams.events import Event


class Request(NamedTuple):
    """One HTTP call: what ``streams explain`` prints and the sender sends."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: Any


@dataclass(frozen=True, slots=True)
class Subscription:
    """One line of a destination's configuration: when to act, and how.

    ``action`` is the name of the per-action stream (``identify``, ``track``, ``page``,
    ``group``, ``alias``, ``tag``, ``untag``). ``build`` raises
    :class:`~streams.errors.PayloadError` when the event does not satisfy the action.
    """

    name: str
    action: str
    matches: Callable[[Event], bool]
    build: Callable[[Event], Request]


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

    def delete(self, event: Event) -> Request:
        """The request that erases a person. Raises ``PayloadError`` without an id."""

    def merge(self, earlier: Request, later: Request) -> Request | None:
        """The one request that leaves a person as these two would, or None."""

    def part(self, request: Request) -> Any:
        """What stands for a request in :meth:`bulk`; None if it has to go on its own.

        It says the same of the person as the request does.
        """

    def bulk(self, parts: Sequence[Any]) -> Request:
        """One request for several people. It takes effect for all of them or for none."""

    def classify(self, status: int, content_type: str, body: bytes) -> Verdict:
        """What an HTTP answer means."""
