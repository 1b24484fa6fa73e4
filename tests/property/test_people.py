"""Fewer calls leave the same people: with and without coalescing, with and without arrays.

Over real HTTP: the events of some people go, window by window, to a stand-in that keeps people.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.dev.encharge import StandIn
from tests.support.delivering import delivery
from tests.support.people import events, people
from tests.unit.dev.encharge import KEY, running

KINDS = ("identify",) * 4 + ("Clicked", "Tagged", "Untagged")
IDS = re.compile(rb'"([ua]\d|\d@example\.com|[xy])"')
STORIES = st.lists(st.tuples(st.integers(1, 4), events(*KINDS)), max_size=14)
WAYS = [(is_coalescing, size) for is_coalescing in (False, True) for size in (0, 3)]

Story = list[tuple[int, Any]]
"""Whose event, and what happened."""


def told(story: Story) -> list[tuple[str, Any]]:
    """The events by lane, with each person's ids their own: nobody gets in another's way."""
    return [
        (
            f"lane-{person}",
            {
                **orjson.loads(IDS.sub(rb'"\1-%d"' % person, orjson.dumps(event))),
                "messageId": f"m{number}",
            },
        )
        for number, (person, event) in enumerate(story)
    ]


async def deliver(
    story: Story, window: int, *, is_coalescing: bool, bulk_size: int, faults: list[Any]
) -> tuple[StandIn, dict[str, str]]:
    """The stand-in after a story, and the outcome of each of its events."""
    state, pairs = StandIn(keys=frozenset({KEY})), told(story)
    state.faults.replace(faults)
    async with (
        running(state) as client,
        delivery(client.url, key=KEY, is_coalescing=is_coalescing, bulk_size=bulk_size) as going,
    ):
        for start in range(0, len(pairs), window):
            going.take(pairs[start : start + window])
        outcomes = await going.settled()
    assert Counter(name for name, _ in outcomes) == Counter(e["messageId"] for _, e in pairs)
    return state, dict(outcomes)


def check(story: Story, window: int, faults: list[Any]) -> None:
    async def all_ways() -> None:
        found = [
            people((await deliver(story, window, is_coalescing=c, bulk_size=b, faults=faults))[0])
            for c, b in WAYS
        ]
        for way, these in zip(WAYS, found, strict=True):
            assert these == found[0], way

    asyncio.run(all_ways())


slowly = settings(
    derandomize=True,
    deadline=None,
    max_examples=25,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@slowly
@given(STORIES, st.sampled_from([3, 100]))
def test_the_same_people_in_every_way(story: Story, window: int) -> None:
    check(story, window, [])


@slowly
@given(STORIES, st.sampled_from([3, 100]))
def test_the_same_people_also_when_one_is_always_refused(story: Story, window: int) -> None:
    # An array with this person in it is refused as a whole.
    check(story, window, [{"match": {"userId": "u1-1"}, "fault": {"status": 422}}])


@pytest.mark.parametrize("fault", [{"status": 422}, {"status": 400}])
async def test_of_a_refused_array_only_the_one_at_fault_is_dead_lettered(fault: Any) -> None:
    story = [
        (n, {"type": "identify", "userId": "u1", "anonymousId": "a1", "traits": {"n": n}})
        for n in range(40)
    ]
    state, outcomes = await deliver(
        story,
        100,
        is_coalescing=True,
        bulk_size=40,
        faults=[{"match": {"userId": "u1-23"}, "fault": fault}],
    )
    assert [name for name, outcome in outcomes.items() if outcome != "delivered"] == ["m23"]
    assert outcomes["m23"] == "rejected"
    assert len(state.people) == 39
    # log2 of 40 halvings, two arrays each, and the one alone.
    assert state.log.total <= 1 + 2 * 6


async def test_arrays_are_made_at_all_and_say_what_the_single_calls_do() -> None:
    story = [
        (n, {"type": "identify", "userId": "u1", "anonymousId": "a1", "traits": {"n": n}})
        for n in range(40)
    ]
    state, _ = await deliver(story, 100, is_coalescing=True, bulk_size=25, faults=[])
    assert state.log.by_type == {"people": 2}
    assert len(state.people) == 40
