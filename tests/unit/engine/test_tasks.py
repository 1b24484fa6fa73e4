"""Background work is seen to its end, and never silently failed."""

from __future__ import annotations

import asyncio

from tests.support.fakes import Failures, turns


async def test_a_failure_is_handed_over() -> None:
    failures = Failures()
    tasks = failures.tasks()

    async def fail() -> None:
        raise RuntimeError("no")

    tasks.start(fail())
    await turns()
    assert [str(error) for error in failures] == ["no"]


async def test_what_ended_well_is_forgotten() -> None:
    failures = Failures()
    tasks = failures.tasks()
    assert await tasks.start(asyncio.sleep(0, "done")) == "done"
    await turns()
    assert failures == []
    assert not tasks._running


async def test_a_task_is_kept_alive_by_its_owner() -> None:
    # asyncio itself holds tasks weakly: one that nobody keeps may vanish half-way.
    tasks = Failures().tasks()
    tasks.start(asyncio.sleep(60))
    assert len(tasks._running) == 1
    await tasks.cancel()


async def test_cancelling_waits_until_everything_is_gone_and_is_no_failure() -> None:
    failures = Failures()
    tasks = failures.tasks()
    cleaned = []

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            cleaned.append(True)

    for _ in range(3):
        tasks.start(work())
    await turns()
    await tasks.cancel()
    await turns()
    assert len(cleaned) == 3
    assert failures == []
    assert not tasks._running
