"""Which events are asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from streams.source.head import Head
from streams.source.normalise import number_text

TIME: Final = "time"
TYPE: Final = "type"
EVENT: Final = "event"
PERSON: Final = "person"


@dataclass(frozen=True, slots=True)
class Filter:
    """What is asked for; None or empty asks for everything.

    ``since`` belongs to the range, ``until`` does not (microseconds since 1970). ``people``
    are ids as the events themselves name them: userId, anonymousId or previousId.
    """

    since: int | None = None
    until: int | None = None
    types: frozenset[str] = frozenset()
    events: frozenset[str] = frozenset()
    people: frozenset[str] = frozenset()

    def refuses(self, head: Head, at: int | None) -> str | None:
        """Why an event that happened ``at`` is not asked for; None if it is.

        One that does not say when it happened is in no range.
        """
        if self.since is not None and (at is None or at < self.since):
            return TIME
        if self.until is not None and (at is None or at >= self.until):
            return TIME
        if self.types and head.type not in self.types:
            return TYPE
        if self.events and head.event not in self.events:
            return EVENT
        if self.people and self.people.isdisjoint(
            map(_text, (head.userId, head.anonymousId, head.previousId))
        ):
            return PERSON
        return None


def _text(value: Any) -> str:
    if value is None or type(value) is str:
        return value or ""
    return number_text(value)
