"""Several people's requests as one call, and what becomes of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.fakes import (
    answer,
    eventually,
    pending,
    request,
    turns,
)
from tests.unit.delivery.conftest import Gate, MakeWorld, World

# Requests whose name begins with "i" go together (FakeDestination): "i1+i2".


@pytest.fixture
async def bulk(make_world: MakeWorld) -> World:
    return make_world(bulk_size=4)


def people(*names: str) -> list[Any]:
    """An event of each of some people."""
    return [pending(name, f"of {name}") for name in names]


async def test_a_window_s_requests_go_in_arrays_of_at_most_so_many(bulk: World) -> None:
    bulk.take(*people("i1", "i2", "t1", "i3", "i4", "i5", "i6"))
    outcomes = await bulk.settled(7)
    assert sorted(bulk.sender.calls) == ["i1+i2+i3+i4", "i5+i6", "t1"]
    assert {outcome for _, outcome in outcomes} == {"delivered"}
    assert bulk.idle()


async def test_without_bulk_each_goes_on_its_own(world: World) -> None:
    world.take(*people("i1", "i2"))
    await world.settled(2)
    assert sorted(world.sender.calls) == ["i1", "i2"]


async def test_one_alone_is_called_as_without_bulk(bulk: World) -> None:
    bulk.take(*people("i1", "t1"))
    await bulk.settled(2)
    assert sorted(bulk.sender.calls) == ["i1", "t1"]


async def test_a_person_s_next_event_waits_for_the_array_s_answer(bulk: World) -> None:
    gate = Gate()
    bulk.sender.script["i1+i2"] = [gate]
    bulk.take(pending("i1", "a"), pending("i2", "b"), pending("t1", "a"), pending("t2", "c"))
    await bulk.settled(1)
    await turns()
    assert sorted(bulk.sender.calls) == ["i1+i2", "t2"]
    gate.open.set()
    await bulk.settled(4)
    assert bulk.sender.calls[-1] == "t1"


async def test_an_array_waits_for_its_people_s_earlier_events(bulk: World) -> None:
    gate = Gate()
    bulk.sender.script["t1"] = [gate]
    bulk.take(pending("t1", "a"), pending("i1", "a"), pending("i2", "b"), pending("i3", "c"))
    await bulk.settled(2)
    assert bulk.sender.calls == ["t1", "i2+i3"]
    gate.open.set()
    await bulk.settled(4)
    assert bulk.sender.calls[2:] == ["i1"]


async def test_what_comes_after_other_events_is_gathered_for_a_moment(bulk: World) -> None:
    bulk.take(*(pending(f"{kind}{n}", f"{n}") for n in range(4) for kind in "ti"))
    await bulk.settled(8)
    assert bulk.sender.calls[4:] == ["i0+i1+i2+i3"]


async def test_a_person_is_in_an_array_once(bulk: World) -> None:
    bulk.take(pending("i1", "a"), pending("i2", "a"), pending("i3", "b"), pending("i4", "b"))
    await bulk.settled(4)
    assert bulk.sender.calls == ["i1+i3", "i2+i4"]


async def test_a_refused_array_is_split_until_the_one_at_fault_is_alone(bulk: World) -> None:
    for array in ("i1+i2+i3+i4", "i3+i4", "i3"):
        bulk.sender.script[array] = [answer(422, body=b"no such field")]
    bulk.take(*people("i1", "i2", "i3", "i4"), pending("t3", "of i3"))
    outcomes = await bulk.settled(5)
    assert bulk.sender.calls == ["i1+i2+i3+i4", "i1+i2", "i3+i4", "i3", "i4", "t3"]
    assert dict(outcomes) == {
        "i1": "delivered",
        "i2": "delivered",
        "i3": "rejected",
        "i4": "delivered",
        "t3": "delivered",
    }
    error, status, attempts = bulk.settlement.errors["i3"]
    assert (status, attempts, "no such field" in str(error)) == (422, 1, True)


async def test_an_event_of_several_that_is_at_fault_is_found_in_the_end(bulk: World) -> None:
    merged = pending("i3", "a")
    merged.merged, merged.merged_request = [pending("i1", "a"), pending("i2", "a")], request("i123")
    for refused in ("i123+i4", "i123", "i2"):
        bulk.sender.script[refused] = [answer(422)]
    bulk.take(merged, pending("i4", "b"), pending("i5", "a"))
    outcomes = await bulk.settled(5)
    assert dict(outcomes) == {
        "i1": "delivered",
        "i2": "rejected",
        "i3": "delivered",
        "i4": "delivered",
        "i5": "delivered",
    }
    mine = [call for call in bulk.sender.calls if call != "i4"]
    assert mine == ["i123+i4", "i123", "i1", "i2", "i3", "i5"], "no array for what was taken apart"


@pytest.mark.parametrize("status", [0, 500])
async def test_one_for_whom_it_always_fails_does_not_hold_back_the_others(
    bulk: World, status: int
) -> None:
    for array in ("i1+i2+i3+i4", "i3+i4", "i3"):
        bulk.sender.script[array] = [answer(status)] * 1000
    bulk.take(*people("i1", "i2", "i3", "i4"))
    outcomes = await bulk.settled(3)
    assert {name for name, _ in outcomes} == {"i1", "i2", "i4"}
    bulk.sender.script.clear()
    await bulk.settled(4)


async def test_too_many_requests_is_no_reason_to_make_more(bulk: World) -> None:
    bulk.sender.script["i1+i2+i3+i4"] = [answer(429)] * 3
    bulk.take(*people("i1", "i2", "i3", "i4"))
    await bulk.settled(4)
    assert bulk.sender.calls == ["i1+i2+i3+i4"] * 4


async def test_an_array_that_fails_for_too_long_ends_as_its_events_would(
    make_world: MakeWorld,
) -> None:
    for status in (429, 500):
        world = make_world(bulk_size=4, retry_max_seconds=0.01)
        for body in ("i1+i2", "i1", "i2"):
            world.sender.script[body] = [answer(status)] * 1000
        world.take(*people("i1", "i2"))
        outcomes = await world.settled(2)
        assert {outcome for _, outcome in outcomes} == {"retries-exhausted"}


async def test_a_refusal_of_ours_leaves_an_array_whole(bulk: World) -> None:
    bulk.sender.script["i1+i2"] = [answer(401), answer(503), answer(401)]
    bulk.take(*people("i1", "i2"))
    await bulk.settled(2)
    assert bulk.sender.calls == ["i1+i2"] * 4
    assert bulk.told[-1] is None


async def test_an_array_that_cannot_be_written_as_json_is_split(bulk: World) -> None:
    async def cannot() -> Any:
        raise TypeError("Integer exceeds 64-bit range")

    bulk.sender.script["i1+i2"] = [cannot]
    bulk.sender.script["i2"] = [cannot]
    bulk.take(*people("i1", "i2"))
    assert dict(await bulk.settled(2)) == {"i1": "delivered", "i2": "invalid-payload"}


async def test_each_request_of_an_event_is_made_in_its_turn(bulk: World) -> None:
    bulk.take(
        pending("1", "a", requests=[request("i1"), request("t1"), request("i1b")]),
        pending("i2", "b"),
    )
    await bulk.settled(2)
    assert bulk.sender.calls == ["i1+i2", "t1", "i1b"]


async def test_what_was_taken_apart_goes_into_no_array_again(bulk: World) -> None:
    merged = pending("i2", "a")
    merged.merged, merged.merged_request = [pending("i1", "a")], request("i12")
    gate = Gate()
    bulk.sender.script["i12"] = [answer(422)]
    bulk.sender.script["t3"] = [gate]
    bulk.take(merged, pending("t3", "b"), pending("i3", "b"))
    await eventually(lambda: "i12" in bulk.sender.calls)
    gate.open.set()
    await bulk.settled(4)
    assert sorted(bulk.sender.calls) == ["i1", "i12", "i2", "i3", "t3"]


async def test_what_was_gathered_and_is_abandoned_is_in_no_array(bulk: World) -> None:
    bulk.take(pending("t1", "a"), pending("i1", "a"))
    await bulk.settled(1)
    bulk.deliverer.abandon()
    bulk.take(*people("i2"))
    await bulk.settled(2)
    assert bulk.sender.calls == ["t1", "i2"]


async def test_what_is_abandoned_is_in_no_array(bulk: World) -> None:
    gate = Gate()
    bulk.sender.script["i1+i2"] = [gate]
    bulk.take(*people("i1", "i2"), pending("t1", "of i1"))
    await eventually(lambda: gate.reached)
    bulk.take(pending("t3", "c"), pending("i3", "c"))
    await turns()
    bulk.deliverer.abandon()
    gate.open.set()
    await asyncio.sleep(0.05)
    assert [name for name, _ in bulk.settlement.outcomes] in (["t3"], [])
    assert "i3" not in bulk.sender.calls
    assert "t1" not in bulk.sender.calls
    assert bulk.idle()


async def test_after_a_halt_no_array_is_sent(bulk: World) -> None:
    bulk.deliverer.halt()
    bulk.take(*people("i1", "i2", "i3", "i4", "i5"))
    await asyncio.sleep(0.05)
    assert bulk.sender.calls == []
