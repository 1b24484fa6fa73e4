"""Fewer calls: neighbours in a person's own sequence, and nothing overtaken."""

from __future__ import annotations

from streams.batching.coalesce import coalesce
from streams.batching.pending import Pending
from streams.destinations.base import Request
from streams.errors import EventError
from tests.support.fakes import name_of, pending, request


def merge(earlier: Request, later: Request) -> Request | None:
    """Requests whose names start with ``i`` can be merged; the result says of which."""
    if earlier.body[0] == later.body[0] == "i":
        return request(f"{earlier.body}+{later.body}")
    return None


def shape(events: list[Pending]) -> list[tuple[str, list[str], str | None]]:
    """(name, merged into it, the merged request) of each."""
    return [
        (
            name_of(event),
            [name_of(merged) for merged in event.merged],
            event.merged_request and event.merged_request.body,
        )
        for event in events
    ]


def test_neighbours_become_the_later_one() -> None:
    events = coalesce([pending("i1"), pending("i2"), pending("i3")], merge)
    assert shape(events) == [("i3", ["i1", "i2"], "i1+i2+i3")]
    assert all(not merged.merged and merged.merged_request is None for merged in events[0].merged)


def test_an_event_in_between_keeps_them_apart() -> None:
    events = coalesce([pending("i1"), pending("t2"), pending("i3"), pending("i4")], merge)
    assert shape(events) == [("i1", [], None), ("t2", [], None), ("i4", ["i3"], "i3+i4")]


def test_other_people_in_between_do_not() -> None:
    window = [pending("i1", "a"), pending("t2", "b"), pending("i3", "a"), pending("i4", "b")]
    assert shape(coalesce(window, merge)) == [
        ("t2", [], None),
        ("i3", ["i1"], "i1+i3"),
        ("i4", [], None),
    ]


def test_events_of_different_people_are_never_merged() -> None:
    assert len(coalesce([pending("i1", "a"), pending("i2", "b")], merge)) == 2


def test_an_event_with_several_calls_or_none_is_left_alone() -> None:
    several = pending("i2", requests=[request("i2"), request("i2b")])
    assert len(coalesce([pending("i1"), several, pending("i3")], merge)) == 3
    unmapped = pending("i2", requests=[None], error=EventError("x", "y"))
    assert len(coalesce([pending("i1"), unmapped, pending("i3")], merge)) == 3
    without = pending("i2", requests=[], error=EventError("x", "y"))
    assert len(coalesce([pending("i1"), without, pending("i3")], merge)) == 3


def test_an_empty_window() -> None:
    assert coalesce([], merge) == []
