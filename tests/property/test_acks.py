"""Whatever the order of acknowledgements: no commit passes an unfinished chunk, or goes back."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.engine.acks import AckQueue


@dataclass(eq=False)
class Piece:
    next_offset: int
    finished: bool = False


@settings(derandomize=True, deadline=None)
@given(st.data(), st.lists(st.integers(1, 5), min_size=1, max_size=12))
def test_the_committable_offset(data: st.DataObject, sizes: list[int]) -> None:
    queue: AckQueue[Piece] = AckQueue()
    pieces: list[Piece] = []
    end = 0
    for size in sizes:
        end += size
        pieces.append(Piece(end))
    to_add, to_finish = list(pieces), []
    committed = None
    while to_add or to_finish:
        # Chunks are handed out while others are acknowledged, in any order.
        if to_add and (not to_finish or data.draw(st.booleans())):
            queue.add(to_add[0])
            to_finish.append(to_add.pop(0))
        else:
            place = data.draw(st.integers(0, len(to_finish) - 1))
            to_finish.pop(place).finished = True
        if data.draw(st.booleans()):
            offset = queue.committable()
            finished = [p.next_offset for p in pieces[: _leading(pieces)]]
            assert offset == (finished[-1] if finished else None)
            assert committed is None or (offset is not None and offset >= committed)
            committed = offset
    assert queue.committable() == end
    assert len(queue) == 0


def _leading(pieces: list[Piece]) -> int:
    """How many pieces, from the first on, are finished without a gap."""
    for number, piece in enumerate(pieces):
        if not piece.finished:
            return number
    return len(pieces)
