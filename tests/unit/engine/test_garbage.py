"""Garbage collection by the clock."""

from __future__ import annotations

import asyncio
import gc
import weakref

from streams.engine.garbage import collected_by_the_clock
from tests.support.fakes import eventually


class Node:
    """Something that can refer to itself."""

    itself: Node


def cycle() -> weakref.ref[Node]:
    node = Node()
    node.itself = node
    return weakref.ref(node)


async def test_cycles_go_when_it_is_time() -> None:
    async with collected_by_the_clock(seconds=0.01):
        assert not gc.isenabled()
        left = cycle()
        await eventually(lambda: left() is None)
    assert gc.isenabled()


async def test_it_ends_with_its_block() -> None:
    tasks = asyncio.all_tasks()
    async with collected_by_the_clock(seconds=60):
        pass
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == tasks
    assert gc.get_freeze_count() == 0
