"""What an envelope is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Inner:
    """What was inside of an envelope: an event, or another envelope.

    What the envelope knows is used where the event does not say it itself.
    """

    raw: bytes
    message_id: str | None = None
    received_at: str | None = None
    """When its collector received it (ISO 8601): makes the correction of clocks possible."""
    produced_at: str | None = None
    """When it was put on a topic (ISO 8601): the time of last resort."""


class Envelope(Protocol):
    """A way of wrapping events into a value or a line."""

    def unwrap(self, line: bytes) -> Iterable[Inner] | None:
        """What is inside, which may be nothing; None if it is not of this format."""
