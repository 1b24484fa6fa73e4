"""What became of everything that was read. The counts add up."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from streams.replay.times import iso

PROBLEMS_KEPT: Final = 1_000
EXACT_PEOPLE: Final = 100_000
_SLOTS: Final = 1 << 24

CONFIRMED: Final = "confirmed-before"
EMPTY: Final = "empty"


class People:
    """Counts people in bounded memory: exactly up to 100,000, within 0.1 % for millions.

    Beyond that it is linear counting: each person has one of 2^24 places; from how many
    places are still free follows how many people there were.
    """

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self._places = bytearray()

    def update(self, keys: Iterable[bytes]) -> None:
        """Count people, each once."""
        if not self._places:
            self._seen.update(map(hash, keys))
            if len(self._seen) <= EXACT_PEOPLE:
                return
            self._places = bytearray(_SLOTS)
            numbers: Iterable[int] = self._seen
            self._seen = set()
        else:
            numbers = map(hash, keys)
        places = self._places
        for number in numbers:
            places[number & (_SLOTS - 1)] = 1

    def __len__(self) -> int:
        if not self._places:
            return len(self._seen)
        free = _SLOTS - self._places.count(1)
        return round(-_SLOTS * math.log(max(free, 1) / _SLOTS))


@dataclass(frozen=True, slots=True)
class Problem:
    """A line or file that is broken, and where."""

    place: str
    reason: str
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"


@dataclass(slots=True)
class Report:
    """read = produced + filtered + broken + skipped + left."""

    files: int = 0
    files_skipped: int = 0
    files_broken: int = 0
    read: int = 0
    """Events, and lines that are none."""
    produced: int = 0
    filtered: Counter[str] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    people: People = field(default_factory=People)
    first: int | None = None
    last: int | None = None
    problems: list[Problem] = field(default_factory=list)
    """The first ones."""

    @property
    def left(self) -> int:
        """What is to be produced."""
        return (
            self.read
            - self.produced
            - self.filtered.total()
            - self.broken.total()
            - self.skipped.total()
        )

    def note(self, problem: Problem) -> bool:
        """Keep a problem; tells whether it is one of those that are kept."""
        if len(self.problems) >= PROBLEMS_KEPT:
            return False
        self.problems.append(problem)
        return True

    def saw(self, first: int, last: int) -> None:
        """Note between which moments events happened."""
        if self.first is None or first < self.first:
            self.first = first
        if self.last is None or last > self.last:
            self.last = last

    def as_object(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "files": {
                "read": self.files,
                "skipped": self.files_skipped,
                "broken": self.files_broken,
            },
            "read": self.read,
            "produced": self.produced,
            "filtered": _counts(self.filtered),
            "broken": _counts(self.broken),
            "skipped": _counts(self.skipped),
            "left": self.left,
            "people": len(self.people),
            "first": None if self.first is None else iso(self.first),
            "last": None if self.last is None else iso(self.last),
            "problems": [
                {"place": p.place, "reason": p.reason, "text": p.text} for p in self.problems
            ],
        }

    def as_lines(self) -> list[str]:
        """For people."""
        files = f"{self.files:,} files"
        if self.files_broken:
            files += f", {self.files_broken:,} of them broken"
        if self.files_skipped:
            files += f"; {self.files_skipped:,} that are no logs were left out"
        rows = [
            ("read", f"{self.read:,}", files),
            ("produced", f"{self.produced:,}", ""),
            ("filtered", f"{self.filtered.total():,}", _listed(self.filtered)),
            ("broken", f"{self.broken.total():,}", _listed(self.broken)),
            ("skipped", f"{self.skipped.total():,}", _listed(self.skipped)),
            ("left", f"{self.left:,}", ""),
        ]
        width = max(len(number) for _, number, _ in rows)
        lines = [f"{name:<9} {number:>{width}}  {text}".rstrip() for name, number, text in rows]
        lines.append(f"{'people':<9} {len(self.people):>{width},}")
        if self.first is not None and self.last is not None:
            lines.append(f"{'time':<9} {iso(self.first)} .. {iso(self.last)}")
        return lines


def _counts(counter: Counter[str]) -> dict[str, int]:
    return {"total": counter.total(), **{k: v for k, v in counter.items() if v}}


def _listed(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counter.most_common() if count)
