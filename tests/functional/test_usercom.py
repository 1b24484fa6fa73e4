"""User.com beside Encharge, over real HTTP: each at its own pace."""

from __future__ import annotations

import copy
import json
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from streams.dev import usercom
from tests.functional.conftest import PARTITIONS, World, event, text
from tests.functional.test_destinations import has_distinct, of
from tests.functional.test_validate import streams, validate
from tests.support.traces import Trace, check, check_order, signups
from tests.support.world import (
    KEY,
    StandIn,
    Worker,
    assert_accounts_balance,
    at_rest,
    consumed,
    produce,
    stand_in,
    until,
    workers,
)

pytestmark = pytest.mark.functional

CONFIG = "destinations:\n  - type: encharge\n  - type: user.com\n"


@dataclass
class Both:
    """A world with both destinations."""

    world: World
    usercom: StandIn

    @property
    def encharge(self) -> StandIn:
        return self.world.encharge

    def worker(self, name: str = "worker", config: str = CONFIG, **settings: str) -> Worker:
        file = self.world.directory / f"{name}.yaml"
        file.write_text(config)
        ours = {
            "STREAMS_CONFIG": str(file),
            "USERCOM_API_URL": self.usercom.url,
            "USERCOM_API_KEY": KEY,
        }
        return self.world.worker(name, **{**ours, **settings})

    async def feed(self, trace: Trace) -> None:
        records = trace.records(PARTITIONS)
        await produce(self.world.broker.bootstrap, self.world.topic, records)

    async def arrived(self) -> list[dict[str, Any]]:
        """The event occurrences that User.com took, in order."""
        return [r for r in await self.usercom.requests() if r["type"] == "event" and r["applied"]]


@pytest.fixture
async def both(small_world: World) -> AsyncIterator[Both]:
    async with stand_in(usercom.serve) as other:
        yield Both(small_world, other)


@pytest.fixture
async def kafka_both(kafka_world: World) -> AsyncIterator[Both]:
    async with stand_in(usercom.serve) as other:
        yield Both(kafka_world, other)


def trace_of(people: int, events: int, seed: int) -> Trace:
    """People's events; those that User.com has no messageId for carry it as a property."""
    trace = signups(people=people, events=events, seed=seed)
    for one in trace.events:
        if one["type"] == "track":
            one["properties"]["messageId"] = one["messageId"]
        elif one["type"] == "page":
            one["properties"] |= {"url": "https://example.com/pricing"}
    return trace


def tracks(trace: Trace) -> Trace:
    return Trace([one for one in trace.events if one["type"] == "track"])


async def views(usercom: StandIn, trace: Trace) -> int:
    """All page views that User.com counts."""
    ids = {one.get("userId") or one["anonymousId"] for one in trace.events}
    ids |= {one["anonymousId"] for one in trace.events}
    return sum([(await usercom.person(each)).get("page_views", 0) for each in ids])


async def test_what_happens_to_a_person_is_at_both(both: Both) -> None:
    worker = both.worker()
    context = {"context": {"page": {"url": "https://example.com/"}, "locale": "de-AT"}}
    async with workers(worker):
        await both.world.feed(
            event("page", 1, anonymousId="a", **context),
            event("track", 2, anonymousId="a", properties={"n": 1}),
            event(
                "identify", 3, anonymousId="a", userId="u", traits={"seats": 5, "firstName": "A"}
            ),
            event("group", 4, anonymousId="a", groupId="g", traits={"name": "Acme"}),
            event("alias", 5, userId="u", previousId="a"),
            event("delete", 6, userId="gone"),
        )
        await both.world.settled(12, worker)
        metrics = await consumed(worker)
    assert_accounts_balance(metrics)
    assert of("user.com", metrics)["streams_events_delivered_total"] == 6
    person = await both.usercom.person("u")
    assert person["attributes"] == {"seats": "5"}
    assert (person["first_name"], person["page_views"]) == ("A", 1)
    assert [one["name"] for one in person["events"]] == ["Clicked"]
    assert [one["page_domain"] for one in person["views"]] == ["example.com"]
    assert person["companies"] == ["g"]
    # The object needs a definition at Encharge; the rest arrived.
    assert of("encharge", metrics)["streams_events_delivered_total"] >= 5


async def test_a_dead_one_holds_up_nobody_and_catches_up_in_order(both: Both) -> None:
    trace = trace_of(people=60, events=900, seed=31)
    count = len(trace.events)
    await both.usercom.faults({"fault": {"status": 503}})
    worker = both.worker(STREAMS_MAX_WAITING_EVENTS="300")
    async with workers(worker):
        await both.feed(copy.deepcopy(trace))
        await until(lambda: has_distinct(both.encharge, count), "everything at Encharge")
        assert of("user.com", await consumed(worker))["streams_events_delivered_total"] == 0
        requests = (await both.encharge.stats())["requests"]
        await both.usercom.faults()
        await at_rest(worker, within=90)
        metrics = await consumed(worker)
        assert (await both.encharge.stats())["requests"] == requests, "nothing is sent to it again"
    assert_accounts_balance(metrics)
    assert of("user.com", metrics)["streams_events_delivered_total"] == count
    check(trace, await both.encharge.requests())
    arrived = await both.arrived()
    wanted = tracks(trace)
    assert Counter(r["messageId"] for r in arrived) == Counter(
        one["messageId"] for one in wanted.events
    )
    check_order(wanted, arrived)
    assert await views(both.usercom, trace) == sum(o["type"] == "page" for o in trace.events)


@pytest.mark.kafka
async def test_killed_workers_lose_nothing_at_either(
    kafka_both: Both, record_property: Callable[[str, object], None]
) -> None:
    both = kafka_both
    trace = trace_of(people=80, events=800, seed=32)
    count, wanted = len(trace.events), tracks(trace)
    for one in (both.encharge, both.usercom):
        await one.faults({"fault": {"slow": 0.005}})
    pair = [both.worker(name, STREAMS_MAX_CONCURRENCY="8") for name in "ab"]
    async with workers(*pair):
        await both.feed(trace)
        for share, worker in ((0.2, pair[0]), (0.5, pair[1])):
            enough = int(share * len(wanted.events))
            await until(
                lambda enough=enough: has_distinct(both.usercom, enough), f"{share:.0%} at User.com"
            )
            await worker.kill()
            await worker.start()
        await until(lambda: has_distinct(both.encharge, count), "everything at Encharge")
        await until(
            lambda: has_distinct(both.usercom, len(wanted.events)), "everything at User.com", 90
        )
        await at_rest(*pair, within=90)
        assert_accounts_balance(await consumed(*pair))
    check(trace, await both.encharge.requests(), repeats=2 * (8 + 100))
    arrived = await both.arrived()
    check_order(wanted, arrived)
    repeats = len(arrived) - len({request["messageId"] for request in arrived})
    record_property("repeats at User.com", repeats)
    assert repeats <= 2 * (8 + 100)
    pages = sum(one["type"] == "page" for one in trace.events)
    assert pages <= await views(both.usercom, trace) <= pages + 2 * (8 + 100)


async def test_a_revoked_key_holds_its_own_events_and_says_what_to_do(both: Both) -> None:
    worker = both.worker()
    refusal = {"status": 403, "body": {"detail": "Forbidden"}}
    await both.usercom.faults({"fault": refusal})
    async with workers(worker):
        await both.world.feed(event("track", 1, userId="u"))

        async def told() -> str:
            async with httpx.AsyncClient(trust_env=False) as http:
                return (await http.get(f"{worker.web}/readyz")).text

        async def explained() -> bool:
            return "user.com refuses us" in await told()

        await until(explained, "the reason")
        text = await told()
        assert "USERCOM_API_KEY was revoked" in text
        assert "not trusted" in text
        await both.usercom.faults()
        await both.world.settled(2, worker)
        metrics = await consumed(worker)
    assert metrics["streams_events_dead_lettered_total"] == 0


async def test_user_com_alone_needs_no_key_of_encharge(both: Both) -> None:
    worker = both.worker(
        config="destinations:\n  - type: user.com\n", ENCHARGE_API_KEY="", STREAMS_COALESCE="true"
    )
    async with workers(worker):
        await both.world.feed(event("identify", 1, userId="u", traits={"plan": "pro"}))
        await both.world.settled(1, worker)
    assert (await both.usercom.person("u"))["attributes"] == {"plan": "pro"}
    assert await both.encharge.requests() == []


async def test_validate_tries_the_key_at_user_com(both: Both, tmp_path: Path) -> None:
    file = tmp_path / "streams.yaml"
    file.write_text("destinations:\n  - type: user.com\n")
    ours = {"STREAMS_CONFIG": str(file), "USERCOM_API_URL": both.usercom.url}
    good = await validate("--online", USERCOM_API_KEY=KEY, **ours)
    assert (good[0], f"{both.usercom.url} accepts the key" in good[1]) == (0, True)
    bad = await validate("--online", USERCOM_API_KEY="bad", **ours)
    assert (bad[0], "USERCOM_API_KEY: " in bad[2], "check its key" in bad[2]) == (1, True, True)
    none = await validate(STREAMS_CONFIG=str(file))
    assert none[0] == 2
    told = [line.split(":")[1].strip() for line in none[2].splitlines()]
    assert told == ["USERCOM_API_KEY", "USERCOM_API_URL"]


async def test_explain_tells_every_call_and_asks_and_remembers_nothing(tmp_path: Path) -> None:
    file = tmp_path / "streams.yaml"
    file.write_text("destinations:\n  - type: user.com\n")
    event_file = tmp_path / "events.ndjson"
    event_file.write_bytes(text(event("page", 1, userId="u", properties={"url": "http://x.com/p"})))
    ours = {"STREAMS_CONFIG": str(file), "STREAMS_DATA_DIR": str(tmp_path)}
    status, out, err = await streams("explain", str(event_file), **ours)
    assert status == 0, err
    calls = [(made["method"], made["url"]) for made in json.loads(out)["requests"]]
    base = "https://subdomain.user.com/api/public/"
    assert calls == [
        ("GET", f"{base}users-by-id/u/"),
        ("POST", f"{base}users/update_or_create/"),
        ("POST", f"{base}site-views/"),
    ]
    assert sorted(os.listdir(tmp_path)) == ["events.ndjson", "streams.yaml"]  # noqa: PTH208
