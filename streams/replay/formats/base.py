"""What a format is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import BufferedIOBase
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
    """A way of wrapping events into lines."""

    def unwrap(self, line: bytes) -> Iterable[Inner] | None:
        """What is inside of a line, which may be nothing; None if it is not of this format."""


class Container(Protocol):
    """A way of putting lines into a file, after decompression."""

    MAGIC: bytes
    """What such a file begins with."""

    def lines(self, stream: BufferedIOBase) -> Iterator[bytes | None]:
        """The lines, or what corresponds to them; None for one that is too long to be read.

        Raises whatever it raises when the file is broken.
        """
