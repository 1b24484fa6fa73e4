"""Lanes: each person's events one after the other, all persons at once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from streams.delivery import retry
from streams.delivery.dry_run import DryRun
from streams.delivery.sender import Answer
from streams.errors import EventError
from tests.support.fakes import FakeSettlement, answer, eventually, pending, request, samples, turns
from tests.unit.delivery.conftest import Gate, MakeWorld, World

# -- order and concurrency


async def test_a_person_s_events_are_called_one_after_the_other(world: World) -> None:
    first = Gate()
    world.sender.script["1"] = [first]
    world.take(*(pending(str(n)) for n in range(1, 6)))
    await eventually(lambda: first.reached)
    await turns()
    assert world.sender.calls == ["1"]
    first.open.set()
    outcomes = await world.settled(5)
    assert world.sender.calls == ["1", "2", "3", "4", "5"]
    assert outcomes == [(name, "delivered") for name in "12345"]
    assert world.idle()


async def test_events_that_come_while_a_call_is_open_queue_behind_it(world: World) -> None:
    first = Gate()
    world.sender.script["1"] = [first]
    world.take(pending("1"))
    await eventually(lambda: first.reached)
    world.take(pending("2"))
    world.take(pending("3"))
    first.open.set()
    await world.settled(3)
    assert world.sender.calls == ["1", "2", "3"]


async def test_people_are_called_side_by_side_up_to_the_bound(make_world: MakeWorld) -> None:
    world = make_world(concurrency=5)
    gates = [Gate() for _ in range(20)]
    for n, gate in enumerate(gates):
        world.sender.script[str(n)] = [gate]
        world.take(pending(str(n), f"lane{n}"))
    await eventually(lambda: world.sender.open == 5)
    await turns()
    assert world.sender.most_open == 5
    for gate in gates:
        gate.open.set()
    await world.settled(20)
    assert world.sender.most_open == 5


async def test_the_same_person_in_two_partitions_is_two_lanes(world: World) -> None:
    gate = Gate()
    world.sender.script["1"] = [gate]
    world.take(pending("1", "a", partition=0), pending("2", "a", partition=1))
    assert await world.settled(1) == [("2", "delivered")]
    gate.open.set()
    await world.settled(2)


async def test_a_busy_person_does_not_keep_a_caller_to_themselves(make_world: MakeWorld) -> None:
    world = make_world(concurrency=1)
    world.take(*(pending(f"busy{n}", "busy") for n in range(50)), pending("other", "other"))
    await world.settled(51)
    assert world.sender.calls.index("other") <= 2


async def test_all_calls_of_an_event_are_made_in_order_before_the_next_event(
    world: World,
) -> None:
    world.sender.script["1b"] = [answer(503)]
    world.take(pending("1", requests=[request("1a"), request("1b"), request("1c")]), pending("2"))
    assert await world.settled(2) == [("1", "delivered"), ("2", "delivered")]
    # What was accepted is not called again for what was not.
    assert world.sender.calls == ["1a", "1b", "1b", "1c", "2"]


# -- retries


@pytest.mark.parametrize("status", [0, 500, 429])
async def test_a_retry_holds_back_its_own_person_only(
    world: World, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr(retry, "delay", lambda *_: 0.05)
    world.sender.script["ill1"] = [answer(status), answer(status)]
    world.take(
        pending("ill1", "ill"),
        pending("ill2", "ill"),
        *(pending(f"well{n}", f"well{n}") for n in range(20)),
    )
    outcomes = await world.settled(22)
    assert outcomes[-2:] == [("ill1", "delivered"), ("ill2", "delivered")]
    assert world.sender.calls.count("ill1") == 3
    assert samples(world.metrics)["streams_retries_total"] == 2


async def test_the_wait_is_what_attempt_and_answer_ask_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, Any]] = []

    def delay(attempt: int, headers: Any) -> float:
        asked.append((attempt, headers.get("retry-after")))
        return 0.0

    monkeypatch.setattr(retry, "delay", delay)
    date = "Mon, 02 Nov 2026 08:00:30 GMT"
    world.sender.script["1"] = [
        answer(503, {"retry-after": "7"}),
        answer(429, {"retry-after": date}),
        answer(0),
    ]
    world.sender.script["2"] = [answer(500)]
    world.take(pending("1"), pending("2"))
    await world.settled(2)
    # The count starts again with each event.
    assert asked == [(1, "7"), (2, date), (3, None), (1, None)]


async def test_an_event_that_fails_for_too_long_is_rejected_and_its_person_goes_on(
    make_world: MakeWorld,
) -> None:
    world = make_world(retry_max_seconds=0.01)
    world.sender.script["1"] = [answer(503)] * 1000
    world.take(pending("1"), pending("2"))
    assert await world.settled(2) == [("1", "retries-exhausted"), ("2", "delivered")]
    error, status, attempts = world.settlement.errors["1"]
    assert "STREAMS_RETRY_MAX_SECONDS" in str(error)
    assert status == 503
    assert attempts == world.sender.calls.count("1") > 1


async def test_no_answer_at_all_says_why(make_world: MakeWorld) -> None:
    world = make_world(retry_max_seconds=0.001)
    world.sender.script["1"] = [answer(0)] * 1000
    world.take(pending("1"))
    await world.settled(1)
    error, status, _ = world.settlement.errors["1"]
    assert (status, "connection refused" in str(error)) == (0, True)


# -- rejections


async def test_a_rejected_event_is_not_tried_again_and_its_person_goes_on(world: World) -> None:
    world.sender.script["1"] = [answer(422, body=b"no such field \xff" + b"x" * 5000)]
    world.take(pending("1"), pending("2"))
    assert await world.settled(2) == [("1", "rejected"), ("2", "delivered")]
    error, status, attempts = world.settlement.errors["1"]
    assert (status, attempts) == (422, 1)
    assert "no such field" in str(error)
    assert len(str(error)) < 600


async def test_an_event_that_could_not_be_mapped_is_never_called(world: World) -> None:
    world.take(
        pending("1", requests=[None], error=EventError("invalid-payload", "x")), pending("2")
    )
    assert await world.settled(2) == [("1", "invalid-payload"), ("2", "delivered")]
    assert world.sender.calls == ["2"]


async def test_a_request_that_cannot_be_written_as_json_is_rejected(world: World) -> None:
    async def cannot() -> Answer:
        raise TypeError("Integer exceeds 64-bit range")

    world.sender.script["1"] = [cannot]
    world.take(pending("1"), pending("2"))
    assert await world.settled(2) == [("1", "invalid-payload"), ("2", "delivered")]
    assert world.sender.open == 0
    assert "streams_requests_in_flight" not in samples(world.metrics)


def merged_event() -> Any:
    later = pending("3")
    later.merged = [pending("1"), pending("2")]
    later.merged_request = request("1+2+3")
    return later


async def test_a_merged_call_stands_for_all_of_them(world: World) -> None:
    world.take(merged_event(), pending("4"))
    assert await world.settled(4) == [
        ("1", "coalesced"),
        ("2", "coalesced"),
        ("3", "delivered"),
        ("4", "delivered"),
    ]
    assert world.sender.calls == ["1+2+3", "4"]


async def test_a_merged_call_that_is_rejected_is_taken_apart_to_find_the_one_at_fault(
    world: World,
) -> None:
    world.sender.script["1+2+3"] = [answer(422)]
    world.sender.script["2"] = [answer(422)]
    world.take(merged_event(), pending("4"))
    assert await world.settled(4) == [
        ("1", "delivered"),
        ("2", "rejected"),
        ("3", "delivered"),
        ("4", "delivered"),
    ]
    assert world.sender.calls == ["1+2+3", "1", "2", "3", "4"]


# -- a destination that refuses us


async def test_a_refusal_holds_everything_and_buries_nothing(world: World) -> None:
    world.sender.script["1"] = [answer(401, body=b"bad key")] * 3
    world.take(pending("1", "a"))
    await eventually(lambda: world.told)
    world.take(*(pending(f"x{n}", f"x{n}") for n in range(20)))
    outcomes = await world.settled(21)
    # Only the probe was called until the destination took us again.
    assert world.sender.calls[:4] == ["1"] * 4
    assert {outcome for _, outcome in outcomes} == {"delivered"}
    assert world.told == ["see to it (401) (status 401)", None]
    assert world.idle()


async def test_calls_that_were_open_when_another_was_refused_are_made_again(
    world: World,
) -> None:
    gates = {name: Gate(401) for name in ("1", "2", "3")}
    for name, gate in gates.items():
        world.sender.script[name] = [gate]
        world.take(pending(name, name))
    await eventually(lambda: all(gate.reached for gate in gates.values()))
    for gate in gates.values():
        gate.open.set()
    outcomes = await world.settled(3)
    assert sorted(outcomes) == [(name, "delivered") for name in ("1", "2", "3")]
    assert world.told[0] is not None
    assert world.told[-1] is None


async def test_a_probe_that_is_refused_again_is_not_forgotten_when_others_pass(
    world: World,
) -> None:
    """One endpoint (or key) refuses while the other works: calls to it must not be lost."""
    late = Gate(200)
    world.sender.script["late"] = [late]
    world.sender.script["refused"] = [answer(401), answer(401), answer(401)]
    world.take(pending("late", "a"), pending("refused", "b"))
    await eventually(lambda: world.told and late.reached)
    late.open.set()  # the destination takes us again, says this one, while the probe waits
    assert sorted(await world.settled(2)) == [("late", "delivered"), ("refused", "delivered")]
    assert world.idle()


async def test_a_probe_without_an_answer_is_not_forgotten_when_others_pass(world: World) -> None:
    late = Gate(200)
    world.sender.script["late"] = [late]
    world.sender.script["refused"] = [answer(401), answer(0), answer(0)]
    world.take(pending("late", "a"), pending("refused", "b"))
    await eventually(lambda: world.told and late.reached)
    late.open.set()
    assert sorted(await world.settled(2)) == [("late", "delivered"), ("refused", "delivered")]


async def test_the_time_of_a_refusal_is_not_time_of_retrying(make_world: MakeWorld) -> None:
    """A key that was wrong overnight must not bury the first event that then meets a 503."""
    world = make_world(retry_max_seconds=0.05)
    gate = Gate(401)
    world.sender.script["1"] = [answer(401)] * 12 + [answer(503)]
    world.sender.script["2"] = [gate, answer(503)]
    world.take(pending("1", "a"), pending("2", "b"))
    await eventually(lambda: gate.reached and world.told)
    gate.open.set()
    outcomes = await world.settled(2)
    assert sorted(outcomes) == [("1", "delivered"), ("2", "delivered")]


async def test_a_refusal_is_no_attempt_of_the_event(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: list[int] = []

    def delay(attempt: int, headers: Any) -> float:
        attempts.append(attempt)
        return 0.0

    monkeypatch.setattr(retry, "delay", delay)
    gates = {name: Gate(401) for name in ("1", "2")}
    for name, gate in gates.items():
        world.sender.script[name] = [gate, answer(200) if name == "1" else answer(500)]
        world.take(pending(name, name))
    # The second is refused last, and so is the probe.
    await eventually(lambda: all(gate.reached for gate in gates.values()))
    for name in ("2", "1"):
        gates[name].open.set()
        await turns()
    await world.settled(2)
    assert attempts == [1]


# -- a rebalance


async def test_what_is_abandoned_is_not_called_and_has_no_outcome_here(world: World) -> None:
    gate = Gate()
    world.sender.script["1"] = [gate]
    world.sender.script["waiting"] = [answer(503)]
    world.take(pending("1", "a"), pending("2", "a"), pending("waiting", "b"))
    await eventually(lambda: gate.reached and "waiting" in world.sender.calls)
    world.deliverer.abandon()
    gate.open.set()
    await asyncio.sleep(0.01)
    assert world.settlement.outcomes == []
    assert world.sender.calls.count("2") == 0
    assert world.sender.calls.count("waiting") == 1
    assert world.idle()


async def test_after_an_abandon_the_same_person_is_delivered_anew(world: World) -> None:
    gate = Gate()
    world.sender.script["1"] = [gate]
    world.take(pending("1"))
    await eventually(lambda: gate.reached)
    world.deliverer.abandon()
    world.take(pending("1"), pending("2"))
    gate.open.set()
    assert await world.settled(2) == [("1", "delivered"), ("2", "delivered")]
    assert world.idle()


async def test_an_abandon_during_a_refusal_frees_the_callers(world: World) -> None:
    world.sender.script["1"] = [answer(401)] * 1000
    world.take(pending("1"))
    await eventually(lambda: world.told)
    world.deliverer.abandon()
    world.take(pending("2"))
    assert await world.settled(1) == [("2", "delivered")]
    assert world.told[-1] is None


async def test_closing_ends_every_task(make_world: MakeWorld) -> None:
    world = make_world()
    gate = Gate()
    world.sender.script["1"] = [gate]
    world.take(pending("1"))
    await eventually(lambda: gate.reached)
    await world.deliverer.close()
    await turns()
    assert all(caller.done() for caller in world.deliverer._callers)
    assert world.sender.open == 0


# -- dry run


def test_a_dry_run_settles_everything_as_if_it_had_been_sent() -> None:
    settlement = FakeSettlement()
    DryRun(settlement).take(  # type: ignore[arg-type]
        [merged_event(), pending("4", error=EventError("invalid-payload", "x"))]
    )
    assert sorted(settlement.outcomes) == [
        ("1", "coalesced"),
        ("2", "coalesced"),
        ("3", "delivered"),
        ("4", "invalid-payload"),
    ]


# -- several subscriptions for one event


async def test_the_requests_of_one_event_do_not_depend_on_each_other(world: World) -> None:
    world.sender.script["1a"] = [answer(422)]
    event = pending("1", requests=[request("1a"), request("1b")])
    world.take(event, pending("2"))
    outcomes = await world.settled(2)
    assert world.sender.calls == ["1a", "1b", "2"]
    assert outcomes == [("1", "rejected"), ("2", "delivered")]
    error, status, attempts = world.settlement.errors["1"]
    assert (error.reason, status, attempts) == ("rejected", 422, 1)


async def test_what_can_be_mapped_is_sent_before_the_event_is_given_up(world: World) -> None:
    broken = EventError("invalid-payload", "event is missing")
    event = pending("1", requests=[None, request("1b"), None], error=broken)
    world.take(event)
    outcomes = await world.settled(1)
    assert world.sender.calls == ["1b"]
    assert outcomes == [("1", "invalid-payload")]
    assert world.settlement.errors["1"][0] is broken


async def test_the_first_failure_is_the_one_that_is_told(world: World) -> None:
    world.sender.script["1a"] = [answer(422, body=b"first")]
    world.sender.script["1b"] = [answer(400, body=b"second")]
    world.take(pending("1", requests=[request("1a"), request("1b")]))
    await world.settled(1)
    assert "first" in str(world.settlement.errors["1"][0])


async def test_an_outage_does_not_end_a_hold(make_world: MakeWorld) -> None:
    world = make_world(concurrency=1)
    world.sender.script["1"] = [answer(401), answer(503), answer(0), answer(200)]
    world.take(pending("1"), pending("2", lane="other"))
    await world.settled(2)
    assert world.sender.calls == ["1", "1", "1", "1", "2"]
    assert len(world.told) == 2
    assert world.told[-1] is None


# -- a halt


async def test_after_a_halt_no_call_is_made_and_the_open_ones_are_concluded(
    make_world: MakeWorld,
) -> None:
    world = make_world(concurrency=2)
    gate = Gate()
    world.sender.script["1"] = [gate]
    world.take(pending("1", "a"), pending("2", "a"))
    await eventually(lambda: gate.reached)
    world.deliverer.halt()
    world.take(pending("3", "b"))
    waiting = asyncio.ensure_future(world.deliverer.answered(within=30))
    await turns()
    assert not waiting.done()
    gate.open.set()
    await waiting
    await turns()
    assert world.settlement.outcomes == [("1", "delivered")], "it is not to be sent again"
    assert world.sender.calls == ["1"]


async def test_a_halt_in_the_middle_of_a_conclusion_holds_back_the_person_s_next(
    make_world: MakeWorld,
) -> None:
    world = make_world(concurrency=2)
    world.sender.script["1"] = [answer(422)]

    def rejected(event: Any, *_: Any, **__: Any) -> None:
        world.deliverer.halt()

    world.settlement.rejected = rejected  # type: ignore[method-assign]
    world.take(pending("1", "a"), pending("2", "a"), pending("3", "a"))
    await world.deliverer.answered(within=30)
    await turns()
    assert world.sender.calls == ["1"]


async def test_an_answer_that_never_comes_is_waited_for_only_so_long(world: World) -> None:
    gate = Gate()
    world.sender.script["1"] = [gate]
    world.take(pending("1"))
    await eventually(lambda: gate.reached)
    world.deliverer.halt()
    await world.deliverer.answered(within=0.001)
    assert world.settlement.outcomes == []
