"""Which dead letters are meant, and what they are together."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from streams.dead_letters.letter import Letter, LetterId, Mark

_AGO = re.compile(r"(\d{1,9})(s|m|h|d)")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@dataclass(frozen=True, slots=True)
class Selection:
    """What is asked for. Everything that is given must hold; nothing given takes all.

    ``since`` and ``until`` are milliseconds since 1970, of the burial; ``until`` excluded.
    """

    reasons: Collection[str] = ()
    actions: Collection[str] = ()
    stages: Collection[str] = ()
    people: Collection[str] = ()
    since: int | None = None
    until: int | None = None
    ids: Collection[LetterId] = ()
    is_redriven: bool | None = None

    def takes(self, letter: Letter) -> bool:
        """Whether a letter is meant, but for ``is_redriven``, which later records tell."""
        return (
            (not self.ids or letter.id in self.ids)
            and (not self.reasons or letter.reason in self.reasons)
            and (not self.actions or letter.action in self.actions)
            and (not self.stages or letter.stage in self.stages)
            and (not self.people or not set(self.people).isdisjoint(letter.people))
            and (self.since is None or letter.buried_ms >= self.since)
            and (self.until is None or letter.buried_ms < self.until)
        )


@dataclass(slots=True)
class Collected:
    """Letters of a selection, collected record by record."""

    selection: Selection
    letters: dict[LetterId, Letter] = field(default_factory=dict)
    marks: dict[LetterId, list[int]] = field(default_factory=dict)
    foreign: int = 0
    """Records that are not of this program."""

    def take(self, found: Letter | Mark | None) -> None:
        """One more record of the topic."""
        if found is None:
            self.foreign += 1
        elif isinstance(found, Mark):
            self.marks.setdefault(found.letter, []).append(found.at_ms)
        elif self.selection.takes(found):
            self.letters[found.id] = found

    def in_order(self) -> list[Letter]:
        """What was asked for, oldest first, each with what the marks say of it."""
        wanted = self.selection.is_redriven
        letters = (letter.redriven(self.marks.get(id, ())) for id, letter in self.letters.items())
        return sorted(
            (x for x in letters if wanted is None or bool(x.redriven_ms) is wanted),
            key=lambda letter: (letter.buried_ms, letter.id),
        )


@dataclass(slots=True)
class Sum:
    """The letters of one reason."""

    reason: str
    letters: int = 0
    redriven: int = 0
    first_ms: int = 0
    last_ms: int = 0
    stages: dict[str, int] = field(default_factory=dict)
    actions: dict[str, int] = field(default_factory=dict)


def summary(letters: Iterable[Letter]) -> list[Sum]:
    """Letters by reason, most first. They are given oldest first."""
    sums: dict[str, Sum] = {}
    for letter in letters:
        found = sums.get(letter.reason)
        if found is None:
            found = sums[letter.reason] = Sum(letter.reason, first_ms=letter.buried_ms)
        found.letters += 1
        found.redriven += bool(letter.redriven_ms)
        found.last_ms = letter.buried_ms
        found.stages[letter.stage] = found.stages.get(letter.stage, 0) + 1
        if letter.action:
            found.actions[letter.action] = found.actions.get(letter.action, 0) + 1
    return sorted(sums.values(), key=lambda found: (-found.letters, found.reason))


def moment(text: str, now: float) -> int:
    """Milliseconds since 1970 of a time: ISO 8601 (UTC if it says nothing), or ``30m`` ago.

    Raises ``ValueError``.
    """
    ago = _AGO.fullmatch(text)
    try:
        if ago:
            seconds = now - int(ago[1]) * _SECONDS[ago[2]]
        else:
            at = datetime.fromisoformat(text)
            seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise ValueError(
            f"{text!r} is neither a time such as 2026-11-02T09:00 nor an age such as 30s, 15m, "
            "2h or 7d"
        ) from None
    return int(seconds * 1000)
