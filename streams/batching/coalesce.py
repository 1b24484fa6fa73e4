"""Fewer calls: adjacent events of one person that one call can stand for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from streams.batching.pending import Pending
from streams.destinations.base import Conversation, Request

Merge = Callable[[Request | Conversation, Request | Conversation], Request | Conversation | None]


def coalesce(window: Sequence[Pending], merge: Merge) -> list[Pending]:
    """The events of a window that are to be sent, in order.

    ``merge(earlier, later)`` gives the request that stands for both, or None. Only
    neighbours in a person's own sequence are merged, so nothing of theirs is overtaken.
    """
    kept: list[Pending | None] = []
    last_of_lane: dict[str, int] = {}
    for event in window:
        before = last_of_lane.get(event.lane)
        if before is not None:
            earlier = kept[before]
            if earlier is not None and _merge_into(earlier, event, merge):
                kept[before] = None
        last_of_lane[event.lane] = len(kept)
        kept.append(event)
    return [event for event in kept if event is not None]


def _merge_into(earlier: Pending, later: Pending, merge: Merge) -> bool:
    if len(earlier.requests) != 1 or len(later.requests) != 1:
        return False
    first, second = earlier.merged_request or earlier.requests[0], later.requests[0]
    if first is None or second is None:
        return False
    both = merge(first, second)
    if both is None:
        return False
    later.merged = [*earlier.merged, earlier]
    later.merged_request = both
    earlier.merged, earlier.merged_request = (), None
    return True
