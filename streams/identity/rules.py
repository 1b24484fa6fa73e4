"""Who an event belongs to: the rules, without the tables.

What is known is kept as short histories. Each entry says from which *position* of the
partition on it holds, and an event is resolved with what held at its own position. So an
event that is read again after a crash finds what it found the first time, even though
the tables are ahead of it; without this, a replayed anonymous event of a shared computer
would go to whoever logged in last.

Three kinds of rows, by id:

``d:<anonymousId>``      a device: the user who is logged in there, and their email
``a:<id>``               an alias: the id that replaced this one
``u:<id> NUL <row key>`` an index: that row names this id, so that it can be forgotten
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import orjson

from streams.events import Event

Read: TypeAlias = Callable[[bytes], bytes | None]
Scan: TypeAlias = Callable[[bytes], Iterable[bytes]]
"""The keys of the stored rows that begin with a prefix."""
Row: TypeAlias = list[list[Any]]
"""Entries ``[position, ...what holds from there on, messageId that taught it]``, oldest first."""

MAX_CHAIN = 100
"""Longest alias chain that is followed. Chains have no cycles (see ``_learn_alias``)."""

_DEVICE = b"d:"
_ALIAS = b"a:"
_NAMED = b"u:"
_NOTHING = b""

BROADCAST = frozenset({"alias", "delete"})
"""Types of events that are about an id wherever it occurs, so that every partition learns them."""


class Identities:
    """The identities of one partition, for the length of one chunk.

    Reads rows through ``read`` and their keys through ``scan``, and collects what changed
    in ``writes`` (None deletes a row); whoever owns the tables stores those before the
    chunk's events are settled. ``horizon`` is the position up to which events are
    committed: history before it is not needed again.
    """

    def __init__(self, read: Read, scan: Scan, horizon: int = -1) -> None:
        self.writes: dict[bytes, bytes | None] = {}
        self._read = read
        self._scan = scan
        self._horizon = horizon
        self._rows: dict[bytes, Row] = {}

    # -- learning

    def learn(self, event: Event, position: int) -> None:
        """Note everything that an event of this partition's people says."""
        if event["type"] in BROADCAST:
            self.learn_broadcast(event, position)
        if event["type"] != "delete":
            self._learn_device(event, position)

    def learn_broadcast(self, event: Event, position: int) -> None:
        """Note what an event says about ids wherever they occur, in this partition too."""
        if event["type"] == "alias":
            self._learn_alias(event, position)
        elif event["type"] == "delete":
            self._forget(event, position)

    def _learn_device(self, event: Event, position: int) -> None:
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

    def _learn_alias(self, event: Event, position: int) -> None:
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

    # -- forgetting

    def _forget(self, event: Event, position: int) -> None:
        """Remove what is known of a person at ``position``, by userId, else by anonymousId.

        With the id go those that aliases made into it, and every device where one of them
        is logged in. On a shared device the others stay known, and nobody takes the place
        of the one who is forgotten. Rows go at once, history and all: events from before
        the deletion that a crash makes the worker read again are resolved without them.
        """
        user = event.get("userId")
        if user is None:
            self._drop(_DEVICE + event["anonymousId"].encode(), position)
        ids = self._with_former_ids(event["anonymousId"] if user is None else user, position)
        for forgotten in ids:
            self._forget_users(_DEVICE + forgotten.encode(), ids, position)
            for key in self._naming(forgotten):
                if key.startswith(_DEVICE):
                    self._forget_users(key, ids, position)
        for forgotten in ids:
            self._drop(_ALIAS + forgotten.encode(), position)
            for key in self._naming(forgotten):
                if key.startswith(_ALIAS):
                    self._drop(key, position, only=ids)

    def _with_former_ids(self, user: str, position: int) -> set[str]:
        """An id and all those that aliases lead to it."""
        found: set[str] = set()
        left = [user]
        while left:
            current = left.pop()
            if current in found:
                continue
            found.add(current)
            for key in self._naming(current):
                if key.startswith(_ALIAS):
                    former = key[len(_ALIAS) :].decode()
                    if self._alias_at(former, position) == current:
                        left.append(former)
        return found

    def _drop(self, key: bytes, position: int, only: set[str] | None = None) -> None:
        """Remove what a row says up to ``position``, or what it says of some ids only."""
        row = self._row(key)
        self._put(
            key, [e for e in row if e[0] > position or (only is not None and e[1] not in only)]
        )

    def _forget_users(self, key: bytes, users: set[str], position: int) -> None:
        row, device = self._row(key), key[len(_DEVICE) :].decode()
        if device not in users and not any(e[1] in users and e[0] <= position for e in row):
            return
        # An email that came before the login is of the same person.
        gone = {*users, None}
        kept: Row = []
        takes_place = False if device in users else self._alias_at(device, position) is not None
        for entry in row:
            if entry[0] > position or entry[1] not in gone:
                kept.append(entry)
                takes_place = True
            elif takes_place:
                kept.append([entry[0], None, None, None])
                takes_place = False
        self._put(key, kept)

    def _naming(self, user: str) -> list[bytes]:
        """Keys of the rows that name an id."""
        prefix = _NAMED + user.encode() + b"\0"
        keys = {key for key in self._scan(prefix) if self.writes.get(key, _NOTHING) is not None}
        keys.update(
            key
            for key, value in self.writes.items()
            if value is not None and key.startswith(prefix)
        )
        return sorted(key[len(prefix) :] for key in keys)

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
        self._put(key, row)

    def _put(self, key: bytes, row: Row) -> None:
        """Change a row; without an entry it is deleted. The index follows."""
        before = self._row(key)
        if row == before:
            return
        self._rows[key] = row
        self.writes[key] = orjson.dumps(row) if row else None
        named = {entry[1] for entry in row}
        was_named = {entry[1] for entry in before}
        for user in named ^ was_named:
            if user is not None:
                index = _NAMED + user.encode() + b"\0" + key
                self.writes[index] = _NOTHING if user in named else None


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
