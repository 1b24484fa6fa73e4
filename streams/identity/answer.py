"""What the rows of the identities say about one id, and which events taught it.

A :class:`Selection` picks the rows that matter out of all rows of a partition, in whatever
order they come; :func:`answer` reads them. Rows are those of :mod:`streams.identity.rules`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

import orjson

from streams.identity.rules import ALIAS, DEVICE, MAX_CHAIN, Row


class Selection:
    """The rows of one partition that concern an id.

    Rows are offered with :meth:`take`, the last word on a key last. What a row says may make
    rows matter that have gone by already: as long as ``is_complete`` is false after all rows,
    :meth:`restart` and offer them again. That ends, since more and more ids are known.
    """

    def __init__(
        self, subject: str, *, former: Iterable[str] = (), is_device_only: bool = False
    ) -> None:
        """``former``: ids of which it is known already that they became ``subject``.

        With ``is_device_only`` nothing is looked for that concerns ``subject`` as a user.
        """
        self.rows: dict[bytes, Row] = {}
        self.is_complete = True
        self._subject = subject
        self._chained = {subject}
        """Ids whose own alias matters: on a way from the subject, or from who is logged in."""
        self._named: set[str | None] = set() if is_device_only else {subject, *former}
        """Ids that it matters to be named by a row: the subject and what became it."""

    def restart(self) -> None:
        """All rows are going to be offered again."""
        self.rows.clear()
        self.is_complete = True

    def take(self, key: bytes, value: bytes | None) -> None:
        """Keep a row if it matters; None is a row that was deleted. Raises ``ValueError``."""
        kind = key[:2]
        if kind not in (DEVICE, ALIAS):
            return
        if value is not None and self._matters(kind, key[2:].decode(), row := orjson.loads(value)):
            self.rows[key] = row
        else:
            self.rows.pop(key, None)

    def _matters(self, kind: bytes, own: str, row: Row) -> bool:
        ids = {entry[1] for entry in row if entry[1] is not None}
        names = not self._named.isdisjoint(ids)
        if kind == DEVICE:
            is_subject = own == self._subject
            if is_subject:
                self._learn(self._chained, ids)
            elif names:
                # An alias of the device may have given it to somebody else.
                self._learn(self._chained, {own})
            return is_subject or names
        is_chained = own in self._chained
        if is_chained:
            self._learn(self._chained, ids)
        if names:
            self._learn(self._named, {own})
        return is_chained or names

    def _learn(self, known: set[str] | set[str | None], ids: set[str]) -> None:
        if not ids <= known:
            known.update(ids)
            self.is_complete = False


@dataclass(frozen=True, slots=True)
class Place:
    """From where on something holds: a position of a partition."""

    partition: int
    position: int


@dataclass(frozen=True, slots=True)
class Step:
    """An alias: ``new`` replaced ``old``; ``until`` where that ended, if it has."""

    old: str
    new: str
    since: Place
    message_id: str | None
    until: Place | None = None


@dataclass(frozen=True, slots=True)
class Login:
    """Who was logged in on a device, under the id of then; nobody without a user."""

    device: str
    user: str | None
    email: str | None
    since: Place
    message_id: str | None
    until: Place | None = None


@dataclass(frozen=True, slots=True)
class Device:
    """What is known of an id as a device."""

    user: str | None
    """Who its events belong to: who is logged in, after aliases."""
    email: str | None
    login: Login
    aliases: list[Step]
    """From the id that is logged in to ``user``."""
    earlier: list[Login]


@dataclass(frozen=True, slots=True)
class User:
    """What is known of an id that stands for a person, or did."""

    user: str
    """The id that stands for it now."""
    aliases: list[Step]
    former: list[Step]
    """The ids that became it, at whatever remove; then those that no longer do."""
    devices: list[Login]
    """Where it is logged in, under any of these ids; then where it was."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known of an id. It may be both, and neither."""

    device: Device | None
    user: User | None


def device_answer(subject: str, home: int, rows: Mapping[bytes, Row]) -> Answer:
    """What the rows of its own partition say about an id that is known to be a device's."""
    return Answer(Table(home, rows).device(subject, is_certain=True), None)


def answer(subject: str, home: int, selected: Mapping[int, Mapping[bytes, Row]]) -> Answer:
    """What the rows say about an id: those that a :class:`Selection` kept, by partition.

    ``home`` is the id's own partition: its word counts on aliases, which all partitions know.
    Each partition's counts on its devices.
    """
    own = Table(home, selected[home])
    tables = [Table(partition, rows) for partition, rows in sorted(selected.items())]
    aliases = own.chain(subject)
    former = own.former(subject)
    devices = [login for table in tables for login in table.logins(subject)]
    is_user = own.has_alias(subject) or former or devices
    return Answer(
        own.device(subject),
        User(
            aliases[-1].new if aliases else subject,
            aliases,
            former,
            sorted(devices, key=lambda login: login.until is not None),
        )
        if is_user
        else None,
    )


class Table:
    """The rows of one partition, as they are at the end."""

    def __init__(self, partition: int, rows: Mapping[bytes, Row]) -> None:
        self._partition = partition
        self._rows = rows

    def has_alias(self, old: str) -> bool:
        """Whether anything was ever said about an id's replacement."""
        return ALIAS + old.encode() in self._rows

    def chain(self, user: str) -> list[Step]:
        """The aliases from an id to the one that stands for it."""
        steps: list[Step] = []
        while len(steps) < MAX_CHAIN:
            step = self._alias(user)
            if step is None:
                break
            steps.append(step)
            user = step.new
        return steps

    def former(self, user: str) -> list[Step]:
        """The aliases that lead to an id, and those to the id itself that ended."""
        now = self._leading_to(user)
        ended = [
            Step(old, user, self._at(entry), entry[-1], until=self._at(following))
            for old, row in self._of(ALIAS)
            if old not in now
            for entry, following in pairwise(row)
            if entry[1] == user
        ]
        return [*now.values(), *ended]

    def device(self, device: str, *, is_certain: bool = False) -> Device | None:
        """Who is and was logged in on a device.

        An alias may be all that is known of it; then it takes ``is_certain`` to tell its id
        from a user's.
        """
        history = self._history(device)
        if not history or not (is_certain or self._row(DEVICE, device)):
            return None
        *earlier, login = history
        aliases = [] if login.user is None else self.chain(login.user)
        user = aliases[-1].new if aliases else login.user
        return Device(user, login.email, login, aliases, earlier)

    def logins(self, user: str) -> list[Login]:
        """The devices where a user or an id that became it is logged in, or was at last."""
        ids = {user, *self._leading_to(user)}
        found = []
        for device, _ in self._of(DEVICE):
            theirs = [login for login in self._history(device) if login.user in ids]
            if theirs:
                found.append(theirs[-1])
        return found

    def _history(self, device: str) -> list[Login]:
        """Who was logged in on a device, oldest first. The rule of ``Identities._holder``."""
        logins = self._row(DEVICE, device)
        aliases = self._row(ALIAS, device)
        history: list[Login] = []
        for position in sorted({entry[0] for entry in (*logins, *aliases)}):
            since, user, email, teacher = -1, None, None, None
            for entry in logins:
                if entry[0] <= position:
                    since, user, email, teacher = entry
            alias = [entry for entry in aliases if since < entry[0] <= position][-1:]
            for _, new, alias_teacher in alias:
                user, teacher = user if new is None else new, alias_teacher
            if history and (history[-1].user, history[-1].email) == (user, email):
                continue
            place = Place(self._partition, position)
            if history:
                history[-1] = replace(history[-1], until=place)
            history.append(Login(device, user, email, place, teacher))
        return history

    def _leading_to(self, user: str) -> dict[str, Step]:
        """The alias of each id that leads to ``user``, nearest first."""
        by_target: dict[str, list[Step]] = {}
        for old, _ in self._of(ALIAS):
            step = self._alias(old)
            if step is not None:
                by_target.setdefault(step.new, []).append(step)
        found: dict[str, Step] = {}
        left = [user]
        for target in left:
            for step in by_target.get(target, ()):
                if step.old not in found:
                    found[step.old] = step
                    left.append(step.old)
        return found

    def _alias(self, old: str) -> Step | None:
        row = self._row(ALIAS, old)
        if not row or row[-1][1] is None:
            return None
        return Step(old, row[-1][1], self._at(row[-1]), row[-1][-1])

    def _row(self, kind: bytes, own: str) -> Row:
        return self._rows.get(kind + own.encode(), [])

    def _of(self, kind: bytes) -> list[tuple[str, Row]]:
        return [(k[2:].decode(), row) for k, row in sorted(self._rows.items()) if k[:2] == kind]

    def _at(self, entry: list[object]) -> Place:
        assert isinstance(entry[0], int)  # noqa: S101 - the form of every entry
        return Place(self._partition, entry[0])
