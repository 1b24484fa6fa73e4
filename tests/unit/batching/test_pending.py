"""A chunk waits for its events, once each."""

from __future__ import annotations

import pytest

from streams.batching.pending import Progress


def test_the_end_is_told_once_when_the_last_event_has_its_outcome() -> None:
    ends: list[str] = []
    progress = Progress(3, on_done=lambda: ends.append("done"), is_abandoned=lambda: False)
    progress.finish()
    assert ends == []
    progress.finish(2)
    assert ends == ["done"]


def test_a_second_outcome_of_an_event_is_a_mistake_that_is_noticed() -> None:
    progress = Progress(1, on_done=lambda: None, is_abandoned=lambda: False)
    progress.finish()
    with pytest.raises(AssertionError, match="settled twice"):
        progress.finish()
