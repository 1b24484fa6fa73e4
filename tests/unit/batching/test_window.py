"""Windows are flushed by size or by age, and keep the order."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from streams.batching.pending import Pending
from streams.batching.window import Windows
from tests.support.fakes import eventually, name_of, pending


class World:
    def __init__(
        self, max_events: int = 3, max_seconds: float = 3600, max_bytes: int = 1_000_000
    ) -> None:
        self.flushed: list[tuple[int, list[str]]] = []
        self.windows = Windows(
            max_events=max_events,
            max_bytes=max_bytes,
            max_seconds=max_seconds,
            flush=self._flush,
        )

    def _flush(self, partition: int, events: list[Pending]) -> None:
        self.flushed.append((partition, [name_of(event) for event in events]))

    def add(self, partition: int, names: Iterable[str]) -> None:
        self.windows.add(partition, [pending(name) for name in names])


async def test_a_full_window_is_flushed_at_once_and_the_rest_waits() -> None:
    world = World()
    world.add(0, "ab")
    assert world.flushed == []
    world.add(0, "cdefgh")
    assert world.flushed == [(0, ["a", "b", "c"]), (0, ["d", "e", "f"])]
    world.windows.flush_all()
    assert world.flushed[2:] == [(0, ["g", "h"])]


async def test_bytes_flush_what_count_does_not_with_the_event_that_reaches_the_bound() -> None:
    world = World(max_events=100, max_bytes=5)
    # The bytes of an event here are those of its name.
    world.add(0, ["aa", "bb"])
    assert world.flushed == []
    world.add(0, ["c", "dddddddd", "e", "f", "g", "h", "i", "j"])
    assert world.flushed == [(0, ["aa", "bb", "c"]), (0, ["dddddddd"]), (0, list("efghi"))]
    world.windows.flush_all()
    assert world.flushed[3:] == [(0, ["j"])]


async def test_the_bytes_of_a_partition_s_window_are_its_own_and_are_counted_anew() -> None:
    world = World(max_events=100, max_bytes=4)
    world.add(0, ["aaa"])
    world.add(1, ["xxx"])
    assert world.flushed == []
    world.windows.flush(0)
    world.add(0, ["bbb"])
    assert world.flushed == [(0, ["aaa"])]
    world.add(0, ["c"])
    assert world.flushed[1:] == [(0, ["bbb", "c"])]


async def test_whichever_bound_comes_first_counts() -> None:
    world = World(max_events=2, max_bytes=5)
    world.add(0, ["a", "b", "cccc", "d", "eeeee", "f"])
    assert world.flushed == [(0, ["a", "b"]), (0, ["cccc", "d"]), (0, ["eeeee"])]


async def test_each_partition_has_its_own() -> None:
    world = World()
    world.add(0, "ab")
    world.add(1, "xy")
    world.add(0, "c")
    assert world.flushed == [(0, ["a", "b", "c"])]
    world.windows.flush(1)
    assert world.flushed[1:] == [(1, ["x", "y"])]
    world.windows.flush(1)
    world.windows.flush_all()
    assert len(world.flushed) == 2


async def test_age_flushes_what_size_does_not() -> None:
    world = World(max_seconds=0.01)
    world.add(0, "a")
    await eventually(lambda: world.flushed)
    assert world.flushed == [(0, ["a"])]
    world.add(0, "b")
    await eventually(lambda: len(world.flushed) == 2)


async def test_the_age_of_a_window_counts_from_its_own_first_event() -> None:
    world = World(max_events=2, max_seconds=0.03)
    world.add(0, "ab")  # full: its timer must be gone with it
    await asyncio.sleep(0.02)
    world.add(0, "c")
    await asyncio.sleep(0.015)
    assert world.flushed == [(0, ["a", "b"])]
    await eventually(lambda: len(world.flushed) == 2)


async def test_no_timer_is_left_behind() -> None:
    world = World(max_seconds=0.01)
    world.add(0, "a")
    world.windows.flush_all()
    world.add(1, "b")
    world.windows.clear()
    assert not world.windows._open
    await asyncio.sleep(0.02)
    assert world.flushed == [(0, ["a"])]


async def test_nothing_makes_no_window() -> None:
    world = World(max_seconds=0.001)
    world.add(0, "")
    await asyncio.sleep(0.005)
    assert world.flushed == []
