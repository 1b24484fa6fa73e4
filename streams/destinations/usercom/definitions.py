"""The definitions of custom attributes: of which type each is.

A hint that saves calls: answers correct it, and it is read again now and then, so that what
people define in User.com's settings is found. It survives a restart in a small file.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson
import structlog

from streams.destinations.usercom.recent import Recent

log = structlog.get_logger(__name__)

PERSON: Final = "clientuser"
COMPANY: Final = "company"
EVENT: Final = "event"
"""What an attribute is of. Those of events are not documented: they are made with the event."""

REFRESH_SECONDS: Final = 3600.0
MAX_NAME: Final = 32
"""Characters of a name (apidocs.user.com)."""


@dataclass(frozen=True, slots=True)
class Definition:
    """An attribute's ``value_type``, and the choices of a ``fixed`` one."""

    kind: str
    choices: tuple[str, ...] = ()


STRING: Final = Definition("string")
"""How an attribute is defined that nobody has defined."""


class Definitions:
    """Attributes by what they are of and their name."""

    def __init__(self, file: Path | None = None, clock: Callable[[], float] = time.time) -> None:
        """Read ``file``, if there is one; ``clock`` gives seconds since 1970."""
        self._file = file
        self._clock = clock
        self._known: dict[tuple[str, str], Definition] = {}
        self._read_at: float | None = None
        self._refused: Recent[tuple[str, str], float] = Recent(10_000)
        if file is not None and file.exists():
            self._load(file)

    def get(self, of: str, name: str) -> Definition | None:
        """How an attribute is defined, as far as is known."""
        return self._known.get((of, name))

    def is_due(self) -> bool:
        """Whether the list should be read (again): asked by each, answered yes to one.

        Only of those who can do meanwhile with what there is: the very first reading is
        everybody's.
        """
        now = self._clock()
        if self._read_at is None:
            return True
        if now - self._read_at < REFRESH_SECONDS:
            return False
        self._read_at = now
        return True

    def replace(self, listed: Iterable[Any]) -> None:
        """All definitions, as User.com lists them."""
        self._known = {}
        for entry in listed:
            if isinstance(entry, dict) and isinstance(entry.get("name"), str):
                self._note(entry)
        self._read_at = self._clock()
        self._save()

    def keep(self) -> None:
        """User.com does not list them: what is known has to do until the next time."""
        self._read_at = self._clock()

    def add(self, of: str, name: str, kind: str) -> None:
        """An attribute was defined."""
        self._known[of, name] = Definition(kind)
        self._refused.forget((of, name))
        self._save()

    def refuse(self, of: str, name: str) -> None:
        """User.com would not define an attribute: not to be tried again soon."""
        self._refused.put((of, name), self._clock())

    def is_refused(self, of: str, name: str) -> bool:
        """Whether an attribute cannot be defined."""
        at = self._refused.get((of, name))
        return at is not None and self._clock() - at < REFRESH_SECONDS

    def _note(self, entry: dict[str, Any]) -> None:
        of = entry.get("content_type") or PERSON
        choices = entry.get("choices")
        listed = choices if isinstance(choices, list) else []
        found = Definition(
            str(entry.get("value_type")),
            # As texts, or as objects with a name or a value.
            tuple(
                str(c.get("name", c.get("value"))) if isinstance(c, dict) else str(c)
                for c in listed
            ),
        )
        for name in (entry.get("name_std"), entry["name"]):
            if isinstance(name, str):
                self._known[str(of), name] = found

    # -- the file

    def _load(self, file: Path) -> None:
        try:
            read = orjson.loads(file.read_bytes())
            self._known = {
                (of, name): Definition(kind, tuple(choices))
                for of, name, kind, choices in read["attributes"]
            }
            self._read_at = float(read["read_at"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            # It is only a hint: User.com has the list.
            log.warning("definitions are read anew", file=str(file), why=str(error))

    def _save(self) -> None:
        if self._file is None:
            return
        rows = [(of, name, d.kind, d.choices) for (of, name), d in self._known.items()]
        text = orjson.dumps({"read_at": self._read_at or 0.0, "attributes": rows})
        try:
            # Whole or not at all: others may read it at the same time.
            fresh = self._file.with_suffix(".new")
            fresh.write_bytes(text)
            fresh.replace(self._file)
        except OSError as error:
            log.warning("definitions are not kept", file=str(self._file), why=str(error))
