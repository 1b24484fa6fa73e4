"""How many calls an event costs, with and without coalescing and bulk. It counts; no clock.

    python -m bench.calls [events]

The same events go, by windows of 500 of a partition as the worker's, through mapping, coalescing
and lanes to the stand-in, once in each way; the stand-in counts. Without Kafka, and without
resolving identities, which changes no number of calls.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Iterable, Iterator
from typing import Any, Final

import orjson

from bench.events import generate
from streams.settings import Settings
from tests.support.delivering import delivery
from tests.support.world import KEY, stand_in

WINDOW: Final[int] = Settings.model_fields["streams_batch_max_events"].default
ARRAY: Final[int] = Settings.model_fields["streams_people_bulk_size"].default
PARTITIONS: Final = 4
WAYS: Final = {
    "plain": (False, 0),
    "coalesced": (True, 0),
    "bulk": (False, ARRAY),
    "both": (True, ARRAY),
}

Event = dict[str, Any]
Told = list[tuple[str, Event]]
"""(whose, what), in order."""


def visits(count: int) -> Told:
    """The benchmark's own events: people who visit, log in and go on."""
    events = (orjson.loads(raw) for _, raw in generate(count, PARTITIONS))
    return [(event["anonymousId"], event) for event in events]


def signups(count: int) -> Told:
    """People who look around, sign up and set up their account, each in four bursts.

    What a burst reports comes at once, as libraries send it; bursts of others lie between.
    """
    return _interleaved(count, _signup)


def syncs(count: int) -> Told:
    """A back end that states the traits of all its users, as at night: nothing but identifies."""
    return _interleaved(count, _sync)


def _signup(person: int) -> Iterator[list[Event]]:
    device = {"anonymousId": f"device-{person}"}
    known = {**device, "userId": f"user-{person}"}

    def identify(**traits: Any) -> Event:
        return {"type": "identify", **known, "traits": traits}

    def track(name: str) -> Event:
        return {"type": "track", "event": name, **known, "properties": {"plan": "trial"}}

    yield [{"type": "page", **device, "properties": {"path": "/"}}]
    yield [{"type": "page", **device, "properties": {"path": "/pricing"}}]
    yield [
        identify(email=f"person{person}@example.com"),
        identify(firstName="Pat", plan="trial"),
        track("Signed Up"),
        {"type": "group", **known, "groupId": f"team-{person}", "traits": {"plan": "trial"}},
    ]
    yield [
        {"type": "page", **known, "properties": {"path": "/welcome"}},
        identify(role="engineer"),
        identify(teamSize=7),
        identify(goal="reports"),
        track("Onboarding Completed"),
    ]


def _sync(person: int) -> Iterator[list[Event]]:
    user = {"userId": f"user-{person}"}
    yield [{"type": "identify", **user, "traits": {"plan": "team", "seats": person % 40}}]


def _interleaved(count: int, story: Any) -> Told:
    chance = random.Random(1)
    bursts: list[tuple[float, str, list[Event]]] = []
    told = person = 0
    while told < count:
        moment = float(person)
        for burst in story(person):
            bursts.append((moment, f"person-{person}", burst))
            # One begins in each unit of time: the bursts of about 50 lie between two of a person.
            moment += chance.uniform(10, 90)
            told += len(burst)
        person += 1
    bursts.sort(key=lambda burst: burst[0])
    return [(whose, event) for _, whose, burst in bursts for event in burst]


TRACES: Final = {"visits": visits, "sign-ups": signups, "a sync of users": syncs}


def windows(told: Told) -> Iterator[Told]:
    """The windows of each partition, one after the other."""
    parts: list[Told] = [[] for _ in range(PARTITIONS)]
    of: dict[str, int] = {}
    for number, (whose, event) in enumerate(told):
        event.setdefault("messageId", f"m-{number}")
        parts[of.setdefault(whose, len(of) % PARTITIONS)].append((whose, event))
    for part in parts:
        for start in range(0, len(part), WINDOW):
            yield part[start : start + WINDOW]


async def calls(told: Told, *, is_coalescing: bool, bulk_size: int) -> int:
    """How many requests a stand-in gets for these events."""
    async with (
        stand_in() as encharge,
        delivery(encharge.url, key=KEY, is_coalescing=is_coalescing, bulk_size=bulk_size) as going,
    ):
        for window in windows(told):
            going.take(window)
            outcomes = await going.settled()
        assert {outcome for _, outcome in outcomes} <= {"delivered", "coalesced"}
        return int((await encharge.stats())["requests"])


async def run(count: int) -> None:
    """Print the table."""
    print(f"| calls for each event | events | identifies | {' | '.join(WAYS)} |")
    print(f"|---|---:|---:|{'---:|' * len(WAYS)}")
    for name, trace in TRACES.items():
        told = trace(count)
        share = sum(event["type"] == "identify" for _, event in told) / len(told)
        found = [await calls(told, is_coalescing=c, bulk_size=b) for c, b in WAYS.values()]
        shown = " | ".join(f"{made / len(told):.3f}" for made in found)
        print(f"| {name} | {len(told):,} | {share:.0%} | {shown} |")


def main(arguments: Iterable[str]) -> None:
    """Run it with the arguments of the command line."""
    [count] = [int(text) for text in arguments] or [10_000]
    asyncio.run(run(count))


if __name__ == "__main__":
    main(sys.argv[1:])
