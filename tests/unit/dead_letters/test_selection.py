"""Filters take what they say, and a mark after a letter tells that it was redriven."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from streams.dead_letters.letter import Letter, LetterId, Mark
from streams.dead_letters.selection import Collected, Selection, Sum, moment, summary
from streams.events import Origin

NOW = 1_795_352_400.0  # 2026-11-22T13:00:00Z


def letter(offset: int, partition: int = 0, **fields: Any) -> Letter:
    made = Letter(
        id=LetterId(partition, offset),
        buried_ms=1000 + offset,
        origin=Origin("source", 0, offset),
        produced_ms=0,
        stage="deliver",
        reason="rejected",
        text="",
        key=None,
        value=b"{}",
        size=2,
        people=("device", "user"),
        action="track",
    )
    return replace(made, **fields)


@pytest.mark.parametrize(
    ("selection", "taken"),
    [
        (Selection(), True),
        (Selection(reasons={"rejected", "x"}), True),
        (Selection(reasons={"x"}), False),
        (Selection(actions={"track"}), True),
        (Selection(actions={"page"}), False),
        (Selection(stages={"deliver"}), True),
        (Selection(stages={"ingest"}), False),
        (Selection(people={"user"}), True),
        (Selection(people={"device", "x"}), True),
        (Selection(people={"x"}), False),
        (Selection(since=1005), True),
        (Selection(since=1006), False),
        (Selection(until=1006), True),
        (Selection(until=1005), False),
        (Selection(ids={LetterId(0, 5)}), True),
        (Selection(ids={LetterId(1, 5)}), False),
        (Selection(reasons={"rejected"}, people={"x"}), False),
    ],
)
def test_everything_that_is_given_must_hold(selection: Selection, taken: bool) -> None:
    assert selection.takes(letter(5)) is taken


@pytest.mark.parametrize(
    ("wanted", "ids"), [(None, "0@1 1@0 0@3"), (True, "0@1"), (False, "1@0 0@3")]
)
def test_letters_are_in_the_order_of_their_burial_with_their_marks(
    wanted: bool | None, ids: str
) -> None:
    collected = Collected(Selection(is_redriven=wanted))
    for found in (
        letter(3),
        letter(1),
        Mark(LetterId(0, 1), 2000),
        Mark(LetterId(0, 1), 2001),
        Mark(LetterId(0, 99), 2000),
        letter(0, 1, buried_ms=1002),
        None,
    ):
        collected.take(found)
    letters = collected.in_order()
    assert " ".join(str(found.id) for found in letters) == ids
    assert collected.foreign == 1
    assert {found.redriven_ms for found in letters if found.id == (0, 1)} <= {(2000, 2001)}


def test_a_summary_counts_by_reason_most_first() -> None:
    letters = [
        letter(1, reason="empty", stage="ingest", action=""),
        letter(2, redriven_ms=(5,)),
        letter(3, action="page"),
    ]
    assert summary(letters) == [
        Sum("rejected", 2, 1, 1002, 1003, {"deliver": 2}, {"track": 1, "page": 1}),
        Sum("empty", 1, 0, 1001, 1001, {"ingest": 1}, {}),
    ]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-11-22T12:00", NOW - 3600),
        ("2026-11-22T12:00:00.000Z", NOW - 3600),
        ("2026-11-22T13:00+01:00", NOW - 3600),
        ("2026-11-22", NOW - 13 * 3600),
        ("30s", NOW - 30),
        ("15m", NOW - 900),
        ("2h", NOW - 7200),
        ("7d", NOW - 7 * 86_400),
    ],
)
def test_a_time_is_iso_or_an_age(text: str, seconds: float) -> None:
    assert moment(text, NOW) == int(seconds * 1000)


@pytest.mark.parametrize("text", ["", "yesterday", "2", "2w", "-1h", "2026-13-01", "0000-01-01"])
def test_what_is_no_time_is_told_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match="such as 2026-11-02T09:00 nor an age"):
        moment(text, NOW)
