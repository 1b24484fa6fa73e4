"""What other tools wrap events into. A new one is one file here, and one line in the registry.

An envelope is told by itself, on the topic as in a log. What is an event as it is needs none:
Segment's Kafka destination, RudderStack's Kafka destination, plain producers.
"""

from __future__ import annotations

from typing import Final

from streams.source.envelopes.base import Envelope, Inner
from streams.source.envelopes.batch import Batch
from streams.source.envelopes.jitsu import Jitsu
from streams.source.envelopes.opener import Opener, additions
from streams.source.envelopes.rudderstack import RudderStack

ENVELOPES: Final[tuple[Envelope, ...]] = (
    RudderStack(),
    Jitsu(),
    Batch(),
)

__all__ = ["ENVELOPES", "Envelope", "Inner", "Opener", "additions"]
