"""What can become of an event. Every event ends in exactly one of these."""

from __future__ import annotations

from enum import StrEnum


class Outcome(StrEnum):
    """The five ends of an event (guarantee G1)."""

    DELIVERED = "delivered"
    """The destination acknowledged it."""
    COALESCED = "coalesced"
    """Merged into a later identify that was delivered."""
    FILTERED = "filtered"
    """A rule said that it is not to be sent."""
    DUPLICATE = "duplicate"
    """Its messageId was seen within the dedup horizon."""
    DEAD_LETTERED = "dead_lettered"
    """Confirmed in the dead-letter topic."""
