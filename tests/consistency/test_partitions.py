"""The same calls for each person, however many workers and partitions there are (G5)."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from tests.consistency.conftest import Pool, feed, pools
from tests.support.households import History, epilogue, history, is_lonely, members, text
from tests.support.kafka import Broker
from tests.support.reference import Arrival, arrivals, check, check_coalesced, expected
from tests.support.world import KEY, StandIn, stand_in

pytestmark = pytest.mark.functional

HOUSEHOLDS: Final = 60
EVENTS: Final = 1500
SMALL: Final = {"STREAMS_PARTITIONS": "1"}
LARGE: Final = {"STREAMS_PARTITIONS": "16"}


async def test_one_worker_makes_the_calls_of_four_once_each(
    kafka: Broker, unique: str, tmp_path: Path, seed: int
) -> None:
    told = history(HOUSEHOLDS, EVENTS, seed) + epilogue(HOUSEHOLDS, seed)
    async with pools(kafka, unique, tmp_path, small=SMALL, large=LARGE) as (small, large):
        await _run(small, large, told)
        one, four = await small.requests(), await large.requests()
    check(told, one)
    check(told, four)
    assert _by_lane(told, one) == _by_lane(told, four)


def _by_lane(told: History, requests: Iterable[Mapping[str, Any]]) -> dict[str, list[Arrival]]:
    lanes = {call.name: call.lane for call in expected(told)}
    found: dict[str, list[Arrival]] = defaultdict(list)
    for arrival in arrivals(requests):
        found[lanes[arrival.name]].append(arrival)
    return found


async def test_coalescing_leaves_people_as_they_are_without_it(
    kafka: Broker,
    unique: str,
    tmp_path: Path,
    seed: int,
    record_property: Callable[[str, object], None],
) -> None:
    told = history(HOUSEHOLDS, EVENTS, seed) + epilogue(HOUSEHOLDS, seed)
    coalesce = {"STREAMS_COALESCE": "true", "STREAMS_BATCH_MAX_SECONDS": "1"}
    async with (
        stand_in() as plain,
        pools(kafka, unique, tmp_path, small=SMALL | coalesce, large=LARGE | coalesce) as (
            small,
            large,
        ),
    ):
        await _run(small, large, told)
        for pool in (small, large):
            merged = check_coalesced(told, await pool.requests())
            record_property(f"coalesced by {pool.group}", merged)
            assert merged > 0
        await _call(plain, told)
        without = await _lonely_people(plain, seed)
        assert without
        assert await _lonely_people(small.world.encharge, seed) == without
        assert await _lonely_people(large.world.encharge, seed) == without


async def _run(small: Pool, large: Pool, told: History) -> None:
    """One worker and four, with the same events, part of which is there before they are."""
    feeding = asyncio.ensure_future(feed(small.world, told, seconds=5))
    await asyncio.gather(small.start(), large.start(4), feeding)
    # The last event of every lane: what is before it has come before it.
    last = expected(epilogue(HOUSEHOLDS, told.seed))
    for pool in (small, large):
        await pool.arrived(last)
        await pool.settled()


async def _call(encharge: StandIn, told: History) -> None:
    """Make the calls of the lonely households one after the other."""
    headers = {"X-Encharge-Token": KEY}
    async with httpx.AsyncClient(base_url=encharge.url, headers=headers, trust_env=False) as http:
        for call in expected(told):
            if is_lonely(call.household):
                answer = await http.request(call.method, call.path, json=call.body)
                answer.raise_for_status()


async def _lonely_people(encharge: StandIn, seed: int) -> list[dict[str, Any]]:
    """The end state of those all of whose calls are of one lane, and so in one order."""
    ids = {
        text(who)
        for home in members(HOUSEHOLDS, seed)
        if home.is_lonely
        for who in (*home.devices, *home.users)
    }
    found = []
    for person in await encharge.people():
        known_as = {person["userId"], *person["anonymousIds"], *person["formerUserIds"]}
        if person["email"] is not None:
            known_as.add(person["email"].removesuffix("@example.com"))
        if known_as & ids:
            found.append({k: v for k, v in person.items() if k not in ("id", "calls")})
    return sorted(found, key=repr)
