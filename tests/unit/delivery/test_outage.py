"""A destination that is out of order, or has too much to do: it is not hammered, and no event's
fault."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from streams.delivery import circuit, retry
from tests.support.fakes import answer, eventually, pending, samples, turns
from tests.unit.delivery.conftest import Gate, MakeWorld, Turnstile, World

DOWN = [answer(503)] * 1000


def break_it(world: World, people: int) -> None:
    """As many people as open the circuit, whose calls fail until told otherwise."""
    for n in range(people):
        world.sender.script[f"down{n}"] = list(DOWN)
        world.take(pending(f"down{n}", f"down{n}"))


def mend(world: World) -> None:
    world.sender.script.clear()


def is_open(world: World) -> bool:
    return samples(world.metrics).get("streams_circuit_state") == 1


async def test_after_so_many_failures_in_a_row_nothing_is_called_but_probes(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(circuit_failures=3)
    monkeypatch.setattr(circuit, "BASE_SECONDS", 1000)
    monkeypatch.setattr(circuit, "CAP_SECONDS", 1000)
    break_it(world, 3)
    await eventually(lambda: is_open(world))
    await asyncio.sleep(0.02)
    asked = len(world.sender.calls)
    world.take(*(pending(f"well{n}", f"well{n}") for n in range(20)))
    await asyncio.sleep(0.02)
    assert len(world.sender.calls) == asked
    assert world.told == [], "it is no misconfiguration"


async def test_probes_are_made_one_at_a_time_until_one_is_answered(make_world: MakeWorld) -> None:
    world = make_world(circuit_failures=3)
    break_it(world, 3)
    await eventually(lambda: is_open(world))
    world.take(*(pending(f"well{n}", f"well{n}") for n in range(20)))
    for n in range(20):
        world.sender.script[f"well{n}"] = list(DOWN)
    world.sender.most_open = world.sender.open = 0
    asked = len(world.sender.calls)
    await eventually(lambda: len(world.sender.calls) > asked + 10)
    assert world.sender.most_open == 1
    assert len({*world.sender.calls[asked:]}) > 3, "by turns: one may fail for another reason"
    mend(world)
    outcomes = await world.settled(23)
    assert {outcome for _, outcome in outcomes} == {"delivered"}
    assert not is_open(world)


async def test_one_person_s_failing_event_never_stops_the_others(make_world: MakeWorld) -> None:
    world = make_world(circuit_failures=2)
    break_it(world, 1)
    await eventually(lambda: world.sender.calls.count("down0") > 30)
    assert not is_open(world)
    mend(world)
    await world.settled(1)


async def test_calls_that_are_answered_in_between_keep_it_closed(make_world: MakeWorld) -> None:
    world = make_world(circuit_failures=4, concurrency=1)
    for n in range(30):
        world.sender.script[f"ill{n}"] = [answer(500)]
        world.take(pending(f"ill{n}", f"ill{n}"), *(pending(f"w{n}{m}", f"w{n}") for m in "abc"))
    await world.settled(120)
    assert samples(world.metrics)["streams_retries_total"] == 30


async def test_an_outage_longer_than_the_time_of_retrying_buries_nothing(
    make_world: MakeWorld,
) -> None:
    world = make_world(circuit_failures=3, retry_max_seconds=0.03)
    break_it(world, 3)
    await eventually(lambda: is_open(world))
    asked = len(world.sender.calls)
    # Far longer than 0.03 s, of which each probe's own time is all that counts.
    await asyncio.sleep(0.3)
    assert len(world.sender.calls) > asked + 10
    mend(world)
    outcomes = await world.settled(3)
    assert {outcome for _, outcome in outcomes} == {"delivered"}


async def test_no_answer_at_all_is_an_outage_and_a_429_is_none(make_world: MakeWorld) -> None:
    world = make_world(circuit_failures=3)
    for n in range(5):
        world.sender.script[f"busy{n}"] = [answer(429)] * 3
        world.take(pending(f"busy{n}", f"busy{n}"))
    await world.settled(5)
    for n in range(3):
        world.sender.script[f"gone{n}"] = [answer(0)] * 1000
        world.take(pending(f"gone{n}", f"gone{n}"))
    await eventually(lambda: is_open(world))
    mend(world)
    await world.settled(8)


async def test_when_its_event_is_given_up_to_another_worker_the_next_one_is_the_probe(
    make_world: MakeWorld,
) -> None:
    world = make_world(circuit_failures=3)
    break_it(world, 3)
    await eventually(lambda: is_open(world))
    world.deliverer.abandon()
    asked = len(world.sender.calls)
    await asyncio.sleep(0.03)
    assert len(world.sender.calls) <= asked + 1, "there is nothing to probe with"
    world.take(pending("new", "new"))
    assert await world.settled(1) == [("new", "delivered")]
    assert not is_open(world)


async def test_calls_that_waited_for_their_turn_do_not_go_when_it_has_opened_meanwhile(
    make_world: MakeWorld,
) -> None:
    turnstile = Turnstile()
    turnstile.open.set()
    world = make_world(circuit_failures=1, limiter=turnstile)
    gate = Gate(503)
    world.sender.script["1"] = [gate, *DOWN]
    world.take(pending("1", "a"))
    await eventually(lambda: gate.reached)
    turnstile.open.clear()
    world.take(*(pending(f"x{n}", f"x{n}") for n in range(5)))
    await eventually(lambda: turnstile.waiting == 5)
    gate.open.set()
    await eventually(lambda: is_open(world))
    world.sender.most_open = 0
    for n in range(5):
        world.sender.script[f"x{n}"] = list(DOWN)
    turnstile.open.set()
    await eventually(lambda: len(world.sender.calls) > 5)
    assert world.sender.most_open == 1
    mend(world)
    await world.settled(6)


async def test_a_probe_that_is_given_up_before_its_call_leaves_the_way_to_another(
    make_world: MakeWorld,
) -> None:
    turnstile = Turnstile()
    turnstile.open.set()
    world = make_world(circuit_failures=1, limiter=turnstile)
    world.sender.script["1"] = list(DOWN)
    world.take(pending("1"))
    await eventually(lambda: is_open(world))
    turnstile.open.clear()
    await eventually(lambda: turnstile.waiting == 1)
    world.deliverer.abandon()
    turnstile.open.set()
    world.take(pending("2"))
    assert await world.settled(1) == [("2", "delivered")]


async def test_a_probe_that_cannot_be_called_leaves_the_way_to_another(
    make_world: MakeWorld,
) -> None:
    async def cannot() -> Any:
        raise TypeError("Integer exceeds 64-bit range")

    world = make_world(circuit_failures=1)
    world.sender.script["1"] = [answer(503), cannot]
    world.take(pending("1", "a"))
    assert await world.settled(1) == [("1", "invalid-payload")]
    assert is_open(world)
    world.take(pending("2", "b"))
    assert (await world.settled(2))[1:] == [("2", "delivered")]
    assert not is_open(world)


async def test_a_probe_that_found_nothing_to_call_is_no_call_too_many_later(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "delay", lambda *_: 1000)
    world = make_world(circuit_failures=1, concurrency=4)
    gate = Gate(429)
    world.sender.script |= {"1": [answer(503)], "2": [gate]}
    world.take(pending("2", "b"), pending("1", "a"))
    await eventually(lambda: is_open(world) and gate.reached)
    await asyncio.sleep(0.02)
    gate.open.set()
    await eventually(lambda: not is_open(world))
    for n in range(5):
        world.sender.script[f"x{n}"] = [Gate()]
        world.take(pending(f"x{n}", f"x{n}"))
    await turns(50)
    assert world.sender.open == limit(world) == 2


async def test_probes_end_when_the_deliverer_is_halted(make_world: MakeWorld) -> None:
    for status in (401, 503):
        world = make_world(circuit_failures=1)
        world.sender.script["1"] = [answer(status)] * 1000
        world.take(pending("1"))
        await eventually(lambda world=world: len(world.sender.calls) > 3)
        world.deliverer.halt()
        await world.deliverer.answered(within=30)
        await turns()
        asked = len(world.sender.calls)
        await asyncio.sleep(0.05)
        assert len(world.sender.calls) == asked


# -- a worker whose partitions may be another's


async def test_nothing_is_called_once_the_lease_is_lost(world: World) -> None:
    gate = Gate()
    world.sender.script["1"] = [gate]
    world.take(pending("1", "a"), pending("2", "a"))
    await eventually(lambda: gate.reached)
    world.may_call = False
    gate.open.set()
    world.take(pending("3", "b"))
    await asyncio.sleep(0.02)
    assert world.sender.calls == ["1"]
    world.may_call = True
    world.take(pending("4", "c"))
    await asyncio.sleep(0.02)
    assert world.sender.calls == ["1"], "what it has lost does not come back"


async def test_the_lease_is_asked_after_every_wait(make_world: MakeWorld) -> None:
    world = make_world(concurrency=1)
    world.sender.script["1"] = [answer(401)] * 1000
    world.take(pending("1"))
    await eventually(lambda: len(world.sender.calls) > 2)
    world.may_call = False
    await turns()
    asked = len(world.sender.calls)
    await asyncio.sleep(0.05)
    assert len(world.sender.calls) <= asked + 1, "a probe is a call, too"


# -- too many calls


def limit(world: World) -> float:
    return samples(world.metrics)["streams_concurrency_limit"]


async def test_a_429_halves_the_calls_that_may_be_open(make_world: MakeWorld) -> None:
    world = make_world(concurrency=8)
    assert limit(world) == 8
    world.sender.script["1"] = [answer(429)]
    gates = [Gate() for _ in range(20)]
    world.take(pending("1"))
    await eventually(lambda: limit(world) == 4)
    for n, gate in enumerate(gates):
        world.sender.script[f"x{n}"] = [gate]
        world.take(pending(f"x{n}", f"x{n}"))
    await world.settled(0)
    world.sender.most_open = 0
    await turns(50)
    assert world.sender.open <= 5  # 4, and one more for the call that was taken meanwhile
    for gate in gates:
        gate.open.set()
    await world.settled(21)
    assert limit(world) > 4


async def test_a_retry_after_is_for_everyone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.sender.script["1"] = [answer(429, {"retry-after": "0.1"})]
    world.take(pending("1", "a"))
    await eventually(lambda: world.sender.calls)
    await turns()
    world.take(*(pending(f"x{n}", f"x{n}") for n in range(5)))
    await turns(50)
    assert world.sender.calls == ["1"]
    await world.settled(6)


async def test_the_retry_after_of_an_outage_is_for_its_own_person(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    world.sender.script["1"] = [answer(503, {"retry-after": "100"})]
    world.take(pending("1", "a"), pending("2", "b"))
    assert await world.settled(1) == [("2", "delivered")]
    assert retry.delay(1, {"retry-after": "100"}) >= 100
