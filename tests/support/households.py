"""Histories of households: everything that joins and parts people, in one defined order.

A household is some devices and some users: a shared computer, a user with many devices, ids that
aliases replace, emails that come before a userId, people who are deleted and come back. What
happens in one household is on one source partition, so that its order is defined also where
one event concerns several of its people (docs/adr/0002).

Traits are named after the device or user whose event states them, so that the state in which a
person ends does not depend on whose event came first.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import orjson

from streams.events import Event


@dataclass(slots=True)
class History:
    """Events in the order in which they happened; the k-th is of household ``home[k]``."""

    seed: int
    events: list[Event] = field(default_factory=list)
    home: list[int] = field(default_factory=list)

    def records(self, partitions: int) -> list[tuple[int, bytes]]:
        """(source partition, value) of each event."""
        return [
            (household % partitions, orjson.dumps(event))
            for household, event in zip(self.home, self.events, strict=True)
        ]

    def __add__(self, later: History) -> History:
        return History(self.seed, self.events + later.events, self.home + later.home)


def lane(event: Event) -> str:
    """Whose order counts: the device, else the user."""
    return text(event.get("anonymousId") or event.get("userId"))


def text(value: str | float) -> str:
    """An id as it is written: 7, 7.0 and "7" are one."""
    return value if isinstance(value, str) else str(int(value))


@dataclass(slots=True)
class Household:
    """Who there is. ``is_lonely``: all that happens is on its one device."""

    number: int
    devices: list[str | int]
    users: list[str | int]
    is_lonely: bool
    may_delete: bool
    emails: dict[str | int, str]
    past: list[Event] = field(default_factory=list)
    deleted: set[str | int] = field(default_factory=set)


def is_lonely(household: int) -> bool:
    """Whether it has one device and no event without it: then its end state is defined too."""
    return household % 3 == 0


def may_delete(household: int) -> bool:
    """Whether somebody of it may be deleted."""
    return household % 4 == 1


def members(count: int, seed: int) -> list[Household]:
    """The households of a seed."""
    rng = random.Random(f"{seed} members")
    made = []
    for number in range(count):
        devices: list[str | int] = [
            f"dev-{seed}-{number}-{n}" for n in range(1 if is_lonely(number) else rng.randint(1, 4))
        ]
        users: list[str | int] = [f"user-{seed}-{number}-{n}" for n in range(rng.randint(1, 4))]
        if number % 5 == 2:
            # Ids from a database: numbers, of which a few producers make text.
            devices[0] = 900_000_000 + 1_000 * seed + number
            users[0] = 100_000_000 + 1_000 * seed + number
        emails = {who: f"{who}@example.com" for who in (*users, *devices)}
        made.append(
            Household(number, devices, users, is_lonely(number), may_delete(number), emails)
        )
    return made


def history(households: int, events: int, seed: int) -> History:
    """What happens, interleaved at random. The same for the same arguments."""
    rng = random.Random(seed)
    made = History(seed)
    homes = members(households, seed)
    number = 0
    while len(made.events) < events:
        home = rng.choice(homes)
        [kind] = rng.choices(list(_KINDS), list(_WEIGHTS.values()))
        for event in _KINDS[kind](rng, home):
            if kind != "again":
                _sign(event, rng, f"m-{seed}-{number}", number)
                number += 1
            home.past.append(event)
            made.events.append(event)
            made.home.append(home.number)
    return made


def epilogue(households: int, seed: int) -> History:
    """A last event of every device and of every user: who are they taken for by now?"""
    made = History(seed)
    for home in members(households, seed):
        for who in (*home.devices, *([] if home.is_lonely else home.users)):
            event: Event = {"type": "page", "name": "Last"}
            event["anonymousId" if who in home.devices else "userId"] = who
            event["messageId"] = f"last-{seed}-{text(who)}"
            event["timestamp"] = "2026-11-03T08:00:00.000Z"
            made.events.append(event)
            made.home.append(home.number)
    return made


def _sign(event: Event, rng: random.Random, message: str, number: int) -> None:
    event["messageId"] = message
    hours, minutes, seconds = number // 3600 % 24, number // 60 % 60, number % 60
    event["timestamp"] = f"2026-11-02T{hours:02d}:{minutes:02d}:{seconds:02d}.000Z"
    for name in ("userId", "anonymousId", "previousId"):
        value = event.get(name)
        if isinstance(value, int):
            event[name] = rng.choice([value, float(value), str(value)])
    if event["type"] == "group":
        # The call of a group has no messageId: this is what it is known by.
        event["groupId"] = f"group-{message}"
    if event["type"] in ("page", "track"):
        event["properties"] = {"n": number}
    if event["type"] == "identify":
        event.setdefault("traits", {})[f"said_by_{lane(event)}"] = number


def _browse(rng: random.Random, home: Household) -> list[Event]:
    """On a device, without a word on who it is."""
    return [{**_action(rng), "anonymousId": rng.choice(home.devices)}]


def _work(rng: random.Random, home: Household) -> list[Event]:
    """On a device, by a user who is named; of some the email too."""
    user = rng.choice(home.users)
    event = {**_action(rng), "anonymousId": rng.choice(home.devices), "userId": user}
    if rng.random() < 0.2:
        event["context"] = {"traits": {"email": home.emails[user]}}
    return [event]


def _serve(rng: random.Random, home: Household) -> list[Event]:
    """On a server, which knows no devices."""
    if home.is_lonely:
        return _browse(rng, home)
    return [{**_action(rng), "userId": rng.choice(home.users)}]


def _login(rng: random.Random, home: Household) -> list[Event]:
    """Somebody says who they are, and perhaps goes on to complete their profile."""
    device, user = rng.choice(home.devices), rng.choice(home.users)
    made = []
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        event: Event = {"type": "identify", "anonymousId": device, "userId": user, "traits": {}}
        if rng.random() < 0.6:
            event["traits"]["email"] = home.emails[user]
        made.append(event)
    return made


def _subscribe(rng: random.Random, home: Household) -> list[Event]:
    """An email without a userId: a newsletter form."""
    device = rng.choice(home.devices)
    return [
        {"type": "identify", "anonymousId": device, "traits": {"email": home.emails[device]}},
    ]


def _look(rng: random.Random, home: Household) -> list[Event]:
    """A screen of an app: no call, but it says who is there."""
    return [
        {
            "type": "screen",
            "name": "Home",
            "anonymousId": rng.choice(home.devices),
            "userId": rng.choice(home.users),
        }
    ]


def _join(rng: random.Random, home: Household) -> list[Event]:
    """A company."""
    event: Event = {"type": "group", "anonymousId": rng.choice(home.devices), "traits": {"size": 5}}
    if rng.random() < 0.5:
        event["userId"] = rng.choice(home.users)
    return [event]


def _rename(rng: random.Random, home: Household) -> list[Event]:
    """An alias: of a device or a user; so many that chains and cycles are common."""
    event: Event = {
        "type": "alias",
        "previousId": rng.choice([*home.devices, *home.users, *home.users]),
        "userId": rng.choice(home.users),
    }
    if home.is_lonely or rng.random() < 0.5:
        event["anonymousId"] = rng.choice(home.devices)
    return [event]


def _leave(rng: random.Random, home: Household) -> list[Event]:
    """Somebody wants to be forgotten. Once each: the call says no more than whom."""
    left = [who for who in (*home.users, *home.devices) if who not in home.deleted]
    if not home.may_delete or not left:
        return _browse(rng, home)
    who = rng.choice(left)
    home.deleted.add(who)
    if who in home.devices:
        return [{"type": "delete", "anonymousId": who}]
    event: Event = {"type": "delete", "userId": who}
    if home.is_lonely:
        event["anonymousId"] = rng.choice(home.devices)
    return [event]


def _again(rng: random.Random, home: Household) -> list[Event]:
    """A producer that was not sure repeats itself."""
    return [rng.choice(home.past[-12:])] if home.past else []


def _action(rng: random.Random) -> Event:
    if rng.random() < 0.5:
        return {"type": "page", "name": "Pricing"}
    return {"type": "track", "event": "Clicked"}


_KINDS: dict[str, Callable[[random.Random, Household], list[Event]]] = {
    "browse": _browse,
    "work": _work,
    "serve": _serve,
    "login": _login,
    "subscribe": _subscribe,
    "look": _look,
    "join": _join,
    "rename": _rename,
    "leave": _leave,
    "again": _again,
}
_WEIGHTS = {
    "browse": 40,
    "work": 10,
    "serve": 8,
    "login": 12,
    "subscribe": 4,
    "look": 6,
    "join": 5,
    "rename": 5,
    "leave": 2,
    "again": 8,
}
