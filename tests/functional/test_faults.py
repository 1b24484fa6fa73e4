"""What the destination may do to us, and what it must not do to the events."""

from __future__ import annotations

import asyncio

import pytest

from tests.functional.conftest import World, event
from tests.support.traces import check, signups
from tests.support.world import assert_accounts_balance, at_rest, consumed, until, workers

pytestmark = pytest.mark.functional


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500},
        {"status": 503, "retry_after": 1},
        {"status": 429},
        {"reset": True},
        {"hang": 3},
        {"status": 200, "body": "<h1>It works!</h1>", "content_type": "text/html"},
    ],
    ids=["500", "503-retry-after", "429", "reset", "hang", "html"],
)
async def test_a_passing_fault_holds_back_its_person_only(small_world: World, fault: dict) -> None:
    world = small_world
    await world.encharge.faults({"match": {"anonymousId": "ill"}, "fault": fault, "times": 2})
    worker = world.worker(STREAMS_REQUEST_TIMEOUT_SECONDS="1")
    async with workers(worker):
        await world.feed(
            *(event("track", f"ill-{n}", anonymousId="ill") for n in range(3)),
            *(event("track", f"well-{n}", anonymousId=f"well-{n}") for n in range(30)),
        )
        await world.settled(33, worker)
        assert_accounts_balance(await consumed(worker))
    applied = [r["messageId"] for r in await world.encharge.requests() if r["applied"]]
    assert sorted(applied) == sorted({*applied}), "nothing was applied twice"
    assert [m for m in applied if m.startswith("m-ill")] == ["m-ill-0", "m-ill-1", "m-ill-2"]
    assert applied.index("m-ill-0") > 20, "the others did not wait"


async def test_an_event_that_is_refused_is_a_dead_letter_and_the_person_goes_on(
    small_world: World,
) -> None:
    world = small_world
    await world.encharge.faults(
        {"match": {"messageId": "m-1"}, "fault": {"status": 422, "body": {"error": "no thanks"}}}
    )
    worker = world.worker()
    first = event("track", 1, anonymousId="a")
    async with workers(worker):
        await world.feed(first, event("track", 2, anonymousId="a"))
        await world.settled(2, worker)
        assert_accounts_balance(await consumed(worker))
    assert [body["messageId"] for body in await world.bodies()] == ["m-2"]
    [(value, headers)] = await world.dead_letters(1)
    assert value == first_value(first)
    assert headers["dlq.reason"] == "rejected"
    assert headers["dlq.status"] == "422"
    assert "no thanks" in headers["dlq.text"]


def first_value(made: dict) -> bytes:
    from tests.functional.conftest import text

    return text(made)


async def test_an_event_that_fails_for_too_long_is_a_dead_letter(small_world: World) -> None:
    world = small_world
    await world.encharge.faults({"match": {"messageId": "m-1"}, "fault": {"status": 500}})
    worker = world.worker(STREAMS_RETRY_MAX_SECONDS="1")
    async with workers(worker):
        await world.feed(event("track", 1, anonymousId="a"), event("track", 2, anonymousId="a"))
        await world.settled(2, worker)
    [(_, headers)] = await world.dead_letters(1)
    assert headers["dlq.reason"] == "retries-exhausted"
    assert int(headers["dlq.attempts"]) > 1
    assert [body["messageId"] for body in await world.bodies()] == ["m-2"]


async def test_a_wrong_key_buries_nothing_and_mends_itself(small_world: World) -> None:
    world = small_world
    await world.encharge.faults({"fault": {"status": 401, "body": {"error": "bad key"}}})
    worker = world.worker()
    async with workers(worker):
        await world.feed(*(event("track", n, anonymousId=f"a{n}") for n in range(20)))

        async def unready() -> bool:
            return not await worker.is_ready()

        await until(unready, "readiness off")
        asked = (await world.encharge.stats())["requests"]
        await asyncio.sleep(1.5)
        assert (await world.encharge.stats())["requests"] - asked <= 1, "it is not hammered"
        assert await worker.status("healthz") == 200
        await world.encharge.faults()
        await world.settled(20, worker)
        assert await worker.is_ready()
        assert (await consumed(worker))["streams_events_dead_lettered_total"] == 0
    assert len(await world.bodies()) == 20


async def test_a_dead_destination_is_probed_and_its_outage_is_no_event_s_fault(
    small_world: World,
) -> None:
    world = small_world
    await world.encharge.faults({"fault": {"status": 503}})
    worker = world.worker(STREAMS_CIRCUIT_FAILURES="5", STREAMS_RETRY_MAX_SECONDS="1")
    state = "streams_circuit_state{destination=encharge}"
    async with workers(worker):
        await world.feed(*(event("track", n, anonymousId=f"a{n}") for n in range(30)))

        async def opened() -> bool:
            return (await consumed(worker))[state] == 1

        await until(opened, "the circuit is open")
        # What was under way has come back by then.
        await asyncio.sleep(0.5)
        asked = (await world.encharge.stats())["requests"]
        await asyncio.sleep(3)
        assert (await world.encharge.stats())["requests"] - asked <= 4, "it is not hammered"
        assert await worker.is_ready(), "nobody has to do anything"
        await world.encharge.faults()
        await world.settled(30, worker)
        metrics = await consumed(worker)
    assert (metrics["streams_events_delivered_total"], metrics[state]) == (30, 0)
    assert_accounts_balance(metrics)


async def test_too_many_requests_slows_down_and_loses_nothing(small_world: World) -> None:
    world = small_world
    await world.encharge.faults({"fault": {"status": 429, "retry_after": 1}, "times": 5})
    worker = world.worker()
    async with workers(worker):
        await world.feed(*(event("track", n, anonymousId=f"a{n}") for n in range(30)))
        await world.settled(30, worker)
        metrics = await consumed(worker)
    assert metrics["streams_events_delivered_total"] == 30
    assert metrics["streams_concurrency_limit{destination=encharge}"] < 64


def identify(number: int, **traits: object) -> dict:
    who = {"anonymousId": f"a-{number}", "userId": f"u-{number}"}
    return event("identify", f"{number}-{len(traits)}", **who, traits=traits)


async def test_identifies_go_in_arrays_of_which_only_the_one_at_fault_dies(
    small_world: World,
) -> None:
    world, people = small_world, range(40)
    await world.encharge.faults(
        *(
            {"match": {"userId": "u-13", "type": kind}, "fault": {"status": 422}}
            for kind in ("people", "identify")
        )
    )
    worker = world.worker(STREAMS_PEOPLE_BULK="true", STREAMS_BATCH_MAX_SECONDS="1")
    async with workers(worker):
        await world.feed(
            *(event("page", f"before-{n}", anonymousId=f"a-{n}") for n in people),
            *(identify(n, n=n) for n in people),
            *(event("track", f"after-{n}", anonymousId=f"a-{n}") for n in people),
        )
        await world.settled(120, worker)
        metrics = await consumed(worker)
    assert metrics["streams_events_delivered_total"] == 119
    assert_accounts_balance(metrics)
    [(_, headers)] = await world.dead_letters(1)
    assert (headers["dlq.reason"], headers["dlq.status"]) == ("rejected", "422")
    requests = [r for r in await world.encharge.requests() if r["applied"]]
    seen: dict[str, list[str]] = {f"u-{n}": [] for n in people}
    for request in requests:
        bodies = request["body"] if request["type"] == "people" else [request["body"]]
        for body in bodies:
            who = body.get("userId") or body["segmentAnonymousId"].replace("a-", "u-")
            seen[who].append(request["type"].replace("people", "identify"))
    assert seen.pop("u-13") == ["page", "track"]
    assert set(map(tuple, seen.values())) == {("page", "identify", "track")}
    assert sum(request["type"] == "people" for request in requests) > 0
    assert len(requests) < 119


async def test_arrays_under_every_fault_leave_the_people_that_they_should(
    small_world: World,
) -> None:
    world, people = small_world, range(60)
    await world.encharge.faults(
        {"fault": {"status": 500}, "probability": 0.08, "seed": 1},
        {"fault": {"status": 429}, "probability": 0.04, "seed": 2},
        {"fault": {"reset": True, "after_apply": True}, "probability": 0.02, "seed": 3},
        {"fault": {"hang": 5}, "probability": 0.01, "seed": 4},
    )
    worker = world.worker(
        STREAMS_PEOPLE_BULK="true",
        STREAMS_PEOPLE_BULK_SIZE="7",
        STREAMS_COALESCE="true",
        STREAMS_REQUEST_TIMEOUT_SECONDS="1",
    )
    async with workers(worker):
        for part in (
            [identify(n, step=1) for n in people],
            [event("track", f"t-{n}", anonymousId=f"a-{n}") for n in people],
            [identify(n, step=2, n=n) for n in people],
            [identify(n, step=3, n=n, plan="pro") for n in people],
        ):
            await world.feed(*part)
        await world.settled(240, worker, within=120)
        metrics = await consumed(worker)
    assert metrics["streams_events_dead_lettered_total"] == 0
    assert_accounts_balance(metrics)
    found = {p["userId"]: (p["fields"], p["anonymousIds"]) for p in await world.encharge.people()}
    assert found == {f"u-{n}": ({"step": 3, "n": n, "plan": "pro"}, [f"a-{n}"]) for n in people}


async def test_what_waits_is_bounded(small_world: World) -> None:
    world = small_world
    await world.encharge.faults({"fault": {"status": 503}})
    worker = world.worker(STREAMS_MAX_WAITING_EVENTS="100")
    trace = signups(people=50, events=3000, seed=4)
    async with workers(worker):
        for start in range(0, 3000, 300):
            await world.feed(*trace.events[start : start + 300])
            await asyncio.sleep(0.3)
        waiting = (await consumed(worker))["streams_events_in_flight"]
        await world.encharge.faults()
        await world.settled(3000, worker, within=120)
        await at_rest(worker)
        assert_accounts_balance(await consumed(worker))
    # Four partitions of 100, and what was already fetched when they paused.
    assert 100 <= waiting <= 2000
    check(trace, await world.encharge.requests())


async def test_adjacent_identifies_are_one_call(small_world: World) -> None:
    world = small_world
    worker = world.worker(STREAMS_COALESCE="true", STREAMS_BATCH_MAX_SECONDS="1.5")

    def said(number: int, **traits: str) -> dict:
        return event("identify", number, anonymousId="a", userId="u", traits=traits)

    async with workers(worker):
        await world.feed(
            said(1, plan="free", email="u@example.com"),
            said(2, plan="pro"),
            event("track", 3, anonymousId="a"),
            said(4, city="Sofia"),
        )
        await world.settled(4, worker)
        metrics = await consumed(worker)
    assert metrics["streams_events_coalesced_total"] == 1
    assert_accounts_balance(metrics)
    bodies = await world.bodies()
    assert [body["messageId"] for body in bodies] == ["m-2", "m-3", "m-4"]
    assert (bodies[0]["user"]["plan"], bodies[0]["user"]["email"]) == ("pro", "u@example.com")


async def test_an_event_switched_off_for_encharge_is_filtered(small_world: World) -> None:
    world = small_world
    worker = world.worker()
    async with workers(worker):
        await world.feed(
            event("track", 1, userId="u", integrations={"All": False}),
            event("track", 2, userId="u", integrations={"Encharge (Actions)": False}),
            event("track", 3, userId="u", integrations={"All": False, "Encharge (Actions)": True}),
            event("screen", 4, userId="u"),
        )
        await world.settled(4, worker)
        metrics = await consumed(worker)
    assert (
        metrics["streams_events_filtered_total{action=track,destination=,reason=integrations}"] == 2
    )
    assert (
        metrics[
            "streams_events_filtered_total{action=screen,destination=encharge,reason=no-subscription}"
        ]
        == 1
    )
    assert [body["messageId"] for body in await world.bodies()] == ["m-3"]


async def test_a_dry_run_counts_and_sends_nothing(small_world: World) -> None:
    world = small_world
    worker = world.worker(STREAMS_DRY_RUN="true")
    async with workers(worker):
        await world.feed(*(event("track", n, anonymousId=f"a{n % 7}") for n in range(100)))
        await world.settled(100, worker)
        metrics = await consumed(worker)
    assert metrics["streams_events_delivered_total"] == 100
    assert_accounts_balance(metrics)
    assert (await world.encharge.stats())["requests"] == 0
