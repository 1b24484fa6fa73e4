"""Calls are handed out in order, and no more of them than are allowed."""

from __future__ import annotations

import asyncio

from streams.delivery.lanes import Call, Lane
from streams.delivery.line import Line
from tests.support.fakes import request, turns


def call(name: str) -> Call:
    return Call(request(name), (Lane((0, name)),))


class World:
    """Callers that keep what they get until they are told to let go."""

    def __init__(self, callers: int = 4) -> None:
        self.line = Line()
        self.got: list[str] = []
        self.probes: list[str] = []
        self._free = asyncio.Semaphore(0)
        self.tasks = [asyncio.ensure_future(self._work()) for _ in range(callers)]

    async def _work(self) -> None:
        while True:
            call = await self.line.get()
            self.got.append(call.request.body)
            if call.is_probe:
                self.probes.append(call.request.body)
            await self._free.acquire()
            self.line.done()

    async def put(self, names: str) -> None:
        for name in names:
            self.line.put(call(name))
        await turns()

    async def let_go(self, count: int = 1) -> None:
        for _ in range(count):
            self._free.release()
        await turns()

    async def end(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


async def test_at_most_so_many_are_out_at_once_and_in_order() -> None:
    world = World()
    await world.put("abcdef")
    assert world.got == []
    world.line.allow(2)
    await turns()
    assert world.got == ["a", "b"]
    await world.let_go()
    assert world.got == ["a", "b", "c"]
    world.line.allow(1)
    await world.let_go()
    assert world.got == ["a", "b", "c"], "two were out, one may be"
    await world.let_go()
    assert world.got == ["a", "b", "c", "d"]
    await world.end()


async def test_there_are_no_more_out_than_callers() -> None:
    world = World(callers=2)
    world.line.allow(100)
    await world.put("abc")
    assert world.got == ["a", "b"]
    await world.end()


async def test_what_is_put_first_goes_first() -> None:
    world = World()
    await world.put("ab")
    world.line.put(call("urgent"), first=True)
    world.line.allow(1)
    await turns()
    assert world.got == ["urgent"]
    await world.end()


async def test_a_probe_goes_although_all_that_may_are_out_and_only_one() -> None:
    world = World()
    world.line.allow(1)
    await world.put("abcd")
    world.line.allow(0)
    world.line.grant_probe()
    await turns()
    assert (world.got, world.probes) == (["a", "b"], ["b"])
    await world.let_go(2)
    assert world.got == ["a", "b"]
    await world.end()


async def test_a_probe_waits_for_a_call_to_probe_with_unless_it_is_withdrawn() -> None:
    world = World()
    world.line.grant_probe()
    assert world.line.withdraw_probe()
    await world.put("a")
    assert world.got == []
    world.line.clear()
    world.line.grant_probe()
    await world.put("b")
    assert world.probes == ["b"]
    assert not world.line.withdraw_probe()
    await world.end()


async def test_a_caller_that_gave_up_gets_nothing() -> None:
    world = World(callers=2)
    await turns()
    world.tasks[0].cancel()
    world.line.allow(2)
    await world.put("ab")
    assert world.got == ["a"]
    await world.let_go()
    assert world.got == ["a", "b"]
    await world.end()
