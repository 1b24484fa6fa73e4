"""The form of a dead letter: the original bytes, and headers that say what happened."""

from __future__ import annotations

import gzip
import time
from dataclasses import dataclass, field, replace

from streams.dead_letters.redrive import PREFIX, Redrive
from streams.engine.producer import Record
from streams.events import Origin

MAX_VALUE_BYTES = 900_000
"""Above this a value is compressed: with its headers it must fit where the original fitted."""

TRUNCATED_BYTES = 100_000
"""What is kept of a value that the dead-letter topic does not take even compressed."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that could not go on.

    ``stage`` is the place in the pipeline, ``reason`` a short word for filtering,
    ``text`` an explanation for a person, ``status`` the destination's last answer (0:
    none), ``attempts`` the calls made. Times are seconds since 1970.
    """

    raw: bytes | None
    origin: Origin
    stage: str
    reason: str
    text: str
    key: str | bytes | None = None
    produced_at: float = 0.0
    action: str = ""
    status: int = 0
    attempts: int = 0
    excerpt: str = ""
    source: str = ""
    """The name of the write key's source, where the event came through the gateway."""
    original_bytes: int = 0
    """Size of the original value, where ``raw`` is only its beginning; else 0."""
    redrive: Redrive | None = None
    """The try that failed, if the event had been a dead letter before."""
    is_resolved: bool = False
    """Whether what the event teaches of identities was learned ..."""
    user: str | None = None
    """... and the userId that it then had."""
    destination: str = ""
    """The name of the destination that it did not reach; empty where it got to none."""
    buried_at: float = field(default_factory=time.time)

    def truncated(self) -> DeadLetter:
        """This letter with only the beginning of its value, for a topic that takes no more."""
        if self.raw is None or len(self.raw) <= TRUNCATED_BYTES:
            return self
        return replace(self, raw=self.raw[:TRUNCATED_BYTES], original_bytes=len(self.raw))

    def record(self) -> Record:
        """The Kafka record. Its value is the original one, to the byte, while that fits."""
        value, encoding = self.raw, ""
        if value is not None and len(value) > MAX_VALUE_BYTES:
            value, encoding = gzip.compress(value), "gzip"
        headers = {
            "stage": self.stage,
            "reason": self.reason,
            "text": self.text,
            "topic": self.origin.topic,
            "partition": str(self.origin.partition),
            "offset": str(self.origin.offset),
            "produced-at": _milliseconds(self.produced_at),
            "buried-at": _milliseconds(self.buried_at),
            "action": self.action,
            "status": str(self.status) if self.status else "",
            "attempts": str(self.attempts) if self.attempts else "",
            "excerpt": self.excerpt,
            "source": self.source,
            "content-encoding": encoding,
            "truncated-from": str(self.original_bytes) if self.original_bytes else "",
            "redriven": str(self.redrive.tries) if self.redrive else "",
            "redrive-of": self.redrive.letter if self.redrive else "",
            "resolved": "1" if self.is_resolved else "",
            "user-id": self.user or "",
            "destination": self.destination,
        }
        return Record(
            key=self.key.encode() if isinstance(self.key, str) else self.key,
            value=value,
            headers=[(PREFIX + name, text.encode()) for name, text in headers.items() if text],
        )


def _milliseconds(seconds: float) -> str:
    return str(int(seconds * 1000))
