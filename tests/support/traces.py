"""Traces of people, and what must have become of them at the destination."""

from __future__ import annotations

import random
import zlib
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

import orjson

from streams.events import Event


@dataclass(slots=True)
class Trace:
    """Events in the order in which they happened; ``person`` is the key of the k-th."""

    events: list[Event] = field(default_factory=list)

    def records(self, partitions: int) -> list[tuple[int, bytes]]:
        """(partition, value) of each event; a person's events share a partition."""
        return [
            (zlib.crc32(person(event).encode()) % partitions, orjson.dumps(event))
            for event in self.events
        ]


def person(event: Event) -> str:
    """Whose order counts: the device, else the user."""
    return event.get("anonymousId") or event["userId"]


def signups(people: int, events: int, seed: int) -> Trace:
    """People who browse, sign up and go on, interleaved at random.

    Every event has its own messageId. After sign-up a person's events carry their userId
    or, as often, only the anonymousId. No two identifies of one person are neighbours.
    """
    rng = random.Random(seed)
    known: dict[int, bool] = {}
    trace = Trace()
    for number in range(events):
        who = rng.randrange(people)
        event: Event = {
            "messageId": f"m-{seed}-{number}",
            "anonymousId": f"anon-{seed}-{who}",
            "timestamp": f"2026-11-02T08:{number // 60 % 60:02d}:{number % 60:02d}.000Z",
        }
        user = f"user-{seed}-{who}"
        if not known.get(who) and who in known and rng.random() < 0.5:
            known[who] = True
            event |= {
                "type": "identify",
                "userId": user,
                "traits": {"email": f"person{seed}x{who}@example.com", "plan": "trial"},
            }
        else:
            known.setdefault(who, False)
            if rng.random() < 0.5:
                event |= {"type": "page", "name": "Pricing", "properties": {"n": number}}
            else:
                event |= {"type": "track", "event": "Clicked", "properties": {"n": number}}
            if known[who] and rng.random() < 0.5:
                event["userId"] = user
        trace.events.append(event)
    return trace


def check(trace: Trace, requests: list[dict[str, Any]], *, repeats: int = 0) -> None:
    """Nothing lost, nothing twice (but for ``repeats``), in order per person, right identity."""
    applied = [request for request in requests if request["status"] == 200]
    arrived = Counter(request["messageId"] for request in applied)
    wanted = {event["messageId"]: event for event in trace.events}
    lost = wanted.keys() - arrived.keys()
    assert not lost, f"{len(lost)} events lost, such as {sorted(lost)[:5]}"
    assert not arrived.keys() - wanted.keys(), "events arrived that were not sent"
    extra = sum(arrived.values()) - len(arrived)
    assert extra <= repeats, f"{extra} events arrived twice, {repeats} may"
    check_order(trace, applied)
    check_identity(trace, applied)


def check_order(trace: Trace, applied: list[dict[str, Any]]) -> None:
    """The first arrivals of each person's events are in the order of the trace."""
    place = {event["messageId"]: number for number, event in enumerate(trace.events)}
    whose = {event["messageId"]: person(event) for event in trace.events}
    latest: dict[str, int] = defaultdict(lambda: -1)
    seen: set[str] = set()
    for request in applied:
        message = request["messageId"]
        if message in seen:
            continue
        seen.add(message)
        who = whose[message]
        assert place[message] > latest[who], f"{message} of {who} arrived out of order"
        latest[who] = place[message]


def check_identity(trace: Trace, applied: list[dict[str, Any]]) -> None:
    """Events before a person's identification carry no userId, those after carry theirs."""
    owner: dict[str, str] = {}
    expected: dict[str, str | None] = {}
    for event in trace.events:
        device = event["anonymousId"]
        if event.get("userId"):
            owner[device] = event["userId"]
        expected[event["messageId"]] = owner.get(device)
    for request in applied:
        message = request["messageId"]
        found = request["body"].get("userId")
        assert found == expected[message], f"{message}: {found} instead of {expected[message]}"
