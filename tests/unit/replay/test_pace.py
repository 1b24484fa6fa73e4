"""The rate, and what waits at the workers."""

from __future__ import annotations

import pytest

from streams.replay.pace import BLOCK, Offsets, Pace, Waiting


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_without_a_limit_nothing_waits() -> None:
    pace = Pace(None, Clock())
    assert pace.block == BLOCK
    assert pace.wait(BLOCK) == 0


@pytest.mark.parametrize(("rate", "block"), [(0.5, 1), (10, 1), (1000, 100), (1e9, BLOCK)])
def test_blocks_are_a_tenth_of_a_second(rate: float, block: int) -> None:
    assert Pace(rate, Clock()).block == block


def test_the_rate_holds_and_lost_time_is_not_made_up_for() -> None:
    clock = Clock()
    pace = Pace(100, clock)
    assert pace.wait(10) == 0
    assert pace.wait(10) == pytest.approx(0.1)
    clock.now += 60
    assert pace.wait(10) == 0
    assert pace.wait(10) == pytest.approx(0.1)


def test_what_no_worker_has_read_waits() -> None:
    assert Waiting().look(Offsets(1_000, 400)) == 600


def test_a_record_of_the_stage_topic_counts_as_many_events_as_went_into_it() -> None:
    waiting = Waiting()
    assert waiting.look(Offsets(1_000, 0)) == 1_000
    # All read, in 10 records of 100 events; 4 records are settled.
    assert waiting.look(Offsets(1_000, 1_000, 10, 4)) == 600
    assert waiting.look(Offsets(1_000, 1_000, 10, 10)) == 0
    # Live traffic since: a record each.
    assert waiting.look(Offsets(1_050, 1_040, 50, 30)) == 30
    assert waiting.look(Offsets(1_050, 1_050, 60, 60)) == 0


def test_what_waited_at_the_first_look_counts_a_record_as_one_event() -> None:
    waiting = Waiting()
    assert waiting.look(Offsets(5_000, 4_990, 700, 660)) == 50
    assert waiting.look(Offsets(5_000, 5_000, 705, 680)) == 30
    assert waiting.look(Offsets(5_000, 5_000, 705, 705)) == 0


def test_what_is_filtered_leaves_no_record_behind() -> None:
    waiting = Waiting()
    assert waiting.look(Offsets(100, 0, 8, 8)) == 100
    assert waiting.look(Offsets(100, 100, 8, 8)) == 0
