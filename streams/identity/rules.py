"""Who an event belongs to: the rules, without the tables.

What is known is kept as short histories. Each entry says from which *position* of the
partition on it holds, and an event is resolved with what held at its own position. So an
event that is read again after a crash finds what it found the first time, even though
the tables are ahead of it; without this, a replayed anonymous event of a shared computer
would go to whoever logged in last.

Two kinds of rows, by id:

``d:<anonymousId>``  a device: the user who is logged in there, and their email
``a:<id>``           an alias: the id that replaced this one
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import orjson

from streams.events import Event

Read: TypeAlias = Callable[[bytes], bytes | None]
Row: TypeAlias = list[list[Any]]
"""Entries ``[position, ...what holds from there on, messageId that taught it]``, oldest first."""

MAX_CHAIN = 100
"""Longest alias chain that is followed. Chains have no cycles (see `learn_alias`)."""

_DEVICE = b"d:"
_ALIAS = b"a:"


class Identities:
    """The identities of one partition, for the length of one chunk.

    Reads rows through ``read`` and collects what changed in ``writes``; whoever owns the
    tables stores those before the chunk's events are settled. ``horizon`` is the
    position up to which events are committed: history before it is not needed again.
    """

    def __init__(self, read: Read, horizon: int = -1) -> None:
        self.writes: dict[bytes, bytes] = {}
        self._read = read
        self._horizon = horizon
        self._rows: dict[bytes, Row] = {}

    # -- learning

    def learn(self, event: Event, position: int) -> None:
        """Note what an event says about its device: who is logged in, and their email.

        Every event with both ids ties them; an email counts from an identify's traits or
        any event's ``context.traits`` (a group's traits are the group's).
        """
        device = event.get("anonymousId")
        if device is None:
            return
        user = event.get("userId")
        email = event_email(event)
        if user is None and email is None:
            return
        key = _DEVICE + device.encode()
        known_user, known_email = self._holder(device, position)
        if user is None:
            user = known_user
        if email is None and self._is_same(user, known_user, position):
            email = known_email
        if (user, email) != (known_user, known_email):
            self._append(key, [position, user, email, event.get("messageId")])

    def learn_alias(self, event: Event, position: int) -> None:
        """Note that an alias's ``previousId`` is from now on its ``userId``.

        An alias of an id to itself changes nothing (real browsers send it after an
        identify). One that would close a cycle makes its ``userId`` the end of the chain.
        """
        old, new = event.get("previousId"), event.get("userId")
        if old is None or new is None or old == new:
            return
        teacher = event.get("messageId")
        if self._leads_through(new, old, position):
            self._append(_ALIAS + new.encode(), [position, None, teacher])
        if self._alias_at(old, position) != new:
            self._append(_ALIAS + old.encode(), [position, new, teacher])

    def _is_same(self, user: str | None, other: str | None, position: int) -> bool:
        if user is None or other is None or user == other:
            return user == other
        return self.follow(user, position) == self.follow(other, position)

    # -- asking

    def enrich(self, event: Event, position: int) -> None:
        """Put into an event, in place, what is known about its person at ``position``.

        A userId and an email are added where the event has none; a userId that was
        replaced by an alias is followed to the one that replaced it. Nothing else of what
        the event says is changed. Aliases and deletions speak about ids and stay as they are.
        """
        if event["type"] in ("alias", "delete"):
            return
        user = event.get("userId")
        if user is not None:
            current = self.follow(user, position)
            if current != user:
                event["userId"] = current
            return
        user, email = self.owner(event["anonymousId"], position)
        if user is not None:
            event["userId"] = user
        if email is not None and event_email(event) is None:
            _add_email(event, email)

    def owner(self, device: str, position: int) -> tuple[str | None, str | None]:
        """The (userId, email) of a device's events at ``position``."""
        user, email = self._holder(device, position)
        return (None if user is None else self.follow(user, position)), email

    def _holder(self, device: str, position: int) -> tuple[str | None, str | None]:
        """Who is logged in, as their events or an alias of the device said, and their email."""
        row = self._row(_DEVICE + device.encode())
        since, user, email = -1, None, None
        for entry in row:
            if entry[0] > position:
                break
            since, user, email = entry[0], entry[1], entry[2]
        alias_since, replaced_by = self._alias_entry(device, position)
        if replaced_by is not None and alias_since > since:
            user = replaced_by
        return user, email

    def follow(self, user: str, position: int) -> str:
        """The id that stands for ``user`` at ``position``, through any chain of aliases."""
        for _ in range(MAX_CHAIN):
            following = self._alias_at(user, position)
            if following is None:
                break
            user = following
        return user

    def _leads_through(self, user: str, other: str, position: int) -> bool:
        """Whether ``other`` is on the chain of aliases that starts at ``user``."""
        for _ in range(MAX_CHAIN):
            following = self._alias_at(user, position)
            if following is None or following == other:
                return following == other
            user = following
        return False

    # -- rows

    def _alias_at(self, old: str, position: int) -> str | None:
        return self._alias_entry(old, position)[1]

    def _alias_entry(self, old: str, position: int) -> tuple[int, str | None]:
        since, new = -1, None
        for entry in self._row(_ALIAS + old.encode()):
            if entry[0] > position:
                break
            since, new = entry[0], entry[1]
        return since, new

    def _row(self, key: bytes) -> Row:
        row = self._rows.get(key)
        if row is None:
            stored = self._read(key)
            row = [] if stored is None else orjson.loads(stored)
            self._rows[key] = row
        return row

    def _append(self, key: bytes, entry: list[Any]) -> None:
        row = self._row(key)
        kept = [old for old in row if old[0] != entry[0]]
        # Of the committed past only the last word can be asked for again.
        past = sum(1 for old in kept if old[0] <= self._horizon)
        row = kept[max(past - 1, 0) :]
        row.append(entry)
        row.sort(key=lambda e: e[0])
        self._rows[key] = row
        self.writes[key] = orjson.dumps(row)


def event_email(event: Event) -> str | None:
    """The email that an event states for its person, or None."""
    if event["type"] == "identify":
        traits = event.get("traits")
        if type(traits) is dict and type(traits.get("email")) is str and traits["email"]:
            return str(traits["email"])
    context = event.get("context")
    if type(context) is dict:
        traits = context.get("traits")
        if type(traits) is dict and type(traits.get("email")) is str and traits["email"]:
            return str(traits["email"])
    return None


def _add_email(event: Event, email: str) -> None:
    context = event.get("context")
    if type(context) is not dict:
        context = {}
    traits = context.get("traits")
    if traits is None:
        traits = {}
    if type(traits) is not dict or traits.get("email") is not None:
        return
    event["context"] = {**context, "traits": {**traits, "email": email}}
