"""Who an event belongs to: the rules, without the tables.

What is known is kept as short histories. Each entry says from which *position* of the
partition on it holds, and an event is resolved with what held at its own position. So an
event that is read again after a crash finds what it found the first time, even though
the tables are ahead of it; without this, a replayed anonymous event of a shared computer
would go to whoever logged in last.

Four kinds of rows, by id:

``d:<anonymousId>``      a device: the user who is logged in there, and their email
``a:<id>``               an alias: the id that replaced this one
``u:<id> NUL <row key>`` an index: that row names this id, so that it can be forgotten
``m:<messageId>``        an alias or a deletion: where it was first read
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import orjson

from streams.events import Event

Read: TypeAlias = Callable[[bytes], bytes | None]
ReadMany: TypeAlias = Callable[[Sequence[bytes]], Sequence[bytes | None]]
Scan: TypeAlias = Callable[[bytes], Iterable[bytes]]
"""The keys of the stored rows that begin with a prefix."""
Row: TypeAlias = list[list[Any]]
"""Entries ``[position, ...what holds from there on, messageId that taught it]``, oldest first."""

MAX_CHAIN = 100
"""Longest alias chain that is followed. Chains have no cycles (see ``_learn_alias``)."""

DEVICE = b"d:"
ALIAS = b"a:"
_NAMED = b"u:"
_MESSAGE = b"m:"
_NOTHING = b""
_NO_ROW: Row = []
_NOBODY: list[Any] = [-1, None, None, None]

BROADCAST = frozenset({"alias", "delete"})
"""Types of events that are about an id wherever it occurs, so that every partition learns them."""


CACHED_IDS = 8192
"""Rows of each kind that are kept ready, twice: those in use, and those that were before."""


class Identities:
    """The identities of one partition, for as long as a worker holds it.

    Reads rows through ``read`` and their keys through ``scan``, and collects what changed
    until :meth:`take_writes`; whoever owns the tables stores that before the events that
    taught it are settled. Nobody else writes these rows, so those in use are kept parsed.
    """

    def __init__(self, read: Read, scan: Scan, *, cached: int = CACHED_IDS) -> None:
        self.horizon = -1
        """Position up to which events are committed: history before it is not needed again."""
        self._read = read
        self._scan = scan
        self._writes: dict[bytes, bytes | None] = {}
        self._devices = _Rows(DEVICE, self._stored, cached)
        self._aliases = _Rows(ALIAS, self._stored, cached)

    def prepare(self, events: Iterable[Event], read_many: ReadMany) -> None:
        """Have the rows ready that events will ask for. Reading them together is cheaper."""
        devices, users = self._devices, self._aliases
        asked: set[str] = set()
        named: set[str] = set()
        for event in events:
            device, user = event.get("anonymousId"), event.get("userId")
            if device is not None:
                if device not in devices:
                    asked.add(device)
                if device not in users:
                    named.add(device)
            if user is not None and user not in users:
                named.add(user)
        for row in devices.load(asked, read_many):
            user = row[-1][1] if row else None
            if user is not None and user not in users:
                named.add(user)
        users.load(named, read_many)

    def take_writes(self) -> dict[bytes, bytes | None]:
        """What changed since the last call, to be stored. None deletes a row."""
        writes, self._writes = self._writes, {}
        return writes

    def resolve(self, event: Event, position: int) -> None:
        """Learn what an event says, and put into it, in place, what is known of its person.

        A userId and an email are added where the event has none; a userId that was
        replaced by an alias is followed to the one that replaced it. Nothing else of what
        the event says is changed. Aliases and deletions speak about ids and stay as they are.

        Every event with both ids ties them; an email counts from an identify's traits or
        any event's ``context.traits`` (a group's traits are the group's).
        """
        if event["type"] in BROADCAST:
            self.learn_broadcast(event, position)
            device = event.get("anonymousId")
            if event["type"] == "alias" and device is not None:
                self._login(event, device, position)
            return
        said = event.get("userId")
        device = event.get("anonymousId")
        if device is None:
            user = said
        else:
            user, email = self._login(event, device, position)
            if email is not None and said is None:
                _add_email(event, email)
        if user is not None:
            current = self.follow(user, position)
            if current is not said:
                event["userId"] = current

    def resolve_late(
        self, event: Event, position: int, *, is_learned: bool, user: str | None
    ) -> None:
        """As :meth:`resolve`, for an event that was held up while later ones went on.

        It belongs to whoever it belonged to in its own time, and teaches nothing that could
        take the place of something newer. ``is_learned``: it was resolved before, as an
        event of ``user``. Else it teaches who is logged in where nobody is known to be.
        """
        device, said = event.get("anonymousId"), event.get("userId")
        holder: tuple[str | None, str | None] = (None, None)
        if device is not None:
            holder = self._holder(device, position)
        if not is_learned and holder == (None, None):
            self.resolve(event, position)
        elif event["type"] in BROADCAST:
            if not is_learned:
                self.learn_broadcast(event, position)
        else:
            if not is_learned:
                user = holder[0] if said is None else said
            email = holder[1] if self._is_same(user, holder[0], position) else None
            if email is not None and said is None and event_email(event) is None:
                _add_email(event, email)
            if user is not None:
                event["userId"] = self.follow(user, position)

    # -- learning

    def learn_broadcast(self, event: Event, position: int) -> None:
        """Note what an event says about ids wherever they occur, in this partition too.

        It says so once, where it is first read. What comes again further on (a producer or
        the ingest stage repeats what it is not sure of) must not undo what came in between.
        """
        if event["type"] == "alias" and event.get("previousId") == event.get("userId"):
            return
        if self._first_read(event, position) < position:
            return
        if event["type"] == "alias":
            self._learn_alias(event, position)
        elif event["type"] == "delete":
            self._forget(event, position)

    def _first_read(self, event: Event, position: int) -> int:
        message = event.get("messageId")
        if message is None:
            return position
        key = _MESSAGE + message.encode()
        row = self._stored(key)
        if row is not None:
            return int(row)
        self._writes[key] = b"%d" % position
        return position

    def _login(self, event: Event, device: str, position: int) -> tuple[str | None, str | None]:
        """Note who an event says is logged in on its device.

        Gives who is logged in then, and their email if the event itself states none.
        """
        known_user, known_email = self._holder(device, position)
        user, stated = event.get("userId"), event_email(event)
        if user is None:
            user = known_user
        email = stated
        if email is None and known_email is not None and self._is_same(user, known_user, position):
            email = known_email
        if user != known_user or email != known_email:
            self._append(self._devices, device, [position, user, email, event.get("messageId")])
        return user, email if stated is None else None

    def _learn_alias(self, event: Event, position: int) -> None:
        """Note that an alias's ``previousId`` is from now on its ``userId``.

        An alias of an id to itself changes nothing (real browsers send it after an
        identify). One that would close a cycle makes its ``userId`` the end of the chain.
        """
        old, new = event.get("previousId"), event.get("userId")
        if old is None or new is None:
            return
        teacher = event.get("messageId")
        if self._leads_through(new, old, position):
            self._append(self._aliases, new, [position, None, teacher])
        alias, login = _entry(self._aliases[old], position), _entry(self._devices[old], position)
        # Said again, it makes the device theirs again, where somebody else has come since.
        if alias[1] != new or (login[0] > alias[0] and login[1] != new):
            self._append(self._aliases, old, [position, new, teacher])
        # A device that becomes a user's must not lend them the email of whom it was before.
        _, user, email, _ = login
        if email is not None and user is not None and not self._is_same(user, new, position):
            self._append(self._devices, old, [position, new, None, teacher])

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
        user, device = event.get("userId"), event.get("anonymousId")
        if user is None:
            if device is None:
                return
            self._drop(self._devices, device, position)
            user = device
        ids = self._with_former_ids(user, position)
        for forgotten in ids:
            for named_by in (forgotten, *self._naming(self._devices, forgotten)):
                self._forget_users(named_by, ids, position)
        for forgotten in ids:
            self._drop(self._aliases, forgotten, position)
            for former in self._naming(self._aliases, forgotten):
                self._drop(self._aliases, former, position, only=ids)

    def _with_former_ids(self, user: str, position: int) -> set[str]:
        """An id and all those that aliases lead to it."""
        found: set[str] = set()
        left = [user]
        while left:
            current = left.pop()
            if current in found:
                continue
            found.add(current)
            left.extend(
                former
                for former in self._naming(self._aliases, current)
                if self._alias_at(former, position) == current
            )
        return found

    def _drop(self, rows: _Rows, name: str, position: int, only: set[str] | None = None) -> None:
        """Remove what a row says up to ``position``, or what it says of some ids only."""
        row = rows[name]
        kept = [e for e in row if e[0] > position or (only is not None and e[1] not in only)]
        self._put(rows, name, kept)

    def _forget_users(self, device: str, users: set[str], position: int) -> None:
        row = self._devices[device]
        if device not in users and not any(e[1] in users and e[0] <= position for e in row):
            return
        # An email that came before the login is of the same person.
        gone = {*users, None}
        kept: Row = []
        alias = _entry(self._aliases[device], position)
        others = device not in users and alias[1] is not None
        for entry in row:
            if entry[0] > position or entry[1] not in gone:
                kept.append(entry)
                others = True
            elif others:
                kept.append([entry[0], None, None, None])
                others = False
        if alias[1] in users and any(e[0] < alias[0] and e[1] is not None for e in kept):
            # Who was there before the alias must not be there again.
            kept = [entry for entry in kept if entry[0] != alias[0]]
            kept.append([alias[0], None, None, None])
            kept.sort(key=_position)
        self._put(self._devices, device, kept)

    def _naming(self, rows: _Rows, user: str) -> list[str]:
        """The ids whose rows of one kind name ``user``."""
        prefix = _index(user, rows.prefix)
        keys = {key for key in self._scan(prefix) if self._writes.get(key, _NOTHING) is not None}
        keys.update(
            key
            for key, value in self._writes.items()
            if value is not None and key.startswith(prefix)
        )
        return sorted(key[len(prefix) :].decode() for key in keys)

    # -- asking

    def owner(self, device: str, position: int) -> tuple[str | None, str | None]:
        """The (userId, email) of a device's events at ``position``."""
        user, email = self._holder(device, position)
        return (None if user is None else self.follow(user, position)), email

    def _holder(self, device: str, position: int) -> tuple[str | None, str | None]:
        """Who is logged in, as their events or an alias of the device said, and their email."""
        row = self._devices[device]
        since, user, email, _ = _entry(row, position) if row else _NOBODY
        alias = self._aliases[device]
        if alias:
            entry = _entry(alias, position)
            if entry[1] is not None and entry[0] > since:
                user = entry[1]
        return user, email

    def follow(self, user: str, position: int) -> str:
        """The id that stands for ``user`` at ``position``, through any chain of aliases."""
        for _ in range(MAX_CHAIN):
            row = self._aliases[user]
            if not row:
                break
            following = _entry(row, position)[1]
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
        new: str | None = _entry(self._aliases[old], position)[1]
        return new

    def _stored(self, key: bytes) -> bytes | None:
        return self._writes[key] if key in self._writes else self._read(key)

    def _append(self, rows: _Rows, name: str, entry: list[Any]) -> None:
        row = rows[name]
        kept = [old for old in row if old[0] != entry[0]]
        # Of the committed past only the last word can be asked for again.
        past = sum(1 for old in kept if old[0] <= self.horizon)
        row = kept[max(past - 1, 0) :]
        row.append(entry)
        row.sort(key=_position)
        self._put(rows, name, row)

    def _put(self, rows: _Rows, name: str, row: Row) -> None:
        """Change a row; without an entry it is deleted. The index follows."""
        before = rows[name]
        if row == before:
            return
        rows[name] = row
        self._writes[rows.prefix + name.encode()] = orjson.dumps(row) if row else None
        named = {entry[1] for entry in row}
        was_named = {entry[1] for entry in before}
        for user in named ^ was_named:
            if user is not None:
                index = _index(user, rows.prefix) + name.encode()
                self._writes[index] = _NOTHING if user in named else None


class _Rows(dict[str, Row]):
    """The rows of one kind, by id, with those in use kept parsed. Rows are not to be changed.

    Kept in two halves: when the new half is full, it becomes the old one, and what is still
    in use moves on. So a look-up costs no bookkeeping, and memory has a bound.
    """

    def __init__(self, prefix: bytes, read: Read, capacity: int) -> None:
        super().__init__()
        self.prefix = prefix
        self._read = read
        self._capacity = capacity
        self._old: dict[str, Row] = {}

    def __missing__(self, name: str) -> Row:
        row = self._old.get(name)
        if row is None:
            stored = self._read(self.prefix + name.encode())
            row = _NO_ROW if stored is None else orjson.loads(stored)
        self[name] = row
        return row

    def load(self, names: Iterable[str], read_many: ReadMany) -> list[Row]:
        """Read the rows of several ids at once, but for those that are at hand."""
        wanted = [name for name in names if name not in self._old]
        stored = read_many([self.prefix + name.encode() for name in wanted]) if wanted else []
        for name, row in zip(wanted, stored, strict=True):
            self[name] = _NO_ROW if row is None else orjson.loads(row)
        return [self[name] for name in wanted]

    def __setitem__(self, name: str, row: Row) -> None:
        if len(self) >= self._capacity:
            self._old = dict(self)
            self.clear()
        super().__setitem__(name, row)


def _entry(row: Row, position: int) -> list[Any]:
    """What holds at a position."""
    if row and row[-1][0] <= position:
        return row[-1]
    found = _NOBODY
    for entry in row:
        if entry[0] > position:
            break
        found = entry
    return found


def _position(entry: list[Any]) -> int:
    position: int = entry[0]
    return position


def _index(user: str, prefix: bytes) -> bytes:
    return b"%s%s\0%s" % (_NAMED, user.encode(), prefix)


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


def found_out(event: Event) -> tuple[Any, Any]:
    """The userId and the email that a resolved event has: with :func:`put_in`, what was learned."""
    context = event.get("context")
    traits = context.get("traits") if type(context) is dict else None
    return event.get("userId"), traits.get("email") if type(traits) is dict else None


def put_in(event: Event, user: Any, email: Any) -> None:
    """Make an event, in place, what it was when :func:`found_out` was asked about it."""
    if user is not None:
        event["userId"] = user
    if email is not None:
        _add_email(event, email)


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
