"""Reading sources: every line is taken, filtered or reported, and the counts add up."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import BinaryIO, Final

from streams.errors import InvalidEvent, StreamsError
from streams.replay import sources
from streams.replay.filters import Filter
from streams.replay.formats import container_of
from streams.replay.formats.ndjson import MAX_LINE
from streams.replay.lines import Found, Reader
from streams.replay.order import Event
from streams.replay.report import EMPTY, Problem, Report
from streams.replay.sources import Source

LOOK_EVERY: Final = 1_000
"""Lines between two looks at whether to stop."""

TOO_LONG: Final = InvalidEvent(
    "too-large", f"The line has more than {MAX_LINE >> 20} MB, which is no event."
)

Take = Callable[[Sequence[Event]], None]
"""``take(events)``: some that were asked for, each with its place in time."""


class StoppedError(Exception):
    """Asked to stop while reading."""


class BrokenError(StreamsError):
    """A line or file is broken, and that was not to be."""


class Scan:
    """One reading of all sources."""

    def __init__(
        self,
        reader: Reader,
        chosen: Filter,
        report: Report,
        take: Take,
        *,
        strict: bool = False,
        should_stop: Callable[[], bool] = lambda: False,
        on_problem: Callable[[Problem], None] = lambda _: None,
        on_progress: Callable[[int, int], None] = lambda _bytes, _events: None,
    ) -> None:
        """``on_progress(stored bytes, events)`` is told how far the reading is.

        With ``strict`` the first problem raises ``BrokenError``.
        """
        self._reader = reader
        self._refuses = None if chosen == Filter() else chosen.refuses
        self._report = report
        self._take = take
        self._strict = strict
        self._should_stop = should_stop
        self._on_problem = on_problem
        self._on_progress = on_progress
        self._done_bytes = 0
        self._number = 0
        """Of the line that is read."""

    def read(self, files: Iterable[Source]) -> None:
        """Read files, in order. Raises ``StoppedError`` when asked to stop."""
        for file in files:
            self._report.files += 1
            self._number = 0
            try:
                with contextlib.closing(file.open()) as stream:
                    self._file(file.name, stream)
            except (StoppedError, StreamsError):
                raise
            except Exception as error:
                # Decompression, Avro and object stores raise what they like.
                self._report.files_broken += 1
                self._problem(Problem(self._place(file.name), "file", _said(error)))
            self._done_bytes += file.size or 0

    def _place(self, name: str) -> str:
        return f"{name}:{self._number}" if self._number else name

    def _file(self, name: str, stored: BinaryIO) -> None:
        start, stream = sources.content(stored)
        lines = container_of(start).lines(stream)
        positions = sources.read_sizes(stored)
        last = 0
        while True:
            # Whatever comes with no time of its own happened when its neighbour did.
            count, last = self._some(name, islice(lines, LOOK_EVERY), last)
            self._on_progress(self._done_bytes + next(positions), self._report.read)
            if self._should_stop():
                raise StoppedError
            if count < LOOK_EVERY:
                return

    def _some(self, name: str, lines: Iterable[bytes | None], last: int) -> tuple[int, int]:
        """Read some lines; gives how many, and the moment of the last event with one.

        This runs once for every event: what is done with each is spelled out, and what can
        be done for all of them together is.
        """
        read, refuses = self._reader.read, self._refuses
        begin, count, seen = self._number, 0, 0
        taken: list[Event] = []
        moments: list[int] = []
        try:
            for line in lines:
                count += 1
                if line is None:
                    self._broken(f"{name}:{begin + count}", TOO_LONG)
                    continue
                line = line.strip()  # noqa: PLW2901
                if not line:
                    continue
                found = read(line)
                if not isinstance(found, Found):
                    self._number = begin + count
                    last = self._unusual(name, found, last, taken)
                    continue
                seen += 1
                head, raw, key, at = found
                if refuses is not None and (refusal := refuses(head, at)) is not None:
                    self._report.filtered[refusal] += 1
                    continue
                if at is None:
                    at = last
                else:
                    last = at
                    moments.append(at)
                taken.append((at, key, raw))
        finally:
            # Also of a file that breaks off here.
            self._number = begin + count
            self._report.read += seen
            self._report.people.update([key for _, key, _ in taken])
            if moments:
                self._report.saw(min(moments), max(moments))
            self._take(taken)
        return count, last

    def _unusual(
        self, name: str, found: list[Found | InvalidEvent], last: int, taken: list[Event]
    ) -> int:
        """A line with none, several, or a broken one."""
        if not found:
            self._report.read += 1
            self._report.skipped[EMPTY] += 1
        for index, event in enumerate(found):
            place = f"{name}:{self._number}" + (f"[{index}]" if len(found) > 1 else "")
            if isinstance(event, InvalidEvent):
                self._broken(place, event)
                continue
            self._report.read += 1
            refusal = self._refuses and self._refuses(event.head, event.at)
            if refusal is not None:
                self._report.filtered[refusal] += 1
                continue
            if event.at is not None:
                last = event.at
                self._report.saw(last, last)
            taken.append((last, event.key, event.raw))
        return last

    def _broken(self, place: str, error: InvalidEvent) -> None:
        self._report.read += 1
        self._report.broken[error.reason] += 1
        self._problem(Problem(place, error.reason, str(error)))

    def _problem(self, problem: Problem) -> None:
        if self._strict:
            raise BrokenError(f"{problem} (--strict)")
        if self._report.note(problem):
            self._on_problem(problem)


def _said(error: Exception) -> str:
    text = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return f"The file is broken here: {type(error).__name__}: {' '.join(text.split())}"
