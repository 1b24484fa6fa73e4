"""Events to measure with: small tracks, pages and identifies of some people, from a seed."""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson

EVENTS_PER_PERSON: Final = 20
_START: Final = datetime(2026, 11, 2, tzinfo=UTC)
_ACTIONS: Final = ("Report Exported", "Ticket Closed", "Plan Viewed", "Filter Saved")
_PLANS: Final = ("starter", "team", "business")
_PAGES: Final = ("/", "/pricing", "/features", "/blog/answers", "/inbox", "/settings")
_LIBRARY: Final = {"name": "analytics.js", "version": "2.1.0"}


def generate(count: int, partitions: int, *, seed: int = 1) -> Iterator[tuple[int, bytes]]:
    """``count`` events as (partition, JSON); each device's in order on one partition.

    A person visits, logs in at some time (two of three do), and goes on; every messageId
    comes once, so that each event is one call to the destination.
    """
    chance = random.Random(seed)
    people = [_Person(number, chance) for number in range(max(count // EVENTS_PER_PERSON, 1))]
    for number in range(count):
        person = chance.choice(people)
        event = person.act(number, chance)
        partition = zlib.crc32(person.device.encode()) % partitions
        yield partition, orjson.dumps(event)


class _Person:
    def __init__(self, number: int, chance: random.Random) -> None:
        self.number = number
        self.device = f"{chance.getrandbits(64):016x}-{number:08}"
        self.logs_in_at = chance.randrange(1, 8) if number % 3 else -1
        self.acts = 0

    def act(self, number: int, chance: random.Random) -> dict[str, Any]:
        """What this person does next."""
        event: dict[str, Any] = {
            "type": "track",
            "messageId": f"{chance.getrandbits(96):024x}-{number:08x}",
            "anonymousId": self.device,
            "timestamp": (_START + timedelta(milliseconds=40 * number)).isoformat(
                timespec="milliseconds"
            )[:23]
            + "Z",
            "context": {"ip": f"203.0.113.{self.number % 250}", "library": _LIBRARY},
        }
        logged_in = 0 <= self.logs_in_at <= self.acts
        if logged_in and chance.random() < 0.8:
            # The rest is what a second tab or a server sends, which know the device only.
            event["userId"] = f"user-{self.number:06}"
        draw = chance.random()
        if self.acts == self.logs_in_at or (logged_in and draw < 0.08):
            event["type"] = "identify"
            event["userId"] = f"user-{self.number:06}"
            event["traits"] = {
                "email": f"person{self.number:06}@example.com",
                "plan": chance.choice(_PLANS),
                "logins": self.acts,
            }
        elif draw < 0.4:
            event["type"] = "page"
            path = chance.choice(_PAGES)
            event["properties"] = {
                "path": path,
                "url": f"https://desk.example.com{path}",
                "title": "Desk",
            }
        else:
            event["event"] = chance.choice(_ACTIONS)
            event["properties"] = {
                "plan": chance.choice(_PLANS),
                "seats": chance.randrange(1, 40),
                "value": 79.5,
            }
        self.acts += 1
        return event
