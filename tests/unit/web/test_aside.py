"""Questions that take long hold up nothing, and end."""

from __future__ import annotations

import asyncio
import threading

import pytest

from streams.errors import BrokerError
from streams.web.aside import Aside, BusyError


async def test_a_question_that_computes_does_not_hold_up_the_loop() -> None:
    let_go = threading.Event()

    async def computes() -> str:
        # Were it on this loop, nobody could let it go.
        assert let_go.wait(30)
        return threading.current_thread().name

    answer = asyncio.ensure_future(Aside(30).ask(computes))
    await asyncio.sleep(0)
    let_go.set()
    assert await answer == "aside"


async def test_one_at_a_time_and_the_next_waits_for_its_turn() -> None:
    aside, let_go, order = Aside(30, waits=30), threading.Event(), []

    async def first() -> None:
        await asyncio.to_thread(let_go.wait, 30)
        order.append("first")

    async def second() -> None:
        order.append("second")

    one = asyncio.ensure_future(aside.ask(first))
    await asyncio.sleep(0)
    two = asyncio.ensure_future(aside.ask(second))
    await asyncio.sleep(0.05)
    let_go.set()
    await asyncio.gather(one, two)
    assert order == ["first", "second"]


async def test_who_waits_too_long_is_told_also_when_the_first_has_left() -> None:
    aside, let_go = Aside(30, waits=0.01), threading.Event()

    async def long() -> None:
        await asyncio.to_thread(let_go.wait, 30)

    async def short() -> int:
        return 1

    left = asyncio.ensure_future(aside.ask(long))
    await asyncio.sleep(0)
    left.cancel()
    with pytest.raises(BusyError):
        await aside.ask(short)
    let_go.set()
    # Its place is free when it has ended, not when nobody listens any more.
    while True:
        try:
            assert await aside.ask(short) == 1
            break
        except BusyError:
            continue


async def test_a_question_ends_when_its_time_is_over_and_leaves_its_place() -> None:
    aside = Aside(0.01)

    async def never() -> None:
        await asyncio.Event().wait()

    for _ in range(2):
        with pytest.raises(TimeoutError):
            await aside.ask(never)


async def test_what_goes_wrong_is_raised_where_it_was_asked() -> None:
    async def fails() -> None:
        raise BrokerError("away")

    with pytest.raises(BrokerError, match="away"):
        await Aside(30).ask(fails)
