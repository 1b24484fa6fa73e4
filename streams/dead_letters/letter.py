"""A dead letter as it is read back from its topic, and the note that it was redriven."""

from __future__ import annotations

import base64
import gzip
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import orjson

from streams.dead_letters.redrive import PREFIX, Headers, Place, Redrive
from streams.dead_letters.redrive import headers as redrive_headers
from streams.events import Origin
from streams.moments import iso_ms
from streams.source.normalise import person_key

MARK = "dlq.mark"
MARK_REDRIVEN = b"redriven"

_ID = re.compile(r"(\d{1,10})@(\d{1,18})")


class LetterId(NamedTuple):
    """Where a dead letter is in its topic. Written as ``partition@offset``."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.partition}@{self.offset}"

    @classmethod
    def parse(cls, text: str) -> LetterId | None:
        """The id that a text says; None if it says none."""
        found = _ID.fullmatch(text)
        return cls(int(found[1]), int(found[2])) if found else None


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter. See :class:`streams.dead_letters.record.DeadLetter`, which it was.

    Times are milliseconds since 1970. ``value`` is the original one, decompressed.
    """

    id: LetterId
    buried_ms: int
    """Kafka's timestamp of the letter."""
    origin: Origin
    produced_ms: int
    stage: str
    reason: str
    text: str
    key: bytes | None
    value: bytes | None
    size: int
    """Of ``value``, which lists do without."""
    people: tuple[str, ...]
    """Ids of its person: anonymousId, userId, lane. The first is the one to show."""
    action: str = ""
    status: int = 0
    attempts: int = 0
    excerpt: str = ""
    truncated_from: int = 0
    """Size of the original value, where ``value`` is only its beginning; else 0."""
    tries: int = 0
    """How often the event had been redriven when it was buried."""
    redrive_of: str = ""
    """The letter that it was before, if it was."""
    is_resolved: bool = False
    user: str | None = None
    destination: str = ""
    """The name of the destination that it did not reach; empty where it got to none."""
    redriven_ms: tuple[int, ...] = ()
    """When this letter was redriven."""

    def without_value(self) -> Letter:
        """This letter for a list, which may be long."""
        return replace(self, value=None)

    def redriven(self, marks: Sequence[int]) -> Letter:
        """This letter, with the times at which it was redriven."""
        return replace(self, redriven_ms=tuple(marks)) if marks else self

    def why_not(self) -> str | None:
        """Why this letter cannot be redriven; None if it can."""
        if self.truncated_from:
            return f"truncated: only {self.size} of {self.truncated_from} bytes were kept"
        if self.reason == "unreadable-stage-record":
            return f"not an event: a record of {self.origin.topic} that this program did not write"
        if self.stage == "gateway":
            # It may ask for what nobody may ask for over HTTP, such as a deletion.
            return f"refused: it was never on {self.origin.topic}; send it again, mended"
        return None

    def next_try(self) -> tuple[Redrive, Place]:
        """What a redriven record of this letter says of itself."""
        return (
            Redrive(
                self.tries + len(self.redriven_ms) + 1,
                str(self.id),
                self.is_resolved,
                self.user,
                self.destination,
            ),
            Place(self.origin, self.produced_ms),
        )

    def next_headers(self) -> list[tuple[str, bytes]]:
        """The headers of a redriven record of this letter."""
        return redrive_headers(*self.next_try())


@dataclass(frozen=True, slots=True)
class Mark:
    """The note, in the letter's partition, that a letter was redriven."""

    letter: LetterId
    at_ms: int

    @staticmethod
    def headers(letter: LetterId) -> list[tuple[str, bytes]]:
        """The headers of the record that holds this."""
        return [(MARK, MARK_REDRIVEN), (PREFIX + "id", str(letter).encode())]


def read(record: Any) -> Letter | Mark | None:
    """What a record of the dead-letter topic is; None if it is not of this program."""
    headers: Headers = record.headers
    texts = {
        name.removeprefix(PREFIX): value.decode("utf-8", "replace")
        for name, value in headers
        if name.startswith(PREFIX) and value is not None
    }
    try:
        return _mark(record, texts) if "mark" in texts else _letter(record, texts)
    except (KeyError, ValueError, OSError, EOFError, zlib.error):
        return None


def _mark(record: Any, texts: dict[str, str]) -> Mark | None:
    letter = LetterId.parse(texts["id"])
    if letter is None or texts["mark"] != MARK_REDRIVEN.decode():
        return None
    return Mark(letter, record.timestamp)


def _letter(record: Any, texts: dict[str, str]) -> Letter:
    value: bytes | None = record.value
    if value is not None and texts.get("content-encoding") == "gzip":
        value = gzip.decompress(value)
    return Letter(
        id=LetterId(record.partition, record.offset),
        buried_ms=record.timestamp,
        origin=Origin(texts["topic"], int(texts["partition"]), int(texts["offset"])),
        produced_ms=int(texts.get("produced-at", 0)),
        stage=texts["stage"],
        reason=texts["reason"],
        text=texts.get("text", ""),
        key=record.key,
        value=value,
        size=len(value or b""),
        people=_people(record.key, value),
        action=texts.get("action", ""),
        status=int(texts.get("status", 0)),
        attempts=int(texts.get("attempts", 0)),
        excerpt=texts.get("excerpt", ""),
        truncated_from=int(texts.get("truncated-from", 0)),
        tries=int(texts.get("redriven", 0)),
        redrive_of=texts.get("redrive-of", ""),
        is_resolved=texts.get("resolved") == "1",
        user=texts.get("user-id"),
        destination=texts.get("destination", ""),
    )


def _people(key: bytes | None, value: bytes | None) -> tuple[str, ...]:
    """The ids of the person, as far as the bytes, which may be anything, tell."""
    found: dict[str, None] = {}
    try:
        event = orjson.loads(value or b"")
    except ValueError:
        event = None
    if type(event) is dict:
        for name in ("anonymousId", "userId"):
            said = event.get(name)
            if type(said) in (str, int, float) and said != "":
                found[person_key(said, None)] = None
    if key:
        found[key.decode("utf-8", "replace")] = None
    return tuple(found)


def as_object(letter: Letter) -> dict[str, Any]:
    """A letter without its value, for programs."""
    return {
        "id": str(letter.id),
        "buriedAt": iso_ms(letter.buried_ms),
        "stage": letter.stage,
        "action": letter.action or None,
        "reason": letter.reason,
        "text": letter.text,
        "status": letter.status or None,
        "attempts": letter.attempts or None,
        "people": list(letter.people),
        "source": {
            "topic": letter.origin.topic,
            "partition": letter.origin.partition,
            "offset": letter.origin.offset,
            "producedAt": iso_ms(letter.produced_ms),
        },
        "bytes": letter.size,
        "truncatedFrom": letter.truncated_from or None,
        "tries": letter.tries,
        "redriveOf": letter.redrive_of or None,
        "destination": letter.destination or None,
        "redrivenAt": [iso_ms(at) for at in letter.redriven_ms],
    }


def value_object(letter: Letter) -> dict[str, Any]:
    """Its original value: text, or what is no UTF-8 in Base64."""
    value = letter.value
    try:
        return {"value": None if value is None else value.decode()}
    except UnicodeDecodeError:
        return {"value": None, "valueBase64": base64.b64encode(value or b"").decode()}
