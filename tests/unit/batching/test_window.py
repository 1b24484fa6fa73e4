"""Windows are flushed by size or by age, and keep the order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from streams.batching import window
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


class Loop:
    """The clock and the timers of an event loop."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.timers: list[tuple[float, int]] = []
        monkeypatch.setattr(window.asyncio, "get_running_loop", lambda: self)

    def time(self) -> float:
        return self.now

    def call_at(self, at: float, flush: Callable[[int], None], partition: int) -> Any:
        self.timers.append((at, partition))
        return SimpleNamespace(cancel=lambda: self.timers.remove((at, partition)))

    def pass_to_next(self, world: World) -> int:
        """Have the next timer ring; gives its partition."""
        self.now, partition = min(self.timers)
        world.windows.flush(partition)
        return partition


def test_after_a_pause_the_age_of_a_window_counts_from_its_first_event(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop, world = Loop(monkeypatch), World(max_events=2, max_seconds=3)
    world.add(0, "ab")  # full: its timer must be gone with it
    assert loop.timers == []
    loop.now += 3
    world.add(0, "c")
    assert loop.timers == [(loop.now + 3, 0)]


def test_where_events_come_all_the_time_partitions_take_turns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop, world, ends = Loop(monkeypatch), World(max_events=100, max_seconds=1), []
    for partition in range(8):
        world.add(partition, "a")
    assert {at for at, _ in loop.timers} == {loop.now + 1}
    for _ in range(24):
        partition = loop.pass_to_next(world)
        ends.append(loop.now)
        loop.now += 0.001
        world.add(partition, "a")
        assert max(at for at, _ in loop.timers) <= loop.now + 1, "nothing waits longer"
    last = ends[-8:]
    gaps = [after - before for before, after in pairwise(last)]
    assert min(gaps) > 0.05
    assert max(gaps) < 0.25


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
