"""Conversations: calls that depend on answers, driven like any other call."""

from __future__ import annotations

from collections import Counter
from typing import Any

import orjson

from streams.batching.coalesce import coalesce
from streams.delivery.sender import Answer
from streams.destinations.base import Conversation
from streams.destinations.conversation import Step, Talk
from streams.errors import EventError, PayloadError
from tests.support.fakes import FakeDestination, answer, pending, request
from tests.unit.delivery.conftest import MakeWorld, World


def talk(*steps: Step, replies: list[Any] | None = None) -> Conversation:
    """A conversation of these steps, which keeps what it is answered in ``replies``."""

    def begin(_: Counter[str]) -> Talk:
        for step in steps:
            reply = yield step
            if replies is not None:
                replies.append(reply)

    return Conversation(begin)


def step(name: str, *accepts: int) -> Step:
    return Step(request(name), frozenset(accepts))


def data(value: Any, status: int = 200) -> Answer:
    return answer(status, {"content-type": "application/json"}, orjson.dumps(value))


async def test_each_call_waits_for_the_answer_to_the_one_before(world: World) -> None:
    replies: list[Any] = []
    made = talk(step("find"), step("write"), replies=replies)
    world.sender.script = {"find": [data({"id": 7})], "write": [answer(200, body=b"done")]}
    world.take(pending("x", requests=[made]), pending("y"))
    assert await world.settled(2) == [("x", "delivered"), ("y", "delivered")]
    assert world.sender.calls == ["find", "write", "y"]
    assert replies == [(200, {"id": 7}), (200, None)]


async def test_a_retry_repeats_the_call_that_failed_only(world: World) -> None:
    world.sender.script = {"write": [answer(503), answer(0), answer(429)]}
    world.take(pending("x", requests=[talk(step("find"), step("write"), step("end"))]))
    assert await world.settled(1) == [("x", "delivered")]
    assert world.sender.calls == ["find", "write", "write", "write", "write", "end"]


async def test_a_status_that_it_can_use_is_no_refusal(world: World) -> None:
    replies: list[Any] = []
    world.sender.script = {"find": [data({"detail": "nobody"}, 422)]}
    world.take(pending("x", requests=[talk(step("find", 422), step("make"), replies=replies)]))
    assert await world.settled(1) == [("x", "delivered")]
    assert replies[0] == (422, {"detail": "nobody"})


async def test_a_status_that_refuses_us_is_never_one_that_it_can_use(
    world: World,
) -> None:
    world.sender.script = {"find": [answer(401)]}
    world.take(pending("x", requests=[talk(step("find", 401))]))
    assert await world.settled(1) == [("x", "delivered")]
    assert world.sender.calls == ["find", "find"]
    assert world.told == ["see to it (401) (status 401)", None]


async def test_a_404_in_html_is_one_that_it_can_use_too(world: World) -> None:
    page = answer(404, {"content-type": "text/html"}, b"<h1>Not found</h1>")
    world.sender.script = {"find": [page]}
    world.take(pending("x", requests=[talk(step("find", 404), step("make"))]))
    assert await world.settled(1) == [("x", "delivered")]
    assert world.sender.calls == ["find", "make"]


async def test_a_refusal_ends_the_conversation_and_no_other(world: World) -> None:
    world.sender.script = {"b": [answer(422)]}
    refused, other = talk(step("a"), step("b"), step("c")), talk(step("d"))
    world.take(pending("x", requests=[refused, other]), pending("y"))
    assert await world.settled(2) == [("x", "rejected"), ("y", "delivered")]
    assert world.sender.calls == ["a", "b", "d", "y"]


async def test_one_that_needs_no_call_is_delivered(world: World) -> None:
    world.take(pending("x", requests=[talk()]))
    assert await world.settled(1) == [("x", "delivered")]
    assert world.sender.calls == []


async def test_an_answer_that_leads_nowhere_is_a_dead_letter(world: World) -> None:
    def begin(_: Counter[str]) -> Talk:
        yield step("find")
        raise PayloadError("nobody to write to")

    def broken(_: Counter[str]) -> Talk:
        yield step("ask")
        raise KeyError("id")

    world.take(pending("x", requests=[Conversation(begin)]))
    world.take(pending("y", requests=[Conversation(broken)]))
    assert sorted(await world.settled(2)) == [("x", "invalid-payload"), ("y", "internal-error")]
    assert "KeyError" in str(world.settlement.errors["y"][0])


async def test_what_it_knew_when_it_was_mapped_is_not_what_it_begins_with(world: World) -> None:
    known: list[str] = []

    def begin(_: Counter[str]) -> Talk:
        if not known:
            yield step("learn")
            known.append("it")
        yield step("use")

    two = [pending(name, requests=[Conversation(begin)]) for name in ("x", "y")]
    world.take(*two)
    assert len(await world.settled(2)) == 2
    assert world.sender.calls == ["learn", "use", "use"]


async def test_it_never_goes_in_bulk(make_world: MakeWorld) -> None:
    world = make_world(bulk_size=2)
    events = [pending(n, n, requests=[talk(step(f"i{n}"))]) for n in ("a", "b")]
    world.take(*events)
    assert len(await world.settled(2)) == 2
    assert sorted(world.sender.calls) == ["ia", "ib"]


async def test_ignored_values_are_counted_once_for_each_event(world: World) -> None:
    def begin(ignored: Counter[str]) -> Talk:
        ignored["not-a-number"] += 2
        yield step("send")

    world.sender.script = {"send": [answer(503)]}
    world.take(pending("x", requests=[Conversation(begin)]))
    await world.settled(1)
    text = world.metrics.text().decode()
    assert 'streams_values_ignored_total{action="track",reason="not-a-number"} 2.0' in text


def merging(first: Any, second: Any) -> Conversation | None:
    return talk(step(first.about + second.about))


async def test_two_are_one_where_the_destination_says_so_and_apart_if_refused(
    world: World,
) -> None:
    def named(name: str) -> Conversation:
        made = talk(step(name))
        made.about = name
        return made

    events = [pending(name, requests=[named(name)]) for name in ("a", "b")]
    merged = coalesce(events, merging)
    world.sender.script = {"ab": [answer(422)]}
    world.take(*merged)
    assert await world.settled(2) == [("a", "delivered"), ("b", "delivered")]
    assert world.sender.calls == ["ab", "a", "b"]
    single = [pending(name, requests=[named(name)]) for name in ("a", "b")]
    assert coalesce(single, FakeDestination().merge) == single


def test_a_rehearsal_tells_every_call_of_the_usual_way() -> None:
    def begin(_: Counter[str]) -> Talk:
        found = yield Step(request("find"), presumed={"id": "<id>"})
        yield Step(request(f"write {found.data['id']}"))

    calls = [made.body for made in Conversation(begin).rehearse()]
    assert calls == ["find", "write <id>"]


async def test_merged_events_whose_conversation_cannot_go_on_go_alone(world: World) -> None:
    def begin(_: Counter[str]) -> Talk:
        raise EventError("rejected", "this cannot be said for both")
        yield  # which makes it a generator

    earlier, later = pending("1"), pending("2")
    later.merged, later.merged_request = [earlier], Conversation(begin)
    world.take(later, pending("3"))
    assert await world.settled(3) == [("1", "delivered"), ("2", "delivered"), ("3", "delivered")]
    assert world.sender.calls == ["1", "2", "3"]
