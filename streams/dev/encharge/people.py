"""The people of the stand-in: how one is found, changed, merged and removed.

A person is found by any of Encharge's id, ``userId``, ``email`` and ``segmentAnonymousId``
(Encharge's REST description of ``POST /people``; docs.encharge.io, "Segment.com"). Ids are
compared as text, exactly: the Ingest API's own sample sends ``"userId": 123``.

Where Encharge documents no rule, the stand-in does this:

* An email or an anonymous id that two people have used finds the one who used it last.
* An alias keeps the fields of the ``userId`` it leads to, and takes from the other person those
  that are missing or null. An alias of two unknown ids makes a person with the new one.
* An id given up by an alias is free: a later call that uses it makes a new person. A test sees
  by that stray person that an event went out under the old id.
* An archived person is still found, and a later call brings it back.
"""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from streams.dev.standin.log import Call

#: Keys of a person object that are ids, not fields.
ID_KEYS = frozenset({"id", "userId", "email", "segmentAnonymousId"})


class Ids(NamedTuple):
    """What a request says about who it is for; each is non-empty text, or None."""

    user_id: str | None = None
    email: str | None = None
    anonymous_id: str | None = None
    encharge_id: str | None = None

    @property
    def given(self) -> bool:
        """Whether there is any."""
        return any(self)


class Person:
    """One person. Read ``current()`` first where a merge may have happened in between."""

    __slots__ = (
        "anonymous_ids",
        "archived",
        "email",
        "fields",
        "former_ids",
        "id",
        "merged_into",
        "objects",
        "tags",
        "timeline",
        "user_id",
    )

    def __init__(self) -> None:
        self.id = str(uuid.uuid4())
        self.user_id: str | None = None
        self.email: str | None = None
        self.archived = False
        self.merged_into: Person | None = None
        self.fields: dict[str, object] = {}
        # Dictionaries for their order: the values mean nothing.
        self.anonymous_ids: dict[str, None] = {}
        self.former_ids: dict[str, None] = {}
        self.tags: dict[str, None] = {}
        #: (object type, external id or Encharge's object id) of the objects it belongs to.
        self.objects: dict[tuple[str, str], None] = {}
        self.timeline: deque[Call] = deque()

    @property
    def anonymous(self) -> bool:
        """Neither an email nor a userId is known yet (Encharge article 79)."""
        return self.user_id is None and self.email is None

    @property
    def unsubscribed(self) -> bool:
        """Gets no emails: the field is true, or says so in an import (Encharge article 303)."""
        return self.fields.get("unsubscribed") in (True, "true")

    def current(self) -> Person:
        """The person that this one has become by merges."""
        person = self
        while person.merged_into is not None:
            person = person.merged_into
        return person

    def forget_dropped(self) -> None:
        """Let go of the calls that the request log has dropped."""
        while self.timeline and self.timeline[0].dropped:
            self.timeline.popleft()

    def as_encharge(self, attributes: Iterable[str] | None = None) -> dict[str, object]:
        """The person as Encharge's REST API shows it; ``attributes`` limits the fields."""
        shown: dict[str, object] = {"id": self.id}
        if self.email is not None:
            shown["email"] = self.email
        if self.user_id is not None:
            shown["userId"] = self.user_id
        if self.anonymous_ids:
            shown["segmentAnonymousId"] = next(reversed(self.anonymous_ids))
        if attributes is None:
            shown |= self.fields
            shown["tags"] = ",".join(self.tags)
            return shown
        for name in attributes:
            if name == "tags":
                shown["tags"] = ",".join(self.tags)
            elif name in self.fields:
                shown[name] = self.fields[name]
        return shown

    def as_json(self) -> dict[str, object]:
        """Everything about the person but its timeline, for the control API."""
        return {
            "id": self.id,
            "userId": self.user_id,
            "email": self.email,
            "anonymousIds": list(self.anonymous_ids),
            "formerUserIds": list(self.former_ids),
            "anonymous": self.anonymous,
            "archived": self.archived,
            "unsubscribed": self.unsubscribed,
            "tags": list(self.tags),
            "objects": [{"type": kind, "id": key} for kind, key in self.objects],
            "fields": self.fields,
            "calls": len(self.timeline),
        }


@dataclass(slots=True)
class People:
    """All people and the ids that lead to them."""

    by_id: dict[str, Person] = field(default_factory=dict)
    by_user_id: dict[str, Person] = field(default_factory=dict)
    by_email: dict[str, Person] = field(default_factory=dict)
    by_anonymous_id: dict[str, Person] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.by_id)

    def __iter__(self) -> Iterator[Person]:
        """In the order of creation."""
        return iter(self.by_id.values())

    def find(self, ids: Ids) -> Person | None:
        """The person that any of ``ids`` leads to, without changing anything."""
        for value, index in (
            (ids.encharge_id, self.by_id),
            (ids.user_id, self.by_user_id),
            (ids.email, self.by_email),
            (ids.anonymous_id, self.by_anonymous_id),
        ):
            if value is not None and (person := index.get(value)) is not None:
                return person
        return None

    def look_up(self, text: str) -> Person | None:
        """The person whom ``text`` names in any way, also by an id given up in an alias."""
        person = self.find(Ids(text, text, text, text))
        if person is None:
            person = next((other for other in self if text in other.former_ids), None)
        return person

    def upsert(self, ids: Ids) -> Person:
        """The person with these ids, made or completed as needed.

        The rules: a ``userId`` can be set once; a call with another one is for another person
        (Encharge article 80). A person known by an anonymous id only becomes, with its
        timeline, the person who turns out to have that id (Encharge article 79).
        """
        user_id = ids.user_id
        person = self._match(ids)
        if person is None:
            person = Person()
            self.by_id[person.id] = person
        elif person.archived:
            person.archived = False
        if user_id is not None and person.user_id is None:
            person.user_id = user_id
            self.by_user_id[user_id] = person
        if ids.email is not None and ids.email != person.email:
            self._give_up_email(person)
            person.email = ids.email
        if ids.email is not None:
            self.by_email[ids.email] = person
        if ids.anonymous_id is not None:
            self._take_device(person, ids.anonymous_id)
        return person

    def alias(self, previous_id: str, user_id: str) -> Person | None:
        """Merge the person of ``previous_id`` into that of ``user_id`` (Ingest API, "alias").

        ``previous_id`` may be a userId or an anonymous id, as in Segment's spec. Equal ids
        change nothing. Returns the person of ``user_id``; None only for equal ids that nobody
        has.
        """
        kept = self.by_user_id.get(user_id)
        if previous_id == user_id:
            return kept
        gone = self.by_user_id.get(previous_id) or self.by_anonymous_id.get(previous_id)
        if gone is None or gone is kept:
            return kept or self.upsert(Ids(user_id=user_id))
        if kept is None:
            # Nobody to merge with: the person keeps everything and goes by the new id.
            if gone.user_id is not None:
                del self.by_user_id[gone.user_id]
                gone.former_ids[gone.user_id] = None
            gone.user_id = user_id
            self.by_user_id[user_id] = gone
            return gone
        self._merge(gone, kept)
        return kept

    def erase(self, person: Person) -> None:
        """Remove the person and all that is known of it (``DELETE /people`` with ``force``)."""
        self._unlink(person)
        person.fields.clear()
        person.tags.clear()
        person.objects.clear()
        person.timeline.clear()

    def _match(self, ids: Ids) -> Person | None:
        """Who ``ids`` are about, unless a different userId says that it is someone else."""
        user_id = ids.user_id
        if user_id is not None and (owner := self.by_user_id.get(user_id)) is not None:
            # A userId in use leads to its owner, whoever else the other ids belong to.
            return owner
        for value, index in (
            (ids.encharge_id, self.by_id),
            (ids.email, self.by_email),
            (ids.anonymous_id, self.by_anonymous_id),
        ):
            if value is None or (person := index.get(value)) is None:
                continue
            if user_id is None or person.user_id is None:
                return person
        return None

    def _take_device(self, person: Person, anonymous_id: str) -> None:
        holder = self.by_anonymous_id.get(anonymous_id)
        if holder is person:
            return
        if holder is not None:
            if holder.anonymous:
                self._merge(holder, person)
            else:
                # A device that two people use: it now speaks for the later one.
                holder.anonymous_ids.pop(anonymous_id, None)
        person.anonymous_ids[anonymous_id] = None
        self.by_anonymous_id[anonymous_id] = person

    def _merge(self, gone: Person, kept: Person) -> None:
        self._unlink(gone)
        gone.merged_into = kept
        if gone.user_id is not None:
            kept.former_ids[gone.user_id] = None
        if kept.email is None and gone.email is not None:
            kept.email = gone.email
            self.by_email[gone.email] = kept
        for anonymous_id in gone.anonymous_ids:
            kept.anonymous_ids[anonymous_id] = None
            self.by_anonymous_id[anonymous_id] = kept
        for name, value in gone.fields.items():
            if kept.fields.get(name) is None:
                kept.fields[name] = value
        kept.former_ids |= gone.former_ids
        kept.tags = gone.tags | kept.tags
        kept.objects = gone.objects | kept.objects
        kept.archived = False
        if gone.timeline:
            both = sorted([*gone.timeline, *kept.timeline], key=lambda call: call.applied)
            kept.timeline = deque(both)
            gone.timeline.clear()

    def _unlink(self, person: Person) -> None:
        self.by_id.pop(person.id, None)
        if person.user_id is not None and self.by_user_id.get(person.user_id) is person:
            del self.by_user_id[person.user_id]
        self._give_up_email(person)
        for anonymous_id in person.anonymous_ids:
            if self.by_anonymous_id.get(anonymous_id) is person:
                del self.by_anonymous_id[anonymous_id]

    def _give_up_email(self, person: Person) -> None:
        if person.email is not None and self.by_email.get(person.email) is person:
            del self.by_email[person.email]
